/*
 * Our UA against edges that are written by hand: protocol.md section 2 (steps 3, 4, 7 and 8), 4.4 and section 5 as the
 * UA sees them. The edges say what a real one would say only in a bad hour.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

static struct raw *home, *ea, *eb, *ec;

static void edges_by_hand(struct world *w)
{
        home = raw_new(w, "home");
        ea = raw_new(w, "ea");
        eb = raw_new(w, "eb");
        ec = raw_new(w, "ec");
        world_publish(w, "example.com", home->node);
        world_publish(w, "edge.example.com", ea->node);
}

static const char *ip(struct raw *r)
{
        char *z = bl_arena_alloc(r->arena, 64);
        snprintf(z, 64, "%.*s", (int)strcspn(raw_me(r), ":"), raw_me(r));
        return z;
}

static struct phone *joe_starts(struct world *w, const char *outbound_proxy)
{
        struct phone *joe = phone_new(w, "joe");
        if (outbound_proxy)
                joe->conf.outbound_proxy = bl_str_z(outbound_proxy);
        phone_start(joe);
        return joe;
}

#define P "sip:joe+k3v9x0q2+ea+eb+Emac@edge.example.com"

static const char *tp_of(struct world *w)
{
        return w->conf.tp == BL_TCP ? ";transport=tcp" : "";
}

/* 200 to a REGISTER: all of ea's, or a later edge's. */
static void accept(struct raw_msg *m, unsigned expires, struct raw *backup)
{
        struct world *w = m->at->w;
        char lines[2048], contact[512], list[600] = "";
        snprintf(contact, sizeof(contact), "%s", raw_header(m, "Contact"));
        char *at = strstr(contact, ";expires=");
        if (at)
                *at = 0;
        if (backup)
                snprintf(list, sizeof(list), "Outbound-Proxy: <" P "%s;lr;ob>, <" P "%s;lr;ob;maddr=%s>\n", tp_of(w),
                         tp_of(w), ip(backup));
        snprintf(lines, sizeof(lines),
                 "Contact: %s;expires=%u\nPath: <" P ";lr;ob>\nService-Route: <" P ";lr;ob>, <sip:example.com;lr>\n"
                 "Require: outbound\nFlow-Timer: 120\n%s",
                 contact, expires, list);
        raw_reply(m, 200, lines);
}

/* Both flows: reg-id 1 at ea, 2 at eb. */
static struct phone *joe_up(struct world *w, unsigned expires, bl_flow_id f[2])
{
        struct phone *joe = joe_starts(w, "sip:edge.example.com;lr");
        struct raw_msg *m = raw_expect(ea, "REGISTER");
        f[0] = m->flow;
        accept(m, expires, eb);
        m = raw_expect(eb, "REGISTER");
        f[1] = m->flow;
        accept(m, expires, NULL);
        WAIT(w, phone_flows(joe) == 2, 10);
        return joe;
}

/* --- discovery --- */

static void only_a_loose_contact_is_followed(struct world *w)
{
        struct phone *joe = joe_starts(w, NULL);
        raw_reply(raw_expect(home, "REGISTER"), 300, "Contact: <sip:edge.example.com>\n");
        WAIT(w, joe->refused, 10);
        MUST_EQ(w, raw_count(ea, "REGISTER"), 0);
        MUST_EQ(w, joe->redirected, 0);
}

/* Of a 305 any will do; the request is the same but for its CSeq. */
static void a_305_needs_no_lr(struct world *w)
{
        struct phone *joe = joe_starts(w, NULL);
        struct raw_msg *first = raw_expect(home, "REGISTER");
        raw_reply(first, 305, "Contact: <sip:edge.example.com>\n");
        struct raw_msg *second = raw_expect(ea, "REGISTER sip:example.com ");
        MUST_EQ(w, second->m->cseq.number, first->m->cseq.number + 1);
        MUST(w, strcmp(raw_header(first, "Call-ID"), raw_header(second, "Call-ID")) == 0);
        MUST(w, strcmp(raw_header(first, "Via"), raw_header(second, "Via")) != 0); /* a transaction of its own */
        MUST(w, strstr(raw_list(second, "Route"), "sip:edge.example.com") != NULL);
        accept(second, 600, NULL);
        WAIT(w, phone_flows(joe) == 1, 10);
}

