/* Clusters from one struct. */
#include "scenario/world/world.h"

#include <stdlib.h>

#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static const char *const users[] = {"joe",   "bob",   "alice", "carol", "dave",    "erin", "mallory",
                                    "frank", "grace", "heidi", "plain", "joe@odd", "midas"};
static const char *const user_domains[] = {"example.com", "example.org", "a.com", "b.com"};

static void *zalloc(size_t n)
{
        void *p = calloc(1, n);
        if (!p)
                abort();
        return p;
}

/* --- boot and death of a server --- */

static void die_for(const char *what, const char *why)
{
        fprintf(stderr, "world: %s: %s\n", what, why);
        abort();
}

static void join(struct bl_proxy **proxies, unsigned n)
{
        struct bl_flows *all[SERVER_WORKERS];
        for (unsigned i = 0; i < n; i++)
                all[i] = bl_txns_flows(bl_proxy_txns(proxies[i]));
        bl_flows_join(all, n);
}

static void edge_boot(struct sim_node *n, void *ctx)
{
        struct server *s = ctx;
        struct bl_proxy *proxies[SERVER_WORKERS];
        char error[256] = "";
        s->edge_node = bl_edge_node_new(&s->edge_conf, sim_workers(n), sim_env(n, 0)->hash_seed, error, sizeof(error));
        if (!s->edge_node)
                die_for(s->name, error);
        for (unsigned i = 0; i < sim_workers(n); i++) {
                s->edge[i] = bl_edge_new(sim_env(n, i), s->edge_node);
                if (!s->edge[i])
                        die_for(s->name, "no memory");
                proxies[i] = bl_edge_proxy(s->edge[i]);
        }
        join(proxies, sim_workers(n));
}

static void edge_dead(struct sim_node *n, void *ctx)
{
        struct server *s = ctx;
        for (unsigned i = 0; i < sim_workers(n); i++)
                bl_edge_free(s->edge[i]);
        bl_edge_node_free(s->edge_node);
}

static void home_boot(struct sim_node *n, void *ctx)
{
        struct server *s = ctx;
        struct bl_proxy *proxies[SERVER_WORKERS];
        char error[256] = "";
        s->home_node = bl_home_node_new(&s->home_conf, sim_workers(n), sim_env(n, 0)->hash_seed, error, sizeof(error));
        if (!s->home_node)
                die_for(s->name, error);
        for (unsigned i = 0; i < sim_workers(n); i++) {
                s->home[i] = bl_home_new(sim_env(n, i), s->home_node);
                if (!s->home[i])
                        die_for(s->name, "no memory");
                proxies[i] = bl_home_proxy(s->home[i]);
        }
        join(proxies, sim_workers(n));
}

static void home_dead(struct sim_node *n, void *ctx)
{
        struct server *s = ctx;
        for (unsigned i = 0; i < sim_workers(n); i++)
                bl_home_free(s->home[i]);
        bl_home_node_free(s->home_node);
}

/* --- configuration --- */

void world_trust(struct server *s, const char *domain, struct sim_node *n)
{
        if (s->n_trust == SERVER_TRUST)
                abort();
        struct bl_addr a = sim_addr(n, 0);
        s->trust[s->n_trust++] = (struct bl_trust){
                .domain = bl_str_z(domain), .net = {.base = a, .bits = a.family == 4 ? 32 : 128}, .why = BL_LINK_TRUST};
        struct bl_flows_conf *f = s->is_edge ? &s->edge_conf.proxy.flow : &s->home_conf.proxy.flow;
        f->n_trust = s->n_trust;
}

void world_cert(struct sim_node *n, const char *names, const char *bad)
{
        sim_certs(n, &(struct sim_cert){.names = names, .bad = bad}, 1);
}

