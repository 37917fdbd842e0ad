/*
 * sips (RFC 5630; RFC 3261 sections 16.6 and 26.2.2): what is asked of a sips URI goes over TLS on every hop, to a sips
 * Contact, and what is said in that dialog comes back the same way. Where there is no such way the answer says so.
 *
 *   alice ──► home (TLS and UDP) ──► carol, by TLS with a sips Contact; dave, by UDP
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *alice, *carol, *dave;

/* A server that listens on UDP beside TLS. */
static void and_udp(struct server *s)
{
        struct bl_flows_conf *f = s->is_edge ? &s->edge_conf.proxy.flow : &s->home_conf.proxy.flow;
        uint16_t at = sim_listen(s->node, BL_UDP, 5060);
        s->listeners[at] =
                (struct bl_listener_info){.tp = BL_UDP, .local = sim_addr(s->node, 5060), .ua_side = s->is_edge};
        f->n_listeners = at + 1u;
}

static void three_phones(struct world *w)
{
        and_udp(w->home[1]);
        alice = raw_new(w, "alice");
        carol = raw_new(w, "carol");
        dave = raw_new(w, "dave");
}

/* Its Contact is as given; by that flow. */
static bl_flow_id registered(struct world *w, struct raw *r, enum bl_tp tp, const struct server *at, const char *scheme)
{
        bl_flow_id f = raw_open(r, tp, at->node);
        (void)w;
        raw_send(r, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:%s@example.com>;tag=$TAG\nTo: <sip:%s@example.com>\nCall-ID: $CALL\nCSeq: $N REGISTER\n"
                 "Contact: <%s:%s@$ME>\nExpires: 600\n",
                 r->name, r->name, scheme, r->name);
        raw_expect(r, "SIP/2.0 200");
        raw_new_call(r);
        return f;
}

static bl_flow_id asks(struct world *w, enum bl_tp tp, const char *method, const char *ruri)
{
        bl_flow_id f = raw_open(alice, tp, w->home[1]->node);
        raw_new_call(alice);
        raw_send(alice, f,
                 "%s %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:alice@example.com>;tag=$TAG\nTo: <%s>\nCall-ID: $CALL\nCSeq: $N %s\n"
                 "Contact: <sips:alice@$ME>\n",
                 method, ruri, ruri, method);
        return f;
}

static enum bl_tp came_by(struct raw_msg *m)
{
        for (unsigned i = 0; i < m->at->n_flows; i++)
                if (m->at->flow[i]->id == m->flow)
                        return m->at->flow[i]->tp;
        return BL_TP_COUNT;
}

static void to_a_sips_contact(struct world *w)
{
        registered(w, carol, BL_TLS, w->home[1], "sips");
        asks(w, BL_TLS, "MESSAGE", "sips:carol@example.com");
        struct raw_msg *m = raw_expect(carol, "MESSAGE sips:carol@");
        MUST_EQ(w, came_by(m), BL_TLS);
        raw_reply(m, 200, "");
        raw_expect(alice, "SIP/2.0 200");
        /* whoever asks sip of her gets her, too: in his own words */
        asks(w, BL_UDP, "MESSAGE", "sip:carol@example.com");
        m = raw_expect(carol, "MESSAGE sip:carol@");
        raw_reply(m, 200, "");
        raw_expect(alice, "SIP/2.0 200");
}

static void not_to_a_sip_contact(struct world *w)
{
        registered(w, dave, BL_UDP, w->home[1], "sip");
        asks(w, BL_TLS, "MESSAGE", "sips:dave@example.com");
        struct raw_msg *m = raw_expect(alice, "SIP/2.0 480");
        MUST(w, strncmp(raw_header(m, "Warning"), "380 ", 4) == 0);
        MUST_EQ(w, raw_count(dave, "MESSAGE"), 0);
        asks(w, BL_TLS, "MESSAGE", "sip:dave@example.com"); /* sip may go on by UDP, however it came */
        raw_reply(raw_expect(dave, "MESSAGE sip:dave@"), 200, "");
        raw_expect(alice, "SIP/2.0 200");
}

