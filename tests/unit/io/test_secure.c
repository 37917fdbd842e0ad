/* TLS on the streams of a world: flows that come up, flows that must not, and far ends that hold things up. */
#include "unit/io/pki.h"
#include "unit/io/rig.h"

#include <uv.h>

#include "io/tls.h"

struct lab {
        struct rig rig;
        struct pki pki;
        struct bl_creds *creds;
        struct bl_addr at;
        bl_flow_id client, server; /* the two ends of a connection of the world with itself */
        struct bl_peer seen_by_client, seen_by_server;
        char proven[256]; /* of the server, as the client sees it; chain text else */
        unsigned ups;
        void (*then)(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets);
        size_t got;
        unsigned calls;
        int why_client, why_server;
};
static int mark; /* the user of flows that we open */

static struct lab *lab_of(struct rig *r)
{
        return BL_CONTAINER(r, struct lab, rig);
}

static void see(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct lab *l = lab_of(r);
        bool ours = r->user == &mark;
        (void)env;
        if (ev == RIG_UP) {
                struct bl_sb b = {l->proven, 0, sizeof(l->proven) - 1, false};
                l->ups++;
                *(ours ? &l->client : &l->server) = f;
                *(ours ? &l->seen_by_client : &l->seen_by_server) = r->peer;
                if (ours) {
                        bl_sb_add(&b, r->peer.n_uri ? r->peer.uri_san[0] : r->peer.chain_text);
                        l->proven[b.n] = '\0';
                }
        } else if (ev == RIG_DOWN) {
                *(ours ? &l->why_client : &l->why_server) = r->why;
        }
        if (l->then && ev != RIG_TURN)
                l->then(l, ev, f, octets);
}

static void lab_open(struct lab *l, struct bl_world_conf conf, enum bl_tls_ask ask, const char *const *names)
{
        struct bl_world_listener listener = {.tp = BL_TLS, .addr = rig_addr("127.0.0.1:0"), .ask = ask};
        pki_usual(&l->pki);
        l->creds = pki_creds(&l->pki, "ca", 7, names);
        l->rig.on = see;
        conf.listeners = &listener;
        conf.n_listeners = 1;
        conf.creds = l->creds;
        rig_open(&l->rig, &conf);
        l->at = bl_world_listener_addr(l->rig.world, 0);
}

static void lab_close(struct lab *l)
{
        rig_close(&l->rig);
        bl_creds_unref(l->creds);
        pki_close(&l->pki);
}

static const char *const A[] = {"a.example", NULL};

static void open_to(struct lab *l, struct bl_addr to, const char *sni)
{
        bl_flow_id f;
        struct bl_target t = {.tp = BL_TLS, .to = to, .sni = bl_str_z(sni), .listener = BL_LISTENER_NONE};
        assert_int_equal(l->rig.env->ops->open(l->rig.env, &t, &mark, &f), 0);
        assert_int_equal(rig_send(l->rig.env, f, "too early"), BL_EGONE);
}

static uint64_t count(struct lab *l, const char *name, const char *result)
{
        return bl_stats_get(l->rig.env->stats, name, result);
}

/* ---- a connection with ourselves ---- */

static void talk(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct env *env = l->rig.env;
        if (ev == RIG_UP && l->ups == 2)
                assert_int_equal(rig_send(env, l->client, "question"), 0);
        if (ev == RIG_DATA && f == l->server) {
                assert_str(octets, "question");
                assert_int_equal(rig_send(env, f, "answer"), 0);
        } else if (ev == RIG_DATA) {
                assert_str(octets, "answer");
                env->ops->close(env, f, false);
        }
        l->rig.over = ev == RIG_DOWN && l->rig.downs == 2;
}

static void test_a_flow_of_ours_and_one_that_we_accept(void **state)
{
        (void)state;
        struct lab l = {.then = talk};
        lab_open(&l, (struct bl_world_conf){0}, BL_TLS_ASK, A);
        open_to(&l, l.at, "a.example");
        rig_run(&l.rig);
        assert_int_equal(l.why_client, 0);
        assert_int_equal(l.why_server, BL_EGONE); /* told by close_notify */
        assert_int_equal(l.seen_by_client.tp, BL_TLS);
        assert_int_equal(l.seen_by_client.chain, 0);
        assert_string_equal(l.proven, "sip:a.example");
        assert_int_equal(l.seen_by_server.listener, 0);
        assert_int_equal(l.seen_by_server.chain, 0);
        assert_false(l.seen_by_server.resumed);
        assert_int_equal(count(&l, "belay_io_tls_handshakes_total", "full"), 2);
        assert_int_equal(count(&l, "belay_io_tls_handshakes_total", "failed"), 0);
        lab_close(&l);
}

