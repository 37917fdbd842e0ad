#include "server/stack.h"

#include <errno.h>
#include <stdlib.h>

#include "edge/edge.h"
#include "home/home.h"
#include "io/file.h"
#include "server/identity.h"
#include "server/parts.h"
#include "store/mem.h"
#include "store/users.h"

enum { KEYS_MAX = 64 << 10, USERS_MAX = 256 << 20, SNAPSHOT_MAX = 1 << 30, EXPIRE_EVERY_MS = 1000 };

struct worker {
        struct bl_edge *edge;
        struct bl_home *home;
};

struct tables;
static void tables_free(struct tables *t);

struct bl_stack {
        const struct bl_options *o;
        enum bl_stack_role role;
        struct bl_parts parts;
        struct bl_world *world;
        struct bl_token_keys *keys;
        struct bl_creds *creds; /* the latest */
        struct bl_users *users;
        struct bl_store *store;
        struct bl_edge_conf edge_conf;
        struct bl_home_conf home_conf;
        struct bl_edge_node *edge;
        struct bl_home_node *home;
        struct worker *workers;
        struct bl_timer expire;
        struct tables *tables; /* since the first reload; before it those of `parts` */
        bl_us started_at;
};

/* ---- files ---- */

static struct bl_str key_file(const struct bl_stack *s)
{
        return s->role == BL_STACK_EDGE ? s->o->edge->key_file : s->o->home->key_file;
}

static int read_keys(const struct bl_stack *s, struct bl_sb *err, struct bl_token_keys **ret_keys)
{
        const char *what = s->role == BL_STACK_EDGE ? "edge.key_file" : "home.key_file";
        char error[256] = "";
        struct bl_str path = key_file(s), text;
        int rc = bl_file_read(path.p, what, "make one with `belay key > FILE`, equal on all nodes of the cluster",
                              KEYS_MAX, err, &text);
        if (rc < 0)
                return rc;
        struct bl_token_keys *keys = bl_token_keys_parse(text, error, sizeof(error));
        bl_file_free(text);
        if (keys) {
                *ret_keys = keys;
                return 0;
        }
        bl_sb_fmt(err, "%s (%s): %s", path.p, what, error);
        return BL_EINVAL;
}

static int read_users(struct bl_str path, struct bl_sb *err, struct bl_users **ret_users)
{
        char error[256] = "";
        struct bl_str text;
        if (!path.n)
                return 0;
        int rc = bl_file_read(path.p, "home.users_file", "make one with `belay user add`", USERS_MAX, err, &text);
        if (rc < 0)
                return rc;
        struct bl_users *users = bl_users_parse(text, error, sizeof(error));
        bl_file_free(text);
        if (users) {
                *ret_users = users;
                return 0;
        }
        bl_sb_fmt(err, "%s (home.users_file): %s", path.p, error);
        return BL_EINVAL;
}

/* ---- snapshot ---- */

struct saved {
        char *p;
        size_t n, cap;
};

static int put_saved(void *arg, struct bl_str octets)
{
        struct saved *b = arg;
        if (b->cap - b->n < octets.n) {
                size_t cap = (b->cap + octets.n) * 2;
                char *more = realloc(b->p, cap);
                if (!more)
                        return BL_ENOMEM;
                b->p = more;
                b->cap = cap;
        }
        memcpy(b->p + b->n, octets.p, octets.n);
        b->n += octets.n;
        return 0;
}

int bl_stack_save(struct bl_stack *s)
{
        struct saved b = {0};
        if (s->role != BL_STACK_HOME || !s->o->home->snapshot.n)
                return 0;
        int rc = bl_store_mem_save(s->store, put_saved, &b);
        if (rc == 0)
                rc = bl_file_replace(s->o->home->snapshot.p, bl_str_make(b.p, b.n));
        free(b.p);
        return rc;
}

/* A snapshot that is not there yet is none; one that cannot be read is an error, for it would be overwritten. */
static int load_snapshot(struct bl_stack *s, struct bl_sb *err)
{
        struct bl_str path = s->o->home->snapshot, text;
        struct bl_sb at = *err;
        unsigned skipped = 0;
        if (!path.n)
                return 0;
        int rc = bl_file_read(path.p, "home.snapshot", "", SNAPSHOT_MAX, err, &text);
        if (rc == -ENOENT) {
                *err = at;
                return 0;
        }
        if (rc < 0)
                return rc;
        rc = bl_store_mem_load(s->store, text, bl_world_env(s->world, 0)->wall, &skipped);
        bl_file_free(text);
        if (rc < 0) {
                bl_sb_fmt(err, "%s (home.snapshot): %s; move it away to start without", path.p, bl_err_text(rc));
                return rc;
        }
        bl_log_ev(bl_stack_log(s), BL_LOG_INFO, "snapshot_read", BL_KI("bindings", bl_store_mem_count(s->store)),
                  BL_KI("skipped", skipped));
        return 0;
}

