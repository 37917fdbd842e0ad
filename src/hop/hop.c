#include "hop/internal.h"

#include <stdlib.h>

enum {
        SWEEP_US = 10 * 1000 * 1000,
        REOPEN_FIRST_MS = 250,
        REOPEN_MAX_MS = 4000,
        ORPHANS_MAX = 8, /* adopted by one new flow */
};

/* ---- names ---- */

static struct bl_str host_bare(struct bl_str host)
{
        if (host.n > 1 && host.p[host.n - 1] == '.')
                host.n--;
        return host;
}

uint64_t hop_host_hash(const struct bl_hops *h, struct bl_str host)
{
        return bl_hash_lower(h->env->hash_seed, host_bare(host));
}

bool hop_is_own(const struct bl_hops *h, struct bl_str host)
{
        for (struct bl_hnode *n = bl_htab_first(&h->own, hop_host_hash(h, host)); n; n = bl_htab_next(n)) {
                if (bl_host_eq(BL_CONTAINER(n, struct hop_name, node)->host, host))
                        return true;
        }
        return false;
}

struct bl_str hop_pool_str(struct bl_hops *h, struct bl_str s)
{
        char *p = s.n ? bl_pool_alloc(h->env->pool, s.n) : NULL;
        return p ? bl_str_make(memcpy(p, s.p, s.n), s.n) : bl_str_make(NULL, 0);
}

void hop_pool_unstr(struct bl_hops *h, struct bl_str *s)
{
        bl_pool_give(h->env->pool, (void *)(uintptr_t)s->p, s->n);
        *s = bl_str_make(NULL, 0);
}

/* Entries of one host hang behind its first, in the map's order. */
static int map_insert(const struct bl_hops *h, struct bl_htab *map, struct hop_name *m)
{
        uint64_t hash = hop_host_hash(h, m->host);
        for (struct bl_hnode *n = bl_htab_first(map, hash); n; n = bl_htab_next(n)) {
                struct hop_name *first = BL_CONTAINER(n, struct hop_name, node);
                if (!bl_host_eq(first->host, m->host))
                        continue;
                while (first->next)
                        first = first->next;
                first->next = m;
                return 0;
        }
        return bl_htab_insert(map, &m->node, hash);
}

static int own_init(struct bl_hops *h)
{
        if (!h->conf.n_own)
                return 0;
        if (!(h->own_names = calloc(h->conf.n_own, sizeof(*h->own_names))))
                return BL_ENOMEM;
        for (unsigned i = 0; i < h->conf.n_own; i++) {
                h->own_names[i].host = h->conf.own[i];
                if (bl_htab_insert(&h->own, &h->own_names[i].node, hop_host_hash(h, h->conf.own[i])) < 0)
                        return BL_ENOMEM;
        }
        return 0;
}

int bl_hops_set_map(struct bl_hops *h, const struct bl_static_route *map, unsigned n)
{
        struct bl_htab fresh = {0};
        struct hop_name *names = n ? calloc(n, sizeof(*names)) : NULL;
        int rc = n && !names ? BL_ENOMEM : 0;
        for (unsigned i = 0; rc == 0 && i < n; i++) {
                names[i].host = map[i].host;
                names[i].at = i;
                rc = map_insert(h, &fresh, &names[i]);
        }
        if (rc < 0) {
                bl_htab_fini(&fresh);
                free(names);
                return rc;
        }
        bl_htab_fini(&h->map);
        free(h->map_names);
        h->map = fresh;
        h->map_names = names;
        h->conf.map = map;
        h->conf.n_map = n;
        return 0;
}

/* ---- life ---- */

