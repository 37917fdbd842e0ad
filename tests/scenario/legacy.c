/*
 * Plain user agents, unchanged: protocol.md section 2, "Legacy UAs gain too". Nobody tells them of P's other nodes, so
 * their P names none (`*`) and is the same on every edge; the home knows by that that their flows are one.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

struct old { /* a hand-written phone with an account */
        struct raw *r;
        const char *user;
        char instance[80]; /* empty: RFC 3261 only */
};

static struct old old_new(struct world *w, const char *user, bool instance)
{
        struct old o = {.r = raw_new(w, user), .user = user};
        if (instance)
                snprintf(o.instance, sizeof(o.instance), "urn:uuid:00000000-0000-1000-8000-0000000000%02u", w->n_raws);
        return o;
}

/* REGISTER over a flow, answering one challenge; the 200. `ruri`: what its outbound proxy or redirect makes it. */
static struct raw_msg *old_register(struct old *o, bl_flow_id f, const char *ruri, const char *headers, unsigned reg_id)
{
        struct raw *r = o->r;
        char params[200] = "", auth[1200] = "";
        if (o->instance[0])
                snprintf(params, sizeof(params), ";+sip.instance=\"<%s>\"", o->instance);
        if (reg_id)
                snprintf(params + strlen(params), sizeof(params) - strlen(params), ";reg-id=%u", reg_id);
        for (int i = 0; i < 2; i++) {
                raw_send(r, f,
                         "REGISTER %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                         "From: <sip:%s@example.com>;tag=$TAG\nTo: <sip:%s@example.com>\nCall-ID: $CALL-%u\n"
                         "CSeq: $N REGISTER\nContact: <sip:%s@192.0.2.77:5060>%s\nExpires: 600\n%s%s",
                         ruri, o->user, o->user, reg_id, o->user, params, headers, auth);
                if (i == 0) {
                        char password[64];
                        snprintf(password, sizeof(password), "secret-%s", o->user);
                        struct raw_msg *c = raw_expect(r, "SIP/2.0 401");
                        snprintf(auth, sizeof(auth), "%s\n", raw_authorize(c, o->user, password, "REGISTER", ruri));
                }
        }
        return raw_expect(r, "SIP/2.0 200");
}

static void invite(struct old *o, bl_flow_id f, const char *to, const char *route)
{
        raw_new_call(o->r);
        raw_send(o->r, f,
                 "INVITE %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s"
                 "From: <sip:%s@example.com>;tag=$TAG\nTo: <%s>\nCall-ID: $CALL\nCSeq: $N INVITE\n"
                 "Contact: <sip:%s@192.0.2.77:5060>\n",
                 to, route, o->user, to, o->user);
}

/* A request of the plain side inside the call that `ok` (the 200 to its INVITE) set up. */
static void inside(struct old *o, bl_flow_id f, struct raw_msg *ok, const char *method, const char *cseq)
{
        char target[512], routes[2048] = "", list[2048], *end = NULL;
        const char *contact = raw_header(ok, "Contact");
        MUST(o->r->w, sscanf(contact, "<%511[^>]", target) == 1);
        snprintf(list, sizeof(list), "%s", raw_list(ok, "Record-Route"));
        char *parts[8];
        unsigned n = 0;
        for (char *p = strtok_r(list, ",", &end); p && n < 8; p = strtok_r(NULL, ",", &end))
                parts[n++] = p;
        for (size_t at = 0; n-- > 0;) /* RFC 3261 12.1.2: in reverse */
                at += (size_t)snprintf(routes + at, sizeof(routes) - at, "Route: %s\n",
                                       parts[n] + strspn(parts[n], " "));
        raw_send(o->r, f,
                 "%s %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s"
                 "From: <sip:%s@example.com>;tag=$TAG\nTo: %s\nCall-ID: $CALL\nCSeq: %s %s\n",
                 method, target, routes, o->user, raw_header(ok, "To"), cseq, method);
}

