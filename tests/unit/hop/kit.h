/*
 * What the tests of hop/ share: one node over fake_env with the real sticky/, flow/ and txn/ below it, a DNS that
 * answers when told to, and a record of what an owner of sends was told.
 *
 * The world: edge.example.com is a cluster, e1 e2 e3 at 10.0.1.1 .2 .3; home.example has h1 and h2 at 10.0.2.1 .2; far
 * ends in 10.0.1.0/24 are edge.example.com by configuration, in 10.0.9.0/24 peer.example. All TCP, port 5060.
 */
#pragma once
#include <stdio.h>
#include <stdlib.h>

#include "hop/hop.h"
#include "hop/send.h"
#include "unit/fake_env.h"
#include "unit/oom.h"
#include "unit/unit.h"

enum { KIT_QUERIES = 64, KIT_SEEN = 32 };

struct kit { /* a node with one worker; with two when `tune` says so: requests start in worker 0 */
        struct fake *f;
        struct env_ops ops;
        struct bl_sticky *sticky;
        struct bl_txns *t;
        struct bl_hops *h;
        unsigned workers;
        struct bl_txn_index *index;
        struct bl_txns *t1; /* worker 1's */
        struct bl_hops *h1;
        struct bl_flows_conf fconf;
        struct bl_hops_conf conf;
        struct bl_query *query[KIT_QUERIES]; /* under way */
        unsigned n_query, n_asked, n_cancelled;
        uint64_t random;
        struct bl_pool *pool; /* the test's own */
        /* what the owner of sends was told */
        unsigned status[KIT_SEEN], n_seen; /* responses */
        bl_flow_id from;
        bool unsure;
        unsigned failed, n_failed, n_ended, n_render;
        char route[512]; /* of the latest try */
        bl_flow_id try_flow;
        struct bl_addr try_local;
        int render_rc;
        bool free_in_response, free_in_failed, free_in_render, cancel_in_render;
        struct bl_send *s;
        enum bl_method method;
        unsigned branch;
};

static struct kit *kit_now; /* env_ops carry no argument of the test's */

static inline void kit_query(struct env *e, struct bl_query *q)
{
        (void)e;
        assert_true(kit_now->n_query < KIT_QUERIES);
        kit_now->query[kit_now->n_query++] = q;
        kit_now->n_asked++;
        q->_world = q;
}
static inline void kit_query_cancel(struct env *e, struct bl_query *q)
{
        struct kit *k = kit_now;
        (void)e;
        for (unsigned i = 0; i < k->n_query; i++) {
                if (k->query[i] == q) {
                        k->query[i] = k->query[--k->n_query];
                        k->n_cancelled++;
                        return;
                }
        }
}
static inline void kit_random(struct env *e, void *p, size_t n)
{
        (void)e;
        for (size_t i = 0; i < n; i++) {
                kit_now->random = kit_now->random * 6364136223846793005u + 1442695040888963407u;
                ((uint8_t *)p)[i] = (uint8_t)(kit_now->random >> 56);
        }
}

static inline struct bl_addr kit_addr(const char *text)
{
        struct bl_addr a;
        assert_int_equal(bl_addr_parse_port(bl_str_z(text), 5060, &a), 0);
        return a;
}
static inline struct bl_uri kit_uri(const char *text)
{
        struct bl_uri u;
        assert_int_equal(bl_uri_parse(bl_str_z(text), &u), 0);
        return u;
}

/* ---- DNS ---- */

static inline bool kit_asked(const struct kit *k, const char *name, enum bl_rr_type type)
{
        for (unsigned i = 0; i < k->n_query; i++) {
                if (k->query[i]->type == type && bl_str_eq(k->query[i]->name, bl_str_z(name)))
                        return true;
        }
        return false;
}
static inline void kit_answer(struct kit *k, const char *name, enum bl_rr_type type, int rc, const struct bl_rr *rr,
                              unsigned n, uint32_t neg_ttl)
{
        for (unsigned i = 0; i < k->n_query; i++) {
                struct bl_query *q = k->query[i];
                if (q->type != type || !bl_str_eq(q->name, bl_str_z(name)))
                        continue;
                k->query[i] = k->query[--k->n_query];
                q->_world = NULL;
                q->done(q, rc, rr, n, neg_ttl);
                fake_settle(k->f);
                return;
        }
        fail_msg("nobody asked for %s %d", name, type);
}
static inline void kit_answer_a(struct kit *k, const char *name, const char *ip, uint32_t ttl)
{
        struct bl_rr rr = {.type = BL_RR_A, .ttl = ttl, .addr = kit_addr(ip)};
        rr.addr.port = 0;
        kit_answer(k, name, BL_RR_A, 0, &rr, 1, 0);
}
static inline void kit_answer_no(struct kit *k, const char *name, enum bl_rr_type type)
{
        kit_answer(k, name, type, BL_ENOENT, NULL, 0, 300);
}
/* Whatever is asked now does not exist. */
static inline void kit_answer_none(struct kit *k, uint32_t neg_ttl)
{
        struct bl_query *now[KIT_QUERIES];
        unsigned n = k->n_query;
        memcpy(now, k->query, sizeof(now));
        k->n_query = 0;
        for (unsigned i = 0; i < n; i++) {
                now[i]->_world = NULL;
                now[i]->done(now[i], BL_ENOENT, NULL, 0, neg_ttl);
        }
        fake_settle(k->f);
}

