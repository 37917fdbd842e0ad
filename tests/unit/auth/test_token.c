#include "unit/unit.h"

#include "auth/token.h"

static const char keyfile[] = "# cluster key\nB 000102030405060708090a0b0c0d0e0f\nA ffeeddccbbaa99887766554433221100\n";
static const char old_keyfile[] = "A ffeeddccbbaa99887766554433221100\n";

static struct bl_token_keys *keys(const char *text)
{
        char error[200] = "";
        struct bl_token_keys *k = bl_token_keys_parse(bl_str_z(text), error, sizeof(error));

        if (!k)
                fail_msg("%s", error);
        return k;
}

static struct bl_token_cluster cluster(const struct bl_token_keys *k, bool sealed)
{
        return (struct bl_token_cluster){.name = BL_STR("edge.example.com"),
                                         .default_domain = BL_STR("example.com"),
                                         .keys = k,
                                         .sealed = sealed};
}

static struct bl_token joe(void)
{
        return (struct bl_token){.user = BL_STR("joe"),
                                 .domain = BL_STR("example.com"),
                                 .instance = BL_STR("k3v9x0q2"),
                                 .node = {BL_STR("e1"), BL_STR("e3")},
                                 .n_nodes = 2};
}

/* P as text, and its user part. */
static struct bl_str put(const struct bl_token_cluster *c, const struct bl_token *t, char text[BL_TOKEN_MAX])
{
        struct bl_sb b = {text, 0, BL_TOKEN_MAX, false};
        struct bl_uri u;

        assert_int_equal(bl_token_put(c, t, &b), 0);
        assert_int_equal(bl_uri_parse(bl_sb_str(&b), &u), 0);
        assert_true(u.scheme == BL_SCHEME_SIP && bl_str_eq(u.host, c->name) && u.params.n == 0);
        return u.user;
}

static void check_same(const struct bl_token *a, const struct bl_token *b)
{
        assert_true(bl_str_eq(a->user, b->user));
        assert_true(bl_str_ieq(a->domain, b->domain));
        assert_true(bl_str_eq(a->instance, b->instance));
        assert_int_equal(a->star, b->star);
        assert_int_equal(a->n_nodes, b->n_nodes);
        for (unsigned i = 0; i < a->n_nodes; i++)
                assert_true(bl_str_eq(a->node[i], b->node[i]));
}

static const struct bl_token shapes[] = {
        {.user = BL_STR("joe"),
         .domain = BL_STR("example.com"),
         .instance = BL_STR("i"),
         .node = {BL_STR("e1")},
         .n_nodes = 1},
        {.user = BL_STR("joe"), .domain = BL_STR("Other.Example"), .instance = BL_STR("a-_Z9"), .star = true},
        {.user = BL_STR("joe@x"), .domain = BL_STR("example.com"), .instance = BL_STR("i"), .star = true},
        {.user = BL_STR("joe@x"), .domain = BL_STR("other.example"), .instance = BL_STR("i"), .star = true},
        {.user = BL_STR("+15551234"),
         .domain = BL_STR("example.com"),
         .instance = BL_STR("0123456789abcdef"),
         .star = true},
        {.user = BL_STR("~a b%;?/,&=$<>\xc3\xa9"),
         .domain = BL_STR("example.com"),
         .instance = BL_STR("i"),
         .star = true},
        {.user = BL_STR("a+b+*+e1"), .domain = BL_STR("example.com"), .instance = BL_STR("i"), .star = true},
        {.user = BL_STR("all"),
         .domain = BL_STR("example.com"),
         .instance = BL_STR("i"),
         .node = {BL_STR("n1"), BL_STR("n.2"), BL_STR("n-3"), BL_STR("n_4"), BL_STR("5"), BL_STR("6"), BL_STR("7"),
                  BL_STR("8")},
         .n_nodes = 8},
};

static void round_trips(void **state)
{
        struct bl_token_keys *k = keys(keyfile);

        (void)state;
        for (unsigned sealed = 0; sealed < 2; sealed++) {
                struct bl_token_cluster c = cluster(k, sealed);

                for (size_t i = 0; i < BL_ARRAY_LEN(shapes); i++) {
                        char text[BL_TOKEN_MAX], scratch[BL_TOKEN_MAX];
                        struct bl_token t;
                        struct bl_str user = put(&c, &shapes[i], text);

                        assert_int_equal(bl_token_open(&c, user, scratch, &t), 0);
                        check_same(&shapes[i], &t);
                }
        }
        bl_token_keys_free(k);
}

