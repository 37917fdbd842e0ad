/* Requests of others: answered once, by whatever flow lives (RFC 3261 sections 8.2, 12.2.2, 13.3, protocol.md 5). */
#include "unit/ua/rig.h"

/* An INVITE by e1, told to the application; to_tag is ours. */
static struct seen *invited(struct rig *r, const char *branch)
{
        ask(&r->end[E1], "INVITE", branch, "", 1);
        return told(r, BL_UA_INVITED);
}
static const char *tag_of(struct rig *r, struct bl_dialog *d)
{
        struct bl_str t = text_str(&d->local_tag);
        char *z = bl_arena_zalloc(r->arena, t.n + 1);
        memcpy(z, t.p, t.n);
        return z;
}
/* A call of theirs by e1 that is up; its ACK is sent when `ack`. */
static struct bl_dialog *call_in(struct rig *r, bool ack)
{
        struct seen *s = invited(r, "inv");
        struct bl_dialog *d = s->ev.dialog;
        assert_int_equal(answer_with(r, s->ev.request, 200), 0);
        (void)expect(&r->end[E1], "SIP/2.0 200");
        if (!ack)
                return d;
        ask(&r->end[E1], "ACK", "ack", tag_of(r, d), 1);
        assert_ptr_equal(told(r, BL_UA_ACKED)->ev.dialog, d);
        return d;
}
static unsigned told_requests(const struct rig *r)
{
        return told_count(r, BL_UA_REQUEST) + told_count(r, BL_UA_INVITED);
}

static void a_call_of_theirs(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct bl_dialog *d = call_in(r, true);
        struct got *ok = last(&r->end[E1], "SIP/2.0 200");
        assert_non_null(strstr(ok->text, "Record-Route: <" P_URI ";d=1>, <sip:example.com;lr;d=2>\r\n"));
        assert_non_null(strstr(ok->text, "Contact: <sip:"));
        assert_non_null(strstr(ok->text, "Allow: INVITE"));
        rig_run(r, 40);
        assert_int_equal(count(&r->end[E1], "SIP/2.0 200"), 1); /* the ACK ended the repetition */
        in_dialog(r, d, BL_M_INFO);
        struct got *info = expect(&r->end[E1], "INFO sip:bob@10.9.9.9 SIP/2.0");
        assert_non_null(strstr(info->text, "Route: <" P_URI ";d=1>\r\nRoute: <sip:example.com;lr;d=2>\r\n"));
        reply(info, 200, NULL);
        ask(&r->end[E1], "BYE", "bye", tag_of(r, d), 2);
        (void)expect(&r->end[E1], "SIP/2.0 200");
        assert_int_equal(told(r, BL_UA_REQUEST)->ev.method, BL_M_BYE);
        assert_ptr_equal(told(r, BL_UA_DIALOG_GONE)->ev.dialog, d);
        rig_free(r);
}

/* Section 13.3.1.4 and protocol.md 5: the 2xx is repeated, from the second time by the flows in turn, for 64*T1; then
 * the call ends. */
static void an_unacked_2xx_takes_turns_and_ends_in_bye(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        (void)call_in(r, false);
        bl_us begin = sim_now(r->s);
        struct got *first = expect(&r->end[E1], "SIP/2.0 200"), *second = expect(&r->end[E2], "SIP/2.0 200");
        assert_in_range(first->when - begin, BL_MS(450), BL_MS(550));
        assert_in_range(second->when - begin, BL_MS(1450), BL_MS(1550));
        assert_in_range(expect(&r->end[E1], "SIP/2.0 200")->when - begin, BL_MS(3450), BL_MS(3550));
        struct got *bye = expect_anywhere(r, "BYE sip:bob@10.9.9.9");
        assert_in_range(bye->when - begin, BL_SEC(32) - BL_MS(100), BL_SEC(37));
        reply(bye, 200, NULL);
        (void)told(r, BL_UA_DIALOG_GONE);
        assert_int_equal(told_count(r, BL_UA_ANSWERED), 0); /* the BYE was the stack's own */
        rig_free(r);
}

