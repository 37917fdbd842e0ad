#include "unit/txn/kit.h"

#define BRANCH "z9hG4bKabc"

static struct bl_client *client(struct kit *k, const char *method, bl_us deadline)
{
        struct bl_client *ct = NULL;
        assert_int_equal(bl_client_new(k->w[0].t, bl_method_from(bl_str_z(method)), bl_str_z(method), BL_STR(BRANCH),
                                       deadline, &kit_client, k, &ct),
                         0);
        return ct;
}

static int try(struct kit *k, struct bl_client *ct, bl_flow_id f, const char *method, const char *tp)
{
        struct bl_buf *b = kit_out(k, 0, method, tp, BRANCH);
        int rc = bl_client_try(ct, f, b);
        bl_buf_unref(kit_pool(k, 0), b);
        return rc;
}

static void status(struct kit *k, bl_flow_id f, unsigned code, const char *method)
{
        fake_text(k->f, f, kit_resp(code, method, BRANCH));
}

/* ---- timers, each to the millisecond ---- */

enum { END = 0xffff };
static const struct timing {
        const char *name, *method;
        enum bl_tp tp;
        unsigned provisional_at; /* ms; 0 none */
        unsigned final, final_at;
        unsigned sent[20]; /* requests and ACKs: ms; END */
        unsigned gone;     /* ms when it times out, or is let go; 0: it waits on */
} timings[] = {
        {"A and B", "INVITE", BL_UDP, 0, 0, 0, {0, 500, 1500, 3500, 7500, 15500, 31500, END}, 32000},
        {"B over TCP", "INVITE", BL_TCP, 0, 0, 0, {0, END}, 32000},
        {"no B after a 1xx", "INVITE", BL_UDP, 700, 0, 0, {0, 500, END}, 0},
        {"E and F",
         "OPTIONS",
         BL_UDP,
         0,
         0,
         0,
         {0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, END},
         32000},
        {"F over TCP", "OPTIONS", BL_TCP, 0, 0, 0, {0, END}, 32000},
        {"E in Proceeding: every T2",
         "OPTIONS",
         BL_UDP,
         600,
         0,
         0,
         {0, 500, 1500, 5500, 9500, 13500, 17500, 21500, 25500, 29500, END},
         32000},
        {"F in Proceeding over TCP", "OPTIONS", BL_TCP, 600, 0, 0, {0, END}, 32000},
        {"D", "INVITE", BL_UDP, 0, 486, 600, {0, 500, 600, END}, 32600},
        {"D over TCP: zero", "INVITE", BL_TCP, 0, 486, 600, {0, 600, END}, 600},
        {"K", "OPTIONS", BL_UDP, 0, 404, 600, {0, 500, END}, 5600},
        {"K over TCP: zero", "OPTIONS", BL_TCP, 0, 200, 600, {0, END}, 600},
        {"M", "INVITE", BL_UDP, 300, 200, 600, {0, END}, 32600},
        {"M over TCP", "INVITE", BL_TCP, 300, 200, 600, {0, END}, 32600},
};

static void run_timing(const struct timing *x)
{
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, x->tp, "10.0.0.1:5060");
        struct bl_flow *held = bl_flow_get(bl_txns_flows(k->w[0].t), f);
        size_t idle = kit_used(k, 0);
        bl_us start = fake_now(k->f);
        unsigned n = 0, at = 0;
        held->pins = 1;
        k->free_on_final = k->free_on_timeout = true;
        assert_int_equal(try(k, client(k, x->method, 0), f, x->method, bl_tp_name(x->tp).p), 0);
        if (x->provisional_at) {
                fake_pass(k->f, at = x->provisional_at);
                status(k, f, 100, x->method);
        }
        if (x->final) {
                fake_pass(k->f, x->final_at - at);
                at = x->final_at;
                status(k, f, x->final, x->method);
                assert_int_equal(k->last_status, x->final);
        }
        if (x->gone > at) {
                fake_pass(k->f, x->gone - at - 1);
                assert_int_equal(bl_txns_count(k->w[0].t), 1);
                assert_int_equal(k->timeouts, 0);
                fake_pass(k->f, 1);
        } else if (!x->gone) {
                fake_pass(k->f, 100000);
                assert_int_equal(bl_txns_count(k->w[0].t), 1);
        }
        while (x->sent[n] != END)
                n++;
        kit_times(k, f, start, x->sent, n);
        assert_int_equal(k->timeouts, x->gone && !x->final);
        if (x->gone) {
                assert_int_equal(bl_txns_count(k->w[0].t), 0);
                assert_int_equal(bl_txns_used(k->w[0].t), 0);
                assert_int_equal(kit_used(k, 0), idle);
        }
        kit_free(k);
}

