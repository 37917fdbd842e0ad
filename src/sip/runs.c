#include "sip/runs.h"

#include "sip/scan.h"

static bool is_ordinary(char c)
{
        return bl_is(c, C_LABEL) || c == '.';
}

static void mark_plain(const char *p, size_t blocks, struct bl_runs_word *w)
{
        for (; blocks--; p += 64, w++) {
                *w = (struct bl_runs_word){0};
                for (unsigned i = 0; i < 64; i++) {
                        w->stop |= (uint64_t)!is_ordinary(p[i]) << i;
                        w->line |= (uint64_t)(p[i] == '\n' || (p[i] == '\r' && (i == 63 || p[i + 1] != '\n'))) << i;
                        w->dot |= (uint64_t)(p[i] == '.') << i;
                }
        }
}

#ifdef __SSE2__
static inline uint64_t line_marks(uint64_t cr, uint64_t lf)
{
        return lf | (cr & ~(lf >> 1));
}

/* Unsigned "from <= v[i] <= to". */
static inline bl_octets16 within(bl_octets16 v, char from, char to)
{
        return (bl_octets16)(v - bl_splat(from) < bl_splat(to - from + 1));
}

static void mark_sse2(const char *p, size_t blocks, struct bl_runs_word *w)
{
        for (; blocks--; w++) {
                uint64_t cr = 0, lf = 0;

                *w = (struct bl_runs_word){0};
                for (unsigned i = 0; i < 64; i += 16, p += 16) {
                        bl_octets16 v, ordinary, dot;

                        memcpy(&v, p, 16);
                        dot = (bl_octets16)(v == bl_splat('.'));
                        ordinary = within(v | bl_splat(0x20), 'a', 'z') | within(v, '0', '9') | within(v, '-', '.') |
                                   (bl_octets16)(v == bl_splat('_'));
                        w->stop |= (uint64_t)(~bl_mask16(ordinary) & 0xffff) << i;
                        cr |= (uint64_t)bl_mask16((bl_octets16)(v == bl_splat('\r'))) << i;
                        lf |= (uint64_t)bl_mask16((bl_octets16)(v == bl_splat('\n'))) << i;
                        w->dot |= (uint64_t)bl_mask16(dot) << i;
                }
                w->line = line_marks(cr, lf);
        }
}

typedef unsigned char octets32 __attribute__((vector_size(32)));
typedef signed char signed32 __attribute__((vector_size(32)));
typedef char chars32 __attribute__((vector_size(32)));

/* Sixteen octets twice, as the shuffle looks them up in each half. */
#define TWICE(...)                                                                                                     \
        {                                                                                                              \
                __VA_ARGS__, __VA_ARGS__                                                                               \
        }

/*
 * An octet is ordinary when its two halves have a bit in common: each bit stands for a row of ASCII (or two alike) and
 * the columns of it that are ordinary. An octet over 0x7f shuffles to 0.
 *
 *   1: row 2, - and .   2: row 3, digits   4: rows 4 and 6, A-O   8: row 5, P-Z and _   16: row 7, p-z
 */
__attribute__((target("avx2"))) static void mark_avx2(const char *p, size_t blocks, struct bl_runs_word *w)
{
        static const octets32 columns = TWICE(0x1a, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1e, 0x1c, 0x04,
                                              0x04, 0x05, 0x05, 0x0c),
                              rows = TWICE(0, 0, 1, 2, 4, 8, 4, 16, 0, 0, 0, 0, 0, 0, 0, 0);

        for (; blocks--; w++) {
                uint64_t ordinary = 0, cr = 0, lf = 0, dot = 0;

                for (unsigned i = 0; i < 64; i += 32, p += 32) {
                        octets32 v, class;

                        memcpy(&v, p, 32);
                        class = (octets32)__builtin_ia32_pshufb256((chars32)columns, (chars32)v) &
                                (octets32)__builtin_ia32_pshufb256((chars32)rows, (chars32)(v >> 4));
                        ordinary |= (uint64_t)(uint32_t)__builtin_ia32_pmovmskb256((chars32)((signed32) class > 0))
                                    << i;
                        cr |= (uint64_t)(uint32_t)__builtin_ia32_pmovmskb256((chars32)(v == '\r')) << i;
                        lf |= (uint64_t)(uint32_t)__builtin_ia32_pmovmskb256((chars32)(v == '\n')) << i;
                        dot |= (uint64_t)(uint32_t)__builtin_ia32_pmovmskb256((chars32)(v == '.')) << i;
                }
                *w = (struct bl_runs_word){~ordinary, line_marks(cr, lf), dot};
        }
}
#endif

bl_runs_fn *bl_runs_way(unsigned way)
{
#ifdef __SSE2__
        if (way == 2)
                return __builtin_cpu_supports("avx2") ? mark_avx2 : NULL;
        if (way == 1)
                return mark_sse2;
#endif
        return way == 0 ? mark_plain : NULL;
}

static void mark(const char *p, size_t blocks, struct bl_runs_word *w)
{
#ifdef __SSE2__
        if (__builtin_cpu_supports("avx2"))
                mark_avx2(p, blocks, w);
        else
                mark_sse2(p, blocks, w);
#else
        mark_plain(p, blocks, w);
#endif
}

void bl_runs_mark(const char *p, size_t n, struct bl_runs_word *w)
{
        size_t whole = n / 64;
        char last[64] = {0};

        mark(p, whole, w);
        if (n % 64 == 0)
                return;
        memcpy(last, p + 64 * whole, n % 64);
        mark(last, 1, w + whole);
}
