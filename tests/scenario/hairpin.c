/*
 * Both ends of a call behind the same edge: the request passes it twice, once outbound and once inbound, with the home
 * in between (protocol.md section 5). The cluster's own name in a Via is no loop.
 */
#include "scenario/world/phone.h"

static void through_one_edge_twice(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_bob);
        MUST_EQ(w, joe->invited, 0);
}

/* Two edges, both phones on both: whichever dies, both lose a flow at once, and the call goes on. */
static void the_shared_edge_dies(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_kill(w->edge[1 + sim_draw(w->sim, 2)]->node, SIM_KILL_RESET);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
}

/* A person calls himself: from one phone to the other phone of the same address of record. */
static void two_phones_of_one_person(struct world *w)
{
        struct phone *desk = phone_up(w, "joe"), *mobile = phone_new(w, "joe");
        mobile->answer = 200;
        phone_start(mobile);
        WAIT(w, phone_flows(mobile) == 1, 30);
        desk->answer = 486;
        struct leg *l = phone_call(desk, desk->aor);
        WAIT(w, l->invite->status, 40);
        MUST_EQ(w, l->invite->status, 200); /* both ring: one is busy, the other answers */
        MUST_EQ(w, mobile->invited, 1);
        MUST_EQ(w, desk->invited, 1);
        leg_hang_up(l);
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true,
                 .name = "through_one_edge_twice",
                 .tell = through_one_edge_twice,
                 .conf = {.edges = 1}},
                {.tls_too = true,
                 .name = "the_shared_edge_dies",
                 .tell = the_shared_edge_dies,
                 .conf = {.edges = 2},
                 .seeds = 6},
                {.tls_too = true,
                 .name = "two_phones_of_one_person",
                 .tell = two_phones_of_one_person,
                 .conf = {.edges = 1}},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
