/* The worker's proxy: wiring of txn/, hop/ and the role, and answers that need no context. */
#include "proxy/proxy.h"

#include <stdlib.h>

#include "base/hash.h"
#include "proxy/internal.h"

/* --- answers without a transaction --- */

struct bl_str proxy_tag(const struct bl_proxy *p, const struct bl_msg *m, char out[PROXY_TAG])
{
        struct bl_hasher hasher;
        bl_hasher_init(&hasher, p->env->hash_seed);
        bl_hasher_number(&hasher, m->cseq.number);
        bl_hasher_add(&hasher, m->call_id);
        bl_hasher_add(&hasher, m->from_tag);
        bl_hasher_add(&hasher, m->via.branch);
        uint64_t h = bl_hasher_end(&hasher);
        struct bl_sb b = {out, 0, PROXY_TAG, false};
        bl_sb_addc(&b, 'b');
        bl_sb_hex(&b, &h, sizeof(h));
        return bl_sb_str(&b);
}

bool proxy_is_own_tag(const struct bl_proxy *p, const struct bl_msg *m)
{
        char tag[PROXY_TAG];
        return m->to_tag.n == PROXY_TAG && m->to_tag.p[0] == 'b' && bl_str_eq(m->to_tag, proxy_tag(p, m, tag));
}

void proxy_reply(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m, const struct bl_response *r)
{
        if (!f || m->method == BL_M_ACK)
                return; /* RFC 3261 section 17: nothing answers an ACK */
        char tag[PROXY_TAG];
        struct bl_response with_tag = *r;
        if (!r->to_tag.n)
                with_tag.to_tag = proxy_tag(p, m, tag);
        if (bl_txn_reply(p->txns, f, m, &with_tag) == 0)
                bl_count(p->answered);
}

static struct bl_counter *refusal_counter(struct bl_proxy *p, const char *reason)
{
        unsigned i = 0;
        while (i < REFUSE_REASONS && p->refusals[i].reason && strcmp(p->refusals[i].reason, reason) != 0)
                i++;
        if (i == REFUSE_REASONS)
                return bl_stats_counter(p->env->stats, p->refused_name, "reason", reason);
        if (!p->refusals[i].reason)
                p->refusals[i] = (struct proxy_refusal){
                        reason, bl_stats_counter(p->env->stats, p->refused_name, "reason", reason)};
        return p->refusals[i].counter;
}

void proxy_count_refusal(struct bl_proxy *p, bl_flow_id f, const struct bl_msg *m, unsigned status, const char *reason)
{
        bl_count(refusal_counter(p, reason));
        if (p->env->log && bl_log_allow(p->env->log, "request_refused", reason))
                bl_log_ev(p->env->log, BL_LOG_WARN, "request_refused", BL_KZ("reason", reason), BL_KI("status", status),
                          BL_KS("method", m->method_name), BL_KS("ruri", m->ruri), BL_KS("callid", m->call_id),
                          BL_KI("flow", f));
}

void proxy_refuse(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m, unsigned status, const char *reason,
                  struct bl_str phrase, struct bl_str extra)
{
        proxy_count_refusal(p, f ? f->id : 0, m, status, reason);
        proxy_reply(p, f, m, &(struct bl_response){.status = status, .reason = phrase, .extra = extra});
}

struct bl_str proxy_retry_after(struct bl_proxy *p, char *out, size_t cap)
{
        uint8_t r = 0;
        p->env->ops->random(p->env, &r, sizeof(r));
        struct bl_sb b = {out, 0, cap, false};
        bl_sb_addz(&b, "Retry-After: ");
        bl_sb_addu(&b, 3u + r % 8u); /* spread, so that those turned away do not come back together */
        bl_sb_addz(&b, "\r\n");
        return b.over ? (struct bl_str){NULL, 0} : bl_sb_str(&b);
}

/* --- edits' memory --- */

struct bl_arena *proxy_arena(struct bl_proxy *p)
{
        p->arena_users++;
        return p->arena;
}

void proxy_arena_done(struct bl_proxy *p)
{
        if (--p->arena_users == 0)
                bl_arena_reset(p->arena);
}

/* --- events of txn/ --- */

static void on_stray(void *ctx, bl_flow_id from, struct bl_msg *m)
{
        struct bl_proxy *p = ctx;
        /* RFC 6026 section 7.3: a proxy does not forward a response that matches no transaction. What else it may be
         * is known to the role. */
        if (p->role->stray && !p->closing)
                p->role->stray(p->role_ctx, from, m);
}

