/* Accidents: deaths, partitions, stops, cuts, a NAT that forgets. */
#include "unit/sim/peer.h"

#include <errno.h>

struct pair {
        struct sim *s;
        struct peer *a, *b; /* a opened both flows to b */
        bl_flow_id udp, tcp;
};

static struct pair pair_new(uint64_t seed)
{
        struct pair p = {.s = sim_new(seed)};
        p.a = peer_new(p.s, "a", 1, false);
        p.b = peer_new(p.s, "b", 1, true);
        p.udp = peer_open(p.a, BL_UDP, p.b);
        p.tcp = peer_open(p.a, BL_TCP, p.b);
        peer_say(p.a, p.udp, "u");
        sim_run_for(p.s, BL_SEC(1));
        peer_say(p.a, p.tcp, "t");
        sim_run_for(p.s, BL_SEC(1));
        assert_string_equal(p.b->text, "u|t");
        assert_int_equal(p.b->ups, 2);
        return p;
}

static void pair_free(struct pair *p)
{
        sim_free(p->s);
        assert_int_equal(p->a->deads, p->a->boots);
        assert_int_equal(p->b->deads, p->b->boots);
        test_free(p->a);
        test_free(p->b);
}

static void a_dead_process_is_noticed(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed < 8; seed++) {
                struct pair p = pair_new(seed);
                sim_kill(p.b->node, SIM_KILL_RESET);
                sim_run_for(p.s, BL_SEC(1));
                assert_int_equal(p.a->downs, 1); /* the stream, at once */
                assert_true(p.a->why == -ECONNRESET || p.a->why == BL_EGONE);
                assert_true(p.a->flow == p.tcp);
                peer_say(p.a, p.udp, "anybody?"); /* UDP at the first datagram */
                sim_run_for(p.s, BL_SEC(1));
                assert_int_equal(p.a->downs, 2);
                assert_int_equal(p.a->why, -ECONNREFUSED);
                pair_free(&p);
        }
}

static void a_machine_without_power_says_nothing(void **state)
{
        (void)state;
        struct pair p = pair_new(2);
        sim_kill(p.b->node, SIM_KILL_SILENT);
        sim_run_for(p.s, BL_SEC(3600));
        assert_int_equal(p.a->downs, 0); /* who says nothing hears nothing */
        peer_say(p.a, p.udp, "anybody?");
        peer_say(p.a, p.tcp, "anybody?");
        sim_run_for(p.s, BL_SEC(15));
        assert_int_equal(p.a->downs, 1);
        assert_int_equal(p.a->why, -ETIMEDOUT);
        assert_true(p.a->flow == p.tcp);
        pair_free(&p);
}

static void a_restarted_node_has_forgotten(void **state)
{
        (void)state;
        struct pair p = pair_new(2);
        sim_kill(p.b->node, SIM_KILL_SILENT);
        sim_restart(p.b->node);
        assert_int_equal(p.b->boots, 2);
        assert_int_equal(p.b->deads, 1);
        peer_say(p.a, p.tcp, "anybody?");
        peer_say(p.a, p.udp, "hello");
        sim_run_for(p.s, BL_SEC(1));
        assert_int_equal(p.a->downs, 1);
        assert_int_equal(p.a->why, -ECONNRESET); /* the stream is unknown there */
        assert_int_equal(p.b->ups, 3);           /* the 5-tuple is a new flow */
        assert_string_equal(p.b->text, "u|thello|");
        pair_free(&p);
}

static enum sim_verdict kill_receiver(struct sim *s, const struct sim_msg *m, enum sim_phase phase, void *arg)
{
        (void)s;
        if (phase == *(enum sim_phase *)arg && bl_str_eq(m->octets, BL_STR("INVITE")))
                sim_kill(sim_find(s, "b"), SIM_KILL_RESET);
        return SIM_PASS;
}

