/* The whole program in a child process: what it says, what signals do, how it ends. Runs in the root of the sources. */
#include "unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/sockaddr.h"
#include "server/daemon.h"
#include "server/files.h"

struct child {
        pid_t pid;
        int err; /* its standard error */
        char said[32768];
        size_t n;
};

static char dir[] = "/tmp/belay-daemon-XXXXXX", file[64];

static void write_conf(const char *text)
{
        assert_int_equal(bl_file_replace(file, bl_str_z(text)), 0);
}

static void start(struct child *c, const struct bl_daemon_args *args)
{
        int p[2];
        memset(c, 0, sizeof(*c));
        assert_int_equal(pipe(p), 0);
        c->pid = fork();
        assert_true(c->pid >= 0);
        if (c->pid == 0) {
                dup2(p[1], STDERR_FILENO);
                dup2(p[1], STDOUT_FILENO);
                close(p[0]);
                _exit(bl_daemon_main(args) + (fflush(stdout) ? 1 : 0));
        }
        close(p[1]);
        c->err = p[0];
}

/* Reads until it has said `what`, or ended; false: ended without. */
static bool read_until(struct child *c, const char *what)
{
        for (;;) {
                struct pollfd p = {c->err, POLLIN, 0};
                c->said[c->n] = '\0';
                if (what && strstr(c->said, what))
                        return true;
                if (poll(&p, 1, 20000) != 1)
                        fail_msg("20 s without \"%s\": %s", what ? what : "an end", c->said);
                ssize_t n = read(c->err, c->said + c->n, sizeof(c->said) - 1 - c->n);
                if (n <= 0)
                        return false;
                c->n += (size_t)n;
        }
}

static void expect(struct child *c, const char *what)
{
        if (!read_until(c, what))
                fail_msg("it ended without \"%s\": %s", what, c->said);
}

