/* Journeys of requests: protocol.md section 5, "In flight" and "One transaction, not two". */
#include "unit/unit.h"

#include "unit/hop/kit.h"

#define HOME "sip:home.example;lr"
#define H1 "10.0.2.1:5060"
#define H2 "10.0.2.2:5060"
#define P "sip:joe+i+e1+e3+M@edge.example.com;lr"
#define UDP_U "sip:udp.example;lr"
#define U1 "10.0.4.1:5060"
#define U2 "10.0.4.2:5060"

static void never(struct kit *k)
{
        k->conf.ping_every_ms = UINT32_MAX;
}

/* Both homes up, the request was tried on h1. */
static struct kit *two_homes(enum bl_method m, unsigned flags, bl_flow_id *ret_h1)
{
        struct kit *k = kit_new_tuned(never, NULL);
        kit_go(k, m, HOME, flags);
        *ret_h1 = kit_up(k, H1);
        assert_int_equal(kit_sent(k, *ret_h1, bl_method_name(m).p), 1);
        return k;
}

/* ---- life ---- */

static void opens_and_is_answered(void **state)
{
        struct kit *k = kit_new();
        (void)state;
        kit_go(k, BL_M_BYE, HOME, 0);
        bl_flow_id f = kit_up(k, H1);
        assert_int_equal(k->try_flow, f);
        assert_int_equal(bl_send_tries(k->s), 1);
        assert_int_equal(k->route[0], 0);
        assert_int_equal(k->try_local.family, fake_flow(k->f, f)->local.family);
        assert_int_equal(kit_sent(k, f, "BYE"), 1);
        kit_resp(k, f, 200);
        assert_seen1(k, 200);
        assert_int_equal(k->from, f);
        assert_int_equal(k->n_ended, 1);
        assert_int_equal(k->n_failed, 0);
        kit_free(k);
}

static void keep_line(struct bl_log *log, enum bl_level level, struct bl_str line)
{
        (void)level;
        snprintf(log->sink_arg, 512, "%.*s", BL_STR_ARG(line));
}

/* First by the flow that was opened for it, then by what the 2xx taught. */
static void says_by_which_binding(void **state)
{
        struct kit *k = kit_new();
        char line[512] = "";
        (void)state;
        k->f->log = (struct bl_log){.level = BL_LOG_DEBUG, .sink = keep_line, .sink_arg = line};
        kit_go(k, BL_M_BYE, HOME, 0);
        bl_flow_id f = kit_up(k, H1);
        assert_non_null(strstr(line, "event=request_leaves method=BYE"));
        assert_non_null(strstr(line, " rank=4 binding=opened transport=TCP remote=" H1));
        kit_resp(k, f, 200);
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_non_null(strstr(line, " rank=1 binding=domain "));
        k->f->log.level = BL_LOG_INFO;
        line[0] = 0;
        kit_resp(k, f, 200);
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_string_equal(line, "");
        kit_free(k);
}

static void each_2xx_of_an_invite_is_shown(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
        (void)state;
        kit_resp(k, h1, 100);
        kit_resp(k, h1, 180);
        kit_resp(k, h1, 200);
        kit_resp(k, h1, 200);
        assert_int_equal(k->n_seen, 4);
        assert_int_equal(k->n_ended, 0);
        fake_pass(k->f, 31000);
        assert_int_equal(k->n_ended, 0);
        fake_pass(k->f, 1500); /* 64*T1, RFC 6026 */
        assert_int_equal(k->n_ended, 1);
        assert_int_equal(k->n_failed, 0);
        kit_free(k);
}

static void may_be_freed_inside_each_callback(void **state)
{
        (void)state;
        for (unsigned i = 0; i < 4; i++) {
                bl_flow_id h1;
                struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
                k->free_in_response = i < 2;
                k->free_in_failed = i == 2;
                if (i < 2)
                        kit_resp(k, h1, i ? 486 : 200);
                else if (i == 2)
                        fake_pass(k->f, 32500);
                else
                        bl_send_free(k->s);
                fake_pass(k->f, 33000);
                assert_int_equal(k->n_ended, 0);
                assert_int_equal(k->n_seen, i < 2);
                assert_int_equal(k->n_failed, i == 2);
                assert_int_equal(bl_txns_count(k->t), 0);
                kit_free(k);
        }
}

static void freed_in_render_is_gone(void **state)
{
        struct kit *k = kit_new();
        bl_flow_id f = kit_accept(k, "10.0.1.9:4000");
        struct bl_send_want w = {.u = kit_uri(P),
                                 .method = BL_M_BYE,
                                 .method_name = BL_STR("BYE"),
                                 .branch = BL_STR("z9hG4bKx"),
                                 .call_id = BL_STR("c")};
        (void)state;
        kit_bind(k, P, f, BL_BIND_PATH);
        k->free_in_render = true;
        assert_int_equal(bl_send_start(k->h, &w, &kit_send_user, k, &k->s), BL_EGONE);
        assert_int_equal(k->n_failed + k->n_ended, 0);
        kit_free(k);
}