static void again(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        talk(l, ev, f, octets);
        if (!l->rig.over || ++l->calls == 3)
                return;
        l->rig.over = false;
        l->rig.downs = l->ups = 0;
        if (l->calls == 2) /* with other credentials nothing is resumed that shows the old ones */
                bl_world_set_creds(l->rig.world, l->creds);
        open_to(l, l->at, "a.example");
}

static void test_the_next_one_is_resumed(void **state)
{
        (void)state;
        struct lab l = {.then = again};
        lab_open(&l, (struct bl_world_conf){0}, BL_TLS_ASK, A);
        open_to(&l, l.at, "a.example");
        rig_run(&l.rig);
        assert_int_equal(l.calls, 3);
        assert_int_equal(count(&l, "belay_io_tls_handshakes_total", "resumed"), 2);
        assert_int_equal(count(&l, "belay_io_tls_handshakes_total", "full"), 4);
        lab_close(&l);
}

/* Messages of every size, queued at once: they arrive in order, whatever records carry them. */
enum { MESSAGES = 60, SIZE = 4000 };

static void fill(char *to, unsigned i)
{
        memset(to, 'a' + (int)(i % 26), SIZE);
}

static void many(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        char text[SIZE];
        if (ev == RIG_UP && l->ups == 2) {
                for (unsigned i = 0; i < MESSAGES; i++) {
                        fill(text, i);
                        struct bl_buf *b =
                                bl_buf_copy(l->rig.env->pool, bl_str_make(text, 1 + i * (SIZE - 1) / MESSAGES));
                        assert_int_equal(env_send(l->rig.env, l->client, b), 0);
                        bl_buf_unref(l->rig.env->pool, b);
                }
                l->rig.env->ops->close(l->rig.env, l->client, true); /* after what is queued */
        }
        for (size_t i = 0; ev == RIG_DATA && i < octets.n; i++) {
                while (l->got == 1 + l->calls * (SIZE - 1) / MESSAGES) {
                        l->calls++;
                        l->got = 0;
                }
                assert_int_equal(octets.p[i], 'a' + (int)(l->calls % 26));
                l->got++;
        }
        l->rig.over = ev == RIG_DOWN && f == l->server;
}

static void test_what_is_queued_arrives_in_order(void **state)
{
        (void)state;
        struct lab l = {.then = many};
        lab_open(&l, (struct bl_world_conf){0}, BL_TLS_NEVER, A);
        open_to(&l, l.at, "a.example");
        rig_run(&l.rig);
        assert_int_equal(l.calls, MESSAGES - 1);
        assert_int_equal(l.got, 1 + (MESSAGES - 1) * (SIZE - 1) / MESSAGES);
        assert_int_equal(l.why_server, BL_EGONE);
        lab_close(&l);
}

static void replace(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)octets;
        if (ev == RIG_UP && l->ups == 2) {
                struct bl_creds *other = PKI_CREDS(&l->pki, "ca", 7, "b.example");
                assert_string_equal(l->proven, "sip:a.example");
                bl_world_set_creds(l->rig.world, other);
                bl_creds_unref(other);
                bl_creds_unref(l->creds);
                l->creds = NULL;
                l->server = 0;
                open_to(l, l->at, "");
        }
        if (ev == RIG_UP && l->ups == 4) {
                assert_string_equal(l->proven, "sip:b.example");
                assert_int_equal(l->rig.downs, 0);
                assert_int_equal(rig_send(l->rig.env, l->rig.flow, "still there"), 0);
        }
        l->rig.over = ev == RIG_DATA && f;
}

static void test_new_credentials_leave_flows_up(void **state)
{
        (void)state;
        struct lab l = {.then = replace};
        lab_open(&l, (struct bl_world_conf){0}, BL_TLS_ASK, A);
        open_to(&l, l.at, "");
        rig_run(&l.rig);
        assert_int_equal(l.ups, 4);
        lab_close(&l);
}

/* ---- refused ---- */

static void until_our_end(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)f;
        (void)octets;
        l->rig.over = ev == RIG_DOWN && l->rig.user == &mark;
}

