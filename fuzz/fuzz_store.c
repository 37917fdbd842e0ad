/* A users file, and a snapshot of the location store: whatever is in them, nothing but what was written is believed. */
#include "store/mem.h"
#include "store/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bl_store *s = bl_store_mem_new(&(struct bl_store_mem_conf){.hash_seed = 1});
        struct bl_str text = {(const char *)data, size};
        char error[200];
        unsigned skipped;

        bl_users_free(bl_users_parse(text, error, sizeof(error)));
        if (s) {
                (void)bl_store_mem_load(s, text, 0, &skipped);
                s->ops->free(s);
        }
        return 0;
}
