/* Shared by the files of ua/ only. */
#pragma once
#include "ua/ua.h"

enum {
        UA_FLOWS = 8,     /* reg-ids of one UA at most */
        UA_TOKEN = 12,    /* characters of the Contact's user part */
        UA_REDIRECTS = 5, /* protocol.md section 2 step 3 */
        UA_ROUTES = 4096, /* octets of a dialog's route set */
        UA_TEXT = 700,
};

struct bl_ua_stack {
        struct env *env;
        const struct bl_ua_stack_conf *conf;
        struct bl_txns *txns;
        struct bl_hops *hops;
        struct bl_sticky *own_sticky;
        struct bl_hops_conf hop_conf;
        struct bl_htab by_token;   /* bl_ua by the user part of its Contact */
        struct bl_htab dialogs;    /* bl_dialog by Call-ID and local tag */
        struct bl_htab remembered; /* struct memory: requests not answered yet, and finals */
        struct bl_link finals;     /* struct memory, oldest first */
        struct bl_timer forget;    /* the oldest final's end */
        unsigned n_finals;
        struct bl_link acks; /* ACKs on their way out */
        struct bl_link uas;
        char sent_by[64];
        uint8_t sent_by_n;
};

struct text { /* a piece of text of its own, in pool memory */
        char *p;
        uint16_t n;
};
static inline struct bl_str text_str(const struct text *t)
{
        return bl_str_make(t->p, t->n);
}
bool text_set(struct bl_ua_stack *s, struct text *t, struct bl_str v); /* false without memory: then as it was */
void text_drop(struct bl_ua_stack *s, struct text *t);

/* --- registration, one per reg-id --- */
enum reg_state {
        REG_IDLE,       /* not wanted, or given up */
        REG_TRYING,     /* a REGISTER is under way */
        REG_REGISTERED, /* a flow carries it */
        REG_WAITING,    /* until `timer`: RFC 5626 section 4.5 */
};
struct reg {
        struct bl_ua *ua;
        uint8_t reg_id; /* 0: no outbound */
        enum reg_state state;
        bool searching;  /* no edge was ever named for it: any other of the cluster will do (protocol.md section 4.4) */
        bool tried;      /* an address, in this round */
        bool stopping;   /* the registration is to be removed */
        bool asked_zero; /* by the REGISTER that is under way */
        bool resolving;  /* the cluster's addresses are being asked for */
        uint8_t redirects, auth_tries;
        uint8_t step;                  /* of a round: 0 the last address, then the other edges */
        uint8_t n_seen;                /* addresses tried in this round … */
        uint8_t rounds;                /* that failed, one after another */
        uint8_t refused;               /* refreshes, one after another */
        uint8_t short_lived;           /* flows that died young, one after another */
        struct text ruri;              /* legacy: a redirect's Contact; else empty */
        struct text route;             /* URI in Route: empty at the start of discovery */
        struct text home_edge;         /* the Outbound-Proxy form it was given: P, and where to come back to */
        struct bl_addr at;             /* where it is registered, or tries to */
        struct bl_addr last;           /* far end of the last flow that registered, or the address it was given */
        uint32_t seen[BL_HOP_TARGETS]; /* … their hashes: resolving puts what failed last */
        struct bl_addr failed;         /* where it just failed */
        bl_flow_id flow;               /* it is bound to */
        bl_flow_id old_flow;           /* moved away from (305 on a refresh): closed when the new one is registered */
        bl_us since, expires_at;       /* of the registration */
        struct text call_id;
        uint32_t cseq, min_s;
        struct bl_resolve resolve;
        struct bl_send *send;
        struct bl_timer timer; /* refresh, or retry */
        struct bl_watch watch;
        char branch[24], tag[6];
};

struct bl_ua {
        struct bl_ua_stack *stack;
        struct bl_link link; /* stack->uas */
        struct bl_hnode by_token;
        struct text aor, user, domain, display, auth_user, password, instance, outbound_proxy, contact;
        char token[UA_TOKEN];
        struct bl_digest_session *digest; /* NULL until challenged */
        struct reg *reg[UA_FLOWS];
        struct text service_route;
        struct text outbound_route; /* `<outbound_proxy>`: what requests go by before there is a Service-Route */
        struct proxies *proxies;    /* of bl_ua_set_proxies, outbound_proxy is one of them; NULL: there is but that */
        uint32_t expires_s;
        uint16_t retry_base_s; /* 0: the RFC's */
        uint8_t flows_wanted;  /* by configuration; 0: as the edges say */
        uint8_t wanted;        /* flows that there should be; 0: not known yet */
        bool legacy, no_outbound, started, stopped, register_off;
        bool belay;              /* its edges are ours: they answer 100 at once, and have others beside them */
        struct bl_link requests; /* all of its bl_ua_request */
        void (*event)(void *ctx, const struct bl_ua_event *);
        void *ctx;
};

