/* RFC 4475 and RFC 5118, message by message: tests/torture/expected.tsv. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "sip/frame.h"
#include "sip/write.h"
#include "unit/guard.h"

#define DIR "tests/torture/"
#define OUR_VIA "SIP/2.0/UDP proxy.example.com;branch=z9hG4bKours"

enum { MOST = 16384, LINES = 64 };

struct row {
        char name[64], verdict[16];
        unsigned status;
};

struct fixture {
        struct bl_arena *arena;
        struct bl_pool *pool;
        char octets[MOST];
        struct bl_str in;
};

static struct bl_str load(struct fixture *f, const char *name)
{
        char path[256];
        FILE *file;
        size_t n;

        snprintf(path, sizeof path, DIR "%s.dat", name);
        file = fopen(path, "rb");
        if (!file)
                fail_msg("%s: cannot open", path);
        n = fread(f->octets, 1, MOST, file);
        assert_true(n > 0 && n < MOST);
        fclose(file);
        return f->in = bl_str_make(f->octets, n);
}

/* Runs `fn` for every row; the table may not shrink. */
static void each_row(void **state, void (*fn)(struct fixture *f, const struct row *row))
{
        struct fixture *f = *state;
        FILE *file = fopen(DIR "expected.tsv", "r");
        char line[512];
        unsigned rows = 0;

        assert_non_null(file);
        while (fgets(line, sizeof line, file)) {
                struct row row;

                if (*line == '#')
                        continue;
                if (sscanf(line, "%63[^\t]\t%15[^\t]\t%u\t", row.name, row.verdict, &row.status) != 3)
                        fail_msg("expected.tsv: %s", line);
                load(f, row.name);
                fn(f, &row);
                bl_arena_reset(f->arena);
                rows++;
        }
        fclose(file);
        assert_int_equal(rows, 49 + 12);
}

static void check_verdict(struct fixture *f, const struct row *row)
{
        struct bl_parse_error error = {0};
        struct bl_msg *m;
        int rc = bl_msg_parse(f->in, true, f->arena, &m, &error);
        const char *verdict = rc == 0 ? "accept" : error.status ? "reject" : "discard";

        if (strcmp(verdict, row->verdict) != 0 || error.status != row->status)
                fail_msg("%s: %s %u (%s at %u)", row->name, verdict, error.status, error.text, error.offset);
}

static void verdicts(void **state)
{
        each_row(state, check_verdict);
}

/* A refusal of what has a Via can be written, with the status of the table. */
static void check_refusal(struct fixture *f, const struct row *row)
{
        struct bl_response r = {.to_tag = BL_STR("x"), .source = {.family = 4, .ip = {192, 0, 2, 9}, .port = 9}};
        struct bl_parse_error error = {0};
        struct bl_msg *m;
        struct bl_buf *buf;
        char head[32];

        if (bl_msg_parse(f->in, true, f->arena, &m, &error) == 0 || !error.partial)
                return;
        r.status = error.status;
        r.reason = bl_str_z(error.text);
        assert_int_equal(bl_write_response(f->pool, error.partial, &r, &buf), 0);
        snprintf(head, sizeof head, "SIP/2.0 %u ", row->status);
        if (!bl_str_starts(bl_buf_str(buf), bl_str_z(head)))
                fail_msg("%s: %.*s", row->name, BL_STR_ARG(bl_buf_str(buf)));
        bl_buf_unref(f->pool, buf);
}

static void refusals(void **state)
{
        each_row(state, check_refusal);
}

/* Where an answer goes stands at a Via's start; what is wrong behind it goes back as it came (RFC 3261 18.2.1). */
static void a_via_with_wrong_parameters_is_answered(void **state)
{
        struct fixture *f = *state;
        struct bl_response r = {.status = 400, .source = {.family = 4, .ip = {192, 0, 2, 9}, .port = 9}};
        struct bl_parse_error error = {0};
        struct bl_msg *m;
        struct bl_buf *buf;

        assert_int_equal(bl_msg_parse(load(f, "badinv01"), true, f->arena, &m, &error), BL_EMALFORMED);
        assert_non_null(error.partial);
        assert_int_equal(bl_write_response(f->pool, error.partial, &r, &buf), 0);
        assert_true(bl_str_starts(bl_buf_str(buf), BL_STR("SIP/2.0 400 Bad Request\r\n"
                                                          "Via: SIP/2.0/UDP 192.0.2.15;received=192.0.2.9;;,;,,\r\n")));
        bl_buf_unref(f->pool, buf);
        bl_arena_reset(f->arena);
}

