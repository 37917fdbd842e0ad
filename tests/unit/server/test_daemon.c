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

#include "io/file.h"
#include "io/sockaddr.h"
#include "server/daemon.h"

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

static void test_sighup_reads_the_users_again(void **state)
{
        (void)state;
        struct child c;
        char users[96];
        snprintf(users, sizeof(users), "%s/users", dir);
        assert_int_equal(bl_file_replace(users, BL_STR("joe:example.com:00112233445566778899aabbccddeeff:\n")), 0);
        write_conf("node: h1\nworkers: 2\nlisten: udp 127.0.0.1:0\n"
                   "home: {domain: example.com, policy: accept, key_file: h.key, users_file: users}\n");
        start(&c, &(struct bl_daemon_args){.file = file});
        expect(&c, "event=ready");
        assert_int_equal(kill(c.pid, SIGHUP), 0);
        expect(&c, "event=users_reloaded node=h1 file=");
        assert_int_equal(bl_file_replace(users, BL_STR("joe:example.com:nonsense\n")), 0);
        assert_int_equal(kill(c.pid, SIGHUP), 0);
        expect(&c, "event=reload_refused node=h1 error=");
        assert_non_null(strstr(c.said, "(home.users_file): "));
        assert_int_equal(kill(c.pid, SIGTERM), 0);
        assert_int_equal(finish(&c), 0);
        unlink(users);
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

/* ---- examples/, whole, on addresses of this test's own ---- */

static struct bl_str slurp(const char *path)
{
        struct bl_sb err = {0};
        struct bl_str text = {0};
        assert_int_equal(bl_file_read(path, "test", "", 1 << 20, &err, &text), 0);
        return text;
}

/* examples/NAME into our folder, 127.0. becoming 127.NET. */
static void borrow(const char *name, unsigned net, char path[96])
{
        char from[64], out[4096];
        struct bl_sb b = BL_SB(out);
        snprintf(from, sizeof(from), "examples/%s", name);
        snprintf(path, 96, "%s/%s", dir, name);
        struct bl_str text = slurp(from);
        for (const char *p = text.p; *p;) {
                if (strncmp(p, "127.0.", 6) == 0) {
                        bl_sb_fmt(&b, "127.%u.", net);
                        p += 6;
                } else {
                        bl_sb_addc(&b, *p++);
                }
        }
        bl_file_free(text);
        assert_false(b.over);
        assert_int_equal(bl_file_replace(path, bl_sb_str(&b)), 0);
}

static void connect_udp(int fd, const char *to)
{
        struct sockaddr_storage sa;
        struct bl_addr a;
        assert_int_equal(bl_addr_parse_port(bl_str_z(to), 0, &a), 0);
        socklen_t len = bl_sockaddr_from(&a, &sa);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
}

/* A REGISTER to `to`; the first line of what comes back must be `status`. */
static void register_at(const char *to, unsigned cseq, const char *status)
{
        char out[1024], in[4096] = "";
        struct timeval tv = {10, 0};
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        connect_udp(fd, to);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
        snprintf(out, sizeof(out),
                 "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK%u;rport\r\n"
                 "From: <sip:joe@example.com>;tag=1\r\nTo: <sip:joe@example.com>\r\nCall-ID: %s\r\n"
                 "CSeq: %u REGISTER\r\nMax-Forwards: 70\r\nContact: <sip:joe@127.0.0.1:9>\r\n"
                 "Content-Length: 0\r\n\r\n",
                 cseq, to, cseq);
        assert_int_equal(send(fd, out, strlen(out), 0), (ssize_t)strlen(out));
        ssize_t n = recv(fd, in, sizeof(in) - 1, 0);
        close(fd);
        if (n <= 0 || strncmp(in, status, strlen(status)) != 0)
                fail_msg("%s: \"%s\" instead of \"%s\"", to, in, status);
}

/* Starts some of examples/, asks one of them, ends them. */
static void run_examples(const char *const *names, size_t n, unsigned net, void (*ask)(unsigned net))
{
        struct child c[4];
        char path[4][96], other[96];
        static const char *const files[] = {"cluster.key", "home.key", "users"};
        for (size_t i = 0; i < BL_ARRAY_LEN(files); i++)
                borrow(files[i], net, other);
        for (size_t i = 0; i < n; i++) {
                borrow(names[i], net, path[i]);
                start(&c[i], &(struct bl_daemon_args){.file = path[i]});
                expect(&c[i], "event=ready");
                if (strcmp(names[i], "both.yaml") == 0) {
                        expect(&c[i], "event=ready node=e1 role=edge");
                        expect(&c[i], "event=ready node=e1 role=home");
                }
        }
        ask(net);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(kill(c[i].pid, SIGTERM), 0);
                assert_int_equal(finish(&c[i]), 0);
                unlink(path[i]);
        }
        for (size_t i = 0; i < BL_ARRAY_LEN(files); i++) {
                snprintf(other, sizeof(other), "%s/%s", dir, files[i]);
                unlink(other);
        }
}

static void ask_home(unsigned net)
{
        char to[64];
        snprintf(to, sizeof(to), "127.%u.2.1:5060", net);
        register_at(to, 1, "SIP/2.0 401 ");
}

/* The home sends to the edges; each of these has the home challenge. */
static void ask_cluster(unsigned net)
{
        char to[64];
        snprintf(to, sizeof(to), "127.%u.2.1:5060", net);
        register_at(to, 1, "SIP/2.0 300 ");
        for (unsigned i = 1; i <= 3; i++) {
                snprintf(to, sizeof(to), "127.%u.1.%u:5060", net, i);
                register_at(to, i + 1, "SIP/2.0 401 ");
        }
}

static void ask_both(unsigned net)
{
        char to[64];
        snprintf(to, sizeof(to), "127.%u.2.1:5060", net);
        register_at(to, 1, "SIP/2.0 300 ");
        snprintf(to, sizeof(to), "127.%u.1.1:5060", net);
        register_at(to, 2, "SIP/2.0 401 ");
}

static void test_the_examples_serve(void **state)
{
        (void)state;
        static const char *const single[] = {"single.yaml"}, *const both[] = {"both.yaml"},
                                 *const cluster[] = {"home.yaml", "e1.yaml", "e2.yaml", "e3.yaml"};
        unsigned net = 100 + (unsigned)getpid() % 100;
        run_examples(single, 1, net, ask_home);
        run_examples(cluster, 4, net, ask_cluster);
        run_examples(both, 1, net, ask_both);
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
                cmocka_unit_test(test_sighup_reads_the_users_again),
                cmocka_unit_test(test_json_lines),
                cmocka_unit_test(test_check_says_good_or_what_is_wrong),
                cmocka_unit_test(test_a_taken_port_ends_it),
                cmocka_unit_test(test_the_examples_serve),
        };
        return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
