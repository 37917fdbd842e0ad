/* RFC 3263 over the static map and the cache. */
#include "unit/unit.h"

#include "unit/hop/kit.h"
#include "unit/oom.h"

struct got {
        struct bl_resolve r; /* first: done gets it back */
        int rc;
        unsigned n, calls;
        struct bl_target t[BL_HOP_TARGETS];
        char sni[BL_HOP_TARGETS][64];
};

static void done(struct bl_resolve *r, int rc, const struct bl_target *t, unsigned n)
{
        struct got *g = BL_CONTAINER(r, struct got, r);
        g->calls++;
        g->rc = rc < 0 ? rc : (int)n;
        g->n = n;
        memcpy(g->t, t, n * sizeof(*t));
        for (unsigned i = 0; i < n; i++)
                snprintf(g->sni[i], sizeof(g->sni[i]), "%.*s", BL_STR_ARG(t[i].sni));
}

static void dns(struct kit *k)
{
        k->conf.dns = true;
}
static void dual(struct kit *k)
{
        k->conf.dns = true;
        k->fconf.n_listeners = 4;
}
static struct kit *with_dns(void)
{
        return kit_new_tuned(dns, NULL);
}
static struct kit *dual_stack(void)
{
        return kit_new_tuned(dual, NULL);
}

static int ask(struct kit *k, struct got *g, const char *uri, bool use_maddr)
{
        struct bl_uri u = kit_uri(uri);
        memset(g, 0, sizeof(*g));
        g->r.done = done;
        g->rc = bl_resolve(k->h, &g->r, &u, use_maddr, g->t);
        if (g->rc > 0) {
                g->n = (unsigned)g->rc;
                for (unsigned i = 0; i < g->n; i++)
                        snprintf(g->sni[i], sizeof(g->sni[i]), "%.*s", BL_STR_ARG(g->t[i].sni));
        }
        return g->rc;
}

static void assert_target(const struct got *g, unsigned i, enum bl_tp tp, const char *addr)
{
        char text[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(text);
        assert_true(i < g->n);
        bl_addr_put(&b, &g->t[i].to);
        assert_str(bl_sb_str(&b), addr);
        assert_int_equal(g->t[i].tp, tp);
}

/* ---- without DNS ---- */

static void numeric_hosts(void **state)
{
        static const struct {
                const char *uri, *addr;
                enum bl_tp tp;
                bool use_maddr;
        } cases[] = {
                {"sip:192.0.2.1", "192.0.2.1:5060", BL_UDP, false},
                {"sip:192.0.2.1:5080", "192.0.2.1:5080", BL_UDP, false},
                {"sip:a@192.0.2.1;transport=TCP", "192.0.2.1:5060", BL_TCP, false},
                {"sip:192.0.2.1;transport=tls", "192.0.2.1:5061", BL_TLS, false},
                {"sips:192.0.2.1", "192.0.2.1:5061", BL_TLS, false},
                {"sips:192.0.2.1;transport=tcp", "192.0.2.1:5061", BL_TLS, false},
                {"sip:192.0.2.1;transport=ws", "192.0.2.1:80", BL_WS, false},
                {"sips:192.0.2.1;transport=ws", "192.0.2.1:443", BL_WSS, false},
                {"sip:[2001:db8::1]:5070;transport=tcp", "[2001:db8::1]:5070", BL_TCP, false},
                {"sip:x.example;maddr=192.0.2.7", "192.0.2.7:5060", BL_UDP, true},
                {"sip:x.example:5090;maddr=192.0.2.7;transport=tcp", "192.0.2.7:5090", BL_TCP, true},
                {"sip:x.example;maddr=[2001:db8::7]", "[2001:db8::7]:5060", BL_UDP, true},
                {"sip:192.0.2.1;maddr=192.0.2.7", "192.0.2.1:5060", BL_UDP, false},
        };
        struct kit *k = kit_new();
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(cases); i++) {
                struct got g;
                assert_int_equal(ask(k, &g, cases[i].uri, cases[i].use_maddr), 1);
                assert_target(&g, 0, cases[i].tp, cases[i].addr);
        }
        kit_free(k);
}