/* No two shapes have one text: what one means no other can be read as. */
static void texts_differ(void **state)
{
        struct bl_token_keys *k = keys(keyfile);
        struct bl_token_cluster c = cluster(k, false);
        char a[BL_TOKEN_MAX], b[BL_TOKEN_MAX];

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(shapes); i++)
                for (size_t j = 0; j < i; j++)
                        assert_false(bl_str_eq(put(&c, &shapes[i], a), put(&c, &shapes[j], b)));
        bl_token_keys_free(k);
}

static void readable_text(void **state)
{
        struct bl_token_keys *k = keys(keyfile);
        struct bl_token_cluster c = cluster(k, false);
        char text[BL_TOKEN_MAX];
        struct bl_token t = joe();
        struct bl_str user = put(&c, &t, text);

        (void)state;
        assert_true(bl_str_starts(user, BL_STR("joe+k3v9x0q2+e1+e3+B")));
        assert_int_equal(user.n, sizeof("joe+k3v9x0q2+e1+e3+B") - 1 + 16);
        t.domain = BL_STR("Other.example");
        assert_true(bl_str_starts(put(&c, &t, text), BL_STR("joe%40other.example+k3v9x0q2+e1+e3+B")));
        t.star = true;
        t.n_nodes = 0;
        assert_true(bl_str_starts(put(&c, &t, text), BL_STR("joe%40other.example+k3v9x0q2+*+B")));
        bl_token_keys_free(k);
}

/* Every octet of both forms counts. */
static void any_change_is_refused(void **state)
{
        struct bl_token_keys *k = keys(keyfile);

        (void)state;
        for (unsigned sealed = 0; sealed < 2; sealed++) {
                struct bl_token_cluster c = cluster(k, sealed);
                char text[BL_TOKEN_MAX], changed[BL_TOKEN_MAX], scratch[BL_TOKEN_MAX];
                struct bl_token t = joe();
                struct bl_str user = put(&c, &t, text);
                for (size_t i = 0; i < user.n; i++) {
                        memcpy(changed, user.p, user.n);
                        changed[i] = changed[i] == 'x' ? 'y' : 'x';
                        int rc = bl_token_open(&c, bl_str_make(changed, user.n), scratch, &t);
                        if (rc != BL_EAUTH && rc != BL_ENOENT && rc != BL_EMALFORMED)
                                fail_msg("octet %zu of %.*s changed: %d", i, BL_STR_ARG(user), rc);
                }
                /* also bits of the last character that carry nothing */
                memcpy(changed, user.p, user.n);
                for (const char *c64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; *c64;
                     c64++) {
                        changed[user.n - 1] = *c64;
                        if (*c64 != user.p[user.n - 1])
                                assert_true(bl_token_open(&c, bl_str_make(changed, user.n), scratch, &t) < 0);
                }
                for (size_t n = 0; n < user.n; n++)
                        assert_true(bl_token_open(&c, bl_str_make(user.p, n), scratch, &t) < 0);
        }
        bl_token_keys_free(k);
}

static void what_is_no_token(void **state)
{
        static const char *const users[] = {"joe",
                                            "+15551234",
                                            "joe+x",
                                            "joe+x+e1",
                                            "a+b+c+d+e",
                                            "~",
                                            "~B-",
                                            "~B-AAAA",
                                            "++++",
                                            "joe+x+e1+",
                                            "joe+x+e1+B0123456789abcde",
                                            "joe+x+e1+B0123456789abcdefg",
                                            "+x+e1+B0123456789abcdef",
                                            "joe+x+e!+B0123456789abcdef",
                                            "joe%4+x+e1+B0123456789abcdef",
                                            "joe+x+1+2+3+4+5+6+7+8+9+B0123456789abcdef"};
        struct bl_token_keys *k = keys(keyfile);
        struct bl_token_cluster c = cluster(k, false);
        char scratch[BL_TOKEN_MAX];
        struct bl_token t;

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(users); i++) {
                int rc = bl_token_open(&c, bl_str_z(users[i]), scratch, &t);

                if (rc != BL_EMALFORMED)
                        fail_msg("%s: %d", users[i], rc);
        }
        assert_int_equal(bl_token_open(&c, BL_STR("joe+x+e1+B0123456789abcdef"), scratch, &t), BL_EAUTH);
        assert_int_equal(bl_token_open(&c, BL_STR("joe+x+e1+Z0123456789abcdef"), scratch, &t), BL_ENOENT);
        bl_token_keys_free(k);
}

