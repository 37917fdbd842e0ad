/*
 * A further proxy between edges and home (requirement 4), one that is not belay: border.example.net. It stands in no
 * Path, so in no Service-Route either: what a UA sends by its Service-Route still goes by it, because the edges are
 * told so; and what comes from it is inbound, because it is linked.
 *
 *   joe ── e1 e2 e3 ── border.example.net ── (example.com)
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *border;
static struct bl_edge_home by_border;

/* It answers as the home behind it would. */
static bool answers_registers(struct raw *r, struct raw_msg *m)
{
        char lines[2048];
        (void)r;
        if (!bl_str_starts(m->text, BL_STR("REGISTER")))
                return false;
        const char *path = raw_list(m, "Path");
        snprintf(lines, sizeof(lines),
                 "Contact: %s\nPath: %s\nService-Route: %s, <sip:example.com;lr>\nRequire: outbound\n",
                 raw_header(m, "Contact"), path, path);
        raw_reply(m, 200, lines);
        return true;
}

static void in_between(struct world *w)
{
        border = raw_new(w, "border");
        border->on = answers_registers;
        world_cert(border->node, "sip:border.example.net", NULL);
        world_publish(w, "border.example.net", border->node);
        for (unsigned i = 1; i <= 3; i++)
                world_trust(w->edge[i], "border.example.net", border->node);
}

static void told_so(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)w, (void)i;
        by_border = (struct bl_edge_home){
                .domain = BL_STR("example.com"), .belay = false, .next = BL_STR("sip:border.example.net;lr")};
        c->homes = &by_border;
}

static struct phone *registered(struct world *w)
{
        struct phone *joe = phone_new(w, "joe");
        joe->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 30);
        return joe;
}

static void what_is_sent_goes_by_it(struct world *w)
{
        struct phone *joe = registered(w);
        struct ask *a = phone_ask(joe, BL_M_MESSAGE, "sip:bob@example.com");
        struct raw_msg *m = raw_expect(border, "MESSAGE");
        MUST(w, strcmp(raw_list(m, "Route"), "<sip:example.com;lr>") == 0);
        raw_reply(m, 200, "");
        WAIT(w, a->status == 200, 30);
        MUST_EQ(w, world_seen(w, NULL, w->home[1]->node, ""), 0); /* nobody went past it */
}

/* Inbound by P, on the connection that the edge opened; and the BYE of joe's comes back to it. */
static void what_it_sends_arrives(struct world *w)
{
        struct phone *joe = registered(w);
        char p[512] = "", contact[256] = "";
        for (unsigned e = 1; e <= 3 && !p[0]; e++) {
                struct bl_str path = text_header(world_last(w, w->edge[e]->node, border->node, "REGISTER"), "Path");
                struct bl_str to = text_header(world_last(w, w->edge[e]->node, border->node, "REGISTER"), "Contact");
                if (path.n && to.n) {
                        char z[1024];
                        snprintf(z, sizeof(z), "%.*s", BL_STR_ARG(path));
                        MUST(w, sscanf(z, "<%511[^>]", p) == 1);
                        snprintf(z, sizeof(z), "%.*s", BL_STR_ARG(to));
                        MUST(w, sscanf(z, "<%255[^>]", contact) == 1);
                }
        }
        bl_flow_id f = raw_flow_of(border, w->edge[phone_edge(joe, 0)]->node);
        MUST(w, f != 0);
        raw_send(border, f,
                 "INVITE %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\nRoute: <%s>\n"
                 "Record-Route: <sip:border.example.net;lr>\nFrom: <sip:zoe@example.com>;tag=$TAG\n"
                 "To: <sip:joe@example.com>\nCall-ID: $CALL\nCSeq: $N INVITE\nContact: <sip:zoe@$ME>\n",
                 contact, p);
        struct raw_msg *ok = raw_expect(border, "SIP/2.0 200");
        char rr[1024], uri[512];
        snprintf(rr, sizeof(rr), "%s", raw_list(ok, "Record-Route"));
        MUST(w, strstr(rr, "@edge.example.com") && sscanf(rr, "<%511[^>]", uri) == 1);
        raw_send(border, f,
                 "ACK %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\nRoute: <%s>\n"
                 "From: <sip:zoe@example.com>;tag=$TAG\nTo: %s\nCall-ID: $CALL\nCSeq: $M ACK\n",
                 contact, uri, raw_header(ok, "To"));
        WAIT(w, phone_leg(joe, 0)->acked, 30);
        struct ask *bye = leg_ask(phone_leg(joe, 0), BL_M_BYE);
        raw_reply(raw_expect(border, "BYE"), 200, "");
        WAIT(w, bye->status == 200, 30);
}

int main(int argc, char **argv)
{
        const struct world_conf conf = {.prepare = in_between, .edge_conf = told_so};
        const struct story stories[] = {
                {.name = "what_is_sent_goes_by_it", .tell = what_is_sent_goes_by_it, .conf = conf, .tls_too = true},
                {.name = "what_it_sends_arrives", .tell = what_it_sends_arrives, .conf = conf, .tls_too = true},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
