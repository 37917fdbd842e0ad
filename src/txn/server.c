/*
 * Server transactions (RFC 3261 section 17.2, RFC 6026).
 *
 *   INVITE   PROCEEDING ─ 3xx–6xx ─► COMPLETED (G, H) ─ ACK ─► CONFIRMED (I) ─► gone
 *                      └─ 2xx ─────► ACCEPTED (L) ─► gone
 *   others   TRYING ─ 1xx ─► PROCEEDING ─ final ─► COMPLETED (J) ─► gone
 *
 * COMPLETED of others, CONFIRMED after a stream, and ACCEPTED only wait 64*T1 for their end: they stand in a queue
 * (txn/internal.h) and need no timer of their own.
 */
#include "txn/internal.h"

enum state {
        TRYING,     /* not INVITE: nothing was answered yet */
        PROCEEDING, /* INVITE from the start; others after a provisional response */
        COMPLETED,  /* a final response is kept; INVITE: waits for its ACK */
        CONFIRMED,  /* INVITE: the ACK came; absorbs further ones */
        ACCEPTED,   /* INVITE: a 2xx was sent (RFC 6026); absorbs copies, lets ACKs through */
};

struct bl_server {
        struct bl_txn_entry entry; /* first: the index finds it */
        union {
                struct bl_timer timer; /* the delayed 100; G and H; I over UDP */
                struct bl_link queued;
        };
        bl_us end_at; /* Timer H; in a queue: its end */
        const struct bl_server_user *user;
        void *ctx;
        bl_flow_id flow, before; /* of the latest copy; the one it replaced */
        struct bl_buf *response; /* the last provisional or the final one; a 100 that waits for its time */
        uint32_t interval_ms;    /* of Timer G; 0: it does not run */
        uint8_t state;
        bool invite : 1, reliable : 1, streamed : 1, in_queue : 1, cancelled : 1, waiting_100 : 1, pinned : 1,
                rfc2543 : 1;
};
_Static_assert(sizeof(struct bl_server) <= 128, "Accepted keeps its key only: 128 octets");

static struct bl_txns *txns(const struct bl_server *st)
{
        return st->entry.owner;
}
static struct bl_server *of_entry(struct bl_txn_entry *e)
{
        return BL_CONTAINER(e, struct bl_server, entry);
}

/* ---- memory ---- */

static void set_response(struct bl_server *st, struct bl_buf *b)
{
        struct bl_txns *t = txns(st);
        if (b)
                bl_buf_ref(b);
        t->used += bl_txn_buf_cost(b);
        t->used -= bl_txn_buf_cost(st->response);
        bl_buf_unref(t->env->pool, st->response);
        st->response = b;
}

/* A long INVITE outlives an idle UDP flow, whose far end could not be answered by any other. */
static void pin(struct bl_server *st, bool on)
{
        if (st->pinned == on)
                return;
        struct bl_flow *f = bl_flow_get(txns(st)->flows, st->flow);
        if (f && on)
                f->pins++;
        else if (f)
                f->pins--;
        st->pinned = on && f;
}

static void set_flow(struct bl_server *st, bl_flow_id flow, bool reliable)
{
        pin(st, false);
        if (flow != st->flow)
                st->before = st->flow;
        st->flow = flow;
        st->reliable = reliable;
        st->streamed |= reliable;
        pin(st, st->invite && st->state < COMPLETED);
}

static void unschedule(struct bl_server *st)
{
        if (st->in_queue)
                bl_list_remove(&st->queued);
        else
                env_disarm(txns(st)->env, &st->timer);
        st->in_queue = false;
        st->interval_ms = 0;
}

/* `unindexed`: it was taken out already. */
static void destroy(struct bl_server *st, bool unindexed)
{
        struct bl_txns *t = txns(st);
        unschedule(st);
        pin(st, false);
        set_response(st, NULL);
        if (!unindexed)
                bl_index_remove(t, &st->entry);
        t->used -= sizeof(*st);
        t->n_servers--;
        bl_pool_give(t->env->pool, st, sizeof(*st));
}

static void end(struct bl_server *st)
{
        if (st->user && st->user->ended)
                st->user->ended(st->ctx, st);
        destroy(st, false);
}

/* ---- the queues ---- */

