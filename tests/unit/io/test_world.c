#include "unit/io/rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <uv.h>

/* ---- timers and turns ---- */

struct tick {
        struct bl_timer t;
        struct rig *rig;
        unsigned id, *order, *n;
        bl_us fired_at;
};

static void tick(struct bl_timer *t)
{
        struct tick *k = BL_CONTAINER(t, struct tick, t);
        k->fired_at = k->rig->env->now;
        k->order[(*k->n)++] = k->id;
        if (*k->n == 3)
                k->rig->over = true;
}

static void test_timers_fire_in_order_and_never_early(void **state)
{
        (void)state;
        struct rig r = {0};
        unsigned order[3], n = 0;
        static const unsigned ms[] = {30, 5, 20};
        struct tick ticks[3];
        rig_open(&r, NULL);
        bl_us start = r.env->now;
        for (unsigned i = 0; i < 3; i++) {
                ticks[i] = (struct tick){.t.fire = tick, .rig = &r, .id = i, .order = order, .n = &n};
                env_arm_in(r.env, &ticks[i].t, BL_MS(ms[i]));
        }
        rig_run(&r);
        assert_int_equal(order[0], 1);
        assert_int_equal(order[1], 2);
        assert_int_equal(order[2], 0);
        for (unsigned i = 0; i < 3; i++)
                assert_true(ticks[i].fired_at >= start + BL_MS(ms[i]));
        assert_true(r.env->wall > 1500000000);
        rig_close(&r);
}

static void open_in_turn(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        bl_us *turn_at = r->arg;
        bl_flow_id id;
        (void)f;
        (void)octets;
        if (ev == RIG_TURN && !*turn_at) {
                struct bl_target to = {.tp = BL_UDP, .to = rig_addr("127.0.0.1:9"), .listener = BL_LISTENER_NONE};
                *turn_at = env->now;
                assert_int_equal(env->ops->open(env, &to, NULL, &id), 0);
                assert_int_equal(r->ups, 0);
        }
        r->over = ev == RIG_UP;
}

static void test_what_a_turn_asks_for_is_told_without_waiting(void **state)
{
        (void)state;
        bl_us turn_at = 0;
        struct rig r = {.on = open_in_turn, .arg = &turn_at};
        rig_open(&r, NULL);
        rig_run(&r);
        assert_int_equal(r.ups, 1);
        assert_true(turn_at > 0);
        rig_close(&r);
}

/* ---- workers ---- */

enum { POSTS = 1000 };

struct ball {
        struct bl_post post;
        struct rig *rig;
        unsigned n;
};
struct game {
        struct ball balls[POSTS];
        unsigned there, back;
        pthread_t other;
};

static void came_back(struct bl_post *p, struct env *env)
{
        struct ball *b = BL_CONTAINER(p, struct ball, post);
        struct game *g = b->rig->arg;
        assert_int_equal(env->worker, 0);
        assert_int_equal(b->n, g->back); /* first in, first out */
        if (++g->back == POSTS)
                b->rig->over = true;
}

static void went_there(struct bl_post *p, struct env *env)
{
        struct ball *b = BL_CONTAINER(p, struct ball, post);
        struct game *g = b->rig->arg;
        assert_int_equal(env->worker, 1);
        assert_int_equal(b->n, g->there++);
        g->other = pthread_self();
        b->post.run = came_back;
        env->ops->post(env, 0, p);
}

static void test_posts_arrive_in_order_in_the_other_workers_thread(void **state)
{
        (void)state;
        static struct game g;
        struct rig r = {.arg = &g}, other = {0};
        rig_open(&r, &(struct bl_world_conf){.workers = 2});
        bl_world_env(r.world, 1)->core = &other;
        assert_int_equal(bl_world_workers(r.world), 2);
        assert_int_equal(bl_world_env(r.world, 1)->worker, 1);
        assert_int_equal(bl_world_env(r.world, 1)->workers, 2);
        assert_true(bl_world_env(r.world, 0)->hash_seed == bl_world_env(r.world, 1)->hash_seed);
        for (unsigned i = 0; i < POSTS; i++) {
                g.balls[i] = (struct ball){.post.run = went_there, .rig = &r, .n = i};
                r.env->ops->post(r.env, 1, &g.balls[i].post);
        }
        rig_run(&r);
        assert_int_equal(g.back, POSTS);
        assert_true(!pthread_equal(g.other, pthread_self()));
        rig_close(&r);
}

enum { PEERS = 64 };

struct spread { /* one per worker, in its env.core's place */
        struct rig rig;
        unsigned datas;
        struct bl_addr from[PEERS * 2];
        _Atomic unsigned *all;
};

