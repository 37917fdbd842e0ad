/*
 * Two unrelated domains over TLS (slides S12 to S14, protocol.md section 3.5): their homes are each other's border, and
 * know each other by nothing but their certificates. One connection carries what both have to say.
 *
 *   joe, alice @a.com ── h1 ══ one TLS connection ══ h2 ── bob, carol @b.com
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct bl_home_domain domain[4];
static struct raw *eve;

static void domains(struct world *w, unsigned i, struct bl_home_conf *c)
{
        static const struct bl_str names[] = {BL_STR(""), BL_STR("a.com"), BL_STR("b.com"), BL_STR("c.com")};
        (void)w;
        domain[i] = (struct bl_home_domain){.name = names[i], .policy = BL_HOME_ACCEPT};
        c->domains = &domain[i];
        c->calls_in = BL_HOME_IN_ANY;
}

static void each_proves_its_own(struct world *w)
{
        static const char *const names[] = {"", "a.com", "b.com", "c.com"};
        static const char *const certs[] = {"", "sip:a.com a.com", "b.com cn=Bee", "cn=c.com"};
        for (unsigned i = 1; i <= WORLD_HOMES && w->home[i]; i++) {
                world_publish(w, names[i], w->home[i]->node);
                world_cert(w->home[i]->node, certs[i], NULL);
        }
}

static unsigned connections(struct world *w)
{
        unsigned n = 0;
        while (sim_flow_to(w->home[1]->node, w->home[2]->node, n))
                n++;
        return n;
}

static struct phone *at(struct world *w, const char *name, const char *domain_name)
{
        struct phone *p = phone_new_at(w, name, domain_name);
        phone_start(p);
        WAIT(w, phone_flows(p) == 1, 30);
        return p;
}

/* ---- one connection ---- */

enum { CALLS = 1000, AT_ONCE = 10 };

static void a_thousand_calls_in_both_directions(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        sim_keep_trace(w->sim, false);
        leg_hang_up(phone_talk(joe, bob, NULL)); /* before it there is none */
        unsigned first = connections(w);
        MUST(w, first >= 1);
        for (unsigned done = 1; done < CALLS; done += AT_ONCE) {
                struct leg *calls[AT_ONCE];
                for (unsigned i = 0; i < AT_ONCE; i++) {
                        struct phone *from = i % 2 ? bob : joe;
                        calls[i] = phone_call(from, from == joe ? bob->aor : joe->aor);
                }
                for (unsigned i = 0; i < AT_ONCE; i++)
                        WAIT(w, calls[i]->up, 30);
                for (unsigned i = 0; i < AT_ONCE; i++) {
                        leg_hang_up(calls[i]);
                        MUST(w, connections(w) <= w->conf.workers); /* at most one per worker */
                }
                world_forget(w);
        }
        if (w->conf.workers == 1) {
                uint64_t opened = server_count(w->home[1], "belay_hop_opens_total", NULL) +
                                  server_count(w->home[2], "belay_hop_opens_total", NULL);
                MUST_EQ(w, connections(w), 1);
                MUST_EQ(w, opened, 1);
        }
}

/* b.com knows no way to a.com at all: what it has to say goes by the connection that a.com opened. */
static struct bl_static_route only_itself[1];

static void b_knows_no_way(struct world *w, unsigned i, struct bl_home_conf *c)
{
        domains(w, i, c);
        if (i == 2) {
                only_itself[0] = (struct bl_static_route){
                        .host = BL_STR("b.com"), .tp = BL_TLS, .addr = sim_addr(w->home[2]->node, 5061)};
                c->proxy.hop.map = only_itself;
                c->proxy.hop.n_map = 1;
        }
}

static void b_cannot_open_to_a(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        struct ask *early = phone_ask(bob, BL_M_MESSAGE, joe->aor);
        WAIT(w, early->status, 60);
        MUST(w, early->status >= 480); /* so it is: there is no way yet */
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INVITE);
        leg_hang_up(phone_talk(bob, joe, NULL)); /* a new call */
        sim_cut_between(w->home[1]->node, w->home[2]->node, SIM_CUT_RESET);
        leg_must_reach(at_bob, BL_M_INFO); /* a.com opens it again by itself, and everything is as before */
        leg_hang_up(at_bob);
        leg_hang_up(phone_talk(bob, joe, NULL));
        MUST_EQ(w, server_count(w->home[2], "belay_hop_opens_total", NULL), 0);
        (void)at_joe;
}

/* RFC 5923: we offer our connection to whoever has proven itself, and take up such an offer only from them: a name in a
 * Via is none. */
