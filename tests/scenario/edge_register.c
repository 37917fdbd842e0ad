/*
 * REGISTER at an edge, seen from both of its sides: protocol.md section 2, steps 4 to 7, its guards, and sections 3.2,
 * 3.3 and 4.1 as far as they are about P. The UA and the home are written by hand, so that each may say what a real one
 * would not.
 *
 *   ua ──REGISTER──► e1 ──REGISTER, Path: <P>──► home        nothing is bound yet
 *   ua ◄────200───── e1 ◄──200, Contact with expires──       now P is bound to ua's flow
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *home, *fellow;
static struct bl_edge_home plain_home;

static void a_home_by_hand(struct world *w)
{
        home = raw_new(w, "home");
        world_publish(w, "example.com", home->node);
        for (unsigned i = 1; i <= WORLD_EDGES && w->edge[i]; i++)
                world_trust(w->edge[i], "example.com", home->node);
}

static void not_belay(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)w, (void)i;
        plain_home = (struct bl_edge_home){.domain = BL_STR("example.com"), .belay = false};
        c->homes = &plain_home;
}

/* --- the two sides --- */

struct reg { /* one REGISTER; zero: joe's usual one */
        const char *ruri, *to, *route, *contact, *headers;
        unsigned instance; /* 0: none */
};

static const char *or_else(const char *s, const char *usual)
{
        return s ? s : usual;
}

static void send_register(struct raw *ua, bl_flow_id f, struct reg r)
{
        char contact[300];
        snprintf(contact, sizeof(contact), "<sip:joe@192.0.2.77>%s", r.instance ? ";reg-id=1" : "");
        if (r.instance)
                snprintf(contact + strlen(contact), sizeof(contact) - strlen(contact),
                         ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-%012u>\"", r.instance);
        raw_send(ua, f,
                 "REGISTER %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s%s%s"
                 "From: <%s>;tag=$TAG\nTo: <%s>\nCall-ID: $CALL\nCSeq: $N REGISTER\nContact: %s\n%s",
                 or_else(r.ruri, "sip:example.com"), r.route ? "Route: <" : "", or_else(r.route, ""),
                 r.route ? ">\n" : "", or_else(r.to, "sip:joe@example.com"), or_else(r.to, "sip:joe@example.com"),
                 or_else(r.contact, contact), or_else(r.headers, ""));
}

/* The home's 200: the Contact as it came, with this expiry. */
static void accept(struct raw_msg *m, unsigned expires)
{
        char lines[2048];
        snprintf(lines, sizeof(lines), "Contact: %s;expires=%u\nPath: %s\nRequire: outbound\n",
                 raw_header(m, "Contact"), expires, raw_list(m, "Path"));
        raw_reply(m, 200, lines);
}

static const char *p_of(struct raw_msg *m)
{
        const char *path = raw_list(m, "Path");
        char *p = bl_arena_alloc(m->at->arena, strlen(path) + 1);
        p[0] = 0;
        sscanf(path, "<%[^>]", p);
        return p;
}

static size_t bound(struct server *s)
{
        size_t n = 0;
        for (unsigned i = 0; i < sim_workers(s->node); i++)
                n += bl_edge_bindings(s->edge[i]);
        return n;
}

/* Registers and waits for the 200; P. */
static const char *registered(struct raw *ua, bl_flow_id f, struct reg r, unsigned expires)
{
        send_register(ua, f, r);
        struct raw_msg *m = raw_expect(home, "REGISTER");
        const char *p = p_of(m);
        accept(m, expires);
        raw_expect(ua, "SIP/2.0 200");
        return p;
}

static void refused_here(struct raw *ua, const char *status)
{
        struct world *w = ua->w;
        raw_expect(ua, status);
        world_pass(w, 1);
        MUST(w, raw_got(home, "REGISTER") == NULL);
}

#define STICKY "Supported: path, outbound, sticky\n"

/* --- binding --- */

