/* Which final goes upstream, and as what (RFC 3261 section 16.7 steps 6 and 7). */
#include "unit/proxy/rig.h"

static void two(struct rig *r, struct bl_px *px)
{
        (void)r;
        assert_int_equal(add_uri(px, "sip:bob@bob.test", 0), 0);
        assert_int_equal(add_uri(px, "sip:carol@carol.test", 0), 0);
        bl_px_go(px);
}

/* For each pair, in both orders of arrival. */
static void the_better_of_two(void **state)
{
        static const struct {
                unsigned better, worse;
        } rows[] = {
                {200, 404}, {302, 404}, {404, 500}, {600, 302}, {603, 401}, {407, 404}, {401, 486}, {415, 404},
                {420, 410}, {484, 404}, {404, 408}, {486, 430}, {404, 503}, {500, 503}, {504, 503}, {408, 503},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++)
                assert_true(px_best_order(rows[i].better) < px_best_order(rows[i].worse) || rows[i].better == 200);
        for (size_t i = 0; i < 2 * BL_ARRAY_LEN(rows); i++) {
                unsigned better = rows[i / 2].better, worse = rows[i / 2].worse;
                struct rig *r = rig_up();
                r->decide = two;
                SAY(r, ALICE, .method = "INVITE", .ruri = "sip:all@proxy.test");
                const struct got *b = got(r, BOB, "INVITE"), *c = got(r, CAROL, "INVITE");
                answer(r, BOB, b, i % 2 ? better : worse, "b", "");
                answer(r, CAROL, c, i % 2 ? worse : better, "c", "");
                char want[32];
                snprintf(want, sizeof(want), "SIP/2.0 %u ", better);
                const struct got *g = got(r, ALICE, want);
                if (better >= 300)
                        ack(r, "sip:all@proxy.test", "one", g);
                rig_end(r);
        }
}

static void of_equals_the_first(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = two;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:all@proxy.test");
        const struct got *b = got(r, BOB, "INVITE"), *c = got(r, CAROL, "INVITE");
        answer(r, CAROL, c, 486, "c", "");
        answer(r, BOB, b, 404, "b", "");
        ack(r, "sip:all@proxy.test", "one", got(r, ALICE, "SIP/2.0 486 "));
        rig_end(r);
}

static void challenges_are_gathered(void **state)
{
        (void)state;
        for (unsigned order = 0; order < 2; order++) {
                struct rig *r = rig_up();
                r->decide = two;
                SAY(r, ALICE, .method = "INVITE", .ruri = "sip:all@proxy.test");
                const struct got *b = got(r, BOB, "INVITE"), *c = got(r, CAROL, "INVITE");
                static const char from_bob[] = "Proxy-Authenticate: Digest realm=\"b\", nonce=\"1\"\r\n"
                                               "Proxy-Authenticate: Digest realm=\"b2\", nonce=\"2\"\r\n";
                static const char from_carol[] = "WWW-Authenticate: Digest realm=\"c\", nonce=\"3\"\r\n";
                if (order)
                        answer(r, BOB, b, 407, "b", from_bob);
                answer(r, CAROL, c, 401, "c", from_carol);
                if (!order)
                        answer(r, BOB, b, 407, "b", from_bob);
                const struct got *g = got(r, ALICE, order ? "SIP/2.0 407 " : "SIP/2.0 401 ");
                assert_true(contains(g, "\r\nProxy-Authenticate: Digest realm=\"b\", nonce=\"1\"\r\n"));
                assert_true(contains(g, "\r\nProxy-Authenticate: Digest realm=\"b2\", nonce=\"2\"\r\n"));
                assert_true(contains(g, "\r\nWWW-Authenticate: Digest realm=\"c\", nonce=\"3\"\r\n"));
                struct bl_msg *m = parsed(r, g);
                unsigned n = 0;
                for (const struct bl_hdr *h = bl_msg_first(m, BL_H_PROXY_AUTHENTICATE); h; h = bl_msg_next(m, h))
                        n++;
                assert_int_equal(n, 2); /* each once */
                ack(r, "sip:all@proxy.test", "one", g);
                rig_end(r);
        }
}

static void only_challenges_gather(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = two;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:all@proxy.test");
        const struct got *b = got(r, BOB, "INVITE"), *c = got(r, CAROL, "INVITE");
        answer(r, CAROL, c, 401, "c", "WWW-Authenticate: Digest realm=\"c\"\r\n");
        answer(r, BOB, b, 302, "b", "Contact: <sip:x@y>\r\n");
        const struct got *g = got(r, ALICE, "SIP/2.0 302 ");
        assert_false(contains(g, "Authenticate"));
        ack(r, "sip:all@proxy.test", "one", g);
        rig_end(r);
}

static bool to_a_ua;
static void one(struct rig *r, struct bl_px *px)
{
        (void)r;
        assert_int_equal(bl_px_add(px, &(struct bl_px_target){0}), 0);
        if (to_a_ua)
                px->branches->t.send_flags = 0; /* routed as to anybody; only the rule for its answer is a UA's */
        bl_px_go(px);
        if (to_a_ua && px->branches)
                px->branches->t.send_flags = BL_SEND_UA;
}

/* What a lone final becomes: for a neighbour that is belay (;sticky in its Via) and for any other. */
static void what_goes_upstream(void **state)
{
        static const struct {
                const char *method;
                unsigned from_below, plain, sticky, sticky_from_ua;
        } rows[] = {
                {"MESSAGE", 404, 404, 404, 404}, {"MESSAGE", 503, 500, 503, 500},  {"MESSAGE", 430, 480, 430, 430},
                {"MESSAGE", 305, 480, 480, 480}, {"REGISTER", 305, 305, 305, 305}, {"MESSAGE", 408, 504, 504, 504},
                {"MESSAGE", 302, 302, 302, 302}, {"MESSAGE", 500, 500, 500, 500},
        };
        (void)state;
        for (size_t i = 0; i < 3 * BL_ARRAY_LEN(rows); i++) {
                unsigned how = i % 3;
                unsigned want = how == 0   ? rows[i / 3].plain
                                : how == 1 ? rows[i / 3].sticky
                                           : rows[i / 3].sticky_from_ua;
                struct rig *r = rig_up();
                to_a_ua = how == 2;
                r->decide = one;
                char text[1000];
                snprintf(text, sizeof(text),
                         "%s sip:bob@bob.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bKx%s\r\nMax-Forwards: "
                         "7\r\n"
                         "From: <sip:a@b>;tag=1\r\nTo: <sip:bob@bob.test>\r\nCall-ID: q\r\nCSeq: 1 %s\r\n\r\n",
                         rows[i / 3].method, how ? ";sticky" : "", rows[i / 3].method);
                say(r, ALICE, text);
                answer(r, BOB, got(r, BOB, rows[i / 3].method), rows[i / 3].from_below, "b", "Retry-After: 5\r\n");
                run_ms(r, 30000); /* when hop/ tried again, until it gave up */
                snprintf(text, sizeof(text), "SIP/2.0 %u ", want);
                got(r, ALICE, text);
                rig_end(r);
        }
        to_a_ua = false;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_better_of_two),       cmocka_unit_test(of_equals_the_first),
                cmocka_unit_test(challenges_are_gathered), cmocka_unit_test(only_challenges_gather),
                cmocka_unit_test(what_goes_upstream),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
