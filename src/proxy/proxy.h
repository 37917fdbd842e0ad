/*
 * A transaction-stateful proxy core (RFC 3261 section 16, RFC 5393, RFC 4320, RFC 6026), without an opinion where to
 * route: a role (edge/, home/) decides for each request, this does the rest. One bl_proxy per worker; it makes flow/,
 * txn/ and hop/ below itself.
 *
 *   request ─► checks (16.3) ─► role.request ─┬─ bl_px_reply            answered here
 *                                             ├─ bl_px_add … bl_px_go   forwarded to one or more targets (a response
 * context) ├─ bl_px_hold … later     waits (store), then one of the others └─ bl_px_drop             nothing (ACK) each
 * target ─► hop/send (candidates, failover) ─► responses ─► role.response (learn, edit) ─► best one upstream
 */
#pragma once
#include "hop/send.h"

struct bl_proxy;
struct bl_px; /* one request and its response context; freed by itself when both sides are done */

struct bl_px_target {
        struct bl_str ruri;         /* new Request-URI; empty: as received */
        unsigned pop_routes;        /* values taken off the top of Route (ours) */
        struct bl_str push_routes;  /* "<…>, <…>": put above what remains; empty: nothing */
        struct bl_str path;         /* value to push into Path; empty: none */
        struct bl_str record_route; /* `<URI>` to push into Record-Route; empty: none. Learning knows our own entries by
                                       its user, host and `d` */
        struct bl_str next; /* the URI that chooses the flow; empty: topmost Route after the edits, else Request-URI
                               (16.6 step 7) */
        const struct bl_str *alt_routes;
        unsigned n_alt; /* serial alternatives: each a whole push_routes for another try of the same target (differing
                           Paths of one instance) */
        unsigned send_flags;  /* enum bl_send_flags */
        bl_flow_id flow;      /* PINNED */
        uint16_t q;           /* 0..1000: higher ones first, equal ones in parallel (16.6) */
        bool ack_too;         /* an ACK goes here beside the first target: nothing would tell that it did not arrive */
        bool strict_fallback; /* honour a top Route without ;lr (16.6 step 6); a proxy's own policy may forbid it */
};

struct bl_role { /* what a role supplies; `role` is the ctx given at bl_proxy_new */
        /* Every request that belongs to no transaction and passed 16.3: unsupported Proxy-Require, Max-Forwards 0 (but
         * OPTIONS/REGISTER for us), scheme and loops were answered. Must end in exactly one of the four ways above. */
        void (*request)(void *role, struct bl_px *px);
        /* Last edits of a try, when its flow is known; Via, Routes, Path, Record-Route and Max-Forwards are done
         * already. May be NULL. < 0: skip this candidate. */
        int (*outgoing)(void *role, struct bl_px *px, unsigned target, const struct bl_try *t, struct bl_edits *e);
        /* The Record-Route of a try, now that its transport is known: appends the values that go in instead of the
         * target's `record_route`, the far side's first (RFC 5658); nothing: that one serves both sides. Not
         * asked for a sips URI, which serves both anyway. May be NULL. */
        void (*record_route)(void *role, struct bl_px *px, const struct bl_px_target *g, const struct bl_try *t,
                             struct bl_sb *out);
        /* A response before it goes upstream (provisional, 2xx, or the best of the finals): bind, edit. `from`: the
         * flow it came by. May be NULL. Our Via is off already. */
        void (*response)(void *role, struct bl_px *px, unsigned target, bl_flow_id from, const struct bl_msg *m,
                         struct bl_edits *e);
        /* A target ended without 2xx: its final status (a received one, or 408/430/480/503/504 of ours); 430 only when
         * all its candidates gave it. May be NULL. */
        void (*target_failed)(void *role, struct bl_px *px, unsigned target, unsigned status);
        /* The first 2xx of a target to INVITE went upstream (so with forks it may come again): the context stays for
         * its copies (RFC 6026), but target_failed comes no more, and what only that needs can be let go. May be NULL.
         */
        void (*accepted)(void *role, struct bl_px *px);
        /* The context is over; role data in px can be let go. May be NULL. */
        void (*done)(void *role, struct bl_px *px);
        /* Appends our branch (with cookie) for a target. NULL: random. An edge's is a keyed digest, equal on every edge
         * of the cluster. */
        void (*branch)(void *role, struct bl_px *px, unsigned target, struct bl_sb *out);
        /* Appends further parameters of our Via (";name=value"), at most 512 octets. May be NULL. */
        void (*via)(void *role, struct bl_px *px, unsigned target, const struct bl_try *t, struct bl_sb *out);
        /* The flow that the request came by is gone and its Via names no domain that is linked: flows that the answer
         * may go by instead, best first; how many. May be NULL. */
        unsigned (*upstream)(void *role, struct bl_px *px, struct bl_sticky_found ret[BL_STICKY_MAX]);
        /* A response that belongs to no transaction here (its Via is ours). NULL: dropped. */
        void (*stray)(void *role, bl_flow_id from, struct bl_msg *m);
        void (*flow_up)(void *role, struct bl_flow *);
        void (*flow_down)(void *role, struct bl_flow *, int why);
        void (*flow_pong)(void *role, struct bl_flow *); /* our ping was answered; may be NULL, as the two above */
};
struct bl_proxy_conf {
        struct bl_str role_name; /* "edge", "home": in logs and metric names */
        struct bl_str node;
        struct bl_str sent_by_host; /* empty: the flow's local address. An edge: its cluster's name */
        struct bl_str via_extra;    /* appended to each Via: ";sticky" (rport and w are added by the proxy) */
        struct bl_str max_breadth;  /* empty: "60" */
        bool loop_check;            /* RFC 5393: homes; edges never fork and do not */
        bool record_503_as_500; /* 16.7 step 6 always turns a lone 503 into 500 towards upstream that is not ours; see
                                   protocol.md section 5 */
        struct bl_txns_conf txn;
        struct bl_flows_conf flow;
        struct bl_hops_conf hop;
        struct bl_sticky *sticky;   /* the node's, shared by its workers */
        struct bl_txn_index *index; /* the node's; NULL with one worker */
};
struct bl_proxy *bl_proxy_new(struct env *env, const struct bl_proxy_conf *conf, const struct bl_role *r,
                              void *role); /* conf borrowed for life; NULL without memory */
