/* Many: dialogs under one P, flows of one URI, kinds of parameters; and the sweep that must never take long. */
#include "unit/sticky/helpers.h"

/* 100,000 dialogs under one P on two flows: few candidates, right ones, and nothing that takes long at once. */
static void a_hundred_thousand_dialogs_under_one_p(void **state)
{
        enum { DIALOGS = 100000 };
        struct bl_sticky *t = *state;
        char text[96];
        size_t before;

        for (bl_flow_id f = 1; f <= 3; f++)
                add(t, f, (uint8_t)f, true);
        bind(t, "sip:P@edge.example;lr", 3, BL_BIND_PATH, NOW, false);
        for (unsigned i = 0; i < DIALOGS; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:P@edge.example;lr;d=%u%c", i, 0);
                bind(t, text, 1 + i % 2, BL_BIND_DIALOG, NOW + i, i < DIALOGS / 2);
        }
        check(t, "sip:P@edge.example;lr;d=77777", NOW, 3, "2/1 3/2");
        check(t, "sip:P@edge.example;lr;d=none", NOW, 3, "3/2");
        /* an index that is not complete yet shows the latest confirmed already */
        check(t, "sip:P@edge.example;lr", NOW, 3, "3/1 2/2 1/2");
        for (unsigned i = 0; i < DIALOGS / 256 + 1; i++)
                check(t, "sip:P@edge.example;lr", NOW, 3, "3/1 2/2 1/2");
        check(t, "sip:P@edge.example", NOW, 3, "2/2 1/2 3/2");
        bind(t, "sip:P@edge.example;lr;d=0", 1, BL_BIND_DIALOG, NOW + DIALOGS, true);
        check(t, "sip:P@edge.example;lr", NOW, 3, "3/1 1/2 2/2");
        /* half of them die: gone from all answers at once, reclaimed a little at a time */
        bl_sticky_flow_down(t, 1, 0);
        check(t, "sip:P@edge.example;lr", NOW, 3, "3/1 2/2");
        for (unsigned calls = 0; stats(t).bindings > DIALOGS / 2 + 1; calls++) {
                before = stats(t).bindings;
                bl_sticky_expire(t, NOW);
                assert_true(before - stats(t).bindings <= 256 && calls < 3 * DIALOGS / 256);
        }
        check(t, "sip:P@edge.example;lr", NOW, 3, "3/1 2/2");
        bl_sticky_flow_down(t, 2, 0);
        for (unsigned calls = 0; stats(t).bindings > 1; calls++) {
                bl_sticky_expire(t, NOW);
                assert_true(calls < 3 * DIALOGS / 256);
        }
        check(t, "sip:P@edge.example;lr", NOW, 3, "3/1");
        bl_sticky_flow_down(t, 3, 0);
        bl_sticky_expire(t, NOW);
        bl_sticky_expire(t, NOW);
        assert_int_equal(stats(t).octets, 0);
}

/* What an index is for: an entry that no walk from the latest on would come to. Also one that is confirmed, and buried
 * again, while the index is being filled. */
static void an_index_has_them_all(void **state)
{
        enum { DIALOGS = 3000 };
        struct bl_sticky *t = *state;
        char text[96];

        for (bl_flow_id f = 1; f <= 3; f++)
                add(t, f, (uint8_t)f, true);
        bind(t, "sip:P@edge.example;lr;d=old", 1, BL_BIND_DIALOG, NOW, true);
        for (unsigned i = 0; i < DIALOGS; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:P@edge.example;lr;d=%u%c", i, 0);
                bind(t, text, 2, BL_BIND_DIALOG, NOW + 1 + i, true);
        }
        bind(t, "sip:P@edge.example;lr;d=late", 3, BL_BIND_DIALOG, NOW, false);
        check(t, "sip:P@edge.example;lr", NOW, 2, "2/2");
        bind(t, "sip:P@edge.example;lr;d=late", 3, BL_BIND_DIALOG, NOW + DIALOGS + 1, true);
        for (unsigned i = 0; i < DIALOGS; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:P@edge.example;lr;d=%u%c", i, 0);
                bind(t, text, 2, BL_BIND_DIALOG, NOW + DIALOGS + 2 + i, true);
        }
        for (unsigned i = 0; i < DIALOGS / 256 + 1; i++)
                (void)find_as(t, "sip:P@edge.example;lr", NOW, 2, 1, 0);
        check(t, "sip:P@edge.example;lr", NOW, 2, "2/2 3/2 1/2");
}

