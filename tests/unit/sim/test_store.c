/* The store with moods: later, out of order, failing, cancelled, and what becomes of it when the asker dies. */
#include "unit/sim/peer.h"

#include <errno.h>

#include "sim/store.h"

struct fake { /* the store behind: answers at once and remembers */
        struct bl_store store;
        unsigned lookups, updates, removes, subscribers, frees;
        char last[64], contact[64];
};

static int fake_lookup(struct bl_store *s, struct env *e, struct bl_str aor, struct bl_store_op *op)
{
        struct fake *f = (struct fake *)(void *)s;
        (void)e;
        f->lookups++;
        snprintf(f->last, sizeof(f->last), "%.*s", BL_STR_ARG(aor));
        op->location.n = f->lookups;
        return 0;
}

static int fake_update(struct bl_store *s, struct env *e, struct bl_str aor, const struct bl_contact *c, unsigned n,
                       unsigned flags, struct bl_store_op *op)
{
        struct fake *f = (struct fake *)(void *)s;
        (void)e, (void)op, (void)flags;
        f->updates++;
        snprintf(f->last, sizeof(f->last), "%.*s", BL_STR_ARG(aor));
        snprintf(f->contact, sizeof(f->contact), "%.*s", BL_STR_ARG(c[n - 1].uri));
        return BL_EPROTO;
}

static int fake_subscriber(struct bl_store *s, struct env *e, struct bl_str user, struct bl_str domain,
                           struct bl_store_op *op)
{
        struct fake *f = (struct fake *)(void *)s;
        (void)e, (void)op;
        f->subscribers++;
        snprintf(f->last, sizeof(f->last), "%.*s@%.*s", BL_STR_ARG(user), BL_STR_ARG(domain));
        return BL_ENOENT;
}

static int fake_remove(struct bl_store *s, struct env *e, struct bl_str aor, const struct bl_contact *c,
                       struct bl_store_op *op)
{
        (void)e, (void)op, (void)aor, (void)c;
        ((struct fake *)(void *)s)->removes++;
        return 0;
}

static void fake_free(struct bl_store *s)
{
        ((struct fake *)(void *)s)->frees++;
}

static const struct bl_store_ops fake_ops = {.lookup = fake_lookup,
                                             .update = fake_update,
                                             .remove = fake_remove,
                                             .subscriber = fake_subscriber,
                                             .free = fake_free};

struct ask {
        struct bl_store_op op;
        int rc;
        unsigned calls, order;
};
static unsigned order;

static void done(struct bl_store_op *op, int rc)
{
        struct ask *a = BL_CONTAINER(op, struct ask, op);
        a->rc = rc;
        a->calls++;
        a->order = ++order;
}

static const struct sim_store_conf slow = {.delay_min_us = 1000, .delay_max_us = 50000};

static void answers_come_later_once_and_out_of_order(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *p = peer_new(s, "home", 1, false);
        struct fake f = {.store.ops = &fake_ops};
        struct bl_store *st = sim_store_new(s, &f.store, true, &slow);
        struct ask a[20] = {{.rc = 1}};
        order = 0;
        sim_enter(sim_env(p->node, 0));
        for (int i = 0; i < 20; i++) {
                a[i].op.done = done;
                char aor[32];
                snprintf(aor, sizeof(aor), "sip:user%d@example.com", i);
                assert_int_equal(st->ops->lookup(st, sim_env(p->node, 0), bl_str_z(aor), &a[i].op), BL_EPENDING);
                memset(aor, 'x', sizeof(aor)); /* it was copied */
        }
        sim_leave(sim_env(p->node, 0));
        assert_int_equal(f.lookups, 0);
        sim_run_for(s, BL_SEC(1));
        unsigned overtaken = 0;
        for (int i = 0; i < 20; i++) {
                assert_int_equal(a[i].calls, 1);
                assert_int_equal(a[i].rc, 0);
                overtaken += a[i].order != (unsigned)i + 1;
        }
        assert_true(overtaken > 5);
        assert_memory_equal(f.last, "sip:user", 8);
        assert_int_equal(sim_store_calls(st), 20);
        sim_free(s);
        st->ops->free(st);
        assert_int_equal(f.frees, 1);
        test_free(p);
}