static void every_timer_to_the_millisecond(void **state)
{
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(timings); i++) {
                print_message("  %s\n", timings[i].name);
                run_timing(&timings[i]);
        }
}

static void a_deadline_before_timer_f(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060");
        k->free_on_timeout = true;
        struct bl_client *ct = client(k, "OPTIONS", fake_now(k->f) + BL_MS(2000));
        fake_pass(k->f, 500);
        assert_int_equal(try(k, ct, f, "OPTIONS", "TCP"), 0);
        fake_pass(k->f, 1499);
        assert_int_equal(k->timeouts, 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->timeouts, 1);
        kit_free(k);
}

static void timer_d_is_32_s_whatever_t1(void **state)
{
        (void)state;
        struct kit *k = kit_new_conf(1, &(struct bl_txns_conf){.t1_ms = 100});
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        k->free_on_final = true;
        try(k, client(k, "INVITE", 0), f, "INVITE", "UDP");
        status(k, f, 486, "INVITE");
        fake_pass(k->f, 31999);
        assert_int_equal(bl_txns_count(k->w[0].t), 1);
        fake_pass(k->f, 1);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        kit_free(k);
}

/* ---- responses and ACKs ---- */

static void each_final_is_told_once_and_acked_each_time(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, f, "INVITE", "UDP");
        assert_sent(k, f, "INVITE ");
        status(k, f, 100, "INVITE");
        status(k, f, 180, "INVITE");
        status(k, f, 180, "INVITE");
        assert_int_equal(k->responses, 3);
        status(k, f, 486, "INVITE");
        status(k, f, 486, "INVITE");
        assert_int_equal(k->responses, 4);
        for (int i = 0; i < 2; i++) {
                const struct fake_sent *s = fake_take(k->f, f);
                assert_non_null(s);
                assert_true(strncmp(s->text, "ACK sip:bob@b.example SIP/2.0\r\n", 31) == 0);
                assert_non_null(strstr(s->text, "branch=" BRANCH));
                assert_non_null(strstr(s->text, "To: <sip:bob@b.example>;tag=far\r\n"));
                assert_non_null(strstr(s->text, "CSeq: 7 ACK\r\n"));
        }
        bl_client_free(ct);
        status(k, f, 486, "INVITE"); /* D: still */
        assert_sent(k, f, "ACK ");
        status(k, f, 180, "INVITE"); /* too late */
        assert_int_equal(k->responses, 4);
        assert_int_equal(k->w[0].strays, 0);
        kit_free(k);
}

static void each_2xx_to_invite_is_told(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, f, "INVITE", "UDP");
        status(k, f, 200, "INVITE");
        fake_take(k->f, f);
        assert_true(bl_txns_used(k->w[0].t) > 0);
        for (int i = 0; i < 3; i++)
                status(k, f, 200, "INVITE");
        assert_int_equal(k->responses, 4);
        assert_nothing_sent(k, f); /* its ACK is the user's */
        status(k, f, 180, "INVITE");
        status(k, f, 500, "INVITE");
        assert_int_equal(k->responses, 4);
        bl_client_free(ct);
        status(k, f, 200, "INVITE"); /* nobody is there: it must not get lost (RFC 3261 16.7 step 5) */
        assert_int_equal(k->w[0].strays, 1);
        kit_free(k);
}

