/*
 * What a home believes, whom, and where it sends a call: protocol.md sections 2 (its guards), 5 (direction and trust,
 * bindings) and 6. All its neighbours are written by hand: edges `ea` and `eb` of the cluster, a proxy `mid` between
 * edges and home, a peer domain, and strangers.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *ea, *eb, *mid, *peer;
static struct bl_home_peer peers[1];
static const struct bl_str via[] = {{"mid.example.net", 15}};
static const struct bl_str more_edges[] = {{"more.example.com", 16}};
static const struct bl_home_group groups[] = {{.group = {"gold", 4}, .edge = {"gold.example.com", 16}}};
static struct bl_home_domain domain;

static void neighbours(struct world *w)
{
        ea = raw_new(w, "ea");
        eb = raw_new(w, "eb");
        mid = raw_new(w, "mid");
        peer = raw_new(w, "peer");
        world_trust(w->home[1], "edge.example.com", ea->node);
        world_trust(w->home[1], "edge.example.com", eb->node);
        world_trust(w->home[1], "mid.example.net", mid->node);
        world_trust(w->home[1], "b.com", peer->node);
        world_publish(w, "b.com", peer->node);
}

static void knows_them(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w, (void)i;
        peers[0] = (struct bl_home_peer){.domain = BL_STR("b.com")};
        c->peers = peers;
        c->n_peers = 1;
        domain = c->domains[0];
        domain.via = via;
        domain.n_via = 1;
        domain.edges = more_edges;
        domain.n_edges = 1;
        domain.groups = groups;
        domain.n_groups = 1;
        c->domains = &domain;
}

static bl_flow_id to_home(struct raw *r)
{
        return raw_open(r, r->w->conf.tp, r->w->home[1]->node);
}

/* --- registering through a neighbour --- */

#define P1 "sip:joe+k3v9x0q2+ea+eb+Eone@edge.example.com;lr;ob"
#define P2 "sip:joe+k3v9x0q2+ea+eb+Etwo@edge.example.com;lr;ob"
#define P3 "sip:joe+k3v9x0q2+ea+eb+Ethree@edge.example.com;lr;ob"

static void send_register(struct raw *r, bl_flow_id f, const char *path, const char *contact, const char *more)
{
        raw_send(r, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\n"
                 "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK-ua\nMax-Forwards: 70\nPath: %s\n"
                 "From: <sip:joe@example.com>;tag=$TAG\nTo: <sip:joe@example.com>\nCall-ID: reg-%s\nCSeq: $N REGISTER\n"
                 "Supported: path, outbound\nContact: %s\n%s",
                 path, r->name, contact, more);
}

#define INSTANCE ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\""
#define CONTACT "<sip:joe@192.0.2.77>" INSTANCE ";reg-id="

static struct raw_msg *registered(struct raw *r, bl_flow_id f, const char *path, const char *contact)
{
        char auth[1200];
        send_register(r, f, path, contact, "");
        const char *line =
                raw_authorize(raw_expect(r, "SIP/2.0 401"), "joe", "secret-joe", "REGISTER", "sip:example.com");
        snprintf(auth, sizeof(auth), "%s\n", line);
        send_register(r, f, path, contact, auth);
        return raw_expect(r, "SIP/2.0 200");
}

static void ask(struct raw *r, bl_flow_id f, const char *method, const char *uri, const char *from, const char *more)
{
        raw_send(r, f,
                 "%s %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <%s>;tag=$TAG\nTo: <%s>\nCall-ID: $CALL\nCSeq: $N %s\nContact: <sip:me@$ME>\n%s",
                 method, uri, from, uri, method, more);
}

/* --- guards on REGISTER --- */

static void p_is_a_route_and_nothing_else(struct world *w)
{
        bl_flow_id f = to_home(ea);
        char auth[1200];
        send_register(ea, f, "<" P1 ">", "<sip:joe+k3v9x0q2+ea+Ex@edge.example.com>", "");
        snprintf(auth, sizeof(auth), "%s\n",
                 raw_authorize(raw_expect(ea, "SIP/2.0 401"), "joe", "secret-joe", "REGISTER", "sip:example.com"));
        send_register(ea, f, "<" P1 ">", "<sip:joe+k3v9x0q2+ea+Ex@edge.example.com>", auth);
        raw_expect(ea, "SIP/2.0 403");
        MUST_EQ(w, bl_store_mem_count(w->mem), 0);
        ask(ea, f, "INVITE", "sip:joe+k3v9x0q2+ea+Ex@edge.example.com", "sip:bob@example.com", "");
        raw_expect(ea, "SIP/2.0 403");
        world_pass(w, 1);
        MUST_EQ(w, raw_count(ea, "INVITE") + raw_count(eb, "INVITE"), 0);
}