/* Section 15: a BYE of the called party waits for the ACK. */
static void our_bye_waits_for_the_ack(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct bl_dialog *d = call_in(r, false);
        in_dialog(r, d, BL_M_BYE);
        struct bl_ua_request *q;
        assert_int_equal(bl_ua_in_dialog(d, BL_M_INFO, nothing, NULL, &q), BL_EINVAL);
        rig_run(r, 2);
        assert_int_equal(count(&r->end[E1], "BYE"), 0);
        ask(&r->end[E1], "ACK", "ack", tag_of(r, d), 1);
        struct got *bye = expect_anywhere(r, "BYE");
        reply(bye, 200, NULL);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.method, BL_M_BYE);
        (void)told(r, BL_UA_DIALOG_GONE);
        rig_free(r);
}

/* The flow that a request came by dies before its answer: it goes by the other (RFC 3261 section 18.2.2). */
static void answers_move_to_a_flow_that_lives(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_TCP);
        struct seen *s = invited(r, "inv");
        struct bl_dialog *d = s->ev.dialog;
        sim_kill(r->end[E1].node, SIM_KILL_RESET);
        (void)told(r, BL_UA_FLOW_DOWN);
        assert_int_equal(answer_with(r, s->ev.request, 180), 0);
        (void)expect(&r->end[E2], "SIP/2.0 180");
        assert_int_equal(answer_with(r, s->ev.request, 200), 0);
        struct got *ok = expect(&r->end[E2], "SIP/2.0 200");
        assert_in_range(sim_now(r->s) - ok->when, 0, BL_MS(20)); /* at once, not as a repetition */
        ask(&r->end[E2], "ACK", "ack", tag_of(r, d), 1);
        (void)told(r, BL_UA_ACKED);
        ask(&r->end[E2], "INFO", "info", tag_of(r, d), 2);
        s = told(r, BL_UA_REQUEST);
        assert_int_equal(answer_with(r, s->ev.request, 200), 0);
        (void)expect(&r->end[E2], "SIP/2.0 200");
        rig_free(r);
}

/* A refusal is repeated until its ACK; when its flow dies in between, by another. */
static void a_repeated_refusal_moves_too(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct seen *s = invited(r, "inv");
        assert_int_equal(answer_with(r, s->ev.request, 486), 0);
        (void)expect(&r->end[E1], "SIP/2.0 486");
        sim_kill(r->end[E1].node, SIM_KILL_RESET); /* its kernel answers the next copy with ICMP */
        (void)expect(&r->end[E2], "SIP/2.0 486");
        rig_free(r);
}

/* Section 5: the same request as another transaction is answered alike and told once; while the first waits it is a
 * merged one (RFC 3261 section 8.2.2.2). After 64*T1 it is forgotten. */
static void finals_are_remembered(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct seen *s = invited(r, "one");
        const char *tag = tag_of(r, s->ev.dialog);
        ask(&r->end[E2], "INVITE", "two", "", 1);
        (void)expect(&r->end[E2], "SIP/2.0 482");
        assert_int_equal(answer_with(r, s->ev.request, 486), 0);
        struct got *first = expect(&r->end[E1], "SIP/2.0 486");
        ask(&r->end[E1], "ACK", "one", tag, 1);
        ask(&r->end[E2], "INVITE", "three", "", 1);
        struct got *again = expect(&r->end[E2], "SIP/2.0 486");
        assert_true(bl_str_eq(first->m->to_tag, again->m->to_tag));
        assert_int_equal(told_requests(r), 1);
        ask(&r->end[E2], "MESSAGE", "m1", "", 2);
        s = told(r, BL_UA_REQUEST);
        assert_int_equal(answer_with(r, s->ev.request, 200), 0);
        (void)expect(&r->end[E2], "SIP/2.0 200");
        ask(&r->end[E1], "MESSAGE", "m2", "", 2);
        (void)expect(&r->end[E1], "SIP/2.0 200");
        assert_int_equal(told_requests(r), 2);
        rig_run(r, 33);
        ask(&r->end[E1], "MESSAGE", "m3", "", 2);
        (void)told(r, BL_UA_REQUEST);
        assert_int_equal(told_requests(r), 3);
        rig_free(r);
}

