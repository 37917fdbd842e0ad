/* Requests of the UA's own and the dialogs that they make: RFC 3261 sections 12, 13, 15, protocol.md section 5. */
#include "unit/ua/rig.h"

/* Header lines that occur in a message. */
static bool says(const struct got *g, const char *text)
{
        return strstr(g->text, text) != NULL;
}

static void a_call_goes_by_the_service_route_and_its_bye_by_the_record_route(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct call c = call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE sip:bob@example.com SIP/2.0");
        assert_true(says(invite, "Route: <" P_URI ">\r\nRoute: <sip:example.com;lr>\r\n"));
        reply(invite, 180, DIALOG_LINES);
        assert_int_equal(told(r, BL_UA_PROGRESS)->ev.status, 180);
        reply(invite, 200, DIALOG_LINES);
        assert_ptr_equal(told(r, BL_UA_ANSWERED)->ev.dialog, c.d);
        struct got *ack = expect(invite->at, "ACK sip:bob@10.9.9.9 SIP/2.0");
        assert_true(says(ack, "Route: <" P_URI ";d=1>\r\nRoute: <sip:example.com;lr;d=2>\r\n"));
        in_dialog(r, c.d, BL_M_BYE);
        struct got *bye = expect_anywhere(r, "BYE sip:bob@10.9.9.9 SIP/2.0");
        assert_true(says(bye, ";tag=far\r\n"));
        reply(bye, 200, NULL);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.method, BL_M_BYE);
        (void)told(r, BL_UA_DIALOG_GONE);
        rig_free(r);
}

/* RFC 3261 section 12.2.1.1: a first Route without ;lr stands in the Request-URI. */
static void a_strict_router_gets_what_it_expects(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct call c = call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE");
        char lines[300];
        snprintf(lines, sizeof lines,
                 "Record-Route: <sip:example.com;lr;d=2>, <sip:%s>\r\nContact: <sip:bob@10.9.9.9>\r\n", invite->at->ip);
        reply(invite, 200, lines);
        char start[100];
        snprintf(start, sizeof start, "ACK sip:%s SIP/2.0", invite->at->ip);
        struct got *ack = expect(invite->at, start);
        assert_true(says(ack, "Route: <sip:example.com;lr;d=2>\r\nRoute: <sip:bob@10.9.9.9>\r\n"));
        in_dialog(r, c.d, BL_M_INFO);
        snprintf(start, sizeof start, "INFO sip:%s SIP/2.0", invite->at->ip);
        reply(expect_anywhere(r, start), 200, NULL);
        r->other_flows = 1; /* to that address */
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.method, BL_M_INVITE);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 200);
        rig_free(r);
}

/* Section 12.1: each tag makes an early dialog; section 13.2.2.4: the first 2xx is the call, another is ACKed and
 * ended.
 */
static void forks_are_early_dialogs_and_surplus_answers_end(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct call c = call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE");
        reply_full(invite, 180, "one", DIALOG_LINES, NULL, false);
        reply_full(invite, 183, "two", DIALOG_LINES, NULL, false);
        reply_full(invite, 180, "two", DIALOG_LINES, NULL, false);
        assert_ptr_equal(told(r, BL_UA_PROGRESS)->ev.dialog, c.d);
        struct bl_dialog *two = told(r, BL_UA_PROGRESS)->ev.dialog;
        assert_ptr_not_equal(two, c.d);
        assert_ptr_equal(told(r, BL_UA_PROGRESS)->ev.dialog, two);
        /* a request within the second early dialog finds it */
        ask_on(invite->at, flow_at(invite->at), "MESSAGE", "stray", "nobody", 5, NULL);
        assert_non_null(expect(invite->at, "SIP/2.0 481"));
        char more[200];
        struct bl_str id = bl_dialog_call_id(c.d);
        snprintf(more, sizeof more, "X: %.*s\r\n", BL_STR_ARG(id));
        char text[1000];
        int n = snprintf(
                text, sizeof text,
                "UPDATE %.*s SIP/2.0\r\nVia: SIP/2.0/UDP edge.example.com;branch=z9hG4bKup;rport\r\n"
                "Max-Forwards: 60\r\nFrom: <sip:bob@example.com>;tag=two\r\nTo: <sip:joe@example.com>;tag=%.*s\r\n"
                "Call-ID: %.*s\r\nCSeq: 7 UPDATE\r\nContact: <sip:bob@10.9.9.8>\r\nContent-Length: 0\r\n\r\n",
                BL_STR_ARG(text_str(&r->ua->contact)), BL_STR_ARG(text_str(&c.d->local_tag)), BL_STR_ARG(id));
        end_say(invite->at, invite->flow, bl_str_make(text, (size_t)n), false);
        struct seen *up = told(r, BL_UA_REQUEST);
        assert_ptr_equal(up->ev.dialog, two);
        assert_int_equal(answer_with(r, up->ev.request, 200), 0);
        assert_non_null(expect(invite->at, "SIP/2.0 200"));
        /* the second branch answers: the call's handle is that dialog now */
        reply_full(invite, 200, "two", DIALOG_LINES, NULL, false);
        assert_ptr_equal(told(r, BL_UA_DIALOG_GONE)->ev.dialog, two);
        assert_ptr_equal(told(r, BL_UA_ANSWERED)->ev.dialog, c.d);
        assert_str(text_str(&c.d->remote_tag), "two");
        assert_true(says(expect(invite->at, "ACK"), ";tag=two"));
        /* the first answers, too */
        reply_full(invite, 200, "one", DIALOG_LINES, NULL, false);
        assert_true(says(expect(invite->at, "ACK"), ";tag=one"));
        struct got *bye = expect_anywhere(r, "BYE");
        assert_true(says(bye, ";tag=one"));
        reply_full(invite, 200, "one", DIALOG_LINES, NULL, false); /* its copy: ACK, and no second BYE */
        assert_true(says(expect(invite->at, "ACK"), ";tag=one"));
        reply(bye, 200, NULL);
        rig_run(r, 1);
        assert_int_equal(count(&r->end[E1], "BYE") + count(&r->end[E2], "BYE"), 1);
        assert_int_equal(told_count(r, BL_UA_ANSWERED), 1);
        assert_int_equal(told_count(r, BL_UA_DIALOG_GONE), 1);
        rig_free(r);
}