static void alias(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        leg_hang_up(phone_talk(joe, bob, NULL));
        MUST(w, text_has(text_header(world_last(w, w->home[1]->node, w->home[2]->node, "INVITE"), "Via"), ";alias"));
        MUST(w, !text_has(text_header(world_last(w, w->home[2]->node, bob->node, "INVITE"), "Via"), ";alias"));
        sim_certs(eve->node, NULL, 0);
        bl_flow_id f = raw_open(eve, BL_TLS, w->home[1]->node);
        raw_send(eve, f,
                 "MESSAGE sip:joe@a.com SIP/2.0\nVia: SIP/2.0/$TP evil.com;branch=$BRANCH;rport;alias\n"
                 "Max-Forwards: 70\nFrom: <sip:eve@evil.com>;tag=$TAG\nTo: <sip:joe@a.com>\nCall-ID: $CALL\n"
                 "CSeq: $N MESSAGE\n");
        raw_expect(eve, "SIP/2.0 407");
        struct ask *a = phone_ask(joe, BL_M_MESSAGE, "sip:zoe@evil.com");
        WAIT(w, a->status, 60);
        MUST(w, a->status >= 480);
        MUST_EQ(w, raw_count(eve, "MESSAGE"), 0);
}

/* ---- who may ---- */

static void eve_lives_at_evil(struct world *w)
{
        each_proves_its_own(w);
        eve = raw_new(w, "eve");
        world_cert(eve->node, "sip:evil.com", NULL);
        world_publish(w, "evil.com", eve->node);
}

static void ask_home(struct raw *r, bl_flow_id f, const char *from, const char *to)
{
        raw_new_call(r);
        raw_send(r, f,
                 "MESSAGE sip:%s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:%s>;tag=$TAG\nTo: <sip:%s>\nCall-ID: $CALL\nCSeq: $N MESSAGE\n",
                 to, from, to);
}

/* Whoever proves its domain may call our users in its own name, and nobody else's, and is no relay's guest. */
static void any_domain_that_proves_itself(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com");
        bl_flow_id f = raw_open(eve, BL_TLS, w->home[1]->node);
        ask_home(eve, f, "eve@evil.com", "joe@a.com");
        raw_expect(eve, "SIP/2.0 200");
        MUST_EQ(w, joe->got[BL_M_MESSAGE], 1);
        ask_home(eve, f, "eve@evil.com", "bob@b.com"); /* relaying */
        raw_expect(eve, "SIP/2.0 403");
        MUST(w, server_count(w->home[1], "belay_home_refused_total", "relay_refused") == 1);
        ask_home(eve, f, "bob@b.com", "joe@a.com"); /* in somebody else's name */
        raw_expect(eve, "SIP/2.0 407");
        ask_home(eve, f, "joe@a.com", "joe@a.com"); /* in ours */
        raw_expect(eve, "SIP/2.0 407");
        ask_home(eve, f, "eve@sub.evil.com", "joe@a.com");
        raw_expect(eve, "SIP/2.0 407");
        sim_certs(eve->node, NULL, 0); /* without a certificate anybody could say so */
        f = raw_open(eve, BL_TLS, w->home[1]->node);
        ask_home(eve, f, "eve@evil.com", "joe@a.com");
        raw_expect(eve, "SIP/2.0 407");
        MUST_EQ(w, joe->got[BL_M_MESSAGE], 1);
        MUST_EQ(w, world_seen(w, w->home[1]->node, w->home[2]->node, "MESSAGE"), 0);
}

static struct bl_home_peer evil_peer = {.domain = BL_STR("evil.com")};

static void in_listed(struct world *w, unsigned i, struct bl_home_conf *c)
{
        domains(w, i, c);
        c->calls_in = BL_HOME_IN_LISTED;
        c->peers = &evil_peer;
        c->n_peers = i == 1; /* a.com knows evil.com, b.com does not */
}

static void only_listed_ones(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        bl_flow_id f = raw_open(eve, BL_TLS, w->home[1]->node);
        ask_home(eve, f, "eve@evil.com", "joe@a.com");
        raw_expect(eve, "SIP/2.0 200");
        f = raw_open(eve, BL_TLS, w->home[2]->node);
        ask_home(eve, f, "eve@evil.com", "bob@b.com");
        raw_expect(eve, "SIP/2.0 407");
        MUST_EQ(w, joe->got[BL_M_MESSAGE], 1);
        MUST_EQ(w, bob->got[BL_M_MESSAGE], 0);
}

static void in_none(struct world *w, unsigned i, struct bl_home_conf *c)
{
        in_listed(w, i, c);
        c->calls_in = BL_HOME_IN_NONE;
}

static void none_at_all(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com");
        bl_flow_id f = raw_open(eve, BL_TLS, w->home[1]->node);
        ask_home(eve, f, "eve@evil.com", "joe@a.com");
        raw_expect(eve, "SIP/2.0 407");
        MUST_EQ(w, joe->got[BL_M_MESSAGE], 0);
}

/* ---- whom ours may call, and by which way ---- */

static struct bl_home_peer ways[3];

static void out_listed(struct world *w, unsigned i, struct bl_home_conf *c)
{
        domains(w, i, c);
        ways[0] = (struct bl_home_peer){.domain = BL_STR("b.com")};
        c->routes = ways;
        c->n_routes = 1;
        c->calls_out = BL_HOME_OUT_LISTED;
}

