/* Which P's the flows of this worker carry: what a legacy UA's requests without Route are looked up in, and what a
 * flow's end takes away. */
#include "edge/internal.h"

static uint64_t key(const struct bl_edge *e, bl_flow_id flow, struct bl_str user, struct bl_str domain)
{
        uint64_t seed = e->env->hash_seed;
        return bl_hash_mix(bl_hash_mix(flow, bl_hash(seed, user)), bl_hash_lower(seed, domain));
}

static struct bl_str aor_user(const struct bound *b)
{
        return bl_str_make(b->text + b->uri_n, b->aor_user_n);
}
static struct bl_str instance(const struct bound *b)
{
        return bl_str_make(b->text + b->uri_n + b->aor_user_n + b->aor_domain_n, b->instance_n);
}
static size_t size_of(const struct bound *b)
{
        return sizeof *b + b->uri_n + b->aor_user_n + b->aor_domain_n + b->instance_n;
}

static struct bound *find(struct bl_edge *e, bl_flow_id flow, struct bl_str user, struct bl_str domain,
                          struct bl_str uri)
{
        for (struct bl_hnode *n = bl_htab_first(&e->bound, key(e, flow, user, domain)); n; n = bl_htab_next(n)) {
                struct bound *b = BL_CONTAINER(n, struct bound, node);
                if (b->flow == flow && bl_str_eq(aor_user(b), user) && bl_str_ieq(bound_domain(b), domain) &&
                    (uri.n == 0 || bl_str_eq(bound_uri(b), uri)))
                        return b;
        }
        return NULL;
}

/*
 * RFC 5626 section 6: a UA that was told a Flow-Timer sends something at least as often. When even the grace for slow
 * networks has passed without an octet, it is cut off, though nothing said so: what it had bound goes, and requests for
 * it take its other flow or get 430, rather than wait for an answer that cannot come.
 */
static void silent(struct bl_timer *t)
{
        struct edge_flow *ef = BL_CONTAINER(t, struct edge_flow, silent);
        struct bl_edge *e = ef->edge;
        struct bl_flow *f = bl_flow_get(bl_txns_flows(bl_proxy_txns(e->proxy)), ef->id);
        if (!f || bl_list_empty(&ef->bound))
                return;
        if (f->heard_at + ef->silence > e->env->now) {
                env_arm(e->env, &ef->silent, f->heard_at + ef->silence);
                return;
        }
        bl_count(e->silent_total);
        bl_log_ev(e->env->log, BL_LOG_INFO, "flow_silent", BL_KI("flow", f->id),
                  BL_KI("seconds", (e->env->now - f->heard_at) / 1000000));
        bl_flow_close(f, false);
}

/* Of a WebSocket not even a keep-alive can be asked for: what its client may send, its browser decides. */
static void watch(struct bl_edge *e, const struct bl_flow *f, struct edge_flow *ef, uint32_t flow_timer_s)
{
        uint32_t grace = e->node->c.path_grace_s ? e->node->c.path_grace_s : 30;
        if (!flow_timer_s || f->tp == BL_WS || f->tp == BL_WSS)
                return;
        ef->silence = BL_SEC((uint64_t)flow_timer_s + grace);
        env_arm(e->env, &ef->silent, f->heard_at + ef->silence);
}

struct edge_flow *edge_flow_data(struct bl_edge *e, struct bl_flow *f)
{
        if (!f->user) {
                struct edge_flow *ef = bl_pool_alloc(e->env->pool, sizeof *ef);
                if (!ef)
                        return NULL;
                *ef = (struct edge_flow){.edge = e, .id = f->id, .silent.fire = silent};
                bl_list_init(&ef->bound);
                f->user = ef;
        }
        return f->user;
}

void edge_bound_drop(struct bl_edge *e, struct bl_flow *f, struct bound *b)
{
        struct bl_uri u;
        if (bl_uri_parse(bound_uri(b), &u) == 0)
                bl_sticky_unbind(e->node->sticky, &u, b->flow);
        env_disarm(e->env, &b->expiry);
        bl_htab_remove(&e->bound, &b->node);
        bl_list_remove(&b->link);
        bl_pool_give(e->env->pool, b, size_of(b));
        f->pins--;
}

/* The registration and its grace are over, and nothing refreshed it. */
static void expired(struct bl_timer *t)
{
        struct bound *b = BL_CONTAINER(t, struct bound, expiry);
        struct bl_flow *f = bl_flow_get(bl_txns_flows(bl_proxy_txns(b->edge->proxy)), b->flow);
        if (f)
                edge_bound_drop(b->edge, f, b);
}