/* Step 6: on the 2xx and only then. */
static void bound_on_the_2xx_and_only_then(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        send_register(ua, f, (struct reg){.instance = 1, .headers = STICKY});
        struct raw_msg *m = raw_expect(home, "REGISTER");
        MUST_EQ(w, bound(w->edge[1]), 0);
        raw_reply(m, 401, "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"1\"\n");
        raw_expect(ua, "SIP/2.0 401");
        MUST_EQ(w, bound(w->edge[1]), 0);
        /* a 2xx that lists somebody else's Contact is none for this one */
        send_register(ua, f, (struct reg){.instance = 1, .headers = STICKY});
        raw_reply(raw_expect(home, "REGISTER"), 200, "Contact: <sip:zoe@192.0.2.78>;expires=600\n");
        raw_expect(ua, "SIP/2.0 200");
        MUST_EQ(w, bound(w->edge[1]), 0);
        /* a query lists it, and binds nothing */
        raw_send(ua, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:joe@example.com>;tag=$TAG\nTo: <sip:joe@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N REGISTER\n");
        m = raw_expect(home, "REGISTER");
        MUST_EQ(w, strlen(raw_list(m, "Path")), 0);
        raw_reply(m, 200, "Contact: <sip:joe@192.0.2.77>;expires=600\n");
        raw_expect(ua, "SIP/2.0 200");
        MUST_EQ(w, bound(w->edge[1]), 0);
        registered(ua, f, (struct reg){.instance = 1, .headers = STICKY}, 600);
        MUST_EQ(w, bound(w->edge[1]), 1);
}

/* Step 3: a phone that put the redirect's Contact into the Request-URI (RFC 3261 8.1.3.4) means its home domain. */
static void the_cluster_as_request_uri(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        send_register(ua, f, (struct reg){.ruri = "sip:edge.example.com;lr"});
        struct raw_msg *m = raw_expect(home, "REGISTER");
        MUST(w, bl_str_starts(m->text, BL_STR("REGISTER sip:example.com SIP/2.0")));
        accept(m, 600);
        raw_expect(ua, "SIP/2.0 200");
}

static void options_by(struct raw *ua, bl_flow_id f, const char *p)
{
        raw_send(ua, f,
                 "OPTIONS sip:zoe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "Route: <%s>\nFrom: <sip:joe@example.com>;tag=$TAG\nTo: <sip:zoe@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N OPTIONS\n",
                 p);
}

/* Expires 0 unbinds: the flow may speak for joe no longer. */
static void expires_0_unbinds(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        const char *p = registered(ua, f, (struct reg){.instance = 1, .headers = STICKY}, 600);
        options_by(ua, f, p);
        raw_reply(raw_expect(home, "OPTIONS"), 200, "");
        raw_expect(ua, "SIP/2.0 200");
        send_register(ua, f, (struct reg){.instance = 1, .route = p, .headers = STICKY "Expires: 0\n"});
        raw_reply(raw_expect(home, "REGISTER"), 200, "");
        raw_expect(ua, "SIP/2.0 200");
        MUST_EQ(w, bound(w->edge[1]), 0);
        options_by(ua, f, p);
        raw_expect(ua, "SIP/2.0 403");
}

/* So does Contact: *, with P as Route and, from a plain UA, without. */
static void a_star_unbinds(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        for (int with_p = 0; with_p < 2; with_p++) {
                const char *p = registered(ua, f, (struct reg){.instance = 1, .headers = STICKY}, 600);
                MUST_EQ(w, bound(w->edge[1]), 1);
                send_register(
                        ua, f,
                        (struct reg){.contact = "*", .route = with_p ? p : NULL, .headers = STICKY "Expires: 0\n"});
                struct raw_msg *m = raw_expect(home, "REGISTER");
                MUST_EQ(w, bound(w->edge[1]), 1);
                raw_reply(m, 403, ""); /* not without the home's consent */
                raw_expect(ua, "SIP/2.0 403");
                MUST_EQ(w, bound(w->edge[1]), 1);
                send_register(
                        ua, f,
                        (struct reg){.contact = "*", .route = with_p ? p : NULL, .headers = STICKY "Expires: 0\n"});
                raw_reply(raw_expect(home, "REGISTER"), 200, "");
                raw_expect(ua, "SIP/2.0 200");
                MUST_EQ(w, bound(w->edge[1]), 0);
        }
}

/* 3.2: a UDP 5-tuple that registers another instance has changed hands; a connection has not. */
static void another_instance_on_the_same_flow(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        const char *p = registered(ua, f, (struct reg){.instance = 1, .headers = STICKY}, 600);
        const char *q = registered(ua, f, (struct reg){.instance = 2, .headers = STICKY}, 600);
        MUST(w, strcmp(p, q) != 0);
        MUST_EQ(w, bound(w->edge[1]), w->conf.tp == BL_UDP ? 1 : 2);
        options_by(ua, f, q);
        raw_reply(raw_expect(home, "OPTIONS"), 200, "");
}

/* 3.3: P lives as long as the registration, and a grace of 30 s. */
static void a_registration_ends(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        registered(ua, f, (struct reg){.instance = 1, .headers = STICKY}, 60);
        world_pass(w, 85);
        MUST_EQ(w, bound(w->edge[1]), 1);
        world_pass(w, 10);
        MUST_EQ(w, bound(w->edge[1]), 0);
}

/* --- what the UA is told --- */

/* Step 6: the draft's form, to whom it knows: the others only, and that this must be understood. */
static void alternative_proxies(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        send_register(ua, f, (struct reg){.instance = 1, .headers = "Supported: path, outbound, alt-proxies\n"});
        struct raw_msg *m = raw_expect(home, "REGISTER");
        accept(m, 600);
        struct raw_msg *ok = raw_expect(ua, "SIP/2.0 200");
        const char *others = raw_list(ok, "Alternative-Proxies"), *all = raw_list(ok, "Outbound-Proxy");
        MUST(w, strstr(all, others) && strlen(all) > strlen(others) + 10);
        MUST(w, strstr(others, ";maddr=") && strstr(others, "sip:joe+"));
        MUST(w, strchr(others, ',') == NULL); /* N = 2: one other */
        MUST(w, strstr(raw_list(ok, "Require"), "alt-proxies") != NULL);
        /* who says only sticky gets Outbound-Proxy alone */
        send_register(ua, f, (struct reg){.instance = 2, .headers = STICKY});
        accept(raw_expect(home, "REGISTER"), 600);
        ok = raw_expect(ua, "SIP/2.0 200");
        MUST_EQ(w, strlen(raw_list(ok, "Alternative-Proxies")), 0);
        MUST(w, strlen(raw_list(ok, "Outbound-Proxy")) > 0);
}

/* 4.1: the backup is in another zone, whatever its weight. */
static void in_two_zones(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        not_belay(w, i, c);
        for (unsigned k = 0; k < c->n_members; k++)
                w->edge[i]->members[k].zone = k + 1 == c->n_members ? BL_STR("south") : BL_STR("north");
        c->zone = BL_STR("north");
}

static void a_backup_in_another_zone(struct world *w)
{
        static const char *const users[] = {"sip:joe@example.com", "sip:bob@example.com", "sip:alice@example.com",
                                            "sip:carol@example.com", "sip:dave@example.com"};
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, BL_TCP, w->edge[1]->node);
        for (unsigned i = 0; i < BL_ARRAY_LEN(users); i++) {
                const char *p = registered(ua, f, (struct reg){.to = users[i], .instance = 1, .headers = STICKY}, 600);
                MUST(w, strstr(p, "+e1+e5+") != NULL);
        }
}

