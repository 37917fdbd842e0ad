/*
 * What the files of proxy/ share: the worker's proxy, one request's response context (px) and its branches.
 *
 *   px ── event message or kept copy ── server transaction (bl_server) ── upstream
 *    └─ branch ── branch ── …   one per target, in order of q; each has at most one bl_send (a client transaction with
 *                               all its tries) and one timer
 *
 * A px and its texts live in one block of the worker's pool, then in more blocks when that is full. Every entry from
 * outside (a callback of txn/ or hop/, a timer, a call of the role) is bracketed by px_enter and px_leave; only the
 * outermost px_leave frees, so no callback finds its px gone under its feet.
 */
#pragma once
#include "base/list.h"
#include "proxy/proxy.h"

enum {
        PX_BLOCK = 1024,          /* of a px with its first texts; a size class of the pool */
        PX_TEXT_MAX = 256 << 10,  /* of texts one px may hold */
        PX_TARGETS = 16,          /* per request */
        PX_CHALLENGES = 8192,     /* octets of foreign challenges that a 401/407 collects */
        PX_AWAY = 1024,           /* responses that wait for a flow or a name */
        PX_SENDING_ACKS = 4096,   /* ACKs that wait for a flow or a name: no transaction bounds them */
        ARENA_LIMIT = 256 << 10,  /* edits and texts of one write */
        VIA_OWN_MAX = 512,        /* of the role's own Via parameters */
        RECORD_ROUTE_MORE = 64,   /* octets that its transports and the comma between two values take */
        ADDED_ABOUT = 200,        /* octets that Via and the rest add, roughly */
        REFUSE_REASONS = 32,      /* counters looked up once */
        DEFAULT_BREADTH = 60,     /* RFC 5393 section 5.3.3.1 */
        DEFAULT_MAX_FORWARDS = 70 /* RFC 3261 section 16.6 step 3 */
};

enum px_state {
        PX_DECIDING,   /* inside role.request; the message is still the event's */
        PX_HELD,       /* the role decides later; the message is kept */
        PX_FORWARDING, /* branches run or wait for their turn; no final response went upstream */
        PX_ANSWERED,   /* a final response went upstream; 2xx of INVITE may still come */
        PX_OVER        /* nothing can happen any more: freed by the outermost px_leave */
};
enum px_branch_state {
        BR_WAITING,    /* its turn has not come */
        BR_CALLING,    /* handed to hop/, nothing came back */
        BR_PROCEEDING, /* a provisional came: now there is somebody to CANCEL */
        BR_ACCEPTED,   /* a 2xx to INVITE came; copies and further ones are passed on (RFC 6026) */
        BR_DONE        /* its final is known */
};

struct px_branch {
        struct px_branch *next; /* by q, then in order of adding */
        struct bl_px *px;
        struct bl_send *send;
        struct bl_timer timer; /* Timer C; after CANCEL the wait of section 9.1; in Accepted its end */
        uint8_t state;         /* enum px_branch_state */
        bool cancelled;
        bool serial;            /* added by bl_px_more: never beside others */
        bool strict;            /* the next hop is a strict router (16.6 step 6) */
        uint16_t index;         /* the role's number for the target: order of adding */
        uint32_t breadth;       /* Max-Breadth to write; 0: as it came */
        struct bl_px_target t;  /* texts in px memory */
        struct bl_str next_uri; /* where it goes (16.6 step 7); empty until planned */
        struct bl_str top;      /* the topmost Route after popping and pushing, as a URI; empty: none */
        struct bl_str id;       /* branch parameter with cookie */
        struct bl_str sent_by;  /* one for all tries: the far side tells transactions apart by it */
};

struct px_best {            /* the best final so far (section 16.7 step 6) */
        unsigned status;    /* 0: none yet */
        bool borrowed;      /* msg is the event's: used at once, never kept */
        struct bl_msg *msg; /* NULL: made here */
        const char *reason;
        bl_flow_id from;
        struct px_branch *branch;
};
struct px_challenge { /* WWW-Authenticate and Proxy-Authenticate values of 401 and 407 (section 16.7 step 7) */
        struct px_challenge *next;
        const struct px_branch *branch;
        enum bl_hid id;
        struct bl_str value;
};
struct px_chunk {
        struct px_chunk *next;
        uint32_t size, used; /* of all, with this head */
};

struct bl_px {
        struct bl_link link; /* proxy's list */
        struct bl_proxy *p;
        const struct bl_msg *msg; /* the event's, or `kept` */
        struct bl_msg *kept;
        struct bl_server *server; /* NULL: stateless, not yet made, or over */
        bl_flow_id flow;
        struct bl_addr source;
        void *data; /* the role's */
        bl_us arrived_at;
        struct bl_timer provisional; /* 100 of a non-INVITE that takes long (RFC 4320) */
        uint8_t state;               /* enum px_state */
        uint8_t depth;               /* px_enter without px_leave */
        bool is_ack, cancelled;
        bool ours_upstream;            /* the neighbour it came from is belay: it may see 430 and 503 */
        bool via_linked;               /* its flow was known to be the domain, or is the address, that its Via names */
        bool trying;                   /* 100 was sent or is to come */
        bool starting;                 /* branches are being started: a failure at once is looked at afterwards */
        bool no_more;                  /* after a 6xx: no further targets */
        uint16_t n_branches, n_active; /* active: CALLING, PROCEEDING or ACCEPTED */
        struct px_branch *branches;
        struct px_best best;
        struct px_challenge *challenges;
        uint32_t challenge_octets, text_octets, kept_octets;
        struct px_chunk *chunks;
        uint32_t used; /* of text[] */
        _Alignas(16) char text[];
};