static bool redirects_for_ever(struct raw *r, struct raw_msg *m)
{
        (void)r;
        raw_reply(m, 300, "Contact: <sip:edge.example.com;lr>\n");
        return true;
}

static void five_redirects(struct world *w)
{
        home->on = ea->on = redirects_for_ever;
        struct phone *joe = joe_starts(w, NULL);
        WAIT(w, joe->refused, 20);
        MUST_EQ(w, joe->redirected, 5);
        MUST_EQ(w, raw_count(home, "REGISTER") + raw_count(ea, "REGISTER"), 6);
}

/* Step 4, and 7: the second flow is new; what it is challenged on, it answers on. Step 8: and refreshes. */
static void each_registration_keeps_its_flow(struct world *w)
{
        struct phone *joe = joe_starts(w, "sip:edge.example.com;lr");
        const char *challenge = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"1\", algorithm=MD5\n";
        struct raw_msg *m = raw_expect(ea, "REGISTER");
        bl_flow_id fa = m->flow;
        raw_reply(m, 401, challenge);
        m = raw_expect(ea, "REGISTER");
        MUST(w, m->flow == fa);
        /* the backup is the same machine: another flow all the same */
        accept(m, 10, ea);
        m = raw_expect(ea, "REGISTER");
        bl_flow_id fb = m->flow;
        MUST(w, fb != fa);
        raw_reply(m, 401, "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"2\", stale=true, algorithm=MD5\n");
        m = raw_expect(ea, "REGISTER");
        MUST(w, m->flow == fb);
        accept(m, 10, NULL);
        WAIT(w, phone_flows(joe) == 2, 10);
        for (int i = 0; i < 2; i++) { /* one refresh of each; nobody here answers keep-alives */
                m = raw_expect(ea, "REGISTER");
                MUST(w, m->flow == (strstr(raw_header(m, "Contact"), "reg-id=1") ? fa : fb));
                accept(m, 10, NULL);
        }
}

/* 4.4: sent elsewhere by an edge, the UA leaves out nodes where it has a flow, however the edge spells them. */
static void not_where_a_flow_is_already(struct world *w)
{
        bl_flow_id f[2];
        struct phone *joe = joe_up(w, 10, f);
        char lines[700];
        struct raw_msg *m = raw_expect(eb, "REGISTER"); /* a refresh */
        snprintf(lines, sizeof(lines), "Contact: <" P "%s;lr;maddr=%s>;q=0.9\nContact: <" P "%s;lr;maddr=%s>;q=0.8\n",
                 tp_of(w), ip(ea), tp_of(w), ip(ec));
        raw_reply(m, 305, lines);
        m = raw_expect(ec, "REGISTER");
        MUST(w, strstr(raw_header(m, "Contact"), "reg-id=2") != NULL);
        accept(m, 600, NULL);
        world_pass(w, 1);
        for (unsigned i = 0; i < ea->n_in; i++)
                MUST(w, strstr(raw_header(&ea->in[i], "Contact"), "reg-id=2") == NULL);
        MUST_EQ(w, phone_flows(joe), 2);
}

/* --- requests to the UA --- */

static void ask_joe(struct raw *r, bl_flow_id f, const char *method, const char *uri, const char *more)
{
        raw_send(r, f,
                 "%s %s SIP/2.0\nVia: SIP/2.0/$TP edge.example.com;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:zoe@example.com>;tag=zoe\nTo: <sip:joe@example.com>\nCall-ID: $CALL\nCSeq: 7 %s\n"
                 "Record-Route: <" P ";lr;d=abc>\nContact: <sip:zoe@192.0.2.88>\n%s",
                 method, uri, method, more);
}

