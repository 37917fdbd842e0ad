/*
 * The hash is SipHash-1-3 (Aumasson and Bernstein, 2012), a keyed function made for tables whose keys strangers choose;
 * the 128-bit key is spread from the 64-bit seed.
 *
 * The table is linear hashing. Buckets are numbered 0 … _buckets-1 and live in segments that double:
 *
 *     segment 0: 0…7   segment 1: 8…15   segment 2: 16…31   segment k: 8·2^(k-1) … 8·2^k - 1
 *
 * so that a segment, once there, never moves. Growth adds one bucket and splits the one it mirrors; shrinking folds the
 * last bucket back. Growth starts above one node a bucket and shrinking below half a node: between them lies enough way
 * that no sequence of insert and remove allocates over and over.
 */
#include "base/hash.h"

#include <stdlib.h>

#include "base/err.h"

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static inline void sip_round(uint64_t v[4])
{
        v[0] += v[1];
        v[1] = ROTL(v[1], 13) ^ v[0];
        v[0] = ROTL(v[0], 32);
        v[2] += v[3];
        v[3] = ROTL(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = ROTL(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = ROTL(v[1], 17) ^ v[2];
        v[2] = ROTL(v[2], 32);
}

static inline uint64_t spread(uint64_t x)
{
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93u;
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93u;
        return x ^ x >> 32;
}

static inline uint64_t load(const char *p)
{
        uint64_t w;
        memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w = __builtin_bswap64(w);
#endif
        return w;
}

/* Of one to seven octets, zeros behind them. */
static inline uint64_t load_tail(const char *p, size_t n)
{
        uint64_t w = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (n >= 4) { /* two pieces that overlap: both say the same of those in the middle */
                uint32_t head, tail;
                memcpy(&head, p, 4);
                memcpy(&tail, p + n - 4, 4);
                return head | (uint64_t)tail << (8 * (n - 4));
        }
#endif
        for (size_t i = 0; i < n; i++)
                w |= (uint64_t)(unsigned char)p[i] << (8 * i);
        return w;
}

static inline void absorb(uint64_t v[4], uint64_t w)
{
        v[3] ^= w;
        sip_round(v);
        v[0] ^= w;
}

static inline __attribute__((always_inline)) uint64_t siphash(uint64_t seed, struct bl_str s, bool lower)
{
        uint64_t k0 = seed, k1 = spread(seed + 0x9e3779b97f4a7c15u);
        uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                         k1 ^ 0x7465646279746573u};
        size_t i = 0;
        for (; i + 8 <= s.n; i += 8) {
                uint64_t w = load(s.p + i);
                absorb(v, lower ? bl_lower8(w) : w);
        }
        uint64_t w = load_tail(s.p + i, s.n - i);
        absorb(v, (lower ? bl_lower8(w) : w) | (uint64_t)s.n << 56);
        v[2] ^= 0xff;
        sip_round(v);
        sip_round(v);
        sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void bl_hasher_init(struct bl_hasher *h, uint64_t seed)
{
        uint64_t k0 = seed, k1 = spread(seed + 0x9e3779b97f4a7c15u);
        *h = (struct bl_hasher){._v = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee,
                                       k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u}};
}

static inline __attribute__((always_inline)) void add(struct bl_hasher *h, struct bl_str s, bool lower)
{
        uint64_t v[4] = {h->_v[0], h->_v[1], h->_v[2], h->_v[3]};
        size_t i = 0;
        for (; i + 8 <= s.n; i += 8) {
                uint64_t w = load(s.p + i);
                absorb(v, lower ? bl_lower8(w) : w);
        }
        if (i < s.n) {
                uint64_t w = load_tail(s.p + i, s.n - i);
                absorb(v, lower ? bl_lower8(w) : w);
        }
        memcpy(h->_v, v, sizeof(v));
        h->_lengths = ROTL(h->_lengths, 16) + s.n;
}

void bl_hasher_add(struct bl_hasher *h, struct bl_str s)
{
        add(h, s, false);
}
void bl_hasher_add_lower(struct bl_hasher *h, struct bl_str s)
{
        add(h, s, true);
}
void bl_hasher_number(struct bl_hasher *h, uint64_t n)
{
        absorb(h->_v, n);
}

uint64_t bl_hasher_end(struct bl_hasher *h)
{
        uint64_t *v = h->_v;
        absorb(v, h->_lengths);
        v[2] ^= 0xee;
        sip_round(v);
        sip_round(v);
        sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void bl_hasher_end2(struct bl_hasher *h, uint64_t ret[2])
{
        uint64_t *v = h->_v;
        ret[0] = bl_hasher_end(h);
        v[1] ^= 0xdd;
        sip_round(v);
        sip_round(v);
        sip_round(v);
        ret[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t bl_hash(uint64_t seed, struct bl_str s)
{
        return siphash(seed, s, false);
}
uint64_t bl_hash_lower(uint64_t seed, struct bl_str s)
{
        return siphash(seed, s, true);
}
uint64_t bl_hash_mix(uint64_t a, uint64_t b)
{
        return spread(ROTL(a, 23) * 0x9e3779b97f4a7c15u ^ b);
}

enum { FIRST = 8, FIRST_LOG = 3 };

static struct bl_htab_bucket *bucket(const struct bl_htab *t, size_t i)
{
        if (i < FIRST)
                return &t->_seg[0][i];
        unsigned top = 63u - (unsigned)__builtin_clzll(i);
        return &t->_seg[top - FIRST_LOG + 1][i - ((size_t)1 << top)];
}

static uint64_t seen_bit(uint64_t hash)
{
        return (uint64_t)1 << (hash >> 58);
}

/* The mask of the round under way: all buckets below _buckets whose top bit it covers exist already. */
static size_t mask_of(size_t buckets)
{
        return ((size_t)2 << (63u - (unsigned)__builtin_clzll(buckets - 1))) - 1;
}

static size_t index_of(const struct bl_htab *t, uint64_t hash)
{
        size_t mask = mask_of(t->_buckets), i = hash & mask;
        return i < t->_buckets ? i : hash & mask >> 1;
}

/* Another segment of `n` buckets. */
static int add_segment(struct bl_htab *t, size_t n)
{
        struct bl_htab_bucket *seg = calloc(n, sizeof(*seg));
        struct bl_htab_bucket **dir = seg ? realloc(t->_seg, (t->_seg_count + 1) * sizeof(*dir)) : NULL;
        if (!dir) {
                free(seg);
                return BL_ENOMEM;
        }
        dir[t->_seg_count++] = seg;
        t->_seg = dir;
        return 0;
}

/* One more bucket. Without memory the table stays as it is: its chains grow longer, nothing is lost. */
static void grow(struct bl_htab *t)
{
        size_t from = t->_buckets & (mask_of(t->_buckets + 1) >> 1);
        if ((t->_buckets & (t->_buckets - 1)) == 0 && (size_t)FIRST << (t->_seg_count - 1) == t->_buckets &&
            add_segment(t, t->_buckets) < 0)
                return;
        size_t to = t->_buckets++;
        struct bl_htab_bucket *old = bucket(t, from), *new = bucket(t, to);
        struct bl_hnode **at = &old->first, **end = &new->first;
        old->seen = new->seen = 0;
        while (*at) {
                struct bl_hnode *n = *at;
                if (index_of(t, n->hash) == to) {
                        *at = n->_next;
                        n->_next = NULL;
                        *end = n;
                        end = &n->_next;
                        new->seen |= seen_bit(n->hash);
                } else {
                        at = &n->_next;
                        old->seen |= seen_bit(n->hash);
                }
        }
}

static void shrink(struct bl_htab *t)
{
        size_t last = t->_buckets - 1;
        struct bl_htab_bucket *from = bucket(t, last), *to = bucket(t, last & (mask_of(t->_buckets) >> 1));
        struct bl_hnode **at = &to->first;
        while (*at)
                at = &(*at)->_next;
        *at = from->first;
        to->seen |= from->seen;
        *from = (struct bl_htab_bucket){NULL, 0};
        t->_buckets = last;
        if (last ==
            (size_t)FIRST << (t->_seg_count - 2)) /* the first bucket of its segment: the segment is empty now */
                free(t->_seg[--t->_seg_count]);
}

static void shrink_some(struct bl_htab *t, size_t most)
{
        while (most-- && t->_buckets > FIRST && t->count < t->_buckets / 2)
                shrink(t);
}

void bl_htab_fini(struct bl_htab *t)
{
        for (size_t i = 0; i < t->_seg_count; i++)
                free(t->_seg[i]);
        free(t->_seg);
        *t = (struct bl_htab){0};
}

int bl_htab_insert(struct bl_htab *t, struct bl_hnode *n, uint64_t hash)
{
        if (!t->_buckets) {
                int rc = add_segment(t, FIRST);
                if (rc < 0)
                        return rc;
                t->_buckets = FIRST;
        }
        struct bl_htab_bucket *b = bucket(t, index_of(t, hash));
        n->hash = hash;
        n->_next = b->first;
        b->first = n;
        b->seen |= seen_bit(hash);
        if (++t->count > t->_buckets)
                grow(t);
        return 0;
}

void bl_htab_remove(struct bl_htab *t, struct bl_hnode *n)
{
        struct bl_htab_bucket *b = t->_buckets ? bucket(t, index_of(t, n->hash)) : NULL;
        struct bl_hnode **at = b ? &b->first : NULL;
        while (at && *at && *at != n)
                at = &(*at)->_next;
        if (!at || !*at)
                return;
        *at = n->_next;
        n->_next = NULL;
        if (!b->first)
                b->seen = 0;
        t->count--;
        if (!t->_walks)
                shrink_some(t, 2); /* two for one: shrinking keeps pace with removal */
}

struct bl_hnode *bl_htab_first(const struct bl_htab *t, uint64_t hash)
{
        const struct bl_htab_bucket *b = t->_buckets ? bucket(t, index_of(t, hash)) : NULL;
        struct bl_hnode *n = b && b->seen & seen_bit(hash) ? b->first : NULL;
        while (n && n->hash != hash)
                n = n->_next;
        return n;
}

struct bl_hnode *bl_htab_next(const struct bl_hnode *n)
{
        struct bl_hnode *next = n->_next;
        while (next && next->hash != n->hash)
                next = next->_next;
        return next;
}

void bl_htab_each(struct bl_htab *t, void (*fn)(struct bl_hnode *n, void *arg), void *arg)
{
        t->_walks++; /* while it is set no bucket is folded, which would move nodes past the walk */
        for (size_t i = 0; i < t->_buckets; i++) {
                for (struct bl_hnode *n = bucket(t, i)->first, *next; n; n = next) {
                        next = n->_next;
                        fn(n, arg);
                }
        }
        if (--t->_walks == 0)
                shrink_some(t, SIZE_MAX);
}
