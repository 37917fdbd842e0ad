/*
 * Flows above raw octets (RFC 5626): stream framing, keep-alives on both sides (CRLF, STUN), limits, and the domains a
 * flow is linked to (protocol.md section 3.2). One bl_flows per worker; it owns the env's events up, data, writable and
 * down.
 *
 * A struct bl_flow belongs to its worker. Another worker knows only the handle: it may send to it and watch it; both
 * cross by post.
 */
#pragma once
#include "base/hash.h"
#include "base/list.h"
#include "env/env.h"
#include "sip/frame.h"
#include "sip/msg.h"

struct bl_flows;
struct bl_flow_stun;   /* private */
struct bl_cross;       /* private: what travels between workers */
struct bl_flow_domain; /* private: a link */

enum bl_flow_state {
        BL_FLOW_OPENING, /* asked for; nothing can be sent yet */
        BL_FLOW_UP,
        BL_FLOW_DOWN /* closed by either side; only its `down` is still to come, or under way */
};
enum bl_link_why {
        BL_LINK_CERT,
        BL_LINK_TRUST /* configured range */,
        BL_LINK_MEMBER,
        BL_LINK_OPENED /* we opened it to that name */
};

struct bl_flow { /* read-only outside flow/ but for user and pins */
        bl_flow_id id;
        enum bl_flow_state state : 8;
        enum bl_tp tp : 8;
        bool ours;  /* we opened it */
        bool _asks; /* bl_flow_ask_known */
        uint16_t listener;
        struct bl_addr local, remote;
        bl_us up_at, heard_at; /* up_at: 0 = never was; heard_at: last octet received */
        void *user;            /* the role's */
        uint32_t pins;         /* > 0: an idle UDP flow is not closed (something is bound to it) */
        /* private */
        struct bl_flow_domain *_wanted; /* opened over TLS: what its certificate must prove before it is up */
        uint32_t _in_len, _in_cap;      /* octets of an unfinished message; _in is NULL when there are none */
        char *_in;
        bl_us _partial_at; /* since when half a message lies in _in; 0: it does not */
        struct bl_frame_state _frame;
        int _why; /* of our own close, for `down` */
        struct bl_flows *_flows;
        struct bl_hnode _node;
        struct bl_link _all, _watchers, _links;
        struct bl_timer _idle, _ping;
        struct bl_cross *_remote; /* workers that want to know of its end */
        bl_us _ping_sent;         /* 0: no answer is awaited */
        uint32_t _ping_every_ms, _ping_wait_ms;
        struct bl_flow_stun *_stun; /* UDP: what STUN has told; NULL: nothing yet */
};

struct bl_listener_info { /* of this node, same order as the world's listeners */
        enum bl_tp tp;
        struct bl_addr local;
        bool ua_side;            /* UAs come here; else the core side */
        struct bl_str advertise; /* host to name in URIs when not `local` */
};
struct bl_trust { /* a configured link: far ends in `net` are `domain` */
        struct bl_str domain;
        struct bl_net net;
        enum bl_link_why why;
};
struct bl_flows_conf {
        size_t max_message;      /* 0 = BL_MSG_MAX */
        uint32_t max_flows;      /* of a worker: over it idle UDP flows make way, else nothing is accepted; 0 = 2^20 */
        uint32_t udp_idle_ms;    /* an unpinned accepted UDP flow is forgotten after; 0 = 180 s */
        uint32_t stream_idle_ms; /* an accepted stream without any octet is closed after; 0 = 1 h */
        uint32_t partial_ms;     /* half a message held open: closed after; 0 = 30 s */
        const struct bl_listener_info *listeners;
        unsigned n_listeners; /* borrowed for the node's life */
        const struct bl_trust *trust;
        unsigned n_trust;
};
struct bl_flows_user { /* flow -> txn and hop; ctx is given at bl_flows_new */
        void (*message)(void *ctx, struct bl_flow *, struct bl_msg *);
        /* does not parse; err->partial may let a 4xx be answered. On a stream the flow is closed after return when
         * `fatal`. */
        void (*garbage)(void *ctx, struct bl_flow *, const struct bl_parse_error *err, bool fatal);
        void (*up)(void *ctx, struct bl_flow *);
        /* Once for each flow, also for one that never came up; before the watchers are told. Gone after return. */
        void (*down)(void *ctx, struct bl_flow *, int why);
        void (*pong)(void *ctx, struct bl_flow *); /* our ping was answered (CRLF or STUN) */
        /* A message that another worker passed on (bl_flow_pass): `from` is most likely a flow of that worker. `m`
         * until return. */
        void (*stray)(void *ctx, bl_flow_id from, struct bl_msg *m);
        void (*turn)(void *ctx);
}; /* each may be NULL but message */
/* Sets env->ev and env->core. What conf points to is borrowed for life, `user` is copied. NULL without memory. */
struct bl_flows *bl_flows_new(struct env *env, const struct bl_flows_conf *conf, const struct bl_flows_user *user,
                              void *ctx);
/* Closes all; `down` (why 0) is called for each. Workers of one node: stop all before the first is freed. Accepts NULL.
 */
void bl_flows_free(struct bl_flows *fs);
/* What `trust` is from now on, borrowed until the next call. A flow that it takes for other domains than before closes,
 * for what its far end may do was decided when it came up; peers come again. Looks at each flow once, in this turn,
 * when the list is another one. */
