/* Shared by the files of edge/ only. */
#pragma once
#include "edge/edge.h"

struct bl_edge_node {
        struct bl_edge_conf c; /* with proxy filled in */
        struct bl_token_cluster cluster;
        struct bl_sticky *sticky;
        struct bl_txn_index *index;     /* NULL with one worker */
        struct bl_str own[2];           /* cluster, and our own name: never bound to a flow */
        unsigned self;                  /* our index among the members */
        struct bl_trust *trust;         /* configured ranges and, behind them, the fellow edges … */
        unsigned n_trusted;             /* … which begin here */
        struct bl_edge_member *members; /* a copy whose ports are filled in */
};

struct member { /* what one worker knows of a fellow edge; presumed alive until a probe says otherwise */
        struct bl_edge *edge;
        unsigned index;
        bool dead, seen; /* seen: was alive once */
        bool leaving;    /* it drains: in no new set */
        unsigned failures;
        bl_flow_id flow; /* the probe's; 0 = none */
        struct bl_timer retry;
};

struct bound {                /* one P on one flow of this worker */
        struct bl_hnode node; /* by (flow, AOR) */
        struct bl_link link;  /* of its flow, newest first */
        struct bl_timer expiry;
        struct bl_edge *edge;
        bl_flow_id flow;
        bl_us expires_at;
        bool has_instance, star, ob;
        uint16_t uri_n, aor_user_n, aor_domain_n, instance_n;
        char text[]; /* canonical URI, AOR user, AOR domain, instance digest */
};
struct edge_flow {            /* bl_flow.user of a UA's flow */
        struct bl_link bound; /* struct bound */
        struct bl_edge *edge;
        bl_flow_id id;
        bl_us silence;          /* longer without an octet, and it is taken for dead; 0: nobody promised keep-alives */
        struct bl_timer silent; /* looks */
        bool sent_away;         /* it was told where else to register, for we drain */
};

struct bl_edge {
        struct env *env;
        struct bl_edge_node *node;
        struct bl_proxy *proxy;
        struct bl_htab bound;
        struct member *member;  /* as node->members */
        struct bl_trust *trust; /* as the node's, after a reload; NULL before */
        bl_us started_at;
        bool draining;
        bl_us drain_until;
        struct bl_timer drain; /* the deadline, then the closing of flows */
        struct bl_counter *bound_total, *adopted_total, *redirected_total, *detour_total, *delivered_total,
                *rescued_total, *silent_total;
};

/* --- set.c: who serves a P --- */
void edge_probe_start(struct bl_edge *e);
void edge_probe_stop(struct bl_edge *e);
bool edge_probe_up(struct bl_edge *e, struct bl_flow *f);   /* true: the flow is a probe */
bool edge_probe_down(struct bl_edge *e, struct bl_flow *f); /* likewise */
void edge_probe_pong(struct bl_edge *e, struct bl_flow *f);
bool edge_member_alive(const struct bl_edge *e, unsigned index);
int edge_member_find(const struct bl_edge_node *n, struct bl_str name); /* index, or -1 */
/* The set for a new registration: us, then backups; or the nodes that the AOR is pinned to, perhaps without us; indices
 * into members. Returns how many. */
unsigned edge_set_pick(const struct bl_edge *e, struct bl_str aor_user, struct bl_str aor_domain,
                       struct bl_str instance, unsigned ret[BL_TOKEN_NODES]);
/* P's order: its named nodes, then all others by rendezvous on `p_user`. Only living ones, at most `max`; us included.
 * `staying`: for who registers, so without those that drain. */
unsigned edge_set_order(const struct bl_edge *e, const struct bl_token *t, struct bl_str p_user, bool staying,
                        unsigned *ret, unsigned max);
bool edge_member_addr(const struct bl_edge *e, unsigned index, uint8_t family, struct bl_addr *ret_addr);

/* --- token.c: P as this cluster writes it --- */
struct p_uri { /* a P found on top of Route */
        struct bl_nameaddr na;
        struct bl_token token;
        char scratch[BL_TOKEN_MAX];
        int rc;       /* of bl_token_open */
        unsigned pop; /* Route values that are it: 1, or 0 when a strict router had put it into the Request-URI */
};
bool edge_host_is_own(const struct bl_edge *e, const struct bl_flow *f, const struct bl_uri *u);
bool edge_host_is_cluster(const struct bl_edge *e, struct bl_str host);
/* `sip:USER@cluster;lr`: how P is bound and looked up here, whatever parameters it came with. In px memory; empty
 * without memory. */
struct bl_str edge_canonical(struct bl_edge *e, struct bl_px *px, struct bl_str user);
bool edge_names_us(const struct bl_edge *e, const struct bl_uri *u); /* its maddr is one of our addresses */
const struct bl_edge_home *edge_home_of(const struct bl_edge *e, struct bl_str domain);
/* Is the flow a core flow: linked to a home, to an intermediate of it, or to the cluster (a fellow edge)? */
bool edge_flow_is_core(const struct bl_edge *e, const struct bl_flow *f);
bool edge_flow_is_member(const struct bl_edge *e, const struct bl_flow *f);
/* Where requests of this domain go when no Route says so: its configured next hop, else sip:domain. */
struct bl_str edge_next_uri(const struct bl_edge_home *h, struct bl_px *px);
/* A Route that remains may only name the home or its configured intermediate: by name, or by the address of one of its
 * nodes, as plain ones write it. Then *ret_next is what chooses the flow: the name with that address as its maddr; else
 * it is empty, and the Route itself chooses. */
