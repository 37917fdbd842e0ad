#include "unit/unit.h"

#include <stdlib.h>

#include "sip/write.h"
#include "unit/oom.h"

static const char invite[] = "INVITE sip:bob@example.com SIP/2.0\r\n"
                             "Via: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\n"
                             "Via : SIP/2.0/UDP b;branch=z9hG4bK2, SIP/2.0/UDP c;branch=z9hG4bK3\r\n"
                             "X-First:  kept  \r\n"
                             "Route: <sip:r0;lr>,<sip:r1;lr>\r\n  , <sip:r2;lr>\r\n"
                             "Max-Forwards: 70\r\n"
                             "route: <sip:r3;lr>\r\n"
                             "Record-Route: <sip:x;lr>\r\n"
                             "f: <sip:alice@example.com>;tag=1\r\n"
                             "To: <sip:bob@example.com>\r\n"
                             "Call-ID: 1\r\n"
                             "CSeq: 7 INVITE\r\n"
                             "Timestamp: 5\r\n"
                             "Content-Length: 5\r\n"
                             "X-Last: 1\r\n"
                             "\r\n"
                             "hello";

struct fixture {
        struct bl_arena *arena;
        struct bl_pool *pool;
        struct bl_msg *m;
        struct bl_edits e;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);

        f->arena = bl_arena_new(1 << 20);
        f->pool = bl_pool_new(0);
        if (bl_msg_parse(bl_str_z(invite), true, f->arena, &f->m, NULL) < 0)
                return -1;
        bl_edits_init(&f->e, f->m, f->arena);
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

/* The edited message is the original with each `from` replaced by its `to`. */
struct swap {
        const char *from, *to;
};

static void expect(struct fixture *f, const struct swap *swaps, size_t n)
{
        char want[4096];
        struct bl_sb out = BL_SB(want);
        struct bl_buf *buf;
        const char *p = invite;

        for (size_t i = 0; i < n; i++) {
                const char *at = strstr(p, swaps[i].from);

                assert_non_null(at);
                bl_sb_add(&out, bl_str_make(p, (size_t)(at - p)));
                bl_sb_addz(&out, swaps[i].to);
                p = at + strlen(swaps[i].from);
        }
        bl_sb_addz(&out, p);
        bl_sb_addc(&out, '\0');
        assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), 0);
        assert_str(bl_buf_str(buf), want);
        bl_buf_unref(f->pool, buf);
        assert_int_equal(bl_pool_used(f->pool), 0);
}
#define EXPECT(f, ...)                                                                                                 \
        expect((f), (const struct swap[]){__VA_ARGS__},                                                                \
               sizeof((const struct swap[]){__VA_ARGS__}) / sizeof(struct swap))

static void copies(void **state)
{
        struct fixture *f = *state;
        struct bl_buf *buf;

        expect(f, NULL, 0);
        assert_int_equal(bl_write(f->pool, f->m, NULL, &buf), 0);
        assert_str(bl_buf_str(buf), invite);
        bl_buf_unref(f->pool, buf);
}

/* What a proxy does, RFC 3261 16.6. */
static void forwards(void **state)
{
        struct fixture *f = *state;

        bl_edit_ruri(&f->e, BL_STR("sip:bob@192.0.2.4"));
        bl_edit_set(&f->e, BL_H_MAX_FORWARDS, BL_STR("69"));
        bl_edit_push(&f->e, BL_H_RECORD_ROUTE, BL_STR("<sip:p;lr>"));
        bl_edit_remove_value(&f->e, BL_H_ROUTE, 0);
        bl_edit_replace_value(&f->e, BL_H_VIA, 0, BL_STR("SIP/2.0/UDP a;received=192.0.2.1"));
        bl_edit_push(&f->e, BL_H_VIA, BL_STR("SIP/2.0/UDP p;branch=z9hG4bK0"));
        EXPECT(f, {"bob@example.com SIP", "bob@192.0.2.4 SIP"},
               {"Via: SIP/2.0/UDP a;branch=z9hG4bK1;rport",
                "Via: SIP/2.0/UDP p;branch=z9hG4bK0\r\nVia: SIP/2.0/UDP a;received=192.0.2.1"},
               {"Route: <sip:r0;lr>,<sip:r1;lr>\r\n  , <sip:r2;lr>", "Route: <sip:r1;lr>, <sip:r2;lr>"}, {"70", "69"},
               {"Record-Route", "Record-Route: <sip:p;lr>\r\nRecord-Route"});
}