/* ---- forwarding, compared without help of the code under test ---- */

struct lines {
        struct bl_str line[LINES]; /* logical lines with their CRLF, the start line first */
        struct bl_str body;
        unsigned n;
};

static void split(struct bl_str s, struct lines *out)
{
        size_t start = 0;

        out->n = 0;
        for (size_t i = 0; i + 1 < s.n; i++) {
                if (s.p[i] != '\r' || s.p[i + 1] != '\n')
                        continue;
                if (i == start) {
                        out->body = bl_str_from(s, i + 2);
                        return;
                }
                if (i + 2 < s.n && (s.p[i + 2] == ' ' || s.p[i + 2] == '\t'))
                        continue;
                assert_true(out->n < LINES);
                out->line[out->n++] = bl_str_make(s.p + start, i + 2 - start);
                start = i + 2;
        }
        fail_msg("no end of headers");
}

static bool is_header(struct bl_str line, const char *name, const char *compact)
{
        struct bl_str before, after;

        (void)bl_str_cut(line, ':', &before, &after);
        before = bl_str_trim(before);
        return bl_str_ieq(before, bl_str_z(name)) || (compact && bl_str_ieq(before, bl_str_z(compact)));
}

static bool is_edited(struct bl_str line, bool had_length)
{
        return is_header(line, "Via", "v") || is_header(line, "Max-Forwards", NULL) || is_header(line, "Route", NULL) ||
               (!had_length && is_header(line, "Content-Length", "l"));
}

/* The lines that a proxy does not touch are the same octets in the same order. */
static void compare(const struct row *row, struct bl_str in, struct bl_str out, bool had_length)
{
        struct lines a, b;
        unsigned i = 0, j = 0;

        split(in, &a);
        split(out, &b);
        for (;;) {
                while (i < a.n && is_edited(a.line[i], had_length))
                        i++;
                while (j < b.n && is_edited(b.line[j], had_length))
                        j++;
                if (i == a.n || j == b.n)
                        break;
                if (!bl_str_eq(a.line[i], b.line[j]))
                        fail_msg("%s: %.*s became %.*s", row->name, BL_STR_ARG(a.line[i]), BL_STR_ARG(b.line[j]));
                i++, j++;
        }
        assert_true(i == a.n && j == b.n);
        assert_true(a.body.n >= b.body.n);
        assert_memory_equal(a.body.p, b.body.p, b.body.n);
}

static struct bl_str text_u32(struct bl_arena *arena, uint32_t v)
{
        char digits[12];
        struct bl_sb sb = BL_SB(digits);

        bl_sb_addu(&sb, v);
        return bl_arena_str(arena, bl_sb_str(&sb));
}

/* What bl_write makes of the message with a proxy's edits (RFC 3261 16.6, 16.7 item 3). */
static struct bl_buf *forward(struct fixture *f, const struct bl_msg *m)
{
        struct bl_edits e;
        struct bl_buf *buf;

        bl_edits_init(&e, m, f->arena);
        if (m->is_request) {
                bl_edit_push(&e, BL_H_VIA, BL_STR(OUR_VIA));
                bl_edit_set(&e, BL_H_MAX_FORWARDS,
                            text_u32(f->arena,
                                     m->max_forwards < 0 ? 70 : (uint32_t)m->max_forwards - (m->max_forwards > 0)));
                bl_edit_remove_value(&e, BL_H_ROUTE, 0);
        } else {
                bl_edit_remove_value(&e, BL_H_VIA, 0);
        }
        assert_int_equal(bl_write(f->pool, m, &e, &buf), 0);
        return buf;
}