static void nothing_is_left_after_a_request(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id f = kit_accept(k, "10.0.1.9:4000");
        struct bl_pool *pool = kit_env(k)->pool;
        (void)state;
        kit_bind(k, P, f, BL_BIND_PATH);
        size_t idle = 0;
        uint64_t calls = 0;
        for (unsigned i = 0; i < 6; i++) {
                kit_go(k, BL_M_BYE, P, BL_SEND_UA);
                kit_resp(k, f, 200);
                fake_drop_all(k->f);
                fake_pass(k->f, 6000);
                if (i == 1) {
                        idle = bl_pool_used(pool);
                        calls = bl_pool_heap_calls(pool);
                }
        }
        assert_int_equal(bl_pool_used(pool), idle);
        assert_int_equal(bl_pool_heap_calls(pool), calls); /* no heap in steady state */
        kit_free(k);
}

/* ---- what leads to the next candidate ---- */

static void next_after_a_refused_connection(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, HOME, 0);
        kit_down(k, kit_opened(k, H1), -111);
        bl_flow_id h2 = kit_up(k, H2);
        assert_int_equal(kit_sent(k, h2, "BYE"), 1);
        kit_resp(k, h2, 200);
        assert_seen1(k, 200);
        /* The target that failed is tried last for a while (RFC 3263 section 4.3). */
        kit_down(k, h2, 0);
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_int_equal(kit_opened(k, H1), 0);
        assert_int_not_equal(kit_opened(k, H2), 0);
        bl_send_free(k->s);
        kit_down(k, kit_opened(k, H2), -111);
        fake_pass(k->f, 11000);
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_int_not_equal(kit_opened(k, H1), 0);
        kit_free(k);
}

static void next_after_the_flow_died(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, 0, &h1);
        (void)state;
        kit_down(k, h1, -104);
        bl_flow_id h2 = kit_up(k, H2);
        assert_int_equal(kit_sent(k, h2, "BYE"), 1);
        kit_resp(k, h2, 200);
        assert_seen1(k, 200);
        kit_free(k);
}

static void next_after_a_full_queue(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id a = kit_accept(k, "10.0.1.9:4000"), b = kit_accept(k, "10.0.1.8:4000");
        (void)state;
        kit_bind(k, P, b, BL_BIND_PATH);
        fake_pass(k->f, 10);
        kit_bind(k, P, a, BL_BIND_PATH);
        fake_flow(k->f, a)->send_rc = BL_EFULL;
        kit_go(k, BL_M_BYE, P, BL_SEND_UA);
        assert_int_equal(k->try_flow, b);
        assert_int_equal(kit_sent(k, b, "BYE"), 1);
        kit_free(k);
}

static void next_after_503_and_430_with_the_same_branch(void **state)
{
        static const unsigned statuses[] = {503, 430};
        (void)state;
        for (unsigned i = 0; i < 2; i++) {
                bl_flow_id h1;
                struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
                kit_resp(k, h1, statuses[i]);
                assert_int_equal(k->n_seen, 0);
                bl_flow_id h2 = kit_up(k, H2);
                const struct fake_sent *s = fake_take(k->f, h2);
                assert_non_null(s);
                assert_non_null(strstr(s->text, "branch=z9hG4bK1;"));
                assert_int_equal(kit_sent(k, h1, "ACK"), 1);
                assert_int_equal(kit_sent(k, h1, "CANCEL"), 0); /* a losing try is never cancelled */
                kit_resp(k, h2, 200);
                assert_seen1(k, 200);
                kit_free(k);
        }
}

static void all_503_is_503_all_430_is_430(void **state)
{
        static const unsigned statuses[] = {503, 430};
        (void)state;
        for (unsigned i = 0; i < 2; i++) {
                bl_flow_id h1;
                struct kit *k = two_homes(BL_M_BYE, 0, &h1);
                kit_resp(k, h1, statuses[i]);
                kit_resp(k, kit_up(k, H2), statuses[i]);
                assert_seen1(k, statuses[i]);
                assert_int_equal(k->n_ended, 1);
                kit_free(k);
        }
}

/* "430 removes them only when all candidates gave it": one that could not be asked makes it another status. */
static void not_all_430_is_480(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, 0, &h1);
        (void)state;
        kit_resp(k, h1, 430);
        kit_down(k, kit_opened(k, H2), -111);
        assert_int_equal(k->n_seen, 0);
        assert_int_equal(k->failed, 480);
        kit_free(k);
}

static void never_after_408_other_5xx_6xx_4xx(void **state)
{
        static const unsigned statuses[] = {408, 500, 504, 580, 600, 603, 404, 486, 481, 300, 302};
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(statuses); i++) {
                bl_flow_id h1;
                struct kit *k = two_homes(BL_M_BYE, 0, &h1);
                kit_resp(k, h1, statuses[i]);
                assert_seen1(k, statuses[i]);
                assert_false(k->unsure);
                assert_int_equal(kit_opened(k, H2), 0);
                assert_int_equal(k->n_ended, 1);
                kit_free(k);
        }
}

static void a_503_unbinds_nothing_but_is_avoided_for_retry_after(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, 0, &h1);
        (void)state;
        kit_resp_more(k, h1, 503, "Retry-After: 5\r\n");
        bl_flow_id h2 = kit_up(k, H2);
        kit_resp(k, h2, 200);
        assert_true(kit_bound(k, HOME, h1));
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_int_equal(k->try_flow, h2);
        kit_resp(k, h2, 200);
        fake_pass(k->f, 5500);
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_int_equal(k->try_flow, h1); /* RFC 3263's order again */
        kit_free(k);
}

