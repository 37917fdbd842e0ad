#include "unit/guard.h"
#include "unit/unit.h"

#include "base/dhcp.h"

#define IN(lit)                                                                                                        \
        {                                                                                                              \
                lit, sizeof(lit) - 1                                                                                   \
        } /* in tables */
#define RAW(lit) bl_str_make(lit, sizeof(lit) - 1)

/* The list as URIs, one a line. */
static void assert_list(const struct bl_dhcp_sip *l, const char *want)
{
        char text[2048];
        struct bl_sb b = BL_SB(text);
        for (unsigned i = 0; i < l->n; i++) {
                bl_dhcp_put_uri(&l->at[i], &b);
                bl_sb_addc(&b, ' ');
        }
        assert_str(bl_sb_str(&b), want);
}

#define EDGE "\4edge\7example\3com\0"
#define B_EXAMPLE "\1b\7example\3com\0"

/* ---- option 120 ---- */

static const struct {
        struct bl_str option;
        const char *want; /* NULL: malformed */
} FOUR[] = {
        {{"\0" EDGE, sizeof EDGE}, "sip:edge.example.com;lr "},
        {{"\0" EDGE B_EXAMPLE, sizeof EDGE + sizeof B_EXAMPLE - 1}, "sip:edge.example.com;lr sip:b.example.com;lr "},
        {IN("\0\4edge\7example\3com\0\1b\xc0\5"), "sip:edge.example.com;lr sip:b.example.com;lr "}, /* as dnsmasq */
        {IN("\0\4edge\7example\3com\0\xc0\0"), "sip:edge.example.com;lr sip:edge.example.com;lr "},
        {IN("\1\xc0\0\2\1"), "sip:192.0.2.1;lr "},
        {IN("\1\xc0\0\2\1\xc0\0\2\2"), "sip:192.0.2.1;lr sip:192.0.2.2;lr "},
        {IN(""), NULL},
        {IN("\0"), NULL},
        {IN("\1"), NULL},
        {IN("\2\xc0\0\2\1"), NULL}, /* no such encoding */
        {IN("\1\xc0\0\2"), NULL},   /* not whole addresses */
        {IN("\1\xc0\0\2\1\1"), NULL},
        {IN("\0\0"), NULL},       /* the root */
        {IN("\0\4edge"), NULL},   /* no end */
        {IN("\0\5edge\0"), NULL}, /* over its end */
        {IN("\0\4ed>e\0"), NULL}, /* would end the URI */
        {IN("\0\4e;lr\0"), NULL},
        {IN("\0\5-edge\0"), NULL},
        {IN("\0\5edge-\0"), NULL},
        {IN("\0\1\0\0"), NULL},
        {IN("\0\100edge\0"), NULL},        /* RFC 1035: 01 and 10 are reserved */
        {IN("\0\xc0\0"), NULL},            /* at itself */
        {IN("\0\4edge\xc0\0"), NULL},      /* a loop */
        {IN("\0\4edge\0\1b\xc0\7"), NULL}, /* forward */
        {IN("\0\4edge\xc0"), NULL},
        {IN("\0\4edge\xc0\1\0"), NULL},
};

static void nothing_over_the_end(struct bl_str prefix, void *arg)
{
        struct bl_dhcp_sip l = {0};
        (void)arg;
        (void)bl_dhcp_sip4(prefix, &l);
        (void)bl_dhcp_sip6_names(prefix, &l);
        (void)bl_dhcp_sip6_addrs(prefix, &l);
}

static void test_option_120(void **state)
{
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(FOUR); i++) {
                struct bl_dhcp_sip l = {0};
                int rc = bl_dhcp_sip4(FOUR[i].option, &l);
                if (rc != (FOUR[i].want ? 0 : BL_EMALFORMED))
                        fail_msg("option %u: %d", i, rc);
                assert_list(&l, FOUR[i].want ? FOUR[i].want : "");
                guard_each_prefix(FOUR[i].option, nothing_over_the_end, NULL);
        }
}

