/* What a 2xx that passes teaches the stickiness table (protocol.md section 3.2), and what ends it. */
#include "unit/proxy/rig.h"

static void with_record_route(struct rig *r, struct bl_px *px)
{
        (void)r;
        assert_int_equal(bl_px_add(px, &(struct bl_px_target){.record_route = BL_STR("<sip:proxy.test;lr;d=7>"),
                                                              .path = BL_STR("<sip:p@proxy.test;lr>")}),
                         0);
        bl_px_go(px);
}

static bool bound(struct rig *r, const char *uri, bl_flow_id flow)
{
        struct bl_uri u;
        assert_int_equal(bl_uri_parse(bl_str_z(uri), &u), 0);
        return bl_sticky_is_bound(r->sticky, &u, flow, false);
}

/* alice's address is edge.test's; towards bob.test we open ourselves, which links as well. */
static struct rig *linked(struct bl_trust *trust)
{
        struct rig *r = rig_new();
        *trust = (struct bl_trust){
                .domain = BL_STR("edge.test"), .net = {sim_addr(r->ep[ALICE]->node, 0), 32}, .why = BL_LINK_TRUST};
        r->conf.flow.trust = trust;
        r->conf.flow.n_trust = 1;
        r->decide = with_record_route;
        rig_start(r, BL_UDP);
        return r;
}

static void a_dialog_is_learnt_in_both_directions_and_ends(void **state)
{
        (void)state;
        struct bl_trust trust;
        struct rig *r = linked(&trust);
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test",
            .headers = "Record-Route: <sip:edge.test;lr;d=3>\r\n");
        const struct got *inv = got(r, BOB, "INVITE");
        bl_flow_id up = sim_flow_to(r->node, r->ep[ALICE]->node, 0), down = sim_flow_to(r->node, r->ep[BOB]->node, 0);
        assert_false(bound(r, "sip:edge.test;lr;d=3", up)); /* nothing before a 2xx */
        char text[3000];
        struct bl_msg *m = parsed(r, inv);
        snprintf(text, sizeof(text),
                 "SIP/2.0 200 OK\r\nVia: %.*s\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKone\r\n"
                 "Record-Route: <sip:bob.test;lr;d=9>, <sip:proxy.test;lr;d=7>, <sip:edge.test;lr;d=3>\r\n"
                 "From: <sip:alice@alice.test>;tag=a1\r\nTo: <sip:bob@bob.test>;tag=b\r\nCall-ID: call-1\r\n"
                 "CSeq: 1 INVITE\r\nContact: <sip:b@bob.test>\r\nContent-Length: 0\r\n\r\n",
                 BL_STR_ARG(m->via.all));
        ep_say(r->ep[BOB], inv->flow, bl_str_z(text));
        run_ms(r, 20);
        got(r, ALICE, "SIP/2.0 200 ");
        assert_true(bound(r, "sip:edge.test;lr;d=3", up));    /* as server */
        assert_true(bound(r, "sip:bob.test;lr;d=9", down));   /* as client: directly above our own */
        assert_false(bound(r, "sip:edge.test;lr;d=3", down)); /* not linked to it */
        SAY(r, ALICE, .method = "BYE", .ruri = "sip:b@bob.test", .to = "<sip:bob@bob.test>;tag=b", .branch = "bye",
            .cseq = 2);
        answer(r, BOB, got(r, BOB, "BYE"), 200, "", "");
        assert_false(bound(r, "sip:edge.test;lr;d=3", up));
        assert_false(bound(r, "sip:bob.test;lr;d=9", down));
        rig_end(r);
}

static void a_registration_that_passes(void **state)
{
        (void)state;
        struct bl_trust trust;
        struct rig *r = linked(&trust);
        SAY(r, ALICE, .method = "REGISTER", .ruri = "sip:bob.test",
            .headers = "Path: <sip:P@edge.test;lr>\r\nContact: <sip:x@y>\r\n");
        bl_flow_id up = sim_flow_to(r->node, r->ep[ALICE]->node, 0), down = sim_flow_to(r->node, r->ep[BOB]->node, 0);
        answer(r, BOB, got(r, BOB, "REGISTER"), 200, "b",
               "Contact: <sip:x@y>;expires=100\r\n"
               "Service-Route: <sip:P@edge.test;lr>, <sip:p@proxy.test;lr>, <sip:bob.test;lr;s=1>\r\n");
        got(r, ALICE, "SIP/2.0 200 ");
        assert_true(bound(r, "sip:P@edge.test;lr", up));
        assert_true(bound(r, "sip:bob.test;lr;s=1", down)); /* the entry after our own */
        rig_end(r);
}

static void a_failure_teaches_nothing(void **state)
{
        (void)state;
        struct bl_trust trust;
        struct rig *r = linked(&trust);
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test",
            .headers = "Record-Route: <sip:edge.test;lr;d=3>\r\n");
        answer(r, BOB, got(r, BOB, "INVITE"), 486, "b", "Record-Route: <sip:bob.test;lr;d=9>\r\n");
        assert_false(bound(r, "sip:edge.test;lr;d=3", sim_flow_to(r->node, r->ep[ALICE]->node, 0)));
        assert_false(bound(r, "sip:bob.test;lr;d=9", sim_flow_to(r->node, r->ep[BOB]->node, 0)));
        ack(r, "sip:bob@bob.test", "one", got(r, ALICE, "SIP/2.0 486 "));
        rig_end(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_dialog_is_learnt_in_both_directions_and_ends),
                cmocka_unit_test(a_registration_that_passes),
                cmocka_unit_test(a_failure_teaches_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