/* ---- building ---- */

static void warn_of_open_key(struct bl_stack *s, struct bl_str path)
{
        if (bl_file_is_open_to_others(path.p))
                bl_log_ev(bl_stack_log(s), BL_LOG_WARN, "key_file_open", BL_KS("file", path),
                          BL_KZ("hint", "everybody on this machine can read it; chmod o-r"));
}

static void warn_of(void *arg, struct bl_str file, const char *reason, struct bl_str text)
{
        bl_log_ev((struct bl_log *)arg, BL_LOG_WARN, "certificate_doubtful", BL_KS("file", file),
                  BL_KZ("reason", reason), BL_KS("hint", text));
}

void bl_stack_doubts(struct bl_stack *s, int64_t wall,
                     void (*say)(void *arg, struct bl_str file, const char *reason, struct bl_str text), void *arg)
{
        if (s->creds)
                bl_identity_doubts(s->o, s->creds, wall, say, arg);
}

static void warn_of_certificates(struct bl_stack *s)
{
        struct bl_str paths[BL_IDENTITY_PATHS];
        unsigned n = bl_identity_paths(s->o, paths), first = s->o->tls ? (unsigned)s->o->tls->cert.n : 0;
        bl_stack_doubts(s, bl_stack_log(s)->wall, warn_of, bl_stack_log(s));
        for (unsigned i = first; s->creds && i < n && i < first + s->o->tls->key.n; i++)
                warn_of_open_key(s, paths[i]);
}

static int new_edge(struct bl_stack *s, uint64_t seed, unsigned workers, char *error, size_t cap)
{
        struct bl_edge_conf *c = &s->edge_conf;
        bl_edge_options_apply(s->o->edge, c);
        c->node = s->o->node;
        c->keys = s->keys;
        bl_parts_proxy(&s->parts, s->o, &c->proxy);
        s->edge = bl_edge_node_new(c, workers, seed, error, cap);
        return s->edge ? 0 : BL_EINVAL;
}

static int new_home(struct bl_stack *s, uint64_t seed, unsigned workers, char *error, size_t cap)
{
        struct bl_home_conf *c = &s->home_conf;
        bl_home_options_apply(s->o->home, c);
        c->node = s->o->node;
        c->keys = s->keys;
        c->store = s->store;
        bl_parts_proxy(&s->parts, s->o, &c->proxy);
        s->home = bl_home_node_new(c, workers, seed, error, cap);
        return s->home ? 0 : BL_EINVAL;
}

static int new_node(struct bl_stack *s, struct bl_sb *err)
{
        char error[512] = "";
        uint64_t seed = s->world ? bl_world_env(s->world, 0)->hash_seed : 1;
        unsigned workers = s->world ? bl_world_workers(s->world) : 1;
        if (s->role == BL_STACK_HOME) {
                s->store = bl_store_mem_new(&(struct bl_store_mem_conf){
                        .hash_seed = seed, .max_contacts = s->o->home->max_contacts, .users = s->users});
                if (!s->store) {
                        bl_sb_addz(err, "no memory for the store");
                        return BL_ENOMEM;
                }
        }
        int rc = s->role == BL_STACK_EDGE ? new_edge(s, seed, workers, error, sizeof(error))
                                          : new_home(s, seed, workers, error, sizeof(error));
        if (rc < 0)
                bl_sb_addz(err, *error ? error : "no memory");
        return rc;
}

/* A bounded number a second, by one worker: the store is the node's. */
static void expire(struct bl_timer *t)
{
        struct bl_stack *s = BL_CONTAINER(t, struct bl_stack, expire);
        struct env *env = bl_world_env(s->world, 0);
        s->store->ops->expire(s->store, env->wall);
        env_arm_in(env, t, BL_MS(EXPIRE_EVERY_MS));
}