/* No honest far end does so; ours must live through it. */
static void finals_of_all_kinds_by_one_flow(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, f, "INVITE", "UDP");
        status(k, f, 486, "INVITE");
        status(k, f, 200, "INVITE");
        bl_client_free(ct);
        fake_drop_all(k->f);
        status(k, f, 486, "INVITE");
        assert_nothing_sent(k, f); /* what an ACK is made from went with the 2xx */
        assert_int_equal(k->responses, 2);
        kit_free(k);
}

static void unknown_responses_are_strays(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "OPTIONS", 0);
        try(k, ct, f, "OPTIONS", "UDP");
        fake_text(k->f, f, kit_resp(200, "OPTIONS", "z9hG4bKother"));
        fake_text(k->f, f, kit_resp(200, "INFO", BRANCH)); /* CSeq method counts (17.1.3) */
        assert_int_equal(k->w[0].strays, 2);
        assert_int_equal(k->w[0].stray_flow, f);
        assert_int_equal(k->responses, 0);
        assert_int_equal(bl_stats_get(fake_env(k->f, 0)->stats, "belay_txn_stray_responses_total", NULL), 2);
        bl_client_free(ct);
        kit_free(k);
}

static void a_key_is_taken_until_its_final(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        struct bl_client *a = client(k, "INVITE", 0), *b = NULL;
        struct bl_txns *t = k->w[0].t;
        assert_int_equal(bl_client_new(t, BL_M_INVITE, BL_STR("INVITE"), BL_STR(BRANCH), 0, &kit_client, k, &b),
                         BL_EINVAL);
        assert_null(b);
        try(k, a, f, "INVITE", "UDP");
        status(k, f, 486, "INVITE");
        bl_client_free(a);
        assert_int_equal(bl_txns_count(t), 1);
        b = client(k, "INVITE", 0);
        assert_int_equal(bl_txns_count(t), 1);
        bl_client_free(b);
        kit_free(k);
}

static void freed_without_a_final_it_goes_at_once(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        size_t idle = kit_used(k, 0);
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, f, "INVITE", "UDP");
        status(k, f, 180, "INVITE");
        bl_client_free(ct);
        bl_client_free(NULL);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        assert_int_equal(kit_used(k, 0), idle);
        kit_free(k);
}

/* ---- several flows ---- */

static void tries_repeat_each_for_itself_until_somebody_answers(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_UDP, "10.0.0.2:5060");
        bl_us start = fake_now(k->f);
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, a, "INVITE", "UDP");
        fake_pass(k->f, 1000);
        assert_int_equal(bl_client_sent(ct, a), 2);
        try(k, ct, b, "INVITE", "UDP");
        assert_int_equal(bl_client_sent(ct, b), 1);
        fake_pass(k->f, 3000);
        status(k, b, 100, "INVITE");
        fake_pass(k->f, 20000);
        TIMES(k, a, start, 0, 500, 1500, 3500);
        TIMES(k, b, start, 1000, 1500, 2500);
        assert_int_equal(k->last_from, b);
        bl_client_free(ct);
        kit_free(k);
}

static void a_provisional_leaves_timer_e_to_its_own_flow(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_UDP, "10.0.0.2:5060");
        bl_us start = fake_now(k->f);
        struct bl_client *ct = client(k, "OPTIONS", 0);
        try(k, ct, a, "OPTIONS", "UDP");
        try(k, ct, b, "OPTIONS", "UDP");
        fake_pass(k->f, 600);
        status(k, b, 100, "OPTIONS");
        fake_pass(k->f, 9000);
        TIMES(k, a, start, 0, 500);
        TIMES(k, b, start, 0, 500, 1500, 5500, 9500);
        bl_client_free(ct);
        kit_free(k);
}

static void timer_b_counts_from_the_first_try(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        k->free_on_timeout = true;
        try(k, ct, a, "INVITE", "TCP");
        fake_pass(k->f, 20000);
        try(k, ct, b, "INVITE", "TCP");
        fake_pass(k->f, 11999);
        assert_int_equal(k->timeouts, 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->timeouts, 1);
        kit_free(k);
}