static int finish(struct child *c)
{
        int status = 0;
        (void)read_until(c, NULL);
        close(c->err);
        assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

#define BOTH(level)                                                                                                    \
        "node: e1\nworkers: 2\nlog: {level: " level "}\n"                                                              \
        "listen: [edge udp 127.0.0.1:0, edge tcp 127.0.0.1:0, home udp 127.0.0.2:0]\n"                                 \
        "edge: {cluster: edge.example.com, key_file: c.key, members: {e1: 127.0.0.1}, home: example.com}\n"            \
        "home: {domain: example.com, edge: edge.example.com, key_file: h.key, auth: no, snapshot: bindings}\n"

static void test_both_roles_run_and_end_at_sigterm(void **state)
{
        (void)state;
        struct child c;
        char path[96];
        write_conf(BOTH("info"));
        start(&c, &(struct bl_daemon_args){.file = file});
        expect(&c, "event=ready node=e1 role=edge workers=2");
        expect(&c, "event=ready node=e1 role=home workers=2");
        assert_non_null(strstr(c.said, "event=listening node=e1 role=edge transport=tcp address=127.0.0.1:"));
        assert_non_null(strstr(c.said, "event=listening node=e1 role=home transport=udp address=127.0.0.2:"));
        assert_int_equal(kill(c.pid, SIGTERM), 0);
        expect(&c, "event=stopping node=e1 signal=15");
        assert_int_equal(finish(&c), 0);
        snprintf(path, sizeof(path), "%s/bindings", dir);
        assert_int_equal(access(path, R_OK), 0); /* the snapshot, written at the end */
        unlink(path);
}

static void test_sighup_applies_what_is_live_and_names_the_rest(void **state)
{
        (void)state;
        struct child c;
        write_conf(BOTH("info"));
        start(&c, &(struct bl_daemon_args){.file = file});
        expect(&c, "role=edge workers");
        expect(&c, "role=home workers");
        write_conf(BOTH("debug") "timers: {t1: 400ms}\n");
        assert_int_equal(kill(c.pid, SIGHUP), 0);
        expect(&c, "event=reloaded");
        assert_non_null(strstr(c.said, "event=option_applied node=e1 key=log.level"));
        assert_non_null(strstr(c.said, "event=option_needs_restart node=e1 key=timers.t1"));
        write_conf("node: e1\nlisten: nonsense\n");
        assert_int_equal(kill(c.pid, SIGHUP), 0);
        expect(&c, "event=reload_refused");
        assert_non_null(strstr(c.said, "x.yaml:2:9: listen: "));
        assert_int_equal(kill(c.pid, SIGINT), 0);
        assert_int_equal(finish(&c), 0);
}

static void test_json_lines(void **state)
{
        (void)state;
        struct child c;
        write_conf(BOTH("info"));
        start(&c, &(struct bl_daemon_args){.file = file, .log = "json"});
        expect(&c, "\"event\":\"ready\",\"node\":\"e1\",\"role\":\"home\",\"workers\":2}\n");
        assert_int_equal(kill(c.pid, SIGTERM), 0);
        assert_int_equal(finish(&c), 0);
        for (const char *p = c.said; *p; p = strchr(p, '\n') + 1)
                assert_int_equal(*p, '{');
}

static void test_check_says_good_or_what_is_wrong(void **state)
{
        (void)state;
        struct child c;
        write_conf(BOTH("info"));
        start(&c, &(struct bl_daemon_args){.file = file, .check = true});
        assert_int_equal(finish(&c), 0);
        assert_non_null(strstr(c.said, "x.yaml: good\n"));
        write_conf("node: e1\nlisten: udp 127.0.0.1\nhome: {domain: example.com, polcy: accept}\n");
        start(&c, &(struct bl_daemon_args){.file = file, .check = true});
        assert_int_equal(finish(&c), 1);
        assert_non_null(strstr(c.said, "x.yaml:3:29: home.polcy: unknown key; did you mean policy?\n"));
        start(&c, &(struct bl_daemon_args){.file = "/nowhere/x.yaml"});
        assert_int_equal(finish(&c), 1);
        assert_non_null(strstr(c.said, "/nowhere/x.yaml (configuration): there is no such file"));
}

static void test_a_taken_port_ends_it(void **state)
{
        (void)state;
        struct child c;
        char text[512];
        struct sockaddr_storage sa;
        struct bl_addr a;
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(bl_addr_parse(BL_STR("127.0.0.1"), &a), 0);
        socklen_t len = bl_sockaddr_from(&a, &sa);
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
        assert_int_equal(bl_sockaddr_local(fd, &a), 0);
        snprintf(text, sizeof(text),
                 "node: h1\nlisten: udp 127.0.0.1:%u\nhome: {domain: x, policy: accept, key_file: h.key, auth: no}\n",
                 a.port);
        write_conf(text);
        start(&c, &(struct bl_daemon_args){.file = file});
        assert_int_equal(finish(&c), 1);
        snprintf(text, sizeof(text), "%s: cannot listen on udp 127.0.0.1:%u: the port is taken", file, a.port);
        if (!strstr(c.said, text))
                fail_msg("%s", c.said);
        close(fd);
}

static int make_dir(void **state)
{
        char path[96];
        (void)state;
        if (!mkdtemp(dir))
                return -1;
        snprintf(file, sizeof(file), "%s/x.yaml", dir);
        snprintf(path, sizeof(path), "%s/c.key", dir);
        if (bl_file_replace(path, BL_STR("E 00112233445566778899aabbccddeeff\n")) < 0)
                return -1;
        snprintf(path, sizeof(path), "%s/h.key", dir);
        return bl_file_replace(path, BL_STR("H 00112233445566778899aabbccddeeff\n"));
}

static int remove_dir(void **state)
{
        static const char *const names[] = {"x.yaml", "c.key", "h.key"};
        char path[96];
        (void)state;
        snprintf(path, sizeof(path), "%s/bindings", dir);
        unlink(path);
        for (size_t i = 0; i < BL_ARRAY_LEN(names); i++) {
                snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                unlink(path);
        }
        return rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_roles_run_and_end_at_sigterm),
                cmocka_unit_test(test_sighup_applies_what_is_live_and_names_the_rest),
                cmocka_unit_test(test_json_lines),
                cmocka_unit_test(test_check_says_good_or_what_is_wrong),
                cmocka_unit_test(test_a_taken_port_ends_it),
        };
        return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
