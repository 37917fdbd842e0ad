/* Several targets: equal q in parallel, then the next q (RFC 3261 section 16.6), with bounded breadth (RFC 5393). */
#include "unit/proxy/rig.h"

static const char GROUP[] = "sip:all@proxy.test";

static void parallel(struct rig *r, struct bl_px *px)
{
        (void)r;
        assert_int_equal(add_uri(px, "sip:bob@bob.test", 500), 0);
        assert_int_equal(add_uri(px, "sip:carol@carol.test", 500), 0);
        assert_int_equal(add_uri(px, "sip:dave@dave.test", 500), 0);
        bl_px_go(px);
}

static void serial(struct rig *r, struct bl_px *px)
{
        (void)r;
        assert_int_equal(add_uri(px, "sip:dave@dave.test", 10), 0);
        assert_int_equal(add_uri(px, "sip:bob@bob.test", 1000), 0);
        assert_int_equal(add_uri(px, "sip:carol@carol.test", 200), 0);
        bl_px_go(px);
}

static struct rig *invited(void (*decide)(struct rig *, struct bl_px *))
{
        struct rig *r = rig_up();
        r->decide = decide;
        SAY(r, ALICE, .method = "INVITE", .ruri = GROUP, .to = "<sip:all@proxy.test>");
        return r;
}

static void the_first_2xx_cancels_the_others(void **state)
{
        (void)state;
        struct rig *r = invited(parallel);
        const struct got *b = got(r, BOB, "INVITE sip:bob@bob.test "),
                         *c = got(r, CAROL, "INVITE sip:carol@carol.test "),
                         *d = got(r, DAVE, "INVITE sip:dave@dave.test ");
        assert_false(bl_str_eq(parsed(r, b)->via.branch, parsed(r, c)->via.branch));
        assert_false(bl_str_eq(parsed(r, c)->via.branch, parsed(r, d)->via.branch));
        answer(r, BOB, b, 180, "b", "");
        answer(r, CAROL, c, 180, "c", "");
        answer(r, DAVE, d, 180, "d", "");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 180 "), 3);
        answer(r, CAROL, c, 200, "c", "");
        got(r, ALICE, "SIP/2.0 200 ");
        got(r, BOB, "CANCEL");
        got(r, DAVE, "CANCEL");
        got_none(r, CAROL, "CANCEL");
        answer(r, BOB, b, 487, "b", "");
        got_none(r, ALICE, "SIP/2.0 487 ");
        got(r, BOB, "ACK");
        /* dave was faster than the CANCEL: his 2xx goes up too (16.7 step 5) */
        answer(r, DAVE, d, 200, "d", "");
        assert_str(bl_str_trim(parsed(r, nth(r, ALICE, "SIP/2.0 200 ", 1))->to_tag), "d");
        rig_end(r);
}

static void only_one_2xx_of_a_non_invite(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = parallel;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = GROUP);
        answer(r, BOB, got(r, BOB, "MESSAGE"), 200, "b", "");
        answer(r, CAROL, got(r, CAROL, "MESSAGE"), 200, "c", "");
        assert_int_equal(count_of(r, ALICE, "SIP/2.0 200 "), 1);
        assert_int_equal(bl_proxy_contexts(r->p), 0);
        got_none(r, DAVE, "CANCEL");
        rig_end(r);
}

static void a_6xx_cancels_and_waits(void **state)
{
        (void)state;
        struct rig *r = invited(parallel);
        const struct got *b = got(r, BOB, "INVITE"), *c = got(r, CAROL, "INVITE"), *d = got(r, DAVE, "INVITE");
        answer(r, BOB, b, 180, "b", "");
        answer(r, CAROL, c, 180, "c", "");
        answer(r, DAVE, d, 603, "d", "");
        got_none(r, ALICE, "SIP/2.0 6");
        got(r, BOB, "CANCEL");
        got(r, CAROL, "CANCEL");
        answer(r, BOB, b, 487, "b", "");
        got_none(r, ALICE, "SIP/2.0 6");
        answer(r, CAROL, c, 487, "c", "");
        ack(r, GROUP, "one", got(r, ALICE, "SIP/2.0 603 "));
        rig_end(r);
}

static void cancel_goes_to_all_pending(void **state)
{
        (void)state;
        struct rig *r = invited(parallel);
        const struct got *b = got(r, BOB, "INVITE"), *c = got(r, CAROL, "INVITE"), *d = got(r, DAVE, "INVITE");
        answer(r, BOB, b, 180, "b", "");
        answer(r, CAROL, c, 486, "c", "");
        answer(r, DAVE, d, 180, "d", "");
        SAY(r, ALICE, .method = "CANCEL", .ruri = GROUP);
        got(r, BOB, "CANCEL");
        got(r, DAVE, "CANCEL");
        got_none(r, CAROL, "CANCEL");
        answer(r, BOB, b, 487, "b", "");
        answer(r, DAVE, d, 487, "d", "");
        ack(r, GROUP, "one", got(r, ALICE, "SIP/2.0 4"));
        rig_end(r);
}

