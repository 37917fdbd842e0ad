/*
 * One proxy with a role the test writes, between raw endpoints that only remember what they got and say what they are
 * told. Everything in the virtual world.
 *
 *     alice ──►  proxy (node "proxy", UDP and TCP 5060, domain proxy.test)  ──►  bob, carol, dave
 * (…​.test, static map)
 */
#pragma once
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/internal.h"
#include "sim/sim.h"
#include "sip/msg.h"

enum { EP_MSGS = 64, EP_PARTS = 16, EPS = 4, ROLE_LOG = 32 };
enum { ALICE, BOB, CAROL, DAVE };

struct got {
        bl_flow_id flow;
        bl_us at;
        char *text;
        size_t n;
};
struct ep {
        struct sim_node *node;
        struct got msg[EP_MSGS];
        unsigned n;
        bl_flow_id flow; /* to the proxy, opened by this end */
        struct part {    /* of a message, by flow */
                bl_flow_id flow;
                size_t n;
                char text[1 << 14];
        } part[EP_PARTS];
        unsigned n_parts;
};
struct rig {
        struct sim *s;
        struct sim_node *node;
        struct bl_proxy *p, *p2; /* of worker 0, and of worker 1 when there are two */
        unsigned workers;
        struct bl_txn_index *index;
        struct bl_sticky *sticky;
        struct ep *ep[EPS];
        struct bl_static_route map[EPS * 2 + 2]; /* the last two: pair.test, bob first, then carol */
        struct bl_listener_info listeners[2];
        struct bl_str own[1];
        struct bl_proxy_conf conf;
        struct bl_role role;
        struct bl_arena *arena; /* parsed messages of the test */
        struct env *env;
        size_t idle_pool;
        /* the role */
        void (*decide)(struct rig *r, struct bl_px *px);
        struct bl_px *held;
        struct bl_px_target extra; /* handed to bl_px_more by target_failed when its ruri is set */
        unsigned requests, dones, strays, accepts;
        unsigned failed[ROLE_LOG], n_failed;
        unsigned seen[ROLE_LOG], n_seen; /* statuses that went through role.response */
};

/* --- endpoints --- */

static inline void ep_store(struct ep *e, bl_us at, bl_flow_id f, const char *p, size_t n)
{
        if (e->n == EP_MSGS) {
                sim_ladder(sim_of(e->node), stderr, false);
                fail_msg("too many messages");
        }
        char *text = malloc(n + 1);
        memcpy(text, p, n);
        text[n] = 0;
        e->msg[e->n++] = (struct got){f, at, text, n};
}

static inline struct part *ep_part(struct ep *e, bl_flow_id f)
{
        for (unsigned i = 0; i < e->n_parts; i++) {
                if (e->part[i].flow == f)
                        return &e->part[i];
        }
        assert_in_range(e->n_parts, 0, EP_PARTS - 1);
        struct part *p = &e->part[e->n_parts++];
        p->flow = f;
        return p;
}

static inline void ep_stream(struct ep *e, bl_us at, bl_flow_id f, struct bl_str in)
{
        struct part *p = ep_part(e, f);
        assert_true(p->n + in.n < sizeof(p->text));
        memcpy(p->text + p->n, in.p, in.n);
        p->n += in.n;
        for (;;) {
                p->text[p->n] = 0;
                char *end = strstr(p->text, "\r\n\r\n"), *len = strstr(p->text, "\r\nContent-Length:");
                if (!end)
                        return;
                size_t n = (size_t)(end + 4 - p->text) + (len && len < end ? strtoul(len + 17, NULL, 10) : 0);
                if (n > p->n)
                        return;
                ep_store(e, at, f, p->text, n);
                memmove(p->text, p->text + n, p->n - n);
                p->n -= n;
        }
}

static inline void ep_data(struct env *env, bl_flow_id f, void *user, struct bl_str octets, bool datagram)
{
        struct ep *e = env->core;
        (void)user;
        if (octets.n < 12 && datagram)
                return; /* a keep-alive */
        if (datagram)
                ep_store(e, env->now, f, octets.p, octets.n);
        else
                ep_stream(e, env->now, f, octets);
}
static inline void ep_up(struct env *env, bl_flow_id f, const struct bl_peer *peer, void *user)
{
        (void)env, (void)f, (void)peer, (void)user;
}
static inline void ep_down(struct env *env, bl_flow_id f, void *user, int why)
{
        (void)f, (void)user, (void)why;
        (void)env;
}
static inline void ep_writable(struct env *env, bl_flow_id f, void *user)
{
        (void)env, (void)f, (void)user;
}
static inline void ep_turn(struct env *env)
{
        (void)env;
}
static inline void ep_boot(struct sim_node *n, void *ctx)
{
        static const struct env_events ev = {ep_up, ep_data, ep_writable, ep_down, ep_turn};
        sim_env(n, 0)->ev = &ev;
        sim_env(n, 0)->core = ctx;
}

