/* What is answered before a role sees it (RFC 3261 section 16.3), and the route's preprocessing (16.4). */
#include "unit/proxy/rig.h"

struct row {
        const char *what, *method, *ruri, *headers;
        const char *answer; /* start of what alice gets; NULL: nothing */
        const char *has;    /* in the answer */
        unsigned to_role;
};

static void each_check(void **state)
{
        static const struct row rows[] = {
                {"plain", "OPTIONS", "sip:bob@bob.test", "", NULL, NULL, 1},
                {"unknown scheme", "OPTIONS", "soap.beep://x", "", "SIP/2.0 416 ", NULL, 0},
                {"unknown scheme behind a route", "OPTIONS", "nobody:x", "Route: <sip:bob.test;lr>\r\n", "SIP/2.0 416 ",
                 NULL, 0},
                {"tel is known", "OPTIONS", "tel:+4912345", "Route: <sip:bob.test;lr>\r\n", NULL, NULL, 1},
                {"no hops left", "MESSAGE", "sip:bob@bob.test", "Max-Forwards: 0\r\n", "SIP/2.0 483 ", NULL, 0},
                {"one hop left", "MESSAGE", "sip:bob@bob.test", "Max-Forwards: 1\r\n", NULL, NULL, 1},
                {"OPTIONS for us, not to be forwarded", "OPTIONS", "sip:bob@bob.test", "Max-Forwards: 0\r\n",
                 "SIP/2.0 483 ", NULL, 1},
                {"unknown option", "MESSAGE", "sip:bob@bob.test", "Proxy-Require: frob, path,knurl\r\n", "SIP/2.0 420 ",
                 "\r\nUnsupported: frob, knurl\r\n", 0},
                {"known options", "MESSAGE", "sip:bob@bob.test", "Proxy-Require: Path, outbound, sticky\r\n", NULL,
                 NULL, 1},
                {"CANCEL of nothing", "CANCEL", "sip:bob@bob.test", "", "SIP/2.0 481 ", NULL, 0},
                {"no breadth", "MESSAGE", "sip:bob@bob.test", "Max-Breadth: 0\r\n", "SIP/2.0 440 ", NULL, 0},
                {"bad breadth", "MESSAGE", "sip:bob@bob.test", "Max-Breadth: few\r\n", "SIP/2.0 400 ", NULL, 0},
                {"ACK without hops", "ACK", "sip:bob@bob.test", "Max-Forwards: 0\r\n", NULL, NULL, 0},
                {"ACK with an unknown option", "ACK", "sip:bob@bob.test", "Proxy-Require: frob\r\n", NULL, NULL, 1},
                {"ACK with unknown scheme", "ACK", "soap.beep://x", "", NULL, NULL, 0},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                const struct row *w = &rows[i];
                struct rig *r = rig_up();
                SAY(r, ALICE, .method = w->method, .ruri = w->ruri, .headers = w->headers);
                if (r->requests != w->to_role)
                        fail_msg("%s: role asked %u times", w->what, r->requests);
                if (w->answer && (r->ep[ALICE]->n != 1 || strncmp(r->ep[ALICE]->msg[0].text, w->answer, 12) != 0))
                        fail_msg("%s: got %s", w->what, r->ep[ALICE]->n ? r->ep[ALICE]->msg[0].text : "nothing");
                if (w->has && !contains(&r->ep[ALICE]->msg[0], w->has))
                        fail_msg("%s: got %s", w->what, r->ep[ALICE]->msg[0].text);
                if (!w->answer)
                        assert_int_equal(r->ep[ALICE]->n, 0);
                if (w->answer)
                        got_none(r, BOB, w->method);
                else if (w->to_role)
                        got(r, BOB, w->method);
                rig_end(r);
        }
}

static void refusals_are_counted_by_reason(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .headers = "Max-Forwards: 0\r\n");
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .headers = "Proxy-Require: x\r\n");
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .headers = "Proxy-Require: x\r\n",
            .branch = "two");
        assert_int_equal(sim_counter(r->node, "belay_rig_refused_total", "max_forwards"), 1);
        assert_int_equal(sim_counter(r->node, "belay_rig_refused_total", "proxy_require"), 2);
        rig_end(r);
}

static void decide_nothing(struct rig *r, struct bl_px *px)
{
        (void)r, (void)px;
}