/* With TLS 1.3 the client is up before the server has seen its certificate; it hears of the refusal by an alert. */
static void test_required_and_not_valid(void **state)
{
        (void)state;
        struct lab l = {.then = until_our_end};
        lab_open(&l, (struct bl_world_conf){0}, BL_TLS_REQUIRE, A);
        pki_make(&l.pki, &(struct pki_want){.name = "self", .uri = "sip:a.example"});
        struct bl_creds *self = PKI_CREDS(&l.pki, "ca", 7, "self");
        bl_world_set_creds(l.rig.world, self);
        bl_creds_unref(self);
        open_to(&l, l.at, "a.example");
        rig_run(&l.rig);
        assert_int_equal(l.server, 0); /* the core never heard of it */
        assert_int_equal(l.why_client, BL_EPROTO);
        assert_int_equal(count(&l, "belay_io_tls_handshakes_total", "failed"), 1);
        lab_close(&l);
}

static void test_opened_to_something_else(void **state)
{
        (void)state;
        struct lab l = {.then = until_our_end};
        int fd = peer_socket(SOCK_STREAM, "127.0.0.1:0");
        assert_int_equal(listen(fd, 1), 0);
        lab_open(&l, (struct bl_world_conf){0}, BL_TLS_ASK, A);
        open_to(&l, peer_addr(fd), "a.example");
        int conn = accept(fd, NULL, NULL);
        assert_true(conn >= 0);
        assert_int_equal(send(conn, "SIP/2.0 400 What is this?\r\n\r\n", 29, 0), 29);
        rig_run(&l.rig);
        assert_int_equal(l.ups, 0);
        assert_int_equal(l.why_client, BL_EPROTO);
        close(conn);
        close(fd);
        lab_close(&l);
}

static void test_opened_to_silence(void **state)
{
        (void)state;
        struct lab l = {.then = until_our_end};
        int fd = peer_socket(SOCK_STREAM, "127.0.0.1:0");
        assert_int_equal(listen(fd, 1), 0);
        lab_open(&l, (struct bl_world_conf){.handshake_timeout_ms = 60}, BL_TLS_ASK, A);
        open_to(&l, peer_addr(fd), "a.example");
        rig_run(&l.rig);
        assert_int_equal(l.ups, 0);
        assert_int_equal(l.why_client, -ETIMEDOUT);
        close(fd);
        lab_close(&l);
}

static void tick(struct bl_timer *t)
{
        struct rig *r = BL_CONTAINER(t, struct rig, watchdog);
        struct lab *l = lab_of(r);
        if (count(l, "belay_io_tls_handshakes_total", "failed") >= l->calls)
                bl_world_stop(r->world, 0);
        else
                env_arm_in(r->env, t, BL_MS(1));
}

/* Each stalls or talks nonsense in its own way; none becomes a flow, and each is closed. */
static void test_strangers_that_never_shake_hands(void **state)
{
        (void)state;
        static const struct {
                const char *says;
                size_t n;
        } t[] = {{"", 0},
                 {"\x16\x03\x01\x02\x00\x01", 6}, /* the beginning of a hello */
                 {"OPTIONS sip:a.example SIP/2.0\r\n\r\n", 33},
                 {"\x16\x03\x01\x00\x02\x01\x00", 7},
                 {"\x17\x03\x03\x00\x01\x00", 6}};
        int fd[BL_ARRAY_LEN(t)];
        char sink[64];
        struct lab l = {.calls = BL_ARRAY_LEN(t)};
        lab_open(&l, (struct bl_world_conf){.handshake_timeout_ms = 60}, BL_TLS_ASK, A);
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                fd[i] = peer_connect(SOCK_STREAM, &l.at);
                assert_int_equal(send(fd[i], t[i].says, t[i].n, 0), t[i].n);
        }
        l.rig.watchdog.fire = tick;
        env_arm_in(l.rig.env, &l.rig.watchdog, 0);
        rig_run(&l.rig);
        assert_int_equal(l.ups, 0);
        assert_int_equal(l.rig.downs, 0);
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                ssize_t n;
                while ((n = recv(fd[i], sink, sizeof(sink), 0)) > 0) /* an alert, perhaps */
                        ;
                assert_true(n == 0 || errno == ECONNRESET);
                close(fd[i]);
        }
        assert_int_equal(bl_pool_used(l.rig.env->pool) < 4096, true);
        lab_close(&l);
}

/* ---- held up ---- */

struct raw { /* a client without a world */
        struct bl_pool *pool;
        struct bl_tls *tls;
        int fd;
        uv_thread_t thread;
        struct bl_addr to;
        struct bl_creds *creds;
        void (*then)(struct raw *r);
};

