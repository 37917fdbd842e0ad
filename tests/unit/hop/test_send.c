/* Journeys of requests: protocol.md section 5, "In flight" and "One transaction, not two". */
#include "unit/unit.h"

#include "unit/hop/kit.h"

static void opens_and_is_answered(void **state)
{
        struct kit *k = kit_new();
        (void)state;
        kit_go(k, BL_M_INVITE, "sip:home.example;lr", 0);
        bl_flow_id f = kit_up(k, "10.0.2.1:5060");
        assert_int_equal(k->try_flow, f);
        assert_int_equal(kit_sent(k, f, "INVITE"), 1);
        kit_resp(k, f, 180);
        kit_resp(k, f, 200);
        assert_int_equal(k->n_seen, 2);
        assert_int_equal(k->from, f);
        assert_true(kit_bound(k, "sip:home.example;lr", f));
        kit_free(k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(opens_and_is_answered),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