static void another_cluster_or_key(void **state)
{
        struct bl_token_keys *k = keys(keyfile), *old = keys(old_keyfile),
                             *other = keys("B 99999999999999999999999999999999");

        (void)state;
        for (unsigned sealed = 0; sealed < 2; sealed++) {
                struct bl_token_cluster c = cluster(k, sealed), was = cluster(old, sealed),
                                        wrong = cluster(other, sealed);
                char text[BL_TOKEN_MAX], scratch[BL_TOKEN_MAX];
                struct bl_token t = joe();
                struct bl_str user = put(&was, &t, text);

                /* a key that is no longer the first still verifies */
                assert_int_equal(bl_token_open(&c, user, scratch, &t), 0);
                user = put(&c, &t, text);
                assert_int_equal(bl_token_open(&was, user, scratch, &t), BL_ENOENT);
                assert_int_equal(bl_token_open(&wrong, user, scratch, &t), BL_EAUTH);
                c.name = BL_STR("edge.example.net");
                assert_int_equal(bl_token_open(&c, user, scratch, &t), BL_EAUTH);
                c.name = BL_STR("EDGE.example.com");
                assert_int_equal(bl_token_open(&c, user, scratch, &t), 0);
        }
        bl_token_keys_free(k);
        bl_token_keys_free(old);
        bl_token_keys_free(other);
}

static void sealed_hides_and_is_stable(void **state)
{
        struct bl_token_keys *k = keys(keyfile);
        struct bl_token_cluster c = cluster(k, true), readable = cluster(k, false);
        char a[BL_TOKEN_MAX], b[BL_TOKEN_MAX], scratch[BL_TOKEN_MAX];
        struct bl_token t = joe();
        struct bl_str one = put(&c, &t, a), two = put(&c, &t, b);

        (void)state;
        assert_true(bl_str_eq(one, two));
        assert_true(bl_str_starts(one, BL_STR("~B-")));
        assert_int_equal(bl_str_find(one, '+'), -1);
        /* each form is read whatever the option says */
        assert_int_equal(bl_token_open(&readable, one, scratch, &t), 0);
        t = joe();
        two = put(&readable, &t, b);
        assert_int_equal(bl_token_open(&c, two, scratch, &t), 0);
        bl_token_keys_free(k);
}

static void limits(void **state)
{
        struct bl_token_keys *k = keys(keyfile);
        struct bl_token_cluster c = cluster(k, false);
        char text[BL_TOKEN_MAX], user[600];
        struct bl_token t = joe();

        (void)state;
        memset(user, 'u', sizeof(user));
        for (unsigned sealed = 0; sealed < 2; sealed++) {
                struct bl_sb b = BL_SB(text);

                c.sealed = sealed;
                t.user = bl_str_make(user, sizeof(user));
                assert_int_equal(bl_token_put(&c, &t, &b), BL_ELIMIT);
                assert_int_equal(b.n, 0);
                t.user = bl_str_make(user, 440);
                if (sealed) /* base64 makes it too long */
                        assert_int_equal(bl_token_put(&c, &t, &b), BL_ELIMIT);
                else
                        assert_int_equal(bl_token_put(&c, &t, &b), 0);
        }
        struct bl_sb b = BL_SB(text);
        t = joe();
        t.user.n = 0;
        assert_int_equal(bl_token_put(&c, &t, &b), BL_EINVAL);
        t = joe();
        t.node[1] = BL_STR("e+3");
        assert_int_equal(bl_token_put(&c, &t, &b), BL_EINVAL);
        t = joe();
        t.instance = BL_STR("");
        assert_int_equal(bl_token_put(&c, &t, &b), BL_EINVAL);
        t = joe();
        t.n_nodes = 0;
        assert_int_equal(bl_token_put(&c, &t, &b), BL_EINVAL);
        t = joe();
        t.domain = BL_STR("[2001:db8::1]");
        assert_int_equal(bl_token_put(&c, &t, &b), BL_EINVAL);
        bl_token_keys_free(k);
}

