#include "unit/txn/kit.h"

#define BRANCH "z9hG4bKabc"

static bl_flow_id flow(struct kit *k, enum bl_tp tp, const char *remote)
{
        return fake_accept(k->f, 0, tp, remote);
}

static const char *over(enum bl_tp tp, const char *method)
{
        return kit_msg(method, tp == BL_UDP ? "UDP" : "TCP", BRANCH, "", "");
}

/* ---- timers, each to the millisecond ---- */

enum { END = 0xffff };
static const struct timing {
        const char *name, *method;
        enum bl_tp tp;
        bool auto_100, ack;
        unsigned answer;
        unsigned sent[16]; /* ms; END */
        unsigned ends;     /* ms; 0: lives on */
} timings[] = {
        {"100 after 200 ms", "INVITE", BL_UDP, true, false, 0, {200, END}, 0},
        {"100 at once over TCP", "INVITE", BL_TCP, true, false, 0, {0, END}, 0},
        {"100 not before T2 - T1 (RFC 4320)", "OPTIONS", BL_UDP, true, false, 0, {3500, END}, 0},
        {"100 at once over TCP, not INVITE", "OPTIONS", BL_TCP, true, false, 0, {0, END}, 0},
        {"no 100 unless asked for", "INVITE", BL_UDP, false, false, 0, {END}, 0},
        {"G and H",
         "INVITE",
         BL_UDP,
         true,
         false,
         486,
         {0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, END},
         32000},
        {"H over TCP", "INVITE", BL_TCP, false, false, 486, {0, END}, 32000},
        {"I", "INVITE", BL_UDP, false, true, 486, {0, END}, 5000},
        {"after ACK over TCP", "INVITE", BL_TCP, false, true, 486, {0, END}, 32000},
        {"L", "INVITE", BL_UDP, false, false, 200, {0, END}, 32000},
        {"L over TCP", "INVITE", BL_TCP, false, false, 200, {0, END}, 32000},
        {"J", "OPTIONS", BL_UDP, true, false, 200, {0, END}, 32000},
        {"J, error", "OPTIONS", BL_UDP, false, false, 404, {0, END}, 32000},
        {"lingering over TCP", "OPTIONS", BL_TCP, false, false, 200, {0, END}, 32000},
};

static void run_timing(const struct timing *x, unsigned scale)
{
        struct bl_txns_conf conf = {.t1_ms = 500 / scale, .t2_ms = 4000 / scale, .t4_ms = 5000 / scale};
        struct kit *k = kit_new_conf(1, scale == 1 ? &(struct bl_txns_conf){0} : &conf);
        bl_flow_id f = flow(k, x->tp, "10.0.0.1:5060");
        size_t idle = kit_used(k, 0);
        bl_us start = fake_now(k->f);
        unsigned n = 0, want[16];
        k->auto_100 = x->auto_100;
        k->answer = x->answer;
        fake_text(k->f, f, over(x->tp, x->method));
        if (x->ack)
                fake_text(k->f, f, over(x->tp, "ACK"));
        fake_pass(k->f, (x->ends ? x->ends / scale : 60000) - 1);
        assert_int_equal(k->ended, 0);
        assert_int_equal(bl_txns_count(k->w[0].t), 1);
        fake_pass(k->f, 1);
        assert_int_equal(k->ended, x->ends != 0);
        for (; x->sent[n] != END; n++)
                want[n] = x->sent[n] == 200 ? 200 : x->sent[n] / scale; /* the 200 ms of 17.2.1 are no multiple of T1 */
        kit_times(k, f, start, want, n);
        if (x->ends) {
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
                run_timing(&timings[i], 1);
                run_timing(&timings[i], 5); /* T1, T2, T4 of the configuration */
        }
}

/* ---- states ---- */

static void ack_is_absorbed_once_told(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        k->answer = 486;
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_sent(k, f, "SIP/2.0 486 Busy Here\r\n");
        for (int i = 0; i < 3; i++)
                fake_text(k->f, f, kit_req("ACK", BRANCH));
        assert_int_equal(k->server_acks, 1);
        assert_int_equal(k->w[0].acks, 0);
        fake_text(k->f, f, kit_req("INVITE", BRANCH)); /* a late one is absorbed, too */
        assert_int_equal(k->w[0].requests, 1);
        fake_pass(k->f, 1000);
        assert_nothing_sent(k, f);
        kit_free(k);
}

