/* The home's wiring: one node's shared part, one worker's part, jobs that wait for the store, and what the proxy core
 * asks of a role. */
#include <stdlib.h>

#include "home/internal.h"

/* --- the node --- */

static bool fail(char *error, size_t cap, const char *fmt, struct bl_str a, const char *what)
{
        struct bl_sb b = {error, 0, cap ? cap - 1 : 0, false};
        bl_sb_fmt(&b, fmt, BL_STR_ARG(a), what);
        if (cap)
                error[b.n] = 0;
        return false;
}

static bool check(const struct bl_home_conf *c, char *error, size_t cap)
{
        if (c->n_domains == 0)
                return fail(error, cap, "home.domain%.*s: %s", BL_STR(""),
                            "missing; name the domain to serve, e.g. example.com");
        if (!c->keys)
                return fail(error, cap, "home.key_file%.*s: %s", BL_STR(""),
                            "missing; all nodes of a home share one key file");
        if (!c->store)
                return fail(error, cap, "home.store%.*s: %s", BL_STR(""), "missing");
        for (unsigned i = 0; i < c->n_domains; i++)
                if (c->domains[i].edge.n == 0 && c->domains[i].policy != BL_HOME_ACCEPT)
                        return fail(
                                error, cap, "home domain %.*s: %s", c->domains[i].name,
                                "has no edge to redirect to; name one (edge: edge.example.com) or set policy: accept");
        return true;
}

static bool fill(struct bl_home_node *n)
{
        struct bl_proxy_conf *p = &n->c.proxy;
        n->own = calloc(n->c.n_domains + 1, sizeof *n->own);
        if (!n->own)
                return false;
        for (unsigned i = 0; i < n->c.n_domains; i++)
                n->own[i] = n->c.domains[i].name;
        n->own[n->c.n_domains] = n->c.node;
        p->role_name = BL_STR("home");
        p->node = n->c.node;
        p->via_extra = BL_STR(";sticky");
        p->loop_check = true; /* homes fork: RFC 5393 */
        p->hop.own = n->own;
        p->hop.n_own = n->c.n_domains + 1;
        p->hop.may_open = true;
        p->sticky = n->sticky;
        p->index = n->index;
        n->nonces.keys = n->c.keys;
        n->nonces.lifetime_s = n->c.nonce_lifetime_s;
        n->nonces.offer = n->c.digest;
        return true;
}

struct bl_home_node *bl_home_node_new(const struct bl_home_conf *conf, unsigned workers, uint64_t hash_seed,
                                      char *ret_error, size_t error_cap)
{
        if (!check(conf, ret_error, error_cap))
                return NULL;
        struct bl_home_node *n = calloc(1, sizeof *n);
        if (!n)
                return NULL;
        n->c = *conf;
        n->sticky = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = hash_seed});
        n->index = workers > 1 ? bl_txn_index_new(hash_seed) : NULL;
        if (!n->sticky || (workers > 1 && !n->index) || !fill(n)) {
                fail(ret_error, error_cap, "home: no memory%.*s%s", BL_STR(""), "");
                bl_home_node_free(n);
                return NULL;
        }
        return n;
}

void bl_home_node_free(struct bl_home_node *n)
{
        if (!n)
                return;
        bl_sticky_free(n->sticky);
        bl_txn_index_free(n->index);
        free(n->own);
        free(n);
}

struct bl_sticky *bl_home_node_sticky(struct bl_home_node *n)
{
        return n->sticky;
}

/* --- domains and links --- */

const struct bl_home_domain *home_domain(const struct bl_home *h, struct bl_str host)
{
        for (unsigned i = 0; i < h->node->c.n_domains; i++)
                if (bl_host_eq(h->node->c.domains[i].name, host))
                        return &h->node->c.domains[i];
        return NULL;
}

const struct bl_home_peer *home_peer(const struct bl_home *h, struct bl_str host)
{
        for (unsigned i = 0; i < h->node->c.n_peers; i++)
                if (bl_host_eq(h->node->c.peers[i].domain, host))
                        return &h->node->c.peers[i];
        return NULL;
}

const struct bl_home_peer *home_route_of(const struct bl_home *h, struct bl_str host)
{
        const struct bl_home_conf *c = &h->node->c;
        const struct bl_home_peer *others = NULL, *peer;
        for (unsigned i = 0; i < c->n_routes; i++) {
                if (bl_host_eq(c->routes[i].domain, host))
                        return &c->routes[i];
                if (bl_str_eq(c->routes[i].domain, BL_STR("*")))
                        others = &c->routes[i];
        }
        peer = home_peer(h, host);
        return peer ? peer : others;
}

