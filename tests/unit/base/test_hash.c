#include "base/hash.h"

#include <stdlib.h>

#include "base/base.h"
#include "unit/guard.h"
#include "unit/oom.h"
#include "unit/rng.h"
#include "unit/unit.h"

static void depends_on_seed_content_and_length(void **state)
{
        char text[40];
        (void)state;
        memset(text, 'a', sizeof(text));
        for (size_t n = 0; n < sizeof(text); n++) {
                struct bl_str s = bl_str_make(text, n);
                uint64_t h = bl_hash(1, s);
                assert_int_equal(h, bl_hash(1, s));
                assert_int_not_equal(h, bl_hash(2, s));
                assert_int_not_equal(h, bl_hash(1, bl_str_make(text, n + 1)));
                for (size_t i = 0; i < n; i++) {
                        text[i] ^= 1;
                        assert_int_not_equal(h, bl_hash(1, s));
                        text[i] ^= 1;
                }
        }
        assert_int_equal(bl_hash(1, BL_STR("")), bl_hash(1, (struct bl_str){NULL, 0}));
        assert_int_not_equal(bl_hash(1, BL_STR("\0")), bl_hash(1, BL_STR("")));
}

static void hash2(uint64_t seed, struct bl_str s, uint64_t ret[2])
{
        struct bl_hasher h;
        bl_hasher_init(&h, seed);
        bl_hasher_add(&h, s);
        bl_hasher_end2(&h, ret);
}

static void two_hashes_are_two(void **state)
{
        char text[40];
        uint64_t first[sizeof(text)][2], h[2];
        (void)state;
        memset(text, 'a', sizeof(text));
        for (size_t n = 0; n < sizeof(text); n++) {
                hash2(1, bl_str_make(text, n), first[n]);
                hash2(1, bl_str_make(text, n), h);
                assert_memory_equal(h, first[n], sizeof(h));
                assert_int_not_equal(h[0], h[1]);
                for (size_t k = 0; k < n; k++)
                        assert_true(h[0] != first[k][0] && h[1] != first[k][1]);
                hash2(2, bl_str_make(text, n), h);
                assert_true(h[0] != first[n][0] && h[1] != first[n][1]);
                for (size_t i = 0; i < n; i++) {
                        text[i] ^= 1;
                        hash2(1, bl_str_make(text, n), h);
                        assert_true(h[0] != first[n][0] && h[1] != first[n][1]);
                        text[i] ^= 1;
                }
        }
}

static uint64_t of_parts(const char *a, const char *b, uint64_t n)
{
        struct bl_hasher h;
        bl_hasher_init(&h, 1);
        bl_hasher_number(&h, n);
        bl_hasher_add(&h, bl_str_z(a));
        bl_hasher_add_lower(&h, bl_str_z(b));
        return bl_hasher_end(&h);
}

static void parts_keep_apart(void **state)
{
        (void)state;
        uint64_t h = of_parts("abcdefgh", "ijklmnopq", 5);
        assert_int_equal(h, of_parts("abcdefgh", "ijklmnopq", 5));
        assert_int_equal(h, of_parts("abcdefgh", "IJKLMNOPQ", 5));
        assert_int_not_equal(h, of_parts("Abcdefgh", "ijklmnopq", 5));
        assert_int_not_equal(h, of_parts("abcdefgh", "ijklmnopq", 6));
        assert_int_not_equal(h, of_parts("abcdefghijklmnop", "q", 5)); /* the same octets in the same words */
        assert_int_not_equal(h, of_parts("abcdefgh", "ijklmnop", 5));
        assert_int_not_equal(of_parts("a", "", 0), of_parts("", "a", 0));
        assert_int_not_equal(of_parts("", "", 0), of_parts("", "", 1));
}

static void folds_case_of_ascii_letters_only(void **state)
{
        (void)state;
        for (size_t at = 0; at < 19; at++) {
                for (int c = 0; c < 256; c++) {
                        char a[19], b[19];
                        memset(a, 'X', sizeof(a));
                        memset(b, 'x', sizeof(b));
                        a[at] = (char)c;
                        b[at] = bl_lower((char)c);
                        assert_int_equal(bl_hash_lower(3, bl_str_make(a, 19)), bl_hash(3, bl_str_make(b, 19)));
                }
        }
}