/* protocol.md 3.2: on a UDP 5-tuple a new instance unbinds the old one's URIs: the address has a new owner. */
static void evict_other_instances(struct bl_edge *e, struct bl_flow *f, struct edge_flow *ef, struct bl_str inst)
{
        BL_LIST_EACH_SAFE(l, &ef->bound)
        {
                struct bound *b = BL_CONTAINER(l, struct bound, link);
                if (b->has_instance && !bl_str_eq(instance(b), inst))
                        edge_bound_drop(e, f, b);
        }
}

static char *put(char *at, struct bl_str s)
{
        memcpy(at, s.p, s.n);
        return at + s.n;
}

int edge_bound_set(struct bl_edge *e, struct bl_flow *f, const struct bound_want *w)
{
        struct edge_flow *ef = edge_flow_data(e, f);
        if (!ef)
                return BL_ENOMEM;
        if (f->tp == BL_UDP && w->has_instance)
                evict_other_instances(e, f, ef, w->instance);
        struct bound *b = find(e, f->id, w->user, w->domain, w->uri);
        if (!b) {
                size_t n = sizeof *b + w->uri.n + w->user.n + w->domain.n + w->instance.n;
                b = bl_pool_zalloc(e->env->pool, n);
                if (!b)
                        return BL_ENOMEM;
                b->edge = e;
                b->expiry.fire = expired;
                b->flow = f->id;
                b->uri_n = (uint16_t)w->uri.n;
                b->aor_user_n = (uint16_t)w->user.n;
                b->aor_domain_n = (uint16_t)w->domain.n;
                b->instance_n = (uint16_t)w->instance.n;
                put(put(put(put(b->text, w->uri), w->user), w->domain), w->instance);
                if (bl_htab_insert(&e->bound, &b->node, key(e, f->id, w->user, w->domain)) < 0) {
                        bl_pool_give(e->env->pool, b, n);
                        return BL_ENOMEM;
                }
                f->pins++;
        }
        bl_list_remove(&b->link);
        bl_list_push_front(&ef->bound, &b->link);
        b->expires_at = w->expires_at;
        env_arm(e->env, &b->expiry, w->expires_at);
        b->has_instance = w->has_instance;
        b->star = w->star;
        b->ob = w->ob;
        watch(e, f, ef, w->flow_timer_s);
        bl_count(e->bound_total);
        struct bl_bind bind = {.flow = f->id,
                               .kind = BL_BIND_PATH,
                               .secure = bl_tp_is_secure(f->tp),
                               .expires_at = w->expires_at,
                               .confirmed = true};
        int rc = bl_uri_parse(w->uri, &bind.uri);
        return rc < 0 ? rc : bl_sticky_bind(e->node->sticky, &bind, e->env->now);
}

void edge_bound_end_by(struct bl_edge *e, struct bl_flow *f, bl_us at)
{
        struct edge_flow *ef = f->user;
        if (!ef)
                return;
        BL_LIST_EACH(l, &ef->bound)
        {
                struct bound *b = BL_CONTAINER(l, struct bound, link);
                if (b->expires_at <= at)
                        continue;
                b->expires_at = at;
                env_arm(e->env, &b->expiry, at);
        }
}

void edge_bound_remove(struct bl_edge *e, struct bl_flow *f, struct bl_str uri)
{
        struct edge_flow *ef = f->user;
        if (!ef)
                return;
        BL_LIST_EACH_SAFE(l, &ef->bound)
        {
                struct bound *b = BL_CONTAINER(l, struct bound, link);
                if (bl_str_eq(bound_uri(b), uri))
                        edge_bound_drop(e, f, b);
        }
}

void edge_bound_drop_flow(struct bl_edge *e, struct bl_flow *f)
{
        struct edge_flow *ef = f->user;
        if (!ef)
                return;
        BL_LIST_EACH_SAFE(l, &ef->bound) edge_bound_drop(e, f, BL_CONTAINER(l, struct bound, link));
        env_disarm(e->env, &ef->silent);
        bl_pool_give(e->env->pool, ef, sizeof *ef);
        f->user = NULL;
}

struct bound *edge_bound_by_aor(struct bl_edge *e, struct bl_flow *f, struct bl_str user, struct bl_str domain)
{
        struct bound *best = NULL;
        for (struct bl_hnode *n = bl_htab_first(&e->bound, key(e, f->id, user, domain)); n; n = bl_htab_next(n)) {
                struct bound *b = BL_CONTAINER(n, struct bound, node);
                if (b->flow == f->id && bl_str_eq(aor_user(b), user) && bl_str_ieq(bound_domain(b), domain) &&
                    b->expires_at > e->env->now && (!best || b->expires_at > best->expires_at))
                        best = b;
        }
        return best;
}