static void check_forward(struct fixture *f, const struct row *row)
{
        struct bl_parse_error error = {0};
        struct bl_nameaddr route, next;
        struct bl_msg *m, *out;
        struct bl_buf *buf;
        struct bl_via via;

        if (strcmp(row->verdict, "accept") != 0)
                return;
        assert_int_equal(bl_msg_parse(f->in, true, f->arena, &m, NULL), 0);
        buf = forward(f, m);
        compare(row, m->octets, bl_buf_str(buf), bl_msg_has(m, BL_H_CONTENT_LENGTH));
        if (!m->is_request && bl_msg_count(m, BL_H_VIA) == 1) {
                bl_buf_unref(f->pool, buf); /* its Via was ours: nobody is left to forward to */
                return;
        }
        if (bl_msg_parse(bl_buf_str(buf), false, f->arena, &out, &error) < 0)
                fail_msg("%s: forwarded: %s", row->name, error.text);
        assert_true(bl_str_eq(out->call_id, m->call_id) && bl_str_eq(out->from_tag, m->from_tag));
        if (m->is_request) {
                assert_str(out->via.all, OUR_VIA);
                assert_int_equal(bl_msg_via(out, 1, &via), 0);
                assert_true(bl_str_eq(via.all, m->via.all));
                assert_true(bl_str_eq(out->ruri, m->ruri));
                assert_int_equal(out->max_forwards, m->max_forwards < 0    ? 70
                                                    : m->max_forwards == 0 ? 0
                                                                           : m->max_forwards - 1);
        }
        if (bl_msg_nameaddr(m, BL_H_ROUTE, 1, &route) == 0) {
                assert_int_equal(bl_msg_nameaddr(out, BL_H_ROUTE, 0, &next), 0);
                assert_true(bl_str_eq(route.all, next.all));
                assert_int_equal(bl_msg_count(out, BL_H_ROUTE), bl_msg_count(m, BL_H_ROUTE) - 1);
        }
        bl_buf_unref(f->pool, buf);
}

static void forwards(void **state)
{
        struct fixture *f = *state;

        each_row(state, check_forward);
        assert_int_equal(bl_pool_used(f->pool), 0);
}

/* Over a stream, octet by octet, the same message comes out, or the stream ends with the same refusal. */
static void check_stream(struct fixture *f, const struct row *row)
{
        struct bl_frame_state st = {0};
        enum bl_frame_kind kind;
        struct bl_str got;
        struct bl_msg *m;
        int rc = BL_EMORE;

        if (strcmp(row->verdict, "accept") != 0)
                return;
        assert_int_equal(bl_msg_parse(f->in, true, f->arena, &m, NULL), 0);
        for (size_t n = 1; n <= f->in.n && rc == BL_EMORE; n++)
                rc = bl_frame_next(&st, bl_str_make(f->in.p, n), BL_MSG_MAX, &kind, &got);
        if (!bl_msg_has(m, BL_H_CONTENT_LENGTH)) {
                assert_int_equal(rc, BL_EMALFORMED);
                return;
        }
        assert_int_equal(rc, m->octets.n);
        assert_int_equal(kind, BL_FRAME_MESSAGE);
        assert_true(got.p == m->octets.p && got.n == m->octets.n);
}

static void streams(void **state)
{
        each_row(state, check_stream);
}

static void parse_prefix(struct bl_str prefix, void *arg)
{
        struct fixture *f = arg;
        struct bl_msg *m;

        if (bl_msg_parse(prefix, true, f->arena, &m, NULL) == 0)
                bl_buf_unref(f->pool, forward(f, m));
        bl_arena_reset(f->arena);
}

static void check_prefixes(struct fixture *f, const struct row *row)
{
        (void)row;
        guard_each_prefix(f->in, parse_prefix, f);
}

static void truncated(void **state)
{
        each_row(state, check_prefixes);
}

/* ---- details that a verdict alone does not show ---- */

static struct bl_msg *accept(struct fixture *f, const char *name)
{
        struct bl_msg *m = NULL;

        assert_int_equal(bl_msg_parse(load(f, name), true, f->arena, &m, NULL), 0);
        return m;
}

static void wsinv(void **state)
{
        struct fixture *f = *state;
        struct bl_msg *m = accept(f, "wsinv");
        struct bl_nameaddr na;
        struct bl_via via;

        assert_str(m->ruri, "sip:vivekg@chair-dnrc.example.com;unknownparam");
        assert_str(m->to_tag, "1918181833n");
        assert_str(m->from_tag, "98asjd8");
        assert_int_equal(m->max_forwards, 68);
        assert_int_equal(m->cseq.number, 9);
        assert_str(m->via.host, "192.0.2.2");
        assert_str(m->via.branch, "390skdjuw");
        assert_str(m->via.transport, "UDP");
        assert_int_equal(bl_msg_count(m, BL_H_VIA), 3);
        assert_int_equal(bl_msg_via(m, 1, &via), 0);
        assert_str(via.transport, "TCP");
        assert_str(via.sent_by, "spindle.example.com");
        assert_str(via.branch, "z9hG4bK9ikj8");
        assert_int_equal(bl_msg_via(m, 2, &via), 0);
        assert_str(via.host, "192.168.255.111");
        assert_str(via.branch, "z9hG4bK30239");
        assert_int_equal(bl_msg_nameaddr(m, BL_H_ROUTE, 0, &na), 0);
        assert_true(bl_uri_is_lr(&na.uri));
        assert_true(bl_uri_param(&na.uri, BL_STR("unknownwith"), NULL));
        assert_int_equal(bl_msg_nameaddr(m, BL_H_FROM, 0, &na), 0);
        assert_str(na.display, "\"J Rosenberg \\\\\\\"\"");
        assert_int_equal(bl_msg_nameaddr(m, BL_H_CONTACT, 0, &na), 0);
        assert_str(na.display, "\"Quoted string \\\"\\\"\"");
        assert_true(bl_nameaddr_param(&na, BL_STR("secondparam"), NULL));
        assert_str(bl_msg_other(m, BL_STR("UnknownHeaderWithUnusualValue")), ";;,,;;,;");
        assert_int_equal(m->body.n, 150);
}

