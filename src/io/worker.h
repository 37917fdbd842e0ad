/*
 * Private to io/: one worker of the real world. Its files: world.c (life, turns, threads), handle.c (handles,
 * events put off), listen.c (binding), transport.c (which there are), udp.c, tcp.c, secure.c, dns.c.
 *
 * A turn is one iteration of the loop: timers, then everything that poll brought, and at its end (a prepare handle,
 * just before the loop waits again) what was put off: downs, ups and writables of flows, then the core's `turn`, then
 * the flush. A flow is freed only there; so pointers to it stay valid across any callback into the core.
 */
#pragma once
#include <sys/socket.h>
#include <uv.h>

#include "base/hash.h"
#include "base/list.h"
#include "io/transport.h"
#include "io/world.h"

enum {
        BATCH = 64,                       /* datagrams queued before a flush, and system calls' batch out */
        RECV_BATCH = 32,                  /* datagrams per system call in */
        RECV_ROUNDS = 4,                  /* of them per event, so that one socket does not starve the others */
        DATAGRAM_MAX = 65536,             /* any UDP payload fits */
        RECV_STRIDE = DATAGRAM_MAX + 576, /* not a multiple of 4 KiB: spreads the first lines over the cache's sets */
        STREAM_READ = 65536,
        STREAM_READS = 4, /* per event */
        ACCEPTS = 64,     /* per event */
        WRITE_IOV = 64,
        DEFER_ROUNDS = 16, /* of put-off events in one turn; more go on in the next, after a look at the sockets */
        LINGER_MS = 2000,  /* how long a closed stream may take to swallow its last octets */
        DRAIN_MS = 5000,   /* how long close(drain) may take to send what is queued */
        ACCEPT_PAUSE_MS = 500,
        HANDSHAKES = 1024, /* of accepted connections, under way in one worker */
        HANDSHAKES_PAUSE_MS = 20,
        USER_TIMEOUT_MS = 15000, /* octets not acknowledged: a silent death (protocol.md section 5) */
};

struct seg { /* one queued message of a stream, or one datagram that the socket had no room for */
        struct seg *next;
        struct bl_buf *buf;
        struct bl_addr to, from; /* datagrams on a listener's socket; from: family 0 = the socket's own */
        bl_flow_id flow;         /* datagrams */
};

/*
 * One descriptor in the loop; freed at the end of the turn in which it was closed. There may be a million streams, so
 * they have no handle of the loop, which is larger than all this: they are in a set of their own (sock.c), and the set
 * has one handle.
 */
struct sock {
        union {
                uv_poll_t *poll;          /* all that are not in the set of streams */
                struct bl_link lingering; /* those in it: in worker.lingering */
        };
        struct worker *w;
        int fd;
        enum bl_tp tp : 8;
        uint8_t polled; /* events asked for */
        uint16_t listener;
        bool listens : 1;  /* a listener's; else a flow's own */
        bool in_set : 1;   /* of streams: a flow's, SOCK_STREAM */
        bool wildcard : 1; /* UDP listener on all addresses: datagrams carry their local one */
        bool v6 : 1, closing : 1;
        bool want_writable : 1; /* UDP: some flow was told BL_EFULL */
        bool begun : 1;         /* stream: its layer is at work */
        bool ended : 1;         /* stream: our side is shut down */
        bool blocked : 1;       /* waits for room in the kernel */
        bool no_trains : 1;     /* UDP: the way does not take them, or they are not wanted */
        uint8_t tries;
        uint32_t written;     /* of the first in queue */
        struct flow *flow;    /* whose own it is; NULL: lingering, or a listener */
        struct bl_link dirty; /* has something to flush: in worker.dirty_udp or .dirty_tcp; closed: in worker.closed */
        union {
                struct {                     /* UDP: what waits in the batch */
                        int16_t first, last; /* into worker.out; -1 = none */
                };
                uint32_t blocked_ms; /* streams, when blocked: since when no octet got out; the clock's lower bits */
        };
        uint32_t queued; /* octets in queue */
        /* streams: what is to be written; UDP: what the kernel had no room for */
        struct seg *queue, **queue_end;
        struct bl_timer timer; /* connect, handshake, stuck, drain, linger, accept pause */
        void *inside;          /* what the transport's layer keeps of a stream; NULL: plain */
};