static int new_workers(struct bl_stack *s, struct bl_sb *err)
{
        struct bl_flows *flows[BL_WORLD_WORKERS_MAX];
        unsigned n = bl_world_workers(s->world);
        s->workers = calloc(n, sizeof(*s->workers));
        for (unsigned i = 0; s->workers && i < n; i++) {
                struct worker *w = &s->workers[i];
                struct env *env = bl_world_env(s->world, i);
                if (s->role == BL_STACK_EDGE)
                        w->edge = bl_edge_new(env, s->edge);
                else
                        w->home = bl_home_new(env, s->home);
                if (!w->edge && !w->home)
                        break;
                struct bl_proxy *p = w->edge ? bl_edge_proxy(w->edge) : bl_home_proxy(w->home);
                flows[i] = bl_txns_flows(bl_proxy_txns(p));
                if (i + 1 < n)
                        continue;
                bl_flows_join(flows, n);
                if (s->store) {
                        s->expire.fire = expire;
                        env_arm_in(bl_world_env(s->world, 0), &s->expire, BL_MS(EXPIRE_EVERY_MS));
                }
                return 0;
        }
        bl_sb_addz(err, "no memory for the workers");
        return BL_ENOMEM;
}

static int new_world(struct bl_stack *s, struct bl_sb *err)
{
        struct bl_world_conf conf;
        bl_parts_world(&s->parts, s->o, &conf);
        conf.creds = s->creds;
        int rc = bl_world_new(&conf, err, &s->world);
        for (unsigned i = 0; rc == 0 && i < s->parts.n_listen; i++) {
                struct bl_addr at = bl_world_listener_addr(s->world, i);
                bl_parts_bound(&s->parts, i, &at);
        }
        return rc;
}

static int fill(struct bl_stack *s, bool listen, struct bl_sb *err)
{
        bool edge = s->role == BL_STACK_EDGE;
        int rc = bl_parts_init(&s->parts, s->o, s->role);
        if (rc == 0)
                rc = read_keys(s, err, &s->keys);
        if (rc == 0 && !edge)
                rc = read_users(s->o->home->users_file, err, &s->users);
        if (rc == 0 && s->o->tls)
                rc = bl_identity_load(s->o, s->keys, err, &s->creds);
        if (rc == 0 && listen)
                rc = new_world(s, err);
        if (rc == 0)
                rc = new_node(s, err);
        if (rc < 0 || !listen)
                return rc;
        warn_of_open_key(s, key_file(s));
        warn_of_certificates(s);
        if (!edge && (rc = load_snapshot(s, err)) < 0)
                return rc;
        return new_workers(s, err);
}

int bl_stack_new(const struct bl_options *options, enum bl_stack_role role, bool listen, struct bl_sb *err,
                 struct bl_stack **ret_stack)
{
        struct bl_stack *s = calloc(1, sizeof(*s));
        if (!s) {
                bl_sb_addz(err, "no memory");
                return BL_ENOMEM;
        }
        s->o = options;
        s->role = role;
        int rc = fill(s, listen, err);
        if (rc < 0)
                bl_stack_free(s);
        else
                *ret_stack = s;
        return rc;
}

void bl_stack_free(struct bl_stack *s)
{
        if (!s)
                return;
        for (unsigned i = 0; s->workers && i < bl_world_workers(s->world); i++) {
                bl_edge_free(s->workers[i].edge);
                bl_home_free(s->workers[i].home);
        }
        free(s->workers);
        bl_edge_node_free(s->edge);
        bl_home_node_free(s->home);
        if (s->store)
                s->store->ops->free(s->store);
        bl_world_free(s->world);
        bl_creds_unref(s->creds);
        bl_users_free(s->users);
        bl_token_keys_free(s->keys);
        tables_free(s->tables);
        bl_parts_fini(&s->parts);
        free(s);
}

/* ---- running ---- */

struct bl_world *bl_stack_world(struct bl_stack *s)
{
        return s->world;
}

const char *bl_stack_role_name(const struct bl_stack *s)
{
        return s->role == BL_STACK_EDGE ? "edge" : "home";
}

static struct bl_proxy *proxy_of(const struct worker *w)
{
        return w->edge ? bl_edge_proxy(w->edge) : bl_home_proxy(w->home);
}

struct bl_flows *bl_stack_flows(struct bl_stack *s, unsigned worker)
{
        return bl_txns_flows(bl_proxy_txns(proxy_of(&s->workers[worker])));
}

struct bl_sticky *bl_stack_sticky(struct bl_stack *s)
{
        return s->role == BL_STACK_EDGE ? bl_edge_node_sticky(s->edge) : bl_home_node_sticky(s->home);
}

bl_us bl_stack_started_at(const struct bl_stack *s)
{
        return s->started_at;
}