static void what_cannot_be_resolved(void **state)
{
        struct kit *k = kit_new();
        struct got g;
        (void)state;
        assert_int_equal(ask(k, &g, "sip:nowhere.example", false), BL_ENOENT);
        assert_int_equal(ask(k, &g, "sip:home.example;transport=sctp", false), BL_ENOENT);
        assert_int_equal(ask(k, &g, "tel:+1234", false), BL_EINVAL);
        assert_int_equal(ask(k, &g, "sip:x.example;maddr=192.0.2.7", false), BL_ENOENT); /* does not count */
        kit_free(k);
}

static void the_static_map_speaks_first_in_its_order(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        (void)state;
        assert_int_equal(ask(k, &g, "sip:joe@HOME.example.", false), 2);
        assert_target(&g, 0, BL_TCP, "10.0.2.1:5060");
        assert_target(&g, 1, BL_TCP, "10.0.2.2:5060");
        assert_string_equal(g.sni[0], "HOME.example.");
        assert_int_equal(k->n_asked, 0);
        /* A node's entry adds nothing to routing by name. */
        assert_int_equal(ask(k, &g, "sip:edge.example.com", false), 2);
        /* What the URI insists on wins. */
        assert_int_equal(ask(k, &g, "sip:home.example:5099;transport=udp", false), 2);
        assert_target(&g, 0, BL_UDP, "10.0.2.1:5099");
        /* A maddr means that node, by the transport the map knows; UDP where it knows none. */
        assert_int_equal(ask(k, &g, "sip:p@edge.example.com;maddr=10.0.1.3", true), 1);
        assert_target(&g, 0, BL_TCP, "10.0.1.3:5060");
        assert_int_equal(ask(k, &g, "sip:p@edge.example.com;maddr=10.0.1.9", true), 1);
        assert_target(&g, 0, BL_UDP, "10.0.1.9:5060");
        kit_free(k);
}

static void another_map_is_used_at_once(void **state)
{
        struct kit *k = kit_new();
        struct got g;
        struct bl_static_route map[2] = {{.host = BL_STR("new.example"), .tp = BL_UDP},
                                         {.host = BL_STR("home.example"), .tp = BL_UDP}};
        (void)state;
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(bl_addr_parse_port(BL_STR("10.0.7.7:5070"), 0, &map[i].addr), 0);
        assert_int_equal(bl_hops_set_map(k->h, map, 2), 0);
        assert_int_equal(ask(k, &g, "sip:new.example", false), 1);
        assert_target(&g, 0, BL_UDP, "10.0.7.7:5070");
        assert_int_equal(ask(k, &g, "sip:home.example", false), 1);
        assert_target(&g, 0, BL_UDP, "10.0.7.7:5070");
        assert_true(ask(k, &g, "sip:edge.example.com", false) < 0);
        assert_int_equal(bl_hops_set_map(k->h, NULL, 0), 0);
        assert_true(ask(k, &g, "sip:new.example", false) < 0);
        /* Without memory the old one stays. */
        assert_int_equal(bl_hops_set_map(k->h, map, 1), 0);
        OOM_EACH(run)
        {
                int rc = bl_hops_set_map(k->h, map, 2);
                bool struck = oom_struck();
                assert_int_equal(rc, struck ? BL_ENOMEM : 0);
                assert_int_equal(ask(k, &g, "sip:new.example", false), 1);
                assert_int_equal(ask(k, &g, "sip:home.example", false) > 0, !struck);
        }
        assert_int_equal(ask(k, &g, "sip:home.example", false), 1);
        kit_free(k);
}

static void opens_from_the_core_side(void **state)
{
        struct kit *k = kit_new();
        struct got g;
        (void)state;
        ask(k, &g, "sip:192.0.2.1", false);
        assert_int_equal(g.t[0].listener, 1);
        ask(k, &g, "sip:192.0.2.1;transport=tcp", false);
        assert_int_equal(g.t[0].listener, 2);
        ask(k, &g, "sip:[2001:db8::1]", false);
        assert_int_equal(g.t[0].listener, BL_LISTENER_NONE);
        kit_free(k);
}

static void failed_targets_go_last_for_a_while(void **state)
{
        struct kit *k = kit_new();
        struct got g;
        (void)state;
        kit_go(k, BL_M_BYE, "sip:home.example;lr", 0);
        kit_down(k, kit_opened(k, "10.0.2.1:5060"), -111);
        ask(k, &g, "sip:home.example", false);
        assert_target(&g, 0, BL_TCP, "10.0.2.2:5060");
        assert_target(&g, 1, BL_TCP, "10.0.2.1:5060");
        bl_send_free(k->s);
        fake_pass(k->f, 10100);
        ask(k, &g, "sip:home.example", false);
        assert_target(&g, 0, BL_TCP, "10.0.2.1:5060");
        kit_free(k);
}

