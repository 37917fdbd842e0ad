/* A world inside somebody else's loop: turns one by one. */
#include <errno.h>
#include <poll.h>

#include "io/worker.h"

enum { ROUNDS = 16 /* of the loop per step, as long as there is more to do */ };

int bl_world_fd(const struct bl_world *world)
{
        return uv_backend_fd(&world->workers[0].loop);
}

int bl_world_wait_ms(struct bl_world *world)
{
        struct worker *w = &world->workers[0];
        if (w->stopped)
                return 0;
        if (!w->begun || w->in_turn || bl_worker_pending(w)) /* what was sent since the last step waits for its end */
                return 0;
        uv_update_time(&w->loop);
        return uv_backend_timeout(&w->loop);
}

/* The loop looks at the sockets after it has ended its turn, so what they brought needs an end of its own here. */
static void run_rounds(struct worker *w)
{
        bl_worker_end_turn(w);
        for (int i = 0; i < ROUNDS && !w->stopped; i++) {
                uv_run(&w->loop, UV_RUN_NOWAIT);
                bl_worker_end_turn(w);
                if (uv_backend_timeout(&w->loop) != 0)
                        break;
        }
}

static int wait_for_it(struct bl_world *world, int timeout_ms)
{
        struct pollfd p = {.fd = bl_world_fd(world), .events = POLLIN};
        int own = bl_world_wait_ms(world);
        if (own >= 0 && (timeout_ms < 0 || own < timeout_ms))
                timeout_ms = own;
        int n = poll(&p, 1, timeout_ms);
        return n < 0 && errno != EINTR ? -errno : 0;
}

int bl_world_step(struct bl_world *world, int timeout_ms)
{
        struct worker *w = &world->workers[0];
        if (world->conf.workers != 1)
                return BL_EINVAL;
        if (!w->begun)
                bl_worker_begin(w);
        uint32_t turns = w->turns;
        run_rounds(w);
        if (!w->stopped && timeout_ms != 0 && w->turns == turns) {
                int rc = wait_for_it(world, timeout_ms);
                if (rc < 0)
                        return rc;
                run_rounds(w);
        }
        return w->stopped ? 0 : 1;
}
