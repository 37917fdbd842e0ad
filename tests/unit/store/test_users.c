#include "unit/unit.h"

#include "auth/digest_hash.h"
#include "store/users.h"

static void finds_users(void **state)
{
        char error[200], line[512], hex[BL_DIGEST_HEX];
        struct bl_sb file = BL_SB(line);
        struct bl_credentials c;
        struct bl_str group;
        struct bl_users *u;

        (void)state;
        bl_sb_addz(&file, "# subscribers\n\n");
        bl_users_line(BL_STR("joe"), BL_STR("example.com"), BL_STR("pw"), BL_STR("staff"), &file);
        bl_sb_addz(&file, "\r\n");
        bl_users_line(BL_STR("ann"), BL_STR("example.com"), BL_STR("other"), BL_STR(""), &file);
        bl_sb_addz(&file, "\nold:example.com:8CA523F5E9506FED4657C9700EEBDBEC:");
        u = bl_users_parse(bl_sb_str(&file), error, sizeof(error));
        if (!u)
                fail_msg("%s", error);
        assert_int_equal(bl_users_find(u, BL_STR("joe"), BL_STR("Example.COM"), &c, &group), 0);
        assert_str(group, "staff");
        assert_true(bl_str_eq(bl_str_z(c.ha1_md5), bl_digest_hash_ha1(BL_DIGEST_MD5, BL_STR("joe"),
                                                                      BL_STR("example.com"), BL_STR("pw"), hex)));
        assert_true(bl_str_eq(bl_str_z(c.ha1_sha256), bl_digest_hash_ha1(BL_DIGEST_SHA256, BL_STR("joe"),
                                                                         BL_STR("example.com"), BL_STR("pw"), hex)));
        assert_int_equal(bl_users_find(u, BL_STR("ann"), BL_STR("example.com"), &c, &group), 0);
        assert_int_equal(group.n, 0);
        assert_int_equal(bl_users_find(u, BL_STR("old"), BL_STR("example.com"), &c, &group), 0);
        assert_string_equal(c.ha1_md5, "8ca523f5e9506fed4657c9700eebdbec");
        assert_string_equal(c.ha1_sha256, "");
        assert_int_equal(bl_users_find(u, BL_STR("Joe"), BL_STR("example.com"), &c, &group), BL_ENOENT);
        assert_int_equal(bl_users_find(u, BL_STR("joe"), BL_STR("example.org"), &c, &group), BL_ENOENT);
        bl_users_free(u);
        bl_users_free(NULL);
}

static void errors_name_the_line(void **state)
{
#define MD5 "8ca523f5e9506fed4657c9700eebdbec"
        static const struct {
                const char *text, *error;
        } bad[] = {
                {"joe:example.com:" MD5 "\n", "line 1: too few fields: it is user:domain:MD5:SHA256[:group]"},
                {"#\n\njoe:example.com:" MD5 "::g:x", "line 3: too many fields: it is user:domain:MD5:SHA256[:group]"},
                {":example.com:" MD5 ":", "line 1: the user is empty"},
                {"joe::" MD5 ":", "line 1: the domain is empty"},
                {"joe:example.com:secret:", "line 1: the MD5 hash is not 32 hex digits"},
                {"joe:example.com:" MD5 "0:", "line 1: the MD5 hash is not 32 hex digits"},
                {"joe:example.com::" MD5, "line 1: the SHA-256 hash is not 64 hex digits"},
                {"joe:example.com::", "line 1: neither an MD5 nor a SHA-256 hash"},
                {"joe:example.com:" MD5 ":\njoe:EXAMPLE.com:" MD5 ":", "line 2: this user was given before"},
        };
        char error[200];

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                assert_null(bl_users_parse(bl_str_z(bad[i].text), error, sizeof(error)));
                assert_string_equal(error, bad[i].error);
        }
        bl_users_free(bl_users_parse(BL_STR(""), error, sizeof(error)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_users),
                cmocka_unit_test(errors_name_the_line),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
