/*
 * What a look-up in the stickiness table costs: ns each, over URIs in random order, so that every one is cold.
 *
 *      bench/sticky [URIS [FLOWS]]      1,000,000 URIs on 64 flows unless told otherwise
 *
 * rank 1: the URI as bound. rank 2: the URI with a parameter more. miss: a user nobody bound. dialogs: P, and P;d=… ,
 * with 100,000 dialogs under one P. To compare with: one load of a cold octet that the next one depends on, in as much
 * memory as the table has; a look-up has two, the line of the index and the binding.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sticky/sticky.h"

enum { LOOKUPS = 2000000, TEXT = 96, ROUNDS = 5 };

struct bench {
        struct bl_sticky *t;
        size_t uris, flows;
        char (*text)[TEXT];
        uint64_t rng;
};

static uint64_t now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t rng_next(struct bench *b)
{
        b->rng ^= b->rng << 13;
        b->rng ^= b->rng >> 7;
        return b->rng ^= b->rng << 17;
}

static struct bl_uri uri(const char *text)
{
        struct bl_uri u;

        if (bl_uri_parse(bl_str_z(text), &u) < 0)
                abort();
        return u;
}

static void p_text(char out[TEXT], size_t i, const char *tail)
{
        if (snprintf(out, TEXT, "sip:u%07zu+k3v9x0q2+e1+e3+B%016zx@edge.example.com;lr%s", i,
                     (size_t)(i * 0x9e3779b97f4a7c15u), tail) >= TEXT)
                abort();
}

static void fill(struct bench *b)
{
        for (size_t i = 0; i < b->flows; i++) {
                struct bl_addr a = {
                        .family = 4, .port = 5060, .ip = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};

                if (bl_sticky_flow_add(b->t, i + 1, BL_TCP, &a, false) < 0)
                        abort();
        }
        for (size_t i = 0; i < b->uris; i++) {
                struct bl_bind bind = {.flow = 1 + rng_next(b) % b->flows, .kind = BL_BIND_PATH, .confirmed = true};

                p_text(b->text[i], i, "");
                bind.uri = uri(b->text[i]);
                if (bl_sticky_bind(b->t, &bind, 1) < 0)
                        abort();
        }
}

struct probe { /* a parsed URI and where its text is */
        char text[TEXT];
        struct bl_sticky_query q;
};