void bl_proxy_free(struct bl_proxy *p);
struct bl_hops *bl_proxy_hops(struct bl_proxy *p);
struct bl_txns *bl_proxy_txns(struct bl_proxy *p);
struct env *bl_proxy_env(struct bl_proxy *p);
size_t bl_proxy_contexts(const struct bl_proxy *p); /* live ones: 0 when traffic stops */

/* --- what a role may ask of a px --- */
const struct bl_msg *bl_px_msg(const struct bl_px *px); /* may move at bl_px_hold and bl_px_go: ask again */
struct bl_flow *bl_px_flow(struct bl_px *px);           /* it came by; NULL when that has gone */
bl_flow_id bl_px_flow_id(const struct bl_px *px);
struct bl_proxy *bl_px_proxy(const struct bl_px *px);
/* Memory that lives as long as px: for target texts. NULL / empty without memory. */
void *bl_px_alloc(struct bl_px *px, size_t n);
struct bl_str bl_px_str(struct bl_px *px, struct bl_str s);
void **bl_px_data(struct bl_px *px); /* one pointer of the role's own */

/* Answers. Without a transaction when `stateless` (REGISTER, challenges, refusals); ACKs are dropped instead. */
void bl_px_reply(struct bl_px *px, const struct bl_response *r, bool stateless);
/* A refusal with its counter (belay_<role>_refused_total{reason=}) and rate-limited log line; reason is stable
 * snake_case, phrase may be empty. Stateless. */
void bl_px_refuse(struct bl_px *px, unsigned status, const char *reason, struct bl_str phrase,
                  struct bl_str extra_lines);
/* For a request that the role answers itself: false when Require names what we do not know; then it was refused with
 * 420 (RFC 3261 8.2.2.3). */
bool bl_px_require_ok(struct bl_px *px);
void bl_px_drop(struct bl_px *px);
/* Keeps the message so that the decision may come in a later event: 0, BL_ENOMEM / BL_EFULL (then px was answered 503
 * and is gone). Makes the server transaction when `stateful` (then copies are absorbed while waiting). */
int bl_px_hold(struct bl_px *px, bool stateful);
/* The Request-URI is a value that we put into Record-Route (the role has checked that it is: a strict router sent it):
 * the last Route value takes its place (section 16.4). bl_px_msg then shows the message as a loose router would have
 * sent it. 0; BL_ENOENT no Route is left, BL_EMALFORMED, BL_ENOMEM: nothing changed. */
int bl_px_recover_strict(struct bl_px *px);
/* For bl_role.record_route: appends `one` (`<URI>`) with ;transport=. BL_TP_COUNT: as it is, and so for WebSocket, too:
 * its client uses the connection it has, and nobody could open one to it. */
void bl_px_put_record_route(struct bl_str one, enum bl_tp tp, struct bl_sb *out);
/* Adds a target (texts copied). 0, BL_ENOMEM, BL_ELIMIT (Max-Breadth, 16 targets). */
int bl_px_add(struct bl_px *px, const struct bl_px_target *t);
/* Forwards to what was added; the role is done deciding. With an ACK: once, without transactions. */
void bl_px_go(struct bl_px *px);
/* From role.response or target_failed: adds a target to a living context (a later, serial one). */
int bl_px_more(struct bl_px *px, const struct bl_px_target *t);
