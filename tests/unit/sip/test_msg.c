#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "sip/msg.h"
#include "unit/guard.h"
#include "unit/oom.h"

static const char invite[] =
        "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n"
        "Via: SIP/2.0/UDP bigbox3.site3.atlanta.example.com;branch=z9hG4bK77ef4c2312983.1\r\n"
        "v: SIP/2.0/TCP pc33.atlanta.example.com;branch=z9hG4bKnashds8;received=192.0.2.1, SIP/2.0/UDP x\r\n"
        "Max-Forwards: 69\r\n"
        "Route: <sip:a.example.com;lr>, \"x, y\" <sip:b.example.com;lr>\r\n"
        "ROUTE: <sip:c.example.com;lr>\r\n"
        "To: Bob <sip:bob@biloxi.example.com>\r\n"
        "From: \"A. \\\"G.\\\" Bell\" <sip:alice@atlanta.example.com;x=y>\r\n ;tag=1928301774\r\n"
        "Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n"
        "CSeq: 314159 INVITE\r\n"
        "Contact: <sip:alice@pc33.atlanta.example.com>;expires=5\r\n"
        "Supported: path, ,outbound\r\n"
        "k: Alt-Proxies\r\n"
        "X-Thing: a\r\n\tb  \r\n"
        "Expires: 60\r\n"
        "Content-Type: text/plain\r\n"
        "l: 5\r\n"
        "\r\n"
        "hello";

struct fixture {
        struct bl_arena *arena;
        struct bl_pool *pool;
        struct bl_msg *m;
};

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

static void check_invite(const struct bl_msg *m)
{
        assert_true(m->is_request);
        assert_int_equal(m->method, BL_M_INVITE);
        assert_str(m->ruri, "sip:bob@biloxi.example.com");
        assert_int_equal(m->n, 16);
        assert_str(m->body, "hello");
        assert_str(m->via.branch, "z9hG4bK77ef4c2312983.1");
        assert_str(m->via.host, "bigbox3.site3.atlanta.example.com");
        assert_true(m->via.rfc3261);
        assert_int_equal(m->cseq.number, 314159);
        assert_int_equal(m->cseq.method, BL_M_INVITE);
        assert_str(m->call_id, "a84b4c76e66710@pc33.atlanta.example.com");
        assert_str(m->from_tag, "1928301774");
        assert_int_equal(m->to_tag.n, 0);
        assert_int_equal(m->max_forwards, 69);
        assert_str(bl_msg_value(m, BL_H_CONTENT_TYPE), "text/plain");
        assert_str(bl_msg_other(m, BL_STR("x-THING")), "a\r\n\tb");
        assert_str(bl_msg_other(m, BL_STR("i")), "a84b4c76e66710@pc33.atlanta.example.com");
        assert_int_equal(bl_msg_other(m, BL_STR("X-None")).n, 0);
}

static void parses(void **state)
{
        struct fixture *f = *state;
        struct bl_parse_error error;

        assert_int_equal(bl_msg_parse(bl_str_z(invite), true, f->arena, &f->m, &error), 0);
        check_invite(f->m);
        assert_int_equal(bl_msg_parse(bl_str_z(invite), false, f->arena, &f->m, NULL), 0);
        check_invite(f->m);
}