/* Section 6: what it is required to know and does not, it says. */
static void an_unknown_extension(struct world *w)
{
        bl_flow_id f = to_home(ea);
        (void)w;
        send_register(ea, f, "<" P1 ">", CONTACT "1", "Require: path, teleportation\n");
        struct raw_msg *m = raw_expect(ea, "SIP/2.0 420");
        MUST(w, strcmp(raw_header(m, "Unsupported"), "teleportation") == 0);
}

/* Step 2, requirement 4: through a configured proxy, if an edge stands at the far end of Path. */
static void through_an_intermediate(struct world *w)
{
        bl_flow_id f = to_home(mid);
        send_register(mid, f, "<sip:mid.example.net;lr>", CONTACT "1", "");
        raw_expect(mid, "SIP/2.0 300");
        send_register(mid, f, "<" P1 ">, <sip:mid.example.net;lr>", CONTACT "1", "");
        raw_expect(mid, "SIP/2.0 300");
        MUST_EQ(w, bl_store_mem_count(w->mem), 0);
        struct raw_msg *ok = registered(mid, f, "<sip:mid.example.net;lr>, <" P1 ">", CONTACT "1");
        /* step 5: Service-Route is Path the other way round, and the home */
        MUST(w, strcmp(raw_list(ok, "Service-Route"), "<" P1 ">, <sip:mid.example.net;lr>, <sip:example.com;lr>") == 0);
        MUST(w, strcmp(raw_list(ok, "Path"), "<sip:mid.example.net;lr>, <" P1 ">") == 0);
        /* and a call goes down the same way */
        ask(ea, to_home(ea), "INVITE", "sip:joe@example.com", "sip:bob@example.com", "");
        struct raw_msg *m = raw_expect(mid, "INVITE");
        MUST(w, strcmp(raw_list(m, "Route"), "<sip:mid.example.net;lr>, <" P1 ">") == 0);
        raw_reply(m, 486, "");
        raw_expect(ea, "SIP/2.0 486");
}

/* Step 3: a phone that was redirected signs the URI of its cluster, whichever of the domain's that is; no other. */
static void a_digest_for_any_of_its_clusters(struct world *w)
{
        static const char *const uris[] = {"sip:edge.example.com;lr", "sip:more.example.com;lr",
                                           "sip:gold.example.com;lr", "sip:evil.example.com;lr"};
        bl_flow_id f = to_home(ea);
        for (unsigned i = 0; i < BL_ARRAY_LEN(uris); i++) {
                char auth[1200];
                send_register(ea, f, "<" P1 ">", CONTACT "1", "");
                const char *line =
                        raw_authorize(raw_expect(ea, "SIP/2.0 401"), "joe", "secret-joe", "REGISTER", uris[i]);
                snprintf(auth, sizeof(auth), "%s\n", line);
                send_register(ea, f, "<" P1 ">", CONTACT "1", auth);
                raw_expect(ea, i < 3 ? "SIP/2.0 200" : "SIP/2.0 400");
        }
        MUST_EQ(w, bl_store_mem_count(w->mem), 1);
}

/* --- direction and trust --- */