static void a_role_that_forgets_to_decide_answers_500(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = decide_nothing;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        got(r, ALICE, "SIP/2.0 500 ");
        rig_end(r);
}

static void refuse_403(struct rig *r, struct bl_px *px)
{
        (void)r;
        bl_px_refuse(px, 403, "test", BL_STR("No"), BL_STR("X-Why: because\r\n"));
}

/* The To tag tells the ACK of an answer without transaction from the ACK of a 2xx. */
static void ack_of_a_stateless_refusal_ends_here(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = refuse_403;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test");
        const struct got *g = got(r, ALICE, "SIP/2.0 403 No\r\n");
        assert_true(contains(g, "\r\nX-Why: because\r\n"));
        assert_int_equal(rig_txns(r), 0);
        r->decide = to_ruri;
        ack(r, "sip:bob@bob.test", "one", g);
        assert_int_equal(r->requests, 1);
        got_none(r, BOB, "ACK");
        /* the ACK of a 2xx has a tag of the far end */
        SAY(r, ALICE, .method = "ACK", .ruri = "sip:bob@bob.test", .branch = "two", .to = "<sip:bob@bob.test>;tag=b1");
        got(r, BOB, "ACK");
        rig_end(r);
}

static void maddr_of_ours_is_taken_off(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        char ip[BL_ADDR_TEXT] = {0}, ruri[200];
        struct bl_sb b = BL_SB(ip);
        struct bl_addr a = sim_addr(r->node, 5060);
        bl_addr_put_ip(&b, &a);
        snprintf(ruri, sizeof(ruri), "sip:bob@bob.test:5060;maddr=%s;transport=udp;x=1", ip);
        SAY(r, ALICE, .method = "MESSAGE", .ruri = ruri);
        got(r, BOB, "MESSAGE sip:bob@bob.test;x=1 SIP/2.0\r\n");
        /* another's stays; so does one that came by another transport than it names */
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test;maddr=192.0.2.1", .branch = "two");
        got(r, BOB, "MESSAGE sip:bob@bob.test;maddr=192.0.2.1 SIP/2.0\r\n");
        snprintf(ruri, sizeof(ruri), "sip:bob@bob.test;transport=tcp;maddr=%s", ip);
        SAY(r, ALICE, .method = "MESSAGE", .ruri = ruri, .branch = "three");
        char want[256];
        snprintf(want, sizeof(want), "MESSAGE %s SIP/2.0\r\n", ruri);
        got(r, BOB, want);
        rig_end(r);
}

static void recover(struct rig *r, struct bl_px *px)
{
        int rc = bl_px_recover_strict(px);
        if (rc == 0)
                to_ruri(r, px);
        else
                bl_px_refuse(px, 404, "test", bl_str_z(bl_err_text(rc)), (struct bl_str){NULL, 0});
}

static void hold_then_recover(struct rig *r, struct bl_px *px)
{
        assert_int_equal(bl_px_hold(px, true), 0);
        recover(r, px);
}

/* 16.4: a strict router put our Record-Route value into the Request-URI and the target behind all Routes. */
static void a_request_from_a_strict_router(void **state)
{
        (void)state;
        void (*const ways[])(struct rig *, struct bl_px *) = {recover, hold_then_recover};
        for (unsigned i = 0; i < 2; i++) {
                struct rig *r = rig_up();
                r->decide = ways[i];
                SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:p@proxy.test;lr",
                    .headers = "Route: <sip:carol.test;lr>, <sip:bob@bob.test;x=y>\r\n", .body = "hello");
                const struct got *g = got(r, CAROL, "MESSAGE sip:bob@bob.test;x=y SIP/2.0\r\n");
                assert_str(value_of(r, g, "Route"), "<sip:carol.test;lr>");
                assert_true(contains(g, "\r\n\r\nhello"));
                answer(r, CAROL, g, 200, "c", "");
                got(r, ALICE, "SIP/2.0 200 ");
                /* nothing to recover from */
                SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:p@proxy.test;lr", .branch = "two");
                got(r, ALICE, "SIP/2.0 404 not found");
                rig_end(r);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_check),
                cmocka_unit_test(refusals_are_counted_by_reason),
                cmocka_unit_test(a_role_that_forgets_to_decide_answers_500),
                cmocka_unit_test(ack_of_a_stateless_refusal_ends_here),
                cmocka_unit_test(maddr_of_ours_is_taken_off),
                cmocka_unit_test(a_request_from_a_strict_router),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
