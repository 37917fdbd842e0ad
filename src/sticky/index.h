/*
 * The index of identities: an open table made for few cache misses. A line holds four nodes, and of each its hash and
 * what most look-ups want to know, so that they touch the line alone: two neighbouring lines of the cache, fetched
 * together.
 *
 *      ┌ hash ×4 │ check ×4 │ hint ×4 │ next ┐┌ answer ×4 │ node ×4 ┐        hash and check: 80 keyed bits of the key
 *
 * Grows and shrinks a line at a time (linear hashing), so that no insertion costs much more than its neighbours, and
 * without a look at the nodes. Private to sticky/.
 */
#pragma once
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct bl_slab;

struct inode { /* embedded in its owner */
        uint64_t hash;
};
enum {
        INDEX_SLOTS = 4,
        INDEX_SEGMENT = 128 /* lines of a segment; the first one grows up to that */
};
struct index_line { /* slots are filled from the first; node NULL: empty */
        _Alignas(64) uint64_t hash[INDEX_SLOTS];
        uint16_t check[INDEX_SLOTS];
        uint32_t hint[INDEX_SLOTS];
        struct index_line *next; /* when there is no room */
        void *answer[INDEX_SLOTS];
        struct inode *node[INDEX_SLOTS];
};
_Static_assert(sizeof(struct index_line) == 128, "two lines of the cache");

struct index_memory { /* where segments come from; shared by the indexes of a table */
        pthread_mutex_t lock;
        struct bl_slab *slab; /* of cells of INDEX_SEGMENT lines */
};
struct index {
        struct index_memory *memory; /* NULL: the heap */
        struct index_line **_seg;
        size_t count, _lines;
        unsigned _segs, _seg_room;
        unsigned _first; /* lines of the first segment */
};
struct index_pos { /* a search in progress; ends with any change */
        const struct index_line *_line;
        uint64_t _hash;
        unsigned _at;
};

/* An index that is zeroed, but for `memory`, is empty and has no memory. */
void stk_index_fini(struct index *x); /* frees the lines, not the nodes */
/* Without an answer. 0, BL_ENOMEM. */
int stk_index_add(struct index *x, struct inode *n, uint64_t hash, uint16_t check);
/* Accepts one that is not there. Returns its answer, which is the caller's again. */
void *stk_index_remove(struct index *x, struct inode *n);
/* In its place, without an answer; cannot fail. Returns the answer that `old` had. */
void *stk_index_replace(struct index *x, struct inode *old, struct inode *by);
/* What stk_index_look tells of a node from now on. Returns the answer that it had; `answer` itself when n is not there.
 */
void *stk_index_answer(struct index *x, const struct inode *n, void *answer, uint32_t hint);
/* Nodes of this hash, one after another; NULL at the end. */
struct inode *stk_index_first(const struct index *x, uint64_t hash, struct index_pos *ret_pos);
struct inode *stk_index_next(struct index_pos *pos);

struct index_seen {
        unsigned n; /* nodes with this hash and check; what follows is of the last of them */
        uint32_t hint;
        void *answer;
        struct inode *node;
};
void stk_index_look(const struct index *x, uint64_t hash, uint16_t check, struct index_seen *ret_seen);