static void on_queue(struct bl_timer *timer)
{
        struct bl_txn_queue *q = BL_CONTAINER(timer, struct bl_txn_queue, timer);
        struct env *env = q->txns->env;
        while (!bl_list_empty(&q->list)) {
                struct bl_server *st = BL_CONTAINER(q->list.next, struct bl_server, queued);
                if (st->end_at > env->now) {
                        env_arm(env, timer, st->end_at);
                        return;
                }
                end(st);
        }
}

/* Nothing is left to do but to absorb copies and end in 64*T1. */
static void enqueue(struct bl_server *st)
{
        struct bl_txns *t = txns(st);
        /* ACCEPTED has its Timer L over all transports: not a linger. */
        struct bl_txn_queue *q = st->streamed && st->state != ACCEPTED ? &t->lingers : &t->timed;
        unschedule(st);
        st->end_at = t->env->now + bl_txn_life(t);
        st->queued = (struct bl_link){0};
        bl_list_push_back(&q->list, &st->queued);
        st->in_queue = true;
        if (!bl_timer_armed(&q->timer))
                env_arm(t->env, &q->timer, st->end_at);
}

static void init_queue(struct bl_txns *t, struct bl_txn_queue *q)
{
        bl_list_init(&q->list);
        q->txns = t;
        q->timer.fire = on_queue;
}

void bl_server_init_queues(struct bl_txns *t)
{
        init_queue(t, &t->timed);
        init_queue(t, &t->lingers);
}

static void free_one(struct bl_txns *t, struct bl_txn_entry *e)
{
        (void)t;
        destroy(of_entry(e), true);
}

void bl_server_free_all(struct bl_txns *t)
{
        bl_index_each_own(t, free_one);
        env_disarm(t->env, &t->timed.timer);
        env_disarm(t->env, &t->lingers.timer);
}

/* Room for `want` octets below 7/8 of the budget: what only lingers makes way, the oldest first. */
static bool make_room(struct bl_txns *t, size_t want)
{
        size_t limit = t->conf.budget - t->conf.budget / 8;
        while (t->used + want > limit && !bl_list_empty(&t->lingers.list)) {
                bl_count(t->count.evicted);
                end(BL_CONTAINER(t->lingers.list.next, struct bl_server, queued));
        }
        return t->used + want <= limit;
}

/* ---- sending ---- */

static int send_response(struct bl_server *st, struct bl_buf *b)
{
        struct bl_txns *t = txns(st);
        int rc = bl_flow_send(t->flows, st->flow, b);
        const struct bl_flow *f = rc == BL_EGONE ? bl_flow_get(t->flows, st->before) : NULL;
        if (f && f->state == BL_FLOW_UP) { /* whoever asked by both listens on both */
                set_flow(st, f->id, bl_tp_is_stream(f->tp));
                rc = bl_flow_send(t->flows, f->id, b);
        }
        if (rc < 0)
                bl_count(t->count.unsent);
        return rc;
}

static int resend(struct bl_server *st)
{
        if (!st->response || st->waiting_100)
                return 0;
        bl_count(txns(st)->count.retransmitted);
        return send_response(st, st->response);
}

static void send_100(struct bl_server *st)
{
        st->waiting_100 = false;
        env_disarm(txns(st)->env, &st->timer);
        st->state = PROCEEDING;
        (void)send_response(st, st->response);
}

/* Timer G is the next retransmission, Timer H the end (17.2.1); one wheel timer for the earlier. */
static void arm_completed(struct bl_server *st)
{
        struct env *env = txns(st)->env;
        bl_us at = st->interval_ms ? env->now + BL_MS(st->interval_ms) : st->end_at;
        env_arm(env, &st->timer, at < st->end_at ? at : st->end_at);
}

static void start_g(struct bl_server *st)
{
        st->interval_ms = st->reliable ? 0 : txns(st)->conf.t1_ms;
        arm_completed(st);
}

static void on_completed(struct bl_server *st)
{
        struct bl_txns *t = txns(st);
        if (t->env->now >= st->end_at) { /* Timer H: no ACK came */
                bl_count(t->count.no_ack);
                end(st);
                return;
        }
        int rc = st->reliable ? 0 : resend(st);
        uint32_t doubled = st->interval_ms * 2;
        st->interval_ms = st->reliable ? 0 : doubled < t->conf.t2_ms ? doubled : t->conf.t2_ms;
        arm_completed(st);
        if (rc == BL_EGONE && st->user && st->user->lost)
                st->user->lost(st->ctx, st, rc);
}