static void escapes(void **state)
{
        struct fixture *f = *state;
        struct bl_msg *m = accept(f, "esc01");
        struct bl_uri a, b, ruri;
        struct bl_nameaddr na;

        assert_int_equal(bl_uri_parse(m->ruri, &ruri), 0);
        assert_str(ruri.user, "sips%3Auser%40example.com");
        assert_str(ruri.host, "example.net");
        assert_int_equal(bl_msg_nameaddr(m, BL_H_CONTACT, 0, &na), 0);
        assert_true(bl_uri_is_lr(&na.uri)); /* %6C%72 */
        assert_int_equal(bl_msg_nameaddr(m, BL_H_TO, 0, &na), 0);
        a = na.uri;
        assert_int_equal(bl_uri_parse(BL_STR("sip:user@example.com"), &b), 0);
        assert_true(bl_uri_exact(&a, &b, false));
        m = accept(f, "escnull");
        assert_int_equal(bl_msg_nameaddr(m, BL_H_CONTACT, 0, &na), 0);
        a = na.uri;
        assert_int_equal(bl_msg_nameaddr(m, BL_H_CONTACT, 1, &na), 0);
        assert_false(bl_uri_equivalent(&a, &na.uri, false)); /* %00 is not %00%00 */
}

static void unusual(void **state)
{
        struct fixture *f = *state;
        struct bl_msg *m = accept(f, "intmeth");
        struct bl_nameaddr na;
        struct bl_uri uri;

        assert_str(m->method_name, "!interesting-Method0123456789_*+`.%indeed'~");
        assert_str(m->from_tag, "_token~1'+`*%!-.");
        assert_int_equal(bl_msg_nameaddr(m, BL_H_TO, 0, &na), 0);
        assert_int_equal(na.display.n, strlen("\"BEL:\\a NUL:\\0 DEL:\\x\""));
        m = accept(f, "semiuri");
        assert_int_equal(bl_uri_parse(m->ruri, &uri), 0);
        assert_str(uri.user, "user;par=u%40example.net");
        m = accept(f, "badbranch");
        assert_false(m->via.rfc3261);
        m = accept(f, "dblreq");
        assert_int_equal(m->body.n, 0);
        assert_true(m->octets.n < f->in.n / 2 + 100);
        m = accept(f, "port-ambiguous");
        assert_int_equal(bl_uri_parse(m->ruri, &uri), 0);
        assert_int_equal(uri.port, 0);
        m = accept(f, "port-unambiguous");
        assert_int_equal(bl_uri_parse(m->ruri, &uri), 0);
        assert_int_equal(uri.port, 5070);
        assert_str(uri.host, "[2001:db8::10]");
        assert_str(accept(f, "via-received-param-no-delim")->via.received, "2001:db8::9:255");
        assert_str(accept(f, "via-received-param-with-delim")->via.received, "[2001:db8::9:255]");
}

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);

        f->arena = bl_arena_new(1 << 20);
        f->pool = bl_pool_new(0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        bl_arena_free(f->arena);
        bl_pool_free(f->pool);
        free(f);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(verdicts, setup, teardown),
                cmocka_unit_test_setup_teardown(refusals, setup, teardown),
                cmocka_unit_test_setup_teardown(a_via_with_wrong_parameters_is_answered, setup, teardown),
                cmocka_unit_test_setup_teardown(forwards, setup, teardown),
                cmocka_unit_test_setup_teardown(streams, setup, teardown),
                cmocka_unit_test_setup_teardown(truncated, setup, teardown),
                cmocka_unit_test_setup_teardown(wsinv, setup, teardown),
                cmocka_unit_test_setup_teardown(escapes, setup, teardown),
                cmocka_unit_test_setup_teardown(unusual, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
