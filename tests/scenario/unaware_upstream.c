/*
 * An upstream that does not know redirects: protocol.md section 3.4, D11. It is a registrar and proxy that stores Path
 * and sends requests with P on top of Route to whatever edge DNS gives it. The wrong edge forwards to the right one by
 * itself, without Record-Routing; ACK goes the same way.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *home;

/* The least a registrar can do: take everything, remember nothing but the text. */
static bool answers_registers(struct raw *r, struct raw_msg *m)
{
        (void)r;
        char lines[2048], expires[16] = ";expires=600";
        if (!bl_str_starts(m->text, BL_STR("REGISTER")))
                return false;
        const char *path = raw_list(m, "Path"), *contact = raw_header(m, "Contact");
        snprintf(lines, sizeof(lines), "Contact: %s%s\nPath: %s\nService-Route: %s\nRequire: outbound\n", contact,
                 strstr(contact, ";expires=") ? "" : expires, path, path);
        raw_reply(m, 200, lines);
        return true;
}

static void no_belay_at_home(struct world *w)
{
        home = raw_new(w, "home");
        home->on = answers_registers;
        world_publish(w, "example.com", home->node);
        for (unsigned i = 1; i <= WORLD_EDGES && w->edge[i]; i++)
                world_trust(w->edge[i], "example.com", home->node);
}

static struct bl_edge_home plain_home;
static void plain(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)w, (void)i;
        plain_home = (struct bl_edge_home){.domain = BL_STR("example.com"), .belay = false};
        c->homes = &plain_home;
}

static const char *p_of(struct raw_msg *m)
{
        const char *path = raw_list(m, "Path");
        char *p = bl_arena_alloc(m->at->arena, strlen(path) + 1);
        sscanf(path, "<%[^>]", p);
        return p;
}

static void the_edge_forwards_by_itself(struct world *w)
{
        struct phone *joe = phone_new(w, "joe");
        joe->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 30);
        const char *p = NULL, *contact = NULL;
        for (unsigned i = 0; i < home->n_in; i++)
                if (bl_str_starts(home->in[i].text, BL_STR("REGISTER"))) {
                        p = p_of(&home->in[i]);
                        contact = raw_header(&home->in[i], "Contact");
                }
        char uri[256];
        MUST(w, sscanf(contact, "<%255[^>]", uri) == 1);
        unsigned wrong = 1; /* the edge that joe has no flow to */
        while (phone_has_edge(joe, wrong))
                wrong++;

        bl_flow_id f = raw_open(home, w->conf.tp, w->edge[wrong]->node);
        raw_send(home, f,
                 "INVITE %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "Route: <%s>\nRecord-Route: <sip:$ME;lr>\nFrom: <sip:zoe@example.com>;tag=$TAG\n"
                 "To: <sip:joe@example.com>\nCall-ID: $CALL\nCSeq: $N INVITE\nContact: <sip:zoe@$ME>\n",
                 uri, p);
        struct raw_msg *ok = raw_expect(home, "SIP/2.0 200");
        MUST_EQ(w, raw_count(home, "SIP/2.0 305"), 0);
        const char *rr = raw_list(ok, "Record-Route");
        /* only the edge that delivered is in the route set */
        MUST(w, strstr(rr, "@edge.example.com") != NULL);
        MUST(w, strstr(strstr(rr, "@edge.example.com") + 1, "@edge.example.com") == NULL);
        MUST(w, strstr(rr, ";d=") != NULL);
        MUST_EQ(w, joe->invited, 1);
        char d_route[600];
        MUST(w, sscanf(strstr(rr, "<sip:joe"), "<%599[^>]", d_route) == 1);

        /* ACK and BYE inside the dialog, again by way of the wrong edge */
        raw_send(home, f,
                 "ACK %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\nRoute: <%s>\n"
                 "From: <sip:zoe@example.com>;tag=$TAG\nTo: %s\nCall-ID: $CALL\nCSeq: $M ACK\n",
                 uri, d_route, raw_header(ok, "To"));
        WAIT(w, phone_leg(joe, 0)->acked, 10);
        raw_send(home, f,
                 "BYE %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\nRoute: <%s>\n"
                 "From: <sip:zoe@example.com>;tag=$TAG\nTo: %s\nCall-ID: $CALL\nCSeq: $N BYE\n",
                 uri, d_route, raw_header(ok, "To"));
        raw_expect(home, "SIP/2.0 200");
        MUST_EQ(w, phone_leg(joe, 0)->got[BL_M_BYE], 1);
        MUST(w, server_count(w->edge[wrong], "belay_edge_detours_total", NULL) >= 2 ||
                        world_seen(w, w->edge[wrong]->node, NULL, "BYE") == 1);
}

/* One that says ;sticky in its Via is told instead: the two forms differ in nothing else. */
static void one_that_understands_is_redirected(struct world *w)
{
        struct phone *joe = phone_new(w, "joe");
        joe->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 30);
        const char *p = NULL;
        for (unsigned i = 0; i < home->n_in; i++)
                if (bl_str_starts(home->in[i].text, BL_STR("REGISTER")))
                        p = p_of(&home->in[i]);
        unsigned wrong = 1;
        while (phone_has_edge(joe, wrong))
                wrong++;
        bl_flow_id f = raw_open(home, w->conf.tp, w->edge[wrong]->node);
        raw_send(home, f,
                 "OPTIONS sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\n"
                 "Max-Forwards: 70\nRoute: <%s>\nFrom: <sip:zoe@example.com>;tag=$TAG\nTo: <sip:joe@example.com>\n"
                 "Call-ID: $CALL\nCSeq: $N OPTIONS\n",
                 p);
        struct raw_msg *to = raw_expect(home, "SIP/2.0 305");
        const char *contacts = raw_list(to, "Contact");
        /* both nodes that joe has flows to, each by its address, the first preferred */
        for (unsigned e = 1; e <= 3; e++) {
                char maddr[80];
                struct bl_addr a = sim_addr(w->edge[e]->node, 0);
                struct bl_sb b = BL_SB(maddr);
                bl_sb_addz(&b, ";lr;maddr=");
                bl_addr_put_ip(&b, &a);
                bl_sb_addc(&b, '>');
                bl_sb_addc(&b, 0);
                MUST(w, (strstr(contacts, maddr) != NULL) == (e != wrong));
        }
        MUST(w, strstr(contacts, "q=0.9") < strstr(contacts, "q=0.8"));
        /* asked by its address, the wrong edge says 430 and never redirects: no ping-pong */
        char maddr[80];
        struct bl_addr a = sim_addr(w->edge[wrong]->node, 0);
        struct bl_sb b = BL_SB(maddr);
        bl_addr_put_ip(&b, &a);
        bl_sb_addc(&b, 0);
        raw_send(home, f,
                 "OPTIONS sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\n"
                 "Max-Forwards: 70\nRoute: <%s;maddr=%s>\nFrom: <sip:zoe@example.com>;tag=$TAG\n"
                 "To: <sip:joe@example.com>\nCall-ID: $CALL\nCSeq: $N OPTIONS\n",
                 p, maddr);
        raw_expect(home, "SIP/2.0 430");
}

int main(int argc, char **argv)
{
        const struct world_conf conf = {.homes = NO_HOMES, .prepare = no_belay_at_home, .edge_conf = plain};
        const struct story stories[] = {
                {.name = "the_edge_forwards_by_itself", .tell = the_edge_forwards_by_itself, .conf = conf},
                {.name = "one_that_understands_is_redirected",
                 .tell = one_that_understands_is_redirected,
                 .conf = conf},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