struct proxy_refusal {
        const char *reason;
        struct bl_counter *counter;
};
struct bl_proxy {
        struct env *env;
        const struct bl_proxy_conf *conf;
        const struct bl_role *role;
        void *role_ctx;
        struct bl_txns *txns;
        struct bl_flows *flows;
        struct bl_hops *hops;
        struct bl_arena *arena; /* edits; reset when nobody writes any more */
        unsigned arena_users;
        struct bl_link all;  /* every px */
        struct bl_link away; /* responses on their way by a flow that is to be opened */
        unsigned n_away;
        size_t contexts, acks, kept_octets, kept_limit;
        bl_us t1, timer_c;
        uint64_t loop_seed;
        uint32_t breadth;
        bool closing;
        char refused_name[64], forwarded_name[64], answered_name[64], moved_name[64];
        struct bl_counter *forwarded, *answered, *moved;
        struct proxy_refusal refusals[REFUSE_REASONS];
};

/* check.c */
void proxy_on_request(void *ctx, struct bl_flow *f, struct bl_msg *m);
bool proxy_is_us(const struct bl_proxy *p, struct bl_str host, bool *ret_listener);

/* proxy.c */
/* A response without a transaction; nothing for ACK. */
void proxy_reply(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m, const struct bl_response *r);
/* The same as a refusal: counted and logged. */
void proxy_refuse(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m, unsigned status, const char *reason,
                  struct bl_str phrase, struct bl_str extra);
void proxy_count_refusal(struct bl_proxy *p, bl_flow_id f, const struct bl_msg *m, unsigned status, const char *reason);
enum { PROXY_TAG = 17 };
/* The To tag of what we answer: the same for every copy, and known again when its ACK comes. */
struct bl_str proxy_tag(const struct bl_proxy *p, const struct bl_msg *m, char out[PROXY_TAG]);
bool proxy_is_own_tag(const struct bl_proxy *p, const struct bl_msg *m); /* m: an ACK */
struct bl_arena *proxy_arena(struct bl_proxy *p); /* for one write; give it back with proxy_arena_done */
void proxy_arena_done(struct bl_proxy *p);
struct bl_str proxy_retry_after(struct bl_proxy *p, char *out, size_t cap); /* a Retry-After line, spread */

/* loop.c */
uint64_t proxy_loop_seed(const struct env *env, const struct bl_proxy_conf *c);
bool proxy_loops(const struct bl_proxy *p, const struct bl_msg *m);
void proxy_loop_put(const struct bl_proxy *p, const struct bl_msg *m, struct bl_sb *out); /* ".<hash>" */
/* The request's Max-Breadth: the header's, else our default. BL_EMALFORMED. */
int proxy_breadth(const struct bl_proxy *p, const struct bl_msg *m, uint32_t *ret_breadth);

/* context.c */
struct bl_px *px_new(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m);
void px_enter(struct bl_px *px);
void px_leave(struct bl_px *px);
void px_free(struct bl_px *px);
int px_keep(struct bl_px *px);                              /* 0, BL_ENOMEM, BL_EFULL */
int px_rewrite(struct bl_px *px, const struct bl_edits *e); /* the message as edited takes its place */
int px_make_server(struct bl_px *px);                       /* 0, BL_EFULL, BL_ENOMEM, BL_EGONE */
void px_trying(struct bl_px *px);                           /* 100, now or later, as the method and transport allow */
void px_overloaded(struct bl_px *px, const char *reason);   /* 503 and over */
void px_settle(struct bl_px *px);                           /* over when answered and no branch is active */
struct px_branch *px_next_waiting(const struct bl_px *px);

/* forward.c */
void px_advance(struct bl_px *px); /* starts the next group when none is active; answers when none is left */
int px_render(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret_buf);
void px_branch_stop(struct px_branch *b); /* no more callbacks, no timer */
/* The first value of a list as text, and what follows its comma. False when there is none. */
bool px_list_first(struct bl_str list, struct bl_str *ret_value, struct bl_str *ret_rest);
struct bl_str px_inside(struct bl_str value); /* "<uri>;p" -> "uri"; without <> all up to ';' */

/* respond.c */
extern const struct bl_send_user px_send_user;
extern const struct bl_send_user px_ack_user;
void px_on_cancel(void *ctx, struct bl_server *st, const struct bl_msg *cancel);
void px_branch_timer(struct bl_timer *t);
/* A branch ended without 2xx: m is its final, or NULL for one of ours. */
void px_branch_final(struct px_branch *b, unsigned status, const struct bl_msg *m, bl_flow_id from, const char *reason);
void px_cancel_branches(struct bl_px *px);
void px_answer_local(struct bl_px *px, unsigned status, const char *reason, struct bl_str phrase, struct bl_str extra);

/* upstream.c */
/* By the server transaction; when its flow has gone, by another of the same domain. */
void px_send_upstream(struct bl_px *px, unsigned status, struct bl_buf *b);
void px_reply_upstream(struct bl_px *px, const struct bl_response *r); /* one made here */
void proxy_away_drop(struct bl_proxy *p);

/* best.c */
void px_best_offer(struct bl_px *px, unsigned status, const struct bl_msg *m, bl_flow_id from, struct px_branch *b,
                   const char *reason, bool last);
void px_best_drop(struct bl_px *px);
void px_best_answer(struct bl_px *px);
unsigned px_best_order(unsigned status); /* the lower, the better */
/* What a target's final becomes upstream; `local`: made here. */
unsigned px_best_upstream(const struct bl_px *px, const struct px_branch *b, unsigned status, bool local);
