/* Responses on their way back (RFC 3261 section 16.7), CANCEL (16.10), Timer C (16.8), RFC 4320, RFC 6026. */
#include "unit/proxy/rig.h"

static const char BOB_URI[] = "sip:bob@bob.test";

static struct rig *invited(enum bl_tp tp)
{
        struct rig *r = rig_new();
        rig_start(r, tp);
        SAY(r, ALICE, .method = "INVITE", .ruri = BOB_URI);
        got(r, BOB, "INVITE");
        return r;
}

static void a_call_through(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        const struct got *inv = got(r, BOB, "INVITE");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 100 "), 1); /* at once */
        answer(r, BOB, inv, 100, "", "");
        answer(r, BOB, inv, 180, "b1", "X-Ring: yes\r\n");
        answer(r, BOB, inv, 183, "b1", "");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 100 "), 1); /* bob's went no further */
        assert_true(contains(got(r, ALICE, "SIP/2.0 180 "), "\r\nX-Ring: yes\r\n"));
        got(r, ALICE, "SIP/2.0 183 ");
        answer(r, BOB, inv, 200, "b1", "Contact: <sip:bob@10.0.0.1>\r\n");
        const struct got *ok = got(r, ALICE, "SIP/2.0 200 ");
        struct bl_msg *m = parsed(r, ok);
        assert_int_equal(r->accepts, 1);
        assert_int_equal(r->dones, 0);
        assert_int_equal(bl_msg_count(m, BL_H_VIA), 1);
        assert_str(m->via.branch, "z9hG4bKone");
        assert_true(contains(ok, "\r\nContact: <sip:bob@10.0.0.1>\r\n"));
        SAY(r, ALICE, .method = "ACK", .ruri = BOB_URI, .branch = "ack", .to = "<sip:bob@bob.test>;tag=b1");
        got(r, BOB, "ACK");
        /* RFC 6026: a repeated 2xx goes through by the same context */
        answer(r, BOB, inv, 200, "b1", "");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 200 "), 2);
        assert_int_equal(r->accepts, 1);
        assert_int_equal(r->n_seen, 4); /* 180, 183, 200, 200: each went by the role */
        SAY(r, ALICE, .method = "BYE", .ruri = BOB_URI, .branch = "bye", .to = "<sip:bob@bob.test>;tag=b1", .cseq = 2);
        answer(r, BOB, got(r, BOB, "BYE"), 200, "", "");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 200 "), 3);
        assert_int_equal(r->accepts, 1); /* a BYE waits for nothing */
        run_ms(r, 33000);
        assert_int_equal(bl_proxy_contexts(r->p), 0);
        assert_int_equal(r->dones, 3);
        /* and then a 2xx is a stray, which is not passed on */
        answer(r, BOB, inv, 200, "b1", "");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 200 "), 3);
        assert_int_equal(r->strays, 1);
        rig_end(r);
}

static void a_failure_is_acked_here_and_there(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        answer(r, BOB, got(r, BOB, "INVITE"), 486, "b1", "X: y\r\n");
        const struct got *g = got(r, ALICE, "SIP/2.0 486 ");
        assert_true(contains(g, "\r\nX: y\r\n"));
        got(r, BOB, "ACK");                           /* hop by hop */
        assert_int_equal(bl_proxy_contexts(r->p), 0); /* only transactions are left */
        assert_int_equal(r->n_failed, 1);
        assert_int_equal(r->failed[0], 486);
        ack(r, BOB_URI, "one", g);
        assert_int_equal(r->requests, 1);
        assert_int_equal(count_of(r, BOB, "ACK"), 1);
        rig_end(r);
}

static void non_invite_and_rfc_4320(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "MESSAGE", .ruri = BOB_URI);
        const struct got *g = got(r, BOB, "MESSAGE");
        assert_int_equal(r->ep[ALICE]->n, 0);
        answer(r, BOB, g, 183, "b", "");
        got_none(r, ALICE, "SIP/2.0 183 ");
        run_ms(r, 3300);
        got_none(r, ALICE, "SIP/2.0 100 "); /* not before Timer E would have reached T2 */
        run_ms(r, 400);
        got(r, ALICE, "SIP/2.0 100 ");
        answer(r, BOB, g, 202, "b", "");
        got(r, ALICE, "SIP/2.0 202 ");
        answer(r, BOB, g, 202, "b", "");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 202 "), 1);
        rig_end(r);
}

static void a_non_invite_that_nobody_answers_gets_504(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "MESSAGE", .ruri = BOB_URI);
        run_ms(r, 27500);
        got_none(r, ALICE, "SIP/2.0 504 ");
        run_ms(r, 1500);
        got(r, ALICE, "SIP/2.0 504 "); /* 64*T1 - 4 s: alice still listens */
        rig_end(r);
}

static void a_408_from_below_becomes_504_for_non_invites(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "MESSAGE", .ruri = BOB_URI);
        answer(r, BOB, got(r, BOB, "MESSAGE"), 408, "b", "");
        got(r, ALICE, "SIP/2.0 504 ");
        got_none(r, ALICE, "SIP/2.0 408 ");
        rig_end(r);
}

