/*
 * What an attacker tries: protocol.md sections 2, 3.2 and 5. Mallory has an account of her own and knows joe's P and
 * Contact, as every remote party does (she talked to him once). Knowing them gives her nothing: no request of hers is
 * delivered where it should not be, nothing is bound, and joe's own calls arrive at joe's.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

struct scene {
        struct world *w;
        struct phone *joe, *bob;
        struct raw *mallory;
        unsigned edge;   /* where joe's primary flow is */
        bl_flow_id flow; /* of mallory to that edge, over which nobody has registered */
        char p[512];     /* joe's P with ;lr, as Record-Routes show it */
        char p_d[600];   /* with the `d` of their call */
        char contact[256], instance[128], home_d[256];
};

static void copy(char *to, size_t cap, struct bl_str s)
{
        snprintf(to, cap, "%.*s", BL_STR_ARG(s));
}

/* The URI between the < > that begins with `start`. */
static void cut_uri(struct world *w, struct bl_str text, const char *start, char *to, size_t cap)
{
        char z[8192];
        copy(z, sizeof(z), text);
        char *at = strstr(z, start);
        MUST(w, at != NULL);
        at[strcspn(at, ">")] = 0;
        snprintf(to, cap, "%s", at + 1);
}

/* joe and bob talk; mallory, who could have been bob, has read what bob reads. */
static struct scene scene_of(struct world *w)
{
        struct scene s = {.w = w};
        s.joe = phone_up(w, "joe");
        s.bob = phone_up(w, "bob");
        struct leg *call = phone_talk(s.joe, s.bob, NULL);
        struct bl_str invite = world_last(w, NULL, s.bob->node, "INVITE");
        cut_uri(w, invite, "<sip:joe+", s.p_d, sizeof(s.p_d));
        snprintf(s.p, sizeof(s.p), "%.*s", (int)(strstr(s.p_d, ";d=") - s.p_d), s.p_d);
        cut_uri(w, invite, "<sip:example.com;lr;d=", s.home_d, sizeof(s.home_d));
        cut_uri(w, text_header(invite, "Contact"), "<sip:", s.contact, sizeof(s.contact));
        snprintf(s.instance, sizeof(s.instance), "%s", s.joe->instance);
        leg_hang_up(call);
        s.edge = phone_edge(s.joe, 0);
        s.mallory = raw_new(w, "mallory");
        s.flow = raw_open(s.mallory, w->conf.tp, w->edge[s.edge]->node);
        return s;
}

/* After all of it: joe is where he was, and nobody got what was meant for him. */
static void joe_is_unharmed(struct scene *s)
{
        struct world *w = s->w;
        MUST_EQ(w, raw_count(s->mallory, "INVITE"), 0);
        MUST_EQ(w, raw_count(s->mallory, "OPTIONS"), 0);
        unsigned before = s->joe->invited;
        leg_hang_up(phone_talk(s->bob, s->joe, NULL));
        MUST_EQ(w, s->joe->invited, before + 1);
        MUST_EQ(w, raw_count(s->mallory, "INVITE"), 0);
}

static const char *register_as(struct scene *s, const char *who, const char *route, const char *instance,
                               const char *authorization)
{
        char *text = bl_arena_alloc(s->mallory->arena, 4096);
        snprintf(text, 4096,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "%s%s%sFrom: <sip:%s@example.com>;tag=$TAG\nTo: <sip:%s@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N REGISTER\nSupported: path, outbound\n"
                 "Contact: <sip:mallory@$ME>;reg-id=1;+sip.instance=\"<%s>\"\nExpires: 600\n%s%s",
                 route[0] ? "Route: <" : "", route, route[0] ? ">\n" : "", who, who, instance, authorization,
                 authorization[0] ? "\n" : "");
        return text;
}

