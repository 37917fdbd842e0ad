/*
 * Proxy to proxy: slides S12 to S14, protocol.md section 3.5. Two domains whose proxies are linked (by configuration,
 * while there is no TLS): each Record-Routes with its domain, and a request in the reverse direction goes back through
 * the very connection that the INVITE opened.
 *
 *   joe@a.com ── a.com (h1) ══ one flow ══ b.com (h2) ── bob@b.com
 */
#include "scenario/world/phone.h"

static struct bl_home_domain domain[3];
static struct bl_home_peer peer[3];

static void each_its_domain(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w;
        domain[i] =
                (struct bl_home_domain){.name = i == 1 ? BL_STR("a.com") : BL_STR("b.com"), .policy = BL_HOME_ACCEPT};
        peer[i] = (struct bl_home_peer){.domain = i == 1 ? BL_STR("b.com") : BL_STR("a.com")};
        c->domains = &domain[i];
        c->peers = &peer[i];
        c->n_peers = 1;
}

static void linked(struct world *w)
{
        world_publish(w, "a.com", w->home[1]->node);
        world_publish(w, "b.com", w->home[2]->node);
        world_trust(w->home[1], "b.com", w->home[2]->node);
        world_trust(w->home[2], "a.com", w->home[1]->node);
        world_cert(w->home[1]->node, "sip:a.com", NULL);
        world_cert(w->home[2]->node, "sip:b.com", NULL);
}

static unsigned flows_between(struct world *w)
{
        unsigned n = 0;
        while (sim_flow_to(w->home[1]->node, w->home[2]->node, n))
                n++;
        return n;
}

static struct phone *at(struct world *w, const char *name, const char *domain_name)
{
        struct phone *p = phone_new_at(w, name, domain_name);
        phone_start(p);
        WAIT(w, phone_flows(p) == 1, 30);
        return p;
}

/* S12-S14: the BYE of the called side takes the flow that the INVITE opened. */
static void the_reverse_direction_reuses_the_flow(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        struct bl_str rr = world_last(w, NULL, bob->node, "INVITE");
        MUST(w, text_has(rr, "<sip:a.com;lr;d="));
        MUST(w, text_has(rr, "<sip:b.com;lr;d="));
        unsigned before = flows_between(w);
        MUST(w, before <= w->conf.workers); /* at most one per worker */
        leg_must_reach(at_bob, BL_M_INFO);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_hang_up(at_bob);
        MUST(w, flows_between(w) <= w->conf.workers);
        if (w->conf.workers == 1)
                MUST_EQ(w, flows_between(w), before);
}

/* And the next call in the other direction, too: "as client, when we opened the flow" and "as server, on 2xx". */
static void both_directions_one_connection(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        leg_hang_up(phone_talk(joe, bob, NULL));
        leg_hang_up(phone_talk(bob, joe, NULL));
        MUST(w, flows_between(w) <= w->conf.workers);
}

/* The connection breaks in mid-call: the next request opens another and the call goes on. */
static void a_broken_connection_is_opened_again(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_cut_between(w->home[1]->node, w->home[2]->node, SIM_CUT_RESET);
        leg_must_reach(at_bob, BL_M_INFO);
        sim_cut_between(w->home[1]->node, w->home[2]->node, SIM_CUT_RESET);
        world_pass(w, 15); /* longer than bindings are kept */
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
}

int main(int argc, char **argv)
{
        const struct world_conf two = {.edges = NO_EDGES, .homes = 2, .prepare = linked, .home_conf = each_its_domain};
        const struct story stories[] = {
                {.name = "the_reverse_direction_reuses_the_flow",
                 .tls_too = true,
                 .tell = the_reverse_direction_reuses_the_flow,
                 .conf = two},
                {.name = "both_directions_one_connection",
                 .tls_too = true,
                 .tell = both_directions_one_connection,
                 .conf = two},
                {.name = "a_broken_connection_is_opened_again",
                 .tls_too = true,
                 .tell = a_broken_connection_is_opened_again,
                 .conf = two},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
