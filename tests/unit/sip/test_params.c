#include "unit/unit.h"

#include "sip/params.h"
#include "unit/guard.h"

static void walks(void **state)
{
        static const struct {
                const char *in, *out; /* name[=value]| … */
        } rows[] = {
                {"", ""},
                {";a", "a|"},
                {";a=1;b;c=2", "a=1|b|c=2|"},
                {" ; a = 1\r\n ;\tb", "a=1|b|"},
                {";a=\";=,\\\"\";b=<x>", "a=\";=,\\\"\"|b=<x>|"},
                {";a=[::1]:5;b=c:d", "a=[::1]:5|b=c:d|"},
                {";", ""}, /* what follows is malformed and ends the walk */
                {";a;;b", "a|"},
                {";a=\"x;b", ""},
                {"a;b", ""},
                {";a=", "a=|"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct bl_str list = bl_str_z(rows[i].in);
                struct bl_param param;
                char text[256];
                struct bl_sb sb = BL_SB(text);

                while (bl_params_next(&list, &param)) {
                        bl_sb_add(&sb, param.name);
                        bl_sb_addz(&sb, param.has_value ? "=" : "");
                        bl_sb_add(&sb, param.value);
                        bl_sb_addc(&sb, '|');
                }
                assert_str(bl_sb_str(&sb), rows[i].out);
                assert_int_equal(list.n, 0);
        }
}

static void whole(void **state)
{
        struct bl_str list = BL_STR(" ; a = \"1\" ;b");
        struct bl_param param;

        (void)state;
        assert_true(bl_params_next(&list, &param));
        assert_str(param.all, "; a = \"1\"");
        assert_str(list, " ;b");
}

static void gets(void **state)
{
        struct bl_str list = BL_STR(";tag=x;Expires=5;expires=6;lr");
        struct bl_param param;

        (void)state;
        assert_true(bl_params_get(list, BL_STR("EXPIRES"), &param));
        assert_str(param.value, "5");
        assert_true(bl_params_get(list, BL_STR("lr"), &param));
        assert_false(param.has_value);
        assert_false(bl_params_get(list, BL_STR("ta"), &param));
        assert_false(bl_params_get(BL_STR(""), BL_STR("ta"), &param));
}

static void unquotes(void **state)
{
        static const struct {
                const char *in, *out;
        } rows[] = {
                {"", ""},           {"a", "a"},   {"\"\"", ""},         {"\"a b\"", "a b"}, {"\"\\\"\\\\\"", "\"\\"},
                {"\"a\\\"", "a\\"}, {"\"", "\""}, {"a\"b\"", "a\"b\""}, {"\"\\a\"", "a"}};

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                char text[64];
                struct bl_sb sb = BL_SB(text);

                bl_params_unquote(bl_str_z(rows[i].in), &sb);
                assert_str(bl_sb_str(&sb), rows[i].out);
        }
}

static void one_prefix(struct bl_str prefix, void *arg)
{
        struct bl_param param;
        unsigned *n = arg;

        while (bl_params_next(&prefix, &param))
                ++*n;
}

static void truncated(void **state)
{
        unsigned n = 0;

        (void)state;
        guard_each_prefix(BL_STR(" ;a = \"x\\\"y\" \r\n ; b;c=d;lr"), one_prefix, &n);
        assert_true(n > 20);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(walks),    cmocka_unit_test(whole),     cmocka_unit_test(gets),
                cmocka_unit_test(unquotes), cmocka_unit_test(truncated),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
