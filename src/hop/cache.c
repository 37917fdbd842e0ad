/*
 * RRsets by (name, type), positive and negative, for as long as their TTL says; who asks for one that is under way
 * joins. Bounded: the least recently used gives way.
 */
#include "hop/internal.h"

enum {
        TTL_MAX_S = 86400,
        TTL_NEGATIVE_MAX_S = 300, /* RFC 2308 section 5 lets us bound it; a new home should not wait for hours */
        TTL_FAILURE_S = 1,        /* no answer at all: only so long that a burst asks once */
        SWEEP_MAX = 64,
};

struct rrset {
        struct bl_hnode node;
        struct bl_link old; /* in cache_old, unless under way */
        struct bl_link waits;
        struct bl_query query;
        struct bl_hops *hops;
        bool pending;
        int rc;
        unsigned n;
        bl_us answered_at, expires_at;
        struct hop_rr *rr; /* one block with the targets' text behind it */
        size_t rr_size, size;
        char name[]; /* lower case, no trailing dot */
};

static uint64_t rrset_hash(const struct bl_hops *h, struct bl_str name, enum bl_rr_type type)
{
        return bl_hash_mix(bl_hash_lower(h->env->hash_seed, name), type);
}

static void rrset_clear(struct rrset *e)
{
        bl_pool_give(e->hops->env->pool, e->rr, e->rr_size);
        e->rr = NULL;
        e->rr_size = 0;
        e->n = 0;
}

static void rrset_drop(struct rrset *e)
{
        struct bl_hops *h = e->hops;
        if (e->pending)
                h->env->ops->cancel(h->env, &e->query);
        rrset_clear(e);
        bl_htab_remove(&h->cache, &e->node);
        bl_list_remove(&e->old);
        h->n_cache--;
        bl_pool_give(h->env->pool, e, e->size);
}

static struct rrset *rrset_find(struct bl_hops *h, struct bl_str name, enum bl_rr_type type)
{
        for (struct bl_hnode *n = bl_htab_first(&h->cache, rrset_hash(h, name, type)); n; n = bl_htab_next(n)) {
                struct rrset *e = BL_CONTAINER(n, struct rrset, node);
                if (e->query.type == type && bl_str_ieq(e->query.name, name))
                        return e;
        }
        return NULL;
}

/* RFC 3263 section 4.1: services that name a transport of ours. False for all else. */
static bool naptr_tp(struct bl_str service, enum bl_tp *ret_tp)
{
        static const struct {
                struct bl_str service;
                enum bl_tp tp;
        } known[] = {{BL_STR("SIP+D2U"), BL_UDP}, {BL_STR("SIP+D2T"), BL_TCP}, {BL_STR("SIPS+D2T"), BL_TLS}};
        for (size_t i = 0; i < BL_ARRAY_LEN(known); i++) {
                if (bl_str_ieq(service, known[i].service)) {
                        *ret_tp = known[i].tp;
                        return true;
                }
        }
        return false;
}

static bool rr_wanted(const struct rrset *e, const struct bl_rr *r)
{
        enum bl_tp tp;
        if (r->type != e->query.type)
                return false; /* a CNAME on the way */
        if (r->type == BL_RR_A || r->type == BL_RR_AAAA)
                return r->addr.family == (r->type == BL_RR_A ? 4 : 6);
        if (!r->name.n || r->name.n > HOP_NAME_MAX)
                return false;
        /* Flag S: what it is replaced by has SRV records (RFC 3403 section 4.1, RFC 3263 section 4.1). */
        return r->type == BL_RR_SRV || (bl_str_ieq(r->flags, BL_STR("s")) && naptr_tp(r->service, &tp));
}

static bool rr_named(const struct bl_rr *r)
{
        return r->type == BL_RR_SRV || r->type == BL_RR_NAPTR;
}

/* Of more records than we keep, those of the least priority (or order): indices into rr, in the answer's order among
 * equals. */
static unsigned rrset_pick(const struct rrset *e, const struct bl_rr *rr, unsigned n, unsigned at[HOP_RRS_MAX])
{
        unsigned k = 0;
        for (unsigned i = 0; i < n; i++) {
                unsigned to = k;
                if (!rr_wanted(e, &rr[i]))
                        continue;
                while (to && rr[at[to - 1]].prio > rr[i].prio)
                        to--;
                if (to == HOP_RRS_MAX)
                        continue;
                k = k < HOP_RRS_MAX ? k + 1 : k;
                memmove(&at[to + 1], &at[to], (k - 1 - to) * sizeof(*at));
                at[to] = i;
        }
        return k;
}

