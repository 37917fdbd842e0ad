/* belay user add FILE USER@DOMAIN: one line with hashed credentials. belay key [FILE]: a new cluster key. */
#include "cli/user.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/users.h"

enum { LINE = 600, PASSWORD = 256 };

static const char USER_USAGE[] =
        "usage: belay user add FILE USER@DOMAIN [--group NAME]\n"
        "Adds a user to a home's users file, or replaces him. The password is read from stdin (asked for\n"
        "on a terminal); the file keeps only its hashes (RFC 7616: MD5 and SHA-256).\n";

/* One line from stdin, not shown on a terminal. */
static bool read_password(char out[PASSWORD])
{
        struct termios old, quiet;
        bool tty = isatty(0) && tcgetattr(0, &old) == 0;
        if (tty) {
                quiet = old;
                quiet.c_lflag &= ~(tcflag_t)ECHO;
                fputs("Password: ", stderr);
                (void)tcsetattr(0, TCSAFLUSH, &quiet);
        }
        bool ok = fgets(out, PASSWORD, stdin) != NULL;
        if (tty) {
                (void)tcsetattr(0, TCSAFLUSH, &old);
                fputc('\n', stderr);
        }
        if (ok)
                out[strcspn(out, "\r\n")] = 0;
        return ok && out[0];
}

/* Copies `from` to `to` but for the line of user:domain. */
static void copy_others(FILE *from, FILE *to, const char *start)
{
        char *line = NULL;
        size_t cap = 0;
        while (getline(&line, &cap, from) >= 0)
                if (strncmp(line, start, strlen(start)) != 0) {
                        fputs(line, to);
                        if (!strchr(line, '\n'))
                                fputc('\n', to);
                }
        free(line);
}

static int add(const char *file, const char *who, const char *group)
{
        struct bl_str user, domain;
        char password[PASSWORD], line[LINE], start[300], tmp[4200];
        struct bl_sb b = {line, 0, sizeof line - 2, false};
        if (!bl_str_cut(bl_str_z(who), '@', &user, &domain) || user.n == 0 || domain.n == 0 || strpbrk(who, ": \t#") ||
            (group && strpbrk(group, ": \t#"))) {
                fprintf(stderr, "belay user add: \"%s\": write USER@DOMAIN, without \":\", \"#\" and spaces\n", who);
                return BL_EXIT_USAGE;
        }
        if (!read_password(password)) {
                fputs("belay user add: no password on stdin\n", stderr);
                return BL_EXIT_USAGE;
        }
        bl_users_line(user, domain, bl_str_z(password), bl_str_z(group), &b);
        explicit_bzero(password, sizeof password);
        if (b.over) {
                fprintf(stderr, "belay user add: \"%s\" is too long\n", who);
                return BL_EXIT_USAGE;
        }
        line[b.n] = '\n';
        line[b.n + 1] = 0;
        (void)snprintf(start, sizeof start, "%.*s:%.*s:", BL_STR_ARG(user), BL_STR_ARG(domain));
        (void)snprintf(tmp, sizeof tmp, "%s.new", file);
        int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        FILE *to = fd < 0 ? NULL : fdopen(fd, "w"), *from = fopen(file, "r");
        if (!to || (!from && errno != ENOENT)) {
                fprintf(stderr, "belay user add: %s: %s\n", to ? file : tmp, strerror(errno));
                return BL_EXIT_USAGE;
        }
        if (from)
                copy_others(from, to, start);
        fputs(line, to);
        bool ok = fflush(to) == 0 && fsync(fd) == 0;
        ok &= fclose(to) == 0;
        if (from)
                (void)fclose(from);
        if (!ok || rename(tmp, file) < 0) { /* the old file stays until the new one is whole */
                fprintf(stderr, "belay user add: %s: %s\n", file, strerror(errno));
                return BL_EXIT_NO;
        }
        return BL_EXIT_DONE;
}

int bl_user_run(int argc, char **argv)
{
        static const struct option options[] = {{"group", 1, NULL, 'g'}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
        const char *group = NULL;
        int o;
        optind = 1;
        while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (o == 'h') {
                        fputs(USER_USAGE, stdout);
                        return BL_EXIT_DONE;
                }
                if (o != 'g')
                        return BL_EXIT_USAGE;
                group = optarg;
        }
        if (argc - optind != 3 || strcmp(argv[optind], "add") != 0) {
                fputs(USER_USAGE, stderr);
                return BL_EXIT_USAGE;
        }
        return add(argv[optind + 1], argv[optind + 2], group);
}

static const char KEY_USAGE[] =
        "usage: belay key [FILE]\n"
        "A new key for a cluster of edges, or for a home: printed, or put on top of FILE, where it signs once the\n"
        "nodes reload (SIGHUP) or start, while the keys below it still verify. All nodes of a cluster need the same\n"
        "file, and to know a key before another signs with it: reload all with the new one as the last line, then\n"
        "with it on top.\n";

/* The first id of a-z A-Z 0-9 that the file does not use. */
static char free_id(const char *old)
{
        static const char ids[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        for (const char *id = ids; *id; id++) {
                bool used = false;
                for (const char *p = old; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
                        used |= *p == *id && p[1] == ' ';
                if (!used)
                        return *id;
        }
        return 0;
}

static char *read_all(const char *file)
{
        FILE *f = fopen(file, "r");
        char *text = calloc(1, 65536);
        if (f && text)
                (void)!fread(text, 1, 65535, f);
        if (f)
                (void)fclose(f);
        return text;
}

int bl_key_run(int argc, char **argv)
{
        char line[100], tmp[4200];
        uint8_t secret[32];
        struct bl_sb b = {line, 0, sizeof line - 1, false};
        if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
                bool help = strcmp(argv[1], "--help") == 0;
                fputs(KEY_USAGE, help ? stdout : stderr);
                return help ? BL_EXIT_DONE : BL_EXIT_USAGE;
        }
        char *old = argc == 2 ? read_all(argv[1]) : NULL;
        char id = free_id(old ? old : "");
        if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret || !id) {
                fprintf(stderr, "belay key: %s\n",
                        id ? "the system gives no random octets" : "the file has 62 keys already; remove old ones");
                free(old);
                return BL_EXIT_NO;
        }
        bl_sb_addc(&b, id);
        bl_sb_addc(&b, ' ');
        bl_sb_hex(&b, secret, sizeof secret);
        bl_sb_addc(&b, '\n');
        line[b.n] = 0;
        if (argc < 2) {
                fputs(line, stdout);
                return BL_EXIT_DONE;
        }
        (void)snprintf(tmp, sizeof tmp, "%s.new", argv[1]);
        int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
        bool ok = f && fputs(line, f) >= 0 && fputs(old ? old : "", f) >= 0;
        if (f)
                ok &= fclose(f) == 0;
        free(old);
        if (!ok || rename(tmp, argv[1]) < 0) {
                fprintf(stderr, "belay key: %s: %s\n", argv[1], strerror(errno));
                return BL_EXIT_NO;
        }
        return BL_EXIT_DONE;
}
