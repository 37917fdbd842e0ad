/* Flows that die, edges that are gone, and memory that is: RFC 5626 section 4.5, protocol.md sections 4.4 and 5. */
#include "unit/oom.h"
#include "unit/ua/rig.h"

static unsigned registers(struct rig *r, unsigned e)
{
        return count(&r->end[e], "REGISTER");
}
static void kill_edge(struct rig *r, unsigned e)
{
        sim_kill(r->end[e].node, SIM_KILL_RESET);
}
static void restart_edge(struct rig *r, unsigned e)
{
        sim_restart(r->end[e].node);
}
static bool says(const struct got *g, const char *text)
{
        return strstr(g->text, text) != NULL;
}

/* The last address first, at once, on a new flow, with P and its address. */
static void a_lost_flow_comes_back(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_TCP);
        unsigned n = registers(r, E1), home = registers(r, HOME);
        bl_flow_id old = flow_at(&r->end[E1]);
        r->looked = r->n_seen;
        sim_cut_between(r->node, r->end[E1].node, SIM_CUT_RESET);
        struct seen *down = told(r, BL_UA_FLOW_DOWN);
        bl_us then = down->when;
        assert_true(strstr(down->text, r->end[E1].ip) != NULL);
        (void)told(r, BL_UA_UNREGISTERED);
        assert_int_equal(bl_ua_flows(r->ua), 1);
        struct seen *up = told(r, BL_UA_FLOW_UP);
        assert_in_range(up->when - then, 0, BL_SEC(1));
        (void)told(r, BL_UA_REGISTERED);
        assert_int_equal(registers(r, E1), n + 1);
        struct got *g = last(&r->end[E1], "REGISTER");
        char route[200];
        snprintf(route, sizeof route, "Route: <" P_URI ";maddr=%s>", r->end[E1].ip);
        assert_true(says(g, route) && g->flow != old);
        assert_int_equal(registers(r, HOME), home); /* no discovery */
        rig_free(r);
}

/* A dead edge: the next one adopts P, named by maddr. Its list names the living; there are still two flows. */
static void another_edge_adopts(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_TCP);
        unsigned lost = registers(r, E3) ? E3 : E1;
        assert_int_equal(registers(r, E3), 0);
        kill_edge(r, lost);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        char route[200];
        snprintf(route, sizeof route, "Route: <" P_URI ";maddr=%s>", r->end[E3].ip);
        assert_true(says(last(&r->end[E3], "REGISTER"), route));
        rig_run(r, 500);
        assert_int_equal(bl_ua_flows(r->ua), 2); /* the list of the adopting edge made no third */
        assert_int_equal(registers(r, E2), 1 + 1 /* its refreshes */);
        rig_free(r);
}

/* All dead: 30 s doubled with each failed round, 50 to 100 % of it; with one alive 90 s (RFC 5626 section 4.5). */
static void rounds(struct rig *r, unsigned base)
{
        for (unsigned n = 1; n < 8; n++) {
                struct seen *s;
                do /* each address of the round, then its end */
                        s = told(r, BL_UA_REGISTER_FAILED);
                while (s->ev.retry_ms <= 1000);
                unsigned upper = base << n < 1800 ? base << n : 1800;
                assert_in_range(s->ev.retry_ms, upper * 500, upper * 1000);
                assert_true(s->ev.local);
                rig_run(r, s->ev.retry_ms / 1000.0 + 0.1);
        }
}
static void rounds_wait_longer_each(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_TCP);
        r->conf.flows = 1;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        for (unsigned e = E1; e < ENDS; e++)
                kill_edge(r, e);
        (void)told(r, BL_UA_FLOW_DOWN);
        rounds(r, 30);
        restart_edge(r, E3);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 1900);
        rig_free(r);

        r = rig_up(BL_TCP);
        kill_edge(r, E1);
        kill_edge(r, E3);
        (void)told(r, BL_UA_FLOW_DOWN);
        rounds(r, 90);
        rig_free(r);

        r = rig_new(BL_TCP); /* or what the configuration says */
        r->conf.retry_base_s = 3;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        kill_edge(r, E1);
        kill_edge(r, E3);
        (void)told(r, BL_UA_FLOW_DOWN);
        rounds(r, 3);
        rig_free(r);
}

