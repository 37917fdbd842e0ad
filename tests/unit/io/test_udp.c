#include "unit/io/rig.h"

/* ---- accepted flows ---- */

static void echo(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        if (ev != RIG_DATA)
                return;
        struct bl_buf *b = bl_buf_copy(env->pool, octets);
        assert_int_equal(env_send(env, f, b), 0);
        bl_buf_unref(env->pool, b);
        r->over = bl_str_eq(octets, BL_STR("last"));
}

static void test_a_peer_becomes_one_flow_and_is_answered_from_the_listener(void **state)
{
        (void)state;
        struct rig r = {.on = echo};
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_DGRAM, &at);
        assert_int_equal(send(fd, "one", 3, 0), 3);
        assert_int_equal(send(fd, "last", 4, 0), 4);
        rig_run(&r);
        assert_str(rig_log(&r), "up dgram:one dgram:last");
        struct bl_addr me = peer_addr(fd);
        assert_true(bl_addr_eq(&r.peer.remote, &me));
        assert_true(bl_addr_eq(&r.peer.local, &at));
        assert_int_equal(r.peer.listener, 0);
        assert_null(r.user);
        assert_peer_gets(fd, "one"); /* connected: it would not take octets from another port */
        assert_peer_gets(fd, "last");
        close(fd);
        rig_close(&r);
}

static void test_two_peers_are_two_flows(void **state)
{
        (void)state;
        struct rig r = {.on = echo};
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int a = peer_connect(SOCK_DGRAM, &at), b = peer_connect(SOCK_DGRAM, &at);
        assert_int_equal(send(a, "a", 1, 0), 1);
        assert_int_equal(send(b, "last", 4, 0), 4);
        rig_run(&r);
        assert_str(rig_log(&r), "up dgram:a up dgram:last");
        assert_peer_gets(a, "a");
        assert_peer_gets(b, "last");
        close(a);
        close(b);
        rig_close(&r);
}

static void test_a_listener_on_all_addresses_answers_from_the_one_asked(void **state)
{
        (void)state;
        struct rig r = {.on = echo};
        rig_listen(&r, BL_UDP, "0.0.0.0:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0), first = rig_addr("127.0.0.1:0"),
                       second = rig_addr("127.9.8.7:0");
        first.port = second.port = at.port;
        int a = peer_connect(SOCK_DGRAM, &first), b = peer_connect(SOCK_DGRAM, &second);
        assert_int_equal(send(a, "a", 1, 0), 1);
        assert_int_equal(send(b, "last", 4, 0), 4);
        rig_run(&r);
        assert_true(bl_addr_eq(&r.peer.local, &second));
        assert_peer_gets(a, "a");
        assert_peer_gets(b, "last");
        close(a);
        close(b);
        rig_close(&r);
}

static void test_ipv6(void **state)
{
        (void)state;
        struct rig r = {.on = echo};
        rig_listen(&r, BL_UDP, "[::]:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0), to = rig_addr("[::1]:0");
        to.port = at.port;
        int fd = peer_connect(SOCK_DGRAM, &to);
        assert_int_equal(send(fd, "last", 4, 0), 4);
        rig_run(&r);
        assert_true(bl_addr_eq(&r.peer.local, &to));
        assert_peer_gets(fd, "last");
        close(fd);
        rig_close(&r);
}

/* A hundred answers in one turn are more than a batch. */
static void many(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)octets;
        if (ev != RIG_DATA)
                return;
        for (int i = 0; i < 100; i++) {
                char text[16];
                snprintf(text, sizeof(text), "%d", i);
                assert_int_equal(rig_send(env, f, text), 0);
        }
        r->over = true;
}

static void test_more_than_a_batch_goes_out_in_order(void **state)
{
        (void)state;
        struct rig r = {.on = many};
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_DGRAM, &at);
        assert_int_equal(send(fd, "go", 2, 0), 2);
        size_t before = bl_pool_used(r.env->pool);
        rig_run(&r);
        for (int i = 0; i < 100; i++) {
                char text[16];
                snprintf(text, sizeof(text), "%d", i);
                assert_peer_gets(fd, text);
        }
        assert_true(bl_pool_used(r.env->pool) < before + 1024); /* the buffers came back; the flow stays */
        close(fd);
        rig_close(&r);
}

enum { PEERS = 3, PASSENGERS = 40 };

struct trains {
        struct rig r;
        bl_flow_id flow[PEERS];
        unsigned n;
};

/* The i-th datagram to a peer: mostly of one length, now and then shorter, longer, or too long for a train. */
static size_t passenger(unsigned peer, unsigned i, char *text, size_t cap)
{
        size_t n = i % 10 == 9 ? 50 : i % 10 == 4 ? 300 : i == 25 ? 2000 : 200;
        memset(text, 'a' + (int)peer, cap);
        snprintf(text, cap, "%u %u", peer, i);
        return n;
}