bool edge_route_is_home(const struct bl_edge *e, struct bl_px *px, const struct bl_edge_home *h, const struct bl_uri *u,
                        struct bl_str *ret_next);

/* Appends `:port;transport=` as the UA at the other end of `f` reaches the cluster: nothing for UDP on 5060. */
void edge_put_reach(const struct bl_edge *e, const struct bl_flow *f, struct bl_sb *b);

/* --- record.c: Record-Route, and what is taken off Route again (4.3, RFC 5658) --- */
struct passage { /* px data of a request other than REGISTER */
        /* where its answer belongs */
        bool answers,
                to_ua; /* known; to the UA behind P, whose user part is `text`, or to the home of the domain `text` */
        struct bl_str text;
        struct bl_addr far;
        /* whom its Record-Route is for */
        bool records, from_ua, ua_plain, core_plain;
        enum bl_tp near; /* the transport of the side it came from */
};
struct passage *edge_passage(struct bl_px *px); /* made when there is none; NULL without memory */
/* `<P;d=DIALOG>` for a request that forms a dialog; empty inside one. `uri`: canonical P; `star`: that of a plain UA;
 * `core_plain`: configured to be, for a request from the UA; one from the core says by its Via what it is. */
struct bl_str edge_record_route(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, struct bl_str uri,
                                struct bl_str user_part, bool star, bool from_ua, bool core_plain);
void edge_record_route_try(void *role, struct bl_px *px, const struct bl_px_target *g, const struct bl_try *t,
                           struct bl_sb *out);
/* Appends `;n=NODE`: a `*` names no nodes, but the home may try this one first (section 2, legacy UAs). */
void edge_put_hint(const struct bl_edge *e, bool star, struct bl_sb *b);
/* Our value in a plain UA's Service-Route gets the transport of its flow. */
void edge_service_route(struct bl_edge *e, const struct bl_flow *f, const struct bl_msg *m, struct bl_str user_part,
                        struct bl_edits *ed);
/* A second value of ours below p: popped with it. False: its `d` is not this dialog's, and it was refused. */
bool edge_pop_second(struct bl_edge *e, struct bl_px *px, struct p_uri *p);

/* --- bound.c: which P's this worker's flows carry --- */
struct bound_want {
        struct bl_str uri, user, domain, instance;
        bool has_instance, star, ob;
        bl_us expires_at;
        uint32_t flow_timer_s; /* what the UA was told: it sends something at least as often; 0: nothing */
};
struct edge_flow *edge_flow_data(struct bl_edge *e, struct bl_flow *f); /* made when there is none; NULL: no memory */
int edge_bound_set(struct bl_edge *e, struct bl_flow *f, const struct bound_want *w);
void edge_bound_end_by(struct bl_edge *e, struct bl_flow *f,
                       bl_us at); /* what it carries ends then, if not refreshed */
void edge_bound_remove(struct bl_edge *e, struct bl_flow *f, struct bl_str uri);
void edge_bound_drop(struct bl_edge *e, struct bl_flow *f, struct bound *b); /* and what it stuck to */
void edge_bound_drop_flow(struct bl_edge *e, struct bl_flow *f);
/* The flow's P whose AOR is user@domain: newest; NULL. */
struct bound *edge_bound_by_aor(struct bl_edge *e, struct bl_flow *f, struct bl_str user, struct bl_str domain);
static inline struct bl_str bound_uri(const struct bound *b)
{
        return bl_str_make(b->text, b->uri_n);
}
static inline struct bl_str bound_domain(const struct bound *b)
{
        return bl_str_make(b->text + b->uri_n + b->aor_user_n, b->aor_domain_n);
}

/* --- register.c, route.c, rebuild.c: requests --- */
void edge_register(struct bl_edge *e, struct bl_px *px, struct bl_flow *f);
void edge_register_response(struct bl_edge *e, struct bl_px *px, const struct bl_msg *m, struct bl_edits *ed);
void edge_route(struct bl_edge *e, struct bl_px *px, struct bl_flow *f);
/* An inbound request for a P that no flow here carries (section 3.4). */
void edge_rebuild(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, const struct p_uri *p);

/* --- drain.c: before an edge goes, its UAs go --- */
#define EDGE_ASK_BRANCH "ask"
/* A UA that knows discovery registers a P by `f`: true when it is to be told of another edge; once a flow. */
bool edge_drain_sends_away(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, const struct bl_nameaddr *contact);
void edge_drain_ask(struct bl_edge *e, struct bl_flow *f); /* does the fellow at the other end of a probe drain? */
bool edge_drain_answer(struct bl_edge *e, bl_flow_id from,
                       const struct bl_msg *m); /* true: it was the answer to that */

/* --- answer.c: answers that reach us for a fellow that died --- */
/* The answer to this request belongs to the UA behind P (its user part), or to the home of a domain. */
void edge_answer_goes(struct bl_px *px, const struct bl_flow *f, bool to_ua, struct bl_str text);
void edge_answer_via(void *role, struct bl_px *px, unsigned target, const struct bl_try *t, struct bl_sb *out);
unsigned edge_answer_upstream(void *role, struct bl_px *px, struct bl_sticky_found ret[BL_STICKY_MAX]);
void edge_answer_stray(void *role, bl_flow_id from, struct bl_msg *m);
