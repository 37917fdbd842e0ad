/* The resolver against a small authoritative server on loopback, which runs as a handle in the same loop. */
#include "unit/io/rig.h"

#include <uv.h>

struct server { /* answers by the first label of the question */
        uv_poll_t poll;
        int fd;
        unsigned asked;
};

static void put16(struct bl_sb *b, unsigned v)
{
        bl_sb_addc(b, (char)(v >> 8));
        bl_sb_addc(b, (char)v);
}

static void put_record(struct bl_sb *b, unsigned type, unsigned ttl, const char *data, unsigned n)
{
        put16(b, 0xc00c);
        put16(b, type);
        put16(b, 1);
        put16(b, ttl >> 16);
        put16(b, ttl);
        put16(b, n);
        bl_sb_add(b, bl_str_make(data, n));
}

static void answer(struct server *s, const char *in, size_t n, const struct sockaddr_storage *from, socklen_t len)
{
        char text[512];
        struct bl_sb b = BL_SB(text);
        struct bl_str label = {in + 13, (size_t)in[12]};
        size_t end = 12;
        while (end < n && in[end])
                end += (size_t)in[end] + 1;
        end += 5;
        bool nx = bl_str_eq(label, BL_STR("nobody")), srv = bl_str_eq(label, BL_STR("_sip")),
             bare = bl_str_eq(label, BL_STR("bare")), fail = bl_str_eq(label, BL_STR("fail"));
        s->asked++;
        if (bl_str_eq(label, BL_STR("silent")))
                return;
        bl_sb_add(&b, bl_str_make(in, 2));
        put16(&b, 0x8580 | (nx ? 3u : fail ? 2u : 0u));
        put16(&b, 1);
        put16(&b, nx || bare || fail ? 0 : 1);
        put16(&b, nx || bare ? 1 : 0);
        put16(&b, 0);
        bl_sb_add(&b, bl_str_make(in + 12, end - 12));
        if (nx || bare)
                put_record(&b, 6, 30, "\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\x14", 22);
        else if (srv)
                put_record(&b, 33, 77, "\0\1\0\2\x13\xc4\2e1\2ex\0", 13);
        else if (!fail)
                put_record(&b, 1, 55, "\x7f\0\1\2", 4);
        sendto(s->fd, text, b.n, 0, (const struct sockaddr *)from, len);
}

static void on_question(uv_poll_t *h, int status, int events)
{
        struct server *s = h->data;
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        char in[512];
        (void)status;
        (void)events;
        ssize_t n = recvfrom(s->fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len);
        if (n > 17)
                answer(s, in, (size_t)n, &from, len);
}

enum { QUERIES = 8 };
struct asked {
        struct bl_query q;
        struct rig *rig;
        int rc, calls;
        unsigned n, *left;
        uint32_t neg_ttl, ttl;
        struct bl_addr addr;
        char name[64];
        uint16_t port;
};

static void done(struct bl_query *q, int rc, const struct bl_rr *rr, unsigned n, uint32_t neg_ttl)
{
        struct asked *a = BL_CONTAINER(q, struct asked, q);
        a->rc = rc;
        a->n = n;
        a->neg_ttl = neg_ttl;
        a->calls++;
        if (n) {
                a->ttl = rr->ttl;
                a->addr = rr->addr;
                a->port = rr->port;
                memcpy(a->name, rr->name.p ? rr->name.p : "", rr->name.n);
        }
        if (--*a->left == 0)
                a->rig->over = true;
}

struct setup {
        struct rig rig;
        struct server server;
        struct asked asked[QUERIES];
        unsigned left;
};

static void begin(struct setup *t)
{
        memset(t, 0, sizeof(*t));
        t->server.fd = peer_socket(SOCK_DGRAM, "127.0.0.53:0");
        struct bl_addr at = peer_addr(t->server.fd);
        rig_open(&t->rig, &(struct bl_world_conf){.dns = &at, .n_dns = 1, .dns_timeout_ms = 50});
        uv_poll_init(bl_world_loop(t->rig.world, 0), &t->server.poll, t->server.fd);
        t->server.poll.data = &t->server;
        uv_poll_start(&t->server.poll, UV_READABLE, on_question);
}

static struct asked *ask(struct setup *t, unsigned i, const char *name, uint16_t type)
{
        struct asked *a = &t->asked[i];
        *a = (struct asked){
                .q = {.name = bl_str_z(name), .type = type, .done = done}, .rig = &t->rig, .left = &t->left};
        t->left++;
        t->rig.env->ops->query(t->rig.env, &a->q);
        assert_int_equal(a->calls, 0); /* never inside the call */
        assert_non_null(a->q._world);
        return a;
}

