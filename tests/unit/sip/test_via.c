#include "unit/unit.h"

#include "sip/via.h"
#include "unit/guard.h"

static const struct {
        const char *in, *transport, *host, *sent_by, *branch, *received;
        unsigned port;
        int rport; /* -1 none */
} good[] = {
        {"SIP/2.0/UDP a.example.com", "UDP", "a.example.com", "a.example.com", "", "", 0, -1},
        {"SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKx", "TLS", "192.0.2.1", "192.0.2.1:5061", "z9hG4bKx", "", 5061, -1},
        {"SIP/2.0/UDP [2001:db8::9]:6050;rport;branch=b", "UDP", "[2001:db8::9]", "[2001:db8::9]:6050", "b", "", 6050,
         0},
        {"SIP/2.0/WSS x.invalid;RECEIVED=192.0.2.9;rport=99;maddr=1.2.3.4;ttl=1", "WSS", "x.invalid", "x.invalid", "",
         "192.0.2.9", 0, 99},
        {" SIP  /\t2.0\r\n /UDP\r\n    192.0.2.2 : 5060 ; branch = 390skdjuw ", "UDP", "192.0.2.2", "192.0.2.2 : 5060",
         "390skdjuw", "", 5060, -1},
        {"SIP/2.0/UDP [::1];received=[2001:db8::9:255]", "UDP", "[::1]", "[::1]", "", "[2001:db8::9:255]", 0, -1},
        {"SIP/2.0/UDP [::1];received=2001:db8::9:255;x=\"a;b,c\"", "UDP", "[::1]", "[::1]", "", "2001:db8::9:255", 0,
         -1},
        {"SIP/2.0/SCTP h;branch=z9hG4bK", "SCTP", "h", "h", "z9hG4bK", "", 0, -1},
        {"SIP/7.0/UDP h", "UDP", "h", "h", "", "", 0, -1},
};

static const char *const bad[] = {
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 UDP h",
        "SIP/2.0/UDP h;;",
        "SIP/2.0/UDP h;",
        "/2.0/UDP h",
        "SIP//UDP h",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:0",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h i",
        "SIP/2.0/UDP ::1",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP h;a=",
        "SIP/2.0/UDP h;a=\"x",
        "SIP/2.0/UDP h;rport=0",
        "SIP/2.0/UDP h;rport=x",
        "SIP/2.0/UDP h;rport=70000",
        "SIP/2.0/UDP h;a b",
        "SIP/2.0/UDPh",
        "SIP/2.0/UDP 300.1.1.1",
        "SIP/2.0/UDP h, SIP/2.0/UDP i",
        "SIP/2.0/UDP h\r\n",
};

static void parses(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(good); i++) {
                struct bl_via v;

                if (bl_via_parse(bl_str_z(good[i].in), &v) < 0)
                        fail_msg("%s", good[i].in);
                assert_str(v.transport, good[i].transport);
                assert_str(v.host, good[i].host);
                assert_str(v.sent_by, good[i].sent_by);
                assert_str(v.branch, good[i].branch);
                assert_str(v.received, good[i].received);
                assert_int_equal(v.port, good[i].port);
                assert_int_equal(v.has_rport ? v.rport : -1, good[i].rport);
                assert_int_equal(v.rfc3261, strcmp(good[i].branch, "z9hG4bKx") == 0);
        }
}

static void refuses(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(bad) - 1; i++) {
                struct bl_via v;

                if (bl_via_parse(bl_str_z(bad[i]), &v) != BL_EMALFORMED)
                        fail_msg("%s", bad[i]);
        }
}

static void has_params(void **state)
{
        struct bl_via v;
        struct bl_str value;

        (void)state;
        assert_int_equal(bl_via_parse(BL_STR("SIP/2.0/UDP h;sticky;alias;x=y;maddr=m"), &v), 0);
        assert_true(bl_via_param(&v, BL_STR("sticky"), NULL));
        assert_true(bl_via_param(&v, BL_STR("X"), &value));
        assert_str(value, "y");
        assert_str(v.maddr, "m");
        assert_false(bl_via_param(&v, BL_STR("stick"), NULL));
}

/* RFC 3261 18.2.1, RFC 3581 4 */
static void sources(void **state)
{
        static const struct bl_addr v4 = {.family = 4, .ip = {192, 0, 2, 1}, .port = 4000};
        static const struct bl_addr v6 = {.family = 6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}, .port = 4000};
        static const struct {
                const char *in;
                const struct bl_addr *source;
                const char *out;
        } rows[] = {
                {"SIP/2.0/UDP 192.0.2.1;branch=b", &v4, "SIP/2.0/UDP 192.0.2.1;branch=b"},
                {"SIP/2.0/UDP 192.0.2.1;branch=b;rport", &v4,
                 "SIP/2.0/UDP 192.0.2.1;branch=b;received=192.0.2.1;rport=4000"},
                {"SIP/2.0/UDP h;rport;branch=b", &v4, "SIP/2.0/UDP h;branch=b;received=192.0.2.1;rport=4000"},
                {"SIP/2.0/UDP h:1;branch=b", &v4, "SIP/2.0/UDP h:1;branch=b;received=192.0.2.1"},
                {"SIP/2.0/UDP h;received=6.6.6.6;x;rport=7", &v4, "SIP/2.0/UDP h;x;received=192.0.2.1;rport=4000"},
                {"SIP/2.0/UDP 192.0.2.1;received=6.6.6.6", &v4, "SIP/2.0/UDP 192.0.2.1"},
                {"SIP/2.0/UDP [2001:DB8::0:1]", &v6, "SIP/2.0/UDP [2001:DB8::0:1]"},
                {"SIP/2.0/UDP [::1]", &v6, "SIP/2.0/UDP [::1];received=2001:db8::1"},
        };

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct bl_via v, again;
                char text[256];
                struct bl_sb sb = BL_SB(text);

                assert_int_equal(bl_via_parse(bl_str_z(rows[i].in), &v), 0);
                bl_via_put_source(&sb, &v, rows[i].source);
                assert_str(bl_sb_str(&sb), rows[i].out);
                assert_int_equal(bl_via_parse(bl_sb_str(&sb), &again), 0);
                assert_true(sb.n <= v.all.n + BL_VIA_SOURCE_MAX);
        }
}

static void parse_prefix(struct bl_str prefix, void *arg)
{
        struct bl_via v;

        (void)arg;
        if (bl_via_parse(prefix, &v) == 0)
                assert_true(v.host.n > 0);
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
                cmocka_unit_test(parses),  cmocka_unit_test(refuses),   cmocka_unit_test(has_params),
                cmocka_unit_test(sources), cmocka_unit_test(truncated),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