static void ack_without_a_final_is_no_ack(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        fake_text(k->f, f, kit_req("ACK", BRANCH));
        assert_int_equal(k->server_acks, 0);
        assert_int_equal(k->w[0].acks, 0);
        assert_int_equal(bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 486}), 0);
        fake_text(k->f, f, kit_req("ACK", BRANCH));
        assert_int_equal(k->server_acks, 1);
        kit_free(k);
}

static void accepted_absorbs_invites_and_lets_acks_through(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        k->answer = 200;
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_sent(k, f, "SIP/2.0 200 OK\r\n");
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_nothing_sent(k, f);
        assert_int_equal(k->w[0].requests, 1);
        fake_text(k->f, f, kit_req("ACK", "z9hG4bKother")); /* as the RFC says */
        fake_text(k->f, f, kit_req("ACK", BRANCH));         /* as some do */
        assert_int_equal(k->w[0].acks, 2);
        assert_int_equal(k->server_acks, 0);
        /* each further 2xx goes out, anything else does not */
        struct bl_response r = {.status = 200};
        assert_int_equal(bl_server_reply(k->w[0].st, k->w[0].kept, &r), 0);
        assert_sent(k, f, "SIP/2.0 200 OK\r\n");
        r.status = 500;
        assert_int_equal(bl_server_reply(k->w[0].st, k->w[0].kept, &r), 0);
        assert_nothing_sent(k, f);
        /* 128 octets and no response */
        assert_true(bl_txns_used(k->w[0].t) <= 128);
        assert_int_equal(bl_server_last(k->w[0].st).n, 0);
        kit_free(k);
}

static void provisionals_are_repeated_to_copies(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        k->auto_100 = true;
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_nothing_sent(k, f);
        fake_text(k->f, f, kit_req("INVITE", BRANCH)); /* within the 200 ms: somebody waits */
        assert_sent(k, f, "SIP/2.0 100 Trying\r\n");
        fake_pass(k->f, 1000);
        assert_nothing_sent(k, f);
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 180});
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 183});
        assert_sent(k, f, "SIP/2.0 180 ");
        assert_sent(k, f, "SIP/2.0 183 ");
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_sent(k, f, "SIP/2.0 183 ");
        assert_nothing_sent(k, f);
        assert_false(bl_server_final(k->w[0].st));
        kit_free(k);
}

static void non_invite_is_silent_until_answered(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        k->auto_100 = true;
        fake_text(k->f, f, kit_req("BYE", BRANCH));
        fake_text(k->f, f, kit_req("BYE", BRANCH)); /* RFC 4320: no 100 over UDP before T2 */
        assert_nothing_sent(k, f);
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 200});
        assert_sent(k, f, "SIP/2.0 200 ");
        fake_text(k->f, f, kit_req("BYE", BRANCH));
        assert_sent(k, f, "SIP/2.0 200 ");
        fake_pass(k->f, 5000);
        assert_nothing_sent(k, f);
        assert_int_equal(k->w[0].requests, 1);
        kit_free(k);
}

static void final_is_final(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        k->answer = 404;
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_sent(k, f, "SIP/2.0 404 ");
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 180});
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 200});
        assert_nothing_sent(k, f);
        assert_true(bl_server_final(k->w[0].st));
        kit_free(k);
}

static void forgotten_without_an_answer_still_absorbs(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        fake_text(k->f, f, kit_req("OPTIONS", BRANCH));
        bl_server_forget(k->w[0].st);
        fake_pass(k->f, 31999);
        fake_text(k->f, f, kit_req("OPTIONS", BRANCH));
        assert_int_equal(k->w[0].requests, 1);
        fake_pass(k->f, 1);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        assert_int_equal(k->ended, 0);
        kit_free(k);
}

static void long_invite_keeps_its_udp_flow(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        fake_pass(k->f, 400 * 1000);
        assert_non_null(fake_flow(k->f, f));
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 200});
        assert_sent(k, f, "SIP/2.0 200 ");
        fake_pass(k->f, 400 * 1000);
        assert_null(fake_flow(k->f, f));
        kit_free(k);
}

