#include "unit/io/rig.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

/* ---- connections that we accept ---- */

static void echo(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        if (ev == RIG_DATA) {
                struct bl_buf *b = bl_buf_copy(env->pool, octets);
                assert_int_equal(env_send(env, f, b), 0);
                bl_buf_unref(env->pool, b);
        }
        r->over = ev == RIG_DOWN;
}

static void test_an_accepted_connection_is_echoed_until_the_far_end_closes(void **state)
{
        (void)state;
        struct rig r = {.on = echo};
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_STREAM, &at);
        struct bl_addr me = peer_addr(fd);
        assert_int_equal(send(fd, "hello", 5, 0), 5);
        /* Half-open: it says no more but still listens. The answer must get there before our end closes. */
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        rig_run(&r);
        assert_str(rig_log(&r), "up data:hello down");
        assert_int_equal(r.why, BL_EGONE);
        assert_true(bl_addr_eq(&r.peer.remote, &me));
        assert_true(bl_addr_eq(&r.peer.local, &at));
        assert_int_equal(r.peer.listener, 0);
        assert_peer_gets(fd, "hello");
        assert_peer_gets(fd, "");
        close(fd);
        rig_close(&r);
}

static void reset_when_up(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct linger now = {1, 0};
        int *fd = r->arg;
        (void)env;
        (void)f;
        (void)octets;
        if (ev == RIG_UP) {
                assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
                close(*fd);
        }
        r->over = ev == RIG_DOWN;
}

static void test_a_reset_takes_the_flow_down(void **state)
{
        (void)state;
        int fd;
        struct rig r = {.on = reset_when_up, .arg = &fd};
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        fd = peer_connect(SOCK_STREAM, &at);
        rig_run(&r);
        assert_str(rig_log(&r), "up down");
        assert_int_equal(r.why, -ECONNRESET);
        rig_close(&r);
}

/* ---- connections that we open ---- */

static void until_down(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)octets;
        if (ev == RIG_UP)
                assert_int_equal(rig_send(env, f, "hello"), 0);
        if (ev == RIG_DATA)
                env->ops->close(env, f, false);
        r->over = ev == RIG_DOWN;
}

static void test_a_refused_connection_is_down_without_up(void **state)
{
        (void)state;
        struct rig r = {.on = until_down};
        int mark;
        bl_flow_id f;
        rig_open(&r, NULL);
        struct bl_target to = {.tp = BL_TCP, .to = closed_port(SOCK_STREAM), .listener = BL_LISTENER_NONE};
        assert_int_equal(r.env->ops->open(r.env, &to, &mark, &f), 0);
        assert_int_equal(rig_send(r.env, f, "too early"), BL_EGONE);
        rig_run(&r);
        assert_str(rig_log(&r), "down");
        assert_int_equal(r.why, -ECONNREFUSED);
        assert_ptr_equal(r.user, &mark);
        rig_close(&r);
}

static int listening(struct bl_addr *ret_at)
{
        int fd = peer_socket(SOCK_STREAM, "127.0.0.1:0");
        assert_int_equal(listen(fd, 5), 0);
        *ret_at = peer_addr(fd);
        return fd;
}

struct server {
        int fd, conn;
};

static void talk(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct server *s = r->arg;
        if (ev == RIG_UP) {
                s->conn = accept(s->fd, NULL, NULL);
                assert_true(s->conn >= 0);
                assert_int_equal(send(s->conn, "welcome", 7, 0), 7);
        }
        until_down(r, env, ev, f, octets);
}

