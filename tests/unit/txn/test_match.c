/* One transaction, whatever flow and worker its copies come by (protocol.md section 5). */
#include "unit/txn/kit.h"

#define BRANCH "z9hG4bKabc"

static const char *tcp(const char *method)
{
        return kit_msg(method, "TCP", BRANCH, "", "");
}
static void answer(struct kit *k, unsigned worker, unsigned status)
{
        (void)bl_server_reply(k->w[worker].st, k->w[worker].kept, &(struct bl_response){.status = status});
}
static unsigned requests(const struct kit *k)
{
        return k->w[0].requests + k->w[1].requests + k->w[2].requests;
}

/* ---- another flow ---- */

static void a_copy_by_another_flow_moves_the_answer(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:1000"), b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:1");
        fake_text(k->f, a, tcp("BYE"));
        fake_down(k->f, a, BL_EGONE);
        fake_text(k->f, b, tcp("BYE"));
        assert_int_equal(k->w[0].requests, 1);
        assert_int_equal(bl_server_flow(k->w[0].st), b);
        answer(k, 0, 200);
        assert_sent(k, b, "SIP/2.0 200 ");
        kit_free(k);
}

static void the_flow_before_serves_when_the_latest_has_gone(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:1000"), c = fake_accept(k->f, 0, BL_TCP, "10.0.0.3:1000");
        fake_text(k->f, a, kit_req("INFO", BRANCH));
        fake_text(k->f, c, tcp("INFO"));
        fake_down(k->f, c, BL_EGONE);
        assert_int_equal(bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 200}), 0);
        assert_sent(k, a, "SIP/2.0 200 ");
        assert_int_equal(bl_server_flow(k->w[0].st), a);
        kit_free(k);
}

/* RFC 3261 17.2.3: the same branch by another sender is another request; a copy says the same sent-by in any case. */
static void one_branch_of_two_senders(void **state)
{
        static const char text[] =
                "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP %s;branch=z9hG4bKsame\r\nFrom: <sip:a@b>;tag=1\r\n"
                "To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: "
                "0\r\n\r\n";
        static const char *const sent_by[] = {"one.example", "ONE.example", "two.example", "one.example:5070"};
        static const unsigned seen[] = {1, 1, 2, 3};
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:1000");
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(sent_by); i++) {
                char m[500];
                snprintf(m, sizeof(m), text, sent_by[i]);
                fake_text(k->f, a, m);
                assert_int_equal(k->w[0].requests, seen[i]);
        }
        kit_free(k);
}

/* Over streams RFC 3261 would have ended it at once: here the copy that comes 30 s later must not be a second request.
 */
static void a_stalled_stream_delivers_late(void **state)
{
        (void)state;
        static const struct {
                const char *method;
                unsigned status;
                bool ack;
                const char *again; /* what the late copy is answered; NULL nothing */
        } cases[] = {
                {"BYE", 200, false, "SIP/2.0 200 "},
                {"INVITE", 486, false, "SIP/2.0 486 "},
                {"INVITE", 486, true, NULL},
                {"INVITE", 200, false, NULL},
        };
        for (unsigned i = 0; i < BL_ARRAY_LEN(cases); i++) {
                struct kit *k = kit_new(1);
                bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:1000");
                bl_flow_id b = fake_accept(k->f, 0, BL_TCP, "10.0.0.2:1000");
                k->answer = cases[i].status;
                fake_text(k->f, b, tcp(cases[i].method));
                fake_take(k->f, b);
                if (cases[i].ack)
                        fake_text(k->f, b, tcp("ACK"));
                fake_pass(k->f, 31000);
                fake_text(k->f, a, tcp(cases[i].method));
                assert_int_equal(k->w[0].requests, 1);
                if (cases[i].again)
                        assert_sent(k, a, cases[i].again);
                assert_nothing_sent(k, a);
                assert_nothing_sent(k, b);
                kit_free(k);
        }
}

