#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "base/base.h"
#include "base/list.h"

/* In sanitizer builds what is not handed out is poisoned, so that a use after reset or give is reported with its place.
 */
#if defined(__SANITIZE_ADDRESS__)
#define MEM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_ASAN 1
#endif
#endif
#ifdef MEM_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define ALIGN16(n) (((n) + 15) & ~(size_t)15)

/* ---- arena: a list of chunks, filled from `cur`; reset goes back to the first ---- */

enum { ARENA_CHUNK = 4096 };

struct arena_chunk {
        struct arena_chunk *next;
        size_t size; /* of data */
        _Alignas(16) char data[];
};
struct bl_arena {
        struct arena_chunk *first, *cur;
        size_t at; /* in cur */
        size_t limit, used;
};

struct bl_arena *bl_arena_new(size_t limit)
{
        struct bl_arena *a = calloc(1, sizeof(*a));
        if (a)
                a->limit = limit;
        return a;
}

void bl_arena_free(struct bl_arena *a)
{
        if (!a)
                return;
        for (struct arena_chunk *c = a->first, *next; c; c = next) {
                next = c->next;
                UNPOISON(c->data, c->size);
                free(c);
        }
        free(a);
}

void bl_arena_reset(struct bl_arena *a)
{
        for (struct arena_chunk *c = a->first; c; c = c->next) {
                POISON(c->data, c->size);
                if (c == a->cur)
                        break;
        }
        a->cur = a->first;
        a->at = 0;
        a->used = 0;
}

/* Makes `cur` a chunk with room for n: one kept from an earlier message, else a new one. */
static bool arena_next(struct bl_arena *a, size_t n)
{
        struct arena_chunk **at = a->cur ? &a->cur->next : &a->first;
        while (*at && (*at)->size < n)
                at = &(*at)->next;
        struct arena_chunk *c = *at;
        if (c) {
                *at = c->next; /* out of its place, to come right after cur */
        } else {
                size_t size = n > ARENA_CHUNK - sizeof(*c) ? n : ARENA_CHUNK - sizeof(*c);
                if (size > SIZE_MAX - sizeof(*c) || !(c = malloc(sizeof(*c) + size)))
                        return false;
                c->size = size;
                POISON(c->data, c->size);
        }
        at = a->cur ? &a->cur->next : &a->first;
        c->next = *at;
        *at = c;
        a->cur = c;
        a->at = 0;
        return true;
}

void *bl_arena_alloc(struct bl_arena *a, size_t n)
{
        size_t size = n ? ALIGN16(n) : 16;
        if (size < n || size > a->limit - a->used) /* the first: ALIGN16 wrapped around */
                return NULL;
        if ((!a->cur || size > a->cur->size - a->at) && !arena_next(a, size))
                return NULL;
        char *p = a->cur->data + a->at;
        a->at += size;
        a->used += size;
        UNPOISON(p, n);
        return p;
}

void *bl_arena_zalloc(struct bl_arena *a, size_t n)
{
        void *p = bl_arena_alloc(a, n);
        return p ? memset(p, 0, n) : NULL;
}

struct bl_str bl_arena_str(struct bl_arena *a, struct bl_str s)
{
        return bl_arena_cat(a, &s, 1);
}

struct bl_str bl_arena_cat(struct bl_arena *a, const struct bl_str *parts, size_t n)
{
        size_t total = 0, at = 0;
        for (size_t i = 0; i < n; i++) {
                if (__builtin_add_overflow(total, parts[i].n, &total))
                        return (struct bl_str){NULL, 0};
        }
        char *p = total ? bl_arena_alloc(a, total) : NULL;
        if (!p)
                return (struct bl_str){NULL, 0};
        for (size_t i = 0; i < n; i++) {
                if (parts[i].n)
                        memcpy(p + at, parts[i].p, parts[i].n);
                at += parts[i].n;
        }
        return (struct bl_str){p, total};
}

/*
 * ---- pool ----
 *
 * Classes of 16, 32 … 128 octets, then four to each doubling up to 128 KiB. A cell comes from its class's free list,
 * else from the end of the newest chunk; chunks double from 4 to 256 KiB and stay until the pool is freed. What is
 * bigger than the largest class is a block of the heap on a list of its own.
 */
enum { SMALL = 128, SMALL_CLASSES = SMALL / 16, BIGGEST = 128 << 10, CLASSES = SMALL_CLASSES + 4 * 10 };
enum { CHUNK_FIRST = 4 << 10, CHUNK_LAST = 256 << 10 };