/* ---- silence ---- */

static void silence_of_a_belay_neighbour(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, BL_SEND_BELAY, &h1);
        (void)state;
        fake_pass(k->f, 900);
        assert_int_equal(kit_opened(k, H2), 0);
        fake_pass(k->f, 200);
        bl_flow_id h2 = kit_up(k, H2);
        assert_int_equal(kit_sent(k, h2, "BYE"), 1);
        assert_true(fake_flow(k->f, h1)->state == FAKE_UP); /* it closes nothing */
        const struct fake_sent *probe = fake_take(k->f, h1);
        assert_non_null(probe);
        assert_string_equal(probe->text, "\r\n\r\n"); /* but starts a probe */
        /* The earlier try may still win: an answer by any tried flow counts. */
        kit_resp(k, h1, 200);
        assert_seen1(k, 200);
        assert_int_equal(k->from, h1);
        kit_free(k);
}

static void a_silent_flow_is_avoided_until_heard(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, BL_SEND_BELAY, &h1);
        (void)state;
        fake_pass(k->f, 1100);
        bl_flow_id h2 = kit_up(k, H2);
        kit_resp(k, h2, 200);
        kit_go(k, BL_M_BYE, HOME, BL_SEND_BELAY);
        assert_int_equal(k->try_flow, h2); /* at once, no second wait */
        kit_resp(k, h2, 200);
        fake_text(k->f, h1, "\r\n");
        kit_go(k, BL_M_BYE, HOME, BL_SEND_BELAY);
        assert_int_equal(k->try_flow, h1);
        kit_free(k);
}

static void no_silence_from_strangers_nor_after_a_100(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, 0, &h1);
        (void)state;
        fake_pass(k->f, 20000);
        assert_int_equal(kit_opened(k, H2), 0);
        assert_int_equal(kit_sent(k, h1, "\r\n"), 0);
        kit_free(k);
        k = two_homes(BL_M_INVITE, BL_SEND_BELAY, &h1);
        kit_resp(k, h1, 100);
        fake_pass(k->f, 20000);
        assert_int_equal(kit_opened(k, H2), 0);
        kit_free(k);
}

static void a_late_100_makes_it_count_again(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id e[3];
        (void)state;
        for (unsigned i = 0; i < 3; i++) {
                static const char *const addrs[] = {"10.0.1.3:4000", "10.0.1.2:4000", "10.0.1.1:4000"};
                e[i] = kit_accept(k, addrs[i]);
                kit_bind(k, P, e[i], BL_BIND_PATH);
                fake_pass(k->f, 5);
        }
        kit_go(k, BL_M_INVITE, P, BL_SEND_BELAY);
        assert_int_equal(k->try_flow, e[2]);
        fake_pass(k->f, 1100);
        assert_int_equal(k->try_flow, e[1]);
        kit_resp(k, e[2], 100);
        kit_resp(k, e[1], 430);
        fake_pass(k->f, 5000);
        assert_int_equal(k->n_render, 2); /* the first is at it: no third */
        kit_resp(k, e[2], 486);
        assert_int_equal(k->status[1], 486);
        kit_free(k);
}

static void over_udp_silence_wants_two_transmissions(void **state)
{
        struct kit *k = kit_new_tuned(never, &(struct bl_txns_conf){.t1_ms = 1200});
        (void)state;
        kit_go(k, BL_M_BYE, UDP_U, BL_SEND_BELAY);
        bl_flow_id u1 = kit_up(k, U1);
        fake_pass(k->f, 1100); /* over failover_after, but sent once */
        assert_int_equal(kit_opened(k, U2), 0);
        fake_pass(k->f, 500);
        assert_int_equal(kit_sent(k, u1, "BYE"), 2);
        assert_int_not_equal(kit_opened(k, U2), 0);
        kit_free(k);
}

static void belay_is_learned_from_via(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, 0, &h1);
        struct bl_arena *a = bl_arena_new(100000);
        struct bl_msg *m;
        (void)state;
        kit_resp(k, h1, 200);
        assert_int_equal(
                bl_msg_parse(BL_STR("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKq;sticky\r\n"
                                    "From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: q\r\nCSeq: 1 INVITE\r\n"
                                    "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"),
                             true, a, &m, NULL),
                0);
        bl_hop_learn_server(k->h, kit_flow(k, h1), m, 0);
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_int_equal(k->try_flow, h1);
        fake_pass(k->f, 1100);
        assert_int_not_equal(kit_opened(k, H2), 0);
        bl_arena_free(a);
        kit_free(k);
}

/* ---- ringing ---- */

static void never_after_101_199_unless_the_flow_died(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, BL_SEND_BELAY, &h1);
        (void)state;
        kit_resp(k, h1, 180);
        fake_pass(k->f, 60000); /* Timer B is Calling's only */
        assert_int_equal(k->n_failed, 0);
        assert_int_equal(kit_opened(k, H2), 0);
        kit_down(k, h1, -104);
        bl_flow_id h2 = kit_up(k, H2);
        assert_int_equal(kit_sent(k, h2, "INVITE"), 1);
        kit_resp(k, h2, 200);
        assert_int_equal(k->status[k->n_seen - 1], 200);
        kit_free(k);
}

