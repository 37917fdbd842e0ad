#include "unit/txn/kit.h"

#define BRANCH "z9hG4bKabc"

/* When something was sent on the flow, in ms after `since`, until nothing is left. */
static unsigned times(struct kit *k, bl_flow_id flow, bl_us since, unsigned *ret_ms, unsigned max)
{
        unsigned n = 0;
        const struct fake_sent *s;
        while ((s = fake_take(k->f, flow)) && n < max)
                ret_ms[n++] = (unsigned)((s->at - since) / 1000);
        return n;
}

static void assert_times(struct kit *k, bl_flow_id flow, bl_us since, const unsigned *want, unsigned n)
{
        unsigned got[64];
        unsigned g = times(k, flow, since, got, 64);
        for (unsigned i = 0; i < g && i < n; i++)
                assert_int_equal(got[i], want[i]);
        assert_int_equal(g, n);
}
#define TIMES(k, flow, since, ...)                                                                                     \
        assert_times((k), (flow), (since), (const unsigned[]){__VA_ARGS__},                                            \
                     sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

static void invite_final_is_repeated_until_timer_h(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        size_t idle = kit_used(k, 0);
        k->answer = 486;
        bl_us start = fake_now(k->f);
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        fake_pass(k->f, 31999);
        assert_int_equal(bl_txns_count(k->w[0].t), 1);
        assert_int_equal(k->ended, 0);
        fake_pass(k->f, 1);
        TIMES(k, f, start, 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500); /* G: T1 … T2 */
        assert_int_equal(k->ended, 1);                                                          /* H: 64*T1 */
        assert_int_equal(bl_txns_count(k->w[0].t), 0);
        assert_int_equal(bl_txns_used(k->w[0].t), 0);
        assert_int_equal(kit_used(k, 0), idle);
        kit_free(k);
}

static void ack_confirms_and_timer_i_ends(void **state)
{
        (void)state;
        struct kit *k = kit_new(1);
        bl_flow_id f = fake_accept(k->f, 0, BL_UDP, "10.0.0.1:5060");
        k->answer = 486;
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_sent(k, f, "SIP/2.0 486 Busy Here\r\n");
        fake_text(k->f, f, kit_req("ACK", BRANCH));
        assert_int_equal(k->server_acks, 1);
        assert_int_equal(k->w[0].acks, 0);
        fake_text(k->f, f, kit_req("ACK", BRANCH)); /* absorbed */
        fake_text(k->f, f, kit_req("INVITE", BRANCH));
        assert_int_equal(k->server_acks, 1);
        assert_int_equal(k->w[0].requests, 1);
        fake_pass(k->f, 4999);
        assert_int_equal(k->ended, 0);
        fake_pass(k->f, 1); /* I: T4 */
        assert_int_equal(k->ended, 1);
        assert_nothing_sent(k, f);
        kit_free(k);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(invite_final_is_repeated_until_timer_h),
        cmocka_unit_test(ack_confirms_and_timer_i_ends),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
