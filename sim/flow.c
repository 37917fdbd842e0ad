/* Handles, a worker's inbox, and the calls of the seam. */
#include "sim/internal.h"

#include <errno.h>
#include <stdlib.h>

struct flow *flow_get(const struct worker *w, bl_flow_id id)
{
        uint32_t slot = bl_flow_slot(id);
        if (!id || bl_flow_worker(id) != w->index || slot >= w->n_slots)
                return NULL;
        struct flow *f = w->slot[slot];
        return f && f->id == id ? f : NULL;
}

static uint32_t slot_take(struct worker *w)
{
        if (w->n_free)
                return w->free_slots[--w->n_free];
        w->slot = realloc(w->slot, (w->n_slots + 1) * sizeof(struct flow *));
        w->free_slots = realloc(w->free_slots, (w->n_slots + 1) * sizeof(uint32_t));
        if (!w->slot || !w->free_slots)
                abort();
        w->slot[w->n_slots] = NULL;
        return w->n_slots++;
}

struct flow *flow_new(struct worker *w, enum bl_tp tp, const struct bl_addr *local, const struct bl_addr *remote,
                      uint16_t listener, enum flow_state state)
{
        struct sim *s = w->node->sim;
        struct flow *f = NEW(struct flow);
        uint32_t slot = slot_take(w);
        *f = (struct flow){.w = w,
                           .tp = tp,
                           .local = *local,
                           .remote = *remote,
                           .listener = listener,
                           .state = state,
                           .seq = ++s->flow_seq};
        f->id = bl_flow_make(w->index, slot, (uint32_t)f->seq);
        f->held_tail = &f->held_head;
        w->slot[slot] = f;
        w->node->flows++;
        return f;
}

static void held_drop(struct flow *f)
{
        for (struct in *in = f->held_head, *next; in; in = next) {
                next = in->next;
                in_drop(f->w, in);
        }
        f->held_head = NULL;
        f->held_tail = &f->held_head;
}

void flow_release(struct flow *f)
{
        struct worker *w = f->w;
        uint32_t slot = bl_flow_slot(f->id);
        if (f->conn)
                stream_release(f);
        else
                dgram_release(f);
        held_drop(f);
        w->slot[slot] = NULL;
        w->free_slots[w->n_free++] = slot;
        w->node->flows--;
        free(f);
}

/* --- the inbox --- */

struct in *in_new(enum in_kind kind, size_t n)
{
        struct in *in = sim_alloc(sizeof(*in) + n);
        in->kind = kind;
        in->n = n;
        return in;
}

void in_put(struct worker *w, struct in *in)
{
        *w->in_tail = in;
        w->in_tail = &in->next;
        w->in_octets += in->n;
        if (w->node->sim->running != w)
                worker_wake(w);
}

void in_flow(struct flow *f, enum in_kind kind, int why)
{
        struct in *in = in_new(kind, 0);
        in->flow = f->id;
        in->why = why;
        in_put(f->w, in);
}

void in_data(struct flow *f, const char *p, size_t n)
{
        struct in *in = in_new(IN_DATA, n);
        in->flow = f->id;
        memcpy(in->octets, p, n);
        in_put(f->w, in);
}

void in_drop(struct worker *w, struct in *in)
{
        (void)w;
        if (in->kind == IN_DNS)
                names_drop(in->p);
        free(in);
}

void flow_end(struct flow *f, int why)
{
        if (f->state == FLOW_ENDING)
                return;
        f->state = FLOW_ENDING;
        held_drop(f);
        in_flow(f, IN_DOWN, why);
}

static void give_up(struct worker *w, struct flow *f)
{
        struct bl_peer peer = {.tp = f->tp, .local = f->local, .remote = f->remote, .listener = f->listener};
        if (f->state == FLOW_ENDING)
                return;
        if (f->tp == BL_TLS)
                stream_peer(f, &peer);
        f->state = FLOW_UP;
        f->known = true;
        trace_mix(w->node->sim, (uint64_t)w->node->index << 32 | (uint64_t)w->index << 24 | 'u');
        w->env.ev->up(&w->env, f->id, &peer, f->user);
}

static void give_down(struct worker *w, struct flow *f, int why)
{
        bl_flow_id id = f->id;
        void *user = f->user;
        bool known = f->known;
        trace_mix(w->node->sim, (uint64_t)w->node->index << 32 | (uint64_t)w->index << 24 | 'd');
        flow_release(f);
        if (known)
                w->env.ev->down(&w->env, id, user, why);
}

static void give(struct worker *w, struct in *in, struct flow *f)
{
        switch (in->kind) {
        case IN_UP:
                give_up(w, f);
                break;
        case IN_DATA:
                if (f->state == FLOW_UP)
                        w->env.ev->data(&w->env, f->id, f->user, bl_str_make(in->octets, in->n), f->tp == BL_UDP);
                break;
        case IN_WRITABLE:
                if (f->state == FLOW_UP)
                        w->env.ev->writable(&w->env, f->id, f->user);
                break;
        default:
                give_down(w, f, in->why);
        }
}

void in_run(struct worker *w, struct in *in)
{
        w->in_octets -= in->n;
        in->next = NULL;
        if (in->kind == IN_POST) {
                struct bl_post *p = in->p;
                p->run(p, &w->env);
        } else if (in->kind == IN_DNS) {
                names_run(w, in->p);
        } else {
                struct flow *f = flow_get(w, in->flow);
                if (f && f->paused && f->state == FLOW_UP && (in->kind == IN_DATA || in->kind == IN_DOWN)) {
                        *f->held_tail = in; /* not read, so not known */
                        f->held_tail = &in->next;
                        return;
                }
                if (f && w->env.ev)
                        give(w, in, f);
        }
        free(in);
}

