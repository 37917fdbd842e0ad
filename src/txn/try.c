/* The tries of a client transaction: one flow each, with the request as it was sent there. */
#include "txn/client.h"

static struct bl_txns *txns(const struct bl_client_try *try)
{
        return try->client->txns;
}

static void set_request(struct bl_client_try *try, struct bl_buf *b)
{
        struct bl_txns *t = txns(try);
        if (b)
                bl_buf_ref(b);
        t->used += bl_txn_buf_cost(b);
        t->used -= bl_txn_buf_cost(try->request);
        bl_buf_unref(t->env->pool, try->request);
        try->request = b;
}

struct bl_client_try *bl_try_find(const struct bl_client *ct, bl_flow_id flow)
{
        BL_LIST_EACH(l, &ct->tries)
        {
                struct bl_client_try *try = BL_CONTAINER(l, struct bl_client_try, link);
                if (try->flow == flow)
                        return try;
        }
        return NULL;
}

/* A response may come by a flow that was not tried: from a far end that answers to sent-by, or by way of another edge.
 */
struct bl_client_try *bl_try_answered_by(const struct bl_client *ct, bl_flow_id from)
{
        struct bl_client_try *try = bl_try_find(ct, from), *open = NULL, *last = NULL;
        if (try)
                return try;
        BL_LIST_EACH(l, &ct->tries)
        {
                last = BL_CONTAINER(l, struct bl_client_try, link);
                if (!last->answered && !last->failed)
                        open = last;
        }
        return open ? open : last;
}

/* ---- retransmission ---- */

void bl_try_stop(struct bl_client_try *try)
{
        env_disarm(txns(try)->env, &try->timer);
}

void bl_try_stop_all(struct bl_client *ct)
{
        BL_LIST_EACH(l, &ct->tries)
        {
                bl_try_stop(BL_CONTAINER(l, struct bl_client_try, link));
        }
}

static void on_timer(struct bl_timer *timer)
{
        struct bl_client_try *try = BL_CONTAINER(timer, struct bl_client_try, timer);
        struct bl_client *ct = try->client;
        struct bl_txns *t = ct->txns;
        uint64_t next = (uint64_t)try->interval_ms * 2; /* Timer A doubles without bound, B ends it (17.1.1.2) */
        if (ct->method != BL_M_INVITE && (next > t->conf.t2_ms || try->provisional))
                next = t->conf.t2_ms; /* Timer E, 17.1.2.2 */
        try->interval_ms = next < UINT32_MAX ? (uint32_t)next : UINT32_MAX;
        env_arm_in(t->env, timer, BL_MS(try->interval_ms));
        if (bl_flow_send(t->flows, try->flow, try->request) == 0) {
                try->sent++;
                bl_count(t->count.retransmitted);
        }
}

/* ---- the flow's end ---- */

static void on_down(struct bl_watch *w, bl_flow_id flow, int why)
{
        struct bl_client_try *try = BL_CONTAINER(w, struct bl_client_try, watch);
        struct bl_client *ct = try->client;
        if (try->failed)
                return;
        try->failed = true;
        bl_try_stop(try);
        if (ct->own) {
                bl_try_done(try);
                bl_client_settle(ct);
                return;
        }
        if (!try->answered && !ct->success && ct->state != BL_CLIENT_TIMED_OUT && ct->user && ct->user->try_failed)
                ct->user->try_failed(ct->ctx, ct, flow, why);
}

/* ---- a try begins, again, ends ---- */

static bool is_udp(struct bl_txns *t, bl_flow_id flow, const struct bl_buf *request)
{
        struct bl_msg *m;
        const struct bl_flow *f = bl_flow_get(t->flows, flow);
        if (f)
                return f->tp == BL_UDP;
        /* Another worker's flow: the Via was written for it. */
        return bl_msg_parse(bl_buf_str(request), true, bl_flows_arena(t->flows), &m, NULL) == 0 &&
               bl_str_ieq(m->via.transport, BL_STR("UDP"));
}

static int begin(struct bl_client *ct, bl_flow_id flow, struct bl_buf *request, struct bl_client_try **ret_try)
{
        struct bl_txns *t = ct->txns;
        if (ct->n_tries >= BL_CLIENT_TRIES)
                return BL_ELIMIT;
        if (t->used + sizeof(struct bl_client_try) + bl_txn_buf_cost(request) > t->conf.budget)
                return BL_EFULL;
        struct bl_client_try *try = bl_pool_zalloc(t->env->pool, sizeof(*try));
        if (!try)
                return BL_ENOMEM;
        try->client = ct;
        try->flow = flow;
        try->timer.fire = on_timer;
        try->watch.down = on_down;
        /* Watched before it is sent, so that another worker's word of failure finds us. */
        int rc = bl_flow_watch(t->flows, flow, &try->watch);
        if (rc == 0) {
                rc = bl_flow_send(t->flows, flow, request);
                if (rc < 0)
                        bl_flow_unwatch(&try->watch);
        }
        if (rc < 0) {
                bl_pool_give(t->env->pool, try, sizeof(*try));
                return rc;
        }
        t->used += sizeof(*try);
        bl_list_push_back(&ct->tries, &try->link);
        ct->n_tries++;
        ct->n_unanswered++;
        *ret_try = try;
        return 0;
}

