/*
 * Record-Route between two transports: protocol.md section 4.3, RFC 5658. A neighbour that is not belay goes where a
 * URI says, so each side is told its own transport; both values come back on top of Route and are popped together.
 *
 *   ua ──the other one── e1 ──the story's transport── home
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *home, *peer;
static struct bl_edge_home plain_home;
static struct bl_home_peer peers[1];

/* The least a registrar can do; everything else waits for the story. */
static bool takes_registers(struct raw *r, struct raw_msg *m)
{
        char lines[4096];
        (void)r;
        if (!bl_str_starts(m->text, BL_STR("REGISTER")))
                return false;
        const char *path = raw_list(m, "Path");
        snprintf(lines, sizeof(lines), "Contact: %s;expires=600\nPath: %s\nService-Route: %s\nRequire: outbound\n",
                 raw_header(m, "Contact"), path, path);
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

static enum bl_tp other(enum bl_tp tp)
{
        return tp == BL_UDP ? BL_TCP : BL_UDP;
}

static const char *param(enum bl_tp tp)
{
        return tp == BL_UDP ? ";transport=udp" : ";transport=tcp";
}

/* --- a UA by hand --- */

struct call { /* one side of a dialog: what it sends by */
        struct raw *r;
        bl_flow_id f;
        const char *user;
        char target[300], routes[4096], remote[300], local[300];
};

static struct raw_msg *registered(struct raw *ua, bl_flow_id f, const char *user, const char *supported)
{
        raw_send(ua, f,
                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:%s@example.com>;tag=$TAG\nTo: <sip:%s@example.com>\nCall-ID: reg-$CALL\n"
                 "CSeq: $N REGISTER\nSupported: %s\n"
                 "Contact: <sip:%s@$ME>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\"\n",
                 user, user, supported, user);
        return raw_expect(ua, "SIP/2.0 200");
}

static void split(struct raw_msg *m, char part[8][600], unsigned *ret_n)
{
        char list[6000], *end = NULL;
        unsigned n = 0;
        snprintf(list, sizeof(list), "%s", raw_list(m, "Record-Route"));
        for (char *p = strtok_r(list, ",", &end); p && n < 8; p = strtok_r(NULL, ",", &end))
                snprintf(part[n++], sizeof(part[0]), "%s", p + strspn(p, " "));
        *ret_n = n;
}

static void put_routes(struct call *c, struct raw_msg *m, bool reverse)
{
        char part[8][600];
        unsigned n;
        split(m, part, &n);
        c->routes[0] = 0;
        for (unsigned i = 0; i < n; i++)
                snprintf(c->routes + strlen(c->routes), sizeof(c->routes) - strlen(c->routes), "Route: %s\n",
                         part[reverse ? n - 1 - i : i]);
        MUST(c->r->w, sscanf(raw_header(m, "Contact"), "<%299[^>]", c->target) == 1);
}

/* The caller's side (RFC 3261 12.1.2), from the 200. */
static struct call calling(struct raw *r, bl_flow_id f, struct raw_msg *ok)
{
        struct call c = {.r = r, .f = f};
        snprintf(c.local, sizeof(c.local), "%s", raw_header(ok, "From"));
        snprintf(c.remote, sizeof(c.remote), "%s", raw_header(ok, "To"));
        put_routes(&c, ok, true);
        return c;
}

/* The called one's (12.1.1), from the INVITE. */
static struct call called(struct raw_msg *invite)
{
        struct call c = {.r = invite->at, .f = invite->flow};
        snprintf(c.local, sizeof(c.local), "%s;tag=tag-of-%s", raw_header(invite, "To"), invite->at->name);
        snprintf(c.remote, sizeof(c.remote), "%s", raw_header(invite, "From"));
        put_routes(&c, invite, false);
        return c;
}

static void say(struct call *c, const char *method, const char *call_id)
{
        raw_send(c->r, c->f,
                 "%s %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%sFrom: %s\nTo: %s\n"
                 "Call-ID: %s\nCSeq: $N %s\n",
                 method, c->target, c->routes, c->local, c->remote, call_id, method);
}

static void arrives(struct call *c, struct raw *to, const char *call_id)
{
        struct world *w = to->w;
        say(c, "INFO", call_id);
        struct raw_msg *m = raw_expect(to, "INFO");
        MUST_EQ(w, strlen(raw_list(m, "Route")), 0);
        raw_reply(m, 200, "");
        raw_expect(c->r, "SIP/2.0 200");
}

static void invite(struct raw *r, bl_flow_id f, const char *uri, const char *from, const char *route)
{
        raw_send(r, f,
                 "INVITE %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\nMax-Forwards: 70\n%s"
                 "From: <sip:%s>;tag=$TAG\nTo: <sip:zoe@example.com>\nCall-ID: $CALL\nCSeq: $N INVITE\n"
                 "Contact: <sip:me@$ME>\n",
                 uri, route, from);
}

/* Record-Route of `m`, topmost first, must name these transports (NULL: none). */
static void names(struct raw_msg *m, unsigned n, const char *const *want)
{
        struct world *w = m->at->w;
        char part[8][600];
        unsigned got;
        split(m, part, &got);
        MUST_EQ(w, got, n);
        for (unsigned i = 0; i < n; i++) {
                const char *at = strstr(part[i], ";transport=");
                MUST(w, strstr(part[i], ";d=") != NULL);
                MUST(w, want[i] ? at && strncmp(at, want[i], strlen(want[i])) == 0 : !at);
        }
}
#define NAMES(m_, ...)                                                                                                 \
        names(m_, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

static const char *call_id(struct raw_msg *m)
{
        return raw_header(m, "Call-ID");
}

/* Both ways through the dialog that `in`, as it came, and `ok`, as it went back, have made. */
static void both_ways(struct raw *from, bl_flow_id f, struct raw_msg *in, struct raw_msg *ok)
{
        struct call a = calling(from, f, ok), b = called(in);
        arrives(&a, in->at, call_id(in));
        arrives(&b, from, call_id(in));
}

/* --- an edge between a UA and a home --- */

static void a_plain_ua_and_a_plain_home(struct world *w)
{
        enum bl_tp core = w->conf.tp, ua_tp = other(core);
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, ua_tp, w->edge[1]->node), h = raw_open(home, core, w->edge[1]->node);
        struct raw_msg *ok = registered(ua, f, "joe", "path");
        char p[600];
        /* the home is not told of the UA's transport, the UA is */
        MUST(w, sscanf(raw_list(ok, "Path"), "<%599[^>]", p) == 1 && !strstr(p, "transport="));
        MUST(w, strstr(raw_list(ok, "Service-Route"), param(ua_tp)) != NULL);
        invite(ua, f, "sip:zoe@example.com", "joe@example.com", "");
        struct raw_msg *m = raw_expect(home, "INVITE");
        NAMES(m, param(core), param(ua_tp));
        raw_reply(m, 200, "Contact: <sip:zoe@$ME>\n");
        both_ways(ua, f, m, raw_expect(ua, "SIP/2.0 200"));
        /* and called */
        char route[700];
        snprintf(route, sizeof(route), "Route: <%s>\n", p);
        raw_new_call(home);
        invite(home, h, "sip:joe@192.0.2.77", "zoe@example.com", route);
        m = raw_expect(ua, "INVITE");
        NAMES(m, param(ua_tp), param(core));
        raw_reply(m, 200, "Contact: <sip:joe@192.0.2.77>\n");
        both_ways(home, h, m, raw_expect(home, "SIP/2.0 200"));
}

/* One that knows ;sticky needs no transport: its side stays as it is. */
static void a_belay_ua_and_a_plain_home(struct world *w)
{
        enum bl_tp core = w->conf.tp;
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, other(core), w->edge[1]->node);
        struct raw_msg *ok = registered(ua, f, "joe", "path, outbound, sticky");
        MUST(w, !strstr(raw_list(ok, "Service-Route"), "transport="));
        invite(ua, f, "sip:zoe@example.com", "joe@example.com", "");
        struct raw_msg *m = raw_expect(home, "INVITE");
        NAMES(m, param(core), NULL);
        raw_reply(m, 200, "Contact: <sip:zoe@$ME>\n");
        both_ways(ua, f, m, raw_expect(ua, "SIP/2.0 200"));
}