/* A fork that reaches two UAs of one stack is two requests. */
static void a_fork_to_two_of_one_stack(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct bl_ua *first = r->ua, *second;
        r->conf.instance = BL_STR("urn:uuid:00000000-0000-1000-8000-000000000002");
        sim_enter(r->env);
        assert_non_null(second = bl_ua_new(r->stack, &r->conf));
        bl_ua_start(second);
        sim_leave(r->env);
        UNTIL(r, bl_ua_flows(second) == 2, 10);
        struct seen *a = invited(r, "one");
        assert_ptr_equal(a->ev.ua, first);
        r->ua = second;
        struct seen *b = invited(r, "two");
        assert_ptr_equal(b->ev.ua, second);
        assert_int_equal(answer_with(r, a->ev.request, 486), 0);
        assert_int_equal(answer_with(r, b->ev.request, 603), 0);
        (void)expect(&r->end[E1], "SIP/2.0 486");
        (void)expect(&r->end[E1], "SIP/2.0 603");
        sim_enter(r->env);
        bl_ua_free(first);
        sim_leave(r->env);
        rig_free(r);
}

/* Section 9.2. What the application answers inside the event comes too late. */
static void cancelled_inside(struct rig *r, const struct bl_ua_event *ev)
{
        (void)r;
        if (ev->kind == BL_UA_CANCELLED)
                assert_int_equal(bl_ua_answer(ev->request, 200, nothing, NULL), BL_EINVAL);
}
static void a_cancelled_call(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        r->on_event = cancelled_inside;
        struct seen *s = invited(r, "inv");
        assert_int_equal(answer_with(r, s->ev.request, 180), 0);
        ask(&r->end[E1], "CANCEL", "inv", "", 1);
        (void)expect(&r->end[E1], "SIP/2.0 200");
        (void)expect(&r->end[E1], "SIP/2.0 487");
        (void)told(r, BL_UA_CANCELLED);
        (void)told(r, BL_UA_DIALOG_GONE);
        rig_free(r);
}

/* Section 15.1.2: a BYE in an early dialog, or while a re-INVITE waits, answers that 487 and tells the application. */
static void a_bye_ends_what_waits(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct bl_dialog *d = call_in(r, true);
        ask(&r->end[E1], "INVITE", "re", tag_of(r, d), 2);
        struct bl_ua_request *re = told(r, BL_UA_REQUEST)->ev.request;
        ask(&r->end[E1], "BYE", "bye", tag_of(r, d), 3);
        assert_ptr_equal(told(r, BL_UA_CANCELLED)->ev.request, re);
        (void)expect(&r->end[E1], "SIP/2.0 487");
        (void)expect(&r->end[E1], "SIP/2.0 200");
        (void)told(r, BL_UA_DIALOG_GONE);
        rig_free(r);
}

static void sequence_and_glare(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct bl_dialog *d = call_in(r, true);
        struct end *e = &r->end[E1];
        const char *tag = tag_of(r, d);
        ask(e, "INFO", "i5", tag, 5);
        assert_int_equal(answer_with(r, told(r, BL_UA_REQUEST)->ev.request, 200), 0);
        (void)expect(e, "SIP/2.0 200");
        ask(e, "INFO", "i4", tag, 4); /* section 12.2.2 */
        (void)expect(e, "SIP/2.0 500");
        ask(e, "INVITE", "r6", tag, 6);
        struct bl_ua_request *re = told(r, BL_UA_REQUEST)->ev.request;
        ask(e, "INVITE", "r7", tag, 7); /* section 14.2 */
        assert_true(bl_msg_has(expect(e, "SIP/2.0 500")->m, BL_H_RETRY_AFTER));
        assert_int_equal(answer_with(r, re, 488), 0);
        (void)expect(e, "SIP/2.0 488");
        ask(e, "ACK", "r6", tag, 6);
        in_dialog(r, d, BL_M_INVITE);
        ask(e, "INVITE", "r8", tag, 8);
        (void)expect(e, "SIP/2.0 491");
        ask(e, "UPDATE", "u9", tag, 9);
        struct bl_ua_request *up = told(r, BL_UA_REQUEST)->ev.request;
        ask(e, "UPDATE", "u10", tag, 10); /* RFC 3311 section 5.2 */
        assert_true(bl_msg_has(expect(e, "SIP/2.0 500")->m, BL_H_RETRY_AFTER));
        assert_int_equal(answer_with(r, up, 200), 0);
        (void)expect(e, "SIP/2.0 200");
        in_dialog(r, d, BL_M_UPDATE);
        ask(e, "UPDATE", "u11", tag, 11);
        (void)expect(e, "SIP/2.0 491");
        rig_free(r);
}