static void on_timer(struct bl_timer *timer)
{
        struct bl_server *st = BL_CONTAINER(timer, struct bl_server, timer);
        switch ((enum state)st->state) {
        case TRYING:
        case PROCEEDING:
                if (st->waiting_100)
                        send_100(st);
                break;
        case COMPLETED:
                on_completed(st);
                break;
        case CONFIRMED: /* Timer I */
                end(st);
                break;
        case ACCEPTED: /* waits in a queue */
                break;
        }
}

/* ---- a new one ---- */

/* The 100 is written now, as long as the request is there, and sent when its time comes. */
static int prepare_100(struct bl_server *st, const struct bl_flow *f, const struct bl_msg *m)
{
        struct bl_txns *t = txns(st);
        struct bl_response r = {.status = 100, .source = f->remote};
        struct bl_buf *b;
        int rc = bl_write_response(t->env->pool, m, &r, &b);
        if (rc < 0)
                return rc;
        set_response(st, b);
        bl_buf_unref(t->env->pool, b);
        if (st->reliable) { /* RFC 4320 4.1: at any time */
                send_100(st);
                return 0;
        }
        st->waiting_100 = true;
        env_arm_in(t->env, &st->timer, st->invite ? BL_MS(200) : t->t2 - t->t1);
        return 0;
}

int bl_server_new(struct bl_txns *t, struct bl_flow *f, const struct bl_msg *m, const struct bl_server_user *u,
                  void *ctx, bool auto_100, struct bl_server **ret_st)
{
        if (!m->is_request || m->method == BL_M_ACK || m->method == BL_M_CANCEL)
                return BL_EINVAL;
        if (!make_room(t, sizeof(struct bl_server))) {
                bl_count(t->count.full);
                return BL_EFULL;
        }
        struct bl_server *st = bl_pool_zalloc(t->env->pool, sizeof(*st));
        if (!st) {
                bl_count(t->count.no_memory);
                return BL_ENOMEM;
        }
        struct bl_txn_key key = m == t->current ? t->current_key : bl_match_server(t->seed, m, m->method);
        int rc = bl_index_insert(t, &st->entry, key);
        if (rc < 0) {
                bl_pool_give(t->env->pool, st, sizeof(*st));
                return rc;
        }
        t->used += sizeof(*st);
        t->n_servers++;
        st->user = u;
        st->ctx = ctx;
        st->invite = m->method == BL_M_INVITE;
        st->rfc2543 = !m->via.rfc3261;
        st->state = st->invite ? PROCEEDING : TRYING;
        st->timer.fire = on_timer;
        set_flow(st, f->id, bl_tp_is_stream(f->tp));
        rc = auto_100 ? prepare_100(st, f, m) : 0;
        if (rc < 0) {
                bl_count(t->count.no_memory);
                destroy(st, false);
                return rc;
        }
        bl_count(t->count.servers);
        *ret_st = st;
        return 0;
}

/* ---- responses of the user ---- */

static void complete(struct bl_server *st, unsigned status, struct bl_buf *b)
{
        unschedule(st);
        st->waiting_100 = false;
        pin(st, false);
        if (!st->invite) {
                st->state = COMPLETED;
                set_response(st, b);
                enqueue(st); /* Timer J */
        } else if (status < 300) {
                st->state = ACCEPTED;
                set_response(st, NULL);
                enqueue(st); /* Timer L */
        } else {
                st->state = COMPLETED;
                set_response(st, b);
                st->timer = (struct bl_timer){.fire = on_timer};
                st->end_at = txns(st)->env->now + bl_txn_life(txns(st)); /* Timer H */
                start_g(st);
        }
}

int bl_server_respond(struct bl_server *st, unsigned status, struct bl_buf *response)
{
        switch ((enum state)st->state) {
        case TRYING:
        case PROCEEDING:
                break;
        case ACCEPTED: /* RFC 6026 7.1: the user passes each 2xx on */
                return status >= 200 && status < 300 ? send_response(st, response) : 0;
        case COMPLETED:
        case CONFIRMED:
                return 0;
        }
        if (status >= 200) {
                complete(st, status, response);
        } else {
                if (st->waiting_100)
                        env_disarm(txns(st)->env, &st->timer);
                st->waiting_100 = false;
                st->state = PROCEEDING;
                set_response(st, response);
        }
        return send_response(st, response);
}

