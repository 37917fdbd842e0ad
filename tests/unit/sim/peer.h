/* The smallest process there is: it remembers what the world tells it, and answers "echo" by itself when asked to. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/sim.h"

enum { PEER_TEXT = 1 << 20, PEER_FLOWS = 64, PEER_WORKERS = 4 };

struct peer {
        struct sim_node *node;
        bool echo; /* sends back what it gets */
        unsigned ups, downs, writables, turns, boots, deads;
        int why;                            /* of the last down */
        bl_flow_id flow, flows[PEER_FLOWS]; /* last, and all in order of up */
        void *user;                         /* of the last event */
        struct bl_addr remote;              /* of the last up */
        uint16_t listener;
        unsigned on_worker[PEER_WORKERS]; /* data events */
        unsigned pieces;                  /* data events */
        size_t n;
        char text[PEER_TEXT]; /* all octets, one after another; datagrams end with '|' */
};

static inline struct peer *peer_of(struct env *e)
{
        return e->core;
}

static inline int peer_say_on(struct peer *p, bl_flow_id flow, struct bl_str octets)
{
        struct env *e = sim_env(p->node, bl_flow_worker(flow));
        struct bl_buf *b = bl_buf_copy(e->pool, octets);
        int rc = env_send(e, flow, b);
        bl_buf_unref(e->pool, b);
        return rc;
}

static inline void peer_up(struct env *e, bl_flow_id f, const struct bl_peer *peer, void *user)
{
        struct peer *p = peer_of(e);
        p->flows[p->ups % PEER_FLOWS] = p->flow = f;
        p->ups++;
        p->user = user;
        p->remote = peer->remote;
        p->listener = peer->listener;
}

static inline void peer_data(struct env *e, bl_flow_id f, void *user, struct bl_str octets, bool datagram)
{
        struct peer *p = peer_of(e);
        (void)user;
        p->pieces++;
        p->on_worker[e->worker % PEER_WORKERS]++;
        if (p->n + octets.n + 2 > PEER_TEXT)
                p->n = 0;
        memcpy(p->text + p->n, octets.p, octets.n);
        p->n += octets.n;
        if (datagram)
                p->text[p->n++] = '|';
        p->text[p->n] = 0;
        if (p->echo)
                peer_say_on(p, f, octets);
}

static inline void peer_writable(struct env *e, bl_flow_id f, void *user)
{
        (void)f, (void)user;
        peer_of(e)->writables++;
}

static inline void peer_down(struct env *e, bl_flow_id f, void *user, int why)
{
        struct peer *p = peer_of(e);
        p->downs++;
        p->flow = f;
        p->user = user;
        p->why = why;
}

static inline void peer_turn(struct env *e)
{
        peer_of(e)->turns++;
}

static inline void peer_boot(struct sim_node *n, void *ctx)
{
        static const struct env_events ev = {
                .up = peer_up, .data = peer_data, .writable = peer_writable, .down = peer_down, .turn = peer_turn};
        struct peer *p = ctx;
        p->boots++;
        for (unsigned i = 0; i < sim_workers(n); i++) {
                sim_env(n, i)->ev = &ev;
                sim_env(n, i)->core = p;
        }
}

static inline void peer_dead(struct sim_node *n, void *ctx)
{
        (void)n;
        ((struct peer *)ctx)->deads++;
}

/* A started node with listeners UDP and TCP 5060 (indexes 0 and 1) when `listens`. */
static inline struct peer *peer_new(struct sim *s, const char *name, unsigned workers, bool listens)
{
        static const struct sim_node_ops ops = {.boot = peer_boot, .dead = peer_dead};
        struct peer *p = test_calloc(1, sizeof(*p));
        p->node = sim_node(s, name, workers, &ops, p);
        if (listens) {
                sim_listen(p->node, BL_UDP, 5060);
                sim_listen(p->node, BL_TCP, 5060);
        }
        sim_start(p->node);
        return p;
}

static inline bl_flow_id peer_open_at(struct peer *p, enum bl_tp tp, struct bl_addr to, void *user)
{
        struct env *e = sim_env(p->node, 0);
        struct bl_target t = {.tp = tp, .to = to, .listener = BL_LISTENER_NONE};
        bl_flow_id f = 0;
        sim_enter(e);
        assert_int_equal(e->ops->open(e, &t, user, &f), 0);
        sim_leave(e);
        return f;
}

static inline bl_flow_id peer_open(struct peer *p, enum bl_tp tp, struct peer *to)
{
        return peer_open_at(p, tp, sim_addr(to->node, 5060), p);
}

/* In a turn of its own. */
static inline int peer_say(struct peer *p, bl_flow_id f, const char *text)
{
        struct env *e = sim_env(p->node, bl_flow_worker(f));
        sim_enter(e);
        int rc = peer_say_on(p, f, bl_str_z(text));
        sim_leave(e);
        return rc;
}

static inline void peer_close(struct peer *p, bl_flow_id f, bool drain)
{
        struct env *e = sim_env(p->node, bl_flow_worker(f));
        sim_enter(e);
        e->ops->close(e, f, drain);
        sim_leave(e);
}
