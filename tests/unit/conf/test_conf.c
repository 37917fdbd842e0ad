#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "unit/oom.h"

/* A configuration with one option of each kind. */
enum colour { RED, GREEN };
struct inner {
        uint32_t wait_ms;
        struct bl_str name;
        bool on;
};
struct member {
        struct bl_str node;
        struct bl_addr addr;
};
struct trust {
        struct bl_str domain;
        struct bl_conf_array nets; /* struct bl_net */
};
struct outer {
        struct bl_str node, key_file, domain;
        uint16_t n;
        uint64_t bytes;
        int colour;
        struct bl_addr addr;
        struct bl_conf_array listen; /* struct bl_conf_point */
        struct bl_conf_array members, trust, list_of_inner;
        struct inner *inner, *always;
        unsigned checked;
};

static const char *const colours[] = {"red", "green", NULL};
static const char *const sides[] = {"core", "ua", NULL};
static const struct bl_conf_option inner_options[] = {
        {"wait", BL_CONF_MS, BL_CONF_AT(struct inner, wait_ms), .def = "10s", .min = 1000, .max = 60000, .live = true},
        {"name", BL_CONF_STR, BL_CONF_AT(struct inner, name), .max = 5},
        {"on", BL_CONF_BOOL, BL_CONF_AT(struct inner, on)},
};

static void check_inner(void *into, struct bl_conf_check *c)
{
        struct inner *in = into;
        if (in->on && !in->name.n)
                bl_conf_complain(c, "name", "must be there with on: true");
        if (in->wait_ms == 13000)
                bl_conf_complain(c, "wait", "13s brings bad luck");
        assert_true(bl_conf_given(c, "on") || !in->on);
}

static const struct bl_conf_table inner_table =
        BL_CONF_TABLE_OF(struct inner, inner_options, .name = "inner", .check = check_inner);
static const struct bl_conf_option point = {"point", BL_CONF_POINT, BL_CONF_ELEM(struct bl_conf_point), .names = sides};
static const struct bl_conf_option member = {"address", BL_CONF_ADDR, BL_CONF_AT(struct member, addr),
                                             .default_port = 5060};
static const struct bl_conf_option net = {"net", BL_CONF_NET, BL_CONF_ELEM(struct bl_net)};
static const struct bl_conf_option nets = {"nets", BL_CONF_LIST, BL_CONF_AT(struct trust, nets), .elem = &net};
static const struct bl_conf_option inner_item = {"inner", BL_CONF_TABLE, BL_CONF_ELEM(struct inner *),
                                                 .table = &inner_table};
static const struct bl_conf_option options[] = {
        {"node", BL_CONF_STR, BL_CONF_AT(struct outer, node), .required = true,
         .help = "This node's name in x.nodes. More."},
        {"key_file", BL_CONF_PATH, BL_CONF_AT(struct outer, key_file)},
        {"domain", BL_CONF_DOMAIN, BL_CONF_AT(struct outer, domain)},
        {"number", BL_CONF_INT, BL_CONF_AT(struct outer, n), .def = "2", .min = 1, .live = true},
        {"bytes", BL_CONF_BYTES, BL_CONF_AT(struct outer, bytes), .def = "64KiB", .max = 1 << 30},
        {"colour", BL_CONF_ENUM, BL_CONF_AT(struct outer, colour), .names = colours, .def = "green"},
        {"addr", BL_CONF_ADDR, BL_CONF_AT(struct outer, addr)},
        {"listen", BL_CONF_LIST, BL_CONF_AT(struct outer, listen), .elem = &point, .max = 4},
        {"members", BL_CONF_MAP, BL_CONF_AT(struct outer, members), .elem = &member,
         .elem_size = sizeof(struct member)},
        {"trust", BL_CONF_MAP, BL_CONF_AT(struct outer, trust), .elem = &nets, .elem_size = sizeof(struct trust),
         .domain_keys = true},
        {"inners", BL_CONF_LIST, BL_CONF_AT(struct outer, list_of_inner), .elem = &inner_item},
        {"inner", BL_CONF_TABLE, BL_CONF_AT(struct outer, inner), .table = &inner_table},
        {"always", BL_CONF_TABLE, BL_CONF_AT(struct outer, always), .table = &inner_table, .def = "{}"},
};
static const struct bl_conf_table table = BL_CONF_TABLE_OF(struct outer, options, .name = "test");

