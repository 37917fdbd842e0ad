/*
 * The real world: sockets, clock, DNS and threads behind env/env.h. N workers, each one libuv loop with its own flows
 * and timers; worker 0 runs in the thread that calls bl_world_run. UDP and TCP listeners have one socket per worker
 * (SO_REUSEPORT).
 *
 * How a program uses it:
 *   1. bl_world_new: listeners are bound, nothing runs yet;
 *   2. for each worker build the core upon bl_world_env(w, i): it sets env->ev and env->core. All in this thread, so
 *      the cores of several workers can be wired together; opening flows and arming timers is fine already;
 *   3. bl_world_run: returns when bl_world_stop was called and all workers have ended;
 *   4. free the cores (their calls to env_ops still work, but bring no more events), then bl_world_free.
 *
 * SIGPIPE is ignored from bl_world_new on, and the limit of open files is raised as far as the system allows.
 */
#pragma once
#include "env/env.h"
#include "io/creds.h"
#include "io/tls.h"

struct bl_world;
struct uv_loop_s;

/* Transports that there is code for: to listen on, and to open flows with. */
bool bl_world_speaks(enum bl_tp tp);
void bl_world_put_spoken(struct bl_sb *b); /* all of them, as the configuration spells them: "udp, tcp and tls" */

struct bl_world_listener {
        enum bl_tp tp;       /* one that bl_world_speaks */
        struct bl_addr addr; /* port 0: any free one, see bl_world_listener_addr; 0.0.0.0 and [::]: all addresses */
        enum bl_tls_ask ask; /* secure transports: for the certificates of those who come there */
};

struct bl_world_conf { /* zeroed = a client: no listeners, one worker, the system's DNS */
        const struct bl_world_listener *listeners;
        unsigned n_listeners;
        unsigned workers;          /* 0 = 1; at most 64 */
        const struct bl_addr *dns; /* name servers instead of the system's; port 0 = 53 */
        unsigned n_dns;
        uint32_t dns_timeout_ms;       /* of the first try of a query; 0 = 1500. Two tries per server */
        uint32_t connect_timeout_ms;   /* 0 = 10 s */
        uint32_t handshake_timeout_ms; /* of TLS, after connecting or accepting; 0 = 10 s */
        uint32_t stuck_timeout_ms;     /* a stream whose far end takes no octet, or holds half a TLS record back, for so
                                          long goes down; 0 = 30 s */
        struct bl_creds *creds;        /* for secure transports; a reference is taken. NULL: there are none */
        bool udp_trains;       /* equally long datagrams of one flow go to the kernel as one (UDP_SEGMENT): cheaper, but
                                  a capture on this machine sees them as one */
        struct bl_addr source; /* local address of flows that no listener gives one; family 0: the kernel's choice */
        uint32_t max_flows;    /* per worker; 0 = 1,000,000 */
        size_t pool_limit;     /* octets of memory per worker's pool; 0 = no limit */
        enum bl_level log_level;
        bool log_json, log_silent;
        struct bl_str node; /* for logs; borrowed for the world's life */
};

enum { BL_WORLD_WORKERS_MAX = 64, BL_WORLD_QUEUE_MAX = 256 << 10 /* octets queued on one flow */ };

/* Binds the listeners; takes over matching sockets that the service manager passed in (LISTEN_FDS). conf is borrowed
 * until return. 0, or < 0 with one line in `err`: what failed, for which address, and what to do about it. */
int bl_world_new(const struct bl_world_conf *conf, struct bl_sb *err, struct bl_world **ret_world) BL_MUSTCHECK;
void bl_world_free(struct bl_world *w); /* accepts NULL; not while it runs */
unsigned bl_world_workers(const struct bl_world *w);
struct env *bl_world_env(struct bl_world *w, unsigned worker);
struct bl_addr bl_world_listener_addr(const struct bl_world *w, unsigned listener); /* as bound */
/* From now on new secure flows get these (a reference is taken); those that are up keep theirs. Only in a world that
 * was made with some. Any thread. */
void bl_world_set_creds(struct bl_world *w, struct bl_creds *creds);

/* Runs until stopped. 0, or -errno when a thread cannot be started (then none runs). */
int bl_world_run(struct bl_world *w) BL_MUSTCHECK;
/* Asks all workers to end: listeners close, what is queued on streams is still sent for at most `drain_ms`. Any thread,
 * also before bl_world_run; twice is fine. */
void bl_world_stop(struct bl_world *w, uint32_t drain_ms);
/* `fn` runs as an event of worker 0 when the process gets `signum`. Before bl_world_run or in worker 0's thread. */
int bl_world_on_signal(struct bl_world *w, int signum, void (*fn)(struct bl_world *w, int signum, void *arg),
                       void *arg);

/*
 * Instead of bl_world_run, for programs with a loop of their own; one worker only. Whenever the descriptor is readable,
 * or bl_world_wait_ms has passed, bl_world_step(w, 0). Ask for the time after each step and after each other call.
 */
int bl_world_fd(const struct bl_world *w); /* stays the same; -1: there is none on this system */
int bl_world_wait_ms(struct bl_world *w);  /* 0: there is something to do now; -1: not before it is readable */
/* Does all there is to do, after waiting for it at most timeout_ms (-1: as long as it takes). 1; 0: stopped, and what
 * was queued is sent; -errno, BL_EINVAL with several workers. */
int bl_world_step(struct bl_world *w, int timeout_ms) BL_MUSTCHECK;

/*
 * For programs with business of their own (stdin, child processes): the loop of a worker, to add handles to; they must
 * be closed before bl_world_free, or be closed by the callbacks that its last turns still run. Such a callback first
 * calls bl_world_enter, so that env->now is true and the turn is ended (and what it sent flushed) before the loop
 * waits.
 */
struct uv_loop_s *bl_world_loop(struct bl_world *w, unsigned worker);
void bl_world_enter(struct env *env);
