/* What the tests of txn/ share: a node of workers over fake_env, messages, and a record of what the user was told. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "txn/txn.h"
#include "unit/fake_env.h"
#include "unit/oom.h"
#include "unit/unit.h"

struct kit;
struct kit_worker {
        struct kit *kit;
        struct bl_txns *t;
        unsigned requests, acks, strays, ups, downs; /* requests: without ACKs */
        struct bl_msg *kept;                         /* the last request */
        bl_flow_id request_flow, stray_flow;
        struct bl_server *st; /* made by `request` when `serve` */
        int serve_rc;
        struct bl_pool *pool;
};
struct kit { /* one node */
        struct fake *f;
        struct bl_txn_index *index;
        struct kit_worker w[FAKE_WORKERS];
        bool serve, auto_100;
        unsigned answer; /* status to answer at once, statelessly without `serve`; 0 none */
        /* server callbacks */
        unsigned cancels, server_acks, lost, ended;
        /* client callbacks */
        unsigned responses, failed, timeouts;
        unsigned last_status;
        bl_flow_id last_from, last_failed;
        int last_why;
        bool free_on_final, free_on_timeout;
        bl_flow_id retry_on; /* in try_failed: try this one */
        struct bl_buf *retry_buf;
};

static inline void kit_ended(void *ctx, struct bl_server *st)
{
        struct kit_worker *w = ctx;
        if (w->st == st)
                w->st = NULL;
        w->kit->ended++;
}
static inline void kit_cancel(void *ctx, struct bl_server *st, const struct bl_msg *m)
{
        (void)st;
        assert_int_equal(m->method, BL_M_CANCEL);
        ((struct kit_worker *)ctx)->kit->cancels++;
}
static inline void kit_ack(void *ctx, struct bl_server *st, const struct bl_msg *m)
{
        (void)st;
        assert_int_equal(m->method, BL_M_ACK);
        ((struct kit_worker *)ctx)->kit->server_acks++;
}
static inline void kit_lost(void *ctx, struct bl_server *st, int why)
{
        (void)st;
        struct kit *k = ((struct kit_worker *)ctx)->kit;
        k->lost++;
        k->last_why = why;
}
static const struct bl_server_user kit_server = {kit_cancel, kit_ack, kit_lost, kit_ended};

static inline void kit_request(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        struct kit_worker *w = ctx;
        struct kit *k = w->kit;
        w->request_flow = f->id;
        if (m->method == BL_M_ACK) {
                w->acks++;
                return;
        }
        w->requests++;
        bl_msg_drop(w->kept, w->pool);
        w->kept = bl_msg_keep(m, w->pool);
        struct bl_response r = {.status = k->answer};
        if (k->serve) {
                w->serve_rc = bl_server_new(w->t, f, m, &kit_server, w, k->auto_100, &w->st);
                if (w->serve_rc == 0 && k->answer)
                        bl_server_reply(w->st, m, &r);
        } else if (k->answer) {
                bl_txn_reply(w->t, f, m, &r);
        }
}
static inline void kit_stray(void *ctx, bl_flow_id from, struct bl_msg *m)
{
        struct kit_worker *w = ctx;
        assert_false(m->is_request);
        w->strays++;
        w->stray_flow = from;
}
static inline void kit_flow_up(void *ctx, struct bl_flow *f)
{
        (void)f;
        ((struct kit_worker *)ctx)->ups++;
}
static inline void kit_flow_down(void *ctx, struct bl_flow *f, int why)
{
        (void)f, (void)why;
        ((struct kit_worker *)ctx)->downs++;
}
static const struct bl_txns_user kit_user = {kit_request, kit_stray, kit_flow_up, kit_flow_down, NULL, NULL};

static inline void kit_response(void *ctx, struct bl_client *ct, bl_flow_id from, const struct bl_msg *m)
{
        struct kit *k = ctx;
        k->responses++;
        k->last_status = m->status;
        k->last_from = from;
        if (k->free_on_final && m->status >= 200)
                bl_client_free(ct);
}
static inline void kit_try_failed(void *ctx, struct bl_client *ct, bl_flow_id flow, int why)
{
        struct kit *k = ctx;
        k->failed++;
        k->last_failed = flow;
        k->last_why = why;
        if (k->retry_on)
                assert_int_equal(bl_client_try(ct, k->retry_on, k->retry_buf), 0);
}
static inline void kit_timeout(void *ctx, struct bl_client *ct)
{
        struct kit *k = ctx;
        k->timeouts++;
        if (k->free_on_timeout)
                bl_client_free(ct);
}
static const struct bl_client_user kit_client = {kit_response, kit_try_failed, kit_timeout};

