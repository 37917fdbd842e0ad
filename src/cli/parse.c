#include "cli/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/parse_json.h"
#include "sip/frame.h"

enum { INPUT_MAX = 1 << 26, ARENA_MAX = 1 << 20 };

static const char help[] =
        "usage: belay parse [--stream] [FILE|-]\n"
        "\n"
        "Reads one SIP message from FILE (default: standard input) as if it had come in a datagram, and prints its\n"
        "parts as JSON. For one that must be refused it prints verdict (reject, or discard where nothing is\n"
        "answered), the status that a server answers with, the reason, and the offset of the octet that it is about.\n"
        "\n"
        "  --stream   several messages as a connection carries them; one JSON object a line\n"
        "\n"
        "Exit status: 0 nothing was refused, 1 something was, 2 it could not be read.\n";

struct printer {
        struct bl_str in;
        struct bl_arena *arena;
        FILE *out;
        bool stream;
        int exit;
};

/* Takes `json`. Members keep the order in which they were set. */
static void print(struct printer *pr, json_t *json)
{
        if (json_dumpf(json, pr->out, pr->stream ? JSON_COMPACT : JSON_INDENT(2)) < 0)
                pr->exit = BL_EXIT_USAGE;
        fputc('\n', pr->out);
        json_decref(json);
}

static void print_refusal(struct printer *pr, unsigned status, const char *reason, size_t offset)
{
        pr->exit = BL_EXIT_NO;
        print(pr, bl_parse_json_refusal(status ? "reject" : "discard", status, reason, offset));
}

/* `octets` is a message within the input; offsets printed are the input's. */
static void print_message(struct printer *pr, struct bl_str octets)
{
        struct bl_parse_error error = {0};
        size_t at = (size_t)(octets.p - pr->in.p);
        struct bl_msg *m;

        if (bl_msg_parse(octets, !pr->stream, pr->arena, &m, &error) < 0) {
                print_refusal(pr, error.status, error.text, at + error.offset);
        } else {
                print(pr, bl_parse_json_message(m, (size_t)(m->octets.p - pr->in.p)));
        }
        bl_arena_reset(pr->arena);
}

static void print_keepalive(struct printer *pr, const char *kind)
{
        print(pr, json_pack("{s:s}", "keepalive", kind));
}

/* A stream that cannot be followed: what its headers say is the better reason, when they say one. */
static void print_broken(struct printer *pr, int rc, struct bl_str rest, struct bl_str headers)
{
        struct bl_parse_error error = {0};
        size_t at = (size_t)(rest.p - pr->in.p);
        struct bl_msg *m;

        int parsed = bl_msg_parse(headers.n ? headers : rest, false, pr->arena, &m, &error);
        bool answered = parsed < 0 ? error.status != 0 : m->is_request && m->method != BL_M_ACK;

        if (rc == BL_ELIMIT)
                print_refusal(pr, answered ? 513 : 0, "Message Too Large", at);
        else if (parsed < 0)
                print_refusal(pr, error.status, error.text, at + error.offset);
        else
                print_refusal(pr, answered ? 400 : 0, "No Content-Length", at);
}

static void print_stream(struct printer *pr)
{
        struct bl_frame_state st = {.wait_pair = true};
        struct bl_str rest = pr->in, octets;
        enum bl_frame_kind kind;

        while (rest.n) {
                int rc = bl_frame_next(&st, rest, BL_MSG_MAX, &kind, &octets);

                if (rc == BL_EMORE && st.wait_pair) {
                        st.wait_pair = false; /* nothing more will come: a lone CRLF is one */
                        continue;
                }
                if (rc == BL_EMORE)
                        return print_refusal(pr, 0, "The stream ends inside a message", pr->in.n);
                if (rc < 0)
                        return print_broken(pr, rc, rest, octets);
                if (kind == BL_FRAME_MESSAGE)
                        print_message(pr, octets);
                else
                        print_keepalive(pr, kind == BL_FRAME_PING ? "ping" : "pong");
                rest = bl_str_from(rest, (size_t)rc);
        }
}

int bl_parse_print(struct bl_str in, bool stream, FILE *out)
{
        struct printer pr = {.in = in, .arena = bl_arena_new(ARENA_MAX), .out = out, .stream = stream};

        if (!pr.arena) {
                fprintf(stderr, "belay parse: out of memory\n");
                return BL_EXIT_USAGE;
        }
        if (stream)
                print_stream(&pr);
        else
                print_message(&pr, in);
        bl_arena_free(pr.arena);
        return pr.exit;
}

/* The whole file; NULL with errno set. The caller frees. */
static char *slurp(FILE *file, size_t *ret_n)
{
        size_t n = 0, cap = 1 << 16;
        char *octets = malloc(cap);

        while (octets && !feof(file)) {
                n += fread(octets + n, 1, cap - n, file);
                if (ferror(file) || n == INPUT_MAX) {
                        errno = ferror(file) ? errno : EFBIG;
                        free(octets);
                        return NULL;
                }
                if (n == cap) {
                        char *more = realloc(octets, cap *= 2);

                        if (!more)
                                free(octets);
                        octets = more;
                }
        }
        *ret_n = n;
        return octets;
}

/* Sets what the arguments say; >= 0 when that ends the program. */
static int arguments(int argc, char **argv, bool *stream, const char **path)
{
        bool named = false;

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
                        fputs(help, stdout);
                        return BL_EXIT_DONE;
                }
                if (strcmp(argv[i], "--stream") == 0) {
                        *stream = true;
                } else if (argv[i][0] == '-' && argv[i][1]) {
                        fprintf(stderr, "belay parse: there is no option \"%s\"\n%s", argv[i], help);
                        return BL_EXIT_USAGE;
                } else if (named) {
                        fprintf(stderr, "belay parse: one file at a time, \"%s\" is the second\n%s", argv[i], help);
                        return BL_EXIT_USAGE;
                } else {
                        *path = argv[i];
                        named = true;
                }
        }
        return -1;
}

int bl_parse_run(int argc, char **argv)
{
        const char *path = "-";
        bool stream = false;
        int rc = arguments(argc, argv, &stream, &path);
        FILE *file;
        char *octets;
        size_t n;

        if (rc >= 0)
                return rc;
        file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
        octets = file ? slurp(file, &n) : NULL;
        if (!octets) {
                fprintf(stderr, "belay parse: cannot read %s: %s; name a file, or - for standard input\n", path,
                        strerror(errno));
                rc = BL_EXIT_USAGE;
        } else {
                if (n == 0)
                        fprintf(stderr, "belay parse: %s is empty: there is no message in it\n", path);
                rc = bl_parse_print(bl_str_make(octets, n), stream, stdout);
                if (fflush(stdout) != 0) {
                        fprintf(stderr, "belay parse: cannot write: %s\n", strerror(errno));
                        rc = BL_EXIT_USAGE;
                }
        }
        if (file && file != stdin)
                fclose(file);
        free(octets);
        return rc;
}