/* Nothing differs: one value. */
static void the_same_on_both_sides(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, w->conf.tp, w->edge[1]->node);
        registered(ua, f, "joe", "path");
        invite(ua, f, "sip:zoe@example.com", "joe@example.com", "");
        struct raw_msg *m = raw_expect(home, "INVITE");
        NAMES(m, param(w->conf.tp));
        raw_reply(m, 200, "Contact: <sip:zoe@$ME>\n");
        both_ways(ua, f, m, raw_expect(ua, "SIP/2.0 200"));
}

/* The second value counts as the first: its `d` is checked. */
static void a_second_value_of_another_call(struct world *w)
{
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, other(w->conf.tp), w->edge[1]->node);
        registered(ua, f, "joe", "path");
        invite(ua, f, "sip:zoe@example.com", "joe@example.com", "");
        struct raw_msg *m = raw_expect(home, "INVITE");
        raw_reply(m, 200, "Contact: <sip:zoe@$ME>\n");
        struct call a = calling(ua, f, raw_expect(ua, "SIP/2.0 200"));
        char *d = strstr(strstr(a.routes, ";d=") + 1, ";d=") + 3;
        *d = *d == 'a' ? 'b' : 'a';
        say(&a, "INFO", call_id(m));
        raw_expect(ua, "SIP/2.0 403");
        raw_expect_nothing(home, "INFO", 1);
}

