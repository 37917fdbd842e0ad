/* P as this cluster writes it, whose hosts are whose, and which flows are core flows. */
#include "edge/internal.h"

bool edge_host_is_cluster(const struct bl_edge *e, struct bl_str host)
{
        return bl_host_eq(host, e->node->c.cluster);
}

bool edge_host_is_own(const struct bl_edge *e, const struct bl_flow *f, const struct bl_uri *u)
{
        if (edge_host_is_cluster(e, u->host) || bl_host_eq(u->host, e->node->c.node))
                return true;
        struct bl_addr a;
        if (bl_uri_addr(u, &a) < 0)
                return false;
        if (f && bl_addr_eq_ip(&a, &f->local))
                return true;
        const struct bl_flows_conf *fc = &e->node->c.proxy.flow;
        for (unsigned i = 0; i < fc->n_listeners; i++)
                if (bl_addr_eq_ip(&a, &fc->listeners[i].local))
                        return true;
        return false;
}

bool edge_names_us(const struct bl_edge *e, const struct bl_uri *u)
{
        struct bl_str maddr;
        struct bl_addr a;
        if (!bl_uri_param(u, BL_STR("maddr"), &maddr) || bl_addr_parse(maddr, &a) < 0)
                return false;
        const struct bl_edge_member *self = &e->node->members[e->node->self];
        for (unsigned i = 0; i < self->n_addr; i++)
                if (bl_addr_eq_ip(&a, &self->addr[i]))
                        return true;
        const struct bl_flows_conf *fc = &e->node->c.proxy.flow;
        for (unsigned i = 0; i < fc->n_listeners; i++)
                if (bl_addr_eq_ip(&a, &fc->listeners[i].local))
                        return true;
        return false;
}

struct bl_str edge_canonical(struct bl_edge *e, struct bl_px *px, struct bl_str user)
{
        struct bl_str parts[] = {BL_STR("sip:"), user, BL_STR("@"), e->node->c.cluster, BL_STR(";lr")};
        size_t n = 0;
        for (unsigned i = 0; i < BL_ARRAY_LEN(parts); i++)
                n += parts[i].n;
        char *p = bl_px_alloc(px, n);
        if (!p)
                return (struct bl_str){NULL, 0};
        struct bl_sb b = {p, 0, n, false};
        for (unsigned i = 0; i < BL_ARRAY_LEN(parts); i++)
                bl_sb_add(&b, parts[i]);
        return bl_sb_str(&b);
}

const struct bl_edge_home *edge_home_of(const struct bl_edge *e, struct bl_str domain)
{
        for (unsigned i = 0; i < e->node->c.n_homes; i++)
                if (bl_host_eq(e->node->c.homes[i].domain, domain))
                        return &e->node->c.homes[i];
        return NULL;
}

static bool next_host(const struct bl_edge_home *h, struct bl_str *ret_host)
{
        struct bl_uri u;
        if (h->next.n == 0 || bl_uri_parse(h->next, &u) < 0)
                return false;
        *ret_host = u.host;
        return true;
}

/* `sip:NAME;lr;maddr=ADDRESS`, with the port and transport of the Route: the flow that leads to that node of NAME is
 * found by it, and one that has to be opened is linked to NAME and to nothing that a UA has written. */
static struct bl_str node_uri(struct bl_px *px, struct bl_str name, const struct bl_uri *u)
{
        size_t cap = name.n + u->host.n + 64;
        char *mem = bl_px_alloc(px, cap);
        struct bl_sb b = {mem, 0, mem ? cap : 0, false};
        enum bl_tp tp;
        struct bl_str transport;
        bl_sb_addz(&b, u->scheme == BL_SCHEME_SIPS ? "sips:" : "sip:");
        bl_sb_add(&b, name);
        if (u->port) {
                bl_sb_addc(&b, ':');
                bl_sb_addu(&b, u->port);
        }
        bl_sb_addz(&b, ";lr");
        if (bl_uri_param(u, BL_STR("transport"), &transport) && bl_tp_from(transport, &tp) == 0) {
                bl_sb_addz(&b, ";transport=");
                bl_sb_add(&b, bl_tp_param(tp));
        }
        bl_sb_addz(&b, ";maddr=");
        bl_sb_add(&b, u->host);
        return b.over ? (struct bl_str){NULL, 0} : bl_sb_str(&b);
}

bool edge_route_is_home(const struct bl_edge *e, struct bl_px *px, const struct bl_edge_home *h, const struct bl_uri *u,
                        struct bl_str *ret_next)
{
        struct bl_str name[2] = {h->domain};
        unsigned n = next_host(h, &name[1]) ? 2 : 1;
        *ret_next = (struct bl_str){NULL, 0};
        for (unsigned i = 0; i < n; i++)
                if (bl_host_eq(u->host, name[i]))
                        return true;
        for (unsigned i = 0; i < n; i++)
                if (bl_hop_is_node_of(bl_proxy_hops(e->proxy), u, name[i])) {
                        *ret_next = node_uri(px, name[i], u);
                        return ret_next->n > 0;
                }
        return false;
}

struct bl_str edge_next_uri(const struct bl_edge_home *h, struct bl_px *px)
{
        if (h->next.n)
                return h->next;
        size_t n = 4 + h->domain.n + 3;
        char *p = bl_px_alloc(px, n);
        if (!p)
                return (struct bl_str){NULL, 0};
        struct bl_sb b = {p, 0, n, false};
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, h->domain);
        bl_sb_addz(&b, ";lr"); /* as its Record-Route and Service-Route spell it: one binding for all */
        return bl_sb_str(&b);
}

bool edge_flow_is_member(const struct bl_edge *e, const struct bl_flow *f)
{
        return bl_flow_linked(f, e->node->c.cluster);
}

bool edge_flow_is_core(const struct bl_edge *e, const struct bl_flow *f)
{
        if (!bl_flow_is_linked(f))
                return false;
        for (unsigned i = 0; i < e->node->c.n_homes; i++) {
                const struct bl_edge_home *h = &e->node->c.homes[i];
                struct bl_str next;
                if (bl_flow_linked(f, h->domain) || (next_host(h, &next) && bl_flow_linked(f, next)))
                        return true;
        }
        return edge_flow_is_member(e, f);
}

void edge_put_reach(const struct bl_edge *e, const struct bl_flow *f, struct bl_sb *b)
{
        const struct bl_flows_conf *fc = &e->node->c.proxy.flow;
        uint16_t port = f->listener < fc->n_listeners ? fc->listeners[f->listener].local.port : f->local.port;
        if (port != bl_tp_default_port(f->tp == BL_UDP || f->tp == BL_TCP ? BL_UDP : f->tp)) {
                bl_sb_addc(b, ':');
                bl_sb_addu(b, port);
        }
        if (f->tp != BL_UDP) {
                bl_sb_addz(b, ";transport=");
                bl_sb_add(b, bl_tp_param(f->tp));
        }
}