static void count(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct spread *s = BL_CONTAINER(r, struct spread, rig);
        if (ev == RIG_UP)
                s->from[r->ups - 1] = r->peer.remote;
        if (ev != RIG_DATA)
                return;
        assert_int_equal(bl_flow_worker(f), env->worker);
        struct bl_buf *b = bl_buf_copy(env->pool, octets);
        assert_int_equal(env_send(env, f, b), 0);
        bl_buf_unref(env->pool, b);
        if (++*s->all == PEERS * 2)
                r->over = true;
}

static void test_each_peer_has_one_worker_and_both_have_some(void **state)
{
        (void)state;
        static struct spread s[2];
        static _Atomic unsigned all;
        struct bl_world_listener l = {.tp = BL_UDP, .addr = rig_addr("127.0.0.1:0")};
        rig_open(&s[0].rig, &(struct bl_world_conf){.listeners = &l, .n_listeners = 1, .workers = 2});
        s[1].rig.world = s[0].rig.world;
        int fd[PEERS];
        struct bl_addr at = bl_world_listener_addr(s[0].rig.world, 0);
        for (unsigned i = 0; i < 2; i++) {
                s[i].all = &all;
                s[i].rig.on = count;
                bl_world_env(s[0].rig.world, i)->core = &s[i].rig;
        }
        for (unsigned i = 0; i < PEERS; i++) {
                fd[i] = peer_connect(SOCK_DGRAM, &at);
                assert_int_equal(send(fd[i], "a", 1, 0), 1);
                assert_int_equal(send(fd[i], "b", 1, 0), 1);
        }
        rig_run(&s[0].rig);
        assert_int_equal(s[0].rig.ups + s[1].rig.ups, PEERS); /* a peer that changed workers would be up twice */
        assert_true(s[0].rig.ups > 0 && s[1].rig.ups > 0);
        for (unsigned i = 0; i < PEERS; i++) {
                assert_peer_gets(fd[i], "a");
                assert_peer_gets(fd[i], "b");
                close(fd[i]);
        }
        rig_close(&s[0].rig);
}

/* ---- listeners that cannot be ---- */

static void assert_refused(enum bl_tp tp, const char *addr, const char *says, int rc)
{
        char text[512];
        struct bl_sb err = BL_SB(text);
        struct bl_world_listener l = {.tp = tp, .addr = rig_addr(addr)};
        struct bl_world *w = NULL;
        assert_int_equal(
                bl_world_new(&(struct bl_world_conf){.listeners = &l, .n_listeners = 1, .workers = 2}, &err, &w), rc);
        assert_null(w);
        bl_sb_addc(&err, '\0');
        assert_false(err.over);
        if (!strstr(text, addr) || !strstr(text, says))
                fail_msg("\"%s\" does not name %s and say \"%s\"", text, addr, says);
}

static void test_a_taken_port_is_said_plainly(void **state)
{
        (void)state;
        static const enum bl_tp tps[] = {BL_UDP, BL_TCP};
        for (unsigned i = 0; i < 2; i++) {
                struct rig r = {0};
                char addr[64];
                struct bl_sb b = BL_SB(addr);
                rig_listen(&r, tps[i], "127.0.0.1:0");
                struct bl_addr at = bl_world_listener_addr(r.world, 0);
                bl_addr_put(&b, &at);
                bl_sb_addc(&b, '\0');
                assert_refused(tps[i], addr, "taken", -EADDRINUSE); /* although both have SO_REUSEPORT */
                rig_close(&r);
                struct bl_world_listener l = {.tp = tps[i], .addr = at};
                rig_open(&r, &(struct bl_world_conf){.listeners = &l, .n_listeners = 1}); /* free again */
                rig_close(&r);
        }
}

static void test_an_address_that_is_not_ours(void **state)
{
        (void)state;
        assert_refused(BL_UDP, "192.0.2.1:5060", "no such address", -EADDRNOTAVAIL);
        assert_refused(BL_TCP, "192.0.2.1:5060", "no such address", -EADDRNOTAVAIL);
}

static void test_a_transport_that_is_not_there(void **state)
{
        (void)state;
        assert_refused(BL_TLS, "127.0.0.1:5061", "there is no certificate", -EPROTONOSUPPORT);
        assert_refused(BL_WS, "127.0.0.1:8080", "only udp, tcp and tls", -EPROTONOSUPPORT);
}

/* ---- sockets passed in ---- */

static void end_on_data(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)env;
        (void)f;
        (void)octets;
        r->over = ev == RIG_DATA;
}

