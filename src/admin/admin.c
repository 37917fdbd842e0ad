#include "admin/admin.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/internal.h"
#include "base/json.h"

enum { CONNECTIONS = 16, IDLE_S = 30, TEXT_MAX = 512 << 10 };

static const char ndjson[] = "application/x-ndjson", json[] = "application/json", text[] = "text/plain; version=0.0.4";

/* ---- answers ---- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, struct bl_str body)
{
        struct MHD_Response *r =
                MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
        if (!r)
                return MHD_NO;
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        enum MHD_Result rc = MHD_queue_response(c, status, r);
        MHD_destroy_response(r);
        return rc;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, struct bl_str why)
{
        char buf[1024];
        struct bl_sb b = BL_SB(buf);
        struct bl_json j = bl_json_begin(&b);
        bl_json_str(&j, "error", why);
        bl_json_end(&j);
        return answer(c, status, json, bl_sb_str(&b));
}

static enum MHD_Result refuse_rc(struct MHD_Connection *c, int rc)
{
        if (rc == BL_EGONE)
                return refuse(c, 503, BL_STR("the node is ending"));
        return refuse(c, 504, BL_STR("the worker does not answer; it is busy or stuck"));
}

/* ---- views: rows as the far end reads them ---- */

struct reading { /* one answer under way: parts in turn, their workers in turn, chunk by chunk */
        struct job *job;
        unsigned part;
        size_t given;  /* of the chunk */
        uint64_t left; /* rows that may still go out */
        bool ended;
};

static void next_worker(struct reading *r)
{
        struct job *j = r->job;
        j->cursor = (struct bl_cursor){0};
        if (!j->view->once && ++j->worker < j->part->workers)
                return;
        j->worker = 0;
        if (++r->part < j->a->conf.n_parts)
                j->part = &j->a->conf.parts[r->part];
        else
                r->ended = true;
}

/* Cuts the chunk after the rows that may still go out. */
static void count_rows(struct reading *r)
{
        struct bl_sb *out = &r->job->out;
        for (size_t i = 0; i < out->n; i++) {
                if (out->p[i] == '\n' && --r->left == 0) {
                        out->n = i + 1;
                        r->ended = true;
                        return;
                }
        }
}

static int fill(struct reading *r)
{
        struct job *j = r->job;
        r->given = 0;
        j->out.n = 0;
        while (!r->ended && j->out.n == 0) {
                int rc = job_run(j);
                if (rc < 0) {
                        r->job = NULL;
                        return rc;
                }
                if (!j->more)
                        next_worker(r);
                count_rows(r);
        }
        return 0;
}

static ssize_t read_rows(void *arg, uint64_t pos, char *buf, size_t max)
{
        struct reading *r = arg;
        (void)pos;
        if (!r->job)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        if (r->given == r->job->out.n && fill(r) < 0)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        size_t n = r->job->out.n - r->given;
        if (n == 0)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (n > max)
                n = max;
        memcpy(buf, r->job->out.p + r->given, n);
        r->given += n;
        return (ssize_t)n;
}

static void end_rows(void *arg)
{
        struct reading *r = arg;
        job_free(r->job);
        free(r);
}

static enum MHD_Result show(struct bl_admin *a, struct MHD_Connection *c, const struct bl_view *view)
{
        const char *limit = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "limit");
        uint64_t left = UINT64_MAX;
        if (limit && (bl_str_u64(bl_str_z(limit), &left) < 0 || left == 0))
                return refuse(c, 400, BL_STR("limit is a number of rows, 1 or more"));
        struct reading *r = calloc(1, sizeof(*r));
        struct job *j = r ? job_new(a) : NULL;
        if (!j) {
                free(r);
                return refuse(c, 503, BL_STR("no memory"));
        }
        j->view = view;
        j->part = &a->conf.parts[0];
        r->job = j;
        r->left = left;
        int rc = fill(r); /* the first rows decide the status */
        if (rc < 0) {
                end_rows(r);
                return refuse_rc(c, rc);
        }
        struct MHD_Response *resp =
                MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32 << 10, read_rows, r, end_rows);
        if (!resp) {
                end_rows(r);
                return MHD_NO;
        }
        MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, ndjson);
        enum MHD_Result queued = MHD_queue_response(c, 200, resp);
        MHD_destroy_response(resp);
        return queued;
}

/* ---- actions ---- */

static enum MHD_Result take_arg(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
        struct job *j = arg;
        (void)kind;
        if (j->n_args == ARGS || strlen(key) >= ARG_LEN || (value && strlen(value) >= ARG_LEN)) {
                j->rc = BL_ELIMIT;
                return MHD_NO;
        }
        memcpy(j->arg[j->n_args][0], key, strlen(key) + 1);
        memcpy(j->arg[j->n_args][1], value ? value : "", value ? strlen(value) + 1 : 1);
        j->n_args++;
        return MHD_YES;
}

static enum MHD_Result act(struct bl_admin *a, struct MHD_Connection *c, const struct bl_action *action)
{
        struct job *j = job_new(a);
        if (!j)
                return refuse(c, 503, BL_STR("no memory"));
        j->action = action;
        j->part = &a->conf.parts[0];
        MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, take_arg, j);
        if (j->rc < 0) {
                job_free(j);
                return refuse(c, 400, BL_STR("too many parameters, or one that is too long"));
        }
        int rc = job_run(j);
        if (rc < 0)
                return refuse_rc(c, rc);
        enum MHD_Result done =
                j->rc < 0 ? refuse(c, 409, bl_sb_str(&j->out)) : answer(c, 200, json, bl_sb_str(&j->out));
        job_free(j);
        return done;
}