enum flow_state {
        FLOW_FREE,
        FLOW_OPENING, /* asked for; `up` or `down` will be told */
        FLOW_UP,
        FLOW_DRAINING, /* close(drain): writes on, reads no more */
        FLOW_DOWN      /* over for the core; `down` is told at the end of the turn */
};
enum { LATER_UP = 1, LATER_WRITABLE = 2, LATER_DOWN = 4 };

struct flow {
        uint32_t slot, gen;
        enum flow_state state : 8;
        uint8_t later; /* LATER_…: what the end of this turn tells */
        enum bl_tp tp : 8;
        bool paused, want_writable;
        bool untold; /* accepted, and the core has not heard of it yet */
        uint16_t listener;
        int why;
        void *user;
        struct sock *sock; /* its own, or its listener's; NULL when down */
        struct bl_addr local, remote;
        struct bl_link deferred;
        struct bl_hnode by_addr; /* accepted UDP only */
};

struct out { /* a datagram in the batch */
        struct bl_buf *buf;
        bl_flow_id flow;
        struct bl_addr to, from;
        int16_t next;
};

struct slot {
        struct flow *flow;
        uint32_t gen, next_free;
};
enum { SLOT_SEG = 1024, SLOT_SEGS = (1 << 24) / SLOT_SEG, NO_SLOT = 0xffffffff };

struct signal_watch {
        uv_signal_t handle;
        struct bl_world *world;
        void (*fn)(struct bl_world *w, int signum, void *arg);
        void *arg;
        struct signal_watch *next;
};

struct dns;

struct worker {
        struct env env; /* first: env.world is the worker */
        struct bl_world *world;
        struct bl_log log;
        uv_loop_t loop;
        uv_prepare_t prepare;
        uv_timer_t timer;
        uv_async_t wake;
        uv_idle_t again;   /* runs while put-off events are left over: the loop must not wait */
        uv_poll_t streams; /* of streams_fd */
        int streams_fd;    /* the set that all streams are in; -1 = not there */
        bool loop_open, handles_open, in_turn, stopping;
        bool begun;     /* its listeners listen */
        bool stopped;   /* and all that was to be sent before is */
        uint32_t turns; /* begun so far */
        struct bl_wheel *wheel;
        bl_us timer_at; /* what uv's timer is set to; UINT64_MAX = not */
        bl_us stop_at;
        struct bl_timer stop_timer;
        struct sock **listeners; /* world.n_listeners; NULL where this worker has none */
        /* flows */
        struct slot **segs;
        uint32_t n_segs, cap_segs, free_slot, n_flows;
        struct bl_htab by_addr;
        struct bl_link deferred;
        size_t stream_queued; /* octets on all streams, for the drain */
        /* datagrams out */
        struct out out[BATCH];
        unsigned n_out;
        unsigned n_stream_out; /* messages queued on streams since the last flush */
        struct bl_link dirty_udp, dirty_tcp;
        struct bl_link lingering; /* streams that no flow has any more, until their far end closes */
        struct bl_link closed;    /* events of this turn may still name them */
        /* datagrams in, octets in */
        struct bl_udp_in *in;
        char *read_buf;
        /* TLS; NULL without credentials */
        char *plain, *record; /* what was deciphered; several messages on their way into one record */
        struct bl_arena *names;
        struct bl_resume *resume;
        struct bl_link shaking; /* struct secure, oldest first */
        unsigned n_shaking;
        uint32_t creds_version;
        /* posts: newest first */
        _Atomic(struct bl_post *) posts;
        /* random octets, used from the end */
        uint8_t random[1024];
        size_t random_left;
        struct dns *dns;
        struct bl_query *failed_queries;
        struct bl_counter *recv_total, *sent_total, *udp_lost, *icmp_total, *accept_refused, *flows_gauge,
                *handshakes_full, *handshakes_resumed, *handshakes_failed, *stuck_total;
};

