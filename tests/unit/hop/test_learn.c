/* Binding and learning: protocol.md section 3.2, its guard, and the ends of section 3.3. */
#include "unit/unit.h"

#include "unit/hop/kit.h"

#define P "sip:joe+i+e1+e3+M@edge.example.com;lr"

static void never(struct kit *k)
{
        k->conf.ping_every_ms = UINT32_MAX;
}

static struct bl_msg *parse(struct kit *k, const char *start, const char *cseq, const char *more)
{
        static struct bl_arena *a;
        static char text[3000];
        struct bl_msg *m;
        if (!a)
                a = bl_arena_new(1 << 20);
        bl_arena_reset(a);
        snprintf(text, sizeof(text),
                 "%s\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKq\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:b@b>%s\r\nCall-ID: "
                 "call\r\n"
                 "CSeq: 1 %s\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n",
                 start, strncmp(start, "SIP", 3) ? "" : ";tag=2", cseq, more);
        assert_int_equal(bl_msg_parse(bl_str_z(text), true, a, &m, NULL), 0);
        struct bl_msg *kept = bl_msg_keep(m, k->pool);
        bl_arena_free(a);
        a = NULL;
        return kept; /* the test's pool goes with the kit */
}
static struct bl_msg *ok(struct kit *k, const char *cseq, const char *more)
{
        return parse(k, "SIP/2.0 200 OK", cseq, more);
}
static struct bl_msg *req(struct kit *k, const char *method, const char *more)
{
        char start[64];
        snprintf(start, sizeof(start), "%s sip:x@x SIP/2.0", method);
        return parse(k, start, method, more);
}

struct env3 { /* a flow from the edge cluster, one from a peer, one from nobody we know */
        struct kit *k;
        bl_flow_id edge, peer, stranger;
};
static struct env3 three(void)
{
        struct env3 e = {.k = kit_new_tuned(never, NULL)};
        e.edge = kit_accept(e.k, "10.0.1.1:4000");
        e.peer = kit_accept(e.k, "10.0.9.1:4000");
        e.stranger = kit_accept(e.k, "10.0.7.1:4000");
        return e;
}

/* ---- domains ---- */

static void configured_domains_are_bound_when_a_flow_comes_up(void **state)
{
        struct env3 e = three();
        (void)state;
        assert_true(kit_bound(e.k, "sip:edge.example.com", e.edge));
        assert_true(kit_bound(e.k, "sip:peer.example", e.peer));
        assert_false(kit_bound(e.k, "sip:edge.example.com", e.stranger));
        kit_free(e.k);
}

static void u_is_bound_when_we_opened_to_it_and_on_any_2xx(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:home.example;lr", 0);
        bl_flow_id h1 = kit_up(k, "10.0.2.1:5060");
        assert_true(kit_bound(k, "sip:home.example;lr", h1));
        assert_true(bl_flow_linked(kit_flow(k, h1), BL_STR("home.example")));
        kit_resp(k, h1, 404);
        kit_go(k, BL_M_MESSAGE, "sip:home.example;lr;d=5", 0);
        assert_int_equal(k->try_flow, h1);
        assert_false(kit_bound(k, "sip:home.example;lr;d=5", h1));
        kit_resp(k, h1, 202);
        assert_true(kit_bound(k, "sip:home.example;lr;d=5", h1));
        kit_free(k);
}

/* To the flow that the 2xx arrived by, not the one that was tried last. */
static void u_is_bound_to_where_the_2xx_came_from(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:home.example;lr;d=5", BL_SEND_BELAY);
        bl_flow_id h1 = kit_up(k, "10.0.2.1:5060");
        fake_pass(k->f, 1100);
        bl_flow_id h2 = kit_up(k, "10.0.2.2:5060");
        struct bl_uri u = kit_uri("sip:home.example;lr;d=5");
        bl_sticky_unbind(k->sticky, &u, 0);
        kit_resp(k, h1, 200);
        assert_true(kit_bound(k, "sip:home.example;lr;d=5", h1));
        assert_false(kit_bound(k, "sip:home.example;lr;d=5", h2));
        kit_free(k);
}

