/* Flows of other workers: sending, watching, passing on, and whose memory is whose. */
#include <stdio.h>
#include <stdlib.h>

#include "flow/flow.h"
#include "unit/fake_env.h"
#include "unit/oom.h"
#include "unit/unit.h"

struct node {
        struct fake *f;
        struct bl_flows *fs[FAKE_WORKERS];
        struct worker {
                unsigned strays;
                char method[32];
                bl_flow_id from;
                bl_flow_id downs;
        } w[FAKE_WORKERS];
        unsigned down;
        int why;
        bl_flow_id id;
        struct bl_watch watch[8];
};

static void on_message(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        (void)ctx, (void)f, (void)m;
        fail();
}
static void on_stray(void *ctx, bl_flow_id from, struct bl_msg *m)
{
        struct worker *w = ctx;
        w->strays++;
        w->from = from;
        snprintf(w->method, sizeof(w->method), "%.*s", BL_STR_ARG(m->method_name));
}
static const struct bl_flows_user user = {.message = on_message, .stray = on_stray};

static struct node *node(unsigned workers)
{
        static const struct bl_flows_conf conf;
        struct node *n = calloc(1, sizeof(*n));
        n->f = fake_new(workers);
        for (unsigned i = 0; i < workers; i++)
                n->fs[i] = bl_flows_new(fake_env(n->f, i), &conf, &user, &n->w[i]);
        return n;
}
static struct node *joined(unsigned workers)
{
        struct node *n = node(workers);
        bl_flows_join(n->fs, workers);
        return n;
}
static void node_free(struct node *n)
{
        for (unsigned i = 0; i < n->f->n; i++)
                bl_flows_free(n->fs[i]);
        fake_free(n->f);
        free(n);
}
static struct bl_pool *pool(struct node *n, unsigned w)
{
        return fake_env(n->f, w)->pool;
}

static struct node *told;
static void on_down(struct bl_watch *w, bl_flow_id id, int why)
{
        assert_false(bl_link_linked(&w->_link));
        told->down++;
        told->id = id;
        told->why = why;
}
static struct bl_watch *watch(struct node *n, unsigned i)
{
        told = n;
        n->watch[i] = (struct bl_watch){.down = on_down};
        return &n->watch[i];
}

static int send_text(struct node *n, unsigned w, bl_flow_id id, const char *text)
{
        struct bl_buf *b = bl_buf_copy(pool(n, w), bl_str_z(text));
        int rc = b ? bl_flow_send(n->fs[w], id, b) : BL_ENOMEM;
        bl_buf_unref(pool(n, w), b);
        return rc;
}

static void octets_cross_in_order_and_memory_goes_home(void **state)
{
        (void)state;
        struct node *n = joined(3);
        bl_flow_id f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
        size_t idle[3] = {bl_pool_used(pool(n, 0)), bl_pool_used(pool(n, 1)), bl_pool_used(pool(n, 2))};
        for (unsigned round = 0; round < 3; round++) {
                assert_int_equal(send_text(n, 0, f, "one"), 0);
                assert_int_equal(send_text(n, 0, f, "two"), 0);
                assert_int_equal(fake_pending(n->f, f), 0); /* not inside the call */
                fake_settle(n->f);
                assert_string_equal(fake_take(n->f, f)->text, "one");
                assert_string_equal(fake_take(n->f, f)->text, "two");
                assert_int_equal(send_text(n, 2, f, "three"), 0);
                fake_settle(n->f);
                assert_string_equal(fake_take(n->f, f)->text, "three");
        }
        for (unsigned w = 0; w < 3; w++)
                assert_int_equal(bl_pool_used(pool(n, w)), idle[w]);
        node_free(n);
}