static char said[8192];

static struct bl_conf *load(const char *text, int want)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        struct bl_conf *c = NULL;
        int rc = bl_conf_load("dir/x.yaml", bl_str_z(text), &table, &err, &c);
        said[err.n] = '\0';
        if (rc != want)
                fail_msg("%d instead of %d: %s", rc, want, said);
        assert_true((rc == 0) == (c != NULL));
        return c;
}

static const struct outer *root(const struct bl_conf *c)
{
        return bl_conf_root(c);
}

static void test_each_type(void **state)
{
        (void)state;
        struct bl_conf *c = load("node: e1\n"
                                 "key_file: keys/a.key\n"
                                 "domain: Example.COM.\n"
                                 "number: 7\n"
                                 "bytes: 10 MiB\n"
                                 "colour: red\n"
                                 "addr: 127.0.0.1\n"
                                 "listen: [udp 127.0.1.1:5080, core tcp 127.0.1.1, \"udp [::1]:5070\"]\n"
                                 "members: {e1: 127.0.1.1, e2: 127.0.1.2:5099}\n"
                                 "trust:\n"
                                 "  Example.com: [127.0.2.0/24, 10.0.0.1]\n"
                                 "  b.com: \"::1/128\"\n"
                                 "inners: [{wait: 1s}, {name: x}]\n"
                                 "inner:\n"
                                 "  wait: 1m\n"
                                 "  on: yes\n"
                                 "  name: abc\n",
                                 0);
        const struct outer *o = root(c);
        assert_str(o->node, "e1");
        assert_str(o->key_file, "dir/keys/a.key");
        assert_int_equal(o->key_file.p[o->key_file.n], 0);
        assert_str(o->domain, "example.com");
        assert_int_equal(o->n, 7);
        assert_int_equal(o->bytes, 10 << 20);
        assert_int_equal(o->colour, RED);
        assert_int_equal(o->addr.family, 4);
        assert_int_equal(o->addr.port, 0);
        const struct bl_conf_point *p = BL_CONF_ITEMS(o->listen, struct bl_conf_point);
        assert_int_equal(o->listen.n, 3);
        assert_int_equal(p[0].tp, BL_UDP);
        assert_int_equal(p[0].addr.port, 5080);
        assert_int_equal(p[0].word, -1);
        assert_int_equal(p[1].tp, BL_TCP);
        assert_int_equal(p[1].addr.port, 5060);
        assert_int_equal(p[1].word, 0);
        assert_int_equal(p[2].addr.family, 6);
        const struct member *m = BL_CONF_ITEMS(o->members, struct member);
        assert_int_equal(o->members.n, 2);
        assert_str(m[0].node, "e1");
        assert_int_equal(m[0].addr.port, 5060);
        assert_str(m[1].node, "e2");
        assert_int_equal(m[1].addr.port, 5099);
        const struct trust *t = BL_CONF_ITEMS(o->trust, struct trust);
        assert_int_equal(o->trust.n, 2);
        assert_str(t[0].domain, "example.com");
        assert_int_equal(t[0].nets.n, 2);
        assert_int_equal(BL_CONF_ITEMS(t[0].nets, struct bl_net)[0].bits, 24);
        assert_int_equal(t[1].nets.n, 1); /* one value may stand without brackets */
        struct inner **in = BL_CONF_ITEMS(o->list_of_inner, struct inner *);
        assert_int_equal(o->list_of_inner.n, 2);
        assert_int_equal(in[0]->wait_ms, 1000);
        assert_int_equal(in[1]->wait_ms, 10000);
        assert_int_equal(o->inner->wait_ms, 60000);
        assert_true(o->inner->on);
        assert_int_equal(o->always->wait_ms, 10000);
        bl_conf_unref(c);
}

