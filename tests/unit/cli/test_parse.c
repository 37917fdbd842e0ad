#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/parse.h"

#define GOOD                                                                                                           \
        "OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/UDP h\r\nf: <sip:a@b>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\nCSeq: 1 "          \
        "OPTIONS\r\nl: 0\r\n\r\n"

/* What is printed for `in`; the caller frees. */
static char *printed(struct bl_str in, bool stream, int *ret_exit)
{
        char *text = NULL;
        size_t n;
        FILE *out = open_memstream(&text, &n);

        *ret_exit = bl_parse_print(in, stream, out);
        fclose(out);
        return text;
}

static json_t *object(struct bl_str in, bool stream, int want_exit)
{
        json_error_t error;
        int rc;
        char *text = printed(in, stream, &rc);
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

        if (!json)
                fail_msg("%s: %s", error.text, text);
        assert_int_equal(rc, want_exit);
        free(text);
        return json;
}

static void expect(const json_t *json, const char *key, const char *want)
{
        const char *got = json_string_value(json_object_get(json, key));

        if (!got || strcmp(got, want) != 0)
                fail_msg("%s: got %s, want %s", key, got ? got : "nothing", want);
}

static long number(const json_t *json, const char *key)
{
        const json_t *v = json_object_get(json, key);

        assert_true(json_is_integer(v));
        return (long)json_integer_value(v);
}

static void shows_parts(void **state)
{
        static const char in[] = "\r\n" GOOD;
        json_t *o =
                object(BL_STR("OPTIONS sip:u:p@h:5070;lr SIP/2.0\r\nVia: SIP/2.0/UDP h:1;branch=z9hG4bKa;rport, "
                              "SIP/2.0/TCP [::1]\r\nMax-Forwards: 70\r\nFrom: \"A\" <sip:a@b>;tag=1\r\nTo: sip:c@d\r\n"
                              "Call-ID: x\r\nCSeq: 5 OPTIONS\r\nContact: *\r\nRoute: <sip:r1;lr>,<sip:r2;lr>\r\n"
                              "Supported: path, sticky\r\nSubject: \xff\r\nContent-Type: a/b\r\n\r\n\x80"),
                       false, BL_EXIT_DONE);
        const json_t *uri = json_object_get(o, "request_uri"), *via = json_object_get(o, "via");
        const json_t *from = json_object_get(o, "from"), *body = json_object_get(o, "body");
        const json_t *subject = json_array_get(json_object_get(o, "headers"), 9);

        (void)state;
        expect(o, "verdict", "accept");
        expect(o, "type", "request");
        expect(o, "method", "OPTIONS");
        expect(uri, "user", "u");
        expect(uri, "password", "p");
        expect(uri, "host", "h");
        assert_int_equal(number(uri, "port"), 5070);
        assert_true(json_is_true(json_object_get(json_object_get(uri, "params"), "lr")));
        assert_int_equal(json_array_size(via), 2);
        expect(json_object_get(json_array_get(via, 0), "params"), "branch", "z9hG4bKa");
        expect(json_array_get(via, 1), "host", "[::1]");
        expect(from, "display", "\"A\"");
        expect(json_object_get(from, "params"), "tag", "1");
        expect(json_object_get(json_object_get(o, "to"), "uri"), "uri", "sip:c@d");
        expect(o, "call_id", "x");
        assert_int_equal(number(json_object_get(o, "cseq"), "number"), 5);
        expect(json_object_get(o, "cseq"), "method", "OPTIONS");
        assert_int_equal(number(o, "max_forwards"), 70);
        assert_string_equal(json_string_value(json_array_get(json_object_get(o, "contact"), 0)), "*");
        assert_int_equal(json_array_size(json_object_get(o, "route")), 2);
        assert_string_equal(json_string_value(json_array_get(json_object_get(o, "supported"), 1)), "sticky");
        expect(subject, "name", "Subject");
        expect(subject, "value", "\xef\xbf\xbd");
        expect(subject, "value_base64", "/w==");
        assert_int_equal(number(body, "length"), 1);
        expect(body, "type", "a/b");
        expect(body, "base64", "gA==");
        json_decref(o);
        /* offsets are those of the input */
        o = object(bl_str_make(in, sizeof in - 1), false, BL_EXIT_DONE);
        assert_int_equal(number(json_array_get(json_object_get(o, "headers"), 0), "offset"), strchr(in, 'v') - in);
        json_decref(o);
}

static void shows_responses(void **state)
{
        json_t *o =
                object(BL_STR("SIP/2.0 200 All is \xe2\x98\xba\r\nv: SIP/2.0/UDP h\r\nf: <sip:a@b>\r\nt: <sip:a@b>\r\n"
                              "i: 1\r\nCSeq: 1 BYE\r\n\r\n"),
                       false, BL_EXIT_DONE);

        (void)state;
        expect(o, "type", "response");
        assert_int_equal(number(o, "status"), 200);
        expect(o, "reason", "All is \xe2\x98\xba");
        assert_null(json_object_get(o, "request_uri"));
        assert_null(json_object_get(o, "max_forwards"));
        json_decref(o);
}