static void walks_lists(void **state)
{
        struct fixture *f = *state;
        static const char *const routes[] = {"<sip:a.example.com;lr>", "\"x, y\" <sip:b.example.com;lr>",
                                             "<sip:c.example.com;lr>"};
        static const char *const supported[] = {"path", "outbound", "Alt-Proxies"};
        struct bl_values it = {0}, none = {0};
        struct bl_nameaddr na;
        struct bl_via via;
        unsigned n = 0;

        assert_int_equal(bl_msg_parse(bl_str_z(invite), true, f->arena, &f->m, NULL), 0);
        for (; bl_msg_values(f->m, BL_H_ROUTE, &it); n++) {
                assert_str(it.value, routes[n]);
                assert_int_equal(it.index, n);
        }
        assert_int_equal(n, 3);
        assert_false(bl_msg_values(f->m, BL_H_ROUTE, &it)); /* stays at its end */
        assert_false(bl_msg_values(f->m, BL_H_PATH, &none));
        it = (struct bl_values){0};
        for (n = 0; bl_msg_values(f->m, BL_H_SUPPORTED, &it); n++)
                assert_str(it.value, supported[n]);
        assert_int_equal(n, 3);
        assert_int_equal(bl_msg_count(f->m, BL_H_VIA), 3);
        assert_int_equal(bl_msg_via(f->m, 1, &via), 0);
        assert_str(via.received, "192.0.2.1");
        assert_int_equal(bl_msg_via(f->m, -1, &via), 0);
        assert_str(via.host, "x");
        assert_int_equal(bl_msg_via(f->m, 3, &via), BL_ENOENT);
        assert_int_equal(bl_msg_nameaddr(f->m, BL_H_ROUTE, -1, &na), 0);
        assert_str(na.uri.host, "c.example.com");
        assert_int_equal(bl_msg_nameaddr(f->m, BL_H_PATH, 0, &na), BL_ENOENT);
        assert_true(bl_msg_lists_token(f->m, BL_H_SUPPORTED, BL_STR("alt-proxies")));
        assert_false(bl_msg_lists_token(f->m, BL_H_SUPPORTED, BL_STR("alt")));
}

static void reads_numbers(void **state)
{
        struct fixture *f = *state;
        uint32_t v = 7;

        assert_int_equal(bl_msg_parse(bl_str_z(invite), true, f->arena, &f->m, NULL), 0);
        assert_int_equal(bl_msg_u32(f->m, BL_H_EXPIRES, &v), 0);
        assert_int_equal(v, 60);
        assert_int_equal(bl_msg_u32(f->m, BL_H_MIN_EXPIRES, &v), BL_ENOENT);
        assert_int_equal(bl_msg_u32(f->m, BL_H_CONTENT_TYPE, &v), BL_EMALFORMED);
}

/* A kept message is whole and its own: the original may vanish. */
static void keeps(void **state)
{
        struct fixture *f = *state;
        char *copy = strdup(invite);
        struct bl_msg *k;

        assert_int_equal(bl_msg_parse(bl_str_z(copy), true, f->arena, &f->m, NULL), 0);
        k = bl_msg_keep(f->m, f->pool);
        assert_non_null(k);
        memset(copy, 'x', strlen(copy));
        memset((void *)f->m, 0x55, sizeof *f->m);
        free(copy);
        bl_arena_reset(f->arena);
        check_invite(k);
        bl_msg_drop(k, f->pool);
        bl_msg_drop(NULL, f->pool);
        assert_int_equal(bl_pool_used(f->pool), 0);
}

/* What every element requires, as `%s` of the template below is varied. */
#define REQ(line, headers) line "\r\n" headers "\r\n"
#define VIA "Via: SIP/2.0/UDP h;branch=z9hG4bKa\r\n"
#define REST "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: 1\r\n"
#define CSEQ "CSeq: 1 OPTIONS\r\n"
#define LINE "OPTIONS sip:a@b SIP/2.0"

