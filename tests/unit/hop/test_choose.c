/* The most specific match: protocol.md section 3.1, through the flow that a request leaves by. */
#include "unit/unit.h"

#include "unit/hop/kit.h"

#define P "sip:joe+i+e1+e3+M@edge.example.com;lr"
#define H1 "10.0.2.1:5060"
#define H2 "10.0.2.2:5060"

static void never(struct kit *k)
{
        k->conf.ping_every_ms = UINT32_MAX;
}
static void no_open(struct kit *k)
{
        never(k);
        k->conf.may_open = false;
}

static bl_flow_id goes_by(struct kit *k, const char *u, unsigned flags)
{
        kit_go(k, BL_M_BYE, u, flags);
        bl_flow_id f = k->try_flow;
        if (k->s)
                bl_send_free(k->s);
        return f;
}

static void exact_before_equivalent_before_domain(void **state)
{
        struct kit *k = kit_new_tuned(no_open, NULL);
        bl_flow_id a = kit_accept(k, "10.0.1.1:4000"), b = kit_accept(k, "10.0.1.2:4000"),
                   c = kit_accept(k, "10.0.1.3:4000");
        (void)state;
        kit_bind(k, P ";d=1", a, BL_BIND_DIALOG);
        fake_pass(k->f, 5);
        kit_bind(k, P, b, BL_BIND_PATH);
        assert_int_equal(goes_by(k, P ";d=1", 0), a);
        assert_int_equal(goes_by(k, P ";d=2", 0), b); /* d on one side only: equivalent */
        kit_down(k, b, 0);
        kit_down(k, a, 0);
        bl_flow_id d = goes_by(k, P ";d=2", 0);
        assert_int_equal(d, c); /* same host: the only flow left of edge.example.com; not resolved by name (e3) */
        kit_free(k);
}

static void with_user_the_last_confirmed(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id a = kit_accept(k, "10.0.1.1:4000"), b = kit_accept(k, "10.0.1.2:4000");
        (void)state;
        kit_bind(k, P, a, BL_BIND_PATH);
        fake_pass(k->f, 5);
        kit_bind(k, P, b, BL_BIND_PATH);
        assert_int_equal(goes_by(k, P, 0), b);
        fake_pass(k->f, 5);
        kit_bind(k, P, a, BL_BIND_PATH);
        assert_int_equal(goes_by(k, P, 0), a);
        kit_free(k);
}

/* ---- rank 3 ---- */

static void by_domain_only_to_a_resolved_address(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id nat = kit_accept(k, "10.0.1.77:4000"); /* linked to edge.example.com, but not one of its addresses */
        (void)state;
        kit_go(k, BL_M_BYE, P, 0);
        assert_int_equal(k->try_flow, 0); /* resolved addresses without a flow come first */
        bl_flow_id first = fake_opened(k->f, 0);
        assert_int_not_equal(first, 0);
        kit_down(k, first, -111);
        kit_down(k, fake_opened(k->f, 0), -111);
        assert_int_equal(k->try_flow, nat); /* then the other linked flows */
        bl_send_free(k->s);
        bl_flow_id e2 = kit_accept(k, "10.0.1.2:4000");
        assert_int_equal(goes_by(k, P, 0), e2); /* their port is chance */
        kit_free(k);
}

static void the_port_counts_where_we_opened(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example:7000;transport=tcp", 0);
        bl_flow_id at7000 = kit_up(k, "10.0.5.1:7000");
        bl_send_free(k->s);
        kit_go(k, BL_M_BYE, "sip:x@good.example", 0); /* resolves to port 5060 */
        assert_int_equal(k->try_flow, 0);
        assert_int_not_equal(kit_opened(k, "10.0.5.1:5060"), 0);
        bl_send_free(k->s);
        kit_go(k, BL_M_BYE, "sip:x@good.example:7000", 0);
        assert_int_equal(k->try_flow, at7000);
        kit_free(k);
}

static void a_named_transport_is_kept_to(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_accept(k, "10.0.1.1:4000"); /* TCP */
        kit_go(k, BL_M_BYE, "sip:x@edge.example.com;transport=udp", 0);
        assert_int_equal(k->try_flow, 0);
        bl_flow_id f = fake_opened(k->f, 0);
        assert_int_not_equal(f, 0);
        assert_int_equal(fake_flow(k->f, f)->tp, BL_UDP);
        kit_free(k);
}