static unsigned message(struct world *w, struct phone *from, const char *to)
{
        struct ask *a = phone_ask(from, BL_M_MESSAGE, to);
        WAIT(w, a->status, 60);
        return a->status;
}

static void ours_call_listed_ones(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        MUST_EQ(w, message(w, joe, "sip:eve@evil.com"), 403);
        MUST(w, server_count(w->home[1], "belay_home_refused_total", "domain_not_called") == 1);
        MUST_EQ(w, eve->n_in, 0);
        MUST_EQ(w, message(w, joe, bob->aor), 200);
        /* a route lets nobody in: b.com's users are let in because b.com proves itself (calls_in: any) */
        MUST_EQ(w, message(w, bob, "sip:eve@evil.com"), 403);
}

static void out_none(struct world *w, unsigned i, struct bl_home_conf *c)
{
        out_listed(w, i, c);
        c->calls_out = BL_HOME_OUT_NONE;
}

static void ours_call_nobody(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *alice = at(w, "alice", "a.com"), *bob = at(w, "bob", "b.com");
        MUST_EQ(w, message(w, joe, bob->aor), 403);
        MUST_EQ(w, message(w, joe, alice->aor), 200);
}

/* c.com's requests go to eve's, all others to b.com, whose home does not relay them. */
static void by_routes(struct world *w, unsigned i, struct bl_home_conf *c)
{
        domains(w, i, c);
        ways[0] = (struct bl_home_peer){.domain = BL_STR("*"), .next = BL_STR("sip:b.com;lr")};
        ways[1] = (struct bl_home_peer){.domain = BL_STR("C.com"), .next = BL_STR("sip:evil.com;lr")};
        c->routes = ways;
        c->n_routes = i == 1 ? 2 : 0;
}

static void static_routes(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        struct ask *a = phone_ask(joe, BL_M_MESSAGE, "sip:zoe@c.com");
        raw_reply(raw_expect(eve, "MESSAGE sip:zoe@c.com"), 200, "");
        WAIT(w, a->status == 200, 30);
        MUST_EQ(w, message(w, joe, bob->aor), 200);
        MUST_EQ(w, message(w, joe, "sip:zoe@d.com"), 403); /* said by b.com */
        MUST_EQ(w, world_seen(w, w->home[1]->node, w->home[2]->node, "MESSAGE sip:zoe@d.com"), 1);
        MUST(w, server_count(w->home[2], "belay_home_refused_total", "relay_refused") == 1);
}

/* ---- several domains of one home ---- */

static struct bl_home_domain both[2];

static void one_home_for_both(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w, (void)i;
        both[0] = (struct bl_home_domain){.name = BL_STR("a.com"), .policy = BL_HOME_ACCEPT};
        both[1] = (struct bl_home_domain){.name = BL_STR("b.com"), .policy = BL_HOME_ACCEPT};
        c->domains = both;
        c->n_domains = 2;
}

static void it_proves_both(struct world *w)
{
        world_publish(w, "a.com", w->home[1]->node);
        world_publish(w, "b.com", w->home[1]->node);
        world_cert(w->home[1]->node, "sip:a.com sip:b.com", NULL);
}

static void two_domains_of_one_home(struct world *w)
{
        struct phone *joe = at(w, "joe", "a.com"), *bob = at(w, "bob", "b.com");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
        leg_hang_up(phone_talk(bob, joe, NULL));
        MUST_EQ(w, message(w, joe, "sip:joe@b.com"), 480); /* another user of the same name */
}

int main(int argc, char **argv)
{
#define TWO(name_, prepare_, conf_)                                                                                    \
        {                                                                                                              \
                .name = #name_, .tell = name_, .tls_only = true, .conf = {                                             \
                        .edges = NO_EDGES,                                                                             \
                        .homes = 2,                                                                                    \
                        .prepare = prepare_,                                                                           \
                        .home_conf = conf_                                                                             \
                }                                                                                                      \
        }
        struct story stories[] = {
                TWO(a_thousand_calls_in_both_directions, each_proves_its_own, domains),
                TWO(b_cannot_open_to_a, each_proves_its_own, b_knows_no_way),
                TWO(alias, eve_lives_at_evil, domains),
                TWO(any_domain_that_proves_itself, eve_lives_at_evil, domains),
                TWO(only_listed_ones, eve_lives_at_evil, in_listed),
                TWO(none_at_all, eve_lives_at_evil, in_none),
                TWO(ours_call_listed_ones, eve_lives_at_evil, out_listed),
                TWO(ours_call_nobody, each_proves_its_own, out_none),
                TWO(static_routes, eve_lives_at_evil, by_routes),
                TWO(two_domains_of_one_home, it_proves_both, one_home_for_both),
        };
        stories[0].seeds = 1;
        stories[9].conf.homes = 1;
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