static const struct {
        const char *octets;
        int rc;
        unsigned status;
        const char *text, *at; /* `at`: the text that stands at the offset */
} refused[] = {
        {"", BL_EMALFORMED, 0, "Empty", ""},
        {"\r\n\r\n", BL_EMALFORMED, 0, "Empty", ""},
        {"hello\r\n\r\n", BL_EMALFORMED, 0, "Not SIP", "hello"},
        {REQ("OPTIONS sip:a@b  SIP/2.0", VIA REST CSEQ), BL_EMALFORMED, 400, "Malformed request line", " SIP/2.0"},
        {REQ("OPTIONS  sip:a@b SIP/2.0", VIA REST CSEQ), BL_EMALFORMED, 400, "Malformed request line", " sip:a@b"},
        {REQ("OPTIONS sip:a@b SIP/2.0 ", VIA REST CSEQ), BL_EMALFORMED, 400, "Malformed request line", "SIP/2.0 "},
        {REQ("OPTIONS sip:a@b;x y SIP/2.0", VIA REST CSEQ), BL_EMALFORMED, 400, "Malformed request line", "y SIP"},
        {REQ("OPTIONS <sip:a@b> SIP/2.0", VIA REST CSEQ), BL_EMALFORMED, 400, "Request-URI in angle brackets", "<"},
        {REQ("OPTIONS sip:a@ SIP/2.0", VIA REST CSEQ), BL_EMALFORMED, 400, "Malformed Request-URI", "sip:a@ "},
        {REQ("OPTIONS sip:a@b:0 SIP/2.0", VIA REST CSEQ), BL_EMALFORMED, 400, "Malformed Request-URI", "sip:a@b:0"},
        {REQ("OPTIONS soap.beep://b SIP/2.0", VIA REST CSEQ), BL_EPROTO, 416, "Unsupported URI Scheme", "soap"},
        {REQ("OPTIONS sip:a@b SIP/7.0", VIA REST CSEQ), BL_EPROTO, 505, "Version Not Supported", "SIP/7.0"},
        {REQ("OPTIONS sip:a@b SIP/2.00", VIA REST CSEQ), BL_EPROTO, 505, "Version Not Supported", "SIP/2.00"},
        {REQ("OPT@IONS sip:a@b SIP/2.0", VIA REST CSEQ), BL_EMALFORMED, 400, "Malformed request line", "@IONS"},
        {REQ(LINE, REST CSEQ), BL_EPROTO, 0, "No Via", LINE},
        {REQ(LINE, VIA CSEQ "To: <sip:c@d>\r\nCall-ID: 1\r\n"), BL_EPROTO, 400, "No From", LINE},
        {REQ(LINE, VIA CSEQ "From: <sip:c@d>\r\nCall-ID: 1\r\n"), BL_EPROTO, 400, "No To", LINE},
        {REQ(LINE, VIA CSEQ "To: <sip:c@d>\r\nf: <sip:d@e>\r\n"), BL_EPROTO, 400, "No Call-ID", LINE},
        {REQ(LINE, VIA REST), BL_EPROTO, 400, "No CSeq", LINE},
        {REQ(LINE, VIA REST "CSeq: 1 INVITE\r\n"), BL_EPROTO, 400, "CSeq method does not match", "INVITE"},
        {REQ("FOO sip:a@b SIP/2.0", VIA REST "CSeq: 1 BAR\r\n"), BL_EPROTO, 400, "CSeq method does not match", "BAR"},
        {REQ(LINE, VIA REST "CSeq: 2147483648 OPTIONS\r\n"), BL_EPROTO, 400, "CSeq number out of range", "2147483648"},
        {REQ(LINE, VIA REST "CSeq: 36893488147419103232 OPTIONS\r\n"), BL_EPROTO, 400, "CSeq number out of range",
         "3689"},
        {REQ(LINE, VIA REST "CSeq: -1 OPTIONS\r\n"), BL_EMALFORMED, 400, "Malformed CSeq", "-1"},
        {REQ(LINE, VIA REST "CSeq: 1\r\n"), BL_EMALFORMED, 400, "Malformed CSeq", "1\r\n"},
        {REQ(LINE, VIA REST "CSeq: 1OPTIONS\r\n"), BL_EMALFORMED, 400, "Malformed CSeq", "1OPTIONS"},
        {REQ(LINE, VIA REST CSEQ "Max-Forwards: 256\r\n"), BL_EPROTO, 400, "Max-Forwards out of range", "256"},
        {REQ(LINE, VIA REST CSEQ "Max-Forwards: x\r\n"), BL_EMALFORMED, 400, "Malformed Max-Forwards", "x\r\n"},
        {REQ(LINE, VIA REST CSEQ CSEQ), BL_EPROTO, 400, "Header that may stand only once stands twice", CSEQ "\r\n"},
        {REQ(LINE, VIA REST CSEQ "l: 0\r\nContent-Length: 0\r\n"), BL_EPROTO, 400,
         "Header that may stand only once stands twice", "Content-Length"},
        {REQ(LINE, VIA REST CSEQ "Content-Length: -1\r\n"), BL_EMALFORMED, 400, "Malformed Content-Length", "-1"},
        {REQ(LINE, VIA REST CSEQ "Content-Length: 4294967297\r\n"), BL_EMALFORMED, 400, "Malformed Content-Length",
         "4294967297"},
        {REQ(LINE, VIA REST CSEQ "l: 1\r\n"), BL_EPROTO, 400, "Content-Length exceeds the message", "1\r\n\r\n"},
        {REQ(LINE, "Via: SIP/2.0/UDP h;;\r\n" REST CSEQ), BL_EMALFORMED, 400, "Malformed Via", "SIP/2.0/UDP h;;"},
        {REQ(LINE, "Via: SIP/2.0/UDP h:0;branch=x\r\n" REST CSEQ), BL_EMALFORMED, 0, "Malformed Via",
         "SIP/2.0/UDP h:0"},
        {REQ(LINE, "Via: h;branch=x\r\n" REST CSEQ), BL_EMALFORMED, 0, "Malformed Via", "h;branch"},
        {REQ(LINE, VIA "Via: SIP/2.0/UDP h,\r\n" REST CSEQ), BL_EMALFORMED, 400, "Malformed Via", "SIP/2.0/UDP h,"},
        {REQ(LINE, VIA REST CSEQ "Route: sip:a@b\r\n"), BL_EMALFORMED, 400, "Malformed Route", "sip:a@b\r\n"},
        {REQ(LINE, VIA REST CSEQ "Route: <sip:a@b>,,<sip:c@d>\r\n"), BL_EMALFORMED, 400, "Malformed Route", ",<sip:c"},
        {REQ(LINE, VIA REST CSEQ "Record-Route: <>\r\n"), BL_EMALFORMED, 400, "Malformed Record-Route", "<>"},
        {REQ(LINE, VIA REST CSEQ "Contact: *, <sip:a@b>\r\n"), BL_EMALFORMED, 400, "Malformed Contact",
         "<sip:a@b>\r\n"},
        {REQ(LINE, VIA REST CSEQ "Contact: sip:a@b?x=y\r\n"), BL_EMALFORMED, 400, "Malformed Contact", "sip:a@b?"},
        {REQ(LINE, VIA REST CSEQ "Path: <sip:a@b>;;\r\n"), BL_EMALFORMED, 400, "Malformed Path", "<sip"},
        {REQ(LINE, VIA CSEQ "From: <sip:a@b>;tag=1\r\nTo: *\r\ni: 1\r\n"), BL_EMALFORMED, 400, "Malformed To", "*"},
        {REQ(LINE, VIA CSEQ "From: \"x <sip:a@b>\r\nTo: <sip:a@b>\r\ni: 1\r\n"), BL_EMALFORMED, 400, "Malformed From",
         "\"x"},
        {REQ(LINE, VIA CSEQ "From: <sip:a@b>\r\nTo: <sip:a@b>\r\ni: a b\r\n"), BL_EMALFORMED, 400, "Malformed Call-ID",
         "a b"},
        {REQ(LINE, VIA REST CSEQ "no colon\r\n"), BL_EMALFORMED, 400, "Header line without a name and colon",
         "no colon"},
        {REQ(LINE, VIA REST CSEQ ": x\r\n"), BL_EMALFORMED, 400, "Header line without a name and colon", ": x"},
        {REQ(LINE, " " VIA REST CSEQ), BL_EMALFORMED, 0, "Header line without a name and colon", " Via"},
        {REQ(LINE, VIA REST CSEQ "Subject: x\ny\r\n"), BL_EMALFORMED, 400, "Bare CR or LF in a header", "\ny"},
        {REQ(LINE, VIA REST CSEQ "Subject: x\ry\r\n"), BL_EMALFORMED, 400, "Bare CR or LF in a header", "\ry"},
        {LINE "\r\n" VIA REST CSEQ, BL_EMALFORMED, 400, "No empty line after the headers", ""},
        {REQ("ACK sip:a@b SIP/2.0", VIA REST "CSeq: 1 INVITE\r\n"), BL_EPROTO, 0, "CSeq method does not match",
         "INVITE"},
        {REQ("SIP/2.0 99 x", VIA REST CSEQ), BL_EMALFORMED, 0, "Malformed status code", "99"},
        {REQ("SIP/2.0 099 x", VIA REST CSEQ), BL_EPROTO, 0, "Status code out of range", "099"},
        {REQ("SIP/2.0 700 x", VIA REST CSEQ), BL_EPROTO, 0, "Status code out of range", "700"},
        {REQ("SIP/2.0 4294967301 x", VIA REST CSEQ), BL_EMALFORMED, 0, "Malformed status code", "42949"},
        {REQ("SIP/3.0 200 OK", VIA REST CSEQ), BL_EPROTO, 0, "Malformed status line", "SIP/3.0"},
        {REQ("SIP/2.0 200 OK", VIA REST), BL_EPROTO, 0, "No CSeq", "SIP/2.0"},
};

