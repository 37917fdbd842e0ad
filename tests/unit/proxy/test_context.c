/* A request's context: what a role may ask of it, its memory, and that nothing is left. */
#include "unit/proxy/rig.h"

static const struct bl_str NONE = {NULL, 0};

static void hold_stateful(struct rig *r, struct bl_px *px)
{
        assert_int_equal(bl_px_hold(px, true), 0);
        r->held = px;
}
static void hold_stateless(struct rig *r, struct bl_px *px)
{
        assert_int_equal(bl_px_hold(px, false), 0);
        r->held = px;
}

static void decided_later(void **state)
{
        (void)state;
        void (*const ways[])(struct rig *, struct bl_px *) = {hold_stateful, hold_stateless};
        for (unsigned i = 0; i < 2; i++) {
                struct rig *r = rig_up();
                r->decide = ways[i];
                SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .body = "kept");
                assert_int_equal(bl_proxy_contexts(r->p), 1);
                assert_int_equal(rig_txns(r), i ? 0 : 1);
                assert_true(r->p->kept_octets > 0);
                sim_enter(r->env);
                to_ruri(r, r->held);
                sim_leave(r->env);
                run_ms(r, 20);
                const struct got *g = got(r, BOB, "MESSAGE");
                assert_true(contains(g, "\r\n\r\nkept"));
                answer(r, BOB, g, 200, "b", "");
                got(r, ALICE, "SIP/2.0 200 ");
                rig_end(r);
        }
}

/* Held with a transaction, a copy is absorbed; without one the role hears of it. */
static void copies_while_held(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = hold_stateful;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        assert_int_equal(r->requests, 1);
        struct bl_px *first = r->held;
        r->decide = hold_stateless;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .branch = "two");
        struct bl_px *second = r->held;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .branch = "two");
        assert_int_equal(r->requests, 3);
        sim_enter(r->env);
        bl_px_refuse(first, 403, "test", NONE, NONE);
        bl_px_drop(second);
        bl_px_drop(r->held);
        sim_leave(r->env);
        rig_end(r);
}

static void answered_later(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = hold_stateless;
        SAY(r, ALICE, .method = "REGISTER", .ruri = "sip:proxy.test");
        sim_enter(r->env);
        bl_px_reply(r->held, &(struct bl_response){.status = 200, .extra = BL_STR("X: y\r\n")}, true);
        sim_leave(r->env);
        run_ms(r, 20);
        assert_true(contains(got(r, ALICE, "SIP/2.0 200 "), "\r\nX: y\r\n"));
        assert_int_equal(rig_txns(r), 0);
        r->decide = hold_stateful;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:proxy.test", .branch = "two");
        sim_enter(r->env);
        bl_px_refuse(r->held, 404, "unknown_user", NONE, NONE);
        sim_leave(r->env);
        run_ms(r, 20);
        ack(r, "sip:proxy.test", "two", got(r, ALICE, "SIP/2.0 404 "));
        rig_end(r);
}

static void reply_stateful(struct rig *r, struct bl_px *px)
{
        (void)r;
        bl_px_reply(px, &(struct bl_response){.status = 486}, false);
}
static void drop(struct rig *r, struct bl_px *px)
{
        (void)r;
        bl_px_drop(px);
}
static void reply_to_ack(struct rig *r, struct bl_px *px)
{
        (void)r;
        bl_px_reply(px, &(struct bl_response){.status = 486}, false);
}

static void answers_with_a_transaction(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = reply_stateful;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test");
        assert_int_equal(rig_txns(r), 1);
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test");
        assert_int_equal(r->requests, 1);
        const struct got *g = got(r, ALICE, "SIP/2.0 486 ");
        got_none(r, ALICE, "SIP/2.0 100 ");
        ack(r, "sip:bob@bob.test", "one", g);
        assert_int_equal(r->requests, 1);
        rig_end(r);
}

