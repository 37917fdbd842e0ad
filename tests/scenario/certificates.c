/*
 * Secure by name (protocol.md sections 3.2 and 3.5, RFC 5922): over TLS a connection belongs to the names that its far
 * end's certificate proves, and to nobody else, whatever addresses, DNS, Routes and redirects say. Whoever is refused
 * is named in the log: what was wanted, and what was offered.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

/* Log lines of that node (NULL: any) so far that have all three parts. */
static unsigned logged(struct world *w, const char *node, const char *a, const char *b, const char *c)
{
        const void *cursor = NULL;
        const char *line;
        unsigned n = 0;
        while ((line = sim_note_next(w->sim, &cursor)))
                n += (!node || strncmp(line, node, strlen(node)) == 0) && strstr(line, a) && strstr(line, b) &&
                     strstr(line, c);
        return n;
}

static struct bl_sticky *table_of(const struct server *s)
{
        return s->is_edge ? bl_edge_node_sticky(s->edge_node) : bl_home_node_sticky(s->home_node);
}

/* URIs in the table that stick to flows of that node, or wait for one of them to come back; those of the domain `but`
 * are not counted. */
static unsigned stuck(struct bl_sticky *t, const struct sim_node *n, const char *but, bool *ret_waiting)
{
        static struct bl_sticky_row rows[64];
        struct bl_addr at = sim_addr(n, 0);
        uint64_t cursor = 0;
        unsigned got, found = 0;
        while ((got = bl_sticky_rows(t, &cursor, rows, BL_ARRAY_LEN(rows)))) {
                for (unsigned i = 0; i < got; i++) {
                        struct bl_uri u;
                        if (!bl_addr_eq_ip(&rows[i].remote, &at))
                                continue;
                        *ret_waiting |= rows[i].down;
                        found += !rows[i].down && (bl_uri_parse(bl_str_make(rows[i].uri, rows[i].uri_len), &u) < 0 ||
                                                   !bl_host_eq(u.host, bl_str_z(but)));
                }
        }
        return found;
}

static unsigned stuck_to(struct bl_sticky *t, const struct sim_node *n, const char *but)
{
        bool waiting = false;
        return stuck(t, n, but, &waiting);
}

static bool something_waits(struct bl_sticky *t, const struct sim_node *n)
{
        bool waiting = false;
        stuck(t, n, "", &waiting);
        return waiting;
}

/* ---- bad.example, with a valid certificate for its own name ---- */

static struct raw *good, *bad;
static struct bl_home_peer peers[2];
static const struct bl_str bad_edge = BL_STR("bad.example");

static void good_and_bad(struct world *w)
{
        good = raw_new(w, "good");
        bad = raw_new(w, "bad");
        world_cert(good->node, "sip:good.example", NULL);
        world_cert(bad->node, "sip:bad.example bad.example", NULL);
        world_publish(w, "good.example", good->node);
        world_publish(w, "bad.example", bad->node);
}

/* Both are the home's peers. */
static void knows_both(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w, (void)i;
        peers[0] = (struct bl_home_peer){.domain = BL_STR("good.example"), .next = BL_STR("sip:good.example;lr")};
        peers[1] = (struct bl_home_peer){.domain = BL_STR("bad.example")};
        c->peers = peers;
        c->n_peers = 2;
}

static void takes_bad_for_an_edge(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)c;
        w->home[i]->domain.edges = &bad_edge;
        w->home[i]->domain.n_edges = 1;
}

static void nothing_is_captured(struct world *w)
{
        MUST_EQ(w, stuck_to(table_of(w->home[1]), bad->node, "bad.example"), 0);
        for (unsigned i = 1; i <= 3 && w->edge[i]; i++)
                MUST_EQ(w, stuck_to(table_of(w->edge[i]), bad->node, "bad.example"), 0);
}