static struct server *server_new(struct world *w, bool is_edge, unsigned i)
{
        static const struct sim_node_ops edge_ops = {.boot = edge_boot, .dead = edge_dead};
        static const struct sim_node_ops home_ops = {.boot = home_boot, .dead = home_dead};
        struct server *s = zalloc(sizeof(*s));
        s->w = w;
        s->index = i;
        s->is_edge = is_edge;
        snprintf(s->name, sizeof(s->name), "%c%u", is_edge ? 'e' : 'h', i);
        s->node = sim_node(w->sim, s->name, w->conf.workers, is_edge ? &edge_ops : &home_ops, s);
        struct bl_proxy_conf *p = is_edge ? &s->edge_conf.proxy : &s->home_conf.proxy;
        const enum bl_tp plain[2] = {BL_UDP, BL_TCP}, tls = BL_TLS;
        const enum bl_tp *tps = w->conf.tp == BL_TLS ? &tls : plain;
        const unsigned n = w->conf.no_tcp || w->conf.tp == BL_TLS ? 1 : 2;
        for (unsigned k = 0; k < n; k++) {
                uint16_t port = bl_tp_default_port(tps[k]);
                sim_listen(s->node, tps[k], port);
                s->listeners[k] =
                        (struct bl_listener_info){.tp = tps[k], .local = sim_addr(s->node, port), .ua_side = is_edge};
        }
        world_cert(s->node, is_edge ? "sip:edge.example.com edge.example.com" : "sip:example.com example.com", NULL);
        p->flow.listeners = s->listeners;
        p->flow.n_listeners = n;
        p->flow.trust = s->trust;
        p->hop.dns = p->hop.may_open = true;
        return s;
}

void world_publish(struct world *w, const char *name, struct sim_node *n)
{
        struct bl_addr a = sim_addr(n, 0);
        char host[64], srv[80];
        if (w->conf.tp == BL_TLS) {
                if (w->n_map == WORLD_MAP)
                        abort();
                w->map[w->n_map++] =
                        (struct bl_static_route){.host = bl_str_z(name), .tp = BL_TLS, .addr = sim_addr(n, 5061)};
                return;
        }
        sim_dns_a(w->sim, name, &a, 300);
        snprintf(host, sizeof(host), "%s.%s", sim_name(n), name);
        sim_dns_a(w->sim, host, &a, 300);
        if (w->conf.tp == BL_UDP)
                return; /* RFC 3263 section 4.1: UDP where DNS says nothing */
        snprintf(srv, sizeof(srv), "_sip._tcp.%s", name);
        sim_dns_srv(w->sim, srv, 10, 10, host, 5060, 300);
}

static void edge_configure(struct server *s)
{
        struct world *w = s->w;
        unsigned n = 0;
        for (unsigned i = 1; i <= WORLD_EDGES && w->edge[i]; i++)
                s->members[n++] = (struct bl_edge_member){
                        .name = bl_str_z(w->edge[i]->name), .addr = {sim_addr(w->edge[i]->node, 0)}, .n_addr = 1};
        s->edge_home = (struct bl_edge_home){.domain = BL_STR("example.com"), .belay = true};
        struct bl_edge_conf *c = &s->edge_conf;
        c->proxy.hop.map = w->map;
        c->proxy.hop.n_map = w->n_map;
        c->node = bl_str_z(s->name);
        c->cluster = BL_STR("edge.example.com");
        c->members = s->members;
        c->n_members = n;
        c->homes = &s->edge_home;
        c->n_homes = 1;
        c->keys = w->edge_keys;
        c->sealed = w->conf.sealed;
        c->set_size = w->conf.set_size;
        c->flow_timer_s = w->conf.flow_timer_s;
        if (w->conf.edge_conf)
                w->conf.edge_conf(w, s->index, c);
}

static void home_configure(struct server *s)
{
        struct world *w = s->w;
        s->domain = (struct bl_home_domain){.name = BL_STR("example.com"),
                                            .policy = w->conf.policy,
                                            .edge = BL_STR("edge.example.com"),
                                            .no_auth = w->conf.home_no_auth};
        struct bl_home_conf *c = &s->home_conf;
        c->proxy.hop.map = w->map;
        c->proxy.hop.n_map = w->n_map;
        c->node = bl_str_z(s->name);
        c->domains = &s->domain;
        c->n_domains = 1;
        c->keys = w->home_keys;
        c->store = w->store;
        if (w->conf.home_conf)
                w->conf.home_conf(w, s->index, c);
}