struct bl_log *bl_stack_log(struct bl_stack *s)
{
        return bl_world_env(s->world, 0)->log;
}

static void say_listeners(struct bl_stack *s)
{
        for (unsigned i = 0; i < s->parts.n_listen; i++) {
                char text[BL_ADDR_TEXT];
                struct bl_sb b = BL_SB(text);
                bl_addr_put(&b, &s->parts.listen[i].addr);
                bl_log_ev(bl_stack_log(s), BL_LOG_INFO, "listening", BL_KZ("role", bl_stack_role_name(s)),
                          BL_KS("transport", bl_tp_param(s->parts.listen[i].tp)), BL_KS("address", bl_sb_str(&b)));
        }
}

int bl_stack_run(struct bl_stack *s)
{
        s->started_at = bl_world_env(s->world, 0)->now;
        say_listeners(s);
        bl_log_ev(bl_stack_log(s), BL_LOG_INFO, "ready", BL_KZ("role", bl_stack_role_name(s)),
                  BL_KI("workers", bl_world_workers(s->world)));
        return bl_world_run(s->world);
}

struct level_post { /* travels to each worker; freed there */
        struct bl_post post;
        enum bl_level level;
};

static void set_level(struct bl_post *p, struct env *env)
{
        struct level_post *l = BL_CONTAINER(p, struct level_post, post);
        env->log->level = l->level;
        free(l);
}

void bl_stack_set_log_level(struct bl_stack *s, enum bl_level level)
{
        for (unsigned i = 0; i < bl_world_workers(s->world); i++) {
                struct env *env = bl_world_env(s->world, 0);
                struct level_post *l = malloc(sizeof(*l));
                if (!l)
                        return;
                *l = (struct level_post){.post.run = set_level, .level = level};
                env->ops->post(env, i, &l->post);
        }
}

/* ---- draining ---- */

struct bl_edge *bl_stack_edge(struct bl_stack *s, unsigned worker)
{
        return s->workers[worker].edge;
}

struct drain_post { /* travels to a worker; freed there */
        struct bl_post post;
        struct bl_stack *stack;
        uint32_t deadline_ms;
};

static void drain(struct bl_post *p, struct env *env)
{
        struct drain_post *d = BL_CONTAINER(p, struct drain_post, post);
        struct bl_edge *e = bl_stack_edge(d->stack, env->worker);
        if (d->deadline_ms)
                bl_edge_drain(e, d->deadline_ms);
        else
                bl_edge_drain_cancel(e);
        free(d);
}

int bl_stack_drain(struct bl_stack *s, uint32_t deadline_ms)
{
        struct drain_post *all[BL_WORLD_WORKERS_MAX];
        unsigned n = bl_world_workers(s->world), made = 0;
        struct env *env = bl_world_env(s->world, 0);
        while (made < n && (all[made] = malloc(sizeof(**all))))
                made++;
        for (unsigned i = 0; i < made; i++) {
                if (made < n) {
                        free(all[i]);
                        continue;
                }
                *all[i] = (struct drain_post){.post.run = drain, .stack = s, .deadline_ms = deadline_ms};
                env->ops->post(env, i, &all[i]->post);
        }
        if (made < n)
                return BL_ENOMEM;
        bl_log_ev(bl_stack_log(s), BL_LOG_INFO, deadline_ms ? "draining" : "drain_cancelled",
                  BL_KI("deadline_s", deadline_ms / 1000));
        return 0;
}

/* ---- other certificates ---- */

int bl_stack_reload_tls(struct bl_stack *s, const struct bl_options *o, struct bl_log *log, struct bl_sb *err)
{
        struct bl_creds *fresh = NULL;
        char old[256];
        struct bl_sb ignored = BL_SB(old);
        int64_t wall = log->wall;
        if (!s->creds || !o->tls)
                return 0;
        int rc = bl_identity_load(o, s->keys, err, &fresh);
        if (rc < 0)
                return rc;
        if (!bl_identity_is_invalid(s->creds, wall, &ignored) && bl_identity_is_invalid(fresh, wall, err)) {
                bl_creds_unref(fresh);
                return BL_EINVAL;
        }
        bl_world_set_creds(s->world, fresh);
        bl_creds_unref(s->creds);
        s->creds = fresh;
        bl_identity_doubts(o, fresh, wall, warn_of, log);
        return 1;
}

/* ---- other users, keys, tables ---- */

