/* What a TLS handshake of the virtual world tells either end. */
#include "unit/sim/peer.h"

#include <errno.h>

struct seen { /* the last `up` */
        unsigned ups;
        int chain;
        bool resumed;
        char names[256], asked[64], why[64];
};
static struct seen seen[2]; /* client, server */
static struct peer *client;

static void up(struct env *e, bl_flow_id f, const struct bl_peer *p, void *user)
{
        struct seen *s = &seen[peer_of(e) == client ? 0 : 1];
        struct bl_sb b = BL_SB(s->names);
        peer_up(e, f, p, user);
        *s = (struct seen){.ups = s->ups + 1, .chain = p->chain, .resumed = p->resumed};
        for (unsigned i = 0; i < p->n_uri; i++)
                bl_sb_add(&b, p->uri_san[i]), bl_sb_addc(&b, ' ');
        for (unsigned i = 0; i < p->n_dns; i++)
                bl_sb_add(&b, p->dns_san[i]), bl_sb_addc(&b, ' ');
        bl_sb_add(&b, p->cn);
        snprintf(s->asked, sizeof(s->asked), "%.*s", BL_STR_ARG(p->asked));
        snprintf(s->why, sizeof(s->why), "%.*s", BL_STR_ARG(p->chain_text));
        assert_int_equal(p->tp, BL_TLS);
}

static void boot(struct sim_node *n, void *ctx)
{
        static const struct env_events ev = {
                .up = up, .data = peer_data, .writable = peer_writable, .down = peer_down, .turn = peer_turn};
        peer_boot(n, ctx);
        sim_env(n, 0)->ev = &ev;
}

static struct peer *tls_peer(struct sim *s, const char *name)
{
        static const struct sim_node_ops ops = {.boot = boot, .dead = peer_dead};
        struct peer *p = test_calloc(1, sizeof(*p));
        p->node = sim_node(s, name, 1, &ops, p);
        sim_listen(p->node, BL_TLS, 5061);
        sim_start(p->node);
        return p;
}

static void open_and_wait(struct sim *s, struct peer *a, struct peer *b, const char *name)
{
        struct env *e = sim_env(a->node, 0);
        struct bl_target t = {
                .tp = BL_TLS, .to = sim_addr(b->node, 5061), .sni = bl_str_z(name), .listener = BL_LISTENER_NONE};
        bl_flow_id f = 0;
        client = a;
        sim_enter(e);
        assert_int_equal(e->ops->open(e, &t, a, &f), 0);
        sim_leave(e);
        sim_run_for(s, BL_SEC(2));
}

static void each_sees_what_the_other_shows(void **state)
{
        (void)state;
        struct sim *s = sim_new(5);
        struct peer *a = tls_peer(s, "a"), *b = tls_peer(s, "b");
        memset(seen, 0, sizeof(seen));
        sim_certs(b->node,
                  (const struct sim_cert[]){{.names = "sip:b.com b.com cn=Bee"},
                                            {.names = "sip:other.com"},
                                            {.names = "old.com", .bad = "expired"}},
                  3);
        open_and_wait(s, a, b, "b.com");
        assert_int_equal(seen[0].chain, 0);
        assert_string_equal(seen[0].names, "sip:b.com b.com Bee");
        assert_string_equal(seen[0].asked, "");
        assert_int_equal(seen[1].chain, BL_ENOENT); /* a has none */
        assert_string_equal(seen[1].asked, "b.com");
        open_and_wait(s, a, b, "Other.com");
        assert_string_equal(seen[0].names, "sip:other.com ");
        open_and_wait(s, a, b, "nobody.com");
        assert_string_equal(seen[0].names, "sip:b.com b.com Bee");
        sim_certs(a->node, &(struct sim_cert){.names = "sip:a.com", .bad = "the issuer is unknown"}, 1);
        open_and_wait(s, a, b, "old.com");
        assert_int_equal(seen[0].chain, BL_EPROTO);
        assert_string_equal(seen[0].why, "expired");
        assert_int_equal(seen[1].chain, BL_EPROTO);
        assert_string_equal(seen[1].names, "sip:a.com ");
        assert_string_equal(seen[1].why, "the issuer is unknown");
        open_and_wait(s, a, b, "10.0.0.2"); /* a number is not asked for */
        assert_string_equal(seen[1].asked, "");
        peer_say(a, a->flow, "hello");
        sim_run_for(s, BL_SEC(1));
        assert_string_equal(b->text, "hello");
        assert_int_equal(seen[0].ups, 5);
        sim_free(s);
        test_free(a), test_free(b);
}

static void handshakes_that_fail(void **state)
{
        (void)state;
        struct sim *s = sim_new(5);
        struct peer *a = tls_peer(s, "a"), *b = tls_peer(s, "b");
        memset(seen, 0, sizeof(seen));
        open_and_wait(s, a, b, "b.com"); /* no certificate to show */
        assert_int_equal(a->downs, 1);
        sim_certs(b->node, &(struct sim_cert){.names = "b.com"}, 1);
        peer_open_at(a, BL_TCP, sim_addr(b->node, 5061), a); /* not TLS */
        sim_run_for(s, BL_SEC(2));
        assert_int_equal(a->downs, 2);
        assert_int_equal(seen[0].ups + seen[1].ups, 0);
        sim_free(s);
        test_free(a), test_free(b);
}

/* On every server that has the same key; not after the client starts anew. */
static void tickets(void **state)
{
        (void)state;
        struct sim *s = sim_new(5);
        struct peer *a = tls_peer(s, "a"), *b = tls_peer(s, "b"), *c = tls_peer(s, "c"), *d = tls_peer(s, "d");
        struct peer *all[] = {b, c, d};
        memset(seen, 0, sizeof(seen));
        for (unsigned i = 0; i < 3; i++) {
                sim_certs(all[i]->node, &(struct sim_cert){.names = "edge.com"}, 1);
                sim_ticket_key(all[i]->node, i < 2 ? "cluster" : "other");
        }
        static const bool resumed[] = {false, true, true, false};
        struct peer *order[] = {b, b, c, d};
        for (unsigned i = 0; i < 4; i++) {
                open_and_wait(s, a, order[i], "edge.com");
                assert_int_equal(seen[0].resumed, resumed[i]);
                assert_int_equal(seen[1].resumed, resumed[i]);
                assert_string_equal(seen[0].names, "edge.com "); /* verified again all the same */
        }
        open_and_wait(s, a, b, "x.com");
        assert_false(seen[0].resumed);
        sim_restart(a->node);
        open_and_wait(s, a, b, "edge.com");
        assert_false(seen[0].resumed);
        sim_free(s);
        test_free(a), test_free(b), test_free(c), test_free(d);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_sees_what_the_other_shows),
                cmocka_unit_test(handshakes_that_fail),
                cmocka_unit_test(tickets),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
