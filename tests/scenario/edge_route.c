/*
 * Calls at an edge, between a home and UAs that are written by hand: protocol.md section 5, "Direction and trust" and
 * "One transaction, not two", and section 3.4 as the edge sees it: whom a 305 names, and who is never sent one.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *home, *fellow;
static struct bl_edge_home plain_home;

/* The least a registrar can do; everything else waits for the story. */
static bool takes_registers(struct raw *r, struct raw_msg *m)
{
        char lines[4096];
        (void)r;
        if (!bl_str_starts(m->text, BL_STR("REGISTER")))
                return false;
        const char *path = raw_list(m, "Path"), *contact = raw_header(m, "Contact");
        snprintf(lines, sizeof(lines), "Contact: %s%s\nPath: %s\nService-Route: %s\nRequire: outbound\n", contact,
                 strstr(contact, ";expires=") ? "" : ";expires=600", path, path);
        raw_reply(m, 200, lines);
        return true;
}

static void a_home_by_hand(struct world *w)
{
        home = raw_new(w, "home");
        home->on = takes_registers;
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

static struct bl_edge_member with_a_fellow[4];

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

/* --- UAs --- */

static const char *p_of(struct raw_msg *m)
{
        const char *path = raw_list(m, "Path");
        char *p = bl_arena_alloc(m->at->arena, strlen(path) + 1);
        p[0] = 0;
        sscanf(path, "<%[^>]", p);
        return p;
}

static const char *registered(struct raw *ua, bl_flow_id f, const char *user, const char *supported)
{
        raw_send(ua, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:%s@example.com>;tag=$TAG\nTo: <sip:%s@example.com>\nCall-ID: reg-$CALL\n"
                 "CSeq: $N REGISTER\nSupported: %s\n"
                 "Contact: <sip:%s@192.0.2.77>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0000000000"
                 "01>\"\n",
                 user, user, supported, user);
        return p_of(raw_expect(ua, "SIP/2.0 200"));
}

static struct phone *phone_at_the_edges(struct world *w, const char *name)
{
        struct phone *p = phone_new(w, name);
        p->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        phone_start(p);
        WAIT(w, phone_flows(p) == 2, 30);
        return p;
}

static struct raw_msg *last_register(void)
{
        for (unsigned i = home->n_in; i-- > 0;)
                if (bl_str_starts(home->in[i].text, BL_STR("REGISTER")))
                        return &home->in[i];
        return NULL;
}

static unsigned an_edge_without(struct phone *p)
{
        unsigned e = 1;
        while (!sim_alive(p->w->edge[e]->node) || phone_has_edge(p, e))
                e++;
        return e;
}

/* A request of `who`; more: further header lines. */
static void ask(struct raw *who, bl_flow_id f, const char *method, const char *uri, const char *via, const char *route,
                const char *from, const char *more)
{
        raw_send(who, f,
                 "%s %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport%s\nMax-Forwards: 70\n%s%s%s"
                 "From: <sip:%s@example.com>;tag=$TAG\n%sCall-ID: $CALL\nCSeq: $N %s\nContact: <sip:%s@$ME>\n",
                 method, uri, via, route ? "Route: <" : "", route ? route : "", route ? ">\n" : "", from, more, method,
                 from);
}

#define TO_JOE "To: <sip:joe@example.com>\n"
#define TO_ZOE "To: <sip:zoe@example.com>\n"
#define INSIDE "To: <sip:zoe@example.com>;tag=zoe\n"

/* --- whom a 305 names --- */

static void ip_of(struct world *w, unsigned e, char *out, size_t cap)
{
        struct bl_sb b = {out, 0, cap - 1, false};
        struct bl_addr a = sim_addr(w->edge[e]->node, 0);
        bl_sb_addz(&b, ";maddr=");
        bl_addr_put_ip(&b, &a);
        bl_sb_addc(&b, '>');
        out[b.n] = 0;
}

static unsigned times(const char *text, const char *part)
{
        unsigned n = 0;
        for (; (text = strstr(text, part)) != NULL; text++)
                n++;
        return n;
}

/* The nodes that a P names, in its order: "+e2+e5+" → 2, 5. */
static void nodes_of(const char *p, unsigned ret[2])
{
        const char *at = strstr(p, "+e");
        while (at && sscanf(at, "+e%1u+e%1u+", &ret[0], &ret[1]) != 2)
                at = strstr(at + 1, "+e");
}

static void named_nodes_first_and_only_living_ones(struct world *w)
{
        struct phone *joe = phone_at_the_edges(w, "joe");
        const char *p = p_of(last_register());
        unsigned node[2] = {0}, wrong = an_edge_without(joe);
        char first[80], second[80], route[700];
        nodes_of(p, node);
        MUST(w, node[0] && node[1] && phone_has_edge(joe, node[0]) && phone_has_edge(joe, node[1]));
        ip_of(w, node[0], first, sizeof(first));
        ip_of(w, node[1], second, sizeof(second));
        bl_flow_id f = raw_open(home, w->conf.tp, w->edge[wrong]->node);
        snprintf(route, sizeof(route), "%s;maddr=192.0.2.1", p); /* of somebody else: the 305 has one of its own */
        ask(home, f, "OPTIONS", "sip:joe@example.com", ";sticky", route, "zoe", TO_JOE);
        const char *c = raw_list(raw_expect(home, "SIP/2.0 305"), "Contact");
        MUST_EQ(w, times(c, ";maddr="), 2);
        MUST_EQ(w, times(c, ";lr"), 2); /* one in each */
        MUST(w, strstr(c, first) && strstr(c, second) && strstr(c, first) < strstr(c, second));
        MUST(w, strstr(c, "q=0.9") < strstr(c, "q=0.8"));

        sim_kill(w->edge[node[0]]->node, SIM_KILL_RESET);
        world_pass(w, 12); /* the probes notice, and joe has gone elsewhere */
        wrong = an_edge_without(joe);
        f = raw_open(home, w->conf.tp, w->edge[wrong]->node);
        ask(home, f, "OPTIONS", "sip:joe@example.com", ";sticky", p, "zoe", TO_JOE);
        c = raw_list(raw_expect(home, "SIP/2.0 305"), "Contact");
        MUST_EQ(w, times(c, ";maddr="), 2);
        MUST(w, strstr(c, first) == NULL);
        MUST(w, strstr(c, second) != NULL && strstr(c, second) < strstr(c, "q=0.8"));
        /* and it is nobody's backup */
        static const char *const users[] = {"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"};
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id g = raw_open(ua, BL_TCP, w->edge[wrong]->node);
        char name[8];
        snprintf(name, sizeof(name), "+e%u+", node[0]);
        for (unsigned i = 0; i < BL_ARRAY_LEN(users); i++)
                MUST(w, strstr(registered(ua, g, users[i], "path, outbound, sticky"), name) == NULL);
}

/* ACK is answered by nobody, so it cannot be redirected: the edge forwards it, whoever the upstream is. */
static void an_ack_is_forwarded(struct world *w)
{
        struct phone *joe = phone_at_the_edges(w, "joe");
        struct raw_msg *reg = last_register();
        const char *p = p_of(reg);
        char uri[256], d[700];
        MUST(w, sscanf(raw_header(reg, "Contact"), "<%255[^>]", uri) == 1);
        bl_flow_id right = raw_open(home, w->conf.tp, w->edge[phone_edge(joe, 0)]->node),
                   wrong = raw_open(home, w->conf.tp, w->edge[an_edge_without(joe)]->node);
        ask(home, right, "INVITE", uri, ";sticky", p, "zoe", TO_JOE);
        struct raw_msg *ok = raw_expect(home, "SIP/2.0 200");
        MUST(w, sscanf(strstr(raw_list(ok, "Record-Route"), "<sip:joe"), "<%699[^>]", d) == 1);
        raw_send(home, wrong,
                 "ACK %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\nMax-Forwards: 70\nRoute: <%s>\n"
                 "From: <sip:zoe@example.com>;tag=$TAG\nTo: %s\nCall-ID: $CALL\nCSeq: $M ACK\n",
                 uri, d, raw_header(ok, "To"));
        WAIT(w, phone_leg(joe, 0)->acked, 10);
}

/* A fellow asks because it was asked: delivered or 430, never sent on. */
static void a_fellow_is_not_redirected(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node),
                   to_1 = raw_open(fellow, w->conf.tp, w->edge[1]->node),
                   to_2 = raw_open(fellow, w->conf.tp, w->edge[2]->node);
        const char *p = registered(ua, f, "joe", "path, outbound, sticky");
        ask(fellow, to_2, "OPTIONS", "sip:joe@192.0.2.77", ";sticky", p, "zoe", TO_JOE);
        raw_expect(fellow, "SIP/2.0 430");
        ask(fellow, to_1, "OPTIONS", "sip:joe@192.0.2.77", ";sticky", p, "zoe", TO_JOE);
        raw_reply(raw_expect(ua, "OPTIONS"), 200, "");
        raw_expect(fellow, "SIP/2.0 200");
}