static void test_what_is_too_long_or_too_many(void **state)
{
        (void)state;
        char in[1024];
        struct bl_sb b = BL_SB(in);
        struct bl_dhcp_sip l = {0};
        bl_sb_addc(&b, 1);
        for (char i = 1; i <= 20; i++)
                bl_sb_add(&b, bl_str_make((char[]){10, 0, 0, i}, 4));
        assert_int_equal(bl_dhcp_sip4(bl_sb_str(&b), &l), 0);
        assert_int_equal(l.n, BL_DHCP_SERVERS);
        for (unsigned labels = 1; labels < 9; labels++) { /* 63 and its dot each: 4 make 255 */
                b.n = 0;
                bl_sb_addc(&b, 0);
                for (unsigned i = 0; i < labels; i++) {
                        bl_sb_addc(&b, i < 3 ? 63 : 61);
                        for (unsigned k = 0; k < (i < 3 ? 63 : 61); k++)
                                bl_sb_addc(&b, 'x');
                }
                bl_sb_addc(&b, 0);
                l.n = 0;
                assert_int_equal(bl_dhcp_sip4(bl_sb_str(&b), &l), labels <= 4 ? 0 : BL_EMALFORMED);
                if (labels == 4)
                        assert_int_equal(l.at[0].name_len, BL_DHCP_NAME_MAX);
        }
}

