#include <stdlib.h>
#include <time.h>

#include "admin/internal.h"

enum { WAIT_MS = 5000 };

struct job *job_new(struct bl_admin *a)
{
        struct job *j = malloc(sizeof(*j));
        if (!j)
                return NULL;
        memset(j, 0, offsetof(struct job, arg));
        j->a = a;
        return j;
}

void job_free(struct job *j)
{
        free(j);
}

static const char *arg_of(void *args, const char *key)
{
        const struct job *j = args;
        for (unsigned i = 0; i < j->n_args; i++) {
                if (strcmp(j->arg[i][0], key) == 0)
                        return j->arg[i][1];
        }
        return NULL;
}

static void unlink_job(struct job *j)
{
        *j->at = j->next;
        if (j->next)
                j->next->at = j->at;
}

/* In the worker's thread. */
static void run(struct bl_admin_job *pub)
{
        struct job *j = BL_CONTAINER(pub, struct job, pub);
        struct bl_admin *a = j->a;
        j->out = (struct bl_sb){j->buf, 0, sizeof(j->buf), false};
        if (j->view)
                j->more = j->view->rows(j->part->ctx, j->worker, &j->cursor, &j->out);
        else
                j->rc = j->action->run(j->part->ctx, arg_of, j, &j->out);
        pthread_mutex_lock(&a->lock);
        unlink_job(j);
        j->done = true;
        if (j->abandoned)
                job_free(j);
        else
                pthread_cond_broadcast(&a->wake);
        pthread_mutex_unlock(&a->lock);
}

int job_run(struct job *j)
{
        struct bl_admin *a = j->a;
        struct timespec until;
        int rc = 0;
        clock_gettime(CLOCK_MONOTONIC, &until);
        uint32_t wait_ms = a->conf.wait_ms ? a->conf.wait_ms : WAIT_MS;
        until.tv_sec += wait_ms / 1000;
        until.tv_nsec += wait_ms % 1000 * 1000000L;
        if (until.tv_nsec >= 1000000000L)
                until.tv_sec++, until.tv_nsec -= 1000000000L;
        pthread_mutex_lock(&a->lock);
        if (a->stopping) {
                pthread_mutex_unlock(&a->lock);
                job_free(j);
                return BL_EGONE;
        }
        j->pub.run = run;
        j->done = false;
        j->next = a->under_way;
        j->at = &a->under_way;
        if (j->next)
                j->next->at = &j->next;
        a->under_way = j;
        j->part->post(j->part->ctx, j->worker, &j->pub);
        while (!j->done && !a->stopping && rc == 0)
                rc = pthread_cond_timedwait(&a->wake, &a->lock, &until);
        rc = j->done ? 0 : a->stopping ? BL_EGONE : BL_ETIMEOUT;
        j->abandoned = rc < 0;
        pthread_mutex_unlock(&a->lock);
        return rc;
}