static void a_503_after_180_is_final(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
        (void)state;
        kit_resp(k, h1, 180);
        kit_resp(k, h1, 503);
        assert_int_equal(k->n_seen, 2);
        assert_int_equal(k->status[1], 503);
        assert_int_equal(kit_opened(k, H2), 0);
        kit_free(k);
}

static void once_one_rings_the_others_do_not_count(void **state)
{
        static const unsigned statuses[] = {305, 408, 430, 503};
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(statuses); i++) {
                bl_flow_id h1;
                struct kit *k = two_homes(BL_M_INVITE, BL_SEND_BELAY, &h1);
                fake_pass(k->f, 1100);
                bl_flow_id h2 = kit_up(k, H2);
                kit_resp(k, h2, 183);
                kit_resp(k, h1, statuses[i]);
                assert_int_equal(k->n_seen, 1);
                assert_int_equal(k->n_ended, 0);
                kit_resp(k, h2, 486);
                assert_int_equal(k->n_seen, 2);
                assert_int_equal(k->status[1], 486);
                kit_free(k);
        }
}

/* By way of a fellow edge, say: it answers the try that has no answer yet, and that flow's end matters no more. */
static void an_answer_that_came_another_way_counts(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
        bl_flow_id other = kit_accept(k, "10.0.1.1:4000");
        (void)state;
        kit_resp(k, other, 180);
        fake_pass(k->f, 40000);
        assert_seen1(k, 180); /* it rings: Timer B is over */
        kit_down(k, h1, -104);
        bl_flow_id h2 = kit_up(k, H2); /* and what was asked is gone */
        kit_resp(k, h2, 180);
        kit_resp(k, other, 503);
        assert_int_equal(k->n_seen, 3);
        assert_int_equal(k->status[2], 503);
        assert_int_equal(k->from, other);
        assert_int_equal(k->n_ended, 1);
        kit_free(k);
}

/* Nor afterwards: when what rang dies, it is as if they had said nothing. */
static void what_did_not_count_is_not_remembered(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, BL_SEND_BELAY, &h1);
        (void)state;
        fake_pass(k->f, 1100);
        bl_flow_id h2 = kit_up(k, H2);
        kit_resp(k, h2, 183);
        kit_resp(k, h1, 503);
        kit_down(k, h2, -104);
        kit_down(k, kit_opened(k, H2), -111);
        assert_int_equal(k->n_seen, 1);
        assert_int_equal(k->n_ended, 0);
        fake_pass(k->f, 600);
        h2 = kit_up(k, H2);
        kit_resp(k, h2, 200);
        assert_int_equal(k->status[k->n_seen - 1], 200);
        kit_free(k);
}

/* ---- doubt ---- */

static void doubtful_answers_lose_to_any_other(void **state)
{
        static const unsigned statuses[] = {481, 482, 500};
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(statuses); i++) {
                bl_flow_id h1;
                struct kit *k = two_homes(BL_M_BYE, BL_SEND_BELAY, &h1);
                fake_pass(k->f, 1100);
                bl_flow_id h2 = kit_up(k, H2);
                kit_resp(k, h2, statuses[i]);
                assert_int_equal(k->n_seen, 0);
                kit_resp(k, h1, 200);
                assert_seen1(k, 200);
                assert_false(k->unsure);
                kit_free(k);
        }
}

static void doubt_that_stays_is_shown_as_such(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, 0, &h1);
        (void)state;
        kit_down(k, h1, -104); /* outcome unknown */
        bl_flow_id h2 = kit_up(k, H2);
        kit_resp(k, h2, 481);
        assert_int_equal(k->n_seen, 0);
        fake_pass(k->f, 1100);
        assert_seen1(k, 481);
        assert_true(k->unsure); /* to a BYE the owner answers 200 */
        assert_int_equal(k->n_ended, 1);
        kit_free(k);
}

static void a_408_says_less_than_doubt(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_BYE, BL_SEND_BELAY, &h1);
        (void)state;
        fake_pass(k->f, 1100);
        bl_flow_id h2 = kit_up(k, H2);
        kit_resp(k, h2, 481);
        kit_resp(k, h1, 408);
        assert_int_equal(k->n_seen, 0);
        fake_pass(k->f, 1100);
        assert_seen1(k, 481);
        assert_true(k->unsure);
        kit_free(k);
}

/* The other still rings: then its answer is waited for; when it dies, the doubt is all there is. */
static void doubt_waits_for_what_rings(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, BL_SEND_BELAY, &h1);
        (void)state;
        fake_pass(k->f, 1100);
        bl_flow_id h2 = kit_up(k, H2);
        kit_resp(k, h2, 482);
        kit_resp(k, h1, 180);
        fake_pass(k->f, 5000);
        assert_seen1(k, 180);
        fake_text(k->f, h1, "\r\n");
        kit_down(k, h1, -104);
        kit_down(k, kit_opened(k, H1), -111);
        assert_int_equal(k->n_seen, 2);
        assert_int_equal(k->status[1], 482);
        assert_true(k->unsure);
        kit_free(k);
}

/* ---- rounds and deadlines ---- */

