/*
 * RFC 3263 sections 4.1 and 4.2: a URI to targets in order. The static map speaks first, then numeric hosts, then DNS:
 * NAPTR where the URI names neither transport nor port, SRV where it names no port, then A and AAAA. The walk is a pure
 * function over the cache; what is missing there is asked for, and the walk starts again when all of it has come.
 */
#include "hop/internal.h"

enum {
        SERVICES_MAX = 4,             /* names that SRV records are asked for */
        SERVERS_MAX = BL_HOP_TARGETS, /* SRV records followed */
        WAITS_MAX = 2 * SERVERS_MAX,  /* A and AAAA of each */
};

struct plan {                /* what the URI asks for */
        struct bl_str name;  /* the URI's host: sni, and the key of the static map */
        struct bl_str host;  /* what is resolved: its maddr where that counts, else `name` */
        struct bl_addr addr; /* of a numeric host; family 0 = a name */
        bool secure, has_tp, maddr;
        enum bl_tp tp; /* has_tp, or the default of the scheme */
        uint16_t port; /* 0 = none written */
};
struct resolving { /* behind bl_resolve._state */
        struct bl_link link;
        struct bl_hops *hops;
        struct bl_resolve *r;
        bl_us since;
        uint64_t spread;
        struct plan plan;
        unsigned n_waits;
        struct hop_wait waits[WAITS_MAX];
        size_t size;
        char text[]; /* name, host */
};
struct service { /* a transport and where its SRV records are */
        enum bl_tp tp;
        uint16_t n;
        char name[HOP_NAME_MAX + 16];
};
struct server { /* one SRV record, or the host itself */
        struct bl_str host;
        enum bl_tp tp;
        uint16_t port;
};
struct walk {
        struct bl_hops *h;
        const struct plan *p;
        bl_us since;
        uint64_t spread;
        struct resolving *st; /* NULL: look only */
        bool pending, timeout;
        bool none; /* SRV says: not here */
        unsigned families;
        unsigned n;
        struct bl_target *to;
};

static enum bl_tp tp_secured(enum bl_tp tp)
{
        return tp == BL_WS || tp == BL_WSS ? BL_WSS : BL_TLS;
}

static int plan_make(const struct bl_hops_conf *conf, const struct bl_uri *u, bool use_maddr, struct plan *p)
{
        struct bl_str v;
        *p = (struct plan){.name = u->host, .host = u->host, .port = u->port};
        if ((u->scheme != BL_SCHEME_SIP && u->scheme != BL_SCHEME_SIPS) || !u->host.n)
                return BL_EINVAL;
        p->secure = u->scheme == BL_SCHEME_SIPS;
        if (bl_uri_param(u, BL_STR("transport"), &v)) {
                if (bl_tp_from(v, &p->tp) < 0)
                        return BL_ENOENT; /* sctp, or nothing we know */
                p->has_tp = true;
        } else if (conf->has_transport) {
                p->tp = conf->transport;
                p->has_tp = true;
        }
        if (p->secure)
                p->tp = tp_secured(p->has_tp ? p->tp : BL_TLS); /* RFC 3261 section 26.2.2: sips;transport=tcp is TLS */
        if (use_maddr && bl_uri_param(u, BL_STR("maddr"), &v) && v.n) {
                p->maddr = true;
                p->host = v;
                if (bl_addr_parse(v, &p->addr) < 0)
                        p->addr = (struct bl_addr){0};
        } else if (u->host_kind != BL_HOST_NAME && bl_uri_addr(u, &p->addr) < 0) {
                return BL_EINVAL;
        }
        if (p->host.n > 1 && p->host.p[p->host.n - 1] == '.')
                p->host.n--;
        return p->host.n > HOP_NAME_MAX || p->name.n > HOP_NAME_MAX ? BL_ELIMIT : 0;
}

