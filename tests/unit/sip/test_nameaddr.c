#include "unit/unit.h"

#include "sip/nameaddr.h"
#include "unit/guard.h"

static const struct {
        const char *in, *display, *uri, *params;
        bool angle;
} good[] = {
        {"<sip:a@b>", "", "sip:a@b", "", true},
        {" Bob  <sip:a@b> ; tag=1 ", "Bob", "sip:a@b", "; tag=1", true},
        {"caller<sip:a@b>;tag=323", "caller", "sip:a@b", ";tag=323", true},
        {"A. G. Bell <sip:a@b;lr?x=y>;q=0.5", "A. G. Bell", "sip:a@b;lr?x=y", ";q=0.5", true},
        {"token1~` token2'+_\r\n token3*%!.- <sip:m@e>", "token1~` token2'+_\r\n token3*%!.-", "sip:m@e", "", true},
        {"\"Bell, \\\"A\\\" <x>\" \t <sip:a@b>", "\"Bell, \\\"A\\\" <x>\"", "sip:a@b", "", true},
        {"\"\" <sip:a@b>", "\"\"", "sip:a@b", "", true},
        {"\"\xe2\x98\x8e\" <sip:a@b>", "\"\xe2\x98\x8e\"", "sip:a@b", "", true},
        {"sip:a@b;tag=x", "", "sip:a@b", ";tag=x", false}, /* RFC 3261 20: a header parameter */
        {"sip:a@b \r\n ; tag = x", "", "sip:a@b", "; tag = x", false},
        {"tel:+1-201-555;tag=x", "", "tel:+1-201-555", ";tag=x", false},
        {"<isbn:2983792873>", "", "isbn:2983792873", "", true},
        {"isbn:2983792873", "", "isbn:2983792873", "", false},
        {"<sip:a@b>;+sip.instance=\"<urn:uuid:1>\";reg-id=1;x=[::1]:5", "", "sip:a@b",
         ";+sip.instance=\"<urn:uuid:1>\";reg-id=1;x=[::1]:5", true},
};

static const char *const bad[] = {
        "",
        "<>",
        "<sip:a@b",
        "sip:a@b>",
        "< sip:a@b>",
        "<sip:a@b >",
        "Bell, A <sip:a@b>",
        "\"x <sip:a@b>",
        "a@b <sip:a@b>",
        "sip:a@b?x=y",
        "sip:a@b,c",
        "<sip:a@b>;",
        "<sip:a@b>;;x",
        "<sip:a@b>x",
        "<sip:a@b>;a=",
        "<sip:a@b>;a=\"x",
        "<sip:a@b> <sip:c@d>",
        "\"x\" sip:a@b",
        "<sip:a@b>;a=b c",
        "*;q=1",
        "**",
        "Bob",
        "<sip:a b@c>",
        "<<sip:a@b>>",
        "\"x\"y <sip:a@b>",
};

static void parses(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(good); i++) {
                struct bl_nameaddr na;

                if (bl_nameaddr_parse(bl_str_z(good[i].in), &na) < 0)
                        fail_msg("%s", good[i].in);
                assert_str(na.display, good[i].display);
                assert_str(na.uri.all, good[i].uri);
                assert_str(na.params, good[i].params);
                assert_int_equal(na.angle, good[i].angle);
                assert_false(na.star);
                assert_true(bl_str_eq(na.all, bl_str_trim(bl_str_z(good[i].in))));
        }
}

static void refuses(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                struct bl_nameaddr na = {.star = true};

                if (bl_nameaddr_parse(bl_str_z(bad[i]), &na) != BL_EMALFORMED)
                        fail_msg("%s", bad[i]);
                assert_true(na.star); /* untouched */
        }
}

static void star_tag_params(void **state)
{
        struct bl_nameaddr na;
        struct bl_str value;

        (void)state;
        assert_int_equal(bl_nameaddr_parse(BL_STR(" * "), &na), 0);
        assert_true(na.star);
        assert_int_equal(bl_nameaddr_tag(&na).n, 0);
        assert_int_equal(bl_nameaddr_parse(BL_STR("<sip:a;tag=no>;x=\"1\";TAG=yes"), &na), 0);
        assert_str(bl_nameaddr_tag(&na), "yes");
        assert_true(bl_nameaddr_param(&na, BL_STR("x"), &value));
        assert_str(value, "\"1\"");
        assert_true(bl_nameaddr_param(&na, BL_STR("x"), NULL));
        assert_false(bl_nameaddr_param(&na, BL_STR("y"), NULL));
        assert_int_equal(bl_nameaddr_parse(BL_STR("sip:a;tag=mine;lr"), &na), 0);
        assert_str(bl_nameaddr_tag(&na), "mine");
        assert_int_equal(na.uri.params.n, 0);
}

static void parse_prefix(struct bl_str prefix, void *arg)
{
        struct bl_nameaddr na;

        (void)arg;
        if (bl_nameaddr_parse(prefix, &na) == 0)
                (void)bl_nameaddr_tag(&na);
}

static void truncated(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(good); i++)
                guard_each_prefix(bl_str_z(good[i].in), parse_prefix, NULL);
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++)
                guard_each_prefix(bl_str_z(bad[i]), parse_prefix, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parses),
                cmocka_unit_test(refuses),
                cmocka_unit_test(star_tag_params),
                cmocka_unit_test(truncated),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
