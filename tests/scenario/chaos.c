/*
 * A long day with random accidents, drawn from the seed: eight phones talk in pairs, requests go both ways all the
 * time, while edges die (seen or unseen), stand still, are cut off from a home or a phone, and homes die and restart.
 * One accident at a time, and the next when every phone is back on two edges: so section 7.1 promises that every
 * request inside a call is answered and delivered exactly once.
 */
#include "scenario/world/phone.h"

enum { PHONES = 8, UNNOTICED_S = 150, REFRESHED_S = 330 };

struct day {
        struct world *w;
        struct phone *phone[PHONES];
        struct leg *leg[PHONES]; /* one end of a call each */
};

static void speak(struct day *d, unsigned times)
{
        static const enum bl_method methods[] = {BL_M_INFO, BL_M_INVITE, BL_M_UPDATE, BL_M_INFO};
        for (unsigned i = 0; i < times; i++) {
                struct leg *l = d->leg[sim_draw(d->w->sim, PHONES)];
                leg_must_reach(l, methods[sim_draw(d->w->sim, 4)]); /* one at a time: re-INVITEs may not cross */
        }
}

/* On two living edges, each flow registered. */
static bool all_are_back(struct day *d)
{
        for (unsigned i = 0; i < PHONES; i++) {
                unsigned edges = 0;
                for (unsigned e = 1; e <= WORLD_EDGES && d->w->edge[e]; e++)
                        edges += sim_alive(d->w->edge[e]->node) && phone_has_edge(d->phone[i], e);
                if (edges < 2 || phone_flows(d->phone[i]) < 2)
                        return false;
        }
        return true;
}

static void an_accident(struct day *d)
{
        struct world *w = d->w;
        struct sim_node *e = w->edge[1 + sim_draw(w->sim, 4)]->node, *h = w->home[1 + sim_draw(w->sim, 2)]->node;
        struct sim_node *p = d->phone[sim_draw(w->sim, PHONES)]->node;
        switch (sim_draw(w->sim, 7)) {
        case 0:
                sim_kill(e, SIM_KILL_RESET);
                speak(d, 4);
                sim_restart(e);
                break;
        case 1:
                sim_kill(e, SIM_KILL_SILENT);
                speak(d, 4);
                sim_restart(e);
                break;
        case 2:
                sim_restart(h);
                speak(d, 4);
                break;
        case 3:
                sim_kill(h, SIM_KILL_SILENT);
                speak(d, 3);
                sim_restart(h);
                break;
        case 4:
                world_pass(w, 5);                   /* the edge will not know, so nothing is promised meanwhile: */
                sim_partition(e, p, SIM_BOTH_WAYS); /* no ACK may be under way, either */
                world_pass(w, UNNOTICED_S);
                sim_heal(e, p);
                break;
        case 5:
                sim_cut_between(e, h, SIM_CUT_RESET);
                speak(d, 3);
                break;
        default:
                world_pass(w, 5);
                sim_cut_between(e, p, SIM_CUT_SILENT);
                world_pass(w, UNNOTICED_S);
        }
}

static void a_day(struct world *w)
{
        static const char *const names[PHONES] = {"joe", "bob", "alice", "carol", "dave", "erin", "frank", "grace"};
        struct day d = {.w = w};
        for (unsigned i = 0; i < PHONES; i++)
                d.phone[i] = phone_up(w, names[i]);
        for (unsigned i = 0; i < PHONES; i += 2)
                d.leg[i] = phone_talk(d.phone[i], d.phone[i + 1], &d.leg[i + 1]);
        for (unsigned i = 0; i < 12; i++) {
                an_accident(&d);
                world_pass(w, REFRESHED_S); /* over UDP only its refresh tells a phone that an edge came back empty */
                WAIT(w, all_are_back(&d), 900);
                speak(&d, 2);
        }
        for (unsigned i = 0; i < PHONES; i += 2)
                leg_hang_up(d.leg[i + sim_draw(w->sim, 2)]);
        for (unsigned i = 0; i < w->n_asks; i++)
                if (w->asks[i].leg) {
                        MUST_EQ(w, w->asks[i].status, 200);
                        MUST_EQ(w, w->asks[i].delivered, 1);
                }
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true, .name = "a_day", .tell = a_day, .conf = {.edges = 4, .homes = 2}, .seeds = 8},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
