/* The redirect that rebuilds: protocol.md section 3.4, and what an attacker would make of it. */
#include "unit/unit.h"

#include "unit/hop/kit.h"

#define P "sip:joe+i+e1+e3+M@edge.example.com;lr"
#define PD P ";d=77"
#define E1 "10.0.1.1:5060"
#define E2 "10.0.1.2:5060"
#define E3 "10.0.1.3:5060"

static void never(struct kit *k)
{
        k->conf.ping_every_ms = UINT32_MAX;
}

/* A home that forgot: e2 has a flow to it, P names e1 and e3. The request is at e2. */
static struct kit *at_e2(enum bl_method m, bl_flow_id *ret_e2)
{
        struct kit *k = kit_new_tuned(never, NULL);
        *ret_e2 = kit_accept(k, "10.0.1.2:41000");
        kit_go(k, m, PD, 0);
        assert_int_equal(k->try_flow, *ret_e2);
        fake_drop_all(k->f);
        return k;
}
static const char *two = "Contact: <" P ";d=77;maddr=10.0.1.3>;q=0.5\r\nContact: <" P ";d=77;maddr=10.0.1.1>;q=0.9\r\n";

static void targets_in_q_order_in_the_same_transaction(void **state)
{
        bl_flow_id e2, e1;
        struct kit *k = at_e2(BL_M_INVITE, &e2);
        const struct fake_sent *s;
        (void)state;
        kit_resp_more(k, e2, 305, two);
        assert_int_equal(k->n_seen, 0); /* never passed upstream */
        e1 = kit_up(k, E1);             /* the map knows its transport: TCP, not the UDP of a bare maddr */
        assert_string_equal(k->route, PD ";maddr=10.0.1.1");
        s = fake_take(k->f, e1);
        assert_non_null(s);
        assert_non_null(strstr(s->text, "branch=z9hG4bK1;"));
        assert_int_equal(kit_sent(k, e2, "ACK"), 1);
        kit_resp(k, e1, 200);
        assert_seen1(k, 200);
        /* u, and u without d, are bound to the accepting flow: at most one detour per P. */
        assert_true(kit_bound(k, PD, e1));
        assert_true(kit_bound(k, P, e1));
        kit_go(k, BL_M_INVITE, P ";d=78", 0);
        assert_int_equal(k->try_flow, e1);
        assert_string_equal(k->route, "");
        kit_free(k);
}

static void the_redirecting_flow_is_unbound_a_430_too_a_503_not(void **state)
{
        static const unsigned statuses[] = {305, 430, 503, 500};
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(statuses); i++) {
                struct kit *k = kit_new_tuned(never, NULL);
                bl_flow_id e2 = kit_accept(k, "10.0.1.2:41000");
                kit_bind(k, PD, e2, BL_BIND_DIALOG);
                kit_bind(k, P, e2, BL_BIND_PATH);
                kit_go(k, BL_M_BYE, PD, 0);
                assert_int_equal(k->try_flow, e2);
                kit_resp_more(k, e2, statuses[i], statuses[i] == 305 ? two : "");
                assert_int_equal(kit_bound(k, PD, e2), i >= 2);
                assert_int_equal(kit_bound(k, P, e2), i >= 2);
                kit_free(k);
        }
}

static void the_remaining_nodes_are_tried_once_each_by_maddr(void **state)
{
        bl_flow_id e2;
        struct kit *k = at_e2(BL_M_BYE, &e2);
        (void)state;
        kit_resp_more(k, e2, 305, "Contact: <" PD ";maddr=10.0.1.1>\r\n");
        kit_resp(k, kit_up(k, E1), 430);
        bl_flow_id e3 = kit_up(k, E3); /* the map names it; e2 has answered already */
        assert_string_equal(k->route, PD ";maddr=10.0.1.3");
        assert_int_equal(kit_sent(k, e2, "BYE"), 0);
        assert_int_equal(kit_opened(k, E2), 0);
        kit_resp(k, e3, 430);
        assert_seen1(k, 430); /* all gave it */
        kit_free(k);
}

static void a_node_named_by_maddr_is_not_redirected_again(void **state)
{
        bl_flow_id e2;
        struct kit *k = at_e2(BL_M_BYE, &e2);
        (void)state;
        kit_resp_more(k, e2, 305, "Contact: <" PD ";maddr=10.0.1.1>\r\n");
        bl_flow_id e1 = kit_up(k, E1);
        kit_resp_more(k, e1, 305, "Contact: <" PD ";maddr=10.0.1.7>\r\n");
        assert_int_equal(kit_opened(k, "10.0.1.7:5060"), 0);
        bl_flow_id e3 = kit_up(k, E3); /* it counts as a 430 */
        kit_resp(k, e3, 200);
        assert_seen1(k, 200);
        kit_free(k);
}

