/* Seeded random numbers for tests against a model (SplitMix64): the same seed gives the same run. Print the seed. */
#pragma once
#include <stdint.h>

struct rng {
        uint64_t s;
};
static inline uint64_t rng_next(struct rng *r)
{
        uint64_t z = r->s += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
}
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
        return rng_next(r) % n;
}
