/* Listeners: one socket per worker and address, or what the service manager passed in. */
#include "io/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/sockaddr.h"

enum { BACKLOG = 4096, FIRST_PASSED = 3, PASSED_MAX = 256 };

struct passed { /* LISTEN_FDS of sd_listen_fds(3) */
        unsigned n;
        bool taken[PASSED_MAX];
};

static void name_of(struct bl_sb *b, const struct bl_world_listener *l)
{
        bl_sb_add(b, bl_tp_param(l->tp));
        bl_sb_addc(b, ' ');
        bl_addr_put(b, &l->addr);
}

/* One line: what failed, where, what to do. */
static int complain(struct bl_sb *err, const struct bl_world_listener *l, int rc)
{
        bl_sb_addz(err, "cannot listen on ");
        name_of(err, l);
        bl_sb_addz(err, ": ");
        switch (-rc) {
        case EADDRINUSE:
                bl_sb_fmt(err,
                          "the port is taken by another program (`ss -anp 'sport = :%u'` shows it); stop that, or "
                          "choose another port",
                          l->addr.port);
                break;
        case EADDRNOTAVAIL:
                bl_sb_addz(err, "this machine has no such address (`ip addr` lists those it has); correct it, or use "
                                "0.0.0.0 for all");
                break;
        case EACCES:
        case EPERM:
                bl_sb_addz(err, "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE, others do not");
                break;
        case EAFNOSUPPORT:
                bl_sb_addz(err, "this machine has no such address family; is IPv6 switched off?");
                break;
        case EMFILE:
        case ENFILE:
                bl_sb_addz(err, "no file descriptors left; raise the limit (LimitNOFILE, ulimit -n)");
                break;
        case EPROTONOSUPPORT:
                if (bl_world_speaks(l->tp)) {
                        bl_sb_addz(err, "there is no certificate to show there");
                } else {
                        bl_sb_addz(err, "only ");
                        bl_world_put_spoken(err);
                        bl_sb_addz(err, " can be listened on");
                }
                break;
        default:
                bl_sb_addz(err, bl_err_text(rc));
                break;
        }
        return rc;
}

static int new_socket(const struct bl_world_listener *l)
{
        static const int on = 1;
        bool v6 = l->addr.family == 6;
        int fd = socket(v6 ? AF_INET6 : AF_INET, bl_transports[l->tp].on->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (v6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bl_tp_is_stream(l->tp)) /* connections of an earlier run that are still dying do not hold the port */
                (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        return fd;
}

static int bind_to(int fd, const struct bl_addr *a)
{
        struct sockaddr_storage sa;
        socklen_t len = bl_sockaddr_from(a, &sa);
        return bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

/* Sockets with SO_REUSEPORT never collide with each other, not even with those of another belayd. So a socket without
 * it goes first: it fails if anybody has the port. It also picks the port when that is 0. */
static int probe(struct bl_world_listener *l)
{
        int fd = new_socket(l);
        if (fd < 0)
                return fd;
        int rc = bind_to(fd, &l->addr);
        if (rc == 0 && bl_tp_is_stream(l->tp) && listen(fd, 1) < 0)
                rc = -errno;
        if (rc == 0 && l->addr.port == 0)
                rc = bl_sockaddr_local(fd, &l->addr);
        close(fd);
        return rc;
}

static int open_one(const struct bl_world_listener *l)
{
        static const int on = 1;
        int fd = new_socket(l), rc = 0;
        if (fd < 0)
                return fd;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
                rc = -errno;
        if (rc == 0)
                rc = bind_to(fd, &l->addr);
        if (rc == 0 && bl_tp_is_stream(l->tp) && listen(fd, BACKLOG) < 0)
                rc = -errno;
        if (rc == 0)
                return fd;
        close(fd);
        return rc;
}

/* ---- LISTEN_FDS ---- */

static void find_passed(struct passed *p)
{
        const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
        uint32_t n;
        if (!pid || !fds || bl_str_u32(bl_str_z(pid), &n) < 0 || n != (uint32_t)getpid() ||
            bl_str_u32(bl_str_z(fds), &n) < 0 || n > PASSED_MAX)
                return;
        p->n = n;
}

/* A passed socket of this listener that no worker has yet, or -1. */
static int take_passed(struct passed *p, const struct bl_world_listener *l)
{
        for (unsigned i = 0; i < p->n; i++) {
                int fd = FIRST_PASSED + (int)i, type = 0, listening = 0;
                socklen_t len = sizeof(type);
                struct bl_addr a;
                if (p->taken[i] || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
                    type != bl_transports[l->tp].on->type || bl_sockaddr_local(fd, &a) < 0 || !bl_addr_eq(&a, &l->addr))
                        continue;
                p->taken[i] = true;
                len = sizeof(listening);
                (void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
                if (bl_tp_is_stream(l->tp) && !listening && listen(fd, BACKLOG) < 0)
                        continue;
                (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
                (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
                return fd;
        }
        return -1;
}

/* ---- */

static int attach(struct worker *w, unsigned i, int fd)
{
        const struct bl_world_listener *l = &w->world->listeners[i];
        bool v6 = l->addr.family == 6, wildcard = bl_sockaddr_is_any(&l->addr);
        const struct carrier *on = bl_transports[l->tp].on;
        int rc = on->options ? on->options(fd, v6, wildcard) : 0;
        if (rc < 0) {
                close(fd);
                return rc;
        }
        struct sock *s = bl_sock_new(w, fd, l->tp, true);
        if (!s)
                return BL_ENOMEM;
        s->listener = (uint16_t)i;
        s->v6 = v6;
        s->wildcard = wildcard;
        w->listeners[i] = s;
        return 0;
}

static int bind_listener(struct bl_world *world, unsigned i, struct passed *p)
{
        struct bl_world_listener *l = &world->listeners[i];
        int rc = 0, fd;
        if (!bl_world_speaks(l->tp) || (bl_tp_is_secure(l->tp) && !world->creds))
                return -EPROTONOSUPPORT;
        if (l->addr.family != 4 && l->addr.family != 6)
                return -EAFNOSUPPORT;
        fd = take_passed(p, l);
        if (fd >= 0) {
                /* As many workers as sockets were passed: more could not get a share of this address's peers. */
                for (unsigned k = 0; rc == 0 && k < world->conf.workers && fd >= 0; k++, fd = take_passed(p, l))
                        rc = attach(&world->workers[k], i, fd);
                return rc;
        }
        rc = probe(l);
        for (unsigned k = 0; rc == 0 && k < world->conf.workers; k++) {
                fd = open_one(l);
                rc = fd < 0 ? fd : attach(&world->workers[k], i, fd);
        }
        return rc;
}

int bl_listen_bind(struct bl_world *world, struct bl_sb *err)
{
        struct passed p = {0};
        find_passed(&p);
        for (unsigned i = 0; i < world->conf.n_listeners; i++) {
                int rc = bind_listener(world, i, &p);
                if (rc < 0)
                        return complain(err, &world->listeners[i], rc);
        }
        return 0;
}

void bl_listen_start(struct worker *w)
{
        for (unsigned i = 0; i < w->world->conf.n_listeners; i++) {
                struct sock *s = w->listeners[i];
                if (s)
                        bl_sock_poll(s, UV_READABLE);
        }
}

void bl_listen_stop(struct worker *w)
{
        for (unsigned i = 0; i < w->world->conf.n_listeners; i++) {
                struct sock *s = w->listeners[i];
                if (!s || bl_transports[s->tp].on->type != SOCK_STREAM)
                        continue;
                w->listeners[i] = NULL;
                bl_sock_close(s);
        }
}
