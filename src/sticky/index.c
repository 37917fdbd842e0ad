#include "sticky/index.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum {
        FIRST = 2,      /* lines of the first segment */
        FULL = 7,       /* grow above FULL / 2 nodes a line */
        EMPTY = 3,      /* shrink below EMPTY / 2: between them lies enough way */
        LINE_ALIGN = 64 /* a cache line */
};

static uint8_t tag_of(uint64_t hash)
{
        return (uint8_t)(hash >> 40); /* neither the line's bits nor the shard's */
}

static struct index_line *line_at(const struct index *x, size_t i)
{
        unsigned seg;

        if (i < FIRST)
                return &x->_seg[0][i];
        seg = 63u - (unsigned)__builtin_clzll(i);
        return &x->_seg[seg][i - ((size_t)1 << seg)];
}

/* Lines 0 to _lines - 1 exist; a hash belongs to the one that as many low bits name as there are lines for. */
static size_t home_of(const struct index *x, uint64_t hash)
{
        size_t mask = ((size_t)2 << (63u - (unsigned)__builtin_clzll(x->_lines - 1))) - 1, i = hash & mask;

        return i < x->_lines ? i : hash & mask >> 1;
}

static struct index_line *lines_new(size_t n)
{
        struct index_line *l = aligned_alloc(LINE_ALIGN, n * sizeof(*l));

        return l ? memset(l, 0, n * sizeof(*l)) : NULL;
}

static bool add_segment(struct index *x)
{
        struct index_line **all = realloc(x->_seg, (x->_segs + 1) * sizeof(struct index_line *));

        if (!all)
                return false;
        x->_seg = all;
        all[x->_segs] = lines_new(x->_segs ? (size_t)1 << x->_segs : FIRST);
        if (!all[x->_segs])
                return false;
        x->_segs++;
        return true;
}

/* All lines of a chain but the last are full, so the first with room is the end; `reserve` may have put empty ones
 * behind. */
static int put(struct index_line *l, struct inode *n)
{
        while (l->n == INDEX_SLOTS) {
                if (!l->next)
                        l->next = lines_new(1);
                if (!l->next)
                        return BL_ENOMEM;
                l = l->next;
        }
        l->tag[l->n] = tag_of(n->hash);
        l->slot[l->n++] = n;
        return 0;
}

static void trim(struct index_line *l)
{
        struct index_line *next = l->next;

        l->next = NULL;
        while ((l = next) != NULL) {
                next = l->next;
                free(l);
        }
}

/* Room for `more` nodes, so that putting them cannot fail. */
static bool reserve(struct index_line *l, size_t more)
{
        struct index_line *end = l;
        size_t room = INDEX_SLOTS - l->n;

        for (; end->next; end = end->next)
                room += INDEX_SLOTS - end->next->n;
        for (struct index_line *first_new = end; room < more; room += INDEX_SLOTS) {
                end->next = lines_new(1);
                if (!end->next) {
                        trim(first_new);
                        return false;
                }
                end = end->next;
        }
        return true;
}

/* Takes a slot out of a chain: its last node fills the hole, and empty lines at the end go. */
static void take(struct index_line *first, struct index_line *l, unsigned at)
{
        struct index_line *last = first, *before = first;

        while (last->next && last->next->n) {
                before = last;
                last = last->next;
        }
        last->n--;
        l->slot[at] = last->slot[last->n];
        l->tag[at] = last->tag[last->n];
        trim(last->n || last == first ? last : before);
}

static size_t mirror_of(size_t line)
{
        return line & ~((size_t)1 << (63u - (unsigned)__builtin_clzll(line)));
}

/* Moves the nodes of the chain at `source` whose home is line `to`; there is room for them. */
static void split(const struct index *x, struct index_line *source, size_t to)
{
        for (struct index_line *l = source, *next; l; l = next) {
                for (unsigned i = 0; i < l->n;) {
                        bool gone = l != source && l->n == 1; /* then it is the last one, and take frees it */

                        if (home_of(x, l->slot[i]->hash) != to) {
                                i++;
                                continue;
                        }
                        (void)put(line_at(x, to), l->slot[i]);
                        take(source, l, i);
                        if (gone)
                                return;
                }
                next = l->next;
        }
}

