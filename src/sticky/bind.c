/* Binding and unbinding: identities, rings, and what hangs on a binding. */
#include <stdlib.h>

#include "sticky/table.h"

enum {
        TRIES = 8,      /* to make room and bind, while other threads bind too */
        ARRAY_KEEP = 64 /* an array that became empty stays when it is no larger: it will be needed again */
};

static struct bl_str id_text(const struct idnode *n)
{
        const struct binding *b = n->group ? stk_class_sample(BL_CONTAINER(n, struct group, id)->classes)
                                           : BL_CONTAINER(n, struct binding, id);

        return bl_str_make(b->text, b->id.id_n);
}

struct idnode *stk_id_find(const struct uri_shard *s, const struct canon *c, enum tag tag)
{
        struct index_pos pos;
        struct inode *n = s->tags[tag] ? stk_index_first(&s->ids, c->id_hash, &pos) : NULL;

        for (; n; n = stk_index_next(&pos)) {
                struct idnode *id = BL_CONTAINER(n, struct idnode, node);

                if (id->tag == tag && bl_str_eq(id_text(id), canon_id(c)))
                        return id;
        }
        return NULL;
}

struct binding *stk_ring_find(const struct uri_shard *s, struct idnode *n, struct bl_str params)
{
        struct binding *b;

        if (n->group)
                return stk_group_exact(s, stk_id_group(n), params);
        b = stk_id_lone(n);
        return bl_str_eq(stk_params(b), params) ? b : NULL;
}

bool stk_expired(const struct bl_sticky *t, const struct binding *b, bl_us now)
{
        if (b->expires_at)
                return b->expires_at <= now;
        return b->kind == BL_BIND_DIALOG && b->used_at + t->dialog_idle <= now;
}

/* --- what a kind brings with it --- */

static int part_bind(struct bl_sticky *t, struct uri_shard *s, struct binding *b, uint64_t dialog,
                     const struct canon *c)
{
        switch ((enum bl_bind_kind)b->kind) {
        case BL_BIND_DIALOG:
                return stk_dialog_bind(t, s, b, dialog);
        case BL_BIND_DOMAIN:
        case BL_BIND_CERT:
                return stk_host_bind(t, b, c);
        case BL_BIND_PATH:
                break;
        }
        return 0;
}

static void part_unbind(struct bl_sticky *t, struct uri_shard *s, struct binding *b)
{
        switch ((enum bl_bind_kind)b->kind) {
        case BL_BIND_DIALOG:
                stk_dialog_unbind(t, s, b);
                break;
        case BL_BIND_DOMAIN:
        case BL_BIND_CERT:
                stk_host_unbind(t, b);
                break;
        case BL_BIND_PATH:
                break;
        }
}

/* --- the array of a shard's bindings: what the sweep and the views walk --- */

static int array_add(struct uri_shard *s, struct binding *b)
{
        if (s->n == s->cap) {
                uint32_t cap = s->cap ? 2 * s->cap : 4;
                struct binding **all = realloc(s->all, cap * sizeof(struct binding *));

                if (!all)
                        return BL_ENOMEM;
                s->all = all;
                s->cap = cap;
        }
        b->id.index = s->n;
        s->all[s->n++] = b;
        return 0;
}

static void array_remove(struct uri_shard *s, const struct binding *b)
{
        struct binding *last = s->all[--s->n];

        s->all[b->id.index] = last;
        last->id.index = b->id.index;
        if (s->n == 0 && s->cap > ARRAY_KEEP) {
                free(s->all);
                s->all = NULL;
                s->cap = 0;
        }
}

/* --- rings --- */

static struct index *leader_index(struct uri_shard *s, const struct binding *b)
{
        return b->ext ? &s->exact : &s->ids;
}

/* `to` stands in the index for the URI that `from` stood for. */
static void pass_lead(struct uri_shard *s, struct binding *from, struct binding *to)
{
        stk_rec_unref(stk_index_replace(leader_index(s, from), &from->id.node, &to->id.node));
        from->leader = false;
        to->leader = true;
}

void stk_answer(struct uri_shard *s, struct binding *b)
{
        bool sure = !b->same.next && b->kind != BL_BIND_DIALOG; /* a find touches the idle time of those */
        struct rec *rec = sure ? stk_rec_ref(stk_rec_root(&b->rec)) : NULL;
        uint32_t until = UINT32_MAX >> HINT_UNTIL;

        if (b->expires_at && b->expires_at >> HINT_STEP < until)
                until = (uint32_t)(b->expires_at >> HINT_STEP);
        stk_rec_unref(stk_index_answer(&s->ids, &b->id.node, rec,
                                       (uint32_t)b->kind << HINT_KIND | (uint32_t)b->id.tag << HINT_TAG |
                                               (uint32_t)canon_plain(stk_params(b)) << HINT_PLAIN |
                                               until << HINT_UNTIL));
}

static void ring_leave(struct binding *b)
{
        struct bl_link *other = b->same.next;

        bl_list_remove(&b->same);
        if (other && other->next == other)
                *other = (struct bl_link){0};
}