/* A single home that restarts loses nothing. */
static void goes_round_until_it_is_back(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        static const unsigned pauses[] = {500, 1000, 2000, 4000, 4000};
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr", 0);
        for (unsigned i = 0; i < BL_ARRAY_LEN(pauses); i++) {
                kit_down(k, kit_opened(k, "10.0.5.1:5060"), -111);
                fake_pass(k->f, pauses[i] - 10);
                assert_int_equal(kit_opened(k, "10.0.5.1:5060"), 0);
                fake_pass(k->f, 20);
                assert_int_not_equal(kit_opened(k, "10.0.5.1:5060"), 0);
        }
        bl_flow_id f = kit_up(k, "10.0.5.1:5060");
        assert_int_equal(kit_sent(k, f, "BYE"), 1);
        kit_resp(k, f, 200);
        assert_seen1(k, 200);
        kit_free(k);
}

static void refuse_for(struct kit *k, const char *addr, unsigned ms)
{
        for (unsigned i = 0; i < ms / 100; i++) {
                bl_flow_id f = kit_opened(k, addr);
                if (f)
                        kit_down(k, f, -111);
                fake_pass(k->f, 100);
        }
}

static void non_invite_ends_4s_early_with_504(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, "sip:good.example;lr", 0);
        refuse_for(k, "10.0.5.1:5060", 27900);
        assert_int_equal(k->n_failed, 0);
        refuse_for(k, "10.0.5.1:5060", 300);
        assert_int_equal(k->failed, 504); /* never 408 (RFC 4320) */
        assert_int_equal(k->n_ended, 1);
        kit_free(k);
        bl_flow_id h1;
        k = two_homes(BL_M_BYE, 0, &h1); /* sent, never answered */
        fake_pass(k->f, 28100);
        assert_int_equal(k->failed, 504);
        kit_free(k);
}

static void invite_without_provisional_ends_with_408(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_INVITE, "sip:good.example;lr", 0);
        refuse_for(k, "10.0.5.1:5060", 31800);
        assert_int_equal(k->n_failed, 0);
        refuse_for(k, "10.0.5.1:5060", 300);
        assert_int_equal(k->failed, 408);
        kit_free(k);
}

/* A 100 stopped the clock; what came after it does not leave the request without one. */
static void after_a_100_that_led_nowhere_the_clock_runs_again(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id e2 = kit_accept(k, "10.0.1.2:4000");
        (void)state;
        kit_go(k, BL_M_INVITE, P, 0);
        assert_int_equal(k->try_flow, e2);
        kit_resp(k, e2, 100);
        kit_resp_more(k, e2, 305, "Contact: <" P ";maddr=10.0.1.1>\r\n");
        for (unsigned i = 0; i < 331 && !k->n_failed; i++) {
                if (kit_opened(k, "10.0.1.1:5060"))
                        kit_down(k, kit_opened(k, "10.0.1.1:5060"), -111);
                if (kit_opened(k, "10.0.1.3:5060"))
                        kit_down(k, kit_opened(k, "10.0.1.3:5060"), -111);
                fake_pass(k->f, 100);
        }
        assert_int_equal(k->failed, 408);
        kit_free(k);
}

static void the_owners_deadline_holds(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        struct bl_send_want w = {.u = kit_uri(HOME), .method = BL_M_BYE, .deadline_at = kit_env(k)->now + BL_MS(3000)};
        (void)state;
        kit_go_want(k, &w);
        kit_up(k, H1);
        fake_pass(k->f, 2900);
        assert_int_equal(k->n_failed, 0);
        fake_pass(k->f, 200);
        assert_int_equal(k->failed, 504);
        kit_free(k);
}

static void tries_are_bounded(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        unsigned sent = 0;
        (void)state;
        kit_go(k, BL_M_INVITE, "sip:good.example;lr", 0);
        for (unsigned i = 0; i < 3000 && !k->n_failed; i++) {
                bl_flow_id f = kit_opened(k, "10.0.5.1:5060");
                if (f) { /* takes the request and dies, over and over */
                        fake_up(k->f, f);
                        fake_settle(k->f);
                        sent += kit_sent(k, f, "INVITE");
                        kit_down(k, f, -104);
                }
                fake_drop_all(k->f);
                fake_pass(k->f, 20);
        }
        assert_int_equal(k->failed, 408);
        assert_true(sent >= 2 && sent <= 16);
        kit_free(k);
}

static void a_name_that_does_not_exist_fails_at_once(void **state)
{
        struct kit *k = kit_new();
        (void)state;
        kit_go(k, BL_M_BYE, "sip:nowhere.example;lr", 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->failed, 503);
        assert_int_equal(k->n_ended, 1);
        kit_free(k);
}

static void with_dns(struct kit *k)
{
        never(k);
        k->conf.dns = true;
}

/* No answer from DNS is a transport failure: asked again in the next round. */
static void dns_that_is_silent_is_asked_again(void **state)
{
        struct kit *k = kit_new_tuned(with_dns, NULL);
        struct bl_send *first;
        (void)state;
        kit_go(k, BL_M_BYE, "sip:x.example:5060", 0);
        kit_answer(k, "x.example", BL_RR_A, BL_ETIMEOUT, NULL, 0, 0);
        assert_int_equal(k->n_failed, 0);
        first = k->s;
        kit_go(k, BL_M_BYE, "sip:x.example:5060", 0); /* this one hears it from the cache */
        fake_pass(k->f, 100);
        assert_int_equal(k->n_failed, 0);
        fake_pass(k->f, 1500);
        kit_answer_a(k, "x.example", "10.8.0.1", 60);
        kit_up(k, "10.8.0.1:5060");
        assert_int_equal(k->n_render, 2);
        bl_send_free(first);
        kit_free(k);
}

