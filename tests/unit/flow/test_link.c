/* RFC 5922: what a certificate proves, and what becomes of a secure flow whose certificate does not do. */
#include <stdio.h>
#include <stdlib.h>

#include "flow/flow.h"
#include "unit/fake_env.h"
#include "unit/oom.h"
#include "unit/unit.h"

enum { CORE, UAS }; /* listeners */

struct node {
        struct fake *f;
        struct bl_flows *fs;
        struct bl_listener_info listeners[2];
        struct bl_trust trust;
        unsigned ups, downs, told_up, told_down;
        int why;
        struct bl_watch watch;
        char line[2048]; /* the last that was logged */
        unsigned lines;
};

static void on_message(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        (void)ctx, (void)f, (void)m;
}
static void on_up(void *ctx, struct bl_flow *f)
{
        struct node *n = ctx;
        assert_int_equal(f->state, BL_FLOW_UP);
        n->ups++;
}
static void on_down(void *ctx, struct bl_flow *f, int why)
{
        struct node *n = ctx;
        assert_false(bl_flow_is_linked(f) && !f->up_at);
        n->downs++;
        n->why = why;
}
static void watch_up(struct bl_watch *w, struct bl_flow *f)
{
        (void)f;
        BL_CONTAINER(w, struct node, watch)->told_up++;
}
static void watch_down(struct bl_watch *w, bl_flow_id id, int why)
{
        (void)id, (void)why;
        BL_CONTAINER(w, struct node, watch)->told_down++;
}
static void on_line(struct bl_log *log, enum bl_level level, struct bl_str line)
{
        struct node *n = log->sink_arg;
        assert_true(level == BL_LOG_WARN);
        n->lines++;
        snprintf(n->line, sizeof(n->line), "%.*s", BL_STR_ARG(line));
}

static struct node *node(void)
{
        static const struct bl_flows_user user = {.message = on_message, .up = on_up, .down = on_down};
        struct node *n = calloc(1, sizeof(*n));
        n->listeners[UAS].ua_side = true;
        n->trust = (struct bl_trust){.domain = BL_STR("trusted.example"), .why = BL_LINK_TRUST};
        assert_int_equal(bl_net_parse(BL_STR("10.0.0.0/8"), &n->trust.net), 0);
        n->f = fake_new(1);
        n->f->log = (struct bl_log){.level = BL_LOG_WARN, .sink = on_line, .sink_arg = n, .wall = 1};
        n->fs = bl_flows_new(
                fake_env(n->f, 0),
                &(struct bl_flows_conf){.listeners = n->listeners, .n_listeners = 2, .trust = &n->trust, .n_trust = 1},
                &user, n);
        assert_non_null(n->fs);
        return n;
}
static void node_free(struct node *n)
{
        bl_flows_free(n->fs);
        fake_free(n->f);
        free(n);
}

/* ---- certificates, as text: "sip:a.example b.example cn=c.example" ---- */

struct shown {
        struct bl_str uri[100], dns[100];
        struct bl_peer peer;
};

static const struct bl_peer *shown(struct shown *s, const char *text)
{
        struct bl_str word, rest = bl_str_z(text);
        memset(s, 0, sizeof(*s));
        s->peer = (struct bl_peer){.uri_san = s->uri, .dns_san = s->dns, .tp = BL_TLS, .listener = CORE};
        bl_addr_parse_port(BL_STR("10.0.0.1:4000"), 0, &s->peer.remote);
        while (rest.n) {
                bl_str_cut(rest, ' ', &word, &rest);
                if (bl_str_starts(word, BL_STR("cn=")))
                        s->peer.cn = bl_str_from(word, 3);
                else if (bl_str_find(word, ':') >= 0)
                        s->uri[s->peer.n_uri++] = word;
                else
                        s->dns[s->peer.n_dns++] = word;
        }
        return &s->peer;
}