static void spreads(void **state)
{
        unsigned low[64] = {0}, high[64] = {0};
        (void)state;
        for (unsigned i = 0; i < 64000; i++) {
                char mem[32];
                struct bl_sb b = BL_SB(mem);
                bl_sb_addz(&b, "sip:user");
                bl_sb_addu(&b, i);
                uint64_t h = bl_hash(9, bl_sb_str(&b));
                low[h % 64]++;
                high[h >> 58]++;
        }
        for (unsigned i = 0; i < 64; i++) { /* 1000 expected, sigma 31.4 */
                assert_in_range(low[i], 800, 1200);
                assert_in_range(high[i], 800, 1200);
        }
        assert_int_not_equal(bl_hash_mix(1, 2), bl_hash_mix(2, 1));
        assert_int_not_equal(bl_hash_mix(0, 0), bl_hash_mix(0, 1));
        assert_int_not_equal(bl_hash_mix(0, 0), bl_hash_mix(1, 0));
}

static void use_prefix(struct bl_str s, void *arg)
{
        (void)arg;
        bl_hash(1, s);
        bl_hash_lower(1, s);
}

static void reads_nothing_past_the_end(void **state)
{
        (void)state;
        guard_each_prefix(BL_STR("0123456789abcdef0123456789"), use_prefix, NULL);
}

struct item {
        struct bl_hnode node;
        unsigned key;
        bool in;
};

static bool holds(struct bl_htab *t, struct item *it)
{
        unsigned found = 0;
        for (struct bl_hnode *n = bl_htab_first(t, it->node.hash); n; n = bl_htab_next(n)) {
                assert_int_equal(n->hash, it->node.hash);
                found += n == &it->node;
        }
        assert_true(found <= 1);
        return found;
}

static void count_and_mark(struct bl_hnode *n, void *arg)
{
        struct item *it = BL_CONTAINER(n, struct item, node);
        assert_true(it->in);
        ++*(size_t *)arg;
}

/* Random inserts and removals, with phases that mostly grow and mostly shrink it, against one flag per item. */
static void agrees_with_a_model(void **state)
{
        enum { N = 3000 };
        struct rng r = {20240501};
        struct item *items = calloc(N, sizeof(*items));
        struct bl_htab t = {0};
        size_t in = 0, most = 0;
        (void)state;
        for (unsigned i = 0; i < N; i++) /* half of them share their hash with others, or only its low bits */
                items[i].node.hash = i % 2 ? rng_next(&r) : i % 4 ? (uint64_t)i << 40 : i / 16;
        for (unsigned step = 0; step < 60000; step++) {
                bool growing = step / 10000 % 2 == 0;
                struct item *it = &items[rng_below(&r, N)];
                if (!it->in && rng_below(&r, 10) < (growing ? 9 : 2)) {
                        assert_int_equal(bl_htab_insert(&t, &it->node, it->node.hash), 0);
                        it->in = true;
                        in++;
                } else if (it->in && rng_below(&r, 10) < (growing ? 1 : 9)) {
                        bl_htab_remove(&t, &it->node);
                        it->in = false;
                        in--;
                }
                assert_int_equal(t.count, in);
                assert_int_equal(holds(&t, it), it->in);
                assert_true(t.count <= t._buckets || in == 0);
                most = t._buckets > most ? t._buckets : most;
                if (step % 1000 == 0) {
                        size_t seen = 0;
                        for (unsigned i = 0; i < N; i++)
                                assert_int_equal(holds(&t, &items[i]), items[i].in);
                        bl_htab_each(&t, count_and_mark, &seen);
                        assert_int_equal(seen, in);
                }
        }
        assert_true(most > 1500);
        for (unsigned i = 0; i < N; i++) {
                if (items[i].in)
                        bl_htab_remove(&t, &items[i].node);
        }
        assert_int_equal(t.count, 0);
        assert_int_equal(t._buckets, 8);
        bl_htab_fini(&t);
        free(items);
}