static void test_defaults_and_absence(void **state)
{
        (void)state;
        struct bl_conf *c = load("node: e1", 0);
        const struct outer *o = root(c);
        assert_int_equal(o->n, 2);
        assert_int_equal(o->bytes, 65536);
        assert_int_equal(o->colour, GREEN);
        assert_null(o->inner);
        assert_non_null(o->always);
        assert_int_equal(o->addr.family, 0);
        assert_int_equal(o->listen.n, 0);
        assert_true(bl_conf_ref(c) == c);
        bl_conf_unref(c);
        assert_str(root(c)->node, "e1");
        bl_conf_unref(c);
        bl_conf_unref(NULL);
        c = load("{node: e1, inner: }", 0); /* a table without a value is there, with its defaults */
        assert_int_equal(root(c)->inner->wait_ms, 10000);
        bl_conf_unref(c);
}

/* Every error: file, line, column, key, what is wrong, what to write. */
static void test_errors(void **state)
{
        (void)state;
        static const struct {
                const char *text, *says;
        } t[] = {
                {"", "dir/x.yaml:1:1: node: is missing: This node's name in x.nodes\n"},
                {"node: e1\nlisen: udp 1.2.3.4", "dir/x.yaml:2:1: lisen: unknown key; did you mean listen?\n"},
                {"node: e1\nzzz: 1", "dir/x.yaml:2:1: zzz: unknown key; possible here: node, key_file, "},
                {"node: e1\ninner:\n  wiat: 3s", "dir/x.yaml:3:3: inner.wiat: unknown key; did you mean wait?\n"},
                {"node: e1\nnumber: 1\nnumber: 2", "dir/x.yaml:3:1: number: is there twice; the first is in line 2\n"},
                {"node: e1\nnumber: 0", "dir/x.yaml:2:9: number: 0 is out of range; allowed is 1 to 65535\n"},
                {"node: e1\nnumber: 65536", "number: 65536 is out of range; allowed is 1 to 65535\n"},
                {"node: e1\nnumber: many", "dir/x.yaml:2:9: number: \"many\" is not a whole number\n"},
                {"node: e1\nnumber: [1]", "dir/x.yaml:2:9: number: takes one value, not a list\n"},
                {"node: e1\nnumber: {a: 1}", "number: takes one value, not a map\n"},
                {"node: e1\nnumber:", "number: has no value; write one, or take the key out\n"},
                {"node: e1\ninner: {wait: 10}",
                 "inner.wait: \"10\" is not a duration; write 500ms, 10s, 5m, 12h or 7d"},
                {"node: e1\ninner: {wait: 2m}", "inner.wait: 2m is out of range; allowed is 1s to 1m\n"},
                {"node: e1\ninner: {name: abcdef}", "inner.name: has 6 characters; allowed are 0 to 5\n"},
                {"node: e1\ninner: {on: maybe}", "inner.on: \"maybe\" is neither true nor false\n"},
                {"node: e1\ninner: 5", "dir/x.yaml:2:8: inner: takes keys and values, like {wait: …}\n"},
                {"node: e1\ninner: {on: true}", "dir/x.yaml:2:8: inner.name: must be there with on: true\n"},
                {"node: e1\ninner: {wait: 13s}", "dir/x.yaml:2:9: inner.wait: 13s brings bad luck\n"},
                {"node: e1\nbytes: 3KB", "bytes: \"3KB\" is not a size; write 512, 64KiB, 10MiB or 1GiB\n"},
                {"node: e1\nbytes: 2GiB", "bytes: 2GiB is out of range; allowed is 0 to 1GiB\n"},
                {"node: e1\ncolour: blue", "colour: \"blue\" is not possible here; choose one of red, green\n"},
                {"node: e1\naddr: example.com", "addr: \"example.com\" is not an address; write 192.0.2.1 or"},
                {"node: e1\nkey_file: ''", "key_file: is not the name of a file\n"},
                {"node: e1\ndomain: a..b",
                 "domain: \"a..b\" is not a domain or host name; write it like example.com\n"},
                {"node: e1\ndomain: sip:a", "domain: \"sip:a\" is not a domain"},
                {"node: e1\nlisten: [udp 1.2.3.4, 5.6.7.8]",
                 "dir/x.yaml:2:23: listen[2]: \"5.6.7.8\" does not begin with "
                 "a transport; write udp, tcp or tls and an address, like udp "
                 "192.0.2.1:5060 (before it may stand: core, ua)\n"},
                {"node: e1\nlisten: udp host:5060", "listen: \"host:5060\" is not an address; write"},
                {"node: e1\nlisten: {a: b}", "listen: takes a list, like [one, two]\n"},
                {"node: e1\nlisten: [udp 1.1.1.1, udp 1.1.1.2, udp 1.1.1.3, udp 1.1.1.4, udp 1.1.1.5]",
                 "listen: has 5 entries; allowed are 0 to 4\n"},
                {"node: e1\nmembers: [a]", "members: takes names and values, like {name: value}\n"},
                {"node: e1\nmembers: {e1: 1.2.3.4,\n  e1: 1.2.3.5}", "dir/x.yaml:3:3: members.e1: is there twice"},
                {"node: e1\nmembers: {e1: x}", "dir/x.yaml:2:15: members.e1: \"x\" is not an address"},
                {"node: e1\ntrust: {example.com: [1.2.3.4/33]}",
                 "trust.example.com[1]: \"1.2.3.4/33\" is not an address "
                 "range; write 192.0.2.0/24"},
                {"node: e1\ntrust: {a..b: 1.2.3.4}", "trust.a..b: \"a..b\" is not a domain"},
                {"node: e1\ninners: [{wait: 2s}, {wait: 2h}]", "inners[2].wait: 2h is out of range"},
                {"node: e1\n- x", "dir/x.yaml:2:1: not valid YAML: did not find expected key"},
                {"node: e1\nlisten: [udp 1.2.3.4\nnumber: 3", "not valid YAML: did not find expected ',' or ']'"},
                {"node: e1\n\tnumber: 3", "found a tab character that violates indentation"},
                {"node: \xff", "(the file must be UTF-8 text)"},
                {"node: &a e1\ndomain: *a", "dir/x.yaml:2:9: aliases (*name) are not supported; write the value out\n"},
                {"node: e1\n---\nnode: e2", "dir/x.yaml:2:1: a second document begins here"},
                {"? [a]\n: b", "dir/x.yaml:1:3: a key must be a plain word\n"},
                {"- a", "dir/x.yaml:1:1: takes keys and values, like {node: …}\n"},
                {"[[[[[[[[[[[[[[[[[[[[[[[[[[[", "too deep"},
        };
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct bl_sb err = {said, 0, sizeof(said) - 1, false};
                struct bl_conf *c = NULL;
                int rc = bl_conf_load("dir/x.yaml", bl_str_z(t[i].text), &table, &err, &c);
                said[err.n] = '\0';
                if (rc >= 0 || !strstr(said, t[i].says))
                        fail_msg("%s\n  gives %d \"%s\"\n  want \"%s\"", t[i].text, rc, said, t[i].says);
                assert_null(c);
        }
}