/* Copies the records of our type; *ret_ttl is the least of theirs (RFC 2181 section 5.2). */
static int rrset_fill(struct rrset *e, const struct bl_rr *rr, unsigned n, uint32_t *ret_ttl)
{
        unsigned at[HOP_RRS_MAX], k = rrset_pick(e, rr, n, at);
        size_t text = 0;
        *ret_ttl = TTL_MAX_S;
        if (!k)
                return 0;
        for (unsigned i = 0; i < k; i++)
                text += rr_named(&rr[at[i]]) ? rr[at[i]].name.n : 0;
        e->rr_size = k * sizeof(*e->rr) + text;
        if (!(e->rr = bl_pool_zalloc(e->hops->env->pool, e->rr_size)))
                return e->rr_size = 0, BL_ENOMEM;
        char *p = (char *)(e->rr + k);
        for (e->n = 0; e->n < k; e->n++) {
                const struct bl_rr *from = &rr[at[e->n]];
                struct hop_rr *to = &e->rr[e->n];
                *to = (struct hop_rr){
                        .addr = from->addr, .prio = from->prio, .weight = from->weight, .port = from->port};
                if (from->type == BL_RR_NAPTR)
                        naptr_tp(from->service, &to->tp);
                if (rr_named(from)) {
                        to->target = bl_str_make(memcpy(p, from->name.p, from->name.n), from->name.n);
                        p += from->name.n;
                }
                if (from->ttl < *ret_ttl)
                        *ret_ttl = from->ttl;
        }
        return 0;
}

static void rrset_answered(struct bl_query *q, int rc, const struct bl_rr *rr, unsigned n, uint32_t neg_ttl)
{
        struct rrset *e = BL_CONTAINER(q, struct rrset, query);
        struct bl_hops *h = e->hops;
        uint32_t ttl = 0;
        e->pending = false;
        e->rc = rc < 0 ? rc : rrset_fill(e, rr, n, &ttl);
        if (e->rc < 0 && e->rc != BL_ENOENT)
                ttl = TTL_FAILURE_S;
        else if (!e->n)
                ttl = neg_ttl < TTL_NEGATIVE_MAX_S ? neg_ttl : TTL_NEGATIVE_MAX_S;
        if (e->rc < 0)
                bl_count(h->count.query_failed);
        e->answered_at = h->env->now;
        e->expires_at = h->env->now + BL_SEC(ttl ? ttl : 1);
        bl_list_push_back(&h->cache_old, &e->old);
        /* A waiter may ask for more, and so push this very entry out of the cache. */
        struct bl_link waits;
        bl_list_init(&waits);
        while (!bl_list_empty(&e->waits)) {
                struct bl_link *l = e->waits.next;
                bl_list_remove(l);
                bl_list_push_back(&waits, l);
        }
        while (!bl_list_empty(&waits)) {
                struct hop_wait *w = BL_CONTAINER(waits.next, struct hop_wait, link);
                bl_list_remove(&w->link);
                w->ready(w);
        }
}

static struct rrset *rrset_new(struct bl_hops *h, struct bl_str name, enum bl_rr_type type)
{
        if (h->n_cache >= HOP_CACHE_MAX) {
                if (bl_list_empty(&h->cache_old))
                        return NULL; /* all are under way */
                rrset_drop(BL_CONTAINER(h->cache_old.next, struct rrset, old));
        }
        size_t size = sizeof(struct rrset) + name.n;
        struct rrset *e = bl_pool_zalloc(h->env->pool, size);
        if (!e)
                return NULL;
        e->hops = h;
        e->size = size;
        for (size_t i = 0; i < name.n; i++)
                e->name[i] = bl_lower(name.p[i]);
        e->query = (struct bl_query){.name = bl_str_make(e->name, name.n), .type = type, .done = rrset_answered};
        bl_list_init(&e->waits);
        if (bl_htab_insert(&h->cache, &e->node, rrset_hash(h, name, type)) < 0) {
                bl_pool_give(h->env->pool, e, size);
                return NULL;
        }
        h->n_cache++;
        return e;
}

static void rrset_ask(struct rrset *e)
{
        rrset_clear(e);
        bl_list_remove(&e->old);
        e->pending = true;
        bl_count(e->hops->count.queries);
        e->hops->env->ops->query(e->hops->env, &e->query);
}

int hop_cache_get(struct bl_hops *h, struct bl_str name, enum bl_rr_type type, bl_us since, struct hop_wait *w,
                  struct hop_rrset *ret_set)
{
        if (!name.n || name.n > HOP_NAME_MAX)
                return BL_ELIMIT;
        struct rrset *e = rrset_find(h, name, type);
        if (e && !e->pending && (e->expires_at > h->env->now || e->answered_at >= since)) {
                bl_list_remove(&e->old);
                bl_list_push_back(&h->cache_old, &e->old);
                *ret_set = (struct hop_rrset){.rc = e->rc, .n = e->n, .rr = e->rr};
                return 0;
        }
        if (!e && !(e = rrset_new(h, name, type)))
                return BL_ELIMIT;
        if (!e->pending)
                rrset_ask(e);
        if (w)
                bl_list_push_back(&e->waits, &w->link);
        return BL_EPENDING;
}

void hop_cache_unwait(struct hop_wait *w)
{
        bl_list_remove(&w->link);
}

void hop_cache_sweep(struct bl_hops *h)
{
        unsigned seen = 0;
        BL_LIST_EACH_SAFE(l, &h->cache_old)
        {
                struct rrset *e = BL_CONTAINER(l, struct rrset, old);
                if (++seen > SWEEP_MAX)
                        return;
                if (e->expires_at <= h->env->now)
                        rrset_drop(e);
        }
}

static void rrset_fini(struct bl_hnode *n, void *arg)
{
        (void)arg;
        rrset_drop(BL_CONTAINER(n, struct rrset, node));
}

void hop_cache_fini(struct bl_hops *h)
{
        bl_htab_each(&h->cache, rrset_fini, NULL);
        bl_htab_fini(&h->cache);
}