static void test_an_opened_connection_leaves_from_the_listeners_address(void **state)
{
        (void)state;
        struct server s;
        struct bl_addr at;
        s.fd = listening(&at);
        struct rig r = {.on = talk, .arg = &s};
        bl_flow_id f;
        rig_listen(&r, BL_TCP, "127.0.0.7:0");
        struct bl_addr own = bl_world_listener_addr(r.world, 0);
        struct bl_target to = {.tp = BL_TCP, .to = at, .listener = 0};
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), 0);
        rig_run(&r);
        assert_str(rig_log(&r), "up data:welcome down");
        assert_int_equal(r.why, 0);
        assert_true(bl_addr_eq_ip(&r.peer.local, &own));
        assert_true(bl_addr_eq(&r.peer.remote, &at));
        assert_peer_gets(s.conn, "hello");
        assert_peer_gets(s.conn, "");
        close(s.conn);
        close(s.fd);
        rig_close(&r);
}

static void test_closing_while_it_opens(void **state)
{
        (void)state;
        struct bl_addr at;
        int fd = listening(&at);
        struct rig r = {.on = until_down};
        bl_flow_id f;
        rig_open(&r, NULL);
        struct bl_target to = {.tp = BL_TCP, .to = at, .listener = BL_LISTENER_NONE};
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), 0);
        r.env->ops->close(r.env, f, true);
        assert_int_equal(r.downs, 0);
        rig_run(&r);
        assert_str(rig_log(&r), "down");
        assert_int_equal(r.why, 0);
        close(fd);
        rig_close(&r);
}

/* A listener whose queue is full answers nothing: the attempt ends by itself. */
static void test_a_connection_that_nobody_answers_times_out(void **state)
{
        (void)state;
        struct bl_addr at;
        int fd = peer_socket(SOCK_STREAM, "127.0.0.1:0"), waiting[2];
        assert_int_equal(listen(fd, 0), 0);
        at = peer_addr(fd);
        waiting[0] = peer_connect(SOCK_STREAM, &at);
        struct rig r = {.on = until_down};
        bl_flow_id f;
        rig_open(&r, &(struct bl_world_conf){.connect_timeout_ms = 50});
        struct bl_target to = {.tp = BL_TCP, .to = at, .listener = BL_LISTENER_NONE};
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), 0);
        rig_run(&r);
        assert_str(rig_log(&r), "down");
        assert_int_equal(r.why, -ETIMEDOUT);
        close(waiting[0]);
        close(fd);
        rig_close(&r);
}

/* ---- queues ---- */

enum { PIECE = 16384 };

struct flood {
        int fd;
        size_t sent, got;
        bool full, drain;
        bl_flow_id flow;
        struct bl_timer reader;
        struct rig *rig;
};

static struct bl_buf *piece(struct env *env)
{
        struct bl_buf *b = bl_buf_new(env->pool, PIECE);
        assert_non_null(b);
        memset(b->data, 'x', PIECE);
        b->len = PIECE;
        return b;
}

static void fill(struct rig *r, struct env *env, struct flood *fl)
{
        struct bl_buf *b = piece(env);
        int rc;
        (void)r;
        while ((rc = env_send(env, fl->flow, b)) == 0)
                fl->sent += b->len;
        assert_int_equal(rc, BL_EFULL);
        bl_buf_unref(env->pool, b);
        fl->full = true;
}

static size_t read_some(struct flood *fl)
{
        static char in[1 << 16];
        ssize_t n = recv(fl->fd, in, sizeof(in), MSG_DONTWAIT);
        if (n > 0)
                fl->got += (size_t)n;
        return n > 0 ? (size_t)n : 0;
}

static void read_on(struct bl_timer *t)
{
        struct flood *fl = BL_CONTAINER(t, struct flood, reader);
        while (read_some(fl))
                ;
        env_arm_in(fl->rig->env, t, BL_MS(1));
}

static void flood(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct flood *fl = r->arg;
        (void)octets;
        if (ev == RIG_DATA) {
                fl->flow = f;
                fill(r, env, fl);
                assert_true(fl->sent >= BL_WORLD_QUEUE_MAX - PIECE);
        }
        if (ev == RIG_TURN && fl->full && !bl_timer_armed(&fl->reader))
                env_arm_in(env, &fl->reader, BL_MS(1));
        if (ev == RIG_WRITABLE) {
                assert_true(fl->full);
                assert_int_equal(rig_send(env, f, "and on"), 0);
                fl->sent += 6;
                env->ops->close(env, f, true);
                assert_int_equal(rig_send(env, f, "too late"), BL_EGONE);
        }
        r->over = ev == RIG_DOWN;
}