static const char *contact_of(struct raw *r)
{
        char *uri = bl_arena_alloc(r->arena, 256);
        uri[0] = 0;
        for (unsigned i = 0; i < r->n_in && !uri[0]; i++)
                if (bl_str_starts(r->in[i].text, BL_STR("REGISTER")))
                        sscanf(raw_header(&r->in[i], "Contact"), "<%255[^>]", uri);
        return uri;
}

static void who_and_what_it_takes(struct world *w)
{
        bl_flow_id f[2];
        struct phone *joe = joe_up(w, 600, f);
        const char *uri = contact_of(ea);
        MUST(w, strcmp(uri, contact_of(eb)) == 0); /* step 8: one Contact on all flows */
        ask_joe(ea, f[0], "MESSAGE", "sip:nobody@192.0.2.1", "");
        raw_expect(ea, "SIP/2.0 404");
        ask_joe(ea, f[0], "MESSAGE", uri, "Require: teleportation\n");
        MUST(w, strcmp(raw_header(raw_expect(ea, "SIP/2.0 420"), "Unsupported"), "teleportation") == 0);
        MUST_EQ(w, joe->got[BL_M_MESSAGE], 0);
        ask_joe(ea, f[0], "MESSAGE", uri, "");
        raw_expect(ea, "SIP/2.0 200");
        /* the same again by the other edge, as a transaction of its own: answered alike, told once */
        ask_joe(eb, f[1], "MESSAGE", uri, "Call-ID-Copy: x\n");
        raw_expect(eb, "SIP/2.0 200");
        MUST_EQ(w, joe->got[BL_M_MESSAGE], 2); /* another Call-ID: another request */
        snprintf(eb->name, sizeof(eb->name), "%s", ea->name);
        ask_joe(eb, f[1], "MESSAGE", uri, "");
        raw_expect(eb, "SIP/2.0 200");
        MUST_EQ(w, joe->got[BL_M_MESSAGE], 2);
}

/* An unACKed 2xx: over UDP in turns by both flows; when its flow has died, by the other. */
static void a_2xx_finds_its_way(struct world *w)
{
        bl_flow_id f[2];
        struct phone *joe = joe_up(w, 600, f);
        ask_joe(ea, f[0], "INVITE", contact_of(ea), "");
        struct bl_str to = text_header(raw_expect(ea, "SIP/2.0 200")->text, "To");
        raw_expect(ea, "SIP/2.0 200"); /* the first repetition still comes the same way */
        if (w->conf.tp == BL_UDP)
                MUST_EQ(w, raw_count(eb, "SIP/2.0 200"), 0);
        else
                raw_close(ea, f[0]);
        raw_expect(eb, "SIP/2.0 200");
        if (w->conf.tp == BL_UDP)
                raw_expect(ea, "SIP/2.0 200");
        raw_send(eb, f[1],
                 "ACK %s SIP/2.0\nVia: SIP/2.0/$TP edge.example.com;branch=$BRANCH;rport\nMax-Forwards: 70\n"
                 "From: <sip:zoe@example.com>;tag=zoe\nTo: %.*s\nCall-ID: call-1@ea\nCSeq: 7 ACK\n",
                 contact_of(ea), BL_STR_ARG(to));
        WAIT(w, phone_leg(joe, 0)->acked, 5);
}

/* --- requests of the UA --- */

static void branch_of(struct raw_msg *m, char *out, size_t cap)
{
        snprintf(out, cap, "%s", raw_header(m, "Via"));
        char *rport = strstr(out, ";rport");
        if (rport)
                *rport = 0;
}

static struct raw_msg *either(struct world *w, const char *start)
{
        struct raw_msg *m = NULL;
        WAIT(w, (m = raw_got(ea, start)) != NULL || (m = raw_got(eb, start)) != NULL, 20);
        return m;
}

