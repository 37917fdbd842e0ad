/* The clock, the seed, timers, posts: the virtual world is a function of its seed. */
#include "unit/sim/peer.h"

struct fired {
        struct bl_timer t;
        bl_us at;
        struct env *e;
};

static void fire(struct bl_timer *t)
{
        struct fired *f = BL_CONTAINER(t, struct fired, t);
        f->at = f->e->now;
}

static void timers_fire_at_their_virtual_time(void **state)
{
        (void)state;
        struct sim *s = sim_new(1);
        struct peer *p = peer_new(s, "a", 1, false);
        struct fired f[3] = {{.at = 0}};
        const bl_us in[3] = {BL_MS(5), BL_SEC(3600), BL_MS(1)};
        bl_us start = sim_now(s);
        sim_enter(sim_env(p->node, 0));
        for (int i = 0; i < 3; i++) {
                f[i].t.fire = fire;
                f[i].e = sim_env(p->node, 0);
                env_arm_in(f[i].e, &f[i].t, in[i]);
        }
        sim_leave(sim_env(p->node, 0));
        sim_run_for(s, BL_SEC(3601));
        for (int i = 0; i < 3; i++) {
                assert_true(f[i].at >= start + in[i]);
                assert_true(f[i].at <= start + in[i] + BL_MS(2));
        }
        assert_int_equal(sim_now(s), start + BL_SEC(3601));
        sim_free(s);
        test_free(p);
}

static bool never(void *arg)
{
        (void)arg;
        return false;
}

static void run_until_ends_at_the_deadline_or_when_true(void **state)
{
        (void)state;
        struct sim *s = sim_new(1);
        bl_us start = sim_now(s);
        assert_false(sim_run_until(s, never, NULL, BL_SEC(2)));
        assert_int_equal(sim_now(s), start + BL_SEC(2));
        sim_free(s);
}

struct note {
        struct bl_post p;
        unsigned number;
};
static struct {
        unsigned seen[64], n;
        struct env *dst;
} posted;

static void note_run(struct bl_post *p, struct env *dst)
{
        struct note *n = BL_CONTAINER(p, struct note, p);
        posted.seen[posted.n++] = n->number;
        posted.dst = dst;
}

static void posts_reach_the_other_worker_in_order(void **state)
{
        (void)state;
        struct sim *s = sim_new(7);
        struct peer *p = peer_new(s, "a", 2, false);
        struct note n[20];
        memset(&posted, 0, sizeof(posted));
        struct env *e = sim_env(p->node, 0);
        sim_enter(e);
        for (unsigned i = 0; i < 20; i++) {
                n[i] = (struct note){.p.run = note_run, .number = i};
                e->ops->post(e, 1, &n[i].p);
        }
        assert_int_equal(posted.n, 0); /* never inside the call */
        sim_leave(e);
        sim_run_for(s, BL_SEC(1));
        assert_int_equal(posted.n, 20);
        assert_ptr_equal(posted.dst, sim_env(p->node, 1));
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(posted.seen[i], i);
        sim_free(s);
        test_free(p);
}

/* A busy little world with every kind of accident; returns its hash. */
static uint64_t run_world(uint64_t seed)
{
        struct sim *s = sim_new(seed);
        sim_set_net(s, &sim_net_rough);
        struct peer *srv = peer_new(s, "srv", 2, true), *c[3];
        srv->echo = true;
        for (unsigned i = 0; i < 3; i++) {
                char name[8] = {'c', (char)('0' + i)};
                c[i] = peer_new(s, name, 2, false);
                bl_flow_id u = peer_open(c[i], BL_UDP, srv), t = peer_open(c[i], BL_TCP, srv);
                sim_run_for(s, BL_SEC(1));
                for (int k = 0; k < 20; k++) {
                        peer_say(c[i], u, "OPTIONS over udp");
                        peer_say(c[i], t, "OPTIONS over tcp, somewhat longer than the other");
                        sim_run_for(s, BL_MS(7));
                }
        }
        sim_restart(srv->node);
        sim_partition(srv->node, c[0]->node, SIM_BOTH_WAYS);
        for (unsigned i = 0; i < 3; i++)
                peer_open(c[i], BL_TCP, srv);
        sim_run_for(s, BL_SEC(30));
        uint64_t h = sim_trace_hash(s);
        sim_free(s);
        test_free(srv);
        for (unsigned i = 0; i < 3; i++)
                test_free(c[i]);
        return h;
}

static void the_same_seed_gives_the_same_run(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed <= 8; seed++) {
                assert_true(run_world(seed) == run_world(seed));
                assert_true(run_world(seed) != run_world(seed + 1));
        }
}

static void random_octets_come_from_the_seed(void **state)
{
        (void)state;
        unsigned char a[37], b[37], c[37];
        unsigned char *const out[3] = {a, b, c};
        const uint64_t seeds[3] = {5, 5, 6};
        for (int i = 0; i < 3; i++) {
                struct sim *s = sim_new(seeds[i]);
                struct peer *p = peer_new(s, "a", 1, false);
                struct env *e = sim_env(p->node, 0);
                e->ops->random(e, out[i], sizeof(a));
                sim_free(s);
                test_free(p);
        }
        assert_memory_equal(a, b, sizeof(a));
        assert_memory_not_equal(a, c, sizeof(a));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(timers_fire_at_their_virtual_time),
                cmocka_unit_test(run_until_ends_at_the_deadline_or_when_true),
                cmocka_unit_test(posts_reach_the_other_worker_in_order),
                cmocka_unit_test(the_same_seed_gives_the_same_run),
                cmocka_unit_test(random_octets_come_from_the_seed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