static void a_slow_open_does_not_hold_up_the_next(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        (void)state;
        kit_go(k, BL_M_BYE, HOME, 0);
        assert_int_not_equal(kit_opened(k, H1), 0);
        fake_pass(k->f, 1100);
        struct bl_send *first = k->s;
        kit_go(k, BL_M_BYE, HOME, 0); /* nor the next request: it counts as failed for now */
        bl_flow_id h2 = kit_up(k, H2);
        assert_int_equal(kit_sent(k, h2, "BYE"), 2);
        bl_send_free(first);
        kit_free(k);
}

static void two_requests_share_one_open(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        struct bl_send *first;
        (void)state;
        kit_go(k, BL_M_BYE, HOME, 0);
        first = k->s;
        kit_go(k, BL_M_BYE, HOME, 0);
        bl_flow_id h1 = kit_up(k, H1);
        assert_int_equal(kit_opened(k, H1), h1);
        assert_int_equal(kit_sent(k, h1, "BYE"), 2);
        assert_int_equal(fake_opened(k->f, 1), 0);
        bl_send_free(first);
        kit_free(k);
}

/* ---- towards UAs, pinned, once ---- */

static void towards_a_ua_nothing_is_opened(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id a = kit_accept(k, "10.0.7.9:4000"), b = kit_accept(k, "10.0.7.8:4000");
        (void)state;
        kit_bind(k, P, b, BL_BIND_PATH);
        fake_pass(k->f, 10);
        kit_bind(k, P, a, BL_BIND_PATH);
        kit_go(k, BL_M_BYE, P, BL_SEND_UA | BL_SEND_BELAY);
        assert_int_equal(k->try_flow, a);
        fake_pass(k->f, 5000); /* no failover_after towards a UA */
        assert_int_equal(k->n_render, 1);
        kit_down(k, a, -104);
        assert_int_equal(k->try_flow, b); /* any flow of that AOR and instance */
        kit_down(k, b, -104);
        assert_int_equal(k->failed, 430);
        assert_int_equal(fake_opened(k->f, 0), 0);
        kit_free(k);
}

static void unknown_to_a_ua_is_430(void **state)
{
        struct kit *k = kit_new();
        (void)state;
        kit_go(k, BL_M_BYE, "sip:joe+x@own.example;lr", BL_SEND_UA);
        fake_pass(k->f, 1);
        assert_int_equal(k->failed, 430);
        kit_free(k);
}

static void pinned_means_that_flow(void **state)
{
        struct kit *k = kit_new();
        bl_flow_id a = kit_accept(k, "10.0.7.9:4000"), b = kit_accept(k, "10.0.7.8:4000");
        struct bl_send_want w = {.u = kit_uri(P), .method = BL_M_REGISTER, .flags = BL_SEND_PINNED, .flow = b};
        (void)state;
        kit_bind(k, P, a, BL_BIND_PATH);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, b);
        kit_down(k, b, -104);
        assert_int_equal(k->failed, 430);
        assert_int_equal(k->n_render, 1);
        kit_free(k);
}

static void once_needs_no_transaction(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        struct bl_send_want w = {.u = kit_uri(HOME),
                                 .method = BL_M_ACK,
                                 .method_name = BL_STR("ACK"),
                                 .branch = BL_STR("z9hG4bKa"),
                                 .call_id = BL_STR("c")};
        struct bl_send_user u = kit_send_user;
        (void)state;
        u.response = NULL;
        k->method = BL_M_ACK;
        assert_int_equal(bl_send_once(k->h, &w, &u, k, &k->s), 0);
        bl_flow_id h1 = kit_up(k, H1);
        assert_int_equal(kit_sent(k, h1, "ACK"), 1);
        assert_int_equal(k->n_failed, 1);
        assert_int_equal(k->failed, 0);
        assert_int_equal(k->n_ended, 1);
        assert_int_equal(bl_txns_count(k->t), 0);
        /* Bound already: goes out at once, is told later. */
        k->n_failed = 0;
        assert_int_equal(bl_send_once(k->h, &w, &u, k, &k->s), 0);
        assert_int_equal(k->n_failed, 0);
        assert_int_equal(kit_sent(k, h1, "ACK"), 1);
        fake_pass(k->f, 1);
        assert_int_equal(k->n_failed, 1);
        kit_free(k);
}

static void once_gives_up_after_a_while(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        struct bl_send_want w = {.u = kit_uri("sip:good.example;lr"),
                                 .method = BL_M_ACK,
                                 .method_name = BL_STR("ACK"),
                                 .branch = BL_STR("z9hG4bKa"),
                                 .call_id = BL_STR("c")};
        (void)state;
        k->method = BL_M_ACK;
        assert_int_equal(bl_send_once(k->h, &w, &kit_send_user, k, &k->s), 0);
        fake_pass(k->f, 900);
        assert_int_equal(k->n_failed, 0);
        fake_pass(k->f, 4000);
        assert_int_equal(k->failed, 503);
        assert_int_equal(k->n_failed, 1);
        kit_free(k);
        k = kit_new_tuned(with_dns, NULL);
        w.u = kit_uri("sip:x.example");
        k->method = BL_M_ACK;
        assert_int_equal(bl_send_once(k->h, &w, &kit_send_user, k, &k->s), 0);
        fake_pass(k->f, 4100); /* the next copy of the 2xx asks for the next ACK */
        assert_int_equal(k->failed, 503);
        assert_int_equal(k->n_ended, 1);
        kit_free(k);
}