static void order_of_inserts(void **state)
{
        struct fixture *f = *state;

        bl_edit_push(&f->e, BL_H_ROUTE, BL_STR("<sip:t1>"));
        bl_edit_push(&f->e, BL_H_ROUTE, BL_STR("<sip:t2>"));
        bl_edit_append(&f->e, BL_H_ROUTE, BL_STR("<sip:b1>"));
        bl_edit_append(&f->e, BL_H_ROUTE, BL_STR("<sip:b2>"));
        bl_edit_push(&f->e, BL_H_ROUTE, BL_STR("<sip:t3>"));
        EXPECT(f, {"Route: <sip:r0", "Route: <sip:t3>\r\nRoute: <sip:t2>\r\nRoute: <sip:t1>\r\nRoute: <sip:r0"},
               {"Record", "Route: <sip:b1>\r\nRoute: <sip:b2>\r\nRecord"});
}

/* Headers of a name that the message lacks go above Content-Length. */
static void new_headers(void **state)
{
        struct fixture *f = *state;

        bl_edit_append(&f->e, BL_H_PATH, BL_STR("<sip:1>"));
        bl_edit_push(&f->e, BL_H_PATH, BL_STR("<sip:2>"));
        bl_edit_append_named(&f->e, BL_STR("X-A"), BL_STR("1"));
        bl_edit_append_named(&f->e, BL_STR("X-B"), BL_STR("2"));
        bl_edit_append_named(&f->e, BL_STR("k"), BL_STR("path"));
        bl_edit_append(&f->e, BL_H_PATH, BL_STR("<sip:3>"));
        bl_edit_set(&f->e, BL_H_EXPIRES, BL_STR("5"));
        EXPECT(f,
               {"Content-Length", "Path: <sip:2>\r\nPath: <sip:1>\r\nPath: <sip:3>\r\nX-A: 1\r\nX-B: 2\r\nk: path\r\n"
                                  "Expires: 5\r\nContent-Length"});
}

static void sets_and_removes(void **state)
{
        struct fixture *f = *state;

        bl_edit_push(&f->e, BL_H_ROUTE, BL_STR("<sip:gone>"));
        bl_edit_remove_value(&f->e, BL_H_ROUTE, 1);
        bl_edit_set(&f->e, BL_H_ROUTE, BL_STR("<sip:gone2>"));
        bl_edit_set(&f->e, BL_H_ROUTE, BL_STR("<sip:one>"));
        bl_edit_push(&f->e, BL_H_ROUTE, BL_STR("<sip:zero>"));
        bl_edit_remove(&f->e, BL_H_TIMESTAMP);
        bl_edit_remove(&f->e, BL_H_EXPIRES); /* has none */
        EXPECT(f, {"Route: <sip:r0;lr>,<sip:r1;lr>\r\n  , <sip:r2;lr>", "Route: <sip:zero>\r\nRoute: <sip:one>"},
               {"route: <sip:r3;lr>\r\n", ""}, {"Timestamp: 5\r\n", ""});
}