static void end(struct setup *t)
{
        uv_close((uv_handle_t *)&t->server.poll, NULL);
        rig_close(&t->rig);
        close(t->server.fd);
}

static void test_answers_with_their_ttl(void **state)
{
        (void)state;
        struct setup t;
        begin(&t);
        struct asked *a = ask(&t, 0, "e1.ex", BL_RR_A), *srv = ask(&t, 1, "_sip._udp.ex", BL_RR_SRV),
                     *nx = ask(&t, 2, "nobody.ex", BL_RR_A), *bare = ask(&t, 3, "bare.ex", BL_RR_AAAA),
                     *fail = ask(&t, 4, "fail.ex", BL_RR_A);
        rig_run(&t.rig);
        assert_int_equal(a->rc, 0);
        assert_int_equal(a->n, 1);
        assert_int_equal(a->ttl, 55);
        struct bl_addr want = rig_addr("127.0.1.2");
        assert_true(bl_addr_eq(&a->addr, &want));
        assert_int_equal(srv->rc, 0);
        assert_int_equal(srv->ttl, 77);
        assert_int_equal(srv->port, 5060);
        assert_string_equal(srv->name, "e1.ex");
        assert_int_equal(nx->rc, BL_ENOENT);
        assert_int_equal(nx->n, 0);
        assert_int_equal(nx->neg_ttl, 20);
        assert_int_equal(bare->rc, 0);
        assert_int_equal(bare->n, 0);
        assert_int_equal(bare->neg_ttl, 20);
        assert_int_equal(fail->rc, BL_EREFUSED);
        for (unsigned i = 0; i < 5; i++) {
                assert_int_equal(t.asked[i].calls, 1);
                assert_null(t.asked[i].q._world);
        }
        end(&t);
}

static void test_silence_times_out(void **state)
{
        (void)state;
        struct setup t;
        begin(&t);
        struct asked *a = ask(&t, 0, "silent.ex", BL_RR_A);
        rig_run(&t.rig);
        assert_int_equal(a->rc, BL_ETIMEOUT);
        assert_true(t.server.asked >= 2); /* asked again before giving up */
        end(&t);
}

static void test_a_name_that_cannot_be(void **state)
{
        (void)state;
        struct setup t;
        begin(&t);
        char longest[300];
        memset(longest, 'a', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        struct asked *empty = ask(&t, 0, "", BL_RR_A), *big = ask(&t, 1, longest, BL_RR_A),
                     *dots = ask(&t, 2, "a..b", BL_RR_A);
        rig_run(&t.rig);
        assert_int_equal(empty->rc, BL_ENOENT);
        assert_int_equal(big->rc, BL_ENOENT);
        assert_int_equal(dots->rc, BL_ENOENT);
        assert_int_equal(t.server.asked, 0);
        end(&t);
}

static void test_a_cancelled_query_is_never_answered(void **state)
{
        (void)state;
        struct setup t;
        begin(&t);
        struct asked *a = ask(&t, 0, "e1.ex", BL_RR_A), *put_off = ask(&t, 1, "", BL_RR_A);
        t.rig.env->ops->cancel(t.rig.env, &a->q);
        t.rig.env->ops->cancel(t.rig.env, &put_off->q);
        t.rig.env->ops->cancel(t.rig.env, &put_off->q);
        assert_null(a->q._world);
        t.left = 0;
        ask(&t, 2, "e1.ex", BL_RR_A);
        rig_run(&t.rig);
        assert_int_equal(a->calls, 0);
        assert_int_equal(put_off->calls, 0);
        assert_int_equal(t.asked[2].calls, 1);
        end(&t);
}

static void test_no_memory_is_told_as_well(void **state)
{
        (void)state;
        struct rig r = {0};
        unsigned left = 2;
        rig_open(&r, &(struct bl_world_conf){.pool_limit = 1});
        struct asked a[3];
        for (int i = 0; i < 3; i++) {
                a[i] = (struct asked){
                        .q = {.name = BL_STR("e1.ex"), .type = BL_RR_A, .done = done}, .rig = &r, .left = &left};
                r.env->ops->query(r.env, &a[i].q);
                assert_int_equal(a[i].calls, 0);
        }
        r.env->ops->cancel(r.env, &a[1].q);
        rig_run(&r);
        assert_int_equal(a[0].rc, BL_ENOMEM);
        assert_int_equal(a[1].calls, 0);
        assert_int_equal(a[2].rc, BL_ENOMEM);
        rig_close(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers_with_their_ttl),
                cmocka_unit_test(test_silence_times_out),
                cmocka_unit_test(test_a_name_that_cannot_be),
                cmocka_unit_test(test_a_cancelled_query_is_never_answered),
                cmocka_unit_test(test_no_memory_is_told_as_well),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