static unsigned lines(const char *s)
{
        unsigned n = 0;
        for (; *s; s++)
                n += *s == '\n';
        return n;
}

static void test_all_errors_are_told_up_to_a_number(void **state)
{
        (void)state;
        load("node: e1\nnumber: x\ncolour: x\nbytes: x\n", BL_EINVAL);
        assert_int_equal(lines(said), 3);
        char text[4096];
        struct bl_sb b = BL_SB(text);
        for (int i = 0; i < 100; i++)
                bl_sb_fmt(&b, "zz%d: 1\n", i);
        bl_sb_addc(&b, '\0');
        load(text, BL_EINVAL);
        assert_int_equal(lines(said), 21);
        assert_non_null(strstr(said, "more errors follow; mend these first"));
}

static void test_no_memory(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                struct bl_sb err = {said, 0, sizeof(said) - 1, false};
                struct bl_conf *c = NULL;
                int rc = bl_conf_load("x", BL_STR("{node: e1, inner: {wait: 2s}, listen: [udp 1.2.3.4]}"), &table, &err,
                                      &c);
                oom_stop();
                if (oom_struck())
                        assert_int_equal(rc, BL_ENOMEM);
                else
                        assert_int_equal(rc, 0);
                bl_conf_unref(c);
        }
}

/* ---- diff ---- */

