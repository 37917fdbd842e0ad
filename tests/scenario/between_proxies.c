/*
 * What happens between the proxies and inside a node, seen from outside: a response that comes to another worker than
 * its transaction's (RFC 3261 section 17.1.3 on several threads), the change to TCP for large requests (section 18.1.1;
 * protocol.md section 5), and a cluster whose key changes under a call (section 4.2).
 */
#include <stdlib.h>

#include "scenario/world/phone.h"

enum { PAIRS = 4, LARGE = 2000 };

/* A calm network and live edges: nobody repeats anything, so what a worker passed on to another was a response. */
static void responses_cross_workers(struct world *w)
{
        static const char *const names[2 * PAIRS] = {"joe", "bob", "alice", "carol", "dave", "erin", "frank", "grace"};
        struct phone *p[2 * PAIRS];
        for (unsigned i = 0; i < 2 * PAIRS; i++)
                p[i] = phone_up(w, names[i]);
        for (unsigned i = 0; i < PAIRS; i++) {
                struct leg *b, *a = phone_talk(p[2 * i], p[2 * i + 1], &b);
                leg_must_reach(a, BL_M_INFO);
                leg_must_reach(b, BL_M_INVITE);
                leg_hang_up(i % 2 ? a : b);
        }
        uint64_t passed = 0, copies = 0;
        for (unsigned i = 1; i <= 3; i++) {
                passed += server_count(w->edge[i], "belay_txn_passed_total", NULL);
                copies += server_count(w->edge[i], "belay_txn_copies_total", NULL);
        }
        passed += server_count(w->home[1], "belay_txn_passed_total", NULL);
        copies += server_count(w->home[1], "belay_txn_copies_total", NULL);
        MUST_EQ(w, copies, 0);
        MUST_EQ(w, passed > 0, w->conf.workers > 1);
}

static void over_1300_octets(struct world *w, unsigned i, struct bl_edge_conf *c)
{
        (void)w, (void)i;
        c->proxy.txn.mtu_to_tcp = true;
}

static void over_1300_octets_home(struct world *w, unsigned i, struct bl_home_conf *c)
{
        (void)w, (void)i;
        c->proxy.txn.mtu_to_tcp = true;
}

static bool is_server(const struct world *w, const struct sim_node *n)
{
        bool is = n == w->home[1]->node;
        for (unsigned i = 1; i <= 3; i++)
                is |= n == w->edge[i]->node;
        return is;
}

/* Requests over 1300 octets that went from one proxy to another by `tp`; those of and to phones always go by UDP. */
static unsigned large_between(struct world *w, enum bl_tp tp, bool from_home)
{
        unsigned n = 0;
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m)) {
                if (!m->sip || m->octets.n <= 1300 || bl_str_starts(m->octets, BL_STR("SIP/2.0")))
                        continue;
                if (!is_server(w, m->from) || !is_server(w, m->to))
                        MUST_EQ(w, m->tp, BL_UDP);
                else
                        n += m->tp == tp && (m->from == w->home[1]->node) == from_home;
        }
        return n;
}

static void must_reach_whole(struct world *w, struct ask *a)
{
        WAIT(w, a->status, 40);
        MUST_EQ(w, a->status, 200);
        MUST_EQ(w, a->delivered, 1);
}

/* A request outside and inside a dialog, both ways, too large for UDP: six, of which each proxy passes on each. */
enum { LARGE_ONES = 6 };
static void say_much(struct world *w)
{
        static char text[LARGE + 1];
        memset(text, 'x', LARGE);
        const struct bl_ua_body body = {BL_STR("text/plain"), bl_str_make(text, LARGE)};
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        must_reach_whole(w, phone_ask(joe, BL_M_MESSAGE, bob->aor));
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                /* nothing needed more; fellow edges probe each other over TCP */
                MUST(w, !m->sip || m->tp == BL_UDP || text_has(m->octets, " OPTIONS\r\n"));

        must_reach_whole(w, phone_ask_with(joe, BL_M_MESSAGE, bob->aor, &body));
        must_reach_whole(w, phone_ask_with(bob, BL_M_MESSAGE, joe->aor, &body));
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        must_reach_whole(w, leg_ask_with(at_joe, BL_M_INVITE, &body));
        must_reach_whole(w, leg_ask_with(at_bob, BL_M_INVITE, &body));
        must_reach_whole(w, leg_ask_with(at_joe, BL_M_INFO, &body));
        must_reach_whole(w, leg_ask_with(at_bob, BL_M_INFO, &body));
        leg_hang_up(at_joe);
}

