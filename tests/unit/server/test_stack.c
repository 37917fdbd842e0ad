/* Roles built from configurations; runs in the root of the sources: reads the keys of examples/. */
#include "unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/file.h"
#include "io/sockaddr.h"
#include "server/stack.h"

static char said[4096];

static struct bl_conf *load(const char *text)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        struct bl_conf *c = NULL;
        if (bl_conf_load("examples/x.yaml", bl_str_z(text), &bl_options_table, &err, &c) < 0)
                fail_msg("%.*s", (int)err.n, said);
        return c;
}

static int build(const struct bl_conf *c, enum bl_stack_role role, bool listen, struct bl_stack **ret)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        int rc = bl_stack_new(bl_conf_root(c), role, listen, &err, ret);
        said[err.n] = '\0';
        return rc;
}

#define HOME                                                                                                           \
        "node: h1\nworkers: 2\nlog: {level: error}\nlisten: udp 127.0.0.1:0\n"                                         \
        "home: {domain: example.com, policy: accept, key_file: home.key, users_file: users"
#define EDGE                                                                                                           \
        "node: e1\nworkers: 2\nlog: {level: error}\nlisten: udp 127.0.0.1:0\n"                                         \
        "edge: {cluster: edge.example.com, members: {e1: 127.0.0.1}, home: example.com, key_file: cluster.key}\n"

static void test_a_missing_or_wrong_file_is_said(void **state)
{
        (void)state;
        static const struct {
                const char *text, *says;
        } t[] = {
                {"node: h1\nlisten: udp 127.0.0.1:0\nhome: {domain: x, policy: accept, key_file: none.key, auth: no}",
                 "examples/none.key (home.key_file): there is no such file; make one with `belay key"},
                {"node: h1\nlisten: udp 127.0.0.1:0\nhome: {domain: x, policy: accept, key_file: single.yaml, auth: "
                 "no}",
                 "examples/single.yaml (home.key_file): "},
                {"node: h1\nlisten: udp 127.0.0.1:0\nhome: {domain: x, policy: accept, key_file: home.key, users_file: "
                 "none}",
                 "examples/none (home.users_file): there is no such file; make one with `belay user add`"},
                {"node: h1\nlisten: udp 127.0.0.1:0\nhome: {domain: x, policy: accept, key_file: home.key, users_file: "
                 "home.yaml}",
                 "examples/home.yaml (home.users_file): "},
        };
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct bl_conf *c = load(t[i].text);
                struct bl_stack *s = NULL;
                assert_true(build(c, BL_STACK_HOME, false, &s) < 0);
                assert_null(s);
                if (!strstr(said, t[i].says))
                        fail_msg("\"%s\" does not say \"%s\"", said, t[i].says);
                bl_conf_unref(c);
        }
}

static void test_a_taken_port_is_said(void **state)
{
        (void)state;
        struct bl_conf *c = load(HOME "}");
        struct bl_stack *s = NULL, *second = NULL;
        assert_int_equal(build(c, BL_STACK_HOME, true, &s), 0);
        char text[512];
        snprintf(text, sizeof(text),
                 "node: h1\nlisten: udp 127.0.0.1:%u\nhome: {domain: x, policy: accept, key_file: home.key, auth: no}",
                 bl_world_listener_addr(bl_stack_world(s), 0).port);
        struct bl_conf *other = load(text);
        assert_true(build(other, BL_STACK_HOME, true, &second) < 0);
        assert_non_null(strstr(said, "the port is taken by another program"));
        bl_stack_free(s);
        bl_conf_unref(other);
        bl_conf_unref(c);
}

/* ---- running ---- */

struct guest {
        struct bl_world *world;
        int fd;
        struct bl_addr to;
        char in[2048];
        struct bl_timer poll;
        unsigned left;
};

static void look(struct bl_timer *t)
{
        struct guest *g = BL_CONTAINER(t, struct guest, poll);
        ssize_t n = recv(g->fd, g->in, sizeof(g->in) - 1, MSG_DONTWAIT);
        if (n > 0)
                g->in[n] = '\0';
        if (n > 0 || --g->left == 0)
                bl_world_stop(g->world, 0);
        else
                env_arm_in(bl_world_env(g->world, 0), t, BL_MS(5));
}

