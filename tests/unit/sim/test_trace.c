/* The trace: what observers see, what they may do, and the ladder for the reader. */
#include "unit/sim/peer.h"

static enum sim_verdict drop_second(struct sim *s, const struct sim_msg *m, enum sim_phase phase, void *arg)
{
        unsigned *n = arg;
        (void)s;
        if (phase != SIM_DELIVER || !m->sip)
                return SIM_PASS;
        return ++*n == 2 ? SIM_DROP : SIM_PASS;
}

static void an_observer_can_drop(void **state)
{
        (void)state;
        for (int tcp = 0; tcp < 2; tcp++) {
                struct sim *s = sim_new(1);
                struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 1, true);
                unsigned n = 0;
                sim_observe(s, drop_second, &n);
                bl_flow_id f = peer_open(a, tcp ? BL_TCP : BL_UDP, b);
                sim_run_for(s, BL_SEC(1));
                peer_say(a, f, "one ");
                peer_say(a, f, "two ");
                peer_say(a, f, "three ");
                sim_run_for(s, BL_SEC(1));
                assert_string_equal(b->text, tcp ? "one three " : "one |three |");
                assert_int_equal(sim_delivered(s), 3);
                const struct sim_msg *m = sim_trace_next(sim_trace_first(s));
                assert_true(m->lost);
                assert_true(m->from == a->node && m->to == b->node);
                sim_free(s);
                test_free(a), test_free(b);
        }
}

static void count_at(struct sim *s, const struct sim_msg *m, void *arg)
{
        (void)s;
        snprintf(arg, 32, "%.*s", BL_STR_ARG(m->octets));
}

static void before_the_nth_message(void **state)
{
        (void)state;
        struct sim *s = sim_new(1);
        struct peer *a = peer_new(s, "a", 1, false), *b = peer_new(s, "b", 1, true);
        char first[32] = "", third[32] = "";
        sim_before(s, SIM_DELIVER, 1, count_at, first);
        sim_before(s, SIM_DELIVER, 3, count_at, third);
        bl_flow_id f = peer_open(a, BL_UDP, b);
        peer_say(a, f, "\r\n\r\n"); /* a keep-alive is not counted */
        peer_say(a, f, "one");
        peer_say(a, f, "two");
        peer_say(a, f, "three");
        peer_say(a, f, "four");
        sim_run_for(s, BL_SEC(1));
        assert_string_equal(first, "one");
        assert_string_equal(third, "three");
        sim_free(s);
        test_free(a), test_free(b);
}

static void the_ladder_tells_the_story(void **state)
{
        (void)state;
        struct sim *s = sim_new(42);
        struct peer *a = peer_new(s, "joe", 1, false), *b = peer_new(s, "e1", 1, true);
        bl_flow_id f = peer_open(a, BL_UDP, b);
        peer_say(a, f, "REGISTER sip:example.com SIP/2.0\r\nCSeq: 1 REGISTER\r\nRoute: <sip:e;lr>\r\n\r\n");
        sim_run_for(s, BL_SEC(1));
        sim_kill(b->node, SIM_KILL_SILENT);
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);
        sim_ladder(s, out, true);
        fclose(out);
        assert_non_null(strstr(text, "seed 42"));
        assert_non_null(strstr(text, "joe      ──► e1       udp REGISTER sip:example.com SIP/2.0 | CSeq: 1 REGISTER | "
                                     "Route: <sip:e;lr>\n"));
        assert_non_null(strstr(text, "** e1 dies, silently"));
        free(text);
        sim_free(s);
        test_free(a), test_free(b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_observer_can_drop),
                cmocka_unit_test(before_the_nth_message),
                cmocka_unit_test(the_ladder_tells_the_story),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
