/* Runs in the root of the sources: reads examples/ and docs/. */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/file.h"
#include "server/options.h"

static char said[16384];

static int load(const char *text, struct bl_conf **ret_conf)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        int rc = bl_conf_load("examples/x.yaml", bl_str_z(text), &bl_options_table, &err, ret_conf);
        said[err.n] = '\0';
        return rc;
}

static struct bl_str slurp(const char *path)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        struct bl_str text = {0};
        if (bl_file_read(path, "test", "", 1 << 20, &err, &text) < 0)
                fail_msg("%.*s", (int)err.n, said);
        return text;
}

/* Lines that say something. */
static unsigned lines(struct bl_str s)
{
        unsigned n = 0;
        struct bl_str line;
        while (s.n) {
                (void)bl_str_cut(s, '\n', &line, &s);
                line = bl_str_trim(line);
                n += line.n > 0 && line.p[0] != '#';
        }
        return n;
}

static void test_examples_are_good_and_short(void **state)
{
        (void)state;
        static const struct {
                const char *file;
                unsigned most;
        } t[] = {{"examples/single.yaml", 10}, {"examples/home.yaml", 12}, {"examples/e1.yaml", 12},
                 {"examples/e2.yaml", 12},     {"examples/e3.yaml", 12},   {"examples/both.yaml", 12}};
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct bl_str text = slurp(t[i].file);
                struct bl_conf *c = NULL;
                if (load(text.p, &c) < 0)
                        fail_msg("%s: %s", t[i].file, said);
                assert_true(lines(text) <= t[i].most);
                const struct bl_options *o = bl_conf_root(c);
                assert_true(o->edge || o->home);
                bl_conf_unref(c);
                bl_file_free(text);
        }
}

static void test_the_manual_is_up_to_date(void **state)
{
        (void)state;
        char *text = malloc(1 << 17);
        struct bl_sb b = {text, 0, 1 << 17, false};
        struct bl_str file = slurp("docs/configuration.md");
        bl_options_manual(&b);
        assert_false(b.over);
        if (!bl_str_eq(bl_sb_str(&b), file))
                fail_msg("docs/configuration.md is not what the tables say: belayd --print-manual > "
                         "docs/configuration.md");
        bl_file_free(file);
        free(text);
}

#define EDGE "edge: {cluster: e.x, key_file: k, members: {e1: 127.0.0.1}, home: x}\n"
#define HOME "home: {domain: x, policy: accept, key_file: k, users_file: u}\n"

static void test_errors(void **state)
{
        (void)state;
        static const struct {
                const char *text, *says;
        } t[] = {
                {"node: e1\nlisten: udp 127.0.0.1\n",
                 "x.yaml:1:1: this node has no role; add edge: {cluster: …} or home"},
                {"node: e1\n" HOME, "x.yaml:1:1: listen: is missing: Where to listen"},
                {"node: \"a b\"\nlisten: udp 127.0.0.1\n" HOME, "x.yaml:1:1: node: \"a b\" is not a node's name"},
                {"node: e9\nlisten: udp 127.0.0.1\n" EDGE,
                 "x.yaml:1:1: node: e9 is not one of edge.members; add it there with its address"},
                {"node: e1\nlisten: udp 127.0.0.1\n" EDGE HOME,
                 "x.yaml:2:1: listen: listener 1 is for edge or home? With both roles"},
                {"node: e1\nlisten: edge udp 127.0.0.1\n" EDGE HOME,
                 "x.yaml:2:1: listen: both roles need a listener of their own"},
                {"node: e1\nlisten: home udp 127.0.0.1\n" EDGE,
                 "x.yaml:2:1: listen: listener 1 is for \"home\", which this node is not"},
                {"node: e1\nlisten: tls 127.0.0.1\n" EDGE,
                 "listener 1 needs a certificate; add tls: {cert: FILE, key: FILE}"},
                {"node: e1\nlisten: ws 127.0.0.1\n" EDGE, "listener 1: only udp, tcp and tls can be listened on"},
                {"node: e1\nlisten: udp 127.0.0.1\ntls: {ca: system}\n" EDGE, "tls.cert"},
                {"node: e1\nlisten: udp 127.0.0.1\ntls: {cert: [a, b], key: c}\n" EDGE,
                 "there are 2 files in cert and 1 in key"},
                {"node: e1\nlisten: udp 127.0.0.1\nworkers: 65\n" HOME,
                 "workers: 65 is out of range; allowed is 0 to 64"},
                {"node: e1\nlisten: udp 127.0.0.1\nwokers: 2\n" HOME, "wokers: unknown key; did you mean workers?"},
                {"node: e1\nlisten: udp 127.0.0.1\nhome: {domain: x, key_file: k, auth: no}\n",
                 "home.edge: missing: name the edge cluster"},
        };
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct bl_conf *c = NULL;
                int rc = load(t[i].text, &c);
                if (rc >= 0 || !strstr(said, t[i].says))
                        fail_msg("%s\n  gives %d \"%s\"\n  want \"%s\"", t[i].text, rc, said, t[i].says);
        }
}

static void test_files_beside_the_configuration(void **state)
{
        (void)state;
        struct bl_conf *c = NULL;
        assert_int_equal(load("node: e1\nlisten: udp 127.0.0.1\n" EDGE, &c), 0);
        const struct bl_options *o = bl_conf_root(c);
        assert_str(o->edge->key_file, "examples/k");
        assert_int_equal(BL_CONF_ITEMS(o->listen, struct bl_conf_point)[0].addr.port, 5060);
        assert_int_equal(o->workers, 0);
        assert_true(o->dns->use);
        assert_int_equal(o->timers->t1_ms, 500);
        bl_conf_unref(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_examples_are_good_and_short),
                cmocka_unit_test(test_the_manual_is_up_to_date),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_files_beside_the_configuration),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
