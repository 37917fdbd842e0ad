/* Flows and their bindings over time: protocol.md section 3.3. */
#include "unit/unit.h"

#include "unit/hop/kit.h"

#define HOME "sip:home.example;lr"
#define H1 "10.0.2.1:5060"
#define P "sip:joe+i+e1+e3+M@edge.example.com;lr"

static void never(struct kit *k)
{
        k->conf.ping_every_ms = UINT32_MAX;
}

/* Up to h1, with a dialog bound to it. */
static struct kit *bound_to_h1(void (*tune)(struct kit *), bl_flow_id *ret_h1)
{
        struct kit *k = kit_new_tuned(tune, NULL);
        kit_go(k, BL_M_BYE, HOME ";d=1", 0);
        *ret_h1 = kit_up(k, H1);
        kit_resp(k, *ret_h1, 200);
        assert_true(kit_bound(k, HOME ";d=1", *ret_h1));
        fake_drop_all(k->f);
        return k;
}

static void ours_is_opened_again_and_gets_its_bindings_back(void **state)
{
        bl_flow_id h1, again;
        struct kit *k = bound_to_h1(never, &h1);
        (void)state;
        kit_down(k, h1, -104);
        again = kit_opened(k, H1); /* at once, in the background */
        assert_int_not_equal(again, 0);
        assert_false(kit_bound(k, HOME ";d=1", h1)); /* out of every answer meanwhile */
        kit_up(k, H1);
        assert_true(kit_bound(k, HOME ";d=1", again));
        assert_true(bl_flow_linked(kit_flow(k, again), BL_STR("home.example"))); /* the same identity */
        kit_free(k);
}

static void with_back_off_and_for_ten_seconds(void **state)
{
        bl_flow_id h1;
        struct kit *k = bound_to_h1(never, &h1);
        static const unsigned pauses[] = {250, 500, 1000, 2000};
        (void)state;
        kit_down(k, h1, -104);
        kit_down(k, kit_opened(k, H1), -111);
        for (unsigned i = 0; i < BL_ARRAY_LEN(pauses); i++) {
                fake_pass(k->f, pauses[i] - 20);
                assert_int_equal(kit_opened(k, H1), 0);
                fake_pass(k->f, 40);
                bl_flow_id f = kit_opened(k, H1);
                assert_int_not_equal(f, 0);
                if (i + 1 == BL_ARRAY_LEN(pauses)) { /* 3.75 s after the loss */
                        kit_up(k, H1);
                        assert_true(kit_bound(k, HOME ";d=1", f));
                        h1 = f;
                } else {
                        kit_down(k, f, -111);
                }
        }
        kit_down(k, h1, -104);
        for (unsigned i = 0; i < 150; i++) {
                if (kit_opened(k, H1))
                        kit_down(k, kit_opened(k, H1), -111);
                fake_pass(k->f, 100);
        }
        assert_int_equal(kit_opened(k, H1), 0); /* given up */
        fake_pass(k->f, 10000);
        assert_int_equal(kit_opened(k, H1), 0);
        struct bl_sticky_stats s;
        for (unsigned i = 0; i < 10; i++)
                bl_sticky_expire(k->sticky, kit_env(k)->now);
        bl_sticky_get_stats(k->sticky, &s);
        assert_int_equal(s.bindings, 0);
        kit_free(k);
}

static void meanwhile_requests_take_the_next_candidate(void **state)
{
        bl_flow_id h1;
        struct kit *k = bound_to_h1(never, &h1);
        (void)state;
        kit_down(k, h1, -104);
        kit_go(k, BL_M_BYE, HOME ";d=1", 0);
        bl_flow_id h2 = kit_opened(k, "10.0.2.2:5060");
        assert_int_not_equal(h2, 0); /* the one that failed goes last */
        kit_up(k, "10.0.2.2:5060");
        assert_int_equal(k->try_flow, h2);
        kit_free(k);
}

/* Once it is back it is preferred again, without waiting for the memory of its failure to fade. */
static void what_came_back_has_not_failed(void **state)
{
        bl_flow_id h1;
        struct kit *k = bound_to_h1(never, &h1);
        (void)state;
        kit_down(k, h1, -104);
        h1 = kit_up(k, H1);
        bl_flow_close(kit_flow(k, h1), false);
        fake_settle(k->f);
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_int_not_equal(kit_opened(k, H1), 0);
        assert_int_equal(kit_opened(k, "10.0.2.2:5060"), 0);
        kit_free(k);
}

static void a_request_shares_the_background_open(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr", 0);
        bl_flow_id f = kit_up(k, "10.0.5.1:5060");
        kit_resp(k, f, 200);
        kit_down(k, f, -104);
        bl_flow_id again = kit_opened(k, "10.0.5.1:5060");
        kit_go(k, BL_M_BYE, "sip:good.example;lr", 0);
        assert_int_equal(kit_opened(k, "10.0.5.1:5060"), again);
        assert_int_equal(fake_opened(k->f, 1), 0);
        kit_up(k, "10.0.5.1:5060");
        assert_int_equal(k->try_flow, again);
        kit_free(k);
}

