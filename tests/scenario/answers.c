/*
 * Answers that outlive the edge they were to come back through: protocol.md section 5, "mid-transaction". A phone
 * rings; the edge of the call dies; the phone's answer comes to another edge, which reads in the dead one's Via where
 * it belongs. Nobody can make such a Via.
 */
#include "scenario/world/phone.h"
#include "scenario/world/raw.h"

/* The edge that the last INVITE of this way went through. */
static struct server *edge_used(struct phone *p, bool towards_it)
{
        struct world *w = p->w;
        struct server *last = NULL;
        for (const struct sim_msg *m = sim_trace_first(w->sim); m; m = sim_trace_next(m)) {
                struct server *s = world_edge_of(w, towards_it ? m->from : m->to);
                if (s && !m->lost && (towards_it ? m->to : m->from) == p->node &&
                    bl_str_starts(m->octets, BL_STR("INVITE")))
                        last = s;
        }
        MUST(w, last != NULL);
        return last;
}

static void dies_while_it_rings(struct world *w, bool callees, enum sim_kill how, double rings)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        bob->ring_s = rings;
        struct leg *at_joe = phone_call(joe, bob->aor);
        WAIT(w, at_joe->invite->provisional == 180, 10);
        sim_kill(edge_used(callees ? bob : joe, callees)->node, how);
        WAIT(w, at_joe->invite->status, 33);
        MUST_EQ(w, at_joe->invite->status, 200);
        MUST_EQ(w, bob->invited, 1);
        WAIT(w, phone_leg(bob, 0)->acked, 33);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_hang_up(phone_leg(bob, 0));
}

static void the_callees_edge_crashes(struct world *w)
{
        dies_while_it_rings(w, true, SIM_KILL_RESET, 2);
}
static void the_callees_edge_loses_power(struct world *w)
{
        dies_while_it_rings(w, true, SIM_KILL_SILENT, 2);
}
static void the_callers_edge_crashes(struct world *w)
{
        dies_while_it_rings(w, false, SIM_KILL_RESET, 2);
}
static void the_callers_edge_loses_power(struct world *w)
{
        dies_while_it_rings(w, false, SIM_KILL_SILENT, 2);
}
static void nobody_picks_up_for_long(struct world *w)
{
        dies_while_it_rings(w, true, SIM_KILL_SILENT, 20);
}

/* A refusal finds its way, too, and its ACK finds back. */
static void a_refusal_comes_back(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        bob->answer = 486;
        bob->ring_s = 2;
        struct leg *at_joe = phone_call(joe, bob->aor);
        WAIT(w, at_joe->invite->provisional == 180, 10);
        sim_kill(edge_used(bob, true)->node, SIM_KILL_RESET);
        WAIT(w, at_joe->invite->status, 33);
        MUST_EQ(w, at_joe->invite->status, 486);
        world_pass(w, 10);
        unsigned sent = world_seen(w, bob->node, NULL, "SIP/2.0 486");
        world_pass(w, 10);
        MUST_EQ(w, world_seen(w, bob->node, NULL, "SIP/2.0 486"), sent); /* it was ACKed */
}

/* By hand: an answer over the other flow, with its Via tampered with, or that of another call, goes nowhere. */
static void send_answer(struct raw_msg *m, bl_flow_id flow, const char *via, const char *cseq)
{
        struct raw *r = m->at;
        raw_send(r, flow,
                 "SIP/2.0 200 Hand Made\n%sFrom: %s\nTo: %s;tag=$TAG\nCall-ID: %s\nCSeq: %s\n"
                 "Contact: <sip:alice@192.0.2.77>\n",
                 via, raw_header(m, "From"), raw_header(m, "To"), raw_header(m, "Call-ID"), cseq);
}

static const char *all_vias(struct raw_msg *m, bool tamper)
{
        char *text = bl_arena_alloc(m->at->arena, 8192), *b;
        size_t n = 0;
        struct bl_values it = {0};
        while (bl_msg_values(m->m, BL_H_VIA, &it))
                n += (size_t)snprintf(text + n, 8192 - n, "Via: %.*s\n", BL_STR_ARG(it.value));
        if (tamper && (b = strstr(text, ";b=")) != NULL)
                b[4] = b[4] == 'a' ? 'b' : 'a';
        return text;
}

static void a_forged_via_leads_nowhere(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        struct raw *alice = raw_new(w, "alice");
        bl_flow_id flow[2];
        for (unsigned i = 0; i < 2; i++) {
                char auth[1200] = "";
                flow[i] = raw_open(alice, w->conf.tp, w->edge[i + 1]->node);
                for (int k = 0; k < 2; k++) {
                        raw_send(alice, flow[i],
                                 "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/$TP $ME;branch=$BRANCH;rport\n"
                                 "Max-Forwards: 70\nFrom: <sip:alice@example.com>;tag=$TAG\n"
                                 "To: <sip:alice@example.com>\nCall-ID: reg-%u\nCSeq: $N REGISTER\n"
                                 "Contact: <sip:alice@192.0.2.77>;+sip.instance=\"<urn:uuid:a>\";reg-id=%u\n"
                                 "Supported: path, outbound\nExpires: 600\n%s",
                                 i, i + 1, auth);
                        if (k == 0)
                                snprintf(auth, sizeof(auth), "%s\n",
                                         raw_authorize(raw_expect(alice, "SIP/2.0 401"), "alice", "secret-alice",
                                                       "REGISTER", "sip:example.com"));
                }
                raw_expect(alice, "SIP/2.0 200");
        }
        struct leg *call = phone_call(joe, "sip:alice@example.com");
        struct raw_msg *m = raw_expect(alice, "INVITE");
        bl_flow_id other = m->flow == flow[0] ? flow[1] : flow[0];
        unsigned answers = world_seen(w, NULL, w->home[1]->node, "SIP/2.0 200 Hand");
        MUST(w, strstr(all_vias(m, false), ";b=") != NULL);
        send_answer(m, other, all_vias(m, true), raw_header(m, "CSeq"));
        char cseq[64];
        snprintf(cseq, sizeof(cseq), "%u INVITE", m->m->cseq.number + 1);
        send_answer(m, other, all_vias(m, false), cseq); /* right, but for another request */
        world_pass(w, 2);
        MUST_EQ(w, world_seen(w, NULL, w->home[1]->node, "SIP/2.0 200 Hand"), answers);
        MUST_EQ(w, call->invite->status, 0);
        send_answer(m, other, all_vias(m, false), raw_header(m, "CSeq"));
        WAIT(w, call->invite->status == 200, 5);
        MUST(w, server_count(w->edge[m->flow == flow[0] ? 2 : 1], "belay_edge_answers_rescued_total", NULL) == 1);
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true, .name = "the_callees_edge_crashes", .tell = the_callees_edge_crashes, .seeds = 6},
                {.tls_too = true,
                 .name = "the_callees_edge_loses_power",
                 .tell = the_callees_edge_loses_power,
                 .seeds = 6},
                {.tls_too = true, .name = "the_callers_edge_crashes", .tell = the_callers_edge_crashes, .seeds = 6},
                {.tls_too = true,
                 .name = "the_callers_edge_loses_power",
                 .tell = the_callers_edge_loses_power,
                 .seeds = 6},
                {.tls_too = true, .name = "nobody_picks_up_for_long", .tell = nobody_picks_up_for_long},
                {.tls_too = true, .name = "a_refusal_comes_back", .tell = a_refusal_comes_back},
                {.tls_too = true, .name = "a_forged_via_leads_nowhere", .tell = a_forged_via_leads_nowhere},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