/* One more line. Without memory the table stays as it is: its chains grow longer, nothing is lost. */
static void grow(struct index *x)
{
        size_t to = x->_lines, moving = 0;

        if (to == (size_t)1 << x->_segs && !add_segment(x))
                return;
        x->_lines++;
        for (const struct index_line *l = line_at(x, mirror_of(to)); l; l = l->next)
                for (unsigned i = 0; i < l->n; i++)
                        moving += home_of(x, l->slot[i]->hash) == to;
        if (reserve(line_at(x, to), moving))
                split(x, line_at(x, mirror_of(to)), to);
        else
                x->_lines--;
}

/* The last line folds into the one that it mirrors. */
static void shrink(struct index *x)
{
        size_t from = x->_lines - 1, moving = 0;
        struct index_line *source = line_at(x, from), *target = line_at(x, mirror_of(from));

        for (const struct index_line *l = source; l; l = l->next)
                moving += l->n;
        if (!reserve(target, moving))
                return;
        for (const struct index_line *l = source; l; l = l->next)
                for (unsigned i = 0; i < l->n; i++)
                        (void)put(target, l->slot[i]);
        trim(source);
        source->n = 0;
        x->_lines--;
        if ((from & (from - 1)) == 0)
                free(x->_seg[--x->_segs]);
}

void stk_index_fini(struct index *x)
{
        for (size_t i = 0; i < x->_lines; i++)
                trim(line_at(x, i));
        for (unsigned i = 0; i < x->_segs; i++)
                free(x->_seg[i]);
        free(x->_seg);
        *x = (struct index){0};
}

int stk_index_add(struct index *x, struct inode *n, uint64_t hash)
{
        if (!x->_lines) {
                if (!x->_segs && !add_segment(x))
                        return BL_ENOMEM;
                x->_lines = FIRST;
        }
        n->hash = hash;
        if (put(line_at(x, home_of(x, hash)), n) < 0)
                return BL_ENOMEM;
        if (2 * ++x->count > FULL * x->_lines)
                grow(x);
        return 0;
}

static struct inode **find_slot(const struct index *x, const struct inode *n, struct index_line **ret_first,
                                struct index_line **ret_line)
{
        struct index_line *l = x->_lines ? line_at(x, home_of(x, n->hash)) : NULL;

        *ret_first = l;
        for (; l; l = l->next)
                for (unsigned i = 0; i < l->n; i++)
                        if (l->slot[i] == n) {
                                *ret_line = l;
                                return &l->slot[i];
                        }
        return NULL;
}

void stk_index_remove(struct index *x, struct inode *n)
{
        struct index_line *first, *line;
        struct inode **slot = find_slot(x, n, &first, &line);

        if (!slot)
                return;
        take(first, line, (unsigned)(slot - line->slot));
        x->count--;
        if (x->_lines > FIRST && 2 * x->count < EMPTY * x->_lines)
                shrink(x);
}

void stk_index_replace(struct index *x, struct inode *old, struct inode *by)
{
        struct index_line *first, *line;
        struct inode **slot = find_slot(x, old, &first, &line);

        by->hash = old->hash;
        if (slot)
                *slot = by;
}

struct inode *stk_index_next(struct index_pos *pos)
{
        uint8_t tag = tag_of(pos->_hash);

        for (const struct index_line *l = pos->_line; l; l = l->next, pos->_at = 0)
                for (unsigned i = pos->_at; i < l->n; i++)
                        if (l->tag[i] == tag && l->slot[i]->hash == pos->_hash) {
                                pos->_line = l;
                                pos->_at = i + 1;
                                return l->slot[i];
                        }
        pos->_line = NULL;
        return NULL;
}

struct inode *stk_index_first(const struct index *x, uint64_t hash, struct index_pos *ret_pos)
{
        *ret_pos = (struct index_pos){._line = x->_lines ? line_at(x, home_of(x, hash)) : NULL, ._hash = hash};
        return stk_index_next(ret_pos);
}