/* RFC 5922: what the certificate proves is bound, for as long as the connection lives; sip and sips alike. */
static void a_proven_domain_is_bound_with_its_connection(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        const struct bl_str san[] = {BL_STR("tls.example")};
        struct bl_peer peer = {.tp = BL_TLS,
                               .dns_san = san,
                               .n_dns = 1,
                               .local = kit_addr("127.0.0.2:5061"),
                               .remote = kit_addr("10.0.8.1:4000"),
                               .listener = BL_LISTENER_NONE};
        bl_flow_id f = fake_accept_peer(k->f, 0, &peer);
        (void)state;
        assert_true(kit_bound(k, "sip:tls.example", f));
        assert_true(kit_bound(k, "sips:tls.example", f));
        kit_go(k, BL_M_BYE, "sips:x@tls.example;lr", 0);
        assert_int_equal(k->try_flow, f);
        kit_resp(k, f, 200);
        assert_true(kit_bound(k, "sip:x@tls.example;lr", f));
        peer.chain = -1; /* does not verify: proves nothing */
        peer.remote = kit_addr("10.0.8.2:4000");
        f = fake_accept_peer(k->f, 0, &peer);
        assert_false(kit_bound(k, "sip:tls.example", f));
        kit_free(k);
}

/* ---- as client ---- */

static void record_route_directly_above_our_own(void **state)
{
        struct env3 e = three();
        struct bl_msg *m = ok(e.k, "INVITE",
                              "Record-Route: <sip:far.example;lr>, <sip:peer.example;lr;d=9>\r\n"
                              "Record-Route: <sip:own.example;lr;d=1>, <sip:edge.example.com;lr>\r\n");
        (void)state;
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.peer), NULL, m, BL_STR("sip:own.example;lr;d=1"));
        assert_true(kit_bound(e.k, "sip:peer.example;lr;d=9", e.peer));
        assert_false(kit_bound(e.k, "sip:far.example;lr", e.peer));
        assert_false(kit_bound(e.k, "sip:edge.example.com;lr", e.peer));
        /* Two of our own, one for each side (RFC 5658): above both of them. */
        m = ok(e.k, "INVITE",
               "Record-Route: <sip:peer.example;lr;d=8>, <sip:own.example;lr;d=1;transport=tcp>, "
               "<sip:own.example;lr;d=1>\r\n");
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.peer), NULL, m, BL_STR("sip:own.example;lr;d=1"));
        assert_true(kit_bound(e.k, "sip:peer.example;lr;d=8", e.peer));
        /* None above: nothing. Not ours at all: nothing. */
        m = ok(e.k, "INVITE", "Record-Route: <sip:own.example;lr;d=1>, <sip:edge.example.com;lr;d=3>\r\n");
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.edge), NULL, m, BL_STR("sip:own.example;lr;d=1"));
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.edge), NULL, m, BL_STR("sip:else.example;lr"));
        assert_false(kit_bound(e.k, "sip:edge.example.com;lr;d=3", e.edge));
        kit_free(e.k);
}

static void a_ua_takes_the_last_record_route_and_the_top_service_route(void **state)
{
        struct env3 e = three();
        struct bl_msg *m = ok(e.k, "INVITE", "Record-Route: <sip:peer.example;lr>, <" P ";d=7>\r\n");
        (void)state;
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.edge), NULL, m, BL_STR(""));
        assert_true(kit_bound(e.k, P ";d=7", e.edge));
        m = ok(e.k, "REGISTER", "Service-Route: <" P ">, <sip:peer.example;lr>\r\nExpires: 60\r\n");
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.edge), NULL, m, BL_STR(""));
        assert_true(kit_bound(e.k, P, e.edge));
        kit_free(e.k);
}

static void a_proxy_takes_the_service_route_after_its_own(void **state)
{
        struct env3 e = three();
        struct bl_msg *m = ok(e.k, "REGISTER", "Service-Route: <sip:p@own.example;lr>, <sip:peer.example;lr;x=1>\r\n");
        (void)state;
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.peer), NULL, m, BL_STR("sip:p@own.example;lr"));
        assert_true(kit_bound(e.k, "sip:peer.example;lr;x=1", e.peer));
        assert_false(kit_bound(e.k, "sip:p@own.example;lr", e.peer));
        kit_free(e.k);
}

static void only_a_2xx_teaches(void **state)
{
        struct env3 e = three();
        struct bl_msg *m = parse(e.k, "SIP/2.0 404 No", "INVITE", "Record-Route: <" P ";d=7>\r\n");
        struct bl_uri u = kit_uri(P);
        (void)state;
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.edge), &u, m, BL_STR(""));
        assert_false(kit_bound(e.k, P ";d=7", e.edge));
        assert_false(kit_bound(e.k, P, e.edge));
        m = ok(e.k, "BYE", "Record-Route: <" P ";d=7>\r\n"); /* forms no dialog */
        bl_hop_learn_client(e.k->h, kit_flow(e.k, e.edge), &u, m, BL_STR(""));
        assert_false(kit_bound(e.k, P ";d=7", e.edge));
        assert_true(kit_bound(e.k, P, e.edge));
        bl_hop_learn_client(e.k->h, NULL, &u, m, BL_STR("")); /* another worker's flow, or gone */
        kit_free(e.k);
}