static void refuses(void **state)
{
        struct fixture *f = *state;

        for (size_t i = 0; i < BL_ARRAY_LEN(refused); i++) {
                struct bl_str in = bl_str_z(refused[i].octets);
                struct bl_parse_error error = {0};
                int rc = bl_msg_parse(in, true, f->arena, &f->m, &error);

                if (rc != refused[i].rc || error.status != refused[i].status ||
                    strcmp(error.text, refused[i].text) != 0)
                        fail_msg("%zu: %s\ngot %d %u \"%s\"", i, in.p, rc, error.status, error.text);
                if (error.offset > in.n || strncmp(in.p + error.offset, refused[i].at, strlen(refused[i].at)) != 0)
                        fail_msg("%zu: %s\nat %u, not at %s", i, in.p, error.offset, refused[i].at);
                if (error.status == 0)
                        assert_null(error.partial);
                bl_arena_reset(f->arena);
        }
}

static void partial_can_be_answered(void **state)
{
        struct fixture *f = *state;
        static const char octets[] = REQ("OPTIONS soap:b SIP/2.0", VIA REST CSEQ "Max-Forwards: 999\r\n");
        struct bl_parse_error error;

        assert_int_equal(bl_msg_parse(bl_str_z(octets), true, f->arena, &f->m, &error), BL_EPROTO);
        assert_int_equal(error.status, 416); /* the first error */
        assert_non_null(error.partial);
        assert_str(error.partial->via.branch, "z9hG4bKa");
        assert_int_equal(error.partial->cseq.number, 1);
        assert_str(bl_msg_value(error.partial, BL_H_CALL_ID), "1");
}