/* What a fellow answers to a forwarded request is not passed on when it is a 305. */
static void a_305_goes_no_further(struct world *w)
{
        char text[BL_TOKEN_MAX], p[BL_TOKEN_MAX + 8], lines[700];
        struct bl_token_cluster c = {BL_STR("edge.example.com"), BL_STR("example.com"), w->edge_keys, false};
        struct bl_token t = {.user = BL_STR("joe"), .domain = BL_STR("example.com"), .instance = BL_STR("k3v9x0q2")};
        t.node[t.n_nodes++] = BL_STR("e9");
        struct bl_sb b = BL_SB(text);
        MUST_EQ(w, bl_token_put(&c, &t, &b), 0);
        snprintf(p, sizeof(p), "%.*s;lr", (int)b.n, text);
        bl_flow_id f = raw_open(home, w->conf.tp, w->edge[1]->node);
        ask(home, f, "OPTIONS", "sip:joe@192.0.2.77", "", p, "zoe", TO_JOE);
        snprintf(lines, sizeof(lines), "Contact: <%s;maddr=192.0.2.9>\n", p);
        struct raw_msg *m = raw_expect(fellow, "OPTIONS");
        raw_reply(m, 305, lines);
        raw_expect(home, "SIP/2.0 480");
        MUST_EQ(w, raw_count(home, "SIP/2.0 305"), 0);
}

