#include "server/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "io/admin_socket.h"
#include "io/file.h"
#include "io/watch.h"
#include "server/identity.h"
#include "server/stack.h"
#include "server/views.h"

enum { CONF_MAX = 4 << 20, ERRORS = 16 << 10, ERRORS_OF_FILE = 5 << 10, ROLES = 2 };

struct daemon {
        const struct bl_daemon_args *args;
        struct bl_conf *conf; /* what the stacks were built from: kept for life */
        const struct bl_options *o;
        struct bl_conf *live; /* the latest one that was read without error */
        struct bl_options options;
        struct bl_log_options log;
        struct bl_stack *stack[ROLES];
        unsigned n_stacks;
        struct bl_stack *home;  /* one of them, or NULL */
        struct bl_watch *watch; /* of the files that `tls` names; NULL: it names none */
        bool stopping;
        struct bl_admin *admin; /* NULL: none */
        struct bl_admin_part part[ROLES];
        uv_thread_t second; /* runs the second stack */
        int second_rc;
        uv_thread_t saver;
        uv_mutex_t lock; /* for `ended` */
        uv_cond_t wake;
        bool ended;
};

/* ---- configuration ---- */

static int load(const char *file, struct bl_sb *err, struct bl_conf **ret_conf)
{
        struct bl_str text;
        int rc = bl_file_read(file, "configuration", "name one with -c FILE; examples/ has some", CONF_MAX, err, &text);
        if (rc < 0) {
                bl_sb_addc(err, '\n');
                return rc;
        }
        rc = bl_conf_load(file, text, &bl_options_table, err, ret_conf);
        bl_file_free(text);
        return rc;
}

static void print_errors(const struct bl_sb *err)
{
        fprintf(stderr, "%.*s", (int)err->n, err->p);
}

/* The command line has the last word about the log's format. */
static void take_options(struct daemon *d)
{
        d->options = *(const struct bl_options *)bl_conf_root(d->conf);
        d->log = *d->options.log;
        d->options.log = &d->log;
        if (d->args->log)
                d->log.format = strcmp(d->args->log, "json") == 0;
        d->o = &d->options;
}

static int build(struct daemon *d, bool listen, struct bl_sb *err)
{
        const bool has[ROLES] = {d->o->edge != NULL, d->o->home != NULL};
        for (unsigned i = 0; i < ROLES; i++) {
                if (!has[i])
                        continue;
                size_t before = err->n;
                int rc =
                        bl_stack_new(d->o, i == 0 ? BL_STACK_EDGE : BL_STACK_HOME, listen, err, &d->stack[d->n_stacks]);
                if (rc < 0) {
                        char line[1024];
                        struct bl_sb b = BL_SB(line);
                        bl_sb_addz(&b, d->args->file);
                        bl_sb_addz(&b, ": ");
                        bl_sb_add(&b, bl_str_make(err->p + before, err->n - before));
                        bl_sb_addc(&b, '\n');
                        err->n = before;
                        bl_sb_add(err, bl_sb_str(&b));
                        return rc;
                }
                if (i == 1)
                        d->home = d->stack[d->n_stacks];
                d->n_stacks++;
        }
        return 0;
}

/* ---- reload ---- */

static void applied(void *arg, struct bl_str path, const struct bl_conf_option *o)
{
        struct daemon *d = arg;
        if (o->live)
                bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_INFO, "option_applied", BL_KS("key", path));
}

/* Said at each reload as long as the file says other than what runs. */
static void not_applied(void *arg, struct bl_str path, const struct bl_conf_option *o)
{
        struct daemon *d = arg;
        if (!o->live)
                bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_WARN, "option_needs_restart", BL_KS("key", path),
                          BL_KZ("hint", "belayd goes on with the old value until it is restarted"));
}

static void log_errors(struct daemon *d, struct bl_str text)
{
        struct bl_str line;
        while (text.n) {
                (void)bl_str_cut(text, '\n', &line, &text);
                if (line.n)
                        bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_ERROR, "reload_refused", BL_KS("error", line));
        }
}

/* What a file of secrets says is taken whole or not at all. */
static void say_kept(struct daemon *d, struct bl_sb *err, const char *what)
{
        if (!err->n)
                bl_sb_addz(err, "no memory");
        bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_ERROR, "reload_refused", BL_KS("error", bl_sb_str(err)),
                  BL_KZ("kept", what), BL_KZ("hint", "mend the file and send SIGHUP again"));
        err->n = 0;
}

static void reload_keys(struct daemon *d, struct bl_stack *s)
{
        char text[ERRORS_OF_FILE];
        struct bl_sb err = BL_SB(text);
        if (bl_stack_reload_keys(s, &err) < 0) {
                say_kept(d, &err, "the keys that were read before");
                return;
        }
        char first = bl_token_keys_signer(bl_stack_keys(s));
        bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_INFO, "keys_reloaded", BL_KS("file", bl_stack_key_file(s)),
                  BL_KI("keys", bl_token_keys_count(bl_stack_keys(s))), BL_KS("signs", bl_str_make(&first, 1)));
}

