#include "base/err.h"

#include <errno.h>

#include "unit/unit.h"

static void every_error_has_its_own_text(void **state)
{
        (void)state;
        for (int a = BL_EREFUSED; a <= BL_EMORE; a++) {
                assert_string_not_equal(bl_err_text(a), "unknown error");
                for (int b = BL_EREFUSED; b < a; b++)
                        assert_string_not_equal(bl_err_text(a), bl_err_text(b));
        }
}

static void system_errors_and_unknown_ones(void **state)
{
        (void)state;
        assert_string_equal(bl_err_text(-ECONNREFUSED), "Connection refused");
        assert_string_equal(bl_err_text(0), "success");
        assert_string_equal(bl_err_text(17), "success");
        assert_string_equal(bl_err_text(-999), "unknown error");
        assert_string_equal(bl_err_text(BL_EREFUSED - 1), "unknown error");
        assert_string_equal(bl_err_text(INT32_MIN), "unknown error");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_error_has_its_own_text),
                cmocka_unit_test(system_errors_and_unknown_ones),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
