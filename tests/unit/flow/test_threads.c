/*
 * Workers in threads of their own, as in the real world: octets, watches and messages cross, flows come and go. For the
 * tsan preset: nobody touches another worker's memory but by a post. And at the end every octet has gone home.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow/flow.h"
#include "unit/rng.h"
#include "unit/unit.h"

enum { WORKERS = 3, FLOWS = 6, ROUNDS = 3000, QUEUE = 1 << 16, WATCHES = 8 };

struct worker {
        pthread_t thread;
        struct env env;
        struct bl_flows *fs;
        struct bl_wheel *wheel;
        struct rng r;
        /* own flows; the handles are read by all, under the lock */
        struct {
                bl_flow_id id;
                void *user;
                bool closing;
        } flows[FLOWS];
        uint32_t generation;
        uint64_t sent, strays, downs, passed, asked;
        struct bl_watch watch[WATCHES];
        /* under the lock */
        struct bl_post *posts[QUEUE];
        unsigned first, n;
};
static struct worker *w;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;

static struct worker *of(struct env *e)
{
        return BL_CONTAINER(e, struct worker, env);
}

/* ---- env_ops ---- */

static int op_open(struct env *e, const struct bl_target *to, void *user, bl_flow_id *ret)
{
        (void)e, (void)to, (void)user, (void)ret;
        return BL_ELIMIT;
}
static int op_send(struct env *e, bl_flow_id id, struct bl_buf *b)
{
        for (unsigned i = 0; i < FLOWS; i++) {
                if (of(e)->flows[i].id == id && !of(e)->flows[i].closing) {
                        of(e)->sent += b->len;
                        return 0;
                }
        }
        return BL_EGONE;
}
static void op_set_user(struct env *e, bl_flow_id id, void *user)
{
        for (unsigned i = 0; i < FLOWS; i++) {
                if (of(e)->flows[i].id == id)
                        of(e)->flows[i].user = user;
        }
}
static void op_close(struct env *e, bl_flow_id id, bool drain)
{
        (void)drain;
        for (unsigned i = 0; i < FLOWS; i++) {
                if (of(e)->flows[i].id == id)
                        of(e)->flows[i].closing = true;
        }
}
static void op_arm(struct env *e, struct bl_timer *t, bl_us at)
{
        bl_wheel_arm(of(e)->wheel, t, at);
}
static void op_disarm(struct env *e, struct bl_timer *t)
{
        bl_wheel_disarm(of(e)->wheel, t);
}
static void op_post(struct env *from, unsigned worker, struct bl_post *p)
{
        struct worker *to = &w[worker];
        (void)from;
        pthread_mutex_lock(&lock);
        if (to->n == QUEUE)
                abort();
        to->posts[(to->first + to->n++) % QUEUE] = p;
        pthread_mutex_unlock(&lock);
}
static const struct env_ops ops = {.open = op_open,
                                   .send = op_send,
                                   .set_user = op_set_user,
                                   .close = op_close,
                                   .arm = op_arm,
                                   .disarm = op_disarm,
                                   .post = op_post};

/* ---- the user ---- */

static void on_message(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        (void)ctx, (void)f, (void)m;
}
static void on_stray(void *ctx, bl_flow_id from, struct bl_msg *m)
{
        (void)from;
        ((struct worker *)ctx)->strays += m->cseq.number;
}
static const struct bl_flows_user user = {.message = on_message, .stray = on_stray};

static _Thread_local struct worker *self;
static void on_down(struct bl_watch *watch, bl_flow_id id, int why)
{
        (void)watch, (void)id;
        self->downs += why < 0;
}

/* ---- a worker's life ---- */

static void accept_one(struct worker *me, unsigned i)
{
        static const struct bl_peer peer = {.tp = BL_TCP};
        bl_flow_id id = bl_flow_make(me->env.worker, i, ++me->generation);
        pthread_mutex_lock(&lock);
        me->flows[i].id = id;
        pthread_mutex_unlock(&lock);
        me->flows[i].closing = false;
        me->env.ev->up(&me->env, id, &peer, NULL);
}

static void run_downs(struct worker *me, bool renew)
{
        for (unsigned i = 0; i < FLOWS; i++) {
                if (!me->flows[i].closing)
                        continue;
                bl_flow_id id = me->flows[i].id;
                me->flows[i].closing = false;
                pthread_mutex_lock(&lock);
                me->flows[i].id = 0;
                pthread_mutex_unlock(&lock);
                me->env.ev->down(&me->env, id, me->flows[i].user, 0);
                if (renew)
                        accept_one(me, i);
        }
}

