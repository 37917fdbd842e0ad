#include "io/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

struct bl_lines {
        uv_poll_t poll;
        uv_idle_t idle; /* for regular files, which poll refuses */
        struct bl_world *world;
        void (*line)(void *arg, struct bl_str line);
        void *arg;
        int fd;
        bool is_file, closed;
        size_t n;
        char buf[BL_LINE_MAX];
};

static void freed(uv_handle_t *h)
{
        free(h->data);
}

void bl_lines_close(struct bl_lines *l)
{
        if (!l || l->closed)
                return;
        l->closed = true;
        uv_handle_t *h = l->is_file ? (uv_handle_t *)&l->idle : (uv_handle_t *)&l->poll;
        uv_close(h, freed);
}

/* Hands out what is complete; `end`: the rest too. */
static void deliver(struct bl_lines *l, bool end)
{
        size_t at = 0;
        while (!l->closed && at < l->n) {
                char *nl = memchr(l->buf + at, '\n', l->n - at);
                size_t len = nl ? (size_t)(nl - l->buf) - at : l->n - at;
                if (!nl && !end && l->n < sizeof l->buf)
                        break;
                struct bl_str s = {l->buf + at, len};
                if (s.n && s.p[s.n - 1] == '\r')
                        s.n--;
                at += len + (nl != NULL);
                l->line(l->arg, s);
        }
        if (l->closed)
                return;
        memmove(l->buf, l->buf + at, l->n - at);
        l->n -= at;
}

static void readable(struct bl_lines *l)
{
        bl_world_enter(bl_world_env(l->world, 0));
        ssize_t r = read(l->fd, l->buf + l->n, sizeof l->buf - l->n);
        if (r < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (r > 0) {
                l->n += (size_t)r;
                deliver(l, false);
                return;
        }
        deliver(l, true);
        if (l->closed)
                return;
        l->line(l->arg, (struct bl_str){NULL, 0});
        bl_lines_close(l);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
        (void)status;
        (void)events;
        readable(h->data);
}

static void on_idle(uv_idle_t *h)
{
        readable(h->data);
}

struct bl_lines *bl_lines_open(struct bl_world *w, int fd, void (*line)(void *arg, struct bl_str line), void *arg)
{
        struct bl_lines *l = calloc(1, sizeof *l);
        struct stat st;
        if (!l)
                return NULL;
        l->world = w;
        l->fd = fd;
        l->line = line;
        l->arg = arg;
        uv_loop_t *loop = bl_world_loop(w, 0);
        /* Poll refuses regular files and /dev/null: they are always readable. */
        l->is_file = fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) && !isatty(fd);
        int rc;
        if (l->is_file) {
                uv_idle_init(loop, &l->idle);
                l->idle.data = l;
                rc = uv_idle_start(&l->idle, on_idle);
        } else {
                int flags = fcntl(fd, F_GETFL);
                if (flags >= 0)
                        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
                rc = uv_poll_init(loop, &l->poll, fd);
                if (rc < 0) {
                        free(l);
                        return NULL;
                }
                l->poll.data = l;
                rc = uv_poll_start(&l->poll, UV_READABLE, on_poll);
        }
        if (rc < 0) {
                bl_lines_close(l);
                return NULL;
        }
        return l;
}
