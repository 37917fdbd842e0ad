/* belayd: an edge proxy, a home proxy, or both, as its configuration says. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "server/daemon.h"
#include "server/options.h"

enum { MANUAL = 128 << 10, USAGE = 2 };

static const char usage[] = "usage: belayd -c FILE [--check] [--log text|json]\n"
                            "       belayd --print-manual | --version | --help\n"
                            "\n"
                            "  -c, --config FILE   the configuration (docs/configuration.md, examples/)\n"
                            "      --check         read it and the files it names, say what is wrong, and end\n"
                            "      --log FORMAT    text or json, whatever the configuration says\n"
                            "      --print-manual  every option, as Markdown\n"
                            "\n"
                            "Runs in the foreground and logs to standard error. SIGHUP reads the configuration again,\n"
                            "SIGTERM ends. Exit status: 0 ended as asked, 1 cannot run, 2 wrong usage.\n";

enum { OPT_CHECK = 256, OPT_LOG, OPT_MANUAL, OPT_VERSION };

static int print_manual(void)
{
        char *text = malloc(MANUAL);
        struct bl_sb b = {text, 0, text ? MANUAL : 0, false};
        bl_options_manual(&b);
        bool ok = !b.over && fwrite(b.p, 1, b.n, stdout) == b.n && fflush(stdout) == 0;
        free(text);
        return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                                {"check", no_argument, NULL, OPT_CHECK},
                                                {"log", required_argument, NULL, OPT_LOG},
                                                {"print-manual", no_argument, NULL, OPT_MANUAL},
                                                {"version", no_argument, NULL, OPT_VERSION},
                                                {"help", no_argument, NULL, 'h'},
                                                {0}};
        struct bl_daemon_args args = {0};
        for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
                switch (c) {
                case 'c':
                        args.file = optarg;
                        break;
                case OPT_CHECK:
                        args.check = true;
                        break;
                case OPT_LOG:
                        args.log = optarg;
                        break;
                case OPT_MANUAL:
                        return print_manual();
                case OPT_VERSION:
                        puts("belayd " BL_VERSION);
                        return 0;
                case 'h':
                        fputs(usage, stdout);
                        return 0;
                default:
                        fputs(usage, stderr);
                        return USAGE;
                }
        }
        bool bad_log = args.log && strcmp(args.log, "json") != 0 && strcmp(args.log, "text") != 0;
        if (!args.file || optind < argc || bad_log) {
                if (bad_log)
                        fprintf(stderr, "belayd: --log takes text or json, not \"%s\"\n", args.log);
                else if (optind < argc)
                        fprintf(stderr, "belayd: what is \"%s\"?\n", argv[optind]);
                else
                        fputs("belayd: no configuration; name one with -c FILE\n", stderr);
                fputs(usage, stderr);
                return USAGE;
        }
        return bl_daemon_main(&args);
}