static void a_node_can_die_before_a_message_arrives_or_leaves(void **state)
{
        (void)state;
        for (enum sim_phase phase = SIM_SEND; phase <= SIM_DELIVER; phase++) {
                for (int tcp = 0; tcp < 2; tcp++) {
                        struct pair p = pair_new(4);
                        p.b->echo = true;
                        sim_observe(p.s, kill_receiver, &phase);
                        peer_say(p.a, tcp ? p.tcp : p.udp, "INVITE");
                        sim_run_for(p.s, BL_SEC(1));
                        assert_string_equal(p.b->text, "u|t"); /* never got it */
                        assert_false(sim_alive(p.b->node));
                        assert_string_equal(p.a->text, "");
                        pair_free(&p);
                }
        }
}

static enum sim_verdict kill_sender(struct sim *s, const struct sim_msg *m, enum sim_phase phase, void *arg)
{
        (void)s, (void)arg;
        if (phase == SIM_SEND && m->from == sim_find(s, "b"))
                sim_kill(m->from, SIM_KILL_RESET);
        return SIM_PASS;
}

static void a_node_that_dies_while_it_speaks_is_not_heard(void **state)
{
        (void)state;
        for (int tcp = 0; tcp < 2; tcp++) {
                struct pair p = pair_new(4);
                p.b->echo = true;
                sim_observe(p.s, kill_sender, NULL);
                peer_say(p.a, tcp ? p.tcp : p.udp, "INVITE");
                sim_run_for(p.s, BL_SEC(1));
                assert_int_equal(p.b->pieces, 3); /* it got the message */
                assert_false(sim_alive(p.b->node));
                assert_string_equal(p.a->text, "");
                pair_free(&p);
        }
}

static void partitions_hold_and_heal(void **state)
{
        (void)state;
        struct pair p = pair_new(5);
        p.b->echo = true;
        p.b->n = 0;
        sim_partition(p.b->node, p.a->node, SIM_ONE_WAY);
        peer_say(p.a, p.udp, "heard");
        peer_say(p.a, p.tcp, "late");
        sim_run_for(p.s, BL_SEC(2));
        assert_string_equal(p.b->text, "heard|");
        assert_string_equal(p.a->text, ""); /* the answer is lost */
        sim_heal(p.a->node, p.b->node);
        sim_run_for(p.s, BL_SEC(8));
        assert_string_equal(p.b->text, "heard|late"); /* the stream retransmits */
        assert_string_equal(p.a->text, "late");
        assert_int_equal(p.a->downs, 0);
        pair_free(&p);
}

static void a_stopped_process_finds_everything_later(void **state)
{
        (void)state;
        struct pair p = pair_new(6);
        p.b->echo = true;
        p.b->n = 0;
        sim_stop(p.b->node);
        peer_say(p.a, p.udp, "x");
        peer_say(p.a, p.tcp, "y");
        peer_open(p.a, BL_TCP, p.b);
        sim_run_for(p.s, BL_SEC(60));
        assert_string_equal(p.a->text, "");
        assert_int_equal(p.a->ups, 3); /* the kernel accepts for it */
        assert_int_equal(p.a->downs, 0);
        sim_cont(p.b->node);
        sim_run_for(p.s, BL_SEC(1));
        assert_int_equal(p.b->n, 3);
        assert_int_equal(p.a->n, 3);
        assert_int_equal(p.b->ups, 3);
        pair_free(&p);
}

static void flows_can_be_cut(void **state)
{
        (void)state;
        const int why[] = {-ECONNRESET, 0, BL_EGONE};
        for (enum sim_cut how = SIM_CUT_RESET; how <= SIM_CUT_FIN; how++) {
                struct pair p = pair_new(7);
                sim_cut_flow(p.a->node, p.tcp, how);
                peer_say(p.a, p.tcp, "anybody?");
                sim_run_for(p.s, BL_SEC(5));
                assert_int_equal(p.a->downs, how != SIM_CUT_SILENT);
                assert_int_equal(p.b->downs, how != SIM_CUT_SILENT);
                if (how != SIM_CUT_SILENT)
                        assert_int_equal(p.b->why, why[how]);
                sim_run_for(p.s, BL_SEC(10));
                assert_int_equal(p.a->downs, 1);
                peer_say(p.a, p.udp, "v");
                sim_run_for(p.s, BL_SEC(1));
                assert_string_equal(p.b->text, "u|tv|"); /* the other flow is well */
                sim_cut_flow(p.a->node, p.udp, how);
                sim_run_for(p.s, BL_SEC(1));
                assert_int_equal(p.a->downs, how == SIM_CUT_SILENT ? 1 : 2);
                pair_free(&p);
        }
}