/* 3.4: the wrong edge sends it on, and the one that has the flow takes off both. */
static void by_the_wrong_edge(struct world *w)
{
        enum bl_tp core = w->conf.tp;
        struct raw *ua = raw_new(w, "ua");
        bl_flow_id f = raw_open(ua, other(core), w->edge[1]->node), h = raw_open(home, core, w->edge[2]->node);
        char p[600], route[700];
        MUST(w, sscanf(raw_list(registered(ua, f, "joe", "path"), "Path"), "<%599[^>]", p) == 1);
        snprintf(route, sizeof(route), "Route: <%s>\n", p);
        invite(home, h, "sip:joe@192.0.2.77", "zoe@example.com", route);
        struct raw_msg *m = raw_expect(ua, "INVITE");
        NAMES(m, param(other(core)), param(core)); /* the home's side, not the fellow's */
        raw_reply(m, 200, "Contact: <sip:joe@192.0.2.77>\n");
        both_ways(home, h, m, raw_expect(home, "SIP/2.0 200"));
}

/* --- with a real home --- */

static struct bl_str at_home(struct world *w, const struct sim_node *from)
{
        return text_header(world_last(w, from, w->home[1]->node, "INVITE"), "Record-Route");
}

static unsigned values(struct bl_str rr)
{
        unsigned n = 0;
        for (size_t i = 0; i < rr.n; i++)
                n += rr.p[i] == '<';
        return n;
}

static void one_more_edge(struct world *w)
{
        peer = raw_new(w, "e9");
        world_trust(w->home[1], "edge.example.com", peer->node);
}

/* Two belay neighbours: the single one, whatever their transports. */
static void belay_on_both_sides(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        leg_hang_up(phone_talk(joe, bob, NULL));
        struct bl_str rr = at_home(w, NULL);
        MUST_EQ(w, values(rr), 1);
        MUST(w, !text_has(rr, "transport="));
        bl_flow_id f = raw_open(peer, other(w->conf.tp), w->home[1]->node);
        raw_send(peer, f,
                 "INVITE %s SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport;sticky\nMax-Forwards: 70\n"
                 "From: <sip:zoe@example.com>;tag=$TAG\nTo: <%s>\nCall-ID: $CALL\nCSeq: $N INVITE\n"
                 "Contact: <sip:zoe@$ME>\n",
                 joe->aor, joe->aor);
        NAMES(raw_expect(peer, "SIP/2.0 200"), NULL, NULL);
}

/* A plain UA, and a home that finds the flow by P: the UA's transport is not its affair. */
static void a_plain_ua_and_a_belay_home(struct world *w)
{
        struct phone *bob = phone_up(w, "bob");
        struct raw *ua = raw_new(w, "plain");
        enum bl_tp tp = other(w->conf.tp);
        bl_flow_id f = raw_open(ua, tp, w->edge[1]->node);
        struct raw_msg *ok = registered(ua, f, "plain", "path");
        MUST(w, !strstr(raw_list(ok, "Path"), "transport=") && strstr(raw_list(ok, "Service-Route"), param(tp)));
        invite(ua, f, bob->aor, "plain@example.com", "");
        ok = raw_expect(ua, "SIP/2.0 200 ");
        struct bl_str rr = at_home(w, w->edge[1]->node);
        MUST_EQ(w, values(rr), 2);
        MUST(w, !text_has(bl_str_make(rr.p, (size_t)bl_str_find(rr, '>')), "transport="));
        MUST(w, text_has(rr, param(tp)));
        struct call a = calling(ua, f, ok);
        say(&a, "INFO", call_id(ok));
        raw_expect(ua, "SIP/2.0 200");
        MUST_EQ(w, phone_leg(bob, 0)->got[BL_M_INFO], 1);
        struct ask *info = leg_ask(phone_leg(bob, 0), BL_M_INFO);
        raw_reply(raw_expect(ua, "INFO"), 200, "");
        WAIT(w, info->status == 200, 10);
}

