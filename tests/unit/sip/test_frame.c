#include "unit/unit.h"

#include "sip/frame.h"
#include "unit/guard.h"

#define MSG1 "BYE sip:a SIP/2.0\r\nl: 5\r\nX: y\r\n\r\nhello"
#define MSG2 "SIP/2.0 200 OK\r\nX: Content-Length: 9\r\nCONTENT-LENGTH \t:\r\n 0\r\n\r\n"

struct event {
        int kind; /* enum bl_frame_kind, or the error */
        struct bl_str octets;
};

/* Feeds `in` in pieces of `step` octets and collects what comes out. */
static unsigned run(struct bl_str in, size_t step, bool wait_pair, size_t max, struct event *ev, unsigned cap)
{
        struct bl_frame_state st = {.wait_pair = wait_pair};
        size_t start = 0;
        unsigned n = 0;

        for (size_t have = step; start < in.n; have += step) {
                int rc;

                if (have > in.n)
                        have = in.n;
                do {
                        enum bl_frame_kind kind;
                        struct bl_str octets;

                        rc = bl_frame_next(&st, bl_str_make(in.p + start, have - start), max, &kind, &octets);
                        if (rc == BL_EMORE)
                                break;
                        assert_true(n < cap);
                        ev[n++] = (struct event){rc > 0 ? (int)kind : rc, octets};
                        if (rc < 0)
                                return n;
                        start += (size_t)rc;
                } while (start < have);
                if (have == in.n)
                        return n;
        }
        return n;
}

static void cuts(void **state)
{
        static const char stream[] = "\r\n\r\n" MSG1 "\r\n\r\n" MSG2 MSG1;
        struct event ev[16];

        (void)state;
        for (size_t step = 1; step < sizeof stream; step++) {
                unsigned n = run(bl_str_z(stream), step, true, 1000, ev, 16);

                assert_int_equal(n, 5);
                assert_int_equal(ev[0].kind, BL_FRAME_PING);
                assert_int_equal(ev[1].kind, BL_FRAME_MESSAGE);
                assert_str(ev[1].octets, MSG1);
                assert_int_equal(ev[2].kind, BL_FRAME_PING);
                assert_str(ev[3].octets, MSG2);
                assert_str(ev[4].octets, MSG1);
        }
}

/* RFC 5626 4.4.1: one CRLF is a pong, at once where it is awaited; else it may be half a ping. */
static void keepalives(void **state)
{
        struct event ev[8];

        (void)state;
        assert_int_equal(run(BL_STR("\r\n"), 2, false, 100, ev, 8), 1);
        assert_int_equal(ev[0].kind, BL_FRAME_PONG);
        assert_int_equal(run(BL_STR("\r\n"), 2, true, 100, ev, 8), 0);
        assert_int_equal(run(BL_STR("\r\n\r"), 1, true, 100, ev, 8), 0);
        assert_int_equal(run(BL_STR("\r\n\r\n\r\n"), 6, true, 100, ev, 8), 1);
        assert_int_equal(ev[0].kind, BL_FRAME_PING);
        assert_int_equal(run(BL_STR("\r\n\r\n"), 4, false, 100, ev, 8), 1);
        assert_int_equal(ev[0].kind, BL_FRAME_PING);
        /* before a message it is a pong either way, RFC 3261 7.5 */
        for (unsigned wait = 0; wait < 2; wait++) {
                assert_int_equal(run(BL_STR("\r\n" MSG1), 3, wait, 100, ev, 8), 2);
                assert_int_equal(ev[0].kind, BL_FRAME_PONG);
                assert_str(ev[1].octets, MSG1);
        }
        assert_int_equal(run(BL_STR("\rX"), 2, true, 100, ev, 8), 1);
        assert_int_equal(ev[0].kind, BL_EMALFORMED);
}

static void refuses(void **state)
{
        static const struct {
                const char *in;
                bool whole; /* the headers are given back for the answer */
        } rows[] = {
                {"BYE sip:a SIP/2.0\r\nX: y\r\n\r\n", true},
                {"BYE sip:a SIP/2.0\r\nl: x\r\n\r\n", true},
                {"BYE sip:a SIP/2.0\r\nl: -1\r\n\r\n", true},
                {"BYE sip:a SIP/2.0\r\nl:\r\n\r\n", true},
                {"BYE sip:a SIP/2.0\r\nl: 1 2\r\n\r\n", true},
                {"BYE sip:a SIP/2.0\r\nl: 99999999999999999999\r\n\r\n", true},
                {"BYE sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n", true},
                {"BYE sip:a SIP/2.0\r\nX: y\r\n l: 5\r\n\r\n", true}, /* inside a fold it is no header */
                {"BYE sip:a SIP/2.0\nl: 0\r\n\r\n", false},
                {"\nBYE", false},
                {"BYE sip:a SIP/2.0\r\nl: 0\n\n", false},
        };
        struct event ev[2];

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                for (size_t step = 1; step < 40; step += 3) {
                        assert_int_equal(run(bl_str_z(rows[i].in), step, true, 1000, ev, 2), 1);
                        assert_int_equal(ev[0].kind, BL_EMALFORMED);
                        assert_int_equal(ev[0].octets.n, rows[i].whole ? strlen(rows[i].in) : 0);
                }
        }
        /* twice the same length: cut here, refused by the parser */
        assert_int_equal(run(BL_STR("B a SIP/2.0\r\nl: 1\r\nl: 1\r\n\r\nx"), 7, true, 1000, ev, 2), 1);
        assert_int_equal(ev[0].kind, BL_FRAME_MESSAGE);
}

static void limits(void **state)
{
        struct event ev[2];
        size_t n = strlen(MSG1);

        (void)state;
        assert_int_equal(run(BL_STR(MSG1), 1, true, n, ev, 2), 1);
        assert_int_equal(ev[0].kind, BL_FRAME_MESSAGE);
        assert_int_equal(run(BL_STR(MSG1), 1, true, n - 1, ev, 2), 1);
        assert_int_equal(ev[0].kind, BL_ELIMIT);
        assert_int_equal(ev[0].octets.n, n - 5); /* known as soon as the headers are there */
        assert_int_equal(run(BL_STR(MSG1), 1, true, 20, ev, 2), 1);
        assert_int_equal(ev[0].kind, BL_ELIMIT);
        assert_str(ev[0].octets, "BYE sip:a SIP/2.0\r\n"); /* what can be answered of headers without an end */
        assert_int_equal(run(BL_STR(MSG1), 1, true, 10, ev, 2), 1);
        assert_int_equal(ev[0].kind, BL_ELIMIT);
        assert_int_equal(ev[0].octets.n, 0);
        assert_int_equal(run(BL_STR("B a SIP/2.0\r\nl: 4294967295\r\n\r\n"), 50, true, SIZE_MAX, ev, 2), 1);
        assert_int_equal(ev[0].kind, BL_ELIMIT);
}

static void look(struct bl_str prefix, void *arg)
{
        struct bl_frame_state st = {0};
        enum bl_frame_kind kind;
        struct bl_str octets;
        int rc = bl_frame_next(&st, prefix, 1000, &kind, &octets);

        (void)arg;
        assert_true(rc <= (int)prefix.n);
        assert_int_equal(rc > 0, prefix.n >= strlen(MSG2));
}

static void truncated(void **state)
{
        (void)state;
        guard_each_prefix(BL_STR(MSG2), look, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(cuts),   cmocka_unit_test(keepalives), cmocka_unit_test(refuses),
                cmocka_unit_test(limits), cmocka_unit_test(truncated),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