/* joe calls good.example; it gets the INVITE and bad.example gets nothing. */
static void good_is_called(struct world *w, struct phone *joe)
{
        unsigned before = raw_count(bad, "INVITE");
        struct leg *call = phone_call(joe, "sip:zoe@good.example");
        raw_reply(raw_expect(good, "INVITE"), 486, "");
        WAIT(w, call->invite->status, 40);
        MUST_EQ(w, call->invite->status, 486);
        MUST_EQ(w, raw_count(bad, "INVITE"), before);
}

static void not_by_record_route(struct world *w)
{
        static const char *const names[] = {"good.example", "edge.example.com", "example.com", "bob@good.example"};
        struct phone *joe = phone_up(w, "joe");
        bl_flow_id f = raw_open(bad, BL_TLS, w->home[1]->node);
        for (unsigned i = 0; i < BL_ARRAY_LEN(names); i++) {
                raw_new_call(bad);
                raw_send(bad, f,
                         "INVITE sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\n"
                         "Max-Forwards: 70\nRecord-Route: <sip:%s;lr>\nFrom: <sip:eve@bad.example>;tag=$TAG\n"
                         "To: <sip:joe@example.com>\nCall-ID: $CALL\nCSeq: $N INVITE\nContact: <sip:eve@$ME>\n",
                         names[i]);
                raw_expect(bad, "SIP/2.0 200");
                nothing_is_captured(w);
        }
        MUST(w, server_count(w->home[1], "belay_hop_bindings_refused_total", "not_linked") > 0);
        good_is_called(w, joe);
}

/* Its own name it may Record-Route: the guard is about names, not about it. */
static void but_its_own_name_sticks(struct world *w)
{
        phone_up(w, "joe");
        bl_flow_id f = raw_open(bad, BL_TLS, w->home[1]->node);
        raw_send(bad, f,
                 "INVITE sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\n"
                 "Max-Forwards: 70\nRecord-Route: <sip:bad.example;lr;x=1>\nFrom: <sip:eve@bad.example>;tag=$TAG\n"
                 "To: <sip:joe@example.com>\nCall-ID: $CALL\nCSeq: $N INVITE\nContact: <sip:eve@$ME>\n");
        raw_expect(bad, "SIP/2.0 200");
        nothing_is_captured(w);
        MUST(w, stuck_to(table_of(w->home[1]), bad->node, "nobody") >= 2); /* its domain, and that */
}

static void not_by_path(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        bl_flow_id f = raw_open(bad, BL_TLS, w->home[1]->node);
        raw_send(bad, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "Path: <sip:edge.example.com;lr>\nFrom: <sip:mallory@example.com>;tag=$TAG\n"
                 "To: <sip:mallory@example.com>\nCall-ID: $CALL\nCSeq: $N REGISTER\nSupported: path\n"
                 "Contact: <sip:mallory@$ME>\nExpires: 600\n");
        raw_expect(bad, "SIP/2.0 200"); /* its flow is an edge's, so it is believed; but it is not that edge */
        nothing_is_captured(w);
        struct ask *a = phone_ask(joe, BL_M_MESSAGE, "sip:mallory@example.com");
        WAIT(w, a->status, 60);
        MUST(w, a->status >= 400);
        MUST_EQ(w, raw_count(bad, "MESSAGE"), 0);
}

/* The registrar of bad.example answers its user, whose phone also knows example.com. */
static void not_by_service_route(struct world *w)
{
        struct phone *eve = phone_new_at(w, "eve", "bad.example");
        struct bl_sticky *table = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 1, .shards = 1});
        eve->stack_conf.sticky = table;
        phone_start(eve);
        struct raw_msg *m = raw_expect(bad, "REGISTER");
        char headers[1024];
        snprintf(headers, sizeof(headers),
                 "Contact: %s\nService-Route: <sip:example.com;lr>, <sip:good.example;lr>\nExpires: 600\n",
                 raw_header(m, "Contact"));
        raw_reply(m, 200, headers);
        WAIT(w, phone_flows(eve) == 1, 10);
        MUST_EQ(w, stuck_to(table, bad->node, "bad.example"), 0);
        MUST(w, stuck_to(table, bad->node, "nobody") > 0);
        sim_kill(eve->node, SIM_KILL_RESET);
        bl_sticky_free(table);
}

