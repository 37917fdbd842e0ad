/* Flow records: the one indirection between bindings and flows. */
#include <stdlib.h>

#include "sticky/table.h"

static uint64_t flow_hash(const struct bl_sticky *t, bl_flow_id id)
{
        return bl_hash_mix(t->seed, id);
}

static struct flow_shard *shard_lock(struct bl_sticky *t, bl_flow_id id, bool make)
{
        struct flow_shard *s = stk_flow_shard(t, stk_shard_of(t, flow_hash(t, id)), make);

        if (s)
                pthread_mutex_lock(&s->lock);
        return s;
}

static struct rec *shard_find(const struct bl_sticky *t, const struct flow_shard *s, bl_flow_id id)
{
        struct bl_hnode *n = bl_htab_first(&s->recs, flow_hash(t, id));

        for (; n; n = bl_htab_next(n)) {
                struct rec *r = BL_CONTAINER(n, struct rec, node);

                if (r->id == id)
                        return r;
        }
        return NULL;
}

void stk_rec_unref(struct rec *r)
{
        while (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1) {
                struct rec *next = atomic_load_explicit(&r->next, memory_order_relaxed);

                free(r);
                r = next;
        }
}

struct rec *stk_rec_get(struct bl_sticky *t, bl_flow_id id)
{
        struct flow_shard *s = shard_lock(t, id, false);
        struct rec *r = s ? shard_find(t, s, id) : NULL;

        if (r && atomic_load_explicit(&r->state, memory_order_relaxed) == REC_UP)
                stk_rec_ref(r);
        else
                r = NULL;
        if (s)
                pthread_mutex_unlock(&s->lock);
        return r;
}

