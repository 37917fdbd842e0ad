/* Life of a worker's transactions, and the way of what flow/ brings to them. */
#include "txn/txn.h"

#include <stdlib.h>

#include "sip/via.h"
#include "txn/internal.h"

bool bl_txn_reliable(struct bl_txns *t, bl_flow_id flow, struct bl_str via_transport)
{
        const struct bl_flow *f = bl_flow_get(t->flows, flow);
        enum bl_tp tp;
        if (f)
                return bl_tp_is_stream(f->tp);
        return bl_tp_from(via_transport, &tp) == 0 && bl_tp_is_stream(tp);
}

/* ---- requests ---- */

static void to_user(struct bl_txns *t, struct bl_flow *f, struct bl_msg *m)
{
        t->user.request(t->ctx, f, m);
}

/* A request that no transaction knows: the user decides while the claim keeps copies elsewhere from doing the same. */
static void decide(struct bl_txns *t, struct bl_flow *f, struct bl_msg *m, struct bl_txn_key key)
{
        t->current = m;
        t->current_key = key;
        to_user(t, f, m);
        t->current = NULL;
        bl_index_unclaim(t);
}

static void pass(struct bl_txns *t, unsigned worker, bl_flow_id from, const struct bl_msg *m)
{
        bl_count(t->count.passed);
        bl_flow_pass(t->flows, worker, from, m);
}

static void unknown_cancel(struct bl_txns *t, bl_flow_id from, const struct bl_msg *m)
{
        bl_count(t->count.cancel_unknown); /* RFC 3261 9.2 */
        (void)bl_reply_on(t, from, m, 481);
}

/* ACK and CANCEL look for their INVITE (RFC 3261 17.2.3, 9.2). */
static void on_follower(struct bl_txns *t, struct bl_flow *f, struct bl_msg *m)
{
        struct bl_txn_entry *e = NULL;
        unsigned worker = 0;
        switch (bl_index_find(t, bl_match_server(t->seed, m, BL_M_INVITE), &e, &worker)) {
        case BL_FOUND_OWN:
                if (m->method == BL_M_CANCEL)
                        bl_server_cancel(e, f->id, m);
                else if (!bl_server_ack(e, m))
                        to_user(t, f, m);
                break;
        case BL_FOUND_ELSEWHERE:
                pass(t, worker, f->id, m);
                break;
        case BL_FOUND_NONE:
                if (m->method == BL_M_CANCEL)
                        unknown_cancel(t, f->id, m);
                else
                        to_user(t, f, m);
                break;
        }
}

static void on_request(struct bl_txns *t, struct bl_flow *f, struct bl_msg *m)
{
        struct bl_txn_entry *e = NULL;
        unsigned worker = 0;
        struct bl_txn_key key = bl_match_server(t->seed, m, m->method);
        switch (bl_index_claim(t, key, &e, &worker)) {
        case BL_FOUND_OWN:
                bl_server_copy(e, f->id, m);
                break;
        case BL_FOUND_ELSEWHERE:
                pass(t, worker, f->id, m);
                break;
        case BL_FOUND_NONE:
                decide(t, f, m, key);
                break;
        default: /* no memory for the claim: to decide without one could double the request */
                bl_count(t->count.no_memory);
                break;
        }
}

/* Passed on to us as the owner. When the transaction has ended meanwhile, the worker that received the request decides
 * about it as about any new one. */
static void on_stray_request(struct bl_txns *t, bl_flow_id from, struct bl_msg *m)
{
        struct bl_txn_entry *e = NULL;
        unsigned worker = 0;
        bool follower = m->method == BL_M_ACK || m->method == BL_M_CANCEL;
        if (bl_flow_worker(from) == t->env->worker) { /* came back */
                struct bl_flow *f = bl_flow_get(t->flows, from);
                if (f && m->method == BL_M_ACK)
                        to_user(t, f, m);
                else if (f)
                        on_request(t, f, m);
                return;
        }
        struct bl_txn_key key = bl_match_server(t->seed, m, follower ? BL_M_INVITE : m->method);
        bool own = bl_index_find(t, key, &e, &worker) == BL_FOUND_OWN; /* never a claim: those end with their event */
        if (own && m->method == BL_M_CANCEL)
                bl_server_cancel(e, from, m);
        else if (own && !follower)
                bl_server_copy(e, from, m);
        else if (!own && m->method == BL_M_CANCEL)
                unknown_cancel(t, from, m);
        else if (!own || !bl_server_ack(e, m))
                pass(t, bl_flow_worker(from), from, m);
}