/* Each worker, by its `struct bl_edge` or `struct bl_home`, in its own turn. */
static int use_tables(struct worker *w, const struct bl_tables *t)
{
        struct bl_proxy *p = w->edge ? bl_edge_proxy(w->edge) : bl_home_proxy(w->home);
        int rc = bl_hops_set_map(bl_proxy_hops(p), t->map, t->n_map);
        if (rc < 0)
                return rc;
        if (w->edge)
                return bl_edge_set_trust(w->edge, t->trust, t->n_trust);
        bl_flows_set_trust(bl_txns_flows(bl_proxy_txns(p)), t->trust, t->n_trust);
        return 0;
}

struct tables { /* and the configuration that has their names */
        struct bl_tables t;
        struct bl_conf *conf;
        struct tables *older; /* that a worker without memory had to keep; freed with the stack */
};

static void tables_free(struct tables *t)
{
        while (t) {
                struct tables *older = t->older;
                bl_tables_fini(&t->t);
                bl_conf_unref(t->conf);
                free(t);
                t = older;
        }
}

struct change { /* visits each worker, which takes up the new tables; then the old ones go */
        struct bl_post post;
        struct bl_stack *s;
        struct tables *fresh, *old;
        unsigned next;
        bool kept;
};

static void change(struct bl_post *p, struct env *env)
{
        struct change *c = BL_CONTAINER(p, struct change, post);
        if (use_tables(&c->s->workers[c->next], &c->fresh->t) < 0) {
                bl_log_ev(env->log, BL_LOG_ERROR, "reload_refused",
                          BL_KZ("error", "no memory for trust, map and nodes"), BL_KI("worker", c->next),
                          BL_KZ("kept", "those that were read before"));
                c->kept = true;
        }
        if (++c->next < env->workers) {
                env->ops->post(env, c->next, p);
                return;
        }
        if (c->kept)
                c->fresh->older = c->old;
        else
                tables_free(c->old);
        free(c);
}

int bl_stack_reload_tables(struct bl_stack *s, struct bl_conf *conf)
{
        struct env *env = bl_world_env(s->world, 0);
        struct change *c = calloc(1, sizeof(*c));
        struct tables *fresh = calloc(1, sizeof(*fresh));
        int rc = c && fresh ? bl_tables_init(&fresh->t, bl_conf_root(conf)) : BL_ENOMEM;
        if (rc < 0) {
                free(c);
                free(fresh);
                return rc;
        }
        fresh->conf = bl_conf_ref(conf);
        *c = (struct change){.post.run = change, .s = s, .fresh = fresh, .old = s->tables};
        s->tables = fresh;
        env->ops->post(env, 0, &c->post);
        return 0;
}

struct leave { /* visits each worker, so that none is in a turn that began with the old ones; then frees them */
        struct bl_post post;
        struct bl_users *users;
        struct bl_token_keys *keys;
        unsigned next;
};

static void leave(struct bl_post *p, struct env *env)
{
        struct leave *l = BL_CONTAINER(p, struct leave, post);
        if (++l->next < env->workers) {
                env->ops->post(env, l->next, p);
                return;
        }
        bl_users_free(l->users);
        bl_token_keys_free(l->keys);
        free(l);
}

int bl_stack_reload_users(struct bl_stack *s, struct bl_sb *err)
{
        struct bl_users *users = NULL;
        struct env *env = bl_world_env(s->world, 0);
        if (s->role != BL_STACK_HOME || !s->o->home->users_file.n)
                return 0;
        struct leave *l = malloc(sizeof(*l));
        int rc = l ? read_users(s->o->home->users_file, err, &users) : BL_ENOMEM;
        if (rc < 0) {
                free(l);
                return rc;
        }
        *l = (struct leave){.post.run = leave, .users = s->users};
        s->users = users;
        bl_store_mem_set_users(s->store, users);
        env->ops->post(env, 0, &l->post);
        return 1;
}

int bl_stack_reload_keys(struct bl_stack *s, struct bl_sb *err)
{
        struct bl_token_keys *keys = NULL;
        struct env *env = bl_world_env(s->world, 0);
        struct leave *l = malloc(sizeof(*l));
        int rc = l ? read_keys(s, err, &keys) : BL_ENOMEM;
        if (rc < 0) {
                free(l);
                return rc;
        }
        bl_token_keys_swap(s->keys, keys);
        *l = (struct leave){.post.run = leave, .keys = keys};
        env->ops->post(env, 0, &l->post);
        return 0;
}

const struct bl_token_keys *bl_stack_keys(const struct bl_stack *s)
{
        return s->keys;
}

struct bl_str bl_stack_key_file(const struct bl_stack *s)
{
        return key_file(s);
}