static struct bl_token_keys *keys(const char *text)
{
        char error[256] = "";
        struct bl_token_keys *k = bl_token_keys_parse(bl_str_z(text), error, sizeof(error));
        if (!k)
                die_for("keys", error);
        return k;
}

static struct bl_users *users_new(void)
{
        char text[16384], error[256] = "";
        struct bl_sb b = BL_SB(text);
        for (size_t i = 0; i < BL_ARRAY_LEN(users) * BL_ARRAY_LEN(user_domains); i++) {
                const char *user = users[i % BL_ARRAY_LEN(users)], *domain = user_domains[i / BL_ARRAY_LEN(users)];
                char password[40];
                snprintf(password, sizeof(password), "secret-%s", user);
                bl_users_line(bl_str_z(user), bl_str_z(domain), bl_str_z(password),
                              bl_str_z(strcmp(user, "midas") ? "" : "gold"), &b);
                bl_sb_addc(&b, '\n');
        }
        struct bl_users *u = bl_users_parse(bl_sb_str(&b), error, sizeof(error));
        if (!u)
                die_for("users", error);
        return u;
}

static void stores_new(struct world *w)
{
        static const struct sim_store_conf quick = {.at_once_ppm = 1000000};
        static const struct sim_store_conf moody = {.delay_min_us = 100, .delay_max_us = 20000, .at_once_ppm = 200000};
        w->users = users_new();
        w->mem = bl_store_mem_new(&(struct bl_store_mem_conf){.hash_seed = 1, .users = w->users});
        if (!w->mem)
                die_for("store", "no memory");
        w->store = sim_store_new(w->sim, w->mem, false, w->conf.store_trouble ? &moody : &quick);
}

static unsigned count_of(unsigned want, unsigned none, unsigned usual)
{
        return want == none ? 0 : want ? want : usual;
}

struct world *world_new(const struct world_conf *conf, const char *title)
{
        struct world *w = zalloc(sizeof(*w));
        w->conf = *conf;
        w->title = title;
        w->sim = sim_new(conf->seed);
        if (conf->net)
                sim_set_net(w->sim, conf->net);
        w->edge_keys = keys("E 00112233445566778899aabbccddeeff\n");
        w->home_keys = keys("H ffeeddccbbaa99887766554433221100\n");
        stores_new(w);
        unsigned edges = count_of(conf->edges, NO_EDGES, 3), homes = count_of(conf->homes, NO_HOMES, 1);
        for (unsigned i = 1; i <= edges; i++) {
                w->edge[i] = server_new(w, true, i);
                world_publish(w, "edge.example.com", w->edge[i]->node);
        }
        for (unsigned i = 1; i <= homes; i++) {
                w->home[i] = server_new(w, false, i);
                world_publish(w, "example.com", w->home[i]->node);
        }
        for (unsigned e = 1; e <= edges; e++)
                for (unsigned h = 1; h <= homes; h++) {
                        world_trust(w->edge[e], "example.com", w->home[h]->node);
                        world_trust(w->home[h], "edge.example.com", w->edge[e]->node);
                }
        if (conf->prepare)
                conf->prepare(w);
        for (unsigned i = 1; i <= homes; i++) {
                home_configure(w->home[i]);
                sim_start(w->home[i]->node);
        }
        for (unsigned i = 1; i <= edges; i++) {
                edge_configure(w->edge[i]);
                sim_start(w->edge[i]->node);
        }
        return w;
}

struct server *world_add_edge(struct world *w)
{
        unsigned i = 1;
        while (w->edge[i])
                if (++i > WORLD_EDGES)
                        abort();
        struct server *s = w->edge[i] = server_new(w, true, i);
        world_publish(w, "edge.example.com", s->node);
        for (unsigned h = 1; h <= WORLD_HOMES && w->home[h]; h++)
                world_trust(s, "example.com", w->home[h]->node);
        edge_configure(s);
        sim_start(s->node);
        return s;
}

