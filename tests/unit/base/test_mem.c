#include "base/mem.h"

#include <stdlib.h>

#include "base/base.h"
#include "unit/oom.h"
#include "unit/rng.h"
#include "unit/unit.h"

static bool aligned(const void *p)
{
        return (uintptr_t)p % 16 == 0;
}

static void arena_hands_out_and_keeps_its_chunks(void **state)
{
        struct bl_arena *a = bl_arena_new(1 << 20);
        (void)state;
        long before = 0;
        for (unsigned message = 0; message < 5; message++) {
                char *last = NULL;
                if (message == 1)
                        before = oom_count();
                for (unsigned i = 0; i < 200; i++) {
                        size_t n = i * 37 % 900;
                        char *p = bl_arena_alloc(a, n);
                        assert_non_null(p);
                        assert_true(aligned(p));
                        assert_ptr_not_equal(p, last);
                        memset(p, 0x5a, n);
                        last = p;
                }
                assert_non_null(bl_arena_alloc(a, 100000)); /* more than a chunk */
                bl_arena_reset(a);
        }
        assert_int_equal(oom_count(), before); /* the second message and all after it: nothing from the heap */
        bl_arena_free(a);
        bl_arena_free(NULL);
}

static void arena_keeps_what_it_gave_apart(void **state)
{
        struct bl_arena *a = bl_arena_new(1 << 20);
        struct rng r = {5};
        (void)state;
        for (unsigned round = 0; round < 20; round++) {
                uint8_t *p[64];
                size_t n[64];
                for (unsigned i = 0; i < 64; i++) {
                        n[i] = rng_below(&r, rng_below(&r, 8) ? 200 : 9000);
                        p[i] = bl_arena_zalloc(a, n[i]);
                        for (size_t k = 0; k < n[i]; k++)
                                assert_int_equal(p[i][k], 0);
                        memset(p[i], (int)i + 1, n[i]);
                }
                for (unsigned i = 0; i < 64; i++) {
                        for (size_t k = 0; k < n[i]; k++)
                                assert_int_equal(p[i][k], i + 1);
                }
                bl_arena_reset(a);
        }
        bl_arena_free(a);
}

static void arena_has_a_limit(void **state)
{
        struct bl_arena *a = bl_arena_new(100);
        (void)state;
        assert_null(bl_arena_alloc(a, 113));
        assert_non_null(bl_arena_alloc(a, 64));
        assert_null(bl_arena_alloc(a, 48)); /* 64 + 48 > 100 */
        assert_non_null(bl_arena_alloc(a, 32));
        assert_null(bl_arena_alloc(a, 1));
        bl_arena_reset(a);
        assert_non_null(bl_arena_alloc(a, 96));
        bl_arena_free(a);
        a = bl_arena_new(SIZE_MAX);
        assert_null(bl_arena_alloc(a, SIZE_MAX));
        assert_null(bl_arena_alloc(a, SIZE_MAX - 15));
        bl_arena_free(a);
}

static void arena_copies_slices(void **state)
{
        struct bl_arena *a = bl_arena_new(1000);
        char text[] = "abc";
        (void)state;
        struct bl_str s = bl_arena_str(a, bl_str_z(text));
        text[0] = 'X';
        assert_str(s, "abc");
        assert_str(BL_CAT(a, BL_STR("sip:"), s, BL_STR(""), BL_STR("@x")), "sip:abc@x");
        assert_null(bl_arena_str(a, BL_STR("")).p);
        static char big[2000];
        assert_null(bl_arena_str(a, bl_str_make(big, sizeof(big))).p);
        struct bl_str huge[] = {{big, SIZE_MAX}, {big, 2}};
        assert_null(bl_arena_cat(a, huge, 2).p);
        bl_arena_free(a);
}

static void arena_without_memory(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                struct bl_arena *a = bl_arena_new(1 << 20);
                if (a) {
                        void *p = bl_arena_alloc(a, 10), *q = bl_arena_alloc(a, 5000);
                        struct bl_str s = bl_arena_str(a, BL_STR("abc"));
                        if (!oom_struck())
                                assert_true(p && q && s.p);
                        else
                                assert_true(!p + !q + !s.p == 1); /* the failure hits one, the others go on */
                        if (s.p)
                                assert_str(s, "abc");
                }
                bl_arena_free(a);
        }
}