static void count_init(struct bl_hops *h)
{
        struct bl_stats *s = h->env->stats;
        struct hop_counters *c = &h->count;
        c->opens = bl_stats_counter(s, "belay_hop_opens_total", NULL, NULL);
        c->open_failed = bl_stats_counter(s, "belay_hop_opens_failed_total", NULL, NULL);
        c->reopened = bl_stats_counter(s, "belay_hop_reopened_total", NULL, NULL);
        c->tries = bl_stats_counter(s, "belay_hop_tries_total", NULL, NULL);
        c->rounds = bl_stats_counter(s, "belay_hop_rounds_total", NULL, NULL);
        c->next_transport = bl_stats_counter(s, "belay_hop_failovers_total", "reason", "transport");
        c->next_430 = bl_stats_counter(s, "belay_hop_failovers_total", "reason", "flow_failed");
        c->next_503 = bl_stats_counter(s, "belay_hop_failovers_total", "reason", "unavailable");
        c->next_silence = bl_stats_counter(s, "belay_hop_failovers_total", "reason", "silence");
        c->next_redirect = bl_stats_counter(s, "belay_hop_failovers_total", "reason", "redirect");
        c->redirect_unlinked = bl_stats_counter(s, "belay_hop_redirects_refused_total", "reason", "not_linked");
        c->redirect_changed = bl_stats_counter(s, "belay_hop_redirects_refused_total", "reason", "other_route");
        c->bind_unlinked = bl_stats_counter(s, "belay_hop_bindings_refused_total", "reason", "not_linked");
        c->bind_own = bl_stats_counter(s, "belay_hop_bindings_refused_total", "reason", "own_domain");
        c->queries = bl_stats_counter(s, "belay_hop_dns_queries_total", NULL, NULL);
        c->query_failed = bl_stats_counter(s, "belay_hop_dns_failed_total", NULL, NULL);
}

static void sweep(struct bl_timer *t)
{
        struct bl_hops *h = BL_CONTAINER(t, struct bl_hops, sweep);
        struct env *env = h->env;
        bl_us next = env->now + SWEEP_US;
        hop_failed_sweep(h);
        hop_cache_sweep(h);
        if (env->worker == 0) { /* the table is the node's: one worker's business */
                bl_us again = bl_sticky_expire(h->sticky, env->now);
                if (again < next)
                        next = again > env->now + BL_MS(10) ? again : env->now + BL_MS(10);
        }
        env_arm(env, &h->sweep, next);
}

static void conf_defaults(struct bl_hops_conf *c)
{
        c->keep_bindings_ms = c->keep_bindings_ms ? c->keep_bindings_ms : 10000;
        c->failover_after_ms = c->failover_after_ms ? c->failover_after_ms : 1000;
        c->failed_target_ms = c->failed_target_ms ? c->failed_target_ms : 10000;
        c->ping_every_ms = c->ping_every_ms ? c->ping_every_ms : 5000;
        c->ping_wait_ms = c->ping_wait_ms ? c->ping_wait_ms : 2000;
}

struct bl_hops *bl_hops_new(struct bl_txns *txns, struct bl_sticky *sticky, const struct bl_hops_conf *conf)
{
        struct bl_hops *h = calloc(1, sizeof(*h));
        if (!h)
                return NULL;
        h->txns = txns;
        h->flows = bl_txns_flows(txns);
        h->env = bl_txns_env(txns);
        h->sticky = sticky;
        h->conf = *conf;
        conf_defaults(&h->conf);
        bl_list_init(&h->failed_old);
        bl_list_init(&h->cache_old);
        bl_list_init(&h->sends);
        bl_list_init(&h->resolving);
        count_init(h);
        if (own_init(h) < 0 || bl_hops_set_map(h, conf->map, conf->n_map) < 0) {
                bl_hops_free(h);
                return NULL;
        }
        h->sweep.fire = sweep;
        env_arm_in(h->env, &h->sweep, SWEEP_US);
        return h;
}

static void flow_drop(struct hop_flow *hf);
static void flow_fini(struct bl_hnode *n, void *arg)
{
        (void)arg;
        flow_drop(BL_CONTAINER(n, struct hop_flow, by_id));
}
static void waiting_fini(struct bl_hnode *n, void *arg)
{
        (void)arg;
        flow_drop(BL_CONTAINER(n, struct hop_flow, by_target));
}

void bl_hops_free(struct bl_hops *h)
{
        if (!h)
                return;
        hop_send_fini(h);
        hop_resolve_fini(h);
        hop_cache_fini(h);
        hop_failed_fini(h);
        bl_htab_each(&h->by_id, flow_fini, NULL);
        bl_htab_each(&h->by_target, waiting_fini, NULL);
        bl_htab_fini(&h->by_id);
        bl_htab_fini(&h->by_target);
        bl_htab_fini(&h->own);
        bl_htab_fini(&h->map);
        env_disarm(h->env, &h->sweep);
        free(h->own_names);
        free(h->map_names);
        free(h);
}

struct bl_sticky *bl_hops_sticky(struct bl_hops *h)
{
        return h->sticky;
}

struct bl_txns *bl_hops_txns(struct bl_hops *h)
{
        return h->txns;
}

/* ---- records ---- */

static struct bl_str flow_host(const struct hop_flow *hf)
{
        return bl_str_make(hf->host, hf->host_len);
}

