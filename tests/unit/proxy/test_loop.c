/* Loop detection (RFC 5393 section 4): a loop comes back unchanged, a spiral changed. */
#include "unit/proxy/rig.h"

static struct rig *checking(void)
{
        struct rig *r = rig_new();
        r->conf.loop_check = true;
        rig_start(r, BL_UDP);
        return r;
}

/* What bob got, sent back by alice as it is but for its start line and what `change` says. */
static void send_back(struct rig *r, const char *from, const char *to)
{
        const struct got *g = nth(r, BOB, "MESSAGE", 0);
        assert_non_null(g);
        char text[4000];
        const char *at = from ? strstr(g->text, from) : NULL;
        assert_true(!from || at);
        if (at)
                snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - g->text), g->text, to, at + strlen(from));
        else
                snprintf(text, sizeof(text), "%s", g->text);
        say(r, ALICE, text);
}

static void a_loop_is_482(void **state)
{
        (void)state;
        struct rig *r = checking();
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        /* the next hop has put its own Via on top */
        const struct got *g = got(r, BOB, "MESSAGE");
        char via[200];
        snprintf(via, sizeof(via), "\r\nVia: SIP/2.0/UDP other.test;branch=z9hG4bKother\r\nVia: ");
        assert_true(contains(g, "\r\nVia: "));
        send_back(r, "\r\nVia: ", via);
        got(r, ALICE, "SIP/2.0 482 ");
        assert_int_equal(r->requests, 1);
        assert_int_equal(sim_counter(r->node, "belay_rig_refused_total", "loop"), 1);
        rig_end(r);
}

static void a_spiral_is_none(void **state)
{
        static const struct {
                const char *what, *from, *to;
        } rows[] = {
                {"other Request-URI", "MESSAGE sip:bob@bob.test", "MESSAGE sip:bob2@bob.test"},
                {"a Route more", "Max-Forwards: 69", "Max-Forwards: 69\r\nRoute: <sip:bob.test;lr>"},
                {"credentials", "Max-Forwards: 69", "Max-Forwards: 69\r\nProxy-Authorization: Digest realm=\"x\""},
                {"other requirements", "Max-Forwards: 69", "Max-Forwards: 69\r\nProxy-Require: path"},
                {"another transaction", "CSeq: 1 ", "CSeq: 2 "},
                {"another call", "Call-ID: call-1", "Call-ID: call-2"},
                {"another caller", "tag=a1", "tag=a2"},
                {"another node's Via", "SIP/2.0/UDP proxy.test", "SIP/2.0/UDP elsewhere.test"},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct rig *r = checking();
                SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
                send_back(r, rows[i].from, rows[i].to);
                if (r->requests != 2)
                        fail_msg("%s: taken for a loop", rows[i].what);
                got_none(r, ALICE, "SIP/2.0 482 ");
                rig_end(r);
        }
}

static void edges_do_not_look(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        send_back(r, "\r\nVia: ", "\r\nVia: SIP/2.0/UDP other.test;branch=z9hG4bKother\r\nVia: ");
        assert_int_equal(r->requests, 2);
        rig_end(r);
}

/* Two nodes that share a sent-by see each other's loops; two nodes of other names do not. */
static void who_shares_a_loop(void **state)
{
        (void)state;
        struct env a = {.hash_seed = 1}, b = {.hash_seed = 2};
        struct bl_proxy_conf named = {.sent_by_host = BL_STR("home.test"), .node = BL_STR("h1")}, other = named;
        other.node = BL_STR("h2");
        assert_int_equal(proxy_loop_seed(&a, &named), proxy_loop_seed(&b, &other));
        other.sent_by_host = BL_STR("home2.test");
        assert_int_not_equal(proxy_loop_seed(&a, &named), proxy_loop_seed(&a, &other));
        named.sent_by_host = other.sent_by_host = (struct bl_str){NULL, 0};
        assert_int_not_equal(proxy_loop_seed(&a, &named), proxy_loop_seed(&a, &other));
        assert_int_not_equal(proxy_loop_seed(&a, &named), proxy_loop_seed(&b, &named));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_loop_is_482),
                cmocka_unit_test(a_spiral_is_none),
                cmocka_unit_test(edges_do_not_look),
                cmocka_unit_test(who_shares_a_loop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