static void element_edits(void **state)
{
        struct fixture *f = *state;

        bl_edit_remove_value(&f->e, BL_H_ROUTE, 1);
        bl_edit_replace_value(&f->e, BL_H_ROUTE, 2, BL_STR("<sip:once>"));
        bl_edit_replace_value(&f->e, BL_H_ROUTE, 2, BL_STR("<sip:new>"));
        bl_edit_remove_value(&f->e, BL_H_ROUTE, 3);
        bl_edit_remove_value(&f->e, BL_H_ROUTE, 4); /* no such */
        bl_edit_remove_value(&f->e, BL_H_VIA, 1);
        EXPECT(f, {"Via : SIP/2.0/UDP b;branch=z9hG4bK2, ", "Via : "},
               {"<sip:r0;lr>,<sip:r1;lr>\r\n  , <sip:r2;lr>", "<sip:r0;lr>, <sip:new>"},
               {"route: <sip:r3;lr>\r\n", ""});
}

static void element_then_line(void **state)
{
        struct fixture *f = *state;

        bl_edit_remove(&f->e, BL_H_ROUTE);
        bl_edit_replace_value(&f->e, BL_H_ROUTE, 0, BL_STR("<sip:late>")); /* its line is gone */
        bl_edit_append(&f->e, BL_H_ROUTE, BL_STR("<sip:new>"));
        EXPECT(f, {"Route: <sip:r0;lr>,<sip:r1;lr>\r\n  , <sip:r2;lr>\r\n", ""},
               {"route: <sip:r3;lr>\r\n", "Route: <sip:new>\r\n"});
}

static void all_elements_of_a_line(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < 3; i++)
                bl_edit_remove_value(&f->e, BL_H_ROUTE, i);
        EXPECT(f, {"Route: <sip:r0;lr>,<sip:r1;lr>\r\n  , <sip:r2;lr>\r\n", ""});
}

static void bodies(void **state)
{
        struct fixture *f = *state;

        bl_edit_set(&f->e, BL_H_CONTENT_LENGTH, BL_STR("77")); /* not the caller's */
        bl_edit_body(&f->e, BL_STR("hello, world"));
        bl_edit_body(&f->e, BL_STR("hello, you"));
        EXPECT(f, {"Content-Length: 5", "Content-Length: 10"}, {"\r\n\r\nhello", "\r\n\r\nhello, you"});
}

static void adds_length(void **state)
{
        struct fixture *f = *state;
        static const char octets[] = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nf: <sip:a@b>\r\nTo: <sip:a@b>\r\ni: 1\r\n"
                                     "CSeq: 1 BYE\r\n\r\nbody";
        struct bl_buf *buf;

        assert_int_equal(bl_msg_parse(bl_str_z(octets), true, f->arena, &f->m, NULL), 0);
        bl_edits_init(&f->e, f->m, f->arena);
        bl_edit_remove_value(&f->e, BL_H_VIA, 0);
        bl_edit_status(&f->e, 408, BL_STR(""));
        assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), 0);
        assert_str(bl_buf_str(buf),
                   "SIP/2.0 408 Request Timeout\r\nf: <sip:a@b>\r\nTo: <sip:a@b>\r\ni: 1\r\nCSeq: 1 BYE\r\n"
                   "Content-Length: 4\r\n\r\nbody");
        bl_buf_unref(f->pool, buf);
        bl_edit_body(&f->e, BL_STR(""));
        assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), 0);
        assert_str(bl_buf_str(buf),
                   "SIP/2.0 408 Request Timeout\r\nf: <sip:a@b>\r\nTo: <sip:a@b>\r\ni: 1\r\nCSeq: 1 BYE\r\n"
                   "Content-Length: 0\r\n\r\n");
        bl_buf_unref(f->pool, buf);
}

