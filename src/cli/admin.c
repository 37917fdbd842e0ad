/* belay status, flows, bindings, metrics: what a running node says of itself, by its admin socket. */
#include "cli/admin.h"

#include <curl/curl.h>
#include <getopt.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"
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

struct asking {
        const struct verb *verb;
        bool as_table;
        long status; /* of the answer; 0 until it is known */
        CURL *curl;
        char *line; /* an unfinished one */
        size_t n, cap;
        bool header_done;
        char refusal[512];
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

static void put_row(struct asking *a, const char *line)
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

static void take_line(struct asking *a, char *line)
{
        if (a->status != 200) {
                json_t *o = json_loads(line, 0, NULL);
                const char *why = json_string_value(json_object_get(o, "error"));
                (void)snprintf(a->refusal, sizeof(a->refusal), "%s", why ? why : line);
                json_decref(o);
        } else if (a->as_table) {
                put_row(a, line);
        } else {
                puts(line);
        }
}

static size_t take(char *octets, size_t size, size_t n, void *arg)
{
        struct asking *a = arg;
        (void)size;
        curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &a->status);
        if (a->cap - a->n <= n) {
                char *more = realloc(a->line, a->cap = (a->n + n) * 2 + 256);
                if (!more)
                        return 0;
                a->line = more;
        }
        memcpy(a->line + a->n, octets, n);
        a->n += n;
        char *start = a->line, *end;
        while ((end = memchr(start, '\n', a->n - (size_t)(start - a->line)))) {
                *end = 0;
                take_line(a, start);
                start = end + 1;
        }
        a->n -= (size_t)(start - a->line);
        memmove(a->line, start, a->n);
        return n;
}

/* ---- whom to ask ---- */

static int find_socket(const char *node, char *ret, size_t cap)
{
        glob_t g = {0};
        if (node) {
                (void)snprintf(ret, cap, "/run/belay/%s.sock", node);
                return 0;
        }
        int rc = glob("/run/belay/*.sock", 0, NULL, &g);
        if (rc == 0 && g.gl_pathc == 1) {
                (void)snprintf(ret, cap, "%s", g.gl_pathv[0]);
        } else if (rc == 0) {
                fprintf(stderr, "belay: which node? There are %zu in /run/belay; name one\n", g.gl_pathc);
                rc = BL_EINVAL;
        } else {
                fprintf(stderr,
                        "belay: no node has a socket in /run/belay; name one with --socket PATH (`admin.socket` "
                        "of its configuration)\n");
                rc = BL_ENOENT;
        }
        globfree(&g);
        return rc;
}

static int ask(struct asking *a, const char *socket, const char *limit)
{
        char url[256];
        (void)snprintf(url, sizeof(url), "http://node/%s%s%s%s", a->verb->columns ? "v1/" : "", a->verb->name,
                       limit ? "?limit=" : "", limit ? limit : "");
        a->curl = curl_easy_init();
        if (!a->curl)
                return BL_EXIT_UNREACHABLE;
        curl_easy_setopt(a->curl, CURLOPT_UNIX_SOCKET_PATH, socket);
        curl_easy_setopt(a->curl, CURLOPT_URL, url);
        curl_easy_setopt(a->curl, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, a);
        CURLcode rc = curl_easy_perform(a->curl);
        curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &a->status); /* also of an answer without a body */
        curl_easy_cleanup(a->curl);
        free(a->line);
        if (rc == CURLE_OK && a->status == 200)
                return BL_EXIT_DONE;
        if (rc == CURLE_OK) {
                fprintf(stderr, "belay: the node says: %s\n", a->refusal);
                return a->status >= 500 ? BL_EXIT_UNREACHABLE : BL_EXIT_NO;
        }
        fprintf(stderr, "belay: %s: %s; does the node run, and is this its `admin.socket`?\n", socket,
                curl_easy_strerror(rc));
        return BL_EXIT_UNREACHABLE;
}

int bl_admin_run(int argc, char **argv)
{
        static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                                {"json", no_argument, NULL, 'j'},
                                                {"limit", required_argument, NULL, 'n'},
                                                {"help", no_argument, NULL, 'h'},
                                                {0}};
        struct asking a = {.as_table = isatty(STDOUT_FILENO) != 0};
        const char *limit = NULL, *socket = NULL;
        char path[256];
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
        if (!socket && find_socket(argv[optind], path, sizeof(path)) < 0)
                return BL_EXIT_USAGE;
        return ask(&a, socket ? socket : path, limit);
}
