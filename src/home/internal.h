/* Shared by the files of home/ only. */
#pragma once
#include "home/home.h"

struct bl_home_node {
        struct bl_home_conf c; /* with proxy filled in */
        struct bl_sticky *sticky;
        struct bl_txn_index *index;
        struct bl_nonces nonces;
        struct bl_str *own; /* our domains and our name: never bound to a flow */
};
struct bl_home {
        struct env *env;
        struct bl_home_node *node;
        struct bl_proxy *proxy;
        struct bl_timer expire;  /* of the store; worker 0's */
        struct bl_link removals; /* of bindings that a 430 made void, under way in the store */
        struct bl_counter *registered_total, *redirected_total, *challenged_total, *forgotten_total, *rescued_total;
};

/* What waits for the store; in px memory, bl_px_data points to it. */
struct job {
        struct bl_home *home;
        struct bl_px *px;
        const struct bl_home_domain *domain; /* ours, that this is about */
        struct bl_store_op op;
        bool waiting, held;                 /* a store call is under way; px was kept for it */
        bool edge;                          /* came through a valid edge, or need not */
        bool outbound;                      /* RFC 5626 section 6 applies */
        enum bl_tp near;                    /* transport of the flow it came by */
        void (*next)(struct job *, int rc); /* the step that takes the store's result */
        struct bl_digest digest;            /* what home_digest_start found in… */
        const struct bl_msg *digest_of;     /* …this; the message moves when it is kept */
        struct bl_str aor;                  /* user@domain, as the store knows it */
        struct bl_str user;
        struct slot {              /* one target: the bindings behind it, for 430 and for later tries */
                unsigned first, n; /* of `order` */
                unsigned used;
        } slot[16];
        unsigned n_slots;
        uint8_t slot_of[16]; /* of each target of px, by its number */
        unsigned n_targets;
        unsigned *order; /* indices into op.location.c, grouped by target */
};
/* A job for px; NULL when it was answered 503. */
struct job *home_job_new(struct bl_home *h, struct bl_px *px);
/* Runs `next` with the result of a store call: at once, or later with the px held. */
void home_job_wait(struct job *j, int rc, void (*next)(struct job *, int rc));

static const struct bl_str HOME_NONE = {NULL, 0};
static inline void home_refuse(struct bl_px *px, unsigned status, const char *reason, struct bl_str phrase)
{
        bl_px_refuse(px, status, reason, phrase, HOME_NONE);
}

/* --- domains and links --- */
const struct bl_home_domain *home_domain(const struct bl_home *h, struct bl_str host);
const struct bl_home_peer *home_peer(const struct bl_home *h, struct bl_str host);
/* Where requests for that domain go: its route, its entry among the peers, the route of all others; NULL: DNS knows. */
const struct bl_home_peer *home_route_of(const struct bl_home *h, struct bl_str host);
bool home_host_is_own(const struct bl_home *h, const struct bl_flow *f,
                      const struct bl_uri *u);                       /* a domain, our name or address */
bool home_host_is_edge(const struct bl_home *h, struct bl_str host); /* any edge cluster of any domain */
bool home_domain_has_edge(const struct bl_home_domain *d, struct bl_str host);
/* Did it come from an edge of the domain: by a flow linked to one, or to a configured intermediate? */
bool home_flow_is_edge(const struct bl_home_domain *d, const struct bl_flow *f, bool *ret_via);
struct bl_str home_unescape(struct bl_px *px, struct bl_str s); /* in px memory; empty when it does not decode */
/* Digest for `user`: the step after the store gave its credentials. Answers itself unless OK. */
bool home_digest_ok(struct job *j, int rc, bool proxy);
/* Starts the digest check, or challenges: true when `next` will run (or ran), false when answered. */
bool home_digest_start(struct job *j, bool proxy, void (*next)(struct job *, int rc));

void home_register(struct bl_home *h, struct bl_px *px, struct bl_flow *f);
void home_route(struct bl_home *h, struct bl_px *px, struct bl_flow *f);
/* Forwards to the bindings in j->op.location. */
void home_targets(struct job *j);
void home_removals_drop(struct bl_home *h); /* whatever is still under way, when the home ends */
void home_target_failed(struct job *j, unsigned target, unsigned status);
struct bl_str home_record_route(struct bl_home *h, struct bl_px *px, const struct bl_home_domain *d);
void home_record_route_try(void *role, struct bl_px *px, const struct bl_px_target *g, const struct bl_try *t,
                           struct bl_sb *out);
/* An answer that belongs to no transaction of ours: on to an edge, or dropped. */
void home_answer_stray(void *role, bl_flow_id from, struct bl_msg *m);