/* The name leads to bad.example's address, first of all: nobody tells it anything, and all goes on with the next. */
static void the_name_leads_to_bad(struct world *w)
{
        struct bl_static_route all[WORLD_MAP];
        good_and_bad(w);
        unsigned n = w->n_map;
        memcpy(all, w->map, sizeof(all));
        w->n_map = 0;
        world_publish(w, "example.com", bad->node);
        world_publish(w, "edge.example.com", bad->node);
        world_publish(w, "good.example", bad->node);
        for (unsigned i = 0; i < n; i++)
                w->map[w->n_map++] = all[i];
}

static void not_by_a_false_address(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        leg_hang_up(phone_talk(joe, bob, NULL));
        good_is_called(w, joe);
        MUST_EQ(w, bad->n_in, 0); /* nothing was sent to it at all */
        nothing_is_captured(w);
        MUST(w, logged(w, "joe", "event=tls_refused", "wanted=example.com offered=\"sip:bad.example bad.example\"",
                       "reason=wrong_name") > 0);
        MUST(w, logged(w, "e", "event=tls_refused", "wanted=example.com", "reason=wrong_name") > 0);
        MUST(w, logged(w, "h1", "event=tls_refused", "wanted=good.example", "reason=wrong_name") > 0);
        MUST(w, server_count(w->home[1], "belay_flow_tls_refused_total", "wrong_name") > 0);
}

/* A maddr that counts, for it is configured: still the certificate is measured by the name beside it. */
static void not_by_maddr(struct world *w)
{
        char proxy[128], ip[64];
        struct phone *joe = phone_new(w, "joe");
        snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(raw_me(bad), ":"), raw_me(bad));
        snprintf(proxy, sizeof(proxy), "sip:edge.example.com;lr;transport=tls;maddr=%s", ip);
        joe->conf.outbound_proxy = bl_str_z(proxy);
        phone_start(joe);
        world_pass(w, 20);
        MUST_EQ(w, phone_flows(joe), 0);
        MUST_EQ(w, bad->n_in, 0);
        MUST(w, logged(w, "joe", "event=tls_refused", "wanted=edge.example.com", "reason=wrong_name") > 0);
}

static void not_by_redirect(struct world *w)
{
        static const unsigned status[] = {305, 302, 300};
        char ip[64], headers[256];
        struct phone *joe = phone_up(w, "joe");
        snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(raw_me(bad), ":"), raw_me(bad));
        for (unsigned i = 0; i < BL_ARRAY_LEN(status); i++) {
                struct leg *call = phone_call(joe, "sip:eve@bad.example");
                snprintf(headers, sizeof(headers), "Contact: <sip:good.example;lr;maddr=%s>\n", ip);
                raw_reply(raw_expect(bad, "INVITE"), status[i], headers);
                WAIT(w, call->invite->status, 40);
                MUST(w, call->invite->status >= 300);
                nothing_is_captured(w);
        }
        good_is_called(w, joe);
}

/* ---- an edge without a valid certificate cannot become one ---- */

