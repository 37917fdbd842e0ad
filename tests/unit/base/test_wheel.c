#include "base/wheel.h"

#include <stdlib.h>

#include "unit/oom.h"
#include "unit/rng.h"
#include "unit/unit.h"

enum { N = 300 };

struct item {
        struct bl_timer timer;
        struct world *world;
        bool armed;
        bl_us at;
        uint64_t tick, order; /* model: when it is due (0 = at the next advance), and which came first */
        bl_us again;          /* re-armed by its handler with this delay, once */
        struct item *kill;    /* disarmed by its handler */
};
struct world {
        struct bl_wheel *wheel;
        struct item items[N];
        bl_us now;
        uint64_t orders;
        struct item *fired[4 * N];
        unsigned n_fired;
};

static void on_fire(struct bl_timer *t)
{
        struct item *it = BL_CONTAINER(t, struct item, timer);
        assert_false(bl_timer_armed(t));
        assert_true(it->world->n_fired < BL_ARRAY_LEN(it->world->fired));
        it->world->fired[it->world->n_fired++] = it;
        if (it->again)
                bl_wheel_arm(it->world->wheel, t, it->world->now + it->again);
        if (it->kill)
                bl_wheel_disarm(it->world->wheel, &it->kill->timer);
}

static struct world *world_new(bl_us now)
{
        struct world *w = calloc(1, sizeof(*w));
        w->wheel = bl_wheel_new(now);
        w->now = now;
        for (unsigned i = 0; i < N; i++) {
                w->items[i].world = w;
                w->items[i].timer.fire = on_fire;
        }
        return w;
}

static void world_free(struct world *w)
{
        bl_wheel_free(w->wheel);
        free(w);
}

static void arm(struct world *w, unsigned i, bl_us at)
{
        struct item *it = &w->items[i];
        bl_wheel_arm(w->wheel, &it->timer, at);
        it->armed = true;
        it->at = at;
        it->tick = at <= w->now ? 0 : at / 1000 + (at % 1000 != 0);
        it->order = ++w->orders;
}

/* What must fire next at `now` by the model: the earliest millisecond, then the longest armed. NULL: nothing. */
static struct item *model_next(struct world *w, bl_us now)
{
        struct item *first = NULL;
        for (unsigned i = 0; i < N; i++) {
                struct item *it = &w->items[i];
                if (!it->armed || it->tick > now / 1000)
                        continue;
                if (!first || it->tick < first->tick || (it->tick == first->tick && it->order < first->order))
                        first = it;
        }
        return first;
}

static void advance(struct world *w, bl_us now)
{
        w->n_fired = 0;
        w->now = now;
        unsigned n = bl_wheel_advance(w->wheel, now);
        assert_int_equal(n, w->n_fired);
        for (unsigned i = 0; i < n; i++) {
                struct item *want = model_next(w, now);
                assert_ptr_equal(w->fired[i], want);
                want->armed = false;
        }
        assert_null(model_next(w, now));
        size_t armed = 0;
        bl_us first = UINT64_MAX;
        for (unsigned i = 0; i < N; i++) {
                assert_int_equal(bl_timer_armed(&w->items[i].timer), w->items[i].armed);
                armed += w->items[i].armed;
                bl_us due = w->items[i].tick > UINT64_MAX / 1000 ? UINT64_MAX - 1 : w->items[i].tick * 1000;
                if (w->items[i].armed && due < first)
                        first = due;
        }
        assert_int_equal(bl_wheel_count(w->wheel), armed);
        bl_us next = bl_wheel_next(w->wheel);
        assert_true(armed ? next > now && next <= first : next == UINT64_MAX);
}

static bl_us random_span(struct rng *r)
{
        return rng_next(r) >> (24 + rng_below(r, 40)); /* from a microsecond to twelve days */
}

static void model_run(uint64_t seed, bl_us start)
{
        struct rng r = {seed};
        struct world *w = world_new(start);
        bl_us now = start;
        for (unsigned step = 0; step < 4000; step++) {
                unsigned i = (unsigned)rng_below(&r, N);
                switch (rng_below(&r, 8)) {
                case 0:
                        bl_wheel_disarm(w->wheel, &w->items[i].timer);
                        w->items[i].armed = false;
                        break;
                case 1: /* the past, the present, and the far end of time */
                        arm(w, i,
                            rng_below(&r, 4) == 0 ? UINT64_MAX : now - rng_below(&r, now < 5000 ? now + 1 : 5000));
                        break;
                case 2: /* many in one millisecond: their order matters */
                        for (unsigned k = 0; k < 20; k++)
                                arm(w, (unsigned)rng_below(&r, N), (now / 1000 + 70) * 1000 - rng_below(&r, 1000));
                        break;
                case 3:
                        now += random_span(&r) >> rng_below(&r, 20);
                        advance(w, now);
                        break;
                case 4: /* as a world does it: to the next event */
                        if (bl_wheel_next(w->wheel) < now + BL_SEC(3600) && bl_wheel_next(w->wheel) > now)
                                now = bl_wheel_next(w->wheel);
                        advance(w, now);
                        break;
                default:
                        arm(w, i, now + random_span(&r));
                }
                assert_true(bl_wheel_next(w->wheel) >= now);
        }
        world_free(w);
}

