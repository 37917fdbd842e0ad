#include "cli/cert.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "io/cert.h"

static const char USAGE[] =
        "usage: belay cert [--dir DIR] [--days N] NAME[,NAME...] ...\n"
        "A certificate authority for a lab, and a certificate for each argument: DIR/NAME.pem and DIR/NAME.key.\n"
        "A certificate proves its NAMEs, domains all of them, as RFC 5922 wants it (SAN URI sip:NAME, SAN DNS NAME).\n"
        "\n"
        "  --dir DIR   where (default .); an authority that is there already (ca.pem, ca.key) signs these, too\n"
        "  --days N    valid for (default 365; a new authority: ten times as long)\n"
        "\n"
        "In belayd's configuration: tls: {cert: NAME.pem, key: NAME.key, ca: ca.pem}. Who has ca.key can be anybody:\n"
        "give the nodes the other files only.\n"
        "Exit: 0 done, 1 a file cannot be read or written, 2 usage.\n";

enum { O_DIR = 256, O_DAYS, O_HELP, DAYS_MAX = 3650, CA_FACTOR = 10 };

static const struct option OPTIONS[] = {
        {"dir", 1, NULL, O_DIR}, {"days", 1, NULL, O_DAYS}, {"help", 0, NULL, O_HELP}, {NULL, 0, NULL, 0}};

/* A host name in the form of RFC 1123 section 2.1. */
static bool is_domain(struct bl_str s)
{
        struct bl_addr numeric;
        if (s.n == 0 || s.n > 253 || bl_addr_parse(s, &numeric) == 0)
                return false;
        while (s.n) {
                struct bl_str label;
                (void)bl_str_cut(s, '.', &label, &s);
                if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
                        return false;
                for (size_t i = 0; i < label.n; i++) {
                        char c = bl_lower(label.p[i]);
                        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
                                return false;
                }
        }
        return true;
}

/* Cuts "a.example,b.example". How many, or -1 after a complaint. */
static int names_of(const char *arg, struct bl_str names[BL_CERT_NAMES])
{
        struct bl_str rest = bl_str_z(arg);
        int n = 0;
        bool more = true;
        while (more) {
                struct bl_str name;
                more = bl_str_cut(rest, ',', &name, &rest);
                if (!is_domain(name) || n == BL_CERT_NAMES) {
                        fprintf(stderr, "belay cert: \"%s\": %s\n", arg,
                                n == BL_CERT_NAMES ? "too many names in one certificate"
                                                   : "not domain names; write edge.example.com or a.example,b.example");
                        return -1;
                }
                names[n++] = name;
        }
        return n;
}

static int issue_all(struct bl_cert_ca *ca, const char *dir, unsigned days, int argc, char **argv)
{
        int64_t wall = (int64_t)time(NULL);
        for (int i = 0; i < argc; i++) {
                struct bl_str names[BL_CERT_NAMES];
                char text[512];
                struct bl_sb err = BL_SB(text);
                int n = names_of(argv[i], names);
                if (bl_cert_issue(ca, names, (unsigned)n, days, wall, &err) < 0) {
                        fprintf(stderr, "belay cert: %.*s\n", (int)err.n, text);
                        return BL_EXIT_NO;
                }
                printf("%s/%.*s.pem and .key: for %s, %u days\n", dir, BL_STR_ARG(names[0]), argv[i], days);
        }
        return BL_EXIT_DONE;
}

static int make(const char *dir, unsigned days, int argc, char **argv)
{
        struct bl_cert_ca *ca = NULL;
        char text[512];
        struct bl_sb err = BL_SB(text);
        bool made = false;
        if (bl_cert_open(dir, days * CA_FACTOR, (int64_t)time(NULL), &err, &made, &ca) < 0) {
                fprintf(stderr, "belay cert: %.*s\n", (int)err.n, text);
                return BL_EXIT_NO;
        }
        if (made)
                printf("%s/ca.pem and ca.key: a new authority\n", dir);
        int rc = issue_all(ca, dir, days, argc, argv);
        bl_cert_close(ca);
        return rc;
}

int bl_cert_run(int argc, char **argv)
{
        const char *dir = ".";
        uint32_t days = 365;
        char name[] = "belay cert"; /* as getopt's own messages call us */
        argv[0] = name;
        optind = 1;
        for (int o; (o = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
                switch (o) {
                case O_DIR:
                        dir = optarg;
                        break;
                case O_DAYS:
                        if (bl_str_u32(bl_str_z(optarg), &days) < 0 || days == 0 || days > DAYS_MAX) {
                                fprintf(stderr, "belay cert: --days: 1 to %d, not %s\n", DAYS_MAX, optarg);
                                return BL_EXIT_USAGE;
                        }
                        break;
                case O_HELP:
                        fputs(USAGE, stdout);
                        return BL_EXIT_DONE;
                default:
                        fputs(USAGE, stderr);
                        return BL_EXIT_USAGE;
                }
        }
        struct bl_str names[BL_CERT_NAMES];
        if (optind == argc) {
                fputs(USAGE, stderr);
                return BL_EXIT_USAGE;
        }
        for (int i = optind; i < argc; i++) { /* all or none */
                if (names_of(argv[i], names) < 0)
                        return BL_EXIT_USAGE;
        }
        return make(dir, days, argc - optind, argv + optind);
}
