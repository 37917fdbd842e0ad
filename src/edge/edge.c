/* The edge's wiring: one node's shared part, one worker's part, and what the proxy core asks of a role. */
#include <stdlib.h>

#include "edge/internal.h"

/* --- the node --- */

static bool fail(char *error, size_t cap, const char *fmt, struct bl_str a, const char *what)
{
        struct bl_sb b = {error, 0, cap ? cap - 1 : 0, false};
        bl_sb_fmt(&b, fmt, BL_STR_ARG(a), what);
        if (cap)
                error[b.n] = 0;
        return false;
}

static bool check(const struct bl_edge_conf *c, char *error, size_t cap)
{
        const struct bl_str none = BL_STR("");
        if (c->cluster.n == 0)
                return fail(error, cap, "edge.cluster%.*s: %s", none,
                            "missing; name the cluster, e.g. edge.example.com");
        if (!c->keys)
                return fail(error, cap, "edge.key_file%.*s: %s", none,
                            "missing; all edges of a cluster share one key file");
        if (c->n_homes == 0)
                return fail(error, cap, "edge.home%.*s: %s", none,
                            "missing; name the domain this edge serves, e.g. example.com");
        for (unsigned i = 0; i < c->n_members; i++) {
                if (c->members[i].n_addr == 0)
                        return fail(error, cap, "edge.members.%.*s: %s", c->members[i].name, "has no address");
                if (bl_str_find(c->members[i].name, '+') >= 0 || bl_str_eq(c->members[i].name, BL_STR("*")))
                        return fail(error, cap, "edge.members.%.*s: %s", c->members[i].name,
                                    "a node's name is letters, digits, - and _");
        }
        for (unsigned i = 0; i < c->n_members; i++)
                if (bl_str_ieq(c->members[i].name, c->node))
                        return true;
        return fail(error, cap, "node: %.*s is not one of edge.members; %s", c->node, "add it there, with its address");
}

/* Fellow edges listen where we do: their ports, and the trust in their addresses, follow from our own configuration. */
static bool fill_members(struct bl_edge_node *n)
{
        const struct bl_edge_conf *c = &n->c;
        const struct bl_flows_conf *fc = &c->proxy.flow;
        n->members = calloc(c->n_members, sizeof *n->members);
        unsigned extra = 0;
        for (unsigned i = 0; i < c->n_members; i++)
                extra += c->members[i].n_addr;
        n->trust = calloc(fc->n_trust + extra, sizeof *n->trust);
        if (!n->members || !n->trust)
                return false;
        if (fc->n_trust)
                memcpy(n->trust, fc->trust, fc->n_trust * sizeof *n->trust);
        unsigned t = n->n_trusted = fc->n_trust;
        for (unsigned i = 0; i < c->n_members; i++) {
                n->members[i] = c->members[i];
                bool self = bl_str_ieq(c->members[i].name, c->node);
                if (self)
                        n->self = i;
                for (unsigned k = 0; k < c->members[i].n_addr; k++) {
                        struct bl_addr *a = &n->members[i].addr[k];
                        if (a->port == 0)
                                a->port = fc->n_listeners ? fc->listeners[0].local.port : 5060;
                        if (self)
                                continue;
                        n->trust[t].domain = c->cluster;
                        n->trust[t].net.base = *a;
                        n->trust[t].net.base.port = 0;
                        n->trust[t].net.bits = a->family == 4 ? 32 : 128;
                        n->trust[t++].why = BL_LINK_MEMBER;
                }
        }
        n->c.proxy.flow.trust = n->trust;
        n->c.proxy.flow.n_trust = t;
        return true;
}

static void fill_proxy(struct bl_edge_node *n)
{
        struct bl_proxy_conf *p = &n->c.proxy;
        n->own[0] = n->c.cluster;
        n->own[1] = n->c.node;
        p->role_name = BL_STR("edge");
        p->node = n->c.node;
        p->sent_by_host = n->c.cluster; /* equal on all edges: the UA sees one proxy (section 5) */
        p->via_extra = BL_STR(";sticky");
        p->loop_check = false; /* edges never fork: Max-Forwards is enough */
        p->hop.own = n->own;
        p->hop.n_own = BL_ARRAY_LEN(n->own);
        p->hop.may_open = true;
        p->sticky = n->sticky;
        p->index = n->index;
}

struct bl_edge_node *bl_edge_node_new(const struct bl_edge_conf *conf, unsigned workers, uint64_t hash_seed,
                                      char *ret_error, size_t error_cap)
{
        if (!check(conf, ret_error, error_cap))
                return NULL;
        struct bl_edge_node *n = calloc(1, sizeof *n);
        if (!n)
                return NULL;
        n->c = *conf;
        n->cluster = (struct bl_token_cluster){.name = conf->cluster,
                                               .default_domain = conf->homes[0].domain,
                                               .keys = conf->keys,
                                               .sealed = conf->sealed};
        n->sticky = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = hash_seed});
        n->index = workers > 1 ? bl_txn_index_new(hash_seed) : NULL;
        if (!n->sticky || (workers > 1 && !n->index) || !fill_members(n)) {
                fail(ret_error, error_cap, "edge: no memory%.*s%s", BL_STR(""), "");
                bl_edge_node_free(n);
                return NULL;
        }
        fill_proxy(n);
        return n;
}