/* The edge saw no other alive and named itself only: the UA finds another by itself, also when that comes later. */
static void fewer_were_named_than_wanted(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_TCP);
        r->set = 0;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        assert_true(says(last(&r->end[registers(r, E2) ? E2 : E3], "REGISTER"), ";maddr="));
        rig_free(r);

        r = rig_new(BL_TCP);
        r->set = 0;
        kill_edge(r, E2);
        kill_edge(r, E3);
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        rig_run(r, 100);
        assert_int_equal(bl_ua_flows(r->ua), 1);
        restart_edge(r, E3);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 1900);
        rig_free(r);
}

/* A cluster of one edge has nothing to offer; nobody is bothered with that. */
static void one_edge_is_all_there_is(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_TCP);
        r->set = 0;
        r->stack_conf.hop.n_map = 2; /* home and e1 */
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        rig_run(r, 7200);
        assert_int_equal(told_count(r, BL_UA_REGISTER_FAILED), 0);
        assert_int_equal(bl_ua_flows(r->ua), 1);
        rig_free(r);
}

/* Draining (protocol.md section 5): a 305 to a refresh. The old flow serves until the new one is registered. */
static bool drains(struct end *e, struct got *g)
{
        struct rig *r = e->r;
        char line[600];
        if (!has_route_p(g->m) || says(g, ";expires=0"))
                return false;
        snprintf(line, sizeof line, "Contact: <" P_URI ";maddr=%s>;q=0.9, <" P_URI ";maddr=%s>;q=0.5\r\n",
                 r->end[E2].ip, r->end[E3].ip);
        reply_full(g, 305, "reg", line, NULL, true);
        return true;
}
static void a_draining_edge_is_left(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_TCP);
        r->end[E1].script = drains;
        rig_run(r, 310);
        assert_int_equal(bl_ua_flows(r->ua), 2);
        assert_int_equal(registers(r, E3), 1);                         /* not at e2, where the other flow is */
        assert_int_equal(sim_flow_to(r->node, r->end[E1].node, 0), 0); /* moved, and closed */
        assert_true(sim_flow_to(r->node, r->end[E3].node, 0) != 0);
        rig_free(r);
}

/* All that the 305 names have a flow of ours: this edge is to adopt, by its own address (4.4). */
static bool only_e2(struct end *e, struct got *g)
{
        char line[300];
        if (!has_route_p(g->m) || says(g, "Route: <" P_URI ";maddr="))
                return false;
        snprintf(line, sizeof line, "Contact: <" P_URI ";maddr=%s>\r\n", e->r->end[E2].ip);
        reply_full(g, 305, "reg", line, NULL, true);
        return true;
}
static void told_to_go_where_it_is_it_stays(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_TCP);
        bl_flow_id flow = flow_at(&r->end[E1]);
        r->end[E1].script = only_e2;
        rig_run(r, 310);
        char route[200];
        snprintf(route, sizeof route, "Route: <" P_URI ";maddr=%s>", r->end[E1].ip);
        struct got *g = last(&r->end[E1], "REGISTER");
        assert_true(says(g, route));
        assert_true(g->flow == flow);
        assert_int_equal(bl_ua_flows(r->ua), 2);
        rig_free(r);
}

/* P's key is gone: 305 to the cluster without user. One registration asks for a new P, the other takes its name. */
static bool unknown_key(struct end *e, struct got *g)
{
        if (!has_route_p(g->m))
                return false;
        e->script = NULL;
        reply_full(g, 305, "reg", "Contact: <sip:edge.example.com;lr>\r\n", NULL, true);
        return true;
}
static void a_key_that_is_gone(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_TCP);
        rig_run(r, 290);
        r->end[E1].script = r->end[E2].script = unknown_key;
        UNTIL(r, !r->end[E1].script && !r->end[E2].script, 40);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 40);
        rig_run(r, 30);
        unsigned initial = 0;
        for (unsigned e = E1; e < ENDS; e++)
                for (unsigned i = 0; i < r->end[e].n; i++)
                        initial += says(&r->end[e].got[i], "Route: <sip:edge.example.com;lr>");
        assert_int_equal(initial, 2); /* at the start, and now: once each */
        rig_free(r);
}