static uint64_t id_hash(const struct bl_hops *h, bl_flow_id id)
{
        return bl_hash_mix(h->env->hash_seed, id);
}

static uint64_t target_hash(const struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr, struct bl_str host)
{
        uint64_t a = bl_hash_mix(bl_addr_hash(h->env->hash_seed, addr), tp);
        return bl_hash_mix(a, hop_host_hash(h, host));
}

struct hop_flow *hop_flow_of(struct bl_hops *h, bl_flow_id id)
{
        for (struct bl_hnode *n = bl_htab_first(&h->by_id, id_hash(h, id)); n; n = bl_htab_next(n)) {
                struct hop_flow *hf = BL_CONTAINER(n, struct hop_flow, by_id);
                if (hf->id == id)
                        return hf;
        }
        return NULL;
}

static struct hop_flow *flow_to(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr, struct bl_str host)
{
        for (struct bl_hnode *n = bl_htab_first(&h->by_target, target_hash(h, tp, addr, host)); n;
             n = bl_htab_next(n)) {
                struct hop_flow *hf = BL_CONTAINER(n, struct hop_flow, by_target);
                if (hf->tp == tp && bl_addr_eq(&hf->addr, addr) && bl_host_eq(flow_host(hf), host))
                        return hf;
        }
        return NULL;
}

struct hop_flow *hop_flow_to(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr, struct bl_str host)
{
        struct hop_flow *hf = flow_to(h, tp, addr, host);
        return hf && hf->id && bl_flow_get(h->flows, hf->id) ? hf : NULL;
}

static void flow_unid(struct hop_flow *hf)
{
        if (hf->id)
                bl_htab_remove(&hf->hops->by_id, &hf->by_id);
        hf->by_id = (struct bl_hnode){0};
        hf->id = 0;
}

static void flow_drop(struct hop_flow *hf)
{
        struct bl_hops *h = hf->hops;
        flow_unid(hf);
        if (hf->ours)
                bl_htab_remove(&h->by_target, &hf->by_target);
        env_disarm(h->env, &hf->timer);
        hop_pool_unstr(h, &hf->bind);
        bl_pool_give(h->env->pool, hf, sizeof(*hf) + hf->host_len);
}

static int flow_set_id(struct hop_flow *hf, bl_flow_id id)
{
        hf->id = id;
        int rc = bl_htab_insert(&hf->hops->by_id, &hf->by_id, id_hash(hf->hops, id));
        if (rc < 0)
                hf->id = 0;
        return rc;
}

static void flow_timer(struct bl_timer *t);

static struct hop_flow *flow_new(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr, struct bl_str host,
                                 bool ours)
{
        struct hop_flow *hf = host.n > HOP_NAME_MAX ? NULL : bl_pool_zalloc(h->env->pool, sizeof(*hf) + host.n);
        if (!hf)
                return NULL;
        hf->hops = h;
        hf->tp = tp;
        hf->addr = *addr;
        hf->host_len = (uint16_t)host.n;
        if (host.n)
                memcpy(hf->host, host.p, host.n);
        hf->timer.fire = flow_timer;
        if (ours && bl_htab_insert(&h->by_target, &hf->by_target, target_hash(h, tp, addr, host)) < 0) {
                bl_pool_give(h->env->pool, hf, sizeof(*hf) + host.n);
                return NULL;
        }
        hf->ours = ours;
        return hf;
}

/* ---- opening ---- */

/* On the core side rather than the UAs', of the same transport if there is one: its address is the one that far ends
 * know us by. */
uint16_t hop_listener(const struct bl_hops *h, enum bl_tp tp, const struct bl_addr *to)
{
        const struct bl_flows_conf *c = bl_flows_get_conf(h->flows);
        unsigned best = 0;
        uint16_t at = BL_LISTENER_NONE;
        for (unsigned i = 0; c && i < c->n_listeners; i++) {
                const struct bl_listener_info *l = &c->listeners[i];
                unsigned fit = 1u + (l->ua_side ? 0u : 2u) + (l->tp == tp ? 1u : 0u);
                if (l->local.family == to->family && fit > best) {
                        best = fit;
                        at = (uint16_t)i;
                }
        }
        return at;
}

