/*
 * Server transactions by key. One worker: a table of its own. Several: one table for the node, in shards with a lock
 * each, so that a copy which another worker received finds its owner. Entries are part of their owner's transactions;
 * another worker learns who the owner is and no more.
 *
 * While a worker decides about a request its claim stands in the index: a copy that arrives elsewhere in that moment is
 * passed on instead of becoming a second transaction.
 */
#include <stdlib.h>

#include "base/spin.h"
#include "txn/internal.h"

enum { SHARDS = 64 };

struct shard {
        _Alignas(64) struct bl_spin lock; /* each shard on a cache line of its own */
        struct bl_htab table;
};
struct bl_txn_index {
        uint64_t seed;
        struct shard *shards;
};

struct bl_txn_index *bl_txn_index_new(uint64_t hash_seed)
{
        struct bl_txn_index *x = calloc(1, sizeof(*x));
        if (!x)
                return NULL;
        x->seed = hash_seed;
        x->shards = aligned_alloc(_Alignof(struct shard), SHARDS * sizeof(struct shard));
        if (!x->shards) {
                free(x);
                return NULL;
        }
        memset(x->shards, 0, SHARDS * sizeof(struct shard));
        return x;
}

void bl_txn_index_free(struct bl_txn_index *x)
{
        if (!x)
                return;
        for (unsigned i = 0; i < SHARDS; i++)
                bl_htab_fini(&x->shards[i].table);
        free(x->shards);
        free(x);
}

uint64_t bl_index_seed(const struct bl_txn_index *x)
{
        return x->seed;
}

/* The table grows by the low bits of the hash: the shard is named by the high ones. */
static struct bl_htab *lock(struct bl_txns *t, uint64_t hash)
{
        if (!t->index)
                return &t->servers;
        struct shard *s = &t->index->shards[hash >> 58];
        bl_spin_lock(&s->lock);
        return &s->table;
}

static void unlock(struct bl_txns *t, uint64_t hash)
{
        if (t->index)
                bl_spin_unlock(&t->index->shards[hash >> 58].lock);
}

static struct bl_txn_entry *find(const struct bl_htab *table, struct bl_txn_key key)
{
        for (struct bl_hnode *n = bl_htab_first(table, key.hash); n; n = bl_htab_next(n)) {
                struct bl_txn_entry *e = BL_CONTAINER(n, struct bl_txn_entry, node);
                if (e->check == key.check)
                        return e;
        }
        return NULL;
}

static enum bl_found found(const struct bl_txns *t, struct bl_txn_entry *e, struct bl_txn_entry **ret_entry,
                           unsigned *ret_worker)
{
        if (!e)
                return BL_FOUND_NONE;
        if (e->owner == t) {
                *ret_entry = e;
                return BL_FOUND_OWN;
        }
        *ret_worker = e->owner->env->worker;
        return BL_FOUND_ELSEWHERE;
}

enum bl_found bl_index_find(struct bl_txns *t, struct bl_txn_key key, struct bl_txn_entry **ret_entry,
                            unsigned *ret_worker)
{
        struct bl_htab *table = lock(t, key.hash);
        enum bl_found f = found(t, find(table, key), ret_entry, ret_worker);
        unlock(t, key.hash);
        return f;
}

int bl_index_claim(struct bl_txns *t, struct bl_txn_key key, struct bl_txn_entry **ret_entry, unsigned *ret_worker)
{
        struct bl_htab *table = lock(t, key.hash);
        int rc = (int)found(t, find(table, key), ret_entry, ret_worker);
        if (rc == BL_FOUND_NONE && t->index) { /* one worker needs no claim: nobody else looks */
                t->claim.check = key.check;
                t->claim.owner = t;
                int inserted = bl_htab_insert(table, &t->claim.node, key.hash);
                rc = inserted < 0 ? inserted : rc;
                if (inserted < 0)
                        t->claim.owner = NULL;
        }
        unlock(t, key.hash);
        return rc;
}

void bl_index_unclaim(struct bl_txns *t)
{
        if (!t->claim.owner)
                return;
        uint64_t hash = t->claim.node.hash;
        bl_htab_remove(lock(t, hash), &t->claim.node);
        t->claim.owner = NULL;
        unlock(t, hash);
}

int bl_index_insert(struct bl_txns *t, struct bl_txn_entry *e, struct bl_txn_key key)
{
        int rc;
        struct bl_htab *table = lock(t, key.hash);
        struct bl_txn_entry *old = find(table, key);
        if (old && old != &t->claim) {
                rc = BL_EPROTO;
        } else {
                e->check = key.check;
                e->owner = t;
                rc = bl_htab_insert(table, &e->node, key.hash);
                if (rc == 0 && old) {
                        bl_htab_remove(table, &t->claim.node);
                        t->claim.owner = NULL;
                }
        }
        unlock(t, key.hash);
        return rc;
}

void bl_index_remove(struct bl_txns *t, struct bl_txn_entry *e)
{
        uint64_t hash = e->node.hash;
        bl_htab_remove(lock(t, hash), &e->node);
        unlock(t, hash);
}

struct walk {
        struct bl_txns *t;
        struct bl_htab *table;
        void (*fn)(struct bl_txns *t, struct bl_txn_entry *e);
};

/* Taken out before fn sees it, which then need not (and, under the lock, must not) remove it. */
static void visit(struct bl_hnode *n, void *arg)
{
        struct walk *w = arg;
        struct bl_txn_entry *e = BL_CONTAINER(n, struct bl_txn_entry, node);
        if (e->owner != w->t)
                return;
        bl_htab_remove(w->table, n);
        w->fn(w->t, e);
}

void bl_index_each_own(struct bl_txns *t, void (*fn)(struct bl_txns *t, struct bl_txn_entry *e))
{
        struct walk w = {t, &t->servers, fn};
        if (!t->index) {
                bl_htab_each(w.table, visit, &w);
                return;
        }
        for (unsigned i = 0; i < SHARDS; i++) {
                struct shard *s = &t->index->shards[i];
                bl_spin_lock(&s->lock);
                w.table = &s->table;
                bl_htab_each(w.table, visit, &w);
                bl_spin_unlock(&s->lock);
        }
}
