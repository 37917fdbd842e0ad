/*
 * The exhaustive test: a registration and a call in each direction, and each edge is killed before every single message
 * in turn, by a crash and by loss of power, before it leaves and before it arrives. What must hold of each run
 * (protocol.md section 7):
 *   7.1  a request in a confirmed dialog reaches the application exactly once and is answered; one before confirmation
 *        is answered within 64*T1;
 *   7.2  nothing is delivered to somebody else;
 *   7.3  the survivors serve without any state of the dead;
 *   7.5  transactions return to their idle level.
 */
#include <stdlib.h>

#include "scenario/world/phone.h"

struct fault {
        unsigned edge;
        enum sim_phase phase;
        enum sim_kill how;
        uint64_t n; /* 0: none */
};
static struct fault fault;
static uint64_t counted[2]; /* messages of the run without fault, by phase */

static void strike(struct sim *s, const struct sim_msg *m, void *arg)
{
        struct world *w = arg;
        sim_note(s, "before message %llu %s:", (unsigned long long)m->id,
                 fault.phase == SIM_SEND ? "leaves" : "arrives");
        sim_kill(w->edge[fault.edge]->node, fault.how);
}

static enum sim_verdict count(struct sim *s, const struct sim_msg *m, enum sim_phase phase, void *arg)
{
        (void)s, (void)arg;
        counted[phase] += m->sip;
        return SIM_PASS;
}

/* A call that the fault may hit while it is being set up: it ends in an answer; then one more must succeed. */
static struct leg *call(struct phone *from, struct phone *to, struct leg **ret_to)
{
        struct world *w = from->w;
        for (int tries = 0; tries < 2; tries++) {
                unsigned before = to->n_legs;
                struct leg *l = phone_call(from, to->aor);
                WAIT(w, l->invite->status != 0, 33); /* 64*T1 and a little for the last hop */
                if (l->invite->status != 200)
                        continue;
                MUST_EQ(w, l->invite->delivered, 1);
                for (unsigned i = before; i < to->n_legs; i++)
                        if (strcmp(to->legs[i].call_id, l->call_id) == 0)
                                *ret_to = &to->legs[i];
                WAIT(w, (*ret_to)->acked, 33);
                return l;
        }
        world_fail(w, __FILE__, __LINE__, "no call came through, though two edges live");
}

static void all_of_it(struct world *w)
{
        struct phone *bob = phone_up(w, "bob");
        counted[0] = counted[1] = 0;
        sim_observe(w->sim, count, NULL);
        if (fault.n)
                sim_before(w->sim, fault.phase, fault.n, strike, w);

        struct phone *joe = phone_new(w, "joe");
        phone_start(joe);
        WAIT(w, phone_flows(joe) == 2, 120);

        struct leg *at_bob = NULL, *at_joe = call(joe, bob, &at_bob);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INVITE);
        leg_hang_up(at_bob);
        at_bob = call(bob, joe, &at_joe);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_hang_up(at_bob);
        world_settle(w, 40);
}

#ifdef __SANITIZE_ADDRESS__
enum { STEP = 6 }; /* ten times as slow: every sixth message, another one for each kind of death */
#else
enum { STEP = 1 };
#endif

/* Every message, every kind of death, every edge. */
static unsigned kill_everywhere(const struct story *st, struct world_conf conf, const char *program)
{
        char replay[96];
        unsigned runs = 1;
        conf.replay = replay;
        fault = (struct fault){.n = 0};
        snprintf(replay, sizeof(replay), "--fault none");
        world_tell(st, &conf, program, false);
        const uint64_t messages[2] = {counted[SIM_SEND], counted[SIM_DELIVER]};
        for (unsigned i = 0; i < 3 * 2 * 2; i++) {
                struct fault f = {.edge = 1 + i % 3,
                                  .how = i / 3 % 2 ? SIM_KILL_SILENT : SIM_KILL_RESET,
                                  .phase = i / 6 ? SIM_DELIVER : SIM_SEND};
                for (f.n = 1 + i % STEP; f.n <= messages[f.phase]; f.n += STEP) {
                        fault = f;
                        snprintf(replay, sizeof(replay), "--fault %u,%u,%u,%llu", f.edge, f.how, f.phase,
                                 (unsigned long long)f.n);
                        world_tell(st, &conf, program, false);
                        runs++;
                }
        }
        return runs;
}

static const char *const tps[] = {[BL_UDP] = "udp", [BL_TCP] = "tcp", [BL_TLS] = "tls"};

/* exhaustive [--seed N] [--tp udp|tcp|tls] [--workers N] [--fault EDGE,HOW,PHASE,N]: the last replays one run. */
int main(int argc, char **argv)
{
        const struct story st = {.name = "all_of_it", .tell = all_of_it};
        struct world_conf conf = {.seed = 1};
        int tp = -1;
        unsigned workers = 0;
        const char *one = NULL;
        for (int i = 1; i + 1 < argc; i += 2) {
                if (strcmp(argv[i], "--seed") == 0)
                        conf.seed = strtoull(argv[i + 1], NULL, 10);
                else if (strcmp(argv[i], "--tp") == 0)
                        for (tp = BL_TLS; tp > BL_UDP && strcmp(argv[i + 1], tps[tp]); tp--)
                                ;
                else if (strcmp(argv[i], "--workers") == 0)
                        workers = (unsigned)strtoul(argv[i + 1], NULL, 10);
                else if (strcmp(argv[i], "--fault") == 0)
                        one = argv[i + 1];
        }
        for (unsigned v = 0; v < 6; v++) {
                conf.tp = (enum bl_tp)(v / 2);
                conf.workers = 1 + v % 2;
                if ((tp >= 0 && (int)conf.tp != tp) || (workers && conf.workers != workers))
                        continue;
                if (one) {
                        unsigned how = 0, phase = 0;
                        unsigned long long n = 0;
                        fault = (struct fault){.n = 0};
                        if (sscanf(one, "%u,%u,%u,%llu", &fault.edge, &how, &phase, &n) == 4) {
                                fault.how = (enum sim_kill)how;
                                fault.phase = (enum sim_phase)phase;
                                fault.n = n;
                        }
                        world_tell(&st, &conf, argv[0], true);
                        continue;
                }
                unsigned runs = kill_everywhere(&st, conf, argv[0]);
                printf("%s, %u worker%s: %u runs\n", tps[conf.tp], conf.workers, conf.workers == 1 ? "" : "s", runs);
                fflush(stdout);
        }
        return 0;
}