void bl_edge_node_free(struct bl_edge_node *n)
{
        if (!n)
                return;
        bl_sticky_free(n->sticky);
        bl_txn_index_free(n->index);
        free(n->trust);
        free(n->members);
        free(n);
}

struct bl_sticky *bl_edge_node_sticky(struct bl_edge_node *n)
{
        return n->sticky;
}

/* --- the role --- */

static void request(void *role, struct bl_px *px)
{
        struct bl_edge *e = role;
        struct bl_flow *f = bl_px_flow(px);
        if (!f)
                bl_px_drop(px);
        else if (bl_px_msg(px)->method != BL_M_REGISTER)
                edge_route(e, px, f);
        else if (edge_flow_is_core(e, f)) /* a registration is bound to the UA's own flow or to none */
                bl_px_refuse(px, 403, "register_from_core", BL_STR("No Registrations From the Core"),
                             (struct bl_str){NULL, 0});
        else
                edge_register(e, px, f);
}

static void response(void *role, struct bl_px *px, unsigned target, bl_flow_id from, const struct bl_msg *m,
                     struct bl_edits *ed)
{
        (void)target;
        (void)from;
        if (bl_px_msg(px)->method == BL_M_REGISTER)
                edge_register_response(role, px, m, ed);
}

static void branch(void *role, struct bl_px *px, unsigned target, struct bl_sb *out)
{
        struct bl_edge *e = role;
        const struct bl_msg *m = bl_px_msg(px);
        bl_token_branch(e->node->c.keys, m->via.sent_by, m->via.branch, m->call_id, m->cseq.number, target, out);
}

static void flow_up(void *role, struct bl_flow *f)
{
        (void)edge_probe_up(role, f);
}

static void flow_down(void *role, struct bl_flow *f, int why)
{
        (void)why;
        if (!edge_probe_down(role, f))
                edge_bound_drop_flow(role, f);
}

static void flow_pong(void *role, struct bl_flow *f)
{
        edge_probe_pong(role, f);
}

static const struct bl_role edge_role = {
        .request = request,
        .record_route = edge_record_route_try,
        .response = response,
        .branch = branch,
        .via = edge_answer_via,
        .upstream = edge_answer_upstream,
        .stray = edge_answer_stray,
        .flow_up = flow_up,
        .flow_down = flow_down,
        .flow_pong = flow_pong,
};

struct bl_edge *bl_edge_new(struct env *env, struct bl_edge_node *n)
{
        struct bl_edge *e = calloc(1, sizeof *e);
        if (!e)
                return NULL;
        e->env = env;
        e->node = n;
        e->member = calloc(n->c.n_members, sizeof *e->member);
        e->bound_total = bl_stats_counter(env->stats, "belay_edge_bound_total", NULL, NULL);
        e->adopted_total = bl_stats_counter(env->stats, "belay_edge_adopted_total", NULL, NULL);
        e->redirected_total = bl_stats_counter(env->stats, "belay_edge_redirected_total", NULL, NULL);
        e->detour_total = bl_stats_counter(env->stats, "belay_edge_detour_total", NULL, NULL);
        e->delivered_total = bl_stats_counter(env->stats, "belay_edge_delivered_total", NULL, NULL);
        e->rescued_total = bl_stats_counter(env->stats, "belay_edge_answers_rescued_total", NULL, NULL);
        e->silent_total = bl_stats_counter(env->stats, "belay_edge_flows_silent_total", NULL, NULL);
        e->proxy = e->member ? bl_proxy_new(env, &n->c.proxy, &edge_role, e) : NULL;
        if (!e->proxy) {
                free(e->member);
                free(e);
                return NULL;
        }
        edge_probe_start(e);
        return e;
}

void bl_edge_free(struct bl_edge *e)
{
        if (!e)
                return;
        edge_probe_stop(e);
        env_disarm(e->env, &e->drain);
        bl_proxy_free(e->proxy); /* takes the flows down, and with them what they carry */
        bl_htab_fini(&e->bound);
        free(e->member);
        free(e->trust);
        free(e);
}

int bl_edge_set_trust(struct bl_edge *e, const struct bl_trust *trust, unsigned n)
{
        const struct bl_edge_node *node = e->node;
        unsigned fellows = node->c.proxy.flow.n_trust - node->n_trusted;
        struct bl_trust *all = calloc((size_t)n + fellows + 1, sizeof *all);
        if (!all)
                return BL_ENOMEM;
        if (n)
                memcpy(all, trust, n * sizeof *all);
        if (fellows)
                memcpy(all + n, node->trust + node->n_trusted, fellows * sizeof *all);
        bl_flows_set_trust(bl_txns_flows(bl_proxy_txns(e->proxy)), all, n + fellows);
        free(e->trust);
        e->trust = all;
        return 0;
}

struct bl_proxy *bl_edge_proxy(struct bl_edge *e)
{
        return e->proxy;
}

size_t bl_edge_bindings(const struct bl_edge *e)
{
        return e->bound.count;
}