/* An edge that takes registrations and drops the flow each time is not hammered. */
static void flows_that_die_young(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_TCP);
        r->conf.flows = 1;
        r->stack_conf.hop.n_map = 2;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        for (unsigned i = 0; i < 40; i++) {
                sim_cut_between(r->node, r->end[E1].node, SIM_CUT_RESET);
                rig_run(r, 3);
        }
        assert_in_range(registers(r, E1), 4, 12); /* of 40 cuts in two minutes */
        rig_run(r, 1900);
        assert_int_equal(bl_ua_flows(r->ua), 1);
        rig_free(r);
}

/* The flow dies while a challenge is being answered, in discovery and later. */
static bool dies_on_answer(struct end *e, struct got *g)
{
        if (!bl_msg_has(g->m, BL_H_AUTHORIZATION))
                return false;
        e->script = NULL;
        struct bl_flow *f = NULL;
        (void)f;
        sim_env(e->node, 0)->ops->close(sim_env(e->node, 0), g->flow, false);
        return true;
}
static void a_flow_dies_while_its_answer_is_due(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_TCP);
        r->digest = true;
        r->end[E1].script = r->end[E2].script = dies_on_answer;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 100);
        rig_free(r);
}

/* RFC 5626 section 4.4: keep-alives at 80 to 100 % of Flow-Timer; an edge that answers none has lost the flow. */
static void silence_is_death(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->flow_timer = 20;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        rig_run(r, 200);
        assert_int_equal(told_count(r, BL_UA_FLOW_DOWN), 0); /* answered, by STUN */
        bl_us then = sim_now(r->s);
        r->end[E1].deaf = true;
        struct seen *s = told(r, BL_UA_FLOW_DOWN);
        assert_in_range(s->when - then, BL_SEC(9), BL_SEC(31));
        UNTIL(r, bl_ua_flows(r->ua) == 2, 40); /* e3 */
        rig_free(r);
}

/* Of several proxies to start with (DHCP), the next one when the first does not answer, the first again after the
 * last. */
static void proxies_in_turn(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        static const struct bl_str uris[] = {{"sip:10.9.9.9;lr", 15}, {"sip:edge.example.com;lr", 23}};
        rig_boot_now(r);
        sim_enter(r->env);
        assert_int_equal(bl_ua_set_proxies(r->ua, (struct bl_str[]){BL_STR("no URI")}, 1), BL_EINVAL);
        assert_int_equal(bl_ua_set_proxies(r->ua, uris, 2), 0);
        bl_ua_start(r->ua);
        sim_leave(r->env);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 100);
        assert_int_equal(count(&r->end[HOME], "REGISTER"), 0); /* step 3, not step 1 */
        assert_str(text_str(&r->ua->outbound_proxy), "sip:edge.example.com;lr");
        rig_free(r);
        r = rig_new(BL_UDP); /* nobody anywhere: round after round */
        rig_boot_now(r);
        for (unsigned e = HOME; e < ENDS; e++)
                r->end[e].deaf = true;
        sim_enter(r->env);
        assert_int_equal(bl_ua_set_proxies(r->ua, uris, 2), 0);
        bl_ua_start(r->ua);
        sim_leave(r->env);
        rig_run(r, 1000);
        assert_true(told_count(r, BL_UA_REGISTER_FAILED) > 5);
        UNTIL(r, bl_flows_count(bl_txns_flows(r->stack->txns)) == 0, 100); /* tries in vain leave none behind */
        for (unsigned e = HOME; e < ENDS; e++)
                r->end[e].deaf = false;
        UNTIL(r, bl_ua_flows(r->ua) == 2, 2000);
        assert_int_equal(bl_ua_set_proxies(r->ua, uris, 0), 0);
        assert_int_equal(r->ua->outbound_proxy.n, 0);
        rig_free(r);
}

/* A registrar that never spoke of outbound gets no keep-alives that it would not answer. */
static void no_keepalive_where_none_was_agreed(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        r->list_name = NULL;
        r->end[E1].status = r->end[E2].status = r->end[E3].status = 439;
        r->end[E1].fails = r->end[E2].fails = r->end[E3].fails = 1;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        for (unsigned e = E1; e < ENDS; e++)
                r->end[e].deaf = true;
        rig_run(r, 200);
        assert_int_equal(bl_ua_flows(r->ua), 1);
        rig_free(r);
}

