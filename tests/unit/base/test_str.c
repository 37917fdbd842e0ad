#include "base/str.h"

#include "base/base.h"
#include "unit/guard.h"
#include "unit/unit.h"

static void compares_without_case(void **state)
{
        (void)state;
        assert_true(bl_str_ieq(BL_STR("Via"), BL_STR("vIA")));
        assert_true(bl_str_ieq(BL_STR(""), (struct bl_str){NULL, 0}));
        assert_false(bl_str_ieq(BL_STR("Via"), BL_STR("Vi")));
        assert_false(
                bl_str_ieq(BL_STR("@[`{"), BL_STR("`{@["))); /* the neighbours of the letters keep their case bit */
        assert_false(bl_str_ieq(BL_STR("\xc3"), BL_STR("\xe3"))); /* ASCII only */
}

static void orders(void **state)
{
        static const struct {
                const char *a, *b;
                int want;
        } table[] = {{"", "", 0},     {"a", "", 1},     {"", "a", -1},    {"ab", "abc", -1},
                     {"b", "abc", 1}, {"\xff", "a", 1}, {"abc", "abc", 0}};
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++)
                assert_int_equal(bl_str_cmp(bl_str_z(table[i].a), bl_str_z(table[i].b)), table[i].want);
        assert_int_equal(bl_str_cmp((struct bl_str){NULL, 0}, (struct bl_str){NULL, 0}), 0);
}

static void starts_trims_finds(void **state)
{
        (void)state;
        assert_true(bl_str_starts(BL_STR("z9hG4bKx"), BL_STR("z9hG4bK")));
        assert_true(bl_str_starts(BL_STR("a"), BL_STR("")));
        assert_false(bl_str_starts(BL_STR("z9hG4b"), BL_STR("z9hG4bK")));
        assert_str(bl_str_trim(BL_STR(" \t\r\n a b \r\n\t ")), "a b");
        assert_str(bl_str_trim(BL_STR(" \t ")), "");
        assert_str(bl_str_trim((struct bl_str){NULL, 0}), "");
        assert_int_equal(bl_str_find(BL_STR("a;b;"), ';'), 1);
        assert_int_equal(bl_str_find(BL_STR("ab"), ';'), -1);
        assert_int_equal(bl_str_find((struct bl_str){NULL, 0}, ';'), -1);
}

static void cuts(void **state)
{
        struct bl_str a, b;
        (void)state;
        assert_true(bl_str_cut(BL_STR("k=v=w"), '=', &a, &b));
        assert_str(a, "k");
        assert_str(b, "v=w");
        assert_true(bl_str_cut(BL_STR("="), '=', &a, &b));
        assert_str(a, "");
        assert_str(b, "");
        assert_false(bl_str_cut(BL_STR("kv"), '=', &a, &b));
        assert_str(a, "kv");
        assert_int_equal(b.n, 0);
        struct bl_str s = BL_STR("x/y"); /* an output may be the input */
        assert_true(bl_str_cut(s, '/', &a, &s));
        assert_str(s, "y");
}