static void a_copy_by_udp_after_tcp_is_repeated(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:1000"), b = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        k->answer = 486;
        fake_text(k->f, a, tcp("INVITE"));
        assert_sent(k, a, "SIP/2.0 486 ");
        fake_pass(k->f, 10000);
        assert_nothing_sent(k, a);
        bl_us at = fake_now(k->f);
        fake_text(k->f, b, kit_req("INVITE", BRANCH));
        fake_pass(k->f, 4000);
        TIMES(k, b, at, 0, 500, 1500, 3500);
        fake_text(k->f, b, kit_req("ACK", BRANCH));
        assert_int_equal(k->server_acks, 1);
        fake_pass(k->f, 6000);
        assert_int_equal(k->ended, 0); /* a stream was among the flows: not Timer I alone */
        kit_free(k);
}

/* ---- another worker ---- */

static void a_copy_by_another_worker_finds_the_owner(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:1000"), b = fake_accept(k->f, 1, BL_TCP, "10.0.0.2:1000");
        size_t idle = kit_used(k, 1);
        k->auto_100 = true;
        fake_text(k->f, a, tcp("INVITE"));
        assert_sent(k, a, "SIP/2.0 100 ");
        fake_text(k->f, b, tcp("INVITE"));
        assert_sent(k, b, "SIP/2.0 100 "); /* by worker 0, on worker 1's flow */
        assert_int_equal(requests(k), 1);
        fake_text(k->f, b, tcp("CANCEL"));
        assert_sent(k, b, "SIP/2.0 200 ");
        assert_int_equal(k->cancels, 1);
        answer(k, 0, 487);
        fake_settle(k->f);
        assert_sent(k, b, "SIP/2.0 487 ");
        assert_nothing_sent(k, a);
        fake_text(k->f, b, tcp("ACK"));
        assert_int_equal(k->server_acks, 1);
        assert_int_equal(k->w[0].acks + k->w[1].acks, 0);
        fake_pass(k->f, 32000);
        assert_int_equal(bl_txns_count(k->w[0].t) + bl_txns_count(k->w[1].t), 0);
        assert_int_equal(kit_used(k, 1), idle); /* everything that crossed went home */
        kit_free(k);
}

static void each_worker_owns_what_it_received_first(void **state)
{
        (void)state;
        struct kit *k = kit_new(3);
        bl_flow_id f[3];
        char branch[32];
        for (unsigned w = 0; w < 3; w++)
                f[w] = fake_accept(k->f, w, BL_UDP, "10.0.0.1:1000");
        k->answer = 404;
        for (unsigned i = 0; i < 300; i++) {
                snprintf(branch, sizeof(branch), "z9hG4bK%u", i);
                for (unsigned w = 0; w < 3; w++)
                        fake_text(k->f, f[(i + w) % 3], kit_msg("BYE", "UDP", branch, "", ""));
                fake_drop_all(k->f);
        }
        for (unsigned w = 0; w < 3; w++) {
                assert_int_equal(k->w[w].requests, 100);
                assert_int_equal(bl_txns_count(k->w[w].t), 100);
        }
        fake_pass(k->f, 32000);
        for (unsigned w = 0; w < 3; w++)
                assert_int_equal(bl_txns_count(k->w[w].t), 0);
        kit_free(k);
}

static void stateless_answers_leave_no_claim(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:1000"), b = fake_accept(k->f, 1, BL_UDP, "10.0.0.2:1000");
        k->serve = false;
        k->answer = 401;
        fake_text(k->f, a, kit_req("REGISTER", BRANCH));
        fake_text(k->f, b, kit_req("REGISTER", BRANCH));
        assert_sent(k, a, "SIP/2.0 401 ");
        assert_sent(k, b, "SIP/2.0 401 ");
        assert_int_equal(k->w[0].requests, 1);
        assert_int_equal(k->w[1].requests, 1);
        kit_free(k);
}