/* RFC 3263 section 4.3: a 503 is a failure, too, and its target is remembered as failed. */
static void a_target_that_said_503_goes_last(void **state)
{
        struct kit *k = kit_new();
        struct got g;
        (void)state;
        kit_go(k, BL_M_BYE, "sip:home.example;lr", 0);
        kit_resp(k, kit_up(k, "10.0.2.1:5060"), 503);
        kit_resp(k, kit_up(k, "10.0.2.2:5060"), 200);
        ask(k, &g, "sip:home.example", false);
        assert_target(&g, 0, BL_TCP, "10.0.2.2:5060");
        assert_target(&g, 1, BL_TCP, "10.0.2.1:5060");
        fake_pass(k->f, 10100);
        ask(k, &g, "sip:home.example", false);
        assert_target(&g, 0, BL_TCP, "10.0.2.1:5060");
        kit_free(k);
}

/* Nor did it answer at all: at the request's end it counts as failed, though its flow lives (a stranger need not answer
 * probes). */
static void a_target_that_was_silent_goes_last(void **state)
{
        struct kit *k = kit_new();
        struct got g;
        (void)state;
        kit_go(k, BL_M_BYE, "sip:home.example;lr", 0);
        bl_flow_id f = kit_up(k, "10.0.2.1:5060");
        assert_int_equal(k->try_flow, f);
        fake_pass(k->f, 29000);
        assert_int_equal(k->failed, 504);
        ask(k, &g, "sip:home.example", false);
        assert_target(&g, 0, BL_TCP, "10.0.2.2:5060");
        fake_pass(k->f, 10100);
        ask(k, &g, "sip:home.example", false);
        assert_target(&g, 0, BL_TCP, "10.0.2.1:5060");
        /* Whoever sent a 100 is there; what was silent stands behind it. */
        kit_go(k, BL_M_BYE, "sip:home.example;lr", 0);
        assert_int_equal(k->try_flow, f);
        kit_resp(k, f, 100);
        k->failed = 0;
        fake_pass(k->f, 29000);
        assert_int_equal(k->failed, 504);
        ask(k, &g, "sip:home.example", false);
        assert_target(&g, 0, BL_TCP, "10.0.2.1:5060");
        kit_free(k);
}

/* ---- SRV, A, AAAA ---- */

static struct bl_rr srv(uint16_t prio, uint16_t weight, const char *name, uint16_t port)
{
        return (struct bl_rr){
                .type = BL_RR_SRV, .ttl = 60, .prio = prio, .weight = weight, .port = port, .name = bl_str_z(name)};
}

static void srv_of_both_transports_then_addresses(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        struct bl_rr udp[] = {srv(20, 0, "b.example", 5070), srv(10, 0, "a.example.", 5061)};
        struct bl_rr tcp[] = {srv(10, 0, "a.example", 5062)};
        struct bl_rr six = {.type = BL_RR_AAAA, .ttl = 60, .addr = kit_addr("[2001:db8::a]")};
        (void)state;
        assert_int_equal(ask(k, &g, "sip:x.example", false), BL_EPENDING);
        assert_int_equal(k->n_query, 1);
        kit_answer_no(k, "x.example", BL_RR_NAPTR);
        assert_int_equal(k->n_query, 2);
        kit_answer(k, "_sip._udp.x.example", BL_RR_SRV, 0, udp, 2, 0);
        assert_int_equal(k->n_query, 1);
        kit_answer(k, "_sip._tcp.x.example", BL_RR_SRV, 0, tcp, 1, 0);
        assert_int_equal(k->n_query, 4); /* A and AAAA of two names: each once */
        kit_answer_a(k, "a.example", "192.0.2.1", 60);
        kit_answer(k, "a.example", BL_RR_AAAA, 0, &six, 1, 0);
        kit_answer_a(k, "b.example", "192.0.2.2", 60);
        assert_int_equal(g.calls, 0);
        kit_answer(k, "b.example", BL_RR_AAAA, 0, NULL, 0, 60);
        assert_int_equal(g.calls, 1);
        assert_int_equal(g.rc, 5);
        assert_target(&g, 0, BL_UDP, "[2001:db8::a]:5061");
        assert_target(&g, 1, BL_UDP, "192.0.2.1:5061");
        assert_target(&g, 2, BL_UDP, "192.0.2.2:5070");
        assert_target(&g, 3, BL_TCP, "[2001:db8::a]:5062");
        assert_target(&g, 4, BL_TCP, "192.0.2.1:5062");
        assert_string_equal(g.sni[0], "x.example"); /* the URI's host, not the server's name (RFC 5922) */
        /* Now it is known at once. */
        unsigned asked = k->n_asked;
        assert_int_equal(ask(k, &g, "sip:someone@X.EXAMPLE", false), 5);
        assert_int_equal(k->n_asked, asked);
        kit_free(k);
}