/* Section 13.2.2.4: each copy of the 2xx is ACKed, on the flow it came by; the application hears one. */
static void each_copy_of_a_2xx_is_acked(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        (void)call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE");
        for (unsigned i = 0; i < 3; i++)
                reply(invite, 200, DIALOG_LINES);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(expect(invite->at, "ACK")->flow, invite->flow);
        struct end *other = invite->at == &r->end[E1] ? &r->end[E2] : &r->end[E1];
        struct got by_other = *invite;
        by_other.at = other;
        by_other.flow = flow_at(other);
        reply(&by_other, 200, DIALOG_LINES);
        assert_int_equal(expect(other, "ACK")->flow, by_other.flow);
        assert_int_equal(told_count(r, BL_UA_ANSWERED), 1);
        rig_free(r);
}

/* Section 22.1: the ACK carries the INVITE's credentials. A CANCELled INVITE is not sent again with them. */
static void a_challenged_call(void **state)
{
        (void)state;
        static const char challenge[] =
                "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"a\", qop=\"auth\"\r\n";
        struct rig *r = rig_up(BL_UDP);
        (void)call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE");
        uint32_t cseq = invite->m->cseq.number;
        reply(invite, 407, challenge);
        invite = expect_anywhere(r, "INVITE");
        assert_int_equal(invite->m->cseq.number, cseq + 1);
        assert_true(says(invite, "Proxy-Authorization: Digest"));
        assert_true(bl_str_eq(invite->m->to_tag, nothing));
        (void)expect(invite->at, "ACK");
        reply(invite, 200, DIALOG_LINES);
        assert_true(says(expect(invite->at, "ACK"), "Proxy-Authorization: Digest"));
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 200);

        struct call c = call_out(r);
        invite = expect_anywhere(r, "INVITE");
        sim_enter(r->env);
        bl_ua_cancel(c.r);
        sim_leave(r->env);
        reply(invite, 407, challenge);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 407);
        rig_free(r);
}

static void a_cancelled_call(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct call c = call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE");
        reply(invite, 180, DIALOG_LINES);
        (void)told(r, BL_UA_PROGRESS);
        sim_enter(r->env);
        bl_ua_cancel(c.r);
        sim_leave(r->env);
        struct got *cancel = expect(invite->at, "CANCEL");
        assert_true(bl_str_eq(cancel->m->via.branch, invite->m->via.branch));
        reply(cancel, 200, NULL);
        reply(invite, 487, NULL);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 487);
        (void)told(r, BL_UA_DIALOG_GONE);
        rig_free(r);
}

/* Protocol.md section 5: silence, then the other flow, with the same branch; the late answer of the first counts. */
static void a_request_keeps_its_branch_on_the_other_flow(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct call c = call_up(r);
        struct end *first = r->end[E1].n && count(&r->end[E1], "ACK") ? &r->end[E1] : &r->end[E2];
        struct end *other = first == &r->end[E1] ? &r->end[E2] : &r->end[E1];
        in_dialog(r, c.d, BL_M_INFO);
        struct got *one = expect(first, "INFO"), *two = expect(other, "INFO");
        assert_true(bl_str_eq(one->m->via.branch, two->m->via.branch));
        assert_true(bl_str_eq(one->m->via.host, two->m->via.host));
        assert_int_equal(one->m->cseq.number, two->m->cseq.number);
        reply(two, 200, NULL);
        struct seen *s = told(r, BL_UA_ANSWERED);
        assert_int_equal(s->ev.status, 200);
        assert_int_equal(s->ev.tries, 2);
        reply(one, 200, NULL);
        rig_run(r, 2);
        assert_int_equal(told_count(r, BL_UA_ANSWERED), 2);
        rig_free(r);
}

