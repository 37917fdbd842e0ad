/*
 * What the files of sim/ share. Nobody else includes this.
 *
 *     sim.c    clock, heap of events, seed          flow.c   handles, a worker's inbox, env_ops
 *     node.c   machines, processes, turns           dgram.c  the UDP wire        stream.c  the TCP wire
 *     names.c  DNS     fault.c  accidents           trace.c  messages, observers, the ladder
 *     tls.c   certificates and tickets
 */
#pragma once
#include "base/hash.h"
#include "base/list.h"
#include "sim/sim.h"

enum { SEND_LIMIT = 256 * 1024, INBOX_LIMIT = 256 * 1024, NAME_LEN = 32 };

void *sim_alloc(size_t n); /* zeroed; aborts without memory */
#define NEW(type) ((type *)sim_alloc(sizeof(type)))

/* --- events --- */
enum ev_kind {
        EV_WAKE,   /* p: worker, a: epoch: something is in its inbox */
        EV_TIMER,  /* p: worker, a: epoch: its wheel wants to advance */
        EV_DGRAM,  /* p: dgram: arrives */
        EV_ICMP,   /* p: dgram: its sender learns that nobody listened */
        EV_SYN,    /* p: conn: an open arrives at the listener */
        EV_ACK,    /* p: conn: the opener learns of the accept */
        EV_REFUSE, /* p: conn: the opener learns that nobody listened */
        EV_PIPE,   /* p: conn, a: sending side: the head of the pipe arrives */
        EV_RST,    /* p: conn, a: side that is told */
        EV_DNS,    /* p: dnsq: the answer */
        EV_POST,   /* p: in, a: epoch: a post to another worker */
        EV_SCRIPT, /* p: script */
};
struct ev {
        bl_us at;
        uint64_t seq, a;
        void *p;
        enum ev_kind kind;
};
void ev_push(struct sim *s, bl_us at, enum ev_kind kind, void *p, uint64_t a);

/* --- endpoints: who has this address --- */
enum ep_kind { EP_HOST, EP_LISTENER, EP_SOCKET, EP_NAT };
enum ep_proto { EP_IP, EP_UDP, EP_TCP };
struct ep {
        struct bl_hnode h;
        enum ep_kind kind;
        enum ep_proto proto;
        struct bl_addr addr;
        struct sim_node *node;
        uint16_t listener;
        struct flow *flow; /* SOCKET, NAT */
};
void ep_add(struct sim *s, struct ep *e);
void ep_remove(struct sim *s, struct ep *e); /* accepts one that is not in */
struct ep *ep_find(const struct sim *s, enum ep_proto proto, const struct bl_addr *a);
struct sim_node *ep_host(const struct sim *s, const struct bl_addr *a); /* whose machine, by address without port */
static inline enum ep_proto ep_proto_of(enum bl_tp tp)
{
        return bl_tp_is_stream(tp) ? EP_TCP : EP_UDP;
}

/* --- nodes and workers --- */
enum node_state {
        NODE_OFF,     /* no process; the machine answers with ICMP and resets */
        NODE_RUNNING, /* */
        NODE_STOPPED, /* SIGSTOP */
        NODE_DARK,    /* no power */
};
struct listener {
        enum bl_tp tp;
        struct ep ep;
};
struct worker {
        struct env env;
        struct sim_node *node;
        unsigned index;
        struct bl_wheel *wheel;
        struct in *in_head, **in_tail; /* what has arrived and was not yet given to the core */
        size_t in_octets;
        bool waking, in_turn;
        bl_us timer_at;   /* of the pending EV_TIMER; UINT64_MAX = none */
        bl_us *post_last; /* by destination worker: keeps posts in order */
        struct flow **slot;
        uint32_t n_slots, *free_slots, n_free;
};
struct sim_node {
        struct sim *sim;
        char name[NAME_LEN];
        unsigned index;
        enum node_state state;
        uint32_t boots, epoch; /* epoch: changes with every start and death */
        struct sim_node_ops ops;
        void *ctx;
        struct bl_addr *addrs;
        struct ep **hosts; /* one per address */
        unsigned n_addrs;
        struct listener **listeners;
        unsigned n_listeners;
        struct sim_nat *nat;
        struct worker *w;
        unsigned n_workers;
        struct bl_log log;
        uint64_t rng;
        uint16_t next_port;
        bool unplugged, choked, want_kill, want_boot;
        enum sim_kill kill_how;
        struct bl_htab accepted; /* UDP: (listener, far end) -> flow */
        unsigned flows;
        struct cert *cert[SIM_CERTS], *cert_all; /* shown now; all that ever were */
        unsigned n_certs;
        char ticket_key[NAME_LEN];
        struct ticket *tickets; /* the process's */
};
struct sim_nat {
        struct sim_nat *next;
        struct sim *sim;
        struct bl_addr ip;
        uint32_t idle_ms, gen;
        uint16_t next_port;
};
struct block { /* from a to b nothing passes */
        const struct sim_node *a, *b;
};

struct sim {
        uint64_t seed, rng, order;
        bl_us now;
        struct sim_net net;
        struct ev *heap;
        size_t n_heap, cap_heap;
        uint64_t seq;
        struct bl_htab eps;
        struct sim_node **nodes;
        unsigned n_nodes, cap_nodes;
        struct sim_nat *nats;
        struct block *blocks;
        unsigned n_blocks;
        struct worker *running;
        int log_level; /* -1: not to stderr */
        /* names */
        struct bl_htab names;
        int dns_rc;
        unsigned dns_queries;
        /* trace */
        bool keep;
        uint64_t hash, n_msgs, n_delivered[2];
        struct tmsg *trace_first, **trace_tail;
        struct note *note_first, **note_tail;
        unsigned n_notes;
        struct observer *observers;
        struct trigger *triggers;
        uint64_t flow_seq;
};
uint64_t rng_next(uint64_t *state);
uint64_t rng_below(uint64_t *state, uint64_t below);
bool rng_ppm(struct sim *s, uint32_t ppm);
bl_us net_delay(struct sim *s);
bool net_blocked(const struct sim *s, const struct sim_node *from, const struct sim_node *to);

