/*
 * Private to io/: what a transport is made of. bl_transports has one for each enum bl_tp that there is code for.
 *
 *      core ── handle.c ──► carrier: kind of socket, queues, ends       udp.c, tcp.c
 *                              └──► layer: what its octets are wrapped in   secure.c; none: UDP, TCP
 *
 * Everything else of io/ asks the table and knows no transport by name. To add one: a file with its carrier or its
 * layer, its line in worker.h, its row in transport.c.
 *
 * A worker's own thread calls all of this. Functions that are "NULL: …" may be left out; all others are there.
 */
#pragma once
#include <sys/types.h>

#include "env/env.h"

struct worker;
struct sock;
struct flow;

/* A kind of socket. Its functions are called in a turn, but for init, fini, options and flush. */
struct carrier {
        /* SOCK_DGRAM, SOCK_STREAM. Of a stream, listeners are listened on, and close first when the world stops; the
         * sockets of its flows are in the worker's set of streams (sock.c), and what they have queued is waited for. */
        int type;
        void (*init)(struct worker *w); /* its part of the worker, which is zeroed */
        void (*fini)(
                struct worker *w); /* NULL: nothing to free. Also where there was no init; all sockets are closed */
        /* Of a listener's descriptor, before anything comes. 0 or -errno. NULL: none. */
        int (*options)(int fd, bool v6, bool wildcard);
        /* Begins a flow, FLOW_OPENING: sets f->sock, later tells `up` (and sets f->local before) or `down`. 0; or < 0,
         * then the flow has no socket and the caller drops it. */
        int (*open)(struct worker *w, struct flow *f, const struct bl_target *t);
        /* The flow is FLOW_UP; buf: ref. 0, BL_EFULL (f->want_writable is set), BL_EGONE, BL_ENOMEM: env.h's `send`. */
        int (*send)(struct worker *w, struct flow *f, struct bl_buf *buf);
        void (*flush)(struct worker *w); /* what was sent in this turn goes to the kernel */
        /* No `data` for this flow, or again; sets f->paused. Only when that changes. NULL: never, as its socket is
         * shared with other flows. */
        void (*pause)(struct worker *w, struct flow *f, bool stop);
        /* A flow that is up closes once what is queued went out. NULL: what was sent is on its way already, so it
         * closes at once. */
        void (*drain)(struct worker *w, struct flow *f);
        /* The flow is down and its sock is not in it any more: lets go, and closes the socket if that was the flow's
         * own. linger: only after what is queued went out, and the far end has ended its side, too. */
        void (*leave)(struct sock *s, struct flow *f, bool linger);
        /* What was polled for; failed: the loop has stopped polling because of an error. Of a listener: */
        void (*arrive)(struct sock *s, int events, bool failed);
        void (*event)(struct sock *s, int events, bool failed); /* of a flow's socket; streams: failed is false */
};

/*
 * What lies between a stream and its flow: tcp.c has the socket, its queue and its timers, and calls this. A stream's
 * part of it is s->inside, from `want` to `end`:
 *
 *      want ──► begin ──► shake … shake ──► FLOW_UP ──► read, put … ──► bye ──► end
 */
struct layer {
        int (*init)(struct worker *w); /* 0, BL_ENOMEM. Once for each transport with it: a second time is a no-op */
        void (*fini)(
                struct worker *w); /* all sockets are closed; also twice, and where init failed or was not called */
        /* For one more accepted connection; false: it waits in the kernel, and is asked again a moment later. */
        bool (*room)(struct worker *w);
        /* s->inside comes to be; nothing is sent yet. `to`: we open it (borrowed for the call), NULL: accepted. 0;
         * BL_ENOMEM, BL_EINVAL, then s->inside stays NULL. */
        int (*want)(struct sock *s, const struct bl_target *to);
        /* The socket is connected. server: we accepted. Arms s->timer for the end of patience. 0, then `shake`; or < 0,
         * then the flow goes down with that. */
        int (*begin)(struct sock *s, bool server);
        /* Goes on until the flow is up, when it disarms s->timer, sets FLOW_UP, clears f->untold and tells `up`; or
         * ends it by bl_handle_down. Called again when what it waits for is there. */
        void (*shake)(struct sock *s);
        /* What it waits for before that: UV_READABLE or UV_WRITABLE. */
        int (*wants)(const struct sock *s);
        /* There are octets on the socket of a flow that is up: receives (STREAM_READS times at most, not when
         * f->paused) and tells `data`; the end of the stream is bl_handle_down. */
        void (*read)(struct sock *s);
        /* From the front of the queue, s->written octets of it being done: sends, and returns how many of the queue's
         * octets went out; or -errno. After -EAGAIN the next call has the same octets, or more. */
        ssize_t (*put)(struct sock *s);
        /* Since when the far end holds the rest of something back that it began; 0: nothing. See bl_tcp_watch. */
        bl_us (*held)(const struct sock *s);
        void (*bye)(struct sock *s); /* nothing more will come from us: says so to the far end. Only after `begin` */
        void (*end)(struct sock *s); /* frees s->inside; the descriptor is still there */
};

struct transport {
        const struct carrier *on;  /* NULL: there is no code for it */
        const struct layer *layer; /* NULL: none */
};

extern const struct transport bl_transports[BL_TP_COUNT];

int bl_transport_init(struct worker *w); /* the worker's part of them all. 0, BL_ENOMEM: then bl_transport_fini */
void bl_transport_fini(struct worker *w);
void bl_transport_flush(struct worker *w);
