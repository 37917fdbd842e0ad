/* What is special about DIALOG bindings: they end together with their dialog, and they are evicted when idle. */
#include <stdlib.h>

#include "sticky/table.h"

enum { SECOND_CHANCES = 32 };

static struct part *part_at(struct bl_link *l)
{
        return BL_CONTAINER(l, struct part, lru);
}

/* Tells evictions of other threads how old this shard's oldest is. */
static void lru_publish(struct uri_shard *s)
{
        bl_us oldest = bl_list_empty(&s->lru) ? UINT64_MAX : part_at(s->lru.prev)->queued_at;

        atomic_store_explicit(&s->lru_oldest, oldest, memory_order_relaxed);
}

static struct dlg *dlg_find(const struct dialog_shard *s, uint64_t dialog)
{
        struct bl_hnode *n = bl_htab_first(&s->dialogs, dialog);

        return n ? BL_CONTAINER(n, struct dlg, node) : NULL;
}

static struct dlg *dlg_get(struct bl_sticky *t, struct dialog_shard *s, uint64_t dialog)
{
        struct dlg *d = dlg_find(s, dialog);

        if (d)
                return d;
        d = stk_block_get(t, &s->blocks, sizeof(*d));
        if (!d)
                return NULL;
        bl_list_init(&d->parts);
        if (bl_htab_insert(&s->dialogs, &d->node, dialog) < 0) {
                stk_block_put(t, &s->blocks, d, sizeof(*d));
                return NULL;
        }
        return d;
}

static int dlg_join(struct bl_sticky *t, struct uri_shard *s, struct part *p, uint64_t dialog)
{
        struct dialog_shard *ds = stk_dialog_shard(t, dialog, true);

        if (!ds)
                return BL_ENOMEM;
        pthread_mutex_lock(&ds->lock);
        p->dlg = dlg_get(t, ds, dialog);
        if (p->dlg) {
                bl_list_push_back(&p->dlg->parts, &p->link);
                p->dlg->shards |= (uint64_t)1 << s->index;
        }
        pthread_mutex_unlock(&ds->lock);
        return p->dlg ? 0 : BL_ENOMEM;
}

static void dlg_leave(struct bl_sticky *t, struct part *p)
{
        struct dialog_shard *ds = p->dlg ? stk_dialog_shard(t, p->dlg->node.hash, false) : NULL;

        if (!ds)
                return;
        pthread_mutex_lock(&ds->lock);
        bl_list_remove(&p->link);
        if (bl_list_empty(&p->dlg->parts)) {
                bl_htab_remove(&ds->dialogs, &p->dlg->node);
                stk_block_put(t, &ds->blocks, p->dlg, sizeof(*p->dlg));
        }
        pthread_mutex_unlock(&ds->lock);
        p->dlg = NULL;
}

int stk_dialog_bind(struct bl_sticky *t, struct uri_shard *s, struct binding *b, uint64_t dialog)
{
        struct part *p = stk_block_get(t, &s->blocks, sizeof(*p));

        if (!p)
                return BL_ENOMEM;
        p->binding = b;
        p->shard = s->index;
        p->queued_at = b->used_at;
        if (dialog && dlg_join(t, s, p, dialog) < 0) {
                stk_block_put(t, &s->blocks, p, sizeof(*p));
                return BL_ENOMEM;
        }
        bl_list_push_front(&s->lru, &p->lru);
        lru_publish(s);
        b->part = p;
        return 0;
}

void stk_dialog_unbind(struct bl_sticky *t, struct uri_shard *s, struct binding *b)
{
        struct part *p = b->part;

        if (!p)
                return;
        dlg_leave(t, p);
        bl_list_remove(&p->lru);
        lru_publish(s);
        b->part = NULL;
        stk_block_put(t, &s->blocks, p, sizeof(*p));
}

bool stk_dialog_is(const struct binding *b, uint64_t dialog)
{
        const struct part *p = b->kind == BL_BIND_DIALOG ? b->part : NULL;

        return b->kind != BL_BIND_DIALOG || dialog == 0 || (p && p->dlg && p->dlg->node.hash == dialog);
}

