/*
 * The home role: auth proxy and registrar of its domains (RFC 3261 sections 10, 16, 22; RFC 3327, 3608, 5626 section
 * 6), redirector to the edges (protocol.md section 2), and router from the location store along Path (section 5).
 *
 *   struct bl_home_node   one per node: configuration, keys, store, stickiness table; shared by the workers
 *   struct bl_home        one per worker, over a bl_proxy of its own
 */
#pragma once
#include "auth/digest_server.h"
#include "auth/token.h"
#include "proxy/proxy.h"
#include "store/store.h"

enum bl_home_policy {                             /* a REGISTER that did not come through a valid edge */
                      BL_HOME_REDIRECT,           /* 300 with the edge cluster */
                      BL_HOME_CHALLENGE_REDIRECT, /* authenticate first */
                      BL_HOME_ACCEPT              /* register directly: set-ups without edges */
};
struct bl_home_group {
        struct bl_str group, edge;
};
struct bl_home_domain {
        struct bl_str name;
        enum bl_home_policy policy;
        struct bl_str edge;                 /* cluster to redirect to: edge.example.com; empty only with ACCEPT */
        const struct bl_home_group *groups; /* subscribers of a group are sent to a cluster of their own */
        unsigned n_groups;
        const struct bl_str *edges;
        unsigned n_edges; /* further clusters that count as valid edges */
        const struct bl_str *via;
        unsigned n_via; /* domains of intermediates between edge and home (their Path must still name an edge) */
        bool no_auth;   /* registration and calls without credentials: labs only; logged at start */
};
enum bl_home_calls_in {                    /* which other domains may reach our users */
                        BL_HOME_IN_LISTED, /* those in `peers` */
                        BL_HOME_IN_ANY,    /* those, and whoever proves its domain by certificate */
                        BL_HOME_IN_NONE
};
enum bl_home_calls_out { /* which our users may reach */
                         BL_HOME_OUT_ANY,
                         BL_HOME_OUT_LISTED, /* those in `peers` and `routes` */
                         BL_HOME_OUT_NONE
};
struct bl_home_peer {         /* a peer domain, or a static route */
        struct bl_str domain; /* routes: "*" is any that has none of its own */
        struct bl_str next;   /* URI; empty: sip:domain */
};
struct bl_home_conf {
        struct bl_str node;
        const struct bl_home_domain *domains;
        unsigned n_domains;
        const struct bl_home_peer *peers;
        unsigned n_peers;
        const struct bl_home_peer *routes; /* where to send requests for a domain; it may not call us for that */
        unsigned n_routes;
        enum bl_home_calls_in calls_in;
        enum bl_home_calls_out calls_out;
        const struct bl_token_keys *keys;                         /* this home cluster's: nonces and d */
        uint32_t min_expires_s, max_expires_s, default_expires_s; /* 0: 60, 7200, 3600 */
        uint32_t nonce_lifetime_s;
        enum bl_digest_offer digest;
        struct bl_store *store;
        struct bl_proxy_conf proxy; /* as in edge/edge.h */
};
struct bl_home_node;
struct bl_home;
struct bl_home_node *bl_home_node_new(const struct bl_home_conf *conf, unsigned workers, uint64_t hash_seed,
                                      char *ret_error, size_t error_cap);
void bl_home_node_free(struct bl_home_node *n);
struct bl_sticky *bl_home_node_sticky(struct bl_home_node *n);
struct bl_home *bl_home_new(struct env *env, struct bl_home_node *n);
void bl_home_free(struct bl_home *h);
struct bl_proxy *bl_home_proxy(struct bl_home *h);
