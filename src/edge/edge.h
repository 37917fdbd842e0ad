/*
 * The edge role (protocol.md sections 2 to 6): UAs open flows to it, it can open none to them. Nothing is replicated:
 * all it knows of its cluster is configuration and the cluster key.
 *
 *   struct bl_edge_node   one per node: configuration, keys, the stickiness table; shared by the workers, immutable but
 * for the table struct bl_edge        one per worker, over a bl_proxy of its own
 */
#pragma once
#include "auth/token.h"
#include "proxy/proxy.h"

struct bl_edge_member {
        struct bl_str name;
        struct bl_addr addr[2];
        unsigned n_addr; /* IPv4, IPv6; port 0: as our own listeners */
        struct bl_str zone;
};
struct bl_edge_home { /* a home domain that we serve */
        struct bl_str domain;
        bool belay;         /* answers 100 at once, follows redirects: failover_after holds towards it */
        struct bl_str next; /* URI to send to instead of sip:domain (an intermediate); empty: none */
};
struct bl_edge_pin { /* a subscriber, or all of a domain (`*@example.com`), is served by these nodes */
        struct bl_str who;
        const struct bl_str *nodes;
        unsigned n_nodes;
};
struct bl_edge_conf {
        struct bl_str node;    /* our name among the members */
        struct bl_str cluster; /* edge.example.com */
        const struct bl_edge_member *members;
        unsigned n_members; /* all nodes of the cluster, us too */
        const struct bl_edge_home *homes;
        unsigned n_homes; /* the first is the default domain of P */
        const struct bl_token_keys *keys;
        bool sealed;       /* token = sealed */
        unsigned set_size; /* N: primary and backups; 0 = 2 */
        struct bl_str zone;
        const struct bl_edge_pin *pins;
        unsigned n_pins;
        uint32_t flow_timer_s; /* Flow-Timer for outbound UAs; 0 = 120 */
        uint32_t path_grace_s; /* a Path binding outlives its registration by; 0 = 30 */
        const struct bl_str *redirect_ok;
        unsigned n_redirect_ok;     /* domains of upstreams that understand section 3.4 without ;sticky in Via */
        struct bl_proxy_conf proxy; /* listeners, trust, static map, timers. node, sent_by, via_extra, own, role_name
                                       are filled in by us */
};
struct bl_edge_node;
struct bl_edge;

/* conf and all it points to are borrowed for life. NULL and ret_error (>= 200 octets: what, where, what to do) for a
 * configuration that cannot work. */
struct bl_edge_node *bl_edge_node_new(const struct bl_edge_conf *conf, unsigned workers, uint64_t hash_seed,
                                      char *ret_error, size_t error_cap);
void bl_edge_node_free(struct bl_edge_node *n); /* after its workers */
struct bl_sticky *bl_edge_node_sticky(struct bl_edge_node *n);
struct bl_edge *bl_edge_new(struct env *env, struct bl_edge_node *n); /* one per worker; NULL without memory */
void bl_edge_free(struct bl_edge *e);
/* What `proxy.flow.trust` is from now on for this worker, in its turn; names are borrowed until the next call, the
 * fellow edges are added. 0; or BL_ENOMEM and nothing changed. */
int bl_edge_set_trust(struct bl_edge *e, const struct bl_trust *trust, unsigned n) BL_MUSTCHECK;
struct bl_proxy *bl_edge_proxy(struct bl_edge *e); /* for bl_flows_join, views, tests */
/*
 * Draining (section 5), in each worker: no new set has us in it; UAs that know discovery are sent to other edges at
 * their next refresh; what is left after deadline_ms is closed. Again: another deadline. bl_edge_bindings tells what is
 * left.
 */
void bl_edge_drain(struct bl_edge *e, uint32_t deadline_ms);
void bl_edge_drain_cancel(struct bl_edge *e);
bool bl_edge_draining(const struct bl_edge *e, bl_us *ret_until);
size_t bl_edge_bindings(const struct bl_edge *e); /* P's bound to flows of this worker */
