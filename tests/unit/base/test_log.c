#include "base/log.h"

#include <jansson.h>
#include <stdlib.h>

#include "unit/oom.h"
#include "unit/rng.h"
#include "unit/unit.h"

struct got {
        char line[4096];
        size_t n;
        unsigned lines;
};

static void sink(struct bl_log *log, enum bl_level level, struct bl_str line)
{
        struct got *g = log->sink_arg;
        (void)level;
        assert_true(line.n < sizeof(g->line));
        memcpy(g->line, line.p, line.n);
        g->n = line.n;
        g->lines++;
}

static struct bl_log *log_new(struct got *g, bool json)
{
        struct bl_log *log = calloc(1, sizeof(*log));
        *g = (struct got){0};
        log->level = BL_LOG_INFO;
        log->json = json;
        log->node = BL_STR("e1");
        log->sink = sink;
        log->sink_arg = g;
        return log;
}

#define assert_line(g, text) assert_str(bl_str_make((g).line, (g).n), text)

static void writes_one_event_a_line(void **state)
{
        struct got g;
        struct bl_log *log = log_new(&g, false);
        (void)state;
        bl_log_ev(log, BL_LOG_INFO, "flow_down", BL_KI("flow", 3), BL_KZ("reason", "reset"), BL_KI("min", INT64_MIN));
        assert_line(g, "level=info event=flow_down node=e1 flow=3 reason=reset min=-9223372036854775808");
        log->node = BL_STR("");
        bl_log_ev(log, BL_LOG_ERROR, "stop", BL_KS("empty", BL_STR("")), BL_KZ("null", NULL));
        assert_line(g, "level=error event=stop empty=\"\" null=\"\"");
        bl_log_write(log, BL_LOG_WARN, "bare", NULL, 0);
        assert_line(g, "level=warn event=bare");
        free(log);
}

static void writes_the_same_as_json(void **state)
{
        struct got g;
        struct bl_log *log = log_new(&g, true);
        (void)state;
        log->wall = 951782400; /* 29 February 2000 */
        bl_log_ev(log, BL_LOG_INFO, "flow_down", BL_KI("flow", -3), BL_KZ("reason", "a \"b\""));
        assert_line(g, "{\"ts\":\"2000-02-29T00:00:00Z\",\"level\":\"info\",\"event\":\"flow_down\",\"node\":\"e1\","
                       "\"flow\":-3,\"reason\":\"a \\\"b\\\"\"}");
        free(log);
}

static void stamps_in_utc(void **state)
{
        static const struct {
                int64_t wall;
                const char *want;
        } table[] = {
                {1, "ts=1970-01-01T00:00:01Z"},          {86399, "ts=1970-01-01T23:59:59Z"},
                {951868799, "ts=2000-02-29T23:59:59Z"},  {951868800, "ts=2000-03-01T00:00:00Z"},
                {1704067199, "ts=2023-12-31T23:59:59Z"}, {1709210096, "ts=2024-02-29T12:34:56Z"},
                {4107542400, "ts=2100-03-01T00:00:00Z"}, {253402300799, "ts=9999-12-31T23:59:59Z"},
        };
        struct got g;
        struct bl_log *log = log_new(&g, false);
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++) {
                log->wall = table[i].wall;
                bl_log_write(log, BL_LOG_INFO, "x", NULL, 0);
                assert_str(bl_str_make(g.line, strlen(table[i].want)), table[i].want);
        }
        free(log);
}

static void keeps_to_the_level(void **state)
{
        struct got g;
        struct bl_log *log = log_new(&g, false);
        (void)state;
        bl_log_ev(log, BL_LOG_DEBUG, "request", BL_KI("n", 1));
        bl_log_write(log, BL_LOG_DEBUG, "request", NULL, 0);
        assert_int_equal(g.lines, 0);
        log->level = BL_LOG_DEBUG;
        bl_log_ev(log, BL_LOG_DEBUG, "request", BL_KI("n", 1));
        assert_int_equal(g.lines, 1);
        log->sink = NULL;
        bl_log_ev(log, BL_LOG_ERROR, "x", BL_KI("n", 1));
        bl_log_ev((struct bl_log *)NULL, BL_LOG_ERROR, "x", BL_KI("n", 1));
        free(log);
}