/* The owner's transaction ends while the copy crosses: the receiver decides about it as about a new one. */
static void a_copy_that_comes_too_late_comes_back(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:1000"), b = fake_accept(k->f, 1, BL_UDP, "10.0.0.2:1000");
        struct fake_flow *fb = fake_flow(k->f, b);
        struct env *e1 = fake_env(k->f, 1);
        k->answer = 404;
        fake_text(k->f, a, kit_req("OPTIONS", BRANCH));
        fake_pass(k->f, 31999);
        /* without settling: the post lies there while the clock ends the owner's transaction */
        const char *text = kit_req("OPTIONS", BRANCH);
        e1->ev->data(e1, b, fb->user, bl_str_z(text), true);
        assert_int_equal(k->w[1].requests, 0);
        fake_env(k->f, 0)->now += 1000;
        bl_wheel_advance(k->f->w[0].wheel, fake_env(k->f, 0)->now);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        fake_settle(k->f);
        assert_int_equal(k->w[1].requests, 1);
        assert_sent(k, b, "SIP/2.0 404 ");
        kit_free(k);
}

static void an_ack_for_a_2xx_by_another_worker_reaches_the_user(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id a = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:1000"), b = fake_accept(k->f, 1, BL_TCP, "10.0.0.2:1000");
        k->answer = 200;
        fake_text(k->f, a, tcp("INVITE"));
        fake_text(k->f, b, kit_msg("ACK", "TCP", "z9hG4bKnew", "x", ""));
        assert_int_equal(k->w[1].acks, 1);
        fake_text(k->f, b, tcp("ACK")); /* of some: with the branch of the INVITE */
        assert_int_equal(k->w[1].acks, 2);
        assert_int_equal(k->w[0].acks, 0);
        kit_free(k);
}

static void a_cancel_of_nothing_by_any_worker(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id b = fake_accept(k->f, 1, BL_TCP, "10.0.0.2:1000");
        fake_text(k->f, b, tcp("CANCEL"));
        assert_sent(k, b, "SIP/2.0 481 ");
        kit_free(k);
}

static void a_response_finds_its_worker_by_the_via(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id a = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060"), b = fake_accept(k->f, 1, BL_UDP, "10.0.0.1:5062");
        struct bl_client *ct;
        char via[16];
        struct bl_str p = bl_txns_via_param(k->w[0].t);
        assert_str(p, ";w=0");
        assert_str(bl_txns_via_param(k->w[1].t), ";w=1");
        snprintf(via, sizeof(via), "%.*s", BL_STR_ARG(p));
        assert_int_equal(bl_client_new(k->w[0].t, BL_M_BYE, BL_STR("BYE"), BL_STR(BRANCH), 0, &kit_client, k, &ct), 0);
        struct bl_buf *buf = kit_out(k, 0, "BYE", "UDP", BRANCH);
        assert_int_equal(bl_client_try(ct, a, buf), 0);
        bl_buf_unref(kit_pool(k, 0), buf);
        fake_text(k->f, b, kit_resp_via(200, "BYE", BRANCH, via, "x"));
        assert_int_equal(k->responses, 1);
        assert_int_equal(k->last_from, b);
        assert_int_equal(k->w[0].strays + k->w[1].strays, 0);
        /* A number that a fellow edge wrote is a guess: who has the branch is right. */
        fake_text(k->f, b, kit_resp_via(200, "BYE", BRANCH, ";w=99", "x"));
        fake_text(k->f, b, kit_resp_via(200, "BYE", BRANCH, ";w=1", "x"));
        assert_int_equal(k->w[0].strays + k->w[1].strays, 0);
        /* A branch that nobody has. */
        fake_text(k->f, b, kit_resp_via(200, "BYE", "z9hG4bKunknown", ";w=99", "x"));
        assert_int_equal(k->w[1].strays, 1);
        fake_text(k->f, b, kit_resp_via(200, "BYE", "z9hG4bKunknown", ";w=0", "x"));
        assert_int_equal(k->w[0].strays, 0);
        assert_int_equal(k->w[1].strays, 2); /* where its flow is */
        assert_int_equal(k->w[1].stray_flow, b);
        assert_int_equal(bl_stats_get(fake_env(k->f, 1)->stats, "belay_txn_stray_responses_total", NULL), 2);
        bl_client_free(ct);
        kit_free(k);
}