/* --- inbound --- */

/* The UA hangs up its connection under a request: nobody else is asked, nothing is opened. */
static void a_flow_that_goes_is_430(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, BL_TCP, w->edge[1]->node), h = raw_open(home, w->conf.tp, w->edge[1]->node);
        const char *p = registered(ua, f, "joe", "path, outbound, sticky");
        ask(home, h, "INVITE", "sip:joe@192.0.2.77", ";sticky", p, "zoe", TO_JOE);
        raw_expect(ua, "INVITE");
        raw_close(ua, f);
        raw_expect(home, "SIP/2.0 430");
        MUST_EQ(w, world_seen(w, w->edge[1]->node, w->edge[2]->node, "INVITE"), 0);
        MUST_EQ(w, raw_count(ua, "INVITE"), 1);
}

/* --- outbound --- */

/* From a flow that nothing is bound to: only inside a dialog whose `d` says so; and how the others are refused. */
static void a_fresh_flow(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, BL_TCP, w->edge[1]->node), fresh = raw_open(ua, BL_TCP, w->edge[2]->node);
        const char *p = registered(ua, f, "joe", "path, outbound, sticky");
        char d[700];
        ask(ua, f, "INVITE", "sip:zoe@example.com", "", p, "joe", TO_ZOE);
        struct raw_msg *m = raw_expect(home, "INVITE");
        MUST(w, sscanf(raw_list(m, "Record-Route"), "<%699[^>]", d) == 1 && strstr(d, ";d="));
        raw_reply(m, 200, "Contact: <sip:zoe@192.0.2.88>\n");
        raw_expect(ua, "SIP/2.0 200");
        /* the same Call-ID and its `d`, but outside of a dialog */
        ask(ua, fresh, "INVITE", "sip:zoe@example.com", "", d, "joe", TO_ZOE);
        raw_expect(ua, "SIP/2.0 403");
        ask(ua, fresh, "INFO", "sip:zoe@example.com", "", p, "joe", INSIDE);
        raw_expect(ua, "SIP/2.0 403");
        ask(ua, fresh, "INFO", "sip:zoe@example.com", "", p, "joe", INSIDE "Supported: outbound\n");
        raw_expect(ua, "SIP/2.0 430");
        ask(ua, fresh, "OPTIONS", "sip:zoe@example.com", "", NULL, "joe", TO_ZOE "Supported: outbound\n");
        raw_expect(ua, "SIP/2.0 430");
        world_pass(w, 1);
        MUST_EQ(w, raw_count(home, "INFO") + raw_count(home, "OPTIONS"), 0);
        MUST_EQ(w, raw_count(home, "INVITE"), 1);
        /* inside of it: on to the home, and not Record-Routed */
        ask(ua, fresh, "BYE", "sip:zoe@192.0.2.88", "", d, "joe", INSIDE);
        m = raw_expect(home, "BYE");
        MUST_EQ(w, strlen(raw_list(m, "Record-Route")), 0);
        raw_reply(m, 200, "");
        raw_expect(ua, "SIP/2.0 200");
}