void worker_wake(struct worker *w);
void worker_run(struct worker *w); /* one turn, unless stopped */
void worker_timer(struct worker *w);
void node_settle(struct sim_node *n); /* a kill or restart that was asked for during a turn */
void node_free(struct sim_node *n);
extern const struct env_ops sim_env_ops;

/* --- flows --- */
enum flow_state {
        FLOW_OPENING, /* open was called; up or down is to come */
        FLOW_UP,
        FLOW_ENDING, /* closed by the core, or cut: down is in the inbox */
};
struct flow {
        bl_flow_id id;
        struct worker *w;
        enum flow_state state;
        enum bl_tp tp;
        void *user;
        struct bl_addr local, remote;
        uint16_t listener;
        bool paused, want_writable, cut, peer_gone;
        bool is_accepted, in_accepted; /* made by a far end; (UDP) in the node's table of accepted ones */
        bool known;                    /* the core has this handle: it opened it, or was told `up` */
        uint64_t seq;
        struct in *held_head, **held_tail; /* arrived while paused */
        /* UDP */
        struct ep sock;           /* an opened flow's own port; not in the table for an accepted one */
        struct bl_hnode accepted; /* an accepted flow's entry */
        struct ep nat;            /* how the world sees an opened flow from behind a NAT */
        uint32_t nat_gen;
        bl_us nat_used;
        bl_us last_arrival; /* at the far end: keeps order */
        /* streams */
        struct conn *conn;
        unsigned side;
};
enum in_kind { IN_UP, IN_DATA, IN_WRITABLE, IN_DOWN, IN_POST, IN_DNS };
struct in { /* one thing for the core */
        struct in *next;
        enum in_kind kind;
        bl_flow_id flow;
        int why;
        void *p;           /* POST: bl_post, DNS: dnsq */
        struct worker *to; /* POST */
        size_t n;
        char octets[];
};
struct flow *flow_new(struct worker *w, enum bl_tp tp, const struct bl_addr *local, const struct bl_addr *remote,
                      uint16_t listener, enum flow_state state);
struct flow *flow_get(const struct worker *w, bl_flow_id id);
void flow_end(struct flow *f, int why); /* down will follow; nothing more is sent or received */
void flow_release(struct flow *f);      /* slot, endpoints, connection: the handle is stale */
void in_flow(struct flow *f, enum in_kind kind, int why);
void in_data(struct flow *f, const char *p, size_t n);
void in_put(struct worker *w, struct in *in);
struct in *in_new(enum in_kind kind, size_t n);
void in_run(struct worker *w, struct in *in); /* gives it to the core and frees it */
void in_drop(struct worker *w, struct in *in);
void post_arrive(struct in *in, uint64_t epoch);

/* --- wires --- */
int dgram_open(struct flow *f);
int dgram_send(struct flow *f, struct bl_str octets);
void dgram_release(struct flow *f);
void dgram_arrive(struct sim *s, void *p);
void dgram_icmp(struct sim *s, void *p);
void dgram_free(struct sim *s, void *p);
struct flow *dgram_accepted(struct sim_node *n, uint16_t listener, const struct bl_addr *remote);

int stream_open(struct flow *f, struct bl_str name);
void stream_peer(const struct flow *f, struct bl_peer *p); /* what the far end has shown */
int stream_send(struct flow *f, struct bl_str octets);
void stream_close(struct flow *f, bool drain);
void stream_kill(struct flow *f, enum sim_kill how);
void stream_cut(struct flow *f, enum sim_cut how);
void stream_resume(struct flow *f); /* reads again */
void stream_release(struct flow *f);
struct flow *stream_far(const struct flow *f);
void stream_event(struct sim *s, const struct ev *e);
void stream_unref(struct sim *s, struct conn *c);

/* --- TLS --- */
struct cert;
const struct cert *tls_client(const struct sim_node *n); /* NULL: it has none */
const struct cert *tls_server(const struct sim_node *n, struct bl_str asked);
void tls_peer(const struct cert *c, struct bl_peer *p);
struct bl_str tls_asked(struct bl_str name); /* a number is not asked for */
/* Whether the client has a ticket that this server takes; then or not, it has one now. */
bool tls_resume(struct sim_node *client, const struct sim_node *server, struct bl_str name);
void tls_forget(struct sim_node *n); /* the process and its tickets are gone */
void tls_fini(struct sim_node *n);

/* --- names --- */
struct dnsq;
void names_query(struct worker *w, struct bl_query *q);
void names_cancel(struct bl_query *q);
void names_arrive(struct sim *s, void *p);
void names_run(struct worker *w, void *p);
void names_drop(void *p);
void names_fini(struct sim *s);

/* --- trace --- */
struct tmsg {
        struct sim_msg m; /* first */
        struct tmsg *next;
        uint64_t order;
        unsigned refs;
        char octets[];
};
struct tmsg *trace_msg(struct flow *f, const struct bl_addr *src, struct sim_node *to, struct bl_str octets);
void trace_unref(struct tmsg *t);
enum sim_verdict trace_phase(struct sim *s, struct tmsg *t, enum sim_phase phase);
void trace_lost(struct sim *s, struct tmsg *t);
void trace_mix(struct sim *s, uint64_t v);
void trace_fini(struct sim *s);