/* ---- CANCEL ---- */

static void cancel_goes_to_all_tries(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, BL_SEND_BELAY, &h1);
        (void)state;
        fake_pass(k->f, 1100);
        bl_flow_id h2 = kit_up(k, H2);
        kit_resp(k, h2, 180);
        kit_sent(k, h1, "-");
        bl_send_cancel(k->s);
        assert_int_equal(kit_sent(k, h1, "CANCEL"), 1);
        const struct fake_sent *s;
        bool cancelled = false;
        while ((s = fake_take(k->f, h2)) != NULL)
                cancelled |= !strncmp(s->text, "CANCEL", 6);
        assert_true(cancelled);
        kit_resp(k, h2, 487);
        assert_int_equal(k->status[k->n_seen - 1], 487);
        kit_free(k);
}

static void cancel_before_anything_was_sent(void **state)
{
        struct kit *k = kit_new();
        (void)state;
        kit_go(k, BL_M_INVITE, HOME, 0);
        bl_send_cancel(k->s);
        assert_int_equal(k->n_failed, 0); /* not inside the call */
        fake_pass(k->f, 1);
        assert_int_equal(k->failed, 487);
        kit_free(k);
}

static void cancelled_before_it_rang_it_is_over_with_its_flow(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
        (void)state;
        bl_send_cancel(k->s);
        kit_down(k, h1, -104);
        assert_int_equal(k->failed, 487);
        assert_int_equal(kit_opened(k, H2), 0);
        kit_free(k);
}

/* The far end rings still: the copy that reaches it through another proxy is what the CANCEL can follow. */
static void cancelled_while_ringing_it_goes_on_elsewhere(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
        (void)state;
        kit_resp(k, h1, 180);
        bl_send_cancel(k->s);
        kit_down(k, h1, -104);
        bl_flow_id h2 = kit_up(k, H2);
        assert_int_equal(kit_sent(k, h2, "INVITE"), 1);
        kit_resp(k, h2, 487);
        assert_int_equal(k->status[1], 487);
        kit_free(k);
}

static void cancelled_in_render_nothing_is_sent(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id a = kit_accept(k, "10.0.7.9:4000");
        (void)state;
        kit_bind(k, P, a, BL_BIND_PATH);
        k->cancel_in_render = true;
        kit_go(k, BL_M_INVITE, P, BL_SEND_UA);
        fake_pass(k->f, 1);
        assert_int_equal(k->failed, 487);
        assert_int_equal(kit_sent(k, a, "INVITE"), 0);
        kit_free(k);
}

static void cancel_that_nobody_answers_ends_after_64_t1(void **state)
{
        bl_flow_id h1;
        struct kit *k = two_homes(BL_M_INVITE, 0, &h1);
        (void)state;
        kit_resp(k, h1, 180);
        bl_send_cancel(k->s);
        fake_pass(k->f, 31500);
        assert_int_equal(k->n_failed, 0);
        fake_pass(k->f, 1000);
        assert_int_equal(k->failed, 487);
        kit_free(k);
}

/* ---- alternatives ---- */

static void alternatives_when_the_first_is_spent(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id a = kit_accept(k, "10.0.1.1:4000"), b = kit_accept(k, "10.0.1.2:4000");
        struct bl_uri alt[1] = {kit_uri("sip:joe+2@edge.example.com;lr")};
        struct bl_send_want w = {.u = kit_uri(P), .alt = alt, .n_alt = 1, .method = BL_M_INVITE, .flags = BL_SEND_UA};
        (void)state;
        kit_bind(k, P, a, BL_BIND_PATH);
        kit_bind(k, "sip:joe+2@edge.example.com;lr", b, BL_BIND_PATH);
        kit_go_want(k, &w);
        assert_int_equal(k->try_flow, a);
        assert_string_equal(k->route, "");
        kit_resp(k, a, 430);
        assert_int_equal(k->try_flow, b);
        assert_string_equal(k->route, "sip:joe+2@edge.example.com;lr"); /* names which */
        kit_free(k);
}

static void the_retry_budget_is_sixteen(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        char text[17][64], addr[32];
        struct bl_uri u[17];
        struct bl_send_want w = {.alt = u + 1, .n_alt = 16, .method = BL_M_INVITE, .flags = BL_SEND_UA};
        (void)state;
        for (unsigned i = 0; i < 17; i++) {
                snprintf(text[i], sizeof(text[i]), "sip:p%u@edge.example.com;lr", i);
                snprintf(addr, sizeof(addr), "10.0.1.%u:4000", i + 1);
                u[i] = kit_uri(text[i]);
                kit_bind(k, text[i], kit_accept(k, addr), BL_BIND_PATH);
        }
        w.u = u[0];
        kit_go_want(k, &w);
        for (unsigned i = 0; i < 17 && k->s; i++)
                kit_resp(k, k->try_flow, 430);
        assert_int_equal(k->n_render, 16);
        assert_seen1(k, 430);
        kit_free(k);
}