/* --- guards --- */

static void request_uri_and_to(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        send_register(ua, f, (struct reg){.ruri = "sip:other.example", .instance = 1});
        refused_here(ua, "SIP/2.0 403");
        send_register(ua, f, (struct reg){.ruri = "sip:other.example", .to = "sip:joe@other.example"});
        refused_here(ua, "SIP/2.0 403");
        send_register(ua, f, (struct reg){.to = "sip:joe@other.example"});
        refused_here(ua, "SIP/2.0 403");
        send_register(ua, f, (struct reg){.ruri = "sip:joe@example.com"});
        refused_here(ua, "SIP/2.0 403");
        send_register(ua, f, (struct reg){.route = "sip:victim.example;lr"});
        refused_here(ua, "SIP/2.0 403");
        send_register(ua, f, (struct reg){.route = "sip:edge.example.com;lr>, <sip:victim.example;lr"});
        refused_here(ua, "SIP/2.0 403");
}

/* P in Route stands for one Contact. */
static void p_with_two_contacts(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        const char *p = registered(ua, f, (struct reg){.instance = 1, .headers = STICKY}, 600);
        send_register(ua, f,
                      (struct reg){.route = p,
                                   .headers = STICKY,
                                   .contact = "<sip:joe@192.0.2.77>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-"
                                              "1000-8000-000000000001>\", <sip:joe@192.0.2.78>"});
        refused_here(ua, "SIP/2.0 403");
}

