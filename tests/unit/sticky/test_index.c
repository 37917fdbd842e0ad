/* The index against a list, through growing and shrinking, with few hashes and with many. */
#include "unit/unit.h"

#include <stdlib.h>

#include "base/hash.h"
#include "sticky/index.h"
#include "unit/oom.h"
#include "unit/rng.h"

enum { NODES = 5000 };

struct model {
        struct index x;
        struct inode node[NODES];
        bool there[NODES];
        uint64_t hash[NODES];
};

static unsigned count(struct model *m, uint64_t hash, bool mark[NODES])
{
        struct index_pos pos;
        unsigned n = 0;

        for (struct inode *at = stk_index_first(&m->x, hash, &pos); at; at = stk_index_next(&pos)) {
                size_t i = (size_t)(at - m->node);

                assert_true(i < NODES && m->there[i] && m->hash[i] == hash && !mark[i]);
                mark[i] = true;
                n++;
        }
        return n;
}

static void check(struct model *m)
{
        static bool mark[NODES];
        unsigned there = 0;

        memset(mark, 0, sizeof(mark));
        for (unsigned i = 0; i < NODES; i++)
                there += m->there[i];
        assert_int_equal(m->x.count, there);
        for (unsigned i = 0; i < NODES; i++)
                if (m->there[i] && !mark[i])
                        (void)count(m, m->hash[i], mark);
        for (unsigned i = 0; i < NODES; i++)
                assert_int_equal(mark[i], m->there[i]);
}

static void run(uint64_t seed, uint64_t hashes, unsigned fail_one_in)
{
        struct model *m = calloc(1, sizeof(*m));
        struct rng r = {seed};

        assert_non_null(m);
        for (unsigned step = 0; step < 60000; step++) {
                /* tides, so that it grows large and empties again */
                bool rising = step / 6000 % 2 == 0;
                unsigned i = (unsigned)rng_below(&r, NODES), j = (unsigned)rng_below(&r, NODES);

                if (fail_one_in && rng_below(&r, fail_one_in) == 0)
                        oom_fail_at(0);
                if (!m->there[i] && rng_below(&r, 4) < (rising ? 4 : 1)) {
                        m->hash[i] = bl_hash_mix(rng_below(&r, hashes), 1);
                        int rc = stk_index_add(&m->x, &m->node[i], m->hash[i], (uint16_t)i);

                        assert_true(rc == 0 || oom_struck());
                        m->there[i] = rc == 0;
                } else if (m->there[i] && !m->there[j] && rng_below(&r, 8) == 0) {
                        stk_index_replace(&m->x, &m->node[i], &m->node[j]);
                        m->there[i] = false;
                        m->there[j] = true;
                        m->hash[j] = m->hash[i];
                } else if (m->there[i] && rng_below(&r, 4) < (rising ? 1 : 4)) {
                        stk_index_remove(&m->x, &m->node[i]);
                        m->there[i] = false;
                }
                oom_stop();
                if (step % 1500 == 0)
                        check(m);
        }
        for (unsigned i = 0; i < NODES; i++)
                if (m->there[i])
                        stk_index_remove(&m->x, &m->node[i]);
        assert_int_equal(m->x.count, 0);
        assert_true(m->x._lines <= 4); /* it gave back what it took */
        stk_index_fini(&m->x);
        free(m);
}

static void many_hashes(void **state)
{
        (void)state;
        run(1, UINT64_MAX, 0);
        run(2, 5000, 0);
}
static void few_hashes(void **state)
{
        (void)state;
        run(3, 40, 0);
}
static void without_memory(void **state)
{
        (void)state;
        run(4, 3000, 3);
        run(5, 100, 3);
}

static void empty(void **state)
{
        struct index x = {0};
        struct index_pos pos;
        struct inode n = {7};

        (void)state;
        assert_null(stk_index_first(&x, 7, &pos));
        assert_null(stk_index_next(&pos));
        stk_index_remove(&x, &n);
        stk_index_fini(&x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(empty),
                cmocka_unit_test(many_hashes),
                cmocka_unit_test(few_hashes),
                cmocka_unit_test(without_memory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
