/* Between the files of admin/: the jobs that cross to the workers, and what is rendered from counters. */
#pragma once
#include <pthread.h>

#include "admin/admin.h"

enum { ARGS = 8, ARG_LEN = 256 };

struct job { /* one piece of work for a worker; in admin's list from its posting until it has run */
        struct bl_admin_job pub;
        struct bl_admin *a;
        struct job *next, **at; /* of a->under_way */
        bool done;              /* it has run */
        bool abandoned;         /* nobody waits any more: whoever runs it frees it */
        const struct bl_view *view;
        const struct bl_action *action;
        const struct bl_admin_part *part;
        unsigned worker, n_args;
        struct bl_cursor cursor;
        bool more;
        int rc;
        struct bl_sb out;
        char arg[ARGS][2][ARG_LEN];
        char buf[BL_ADMIN_CHUNK];
};

struct MHD_Daemon;
struct bl_admin {
        struct bl_admin_conf conf;
        struct MHD_Daemon *local, *remote; /* UNIX, TCP */
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct job *under_way;
        bool stopping;
};

struct job *job_new(struct bl_admin *a); /* NULL without memory */
/* Posts it and waits. 0: it has run and is the caller's; BL_ETIMEOUT, BL_EGONE (the node stops): it is gone. */
int job_run(struct job *j);
void job_free(struct job *j); /* one that is not posted; accepts NULL */

/* All counters of all parts, the sum over their workers. Any thread. 0, BL_ENOMEM. */
int metrics_write(const struct bl_admin_conf *conf, struct bl_sb *out);