static inline struct ep *ep_new(struct sim *s, const char *name)
{
        static const struct sim_node_ops ops = {.boot = ep_boot};
        struct ep *e = calloc(1, sizeof(*e));
        e->node = sim_node(s, name, 1, &ops, e);
        sim_listen(e->node, BL_UDP, 5060);
        sim_listen(e->node, BL_TCP, 5060);
        sim_start(e->node);
        return e;
}
static inline void ep_free(struct ep *e)
{
        for (unsigned i = 0; i < e->n; i++)
                free(e->msg[i].text);
        free(e);
}
static inline void ep_forget(struct ep *e)
{
        for (unsigned i = 0; i < e->n; i++)
                free(e->msg[i].text);
        e->n = 0;
}

static inline void ep_say(struct ep *e, bl_flow_id f, struct bl_str text)
{
        struct env *env = sim_env(e->node, 0);
        sim_enter(env);
        struct bl_buf *b = bl_buf_copy(env->pool, text);
        assert_int_equal(env_send(env, f, b), 0);
        bl_buf_unref(env->pool, b);
        sim_leave(env);
}

/* --- the role --- */

static inline void rig_request(void *role, struct bl_px *px)
{
        struct rig *r = role;
        r->requests++;
        r->decide(r, px);
}
static inline void rig_response(void *role, struct bl_px *px, unsigned target, bl_flow_id from, const struct bl_msg *m,
                                struct bl_edits *e)
{
        struct rig *r = role;
        (void)target, (void)from, (void)e;
        assert_non_null(bl_px_msg(px));
        r->seen[r->n_seen++ % ROLE_LOG] = m->status;
}
static inline void rig_failed(void *role, struct bl_px *px, unsigned target, unsigned status)
{
        struct rig *r = role;
        (void)target;
        r->failed[r->n_failed++ % ROLE_LOG] = status;
        if (r->extra.ruri.n && bl_px_more(px, &r->extra) == 0)
                r->extra.ruri.n = 0;
}
static inline void rig_accepted(void *role, struct bl_px *px)
{
        (void)px;
        ((struct rig *)role)->accepts++;
}
static inline void rig_done(void *role, struct bl_px *px)
{
        (void)px;
        ((struct rig *)role)->dones++;
}
static inline void rig_stray(void *role, bl_flow_id from, struct bl_msg *m)
{
        (void)from, (void)m;
        ((struct rig *)role)->strays++;
}

/* Decisions. */
static inline void to_ruri(struct rig *r, struct bl_px *px) /* where the Request-URI says, or the top Route */
{
        (void)r;
        assert_int_equal(bl_px_add(px, &(struct bl_px_target){.strict_fallback = true}), 0);
        bl_px_go(px);
}
static inline int add_uri(struct bl_px *px, const char *uri, uint16_t q)
{
        return bl_px_add(px, &(struct bl_px_target){.ruri = bl_str_z(uri), .q = q});
}

/* --- the rig --- */

static inline void rig_boot(struct sim_node *n, void *ctx)
{
        struct rig *r = ctx;
        r->env = sim_env(n, 0);
        r->p = bl_proxy_new(r->env, &r->conf, &r->role, r);
        assert_non_null(r->p);
        if (r->workers < 2)
                return;
        r->p2 = bl_proxy_new(sim_env(n, 1), &r->conf, &r->role, r);
        assert_non_null(r->p2);
        bl_flows_join((struct bl_flows *[]){r->p->flows, r->p2->flows}, 2);
}
static inline void rig_dead(struct sim_node *n, void *ctx)
{
        struct rig *r = ctx;
        (void)n;
        bl_proxy_free(r->p);
        bl_proxy_free(r->p2);
        r->p = r->p2 = NULL;
}

