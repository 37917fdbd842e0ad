/* The node-wide index from several threads at once: for the tsan preset, and for the claims that keep one owner. */
#include <pthread.h>
#include <stdatomic.h>

#include "txn/internal.h"
#include "unit/unit.h"

enum { THREADS = 4, ROUNDS = 4000, KEYS = 97 };

struct racer {
        pthread_t thread;
        struct env env;
        struct bl_txns t;
        struct bl_txn_entry mine[KEYS];
        unsigned owned, elsewhere;
};
static atomic_int owners[KEYS]; /* how many think that the key is theirs */
static atomic_bool broken;

static struct bl_txn_key key_of(unsigned i)
{
        return (struct bl_txn_key){bl_hash_mix(i, 1), bl_hash_mix(i, 2)};
}

static void owns(unsigned i, int change)
{
        if (atomic_fetch_add(&owners[i], change) + change > 1)
                atomic_store(&broken, true);
}

static void *race(void *arg)
{
        struct racer *r = arg;
        for (unsigned n = 0; n < ROUNDS; n++) {
                unsigned i = (n * 31 + r->env.worker * 7) % KEYS, worker = 99;
                struct bl_txn_entry *e = NULL;
                int found = bl_index_claim(&r->t, key_of(i), &e, &worker);
                if (found == BL_FOUND_NONE) {
                        owns(i, 1);
                        if (n % 3) { /* decided for a transaction */
                                if (bl_index_insert(&r->t, &r->mine[i], key_of(i)) < 0)
                                        atomic_store(&broken, true);
                        } else {
                                owns(i, -1);
                                bl_index_unclaim(&r->t);
                        }
                } else if (found == BL_FOUND_OWN) {
                        r->owned++;
                        if (e != &r->mine[i])
                                atomic_store(&broken, true);
                        owns(i, -1);
                        bl_index_remove(&r->t, e);
                } else {
                        r->elsewhere++;
                        if (found != BL_FOUND_ELSEWHERE || worker >= THREADS || worker == r->env.worker)
                                atomic_store(&broken, true);
                }
        }
        return NULL;
}

static unsigned left;
static void count_left(struct bl_txns *t, struct bl_txn_entry *e)
{
        (void)t, (void)e;
        left++;
}

static void each_key_has_one_owner(void **state)
{
        (void)state;
        static struct racer r[THREADS];
        struct bl_txn_index *x = bl_txn_index_new(42);
        assert_int_equal(bl_index_seed(x), 42);
        for (unsigned i = 0; i < THREADS; i++) {
                r[i].env.worker = (uint16_t)i;
                r[i].t.env = &r[i].env;
                r[i].t.index = x;
        }
        for (unsigned i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(r[i].thread, NULL);
        assert_false(atomic_load(&broken));
        int held = 0;
        for (unsigned i = 0; i < KEYS; i++)
                held += atomic_load(&owners[i]);
        for (unsigned i = 0; i < THREADS; i++) {
                assert_true(r[i].owned > 0);
                bl_index_each_own(&r[i].t, count_left);
        }
        assert_int_equal(left, held);
        for (unsigned i = 0; i < KEYS; i++) { /* all were taken out */
                struct bl_txn_entry *e;
                unsigned w;
                assert_int_equal(bl_index_find(&r[0].t, key_of(i), &e, &w), BL_FOUND_NONE);
        }
        bl_txn_index_free(x);
}

static void a_taken_key_stays_with_its_owner(void **state)
{
        (void)state;
        static struct racer a, b;
        struct bl_txn_index *x = bl_txn_index_new(42);
        struct bl_txn_entry *e = NULL;
        unsigned w = 9;
        a.t = (struct bl_txns){.env = &a.env, .index = x};
        b.env.worker = 1;
        b.t = (struct bl_txns){.env = &b.env, .index = x};
        assert_int_equal(bl_index_claim(&a.t, key_of(1), &e, &w), BL_FOUND_NONE);
        assert_int_equal(bl_index_claim(&b.t, key_of(1), &e, &w), BL_FOUND_ELSEWHERE);
        assert_int_equal(w, 0);
        assert_int_equal(bl_index_insert(&b.t, &b.mine[0], key_of(1)), BL_EPROTO);
        assert_int_equal(bl_index_insert(&a.t, &a.mine[0], key_of(1)), 0);
        bl_index_unclaim(&a.t); /* gave way already */
        assert_int_equal(bl_index_find(&b.t, key_of(1), &e, &w), BL_FOUND_ELSEWHERE);
        assert_int_equal(bl_index_find(&a.t, key_of(1), &e, &w), BL_FOUND_OWN);
        assert_ptr_equal(e, &a.mine[0]);
        struct bl_txn_key half = {key_of(1).hash, key_of(2).check}; /* both halves count */
        assert_int_equal(bl_index_find(&a.t, half, &e, &w), BL_FOUND_NONE);
        bl_index_remove(&a.t, &a.mine[0]);
        assert_int_equal(bl_index_insert(&b.t, &b.mine[0], key_of(1)), 0);
        bl_index_remove(&b.t, &b.mine[0]);
        bl_txn_index_free(x);
        bl_txn_index_free(NULL);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_one_owner),
        cmocka_unit_test(a_taken_key_stays_with_its_owner),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
