/* How many flows strangers may make. */
#include <stdio.h>
#include <stdlib.h>

#include "flow/flow.h"
#include "unit/fake_env.h"
#include "unit/unit.h"

static void on_message(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        (void)ctx, (void)f, (void)m;
}
static unsigned downs;
static int why_down;
static void on_down(void *ctx, struct bl_flow *f, int why)
{
        (void)ctx, (void)f;
        downs++;
        why_down = why;
}
static const struct bl_flows_user user = {.message = on_message, .down = on_down};

static bl_flow_id accept_from(struct fake *f, enum bl_tp tp, unsigned port)
{
        char remote[32];
        snprintf(remote, sizeof(remote), "10.0.0.1:%u", port);
        return fake_accept(f, 0, tp, remote);
}

static void idle_udp_flows_make_way(void **state)
{
        (void)state;
        struct fake *f = fake_new(1);
        struct bl_flows *fs = bl_flows_new(fake_env(f, 0), &(struct bl_flows_conf){.max_flows = 4}, &user, NULL);
        struct bl_watch w = {0};
        bl_flow_id pinned = accept_from(f, BL_UDP, 1), watched = accept_from(f, BL_UDP, 2),
                   stream = accept_from(f, BL_TCP, 3), idle = accept_from(f, BL_UDP, 4);
        bl_flow_get(fs, pinned)->pins = 1;
        assert_int_equal(bl_flow_watch(fs, watched, &w), 0);
        downs = 0;
        fake_pass(f, 1000);
        bl_flow_id a = accept_from(f, BL_UDP, 5);
        assert_non_null(bl_flow_get(fs, a));
        assert_null(bl_flow_get(fs, idle));
        assert_int_equal(downs, 1);
        assert_int_equal(why_down, BL_ELIMIT);
        /* The newcomer is not idle yet, the others are of use: nobody gives way. */
        bl_flow_id b = accept_from(f, BL_UDP, 6);
        assert_null(bl_flow_get(fs, b));
        assert_null(fake_flow(f, b));
        assert_int_equal(downs, 1);
        assert_int_equal(bl_stats_get(fake_env(f, 0)->stats, "belay_flow_refused_total", "max_flows"), 1);
        fake_pass(f, 1000);
        for (unsigned i = 0; i < 20; i++) { /* a flood lives at its own cost */
                b = accept_from(f, BL_UDP, 7 + i);
                assert_non_null(bl_flow_get(fs, b));
                fake_pass(f, 1000);
        }
        assert_non_null(bl_flow_get(fs, pinned));
        assert_non_null(bl_flow_get(fs, watched));
        assert_non_null(bl_flow_get(fs, stream));
        assert_int_equal(bl_flows_count(fs), 4);
        bl_flow_unwatch(&w);
        bl_flows_free(fs);
        fake_free(f);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_udp_flows_make_way),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