/* The home's `d` counts inside a dialog: with it, but without a To tag, nobody steers past the 407. */
static void a_d_without_a_to_tag(struct world *w)
{
        bl_flow_id f = to_home(ea);
        registered(ea, f, "<" P1 ">", CONTACT "1");
        struct raw *stranger = raw_new(w, "stranger");
        ask(peer, to_home(peer), "INVITE", "sip:joe@example.com", "sip:zoe@b.com", "");
        struct raw_msg *m = raw_expect(ea, "INVITE");
        char rr[300], route[1024], call[200];
        MUST(w, sscanf(raw_list(m, "Record-Route"), "<%299[^>]", rr) == 1 && strstr(rr, ";d="));
        raw_reply(m, 486, "");
        raw_expect(peer, "SIP/2.0 486");
        raw_expect(ea, "ACK");
        snprintf(route, sizeof(route), "Route: <%s>, <" P1 ">\n", rr);
        snprintf(call, sizeof(call), "%s", raw_header(m, "Call-ID"));
        bl_flow_id g = to_home(stranger);
        raw_send(stranger, g,
                 "INVITE sip:joe@192.0.2.77 SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s"
                 "From: <sip:zoe@b.com>;tag=$TAG\nTo: <sip:joe@example.com>\nCall-ID: %s\nCSeq: $N INVITE\n"
                 "Contact: <sip:me@$ME>\n",
                 route, call);
        raw_expect(stranger, "SIP/2.0 407");
        raw_expect_nothing(ea, "INVITE", 1);
        /* inside the dialog it does */
        raw_send(stranger, g,
                 "INFO sip:joe@192.0.2.77 SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s"
                 "From: <sip:zoe@b.com>;tag=$TAG\nTo: <sip:joe@example.com>;tag=x\nCall-ID: %s\nCSeq: $N INFO\n",
                 route, call);
        raw_reply(raw_expect(ea, "INFO"), 200, "");
        raw_expect(stranger, "SIP/2.0 200");
        /* but P stays a Route there, too */
        raw_send(stranger, g,
                 "INFO " P1 " SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\nRoute: <%s>\n"
                 "From: <sip:zoe@b.com>;tag=$TAG\nTo: <sip:joe@example.com>;tag=x\nCall-ID: %s\nCSeq: $N INFO\n",
                 rr, call);
        raw_expect(stranger, "SIP/2.0 403");
        raw_expect_nothing(ea, "INFO", 1);
        /* a strict router has put the home's value into the Request-URI (RFC 3261 16.4): the `d` must be right there */
        for (int wrong = 0; wrong < 2; wrong++) {
                char *d = strstr(rr, ";d=") + 3;
                *d = wrong ? (*d == 'a' ? 'b' : 'a') : *d;
                raw_send(stranger, g,
                         "INFO %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                         "Route: <" P1 ">, <sip:joe@192.0.2.77>\nFrom: <sip:zoe@b.com>;tag=$TAG\n"
                         "To: <sip:joe@example.com>;tag=x\nCall-ID: %s\nCSeq: $N INFO\n",
                         rr, call);
                if (wrong) {
                        raw_expect(stranger, "SIP/2.0 4");
                        raw_expect_nothing(ea, "INFO", 1);
                        continue;
                }
                m = raw_expect(ea, "INFO sip:joe@192.0.2.77 ");
                MUST(w, strcmp(raw_list(m, "Route"), "<" P1 ">") == 0);
                raw_reply(m, 200, "");
                raw_expect(stranger, "SIP/2.0 200");
        }
}

/* A peer domain calls our users, in its own name; it is not our relay. */
static void a_peer_domain(struct world *w)
{
        bl_flow_id f = to_home(ea), g = to_home(peer);
        registered(ea, f, "<" P1 ">", CONTACT "1");
        ask(peer, g, "OPTIONS", "sip:joe@example.com", "sip:zoe@b.com", "");
        raw_reply(raw_expect(ea, "OPTIONS"), 200, "");
        raw_expect(peer, "SIP/2.0 200");
        ask(peer, g, "OPTIONS", "sip:yan@b.com", "sip:zoe@b.com", "");
        raw_expect(peer, "SIP/2.0 403");
        ask(peer, g, "OPTIONS", "sip:yan@elsewhere.example", "sip:zoe@b.com", "");
        raw_expect(peer, "SIP/2.0 403");
        ask(peer, g, "OPTIONS", "sip:joe@example.com", "sip:bob@example.com", "");
        raw_expect(peer, "SIP/2.0 407");
        raw_expect_nothing(ea, "OPTIONS", 1);
        MUST_EQ(w, raw_count(peer, "OPTIONS"), 0);
}