static void unknown_workers_and_unjoined_ones(void **state)
{
        (void)state;
        struct node *n = node(2);
        bl_flow_id f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
        assert_int_equal(send_text(n, 0, f, "x"), BL_EGONE);
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 0)), BL_EGONE);
        bl_flows_join(n->fs, 2);
        assert_int_equal(send_text(n, 0, f, "x"), 0);
        assert_int_equal(send_text(n, 0, bl_flow_make(2, 0, 1), "x"), BL_EGONE);
        assert_int_equal(bl_flow_watch(n->fs[0], bl_flow_make(9, 0, 1), watch(n, 0)), BL_EGONE);
        fake_settle(n->f);
        node_free(n);
}

static void watchers_hear_of_the_end(void **state)
{
        (void)state;
        struct node *n = joined(3);
        bl_flow_id f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 0)), 0);
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 1)), 0);
        assert_int_equal(bl_flow_watch(n->fs[2], f, watch(n, 2)), 0);
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 3)), 0);
        bl_flow_unwatch(&n->watch[3]);
        fake_settle(n->f);
        fake_down(n->f, f, -104);
        assert_int_equal(n->down, 3);
        assert_int_equal(n->why, -104);
        assert_int_equal(n->id, f);
        for (unsigned w = 0; w < 3; w++)
                assert_int_equal(bl_pool_used(pool(n, w)), 0);
        /* closed by its owner: gone all the same */
        f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 0)), 0);
        fake_settle(n->f);
        bl_flow_close(bl_flow_get(n->fs[1], f), false);
        fake_settle(n->f);
        assert_int_equal(n->down, 4);
        assert_int_equal(n->why, BL_EGONE);
        node_free(n);
}

static void watching_what_is_gone_already(void **state)
{
        (void)state;
        struct node *n = joined(2);
        bl_flow_id f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
        fake_down(n->f, f, BL_EGONE);
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 0)), 0);
        assert_int_equal(n->down, 0);
        fake_settle(n->f);
        assert_int_equal(n->down, 1);
        assert_int_equal(n->why, BL_EGONE);
        assert_int_equal(bl_pool_used(pool(n, 0)), 0);
        node_free(n);
}

static void what_could_not_be_sent_is_told(void **state)
{
        (void)state;
        struct node *n = joined(2);
        bl_flow_id f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 0)), 0);
        fake_flow(n->f, f)->send_rc = BL_EFULL;
        assert_int_equal(send_text(n, 0, f, "x"), 0);
        fake_settle(n->f);
        assert_int_equal(n->down, 1);
        assert_int_equal(n->why, BL_EFULL);
        /* It lives: it can be watched again and is told of its end. */
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 0)), 0);
        fake_flow(n->f, f)->send_rc = 0;
        assert_int_equal(send_text(n, 0, f, "y"), 0);
        fake_settle(n->f);
        assert_int_equal(n->down, 1);
        fake_down(n->f, f, BL_EGONE);
        assert_int_equal(n->down, 2);
        node_free(n);
}

#define TEXT                                                                                                           \
        "INFO sip:b@b.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nFrom: "                         \
        "<sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: x\r\nCSeq: 1 INFO\r\nMax-Forwards: "             \
        "70\r\nContent-Length: 0\r\n\r\n"

static void messages_are_passed_on(void **state)
{
        (void)state;
        struct node *n = joined(2);
        struct bl_msg *m;
        assert_int_equal(bl_msg_parse(BL_STR(TEXT), true, bl_flows_arena(n->fs[0]), &m, NULL), 0);
        bl_flow_pass(n->fs[0], 1, bl_flow_make(0, 7, 9), m);
        bl_flow_pass(n->fs[0], 5, bl_flow_make(0, 7, 9), m); /* nobody */
        bl_arena_reset(bl_flows_arena(n->fs[0]));
        assert_int_equal(n->w[1].strays, 0);
        fake_settle(n->f);
        assert_int_equal(n->w[1].strays, 1);
        assert_int_equal(n->w[1].from, bl_flow_make(0, 7, 9));
        assert_string_equal(n->w[1].method, "INFO");
        assert_int_equal(bl_pool_used(pool(n, 0)), 0);
        assert_int_equal(bl_pool_used(pool(n, 1)), 0);
        node_free(n);
}

