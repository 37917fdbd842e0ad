#include "io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "io/lines.h"

struct bl_child {
        uv_process_t process;
        struct bl_child_conf conf;
        struct bl_world *world;
        struct bl_lines *lines;
        int io; /* our end of its stdin and stdout */
        bool gone;
};

static void freed(uv_handle_t *h)
{
        struct bl_child *c = h->data;
        if (c->io >= 0)
                close(c->io);
        free(c);
}

static void on_line(void *arg, struct bl_str line)
{
        struct bl_child *c = arg;
        if (!line.p) {
                c->lines = NULL; /* it closes itself after this */
                return;
        }
        c->conf.line(c->conf.arg, c, line);
}

static void on_exit_cb(uv_process_t *p, int64_t status, int signum)
{
        struct bl_child *c = p->data;
        bl_world_enter(bl_world_env(c->world, 0));
        c->gone = true;
        if (c->conf.exited)
                c->conf.exited(c->conf.arg, c, (int)status, signum);
        bl_lines_close(c->lines);
        c->lines = NULL;
        uv_close((uv_handle_t *)p, freed);
}

int bl_child_start(struct bl_world *w, const struct bl_child_conf *conf, struct bl_child **ret_child)
{
        struct bl_child *c = calloc(1, sizeof *c);
        int pair[2], err = 2, rc;
        if (!c)
                return -ENOMEM;
        c->conf = *conf;
        c->world = w;
        c->io = -1;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
                rc = -errno;
                free(c);
                return rc;
        }
        if (conf->log_file)
                err = open(conf->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        uv_stdio_container_t io[3] = {{.flags = UV_INHERIT_FD, .data.fd = pair[1]},
                                      {.flags = UV_INHERIT_FD, .data.fd = conf->line ? pair[1] : 1},
                                      {.flags = UV_INHERIT_FD, .data.fd = err < 0 ? 2 : err}};
        uv_process_options_t o = {.file = conf->argv[0],
                                  .args = (char **)(uintptr_t)conf->argv,
                                  .stdio = io,
                                  .stdio_count = 3,
                                  .exit_cb = on_exit_cb};
        c->process.data = c;
        rc = uv_spawn(bl_world_loop(w, 0), &c->process, &o);
        close(pair[1]);
        if (err > 2)
                close(err);
        c->io = pair[0];
        if (rc < 0) {
                uv_close((uv_handle_t *)&c->process, freed);
                return rc;
        }
        if (conf->line)
                c->lines = bl_lines_open(w, c->io, on_line, c);
        *ret_child = c;
        return 0;
}

int bl_child_write(struct bl_child *c, struct bl_str octets)
{
        while (octets.n) {
                ssize_t n = send(c->io, octets.p, octets.n, MSG_NOSIGNAL);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0)
                        octets = bl_str_from(octets, (size_t)n);
        }
        return 0;
}

void bl_child_kill(struct bl_child *c, int signum)
{
        if (!c->gone)
                (void)uv_process_kill(&c->process, signum);
}

int bl_child_pid(const struct bl_child *c)
{
        return c->process.pid;
}
