/* Both comparisons and the hash: RFC 3261 19.1.4's examples, and that exact => equivalent => same hash. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "sip/uri.h"
#include "unit/oom.h"

enum relation { DIFFER, EQUIVALENT, EXACT };

static const struct {
        const char *a, *b;
        enum relation want;
} rows[] = {
        /* RFC 3261 19.1.4: equivalent within each set */
        {"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", EXACT},
        {"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", EQUIVALENT},
        {"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", EQUIVALENT},
        {"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", EQUIVALENT},
        {"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
         "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", EXACT},
        {"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
         "sip:alice@atlanta.com?priority=urgent&subject=project%20x", EXACT},
        /* RFC 3261 19.1.4: not equivalent */
        {"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", DIFFER},
        {"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", DIFFER},
        {"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", DIFFER},
        {"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", DIFFER},
        {"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", DIFFER},
        {"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", DIFFER},
        {"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", DIFFER},
        /* the parameters that count alone */
        {"sip:h", "sip:h;user=phone", DIFFER},
        {"sip:h", "sip:h;ttl=1", DIFFER},
        {"sip:h", "sip:h;method=INVITE", DIFFER},
        {"sip:h", "sip:h;maddr=1.2.3.4", DIFFER},
        {"sip:h;maddr=1.2.3.4", "sip:h;MADDR=1.2.3.4", EXACT},
        {"sip:h;tr%61nsport=udp", "sip:h;transport=udp", EXACT},
        {"sip:h;tr%61nsport=udp", "sip:h", DIFFER},
        {"sip:h;transport=udp;transport=tcp", "sip:h;transport=tcp;transport=udp;transport=tcp", EXACT},
        {"sip:h;transport=udp;transport=tcp", "sip:h;transport=tcp", DIFFER},
        /* what stickiness needs: P and P;d */
        {"sip:p@e;lr", "sip:p@e;lr;d=1", EQUIVALENT},
        {"sip:p@e;lr;d=2", "sip:p@e;lr;d=1", DIFFER},
        {"sip:p@e;lr;d=1", "sip:p@e;d=1;lr=on", EXACT},
        {"sip:p@e;lr;d=1", "sip:p@e;lr=true;d=1", EXACT},
        {"sip:p@e;lr", "sip:p@e", EQUIVALENT},
        {"sip:p@e;lr;ob", "sip:p@e;ob;lr;ob", EXACT},
        {"sip:p@e;a=1;b=2", "sip:p@e;b=2", EQUIVALENT},
        {"sip:p@e;a", "sip:p@e;a=1", DIFFER},
        /* user and password */
        {"sip:a:b@h", "sip:a:b@h", EXACT},
        {"sip:a:b@h", "sip:a@h", DIFFER},
        {"sip:a@h", "sip:h", DIFFER},
        {"sip:a@h", "sip:A@h", DIFFER},
        {"sip:a%3Bb@h", "sip:a;b@h", DIFFER}, /* reserved */
        {"sip:a%3bb@h", "sip:a%3Bb@h", EXACT},
        {"sip:a%40b@h", "sip:a%2eb@h", DIFFER},
        {"sip:%E2%98@h", "sip:%e2%98@h", EXACT},
        {"sip:%00@h", "sip:%00%00@h", DIFFER},
        /* hosts */
        {"sip:h.example.com.", "sip:H.Example.Com", EXACT},
        {"sip:[2001:db8::1]", "sip:[2001:DB8:0:0::1]", EXACT},
        {"sip:[::ffff:1.2.3.4]", "sip:[::FFFF:102:304]", EXACT},
        {"sip:[::1]", "sip:[::2]", DIFFER},
        {"sip:1.2.3.4", "sip:1.2.3.5", DIFFER},
        /* schemes */
        {"sip:a@h", "sips:a@h", DIFFER},
        {"sip:five", "tel:5", DIFFER},
        {"tel:+1-201-555", "tel:+1201.555", EXACT},
        {"tel:+1-201-555", "tel:+1-201-556", DIFFER},
        {"tel:12;ext=1", "tel:12", DIFFER}, /* RFC 3966 5 */
        {"tel:12;a=1;b=2", "tel:12;B=2;A=1", EXACT},
        {"urn:service:sos", "URN:service:sos", EXACT},
        {"urn:service:sos", "urn:service:SOS", DIFFER},
        {"urn:x", "xrn:x", DIFFER},
        /* headers */
        {"sip:h?a=b", "sip:h?A=b", EXACT},
        {"sip:h?a=b", "sip:h?a=c", DIFFER},
        {"sip:h?a=b&c=d", "sip:h?a=b", DIFFER},
};

static struct bl_uri uri(const char *text)
{
        struct bl_uri u = {0};

        if (bl_uri_parse(bl_str_z(text), &u) < 0)
                fail_msg("%s does not parse", text);
        return u;
}

static enum relation relation(const struct bl_uri *a, const struct bl_uri *b, bool secure_alike)
{
        bool exact = bl_uri_exact(a, b, secure_alike), equivalent = bl_uri_equivalent(a, b, secure_alike);

        if (exact != bl_uri_exact(b, a, secure_alike) || equivalent != bl_uri_equivalent(b, a, secure_alike))
                fail_msg("%.*s and %.*s: not symmetric", BL_STR_ARG(a->all), BL_STR_ARG(b->all));
        if (exact && !equivalent)
                fail_msg("%.*s and %.*s: exact, not equivalent", BL_STR_ARG(a->all), BL_STR_ARG(b->all));
        if (equivalent && bl_uri_hash(7, a) != bl_uri_hash(7, b))
                fail_msg("%.*s and %.*s: equivalent, hashes differ", BL_STR_ARG(a->all), BL_STR_ARG(b->all));
        return exact ? EXACT : equivalent ? EQUIVALENT : DIFFER;
}

