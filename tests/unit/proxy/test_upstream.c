/* A response whose flow has gone (RFC 3261 section 18.2.2): another flow of the same domain, or none. */
#include "unit/proxy/rig.h"

/* alice and carol are nodes of edge.test: their flows are linked to it. dave is nobody. */
static struct rig *rig_with_edges(struct bl_trust trust[2])
{
        struct rig *r = rig_new();
        for (unsigned i = 0; i < 2; i++)
                trust[i] = (struct bl_trust){.domain = BL_STR("edge.test"),
                                             .net = {sim_addr(r->ep[i ? CAROL : ALICE]->node, 0), 32},
                                             .why = BL_LINK_TRUST};
        r->conf.flow.trust = trust;
        r->conf.flow.n_trust = 2;
        rig_start(r, BL_TCP);
        r->ep[CAROL]->flow = rig_open(r, CAROL, BL_TCP);
        r->ep[DAVE]->flow = rig_open(r, DAVE, BL_TCP);
        return r;
}

static void say_by_edge(struct rig *r, const char *method, const char *host)
{
        char text[1000];
        snprintf(text, sizeof(text),
                 "%s sip:bob@bob.test;transport=udp SIP/2.0\r\nVia: SIP/2.0/TCP %s:5060;branch=z9hG4bKx;rport\r\n"
                 "Via: SIP/2.0/UDP ua.test;branch=z9hG4bKua\r\nMax-Forwards: 7\r\nFrom: <sip:a@b>;tag=1\r\n"
                 "To: <sip:bob@bob.test>\r\nCall-ID: q\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
                 method, host, method);
        say(r, ALICE, text);
}

/* The transaction moves with its first response that misses its flow: what follows goes where that one went, and is not
 * looked for again. */
static void another_edge_gets_it(void **state)
{
        static const unsigned finals[] = {200, 486};
        (void)state;
        for (unsigned i = 0; i < 4; i++) {
                struct bl_trust trust[2];
                struct rig *r = rig_with_edges(trust);
                const char *method = i < 2 ? "INVITE" : "BYE";
                say_by_edge(r, method, "edge.test");
                const struct got *g = got(r, BOB, method);
                if (i < 2)
                        answer(r, BOB, g, 180, "b", "");
                sim_cut_between(r->ep[ALICE]->node, r->node, SIM_CUT_RESET);
                run_ms(r, 50);
                if (i < 2) {
                        answer(r, BOB, g, 183, "b", "");
                        assert_int_equal(got(r, CAROL, "SIP/2.0 183 ")->flow, r->ep[CAROL]->flow);
                }
                answer(r, BOB, g, finals[i % 2], "b", "X: y\r\n");
                const struct got *at = got(r, CAROL, finals[i % 2] == 200 ? "SIP/2.0 200 " : "SIP/2.0 486 ");
                assert_true(contains(at, "branch=z9hG4bKx"));
                assert_true(contains(at, "X: y"));
                assert_int_equal(at->flow, r->ep[CAROL]->flow);
                got_none(r, DAVE, "SIP/2.0 ");
                assert_int_equal(sim_counter(r->node, "belay_rig_responses_moved_total", NULL), 1);
                rig_end(r);
        }
}

/* The Via alone moves nothing: only a flow that was that domain's when it came has others of that domain. */
static void a_via_of_a_domain_not_linked_moves_nothing(void **state)
{
        (void)state;
        for (unsigned i = 0; i < 2; i++) {
                struct bl_trust trust[2];
                struct rig *r = rig_with_edges(trust);
                struct ep *alice = r->ep[ALICE];
                if (i)
                        say_by_edge(r, "BYE", "dave.test");
                else { /* dave claims to be the edge */
                        r->ep[ALICE] = r->ep[DAVE];
                        say_by_edge(r, "BYE", "edge.test");
                        r->ep[ALICE] = alice;
                }
                const struct got *g = got(r, BOB, "BYE");
                sim_cut_between(r->ep[i ? ALICE : DAVE]->node, r->node, SIM_CUT_RESET);
                run_ms(r, 50);
                answer(r, BOB, g, 200, "b", "");
                got_none(r, ALICE, "SIP/2.0 200");
                got_none(r, CAROL, "SIP/2.0 ");
                got_none(r, DAVE, "SIP/2.0 ");
                assert_int_equal(bl_proxy_contexts(r->p), 0);
                rig_end(r);
        }
}

/* No other flow of the domain: one is opened to what RFC 3263 section 5 gives for the sent-by, a name or a number. */
static void one_is_opened_to_the_sent_by(void **state)
{
        static const char *const methods[] = {"INVITE", "BYE", "BYE"};
        (void)state;
        for (unsigned i = 0; i < 3; i++) {
                struct bl_trust trust[2];
                char ip[BL_ADDR_TEXT];
                struct bl_sb b = BL_SB(ip);
                struct rig *r = rig_with_edges(trust);
                struct bl_addr at = sim_addr(r->ep[ALICE]->node, 0);
                trust[0].domain = BL_STR("alice.test");
                r->ep[ALICE]->flow = rig_open(r, ALICE, BL_TCP);
                bl_addr_put_ip(&b, &at);
                bl_sb_addc(&b, 0);
                say_by_edge(r, methods[i], i < 2 ? "alice.test" : ip);
                const struct got *g = got(r, BOB, methods[i]);
                sim_cut_between(r->ep[ALICE]->node, r->node, SIM_CUT_RESET);
                run_ms(r, 50);
                got_none(r, ALICE, "SIP/2.0 200");
                answer(r, BOB, g, 200, "b", "X: y\r\n");
                assert_true(contains(got(r, ALICE, "SIP/2.0 200 "), "branch=z9hG4bKx"));
                got_none(r, CAROL, "SIP/2.0 ");
                assert_int_equal(sim_counter(r->node, "belay_rig_responses_moved_total", NULL), 1);
                rig_end(r);
        }
}

/* The far end is not there any more: the answer is lost, and nothing is left of it. */
static void nobody_is_there_any_more(void **state)
{
        struct bl_trust trust[2];
        struct rig *r = rig_with_edges(trust);
        (void)state;
        trust[0].domain = BL_STR("alice.test");
        r->ep[ALICE]->flow = rig_open(r, ALICE, BL_TCP);
        say_by_edge(r, "BYE", "alice.test");
        const struct got *g = got(r, BOB, "BYE");
        sim_kill(r->ep[ALICE]->node, SIM_KILL_RESET);
        run_ms(r, 50);
        answer(r, BOB, g, 200, "b", "");
        run_ms(r, 5000);
        assert_int_equal(sim_counter(r->node, "belay_rig_responses_moved_total", NULL), 0);
        assert_int_equal(bl_proxy_contexts(r->p), 0);
        rig_end(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(another_edge_gets_it),
                cmocka_unit_test(a_via_of_a_domain_not_linked_moves_nothing),
                cmocka_unit_test(one_is_opened_to_the_sent_by),
                cmocka_unit_test(nobody_is_there_any_more),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
