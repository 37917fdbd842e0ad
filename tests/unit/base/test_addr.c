#include "base/addr.h"

#include "base/base.h"
#include "unit/guard.h"
#include "unit/unit.h"

static struct bl_addr addr(const char *text)
{
        struct bl_addr a;
        assert_int_equal(bl_addr_parse_port(bl_str_z(text), 0, &a), 0);
        return a;
}

static void assert_text(const struct bl_addr *a, const char *want)
{
        char mem[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(mem);
        bl_addr_put(&b, a);
        assert_false(b.over);
        assert_str(bl_sb_str(&b), want);
}

/* What is read, and how it is written again (RFC 5952). */
static void reads_and_writes(void **state)
{
        static const struct {
                const char *in, *out;
        } table[] = {
                {"0.0.0.0", "0.0.0.0"},
                {"127.0.1.1", "127.0.1.1"},
                {"255.255.255.255", "255.255.255.255"},
                {"127.0.1.1:5060", "127.0.1.1:5060"},
                {"127.0.1.1:65535", "127.0.1.1:65535"},
                {"::", "[::]"},
                {"::1", "[::1]"},
                {"[::1]", "[::1]"},
                {"[::1]:5061", "[::1]:5061"},
                {"1::", "[1::]"},
                {"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]"},
                {"2001:0db8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]"},  /* the first of two equal runs */
                {"2001:db8:0:1:0:0:0:1", "[2001:db8:0:1::1]"},     /* the longest run */
                {"2001:db8::1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]"}, /* one group is not shortened */
                {"1:2:3:4:5:6:7::", "[1:2:3:4:5:6:7:0]"},
                {"::2:3:4:5:6:7:8", "[0:2:3:4:5:6:7:8]"},
                {"1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]"},
                {"fe80::1%3", "[fe80::1%3]"},
                {"[fe80::1%4294967295]:5060", "[fe80::1%4294967295]:5060"},
                {"::ffff:192.0.2.1", "[::ffff:192.0.2.1]"},
                {"::ffff:c000:201", "[::ffff:192.0.2.1]"},
                {"64:ff9b::192.0.2.33", "[64:ff9b::c000:221]"},
                {"1:2:3:4:5:6:1.2.3.4", "[1:2:3:4:5:6:102:304]"},
                {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295",
                 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]"},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++) {
                struct bl_addr a = addr(table[i].in), again;
                assert_text(&a, table[i].out);
                assert_int_equal(bl_addr_parse_port(bl_str_z(table[i].out), 0, &again), 0);
                assert_true(bl_addr_eq(&a, &again));
                assert_memory_equal(&a, &again, sizeof(a)); /* no stray octets: it is hashed as a whole */
        }
}

static void refuses(void **state)
{
        static const char *const bad[] = {
                "",
                ".",
                "1",
                "1.2.3",
                "1.2.3.",
                "1.2.3.4.",
                "1.2.3.4.5",
                ".1.2.3",
                "1..2.3",
                "256.1.1.1",
                "01.2.3.4",
                "1.2.3.0x4",
                "1.2.3.4 ",
                " 1.2.3.4",
                "-1.2.3.4",
                "1.2.3.4:",
                "1.2.3.4:x",
                "1.2.3.4:65536",
                "1.2.3.4:-1",
                "[1.2.3.4]",
                ":",
                ":::",
                ":1",
                "1:",
                "1:2:3:4:5:6:7",
                "1:2:3:4:5:6:7:8:9",
                "1:2:3:4:5:6:7:8::",
                "::1:2:3:4:5:6:7:8",
                "1::2::3",
                "12345::",
                "g::",
                "::g",
                "1.2.3.4::",
                "::1.2.3",
                "::1.2.3.4:5",
                "1:2:3:4:5:6:7:1.2.3.4",
                "fe80::1%",
                "fe80::1%eth0",
                "fe80::1%4294967296",
                "[",
                "]",
                "[]",
                "[::1",
                "::1]",
                "[::1]5060",
                "[::1]:",
                "[::1]:x",
                "[::1]:65536",
                "[[::1]]",
                "[::1]]",
                "host",
                "localhost:5060",
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                struct bl_addr a = {.family = 77};
                if (bl_addr_parse_port(bl_str_z(bad[i]), 5060, &a) != BL_EMALFORMED)
                        fail_msg("accepted \"%s\"", bad[i]);
                assert_int_equal(a.family, 77);
        }
        struct bl_addr a;
        assert_int_equal(bl_addr_parse(BL_STR("1.2.3.4:5060"), &a), BL_EMALFORMED);
        assert_int_equal(bl_addr_parse(BL_STR("[::1]:5060"), &a), BL_EMALFORMED);
}

static void default_port(void **state)
{
        struct bl_addr a;
        (void)state;
        assert_int_equal(bl_addr_parse_port(BL_STR("127.0.0.1"), 5060, &a), 0);
        assert_int_equal(a.port, 5060);
        assert_int_equal(bl_addr_parse_port(BL_STR("127.0.0.1:0"), 5060, &a), 0);
        assert_int_equal(a.port, 0);
        assert_int_equal(bl_addr_parse_port(BL_STR("[::1]"), 5060, &a), 0);
        assert_int_equal(a.port, 5060);
        assert_int_equal(bl_addr_parse(BL_STR("127.0.0.1"), &a), 0);
        assert_int_equal(a.port, 0);
}

static void compares_and_hashes(void **state)
{
        static const char *const different[] = {"1.2.3.4:1",       "1.2.3.4:2", "1.2.3.5:1", "[102:304::]:1",
                                                "[102:304::%1]:1", "[::1]:1",   "1.2.3.4"};
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(different); i++) {
                struct bl_addr a = addr(different[i]), same = addr(different[i]);
                assert_true(bl_addr_eq(&a, &same));
                assert_int_equal(bl_addr_hash(7, &a), bl_addr_hash(7, &same));
                assert_int_not_equal(bl_addr_hash(7, &a), bl_addr_hash(8, &a));
                for (size_t j = 0; j < i; j++) {
                        struct bl_addr b = addr(different[j]);
                        assert_false(bl_addr_eq(&a, &b));
                        assert_int_not_equal(bl_addr_hash(7, &a), bl_addr_hash(7, &b));
                }
        }
        struct bl_addr a = addr("1.2.3.4:1"), b = addr("1.2.3.4:2");
        assert_true(bl_addr_eq_ip(&a, &b));
}

