#include "base/stats.h"

#include "base/base.h"
#include "unit/oom.h"
#include "unit/unit.h"

static void counts_by_name_and_label(void **state)
{
        struct bl_stats *s = bl_stats_new();
        char name[] = "belay_edge_requests_total"; /* the same text at another address is the same counter */
        (void)state;
        struct bl_counter *a = bl_stats_counter(s, "belay_edge_requests_total", "method", "INVITE");
        struct bl_counter *b = bl_stats_counter(s, "belay_edge_requests_total", "method", "BYE");
        struct bl_counter *c = bl_stats_counter(s, "belay_edge_flows", NULL, NULL);
        assert_ptr_equal(bl_stats_counter(s, name, "method", "INVITE"), a);
        assert_ptr_equal(bl_stats_counter(s, "belay_edge_flows", NULL, NULL), c);
        assert_true(a != b && b != c);
        bl_count(a);
        bl_count_n(a, 4);
        bl_count(b);
        bl_gauge_set(c, 7);
        bl_gauge_set(c, 6);
        assert_int_equal(bl_stats_get(s, name, "INVITE"), 5);
        assert_int_equal(bl_stats_get(s, name, "BYE"), 1);
        assert_int_equal(bl_stats_get(s, name, "ACK"), 0);
        assert_int_equal(bl_stats_get(s, name, NULL), 6);
        assert_int_equal(bl_stats_get(s, "belay_edge_flows", NULL), 6);
        assert_int_equal(bl_stats_get(s, "belay_edge", NULL), 0);
        unsigned n = 0;
        for (const struct bl_counter *i = bl_stats_first(s); i; i = i->_next)
                n++;
        assert_int_equal(n, 3);
        bl_stats_free(s);
        bl_stats_free(NULL);
}

static void counting_nowhere_is_harmless(void **state)
{
        (void)state;
        bl_count(bl_stats_counter(NULL, "belay_x_total", NULL, NULL));
        assert_null(bl_stats_first(NULL));
        assert_int_equal(bl_stats_get(NULL, "belay_x_total", NULL), 0);
}

static void without_memory_a_spare_counts(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                struct bl_stats *s = bl_stats_new();
                struct bl_counter *a = bl_stats_counter(s, "belay_x_total", NULL, NULL);
                bl_count(a);
                assert_int_equal(bl_stats_get(s, "belay_x_total", NULL), !oom_struck());
                if (s && oom_struck()) { /* later it works, from zero */
                        bl_count(bl_stats_counter(s, "belay_x_total", NULL, NULL));
                        assert_int_equal(bl_stats_get(s, "belay_x_total", NULL), 1);
                }
                bl_stats_free(s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(counts_by_name_and_label),
                cmocka_unit_test(counting_nowhere_is_harmless),
                cmocka_unit_test(without_memory_a_spare_counts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
