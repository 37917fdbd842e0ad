/*
 * Discovery of outbound proxies through REGISTER: slides S6 to S10 and S20 to S27, protocol.md section 2.
 *
 *   joe ──REGISTER──► h1        no Route: joe knows nothing but his address of record
 *       ◄──── 300 ───           Contact: <sip:edge.example.com;lr>
 *       ──REGISTER──► e?        Route: <sip:edge.example.com;lr>; e? adds Path: <P>
 *       ◄──── 200 ───           Outbound-Proxy: <P>, <P;maddr=address of a backup>
 *       ──REGISTER──► backup    Route: <P;maddr=…>; the same P goes into Path
 */
#include "scenario/world/phone.h"

static struct bl_str path_of(struct world *w, unsigned edge, const char *reg_id)
{
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                if (m->from == w->edge[edge]->node && bl_str_starts(m->octets, BL_STR("REGISTER")) &&
                    text_has(text_header(m->octets, "Contact"), reg_id))
                        return text_header(m->octets, "Path");
        return (struct bl_str){NULL, 0};
}

/* S6-S10, S20-S27: from an address of record to two flows under one name. */
static void from_nothing_to_two_flows(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        struct sim_node *h1 = w->home[1]->node;

        /* S6, S7: the first REGISTER goes to the domain, which names the cluster */
        MUST_EQ(w, world_seen(w, joe->node, h1, "REGISTER sip:example.com SIP/2.0"), 1);
        struct bl_str first = world_last(w, joe->node, h1, "REGISTER");
        MUST_EQ(w, text_header(first, "Route").n, 0);
        MUST(w, text_has(text_header(first, "Supported"), "sticky"));
        MUST(w, text_has(text_header(first, "Supported"), "path"));
        MUST(w, text_has(text_header(first, "Contact"), "+sip.instance="));
        MUST(w, text_has(text_header(first, "Contact"), "reg-id=1"));
        MUST(w, bl_str_eq(text_header(world_last(w, h1, joe->node, "SIP/2.0 300"), "Contact"),
                          BL_STR("<sip:edge.example.com;lr>")));
        MUST_EQ(w, joe->redirected, 1);

        /* S8, S9: two flows to two edges, each with a reg-id of its own, and one P for both */
        unsigned a = phone_edge(joe, 0), b = phone_edge(joe, 1);
        for (unsigned e = 1; e <= 3; e++)
                if (phone_has_edge(joe, e)) {
                        a = path_of(w, e, "reg-id=1").n ? e : a;
                        b = path_of(w, e, "reg-id=2").n ? e : b;
                }
        MUST(w, a && b && a != b);
        struct bl_str p = path_of(w, a, "reg-id=1");
        MUST(w, text_has(p, "<sip:joe+"));
        MUST(w, text_has(p, "@edge.example.com;lr"));
        struct bl_str p_user, q_user, rest;
        MUST(w, bl_str_cut(p, '@', &p_user, &rest));
        MUST(w, bl_str_cut(path_of(w, b, "reg-id=2"), '@', &q_user, &rest));
        MUST(w, bl_str_eq(p_user, q_user));

        /* S25: the primary names itself first, then the backup by its address */
        struct bl_str two_hundred = {NULL, 0};
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                if (m->from == w->edge[a]->node && m->to == joe->node && text_has(m->octets, "Outbound-Proxy:"))
                        two_hundred = m->octets;
        struct bl_str set = text_header(two_hundred, "Outbound-Proxy");
        char backup[64];
        struct bl_addr at = sim_addr(w->edge[b]->node, 0);
        struct bl_sb sb = BL_SB(backup);
        bl_sb_addz(&sb, "maddr=");
        bl_addr_put_ip(&sb, &at);
        bl_sb_addc(&sb, 0);
        MUST(w, bl_str_starts(set, p_user));
        MUST(w, text_has(set, backup));
        MUST(w, text_header(two_hundred, "Flow-Timer").n > 0);
        /* the Service-Route begins with the edge, then the home: so the UA's requests do */
        struct bl_str sr = text_header(two_hundred, "Service-Route");
        MUST(w, bl_str_starts(sr, p_user));
        MUST(w, text_has(two_hundred, "<sip:example.com;lr>"));

        /* RFC 3261 10.2.4 and protocol.md section 2.3: one Call-ID, CSeq rises */
        struct bl_str via_edge = world_last(w, joe->node, w->edge[a]->node, "REGISTER");
        MUST(w, bl_str_eq(text_header(first, "Call-ID"), text_header(via_edge, "Call-ID")));
}

/* Outbound-Proxy stands in the first 200 only, not in those of refreshes (D8.2); and refreshes keep the flows. */
static void refreshes_keep_their_flows(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        unsigned a = phone_edge(joe, 0), b = phone_edge(joe, 1), told = world_seen(w, NULL, joe->node, "SIP/2.0 200");
        bl_flow_id fa = sim_flow_to(joe->node, w->edge[a]->node, 0), fb = sim_flow_to(joe->node, w->edge[b]->node, 0);
        unsigned direct = world_seen(w, joe->node, w->home[1]->node, "REGISTER");
        WAIT(w, world_seen(w, NULL, joe->node, "SIP/2.0 200") >= told + 4, 300);
        MUST(w, sim_flow_to(joe->node, w->edge[a]->node, 0) == fa);
        MUST(w, sim_flow_to(joe->node, w->edge[b]->node, 0) == fb);
        MUST_EQ(w, world_seen(w, joe->node, w->home[1]->node, "REGISTER"), direct);
        unsigned outbound_proxies = 0;
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                outbound_proxies += m->to == joe->node && text_header(m->octets, "Outbound-Proxy").n > 0;
        MUST_EQ(w, outbound_proxies, 1);
}