/* ---- the Via of responses ---- */

static void responses_name_the_source(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:4321");
        k->auto_100 = true;
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        fake_pass(k->f, 200);
        const struct fake_sent *s = fake_take(k->f, f);
        assert_non_null(strstr(s->text, "received=10.0.0.1"));
        assert_non_null(strstr(s->text, "rport=4321"));
        assert_null(strstr(strstr(s->text, "To:"), ";tag=")); /* a 100 needs none */
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 404});
        s = fake_take(k->f, f);
        assert_non_null(strstr(s->text, "rport=4321"));
        assert_non_null(strstr(strstr(s->text, "To:"), ";tag="));
        kit_free(k);
}

static void stateless_answers_are_the_same_for_each_copy(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:4321");
        k->serve = false;
        k->answer = 401;
        fake_text(k->f, f, kit_req("REGISTER", BRANCH));
        fake_text(k->f, f, kit_req("REGISTER", BRANCH));
        assert_int_equal(k->w[0].requests, 2);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        const struct fake_sent *a = fake_take(k->f, f), *b = fake_take(k->f, f);
        assert_string_equal(a->text, b->text);
        assert_non_null(strstr(a->text, "rport=4321"));
        assert_non_null(strstr(strstr(a->text, "To:"), ";tag="));
        kit_free(k);
}

/* ---- CANCEL ---- */

static void cancel_is_answered_and_told_once(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        fake_text(k->f, f, kit_req("CANCEL", BRANCH));
        assert_sent(k, f, "SIP/2.0 200 ");
        fake_text(k->f, f, kit_req("CANCEL", BRANCH));
        assert_sent(k, f, "SIP/2.0 200 ");
        assert_int_equal(k->cancels, 1);
        assert_int_equal(k->w[0].requests, 1);
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 487});
        assert_sent(k, f, "SIP/2.0 487 ");
        fake_text(k->f, f, kit_req("ACK", BRANCH));
        assert_int_equal(k->server_acks, 1);
        kit_free(k);
}

static const char *to_tag(const struct fake_sent *s)
{
        const char *tag = s ? strstr(strstr(s->text, "\r\nTo:"), ";tag=") : NULL;
        assert_non_null(tag);
        return tag + 5;
}

static void cancel_and_invite_are_answered_with_one_tag(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        fake_text(k->f, f, kit_req("INVITE", BRANCH)); /* RFC 3261 9.2 */
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 180});
        fake_text(k->f, f, kit_req("CANCEL", BRANCH));
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 487});
        const struct fake_sent *ringing = fake_take(k->f, f), *ok = fake_take(k->f, f), *gone = fake_take(k->f, f);
        assert_memory_equal(to_tag(ringing), to_tag(ok), 18); /* 16 digits and the line's end */
        assert_memory_equal(to_tag(ringing), to_tag(gone), 18);
        fake_text(k->f, f, kit_req("INVITE", BRANCH "2"));
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 404});
        assert_memory_not_equal(to_tag(fake_take(k->f, f)), to_tag(ringing), 16);
        kit_free(k);
}

static void cancel_after_the_final_changes_nothing(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        k->answer = 200;
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_sent(k, f, "SIP/2.0 200 ");
        fake_text(k->f, f, kit_req("CANCEL", BRANCH));
        assert_sent(k, f, "SIP/2.0 200 ");
        assert_int_equal(k->cancels, 0);
        kit_free(k);
}

static void cancel_of_nothing_is_481(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        fake_text(k->f, f, kit_req("CANCEL", BRANCH));
        assert_sent(k, f, "SIP/2.0 481 ");
        fake_text(k->f, f, kit_req("OPTIONS", BRANCH));
        fake_text(k->f, f, kit_req("CANCEL", BRANCH)); /* only INVITE is cancelled (RFC 3261 9.1) */
        assert_sent(k, f, "SIP/2.0 481 ");
        assert_int_equal(k->w[0].requests, 1);
        assert_int_equal(k->cancels, 0);
        kit_free(k);
}

/* ---- flows that go ---- */

