/*
 * The TCP wire. A connection has two sides, each with a pipe towards the other: a queue of what was sent and has not
 * yet arrived. One EV_PIPE is pending while there is something in it; it hands over a piece (cut where the seed says)
 * or finds the way blocked and comes again later, as retransmissions do.
 *
 *        side 0 (opened)  ── out ──►  side 1 (accepted)
 *                         ◄── out ──
 *
 * A side's `flow` is NULL once its process has closed it or died; what then arrives there is answered with a reset.
 */
#include "sim/internal.h"

#include <errno.h>
#include <stdlib.h>

enum end { END_NONE, END_FIN, END_RST };

struct chunk {
        struct chunk *next;
        struct tmsg *msg;
        size_t off;
};
struct side {
        struct sim_node *node;
        struct flow *flow;
        struct chunk *head, **tail; /* on the way to the other side */
        size_t queued;
        enum end end; /* after the queue */
        bool pending; /* an EV_PIPE is in the heap */
        bool waiting; /* the other side does not read */
        bl_us stalled_at, rto;
};
struct conn {
        unsigned refs;
        struct side side[2];
        struct bl_addr dst, seen; /* where to; the opener as the acceptor sees it */
        bl_us opened_at, rto;
        uint32_t nat_gen;
        bool cut;
        bool acked; /* the opener knows, or will when it next runs */
        enum bl_tp tp;
        /* TLS */
        const struct cert *shown[2]; /* by each side */
        bool resumed;
        char *name; /* that the opener wants */
};

static void pipe_clear(struct sim *s, struct side *sd)
{
        for (struct chunk *c = sd->head, *next; c; c = next) {
                next = c->next;
                if (!c->off)
                        trace_lost(s, c->msg);
                trace_unref(c->msg);
                free(c);
        }
        sd->head = NULL;
        sd->tail = &sd->head;
        sd->queued = 0;
}

void stream_unref(struct sim *s, struct conn *c)
{
        if (--c->refs)
                return;
        pipe_clear(s, &c->side[0]);
        pipe_clear(s, &c->side[1]);
        free(c->name);
        free(c);
}

static void event(struct sim *s, struct conn *c, enum ev_kind kind, bl_us in, unsigned side)
{
        c->refs++;
        ev_push(s, s->now + in, kind, c, side);
}

static void pipe_kick(struct sim *s, struct conn *c, unsigned side, bl_us in)
{
        struct side *sd = &c->side[side];
        if (sd->pending || (!sd->head && !sd->end) || !c->side[1].node)
                return;
        sd->pending = true;
        sd->waiting = false;
        event(s, c, EV_PIPE, in, side);
}

static bool blocked(const struct sim *s, const struct conn *c)
{
        const struct sim_node *a = c->side[0].node, *b = c->side[1].node;
        return c->cut || (a->nat && a->nat->gen != c->nat_gen) || net_blocked(s, a, b) || net_blocked(s, b, a);
}

static void detach(struct sim *s, struct flow *f)
{
        struct conn *c = f->conn;
        if (c->side[f->side].flow != f)
                return;
        c->side[f->side].flow = NULL;
        c->side[f->side].waiting = false;
        if (c->side[1 - f->side].waiting) /* it will learn that nobody reads any more */
                pipe_kick(s, c, 1 - f->side, net_delay(s));
}

/* This side's connection is over, for a reason that its process learns. */
static void tell(struct sim *s, struct conn *c, unsigned side, int why)
{
        struct flow *f = c->side[side].flow;
        pipe_clear(s, &c->side[side]);
        if (!f)
                return;
        detach(s, f);
        f->peer_gone = true;
        if (f->state == FLOW_OPENING || why != BL_EGONE)
                flow_end(f, why);
        else
                in_flow(f, IN_DOWN, why);
}

/* --- opening --- */