static void sips_goes_by_tls_only(void **state)
{
        struct kit *k = kit_new_tuned(no_open, NULL);
        bl_flow_id e1 = kit_accept(k, "10.0.1.1:4000"), behind_nat = kit_accept(k, "10.0.1.99:4000");
        (void)state;
        assert_int_equal(goes_by(k, "sip:x@edge.example.com", 0), e1);
        kit_down(k, behind_nat, 0);
        assert_int_equal(goes_by(k, "sips:x@edge.example.com", 0), 0);
        kit_accept(k, "10.0.1.99:4001");
        assert_int_equal(goes_by(k, "sips:x@edge.example.com", 0), 0);
        kit_free(k);
}

static void another_domains_flow_is_never_used(void **state)
{
        struct kit *k = kit_new_tuned(no_open, NULL);
        (void)state;
        kit_accept(k, "10.0.9.1:4000"); /* peer.example */
        kit_accept(k, "10.0.7.1:4000"); /* nobody */
        kit_go(k, BL_M_BYE, P, 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->n_render, 0);
        assert_int_equal(k->failed, 503);
        kit_free(k);
}

static void never_back_where_it_came_from_unless_exact(void **state)
{
        struct kit *k = kit_new_tuned(no_open, NULL);
        bl_flow_id a = kit_accept(k, "10.0.1.1:4000");
        struct bl_send_want w = {.u = kit_uri(P ";d=1"), .method = BL_M_BYE, .not_flow = a};
        (void)state;
        kit_bind(k, P, a, BL_BIND_PATH);
        kit_go_want(k, &w);
        fake_pass(k->f, 1);
        assert_int_equal(k->n_render, 0);
        kit_bind(k, P ";d=1", a, BL_BIND_DIALOG);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, a);
        kit_free(k);
}

/* ---- a domain's order is RFC 3263's ---- */

static void a_domain_follows_rfc_3263_not_the_last_confirmed(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id h1, h2;
        (void)state;
        kit_go(k, BL_M_BYE, "sip:home.example;lr", 0);
        kit_down(k, kit_opened(k, H1), -111);
        h2 = kit_up(k, H2);
        kit_resp(k, h2, 200); /* bound and confirmed: h2 */
        assert_int_equal(goes_by(k, "sip:home.example;lr", 0), h2);
        fake_pass(k->f, 11000); /* h1 may be asked again; it is opened beside the traffic that goes to h2 */
        assert_int_equal(goes_by(k, "sip:home.example;lr", 0), h2);
        h1 = kit_up(k, H1);
        for (unsigned i = 0; i < 16; i++) { /* whatever the Call-ID: the map has an order */
                char call[16];
                struct bl_send_want w = {.u = kit_uri("sip:home.example;lr"), .method = BL_M_BYE};
                snprintf(call, sizeof(call), "call-%u", i);
                w.call_id = bl_str_z(call);
                kit_go_want(k, &w);
                assert_int_equal(k->try_flow, h1);
                bl_send_free(k->s);
        }
        kit_free(k);
}

/* Two servers at one address are two targets. */
static void a_port_makes_another_target(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:ports.example;lr", 0);
        kit_down(k, kit_opened(k, "10.0.6.1:5060"), -111);
        bl_flow_id second = kit_up(k, "10.0.6.1:5061");
        kit_resp(k, second, 200);
        fake_pass(k->f, 11000);
        assert_int_equal(goes_by(k, "sip:ports.example;lr", 0), second);
        bl_flow_id first = kit_up(k, "10.0.6.1:5060"); /* the preferred one, opened beside */
        assert_int_equal(goes_by(k, "sip:ports.example;lr", 0), first);
        kit_free(k);
}

static void dns(struct kit *k)
{
        never(k);
        k->conf.dns = true;
}