/* An incoming call, answered by hand; returns the 200's INVITE so that the story can go on. */
static struct raw_msg *answer_call(struct old *o, const char *headers)
{
        char lines[512];
        struct raw_msg *m = raw_expect(o->r, "INVITE");
        snprintf(lines, sizeof(lines), "Contact: <sip:%s@192.0.2.77:5060>\n%s", o->user, headers);
        raw_reply(m, 200, lines);
        raw_expect(o->r, "ACK");
        return m;
}

/* RFC 5626 with two configured proxies: two flows, reg-id 1 and 2, and one P on both edges. */
static void rfc_5626_with_two_proxies(struct world *w)
{
        struct old old = old_new(w, "alice", true);
        struct phone *bob = phone_up(w, "bob");
        bl_flow_id f1 = raw_open(old.r, w->conf.tp, w->edge[1]->node),
                   f2 = raw_open(old.r, w->conf.tp, w->edge[2]->node);
        struct raw_msg *a = old_register(&old, f1, "sip:example.com", "Supported: path, outbound\n", 1);
        struct raw_msg *b = old_register(&old, f2, "sip:example.com", "Supported: path, outbound\n", 2);
        char p1[512], p2[512];
        MUST(w, sscanf(raw_list(a, "Path"), "<%511[^@]", p1) == 1 && sscanf(raw_list(b, "Path"), "<%511[^@]", p2) == 1);
        MUST(w, strcmp(p1, p2) == 0);
        MUST(w, strstr(p1, "+*+") != NULL);
        MUST_EQ(w, strlen(raw_header(a, "Outbound-Proxy")), 0); /* nobody tells it */
        MUST(w, strlen(raw_header(a, "Flow-Timer")) > 0);

        /* an incoming call rings once; its edge dies; bob's BYE arrives by the other flow */
        struct leg *call = phone_call(bob, "sip:alice@example.com");
        struct raw_msg *rings = answer_call(&old, "");
        WAIT(w, call->invite->status == 200, 10);
        MUST_EQ(w, raw_count(old.r, "INVITE"), 1);
        sim_kill(w->edge[rings->flow == f1 ? 1 : 2]->node, SIM_KILL_RESET);
        struct ask *bye = leg_ask(call, BL_M_BYE);
        struct raw_msg *m = raw_expect(old.r, "BYE");
        MUST(w, m->flow == (rings->flow == f1 ? f2 : f1));
        raw_reply(m, 200, "");
        WAIT(w, bye->status, 40);
        MUST_EQ(w, bye->status, 200);
}

/* The other way: the plain phone's edge dies, and it sends its BYE over its other flow with the Route it has. */
static void its_own_bye_over_the_other_flow(struct world *w)
{
        struct old old = old_new(w, "alice", true);
        struct phone *bob = phone_up(w, "bob");
        bl_flow_id f1 = raw_open(old.r, w->conf.tp, w->edge[1]->node),
                   f2 = raw_open(old.r, w->conf.tp, w->edge[2]->node);
        old_register(&old, f1, "sip:example.com", "Supported: path, outbound\n", 1);
        old_register(&old, f2, "sip:example.com", "Supported: path, outbound\n", 2);
        invite(&old, f1, bob->aor, "");
        struct raw_msg *ok = raw_expect(old.r, "SIP/2.0 200");
        inside(&old, f1, ok, "ACK", "$M");
        WAIT(w, phone_leg(bob, 0)->acked, 10);
        sim_kill(w->edge[1]->node, SIM_KILL_RESET);
        inside(&old, f2, ok, "BYE", "$N");
        raw_expect(old.r, "SIP/2.0 200");
        MUST_EQ(w, phone_leg(bob, 0)->got[BL_M_BYE], 1);
}

