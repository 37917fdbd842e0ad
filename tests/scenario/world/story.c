/* The runner: each story under both transports, one and two workers, several seeds. */
#include <stdarg.h>
#include <stdlib.h>

#include "scenario/world/world.h"

struct choice { /* what the command line narrows down */
        const char *story;
        uint64_t seed;
        int tp; /* -1: both */
        unsigned workers;
        bool ladder;
};

static const char *const tps[] = {[BL_UDP] = "udp", [BL_TCP] = "tcp", [BL_TLS] = "tls"};

/* Each story is told under UDP and TCP unless it says something else. */
static bool told_under(const struct story *st, enum bl_tp tp)
{
        if (tp == BL_TLS)
                return st->tls_only || st->tls_too;
        return !st->tls_only && !(tp == BL_UDP ? st->tcp_only : st->udp_only);
}

void world_fail(struct world *w, const char *file, int line, const char *fmt, ...)
{
        va_list ap;
        fprintf(stderr, "\n--- %s: %s\n", w->program, w->title);
        sim_ladder(w->sim, stderr, getenv("SIM_ALL") != NULL);
        fprintf(stderr, "--- %s:%d: ", file, line);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fprintf(stderr, "\n--- replay: %s --story %s --seed %llu --tp %s --workers %u %s  (SIM_LOG=debug says more)\n",
                w->program, w->title, (unsigned long long)w->conf.seed, tps[w->conf.tp], w->conf.workers,
                w->conf.replay ? w->conf.replay : "");
        exit(1);
}

void world_tell(const struct story *st, const struct world_conf *conf, const char *program, bool ladder)
{
        struct world *w = world_new(conf, st->name);
        w->program = program;
        st->tell(w);
        world_hush(w);
        WAIT(w, world_is_idle(w), 200); /* section 7.5: transactions return to their idle level when traffic stops */
        if (ladder)
                sim_ladder(w->sim, stdout, getenv("SIM_ALL") != NULL);
        world_free(w);
}

static unsigned tell_all_ways(const struct story *st, const struct choice *c, const char *program)
{
        unsigned told = 0, seeds = st->seeds ? st->seeds : 3;
        for (int tp = BL_UDP; tp <= BL_TLS; tp++) {
                if ((c->tp >= 0 && c->tp != tp) || !told_under(st, (enum bl_tp)tp))
                        continue;
                for (unsigned workers = 1; workers <= 2; workers++)
                        for (uint64_t seed = c->seed ? c->seed : 1; seed <= (c->seed ? c->seed : seeds); seed++) {
                                struct world_conf conf = st->conf;
                                if (c->workers && c->workers != workers)
                                        continue;
                                conf.tp = (enum bl_tp)tp;
                                conf.workers = workers;
                                conf.seed = seed;
                                conf.store_trouble |= seed % 2 == 0;
                                world_tell(st, &conf, program, c->ladder);
                                told++;
                        }
        }
        return told;
}

static void usage(const char *program, const struct story *stories, unsigned n)
{
        fprintf(stderr, "usage: %s [--story NAME] [--seed N] [--tp udp|tcp|tls] [--workers 1|2] [--ladder]\nstories:\n",
                program);
        for (unsigned i = 0; i < n; i++)
                fprintf(stderr, "  %s\n", stories[i].name);
        exit(2);
}

int world_main(int argc, char **argv, const struct story *stories, unsigned n)
{
        struct choice c = {.tp = -1};
        for (int i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : "";
                if (strcmp(argv[i], "--ladder") == 0) {
                        c.ladder = true;
                        continue;
                }
                i++;
                if (strcmp(argv[i - 1], "--story") == 0)
                        c.story = value;
                else if (strcmp(argv[i - 1], "--seed") == 0)
                        c.seed = strtoull(value, NULL, 10);
                else if (strcmp(argv[i - 1], "--tp") == 0)
                        for (c.tp = BL_TLS; c.tp > BL_UDP && strcmp(value, tps[c.tp]); c.tp--)
                                ;
                else if (strcmp(argv[i - 1], "--workers") == 0)
                        c.workers = (unsigned)strtoul(value, NULL, 10);
                else
                        usage(argv[0], stories, n);
        }
        unsigned told = 0;
        for (unsigned i = 0; i < n; i++) {
                if (c.story && strcmp(c.story, stories[i].name) != 0)
                        continue;
                unsigned runs = tell_all_ways(&stories[i], &c, argv[0]);
                printf("%-60s %u runs\n", stories[i].name, runs);
                fflush(stdout);
                told += runs;
        }
        if (!told)
                usage(argv[0], stories, n);
        return 0;
}