void ua_event(struct bl_ua *ua, struct bl_ua_event *ev);
/* Another of the proxies to start with is outbound_proxy from now on. False: that was the last, the first is it again.
 */
bool ua_next_proxy(struct bl_ua *ua);
/* Random characters of [a-z0-9]. */
void ua_random(struct bl_ua_stack *s, char *p, size_t n);
/* Our Contact URI; before the first registration made for this try. */
struct bl_str ua_contact(struct bl_ua *ua, const struct bl_try *t);
/* A flow that carries a registration of this UA; `not_this` is passed over. 0: none. */
bl_flow_id ua_any_flow(const struct bl_ua *ua, bl_flow_id not_this);
/* The registered flow that comes after `flow` in turn and leads to the cluster `host` (a sent-by, section 5): where a
 * response goes whose flow died. 0: none but that one. */
bl_flow_id ua_next_flow(const struct bl_ua *ua, bl_flow_id flow, struct bl_str host);
/* A Via value for a try: one sent-by for all flows (section 5), rport, and ;sticky unless legacy. */
void ua_via(struct bl_ua_stack *s, bool legacy, const struct bl_try *t, struct bl_str branch, struct bl_sb *out);
void ua_branch(struct bl_ua_stack *s, char out[24]);
static inline struct bl_str ua_branch_str(const char *b)
{
        return bl_str_make(b, 24);
}

/* register.c: what is said to the registrar */
void reg_start(struct bl_ua *ua);
void reg_stop(struct bl_ua *ua);
void reg_free_all(struct bl_ua *ua);
struct reg *reg_new(struct bl_ua *ua, unsigned index); /* NULL without memory */
void reg_try(struct reg *r);                           /* a REGISTER by its flow, or to its route */
void reg_cancel(struct reg *r);                        /* the one under way */
/* recover.c: where to, and when */
void reg_bind(struct reg *r, bl_flow_id flow);  /* watches it; 0: lets go */
void reg_close(struct reg *r, bl_flow_id flow); /* a flow that carries no registration any more */
void reg_flow_lost(struct reg *r, bl_flow_id flow, int why);
void reg_on_timer(struct bl_timer *t);
void reg_new_round(struct reg *r);
void reg_soon(struct reg *r); /* tries again at once, but for the jitter */
void reg_failed(struct reg *r, unsigned status, struct bl_str reason, bool local, uint32_t retry_after_s);
void reg_give_up(struct reg *r, unsigned status, struct bl_str reason);
bool reg_is_used(const struct reg *r, const struct bl_addr *a); /* by another registration of this UA */
void reg_take_lists(struct reg *r, const struct bl_msg *m);     /* Outbound-Proxy and the draft's form */
void reg_fill_up(struct bl_ua *ua);                             /* as many flows as wanted */
void reg_start_over(struct reg *r);                             /* P is worth nothing any more: discovery */
bool reg_maddr(const struct bl_uri *u, struct bl_addr *ret);    /* the address that a URI's maddr names */

