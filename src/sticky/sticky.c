#include "sticky/sticky.h"

#include <stdlib.h>

#include "base/mem.h"
#include "sticky/table.h"

enum { BUDGET_DEFAULT = 64 << 20, DIALOG_IDLE_DEFAULT_S = 12 * 3600 };

static unsigned shards_from(unsigned n)
{
        unsigned shards = 1;

        while (n == 0 || shards < n) {
                if (shards == SHARDS)
                        break;
                shards *= 2;
        }
        return shards;
}

struct bl_sticky *bl_sticky_new(const struct bl_sticky_conf *conf)
{
        unsigned shards = shards_from(conf->shards);
        struct bl_sticky *t = calloc(1, sizeof(*t) + 4 * (size_t)shards * sizeof(void *));

        if (!t)
                return NULL;
        t->uri = (void *)(t + 1);
        t->dialog = (void *)(t->uri + shards);
        t->host = (void *)(t->dialog + shards);
        t->flow = (void *)(t->host + shards);
        t->seed = conf->hash_seed;
        t->budget = conf->budget ? conf->budget : BUDGET_DEFAULT;
        t->dialog_idle = conf->dialog_idle ? conf->dialog_idle : BL_SEC(DIALOG_IDLE_DEFAULT_S);
        t->shards = shards;
        pthread_mutex_init(&t->sweep, NULL);
        pthread_mutex_init(&t->lines.lock, NULL);
        return t;
}

void bl_sticky_free(struct bl_sticky *t)
{
        if (!t)
                return;
        for (unsigned i = 0; i < t->shards; i++) {
                struct uri_shard *s = stk_uri_shard(t, i, false);

                if (!s)
                        continue;
                while (s->n)
                        stk_remove(t, s, s->all[s->n - 1]);
                free(s->all);
                stk_index_fini(&s->ids);
                stk_index_fini(&s->exact);
                bl_htab_fini(&s->buckets);
                stk_blocks_fini(&s->blocks);
                pthread_mutex_destroy(&s->lock);
                free(s);
        }
        stk_dialogs_free(t);
        stk_hosts_free(t);
        stk_flows_free(t);
        bl_slab_free(t->lines.slab);
        pthread_mutex_destroy(&t->lines.lock);
        pthread_mutex_destroy(&t->sweep);
        free(t);
}

/* --- the sweep --- */

static bl_us ends_at(const struct bl_sticky *t, const struct binding *b)
{
        if (b->expires_at)
                return b->expires_at;
        return b->kind == BL_BIND_DIALOG ? b->used_at + t->dialog_idle : UINT64_MAX;
}

/* Looks at no more than `most` bindings of one shard; *next becomes the earliest end of those that stay. */
static unsigned sweep_shard(struct bl_sticky *t, struct uri_shard *s, uint32_t *at, unsigned most, bl_us now,
                            bl_us *next)
{
        unsigned seen = 0;

        pthread_mutex_lock(&s->lock);
        for (; *at < s->n && seen < most; seen++) {
                struct binding *b = s->all[*at];
                bl_us end = ends_at(t, b);

                if (end <= now || stk_rec_state(stk_rec_root(&b->rec), now) == REC_DEAD) {
                        stk_remove(t, s, b); /* the last one is in its place now */
                        continue;
                }
                *next = end < *next ? end : *next;
                ++*at;
        }
        pthread_mutex_unlock(&s->lock);
        return seen;
}

/* One call's worth; true when it began and ended a round, so that *next holds for the whole table. */
static bool sweep_some(struct bl_sticky *t, bl_us now, bl_us *next)
{
        unsigned left = SWEEP_STEP;
        bool whole = t->sweep_shard == 0 && t->sweep_at == 0;

        while (t->sweep_shard < t->shards && left > 0) {
                struct uri_shard *s = stk_uri_shard(t, t->sweep_shard, false);
                unsigned seen = s ? sweep_shard(t, s, &t->sweep_at, left, now, next) : 0;

                left -= seen;
                if (left > 0) { /* it saw the shard's end */
                        t->sweep_shard++;
                        t->sweep_at = 0;
                }
        }
        if (t->sweep_shard < t->shards)
                return false;
        t->sweep_shard = 0;
        t->sweep_at = 0;
        t->sweep_clean = t->sweep_seen;
        return whole;
}

