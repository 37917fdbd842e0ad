/* Shared by the files of the demo: the cluster it runs, the requests it counts, what the observer saw. */
#pragma once
#include <jansson.h>
#include <sys/types.h>

#include "base/hash.h"
#include "io/capture.h"
#include "io/child.h"
#include "io/overhear.h"
#include "sip/frame.h"
#include "sip/msg.h"

enum {
        DEMO_EDGES = 8,
        DEMO_CALLS = 1000,
        DEMO_PORT = 5060,
        DEMO_TLS_PORT = 5061,
        DEMO_LADDER = 20000, /* messages kept for the page */
};

/* --- who takes part: a column of the ladder each --- */
enum who { ALICE, BOB, HOME, EDGE1 }; /* EDGE1 + n: the n-th edge */
struct node {
        struct demo *demo;
        char name[16];
        struct bl_addr addr;
        struct bl_child *child;
        bool is_ua, wanted, listening;
        char dir_file[256]; /* its configuration */
        char log_file[256];
        off_t log_at;     /* read up to here */
        bl_flow_id probe; /* the connection that finds out whether it listens */
        struct bl_timer again;
        unsigned registered; /* a phone: bit n: node n has answered its REGISTER with 200 since it started */
        char primary[16];    /* a phone: first edge in its P */
};

/* --- one request inside a call, accounted for --- */
struct request {
        struct bl_hnode node; /* by Call-ID, CSeq, method, sender */
        struct request *next;
        char call_id[80];
        uint32_t cseq;
        enum bl_method method;
        uint8_t from;   /* ALICE or BOB */
        unsigned fault; /* after which fault it was sent; 0: before any */
        bl_us sent_at, delivered_at;
        bool asked, logged, seen_sent, seen_delivered, answered, retried;
        unsigned status, hops; /* hops: sightings on the wire */
        struct {
                uint8_t from, to;
        } path[16];
};
struct fault {
        char what[64];
        bl_us at;
        unsigned count; /* requests sent after it */
};
struct call {
        unsigned number[2]; /* as ALICE's and BOB's phone name it */
        char call_id[80];
        uint8_t caller;
        bool up[2], over, failed;
        bool busy; /* a request of ours is under way */
        unsigned turn;
};

/* --- why a request went where it went: as its sender logged it --- */
struct choice {
        struct bl_hnode node; /* by sender, branch, far end */
        unsigned by;
        char branch[96];
        struct bl_addr remote;
        bl_flow_id flow;
        uint8_t rank; /* 1 exact, 2 equivalent, 3 domain, 4 opened; 0: its sender did not choose */
        char binding[16];
};

/* --- a connection; of UDP: two addresses that talk --- */
struct conn {
        struct bl_hnode node;
        struct conn *next;
        struct bl_addr a, b; /* a opened it */
        enum bl_tp tp;
        unsigned number, messages;
        uint64_t octets; /* as on the wire */
        bool closed;
        bl_us opened_at, closed_at;
};

/* --- one message on the wire --- */
struct sighting {
        bl_us at;
        uint8_t from, to;
        char label[96];
        unsigned call; /* 1..; 0: none */
        bool fault;    /* not a message: label says what was done */
        const struct conn *conn;
        struct bl_addr source, target;
        const struct choice *choice; /* of a request; NULL: its sender did not say */
};

struct demo {
        struct bl_world *world;
        struct env *env;
        struct node node[EDGE1 + DEMO_EDGES];
        unsigned edges, calls, workers, n_node;
        uint64_t seed;
        enum bl_tp tp;
        const char *page;
        bool keep, all, quiet;
        char dir[200], bin[300];
        char keylog_file[256]; /* TLS: where the programs write their keys for the observer */
        uint8_t net;           /* 127.0.net.x */
        /* story */
        unsigned step, faults;
        struct fault fault[64];
        struct call call[DEMO_CALLS];
        unsigned n_call, placed;
        struct bl_timer tick;
        bl_us step_deadline, started_at;
        unsigned victim;
        bool failed, finished;
        char why[300];
        /* accounting */
        struct bl_htab requests;
        struct request *first, *last;
        /* observer */
        struct bl_capture *capture;
        struct bl_overhear *overhear; /* TLS: the capture's octets in clear; else NULL */
        struct bl_htab streams;
        struct bl_arena *arena;
        struct sighting *seen;
        unsigned n_seen;
        struct bl_htab choices, conns;
        struct conn *first_conn, *last_conn;
        unsigned n_conn, by_rank[5], unexplained; /* requests inside calls, by the rank of their choice */
        uint64_t messages, redirects;
};

/* demo_cluster.c */
bool demo_prepare(struct demo *d);              /* addresses, files */
bool demo_start(struct demo *d, unsigned node); /* 0; false and d->why */
void demo_kill(struct demo *d, unsigned node);
void demo_command(struct demo *d, unsigned phone, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void demo_cleanup(struct demo *d);
int demo_node_by_addr(const struct demo *d, const struct bl_addr *a); /* -1: nobody */
int demo_node_by_name(const struct demo *d, struct bl_str name);
const struct env_events *demo_env_events(void);

/* demo_count.c */
struct request *demo_request(struct demo *d, struct bl_str call_id, uint32_t cseq, enum bl_method m, unsigned from,
                             bool make);
void demo_table(struct demo *d);
bool demo_complete(const struct demo *d); /* every request was answered, and seen where it was logged */
unsigned demo_lost(const struct demo *d);

/* demo_see.c */
bool demo_observe(struct demo *d);
void demo_see_fault(struct demo *d, const char *what);
void demo_see_end(struct demo *d);
uint64_t demo_see_missed(const struct demo *d); /* packets and records: 0, or what was seen is not all */

/* demo_conn.c */
void demo_conn_see(struct demo *d, const struct bl_captured *c);
struct conn *demo_conn(const struct demo *d, const struct bl_captured *c); /* which carried it; NULL */
void demo_conn_end(struct demo *d);

/* demo_log.c */
const struct choice *demo_choice(struct demo *d, unsigned node, struct bl_str branch, const struct bl_addr *remote);
void demo_log_end(struct demo *d);

/* demo_page.c */
bool demo_write_page(const struct demo *d);

/* demo_story.c */
void demo_story_start(struct demo *d);
void demo_phone_line(void *arg, struct bl_child *c, struct bl_str line);
void demo_node_exited(void *arg, struct bl_child *c, int status, int signum);
void demo_fail(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct call *demo_call_by_id(struct demo *d, struct bl_str call_id);
