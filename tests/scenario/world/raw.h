/*
 * A SIP end written by hand: a plain phone, an attacker, a proxy that knows nothing of us. It sends text and looks at
 * text; nothing of the code under test but the parser and the framing is used. It lives on a node of its own with one
 * worker and listens on UDP and TCP 5060, and on TLS 5061 (once it has a certificate).
 *
 * Text is written with \n; every line gets CRLF, an empty line and Content-Length are added. In it stand
 *     $ME      address:port that we are reached at      $TP   UDP or TCP of the flow it is sent by
 *     $BRANCH  a new branch, z9hG4bK…                   $LAST the branch before
 *     $TAG     our tag, the same all the time           $CALL a Call-ID; raw_new_call makes another
 *     $N       a CSeq number that rises with each use   $M    the same number again
 */
#pragma once
#include "scenario/world/world.h"
#include "sip/frame.h"
#include "sip/msg.h"

enum { RAW_KEPT = 256, RAW_FLOWS = 32 };

struct raw_msg { /* one that came */
        struct raw *at;
        bl_flow_id flow;
        struct bl_str text;
        struct bl_msg *m; /* parsed; always */
        bool taken;
};
struct raw {
        struct world *w;
        struct sim_node *node;
        char name[32];
        unsigned branch, call, cseq;
        bool deaf; /* takes nothing in */
        /* Called for each message that comes, inside the turn; true: dealt with, not kept. May be NULL. */
        bool (*on)(struct raw *r, struct raw_msg *m);
        void *arg;
        struct raw_msg in[RAW_KEPT];
        unsigned n_in;
        struct {
                bl_flow_id id;
                bool up, ours;
                enum bl_tp tp;
                struct bl_addr remote, local;
                struct bl_frame_state st;
                size_t n;
                char buf[65536];
        } * flow[RAW_FLOWS];
        unsigned n_flows;
        struct bl_arena *arena;
};

struct raw *raw_new(struct world *w, const char *name); /* started */
/* A flow to a node's port of that transport, opened and up. */
bl_flow_id raw_open(struct raw *r, enum bl_tp tp, const struct sim_node *to);
bl_flow_id raw_flow_of(struct raw *r, const struct sim_node *peer); /* the newest from or to that node; 0 = none */
void raw_close(struct raw *r, bl_flow_id flow);
void raw_send(struct raw *r, bl_flow_id flow, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void raw_new_call(struct raw *r);
/* The oldest message not yet taken whose start line begins so; waits for it up to 40 s, else the story fails. */
struct raw_msg *raw_expect(struct raw *r, const char *start);
struct raw_msg *raw_got(struct raw *r, const char *start); /* likewise without waiting; NULL */
void raw_expect_nothing(struct raw *r, const char *start, double seconds);
unsigned raw_count(struct raw *r, const char *start); /* that came so far, taken or not */
/* Answers a request as RFC 3261 8.2.6 says (our tag in To); headers: further lines, or "". */
void raw_reply(struct raw_msg *m, unsigned status, const char *headers);
/* 200 with Contact for dialogs; by the flow it came. */
const char *raw_header(struct raw_msg *m, const char *name); /* "" when there is none; lives as long as the world */
/* All values of a list header joined by ", ", in order; "" when there is none. */
const char *raw_list(struct raw_msg *m, const char *name);
void raw_free(struct raw *r);
const char *raw_me(struct raw *r); /* its address:port */
/* The username/password answer to a 401 or 407: an Authorization or Proxy-Authorization line without CRLF. */
const char *raw_authorize(struct raw_msg *challenge, const char *user, const char *password, const char *method,
                          const char *uri);