static void test_options_21_and_22(void **state)
{
        (void)state;
        struct bl_dhcp_sip l = {0};
        assert_int_equal(bl_dhcp_sip6_names(RAW(EDGE B_EXAMPLE), &l), 0);
        assert_int_equal(bl_dhcp_sip6_addrs(RAW("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), &l), 0);
        assert_list(&l, "sip:edge.example.com;lr sip:b.example.com;lr sip:[2001:db8::1];lr ");
        assert_int_equal(bl_dhcp_sip6_names(RAW(EDGE "\xc0\0"), &l), BL_EMALFORMED); /* RFC 8415 section 10 */
        assert_int_equal(bl_dhcp_sip6_names(RAW(""), &l), BL_EMALFORMED);
        assert_int_equal(bl_dhcp_sip6_addrs(RAW(""), &l), BL_EMALFORMED);
        assert_int_equal(bl_dhcp_sip6_addrs(RAW("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0"), &l), BL_EMALFORMED);
        assert_int_equal(l.n, 3);
}

/* ---- messages ---- */

static const struct bl_dhcp_ask ASK = {.xid = {1, 2, 3, 4},
                                       .hw = {2, 0, 0, 0, 0, 9},
                                       .hw_len = 6,
                                       .hw_type = 1,
                                       .own = {.family = 4, .ip = {192, 0, 2, 77}}};

static void test_inform(void **state)
{
        (void)state;
        char out[BL_DHCP_PACKET];
        struct bl_sb b = BL_SB(out);
        bl_dhcp_put_inform(&ASK, &b);
        assert_false(b.over);
        assert_int_equal(b.n, 300); /* BOOTP relays drop shorter ones */
        assert_memory_equal(out, "\1\1\6\0\1\2\3\4\0\0\0\0\xc0\0\2\x4d\0\0\0\0", 20);
        assert_memory_equal(out + 28, "\2\0\0\0\0\x9\0\0\0\0\0\0\0\0\0\0", 16);
        assert_memory_equal(out + 236, "\x63\x82\x53\x63\x35\1\x8\x37\1\x78", 10);
}

static struct bl_str ack(char *mem, struct bl_str options, struct bl_str file, struct bl_str sname)
{
        memset(mem, 0, 240);
        mem[0] = 2;
        memcpy(mem + 4, ASK.xid, 4);
        memcpy(mem + 28, ASK.hw, 16);
        memcpy(mem + 44, sname.p, sname.n);
        memcpy(mem + 108, file.p, file.n);
        memcpy(mem + 236, "\x63\x82\x53\x63", 4);
        memcpy(mem + 240, options.p, options.n);
        return bl_str_make(mem, 240 + options.n);
}

static void take_prefix(struct bl_str prefix, void *arg)
{
        struct bl_dhcp_sip l = {0};
        (void)arg;
        (void)bl_dhcp_take_ack(prefix, &ASK, &l);
        (void)bl_dhcp_take_reply6(prefix, &ASK, &l);
}

static void test_ack(void **state)
{
        (void)state;
        static const struct {
                struct bl_str options, file, sname;
                int rc;
                const char *want;
        } t[] = {
                {IN("\x35\1\5\x78\5\1\xc0\0\2\1\xff"), IN(""), IN(""), 0, "sip:192.0.2.1;lr "},
                {IN("\0\0\x78\5\1\xc0\0\2\1\x35\1\5"), IN(""), IN(""), 0, "sip:192.0.2.1;lr "},       /* no end */
                {IN("\x35\1\5\x78\3\1\xc0\0\x78\2\2\1\xff"), IN(""), IN(""), 0, "sip:192.0.2.1;lr "}, /* RFC 3396 */
                {IN("\x35\1\5\x34\1\1\xff"), IN("\x78\5\1\xc0\0\2\2\xff"), IN(""), 0, "sip:192.0.2.2;lr "},
                {IN("\x35\1\5\x34\1\2\xff"), IN(""), IN("\x78\5\1\xc0\0\2\3\xff"), 0, "sip:192.0.2.3;lr "},
                {IN("\x35\1\5\x34\1\3\xff"), IN("\x78\5\1\xc0\0\2\4\xff"), IN("\x78\4\xc0\0\2\5\xff"), 0,
                 "sip:192.0.2.4;lr sip:192.0.2.5;lr "},
                {IN("\x35\1\5\xff"), IN("\x78\5\1\xc0\0\2\2\xff"), IN(""), BL_ENOENT, ""}, /* not overloaded */
                {IN("\x35\1\5\xff"), IN(""), IN(""), BL_ENOENT, ""},
                {IN("\x35\1\6\x78\5\1\xc0\0\2\1\xff"), IN(""), IN(""), BL_EPROTO, ""}, /* a NAK */
                {IN("\x78\5\1\xc0\0\2\1\xff"), IN(""), IN(""), BL_EPROTO, ""},         /* BOOTP */
                {IN("\x35\1\5\x78\5\1\xc0\0\2"), IN(""), IN(""), BL_EMALFORMED, ""},
                {IN("\x35\1\5\x78"), IN(""), IN(""), BL_EMALFORMED, ""},
                {IN("\x35\1\5\x78\4\1\xc0\0\2\xff"), IN(""), IN(""), BL_EMALFORMED, ""},
        };
        char mem[600];
        struct bl_dhcp_sip l = {0};
        for (unsigned i = 0; i < BL_ARRAY_LEN(t); i++) {
                l.n = 0;
                struct bl_str p = ack(mem, t[i].options, t[i].file, t[i].sname);
                int rc = bl_dhcp_take_ack(p, &ASK, &l);
                if (rc != t[i].rc)
                        fail_msg("ack %u: %d", i, rc);
                assert_list(&l, t[i].want);
                guard_each_prefix(p, take_prefix, NULL);
        }
        struct bl_str p = ack(mem, t[0].options, t[0].file, t[0].sname);
        static const unsigned not_ours[] = {0, 4, 7, 28, 33}; /* a request; other xid; other hardware address */
        for (unsigned i = 0; i < BL_ARRAY_LEN(not_ours); i++) {
                mem[not_ours[i]] ^= 1;
                assert_int_equal(bl_dhcp_take_ack(p, &ASK, &l), BL_EPROTO);
                mem[not_ours[i]] ^= 1;
        }
        mem[236] ^= 1;
        assert_int_equal(bl_dhcp_take_ack(p, &ASK, &l), BL_EMALFORMED);
}

#define REPLY "\7\1\2\3"
#define CLIENT "\0\1\0\xa\0\3\0\1\2\0\0\0\0\x9"
#define NAMES6 "\0\x15\0\x12" EDGE
#define ADDRS6 "\0\x16\0\x10\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"

static void test_information_request_and_reply(void **state)
{
        (void)state;
        char out[BL_DHCP_PACKET];
        struct bl_sb b = BL_SB(out);
        bl_dhcp_put_inform6(&ASK, &b);
        static const char want[] = "\xb\1\2\3" CLIENT "\0\6\0\4\0\x15\0\x16\0\x8\0\2\0\0";
        assert_int_equal(b.n, sizeof want - 1);
        assert_memory_equal(out, want, sizeof want - 1);
        static const struct {
                struct bl_str in;
                int rc;
                const char *want;
        } t[] = {
                {IN(REPLY CLIENT NAMES6 ADDRS6), 0, "sip:edge.example.com;lr sip:[2001:db8::1];lr "},
                {IN(REPLY ADDRS6 NAMES6), 0, "sip:edge.example.com;lr sip:[2001:db8::1];lr "}, /* names first */
                {IN(REPLY CLIENT ADDRS6), 0, "sip:[2001:db8::1];lr "},
                {IN(REPLY CLIENT), BL_ENOENT, ""},
                {IN(REPLY "\0\xd\0\2\0\1" ADDRS6), BL_ENOENT, ""}, /* it failed */
                {IN(REPLY "\0\xd\0\2\0\0" ADDRS6), 0, "sip:[2001:db8::1];lr "},
                {IN("\7\1\2\4" ADDRS6), BL_EPROTO, ""},
                {IN("\2\1\2\3" ADDRS6), BL_EPROTO, ""}, /* an Advertise */
                {IN(REPLY "\0\1\0\2\0\3" ADDRS6), BL_EPROTO, ""},
                {IN(REPLY "\0\x16\0\xf\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0"), BL_EMALFORMED, ""},
                {IN(REPLY "\0\x16\0\x11\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), BL_EMALFORMED, ""},
                {IN(REPLY "\0\x16"), BL_EMALFORMED, ""},
                {IN("\7\1\2"), BL_EMALFORMED, ""},
        };
        for (unsigned i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct bl_dhcp_sip l = {0};
                int rc = bl_dhcp_take_reply6(t[i].in, &ASK, &l);
                if (rc != t[i].rc)
                        fail_msg("reply %u: %d", i, rc);
                assert_list(&l, t[i].want);
                guard_each_prefix(t[i].in, take_prefix, NULL);
        }
}

/* ---- lease files ---- */

static void test_lease_of_networkd(void **state)
{
        (void)state;
        struct bl_dhcp_sip l = {0};
        assert_int_equal(bl_dhcp_lease_networkd(BL_STR("# This is private data. Do not parse.\nADDRESS=192.0.2.77\n"
                                                       "DNS=192.0.2.9\nSIP=192.0.2.1 192.0.2.2\nXSIP=192.0.2.3\n"),
                                                &l),
                         0);
        assert_list(&l, "sip:192.0.2.1;lr sip:192.0.2.2;lr ");
        assert_int_equal(bl_dhcp_lease_networkd(BL_STR("SIP=2001:db8::1 edge.example.com a;b"), &l), 0);
        assert_list(&l, "sip:[2001:db8::1];lr sip:edge.example.com;lr ");
        assert_int_equal(bl_dhcp_lease_networkd(BL_STR("SIP=192.0.1 192.0.2.256 a.1 -a a..b 1.a"), &l), 0);
        assert_list(&l, "sip:1.a;lr ");
        assert_int_equal(bl_dhcp_lease_networkd(BL_STR("ADDRESS=192.0.2.77\nSIP=\n"), &l), BL_ENOENT);
        assert_int_equal(bl_dhcp_lease_networkd(BL_STR(""), &l), BL_ENOENT);
}

/* As dhclient 4.4 writes them. */
#define LEASE4(interface, option, expire)                                                                              \
        "lease {\n  interface \"" interface "\";\n  fixed-address 192.0.2.77;\n  option routers 192.0.2.9;\n" option   \
        "  renew 0 2026/11/22 19:58:06;\n  rebind 0 2026/11/22 20:23:38;\n" expire "}\n"
#define NAMES4 "  option unknown-120 0:4:65:64:67:65:7:65:78:61:6d:70:6c:65:3:63:6f:6d:0;\n"
#define ADDRS4 "  option sip-proxy 1:c0:0:2:1;\n"
#define UNTIL "  expire 0 2026/11/22 20:31:08;\n"
#define UNTIL_WALL 1795379468
#define LEASE6                                                                                                         \
        "default-duid \"\\000\\001\\\"}\";\nlease6 {\n  interface \"eth0\";\n  ia-na c6:f7:c7:22 {\n    starts "       \
        "1795375875;\n    renew 1800;\n    iaaddr 2001:db8::141 {\n      starts 1795375875;\n      preferred-life "    \
        "3600;\n      max-life 3600;\n    }\n  }\n  option dhcp6.sip-servers-names \"edge.example.com.\", "            \
        "\"b.example.com.\";\n  option dhcp6.sip-servers-addresses 2001:db8::5,2001:db8::6;\n}\n"

static void lease_prefix(struct bl_str prefix, void *arg)
{
        struct bl_dhcp_sip l = {0};
        (void)arg;
        (void)bl_dhcp_lease_dhclient(prefix, BL_STR("eth0"), 0, &l);
        (void)bl_dhcp_lease_networkd(prefix, &l);
}

static void test_lease_of_dhclient(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int64_t wall;
                const char *want;
        } t[] = {
                {LEASE4("eth0", NAMES4, UNTIL), UNTIL_WALL - 1, "sip:edge.example.com;lr "},
                {LEASE4("eth0", ADDRS4, UNTIL), UNTIL_WALL - 1, "sip:192.0.2.1;lr "},
                {LEASE4("eth0", ADDRS4, UNTIL), UNTIL_WALL, ""},
                {LEASE4("eth0", ADDRS4, "  expire never;\n"), 9999999999, "sip:192.0.2.1;lr "},
                {LEASE4("eth0", ADDRS4, "  expire epoch 1795379468; # Sun Nov 22\n"), UNTIL_WALL, ""},
                {LEASE4("eth1", ADDRS4, UNTIL), 0, ""},
                {LEASE4("eth0", NAMES4, UNTIL) LEASE4("eth0", ADDRS4, UNTIL), 0, "sip:192.0.2.1;lr "},
                {LEASE4("eth0", NAMES4, UNTIL) LEASE4("eth1", ADDRS4, UNTIL), 0, "sip:edge.example.com;lr "},
                {LEASE4("eth0", NAMES4, UNTIL) LEASE4("eth0", "", UNTIL), 0, ""}, /* the later one says nothing */
                {LEASE4("eth0", "  option sip-proxy 1:c0:0:2;\n", UNTIL), 0, ""},
                {LEASE4("eth0", "  option sip-proxy 1:c0:0:2:1ff;\n", UNTIL), 0, ""},
                {LEASE4("eth0", "  option sip-proxy 1:c0:0:2:;\n", UNTIL), 0, ""},
                {"lease {\n  interface \"eth0\";\n" ADDRS4, 0, ""}, /* being written */
                {LEASE6, 1795375875 + 3599,
                 "sip:edge.example.com;lr sip:b.example.com;lr sip:[2001:db8::5];lr "
                 "sip:[2001:db8::6];lr "},
                {LEASE6, 1795375875 + 3600, ""},
                {"}}}{;{\"", 0, ""},
        };
        for (unsigned i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct bl_dhcp_sip l = {0};
                int rc = bl_dhcp_lease_dhclient(bl_str_z(t[i].text), BL_STR("eth0"), t[i].wall, &l);
                if (rc != (*t[i].want ? 0 : BL_ENOENT))
                        fail_msg("lease %u: %d", i, rc);
                assert_list(&l, t[i].want);
                guard_each_prefix(bl_str_z(t[i].text), lease_prefix, NULL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_option_120),
                cmocka_unit_test(test_what_is_too_long_or_too_many),
                cmocka_unit_test(test_options_21_and_22),
                cmocka_unit_test(test_inform),
                cmocka_unit_test(test_ack),
                cmocka_unit_test(test_information_request_and_reply),
                cmocka_unit_test(test_lease_of_networkd),
                cmocka_unit_test(test_lease_of_dhclient),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