static void what_we_closed_stays_closed(void **state)
{
        bl_flow_id h1;
        struct kit *k = bound_to_h1(never, &h1);
        (void)state;
        bl_flow_close(kit_flow(k, h1), false);
        fake_settle(k->f);
        fake_pass(k->f, 5000);
        assert_int_equal(kit_opened(k, H1), 0);
        kit_free(k);
}

static void like_a_ua(struct kit *k)
{
        never(k);
        k->conf.no_reopen = true;
}

static void a_ua_recovers_by_itself(void **state)
{
        bl_flow_id h1;
        struct kit *k = bound_to_h1(like_a_ua, &h1);
        (void)state;
        kit_down(k, h1, -104);
        fake_pass(k->f, 5000);
        assert_int_equal(kit_opened(k, H1), 0);
        kit_free(k);
}

/* ---- accepted ---- */

static void accepted_ones_pass_theirs_to_the_next_of_same_domain_and_source(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id e1 = kit_accept(k, "10.0.1.1:4000"), other, next;
        (void)state;
        kit_bind(k, P, e1, BL_BIND_PATH);
        kit_bind(k, P ";d=1", e1, BL_BIND_DIALOG);
        kit_down(k, e1, -104);
        other = kit_accept(k, "10.0.1.2:4000"); /* same domain, another source */
        assert_false(kit_bound(k, P, other));
        next = kit_accept(k, "10.0.1.1:4001");
        assert_true(kit_bound(k, P, next));
        assert_true(kit_bound(k, P ";d=1", next));
        kit_free(k);
}

static void a_uas_bindings_go_with_its_flow(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id ua = kit_accept(k, "10.0.7.1:4000"), again;
        (void)state;
        kit_bind(k, "sip:p@own.example;lr", ua, BL_BIND_PATH);
        kit_down(k, ua, -104);
        again = kit_accept(k, "10.0.7.1:4000");
        assert_false(kit_bound(k, "sip:p@own.example;lr", again));
        struct bl_sticky_stats left;
        bl_sticky_expire(k->sticky, kit_env(k)->now);
        bl_sticky_get_stats(k->sticky, &left);
        assert_int_equal(left.bindings, 0); /* not kept for anybody */
        kit_go(k, BL_M_BYE, "sip:p@own.example;lr", BL_SEND_UA);
        fake_pass(k->f, 1);
        assert_int_equal(k->failed, 430);
        kit_free(k);
}

/* A node whose connection to us broke is asked last, whichever port its listener has. */
static void where_a_proxys_flow_broke_is_tried_last(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id e1 = kit_accept(k, "10.0.1.1:4000");
        (void)state;
        kit_down(k, e1, -104);
        kit_go(k, BL_M_BYE, P, 0);
        assert_int_equal(kit_opened(k, "10.0.1.1:5060"), 0);
        assert_int_not_equal(kit_opened(k, "10.0.1.2:5060"), 0);
        bl_send_free(k->s);
        kit_down(k, kit_opened(k, "10.0.1.2:5060"), 0);
        e1 = kit_accept(k, "10.0.1.1:4001"); /* back again */
        kit_down(k, e1, 0);
        kit_go(k, BL_M_BYE, P, 0);
        assert_int_not_equal(kit_opened(k, "10.0.1.1:5060"), 0);
        kit_free(k);
}

static void too_late_is_not_adopted(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id e1 = kit_accept(k, "10.0.1.1:4000"), next;
        (void)state;
        kit_bind(k, P, e1, BL_BIND_PATH);
        kit_down(k, e1, -104);
        fake_pass(k->f, 10500);
        next = kit_accept(k, "10.0.1.1:4001");
        assert_false(kit_bound(k, P, next));
        kit_free(k);
}

/* ---- keep-alive between proxies ---- */

static void pings_go_to_belay_only(void **state)
{
        struct kit *k = kit_new();
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr", 0);
        bl_flow_id f = kit_up(k, "10.0.5.1:5060");
        kit_resp(k, f, 200);
        fake_drop_all(k->f);
        fake_pass(k->f, 20000);
        assert_int_equal(kit_sent(k, f, "\r\n\r\n"), 0); /* a stranger might not answer */
        kit_go(k, BL_M_BYE, "sip:good.example;lr", BL_SEND_BELAY);
        assert_int_equal(k->try_flow, f);
        kit_resp(k, f, 200);
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(kit_sent(k, f, "\r\n\r\n"), 1); /* every 5 s */
                fake_text(k->f, f, "\r\n");
                fake_pass(k->f, 5010);
        }
        fake_pass(k->f, 2100); /* 2 s to answer */
        assert_null(fake_flow(k->f, f));
        kit_free(k);
}

