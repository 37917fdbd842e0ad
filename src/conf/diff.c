/* What differs between two configurations of one table. */
#include "conf/conf.h"
#include "conf/internal.h"

struct diff {
        void (*fn)(void *arg, struct bl_str path, const struct bl_conf_option *o);
        void *arg;
        char text[256];
        struct bl_sb path;
};

static bool same(const struct bl_conf_option *o, const void *a, const void *b);

static bool same_table(const struct bl_conf_table *t, const void *a, const void *b)
{
        if (!a || !b)
                return a == b;
        for (size_t i = 0; i < t->n; i++) {
                const struct bl_conf_option *o = &t->options[i];
                if (!same(o, (const char *)a + o->at, (const char *)b + o->at))
                        return false;
        }
        return true;
}

static bool same_array(const struct bl_conf_option *o, const struct bl_conf_array *a, const struct bl_conf_array *b)
{
        size_t size = o->elem_size ? o->elem_size : o->elem->size;
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++) {
                const char *x = (const char *)a->at + i * size, *y = (const char *)b->at + i * size;
                if (o->type == BL_CONF_MAP &&
                    !bl_str_eq(*(const struct bl_str *)(const void *)x, *(const struct bl_str *)(const void *)y))
                        return false;
                if (!same(o->elem, x + o->elem->at, y + o->elem->at))
                        return false;
        }
        return true;
}

static bool same_point(const struct bl_conf_point *a, const struct bl_conf_point *b)
{
        return a->tp == b->tp && a->word == b->word && bl_addr_eq(&a->addr, &b->addr);
}

static bool same_net(const struct bl_net *a, const struct bl_net *b)
{
        return a->bits == b->bits && bl_addr_eq_ip(&a->base, &b->base);
}

static bool same(const struct bl_conf_option *o, const void *a, const void *b)
{
        switch (o->type) {
        case BL_CONF_STR:
        case BL_CONF_PATH:
        case BL_CONF_DOMAIN:
                return bl_str_eq(*(const struct bl_str *)a, *(const struct bl_str *)b);
        case BL_CONF_BOOL:
                return *(const bool *)a == *(const bool *)b;
        case BL_CONF_INT:
        case BL_CONF_MS:
        case BL_CONF_BYTES:
        case BL_CONF_ENUM:
                return memcmp(a, b, o->size) == 0;
        case BL_CONF_ADDR:
                return bl_addr_eq(a, b);
        case BL_CONF_NET:
                return same_net(a, b);
        case BL_CONF_POINT:
                return same_point(a, b);
        case BL_CONF_LIST:
        case BL_CONF_MAP:
                return same_array(o, a, b);
        case BL_CONF_TABLE:
                return same_table(o->table, *(void *const *)a, *(void *const *)b);
        }
        return false;
}

static void walk(struct diff *d, const struct bl_conf_table *t, const void *a, const void *b)
{
        for (size_t i = 0; i < t->n; i++) {
                const struct bl_conf_option *o = &t->options[i];
                const void *x = (const char *)a + o->at, *y = (const char *)b + o->at;
                size_t before = d->path.n;
                if (same(o, x, y))
                        continue;
                if (before)
                        bl_sb_addc(&d->path, '.');
                bl_sb_addz(&d->path, o->name);
                const void *p = o->type == BL_CONF_TABLE ? *(void *const *)x : NULL;
                const void *q = o->type == BL_CONF_TABLE ? *(void *const *)y : NULL;
                if (p && q)
                        walk(d, o->table, p, q);
                else
                        d->fn(d->arg, bl_sb_str(&d->path), o);
                d->path.n = before;
        }
}

void bl_conf_diff(const struct bl_conf_table *table, const void *a, const void *b,
                  void (*fn)(void *arg, struct bl_str path, const struct bl_conf_option *o), void *arg)
{
        struct diff d = {.fn = fn, .arg = arg};
        d.path = BL_SB(d.text);
        walk(&d, table, a, b);
}
