/* A world with a core that writes down what it is told, for the tests of io/. */
#pragma once
#include "unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/sockaddr.h"
#include "io/world.h"

enum rig_event { RIG_UP, RIG_DATA, RIG_WRITABLE, RIG_DOWN, RIG_TURN };

struct rig {
        struct bl_world *world;
        struct env *env; /* of worker 0 */
        void (*on)(struct rig *r, struct env *env, enum rig_event ev, bl_flow_id f,
                   struct bl_str octets); /* may be NULL */
        void *arg;
        bool over; /* the test sets it: stop */
        char log[4096];
        size_t log_n;
        unsigned ups, downs, datas, writables;
        int why;         /* of the last down */
        bl_flow_id flow; /* of the last up */
        void *user;      /* of the last event */
        struct bl_peer peer;
        struct bl_timer watchdog;
};

static inline struct bl_str rig_log(const struct rig *r)
{
        return bl_str_make(r->log, r->log_n);
}

static inline void rig_note(struct rig *r, const char *what, struct bl_str more)
{
        struct bl_sb b = {r->log, r->log_n, sizeof(r->log), false};
        if (b.n)
                bl_sb_addc(&b, ' ');
        bl_sb_addz(&b, what);
        bl_sb_add(&b, more.n > 64 ? bl_str_make(more.p, 64) : more);
        r->log_n = b.n;
}

static inline void rig_tell(struct env *env, enum rig_event ev, bl_flow_id f, struct bl_str octets)
{
        struct rig *r = env->core;
        if (r->on)
                r->on(r, env, ev, f, octets);
        if (r->over)
                bl_world_stop(r->world, 2000);
}

static inline void rig_up(struct env *env, bl_flow_id f, const struct bl_peer *peer, void *user)
{
        struct rig *r = env->core;
        r->ups++;
        r->flow = f;
        r->peer = *peer;
        r->user = user;
        rig_note(r, "up", (struct bl_str){0});
        rig_tell(env, RIG_UP, f, (struct bl_str){0});
}

static inline void rig_data(struct env *env, bl_flow_id f, void *user, struct bl_str octets, bool datagram)
{
        struct rig *r = env->core;
        r->datas++;
        r->user = user;
        rig_note(r, datagram ? "dgram:" : "data:", octets);
        rig_tell(env, RIG_DATA, f, octets);
}

static inline void rig_writable(struct env *env, bl_flow_id f, void *user)
{
        struct rig *r = env->core;
        r->writables++;
        r->user = user;
        rig_note(r, "writable", (struct bl_str){0});
        rig_tell(env, RIG_WRITABLE, f, (struct bl_str){0});
}

static inline void rig_down(struct env *env, bl_flow_id f, void *user, int why)
{
        struct rig *r = env->core;
        r->downs++;
        r->why = why;
        r->user = user;
        rig_note(r, "down", (struct bl_str){0});
        rig_tell(env, RIG_DOWN, f, (struct bl_str){0});
}

static inline void rig_turn(struct env *env)
{
        rig_tell(env, RIG_TURN, 0, (struct bl_str){0});
}

static inline void rig_too_late(struct bl_timer *t)
{
        struct rig *r = BL_CONTAINER(t, struct rig, watchdog);
        fprintf(stderr, "nothing came of it in 20 s; so far: %.*s\n", (int)r->log_n, r->log);
        abort();
}

static const struct env_events rig_events = {rig_up, rig_data, rig_writable, rig_down, rig_turn};

static inline struct bl_addr rig_addr(const char *text)
{
        struct bl_addr a;
        assert_int_equal(bl_addr_parse_port(bl_str_z(text), 0, &a), 0);
        return a;
}

/* A world of one worker and the core; conf NULL: a client. */
static inline void rig_open(struct rig *r, const struct bl_world_conf *conf)
{
        static const struct bl_world_conf client = {.log_silent = true};
        char text[512];
        struct bl_sb err = BL_SB(text);
        struct bl_world_conf c = conf ? *conf : client;
        c.log_silent = true;
        int rc = bl_world_new(&c, &err, &r->world);
        if (rc < 0)
                fail_msg("%.*s", (int)err.n, text);
        for (unsigned i = 0; i < bl_world_workers(r->world); i++) {
                struct env *env = bl_world_env(r->world, i);
                env->core = r;
                env->ev = &rig_events;
        }
        r->env = bl_world_env(r->world, 0);
        r->watchdog = (struct bl_timer){.fire = rig_too_late};
        env_arm_in(r->env, &r->watchdog, BL_SEC(20));
}

static inline void rig_listen(struct rig *r, enum bl_tp tp, const char *addr)
{
        struct bl_world_listener l = {.tp = tp, .addr = rig_addr(addr)};
        rig_open(r, &(struct bl_world_conf){.listeners = &l, .n_listeners = 1});
}

static inline void rig_run(struct rig *r)
{
        assert_int_equal(bl_world_run(r->world), 0);
}

static inline void rig_close(struct rig *r)
{
        bl_world_free(r->world);
}

static inline struct bl_buf *rig_buf(struct env *env, const char *text)
{
        struct bl_buf *b = bl_buf_copy(env->pool, bl_str_z(text));
        assert_non_null(b);
        return b;
}

static inline int rig_send(struct env *env, bl_flow_id f, const char *text)
{
        struct bl_buf *b = rig_buf(env, text);
        int rc = env_send(env, f, b);
        bl_buf_unref(env->pool, b);
        return rc;
}

/* ---- plain sockets as peers: blocking, with a deadline ---- */

static inline int peer_socket(int type, const char *addr)
{
        struct sockaddr_storage sa;
        struct bl_addr a = rig_addr(addr);
        struct timeval tv = {10, 0};
        int fd = socket(a.family == 6 ? AF_INET6 : AF_INET, type, 0), on = 1;
        assert_true(fd >= 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
        if (type == SOCK_STREAM)
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        socklen_t len = bl_sockaddr_from(&a, &sa);
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
        return fd;
}

static inline struct bl_addr peer_addr(int fd)
{
        struct bl_addr a;
        assert_int_equal(bl_sockaddr_local(fd, &a), 0);
        return a;
}

static inline int peer_connect(int type, const struct bl_addr *to)
{
        struct sockaddr_storage sa;
        int fd = peer_socket(type, to->family == 6 ? "[::1]:0" : "127.0.0.1:0");
        socklen_t len = bl_sockaddr_from(to, &sa);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
        return fd;
}

static inline struct bl_addr closed_port(int type) /* nobody has it just now */
{
        int fd = peer_socket(type, "127.0.0.1:0");
        struct bl_addr a = peer_addr(fd);
        close(fd);
        return a;
}

#define assert_peer_gets(fd_, text_)                                                                                   \
        do {                                                                                                           \
                char _in[256];                                                                                         \
                ssize_t _n = recv((fd_), _in, sizeof(_in), 0);                                                         \
                assert_str(bl_str_make(_in, _n < 0 ? 0 : (size_t)_n), text_);                                          \
        } while (0)