struct cell {
        struct cell *next;
};
struct pool_chunk {
        struct pool_chunk *next;
        size_t size; /* of data */
        _Alignas(16) char data[];
};
struct big {
        struct bl_link link;
        _Alignas(16) char data[];
};
struct bl_pool {
        size_t limit, used;
        uint64_t heap_calls;
        struct pool_chunk *chunks; /* the newest first */
        size_t at;                 /* in the newest */
        size_t next_chunk;
        struct bl_link bigs;
        struct cell *free[CLASSES];
};

static unsigned class_of(size_t n)
{
        if (n <= SMALL)
                return n ? (unsigned)((n - 1) / 16) : 0;
        unsigned top = 63u - (unsigned)__builtin_clzll(n - 1); /* >= 7 */
        return SMALL_CLASSES + (top - 7) * 4 + (unsigned)((n - 1) >> (top - 2) & 3);
}

static size_t class_size(unsigned class)
{
        if (class < SMALL_CLASSES)
                return 16 * ((size_t) class + 1);
        unsigned top = 7 + (class - SMALL_CLASSES) / 4;
        return ((size_t)1 << top) + ((class - SMALL_CLASSES) % 4 + 1) * ((size_t)1 << (top - 2));
}

struct bl_pool *bl_pool_new(size_t limit)
{
        struct bl_pool *p = calloc(1, sizeof(*p));
        if (!p)
                return NULL;
        p->limit = limit;
        p->next_chunk = CHUNK_FIRST;
        bl_list_init(&p->bigs);
        return p;
}

void bl_pool_free(struct bl_pool *p)
{
        if (!p)
                return;
        for (struct pool_chunk *c = p->chunks, *next; c; c = next) {
                next = c->next;
                UNPOISON(c->data, c->size);
                free(c);
        }
        BL_LIST_EACH_SAFE(l, &p->bigs)
        {
                free(BL_CONTAINER(l, struct big, link));
        }
        free(p);
}

static void put_cell(struct bl_pool *p, unsigned class, void *mem)
{
        struct cell *cell = mem;
        UNPOISON(cell, sizeof(*cell));
        cell->next = p->free[class];
        p->free[class] = cell;
        POISON(mem, class_size(class));
}

/* What is left of the newest chunk goes to the free lists, so that a new one wastes nothing. */
static void retire_chunk(struct bl_pool *p)
{
        while (p->chunks && p->chunks->size - p->at >= 16) {
                size_t rest = p->chunks->size - p->at;
                unsigned class = rest >= BIGGEST ? CLASSES - 1 : class_of(rest);
                if (class_size(class) > rest)
                        class --;
                put_cell(p, class, p->chunks->data + p->at);
                p->at += class_size(class);
        }
}

static bool new_chunk(struct bl_pool *p, size_t least)
{
        size_t whole = p->next_chunk;
        while (whole - sizeof(struct pool_chunk) < least)
                whole *= 2;
        struct pool_chunk *c = malloc(whole);
        if (!c)
                return false;
        p->heap_calls++;
        retire_chunk(p);
        c->size = whole - sizeof(*c);
        c->next = p->chunks;
        POISON(c->data, c->size);
        p->chunks = c;
        p->at = 0;
        if (p->next_chunk < CHUNK_LAST)
                p->next_chunk *= 2;
        return true;
}

static void *alloc_big(struct bl_pool *p, size_t n)
{
        struct big *b = n <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + n) : NULL;
        if (!b)
                return NULL;
        p->heap_calls++;
        p->used += n;
        bl_list_push_back(&p->bigs, &b->link);
        return b->data;
}

void *bl_pool_alloc(struct bl_pool *p, size_t n)
{
        bool big = n > BIGGEST;
        unsigned class = big ? 0 : class_of(n);
        size_t size = big ? n : class_size(class);
        if (p->limit && (p->used > p->limit || size > p->limit - p->used))
                return NULL;
        if (big)
                return alloc_big(p, n);
        struct cell *cell = p->free[class];
        if (cell) {
                UNPOISON(cell, sizeof(*cell));
                p->free[class] = cell->next;
        } else {
                if ((!p->chunks || p->chunks->size - p->at < size) && !new_chunk(p, size))
                        return NULL;
                cell = (void *)(p->chunks->data + p->at);
                p->at += size;
        }
        p->used += size;
        POISON(cell, size);
        UNPOISON(cell, n);
        return cell;
}