static void walk_add(struct walk *w, enum bl_tp tp, const struct bl_addr *addr, uint16_t port)
{
        struct bl_addr to = *addr;
        to.port = port ? port : bl_tp_default_port(tp);
        for (unsigned i = 0; i < w->n; i++) {
                if (w->to[i].tp == tp && bl_addr_eq(&w->to[i].to, &to))
                        return;
        }
        if (w->n < BL_HOP_TARGETS)
                w->to[w->n++] = (struct bl_target){
                        .tp = tp, .to = to, .sni = w->p->name, .listener = hop_listener(w->h, tp, &to)};
}

/* ---- the static map ---- */

static const struct hop_name *map_first(const struct bl_hops *h, struct bl_str host)
{
        for (struct bl_hnode *n = bl_htab_first(&h->map, hop_host_hash(h, host)); n; n = bl_htab_next(n)) {
                const struct hop_name *m = BL_CONTAINER(n, struct hop_name, node);
                if (bl_host_eq(m->host, host))
                        return m;
        }
        return NULL;
}

const struct bl_static_route *hop_map_node(const struct bl_hops *h, struct bl_str host, struct bl_str node, unsigned i)
{
        for (const struct hop_name *m = map_first(h, host); m; m = m->next) {
                const struct bl_static_route *e = &h->conf.map[m->at];
                if (e->node.n && (node.n ? bl_str_eq(e->node, node) : i-- == 0))
                        return e;
        }
        return NULL;
}

const struct bl_static_route *hop_map_at(const struct bl_hops *h, struct bl_str host, const struct bl_addr *addr)
{
        for (const struct hop_name *m = map_first(h, host); m; m = m->next) {
                if (bl_addr_eq_ip(&h->conf.map[m->at].addr, addr))
                        return &h->conf.map[m->at];
        }
        return NULL;
}

/*
 * Entries of the host, in the map's order. The map gives addresses; a transport or a port that the URI insists on wins
 * over an entry's own. With maddr only the entry of that node, whose transport and port a bare maddr leaves open.
 */
static void walk_map(struct walk *w)
{
        const struct plan *p = w->p;
        bool insist = p->has_tp || p->secure;
        for (unsigned pass = 0; pass < (insist ? 2 : 1) && !w->n; pass++) {
                for (const struct hop_name *m = map_first(w->h, p->name); m; m = m->next) {
                        const struct bl_static_route *e = &w->h->conf.map[m->at];
                        if (p->maddr ? !bl_addr_eq_ip(&e->addr, &p->addr) : e->node.n > 0)
                                continue;
                        if (insist && !pass && e->tp != p->tp)
                                continue;
                        walk_add(w, insist ? p->tp : e->tp, &e->addr, p->port ? p->port : e->addr.port);
                }
        }
}

/* ---- order among equals ---- */

/* -log2((v + 1) / 2^32) in 1/65536, by repeated squaring: exact, and alike on every machine. */
static uint64_t neg_log2(uint32_t v)
{
        uint64_t x = (uint64_t)v + 1;
        unsigned whole = 63 - (unsigned)__builtin_clzll(x);
        uint64_t log = 0, m = x << (32 - whole); /* in [2^32, 2^33) */
        for (unsigned i = 0; i < 16; i++) {
                m = (uint64_t)(((unsigned __int128)m * m) >> 32);
                log <<= 1;
                if (m >> 33) {
                        m >>= 1;
                        log |= 1;
                }
        }
        return ((uint64_t)32 << 16) - ((uint64_t)whole << 16) - log;
}

/*
 * Weighted rendezvous: the least score goes first. Over all values of `spread` the order has the distribution that RFC
 * 2782's running sums give, but one Call-ID keeps its order when other records come and go.
 */
static uint64_t score(const struct walk *w, uint64_t what, uint32_t weight)
{
        uint64_t x = bl_hash_mix(w->spread, what);
        return (neg_log2((uint32_t)(x >> 32)) << 24) / (weight ? (uint64_t)weight << 8 : 1);
}

struct scored {
        uint64_t major, minor;
        unsigned at;
};

