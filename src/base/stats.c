#include "base/stats.h"

#include <stdbool.h>
#include <stdlib.h>

struct bl_stats {
        struct bl_counter *_Atomic first; /* newest first; published whole, never unlinked: readers need no lock */
        struct bl_counter spare;          /* counts what there was no memory for */
};

/* For those who count without a set: written with relaxed atomics by anyone, read by nobody. */
static struct bl_counter nowhere;

struct bl_stats *bl_stats_new(void)
{
        return calloc(1, sizeof(struct bl_stats));
}

void bl_stats_free(struct bl_stats *s)
{
        if (!s)
                return;
        for (struct bl_counter *c = atomic_load(&s->first), *next; c; c = next) {
                next = c->_next;
                free(c);
        }
        free(s);
}

static bool same(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

struct bl_counter *bl_stats_counter(struct bl_stats *s, const char *name, const char *label, const char *value)
{
        if (!s)
                return &nowhere;
        struct bl_counter *first = atomic_load_explicit(&s->first, memory_order_relaxed);
        for (struct bl_counter *c = first; c; c = c->_next) {
                if (same(c->name, name) && same(c->label, label) && same(c->value, value))
                        return c;
        }
        struct bl_counter *c = calloc(1, sizeof(*c));
        if (!c)
                return &s->spare;
        c->name = name;
        c->label = label;
        c->value = value;
        c->_next = first;
        atomic_store_explicit(&s->first, c, memory_order_release);
        return c;
}

uint64_t bl_stats_get(const struct bl_stats *s, const char *name, const char *value)
{
        uint64_t sum = 0;
        for (const struct bl_counter *c = bl_stats_first(s); c; c = c->_next) {
                if (same(c->name, name) && (!value || same(c->value, value)))
                        sum += atomic_load_explicit(&c->n, memory_order_relaxed);
        }
        return sum;
}

const struct bl_counter *bl_stats_first(const struct bl_stats *s)
{
        return s ? atomic_load_explicit(&s->first, memory_order_acquire) : NULL;
}
