#include "unit/unit.h"

#include "sip/scan.h"
#include "unit/guard.h"

#define DIGIT "0123456789"
#define HEX DIGIT "abcdefABCDEF"
#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALPHANUM ALPHA DIGIT
#define UNRESERVED ALPHANUM "-_.!~*'()"
#define TOKEN ALPHANUM "-.!%*_+`'~"

/* RFC 3261 25.1, written out again. */
static const struct {
        unsigned class;
        const char *members;
} classes[] = {
        {C_TOKEN, TOKEN},
        {C_USER, UNRESERVED "&=+$,;?/"},
        {C_PASS, UNRESERVED "&=+$,"},
        {C_PARAM, UNRESERVED "[]/:&+$"},
        {C_HNV, UNRESERVED "[]/?:+$"},
        {C_LABEL, ALPHANUM "-_"},
        {C_GEN, TOKEN "[]:"},
        {C_HEX, HEX},
        {C_DIGIT, DIGIT},
        {C_ALPHA, ALPHA},
        {C_TEL, HEX "*#-.()+"},
};

static void table(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(classes); i++)
                for (int c = 0; c < 256; c++)
                        assert_int_equal(bl_is((char)c, classes[i].class),
                                         c != 0 && strchr(classes[i].members, c) != NULL);
        for (int c = 0; c < 256; c++) {
                assert_int_equal(bl_is((char)c, C_URIC), c > 0x20 && c < 0x7f && !strchr("<>\"", c));
                assert_int_equal(bl_is((char)c, C_VISIBLE), c > 0x20 && c != 0x7f);
                assert_int_equal(bl_is((char)c, C_PLAIN), c != ',' && c != '<' && c != '"');
        }
}

/* Where `fn` stops, or -1. */
static void quoted(void **state)
{
        static const struct {
                const char *in;
                int stop;
        } rows[] = {
                {"\"\"", 2},      {"\"a b\"c", 5},     {"\"\\\"\" x", 4},     {"\"\\\\\"", 4},    {"\"", -1},
                {"\"a", -1},      {"\"a\\", -1},       {"\"a\\\"", -1},       {"\"a\r\n b\"", 7}, {"\"a\r\nb\"", -1},
                {"\"a\nb\"", -1}, {"\"\\\r\n \"", -1}, {"\"\t\x80\xff\"", 5}, {"\"\x01\"", -1},   {"\"\\\x01\"", 4},
                {"\"\x7f\"", -1}, {"\"\\\x7f\"", 4},
        };
        struct guard *g = guard_new(64);

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct bl_str s = guard_str(g, bl_str_z(rows[i].in));
                const char *p = bl_scan_quoted(s.p, s.p + s.n);

                if ((p ? (int)(p - s.p) : -1) != rows[i].stop)
                        fail_msg("%s: %d", rows[i].in, p ? (int)(p - s.p) : -1);
        }
        assert_ptr_equal(bl_scan_quoted("\"\\\0\"", "\"\\\0\"" + 4) ? "yes" : NULL, "yes"); /* an escaped NUL */
        guard_free(g);
}

/* Whatever stands wherever: as octet by octet. */
static void quoted_at_any_place(void **state)
{
        (void)state;
        for (size_t at = 1; at < 40; at++) {
                for (int c = 0; c < 256; c++) {
                        char text[41];
                        memset(text, 'x', sizeof(text));
                        text[0] = text[40] = '"';
                        text[at] = (char)c;
                        const char *end = bl_scan_quoted(text, text + sizeof(text));
                        bool bad = (c < 0x20 && c != '\t') || c == 0x7f || (c == '\\' && at == 39);
                        if (bad)
                                assert_true(end == NULL);
                        else
                                assert_ptr_equal(end, c == '"' ? text + at + 1 : text + sizeof(text));
                }
        }
}

static void white_space(void **state)
{
        static const struct {
                const char *in;
                int stop;
        } rows[] = {{"", 0},      {"a", 0},           {" \t a", 3}, {"\r\n a", 3},
                    {"\r\na", 0}, {" \r\n\r\n a", 1}, {"\r\n", 0},  {"\r\n \r\n\t x", 7},
                    {"\n a", 0},  {"\r a", 0}};
        struct guard *g = guard_new(64);

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct bl_str s = guard_str(g, bl_str_z(rows[i].in));

                assert_int_equal(bl_scan_lws(s.p, s.p + s.n) - s.p, rows[i].stop);
        }
        guard_free(g);
}

static void hosts(void **state)
{
        static const struct {
                const char *in;
                int stop;
                enum bl_host_kind kind;
        } rows[] = {
                {"example.com;x", 11, BL_HOST_NAME},
                {"a", 1, BL_HOST_NAME},
                {"example.com.", 12, BL_HOST_NAME},
                {"a_b.c", 5, BL_HOST_NAME},
                {"1a.2b:5", 5, BL_HOST_NAME},
                {"192.0.2.1:5060", 9, BL_HOST_V4},
                {"0.0.0.0", 7, BL_HOST_V4},
                {"255.255.255.255", 15, BL_HOST_V4},
                {"[::1]:5060", 5, BL_HOST_V6},
                {"[2001:db8::10:5070]", 19, BL_HOST_V6},
                {"[::ffff:192.0.2.1]", 18, BL_HOST_V6},
                {"", -1, 0},
                {"-a", -1, 0},
                {".a", -1, 0},
                {"a..b", -1, 0},
                {"192.0.2", -1, 0},
                {"192.0.2.256", -1, 0},
                {"1.2.3.4.5", -1, 0},
                {"1.2.3.4.", -1, 0},
                {"12345", -1, 0},
                {"1.2.3.0004", -1, 0},
                {"[::1", -1, 0},
                {"[]", -1, 0},
                {"[1.2.3.4]", -1, 0},
                {"[::1%eth0]", -1, 0},
                {"[2001:db8:::1.2.3.4]", -1, 0},
        };
        struct guard *g = guard_new(64);

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct bl_str s = guard_str(g, bl_str_z(rows[i].in)), host;
                enum bl_host_kind kind;
                const char *p = bl_scan_host(s.p, s.p + s.n, &host, &kind);

                if ((p ? (int)(p - s.p) : -1) != rows[i].stop || (p && kind != rows[i].kind))
                        fail_msg("%s: %d", rows[i].in, p ? (int)(p - s.p) : -1);
                if (p)
                        assert_int_equal(host.n, rows[i].stop);
        }
        guard_free(g);
}

static void ports(void **state)
{
        static const struct {
                const char *in;
                int stop, port;
        } rows[] = {{"5060;", 4, 5060},
                    {"0", 1, 0},
                    {"65535", 5, 65535},
                    {"65536", 5, 0},
                    {"99999999999999999999", 20, 0},
                    {"", -1, 0},
                    {"x", -1, 0},
                    {"00005060", 8, 5060}};

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                uint16_t port = 1;
                const char *end = rows[i].in + strlen(rows[i].in), *p = bl_scan_port(rows[i].in, end, &port);

                assert_int_equal(p ? (int)(p - rows[i].in) : -1, rows[i].stop);
                if (p)
                        assert_int_equal(port, rows[i].port);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(table),       cmocka_unit_test(quoted), cmocka_unit_test(quoted_at_any_place),
                cmocka_unit_test(white_space), cmocka_unit_test(hosts),  cmocka_unit_test(ports),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
