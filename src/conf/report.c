/* Messages: file:line:column: key: what. */
#include "conf/internal.h"

#include <stdarg.h>
#include <stdio.h>

enum { NEAR = 2, WORD = 40 };

void bl_report(struct load *l, const struct node *at, const char *fmt, ...)
{
        char text[512];
        va_list ap;
        l->errors++;
        if (l->errors > CONF_ERRORS) {
                if (l->errors == CONF_ERRORS + 1)
                        bl_sb_fmt(l->err, "%s: more errors follow; mend these first\n", l->file);
                return;
        }
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        bl_sb_fmt(l->err, "%s:%u:%u: ", l->file, at ? at->line : 1, at ? at->col : 1);
        if (l->default_of)
                bl_sb_fmt(l->err, "default of %s: ", l->default_of);
        if (l->path.n)
                bl_sb_fmt(l->err, "%.*s: ", BL_STR_ARG(bl_sb_str(&l->path)));
        bl_sb_addz(l->err, text);
        bl_sb_addc(l->err, '\n');
}

size_t bl_path_push(struct load *l, const char *sep, struct bl_str name)
{
        size_t before = l->path.n;
        if (before || *sep == '[')
                bl_sb_addz(&l->path, sep);
        bl_sb_add(&l->path, name.n > 64 ? bl_str_make(name.p, 64) : name);
        if (*sep == '[')
                bl_sb_addc(&l->path, ']');
        return before;
}

void bl_path_pop(struct load *l, size_t length)
{
        l->path.n = length;
        l->path.over = false;
}

/* How many letters must be changed, added, left out or swapped with their neighbour to make a of b. */
static unsigned distance(struct bl_str a, struct bl_str b)
{
        unsigned d[WORD + 1][WORD + 1];
        if (a.n > WORD || b.n > WORD)
                return WORD;
        for (unsigned i = 0; i <= a.n; i++) {
                for (unsigned j = 0; j <= b.n; j++) {
                        if (i == 0 || j == 0) {
                                d[i][j] = i + j;
                                continue;
                        }
                        bool same = bl_lower(a.p[i - 1]) == bl_lower(b.p[j - 1]);
                        unsigned best = d[i - 1][j - 1] + !same;
                        best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
                        best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
                        if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
                            d[i - 2][j - 2] + 1 < best)
                                best = d[i - 2][j - 2] + 1;
                        d[i][j] = best;
                }
        }
        return d[a.n][b.n];
}

const char *bl_report_nearest(struct bl_str word, const char *const *names, size_t n)
{
        const char *nearest = NULL;
        unsigned least = NEAR + 1;
        for (size_t i = 0; i < n; i++) {
                struct bl_str name = bl_str_z(names[i]);
                unsigned far = distance(word, name);
                /* A word cut short or with a wrong separator is meant too; for short words two letters are too many. */
                if (word.n >= 3 && bl_str_starts(name, word))
                        far = 1;
                if (far < least && far < name.n) {
                        least = far;
                        nearest = names[i];
                }
        }
        return nearest;
}