static void dropped_and_acks(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = drop;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        r->decide = reply_to_ack;
        SAY(r, ALICE, .method = "ACK", .ruri = "sip:bob@bob.test", .to = "<sip:x@y>;tag=z");
        assert_int_equal(r->requests, 2);
        assert_int_equal(r->ep[ALICE]->n, 0);
        assert_int_equal(r->dones, 2);
        rig_end(r);
}

static void much_text(struct rig *r, struct bl_px *px)
{
        char big[3000];
        memset(big, 'x', sizeof(big));
        struct bl_str kept[20];
        for (unsigned i = 0; i < 20; i++) {
                big[0] = (char)('a' + i);
                kept[i] = bl_px_str(px, bl_str_make(big, 100 + i * 140));
                assert_int_equal((uintptr_t)kept[i].p % 16, 0);
        }
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(kept[i].n, 100 + i * 140);
                assert_int_equal(kept[i].p[0], 'a' + i);
                assert_int_equal(kept[i].p[kept[i].n - 1], 'x');
        }
        assert_null(bl_px_alloc(px, PX_TEXT_MAX + 1));
        unsigned n = 0;
        while (bl_px_alloc(px, 10000))
                assert_in_range(++n, 1, 30); /* bounded */
        *bl_px_data(px) = r;
        assert_ptr_equal(*bl_px_data(px), r);
        assert_ptr_equal(bl_px_proxy(px), r->p);
        assert_non_null(bl_px_flow(px));
        bl_px_drop(px);
}

static void texts_live_as_long_as_the_context(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = much_text;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        assert_int_equal(r->requests, 1);
        rig_end(r);
}

static void a_node_that_ends_in_the_middle_of_everything(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test", .branch = "1");
        answer(r, BOB, got(r, BOB, "INVITE"), 180, "b", "");
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:carol@carol.test", .branch = "2", .call_id = "c2");
        answer(r, CAROL, got(r, CAROL, "INVITE"), 200, "b", "");
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:dave@dave.test", .branch = "3", .call_id = "c3");
        r->decide = hold_stateful;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test", .branch = "4", .call_id = "c4");
        assert_int_equal(bl_proxy_contexts(r->p), 4);
        sim_kill(r->node, SIM_KILL_SILENT);
        assert_int_equal(sim_pool_used(r->node), 0);
        assert_int_equal(r->dones, 4);
        rig_free(r);
}

static void over_the_budget_is_503(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->p->kept_limit = 1; /* the second one to be kept finds it spent */
        r->decide = hold_stateless;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .branch = "1");
        struct bl_px *first = r->held;
        r->decide = to_ruri;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .branch = "2");
        const struct got *g = got(r, ALICE, "SIP/2.0 503 ");
        uint32_t s = 0;
        assert_int_equal(bl_msg_u32(parsed(r, g), BL_H_RETRY_AFTER, &s), 0);
        assert_in_range(s, 3, 10);
        sim_enter(r->env);
        bl_px_drop(first);
        sim_leave(r->env);
        rig_end(r);
}

/* A steady stream of requests asks the heap for nothing. */
static void no_heap_in_steady_state(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        uint64_t before = 0;
        for (unsigned i = 0; i < 60; i++) {
                char branch[16], call[16];
                snprintf(branch, sizeof(branch), "b%u", i);
                snprintf(call, sizeof(call), "c%u", i);
                SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .branch = branch, .call_id = call);
                answer(r, BOB, got(r, BOB, "MESSAGE"), 200, "b", "");
                ep_forget(r->ep[ALICE]);
                ep_forget(r->ep[BOB]);
                run_ms(r, 40000);
                if (i == 10)
                        before = bl_pool_heap_calls(r->env->pool);
        }
        assert_int_equal(bl_pool_heap_calls(r->env->pool), before);
        rig_end(r);
}

/* --- whatever happens, nothing is left --- */