static void instance_digest(void **state)
{
        struct bl_token_keys *k = keys(keyfile), *old = keys(old_keyfile);
        struct bl_token_cluster c = cluster(k, false), was = cluster(old, false);
        struct bl_str urn = BL_STR("<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>");
        char a[BL_TOKEN_INSTANCE], b[BL_TOKEN_INSTANCE];
        struct bl_sb x = BL_SB(a), y = BL_SB(b);

        (void)state;
        bl_token_instance(&c, urn, &x);
        bl_token_instance(&was, urn, &y);
        assert_int_equal(x.n, 8);
        assert_false(bl_str_eq(bl_sb_str(&x), bl_sb_str(&y)));
        assert_true(bl_token_instance_ok(&c, urn, bl_sb_str(&x)));
        assert_true(bl_token_instance_ok(&c, urn, bl_sb_str(&y)));
        assert_false(bl_token_instance_ok(&was, urn, bl_sb_str(&x)));
        assert_false(bl_token_instance_ok(&c, BL_STR("<urn:uuid:other>"), bl_sb_str(&x)));
        assert_false(bl_token_instance_ok(&c, urn, bl_str_make(a, 7)));
        assert_false(bl_token_instance_ok(&c, urn, BL_STR("")));
        bl_token_keys_free(k);
        bl_token_keys_free(old);
}

static void dialog_digest(void **state)
{
        struct bl_token_keys *k = keys(keyfile), *old = keys(old_keyfile);
        struct bl_str what = BL_STR("joe+i+e1+Bmac"), id = BL_STR("a84b4c76e66710@pc33");
        char text[BL_TOKEN_DIALOG + 1] = "", upper[BL_TOKEN_DIALOG];
        struct bl_sb d = {text, 0, BL_TOKEN_DIALOG, false}, again = BL_SB(upper);

        (void)state;
        bl_token_dialog(k, what, id, &d);
        assert_int_equal(d.n, BL_TOKEN_DIALOG);
        assert_false(d.over);
        assert_true(bl_token_dialog_ok(k, what, id, bl_sb_str(&d)));
        assert_false(bl_token_dialog_ok(k, what, BL_STR("other"), bl_sb_str(&d)));
        assert_false(bl_token_dialog_ok(k, BL_STR("joe+i+e1+Bma"), BL_STR("ca84b4c76e66710@pc33"), bl_sb_str(&d)));
        assert_false(bl_token_dialog_ok(old, what, id, bl_sb_str(&d)));
        assert_false(bl_token_dialog_ok(k, what, id, bl_str_make(text, 15)));
        assert_false(bl_token_dialog_ok(k, what, id, bl_str_make(text, 17)));
        assert_false(bl_token_dialog_ok(k, what, id, BL_STR("")));
        for (size_t i = 0; i < d.n; i++) /* somebody on the way folds case */
                upper[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
        assert_true(bl_token_dialog_ok(k, what, id, bl_str_make(upper, d.n)));
        bl_token_dialog(old, what, id, &again);
        assert_true(bl_token_dialog_ok(k, what, id, bl_sb_str(&again)));
        bl_token_keys_free(k);
        bl_token_keys_free(old);
}

static void branch(void **state)
{
        struct bl_token_keys *k = keys(keyfile);
        char text[7][64];
        struct bl_str b[7];

        (void)state;
        for (unsigned i = 0; i < 7; i++) {
                struct bl_sb out = BL_SB(text[i]);

                bl_token_branch(k, i == 1 ? BL_STR("192.0.2.5") : BL_STR("192.0.2.4"),
                                i == 2 ? BL_STR("z9hG4bKy") : BL_STR("z9hG4bKx"),
                                i == 3 ? BL_STR("d@x") : BL_STR("c@x"), i == 4 ? 12 : 1, i == 5 ? 1 : 0, &out);
                b[i] = bl_sb_str(&out);
                assert_true(bl_str_starts(b[i], BL_STR("z9hG4bK")));
        }
        for (unsigned i = 0; i < 6; i++)
                for (unsigned j = 0; j < i; j++)
                        assert_false(bl_str_eq(b[i], b[j]));
        assert_true(bl_str_eq(b[6], b[0])); /* equal on every edge */
        bl_token_keys_free(k);
}

static void key_files(void **state)
{
        static const struct {
                const char *text, *error;
        } bad[] = {
                {"", "no key in it: a line is a key id, a space and a secret"},
                {"# only a comment\n\n", "no key in it: a line is a key id, a space and a secret"},
                {"A 0001\n", "line 1: the secret is shorter than 16 octets"},
                {"\n# x\nA\n", "line 3: no secret after the key id"},
                {"AB 000102030405060708090a0b0c0d0e0f\n",
                 "line 1: a key id is one character, then a space and the secret"},
                {"- 000102030405060708090a0b0c0d0e0f\n", "line 1: a key id is one of A-Z a-z 0-9"},
                {"A 000102030405060708090a0b0c0d0e0f x\n", "line 1: more than a key id and a secret"},
                {"A 000102030405060708090a0b0c0d0!0f\n", "line 1: the secret is neither hex nor base64url"},
                {"A 000102030405060708090a0b0c0d0e0f\nA 100102030405060708090a0b0c0d0e0f",
                 "line 2: this key id was given before"},
        };
        char error[200];

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                assert_null(bl_token_keys_parse(bl_str_z(bad[i].text), error, sizeof(error)));
                assert_string_equal(error, bad[i].error);
        }
        bl_token_keys_free(keys("  A\t000102030405060708090A0B0C0D0E0F  \r\n"));
        bl_token_keys_free(keys("z AAECAwQFBgcICQoLDA0ODw"));
        bl_token_keys_free(NULL);
}

