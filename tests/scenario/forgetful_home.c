/*
 * A home that forgot: slide S16, protocol.md sections 3.4 and 7.4. It restarts with an empty stickiness table; what it
 * knows of each P it must learn again. The wrong edge says where (305), the home follows inside the same transaction,
 * and after one detour per URI traffic is direct again.
 */
#include "scenario/world/phone.h"

enum { PAIRS = 4 };

static unsigned detours(struct world *w)
{
        return world_seen(w, NULL, w->home[1]->node, "SIP/2.0 305");
}

static void one_detour_then_direct(struct world *w)
{
        static const char *const names[2 * PAIRS] = {"joe", "bob", "alice", "carol", "dave", "erin", "frank", "grace"};
        struct phone *p[2 * PAIRS];
        struct leg *a[PAIRS], *b[PAIRS];
        for (unsigned i = 0; i < 2 * PAIRS; i++)
                p[i] = phone_up(w, names[i]);
        for (unsigned i = 0; i < PAIRS; i++)
                a[i] = phone_talk(p[2 * i], p[2 * i + 1], &b[i]);
        MUST_EQ(w, detours(w), 0); /* so far it learned from every registration */
        sim_restart(w->home[1]->node);
        unsigned total = 0;
        for (unsigned i = 0; i < PAIRS; i++) {
                unsigned before = detours(w);
                leg_must_reach(a[i], BL_M_INFO);
                leg_must_reach(b[i], BL_M_INFO);
                MUST(w, detours(w) - before <= 2); /* at most one for each P */
                total += detours(w) - before;
                before = detours(w);
                for (int k = 0; k < 3; k++) {
                        leg_must_reach(a[i], BL_M_INFO);
                        leg_must_reach(b[i], BL_M_INFO);
                }
                MUST_EQ(w, detours(w), before); /* direct again */
        }
        MUST(w, total > 0); /* with six edges some went astray */
        for (unsigned i = 0; i < PAIRS; i++)
                leg_hang_up(b[i]);
}

/* New calls find P in the location store, which the restart did not take: at most one detour as well. */
static void new_calls_after_a_restart(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        sim_restart(w->home[1]->node);
        struct leg *first = phone_talk(joe, bob, NULL);
        MUST(w, detours(w) <= 2);
        leg_hang_up(first);
        unsigned before = detours(w);
        leg_hang_up(phone_talk(joe, bob, NULL));
        MUST_EQ(w, detours(w), before);
}

/* It is down for three seconds in mid-call: nothing is lost, requests wait for it. */
static void comes_back(struct sim *s, void *arg)
{
        (void)s;
        sim_restart(arg);
}

static void a_single_home_restarts_and_loses_nothing(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_kill(w->home[1]->node, SIM_KILL_RESET);
        sim_at(w->sim, BL_SEC(3), comes_back, w->home[1]->node);
        leg_must_reach(at_joe, BL_M_INFO);
        sim_kill(w->home[1]->node, SIM_KILL_RESET);
        sim_at(w->sim, BL_SEC(3), comes_back, w->home[1]->node);
        leg_hang_up(at_bob);
}

/* Two homes behind one name: one dies, the other has no dialog state and needs none (section 5). */
static void the_other_home_takes_over(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_kill(w->home[1 + sim_draw(w->sim, 2)]->node, SIM_KILL_RESET);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
        leg_hang_up(phone_talk(bob, joe, NULL));
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.name = "one_detour_then_direct", .tell = one_detour_then_direct, .conf = {.edges = 6}},
                {.tls_too = true,
                 .name = "new_calls_after_a_restart",
                 .tell = new_calls_after_a_restart,
                 .conf = {.edges = 6}},
                {.tls_too = true,
                 .name = "a_single_home_restarts_and_loses_nothing",
                 .tell = a_single_home_restarts_and_loses_nothing,
                 .seeds = 6},
                {.tls_too = true,
                 .name = "the_other_home_takes_over",
                 .tell = the_other_home_takes_over,
                 .conf = {.homes = 2}},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