static void an_invite_that_nobody_answers_gets_408(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        run_ms(r, 31000);
        got_none(r, ALICE, "SIP/2.0 408 ");
        run_ms(r, 2000);
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 408 "));
        rig_end(r);
}

static void a_belay_neighbour_gets_100_at_once_over_streams(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        rig_start(r, BL_TCP);
        say(r, ALICE,
            "MESSAGE sip:bob@bob.test SIP/2.0\r\nVia: SIP/2.0/TCP a.test;branch=z9hG4bKx;sticky\r\n"
            "Max-Forwards: 7\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:bob@bob.test>\r\nCall-ID: q\r\nCSeq: 1 MESSAGE\r\n"
            "Content-Length: 0\r\n\r\n");
        got(r, ALICE, "SIP/2.0 100 ");
        rig_end(r);
}

static void cancel_while_ringing(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        const struct got *inv = got(r, BOB, "INVITE");
        answer(r, BOB, inv, 180, "b1", "");
        SAY(r, ALICE, .method = "CANCEL", .ruri = BOB_URI);
        struct bl_msg *c = parsed(r, got(r, ALICE, "SIP/2.0 200 "));
        assert_int_equal(c->cseq.method, BL_M_CANCEL);
        const struct got *down = got(r, BOB, "CANCEL sip:bob@bob.test SIP/2.0\r\n");
        assert_true(bl_str_eq(parsed(r, down)->via.branch, parsed(r, inv)->via.branch));
        answer(r, BOB, down, 200, "b1", "");
        answer(r, BOB, inv, 487, "b1", "X-By: bob\r\n");
        const struct got *g = got(r, ALICE, "SIP/2.0 487 ");
        assert_true(contains(g, "X-By: bob"));
        ack(r, BOB_URI, "one", g);
        assert_int_equal(r->requests, 1);
        rig_end(r);
}

static void cancel_before_anything_came(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        SAY(r, ALICE, .method = "CANCEL", .ruri = BOB_URI);
        got_none(r, BOB, "CANCEL"); /* section 9.1: not before a provisional */
        answer(r, BOB, nth(r, BOB, "INVITE", 0), 180, "b1", "");
        got(r, BOB, "CANCEL");
        answer(r, BOB, nth(r, BOB, "INVITE", 0), 487, "b1", "");
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 487 "));
        rig_end(r);
}

static void cancelled_and_never_answered(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        answer(r, BOB, got(r, BOB, "INVITE"), 180, "b1", "");
        SAY(r, ALICE, .method = "CANCEL", .ruri = BOB_URI);
        run_ms(r, 33000);
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 487 "));
        rig_end(r);
}

static void a_2xx_that_crosses_cancel_wins(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        const struct got *inv = got(r, BOB, "INVITE");
        answer(r, BOB, inv, 180, "b1", "");
        SAY(r, ALICE, .method = "CANCEL", .ruri = BOB_URI);
        answer(r, BOB, inv, 200, "b1", "");
        struct bl_msg *m = parsed(r, nth(r, ALICE, "SIP/2.0 200 ", 1));
        assert_int_equal(m->cseq.method, BL_M_INVITE);
        got_none(r, ALICE, "SIP/2.0 487 ");
        rig_end(r);
}

static void hold(struct rig *r, struct bl_px *px)
{
        assert_int_equal(bl_px_hold(px, true), 0);
        r->held = px;
}

static void cancel_while_the_role_thinks(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = hold;
        SAY(r, ALICE, .method = "INVITE", .ruri = BOB_URI);
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 100 "), 1);
        SAY(r, ALICE, .method = "CANCEL", .ruri = BOB_URI);
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 487 "));
        assert_int_equal(bl_proxy_contexts(r->p), 1); /* the role still has it */
        sim_enter(r->env);
        to_ruri(r, r->held);
        sim_leave(r->env);
        run_ms(r, 50);
        assert_int_equal(bl_proxy_contexts(r->p), 0);
        got_none(r, BOB, "INVITE");
        rig_end(r);
}

static void timer_c_cancels(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        const struct got *inv = got(r, BOB, "INVITE");
        answer(r, BOB, inv, 180, "b1", "");
        run_ms(r, 170000);
        answer(r, BOB, inv, 180, "b1", ""); /* step 2: starts anew */
        run_ms(r, 170000);
        got_none(r, BOB, "CANCEL");
        run_ms(r, 11000);
        got(r, BOB, "CANCEL");
        got_none(r, ALICE, "SIP/2.0 4");
        answer(r, BOB, inv, 487, "b1", "");
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 487 "));
        rig_end(r);
}

static void timer_c_is_configured_and_a_silent_cancel_ends(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        r->conf.txn.timer_c_ms = 60000;
        rig_start(r, BL_UDP);
        SAY(r, ALICE, .method = "INVITE", .ruri = BOB_URI);
        answer(r, BOB, got(r, BOB, "INVITE"), 180, "b1", "");
        run_ms(r, 61000);
        got(r, BOB, "CANCEL");
        run_ms(r, 33000);
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 408 "));
        rig_end(r);
}

