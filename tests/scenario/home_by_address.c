/*
 * A home that writes its address into Record-Route and Service-Route, as plain ones do (`<sip:192.0.2.1;lr>`):
 * protocol.md section 5, "Direction and trust". The UA's next Route is then an address, and the edge goes there only if
 * it is known to be a node of that home: by trust, by the static map, by DNS, or by a live flow that is linked to it.
 * A UA that writes another address gets 403, and nobody is asked to connect anywhere.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *home, *second, *evil;
static struct bl_edge_home plain_home;
static struct bl_static_route map[1];

static bool takes_registers(struct raw *r, struct raw_msg *m)
{
        char lines[4096];
        (void)r;
        if (!bl_str_starts(m->text, BL_STR("REGISTER")))
                return false;
        snprintf(lines, sizeof(lines), "Contact: %s;expires=600\nPath: %s\nRequire: outbound\n",
                 raw_header(m, "Contact"), raw_list(m, "Path"));
        raw_reply(m, 200, lines);
        return true;
}

static void everybody(struct world *w)
{
        home = raw_new(w, "home");
        home->on = takes_registers;
        evil = raw_new(w, "evil");
        world_trust(w->edge[1], "other.example", evil->node); /* known, but as somebody else */
}

static void home_by_dns(struct world *w)
{
        everybody(w);
        world_publish(w, "example.com", home->node);
}

/* Of its two nodes DNS names only one. */
static void home_by_trust(struct world *w)
{
        home_by_dns(w);
        second = raw_new(w, "second");
        world_trust(w->edge[1], "example.com", second->node);
}

static void not_belay(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)w, (void)i;
        plain_home = (struct bl_edge_home){.domain = BL_STR("example.com"), .belay = false};
        c->homes = &plain_home;
}

static void by_the_map(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        not_belay(w, i, c);
        map[0] = (struct bl_static_route){
                .host = BL_STR("example.com"), .tp = w->conf.tp, .addr = sim_addr(home->node, 5060)};
        c->proxy.hop.map = map;
        c->proxy.hop.n_map = 1;
        c->proxy.hop.dns = false;
}

struct scene {
        struct world *w;
        struct raw *ua;
        bl_flow_id f;
        char p_d[700], call[128], ip[64], evil_ip[64];
};

static void ip_of(struct raw *r, char *out, size_t cap)
{
        snprintf(out, cap, "%.*s", (int)strcspn(raw_me(r), ":"), raw_me(r));
}

/* joe is registered and in a call. */
static struct scene scene_of(struct world *w)
{
        struct scene s = {.w = w, .ua = raw_new(w, "ua")};
        s.f = raw_open(s.ua, w->conf.tp, w->edge[1]->node);
        raw_send(s.ua, s.f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\n"
                 "Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=$TAG\nTo: <sip:joe@example.com>\n"
                 "Call-ID: reg-$CALL\nCSeq: $N REGISTER\nSupported: path, outbound, sticky\n"
                 "Contact: <sip:joe@$ME>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\"\n");
        raw_expect(s.ua, "SIP/2.0 200");
        raw_send(s.ua, s.f,
                 "INVITE sip:zoe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\n"
                 "Max-Forwards: 70\nFrom: <sip:joe@example.com>;tag=$TAG\nTo: <sip:zoe@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N INVITE\nContact: <sip:joe@$ME>\n");
        struct raw_msg *m = raw_expect(home, "INVITE");
        MUST(w, sscanf(raw_list(m, "Record-Route"), "<%699[^>]", s.p_d) == 1);
        snprintf(s.call, sizeof(s.call), "%s", raw_header(m, "Call-ID"));
        raw_reply(m, 200, "Contact: <sip:zoe@$ME>\n");
        raw_expect(s.ua, "SIP/2.0 200");
        ip_of(home, s.ip, sizeof(s.ip));
        ip_of(evil, s.evil_ip, sizeof(s.evil_ip));
        return s;
}

/* INFO in the call, with this Route behind P. */
static void inform(struct scene *s, const char *fmt, const char *ip)
{
        char next[200];
        snprintf(next, sizeof(next), fmt, ip);
        raw_send(s->ua, s->f,
                 "INFO sip:zoe@192.0.2.99 SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\nMax-Forwards: 70\n"
                 "Route: <%s>, <%s>\nFrom: <sip:joe@example.com>;tag=$TAG\nTo: <sip:zoe@example.com>;tag=tag-of-home\n"
                 "Call-ID: %s\nCSeq: $N INFO\n",
                 s->p_d, next, s->call);
}