static void reload_users(struct daemon *d)
{
        char text[ERRORS_OF_FILE];
        struct bl_sb err = BL_SB(text);
        int users = bl_stack_reload_users(d->home, &err);
        if (users < 0)
                say_kept(d, &err, "the users that were read before");
        else if (users > 0)
                bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_INFO, "users_reloaded",
                          BL_KS("file", d->o->home->users_file));
}

static void watch(struct daemon *d)
{
        struct bl_str paths[BL_IDENTITY_PATHS];
        unsigned n = bl_identity_paths(bl_conf_root(d->live), paths);
        if (d->watch && bl_watch_set(d->watch, paths, n) < 0)
                bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_ERROR, "watch_failed", BL_KZ("reason", "no_memory"));
}

static void reload_tls(struct daemon *d)
{
        const struct bl_options *o = bl_conf_root(d->live);
        for (unsigned i = 0; i < d->n_stacks; i++) {
                char text[1024];
                struct bl_sb err = BL_SB(text);
                int rc = bl_stack_reload_tls(d->stack[i], o, bl_stack_log(d->stack[0]), &err);
                if (rc < 0)
                        bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_ERROR, "certificates_refused",
                                  BL_KS("error", bl_sb_str(&err)), BL_KZ("hint", "those in use stay"));
                else if (rc > 0)
                        bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_INFO, "certificates_reloaded",
                                  BL_KS("file", *(const struct bl_str *)o->tls->cert.at));
        }
}

static void files_changed(void *arg)
{
        reload_tls(arg);
}

static void reload(struct daemon *d)
{
        static char text[ERRORS]; /* only ever worker 0's */
        struct bl_sb err = BL_SB(text);
        struct bl_conf *fresh = NULL;
        if (load(d->args->file, &err, &fresh) < 0) {
                log_errors(d, bl_sb_str(&err));
                return;
        }
        const struct bl_options *o = bl_conf_root(fresh);
        bl_conf_diff(&bl_options_table, bl_conf_root(d->live), o, applied, d);
        bl_conf_diff(&bl_options_table, bl_conf_root(d->conf), o, not_applied, d);
        for (unsigned i = 0; i < d->n_stacks; i++)
                bl_stack_set_log_level(d->stack[i], (enum bl_level)o->log->level);
        d->options.drain_ms = o->drain_ms;
        for (unsigned i = 0; i < d->n_stacks; i++) {
                reload_keys(d, d->stack[i]);
                if (bl_stack_reload_tables(d->stack[i], fresh) < 0)
                        say_kept(d, &err, "trust, map and nodes as they were read before");
        }
        if (d->home)
                reload_users(d);
        bl_conf_unref(d->live);
        d->live = fresh;
        reload_tls(d);
        watch(d);
        bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_INFO, "reloaded", BL_KZ("file", d->args->file));
}

/* ---- snapshot: a thread of its own, for disks are slow ---- */

struct save_post { /* the outcome, on its way to the log, which is worker 0's; freed there */
        struct bl_post post;
        struct daemon *d;
        int rc;
};

static void say_failure(struct daemon *d, int rc)
{
        bl_log_ev(bl_stack_log(d->home), BL_LOG_ERROR, "snapshot_failed", BL_KS("file", d->o->home->snapshot),
                  BL_KZ("reason", bl_err_text(rc)));
}

static void save_failed(struct bl_post *p, struct env *env)
{
        struct save_post *s = BL_CONTAINER(p, struct save_post, post);
        (void)env;
        say_failure(s->d, s->rc);
        free(s);
}

static void save(struct daemon *d)
{
        int rc = bl_stack_save(d->home);
        struct save_post *s = rc < 0 ? malloc(sizeof(*s)) : NULL;
        struct env *env = bl_world_env(bl_stack_world(d->home), 0);
        if (!s)
                return;
        *s = (struct save_post){.post.run = save_failed, .d = d, .rc = rc};
        env->ops->post(env, 0, &s->post);
}

static void saver(void *arg)
{
        struct daemon *d = arg;
        uint64_t every = (uint64_t)d->o->home->snapshot_every_ms * 1000000u;
        uv_mutex_lock(&d->lock);
        while (!d->ended) {
                if (uv_cond_timedwait(&d->wake, &d->lock, every) == UV_ETIMEDOUT && !d->ended) {
                        uv_mutex_unlock(&d->lock);
                        save(d);
                        uv_mutex_lock(&d->lock);
                }
        }
        uv_mutex_unlock(&d->lock);
}

static bool start_saver(struct daemon *d)
{
        if (!d->home || !d->o->home->snapshot.n)
                return false;
        uv_mutex_init(&d->lock);
        uv_cond_init(&d->wake);
        if (uv_thread_create(&d->saver, saver, d) == 0)
                return true;
        uv_cond_destroy(&d->wake);
        uv_mutex_destroy(&d->lock);
        return false;
}

static void end_saver(struct daemon *d)
{
        uv_mutex_lock(&d->lock);
        d->ended = true;
        uv_cond_signal(&d->wake);
        uv_mutex_unlock(&d->lock);
        uv_thread_join(&d->saver);
        uv_cond_destroy(&d->wake);
        uv_mutex_destroy(&d->lock);
        int rc = bl_stack_save(d->home); /* the last word */
        if (rc < 0)
                say_failure(d, rc);
}

