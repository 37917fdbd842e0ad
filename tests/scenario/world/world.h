/*
 * What every scenario builds on: a whole cluster in the virtual world from one struct, phones and hand-written SIP
 * ends, and a runner that tells each story under both transports, one and two workers, and several seeds.
 *
 *     DNS   example.com ─► homes h1 …      edge.example.com ─► edges e1 e2 e3 …
 *
 *     phone (ua/) ──flow──► e1 ─┐
 *           └──────flow──► e3 ─┴─► h1 (store shared by all homes)        raw: any other SIP end, by hand
 *
 * A story is a function that reads from top to bottom. It waits with WAIT (runs the world until something is so, or
 * fails with the ladder of all messages and the command that replays the run) and says what must hold with MUST.
 */
#pragma once
#include "edge/edge.h"
#include "home/home.h"
#include "sim/sim.h"
#include "sim/store.h"
#include "store/mem.h"
#include "store/users.h"

enum { WORLD_EDGES = 6, WORLD_HOMES = 3, WORLD_PHONES = 64, WORLD_RAWS = 16, WORLD_ASKS = 1024, WORLD_MAP = 32 };

struct world;
struct phone;
struct raw;

struct world_conf {     /* zero: the usual */
        unsigned edges; /* 0 = 3; NO_EDGES: none */
        unsigned homes; /* 0 = 1; NO_HOMES: none */
        enum bl_home_policy policy;
        bool home_no_auth;
        bool no_tcp;               /* edges and homes listen on UDP only, against RFC 3261 section 18.2.1 */
        bool sealed;               /* tokens */
        unsigned set_size;         /* N; 0 = 2 */
        unsigned flow_timer_s;     /* 0 = 120 */
        unsigned expires_s;        /* of the phones' registrations; 0 = 600 */
        const struct sim_net *net; /* NULL = calm */
        bool store_trouble;        /* the store delays and reorders; with even seeds anyway */
        /* Nodes exist, none has started: more of them, names, trust. May be NULL. */
        void (*prepare)(struct world *w);
        /* Last word on a node's configuration before it starts, each time. May be NULL. */
        void (*edge_conf)(struct world *w, unsigned i, struct bl_edge_conf *c);
        void (*home_conf)(struct world *w, unsigned i, struct bl_home_conf *c);
        /* drawn by the runner */
        enum bl_tp tp;
        unsigned workers;
        uint64_t seed;
        const char *replay; /* more of the command that replays it; NULL: nothing */
};
#define NO_EDGES 99u
#define NO_HOMES 99u

enum { SERVER_WORKERS = 4, SERVER_TRUST = 24 };
struct server { /* one edge or home: configuration and what its process made */
        struct world *w;
        struct sim_node *node;
        unsigned index;
        bool is_edge;
        char name[8];
        struct bl_listener_info listeners[2]; /* UDP and TCP; under TLS that alone */
        struct bl_trust trust[SERVER_TRUST];
        unsigned n_trust;
        struct bl_edge_member members[WORLD_EDGES];
        struct bl_edge_home edge_home;
        struct bl_home_domain domain;
        struct bl_edge_conf edge_conf;
        struct bl_home_conf home_conf;
        struct bl_edge_node *edge_node;
        struct bl_home_node *home_node;
        struct bl_edge *edge[SERVER_WORKERS];
        struct bl_home *home[SERVER_WORKERS];
};

struct ask { /* one request that a phone sent, and what became of it */
        struct phone *from;
        struct leg *leg; /* NULL: out of any dialog */
        enum bl_method method;
        unsigned serial;      /* its X-Serial */
        unsigned status;      /* final; 0 = none yet */
        bool local;           /* made by the phone itself: there was no answer */
        unsigned provisional; /* the last 101-199 */
        unsigned tries;       /* flows it took */
        unsigned delivered;   /* times an application at a far end was told of it: must end as 1, but for forks */
        uint64_t told;        /* by which phones, a bit each */
        bl_us sent_at, delivered_at, answered_at;
        struct bl_ua_request *request; /* NULL once it is over */
};

struct world {
        struct sim *sim;
        struct world_conf conf;
        const char *title;
        const char *program;
        struct server *edge[WORLD_EDGES + 1]; /* edge[1] is e1 */
        struct server *home[WORLD_HOMES + 1];
        struct bl_token_keys *edge_keys, *home_keys;
        struct bl_static_route map[WORLD_MAP]; /* under TLS: what was published, for everybody */
        unsigned n_map;
        struct bl_users *users;
        struct bl_store *mem, *store;
        struct phone *phones[WORLD_PHONES];
        unsigned n_phones;
        struct raw *raws[WORLD_RAWS];
        unsigned n_raws;
        struct ask asks[WORLD_ASKS];
        unsigned n_asks;
};

