#include "unit/unit.h"

#include "sip/digest.h"
#include "unit/guard.h"

static const char response[] =
        "Digest username=\"bob\", realm=\"biloxi.com\",\r\n nonce=\"dcd98b71,02dd\",uri=\"sip:bob@biloxi.com\","
        "qop=auth, nc=00000001, cnonce=\"0a4f113b\" ,response = \"6629fae49393a05397450978507c4ef1\", "
        "opaque=\"5ccc\", algorithm=SHA-256, auth-param=x.y:1";
static const char challenge[] =
        "digest realm=\"a \\\"b\\\"\", nonce=\"\", qop=\"auth-int , AUTH\", stale=TRUE, domain=\"sip:x sip:y\"";

static void parses(void **state)
{
        struct bl_digest d;

        (void)state;
        assert_int_equal(bl_digest_parse(bl_str_z(response), &d), 0);
        assert_str(d.username, "bob");
        assert_str(d.realm, "biloxi.com");
        assert_str(d.nonce, "dcd98b71,02dd");
        assert_str(d.uri, "sip:bob@biloxi.com");
        assert_str(d.response, "6629fae49393a05397450978507c4ef1");
        assert_str(d.cnonce, "0a4f113b");
        assert_str(d.nc, "00000001");
        assert_str(d.qop, "auth");
        assert_str(d.opaque, "5ccc");
        assert_str(d.algorithm_text, "SHA-256");
        assert_int_equal(d.algorithm, BL_DIGEST_SHA256);
        assert_true(d.qop_auth);
        assert_false(d.stale);
        assert_int_equal(bl_digest_parse(bl_str_z(challenge), &d), 0);
        assert_str(d.realm, "a \\\"b\\\"");
        assert_int_equal(d.nonce.n, 0);
        assert_str(d.domain, "sip:x sip:y");
        assert_int_equal(d.algorithm, BL_DIGEST_MD5);
        assert_true(d.qop_auth && d.stale);
        assert_int_equal(d.username.n, 0);
}

static void knows_algorithms(void **state)
{
        struct bl_digest d;

        (void)state;
        assert_int_equal(bl_digest_parse(BL_STR("Digest algorithm=md5"), &d), 0);
        assert_int_equal(d.algorithm, BL_DIGEST_MD5);
        assert_int_equal(bl_digest_parse(BL_STR("Digest algorithm=\"SHA-256\",qop=auth-int"), &d), 0);
        assert_int_equal(d.algorithm, BL_DIGEST_SHA256);
        assert_false(d.qop_auth);
        assert_int_equal(bl_digest_parse(BL_STR("Digest algorithm=MD5-sess"), &d), 0);
        assert_int_equal(d.algorithm, BL_DIGEST_UNKNOWN);
}

static void refuses(void **state)
{
        static const struct {
                const char *in;
                int rc;
        } rows[] = {
                {"", BL_EMALFORMED},
                {"Digest", BL_EMALFORMED},
                {"Digest ", BL_EMALFORMED},
                {"Digest realm", BL_EMALFORMED},
                {"Digest realm=", BL_EMALFORMED},
                {"Digest realm=\"x", BL_EMALFORMED},
                {"Digest realm=\"x\",", BL_EMALFORMED},
                {"Digest realm=\"x\",,nonce=y", BL_EMALFORMED},
                {"Digest realm=\"x\" nonce=y", BL_EMALFORMED},
                {"Digest =x", BL_EMALFORMED},
                {"Basic QWxhZGRpbg==", BL_EPROTO},
                {"NoOneKnowsThisScheme opaque-data=here", BL_EPROTO}, /* RFC 4475 3.3.7 */
                {"Digest realm=a, REALM=b", BL_EPROTO},
                {"Digest x=a, x=b, nonce=1, nonce=1", BL_EPROTO},
        };

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct bl_digest d;

                if (bl_digest_parse(bl_str_z(rows[i].in), &d) != rows[i].rc)
                        fail_msg("%s", rows[i].in);
        }
}

static void parse_prefix(struct bl_str prefix, void *arg)
{
        struct bl_digest d;

        (void)arg;
        (void)!bl_digest_parse(prefix, &d);
}

static void truncated(void **state)
{
        (void)state;
        guard_each_prefix(bl_str_z(response), parse_prefix, NULL);
        guard_each_prefix(bl_str_z(challenge), parse_prefix, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parses),
                cmocka_unit_test(knows_algorithms),
                cmocka_unit_test(refuses),
                cmocka_unit_test(truncated),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