/* Look-ups in blocks whose URIs are made beforehand: only the finds are timed. */
static double measure(struct bench *b, const char *tail, bool known, uint8_t max_rank, unsigned want_rank)
{
        enum { BLOCK = 512 };
        static struct probe probe[BLOCK];
        uint64_t spent = 0, done = 0;

        while (done < LOOKUPS) {
                for (unsigned i = 0; i < BLOCK; i++) {
                        size_t which = rng_next(b) % b->uris;

                        p_text(probe[i].text, known ? which : which + b->uris, tail);
                        probe[i].q = (struct bl_sticky_query){.uri = uri(probe[i].text), .max_rank = max_rank};
                }
                uint64_t start = now_ns();
                for (unsigned i = 0; i < BLOCK; i++) {
                        struct bl_sticky_found found[BL_STICKY_MAX];
                        unsigned n = bl_sticky_find(b->t, &probe[i].q, 2, found);

                        if ((n ? found[0].rank : 0) != want_rank)
                                abort();
                }
                spent += now_ns() - start;
                done += BLOCK;
        }
        return (double)spent / (double)done;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void report(struct bench *b, const char *name, const char *tail, bool known, uint8_t max_rank, unsigned want)
{
        double ns[ROUNDS];

        for (unsigned i = 0; i < ROUNDS; i++)
                ns[i] = measure(b, tail, known, max_rank, want);
        qsort(ns, ROUNDS, sizeof(ns[0]), compare);
        printf("%-28s %8.1f ns  (median of %d; %.1f to %.1f)\n", name, ns[ROUNDS / 2], ROUNDS, ns[0], ns[ROUNDS - 1]);
}

/* A walk through a random cycle over as many cache lines as the table has. */
static void floor_load(struct bench *b, size_t octets)
{
        size_t n = octets / 64 + 2, at = 0;
        size_t(*line)[8] = calloc(n, sizeof(*line));
        uint64_t start;

        if (!line)
                abort();
        for (size_t i = 0; i < n; i++)
                line[i][0] = i;
        for (size_t i = n - 1; i > 0; i--) { /* Sattolo: one cycle */
                size_t j = rng_next(b) % i, t = line[i][0];

                line[i][0] = line[j][0];
                line[j][0] = t;
        }
        start = now_ns();
        for (size_t i = 0; i < LOOKUPS; i++)
                at = line[at][0];
        printf("%-28s %8.1f ns  (%zu octets; %zu)\n", "one dependent cold load", (double)(now_ns() - start) / LOOKUPS,
               octets, at % 2);
        free(line);
}

/* 100,000 dialogs under one P on two flows. */
static void dialogs(struct bench *b)
{
        enum { DIALOGS = 100000, FINDS = 1000000 };
        char text[TEXT], tail[32];
        struct bl_sticky_found found[BL_STICKY_MAX];
        struct bl_sticky_query q = {.max_rank = 2};
        uint64_t start;

        for (unsigned i = 0; i < DIALOGS; i++) {
                struct bl_bind bind = {.flow = 1 + i % 2, .kind = BL_BIND_DIALOG, .confirmed = true, .dialog = i + 1};

                snprintf(tail, sizeof(tail), ";d=%u", i);
                p_text(text, b->uris + 5000000, tail);
                bind.uri = uri(text);
                if (bl_sticky_bind(b->t, &bind, 2) < 0)
                        abort();
        }
        p_text(text, b->uris + 5000000, "");
        q.uri = uri(text);
        start = now_ns();
        for (unsigned i = 0; i < FINDS; i++)
                if (bl_sticky_find(b->t, &q, 3, found) != 2)
                        abort();
        printf("%-28s %8.1f ns\n", "P under 100,000 dialogs", (double)(now_ns() - start) / FINDS);
        start = now_ns();
        for (unsigned i = 0; i < FINDS; i++) {
                p_text(text, b->uris + 5000000, ";d=77777");
                q.uri = uri(text);
                if (bl_sticky_find(b->t, &q, 3, found) != 1)
                        abort();
        }
        printf("%-28s %8.1f ns (with making and parsing the URI)\n", "P;d under 100,000 dialogs",
               (double)(now_ns() - start) / FINDS);
}

int main(int argc, char **argv)
{
        struct bl_sticky_conf conf = {.hash_seed = 0x1234567890abcdefu, .budget = (size_t)2 << 30};
        struct bench b = {.uris = 1000000, .flows = 64, .rng = 88172645463325252u, .t = bl_sticky_new(&conf)};
        struct bl_sticky_stats st;
        uint64_t start;

        if (argc > 1)
                b.uris = strtoul(argv[1], NULL, 10);
        if (argc > 2)
                b.flows = strtoul(argv[2], NULL, 10);
        b.text = b.uris ? calloc(b.uris, TEXT) : NULL;
        if (!b.t || !b.text || b.flows == 0) {
                fputs("usage: sticky [URIS [FLOWS]], both > 0\n", stderr);
                return 2;
        }
        start = now_ns();
        fill(&b);
        bl_sticky_get_stats(b.t, &st);
        printf("%zu URIs on %zu flows: %.0f ns a bind, %.1f octets each\n", st.bindings, st.flows,
               (double)(now_ns() - start) / (double)b.uris, (double)st.octets / (double)b.uris);
        floor_load(&b, st.octets);
        report(&b, "rank 1", "", true, 2, 1);
        report(&b, "rank 1, then 3 for the rest", "", true, 3, 1);
        report(&b, "rank 2", ";d=5f0e", true, 2, 2);
        report(&b, "miss", "", false, 2, 0);
        report(&b, "miss, then rank 3", "", false, 3, 0);
        dialogs(&b);
        bl_sticky_free(b.t);
        free(b.text);
        return 0;
}