/* ---- responses ---- */

static void to_nobody(struct bl_txns *t, bl_flow_id from, struct bl_msg *m)
{
        bl_count(t->count.stray);
        if (t->user.response)
                t->user.response(t->ctx, from, m);
}

/*
 * Which workers are asked for the transaction of a response that the worker `home` received, and in which order: the
 * one that the Via names, then round from there. A Via written by a fellow edge (equal branches, protocol.md section 5)
 * names a worker of that node; so its number is a guess, and whoever has the branch is right.
 */
static unsigned after(const struct bl_txns *t, unsigned worker, unsigned home)
{
        do
                worker = (worker + 1) % t->env->workers;
        while (worker == home);
        return worker;
}

static unsigned first_asked(const struct bl_txns *t, const struct bl_msg *m, unsigned home)
{
        struct bl_str w;
        uint32_t worker;
        if (bl_via_param(&m->via, BL_STR("w"), &w) && bl_str_u32(w, &worker) == 0 && worker < t->env->workers &&
            worker != home)
                return worker;
        return after(t, home, home);
}

static void on_response(struct bl_txns *t, bl_flow_id from, struct bl_msg *m)
{
        if (bl_client_response(t, from, m))
                return;
        if (t->env->workers > 1)
                pass(t, first_asked(t, m, t->env->worker), from, m);
        else
                to_nobody(t, from, m);
}

/* Passed on to us, or back: nobody here knows it, and the user can look at it where its flow is. */
static void on_stray_response(struct bl_txns *t, bl_flow_id from, struct bl_msg *m)
{
        unsigned home = bl_flow_worker(from), next;
        if (home == t->env->worker) {
                to_nobody(t, from, m);
                return;
        }
        if (bl_client_response(t, from, m))
                return;
        next = after(t, t->env->worker, home);
        pass(t, next == first_asked(t, m, home) ? home : next, from, m);
}

/* ---- what flow/ calls ---- */

static void on_message(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        struct bl_txns *t = ctx;
        if (!m->is_request)
                on_response(t, f->id, m);
        else if (m->method == BL_M_ACK || m->method == BL_M_CANCEL)
                on_follower(t, f, m);
        else
                on_request(t, f, m);
}

static void on_stray(void *ctx, bl_flow_id from, struct bl_msg *m)
{
        if (m->is_request)
                on_stray_request(ctx, from, m);
        else
                on_stray_response(ctx, from, m);
}

static void on_garbage(void *ctx, struct bl_flow *f, const struct bl_parse_error *err, bool fatal)
{
        (void)fatal; /* flow/ closes it */
        bl_reply_garbage(ctx, f, err);
}

static void on_up(void *ctx, struct bl_flow *f)
{
        struct bl_txns *t = ctx;
        if (t->user.flow_up)
                t->user.flow_up(t->ctx, f);
}

static void on_down(void *ctx, struct bl_flow *f, int why)
{
        struct bl_txns *t = ctx;
        if (t->user.flow_down)
                t->user.flow_down(t->ctx, f, why);
}

static void on_pong(void *ctx, struct bl_flow *f)
{
        struct bl_txns *t = ctx;
        if (t->user.flow_pong)
                t->user.flow_pong(t->ctx, f);
}

static void on_turn(void *ctx)
{
        struct bl_txns *t = ctx;
        if (t->user.turn)
                t->user.turn(t->ctx);
        bl_gauge_set(t->count.live, bl_txns_count(t));
        bl_gauge_set(t->count.octets, t->used);
}

static const struct bl_flows_user below = {on_message, on_garbage, on_up, on_down, on_pong, on_stray, on_turn};

/* ---- life ---- */

