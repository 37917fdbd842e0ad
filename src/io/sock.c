/* A descriptor in the loop: its poll handle, its queue, its end. */
#include "io/worker.h"

#include <unistd.h>

struct sock *bl_sock_new(struct worker *w, int fd, enum sock_kind kind)
{
        struct sock *s = bl_pool_zalloc(w->env.pool, sizeof(*s));
        if (!s || uv_poll_init(&w->loop, &s->poll, fd) != 0) {
                bl_pool_give(w->env.pool, s, sizeof(*s));
                close(fd);
                return NULL;
        }
        s->poll.data = s;
        s->w = w;
        s->fd = fd;
        s->kind = kind;
        s->listener = BL_LISTENER_NONE;
        s->first = s->last = -1;
        s->queue_end = &s->queue;
        return s;
}

int bl_sock_poll(struct sock *s, int events, uv_poll_cb cb)
{
        int rc = 0;
        if (s->closing || s->polled == events)
                return 0;
        if (events)
                rc = uv_poll_start(&s->poll, events, cb);
        else
                uv_poll_stop(&s->poll);
        if (rc == 0)
                s->polled = events;
        return rc;
}

static void closed(uv_handle_t *h)
{
        struct sock *s = h->data;
        bl_pool_give(s->w->env.pool, s, sizeof(*s));
}

void bl_sock_push(struct sock *s, struct seg *seg)
{
        seg->next = NULL;
        *s->queue_end = seg;
        s->queue_end = &seg->next;
        s->queued += seg->buf->len;
        if (s->kind == SOCK_TCP)
                s->w->stream_queued += seg->buf->len;
}

void bl_sock_pop(struct sock *s)
{
        struct seg *seg = s->queue;
        s->queue = seg->next;
        if (!s->queue)
                s->queue_end = &s->queue;
        s->queued -= seg->buf->len;
        if (s->kind == SOCK_TCP)
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
        s->closing = true;
        uv_close((uv_handle_t *)&s->poll, closed);
        close(s->fd);
        s->fd = -1;
}

struct bl_addr bl_sock_source(const struct worker *w, uint16_t listener)
{
        const struct bl_world *world = w->world;
        struct bl_addr a = listener < world->conf.n_listeners ? world->listeners[listener].addr : world->conf.source;
        a.port = 0;
        return a;
}