/* A value cannot bring a line of its own. */
static void refuses_injection(void **state)
{
        static const char *const bad[] = {"a\r\nX: y", "a\nb", "a\rb", "a\r\n"};
        struct fixture *f = *state;
        struct bl_buf *buf;
        struct bl_draft d;

        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                bl_edits_init(&f->e, f->m, f->arena);
                bl_edit_push(&f->e, BL_H_PATH, bl_str_z(bad[i]));
                assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), BL_EINVAL);
                bl_edits_init(&f->e, f->m, f->arena);
                bl_edit_replace_value(&f->e, BL_H_ROUTE, 1, bl_str_z(bad[i]));
                assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), BL_EINVAL);
                bl_draft_request(&d, f->pool, BL_STR("BYE"), BL_STR("sip:a"));
                bl_draft_header(&d, BL_H_TO, bl_str_z(bad[i]));
                assert_int_equal(bl_draft_end(&d, BL_STR(""), BL_STR(""), &buf), BL_EINVAL);
                bl_draft_request(&d, f->pool, BL_STR("BYE"), bl_str_z(bad[i]));
                assert_int_equal(bl_draft_end(&d, BL_STR(""), BL_STR(""), &buf), BL_EINVAL);
        }
        bl_edits_init(&f->e, f->m, f->arena);
        bl_edit_ruri(&f->e, BL_STR(""));
        assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), BL_EINVAL);
        bl_draft_request(&d, f->pool, BL_STR("BYE"), (struct bl_str){NULL, 0});
        assert_int_equal(bl_draft_end(&d, BL_STR(""), BL_STR(""), &buf), BL_EINVAL);
        bl_edits_init(&f->e, f->m, f->arena);
        bl_edit_ruri(&f->e, BL_STR("sip:a SIP/2.0"));
        assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), BL_EINVAL);
        assert_int_equal(bl_pool_used(f->pool), 0);
}

static void response(void **state)
{
        struct fixture *f = *state;
        struct bl_response r = {.status = 180,
                                .to_tag = BL_STR("t"),
                                .extra = BL_STR("Contact: <sip:x>\r\n"),
                                .record_route = true,
                                .source = {.family = 4, .ip = {192, 0, 2, 1}, .port = 4000}};
        struct bl_buf *buf;

        assert_int_equal(bl_write_response(f->pool, f->m, &r, &buf), 0);
        assert_str(bl_buf_str(buf),
                   "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.1;rport=4000\r\n"
                   "Via: SIP/2.0/UDP b;branch=z9hG4bK2, SIP/2.0/UDP c;branch=z9hG4bK3\r\nRecord-Route: <sip:x;lr>\r\n"
                   "f: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=t\r\nCall-ID: 1\r\n"
                   "CSeq: 7 INVITE\r\nContact: <sip:x>\r\nContent-Length: 0\r\n\r\n");
        bl_buf_unref(f->pool, buf);
        r = (struct bl_response){.status = 100, .reason = BL_STR("Wait"), .to_tag = BL_STR("t"), .record_route = true};
        assert_int_equal(bl_write_response(f->pool, f->m, &r, &buf), 0);
        assert_str(bl_buf_str(buf),
                   "SIP/2.0 100 Wait\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\n"
                   "Via: SIP/2.0/UDP b;branch=z9hG4bK2, SIP/2.0/UDP c;branch=z9hG4bK3\r\n"
                   "f: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 7 INVITE\r\n"
                   "Timestamp: 5\r\nContent-Length: 0\r\n\r\n");
        bl_buf_unref(f->pool, buf);
        r = (struct bl_response){
                .status = 200, .to_tag = BL_STR("t"), .body = BL_STR("xyz"), .content_type = BL_STR("a/b")};
        assert_int_equal(bl_write_response(f->pool, f->m, &r, &buf), 0);
        assert_non_null(memmem(buf->data, buf->len, "Content-Type: a/b\r\nContent-Length: 3\r\n\r\nxyz",
                               strlen("Content-Type: a/b\r\nContent-Length: 3\r\n\r\nxyz")));
        bl_buf_unref(f->pool, buf);
        assert_int_equal(bl_pool_used(f->pool), 0);
}

