/*
 * UAs between far ends that a test writes by hand, in the virtual world. The static map knows
 *
 *     example.com ─► home      edge.example.com ─► e1, e2, e3      (over r->tp)
 *
 * The far ends register by themselves as belay's do (300 at the home, Outbound-Proxy and one P at the edges) unless a
 * test scripts them: `script` answers REGISTERs before that, `status` refuses them, `manual` leaves every message to
 * the test. All other requests and responses are the test's.
 */
#pragma once
#include "unit/unit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/sim.h"
#include "sip/stun.h"
#include "ua/internal.h"

enum { HOME, E1, E2, E3, ENDS, END_MSGS = 256, END_FLOWS = 32, EVENTS = 512 };

#define P_USER "joe+abc+e1+e2+mac"
#define P_URI "sip:" P_USER "@edge.example.com;lr"

struct rig;
struct got { /* one message that came */
        struct end *at;
        bl_flow_id flow;
        bl_us when;
        char *text;
        struct bl_msg *m;
        bool taken;
};
struct end {
        struct rig *r;
        unsigned index;
        struct sim_node *node;
        char ip[64];
        bool manual, deaf;
        unsigned status;   /* refuses REGISTERs with it … */
        const char *lines; /* … and these header lines */
        unsigned fails;    /* how often; 0: always */
        /* true: answered. NULL: none */
        bool (*script)(struct end *e, struct got *g);
        struct got got[END_MSGS];
        unsigned n;
        struct end_flow {
                bl_flow_id id;
                enum bl_tp tp;
                bool up;
                struct bl_addr remote;
                size_t n;
                char text[16384];
        } * flow[END_FLOWS];
        unsigned n_flows;
};
struct seen { /* an event */
        struct bl_ua_event ev;
        char text[256], reason[100], edge[256];
        bl_us when;
};
struct rig {
        struct sim *s;
        enum bl_tp tp;
        struct end end[ENDS];
        struct sim_node *node;
        struct bl_static_route map[8];
        struct bl_ua_stack_conf stack_conf;
        struct bl_ua_conf conf;
        struct bl_ua_stack *stack;
        struct bl_ua *ua;
        struct env *env;
        struct bl_arena *arena;
        size_t idle_pool;  /* of the stack without any UA */
        size_t pool_limit; /* octets; 0: none */
        unsigned set;      /* edges that P's list names, as bits 1 << E1 … */
        unsigned expires, flow_timer;
        bool digest, no_service_route;
        unsigned other_flows; /* that requests opened by themselves: they outlive the UA */
        unsigned nonce;
        const char *list_name;
        struct seen seen[EVENTS];
        unsigned n_seen, looked;
        void (*on_event)(struct rig *r, const struct bl_ua_event *ev);
};

/* --- far ends: octets --- */

static inline bool end_inside(struct end *e)
{
        return sim_env(e->node, 0)->now == sim_now(e->r->s) && e->script; /* only scripts answer inside a turn */
}

static inline void end_put(struct env *env, bl_flow_id f, struct bl_str octets)
{
        struct bl_buf *b = bl_buf_copy(env->pool, octets);
        (void)env_send(env, f, b);
        bl_buf_unref(env->pool, b);
}

static inline void end_serve(struct end *e, struct got *g);

static inline void end_take(struct end *e, bl_flow_id f, struct bl_str in)
{
        assert_true(e->n < END_MSGS);
        struct got *g = &e->got[e->n++];
        *g = (struct got){.at = e, .flow = f, .when = sim_now(e->r->s), .text = bl_arena_alloc(e->r->arena, in.n + 1)};
        memcpy(g->text, in.p, in.n);
        g->text[in.n] = 0;
        assert_int_equal(bl_msg_parse(bl_str_make(g->text, in.n), false, e->r->arena, &g->m, NULL), 0);
        if (!e->manual && g->m->is_request && g->m->method == BL_M_REGISTER)
                end_serve(e, g);
}