static void get_counters(struct bl_txns *t)
{
        struct bl_stats *s = t->env->stats;
        t->count.servers = bl_stats_counter(s, "belay_txn_started_total", "side", "server");
        t->count.clients = bl_stats_counter(s, "belay_txn_started_total", "side", "client");
        t->count.copies = bl_stats_counter(s, "belay_txn_copies_total", NULL, NULL);
        t->count.retransmitted = bl_stats_counter(s, "belay_txn_retransmissions_total", NULL, NULL);
        t->count.passed = bl_stats_counter(s, "belay_txn_passed_total", NULL, NULL);
        t->count.stray = bl_stats_counter(s, "belay_txn_stray_responses_total", NULL, NULL);
        t->count.full = bl_stats_counter(s, "belay_txn_refused_total", "reason", "budget");
        t->count.no_memory = bl_stats_counter(s, "belay_txn_refused_total", "reason", "no_memory");
        t->count.cancel_unknown = bl_stats_counter(s, "belay_txn_refused_total", "reason", "cancel_unknown");
        t->count.timeout = bl_stats_counter(s, "belay_txn_timeouts_total", "side", "client");
        t->count.no_ack = bl_stats_counter(s, "belay_txn_timeouts_total", "side", "server");
        t->count.unsent = bl_stats_counter(s, "belay_txn_unsent_responses_total", NULL, NULL);
        t->count.evicted = bl_stats_counter(s, "belay_txn_evicted_total", NULL, NULL);
        t->count.live = bl_stats_counter(s, "belay_txn_live_transactions", NULL, NULL);
        t->count.octets = bl_stats_counter(s, "belay_txn_budget_octets", NULL, NULL);
        t->count.garbage_400 = bl_stats_counter(s, "belay_txn_garbage_total", "status", "400");
        t->count.garbage_505 = bl_stats_counter(s, "belay_txn_garbage_total", "status", "505");
        t->count.garbage_513 = bl_stats_counter(s, "belay_txn_garbage_total", "status", "513");
        t->count.garbage_other = bl_stats_counter(s, "belay_txn_garbage_total", "status", "other");
        t->count.garbage_silent = bl_stats_counter(s, "belay_txn_garbage_total", "status", "discarded");
}

static void fill_conf(struct bl_txns *t, const struct bl_txns_conf *conf)
{
        t->conf = *conf;
        if (!t->conf.t1_ms)
                t->conf.t1_ms = 500;
        if (!t->conf.t2_ms)
                t->conf.t2_ms = 4000;
        if (!t->conf.t4_ms)
                t->conf.t4_ms = 5000;
        if (!t->conf.timer_c_ms)
                t->conf.timer_c_ms = 180 * 1000;
        if (!t->conf.budget)
                t->conf.budget = 256u << 20;
        t->t1 = BL_MS(t->conf.t1_ms);
        t->t2 = BL_MS(t->conf.t2_ms);
        t->t4 = BL_MS(t->conf.t4_ms);
}

struct bl_txns *bl_txns_new(struct env *env, const struct bl_txns_conf *conf, const struct bl_flows_conf *fconf,
                            struct bl_txn_index *index, const struct bl_txns_user *user, void *ctx)
{
        struct bl_txns *t = calloc(1, sizeof(*t));
        if (!t)
                return NULL;
        t->env = env;
        t->index = env->workers > 1 ? index : NULL;
        t->user = *user;
        t->ctx = ctx;
        t->seed = t->index ? bl_index_seed(t->index) : env->hash_seed;
        fill_conf(t, conf);
        get_counters(t);
        bl_server_init_queues(t);
        struct bl_sb b = BL_SB(t->via_param);
        if (env->workers > 1) {
                bl_sb_addz(&b, ";w=");
                bl_sb_addu(&b, env->worker);
        }
        t->via_param_str = bl_sb_str(&b);
        t->flows = bl_flows_new(env, fconf, &below, t);
        if (!t->flows) {
                free(t);
                return NULL;
        }
        return t;
}

void bl_txns_free(struct bl_txns *t)
{
        if (!t)
                return;
        bl_index_unclaim(t);
        bl_client_free_all(t);
        bl_server_free_all(t);
        bl_flows_free(t->flows);
        bl_htab_fini(&t->servers);
        bl_htab_fini(&t->clients);
        free(t);
}

struct bl_flows *bl_txns_flows(struct bl_txns *t)
{
        return t->flows;
}
struct env *bl_txns_env(struct bl_txns *t)
{
        return t->env;
}
const struct bl_txns_conf *bl_txns_get_conf(const struct bl_txns *t)
{
        return &t->conf;
}
size_t bl_txns_count(const struct bl_txns *t)
{
        return t->n_servers + t->n_clients;
}
size_t bl_txns_used(const struct bl_txns *t)
{
        return t->used;
}
struct bl_str bl_txns_via_param(const struct bl_txns *t)
{
        return t->via_param_str;
}
