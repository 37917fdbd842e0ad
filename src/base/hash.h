/*
 * A keyed hash, and an intrusive chained hash table that grows and shrinks a bucket at a time (linear hashing), so that
 * no insertion ever costs more than its neighbours. Starts at zero allocation. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Fast, keyed, 64 bits, good against chosen input when the seed is secret. Any thread. */
uint64_t bl_hash(uint64_t seed, struct bl_str s);
uint64_t bl_hash_lower(uint64_t seed, struct bl_str s); /* as if s were lower case */
uint64_t bl_hash_mix(uint64_t a, uint64_t b);           /* combines two hashes */

/*
 * One hash over several parts, in the place of one of each: lists of up to four parts, each under 64 KiB, have the
 * same only if all parts are the same. What is a number goes in as one.
 */
struct bl_hasher {
        uint64_t _v[4], _lengths;
};
void bl_hasher_init(struct bl_hasher *h, uint64_t seed);
void bl_hasher_add(struct bl_hasher *h, struct bl_str s);
void bl_hasher_add_lower(struct bl_hasher *h, struct bl_str s); /* as if s were lower case */
void bl_hasher_number(struct bl_hasher *h, uint64_t n);
uint64_t bl_hasher_end(struct bl_hasher *h);
/* Two that know nothing of each other: as good as one of 128 bits, at a little more than the price of one. */
void bl_hasher_end2(struct bl_hasher *h, uint64_t ret[2]);

struct bl_hnode { /* embedded in its owner; zeroed = in no table */
        struct bl_hnode *_next;
        uint64_t hash;
};
/* Private: a chain, and a bit for each hash (its upper six bits) that was put in since the chain was last empty. What
 * is not there, as most that is asked for, mostly says so here; its nodes, far away in memory, are not looked at. */
struct bl_htab_bucket {
        struct bl_hnode *first;
        uint64_t seen;
};
struct bl_htab {
        struct bl_htab_bucket **_seg; /* segments of buckets */
        size_t count, _buckets, _seg_count;
        unsigned _walks; /* calls of bl_htab_each under way */
};
/* A zeroed bl_htab is an empty table. */
void bl_htab_fini(struct bl_htab *t);                                     /* frees the buckets, not the nodes */
int bl_htab_insert(struct bl_htab *t, struct bl_hnode *n, uint64_t hash); /* 0, or BL_ENOMEM: then not inserted */
void bl_htab_remove(struct bl_htab *t, struct bl_hnode *n);               /* accepts one that is not in the table */
/* First node with this hash, or NULL; bl_htab_next goes on among equal hashes. The caller compares keys. */
struct bl_hnode *bl_htab_first(const struct bl_htab *t, uint64_t hash);
struct bl_hnode *bl_htab_next(const struct bl_hnode *n);
/* Visits every node once; `fn` may remove (and free) the node it is given, and insert none. For shutdown, cursors and
 * tests. */
void bl_htab_each(struct bl_htab *t, void (*fn)(struct bl_hnode *n, void *arg), void *arg);
