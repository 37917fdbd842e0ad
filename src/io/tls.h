/*
 * One TLS session (1.2 or 1.3) over a non-blocking socket: the narrow face behind which the library stands. Knows
 * nothing of loops, flows and timers; secure.c puts the two together.
 *
 *   in:  the caller receives octets and feeds them; then it calls bl_tls_handshake or bl_tls_read until that says
 *        -EAGAIN. Octets that were fed and not used yet are the caller's memory: it either goes on, or calls
 *        bl_tls_stash before that memory gets another content.
 *   out: records go straight to the socket.
 *
 * The handshake also completes when the far end's certificate is bad: bl_tls_describe says what is wrong, and the core
 * decides. One thread.
 */
#pragma once
#include "env/env.h"
#include "io/creds.h"

enum { BL_TLS_RECORD = 16384 /* octets of content in one record, at most */ };

enum bl_tls_ask { /* for the far end's certificate, as server */
                  BL_TLS_ASK,
                  BL_TLS_NEVER,
                  BL_TLS_REQUIRE /* no handshake without one */
};

struct bl_tls_how {
        bool server;
        enum bl_tls_ask ask;
        struct bl_str sni;     /* client: the name to ask for; empty or numeric: none is */
        struct bl_str session; /* client: octets of bl_tls_session to resume; empty: none */
};

struct bl_tls;
/* creds: one reference is taken and kept; pool: outlives the session; fd is borrowed for its life. 0, BL_ENOMEM. */
int bl_tls_new(struct bl_creds *creds, struct bl_pool *pool, const struct bl_tls_how *how, int fd,
               struct bl_tls **ret_tls) BL_MUSTCHECK;
void bl_tls_free(struct bl_tls *t); /* accepts NULL; sends nothing */

void bl_tls_feed(struct bl_tls *t, struct bl_str octets);
int bl_tls_stash(struct bl_tls *t);          /* copies what is left of the fed octets. 0, BL_ENOMEM */
bool bl_tls_stashed(const struct bl_tls *t); /* read on before receiving more */
bool bl_tls_partial(const struct bl_tls *t); /* the octets fed so far end inside a record */
/* 0 done; -EAGAIN: feed more, or, if bl_tls_blocked, call again when the socket has room; BL_EPROTO and -errno: it
 * failed (bl_tls_why), the far end was told as far as possible. */
int bl_tls_handshake(struct bl_tls *t);
/* Octets > 0; 0: the far end ended the session in order; -EAGAIN; BL_EPROTO or -errno: it is broken. */
ptrdiff_t bl_tls_read(struct bl_tls *t, char *to, size_t cap);
/*
 * Content octets taken > 0 (at most one record); -EAGAIN: the socket is full, and the record waits inside: call again,
 * whatever the arguments; what that returns counts the octets given first. BL_EPROTO or -errno: broken.
 */
ptrdiff_t bl_tls_write(struct bl_tls *t, struct bl_str octets);
bool bl_tls_blocked(const struct bl_tls *t); /* something waits for room in the socket */
void bl_tls_bye(struct bl_tls *t);           /* says that nothing more will come, if the socket has room; once */

/* After the handshake: fills chain, chain_text, names, asked and resumed; texts live as long as the arena. */
void bl_tls_describe(struct bl_tls *t, struct bl_arena *arena, struct bl_peer *peer);
/* Client: a new ticket came since the last call. Its octets are appended to out, unless there is no room. */
bool bl_tls_session(struct bl_tls *t, struct bl_sb *out);
const char *bl_tls_why(const struct bl_tls *t); /* of the last failure, for people. Static storage */
/* Refuses after the handshake, for a certificate that will not do. */
void bl_tls_refuse(struct bl_tls *t);