/* Section 2, guards: mallory registers herself onto joe's P, in every way she can think of. */
static void registering_onto_anothers_p(struct world *w)
{
        struct scene s = scene_of(w);
        const size_t bindings = bl_store_mem_count(w->mem), at_edge = server_bindings(w->edge[s.edge]);
        const char *mine = "urn:uuid:00000000-0000-1000-8000-00000000dead";
        /* her own address of record, joe's P */
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "mallory", s.p, mine, ""));
        raw_expect(s.mallory, "SIP/2.0 403");
        /* and with joe's instance */
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "mallory", s.p, s.instance, ""));
        raw_expect(s.mallory, "SIP/2.0 403");
        /* as joe, with an instance of her own */
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "joe", s.p, mine, ""));
        raw_expect(s.mallory, "SIP/2.0 403");
        /* as joe with all that is joe's: the home wants his password; hers is not his */
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "joe", s.p, s.instance, ""));
        struct raw_msg *challenge = raw_expect(s.mallory, "SIP/2.0 401");
        const char *as_mallory = raw_authorize(challenge, "mallory", "secret-mallory", "REGISTER", "sip:example.com");
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "joe", s.p, s.instance, as_mallory));
        raw_expect(s.mallory, "SIP/2.0 403");
        const char *as_joe = raw_authorize(challenge, "joe", "a guess", "REGISTER", "sip:example.com");
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "joe", s.p, s.instance, as_joe));
        raw_expect(s.mallory, "SIP/2.0 401");
        MUST_EQ(w, bl_store_mem_count(w->mem), bindings);
        MUST_EQ(w, server_bindings(w->edge[s.edge]), at_edge);
        joe_is_unharmed(&s);
}

/* A token that was not made by the cluster, a Path of the UA's own, P outside of Route: 403 each. */
static void tokens_that_are_none(struct world *w)
{
        struct scene s = scene_of(w);
        const char *mine = "urn:uuid:00000000-0000-1000-8000-00000000dead";
        char bad[512];
        snprintf(bad, sizeof(bad), "%s", s.p);
        char *mac = strchr(bad, '@') - 1;
        *mac = *mac == 'A' ? 'B' : 'A'; /* one character of the MAC */
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "joe", bad, s.instance, ""));
        raw_expect(s.mallory, "SIP/2.0 403");
        snprintf(bad, sizeof(bad), "sip:mallory+e1+e2+Eabcdefabcdef@edge.example.com;lr");
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "mallory", bad, mine, ""));
        raw_expect(s.mallory, "SIP/2.0 403");
        /* her own Path, towards herself */
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "mallory", "", mine, "Path: <sip:mallory@evil.example;lr>"));
        raw_expect(s.mallory, "SIP/2.0 403");
        /* P in the Request-URI */
        raw_send(s.mallory, s.flow,
                 "OPTIONS %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:mallory@example.com>;tag=$TAG\nTo: <sip:joe@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N OPTIONS\n",
                 s.p);
        raw_expect(s.mallory, "SIP/2.0 403");
        /* P in Contact */
        raw_send(s.mallory, s.flow,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:mallory@example.com>;tag=$TAG\nTo: <sip:mallory@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N REGISTER\nContact: <%s>\nExpires: 600\n",
                 s.p);
        raw_expect(s.mallory, "SIP/2.0 403");
        joe_is_unharmed(&s);
}

static void ask(struct scene *s, bl_flow_id flow, const char *method, const char *from, const char *routes,
                const char *to_tag)
{
        raw_send(s->mallory, flow,
                 "%s %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s"
                 "From: <sip:%s@example.com>;tag=$TAG\nTo: <sip:joe@example.com>%s\nCall-ID: $CALL\n"
                 "CSeq: $N %s\nContact: <sip:mallory@$ME>\n",
                 method, s->contact, routes, from, to_tag, method);
}

static void refused(struct scene *s, const char *status)
{
        raw_expect(s->mallory, status);
        MUST_EQ(s->w, raw_count(s->mallory, "SIP/2.0 2"), 0);
}