static void what_is_asked_for(void **state)
{
        static const struct {
                const char *uri, *name;
                enum bl_rr_type type;
                unsigned n;
        } cases[] = {
                {"sip:x.example", "x.example", BL_RR_NAPTR, 1},
                {"sips:x.example", "x.example", BL_RR_NAPTR, 1},
                {"sip:x.example;maddr=y.example", "y.example", BL_RR_NAPTR, 1},
                {"sip:x.example;transport=tcp", "_sip._tcp.x.example", BL_RR_SRV, 1},
                {"sip:x.example;transport=udp", "_sip._udp.x.example", BL_RR_SRV, 1},
                {"sips:x.example;transport=tcp", "_sips._tcp.x.example", BL_RR_SRV, 1},
                {"sip:x.example;transport=tls", "_sips._tcp.x.example", BL_RR_SRV, 1},
                {"sip:x.example:5060", "x.example", BL_RR_A, 2},
                {"sip:x.example:5060", "x.example", BL_RR_AAAA, 2},
                {"sip:x.example;transport=ws", "x.example", BL_RR_A, 2},
                {"sip:x.example:5070;maddr=y.example", "y.example", BL_RR_A, 2},
                {"sip:x.example;transport=tcp;maddr=y.example", "_sip._tcp.y.example", BL_RR_SRV, 1},
        };
        (void)state;
        for (unsigned i = 0; i < BL_ARRAY_LEN(cases); i++) {
                struct kit *k = dual_stack();
                struct got g;
                assert_int_equal(ask(k, &g, cases[i].uri, true), BL_EPENDING);
                assert_true(kit_asked(k, cases[i].name, cases[i].type));
                assert_int_equal(k->n_query, cases[i].n);
                bl_resolve_cancel(&g.r);
                kit_free(k);
        }
}

static void without_srv_the_host_itself_by_udp(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example", false);
        kit_answer_no(k, "x.example", BL_RR_NAPTR);
        assert_true(kit_asked(k, "_sip._udp.x.example", BL_RR_SRV) && kit_asked(k, "_sip._tcp.x.example", BL_RR_SRV));
        kit_answer_none(k, 60);
        assert_true(kit_asked(k, "x.example", BL_RR_A));
        kit_answer_a(k, "x.example", "192.0.2.9", 60);
        kit_answer_none(k, 60);
        assert_int_equal(g.rc, 1);
        assert_target(&g, 0, BL_UDP, "192.0.2.9:5060");
        kit_free(k);
}

/* RFC 2782: a target of "." says that the service is decidedly not there. */
static void a_dot_ends_it(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        struct bl_rr dot = srv(0, 0, ".", 0);
        (void)state;
        ask(k, &g, "sip:x.example;transport=tcp", false);
        kit_answer(k, "_sip._tcp.x.example", BL_RR_SRV, 0, &dot, 1, 0);
        assert_int_equal(g.rc, BL_ENOENT);
        assert_int_equal(k->n_query, 0);
        kit_free(k);
}

/* ---- NAPTR (RFC 3263 section 4.1) ---- */

static struct bl_rr naptr(uint16_t order, uint16_t preference, const char *flags, const char *service, const char *name)
{
        return (struct bl_rr){.type = BL_RR_NAPTR,
                              .ttl = 60,
                              .prio = order,
                              .weight = preference,
                              .flags = bl_str_z(flags),
                              .service = bl_str_z(service),
                              .name = bl_str_z(name)};
}