bool home_host_is_own(const struct bl_home *h, const struct bl_flow *f, const struct bl_uri *u)
{
        if (home_domain(h, u->host) || bl_host_eq(u->host, h->node->c.node))
                return true;
        struct bl_addr a;
        if (bl_uri_addr(u, &a) < 0)
                return false;
        const struct bl_flows_conf *fc = &h->node->c.proxy.flow;
        for (unsigned i = 0; i < fc->n_listeners; i++) {
                uint16_t port = a.port ? a.port : bl_tp_default_port(fc->listeners[i].tp);
                if (bl_addr_eq_ip(&a, &fc->listeners[i].local) && port == fc->listeners[i].local.port)
                        return true;
        }
        (void)f;
        return false;
}

bool home_domain_has_edge(const struct bl_home_domain *d, struct bl_str host)
{
        if (d->edge.n && bl_host_eq(d->edge, host))
                return true;
        for (unsigned i = 0; i < d->n_edges; i++)
                if (bl_host_eq(d->edges[i], host))
                        return true;
        for (unsigned i = 0; i < d->n_groups; i++)
                if (bl_host_eq(d->groups[i].edge, host))
                        return true;
        return false;
}

bool home_host_is_edge(const struct bl_home *h, struct bl_str host)
{
        for (unsigned i = 0; i < h->node->c.n_domains; i++)
                if (home_domain_has_edge(&h->node->c.domains[i], host))
                        return true;
        return false;
}

bool home_flow_is_edge(const struct bl_home_domain *d, const struct bl_flow *f, bool *ret_via)
{
        *ret_via = false;
        if (d->edge.n && bl_flow_linked(f, d->edge))
                return true;
        for (unsigned i = 0; i < d->n_edges; i++)
                if (bl_flow_linked(f, d->edges[i]))
                        return true;
        for (unsigned i = 0; i < d->n_groups; i++)
                if (bl_flow_linked(f, d->groups[i].edge))
                        return true;
        for (unsigned i = 0; i < d->n_via; i++)
                if (bl_flow_linked(f, d->via[i])) {
                        *ret_via = true;
                        return true;
                }
        return false;
}

struct bl_str home_unescape(struct bl_px *px, struct bl_str s)
{
        char *mem = bl_px_alloc(px, s.n + 1);
        struct bl_sb b = {mem, 0, mem ? s.n + 1 : 0, false};
        return bl_uri_unescape(s, &b) < 0 ? HOME_NONE : bl_sb_str(&b);
}

/* --- jobs --- */

static void stored(struct bl_store_op *op, int rc)
{
        struct job *j = BL_CONTAINER(op, struct job, op);
        j->waiting = false;
        j->next(j, rc);
}

struct job *home_job_new(struct bl_home *h, struct bl_px *px)
{
        struct job *j = bl_px_alloc(px, sizeof *j);
        if (!j) {
                home_refuse(px, 503, "no_memory", HOME_NONE);
                return NULL;
        }
        memset(j, 0, sizeof *j);
        j->home = h;
        j->px = px;
        j->op.done = stored;
        if (bl_px_flow(px))
                j->near = bl_px_flow(px)->tp;
        *bl_px_data(px) = j;
        return j;
}

void home_job_wait(struct job *j, int rc, void (*next)(struct job *, int rc))
{
        if (rc != BL_EPENDING) {
                next(j, rc);
                return;
        }
        j->next = next;
        j->waiting = true;
        /* Copies of the request are absorbed while we wait. On failure px was answered and `done` has cancelled the
         * call. */
        if (!j->held && bl_px_hold(j->px, true) == 0)
                j->held = true;
}

/* --- digest --- */

static void challenge(struct job *j, bool proxy, bool stale)
{
        char lines[1024];
        struct bl_sb b = BL_SB(lines);
        bl_digest_challenge(&j->home->node->nonces, j->domain->name, proxy, stale, j->home->env->wall, &b);
        bl_count(j->home->challenged_total);
        bl_px_reply(j->px, &(struct bl_response){.status = proxy ? 407 : 401, .extra = bl_sb_str(&b)}, true);
}

bool home_digest_start(struct job *j, bool proxy, void (*next)(struct job *, int rc))
{
        if (bl_px_msg(j->px)->method == BL_M_ACK || bl_px_msg(j->px)->method == BL_M_CANCEL) {
                bl_px_drop(j->px); /* RFC 3261 22.1: neither can be challenged */
                return false;
        }
        if (proxy && bl_px_msg(j->px)->max_forwards == 0) {
                /* RFC 3261 16.3: step 3 comes before step 6, and whom we ask for credentials we would forward for. */
                home_refuse(j->px, 483, "max_forwards", HOME_NONE);
                return false;
        }
        if (!bl_digest_find(bl_px_msg(j->px), proxy, j->domain->name, &j->digest)) {
                challenge(j, proxy, false);
                return false;
        }
        j->digest_of = bl_px_msg(j->px);
        struct bl_store *s = j->home->node->c.store;
        home_job_wait(j, s->ops->subscriber(s, j->home->env, j->digest.username, j->domain->name, &j->op), next);
        return true;
}