static void choked_sends_say_full(void **state)
{
        (void)state;
        struct pair p = pair_new(8);
        sim_choke(p.a->node, true);
        assert_int_equal(peer_say(p.a, p.udp, "x"), BL_EFULL);
        sim_choke(p.a->node, false);
        sim_run_for(p.s, BL_SEC(1));
        assert_int_equal(p.a->writables, 1);
        assert_int_equal(peer_say(p.a, p.udp, "x"), 0);
        pair_free(&p);
}

static void a_nat_hides_forgets_and_rebinds(void **state)
{
        (void)state;
        struct sim *s = sim_new(9);
        struct sim_nat *nat = sim_nat(s, "203.0.113.7", 60000);
        struct peer *b = peer_new(s, "b", 1, true), *a = test_calloc(1, sizeof(*a));
        static const struct sim_node_ops ops = {.boot = peer_boot, .dead = peer_dead};
        a->node = sim_node(s, "a", 1, &ops, a);
        sim_behind(a->node, nat);
        sim_start(a->node);
        b->echo = true;
        bl_flow_id u = peer_open(a, BL_UDP, b);
        peer_say(a, u, "1");
        sim_run_for(s, BL_SEC(1));
        bl_flow_id t = peer_open(a, BL_TCP, b);
        sim_run_for(s, BL_SEC(1));
        peer_say(a, t, "2");
        sim_run_for(s, BL_SEC(1));
        assert_string_equal(a->text, "1|2");
        struct bl_addr ip;
        assert_int_equal(bl_addr_parse(BL_STR("203.0.113.7"), &ip), 0);
        assert_true(bl_addr_eq_ip(&b->remote, &ip));
        /* from outside, an idle mapping leads nowhere, a used one does */
        bl_flow_id back = sim_flow_to(b->node, a->node, 0);
        assert_true(back != 0);
        sim_run_for(s, BL_SEC(61));
        peer_say(b, back, "3");
        sim_run_for(s, BL_SEC(1));
        assert_string_equal(a->text, "1|2");
        peer_say(a, u, "4"); /* a new mapping, so another flow at b */
        sim_run_for(s, BL_SEC(1));
        assert_string_equal(a->text, "1|24|");
        assert_int_equal(b->ups, 3);
        sim_nat_rebind(nat);
        peer_say(a, u, "5");
        peer_say(a, t, "6");
        sim_run_for(s, BL_SEC(15));
        assert_int_equal(b->ups, 4);
        assert_string_equal(a->text, "1|24|5|");
        assert_int_equal(a->why, -ETIMEDOUT); /* the stream died silently */
        sim_free(s);
        test_free(a), test_free(b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_dead_process_is_noticed),
                cmocka_unit_test(a_machine_without_power_says_nothing),
                cmocka_unit_test(a_restarted_node_has_forgotten),
                cmocka_unit_test(a_node_can_die_before_a_message_arrives_or_leaves),
                cmocka_unit_test(a_node_that_dies_while_it_speaks_is_not_heard),
                cmocka_unit_test(partitions_hold_and_heal),
                cmocka_unit_test(a_stopped_process_finds_everything_later),
                cmocka_unit_test(flows_can_be_cut),
                cmocka_unit_test(choked_sends_say_full),
                cmocka_unit_test(a_nat_hides_forgets_and_rebinds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