/* RFC 3327 and 3608: Path and Service-Route, no outbound; one proxy. */
static void rfc_3327_with_service_route(struct world *w)
{
        struct old old = old_new(w, "carol", false);
        struct phone *bob = phone_up(w, "bob");
        bl_flow_id f = raw_open(old.r, w->conf.tp, w->edge[1]->node);
        struct raw_msg *ok = old_register(&old, f, "sip:example.com", "Supported: path\n", 0);
        char route[2048];
        snprintf(route, sizeof(route), "Route: %s\n", raw_list(ok, "Service-Route"));
        MUST(w, strlen(route) > 10);
        invite(&old, f, bob->aor, route);
        ok = raw_expect(old.r, "SIP/2.0 200 ");
        inside(&old, f, ok, "ACK", "$M");
        WAIT(w, phone_leg(bob, 0)->acked, 10);
        inside(&old, f, ok, "BYE", "$N");
        raw_expect(old.r, "SIP/2.0 200");
        MUST_EQ(w, phone_leg(bob, 0)->got[BL_M_BYE], 1);
        struct leg *call = phone_call(bob, "sip:carol@example.com");
        answer_call(&old, "");
        WAIT(w, call->invite->status == 200, 10);
        struct ask *bye = leg_ask(call, BL_M_BYE);
        raw_reply(raw_expect(old.r, "BYE"), 200, "");
        WAIT(w, bye->status == 200, 10);
}

static bool answers_bye(struct raw *r, struct raw_msg *m)
{
        (void)r;
        if (!bl_str_starts(m->text, BL_STR("BYE")))
                return false;
        raw_reply(m, 200, "");
        return true;
}

/* RFC 3261 and nothing else: an outbound proxy by address, no Route, no extension. */
static void rfc_3261_and_nothing_else(struct world *w)
{
        struct old old = old_new(w, "dave", false);
        old.r->on = answers_bye;
        struct phone *bob = phone_up(w, "bob");
        bl_flow_id f = raw_open(old.r, w->conf.tp, w->edge[2]->node);
        struct raw_msg *ok = old_register(&old, f, "sip:example.com", "", 0);
        MUST(w, strstr(raw_header(ok, "Contact"), "192.0.2.77") != NULL);
        invite(&old, f, bob->aor, "");
        ok = raw_expect(old.r, "SIP/2.0 200 ");
        inside(&old, f, ok, "ACK", "$M");
        WAIT(w, phone_leg(bob, 0)->acked, 10);
        struct ask *bye = leg_ask(phone_leg(bob, 0), BL_M_BYE);
        WAIT(w, bye->status == 200, 10);
        MUST_EQ(w, raw_count(old.r, "BYE"), 1);
}

static void rfc_3261_answers_a_bye(struct world *w)
{
        struct old old = old_new(w, "dave", false);
        old.r->on = answers_bye;
        struct phone *bob = phone_up(w, "bob");
        bl_flow_id f = raw_open(old.r, w->conf.tp, w->edge[2]->node);
        old_register(&old, f, "sip:example.com", "", 0);
        struct leg *call = phone_call(bob, "sip:dave@example.com");
        answer_call(&old, "");
        WAIT(w, call->invite->status == 200, 10);
        struct ask *bye = leg_ask(call, BL_M_BYE);
        WAIT(w, bye->status == 200, 10);
        MUST_EQ(w, raw_count(old.r, "BYE"), 1);
}

