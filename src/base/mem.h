/*
 * Kinds of memory, by lifetime.
 *
 *   arena  a message's: bump allocation, freed in one step when the event returns.
 *   pool   a worker's: size classes with free lists, for what outlives an event (transactions, kept messages,
 *          bindings, flows). In steady state neither touches the heap.
 *   buf    a counted, immutable run of octets on its way out; memory from the pool.
 *   slab   a large table's: cells of one size, cut from blocks that grow until they are huge pages. What is looked up
 *          at random costs a miss of the TLB beside that of the cache, and in a virtual machine two tables of pages are
 *          walked for it.
 *
 * None of them is shared between threads.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct bl_arena;
/* A new arena that starts with no memory at all; `limit` bounds what one message may take. NULL without memory. */
struct bl_arena *bl_arena_new(size_t limit);
void bl_arena_free(struct bl_arena *a);  /* accepts NULL */
void bl_arena_reset(struct bl_arena *a); /* everything allocated from it is gone; chunks stay for the next message */
/* 16-aligned, not zeroed. NULL when the limit or the heap is spent. */
void *bl_arena_alloc(struct bl_arena *a, size_t n);
void *bl_arena_zalloc(struct bl_arena *a, size_t n);
/* A copy of s that lives as long as the arena; {NULL,0} without memory (or when s is empty). */
struct bl_str bl_arena_str(struct bl_arena *a, struct bl_str s);
/* Concatenates `n` slices. */
struct bl_str bl_arena_cat(struct bl_arena *a, const struct bl_str *parts, size_t n);
#define BL_CAT(arena, ...)                                                                                             \
        bl_arena_cat((arena), (const struct bl_str[]){__VA_ARGS__},                                                    \
                     sizeof((const struct bl_str[]){__VA_ARGS__}) / sizeof(struct bl_str))

struct bl_pool;
struct bl_pool *bl_pool_new(size_t limit);        /* limit: octets handed out at most, 0 = none. NULL without memory */
void bl_pool_free(struct bl_pool *p);             /* accepts NULL; what is still handed out is freed with it */
void *bl_pool_alloc(struct bl_pool *p, size_t n); /* 16-aligned, not zeroed; NULL when spent */
void *bl_pool_zalloc(struct bl_pool *p, size_t n);
void bl_pool_give(struct bl_pool *p, void *mem, size_t n); /* n as asked for; accepts NULL */
size_t bl_pool_used(const struct bl_pool *p);         /* octets handed out, rounded to classes: 0 when all came back */
uint64_t bl_pool_heap_calls(const struct bl_pool *p); /* times the heap was asked: constant in steady state */

struct bl_slab;
struct bl_slab *bl_slab_new(size_t cell);       /* a multiple of 64, 512 KiB at most; NULL without memory */
void bl_slab_free(struct bl_slab *s);           /* accepts NULL; all its cells are gone */
void *bl_slab_get(struct bl_slab *s);           /* 64-aligned, not zeroed; NULL without memory */
void bl_slab_put(struct bl_slab *s, void *mem); /* accepts NULL; the slab keeps it for the next */

struct bl_buf { /* flat octets, written once, then immutable */
        uint32_t refs, len, cap;
        char data[];
};
/* One reference, len 0. NULL without memory. */
struct bl_buf *bl_buf_new(struct bl_pool *p, size_t cap);
struct bl_buf *bl_buf_copy(struct bl_pool *p, struct bl_str octets);
static inline struct bl_buf *bl_buf_ref(struct bl_buf *b)
{
        return b->refs++, b;
}
void bl_buf_unref(struct bl_pool *p, struct bl_buf *b); /* p: the pool it came from; accepts NULL */
static inline struct bl_str bl_buf_str(const struct bl_buf *b)
{
        return (struct bl_str){b->data, b->len};
}
