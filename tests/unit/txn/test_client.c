#include "unit/txn/kit.h"

#define BRANCH "z9hG4bKabc"

static void invite_over_udp_is_repeated_until_timer_b(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        size_t idle = kit_used(k, 0);
        bl_us start = fake_now(k->f);
        struct bl_client *ct;
        struct bl_buf *b = kit_out(k, 0, "INVITE", "UDP", BRANCH);
        k->free_on_timeout = true;
        assert_int_equal(
                bl_client_new(k->w[0].t, BL_M_INVITE, BL_STR("INVITE"), BL_STR(BRANCH), 0, &kit_client, k, &ct), 0);
        assert_int_equal(bl_client_try(ct, f, b), 0);
        bl_buf_unref(kit_pool(k, 0), b);
        fake_pass(k->f, 31999);
        assert_int_equal(k->timeouts, 0);
        fake_pass(k->f, 1);
        assert_int_equal(k->timeouts, 1);
        static const unsigned want[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
        for (unsigned i = 0; i < 7; i++) {
                const struct fake_sent *s = fake_take(k->f, f);
                assert_non_null(s);
                assert_int_equal((s->at - start) / 1000, want[i]);
        }
        assert_nothing_sent(k, f);
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        assert_int_equal(kit_used(k, 0), idle);
        kit_free(k);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(invite_over_udp_is_repeated_until_timer_b),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