/* ---- as server ---- */

static void topmost_path_and_record_route_of_the_request(void **state)
{
        struct env3 e = three();
        (void)state;
        bl_hop_learn_server(e.k->h, kit_flow(e.k, e.edge),
                            req(e.k, "REGISTER", "Path: <" P ">, <sip:b@edge.example.com;lr>\r\n"), 60);
        assert_true(kit_bound(e.k, P, e.edge));
        assert_false(kit_bound(e.k, "sip:b@edge.example.com;lr", e.edge));
        bl_hop_learn_server(e.k->h, kit_flow(e.k, e.edge),
                            req(e.k, "INVITE", "Record-Route: <" P ";d=3>, <sip:x@edge.example.com;lr>\r\n"), 0);
        assert_true(kit_bound(e.k, P ";d=3", e.edge));
        assert_false(kit_bound(e.k, "sip:x@edge.example.com;lr", e.edge));
        kit_free(e.k);
}

static void a_path_lives_as_long_as_its_registration(void **state)
{
        struct env3 e = three();
        (void)state;
        bl_hop_learn_server(e.k->h, kit_flow(e.k, e.edge), req(e.k, "REGISTER", "Path: <" P ">\r\n"), 60);
        for (unsigned i = 0; i < 80; i++)
                fake_pass(e.k->f, 1000);
        bl_sticky_expire(e.k->sticky, kit_env(e.k)->now);
        assert_true(kit_bound(e.k, P, e.edge)); /* the grace */
        for (unsigned i = 0; i < 20; i++)
                fake_pass(e.k->f, 1000);
        bl_sticky_expire(e.k->sticky, kit_env(e.k)->now);
        assert_false(kit_bound(e.k, P, e.edge));
        bl_hop_learn_server(e.k->h, kit_flow(e.k, e.edge), req(e.k, "REGISTER", "Path: <" P ">\r\n"), 60);
        bl_hop_learn_server(e.k->h, kit_flow(e.k, e.edge), req(e.k, "REGISTER", "Path: <" P ">\r\n"), 0);
        assert_false(kit_bound(e.k, P, e.edge)); /* expires 0 */
        kit_free(e.k);
}

/* A 2xx confirms what a registration bound; it makes it neither longer nor shorter. */
static void a_2xx_does_not_change_a_registrations_life(void **state)
{
        struct env3 e = three();
        struct kit *k = e.k;
        (void)state;
        bl_hop_learn_server(k->h, kit_flow(k, e.edge), req(k, "REGISTER", "Path: <" P ">\r\n"), 60);
        kit_go(k, BL_M_MESSAGE, P, 0);
        kit_resp(k, e.edge, 200);
        for (unsigned i = 0; i < 100; i++)
                fake_pass(k->f, 1000);
        bl_sticky_expire(k->sticky, kit_env(k)->now);
        assert_false(kit_bound(k, P, e.edge));
        kit_free(k);
}

/* ---- the guard ---- */

static void a_path_or_record_route_of_a_domain_not_linked_binds_nothing(void **state)
{
        struct env3 e = three();
        struct kit *k = e.k;
        const bl_flow_id from[] = {e.peer, e.stranger};
        struct bl_uri u = kit_uri(P);
        (void)state;
        for (unsigned i = 0; i < 2; i++) {
                struct bl_flow *f = kit_flow(k, from[i]);
                bl_hop_learn_server(k->h, f, req(k, "REGISTER", "Path: <" P ">\r\n"), 60);
                bl_hop_learn_server(k->h, f, req(k, "INVITE", "Record-Route: <" P ";d=3>\r\n"), 0);
                bl_hop_learn_client(k->h, f, &u, ok(k, "INVITE", "Record-Route: <" P ";d=4>\r\n"), BL_STR(""));
                bl_hop_learn_client(k->h, f, NULL, ok(k, "REGISTER", "Service-Route: <" P ">\r\n"), BL_STR(""));
                assert_false(kit_bound(k, P, from[i]));
                assert_false(kit_bound(k, P ";d=3", from[i]));
                assert_false(kit_bound(k, P ";d=4", from[i]));
        }
        assert_int_equal(kit_count(k, "belay_hop_bindings_refused_total", "not_linked"), 10);
        struct bl_sticky_stats s;
        bl_sticky_get_stats(k->sticky, &s);
        assert_int_equal(s.bindings, 2); /* the two domains */
        kit_free(k);
}

