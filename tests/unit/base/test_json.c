#include "base/json.h"

#include "unit/unit.h"

static void writes_objects(void **state)
{
        char buf[256];
        struct bl_sb b = BL_SB(buf);
        (void)state;
        struct bl_json j = bl_json_begin(&b);
        assert_true(bl_json_end(&j));
        j = bl_json_begin(&b);
        bl_json_strz(&j, "a", "x\"\\\n\x01");
        bl_json_int(&j, "b", -5);
        bl_json_bool(&j, "c", true);
        bl_json_str(&j, "d", BL_STR("\xff\xc3\xa9\xc2\x85"));
        assert_true(bl_json_end(&j));
        assert_str(bl_sb_str(&b),
                   "{}\n{\"a\":\"x\\\"\\\\\\n\\u0001\",\"b\":-5,\"c\":true,\"d\":\"\\ufffd\xc3\xa9\\u0085\"}\n");
}

static void what_does_not_fit_leaves_nothing(void **state)
{
        char buf[16];
        struct bl_sb b = BL_SB(buf);
        (void)state;
        struct bl_json j = bl_json_begin(&b);
        bl_json_int(&j, "a", 1);
        assert_true(bl_json_end(&j));
        j = bl_json_begin(&b);
        bl_json_strz(&j, "a", "too long for it");
        assert_false(bl_json_end(&j));
        assert_str(bl_sb_str(&b), "{\"a\":1}\n");
        assert_false(b.over);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(writes_objects),
                                           cmocka_unit_test(what_does_not_fit_leaves_nothing)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