/* Nothing that a terminal or a log reader would act upon. */
static void escapes(void **state)
{
        static const struct {
                struct bl_str in;
                const char *plain, *json;
        } table[] = {
                {{"a=b", 3}, "\"a=b\"", "a=b"},
                {{"a b", 3}, "\"a b\"", "a b"},
                {{"\\", 1}, "\"\\\\\"", "\\\\"},
                {{"x\r\nevent=forged", 15}, "\"x\\r\\nevent=forged\"", "x\\r\\nevent=forged"},
                {{"\x1b[31m", 5}, "\"\\x1b[31m\"", "\\u001b[31m"},
                {{"\0", 1}, "\"\\x00\"", "\\u0000"},
                {{"\x7f", 1}, "\"\\x7f\"", "\\u007f"},
                {{"\xc3\xa9", 2}, "\"\xc3\xa9\"", "\xc3\xa9"},
                {{"\xe2\x82\xac\xf0\x9f\x98\x80", 7},
                 "\"\xe2\x82\xac\xf0\x9f\x98\x80\"",
                 "\xe2\x82\xac\xf0\x9f\x98\x80"},
                {{"\xc2\x9b", 2}, "\"\\xc2\\x9b\"", "\\u009b"}, /* CSI in one octet: a control */
                {{"\xff"
                  "a",
                  2},
                 "\"\\xffa\"",
                 "\\ufffda"},
                {{"\xc3", 1}, "\"\\xc3\"", "\\ufffd"},                                 /* cut short */
                {{"\xc0\xaf", 2}, "\"\\xc0\\xaf\"", "\\ufffd\\ufffd"},                 /* overlong */
                {{"\xed\xa0\x80", 3}, "\"\\xed\\xa0\\x80\"", "\\ufffd\\ufffd\\ufffd"}, /* a surrogate */
                {{"\xf4\x90\x80\x80", 4}, "\"\\xf4\\x90\\x80\\x80\"", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        };
        struct got g;
        struct bl_log *plain = log_new(&g, false), *json = log_new(&g, true);
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(table); i++) {
                char want[256];
                struct bl_sb b = BL_SB(want);
                bl_sb_addz(&b, "level=info event=x node=e1 v=");
                bl_sb_addz(&b, table[i].plain);
                bl_log_ev(plain, BL_LOG_INFO, "x", BL_KS("v", table[i].in));
                assert_true(bl_str_eq(bl_str_make(g.line, g.n), bl_sb_str(&b)));
                b.n = 0;
                bl_sb_fmt(&b, "{\"level\":\"info\",\"event\":\"x\",\"node\":\"e1\",\"v\":\"%s\"}", table[i].json);
                bl_log_ev(json, BL_LOG_INFO, "x", BL_KS("v", table[i].in));
                assert_true(bl_str_eq(bl_str_make(g.line, g.n), bl_sb_str(&b)));
        }
        free(plain);
        free(json);
}

static void whatever_comes_the_line_is_json_and_bounded(void **state)
{
        struct got g;
        struct bl_log *log = log_new(&g, true);
        struct rng r = {3};
        (void)state;
        print_message("seed 3\n");
        for (unsigned i = 0; i < 2000; i++) {
                char junk[700];
                struct bl_str v[6];
                for (size_t k = 0; k < sizeof(junk); k++)
                        junk[k] = (char)(rng_below(&r, 3) ? rng_next(&r) : 0x80 + rng_below(&r, 128));
                for (unsigned k = 0; k < 6; k++)
                        v[k] = bl_str_make(junk, rng_below(&r, sizeof(junk) + 1));
                log->_suppressed = i % 2 ? UINT32_MAX : 0;
                log->_suppressed_event = "x";
                bl_log_ev(log, BL_LOG_INFO, "x", BL_KS("a", v[0]), BL_KS("b", v[1]), BL_KS("c", v[2]), BL_KS("d", v[3]),
                          BL_KS("e", v[4]), BL_KS("f", v[5]), BL_KI("last", INT64_MIN));
                assert_true(g.n <= 2048);
                json_t *j = json_loadb(g.line, g.n, JSON_ALLOW_NUL, NULL);
                assert_non_null(j);
                assert_int_equal(json_integer_value(json_object_get(j, "suppressed")), i % 2 ? UINT32_MAX : 0);
                if (json_object_size(j) < 10 + i % 2) /* something was left out, and the line says so */
                        assert_int_equal(json_integer_value(json_object_get(j, "truncated")), 1);
                json_decref(j);
        }
        free(log);
}

