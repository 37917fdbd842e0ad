/* belay drain: sends the UAs of a running edge to its fellows, and shows how far it is. */
#include "cli/drain.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "base/base.h"
#include "cli/admin_client.h"
#include "cli/cli.h"

static const char USAGE[] =
        "usage: belay drain [NODE] [--socket PATH] [--deadline SECONDS] [--no-wait] [--cancel]\n"
        "Before an edge is stopped: it is in no new set any more, its UAs are sent to other edges at their next\n"
        "refresh, and what is left at the deadline is closed. Calls go on. Waits until nobody is left, then stop it.\n"
        "\n"
        "  -s, --socket PATH        the node's `admin.socket`; else /run/belay/NODE.sock\n"
        "  -d, --deadline SECONDS   when to close what is left (900). UAs refresh after half of what they registered "
        "for\n"
        "  -w, --no-wait            begin, and do not wait\n"
        "  -c, --cancel             take it back\n"
        "\n"
        "Exit: 0 done, 1 the node says no, 2 usage, 3 unreachable.\n";

struct progress { /* the sum over the node's workers */
        long long registrations, deadline_s;
        bool draining;
};

static void add_worker(void *ctx, char *line)
{
        struct progress *p = ctx;
        json_t *row = json_loads(line, 0, NULL);
        long long deadline_s = json_integer_value(json_object_get(row, "deadline_s"));
        p->registrations += json_integer_value(json_object_get(row, "registrations"));
        p->draining |= json_is_true(json_object_get(row, "draining"));
        if (deadline_s > p->deadline_s)
                p->deadline_s = deadline_s;
        json_decref(row);
}

static void ignore(void *ctx, char *line)
{
        (void)ctx, (void)line;
}

static int wait_for_end(const char *socket)
{
        long long before = -1;
        for (;;) {
                struct progress p = {0};
                int rc = bl_admin_ask(&(struct bl_admin_question){
                        .socket = socket, .path = "v1/drain", .line = add_worker, .ctx = &p});
                if (rc != BL_EXIT_DONE)
                        return rc;
                if (!p.draining) {
                        fprintf(stderr, "belay: somebody took the draining back\n");
                        return BL_EXIT_NO;
                }
                if (p.registrations != before)
                        printf("%lld registrations left, %lld s to the deadline\n", p.registrations, p.deadline_s);
                (void)fflush(stdout);
                before = p.registrations;
                if (p.registrations == 0) {
                        puts("drained: stop it now");
                        return BL_EXIT_DONE;
                }
                (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        }
}

int bl_drain_run(int argc, char **argv)
{
        static const struct option options[] = {
                {"socket", required_argument, NULL, 's'}, {"deadline", required_argument, NULL, 'd'},
                {"no-wait", no_argument, NULL, 'w'},      {"cancel", no_argument, NULL, 'c'},
                {"help", no_argument, NULL, 'h'},         {0}};
        const char *socket = NULL;
        char found[256], path[64];
        uint32_t deadline = 900;
        bool wait = true, good = true;
        for (int c; (c = getopt_long(argc, argv, "s:d:wch", options, NULL)) != -1;) {
                if (c == 's')
                        socket = optarg;
                else if (c == 'd')
                        good &= bl_str_u32(bl_str_z(optarg), &deadline) == 0 && deadline > 0;
                else if (c == 'w')
                        wait = false;
                else if (c == 'c')
                        deadline = 0;
                else if (c == 'h')
                        return fputs(USAGE, stdout), BL_EXIT_DONE;
                else
                        good = false;
        }
        if (!good || argc - optind > 1 || (socket && argc > optind)) {
                fputs(USAGE, stderr);
                return BL_EXIT_USAGE;
        }
        if (!socket && bl_admin_find_socket(argv[optind], found, sizeof(found)) < 0)
                return BL_EXIT_USAGE;
        (void)snprintf(path, sizeof(path), "v1/drain?deadline=%u", deadline);
        int rc = bl_admin_ask(&(struct bl_admin_question){
                .socket = socket ? socket : found, .path = path, .post = 1, .line = ignore});
        return rc != BL_EXIT_DONE || !wait || deadline == 0 ? rc : wait_for_end(socket ? socket : found);
}