static void it_cannot_become_one(struct world *w, const char *own, const char *said, bool closed)
{
        struct sim_node *e2 = w->edge[2]->node;
        struct phone *joe = phone_new(w, "joe"), *bob = phone_new(w, "bob");
        phone_start(joe);
        phone_start(bob);
        WAIT(w, phone_flows(joe) == 2 && phone_flows(bob) == 2, 120);
        MUST(w, !phone_has_edge(joe, 2) && !phone_has_edge(bob, 2));
        MUST_EQ(w, world_seen(w, joe->node, e2, ""), 0);
        MUST(w, logged(w, NULL, "event=tls_refused", "wanted=edge.example.com", said) > 0);

        /* somebody who checks nothing takes it for an edge; the home does not */
        struct raw *plain = raw_new(w, "plain");
        size_t bindings = bl_store_mem_count(w->mem);
        bl_flow_id f = raw_open(plain, BL_TLS, e2);
        raw_send(plain, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:plain@example.com>;tag=$TAG\nTo: <sip:plain@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N REGISTER\nContact: <sip:plain@$ME>\nExpires: 600\n");
        world_pass(w, 40);
        MUST_EQ(w, raw_count(plain, "SIP/2.0 2"), 0);
        MUST_EQ(w, raw_count(plain, "SIP/2.0 401"), 0);
        MUST_EQ(w, bl_store_mem_count(w->mem), bindings);
        MUST_EQ(w, world_seen(w, e2, w->home[1]->node, "REGISTER") == 0, closed);
        MUST_EQ(w, server_count(w->home[1], "belay_flow_tls_refused_total", "certificate") > 0, closed);
        MUST_EQ(w, stuck_to(table_of(w->home[1]), e2, own), 0);
        leg_hang_up(phone_talk(bob, joe, NULL));
}

/* What e2 shows, and which name that proves; what the log says of it; whether the home closes its flow: else it is a
 * flow like any UA's. */
#define PRETENDER(name_, names_, own_, bad_, said_, closed_)                                                           \
        static void name_##_shown(struct world *w)                                                                     \
        {                                                                                                              \
                world_cert(w->edge[2]->node, names_, bad_);                                                            \
        }                                                                                                              \
        static void name_(struct world *w)                                                                             \
        {                                                                                                              \
                it_cannot_become_one(w, own_, said_, closed_);                                                         \
        }
PRETENDER(an_expired_one, "sip:edge.example.com", "", "expired", "offered=sip:edge.example.com reason=expired", true)
PRETENDER(a_self_signed_one, "sip:edge.example.com", "", "self-signed",
          "offered=sip:edge.example.com reason=self-signed", true)
PRETENDER(an_unknown_issuers, "edge.example.com", "", "the issuer is unknown",
          "offered=edge.example.com reason=\"the issuer is unknown\"", true)
PRETENDER(another_name, "sip:edge.evil.example edge.evil.example", "edge.evil.example", NULL,
          "offered=\"sip:edge.evil.example edge.evil.example\" reason=wrong_name", false)
PRETENDER(a_wildcard, "*.example.com cn=edge.example.com", "", NULL,
          "offered=\"*.example.com edge.example.com\" reason=wildcard", false)
PRETENDER(a_parents_name, "sip:com cn=edge.example.com", "com", NULL, "reason=wrong_name", false)

static void nothing_shown(struct world *w)
{
        sim_certs(w->edge[2]->node, NULL, 0);
}

/* Whoever has none cannot even be asked; as a client it is a UA. */
static void none_at_all(struct world *w)
{
        struct sim_node *e2 = w->edge[2]->node;
        struct phone *joe = phone_new(w, "joe");
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 120);
        MUST(w, !phone_has_edge(joe, 2));
        MUST_EQ(w, world_seen(w, NULL, e2, ""), world_seen(w, NULL, e2, "SIP/2.0")); /* answers to what it asked */
        MUST_EQ(w, stuck_to(table_of(w->home[1]), e2, "nobody"), 0);
}

/* ---- a certificate that changes ---- */

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

static void two_domains(struct world *w)
{
        world_publish(w, "a.com", w->home[1]->node);
        world_publish(w, "b.com", w->home[2]->node);
        world_cert(w->home[1]->node, "sip:a.com", NULL);
        world_cert(w->home[2]->node, "sip:b.com", NULL);
}

static struct phone *at(struct world *w, const char *name, const char *domain_name)
{
        struct phone *p = phone_new_at(w, name, domain_name);
        phone_start(p);
        WAIT(w, phone_flows(p) == 1, 30);
        return p;
}