static void pool_serves_every_size(void **state)
{
        struct bl_pool *p = bl_pool_new(0);
        (void)state;
        for (size_t n = 0; n < 300000; n += n < 300 ? 1 : n / 7) {
                uint8_t *a = bl_pool_alloc(p, n), *b = bl_pool_zalloc(p, n);
                size_t used = bl_pool_used(p);
                assert_true(a && b && a != b && aligned(a) && aligned(b));
                assert_true(used >= 2 * n);
                assert_true(used <= 2 * (n + n / 4 + 32)); /* classes waste a quarter at most */
                memset(a, 0xa5, n);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(b[i], 0);
                bl_pool_give(p, a, n);
                bl_pool_give(p, b, n);
                assert_int_equal(bl_pool_used(p), 0);
        }
        bl_pool_give(p, NULL, 5);
        bl_pool_free(p);
        bl_pool_free(NULL);
}

struct block {
        uint8_t *p;
        size_t n;
        uint8_t fill;
};

/* Blocks never overlap, the heap is left alone once the pool has grown, and the count returns to 0. */
static void pool_in_steady_state(void **state)
{
        enum { N = 400 };
        static struct block blocks[N];
        struct bl_pool *p = bl_pool_new(0);
        struct rng r = {11};
        uint64_t calls = 0;
        (void)state;
        for (unsigned step = 0; step < 200000; step++) {
                struct block *b = &blocks[rng_below(&r, N)];
                if (b->p) {
                        for (size_t i = 0; i < b->n; i++) {
                                if (b->p[i] != b->fill)
                                        fail_msg("step %u: octet %zu of %zu overwritten", step, i, b->n);
                        }
                        bl_pool_give(p, b->p, b->n);
                        b->p = NULL;
                } else {
                        /* a size per slot: what is given back is what is asked for again */
                        b->n = (size_t)(b - blocks) * (size_t)(b - blocks) % 3001 + 1;
                        b->p = bl_pool_alloc(p, b->n);
                        b->fill = (uint8_t)rng_next(&r);
                        assert_non_null(b->p);
                        memset(b->p, b->fill, b->n);
                }
                if (step == 100000)
                        calls = bl_pool_heap_calls(p);
        }
        assert_int_equal(bl_pool_heap_calls(p), calls);
        assert_true(calls > 0 && calls < 20);
        for (unsigned i = 0; i < N; i++)
                bl_pool_give(p, blocks[i].p, blocks[i].n);
        assert_int_equal(bl_pool_used(p), 0);
        bl_pool_free(p);
}

static void pool_has_a_limit(void **state)
{
        struct bl_pool *p = bl_pool_new(1000);
        (void)state;
        void *a = bl_pool_alloc(p, 500);
        assert_non_null(a);
        assert_int_equal(bl_pool_used(p), 512);
        assert_null(bl_pool_alloc(p, 500));
        assert_null(bl_pool_alloc(p, 200000));
        assert_null(bl_pool_alloc(p, SIZE_MAX));
        void *b = bl_pool_alloc(p, 400);
        assert_non_null(b);
        bl_pool_give(p, a, 500);
        a = bl_pool_alloc(p, 500);
        assert_non_null(a);
        bl_pool_free(p); /* with both still handed out */
        p = bl_pool_new(0);
        assert_null(bl_pool_alloc(p, SIZE_MAX));
        assert_non_null(bl_pool_alloc(p, 1 << 20)); /* freed with the pool as well */
        bl_pool_free(p);
}

static void pool_starts_small(void **state)
{
        struct bl_pool *p = bl_pool_new(0);
        (void)state;
        assert_int_equal(bl_pool_heap_calls(p), 0);
        for (unsigned i = 0; i < 60; i++)
                assert_non_null(bl_pool_alloc(p, 64));
        assert_int_equal(bl_pool_heap_calls(p), 1);
        bl_pool_free(p);
}

static void pool_wastes_no_end_of_a_chunk(void **state)
{
        struct bl_pool *p = bl_pool_new(0);
        (void)state;
        assert_non_null(bl_pool_alloc(p, 2048)); /* leaves 2032 octets of the first chunk */
        assert_non_null(bl_pool_alloc(p, 2048)); /* the second: 8176, less these */
        for (unsigned i = 0; i < 4; i++)         /* three fit there, one into the end of the first */
                assert_non_null(bl_pool_alloc(p, 1792));
        assert_int_equal(bl_pool_heap_calls(p), 2);
        assert_non_null(bl_pool_alloc(p, 1792));
        assert_int_equal(bl_pool_heap_calls(p), 3);
        bl_pool_free(p);
}

