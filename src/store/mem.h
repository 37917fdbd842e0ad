/* The in-memory store: sharded, one lock a shard, shared by the workers of a node. Subscribers come from a users file.
 */
#pragma once
#include "store/store.h"

struct bl_store_mem_conf {
        uint64_t hash_seed;
        unsigned max_contacts;        /* per AOR; 0 = 32 */
        const struct bl_users *users; /* borrowed for life; NULL: none */
};
struct bl_store *bl_store_mem_new(const struct bl_store_mem_conf *conf); /* ops->free frees it */
/* Other users from now on, borrowed likewise. Any thread. What earlier answers point to is the old users' still: they
 * may be freed when every worker has ended the turn it is in. */
void bl_store_mem_set_users(struct bl_store *s, const struct bl_users *users);
size_t bl_store_mem_count(struct bl_store *s); /* bindings */
/* Snapshot: appends records to *ret through `put` a shard at a time; load reads them back (bad records are counted and
 * skipped). File I/O is the caller's. */
int bl_store_mem_save(struct bl_store *s, int (*put)(void *arg, struct bl_str octets), void *arg);
int bl_store_mem_load(struct bl_store *s, struct bl_str octets, int64_t wall, unsigned *ret_skipped);
