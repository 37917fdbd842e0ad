#include <stdlib.h>

#include "sticky/table.h"

struct uri_shard *stk_uri_shard(struct bl_sticky *t, unsigned index, bool make)
{
        struct uri_shard *s = atomic_load_explicit(&t->uri[index], memory_order_acquire), *first = NULL;

        if (s || !make)
                return s;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        pthread_mutex_init(&s->lock, NULL);
        s->index = index;
        s->ids.memory = s->exact.memory = &t->lines;
        bl_list_init(&s->lru);
        atomic_store_explicit(&s->lru_oldest, UINT64_MAX, memory_order_relaxed);
        if (atomic_compare_exchange_strong(&t->uri[index], &first, s))
                return s;
        pthread_mutex_destroy(&s->lock); /* another thread was first */
        free(s);
        return first;
}

struct dialog_shard *stk_dialog_shard(struct bl_sticky *t, uint64_t hash, bool make)
{
        _Atomic(struct dialog_shard *) *at = &t->dialog[stk_shard_of(t, hash)];
        struct dialog_shard *s = atomic_load_explicit(at, memory_order_acquire), *first = NULL;

        if (s || !make)
                return s;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        pthread_mutex_init(&s->lock, NULL);
        if (atomic_compare_exchange_strong(at, &first, s))
                return s;
        pthread_mutex_destroy(&s->lock);
        free(s);
        return first;
}

struct host_shard *stk_host_shard(struct bl_sticky *t, uint64_t hash, bool make)
{
        _Atomic(struct host_shard *) *at = &t->host[stk_shard_of(t, hash)];
        struct host_shard *s = atomic_load_explicit(at, memory_order_acquire), *first = NULL;

        if (s || !make)
                return s;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        pthread_mutex_init(&s->lock, NULL);
        if (atomic_compare_exchange_strong(at, &first, s))
                return s;
        pthread_mutex_destroy(&s->lock);
        free(s);
        return first;
}

struct flow_shard *stk_flow_shard(struct bl_sticky *t, unsigned index, bool make)
{
        struct flow_shard *s = atomic_load_explicit(&t->flow[index], memory_order_acquire), *first = NULL;

        if (s || !make)
                return s;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        pthread_mutex_init(&s->lock, NULL);
        bl_list_init(&s->kept);
        if (atomic_compare_exchange_strong(&t->flow[index], &first, s))
                return s;
        pthread_mutex_destroy(&s->lock);
        free(s);
        return first;
}

void *stk_block_get(struct bl_sticky *t, struct blocks *b, size_t n)
{
        size_t size = stk_block_size(n), class = size / BLOCK_STEP;
        void *mem;

        if (class < BLOCK_CLASSES && b->free[class]) {
                struct block *first = b->free[class];

                b->free[class] = first->next;
                b->n[class]--;
                mem = memset(first, 0, size);
        } else {
                mem = calloc(1, size);
        }
        if (mem)
                atomic_fetch_add_explicit(&t->octets, size, memory_order_relaxed);
        return mem;
}

void stk_block_put(struct bl_sticky *t, struct blocks *b, void *mem, size_t n)
{
        size_t size = stk_block_size(n), class = size / BLOCK_STEP;

        if (!mem)
                return;
        atomic_fetch_sub_explicit(&t->octets, size, memory_order_relaxed);
        if (class < BLOCK_CLASSES && b->n[class] < BLOCK_KEEP) {
                struct block *block = mem;

                block->next = b->free[class];
                b->free[class] = block;
                b->n[class]++;
        } else {
                free(mem);
        }
}

void stk_blocks_fini(struct blocks *b)
{
        for (unsigned i = 0; i < BLOCK_CLASSES; i++)
                for (struct block *at = b->free[i], *next; at; at = next) {
                        next = at->next;
                        free(at);
                }
}