/* --- env_ops --- */

static const struct bl_addr *source_for(const struct sim_node *n, const struct bl_target *t)
{
        if (t->listener != BL_LISTENER_NONE && t->listener < n->n_listeners) {
                const struct bl_addr *a = &n->listeners[t->listener]->ep.addr;
                if (a->family == t->to.family)
                        return a;
        }
        for (unsigned i = 0; i < n->n_addrs; i++)
                if (n->addrs[i].family == t->to.family)
                        return &n->addrs[i];
        return NULL;
}

static uint16_t port_take(struct sim_node *n)
{
        n->next_port = n->next_port >= 60999 ? 32768 : (uint16_t)(n->next_port + 1);
        return n->next_port;
}

static int op_open(struct env *e, const struct bl_target *t, void *user, bl_flow_id *ret_flow)
{
        struct worker *w = e->world;
        struct sim_node *n = w->node;
        const struct bl_addr *from = source_for(n, t);
        if (n->state != NODE_RUNNING)
                return -ENETDOWN;
        if (!from || t->to.port == 0)
                return from ? BL_EINVAL : -ENETUNREACH;
        if (t->tp == BL_WS || t->tp == BL_WSS)
                return -EPROTONOSUPPORT;
        struct bl_addr local = *from;
        local.port = port_take(n);
        struct flow *f = flow_new(w, t->tp, &local, &t->to, t->listener, FLOW_OPENING);
        f->user = user;
        f->known = true;
        int rc = t->tp == BL_UDP ? dgram_open(f) : stream_open(f, t->sni);
        if (rc < 0)
                flow_release(f);
        else
                *ret_flow = f->id;
        return rc;
}

static int op_send(struct env *e, bl_flow_id id, struct bl_buf *b)
{
        struct worker *w = e->world;
        struct flow *f = flow_get(w, id);
        if (!f || f->state != FLOW_UP || w->node->state != NODE_RUNNING)
                return BL_EGONE;
        if (w->node->want_kill)
                return 0; /* its last words are not heard */
        if (w->node->choked) {
                f->want_writable = true;
                return BL_EFULL;
        }
        return f->tp == BL_UDP ? dgram_send(f, bl_buf_str(b)) : stream_send(f, bl_buf_str(b));
}

static void op_set_user(struct env *e, bl_flow_id id, void *user)
{
        struct flow *f = flow_get(e->world, id);
        if (f)
                f->user = user;
}

static void op_pause(struct env *e, bl_flow_id id, bool stop)
{
        struct flow *f = flow_get(e->world, id);
        if (!f || f->paused == stop)
                return;
        f->paused = stop;
        if (stop)
                return;
        for (struct in *in = f->held_head, *next; in; in = next) {
                next = in->next;
                in->next = NULL;
                in_put(f->w, in);
        }
        f->held_head = NULL;
        f->held_tail = &f->held_head;
        if (f->conn)
                stream_resume(f);
}

static void op_close(struct env *e, bl_flow_id id, bool drain)
{
        struct worker *w = e->world;
        struct flow *f = flow_get(w, id);
        if (!f || f->state == FLOW_ENDING || w->node->state != NODE_RUNNING)
                return;
        if (f->conn)
                stream_close(f, drain);
        flow_end(f, 0);
}

static void op_arm(struct env *e, struct bl_timer *t, bl_us at)
{
        struct worker *w = e->world;
        bl_wheel_arm(w->wheel, t, at);
        if (w->node->sim->running != w && w->node->state == NODE_RUNNING)
                worker_timer(w); /* the script armed it outside a turn, or boot did */
}

static void op_disarm(struct env *e, struct bl_timer *t)
{
        bl_wheel_disarm(((struct worker *)e->world)->wheel, t);
}

static void op_query(struct env *e, struct bl_query *q)
{
        names_query(e->world, q);
}

static void op_cancel(struct env *e, struct bl_query *q)
{
        (void)e;
        names_cancel(q);
}

static void op_random(struct env *e, void *out, size_t n)
{
        struct worker *w = e->world;
        for (unsigned char *p = out; n;) {
                uint64_t v = rng_next(&w->node->rng);
                size_t k = n < sizeof(v) ? n : sizeof(v);
                memcpy(p, &v, k);
                p += k;
                n -= k;
        }
}

/* A post takes up to 100 us, in order for each pair of workers: so it races with everything else. */
static void op_post(struct env *from, unsigned worker, struct bl_post *p)
{
        struct worker *w = from->world;
        struct sim *s = w->node->sim;
        if (worker >= w->node->n_workers || w->node->state != NODE_RUNNING)
                return;
        bl_us at = s->now + 1 + rng_below(&s->rng, 100);
        if (at <= w->post_last[worker])
                at = w->post_last[worker] + 1;
        w->post_last[worker] = at;
        struct in *in = in_new(IN_POST, 0);
        in->p = p;
        in->to = &w->node->w[worker];
        ev_push(s, at, EV_POST, in, w->node->epoch);
}

void post_arrive(struct in *in, uint64_t epoch)
{
        if (in->to->node->epoch == epoch)
                in_put(in->to, in);
        else
                free(in);
}

const struct env_ops sim_env_ops = {.open = op_open,
                                    .send = op_send,
                                    .set_user = op_set_user,
                                    .pause = op_pause,
                                    .close = op_close,
                                    .arm = op_arm,
                                    .disarm = op_disarm,
                                    .query = op_query,
                                    .cancel = op_cancel,
                                    .random = op_random,
                                    .post = op_post};