/* ---- requests ---- */

static enum MHD_Result list(struct bl_admin *a, struct MHD_Connection *c)
{
        char buf[4096];
        struct bl_sb b = BL_SB(buf);
        for (unsigned i = 0; i < a->conf.n_views + a->conf.n_actions; i++) {
                bool view = i < a->conf.n_views;
                const struct bl_view *v = &a->conf.views[i];
                const struct bl_action *act_ = view ? NULL : &a->conf.actions[i - a->conf.n_views];
                struct bl_json j = bl_json_begin(&b);
                bl_json_strz(&j, "name", view ? v->name : act_->name);
                bl_json_strz(&j, "method", view ? "GET" : "POST");
                bl_json_strz(&j, "help", view ? v->help : act_->help);
                bl_json_end(&j);
        }
        return answer(c, 200, ndjson, bl_sb_str(&b));
}

static enum MHD_Result metrics(struct bl_admin *a, struct MHD_Connection *c)
{
        char *buf = malloc(TEXT_MAX);
        struct bl_sb b = {buf, 0, TEXT_MAX, false};
        if (!buf || metrics_write(&a->conf, &b) < 0) {
                free(buf);
                return refuse(c, 503, BL_STR("no memory"));
        }
        enum MHD_Result rc = answer(c, 200, text, bl_sb_str(&b));
        free(buf);
        return rc;
}

static enum MHD_Result dispatch(struct bl_admin *a, struct MHD_Connection *c, const char *path, const char *method,
                                bool local)
{
        bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0, post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
        const char *name = strncmp(path, "/v1/", 4) == 0 ? path + 4 : "";
        if (!get && !post)
                return refuse(c, 405, BL_STR("GET for views, POST for actions"));
        if (get && strcmp(path, "/metrics") == 0)
                return metrics(a, c);
        if (get && strcmp(path, "/v1/") == 0)
                return list(a, c);
        for (unsigned i = 0; get && i < a->conf.n_views; i++) {
                if (strcmp(name, a->conf.views[i].name) == 0)
                        return show(a, c, &a->conf.views[i]);
        }
        for (unsigned i = 0; post && i < a->conf.n_actions; i++) {
                if (strcmp(name, a->conf.actions[i].name) != 0)
                        continue;
                if (!local) /* whoever reaches the port may look; what changes the node takes rights on the socket */
                        return refuse(c, 403, BL_STR("only by the UNIX socket"));
                return act(a, c, &a->conf.actions[i]);
        }
        return refuse(c, 404, BL_STR("there is no such view or action; GET /v1/ lists them"));
}

static enum MHD_Result on_request(struct bl_admin *a, struct MHD_Connection *c, const char *path, const char *method,
                                  size_t *upload, void **state, bool local)
{
        static int seen; /* only its address counts */
        if (!*state) {   /* the header alone; the body, which nobody reads, comes next */
                *state = &seen;
                return MHD_YES;
        }
        if (*upload) {
                *upload = 0;
                return MHD_YES;
        }
        return dispatch(a, c, path, method, local);
}

static enum MHD_Result on_local(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                                const char *version, const char *data, size_t *upload, void **state)
{
        (void)version, (void)data;
        return on_request(arg, c, path, method, upload, state, true);
}

static enum MHD_Result on_remote(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                                 const char *version, const char *data, size_t *upload, void **state)
{
        (void)version, (void)data;
        return on_request(arg, c, path, method, upload, state, false);
}

/* ---- life ---- */

/* A thread per connection: it waits for workers, and there are never more than a few. */
static struct MHD_Daemon *serve(struct bl_admin *a, int fd, MHD_AccessHandlerCallback on)
{
        return MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC, 0, NULL,
                                NULL, on, a, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
}

struct bl_admin *bl_admin_new(const struct bl_admin_conf *conf)
{
        struct bl_admin *a = calloc(1, sizeof(*a));
        pthread_condattr_t attr;
        if (a) {
                a->conf = *conf;
                pthread_mutex_init(&a->lock, NULL);
                pthread_condattr_init(&attr);
                pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
                pthread_cond_init(&a->wake, &attr);
                pthread_condattr_destroy(&attr);
                a->local = conf->unix_fd >= 0 ? serve(a, conf->unix_fd, on_local) : NULL;
                a->remote = conf->tcp_fd >= 0 ? serve(a, conf->tcp_fd, on_remote) : NULL;
        }
        bool local = a && a->local, remote = a && a->remote;
        if (local == (conf->unix_fd >= 0) && remote == (conf->tcp_fd >= 0) && a)
                return a;
        if (!local && conf->unix_fd >= 0)
                close(conf->unix_fd);
        if (!remote && conf->tcp_fd >= 0)
                close(conf->tcp_fd);
        bl_admin_free(a);
        return NULL;
}

void bl_admin_stop(struct bl_admin *a)
{
        if (!a)
                return;
        pthread_mutex_lock(&a->lock);
        a->stopping = true;
        pthread_cond_broadcast(&a->wake);
        pthread_mutex_unlock(&a->lock);
}

void bl_admin_free(struct bl_admin *a)
{
        if (!a)
                return;
        bl_admin_stop(a);
        if (a->local)
                MHD_stop_daemon(a->local);
        if (a->remote)
                MHD_stop_daemon(a->remote);
        for (struct job *j = a->under_way, *next; j; j = next) { /* no worker is left to run them */
                next = j->next;
                job_free(j);
        }
        pthread_cond_destroy(&a->wake);
        pthread_mutex_destroy(&a->lock);
        free(a);
}
