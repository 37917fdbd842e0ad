/*
 * The call that survives its edge: slide S31, protocol.md section 5. A call is up; each edge in turn dies, by a crash
 * that its peers see or by losing power without a word; then BYE is sent from either side. It arrives, once, and is
 * answered.
 *
 *   home ──BYE──► UA     P;d=… has lost its exact match; P on the flow to the backup is the equivalent one
 *   UA ──BYE──► home     the UA's P;d=… finds P on its other flow
 */
#include "scenario/world/phone.h"

struct plan {
        unsigned edge;
        enum sim_kill how;
        bool caller_speaks;
        double wait_s; /* between death and BYE: 0 = nobody has noticed yet */
};

static void one(struct world *w, const struct plan *p)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        sim_kill(w->edge[p->edge]->node, p->how);
        world_pass(w, p->wait_s);
        leg_must_reach(p->caller_speaks ? at_joe : at_bob, BL_M_INVITE);
        leg_hang_up(p->caller_speaks ? at_joe : at_bob);
}

#define STORY(name_, edge_, how_, caller_, wait_)                                                                      \
        static void name_(struct world *w)                                                                             \
        {                                                                                                              \
                one(w, &(struct plan){edge_, how_, caller_, wait_});                                                   \
        }
STORY(e1_crashes_caller_speaks_at_once, 1, SIM_KILL_RESET, true, 0)
STORY(e1_crashes_callee_speaks_at_once, 1, SIM_KILL_RESET, false, 0)
STORY(e2_crashes_caller_speaks_at_once, 2, SIM_KILL_RESET, true, 0)
STORY(e2_crashes_callee_speaks_at_once, 2, SIM_KILL_RESET, false, 0)
STORY(e3_crashes_caller_speaks_at_once, 3, SIM_KILL_RESET, true, 0)
STORY(e3_crashes_callee_speaks_at_once, 3, SIM_KILL_RESET, false, 0)
STORY(e1_crashes_caller_speaks_later, 1, SIM_KILL_RESET, true, 20)
STORY(e1_crashes_callee_speaks_later, 1, SIM_KILL_RESET, false, 20)
STORY(e2_crashes_caller_speaks_later, 2, SIM_KILL_RESET, true, 20)
STORY(e2_crashes_callee_speaks_later, 2, SIM_KILL_RESET, false, 20)
STORY(e1_loses_power_caller_speaks_at_once, 1, SIM_KILL_SILENT, true, 0)
STORY(e1_loses_power_callee_speaks_at_once, 1, SIM_KILL_SILENT, false, 0)
STORY(e2_loses_power_caller_speaks_at_once, 2, SIM_KILL_SILENT, true, 0)
STORY(e2_loses_power_callee_speaks_at_once, 2, SIM_KILL_SILENT, false, 0)
STORY(e3_loses_power_caller_speaks_at_once, 3, SIM_KILL_SILENT, true, 0)
STORY(e3_loses_power_callee_speaks_at_once, 3, SIM_KILL_SILENT, false, 0)
STORY(e1_loses_power_caller_speaks_later, 1, SIM_KILL_SILENT, true, 60)
STORY(e1_loses_power_callee_speaks_later, 1, SIM_KILL_SILENT, false, 60)

int main(int argc, char **argv)
{
#define IS(name_)                                                                                                      \
        {                                                                                                              \
                .name = #name_, .tell = name_, .tls_too = true                                                         \
        }
        const struct story stories[] = {
                IS(e1_crashes_caller_speaks_at_once),     IS(e1_crashes_callee_speaks_at_once),
                IS(e2_crashes_caller_speaks_at_once),     IS(e2_crashes_callee_speaks_at_once),
                IS(e3_crashes_caller_speaks_at_once),     IS(e3_crashes_callee_speaks_at_once),
                IS(e1_crashes_caller_speaks_later),       IS(e1_crashes_callee_speaks_later),
                IS(e2_crashes_caller_speaks_later),       IS(e2_crashes_callee_speaks_later),
                IS(e1_loses_power_caller_speaks_at_once), IS(e1_loses_power_callee_speaks_at_once),
                IS(e2_loses_power_caller_speaks_at_once), IS(e2_loses_power_callee_speaks_at_once),
                IS(e3_loses_power_caller_speaks_at_once), IS(e3_loses_power_callee_speaks_at_once),
                IS(e1_loses_power_caller_speaks_later),   IS(e1_loses_power_callee_speaks_later),
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
