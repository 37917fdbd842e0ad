/*
 * belay demo: a home, edges and two phones as processes of their own on loopback. Phones find their edges by
 * themselves, talk, and their edges are killed under them one after another; every request inside a call is accounted
 * for by both phones and by an observer of the wire.
 */
#include "cli/demo.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/demo_internal.h"

static const char USAGE[] =
        "usage: belay demo [options]\n"
        "Starts a home, edges and two phones on loopback, sets up calls, kills the edges one after another and\n"
        "the home once, and counts what became of every request inside the calls. Exit 0: nothing was lost.\n"
        "\n"
        "  --edges N          2 to 8 (default 3)\n"
        "  --calls N          1 to 1000 (default 6), half in each direction\n"
        "  --transport T      udp, tcp or tls (default udp)\n"
        "  --tls              the same as --transport tls: certificates of an authority of its own, mutual TLS "
        "between\n"
        "                     proxies; nothing else says who is who\n"
        "  --workers N        of each server (default 1)\n"
        "  --seed N           picks the loopback network 127.0.X.0/24 (default: random)\n"
        "  --page FILE        the ladder as HTML with an SVG (default belay-demo.html)\n"
        "  --all              show every message, not only those of the first call\n"
        "  --quiet            show only the table\n"
        "  --keep             keep the configuration and logs of the servers\n";

enum { O_EDGES = 256, O_CALLS, O_TRANSPORT, O_TLS, O_WORKERS, O_SEED, O_PAGE, O_ALL, O_QUIET, O_KEEP, O_HELP };
static const struct option OPTIONS[] = {
        {"edges", 1, NULL, O_EDGES},     {"calls", 1, NULL, O_CALLS}, {"transport", 1, NULL, O_TRANSPORT},
        {"workers", 1, NULL, O_WORKERS}, {"seed", 1, NULL, O_SEED},   {"page", 1, NULL, O_PAGE},
        {"all", 0, NULL, O_ALL},         {"quiet", 0, NULL, O_QUIET}, {"keep", 0, NULL, O_KEEP},
        {"tls", 0, NULL, O_TLS},         {"help", 0, NULL, O_HELP},   {NULL, 0, NULL, 0}};

static bool number(const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
        if (bl_str_u64(bl_str_z(optarg), ret) == 0 && *ret >= min && *ret <= max)
                return true;
        fprintf(stderr, "belay demo: --%s: write a number from %llu to %llu, not %s\n", name, (unsigned long long)min,
                (unsigned long long)max, optarg);
        return false;
}

static bool one_option(struct demo *d, int o, bool *seeded)
{
        uint64_t n = 0;
        switch (o) {
        case O_EDGES:
                if (!number("edges", 2, DEMO_EDGES, &n))
                        return false;
                d->edges = (unsigned)n;
                return true;
        case O_CALLS:
                if (!number("calls", 1, DEMO_CALLS, &n))
                        return false;
                d->calls = (unsigned)n;
                return true;
        case O_WORKERS:
                if (!number("workers", 1, 64, &n))
                        return false;
                d->workers = (unsigned)n;
                return true;
        case O_SEED:
                *seeded = true;
                return number("seed", 0, UINT64_MAX, &d->seed);
        case O_TRANSPORT:
                if (bl_tp_from(bl_str_z(optarg), &d->tp) == 0 &&
                    (d->tp == BL_UDP || d->tp == BL_TCP || d->tp == BL_TLS))
                        return true;
                fprintf(stderr, "belay demo: --transport: udp, tcp or tls, not %s\n", optarg);
                return false;
        case O_TLS:
                d->tp = BL_TLS;
                return true;
        case O_PAGE:
                d->page = optarg;
                return true;
        case O_ALL:
                d->all = true;
                return true;
        case O_QUIET:
                d->quiet = true;
                return true;
        case O_KEEP:
                d->keep = true;
                return true;
        default:
                return false;
        }
}

static int parse(struct demo *d, int argc, char **argv)
{
        bool seeded = false;
        int o;
        optind = 1;
        while ((o = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
                if (o == O_HELP) {
                        fputs(USAGE, stdout);
                        return BL_EXIT_DONE;
                }
                if (!one_option(d, o, &seeded))
                        return BL_EXIT_USAGE;
        }
        if (optind < argc) {
                fputs(USAGE, stderr);
                return BL_EXIT_USAGE;
        }
        if (!seeded)
                d->seed = (uint64_t)getpid();
        d->net = (uint8_t)(10 + d->seed % 240);
        return -1;
}

static void on_signal(struct bl_world *w, int signum, void *arg)
{
        (void)w;
        demo_fail(arg, "interrupted by signal %d", signum);
}

static void free_request(struct bl_hnode *n, void *arg)
{
        (void)arg;
        free(BL_CONTAINER(n, struct request, node));
}

static int verdict(struct demo *d)
{
        if (d->n_seen && demo_write_page(d))
                printf("\n  the ladder: %s\n", d->page);
        if (d->failed) {
                fprintf(stderr, "belay demo: failed: %s\n", d->why);
                return BL_EXIT_NO;
        }
        unsigned lost = demo_lost(d);
        printf("\n  %s\n", lost ? "SOMETHING WAS LOST" : "nothing was lost");
        return lost || demo_see_missed(d) ? BL_EXIT_NO : BL_EXIT_DONE;
}

static int run(struct demo *d)
{
        char err[512];
        struct bl_sb eb = {err, 0, sizeof err - 1, false};
        struct bl_world_conf wc = {.log_level = BL_LOG_WARN, .node = bl_str_z("demo")};
        if (bl_world_new(&wc, &eb, &d->world) < 0) {
                fprintf(stderr, "belay demo: %.*s\n", (int)eb.n, err);
                return BL_EXIT_NO;
        }
        d->env = bl_world_env(d->world, 0);
        d->env->ev = demo_env_events();
        d->env->core = d;
        bl_world_on_signal(d->world, SIGINT, on_signal, d);
        bl_world_on_signal(d->world, SIGTERM, on_signal, d);
        int code = BL_EXIT_NO;
        if (demo_prepare(d) && demo_observe(d)) {
                demo_story_start(d);
                if (bl_world_run(d->world) == 0) {
                        demo_table(d);
                        code = verdict(d);
                }
        } else
                fprintf(stderr, "belay demo: %s\n", d->why);
        demo_cleanup(d);
        demo_see_end(d);
        bl_htab_each(&d->requests, free_request, NULL);
        bl_htab_fini(&d->requests);
        free(d->seen);
        bl_world_free(d->world);
        return code;
}

int bl_demo_run(int argc, char **argv)
{
        struct demo *d = calloc(1, sizeof *d);
        if (!d)
                return BL_EXIT_NO;
        d->edges = 3;
        d->calls = 6;
        d->workers = 1;
        d->page = "belay-demo.html";
        int rc = parse(d, argc, argv);
        if (rc < 0) {
                /* Without root the observer cannot hear `lo`: a network namespace of our own has one that it can. */
                if (geteuid() != 0 && bl_capture_namespace() < 0)
                        fprintf(stderr,
                                "belay demo: neither root nor user namespaces: the observer may not be able to hear\n");
                rc = run(d);
        }
        free(d);
        return rc;
}
