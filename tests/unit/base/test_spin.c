#include "base/spin.h"

#include <pthread.h>

#include "unit/unit.h"

enum { THREADS = 4, ROUNDS = 50000 };

static struct bl_spin lock;
static unsigned long shared;

static void *add(void *arg)
{
        (void)arg;
        for (unsigned i = 0; i < ROUNDS; i++) {
                bl_spin_lock(&lock);
                shared++; /* not atomic: a lock that lets two in loses some (and TSan says so) */
                bl_spin_unlock(&lock);
        }
        return NULL;
}

static void lets_one_in_at_a_time(void **state)
{
        pthread_t threads[THREADS];
        (void)state;
        for (unsigned i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, add, NULL), 0);
        for (unsigned i = 0; i < THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(shared, THREADS * ROUNDS);
        assert_int_equal(atomic_load(&lock._held), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lets_one_in_at_a_time),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