static inline struct end_flow *end_flow(struct end *e, bl_flow_id f)
{
        for (unsigned i = 0; i < e->n_flows; i++)
                if (e->flow[i]->id == f)
                        return e->flow[i];
        return NULL;
}

static inline void end_up(struct env *env, bl_flow_id f, const struct bl_peer *peer, void *user)
{
        struct end *e = env->core;
        (void)user;
        assert_true(e->n_flows < END_FLOWS);
        struct end_flow *x = e->flow[e->n_flows++] = calloc(1, sizeof *x);
        x->id = f;
        x->tp = peer->tp;
        x->remote = peer->remote;
        x->up = true;
}

static inline void end_down(struct env *env, bl_flow_id f, void *user, int why)
{
        struct end_flow *x = end_flow(env->core, f);
        (void)user, (void)why;
        if (x)
                x->up = false;
}

static inline void end_data(struct env *env, bl_flow_id f, void *user, struct bl_str in, bool datagram)
{
        struct end *e = env->core;
        struct end_flow *x = end_flow(e, f);
        uint8_t out[BL_STUN_MAX];
        (void)user;
        if (e->deaf)
                return;
        if (datagram && bl_stun_is(in)) {
                int n = bl_stun_answer(in, &x->remote, out);
                if (n > 0)
                        end_put(env, f, bl_str_make((char *)out, (size_t)n));
                return;
        }
        if (datagram) {
                end_take(e, f, in);
                return;
        }
        assert_true(x->n + in.n < sizeof x->text);
        memcpy(x->text + x->n, in.p, in.n);
        x->n += in.n;
        for (;;) {
                x->text[x->n] = 0;
                size_t n = 4;
                if (x->n >= 4 && memcmp(x->text, "\r\n\r\n", 4) == 0) {
                        end_put(env, f, BL_STR("\r\n"));
                } else {
                        char *end = strstr(x->text, "\r\n\r\n"), *len = strstr(x->text, "\r\nContent-Length:");
                        if (!end)
                                return;
                        n = (size_t)(end + 4 - x->text) + (len && len < end ? strtoul(len + 17, NULL, 10) : 0);
                        if (n > x->n)
                                return;
                        end_take(e, f, bl_str_make(x->text, n));
                }
                memmove(x->text, x->text + n, x->n - n);
                x->n -= n;
        }
}
static inline void end_nothing(struct env *env, bl_flow_id f, void *user)
{
        (void)env, (void)f, (void)user;
}
static inline void end_turn(struct env *env)
{
        (void)env;
}
static inline void end_boot(struct sim_node *n, void *ctx)
{
        static const struct env_events ev = {end_up, end_data, end_nothing, end_down, end_turn};
        sim_env(n, 0)->ev = &ev;
        sim_env(n, 0)->core = ctx;
}

/* Sends text, whole lines with CRLF, by a flow of this end; from a test or from inside a script. */
static inline void end_say(struct end *e, bl_flow_id f, struct bl_str text, bool inside)
{
        struct env *env = sim_env(e->node, 0);
        if (!inside)
                sim_enter(env);
        end_put(env, f, text);
        if (!inside)
                sim_leave(env);
}

/* A response to `g`: Via, From, To (with `tag` unless it has one), Call-ID, CSeq, Record-Route, `lines`, `body`. */
static inline void reply_full(struct got *g, unsigned status, const char *tag, const char *lines, const char *body,
                              bool inside)
{
        struct rig *r = g->at->r;
        char extra[4096];
        struct bl_buf *b;
        struct bl_response resp = {.status = status,
                                   .to_tag = bl_str_z(tag),
                                   .extra = bl_str_z(lines ? lines : ""),
                                   .body = bl_str_z(body ? body : ""),
                                   .record_route = true};
        (void)extra;
        struct bl_pool *pool = sim_env(g->at->node, 0)->pool;
        assert_int_equal(bl_write_response(pool, g->m, &resp, &b), 0);
        end_say(g->at, g->flow, bl_buf_str(b), inside);
        bl_buf_unref(pool, b);
        (void)r;
}
static inline void reply(struct got *g, unsigned status, const char *lines)
{
        reply_full(g, status, "far", lines, NULL, false);
}