static void scored_sort(struct scored *s, unsigned n)
{
        for (unsigned i = 1; i < n; i++) {
                struct scored x = s[i];
                unsigned k = i;
                for (; k && (s[k - 1].major > x.major || (s[k - 1].major == x.major && s[k - 1].minor > x.minor)); k--)
                        s[k] = s[k - 1];
                s[k] = x;
        }
}

/* ---- DNS ---- */

static bool walk_ask(struct walk *w, struct bl_str name, enum bl_rr_type type, struct hop_rrset *ret_set)
{
        struct hop_wait *wait = w->st && w->st->n_waits < WAITS_MAX ? &w->st->waits[w->st->n_waits] : NULL;
        int rc = hop_cache_get(w->h, name, type, w->since, wait, ret_set);
        if (rc == BL_EPENDING) {
                w->pending = true;
                if (wait)
                        w->st->n_waits++;
                return false;
        }
        if (rc < 0 || ret_set->rc == BL_ETIMEOUT || ret_set->rc == BL_EREFUSED)
                w->timeout = true;
        return rc == 0 && ret_set->rc == 0 && ret_set->n > 0;
}

static struct bl_str service_label(enum bl_tp tp)
{
        switch (tp) {
        case BL_UDP:
                return BL_STR("_sip._udp.");
        case BL_TCP:
                return BL_STR("_sip._tcp.");
        case BL_TLS:
                return BL_STR("_sips._tcp."); /* RFC 3263 section 4.1 */
        case BL_WS:
        case BL_WSS:
        case BL_TP_COUNT:
                break; /* RFC 7118: no SRV service is defined */
        }
        return (struct bl_str){NULL, 0};
}

static bool service_set(struct service *s, enum bl_tp tp, struct bl_str label, struct bl_str host)
{
        struct bl_sb b = BL_SB(s->name);
        bl_sb_add(&b, label);
        bl_sb_add(&b, host);
        s->tp = tp;
        s->n = (uint16_t)b.n;
        return b.n && !b.over;
}

/*
 * The transports that the domain wishes for, by its preference. RFC 3403 section 4.1: once records of an order can be
 * used, those of a higher order cannot. What goes by sips goes by TLS alone (RFC 3263 section 4.1).
 */
static unsigned walk_naptr(struct walk *w, struct service out[SERVICES_MAX])
{
        struct hop_rrset set;
        struct scored order[HOP_RRS_MAX];
        unsigned n = 0, k = 0;
        if (!walk_ask(w, w->p->host, BL_RR_NAPTR, &set))
                return 0;
        for (unsigned i = 0; i < set.n; i++) {
                if (!w->p->secure || set.rr[i].tp == BL_TLS)
                        order[k++] = (struct scored){set.rr[i].prio, set.rr[i].weight, i};
        }
        scored_sort(order, k);
        for (unsigned i = 0; i < k && n < SERVICES_MAX && order[i].major == order[0].major; i++) {
                const struct hop_rr *r = &set.rr[order[i].at];
                n += service_set(&out[n], r->tp, bl_str_make(NULL, 0), r->target);
        }
        return n;
}

/* Without NAPTR: SRV for each transport that we and the scheme allow (RFC 3263 section 4.1). */
static unsigned walk_services(struct walk *w, struct service out[SERVICES_MAX])
{
        static const enum bl_tp plain[] = {BL_UDP, BL_TCP};
        const struct plan *p = w->p;
        unsigned n = p->has_tp ? 0 : walk_naptr(w, out);
        if (n || w->pending)
                return n;
        const enum bl_tp *tps = p->has_tp || p->secure ? &p->tp : plain;
        for (unsigned i = 0; i < (tps == plain ? BL_ARRAY_LEN(plain) : 1); i++) {
                if (service_label(tps[i]).n)
                        n += service_set(&out[n], tps[i], service_label(tps[i]), p->host);
        }
        return n;
}