static void cuts_long_values_and_says_so(void **state)
{
        static char text[2000];
        struct got g;
        struct bl_log *log = log_new(&g, false);
        (void)state;
        memset(text, 'a', sizeof(text));
        bl_log_ev(log, BL_LOG_INFO, "x", BL_KS("v", bl_str_make(text, 512)));
        assert_int_equal(g.n, strlen("level=info event=x node=e1 v=") + 512);
        bl_log_ev(log, BL_LOG_INFO, "x", BL_KS("v", bl_str_make(text, 513)), BL_KI("n", 1));
        assert_str(bl_str_make(g.line + g.n - 9, 9), "a...\" n=1");
        struct bl_str s = bl_str_make(text, 500);
        bl_log_ev(log, BL_LOG_INFO, "x", BL_KS("a", s), BL_KS("b", s), BL_KS("c", s), BL_KS("d", s), BL_KI("n", 1));
        assert_str(bl_str_make(g.line + g.n - 16, 16), " n=1 truncated=1");
        free(log);
}

static void limits_the_rate_and_tells_how_many(void **state)
{
        struct got g;
        struct bl_log *log = log_new(&g, false);
        (void)state;
        log->node = BL_STR("");
        log->wall = 1000;
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(bl_log_allow(log, "refused", "no_route"), i < 5);
        for (unsigned i = 0; i < 6; i++) /* another reason has a rate of its own */
                assert_int_equal(bl_log_allow(log, "refused", "too_big"), i < 5);
        log->wall = 1009;
        assert_false(bl_log_allow(log, "refused", "no_route"));
        log->wall = 1010;
        assert_true(bl_log_allow(log, "refused", "no_route"));
        bl_log_ev(log, BL_LOG_WARN, "other", BL_KI("n", 1)); /* not its line */
        assert_line(g, "ts=1970-01-01T00:16:50Z level=warn event=other n=1");
        bl_log_ev(log, BL_LOG_WARN, "refused", BL_KZ("reason", "no_route"));
        assert_line(g, "ts=1970-01-01T00:16:50Z level=warn event=refused reason=no_route suppressed=96");
        bl_log_ev(log, BL_LOG_WARN, "refused", BL_KZ("reason", "no_route"));
        assert_line(g, "ts=1970-01-01T00:16:50Z level=warn event=refused reason=no_route");
        assert_false(bl_log_allow(NULL, "refused", "no_route"));
        free(log);
}

static void never_more_than_five_in_any_ten_seconds(void **state)
{
        struct got g;
        struct bl_log *log = log_new(&g, false);
        int64_t at[1000];
        unsigned n = 0;
        struct rng r = {17};
        (void)state;
        log->wall = 5000;
        for (unsigned i = 0; i < 1000; i++) {
                log->wall += (int64_t)rng_below(&r, 3);
                if (bl_log_allow(log, "a", "b"))
                        at[n++] = log->wall;
        }
        assert_true(n > 300);
        for (unsigned i = 5; i < n; i++)
                assert_true(at[i] - at[i - 5] >= 10);
        log->wall -= 100000; /* a clock set back does not silence it */
        assert_true(bl_log_allow(log, "a", "b"));
        free(log);
}

static void copes_with_more_reasons_than_entries(void **state)
{
        static char names[200][4];
        struct got g;
        struct bl_log *log = log_new(&g, false);
        (void)state;
        log->wall = 1;
        for (unsigned i = 0; i < 200; i++) {
                struct bl_sb b = {names[i], 0, 3, false};
                bl_sb_addu(&b, i);
                assert_true(bl_log_allow(log, "a", names[i]));
        }
        free(log);
}

static void takes_nothing_from_the_heap(void **state)
{
        struct got g;
        struct bl_log *log = log_new(&g, false);
        (void)state;
        long before = oom_count();
        bl_log_ev(log, BL_LOG_INFO, "x", BL_KZ("v", "a b"));
        bl_log_allow(log, "x", "y");
        assert_int_equal(oom_count(), before);
        free(log);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_one_event_a_line),
                cmocka_unit_test(writes_the_same_as_json),
                cmocka_unit_test(stamps_in_utc),
                cmocka_unit_test(keeps_to_the_level),
                cmocka_unit_test(escapes),
                cmocka_unit_test(whatever_comes_the_line_is_json_and_bounded),
                cmocka_unit_test(cuts_long_values_and_says_so),
                cmocka_unit_test(limits_the_rate_and_tells_how_many),
                cmocka_unit_test(never_more_than_five_in_any_ten_seconds),
                cmocka_unit_test(copes_with_more_reasons_than_entries),
                cmocka_unit_test(takes_nothing_from_the_heap),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