/* By preference within the least order that we can use; what stands behind a higher order does not count. */
static void the_domain_prefers_its_transports(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        struct bl_rr rr[] = {naptr(10, 20, "S", "sip+d2u", "u.example"),   naptr(20, 0, "s", "SIP+D2U", "late.example"),
                             naptr(10, 10, "s", "SIP+D2T", "t.example"),   naptr(5, 0, "s", "SIP+D2S", "sctp.example"),
                             naptr(1, 0, "u", "SIP+D2U", "flag.example"),  naptr(1, 0, "s", "H323+D2T", "h.example"),
                             naptr(10, 15, "s", "SIPS+D2T", "tls.example")};
        struct bl_rr t = srv(1, 1, "a.example", 5070), u = srv(1, 1, "b.example", 5080),
                     s = srv(1, 1, "c.example", 5061);
        (void)state;
        assert_int_equal(ask(k, &g, "sip:x.example", false), BL_EPENDING);
        kit_answer(k, "x.example", BL_RR_NAPTR, 0, rr, BL_ARRAY_LEN(rr), 0);
        assert_int_equal(k->n_query, 3);
        kit_answer(k, "t.example", BL_RR_SRV, 0, &t, 1, 0);
        kit_answer(k, "u.example", BL_RR_SRV, 0, &u, 1, 0);
        kit_answer(k, "tls.example", BL_RR_SRV, 0, &s, 1, 0);
        kit_answer_a(k, "a.example", "192.0.2.1", 60);
        kit_answer_a(k, "b.example", "192.0.2.2", 60);
        kit_answer_a(k, "c.example", "192.0.2.3", 60);
        assert_int_equal(g.rc, 3);
        assert_target(&g, 0, BL_TCP, "192.0.2.1:5070");
        assert_target(&g, 1, BL_TLS, "192.0.2.3:5061");
        assert_target(&g, 2, BL_UDP, "192.0.2.2:5080");
        assert_string_equal(g.sni[1], "x.example"); /* what a certificate has to prove: the URI's host */
        kit_free(k);
}

static void sips_follows_only_sips(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        struct bl_rr rr[] = {naptr(1, 1, "s", "SIP+D2T", "t.example"), naptr(2, 1, "s", "SIPS+D2T", "tls.example")};
        struct bl_rr s = srv(1, 1, "c.example", 5071);
        (void)state;
        ask(k, &g, "sips:x.example", false);
        kit_answer(k, "x.example", BL_RR_NAPTR, 0, rr, 2, 0);
        assert_int_equal(k->n_query, 1);
        kit_answer(k, "tls.example", BL_RR_SRV, 0, &s, 1, 0);
        kit_answer_a(k, "c.example", "192.0.2.3", 60);
        assert_int_equal(g.rc, 1);
        assert_target(&g, 0, BL_TLS, "192.0.2.3:5071");
        /* Without: SRV of sips, then the host at the port of TLS. */
        ask(k, &g, "sips:y.example", false);
        kit_answer(k, "y.example", BL_RR_NAPTR, 0, rr, 1, 0);
        kit_answer_no(k, "_sips._tcp.y.example", BL_RR_SRV);
        kit_answer_a(k, "y.example", "192.0.2.4", 60);
        assert_int_equal(g.rc, 1);
        assert_target(&g, 0, BL_TLS, "192.0.2.4:5061");
        kit_free(k);
}

/* None that we can use is none; and where a name has no SRV records, the host by that transport (section 4.2). */
static void naptr_that_leads_nowhere(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        struct bl_rr useless = naptr(1, 1, "s", "SIP+D2S", "sctp.example"),
                     tcp = naptr(1, 1, "s", "SIP+D2T", "t.example");
        (void)state;
        ask(k, &g, "sip:x.example", false);
        kit_answer(k, "x.example", BL_RR_NAPTR, 0, &useless, 1, 0);
        assert_true(kit_asked(k, "_sip._udp.x.example", BL_RR_SRV) && kit_asked(k, "_sip._tcp.x.example", BL_RR_SRV));
        bl_resolve_cancel(&g.r);
        ask(k, &g, "sip:y.example", false);
        kit_answer(k, "y.example", BL_RR_NAPTR, 0, &tcp, 1, 0);
        kit_answer_no(k, "t.example", BL_RR_SRV);
        kit_answer_a(k, "y.example", "192.0.2.4", 60);
        assert_target(&g, 0, BL_TCP, "192.0.2.4:5060");
        /* A server that fails on NAPTR, which old ones do not know, is not the end. */
        ask(k, &g, "sip:z.example", false);
        kit_answer(k, "z.example", BL_RR_NAPTR, BL_EREFUSED, NULL, 0, 0);
        kit_answer_no(k, "_sip._udp.z.example", BL_RR_SRV);
        kit_answer_no(k, "_sip._tcp.z.example", BL_RR_SRV);
        kit_answer_a(k, "z.example", "192.0.2.5", 60);
        assert_target(&g, 0, BL_UDP, "192.0.2.5:5060");
        kit_free(k);
}

