/*
 * The most specific match (protocol.md section 3.1): which flows a request to u may leave by, in order, and where to
 * open one when they are spent.
 *
 *   ranks 1, 2   what the table says: exactly u, or equivalent to it
 *   rank 3       same host: flows whose far end RFC 3263 names, in its order
 *   rank 4       targets without a flow, in its order
 *   then         other flows of that host (far ends behind NAT), and those avoided because they were silent lately
 */
#include "hop/internal.h"

static bool list_has(const struct hop_list *l, bl_flow_id id)
{
        for (unsigned i = 0; i < l->n; i++) {
                if (l->c[i].flow == id)
                        return true;
        }
        return false;
}

static void list_add_flow(struct hop_list *l, const struct bl_sticky_found *f)
{
        if (l->n < HOP_CANDS_MAX && !list_has(l, f->flow))
                l->c[l->n++] = (struct hop_cand){.flow = f->flow,
                                                 .tp = f->tp,
                                                 .addr = f->remote,
                                                 .rank = f->rank,
                                                 .kind = f->kind,
                                                 .ours = f->ours,
                                                 .listens = f->listens};
}

static void list_add_open(struct hop_list *l, enum bl_tp tp, const struct bl_addr *addr)
{
        for (unsigned i = 0; i < l->n; i++) {
                if (!l->c[i].flow && l->c[i].tp == tp && bl_addr_eq(&l->c[i].addr, addr))
                        return;
        }
        if (l->n < HOP_CANDS_MAX)
                l->c[l->n++] = (struct hop_cand){.tp = tp, .addr = *addr, .rank = 4, .ours = true};
}

/* RFC 3261 section 26.2.2: what is sips goes by TLS on every hop. */
static bool is_secure_enough(const struct hop_choice *w, enum bl_tp tp)
{
        return w->u.scheme != BL_SCHEME_SIPS || bl_tp_is_secure(tp);
}

static unsigned find(struct bl_hops *h, const struct hop_choice *w, uint8_t max_rank,
                     struct bl_sticky_found ret[BL_STICKY_MAX])
{
        struct bl_sticky_query q = {.uri = w->u, .worker = h->env->worker, .spread = w->spread, .max_rank = max_rank};
        unsigned n = bl_sticky_find(h->sticky, &q, h->env->now, ret), k = 0;
        for (unsigned i = 0; i < n; i++) {
                if (!is_secure_enough(w, ret[i].tp))
                        continue;
                /* Back where it came from only when that is exactly what u names. */
                if (w->not_flow && ret[i].flow == w->not_flow && ret[i].rank != 1)
                        continue;
                ret[k++] = ret[i];
        }
        return k;
}

/* Far end = target: the port counts only if we opened the flow (theirs come from a port of their own); the transport
 * only if the URI insists on it. */
static bool found_matches(const struct hop_choice *w, const struct bl_sticky_found *f, const struct bl_target *t)
{
        if (!bl_addr_eq_ip(&f->remote, &t->to) || (f->ours && f->remote.port != t->to.port))
                return false;
        if (!is_secure_enough(w, f->tp))
                return false;
        return f->tp == t->tp || !bl_uri_param(&w->u, BL_STR("transport"), NULL);
}

/* ---- size ---- */

static bool is_big(struct bl_hops *h, const struct hop_choice *w)
{
        return w->octets > 1300 && !(w->flags & (BL_SEND_UA | BL_SEND_PINNED)) && bl_txns_get_conf(h->txns)->mtu_to_tcp;
}

/* Where the far end of a UDP flow takes TCP: at the same port, RFC 3261 section 18.2.1. Of one that we accepted the
 * port may be chance: its sent-by tells (18.2.2 answers there), else the static map. */
static struct bl_addr stream_addr(const struct bl_hops *h, const struct hop_choice *w, const struct hop_cand *c)
{
        struct bl_addr to = c->addr;
        const struct bl_static_route *e = c->ours || c->listens ? NULL : hop_map_at(h, w->u.host, &c->addr);
        if (!c->ours && (c->listens || e))
                to.port = c->listens ? c->listens : e->addr.port;
        return to;
}

/* Streams to the far end of a UDP candidate: those that are there, else one to open. */
static void list_streams_to(struct bl_hops *h, const struct hop_choice *w, const struct hop_cand *c, struct hop_list *l)
{
        struct bl_sticky_found f[BL_STICKY_MAX];
        struct bl_addr to = stream_addr(h, w, c), any = to;
        unsigned n, k = 0;
        any.port = c->ours ? to.port : 0;
        n = bl_sticky_find_at(h->sticky, w->u.host, &any, h->env->worker, h->env->now, f);
        for (unsigned i = 0; i < n; i++) {
                if (!bl_tp_is_stream(f[i].tp) || f[i].flow == w->not_flow || !is_secure_enough(w, f[i].tp) ||
                    hop_flow_avoided(h, f[i].flow))
                        continue;
                list_add_flow(l, &f[i]);
                k++;
        }
        if (k || !h->conf.may_open || hop_failed_is(h, BL_TCP, &to))
                return;
        /* A far end that we did not choose is one to open to only where the host is known to be there: never a UA. */
        if (c->ours || hop_linked(h, c->flow, w->u.host))
                list_add_open(l, BL_TCP, &to);
}

/*
 * RFC 3261 section 18.1.1: over 1300 octets a request goes by a congestion-controlled transport, and by UDP after all
 * when the far end refuses that. So before each UDP candidate the streams to the same far end.
 */
