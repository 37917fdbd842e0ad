/* Private to client.c and try.c. */
#pragma once
#include "txn/internal.h"

enum bl_client_state {
        BL_CLIENT_CALLING,    /* no answer yet (the RFC's Calling, Trying) */
        BL_CLIENT_PROCEEDING, /* a provisional response came, by whichever flow */
        BL_CLIENT_COMPLETED,  /* non-2xx final, or any final of a non-INVITE; a further try leads out of it again */
        BL_CLIENT_ACCEPTED,   /* INVITE: a 2xx came (RFC 6026) */
        BL_CLIENT_TIMED_OUT,  /* the user was told and has to free it */
};

struct bl_client {
        struct bl_hnode node;
        uint64_t check;
        struct bl_txns *txns;
        struct bl_link tries;  /* in the order of their beginning */
        struct bl_timer timer; /* B, F, the deadline; after the user let go: D, K, M */
        const struct bl_client_user *user;
        void *ctx;
        bl_us give_up_at; /* 0: no try yet, or an INVITE that was answered provisionally */
        bl_us deadline_at, final_at;
        uint8_t state, method;
        uint8_t n_tries, n_unanswered;
        bool provisional : 1; /* some 1xx came */
        bool success : 1;     /* a 2xx came */
        bool cancel : 1;      /* the user wants CANCEL … */
        bool cancelling : 1;  /* … and it was sent */
        bool udp : 1;         /* some try was over UDP */
        bool detached : 1;    /* the user let go */
        bool own : 1;         /* a CANCEL of ours: each flow has to answer for itself, nobody is called */
};

struct bl_client_try { /* one flow */
        struct bl_link link;
        struct bl_client *client;
        struct bl_watch watch;
        struct bl_timer timer; /* A, E */
        bl_flow_id flow;
        struct bl_buf *request; /* as sent there; after a non-2xx final of INVITE: its ACK */
        uint32_t interval_ms;
        uint32_t sent;
        bool udp : 1;
        bool failed : 1;      /* the flow went down */
        bool answered : 1;    /* finally */
        bool acked : 1;       /* `request` is the ACK */
        bool cancelled : 1;   /* a CANCEL was sent after it */
        bool provisional : 1; /* this flow gave a 1xx */
};

/* client.c */
void bl_client_check_timer(struct bl_client *ct); /* after a try began or was answered */
struct bl_client *bl_client_find(struct bl_txns *t, struct bl_txn_key key);
void bl_client_settle(struct bl_client *ct); /* lets go of one of our own when all flows have answered */

/* try.c */
struct bl_client_try *bl_try_find(const struct bl_client *ct, bl_flow_id flow);
/* The try that a response by `from` belongs to: most likely of that flow. NULL: nothing was tried. */
struct bl_client_try *bl_try_answered_by(const struct bl_client *ct, bl_flow_id from);
void bl_try_stop(struct bl_client_try *try); /* its retransmissions */
void bl_try_stop_all(struct bl_client *ct);
void bl_try_done(struct bl_client_try *try); /* its final response came */
void bl_try_ack(struct bl_client_try *try, bl_flow_id from, const struct bl_msg *response);
void bl_try_cancel(struct bl_client_try *try);
void bl_try_release(struct bl_client_try *try, bool keep_request); /* no more watching and retransmitting */
void bl_try_free(struct bl_client_try *try);
