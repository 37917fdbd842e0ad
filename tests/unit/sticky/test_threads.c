/*
 * Workers share the table. Each thread binds and asks for URIs of its own, whose answers it can foretell, while all of
 * them also bind, move, drop and end what they share. Run under the tsan preset it finds races; anywhere it finds
 * deadlocks and lost bindings.
 */
#include "unit/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "sticky/sticky.h"
#include "unit/rng.h"

enum { THREADS = 4, STEPS = 4000, OWN = 20 };

struct worker {
        struct bl_sticky *t;
        unsigned number;
        struct rng rng;
        bl_flow_id own[OWN]; /* this thread's flows: OWN[i] has the URI i of this thread, or is 0 */
        uint32_t generation;
        unsigned wrong;
        char text[96];
};

static struct bl_uri make(struct worker *w, const char *format, unsigned a, unsigned b)
{
        struct bl_sb sb = BL_SB(w->text);
        struct bl_uri u = {0};

        bl_sb_addz(&sb, format);
        bl_sb_addu(&sb, a);
        bl_sb_addz(&sb, "@edge.example;lr;d=");
        bl_sb_addu(&sb, b);
        w->wrong += bl_uri_parse(bl_sb_str(&sb), &u) < 0;
        return u;
}

static bl_flow_id flow_new(struct worker *w)
{
        bl_flow_id id = (bl_flow_id)w->number << 56 | ++w->generation;
        struct bl_addr a = {.family = 4, .port = 5060, .ip = {127, 0, 0, (uint8_t)(1 + w->number)}};

        w->wrong += bl_sticky_flow_add(w->t, id, BL_TCP, &a, true) < 0;
        return id;
}

/* What only this thread touches behaves as if it were alone. */
static void own(struct worker *w, unsigned i)
{
        struct bl_bind b = {.kind = BL_BIND_DIALOG, .dialog = 1000 * (w->number + 1) + i, .confirmed = true};
        struct bl_sticky_query q = {.worker = w->number, .max_rank = 1};
        struct bl_sticky_found f[BL_STICKY_MAX];
        unsigned n;

        q.uri = make(w, "sip:own", w->number, i);
        n = bl_sticky_find(w->t, &q, BL_SEC(1), f);
        w->wrong += w->own[i] ? n != 1 || f[0].flow != w->own[i] : n != 0;
        switch (rng_below(&w->rng, 4)) {
        case 0:
                if (w->own[i])
                        bl_sticky_flow_down(w->t, w->own[i], 0);
                w->own[i] = 0;
                break;
        case 1:
                bl_sticky_end_dialog(w->t, b.dialog);
                if (w->own[i])
                        bl_sticky_flow_down(w->t, w->own[i], 0);
                w->own[i] = 0;
                break;
        case 2:
                if (w->own[i]) {
                        bl_flow_id next = flow_new(w);

                        bl_sticky_flow_down(w->t, w->own[i], BL_SEC(1000));
                        w->wrong += bl_sticky_flow_move(w->t, w->own[i], next) < 0;
                        w->own[i] = next;
                }
                break;
        default:
                if (!w->own[i])
                        w->own[i] = flow_new(w);
                b.uri = q.uri;
                b.flow = w->own[i];
                w->wrong += bl_sticky_bind(w->t, &b, BL_SEC(1)) < 0;
        }
}

/* One P, one domain and a few dialogs that all threads pull at. */
static void shared(struct worker *w)
{
        struct bl_bind b = {.flow = w->own[rng_below(&w->rng, OWN)], .confirmed = true};
        struct bl_sticky_query q = {.worker = w->number, .spread = rng_next(&w->rng)};
        struct bl_sticky_found f[BL_STICKY_MAX];
        struct bl_addr at = {.family = 4, .port = 5060, .ip = {127, 0, 0, (uint8_t)(1 + rng_below(&w->rng, THREADS))}};
        unsigned d = (unsigned)rng_below(&w->rng, 40);
        struct bl_sticky_row rows[4];
        uint64_t cursor = rng_below(&w->rng, 64) << 32;
        bl_flow_id orphan;

        b.uri = q.uri = make(w, "sip:p", 0, d);
        b.kind = d % 3 ? BL_BIND_DIALOG : BL_BIND_DOMAIN;
        b.dialog = d;
        if (b.flow)
                w->wrong += bl_sticky_bind(w->t, &b, BL_SEC(1)) < 0;
        (void)bl_sticky_find(w->t, &q, BL_SEC(1), f);
        (void)bl_sticky_is_bound(w->t, &q.uri, b.flow, true);
        q.uri.params = BL_STR(";lr");
        (void)bl_sticky_find(w->t, &q, BL_SEC(1), f);
        (void)bl_sticky_find_at(w->t, BL_STR("edge.example"), &at, w->number, BL_SEC(1), f);
        (void)bl_sticky_flow_orphan(w->t, BL_STR("edge.example"), &at, BL_SEC(1), &orphan);
        switch (rng_below(&w->rng, 6)) {
        case 0:
                bl_sticky_end_dialog(w->t, d);
                break;
        case 1:
                bl_sticky_unbind(w->t, &b.uri, 0);
                break;
        case 2:
                bl_sticky_expire(w->t, BL_SEC(1));
                break;
        case 3:
                (void)bl_sticky_rows(w->t, &cursor, rows, 4);
                break;
        default:
                break;
        }
}

static void *work(void *arg)
{
        struct worker *w = arg;

        for (unsigned i = 0; i < STEPS; i++) {
                own(w, (unsigned)rng_below(&w->rng, OWN));
                shared(w);
        }
        for (unsigned i = 0; i < OWN; i++)
                if (w->own[i])
                        bl_sticky_flow_down(w->t, w->own[i], 0);
        return NULL;
}

static void run(unsigned shards, size_t budget)
{
        struct bl_sticky *t =
                bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 3, .shards = shards, .budget = budget});
        static struct worker w[THREADS];
        pthread_t thread[THREADS];
        struct bl_sticky_stats st;

        assert_non_null(t);
        for (unsigned i = 0; i < THREADS; i++) {
                w[i] = (struct worker){.t = t, .number = i, .rng.s = 77 + i};
                assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
                assert_int_equal(pthread_join(thread[i], NULL), 0);
        for (unsigned i = 0; i < THREADS; i++)
                assert_int_equal(w[i].wrong, 0);
        for (unsigned i = 0; i < 64; i++)
                bl_sticky_expire(t, BL_SEC(1));
        bl_sticky_get_stats(t, &st);
        assert_int_equal(st.flows, 0);
        assert_int_equal(st.bindings, 0);
        assert_int_equal(st.octets, 0);
        bl_sticky_free(t);
}

static void many_shards(void **state)
{
        (void)state;
        run(0, 0);
}
static void one_shard(void **state)
{
        (void)state;
        run(1, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(many_shards),
                cmocka_unit_test(one_shard),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
