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

/* How the last such request went from one to the other. */
static enum bl_tp transport_of(struct world *w, struct sim_node *from, struct sim_node *to, const char *start)
{
        enum bl_tp tp = BL_TP_COUNT;
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m))
                if (m->sip && (!from || m->from == from) && (!to || m->to == to) &&
                    bl_str_starts(m->octets, bl_str_z(start)))
                        tp = m->tp;
        return tp;
}

/*
 * joe's flow is used whatever the size, and so is bob's; the edge changes to TCP towards the home. The home's flow back
 * to the edge of bob is one that the edge opened: where that edge listens is not for the home to guess.
 */
static void large_requests_change_to_tcp(struct world *w)
{
        static char text[LARGE + 1];
        memset(text, 'x', LARGE);
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct sim_node *home = w->home[1]->node;

        struct ask *a = phone_ask(joe, BL_M_MESSAGE, bob->aor);
        WAIT(w, a->status, 40);
        MUST_EQ(w, a->status, 200);
        MUST_EQ(w, transport_of(w, NULL, home, "MESSAGE"), BL_UDP);
        MUST_EQ(w, transport_of(w, home, NULL, "MESSAGE"), BL_UDP);

        a = phone_ask_with(joe, BL_M_MESSAGE, bob->aor,
                           &(struct bl_ua_body){BL_STR("text/plain"), bl_str_make(text, LARGE)});
        WAIT(w, a->status, 40);
        MUST_EQ(w, a->status, 200);
        MUST_EQ(w, a->delivered, 1);
        MUST_EQ(w, transport_of(w, joe->node, NULL, "MESSAGE"), BL_UDP);
        MUST_EQ(w, transport_of(w, NULL, home, "MESSAGE"), BL_TCP);
        MUST_EQ(w, transport_of(w, NULL, bob->node, "MESSAGE"), BL_UDP);
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
                {.name = "the_key_changes_under_a_call", .tell = the_key_changes_under_a_call, .seeds = 2},
                {.name = "the_key_of_sealed_names_changes",
                 .tell = the_key_changes_under_a_call,
                 .conf = {.sealed = true},
                 .seeds = 2},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