static void raw_run(void *arg)
{
        struct raw *r = arg;
        char buf[16384];
        r->fd = peer_connect(SOCK_STREAM, &r->to);
        assert_int_equal(bl_tls_new(r->creds, r->pool, &(struct bl_tls_how){.server = false}, r->fd, &r->tls), 0);
        while (bl_tls_handshake(r->tls) == -EAGAIN) {
                ssize_t n = recv(r->fd, buf, sizeof(buf), 0);
                assert_true(n > 0);
                bl_tls_feed(r->tls, bl_str_make(buf, (size_t)n));
        }
        r->then(r);
}

static void raw_start(struct raw *r, struct lab *l)
{
        r->pool = bl_pool_new(0);
        r->to = l->at;
        r->creds = l->creds;
        assert_int_equal(uv_thread_create(&r->thread, raw_run, r), 0);
}

static void raw_end(struct raw *r)
{
        uv_thread_join(&r->thread);
        bl_tls_free(r->tls);
        close(r->fd);
        bl_pool_free(r->pool);
}

static void until_down(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)f;
        (void)octets;
        l->rig.over = ev == RIG_DOWN;
}

static void half_a_record(struct raw *r)
{
        assert_int_equal(bl_tls_write(r->tls, BL_STR("whole")), 5);
        assert_int_equal(send(r->fd, "\x17\x03\x03\x00\x20half", 9, 0), 9);
}

static void test_half_a_record_held_back(void **state)
{
        (void)state;
        struct lab l = {.then = until_down};
        struct raw r = {.then = half_a_record};
        lab_open(&l, (struct bl_world_conf){.stuck_timeout_ms = 60}, BL_TLS_NEVER, A);
        raw_start(&r, &l);
        rig_run(&l.rig);
        raw_end(&r);
        assert_str(rig_log(&l.rig), "up data:whole down");
        assert_int_equal(l.why_server, -ETIMEDOUT);
        assert_int_equal(count(&l, "belay_io_streams_stuck_total", NULL), 1);
        lab_close(&l);
}

static void nothing(struct raw *r)
{
        (void)r;
}

static void pour(struct lab *l, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        static char much[60000];
        int rc = 0;
        until_down(l, ev, f, octets);
        while (ev != RIG_DOWN && rc == 0) { /* the kernel takes some, the queue the rest; then no more */
                struct bl_buf *b = bl_buf_copy(l->rig.env->pool, bl_str_make(much, sizeof(much)));
                rc = env_send(l->rig.env, f, b);
                bl_buf_unref(l->rig.env->pool, b);
        }
        if (ev != RIG_DOWN)
                assert_int_equal(rc, BL_EFULL);
}

static void test_a_far_end_that_never_reads(void **state)
{
        (void)state;
        struct lab l = {.then = pour};
        struct raw r = {.then = nothing};
        lab_open(&l, (struct bl_world_conf){.stuck_timeout_ms = 100}, BL_TLS_NEVER, A);
        raw_start(&r, &l);
        rig_run(&l.rig);
        raw_end(&r);
        assert_int_equal(l.why_server, -ETIMEDOUT);
        assert_int_equal(count(&l, "belay_io_streams_stuck_total", NULL), 1);
        lab_close(&l);
}

/* ---- worlds without ---- */

static void test_no_credentials_no_tls(void **state)
{
        (void)state;
        struct rig r = {0};
        bl_flow_id f;
        rig_open(&r, NULL);
        struct bl_target to = {.tp = BL_TLS, .to = closed_port(SOCK_STREAM), .listener = BL_LISTENER_NONE};
        assert_int_equal(r.env->ops->open(r.env, &to, &mark, &f), -EPROTONOSUPPORT);
        rig_close(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_flow_of_ours_and_one_that_we_accept),
                cmocka_unit_test(test_the_next_one_is_resumed),
                cmocka_unit_test(test_what_is_queued_arrives_in_order),
                cmocka_unit_test(test_new_credentials_leave_flows_up),
                cmocka_unit_test(test_required_and_not_valid),
                cmocka_unit_test(test_opened_to_something_else),
                cmocka_unit_test(test_opened_to_silence),
                cmocka_unit_test(test_strangers_that_never_shake_hands),
                cmocka_unit_test(test_half_a_record_held_back),
                cmocka_unit_test(test_a_far_end_that_never_reads),
                cmocka_unit_test(test_no_credentials_no_tls),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