void *bl_pool_zalloc(struct bl_pool *p, size_t n)
{
        void *mem = bl_pool_alloc(p, n);
        return mem ? memset(mem, 0, n) : NULL;
}

void bl_pool_give(struct bl_pool *p, void *mem, size_t n)
{
        if (!mem)
                return;
        if (n > BIGGEST) {
                struct big *b = BL_CONTAINER(mem, struct big, data);
                bl_list_remove(&b->link);
                p->used -= n;
                free(b);
                return;
        }
        unsigned class = class_of(n);
        p->used -= class_size(class);
        put_cell(p, class, mem);
}

size_t bl_pool_used(const struct bl_pool *p)
{
        return p->used;
}
uint64_t bl_pool_heap_calls(const struct bl_pool *p)
{
        return p->heap_calls;
}

/*
 * ---- slab ----
 *
 * Blocks double from one cell to 2 MiB; those of 2 MiB are aligned, and the kernel is asked to make them huge pages. It
 * may decline: then they are ordinary memory.
 */
enum { SLAB_ALIGN = 64, SLAB_LAST = 2 << 20 };

struct slab_block {
        struct slab_block *next;
        void *mem;
        size_t size;
};
struct bl_slab {
        size_t cell, next_size;
        struct slab_block *blocks; /* the newest first */
        size_t at;                 /* in the newest */
        struct cell *free;
};

struct bl_slab *bl_slab_new(size_t cell)
{
        struct bl_slab *s = calloc(1, sizeof(*s));
        if (s) {
                s->cell = cell;
                s->next_size = cell;
        }
        return s;
}

void bl_slab_free(struct bl_slab *s)
{
        if (!s)
                return;
        for (struct slab_block *b = s->blocks, *next; b; b = next) {
                next = b->next;
                UNPOISON(b->mem, b->size);
                free(b->mem);
                free(b);
        }
        free(s);
}

static bool slab_grow(struct bl_slab *s)
{
        bool huge = s->next_size >= SLAB_LAST;
        size_t size = huge ? SLAB_LAST : s->next_size;
        struct slab_block *b = malloc(sizeof(*b));
        void *mem = b ? aligned_alloc(huge ? SLAB_LAST : SLAB_ALIGN, size) : NULL;
        if (!mem) {
                free(b);
                return false;
        }
#ifdef __linux__
        if (huge)
                (void)madvise(mem, size, MADV_HUGEPAGE);
#endif
        POISON(mem, size);
        *b = (struct slab_block){.next = s->blocks, .mem = mem, .size = size};
        s->blocks = b;
        s->at = 0;
        s->next_size = huge ? size : size * 2;
        return true;
}

void *bl_slab_get(struct bl_slab *s)
{
        struct cell *cell = s->free;
        if (cell) {
                UNPOISON(cell, s->cell);
                s->free = cell->next;
                return cell;
        }
        if ((!s->blocks || s->blocks->size - s->at < s->cell) && !slab_grow(s))
                return NULL;
        cell = (void *)((char *)s->blocks->mem + s->at);
        s->at += s->cell;
        UNPOISON(cell, s->cell);
        return cell;
}

void bl_slab_put(struct bl_slab *s, void *mem)
{
        struct cell *cell = mem;
        if (!cell)
                return;
        cell->next = s->free;
        s->free = cell;
        POISON(mem, s->cell);
}

/* ---- buf ---- */

static size_t buf_size(size_t cap)
{
        return offsetof(struct bl_buf, data) + cap;
}

struct bl_buf *bl_buf_new(struct bl_pool *p, size_t cap)
{
        struct bl_buf *b = cap <= UINT32_MAX ? bl_pool_alloc(p, buf_size(cap)) : NULL;
        if (!b)
                return NULL;
        b->refs = 1;
        b->len = 0;
        b->cap = (uint32_t)cap;
        return b;
}

struct bl_buf *bl_buf_copy(struct bl_pool *p, struct bl_str octets)
{
        struct bl_buf *b = bl_buf_new(p, octets.n);
        if (!b)
                return NULL;
        if (octets.n)
                memcpy(b->data, octets.p, octets.n);
        b->len = (uint32_t)octets.n;
        return b;
}

void bl_buf_unref(struct bl_pool *p, struct bl_buf *b)
{
        if (b && --b->refs == 0)
                bl_pool_give(p, b, buf_size(b->cap));
}