static void the_same_flow_again_sends_at_once(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "BYE", 0);
        try(k, ct, a, "BYE", "TCP");
        assert_int_equal(try(k, ct, a, "BYE", "TCP"), 0);
        assert_int_equal(bl_client_sent(ct, a), 2);
        assert_int_equal(fake_pending(k->f, a), 2);
        bl_client_free(ct);
        kit_free(k);
}

/* 430 by one: the user goes on with another, the transaction and its branch stay, and so does Timer F. */
static void a_final_that_moves_on(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:5060"),
                   c = fake_accept(k->f, 0, BL_TCP, "10.0.0.3:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, a, "INVITE", "TCP");
        status(k, a, 430, "INVITE");
        assert_int_equal(k->last_status, 430);
        assert_sent(k, a, "INVITE ");
        assert_sent(k, a, "ACK ");
        fake_pass(k->f, 10000);
        assert_int_equal(try(k, ct, b, "INVITE", "TCP"), 0);
        status(k, b, 503, "INVITE");
        assert_int_equal(k->last_status, 503);
        assert_sent(k, b, "INVITE ");
        assert_sent(k, b, "ACK ");
        assert_int_equal(try(k, ct, c, "INVITE", "TCP"), 0);
        status(k, c, 180, "INVITE");
        status(k, a, 430, "INVITE"); /* a retransmission */
        assert_int_equal(k->responses, 3);
        assert_sent(k, a, "ACK ");
        status(k, c, 486, "INVITE");
        assert_int_equal(k->responses, 4);
        assert_sent(k, c, "INVITE ");
        assert_sent(k, c, "ACK ");
        bl_client_free(ct);
        kit_free(k);
}

static void going_on_after_a_final_still_times_out(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:5060");
        struct bl_client *ct = client(k, "BYE", 0);
        k->free_on_timeout = true;
        try(k, ct, a, "BYE", "TCP");
        fake_pass(k->f, 1000);
        status(k, a, 503, "BYE");
        fake_pass(k->f, 1000);
        try(k, ct, b, "BYE", "TCP");
        fake_pass(k->f, 29999);
        assert_int_equal(k->timeouts, 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->timeouts, 1);
        kit_free(k);
}

/* An answered one does not time out under a user who has yet to decide. */
static void no_timeout_when_all_have_answered(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "BYE", 0);
        try(k, ct, a, "BYE", "TCP");
        status(k, a, 503, "BYE");
        fake_pass(k->f, 100000);
        assert_int_equal(k->timeouts, 0);
        bl_client_free(ct);
        kit_free(k);
}

static void late_answers_of_the_loser(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:5060");
        size_t idle = kit_used(k, 0);
        struct bl_client *ct = client(k, "INVITE", 0);
        k->free_on_final = true;
        try(k, ct, a, "INVITE", "TCP");
        fake_pass(k->f, 1000);
        try(k, ct, b, "INVITE", "TCP");
        status(k, b, 486, "INVITE");
        fake_drop_all(k->f);
        fake_pass(k->f, 31999); /* with one TCP flow it would be gone */
        status(k, a, 180, "INVITE");
        status(k, a, 482, "INVITE");
        assert_int_equal(k->responses, 1);
        assert_int_equal(k->w[0].strays, 0);
        assert_sent(k, a, "ACK "); /* on its own flow, from what was sent there */
        assert_nothing_sent(k, b);
        fake_pass(k->f, 1);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        assert_int_equal(kit_used(k, 0), idle);
        kit_free(k);
}

static void a_loser_after_a_2xx_is_acked_and_not_heard(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, a, "INVITE", "TCP");
        try(k, ct, b, "INVITE", "TCP");
        fake_drop_all(k->f);
        status(k, a, 200, "INVITE");
        assert_nothing_sent(k, b); /* never CANCELled: that would cancel the call */
        assert_nothing_sent(k, a);
        status(k, b, 500, "INVITE");
        assert_sent(k, b, "ACK ");
        assert_int_equal(k->responses, 1);
        assert_int_equal(try(k, ct, b, "INVITE", "TCP"), BL_EPROTO);
        bl_client_free(ct);
        kit_free(k);
}

