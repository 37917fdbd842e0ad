/* A users file, and a snapshot of the location store: whatever is in them, nothing but what was written is believed. */
#include "fuzz/fuzz.h"
#include "store/mem.h"
#include "store/users.h"

FUZZ(in)
{
        struct bl_store *s = bl_store_mem_new(&(struct bl_store_mem_conf){.hash_seed = 1});
        char error[200];
        unsigned skipped;
        bl_users_free(bl_users_parse(in, error, sizeof(error)));
        MUST(s);
        (void)bl_store_mem_load(s, in, 0, &skipped);
        s->ops->free(s);
}