/* Equal targets: by rendezvous on Call-ID, so that both homes get their share and each call keeps to one. */
static void equal_targets_share_the_calls(void **state)
{
        struct kit *k = kit_new_tuned(dns, NULL);
        struct bl_rr rr[2] = {{.type = BL_RR_A, .ttl = 3600, .addr = kit_addr("10.8.0.1")},
                              {.type = BL_RR_A, .ttl = 3600, .addr = kit_addr("10.8.0.2")}};
        unsigned by[2] = {0, 0};
        (void)state;
        kit_go(k, BL_M_BYE, "sip:many.example", 0);
        kit_answer_no(k, "many.example", BL_RR_NAPTR);
        kit_answer_no(k, "_sip._udp.many.example", BL_RR_SRV);
        kit_answer_no(k, "_sip._tcp.many.example", BL_RR_SRV);
        kit_answer(k, "many.example", BL_RR_A, 0, rr, 2, 0);
        for (unsigned i = 0; i < 64; i++) {
                char call[32];
                struct bl_send_want w = {.u = kit_uri("sip:many.example"), .method = BL_M_BYE};
                bl_flow_id first = 0;
                snprintf(call, sizeof(call), "call-%u", i);
                w.call_id = bl_str_z(call);
                for (unsigned again = 0; again < 2; again++) {
                        bl_send_free(k->s);
                        kit_go_want(k, &w);
                        for (bl_flow_id f; (f = fake_opened(k->f, 0)) && fake_flow(k->f, f)->state == FAKE_OPENING;)
                                fake_up(k->f, f);
                        for (unsigned n = 0; fake_opened(k->f, n); n++) {
                                if (fake_flow(k->f, fake_opened(k->f, n))->state == FAKE_OPENING)
                                        fake_up(k->f, fake_opened(k->f, n));
                        }
                        fake_settle(k->f);
                        assert_int_not_equal(k->try_flow, 0);
                        if (i > 8 && again)
                                assert_int_equal(k->try_flow, first);
                        first = k->try_flow;
                        fake_drop_all(k->f);
                }
                by[fake_flow(k->f, first)->remote.ip[3] - 1]++;
        }
        assert_true(by[0] > 12 && by[1] > 12);
        kit_free(k);
}

/* ---- discovery ---- */

static void discovery_opens_even_where_one_matches(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_REGISTER, "sip:home.example;lr", 0);
        bl_flow_id h1 = kit_up(k, H1);
        kit_resp(k, h1, 200);
        fake_drop_all(k->f);
        kit_go(k, BL_M_REGISTER, "sip:home.example;lr", BL_SEND_ANY_OPEN);
        assert_int_equal(k->try_flow, 0);
        bl_flow_id second = 0;
        for (unsigned i = 0; fake_opened(k->f, i); i++) {
                if (fake_opened(k->f, i) != h1)
                        second = fake_opened(k->f, i);
        }
        assert_int_not_equal(second, 0);
        assert_true(bl_addr_eq(&fake_flow(k->f, second)->remote, &fake_flow(k->f, h1)->remote));
        fake_up(k->f, second);
        fake_settle(k->f);
        assert_int_equal(k->try_flow, second);
        kit_resp(k, second, 200);
        assert_true(kit_bound(k, "sip:home.example;lr", second));
        fake_drop_all(k->f);
        kit_go(k, BL_M_REGISTER, "sip:home.example;lr", BL_SEND_ANY_OPEN);
        for (unsigned i = 0, n = 0; fake_opened(k->f, i) && n < 20; n++) { /* neither opens: */
                if (fake_flow(k->f, fake_opened(k->f, i))->state == FAKE_OPENING)
                        kit_down(k, fake_opened(k->f, i), -111);
                else
                        i++;
        }
        assert_int_equal(k->n_render, 0); /* what is there does not stand in */
        kit_free(k);
}

/* ---- maddr ---- */

static void a_maddr_counts_only_when_allowed(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr;maddr=10.66.6.6", 0);
        assert_int_equal(kit_opened(k, "10.66.6.6:5060"), 0);
        bl_flow_id good = kit_up(k, "10.0.5.1:5060");
        kit_resp(k, good, 200);
        kit_go(k, BL_M_BYE, "sip:good.example;lr;maddr=10.0.5.9;transport=tcp", BL_SEND_USE_MADDR);
        assert_int_equal(k->try_flow, 0); /* not by the flow to another node */
        bl_flow_id node = kit_up(k, "10.0.5.9:5060");
        assert_true(bl_flow_linked(kit_flow(k, node), BL_STR("good.example")));
        kit_resp(k, node, 200);
        /* And when that node is not there, no other stands in for it. */
        kit_go(k, BL_M_BYE, "sip:good.example;lr;maddr=10.0.5.8;transport=tcp", BL_SEND_USE_MADDR);
        kit_down(k, kit_opened(k, "10.0.5.8:5060"), -111);
        assert_int_equal(k->n_render, 0);
        kit_free(k);
}