static void an_answer_by_a_flow_that_was_not_tried(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5062");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, a, "INVITE", "UDP");
        fake_drop_all(k->f);
        status(k, b, 486, "INVITE");
        assert_int_equal(k->last_from, b);
        assert_sent(k, a, "ACK "); /* where the request went (17.1.1.3) */
        assert_sent(k, b, "ACK "); /* and where the answer came from: the other may be dead */
        status(k, b, 486, "INVITE");
        assert_int_equal(k->responses, 1);
        assert_sent(k, a, "ACK ");
        assert_sent(k, b, "ACK ");
        fake_pass(k->f, 10000);
        assert_nothing_sent(k, a);
        bl_client_free(ct);
        kit_free(k);
}

/* ---- flows that fail ---- */

static void a_flow_that_goes_down_is_told(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, a, "INVITE", "UDP");
        k->retry_on = b;
        k->retry_buf = kit_out(k, 0, "INVITE", "TCP", BRANCH);
        fake_down(k->f, a, -111);
        assert_int_equal(k->failed, 1);
        assert_int_equal(k->last_failed, a);
        assert_int_equal(k->last_why, -111);
        assert_sent(k, b, "INVITE ");
        k->retry_on = 0;
        status(k, b, 180, "INVITE");
        fake_down(k->f, b, BL_EGONE); /* after a 1xx, too: the user may go on (section 5) */
        assert_int_equal(k->failed, 2);
        bl_buf_unref(kit_pool(k, 0), k->retry_buf);
        bl_client_free(ct);
        kit_free(k);
}

static void a_flow_that_was_answered_may_go(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "BYE", 0);
        try(k, ct, a, "BYE", "TCP");
        status(k, a, 503, "BYE");
        fake_down(k->f, a, BL_EGONE);
        assert_int_equal(k->failed, 0);
        bl_client_free(ct);
        kit_free(k);
}

static void what_a_flow_cannot_take_is_said_at_once(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "BYE", 0);
        struct bl_flow *opening;
        struct bl_target to = {.tp = BL_TCP, .listener = BL_LISTENER_NONE};
        size_t used = bl_txns_used(k->w[0].t);
        fake_flow(k->f, a)->send_rc = BL_EFULL;
        assert_int_equal(try(k, ct, a, "BYE", "TCP"), BL_EFULL);
        assert_int_equal(bl_flow_open(bl_txns_flows(k->w[0].t), &to, &opening), 0);
        assert_int_equal(try(k, ct, opening->id, "BYE", "TCP"), BL_EPENDING);
        fake_down(k->f, a, BL_EGONE);
        assert_int_equal(try(k, ct, a, "BYE", "TCP"), BL_EGONE);
        assert_int_equal(k->failed, 0);
        assert_int_equal(bl_txns_used(k->w[0].t), used);
        fake_pass(k->f, 100000);
        assert_int_equal(k->timeouts, 0); /* nothing was tried: nothing runs */
        bl_client_free(ct);
        kit_free(k);
}

static void a_try_on_another_workers_flow(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id a = fake_accept(k->f, 1, BL_UDP, "10.0.0.1:5060"), b = fake_accept(k->f, 1, BL_TCP, "10.0.0.2:5060");
        bl_us start = fake_now(k->f);
        struct bl_client *ct = client(k, "OPTIONS", 0);
        assert_int_equal(try(k, ct, a, "OPTIONS", "UDP"), 0);
        fake_pass(k->f, 1000);
        TIMES(k, a, start, 0, 500); /* it is known to be UDP by the Via */
        assert_int_equal(try(k, ct, b, "OPTIONS", "TCP"), 0);
        fake_down(k->f, a, -111);
        assert_int_equal(k->failed, 1);
        assert_int_equal(k->last_failed, a);
        assert_int_equal(k->last_why, -111);
        assert_int_equal(fake_pending(k->f, b), 1);
        fake_text(k->f, b, kit_resp_via(200, "OPTIONS", BRANCH, ";w=0", "x"));
        assert_int_equal(k->responses, 1);
        assert_int_equal(k->last_from, b);
        bl_client_free(ct);
        ct = client(k, "BYE", 0);
        assert_int_equal(try(k, ct, a, "BYE", "UDP"), 0); /* known to be gone only there */
        fake_settle(k->f);
        assert_int_equal(k->failed, 2);
        assert_int_equal(k->last_why, BL_EGONE);
        fake_flow(k->f, b)->send_rc = BL_EFULL;
        assert_int_equal(try(k, ct, b, "BYE", "TCP"), 0);
        fake_settle(k->f);
        assert_int_equal(k->failed, 3);
        assert_int_equal(k->last_why, BL_EFULL);
        fake_flow(k->f, b)->send_rc = 0;
        assert_int_equal(try(k, ct, b, "BYE", "TCP"), 0); /* again, later */
        fake_down(k->f, b, -104);                         /* it is watched again as well */
        assert_int_equal(k->failed, 4);
        assert_int_equal(k->last_why, -104);
        bl_client_free(ct);
        kit_free(k);
}

