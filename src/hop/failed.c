/* Targets that failed lately: tried last, until the memory fades (RFC 3263 section 4.3 leaves how long to us). */
#include "hop/internal.h"

struct failed {
        struct bl_hnode node;
        struct bl_link old;
        bl_us until;
        enum bl_tp tp;
        struct bl_addr addr;
};

static uint64_t failed_hash(const struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr)
{
        return bl_hash_mix(bl_addr_hash(h->env->hash_seed, addr), tp);
}

static struct failed *failed_find(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr)
{
        for (struct bl_hnode *n = bl_htab_first(&h->failed, failed_hash(h, tp, addr)); n; n = bl_htab_next(n)) {
                struct failed *f = BL_CONTAINER(n, struct failed, node);
                if (f->tp == tp && bl_addr_eq(&f->addr, addr))
                        return f;
        }
        return NULL;
}

static void failed_drop(struct bl_hops *h, struct failed *f)
{
        bl_htab_remove(&h->failed, &f->node);
        bl_list_remove(&f->old);
        bl_pool_give(h->env->pool, f, sizeof(*f));
}

void hop_failed_mark(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr)
{
        struct failed *f = failed_find(h, tp, addr);
        if (!f) {
                if (h->failed.count >= HOP_FAILED_MAX)
                        failed_drop(h, BL_CONTAINER(h->failed_old.next, struct failed, old));
                if (!(f = bl_pool_zalloc(h->env->pool, sizeof(*f))))
                        return;
                f->tp = tp;
                f->addr = *addr;
                if (bl_htab_insert(&h->failed, &f->node, failed_hash(h, tp, addr)) < 0) {
                        bl_pool_give(h->env->pool, f, sizeof(*f));
                        return;
                }
        }
        bl_list_remove(&f->old);
        bl_list_push_back(&h->failed_old, &f->old);
        f->until = h->env->now + BL_MS(h->conf.failed_target_ms);
}

void hop_failed_clear(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr)
{
        struct failed *f = failed_find(h, tp, addr);
        if (f)
                failed_drop(h, f);
}

bool hop_failed_is(struct bl_hops *h, enum bl_tp tp, const struct bl_addr *addr)
{
        struct bl_addr host = *addr;
        host.port = 0;
        if (!h->failed.count)
                return false;
        const struct failed *f = failed_find(h, tp, addr), *all = failed_find(h, tp, &host);
        return (f && f->until > h->env->now) || (all && all->until > h->env->now);
}

/* All live equally long, so the oldest mark fades first. */
void hop_failed_sweep(struct bl_hops *h)
{
        while (!bl_list_empty(&h->failed_old)) {
                struct failed *f = BL_CONTAINER(h->failed_old.next, struct failed, old);
                if (f->until > h->env->now)
                        return;
                failed_drop(h, f);
        }
}

void hop_failed_fini(struct bl_hops *h)
{
        while (!bl_list_empty(&h->failed_old))
                failed_drop(h, BL_CONTAINER(h->failed_old.next, struct failed, old));
        bl_htab_fini(&h->failed);
}