static void everybody_speaks_as_himself(struct world *w)
{
        struct raw *mallory = raw_new(w, "mallory");
        bl_flow_id f = to_home(ea), g = to_home(mallory);
        char auth[1200];
        registered(ea, f, "<" P1 ">", CONTACT "1");
        ask(mallory, g, "OPTIONS", "sip:joe@example.com", "sip:bob@example.com", "");
        snprintf(auth, sizeof(auth), "%s\n",
                 raw_authorize(raw_expect(mallory, "SIP/2.0 407"), "mallory", "secret-mallory", "OPTIONS",
                               "sip:joe@example.com"));
        ask(mallory, g, "OPTIONS", "sip:joe@example.com", "sip:bob@example.com", auth);
        raw_expect(mallory, "SIP/2.0 403");
        raw_expect_nothing(ea, "OPTIONS", 1);
        ask(mallory, g, "OPTIONS", "sip:joe@example.com", "sip:mallory@example.com", auth);
        raw_reply(raw_expect(ea, "OPTIONS"), 200, "");
        raw_expect(mallory, "SIP/2.0 200");
}

/* 3.2: in its Record-Route bad.example names a neighbour's domain; that domain's calls still go to the neighbour. */
static void nobody_takes_anothers_domain(struct world *w)
{
        struct raw *bad = raw_new(w, "bad");
        bl_flow_id f = to_home(ea);
        registered(ea, f, "<" P1 ">", CONTACT "1");
        char auth[1200], rr[] = "Record-Route: <sip:zoe@b.com;lr>\n";
        bl_flow_id g = to_home(bad);
        ask(bad, g, "INVITE", "sip:joe@example.com", "sip:mallory@example.com", rr);
        snprintf(auth, sizeof(auth), "%s%s\n", rr,
                 raw_authorize(raw_expect(bad, "SIP/2.0 407"), "mallory", "secret-mallory", "INVITE",
                               "sip:joe@example.com"));
        ask(bad, g, "INVITE", "sip:joe@example.com", "sip:mallory@example.com", auth);
        raw_reply(raw_expect(ea, "INVITE"), 200, "Contact: <sip:joe@192.0.2.77>\n");
        raw_expect(bad, "SIP/2.0 200");
        ask(ea, f, "OPTIONS", "sip:zoe@b.com", "sip:joe@example.com", "");
        raw_reply(raw_expect(peer, "OPTIONS"), 200, "");
        raw_expect(ea, "SIP/2.0 200");
        MUST_EQ(w, raw_count(bad, "OPTIONS"), 0);
}

/* --- bindings --- */

static void refuse_call(struct raw *r, const char *p, unsigned status)
{
        struct raw_msg *m = raw_expect(r, "INVITE");
        MUST(r->w, strstr(raw_list(m, "Route"), p) != NULL);
        raw_reply(m, status, "");
        raw_expect(r, "ACK");
}

static bool knows_no_flow(struct raw *r, struct raw_msg *m)
{
        (void)r;
        if (!bl_str_starts(m->text, BL_STR("INVITE")))
                return false;
        raw_reply(m, 430, "");
        return true;
}

static unsigned asked_for(struct raw *r, const char *p)
{
        unsigned n = 0;
        for (unsigned i = 0; i < r->n_in; i++)
                n += bl_str_starts(r->in[i].text, BL_STR("INVITE")) && strstr(raw_list(&r->in[i], "Route"), p);
        return n;
}

/* Differing Paths of one instance: the newest first, the others after a 430; when all gave it they are gone. */
static void paths_of_one_instance(struct world *w)
{
        bl_flow_id a = to_home(ea), b = to_home(eb), p = to_home(peer);
        registered(ea, a, "<" P1 ">", CONTACT "1");
        world_pass(w, 2);
        registered(eb, b, "<" P2 ">", CONTACT "2");
        MUST_EQ(w, bl_store_mem_count(w->mem), 2);
        ask(peer, p, "INVITE", "sip:joe@example.com", "sip:zoe@b.com", "");
        refuse_call(eb, P2, 486); /* busy: nobody else is asked, and nothing forgotten */
        raw_expect(peer, "SIP/2.0 486");
        raw_expect_nothing(ea, "INVITE", 1);
        MUST_EQ(w, bl_store_mem_count(w->mem), 2);
        raw_new_call(peer);
        ask(peer, p, "INVITE", "sip:joe@example.com", "sip:zoe@b.com", "");
        ea->on = eb->on = knows_no_flow;
        raw_expect(peer, "SIP/2.0 430");
        MUST_EQ(w, asked_for(eb, P2), 2);
        MUST_EQ(w, asked_for(ea, P1), 1);            /* though it had said before that it does not know P2 */
        WAIT(w, bl_store_mem_count(w->mem) == 0, 1); /* a store may take its time */
        unsigned before = raw_count(ea, "INVITE") + raw_count(eb, "INVITE");
        raw_new_call(peer);
        ask(peer, p, "INVITE", "sip:joe@example.com", "sip:zoe@b.com", "");
        raw_expect(peer, "SIP/2.0 480");
        MUST_EQ(w, raw_count(ea, "INVITE") + raw_count(eb, "INVITE"), before);
}