static unsigned walk_srv(struct walk *w, const struct service *s, struct server *out, unsigned room)
{
        struct hop_rrset set;
        struct scored order[HOP_RRS_MAX];
        unsigned n = 0;
        if (!walk_ask(w, bl_str_make(s->name, s->n), BL_RR_SRV, &set))
                return 0;
        for (unsigned i = 0; i < set.n; i++) {
                const struct hop_rr *r = &set.rr[i];
                uint64_t id = bl_hash_mix(bl_hash_lower(w->h->env->hash_seed, r->target), r->port);
                order[i] = (struct scored){r->prio, score(w, id, r->weight), i};
        }
        scored_sort(order, set.n);
        for (unsigned i = 0; i < set.n && n < room; i++) {
                const struct hop_rr *r = &set.rr[order[i].at];
                if (bl_str_eq(r->target, BL_STR("."))) /* RFC 2782: the service is decidedly not available here */
                        continue;
                out[n++] = (struct server){r->target, s->tp, r->port};
        }
        w->none = w->none || !n;
        return n;
}

/*
 * RFC 7984 section 4.2: both families where both are ours, in the order of RFC 6724 section 2.1, which prefers IPv6
 * where it is the world's.
 */
static unsigned family_order(const struct bl_addr *a)
{
        static const uint8_t loopback[16] = {[15] = 1};
        if (a->family == 4)
                return 2;
        if (memcmp(a->ip, loopback, sizeof(loopback)) == 0)
                return 0;
        if (a->ip[0] == 0x20 && a->ip[1] == 0x02) /* 6to4 */
                return 3;
        if (memcmp(a->ip, "\x20\x01\0\0", 4) == 0) /* Teredo */
                return 4;
        return (a->ip[0] & 0xfe) == 0xfc ? 5 /* unique local */ : 1;
}

static unsigned walk_family(struct walk *w, struct bl_str host, enum bl_rr_type type, struct scored *order,
                            struct bl_addr *addr, unsigned n)
{
        struct hop_rrset set;
        if (!walk_ask(w, host, type, &set))
                return n;
        for (unsigned i = 0; i < set.n; i++, n++) {
                addr[n] = set.rr[i].addr;
                order[n] = (struct scored){family_order(&addr[n]),
                                           score(w, bl_addr_hash(w->h->env->hash_seed, &addr[n]), 1), n};
        }
        return n;
}

static void walk_addresses(struct walk *w, const struct server *s)
{
        struct scored order[2 * HOP_RRS_MAX];
        struct bl_addr addr[2 * HOP_RRS_MAX];
        struct bl_str host = s->host;
        unsigned n = 0;
        if (host.n > 1 && host.p[host.n - 1] == '.')
                host.n--;
        if (w->families & 1)
                n = walk_family(w, host, BL_RR_A, order, addr, n);
        if (w->families & 2)
                n = walk_family(w, host, BL_RR_AAAA, order, addr, n);
        scored_sort(order, n);
        for (unsigned i = 0; i < n; i++)
                walk_add(w, s->tp, &addr[order[i].at], s->port);
}

/* The families that we have listeners of, since only those can be answered to: bit 0 IPv4, bit 1 IPv6. Without
 * listeners, both. */
static unsigned families(const struct bl_hops *h)
{
        const struct bl_flows_conf *c = bl_flows_get_conf(h->flows);
        unsigned have = 0;
        for (unsigned i = 0; c && i < c->n_listeners; i++)
                have |= c->listeners[i].local.family == 6 ? 2 : 1;
        return have ? have : 3;
}

static void walk_dns(struct walk *w)
{
        const struct plan *p = w->p;
        /* The targets' names point into the cache until the next question; copies outlive it. */
        char text[SERVERS_MAX][HOP_NAME_MAX];
        struct service services[SERVICES_MAX];
        struct server servers[SERVERS_MAX];
        unsigned n = 0, n_services = 0;
        if (!p->port) {
                n_services = walk_services(w, services);
                for (unsigned i = 0; i < n_services; i++) {
                        unsigned k = walk_srv(w, &services[i], servers + n, SERVERS_MAX - n);
                        for (; k; k--, n++) {
                                memcpy(text[n], servers[n].host.p, servers[n].host.n);
                                servers[n].host.p = text[n];
                        }
                }
                if (w->pending || (!n && w->none))
                        return;
        }
        if (!n) /* section 4.2: A or AAAA of the host itself; UDP unless said otherwise (4.1) */
                servers[n++] = (struct server){p->host, n_services ? services[0].tp : p->tp, p->port};
        w->families = families(w->h);
        for (unsigned i = 0; i < n; i++)
                walk_addresses(w, &servers[i]);
}