static void agrees_with_a_model(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed <= 8; seed++) {
                print_message("seed %u\n", (unsigned)seed);
                model_run(seed, 0);
                model_run(seed, 1234567890123u);
                model_run(seed, (1ull << 36) * 1000 - 500); /* just before many digits turn over */
        }
}

static void never_early_at_most_a_millisecond_late(void **state)
{
        (void)state;
        for (bl_us at = 1; at <= 4001; at += 250) {
                struct world *w = world_new(0);
                arm(w, 0, at);
                for (bl_us now = 0; now < at; now += 100)
                        assert_int_equal(bl_wheel_advance(w->wheel, now), 0);
                assert_int_equal(bl_wheel_advance(w->wheel, at + 999), 1);
                world_free(w);
        }
}

static void what_is_disarmed_leaves_no_trace(void **state)
{
        struct world *w = world_new(100000000);
        (void)state;
        for (unsigned i = 0; i < N; i++)
                arm(w, i, w->now + (1ull << i % 40));
        for (unsigned i = 1; i < N; i++)
                bl_wheel_disarm(w->wheel, &w->items[i].timer);
        assert_int_equal(bl_wheel_next(w->wheel), 100001000);
        bl_wheel_disarm(w->wheel, &w->items[0].timer);
        assert_int_equal(bl_wheel_next(w->wheel), UINT64_MAX);
        assert_int_equal(bl_wheel_count(w->wheel), 0);
        world_free(w);
}

static void next_leads_to_the_timer_in_few_steps(void **state)
{
        static const bl_us spans[] = {1, 1000, 63000, 64000, 4096000, 3600u * 1000000ull, 86400ull * 365 * 1000000};
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(spans); i++) {
                struct world *w = world_new(777777);
                unsigned steps = 0;
                arm(w, 0, 777777 + spans[i]);
                while (bl_wheel_count(w->wheel)) {
                        bl_us next = bl_wheel_next(w->wheel);
                        assert_true(next > w->now);
                        w->now = next;
                        bl_wheel_advance(w->wheel, next);
                        assert_true(++steps <= 10);
                }
                assert_true(w->now >= w->items[0].at && w->now < w->items[0].at + 1000);
                world_free(w);
        }
}

static void a_handler_may_rearm_for_at_once(void **state)
{
        struct world *w = world_new(5000);
        (void)state;
        bl_wheel_arm(w->wheel, &w->items[0].timer, 5000);
        assert_int_equal(bl_wheel_next(w->wheel), 5000);
        w->items[0].again = 0;
        assert_int_equal(bl_wheel_advance(w->wheel, 5000), 1);
        assert_int_equal(bl_wheel_next(w->wheel), UINT64_MAX);
        w->items[1].again = 1; /* due at once, again and again: once per advance, never without end */
        w->now = 0;            /* now + again lies in the past */
        bl_wheel_arm(w->wheel, &w->items[1].timer, 6000);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(bl_wheel_advance(w->wheel, 6000 + i), 1);
        world_free(w);
}

static void a_handler_may_disarm_the_one_whose_turn_is_next(void **state)
{
        struct world *w = world_new(0);
        (void)state;
        for (unsigned i = 0; i < 3; i++)
                bl_wheel_arm(w->wheel, &w->items[i].timer, 9000);
        w->items[0].kill = &w->items[1];
        assert_int_equal(bl_wheel_advance(w->wheel, 10000), 2);
        assert_ptr_equal(w->fired[0], &w->items[0]);
        assert_ptr_equal(w->fired[1], &w->items[2]);
        assert_false(bl_timer_armed(&w->items[1].timer));
        assert_int_equal(bl_wheel_count(w->wheel), 0);
        world_free(w);
}

static void time_never_goes_back(void **state)
{
        struct world *w = world_new(0);
        (void)state;
        bl_wheel_advance(w->wheel, 5000000);
        bl_wheel_arm(w->wheel, &w->items[0].timer, 5010000);
        assert_int_equal(bl_wheel_advance(w->wheel, 10), 0);
        assert_int_equal(bl_wheel_next(w->wheel), 5010000);
        assert_int_equal(bl_wheel_advance(w->wheel, 5009999), 0);
        assert_int_equal(bl_wheel_advance(w->wheel, 5010000), 1);
        bl_wheel_disarm(w->wheel, &w->items[0].timer); /* not armed: nothing happens */
        world_free(w);
}

static void no_heap_but_for_the_wheel(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                struct bl_wheel *w = bl_wheel_new(0);
                assert_int_equal(w == NULL, oom_struck());
                bl_wheel_free(w);
        }
        struct world *w = world_new(0);
        long before = oom_count();
        for (unsigned i = 0; i < N; i++)
                arm(w, i, i * 12345);
        bl_wheel_advance(w->wheel, BL_SEC(60));
        assert_int_equal(oom_count(), before);
        world_free(w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(agrees_with_a_model),
                cmocka_unit_test(never_early_at_most_a_millisecond_late),
                cmocka_unit_test(what_is_disarmed_leaves_no_trace),
                cmocka_unit_test(next_leads_to_the_timer_in_few_steps),
                cmocka_unit_test(a_handler_may_rearm_for_at_once),
                cmocka_unit_test(a_handler_may_disarm_the_one_whose_turn_is_next),
                cmocka_unit_test(time_never_goes_back),
                cmocka_unit_test(no_heap_but_for_the_wheel),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
