/*
 * Draining (protocol.md section 5): an edge that is to be upgraded is left by its phones first. Set by set they move
 * to other edges under the same P, calls go on, and at the deadline nobody is hurt who stayed.
 */
#include "scenario/world/phone.h"

static void drain(struct server *s, double seconds)
{
        for (unsigned i = 0; i < s->w->conf.workers; i++)
                bl_edge_drain(s->edge[i], (uint32_t)(seconds * 1000));
}

static size_t left(const struct server *s)
{
        size_t n = 0;
        for (unsigned i = 0; i < s->w->conf.workers; i++)
                n += bl_edge_bindings(s->edge[i]);
        return n;
}

/* Before the deadline both phones have moved by their refreshes, and nothing that was under way is lost. */
static void phones_move(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        unsigned e = phone_edge(joe, 0);
        MUST(w, left(w->edge[e]) > 0);
        drain(w->edge[e], 100000);
        WAIT(w, !phone_has_edge(joe, e) && !phone_has_edge(bob, e), 400); /* refreshes come after 300 s */
        MUST_EQ(w, phone_flows(joe), 2);
        MUST_EQ(w, phone_flows(bob), 2);
        WAIT(w, left(w->edge[e]) == 0, 40);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        sim_kill(w->edge[e]->node, SIM_KILL_RESET); /* it is upgraded */
        leg_must_reach(at_joe, BL_M_INFO);
        sim_restart(w->edge[e]->node);
        world_pass(w, 20);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
        MUST_EQ(w, joe->flows_down + bob->flows_down, 0); /* they moved before they let go */
}

/* Who comes new is in no set with the draining edge, wherever it knocks. */
static void new_ones_go_elsewhere(struct world *w)
{
        drain(w->edge[2], 100000);
        world_pass(w, 12); /* its fellows ask with their probes, every 5 s */
        static const char *const names[] = {"joe", "bob", "alice", "carol"};
        for (unsigned i = 0; i < BL_ARRAY_LEN(names); i++) {
                struct phone *p = phone_up(w, names[i]);
                MUST_EQ(w, phone_flows(p), 2);
                MUST(w, !phone_has_edge(p, 2));
        }
        MUST_EQ(w, left(w->edge[2]), 0);
        char at[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(at);
        struct bl_addr e2 = sim_addr(w->edge[2]->node, 0);
        bl_sb_addz(&b, ";maddr=");
        bl_addr_put_ip(&b, &e2);
        bl_sb_addz(&b, ">");
        bl_sb_addc(&b, 0);
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                MUST(w, !m->sip || !text_has(text_header(m->octets, "Outbound-Proxy"), at));
}

/* The deadline comes before the refreshes: flows are closed, and whoever had one registers elsewhere. */
static void the_deadline_closes_what_is_left(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        unsigned e = phone_edge(joe, 0);
        drain(w->edge[e], 20);
        world_pass(w, 19);
        MUST(w, left(w->edge[e]) > 0);
        WAIT(w, left(w->edge[e]) == 0, 5);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        if (w->conf.tp != BL_UDP) /* a closed UDP flow shows at the next keep-alive or refresh only */
                WAIT(w, phone_flows(joe) == 2 && phone_flows(bob) == 2 && !phone_has_edge(joe, e), 400);
        leg_hang_up(at_bob);
}

/* Its phones have a flow to every other edge there is: the second one stays where it is. */
static void nowhere_else_to_go(struct world *w)
{
        sim_kill(w->edge[3]->node, SIM_KILL_RESET);
        world_pass(w, 12);
        struct phone *joe = phone_up(w, "joe");
        drain(w->edge[1], 100000);
        world_pass(w, 400);
        MUST_EQ(w, phone_flows(joe), 2);
        MUST(w, phone_has_edge(joe, 1) && phone_has_edge(joe, 2));
        MUST_EQ(w, joe->flows_down + joe->refused, 0);
}

/* All the others are gone: a draining edge is better than none. */
static void the_only_one_serves(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        for (unsigned e = 2; e <= 3; e++)
                sim_kill(w->edge[e]->node, SIM_KILL_RESET);
        WAIT(w, phone_has_edge(joe, 1), 400);
        world_pass(w, 30);
        drain(w->edge[1], 100000);
        world_pass(w, 400);
        MUST(w, phone_has_edge(joe, 1));
        struct phone *bob = phone_new(w, "bob");
        phone_start(bob);
        WAIT(w, phone_flows(bob) == 1, 30);
        leg_hang_up(phone_talk(bob, joe, NULL));
}

/* Taken back: it is chosen again. */
static void drained_for_nothing(struct world *w)
{
        drain(w->edge[1], 100000);
        drain(w->edge[2], 100000);
        world_pass(w, 12);
        for (unsigned e = 1; e <= 2; e++)
                for (unsigned i = 0; i < w->conf.workers; i++)
                        bl_edge_drain_cancel(w->edge[e]->edge[i]);
        world_pass(w, 12);
        struct phone *joe = phone_up(w, "joe");
        MUST_EQ(w, phone_flows(joe), 2);
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true, .name = "phones_move", .tell = phones_move},
                {.tls_too = true, .name = "new_ones_go_elsewhere", .tell = new_ones_go_elsewhere},
                {.tls_too = true, .name = "the_deadline_closes_what_is_left", .tell = the_deadline_closes_what_is_left},
                {.name = "nowhere_else_to_go", .tell = nowhere_else_to_go},
                {.name = "the_only_one_serves", .tell = the_only_one_serves},
                {.name = "drained_for_nothing", .tell = drained_for_nothing},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
