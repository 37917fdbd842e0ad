/*
 * Counters: one writer (the worker that owns the set), any reader; relaxed atomics. A counter is looked up once, at
 * start, and then costs one add. Names are belay_<role>_<noun>_<unit|total>; at most one label; never a URI, a user or
 * a Call-ID.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "base/str.h"

struct bl_counter {
        const char *name, *label, *value; /* label and value may be NULL; literals or as long-lived as the set */
        _Atomic uint64_t n;
        struct bl_counter *_next;
};
struct bl_stats;
struct bl_stats *bl_stats_new(void);    /* NULL without memory */
void bl_stats_free(struct bl_stats *s); /* accepts NULL */
/* The counter of that name and label, made at the first call. Never NULL: without memory a shared spare that nobody
 * reads. `s` may be NULL: likewise. */
struct bl_counter *bl_stats_counter(struct bl_stats *s, const char *name, const char *label, const char *value);
static inline void bl_count_n(struct bl_counter *c, uint64_t n)
{
        atomic_store_explicit(&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void bl_count(struct bl_counter *c)
{
        bl_count_n(c, 1);
}
static inline void bl_gauge_set(struct bl_counter *c, uint64_t n)
{
        atomic_store_explicit(&c->n, n, memory_order_relaxed);
}
uint64_t bl_stats_get(const struct bl_stats *s, const char *name,
                      const char *value);                          /* sum over values when value is NULL; for tests */
const struct bl_counter *bl_stats_first(const struct bl_stats *s); /* newest first, then ->_next; the list only grows */