/* The connection breaks, and who answers then has another name: nothing that waited for b.com is his. */
static void opened_again_it_is_checked_again(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        unsigned before = stuck_to(table_of(w->home[1]), w->home[2]->node, "nobody");
        MUST(w, before >= 2);
        world_cert(w->home[2]->node, "sip:evil.com evil.com", NULL);
        sim_cut_between(w->home[1]->node, w->home[2]->node, SIM_CUT_RESET);
        WAIT(w, something_waits(table_of(w->home[1]), w->home[2]->node), 1);
        WAIT(w, logged(w, "h1", "event=tls_refused", "wanted=b.com offered=\"sip:evil.com evil.com\"", "wrong_name"),
             10);
        unsigned sent = world_seen(w, w->home[1]->node, w->home[2]->node, "");
        struct ask *a = leg_ask(at_joe, BL_M_INFO);
        world_pass(w, 5);
        MUST_EQ(w, world_seen(w, w->home[1]->node, w->home[2]->node, ""), sent);
        MUST_EQ(w, stuck_to(table_of(w->home[1]), w->home[2]->node, "nobody"), 0);
        MUST(w, !something_waits(table_of(w->home[1]), w->home[2]->node));
        world_cert(w->home[2]->node, "sip:b.com", NULL); /* and when it is right again, all goes on */
        WAIT(w, a->status, 40);
        MUST_EQ(w, a->status, 200);
        leg_hang_up(at_joe);
}

/* The other way round: b.com had accepted the connection. The next one from there is somebody else's. */
static void accepted_again_it_is_checked_again(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        MUST(w, stuck_to(table_of(w->home[2]), w->home[1]->node, "nobody") >= 2);
        world_cert(w->home[1]->node, "sip:evil.com", NULL);
        sim_cut_between(w->home[1]->node, w->home[2]->node, SIM_CUT_RESET);
        world_pass(w, 2); /* opened again in the background */
        MUST(w, stuck_to(table_of(w->home[2]), w->home[1]->node, "nobody") >= 1);
        MUST_EQ(w, stuck_to(table_of(w->home[2]), w->home[1]->node, "evil.com"), 0);
        world_cert(w->home[1]->node, "sip:a.com", NULL);
        sim_cut_between(w->home[1]->node, w->home[2]->node, SIM_CUT_RESET);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
}

int main(int argc, char **argv)
{
        const struct world_conf both = {.prepare = good_and_bad, .home_conf = knows_both},
                                open = {.prepare = good_and_bad,
                                        .home_conf = takes_bad_for_an_edge,
                                        .home_no_auth = true},
                                false_address = {.prepare = the_name_leads_to_bad, .home_conf = knows_both},
                                two = {.edges = NO_EDGES,
                                       .homes = 2,
                                       .prepare = two_domains,
                                       .home_conf = each_its_domain};
        const struct story stories[] = {
                {.name = "not_by_record_route", .tell = not_by_record_route, .conf = both, .tls_only = true},
                {.name = "but_its_own_name_sticks", .tell = but_its_own_name_sticks, .conf = both, .tls_only = true},
                {.name = "not_by_path", .tell = not_by_path, .conf = open, .tls_only = true},
                {.name = "not_by_service_route", .tell = not_by_service_route, .conf = both, .tls_only = true},
                {.name = "not_by_a_false_address",
                 .tell = not_by_a_false_address,
                 .conf = false_address,
                 .tls_only = true},
                {.name = "not_by_maddr", .tell = not_by_maddr, .conf = both, .tls_only = true},
                {.name = "not_by_redirect", .tell = not_by_redirect, .conf = both, .tls_only = true},
#define CANNOT(name_) {.name = #name_, .tell = name_, .conf = {.prepare = name_##_shown}, .tls_only = true}
                CANNOT(an_expired_one),
                CANNOT(a_self_signed_one),
                CANNOT(an_unknown_issuers),
                CANNOT(another_name),
                CANNOT(a_wildcard),
                CANNOT(a_parents_name),
                {.name = "none_at_all", .tell = none_at_all, .conf = {.prepare = nothing_shown}, .tls_only = true},
                {.name = "opened_again_it_is_checked_again",
                 .tell = opened_again_it_is_checked_again,
                 .conf = two,
                 .tls_only = true},
                {.name = "accepted_again_it_is_checked_again",
                 .tell = accepted_again_it_is_checked_again,
                 .conf = two,
                 .tls_only = true},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