/* Memory ends somewhere, each time a little later: nothing breaks, and all of it comes back. */
static void calls_and_registrations(struct rig *r)
{
        rig_start(r);
        rig_run(r, 3);
        struct call c = {0};
        struct bl_ua_body sdp = {BL_STR("application/sdp"), BL_STR("v=0\r\n")};
        sim_enter(r->env);
        int rc = bl_ua_call(r->ua, BL_STR("sip:bob@example.com"), nothing, &sdp, &c.d, &c.r);
        sim_leave(r->env);
        rig_run(r, 0.1);
        for (unsigned e = E1; rc == 0 && e < ENDS; e++) {
                struct got *g = end_find(&r->end[e], "INVITE");
                if (!g)
                        continue;
                g->taken = true;
                reply_full(g, 180, "one", DIALOG_LINES, NULL, false);
                reply_full(g, 180, "two", DIALOG_LINES, NULL, false);
                reply_full(g, 200, "two", DIALOG_LINES, NULL, false);
                reply_full(g, 200, "one", DIALOG_LINES, NULL, false);
        }
        rig_run(r, 0.1);
        if (bl_ua_flows(r->ua) && text_str(&r->ua->contact).n)
                for (unsigned e = E1; e <= E2; e++)
                        if (sim_flow_to(r->node, r->end[e].node, 0)) {
                                ask(&r->end[e], "INVITE", e == E1 ? "i1" : "i2", "", 1);
                                ask(&r->end[e], "OPTIONS", e == E1 ? "o1" : "o2", "", 2);
                        }
        rig_run(r, 0.1);
        for (unsigned i = 0; i < r->n_seen; i++)
                if (r->seen[i].ev.kind == BL_UA_INVITED && (answer_with(r, r->seen[i].ev.request, 200) < 0))
                        (void)answer_with(r, r->seen[i].ev.request, 503);
        rig_run(r, 320);
        sim_cut_between(r->node, r->end[E1].node, SIM_CUT_RESET);
        rig_run(r, 40);
        sim_enter(r->env);
        bl_ua_stop(r->ua);
        sim_leave(r->env);
        rig_run(r, 40);
}
static void memory_ends(void **state)
{
        (void)state;
        unsigned worked = 0;
        for (size_t limit = 512; limit < 40000; limit += 352) {
                struct rig *r = rig_new(limit & 32 ? BL_UDP : BL_TCP);
                r->digest = true;
                r->pool_limit = limit;
                sim_start(r->node);
                if (r->ua)
                        calls_and_registrations(r);
                worked += told_count(r, BL_UA_REGISTERED) >= 2;
                if (!r->ua) {
                        bl_ua_stack_free(r->stack);
                        r->stack = NULL;
                } else
                        r->other_flows = UINT_MAX;
                rig_free(r);
        }
        assert_in_range(worked, 10, 110);
}

/* One allocation fails, each time a later one: nothing breaks, all of it comes back, and the UA is registered again
 * whatever it was. */
static void one_allocation_fails(void **state)
{
        (void)state;
        long n = 0;
        for (bool struck = true; struck; n++) {
                struct rig *r = rig_new(n & 1 ? BL_UDP : BL_TCP);
                r->digest = true;
                sim_start(r->node);
                oom_pool_fail_at(r->env->pool, n);
                calls_and_registrations(r);
                struck = oom_pool_struck();
                oom_pool_fail_at(NULL, 0);
                rig_start(r);
                UNTIL(r, bl_ua_flows(r->ua) == 2, 400);
                r->other_flows = UINT_MAX;
                rig_free(r);
        }
        print_message("%ld allocations\n", n - 1);
        assert_true(n > 150);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_lost_flow_comes_back),
                cmocka_unit_test(another_edge_adopts),
                cmocka_unit_test(rounds_wait_longer_each),
                cmocka_unit_test(fewer_were_named_than_wanted),
                cmocka_unit_test(one_edge_is_all_there_is),
                cmocka_unit_test(a_draining_edge_is_left),
                cmocka_unit_test(told_to_go_where_it_is_it_stays),
                cmocka_unit_test(a_key_that_is_gone),
                cmocka_unit_test(flows_that_die_young),
                cmocka_unit_test(a_flow_dies_while_its_answer_is_due),
                cmocka_unit_test(silence_is_death),
                cmocka_unit_test(proxies_in_turn),
                cmocka_unit_test(no_keepalive_where_none_was_agreed),
                cmocka_unit_test(memory_ends),
                cmocka_unit_test(one_allocation_fails),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