static void a_peer(struct world *w)
{
        peer = raw_new(w, "peer");
        world_publish(w, "b.com", peer->node);
        world_trust(w->home[1], "b.com", peer->node);
}

static void knows_the_peer(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w, (void)i;
        peers[0] = (struct bl_home_peer){.domain = BL_STR("b.com")};
        c->peers = peers;
        c->n_peers = 1;
}

/* The home between a plain peer and its edges. */
static void a_home_between_two(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        enum bl_tp tp = other(w->conf.tp);
        bl_flow_id f = raw_open(peer, tp, w->home[1]->node);
        invite(peer, f, "sip:joe@example.com", "zoe@b.com", "");
        struct raw_msg *ok = raw_expect(peer, "SIP/2.0 200");
        /* the edge reads the one that sticks, the peer his own */
        NAMES(ok, NULL, NULL, param(tp));
        struct call a = calling(peer, f, ok);
        say(&a, "INFO", call_id(ok));
        raw_expect(peer, "SIP/2.0 200");
        MUST_EQ(w, phone_leg(joe, 0)->got[BL_M_INFO], 1);
        struct ask *info = leg_ask(phone_leg(joe, 0), BL_M_INFO);
        struct raw_msg *m = raw_expect(peer, "INFO");
        MUST_EQ(w, strlen(raw_list(m, "Route")), 0);
        raw_reply(m, 200, "");
        WAIT(w, info->status == 200, 10);
        MUST_EQ(w, world_seen(w, w->home[1]->node, w->home[1]->node, ""), 0); /* none of the two led to itself */
}

/* Without edges: two plain phones at the home itself, each with a transport of its own. */
static void a_home_between_two_phones(struct world *w)
{
        struct raw *a = raw_new(w, "a"), *b = raw_new(w, "b");
        enum bl_tp tp = w->conf.tp;
        bl_flow_id fa = raw_open(a, tp, w->home[1]->node), fb = raw_open(b, other(tp), w->home[1]->node);
        registered(a, fa, "alice", "path");
        registered(b, fb, "bob", "path");
        invite(a, fa, "sip:bob@example.com", "alice@example.com", "");
        struct raw_msg *m = raw_expect(b, "INVITE");
        NAMES(m, param(other(tp)), param(tp));
        raw_reply(m, 200, "Contact: <sip:bob@$ME>\n");
        both_ways(a, fa, m, raw_expect(a, "SIP/2.0 200 "));
}

int main(int argc, char **argv)
{
        const struct world_conf by_hand = {
                .edges = 2, .homes = NO_HOMES, .prepare = a_home_by_hand, .edge_conf = not_belay};
        const struct world_conf usual = {.home_no_auth = true};
        const struct world_conf one_more = {.prepare = one_more_edge};
        const struct world_conf border = {.prepare = a_peer, .home_conf = knows_the_peer};
        const struct world_conf alone = {.edges = NO_EDGES, .policy = BL_HOME_ACCEPT, .home_no_auth = true};
#define IS(name_, conf_)                                                                                               \
        {                                                                                                              \
                .name = #name_, .tell = name_, .conf = conf_                                                           \
        }
        const struct story stories[] = {
                IS(a_plain_ua_and_a_plain_home, by_hand), IS(a_belay_ua_and_a_plain_home, by_hand),
                IS(the_same_on_both_sides, by_hand),      IS(a_second_value_of_another_call, by_hand),
                IS(by_the_wrong_edge, by_hand),           IS(belay_on_both_sides, one_more),
                IS(a_plain_ua_and_a_belay_home, usual),   IS(a_home_between_two, border),
                IS(a_home_between_two_phones, alone),
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
