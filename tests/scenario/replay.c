/*
 * A seed replays its run: the promise that every other failure's last line makes. A whole cluster with accidents, told
 * twice, leaves the same trace: every message, octet for octet, at the same virtual microsecond. It fails when some
 * part of the core lets a pointer, the order of a hash table, or a clock of its own decide anything.
 */
#include <stdlib.h>

#include "scenario/world/phone.h"

static uint64_t hash;

static void some_hours(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob"), *alice = phone_up(w, "alice");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        struct leg *at_alice, *second = phone_talk(alice, bob, NULL);
        sim_kill(w->edge[1]->node, SIM_KILL_RESET);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        sim_restart(w->home[1]->node);
        leg_must_reach(second, BL_M_INFO);
        sim_restart(w->edge[1]->node);
        world_pass(w, 700); /* refreshes, keep-alives, recovery */
        phone_talk(bob, alice, &at_alice);
        sim_kill(w->edge[2]->node, SIM_KILL_SILENT);
        leg_hang_up(at_alice);
        leg_hang_up(at_bob);
        hash = sim_trace_hash(w->sim);
}

int main(int argc, char **argv)
{
        const struct story st = {.name = "some_hours", .tell = some_hours};
        (void)argc;
        unsigned pairs = 0;
        uint64_t last = 0;
        for (uint64_t seed = 1; seed <= 3; seed++)
                for (unsigned v = 0; v < 4; v++) {
                        struct world_conf conf = {.seed = seed,
                                                  .tp = v / 2 ? BL_TCP : BL_UDP,
                                                  .workers = 1 + v % 2,
                                                  .net = seed == 3 ? &sim_net_rough : NULL,
                                                  .store_trouble = seed == 2};
                        world_tell(&st, &conf, argv[0], false);
                        uint64_t first = hash;
                        void *elsewhere = malloc(12345); /* so that the second time nothing lies where it lay */
                        world_tell(&st, &conf, argv[0], false);
                        free(elsewhere);
                        if (hash != first || hash == last) {
                                fprintf(stderr, "seed %llu, %s, %u workers: %s\n", (unsigned long long)seed,
                                        conf.tp == BL_UDP ? "udp" : "tcp", conf.workers,
                                        hash == last ? "the same as another seed's run" : "two different runs");
                                return 1;
                        }
                        last = hash;
                        pairs++;
                }
        printf("%u runs, each the same the second time\n", pairs);
        return 0;
}