/* Starts to open hf's target; its id is set. */
static int flow_start(struct hop_flow *hf)
{
        struct bl_hops *h = hf->hops;
        struct bl_target t = {
                .tp = hf->tp, .to = hf->addr, .sni = flow_host(hf), .listener = hop_listener(h, hf->tp, &hf->addr)};
        struct bl_flow *f;
        bl_count(h->count.opens);
        int rc = bl_flow_open(h->flows, &t, &f);
        if (rc == 0 && (rc = flow_set_id(hf, f->id)) < 0)
                bl_flow_close(f, false);
        if (rc < 0) {
                bl_count(h->count.open_failed);
                hop_failed_mark(h, hf->tp, &hf->addr);
                return rc;
        }
        hf->state = HOP_FLOW_OPENING;
        hf->added = false;
        return 0;
}

int hop_flow_open(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr, struct bl_str host, struct bl_str bind,
                  bool fresh, struct hop_flow **ret_hf)
{
        struct hop_flow *hf = fresh ? NULL : flow_to(h, tp, addr, host);
        if (hf && hf->id && !bl_flow_get(h->flows, hf->id)) { /* its end was not told to us */
                flow_drop(hf);
                hf = NULL;
        }
        bool is_new = !hf;
        if (!hf && !(hf = flow_new(h, tp, addr, host, !fresh)))
                return BL_ENOMEM;
        if (!hf->id) {
                env_disarm(h->env, &hf->timer);
                int rc = flow_start(hf);
                if (rc < 0) {
                        if (is_new)
                                flow_drop(hf);
                        else
                                env_arm_in(h->env, &hf->timer, BL_MS(REOPEN_FIRST_MS));
                        return rc;
                }
        }
        if (bind.n && !hf->bind.n && hf->state == HOP_FLOW_OPENING)
                hf->bind = hop_pool_str(h, bind);
        *ret_hf = hf;
        return 0;
}

/* ---- up ---- */

static void flow_bind_host(struct bl_hops *h, struct bl_flow *f, struct bl_str host, enum bl_bind_kind kind)
{
        char text[HOP_NAME_MAX + 8];
        struct bl_sb b = BL_SB(text);
        struct bl_bind bind = {.flow = f->id, .kind = kind, .secure = bl_tp_is_secure(f->tp)};
        if (hop_is_own(h, host)) /* no node binds its own cluster to a proxy flow (section 3.2) */
                return;
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, host);
        if (!b.over && bl_uri_parse(bl_sb_str(&b), &bind.uri) == 0)
                bl_sticky_bind(h->sticky, &bind, h->env->now);
}

static void flow_keepalive(struct hop_flow *hf, struct bl_flow *f)
{
        struct bl_hops *h = hf->hops;
        if (hf->pinging || !hf->belay || h->conf.no_reopen || h->conf.ping_every_ms == UINT32_MAX)
                return; /* a UA keeps its flows alive by Flow-Timer */
        hf->pinging = true;
        bl_flow_keepalive(f, h->conf.ping_every_ms, h->conf.ping_wait_ms);
}

/* The kept bindings of the flow that this one replaces. */
static void flow_restore(struct hop_flow *hf, struct bl_flow *f)
{
        struct bl_hops *h = hf->hops;
        if (hf->kept && bl_sticky_flow_move(h->sticky, hf->kept, f->id) == 0) {
                bl_count(h->count.reopened);
                bl_log_ev(h->env->log, BL_LOG_INFO, "flow_reopened", BL_KI("flow", (int64_t)f->id),
                          BL_KS("domain", flow_host(hf)));
        }
        hf->kept = 0;
        hf->attempts = 0;
        hf->state = HOP_FLOW_UP;
        hop_failed_clear(h, hf->tp, &hf->addr);
        flow_keepalive(hf, f);
}

static void flow_up_ours(struct hop_flow *hf, struct bl_flow *f)
{
        struct bl_hops *h = hf->hops;
        struct bl_uri u;
        /* To an address that DNS, the static map or a maddr that counts gave for this name (section 3.2). Over TLS its
         * certificate has proven the name, or it would not be up. */
        if (!bl_tp_is_secure(f->tp))
                bl_flow_link(f, flow_host(hf), BL_LINK_OPENED);
        flow_bind_host(h, f, flow_host(hf), BL_BIND_DOMAIN);
        if (hf->bind.n && bl_uri_parse(hf->bind, &u) == 0)
                hop_learn_u(h, f->id, f->tp, &u, NULL);
        hop_pool_unstr(h, &hf->bind);
        if (hf->kept && hf->tp == BL_UDP && hf->belay) {
                hf->state = HOP_FLOW_PROVING;
                bl_flow_probe(f, h->conf.ping_wait_ms);
                return;
        }
        if (hf->tp != BL_UDP || hf->kept)
                flow_restore(hf, f);
        hf->state = HOP_FLOW_UP;
        flow_keepalive(hf, f);
}