/* The dialog is routed by sips, too. */
static void a_dialog_stays_secure(struct world *w)
{
        registered(w, carol, BL_TLS, w->home[1], "sips");
        bl_flow_id f = asks(w, BL_TLS, "INVITE", "sips:carol@example.com");
        struct raw_msg *m = raw_expect(carol, "INVITE sips:carol@");
        char route[512];
        snprintf(route, sizeof(route), "%s", raw_list(m, "Record-Route"));
        MUST(w, strncmp(route, "<sips:example.com;lr;d=", 23) == 0);
        raw_reply(m, 200, "Contact: <sips:carol@$ME>\n");
        struct raw_msg *ok = raw_expect(alice, "SIP/2.0 200");
        raw_send(alice, f,
                 "BYE sips:carol@%s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "Route: %s\nFrom: %s\nTo: %s\nCall-ID: $CALL\nCSeq: $N BYE\n",
                 raw_me(carol), route, raw_header(ok, "From"), raw_header(ok, "To"));
        m = raw_expect(carol, "BYE sips:carol@");
        MUST_EQ(w, came_by(m), BL_TLS);
        raw_reply(m, 200, "");
        raw_expect(alice, "SIP/2.0 200");
        /* without sips in it, none of it */
        registered(w, dave, BL_UDP, w->home[1], "sip");
        asks(w, BL_TLS, "INVITE", "sip:dave@example.com");
        m = raw_expect(dave, "INVITE sip:dave@");
        MUST(w, strstr(raw_list(m, "Record-Route"), "sips:") == NULL);
        raw_reply(m, 486, "");
        raw_expect(alice, "SIP/2.0 486");
}

/* A neighbour that only UDP leads to: it is not told, and whoever asks learns that it was in vain. */
static struct bl_home_peer way = {.domain = BL_STR("plain.example"), .next = BL_STR("sip:10.0.0.3:5060;transport=udp")};

static void by_udp_only(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w, (void)i;
        c->routes = &way;
        c->n_routes = 1;
}

static void never_down_to_udp(struct world *w)
{
        MUST(w, strncmp(raw_me(carol), "10.0.0.3:", 9) == 0);
        asks(w, BL_TLS, "MESSAGE", "sips:zoe@plain.example");
        WAIT(w, raw_count(alice, "SIP/2.0 5") + raw_count(alice, "SIP/2.0 4") == 1, 60);
        MUST_EQ(w, carol->n_in, 0);
        asks(w, BL_TLS, "MESSAGE", "sip:zoe@plain.example");
        raw_reply(raw_expect(carol, "MESSAGE sip:zoe@plain.example"), 200, "");
        raw_expect(alice, "SIP/2.0 200");
}

/* The last hop: a UA whose flow to the edge is none of TLS has no sips, whatever it registered. */
static void edges_and_udp(struct world *w)
{
        and_udp(w->edge[1]);
        alice = raw_new(w, "alice");
        dave = raw_new(w, "dave");
}

static void the_last_hop_is_one_too(struct world *w)
{
        registered(w, dave, BL_UDP, w->edge[1], "sips");
        size_t bindings = bl_store_mem_count(w->mem);
        asks(w, BL_TLS, "MESSAGE", "sips:dave@example.com");
        struct raw_msg *m = raw_expect(alice, "SIP/2.0 480");
        MUST(w, strncmp(raw_header(m, "Warning"), "380 ", 4) == 0);
        MUST_EQ(w, raw_count(dave, "MESSAGE"), 0);
        MUST_EQ(w, bl_store_mem_count(w->mem), bindings); /* he is still there */
        asks(w, BL_TLS, "MESSAGE", "sip:dave@example.com");
        raw_reply(raw_expect(dave, "MESSAGE sip:dave@"), 200, "");
        raw_expect(alice, "SIP/2.0 200");
}

int main(int argc, char **argv)
{
        const struct world_conf alone = {
                .edges = NO_EDGES, .policy = BL_HOME_ACCEPT, .home_no_auth = true, .prepare = three_phones};
        struct world_conf udp_only = alone,
                          edge = {.edges = 1, .set_size = 1, .home_no_auth = true, .prepare = edges_and_udp};
        udp_only.home_conf = by_udp_only;
        const struct story stories[] = {
                {.name = "to_a_sips_contact", .tell = to_a_sips_contact, .conf = alone, .tls_only = true},
                {.name = "not_to_a_sip_contact", .tell = not_to_a_sip_contact, .conf = alone, .tls_only = true},
                {.name = "a_dialog_stays_secure", .tell = a_dialog_stays_secure, .conf = alone, .tls_only = true},
                {.name = "never_down_to_udp", .tell = never_down_to_udp, .conf = udp_only, .tls_only = true},
                {.name = "the_last_hop_is_one_too", .tell = the_last_hop_is_one_too, .conf = edge, .tls_only = true},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