int stream_open(struct flow *f, struct bl_str name)
{
        struct sim *s = f->w->node->sim;
        struct conn *c = NEW(struct conn);
        bl_us hello = net_delay(s);
        struct sim_nat *nat = f->w->node->nat;
        c->refs = 1;
        c->tp = f->tp;
        c->dst = f->remote;
        c->seen = f->local;
        c->opened_at = s->now;
        c->rto = BL_SEC(1);
        for (int i = 0; i < 2; i++)
                c->side[i].tail = &c->side[i].head;
        c->side[0].node = f->w->node;
        c->side[0].flow = f;
        if (nat) {
                c->nat_gen = nat->gen;
                c->seen = nat->ip;
                c->seen.port = nat->next_port = nat->next_port >= 65000 ? 20000 : (uint16_t)(nat->next_port + 1);
        }
        f->conn = c;
        if (f->tp == BL_TLS) { /* its first flight comes after a round trip of TCP's */
                hello += net_delay(s) + net_delay(s);
                c->name = sim_alloc(name.n + 1);
                if (name.n)
                        memcpy(c->name, name.p, name.n);
                c->shown[0] = tls_client(f->w->node);
        }
        event(s, c, EV_SYN, hello, 0);
        return 0;
}

static void syn_retry(struct sim *s, struct conn *c)
{
        if (s->now - c->opened_at >= BL_MS(s->net.connect_ms)) {
                tell(s, c, 0, -ETIMEDOUT);
                return;
        }
        bl_us left = c->opened_at + BL_MS(s->net.connect_ms) - s->now;
        event(s, c, EV_SYN, c->rto < left ? c->rto : left, 0);
        c->rto *= 2;
}

void stream_peer(const struct flow *f, struct bl_peer *p)
{
        const struct conn *c = f->conn;
        tls_peer(c->shown[1 - f->side], p);
        p->resumed = c->resumed;
        if (f->side == 1)
                p->asked = tls_asked(bl_str_z(c->name));
}

/* What stands at that address speaks the opener's language, and has a certificate to show. */
static bool agrees(struct conn *c, const struct ep *e)
{
        struct sim_node *host = e->node;
        if (host->listeners[e->listener]->tp != c->tp)
                return false;
        if (c->tp != BL_TLS)
                return true;
        c->shown[1] = tls_server(host, tls_asked(bl_str_z(c->name)));
        c->resumed = c->shown[1] && tls_resume(c->side[0].node, host, bl_str_z(c->name));
        return c->shown[1] != NULL;
}

static void syn_arrive(struct sim *s, struct conn *c)
{
        struct flow *f = c->side[0].flow;
        if (!f)
                return; /* given up meanwhile */
        struct ep *e = ep_find(s, EP_TCP, &c->dst);
        struct sim_node *host = e ? e->node : ep_host(s, &c->dst);
        if (!host || net_blocked(s, f->w->node, host) || net_blocked(s, host, f->w->node)) {
                syn_retry(s, c);
                return;
        }
        c->side[1].node = host;
        if (!e || e->kind != EP_LISTENER || !sim_alive(host) || !agrees(c, e)) {
                event(s, c, EV_REFUSE, net_delay(s), 0);
                return;
        }
        struct worker *w = &host->w[rng_below(&s->rng, host->n_workers)];
        struct flow *a = flow_new(w, c->tp, &e->addr, &c->seen, e->listener, FLOW_UP);
        a->conn = c;
        a->side = 1;
        a->is_accepted = true;
        c->refs++;
        c->side[1].flow = a;
        in_flow(a, IN_UP, 0);
        event(s, c, EV_ACK, net_delay(s), 0);
}

/* --- sending --- */