/* --- far ends: registering as belay's do --- */

static inline bool has_route_p(const struct bl_msg *m)
{
        struct bl_nameaddr na;
        return bl_msg_nameaddr(m, BL_H_ROUTE, 0, &na) == 0 && bl_str_eq(na.uri.user, BL_STR(P_USER));
}

static inline void put_list(struct rig *r, struct end *self, struct bl_sb *b)
{
        bl_sb_fmt(b, "%s: <" P_URI ">", r->list_name);
        for (unsigned i = E1; i < ENDS; i++)
                if ((r->set >> i & 1) && &r->end[i] != self)
                        bl_sb_fmt(b, ", <" P_URI ";maddr=%s>", r->end[i].ip);
        bl_sb_addz(b, "\r\n");
}

static inline void serve_ok(struct end *e, struct got *g, bool inside)
{
        struct rig *r = e->r;
        char lines[4096];
        struct bl_sb b = BL_SB(lines);
        struct bl_nameaddr c;
        struct bl_str v;
        assert_int_equal(bl_msg_nameaddr(g->m, BL_H_CONTACT, 0, &c), 0);
        bool zero = bl_nameaddr_param(&c, BL_STR("expires"), &v) && bl_str_eq(v, BL_STR("0"));
        struct bl_nameaddr route;
        struct bl_str maddr = {NULL, 0};
        bool adopts = bl_msg_nameaddr(g->m, BL_H_ROUTE, 0, &route) == 0 &&
                      bl_uri_param(&route.uri, BL_STR("maddr"), &maddr) && !(r->set >> e->index & 1);
        if (!zero) {
                bl_sb_addz(&b, "Contact: ");
                bl_str_cut(bl_msg_value(g->m, BL_H_CONTACT), 0, &v, &maddr);
                struct bl_str all = bl_msg_value(g->m, BL_H_CONTACT);
                char *at = strstr(all.p, ";expires=");
                bl_sb_add(&b, bl_str_make(all.p, (size_t)(at - all.p)));
                bl_sb_fmt(&b, ";expires=%u\r\n", r->expires);
        }
        if (e->index != HOME && !r->no_service_route)
                bl_sb_addz(&b, "Service-Route: <" P_URI ">, <sip:example.com;lr>\r\n");
        if (bl_nameaddr_param(&c, BL_STR("reg-id"), NULL) && !zero) {
                bl_sb_addz(&b, "Require: outbound\r\n");
                if (r->flow_timer)
                        bl_sb_fmt(&b, "Flow-Timer: %u\r\n", r->flow_timer);
        }
        if (e->index != HOME && !zero && r->list_name && (!has_route_p(g->m) || adopts))
                put_list(r, e, &b);
        bl_sb_addc(&b, 0);
        assert_false(b.over);
        reply_full(g, 200, "reg", lines, NULL, inside);
}

static inline void end_serve(struct end *e, struct got *g)
{
        struct rig *r = e->r;
        char lines[300];
        g->taken = true;
        if (e->script && e->script(e, g))
                return;
        if (e->status) {
                unsigned status = e->status;
                if (e->fails && --e->fails == 0)
                        e->status = 0;
                reply_full(g, status, "reg", e->lines, NULL, true);
        } else if (e->index == HOME && !bl_msg_has(g->m, BL_H_ROUTE)) {
                reply_full(g, 300, "reg", "Contact: <sip:edge.example.com;lr>\r\n", NULL, true);
        } else if (r->digest && !bl_msg_has(g->m, BL_H_AUTHORIZATION)) {
                snprintf(lines, sizeof lines,
                         "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n%u\", qop=\"auth\"\r\n", r->nonce);
                reply_full(g, 401, "reg", lines, NULL, true);
        } else
                serve_ok(e, g, true);
}