static bl_flow_id open_to(struct node *n, const char *name)
{
        struct bl_target to = {.tp = BL_TLS, .sni = bl_str_z(name), .listener = CORE};
        struct bl_flow *f;
        bl_addr_parse_port(BL_STR("10.0.0.2:5061"), 0, &to.to);
        assert_int_equal(bl_flow_open(n->fs, &to, &f), 0);
        n->watch = (struct bl_watch){.up = watch_up, .down = watch_down};
        assert_int_equal(bl_flow_watch(n->fs, f->id, &n->watch), 0);
        return f->id;
}

static bool logged(const struct node *n, const char *part)
{
        return strstr(n->line, part) != NULL;
}

static uint64_t refusals(struct node *n, const char *reason)
{
        return bl_stats_get(fake_env(n->f, 0)->stats, "belay_flow_tls_refused_total", reason);
}

/* ---- what a certificate proves (7.1, 7.2) ---- */

static const struct {
        const char *shown, *domain;
        bool proven;
} identities[] = {
        {"sip:a.example", "a.example", true},
        {"sip:A.Example", "a.eXample", true},
        {"sip:a.example", "a.example.", true},
        {"sip:a.example:5061;lr", "a.example", true},
        {"sip:x.example sip:a.example", "a.example", true},
        {"sips:a.example", "a.example", false},    /* only sip */
        {"sip:joe@a.example", "a.example", false}, /* a user's */
        {"https://a.example", "a.example", false},
        {"sip:a.example", "sub.a.example", false},
        {"sip:sub.a.example", "a.example", false},
        {"sip:*.example", "a.example", false},
        {"sip:192.0.2.1", "192.0.2.1", true},
        {"sip:[2001:DB8::1]", "[2001:db8:0::1]", true},
        {"sip:192.0.2.1", "192.0.2.2", false},
        /* DNS names only without any SIP URI */
        {"a.example", "a.example", true},
        {"A.EXAMPLE.", "a.example", true},
        {"x.example a.example", "a.example", true},
        {"sip:x.example a.example", "a.example", false},
        {"sip:*.example a.example", "a.example", false},
        {"sip:joe@x.example a.example", "a.example", true},
        {"https://x.example a.example", "a.example", true},
        {"*.example", "a.example", false},
        {"*", "a.example", false},
        {"a.*", "a.example", false},
        {"192.0.2.1", "192.0.2.1", false}, /* an address is not a DNS name */
        {"joe@a.example", "a.example", false},
        {"a.example;maddr=10.0.0.9", "a.example", false},
        /* the CN only without any SAN */
        {"cn=a.example", "a.example", true},
        {"cn=A.example", "a.example", true},
        {"cn=*.example", "a.example", false},
        {"x.example cn=a.example", "a.example", false},
        {"https://x.example cn=a.example", "a.example", false},
        {"sip:x.example cn=a.example", "a.example", false},
        {"", "a.example", false},
};

static void what_a_certificate_proves(void **state)
{
        (void)state;
        struct shown *s = malloc(sizeof(*s));
        for (unsigned i = 0; i < BL_ARRAY_LEN(identities); i++) {
                struct node *n = node();
                bl_flow_id id = open_to(n, identities[i].domain);
                fake_up_peer(n->f, id, shown(s, identities[i].shown));
                struct bl_flow *f = bl_flow_get(n->fs, id);
                if (!!f != identities[i].proven)
                        fail_msg("\"%s\" for %s", identities[i].shown, identities[i].domain);
                assert_int_equal(n->ups, identities[i].proven);
                assert_int_equal(n->told_up, identities[i].proven);
                assert_int_equal(n->told_down, !identities[i].proven);
                if (f) {
                        assert_true(bl_flow_linked(f, bl_str_z(identities[i].domain)));
                        assert_true(bl_flow_proven(f));
                } else {
                        assert_int_equal(n->why, BL_EAUTH);
                        assert_int_equal(n->downs, 1);
                        assert_int_equal(n->lines, 1);
                }
                node_free(n);
        }
        free(s);
}