static void send_trains(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct trains *t = BL_CONTAINER(r, struct trains, r);
        (void)octets;
        if (ev != RIG_DATA)
                return;
        t->flow[t->n++] = f;
        if (t->n < PEERS)
                return;
        for (unsigned i = 0; i < PASSENGERS; i++) {
                for (unsigned peer = 0; peer < PEERS; peer++) {
                        char text[2048];
                        struct bl_buf *b =
                                bl_buf_copy(env->pool, bl_str_make(text, passenger(peer, i, text, sizeof(text))));
                        assert_non_null(b);
                        assert_int_equal(env_send(env, t->flow[peer], b), 0);
                        bl_buf_unref(env->pool, b);
                }
        }
        r->over = true;
}

/* What the kernel takes as one comes out as it was sent, datagram by datagram, in order. */
static void test_trains_are_cut_apart_again(void **state)
{
        (void)state;
        struct trains t = {.r = {.on = send_trains}};
        int fd[PEERS];
        struct bl_world_listener l = {.tp = BL_UDP, .addr = rig_addr("127.0.0.1:0")};
        rig_open(&t.r, &(struct bl_world_conf){.listeners = &l, .n_listeners = 1, .udp_trains = true});
        struct bl_addr at = bl_world_listener_addr(t.r.world, 0);
        for (unsigned peer = 0; peer < PEERS; peer++) {
                fd[peer] = peer_connect(SOCK_DGRAM, &at);
                assert_int_equal(send(fd[peer], "go", 2, 0), 2);
        }
        rig_run(&t.r);
        for (unsigned peer = 0; peer < PEERS; peer++) {
                unsigned as = 0; /* flows came in the order in which the kernel read them */
                for (unsigned i = 0; i < PASSENGERS; i++) {
                        char want[2048], got[2048];
                        ssize_t n = recv(fd[peer], got, sizeof(got), 0);
                        if (i == 0)
                                as = (unsigned)(got[0] - '0');
                        assert_int_equal(n, passenger(as, i, want, sizeof(want)));
                        assert_memory_equal(got, want, (size_t)n);
                }
                close(fd[peer]);
        }
        rig_close(&t.r);
}

struct closing {
        struct bl_addr at;
        int fd;
        bl_flow_id first, second;
};

static void close_first(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct closing *c = r->arg;
        (void)octets;
        if (ev == RIG_DATA && !c->first) {
                c->first = f;
                env->ops->close(env, f, false);
                assert_int_equal(r->downs, 0); /* later, never inside the call */
        } else if (ev == RIG_DOWN) {
                assert_true(f == c->first);
                assert_int_equal(send(c->fd, "two", 3, 0), 3);
        } else if (ev == RIG_DATA) {
                c->second = f;
                assert_int_equal(rig_send(env, c->first, "stale"), BL_EGONE);
                env->ops->close(env, c->first, false);
                r->over = true;
        }
}

static void test_a_closed_flow_is_stale_and_its_peer_comes_back_as_another(void **state)
{
        (void)state;
        struct closing c = {0};
        struct rig r = {.on = close_first, .arg = &c};
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        c.at = bl_world_listener_addr(r.world, 0);
        c.fd = peer_connect(SOCK_DGRAM, &c.at);
        assert_int_equal(send(c.fd, "one", 3, 0), 3);
        rig_run(&r);
        assert_str(rig_log(&r), "up dgram:one down up dgram:two");
        assert_int_equal(r.why, 0);
        assert_true(c.first != c.second);
        assert_int_equal(bl_flow_slot(c.first), bl_flow_slot(c.second)); /* the slot is used again, the handle is not */
        close(c.fd);
        rig_close(&r);
}

/* ---- ICMP ---- */

struct two {
        int gone, other;
        bl_flow_id first;
        unsigned n;
        bl_flow_id flows[2];
};

/* The first peer's socket is closed before both are answered in one batch; the error that its answer causes must not
 * cost the other one's. */
static void answer_both(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct two *t = r->arg;
        (void)octets;
        if (ev == RIG_DATA && t->n < 2) {
                t->flows[t->n++] = f;
                if (t->n < 2)
                        return;
                close(t->gone);
                for (int i = 0; i < 10; i++) {
                        assert_int_equal(rig_send(env, t->flows[0], "to nobody"), 0);
                        assert_int_equal(rig_send(env, t->flows[1], "to you"), 0);
                }
        }
        if (ev == RIG_DOWN) {
                assert_true(f == t->flows[0]);
                assert_int_equal(rig_send(env, f, "stale"), BL_EGONE);
                assert_int_equal(rig_send(env, t->flows[1], "still there"), 0);
                r->over = true;
        }
}

