/* Identities with more than one URI: P and its dialogs. */
#include "sticky/table.h"

static uint64_t exact_hash(const struct group *g, struct bl_str params)
{
        return bl_hash(g->id.node.hash, params);
}

struct binding *stk_group_exact(const struct uri_shard *s, const struct group *g, struct bl_str params)
{
        struct index_pos pos;
        struct inode *n = stk_index_first(&s->exact, exact_hash(g, params), &pos);

        for (; n; n = stk_index_next(&pos)) {
                struct binding *b = BL_CONTAINER(n, struct binding, id.node);

                if (b->ext->class->group == g && bl_str_eq(stk_params(b), params))
                        return b;
        }
        return NULL;
}

static struct class *class_new(struct bl_sticky *t, struct uri_shard *s, struct group *g, struct bl_str params)
{
        struct class *c = stk_block_get(t, &s->blocks, sizeof(*c));
        struct bl_str name, all;

        if (!c)
                return NULL;
        bl_list_init(&c->all);
        c->group = g;
        c->serial = s->serials++;
        c->mixed = g->n_classes == CLASSES_MAX;
        while (canon_next(&params, &name, &all))
                c->n_names++;
        c->next = g->classes;
        g->classes = c;
        g->n_classes++;
        return c;
}

static struct class *class_get(struct bl_sticky *t, struct uri_shard *s, struct group *g, struct bl_str params)
{
        struct class *mixed = NULL;

        for (struct class *c = g->classes; c; c = c->next) {
                if (c->mixed)
                        mixed = c;
                else if (canon_same_names(stk_params(stk_class_sample(c)), params))
                        return c;
        }
        return mixed ? mixed : class_new(t, s, g, params);
}

static void class_free(struct bl_sticky *t, struct uri_shard *s, struct class *c)
{
        struct class **at = &c->group->classes;

        stk_proj_drop_all(t, s, c);
        while (*at != c)
                at = &(*at)->next;
        *at = c->next;
        c->group->n_classes--;
        stk_block_put(t, &s->blocks, c, sizeof(*c));
}

/* Puts b's ext, which is there already, into its class. */
static void class_join(struct class *c, struct binding *b)
{
        b->ext->class = c;
        b->ext->binding = b;
        c->count++;
        if (b->confirmed_at)
                bl_list_push_front(&c->all, &b->ext->all);
        else
                bl_list_push_back(&c->all, &b->ext->all);
}

static void demote(struct bl_sticky *t, struct uri_shard *s, struct group *g);

/* Without memory. A group that was made for this URI is undone: two is the least that one holds. */
static int add_failed(struct bl_sticky *t, struct uri_shard *s, struct group *g)
{
        if (g->uris == 1)
                demote(t, s, g);
        return BL_ENOMEM;
}

int stk_group_add(struct bl_sticky *t, struct uri_shard *s, struct group *g, struct binding *b, struct binding *leader)
{
        struct class *c;

        b->ext = stk_block_get(t, &s->blocks, sizeof(*b->ext));
        if (!b->ext)
                return add_failed(t, s, g);
        c = leader ? leader->ext->class : class_get(t, s, g, stk_params(b));
        if (!c || (!leader && stk_index_add(&s->exact, &b->id.node, exact_hash(g, stk_params(b)), 0) < 0)) {
                if (c && c->count == 0)
                        class_free(t, s, c);
                stk_block_put(t, &s->blocks, b->ext, sizeof(*b->ext));
                b->ext = NULL;
                return add_failed(t, s, g);
        }
        if (!leader)
                g->uris++;
        class_join(c, b);
        stk_proj_added(t, s, b->ext);
        return 0;
}

static void ring_drop_ext(struct bl_sticky *t, struct uri_shard *s, struct binding *lone)
{
        struct binding *b = lone;

        do {
                stk_block_put(t, &s->blocks, b->ext, sizeof(*b->ext));
                b->ext = NULL;
                b = stk_ring_next(b);
        } while (b != lone);
}

static bool ring_get_ext(struct bl_sticky *t, struct uri_shard *s, struct binding *lone)
{
        struct binding *b = lone;

        do {
                b->ext = stk_block_get(t, &s->blocks, sizeof(*b->ext));
                if (!b->ext) {
                        ring_drop_ext(t, s, lone);
                        return false;
                }
                b = stk_ring_next(b);
        } while (b != lone);
        return true;
}

struct group *stk_group_from(struct bl_sticky *t, struct uri_shard *s, struct binding *lone)
{
        struct group *g = stk_block_get(t, &s->blocks, sizeof(*g));
        uint64_t hash = lone->id.node.hash;
        struct binding *b = lone;
        struct class *c;

        if (!g)
                return NULL;
        g->id = (struct idnode){.group = true, .tag = lone->id.tag, .node.hash = hash};
        c = class_new(t, s, g, stk_params(lone));
        if (!c || !ring_get_ext(t, s, lone))
                goto fail;
        stk_rec_unref(stk_index_replace(&s->ids, &lone->id.node, &g->id.node));
        if (stk_index_add(&s->exact, &lone->id.node, exact_hash(g, stk_params(lone)), 0) < 0) {
                lone->id.node.hash = hash;
                (void)stk_index_replace(&s->ids, &g->id.node, &lone->id.node);
                ring_drop_ext(t, s, lone);
                goto fail;
        }
        do {
                b->ext->class = c;
                b->ext->binding = b;
                c->count++;
                bl_list_push_back(&c->all, &b->ext->all); /* a ring has the order of class.all */
                b = stk_ring_next(b);
        } while (b != lone);
        g->uris = 1;
        return g;
fail:
        if (c)
                class_free(t, s, c);
        stk_block_put(t, &s->blocks, g, sizeof(*g));
        return NULL;
}

/* The one URI that is left becomes a lone binding again. */
static void demote(struct bl_sticky *t, struct uri_shard *s, struct group *g)
{
        struct class *c = g->classes;
        struct binding *b = stk_class_sample(c);

        while (!b->leader)
                b = stk_ring_next(b);
        stk_proj_drop_all(t, s, c);
        (void)stk_index_remove(&s->exact, &b->id.node);
        (void)stk_index_replace(&s->ids, &g->id.node, &b->id.node);
        ring_drop_ext(t, s, b);
        class_free(t, s, c);
        stk_block_put(t, &s->blocks, g, sizeof(*g));
}

void stk_group_remove(struct bl_sticky *t, struct uri_shard *s, struct binding *b, bool last)
{
        struct class *c = b->ext->class;
        struct group *g = c->group;

        stk_proj_removed(t, s, b->ext);
        bl_list_remove(&b->ext->all);
        stk_block_put(t, &s->blocks, b->ext, sizeof(*b->ext));
        b->ext = NULL;
        if (--c->count == 0)
                class_free(t, s, c);
        else if (c->projs && c->count <= WALK_MAX / 2)
                stk_proj_drop_all(t, s, c);
        if (!last)
                return;
        g->uris--;
        if (g->uris == 1)
                demote(t, s, g);
}

void stk_group_confirmed(struct bl_sticky *t, struct uri_shard *s, struct binding *b)
{
        struct class *c = b->ext->class;

        stk_proj_confirmed(t, s, b->ext);
        bl_list_remove(&b->ext->all);
        bl_list_push_front(&c->all, &b->ext->all);
}
