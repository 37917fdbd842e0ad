#include "sticky/index.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum {
        FIRST = 2,      /* lines of the first segment, at first */
        FULL = 9,       /* grow above FULL / 4 nodes a line */
        EMPTY = 4,      /* shrink below EMPTY / 4: between them lies enough way */
        LINE_ALIGN = 64 /* a line of the cache */
};

static struct index_line *line_at(const struct index *x, size_t i)
{
        return &x->_seg[i / INDEX_SEGMENT][i % INDEX_SEGMENT];
}

/* Lines 0 to _lines - 1 exist; a hash belongs to the one that as many low bits name as there are lines for. */
static size_t home_of(const struct index *x, uint64_t hash)
{
        size_t mask = ((size_t)2 << (63u - (unsigned)__builtin_clzll(x->_lines - 1))) - 1, i = hash & mask;

        return i < x->_lines ? i : hash & mask >> 1;
}

/* ---- memory ---- */

static struct index_line *lines_new(size_t n)
{
        struct index_line *l = aligned_alloc(LINE_ALIGN, n * sizeof(*l));

        return l ? memset(l, 0, n * sizeof(*l)) : NULL;
}

static struct index_line *segment_new(struct index *x)
{
        struct index_line *l;

        if (!x->memory)
                return lines_new(INDEX_SEGMENT);
        pthread_mutex_lock(&x->memory->lock);
        if (!x->memory->slab)
                x->memory->slab = bl_slab_new(INDEX_SEGMENT * sizeof(*l));
        l = x->memory->slab ? bl_slab_get(x->memory->slab) : NULL;
        pthread_mutex_unlock(&x->memory->lock);
        return l ? memset(l, 0, INDEX_SEGMENT * sizeof(*l)) : NULL;
}

static void segment_free(struct index *x, struct index_line *l)
{
        if (!x->memory) {
                free(l);
                return;
        }
        pthread_mutex_lock(&x->memory->lock);
        bl_slab_put(x->memory->slab, l);
        pthread_mutex_unlock(&x->memory->lock);
}

static void first_free(struct index *x)
{
        if (x->_first == INDEX_SEGMENT)
                segment_free(x, x->_seg[0]);
        else
                free(x->_seg[0]);
}

/* Moves the first segment to one of another size. */
static bool first_resize(struct index *x, unsigned lines)
{
        struct index_line *l = lines == INDEX_SEGMENT ? segment_new(x) : lines_new(lines);

        if (!l)
                return false;
        memcpy(l, x->_seg[0], (x->_first < lines ? x->_first : lines) * sizeof(*l));
        first_free(x);
        x->_seg[0] = l;
        x->_first = lines;
        return true;
}

static bool add_segment(struct index *x)
{
        struct index_line *l;

        if (x->_segs == x->_seg_room) {
                unsigned room = x->_seg_room ? 2 * x->_seg_room : 1;
                struct index_line **all = realloc(x->_seg, room * sizeof(struct index_line *));

                if (!all)
                        return false;
                x->_seg = all;
                x->_seg_room = room;
        }
        l = x->_segs ? segment_new(x) : lines_new(FIRST);
        if (!l)
                return false;
        if (!x->_segs)
                x->_first = FIRST;
        x->_seg[x->_segs++] = l;
        return true;
}

/* Room for the line number `to`. */
static bool room_for(struct index *x, size_t to)
{
        if (to >= INDEX_SEGMENT)
                return to / INDEX_SEGMENT < x->_segs || add_segment(x);
        return to < x->_first || first_resize(x, 2 * x->_first);
}

/* After the last line went: `lines` are left. What cannot be given back now stays. */
static void give_back(struct index *x, size_t lines)
{
        if (lines >= INDEX_SEGMENT && lines % INDEX_SEGMENT == 0)
                segment_free(x, x->_seg[--x->_segs]);
        else if (lines <= x->_first / 2 && x->_first > FIRST)
                (void)first_resize(x, x->_first / 2);
}

/* ---- chains: all lines of one but the last are full; `reserve` may have put empty ones behind ---- */

