/* The tree by the tables: tables, lists, maps, defaults, checks; and the life of a configuration. */
#include "conf/conf.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/internal.h"

struct bl_conf {
        _Atomic unsigned refs;
        struct bl_arena *arena;
        void *root;
};

static bool read_option(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at);

static void *alloc(struct load *l, size_t n)
{
        void *p = bl_arena_zalloc(l->arena, n ? n : 1);
        if (!p)
                l->no_memory = true;
        return p;
}

/* ---- tables ---- */

static size_t find_option(const struct bl_conf_table *t, struct bl_str name)
{
        size_t i = 0;
        while (i < t->n && !bl_str_eq(name, bl_str_z(t->options[i].name)))
                i++;
        return i;
}

static void unknown_key(struct load *l, const struct bl_conf_table *t, const struct node *key)
{
        const char *names[64] = {0};
        char text[512];
        struct bl_sb b = BL_SB(text);
        size_t n = 0;
        for (; n < t->n && n < BL_ARRAY_LEN(names); n++)
                names[n] = t->options[n].name;
        const char *nearest = bl_report_nearest(key->text, names, n);
        if (nearest) {
                bl_report(l, key, "unknown key; did you mean %s?", nearest);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                bl_sb_addz(&b, i ? ", " : "");
                bl_sb_addz(&b, names[i]);
        }
        bl_report(l, key, "unknown key; possible here: %.*s", BL_STR_ARG(bl_sb_str(&b)));
}

/* Which options the map gives, and that each is there once. */
static void match_keys(struct load *l, const struct bl_conf_table *t, const struct node *map, const struct node **keys)
{
        for (const struct node *k = map->first; k; k = k->next) {
                size_t i = find_option(t, k->text), path = bl_path_push(l, ".", k->text);
                if (i == t->n)
                        unknown_key(l, t, k);
                else if (keys[i])
                        bl_report(l, k, "is there twice; the first is in line %u", keys[i]->line);
                else
                        keys[i] = k;
                bl_path_pop(l, path);
        }
}

static bool read_default(struct load *l, const struct bl_conf_option *o, void *at)
{
        const char *outer = l->default_of;
        l->default_of = o->name;
        struct node *n = bl_yaml_parse(l, bl_str_z(o->def));
        bool ok = n && read_option(l, o, n, at);
        l->default_of = outer;
        return ok;
}

static void missing(struct load *l, const struct bl_conf_table *t, const struct node *map,
                    const struct bl_conf_option *o)
{
        struct bl_str help = bl_str_z(o->help), first, rest;
        if (!bl_str_cut(help, '\n', &first, &rest)) /* its first sentence; a full stop inside a word is none */
                first = help;
        for (size_t i = 0; i + 1 < first.n; i++)
                if (first.p[i] == '.' && first.p[i + 1] == ' ')
                        first.n = i;
        if (first.n && first.p[first.n - 1] == '.')
                first.n--;
        (void)t;
        bl_report(l, map, "is missing%s%.*s", first.n ? ": " : "", BL_STR_ARG(first));
}

static bool read_table(struct load *l, const struct bl_conf_table *t, const struct node *node, void *into)
{
        static const struct node empty = {.kind = NODE_MAP, .line = 1, .col = 1};
        unsigned before = l->errors;
        bool null = node->kind == NODE_SCALAR && !node->quoted &&
                    (node->text.n == 0 || bl_str_eq(node->text, BL_STR("~")) || bl_str_eq(node->text, BL_STR("null")));
        if (node->kind != NODE_MAP && !null) {
                bl_report(l, node, "takes keys and values, like {%s: …}", t->n ? t->options[0].name : "key");
                return false;
        }
        const struct node *map = null ? &empty : node, **keys = alloc(l, t->n * sizeof(*keys));
        if (!keys)
                return false;
        match_keys(l, t, map, keys);
        for (size_t i = 0; i < t->n && !l->no_memory; i++) {
                const struct bl_conf_option *o = &t->options[i];
                size_t path = bl_path_push(l, ".", bl_str_z(o->name));
                if (keys[i] && keys[i]->value)
                        (void)read_option(l, o, keys[i]->value, (char *)into + o->at);
                else if (o->def)
                        (void)read_default(l, o, (char *)into + o->at);
                else if (o->required)
                        missing(l, t, node, o);
                bl_path_pop(l, path);
        }
        if (l->errors == before && !l->no_memory && t->check) {
                struct bl_conf_check c = {.load = l, .table = t, .node = node, .key = keys};
                t->check(into, &c);
        }
        return l->errors == before && !l->no_memory;
}

/* ---- lists and maps ---- */

static bool count_ok(struct load *l, const struct bl_conf_option *o, const struct node *node, size_t n)
{
        uint64_t max = o->max ? o->max : CONF_ENTRIES;
        if (n >= o->min && n <= max)
                return true;
        bl_report(l, node, "has %zu entries; allowed are %llu to %llu", n, (unsigned long long)o->min,
                  (unsigned long long)max);
        return false;
}