/* ---- node ---- */

static inline void kit_request(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        (void)ctx, (void)f, (void)m;
}
static inline struct bl_hops *kit_hops_of(struct kit *k, const struct bl_flow *f)
{
        return bl_flow_worker(f->id) ? k->h1 : k->h;
}
static inline void kit_flow_up(void *ctx, struct bl_flow *f)
{
        bl_hops_flow_up(kit_hops_of(ctx, f), f);
}
static inline void kit_flow_down(void *ctx, struct bl_flow *f, int why)
{
        struct bl_hops *h = kit_hops_of(ctx, f);
        if (h)
                bl_hops_flow_down(h, f, why);
}
static inline void kit_flow_pong(void *ctx, struct bl_flow *f)
{
        bl_hops_flow_pong(kit_hops_of(ctx, f), f);
}
static const struct bl_txns_user kit_txns_user = {
        .request = kit_request, .flow_up = kit_flow_up, .flow_down = kit_flow_down, .flow_pong = kit_flow_pong};

static struct bl_trust kit_trust[2];
static struct bl_listener_info kit_listeners[4]; /* the last, IPv6, only where `tune` counts it in */
static struct bl_static_route kit_map[16];
static const struct bl_str kit_own[] = {{"own.example", 11}};

static inline unsigned kit_map_fill(void)
{
        static const struct {
                const char *host, *node, *addr;
                enum bl_tp tp;
        } rows[] = {
                {"home.example", "", "10.0.2.1:5060", BL_TCP},
                {"home.example", "", "10.0.2.2:5060", BL_TCP},
                {"edge.example.com", "", "10.0.1.1:5060", BL_TCP},
                {"edge.example.com", "", "10.0.1.2:5060", BL_TCP},
                {"edge.example.com", "e1", "10.0.1.1:5060", BL_TCP},
                {"edge.example.com", "e2", "10.0.1.2:5060", BL_TCP},
                {"edge.example.com", "e3", "10.0.1.3:5060", BL_TCP},
                {"own.example", "", "10.0.3.3:5060", BL_TCP},
                {"udp.example", "", "10.0.4.1:5060", BL_UDP},
                {"udp.example", "", "10.0.4.2:5060", BL_UDP},
                {"good.example", "", "10.0.5.1:5060", BL_TCP},
                {"ports.example", "", "10.0.6.1:5060", BL_TCP},
                {"ports.example", "", "10.0.6.1:5061", BL_TCP},
        };
        for (unsigned i = 0; i < BL_ARRAY_LEN(rows); i++)
                kit_map[i] = (struct bl_static_route){.host = bl_str_z(rows[i].host),
                                                      .node = bl_str_z(rows[i].node),
                                                      .tp = rows[i].tp,
                                                      .addr = kit_addr(rows[i].addr)};
        return BL_ARRAY_LEN(rows);
}