static void pool_without_memory(void **state)
{
        static const size_t sizes[] = {1, 100, 5000, 100, 60000, 300000};
        (void)state;
        OOM_EACH(run)
        {
                struct bl_pool *p = bl_pool_new(0);
                void *mem[BL_ARRAY_LEN(sizes)] = {NULL};
                unsigned failed = 0;
                for (size_t i = 0; p && i < BL_ARRAY_LEN(sizes); i++) {
                        mem[i] = bl_pool_alloc(p, sizes[i]);
                        failed += !mem[i];
                        if (mem[i])
                                memset(mem[i], 1, sizes[i]);
                }
                assert_int_equal(p ? failed : 1, oom_struck());
                for (size_t i = 0; p && i < BL_ARRAY_LEN(sizes); i++)
                        bl_pool_give(p, mem[i], sizes[i]);
                assert_int_equal(p ? bl_pool_used(p) : 0, 0);
                bl_pool_free(p);
        }
}

static void buf_is_counted(void **state)
{
        struct bl_pool *p = bl_pool_new(1 << 20);
        (void)state;
        struct bl_buf *b = bl_buf_copy(p, BL_STR("OPTIONS"));
        assert_str(bl_buf_str(b), "OPTIONS");
        assert_int_equal(b->refs, 1);
        assert_ptr_equal(bl_buf_ref(b), b);
        bl_buf_unref(p, b);
        assert_str(bl_buf_str(b), "OPTIONS");
        bl_buf_unref(p, b);
        assert_int_equal(bl_pool_used(p), 0);
        b = bl_buf_new(p, 100);
        assert_int_equal(b->len, 0);
        assert_int_equal(b->cap, 100);
        memset(b->data, 'x', 100);
        bl_buf_unref(p, b);
        b = bl_buf_copy(p, (struct bl_str){NULL, 0});
        assert_int_equal(bl_buf_str(b).n, 0);
        bl_buf_unref(p, b);
        bl_buf_unref(p, NULL);
        assert_null(bl_buf_new(p, 2 << 20));
        assert_null(bl_buf_new(p, (size_t)UINT32_MAX + 1));
        assert_int_equal(bl_pool_used(p), 0);
        bl_pool_free(p);
}

/* ---- slab ---- */

static void a_slabs_cells_are_apart_and_come_back(void **state)
{
        enum { CELL = 4096, CELLS = 2000 }; /* through all sizes of blocks, and two of the last */
        static unsigned char *cell[CELLS];
        struct bl_slab *s = bl_slab_new(CELL);

        (void)state;
        assert_non_null(s);
        for (unsigned i = 0; i < CELLS; i++) {
                cell[i] = bl_slab_get(s);
                assert_non_null(cell[i]);
                assert_int_equal((uintptr_t)cell[i] % 64, 0);
                memset(cell[i], (int)(i % 251), CELL);
        }
        for (unsigned i = 0; i < CELLS; i++)
                assert_true(cell[i][0] == i % 251 && cell[i][CELL - 1] == i % 251);
        bl_slab_put(s, cell[7]);
        bl_slab_put(s, NULL);
        assert_ptr_equal(bl_slab_get(s), cell[7]);
        bl_slab_free(s);
        bl_slab_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(arena_hands_out_and_keeps_its_chunks),
                cmocka_unit_test(arena_keeps_what_it_gave_apart),
                cmocka_unit_test(arena_has_a_limit),
                cmocka_unit_test(arena_copies_slices),
                cmocka_unit_test(arena_without_memory),
                cmocka_unit_test(pool_serves_every_size),
                cmocka_unit_test(pool_in_steady_state),
                cmocka_unit_test(pool_has_a_limit),
                cmocka_unit_test(pool_starts_small),
                cmocka_unit_test(pool_wastes_no_end_of_a_chunk),
                cmocka_unit_test(pool_without_memory),
                cmocka_unit_test(buf_is_counted),
                cmocka_unit_test(a_slabs_cells_are_apart_and_come_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
