/*
 * Client transactions (RFC 3261 section 17.1, RFC 6026): one key, any number of flows.
 *
 *   CALLING ─ 1xx ─► PROCEEDING ─ non-2xx ─► COMPLETED ◄─┐ another flow's final
 *      ▲                 │            └─ a further try ──┘ (back to CALLING or PROCEEDING)
 *      │                 └─ 2xx to INVITE ─► ACCEPTED
 *      └ first try
 *
 * The user ends it with bl_client_free: then it stays for D, K or M, counted from the final response.
 */
#include "txn/client.h"

struct bl_client *bl_client_find(struct bl_txns *t, struct bl_txn_key key)
{
        for (struct bl_hnode *n = bl_htab_first(&t->clients, key.hash); n; n = bl_htab_next(n)) {
                struct bl_client *ct = BL_CONTAINER(n, struct bl_client, node);
                if (ct->check == key.check)
                        return ct;
        }
        return NULL;
}

static void destroy(struct bl_client *ct)
{
        struct bl_txns *t = ct->txns;
        env_disarm(t->env, &ct->timer);
        while (!bl_list_empty(&ct->tries))
                bl_try_free(BL_CONTAINER(ct->tries.next, struct bl_client_try, link));
        bl_htab_remove(&t->clients, &ct->node);
        t->used -= sizeof(*ct);
        t->n_clients--;
        bl_pool_give(t->env->pool, ct, sizeof(*ct));
}

static void destroy_node(struct bl_hnode *n, void *arg)
{
        (void)arg;
        destroy(BL_CONTAINER(n, struct bl_client, node));
}

void bl_client_free_all(struct bl_txns *t)
{
        bl_htab_each(&t->clients, destroy_node, NULL);
}

/* ---- timers ---- */

static void on_timer(struct bl_timer *timer)
{
        struct bl_client *ct = BL_CONTAINER(timer, struct bl_client, timer);
        if (ct->detached || ct->own) { /* D, K, M; or a CANCEL that nobody answered */
                destroy(ct);
                return;
        }
        bl_count(ct->txns->count.timeout); /* B, F, the deadline */
        bl_try_stop_all(ct);
        ct->state = BL_CLIENT_TIMED_OUT;
        if (ct->user && ct->user->timeout)
                ct->user->timeout(ct->ctx, ct);
}

void bl_client_check_timer(struct bl_client *ct)
{
        struct env *env = ct->txns->env;
        if (ct->detached)
                return;
        bool waits = ct->n_unanswered && !ct->success && ct->state != BL_CLIENT_TIMED_OUT;
        if (waits && ct->give_up_at)
                env_arm(env, &ct->timer, ct->give_up_at);
        else
                env_disarm(env, &ct->timer);
}

/* How long it stays after its last final: D, K, M of the RFC; with several flows long enough for all of them. */
static bl_us linger(const struct bl_client *ct)
{
        const struct bl_txns *t = ct->txns;
        if (ct->state == BL_CLIENT_ACCEPTED) /* M, RFC 6026 7.2 */
                return bl_txn_life(t);
        if (ct->method == BL_M_INVITE && ct->udp) /* D: "at least 32 seconds", because the far end's T1 is not known */
                return bl_txn_life(t) > BL_SEC(32) ? bl_txn_life(t) : BL_SEC(32);
        if (ct->n_tries > 1 && !ct->own)
                return bl_txn_life(t);
        return ct->udp ? t->t4 : 0; /* K */
}

static void let_go(struct bl_client *ct)
{
        struct bl_txns *t = ct->txns;
        ct->detached = true;
        ct->user = NULL;
        bl_us until = ct->final_at + linger(ct);
        if ((ct->state != BL_CLIENT_COMPLETED && ct->state != BL_CLIENT_ACCEPTED) || until <= t->env->now) {
                destroy(ct);
                return;
        }
        /* Requests are kept where a late non-2xx of a losing try may still want an ACK (RFC 3261 17.1.1.3). */
        bool keep = ct->method == BL_M_INVITE && (ct->state == BL_CLIENT_COMPLETED || ct->n_tries > 1);
        BL_LIST_EACH(l, &ct->tries)
        {
                bl_try_release(BL_CONTAINER(l, struct bl_client_try, link), keep);
        }
        env_arm(t->env, &ct->timer, until);
}

void bl_client_free(struct bl_client *ct)
{
        if (ct)
                let_go(ct);
}

void bl_client_settle(struct bl_client *ct)
{
        if (!ct->own || ct->detached || ct->n_unanswered)
                return;
        ct->state = BL_CLIENT_COMPLETED;
        ct->final_at = ct->txns->env->now;
        let_go(ct);
}

/* ---- a new one ---- */