/* After a final response a new branch; all tries of one request have one, and one sent-by. */
static void branches(struct world *w)
{
        bl_flow_id f[2];
        struct phone *joe = joe_up(w, 600, f);
        char via[3][300];
        phone_ask(joe, BL_M_MESSAGE, "sip:zoe@example.com");
        struct raw_msg *m = either(w, "MESSAGE");
        branch_of(m, via[0], sizeof(via[0]));
        raw_reply(m, 407, "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"1\", algorithm=MD5\n");
        m = either(w, "MESSAGE");
        branch_of(m, via[1], sizeof(via[1]));
        MUST(w, strcmp(via[0], via[1]) != 0);
        raw_reply(m, 430, ""); /* its flow has gone: the other one, the same transaction */
        struct raw_msg *n = either(w, "MESSAGE");
        MUST(w, n->at != m->at);
        branch_of(n, via[2], sizeof(via[2]));
        MUST(w, strcmp(via[1], via[2]) == 0);
        raw_reply(n, 200, "");
        WAIT(w, w->asks[0].status, 10);
        MUST_EQ(w, w->asks[0].status, 200);
}

static struct leg *joe_calls(struct phone *joe, struct raw_msg **ret_invite)
{
        struct leg *l = phone_call(joe, "sip:zoe@example.com");
        *ret_invite = either(joe->w, "INVITE");
        return l;
}

#define TALK "Record-Route: <" P ";lr;d=abc>\nContact: <sip:zoe@192.0.2.88>\n"

/* Each copy of a 2xx is ACKed on the flow it came by. */
static void an_ack_for_each_copy(struct world *w)
{
        bl_flow_id f[2];
        struct phone *joe = joe_up(w, 600, f);
        struct raw_msg *m;
        struct leg *l = joe_calls(joe, &m);
        struct raw *other = m->at == ea ? eb : ea;
        raw_reply(m, 200, TALK);
        raw_expect(m->at, "ACK");
        MUST(w, l->invite->status == 200);
        struct raw_msg copy = *m;
        copy.at = other;
        copy.flow = f[other == eb];
        snprintf(other->name, sizeof(other->name), "%s", m->at->name); /* the same To tag */
        raw_reply(&copy, 200, TALK);
        MUST(w, raw_expect(other, "ACK")->flow == copy.flow);
        raw_expect_nothing(m->at, "ACK", 1);
}

/* The first edge falls silent with the BYE, the second finds no such call any more: it had arrived. */
static void a_bye_that_had_arrived(struct world *w)
{
        bl_flow_id f[2];
        struct phone *joe = joe_up(w, 600, f);
        struct raw_msg *m;
        struct leg *l = joe_calls(joe, &m);
        raw_reply(m, 200, TALK);
        raw_expect(m->at, "ACK");
        struct ask *bye = leg_ask(l, BL_M_BYE);
        m = either(w, "BYE");
        struct raw *other = m->at == ea ? eb : ea;
        m = raw_expect(other, "BYE");
        raw_reply(m, 481, "");
        WAIT(w, bye->status, 20);
        MUST_EQ(w, bye->status, 200);
}

int main(int argc, char **argv)
{
        const struct world_conf conf = {.edges = NO_EDGES, .homes = NO_HOMES, .prepare = edges_by_hand};
#define IS(name_)                                                                                                      \
        {                                                                                                              \
                .name = #name_, .tell = name_, .conf = conf                                                            \
        }
        const struct story stories[] = {
                IS(only_a_loose_contact_is_followed),
                IS(a_305_needs_no_lr),
                IS(five_redirects),
                IS(each_registration_keeps_its_flow),
                IS(not_where_a_flow_is_already),
                IS(who_and_what_it_takes),
                IS(a_2xx_finds_its_way),
                IS(branches),
                IS(an_ack_for_each_copy),
                IS(a_bye_that_had_arrived),
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