/* ---- CANCEL ---- */

static void cancel_after_a_1xx_goes_at_once(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_UDP, "10.0.0.2:5060");
        size_t idle = kit_used(k, 0);
        struct bl_client *ct = client(k, "INVITE", 0);
        k->free_on_final = true;
        try(k, ct, a, "INVITE", "TCP");
        fake_pass(k->f, 1000);
        try(k, ct, b, "INVITE", "UDP");
        status(k, b, 180, "INVITE");
        fake_drop_all(k->f);
        bl_us at = fake_now(k->f);
        bl_client_cancel(ct);
        bl_client_cancel(ct);
        const struct fake_sent *s = fake_take(k->f, a);
        assert_true(strncmp(s->text, "CANCEL sip:bob@b.example SIP/2.0\r\n", 34) == 0);
        assert_non_null(strstr(s->text, "branch=" BRANCH));
        assert_non_null(strstr(s->text, "CSeq: 7 CANCEL\r\n"));
        assert_null(strstr(strstr(s->text, "To:"), ";tag="));
        status(k, a, 481, "CANCEL"); /* the one flow's answer does not stop the other's CANCEL */
        fake_pass(k->f, 2000);
        TIMES(k, b, at, 0, 500, 1500);
        status(k, b, 200, "CANCEL");
        status(k, b, 487, "INVITE");
        assert_sent(k, b, "ACK ");
        assert_int_equal(k->last_status, 487);
        assert_int_equal(k->w[0].strays, 0);
        fake_pass(k->f, 40000);
        assert_nothing_sent(k, b);
        assert_nothing_sent(k, a);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        assert_int_equal(kit_used(k, 0), idle);
        kit_free(k);
}

static void cancel_before_a_1xx_waits_for_it(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:5060");
        struct bl_client *ct = client(k, "INVITE", 0);
        try(k, ct, a, "INVITE", "TCP");
        bl_client_cancel(ct);
        fake_pass(k->f, 500);
        assert_sent(k, a, "INVITE ");
        assert_nothing_sent(k, a);
        status(k, a, 100, "INVITE");
        assert_sent(k, a, "CANCEL ");
        try(k, ct, b, "INVITE", "TCP"); /* a later try is cancelled, too */
        assert_sent(k, b, "INVITE ");
        assert_sent(k, b, "CANCEL ");
        bl_client_free(ct);
        kit_free(k);
}

static void cancelled_and_never_answered(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060");
        size_t idle = kit_used(k, 0);
        struct bl_client *ct = client(k, "INVITE", 0);
        k->free_on_timeout = true;
        try(k, ct, a, "INVITE", "TCP");
        status(k, a, 180, "INVITE");
        fake_pass(k->f, 60000);
        bl_client_cancel(ct);
        fake_pass(k->f, 31999);
        assert_int_equal(k->timeouts, 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->timeouts, 1); /* RFC 3261 9.1 */
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        assert_int_equal(kit_used(k, 0), idle);
        kit_free(k);
}