static void one_worker_writes_no_parameter(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        assert_int_equal(bl_txns_via_param(k->w[0].t).n, 0);
        kit_free(k);
}

/* ---- the budget ---- */

static unsigned fill(struct kit *k, bl_flow_id f, const char *method, const char *tp, unsigned max)
{
        char branch[32];
        unsigned n = 0;
        do {
                snprintf(branch, sizeof(branch), "z9hG4bK%u", n++);
                fake_text(k->f, f, kit_msg(method, tp, branch, "", ""));
                fake_drop_all(k->f);
        } while (k->w[0].serve_rc == 0 && n < max);
        return n;
}

static void over_the_budget_new_ones_are_refused(void **state)
{
        (void)state;
        struct kit *k = kit_new_conf(1, &(struct bl_txns_conf){.budget = 64 * 1024});
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:1000");
        k->answer = 404;
        unsigned n = fill(k, f, "OPTIONS", "UDP", 1000);
        assert_int_equal(k->w[0].serve_rc, BL_EFULL);
        assert_in_range(n, 64, 250); /* 404 with its headers is about 300 octets */
        assert_true(bl_txns_used(k->w[0].t) <= 64 * 1024);
        assert_int_equal(bl_stats_get(fake_env(k->f, 0)->stats, "belay_txn_refused_total", "budget"), 1);
        /* What is there goes on; Timer J makes room again. */
        fake_text(k->f, f, kit_req("OPTIONS", "z9hG4bK0"));
        assert_sent(k, f, "SIP/2.0 404 ");
        fake_pass(k->f, 32000);
        assert_int_equal(bl_txns_used(k->w[0].t), 0);
        fill(k, f, "OPTIONS", "UDP", 1);
        assert_int_equal(k->w[0].serve_rc, 0);
        /* Client transactions have a reserve of 1/8, and no more. */
        fill(k, f, "OPTIONS", "UDP", 1000);
        assert_int_equal(k->w[0].serve_rc, BL_EFULL);
        int rc;
        unsigned clients = 0;
        struct bl_client *ct[1000];
        do {
                char branch[32];
                snprintf(branch, sizeof(branch), "z9hG4bKc%u", clients);
                rc = bl_client_new(k->w[0].t, BL_M_BYE, BL_STR("BYE"), bl_str_z(branch), 0, &kit_client, k,
                                   &ct[clients]);
        } while (rc == 0 && ++clients < 1000);
        assert_int_equal(rc, BL_EFULL);
        assert_in_range(clients, 20, 100);
        for (unsigned i = 0; i < clients; i++)
                bl_client_free(ct[i]);
        kit_free(k);
}

static void what_lingers_after_streams_makes_way(void **state)
{
        (void)state;
        struct kit *k = kit_new_conf(1, &(struct bl_txns_conf){.budget = 64 * 1024});
        bl_flow_id f = fake_accept(k->f, 0, BL_TCP, "10.0.0.1:1000");
        k->answer = 404;
        assert_int_equal(fill(k, f, "OPTIONS", "TCP", 500), 500);
        assert_int_equal(k->w[0].serve_rc, 0);
        assert_true(bl_txns_used(k->w[0].t) <= 64 * 1024);
        assert_true(k->ended > 200); /* the users were told */
        unsigned before = k->w[0].requests;
        fake_text(k->f, f, kit_msg("OPTIONS", "TCP", "z9hG4bK499", "", "")); /* the youngest are still known */
        assert_int_equal(k->w[0].requests, before);
        fake_text(k->f, f, kit_msg("OPTIONS", "TCP", "z9hG4bK0", "", ""));
        assert_int_equal(k->w[0].requests, before + 1);
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
                bl_flow_id b = fake_accept(k->f, 1, BL_TCP, "10.0.0.2:1000");
                k->answer = 404;
                oom_fail_at(run.n);
                fake_text(k->f, a, kit_req("INVITE", BRANCH));
                fake_text(k->f, b, tcp("INVITE"));
                fake_text(k->f, b, tcp("ACK"));
                fake_text(k->f, b, tcp("OPTIONS"));
                bool struck = oom_struck();
                if (!struck) {
                        assert_int_equal(requests(k), 2);
                        assert_int_equal(k->server_acks, 1);
                }
                fake_pass(k->f, 64000);
                assert_int_equal(bl_txns_count(k->w[0].t) + bl_txns_count(k->w[1].t), 0);
                assert_int_equal(bl_txns_used(k->w[0].t) + bl_txns_used(k->w[1].t), 0);
                kit_free(k);
        }
}