int bl_server_reply(struct bl_server *st, const struct bl_msg *req, const struct bl_response *r)
{
        struct bl_txns *t = txns(st);
        struct bl_response filled = *r;
        struct bl_buf *b;
        bl_reply_fill(t, bl_flow_get(t->flows, st->flow), req, &filled);
        int rc = bl_write_response(t->env->pool, req, &filled, &b);
        if (rc < 0) {
                bl_count(t->count.no_memory);
                return rc;
        }
        rc = bl_server_respond(st, r->status, b);
        bl_buf_unref(t->env->pool, b);
        return rc;
}

int bl_server_move(struct bl_server *st, bl_flow_id flow)
{
        struct bl_txns *t = txns(st);
        const struct bl_flow *f = bl_flow_get(t->flows, flow);
        set_flow(st, flow, f ? bl_tp_is_stream(f->tp) : st->reliable);
        return st->waiting_100 || !st->response ? 0 : send_response(st, st->response);
}

struct bl_str bl_server_last(const struct bl_server *st)
{
        return st->response ? bl_buf_str(st->response) : (struct bl_str){0};
}
bl_flow_id bl_server_flow(const struct bl_server *st)
{
        return st->flow;
}
bool bl_server_final(const struct bl_server *st)
{
        return st->state >= COMPLETED;
}

void bl_server_forget(struct bl_server *st)
{
        st->user = NULL;
        st->ctx = NULL;
        if (!bl_server_final(st) && !st->in_queue) {
                /* Nobody will answer it. Copies shall not make it new as long as they may come. */
                pin(st, false);
                st->waiting_100 = false;
                enqueue(st);
        }
}

/* ---- what comes from the far end ---- */

void bl_server_copy(struct bl_txn_entry *e, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_server *st = of_entry(e);
        bl_count(txns(st)->count.copies);
        set_flow(st, from, bl_txn_reliable(txns(st), from, m->via.transport));
        switch ((enum state)st->state) {
        case TRYING:
        case PROCEEDING:
                if (st->waiting_100 && (st->invite || st->reliable))
                        send_100(st); /* the copy shows that somebody waits; RFC 4320 4.1 forbids it for others over UDP
                                       */
                else
                        (void)resend(st);
                break;
        case COMPLETED:
                (void)resend(st);
                if (st->invite && !st->reliable && !st->interval_ms)
                        start_g(st); /* it came over a stream first, now it does over UDP */
                break;
        case CONFIRMED:
        case ACCEPTED:
                break;
        }
}

void bl_server_cancel(struct bl_txn_entry *e, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_server *st = of_entry(e);
        (void)bl_reply_on(txns(st), from, m, 200); /* RFC 3261 9.2: whatever becomes of the INVITE */
        if (bl_server_final(st) || st->cancelled)
                return;
        st->cancelled = true;
        if (st->user && st->user->cancel)
                st->user->cancel(st->ctx, st, m);
}

/* RFC 2543's matching needs the To tag of the response (17.2.3), which a key made from the INVITE cannot know. */
static bool same_to_tag(struct bl_server *st, const struct bl_msg *ack)
{
        struct bl_msg *m;
        if (!st->rfc2543 || !st->response)
                return true;
        if (bl_msg_parse(bl_buf_str(st->response), true, bl_flows_arena(txns(st)->flows), &m, NULL) < 0)
                return true;
        return bl_str_eq(m->to_tag, ack->to_tag);
}

bool bl_server_ack(struct bl_txn_entry *e, const struct bl_msg *m)
{
        struct bl_server *st = of_entry(e);
        struct bl_txns *t = txns(st);
        const struct bl_server_user *u = st->user;
        if (st->state == ACCEPTED || !same_to_tag(st, m))
                return false;
        if (st->state != COMPLETED) /* a repeated one, or one for a response that was not sent */
                return true;
        st->state = CONFIRMED;
        set_response(st, NULL);
        if (st->streamed) {
                enqueue(st);
        } else {
                unschedule(st);
                env_arm_in(t->env, &st->timer, t->t4); /* Timer I */
        }
        if (u && u->ack)
                u->ack(st->ctx, st, m);
        return true;
}