static void results_and_errors_of_the_store_behind_come_through(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *p = peer_new(s, "home", 1, false);
        struct fake f = {.store.ops = &fake_ops};
        struct bl_store *st = sim_store_new(s, &f.store, false, &slow);
        struct env *e = sim_env(p->node, 0);
        struct bl_contact c = {.uri = BL_STR("sip:joe@192.0.2.1")};
        struct ask u = {.op.done = done}, w = {.op.done = done}, r = {.op.done = done}, now = {.op.done = done};
        sim_enter(e);
        assert_int_equal(st->ops->update(st, e, BL_STR("sip:joe@example.com"), &c, 1, 0, &u.op), BL_EPENDING);
        sim_leave(e);
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(u.rc, BL_EPROTO);
        assert_string_equal(f.contact, "sip:joe@192.0.2.1");
        sim_enter(e);
        assert_int_equal(st->ops->subscriber(st, e, BL_STR("joe"), BL_STR("example.com"), &w.op), BL_EPENDING);
        assert_int_equal(st->ops->remove(st, e, BL_STR("sip:joe@example.com"), &c, &r.op), BL_EPENDING);
        sim_leave(e);
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(w.rc, BL_ENOENT);
        assert_string_equal(f.last, "joe@example.com");
        assert_int_equal(r.calls, 1);
        sim_store_set(st, &(struct sim_store_conf){.at_once_ppm = 1000000});
        assert_int_equal(st->ops->lookup(st, e, BL_STR("x"), &now.op), 0);
        assert_int_equal(now.op.location.n, 1);
        assert_int_equal(now.calls, 0);
        sim_free(s);
        st->ops->free(st);
        assert_int_equal(f.frees, 0);
        test_free(p);
}

static void a_failure_changes_nothing(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *p = peer_new(s, "home", 1, false);
        struct fake f = {.store.ops = &fake_ops};
        struct sim_store_conf bad = slow;
        bad.fail_ppm = 1000000;
        struct bl_store *st = sim_store_new(s, &f.store, false, &bad);
        struct ask a = {.op.done = done};
        sim_enter(sim_env(p->node, 0));
        assert_int_equal(st->ops->lookup(st, sim_env(p->node, 0), BL_STR("x"), &a.op), BL_EPENDING);
        sim_leave(sim_env(p->node, 0));
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(a.rc, -EIO);
        assert_int_equal(f.lookups, 0);
        sim_free(s);
        st->ops->free(st);
        test_free(p);
}

static void nobody_is_called_after_cancel_or_death(void **state)
{
        (void)state;
        struct sim *s = sim_new(3);
        struct peer *p = peer_new(s, "home", 1, false);
        struct fake f = {.store.ops = &fake_ops};
        struct bl_store *st = sim_store_new(s, &f.store, false, &slow);
        struct ask a = {.op.done = done}, b = {.op.done = done}, c = {.op.done = done};
        struct env *e = sim_env(p->node, 0);
        sim_enter(e);
        assert_int_equal(st->ops->lookup(st, e, BL_STR("x"), &a.op), BL_EPENDING);
        assert_int_equal(st->ops->lookup(st, e, BL_STR("y"), &b.op), BL_EPENDING);
        st->ops->cancel(st, &a.op);
        sim_leave(e);
        sim_kill(p->node, SIM_KILL_RESET);
        sim_restart(p->node);
        sim_enter(e);
        assert_int_equal(st->ops->lookup(st, e, BL_STR("z"), &c.op), BL_EPENDING);
        sim_leave(e);
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(a.calls + b.calls, 0);
        assert_int_equal(c.calls, 1);
        assert_int_equal(f.lookups, 1);
        sim_free(s);
        st->ops->free(st);
        test_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_come_later_once_and_out_of_order),
                cmocka_unit_test(results_and_errors_of_the_store_behind_come_through),
                cmocka_unit_test(a_failure_changes_nothing),
                cmocka_unit_test(nobody_is_called_after_cancel_or_death),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
