/*
 * The virtual world behind src/env/env.h: a whole network of nodes in one process and one thread, on a virtual clock,
 * with every accident drawn from one seed. The same seed and the same script give the same run, octet for octet: a
 * failure prints its seed, and that seed replays it.
 *
 *     script (test)                        sim                                   core (the code under test)
 *     sim_node, sim_listen, sim_start ──►  node ─ worker 0 ─ env + wheel  ──►    boot: bl_edge_new, bl_ua_new, …
 *     sim_run_until(predicate) ─────────►         worker 1 ─ env + wheel  ◄──    env_ops: open, send, arm, query, post
 *     sim_kill, sim_partition, … ───────►  wire: datagrams, streams, names  ──►  env_events: up, data, down, turn
 *                                          trace: every message, before it leaves and before it arrives
 *
 * Time. Events (arrivals, timers, posts, the script's own) sit in one heap, ordered by virtual microseconds and then by
 * order of creation. Nothing takes time but what the network says: a worker that is given something runs 0-30 us later
 * (drawn), takes all that has arrived by then in one turn, and so the workers of one node interleave differently under
 * each seed.
 *
 * Network. Addresses are real bl_addr values, but nothing leaves the process. A datagram may be lost, doubled,
 * overtaken. A stream is cut at any octet and its pieces arrive in order; loss is only delay. A stream into a partition
 * stalls and dies with -ETIMEDOUT after `user_timeout` (TCP_USER_TIMEOUT); into a node that has forgotten it, it is
 * reset.
 *
 * Processes. A node is a machine with one process. SIM_KILL_RESET kills the process only: its kernel closes the streams
 * and answers datagrams with ICMP. SIM_KILL_SILENT is power failure: nothing answers. A restart runs the node's boot
 * again with nothing kept. A stop (SIGSTOP) freezes the process while its kernel goes on accepting and buffering,
 * within limits.
 *
 * Everything here is called from the one thread, by the script between sim_run_* calls or from inside callbacks.
 * Pointers to sim, nodes and NATs live until sim_free.
 */
#pragma once
#include <stdio.h>

#include "env/env.h"

struct sim;
struct sim_node;
struct sim_nat;

/* --- the world --- */

struct sim_net {                             /* how the wire behaves; sim_new starts with sim_net_calm */
        uint32_t delay_min_us, delay_max_us; /* one way, drawn for each datagram and piece of a stream */
        uint32_t loss_ppm;                   /* datagrams lost; a lost piece of a stream comes 200 ms later */
        uint32_t dup_ppm;                    /* datagrams that arrive twice */
        uint32_t reorder_ppm; /* datagrams that may overtake and be overtaken; others keep the order of their flow */
        uint32_t cut_ppm;     /* deliveries of a stream that end at a drawn octet */
        uint32_t connect_ms;  /* an open of a stream without any answer fails with -ETIMEDOUT after this */
        uint32_t user_timeout_ms; /* a stream with unacknowledged octets dies after this */
        uint32_t dns_min_us, dns_max_us;
        uint32_t wake_max_us; /* how long a worker may take to notice */
};
extern const struct sim_net sim_net_calm;  /* 0.2-2 ms, no loss; streams cut now and then */
extern const struct sim_net sim_net_rough; /* 1-40 ms, 3 % loss, doubles, overtaking, a cut in every second delivery */

struct sim *sim_new(uint64_t seed); /* aborts without memory, as all of sim/ does: it is a tool of tests */
void sim_free(struct sim *s);       /* kills what still lives (its `dead` runs); accepts NULL */
uint64_t sim_seed(const struct sim *s);
void sim_set_net(struct sim *s, const struct sim_net *net); /* copied; from now on */
bl_us sim_now(const struct sim *s);
uint64_t sim_draw(struct sim *s, uint64_t below); /* a number 0 .. below-1 from the world's seed, for scripts */

/* Runs events until pred says true (looked at before the first and after each event): true; or until max_us have
 * passed or nothing is left to happen: false. */
bool sim_run_until(struct sim *s, bool (*pred)(void *arg), void *arg, bl_us max_us);
void sim_run_for(struct sim *s, bl_us us);
/* The next event, if there is one not after `end`: true; else the time is `end`: false. */
bool sim_step(struct sim *s, bl_us end);
/* Calls fn(arg) at now + delay, outside any worker. */
void sim_at(struct sim *s, bl_us delay, void (*fn)(struct sim *, void *arg), void *arg);