/* ---- families (RFC 7984) ---- */

static void only_families_that_we_have(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example:5060", false);
        assert_int_equal(k->n_query, 1);
        assert_true(kit_asked(k, "x.example", BL_RR_A));
        bl_resolve_cancel(&g.r);
        kit_free(k);
}

static void the_families_order(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        const char *const six[] = {"[fd00::1]", "[2002:c000:201::1]", "[2001:db8::1]", "[2001::1]", "[::1]"};
        struct bl_rr rr[5];
        (void)state;
        for (unsigned i = 0; i < 5; i++)
                rr[i] = (struct bl_rr){.type = BL_RR_AAAA, .ttl = 60, .addr = kit_addr(six[i])};
        ask(k, &g, "sip:x.example:5060", false);
        kit_answer_a(k, "x.example", "192.0.2.1", 60);
        kit_answer(k, "x.example", BL_RR_AAAA, 0, rr, 5, 0);
        assert_int_equal(g.rc, 6);
        assert_target(&g, 0, BL_UDP, "[::1]:5060");
        assert_target(&g, 1, BL_UDP, "[2001:db8::1]:5060");
        assert_target(&g, 2, BL_UDP, "192.0.2.1:5060");
        assert_target(&g, 3, BL_UDP, "[2002:c000:201::1]:5060");
        assert_target(&g, 4, BL_UDP, "[2001::1]:5060");
        assert_target(&g, 5, BL_UDP, "[fd00::1]:5060");
        assert_int_equal(g.t[0].listener, 3);
        kit_free(k);
}

static void weights_share_the_load(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        struct bl_rr rr[] = {srv(1, 60, "a.example", 1), srv(1, 30, "b.example", 2), srv(1, 10, "c.example", 3),
                             srv(1, 0, "d.example", 4), srv(0, 5, "z.example", 5)};
        unsigned first[6] = {0}, runs = 4000;
        (void)state;
        ask(k, &g, "sip:x.example;transport=tcp", false);
        kit_answer(k, "_sip._tcp.x.example", BL_RR_SRV, 0, rr, 5, 0);
        kit_answer_a(k, "a.example", "192.0.2.1", 60);
        kit_answer_a(k, "b.example", "192.0.2.2", 60);
        kit_answer_a(k, "c.example", "192.0.2.3", 60);
        kit_answer_a(k, "d.example", "192.0.2.4", 60);
        kit_answer_a(k, "z.example", "192.0.2.5", 60);
        kit_answer_none(k, 60);
        assert_int_equal(g.rc, 5);
        for (unsigned i = 0; i < runs; i++) {
                assert_int_equal(ask(k, &g, "sip:x.example;transport=tcp", false), 5);
                assert_int_equal(g.t[0].to.port, 5); /* the lowest priority always first */
                first[g.t[1].to.port]++;
        }
        assert_in_range(first[1], runs * 56 / 100, runs * 64 / 100);
        assert_in_range(first[2], runs * 26 / 100, runs * 34 / 100);
        assert_in_range(first[3], runs * 8 / 100, runs * 12 / 100);
        assert_in_range(first[4], 0, runs / 50); /* weight 0: hardly ever */
        kit_free(k);
}