/* The same names link an accepted flow: there is no list of what is wanted. */
static void an_accepted_flow_is_linked_to_what_it_proves(void **state)
{
        (void)state;
        struct shown *s = malloc(sizeof(*s));
        for (unsigned i = 0; i < BL_ARRAY_LEN(identities); i++) {
                struct node *n = node();
                bl_flow_id id = fake_accept_peer(n->f, 0, shown(s, identities[i].shown));
                struct bl_flow *f = bl_flow_get(n->fs, id);
                assert_non_null(f);
                assert_int_equal(bl_flow_linked(f, bl_str_z(identities[i].domain)), identities[i].proven);
                assert_int_equal(n->lines, 0);
                node_free(n);
        }
        free(s);
}

/* The name that the flow was opened for counts also where the certificate has more names than a flow has links. */
static void what_was_wanted_is_linked_first(void **state)
{
        (void)state;
        struct node *n = node();
        struct shown *s = malloc(sizeof(*s));
        char text[2000] = "";
        for (unsigned i = 0; i < 90; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "n%u.example ", i);
        bl_flow_id id = open_to(n, "n80.example");
        fake_up_peer(n->f, id, shown(s, text));
        struct bl_flow *f = bl_flow_get(n->fs, id);
        assert_non_null(f);
        assert_true(bl_flow_linked(f, BL_STR("n80.example")));
        assert_true(bl_flow_linked(f, BL_STR("n0.example")));
        assert_false(bl_flow_linked(f, BL_STR("n89.example")));
        node_free(n);
        free(s);
}

/* ---- what is refused, and how it is said ---- */

static void refusals_say_what_was_wanted_and_offered(void **state)
{
        (void)state;
        static const struct {
                const char *shown;
                int chain;
                const char *chain_text, *reason, *label, *offered;
        } cases[] = {
                {"sip:bad.example bad.example cn=bad", 0, "", "reason=wrong_name", "wrong_name",
                 "offered=\"sip:bad.example bad.example bad\""},
                {"*.example", 0, "", "reason=wildcard", "wildcard", "offered=*.example"},
                {"sip:*.example", 0, "", "reason=wildcard", "wildcard", "offered=sip:*.example"},
                {"cn=*.example", 0, "", "reason=wildcard", "wildcard", "offered=*.example"},
                {"*.other.example", 0, "", "reason=wrong_name", "wrong_name", "offered=*.other.example"},
                {"sip:good.example", BL_EPROTO, "expired", "reason=expired", "certificate", "offered=sip:good.example"},
                {"sip:good.example", BL_EPROTO, "self-signed", "reason=self-signed", "certificate",
                 "offered=sip:good.example"},
                {"sip:good.example", BL_EPROTO, "", "reason=certificate", "certificate", "offered=sip:good.example"},
                {"", BL_ENOENT, "", "reason=no_certificate", "no_certificate", "offered=\"\""},
        };
        struct shown *s = malloc(sizeof(*s));
        for (unsigned i = 0; i < BL_ARRAY_LEN(cases); i++) {
                struct node *n = node();
                bl_flow_id id = open_to(n, "good.example");
                shown(s, cases[i].shown);
                s->peer.chain = cases[i].chain;
                s->peer.chain_text = bl_str_z(cases[i].chain_text);
                fake_up_peer(n->f, id, &s->peer);
                assert_null(bl_flow_get(n->fs, id));
                assert_int_equal(n->ups, 0);
                assert_int_equal(n->why, BL_EAUTH);
                assert_int_equal(refusals(n, cases[i].label), 1);
                assert_int_equal(refusals(n, NULL), 1);
                if (!logged(n, "event=tls_refused") || !logged(n, "wanted=good.example") ||
                    !logged(n, cases[i].offered) || !logged(n, cases[i].reason) || !logged(n, "opened_by=us") ||
                    !logged(n, "remote=10.0.0.2:5061"))
                        fail_msg("%s", n->line);
                node_free(n);
        }
        free(s);
}