/* Failed ones go last, else the order stays. */
static void walk_order(struct walk *w)
{
        struct bl_target bad[BL_HOP_TARGETS];
        unsigned good = 0, n_bad = 0;
        for (unsigned i = 0; i < w->n; i++) {
                if (hop_failed_is(w->h, w->to[i].tp, &w->to[i].to))
                        bad[n_bad++] = w->to[i];
                else
                        w->to[good++] = w->to[i];
        }
        for (unsigned i = 0; i < n_bad; i++)
                w->to[good + i] = bad[i];
}

static int walk(struct walk *w)
{
        const struct plan *p = w->p;
        w->n = 0;
        w->pending = w->timeout = w->none = false;
        if (!p->addr.family || p->maddr)
                walk_map(w);
        if (!w->n && p->addr.family)
                walk_add(w, p->tp, &p->addr, p->port);
        if (!w->n && !p->addr.family && w->h->conf.dns)
                walk_dns(w);
        if (w->pending)
                return BL_EPENDING;
        walk_order(w);
        return w->n ? (int)w->n : w->timeout ? BL_ETIMEOUT : BL_ENOENT;
}

/* ---- the request ---- */

static void resolving_drop(struct resolving *st)
{
        for (unsigned i = 0; i < st->n_waits; i++)
                hop_cache_unwait(&st->waits[i]);
        bl_list_remove(&st->link);
        st->r->_state = NULL;
        bl_pool_give(st->hops->env->pool, st, st->size);
}

static void resolving_ready(struct hop_wait *wait)
{
        struct resolving *st = wait->owner;
        for (unsigned i = 0; i < st->n_waits; i++) {
                if (bl_link_linked(&st->waits[i].link))
                        return; /* all of a step are needed before the next */
        }
        st->n_waits = 0;
        struct bl_target to[BL_HOP_TARGETS];
        struct walk w = {.h = st->hops, .p = &st->plan, .since = st->since, .spread = st->spread, .st = st, .to = to};
        int rc = walk(&w);
        if (rc == BL_EPENDING && st->n_waits)
                return;
        /* `done` may free or reuse its bl_resolve; the names in `to` point into st. */
        struct bl_resolve *r = st->r;
        bl_list_remove(&st->link);
        r->_state = NULL;
        r->done(r, rc < 0 ? (rc == BL_EPENDING ? BL_ETIMEOUT : rc) : 0, to, rc < 0 ? 0 : (unsigned)rc);
        bl_pool_give(w.h->env->pool, st, st->size);
}

static struct bl_str text_add(char **at, struct bl_str s)
{
        char *p = *at;
        memcpy(p, s.p, s.n);
        *at += s.n;
        return bl_str_make(p, s.n);
}

int hop_resolve(struct bl_hops *h, struct bl_resolve *r, const struct bl_uri *uri, bool use_maddr, uint64_t spread,
                struct bl_target ret[BL_HOP_TARGETS])
{
        struct plan p;
        int rc = plan_make(&h->conf, uri, use_maddr, &p);
        if (rc < 0)
                return rc;
        struct walk w = {.h = h, .p = &p, .since = h->env->now, .spread = spread, .to = ret};
        r->_hops = h;
        r->_state = NULL;
        if ((rc = walk(&w)) != BL_EPENDING)
                return rc;
        size_t size = sizeof(struct resolving) + p.name.n + p.host.n;
        struct resolving *st = bl_pool_zalloc(h->env->pool, size);
        if (!st)
                return BL_ENOMEM;
        char *at = st->text;
        st->hops = h;
        st->r = r;
        st->size = size;
        st->since = h->env->now;
        st->spread = spread;
        st->plan = p;
        st->plan.name = text_add(&at, p.name);
        st->plan.host = text_add(&at, p.host);
        for (unsigned i = 0; i < WAITS_MAX; i++) {
                st->waits[i].ready = resolving_ready;
                st->waits[i].owner = st;
        }
        r->_state = st;
        bl_list_push_back(&h->resolving, &st->link);
        w.p = &st->plan;
        w.st = st;
        rc = walk(&w); /* the questions are out; now join them */
        if (rc != BL_EPENDING || !st->n_waits) {
                for (unsigned i = 0; i < w.n; i++)
                        ret[i].sni = p.name;
                resolving_drop(st);
                return rc == BL_EPENDING ? BL_ELIMIT : rc;
        }
        return BL_EPENDING;
}