static void numbers(void **state)
{
        static const struct {
                const char *text;
                int rc64, rc32;
                uint64_t value;
        } table[] = {
                {"0", 0, 0, 0},
                {"00", 0, 0, 0},
                {"4294967295", 0, 0, UINT32_MAX},
                {"4294967296", 0, BL_ELIMIT, 4294967296u},
                {"18446744073709551615", 0, BL_ELIMIT, UINT64_MAX},
                {"18446744073709551616", BL_ELIMIT, BL_ELIMIT, 0},
                {"99999999999999999999999999", BL_ELIMIT, BL_ELIMIT, 0},
                {"99999999999999999999999999x", BL_EMALFORMED, BL_EMALFORMED, 0},
                {"", BL_EMALFORMED, BL_EMALFORMED, 0},
                {"+1", BL_EMALFORMED, BL_EMALFORMED, 0},
                {"-1", BL_EMALFORMED, BL_EMALFORMED, 0},
                {" 1", BL_EMALFORMED, BL_EMALFORMED, 0},
                {"1 ", BL_EMALFORMED, BL_EMALFORMED, 0},
                {"1:", BL_EMALFORMED, BL_EMALFORMED, 0},
                {"1/", BL_EMALFORMED, BL_EMALFORMED, 0},
                {"\xb1", BL_EMALFORMED, BL_EMALFORMED, 0},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++) {
                uint64_t v64 = 77;
                uint32_t v32 = 77;
                assert_int_equal(bl_str_u64(bl_str_z(table[i].text), &v64), table[i].rc64);
                assert_int_equal(v64, table[i].rc64 == 0 ? table[i].value : 77);
                assert_int_equal(bl_str_u32(bl_str_z(table[i].text), &v32), table[i].rc32);
                assert_int_equal(v32, table[i].rc32 == 0 ? table[i].value : 77);
        }
}

static void writer_stops_at_its_end(void **state)
{
        char mem[8];
        struct bl_sb b = {mem, 0, 4, false};
        (void)state;
        memset(mem, '#', sizeof(mem));
        bl_sb_addz(&b, "abc");
        assert_false(b.over);
        bl_sb_addz(&b, "de"); /* all or nothing */
        assert_true(b.over);
        assert_str(bl_sb_str(&b), "abc");
        bl_sb_addc(&b, 'f'); /* would fit, but must not hide the gap */
        assert_str(bl_sb_str(&b), "abc");
        assert_memory_equal(mem, "abc#####", 8);
        b = (struct bl_sb){mem, 0, 4, false};
        bl_sb_addz(&b, "abcd");
        bl_sb_add(&b, (struct bl_str){NULL, 0});
        assert_false(b.over);
        assert_str(bl_sb_str(&b), "abcd");
}

static void writes_numbers_and_encodings(void **state)
{
        char mem[64];
        struct bl_sb b = BL_SB(mem);
        (void)state;
        bl_sb_addu(&b, 0);
        bl_sb_addc(&b, ' ');
        bl_sb_addu(&b, UINT64_MAX);
        assert_str(bl_sb_str(&b), "0 18446744073709551615");
        b.n = 0;
        bl_sb_hex(&b, "\x00\x9f\xff", 3);
        assert_str(bl_sb_str(&b), "009fff");
        b.n = 0;
        bl_sb_fmt(&b, "%s=%d", "n", -5);
        assert_str(bl_sb_str(&b), "n=-5");
}

/* RFC 4648 section 10, and the two digits in which the alphabets differ. */
static void base64_both_ways(void **state)
{
        static const struct {
                const char *plain, *padded, *url;
        } table[] = {
                {"", "", ""},
                {"f", "Zg==", "Zg"},
                {"fo", "Zm8=", "Zm8"},
                {"foo", "Zm9v", "Zm9v"},
                {"foob", "Zm9vYg==", "Zm9vYg"},
                {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                {"\xfb\xff\xbf", "+/+/", "-_-_"},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++) {
                char mem[16], back[16];
                struct bl_sb b = BL_SB(mem);
                size_t n = strlen(table[i].plain);
                bl_sb_b64(&b, table[i].plain, n);
                assert_str(bl_sb_str(&b), table[i].padded);
                b.n = 0;
                bl_sb_b64url(&b, table[i].plain, n);
                assert_str(bl_sb_str(&b), table[i].url);
                assert_int_equal(bl_b64url_decode(bl_sb_str(&b), back, n), n);
                assert_memory_equal(back, table[i].plain, n);
                if (n) {
                        assert_int_equal(bl_b64url_decode(bl_sb_str(&b), back, n - 1), BL_ELIMIT);
                        b = (struct bl_sb){mem, 0, strlen(table[i].padded) - 1, false};
                        bl_sb_b64(&b, table[i].plain, n);
                        assert_true(b.over);
                        assert_int_equal(b.n, 0);
                }
        }
}

static void base64_refuses(void **state)
{
        static const char *const bad[] = {"A",    "AAAAA", "Zg==", "Zh",    "Zm9",
                                          "A+AA", "A/AA",  "A AA", "A\nAA", "\301AAA"};
        uint8_t out[16];
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++)
                assert_int_equal(bl_b64url_decode(bl_str_z(bad[i]), out, sizeof(out)), BL_EMALFORMED);
}