static void remove_every_second(struct bl_hnode *n, void *arg)
{
        struct item *it = BL_CONTAINER(n, struct item, node);
        assert_false(it->in); /* visited once */
        it->in = true;
        if (it->key % 8)
                bl_htab_remove(arg, n);
}

static void a_walk_may_remove_what_it_visits(void **state)
{
        enum { N = 1000 };
        struct item *items = calloc(N, sizeof(*items));
        struct bl_htab t = {0};
        (void)state;
        for (unsigned i = 0; i < N; i++) {
                items[i].key = i;
                assert_int_equal(bl_htab_insert(&t, &items[i].node, bl_hash_mix(i, 1)), 0);
        }
        bl_htab_each(&t, remove_every_second, &t);
        for (unsigned i = 0; i < N; i++) {
                assert_true(items[i].in);
                assert_int_equal(holds(&t, &items[i]), i % 8 == 0);
        }
        assert_int_equal(t.count, N / 8);
        assert_true(t._buckets <= N / 4 + 1); /* what the walk put off is made up for */
        bl_htab_fini(&t);
        free(items);
}

static void removing_a_stranger_does_nothing(void **state)
{
        struct bl_htab t = {0};
        struct item a = {0}, b = {0};
        (void)state;
        bl_htab_remove(&t, &a.node);
        assert_null(bl_htab_first(&t, 5));
        assert_int_equal(bl_htab_insert(&t, &a.node, 5), 0);
        b.node.hash = 5;
        bl_htab_remove(&t, &b.node);
        assert_int_equal(t.count, 1);
        assert_ptr_equal(bl_htab_first(&t, 5), &a.node);
        assert_null(bl_htab_next(&a.node));
        bl_htab_fini(&t);
        assert_int_equal(t.count, 0);
        assert_null(t._seg);
}

static void starts_at_zero_allocation_and_oscillates_without(void **state)
{
        static struct item items[64];
        struct bl_htab t = {0};
        (void)state;
        long before = oom_count();
        assert_null(bl_htab_first(&t, 1));
        bl_htab_fini(&t);
        assert_int_equal(oom_count(), before);
        for (unsigned i = 0; i < 33; i++)
                assert_int_equal(bl_htab_insert(&t, &items[i].node, i), 0);
        before = oom_count();
        for (unsigned i = 0; i < 1000; i++) { /* around the edge of a segment, and of the empty table */
                bl_htab_remove(&t, &items[32].node);
                assert_int_equal(bl_htab_insert(&t, &items[32].node, 32), 0);
        }
        assert_int_equal(oom_count(), before);
        bl_htab_fini(&t);
}

static void without_memory_only_the_first_insert_fails(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                static struct item items[200];
                struct bl_htab t = {0};
                unsigned refused = 0;
                memset(items, 0, sizeof(items));
                for (unsigned i = 0; i < 200; i++) {
                        int rc = bl_htab_insert(&t, &items[i].node, i);
                        assert_true(rc == 0 || rc == BL_ENOMEM);
                        refused += rc != 0;
                        items[i].in = rc == 0;
                }
                assert_int_equal(refused, oom_struck() && run.n < 2);
                assert_int_equal(t.count, 200 - refused);
                for (unsigned i = 0; i < 200; i++)
                        assert_int_equal(holds(&t, &items[i]), items[i].in);
                bl_htab_fini(&t);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(two_hashes_are_two),
                cmocka_unit_test(parts_keep_apart),
                cmocka_unit_test(depends_on_seed_content_and_length),
                cmocka_unit_test(folds_case_of_ascii_letters_only),
                cmocka_unit_test(spreads),
                cmocka_unit_test(reads_nothing_past_the_end),
                cmocka_unit_test(agrees_with_a_model),
                cmocka_unit_test(a_walk_may_remove_what_it_visits),
                cmocka_unit_test(removing_a_stranger_does_nothing),
                cmocka_unit_test(starts_at_zero_allocation_and_oscillates_without),
                cmocka_unit_test(without_memory_only_the_first_insert_fails),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