static void nothing_is_made_without_memory(void **state)
{
        (void)state;
        struct bl_txns_conf conf = {0};
        struct bl_flows_conf fconf = {0};
        OOM_EACH(run)
        {
                oom_stop();
                struct fake *f = fake_new(2);
                oom_fail_at(run.n);
                struct bl_txn_index *x = bl_txn_index_new(1);
                struct bl_txns *t = bl_txns_new(fake_env(f, 0), &conf, &fconf, x, &kit_user, NULL);
                if (oom_struck())
                        assert_true(!x || !t || bl_txns_count(t) == 0); /* a counter may be a spare */
                else
                        assert_true(x && t);
                oom_stop();
                bl_txns_free(t);
                bl_txn_index_free(x);
                fake_free(f);
        }
}

static void steady_state_asks_nothing_of_the_heap(void **state)
{
        (void)state;
        struct kit *k = kit_new(2);
        bl_flow_id f[2] = {fake_accept(k->f, 0, BL_UDP, "10.0.0.1:1000"), fake_accept(k->f, 1, BL_TCP, "10.0.0.2:1")};
        uint64_t calls[2] = {0};
        long heap = 0;
        k->answer = 404;
        for (unsigned round = 0; round < 12; round++) {
                if (round == 10) { /* every shard of the index was used by now */
                        calls[0] = bl_pool_heap_calls(kit_pool(k, 0));
                        calls[1] = bl_pool_heap_calls(kit_pool(k, 1));
                        heap = oom_count();
                }
                for (unsigned i = 0; i < 50; i++) {
                        char branch[32];
                        snprintf(branch, sizeof(branch), "z9hG4bK%u-%u", round, i);
                        fake_text(k->f, f[i & 1], kit_msg("INVITE", "TCP", branch, "", ""));
                        fake_text(k->f, f[~i & 1], kit_msg("INVITE", "TCP", branch, "", ""));
                        fake_text(k->f, f[~i & 1], kit_msg("ACK", "TCP", branch, "", ""));
                        fake_drop_all(k->f);
                }
                fake_pass(k->f, 64000);
                fake_drop_all(k->f);
        }
        assert_int_equal(bl_pool_heap_calls(kit_pool(k, 0)), calls[0]);
        assert_int_equal(bl_pool_heap_calls(kit_pool(k, 1)), calls[1]);
        assert_int_equal(oom_count() - heap, 300); /* fake_data copies each message */
        kit_free(k);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_by_another_flow_moves_the_answer),
        cmocka_unit_test(the_flow_before_serves_when_the_latest_has_gone),
        cmocka_unit_test(one_branch_of_two_senders),
        cmocka_unit_test(a_stalled_stream_delivers_late),
        cmocka_unit_test(a_copy_by_udp_after_tcp_is_repeated),
        cmocka_unit_test(a_copy_by_another_worker_finds_the_owner),
        cmocka_unit_test(each_worker_owns_what_it_received_first),
        cmocka_unit_test(stateless_answers_leave_no_claim),
        cmocka_unit_test(a_copy_that_comes_too_late_comes_back),
        cmocka_unit_test(an_ack_for_a_2xx_by_another_worker_reaches_the_user),
        cmocka_unit_test(a_cancel_of_nothing_by_any_worker),
        cmocka_unit_test(a_response_finds_its_worker_by_the_via),
        cmocka_unit_test(one_worker_writes_no_parameter),
        cmocka_unit_test(over_the_budget_new_ones_are_refused),
        cmocka_unit_test(what_lingers_after_streams_makes_way),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(nothing_is_made_without_memory),
        cmocka_unit_test(steady_state_asks_nothing_of_the_heap),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