static void test_a_full_queue_says_so_and_says_when_there_is_room(void **state)
{
        (void)state;
        struct flood fl = {0};
        struct rig r = {.on = flood, .arg = &fl};
        fl.rig = &r;
        fl.reader.fire = read_on;
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        fl.fd = peer_connect(SOCK_STREAM, &at);
        assert_int_equal(send(fl.fd, "go", 2, 0), 2);
        rig_run(&r);
        assert_str(rig_log(&r), "up data:go writable down");
        assert_int_equal(r.why, 0);
        for (;;) { /* close(drain): what was queued arrives, then the end */
                char in[PIECE];
                ssize_t n = recv(fl.fd, in, sizeof(in), 0);
                assert_true(n >= 0);
                if (n == 0)
                        break;
                fl.got += (size_t)n;
        }
        assert_int_equal(fl.got, fl.sent);
        close(fl.fd);
        rig_close(&r);
}

static void fill_then_close(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)octets;
        if (ev == RIG_DATA) {
                for (int i = 0; i < 8; i++) {
                        struct bl_buf *b = piece(env);
                        assert_int_equal(env_send(env, f, b), 0);
                        bl_buf_unref(env->pool, b);
                }
                env->ops->close(env, f, false);
        }
        r->over = ev == RIG_DOWN;
}

static void test_close_without_drain_gives_the_queue_back(void **state)
{
        (void)state;
        struct rig r = {.on = fill_then_close};
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_STREAM, &at);
        assert_int_equal(send(fd, "go", 2, 0), 2);
        size_t before = bl_pool_used(r.env->pool);
        rig_run(&r);
        assert_int_equal(r.why, 0);
        assert_true(bl_pool_used(r.env->pool) <= before);
        close(fd);
        rig_close(&r);
}

/* ---- backpressure ---- */

struct paused {
        int fd;
        struct bl_timer later;
        struct rig *rig;
        bl_flow_id flow;
        bool resumed;
};

static void resume(struct bl_timer *t)
{
        struct paused *p = BL_CONTAINER(t, struct paused, later);
        p->resumed = true;
        p->rig->env->ops->pause(p->rig->env, p->flow, false);
}

static void pausing(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct paused *p = r->arg;
        (void)octets;
        if (ev != RIG_DATA)
                return;
        if (r->datas == 1) {
                p->flow = f;
                env->ops->pause(env, f, true);
                assert_int_equal(send(p->fd, "two", 3, 0), 3);
                env_arm_in(env, &p->later, BL_MS(30));
        } else {
                assert_true(p->resumed);
                r->over = true;
        }
}

static void test_a_paused_flow_is_not_read(void **state)
{
        (void)state;
        struct paused p = {.later.fire = resume};
        struct rig r = {.on = pausing, .arg = &p};
        p.rig = &r;
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        p.fd = peer_connect(SOCK_STREAM, &at);
        assert_int_equal(send(p.fd, "one", 3, 0), 3);
        rig_run(&r);
        assert_str(rig_log(&r), "up data:one data:two");
        close(p.fd);
        rig_close(&r);
}

/* ---- no descriptors left ---- */

struct scarce {
        struct bl_timer later;
        struct rlimit limit;
        bool raised;
};

static void raise_limit(struct bl_timer *t)
{
        struct scarce *s = BL_CONTAINER(t, struct scarce, later);
        s->raised = true;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &s->limit), 0);
}

static void scarce(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct scarce *s = r->arg;
        (void)env;
        (void)f;
        (void)octets;
        if (ev != RIG_UP)
                return;
        assert_true(s->raised);
        r->over = true;
}

