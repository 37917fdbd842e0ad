/*
 * A descriptor in the loop, its queue, its end; and the set of streams, an epoll instance that the loop polls as one
 * descriptor:
 *
 *      loop ── handles: UDP sockets, listeners, resolver … ── streams ──► epoll_wait ──► event
 *
 * What is closed is freed only at the end of the turn: the events at hand may still name it.
 */
#include "io/worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SET_EVENTS = 128 }; /* of the set, for each time that the loop finds it ready */

/* ---- polled by the loop ---- */

static void on_poll(uv_poll_t *h, int status, int events)
{
        struct sock *s = h->data;
        if (status < 0) /* libuv has stopped the handle */
                s->polled = 0;
        const struct carrier *on = bl_transports[s->tp].on;
        (s->listens ? on->arrive : on->event)(s, events, status < 0);
}

static void handle_closed(uv_handle_t *h)
{
        struct worker *w = h->data;
        bl_pool_give(w->env.pool, h, sizeof(uv_poll_t));
}

static int handle_new(struct sock *s)
{
        struct worker *w = s->w;
        uv_poll_t *h = bl_pool_zalloc(w->env.pool, sizeof(*h));
        int rc = h ? uv_poll_init(&w->loop, h, s->fd) : BL_ENOMEM;
        if (rc < 0) {
                bl_pool_give(w->env.pool, h, sizeof(*h));
                return rc;
        }
        h->data = s;
        s->poll = h;
        return 0;
}

/* ---- polled in the set ---- */

static void on_set(uv_poll_t *h, int status, int events)
{
        struct worker *w = h->data;
        struct epoll_event ev[SET_EVENTS];
        (void)status, (void)events;
        int n = epoll_wait(w->streams_fd, ev, SET_EVENTS, 0);
        for (int i = 0; i < n; i++) {
                struct sock *s = ev[i].data.ptr;
                int got = (ev[i].events & EPOLLIN ? UV_READABLE : 0) | (ev[i].events & EPOLLOUT ? UV_WRITABLE : 0);
                if (ev[i].events & (EPOLLERR | EPOLLHUP)) /* reading or writing says which */
                        got = UV_READABLE | UV_WRITABLE;
                else
                        got &= s->polled; /* an earlier event of this batch may have changed that */
                if (got && s->polled && !s->closing)
                        bl_transports[s->tp].on->event(s, got, false);
        }
}

static int set_poll(struct sock *s, int events)
{
        struct epoll_event ev = {.events = (events & UV_READABLE ? EPOLLIN : 0) | (events & UV_WRITABLE ? EPOLLOUT : 0),
                                 .data.ptr = s};
        /* One that waits for nothing leaves the set, or an error on it would be reported over and over. */
        int op = !events ? EPOLL_CTL_DEL : s->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        return epoll_ctl(s->w->streams_fd, op, s->fd, &ev) < 0 ? -errno : 0;
}

int bl_sock_set_open(struct worker *w)
{
        w->streams_fd = epoll_create1(EPOLL_CLOEXEC);
        if (w->streams_fd < 0)
                return -errno;
        int rc = uv_poll_init(&w->loop, &w->streams, w->streams_fd);
        if (rc == 0) {
                w->streams.data = w;
                rc = uv_poll_start(&w->streams, UV_READABLE, on_set);
                if (rc < 0)
                        uv_close((uv_handle_t *)&w->streams, NULL);
        }
        if (rc < 0) {
                close(w->streams_fd);
                w->streams_fd = -1;
        }
        return rc;
}

void bl_sock_set_close(struct worker *w)
{
        if (w->streams_fd < 0)
                return;
        uv_close((uv_handle_t *)&w->streams, NULL);
        close(w->streams_fd);
        w->streams_fd = -1;
}

/* ---- one socket ---- */

struct sock *bl_sock_new(struct worker *w, int fd, enum bl_tp tp, bool listens)
{
        struct sock *s = bl_pool_zalloc(w->env.pool, sizeof(*s));
        if (s) {
                s->w = w;
                s->fd = fd;
                s->tp = tp;
                s->listens = listens;
                s->in_set = !listens && bl_transports[tp].on->type == SOCK_STREAM;
                s->listener = BL_LISTENER_NONE;
                s->no_trains = !w->world->conf.udp_trains;
                s->first = s->last = -1;
                s->queue_end = &s->queue;
        }
        if (!s || (!s->in_set && handle_new(s) < 0)) {
                bl_pool_give(w->env.pool, s, sizeof(*s));
                close(fd);
                return NULL;
        }
        return s;
}

int bl_sock_poll(struct sock *s, int events)
{
        int rc = 0;
        if (s->closing || s->polled == events)
                return 0;
        if (s->in_set)
                rc = set_poll(s, events);
        else if (events)
                rc = uv_poll_start(s->poll, events, on_poll);
        else
                uv_poll_stop(s->poll);
        if (rc == 0)
                s->polled = (uint8_t)events;
        return rc;
}

void bl_sock_push(struct sock *s, struct seg *seg)
{
        seg->next = NULL;
        *s->queue_end = seg;
        s->queue_end = &seg->next;
        s->queued += seg->buf->len;
        if (s->in_set)
                s->w->stream_queued += seg->buf->len;
}

void bl_sock_pop(struct sock *s)
{
        struct seg *seg = s->queue;
        s->queue = seg->next;
        if (!s->queue)
                s->queue_end = &s->queue;
        s->queued -= seg->buf->len;
        if (s->in_set)
                s->w->stream_queued -= seg->buf->len;
        bl_buf_unref(s->w->env.pool, seg->buf);
        bl_pool_give(s->w->env.pool, seg, sizeof(*seg));
}

void bl_sock_close(struct sock *s)
{
        if (s->closing)
                return;
        while (s->queue)
                bl_sock_pop(s);
        bl_wheel_disarm(s->w->wheel, &s->timer);
        bl_list_remove(&s->dirty);
        bl_list_push_back(&s->w->closed, &s->dirty);
        if (s->in_set) {
                bl_sock_poll(s, 0); /* a child that has a copy for a moment would keep it in the set */
                bl_list_remove(&s->lingering);
        } else {
                s->poll->data = s->w;
                uv_close((uv_handle_t *)s->poll, handle_closed);
        }
        s->closing = true;
        if (s->inside)
                bl_transports[s->tp].layer->end(s);
        s->begun = false;
        close(s->fd);
        s->fd = -1;
}

void bl_sock_reap(struct worker *w)
{
        while (!bl_list_empty(&w->closed)) {
                struct sock *s = BL_CONTAINER(w->closed.next, struct sock, dirty);
                bl_list_remove(&s->dirty);
                bl_pool_give(w->env.pool, s, sizeof(*s));
        }
}

void bl_sock_close_all(struct worker *w)
{
        for (unsigned i = 0; i < w->world->conf.n_listeners; i++) {
                if (w->listeners[i])
                        bl_sock_close(w->listeners[i]);
        }
        while (!bl_list_empty(&w->lingering))
                bl_sock_close(BL_CONTAINER(w->lingering.next, struct sock, lingering));
}

struct bl_addr bl_sock_source(const struct worker *w, uint16_t listener)
{
        const struct bl_world *world = w->world;
        struct bl_addr a = listener < world->conf.n_listeners ? world->listeners[listener].addr : world->conf.source;
        a.port = 0;
        return a;
}
