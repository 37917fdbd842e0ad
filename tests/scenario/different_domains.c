/*
 * Edge and home in different domains (requirement 3): the edges are provider.net's, the users example.com's and
 * example.org's. Each side knows the other by its certificate (without TLS by configuration) and nothing else.
 *
 *   joe@example.com ─┐                               ┌─ h1, example.com
 *   bob@example.org ─┴─ e1 e2 e3 edge.provider.net ──┴─ h2, example.org
 */
#include "scenario/world/phone.h"

static struct bl_edge_home homes[2];
static struct bl_home_domain domain[3];
static const struct bl_str names[] = {BL_STR(""), BL_STR("example.com"), BL_STR("example.org")};

static void of_a_provider(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)w, (void)i;
        homes[0] = (struct bl_edge_home){.domain = names[1], .belay = true};
        homes[1] = (struct bl_edge_home){.domain = names[2], .belay = true};
        c->cluster = BL_STR("edge.provider.net");
        c->homes = homes;
        c->n_homes = 2;
}

static void one_domain_each(struct world *w, unsigned i, struct bl_home_conf *c)
{
        static struct bl_home_peer peers[3]; /* without TLS there is no proof: then the other one is listed */
        (void)w;
        domain[i] = (struct bl_home_domain){.name = names[i], .edge = BL_STR("edge.provider.net")};
        c->domains = &domain[i];
        c->calls_in = BL_HOME_IN_ANY;
        peers[i] = (struct bl_home_peer){.domain = names[3 - i]};
        c->peers = &peers[i];
        c->n_peers = 1;
}

static void provider_and_two_customers(struct world *w)
{
        sim_dns_clear(w->sim, "example.com");
        sim_dns_clear(w->sim, "_sip._tcp.example.com");
        w->n_map = 0; /* h2 is not example.com's */
        for (unsigned i = 1; i <= 2; i++) {
                world_publish(w, i == 1 ? "example.com" : "example.org", w->home[i]->node);
                world_cert(w->home[i]->node, i == 1 ? "sip:example.com" : "sip:example.org", NULL);
                w->home[i]->n_trust = 0;
        }
        for (unsigned e = 1; e <= 3; e++) {
                world_publish(w, "edge.provider.net", w->edge[e]->node);
                world_cert(w->edge[e]->node, "sip:edge.provider.net edge.provider.net", NULL);
                w->edge[e]->n_trust = 0;
                world_trust(w->edge[e], "example.com", w->home[1]->node);
                world_trust(w->edge[e], "example.org", w->home[2]->node);
                world_trust(w->home[1], "edge.provider.net", w->edge[e]->node);
                world_trust(w->home[2], "edge.provider.net", w->edge[e]->node);
        }
        world_trust(w->home[1], "example.org", w->home[2]->node);
        world_trust(w->home[2], "example.com", w->home[1]->node);
}

static struct phone *at(struct world *w, const char *name, const char *domain_name)
{
        struct phone *p = phone_new_at(w, name, domain_name);
        phone_start(p);
        WAIT(w, phone_flows(p) == 2, 30);
        return p;
}

static void a_call_between_customers(struct world *w)
{
        struct phone *joe = at(w, "joe", "example.com"), *bob = at(w, "bob", "example.org");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        struct bl_str invite = world_last(w, NULL, bob->node, "INVITE");
        MUST(w, text_has(invite, "@edge.provider.net;lr"));
        MUST(w, text_has(invite, "<sip:example.com;lr;d=") && text_has(invite, "<sip:example.org;lr;d="));
        leg_must_reach(at_bob, BL_M_INFO);
        leg_must_reach(at_joe, BL_M_INVITE);
        leg_hang_up(at_bob);
}

/* Each edge in turn, while they talk: nothing of it is lost. */
static void edges_die_under_it(struct world *w)
{
        struct phone *joe = at(w, "joe", "example.com"), *bob = at(w, "bob", "example.org");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        for (unsigned e = 1; e <= 3; e++) {
                sim_kill(w->edge[e]->node, e % 2 ? SIM_KILL_RESET : SIM_KILL_SILENT);
                leg_must_reach(at_bob, BL_M_INFO);
                leg_must_reach(at_joe, BL_M_INFO);
                sim_restart(w->edge[e]->node);
                world_pass(w, 700); /* a registration's whole life: who came back is in use again */
        }
        leg_hang_up(at_joe);
}

int main(int argc, char **argv)
{
        const struct world_conf conf = {.homes = 2,
                                        .prepare = provider_and_two_customers,
                                        .edge_conf = of_a_provider,
                                        .home_conf = one_domain_each};
        const struct story stories[] = {
                {.name = "a_call_between_customers", .tell = a_call_between_customers, .conf = conf, .tls_too = true},
                {.name = "edges_die_under_it", .tell = edges_die_under_it, .conf = conf, .tls_too = true},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
