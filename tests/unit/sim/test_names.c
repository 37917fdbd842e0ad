/* DNS: RRsets with their TTL, no name, no record of that type, failure, cancelling. */
#include "unit/sim/peer.h"

struct ask {
        struct bl_query q;
        unsigned calls, n;
        int rc;
        uint32_t ttl;
        struct bl_rr rr[4];
};

static void done(struct bl_query *q, int rc, const struct bl_rr *rr, unsigned n, uint32_t neg_ttl)
{
        struct ask *a = BL_CONTAINER(q, struct ask, q);
        a->calls++;
        a->rc = rc;
        a->n = n;
        a->ttl = n ? rr[0].ttl : neg_ttl;
        for (unsigned i = 0; i < n && i < 4; i++)
                a->rr[i] = rr[i];
}

static void ask(struct peer *p, struct ask *a, const char *name, uint16_t type)
{
        struct env *e = sim_env(p->node, 0);
        *a = (struct ask){.q = {.name = bl_str_z(name), .type = type, .done = done}};
        sim_enter(e);
        e->ops->query(e, &a->q);
        assert_int_equal(a->calls, 0);
        assert_non_null(a->q._world);
        sim_leave(e);
        sim_run_for(sim_of(p->node), BL_SEC(1));
}

static void answers(void **state)
{
        (void)state;
        struct sim *s = sim_new(1);
        struct peer *p = peer_new(s, "a", 1, false);
        struct bl_addr a1 = sim_addr(p->node, 0), v6;
        assert_int_equal(bl_addr_parse(BL_STR("2001:db8::1"), &v6), 0);
        sim_dns_a(s, "edge.example.com", &a1, 60);
        sim_dns_a(s, "edge.example.com", &v6, 60);
        sim_dns_srv(s, "_sip._udp.example.com", 10, 5, "edge.example.com", 5070, 300);
        struct ask q;
        ask(p, &q, "EDGE.example.com.", BL_RR_A);
        assert_int_equal(q.calls, 1);
        assert_int_equal(q.rc, 0);
        assert_int_equal(q.n, 1);
        assert_int_equal(q.ttl, 60);
        assert_true(bl_addr_eq(&q.rr[0].addr, &a1));
        assert_null(q.q._world);
        ask(p, &q, "edge.example.com", BL_RR_AAAA);
        assert_true(q.n == 1 && bl_addr_eq(&q.rr[0].addr, &v6));
        ask(p, &q, "_sip._udp.example.com", BL_RR_SRV);
        assert_true(q.n == 1 && q.rr[0].port == 5070 && q.rr[0].prio == 10 && q.rr[0].weight == 5);
        assert_true(bl_str_eq(q.rr[0].name, BL_STR("edge.example.com")));
        ask(p, &q, "edge.example.com", BL_RR_SRV); /* the name, but no such record */
        assert_true(q.rc == 0 && q.n == 0 && q.ttl > 0);
        ask(p, &q, "other.example.com", BL_RR_A);
        assert_int_equal(q.rc, BL_ENOENT);
        sim_dns_clear(s, "edge.example.com");
        ask(p, &q, "edge.example.com", BL_RR_A);
        assert_int_equal(q.rc, BL_ENOENT);
        assert_int_equal(sim_dns_queries(s), 6);
        sim_free(s);
        test_free(p);
}

static void failure_and_cancel(void **state)
{
        (void)state;
        struct sim *s = sim_new(1);
        struct peer *p = peer_new(s, "a", 1, false);
        struct ask q;
        sim_dns_fail(s, BL_ETIMEOUT);
        ask(p, &q, "edge.example.com", BL_RR_A);
        assert_int_equal(q.calls, 0); /* patience */
        sim_run_for(s, BL_SEC(5));
        assert_int_equal(q.calls, 1);
        assert_int_equal(q.rc, BL_ETIMEOUT);
        ask(p, &q, "edge.example.com", BL_RR_A);
        struct env *e = sim_env(p->node, 0);
        e->ops->cancel(e, &q.q);
        sim_run_for(s, BL_SEC(10));
        assert_int_equal(q.calls, 0);
        ask(p, &q, "edge.example.com", BL_RR_A);
        sim_kill(p->node, SIM_KILL_RESET); /* who asked is no more */
        sim_run_for(s, BL_SEC(10));
        assert_int_equal(q.calls, 0);
        sim_free(s);
        test_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers),
                cmocka_unit_test(failure_and_cancel),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
