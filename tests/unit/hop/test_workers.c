/* Two workers over one table: a request goes by a flow of the other worker, which it cannot look at. */
#include "unit/unit.h"

#include "unit/hop/kit.h"

#define P "sip:joe+i+e1+e3+M@edge.example.com;lr"
#define PD P ";d=1"

static void never(struct kit *k)
{
        k->conf.ping_every_ms = UINT32_MAX;
}

static bl_flow_id accept_in(struct kit *k, unsigned worker, const char *addr)
{
        bl_flow_id id = fake_accept(k->f, worker, BL_TCP, addr);
        fake_settle(k->f);
        return id;
}

static void goes_by_the_other_workers_flow_and_binds_to_it(void **state)
{
        struct kit *k = kit_new_workers(2, never, NULL);
        bl_flow_id e1 = accept_in(k, 1, "10.0.1.1:4000");
        (void)state;
        kit_bind(k, P, e1, BL_BIND_PATH);
        kit_go(k, BL_M_BYE, PD, 0);
        assert_int_equal(k->try_flow, e1);
        assert_int_equal(k->try_local.family, 0); /* not ours to know */
        assert_int_equal(kit_sent(k, e1, "BYE"), 1);
        kit_resp(k, e1, 200);
        assert_seen1(k, 200);
        assert_int_equal(k->from, e1);
        assert_true(kit_bound(k, PD, e1)); /* linked, as the table knows */
        kit_free(k);
}

static void its_end_is_heard_of_and_failed_over(void **state)
{
        struct kit *k = kit_new_workers(2, never, NULL);
        bl_flow_id e1 = accept_in(k, 1, "10.0.1.1:4000"), e2 = accept_in(k, 0, "10.0.1.2:4000");
        (void)state;
        kit_bind(k, P, e2, BL_BIND_PATH);
        fake_pass(k->f, 5);
        kit_bind(k, P, e1, BL_BIND_PATH);
        kit_go(k, BL_M_BYE, PD, 0);
        assert_int_equal(k->try_flow, e1);
        kit_down(k, e1, -104);
        assert_int_equal(k->try_flow, e2);
        kit_resp(k, e2, 200);
        assert_seen1(k, 200);
        kit_free(k);
}

static void its_redirect_is_followed_when_it_is_linked(void **state)
{
        struct kit *k = kit_new_workers(2, never, NULL);
        bl_flow_id e2 = accept_in(k, 1, "10.0.1.2:4000"), peer = accept_in(k, 1, "10.0.9.1:4000");
        (void)state;
        kit_bind(k, P, e2, BL_BIND_PATH);
        kit_go(k, BL_M_BYE, PD, 0);
        kit_resp_more(k, e2, 305, "Contact: <" PD ";maddr=10.0.1.1>\r\n");
        bl_flow_id e1 = kit_up(k, "10.0.1.1:5060");
        assert_string_equal(k->route, PD ";maddr=10.0.1.1");
        assert_false(kit_bound(k, P, e2));
        kit_resp(k, e1, 200);
        assert_true(kit_bound(k, P, e1));
        kit_bind(k, P ";d=2", peer, BL_BIND_DIALOG); /* however that came about */
        kit_go(k, BL_M_BYE, P ";d=2", 0);
        assert_int_equal(k->try_flow, peer);
        kit_resp_more(k, peer, 305, "Contact: <" P ";d=2;maddr=10.0.1.1>\r\n");
        assert_int_equal(k->failed, 480);
        kit_free(k);
}

static void the_own_workers_flow_comes_first(void **state)
{
        struct kit *k = kit_new_workers(2, never, NULL);
        bl_flow_id far, near;
        (void)state;
        near = accept_in(k, 0, "10.0.1.1:4000");
        far = accept_in(k, 1, "10.0.1.1:4001");
        kit_go(k, BL_M_BYE, PD, 0);
        assert_int_equal(k->try_flow, near);
        kit_down(k, near, -104);
        assert_int_equal(k->try_flow, far);
        kit_free(k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(goes_by_the_other_workers_flow_and_binds_to_it),
                cmocka_unit_test(its_end_is_heard_of_and_failed_over),
                cmocka_unit_test(its_redirect_is_followed_when_it_is_linked),
                cmocka_unit_test(the_own_workers_flow_comes_first),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
