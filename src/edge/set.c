/*
 * Who serves a P: the set of a new registration, P's order when its nodes die, and the probes that tell who lives. All
 * by rendezvous hashing, so that every node computes the same order from configuration alone and a death spreads its
 * load over all others (protocol.md 3.4, 4.1, 4.4).
 */
#include "edge/internal.h"

enum { PROBE_EVERY_MS = 5000, PROBE_WAIT_MS = 2000, PRESUME_MS = 5000 };

/* The same on every node of the cluster: no process seed. */
static uint64_t weight(struct bl_str node, uint64_t what)
{
        return bl_hash_mix(bl_hash(0x62656c6179ull, node), what);
}

int edge_member_find(const struct bl_edge_node *n, struct bl_str name)
{
        for (unsigned i = 0; i < n->c.n_members; i++)
                if (bl_str_ieq(n->members[i].name, name))
                        return (int)i;
        return -1;
}

bool edge_member_alive(const struct bl_edge *e, unsigned index)
{
        return index == e->node->self || !e->member[index].dead;
}

bool edge_member_addr(const struct bl_edge *e, unsigned index, uint8_t family, struct bl_addr *ret_addr)
{
        const struct bl_edge_member *m = &e->node->members[index];
        for (unsigned i = 0; i < m->n_addr; i++)
                if (m->addr[i].family == family) {
                        *ret_addr = m->addr[i];
                        return true;
                }
        return false;
}

/* May a registration begin there? */
static bool stays(const struct bl_edge *e, unsigned index)
{
        if (index == e->node->self)
                return !e->draining;
        return edge_member_alive(e, index) && !e->member[index].leaving;
}

static bool listed(const unsigned *list, unsigned n, unsigned index)
{
        for (unsigned i = 0; i < n; i++)
                if (list[i] == index)
                        return true;
        return false;
}

/* The living member of highest weight that is not listed yet, nor drains when it is to stay; -1 when there is none. */
static int next_best(const struct bl_edge *e, uint64_t what, bool staying, const unsigned *list, unsigned n,
                     struct bl_str other_zone)
{
        const struct bl_edge_node *node = e->node;
        int best = -1;
        uint64_t best_weight = 0;
        for (unsigned i = 0; i < node->c.n_members; i++) {
                if (!(staying ? stays(e, i) : edge_member_alive(e, i)) || listed(list, n, i))
                        continue;
                if (other_zone.n && (!node->members[i].zone.n || bl_str_eq(node->members[i].zone, other_zone)))
                        continue;
                uint64_t w = weight(node->members[i].name, what);
                if (best < 0 || w > best_weight) {
                        best = (int)i;
                        best_weight = w;
                }
        }
        return best;
}

/* 4.1: a subscriber, or a whole domain, can be pinned. The more specific entry counts. */
static const struct bl_edge_pin *pin_of(const struct bl_edge_node *n, struct bl_str user, struct bl_str domain)
{
        const struct bl_edge_pin *found = NULL;
        for (unsigned i = 0; i < n->c.n_pins; i++) {
                struct bl_str u, d;
                if (!bl_str_cut(n->c.pins[i].who, '@', &u, &d) || !bl_host_eq(d, domain))
                        continue;
                if (bl_str_eq(u, user))
                        return &n->c.pins[i];
                if (bl_str_eq(u, BL_STR("*")))
                        found = &n->c.pins[i];
        }
        return found;
}

static unsigned pick_pinned(const struct bl_edge *e, const struct bl_edge_pin *pin, unsigned ret[BL_TOKEN_NODES])
{
        unsigned n = 0;
        for (unsigned i = 0; i < pin->n_nodes && n < BL_TOKEN_NODES; i++) {
                int m = edge_member_find(e->node, pin->nodes[i]);
                if (m >= 0 && stays(e, (unsigned)m) && !listed(ret, n, (unsigned)m))
                        ret[n++] = (unsigned)m;
        }
        return n;
}

unsigned edge_set_pick(const struct bl_edge *e, struct bl_str user, struct bl_str domain, struct bl_str instance,
                       unsigned ret[BL_TOKEN_NODES])
{
        const struct bl_edge_pin *pin = pin_of(e->node, user, domain);
        unsigned pinned = pin ? pick_pinned(e, pin, ret) : 0;
        if (pinned) /* when all of them are dead any edge is better than none */
                return pinned;
        uint64_t what = bl_hash_mix(bl_hash_mix(bl_hash(1, user), bl_hash_lower(2, domain)), bl_hash(3, instance));
        unsigned want = e->node->c.set_size ? e->node->c.set_size : 2;
        if (want > BL_TOKEN_NODES)
                want = BL_TOKEN_NODES;
        unsigned n = 0;
        if (!e->draining)
                ret[n++] = e->node->self;
        if (n < want && e->node->c.zone.n) { /* 4.1: a backup in another zone, where zones are configured */
                int i = next_best(e, what, true, ret, n, e->node->c.zone);
                if (i >= 0)
                        ret[n++] = (unsigned)i;
        }
        while (n < want) {
                int i = next_best(e, what, true, ret, n, (struct bl_str){NULL, 0});
                if (i < 0)
                        break;
                ret[n++] = (unsigned)i;
        }
        if (n == 0) /* we drain and are alone: better here than nowhere */
                ret[n++] = e->node->self;
        return n;
}