void world_free(struct world *w)
{
        sim_free(w->sim); /* everybody dies first */
        w->store->ops->free(w->store);
        w->mem->ops->free(w->mem);
        bl_users_free(w->users);
        bl_token_keys_free(w->edge_keys);
        bl_token_keys_free(w->home_keys);
        for (unsigned i = 0; i < w->n_phones; i++)
                free(w->phones[i]);
        for (unsigned i = 0; i < w->n_raws; i++)
                raw_free(w->raws[i]);
        for (unsigned i = 1; i <= WORLD_EDGES; i++)
                free(w->edge[i]);
        for (unsigned i = 1; i <= WORLD_HOMES; i++)
                free(w->home[i]);
        free(w);
}

/* --- looking --- */

bool world_step(struct world *w, bl_us end)
{
        return sim_step(w->sim, end);
}

struct server *world_edge_of(struct world *w, const struct sim_node *n)
{
        for (unsigned i = 1; i <= WORLD_EDGES; i++)
                if (w->edge[i] && w->edge[i]->node == n)
                        return w->edge[i];
        return NULL;
}

static struct bl_proxy *proxy_of(const struct server *s, unsigned worker)
{
        return s->is_edge ? bl_edge_proxy(s->edge[worker]) : bl_home_proxy(s->home[worker]);
}

size_t server_busy(const struct server *s)
{
        size_t n = 0;
        for (unsigned i = 0; i < sim_workers(s->node) && sim_alive(s->node); i++) {
                struct bl_proxy *p = proxy_of(s, i);
                n += bl_proxy_contexts(p) + bl_txns_count(bl_proxy_txns(p));
        }
        return n;
}

size_t server_bindings(const struct server *s)
{
        struct bl_sticky_stats st = {0};
        if (sim_alive(s->node))
                bl_sticky_get_stats(s->is_edge ? bl_edge_node_sticky(s->edge_node) : bl_home_node_sticky(s->home_node),
                                    &st);
        return st.bindings;
}

uint64_t server_count(const struct server *s, const char *counter, const char *value)
{
        return sim_counter(s->node, counter, value);
}

bool world_is_idle(struct world *w)
{
        size_t busy = 0;
        for (unsigned i = 1; i <= WORLD_EDGES; i++)
                busy += w->edge[i] ? server_busy(w->edge[i]) : 0;
        for (unsigned i = 1; i <= WORLD_HOMES; i++)
                busy += w->home[i] ? server_busy(w->home[i]) : 0;
        return busy == 0;
}

void world_hush(struct world *w)
{
        for (unsigned i = 0; i < w->n_phones; i++)
                sim_kill(w->phones[i]->node, SIM_KILL_RESET);
        for (unsigned i = 0; i < w->n_raws; i++)
                sim_kill(w->raws[i]->node, SIM_KILL_RESET);
}

/* --- the trace, asked --- */

static bool is_such(const struct sim_msg *m, const struct sim_node *from, const struct sim_node *to,
                    struct bl_str start)
{
        return m->sip && !m->lost && (!from || m->from == from) && (!to || m->to == to) &&
               bl_str_starts(m->octets, start);
}

unsigned world_seen(struct world *w, const struct sim_node *from, const struct sim_node *to, const char *start)
{
        unsigned n = 0;
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                n += is_such(m, from, to, bl_str_z(start));
        return n;
}

struct bl_str world_last(struct world *w, const struct sim_node *from, const struct sim_node *to, const char *start)
{
        struct bl_str last = {NULL, 0};
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                if (is_such(m, from, to, bl_str_z(start)))
                        last = m->octets;
        return last;
}

struct bl_str text_header(struct bl_str msg, const char *name)
{
        struct bl_str line, value, key;
        for (bool more = true; more;) {
                more = bl_str_cut(msg, '\n', &line, &msg);
                if (bl_str_trim(line).n == 0)
                        break;
                if (bl_str_cut(line, ':', &key, &value) && bl_str_ieq(bl_str_trim(key), bl_str_z(name)))
                        return bl_str_trim(value);
        }
        return (struct bl_str){NULL, 0};
}

bool text_has(struct bl_str text, const char *part)
{
        return text.n && memmem(text.p, text.n, part, strlen(part)) != NULL;
}