/* The bindings of a dialog in one shard, a handful at a time: they cannot go while the shard's lock is held. */
static unsigned dlg_collect(struct bl_sticky *t, uint64_t dialog, uint32_t shard, struct binding **out, unsigned max)
{
        struct dialog_shard *ds = stk_dialog_shard(t, dialog, false);
        unsigned n = 0;
        struct dlg *d;

        if (!ds)
                return 0;
        pthread_mutex_lock(&ds->lock);
        d = dlg_find(ds, dialog);
        if (d) {
                BL_LIST_EACH(l, &d->parts)
                {
                        struct part *p = BL_CONTAINER(l, struct part, link);

                        if (p->shard == shard && n < max)
                                out[n++] = p->binding;
                }
        }
        pthread_mutex_unlock(&ds->lock);
        return n;
}

static void end_in_shard(struct bl_sticky *t, struct uri_shard *s, uint64_t dialog)
{
        struct binding *gone[RECLAIM_MAX];
        unsigned n;

        pthread_mutex_lock(&s->lock);
        while ((n = dlg_collect(t, dialog, s->index, gone, RECLAIM_MAX)) > 0)
                for (unsigned i = 0; i < n; i++)
                        stk_remove(t, s, gone[i]);
        pthread_mutex_unlock(&s->lock);
}

void bl_sticky_end_dialog(struct bl_sticky *t, uint64_t dialog)
{
        struct dialog_shard *ds = dialog ? stk_dialog_shard(t, dialog, false) : NULL;
        uint64_t shards;
        struct dlg *d;

        if (!ds)
                return;
        pthread_mutex_lock(&ds->lock);
        d = dlg_find(ds, dialog);
        shards = d ? d->shards : 0;
        pthread_mutex_unlock(&ds->lock);
        for (unsigned i = 0; i < t->shards; i++) {
                struct uri_shard *s = shards >> i & 1 ? stk_uri_shard(t, i, false) : NULL;

                if (s)
                        end_in_shard(t, s, dialog);
        }
}

static struct uri_shard *oldest_shard(struct bl_sticky *t)
{
        struct uri_shard *best = NULL;
        bl_us oldest = UINT64_MAX;

        for (unsigned i = 0; i < t->shards; i++) {
                struct uri_shard *s = stk_uri_shard(t, i, false);
                bl_us at = s ? atomic_load_explicit(&s->lru_oldest, memory_order_relaxed) : UINT64_MAX;

                if (at < oldest) {
                        oldest = at;
                        best = s;
                }
        }
        return best;
}

/* Drops the last of the shard's list, or moves it to the front when it was used since it was put there. */
static bool evict_last(struct bl_sticky *t, struct uri_shard *s, bool pardon)
{
        struct part *p = bl_list_empty(&s->lru) ? NULL : part_at(s->lru.prev);

        if (!p)
                return false;
        if (pardon && p->binding->used_at > p->queued_at) {
                p->queued_at = p->binding->used_at;
                bl_list_remove(&p->lru);
                bl_list_push_front(&s->lru, &p->lru);
                lru_publish(s);
                return false;
        }
        stk_remove(t, s, p->binding);
        atomic_fetch_add_explicit(&t->evicted, 1, memory_order_relaxed);
        return true;
}

bool stk_dialog_evict(struct bl_sticky *t, size_t need)
{
        unsigned pardons = SECOND_CHANCES;

        while (atomic_load_explicit(&t->octets, memory_order_relaxed) + need > t->budget) {
                struct uri_shard *s = oldest_shard(t);

                if (!s)
                        return false;
                pthread_mutex_lock(&s->lock);
                if (!evict_last(t, s, pardons > 0) && pardons)
                        pardons--;
                pthread_mutex_unlock(&s->lock);
        }
        return true;
}

void stk_dialogs_free(struct bl_sticky *t)
{
        for (unsigned i = 0; i < t->shards; i++) {
                struct dialog_shard *s = atomic_load_explicit(&t->dialog[i], memory_order_acquire);

                if (!s)
                        continue;
                bl_htab_fini(&s->dialogs);
                stk_blocks_fini(&s->blocks);
                pthread_mutex_destroy(&s->lock);
                free(s);
        }
}