static void list_by_size(struct bl_hops *h, const struct hop_choice *w, struct hop_list *l)
{
        struct hop_list big = {0};
        for (unsigned i = 0; i < l->n; i++) {
                if (!bl_tp_is_stream(l->c[i].tp))
                        list_streams_to(h, w, &l->c[i], &big);
                if (big.n < HOP_CANDS_MAX && !(l->c[i].flow && list_has(&big, l->c[i].flow)))
                        big.c[big.n++] = l->c[i];
        }
        *l = big;
}

/* ---- ranks 1 and 2 ---- */

/* Among equals a URI without user part follows RFC 3263's order; with one, the table's (last confirmed first). */
static unsigned target_order(const struct hop_choice *w, const struct bl_sticky_found *f, const struct bl_target *t,
                             unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                if (found_matches(w, f, &t[i]))
                        return i;
        }
        return n;
}

static void by_targets(const struct hop_choice *w, struct bl_sticky_found *f, unsigned n, const struct bl_target *t,
                       unsigned n_t)
{
        for (unsigned i = 1; i < n; i++) {
                struct bl_sticky_found x = f[i];
                unsigned order = target_order(w, &x, t, n_t), k = i;
                for (; k && f[k - 1].rank == x.rank && target_order(w, &f[k - 1], t, n_t) > order; k--)
                        f[k] = f[k - 1];
                f[k] = x;
        }
}

static void ignore_targets(struct bl_resolve *r, int rc, const struct bl_target *t, unsigned n)
{
        (void)r, (void)rc, (void)t, (void)n;
}

/*
 * A domain's traffic goes by the flows that are there; but where RFC 3263 prefers a target that has none, that one is
 * opened beside, so that balancing and the way back to a primary that returned do not wait for a failure.
 */
static void open_preferred(struct bl_hops *h, const struct hop_choice *w, const struct bl_sticky_found *f, unsigned n,
                           const struct bl_target *t)
{
        struct hop_flow *hf;
        for (unsigned i = 0; i < n; i++) {
                if (found_matches(w, &f[i], t))
                        return;
        }
        if (f[0].ours && h->conf.may_open && !hop_is_own(h, w->u.host) && !hop_failed_is(h, t->tp, &t->to))
                hop_flow_open(h, t->tp, &t->to, w->u.host, w->u.all, false, &hf);
}

void hop_choose_bound(struct bl_hops *h, const struct hop_choice *w, struct hop_list *list)
{
        struct bl_sticky_found f[BL_STICKY_MAX];
        struct bl_target t[BL_HOP_TARGETS];
        list->n = list->at = 0;
        if (w->flags & BL_SEND_ANY_OPEN)
                return;
        unsigned n = find(h, w, 2, f);
        if (n && !w->u.has_user && !(w->flags & BL_SEND_UA)) {
                struct bl_resolve r = {.done = ignore_targets};
                int k = hop_resolve(h, &r, &w->u, w->maddr, w->spread, t);
                bl_resolve_cancel(&r); /* known now or not at all: nobody waits for an order */
                if (k > 0) {
                        by_targets(w, f, n, t, (unsigned)k);
                        if (!bl_uri_param(&w->u, BL_STR("d"), NULL))
                                open_preferred(h, w, f, n, t);
                }
        }
        for (unsigned i = 0; i < n; i++) {
                if ((w->flags & BL_SEND_UA) || !hop_flow_avoided(h, f[i].flow))
                        list_add_flow(list, &f[i]);
        }
        if (is_big(h, w))
                list_by_size(h, w, list);
}

/* ---- ranks 3 and 4 ---- */

static void add_target_flows(struct bl_hops *h, const struct hop_choice *w, const struct bl_target *t,
                             struct hop_list *list)
{
        struct bl_sticky_found f[BL_STICKY_MAX];
        unsigned n = bl_sticky_find_at(h->sticky, w->u.host, &t->to, h->env->worker, h->env->now, f);
        for (unsigned i = 0; i < n; i++) {
                if (f[i].flow != w->not_flow && found_matches(w, &f[i], t) && !hop_flow_avoided(h, f[i].flow))
                        list_add_flow(list, &f[i]);
        }
}

void hop_choose_rest(struct bl_hops *h, const struct hop_choice *w, const struct bl_target *t, unsigned n,
                     struct hop_list *list)
{
        struct bl_sticky_found f[BL_STICKY_MAX];
        bool used[BL_HOP_TARGETS + 1] = {false};
        bool open = h->conf.may_open && !(w->flags & BL_SEND_UA);
        unsigned k = w->flags & BL_SEND_ANY_OPEN ? 0 : find(h, w, w->flags & BL_SEND_UA ? 2 : 3, f);
        list->n = list->at = 0;
        for (unsigned i = 0; i < n && !(w->flags & BL_SEND_ANY_OPEN); i++) {
                unsigned before = list->n;
                add_target_flows(h, w, &t[i], list);
                used[i] = list->n > before;
        }
        for (unsigned i = 0; i < n && open; i++) {
                if (!used[i])
                        list_add_open(list, t[i].tp, &t[i].to);
        }
        /* Behind NAT, avoided, or left out of ranks 1 and 2; but a maddr that counts means that node and no other. */
        for (unsigned pass = 0; pass < 2 && !w->maddr; pass++) {
                for (unsigned i = 0; i < k; i++) {
                        if (hop_flow_avoided(h, f[i].flow) == (pass == 1))
                                list_add_flow(list, &f[i]);
                }
        }
        if (is_big(h, w))
                list_by_size(h, w, list);
}
