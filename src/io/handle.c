/* Flows by handle; what is told at the end of a turn; the env's operations. */
#include "io/worker.h"

#include <errno.h>
#include <stdlib.h>

/* ---- slots ---- */

static struct slot *slot_at(const struct worker *w, uint32_t i)
{
        return &w->segs[i / SLOT_SEG][i % SLOT_SEG];
}

static int add_segment(struct worker *w)
{
        if (w->n_segs == SLOT_SEGS)
                return BL_ELIMIT;
        if (w->n_segs == w->cap_segs) {
                uint32_t cap = w->cap_segs ? w->cap_segs * 2 : 4;
                struct slot **more = realloc(w->segs, cap * sizeof(*more));
                if (!more)
                        return BL_ENOMEM;
                w->segs = more;
                w->cap_segs = cap;
        }
        struct slot *seg = calloc(SLOT_SEG, sizeof(*seg));
        if (!seg)
                return BL_ENOMEM;
        uint32_t base = w->n_segs * SLOT_SEG;
        for (uint32_t i = 0; i < SLOT_SEG; i++)
                seg[i] = (struct slot){.gen = 1, .next_free = i + 1 < SLOT_SEG ? base + i + 1 : w->free_slot};
        w->segs[w->n_segs++] = seg;
        w->free_slot = base;
        return 0;
}

int bl_handle_new(struct worker *w, struct flow **ret_flow)
{
        uint32_t max = w->world->conf.max_flows;
        if (w->n_flows >= max)
                return BL_ELIMIT;
        if (w->free_slot == NO_SLOT) {
                int rc = add_segment(w);
                if (rc < 0)
                        return rc;
        }
        struct flow *f = bl_pool_zalloc(w->env.pool, sizeof(*f));
        if (!f)
                return BL_ENOMEM;
        struct slot *s = slot_at(w, w->free_slot);
        f->slot = w->free_slot;
        f->gen = s->gen;
        f->listener = BL_LISTENER_NONE;
        f->state = FLOW_OPENING;
        w->free_slot = s->next_free;
        s->flow = f;
        bl_gauge_set(w->flows_gauge, ++w->n_flows);
        *ret_flow = f;
        return 0;
}

void bl_handle_drop(struct worker *w, struct flow *f)
{
        struct slot *s = slot_at(w, f->slot);
        bl_list_remove(&f->deferred);
        s->flow = NULL;
        s->gen = s->gen == UINT32_MAX ? 1 : s->gen + 1; /* 0 would make the handle of slot 0, worker 0 "none" */
        s->next_free = w->free_slot;
        w->free_slot = f->slot;
        bl_gauge_set(w->flows_gauge, --w->n_flows);
        bl_pool_give(w->env.pool, f, sizeof(*f));
}

bl_flow_id bl_handle_id(const struct worker *w, const struct flow *f)
{
        return bl_flow_make(w->env.worker, f->slot, f->gen);
}

struct flow *bl_handle_get(struct worker *w, bl_flow_id id)
{
        uint32_t i = bl_flow_slot(id);
        if (bl_flow_worker(id) != w->env.worker || i / SLOT_SEG >= w->n_segs)
                return NULL;
        struct slot *s = slot_at(w, i);
        return s->flow && s->gen == bl_flow_gen(id) ? s->flow : NULL;
}

/* ---- put off to the end of the turn ---- */

void bl_handle_later(struct worker *w, struct flow *f, uint8_t what)
{
        f->later |= what;
        if (!bl_link_linked(&f->deferred))
                bl_list_push_back(&w->deferred, &f->deferred);
}

void bl_handle_down(struct worker *w, struct flow *f, int why, bool linger)
{
        struct sock *s = f->sock;
        if (f->state == FLOW_DOWN)
                return;
        f->state = FLOW_DOWN;
        f->why = why;
        f->sock = NULL;
        f->later = 0;
        bl_handle_later(w, f, LATER_DOWN);
        if (!s)
                return;
        bl_transports[f->tp].on->leave(s, f, linger);
}

void bl_handle_peer(const struct flow *f, struct bl_peer *ret_peer)
{
        *ret_peer = (struct bl_peer){.tp = f->tp, .local = f->local, .remote = f->remote, .listener = f->listener};
}