unsigned edge_set_order(const struct bl_edge *e, const struct bl_token *t, struct bl_str p_user, bool staying,
                        unsigned *ret, unsigned max)
{
        unsigned n = 0;
        for (unsigned i = 0; i < t->n_nodes && n < max; i++) {
                int m = edge_member_find(e->node, t->node[i]);
                if (m >= 0 && (staying ? stays(e, (unsigned)m) : edge_member_alive(e, (unsigned)m)) &&
                    !listed(ret, n, (unsigned)m))
                        ret[n++] = (unsigned)m;
        }
        uint64_t what = bl_hash(4, p_user);
        while (n < max) {
                int m = next_best(e, what, staying, ret, n, (struct bl_str){NULL, 0});
                if (m < 0)
                        break;
                ret[n++] = (unsigned)m;
        }
        return n;
}

/* --- probes --- */

/* The listener from which, and whose transport, fellows are probed: a connection tells sooner than datagrams. */
static uint16_t probe_listener(const struct bl_edge *e)
{
        static const enum bl_tp best[] = {BL_TCP, BL_TLS};
        const struct bl_flows_conf *fc = &e->node->c.proxy.flow;
        for (unsigned k = 0; k < BL_ARRAY_LEN(best); k++)
                for (unsigned i = 0; i < fc->n_listeners; i++)
                        if (fc->listeners[i].tp == best[k])
                                return (uint16_t)i;
        return 0;
}

static void probe_failed(struct member *m)
{
        static const uint16_t wait_ms[] = {500, 1000, 2000, 4000};
        m->flow = 0;
        unsigned i = m->failures < BL_ARRAY_LEN(wait_ms) ? m->failures : BL_ARRAY_LEN(wait_ms) - 1;
        m->failures++;
        env_arm_in(m->edge->env, &m->retry, BL_MS(wait_ms[i]));
}

static void mark(struct member *m, bool dead, const char *reason)
{
        m->seen |= !dead;
        if (m->dead == dead)
                return;
        /* A starting edge presumes all alive: a fellow that starts a moment later is not dead. */
        if (dead && !m->seen && m->edge->env->now < m->edge->started_at + BL_MS(PRESUME_MS))
                return;
        m->dead = dead;
        bl_log_ev(m->edge->env->log, BL_LOG_WARN, dead ? "member_down" : "member_up",
                  BL_KS("member", m->edge->node->members[m->index].name), BL_KZ("reason", reason));
}

static void probe(struct bl_timer *t)
{
        struct member *m = BL_CONTAINER(t, struct member, retry);
        const struct bl_edge_member *conf = &m->edge->node->members[m->index];
        const struct bl_flows_conf *fc = &m->edge->node->c.proxy.flow;
        struct bl_target to = {.sni = m->edge->node->c.cluster, .to = conf->addr[0]};
        to.listener = probe_listener(m->edge);
        if (to.listener < fc->n_listeners) {
                to.tp = fc->listeners[to.listener].tp;
                if (m->edge->node->c.members[m->index].addr[0].port == 0) /* fellows listen where we do */
                        to.to.port = fc->listeners[to.listener].local.port;
        }
        struct bl_flow *f;
        int rc = bl_flow_open(bl_txns_flows(bl_proxy_txns(m->edge->proxy)), &to, &f);
        if (rc < 0) {
                mark(m, true, bl_err_text(rc));
                probe_failed(m);
                return;
        }
        m->flow = f->id;
        (void)bl_flow_link(f, m->edge->node->c.cluster, BL_LINK_MEMBER);
}

void edge_probe_start(struct bl_edge *e)
{
        e->started_at = e->env->now;
        for (unsigned i = 0; i < e->node->c.n_members; i++) {
                struct member *m = &e->member[i];
                *m = (struct member){.edge = e, .index = i, .retry.fire = probe};
                if (i != e->node->self)
                        env_arm_in(e->env, &m->retry, 0);
        }
}

void edge_probe_stop(struct bl_edge *e)
{
        for (unsigned i = 0; i < e->node->c.n_members; i++)
                env_disarm(e->env, &e->member[i].retry);
}

static struct member *by_flow(struct bl_edge *e, const struct bl_flow *f)
{
        if (!f->ours)
                return NULL;
        for (unsigned i = 0; i < e->node->c.n_members; i++)
                if (e->member[i].flow == f->id)
                        return &e->member[i];
        return NULL;
}

bool edge_probe_up(struct bl_edge *e, struct bl_flow *f)
{
        struct member *m = by_flow(e, f);
        if (!m)
                return false;
        bl_flow_keepalive(f, PROBE_EVERY_MS, PROBE_WAIT_MS);
        /* A connection proves life. A UDP socket is up at once and proves nothing: its silence shows as a failed ping.
         */
        if (f->tp != BL_UDP) {
                m->failures = 0;
                mark(m, false, "connected");
        }
        edge_drain_ask(e, f);
        return true;
}

bool edge_probe_down(struct bl_edge *e, struct bl_flow *f)
{
        struct member *m = by_flow(e, f);
        if (!m)
                return false;
        mark(m, true, "probe_lost");
        m->leaving = false; /* it has gone; who comes back starts anew */
        probe_failed(m);
        return true;
}

void edge_probe_pong(struct bl_edge *e, struct bl_flow *f)
{
        struct member *m = by_flow(e, f);
        if (!m)
                return;
        m->failures = 0;
        mark(m, false, "answered");
        edge_drain_ask(m->edge, f);
}
