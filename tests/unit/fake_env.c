#include "unit/fake_env.h"

#include <stdlib.h>

static struct fake_worker *worker(struct env *e)
{
        return BL_CONTAINER(e, struct fake_worker, env);
}
static struct fake *world(struct env *e)
{
        return e->world;
}

struct fake_flow *fake_flow(struct fake *f, bl_flow_id id)
{
        struct fake_flow *fl = &f->flows[bl_flow_slot(id) % FAKE_FLOWS];
        return fl->state != FAKE_FREE && fl->id == id ? fl : NULL;
}

static struct fake_flow *make(struct fake *f, unsigned w)
{
        for (uint32_t slot = 0; slot < FAKE_FLOWS; slot++) {
                struct fake_flow *fl = &f->flows[slot];
                if (fl->state != FAKE_FREE)
                        continue;
                *fl = (struct fake_flow){.id = bl_flow_make(w, slot, ++f->generation)};
                bl_addr_parse_port(BL_STR("127.0.0.1:5060"), 0, &fl->local);
                return fl;
        }
        abort();
}

/* ---- env_ops ---- */

static int op_open(struct env *e, const struct bl_target *to, void *user, bl_flow_id *ret_flow)
{
        struct fake *f = world(e);
        if (f->open_rc < 0)
                return f->open_rc;
        struct fake_flow *fl = make(f, e->worker);
        fl->tp = to->tp;
        fl->remote = to->to;
        fl->listener = BL_LISTENER_NONE;
        fl->user = user;
        fl->state = FAKE_OPENING;
        *ret_flow = fl->id;
        return 0;
}

static int op_send(struct env *e, bl_flow_id id, struct bl_buf *b)
{
        struct fake *f = world(e);
        struct fake_flow *fl = fake_flow(f, id);
        if (bl_flow_worker(id) != e->worker || !fl || fl->state != FAKE_UP)
                return BL_EGONE;
        if (fl->send_rc < 0)
                return fl->send_rc;
        if (f->n_sent == FAKE_SENT)
                abort();
        struct fake_sent *s = &f->sent[f->n_sent++];
        s->flow = id;
        s->at = e->now;
        s->n = b->len;
        s->taken = false;
        size_t n = b->len < FAKE_TEXT - 1 ? b->len : FAKE_TEXT - 1;
        memcpy(s->text, b->data, n);
        s->text[n] = '\0';
        return 0;
}

static void op_set_user(struct env *e, bl_flow_id id, void *user)
{
        struct fake_flow *fl = fake_flow(world(e), id);
        if (fl)
                fl->user = user;
}

static void op_pause(struct env *e, bl_flow_id id, bool stop)
{
        (void)e, (void)id, (void)stop;
}

static void op_close(struct env *e, bl_flow_id id, bool drain)
{
        struct fake_flow *fl = fake_flow(world(e), id);
        if (!fl)
                return;
        fl->state = FAKE_CLOSING;
        fl->drained = drain;
}

static void op_arm(struct env *e, struct bl_timer *t, bl_us at)
{
        bl_wheel_arm(worker(e)->wheel, t, at);
}
static void op_disarm(struct env *e, struct bl_timer *t)
{
        bl_wheel_disarm(worker(e)->wheel, t);
}
static void op_query(struct env *e, struct bl_query *q)
{
        (void)e, (void)q;
        abort();
}
static void op_cancel(struct env *e, struct bl_query *q)
{
        (void)e, (void)q;
}
static void op_random(struct env *e, void *p, size_t n)
{
        (void)e;
        memset(p, 0x5a, n);
}

static void op_post(struct env *from, unsigned w, struct bl_post *p)
{
        struct fake *f = world(from);
        struct fake_worker *to = &f->w[w];
        if (w >= f->n || to->n_posts == FAKE_POSTS)
                abort();
        to->posts[(to->first_post + to->n_posts++) % FAKE_POSTS] = p;
}

static const struct env_ops ops = {op_open,   op_send,  op_set_user, op_pause,  op_close, op_arm,
                                   op_disarm, op_query, op_cancel,   op_random, op_post};

/* ---- life ---- */

struct fake *fake_new(unsigned workers)
{
        struct fake *f = calloc(1, sizeof(*f));
        if (!f || workers > FAKE_WORKERS)
                abort();
        f->n = workers;
        for (unsigned i = 0; i < workers; i++) {
                struct fake_worker *w = &f->w[i];
                w->wheel = bl_wheel_new(BL_SEC(1000));
                w->env = (struct env){.ops = &ops,
                                      .world = f,
                                      .now = BL_SEC(1000),
                                      .wall = 1700000000,
                                      .worker = (uint16_t)i,
                                      .workers = (uint16_t)workers,
                                      .hash_seed = 0x1234567890abcdefu,
                                      .pool = bl_pool_new(0),
                                      .log = &f->log,
                                      .stats = bl_stats_new()};
                if (!w->wheel || !w->env.pool || !w->env.stats)
                        abort();
        }
        return f;
}

void fake_free(struct fake *f)
{
        for (unsigned i = 0; i < f->n; i++) {
                bl_wheel_free(f->w[i].wheel);
                bl_pool_free(f->w[i].env.pool);
                bl_stats_free(f->w[i].env.stats);
        }
        free(f);
}

struct env *fake_env(struct fake *f, unsigned w)
{
        return &f->w[w].env;
}
bl_us fake_now(const struct fake *f)
{
        return f->w[0].env.now;
}

/* ---- what happens ---- */

static bool run_posts(struct fake_worker *w)
{
        unsigned n = w->n_posts; /* those made meanwhile belong to the next turn */
        for (unsigned i = 0; i < n; i++) {
                struct bl_post *p = w->posts[w->first_post];
                w->first_post = (w->first_post + 1) % FAKE_POSTS;
                w->n_posts--;
                p->run(p, &w->env);
        }
        return n > 0;
}