static unsigned run_posts(struct worker *me)
{
        unsigned ran = 0;
        for (;; ran++) {
                pthread_mutex_lock(&lock);
                struct bl_post *p = me->n ? me->posts[me->first % QUEUE] : NULL;
                me->first += p != NULL;
                me->n -= p != NULL;
                pthread_mutex_unlock(&lock);
                if (!p)
                        return ran;
                p->run(p, &me->env);
        }
}

static bl_flow_id any_flow(struct worker *me)
{
        struct worker *other = &w[rng_below(&me->r, WORKERS)];
        pthread_mutex_lock(&lock);
        bl_flow_id id = other->flows[rng_below(&me->r, FLOWS)].id;
        pthread_mutex_unlock(&lock);
        return id;
}

#define TEXT                                                                                                           \
        "INFO sip:b@b.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nFrom: "                         \
        "<sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: x\r\nCSeq: 3 INFO\r\nMax-Forwards: "             \
        "70\r\nContent-Length: 0\r\n\r\n"

static void act(struct worker *me)
{
        bl_flow_id id = any_flow(me);
        struct bl_watch *watch = &me->watch[rng_below(&me->r, WATCHES)];
        struct bl_msg *m;
        struct bl_buf *b;
        switch (rng_below(&me->r, 8)) {
        case 0:
                bl_flow_unwatch(watch);
                watch->down = on_down;
                me->asked += bl_flow_watch(me->fs, id, watch) == 0;
                break;
        case 1:
                if (bl_msg_parse(BL_STR(TEXT), true, bl_flows_arena(me->fs), &m, NULL) == 0) {
                        bl_flow_pass(me->fs, (me->env.worker + 1u) % WORKERS, id, m);
                        me->passed++;
                }
                break;
        case 2:
                if (rng_below(&me->r, 10) == 0 && bl_flow_get(me->fs, id))
                        bl_flow_close(bl_flow_get(me->fs, id), false);
                break;
        default:
                b = bl_buf_copy(me->env.pool, BL_STR("0123456789"));
                (void)bl_flow_send(me->fs, id, b);
                bl_buf_unref(me->env.pool, b);
                break;
        }
}

static void *live(void *arg)
{
        struct worker *me = self = arg;
        for (unsigned i = 0; i < FLOWS; i++)
                accept_one(me, i);
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < ROUNDS; i++) {
                act(me);
                run_downs(me, true);
                run_posts(me);
                me->env.ev->turn(&me->env);
        }
        for (unsigned i = 0; i < FLOWS; i++)
                me->flows[i].closing = true;
        for (unsigned i = 0; i < 4; i++) { /* everything comes to rest: downs, then what they post, then what returns */
                pthread_barrier_wait(&barrier);
                run_downs(me, false);
                run_posts(me);
                me->env.ev->turn(&me->env);
        }
        return NULL;
}

static void posts_between_threads(void **state)
{
        (void)state;
        static const struct bl_flows_conf conf;
        struct bl_flows *all[WORKERS];
        uint64_t strays = 0, passed = 0;
        w = calloc(WORKERS, sizeof(*w));
        assert_int_equal(pthread_barrier_init(&barrier, NULL, WORKERS), 0);
        for (unsigned i = 0; i < WORKERS; i++) {
                w[i].r.s = i + 1;
                w[i].wheel = bl_wheel_new(0);
                w[i].env = (struct env){.ops = &ops,
                                        .worker = (uint16_t)i,
                                        .workers = WORKERS,
                                        .now = 1,
                                        .pool = bl_pool_new(0),
                                        .stats = bl_stats_new()};
                w[i].fs = all[i] = bl_flows_new(&w[i].env, &conf, &user, &w[i]);
        }
        bl_flows_join(all, WORKERS);
        for (unsigned i = 0; i < WORKERS; i++)
                assert_int_equal(pthread_create(&w[i].thread, NULL, live, &w[i]), 0);
        for (unsigned i = 0; i < WORKERS; i++)
                pthread_join(w[i].thread, NULL);
        for (unsigned i = 0; i < WORKERS; i++) {
                assert_int_equal(bl_pool_used(w[i].env.pool), 0);
                assert_true(w[i].sent > 1000);
                assert_true(w[i].downs > 0 && w[i].downs <= w[i].asked);
                strays += w[i].strays;
                passed += w[i].passed;
        }
        assert_int_equal(strays, 3 * passed); /* CSeq 3 */
        for (unsigned i = 0; i < WORKERS; i++) {
                bl_flows_free(w[i].fs);
                bl_wheel_free(w[i].wheel);
                bl_pool_free(w[i].env.pool);
                bl_stats_free(w[i].env.stats);
        }
        free(w);
        pthread_barrier_destroy(&barrier);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_between_threads),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