int bl_resolve(struct bl_hops *h, struct bl_resolve *r, const struct bl_uri *uri, bool use_maddr,
               struct bl_target ret[BL_HOP_TARGETS])
{
        uint64_t spread;
        h->env->ops->random(h->env, &spread, sizeof(spread));
        return hop_resolve(h, r, uri, use_maddr, spread, ret);
}

void bl_resolve_cancel(struct bl_resolve *r)
{
        if (r->_state)
                resolving_drop(r->_state);
}

void hop_resolve_fini(struct bl_hops *h)
{
        BL_LIST_EACH_SAFE(l, &h->resolving)
        resolving_drop(BL_CONTAINER(l, struct resolving, link));
}

/* ---- whose address is it? ---- */

static void not_waited_for(struct bl_resolve *r, int rc, const struct bl_target *t, unsigned n)
{
        (void)r, (void)rc, (void)t, (void)n;
}

static bool dns_has(struct bl_hops *h, struct bl_str host, const struct bl_addr *at, bool usual)
{
        char text[HOP_NAME_MAX + 8];
        struct bl_sb b = BL_SB(text);
        struct bl_target t[BL_HOP_TARGETS];
        struct bl_resolve r = {.done = not_waited_for};
        struct bl_uri u;
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, host);
        if (b.over || bl_uri_parse(bl_sb_str(&b), &u) < 0)
                return false;
        int n = hop_resolve(h, &r, &u, false, 0, t);
        bl_resolve_cancel(&r);
        for (int i = 0; i < n; i++)
                if (bl_addr_eq_ip(&t[i].to, at) && (usual || t[i].to.port == at->port))
                        return true;
        return false;
}

static bool flow_has(struct bl_hops *h, struct bl_str host, const struct bl_addr *at, bool usual)
{
        struct bl_sticky_found f[BL_STICKY_MAX];
        struct bl_addr ip = *at;
        ip.port = 0;
        unsigned n = bl_sticky_find_at(h->sticky, host, &ip, h->env->worker, h->env->now, f);
        for (unsigned i = 0; i < n; i++)
                if (usual || at->port == (f[i].ours ? f[i].remote.port : f[i].listens))
                        return true;
        return false;
}

bool bl_hop_is_node_of(struct bl_hops *h, const struct bl_uri *u, struct bl_str host)
{
        const struct bl_flows_conf *c = bl_flows_get_conf(h->flows);
        struct bl_addr at;
        if (!host.n || u->host_kind == BL_HOST_NAME || bl_uri_addr(u, &at) < 0)
                return false;
        at.port = u->port;
        bool usual = !u->port || u->port == bl_tp_default_port(BL_UDP) || u->port == bl_tp_default_port(BL_TLS);
        for (const struct hop_name *m = map_first(h, host); m; m = m->next) {
                const struct bl_static_route *e = &h->conf.map[m->at];
                if (bl_addr_eq_ip(&e->addr, &at) && (usual || e->addr.port == at.port))
                        return true;
        }
        for (unsigned i = 0; i < c->n_trust && usual; i++)
                if (bl_host_eq(c->trust[i].domain, host) && bl_net_has(&c->trust[i].net, &at))
                        return true;
        return flow_has(h, host, &at, usual) || (h->conf.dns && dns_has(h, host, &at, usual));
}
