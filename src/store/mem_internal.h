/* Shared by mem.c and mem_snapshot.c. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/list.h"
#include "store/mem.h"
#include "store/users.h"

enum { MEM_SHARDS = 64, MEM_TEXTS = 5 /* strings of a contact */ };

struct mem_contact { /* one block; strings behind it */
        struct mem_contact *next;
        struct bl_contact c;
        size_t cap; /* octets for strings */
        char text[];
};
struct mem_aor {
        struct bl_hnode node;
        struct bl_link link;          /* among all of the shard: the one looked at longest ago first */
        struct mem_contact *contacts; /* newest first */
        unsigned n;
        uint16_t len;
        char text[];
};
struct mem_result { /* an answer: contacts, then their strings */
        struct bl_store_result result;
        struct mem_shard *shard;
        struct mem_result *next;
        size_t cap;
        _Alignas(16) char data[];
};
struct mem_shard {
        pthread_mutex_t lock;
        struct bl_htab aors;
        struct bl_link all;
        struct mem_result *spare; /* answers given back, for the next ones */
        unsigned n_spare;
};
struct mem {
        struct bl_store store; /* first */
        uint64_t seed;
        unsigned max_contacts;
        _Atomic(const struct bl_users *) users;
        _Atomic int64_t wall; /* the latest that anyone mentioned */
        _Atomic uint64_t order;
        atomic_size_t count;
        struct mem_shard shard[MEM_SHARDS];
};

struct mem_shard *bl_mem_lock(struct mem *m, struct bl_str aor, uint64_t *ret_hash);
struct mem_aor *bl_mem_find(const struct mem_shard *s, uint64_t hash, struct bl_str aor);
struct mem_aor *bl_mem_get(struct mem_shard *s, uint64_t hash, struct bl_str aor); /* NULL without memory */
/* The pointer to the binding that this contact would refresh (to NULL: none). */
struct mem_contact **bl_mem_slot(struct mem_aor *a, const struct bl_contact *c);
/* A copy of c, in the block `old` if that is large enough (else it is freed). NULL without memory. */
struct mem_contact *bl_mem_copy(struct mem_contact *old, const struct bl_contact *c);
void bl_mem_strings(struct bl_contact *c, struct bl_str *ret[MEM_TEXTS]);
static inline struct mem *bl_mem_of(struct bl_store *s)
{
        return BL_CONTAINER(s, struct mem, store);
}
