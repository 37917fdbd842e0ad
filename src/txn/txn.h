/*
 * Transactions: RFC 3261 section 17 with RFC 6026, and what "one transaction, not two" (protocol.md section 5) adds:
 *   - a client transaction may try several flows with the same branch; an answer by any of them counts, a non-2xx is
 * ACKed on the flow it came by, a losing try is never CANCELled on its own;
 *   - a server transaction is found node-wide by (branch, sent-by, method; ACK as INVITE), whatever flow or worker the
 * copy came by; it answers on the flow of the latest copy. One bl_txns per worker; it sits between flow/ and its user
 * (a proxy or a UA). Single-threaded but for the shared index.
 *
 * Sizes: Completed keeps its key and the response buffer; Accepted its key only; a server transaction is 128 octets at
 * most, because its key is kept as 128 bits of a keyed hash. A byte budget bounds all of them: over 7/8 of it a new
 * server transaction is refused (BL_EFULL: the user answers 503 statelessly), over all of it a new client transaction.
 *
 * What goes beyond RFC 3261's timers, and why. Over streams the RFC ends transactions at once (Timers I, J, K, D of
 * zero length), because no copy can come. Here one can: whoever waits at a dead connection sends the same request again
 * over another (protocol.md section 5), and a stalled connection may deliver its copy long after. So
 *   - a server transaction that had any copy over a stream stays findable for 64*T1 after its final response (J), or
 *     after the ACK (I): a copy is answered with the same response, or absorbed. Only for these the budget may end them
 *     early, oldest first;
 *   - a client transaction that tried more than one flow stays 64*T1 after the last final, to absorb (and ACK) what the
 *     losing tries still answer; with one flow D and K are the RFC's.
 * A second final from another flow of the same transaction is not a retransmission: the user hears of it, until it
 * lets go of the transaction or a 2xx came.
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
        /* A response that matches no client transaction of any worker: NULL = dropped and counted (always counted).
         * `from` is of this worker, and may be gone. */
        void (*response)(void *ctx, bl_flow_id from, struct bl_msg *);
        void (*flow_up)(void *ctx, struct bl_flow *);
        void (*flow_down)(void *ctx, struct bl_flow *, int why);
        void (*flow_pong)(void *ctx, struct bl_flow *);
        void (*turn)(void *ctx);
}; /* each may be NULL but request */
/* conf and user are copied; what fconf points to is borrowed for life. NULL without memory. `index` is needed when
 * env->workers > 1, and NULL otherwise. */
struct bl_txns *bl_txns_new(struct env *env, const struct bl_txns_conf *conf, const struct bl_flows_conf *fconf,
                            struct bl_txn_index *index, const struct bl_txns_user *user,
                            void *ctx); /* makes the bl_flows below it */
/* Transactions go without a word, then the flows (flow_down is called for each). Accepts NULL. */
void bl_txns_free(struct bl_txns *t);
struct bl_flows *bl_txns_flows(struct bl_txns *t);
struct env *bl_txns_env(struct bl_txns *t);
const struct bl_txns_conf *bl_txns_get_conf(const struct bl_txns *t);
struct bl_txn_index *bl_txn_index_new(uint64_t hash_seed); /* NULL without memory */
void bl_txn_index_free(struct bl_txn_index *x);            /* after all workers' bl_txns; accepts NULL */
size_t bl_txns_count(const struct bl_txns *t);             /* live transactions, for tests of invariant 7.5 */
size_t bl_txns_used(const struct bl_txns *t);              /* octets of the budget; 0 when there are none */

/* --- server --- */
struct bl_server_user { /* borrowed as long as the transaction calls back; each may be NULL */
        /* INVITE without a final response only; the CANCEL was answered 200 already. Once. */
        void (*cancel)(void *ctx, struct bl_server *, const struct bl_msg *cancel);
        void (*ack)(void *ctx, struct bl_server *, const struct bl_msg *ack); /* ACK to a non-2xx; once */
        /* A retransmission found its flow gone (`why`). The user may name another: bl_server_move. */
        void (*lost)(void *ctx, struct bl_server *, int why);
        /* The transaction is over (Timer H without ACK, I, J, L; or ended early by the budget: then this comes from
         * within bl_server_new of another): `st` is gone after return. */
        void (*ended)(void *ctx, struct bl_server *);
};
/*
 * For the request just handed to `request` (not ACK, not CANCEL: BL_EINVAL). With `auto_100` a 100 is sent at once over
 * streams; over UDP after 200 ms for INVITE (RFC 3261 section 17.2.1) and after T2 - T1 for others (RFC 4320 section
 * 4.1), unless something was sent by then. 0, BL_EFULL, BL_ENOMEM, BL_EPROTO (this request has one already).
 */
int bl_server_new(struct bl_txns *t, struct bl_flow *f, const struct bl_msg *m, const struct bl_server_user *u,
                  void *ctx, bool auto_100, struct bl_server **ret_st);
