#include "unit/unit.h"

#include <stdio.h>

#include "io/resume.h"

static void test_the_newest_per_name(void **state)
{
        (void)state;
        struct bl_resume *r = bl_resume_new(1);
        assert_str(bl_resume_get(r, BL_STR("a.example")), "");
        bl_resume_put(r, BL_STR("a.example"), BL_STR("one"));
        bl_resume_put(r, BL_STR("b.example"), BL_STR("other"));
        assert_str(bl_resume_get(r, BL_STR("A.example")), "one");
        bl_resume_put(r, BL_STR("a.example"), BL_STR("two"));
        assert_str(bl_resume_get(r, BL_STR("a.example")), "two");
        bl_resume_put(r, BL_STR("a.example"), BL_STR(""));
        assert_str(bl_resume_get(r, BL_STR("a.example")), "");
        assert_str(bl_resume_get(r, BL_STR("b.example")), "other");
        bl_resume_clear(r);
        assert_str(bl_resume_get(r, BL_STR("b.example")), "");
        bl_resume_free(r);
}

static void test_bounds(void **state)
{
        (void)state;
        static char large[BL_RESUME_OCTETS + 1];
        char name[32];
        struct bl_resume *r = bl_resume_new(1);
        for (unsigned i = 0; i <= BL_RESUME_MAX; i++) {
                snprintf(name, sizeof(name), "n%u", i);
                bl_resume_put(r, bl_str_z(name), bl_str_z(name));
                assert_str(bl_resume_get(r, BL_STR("n0")), "n0"); /* used all the time: it stays */
        }
        assert_str(bl_resume_get(r, BL_STR("n1")), "");
        assert_str(bl_resume_get(r, BL_STR("n2")), "n2");
        bl_resume_put(r, BL_STR("n2"), bl_str_make(large, sizeof(large)));
        assert_str(bl_resume_get(r, BL_STR("n2")), "");
        bl_resume_free(r);
        bl_resume_free(NULL);
        bl_resume_clear(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_newest_per_name),
                cmocka_unit_test(test_bounds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
