/*
 * The stickiness table: URIs bound to flows, searched for the most specific match (slides S11-S16; protocol.md section
 * 3). One per node, shared by its workers: sharded, one lock a shard, no pointer leaves. Soft state with a byte budget.
 *
 *        URI (as bound)                              flow record
 *   ┌ sip:joe+i+e1+e3+M@edge;lr      PATH   ┐
 *   │ sip:joe+i+e1+e3+M@edge;lr;d=9  DIALOG ├──►  handle, transport, far end, opened by us?
 *   │ sip:edge                       DOMAIN ┘     (a closed flow's record waits for its successor; moving it moves all)
 *
 * Guards (is this flow linked to the URI's host?) are hop/'s business: what is bound here has passed them.
 * Every call is O(1) in the number of bindings, also with 100,000 dialog URIs under one P. Thread-safe unless said.
 */
#pragma once
#include "base/base.h"
#include "sip/uri.h"

typedef uint64_t bl_flow_id; /* as in env/env.h; repeated because sticky/ does not know the seam */

struct bl_sticky;

enum bl_bind_kind {
        BL_BIND_PATH,   /* from a REGISTER: lives as long as the registration and a grace */
        BL_BIND_DIALOG, /* from Record-Route: until the dialog ends or idle for dialog_idle; evicted first */
        BL_BIND_DOMAIN, /* we opened the flow to that URI, or a 2xx to a request towards it came by it */
        BL_BIND_CERT,   /* a domain the far end has proven; lives with the connection */
};
enum { BL_STICKY_MAX = 8 /* candidates a find returns */ };

struct bl_sticky_conf {
        uint64_t hash_seed;
        size_t budget;     /* octets for all bindings, their index (some 60 each) on top; 0 = 64 MiB */
        bl_us dialog_idle; /* 0 = 12 h */
        unsigned shards;   /* locks: 1 for a UA's small table, 0 = 64 */
};
struct bl_sticky *
bl_sticky_new(const struct bl_sticky_conf *conf); /* NULL without memory; starts (nearly) at zero allocation */
void bl_sticky_free(struct bl_sticky *t);         /* accepts NULL; no other thread may use it */

/* A flow must be added before anything is bound to it. `ours`: we opened it. 0, BL_ENOMEM. */
int bl_sticky_flow_add(struct bl_sticky *t, bl_flow_id flow, enum bl_tp tp, const struct bl_addr *remote, bool ours);
/* The far end of a flow that we accepted listens at this port of its address: the flow's own port may be chance. */
void bl_sticky_flow_listens(struct bl_sticky *t, bl_flow_id flow, uint16_t port);
/* The flow is gone. keep_until 0: its bindings go with it. Else they stay, out of every answer, until then: waiting for
 * _flow_move. */
void bl_sticky_flow_down(struct bl_sticky *t, bl_flow_id flow, bl_us keep_until);
/* All bindings of `from` (down and kept, or alive) now belong to `to`, which must have been added. BL_ENOENT when
 * nothing is kept. */
int bl_sticky_flow_move(struct bl_sticky *t, bl_flow_id from, bl_flow_id to);
/* The newest kept flow (down, not expired) that had a DOMAIN or CERT binding of this host and this far-end IP (NULL:
 * whichever): 0, BL_ENOENT. */
int bl_sticky_flow_orphan(struct bl_sticky *t, struct bl_str host, const struct bl_addr *source, bl_us now,
                          bl_flow_id *ret_flow);

struct bl_bind {
        struct bl_uri uri; /* copied */
        bl_flow_id flow;
        enum bl_bind_kind kind;
        bool secure;      /* flow is TLS: sip and sips forms bind alike */
        bl_us expires_at; /* 0 = by kind: DIALOG idle rule, others with the flow */
        uint64_t dialog;  /* DIALOG: hash of the Call-ID, so that the dialog's end finds all of them; else 0 */
        bool confirmed;   /* by a 2xx: counts for the order among equals */
};
/*
 * Binds, or refreshes when (uri, flow) is bound already; `confirmed` confirms either way. A refresh takes over kind,
 * expiry and dialog, but a DOMAIN over another kind only confirms: a 2xx towards a URI says nothing about how long a
 * registration or a dialog lives. URI headers do not count. One URI is bound to at most 1,024 flows: then the one
 * confirmed longest ago goes.
 *
 * 0; BL_ENOMEM: budget spent and nothing evictable (DIALOG bindings are, longest idle first); BL_EGONE: flow unknown or
 * down; BL_EINVAL: neither sip nor sips, or a parameter given twice; BL_ELIMIT: over 700 octets or 16 parameters.
 */