static bool read_list(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        struct bl_conf_array *array = at;
        struct node single = *node;
        bool one = node->kind == NODE_SCALAR && (node->text.n || node->quoted), ok = true;
        size_t n = one ? 1 : node->kind == NODE_LIST ? node->n : 0, i = 0;
        size_t size = o->elem_size ? o->elem_size : o->elem->size;
        single.next = NULL;
        if (node->kind == NODE_MAP && o->elem->type != BL_CONF_TABLE) {
                bl_report(l, node, "takes a list, like [one, two]");
                return false;
        }
        if (node->kind == NODE_MAP) { /* a list of one table */
                one = true;
                n = 1;
        }
        char *items = count_ok(l, o, node, n) ? alloc(l, n * size) : NULL;
        if (!items)
                return false;
        for (const struct node *item = one ? &single : node->first; item && i < n; item = item->next, i++) {
                char index[24];
                struct bl_sb b = BL_SB(index);
                bl_sb_addu(&b, i + 1);
                size_t path = one ? l->path.n : bl_path_push(l, "[", bl_sb_str(&b));
                ok &= read_option(l, o->elem, item, items + i * size + o->elem->at);
                bl_path_pop(l, path);
        }
        *array = (struct bl_conf_array){items, n};
        return ok;
}

static bool read_key(struct load *l, const struct bl_conf_option *o, const struct node *key, struct bl_str *at)
{
        const struct bl_conf_option as = {.name = "key", .type = BL_CONF_DOMAIN, .size = sizeof(*at)};
        if (o->domain_keys)
                return bl_value_read(l, &as, key, at);
        *at = key->text;
        return true;
}

static const struct node *earlier(const struct node *map, const struct node *key)
{
        for (const struct node *k = map->first; k != key; k = k->next) {
                if (bl_str_eq(k->text, key->text))
                        return k;
        }
        return NULL;
}

static bool read_map(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        struct bl_conf_array *array = at;
        bool ok = true;
        size_t i = 0;
        if (node->kind != NODE_MAP) {
                bl_report(l, node, "takes names and values, like {name: value}");
                return false;
        }
        char *items = count_ok(l, o, node, node->n) ? alloc(l, node->n * o->elem_size) : NULL;
        if (!items)
                return false;
        for (const struct node *k = node->first; k; k = k->next, i++) {
                char *item = items + i * o->elem_size;
                size_t path = bl_path_push(l, ".", k->text);
                const struct node *first = earlier(node, k);
                if (first) {
                        bl_report(l, k, "is there twice; the first is in line %u", first->line);
                        ok = false;
                }
                ok &= read_key(l, o, k, (struct bl_str *)(void *)item);
                if (k->value)
                        ok &= read_option(l, o->elem, k->value, item + o->elem->at);
                bl_path_pop(l, path);
        }
        *array = (struct bl_conf_array){items, node->n};
        return ok;
}

static bool read_option(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        if (o->type == BL_CONF_LIST)
                return read_list(l, o, node, at);
        if (o->type == BL_CONF_MAP)
                return read_map(l, o, node, at);
        if (o->type != BL_CONF_TABLE)
                return bl_value_read(l, o, node, at);
        void *into = alloc(l, o->table->size);
        if (!into || !read_table(l, o->table, node, into))
                return false;
        *(void **)at = into;
        return true;
}

/* ---- checks ---- */

void bl_conf_complain(struct bl_conf_check *c, const char *key, const char *fmt, ...)
{
        char text[400];
        va_list ap;
        const struct node *at = c->node;
        size_t path = c->load->path.n;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        if (key) {
                size_t i = find_option(c->table, bl_str_z(key));
                if (i < c->table->n && c->key[i])
                        at = c->key[i];
                bl_path_push(c->load, ".", bl_str_z(key));
        }
        bl_report(c->load, at, "%s", text);
        bl_path_pop(c->load, path);
}

bool bl_conf_given(const struct bl_conf_check *c, const char *key)
{
        size_t i = find_option(c->table, bl_str_z(key));
        return i < c->table->n && c->key[i];
}

struct bl_arena *bl_conf_check_arena(struct bl_conf_check *c)
{
        return c->load->arena;
}

/* ---- life ---- */

static int load_into(struct load *l, struct bl_str text, const struct bl_conf_table *root, struct bl_conf *c)
{
        struct node *tree = bl_yaml_parse(l, text);
        c->root = tree ? alloc(l, root->size) : NULL;
        bool ok = c->root && read_table(l, root, tree, c->root);
        if (l->no_memory) {
                bl_sb_fmt(l->err, "%s: too large to be read\n", l->file);
                return BL_ENOMEM;
        }
        return ok ? 0 : tree ? BL_EINVAL : BL_EMALFORMED;
}

int bl_conf_load(const char *file, struct bl_str text, const struct bl_conf_table *root, struct bl_sb *err,
                 struct bl_conf **ret_conf)
{
        struct bl_conf *c = calloc(1, sizeof(*c));
        struct load *l = calloc(1, sizeof(*l));
        int rc = BL_ENOMEM;
        if (c && l && (c->arena = bl_arena_new(CONF_ARENA))) {
                *l = (struct load){.file = file, .arena = c->arena, .err = err};
                l->path = BL_SB(l->path_text);
                c->refs = 1;
                rc = load_into(l, text, root, c);
        } else {
                bl_sb_fmt(err, "%s: no memory to read it\n", file);
        }
        free(l);
        if (rc < 0) {
                bl_conf_unref(c);
                return rc;
        }
        *ret_conf = c;
        return 0;
}

const void *bl_conf_root(const struct bl_conf *c)
{
        return c->root;
}

struct bl_conf *bl_conf_ref(struct bl_conf *c)
{
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
        return c;
}

void bl_conf_unref(struct bl_conf *c)
{
        if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
                return;
        bl_arena_free(c->arena);
        free(c);
}