/* The 400 to a request that does not parse has what of it could be understood. */
static void response_to_partial(void **state)
{
        struct fixture *f = *state;
        static const char octets[] = "BYE sip:a SIP/2.0\r\nv: SIP/2.0/UDP a:1\r\nFrom: sip:a@b\r\nCSeq: x BYE\r\n\r\n";
        struct bl_response r = {.status = 400, .source = {.family = 4, .ip = {192, 0, 2, 1}, .port = 4000}};
        struct bl_parse_error error;
        struct bl_buf *buf;

        assert_int_equal(bl_msg_parse(bl_str_z(octets), true, f->arena, &f->m, &error), BL_EPROTO);
        r.status = error.status;
        r.reason = bl_str_z(error.text);
        assert_int_equal(bl_write_response(f->pool, error.partial, &r, &buf), 0);
        assert_str(bl_buf_str(buf), "SIP/2.0 400 No To\r\nv: SIP/2.0/UDP a:1;received=192.0.2.1\r\nFrom: sip:a@b\r\n"
                                    "CSeq: x BYE\r\nContent-Length: 0\r\n\r\n");
        bl_buf_unref(f->pool, buf);
}

static void hop_requests(void **state)
{
        struct fixture *f = *state;
        struct bl_buf *buf;

        assert_int_equal(bl_write_hop(f->pool, f->m, BL_M_ACK, BL_STR("<sip:bob@example.com>;tag=9"), &buf), 0);
        assert_str(
                bl_buf_str(buf),
                "ACK sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n"
                "Route: <sip:r0;lr>,<sip:r1;lr>\r\n  , <sip:r2;lr>\r\nroute: <sip:r3;lr>\r\n"
                "f: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=9\r\nCall-ID: 1\r\nCSeq: 7 ACK\r\n"
                "Content-Length: 0\r\n\r\n");
        bl_buf_unref(f->pool, buf);
        assert_int_equal(bl_write_hop(f->pool, f->m, BL_M_CANCEL, BL_STR(""), &buf), 0);
        assert_non_null(memmem(buf->data, buf->len, "To: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 7 CANCEL\r\n",
                               strlen("To: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 7 CANCEL\r\n")));
        bl_buf_unref(f->pool, buf);
}

static void drafts(void **state)
{
        struct fixture *f = *state;
        char big[3000];
        struct bl_draft d;
        struct bl_buf *buf;

        memset(big, 'x', sizeof big);
        bl_draft_request(&d, f->pool, BL_STR("MESSAGE"), BL_STR("sip:a"));
        bl_draft_headerf(&d, BL_H_CSEQ, "%u %s", 7u, "MESSAGE");
        bl_draft_named(&d, BL_STR("X-Big"), bl_str_make(big, sizeof big));
        bl_draft_lines(&d, BL_STR("A: b\r\nC: d\r\n"));
        assert_int_equal(bl_draft_end(&d, BL_STR("text/plain"), BL_STR("hi"), &buf), 0);
        assert_int_equal(buf->len, strlen("MESSAGE sip:a SIP/2.0\r\nCSeq: 7 MESSAGE\r\nX-Big: \r\nA: b\r\nC: d\r\n"
                                          "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi") +
                                           sizeof big);
        assert_memory_equal(buf->data, "MESSAGE sip:a SIP/2.0\r\nCSeq: 7 MESSAGE\r\nX-Big: x", 48);
        bl_buf_unref(f->pool, buf);
        bl_draft_request(&d, f->pool, BL_STR("MESSAGE"), BL_STR("sip:a"));
        bl_draft_headerf(&d, BL_H_TO, "%.*s", 2900, big);
        assert_int_equal(bl_draft_end(&d, BL_STR(""), BL_STR(""), &buf), BL_ELIMIT);
        bl_draft_request(&d, f->pool, BL_STR("MESSAGE"), BL_STR("sip:a"));
        for (unsigned i = 0; i < 30; i++)
                bl_draft_named(&d, BL_STR("X-Big"), bl_str_make(big, sizeof big));
        assert_int_equal(bl_draft_end(&d, BL_STR(""), BL_STR(""), &buf), BL_ELIMIT);
        assert_int_equal(bl_pool_used(f->pool), 0);
}