static void accepts(void **state)
{
        static const char *const good[] = {
                REQ("SIP/2.0 100 ", VIA REST CSEQ),
                REQ("SIP/2.0 100", VIA REST CSEQ),
                REQ("sip/2.0 200 OK", VIA REST CSEQ),
                "\r\n\r\n\r\n" REQ(LINE, VIA REST CSEQ),
                REQ(LINE, VIA REST CSEQ "Contact: *\r\n"),
                REQ(LINE, VIA REST CSEQ "Max-Forwards: 0068\r\n"),
                REQ(LINE, VIA REST CSEQ "Max-Forwards: 0\r\n"),
                REQ(LINE, VIA REST CSEQ "Supported:\r\nUnknown: ;;,,;\r\n"),
                REQ(LINE, VIA REST CSEQ "Subject:\r\n\r\nbody:"),
                REQ(LINE, VIA REST "CSEQ :\r\n 0001\r\n\tOPTIONS\r\n"),
                REQ(LINE, VIA CSEQ "From: sip:a@b\r\nTo: tel:+1-201-555\r\nCall-ID: 1==@x\r\n"),
                REQ("OPTIONS tel:+123 SIP/2.0", VIA REST CSEQ),
                REQ("OPTIONS sip:a@b sip/2.0", VIA REST CSEQ),
                REQ("-.!%*_+`'~ sip:a@b SIP/2.0", VIA REST "CSeq: 2147483647 -.!%*_+`'~\r\n"),
                REQ(LINE, VIA REST CSEQ "l: 0\r\n") "ignored",
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < BL_ARRAY_LEN(good); i++) {
                struct bl_parse_error error = {0};

                if (bl_msg_parse(bl_str_z(good[i]), true, f->arena, &f->m, &error) < 0)
                        fail_msg("%s\nrefused: %s", good[i], error.text);
        }
        assert_int_equal(f->m->body.n, 0); /* of the last: beyond Content-Length */
        assert_true(f->m->octets.p + f->m->octets.n == good[14] + strlen(good[14]) - 7);
}