static int again(struct bl_client_try *try, struct bl_buf *request)
{
        struct bl_client *ct = try->client;
        struct bl_txns *t = ct->txns;
        if (!bl_link_linked(&try->watch._link)) { /* it was reported full or down: perhaps by another worker */
                int rc = bl_flow_watch(t->flows, try->flow, &try->watch);
                if (rc < 0)
                        return rc;
        }
        int rc = bl_flow_send(t->flows, try->flow, request);
        if (rc < 0)
                return rc;
        if (try->answered)
                ct->n_unanswered++;
        try->failed = try->answered = try->acked = try->provisional = try->cancelled = false;
        return 0;
}

int bl_client_try(struct bl_client *ct, bl_flow_id flow, struct bl_buf *request)
{
        struct bl_txns *t = ct->txns;
        if (ct->success || ct->detached || ct->state == BL_CLIENT_TIMED_OUT)
                return BL_EPROTO;
        struct bl_client_try *try = bl_try_find(ct, flow);
        int rc = try ? again(try, request) : begin(ct, flow, request, &try);
        if (rc < 0)
                return rc;
        set_request(try, request);
        try->sent++;
        try->udp = is_udp(t, flow, request);
        ct->udp |= try->udp;
        if (!ct->give_up_at && !ct->provisional) {
                ct->give_up_at = t->env->now + bl_txn_life(t); /* B, F */
                if (ct->deadline_at && ct->deadline_at < ct->give_up_at)
                        ct->give_up_at = ct->deadline_at;
        }
        if (ct->state == BL_CLIENT_COMPLETED)
                ct->state = ct->provisional ? BL_CLIENT_PROCEEDING : BL_CLIENT_CALLING;
        if (try->udp) {
                try->interval_ms = t->conf.t1_ms;
                env_arm_in(t->env, &try->timer, t->t1);
        }
        bl_client_check_timer(ct);
        if (ct->cancelling)
                bl_try_cancel(try);
        return 0;
}

unsigned bl_client_sent(const struct bl_client *ct, bl_flow_id flow)
{
        const struct bl_client_try *try = bl_try_find(ct, flow);
        return try ? try->sent : 0;
}

void bl_try_done(struct bl_client_try *try)
{
        bl_try_stop(try);
        if (!try->answered)
                try->client->n_unanswered--;
        try->answered = true;
}

void bl_try_release(struct bl_client_try *try, bool keep_request)
{
        bl_try_stop(try);
        bl_flow_unwatch(&try->watch);
        if (keep_request)
                return;
        set_request(try, NULL);
        try->acked = false; /* that was the ACK, if any */
}

void bl_try_free(struct bl_client_try *try)
{
        struct bl_txns *t = txns(try);
        bl_try_release(try, false);
        bl_list_remove(&try->link);
        t->used -= sizeof(*try);
        bl_pool_give(t->env->pool, try, sizeof(*try));
}

/* ---- ACK and CANCEL: from the request as it was sent on this flow, and to the same place ---- */

static int write_hop(struct bl_client_try *try, enum bl_method method, struct bl_str to, struct bl_msg **ret_sent,
                     struct bl_buf **ret_buf)
{
        struct bl_txns *t = txns(try);
        if (!try->request)
                return BL_ENOENT;
        int rc = bl_msg_parse(bl_buf_str(try->request), true, bl_flows_arena(t->flows), ret_sent, NULL);
        return rc < 0 ? rc : bl_write_hop(t->env->pool, *ret_sent, method, to, ret_buf);
}

/* RFC 3261 17.1.1.3; what was sent for an earlier copy of the response is sent again. */
void bl_try_ack(struct bl_client_try *try, bl_flow_id from, const struct bl_msg *response)
{
        struct bl_txns *t = txns(try);
        struct bl_msg *sent;
        struct bl_buf *ack;
        if (!try->acked) {
                if (write_hop(try, BL_M_ACK, bl_msg_value(response, BL_H_TO), &sent, &ack) < 0) {
                        bl_count(t->count.no_memory); /* the far end repeats its response */
                        return;
                }
                set_request(try, ack);
                bl_buf_unref(t->env->pool, ack);
                try->acked = true;
        }
        (void)bl_flow_send(t->flows, try->flow, try->request); /* where the request went */
        /* An answer that took another way, because its own is dead, is repeated until its ACK goes that way, too. */
        if (from != try->flow)
                (void)bl_flow_send(t->flows, from, try->request);
}

/* RFC 3261 9.1: a transaction of its own with the branch of the INVITE; one for all flows, each answered for itself. */
void bl_try_cancel(struct bl_client_try *try)
{
        struct bl_txns *t = txns(try);
        struct bl_msg *sent;
        struct bl_buf *b;
        struct bl_str name = bl_method_name(BL_M_CANCEL);
        if (try->answered || try->failed || try->cancelled)
                return;
        if (write_hop(try, BL_M_CANCEL, (struct bl_str){0}, &sent, &b) < 0) {
                bl_count(t->count.no_memory);
                return;
        }
        struct bl_client *c = bl_client_find(t, bl_match_client(t->seed, sent->via.branch, BL_M_CANCEL, name));
        if (!c || c->detached) {
                if (bl_client_new(t, BL_M_CANCEL, name, sent->via.branch, 0, NULL, NULL, &c) < 0)
                        c = NULL;
                else
                        c->own = true;
        }
        if (c && bl_client_try(c, try->flow, b) == 0)
                try->cancelled = true;
        if (c)
                bl_client_settle(c); /* one that no flow took would wait for ever */
        bl_buf_unref(t->env->pool, b);
}