static void serial_by_q(void **state)
{
        (void)state;
        struct rig *r = invited(serial);
        const struct got *b = got(r, BOB, "INVITE");
        got_none(r, CAROL, "INVITE");
        answer(r, BOB, b, 486, "b", "");
        const struct got *c = got(r, CAROL, "INVITE");
        got_none(r, DAVE, "INVITE");
        got_none(r, ALICE, "SIP/2.0 4");
        answer(r, CAROL, c, 302, "c", "Contact: <sip:x@y>\r\n");
        const struct got *d = got(r, DAVE, "INVITE");
        answer(r, DAVE, d, 404, "d", "");
        const struct got *g = got(r, ALICE, "SIP/2.0 302 "); /* the lowest class, kept since */
        assert_true(contains(g, "Contact: <sip:x@y>"));
        ack(r, GROUP, "one", g);
        assert_int_equal(r->n_failed, 3);
        rig_end(r);
}

static void serial_stops_at_2xx_and_at_6xx(void **state)
{
        (void)state;
        static const unsigned finals[] = {200, 600};
        for (unsigned i = 0; i < 2; i++) {
                struct rig *r = invited(serial);
                answer(r, BOB, got(r, BOB, "INVITE"), 480, "b", "");
                answer(r, CAROL, got(r, CAROL, "INVITE"), finals[i], "c", "");
                const struct got *g = got(r, ALICE, i ? "SIP/2.0 600 " : "SIP/2.0 200 ");
                got_none(r, DAVE, "INVITE");
                if (i)
                        ack(r, GROUP, "one", g);
                rig_end(r);
        }
}

static void cancel_stops_the_serial_search(void **state)
{
        (void)state;
        struct rig *r = invited(serial);
        const struct got *b = got(r, BOB, "INVITE");
        answer(r, BOB, b, 180, "b", "");
        SAY(r, ALICE, .method = "CANCEL", .ruri = GROUP);
        answer(r, BOB, b, 487, "b", "");
        ack(r, GROUP, "one", got(r, ALICE, "SIP/2.0 487 "));
        got_none(r, CAROL, "INVITE");
        rig_end(r);
}

static void a_silent_target_gives_way_to_the_next(void **state)
{
        (void)state;
        struct rig *r = invited(serial);
        got(r, BOB, "INVITE");
        run_ms(r, 33000);
        answer(r, CAROL, got(r, CAROL, "INVITE"), 200, "c", "");
        got(r, ALICE, "SIP/2.0 200 ");
        rig_end(r);
}

/* RFC 5393: what goes out in parallel adds up to what came in. */
static void breadth_is_split(void **state)
{
        static const struct {
                const char *header;
                const char *want[3];
        } rows[] = {
                {"", {"20", "20", "20"}},
                {"Max-Breadth: 5\r\n", {"2", "2", "1"}},
                {"Max-Breadth: 3\r\n", {"1", "1", "1"}},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct rig *r = rig_up();
                r->decide = parallel;
                SAY(r, ALICE, .method = "MESSAGE", .ruri = GROUP, .headers = rows[i].header);
                for (unsigned w = BOB; w <= DAVE; w++)
                        assert_str(value_of(r, got(r, w, "MESSAGE"), "Max-Breadth"), rows[i].want[w - BOB]);
                rig_end(r);
        }
}

static void too_little_breadth_is_440(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = parallel;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = GROUP, .headers = "Max-Breadth: 2\r\n");
        got(r, ALICE, "SIP/2.0 440 ");
        got_none(r, BOB, "MESSAGE");
        /* one after another it is enough, and each gets all of it */
        r->decide = serial;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = GROUP, .headers = "Max-Breadth: 1\r\n", .branch = "two");
        const struct got *g = got(r, BOB, "MESSAGE");
        assert_str(value_of(r, g, "Max-Breadth"), "1");
        answer(r, BOB, g, 404, "b", "");
        assert_str(value_of(r, got(r, CAROL, "MESSAGE"), "Max-Breadth"), "1");
        rig_end(r);
}

static void a_role_adds_a_target_when_one_failed(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->extra = (struct bl_px_target){.ruri = BL_STR("sip:carol@carol.test"), .q = 0};
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test");
        answer(r, BOB, got(r, BOB, "INVITE"), 430, "b", "");
        assert_int_equal(r->failed[0], 430);
        answer(r, CAROL, got(r, CAROL, "INVITE sip:carol@carol.test "), 200, "c", "");
        got(r, ALICE, "SIP/2.0 200 ");
        rig_end(r);
}

static void more_is_refused_after_the_end(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->extra = (struct bl_px_target){.ruri = BL_STR("sip:carol@carol.test")};
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test");
        const struct got *b = got(r, BOB, "INVITE");
        answer(r, BOB, b, 180, "b", "");
        SAY(r, ALICE, .method = "CANCEL", .ruri = "sip:bob@bob.test");
        answer(r, BOB, b, 487, "b", "");
        got_none(r, CAROL, "INVITE");
        assert_int_not_equal(r->extra.ruri.n, 0); /* not taken */
        ack(r, "sip:bob@bob.test", "one", got(r, ALICE, "SIP/2.0 487 "));
        rig_end(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_2xx_cancels_the_others),
                cmocka_unit_test(only_one_2xx_of_a_non_invite),
                cmocka_unit_test(a_6xx_cancels_and_waits),
                cmocka_unit_test(cancel_goes_to_all_pending),
                cmocka_unit_test(serial_by_q),
                cmocka_unit_test(serial_stops_at_2xx_and_at_6xx),
                cmocka_unit_test(cancel_stops_the_serial_search),
                cmocka_unit_test(a_silent_target_gives_way_to_the_next),
                cmocka_unit_test(breadth_is_split),
                cmocka_unit_test(too_little_breadth_is_440),
                cmocka_unit_test(a_role_adds_a_target_when_one_failed),
                cmocka_unit_test(more_is_refused_after_the_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
