/*
 * The seam between the protocol core and a world. Two worlds implement it: io/ (sockets, DNS, threads) and sim/ (a
 * virtual network and clock, seeded). One struct env is one worker of one node; the core runs in that worker's thread
 * only.
 *
 * Rules
 *   - No call of env_ops re-enters the core: up, down, data, query results and timers arrive as later events of the
 *     same worker. So a caller may hold pointers across a call.
 *   - Nothing passed in is kept unless the contract says so.
 *   - `now` is constant within a turn (one batch of events, ended by the `turn` event).
 *   - Pointer values and hash order decide nothing: the same seed gives the same run in the simulator.
 *
 * A flow (RFC 5626 section 1: a connection, or a UDP 5-tuple) is named by a handle: worker:8 | slot:24 | generation:32.
 * A stale handle is recognised (BL_EGONE), never followed. A UDP peer that sends to a listener becomes an accepted flow
 * at its first datagram (event `up`, user NULL, then `data`); the world keeps the table from 5-tuples to handles.
 */
#pragma once
#include "base/base.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/stats.h"
#include "base/wheel.h"

struct env;
typedef uint64_t bl_flow_id; /* 0 = none */

static inline unsigned bl_flow_worker(bl_flow_id f)
{
        return (unsigned)(f >> 56);
}
static inline uint32_t bl_flow_slot(bl_flow_id f)
{
        return (uint32_t)(f >> 32) & 0xffffffu;
}
static inline uint32_t bl_flow_gen(bl_flow_id f)
{
        return (uint32_t)f;
}
static inline bl_flow_id bl_flow_make(unsigned worker, uint32_t slot, uint32_t gen)
{
        return (uint64_t)worker << 56 | (uint64_t)(slot & 0xffffffu) << 32 | gen;
}

enum { BL_LISTENER_NONE = 0xffff };

struct bl_target { /* where to open a flow */
        enum bl_tp tp;
        struct bl_addr to;
        struct bl_str
                sni; /* the name to ask for (secure transports; a numeric host is not asked for); kept by the world */
        uint16_t listener; /* whose local address and identity to use, BL_LISTENER_NONE = any */
};

struct bl_peer { /* who is at the other end; valid during the event only */
        enum bl_tp tp;
        struct bl_addr local, remote;
        uint16_t listener; /* that accepted it (index into the node's listeners), or BL_LISTENER_NONE */
        const struct bl_str *uri_san,
                *dns_san; /* from the far end's certificate; what they prove is flow/'s business */
        uint16_t n_uri, n_dns;
        struct bl_str cn; /* of its subject; counts only without any SAN (RFC 5922 section 7.1) */
        /* Secure transports: what the world found about its certificate chain, dates included; names are flow/'s
         * business. 0: it verifies. BL_ENOENT: it showed none. BL_EPROTO: it does not verify, chain_text says why
         * ("expired", "the issuer is unknown"); what it claims to be still stands in the names, for the log. */
        int chain;
        struct bl_str chain_text;
        struct bl_str asked; /* accepted: the server name it asked for (SNI), or empty */
        bool resumed;        /* by a session ticket; the chain was verified again all the same */
};

struct bl_rr { /* one record of an answer */
        uint16_t type, prio, weight, port;
        uint32_t ttl;
        struct bl_str name, flags, service;
        struct bl_addr addr;
};
enum bl_rr_type { BL_RR_A = 1, BL_RR_AAAA = 28, BL_RR_SRV = 33, BL_RR_NAPTR = 35 };

struct bl_query {           /* embedded in its owner. One RRset, no policy: RFC 3263 is hop/'s */
        struct bl_str name; /* must outlive the query */
        uint16_t type;
        /* rc 0: n records (0 records: the name has none; neg_ttl says how long that holds); < 0: BL_ENOENT (no such
         * name), BL_ETIMEOUT, BL_EREFUSED. rr lives until return. */
        void (*done)(struct bl_query *, int rc, const struct bl_rr *rr, unsigned n, uint32_t neg_ttl);
        void *_world; /* non-NULL while under way */
};

struct bl_post { /* a message to another worker; embedded in its owner, which travels with it */
        struct bl_post *_next;
        void (*run)(struct bl_post *, struct env *dst); /* in the thread of dst */
};

struct env_events { /* world -> core; `core` is env->core, `user` what open or set_user gave */
        void (*up)(struct env *, bl_flow_id, const struct bl_peer *, void *user); /* accepted: user == NULL */
        /* octets live until return. A datagram is one whole datagram. */
        void (*data)(struct env *, bl_flow_id, void *user, struct bl_str octets, bool datagram);
        void (*writable)(struct env *, bl_flow_id, void *user); /* room again after BL_EFULL */
        /* Exactly once per handle, also after close and for an open that failed. why: -errno, BL_EGONE (closed by the
         * far end), 0 (closed by us). The handle is stale from here on. */
        void (*down)(struct env *, bl_flow_id, void *user, int why);
        void (*turn)(struct env *); /* last in a turn: deferred work; then the world flushes what was sent */
};

struct env_ops { /* core -> world */
        /* Starts to open a flow; then up or down follows, both with `user`. UDP: a connected socket with a port of its
         * own (its `up` comes at once, in a later event of the same turn). 0, or BL_ELIMIT, BL_ENOMEM, -errno: then no
         * event. */
        int (*open)(struct env *, const struct bl_target *, void *user, bl_flow_id *ret_flow);
        /* Queues one whole message; takes a reference of its own. Only on flows that are up, only of this worker.
         * 0, BL_EFULL (256 KiB queued; writable will follow), BL_EGONE. A UDP flow whose peer is reported unreachable
         * (ICMP) goes down. */
        int (*send)(struct env *, bl_flow_id, struct bl_buf *);
        void (*set_user)(struct env *, bl_flow_id, void *user);
        void (*pause)(struct env *, bl_flow_id, bool stop); /* stop reading: backpressure */
        void (*close)(struct env *, bl_flow_id,
                      bool drain); /* drain: after what is queued; down(why 0) follows. Stale: no-op */
        void (*arm)(struct env *, struct bl_timer *, bl_us at);
        void (*disarm)(struct env *, struct bl_timer *);
        void (*query)(struct env *, struct bl_query *);  /* done never runs inside this call */
        void (*cancel)(struct env *, struct bl_query *); /* done will not run */
        void (*random)(struct env *, void *, size_t);
        /* Hands `p` to another worker of this node; takes; FIFO per pair; any thread (then `from` is any env of the
         * node). */
        void (*post)(struct env *from, unsigned worker, struct bl_post *p);
};

struct env {
        const struct env_ops *ops;
        const struct env_events *ev; /* set by the core before the world starts */
        void *core, *world;
        bl_us now;
        int64_t wall; /* Unix seconds: nonces, stored expiry, logs; never timers */
        uint16_t worker, workers;
        uint64_t hash_seed;   /* random per process, fixed in the simulator */
        struct bl_pool *pool; /* this worker's */
        struct bl_log *log;
        struct bl_stats *stats;
};

static inline int env_send(struct env *e, bl_flow_id f, struct bl_buf *b)
{
        return e->ops->send(e, f, b);
}
static inline void env_arm(struct env *e, struct bl_timer *t, bl_us at)
{
        e->ops->arm(e, t, at);
}
static inline void env_arm_in(struct env *e, struct bl_timer *t, bl_us delay)
{
        e->ops->arm(e, t, e->now + delay);
}
static inline void env_disarm(struct env *e, struct bl_timer *t)
{
        e->ops->disarm(e, t);
}
