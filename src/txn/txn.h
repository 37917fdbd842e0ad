/*
 * Transactions: RFC 3261 section 17 with RFC 6026, and what "one transaction, not two" (protocol.md section 5) adds:
 *   - a client transaction may try several flows with the same branch; an answer by any of them counts, a non-2xx is
 * ACKed on the flow it came by, a losing try is never CANCELled on its own;
 *   - a server transaction is found node-wide by (branch, sent-by, method; ACK as INVITE), whatever flow or worker the
 * copy came by; it answers on the flow of the latest copy. One bl_txns per worker; it sits between flow/ and its user
 * (a proxy or a UA). Single-threaded but for the shared index.
 *
 * Sizes: Completed keeps its key and the response buffer; Accepted its key only. A byte budget bounds all of them: over
 * it a new server transaction is refused (BL_EFULL: the user answers 503 statelessly).
 */
#pragma once
#include "flow/flow.h"
#include "sip/write.h"

struct bl_txns;
struct bl_server;    /* server transaction */
struct bl_client;    /* client transaction */
struct bl_txn_index; /* node-wide, for more than one worker */

struct bl_txns_conf {
        uint32_t t1_ms, t2_ms, t4_ms; /* 0: 500, 4000, 5000 */
        uint32_t timer_c_ms;          /* 0: 180,000 */
        size_t budget;                /* octets; 0 = 256 MiB */
        bool mtu_to_tcp; /* used by hop/: over 1300 octets on UDP between proxies ask for TCP (section 18.1.1) */
};
struct bl_txns_user {
        /* A request that matches no transaction (ACKs to 2xx too). The user answers, makes a server transaction, or
         * lets it be. `m` lives until return. Overlong, unparsable and version errors were answered below. */
        void (*request)(void *ctx, struct bl_flow *, struct bl_msg *);
        /* A response that matches no client transaction: NULL = dropped and counted. `from` is a handle: it may be
         * another worker's. */
        void (*response)(void *ctx, bl_flow_id from, struct bl_msg *);
        void (*flow_up)(void *ctx, struct bl_flow *);
        void (*flow_down)(void *ctx, struct bl_flow *, int why);
        void (*flow_pong)(void *ctx, struct bl_flow *);
        void (*turn)(void *ctx);
};
struct bl_txns *bl_txns_new(struct env *env, const struct bl_txns_conf *conf, const struct bl_flows_conf *fconf,
                            struct bl_txn_index *index, const struct bl_txns_user *user,
                            void *ctx); /* makes the bl_flows below it */
void bl_txns_free(struct bl_txns *t);
struct bl_flows *bl_txns_flows(struct bl_txns *t);
struct env *bl_txns_env(struct bl_txns *t);
const struct bl_txns_conf *bl_txns_get_conf(const struct bl_txns *t);
struct bl_txn_index *bl_txn_index_new(uint64_t hash_seed); /* NULL without memory */
void bl_txn_index_free(struct bl_txn_index *x);
size_t bl_txns_count(const struct bl_txns *t); /* live transactions, for tests of invariant 7.5 */

/* --- server --- */
struct bl_server_user {
        void (*cancel)(void *ctx, struct bl_server *,
                       const struct bl_msg *cancel);                          /* already answered 200; INVITE only */
        void (*ack)(void *ctx, struct bl_server *, const struct bl_msg *ack); /* ACK to a non-2xx; may be NULL */
        /* the transaction is over or its response could not be sent any more: `st` is gone after return. May be NULL.
         */
        void (*ended)(void *ctx, struct bl_server *);
};
/* For the request just handed to `request` (not ACK). Sends 100 at once over reliable transports and after 200 ms else
 * when `auto_100` (INVITE only). 0, BL_EFULL, BL_ENOMEM, BL_EPROTO (a CANCEL that matches is handled below and never
 * gets here). */
int bl_server_new(struct bl_txns *t, struct bl_flow *f, const struct bl_msg *m, const struct bl_server_user *u,
                  void *ctx, bool auto_100, struct bl_server **ret_st);
/* Sends a response (takes its own reference) on the flow of the latest copy; when that flow is gone, to the source by
 * RFC 3261 18.2.2 if we may open flows there (bl_txns_user of a proxy decides: see bl_server_on_lost). Non-2xx finals
 * are retransmitted by the rules; 2xx to INVITE: Accepted (RFC 6026). */
void bl_server_respond(struct bl_server *st, unsigned status, struct bl_buf *response);
/* The same, written from the request that the caller still has (kept). */
int bl_server_reply(struct bl_server *st, const struct bl_msg *req, const struct bl_response *r);
bl_flow_id bl_server_flow(const struct bl_server *st); /* of the latest copy */
bool bl_server_final(const struct bl_server *st);      /* a final response was sent */
void bl_server_forget(
        struct bl_server *st); /* the user no longer wants callbacks; the transaction lives out its timers */
/* Answers without any transaction (stateless): Via's received/rport filled. For REGISTER, challenges, errors. */
int bl_txn_reply(struct bl_txns *t, struct bl_flow *f, const struct bl_msg *req, const struct bl_response *r);

/* --- client --- */
struct bl_client_user {
        /* Each response but retransmitted finals; 2xx to INVITE every time (RFC 6026 Accepted). `from`: the flow it
         * came by. `m` until return. */
        void (*response)(void *ctx, struct bl_client *, bl_flow_id from, const struct bl_msg *m);
        /* A try's flow went down, or its send failed, before a final response: `why`. The transaction lives: try
         * another, or bl_client_free. */
        void (*try_failed)(void *ctx, struct bl_client *, bl_flow_id flow, int why);
        void (*timeout)(void *ctx, struct bl_client *); /* Timer B or F since the first try; the user frees it */
};
/*
 * `branch` with its cookie (copied). One key (branch, method) per worker. Timer B/F run 64*T1 from the first try unless
 * deadline_at is earlier; ACKs for non-2xx are made here from the buffer that was sent on the flow the final came by.
 */
int bl_client_new(struct bl_txns *t, enum bl_method method, struct bl_str method_name, struct bl_str branch,
                  bl_us deadline_at, const struct bl_client_user *u, void *ctx, struct bl_client **ret_ct);
/* One more try: sends `request` (takes its own reference) on the flow and, over UDP, retransmits it (Timer A / E) until
 * any answer by any flow. 0, or why the flow could not take it (BL_EFULL, BL_EGONE: no try_failed follows). Trying the
 * same flow again re-sends at once. May follow a non-2xx final of another try (305, 430, 503: section 5): that ended
 * (and was ACKed for) its own try only, the transaction goes on, and the user hears of further finals. */
int bl_client_try(struct bl_client *ct, bl_flow_id flow, struct bl_buf *request);
unsigned bl_client_sent(const struct bl_client *ct,
                        bl_flow_id flow); /* transmissions on that flow (failover_after over UDP wants two) */
/* CANCEL on every flow tried, RFC 3261 section 9.1: now if a 1xx came, else when it comes. Own transactions of no
 * interest. */
void bl_client_cancel(struct bl_client *ct);
/* The user wants no more callbacks. With a final response it lives out D/K/M; without one it goes at once (no CANCEL).
 */
void bl_client_free(struct bl_client *ct);
/* The Via parameter that brings a response back to this worker: ";w=N" when workers > 1, else empty; put it in every
 * Via you write. */
struct bl_str bl_txns_via_param(const struct bl_txns *t);