/* --- nodes --- */

struct sim_node_ops {
        /* Builds the process: sets ev and core of every sim_env(node, i). ctx as given to sim_node. */
        void (*boot)(struct sim_node *n, void *ctx);
        /* The process is no more: frees what boot made. Every env op is already without effect. May be NULL. */
        void (*dead)(struct sim_node *n, void *ctx);
};
/* A machine with that name (copied) and one address of its own (10.x.y.z, by order of creation). Not yet started. */
struct sim_node *sim_node(struct sim *s, const char *name, unsigned workers, const struct sim_node_ops *ops, void *ctx);
struct sim_node *sim_find(struct sim *s, const char *name); /* NULL when there is none */
const char *sim_name(const struct sim_node *n);
void *sim_ctx(const struct sim_node *n);
struct sim *sim_of(const struct sim_node *n);
struct bl_addr sim_addr(const struct sim_node *n, uint16_t port);      /* its first address */
void sim_add_addr(struct sim_node *n, const char *ip);                 /* one more; IPv4 or IPv6 */
uint16_t sim_listen(struct sim_node *n, enum bl_tp tp, uint16_t port); /* on the first address; the listener's index */
uint16_t sim_listen_at(struct sim_node *n, enum bl_tp tp, const char *ip, uint16_t port);
void sim_start(struct sim_node *n); /* boot */
struct env *sim_env(struct sim_node *n, unsigned worker);
unsigned sim_workers(const struct sim_node *n);
struct sim_node *sim_node_of(const struct env *e);
bool sim_alive(const struct sim_node *n); /* its process runs, or is stopped */
uint32_t sim_boots(const struct sim_node *n);

/* Around every call from the script into the core: sets now before, ends the turn after. Not inside a turn. */
void sim_enter(struct env *e);
void sim_leave(struct env *e);

/* Log lines of all nodes go to stderr from this level on; by default the environment's SIM_LOG=error|warn|info|debug,
 * else none. Otherwise the last error and warning lines are kept for the ladder. */
void sim_set_log(struct sim *s, enum bl_level level);
size_t sim_pool_used(const struct sim_node *n); /* octets that its workers hold, for "returns to idle" */
unsigned sim_flow_count(const struct sim_node *n);
size_t sim_timer_count(const struct sim_node *n);
/* Sum of a counter over the node's workers; value NULL: over all values of its label. */
uint64_t sim_counter(const struct sim_node *n, const char *name, const char *value);

/* --- TLS: certificates as data --- */
enum { SIM_CERTS = 8 };
struct sim_cert {
        const char *names; /* "sip:a.com a.com cn=a.com": with a colon a URI SAN, else a DNS SAN; cn= of the subject */
        const char *bad;   /* why its chain does not verify ("expired"); NULL: it does */
};
/* What the node shows in handshakes from now on (copied): the first as client, the first that has the asked name, else
 * the first, as server. None: as client it shows none, as server every handshake fails. */
void sim_certs(struct sim_node *n, const struct sim_cert *certs, unsigned n_certs);
/* The secret of its session tickets: a client resumes on every server with the same. "" (default): no tickets. */
void sim_ticket_key(struct sim_node *n, const char *key);

/* --- names --- */
void sim_dns_a(struct sim *s, const char *name, const struct bl_addr *addr, uint32_t ttl); /* A or AAAA by family */
void sim_dns_srv(struct sim *s, const char *name, uint16_t prio, uint16_t weight, const char *host, uint16_t port,
                 uint32_t ttl);
void sim_dns_clear(struct sim *s, const char *name); /* all records of that name */
void sim_dns_fail(struct sim *s, int rc);      /* from now on every query ends so (BL_ETIMEOUT after 5 s); 0 heals */
unsigned sim_dns_queries(const struct sim *s); /* asked so far */

/* --- faults. Against the node whose turn is running they take effect at the turn's end; what it still sends in that
 * turn is lost. --- */