static void says_why_not(void **state)
{
        json_t *o = object(BL_STR("BYE <sip:a> SIP/2.0\r\nv: SIP/2.0/UDP h\r\n\r\n"), false, BL_EXIT_NO);

        (void)state;
        expect(o, "verdict", "reject");
        assert_int_equal(number(o, "status"), 400);
        expect(o, "reason", "Request-URI in angle brackets");
        assert_int_equal(number(o, "offset"), 4);
        json_decref(o);
        o = object(BL_STR("BYE <sip:a> SIP/2.0\r\n\r\n"), false, BL_EXIT_NO); /* nowhere to answer to */
        expect(o, "verdict", "discard");
        assert_int_equal(number(o, "status"), 0);
        expect(o, "reason", "Request-URI in angle brackets");
        json_decref(o);
        o = object(BL_STR(""), false, BL_EXIT_NO);
        expect(o, "verdict", "discard");
        assert_int_equal(number(o, "status"), 0);
        json_decref(o);
}

/* Every torture message, through what the command does. */
static void torture(void **state)
{
        FILE *table = fopen("tests/torture/expected.tsv", "r");
        static char octets[16384];
        char line[512];
        unsigned rows = 0;

        (void)state;
        assert_non_null(table);
        while (fgets(line, sizeof line, table)) {
                char name[64], verdict[16], path[128];
                unsigned status;
                FILE *f;
                json_t *o;
                size_t n;

                if (*line == '#' || sscanf(line, "%63s %15s %u", name, verdict, &status) != 3)
                        continue;
                snprintf(path, sizeof path, "tests/torture/%s.dat", name);
                f = fopen(path, "rb");
                assert_non_null(f);
                n = fread(octets, 1, sizeof octets, f);
                fclose(f);
                o = object(bl_str_make(octets, n), false, strcmp(verdict, "accept") == 0 ? BL_EXIT_DONE : BL_EXIT_NO);
                expect(o, "verdict", verdict);
                if (strcmp(verdict, "accept") != 0)
                        assert_int_equal(number(o, "status"), status);
                json_decref(o);
                rows++;
        }
        fclose(table);
        assert_int_equal(rows, 61);
}

static void streams(void **state)
{
        static const struct {
                const char *in, *out[4];
                int exit;
        } rows[] = {
                {GOOD GOOD, {"{\"verdict\":\"accept\"", "{\"verdict\":\"accept\""}, BL_EXIT_DONE},
                {"\r\n\r\n" GOOD "\r\n",
                 {"{\"keepalive\":\"ping\"}", "{\"verdict\":\"accept\"", "{\"keepalive\":\"pong\"}"},
                 BL_EXIT_DONE},
                {GOOD "BYE sip:a SIP/2.0\r\n",
                 {"{\"verdict\":\"accept\"", "{\"verdict\":\"discard\",\"status\":0,\"reason\":\"The stream ends "
                                             "inside a message\",\"offset\":125}"},
                 BL_EXIT_NO},
                {"BYE sip:a SIP/2.0\r\nl: 0\r\n\r\n" GOOD,
                 {"{\"verdict\":\"discard\",\"status\":0,\"reason\":\"No Via\",\"offset\":0}",
                  "{\"verdict\":\"accept\""},
                 BL_EXIT_NO},
                {"OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/UDP h\r\nf: <sip:a@b>\r\nt: <sip:a@b>\r\ni: 1\r\nCSeq: 1 "
                 "OPTIONS\r\n\r\n" GOOD,
                 {"{\"verdict\":\"reject\",\"status\":400,\"reason\":\"No Content-Length\",\"offset\":0}"},
                 BL_EXIT_NO},
                {"BYE sip:a SIP/2.0\r\nl: 99999\r\n\r\n",
                 {"{\"verdict\":\"discard\",\"status\":0,\"reason\":\"Message Too Large\",\"offset\":0}"},
                 BL_EXIT_NO},
                {"", {NULL}, BL_EXIT_DONE},
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                int rc;
                char *text = printed(bl_str_z(rows[i].in), true, &rc), *p = text;

                assert_int_equal(rc, rows[i].exit);
                for (unsigned k = 0; rows[i].out[k]; k++) {
                        if (strncmp(p, rows[i].out[k], strlen(rows[i].out[k])) != 0)
                                fail_msg("row %zu: %s", i, p);
                        p = strchr(p, '\n') + 1;
                }
                assert_int_equal(*p, 0);
                free(text);
        }
}

static void usage(void **state)
{
        char *no_option[] = {(char[]){"parse"}, (char[]){"--nonsense"}, NULL};
        char *two[] = {(char[]){"parse"}, (char[]){"a"}, (char[]){"b"}, NULL};
        char *missing[] = {(char[]){"parse"}, (char[]){"/nonexistent/file"}, NULL};
        char *help[] = {(char[]){"parse"}, (char[]){"--help"}, NULL};
        char *good[] = {(char[]){"parse"}, (char[]){"tests/torture/zeromf.dat"}, NULL};
        char *bad[] = {(char[]){"parse"}, (char[]){"--stream"}, (char[]){"tests/torture/ncl.dat"}, NULL};

        (void)state;
        assert_int_equal(bl_parse_run(2, no_option), BL_EXIT_USAGE);
        assert_int_equal(bl_parse_run(3, two), BL_EXIT_USAGE);
        assert_int_equal(bl_parse_run(2, missing), BL_EXIT_USAGE);
        assert_int_equal(bl_parse_run(2, help), BL_EXIT_DONE);
        assert_int_equal(bl_parse_run(2, good), BL_EXIT_DONE);
        assert_int_equal(bl_parse_run(3, bad), BL_EXIT_NO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(shows_parts), cmocka_unit_test(shows_responses), cmocka_unit_test(says_why_not),
                cmocka_unit_test(torture),     cmocka_unit_test(streams),         cmocka_unit_test(usage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
