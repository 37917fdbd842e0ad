/* belay status, flows, bindings, metrics: what a running node says of itself, by its admin socket. */
#include "cli/admin.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"
#include "cli/admin_client.h"
#include "cli/cli.h"

static const char USAGE[] =
        "usage: belay status|flows|bindings|metrics [NODE] [--socket PATH] [--json] [--limit N]\n"
        "What a running node says of itself. NODE's socket is /run/belay/NODE.sock; without NODE the only one there.\n"
        "\n"
        "  -s, --socket PATH   the node's `admin.socket`\n"
        "  -j, --json          one JSON object a line, as it comes; the default when stdout is no terminal\n"
        "  -n, --limit N       at most N rows\n"
        "\n"
        "Exit: 0 done, 1 the node says no, 2 usage, 3 unreachable.\n";

struct column {
        const char *key, *title;
        int width;
};
static const struct column
        status[] = {{"node", "NODE", 12},         {"role", "ROLE", 6},   {"version", "VERSION", 10},
                    {"workers", "WORKERS", 8},    {"up_s", "UP(s)", 10}, {"flows", "FLOWS", 9},
                    {"bindings", "BINDINGS", 10}, {NULL, NULL, 0}},
        flows[] = {{"flow", "FLOW", 10},           {"role", "ROLE", 5},      {"transport", "TP", 4},
                   {"local", "LOCAL", 22},         {"remote", "REMOTE", 22}, {"state", "STATE", 8},
                   {"opened_by", "OPENED BY", 10}, {"bound", "BOUND", 6},    {"silent_s", "SILENT(s)", 10},
                   {"linked", "LINKED TO", 0},     {NULL, NULL, 0}},
        bindings[] = {{"kind", "KIND", 12},
                      {"flow", "FLOW", 10},
                      {"transport", "TP", 4},
                      {"remote", "REMOTE", 22},
                      {"expires_s", "EXPIRES(s)", 11},
                      {"confirmed_s", "CONFIRMED(s)", 13},
                      {"uri", "URI", 0},
                      {NULL, NULL, 0}};
static const struct verb {
        const char *name;
        const struct column *columns; /* NULL: text as it comes */
} verbs[] = {{"status", status}, {"flows", flows}, {"bindings", bindings}, {"metrics", NULL}};

struct showing {
        const struct verb *verb;
        bool as_table, header_done;
};

/* ---- rows ---- */

static void put_cell(const struct column *c, const json_t *v)
{
        char number[32];
        const char *text = json_string_value(v);
        if (json_is_integer(v)) {
                (void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
                text = json_integer_value(v) < 0 ? "-" : number;
        }
        printf("%-*s%s", c->width, text ? text : "-", c[1].key ? " " : "\n");
}

static void put_row(struct showing *a, const char *line)
{
        json_t *row = json_loads(line, 0, NULL);
        if (!a->header_done) {
                for (const struct column *c = a->verb->columns; c->key; c++)
                        printf("%-*s%s", c->width, c->title, c[1].key ? " " : "\n");
                a->header_done = true;
        }
        for (const struct column *c = a->verb->columns; c->key; c++)
                put_cell(c, json_object_get(row, c->key));
        json_decref(row);
}

static void show(void *ctx, char *line)
{
        struct showing *s = ctx;
        if (s->as_table)
                put_row(s, line);
        else
                puts(line);
}

int bl_admin_run(int argc, char **argv)
{
        static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                                {"json", no_argument, NULL, 'j'},
                                                {"limit", required_argument, NULL, 'n'},
                                                {"help", no_argument, NULL, 'h'},
                                                {0}};
        struct showing a = {.as_table = isatty(STDOUT_FILENO) != 0};
        const char *limit = NULL, *socket = NULL;
        char found[256], path[256];
        for (size_t i = 0; i < BL_ARRAY_LEN(verbs); i++) {
                if (strcmp(argv[0], verbs[i].name) == 0)
                        a.verb = &verbs[i];
        }
        for (int c; (c = getopt_long(argc, argv, "s:jn:h", options, NULL)) != -1;) {
                if (c == 's')
                        socket = optarg;
                else if (c == 'n')
                        limit = optarg;
                else if (c == 'j')
                        a.as_table = false;
                else {
                        fputs(USAGE, c == 'h' ? stdout : stderr);
                        return c == 'h' ? BL_EXIT_DONE : BL_EXIT_USAGE;
                }
        }
        if (argc - optind > 1 || (socket && argc > optind) || (limit && (*limit < '1' || *limit > '9'))) {
                fputs(USAGE, stderr);
                return BL_EXIT_USAGE;
        }
        a.as_table &= a.verb->columns != NULL;
        if (!socket && bl_admin_find_socket(argv[optind], found, sizeof(found)) < 0)
                return BL_EXIT_USAGE;
        (void)snprintf(path, sizeof(path), "%s%s%s%s", a.verb->columns ? "v1/" : "", a.verb->name,
                       limit ? "?limit=" : "", limit ? limit : "");
        return bl_admin_ask(
                &(struct bl_admin_question){.socket = socket ? socket : found, .path = path, .line = show, .ctx = &a});
}