/* Neighbours that never showed themselves as ours get the RFC's patience, not ours. */
static void a_plain_registrar_is_waited_for(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->list_name = NULL;
        r->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        struct bl_ua_request *q;
        sim_enter(r->env);
        assert_int_equal(bl_ua_request(r->ua, BL_M_MESSAGE, BL_STR("sip:bob@example.com"), nothing, NULL, &q), 0);
        sim_leave(r->env);
        struct got *m = expect_anywhere(r, "MESSAGE");
        rig_run(r, 5);
        for (unsigned i = E1; i < ENDS; i++)
                if (&r->end[i] != m->at)
                        assert_int_equal(count(&r->end[i], "MESSAGE"), 0);
        rig_free(r);
}

/* Section 12.2.1.2: a 408 ends the dialog, and the far end hears of it; a 481 says that it has none. */
static void what_ends_a_dialog(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct call c = call_up(r);
        in_dialog(r, c.d, BL_M_INFO);
        reply(expect_anywhere(r, "INFO"), 408, NULL);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 408);
        reply(expect_anywhere(r, "BYE"), 200, NULL);
        assert_ptr_equal(told(r, BL_UA_DIALOG_GONE)->ev.dialog, c.d);
        assert_int_equal(told_count(r, BL_UA_ANSWERED), 2); /* INVITE, INFO: the BYE was nobody's */

        c = call_up(r);
        in_dialog(r, c.d, BL_M_INFO);
        reply(expect_anywhere(r, "INFO"), 481, NULL);
        (void)told(r, BL_UA_DIALOG_GONE);
        assert_int_equal(count(&r->end[E1], "BYE") + count(&r->end[E2], "BYE"), 1);

        c = call_up(r);
        in_dialog(r, c.d, BL_M_INFO);
        reply(expect_anywhere(r, "INFO"), 404, NULL); /* nothing of the dialog's */
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 404);
        in_dialog(r, c.d, BL_M_BYE);
        reply(expect_anywhere(r, "BYE"), 200, NULL);
        (void)told(r, BL_UA_DIALOG_GONE);
        rig_free(r);
}

/* Sections 14.1 and RFC 3311 5.1: one at a time. */
static void one_offer_at_a_time(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        struct call c = call_up(r);
        struct bl_ua_request *q;
        in_dialog(r, c.d, BL_M_INVITE);
        in_dialog(r, c.d, BL_M_UPDATE);
        sim_enter(r->env);
        assert_int_equal(bl_ua_in_dialog(c.d, BL_M_INVITE, nothing, NULL, &q), BL_EFULL);
        assert_int_equal(bl_ua_in_dialog(c.d, BL_M_UPDATE, nothing, NULL, &q), BL_EFULL);
        sim_leave(r->env);
        reply(expect_anywhere(r, "UPDATE"), 491, NULL);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 491);
        struct got *re = expect_anywhere(r, "INVITE");
        reply(re, 200, "Contact: <sip:bob@10.9.9.7>\r\n");
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 200);
        (void)expect(re->at, "ACK sip:bob@10.9.9.7");
        in_dialog(r, c.d, BL_M_UPDATE);
        reply(expect_anywhere(r, "UPDATE sip:bob@10.9.9.7"), 200, "Contact: <sip:bob@10.9.9.6>\r\n");
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 200);
        in_dialog(r, c.d, BL_M_INFO);
        (void)expect_anywhere(r, "INFO sip:bob@10.9.9.6");
        rig_free(r);
}

/* A UA is freed in the midst of everything; nothing refers to it any more (asan), everything comes back. */
static void freed_in_the_midst(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_TCP);
        struct call c = call_up(r);
        in_dialog(r, c.d, BL_M_INFO);
        in_dialog(r, c.d, BL_M_BYE);
        (void)call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE");
        reply_full(invite, 180, "one", DIALOG_LINES, NULL, false);
        reply_full(invite, 180, "two", DIALOG_LINES, NULL, false);
        (void)told(r, BL_UA_PROGRESS);
        (void)told(r, BL_UA_PROGRESS);
        struct bl_ua_request *q;
        sim_enter(r->env);
        assert_int_equal(bl_ua_request(r->ua, BL_M_MESSAGE, BL_STR("sip:bob@example.com"), nothing, NULL, &q), 0);
        sim_leave(r->env);
        ask(&r->end[E1], "INVITE", "in", "", 1);
        (void)told(r, BL_UA_INVITED);
        rig_free(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_call_goes_by_the_service_route_and_its_bye_by_the_record_route),
                cmocka_unit_test(a_strict_router_gets_what_it_expects),
                cmocka_unit_test(forks_are_early_dialogs_and_surplus_answers_end),
                cmocka_unit_test(each_copy_of_a_2xx_is_acked),
                cmocka_unit_test(a_challenged_call),
                cmocka_unit_test(a_cancelled_call),
                cmocka_unit_test(a_request_keeps_its_branch_on_the_other_flow),
                cmocka_unit_test(a_plain_registrar_is_waited_for),
                cmocka_unit_test(what_ends_a_dialog),
                cmocka_unit_test(one_offer_at_a_time),
                cmocka_unit_test(freed_in_the_midst),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
