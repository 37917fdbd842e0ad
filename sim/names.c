/* DNS: a table of records, answered after a drawn delay. One RRset a query, no caches and no policy. */
#include "sim/internal.h"

#include <stdlib.h>

enum { NEG_TTL = 30, RR_MAX = 64 };

struct rec {
        struct rec *next;
        struct bl_rr rr;
        char host[256];
};
struct name {
        struct bl_hnode h;
        struct rec *recs;
        char text[256];
};
struct dnsq {
        struct bl_query *q; /* NULL: cancelled */
        struct worker *w;
        uint32_t epoch;
        int rc;
};

static struct name *name_find(const struct sim *s, struct bl_str name)
{
        if (name.n && name.p[name.n - 1] == '.')
                name.n--;
        for (struct bl_hnode *h = bl_htab_first(&s->names, bl_hash_lower(0, name)); h; h = bl_htab_next(h)) {
                struct name *n = BL_CONTAINER(h, struct name, h);
                if (bl_str_ieq(bl_str_z(n->text), name))
                        return n;
        }
        return NULL;
}

static struct rec *rec_add(struct sim *s, struct bl_str text, uint16_t type, uint32_t ttl)
{
        struct name *n = name_find(s, text);
        if (!n) {
                n = NEW(struct name);
                if (text.n >= sizeof(n->text) || bl_htab_insert(&s->names, &n->h, bl_hash_lower(0, text)) < 0)
                        abort();
                memcpy(n->text, text.p, text.n);
        }
        struct rec *r = NEW(struct rec), **at = &n->recs;
        r->rr = (struct bl_rr){.type = type, .ttl = ttl};
        while (*at)
                at = &(*at)->next;
        return *at = r;
}

void sim_dns_a(struct sim *s, const char *name, const struct bl_addr *addr, uint32_t ttl)
{
        struct rec *r = rec_add(s, bl_str_z(name), addr->family == 6 ? BL_RR_AAAA : BL_RR_A, ttl);
        r->rr.addr = *addr;
        r->rr.addr.port = 0;
}

void sim_dns_srv(struct sim *s, const char *name, uint16_t prio, uint16_t weight, const char *host, uint16_t port,
                 uint32_t ttl)
{
        struct rec *r = rec_add(s, bl_str_z(name), BL_RR_SRV, ttl);
        snprintf(r->host, sizeof(r->host), "%s", host);
        r->rr.prio = prio;
        r->rr.weight = weight;
        r->rr.port = port;
        r->rr.name = bl_str_z(r->host);
}

static void recs_free(struct name *n)
{
        for (struct rec *r = n->recs, *next; r; r = next) {
                next = r->next;
                free(r);
        }
        n->recs = NULL;
}

static void name_free(struct bl_hnode *h, void *arg)
{
        struct name *n = BL_CONTAINER(h, struct name, h);
        bl_htab_remove(arg, h);
        recs_free(n);
        free(n);
}

void sim_dns_clear(struct sim *s, const char *name)
{
        struct name *n = name_find(s, bl_str_z(name));
        if (n)
                name_free(&n->h, &s->names);
}

void names_fini(struct sim *s)
{
        bl_htab_each(&s->names, name_free, &s->names);
        bl_htab_fini(&s->names);
}

void sim_dns_fail(struct sim *s, int rc)
{
        s->dns_rc = rc;
}

unsigned sim_dns_queries(const struct sim *s)
{
        return s->dns_queries;
}

void names_query(struct worker *w, struct bl_query *q)
{
        struct sim *s = w->node->sim;
        struct dnsq *d = NEW(struct dnsq);
        *d = (struct dnsq){.q = q, .w = w, .epoch = w->node->epoch, .rc = s->dns_rc};
        q->_world = d;
        s->dns_queries++;
        bl_us in =
                s->dns_rc == BL_ETIMEOUT
                        ? BL_SEC(5)
                        : s->net.dns_min_us + rng_below(&s->rng, (uint64_t)s->net.dns_max_us - s->net.dns_min_us + 1);
        ev_push(s, s->now + in, EV_DNS, d, 0);
}

void names_cancel(struct bl_query *q)
{
        struct dnsq *d = q->_world;
        if (d)
                d->q = NULL;
        q->_world = NULL;
}

void names_drop(void *p)
{
        free(p);
}

void names_arrive(struct sim *s, void *p)
{
        struct dnsq *d = p;
        (void)s;
        if (!d->q || d->w->node->epoch != d->epoch) {
                free(d);
                return;
        }
        struct in *in = in_new(IN_DNS, 0);
        in->p = d;
        in_put(d->w, in);
}

void names_run(struct worker *w, void *p)
{
        struct dnsq *d = p;
        struct bl_query *q = d->q;
        int rc = d->rc;
        free(d);
        if (!q)
                return;
        struct sim *s = w->node->sim;
        struct bl_rr rr[RR_MAX];
        unsigned n = 0;
        struct name *name = name_find(s, q->name);
        for (struct rec *r = rc == 0 && name ? name->recs : NULL; r && n < RR_MAX; r = r->next)
                if (r->rr.type == q->type)
                        rr[n++] = r->rr;
        q->_world = NULL;
        if (rc == 0 && !name)
                rc = BL_ENOENT;
        q->done(q, rc, rr, n, NEG_TTL);
}
