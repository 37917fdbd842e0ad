/* A store with moods. A call waits as a job on a timer of the worker that made it; then the store behind is asked. */
#include "sim/store.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/internal.h"

enum job_kind { JOB_LOOKUP, JOB_UPDATE, JOB_REMOVE, JOB_SUBSCRIBER };

struct job {
        struct bl_link link; /* among the store's, so that cancel and free find it */
        struct bl_timer timer;
        struct moody *store;
        struct env *env;
        struct sim_node *node;
        uint32_t epoch;
        enum job_kind kind;
        struct bl_store_op *op;
        struct bl_arena *mem; /* copies of what was asked */
        struct bl_str a, b;   /* AOR; user and domain */
        struct bl_contact *c;
        unsigned n, flags;
        int rc;
};
struct moody {
        struct bl_store store; /* first */
        struct sim *sim;
        struct bl_store *behind;
        bool own;
        struct sim_store_conf conf;
        struct bl_link jobs;
        unsigned calls;
};

static struct moody *moody_of(struct bl_store *s)
{
        return BL_CONTAINER(s, struct moody, store);
}

static void job_free(struct job *j)
{
        bl_list_remove(&j->link);
        bl_arena_free(j->mem);
        free(j);
}

static int ask(const struct job *j)
{
        struct bl_store *s = j->store->behind;
        switch (j->kind) {
        case JOB_LOOKUP:
                return s->ops->lookup(s, j->env, j->a, j->op);
        case JOB_UPDATE:
                return s->ops->update(s, j->env, j->a, j->c, j->n, j->flags, j->op);
        case JOB_REMOVE:
                return s->ops->remove(s, j->env, j->a, j->c, j->op);
        default:
                return s->ops->subscriber(s, j->env, j->a, j->b, j->op);
        }
}

static void job_fire(struct bl_timer *t)
{
        struct job *j = BL_CONTAINER(t, struct job, timer);
        struct bl_store_op *op = j->op;
        op->_state = NULL;
        int rc = j->rc < 0 ? j->rc : ask(j);
        job_free(j);
        if (rc != BL_EPENDING)
                op->done(op, rc);
}

static void contact_copy(struct bl_arena *a, struct bl_contact *to, const struct bl_contact *from)
{
        *to = *from;
        to->uri = bl_arena_str(a, from->uri);
        to->instance = bl_arena_str(a, from->instance);
        to->path = bl_arena_str(a, from->path);
        to->params = bl_arena_str(a, from->params);
        to->call_id = bl_arena_str(a, from->call_id);
}

/* What a process asked that has died since is forgotten; its memory and its op are gone already. */
static void sweep(struct moody *m)
{
        BL_LIST_EACH_SAFE(l, &m->jobs)
        {
                struct job *j = BL_CONTAINER(l, struct job, link);
                if (j->epoch != j->node->epoch)
                        job_free(j);
        }
}

/* Asks now or later. */
static int submit(struct job want)
{
        struct moody *m = want.store;
        struct sim *s = m->sim;
        m->calls++;
        sweep(m);
        want.rc = rng_ppm(s, m->conf.fail_ppm) ? -EIO : 0;
        if (m->conf.delay_max_us == 0 || rng_ppm(s, m->conf.at_once_ppm))
                return want.rc < 0 ? want.rc : ask(&want);
        struct job *j = NEW(struct job);
        *j = want;
        j->mem = bl_arena_new((size_t)1 << 20);
        if (!j->mem)
                abort();
        j->a = bl_arena_str(j->mem, want.a);
        j->b = bl_arena_str(j->mem, want.b);
        j->c = want.n ? bl_arena_alloc(j->mem, want.n * sizeof(*j->c)) : NULL;
        for (unsigned i = 0; i < want.n; i++)
                contact_copy(j->mem, &j->c[i], &want.c[i]);
        j->node = sim_node_of(want.env);
        j->epoch = j->node->epoch;
        j->timer.fire = job_fire;
        j->op->_state = j;
        bl_list_push_back(&m->jobs, &j->link);
        env_arm_in(j->env, &j->timer,
                   m->conf.delay_min_us +
                           rng_below(&s->rng, (uint64_t)m->conf.delay_max_us - m->conf.delay_min_us + 1));
        return BL_EPENDING;
}

static int moody_lookup(struct bl_store *s, struct env *e, struct bl_str aor, struct bl_store_op *op)
{
        return submit((struct job){.store = moody_of(s), .env = e, .kind = JOB_LOOKUP, .op = op, .a = aor});
}

static int moody_update(struct bl_store *s, struct env *e, struct bl_str aor, const struct bl_contact *c, unsigned n,
                        unsigned flags, struct bl_store_op *op)
{
        return submit((struct job){.store = moody_of(s),
                                   .env = e,
                                   .kind = JOB_UPDATE,
                                   .op = op,
                                   .a = aor,
                                   .c = (struct bl_contact *)(uintptr_t)c, /* copied before it is kept */
                                   .n = n,
                                   .flags = flags});
}

static int moody_remove(struct bl_store *s, struct env *e, struct bl_str aor, const struct bl_contact *c,
                        struct bl_store_op *op)
{
        return submit((struct job){.store = moody_of(s),
                                   .env = e,
                                   .kind = JOB_REMOVE,
                                   .op = op,
                                   .a = aor,
                                   .c = (struct bl_contact *)(uintptr_t)c,
                                   .n = 1});
}

static int moody_subscriber(struct bl_store *s, struct env *e, struct bl_str user, struct bl_str domain,
                            struct bl_store_op *op)
{
        return submit(
                (struct job){.store = moody_of(s), .env = e, .kind = JOB_SUBSCRIBER, .op = op, .a = user, .b = domain});
}

static void moody_cancel(struct bl_store *s, struct bl_store_op *op)
{
        struct moody *m = moody_of(s);
        BL_LIST_EACH(l, &m->jobs)
        {
                struct job *j = BL_CONTAINER(l, struct job, link);
                if (j->op != op)
                        continue;
                op->_state = NULL;
                if (j->epoch == j->node->epoch)
                        env_disarm(j->env, &j->timer);
                job_free(j);
                return;
        }
        if (m->behind->ops->cancel)
                m->behind->ops->cancel(m->behind, op);
}

static void moody_expire(struct bl_store *s, int64_t wall)
{
        struct moody *m = moody_of(s);
        m->behind->ops->expire(m->behind, wall);
}

static void moody_free(struct bl_store *s)
{
        struct moody *m = moody_of(s);
        BL_LIST_EACH_SAFE(l, &m->jobs)
        {
                job_free(BL_CONTAINER(l, struct job, link));
        }
        if (m->own)
                m->behind->ops->free(m->behind);
        free(m);
}

struct bl_store *sim_store_new(struct sim *s, struct bl_store *behind, bool own, const struct sim_store_conf *conf)
{
        static const struct bl_store_ops ops = {.lookup = moody_lookup,
                                                .update = moody_update,
                                                .remove = moody_remove,
                                                .subscriber = moody_subscriber,
                                                .cancel = moody_cancel,
                                                .expire = moody_expire,
                                                .free = moody_free};
        struct moody *m = NEW(struct moody);
        *m = (struct moody){.store.ops = &ops, .sim = s, .behind = behind, .own = own, .conf = *conf};
        bl_list_init(&m->jobs);
        return &m->store;
}

void sim_store_set(struct bl_store *store, const struct sim_store_conf *conf)
{
        moody_of(store)->conf = *conf;
}

unsigned sim_store_calls(const struct bl_store *store)
{
        return BL_CONTAINER(store, const struct moody, store)->calls;
}
