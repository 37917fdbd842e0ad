/*
 * One request's journey to its next hop: candidates in order, one client transaction with one branch, failover,
 * redirects (sections 3.1, 3.4, 5). Used by proxy/ (one per branch of a fork) and by ua/ (one per request). The owner
 * writes the octets for each try, because Via and Route depend on the flow; this decides where and when.
 *
 *   bl_send_start ─► candidates (sticky, then RFC 3263) ─► try ─┬─ 1xx/2xx/final that counts ─► response()
 *                         ▲                                     ├─ transport failure, 430, 503, silence ─► next
 * candidate └──────── 305 pushes its targets ─────┘─ none left: round again until the deadline, then failed()
 */
#pragma once
#include "hop/hop.h"

/*
 * Its life: from bl_send_start until `ended`, which comes by itself, once: after failed() returned; after response()
 * returned with the final response (of a 2xx to INVITE: 64*T1 later, RFC 6026). bl_send_free ends it earlier, from
 * anywhere, also from inside its callbacks; then no further callback comes, `ended` neither. render may be called
 * inside bl_send_start (*ret_send is set before); response, failed and ended never are.
 */
struct bl_send;

struct bl_try { /* what the owner writes a request for */
        bl_flow_id flow;
        enum bl_tp tp;
        struct bl_addr local, remote; /* local.family 0 when the flow is another worker's */
        struct bl_str route; /* not empty: the topmost Route is to be this URI (a redirect's target); else as planned */
        unsigned number;     /* 1, 2, ... */
};
struct bl_send_user {
        /* Writes the request for this try: one reference for us. < 0: this candidate is skipped. */
        int (*render)(void *ctx, struct bl_send *, const struct bl_try *, struct bl_buf **ret_buf);
        /* Provisional responses, and the final one that counts (2xx to INVITE: each). A response that led to another
         * try is not shown. */
        void (*response)(void *ctx, struct bl_send *, bl_flow_id from, const struct bl_msg *m);
        /* There will be no response: 408 (INVITE deadline), 504 (non-INVITE deadline, proxies), 503 (no candidate ever
         * took it and we may not go on), 480 / 430 (flow gone: no flow for a URI towards a UA). */
        void (*failed)(void *ctx, struct bl_send *, unsigned status, const char *reason);
        void (*ended)(void *ctx, struct bl_send *); /* the handle is gone after return. May be NULL */
};
enum bl_send_flags {
        BL_SEND_UA = 1,     /* towards a UA: ranks 1 and 2 only, never opens, no failover_after */
        BL_SEND_PINNED = 2, /* only by `flow` */
        BL_SEND_BELAY = 4,  /* the neighbour is known to understand redirects and to answer 100 at once: failover_after
                               holds from the start */
        BL_SEND_SECURE =
                128, /* over TLS only, whatever the URI's scheme: the Request-URI is sips (RFC 5630 section 5.3) */
        BL_SEND_NO_REDIRECT = 8, /* a 305 is a final response as any other */
        BL_SEND_ANY_OPEN = 16,   /* discovery: open a new flow even when one matches (D7). Those it opened are closed
                                    at its end, but for the one that the final response came by */
        BL_SEND_USE_MADDR =
                32, /* u's maddr counts (configuration, Outbound-Proxy, a redirect from a flow linked to that host) */
        BL_SEND_ONE_ROUND =
                64 /* when all candidates failed by transport: 503 at once; the owner has its own back-off */
};
struct bl_send_want {
        struct bl_uri u; /* next hop: top Route, else Request-URI; copied */
        const struct bl_uri *alt;
        unsigned n_alt; /* serial alternatives when u's candidates are spent (differing Paths of one instance); copied.
                           Try.route names which. */
        enum bl_method method;
        struct bl_str method_name, branch, call_id; /* copied */
        bool in_dialog;
        unsigned flags;
        bl_flow_id flow;     /* PINNED */
        bl_flow_id not_flow; /* never send back by this one unless it is bound to u exactly; 0 none */
        bl_us deadline_at;   /* 0: INVITE 64*T1 until a provisional, then the owner's Timer C; others 64*T1 - 4 s */
        uint32_t octets; /* about how long the request is: over 1300 prefers a stream between proxies (RFC 3261 18.1.1)
                          */
};
int bl_send_start(struct bl_hops *h, const struct bl_send_want *w, const struct bl_send_user *u, void *ctx,
                  struct bl_send **ret_send);
void bl_send_cancel(struct bl_send *s); /* CANCEL to all tried flows (section 9.1); responses go on */
void bl_send_free(struct bl_send *s);   /* no more callbacks; accepts NULL */
unsigned bl_send_tries(const struct bl_send *s);
/* Inside response(): the final shown is a 481, 482 or 500 that came after a try whose outcome is unknown, and there is
 * no other answer: it may only say that the far end had the request already. A BYE is then answered 200 (section 5). */
bool bl_send_unsure(const struct bl_send *s);
/* An ACK for a 2xx, or anything without a transaction: sent once by the best candidate that takes it (a flow may be
 * opened, so render may come later). Ends with exactly one failed(): status 0 when it was sent. `ret_send` is freed by
 * itself after that; bl_send_free before it gives up. */
int bl_send_once(struct bl_hops *h, const struct bl_send_want *w, const struct bl_send_user *u, void *ctx,
                 struct bl_send **ret_send);