/* `tune` may change conf before the node is made; NULL. */
static inline struct kit *kit_new_workers(unsigned workers, void (*tune)(struct kit *),
                                          const struct bl_txns_conf *tconf)
{
        static const struct bl_txns_conf plain;
        struct kit *k = calloc(1, sizeof(*k));
        kit_now = k;
        k->random = 1;
        k->f = fake_new(workers);
        struct env *env = fake_env(k->f, 0);
        k->ops = *env->ops;
        k->ops.query = kit_query;
        k->ops.cancel = kit_query_cancel;
        k->ops.random = kit_random;
        env->ops = &k->ops;
        k->pool = bl_pool_new(0);
        k->sticky = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 5, .shards = 1});
        kit_trust[0] = (struct bl_trust){.domain = BL_STR("edge.example.com"), .why = BL_LINK_TRUST};
        kit_trust[1] = (struct bl_trust){.domain = BL_STR("peer.example"), .why = BL_LINK_TRUST};
        assert_int_equal(bl_net_parse(BL_STR("10.0.1.0/24"), &kit_trust[0].net), 0);
        assert_int_equal(bl_net_parse(BL_STR("10.0.9.0/24"), &kit_trust[1].net), 0);
        kit_listeners[0] = (struct bl_listener_info){.tp = BL_UDP, .local = kit_addr("127.0.0.1"), .ua_side = true};
        kit_listeners[1] = (struct bl_listener_info){.tp = BL_UDP, .local = kit_addr("127.0.0.2")};
        kit_listeners[2] = (struct bl_listener_info){.tp = BL_TCP, .local = kit_addr("127.0.0.2")};
        kit_listeners[3] = (struct bl_listener_info){.tp = BL_UDP, .local = kit_addr("[::1]")};
        k->fconf =
                (struct bl_flows_conf){.trust = kit_trust, .n_trust = 2, .listeners = kit_listeners, .n_listeners = 3};
        k->conf = (struct bl_hops_conf){
                .map = kit_map, .n_map = kit_map_fill(), .own = kit_own, .n_own = 1, .may_open = true};
        if (tune)
                tune(k);
        k->index = workers > 1 ? bl_txn_index_new(7) : NULL;
        k->t = bl_txns_new(env, tconf ? tconf : &plain, &k->fconf, k->index, &kit_txns_user, k);
        k->h = bl_hops_new(k->t, k->sticky, &k->conf);
        assert_non_null(k->h);
        if (workers > 1) {
                k->t1 = bl_txns_new(fake_env(k->f, 1), tconf ? tconf : &plain, &k->fconf, k->index, &kit_txns_user, k);
                k->h1 = bl_hops_new(k->t1, k->sticky, &k->conf);
                bl_flows_join((struct bl_flows *const[]){bl_txns_flows(k->t), bl_txns_flows(k->t1)}, 2);
        }
        return k;
}
static inline struct kit *kit_new_tuned(void (*tune)(struct kit *), const struct bl_txns_conf *tconf)
{
        return kit_new_workers(1, tune, tconf);
}
static inline struct kit *kit_new(void)
{
        return kit_new_tuned(NULL, NULL);
}
static inline void kit_free(struct kit *k)
{
        bl_hops_free(k->h);
        bl_hops_free(k->h1);
        k->h = k->h1 = NULL;
        bl_txns_free(k->t);
        if (k->t1)
                bl_txns_free(k->t1);
        bl_txn_index_free(k->index);
        bl_sticky_free(k->sticky);
        bl_pool_free(k->pool);
        fake_free(k->f);
        free(k);
        kit_now = NULL;
}
static inline struct env *kit_env(struct kit *k)
{
        return fake_env(k->f, 0);
}
static inline struct bl_flow *kit_flow(struct kit *k, bl_flow_id id)
{
        return bl_flow_get(bl_txns_flows(k->t), id);
}
static inline uint64_t kit_count(struct kit *k, const char *name, const char *value)
{
        return bl_stats_get(kit_env(k)->stats, name, value);
}

/* ---- flows ---- */

/* The flow that we opened to that address and that is opening or up; 0 none. */
static inline bl_flow_id kit_opened(struct kit *k, const char *addr)
{
        struct bl_addr a = kit_addr(addr);
        for (unsigned i = 0;; i++) {
                bl_flow_id id = fake_opened(k->f, i);
                if (!id)
                        return 0;
                if (bl_addr_eq(&fake_flow(k->f, id)->remote, &a))
                        return id;
        }
}
static inline bl_flow_id kit_up(struct kit *k, const char *addr)
{
        bl_flow_id id = kit_opened(k, addr);
        if (!id)
                fail_msg("nothing was opened to %s", addr);
        fake_up(k->f, id);
        fake_settle(k->f);
        return id;
}
static inline void kit_down(struct kit *k, bl_flow_id id, int why)
{
        fake_down(k->f, id, why);
        fake_settle(k->f);
}
static inline bl_flow_id kit_accept(struct kit *k, const char *addr)
{
        bl_flow_id id = fake_accept(k->f, 0, BL_TCP, addr);
        fake_settle(k->f);
        return id;
}
static inline void kit_bind(struct kit *k, const char *uri, bl_flow_id flow, enum bl_bind_kind kind)
{
        struct bl_bind b = {.uri = kit_uri(uri), .flow = flow, .kind = kind, .confirmed = true};
        assert_int_equal(bl_sticky_bind(k->sticky, &b, kit_env(k)->now), 0);
}
static inline bool kit_bound(struct kit *k, const char *uri, bl_flow_id flow)
{
        struct bl_uri u = kit_uri(uri);
        return bl_sticky_is_bound(k->sticky, &u, flow, false);
}

/* ---- sends ---- */