static void what_is_refused(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct end *e = &r->end[E1];
        bl_flow_id f = flow_at(e);
        ask_on(e, f, "INVITE", "a", "", 1, "Require: 100rel, foo, path\r\n");
        assert_str(bl_msg_other(expect(e, "SIP/2.0 420")->m, BL_STR("Unsupported")), "100rel, foo");
        ask_on(e, f, "FROB", "b", "", 2, NULL);
        assert_true(bl_msg_has(expect(e, "SIP/2.0 501")->m, BL_H_ALLOW));
        ask_on(e, f, "PUBLISH", "c", "", 3, NULL);
        assert_true(bl_msg_has(expect(e, "SIP/2.0 405")->m, BL_H_ALLOW));
        ask_on(e, f, "BYE", "d", "nobody", 4, NULL);
        (void)expect(e, "SIP/2.0 481");
        ask_on(e, f, "UPDATE", "e", "", 5, NULL);
        (void)expect(e, "SIP/2.0 481");
        ask_on(e, f, "OPTIONS", "f", "", 6, NULL);
        struct got *ok = expect(e, "SIP/2.0 200");
        assert_true(bl_msg_has(ok->m, BL_H_ALLOW) && bl_msg_has(ok->m, BL_H_ACCEPT));
        assert_true(bl_msg_lists_token(ok->m, BL_H_SUPPORTED, BL_STR("sticky")));
        static const char no_contact[] =
                "INVITE %.*s SIP/2.0\r\nVia: SIP/2.0/UDP edge.example.com;branch=z9hG4bKg;rport\r\nMax-Forwards: 9\r\n"
                "From: <sip:bob@example.com>;tag=b\r\nTo: <sip:joe@example.com>\r\nCall-ID: q\r\nCSeq: 1 "
                "INVITE\r\n\r\n";
        char text[800];
        int n = snprintf(text, sizeof text, no_contact, BL_STR_ARG(text_str(&r->ua->contact)));
        end_say(e, f, bl_str_make(text, (size_t)n), false);
        (void)expect(e, "SIP/2.0 400");
        n = snprintf(text, sizeof text, no_contact, (int)(sizeof "sip:joe@10.0.0.5" - 1), "sip:joe@10.0.0.5");
        end_say(e, f, bl_str_make(text, (size_t)n), false); /* only the token of our Contact is us */
        (void)expect(e, "SIP/2.0 404");
        assert_int_equal(told_requests(r), 0);
        rig_free(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_call_of_theirs),
                cmocka_unit_test(an_unacked_2xx_takes_turns_and_ends_in_bye),
                cmocka_unit_test(our_bye_waits_for_the_ack),
                cmocka_unit_test(answers_move_to_a_flow_that_lives),
                cmocka_unit_test(a_repeated_refusal_moves_too),
                cmocka_unit_test(finals_are_remembered),
                cmocka_unit_test(a_fork_to_two_of_one_stack),
                cmocka_unit_test(a_cancelled_call),
                cmocka_unit_test(a_bye_ends_what_waits),
                cmocka_unit_test(sequence_and_glare),
                cmocka_unit_test(what_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