/* 16.8: even a 100 tells that somebody has the request. */
static void timer_c_after_a_mere_100(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        const struct got *inv = got(r, BOB, "INVITE");
        answer(r, BOB, inv, 100, "", "");
        run_ms(r, 181000);
        got(r, BOB, "CANCEL");
        answer(r, BOB, inv, 487, "b1", "");
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 487 "));
        rig_end(r);
}

static void a_response_that_is_for_us_goes_nowhere(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "MESSAGE", .ruri = BOB_URI);
        const struct got *g = got(r, BOB, "MESSAGE");
        struct bl_msg *m = parsed(r, g);
        char text[1000];
        snprintf(
                text, sizeof(text),
                "SIP/2.0 200 OK\r\nVia: %.*s\r\nFrom: <sip:alice@alice.test>;tag=a1\r\nTo: <sip:bob@bob.test>;tag=b\r\n"
                "Call-ID: call-1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
                BL_STR_ARG(m->via.all));
        ep_say(r->ep[BOB], g->flow, bl_str_z(text));
        run_ms(r, 20);
        got_none(r, ALICE, "SIP/2.0 200 ");
        got(r, ALICE, "SIP/2.0 500 ");
        rig_end(r);
}

static void a_retransmission_is_absorbed(void **state)
{
        (void)state;
        struct rig *r = invited(BL_UDP);
        SAY(r, ALICE, .method = "INVITE", .ruri = BOB_URI);
        assert_int_equal(r->requests, 1);
        answer(r, BOB, got(r, BOB, "INVITE"), 404, "b1", "");
        SAY(r, ALICE, .method = "INVITE", .ruri = BOB_URI);
        assert_true(count_of(r, ALICE, "SIP/2.0 404 ") >= 2);
        assert_int_equal(r->requests, 1);
        ack(r, BOB_URI, "one", got(r, ALICE, "SIP/2.0 404 "));
        rig_end(r);
}

static void the_caller_goes_away(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        rig_start(r, BL_TCP);
        SAY(r, ALICE, .method = "MESSAGE", .ruri = BOB_URI);
        const struct got *g = got(r, BOB, "MESSAGE");
        sim_cut_between(r->ep[ALICE]->node, r->node, SIM_CUT_RESET);
        run_ms(r, 100);
        answer(r, BOB, g, 200, "b", "");
        run_ms(r, 100);
        assert_int_equal(bl_proxy_contexts(r->p), 0);
        rig_end(r);
}

/* protocol.md section 5: one branch on every try; and a 481 that only says that the BYE was served already is a 200. */
static void a_bye_served_by_the_candidate_that_died(void **state)
{
        (void)state;
        static const char *const methods[] = {"BYE", "INFO"};
        for (unsigned i = 0; i < 2; i++) {
                struct rig *r = rig_up();
                SAY(r, ALICE, .method = methods[i], .ruri = "sip:x@pair.test", .to = "<sip:x@pair.test>;tag=t");
                run_ms(r, 50);
                struct bl_msg *first = parsed(r, got(r, BOB, methods[i]));
                sim_cut_between(r->ep[BOB]->node, r->node, SIM_CUT_RESET);
                run_ms(r, 50);
                const struct got *c = got(r, CAROL, methods[i]);
                struct bl_msg *second = parsed(r, c);
                assert_true(bl_str_eq(first->via.branch, second->via.branch));
                assert_true(bl_str_eq(first->via.sent_by, second->via.sent_by));
                answer(r, CAROL, c, 481, "", "");
                run_ms(r, 2000);
                got(r, ALICE, i ? "SIP/2.0 481 " : "SIP/2.0 200 ");
                assert_int_equal(bl_proxy_contexts(r->p), 0);
                rig_end(r);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_call_through),
                cmocka_unit_test(a_failure_is_acked_here_and_there),
                cmocka_unit_test(non_invite_and_rfc_4320),
                cmocka_unit_test(a_non_invite_that_nobody_answers_gets_504),
                cmocka_unit_test(a_408_from_below_becomes_504_for_non_invites),
                cmocka_unit_test(an_invite_that_nobody_answers_gets_408),
                cmocka_unit_test(a_belay_neighbour_gets_100_at_once_over_streams),
                cmocka_unit_test(cancel_while_ringing),
                cmocka_unit_test(cancel_before_anything_came),
                cmocka_unit_test(cancelled_and_never_answered),
                cmocka_unit_test(a_2xx_that_crosses_cancel_wins),
                cmocka_unit_test(cancel_while_the_role_thinks),
                cmocka_unit_test(timer_c_cancels),
                cmocka_unit_test(timer_c_is_configured_and_a_silent_cancel_ends),
                cmocka_unit_test(timer_c_after_a_mere_100),
                cmocka_unit_test(a_bye_served_by_the_candidate_that_died),
                cmocka_unit_test(a_response_that_is_for_us_goes_nowhere),
                cmocka_unit_test(a_retransmission_is_absorbed),
                cmocka_unit_test(the_caller_goes_away),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
