#include "server/parts.h"

#include <stdlib.h>
#include <uv.h>

/* Proxies show by their certificate who they are: where they come, they are always asked. */
static enum bl_tls_ask ask_of(const struct bl_options *o, bool ua_side)
{
        enum bl_tls_ask ask = o->tls ? (enum bl_tls_ask)o->tls->clients : BL_TLS_ASK;
        return ask == BL_TLS_NEVER && !ua_side ? BL_TLS_ASK : ask;
}

static void put_listeners(struct bl_parts *p, const struct bl_options *o, enum bl_stack_role role)
{
        const struct bl_conf_point *at = BL_CONF_ITEMS(o->listen, struct bl_conf_point);
        for (size_t i = 0; i < o->listen.n && p->n_listen < BL_PARTS_LISTENERS; i++) {
                bool of_home = at[i].word == BL_SIDE_HOME || (at[i].word < 0 && !o->edge);
                if (of_home != (role == BL_STACK_HOME))
                        continue;
                bool ua_side = !of_home && at[i].word != BL_SIDE_CORE;
                p->listen[p->n_listen] =
                        (struct bl_world_listener){.tp = at[i].tp, .addr = at[i].addr, .ask = ask_of(o, ua_side)};
                p->info[p->n_listen++] = (struct bl_listener_info){
                        .tp = at[i].tp, .local = at[i].addr, .ua_side = ua_side, .advertise = o->advertise};
        }
}

static int put_trust(struct bl_tables *p, const struct bl_options *o)
{
        const struct bl_trust_option *t = BL_CONF_ITEMS(o->trust, struct bl_trust_option);
        size_t n = 0;
        for (size_t i = 0; i < o->trust.n; i++)
                n += t[i].nets.n;
        p->trust = calloc(n + 1, sizeof(*p->trust));
        if (!p->trust)
                return BL_ENOMEM;
        for (size_t i = 0; i < o->trust.n; i++) {
                const struct bl_net *net = BL_CONF_ITEMS(t[i].nets, struct bl_net);
                for (size_t k = 0; k < t[i].nets.n; k++)
                        p->trust[p->n_trust++] =
                                (struct bl_trust){.domain = t[i].domain, .net = net[k], .why = BL_LINK_TRUST};
        }
        return 0;
}

static int put_map(struct bl_tables *p, const struct bl_options *o)
{
        const struct bl_map_option *m = BL_CONF_ITEMS(o->map, struct bl_map_option);
        const struct bl_nodes_option *c = BL_CONF_ITEMS(o->nodes, struct bl_nodes_option);
        size_t n = 0;
        for (size_t i = 0; i < o->map.n; i++)
                n += m[i].points.n;
        for (size_t i = 0; i < o->nodes.n; i++)
                n += c[i].nodes.n;
        p->map = calloc(n + 1, sizeof(*p->map));
        if (!p->map)
                return BL_ENOMEM;
        for (size_t i = 0; i < o->map.n; i++) {
                const struct bl_conf_point *at = BL_CONF_ITEMS(m[i].points, struct bl_conf_point);
                for (size_t k = 0; k < m[i].points.n; k++)
                        p->map[p->n_map++] =
                                (struct bl_static_route){.host = m[i].host, .tp = at[k].tp, .addr = at[k].addr};
        }
        for (size_t i = 0; i < o->nodes.n; i++) {
                const struct bl_node_option *at = BL_CONF_ITEMS(c[i].nodes, struct bl_node_option);
                for (size_t k = 0; k < c[i].nodes.n; k++)
                        p->map[p->n_map++] = (struct bl_static_route){.host = c[i].cluster,
                                                                      .node = at[k].node,
                                                                      .tp = at[k].point.tp,
                                                                      .addr = at[k].point.addr};
        }
        return 0;
}

int bl_tables_init(struct bl_tables *t, const struct bl_options *o)
{
        *t = (struct bl_tables){0};
        int rc = put_trust(t, o);
        if (rc == 0)
                rc = put_map(t, o);
        if (rc < 0)
                bl_tables_fini(t);
        return rc;
}

void bl_tables_fini(struct bl_tables *t)
{
        free(t->trust);
        free(t->map);
        *t = (struct bl_tables){0};
}

int bl_parts_init(struct bl_parts *p, const struct bl_options *o, enum bl_stack_role role)
{
        *p = (struct bl_parts){0};
        put_listeners(p, o, role);
        return bl_tables_init(&p->tables, o);
}

void bl_parts_fini(struct bl_parts *p)
{
        bl_tables_fini(&p->tables);
        *p = (struct bl_parts){0};
}

static unsigned workers_of(const struct bl_options *o)
{
        unsigned n = o->workers ? o->workers : uv_available_parallelism();
        return n > BL_WORLD_WORKERS_MAX ? BL_WORLD_WORKERS_MAX : n;
}

void bl_parts_world(const struct bl_parts *p, const struct bl_options *o, struct bl_world_conf *ret_conf)
{
        *ret_conf = (struct bl_world_conf){.listeners = p->listen,
                                           .n_listeners = p->n_listen,
                                           .workers = workers_of(o),
                                           .dns = o->dns->servers.at,
                                           .n_dns = (unsigned)o->dns->servers.n,
                                           .dns_timeout_ms = o->dns->timeout_ms,
                                           .connect_timeout_ms = o->timers->connect_ms,
                                           .handshake_timeout_ms = o->timers->handshake_ms,
                                           .stuck_timeout_ms = o->timers->stuck_ms,
                                           .max_flows = o->limits->flows,
                                           .pool_limit = o->limits->memory,
                                           .udp_trains = o->udp_trains,
                                           .log_level = (enum bl_level)o->log->level,
                                           .log_json = o->log->format == 1,
                                           .node = o->node};
}

void bl_parts_bound(struct bl_parts *p, unsigned listener, const struct bl_addr *addr)
{
        p->listen[listener].addr = p->info[listener].local = *addr;
}

void bl_parts_proxy(const struct bl_parts *p, const struct bl_options *o, struct bl_proxy_conf *ret_conf)
{
        const struct bl_timer_options *t = o->timers;
        ret_conf->txn = (struct bl_txns_conf){.t1_ms = t->t1_ms,
                                              .t2_ms = t->t2_ms,
                                              .t4_ms = t->t4_ms,
                                              .timer_c_ms = t->timer_c_ms,
                                              .budget = o->limits->transactions,
                                              .mtu_to_tcp = true};
        ret_conf->flow = (struct bl_flows_conf){.max_message = o->limits->message,
                                                .udp_idle_ms = t->udp_idle_ms,
                                                .stream_idle_ms = t->stream_idle_ms,
                                                .listeners = p->info,
                                                .n_listeners = p->n_listen,
                                                .trust = p->tables.trust,
                                                .n_trust = p->tables.n_trust};
        ret_conf->hop = (struct bl_hops_conf){.map = p->tables.map,
                                              .n_map = p->tables.n_map,
                                              .dns = o->dns->use,
                                              .keep_bindings_ms = t->keep_bindings_ms,
                                              .failover_after_ms = t->failover_after_ms,
                                              .failed_target_ms = t->failed_target_ms,
                                              .ping_every_ms = t->ping_every_ms,
                                              .ping_wait_ms = t->ping_wait_ms,
                                              .may_open = true};
}