/* Of more records than are kept, the least priorities. */
static void many_records(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        struct bl_rr rr[40];
        (void)state;
        for (unsigned i = 0; i < 40; i++)
                rr[i] = srv((uint16_t)(40 - i), 0, "a.example", (uint16_t)(1000 + i));
        ask(k, &g, "sip:x.example;transport=tcp", false);
        kit_answer(k, "_sip._tcp.x.example", BL_RR_SRV, 0, rr, 40, 0);
        kit_answer_a(k, "a.example", "192.0.2.1", 60);
        assert_int_equal(g.rc, BL_HOP_TARGETS);
        for (unsigned i = 0; i < BL_HOP_TARGETS; i++)
                assert_int_equal(g.t[i].to.port, 1039 - i);
        kit_free(k);
}

/* ---- the cache ---- */

static void ttl_positive_and_negative(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example:5060", false);
        kit_answer_a(k, "x.example", "192.0.2.1", 30);
        kit_answer(k, "x.example", BL_RR_AAAA, 0, NULL, 0, 300);
        assert_int_equal(g.rc, 1);
        fake_pass(k->f, 29000);
        assert_int_equal(ask(k, &g, "sip:x.example:5060", false), 1);
        fake_pass(k->f, 1100);
        assert_int_equal(ask(k, &g, "sip:x.example:5060", false), BL_EPENDING);
        assert_int_equal(k->n_query, 1); /* the negative AAAA still holds */
        bl_resolve_cancel(&g.r);
        ask(k, &g, "sip:none.example:5060", false);
        kit_answer(k, "none.example", BL_RR_A, BL_ENOENT, NULL, 0, 20);
        kit_answer(k, "none.example", BL_RR_AAAA, BL_ENOENT, NULL, 0, 20);
        assert_int_equal(g.rc, BL_ENOENT);
        assert_int_equal(ask(k, &g, "sip:none.example:5060", false), BL_ENOENT);
        fake_pass(k->f, 20100);
        assert_int_equal(ask(k, &g, "sip:none.example:5060", false), BL_EPENDING);
        bl_resolve_cancel(&g.r);
        kit_free(k);
}

/* A day and five minutes, whatever the zone says: RFC 2308 section 5, and a home that moved is found again. */
static void ttls_are_capped(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example:5060", false);
        kit_answer_a(k, "x.example", "192.0.2.1", 1000000);
        ask(k, &g, "sip:none.example:5060", false);
        kit_answer(k, "none.example", BL_RR_A, BL_ENOENT, NULL, 0, 1000000);
        fake_pass(k->f, 299000);
        assert_int_equal(ask(k, &g, "sip:none.example:5060", false), BL_ENOENT);
        fake_pass(k->f, 2000);
        assert_int_equal(ask(k, &g, "sip:none.example:5060", false), BL_EPENDING);
        bl_resolve_cancel(&g.r);
        fake_pass(k->f, 86000000);
        assert_int_equal(ask(k, &g, "sip:x.example:5060", false), 1);
        fake_pass(k->f, 200000);
        assert_int_equal(ask(k, &g, "sip:x.example:5060", false), BL_EPENDING);
        bl_resolve_cancel(&g.r);
        kit_free(k);
}

static void a_zero_ttl_still_answers_who_asked(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example:5060", false);
        kit_answer_a(k, "x.example", "192.0.2.1", 0);
        fake_pass(k->f, 3000); /* AAAA takes longer than A lives */
        kit_answer(k, "x.example", BL_RR_AAAA, 0, NULL, 0, 0);
        assert_int_equal(g.rc, 1);
        kit_free(k);
}

static void no_answer_is_a_timeout_and_soon_asked_again(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example:5060", false);
        kit_answer(k, "x.example", BL_RR_A, BL_ETIMEOUT, NULL, 0, 0);
        kit_answer(k, "x.example", BL_RR_AAAA, BL_ETIMEOUT, NULL, 0, 0);
        assert_int_equal(g.rc, BL_ETIMEOUT);
        assert_int_equal(ask(k, &g, "sip:x.example:5060", false), BL_ETIMEOUT);
        fake_pass(k->f, 1100);
        assert_int_equal(ask(k, &g, "sip:x.example:5060", false), BL_EPENDING);
        bl_resolve_cancel(&g.r);
        kit_free(k);
}

static void one_family_is_enough(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example:5060", false);
        kit_answer(k, "x.example", BL_RR_AAAA, BL_ETIMEOUT, NULL, 0, 0);
        kit_answer_a(k, "x.example", "192.0.2.1", 60);
        assert_int_equal(g.rc, 1);
        kit_free(k);
}

