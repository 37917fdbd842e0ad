/*
 * What the files of hop/ know of each other.
 *
 *   hop.c     the flows: records, opening, re-opening, what flow_up and flow_down mean for the table
 *   failed.c  targets that failed lately
 *   cache.c   RRsets by (name, type), with their waiters
 *   resolve.c RFC 3263 over the static map and the cache
 *   choose.c  candidates of one URI, in order (protocol.md section 3.1)
 *   learn.c   what may be bound, and what a 2xx teaches (3.2)
 *   send.c    a request's journey: its life and timers; walk.c  its walk over candidates
 *   answer.c  what a response means for that journey (section 5)
 *   redirect.c  a 305's targets (3.4)
 */
#pragma once
#include "hop/send.h"

enum {
        HOP_FAILED_MAX = 512,  /* targets remembered as failed */
        HOP_CACHE_MAX = 1024,  /* RRsets */
        HOP_RRS_MAX = 16,      /* records kept of one RRset */
        HOP_NAME_MAX = 255,    /* a domain name's text, RFC 1035 section 2.3.4 */
        HOP_CANDS_MAX = 16,    /* candidates of one URI */
        HOP_PATH_GRACE_S = 30, /* a Path binding outlives its registration by */
};

struct hop_counters {
        struct bl_counter *opens, *open_failed, *reopened;
        struct bl_counter *tries, *rounds;
        struct bl_counter *next_transport, *next_430, *next_503, *next_silence, *next_redirect;
        struct bl_counter *redirect_unlinked, *redirect_changed;
        struct bl_counter *bind_unlinked, *bind_own;
        struct bl_counter *queries, *query_failed;
};

struct hop_name { /* a configured domain: ours, or the first of its entries in the static map */
        struct bl_hnode node;
        struct bl_str host;
        unsigned at;           /* map: index of the entry */
        struct hop_name *next; /* map: further entries of the same host, in order */
};

struct bl_hops {
        struct bl_txns *txns;
        struct bl_flows *flows;
        struct env *env;
        struct bl_sticky *sticky;
        struct bl_hops_conf conf;        /* defaults filled in */
        struct bl_htab by_id, by_target; /* struct hop_flow */
        struct bl_htab failed;
        struct bl_link failed_old; /* oldest first */
        struct bl_htab cache;
        struct bl_link cache_old; /* least recently used first; not those under way */
        unsigned n_cache;
        struct bl_htab own, map;
        struct hop_name *own_names, *map_names; /* what the two tables hold */
        struct bl_link sends, resolving;
        struct bl_timer sweep;
        struct hop_counters count;
};

/* ---- hop.c ---- */

/* What hop/ knows of a flow beyond flow/: made for flows that we open, and for those that taught us something. */
enum hop_flow_state {
        HOP_FLOW_OPENING, /* up or down will follow */
        HOP_FLOW_UP,
        HOP_FLOW_PROVING, /* re-opened over UDP, where up says nothing: kept bindings wait for the first pong */
        HOP_FLOW_WAITING, /* closed with bindings kept; the next attempt when `timer` fires; id is 0 */
};
struct hop_flow {
        struct bl_hnode by_id, by_target;
        struct bl_hops *hops;
        bl_flow_id id;
        bl_flow_id kept; /* the closed flow whose bindings wait for this one; 0 none */
        enum hop_flow_state state;
        enum bl_tp tp;
        struct bl_addr addr;
        bool ours;        /* in by_target */
        bool added;       /* the table knows it */
        bool belay;       /* understands redirects, answers 100 at once and our pings */
        bool pinging;     /* keep-alive runs for good */
        uint16_t listens; /* what the table was told */
        uint8_t attempts;
        struct bl_timer timer;
        bl_us keep_until;
        bl_us suspect_at;   /* silent then: avoided until heard again; 0 = not */
        bl_us avoid_until;  /* it said 503 with Retry-After */
        struct bl_str bind; /* to bind when it comes up; pool memory, or empty */
        uint16_t host_len;
        char host[]; /* the name it was opened to */
};
struct hop_flow *hop_flow_of(struct bl_hops *h, bl_flow_id id); /* NULL: nothing is known */
/* The flow that we opened to that target by that name and that is up or opening; NULL. */
struct hop_flow *hop_flow_to(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr, struct bl_str host);
/* Opens it, or finds it opening or up unless `fresh`. `bind`: URI text to bind to it once up, or empty. 0, or why the
 * world refused. */
int hop_flow_open(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr, struct bl_str host, struct bl_str bind,
                  bool fresh, struct hop_flow **ret_hf);
/* The flow is up: into the table, linked, bound; idempotent, because watchers may hear of it before the owner does. */
void hop_flow_ready(struct bl_hops *h, struct bl_flow *f);
void hop_flow_learn_belay(struct bl_hops *h, struct bl_flow *f);
/* From the sent-by of what came by a linked flow: there the far end takes UDP and, so RFC 3261 section 18.2.1, TCP. */
void hop_flow_learn_sent_by(struct bl_hops *h, const struct bl_flow *f, uint16_t port);
void hop_flow_suspect(struct bl_hops *h, bl_flow_id id); /* silent: avoided, and probed */
void hop_flow_check(struct bl_hops *h, bl_flow_id id);   /* an answer is awaited by it: is the far end still there? */
void hop_flow_avoid(struct bl_hops *h, bl_flow_id id, uint32_t seconds);
bool hop_flow_avoided(struct bl_hops *h, bl_flow_id id);
void hop_flow_heard(struct bl_hops *h, bl_flow_id id); /* a response came by it */
bool hop_flow_belay(struct bl_hops *h, bl_flow_id id);
uint16_t hop_listener(const struct bl_hops *h, enum bl_tp tp, const struct bl_addr *to); /* to open from */
bool hop_is_own(const struct bl_hops *h, struct bl_str host);
uint64_t hop_host_hash(const struct bl_hops *h, struct bl_str host);
struct bl_str hop_pool_str(struct bl_hops *h, struct bl_str s); /* empty without memory */
void hop_pool_unstr(struct bl_hops *h, struct bl_str *s);

