/*
 * Indexes on a part of a class's parameters, for queries that have not all of them: P against 100,000 P;d=… . Made at
 * the first such query of a class that is too large to be walked; filled a step at a time.
 */
#include "sticky/table.h"

/* The parameters that the mask names. */
static size_t restrict_to(struct bl_str params, uint32_t mask, char *out)
{
        struct bl_str name, all;
        size_t n = 0;

        for (; mask && canon_next(&params, &name, &all); mask >>= 1) {
                if (!(mask & 1))
                        continue;
                memcpy(out + n, all.p, all.n);
                n += all.n;
        }
        return n;
}

static uint64_t bucket_hash(const struct proj *p, struct bl_str values)
{
        return bl_hash(bl_hash_mix(p->class->group->id.node.hash ^ p->mask, p->class->serial), values);
}

struct bucket *stk_proj_bucket(const struct uri_shard *s, const struct proj *p, struct bl_str values)
{
        struct bl_hnode *n = bl_htab_first(&s->buckets, bucket_hash(p, values));

        for (; n; n = bl_htab_next(n)) {
                struct bucket *b = BL_CONTAINER(n, struct bucket, node);

                if (b->proj == p && bl_str_eq(bl_str_make(b->values, b->len), values))
                        return b;
        }
        return NULL;
}

static struct bucket *bucket_get(struct bl_sticky *t, struct uri_shard *s, struct proj *p, struct bl_str params)
{
        char text[CANON_MAX];
        struct bl_str values = {text, restrict_to(params, p->mask, text)};
        struct bucket *b = stk_proj_bucket(s, p, values);

        if (b)
                return b;
        b = stk_block_get(t, &s->blocks, sizeof(*b) + values.n);
        if (!b)
                return NULL;
        b->proj = p;
        b->len = (uint16_t)values.n;
        memcpy(b->values, text, values.n);
        bl_list_init(&b->slots);
        if (bl_htab_insert(&s->buckets, &b->node, bucket_hash(p, values)) < 0) {
                stk_block_put(t, &s->blocks, b, sizeof(*b) + b->len);
                return NULL;
        }
        return b;
}

static void bucket_free_if_unused(struct bl_sticky *t, struct uri_shard *s, struct bucket *b)
{
        if (b->n)
                return;
        bl_htab_remove(&s->buckets, &b->node);
        stk_block_put(t, &s->blocks, b, sizeof(*b) + b->len);
}

static struct slot *slot_get(struct bl_sticky *t, struct uri_shard *s, struct bucket *b, struct rec *root)
{
        struct slot *sl;

        BL_LIST_EACH(l, &b->slots)
        {
                sl = BL_CONTAINER(l, struct slot, link);
                if (stk_rec_root(&sl->rec) == root)
                        return sl;
        }
        sl = b->n < RING_MAX ? stk_block_get(t, &s->blocks, sizeof(*sl)) : NULL;
        if (!sl)
                return NULL;
        sl->bucket = b;
        sl->rec = stk_rec_ref(root);
        bl_list_init(&sl->members);
        bl_list_push_front(&b->slots, &sl->link);
        b->n++;
        return sl;
}

static struct member *member_of(const struct ext *x, const struct proj *p)
{
        struct member *m = x->members;

        while (m && m->slot->bucket->proj != p)
                m = m->next;
        return m;
}

/* Adds an entry to the index. Without memory it is left out: what is soft state may miss. */
static void put(struct bl_sticky *t, struct uri_shard *s, struct proj *p, struct ext *x, bool front)
{
        struct bucket *b = bucket_get(t, s, p, stk_params(x->binding));
        struct slot *sl = b ? slot_get(t, s, b, stk_rec_root(&x->binding->rec)) : NULL;
        struct member *m = sl ? stk_block_get(t, &s->blocks, sizeof(*m)) : NULL;

        if (!m) {
                if (sl && bl_list_empty(&sl->members)) {
                        bl_list_remove(&sl->link);
                        b->n--;
                        stk_rec_unref(sl->rec);
                        stk_block_put(t, &s->blocks, sl, sizeof(*sl));
                }
                if (b)
                        bucket_free_if_unused(t, s, b);
                return;
        }
        m->slot = sl;
        m->ext = x;
        m->next = x->members;
        x->members = m;
        if (front)
                bl_list_push_front(&sl->members, &m->link);
        else
                bl_list_push_back(&sl->members, &m->link);
}