/* ---- the operator's socket ---- */

static int start_admin(struct daemon *d, struct bl_sb *err)
{
        struct bl_admin_conf c = {.unix_fd = -1,
                                  .tcp_fd = -1,
                                  .parts = d->part,
                                  .n_parts = d->n_stacks,
                                  .views = bl_views,
                                  .n_views = bl_n_views,
                                  .actions = bl_actions,
                                  .n_actions = bl_n_actions};
        const struct bl_admin_options *o = d->o->admin;
        int rc = o->socket.n ? bl_admin_listen_unix(o->socket.p, err, &c.unix_fd) : 0;
        if (rc == 0 && o->http.family)
                rc = bl_admin_listen_tcp(&o->http, err, &c.tcp_fd);
        if (rc < 0 || (c.unix_fd < 0 && c.tcp_fd < 0))
                return rc;
        for (unsigned i = 0; i < d->n_stacks; i++)
                d->part[i] = bl_views_part(d->stack[i]);
        d->admin = bl_admin_new(&c);
        if (!d->admin)
                bl_sb_addz(err, "admin: no memory or no threads left");
        return d->admin ? 0 : BL_ENOMEM;
}

static void end_admin(struct daemon *d)
{
        bl_admin_free(d->admin);
        if (d->admin && d->o->admin->socket.n)
                (void)remove(d->o->admin->socket.p);
}

/* ---- running ---- */

static void stop_all(struct daemon *d)
{
        bl_admin_stop(d->admin);
        for (unsigned i = 0; i < d->n_stacks; i++)
                bl_world_stop(bl_stack_world(d->stack[i]), d->options.drain_ms);
}

static void on_signal(struct bl_world *w, int signum, void *arg)
{
        struct daemon *d = arg;
        (void)w;
        if (signum == SIGHUP) {
                reload(d);
                return;
        }
        if (d->stopping) { /* asked twice: at once */
                signal(signum, SIG_DFL);
                raise(signum);
        }
        d->stopping = true;
        bl_log_ev(bl_stack_log(d->stack[0]), BL_LOG_INFO, "stopping", BL_KI("signal", signum));
        stop_all(d);
}

static void run_second(void *arg)
{
        struct daemon *d = arg;
        d->second_rc = bl_stack_run(d->stack[1]);
        stop_all(d); /* one role without the other is not what was asked for */
}

static int run(struct daemon *d)
{
        static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
        int rc = 0;
        for (size_t i = 0; rc == 0 && i < BL_ARRAY_LEN(signals); i++)
                rc = bl_world_on_signal(bl_stack_world(d->stack[0]), signals[i], on_signal, d);
        if (rc < 0)
                return rc;
        if (d->o->tls && (d->watch = bl_watch_open(bl_stack_world(d->stack[0]), files_changed, d)))
                watch(d);
        bool saving = start_saver(d), two = d->n_stacks == 2;
        if (two && (rc = uv_thread_create(&d->second, run_second, d)) < 0)
                two = false;
        if (rc == 0)
                rc = bl_stack_run(d->stack[0]);
        stop_all(d);
        if (two)
                uv_thread_join(&d->second);
        if (saving)
                end_saver(d);
        bl_watch_close(d->watch);
        return rc < 0 ? rc : d->second_rc;
}

static void print_doubt(void *arg, struct bl_str file, const char *reason, struct bl_str text)
{
        (void)arg;
        (void)reason;
        fprintf(stderr, "%.*s: warning: %.*s\n", BL_STR_ARG(file), BL_STR_ARG(text));
}

static void print_check(struct daemon *d)
{
        for (unsigned i = 0; i < d->n_stacks; i++)
                bl_stack_doubts(d->stack[i], (int64_t)time(NULL), print_doubt, d);
        printf("%s: good\n", d->args->file);
}

static int start(struct daemon *d)
{
        static char text[ERRORS];
        struct bl_sb err = BL_SB(text);
        int rc = load(d->args->file, &err, &d->conf);
        if (rc == 0) {
                d->live = bl_conf_ref(d->conf);
                take_options(d);
                rc = build(d, !d->args->check, &err);
                if (rc == 0 && !d->args->check && (rc = start_admin(d, &err)) < 0)
                        bl_sb_addc(&err, '\n');
        }
        if (rc < 0)
                print_errors(&err);
        else if (d->args->check)
                print_check(d);
        return rc;
}

int bl_daemon_main(const struct bl_daemon_args *args)
{
        struct daemon d = {.args = args};
        int rc = start(&d);
        if (rc == 0 && !args->check && (rc = run(&d)) < 0)
                fprintf(stderr, "belayd: cannot run: %s\n", bl_err_text(rc));
        end_admin(&d);
        for (unsigned i = 0; i < d.n_stacks; i++)
                bl_stack_free(d.stack[i]);
        bl_conf_unref(d.live);
        bl_conf_unref(d.conf);
        return rc < 0 ? 1 : 0;
}
