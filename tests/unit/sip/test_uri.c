#include "unit/unit.h"

#include "sip/uri.h"
#include "unit/guard.h"

static const struct {
        const char *in;
        enum bl_scheme scheme;
        const char *user, *password, *host, *params, *headers;
        unsigned port;
        enum bl_host_kind kind;
} good[] = {
        {"sip:a@b", BL_SCHEME_SIP, "a", "", "b", "", "", 0, BL_HOST_NAME},
        {"sip:b", BL_SCHEME_SIP, "", "", "b", "", "", 0, BL_HOST_NAME},
        {"SIPS:b.example.com:5061;lr", BL_SCHEME_SIPS, "", "", "b.example.com", ";lr", "", 5061, BL_HOST_NAME},
        {"sip:alice:secret!@192.0.2.1:5060", BL_SCHEME_SIP, "alice", "secret!", "192.0.2.1", "", "", 5060, BL_HOST_V4},
        {"sip:alice:@h", BL_SCHEME_SIP, "alice", "", "h", "", "", 0, BL_HOST_NAME},
        {"sip:a;b=c?d/e+f$g,h&i=j@h", BL_SCHEME_SIP, "a;b=c?d/e+f$g,h&i=j", "", "h", "", "", 0, BL_HOST_NAME},
        {"sip:%00%40@h", BL_SCHEME_SIP, "%00%40", "", "h", "", "", 0, BL_HOST_NAME},
        {"sip:joe+i+e1+e3+mac@edge.example.com;lr;ob", BL_SCHEME_SIP, "joe+i+e1+e3+mac", "", "edge.example.com",
         ";lr;ob", "", 0, BL_HOST_NAME},
        {"sip:u@[2001:db8::1]:5070;transport=tcp?subject=x&to=y%20z", BL_SCHEME_SIP, "u", "", "[2001:db8::1]",
         ";transport=tcp", "?subject=x&to=y%20z", 5070, BL_HOST_V6},
        {"sip:h;maddr=[::1];m%61=%41/b:c&d+e$f", BL_SCHEME_SIP, "", "", "h", ";maddr=[::1];m%61=%41/b:c&d+e$f", "", 0,
         BL_HOST_NAME},
        {"sip:h?x=", BL_SCHEME_SIP, "", "", "h", "", "?x=", 0, BL_HOST_NAME},
        {"tel:+1-201-555-0123;phone-context=x", BL_SCHEME_TEL, "+1-201-555-0123", "", "", ";phone-context=x", "", 0, 0},
        {"tel:*67#", BL_SCHEME_TEL, "*67#", "", "", "", "", 0, 0},
        {"urn:service:sos", BL_SCHEME_OTHER, "", "", "", "", "", 0, 0},
        {"soap.beep://192.0.2.103:3002", BL_SCHEME_OTHER, "", "", "", "", "", 0, 0},
};

static const struct {
        const char *in;
        int rc;
} bad[] = {
        {"", BL_EMALFORMED},
        {"sip", BL_EMALFORMED},
        {"sip:", BL_EMALFORMED},
        {":x", BL_EMALFORMED},
        {"1sip:x", BL_EMALFORMED},
        {"sip:@h", BL_EMALFORMED},
        {"sip::p@h", BL_EMALFORMED},
        {"sip:a@", BL_EMALFORMED},
        {"sip:a@b@c", BL_EMALFORMED},
        {"sip:a b@c", BL_EMALFORMED},
        {"sip:a@b ", BL_EMALFORMED},
        {" sip:a@b", BL_EMALFORMED},
        {"sip:a%4@b", BL_EMALFORMED},
        {"sip:a%zz@b", BL_EMALFORMED},
        {"sip:a\"b@c", BL_EMALFORMED},
        {"sip:h:", BL_EMALFORMED},
        {"sip:h:x", BL_EMALFORMED},
        {"sip:h:0", BL_EPROTO},
        {"sip:h:65536", BL_EPROTO},
        {"sip:h;", BL_EMALFORMED},
        {"sip:h;a=", BL_EMALFORMED},
        {"sip:h;;a", BL_EMALFORMED},
        {"sip:h;a=b=c", BL_EMALFORMED},
        {"sip:h?", BL_EMALFORMED},
        {"sip:h?x", BL_EMALFORMED},
        {"sip:h?=x", BL_EMALFORMED},
        {"sip:h?x=y&", BL_EMALFORMED},
        {"sip:2001:db8::1", BL_EMALFORMED},
        {"sip:[::1", BL_EMALFORMED},
        {"sip:a:b:c@h", BL_EMALFORMED},
        {"tel:", BL_EMALFORMED},
        {"tel:call me", BL_EMALFORMED},
        {"tel:+1;", BL_EMALFORMED},
        {"urn:", BL_EMALFORMED},
        {"urn:a b", BL_EMALFORMED},
        {"urn:<x>", BL_EMALFORMED},
        {"sip:h;a\x80", BL_EMALFORMED},
        {"sip:\xc3\xa4@h", BL_EMALFORMED},
};

static struct bl_uri uri(const char *text)
{
        struct bl_uri u = {0};

        if (bl_uri_parse(bl_str_z(text), &u) < 0)
                fail_msg("%s does not parse", text);
        return u;
}

static void parses(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(good); i++) {
                struct bl_uri u = uri(good[i].in);

                assert_str(u.all, good[i].in);
                assert_int_equal(u.scheme, good[i].scheme);
                assert_str(u.user, good[i].user);
                assert_int_equal(u.has_user, *good[i].user != 0);
                assert_str(u.password, good[i].password);
                assert_str(u.host, good[i].host);
                assert_int_equal(u.host_kind, good[i].kind);
                assert_int_equal(u.port, good[i].port);
                assert_str(u.params, good[i].params);
                assert_str(u.headers, good[i].headers);
        }
        assert_str(uri("urn:service:sos").opaque, "service:sos");
        assert_str(uri("urn:service:sos").scheme_text, "urn");
}