/* A phone whose address changed: the old Contact goes, the new one comes, in one request. None may be a P. */
static void an_old_contact_and_a_new_one(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        send_register(ua, f,
                      (struct reg){.contact = "<sip:joe@192.0.2.77>;expires=0, <sip:joe@192.0.2.78>;expires=600"});
        struct raw_msg *m = raw_expect(home, "REGISTER");
        char lines[2048];
        snprintf(lines, sizeof(lines), "Contact: <sip:joe@192.0.2.78>;expires=600\nPath: %s\n", raw_list(m, "Path"));
        raw_reply(m, 200, lines);
        raw_expect(ua, "SIP/2.0 200");
        MUST_EQ(w, bound(w->edge[1]), 1);
        send_register(ua, f, (struct reg){.contact = "<sip:joe@192.0.2.78>, <sip:joe+e1+Eabcdef@edge.example.com>"});
        refused_here(ua, "SIP/2.0 403");
}

/* A P of a key that was rotated away: sticky UAs start over at the cluster, plain ones get a new P. */
static void an_unknown_key(struct world *w)
{
        char text[BL_TOKEN_MAX], route[BL_TOKEN_MAX + 8], error[256];
        struct bl_token_keys *old = bl_token_keys_parse(BL_STR("Z 0123456789abcdef0123456789abcdef\n"), error, 256);
        struct bl_token_cluster c = {BL_STR("edge.example.com"), BL_STR("example.com"), old, false};
        struct bl_token t = {.user = BL_STR("joe"), .domain = BL_STR("example.com"), .instance = BL_STR("k3v9x0q2")};
        t.node[t.n_nodes++] = BL_STR("e1");
        struct bl_sb b = BL_SB(text);
        MUST_EQ(w, bl_token_put(&c, &t, &b), 0);
        snprintf(route, sizeof(route), "%.*s;lr", (int)b.n, text);
        bl_token_keys_free(old);

        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        send_register(ua, f, (struct reg){.instance = 1, .route = route, .headers = STICKY});
        struct raw_msg *m = raw_expect(ua, "SIP/2.0 305");
        MUST(w, strcmp(raw_header(m, "Contact"), "<sip:edge.example.com;lr>") == 0);
        MUST_EQ(w, raw_count(home, "REGISTER"), 0);
        const char *p = registered(ua, f, (struct reg){.instance = 1, .route = route, .headers = ""}, 600);
        MUST(w, strstr(p, "sip:joe+") && strcmp(p, route) != 0);
}

/* 4.4: the nodes that P names are gone. Of the living ones the first two in its order take it as it is; the others send
 * the UA to those two. */
static void any_survivor_will_do(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        struct bl_token_cluster c = {BL_STR("edge.example.com"), BL_STR("example.com"), w->edge_keys, false};
        struct bl_token t = {.user = BL_STR("joe"), .domain = BL_STR("example.com")};
        char text[BL_TOKEN_MAX], route[BL_TOKEN_MAX + 8], digest[BL_TOKEN_INSTANCE],
                named[5][300] = {"", "", "", "", ""};
        struct bl_sb b = BL_SB(text), d = BL_SB(digest);
        bl_token_instance(&c, BL_STR("<urn:uuid:00000000-0000-1000-8000-000000000001>"), &d);
        t.instance = bl_sb_str(&d);
        t.node[t.n_nodes++] = BL_STR("gone1");
        t.node[t.n_nodes++] = BL_STR("gone2");
        MUST_EQ(w, bl_token_put(&c, &t, &b), 0);
        snprintf(route, sizeof(route), "%.*s;lr", (int)b.n, text);
        unsigned adopted = 0;
        for (unsigned e = 1; e <= 5; e++) {
                bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[e]->node);
                send_register(ua, f, (struct reg){.instance = 1, .route = route, .headers = STICKY});
                WAIT(w, raw_count(home, "REGISTER") > adopted || raw_count(ua, "SIP/2.0 305") > e - 1 - adopted, 10);
                struct raw_msg *m = raw_got(home, "REGISTER");
                if (m) {
                        MUST(w, strncmp(p_of(m), route, strlen(route)) == 0);
                        accept(m, 600);
                        MUST(w, strlen(raw_list(raw_expect(ua, "SIP/2.0 200"), "Outbound-Proxy")) > 0); /* a new set */
                        adopted++;
                        continue;
                }
                snprintf(named[e - 1], sizeof(named[0]), "%s", raw_list(raw_expect(ua, "SIP/2.0 305"), "Contact"));
        }
        MUST_EQ(w, adopted, 2);
        for (unsigned e = 1; e <= 5; e++) {
                MUST_EQ(w, bound(w->edge[e]), named[e - 1][0] ? 0 : 1);
                for (unsigned k = 1; k <= 5 && named[e - 1][0]; k++) {
                        char maddr[64];
                        struct bl_sb at = BL_SB(maddr);
                        struct bl_addr a = sim_addr(w->edge[k]->node, 0);
                        bl_sb_addz(&at, ";maddr=");
                        bl_addr_put_ip(&at, &a);
                        bl_sb_addc(&at, '>');
                        bl_sb_addc(&at, 0);
                        MUST(w, (strstr(named[e - 1], maddr) != NULL) == !named[k - 1][0]);
                }
        }
}