static void test_icmp_on_the_listener_takes_down_the_named_peer_only(void **state)
{
        (void)state;
        struct two t = {0};
        struct rig r = {.on = answer_both, .arg = &t};
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        t.gone = peer_connect(SOCK_DGRAM, &at);
        t.other = peer_connect(SOCK_DGRAM, &at);
        assert_int_equal(send(t.gone, "a", 1, 0), 1);
        assert_int_equal(send(t.other, "b", 1, 0), 1);
        rig_run(&r);
        assert_int_equal(r.downs, 1);
        assert_int_equal(r.why, -ECONNREFUSED);
        for (int i = 0; i < 10; i++)
                assert_peer_gets(t.other, "to you");
        assert_peer_gets(t.other, "still there");
        close(t.other);
        rig_close(&r);
}

static void send_when_up(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)octets;
        if (ev == RIG_UP)
                assert_int_equal(rig_send(env, f, "hello"), 0);
        if (ev == RIG_DOWN)
                r->over = true;
}

static void test_icmp_on_an_opened_flow_takes_it_down(void **state)
{
        (void)state;
        struct rig r = {.on = send_when_up};
        int mark;
        bl_flow_id f;
        rig_open(&r, NULL);
        struct bl_target to = {.tp = BL_UDP, .to = closed_port(SOCK_DGRAM), .listener = BL_LISTENER_NONE};
        assert_int_equal(r.env->ops->open(r.env, &to, &mark, &f), 0);
        assert_int_equal(r.ups, 0); /* later, never inside the call */
        rig_run(&r);
        assert_str(rig_log(&r), "up down");
        assert_int_equal(r.why, -ECONNREFUSED);
        assert_ptr_equal(r.user, &mark);
        rig_close(&r);
}

/* ---- opened flows ---- */

static void talk_then_close(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        int *peer = r->arg;
        (void)octets;
        if (ev == RIG_UP) {
                struct sockaddr_storage from;
                socklen_t len = bl_sockaddr_from(&r->peer.local, &from);
                assert_int_equal(rig_send(env, f, "hello"), 0);
                assert_int_equal(sendto(*peer, "welcome", 7, 0, (struct sockaddr *)&from, len), 7);
        }
        if (ev == RIG_DATA) {
                assert_int_equal(rig_send(env, f, "bye"), 0);
                env->ops->close(env, f, false);
                assert_int_equal(rig_send(env, f, "too late"), BL_EGONE);
                env->ops->close(env, f, false);
        }
        if (ev == RIG_DOWN)
                r->over = true;
}

static void test_an_opened_flow_has_its_own_port_on_the_listeners_address(void **state)
{
        (void)state;
        int peer = peer_socket(SOCK_DGRAM, "127.0.0.1:0");
        struct rig r = {.on = talk_then_close, .arg = &peer};
        bl_flow_id f;
        rig_listen(&r, BL_UDP, "127.0.0.5:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        struct bl_target to = {.tp = BL_UDP, .to = peer_addr(peer), .listener = 0};
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), 0);
        rig_run(&r);
        assert_str(rig_log(&r), "up dgram:welcome down");
        assert_int_equal(r.why, 0);
        assert_true(bl_addr_eq_ip(&r.peer.local, &at));
        assert_int_not_equal(r.peer.local.port, at.port);
        assert_int_equal(r.peer.listener, BL_LISTENER_NONE);
        assert_peer_gets(peer, "hello");
        assert_peer_gets(peer, "bye"); /* queued before the close */
        close(peer);
        rig_close(&r);
}

static void test_open_to_nowhere_fails_at_once(void **state)
{
        (void)state;
        struct rig r = {0};
        bl_flow_id f = 0;
        rig_open(&r, NULL);
        struct bl_target to = {.tp = BL_UDP, .to = rig_addr("127.0.0.1:0"), .listener = BL_LISTENER_NONE};
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), BL_EINVAL); /* no port */
        to.tp = BL_TLS;
        to.to.port = 5061;
        assert_int_equal(r.env->ops->open(r.env, &to, NULL, &f), -EPROTONOSUPPORT);
        assert_true(f == 0);
        rig_close(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_peer_becomes_one_flow_and_is_answered_from_the_listener),
                cmocka_unit_test(test_two_peers_are_two_flows),
                cmocka_unit_test(test_a_listener_on_all_addresses_answers_from_the_one_asked),
                cmocka_unit_test(test_ipv6),
                cmocka_unit_test(test_more_than_a_batch_goes_out_in_order),
                cmocka_unit_test(test_trains_are_cut_apart_again),
                cmocka_unit_test(test_a_closed_flow_is_stale_and_its_peer_comes_back_as_another),
                cmocka_unit_test(test_icmp_on_the_listener_takes_down_the_named_peer_only),
                cmocka_unit_test(test_icmp_on_an_opened_flow_takes_it_down),
                cmocka_unit_test(test_an_opened_flow_has_its_own_port_on_the_listeners_address),
                cmocka_unit_test(test_open_to_nowhere_fails_at_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
