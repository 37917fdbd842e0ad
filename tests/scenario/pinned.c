/*
 * Who is served by whom, when configuration says it: a subscriber pinned to edges (protocol.md 4.1), and a cluster that
 * depends on the subscriber's group (section 2 step 2).
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static const struct bl_str TO[] = {{"e3", 2}, {"e2", 2}};
static const struct bl_edge_pin PINS[] = {{.who = {"*@example.com", 13}, .nodes = TO, .n_nodes = 1},
                                          {.who = {"joe@example.com", 15}, .nodes = TO, .n_nodes = 2}};

static void pin(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)w;
        (void)i;
        c->pins = PINS;
        c->n_pins = 2;
}

/* Whichever edge he reaches first, joe ends at the two that he is pinned to; the entry of his own counts, not the
 * domain's. */
static void a_pinned_subscriber_gets_his_edges(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        MUST(w, phone_has_edge(joe, 3));
        MUST(w, phone_has_edge(joe, 2));
        MUST_EQ(w, world_seen(w, w->edge[1]->node, w->home[1]->node, "REGISTER"), 0);
}

/* When all edges that he is pinned to are dead, any other is better than none. */
static void a_dead_pin_binds_nobody(struct world *w)
{
        sim_kill(w->edge[2]->node, SIM_KILL_RESET);
        sim_kill(w->edge[3]->node, SIM_KILL_RESET);
        world_pass(w, 12); /* the others' probes notice */
        struct phone *joe = phone_new(w, "joe");
        phone_start(joe);
        WAIT(w, phone_has_edge(joe, 1), 60);
}

static const struct bl_home_group GROUPS[] = {{.group = {"gold", 4}, .edge = {"gold.example.com", 16}}};

static void groups(struct world *w, unsigned i, struct bl_home_conf *c)
{
        static struct bl_home_domain d[WORLD_HOMES + 1];
        (void)w;
        d[i % (WORLD_HOMES + 1)] = c->domains[0];
        d[i % (WORLD_HOMES + 1)].groups = GROUPS;
        d[i % (WORLD_HOMES + 1)].n_groups = 1;
        c->domains = &d[i % (WORLD_HOMES + 1)];
}

static void ask_where(struct raw *r, const char *user)
{
        raw_send(r, raw_flow_of(r, r->w->home[1]->node),
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\nFrom: "
                 "<sip:%s@example.com>;tag=$TAG\n"
                 "To: <sip:%s@example.com>\nCall-ID: $CALL\nCSeq: $N REGISTER\nContact: <sip:%s@$ME>\n",
                 user, user, user);
}

/* midas is of the group gold: he is sent to its cluster, joe to the usual one, and a stranger learns nothing. */
static void the_cluster_depends_on_the_group(struct world *w)
{
        struct raw *r = raw_new(w, "ua");
        (void)raw_open(r, w->conf.tp, w->home[1]->node);
        ask_where(r, "midas");
        MUST(w, strcmp(raw_header(raw_expect(r, "SIP/2.0 300"), "Contact"), "<sip:gold.example.com;lr>") == 0);
        raw_new_call(r);
        ask_where(r, "joe");
        MUST(w, strcmp(raw_header(raw_expect(r, "SIP/2.0 300"), "Contact"), "<sip:edge.example.com;lr>") == 0);
        raw_new_call(r);
        ask_where(r, "nobody");
        MUST(w, strcmp(raw_header(raw_expect(r, "SIP/2.0 300"), "Contact"), "<sip:edge.example.com;lr>") == 0);
}

static const struct story STORIES[] = {
        {.name = "a pinned subscriber gets his edges",
         .tell = a_pinned_subscriber_gets_his_edges,
         .conf = {.edge_conf = pin}},
        {.name = "a dead pin binds nobody", .tell = a_dead_pin_binds_nobody, .conf = {.edge_conf = pin}},
        {.name = "the cluster depends on the group",
         .tell = the_cluster_depends_on_the_group,
         .conf = {.home_conf = groups}},
};

int main(int argc, char **argv)
{
        return world_main(argc, argv, STORIES, BL_ARRAY_LEN(STORIES));
}
