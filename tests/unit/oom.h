/*
 * Failing allocations. Every malloc, calloc, realloc, aligned_alloc, posix_memalign, strdup and strndup of the code
 * under test (what is linked statically: the core, not shared libraries) goes through oom.c, which hands it on to the
 * real one unless told otherwise. Counted per thread. Use:
 *
 *      OOM_EACH(run) {                       // run 0: the first allocation fails, run 1: the second …
 *              int rc = thing_new(&t);       // … until a run needs no more allocations than were let through
 *              if (oom_struck())
 *                      assert_int_equal(rc, BL_ENOMEM);
 *              else
 *                      assert_int_equal(rc, 0);
 *              thing_free(t);                // leaks are found by the asan preset
 *      }
 */
#pragma once
#include <stdbool.h>

void oom_fail_at(long n); /* the n-th allocation from now on fails (0 = the next), and only that one */
void oom_stop(void);      /* none fails any more */
bool oom_struck(void);    /* since oom_fail_at an allocation has failed */
long oom_count(void);     /* allocations of this thread asked for since its start, failed ones included */

/* The same for what is asked of one pool: it keeps what it once got from the heap, so the heap's failures are rare. */
struct bl_pool;
void oom_pool_fail_at(const struct bl_pool *p, long n); /* NULL: none fails any more */
bool oom_pool_struck(void);

struct oom_run {
        long n; /* the allocation that fails in this run */
        bool begun;
};
bool oom_next(struct oom_run *r);
#define OOM_EACH(run) for (struct oom_run run = {0}; oom_next(&run);)
