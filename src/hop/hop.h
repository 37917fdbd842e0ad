/*
 * The next hop: which flow a request leaves by (protocol.md section 3.1), opened by RFC 3263 when there is none, and
 * what a 2xx teaches (3.2). One bl_hops per worker over the node's shared stickiness table.
 */
#pragma once
#include "sticky/sticky.h"
#include "txn/txn.h"

struct bl_hops;

struct bl_static_route {    /* the static map: for clients and nodes without DNS (requirement 6) */
        struct bl_str host; /* domain or host name */
        struct bl_str node; /* empty, or this entry is the address of that node of the cluster (adds nothing to routing
                               by name) */
        enum bl_tp tp;
        struct bl_addr addr; /* several entries of one host: tried in order */
};
struct bl_hops_conf {
        const struct bl_static_route *map;
        unsigned n_map;     /* borrowed for life, or until bl_hops_set_map */
        bool dns;           /* ask DNS where the map is silent */
        bool has_transport; /* a client's: sip URIs without a transport of their own mean `transport` */
        enum bl_tp transport;
        uint32_t keep_bindings_ms;  /* after a flow of ours closed; 0 = 10 s (D6) */
        uint32_t failover_after_ms; /* 0 = 1 s; holds only towards belay (Via ;sticky) or configured neighbours */
        uint32_t failed_target_ms;  /* a target that failed is tried last for; 0 = 10 s */
        uint32_t ping_every_ms,
                ping_wait_ms; /* on flows that we open to proxies; 0 = 5 s, 2 s; every = UINT32_MAX: never */
        const struct bl_str *own;
        unsigned n_own; /* domains that are ours: never bound to a flow (an edge's cluster, a home's domain) */
        bool may_open;  /* default policy; a send can forbid it */
        bool no_reopen; /* a UA recovers its flows and keeps them alive by itself (RFC 5626 sections 4.4, 4.5): bindings
                           go with a closed flow, nothing is re-opened or pinged in the background */
};
struct bl_hops *bl_hops_new(struct bl_txns *txns, struct bl_sticky *sticky, const struct bl_hops_conf *conf);
void bl_hops_free(struct bl_hops *h);
/* What the static map is from now on, borrowed until the next call: for flows yet to be opened, as those that live and
 * what is bound to them go on. 0; or BL_ENOMEM and the old one stays. */
int bl_hops_set_map(struct bl_hops *h, const struct bl_static_route *map, unsigned n) BL_MUSTCHECK;
struct bl_sticky *bl_hops_sticky(struct bl_hops *h);
struct bl_txns *bl_hops_txns(struct bl_hops *h);
/* To be called by the owner from its txns_user: keeps the table true. up: adds the flow, binds its linked domains,
 * adopts orphans of the same domain and source. down: keeps or drops bindings, re-opens in the background what we had
 * opened and still carries bindings. */
void bl_hops_flow_up(struct bl_hops *h, struct bl_flow *f);
void bl_hops_flow_down(struct bl_hops *h, struct bl_flow *f, int why);
/* From the owner's flow_pong: the far end answered our ping. A re-opened UDP flow takes its bindings back only then. */
void bl_hops_flow_pong(struct bl_hops *h, struct bl_flow *f);

/* --- resolving (RFC 3263: static map, numeric host, NAPTR, SRV, A/AAAA; cached by TTL, positive and negative) --- */
enum { BL_HOP_TARGETS = 8 };
struct bl_resolve { /* embedded in its owner */
        void (*done)(struct bl_resolve *, int rc, const struct bl_target *targets,
                     unsigned n); /* in order of preference; sni = the URI's host */
        void *_hops;
        void *_state;
};
/* Results of `uri` (its transport parameter and port count; its maddr only when `use_maddr`). 0: done was or will be
 * called? No: returns n > 0 with targets at once when cached or static, BL_EPENDING (then done later, never inside this
 * call), or < 0: BL_ENOENT no such name, BL_ETIMEOUT. */
int bl_resolve(struct bl_hops *h, struct bl_resolve *r, const struct bl_uri *uri, bool use_maddr,
               struct bl_target ret[BL_HOP_TARGETS]);
void bl_resolve_cancel(struct bl_resolve *r);
/* Is the numeric host of `u` a node of the domain `host`, as far as is known without asking: by the static map, by
 * trust, by DNS's last answer, or because it is the far end of a flow that is linked to the domain? A port other than
 * the usual ones has to be the node's there, too (trust names none). */
bool bl_hop_is_node_of(struct bl_hops *h, const struct bl_uri *u, struct bl_str host);

/* --- learning (section 3.2); all guarded: only if the URI's host is a domain linked to the flow, never our own domains
 * --- */
/* As client, on a 2xx that arrived by `f` for a request sent towards u: binds u (NULL: not; bl_send binds its own u by
 * itself, so its owners pass NULL); with `own` (the URI text we put into Path or Record-Route, or empty for a UA) the
 * top Service-Route (UA) or entry after our own (REGISTER), or the Record-Route value directly above our own / the last
 * for a UA. A proxy that put nothing in does not call this. f NULL (another worker's, or gone): does nothing. */
void bl_hop_learn_client(struct bl_hops *h, struct bl_flow *f, const struct bl_uri *u, const struct bl_msg *response,
                         struct bl_str own);
/* As server, on the 2xx to `req`, which came by `f`: topmost Path (REGISTER, for `expires_s`) or topmost Record-Route.
 */
void bl_hop_learn_server(struct bl_hops *h, struct bl_flow *f, const struct bl_msg *req, uint32_t expires_s);
/* After any final response inside a dialog: 2xx to BYE, 481, 408, terminated subscription end its bindings. */
void bl_hop_learn_end(struct bl_hops *h, const struct bl_msg *req, const struct bl_msg *response);
/* The far end of a flow (of any worker) is known to be belay: it needs no URI that names the transport. */
bool bl_hop_knows_belay(struct bl_hops *h, bl_flow_id flow);
/* What bl_bind.dialog is for a dialog with this Call-ID: equal on all workers of a node. */
uint64_t bl_hop_dialog(const struct bl_hops *h, struct bl_str call_id);
