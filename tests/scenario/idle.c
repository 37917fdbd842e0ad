/*
 * Nothing is left behind: protocol.md section 7.5. Phones come, register, talk, lose an edge, hang up and go away, with
 * and without saying so; when their registrations have run out, bindings, flows, timers and memory of every server are
 * where they were, day after day.
 */
#include "scenario/world/phone.h"

struct level {
        size_t bindings, flows, timers, octets, contacts;
};

static struct level level_now(struct world *w)
{
        struct level l = {.contacts = bl_store_mem_count(w->mem)};
        struct server *all[] = {w->edge[1], w->edge[2], w->edge[3], w->home[1]};
        for (unsigned i = 0; i < BL_ARRAY_LEN(all); i++) {
                l.bindings += server_bindings(all[i]);
                l.flows += sim_flow_count(all[i]->node);
                l.timers += sim_timer_count(all[i]->node);
                l.octets += sim_pool_used(all[i]->node);
        }
        return l;
}

static size_t more(size_t a, size_t b)
{
        return a > b ? a : b;
}

static struct level most_of(struct level a, struct level b)
{
        return (struct level){more(a.bindings, b.bindings), more(a.flows, b.flows), more(a.timers, b.timers),
                              more(a.octets, b.octets), more(a.contacts, b.contacts)};
}

/* The most of a while: pings and probes come and go. */
static struct level level_of(struct world *w)
{
        struct level most = {0};
        for (unsigned i = 0; i < 40; i++, world_pass(w, 0.37)) {
                struct level l = level_now(w);
                most = most_of(most, l);
        }
        return most;
}

static void one_day(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob"), *alice = phone_up(w, "alice");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        struct leg *never_ended = phone_talk(alice, bob, NULL);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INVITE);
        leg_hang_up(at_bob);
        struct leg *missed = phone_call(joe, "sip:carol@example.com");
        WAIT(w, missed->invite->status == 480, 40);
        leg_must_reach(never_ended, BL_M_INFO);
        sim_enter(sim_env(joe->node, 0));
        bl_ua_stop(joe->ua); /* one says good-bye */
        sim_leave(sim_env(joe->node, 0));
        WAIT(w, joe->unregistered == 2, 30);
        sim_kill(joe->node, SIM_KILL_RESET);
        sim_kill(bob->node, SIM_KILL_RESET);    /* one hangs up on everybody */
        sim_kill(alice->node, SIM_KILL_SILENT); /* and one is never heard of again */
        sim_keep_trace(w->sim, false);          /* keep-alives of half a day */
        world_pass(w, 13 * 3600);               /* registrations, and a dialog that nobody ended (section 3.3) */
        sim_keep_trace(w->sim, true);
        WAIT(w, world_is_idle(w), 200);
}

/* Proxies keep flows among themselves, a few more or less; what leaks once a day is twice as much after so many. */
static bool no_more(size_t now, size_t usual)
{
        return now <= usual + usual / 4;
}

static void day_after_day(struct world *w)
{
        struct level usual = {0};
        for (unsigned day = 1; day <= 6; day++) {
                one_day(w);
                struct level now = level_of(w);
                sim_note(w->sim, "day %u: %zu bindings, %zu flows, %zu timers, %zu octets, %zu contacts", day,
                         now.bindings, now.flows, now.timers, now.octets, now.contacts);
                MUST_EQ(w, now.contacts, 0);
                if (day <= 2) {
                        usual = most_of(usual, now);
                        continue;
                }
                MUST(w, no_more(now.bindings, usual.bindings));
                MUST(w, no_more(now.flows, usual.flows));
                MUST(w, no_more(now.timers, usual.timers));
                MUST(w, no_more(now.octets, usual.octets));
        }
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true, .name = "day_after_day", .tell = day_after_day, .seeds = 1},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