static unsigned used(const struct index_line *l)
{
        unsigned n = 0;

        while (n < INDEX_SLOTS && l->node[n])
                n++;
        return n;
}

static void copy(struct index_line *to, unsigned i, const struct index_line *from, unsigned j)
{
        to->hash[i] = from->hash[j];
        to->check[i] = from->check[j];
        to->hint[i] = from->hint[j];
        to->answer[i] = from->answer[j];
        to->node[i] = from->node[j];
}

static void clear(struct index_line *l, unsigned i)
{
        static const struct index_line nothing;

        copy(l, i, &nothing, 0);
}

/* The first free slot of a chain, which gets another line when it is full; NULL without memory. */
static struct index_line *free_slot(struct index_line *l, unsigned *ret_at)
{
        while ((*ret_at = used(l)) == INDEX_SLOTS) {
                if (!l->next)
                        l->next = lines_new(1);
                if (!l->next)
                        return NULL;
                l = l->next;
        }
        return l;
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
        size_t room = INDEX_SLOTS - used(l);

        for (; end->next; end = end->next)
                room += INDEX_SLOTS - used(end->next);
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
        unsigned end;

        while (last->next && last->next->node[0]) {
                before = last;
                last = last->next;
        }
        end = used(last) - 1;
        copy(l, at, last, end);
        clear(last, end);
        trim(end || last == first ? last : before);
}

/* ---- growing and shrinking ---- */

static size_t mirror_of(size_t line)
{
        return line & ~((size_t)1 << (63u - (unsigned)__builtin_clzll(line)));
}

