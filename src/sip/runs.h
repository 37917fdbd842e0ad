/*
 * Where runs of ordinary octets end. Nearly everything in a message is letters, digits, "-", "." and "_", which every
 * class of RFC 3261 section 25.1 that the parsers ask for holds (scan.h); so one pass marks, 64 octets a word, all the
 * others, and what stands between two marks need not be looked at again.
 *
 *   octets   V i a :   S I P / 2 . 0 / U D P   1 2 7 . 0 . 0 . 1 : 5 0 6 0 ; r p o r t CR LF
 *   stop           x x       x       x       x                   x         x           x  x
 *   dot                        x                     x   x   x
 *   line                                                                                  x
 *
 * Private to sip/. Any thread.
 */
#pragma once
#include "base/base.h"

struct bl_runs_word { /* of 64 octets; bit i: octet i */
        uint64_t stop;
        uint64_t line; /* LF; and CR that no LF of the same word follows: bare, or the last octet */
        uint64_t dot;
};
/* Marks n octets from p on: (n + 63) / 64 words. Beyond them everything stops. */
void bl_runs_mark(const char *p, size_t n, struct bl_runs_word *w);

/* The ways to do it, for their test: number `way` marks whole blocks of 64; NULL: this machine cannot. 0 is portable C.
 */
typedef void bl_runs_fn(const char *p, size_t blocks, struct bl_runs_word *w);
enum { BL_RUNS_WAYS = 3 };
bl_runs_fn *bl_runs_way(unsigned way);

/* A message's marks. In a header there is always one ahead: its CR. */
struct bl_runs {
        const char *base;
        const struct bl_runs_word *w;
};

/* The first mark at p or behind. */
static inline const char *bl_run_end(struct bl_runs r, const char *p)
{
        size_t i = (size_t)(p - r.base);
        uint64_t bits = r.w[i / 64].stop >> i % 64;

        if (!bits) {
                i |= 63;
                do
                        bits = r.w[++i / 64].stop;
                while (!bits && (i += 63));
        }
        return r.base + i + __builtin_ctzll(bits);
}

/* Bit i: p[i] is a dot; of the n octets from p on, at most 63, which are marked. */
static inline uint64_t bl_run_dots(struct bl_runs r, const char *p, size_t n)
{
        size_t i = (size_t)(p - r.base), shift = i % 64;
        uint64_t dots = r.w[i / 64].dot >> shift;

        if (shift + n > 64)
                dots |= r.w[i / 64 + 1].dot << (64 - shift);
        return dots & (((uint64_t)1 << n) - 1);
}