static void the_log_is_not_flooded(void **state)
{
        (void)state;
        struct node *n = node();
        struct shown *s = malloc(sizeof(*s));
        for (unsigned i = 0; i < 50; i++)
                fake_up_peer(n->f, open_to(n, "good.example"), shown(s, "bad.example"));
        assert_int_equal(refusals(n, "wrong_name"), 50);
        assert_in_range(n->lines, 1, 5);
        node_free(n);
        free(s);
}

/* A bad certificate on the core side is no proxy; where UAs come it is a UA like any other. None at all is a UA. */
static void accepted_flows_with_a_bad_certificate(void **state)
{
        (void)state;
        static const struct {
                uint16_t listener;
                int chain;
                bool alive, said;
        } cases[] = {
                {CORE, BL_EPROTO, false, true}, {UAS, BL_EPROTO, true, true}, {CORE, BL_ENOENT, true, false},
                {UAS, BL_ENOENT, true, false},  {UAS, 0, true, false},        {CORE, 0, true, false},
        };
        struct shown *s = malloc(sizeof(*s));
        for (unsigned i = 0; i < BL_ARRAY_LEN(cases); i++) {
                struct node *n = node();
                shown(s, cases[i].chain == BL_ENOENT ? "" : "sip:good.example");
                s->peer.listener = cases[i].listener;
                s->peer.chain = cases[i].chain;
                s->peer.chain_text = BL_STR("the issuer is unknown");
                bl_flow_id id = fake_accept_peer(n->f, 0, &s->peer);
                struct bl_flow *f = bl_flow_get(n->fs, id);
                assert_int_equal(f != NULL, cases[i].alive);
                assert_int_equal(n->ups, cases[i].alive);
                if (f)
                        assert_int_equal(bl_flow_is_linked(f), cases[i].chain == 0);
                assert_int_equal(n->lines, cases[i].said);
                assert_int_equal(refusals(n, "certificate"), cases[i].said);
                if (cases[i].said)
                        assert_true(logged(n, "opened_by=peer") && logged(n, "offered=sip:good.example") &&
                                    logged(n, "reason=\"the issuer is unknown\""));
                node_free(n);
        }
        free(s);
}

/* Neither an address in `trust` nor our own open says who is at the other end of a TLS flow. */
static void addresses_link_no_tls_flow(void **state)
{
        (void)state;
        struct node *n = node();
        struct shown *s = malloc(sizeof(*s));
        struct bl_flow *plain = bl_flow_get(n->fs, fake_accept(n->f, 0, BL_TCP, "10.0.0.1:4000"));
        assert_true(bl_flow_linked(plain, BL_STR("trusted.example")));
        assert_false(bl_flow_proven(plain));
        shown(s, "");
        s->peer.chain = BL_ENOENT;
        s->peer.listener = UAS;
        struct bl_flow *f = bl_flow_get(n->fs, fake_accept_peer(n->f, 0, &s->peer));
        assert_false(bl_flow_is_linked(f));
        assert_false(bl_flow_proven(f));
        bl_flow_id id = open_to(n, "good.example");
        fake_up_peer(n->f, id, shown(s, "good.example"));
        assert_false(bl_flow_linked(bl_flow_get(n->fs, id), BL_STR("trusted.example")));
        node_free(n);
        free(s);
}

static struct bl_trust range(const char *net, const char *domain)
{
        struct bl_trust t = {.domain = bl_str_z(domain), .why = BL_LINK_TRUST};
        assert_int_equal(bl_net_parse(bl_str_z(net), &t.net), 0);
        return t;
}