/* Not yet started: conf and role may still be changed. */
static inline struct rig *rig_new_with(unsigned workers)
{
        static const char *const names[EPS] = {"alice", "bob", "carol", "dave"};
        static const char *const hosts[EPS] = {"alice.test", "bob.test", "carol.test", "dave.test"};
        static const struct sim_node_ops ops = {.boot = rig_boot, .dead = rig_dead};
        struct rig *r = calloc(1, sizeof(*r));
        r->s = sim_new(7);
        r->node = sim_node(r->s, "proxy", workers, &ops, r);
        r->workers = workers;
        r->listeners[0] = (struct bl_listener_info){.tp = BL_UDP, .local = sim_addr(r->node, 5060)};
        r->listeners[1] = (struct bl_listener_info){.tp = BL_TCP, .local = sim_addr(r->node, 5060)};
        sim_listen(r->node, BL_UDP, 5060);
        sim_listen(r->node, BL_TCP, 5060);
        for (unsigned i = 0; i < EPS; i++) {
                r->ep[i] = ep_new(r->s, names[i]);
                r->map[2 * i] = (struct bl_static_route){
                        .host = bl_str_z(hosts[i]), .tp = BL_UDP, .addr = sim_addr(r->ep[i]->node, 5060)};
                r->map[2 * i + 1] = r->map[2 * i];
                r->map[2 * i + 1].tp = BL_TCP;
        }
        for (unsigned i = 0; i < 2; i++)
                r->map[2 * EPS + i] = (struct bl_static_route){
                        .host = BL_STR("pair.test"), .tp = BL_TCP, .addr = sim_addr(r->ep[BOB + i]->node, 5060)};
        r->sticky = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 1});
        r->index = workers > 1 ? bl_txn_index_new(1) : NULL;
        r->own[0] = BL_STR("proxy.test");
        r->conf = (struct bl_proxy_conf){.role_name = BL_STR("rig"),
                                         .node = BL_STR("proxy"),
                                         .sent_by_host = BL_STR("proxy.test"),
                                         .flow = {.listeners = r->listeners, .n_listeners = 2},
                                         .hop = {.map = r->map,
                                                 .n_map = BL_ARRAY_LEN(r->map),
                                                 .own = r->own,
                                                 .n_own = 1,
                                                 .may_open = true,
                                                 .ping_every_ms = UINT32_MAX},
                                         .sticky = r->sticky,
                                         .index = r->index};
        r->role = (struct bl_role){.request = rig_request,
                                   .response = rig_response,
                                   .target_failed = rig_failed,
                                   .accepted = rig_accepted,
                                   .done = rig_done,
                                   .stray = rig_stray};
        r->decide = to_ruri;
        r->arena = bl_arena_new(1 << 20);
        return r;
}

static inline struct rig *rig_new(void)
{
        return rig_new_with(1);
}

static inline bl_flow_id rig_open(struct rig *r, unsigned who, enum bl_tp tp)
{
        struct env *env = sim_env(r->ep[who]->node, 0);
        struct bl_target t = {.tp = tp, .to = sim_addr(r->node, 5060), .listener = BL_LISTENER_NONE};
        bl_flow_id f = 0;
        sim_enter(env);
        assert_int_equal(env->ops->open(env, &t, NULL, &f), 0);
        sim_leave(env);
        sim_run_for(r->s, BL_MS(20));
        return f;
}

/* Starts it; alice has a flow to it over `tp`. */
static inline void rig_start(struct rig *r, enum bl_tp tp)
{
        sim_start(r->node);
        r->ep[ALICE]->flow = rig_open(r, ALICE, tp);
        sim_run_for(r->s, BL_MS(20));
}
static inline struct rig *rig_up(void)
{
        struct rig *r = rig_new();
        rig_start(r, BL_UDP);
        return r;
}

static inline void rig_free(struct rig *r)
{
        sim_free(r->s);
        bl_sticky_free(r->sticky);
        bl_txn_index_free(r->index);
        for (unsigned i = 0; i < EPS; i++)
                ep_free(r->ep[i]);
        bl_arena_free(r->arena);
        free(r);
}

static inline size_t rig_txns(struct rig *r)
{
        return bl_txns_count(bl_proxy_txns(r->p)) + (r->p2 ? bl_txns_count(bl_proxy_txns(r->p2)) : 0);
}

/* Everything that was begun must end by itself: contexts, transactions, memory (protocol.md 7.5). */
static inline void rig_end(struct rig *r)
{
        sim_run_for(r->s, BL_SEC(70));
        assert_int_equal(bl_proxy_contexts(r->p), 0);
        if (r->p2)
                assert_int_equal(bl_proxy_contexts(r->p2), 0);
        assert_int_equal(rig_txns(r), 0);
        assert_int_equal(r->p->kept_octets, 0);
        sim_kill(r->node, SIM_KILL_SILENT);
        assert_int_equal(sim_pool_used(r->node), 0);
        rig_free(r);
}

static inline void run_ms(struct rig *r, unsigned ms)
{
        sim_run_for(r->s, BL_MS(ms));
}

static inline void say(struct rig *r, unsigned who, const char *text)
{
        ep_say(r->ep[who], r->ep[who]->flow, bl_str_z(text));
        run_ms(r, 20);
}

/* --- what was received --- */