static void nothing_to_cancel(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:5060");
        struct bl_client *ct = client(k, "BYE", 0);
        try(k, ct, a, "BYE", "TCP");
        status(k, a, 100, "BYE");
        bl_client_cancel(ct); /* INVITE only */
        assert_int_equal(fake_pending(k->f, a), 1);
        bl_client_free(ct);
        ct = client(k, "INVITE", 0);
        try(k, ct, a, "INVITE", "TCP");
        status(k, a, 200, "INVITE");
        bl_client_cancel(ct);
        assert_int_equal(fake_pending(k->f, a), 2);
        bl_client_free(ct);
        kit_free(k);
}

/* ---- no memory ---- */

static void every_allocation_may_fail(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                oom_stop();
                struct kit *k = kit_new(2);
                bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:1000");
                bl_flow_id b = fake_accept(k->f, 1, BL_UDP, "10.0.0.2:1000");
                struct bl_buf *buf = kit_out(k, 0, "INVITE", "UDP", BRANCH);
                struct bl_client *ct = NULL;
                k->free_on_final = k->free_on_timeout = true;
                oom_fail_at(run.n);
                int rc =
                        bl_client_new(k->w[0].t, BL_M_INVITE, BL_STR("INVITE"), BL_STR(BRANCH), 0, &kit_client, k, &ct);
                if (rc == 0) {
                        int ra = bl_client_try(ct, a, buf), rb = bl_client_try(ct, b, buf);
                        assert_true(ra == 0 || ra == BL_ENOMEM);
                        assert_true(rb == 0 || rb == BL_ENOMEM);
                        fake_settle(k->f);
                        status(k, a, 180, "INVITE");
                        bl_client_cancel(ct);
                        fake_settle(k->f);
                        status(k, a, 487, "INVITE");
                } else {
                        assert_int_equal(rc, BL_ENOMEM);
                }
                bool struck = oom_struck();
                oom_stop();
                if (!struck)
                        assert_int_equal(k->last_status, 487);
                else if (k->responses == 1)
                        status(k, a, 487, "INVITE"); /* its copy had been dropped: the far end repeats it */
                bl_buf_unref(kit_pool(k, 0), buf);
                fake_pass(k->f, 100000);
                assert_int_equal(bl_txns_count(k->w[0].t), 0);
                assert_int_equal(bl_txns_used(k->w[0].t), 0);
                kit_free(k);
        }
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_timer_to_the_millisecond),
        cmocka_unit_test(a_deadline_before_timer_f),
        cmocka_unit_test(timer_d_is_32_s_whatever_t1),
        cmocka_unit_test(each_final_is_told_once_and_acked_each_time),
        cmocka_unit_test(each_2xx_to_invite_is_told),
        cmocka_unit_test(finals_of_all_kinds_by_one_flow),
        cmocka_unit_test(unknown_responses_are_strays),
        cmocka_unit_test(a_key_is_taken_until_its_final),
        cmocka_unit_test(freed_without_a_final_it_goes_at_once),
        cmocka_unit_test(tries_repeat_each_for_itself_until_somebody_answers),
        cmocka_unit_test(a_provisional_leaves_timer_e_to_its_own_flow),
        cmocka_unit_test(timer_b_counts_from_the_first_try),
        cmocka_unit_test(the_same_flow_again_sends_at_once),
        cmocka_unit_test(a_final_that_moves_on),
        cmocka_unit_test(going_on_after_a_final_still_times_out),
        cmocka_unit_test(no_timeout_when_all_have_answered),
        cmocka_unit_test(late_answers_of_the_loser),
        cmocka_unit_test(a_loser_after_a_2xx_is_acked_and_not_heard),
        cmocka_unit_test(an_answer_by_a_flow_that_was_not_tried),
        cmocka_unit_test(a_flow_that_goes_down_is_told),
        cmocka_unit_test(a_flow_that_was_answered_may_go),
        cmocka_unit_test(what_a_flow_cannot_take_is_said_at_once),
        cmocka_unit_test(a_try_on_another_workers_flow),
        cmocka_unit_test(cancel_after_a_1xx_goes_at_once),
        cmocka_unit_test(cancel_before_a_1xx_waits_for_it),
        cmocka_unit_test(cancelled_and_never_answered),
        cmocka_unit_test(nothing_to_cancel),
        cmocka_unit_test(every_allocation_may_fail),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