enum sim_kill { SIM_KILL_RESET, SIM_KILL_SILENT };
void sim_kill(struct sim_node *n, enum sim_kill how); /* no-op when dead */
void sim_restart(struct sim_node *n);                 /* kills (RESET) if alive, then boots */
void sim_stop(struct sim_node *n);                    /* SIGSTOP */
void sim_cont(struct sim_node *n);                    /* SIGCONT */
enum sim_way { SIM_BOTH_WAYS, SIM_ONE_WAY /* only from a to b is lost */ };
void sim_partition(struct sim_node *a, struct sim_node *b, enum sim_way way);
void sim_heal(struct sim_node *a, struct sim_node *b); /* both ways */
void sim_unplug(struct sim_node *n, bool out);         /* the machine's cable: from and to everybody */
enum sim_cut {
        SIM_CUT_RESET,  /* streams: both ends see a reset; UDP: both ends see ICMP */
        SIM_CUT_SILENT, /* from now on nothing passes and nobody is told */
        SIM_CUT_FIN,    /* streams: both ends see an orderly end */
};
void sim_cut_flow(struct sim_node *n, bl_flow_id flow, enum sim_cut how);           /* no-op when stale */
unsigned sim_cut_between(struct sim_node *a, struct sim_node *b, enum sim_cut how); /* how many flows were cut */
void sim_choke(struct sim_node *n, bool full); /* every send answers BL_EFULL; writable follows when it ends */
/* Handle of the i-th live flow from n to peer (NULL: to anybody) in order of creation; 0 = there are not so many. */
bl_flow_id sim_flow_to(const struct sim_node *n, const struct sim_node *peer, unsigned i);

/* A NAT in front of nodes: they are seen by public_ip and a drawn port for each flow, nobody opens flows to them, an
 * idle UDP mapping is forgotten after idle_ms (0 = never). Before sim_start. */
struct sim_nat *sim_nat(struct sim *s, const char *public_ip, uint32_t idle_ms);
void sim_behind(struct sim_node *n, struct sim_nat *nat);
/* Forgets all mappings: the next UDP datagram of each flow leaves by another port; streams die silently. */
void sim_nat_rebind(struct sim_nat *nat);

/* --- the trace --- */

enum sim_phase {
        SIM_SEND,   /* the process has handed it to its kernel; nothing has left yet */
        SIM_DELIVER /* its first octet is about to be given to the receiving kernel's socket */
};
struct sim_msg {     /* one send: a datagram, or what one send put into a stream */
        uint64_t id; /* 1, 2, … in order of sending */
        bl_us sent_at;
        bl_us delivered_at;         /* of its first octet; 0 = not (yet) */
        struct sim_node *from, *to; /* to: NULL when nobody has that address */
        enum bl_tp tp;
        struct bl_addr src, dst; /* as on the wire near the receiver (after NAT); dst of a NATed receiver: public */
        bool sip;                /* not a keep-alive: begins with a letter */
        bool lost;
        struct bl_str octets;
};
enum sim_verdict { SIM_PASS, SIM_DROP };
/* May inject faults. DROP: a datagram is lost; from a stream the whole message is cut out. */
typedef enum sim_verdict (*sim_observer)(struct sim *s, const struct sim_msg *m, enum sim_phase phase, void *arg);
void sim_observe(struct sim *s, sim_observer fn, void *arg); /* in order of registration; for good */
/* SIP messages (no keep-alives) that have reached SIM_DELIVER so far; duplicates of the network count once. */
uint64_t sim_delivered(const struct sim *s);
/* Calls fn(arg) before the n-th SIP message from now (1 = the next) reaches `phase`. */
void sim_before(struct sim *s, enum sim_phase phase, uint64_t n,
                void (*fn)(struct sim *, const struct sim_msg *, void *), void *arg);
/* Whether messages are kept for the ladder (default) or only hashed: off for thousands of nodes. */
void sim_keep_trace(struct sim *s, bool keep);
uint64_t sim_trace_hash(const struct sim *s);               /* over every send, arrival, up, down and fault so far */
const struct sim_msg *sim_trace_first(const struct sim *s); /* in order of sending; keep-alives too */
const struct sim_msg *sim_trace_next(const struct sim_msg *m);
/* A line in the ladder among the messages; faults write theirs themselves. */
void sim_note(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Notes one after another, log lines from warnings up among them ("h1: ts=... event=..."); *cursor starts with NULL.
 * NULL: no more. */
const char *sim_note_next(const struct sim *s, const void **cursor);
/* The whole run for a reader: seed, then one line per message (time, from, arrow, to, start line and what tells
 * dialogs apart), faults and notes. Keep-alives only when `all`. */
void sim_ladder(const struct sim *s, FILE *out, bool all);