static void a_target_that_is_dead_gives_way_to_the_next(void **state)
{
        bl_flow_id e2;
        struct kit *k = at_e2(BL_M_BYE, &e2);
        (void)state;
        kit_resp_more(k, e2, 305, two);
        kit_down(k, kit_opened(k, E1), -111);
        bl_flow_id e3 = kit_up(k, E3);
        assert_string_equal(k->route, PD ";maddr=10.0.1.3");
        kit_resp(k, e3, 200);
        assert_seen1(k, 200);
        kit_free(k);
}

/* Without a map the redirected node is taken to be like the one that redirected. */
static void a_bare_maddr_is_tried_as_the_sibling_was(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id peer = kit_accept(k, "10.0.9.1:40000");
        (void)state;
        kit_go(k, BL_M_BYE, "sip:x@peer.example;lr", 0);
        assert_int_equal(k->try_flow, peer);
        kit_resp_more(k, peer, 305, "Contact: <sip:x@peer.example;lr;maddr=10.0.9.2>\r\n");
        bl_flow_id f = kit_opened(k, "10.0.9.2:5060");
        assert_int_not_equal(f, 0);
        assert_int_equal(fake_flow(k->f, f)->tp, BL_TCP);
        kit_down(k, f, -111);
        f = kit_opened(k, "10.0.9.2:5060"); /* then as RFC 3263 says */
        assert_int_not_equal(f, 0);
        assert_int_equal(fake_flow(k->f, f)->tp, BL_UDP);
        kit_free(k);
}

static void lr_is_given_when_it_is_missing(void **state)
{
        bl_flow_id e2;
        struct kit *k = at_e2(BL_M_BYE, &e2);
        (void)state;
        kit_resp_more(k, e2, 305, "Contact: <sip:joe+i+e1+e3+M@edge.example.com;d=77;maddr=10.0.1.1?X=y>\r\n");
        kit_up(k, E1);
        assert_string_equal(k->route, "sip:joe+i+e1+e3+M@edge.example.com;d=77;maddr=10.0.1.1;lr");
        kit_free(k);
}

/* With `*` the stored hint says whom to ask first. */
static void the_hinted_node_goes_first(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_INVITE, "sip:joe+i+*+M@edge.example.com;lr;n=e3", 0);
        bl_flow_id e3 = kit_up(k, E3);
        assert_int_equal(kit_sent(k, e3, "INVITE"), 1);
        assert_string_equal(k->route, "");
        kit_resp(k, e3, 430);
        assert_int_not_equal(kit_opened(k, E1), 0); /* then the others */
        kit_free(k);
}

/* ---- who may redirect, and to what ---- */

static void from_a_flow_not_linked_it_counts_as_480(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id ua = kit_accept(k, "10.0.7.7:4000"), other = kit_accept(k, "10.0.7.8:4000");
        (void)state;
        kit_bind(k, PD, other, BL_BIND_PATH);
        fake_pass(k->f, 5);
        kit_bind(k, PD, ua, BL_BIND_PATH);
        kit_go(k, BL_M_BYE, PD, BL_SEND_UA);
        assert_int_equal(k->try_flow, ua);
        kit_resp_more(k, ua, 305, two);
        assert_int_equal(k->failed, 480);
        assert_int_equal(k->n_seen, 0);
        assert_int_equal(k->n_render, 1);
        assert_int_equal(fake_opened(k->f, 0), 0);
        assert_true(kit_bound(k, PD, ua)); /* and unbinds nothing */
        assert_int_equal(kit_count(k, "belay_hop_redirects_refused_total", "not_linked"), 1);
        kit_free(k);
}

/* Linked, but to another domain than the Route's. */
static void from_a_peer_domain_it_counts_as_480(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id peer = kit_accept(k, "10.0.9.1:4000");
        (void)state;
        kit_bind(k, PD, peer, BL_BIND_DIALOG);
        kit_go(k, BL_M_BYE, PD, 0);
        assert_int_equal(k->try_flow, peer);
        kit_resp_more(k, peer, 305, two);
        assert_int_equal(k->failed, 480);
        assert_true(kit_bound(k, PD, peer));
        assert_int_equal(fake_opened(k->f, 0), 0);
        kit_free(k);
}

/* Not by the flow that was asked, but by one that is not linked: whoever knows the branch does not redirect us. */
static void from_another_flow_it_must_be_linked_too(void **state)
{
        bl_flow_id e2;
        struct kit *k = at_e2(BL_M_BYE, &e2);
        bl_flow_id ua = kit_accept(k, "10.0.7.7:4000");
        (void)state;
        kit_bind(k, P, e2, BL_BIND_PATH);
        kit_resp_more(k, ua, 305, two);
        assert_int_equal(k->failed, 480);
        assert_int_equal(fake_opened(k->f, 0), 0);
        assert_true(kit_bound(k, P, e2));
        kit_free(k);
}