struct bl_world {
        struct bl_world_conf conf; /* its listeners and dns: own copies */
        struct bl_world_listener *listeners;
        struct bl_addr *dns;
        struct worker *workers; /* conf.workers */
        struct signal_watch *signals;
        _Atomic uint32_t stop_drain_ms; /* 0 = not; else 1 + ms */
        uv_mutex_t creds_lock;          /* for the two below */
        struct bl_creds *creds;
        uint32_t creds_version; /* counts the changes */
        uv_thread_t thread[BL_WORLD_WORKERS_MAX];
};

/* --- world.c --- */
void bl_worker_enter(struct worker *w); /* begins a turn unless one is under way */
void bl_worker_begin(struct worker *w); /* before the loop runs for the first time */
/* Ends the turn, if one is under way: what was put off is told, what was sent is flushed, uv's timer is set. */
void bl_worker_end_turn(struct worker *w);
bool bl_worker_pending(const struct worker *w); /* something is put off */
void bl_world_random(struct env *env, void *out, size_t n);
void bl_world_post(struct env *from, unsigned worker, struct bl_post *p);
static inline struct worker *bl_worker_of(struct env *env)
{
        return env->world;
}

/* --- handle.c: handles, and events put off to the end of the turn --- */
extern const struct env_ops bl_handle_ops;
int bl_handle_new(struct worker *w, struct flow **ret_flow); /* BL_ELIMIT, BL_ENOMEM; state FLOW_OPENING */
void bl_handle_drop(struct worker *w, struct flow *f);       /* undoes that, when nothing was told yet */
struct flow *bl_handle_get(struct worker *w, bl_flow_id id); /* NULL: stale */
bl_flow_id bl_handle_id(const struct worker *w, const struct flow *f);
void bl_handle_later(struct worker *w, struct flow *f, uint8_t what);
/* The flow is over: unhooks it from its socket (closed when `f` owns it) and tells `down` at the end of the turn. No-op
 * when it is down already. */
void bl_handle_down(struct worker *w, struct flow *f, int why, bool linger);
void bl_handle_peer(const struct flow *f, struct bl_peer *ret_peer);
void bl_handle_run_later(struct worker *w); /* tells what was put off until now */
void bl_handle_fini(struct worker *w);

/* --- listen.c --- */
int bl_listen_bind(struct bl_world *world, struct bl_sb *err); /* all listeners of all workers */
void bl_listen_start(struct worker *w);
void bl_listen_stop(struct worker *w); /* closes them; accepted UDP flows keep their socket, which no longer reads */

/* --- transports: a carrier or a layer for each file; transport.h says what they do --- */
extern const struct carrier bl_udp_carrier; /* udp.c */
extern const struct carrier bl_tcp_carrier; /* tcp.c */
extern const struct layer bl_secure_layer;  /* secure.c: TLS on the streams of tcp.c */
void bl_tcp_watch(struct sock *s); /* ends the flow unless what holds it up, its layer's too, moves on in time */

/* --- sock.c --- */
/* NULL without memory: fd is closed. listens: a listener's; else a flow's own. */
struct sock *bl_sock_new(struct worker *w, int fd, enum bl_tp tp, bool listens);
/* What its carrier's event or arrive is to hear of; events 0: nothing. 0 or -errno. */
int bl_sock_poll(struct sock *s, int events);
int bl_sock_set_open(struct worker *w); /* the set of streams; 0 or -errno */
void bl_sock_set_close(struct worker *w);
void bl_sock_reap(struct worker *w);      /* frees what was closed: at the end of a turn */
void bl_sock_close_all(struct worker *w); /* those without a flow: listeners, and those that linger */
/* Where flows opened for that listener come from, port 0; family 0: wherever the kernel likes. */
struct bl_addr bl_sock_source(const struct worker *w, uint16_t listener);
void bl_sock_close(struct sock *s);                 /* queued things are let go */
void bl_sock_push(struct sock *s, struct seg *seg); /* to the end of the queue; takes */
void bl_sock_pop(struct sock *s);                   /* lets the first go */

/* --- dns.c --- */
void bl_dns_query(struct env *env, struct bl_query *q);
void bl_dns_cancel(struct env *env, struct bl_query *q);
bool bl_dns_pending(const struct worker *w); /* an answer came inside query() */
void bl_dns_run_later(struct worker *w);     /* and is told now */
void bl_dns_fini(struct worker *w);