/* In a stream the octets are exactly the message's. */
static void stream_length(void **state)
{
        struct fixture *f = *state;
        static const char octets[] = REQ(LINE, VIA REST CSEQ "l: 0\r\n") "x";
        struct bl_parse_error error;

        assert_int_equal(bl_msg_parse(bl_str_z(octets), false, f->arena, &f->m, &error), BL_EPROTO);
        assert_string_equal(error.text, "Content-Length is less than the message");
}

static void many_headers(void **state)
{
        struct fixture *f = *state;
        char octets[8192];
        struct bl_parse_error error;

        for (unsigned extra = 500; extra < 512; extra++) {
                int n = snprintf(octets, sizeof octets, LINE "\r\n" VIA REST CSEQ);
                int rc;

                for (unsigned i = 0; i < extra; i++)
                        n += snprintf(octets + n, sizeof octets - (size_t)n, "a:%u\r\n", i);
                n += snprintf(octets + n, sizeof octets - (size_t)n, "\r\n");
                rc = bl_msg_parse(bl_str_make(octets, (size_t)n), true, f->arena, &f->m, &error);
                if (extra + 5 <= BL_HDR_MAX) {
                        assert_int_equal(rc, 0);
                        assert_int_equal(f->m->n, extra + 5);
                        n = 0;
                        for (const struct bl_hdr *h = bl_msg_first(f->m, BL_H_OTHER); h; h = bl_msg_next(f->m, h))
                                n++;
                        assert_int_equal(n, extra);
                } else {
                        assert_int_equal(rc, BL_ELIMIT);
                        assert_int_equal(error.status, 513);
                }
                bl_arena_reset(f->arena);
        }
}

static void too_large(void **state)
{
        struct fixture *f = *state;
        static char octets[BL_MSG_MAX + 1];
        struct bl_parse_error error;

        memset(octets, 'a', sizeof octets);
        assert_int_equal(bl_msg_parse(bl_str_make(octets, sizeof octets), true, f->arena, &f->m, &error), BL_ELIMIT);
        assert_int_equal(error.status, 0); /* not looked at, so not answered */
        assert_null(error.partial);
}

static void parse_prefix(struct bl_str prefix, void *arg)
{
        struct fixture *f = arg;
        size_t whole = sizeof invite - 1;
        int rc = bl_msg_parse(prefix, true, f->arena, &f->m, NULL);

        assert_int_equal(rc == 0, prefix.n == whole);
        bl_arena_reset(f->arena);
}

static void truncated(void **state)
{
        guard_each_prefix(bl_str_z(invite), parse_prefix, *state);
}

static void without_memory(void **state)
{
        struct fixture *f = *state;

        OOM_EACH(run)
        {
                struct bl_arena *arena = bl_arena_new(1 << 20);
                struct bl_parse_error error;
                struct bl_msg *k = NULL;
                int rc = arena ? bl_msg_parse(bl_str_z(invite), true, arena, &f->m, &error) : BL_ENOMEM;

                if (rc == 0)
                        k = bl_msg_keep(f->m, f->pool);
                if (oom_struck())
                        assert_true(rc == BL_ENOMEM || !k || bl_pool_heap_calls(f->pool) > 0);
                else
                        assert_int_equal(rc, 0);
                bl_msg_drop(k, f->pool);
                bl_arena_free(arena);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(parses, setup, teardown),
                cmocka_unit_test_setup_teardown(walks_lists, setup, teardown),
                cmocka_unit_test_setup_teardown(reads_numbers, setup, teardown),
                cmocka_unit_test_setup_teardown(keeps, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses, setup, teardown),
                cmocka_unit_test_setup_teardown(partial_can_be_answered, setup, teardown),
                cmocka_unit_test_setup_teardown(accepts, setup, teardown),
                cmocka_unit_test_setup_teardown(stream_length, setup, teardown),
                cmocka_unit_test_setup_teardown(many_headers, setup, teardown),
                cmocka_unit_test_setup_teardown(too_large, setup, teardown),
                cmocka_unit_test_setup_teardown(truncated, setup, teardown),
                cmocka_unit_test_setup_teardown(without_memory, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