/* "returns when to call again": soon while there is something to reclaim, else so that a round takes a minute. */
static void expire_says_when_to_come_again(void **state)
{
        struct bl_sticky *t = *state;
        char text[96];
        unsigned rounds = 0;
        bl_us again;

        assert_int_equal(bl_sticky_expire(t, NOW), NOW + BL_SEC(60));
        add(t, 1, 1, true);
        add(t, 2, 2, true);
        for (unsigned i = 0; i < 2560; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:u%u@edge.example;lr%c", i, 0);
                bind(t, text, 1 + i % 2, BL_BIND_PATH, NOW, true);
        }
        while ((again = bl_sticky_expire(t, NOW)) <= NOW + BL_MS(10))
                assert_true(rounds++ < 20);
        assert_in_range(again - NOW, BL_SEC(4), BL_SEC(7));
        bl_sticky_flow_down(t, 1, 0);
        for (rounds = 0; stats(t).bindings > 1280; rounds++) {
                assert_int_equal(bl_sticky_expire(t, NOW), NOW + BL_MS(10));
                assert_true(rounds < 30);
        }
}

/* One URI on very many flows (a UA that floods): bounded, and the latest confirmed stay. */
static void one_uri_on_many_flows(void **state)
{
        struct bl_sticky *t = *state;

        for (bl_flow_id f = 1; f <= 3000; f++) {
                add(t, f, (uint8_t)f, false);
                bind(t, "sip:P@edge.example;lr", f, BL_BIND_PATH, NOW + f, true);
        }
        assert_int_equal(stats(t).bindings, 1024);
        check(t, "sip:P@edge.example;lr", NOW, 1, "bb8/1 bb7/1 bb6/1 bb5/1 bb4/1 bb3/1 bb2/1 bb1/1");
        for (bl_flow_id f = 1; f < 3000; f++)
                bl_sticky_flow_down(t, f, 0);
        /* a find takes out 32 dead ones on its way; the live one leads */
        check(t, "sip:P@edge.example;lr", NOW, 1, "bb8/1");
        assert_int_equal(stats(t).bindings, 1024 - 32);
}

/* More kinds of URIs of one identity than are kept apart: still found exactly. */
static void many_kinds_of_parameters(void **state)
{
        struct bl_sticky *t = *state;
        char text[96];

        add(t, 1, 1, true);
        for (unsigned round = 0; round < 2; round++)
                for (unsigned i = 0; i < 64; i++) {
                        struct bl_sb b = BL_SB(text);

                        bl_sb_fmt(&b, "sip:P@edge.example;x%u=1%c", i, 0);
                        if (round == 0)
                                bind(t, text, 1, BL_BIND_PATH, NOW, false);
                        else
                                check(t, text, NOW, 1, "1/1");
                }
        check(t, "sip:P@edge.example;lr", NOW, 2, "1/2");
        bl_sticky_flow_down(t, 1, 0);
        bl_sticky_expire(t, NOW);
        assert_int_equal(stats(t).octets, 0);
}

int main(void)
{
#define TABLE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        const struct CMUnitTest tests[] = {
                TABLE(a_hundred_thousand_dialogs_under_one_p),
                TABLE(an_index_has_them_all),
                TABLE(expire_says_when_to_come_again),
                TABLE(one_uri_on_many_flows),
                TABLE(many_kinds_of_parameters),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