static void keeps_quiet(struct kit *k)
{
        k->conf.no_reopen = true;
}

static void a_uas_flows_are_not_pinged(void **state)
{
        struct kit *k = kit_new_tuned(keeps_quiet, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr", BL_SEND_BELAY);
        bl_flow_id f = kit_up(k, "10.0.5.1:5060");
        kit_resp(k, f, 200);
        fake_drop_all(k->f);
        fake_pass(k->f, 20000);
        assert_int_equal(kit_sent(k, f, "\r\n"), 0);
        assert_non_null(fake_flow(k->f, f));
        kit_free(k);
}

/* A probe leaves the owner's own keep-alive as it was. */
static void a_probe_does_not_end_a_keepalive(void **state)
{
        struct kit *k = kit_new_tuned(like_a_ua, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr", BL_SEND_BELAY);
        bl_flow_id f = kit_up(k, "10.0.5.1:5060");
        bl_flow_keepalive(kit_flow(k, f), 20000, 3000);
        fake_text(k->f, f, "\r\n");
        fake_drop_all(k->f);
        fake_pass(k->f, 1100);
        assert_int_equal(kit_sent(k, f, "\r\n\r\n"), 1);
        fake_text(k->f, f, "\r\n");
        assert_int_equal(k->n_ended, 0);
        kit_resp(k, f, 200);
        fake_pass(k->f, 10000);
        assert_int_equal(kit_sent(k, f, "\r\n\r\n"), 0);
        fake_pass(k->f, 11500);
        assert_int_equal(kit_sent(k, f, "\r\n\r\n"), 1);
        fake_pass(k->f, 3100);
        assert_null(fake_flow(k->f, f));
        kit_free(k);
}

static void an_unanswered_probe_closes(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr", BL_SEND_BELAY);
        bl_flow_id f = kit_up(k, "10.0.5.1:5060");
        fake_pass(k->f, 2900);
        assert_non_null(fake_flow(k->f, f));
        fake_pass(k->f, 200);
        assert_null(fake_flow(k->f, f));
        kit_free(k);
}

/* ---- UDP: up says nothing ---- */

static void over_udp_bindings_wait_for_a_pong(void **state)
{
        struct kit *k = kit_new();
        (void)state;
        kit_go(k, BL_M_BYE, "sip:udp.example;lr;d=1", BL_SEND_BELAY);
        bl_flow_id f = kit_up(k, "10.0.4.1:5060");
        kit_resp(k, f, 200);
        kit_down(k, f, -111);
        fake_pass(k->f, 300);
        bl_flow_id again = kit_up(k, "10.0.4.1:5060");
        assert_false(kit_bound(k, "sip:udp.example;lr;d=1", again));
        kit_down(k, again, BL_ETIMEOUT); /* nobody answered */
        fake_pass(k->f, 600);
        again = kit_up(k, "10.0.4.1:5060");
        bl_hops_flow_pong(k->h, kit_flow(k, again));
        assert_true(kit_bound(k, "sip:udp.example;lr;d=1", again));
        kit_free(k);
}

/* ---- memory ---- */

static void all_comes_back(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        size_t before = bl_pool_used(kit_env(k)->pool);
        (void)state;
        for (unsigned i = 0; i < 5; i++) {
                kit_go(k, BL_M_BYE, HOME, 0);
                bl_flow_id f = kit_up(k, H1);
                kit_resp(k, f, 200);
                bl_flow_close(kit_flow(k, f), false);
                fake_settle(k->f);
                fake_drop_all(k->f);
        }
        fake_pass(k->f, 40000);
        assert_int_equal(bl_pool_used(kit_env(k)->pool), before);
        kit_free(k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ours_is_opened_again_and_gets_its_bindings_back),
                cmocka_unit_test(with_back_off_and_for_ten_seconds),
                cmocka_unit_test(meanwhile_requests_take_the_next_candidate),
                cmocka_unit_test(what_came_back_has_not_failed),
                cmocka_unit_test(a_request_shares_the_background_open),
                cmocka_unit_test(what_we_closed_stays_closed),
                cmocka_unit_test(a_ua_recovers_by_itself),
                cmocka_unit_test(accepted_ones_pass_theirs_to_the_next_of_same_domain_and_source),
                cmocka_unit_test(a_uas_bindings_go_with_its_flow),
                cmocka_unit_test(where_a_proxys_flow_broke_is_tried_last),
                cmocka_unit_test(too_late_is_not_adopted),
                cmocka_unit_test(pings_go_to_belay_only),
                cmocka_unit_test(a_uas_flows_are_not_pinged),
                cmocka_unit_test(a_probe_does_not_end_a_keepalive),
                cmocka_unit_test(an_unanswered_probe_closes),
                cmocka_unit_test(over_udp_bindings_wait_for_a_pong),
                cmocka_unit_test(all_comes_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