static void equal_questions_are_asked_once(void **state)
{
        struct kit *k = dual_stack();
        struct got a, b, c;
        (void)state;
        ask(k, &a, "sip:x.example:5060", false);
        ask(k, &b, "sip:x.example:5070", false);
        ask(k, &c, "sip:X.Example:5060", false);
        assert_int_equal(k->n_asked, 2);
        bl_resolve_cancel(&c.r);
        bl_resolve_cancel(&c.r); /* again: nothing */
        kit_answer_a(k, "x.example", "192.0.2.1", 60);
        kit_answer(k, "x.example", BL_RR_AAAA, 0, NULL, 0, 60);
        assert_int_equal(a.calls, 1);
        assert_target(&a, 0, BL_UDP, "192.0.2.1:5060");
        assert_target(&b, 0, BL_UDP, "192.0.2.1:5070");
        assert_int_equal(c.calls, 0);
        kit_free(k);
}

/* The far end chooses the names that we look up: what is remembered is bounded, and the oldest goes. */
static void the_cache_is_bounded(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        size_t most = 0;
        (void)state;
        for (unsigned i = 0; i < 3000; i++) {
                char uri[64];
                snprintf(uri, sizeof(uri), "sip:n%u.example:5060", i);
                ask(k, &g, uri, false);
                kit_answer_none(k, 300);
                if (i == 1000)
                        most = bl_pool_used(kit_env(k)->pool);
        }
        assert_true(bl_pool_used(kit_env(k)->pool) <= most + 65536);
        assert_int_equal(ask(k, &g, "sip:n2999.example:5060", false), BL_ENOENT);
        assert_int_equal(ask(k, &g, "sip:n0.example:5060", false), BL_EPENDING);
        bl_resolve_cancel(&g.r);
        kit_free(k);
}

static void what_expired_is_swept(void **state)
{
        struct kit *k = with_dns();
        struct got g;
        size_t before = bl_pool_used(kit_env(k)->pool);
        (void)state;
        ask(k, &g, "sip:x.example:5060", false);
        kit_answer_none(k, 5);
        assert_true(bl_pool_used(kit_env(k)->pool) > before);
        fake_pass(k->f, 21000);
        assert_int_equal(bl_pool_used(kit_env(k)->pool), before);
        kit_free(k);
}

static void ends_with_questions_under_way(void **state)
{
        struct kit *k = dual_stack();
        struct got g;
        (void)state;
        ask(k, &g, "sip:x.example", false);
        kit_go(k, BL_M_BYE, "sip:y.example", 0);
        assert_int_equal(k->n_query, 2);
        kit_free(k); /* asan would tell */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numeric_hosts),
                cmocka_unit_test(what_cannot_be_resolved),
                cmocka_unit_test(the_static_map_speaks_first_in_its_order),
                cmocka_unit_test(another_map_is_used_at_once),
                cmocka_unit_test(opens_from_the_core_side),
                cmocka_unit_test(failed_targets_go_last_for_a_while),
                cmocka_unit_test(srv_of_both_transports_then_addresses),
                cmocka_unit_test(what_is_asked_for),
                cmocka_unit_test(without_srv_the_host_itself_by_udp),
                cmocka_unit_test(a_dot_ends_it),
                cmocka_unit_test(the_domain_prefers_its_transports),
                cmocka_unit_test(sips_follows_only_sips),
                cmocka_unit_test(naptr_that_leads_nowhere),
                cmocka_unit_test(only_families_that_we_have),
                cmocka_unit_test(the_families_order),
                cmocka_unit_test(weights_share_the_load),
                cmocka_unit_test(many_records),
                cmocka_unit_test(a_target_that_said_503_goes_last),
                cmocka_unit_test(a_target_that_was_silent_goes_last),
                cmocka_unit_test(ttl_positive_and_negative),
                cmocka_unit_test(ttls_are_capped),
                cmocka_unit_test(a_zero_ttl_still_answers_who_asked),
                cmocka_unit_test(no_answer_is_a_timeout_and_soon_asked_again),
                cmocka_unit_test(one_family_is_enough),
                cmocka_unit_test(equal_questions_are_asked_once),
                cmocka_unit_test(the_cache_is_bounded),
                cmocka_unit_test(what_expired_is_swept),
                cmocka_unit_test(ends_with_questions_under_way),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