/* S10, D3: a UA that was given an outbound proxy starts there; the home is never asked directly. */
static void an_outbound_proxy_from_configuration(struct world *w)
{
        struct phone *joe = phone_new(w, "joe");
        joe->conf.outbound_proxy = BL_STR("sip:edge.example.com;lr");
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 30);
        MUST_EQ(w, world_seen(w, joe->node, w->home[1]->node, "REGISTER"), 0);
        MUST_EQ(w, joe->redirected, 0);
}

/* Requirement 6: a client without DNS has a map from names to addresses. */
static void without_dns(struct world *w)
{
        static struct bl_static_route map[4];
        struct phone *joe = phone_new(w, "joe");
        map[0] = (struct bl_static_route){
                .host = BL_STR("example.com"), .tp = w->conf.tp, .addr = sim_addr(w->home[1]->node, 5060)};
        for (unsigned e = 1; e <= 3; e++)
                map[e] = (struct bl_static_route){
                        .host = BL_STR("edge.example.com"), .tp = w->conf.tp, .addr = sim_addr(w->edge[e]->node, 5060)};
        joe->stack_conf.hop.map = map;
        joe->stack_conf.hop.n_map = 4;
        joe->stack_conf.hop.dns = false;
        unsigned asked = sim_dns_queries(w->sim);
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 30);
        MUST(w, sim_dns_queries(w->sim) - asked <= 8); /* the edges' own, about the home */
        struct phone *bob = phone_up(w, "bob");
        leg_hang_up(phone_talk(joe, bob, NULL));
}

/* Three flows when the cluster's sets have three nodes. */
static void as_many_flows_as_the_set_has(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        MUST_EQ(w, phone_flows(joe), 3);
        for (unsigned e = 1; e <= 3; e++)
                MUST(w, phone_has_edge(joe, e));
}

/* Sealed tokens: nobody reads who is behind a P. */
static void sealed_names(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        for (unsigned e = 1; e <= 3; e++) {
                MUST(w, !text_has(path_of(w, e, "reg-id"), "joe"));
                MUST(w, !path_of(w, e, "reg-id").n || bl_str_starts(path_of(w, e, "reg-id"), BL_STR("<sip:~")));
        }
        leg_hang_up(phone_talk(joe, bob, NULL));
}

/* The home may ask who it is before it says where the edges are. */
static void challenge_then_redirect(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        MUST_EQ(w, world_seen(w, w->home[1]->node, joe->node, "SIP/2.0 401"), 1);
        MUST_EQ(w, world_seen(w, w->home[1]->node, joe->node, "SIP/2.0 300"), 1);
}

/* A wrong password is told to the person, and nothing is bound anywhere. */
static void a_wrong_password(struct world *w)
{
        struct phone *joe = phone_new(w, "joe");
        joe->conf.password = BL_STR("guess");
        phone_start(joe);
        WAIT(w, joe->refused > 0, 30);
        MUST_EQ(w, phone_flows(joe), 0);
        MUST_EQ(w, bl_store_mem_count(w->mem), 0);
}

/* Stopping removes what was bound, at the home and at both edges. */
static void stopping_removes_everything(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        WAIT(w, bl_store_mem_count(w->mem) == 2, 5);
        sim_enter(sim_env(joe->node, 0));
        bl_ua_stop(joe->ua);
        sim_leave(sim_env(joe->node, 0));
        WAIT(w, joe->unregistered == 2, 30);
        MUST_EQ(w, bl_store_mem_count(w->mem), 0);
        struct phone *bob = phone_up(w, "bob");
        struct leg *call = phone_call(bob, joe->aor);
        WAIT(w, call->invite->status, 40);
        MUST_EQ(w, call->invite->status, 480);
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true, .name = "from_nothing_to_two_flows", .tell = from_nothing_to_two_flows, .seeds = 6},
                {.tls_too = true,
                 .name = "refreshes_keep_their_flows",
                 .tell = refreshes_keep_their_flows,
                 .conf = {.expires_s = 60}},
                {.tls_too = true,
                 .name = "an_outbound_proxy_from_configuration",
                 .tell = an_outbound_proxy_from_configuration},
                {.name = "without_dns", .tell = without_dns},
                {.tls_too = true,
                 .name = "as_many_flows_as_the_set_has",
                 .tell = as_many_flows_as_the_set_has,
                 .conf = {.set_size = 3, .store_trouble = true}},
                {.tls_too = true, .name = "sealed_names", .tell = sealed_names, .conf = {.sealed = true}},
                {.tls_too = true,
                 .name = "challenge_then_redirect",
                 .tell = challenge_then_redirect,
                 .conf = {.policy = BL_HOME_CHALLENGE_REDIRECT}},
                {.tls_too = true, .name = "a_wrong_password", .tell = a_wrong_password},
                {.tls_too = true, .name = "stopping_removes_everything", .tell = stopping_removes_everything},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