static void over_the_limit(void **state)
{
        struct fixture *f = *state;
        static char big[40000];
        struct bl_buf *buf;

        memset(big, 'x', sizeof big);
        for (unsigned i = 0; i < 2; i++)
                bl_edit_push(&f->e, BL_H_PATH, bl_str_make(big, sizeof big));
        assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), BL_ELIMIT);
        bl_edit_body(&f->e, bl_str_make(big, sizeof big));
        bl_edit_push(&f->e, BL_H_PATH, bl_str_make(big, sizeof big));
        assert_int_equal(bl_write(f->pool, f->m, &f->e, &buf), BL_ELIMIT);
        assert_int_equal(bl_pool_used(f->pool), 0);
}

static int whole_forward(struct bl_arena *arena, struct bl_pool *pool)
{
        static char fold[3000];
        struct bl_buf *buf;
        struct bl_edits e;
        struct bl_msg *m;
        int rc = bl_msg_parse(bl_str_z(invite), true, arena, &m, NULL);

        if (rc < 0)
                return rc;
        memset(fold, 'x', sizeof fold);
        bl_edits_init(&e, m, arena);
        for (unsigned i = 0; i < 40; i++)
                bl_edit_push(&e, BL_H_PATH, BL_STR("<sip:p>"));
        bl_edit_set(&e, BL_H_MAX_FORWARDS, BL_STR("69"));
        bl_edit_remove_value(&e, BL_H_ROUTE, 0);
        bl_edit_body(&e, bl_str_make(fold, sizeof fold));
        rc = bl_write(pool, m, &e, &buf);
        if (rc == 0)
                bl_buf_unref(pool, buf);
        return rc;
}

static void without_memory(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                struct bl_arena *arena = bl_arena_new(1 << 20);
                struct bl_pool *pool = bl_pool_new(0);
                int rc = arena && pool ? whole_forward(arena, pool) : BL_ENOMEM;

                assert_int_equal(rc, oom_struck() ? BL_ENOMEM : 0);
                bl_arena_free(arena);
                bl_pool_free(pool);
        }
        for (size_t limit = 64; limit < 1 << 15; limit += limit / 2) { /* the budget of one message, at every size */
                struct bl_arena *arena = bl_arena_new(limit);
                struct bl_pool *pool = bl_pool_new(0);
                int rc = whole_forward(arena, pool);

                assert_true(rc == 0 || rc == BL_ENOMEM);
                bl_arena_free(arena);
                bl_pool_free(pool);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(copies, setup, teardown),
                cmocka_unit_test_setup_teardown(forwards, setup, teardown),
                cmocka_unit_test_setup_teardown(order_of_inserts, setup, teardown),
                cmocka_unit_test_setup_teardown(new_headers, setup, teardown),
                cmocka_unit_test_setup_teardown(sets_and_removes, setup, teardown),
                cmocka_unit_test_setup_teardown(element_edits, setup, teardown),
                cmocka_unit_test_setup_teardown(element_then_line, setup, teardown),
                cmocka_unit_test_setup_teardown(all_elements_of_a_line, setup, teardown),
                cmocka_unit_test_setup_teardown(bodies, setup, teardown),
                cmocka_unit_test_setup_teardown(adds_length, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses_injection, setup, teardown),
                cmocka_unit_test_setup_teardown(response, setup, teardown),
                cmocka_unit_test_setup_teardown(response_to_partial, setup, teardown),
                cmocka_unit_test_setup_teardown(hop_requests, setup, teardown),
                cmocka_unit_test_setup_teardown(drafts, setup, teardown),
                cmocka_unit_test_setup_teardown(over_the_limit, setup, teardown),
                cmocka_unit_test(without_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