static void hex_both_ways(void **state)
{
        uint8_t out[4];
        (void)state;
        assert_int_equal(bl_hex_decode(BL_STR("00fFaB9"), out, 4), BL_EMALFORMED);
        assert_int_equal(bl_hex_decode(BL_STR("00fFaB99"), out, 4), 4);
        assert_memory_equal(out, "\x00\xff\xab\x99", 4);
        assert_int_equal(bl_hex_decode(BL_STR("00fFaB99"), out, 3), BL_ELIMIT);
        assert_int_equal(bl_hex_decode(BL_STR("0g"), out, 4), BL_EMALFORMED);
        assert_int_equal(bl_hex_decode(BL_STR("g0"), out, 4), BL_EMALFORMED);
        assert_int_equal(bl_hex_decode(BL_STR(":0"), out, 4), BL_EMALFORMED);
        assert_int_equal(bl_hex_decode(BL_STR(""), out, 0), 0);
}

static void formats_up_to_the_end(void **state)
{
        char mem[600], big[400];
        (void)state;
        memset(big, 'x', sizeof(big));
        struct bl_sb b = {mem, 0, 4, false};
        bl_sb_fmt(&b, "%d", 1234); /* short pieces may fill it to the last octet */
        assert_false(b.over);
        assert_str(bl_sb_str(&b), "1234");
        bl_sb_fmt(&b, "%s", "");
        assert_false(b.over);
        b = (struct bl_sb){mem, 0, 401, false};
        bl_sb_fmt(&b, "%.400s", big);
        assert_false(b.over);
        assert_int_equal(b.n, 400);
        assert_memory_equal(mem, big, 400);
        b = (struct bl_sb){mem, 0, 300, false};
        memset(mem, '#', sizeof(mem));
        bl_sb_fmt(&b, "%.400s", big);
        assert_true(b.over);
        assert_int_equal(b.n, 0);
        assert_int_equal(mem[0], '#');
}

static void use_prefix(struct bl_str s, void *arg)
{
        uint8_t out[64];
        uint64_t v;
        struct bl_str a, b;
        (void)arg;
        bl_b64url_decode(s, out, sizeof(out));
        bl_hex_decode(s, out, sizeof(out));
        (void)!bl_str_u64(s, &v);
        bl_str_trim(s);
        bl_str_cut(s, '~', &a, &b);
        bl_str_ieq(s, s);
}

static void reads_nothing_past_the_end(void **state)
{
        (void)state;
        guard_each_prefix(BL_STR("0123456789abcdefABCDEF0123456789"), use_prefix, NULL);
        guard_each_prefix(BL_STR("      \r\n    "), use_prefix, NULL);
        guard_each_prefix(BL_STR("99999999999999999999999999999"), use_prefix, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(compares_without_case),
                cmocka_unit_test(orders),
                cmocka_unit_test(starts_trims_finds),
                cmocka_unit_test(cuts),
                cmocka_unit_test(numbers),
                cmocka_unit_test(writer_stops_at_its_end),
                cmocka_unit_test(writes_numbers_and_encodings),
                cmocka_unit_test(base64_both_ways),
                cmocka_unit_test(base64_refuses),
                cmocka_unit_test(hex_both_ways),
                cmocka_unit_test(formats_up_to_the_end),
                cmocka_unit_test(reads_nothing_past_the_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
