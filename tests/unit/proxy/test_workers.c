/* Two workers of one node: copies, responses and CANCEL come by whichever has the flow, and nothing is done twice. */
#include "unit/proxy/rig.h"

enum { FLOWS = 8, CALLS = 24 };

static struct rig *two_workers(bl_flow_id flows[FLOWS])
{
        struct rig *r = rig_new_with(2);
        rig_start(r, BL_UDP);
        for (unsigned i = 0; i < FLOWS; i++)
                flows[i] = rig_open(r, ALICE, i % 2 ? BL_TCP : BL_UDP);
        return r;
}

static unsigned on_both_workers(struct rig *r)
{
        return bl_flows_count(r->p->flows) > 0 && bl_flows_count(r->p2->flows) > 0;
}

static void every_call_is_made_once(void **state)
{
        (void)state;
        bl_flow_id flows[FLOWS];
        struct rig *r = two_workers(flows);
        for (unsigned i = 0; i < CALLS; i++) {
                char branch[16];
                snprintf(branch, sizeof(branch), "b%u", i);
                const char *text =
                        REQ(r, .method = "INVITE", .ruri = "sip:bob@bob.test", .branch = branch, .call_id = branch);
                ep_say(r->ep[ALICE], flows[i % FLOWS], bl_str_z(text));
                ep_say(r->ep[ALICE], flows[(i + 3) % FLOWS], bl_str_z(text)); /* a copy by another flow */
                run_ms(r, 100);
                assert_int_equal(r->requests, i + 1);
                assert_int_equal(count_of(r, BOB, "INVITE"), 1);
                const struct got *g = got(r, BOB, "INVITE");
                answer(r, BOB, g, 180, "b", "");
                got(r, ALICE, "SIP/2.0 180 ");
                if (i % 2) { /* CANCEL by a third */
                        text = REQ(r, .method = "CANCEL", .ruri = "sip:bob@bob.test", .branch = branch,
                                   .call_id = branch);
                        ep_say(r->ep[ALICE], flows[(i + 5) % FLOWS], bl_str_z(text));
                        run_ms(r, 100);
                        answer(r, BOB, got(r, BOB, "CANCEL"), 200, "b", "");
                        answer(r, BOB, g, 487, "b", "");
                        got(r, ALICE, "SIP/2.0 487 ");
                        text = REQ(r, .method = "ACK", .ruri = "sip:bob@bob.test", .branch = branch, .call_id = branch,
                                   .to = "<sip:bob@bob.test>;tag=b");
                        ep_say(r->ep[ALICE], flows[i % FLOWS], bl_str_z(text));
                        run_ms(r, 100);
                        assert_int_equal(r->requests, i + 1);
                } else {
                        answer(r, BOB, g, 200, "b", "");
                        got(r, ALICE, "SIP/2.0 200 ");
                }
                for (unsigned w = 0; w < EPS; w++)
                        ep_forget(r->ep[w]);
        }
        assert_true(on_both_workers(r));
        rig_end(r);
}

/* A refusal without transaction by one worker, its ACK by the other: it must not be taken for the ACK of a 2xx. */
static void refuse(struct rig *r, struct bl_px *px)
{
        (void)r;
        bl_px_refuse(px, 407, "test", (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0});
}

static void the_ack_of_a_refusal_by_the_other_worker(void **state)
{
        (void)state;
        bl_flow_id flows[FLOWS];
        struct rig *r = two_workers(flows);
        r->decide = refuse;
        ep_say(r->ep[ALICE], flows[0], bl_str_z(REQ(r, .method = "INVITE", .ruri = "sip:bob@bob.test", .branch = "x")));
        run_ms(r, 50);
        char to[256];
        snprintf(to, sizeof(to), "%.*s", BL_STR_ARG(value_of(r, got(r, ALICE, "SIP/2.0 407 "), "To")));
        for (unsigned i = 0; i < FLOWS; i++) {
                ep_say(r->ep[ALICE], flows[i],
                       bl_str_z(REQ(r, .method = "ACK", .ruri = "sip:bob@bob.test", .branch = "x", .to = to)));
                run_ms(r, 50);
        }
        assert_true(on_both_workers(r));
        assert_int_equal(r->requests, 1);
        got_none(r, BOB, "ACK");
        rig_end(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_call_is_made_once),
                cmocka_unit_test(the_ack_of_a_refusal_by_the_other_worker),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