static void our_own_domains_are_bound_to_no_flow(void **state)
{
        struct env3 e = three();
        struct bl_flow *f = kit_flow(e.k, e.peer);
        (void)state;
        assert_int_equal(bl_flow_link(f, BL_STR("own.example"), BL_LINK_TRUST), 0);
        bl_hop_learn_server(e.k->h, f, req(e.k, "INVITE", "Record-Route: <sip:own.example;lr>\r\n"), 0);
        assert_false(kit_bound(e.k, "sip:own.example;lr", e.peer));
        assert_int_equal(kit_count(e.k, "belay_hop_bindings_refused_total", "own_domain"), 1);
        kit_free(e.k);
}

/* Route: <sip:good.example;maddr=EVIL> must not link EVIL to good.example. */
static void an_evil_maddr_links_nobody(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id evil = kit_accept(k, "10.66.6.6:5060");
        (void)state;
        kit_go(k, BL_M_INVITE, "sip:good.example;lr;maddr=10.66.6.6", 0);
        assert_int_equal(k->try_flow, 0);
        assert_int_equal(kit_opened(k, "10.66.6.6:5060"), 0);
        bl_flow_id good = kit_up(k, "10.0.5.1:5060");
        assert_int_equal(k->try_flow, good);
        assert_false(bl_flow_linked(kit_flow(k, evil), BL_STR("good.example")));
        kit_resp(k, evil, 200); /* and a 2xx from there teaches nothing */
        assert_false(kit_bound(k, "sip:good.example;lr;maddr=10.66.6.6", evil));
        kit_go(k, BL_M_INVITE, "sip:good.example;lr", 0);
        assert_int_equal(k->try_flow, good);
        kit_free(k);
}

/* ---- the dialog's end ---- */

static void bye_481_408_and_a_terminated_subscription_end_it(void **state)
{
        static const struct {
                const char *method, *more, *status;
                bool ends;
        } cases[] = {
                {"BYE", "", "SIP/2.0 200 OK", true},
                {"BYE", "", "SIP/2.0 503 No", false},
                {"UPDATE", "", "SIP/2.0 481 No", true},
                {"INVITE", "", "SIP/2.0 408 No", true},
                {"INVITE", "", "SIP/2.0 200 OK", false},
                {"INVITE", "", "SIP/2.0 486 No", false},
                {"NOTIFY", "Subscription-State: Terminated;reason=timeout\r\n", "SIP/2.0 200 OK", true},
                {"NOTIFY", "Subscription-State: active\r\n", "SIP/2.0 200 OK", false},
        };
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(cases); i++) {
                struct env3 e = three();
                struct bl_flow *f = kit_flow(e.k, e.edge);
                bl_hop_learn_server(e.k->h, f, req(e.k, "INVITE", "Record-Route: <" P ";d=3>\r\n"), 0);
                bl_hop_learn_server(e.k->h, f, req(e.k, "REGISTER", "Path: <" P ">\r\n"), 60);
                struct bl_msg *r = req(e.k, cases[i].method, cases[i].more);
                bl_hop_learn_end(e.k->h, r, parse(e.k, cases[i].status, cases[i].method, ""));
                assert_true(kit_bound(e.k, P ";d=3", e.edge)); /* outside a dialog: no To tag */
                r->to_tag = BL_STR("2");
                bl_hop_learn_end(e.k->h, r, parse(e.k, cases[i].status, cases[i].method, ""));
                assert_int_equal(kit_bound(e.k, P ";d=3", e.edge), !cases[i].ends);
                assert_true(kit_bound(e.k, P, e.edge));
                kit_free(e.k);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(configured_domains_are_bound_when_a_flow_comes_up),
                cmocka_unit_test(u_is_bound_when_we_opened_to_it_and_on_any_2xx),
                cmocka_unit_test(u_is_bound_to_where_the_2xx_came_from),
                cmocka_unit_test(a_proven_domain_is_bound_with_its_connection),
                cmocka_unit_test(record_route_directly_above_our_own),
                cmocka_unit_test(a_ua_takes_the_last_record_route_and_the_top_service_route),
                cmocka_unit_test(a_proxy_takes_the_service_route_after_its_own),
                cmocka_unit_test(only_a_2xx_teaches),
                cmocka_unit_test(topmost_path_and_record_route_of_the_request),
                cmocka_unit_test(a_path_lives_as_long_as_its_registration),
                cmocka_unit_test(a_2xx_does_not_change_a_registrations_life),
                cmocka_unit_test(a_path_or_record_route_of_a_domain_not_linked_binds_nothing),
                cmocka_unit_test(our_own_domains_are_bound_to_no_flow),
                cmocka_unit_test(an_evil_maddr_links_nobody),
                cmocka_unit_test(bye_481_408_and_a_terminated_subscription_end_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