static unsigned flows(struct world *w)
{
        unsigned n = 0;
        while (sim_flow_to(home->node, w->edge[1]->node, n))
                n++;
        return n;
}

static void passes(struct scene *s, const char *fmt)
{
        inform(s, fmt, s->ip);
        struct raw_msg *m = raw_expect(home, "INFO");
        char want[200] = "<";
        snprintf(want + 1, sizeof(want) - 2, fmt, s->ip);
        strncat(want, ">", sizeof(want) - strlen(want) - 1);
        MUST(s->w, strcmp(raw_list(m, "Route"), want) == 0); /* as it was written: the home takes it off */
        raw_reply(m, 200, "");
        raw_expect(s->ua, "SIP/2.0 200");
}

static void the_address_of_the_home(struct world *w)
{
        struct scene s = scene_of(w);
        unsigned before = flows(w);
        passes(&s, "sip:%s;lr");
        passes(&s, "sip:%s:5060;lr");
        passes(&s, w->conf.tp == BL_TCP ? "sip:%s;transport=tcp;lr=on" : "sip:%s;transport=udp;lr=on");
        MUST_EQ(w, flows(w), before); /* by the flow that is there, not by one to an address */
        /* and when that has gone by a new one */
        sim_cut_between(home->node, w->edge[1]->node, SIM_CUT_RESET);
        passes(&s, "sip:%s;lr");
}

static void another_address(struct world *w)
{
        struct scene s = scene_of(w);
        static const char *const routes[] = {"sip:%s;lr", "sip:%s:5060;lr", "sip:%s;transport=tcp;lr",
                                             "sip:%s;maddr=10.0.0.1;lr"};
        for (unsigned i = 0; i < BL_ARRAY_LEN(routes); i++) {
                inform(&s, routes[i], s.evil_ip); /* somebody else, though known to us */
                raw_expect(s.ua, "SIP/2.0 403");
        }
        inform(&s, "sip:%s:22;lr", s.ip); /* the home, but nothing of its SIP */
        raw_expect(s.ua, "SIP/2.0 403");
        inform(&s, "sip:%s;lr", "203.0.113.9");
        raw_expect(s.ua, "SIP/2.0 403");
        world_pass(w, 5);
        MUST_EQ(w, world_seen(w, w->edge[1]->node, evil->node, ""), 0);
        MUST_EQ(w, sim_flow_to(evil->node, w->edge[1]->node, 0), 0);
        MUST_EQ(w, raw_count(home, "INFO"), 0);
        passes(&s, "sip:%s;lr");
}

static void a_node_that_only_trust_names(struct world *w)
{
        struct scene s = scene_of(w);
        ip_of(second, s.ip, sizeof(s.ip));
        inform(&s, w->conf.tp == BL_TCP ? "sip:%s;transport=tcp;lr" : "sip:%s;lr", s.ip);
        raw_reply(raw_expect(second, "INFO"), 200, "");
        raw_expect(s.ua, "SIP/2.0 200");
        MUST_EQ(w, raw_count(home, "INFO"), 0);
}

/* Its flow is there, and is linked. */
static void a_node_that_dns_has_forgotten(struct world *w)
{
        struct scene s = scene_of(w);
        sim_dns_clear(w->sim, "example.com");
        sim_dns_clear(w->sim, "_sip._tcp.example.com");
        world_publish(w, "example.com", evil->node);
        for (unsigned i = 0; i < 3; i++) { /* what DNS said is over after 300 s */
                world_pass(w, 120);
                passes(&s, "sip:%s;lr");
        }
}

int main(int argc, char **argv)
{
        const struct world_conf dns = {.edges = 1, .homes = NO_HOMES, .prepare = home_by_dns, .edge_conf = not_belay};
        const struct world_conf trust = {
                .edges = 1, .homes = NO_HOMES, .prepare = home_by_trust, .edge_conf = not_belay};
        const struct world_conf mapped = {.edges = 1, .homes = NO_HOMES, .prepare = everybody, .edge_conf = by_the_map};
        const struct story stories[] = {
                {.name = "the_address_of_the_home/dns", .tell = the_address_of_the_home, .conf = dns},
                {.name = "the_address_of_the_home/map", .tell = the_address_of_the_home, .conf = mapped},
                {.name = "another_address/dns", .tell = another_address, .conf = dns},
                {.name = "another_address/map", .tell = another_address, .conf = mapped},
                {.name = "a_node_that_only_trust_names", .tell = a_node_that_only_trust_names, .conf = trust},
                {.name = "a_node_that_dns_has_forgotten", .tell = a_node_that_dns_has_forgotten, .conf = dns},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