static void random_targets(struct rig *r, struct bl_px *px)
{
        static const char *const uris[] = {"sip:bob@bob.test", "sip:carol@carol.test",
                                           "sip:dave@dave.test;transport=tcp", "sip:x@nowhere.test", "tel:1"};
        unsigned n = (unsigned)sim_draw(r->s, 5);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(add_uri(px, uris[sim_draw(r->s, 5)], (uint16_t)(sim_draw(r->s, 3) * 100)), 0);
        switch (sim_draw(r->s, 8)) {
        case 0:
                bl_px_drop(px);
                return;
        case 1:
                bl_px_refuse(px, 403, "test", NONE, NONE);
                return;
        case 2:
                if (bl_px_hold(px, sim_draw(r->s, 2)) < 0)
                        return;
                break;
        default:
                break;
        }
        bl_px_go(px);
}

/* Each endpoint answers what it newly got with something drawn, now and then with nothing. */
static void random_answers(struct rig *r, unsigned seen[EPS])
{
        static const unsigned finals[] = {100, 180, 183, 200, 200, 302, 305, 401, 404,
                                          407, 430, 481, 486, 487, 500, 503, 603};
        for (unsigned w = BOB; w < EPS; w++) {
                for (; seen[w] < r->ep[w]->n; seen[w]++) {
                        const struct got *g = &r->ep[w]->msg[seen[w]];
                        if (strncmp(g->text, "SIP/", 4) == 0 || strncmp(g->text, "ACK", 3) == 0)
                                continue;
                        for (unsigned k = (unsigned)sim_draw(r->s, 4); k; k--)
                                (void)try_answer(r, w, g, finals[sim_draw(r->s, BL_ARRAY_LEN(finals))], "t", "");
                }
        }
}

static void one_random_life(uint64_t seed)
{
        static const char *const methods[] = {"INVITE",  "INVITE", "INVITE", "BYE",
                                              "MESSAGE", "CANCEL", "ACK",    "REGISTER"};
        struct rig *r = rig_up();
        for (uint64_t i = 0; i < seed * 7; i++)
                (void)sim_draw(r->s, 2);
        r->conf.loop_check = seed % 2;
        r->decide = random_targets;
        sim_set_net(r->s, &sim_net_rough);
        for (unsigned round = 0; round < 12; round++) {
                unsigned seen[EPS] = {0};
                char branch[16];
                for (unsigned k = 0; k < 3; k++) {
                        snprintf(branch, sizeof(branch), "b%u", (unsigned)sim_draw(r->s, 6));
                        SAY(r, ALICE, .method = methods[sim_draw(r->s, BL_ARRAY_LEN(methods))],
                            .ruri = "sip:any@proxy.test", .branch = branch, .call_id = branch);
                }
                random_answers(r, seen);
                run_ms(r, (unsigned)sim_draw(r->s, 300));
                random_answers(r, seen);
                if (sim_draw(r->s, 4) == 0)
                        sim_cut_between(r->ep[1 + sim_draw(r->s, 3)]->node, r->node, SIM_CUT_RESET);
                for (unsigned w = 0; w < EPS; w++)
                        ep_forget(r->ep[w]);
        }
        sim_set_net(r->s, &sim_net_calm);
        for (unsigned i = 0; i < 20; i++) { /* Timer C, and what follows it */
                run_ms(r, 15000);
                for (unsigned w = 0; w < EPS; w++)
                        ep_forget(r->ep[w]);
        }
        rig_end(r);
}

static void random_lives_leave_nothing(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed <= 60; seed++)
                one_random_life(seed);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(decided_later),
                cmocka_unit_test(copies_while_held),
                cmocka_unit_test(answered_later),
                cmocka_unit_test(answers_with_a_transaction),
                cmocka_unit_test(dropped_and_acks),
                cmocka_unit_test(texts_live_as_long_as_the_context),
                cmocka_unit_test(a_node_that_ends_in_the_middle_of_everything),
                cmocka_unit_test(over_the_budget_is_503),
                cmocka_unit_test(no_heap_in_steady_state),
                cmocka_unit_test(random_lives_leave_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