int stream_send(struct flow *f, struct bl_str octets)
{
        struct sim *s = f->w->node->sim;
        struct conn *c = f->conn;
        struct side *sd = &c->side[f->side];
        if (f->peer_gone || sd->flow != f)
                return 0; /* the kernel takes it; nobody will read it */
        if (sd->queued + octets.n > SEND_LIMIT) {
                f->want_writable = true;
                return BL_EFULL;
        }
        struct tmsg *t = trace_msg(f, f->side == 0 ? &c->seen : &c->dst, c->side[1 - f->side].node, octets);
        if (trace_phase(s, t, SIM_SEND) == SIM_DROP || f->w->node->want_kill) {
                trace_lost(s, t);
                trace_unref(t);
                return 0;
        }
        struct chunk *k = NEW(struct chunk);
        k->msg = t;
        *sd->tail = k;
        sd->tail = &k->next;
        sd->queued += octets.n;
        pipe_kick(s, c, f->side, net_delay(s) + (rng_ppm(s, s->net.loss_ppm) ? BL_MS(200) : 0));
        return 0;
}

static struct chunk *chunk_pop(struct side *sd)
{
        struct chunk *k = sd->head;
        sd->head = k->next;
        if (!sd->head)
                sd->tail = &sd->head;
        trace_unref(k->msg);
        free(k);
        return sd->head;
}

static void opener_up(struct conn *c)
{
        if (!c->acked && c->side[0].flow)
                in_flow(c->side[0].flow, IN_UP, 0);
        c->acked = true;
}

/* Hands over what has arrived, up to a drawn octet. False when an observer changed the world on the way. */
static bool hand_over(struct sim *s, struct conn *c, unsigned side)
{
        struct side *from = &c->side[side], *to = &c->side[1 - side];
        size_t left = from->queued;
        if (left > 1 && rng_ppm(s, s->net.cut_ppm))
                left = 1 + rng_below(&s->rng, left - 1);
        while (left && from->head) {
                struct chunk *k = from->head;
                size_t n = k->msg->m.octets.n - k->off, piece = n < left ? n : left;
                uint64_t queued = from->queued;
                if (k->off == 0) {
                        bool drop = trace_phase(s, k->msg, SIM_DELIVER) == SIM_DROP;
                        if (from->head != k || from->queued != queued || !to->flow || blocked(s, c))
                                return false;
                        if (drop) {
                                trace_lost(s, k->msg);
                                from->queued -= n;
                                left = left > n ? left - n : 0;
                                chunk_pop(from);
                                continue;
                        }
                }
                in_data(to->flow, k->msg->octets + k->off, piece);
                from->queued -= piece;
                left -= piece;
                k->off += piece;
                if (piece == n)
                        chunk_pop(from);
        }
        return true;
}

static void pipe_stalled(struct sim *s, struct conn *c, unsigned side)
{
        struct side *from = &c->side[side];
        if (!from->stalled_at) {
                from->stalled_at = s->now;
                from->rto = BL_MS(200);
        }
        if (s->now - from->stalled_at >= BL_MS(s->net.user_timeout_ms)) {
                tell(s, c, side, -ETIMEDOUT);
                from->end = END_NONE;
                return;
        }
        pipe_kick(s, c, side, from->rto);
        from->rto = from->rto < BL_SEC(3) ? from->rto * 2 : from->rto;
}

static void pipe_arrive(struct sim *s, struct conn *c, unsigned side)
{
        struct side *from = &c->side[side], *to = &c->side[1 - side];
        from->pending = false;
        if (!from->head && !from->end)
                return;
        if (blocked(s, c)) {
                pipe_stalled(s, c, side);
                return;
        }
        from->stalled_at = 0;
        if (!to->flow) {
                pipe_clear(s, from);
                from->end = END_NONE;
                if (from->flow)
                        event(s, c, EV_RST, net_delay(s), side);
                return;
        }
        if (to->flow->paused || (to->node->state == NODE_STOPPED && to->flow->w->in_octets >= INBOX_LIMIT)) {
                from->waiting = true;
                return;
        }
        opener_up(c); /* octets from the far end say that it has accepted */
        if (!hand_over(s, c, side)) {
                pipe_kick(s, c, side, 1);
                return;
        }
        if (from->flow && from->flow->want_writable && !from->node->choked && from->queued < SEND_LIMIT / 2) {
                from->flow->want_writable = false;
                in_flow(from->flow, IN_WRITABLE, 0);
        }
        if (from->head) {
                pipe_kick(s, c, side, 1 + rng_below(&s->rng, s->net.delay_min_us + 1));
        } else if (from->end) {
                tell(s, c, 1 - side, from->end == END_RST ? -ECONNRESET : BL_EGONE);
                from->end = END_NONE;
        }
}

