/* Both sides of digest authentication against the examples of the RFCs, and against each other. */
#include "unit/unit.h"

#include "auth/digest_client.h"
#include "auth/digest_hash.h"
#include "auth/digest_server.h"

static const int64_t WALL = 1700000000;

static void example(enum bl_digest_alg alg, const char *realm, const char *password, const char *nonce,
                    const char *cnonce, const char *qop, const char *want)
{
        char ha1[BL_DIGEST_HEX], response[BL_DIGEST_HEX];
        struct bl_digest d = {.nonce = bl_str_z(nonce),
                              .uri = BL_STR("/dir/index.html"),
                              .nc = BL_STR("00000001"),
                              .cnonce = bl_str_z(cnonce),
                              .qop = bl_str_z(qop)};
        struct bl_str h = bl_digest_hash_ha1(alg, BL_STR("Mufasa"), bl_str_z(realm), bl_str_z(password), ha1);

        assert_str(bl_digest_hash_response(alg, h, &d, BL_STR("GET"), response), want);
}

static void rfc_examples(void **state)
{
        (void)state;
        /* RFC 7616 section 3.9.1 */
        const char *nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                   *cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        example(BL_DIGEST_MD5, "http-auth@example.org", "Circle of Life", nonce, cnonce, "auth",
                "8ca523f5e9506fed4657c9700eebdbec");
        example(BL_DIGEST_SHA256, "http-auth@example.org", "Circle of Life", nonce, cnonce, "auth",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        /* RFC 2617 section 3.5; without qop, RFC 2069 with its erratum */
        example(BL_DIGEST_MD5, "testrealm@host.com", "Circle Of Life", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b",
                "auth", "6629fae49393a05397450978507c4ef1");
        example(BL_DIGEST_MD5, "testrealm@host.com", "Circle Of Life", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "", "",
                "670fd8c2df070c60b045671b8b24ff02");
}

/* --- a server and a client, and messages between them --- */

static struct bl_token_keys *keys(const char *text)
{
        char error[200];
        struct bl_token_keys *k = bl_token_keys_parse(bl_str_z(text), error, sizeof(error));

        if (!k)
                fail_msg("%s", error);
        return k;
}

#define OF_HOME "A 6f6620686f6d6520636c757374657220"
#define OTHER "B 616e6f74686572207365637265742020"

struct scene {
        struct bl_token_keys *keys;
        struct bl_nonces nonces;
        struct bl_credentials credentials;
        struct bl_arena *arena;
        char text[4096];
};

static int setup(void **state)
{
        static struct scene sc;
        char hex[BL_DIGEST_HEX];
        struct bl_str h;

        sc = (struct scene){.arena = bl_arena_new(1 << 20), .keys = keys(OF_HOME)};
        sc.nonces.keys = sc.keys;
        h = bl_digest_hash_ha1(BL_DIGEST_MD5, BL_STR("joe"), BL_STR("example.com"), BL_STR("pw"), hex);
        memcpy(sc.credentials.ha1_md5, h.p, h.n);
        h = bl_digest_hash_ha1(BL_DIGEST_SHA256, BL_STR("joe"), BL_STR("example.com"), BL_STR("pw"), hex);
        memcpy(sc.credentials.ha1_sha256, h.p, h.n);
        *state = &sc;
        return 0;
}

static int teardown(void **state)
{
        struct scene *sc = *state;

        bl_token_keys_free(sc->keys);
        bl_arena_free(sc->arena);
        return 0;
}

static struct bl_msg *message(struct scene *sc, const char *start, struct bl_str lines)
{
        char *copy = bl_arena_alloc(sc->arena, 4096);
        struct bl_sb b = {copy, 0, 4096, false};
        struct bl_msg *m = NULL;

        bl_sb_addz(&b, start);
        bl_sb_addz(&b, "\r\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bKx\r\nFrom: <sip:joe@example.com>;tag=1\r\n"
                       "To: <sip:joe@example.com>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n");
        bl_sb_add(&b, lines);
        bl_sb_addz(&b, "Content-Length: 0\r\n\r\n");
        assert_false(b.over);
        assert_int_equal(bl_msg_parse(bl_sb_str(&b), true, sc->arena, &m, NULL), 0);
        return m;
}

static struct bl_msg *challenge(struct scene *sc, bool proxy, bool stale, int64_t wall)
{
        char lines[1024];
        struct bl_sb b = BL_SB(lines);

        bl_digest_challenge(&sc->nonces, BL_STR("example.com"), proxy, stale, wall, &b);
        return message(sc, proxy ? "SIP/2.0 407 Proxy Authentication Required" : "SIP/2.0 401 Unauthorized",
                       bl_sb_str(&b));
}

static struct bl_msg *answer(struct scene *sc, struct bl_digest_session *s, const char *password, const char *uri)
{
        static const uint8_t cnonce[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        struct bl_sb b = BL_SB(sc->text);

        memset(sc->text, 0, sizeof(sc->text));
        bl_digest_answer(s, BL_STR("joe"), bl_str_z(password), BL_STR("REGISTER"), bl_str_z(uri), cnonce, &b);
        return message(sc, "REGISTER sip:example.com SIP/2.0", bl_sb_str(&b));
}

static bool is_edge(const void *ctx, struct bl_str host)
{
        return bl_host_eq(host, *(const struct bl_str *)ctx);
}

static enum bl_digest_verdict verify(struct scene *sc, const struct bl_msg *m, bool proxy, int64_t wall)
{
        const struct bl_str edge = BL_STR("edge.example.com");
        struct bl_digest d;

        if (!bl_digest_find(m, proxy, BL_STR("example.com"), &d))
                return BL_DIGEST_NONE;
        return bl_digest_verify(&sc->nonces, m, &d, &sc->credentials, BL_STR("example.com"), is_edge, &edge, wall);
}

/* What is not on offer is not taken either. */
static void one_alone_is_offered_and_taken(void **state)
{
        static const struct {
                enum bl_digest_offer offer;
                enum bl_digest_alg algorithm;
        } only[] = {{BL_DIGEST_OFFER_MD5, BL_DIGEST_MD5}, {BL_DIGEST_OFFER_SHA256, BL_DIGEST_SHA256}};
        struct scene *sc = *state;

        for (unsigned i = 0; i < BL_ARRAY_LEN(only); i++) {
                struct bl_digest_session s = {0};
                struct bl_digest d;

                sc->nonces.offer = only[i].offer;
                struct bl_msg *m = challenge(sc, false, false, WALL);
                assert_int_equal(bl_msg_count(m, BL_H_WWW_AUTHENTICATE), 1);
                assert_int_equal(bl_digest_parse(bl_hdr_value(m, bl_msg_first(m, BL_H_WWW_AUTHENTICATE)), &d), 0);
                assert_int_equal(d.algorithm, only[i].algorithm);
                assert_int_equal(bl_digest_take(&s, m), 0);
                m = answer(sc, &s, "pw", "sip:example.com");
                assert_int_equal(verify(sc, m, false, WALL), BL_DIGEST_OK);
                sc->nonces.offer = only[1 - i].offer;
                assert_int_equal(verify(sc, m, false, WALL), BL_DIGEST_BAD);
        }
}

static void both_are_offered_the_stronger_first(void **state)
{
        struct scene *sc = *state;
        struct bl_msg *m = challenge(sc, false, false, WALL);
        struct bl_digest d;
        const struct bl_hdr *h = bl_msg_first(m, BL_H_WWW_AUTHENTICATE);

        assert_int_equal(bl_digest_parse(bl_hdr_value(m, h), &d), 0);
        assert_int_equal(d.algorithm, BL_DIGEST_SHA256);
        assert_true(d.qop_auth && !d.stale);
        assert_str(d.realm, "example.com");
        h = bl_msg_next(m, h);
        assert_int_equal(bl_digest_parse(bl_hdr_value(m, h), &d), 0);
        assert_int_equal(d.algorithm, BL_DIGEST_MD5);
        assert_true(d.algorithm_text.n > 0);
        assert_null(bl_msg_next(m, h));
        m = challenge(sc, true, true, WALL);
        assert_int_equal(bl_digest_parse(bl_msg_value(m, BL_H_PROXY_AUTHENTICATE), &d), 0);
        assert_true(d.stale);
}

static void the_right_password_passes(void **state)
{
        struct scene *sc = *state;

        for (unsigned proxy = 0; proxy < 2; proxy++) {
                struct bl_digest_session s = {0};
                struct bl_msg *m;

                assert_int_equal(bl_digest_take(&s, challenge(sc, proxy, false, WALL)), 0);
                assert_int_equal(s.algorithm, BL_DIGEST_SHA256);
                m = answer(sc, &s, "pw", "sip:example.com");
                assert_int_equal(verify(sc, m, proxy, WALL + 299), BL_DIGEST_OK);
                assert_int_equal(verify(sc, m, !proxy, WALL), BL_DIGEST_NONE);
                /* the next request counts on with the same nonce */
                m = answer(sc, &s, "pw", "sip:example.com");
                assert_int_equal(s.nc, 2);
                assert_non_null(strstr(sc->text, "nc=00000002"));
                assert_int_equal(verify(sc, m, proxy, WALL), BL_DIGEST_OK);
        }
}

static void wrong_ones_do_not(void **state)
{
        struct scene *sc = *state;
        struct bl_digest_session s = {0};

        assert_int_equal(bl_digest_take(&s, challenge(sc, false, false, WALL)), 0);
        assert_int_equal(verify(sc, answer(sc, &s, "PW", "sip:example.com"), false, WALL), BL_DIGEST_BAD);
        sc->credentials.ha1_sha256[0] = '\0'; /* not stored for this algorithm */
        assert_int_equal(verify(sc, answer(sc, &s, "pw", "sip:example.com"), false, WALL), BL_DIGEST_BAD);
        s.algorithm = BL_DIGEST_MD5;
        assert_int_equal(verify(sc, answer(sc, &s, "pw", "sip:example.com"), false, WALL), BL_DIGEST_OK);
}

static void nonces_grow_old(void **state)
{
        struct scene *sc = *state;
        struct bl_digest_session s = {0};
        struct bl_msg *m;

        assert_int_equal(bl_digest_take(&s, challenge(sc, false, false, WALL)), 0);
        m = answer(sc, &s, "pw", "sip:example.com");
        assert_int_equal(verify(sc, m, false, WALL + 300), BL_DIGEST_OK);
        assert_int_equal(verify(sc, m, false, WALL + 301), BL_DIGEST_STALE);
        assert_int_equal(verify(sc, m, false, WALL - 31), BL_DIGEST_STALE);
        sc->nonces.lifetime_s = 10;
        assert_int_equal(verify(sc, m, false, WALL + 11), BL_DIGEST_STALE);
        /* a wrong password with an old nonce is wrong and not old */
        assert_int_equal(verify(sc, answer(sc, &s, "no", "sip:example.com"), false, WALL + 11), BL_DIGEST_BAD);
        /* a nonce that we did not make */
        bl_token_keys_free(sc->keys);
        sc->nonces.keys = sc->keys = keys(OTHER);
        assert_int_equal(verify(sc, m, false, WALL), BL_DIGEST_STALE);
}

/* The first key makes them, all verify: one that a node with the other order gave, or that was given before. */
static void nonces_outlive_a_new_first_key(void **state)
{
        struct scene *sc = *state;
        struct bl_digest_session s = {0}, t = {0};
        struct bl_token_keys *fresh = keys(OTHER "\n" OF_HOME), *only = keys(OTHER);
        struct bl_msg *old, *young;

        assert_int_equal(bl_digest_take(&s, challenge(sc, false, false, WALL)), 0);
        old = answer(sc, &s, "pw", "sip:example.com");
        bl_token_keys_swap(sc->keys, fresh);
        assert_int_equal(verify(sc, old, false, WALL), BL_DIGEST_OK);
        assert_int_equal(bl_digest_take(&t, challenge(sc, false, false, WALL)), 0);
        young = answer(sc, &t, "pw", "sip:example.com");
        bl_token_keys_swap(sc->keys, only);
        assert_int_equal(verify(sc, old, false, WALL), BL_DIGEST_STALE);
        assert_int_equal(verify(sc, young, false, WALL), BL_DIGEST_OK);
        bl_token_keys_free(fresh);
        bl_token_keys_free(only);
}

static void the_uri_must_be_the_requests(void **state)
{
        static const struct {
                const char *uri;
                enum bl_digest_verdict want;
        } cases[] = {
                {"sip:example.com", BL_DIGEST_OK},         {"SIP:Example.COM", BL_DIGEST_OK},
                {"sip:edge.example.com", BL_DIGEST_OK}, /* a plain phone after a redirect */
                {"sip:edge.example.com;lr", BL_DIGEST_OK}, {"sip:other.example.com", BL_DIGEST_BROKEN},
                {"sip:joe@example.com", BL_DIGEST_BROKEN}, {"nonsense", BL_DIGEST_BROKEN},
        };
        struct scene *sc = *state;
        struct bl_digest_session s = {0};

        assert_int_equal(bl_digest_take(&s, challenge(sc, false, false, WALL)), 0);
        for (size_t i = 0; i < BL_ARRAY_LEN(cases); i++)
                assert_int_equal(verify(sc, answer(sc, &s, "pw", cases[i].uri), false, WALL), cases[i].want);
}

static void broken_credentials(void **state)
{
        static const char *const lines[] = {
                "username=\"joe\", realm=\"example.com\", nonce=\"n\", uri=\"sip:example.com\", "
                "response=\"8ca523f5e9506fed4657c9700eebdbec\"", /* no qop: we offered it */
                "username=\"joe\", realm=\"example.com\", nonce=\"n\", uri=\"sip:example.com\", response=\"8ca5\", "
                "cnonce=\"x\", nc=00000001, qop=auth",
                "username=\"joe\", realm=\"example.com\", nonce=\"n\", uri=\"sip:example.com\", "
                "response=\"8ca523f5e9506fed4657c9700eebdbec\", cnonce=\"x\", nc=1, qop=auth",
                "username=\"joe\", realm=\"example.com\", nonce=\"n\", uri=\"sip:example.com\", "
                "response=\"8ca523f5e9506fed4657c9700eebdbec\", cnonce=\"x\", nc=00000001, qop=auth-int",
                "realm=\"example.com\", nonce=\"n\", uri=\"sip:example.com\", "
                "response=\"8ca523f5e9506fed4657c9700eebdbec\", cnonce=\"x\", nc=00000001, qop=auth",
        };
        struct scene *sc = *state;
        char line[512];

        for (size_t i = 0; i < BL_ARRAY_LEN(lines); i++) {
                struct bl_sb b = BL_SB(line);

                bl_sb_fmt(&b, "Authorization: Digest %s\r\n", lines[i]);
                assert_int_equal(
                        verify(sc, message(sc, "REGISTER sip:example.com SIP/2.0", bl_sb_str(&b)), false, WALL),
                        BL_DIGEST_BROKEN);
        }
        assert_int_equal(verify(sc, message(sc, "REGISTER sip:example.com SIP/2.0", BL_STR("")), false, WALL),
                         BL_DIGEST_NONE);
        assert_int_equal(
                verify(sc,
                       message(sc, "REGISTER sip:example.com SIP/2.0", BL_STR("Authorization: Basic QWxhZGRpbg==\r\n")),
                       false, WALL),
                BL_DIGEST_NONE);
}

static void the_right_realm_among_several(void **state)
{
        struct scene *sc = *state;
        struct bl_digest d;
        struct bl_msg *m =
                message(sc, "REGISTER sip:example.com SIP/2.0",
                        BL_STR("Authorization: Digest username=\"a\", realm=\"other.example\", nonce=\"1\"\r\n"
                               "Authorization: Digest username=\"b\", realm=\"example.com\", nonce=\"2\", "
                               "algorithm=AKAv1-MD5\r\n"
                               "Authorization: Digest username=\"c\", realm=\"example.com\", nonce=\"3\"\r\n"));

        assert_true(bl_digest_find(m, false, BL_STR("example.com"), &d));
        assert_str(d.username, "c");
        assert_false(bl_digest_find(m, false, BL_STR("example.org"), &d));
}

static void the_client_chooses(void **state)
{
        struct scene *sc = *state;
        struct bl_digest_session s = {0}, before;
        const char *unauthorized = "SIP/2.0 401 Unauthorized";

        /* the strongest, wherever it stands; what it cannot do it leaves */
        assert_int_equal(bl_digest_take(&s, message(sc, unauthorized,
                                                    BL_STR("WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n"
                                                           "WWW-Authenticate: Digest realm=\"r\", nonce=\"2\", "
                                                           "algorithm=SHA-512-256, qop=\"auth\"\r\n"
                                                           "WWW-Authenticate: Digest realm=\"r\", nonce=\"3\", "
                                                           "algorithm=SHA-256, qop=\"auth-int,auth\", opaque=\"o\"\r\n"
                                                           "WWW-Authenticate: Digest realm=\"r\", nonce=\"4\", "
                                                           "algorithm=SHA-256, qop=\"auth-int\"\r\n"))),
                         0);
        assert_int_equal(s.algorithm, BL_DIGEST_SHA256);
        assert_str(bl_str_make(s.nonce, s.nonce_n), "3");
        (void)answer(sc, &s, "pw", "sip:example.com");
        assert_non_null(strstr(sc->text, "opaque=\"o\""));
        assert_non_null(strstr(sc->text, "qop=auth, nc=00000001"));
        before = s;
        assert_int_equal(bl_digest_take(&s, message(sc, unauthorized, BL_STR(""))), BL_ENOENT);
        assert_int_equal(bl_digest_take(&s, message(sc, unauthorized,
                                                    BL_STR("WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", "
                                                           "algorithm=SHA-256, qop=\"auth-int\"\r\n"))),
                         BL_ENOENT);
        assert_memory_equal(&s, &before, sizeof(s));
        /* without qop as RFC 2069 has it */
        s = (struct bl_digest_session){0};
        assert_int_equal(bl_digest_take(&s, message(sc, unauthorized,
                                                    BL_STR("WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n"))),
                         0);
        (void)answer(sc, &s, "pw", "sip:example.com");
        assert_null(strstr(sc->text, "nc="));
}

static void the_client_gives_up(void **state)
{
        struct scene *sc = *state;
        struct bl_digest_session s = {0};

        assert_int_equal(bl_digest_take(&s, challenge(sc, false, false, WALL)), 0);
        (void)answer(sc, &s, "wrong", "sip:example.com");
        assert_int_equal(bl_digest_take(&s, challenge(sc, false, false, WALL)), BL_EREFUSED);
        assert_int_equal(bl_digest_take(&s, challenge(sc, false, true, WALL)), 0); /* stale: worth another try */
        assert_int_equal(s.nc, 0);
        (void)answer(sc, &s, "pw", "sip:example.com");
        assert_int_equal(bl_digest_take(&s, challenge(sc, false, false, WALL + 5)), 0); /* a new nonce */
}

int main(void)
{
#define SCENE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rfc_examples),
                SCENE(both_are_offered_the_stronger_first),
                SCENE(one_alone_is_offered_and_taken),
                SCENE(the_right_password_passes),
                SCENE(wrong_ones_do_not),
                SCENE(nonces_grow_old),
                SCENE(nonces_outlive_a_new_first_key),
                SCENE(the_uri_must_be_the_requests),
                SCENE(broken_credentials),
                SCENE(the_right_realm_among_several),
                SCENE(the_client_chooses),
                SCENE(the_client_gives_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