/* protocol.md 2.3: a plain phone signs the cluster that it was redirected to, whichever of the domain's it is. */
static bool may_sign(const void *domain, struct bl_str host)
{
        return home_domain_has_edge(domain, host);
}

bool home_digest_ok(struct job *j, int rc, bool proxy)
{
        const struct bl_home_node *n = j->home->node;
        const struct bl_msg *m = bl_px_msg(j->px);
        const struct bl_digest *d = &j->digest;
        if (rc < 0 && rc != BL_ENOENT) { /* the store is down: say so rather than "wrong password" */
                home_refuse(j->px, 503, "store_failed", HOME_NONE);
                return false;
        }
        if (rc == BL_ENOENT || (m != j->digest_of && !bl_digest_find(m, proxy, j->domain->name, &j->digest))) {
                challenge(j, proxy, false);
                return false;
        }
        switch (bl_digest_verify(&n->nonces, m, d, &j->op.credentials, j->domain->name, may_sign, j->domain,
                                 j->home->env->wall)) {
        case BL_DIGEST_OK:
                j->user = bl_px_str(j->px, d->username);
                return true;
        case BL_DIGEST_STALE:
                challenge(j, proxy, true);
                return false;
        case BL_DIGEST_BROKEN:
                home_refuse(j->px, 400, "bad_digest", BL_STR("Authorization does not parse or names another URI"));
                return false;
        case BL_DIGEST_NONE:
        case BL_DIGEST_BAD:
                break;
        }
        if (bl_log_allow(j->home->env->log, "digest_wrong", "credentials"))
                bl_log_ev(j->home->env->log, BL_LOG_WARN, "digest_wrong", BL_KS("user", d->username),
                          BL_KS("realm", j->domain->name));
        challenge(j, proxy, false);
        return false;
}

/* --- the role --- */

static void request(void *role, struct bl_px *px)
{
        struct bl_home *h = role;
        struct bl_flow *f = bl_px_flow(px);
        if (!f)
                bl_px_drop(px);
        else if (bl_px_msg(px)->method == BL_M_REGISTER)
                home_register(h, px, f);
        else
                home_route(h, px, f);
}

static void target_failed(void *role, struct bl_px *px, unsigned target, unsigned status)
{
        (void)role;
        struct job *j = *bl_px_data(px);
        if (j)
                home_target_failed(j, target, status);
}

/* The store's answer does not wait half a minute with what only passes copies on. */
static void accepted(void *role, struct bl_px *px)
{
        (void)role;
        struct job *j = *bl_px_data(px);
        if (j && !j->waiting) {
                bl_store_end(&j->op);
                j->n_slots = 0;
        }
}

static void done(void *role, struct bl_px *px)
{
        struct bl_home *h = role;
        struct job *j = *bl_px_data(px);
        if (!j)
                return;
        if (j->waiting)
                bl_store_cancel(h->node->c.store, &j->op);
        else
                bl_store_end(&j->op);
        *bl_px_data(px) = NULL;
}

static const struct bl_role home_role = {
        .request = request,
        .record_route = home_record_route_try,
        .target_failed = target_failed,
        .accepted = accepted,
        .done = done,
        .stray = home_answer_stray,
};

/* The store has no clock: without this a binding would outlive its time until somebody registers. */
static void expire_store(struct bl_timer *t)
{
        struct bl_home *h = BL_CONTAINER(t, struct bl_home, expire);
        struct bl_store *s = h->node->c.store;
        s->ops->expire(s, h->env->wall);
        env_arm_in(h->env, t, BL_SEC(1));
}

struct bl_home *bl_home_new(struct env *env, struct bl_home_node *n)
{
        struct bl_home *h = calloc(1, sizeof *h);
        if (!h)
                return NULL;
        h->env = env;
        h->node = n;
        bl_list_init(&h->removals);
        h->registered_total = bl_stats_counter(env->stats, "belay_home_registered_total", NULL, NULL);
        h->redirected_total = bl_stats_counter(env->stats, "belay_home_redirected_total", NULL, NULL);
        h->challenged_total = bl_stats_counter(env->stats, "belay_home_challenged_total", NULL, NULL);
        h->forgotten_total = bl_stats_counter(env->stats, "belay_home_bindings_dropped_total", NULL, NULL);
        h->rescued_total = bl_stats_counter(env->stats, "belay_home_answers_rescued_total", NULL, NULL);
        h->proxy = bl_proxy_new(env, &n->c.proxy, &home_role, h);
        if (!h->proxy) {
                free(h);
                return NULL;
        }
        h->expire.fire = expire_store;
        if (env->worker == 0 && n->c.store)
                env_arm_in(env, &h->expire, BL_SEC(1));
        return h;
}

void bl_home_free(struct bl_home *h)
{
        if (!h)
                return;
        env_disarm(h->env, &h->expire);
        bl_proxy_free(h->proxy);
        home_removals_drop(h);
        free(h);
}

struct bl_proxy *bl_home_proxy(struct bl_home *h)
{
        return h->proxy;
}