/* 4.4 and 2.6: a node named by maddr adopts P whatever its order says, tells the new set once, and stays named in it.
 */
static void named_by_maddr(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        char route[600], list[2048], mine[64];
        const char *p = registered(ua, raw_open(ua, w->conf.tp, w->edge[1]->node),
                                   (struct reg){.instance = 1, .headers = STICKY}, 600);
        unsigned other = 2; /* neither of the two that P names */
        for (char name[8]; other < 5; other++) {
                snprintf(name, sizeof(name), "+e%u+", other);
                if (!strstr(p, name))
                        break;
        }
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[other]->node);
        struct bl_addr a = sim_addr(w->edge[other]->node, 0);
        struct bl_sb at = BL_SB(mine);
        bl_sb_addz(&at, ";maddr=");
        bl_addr_put_ip(&at, &a);
        bl_sb_addc(&at, 0);
        snprintf(route, sizeof(route), "%s%s", p, mine);
        for (unsigned refresh = 0; refresh < 2; refresh++) {
                send_register(ua, f, (struct reg){.instance = 1, .route = route, .headers = STICKY});
                struct raw_msg *m = raw_expect(home, "REGISTER");
                MUST(w, strncmp(p_of(m), p, strlen(p)) == 0);
                accept(m, 600);
                snprintf(list, sizeof(list), "%s", raw_list(raw_expect(ua, "SIP/2.0 200"), "Outbound-Proxy"));
                if (refresh) {
                        MUST_EQ(w, strlen(list), 0);
                        continue;
                }
                char *second = strchr(list, ','); /* itself by maddr, then e1, the first living of P's order */
                MUST(w, second != NULL);
                *second++ = 0;
                char *said = strstr(list, mine);
                MUST(w, said && said[strlen(mine)] == '>');
                MUST(w, strchr(second, ',') == NULL && strstr(second, ";maddr=") && !strstr(second, mine));
        }
        MUST_EQ(w, bound(w->edge[other]), 1);
        MUST_EQ(w, server_count(w->edge[other], "belay_edge_adopted_total", NULL), 1);
}

/* RFC 5626 section 6: a UA that was told a Flow-Timer (120) and falls silent is cut off: after the grace (30) nothing
 * of it is left, and a request for it is not sent into the void. One that says something now and then stays, and so
 * does one that never promised to. */
static void cut_off_silently(struct world *w)
{
        struct raw *dead = raw_new(w, "dead"), *alive = raw_new(w, "alive"), *old = raw_new(w, "old");
        struct raw *all[] = {dead, alive, old};
        bl_flow_id f[3], h = raw_open(home, w->conf.tp, w->edge[1]->node);
        const char *p[3];
        for (unsigned i = 0; i < 3; i++) {
                char to[64], contact[300];
                snprintf(to, sizeof(to), "sip:%s@example.com", all[i]->name);
                snprintf(contact, sizeof(contact), "<sip:%s@192.0.2.77>;+sip.instance=\"<urn:uuid:%u>\"%s",
                         all[i]->name, i, i < 2 ? ";reg-id=1" : "");
                f[i] = raw_open(all[i], w->conf.tp, w->edge[1]->node);
                p[i] = registered(all[i], f[i], (struct reg){.to = to, .contact = contact, .headers = STICKY}, 600);
        }
        MUST_EQ(w, bound(w->edge[1]), 3);
        for (unsigned s = 0; s < 300; s += 20) {
                MUST_EQ(w, bound(w->edge[1]), s < 160 ? 3 : 2);
                raw_send(alive, f[1],
                         "OPTIONS sip:edge.example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\n"
                         "Max-Forwards: 70\nFrom: <sip:alive@example.com>;tag=$TAG\nTo: <sip:edge.example.com>\n"
                         "Call-ID: $CALL\nCSeq: $N OPTIONS\n");
                raw_expect(alive, "SIP/2.0 200");
                world_pass(w, 20);
        }
        MUST_EQ(w, server_count(w->edge[1], "belay_edge_flows_silent_total", NULL), 1);
        for (unsigned i = 0; i < 3; i++) {
                char maddr[64];
                struct bl_addr a = sim_addr(w->edge[1]->node, 0);
                struct bl_sb at = BL_SB(maddr);
                bl_addr_put_ip(&at, &a);
                bl_sb_addc(&at, 0);
                raw_send(home, h,
                         "MESSAGE sip:x@192.0.2.77 SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\n"
                         "Max-Forwards: 70\nRoute: <%s;maddr=%s>\nFrom: <sip:zoe@example.com>;tag=$TAG\n"
                         "To: <sip:x@example.com>\nCall-ID: $CALL\nCSeq: $N MESSAGE\n",
                         p[i], maddr);
                if (i)
                        raw_reply(raw_expect(all[i], "MESSAGE"), 200, "");
                raw_expect(home, i ? "SIP/2.0 200" : "SIP/2.0 430");
        }
        MUST_EQ(w, raw_count(dead, "MESSAGE"), 0);
}