/* Section 5, direction and trust, from the UA's side: a flow that has not proven joe's P. */
static void crafted_routes_from_outside(struct world *w)
{
        struct scene s = scene_of(w);
        char routes[2048];
        unsigned to_joe = world_seen(w, NULL, s.joe->node, "");
        /* towards joe directly, through his P */
        snprintf(routes, sizeof(routes), "Route: <%s>\n", s.p);
        ask(&s, s.flow, "INVITE", "mallory", routes, "");
        refused(&s, "SIP/2.0 403");
        /* inside a dialog that does not exist, without and with a `d` that is another call's */
        ask(&s, s.flow, "INFO", "mallory", routes, ";tag=x");
        refused(&s, "SIP/2.0 403");
        snprintf(routes, sizeof(routes), "Route: <%s>\n", s.p_d);
        ask(&s, s.flow, "BYE", "mallory", routes, ";tag=x");
        refused(&s, "SIP/2.0 403");
        /* a P that names no flow, no Route at all: no relaying */
        ask(&s, s.flow, "INVITE", "mallory", "", "");
        refused(&s, "SIP/2.0 403");
        ask(&s, s.flow, "INVITE", "mallory", "Route: <sip:edge.example.com;lr>\n", "");
        refused(&s, "SIP/2.0 403");
        /* past the edge: to some other host */
        snprintf(routes, sizeof(routes), "Route: <%s>, <sip:victim.example;lr>\n", s.p);
        ask(&s, s.flow, "INVITE", "joe", routes, "");
        refused(&s, "SIP/2.0 403");
        MUST_EQ(w, world_seen(w, NULL, s.joe->node, ""), to_joe);
        joe_is_unharmed(&s);
}

/* The same towards the home, which only believes its own `d`. */
static void crafted_routes_at_the_home(struct world *w)
{
        struct scene s = scene_of(w);
        bl_flow_id flow = raw_open(s.mallory, w->conf.tp, w->home[1]->node);
        char routes[2048];
        unsigned to_joe = world_seen(w, NULL, s.joe->node, "");
        /* out of a dialog, with joe's P pushed by herself: who are you? */
        snprintf(routes, sizeof(routes), "Route: <sip:example.com;lr>, <%s>\n", s.p);
        ask(&s, flow, "INVITE", "mallory", routes, "");
        struct raw_msg *challenge = raw_expect(s.mallory, "SIP/2.0 407");
        /* and when she says who she is, her Route still is not obeyed */
        const char *auth = raw_authorize(challenge, "mallory", "secret-mallory", "INVITE", s.contact);
        char with[4096];
        snprintf(with, sizeof(with), "%s%s\n", routes, auth);
        ask(&s, flow, "INVITE", "mallory", with, "");
        refused(&s, "SIP/2.0 403");
        /* inside a dialog with the `d` of another call */
        snprintf(routes, sizeof(routes), "Route: <%s>, <%s>\n", s.home_d, s.p);
        ask(&s, flow, "BYE", "mallory", routes, ";tag=x");
        refused(&s, "SIP/2.0 403");
        /* a To tag alone is nothing */
        snprintf(routes, sizeof(routes), "Route: <sip:example.com;lr>, <%s>\n", s.p_d);
        ask(&s, flow, "BYE", "mallory", routes, ";tag=x");
        refused(&s, "SIP/2.0 407");
        MUST_EQ(w, world_seen(w, NULL, s.joe->node, ""), to_joe);
        joe_is_unharmed(&s);
}

/* Mallory is registered: on her own flow she may only speak as herself, and only towards the home. */
static void a_registered_user_stays_herself(struct world *w)
{
        struct scene s = scene_of(w);
        const char *mine = "urn:uuid:00000000-0000-1000-8000-00000000dead";
        char p[512] = "", routes[2048];
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "mallory", "sip:edge.example.com;lr", mine, ""));
        struct raw_msg *challenge = raw_expect(s.mallory, "SIP/2.0 401");
        raw_send(s.mallory, s.flow, "%s",
                 register_as(&s, "mallory", "sip:edge.example.com;lr", mine,
                             raw_authorize(challenge, "mallory", "secret-mallory", "REGISTER", "sip:example.com")));
        struct raw_msg *ok = raw_expect(s.mallory, "SIP/2.0 200");
        MUST(w, sscanf(raw_list(ok, "Path"), "<%511[^>]", p) == 1);
        s.mallory->n_in = 0;
        unsigned to_joe = world_seen(w, NULL, s.joe->node, "");
        /* as joe, through her own P */
        snprintf(routes, sizeof(routes), "Route: <%s>, <sip:example.com;lr>\n", p);
        ask(&s, s.flow, "INVITE", "joe", routes, "");
        refused(&s, "SIP/2.0 403");
        /* through joe's P on her flow, as herself and as joe */
        snprintf(routes, sizeof(routes), "Route: <%s>, <sip:example.com;lr>\n", s.p);
        ask(&s, s.flow, "INVITE", "mallory", routes, "");
        refused(&s, "SIP/2.0 4");
        ask(&s, s.flow, "INVITE", "joe", routes, "");
        refused(&s, "SIP/2.0 4");
        /* past the home */
        snprintf(routes, sizeof(routes), "Route: <%s>, <sip:victim.example;lr>\n", p);
        ask(&s, s.flow, "INVITE", "mallory", routes, "");
        refused(&s, "SIP/2.0 403");
        /* through the home with joe's P behind it */
        snprintf(routes, sizeof(routes), "Route: <%s>, <sip:example.com;lr>, <%s>\n", p, s.p);
        ask(&s, s.flow, "INVITE", "mallory", routes, "");
        refused(&s, "SIP/2.0 403");
        MUST_EQ(w, world_seen(w, NULL, s.joe->node, ""), to_joe);
        joe_is_unharmed(&s);
}

