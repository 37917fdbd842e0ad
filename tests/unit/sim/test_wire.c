/* What the two wires do to octets, with and without accidents. */
#include "unit/sim/peer.h"

#include <errno.h>

static void datagrams_arrive_and_are_answered(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 2, true);
        b->echo = true;
        bl_flow_id f = peer_open(a, BL_UDP, b);
        assert_int_equal(a->ups, 1); /* in the turn of the open */
        assert_ptr_equal(a->user, a);
        peer_say(a, f, "one");
        peer_say(a, f, "two");
        sim_run_for(s, BL_SEC(1));
        assert_string_equal(b->text, "one|two|");
        assert_string_equal(a->text, "one|two|");
        assert_int_equal(b->ups, 1); /* one flow for one 5-tuple */
        assert_null(b->user);
        assert_int_equal(b->listener, 0);
        sim_free(s);
        test_free(a), test_free(b);
}

static void a_listener_spreads_five_tuples_over_workers(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 2, true);
        for (int i = 0; i < 40; i++) {
                bl_flow_id f = peer_open(a, i % 2 ? BL_UDP : BL_TCP, b);
                sim_run_for(s, BL_SEC(1));
                peer_say(a, f, "x");
        }
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(b->on_worker[0] + b->on_worker[1], 40);
        assert_true(b->on_worker[0] > 5 && b->on_worker[1] > 5);
        sim_free(s);
        test_free(a), test_free(b);
}

static void nobody_listens(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 1, false);
        bl_flow_id f = peer_open(a, BL_UDP, b);
        peer_say(a, f, "hello");
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(a->downs, 1);
        assert_int_equal(a->why, -ECONNREFUSED);
        assert_int_equal(peer_say(a, f, "hello"), BL_EGONE); /* a stale handle is recognised */
        peer_open(a, BL_TCP, b);
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(a->downs, 2);
        assert_int_equal(a->why, -ECONNREFUSED);
        sim_free(s);
        test_free(a), test_free(b);
}

static void nobody_has_that_address(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *a = peer_new(s, "a", 1, false);
        struct bl_addr nowhere;
        assert_int_equal(bl_addr_parse_port(BL_STR("192.0.2.9:5060"), 0, &nowhere), 0);
        peer_say(a, peer_open_at(a, BL_UDP, nowhere, a), "hello");
        peer_open_at(a, BL_TCP, nowhere, a);
        sim_run_for(s, BL_SEC(9));
        assert_int_equal(a->downs, 0);
        sim_run_for(s, BL_SEC(3));
        assert_int_equal(a->downs, 1);
        assert_int_equal(a->why, -ETIMEDOUT);
        sim_free(s);
        test_free(a);
}

static void streams_keep_order_whatever_is_cut(void **state)
{
        (void)state;
        char want[8192];
        for (uint64_t seed = 1; seed < 20; seed++) {
                struct sim *s = sim_new(seed);
                sim_set_net(s, &sim_net_rough);
                struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 2, true);
                b->echo = true;
                bl_flow_id f = peer_open(a, BL_TCP, b);
                sim_run_for(s, BL_SEC(1));
                size_t n = 0;
                for (int i = 0; i < 60; i++) {
                        char line[64];
                        snprintf(line, sizeof(line), "MESSAGE %d of sixty\r\n", i);
                        peer_say(a, f, line);
                        n += (size_t)snprintf(want + n, sizeof(want) - n, "%s", line);
                        sim_run_for(s, BL_MS(5));
                }
                sim_run_for(s, BL_SEC(20));
                assert_string_equal(b->text, want);
                assert_string_equal(a->text, want);
                assert_true(b->pieces > 15 && b->pieces != 60);
                sim_free(s);
                test_free(a), test_free(b);
        }
}