/* --- the UA --- */

static inline void rig_event(void *ctx, const struct bl_ua_event *ev)
{
        struct rig *r = ctx;
        assert_true(r->n_seen < EVENTS);
        struct seen *s = &r->seen[r->n_seen++];
        s->ev = *ev;
        s->when = sim_now(r->s);
        snprintf(s->text, sizeof s->text, "%.*s", BL_STR_ARG(ev->text));
        snprintf(s->reason, sizeof s->reason, "%.*s", BL_STR_ARG(ev->reason));
        snprintf(s->edge, sizeof s->edge, "%.*s", BL_STR_ARG(ev->edge));
        if (r->on_event)
                r->on_event(r, ev);
}

static inline void rig_boot(struct sim_node *n, void *ctx)
{
        struct rig *r = ctx;
        r->env = sim_env(n, 0);
        if (r->pool_limit) {
                bl_pool_free(r->env->pool);
                r->env->pool = bl_pool_new(r->pool_limit);
        }
        r->stack = bl_ua_stack_new(r->env, &r->stack_conf);
        if (r->pool_limit && !r->stack)
                return;
        assert_non_null(r->stack);
        r->idle_pool = bl_pool_used(r->env->pool);
        r->ua = bl_ua_new(r->stack, &r->conf);
        assert_true(r->ua || r->pool_limit);
}
static inline void rig_dead(struct sim_node *n, void *ctx)
{
        struct rig *r = ctx;
        (void)n;
        bl_ua_stack_free(r->stack);
        r->stack = NULL;
}

static inline struct rig *rig_new(enum bl_tp tp)
{
        static const char *const names[ENDS] = {"home", "e1", "e2", "e3"};
        static const struct sim_node_ops end_ops = {.boot = end_boot}, ops = {.boot = rig_boot, .dead = rig_dead};
        struct rig *r = calloc(1, sizeof *r);
        r->s = sim_new(7);
        r->tp = tp;
        r->set = 1u << E1 | 1u << E2;
        r->expires = 600;
        r->flow_timer = 120;
        r->list_name = "Outbound-Proxy";
        r->arena = bl_arena_new(64 << 20);
        for (unsigned i = 0; i < ENDS; i++) {
                struct end *e = &r->end[i];
                struct bl_sb b = BL_SB(e->ip);
                *e = (struct end){.r = r, .index = i};
                e->node = sim_node(r->s, names[i], 1, &end_ops, e);
                struct bl_addr a = sim_addr(e->node, 5060);
                bl_addr_put_ip(&b, &a);
                sim_listen(e->node, BL_UDP, 5060);
                sim_listen(e->node, BL_TCP, 5060);
                sim_start(e->node);
                r->map[i] = (struct bl_static_route){
                        .host = bl_str_z(i == HOME ? "example.com" : "edge.example.com"), .tp = tp, .addr = a};
        }
        r->stack_conf.hop = (struct bl_hops_conf){.map = r->map, .n_map = ENDS, .may_open = true};
        r->conf = (struct bl_ua_conf){.aor = BL_STR("sip:joe@example.com"),
                                      .password = BL_STR("secret"),
                                      .instance = BL_STR("urn:uuid:00000000-0000-1000-8000-000000000001"),
                                      .event = rig_event,
                                      .ctx = r};
        r->node = sim_node(r->s, "ua", 1, &ops, r);
        return r;
}