/* Behind all others, that is before the leader. */
static void ring_join(struct binding *leader, struct binding *b)
{
        if (!leader->same.next)
                bl_list_init(&leader->same);
        bl_list_add_after(leader->same.prev, &b->same);
}

static void ring_lead(struct uri_shard *s, struct binding *leader, struct binding *b)
{
        if (leader == b)
                return;
        pass_lead(s, leader, b);
        ring_leave(b);
        ring_join(leader, b);
}

void stk_remove(struct bl_sticky *t, struct uri_shard *s, struct binding *b)
{
        bool last = !b->same.next;

        if (b->leader && last)
                stk_rec_unref(stk_index_remove(leader_index(s, b), &b->id.node));
        else if (b->leader)
                pass_lead(s, b, stk_ring_next(b));
        ring_leave(b);
        if (b->ext)
                stk_group_remove(t, s, b, last);
        part_unbind(t, s, b);
        array_remove(s, b);
        stk_rec_unref(b->rec);
        s->tags[b->id.tag]--;
        atomic_fetch_sub_explicit(&t->bindings, 1, memory_order_relaxed);
        stk_block_put(t, &s->blocks, b, sizeof(*b) + b->id.id_n + b->par_n);
}

/* --- bind --- */

struct want { /* one call of bl_sticky_bind */
        struct bl_sticky *t;
        struct uri_shard *s;
        const struct bl_bind *bind;
        const struct canon *c;
        enum tag tag;
        struct rec *rec;
        bl_us now;
};

static size_t octets_needed(const struct want *w)
{
        size_t n =
                stk_block_size(sizeof(struct binding) + w->c->id_n + w->c->par_n) + stk_block_size(sizeof(struct ext));

        return w->bind->kind == BL_BIND_DIALOG ? n + stk_block_size(sizeof(struct part)) : n;
}

static void confirm(const struct want *w, struct binding *leader, struct binding *b)
{
        b->confirmed_at = w->now;
        ring_lead(w->s, leader, b);
        if (b->ext)
                stk_group_confirmed(w->t, w->s, b);
        if ((b->kind == BL_BIND_DOMAIN || b->kind == BL_BIND_CERT) && b->part)
                atomic_store_explicit(&((struct hostflow *)b->part)->confirmed_at, w->now, memory_order_relaxed);
}

/* A 2xx towards a URI that a registration, a dialog or a certificate bound says nothing new about its lifetime. */
static bool keeps_kind(const struct binding *b, const struct bl_bind *bind)
{
        return bind->kind == BL_BIND_DOMAIN && b->kind != BL_BIND_DOMAIN;
}

static int refresh(const struct want *w, struct binding *leader, struct binding *b)
{
        b->used_at = w->now;
        if (!keeps_kind(b, w->bind)) {
                b->expires_at = w->bind->expires_at;
                if (b->kind != w->bind->kind || !stk_dialog_is(b, w->bind->dialog)) {
                        part_unbind(w->t, w->s, b);
                        b->kind = (uint8_t)w->bind->kind;
                        if (part_bind(w->t, w->s, b, w->bind->dialog, w->c) < 0) {
                                stk_remove(w->t, w->s, b);
                                return BL_ENOMEM;
                        }
                }
        }
        if (w->bind->confirmed)
                confirm(w, leader, b);
        if (b->leader && !b->ext)
                stk_answer(w->s, b);
        return 0;
}

static struct binding *binding_new(const struct want *w)
{
        size_t text = (size_t)w->c->id_n + w->c->par_n;
        struct binding *b = stk_block_get(w->t, &w->s->blocks, sizeof(*b) + text);

        if (!b)
                return NULL;
        b->id.tag = (uint8_t)w->tag;
        b->id.id_n = w->c->id_n;
        b->par_n = w->c->par_n;
        b->kind = (uint8_t)w->bind->kind;
        b->sips = w->c->sips;
        b->expires_at = w->bind->expires_at;
        b->used_at = w->now;
        b->confirmed_at = w->bind->confirmed ? w->now : 0;
        memcpy(b->text, w->c->text, text);
        if (array_add(w->s, b) < 0) {
                stk_block_put(w->t, &w->s->blocks, b, sizeof(*b) + text);
                return NULL;
        }
        b->rec = stk_rec_ref(w->rec);
        w->s->tags[w->tag]++;
        atomic_fetch_add_explicit(&w->t->bindings, 1, memory_order_relaxed);
        return b;
}

static void binding_undo(const struct want *w, struct binding *b)
{
        array_remove(w->s, b);
        stk_rec_unref(b->rec);
        w->s->tags[w->tag]--;
        atomic_fetch_sub_explicit(&w->t->bindings, 1, memory_order_relaxed);
        stk_block_put(w->t, &w->s->blocks, b, sizeof(*b) + b->id.id_n + b->par_n);
}