static void on_flow_up(void *ctx, struct bl_flow *f)
{
        struct bl_proxy *p = ctx;
        if (p->closing)
                return;
        bl_hops_flow_up(p->hops, f);
        if (p->role->flow_up)
                p->role->flow_up(p->role_ctx, f);
}

static void on_flow_down(void *ctx, struct bl_flow *f, int why)
{
        struct bl_proxy *p = ctx;
        if (!p->closing)
                bl_hops_flow_down(p->hops, f, why);
        if (p->role->flow_down) /* also at the end: the role lets go what it hung on the flow */
                p->role->flow_down(p->role_ctx, f, why);
}

static void on_flow_pong(void *ctx, struct bl_flow *f)
{
        struct bl_proxy *p = ctx;
        if (p->closing)
                return;
        bl_hops_flow_pong(p->hops, f);
        if (p->role->flow_pong)
                p->role->flow_pong(p->role_ctx, f);
}

static void on_turn(void *ctx)
{
        (void)ctx;
}

static const struct bl_txns_user txns_user = {
        .request = proxy_on_request,
        .response = on_stray,
        .flow_up = on_flow_up,
        .flow_down = on_flow_down,
        .flow_pong = on_flow_pong,
        .turn = on_turn,
};

/* --- life --- */

static void put_name(char *out, size_t cap, struct bl_str role, const char *what)
{
        struct bl_sb b = {out, 0, cap - 1, false};
        bl_sb_addz(&b, "belay_");
        bl_sb_add(&b, role.n ? role : BL_STR("proxy"));
        bl_sb_addz(&b, what);
        out[b.n] = '\0';
}

static void init_names(struct bl_proxy *p)
{
        struct bl_str role = p->conf->role_name;
        if (role.n > 24)
                role.n = 24;
        put_name(p->refused_name, sizeof(p->refused_name), role, "_refused_total");
        put_name(p->forwarded_name, sizeof(p->forwarded_name), role, "_forwarded_total");
        put_name(p->answered_name, sizeof(p->answered_name), role, "_answered_total");
        put_name(p->moved_name, sizeof(p->moved_name), role, "_responses_moved_total");
        p->moved = bl_stats_counter(p->env->stats, p->moved_name, NULL, NULL);
        p->forwarded = bl_stats_counter(p->env->stats, p->forwarded_name, NULL, NULL);
        p->answered = bl_stats_counter(p->env->stats, p->answered_name, NULL, NULL);
}

struct bl_proxy *bl_proxy_new(struct env *env, const struct bl_proxy_conf *conf, const struct bl_role *r, void *role)
{
        struct bl_proxy *p = calloc(1, sizeof(*p));
        if (!p)
                return NULL;
        p->env = env;
        p->conf = conf;
        p->role = r;
        p->role_ctx = role;
        p->t1 = BL_MS(conf->txn.t1_ms ? conf->txn.t1_ms : 500);
        p->timer_c = BL_MS(conf->txn.timer_c_ms ? conf->txn.timer_c_ms : 180000);
        p->kept_limit = conf->txn.budget ? conf->txn.budget : (size_t)256 << 20;
        p->loop_seed = proxy_loop_seed(env, conf);
        if (bl_str_u32(conf->max_breadth, &p->breadth) < 0 || p->breadth == 0)
                p->breadth = DEFAULT_BREADTH;
        bl_list_init(&p->all);
        bl_list_init(&p->away);
        init_names(p);
        p->arena = bl_arena_new(ARENA_LIMIT);
        if (p->arena)
                p->txns = bl_txns_new(env, &conf->txn, &conf->flow, conf->index, &txns_user, p);
        if (p->txns) {
                p->flows = bl_txns_flows(p->txns);
                p->hops = bl_hops_new(p->txns, conf->sticky, &conf->hop);
        }
        if (!p->hops) {
                bl_proxy_free(p);
                return NULL;
        }
        return p;
}

void bl_proxy_free(struct bl_proxy *p)
{
        if (!p)
                return;
        p->closing = true;
        BL_LIST_EACH_SAFE(l, &p->all)
        {
                px_free(BL_CONTAINER(l, struct bl_px, link));
        }
        proxy_away_drop(p);
        if (p->hops)
                bl_hops_free(p->hops);
        p->hops = NULL;
        if (p->txns)
                bl_txns_free(p->txns);
        bl_arena_free(p->arena);
        free(p);
}

struct bl_hops *bl_proxy_hops(struct bl_proxy *p)
{
        return p->hops;
}
struct bl_txns *bl_proxy_txns(struct bl_proxy *p)
{
        return p->txns;
}
struct env *bl_proxy_env(struct bl_proxy *p)
{
        return p->env;
}
size_t bl_proxy_contexts(const struct bl_proxy *p)
{
        return p->contexts;
}