static void tell(struct worker *w, struct flow *f)
{
        const struct env_events *ev = w->env.ev;
        bl_flow_id id = bl_handle_id(w, f);
        uint8_t what = f->later;
        f->later = 0;
        if (what & LATER_UP) {
                struct bl_peer peer;
                f->state = FLOW_UP;
                bl_handle_peer(f, &peer);
                ev->up(&w->env, id, &peer, f->user);
        }
        if ((what & LATER_WRITABLE) && f->state == FLOW_UP)
                ev->writable(&w->env, id, f->user);
        if (what & LATER_DOWN) {
                if (!f->untold)
                        ev->down(&w->env, id, f->user, f->why);
                bl_handle_drop(w, f);
        }
}

void bl_handle_run_later(struct worker *w)
{
        struct bl_link now;
        if (bl_list_empty(&w->deferred))
                return;
        /* What these events put off in turn waits for the next round. */
        bl_list_init(&now);
        bl_list_add_after(&w->deferred, &now);
        bl_list_remove(&w->deferred);
        bl_list_init(&w->deferred);
        while (!bl_list_empty(&now)) {
                struct flow *f = BL_CONTAINER(now.next, struct flow, deferred);
                bl_list_remove(&f->deferred);
                tell(w, f);
        }
}

void bl_handle_fini(struct worker *w)
{
        for (uint32_t i = 0; i < w->n_segs; i++) {
                for (uint32_t j = 0; j < SLOT_SEG; j++) {
                        struct flow *f = w->segs[i][j].flow;
                        if (f && f->sock && f->sock->flow == f)
                                bl_sock_close(f->sock);
                }
                free(w->segs[i]);
        }
        free(w->segs);
        w->segs = NULL;
        w->n_segs = w->cap_segs = 0;
        bl_htab_fini(&w->by_addr);
}

/* ---- the env's operations ---- */

static const struct carrier *carrier_of(const struct flow *f)
{
        return bl_transports[f->tp].on;
}

static int op_open(struct env *env, const struct bl_target *t, void *user, bl_flow_id *ret_flow)
{
        struct worker *w = bl_worker_of(env);
        struct flow *f;
        if (!bl_world_speaks(t->tp) || (bl_tp_is_secure(t->tp) && !w->world->conf.creds))
                return -EPROTONOSUPPORT;
        int rc = bl_handle_new(w, &f);
        if (rc < 0)
                return rc;
        f->tp = t->tp;
        f->user = user;
        f->remote = t->to;
        f->listener = BL_LISTENER_NONE;
        rc = carrier_of(f)->open(w, f, t);
        if (rc < 0)
                bl_handle_drop(w, f);
        else
                *ret_flow = bl_handle_id(w, f);
        return rc;
}

static int op_send(struct env *env, bl_flow_id id, struct bl_buf *buf)
{
        struct worker *w = bl_worker_of(env);
        struct flow *f = bl_handle_get(w, id);
        if (!f || f->state != FLOW_UP)
                return BL_EGONE;
        return carrier_of(f)->send(w, f, buf);
}

static void op_set_user(struct env *env, bl_flow_id id, void *user)
{
        struct flow *f = bl_handle_get(bl_worker_of(env), id);
        if (f)
                f->user = user;
}

static void op_pause(struct env *env, bl_flow_id id, bool stop)
{
        struct worker *w = bl_worker_of(env);
        struct flow *f = bl_handle_get(w, id);
        if (f && carrier_of(f)->pause && f->paused != stop)
                carrier_of(f)->pause(w, f, stop);
}

static void op_close(struct env *env, bl_flow_id id, bool drain)
{
        struct worker *w = bl_worker_of(env);
        struct flow *f = bl_handle_get(w, id);
        if (!f || f->state == FLOW_DOWN)
                return;
        if (drain && f->state == FLOW_UP && carrier_of(f)->drain)
                carrier_of(f)->drain(w, f);
        else if (!drain || f->state != FLOW_DRAINING)
                bl_handle_down(w, f, 0, false);
}

static void op_arm(struct env *env, struct bl_timer *t, bl_us at)
{
        bl_wheel_arm(bl_worker_of(env)->wheel, t, at);
}

static void op_disarm(struct env *env, struct bl_timer *t)
{
        bl_wheel_disarm(bl_worker_of(env)->wheel, t);
}

const struct env_ops bl_handle_ops = {
        .open = op_open,
        .send = op_send,
        .set_user = op_set_user,
        .pause = op_pause,
        .close = op_close,
        .arm = op_arm,
        .disarm = op_disarm,
        .query = bl_dns_query,
        .cancel = bl_dns_cancel,
        .random = bl_world_random,
        .post = bl_world_post,
};