struct world *world_new(const struct world_conf *conf, const char *title);
void world_free(struct world *w);
/* One more edge eN of the same cluster: nothing but configuration and key (section 7.3). Started, and in DNS. */
struct server *world_add_edge(struct world *w);
/* In DNS, under the story's transport; under TLS in the static map of all that start later. `name` is borrowed. */
void world_publish(struct world *w, const char *name, struct sim_node *n);
void world_cert(struct sim_node *n, const char *names, const char *bad);    /* sim_certs, for one */
void world_trust(struct server *s, const char *domain, struct sim_node *n); /* before it starts, or for its restart */
struct server *world_edge_of(struct world *w, const struct sim_node *n);    /* NULL when n is no edge */

/* The next event, but none after `end`: false when there was none. */
bool world_step(struct world *w, bl_us end);
/* Runs until `cond` holds; fails the story when it does not within so many virtual seconds. */
#define WAIT(w_, cond_, seconds_)                                                                                      \
        do {                                                                                                           \
                bl_us end_ = sim_now((w_)->sim) + (bl_us)((seconds_)*1e6);                                             \
                while (!(cond_))                                                                                       \
                        if (!world_step((w_), end_)) {                                                                 \
                                if (cond_)                                                                             \
                                        break;                                                                         \
                                world_fail((w_), __FILE__, __LINE__, "within %g s it never was so: %s",                \
                                           (double)(seconds_), #cond_);                                                \
                        }                                                                                              \
        } while (0)
#define MUST(w_, cond_)                                                                                                \
        do {                                                                                                           \
                if (!(cond_))                                                                                          \
                        world_fail((w_), __FILE__, __LINE__, "it is not so: %s", #cond_);                              \
        } while (0)
#define MUST_EQ(w_, a_, b_)                                                                                            \
        do {                                                                                                           \
                unsigned long long x_ = (unsigned long long)(a_), y_ = (unsigned long long)(b_);                       \
                if (x_ != y_)                                                                                          \
                        world_fail((w_), __FILE__, __LINE__, "%s is %llu, not %llu (%s)", #a_, x_, y_, #b_);           \
        } while (0)
/* Prints what happened and how to replay it; ends the program. */
void world_fail(struct world *w, const char *file, int line, const char *fmt, ...)
        __attribute__((noreturn, format(printf, 4, 5)));
static inline void world_pass(struct world *w, double seconds)
{
        sim_run_for(w->sim, (bl_us)(seconds * 1e6));
}

/* What a server has under way: 0 when traffic stops (section 7.5). */
size_t server_busy(const struct server *s);
size_t server_bindings(const struct server *s); /* rows of its stickiness table */
uint64_t server_count(const struct server *s, const char *counter, const char *value);
bool world_is_idle(struct world *w);
void world_hush(struct world *w); /* all phones and hand-written ends fall silent, for good */

/* --- the trace, asked --- */
/* Messages so far whose start line begins with `start`, from and to those nodes (NULL: any), that were not lost. */
unsigned world_seen(struct world *w, const struct sim_node *from, const struct sim_node *to, const char *start);
/* The last such message's octets; empty when there is none. */
struct bl_str world_last(struct world *w, const struct sim_node *from, const struct sim_node *to, const char *start);
/* Value of the first header of that name in a message's octets (trimmed; any case); empty when none. */
struct bl_str text_header(struct bl_str msg, const char *name);
bool text_has(struct bl_str text, const char *part);

/* --- stories --- */
struct story {
        const char *name;
        void (*tell)(struct world *w);
        struct world_conf conf;
        bool udp_only, tcp_only;
        bool tls_only, tls_too; /* certificates are in place: each server's name, chain good */
        unsigned seeds;         /* 0 = 3 */
};
/*
 * Tells every story under UDP and TCP, workers 1 and 2, seeds 1 … n. Options: --story NAME, --seed N, --tp
 * udp|tcp|tls, --workers N narrow that down; --ladder prints the messages of each run.
 */
/* One run of one story as `conf` says, with the idle check at its end. */
void world_tell(const struct story *st, const struct world_conf *conf, const char *program, bool ladder);
int world_main(int argc, char **argv, const struct story *stories, unsigned n);
