/* belay VERB …: the command for people. Each verb is a file of its own; this one only finds it. */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/admin.h"
#include "cli/cert.h"
#include "cli/cli.h"
#include "cli/demo.h"
#include "cli/drain.h"
#include "cli/parse.h"
#include "cli/ua.h"
#include "cli/user.h"

static const struct {
        const char *name, *summary;
        int (*run)(int argc, char **argv); /* argv[0] is the verb; returns enum bl_exit */
} verbs[] = {
        {"bindings", "which URI sticks to which flow of a running node", bl_admin_run},
        {"cert", "a certificate authority and certificates for a lab", bl_cert_run},
        {"demo", "the main job before your eyes: calls that outlive their edges", bl_demo_run},
        {"drain", "send the phones of a running edge to the others, before it is stopped", bl_drain_run},
        {"flows", "the connections and UDP peers of a running node", bl_admin_run},
        {"key", "a new key for a cluster or a home", bl_key_run},
        {"metrics", "the counters of a running node, for Prometheus", bl_admin_run},
        {"parse", "show what a SIP message says, or why it is refused", bl_parse_run},
        {"status", "how a running node is", bl_admin_run},
        {"ua", "a phone for scripts: register, call, answer, message", bl_ua_run},
        {"user", "add a user to a home", bl_user_run},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

static int usage(FILE *to)
{
        fprintf(to, "usage: belay VERB [arguments]\n       belay --version\n\n");
        for (size_t i = 0; i < VERBS; i++)
                fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
        fprintf(to, "\n`belay VERB --help` explains one.\n");
        return to == stdout ? BL_EXIT_DONE : BL_EXIT_USAGE;
}

int main(int argc, char **argv)
{
        if (argc < 2)
                return usage(stderr);
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
                return usage(stdout);
        if (strcmp(argv[1], "--version") == 0) {
                puts("belay " BL_VERSION);
                return BL_EXIT_DONE;
        }
        for (size_t i = 0; i < VERBS; i++)
                if (strcmp(argv[1], verbs[i].name) == 0)
                        return verbs[i].run(argc - 1, argv + 1);
        fprintf(stderr, "belay: there is no verb \"%s\"\n", argv[1]);
        return usage(stderr);
}