static void refuses(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                struct bl_uri u;

                if (bl_uri_parse(bl_str_z(bad[i].in), &u) != bad[i].rc)
                        fail_msg("%s", bad[i].in);
        }
}

static void parts_are_bounded(void **state)
{
        char text[256] = "sip:h";
        struct bl_sb sb = {text, 5, sizeof text, false};
        struct bl_uri u;

        (void)state;
        for (unsigned i = 0; i < 32; i++)
                bl_sb_addz(&sb, ";a=b");
        assert_int_equal(bl_uri_parse(bl_sb_str(&sb), &u), 0);
        bl_sb_addz(&sb, ";c");
        assert_int_equal(bl_uri_parse(bl_sb_str(&sb), &u), BL_EMALFORMED);
}

static void finds_params(void **state)
{
        struct bl_uri u = uri("sip:h;Transport=TCP;lr=on;%6Dethod=BYE;x");
        struct bl_str v;

        (void)state;
        assert_true(bl_uri_param(&u, BL_STR("transport"), &v));
        assert_str(v, "TCP");
        assert_true(bl_uri_param(&u, BL_STR("method"), &v));
        assert_str(v, "BYE");
        assert_true(bl_uri_param(&u, BL_STR("x"), NULL));
        assert_false(bl_uri_param(&u, BL_STR("y"), &v));
        assert_true(bl_uri_is_lr(&u));
        u = uri("sip:lr@h;lrx");
        assert_false(bl_uri_is_lr(&u));
        u = uri("sip:h;l%72");
        assert_true(bl_uri_is_lr(&u));
}

static void addresses(void **state)
{
        struct bl_uri u = uri("sip:[2001:db8::1]:99");
        struct bl_addr a;

        (void)state;
        assert_int_equal(bl_uri_addr(&u, &a), 0);
        assert_int_equal(a.family, 6);
        assert_int_equal(a.port, 99);
        u = uri("sip:192.0.2.7");
        assert_int_equal(bl_uri_addr(&u, &a), 0);
        assert_int_equal(a.family, 4);
        assert_int_equal(a.port, 0);
        u = uri("sip:h");
        assert_int_equal(bl_uri_addr(&u, &a), BL_ENOENT);
        u = uri("tel:1");
        assert_int_equal(bl_uri_addr(&u, &a), BL_ENOENT);
}

static void writes(void **state)
{
        static const struct bl_str drop[] = {BL_STR("d"), BL_STR("maddr")};
        static const struct {
                const char *in, *out;
        } rows[] = {{"sip:u@h;lr;D=1;maddr=1.2.3.4;x?a=b", "sip:u@h;lr;x?a=b"},
                    {"sip:u@h:5", "sip:u@h:5"},
                    {"sip:h;d=1", "sip:h"},
                    {"tel:1;d=2;e", "tel:1;e"}};

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct bl_uri u = uri(rows[i].in);
                char text[64];
                struct bl_sb sb = BL_SB(text);

                bl_uri_put_without(&sb, &u, drop, 2);
                assert_str(bl_sb_str(&sb), rows[i].out);
        }
}

static void escapes(void **state)
{
        char text[1024], back[512], raw[256];
        struct bl_sb sb = BL_SB(text), plain = BL_SB(back);
        struct bl_uri u;

        (void)state;
        bl_uri_escape_user(&sb, BL_STR("a+b@c d%"), "+");
        assert_str(bl_sb_str(&sb), "a%2Bb%40c%20d%25");
        assert_int_equal(bl_uri_unescape(bl_sb_str(&sb), &plain), 0);
        assert_str(bl_sb_str(&plain), "a+b@c d%");
        assert_int_equal(bl_uri_unescape(BL_STR("%4"), &plain), BL_EMALFORMED);
        assert_int_equal(bl_uri_unescape(BL_STR("a%4g"), &plain), BL_EMALFORMED);
        /* every octet there and back, and legal in between */
        for (int c = 0; c < 256; c++)
                raw[c] = (char)c;
        sb = BL_SB(text);
        bl_sb_addz(&sb, "sip:");
        bl_uri_escape_user(&sb, bl_str_make(raw, 256), NULL);
        bl_sb_addz(&sb, "@h");
        assert_false(sb.over);
        assert_int_equal(bl_uri_parse(bl_sb_str(&sb), &u), 0);
        plain = BL_SB(back);
        assert_int_equal(bl_uri_unescape(u.user, &plain), 0);
        assert_int_equal(plain.n, 256);
        assert_memory_equal(back, raw, 256);
}

static void parse_prefix(struct bl_str prefix, void *arg)
{
        struct bl_uri u;

        (void)arg;
        if (bl_uri_parse(prefix, &u) == 0)
                assert_true(bl_uri_exact(&u, &u, false));
}

static void truncated(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(good); i++)
                guard_each_prefix(bl_str_z(good[i].in), parse_prefix, NULL);
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++)
                guard_each_prefix(bl_str_z(bad[i].in), parse_prefix, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parses),       cmocka_unit_test(refuses),   cmocka_unit_test(parts_are_bounded),
                cmocka_unit_test(finds_params), cmocka_unit_test(addresses), cmocka_unit_test(writes),
                cmocka_unit_test(escapes),      cmocka_unit_test(truncated),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