/* The first binding of its URI. */
static int insert_uri(const struct want *w, struct idnode *id, struct binding *b)
{
        struct group *g;
        int rc;

        if (!id) {
                rc = stk_index_add(&w->s->ids, &b->id.node, w->c->id_hash, w->c->id_check);
        } else {
                g = id->group ? stk_id_group(id) : stk_group_from(w->t, w->s, stk_id_lone(id));
                rc = g ? stk_group_add(w->t, w->s, g, b, NULL) : BL_ENOMEM;
        }
        b->leader = rc == 0;
        return rc;
}

static int insert(const struct want *w, struct idnode *id, struct binding *leader)
{
        struct binding *b = binding_new(w);
        int rc = b ? 0 : BL_ENOMEM;

        if (rc == 0 && !leader) {
                rc = insert_uri(w, id, b);
        } else if (rc == 0) {
                if (leader->ext)
                        rc = stk_group_add(w->t, w->s, leader->ext->class->group, b, leader);
                if (rc == 0) {
                        ring_join(leader, b);
                        if (!leader->ext)
                                stk_answer(w->s, leader); /* it is not alone any more */
                        if (b->confirmed_at)
                                ring_lead(w->s, leader, b);
                }
        }
        if (rc == 0) {
                rc = part_bind(w->t, w->s, b, w->bind->dialog, w->c);
                if (rc < 0)
                        stk_remove(w->t, w->s, b);
        } else if (b) {
                binding_undo(w, b);
        }
        if (rc == 0 && b->leader && !b->ext)
                stk_answer(w->s, b);
        if (rc == 0 && b->confirmed_at && b->part && b->kind != BL_BIND_DIALOG)
                atomic_store_explicit(&((struct hostflow *)b->part)->confirmed_at, w->now, memory_order_relaxed);
        return rc;
}

/* Under the shard's lock. BL_EFULL: over the budget. */
static int bind_locked(const struct want *w)
{
        struct idnode *id = stk_id_find(w->s, w->c, w->tag);
        struct binding *leader = id ? stk_ring_find(w->s, id, canon_params(w->c)) : NULL, *b = leader, *last = NULL;
        unsigned n = 0;

        if (leader) {
                do {
                        if (stk_rec_root(&b->rec) == w->rec)
                                return refresh(w, leader, b);
                        last = b;
                        b = stk_ring_next(b);
                        n++;
                } while (b != leader);
        }
        if (atomic_load_explicit(&w->t->octets, memory_order_relaxed) + octets_needed(w) > w->t->budget)
                return BL_EFULL;
        if (n >= RING_MAX)
                stk_remove(w->t, w->s, last); /* never the leader: n > 1 */
        return insert(w, id, leader);
}

int bl_sticky_bind(struct bl_sticky *t, const struct bl_bind *b, bl_us now)
{
        struct canon c;
        int rc = canon_make(&c, &b->uri, t->seed);
        struct want w = {.t = t, .bind = b, .c = &c, .now = now};

        if (rc < 0)
                return rc;
        w.rec = stk_rec_get(t, b->flow);
        if (!w.rec)
                return BL_EGONE;
        w.tag = b->secure ? TAG_BOTH : stk_tag(&c, 1);
        w.s = stk_uri_shard(t, stk_shard_of(t, c.id_hash), true);
        atomic_store_explicit(&t->now, now, memory_order_relaxed);
        rc = w.s ? BL_EFULL : BL_ENOMEM;
        for (unsigned i = 0; rc == BL_EFULL && i < TRIES; i++) {
                if (i > 0 && !stk_dialog_evict(t, octets_needed(&w)))
                        break;
                pthread_mutex_lock(&w.s->lock);
                rc = bind_locked(&w);
                pthread_mutex_unlock(&w.s->lock);
        }
        stk_rec_unref(w.rec);
        return rc == BL_EFULL ? BL_ENOMEM : rc;
}

static void unbind_tag(struct bl_sticky *t, struct uri_shard *s, const struct canon *c, enum tag tag, bl_flow_id flow)
{
        struct idnode *id = stk_id_find(s, c, tag);
        struct binding *leader = id ? stk_ring_find(s, id, canon_params(c)) : NULL, *b = leader, *next;
        unsigned n = 0;

        if (!leader)
                return;
        do {
                n++;
                b = stk_ring_next(b);
        } while (b != leader);
        for (; n > 0; n--, b = next) {
                next = stk_ring_next(b);
                if (flow == 0 || stk_rec_root(&b->rec)->id == flow)
                        stk_remove(t, s, b);
        }
}

void bl_sticky_unbind(struct bl_sticky *t, const struct bl_uri *uri, bl_flow_id flow)
{
        struct uri_shard *s;
        struct canon c;

        if (canon_make(&c, uri, t->seed) < 0)
                return;
        s = stk_uri_shard(t, stk_shard_of(t, c.id_hash), false);
        if (!s)
                return;
        pthread_mutex_lock(&s->lock);
        unbind_tag(t, s, &c, stk_tag(&c, 0), flow);
        unbind_tag(t, s, &c, stk_tag(&c, 1), flow);
        pthread_mutex_unlock(&s->lock);
}