int bl_sticky_bind(struct bl_sticky *t, const struct bl_bind *b, bl_us now);
void bl_sticky_unbind(struct bl_sticky *t, const struct bl_uri *uri,
                      bl_flow_id flow); /* exact; flow 0 = from whichever */
void bl_sticky_end_dialog(struct bl_sticky *t, uint64_t dialog);

struct bl_sticky_found {
        bl_flow_id flow;
        uint8_t rank; /* 1 exact, 2 equivalent, 3 domain */
        uint8_t kind;
        bool ours;
        enum bl_tp tp;
        struct bl_addr remote;
        uint16_t listens; /* bl_sticky_flow_listens; 0 unknown */
};
struct bl_sticky_query {
        struct bl_uri uri;
        unsigned worker;  /* its flows first among candidates equal in rank and far end */
        uint64_t spread;  /* hash of the Call-ID: rendezvous among equals of URIs without user part */
        uint8_t max_rank; /* 2: never by domain alone (towards a UA); 0 = 3 */
};
/*
 * The candidates in order of preference: rank, then among equals as section 3.1 says.
 *   With user part: the flow most recently confirmed for a URI that matches, then the newer flow.
 *   Without, and in rank 3, where what matches is a domain: rendezvous of `spread` and the far end (its port only where
 *   we opened the flow); hop/ re-orders by RFC 3263.
 * Flows with one far end come together, those of `worker` first. Each flow once, at its best rank. Touches the exact
 * binding's idle time. Weighs at most 256 flows per rank.
 */
unsigned bl_sticky_find(struct bl_sticky *t, const struct bl_sticky_query *q, bl_us now,
                        struct bl_sticky_found ret[BL_STICKY_MAX]);
/* The flows that have a DOMAIN or CERT binding of this host and whose far end is this address (the port counts where we
 * opened the flow and `at` has one): what is left of rank 3 once RFC 3263 has said where the host is. */
unsigned bl_sticky_find_at(struct bl_sticky *t, struct bl_str host, const struct bl_addr *at, unsigned worker,
                           bl_us now, struct bl_sticky_found ret[BL_STICKY_MAX]);
/* URIs bound to a flow, one at a time for views and "is P bound to this flow?": true when `uri` is bound (exactly, or
 * with rank 2 when `equivalent`) to `flow`, as of the last bind or expire. */
bool bl_sticky_is_bound(struct bl_sticky *t, const struct bl_uri *uri, bl_flow_id flow, bool equivalent);

/* Removes what has expired and what was bound to flows that are gone, at most 256 entries looked at a call; returns
 * when to call again, never later than in a minute. (find does not wait for it: what has expired is in no answer.) */
bl_us bl_sticky_expire(struct bl_sticky *t, bl_us now);

struct bl_sticky_stats {
        size_t bindings, flows, octets; /* bindings: those not yet reclaimed included */
        uint64_t evicted;
};
void bl_sticky_get_stats(struct bl_sticky *t, struct bl_sticky_stats *ret_stats);
struct bl_sticky_row {
        char uri[512];
        size_t uri_len;
        bl_flow_id flow;
        enum bl_bind_kind kind;
        bl_us expires_at, confirmed_at;
        enum bl_tp tp;
        struct bl_addr remote;
        bool down;
};
/* A cursor over all bindings, not a snapshot: start with *cursor = 0; returns rows written (0 = end). */
unsigned bl_sticky_rows(struct bl_sticky *t, uint64_t *cursor, struct bl_sticky_row *ret_rows, unsigned max);