/* A strict router upstream puts P into the Request-URI (RFC 3261 16.4): taken back when its `d` is right. */
static void a_strict_router_upstream(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node), h = raw_open(home, w->conf.tp, w->edge[1]->node);
        const char *p = registered(ua, f, "joe", "path, outbound, sticky");
        char d[700];
        ask(home, h, "INVITE", "sip:joe@192.0.2.77", "", p, "zoe", TO_JOE);
        struct raw_msg *m = raw_expect(ua, "INVITE");
        MUST(w, sscanf(raw_list(m, "Record-Route"), "<%699[^>]", d) == 1 && strstr(d, ";d="));
        raw_reply(m, 200, "Contact: <sip:joe@192.0.2.77>\n");
        raw_expect(home, "SIP/2.0 200");
        ask(home, h, "INFO", d, "", "sip:joe@192.0.2.77", "zoe", "To: <sip:joe@example.com>;tag=x\n");
        m = raw_expect(ua, "INFO sip:joe@192.0.2.77 ");
        MUST_EQ(w, strlen(raw_list(m, "Route")), 0);
        raw_reply(m, 200, "");
        raw_expect(home, "SIP/2.0 200");
        ask(home, h, "INFO", p, "", "sip:joe@192.0.2.77", "zoe", "To: <sip:joe@example.com>;tag=x\n");
        raw_expect(home, "SIP/2.0 403");
        char *mac = strstr(d, ";d=") + 3;
        *mac = *mac == 'a' ? 'b' : 'a';
        ask(home, h, "INFO", d, "", "sip:joe@192.0.2.77", "zoe", "To: <sip:joe@example.com>;tag=x\n");
        raw_expect(home, "SIP/2.0 403");
        raw_expect_nothing(ua, "INFO", 1);
}

/* A plain UA without Route: whatever the Request-URI, its home is next. */
static void a_plain_ua_goes_to_its_home(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        const char *p = registered(ua, f, "joe", "path, outbound");
        /* what its home needs in P (section 2): where the flow is; the UA's transport is not the home's */
        MUST(w, strstr(p, ";n=e1") != NULL && !strstr(p, "transport="));
        ask(ua, f, "INVITE", "sip:zoe@elsewhere.example", "", NULL, "joe", "To: <sip:zoe@elsewhere.example>\n");
        struct raw_msg *m = raw_expect(home, "INVITE");
        MUST(w, strstr(raw_list(m, "Record-Route"), ";n=e1") != NULL);
        MUST(w, strstr(raw_list(m, "Record-Route"), w->conf.tp == BL_TCP ? ";transport=tcp" : ";transport=udp"));
        raw_reply(m, 486, "");
        raw_expect(ua, "SIP/2.0 486");
}

/* P is a Route and nothing else, also on the flow that it is bound to. */
static void p_elsewhere(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        const char *p = registered(ua, f, "joe", "path, outbound, sticky");
        ask(ua, f, "OPTIONS", p, "", NULL, "joe", TO_ZOE);
        raw_expect(ua, "SIP/2.0 403");
        ask(ua, f, "OPTIONS", p, "", p, "joe", TO_ZOE);
        raw_expect(ua, "SIP/2.0 403");
        raw_expect_nothing(home, "OPTIONS", 1);
}

static void branch_of(struct raw_msg *m, char *out, size_t cap)
{
        snprintf(out, cap, "%s", raw_header(m, "Via"));
        out[strcspn(out, ",")] = 0;
        char *rport = strstr(out, ";rport");
        if (rport)
                *rport = 0;
}

/* The same request by two edges is one transaction to the home, and another CSeq is another. */
static void one_branch_at_every_edge(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f[2] = {raw_open(ua, w->conf.tp, w->edge[1]->node), raw_open(ua, w->conf.tp, w->edge[2]->node)};
        char via[3][400];
        registered(ua, f[0], "joe", "path, outbound");
        registered(ua, f[1], "joe", "path, outbound");
        for (unsigned i = 0; i < 3; i++) {
                raw_send(ua, f[i & 1],
                         "OPTIONS sip:zoe@example.com SIP/2.0\n"
                         "Via: SIP/2.0/$TP ua.invalid;branch=z9hG4bK-the-same;rport\nMax-Forwards: 70\n"
                         "From: <sip:joe@example.com>;tag=$TAG\nTo: <sip:zoe@example.com>\nCall-ID: $CALL\n"
                         "CSeq: %u OPTIONS\n",
                         1000 + i / 2);
                struct raw_msg *m = raw_expect(home, "OPTIONS");
                branch_of(m, via[i], sizeof(via[i]));
                MUST(w, strstr(via[i], " edge.example.com:5060;branch=z9hG4bK") != NULL);
                raw_reply(m, 200, "");
                raw_expect(ua, "SIP/2.0 200");
                world_pass(w, 70); /* the transactions at the edges end */
        }
        MUST(w, strcmp(via[0], via[1]) == 0);
        MUST(w, strcmp(via[0], via[2]) != 0);
}