static inline struct bl_msg *parsed(struct rig *r, const struct got *g)
{
        struct bl_msg *m = NULL;
        struct bl_parse_error err = {0};
        int rc = bl_msg_parse(bl_str_make(g->text, g->n), true, r->arena, &m, &err);
        if (rc < 0)
                fail_msg("does not parse: %s at %u in\n%s", err.text, (unsigned)err.offset, g->text);
        return m;
}

/* The i-th message that this end got whose start line begins with `start`; NULL when there are not so many. */
static inline const struct got *nth(struct rig *r, unsigned who, const char *start, unsigned i)
{
        struct ep *e = r->ep[who];
        for (unsigned k = 0; k < e->n; k++) {
                if (strncmp(e->msg[k].text, start, strlen(start)) == 0 && i-- == 0)
                        return &e->msg[k];
        }
        return NULL;
}
static inline unsigned count_of(struct rig *r, unsigned who, const char *start)
{
        unsigned n = 0;
        while (nth(r, who, start, n))
                n++;
        return n;
}
static inline const struct got *got(struct rig *r, unsigned who, const char *start)
{
        const struct got *g = nth(r, who, start, 0);
        if (!g) {
                sim_ladder(r->s, stderr, false);
                fail_msg("endpoint %u did not get \"%s\"", who, start);
        }
        return g;
}
static inline void got_none(struct rig *r, unsigned who, const char *start)
{
        if (nth(r, who, start, 0)) {
                sim_ladder(r->s, stderr, false);
                fail_msg("endpoint %u got \"%s\"", who, start);
        }
}
static inline struct bl_str value_of(struct rig *r, const struct got *g, const char *name)
{
        struct bl_msg *m = parsed(r, g);
        enum bl_hid id = bl_hid_from(bl_str_z(name));
        return id == BL_H_OTHER ? bl_msg_other(m, bl_str_z(name)) : bl_msg_value(m, id);
}
static inline bool contains(const struct got *g, const char *text)
{
        return strstr(g->text, text) != NULL;
}

/* Answers a received request from where it came to where it came from. `extra`: whole lines. */
static inline int try_answer(struct rig *r, unsigned who, const struct got *g, unsigned status, const char *tag,
                             const char *extra)
{
        struct bl_msg *m = parsed(r, g);
        struct env *env = sim_env(r->ep[who]->node, 0);
        struct bl_response res = {
                .status = status, .to_tag = bl_str_z(tag), .extra = bl_str_z(extra), .record_route = true};
        struct bl_buf *b = NULL;
        sim_enter(env);
        assert_int_equal(bl_write_response(env->pool, m, &res, &b), 0);
        int rc = env_send(env, g->flow, b);
        bl_buf_unref(env->pool, b);
        sim_leave(env);
        run_ms(r, 20);
        return rc;
}
static inline void answer(struct rig *r, unsigned who, const struct got *g, unsigned status, const char *tag,
                          const char *extra)
{
        assert_int_equal(try_answer(r, who, g, status, tag, extra), 0);
}

/* --- what is said --- */

struct req {
        const char *method, *ruri, *branch, *call_id, *to, *headers, *body;
        unsigned cseq;
};
static inline const char *req_text(struct rig *r, const struct req *q)
{
        static char text[8192];
        char ip[BL_ADDR_TEXT] = {0};
        struct bl_sb b = BL_SB(ip);
        struct bl_addr a = sim_addr(r->ep[ALICE]->node, 5060);
        bl_addr_put_ip(&b, &a);
        const char *body = q->body ? q->body : "";
        snprintf(text, sizeof(text),
                 "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%s;rport\r\n"
                 "%sFrom: \"Alice\" <sip:alice@alice.test>;tag=a1\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
                 "%sContent-Length: %zu\r\n\r\n%s",
                 q->method, q->ruri, ip, q->branch ? q->branch : "one",
                 q->headers && strstr(q->headers, "Max-Forwards") ? "" : "Max-Forwards: 70\r\n",
                 q->to ? q->to : "<sip:bob@bob.test>", q->call_id ? q->call_id : "call-1", q->cseq ? q->cseq : 1,
                 q->method, q->headers ? q->headers : "", strlen(body), body);
        return text;
}
#define REQ(r, ...) req_text((r), &(struct req){__VA_ARGS__})
#define SAY(r, who, ...) say((r), (who), REQ((r), __VA_ARGS__))

/* ACK of a non-2xx for the INVITE of that branch, with the To of the response. */
static inline void ack(struct rig *r, const char *ruri, const char *branch, const struct got *final)
{
        char to[256];
        snprintf(to, sizeof(to), "%.*s", BL_STR_ARG(value_of(r, final, "To")));
        SAY(r, ALICE, .method = "ACK", .ruri = ruri, .branch = branch, .to = to);
}
