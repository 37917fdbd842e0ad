/* What loopback never does: a kernel without room, a send that fails for one peer. The test's own sendmmsg and sendmsg
 * stand before the system's. */
#include "unit/io/rig.h"

#include <netinet/in.h>
#include <sys/syscall.h>

static int no_room;        /* > 0: calls that find no room */
static uint16_t forbidden; /* port that nothing may be sent to */
static unsigned batches, singles;

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
        unsigned k = 0;
        batches++;
        if (no_room) {
                errno = EAGAIN;
                return -1;
        }
        for (; k < n && forbidden; k++) {
                const struct sockaddr_in *to = m[k].msg_hdr.msg_name;
                if (to && ntohs(to->sin_port) == forbidden)
                        break;
        }
        if (forbidden && k == 0) {
                errno = EPERM;
                return -1;
        }
        return (int)syscall(SYS_sendmmsg, fd, m, forbidden ? k : n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
        singles++;
        if (no_room) {
                no_room--;
                errno = EAGAIN;
                return -1;
        }
        return syscall(SYS_sendmsg, fd, m, flags);
}

enum { PIECE = 16 << 10 };

static void fill(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        unsigned *sent = r->arg;
        (void)octets;
        if (ev == RIG_DATA) {
                int rc = 0;
                no_room = 3; /* the first batch, and two later attempts */
                for (char n[PIECE + 1] = {0}; rc == 0;) {
                        memset(n, 'x', PIECE);
                        n[0] = (char)('A' + *sent);
                        rc = rig_send(env, f, n);
                        *sent += rc == 0;
                        if (*sent == 1) { /* fills the batch of 64: the flush inside finds no room */
                                for (int i = 0; i < 64; i++)
                                        assert_int_equal(rig_send(env, f, "small"), 0);
                        }
                }
                assert_int_equal(rc, BL_EFULL);
        }
        r->over = ev == RIG_WRITABLE;
}

static void test_what_the_kernel_has_no_room_for_waits_in_order(void **state)
{
        (void)state;
        unsigned sent = 0;
        struct rig r = {.on = fill, .arg = &sent};
        int size = 4 << 20;
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_DGRAM, &at);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        assert_int_equal(send(fd, "go", 2, 0), 2);
        rig_run(&r);
        assert_str(rig_log(&r), "up dgram:go writable");
        assert_int_equal(no_room, 0);
        assert_true(sent >= BL_WORLD_QUEUE_MAX / PIECE - 1);
        for (unsigned i = 0; i < sent + 64; i++) {
                static char in[PIECE + 1];
                ssize_t n = recv(fd, in, sizeof(in), 0);
                if (i >= 1 && i <= 64) {
                        assert_str(bl_str_make(in, (size_t)n), "small");
                        continue;
                }
                assert_int_equal(n, PIECE);
                assert_int_equal(in[0], 'A' + (i ? i - 64 : 0));
        }
        assert_true(batches > 0 && singles > 0);
        assert_int_equal(bl_stats_get(r.env->stats, "belay_io_datagrams_lost_total", NULL), 0);
        close(fd);
        rig_close(&r);
}

struct pair {
        bl_flow_id flows[2];
        unsigned n;
};

static void answer_both(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct pair *p = r->arg;
        (void)octets;
        if (ev == RIG_DATA) {
                p->flows[p->n++] = f;
                for (int i = 0; p->n == 2 && i < 3; i++) {
                        assert_int_equal(rig_send(env, p->flows[0], "no"), 0);
                        assert_int_equal(rig_send(env, p->flows[1], "yes"), 0);
                }
        }
        if (ev == RIG_DOWN)
                assert_true(f == p->flows[0]);
        r->over = ev == RIG_DOWN;
}

static void test_a_send_that_fails_for_one_peer_is_that_peers_end(void **state)
{
        (void)state;
        struct pair p = {0};
        struct rig r = {.on = answer_both, .arg = &p};
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int bad = peer_connect(SOCK_DGRAM, &at), good = peer_connect(SOCK_DGRAM, &at);
        forbidden = peer_addr(bad).port;
        assert_int_equal(send(bad, "a", 1, 0), 1);
        assert_int_equal(send(good, "b", 1, 0), 1);
        rig_run(&r);
        forbidden = 0;
        assert_int_equal(r.downs, 1);
        assert_int_equal(r.why, -EPERM);
        for (int i = 0; i < 3; i++)
                assert_peer_gets(good, "yes");
        close(bad);
        close(good);
        rig_close(&r);
}

static void send_too_long(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        (void)octets;
        if (ev == RIG_DATA) {
                struct bl_buf *b = bl_buf_new(env->pool, 65536);
                assert_non_null(b);
                memset(b->data, 'x', 65536);
                b->len = 65536; /* more than a datagram can be */
                assert_int_equal(env_send(env, f, b), 0);
                bl_buf_unref(env->pool, b);
                assert_int_equal(rig_send(env, f, "short"), 0);
        }
        r->over = ev == RIG_DATA;
}

static void test_a_datagram_that_is_too_long_is_lost_alone(void **state)
{
        (void)state;
        struct rig r = {.on = send_too_long};
        rig_listen(&r, BL_UDP, "127.0.0.1:0");
        struct bl_addr at = bl_world_listener_addr(r.world, 0);
        int fd = peer_connect(SOCK_DGRAM, &at);
        assert_int_equal(send(fd, "go", 2, 0), 2);
        rig_run(&r);
        assert_peer_gets(fd, "short");
        assert_int_equal(r.downs, 0);
        assert_int_equal(bl_stats_get(r.env->stats, "belay_io_datagrams_lost_total", NULL), 1);
        close(fd);
        rig_close(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_the_kernel_has_no_room_for_waits_in_order),
                cmocka_unit_test(test_a_send_that_fails_for_one_peer_is_that_peers_end),
                cmocka_unit_test(test_a_datagram_that_is_too_long_is_lost_alone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