static struct rec *rec_new(struct bl_sticky *t, struct flow_shard *s, bl_flow_id id, const struct rec *like)
{
        struct rec *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        r->id = id;
        r->tp = like->tp;
        r->ours = like->ours;
        r->remote = like->remote;
        r->serial = like->serial;
        atomic_store_explicit(&r->listens, atomic_load_explicit(&like->listens, memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&r->refs, 1, memory_order_relaxed);
        if (bl_htab_insert(&s->recs, &r->node, flow_hash(t, id)) < 0) {
                free(r);
                return NULL;
        }
        return r;
}

int bl_sticky_flow_add(struct bl_sticky *t, bl_flow_id flow, enum bl_tp tp, const struct bl_addr *remote, bool ours)
{
        struct rec like = {.tp = (uint8_t)tp, .ours = ours, .remote = *remote};
        struct flow_shard *s = shard_lock(t, flow, true);
        int rc = 0;

        if (!s)
                return BL_ENOMEM;
        if (!shard_find(t, s, flow)) {
                like.serial = 1 + atomic_fetch_add_explicit(&t->serial, 1, memory_order_relaxed);
                if (rec_new(t, s, flow, &like))
                        atomic_fetch_add_explicit(&t->flows, 1, memory_order_relaxed);
                else
                        rc = BL_ENOMEM;
        }
        pthread_mutex_unlock(&s->lock);
        return rc;
}

void bl_sticky_flow_listens(struct bl_sticky *t, bl_flow_id flow, uint16_t port)
{
        struct rec *r = stk_rec_get(t, flow);

        if (!r)
                return;
        atomic_store_explicit(&r->listens, port, memory_order_relaxed);
        stk_rec_unref(r);
}

/* Takes r out of its shard, whose lock is held. The reference that the shard had goes to the caller. */
static void shard_drop(struct flow_shard *s, struct rec *r)
{
        bl_htab_remove(&s->recs, &r->node);
        bl_list_remove(&r->kept);
}

static void rec_die(struct bl_sticky *t, struct flow_shard *s, struct rec *r)
{
        shard_drop(s, r);
        atomic_store_explicit(&r->state, REC_DEAD, memory_order_release);
        atomic_fetch_add_explicit(&t->dirty, 1, memory_order_relaxed);
        stk_rec_unref(r);
}

void bl_sticky_flow_down(struct bl_sticky *t, bl_flow_id flow, bl_us keep_until)
{
        struct flow_shard *s = shard_lock(t, flow, false);
        struct rec *r = s ? shard_find(t, s, flow) : NULL;

        if (r) {
                if (atomic_load_explicit(&r->state, memory_order_relaxed) == REC_UP)
                        atomic_fetch_sub_explicit(&t->flows, 1, memory_order_relaxed);
                if (keep_until == 0) {
                        rec_die(t, s, r);
                } else {
                        atomic_store_explicit(&r->keep_until, keep_until, memory_order_relaxed);
                        atomic_store_explicit(&r->state, REC_KEPT, memory_order_release);
                        if (!bl_link_linked(&r->kept))
                                bl_list_push_back(&s->kept, &r->kept);
                }
        }
        if (s)
                pthread_mutex_unlock(&s->lock);
}

/* With both shards locked. */
static int move(struct bl_sticky *t, struct flow_shard *from_s, struct rec *from, struct rec *to)
{
        if (atomic_load_explicit(&from->state, memory_order_relaxed) == REC_UP) {
                /* it lives on, without bindings: under a new record */
                struct rec *again = rec_new(t, from_s, from->id, from);

                if (!again)
                        return BL_ENOMEM;
        }
        shard_drop(from_s, from);
        atomic_store_explicit(&from->next, stk_rec_ref(to), memory_order_release);
        stk_rec_unref(from);
        return 0;
}

int bl_sticky_flow_move(struct bl_sticky *t, bl_flow_id from, bl_flow_id to)
{
        unsigned a = stk_shard_of(t, flow_hash(t, from)), b = stk_shard_of(t, flow_hash(t, to));
        struct flow_shard *as = stk_flow_shard(t, a, false), *bs = stk_flow_shard(t, b, false);
        struct rec *f, *r;
        int rc;

        if (!as)
                return BL_ENOENT;
        if (!bs)
                return BL_EGONE;
        pthread_mutex_lock(a < b ? &as->lock : &bs->lock);
        if (a != b)
                pthread_mutex_lock(a < b ? &bs->lock : &as->lock);
        f = shard_find(t, as, from);
        r = shard_find(t, bs, to);
        if (!f)
                rc = BL_ENOENT;
        else if (!r || atomic_load_explicit(&r->state, memory_order_relaxed) != REC_UP)
                rc = BL_EGONE;
        else
                rc = f == r ? 0 : move(t, as, f, r);
        if (a != b)
                pthread_mutex_unlock(&bs->lock);
        pthread_mutex_unlock(&as->lock);
        return rc;
}

bl_us stk_flows_expire(struct bl_sticky *t, bl_us now)
{
        bl_us next = UINT64_MAX;

        for (unsigned i = 0; i < t->shards; i++) {
                struct flow_shard *s = stk_flow_shard(t, i, false);
                unsigned most = SWEEP_STEP;

                if (!s)
                        continue;
                pthread_mutex_lock(&s->lock);
                BL_LIST_EACH_SAFE(l, &s->kept)
                {
                        struct rec *r = BL_CONTAINER(l, struct rec, kept);
                        bl_us until = atomic_load_explicit(&r->keep_until, memory_order_relaxed);

                        if (until <= now && most)
                                rec_die(t, s, r);
                        else
                                next = until < next ? until : next;
                        if (most == 0)
                                break;
                        most--;
                }
                pthread_mutex_unlock(&s->lock);
        }
        return next;
}

static void free_rec(struct bl_hnode *n, void *arg)
{
        struct flow_shard *s = arg;
        struct rec *r = BL_CONTAINER(n, struct rec, node);

        shard_drop(s, r);
        stk_rec_unref(r);
}

void stk_flows_free(struct bl_sticky *t)
{
        for (unsigned i = 0; i < t->shards; i++) {
                struct flow_shard *s = stk_flow_shard(t, i, false);

                if (!s)
                        continue;
                bl_htab_each(&s->recs, free_rec, s);
                bl_htab_fini(&s->recs);
                pthread_mutex_destroy(&s->lock);
                free(s);
        }
}