static void render_may_skip_a_candidate(void **state)
{
        struct kit *k = kit_new_tuned(never, NULL);
        bl_flow_id a = kit_accept(k, "10.0.7.9:4000");
        (void)state;
        kit_bind(k, P, a, BL_BIND_PATH);
        k->render_rc = BL_ELIMIT;
        kit_go(k, BL_M_BYE, P, BL_SEND_UA);
        fake_pass(k->f, 1);
        assert_int_equal(k->failed, 430);
        assert_int_equal(k->n_render, 1);
        kit_free(k);
}

/* ---- memory ---- */

static void every_allocation_may_fail(void **state)
{
        (void)state;
        for (long n = 0;; n++) {
                struct kit *k = kit_new_tuned(never, NULL);
                struct bl_send_want w = {.u = kit_uri(HOME),
                                         .method = BL_M_BYE,
                                         .method_name = BL_STR("BYE"),
                                         .branch = BL_STR("z9hG4bK1"),
                                         .call_id = BL_STR("c")};
                k->branch = 1;
                k->method = BL_M_BYE;
                oom_fail_at(n);
                int rc = bl_send_start(k->h, &w, &kit_send_user, k, &k->s);
                if (rc == 0 && kit_opened(k, H1)) {
                        fake_up(k->f, kit_opened(k, H1));
                        fake_settle(k->f);
                }
                bool struck = oom_struck();
                oom_stop();
                if (rc == 0)
                        fake_pass(k->f, 40000);
                else
                        assert_true(struck);
                assert_int_equal(k->n_ended, rc == 0);
                kit_free(k);
                if (!struck)
                        break;
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(opens_and_is_answered),
                cmocka_unit_test(says_by_which_binding),
                cmocka_unit_test(each_2xx_of_an_invite_is_shown),
                cmocka_unit_test(may_be_freed_inside_each_callback),
                cmocka_unit_test(freed_in_render_is_gone),
                cmocka_unit_test(nothing_is_left_after_a_request),
                cmocka_unit_test(next_after_a_refused_connection),
                cmocka_unit_test(next_after_the_flow_died),
                cmocka_unit_test(next_after_a_full_queue),
                cmocka_unit_test(next_after_503_and_430_with_the_same_branch),
                cmocka_unit_test(all_503_is_503_all_430_is_430),
                cmocka_unit_test(not_all_430_is_480),
                cmocka_unit_test(never_after_408_other_5xx_6xx_4xx),
                cmocka_unit_test(a_503_unbinds_nothing_but_is_avoided_for_retry_after),
                cmocka_unit_test(silence_of_a_belay_neighbour),
                cmocka_unit_test(a_silent_flow_is_avoided_until_heard),
                cmocka_unit_test(no_silence_from_strangers_nor_after_a_100),
                cmocka_unit_test(a_late_100_makes_it_count_again),
                cmocka_unit_test(over_udp_silence_wants_two_transmissions),
                cmocka_unit_test(belay_is_learned_from_via),
                cmocka_unit_test(never_after_101_199_unless_the_flow_died),
                cmocka_unit_test(a_503_after_180_is_final),
                cmocka_unit_test(once_one_rings_the_others_do_not_count),
                cmocka_unit_test(an_answer_that_came_another_way_counts),
                cmocka_unit_test(what_did_not_count_is_not_remembered),
                cmocka_unit_test(doubtful_answers_lose_to_any_other),
                cmocka_unit_test(doubt_that_stays_is_shown_as_such),
                cmocka_unit_test(a_408_says_less_than_doubt),
                cmocka_unit_test(doubt_waits_for_what_rings),
                cmocka_unit_test(goes_round_until_it_is_back),
                cmocka_unit_test(non_invite_ends_4s_early_with_504),
                cmocka_unit_test(invite_without_provisional_ends_with_408),
                cmocka_unit_test(after_a_100_that_led_nowhere_the_clock_runs_again),
                cmocka_unit_test(the_owners_deadline_holds),
                cmocka_unit_test(tries_are_bounded),
                cmocka_unit_test(a_name_that_does_not_exist_fails_at_once),
                cmocka_unit_test(dns_that_is_silent_is_asked_again),
                cmocka_unit_test(a_slow_open_does_not_hold_up_the_next),
                cmocka_unit_test(two_requests_share_one_open),
                cmocka_unit_test(towards_a_ua_nothing_is_opened),
                cmocka_unit_test(unknown_to_a_ua_is_430),
                cmocka_unit_test(pinned_means_that_flow),
                cmocka_unit_test(once_needs_no_transaction),
                cmocka_unit_test(once_gives_up_after_a_while),
                cmocka_unit_test(cancel_goes_to_all_tries),
                cmocka_unit_test(cancel_before_anything_was_sent),
                cmocka_unit_test(cancelled_before_it_rang_it_is_over_with_its_flow),
                cmocka_unit_test(cancelled_while_ringing_it_goes_on_elsewhere),
                cmocka_unit_test(cancelled_in_render_nothing_is_sent),
                cmocka_unit_test(cancel_that_nobody_answers_ends_after_64_t1),
                cmocka_unit_test(alternatives_when_the_first_is_spent),
                cmocka_unit_test(the_retry_budget_is_sixteen),
                cmocka_unit_test(render_may_skip_a_candidate),
                cmocka_unit_test(every_allocation_may_fail),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