static inline int kit_render(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret_buf)
{
        struct kit *k = ctx;
        const char *method = bl_method_name(k->method).p;
        char text[1500];
        k->n_render++;
        k->try_flow = t->flow;
        k->try_local = t->local;
        snprintf(k->route, sizeof(k->route), "%.*s", BL_STR_ARG(t->route));
        assert_int_equal(t->number, bl_send_tries(s) + 1);
        if (k->free_in_render) {
                bl_send_free(s);
                return BL_EGONE;
        }
        if (k->cancel_in_render)
                bl_send_cancel(s);
        if (k->render_rc < 0)
                return k->render_rc;
        snprintf(text, sizeof(text),
                 "%s sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/%s us.example;branch=z9hG4bK%u;rport%.*s\r\n"
                 "%s%s%sFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:bob@b.example>\r\nCall-ID: call\r\nCSeq: 1 %s\r\n"
                 "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                 method, t->tp == BL_UDP ? "UDP" : "TCP", k->branch, BL_STR_ARG(bl_txns_via_param(k->t)),
                 k->route[0] ? "Route: <" : "", k->route, k->route[0] ? ">\r\n" : "", method);
        *ret_buf = bl_buf_copy(kit_env(k)->pool, bl_str_z(text));
        return *ret_buf ? 0 : BL_ENOMEM;
}
static inline void kit_response(void *ctx, struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        struct kit *k = ctx;
        assert_true(k->n_seen < KIT_SEEN);
        k->status[k->n_seen++] = m->status;
        k->from = from;
        k->unsure = bl_send_unsure(s);
        if (k->free_in_response)
                bl_send_free(s);
}
static inline void kit_failed(void *ctx, struct bl_send *s, unsigned status, const char *reason)
{
        struct kit *k = ctx;
        k->failed = status;
        k->n_failed++;
        assert_non_null(reason);
        if (k->free_in_failed)
                bl_send_free(s);
}
static inline void kit_ended(void *ctx, struct bl_send *s)
{
        struct kit *k = ctx;
        (void)s;
        k->n_ended++;
        k->s = NULL;
}
static const struct bl_send_user kit_send_user = {kit_render, kit_response, kit_failed, kit_ended};

/* A request towards u: k->s. What earlier ones were told is forgotten. */
static inline void kit_go_want(struct kit *k, struct bl_send_want *w)
{
        static char branch[32];
        k->n_seen = k->failed = k->n_failed = k->n_ended = k->n_render = 0;
        k->unsure = false;
        k->try_flow = 0;
        k->method = w->method;
        snprintf(branch, sizeof(branch), "z9hG4bK%u", ++k->branch);
        w->method_name = bl_method_name(w->method);
        w->branch = bl_str_z(branch);
        if (!w->call_id.n)
                w->call_id = BL_STR("call");
        assert_int_equal(bl_send_start(k->h, w, &kit_send_user, k, &k->s), 0);
        assert_int_equal(k->n_seen + k->n_failed + k->n_ended, 0); /* never inside bl_send_start */
        fake_settle(k->f);
}
static inline void kit_go(struct kit *k, enum bl_method method, const char *u, unsigned flags)
{
        struct bl_send_want w = {.u = kit_uri(u), .method = method, .flags = flags};
        kit_go_want(k, &w);
}
/* The far end of `flow` answers the request under way; more: header lines. */
static inline void kit_resp_more(struct kit *k, bl_flow_id flow, unsigned status, const char *more)
{
        char text[2000];
        const struct fake_flow *fl = fake_flow(k->f, flow);
        assert_non_null(fl);
        const char *method = bl_method_name(k->method).p;
        snprintf(text, sizeof(text),
                 "SIP/2.0 %u Whatever\r\nVia: SIP/2.0/%s us.example;branch=z9hG4bK%u%.*s\r\nFrom: "
                 "<sip:a@a.example>;tag=1\r\n"
                 "To: <sip:bob@b.example>;tag=2\r\nCall-ID: call\r\nCSeq: 1 %s\r\n%sContent-Length: 0\r\n\r\n",
                 status, fl->tp == BL_UDP ? "UDP" : "TCP", k->branch, BL_STR_ARG(bl_txns_via_param(k->t)), method,
                 more);
        fake_text(k->f, flow, text);
        fake_settle(k->f);
}
static inline void kit_resp(struct kit *k, bl_flow_id flow, unsigned status)
{
        kit_resp_more(k, flow, status, "");
}
/* How many requests of this method went out by the flow since the last look. */
static inline unsigned kit_sent(struct kit *k, bl_flow_id flow, const char *method)
{
        const struct fake_sent *s;
        unsigned n = 0;
        while ((s = fake_take(k->f, flow)) != NULL)
                n += strncmp(s->text, method, strlen(method)) == 0;
        return n;
}
#define assert_seen1(k, st) (assert_int_equal((k)->n_seen, 1), assert_int_equal((k)->status[0], (st)))