static inline struct kit *kit_new_conf(unsigned workers, const struct bl_txns_conf *conf)
{
        static const struct bl_flows_conf fconf;
        struct kit *k = calloc(1, sizeof(*k));
        struct bl_flows *all[FAKE_WORKERS];
        k->f = fake_new(workers);
        k->serve = true;
        k->index = workers > 1 ? bl_txn_index_new(7) : NULL;
        for (unsigned i = 0; i < workers; i++) {
                struct kit_worker *w = &k->w[i];
                w->kit = k;
                w->pool = bl_pool_new(0); /* the test's own, so that the worker's shows the code under test alone */
                w->t = bl_txns_new(fake_env(k->f, i), conf, &fconf, k->index, &kit_user, w);
                assert_non_null(w->t);
                all[i] = bl_txns_flows(w->t);
        }
        bl_flows_join(all, workers);
        return k;
}
static inline struct kit *kit_new(unsigned workers)
{
        return kit_new_conf(workers, &(struct bl_txns_conf){0});
}
static inline void kit_free(struct kit *k)
{
        for (unsigned i = 0; i < k->f->n; i++) {
                bl_txns_free(k->w[i].t);
                bl_pool_free(k->w[i].pool);
        }
        bl_txn_index_free(k->index);
        fake_free(k->f);
        free(k);
}
static inline struct bl_pool *kit_pool(struct kit *k, unsigned w)
{
        return fake_env(k->f, w)->pool;
}
/* Octets of the worker's pool beyond its flows, which stay: bring all flows up before taking the mark. */
static inline size_t kit_used(struct kit *k, unsigned w)
{
        return bl_pool_used(kit_pool(k, w));
}

/* A request by the far end: To tag and more headers as needed (whole lines). Static storage. */
static inline const char *kit_msg(const char *method, const char *via_transport, const char *branch, const char *to_tag,
                                  const char *more)
{
        static char text[4][2000];
        static unsigned next;
        char *out = text[next++ % 4];
        snprintf(out, sizeof(text[0]),
                 "%s sip:bob@b.example SIP/2.0\r\n"
                 "Via: SIP/2.0/%s a.example:5060;branch=%s;rport\r\n"
                 "From: <sip:alice@a.example>;tag=1\r\n"
                 "To: <sip:bob@b.example>%s%s\r\n"
                 "Call-ID: call@a.example\r\n"
                 "CSeq: 7 %s\r\n"
                 "Max-Forwards: 70\r\n"
                 "%s"
                 "Content-Length: 0\r\n\r\n",
                 method, via_transport, branch, *to_tag ? ";tag=" : "", to_tag, method, more);
        return out;
}
static inline const char *kit_req(const char *method, const char *branch)
{
        return kit_msg(method, "UDP", branch, "", "");
}
/* What a client transaction sends, as a buffer of the worker's pool. */
static inline struct bl_buf *kit_out(struct kit *k, unsigned w, const char *method, const char *tp, const char *branch)
{
        return bl_buf_copy(kit_pool(k, w), bl_str_z(kit_msg(method, tp, branch, "", "")));
}
/* The response of the far end to what kit_out made. */
static inline const char *kit_resp_via(unsigned status, const char *method, const char *branch, const char *via_more,
                                       const char *to_tag)
{
        static char text[2000];
        snprintf(text, sizeof(text),
                 "SIP/2.0 %u Whatever\r\n"
                 "Via: SIP/2.0/UDP a.example:5060;branch=%s%s\r\n"
                 "From: <sip:alice@a.example>;tag=1\r\n"
                 "To: <sip:bob@b.example>%s%s\r\n"
                 "Call-ID: call@a.example\r\n"
                 "CSeq: 7 %s\r\n"
                 "Content-Length: 0\r\n\r\n",
                 status, branch, via_more, *to_tag ? ";tag=" : "", to_tag, method);
        return text;
}
static inline const char *kit_resp(unsigned status, const char *method, const char *branch)
{
        return kit_resp_via(status, method, branch, "", "far");
}
/* Does the next thing sent on the flow begin so? Takes it. */
#define assert_sent(k, flow, begins)                                                                                   \
        do {                                                                                                           \
                const struct fake_sent *_s = fake_take((k)->f, (flow));                                                \
                if (!_s)                                                                                               \
                        fail_msg("nothing was sent, want \"%s\"", (begins));                                           \
                else if (strncmp(_s->text, (begins), strlen(begins)) != 0)                                             \
                        fail_msg("sent \"%.60s\", want \"%s\"", _s->text, (begins));                                   \
        } while (0)
#define assert_nothing_sent(k, flow)                                                                                   \
        do {                                                                                                           \
                const struct fake_sent *_s = fake_take((k)->f, (flow));                                                \
                if (_s)                                                                                                \
                        fail_msg("sent \"%.60s\", want nothing", _s->text);                                            \
        } while (0)

/* Everything sent on the flow that was not taken yet went at these ms after `since`. */
static inline void kit_times(struct kit *k, bl_flow_id flow, bl_us since, const unsigned *want, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                const struct fake_sent *s = fake_take(k->f, flow);
                if (!s)
                        fail_msg("%u were sent, want %u", i, n);
                else
                        assert_int_equal((s->at - since) / 1000, want[i]);
        }
        assert_nothing_sent(k, flow);
}
#define TIMES(k, flow, since, ...)                                                                                     \
        kit_times((k), (flow), (since), (const unsigned[]){__VA_ARGS__},                                               \
                  sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))
