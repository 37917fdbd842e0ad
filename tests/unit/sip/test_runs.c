/* The marks, by each way that this machine knows, against their definition octet by octet. */
#include "unit/unit.h"

#include <stdlib.h>

#include "sip/runs.h"
#include "unit/rng.h"

enum { MOST = 200 };

static bool is_ordinary(char c)
{
        return c == '.' || (c && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", c));
}

static bool is_line(const char *p, size_t n, size_t i)
{
        return p[i] == '\n' || (p[i] == '\r' && (i % 64 == 63 || i + 1 == n || p[i + 1] != '\n'));
}

static void check(const char *p, size_t n, const struct bl_runs_word *w)
{
        for (size_t i = 0; i < (n + 63) / 64 * 64; i++) {
                bool in = i < n;

                assert_int_equal(w[i / 64].stop >> i % 64 & 1, !in || !is_ordinary(p[i]));
                assert_int_equal(w[i / 64].line >> i % 64 & 1, in && is_line(p, n, i));
                assert_int_equal(w[i / 64].dot >> i % 64 & 1, in && p[i] == '.');
        }
}

static void every_octet(void **state)
{
        struct bl_runs_word w[4];
        char all[256];

        (void)state;
        for (unsigned i = 0; i < sizeof all; i++)
                all[i] = (char)i;
        assert_non_null(bl_runs_way(0));
        assert_null(bl_runs_way(BL_RUNS_WAYS));
        for (unsigned way = 0; way < BL_RUNS_WAYS; way++) {
                if (!bl_runs_way(way))
                        continue;
                bl_runs_way(way)(all, 4, w);
                check(all, sizeof all, w);
        }
}

/* Of every length, in a block of exactly that size, so that a sanitizer sees a step too far. */
static void every_length(void **state)
{
        struct rng r = {7};

        (void)state;
        for (size_t n = 1; n <= MOST; n++) {
                struct bl_runs_word w[(MOST + 63) / 64];
                char *p = malloc(n);

                assert_non_null(p);
                for (size_t i = 0; i < n; i++)
                        p[i] = (char)(rng_below(&r, 4) ? "ab.-_\r\n:;@9Z"[rng_below(&r, 12)] : (int)rng_below(&r, 256));
                bl_runs_mark(p, n, w);
                check(p, n, w);
                free(p);
        }
}

static void ends(void **state)
{
        static const char text[] = "abc.def:0123456789012345678901234567890123456789012345678901234567890123456789."
                                   "0123456789012345678901234567890123456789012345678901234567890123456789;z\r\n";
        struct bl_runs_word w[(sizeof text + 62) / 64];
        struct bl_runs r = {text, w};

        (void)state;
        bl_runs_mark(text, sizeof text - 1, w);
        assert_ptr_equal(bl_run_end(r, text), strchr(text, ':'));
        assert_ptr_equal(bl_run_end(r, text + 7), text + 7);
        assert_ptr_equal(bl_run_end(r, text + 8), strchr(text, ';')); /* over a whole word */
        assert_ptr_equal(bl_run_end(r, strchr(text, 'z')), strchr(text, '\r'));
        assert_int_equal(bl_run_dots(r, text, 7), 1 << 3);
        assert_int_equal(bl_run_dots(r, text, 3), 0);
        assert_int_equal(bl_run_dots(r, text + 60, 63), (uint64_t)1 << 18); /* over the edge of one */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_octet),
                cmocka_unit_test(every_length),
                cmocka_unit_test(ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