int bl_client_new(struct bl_txns *t, enum bl_method method, struct bl_str method_name, struct bl_str branch,
                  bl_us deadline_at, const struct bl_client_user *u, void *ctx, struct bl_client **ret_ct)
{
        struct bl_txn_key key = bl_match_client(t->seed, branch, method, method_name);
        struct bl_client *old = bl_client_find(t, key);
        if (old && !old->detached)
                return BL_EINVAL;
        if (t->used + sizeof(struct bl_client) > t->conf.budget) {
                bl_count(t->count.full);
                return BL_EFULL;
        }
        struct bl_client *ct = bl_pool_zalloc(t->env->pool, sizeof(*ct));
        if (!ct || bl_htab_insert(&t->clients, &ct->node, key.hash) < 0) {
                bl_count(t->count.no_memory);
                bl_pool_give(t->env->pool, ct, sizeof(*ct));
                return BL_ENOMEM;
        }
        t->used += sizeof(*ct);
        t->n_clients++;
        if (old)
                destroy(old);
        ct->check = key.check;
        ct->txns = t;
        bl_list_init(&ct->tries);
        ct->timer.fire = on_timer;
        ct->user = u;
        ct->ctx = ctx;
        ct->deadline_at = deadline_at;
        ct->method = (uint8_t)method;
        bl_count(t->count.clients);
        *ret_ct = ct;
        return 0;
}

/* ---- responses ---- */

static void deliver(struct bl_client *ct, bl_flow_id from, const struct bl_msg *m)
{
        if (ct->user && ct->user->response)
                ct->user->response(ct->ctx, ct, from, m);
}

static void send_cancels(struct bl_client *ct)
{
        struct bl_txns *t = ct->txns;
        ct->cancelling = true;
        ct->give_up_at = t->env->now + bl_txn_life(t); /* RFC 3261 9.1: no answer by then, and it counts as cancelled */
        bl_client_check_timer(ct);
        BL_LIST_EACH(l, &ct->tries)
        {
                bl_try_cancel(BL_CONTAINER(l, struct bl_client_try, link));
        }
}

void bl_client_cancel(struct bl_client *ct)
{
        if (ct->method != BL_M_INVITE || ct->cancel || ct->success || ct->state == BL_CLIENT_TIMED_OUT)
                return;
        ct->cancel = true;
        if (ct->provisional)
                send_cancels(ct);
}

static void on_provisional(struct bl_client *ct, struct bl_client_try *try, bl_flow_id from, const struct bl_msg *m)
{
        if (ct->detached || ct->success || ct->state == BL_CLIENT_TIMED_OUT || try->answered)
                return; /* a losing try, or one that comes too late */
        ct->provisional = true;
        try->provisional = true;
        ct->state = BL_CLIENT_PROCEEDING;
        if (ct->own)
                return;
        BL_LIST_EACH(l, &ct->tries)
        {
                struct bl_client_try *other = BL_CONTAINER(l, struct bl_client_try, link);
                if (ct->method == BL_M_INVITE || other != try)
                        bl_try_stop(other); /* non-INVITE: Timer E goes on in Proceeding, every T2 (17.1.2.2) */
        }
        if (ct->method == BL_M_INVITE && !ct->cancelling) {
                ct->give_up_at = 0; /* Timer B is Calling's only; from here Timer C is the user's */
                bl_client_check_timer(ct);
        }
        if (ct->cancel && !ct->cancelling)
                send_cancels(ct);
        deliver(ct, from, m);
}

/* A 2xx to INVITE: each goes to the user. False: nobody is there to take it. */
static bool on_invite_success(struct bl_client *ct, struct bl_client_try *try, bl_flow_id from, const struct bl_msg *m)
{
        if (ct->detached || ct->state == BL_CLIENT_TIMED_OUT)
                return false;
        if (!ct->success) {
                ct->success = true;
                ct->state = BL_CLIENT_ACCEPTED;
                ct->final_at = ct->txns->env->now;
                bl_try_stop_all(ct);
                bl_client_check_timer(ct);
        }
        bl_try_done(try);
        deliver(ct, from, m);
        return true;
}

static void on_final(struct bl_client *ct, struct bl_client_try *try, bl_flow_id from, const struct bl_msg *m)
{
        bool again = try->answered;
        if (ct->method == BL_M_INVITE)
                bl_try_ack(try, from, m); /* retransmitted ones too (17.1.1.2) */
        bl_try_done(try);
        if (ct->own) {
                bl_client_settle(ct);
                return;
        }
        if (again || ct->detached || ct->success || ct->state == BL_CLIENT_TIMED_OUT)
                return;
        ct->state = BL_CLIENT_COMPLETED;
        ct->final_at = ct->txns->env->now;
        if (m->status < 300) {
                ct->success = true;
                bl_try_stop_all(ct);
        }
        bl_client_check_timer(ct);
        deliver(ct, from, m);
}

bool bl_client_response(struct bl_txns *t, bl_flow_id from, const struct bl_msg *m)
{
        /* RFC 3261 17.1.3: the branch of the topmost Via and the method of CSeq */
        struct bl_client *ct =
                bl_client_find(t, bl_match_client(t->seed, m->via.branch, m->cseq.method, m->cseq.method_name));
        struct bl_client_try *try = ct ? bl_try_answered_by(ct, from) : NULL;
        if (!try)
                return false;
        if (m->status < 200)
                on_provisional(ct, try, from, m);
        else if (m->status < 300 && ct->method == BL_M_INVITE)
                return on_invite_success(ct, try, from, m);
        else
                on_final(ct, try, from, m);
        return true;
}