/* Edge to home, and home to edge over a connection that the home opened itself: the flow that P is bound to is one that
 * the edge opened, from a port where nobody listens. */
static void large_requests_change_to_tcp(struct world *w)
{
        say_much(w);
        MUST_EQ(w, large_between(w, BL_TCP, false), LARGE_ONES);
        MUST_EQ(w, large_between(w, BL_TCP, true), LARGE_ONES);
        MUST_EQ(w, large_between(w, BL_UDP, false) + large_between(w, BL_UDP, true), 0);
}

static void refused_by_tcp_they_go_by_udp(struct world *w)
{
        say_much(w);
        MUST_EQ(w, large_between(w, BL_TCP, false) + large_between(w, BL_TCP, true), 0);
        MUST_EQ(w, large_between(w, BL_UDP, false), LARGE_ONES);
        MUST_EQ(w, large_between(w, BL_UDP, true), LARGE_ONES);
}

/* Each edge starts again with this key file, one after another, each with time for the phones to come back to it. */
static void roll_out(struct world *w, const char *file)
{
        char error[256] = "";
        struct bl_token_keys *old = w->edge_keys;
        w->edge_keys = bl_token_keys_parse(bl_str_z(file), error, sizeof(error));
        MUST(w, w->edge_keys);
        for (unsigned e = 1; e <= 3; e++) {
                w->edge[e]->edge_conf.keys = w->edge_keys;
                sim_restart(w->edge[e]->node);
                world_pass(w, 700); /* a registration's whole life */
        }
        bl_token_keys_free(old);
}

static unsigned signed_by(struct world *w, const struct phone *p, const char *key)
{
        unsigned n = 0;
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                if (m->to == w->home[1]->node && bl_str_starts(m->octets, BL_STR("REGISTER")) &&
                    text_has(text_header(m->octets, "From"), p->name))
                        n += text_has(text_header(m->octets, "Path"), key);
        return n;
}

/* The new key first verifies everywhere, then signs everywhere; a call from before both lives on under its old name. */
static void the_key_changes_under_a_call(struct world *w)
{
        bool sealed = w->conf.sealed;
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        MUST(w, signed_by(w, joe, sealed ? "sip:~E" : "+E") > 0);

        roll_out(w, "E 00112233445566778899aabbccddeeff\nF 0123456789abcdef0123456789abcdef\n");
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        roll_out(w, "F 0123456789abcdef0123456789abcdef\nE 00112233445566778899aabbccddeeff\n");
        leg_must_reach(at_joe, BL_M_INVITE);
        leg_must_reach(at_bob, BL_M_INFO);

        struct phone *alice = phone_up(w, "alice"); /* who comes now is named under the new key */
        MUST(w, signed_by(w, alice, sealed ? "sip:~F" : "+F") > 0);
        MUST_EQ(w, signed_by(w, alice, sealed ? "sip:~E" : "+E"), 0);
        MUST_EQ(w, signed_by(w, joe, sealed ? "sip:~F" : "+F"), 0);
        leg_hang_up(phone_talk(alice, joe, NULL));
        leg_hang_up(at_bob);
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.name = "responses_cross_workers", .tell = responses_cross_workers},
                {.name = "large_requests_change_to_tcp",
                 .tell = large_requests_change_to_tcp,
                 .conf = {.edge_conf = over_1300_octets, .home_conf = over_1300_octets_home},
                 .udp_only = true},
                {.name = "refused_by_tcp_they_go_by_udp",
                 .tell = refused_by_tcp_they_go_by_udp,
                 .conf = {.edge_conf = over_1300_octets, .home_conf = over_1300_octets_home, .no_tcp = true},
                 .udp_only = true},
                {.name = "the_key_changes_under_a_call", .tell = the_key_changes_under_a_call, .seeds = 2},
                {.name = "the_key_of_sealed_names_changes",
                 .tell = the_key_changes_under_a_call,
                 .conf = {.sealed = true},
                 .seeds = 2},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