/* ---- size ---- */

static void mtu(struct kit *k)
{
        never(k);
}

static void big_requests_prefer_a_stream_then_udp(void **state)
{
        struct kit *k = kit_new_tuned(mtu, &(struct bl_txns_conf){.mtu_to_tcp = true});
        struct bl_send_want w = {.u = kit_uri("sip:udp.example;lr"), .method = BL_M_BYE, .octets = 1301};
        (void)state;
        kit_go(k, BL_M_BYE, "sip:udp.example;lr", 0);
        bl_flow_id udp = kit_up(k, "10.0.4.1:5060");
        assert_int_equal(fake_flow(k->f, udp)->tp, BL_UDP);
        kit_resp(k, udp, 200);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, 0);
        bl_flow_id tcp = 0;
        for (unsigned i = 0; fake_opened(k->f, i); i++) {
                if (fake_flow(k->f, fake_opened(k->f, i))->tp == BL_TCP)
                        tcp = fake_opened(k->f, i);
        }
        assert_int_not_equal(tcp, 0);
        assert_true(bl_addr_eq(&fake_flow(k->f, tcp)->remote, &fake_flow(k->f, udp)->remote));
        kit_down(k, tcp, -111); /* refused: RFC 3261 section 18.1.1 sends us back to UDP */
        assert_int_equal(k->try_flow, udp);
        bl_send_free(k->s);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, udp); /* remembered */
        bl_send_free(k->s);
        w.octets = 1300;
        fake_pass(k->f, 11000);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, udp);
        kit_free(k);
}

static bl_flow_id accept_udp(struct kit *k, const char *addr, const char *bind)
{
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, addr);
        fake_settle(k->f);
        kit_bind(k, bind, f, BL_BIND_PATH);
        return f;
}

/* The neighbour opened the UDP flow, from a port that is chance: its sent-by says where it takes TCP (RFC 3261 section
 * 18.2.1), else the map does. Refused, the flow itself is next, before any other candidate. */
static void big_requests_open_where_the_far_end_listens(void **state)
{
        struct kit *k = kit_new_tuned(mtu, &(struct bl_txns_conf){.mtu_to_tcp = true});
        struct bl_send_want w = {.u = kit_uri(P), .method = BL_M_BYE, .octets = 1301};
        bl_flow_id e1 = accept_udp(k, "10.0.1.1:40000", P), e2 = accept_udp(k, "10.0.1.2:40000", P ";d=1");
        (void)state;
        bl_sticky_flow_listens(k->sticky, e1, 5070);
        kit_go_want(k, &w);
        assert_int_equal(fake_flow(k->f, kit_opened(k, "10.0.1.1:5070"))->tp, BL_TCP);
        assert_int_equal(fake_opened(k->f, 1), 0);
        kit_down(k, kit_opened(k, "10.0.1.1:5070"), -111);
        assert_int_equal(k->try_flow, e1);
        bl_send_free(k->s);
        w.u = kit_uri(P ";d=1");
        kit_go_want(k, &w);
        bl_flow_id tcp = kit_up(k, "10.0.1.2:5060"); /* the map's */
        assert_int_equal(k->try_flow, tcp);
        assert_true(bl_flow_linked(kit_flow(k, tcp), BL_STR("edge.example.com")));
        bl_send_free(k->s);
        kit_down(k, tcp, 0);
        w.octets = 1300;
        assert_int_not_equal(e2, 0);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, e2);
        kit_free(k);
}

static void big_requests_take_the_stream_that_is_there(void **state)
{
        struct kit *k = kit_new_tuned(mtu, &(struct bl_txns_conf){.mtu_to_tcp = true});
        struct bl_send_want w = {.u = kit_uri(P), .method = BL_M_BYE, .octets = 1301};
        bl_flow_id tcp = kit_accept(k, "10.0.1.1:4000"), other = kit_accept(k, "10.0.1.2:4000");
        (void)state;
        accept_udp(k, "10.0.1.1:40000", P);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, tcp);
        assert_int_not_equal(k->try_flow, other);
        assert_int_equal(fake_opened(k->f, 0), 0);
        kit_free(k);
}

