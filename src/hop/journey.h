/*
 * The inside of a struct bl_send, for send.c (its life), walk.c (the candidates), answer.c (what responses mean) and
 * redirect.c.
 *
 * A base is a URI the owner gave: u, then its alternatives. A leg is one walk over the candidates of a URI: a base, or
 * a redirect's target, which stands for its base. Redirect legs go before the rest of the base they came from.
 */
#pragma once
#include "hop/internal.h"

enum {
        SEND_BASES = 17, /* u and 16 alternatives */
        SEND_REDIRECTS = 6,
        SEND_TRIES = 16,  /* the retry budget of one request: transmissions to a candidate, not counting Timer A/E's */
        SEND_OPENED = 16, /* targets that were tried to open in one round */
        SEND_URI_MAX = 2048, /* a Route text longer than this is not redirected */
};

enum send_state {
        SEND_LOOKING,    /* no provisional yet: tries may be out, candidates may be sought */
        SEND_PROCEEDING, /* a 101-199 came: no further candidates unless its flow dies */
        SEND_HOLDING,    /* a 481, 482 or 500 that may only mean "I had it already" waits for a better answer */
        SEND_ACCEPTED,   /* 2xx to INVITE shown: further ones are shown for 64*T1 (RFC 6026 section 8.4) */
        SEND_OVER,       /* the owner has heard the end, or is about to (STEP_END) */
};
enum send_step { /* what the step timer is armed for */
                 STEP_NONE,
                 STEP_SILENCE, /* failover_after since the latest try */
                 STEP_OPEN,    /* a flow takes long to open */
                 STEP_ROUND,   /* all failed by transport: the next round */
                 STEP_HOLD,    /* end of SEND_HOLDING */
                 STEP_END,     /* an end that must not happen inside the owner's call */
                 STEP_LINGER,  /* end of SEND_ACCEPTED */
                 STEP_CHECK,   /* a provisional came, the final is awaited: does the flow still live? */
};
enum tried_state {
        TRIED_OPEN,    /* sent; nothing but perhaps a 100 */
        TRIED_SILENT,  /* nothing at all within failover_after: the next one was tried beside it */
        TRIED_RINGING, /* 101-199 */
        TRIED_LOST,    /* its flow died without a final response: outcome unknown */
        TRIED_ENDED,   /* a final response */
};
struct tried {
        bl_flow_id flow;
        struct bl_addr addr;
        enum bl_tp tp;
        uint8_t state, base;
        bool heard;    /* at least a 100 */
        bool by_maddr; /* names the node: it delivers or says 430, and is never to redirect (section 3.4) */
        bool ours;
        uint16_t round;
};
struct redirect {
        struct bl_str text; /* pool */
        uint8_t base;
        enum bl_tp like_tp; /* transport and port of the flow that redirected: a node is like its siblings */
        uint16_t like_port;
};
struct opened {
        enum bl_tp tp;
        struct bl_addr addr;
        bl_flow_id own; /* ANY_OPEN: nobody else's; 0 else */
};

/* What the search for a way needs, and nothing after it: the largest part, so it does not wait with the rest for copies
 * of a 2xx. */
struct seek {
        struct hop_list list;
        struct hop_cand open; /* what `watch` waits for */
        struct tried tried[SEND_TRIES];
        struct opened opened[SEND_OPENED];
};

struct bl_send {
        struct bl_link link;
        struct bl_hops *h;
        const struct bl_send_user *user;
        void *ctx;
        struct bl_client *ct;
        bl_us started_at, deadline_at;
        enum bl_method method;
        unsigned flags;
        bl_flow_id pinned, not_flow;
        uint64_t spread;
        uint32_t octets;
        enum send_state state;
        bool once, cancelled;
        bool starting, dead; /* inside bl_send_start; freed: gone when `busy` is 0 */
        bool unsure;
        uint16_t busy, round, opens;

        struct bl_str text; /* one block: bases, method name, branch, their octets */
        struct bl_str method_name, branch;
        struct bl_str *base; /* in `text` */
        struct bl_uri first; /* base[0], which nearly all ask for */
        uint8_t n_base, base_at;
        uint32_t redirected; /* bit per base */
        struct redirect redirect[SEND_REDIRECTS];
        uint8_t n_redirect, redirect_at;

        /* the leg under way */
        bool leg_on, leg_rest; /* there is one; its list holds ranks 3 and 4 */
        int leg_redirect;      /* index, or -1: base_at */
        struct seek *seek;     /* NULL: accepted */
        struct bl_resolve resolve;
        struct bl_watch watch;
        bool opening;

        uint8_t n_tried, n_lost; /* n_lost: transport failures in this round */
        bool was_refused;        /* a 305 from a linked flow that offered nothing we may follow */
        uint8_t n_opened;

        struct bl_msg *held; /* the answer to give when there is no better one */
        bl_flow_id held_from;
        bl_flow_id answered_by; /* the flow of the final response */

        enum send_step step_for;
        struct bl_timer step, deadline;
        unsigned end_status;
        const char *end_reason;
};

enum { SEND_OUTSTANDING = 1u << TRIED_OPEN | 1u << TRIED_SILENT | 1u << TRIED_RINGING };

/* ---- walk.c ---- */
void send_advance(struct bl_send *s);     /* the next candidate; call it only when none is sought or waited for */
void send_open_failed(struct bl_send *s); /* the flow that is awaited: down, or takes too long; the next candidate */
void send_next_round(struct bl_send *s);
void send_resolved(struct bl_resolve *r, int rc, const struct bl_target *t, unsigned n); /* bl_resolve.done */

/* ---- send.c: callers of all have entered ---- */
bl_us send_t1(const struct bl_send *s);
void send_stop_seeking(struct bl_send *s);
bool send_seeking(const struct bl_send *s);
void send_step(struct bl_send *s, enum send_step what, bl_us at);
void send_fail(struct bl_send *s, unsigned status, const char *reason); /* failed(), then the end */
void send_await(struct bl_send *s);                                     /* a provisional came; the final is awaited */
void send_show(struct bl_send *s, bl_flow_id from, const struct bl_msg *m); /* response() */
void send_end(struct bl_send *s);                                           /* ended(), then gone */
void send_show_held(struct bl_send *s);
void send_enter(struct bl_send *s);
void send_leave(struct bl_send *s);
struct tried *send_tried(struct bl_send *s, bl_flow_id flow);  /* the latest on that flow; NULL */
bool send_any_tried(const struct bl_send *s, unsigned states); /* bit per tried_state */
void send_deadline(struct bl_send *s, bl_us at);               /* 0: none */
bool send_base_uri(const struct bl_send *s, unsigned base, struct bl_uri *ret_uri);

/* ---- answer.c ---- */
extern const struct bl_client_user send_client_user;
/* 481, 482, 500: after a try of unknown outcome they may only say that the far end had the request already. */
bool send_is_doubtful(unsigned status);

/* ---- redirect.c ---- */
/* Takes the 305's targets for t's base: how many are new. */
unsigned send_redirect_take(struct bl_send *s, const struct tried *t, const struct bl_msg *m);
/* The Route text for a candidate of a base that was redirected: base;maddr=ADDR. Empty when it does not fit. */
struct bl_str send_redirect_route(const struct bl_send *s, unsigned base, const struct bl_addr *addr, char *buf,
                                  size_t cap);
/* A redirect's bare maddr says nothing of transport and port: first as the flow that redirected. Returns the new n. */
unsigned send_redirect_like(struct bl_send *s, const struct redirect *r, const struct bl_uri *u, struct bl_target *t,
                            unsigned n);
void send_redirect_fini(struct bl_send *s);