/* Differing Contacts, too: one after another, to the last. */
static void contacts_of_one_instance(struct world *w)
{
        bl_flow_id a = to_home(ea), p = to_home(peer);
        registered(ea, a, "<" P1 ">", "<sip:joe@192.0.2.1>" INSTANCE ";reg-id=1");
        world_pass(w, 2);
        registered(ea, a, "<" P2 ">", "<sip:joe@192.0.2.2>" INSTANCE ";reg-id=2");
        world_pass(w, 2);
        registered(ea, a, "<" P3 ">", "<sip:joe@192.0.2.3>" INSTANCE ";reg-id=3");
        MUST_EQ(w, bl_store_mem_count(w->mem), 3);
        ask(peer, p, "INVITE", "sip:joe@example.com", "sip:zoe@b.com", "");
        refuse_call(ea, P3, 430);
        refuse_call(ea, P2, 430);
        refuse_call(ea, P1, 430);
        raw_expect(peer, "SIP/2.0 430");
        WAIT(w, bl_store_mem_count(w->mem) == 0, 1);
}

/* RFC 5393: what comes back as it went is a loop. */
static void what_comes_back_is_a_loop(struct world *w)
{
        bl_flow_id a = to_home(ea), b = to_home(eb);
        registered(ea, a, "<" P1 ">", CONTACT "1");
        (void)w;
        raw_send(eb, b,
                 "INVITE sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:zoe@example.com>;tag=z\nTo: <sip:joe@example.com>\nCall-ID: round\nCSeq: 1 INVITE\n"
                 "Contact: <sip:zoe@192.0.2.88>\n");
        struct raw_msg *m = raw_expect(ea, "INVITE");
        raw_reply(m, 180, "");
        raw_send(ea, a,
                 "INVITE sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nVia: %s\n"
                 "Max-Forwards: 68\nFrom: <sip:zoe@example.com>;tag=z\nTo: <sip:joe@example.com>\nCall-ID: round\n"
                 "CSeq: 1 INVITE\nContact: <sip:zoe@192.0.2.88>\n",
                 raw_list(m, "Via"));
        raw_expect(ea, "SIP/2.0 482");
        raw_expect_nothing(ea, "INVITE", 1);
        raw_reply(m, 486, "");
        raw_expect(eb, "SIP/2.0 486");
}

/* RFC 3261 16.3: Max-Forwards is step 3, credentials are step 6. OPTIONS might be answered here, but not for joe. */
static void the_last_hop_asks_for_no_credentials(struct world *w)
{
        struct raw *stranger = raw_new(w, "stranger");
        raw_send(stranger, to_home(stranger),
                 "OPTIONS sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 0\n"
                 "From: <sip:zoe@example.com>;tag=z\nTo: <sip:joe@example.com>\nCall-ID: last\nCSeq: 1 OPTIONS\n");
        raw_expect(stranger, "SIP/2.0 483");
}

int main(int argc, char **argv)
{
        const struct world_conf conf = {.edges = NO_EDGES, .prepare = neighbours, .home_conf = knows_them};
#define IS(name_)                                                                                                      \
        {                                                                                                              \
                .name = #name_, .tell = name_, .conf = conf                                                            \
        }
        const struct story stories[] = {
                IS(p_is_a_route_and_nothing_else), IS(an_unknown_extension),
                IS(through_an_intermediate),       IS(a_digest_for_any_of_its_clusters),
                IS(a_d_without_a_to_tag),          IS(a_peer_domain),
                IS(everybody_speaks_as_himself),   IS(nobody_takes_anothers_domain),
                IS(paths_of_one_instance),         IS(contacts_of_one_instance),
                IS(what_comes_back_is_a_loop),     IS(the_last_hop_asks_for_no_credentials),
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