/* Moves the nodes of the chain at `source` whose home is line `to`; there is room for them. */
static void split(const struct index *x, struct index_line *source, size_t to)
{
        for (struct index_line *l = source, *next; l; l = next) {
                for (unsigned i = 0; i < INDEX_SLOTS && l->node[i];) {
                        bool gone = l != source && used(l) == 1; /* then it is the last one, and take frees it */
                        struct index_line *target;
                        unsigned at;

                        if (home_of(x, l->hash[i]) != to) {
                                i++;
                                continue;
                        }
                        target = free_slot(line_at(x, to), &at);
                        copy(target, at, l, i);
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

        if (!room_for(x, to))
                return;
        x->_lines++;
        for (const struct index_line *l = line_at(x, mirror_of(to)); l; l = l->next)
                for (unsigned i = 0; i < INDEX_SLOTS && l->node[i]; i++)
                        moving += home_of(x, l->hash[i]) == to;
        if (reserve(line_at(x, to), moving)) {
                split(x, line_at(x, mirror_of(to)), to);
        } else {
                x->_lines--;
                give_back(x, to);
        }
}

/* The last line folds into the one that it mirrors. */
static void shrink(struct index *x)
{
        size_t from = x->_lines - 1, moving = 0;
        struct index_line *source = line_at(x, from), *target = line_at(x, mirror_of(from));

        for (const struct index_line *l = source; l; l = l->next)
                moving += used(l);
        if (!reserve(target, moving))
                return;
        for (struct index_line *l = source; l; l = l->next)
                for (unsigned i = 0, at; i < INDEX_SLOTS && l->node[i]; i++) {
                        struct index_line *room = free_slot(target, &at);

                        copy(room, at, l, i);
                }
        trim(source);
        memset(source, 0, sizeof(*source));
        x->_lines--;
        give_back(x, from);
}

/* ---- the face ---- */

void stk_index_fini(struct index *x)
{
        for (size_t i = 0; i < x->_lines; i++)
                trim(line_at(x, i));
        for (unsigned i = 1; i < x->_segs; i++)
                segment_free(x, x->_seg[i]);
        if (x->_segs)
                first_free(x);
        free(x->_seg);
        *x = (struct index){.memory = x->memory};
}

int stk_index_add(struct index *x, struct inode *n, uint64_t hash, uint16_t check)
{
        struct index_line *l;
        unsigned at;

        if (!x->_lines) {
                if (!x->_segs && !add_segment(x))
                        return BL_ENOMEM;
                x->_lines = FIRST;
        }
        l = free_slot(line_at(x, home_of(x, hash)), &at);
        if (!l)
                return BL_ENOMEM;
        n->hash = hash;
        l->hash[at] = hash;
        l->check[at] = check;
        l->hint[at] = 0;
        l->answer[at] = NULL;
        l->node[at] = n;
        if (4 * ++x->count > FULL * x->_lines)
                grow(x);
        return 0;
}

static struct index_line *find_slot(const struct index *x, const struct inode *n, struct index_line **ret_first,
                                    unsigned *ret_at)
{
        struct index_line *l = x->_lines ? line_at(x, home_of(x, n->hash)) : NULL;

        *ret_first = l;
        for (; l; l = l->next)
                for (unsigned i = 0; i < INDEX_SLOTS; i++)
                        if (l->node[i] == n) {
                                *ret_at = i;
                                return l;
                        }
        return NULL;
}

void *stk_index_remove(struct index *x, struct inode *n)
{
        struct index_line *first, *l;
        void *answer;
        unsigned at;

        l = find_slot(x, n, &first, &at);
        if (!l)
                return NULL;
        answer = l->answer[at];
        take(first, l, at);
        x->count--;
        if (x->_lines > FIRST && 4 * x->count < EMPTY * x->_lines)
                shrink(x);
        return answer;
}

void *stk_index_replace(struct index *x, struct inode *old, struct inode *by)
{
        struct index_line *first, *l;
        void *answer = NULL;
        unsigned at;

        l = find_slot(x, old, &first, &at);
        by->hash = old->hash;
        if (l) {
                answer = l->answer[at];
                l->node[at] = by;
                l->answer[at] = NULL;
        }
        return answer;
}

void *stk_index_answer(struct index *x, const struct inode *n, void *answer, uint32_t hint)
{
        struct index_line *first, *l;
        void *had;
        unsigned at;

        l = find_slot(x, n, &first, &at);
        if (!l)
                return answer;
        had = l->answer[at];
        l->answer[at] = answer;
        l->hint[at] = hint;
        return had;
}

/* The slots with this hash, a bit each; without a branch: where it is cannot be foreseen. */
static inline unsigned same_hash(const struct index_line *l, uint64_t hash)
{
        unsigned mask = 0;

        for (unsigned i = 0; i < INDEX_SLOTS; i++)
                mask |= (unsigned)(l->hash[i] == hash) << i;
        return mask;
}

struct inode *stk_index_next(struct index_pos *pos)
{
        for (const struct index_line *l = pos->_line; l; l = l->next, pos->_at = 0) {
                unsigned mask = same_hash(l, pos->_hash) >> pos->_at << pos->_at,
                         i = mask ? (unsigned)__builtin_ctz(mask) : 0;

                if (mask && l->node[i]) { /* an empty slot's hash is 0 */
                        pos->_line = l;
                        pos->_at = i + 1;
                        return l->node[i];
                }
        }
        pos->_line = NULL;
        return NULL;
}

struct inode *stk_index_first(const struct index *x, uint64_t hash, struct index_pos *ret_pos)
{
        *ret_pos = (struct index_pos){._line = x->_lines ? line_at(x, home_of(x, hash)) : NULL, ._hash = hash};
        return stk_index_next(ret_pos);
}

void stk_index_look(const struct index *x, uint64_t hash, uint16_t check, struct index_seen *ret_seen)
{
        struct index_seen seen = {0};

        for (const struct index_line *l = x->_lines ? line_at(x, home_of(x, hash)) : NULL; l; l = l->next) {
                unsigned mask = 0;

                __builtin_prefetch(l->answer);
                for (unsigned i = 0; i < INDEX_SLOTS; i++) /* without a branch: where it is cannot be foreseen */
                        mask |= (unsigned)((l->hash[i] == hash) & (l->check[i] == check)) << i;
                if (mask) {
                        unsigned i = (unsigned)__builtin_ctz(mask);

                        seen.n += (unsigned)__builtin_popcount(mask);
                        seen.answer = l->answer[i];
                        seen.hint = l->hint[i];
                        seen.node = l->node[i];
                }
        }
        *ret_seen = seen;
}