/* ---- failed.c ---- */
/* Port 0: whatever stands at that address, as when a flow from there broke, whose port was chance. */
void hop_failed_mark(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr);
void hop_failed_clear(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr);
bool hop_failed_is(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr);
void hop_failed_sweep(struct bl_hops *h);
void hop_failed_fini(struct bl_hops *h);

/* ---- cache.c ---- */
struct hop_rr {
        struct bl_addr addr;         /* A, AAAA */
        struct bl_str target;        /* SRV; NAPTR: the name of the SRV records */
        uint16_t prio, weight, port; /* NAPTR: order, preference */
        enum bl_tp tp;               /* NAPTR: of its service; others are not kept */
};
struct hop_rrset {
        int rc; /* 0, also when there are no records; < 0 as bl_query */
        unsigned n;
        const struct hop_rr *rr;
};
struct hop_wait { /* embedded in who waits for an RRset; zeroed = not waiting */
        struct bl_link link;
        void (*ready)(struct hop_wait *);
        void *owner;
};
/*
 * The RRset, valid until the next call: 0 and *ret_set when it is cached (or was answered at `since` or later, whatever
 * its TTL). Else asks (or joins who asked): BL_EPENDING and w->ready later, never inside this call; with w NULL nothing
 * is awaited. BL_ELIMIT, BL_ENOMEM: cannot ask.
 */
int hop_cache_get(struct bl_hops *h, struct bl_str name, enum bl_rr_type type, bl_us since, struct hop_wait *w,
                  struct hop_rrset *ret_set);
void hop_cache_unwait(struct hop_wait *w);
void hop_cache_sweep(struct bl_hops *h);
void hop_cache_fini(struct bl_hops *h);

/* ---- resolve.c ---- */
/* As bl_resolve; equal targets are ordered by rendezvous on `spread`. */
int hop_resolve(struct bl_hops *h, struct bl_resolve *r, const struct bl_uri *uri, bool use_maddr, uint64_t spread,
                struct bl_target ret[BL_HOP_TARGETS]);
/* The static map's entry for a node of the cluster `host`; for the i-th node when `node` is empty. */
const struct bl_static_route *hop_map_node(const struct bl_hops *h, struct bl_str host, struct bl_str node, unsigned i);
/* The entry of that host with that IP, node or not; NULL. */
const struct bl_static_route *hop_map_at(const struct bl_hops *h, struct bl_str host, const struct bl_addr *addr);
void hop_resolve_fini(struct bl_hops *h);

/* ---- choose.c ---- */
struct hop_cand {
        bl_flow_id flow; /* 0: open to tp, addr */
        enum bl_tp tp;
        struct bl_addr addr;
        uint8_t rank; /* 1..3; 4 open */
        uint8_t kind; /* ranks 1 to 3: enum bl_bind_kind */
        bool ours;
        uint16_t listens; /* the far end of an accepted flow does, at this port; 0 unknown */
};
struct hop_list {
        unsigned n, at; /* at: the next one to try */
        struct hop_cand c[HOP_CANDS_MAX];
};
struct hop_choice { /* what the choice depends on */
        struct bl_uri u;
        unsigned flags; /* bl_send_flags */
        bl_flow_id not_flow;
        uint64_t spread;
        uint32_t octets;
        bool maddr; /* u's counts: a flow to that node only */
};
/* Ranks 1 and 2. Returns with *list filled; empty = nothing bound. */
void hop_choose_bound(struct bl_hops *h, const struct hop_choice *w, struct hop_list *list);
/* Ranks 3 and 4, with what RFC 3263 gave (n may be 0); then what hop_choose_bound left out. */
void hop_choose_rest(struct bl_hops *h, const struct hop_choice *w, const struct bl_target *t, unsigned n,
                     struct hop_list *list);

/* ---- learn.c ---- */
bool hop_linked(struct bl_hops *h, bl_flow_id id, struct bl_str host); /* any worker's flow */
/* Binds what a 2xx to a request towards u confirmed (`response`), or our own open (NULL): guarded. */
void hop_learn_u(struct bl_hops *h, bl_flow_id id, enum bl_tp tp, const struct bl_uri *u,
                 const struct bl_msg *response);
/* A redirect or a 430 unbinds u, and u without `d`, from that flow. */
void hop_unlearn_u(struct bl_hops *h, bl_flow_id id, const struct bl_uri *u);
/* u without its `d` into buf: 0, BL_ENOENT when it has none. */
int hop_without_d(const struct bl_uri *u, char *buf, size_t cap, struct bl_uri *ret_uri);

/* ---- send.c ---- */
void hop_send_fini(struct bl_hops *h); /* all that still live, without a word */
