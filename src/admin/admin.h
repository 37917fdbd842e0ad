/*
 * The node's face for its operator: HTTP on a UNIX socket and, when asked for, on a TCP address (then read-only).
 *
 *   GET  /v1/VIEW              the rows of a view, JSON, one object a line; ?limit=N ends after N
 *   GET  /v1/                  which views and actions there are
 *   GET  /metrics              all counters, Prometheus text format
 *   POST /v1/ACTION?key=value  runs an action; its answer is one object. UNIX socket only
 *
 * What views and actions look at belongs to the workers, so they run there: the admin's own threads hand a job to a
 * worker and wait for it. A view writes a bounded number of rows a turn and is asked again; what it shows is no
 * snapshot.
 */
#pragma once
#include "base/base.h"
#include "base/stats.h"

struct bl_admin;

enum { BL_ADMIN_ROWS = 500, BL_ADMIN_CHUNK = 256 << 10, BL_ADMIN_SPARE = 64 };

struct bl_admin_job { /* on its way to a worker; owned by admin/ */
        void (*run)(struct bl_admin_job *);
        _Alignas(16) unsigned char spare[BL_ADMIN_SPARE]; /* for whoever posts it, until it has run */
};

struct bl_cursor { /* where a view goes on; zeroed at its start; the view's own business */
        uint64_t a, b;
};

/* Somebody who has workers: a role of this node. */
struct bl_admin_part {
        const char *role;
        unsigned workers;
        /* Has `job->run(job)` called once, soon, in the thread of that worker; never inside the call. Any thread. */
        void (*post)(void *ctx, unsigned worker, struct bl_admin_job *job);
        const struct bl_stats *(*stats)(void *ctx, unsigned worker); /* any thread */
        void *ctx;
};

struct bl_view {
        const char *name, *help;
        bool once; /* asked of worker 0 only: what it shows is the node's */
        /* In the worker's thread: at most BL_ADMIN_ROWS objects, as bl_json_end writes them (what does not fit comes
         * next time). False when that was all. */
        bool (*rows)(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out);
};

struct bl_action {
        const char *name, *help;
        /* In worker 0's thread: one object into `out`. `arg` looks a query parameter up, NULL when not given. 0, or < 0
         * and one line in `out` instead: what is wrong. */
        int (*run)(void *ctx, const char *(*arg)(void *args, const char *key), void *args, struct bl_sb *out);
};

struct bl_admin_conf {       /* all borrowed for life, but the descriptors, which are taken */
        int unix_fd, tcp_fd; /* listening; -1: none */
        const struct bl_admin_part *parts;
        unsigned n_parts;
        const struct bl_view *views; /* each is asked of all parts in turn */
        unsigned n_views;
        const struct bl_action *actions; /* of part 0 */
        unsigned n_actions;
        uint32_t wait_ms; /* for a worker's answer; 0 = 5 s */
};

/* Serves from now on, in threads of its own. NULL without memory or threads; then the descriptors are closed. */
struct bl_admin *bl_admin_new(const struct bl_admin_conf *conf);
/* Nobody waits for a worker any more. To be called before the workers end, or after; any thread. */
void bl_admin_stop(struct bl_admin *a);
void bl_admin_free(struct bl_admin *a); /* after the workers have ended; accepts NULL */