/* Bindings of a flow that its opener lost pass to the next from the same source with the same domain (section 3.3). */
static void flow_adopt(struct bl_hops *h, struct bl_flow *f, struct bl_str domain)
{
        bl_flow_id old;
        for (unsigned i = 0; i < ORPHANS_MAX; i++) {
                if (bl_sticky_flow_orphan(h->sticky, domain, &f->remote, h->env->now, &old) < 0 || old == f->id ||
                    bl_sticky_flow_move(h->sticky, old, f->id) < 0)
                        return;
        }
}

/* A proxy's flow to us broke (`why`), or one came up: that says the same of the targets at its address. An accepted UDP
 * flow is forgotten when it is idle, which says nothing. */
static void flow_mark_source(struct bl_hops *h, const struct bl_flow *f, int why)
{
        struct bl_addr host = f->remote;
        host.port = 0;
        if (f->ours || !bl_flow_is_linked(f) || (f->tp == BL_UDP && why == BL_ETIMEOUT))
                return;
        if (why)
                hop_failed_mark(h, f->tp, &host);
        else
                hop_failed_clear(h, f->tp, &host);
}

void hop_flow_ready(struct bl_hops *h, struct bl_flow *f)
{
        struct hop_flow *hf = hop_flow_of(h, f->id);
        const void *cursor = NULL;
        enum bl_link_why why;
        struct bl_str domain;
        if (hf && hf->added)
                return;
        if (bl_sticky_flow_add(h->sticky, f->id, f->tp, &f->remote, f->ours) < 0) {
                if (bl_log_allow(h->env->log, "flow_not_added", "memory"))
                        bl_log_ev(h->env->log, BL_LOG_WARN, "flow_not_added", BL_KI("flow", (int64_t)f->id),
                                  BL_KZ("reason", "memory"));
                return;
        }
        if (hf)
                hf->added = true;
        if (hf && hf->host_len)
                flow_up_ours(hf, f);
        while ((domain = bl_flow_link_next(f, &cursor, &why)).n) {
                if (why == BL_LINK_OPENED)
                        continue;
                flow_bind_host(h, f, domain, BL_BIND_CERT);
                if (!f->ours)
                        flow_adopt(h, f, domain);
        }
}

void bl_hops_flow_up(struct bl_hops *h, struct bl_flow *f)
{
        hop_flow_ready(h, f);
        flow_mark_source(h, f, 0);
}

void hop_flow_heard(struct bl_hops *h, bl_flow_id id)
{
        struct hop_flow *hf = hop_flow_of(h, id);
        struct bl_flow *f = hf && hf->state == HOP_FLOW_PROVING ? bl_flow_get(h->flows, id) : NULL;
        if (hf)
                hf->suspect_at = 0;
        if (f)
                flow_restore(hf, f);
}

void bl_hops_flow_pong(struct bl_hops *h, struct bl_flow *f)
{
        hop_flow_heard(h, f->id);
}

/* ---- down ---- */

static void flow_wait(struct hop_flow *hf)
{
        struct bl_hops *h = hf->hops;
        uint64_t delay = BL_MS(REOPEN_FIRST_MS) << (hf->attempts < 4 ? hf->attempts : 4);
        hf->attempts++;
        hf->state = HOP_FLOW_WAITING;
        bl_us at = h->env->now + (delay < BL_MS(REOPEN_MAX_MS) ? delay : BL_MS(REOPEN_MAX_MS));
        env_arm(h->env, &hf->timer, at < hf->keep_until ? at : hf->keep_until);
}

static void flow_reopen(struct hop_flow *hf)
{
        if (flow_start(hf) < 0)
                flow_wait(hf);
}

static void flow_timer(struct bl_timer *t)
{
        struct hop_flow *hf = BL_CONTAINER(t, struct hop_flow, timer);
        if (hf->hops->env->now >= hf->keep_until)
                flow_drop(hf); /* the table forgets the bindings by itself */
        else
                flow_reopen(hf);
}