/* What is bound to a flow that is no proxy's: nothing is opened to where it came from. */
static void big_requests_open_nothing_to_strangers(void **state)
{
        struct kit *k = kit_new_tuned(mtu, &(struct bl_txns_conf){.mtu_to_tcp = true});
        struct bl_send_want w = {.u = kit_uri("sip:joe@phone.invalid"), .method = BL_M_BYE, .octets = 9000};
        bl_flow_id f = accept_udp(k, "10.0.7.7:5060", "sip:joe@phone.invalid");
        (void)state;
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, f);
        assert_int_equal(fake_opened(k->f, 0), 0);
        kit_free(k);
}

/* Not even in a network that is trusted to be the domain: there a UA looks like a proxy. */
static void towards_a_ua_size_does_not_matter(void **state)
{
        struct kit *k = kit_new_tuned(mtu, &(struct bl_txns_conf){.mtu_to_tcp = true});
        struct bl_send_want w = {.u = kit_uri(P), .method = BL_M_BYE, .octets = 9000, .flags = BL_SEND_UA};
        bl_flow_id tcp = kit_accept(k, "10.0.1.77:4001"), ua = accept_udp(k, "10.0.1.77:4000", P);
        (void)state;
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, ua);
        bl_send_free(k->s);
        kit_down(k, tcp, 0);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, ua);
        assert_int_equal(fake_opened(k->f, 0), 0);
        kit_free(k);
}

static void what_may_not_open_uses_what_is_there(void **state)
{
        struct kit *k = kit_new_tuned(no_open, NULL);
        bl_flow_id e1 = kit_accept(k, "10.0.1.1:4000");
        (void)state;
        assert_int_equal(goes_by(k, P, 0), e1);
        kit_go(k, BL_M_BYE, "sip:home.example;lr", 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->failed, 503);
        assert_int_equal(fake_opened(k->f, 0), 0);
        kit_free(k);
}

/* An edge to a fellow edge: its own cluster is bound to no flow, and yet one connection serves all. */
static void to_our_own_cluster_one_flow_serves(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:p1@own.example;lr;maddr=10.0.3.3", BL_SEND_USE_MADDR);
        bl_flow_id f = kit_up(k, "10.0.3.3:5060");
        kit_resp(k, f, 200);
        assert_int_equal(goes_by(k, "sip:p2@own.example;lr;maddr=10.0.3.3", BL_SEND_USE_MADDR), f);
        assert_false(kit_bound(k, "sip:own.example", f));
        assert_false(kit_bound(k, "sip:p1@own.example;lr;maddr=10.0.3.3", f));
        kit_free(k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(exact_before_equivalent_before_domain),
                cmocka_unit_test(with_user_the_last_confirmed),
                cmocka_unit_test(by_domain_only_to_a_resolved_address),
                cmocka_unit_test(the_port_counts_where_we_opened),
                cmocka_unit_test(a_named_transport_is_kept_to),
                cmocka_unit_test(sips_goes_by_tls_only),
                cmocka_unit_test(another_domains_flow_is_never_used),
                cmocka_unit_test(never_back_where_it_came_from_unless_exact),
                cmocka_unit_test(a_domain_follows_rfc_3263_not_the_last_confirmed),
                cmocka_unit_test(a_port_makes_another_target),
                cmocka_unit_test(equal_targets_share_the_calls),
                cmocka_unit_test(discovery_opens_even_where_one_matches),
                cmocka_unit_test(a_maddr_counts_only_when_allowed),
                cmocka_unit_test(big_requests_prefer_a_stream_then_udp),
                cmocka_unit_test(big_requests_open_where_the_far_end_listens),
                cmocka_unit_test(big_requests_take_the_stream_that_is_there),
                cmocka_unit_test(big_requests_open_nothing_to_strangers),
                cmocka_unit_test(towards_a_ua_size_does_not_matter),
                cmocka_unit_test(what_may_not_open_uses_what_is_there),
                cmocka_unit_test(to_our_own_cluster_one_flow_serves),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