/* --- ending --- */

void stream_close(struct flow *f, bool drain)
{
        struct sim *s = f->w->node->sim;
        struct conn *c = f->conn;
        struct side *sd = &c->side[f->side];
        if (sd->flow != f)
                return;
        if (!drain && sd->queued) {
                pipe_clear(s, sd);
                sd->end = END_RST;
        } else {
                sd->end = END_FIN;
        }
        detach(s, f);
        pipe_kick(s, c, f->side, net_delay(s));
}

/* The process of this flow dies. Its kernel closes in order when all was read, else resets; without power, nothing. */
void stream_kill(struct flow *f, enum sim_kill how)
{
        struct sim *s = f->w->node->sim;
        struct conn *c = f->conn;
        struct side *sd = &c->side[f->side];
        if (sd->flow != f)
                return;
        if (how == SIM_KILL_SILENT) {
                pipe_clear(s, sd);
                sd->end = END_NONE;
        } else {
                sd->end = f->w->in_head || rng_below(&s->rng, 2) ? END_RST : END_FIN;
        }
        detach(s, f);
        pipe_kick(s, c, f->side, net_delay(s));
}

void stream_cut(struct flow *f, enum sim_cut how)
{
        struct sim *s = f->w->node->sim;
        struct conn *c = f->conn;
        if (how == SIM_CUT_SILENT) {
                c->cut = true;
                return;
        }
        for (unsigned i = 0; i < 2; i++)
                tell(s, c, i, how == SIM_CUT_RESET ? -ECONNRESET : BL_EGONE);
}

void stream_resume(struct flow *f)
{
        struct sim *s = f->w->node->sim;
        if (f->conn->side[1 - f->side].waiting)
                pipe_kick(s, f->conn, 1 - f->side, net_delay(s));
}

void stream_release(struct flow *f)
{
        struct sim *s = f->w->node->sim;
        struct conn *c = f->conn;
        detach(s, f);
        f->conn = NULL;
        stream_unref(s, c);
}

struct flow *stream_far(const struct flow *f)
{
        return f->conn ? f->conn->side[1 - f->side].flow : NULL;
}

static void ack_arrive(struct sim *s, struct conn *c)
{
        struct flow *f = c->side[0].flow;
        if (!f)
                return;
        if (blocked(s, c)) { /* the way back is blocked: the opener goes on trying until its patience ends */
                if (s->now - c->opened_at >= BL_MS(s->net.connect_ms))
                        tell(s, c, 0, -ETIMEDOUT);
                else
                        event(s, c, EV_ACK, BL_MS(200), 0);
                return;
        }
        opener_up(c);
}

void stream_event(struct sim *s, const struct ev *e)
{
        struct conn *c = e->p;
        unsigned side = (unsigned)e->a;
        switch (e->kind) {
        case EV_SYN:
                syn_arrive(s, c);
                break;
        case EV_ACK:
                ack_arrive(s, c);
                break;
        case EV_REFUSE:
                tell(s, c, 0, -ECONNREFUSED);
                break;
        case EV_RST:
                if (!blocked(s, c))
                        tell(s, c, side, -ECONNRESET);
                break;
        default:
                pipe_arrive(s, c, side);
        }
        stream_unref(s, c);
}