static void test_without_descriptors_it_waits_and_accepts_later(void **state)
{
        (void)state;
        struct scarce s = {.later.fire = raise_limit};
        struct rig r = {.on = scarce, .arg = &s};
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_STREAM, &at);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &s.limit), 0);
        struct rlimit none = {.rlim_cur = (rlim_t)fd + 1, .rlim_max = s.limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        env_arm_in(r.env, &s.later, BL_MS(50));
        rig_run(&r);
        assert_int_equal(r.ups, 1);
        assert_true(bl_stats_get(r.env->stats, "belay_io_accepts_refused_total", NULL) == 1); /* not once per poll */
        close(fd);
        rig_close(&r);
}

static void refuse(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)env;
        (void)f;
        (void)octets;
        r->over = ev == RIG_DATA;
}

static void test_a_full_flow_table_refuses_the_next(void **state)
{
        (void)state;
        struct rig r = {.on = refuse};
        struct bl_world_listener l = {.tp = BL_TCP, .addr = rig_addr("127.0.0.1:0")};
        rig_open(&r, &(struct bl_world_conf){.listeners = &l, .n_listeners = 1, .max_flows = 1});
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int first = peer_connect(SOCK_STREAM, &at), second = peer_connect(SOCK_STREAM, &at);
        assert_int_equal(send(first, "hello", 5, 0), 5);
        rig_run(&r);
        assert_int_equal(r.ups, 1);
        assert_peer_gets(second, "");
        close(first);
        close(second);
        rig_close(&r);
}

/* ---- ends that meet other events ---- */

struct pair {
        bl_flow_id flow[2];
};

static void close_the_other(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct pair *p = r->arg;
        (void)octets;
        if (ev == RIG_UP)
                p->flow[r->ups - 1] = f;
        if (ev == RIG_DATA)
                env->ops->close(env, f == p->flow[0] ? p->flow[1] : p->flow[0], false);
        r->over = ev == RIG_DOWN;
}

static void test_of_two_that_are_ready_at_once_the_first_may_close_the_second(void **state)
{
        (void)state;
        struct pair p = {{0}};
        struct rig r = {.on = close_the_other, .arg = &p};
        int fd[2];
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        for (int i = 0; i < 2; i++) {
                fd[i] = peer_connect(SOCK_STREAM, &at);
                assert_int_equal(send(fd[i], "x", 1, 0), 1);
        }
        rig_run(&r);
        assert_str(rig_log(&r), "up up data:x down");
        assert_int_equal(r.why, 0);
        close(fd[0]);
        close(fd[1]);
        rig_close(&r);
}

static unsigned descriptors(void)
{
        unsigned n = 0;
        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void test_a_world_that_goes_closes_what_still_lingers(void **state)
{
        (void)state;
        unsigned before = descriptors();
        struct rig r = {.on = echo};
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_STREAM, &at);
        assert_int_equal(send(fd, "hello", 5, 0), 5);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        rig_run(&r); /* our side waits for the end of theirs */
        assert_str(rig_log(&r), "up data:hello down");
        rig_close(&r);
        close(fd);
        assert_int_equal(descriptors(), before);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_accepted_connection_is_echoed_until_the_far_end_closes),
                cmocka_unit_test(test_a_reset_takes_the_flow_down),
                cmocka_unit_test(test_a_refused_connection_is_down_without_up),
                cmocka_unit_test(test_an_opened_connection_leaves_from_the_listeners_address),
                cmocka_unit_test(test_closing_while_it_opens),
                cmocka_unit_test(test_a_connection_that_nobody_answers_times_out),
                cmocka_unit_test(test_a_full_queue_says_so_and_says_when_there_is_room),
                cmocka_unit_test(test_close_without_drain_gives_the_queue_back),
                cmocka_unit_test(test_a_paused_flow_is_not_read),
                cmocka_unit_test(test_without_descriptors_it_waits_and_accepts_later),
                cmocka_unit_test(test_a_full_flow_table_refuses_the_next),
                cmocka_unit_test(test_of_two_that_are_ready_at_once_the_first_may_close_the_second),
                cmocka_unit_test(test_a_world_that_goes_closes_what_still_lingers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