static bool run_downs(struct fake *f)
{
        bool any = false;
        for (unsigned i = 0; i < FAKE_FLOWS; i++) {
                struct fake_flow fl = f->flows[i];
                if (fl.state != FAKE_CLOSING)
                        continue;
                f->flows[i].state = FAKE_FREE;
                struct env *e = fake_env(f, bl_flow_worker(fl.id));
                e->ev->down(e, fl.id, fl.user, 0);
                any = true;
        }
        return any;
}

static void turns(struct fake *f)
{
        for (unsigned i = 0; i < f->n; i++) {
                if (f->w[i].env.ev)
                        f->w[i].env.ev->turn(&f->w[i].env);
        }
}

void fake_settle(struct fake *f)
{
        bool any;
        do {
                any = run_downs(f);
                for (unsigned i = 0; i < f->n; i++)
                        any |= run_posts(&f->w[i]);
                turns(f);
                for (unsigned i = 0; i < f->n; i++)
                        any |= f->w[i].n_posts > 0;
        } while (any);
}

void fake_pass(struct fake *f, unsigned ms)
{
        bl_us end = fake_now(f) + BL_MS(ms);
        fake_settle(f);
        while (fake_now(f) < end) {
                bl_us next = end;
                for (unsigned i = 0; i < f->n; i++) {
                        bl_us at = bl_wheel_next(f->w[i].wheel);
                        next = at < next ? at : next;
                }
                next = next <= fake_now(f) ? fake_now(f) + 1000 : next;
                next = next > end ? end : next;
                for (unsigned i = 0; i < f->n; i++) {
                        f->w[i].env.now = next;
                }
                for (unsigned i = 0; i < f->n; i++)
                        bl_wheel_advance(f->w[i].wheel, next);
                fake_settle(f);
        }
}

static void tell_up(struct fake *f, struct fake_flow *fl, const struct bl_peer *peer)
{
        struct env *e = fake_env(f, bl_flow_worker(fl->id));
        fl->state = FAKE_UP;
        e->ev->up(e, fl->id, peer, fl->user);
}

bl_flow_id fake_accept_peer(struct fake *f, unsigned w, const struct bl_peer *peer)
{
        struct fake_flow *fl = make(f, w);
        bl_flow_id id = fl->id;
        fl->tp = peer->tp;
        fl->remote = peer->remote;
        fl->listener = peer->listener;
        tell_up(f, fl, peer);
        fake_settle(f);
        return id;
}

bl_flow_id fake_accept(struct fake *f, unsigned w, enum bl_tp tp, const char *remote)
{
        struct bl_peer peer = {.tp = tp};
        bl_addr_parse_port(BL_STR("127.0.0.1:5060"), 0, &peer.local);
        bl_addr_parse_port(bl_str_z(remote), 0, &peer.remote);
        return fake_accept_peer(f, w, &peer);
}

void fake_up_peer(struct fake *f, bl_flow_id id, const struct bl_peer *shown)
{
        struct fake_flow *fl = fake_flow(f, id);
        struct bl_peer peer = *shown;
        peer.tp = fl->tp;
        peer.local = fl->local;
        peer.remote = fl->remote;
        peer.listener = fl->listener;
        tell_up(f, fl, &peer);
        fake_settle(f);
}

void fake_up(struct fake *f, bl_flow_id id)
{
        fake_up_peer(f, id, &(struct bl_peer){0});
}

void fake_down(struct fake *f, bl_flow_id id, int why)
{
        struct fake_flow *fl = fake_flow(f, id);
        struct env *e = fake_env(f, bl_flow_worker(id));
        void *user = fl->user;
        fl->state = FAKE_FREE;
        e->ev->down(e, id, user, why);
        fake_settle(f);
}

bl_flow_id fake_opened(struct fake *f, unsigned nth)
{
        for (unsigned i = 0; i < FAKE_FLOWS; i++) {
                struct fake_flow *fl = &f->flows[i];
                if ((fl->state == FAKE_OPENING || fl->state == FAKE_UP) && fl->listener == BL_LISTENER_NONE &&
                    nth-- == 0)
                        return fl->id;
        }
        return 0;
}

void fake_data(struct fake *f, bl_flow_id id, struct bl_str octets)
{
        struct fake_flow *fl = fake_flow(f, id);
        struct env *e = fake_env(f, bl_flow_worker(id));
        /* A copy of exact size, gone after the event: reading past it or later is found by the asan preset. */
        char *copy = malloc(octets.n ? octets.n : 1);
        if (!copy)
                return;
        if (octets.n)
                memcpy(copy, octets.p, octets.n);
        e->ev->data(e, id, fl->user, bl_str_make(copy, octets.n), fl->tp == BL_UDP);
        free(copy);
        fake_settle(f);
}

void fake_text(struct fake *f, bl_flow_id id, const char *text)
{
        fake_data(f, id, bl_str_z(text));
}

const struct fake_sent *fake_take(struct fake *f, bl_flow_id id)
{
        for (unsigned i = 0; i < f->n_sent; i++) {
                if (f->sent[i].flow == id && !f->sent[i].taken) {
                        f->sent[i].taken = true;
                        return &f->sent[i];
                }
        }
        return NULL;
}

unsigned fake_pending(struct fake *f, bl_flow_id id)
{
        unsigned n = 0;
        for (unsigned i = 0; i < f->n_sent; i++)
                n += f->sent[i].flow == id && !f->sent[i].taken;
        return n;
}

void fake_drop_all(struct fake *f)
{
        f->n_sent = 0;
}