/* Section 5: inside a dialog the edge does not look at From, so a To tag must not count as having been looked at. With
 * the Routes of a call that she was in, mallory speaks as joe to somebody else. */
static void a_to_tag_speaks_for_nobody(struct world *w)
{
        struct scene s = scene_of(w);
        char call[256], routes[2048];
        copy(call, sizeof(call), text_header(world_last(w, NULL, s.bob->node, "INVITE"), "Call-ID"));
        snprintf(routes, sizeof(routes), "Route: <%s>, <sip:example.com;lr>\n", s.p_d);
        for (unsigned i = 0; i < 2; i++) {
                raw_send(s.mallory, s.flow,
                         "MESSAGE %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s"
                         "From: <sip:joe@example.com>;tag=$TAG\nTo: <%s>;tag=x\nCall-ID: %s\nCSeq: $N MESSAGE\n",
                         s.bob->aor, routes, s.bob->aor, call);
                refused(&s, "SIP/2.0 407");
                snprintf(routes, sizeof(routes), "Route: <%s>\n", s.p_d); /* the edge finds the home by itself, too */
        }
        MUST_EQ(w, world_seen(w, NULL, s.bob->node, "MESSAGE"), 0);
        joe_is_unharmed(&s);
}

/* Section 3.2, EVIL maddr: a maddr in somebody's Route links nobody and leads nowhere. */
static void an_evil_maddr(struct world *w)
{
        struct scene s = scene_of(w);
        struct raw *evil = raw_new(w, "evil");
        const char *mine = "urn:uuid:00000000-0000-1000-8000-00000000dead";
        char p[512] = "", routes[2048], ip[64];
        snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(raw_me(evil), ":"), raw_me(evil));
        raw_send(s.mallory, s.flow, "%s", register_as(&s, "mallory", "sip:edge.example.com;lr", mine, ""));
        struct raw_msg *challenge = raw_expect(s.mallory, "SIP/2.0 401");
        raw_send(s.mallory, s.flow, "%s",
                 register_as(&s, "mallory", "sip:edge.example.com;lr", mine,
                             raw_authorize(challenge, "mallory", "secret-mallory", "REGISTER", "sip:example.com")));
        MUST(w, sscanf(raw_list(raw_expect(s.mallory, "SIP/2.0 200"), "Path"), "<%511[^>]", p) == 1);
        /* the home's name with an address of evil's: the request goes to the home, or nowhere */
        snprintf(routes, sizeof(routes), "Route: <%s>, <sip:example.com;lr;maddr=%s>\n", p, ip);
        ask(&s, s.flow, "OPTIONS", "mallory", routes, "");
        world_pass(w, 40);
        /* joe's P with it, too, towards the home directly */
        bl_flow_id flow = raw_open(s.mallory, w->conf.tp, w->home[1]->node);
        snprintf(routes, sizeof(routes), "Route: <sip:example.com;lr>, <%s;maddr=%s>\n", s.p, ip);
        ask(&s, flow, "OPTIONS", "mallory", routes, "");
        world_pass(w, 40);
        MUST_EQ(w, evil->n_in, 0);
        joe_is_unharmed(&s);
        MUST_EQ(w, evil->n_in, 0);
}