bl_us bl_sticky_expire(struct bl_sticky *t, bl_us now)
{
        bl_us next, every, bindings_next = UINT64_MAX, by = now + BL_SEC(SWEEP_PERIOD_S);
        size_t n;

        if (pthread_mutex_trylock(&t->sweep) != 0)
                return now + BL_SEC(1); /* another worker is at it */
        atomic_store_explicit(&t->now, now, memory_order_relaxed);
        next = stk_flows_expire(t, now);
        if (t->sweep_shard == 0 && t->sweep_at == 0)
                t->sweep_seen = atomic_load_explicit(&t->dirty, memory_order_relaxed);
        if (sweep_some(t, now, &bindings_next)) {
                next = bindings_next < next ? bindings_next : next;
        } else {
                n = atomic_load_explicit(&t->bindings, memory_order_relaxed) / SWEEP_STEP + 1;
                every = BL_SEC(SWEEP_PERIOD_S) / n;
                if (t->sweep_clean != atomic_load_explicit(&t->dirty, memory_order_relaxed) &&
                    every > BL_MS(SWEEP_BUSY_MS))
                        every = BL_MS(SWEEP_BUSY_MS);
                every = every < BL_MS(SWEEP_IDLE_MIN_MS) ? BL_MS(SWEEP_IDLE_MIN_MS) : every;
                next = now + every < next ? now + every : next;
        }
        pthread_mutex_unlock(&t->sweep);
        return next < by ? next : by;
}

/* --- views --- */

void bl_sticky_get_stats(struct bl_sticky *t, struct bl_sticky_stats *ret_stats)
{
        *ret_stats = (struct bl_sticky_stats){
                .bindings = atomic_load_explicit(&t->bindings, memory_order_relaxed),
                .flows = atomic_load_explicit(&t->flows, memory_order_relaxed),
                .octets = atomic_load_explicit(&t->octets, memory_order_relaxed),
                .evicted = atomic_load_explicit(&t->evicted, memory_order_relaxed),
        };
}

static bool row_from(struct binding *b, bl_us now, struct bl_sticky_row *row)
{
        const struct rec *root = stk_rec_root(&b->rec);
        enum rec_state state = stk_rec_state(root, now);
        size_t text = (size_t)b->id.id_n + b->par_n;
        struct bl_sb sb = {row->uri, 0, sizeof(row->uri), false};

        if (state == REC_DEAD)
                return false;
        bl_sb_addz(&sb, b->sips ? "sips:" : "sip:");
        bl_sb_add(&sb, bl_str_make(b->text, text < sb.cap - sb.n ? text : sb.cap - sb.n));
        row->uri_len = sb.n;
        row->flow = root->id;
        row->kind = (enum bl_bind_kind)b->kind;
        row->expires_at = b->expires_at;
        row->confirmed_at = b->confirmed_at;
        row->tp = (enum bl_tp)root->tp;
        row->remote = root->remote;
        row->down = state != REC_UP;
        return true;
}

unsigned bl_sticky_rows(struct bl_sticky *t, uint64_t *cursor, struct bl_sticky_row *ret_rows, unsigned max)
{
        bl_us now = atomic_load_explicit(&t->now, memory_order_relaxed);
        unsigned shard = (unsigned)(*cursor >> 32), n = 0;
        uint32_t at = (uint32_t)*cursor;

        for (; shard < t->shards && n < max; shard++, at = 0) {
                struct uri_shard *s = stk_uri_shard(t, shard, false);
                bool more;

                if (!s)
                        continue;
                pthread_mutex_lock(&s->lock);
                for (; at < s->n && n < max; at++)
                        n += row_from(s->all[at], now, &ret_rows[n]);
                more = at < s->n;
                pthread_mutex_unlock(&s->lock);
                if (more)
                        break;
        }
        *cursor = (uint64_t)shard << 32 | at;
        return n;
}