static void writes_without_port_and_nothing_at_all(void **state)
{
        char mem[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(mem);
        struct bl_addr a = addr("[::1]:5060"), none = {0};
        (void)state;
        bl_addr_put_ip(&b, &a);
        assert_str(bl_sb_str(&b), "[::1]");
        assert_text(&none, "-");
        a.scope = UINT32_MAX;
        memset(a.ip, 0xff, 16);
        a.port = 65535;
        assert_text(&a, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void ranges(void **state)
{
        static const struct {
                const char *net, *in, *out;
        } table[] = {
                {"127.0.2.0/24", "127.0.2.255", "127.0.3.0"},
                {"127.0.2.7/24", "127.0.2.255", "127.0.3.0"}, /* what is beyond the bits does not matter */
                {"127.0.2.1", "127.0.2.1:99", "127.0.2.2"},
                {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
                {"10.128.0.0/9", "10.128.0.1", "10.127.255.255"},
                {"192.0.2.252/31", "192.0.2.253", "192.0.2.254"},
                {"0.0.0.0/0", "255.1.2.3", "::"},
                {"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
                {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
                {"::/0", "::1", "1.2.3.4"},
                {"fe80::1", "fe80::1%4", "fe80::2"},
                {"fe80::%3/10", "fe80::9%3", "fe80::9%4"},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++) {
                struct bl_net net;
                struct bl_addr in = addr(table[i].in), out = addr(table[i].out);
                assert_int_equal(bl_net_parse(bl_str_z(table[i].net), &net), 0);
                if (!bl_net_has(&net, &in) || bl_net_has(&net, &out))
                        fail_msg("%s: %s must be in, %s out", table[i].net, table[i].in, table[i].out);
        }
        static const char *const bad[] = {"",   "/",       "1.2.3.4/",    "1.2.3.4/33",  "::/129",
                                          "/8", "1.2.3/8", "1.2.3.4:1/8", "1.2.3.4/8/8", "::/-1"};
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                struct bl_net net;
                assert_int_equal(bl_net_parse(bl_str_z(bad[i]), &net), BL_EMALFORMED);
        }
}

static void transports(void **state)
{
        static const struct {
                enum bl_tp tp;
                const char *name, *param;
                int port;
                bool stream, secure;
        } table[] = {
                {BL_UDP, "UDP", "udp", 5060, false, false}, {BL_TCP, "TCP", "tcp", 5060, true, false},
                {BL_TLS, "TLS", "tls", 5061, true, true},   {BL_WS, "WS", "ws", 80, true, false},
                {BL_WSS, "WSS", "ws", 443, true, true},
        };
        enum bl_tp tp;
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++) {
                assert_str(bl_tp_name(table[i].tp), table[i].name);
                assert_str(bl_tp_param(table[i].tp), table[i].param);
                assert_int_equal(bl_tp_default_port(table[i].tp), table[i].port);
                assert_int_equal(bl_tp_is_stream(table[i].tp), table[i].stream);
                assert_int_equal(bl_tp_is_secure(table[i].tp), table[i].secure);
                assert_int_equal(bl_tp_from(bl_str_z(table[i].name), &tp), 0);
                assert_int_equal(tp, table[i].tp);
        }
        assert_int_equal(bl_tp_from(BL_STR("wS"), &tp), 0);
        assert_int_equal(tp, BL_WS);
        assert_int_equal(bl_tp_from(BL_STR("sctp"), &tp), BL_ENOENT);
        assert_int_equal(bl_tp_from(BL_STR(""), &tp), BL_ENOENT);
}

static void use_prefix(struct bl_str s, void *arg)
{
        struct bl_addr a;
        struct bl_net net;
        (void)arg;
        (void)!bl_addr_parse(s, &a);
        (void)!bl_addr_parse_port(s, 1, &a);
        (void)!bl_net_parse(s, &net);
}

static void reads_nothing_past_the_end(void **state)
{
        (void)state;
        guard_each_prefix(BL_STR("[1:2:3:4:5:6:255.255.255.255%12]:5060"), use_prefix, NULL);
        guard_each_prefix(BL_STR("ffff::ffff:1.2.3.4/128"), use_prefix, NULL);
        guard_each_prefix(BL_STR("255.255.255.255:65535"), use_prefix, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_and_writes),
                cmocka_unit_test(refuses),
                cmocka_unit_test(default_port),
                cmocka_unit_test(compares_and_hashes),
                cmocka_unit_test(writes_without_port_and_nothing_at_all),
                cmocka_unit_test(ranges),
                cmocka_unit_test(transports),
                cmocka_unit_test(reads_nothing_past_the_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