/*
 * Sends a response (takes its own reference) on the flow of the latest copy, or, when that is gone, of the one before.
 * Non-2xx finals of INVITE are retransmitted by the rules; 2xx to INVITE: Accepted (RFC 6026), and each further 2xx is
 * sent on; anything else after a final is ignored. 0; BL_EGONE, BL_EFULL when it could not be sent: the response counts
 * all the same and answers the next copy (but a 2xx to INVITE, which is not kept). Then the user may name another flow
 * by bl_server_move, as RFC 3261 section 18.2.2 says and its policy allows. `st` stays valid.
 */
int bl_server_respond(struct bl_server *st, unsigned status, struct bl_buf *response);
/* The same, written from the request that the caller still has (kept). Fills r.source and a To tag where the caller did
 * not. BL_ENOMEM, BL_ELIMIT besides. */
int bl_server_reply(struct bl_server *st, const struct bl_msg *req, const struct bl_response *r);
/* Responses go by this flow from now on, until a copy comes by another; the last one kept is sent there at once: its
 * result. 0 when there is none. */
int bl_server_move(struct bl_server *st, bl_flow_id flow);
struct bl_str bl_server_last(const struct bl_server *st); /* octets of the response kept; empty when none */
bl_flow_id bl_server_flow(const struct bl_server *st);    /* of the latest copy */
bool bl_server_final(const struct bl_server *st);         /* a final response was sent */
/* The user no longer wants callbacks; `st` is not to be used any more. The transaction lives out its timers; without a
 * final response it absorbs copies for 64*T1. */
void bl_server_forget(struct bl_server *st);
/* Answers without any transaction (stateless): Via's received/rport and, where the caller gave none, a To tag filled
 * (the same for each copy, RFC 3261 section 8.2.7). For REGISTER, challenges, errors. 0, BL_EINVAL (an ACK), or why it
 * was not sent. */
int bl_txn_reply(struct bl_txns *t, struct bl_flow *f, const struct bl_msg *req, const struct bl_response *r);

/* --- client --- */
struct bl_client_user { /* borrowed until bl_client_free; each may be NULL */
        /* Each response but retransmitted finals; 2xx to INVITE every time (RFC 6026 Accepted), and after one nothing
         * else. `from`: the flow it came by. `m` until return. The user may free or try again inside. */
        void (*response)(void *ctx, struct bl_client *, bl_flow_id from, const struct bl_msg *m);
        /* A try's flow went down, or its send failed, before that try's final response: `why`. The transaction lives:
         * try another, or bl_client_free. */
        void (*try_failed)(void *ctx, struct bl_client *, bl_flow_id flow, int why);
        /* Timer B or F since the first try, the deadline, or 64*T1 after CANCEL (RFC 3261 section 9.1): nothing more
         * will come; the user frees it. */
        void (*timeout)(void *ctx, struct bl_client *);
};
/*
 * `branch` with its cookie. One key (branch, method) per worker: BL_EINVAL when it is taken by one that still waits;
 * one that has its final response gives way. Timer B/F run 64*T1 from the first try unless deadline_at (0: none) is
 * earlier; for INVITE a provisional response stops them. ACKs for non-2xx are made here from the buffer that was sent
 * on the flow the final came by. BL_EFULL (budget), BL_ENOMEM.
 */
int bl_client_new(struct bl_txns *t, enum bl_method method, struct bl_str method_name, struct bl_str branch,
                  bl_us deadline_at, const struct bl_client_user *u, void *ctx, struct bl_client **ret_ct);
/*
 * One more try: sends `request` (takes its own reference) on the flow and, over UDP, retransmits it (Timer A / E) until
 * a provisional or 2xx answer by any flow, or any answer by its own; after a provisional a non-INVITE goes on every T2
 * on the flow that gave it (RFC 3261 section 17.1.2.2). 0, or why the flow could not take it (BL_EFULL, BL_EGONE,
 * BL_EPENDING: no try_failed follows); BL_ENOMEM, BL_EFULL (budget), BL_ELIMIT (BL_CLIENT_TRIES flows), BL_EPROTO
 * (timed out, or a 2xx came). Trying the same flow again re-sends at once. May follow a non-2xx final of another try
 * (305, 430, 503: section 5): that ended (and was ACKed for) its own try only, the transaction goes on, and the user
 * hears of further finals.
 */
enum { BL_CLIENT_TRIES = 64 };
int bl_client_try(struct bl_client *ct, bl_flow_id flow, struct bl_buf *request);
unsigned bl_client_sent(const struct bl_client *ct,
                        bl_flow_id flow); /* transmissions on that flow (failover_after over UDP wants two) */
/*
 * CANCEL on every flow tried whose final is still due, RFC 3261 section 9.1: now if a 1xx came, else when it comes; and
 * on flows tried later, right after the request. In transactions of their own that nobody needs to care for. INVITE
 * only.
 */
void bl_client_cancel(struct bl_client *ct);
/* The user wants no more callbacks. With a final response it lives out D/K/M; without one it goes at once (no CANCEL).
 * Accepts NULL. */
void bl_client_free(struct bl_client *ct);
/* The Via parameter that brings a response back to this worker: ";w=N" when workers > 1, else empty; put it in every
 * Via you write. Lives as long as `t`. */
struct bl_str bl_txns_via_param(const struct bl_txns *t);