/* A registration goes edge, intermediate, home, never back: from the home's side none is taken (section 2, guards). */
static void the_core_registers_nobody(struct world *w)
{
        bl_flow_id f = raw_open(home, w->conf.tp, w->edge[1]->node);
        send_register(home, f, (struct reg){.instance = 1, .headers = STICKY});
        raw_expect(home, "SIP/2.0 403");
        world_pass(w, 1);
        MUST_EQ(w, raw_count(home, "REGISTER"), 0);
        MUST_EQ(w, bound(w->edge[1]), 0);
        MUST_EQ(w, server_count(w->edge[1], "belay_edge_refused_total", "register_from_core"), 1);
}

/* A fellow edge forwards calls; registrations it does not. */
static struct bl_edge_member with_a_fellow[3];

static void one_more_member(struct world *w)
{
        a_home_by_hand(w);
        fellow = raw_new(w, "e9");
}

static void knows_the_fellow(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        not_belay(w, i, c);
        memcpy(with_a_fellow, c->members, c->n_members * sizeof(with_a_fellow[0]));
        with_a_fellow[c->n_members] =
                (struct bl_edge_member){.name = BL_STR("e9"), .addr = {sim_addr(fellow->node, 5060)}, .n_addr = 1};
        c->members = with_a_fellow;
        c->n_members++;
}

static void a_fellow_registers_nobody(struct world *w)
{
        bl_flow_id f = raw_open(fellow, w->conf.tp, w->edge[1]->node);
        send_register(fellow, f, (struct reg){.instance = 1, .headers = STICKY});
        refused_here(fellow, "SIP/2.0 403");
}

int main(int argc, char **argv)
{
        const struct world_conf conf = {
                .edges = 2, .homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = not_belay};
        const struct world_conf zones = {
                .edges = 5, .homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = in_two_zones};
        const struct world_conf fellows = {
                .edges = 2, .homes = NO_HOMES, .prepare = one_more_member, .edge_conf = knows_the_fellow};
#define IS(name_)                                                                                                      \
        {                                                                                                              \
                .name = #name_, .tell = name_, .conf = conf                                                            \
        }
        const struct story stories[] = {
                IS(bound_on_the_2xx_and_only_then),
                IS(the_cluster_as_request_uri),
                IS(expires_0_unbinds),
                IS(a_star_unbinds),
                IS(another_instance_on_the_same_flow),
                IS(a_registration_ends),
                IS(alternative_proxies),
                {.name = "a_backup_in_another_zone", .tell = a_backup_in_another_zone, .conf = zones},
                IS(request_uri_and_to),
                IS(p_with_two_contacts),
                IS(an_old_contact_and_a_new_one),
                IS(an_unknown_key),
                {.name = "any_survivor_will_do",
                 .tell = any_survivor_will_do,
                 .conf = {.edges = 5, .homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = not_belay}},
                {.name = "named_by_maddr",
                 .tell = named_by_maddr,
                 .conf = {.edges = 5, .homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = not_belay}},
                IS(the_core_registers_nobody),
                IS(cut_off_silently),
                {.name = "a_fellow_registers_nobody", .tell = a_fellow_registers_nobody, .conf = fellows},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