static void lost_flow_and_another_instead(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = flow(k, BL_TCP, "10.0.0.1:1000"), b = flow(k, BL_TCP, "10.0.0.2:1000");
        fake_text(k->f, a, over(BL_TCP, "BYE"));
        fake_down(k->f, a, BL_EGONE);
        struct bl_server *st = k->w[0].st;
        assert_int_equal(bl_server_reply(st, k->w[0].kept, &(struct bl_response){.status = 200}), BL_EGONE);
        assert_true(bl_server_final(st));
        assert_true(bl_str_starts(bl_server_last(st), BL_STR("SIP/2.0 200 ")));
        assert_int_equal(bl_server_move(st, b), 0);
        assert_sent(k, b, "SIP/2.0 200 ");
        assert_int_equal(bl_server_flow(st), b);
        kit_free(k);
}

static void retransmission_tells_of_a_lost_flow(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id a = flow(k, BL_UDP, "10.0.0.1:1000");
        k->answer = 486;
        fake_text(k->f, a, kit_req("INVITE", BRANCH));
        fake_down(k->f, a, BL_EGONE);
        assert_int_equal(k->lost, 0);
        fake_pass(k->f, 500);
        assert_int_equal(k->lost, 1);
        assert_int_equal(k->last_why, BL_EGONE);
        bl_flow_id b = flow(k, BL_UDP, "10.0.0.1:1001");
        fake_text(k->f, b, kit_req("INVITE", BRANCH)); /* the far end comes back by another port */
        assert_sent(k, b, "SIP/2.0 486 ");
        fake_pass(k->f, 1000);
        assert_sent(k, b, "SIP/2.0 486 ");
        kit_free(k);
}

/* ---- RFC 2543 ---- */

static void old_style(struct kit *k, bl_flow_id f, const char *method, const char *cseq, const char *to_tag)
{
        char text[1000];
        snprintf(text, sizeof(text),
                 "%s sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP old.example\r\nFrom: <sip:a@a.example>;tag=1\r\n"
                 "To: <sip:bob@b.example>%s%s\r\nCall-ID: x\r\nCSeq: %s %s\r\nMax-Forwards: 5\r\nContent-Length: "
                 "0\r\n\r\n",
                 method, *to_tag ? ";tag=" : "", to_tag, cseq, method);
        fake_text(k->f, f, text);
}

static void rfc2543_matching(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060");
        old_style(k, f, "INVITE", "1", "");
        old_style(k, f, "INVITE", "1", ""); /* a copy */
        assert_int_equal(k->w[0].requests, 1);
        old_style(k, f, "CANCEL", "1", "");
        assert_int_equal(k->cancels, 1);
        assert_sent(k, f, "SIP/2.0 200 ");
        bl_server_reply(k->w[0].st, k->w[0].kept, &(struct bl_response){.status = 487, .to_tag = BL_STR("mine")});
        assert_sent(k, f, "SIP/2.0 487 ");
        old_style(k, f, "ACK", "1", "other"); /* of another response: not ours to absorb */
        assert_int_equal(k->server_acks, 0);
        assert_int_equal(k->w[0].acks, 1);
        old_style(k, f, "ACK", "1", "mine");
        assert_int_equal(k->server_acks, 1);
        old_style(k, f, "INVITE", "2", ""); /* another CSeq: another transaction */
        assert_int_equal(k->w[0].requests, 2);
        old_style(k, f, "BYE", "3", "mine");
        old_style(k, f, "BYE", "3", "mine");
        assert_int_equal(k->w[0].requests, 3);
        old_style(k, f, "BYE", "3", "other");
        assert_int_equal(k->w[0].requests, 4);
        kit_free(k);
}

/* ---- matching ---- */

static void branch_sent_by_and_method_make_a_transaction(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:5060"), g = flow(k, BL_UDP, "10.0.0.2:5060");
        char text[2000];
        fake_text(k->f, f, kit_req("OPTIONS", BRANCH));
        fake_text(k->f, f, kit_req("INFO", BRANCH)); /* another method */
        fake_text(k->f, f, kit_req("XYZZY", BRANCH));
        fake_text(k->f, f, kit_req("PLUGH", BRANCH)); /* unknown ones differ by name */
        assert_int_equal(k->w[0].requests, 4);
        fake_text(k->f, f, kit_req("OPTIONS", BRANCH "d"));
        assert_int_equal(k->w[0].requests, 5);
        snprintf(text, sizeof(text), "%s", kit_req("OPTIONS", BRANCH));
        memcpy(strstr(text, "a.example:5060"), "A.EXAMPLE:5060", 14);
        fake_text(k->f, g, text); /* sent-by in any case, whatever flow */
        assert_int_equal(k->w[0].requests, 5);
        memcpy(strstr(text, "A.EXAMPLE:5060"), "A.EXAMPLE:5070", 14);
        fake_text(k->f, f, text);
        assert_int_equal(k->w[0].requests, 6);
        kit_free(k);
}