/* A neighbour that the home does not trust sends Path: it is not stored (section 2, guards). */
static void a_path_from_a_stranger(struct world *w)
{
        struct raw *stranger = raw_new(w, "stranger");
        bl_flow_id f = raw_open(stranger, w->conf.tp, w->home[1]->node);
        raw_send(stranger, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "Path: <sip:bob@edge.example.com;lr>\nFrom: <sip:mallory@example.com>;tag=$TAG\n"
                 "To: <sip:mallory@example.com>\nCall-ID: $CALL\nCSeq: $N REGISTER\nSupported: path\n"
                 "Contact: <sip:mallory@$ME>\nExpires: 600\n");
        raw_expect(stranger, "SIP/2.0 403");
        MUST_EQ(w, bl_store_mem_count(w->mem), 0);
}

/* Section 3.2 and D13: bad.example Record-Routes with good.example's name. What is for good.example still goes there.
 */
static struct raw *good, *bad;
static struct bl_home_peer peers[2];

static void two_neighbours(struct world *w)
{
        good = raw_new(w, "good");
        bad = raw_new(w, "bad");
        world_cert(good->node, "sip:good.example", NULL);
        world_cert(bad->node, "sip:bad.example", NULL);
        world_publish(w, "good.example", good->node);
        world_publish(w, "bad.example", bad->node);
        world_trust(w->home[1], "good.example", good->node);
        world_trust(w->home[1], "bad.example", bad->node);
}

static void knows_both(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w, (void)i;
        /* the very URI that bad.example puts into its Record-Route: what it would stick to is asked for */
        peers[0] = (struct bl_home_peer){.domain = BL_STR("good.example"), .next = BL_STR("sip:good.example;lr")};
        peers[1] = (struct bl_home_peer){.domain = BL_STR("bad.example")};
        c->peers = peers;
        c->n_peers = 2;
}

static void a_record_route_of_somebody_else(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        bl_flow_id f = raw_open(bad, w->conf.tp, w->home[1]->node);
        raw_send(bad, f,
                 "INVITE sip:joe@example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "Record-Route: <sip:good.example;lr>\nFrom: <sip:eve@bad.example>;tag=$TAG\n"
                 "To: <sip:joe@example.com>\nCall-ID: $CALL\nCSeq: $N INVITE\nContact: <sip:eve@$ME>\n");
        struct raw_msg *ok = raw_expect(bad, "SIP/2.0 200");
        (void)ok;
        /* joe calls good.example: the INVITE must not come by bad's flow */
        struct leg *call = phone_call(joe, "sip:zoe@good.example");
        struct raw_msg *invite = raw_expect(good, "INVITE");
        raw_reply(invite, 486, "");
        WAIT(w, call->invite->status, 40);
        MUST_EQ(w, call->invite->status, 486);
        MUST_EQ(w, raw_count(bad, "INVITE"), 0);
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true, .name = "registering_onto_anothers_p", .tell = registering_onto_anothers_p},
                {.tls_too = true, .name = "tokens_that_are_none", .tell = tokens_that_are_none},
                {.tls_too = true, .name = "crafted_routes_from_outside", .tell = crafted_routes_from_outside},
                {.tls_too = true, .name = "crafted_routes_at_the_home", .tell = crafted_routes_at_the_home},
                {.tls_too = true, .name = "a_registered_user_stays_herself", .tell = a_registered_user_stays_herself},
                {.name = "a_to_tag_speaks_for_nobody", .tell = a_to_tag_speaks_for_nobody},
                {.tls_too = true, .name = "an_evil_maddr", .tell = an_evil_maddr},
                {.tls_too = true,
                 .name = "a_path_from_a_stranger",
                 .tell = a_path_from_a_stranger,
                 .conf = {.policy = BL_HOME_ACCEPT, .home_no_auth = true}},
                {.tls_too = true,
                 .name = "a_record_route_of_somebody_else",
                 .tell = a_record_route_of_somebody_else,
                 .conf = {.prepare = two_neighbours, .home_conf = knows_both}},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