/* A plain phone is discovered, too: it puts the redirect's Contact into the Request-URI (RFC 3261 8.1.3.4). */
static void a_plain_phone_follows_the_redirect(struct world *w)
{
        struct old old = old_new(w, "erin", false);
        bl_flow_id direct = raw_open(old.r, w->conf.tp, w->home[1]->node);
        raw_send(old.r, direct,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:erin@example.com>;tag=$TAG\nTo: <sip:erin@example.com>\nCall-ID: $CALL-0\n"
                 "CSeq: $N REGISTER\nContact: <sip:erin@192.0.2.77:5060>\nExpires: 600\n");
        char cluster[256];
        MUST(w, sscanf(raw_header(raw_expect(old.r, "SIP/2.0 300"), "Contact"), "<%255[^>]", cluster) == 1);
        bl_flow_id f = raw_open(old.r, w->conf.tp, w->edge[3]->node);
        old_register(&old, f, cluster, "", 0); /* its digest signs the cluster's URI */
        struct phone *bob = phone_up(w, "bob");
        struct leg *call = phone_call(bob, "sip:erin@example.com");
        answer_call(&old, "");
        WAIT(w, call->invite->status == 200, 10);
        struct ask *bye = leg_ask(call, BL_M_BYE);
        raw_reply(raw_expect(old.r, "BYE"), 200, "");
        WAIT(w, bye->status == 200, 10);
}

/* Our own UA with its extensions off: a plain RFC 5626 UA with one proxy. */
static void our_ua_without_its_extensions(struct world *w)
{
        struct phone *joe = phone_new(w, "joe"), *bob;
        joe->conf.legacy = true;
        joe->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 1, 30);
        MUST(w, text_has(world_last(w, NULL, w->home[1]->node, "REGISTER"), "+*+"));
        bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_bob);
}

/* RFC 5626 section 11.6, section 6: the first hop of a UA that wants outbound has to know it. */
static void the_home_wants_outbound_at_the_first_hop(struct world *w)
{
        struct raw *r = raw_new(w, "frank");
        bl_flow_id f = raw_open(r, w->conf.tp, w->home[1]->node);
        (void)f;
        raw_send(r, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\n"
                 "Via: SIP/2.0/$TP 192.0.2.5;branch=z9hG4bKua\nMax-Forwards: 69\nPath: <sip:192.0.2.9;lr>\n"
                 "From: <sip:frank@example.com>;tag=$TAG\nTo: <sip:frank@example.com>\nCall-ID: $CALL\n"
                 "CSeq: $N REGISTER\nSupported: path, outbound\n"
                 "Contact: <sip:frank@192.0.2.5>;reg-id=1;+sip.instance=\"<urn:uuid:f>\"\nExpires: 600\n");
        raw_expect(r, "SIP/2.0 439");
        MUST_EQ(w, bl_store_mem_count(w->mem), 0);
}

static void a_trusted_old_proxy(struct world *w)
{
        /* the edge's own address space: what comes from there is believed, but it may still be an old proxy */
        for (unsigned i = w->n_raws; i-- > 0;)
                world_trust(w->home[1], "edge.example.com", w->raws[i]->node);
        struct bl_net any = {.bits = 8};
        struct bl_addr ten;
        if (bl_addr_parse(BL_STR("10.0.0.0"), &ten) == 0)
                any.base = ten;
        w->home[1]->trust[w->home[1]->n_trust++] =
                (struct bl_trust){.domain = BL_STR("edge.example.com"), .net = any, .why = BL_LINK_TRUST};
        w->home[1]->home_conf.proxy.flow.n_trust = w->home[1]->n_trust;
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.name = "rfc_5626_with_two_proxies", .tell = rfc_5626_with_two_proxies},
                {.name = "its_own_bye_over_the_other_flow", .tell = its_own_bye_over_the_other_flow},
                {.name = "rfc_3327_with_service_route", .tell = rfc_3327_with_service_route},
                {.name = "rfc_3261_and_nothing_else", .tell = rfc_3261_and_nothing_else},
                {.name = "rfc_3261_answers_a_bye", .tell = rfc_3261_answers_a_bye},
                {.name = "a_plain_phone_follows_the_redirect", .tell = a_plain_phone_follows_the_redirect},
                {.name = "our_ua_without_its_extensions", .tell = our_ua_without_its_extensions},
                {.name = "the_home_wants_outbound_at_the_first_hop",
                 .tell = the_home_wants_outbound_at_the_first_hop,
                 .conf = {.prepare = a_trusted_old_proxy, .home_no_auth = true}},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