static void ask(struct bl_stack *s, const char *message, struct guest *g)
{
        struct sockaddr_storage sa;
        *g = (struct guest){.world = bl_stack_world(s), .poll.fire = look, .left = 2000};
        g->to = bl_world_listener_addr(g->world, 0);
        g->fd = socket(AF_INET, SOCK_DGRAM, 0);
        socklen_t len = bl_sockaddr_from(&g->to, &sa);
        assert_int_equal(connect(g->fd, (struct sockaddr *)&sa, len), 0);
        assert_int_equal(send(g->fd, message, strlen(message), 0), (ssize_t)strlen(message));
        env_arm_in(bl_world_env(g->world, 0), &g->poll, BL_MS(5));
        assert_int_equal(bl_stack_run(s), 0);
        close(g->fd);
}

#define REGISTER                                                                                                       \
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx;rport\r\n"                   \
        "From: <sip:joe@example.com>;tag=1\r\nTo: <sip:joe@example.com>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n"         \
        "Max-Forwards: 70\r\nContact: <sip:joe@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n"

static void test_a_home_challenges(void **state)
{
        (void)state;
        struct bl_conf *c = load(HOME "}");
        struct bl_stack *s = NULL;
        struct guest g;
        assert_int_equal(build(c, BL_STACK_HOME, true, &s), 0);
        bl_stack_set_log_level(s, BL_LOG_ERROR);
        ask(s, REGISTER, &g);
        if (strncmp(g.in, "SIP/2.0 401 ", 12) != 0)
                fail_msg("%s", g.in);
        bl_stack_free(s);
        bl_conf_unref(c);
}

static void test_an_edge_answers(void **state)
{
        (void)state;
        struct bl_conf *c = load(EDGE);
        struct bl_stack *s = NULL;
        struct guest g;
        assert_int_equal(build(c, BL_STACK_EDGE, true, &s), 0);
        ask(s,
            "OPTIONS sip:e1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx;rport\r\n"
            "From: <sip:joe@example.com>;tag=1\r\nTo: <sip:e1>\r\nCall-ID: a\r\nCSeq: 1 OPTIONS\r\n"
            "Max-Forwards: 0\r\nContent-Length: 0\r\n\r\n",
            &g);
        if (strncmp(g.in, "SIP/2.0 ", 8) != 0)
                fail_msg("%s", g.in);
        bl_stack_free(s);
        bl_conf_unref(c);
}

/* ---- snapshot ---- */

static void test_registrations_survive_a_restart(void **state)
{
        (void)state;
        char dir[] = "/tmp/belay-stack-XXXXXX", text[1024];
        assert_non_null(mkdtemp(dir));
        snprintf(text, sizeof(text),
                 "node: h1\nlisten: udp 127.0.0.1:0\nlog: {level: error}\nhome: {domain: example.com, policy: accept, "
                 "key_file: home.key, auth: no, snapshot: %s/bindings}\n",
                 dir);
        struct bl_conf *c = load(text);
        struct bl_stack *s = NULL;
        struct guest g;
        assert_int_equal(build(c, BL_STACK_HOME, true, &s), 0); /* there is no snapshot yet */
        ask(s, REGISTER, &g);
        assert_memory_equal(g.in, "SIP/2.0 200 ", 12);
        assert_int_equal(bl_stack_save(s), 0);
        bl_stack_free(s);
        assert_int_equal(build(c, BL_STACK_HOME, true, &s), 0);
        ask(s,
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKy;rport\r\n"
            "From: <sip:joe@example.com>;tag=2\r\nTo: <sip:joe@example.com>\r\nCall-ID: b\r\nCSeq: 1 REGISTER\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            &g);
        if (!strstr(g.in, "<sip:joe@127.0.0.1:9>"))
                fail_msg("%s", g.in);
        bl_stack_free(s);
        bl_conf_unref(c);
        snprintf(text, sizeof(text), "%s/bindings", dir);
        unlink(text);
        assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_missing_or_wrong_file_is_said),
                cmocka_unit_test(test_a_taken_port_is_said),
                cmocka_unit_test(test_a_home_challenges),
                cmocka_unit_test(test_an_edge_answers),
                cmocka_unit_test(test_registrations_survive_a_restart),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