static void take(struct bl_sticky *t, struct uri_shard *s, struct member *m)
{
        struct slot *sl = m->slot;
        struct bucket *b = sl->bucket;

        bl_list_remove(&m->link);
        stk_block_put(t, &s->blocks, m, sizeof(*m));
        if (!bl_list_empty(&sl->members))
                return;
        bl_list_remove(&sl->link);
        stk_rec_unref(sl->rec);
        stk_block_put(t, &s->blocks, sl, sizeof(*sl));
        b->n--;
        bucket_free_if_unused(t, s, b);
}

static struct ext *next_of(const struct class *c, const struct ext *x)
{
        return x->all.next == &c->all ? NULL : BL_CONTAINER(x->all.next, struct ext, all);
}

void stk_proj_fill(struct bl_sticky *t, struct uri_shard *s, struct proj *p)
{
        for (unsigned i = 0; i < BUILD_STEP && p->fill_at; i++) {
                struct ext *x = p->fill_at;

                p->fill_at = next_of(p->class, x);
                if (!member_of(x, p))
                        put(t, s, p, x, false);
        }
}

struct proj *stk_proj_get(struct bl_sticky *t, struct uri_shard *s, struct class *c, uint32_t mask)
{
        struct proj *p = c->projs;

        while (p && p->mask != mask)
                p = p->next;
        if (p || c->mixed || c->count <= WALK_MAX || c->n_projs == PROJS_MAX)
                return p;
        p = stk_block_get(t, &s->blocks, sizeof(*p));
        if (!p)
                return NULL;
        p->class = c;
        p->mask = mask;
        p->fill_at = BL_CONTAINER(c->all.next, struct ext, all);
        p->next = c->projs;
        c->projs = p;
        c->n_projs++;
        return p;
}

void stk_proj_added(struct bl_sticky *t, struct uri_shard *s, struct ext *x)
{
        for (struct proj *p = x->class->projs; p; p = p->next) {
                /* an unfinished index comes to the unconfirmed at the end of class.all, where x is */
                if (x->binding->confirmed_at || !p->fill_at)
                        put(t, s, p, x, x->binding->confirmed_at != 0);
                stk_proj_fill(t, s, p);
        }
}

static void step_over(const struct class *c, struct ext *x)
{
        for (struct proj *p = c->projs; p; p = p->next)
                if (p->fill_at == x)
                        p->fill_at = next_of(c, x);
}

void stk_proj_confirmed(struct bl_sticky *t, struct uri_shard *s, struct ext *x)
{
        step_over(x->class, x);
        for (struct proj *p = x->class->projs; p; p = p->next) {
                struct member *m = member_of(x, p);

                if (!m) {
                        put(t, s, p, x, true);
                        continue;
                }
                bl_list_remove(&m->link);
                bl_list_push_front(&m->slot->members, &m->link);
                if (bl_link_linked(&m->slot->link)) {
                        bl_list_remove(&m->slot->link);
                        bl_list_push_front(&m->slot->bucket->slots, &m->slot->link);
                }
        }
}

void stk_proj_removed(struct bl_sticky *t, struct uri_shard *s, struct ext *x)
{
        step_over(x->class, x);
        for (struct member *m = x->members, *next; m; m = next) {
                next = m->next;
                take(t, s, m);
        }
        x->members = NULL;
}

/* For a class that has few entries left, or one URI. */
void stk_proj_drop_all(struct bl_sticky *t, struct uri_shard *s, struct class *c)
{
        if (c->projs) {
                BL_LIST_EACH(l, &c->all)
                {
                        stk_proj_removed(t, s, BL_CONTAINER(l, struct ext, all));
                }
        }
        while (c->projs) {
                struct proj *p = c->projs;

                c->projs = p->next;
                stk_block_put(t, &s->blocks, p, sizeof(*p));
        }
        c->n_projs = 0;
}