static void the_rough_net_loses_doubles_and_reorders(void **state)
{
        (void)state;
        struct sim *s = sim_new(11);
        struct sim_net net = sim_net_rough;
        net.delay_max_us = 3000;
        sim_set_net(s, &net);
        struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 1, true);
        bl_flow_id f = peer_open(a, BL_UDP, b);
        unsigned count[1000] = {0}, lost = 0, twice = 0, late = 0, last = 0;
        for (unsigned i = 0; i < 1000; i++) {
                char text[16];
                snprintf(text, sizeof(text), "%03u", i);
                peer_say(a, f, text);
                sim_run_for(s, BL_MS(1));
        }
        sim_run_for(s, BL_SEC(1));
        for (const char *p = b->text; *p; p += 4) {
                unsigned i = (unsigned)strtoul(p, NULL, 10);
                count[i]++;
                late += i < last;
                last = i;
        }
        for (unsigned i = 0; i < 1000; i++) {
                lost += count[i] == 0;
                twice += count[i] == 2;
        }
        assert_in_range(lost, 10, 60);
        assert_in_range(twice, 5, 50);
        assert_in_range(late, 5, 200);
        sim_free(s);
        test_free(a), test_free(b);
}

static void a_full_stream_says_so_and_later_is_writable(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 1, true);
        bl_flow_id f = peer_open(a, BL_TCP, b);
        sim_run_for(s, BL_SEC(1));
        struct env *be = sim_env(b->node, 0);
        sim_enter(be);
        be->ops->pause(be, b->flow, true);
        sim_leave(be);
        static char kilo[1025];
        memset(kilo, 'x', 1024);
        int rc = 0;
        unsigned sent = 0;
        for (; sent < 400 && (rc = peer_say(a, f, kilo)) == 0; sent++)
                sim_run_for(s, BL_MS(1));
        assert_int_equal(rc, BL_EFULL);
        assert_in_range(sent, 256, 260);
        sim_run_for(s, BL_SEC(60)); /* a reader that does not read is no dead one */
        assert_int_equal(a->downs, 0);
        assert_int_equal(a->writables, 0);
        sim_enter(be);
        be->ops->pause(be, b->flow, false);
        sim_leave(be);
        sim_run_for(s, BL_SEC(5));
        assert_int_equal(a->writables, 1);
        assert_int_equal(b->n, sent * 1024);
        sim_free(s);
        test_free(a), test_free(b);
}

static void a_close_is_told_once_to_each_side(void **state)
{
        (void)state;
        for (int drain = 0; drain < 2; drain++) {
                struct sim *s = sim_new(3);
                struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 1, true);
                bl_flow_id f = peer_open(a, BL_TCP, b);
                sim_run_for(s, BL_SEC(1));
                struct env *e = sim_env(a->node, 0);
                sim_enter(e);
                peer_say_on(a, f, BL_STR("last words"));
                e->ops->close(e, f, drain);
                e->ops->close(e, f, drain); /* stale: no-op */
                sim_leave(e);
                assert_int_equal(a->downs, 1);
                assert_int_equal(a->why, 0);
                sim_run_for(s, BL_SEC(1));
                assert_int_equal(b->downs, 1);
                assert_int_equal(b->why, drain ? BL_EGONE : -ECONNRESET);
                assert_string_equal(b->text, drain ? "last words" : "");
                assert_int_equal(a->downs, 1);
                assert_int_equal(sim_flow_count(a->node) + sim_flow_count(b->node), 0);
                sim_free(s);
                test_free(a), test_free(b);
        }
}

static void octets_may_overtake_the_word_of_the_accept(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed < 30; seed++) {
                struct sim *s = sim_new(seed);
                struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 1, true);
                peer_open(a, BL_TCP, b);
                while (!b->ups)
                        sim_run_for(s, 10);
                peer_say(b, b->flow, "welcome");
                sim_run_for(s, BL_SEC(1));
                assert_int_equal(a->ups, 1);
                assert_string_equal(a->text, "welcome");
                sim_free(s);
                test_free(a), test_free(b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(datagrams_arrive_and_are_answered),
                cmocka_unit_test(a_listener_spreads_five_tuples_over_workers),
                cmocka_unit_test(nobody_listens),
                cmocka_unit_test(nobody_has_that_address),
                cmocka_unit_test(streams_keep_order_whatever_is_cut),
                cmocka_unit_test(the_rough_net_loses_doubles_and_reorders),
                cmocka_unit_test(a_full_stream_says_so_and_later_is_writable),
                cmocka_unit_test(a_close_is_told_once_to_each_side),
                cmocka_unit_test(octets_may_overtake_the_word_of_the_accept),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