/* ---- what cannot be parsed ---- */

static void garbage_is_answered(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = flow(k, BL_UDP, "10.0.0.1:4321");
        struct bl_stats *s = fake_env(k->f, 0)->stats;
        char text[2000];
        snprintf(text, sizeof(text), "%s", kit_req("OPTIONS", BRANCH));
        memcpy(strstr(text, "CSeq: 7 OPT"), "CSeq: 7 xyz", 11);
        fake_text(k->f, f, text);
        assert_sent(k, f, "SIP/2.0 400 ");
        snprintf(text, sizeof(text), "%s", kit_req("OPTIONS", BRANCH));
        memcpy(strstr(text, "SIP/2.0\r\n"), "SIP/7.0\r\n", 9);
        fake_text(k->f, f, text);
        assert_sent(k, f, "SIP/2.0 505 ");
        snprintf(text, sizeof(text), "%s", kit_req("ACK", BRANCH));
        memcpy(strstr(text, "CSeq: 7 ACK"), "CSeq: 7 xyz", 11);
        fake_text(k->f, f, text); /* an ACK is never answered */
        fake_text(k->f, f, "SIP/2.0 200 OK\r\nnonsense\r\n\r\n");
        fake_text(k->f, f, "nonsense");
        assert_nothing_sent(k, f);
        assert_int_equal(k->w[0].requests + k->w[0].acks + k->w[0].strays, 0);
        assert_int_equal(bl_stats_get(s, "belay_txn_garbage_total", NULL), 5);
        assert_int_equal(bl_stats_get(s, "belay_txn_garbage_total", "505"), 1);
        kit_free(k);
}

static void too_long_is_513(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        char text[2000];
        bl_flow_id f = flow(k, BL_TCP, "10.0.0.1:4321");
        int head = (int)(strstr(strcpy(text, over(BL_TCP, "MESSAGE")), "Content-Length") - text);
        snprintf(text, sizeof(text), "%.*sContent-Length: 99999\r\n\r\n", head, over(BL_TCP, "MESSAGE"));
        fake_text(k->f, f, text);
        assert_sent(k, f, "SIP/2.0 513 ");
        assert_null(fake_flow(k->f, f)); /* the stream cannot be followed past it */
        kit_free(k);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_timer_to_the_millisecond),
        cmocka_unit_test(ack_is_absorbed_once_told),
        cmocka_unit_test(ack_without_a_final_is_no_ack),
        cmocka_unit_test(accepted_absorbs_invites_and_lets_acks_through),
        cmocka_unit_test(provisionals_are_repeated_to_copies),
        cmocka_unit_test(non_invite_is_silent_until_answered),
        cmocka_unit_test(final_is_final),
        cmocka_unit_test(forgotten_without_an_answer_still_absorbs),
        cmocka_unit_test(long_invite_keeps_its_udp_flow),
        cmocka_unit_test(responses_name_the_source),
        cmocka_unit_test(stateless_answers_are_the_same_for_each_copy),
        cmocka_unit_test(cancel_is_answered_and_told_once),
        cmocka_unit_test(cancel_and_invite_are_answered_with_one_tag),
        cmocka_unit_test(cancel_after_the_final_changes_nothing),
        cmocka_unit_test(cancel_of_nothing_is_481),
        cmocka_unit_test(lost_flow_and_another_instead),
        cmocka_unit_test(retransmission_tells_of_a_lost_flow),
        cmocka_unit_test(rfc2543_matching),
        cmocka_unit_test(branch_sent_by_and_method_make_a_transaction),
        cmocka_unit_test(garbage_is_answered),
        cmocka_unit_test(too_long_is_513),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