/* --- dialogs --- */
enum dialog_state {
        DIALOG_CALLING,   /* our INVITE: no response with a tag yet */
        DIALOG_EARLY,     /* RFC 3261 section 12: a provisional response made it */
        DIALOG_CONFIRMED, /* a 2xx did */
        DIALOG_ENDED      /* BYE went or came; the handle lives until its last request is answered */
};
struct bl_dialog {
        struct bl_ua *ua;
        struct bl_hnode node;
        enum dialog_state state;
        bool uac, invite;
        bool unknown; /* the application has never had this handle: no GONE for it */
        bool fork;    /* shares Call-ID and local tag with the dialog of its call */
        struct text call_id, local_tag, remote_tag, local_uri, remote_uri, target, routes;
        uint32_t local_seq, remote_seq;
        bool has_remote_seq;
        uint16_t requests;              /* handles that name it */
        struct bl_ua_request *inviting; /* INVITE of ours under way, or of theirs not yet answered: glare */
        struct bl_ua_request *updating; /* UPDATE of ours or theirs, likewise (RFC 3311 section 5) */
        struct unacked *unacked;
        struct bl_ua_request *bye;   /* ours, waiting for the ACK (section 15) */
        struct bl_dialog *next_fork; /* further early dialogs of the same INVITE */
        void *user;
};
struct bl_dialog *dialog_new(struct bl_ua *ua, bool uac);
/* Another dialog of the call `d` whose response `m` has a tag of its own. Indexed. NULL without memory. */
struct bl_dialog *dialog_fork(struct bl_dialog *d, const struct bl_msg *m);
void dialog_free(struct bl_dialog *d); /* BL_UA_DIALOG_GONE first when the application knows it */
void dialog_unref(struct bl_dialog *d);
/* Section 12.1.2: from a response to our INVITE. */
bool dialog_from_response(struct bl_dialog *d, const struct bl_msg *m);
bool dialog_from_request(struct bl_dialog *d, const struct bl_msg *m); /* section 12.1.1 */
void dialog_refresh_target(struct bl_dialog *d, const struct bl_msg *m);
struct bl_dialog *dialog_find(struct bl_ua_stack *s, struct bl_str call_id, struct bl_str local_tag,
                              struct bl_str remote_tag);
int dialog_index(struct bl_dialog *d);
void dialog_end(struct bl_dialog *d);

/* --- requests --- */
struct bl_ua_request {
        struct bl_ua *ua;
        struct bl_dialog *dialog;
        enum bl_method method;
        struct bl_link link; /* ua->requests */
        bool incoming, answered, cancelled;
        bool internal; /* no events: a BYE that nobody asked for */
        bool initial;  /* forms its dialog */
        struct text ruri, to, extra, body, body_type, auth, call_id, from_tag;
        uint32_t cseq;
        uint8_t auth_tries, tries;
        struct bl_send *send;     /* ours */
        struct bl_server *server; /* theirs */
        struct bl_msg *msg;       /* theirs, kept until answered */
        struct memory *memory;    /* theirs */
        struct bl_dialog *forks;  /* early dialogs beside `dialog` */
        bl_flow_id flow;
        struct bl_addr source;
        char branch[24];
        char tag[UA_TOKEN]; /* our To tag in answers out of a dialog */
        void *user;
};
/* Where a request goes by its route set, also with a strict router on top (RFC 3261 section 12.2.1.1). Borrows. */
struct route {
        struct bl_str next, ruri, top, rest,
                last; /* next: the URI of the next hop; top, rest: name-addrs; last: a URI */
};
void route_plan(struct route *way, struct bl_str target, struct bl_str routes);
void route_put(const struct route *way, struct bl_draft *d, struct bl_str redirect); /* Route lines */

int request_start(struct bl_ua_request *r);
struct bl_ua_request *request_new(struct bl_ua *ua, enum bl_method method);
void request_free(struct bl_ua_request *r);
/* `auth`: the INVITE's credentials, or empty (RFC 3261 section 13.2.2.4). */
void request_ack(struct bl_dialog *d, bl_flow_id from, uint32_t cseq, struct bl_str auth);
void request_ack_drop_all(struct bl_ua_stack *s);
void request_send_bye(struct bl_dialog *d); /* the one that waited for the ACK, or one of our own */

/* --- incoming --- */
void answer_request(struct bl_ua_stack *s, struct bl_flow *f, struct bl_msg *m);
void answer_unacked_drop(struct bl_dialog *d);

/* --- what was asked already: requests not answered yet, and finals for 64*T1 --- */
/* True: a copy as a transaction of its own. Answered: alike, or 482 while the first waits (RFC 3261 section 8.2.2.2).
 */
bool memory_answer(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *req);
struct memory *memory_begin(struct bl_ua_stack *s, const struct bl_msg *req); /* NULL without memory */
void memory_final(struct bl_ua_stack *s, struct memory *m, unsigned status, struct bl_str to_tag, struct bl_str extra,
                  const struct bl_ua_body *body);
void memory_drop(struct bl_ua_stack *s, struct memory *m); /* accepts NULL */
void memory_drop_all(struct bl_ua_stack *s);
