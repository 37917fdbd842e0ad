/*
 * The life of a cluster: protocol.md sections 4.4, 7.1 and 7.3. Edges die one after another and others come; a call
 * survives as long as at each moment one edge lives and its phones had time to register there. A new edge brings
 * nothing but its configuration and the cluster key.
 */
#include "scenario/world/phone.h"

static unsigned edges_of(struct phone *p)
{
        unsigned n = 0;
        for (unsigned e = 1; e <= WORLD_EDGES; e++)
                n += p->w->edge[e] && sim_alive(p->w->edge[e]->node) && phone_has_edge(p, e);
        return n;
}

/* All three die in turn and come back; in between the phones find new edges. */
static void one_after_another(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        for (unsigned round = 0; round < 6; round++) {
                struct sim_node *e = w->edge[1 + round % 3]->node;
                sim_kill(e, round & 1 ? SIM_KILL_SILENT : SIM_KILL_RESET);
                leg_must_reach(at_joe, BL_M_INFO);
                leg_must_reach(at_bob, BL_M_INFO);
                WAIT(w, edges_of(joe) == 2 && edges_of(bob) == 2, 400); /* adoption: still two flows each */
                WAIT(w, phone_flows(joe) == 2 && phone_flows(bob) == 2, 400);
                sim_restart(e);
                world_pass(w, 10);
        }
        leg_hang_up(at_bob);
}

/* The two nodes that P names die for good; the third, which it does not name, adopts it (4.4). P stays what it is. */
static void the_last_edge_adopts(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        unsigned last = 3;
        for (unsigned e = 1; e <= 3; e++)
                if (!phone_has_edge(joe, e))
                        last = e;
        for (unsigned e = 1; e <= 3; e++) {
                if (e == last)
                        continue;
                sim_kill(w->edge[e]->node, SIM_KILL_RESET);
                WAIT(w, phone_has_edge(joe, last) && phone_has_edge(bob, last), 400);
                WAIT(w, phone_flows(joe) >= 1 && phone_flows(bob) >= 1, 400);
                world_pass(w, 60);
        }
        MUST_EQ(w, edges_of(joe), 1);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
        leg_hang_up(phone_talk(bob, joe, NULL));
}

/* 7.3: e4 joins with configuration and key alone, and every old edge dies. */
static struct bl_edge_member everybody[4];

static void with_room_for_four(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)i;
        static const char *const names[] = {"e1", "e2", "e3", "e4"};
        for (unsigned k = 0; k < 4; k++) {
                everybody[k] = (struct bl_edge_member){.name = bl_str_z(names[k]), .n_addr = 1};
                everybody[k].addr[0] = sim_addr(w->edge[1]->node, 5060);
                everybody[k].addr[0].ip[3] = (uint8_t)(everybody[k].addr[0].ip[3] + k);
        }
        c->members = everybody;
        c->n_members = 4;
}

static void a_new_edge_serves_at_once(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_kill(w->edge[4]->node, SIM_KILL_SILENT); /* whatever it knew is gone */
        world_pass(w, 200);
        sim_restart(w->edge[4]->node);
        world_pass(w, 20);
        for (unsigned e = 1; e <= 3; e++) {
                sim_kill(w->edge[e]->node, SIM_KILL_RESET);
                world_pass(w, 120);
        }
        WAIT(w, phone_has_edge(joe, 4) && phone_has_edge(bob, 4), 400);
        WAIT(w, phone_flows(joe) >= 1 && phone_flows(bob) >= 1, 100);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_bob);
}

/* The NAT in front of a phone forgets: its old mappings lead nowhere, new flows carry the same P. */
static void the_nat_forgets(struct world *w)
{
        struct sim_nat *nat = sim_nat(w->sim, "203.0.113.1", 0);
        struct phone *joe = phone_new(w, "joe"), *bob = phone_up(w, "bob");
        sim_behind(joe->node, nat);
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 30);
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_nat_rebind(nat);
        leg_must_reach(at_joe, BL_M_INFO);
        world_pass(w, 200); /* keep-alives notice, flows are registered anew */
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_bob);
}

/* An edge stands still (SIGSTOP): silence means trying the next, and what it finds when it goes on harms nobody. */
static void an_edge_stands_still(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        struct sim_node *e = w->edge[phone_edge(joe, 0)]->node;
        sim_stop(e);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        sim_cont(e);
        world_pass(w, 60);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
        world_settle(w, 10);
}

/* Over UDP an edge that restarts looks as it did; its answers to keep-alives say that it knows nothing of the flow. */
static void a_restart_between_two_keep_alives(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        unsigned e = phone_edge(joe, 0);
        world_pass(w, 30);
        unsigned before = world_seen(w, joe->node, w->edge[e]->node, "REGISTER");
        sim_restart(w->edge[e]->node);
        WAIT(w, world_seen(w, joe->node, w->edge[e]->node, "REGISTER") > before, 32); /* of 300 to its refresh */
        WAIT(w, phone_flows(joe) == 2, 5);
        MUST(w, phone_has_edge(joe, e));
        world_pass(w, 100);
        MUST_EQ(w, world_seen(w, joe->node, w->edge[e]->node, "REGISTER"), before + 1); /* once */
        leg_hang_up(phone_talk(bob, joe, NULL));
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true, .name = "one_after_another", .tell = one_after_another, .seeds = 4},
                {.tls_too = true, .name = "the_last_edge_adopts", .tell = the_last_edge_adopts, .seeds = 4},
                {.tls_too = true,
                 .name = "a_new_edge_serves_at_once",
                 .tell = a_new_edge_serves_at_once,
                 .conf = {.edges = 4, .edge_conf = with_room_for_four}},
                {.tls_too = true, .name = "the_nat_forgets", .tell = the_nat_forgets},
                {.name = "a_restart_between_two_keep_alives",
                 .tell = a_restart_between_two_keep_alives,
                 .udp_only = true},
                {.tls_too = true, .name = "an_edge_stands_still", .tell = an_edge_stands_still},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