static void every_allocation_may_fail(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                oom_stop();
                struct node *n = joined(2);
                bl_flow_id f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
                struct bl_msg *m;
                oom_fail_at(run.n);
                int sent = send_text(n, 0, f, "x"), watched = bl_flow_watch(n->fs[0], f, watch(n, 0));
                assert_true(sent == 0 || sent == BL_ENOMEM);
                assert_true(watched == 0 || watched == BL_ENOMEM);
                if (bl_msg_parse(BL_STR(TEXT), true, bl_flows_arena(n->fs[0]), &m, NULL) == 0)
                        bl_flow_pass(n->fs[0], 1, f, m);
                fake_settle(n->f);
                fake_down(n->f, f, BL_EGONE);
                bool struck = oom_struck();
                oom_stop();
                assert_int_equal(n->down, watched == 0); /* once, and never unasked */
                if (!struck) {
                        assert_int_equal(n->down, 1);
                        assert_int_equal(n->w[1].strays, 1);
                        assert_string_equal(fake_take(n->f, f)->text, "x");
                }
                assert_int_equal(bl_pool_used(pool(n, 0)), 0);
                assert_int_equal(bl_pool_used(pool(n, 1)), 0);
                node_free(n);
        }
}

static void accepting_without_memory_closes(void **state)
{
        (void)state;
        struct node *n = joined(1);
        oom_fail_at(0);
        bl_flow_id f = fake_accept(n->f, 0, BL_TCP, "10.0.0.1:1000");
        oom_stop();
        assert_null(fake_flow(n->f, f));
        assert_int_equal(bl_flows_count(n->fs[0]), 0);
        node_free(n);
}

static void half_a_message_without_memory_closes(void **state)
{
        (void)state;
        struct node *n = joined(1);
        bl_flow_id f = fake_accept(n->f, 0, BL_TCP, "10.0.0.1:1000");
        struct fake_flow *fl = fake_flow(n->f, f);
        struct bl_pool *real = pool(n, 0);
        fake_env(n->f, 0)->pool = bl_pool_new(1);
        fake_env(n->f, 0)->ev->data(fake_env(n->f, 0), f, fl->user, BL_STR("MESSAGE"), false);
        assert_null(bl_flow_get(n->fs[0], f));
        bl_pool_free(pool(n, 0));
        fake_env(n->f, 0)->pool = real;
        fake_settle(n->f);
        assert_int_equal(bl_flows_count(n->fs[0]), 0);
        node_free(n);
}

static void one_worker_ends_before_the_other(void **state)
{
        (void)state;
        struct node *n = joined(2);
        bl_flow_id f = fake_accept(n->f, 1, BL_TCP, "10.0.0.1:1000");
        assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, 0)), 0);
        fake_settle(n->f);
        assert_int_equal(send_text(n, 0, f, "x"), 0); /* on its way when its destination ends */
        bl_flows_free(n->fs[1]);
        n->fs[1] = NULL;
        fake_settle(n->f);
        assert_int_equal(n->down, 1); /* the flow's end was told on the way out */
        assert_int_equal(send_text(n, 0, f, "x"), 0);
        fake_settle(n->f);
        node_free(n);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(octets_cross_in_order_and_memory_goes_home),
        cmocka_unit_test(unknown_workers_and_unjoined_ones),
        cmocka_unit_test(watchers_hear_of_the_end),
        cmocka_unit_test(watching_what_is_gone_already),
        cmocka_unit_test(what_could_not_be_sent_is_told),
        cmocka_unit_test(messages_are_passed_on),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(accepting_without_memory_closes),
        cmocka_unit_test(half_a_message_without_memory_closes),
        cmocka_unit_test(one_worker_ends_before_the_other),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