static void examples(void **state)
{
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct bl_uri a, b;

                a = uri(rows[i].a);
                b = uri(rows[i].b);
                if (relation(&a, &b, false) != rows[i].want)
                        fail_msg("%s and %s: %d", rows[i].a, rows[i].b, relation(&a, &b, false));
                assert_int_equal(relation(&a, &a, false), EXACT);
                assert_int_equal(relation(&b, &b, true), EXACT);
        }
}

static void secure_alike(void **state)
{
        struct bl_uri a = uri("sip:a@h;lr"), b = uri("sips:a@h;lr"), t = uri("tel:1"), t2 = uri("tel:1");

        (void)state;
        assert_int_equal(relation(&a, &b, false), DIFFER);
        assert_int_equal(relation(&a, &b, true), EXACT);
        assert_int_equal(relation(&a, &t, true), DIFFER);
        assert_int_equal(relation(&t, &t2, true), EXACT);
}

static void hosts(void **state)
{
        (void)state;
        assert_true(bl_host_eq(BL_STR("a.B."), BL_STR("A.b")));
        assert_true(bl_host_eq(BL_STR("[::1]"), BL_STR("[0:0::1]")));
        assert_false(bl_host_eq(BL_STR("a"), BL_STR("b")));
        assert_false(bl_host_eq(BL_STR("a"), BL_STR("")));
        assert_false(bl_host_eq(BL_STR("[::1]"), BL_STR("a")));
        assert_true(bl_host_eq(BL_STR(""), BL_STR("")));
}

/* The hash spreads: what is not equivalent seldom shares one. */
static void spreads(void **state)
{
        static uint64_t seen[20000];
        unsigned same = 0;

        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(seen); i++) {
                char text[64];
                struct bl_uri u;

                snprintf(text, sizeof text, "sip:u%u@h%u;transport=%s", i / 4, i % 2, i / 2 % 2 ? "tcp" : "udp");
                u = uri(text);
                seen[i] = bl_uri_hash(1, &u) & 0xffffff;
                for (unsigned j = i > 16 ? i - 16 : 0; j < i; j++)
                        same += seen[j] == seen[i];
                assert_true(bl_uri_hash(1, &u) != bl_uri_hash(2, &u));
        }
        assert_true(same < 4);
}

/* ---- random URIs over a small alphabet, so that pairs are often related ---- */

static uint32_t next(uint64_t *seed)
{
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(*seed >> 33);
}

static void pick(struct bl_sb *b, uint64_t *seed, const char *const *from, unsigned n)
{
        bl_sb_addz(b, from[next(seed) % n]);
}
#define PICK(b, seed, ...)                                                                                             \
        pick((b), (seed), (const char *const[]){__VA_ARGS__},                                                          \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Spellings of the same thing stand together: `class` chooses the thing, the seed its spelling. */
static struct bl_uri random_uri(uint64_t *seed, unsigned class, char *text, size_t cap)
{
        static const char *const users[4][3] = {
                {"", "", ""}, {"a@", "%61@", "A@"}, {"a;b@", "a%3bb@", "a%3Bb@"}, {"%C3@", "%c3@", "a:p@"}};
        static const char *const hosts[3][3] = {
                {"h", "H", "h."}, {"[::1]", "[0::1]", "[::0:1]"}, {"1.2.3.4", "h", "h"}};
        struct bl_sb b = {text, 0, cap - 1, false};
        struct bl_uri u;

        PICK(&b, seed, "sip:", "sip:", "SIP:", "sips:");
        pick(&b, seed, users[class % 4], 3);
        pick(&b, seed, hosts[class / 4 % 3], 3);
        PICK(&b, seed, "", "", "", ":5060");
        for (unsigned n = next(seed) % 3; n; n--)
                PICK(&b, seed, ";lr", ";lr=on", ";LR", ";l%72", ";transport=tcp", ";Transport=TCP", ";tr%61nsport=udp",
                     ";d=1", ";d=%31", ";d=2", ";ob", ";maddr=h", ";maddr=H", ";ttl=1", ";method=a", ";user=ip");
        PICK(&b, seed, "", "", "", "", "", "?a=b", "?A=%62", "?a=b&c=d", "?c=d&a=b");
        text[b.n] = 0;
        if (bl_uri_parse(bl_sb_str(&b), &u) < 0)
                fail_msg("%s", text);
        return u;
}

static void properties(void **state)
{
        uint64_t seed = 20061012;
        unsigned count[3] = {0};
        long before = oom_count();

        (void)state;
        for (unsigned i = 0; i < 300000; i++) {
                char x[256], y[256];
                unsigned class = next(&seed), other = next(&seed) % 4 ? class : next(&seed);
                struct bl_uri a = random_uri(&seed, class, x, sizeof x), b = random_uri(&seed, other, y, sizeof y);

                count[relation(&a, &b, i % 2)]++;
        }
        assert_true(count[EXACT] > 1000 && count[EQUIVALENT] > 1000 && count[DIFFER] > 1000);
        assert_int_equal(oom_count(), before); /* nothing is allocated */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(examples), cmocka_unit_test(secure_alike), cmocka_unit_test(hosts),
                cmocka_unit_test(spreads),  cmocka_unit_test(properties),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
