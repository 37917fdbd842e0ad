#include "unit/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
        char *map;
        size_t readable, page;
};

static void *must(void *p, const char *what)
{
        if (p == NULL || p == MAP_FAILED) {
                perror(what);
                abort();
        }
        return p;
}

struct guard *guard_new(size_t most)
{
        struct guard *g = must(malloc(sizeof(*g)), "guard_new");
        g->page = (size_t)sysconf(_SC_PAGESIZE);
        g->readable = (most / g->page + 1) * g->page;
        g->map = must(mmap(NULL, g->readable + g->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                      "guard_new: mmap");
        if (mprotect(g->map + g->readable, g->page, PROT_NONE) != 0)
                must(NULL, "guard_new: mprotect");
        return g;
}

void guard_free(struct guard *g)
{
        if (!g)
                return;
        munmap(g->map, g->readable + g->page);
        free(g);
}

struct bl_str guard_str(struct guard *g, struct bl_str s)
{
        if (s.n > g->readable) {
                fprintf(stderr, "guard_str: %zu octets, made for %zu\n", s.n, g->readable);
                abort();
        }
        char *to = g->map + g->readable - s.n;
        if (s.n)
                memmove(to, s.p, s.n);
        return bl_str_make(to, s.n);
}

void guard_each_prefix(struct bl_str s, void (*fn)(struct bl_str prefix, void *arg), void *arg)
{
        struct guard *g = guard_new(s.n);
        for (size_t n = 0; n <= s.n; n++)
                fn(guard_str(g, bl_str_make(s.p, n)), arg);
        guard_free(g);
}