void bl_flows_set_trust(struct bl_flows *fs, const struct bl_trust *trust, unsigned n);
size_t bl_flows_count(const struct bl_flows *fs);
/* Own flows, oldest first; NULL starts, NULL ends. The one given must still be alive. For views and draining. */
struct bl_flow *bl_flows_next(const struct bl_flows *fs, const struct bl_flow *after);
struct env *bl_flows_env(struct bl_flows *fs);
const struct bl_flows_conf *bl_flows_get_conf(const struct bl_flows *fs); /* hop/ opens from our listeners' addresses */
struct bl_arena *bl_flows_arena(struct bl_flows *fs); /* the event's arena: reset after each message */
/* Wires the `bl_flows` of all workers of one node together, once, before the worlds start: element i is worker i's.
 * Without it other workers' flows are unknown (BL_EGONE). */
void bl_flows_join(struct bl_flows *const *all, unsigned n);

struct bl_flow *bl_flow_get(struct bl_flows *fs, bl_flow_id id); /* own worker's, alive or opening; NULL otherwise */
/* 0, and `up` or `down` follows; BL_ENOMEM, BL_ELIMIT, -errno from the world: then nothing follows. Over TLS the name
 * (sni) is what the far end must prove: BL_EINVAL without one. */
int bl_flow_open(struct bl_flows *fs, const struct bl_target *to, struct bl_flow **ret_flow);
/* No message comes from it any more and nothing can be sent; `down` follows in a later event. Twice is fine. */
void bl_flow_close(struct bl_flow *f, bool drain);
/*
 * Sends on any flow of this node. Own worker: the result at once (0, BL_EFULL, BL_EGONE). Another worker's: 0, octets
 * cross by post; if the flow is gone there or takes no more (BL_EFULL), the watchers here are told, by `down` with that
 * reason. BL_ENOMEM. Takes no reference from the caller. Never queued on an opening flow: BL_EPENDING.
 */
int bl_flow_send(struct bl_flows *fs, bl_flow_id id, struct bl_buf *buf);

struct bl_watch { /* embedded in whoever waits for a flow; zeroed = not watching */
        struct bl_link _link;
        void (*up)(struct bl_watch *, struct bl_flow *);      /* opening -> up; may be NULL; own flows only */
        void (*down)(struct bl_watch *, bl_flow_id, int why); /* already unwatched; may be NULL */
};
/* Own worker's or another's. 0; BL_EGONE when it is known to be gone, BL_ENOMEM (then no callback). A watched UDP flow
 * is not closed for being idle. */
int bl_flow_watch(struct bl_flows *fs, bl_flow_id id, struct bl_watch *w);
void bl_flow_unwatch(struct bl_watch *w); /* accepts one that does not watch */

/*
 * Links: which domains the far end is known to be. At most BL_FLOW_LINKS.
 *
 * Over TLS only its certificate says so, when the chain verifies (RFC 5922 section 7: URI SANs "sip:D", else DNS SANs,
 * the CN only without any SAN, no wildcards): neither `trust` nor our own open does. A secure flow that we opened
 * proves target.sni before it is up: else it closes with BL_EAUTH, nothing was sent, and its user hears `down` only.
 * An accepted one needs no certificate; with a bad one it is closed likewise, but on listeners where UAs come it is
 * a flow without links. Both are logged as tls_refused and counted.
 *
 * Without TLS: from `trust`, or by bl_flow_link.
 */
enum { BL_FLOW_LINKS = 64 };
bool bl_flow_proven(const struct bl_flow *f);                       /* by a certificate, whichever domain */
bool bl_flow_proves(const struct bl_flow *f, struct bl_str domain); /* that one */
bool bl_flow_linked(const struct bl_flow *f, struct bl_str domain);
bool bl_flow_is_linked(const struct bl_flow *f); /* to any domain */
/* Copied; linking twice is fine. 0, BL_EINVAL (no domain), BL_ELIMIT, BL_ENOMEM. */
int bl_flow_link(struct bl_flow *f, struct bl_str domain, enum bl_link_why why);
/* The next link's domain, empty at the end; *cursor starts with NULL. ret_why may be NULL. */
struct bl_str bl_flow_link_next(const struct bl_flow *f, const void **cursor, enum bl_link_why *ret_why);

/*
 * Keep-alive as client: double CRLF on streams, STUN on UDP, the first at once, then every `every_ms`; when nothing at
 * all is heard for `wait_ms` after one, the flow is closed (why BL_ETIMEOUT). 0 stops. Called again: starts anew, but
 * an answer that is due already stays due. On an opening flow it starts when that is up.
 */
void bl_flow_keepalive(struct bl_flow *f, uint32_t every_ms, uint32_t wait_ms);
/* Over UDP the pings from now on ask the far end, if it is belay, whether it still knows this flow: when it has
 * forgotten it, because it restarted or took us for dead, the flow is closed (BL_EGONE), for what was bound there is
 * gone. For UAs: between proxies a flow binds nothing that the next request would not bind again. */
void bl_flow_ask_known(struct bl_flow *f);
/* One ping now, unless an answer is awaited already; nothing heard for `wait_ms`: closed as above. Whoever keeps the
 * flow alive goes on doing so. Only on a flow that is up. */
void bl_flow_probe(struct bl_flow *f, uint32_t wait_ms);
/* Somebody keeps it alive: its far end is known to answer pings. */
static inline bool bl_flow_kept_alive(const struct bl_flow *f)
{
        return f->_ping_every_ms != 0;
}

/* Hands a copy of `m`, which came by the flow `from`, to another worker, whose `stray` gets it. Lost without memory. */
void bl_flow_pass(struct bl_flows *fs, unsigned worker, bl_flow_id from, const struct bl_msg *m);