/* The UA exists; it does not register yet. */
static inline void rig_boot_now(struct rig *r)
{
        sim_start(r->node);
}
static inline void rig_start(struct rig *r)
{
        if (!r->stack)
                rig_boot_now(r);
        sim_enter(r->env);
        bl_ua_start(r->ua);
        sim_leave(r->env);
}
static inline void rig_run(struct rig *r, double seconds)
{
        sim_run_for(r->s, (bl_us)(seconds * 1e6));
}
#define UNTIL(r_, cond_, seconds_)                                                                                     \
        do {                                                                                                           \
                bl_us end_ = sim_now((r_)->s) + (bl_us)((seconds_)*1e6);                                               \
                while (!(cond_))                                                                                       \
                        if (!sim_step((r_)->s, end_)) {                                                                \
                                if (cond_)                                                                             \
                                        break;                                                                         \
                                sim_ladder((r_)->s, stderr, false);                                                    \
                                fail_msg("within %g s it never was so: %s", (double)(seconds_), #cond_);               \
                        }                                                                                              \
        } while (0)

/* Two flows, as the set says. */
static inline struct rig *rig_up(enum bl_tp tp)
{
        struct rig *r = rig_new(tp);
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        return r;
}

/* Everything of the UA comes back to the pool. */
static inline void rig_free(struct rig *r)
{
        if (r->stack) {
                sim_enter(r->env);
                bl_ua_free(r->ua);
                sim_leave(r->env);
                rig_run(r, 1);
                struct bl_flows *flows = bl_txns_flows(r->stack->txns);
                if (r->other_flows != UINT_MAX)
                        assert_int_equal(bl_flows_count(flows), r->other_flows);
                sim_enter(r->env);
                for (struct bl_flow *f = bl_flows_next(flows, NULL); f; f = bl_flows_next(flows, f))
                        bl_flow_close(f, false);
                sim_leave(r->env);
                rig_run(r, 80); /* transactions and flows live out their time */
                if (bl_pool_used(r->env->pool) > r->idle_pool)
                        fail_msg("%zu octets of %zu were not given back", bl_pool_used(r->env->pool) - r->idle_pool,
                                 bl_pool_used(r->env->pool));
        }
        sim_free(r->s);
        for (unsigned i = 0; i < ENDS; i++)
                for (unsigned k = 0; k < r->end[i].n_flows; k++)
                        free(r->end[i].flow[k]);
        bl_arena_free(r->arena);
        free(r);
}

/* --- looking --- */

static inline struct got *end_find(struct end *e, const char *start)
{
        for (unsigned i = 0; i < e->n; i++)
                if (!e->got[i].taken && strncmp(e->got[i].text, start, strlen(start)) == 0)
                        return &e->got[i];
        return NULL;
}
/* The oldest message not yet taken whose start line begins so. */
static inline struct got *expect(struct end *e, const char *start)
{
        UNTIL(e->r, end_find(e, start), 40);
        struct got *g = end_find(e, start);
        g->taken = true;
        return g;
}
/* How many came, taken or not. */
static inline unsigned count(const struct end *e, const char *start)
{
        unsigned n = 0;
        for (unsigned i = 0; i < e->n; i++)
                n += strncmp(e->got[i].text, start, strlen(start)) == 0;
        return n;
}
static inline struct got *last(struct end *e, const char *start)
{
        for (unsigned i = e->n; i-- > 0;)
                if (strncmp(e->got[i].text, start, strlen(start)) == 0)
                        return &e->got[i];
        fail_msg("no %s", start);
        return NULL;
}
/* The next event of that kind; all before it are passed over. */
static inline struct seen *rig_find(struct rig *r, enum bl_ua_event_kind kind)
{
        for (; r->looked < r->n_seen; r->looked++)
                if (r->seen[r->looked].ev.kind == kind)
                        return &r->seen[r->looked];
        return NULL;
}
static inline struct seen *told(struct rig *r, enum bl_ua_event_kind kind)
{
        UNTIL(r, rig_find(r, kind), 70);
        return &r->seen[r->looked++];
}
static inline unsigned told_count(const struct rig *r, enum bl_ua_event_kind kind)
{
        unsigned n = 0;
        for (unsigned i = 0; i < r->n_seen; i++)
                n += r->seen[i].ev.kind == kind;
        return n;
}

/* --- calls --- */

/* The flow of the UA at this far end that is the newest. */
static inline bl_flow_id flow_at(struct end *e)
{
        for (unsigned i = e->n_flows; i-- > 0;)
                if (e->flow[i]->up)
                        return e->flow[i]->id;
        fail_msg("no flow at %s", sim_name(e->node));
        return 0;
}

/* A request of the far end to the UA, by its flow at `e`. `more`: header lines. */
static inline void ask_on(struct end *e, bl_flow_id flow, const char *method, const char *branch, const char *to_tag,
                          unsigned cseq, const char *more)
{
        char text[4096];
        struct rig *r = e->r;
        int n = snprintf(text, sizeof text,
                         "%s %.*s SIP/2.0\r\n"
                         "Via: SIP/2.0/%s edge.example.com;branch=z9hG4bK%s;rport\r\n"
                         "Max-Forwards: 60\r\nFrom: <sip:bob@example.com>;tag=bob\r\nTo: <sip:joe@example.com>%s%s\r\n"
                         "Call-ID: in-1\r\nCSeq: %u %s\r\nContact: <sip:bob@10.9.9.9>\r\n%sContent-Length: 0\r\n\r\n",
                         method, BL_STR_ARG(text_str(&r->ua->contact)), r->tp == BL_UDP ? "UDP" : "TCP", branch,
                         *to_tag ? ";tag=" : "", to_tag, cseq, method, more ? more : "");
        assert_true(n > 0 && (size_t)n < sizeof text);
        end_say(e, flow, bl_str_make(text, (size_t)n), false);
}
static inline void ask(struct end *e, const char *method, const char *branch, const char *to_tag, unsigned cseq)
{
        char rr[200];
        snprintf(rr, sizeof rr, "Record-Route: <" P_URI ";d=1>, <sip:example.com;lr;d=2>\r\n");
        ask_on(e, flow_at(e), method, branch, to_tag, cseq, *to_tag ? "" : rr);
}

struct call {
        struct bl_dialog *d;
        struct bl_ua_request *r;
};
static const struct bl_str nothing = {NULL, 0};

static inline struct call call_out(struct rig *r)
{
        struct call c = {0};
        struct bl_ua_body sdp = {BL_STR("application/sdp"), BL_STR("v=0\r\n")};
        sim_enter(r->env);
        assert_int_equal(bl_ua_call(r->ua, BL_STR("sip:bob@example.com"), nothing, &sdp, &c.d, &c.r), 0);
        sim_leave(r->env);
        return c;
}
static inline struct bl_ua_request *in_dialog(struct rig *r, struct bl_dialog *d, enum bl_method m)
{
        struct bl_ua_request *q = NULL;
        sim_enter(r->env);
        assert_int_equal(bl_ua_in_dialog(d, m, nothing, NULL, &q), 0);
        sim_leave(r->env);
        return q;
}
static inline int answer_with(struct rig *r, struct bl_ua_request *q, unsigned status)
{
        sim_enter(r->env);
        int rc = bl_ua_answer(q, status, nothing, NULL);
        sim_leave(r->env);
        return rc;
}
#define DIALOG_LINES                                                                                                   \
        "Record-Route: <sip:example.com;lr;d=2>, <" P_URI ";d=1>\r\n"                                                  \
        "Contact: <sip:bob@10.9.9.9>\r\n"
/* The edge that got the UA's next such request. */
static inline struct got *expect_anywhere(struct rig *r, const char *start)
{
        UNTIL(r, end_find(&r->end[E1], start) || end_find(&r->end[E2], start) || end_find(&r->end[E3], start), 40);
        for (unsigned i = E1; i < ENDS; i++)
                if (end_find(&r->end[i], start))
                        return expect(&r->end[i], start);
        return NULL;
}
/* A call of ours that is up, and the ACK taken. */
static inline struct call call_up(struct rig *r)
{
        struct call c = call_out(r);
        struct got *invite = expect_anywhere(r, "INVITE");
        reply(invite, 200, DIALOG_LINES);
        assert_int_equal(told(r, BL_UA_ANSWERED)->ev.status, 200);
        (void)expect(invite->at, "ACK");
        return c;
}