static void other_users_hosts_and_schemes_are_not_followed(void **state)
{
        static const char *const contacts[] = {
                "Contact: <sip:eve@edge.example.com;lr;maddr=10.0.1.1>\r\n",
                "Contact: <sip:joe+i+e1+e3+M@evil.example;lr;maddr=10.0.1.1>\r\n",
                "Contact: <sip:edge.example.com;lr;maddr=10.0.1.1>\r\n",
                "Contact: <sips:joe+i+e1+e3+M@edge.example.com;lr;maddr=10.0.1.1>\r\n",
                "Contact: <tel:+123>\r\n",
                "Contact: *\r\n",
                "",
        };
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(contacts); i++) {
                bl_flow_id e2;
                struct kit *k = at_e2(BL_M_BYE, &e2);
                kit_resp_more(k, e2, 305, contacts[i]);
                bl_flow_id e1 = kit_up(k, E1);
                assert_int_equal(k->try_flow, e1);
                assert_string_equal(k->route, ""); /* the next candidate, as planned */
                kit_free(k);
        }
}

static void a_redirect_that_leads_nowhere_ends_as_480(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id peer = kit_accept(k, "10.0.9.1:4000");
        (void)state;
        kit_go(k, BL_M_BYE, "sip:x@peer.example;lr", 0);
        kit_resp_more(k, peer, 305, "Contact: <sip:y@peer.example;lr;maddr=10.0.9.2>\r\n");
        assert_int_equal(k->failed, 480);
        kit_free(k);
}

static void to_register_a_305_is_the_owners(void **state)
{
        bl_flow_id e2;
        struct kit *k = at_e2(BL_M_REGISTER, &e2);
        (void)state;
        kit_resp_more(k, e2, 305, two);
        assert_seen1(k, 305);
        kit_free(k);
        k = kit_new_tuned(never, NULL);
        e2 = kit_accept(k, "10.0.1.2:41000");
        kit_go(k, BL_M_BYE, PD, BL_SEND_NO_REDIRECT);
        kit_resp_more(k, e2, 305, two);
        assert_seen1(k, 305);
        kit_free(k);
}

static void many_contacts_are_bounded(void **state)
{
        bl_flow_id e2;
        struct kit *k = at_e2(BL_M_BYE, &e2);
        char more[1800];
        size_t n = 0;
        (void)state;
        for (unsigned i = 0; i < 18; i++)
                n += (size_t)snprintf(more + n, sizeof(more) - n, "Contact: <" PD ";maddr=10.9.9.%u>\r\n", i + 1);
        kit_resp_more(k, e2, 305, more);
        unsigned opened = 0;
        for (unsigned i = 0; i < 100 && !k->n_failed && !k->n_seen; i++) {
                bl_flow_id f = fake_opened(k->f, 0);
                if (!f)
                        break;
                opened++;
                kit_down(k, f, -111);
        }
        assert_true(opened >= 6 && opened <= 20);
        kit_free(k);
}

/* While a candidate is still silent, its own redirect is taken as well. */
static void a_late_redirect_is_followed(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id e2 = kit_accept(k, "10.0.1.2:41000"), e1 = kit_accept(k, "10.0.1.1:41000");
        (void)state;
        kit_bind(k, P, e2, BL_BIND_PATH);
        kit_go(k, BL_M_BYE, PD, BL_SEND_BELAY);
        assert_int_equal(k->try_flow, e2);
        fake_pass(k->f, 1100);
        assert_int_equal(k->try_flow, e1);
        kit_resp_more(k, e2, 305, "Contact: <" PD ";maddr=10.0.1.3>\r\n");
        bl_flow_id e3 = kit_up(k, E3);
        assert_string_equal(k->route, PD ";maddr=10.0.1.3");
        kit_resp(k, e3, 200);
        assert_seen1(k, 200);
        kit_free(k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(targets_in_q_order_in_the_same_transaction),
                cmocka_unit_test(the_redirecting_flow_is_unbound_a_430_too_a_503_not),
                cmocka_unit_test(the_remaining_nodes_are_tried_once_each_by_maddr),
                cmocka_unit_test(a_node_named_by_maddr_is_not_redirected_again),
                cmocka_unit_test(a_target_that_is_dead_gives_way_to_the_next),
                cmocka_unit_test(a_bare_maddr_is_tried_as_the_sibling_was),
                cmocka_unit_test(lr_is_given_when_it_is_missing),
                cmocka_unit_test(the_hinted_node_goes_first),
                cmocka_unit_test(from_a_flow_not_linked_it_counts_as_480),
                cmocka_unit_test(from_a_peer_domain_it_counts_as_480),
                cmocka_unit_test(from_another_flow_it_must_be_linked_too),
                cmocka_unit_test(other_users_hosts_and_schemes_are_not_followed),
                cmocka_unit_test(a_redirect_that_leads_nowhere_ends_as_480),
                cmocka_unit_test(to_register_a_305_is_the_owners),
                cmocka_unit_test(many_contacts_are_bounded),
                cmocka_unit_test(a_late_redirect_is_followed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