/* In a process of its own, for the sockets must be 3 and 4. */
static int passed_in(void)
{
        char pid[16];
        int udp = peer_socket(SOCK_DGRAM, "127.0.0.1:0");
        struct bl_addr at = peer_addr(udp);
        int fd = dup2(fcntl(udp, F_DUPFD, 100), 3);
        close(udp == 3 ? 100 : udp);
        snprintf(pid, sizeof(pid), "%ld", (long)getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        struct bl_world_listener l = {.tp = BL_UDP, .addr = at};
        struct rig r = {.on = end_on_data};
        rig_open(&r, &(struct bl_world_conf){.listeners = &l, .n_listeners = 1}); /* else: taken */
        int peer = peer_connect(SOCK_DGRAM, &at);
        if (fd != 3 || send(peer, "hello", 5, 0) != 5)
                return 1;
        rig_run(&r);
        bool ok = bl_str_eq(rig_log(&r), BL_STR("up dgram:hello"));
        rig_close(&r);
        return ok ? 0 : 2;
}

static void test_a_passed_socket_is_taken_over(void **state)
{
        (void)state;
        int status = -1;
        pid_t child = fork();
        if (child == 0)
                _exit(passed_in());
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- signals, stop, the rest ---- */

static void on_usr1(struct bl_world *w, int signum, void *arg)
{
        int *seen = arg;
        *seen = signum;
        bl_world_stop(w, 0);
}

static void test_a_signal_is_an_event(void **state)
{
        (void)state;
        struct rig r = {0};
        int seen = 0;
        rig_open(&r, NULL);
        assert_int_equal(bl_world_on_signal(r.world, SIGUSR1, on_usr1, &seen), 0);
        raise(SIGUSR1);
        rig_run(&r);
        assert_int_equal(seen, SIGUSR1);
        rig_close(&r);
}

static void test_stop_before_run_ends_all_workers(void **state)
{
        (void)state;
        struct rig r = {0};
        rig_open(&r, &(struct bl_world_conf){.workers = 3});
        bl_world_stop(r.world, 0);
        bl_world_stop(r.world, 1000);
        rig_run(&r);
        rig_close(&r);
}

static void test_a_world_that_never_runs_gives_everything_back(void **state)
{
        (void)state;
        struct rig r = {0};
        bl_flow_id f;
        rig_listen(&r, BL_TCP, "127.0.0.1:0");
        struct bl_target to = {.tp = BL_TCP, .to = bl_world_listener_addr(r.world, 0), .listener = 0};
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), 0);
        to.tp = BL_UDP;
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), 0);
        rig_close(&r); /* leaks are found by the asan preset */
}

static void own_timer(uv_timer_t *h)
{
        struct rig *r = h->data;
        bl_world_enter(r->env);
        env_arm_in(r->env, &r->watchdog, BL_SEC(20));
        r->over = true; /* the turn that bl_world_enter began is ended, and sees it */
        uv_close((uv_handle_t *)h, NULL);
}

static void test_a_program_may_add_its_own_handles(void **state)
{
        (void)state;
        struct rig r = {0};
        uv_timer_t t;
        rig_open(&r, NULL);
        uv_timer_init(bl_world_loop(r.world, 0), &t);
        t.data = &r;
        uv_timer_start(&t, own_timer, 5, 0);
        rig_run(&r);
        rig_close(&r);
}

static void test_random_octets_differ(void **state)
{
        (void)state;
        struct rig r = {0};
        uint8_t a[16], b[16], big[5000] = {0};
        rig_open(&r, NULL);
        for (int i = 0; i < 1000; i++) {
                r.env->ops->random(r.env, a, sizeof(a));
                r.env->ops->random(r.env, b, sizeof(b));
                assert_memory_not_equal(a, b, sizeof(a));
        }
        r.env->ops->random(r.env, big, sizeof(big));
        assert_memory_not_equal(big, big + 2500, 2500);
        rig_close(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_timers_fire_in_order_and_never_early),
                cmocka_unit_test(test_what_a_turn_asks_for_is_told_without_waiting),
                cmocka_unit_test(test_posts_arrive_in_order_in_the_other_workers_thread),
                cmocka_unit_test(test_each_peer_has_one_worker_and_both_have_some),
                cmocka_unit_test(test_a_taken_port_is_said_plainly),
                cmocka_unit_test(test_an_address_that_is_not_ours),
                cmocka_unit_test(test_a_transport_that_is_not_there),
                cmocka_unit_test(test_a_passed_socket_is_taken_over),
                cmocka_unit_test(test_a_signal_is_an_event),
                cmocka_unit_test(test_stop_before_run_ends_all_workers),
                cmocka_unit_test(test_a_world_that_never_runs_gives_everything_back),
                cmocka_unit_test(test_a_program_may_add_its_own_handles),
                cmocka_unit_test(test_random_octets_differ),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