static void note(void *arg, struct bl_str path, const struct bl_conf_option *o)
{
        struct bl_sb *b = arg;
        bl_sb_add(b, path);
        bl_sb_addz(b, o->live ? "+ " : "- ");
}

static void test_diff_names_what_changed(void **state)
{
        (void)state;
        static const struct {
                const char *to, *paths;
        } t[] = {
                {"node: e1", "listen- members- trust- inner- "},
                {"{node: e1, number: 3, listen: udp 1.1.1.1, members: {a: 1.2.3.4}, trust: {b: 1.0.0.0/8}, inner: {}}",
                 "number+ "},
                {"{node: e1, listen: udp 1.1.1.1, members: {a: 1.2.3.4}, trust: {b: 1.0.0.0/8}, inner: {wait: 3s}}",
                 "inner.wait+ "},
                {"{node: e1, listen: udp 1.1.1.1:5060, members: {a: 1.2.3.4:5060}, trust: {b: [1.0.0.0/8]}, inner: {}}",
                 ""},
                {"{node: e1, listen: tcp 1.1.1.1, members: {b: 1.2.3.4}, trust: {b: 1.0.0.0/9}, inner: {}}",
                 "listen- members- trust- "},
        };
        struct bl_conf *a = load("{node: e1, listen: udp 1.1.1.1, members: {a: 1.2.3.4}, trust: {b: 1.0.0.0/8}, "
                                 "inner: {}}",
                                 0);
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                char text[512];
                struct bl_sb out = BL_SB(text);
                struct bl_conf *b = load(t[i].to, 0);
                bl_conf_diff(&table, bl_conf_root(a), bl_conf_root(b), note, &out);
                assert_str(bl_sb_str(&out), t[i].paths);
                bl_conf_unref(b);
        }
        bl_conf_unref(a);
}

/* ---- manual ---- */

static void test_the_manual_has_every_option(void **state)
{
        (void)state;
        struct bl_sb b = {said, 0, sizeof(said) - 1, false};
        bl_conf_manual(&table, &b);
        assert_false(b.over);
        said[b.n] = '\0';
        for (size_t i = 0; i < BL_ARRAY_LEN(options); i++) {
                char head[64];
                snprintf(head, sizeof(head), "\n### `%s`\n", options[i].name);
                assert_non_null(strstr(said, head));
        }
        assert_non_null(strstr(said, "\n## `inner`\n"));
        assert_non_null(
                strstr(said, "\n### `inner.wait`\n\n*duration, `1s` to `1m`; default `10s`; a reload applies it*\n"));
        assert_non_null(strstr(said, "*text; required; needs a restart*\n\nThis node's name in x.nodes. More.\n"));
        assert_non_null(strstr(said, "*one of `red`, `green`; default `green`;"));
        assert_non_null(strstr(said, "*size, `0` to `1GiB`; default `64KiB`;"));
        assert_non_null(strstr(said, "*map, each value: list of: address range;"));
        assert_non_null(strstr(said, "*list of: transport and address, before them optionally `core`, `ua`, `0` to `4` "
                                     "entries;"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_type),
                cmocka_unit_test(test_defaults_and_absence),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_all_errors_are_told_up_to_a_number),
                cmocka_unit_test(test_no_memory),
                cmocka_unit_test(test_diff_names_what_changed),
                cmocka_unit_test(test_the_manual_has_every_option),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