/* Ours: up, for a while, or never? `was_up` tells. The record stays as long as bindings are kept. */
static void flow_down_ours(struct hop_flow *hf, int why, bool was_up)
{
        struct bl_hops *h = hf->hops;
        bl_flow_id id = hf->id;
        if (!was_up)
                bl_count(h->count.open_failed);
        if (why)
                hop_failed_mark(h, hf->tp, &hf->addr);
        flow_unid(hf);
        hf->pinging = false;
        hf->suspect_at = hf->avoid_until = 0;
        if (was_up && why && !hf->kept && hf->ours && !h->conf.no_reopen) {
                hf->kept = id;
                hf->keep_until = h->env->now + BL_MS(h->conf.keep_bindings_ms);
                hf->attempts = 0;
        }
        if (hf->kept && why == BL_EAUTH) { /* whoever answers there now is somebody else: nothing waits for him */
                bl_sticky_flow_down(h->sticky, hf->kept, 0);
                hf->kept = 0;
        }
        if (!hf->kept || !why || h->env->now >= hf->keep_until) {
                flow_drop(hf);
                return;
        }
        if (was_up && hf->tp != BL_UDP)
                flow_reopen(hf); /* at once: only this connection may have been cut */
        else
                flow_wait(hf);
}

void bl_hops_flow_down(struct bl_hops *h, struct bl_flow *f, int why)
{
        struct hop_flow *hf = hop_flow_of(h, f->id);
        bool keep = why != 0 && bl_flow_is_linked(f) && !(f->ours && h->conf.no_reopen);
        bool proving = hf && hf->state == HOP_FLOW_PROVING;
        /* A UA's flow is not linked: what was bound to it goes with it. So does what we closed ourselves. */
        bl_sticky_flow_down(h->sticky, f->id, keep && !proving ? h->env->now + BL_MS(h->conf.keep_bindings_ms) : 0);
        if (why)
                flow_mark_source(h, f, why);
        if (!hf)
                return;
        if (hf->host_len)
                flow_down_ours(hf, why, hf->added && !proving);
        else
                flow_drop(hf);
}

/* ---- what was learned of a far end ---- */

void hop_flow_learn_belay(struct bl_hops *h, struct bl_flow *f)
{
        struct hop_flow *hf = hop_flow_of(h, f->id);
        if (!hf) {
                if (!(hf = flow_new(h, f->tp, &f->remote, bl_str_make(NULL, 0), false)))
                        return;
                if (flow_set_id(hf, f->id) < 0) {
                        flow_drop(hf);
                        return;
                }
                hf->state = HOP_FLOW_UP;
                hf->added = true;
        }
        if (hf->belay)
                return;
        hf->belay = true;
        if (f->state == BL_FLOW_UP)
                flow_keepalive(hf, f);
}

void hop_flow_learn_sent_by(struct bl_hops *h, const struct bl_flow *f, uint16_t port)
{
        struct hop_flow *hf = hop_flow_of(h, f->id);
        port = port ? port : bl_tp_default_port(f->tp);
        if (!hf || f->ours || hf->listens == port)
                return;
        hf->listens = port;
        bl_sticky_flow_listens(h->sticky, f->id, port);
}

bool bl_hop_knows_belay(struct bl_hops *h, bl_flow_id id)
{
        return hop_flow_belay(h, id);
}

bool hop_flow_belay(struct bl_hops *h, bl_flow_id id)
{
        const struct hop_flow *hf = hop_flow_of(h, id);
        return hf && hf->belay;
}

void hop_flow_suspect(struct bl_hops *h, bl_flow_id id)
{
        struct hop_flow *hf = hop_flow_of(h, id);
        struct bl_flow *f = bl_flow_get(h->flows, id);
        if (!hf || !f || hf->suspect_at)
                return;
        hf->suspect_at = h->env->now;
        bl_flow_probe(f, h->conf.ping_wait_ms); /* its answer, or the close it leads to, tells */
}

/* Only where pings are answered: a plain neighbour that ignores them is not dead. */
void hop_flow_check(struct bl_hops *h, bl_flow_id id)
{
        struct bl_flow *f = bl_flow_get(h->flows, id);
        if (f && bl_flow_kept_alive(f))
                bl_flow_probe(f, h->conf.ping_wait_ms);
}

void hop_flow_avoid(struct bl_hops *h, bl_flow_id id, uint32_t seconds)
{
        struct hop_flow *hf = hop_flow_of(h, id);
        if (hf)
                hf->avoid_until = h->env->now + BL_SEC(seconds < 32 ? seconds : 32);
}

bool hop_flow_avoided(struct bl_hops *h, bl_flow_id id)
{
        const struct hop_flow *hf = hop_flow_of(h, id);
        if (!hf)
                return false;
        if (hf->avoid_until > h->env->now)
                return true;
        const struct bl_flow *f = hf->suspect_at ? bl_flow_get(h->flows, id) : NULL;
        return f && f->heard_at <= hf->suspect_at;
}
