/* Streams: connect, accept, read, write, and their ends. */
#include "io/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "io/sockaddr.h"

static void options(int fd)
{
        static const int on = 1;
        static const unsigned timeout = USER_TIMEOUT_MS;
        /* Messages are whole when they are written: waiting for more only delays them. Neither can fail in a way that
         * would make the connection useless. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

/* NULL: plain. */
static const struct layer *layer_of(const struct sock *s)
{
        return s->inside ? bl_transports[s->tp].layer : NULL;
}

/* What to wait for in the socket's present state. */
static int wanted(const struct sock *s)
{
        const struct flow *f = s->flow;
        int events = s->blocked ? UV_WRITABLE : 0;
        if (f && f->state == FLOW_OPENING)
                return s->begun ? layer_of(s)->wants(s) : UV_WRITABLE;
        if (f && f->state == FLOW_UP && !f->paused)
                events |= UV_READABLE;
        if (!f && s->ended) /* lingering: only the far end's last octets are still to come */
                events |= UV_READABLE;
        return events;
}

/* Asks the loop for what the state wants. What fails here leaves a connection that is never heard again: it ends. */
static void rearm(struct sock *s)
{
        int rc = bl_sock_poll(s, wanted(s));
        if (rc == 0)
                return;
        if (s->flow)
                bl_handle_down(s->w, s->flow, rc, false);
        else
                bl_sock_close(s);
}

/* ---- the end ---- */

static void linger_over(struct bl_timer *t)
{
        bl_sock_close(BL_CONTAINER(t, struct sock, timer));
}

/* Nothing more will come from us. */
static void bye(struct sock *s)
{
        if (s->begun)
                layer_of(s)->bye(s);
}

static void end_our_side(struct sock *s)
{
        s->ended = true;
        bye(s);
        if (shutdown(s->fd, SHUT_WR) < 0) {
                bl_sock_close(s);
                return;
        }
        rearm(s);
}

static void leave(struct sock *s, struct flow *f, bool linger)
{
        struct worker *w = s->w;
        (void)f;
        s->flow = NULL;
        bl_wheel_disarm(w->wheel, &s->timer);
        if (!linger) {
                bye(s);
                bl_sock_close(s);
                return;
        }
        bl_list_push_back(&w->lingering, &s->lingering);
        s->timer.fire = linger_over;
        bl_wheel_arm(w->wheel, &s->timer, w->env.now + BL_MS(LINGER_MS));
        if (!s->queue)
                end_our_side(s);
}

static void drain_over(struct bl_timer *t)
{
        struct sock *s = BL_CONTAINER(t, struct sock, timer);
        bl_handle_down(s->w, s->flow, 0, false);
}

static void drain(struct worker *w, struct flow *f)
{
        struct sock *s = f->sock;
        if (!s->queue) {
                bl_handle_down(w, f, 0, true);
                return;
        }
        f->state = FLOW_DRAINING;
        s->timer.fire = drain_over;
        bl_wheel_arm(w->wheel, &s->timer, w->env.now + BL_MS(DRAIN_MS));
        rearm(s);
}

/* Reads away what a lingering connection still brings, until its end. */
static void linger_read(struct sock *s)
{
        char sink[4096];
        for (int i = 0; i < STREAM_READS; i++) {
                ssize_t n = recv(s->fd, sink, sizeof(sink), MSG_DONTWAIT);
                if (n > 0 || (n < 0 && errno == EINTR))
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                bl_sock_close(s);
                return;
        }
}

/* ---- out ---- */

/* Drops `n` written octets off the queue. */
static void written(struct sock *s, size_t n)
{
        while (s->queue && n >= s->queue->buf->len - s->written) {
                n -= s->queue->buf->len - s->written;
                s->written = 0;
                bl_count(s->w->sent_total);
                bl_sock_pop(s);
        }
        s->written += (uint32_t)n;
}

/* What an emptier queue makes possible. */
static void after_write(struct sock *s)
{
        struct flow *f = s->flow;
        if (f && f->state == FLOW_UP && f->want_writable && s->queued <= BL_WORLD_QUEUE_MAX / 2) {
                f->want_writable = false;
                bl_handle_later(s->w, f, LATER_WRITABLE);
        }
        if (s->queue)
                return;
        if (f && f->state == FLOW_DRAINING)
                bl_handle_down(s->w, f, 0, true);
        else if (!f && !s->ended)
                end_our_side(s);
}

/* From the front of the queue: octets of it, or -errno. */
static ssize_t put(struct sock *s)
{
        struct iovec iov[WRITE_IOV];
        size_t n = 0;
        if (s->inside)
                return layer_of(s)->put(s);
        for (struct seg *g = s->queue; g && n < WRITE_IOV; g = g->next) {
                size_t skip = n == 0 ? s->written : 0;
                iov[n++] = (struct iovec){g->buf->data + skip, g->buf->len - skip};
        }
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent >= 0 ? sent : -errno;
}

static void write_out(struct sock *s)
{
        bool moved = !s->blocked;
        s->blocked = false;
        while (s->queue) {
                ssize_t sent = put(s);
                if (sent >= 0) {
                        written(s, (size_t)sent);
                        moved = true;
                } else if (sent == -EAGAIN) {
                        s->blocked = true;
                        break;
                } else if (sent != -EINTR) {
                        if (s->flow)
                                bl_handle_down(s->w, s->flow, (int)sent, false);
                        else
                                bl_sock_close(s);
                        return;
                }
        }
        if (s->blocked && moved)
                s->blocked_ms = (uint32_t)(s->w->env.now / 1000);
        bl_tcp_watch(s);
        after_write(s);
        if (!s->closing)
                rearm(s);
}

static void flush(struct worker *w)
{
        while (!bl_list_empty(&w->dirty_tcp)) {
                struct sock *s = BL_CONTAINER(w->dirty_tcp.next, struct sock, dirty);
                bl_list_remove(&s->dirty);
                write_out(s);
        }
        w->n_stream_out = 0;
}

static int send_message(struct worker *w, struct flow *f, struct bl_buf *buf)
{
        struct sock *s = f->sock;
        if (s->queued + buf->len > BL_WORLD_QUEUE_MAX) {
                f->want_writable = true;
                return BL_EFULL;
        }
        struct seg *seg = bl_pool_alloc(w->env.pool, sizeof(*seg));
        if (!seg)
                return BL_ENOMEM;
        *seg = (struct seg){.buf = bl_buf_ref(buf)};
        bl_sock_push(s, seg);
        if (s->blocked) /* goes out when the kernel has room */
                return 0;
        if (!bl_link_linked(&s->dirty))
                bl_list_push_back(&w->dirty_tcp, &s->dirty);
        if (++w->n_stream_out >= BATCH)
                flush(w);
        return 0;
}

/* ---- a far end that holds things up ---- */

/* When that will have lasted too long; 0: nothing is held up. */
static bl_us stuck_at(const struct sock *s)
{
        bl_us now = s->w->env.now, since = s->inside && s->flow && s->flow->state == FLOW_UP ? layer_of(s)->held(s) : 0;
        if (s->blocked) {
                bl_us blocked = now - BL_MS((uint32_t)(now / 1000) - s->blocked_ms);
                since = since && since < blocked ? since : blocked;
        }
        return since ? since + BL_MS(s->w->world->conf.stuck_timeout_ms) : 0;
}

/* One timer, moved lazily: that things go on again is only noted. */
static void look_if_stuck(struct bl_timer *t)
{
        struct sock *s = BL_CONTAINER(t, struct sock, timer);
        bl_us at = stuck_at(s);
        if (at > s->w->env.now) {
                bl_wheel_arm(s->w->wheel, t, at);
        } else if (at) {
                bl_count(s->w->stuck_total);
                bl_handle_down(s->w, s->flow, -ETIMEDOUT, false);
        }
}

void bl_tcp_watch(struct sock *s)
{
        bl_us at = stuck_at(s);
        if (!at || !s->flow || s->flow->state != FLOW_UP || bl_timer_armed(&s->timer))
                return;
        s->timer.fire = look_if_stuck;
        bl_wheel_arm(s->w->wheel, &s->timer, at);
}

/* ---- in ---- */

static void read_in(struct sock *s)
{
        struct worker *w = s->w;
        struct flow *f = s->flow;
        if (s->inside) {
                layer_of(s)->read(s);
                return;
        }
        for (int i = 0; i < STREAM_READS && s->flow == f && f->state == FLOW_UP && !f->paused; i++) {
                ssize_t n = recv(s->fd, w->read_buf, STREAM_READ, MSG_DONTWAIT);
                if (n > 0) {
                        bl_count(w->recv_total);
                        w->env.ev->data(&w->env, bl_handle_id(w, f), f->user, bl_str_make(w->read_buf, (size_t)n),
                                        false);
                        if (n < STREAM_READ)
                                return;
                } else if (n == 0) {
                        /* The far end says no more. It may still listen: what is queued goes out, but the flow is
                         * over, for requests that we send there would never be answered. */
                        bl_handle_down(w, f, BL_EGONE, true);
                } else if (errno == EAGAIN) {
                        return;
                } else if (errno != EINTR) {
                        bl_handle_down(w, f, -errno, false);
                }
        }
}

static void pause_flow(struct worker *w, struct flow *f, bool stop)
{
        (void)w;
        f->paused = stop;
        if (f->sock)
                rearm(f->sock);
}

/* ---- connect ---- */

static void connect_over(struct bl_timer *t)
{
        struct sock *s = BL_CONTAINER(t, struct sock, timer);
        bl_handle_down(s->w, s->flow, -ETIMEDOUT, false);
}

static void shake(struct sock *s)
{
        layer_of(s)->shake(s);
        if (!s->closing)
                rearm(s);
}

static void begin(struct sock *s, bool server)
{
        int rc = layer_of(s)->begin(s, server);
        s->begun = rc == 0;
        if (rc < 0)
                bl_handle_down(s->w, s->flow, rc, false);
        else
                shake(s);
}

/* The attempt ended, well or not. */
static void connected(struct sock *s)
{
        struct worker *w = s->w;
        struct flow *f = s->flow;
        struct bl_peer peer;
        int err = 0;
        socklen_t len = sizeof(err);
        bl_wheel_disarm(w->wheel, &s->timer);
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
                err = errno;
        int rc = err ? -err : bl_sockaddr_local(s->fd, &f->local);
        if (rc == 0 && bl_addr_eq(&f->local, &f->remote)) /* a simultaneous open with ourselves: nobody listens there */
                rc = -ECONNREFUSED;
        if (rc < 0) {
                bl_handle_down(w, f, rc, false);
                return;
        }
        if (s->inside) {
                begin(s, false);
                return;
        }
        f->state = FLOW_UP;
        rearm(s);
        if (f->state != FLOW_UP)
                return;
        bl_handle_peer(f, &peer);
        w->env.ev->up(&w->env, bl_handle_id(w, f), &peer, f->user);
}

static int start_connect(struct worker *w, int fd, const struct bl_target *t)
{
        static const int on = 1;
        struct sockaddr_storage sa;
        socklen_t len;
        options(fd);
        struct bl_addr local = bl_sock_source(w, t->listener);
        if (local.family == t->to.family) {
                /* The port is chosen at connect: then the four-tuple counts, and ports do not run out. */
                (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
                len = bl_sockaddr_from(&local, &sa);
                if (bind(fd, (struct sockaddr *)&sa, len) < 0)
                        return -errno;
        }
        len = bl_sockaddr_from(&t->to, &sa);
        return connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS ? -errno : 0;
}

static int open_flow(struct worker *w, struct flow *f, const struct bl_target *t)
{
        if ((t->to.family != 4 && t->to.family != 6) || t->to.port == 0)
                return BL_EINVAL;
        int fd = socket(t->to.family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        int rc = start_connect(w, fd, t);
        if (rc < 0) {
                close(fd);
                return rc;
        }
        struct sock *s = bl_sock_new(w, fd, t->tp, false);
        if (!s)
                return BL_ENOMEM;
        const struct layer *layer = bl_transports[t->tp].layer;
        rc = layer ? layer->want(s, t) : 0;
        if (rc == 0)
                rc = bl_sock_poll(s, UV_WRITABLE);
        s->flow = f;
        if (rc < 0) {
                bl_sock_close(s);
                return rc;
        }
        f->sock = s;
        s->timer.fire = connect_over;
        bl_wheel_arm(w->wheel, &s->timer, w->env.now + BL_MS(w->world->conf.connect_timeout_ms));
        return 0;
}

static void event(struct sock *s, int events, bool failed)
{
        (void)failed; /* the set knows no such thing */
        bl_worker_enter(s->w);
        if (s->flow && s->flow->state == FLOW_OPENING) {
                if (s->begun)
                        shake(s);
                else
                        connected(s);
                return;
        }
        if ((events & UV_WRITABLE) && (s->queue || s->blocked))
                write_out(s);
        if ((events & UV_READABLE) && !s->closing) {
                if (s->flow && s->flow->state == FLOW_UP)
                        read_in(s);
                else if (!s->flow && s->ended)
                        linger_read(s);
        }
        if (!s->closing)
                rearm(s);
}

/* ---- accept ---- */

static void resume_accept(struct bl_timer *t)
{
        struct sock *s = BL_CONTAINER(t, struct sock, timer);
        bl_sock_poll(s, UV_READABLE);
}

/* No descriptors or memory: the next attempt would fail likewise, and poll would report it at once. So wait. */
static void pause_accept(struct sock *s, int err)
{
        struct worker *w = s->w;
        bl_count(w->accept_refused);
        bl_sock_poll(s, 0);
        s->timer.fire = resume_accept;
        bl_wheel_arm(w->wheel, &s->timer, w->env.now + BL_MS(ACCEPT_PAUSE_MS));
        if (bl_log_allow(w->env.log, "accept_paused", "system"))
                bl_log_ev(w->env.log, BL_LOG_ERROR, "accept_paused", BL_KI("flows", w->n_flows),
                          BL_KZ("reason", err == EMFILE || err == ENFILE ? "no_descriptors" : "no_memory"),
                          BL_KZ("error", bl_err_text(-err)),
                          BL_KZ("hint", err == EMFILE ? "raise the limit of open files (LimitNOFILE, ulimit -n)"
                                                      : "the machine is short of it"));
}

static void accepted(struct sock *listener, int fd)
{
        struct worker *w = listener->w;
        struct bl_peer peer;
        struct flow *f = NULL;
        struct sock *s = NULL;
        options(fd);
        int rc = bl_handle_new(w, &f);
        if (rc == 0) {
                f->listener = listener->listener;
                f->tp = w->world->listeners[f->listener].tp;
                rc = bl_sockaddr_remote(fd, &f->remote);
        }
        if (rc == 0)
                rc = bl_sockaddr_local(fd, &f->local);
        if (rc == 0) {
                s = bl_sock_new(w, fd, f->tp, false);
                fd = -1;
                rc = s ? bl_sock_poll(s, UV_READABLE) : BL_ENOMEM;
        }
        const struct layer *layer = f ? bl_transports[f->tp].layer : NULL;
        if (rc == 0 && s && layer)
                rc = layer->want(s, NULL);
        if (rc < 0 || !s) { /* a peer that is gone already is no news */
                if (s)
                        bl_sock_close(s);
                else if (fd >= 0)
                        close(fd);
                if (f)
                        bl_handle_drop(w, f);
                const char *reason = rc == BL_ELIMIT ? "flow_table_full" : "failed";
                bl_count(w->accept_refused);
                if (rc != -ENOTCONN && bl_log_allow(w->env.log, "accept_refused", reason))
                        bl_log_ev(w->env.log, BL_LOG_WARN, "accept_refused", BL_KZ("transport", "tcp"),
                                  BL_KI("flows", w->n_flows), BL_KZ("reason", reason), BL_KZ("error", bl_err_text(rc)));
                return;
        }
        s->flow = f;
        f->sock = s;
        if (s->inside) {
                f->untold = true;
                begin(s, true);
                return;
        }
        f->state = FLOW_UP;
        bl_handle_peer(f, &peer);
        w->env.ev->up(&w->env, bl_handle_id(w, f), &peer, NULL);
}

static void arrive(struct sock *s, int events, bool failed)
{
        const struct layer *layer = bl_transports[s->tp].layer;
        (void)events, (void)failed; /* accepting says which */
        bl_worker_enter(s->w);
        for (int i = 0; i < ACCEPTS && !s->closing; i++) {
                if (layer && !layer->room(s->w)) { /* they wait in the kernel */
                        bl_sock_poll(s, 0);
                        s->timer.fire = resume_accept;
                        bl_wheel_arm(s->w->wheel, &s->timer, s->w->env.now + BL_MS(HANDSHAKES_PAUSE_MS));
                        return;
                }
                int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd >= 0) {
                        accepted(s, fd);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                        pause_accept(s, errno);
                        return;
                } else if (errno == EAGAIN || errno == EINVAL || errno == EBADF) {
                        break;
                } /* else: that peer gave up while it waited (accept(2) passes network errors on); the next may not */
        }
        if (!s->closing)
                bl_sock_poll(s, UV_READABLE);
}

/* ---- the carrier ---- */

static void init(struct worker *w)
{
        bl_list_init(&w->dirty_tcp);
        bl_list_init(&w->lingering);
}

const struct carrier bl_tcp_carrier = {
        .type = SOCK_STREAM,
        .init = init,
        .open = open_flow,
        .send = send_message,
        .flush = flush,
        .pause = pause_flow,
        .drain = drain,
        .leave = leave,
        .arrive = arrive,
        .event = event,
};
