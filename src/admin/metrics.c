/* Prometheus' text format, version 0.0.4: families in order of their names, a type line before each. */
#include <stdlib.h>

#include "admin/internal.h"

enum { SERIES = 4096 };

struct series {
        const char *name, *label, *value;
        uint64_t n;
};

static int by_name(const void *a, const void *b)
{
        const struct series *x = a, *y = b;
        int c = strcmp(x->name, y->name);
        return c ? c : strcmp(x->value ? x->value : "", y->value ? y->value : "");
}

static unsigned collect(const struct bl_admin_conf *conf, struct series *s)
{
        unsigned n = 0;
        for (unsigned p = 0; p < conf->n_parts; p++) {
                const struct bl_admin_part *part = &conf->parts[p];
                for (unsigned w = 0; w < part->workers; w++) {
                        for (const struct bl_counter *c = bl_stats_first(part->stats(part->ctx, w)); c && n < SERIES;
                             c = c->_next)
                                s[n++] = (struct series){c->name, c->label, c->value,
                                                         atomic_load_explicit(&c->n, memory_order_relaxed)};
                }
        }
        qsort(s, n, sizeof(*s), by_name);
        return n;
}

static void put_series(struct bl_sb *out, const struct series *s)
{
        bl_sb_addz(out, s->name);
        if (s->label) {
                bl_sb_addc(out, '{');
                bl_sb_addz(out, s->label);
                bl_sb_addz(out, "=\"");
                bl_sb_addz(out, s->value);
                bl_sb_addz(out, "\"}");
        }
        bl_sb_addc(out, ' ');
        bl_sb_addu(out, s->n);
        bl_sb_addc(out, '\n');
}

int metrics_write(const struct bl_admin_conf *conf, struct bl_sb *out)
{
        struct series *s = malloc(SERIES * sizeof(*s));
        const char *family = "";
        if (!s)
                return BL_ENOMEM;
        unsigned n = collect(conf, s);
        for (unsigned i = 0; i < n; i++) {
                while (i + 1 < n && by_name(&s[i], &s[i + 1]) == 0) { /* the same of another worker */
                        s[i + 1].n += s[i].n;
                        i++;
                }
                if (strcmp(family, s[i].name) != 0) {
                        size_t len = strlen(family = s[i].name);
                        bool counts = len > 6 && strcmp(family + len - 6, "_total") == 0;
                        bl_sb_fmt(out, "# TYPE %s %s\n", family, counts ? "counter" : "gauge");
                }
                put_series(out, &s[i]);
        }
        free(s);
        return 0;
}