static void keys_are_exchanged(void **state)
{
        struct bl_token_keys *k = keys(old_keyfile), *fresh = keys(keyfile);
        struct bl_token_cluster c = {BL_STR("edge.example.com"), BL_STR("example.com"), k, false};
        struct bl_token t = {
                .user = BL_STR("joe"), .domain = BL_STR("example.com"), .instance = BL_STR("i"), .star = true};
        char a[BL_TOKEN_MAX], b[BL_TOKEN_MAX], scratch[BL_TOKEN_MAX];
        struct bl_sb before = BL_SB(a), after = BL_SB(b);
        struct bl_token got;

        (void)state;
        assert_int_equal(bl_token_put(&c, &t, &before), 0);
        assert_true(bl_token_keys_signer(k) != bl_token_keys_signer(fresh));
        char signer = bl_token_keys_signer(fresh);
        unsigned count = bl_token_keys_count(fresh);
        bl_token_keys_swap(k, fresh);
        assert_int_equal(bl_token_keys_signer(k), signer);
        assert_int_equal(bl_token_keys_count(k), count);
        assert_int_equal(bl_token_put(&c, &t, &after), 0);
        assert_false(bl_str_eq(bl_sb_str(&before), bl_sb_str(&after)));
        c.keys = fresh; /* what was there before opens its own, and not the new one's */
        struct bl_uri u;
        assert_int_equal(bl_uri_parse(bl_sb_str(&before), &u), 0);
        assert_int_equal(bl_token_open(&c, u.user, scratch, &got), 0);
        assert_int_equal(bl_uri_parse(bl_sb_str(&after), &u), 0);
        assert_int_equal(bl_token_open(&c, u.user, scratch, &got), BL_ENOENT);
        bl_token_keys_free(k);
        bl_token_keys_free(fresh);
}

static void derived_secrets(void **state)
{
        struct bl_token_keys *k = keys(keyfile), *old = keys(old_keyfile);
        uint8_t a[32], b[32], c[32];

        (void)state;
        bl_token_derive(k, BL_STR("nonces"), a);
        bl_token_derive(k, BL_STR("tickets"), b);
        bl_token_derive(old, BL_STR("nonces"), c);
        assert_memory_not_equal(a, b, 32);
        assert_memory_not_equal(a, c, 32);
        bl_token_keys_free(k);
        bl_token_keys_free(old);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(round_trips),
                cmocka_unit_test(texts_differ),
                cmocka_unit_test(readable_text),
                cmocka_unit_test(any_change_is_refused),
                cmocka_unit_test(what_is_no_token),
                cmocka_unit_test(another_cluster_or_key),
                cmocka_unit_test(sealed_hides_and_is_stable),
                cmocka_unit_test(limits),
                cmocka_unit_test(instance_digest),
                cmocka_unit_test(dialog_digest),
                cmocka_unit_test(branch),
                cmocka_unit_test(key_files),
                cmocka_unit_test(keys_are_exchanged),
                cmocka_unit_test(derived_secrets),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
