/* The manual, from the tables. */
#include "conf/conf.h"
#include "conf/internal.h"

struct manual {
        struct bl_sb *out;
        char text[256];
        struct bl_sb path; /* of the table */
};

static void put_type(struct bl_sb *b, const struct bl_conf_option *o)
{
        static const char *const names[] = {
                [BL_CONF_STR] = "text",
                [BL_CONF_PATH] = "file",
                [BL_CONF_DOMAIN] = "domain",
                [BL_CONF_BOOL] = "true or false",
                [BL_CONF_INT] = "number",
                [BL_CONF_MS] = "duration",
                [BL_CONF_BYTES] = "size",
                [BL_CONF_ENUM] = "one of ",
                [BL_CONF_ADDR] = "address",
                [BL_CONF_NET] = "address range",
                [BL_CONF_POINT] = "transport and address",
                [BL_CONF_LIST] = "list of: ",
                [BL_CONF_MAP] = "map, each value: ",
                [BL_CONF_TABLE] = "table",
        };
        bl_sb_addz(b, names[o->type]);
        if (o->type == BL_CONF_ENUM) {
                for (size_t i = 0; o->names[i]; i++)
                        bl_sb_fmt(b, "%s`%s`", i ? ", " : "", o->names[i]);
        } else if (o->type == BL_CONF_PATH && o->names) {
                for (size_t i = 0; o->names[i]; i++)
                        bl_sb_fmt(b, ", or `%s`", o->names[i]);
        } else if (o->type == BL_CONF_LIST || o->type == BL_CONF_MAP) {
                put_type(b, o->elem);
        } else if (o->type == BL_CONF_POINT && o->names) {
                bl_sb_addz(b, ", before them optionally ");
                for (size_t i = 0; o->names[i]; i++)
                        bl_sb_fmt(b, "%s`%s`", i ? ", " : "", o->names[i]);
        }
}

static void put_limit(struct bl_sb *b, const struct bl_conf_option *o, uint64_t v)
{
        bl_sb_addc(b, '`');
        if (o->type == BL_CONF_MS)
                bl_value_put_ms(b, v);
        else if (o->type == BL_CONF_BYTES)
                bl_value_put_bytes(b, v);
        else
                bl_sb_addu(b, v);
        bl_sb_addc(b, '`');
}

static void put_range(struct bl_sb *b, const struct bl_conf_option *o)
{
        const char *of = o->type == BL_CONF_LIST || o->type == BL_CONF_MAP ? " entries"
                         : o->type == BL_CONF_STR                          ? " characters"
                                                                           : "";
        if (!o->min && !o->max)
                return;
        bl_sb_addz(b, o->max ? ", " : ", at least ");
        put_limit(b, o, o->min);
        if (o->max) {
                bl_sb_addz(b, " to ");
                put_limit(b, o, o->max);
        }
        bl_sb_addz(b, of);
}

static void put_option(struct manual *m, const struct bl_conf_option *o)
{
        struct bl_sb *b = m->out;
        bl_sb_addz(b, "\n### `");
        if (m->path.n) {
                bl_sb_add(b, bl_sb_str(&m->path));
                bl_sb_addc(b, '.');
        }
        bl_sb_fmt(b, "%s`\n\n*", o->name);
        put_type(b, o);
        put_range(b, o);
        if (o->required)
                bl_sb_addz(b, "; required");
        else if (o->def && o->type != BL_CONF_TABLE)
                bl_sb_fmt(b, "; default `%s`", o->def);
        bl_sb_addz(b, o->live ? "; a reload applies it*\n" : "; needs a restart*\n");
        if (o->help)
                bl_sb_fmt(b, "\n%s\n", o->help);
        if (o->example)
                bl_sb_fmt(b, "\n```yaml\n%s: %s\n```\n", o->name, o->example);
}

/* The table below an option, directly or as what a list or map holds; NULL: none. */
static const struct bl_conf_table *table_below(const struct bl_conf_option *o)
{
        while (o->type == BL_CONF_LIST || o->type == BL_CONF_MAP)
                o = o->elem;
        return o->type == BL_CONF_TABLE ? o->table : NULL;
}

static void put_table(struct manual *m, const struct bl_conf_table *t)
{
        if (m->path.n)
                bl_sb_fmt(m->out, "\n## `%.*s`\n", BL_STR_ARG(bl_sb_str(&m->path)));
        if (t->help)
                bl_sb_fmt(m->out, "\n%s\n", t->help);
        for (size_t i = 0; i < t->n; i++)
                put_option(m, &t->options[i]);
        for (size_t i = 0; i < t->n; i++) {
                const struct bl_conf_option *o = &t->options[i];
                const struct bl_conf_table *below = table_below(o);
                size_t before = m->path.n;
                if (!below)
                        continue;
                if (before)
                        bl_sb_addc(&m->path, '.');
                bl_sb_addz(&m->path, o->name);
                if (o->type != BL_CONF_TABLE)
                        bl_sb_addz(&m->path, o->type == BL_CONF_MAP ? ".NAME" : "[]");
                put_table(m, below);
                m->path.n = before;
        }
}

void bl_conf_manual(const struct bl_conf_table *root, struct bl_sb *out)
{
        struct manual m = {.out = out};
        m.path = BL_SB(m.text);
        put_table(&m, root);
}
