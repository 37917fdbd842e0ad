/*
 * The index of identities: an open table made for few cache misses. A line of 64 octets holds six pointers and an octet
 * of each one's hash, so that a look-up touches one line, and then only the node that it wants. Grows and shrinks a
 * line at a time (linear hashing), so that no insertion costs much more than its neighbours. Private to sticky/.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct inode { /* embedded in its owner */
        uint64_t hash;
};
enum { INDEX_SLOTS = 6 };
struct index_line {
        struct inode *slot[INDEX_SLOTS];
        struct index_line *next; /* when there is no room */
        uint8_t tag[INDEX_SLOTS];
        uint8_t n;
};
struct index {
        struct index_line **_seg; /* segments of lines, each as long as all before it */
        size_t count, _lines;
        unsigned _segs;
};
struct index_pos { /* a search in progress; ends with any change */
        const struct index_line *_line;
        uint64_t _hash;
        unsigned _at;
};

/* A zeroed index is empty and has no memory. */
void stk_index_fini(struct index *x);                                         /* frees the lines, not the nodes */
int stk_index_add(struct index *x, struct inode *n, uint64_t hash);           /* 0, BL_ENOMEM */
void stk_index_remove(struct index *x, struct inode *n);                      /* accepts one that is not there */
void stk_index_replace(struct index *x, struct inode *old, struct inode *by); /* in its place; cannot fail */
/* Nodes of this hash, one after another; NULL at the end. */
struct inode *stk_index_first(const struct index *x, uint64_t hash, struct index_pos *ret_pos);
struct inode *stk_index_next(struct index_pos *pos);