/* Section 5, mid-transaction: the edge of a call is dead, and the home's answer comes to one that has no flow to the
 * UA. That one knows by the Via who has. From anybody but the core it takes no such answer. */
static void an_answer_to_the_wrong_edge(struct world *w)
{
        struct phone *joe = phone_at_the_edges(w, "joe");
        struct raw *stranger = raw_new(w, "stranger");
        unsigned wrong = an_edge_without(joe);
        bl_flow_id h = raw_open(home, w->conf.tp, w->edge[wrong]->node),
                   s = raw_open(stranger, w->conf.tp, w->edge[wrong]->node);
        struct leg *call = phone_call(joe, "sip:zoe@example.com");
        struct raw_msg *m = raw_expect(home, "INVITE");
        unsigned used = 0;
        for (unsigned e = 1; e <= 3; e++)
                for (unsigned i = 0; sim_flow_to(home->node, w->edge[e]->node, i); i++)
                        used = sim_flow_to(home->node, w->edge[e]->node, i) == m->flow ? e : used;
        MUST(w, used && used != wrong);
        sim_kill(w->edge[used]->node, SIM_KILL_RESET);
        struct raw_msg copy = *m;
        copy.at = stranger;
        copy.flow = s;
        raw_reply(&copy, 603, "");
        world_pass(w, 1);
        MUST_EQ(w, call->invite->status, 0);
        copy.at = home;
        copy.flow = h;
        raw_reply(&copy, 486, "");
        WAIT(w, call->invite->status, 1);
        MUST_EQ(w, call->invite->status, 486);
}

/* --- with a real home --- */

/* 4.3: requests with a To tag are not Record-Routed, by neither. */
static void inside_a_dialog_nobody_record_routes(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        leg_must_reach(at_joe, BL_M_INVITE);
        MUST_EQ(w, text_header(world_last(w, NULL, bob->node, "INVITE"), "Record-Route").n, 0);
        leg_must_reach(at_bob, BL_M_INVITE);
        MUST_EQ(w, text_header(world_last(w, NULL, joe->node, "INVITE"), "Record-Route").n, 0);
        leg_hang_up(at_joe);
}

static unsigned detours(struct world *w, const char *p)
{
        unsigned n = 0;
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                n += m->sip && m->to == w->home[1]->node && bl_str_starts(m->octets, BL_STR("SIP/2.0 305")) &&
                     text_has(text_header(m->octets, "Contact"), p);
        return n;
}

/* 3.4: the detour of one dialog teaches the home P itself: the next dialog needs none. */
static void one_detour_for_all_dialogs(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_restart(w->home[1]->node);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_hang_up(at_bob); /* P;d goes with its dialog */
        leg_hang_up(phone_talk(joe, bob, NULL));
        leg_hang_up(phone_talk(bob, joe, NULL));
        MUST(w, detours(w, "sip:joe+") <= 1 && detours(w, "sip:bob+") <= 1);
}

int main(int argc, char **argv)
{
        const struct world_conf two = {
                .edges = 2, .homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = not_belay};
        const struct world_conf three = {.homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = not_belay};
        const struct world_conf six = {
                .edges = 6, .homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = not_belay};
        const struct world_conf fellows = {
                .edges = 2, .homes = NO_HOMES, .prepare = one_more_member, .edge_conf = knows_the_fellow};
#define IS(name_, conf_)                                                                                               \
        {                                                                                                              \
                .name = #name_, .tell = name_, .conf = conf_                                                           \
        }
        const struct story stories[] = {
                IS(named_nodes_first_and_only_living_ones, six),
                IS(an_ack_is_forwarded, six),
                IS(a_fellow_is_not_redirected, fellows),
                IS(a_305_goes_no_further, fellows),
                IS(a_flow_that_goes_is_430, two),
                IS(a_fresh_flow, two),
                IS(a_strict_router_upstream, two),
                IS(a_plain_ua_goes_to_its_home, two),
                IS(p_elsewhere, two),
                IS(one_branch_at_every_edge, two),
                IS(an_answer_to_the_wrong_edge, three),
                {.name = "inside_a_dialog_nobody_record_routes", .tell = inside_a_dialog_nobody_record_routes},
                {.name = "one_detour_for_all_dialogs",
                 .tell = one_detour_for_all_dialogs,
                 .conf = {.edges = 6},
                 .seeds = 8},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