/* Who is taken for another, for more or for less than before is closed; the rest goes on. */
static void another_trust(void **state)
{
        (void)state;
        struct node *n = node();
        struct shown *s = malloc(sizeof(*s));
        bl_flow_id stays = fake_accept(n->f, 0, BL_TCP, "10.1.0.1:4000"),
                   loses = fake_accept(n->f, 0, BL_UDP, "10.2.0.1:4000"),
                   gains = fake_accept(n->f, 0, BL_TCP, "192.0.2.1:4000"),
                   stranger = fake_accept(n->f, 0, BL_UDP, "192.0.2.2:4000");
        bl_flow_id secure = fake_accept_peer(n->f, 0, shown(s, "good.example"));
        struct bl_trust same[] = {range("10.0.0.0/8", "trusted.example")},
                        other[] = {range("10.1.0.0/16", "Trusted.Example"), range("192.0.2.1", "new.example")};
        bl_flows_set_trust(n->fs, same, 1);
        fake_settle(n->f);
        assert_int_equal(n->downs, 0);
        bl_flows_set_trust(n->fs, other, 2);
        fake_settle(n->f);
        assert_int_equal(n->downs, 2);
        assert_null(bl_flow_get(n->fs, loses));
        assert_null(bl_flow_get(n->fs, gains));
        assert_true(bl_flow_linked(bl_flow_get(n->fs, stays), BL_STR("trusted.example")));
        assert_non_null(bl_flow_get(n->fs, stranger));
        assert_non_null(bl_flow_get(n->fs, secure));
        gains = fake_accept(n->f, 0, BL_TCP, "192.0.2.1:4001");
        assert_true(bl_flow_linked(bl_flow_get(n->fs, gains), BL_STR("new.example")));
        loses = fake_accept(n->f, 0, BL_UDP, "10.2.0.1:4000");
        assert_false(bl_flow_is_linked(bl_flow_get(n->fs, loses)));
        bl_flows_set_trust(n->fs, NULL, 0);
        fake_settle(n->f);
        assert_int_equal(n->downs, 4);
        node_free(n);
        free(s);
}

static void nobody_is_asked_for_without_a_name(void **state)
{
        (void)state;
        struct node *n = node();
        struct bl_flow *f;
        struct bl_target to = {.tp = BL_TLS, .listener = CORE};
        bl_addr_parse_port(BL_STR("10.0.0.2:5061"), 0, &to.to);
        assert_int_equal(bl_flow_open(n->fs, &to, &f), BL_EINVAL);
        assert_int_equal(bl_flows_count(n->fs), 0);
        node_free(n);
}

static void without_memory(void **state)
{
        (void)state;
        struct shown *s = malloc(sizeof(*s));
        for (long k = 0; k < 4; k++) {
                struct node *n = node();
                struct bl_flow *f;
                struct bl_target to = {.tp = BL_TLS, .sni = BL_STR("good.example"), .listener = CORE};
                bl_addr_parse_port(BL_STR("10.0.0.2:5061"), 0, &to.to);
                oom_fail_at(k);
                int rc = bl_flow_open(n->fs, &to, &f);
                if (rc == 0)
                        fake_up_peer(n->f, f->id, shown(s, "good.example"));
                oom_stop();
                assert_true(rc == 0 || rc == BL_ENOMEM);
                node_free(n);
        }
        free(s);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_certificate_proves),
        cmocka_unit_test(an_accepted_flow_is_linked_to_what_it_proves),
        cmocka_unit_test(what_was_wanted_is_linked_first),
        cmocka_unit_test(refusals_say_what_was_wanted_and_offered),
        cmocka_unit_test(the_log_is_not_flooded),
        cmocka_unit_test(accepted_flows_with_a_bad_certificate),
        cmocka_unit_test(addresses_link_no_tls_flow),
        cmocka_unit_test(another_trust),
        cmocka_unit_test(nobody_is_asked_for_without_a_name),
        cmocka_unit_test(without_memory),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
