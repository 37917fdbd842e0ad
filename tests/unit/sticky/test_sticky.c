/* The sentences of protocol.md 3.1 to 3.3 that are this table's, one test each. */
#include "unit/sticky/helpers.h"

#include <stdlib.h>

#include "base/hash.h"
#include "unit/oom.h"

/* --- 3.1 --- */

static void exact_before_equivalent_before_domain(void **state)
{
        struct bl_sticky *t = *state;

        add(t, 1, 1, true);
        add(t, 2, 2, true);
        add(t, 3, 3, true);
        bind(t, "sip:P@edge.example;lr;d=1", 1, BL_BIND_DIALOG, NOW, false);
        bind(t, "sip:P@edge.example;lr", 2, BL_BIND_PATH, NOW + 5, true);
        bind(t, "sip:edge.example", 3, BL_BIND_CERT, NOW + 9, true);
        check(t, "sip:P@edge.example;lr;d=1", NOW, 3, "1/1 2/2 3/3");
        check(t, "sip:P@edge.example;lr;d=1", NOW, 2, "1/1 2/2");
        check(t, "sip:P@edge.example;lr;d=1", NOW, 1, "1/1");
        check(t, "sip:P@edge.example;lr;d=2", NOW, 3, "2/2 3/3");
        check(t, "sip:P@edge.example;lr", NOW, 3, "2/1 1/2 3/3");
        check(t, "sip:Q@edge.example;lr", NOW, 3, "3/3");
        check(t, "sip:P@other.example;lr", NOW, 3, "");
        /* a whole call flow of 5: the exact flow dies, the equivalent one serves */
        bl_sticky_flow_down(t, 1, 0);
        check(t, "sip:P@edge.example;lr;d=1", NOW, 3, "2/2 3/3");
}

static void names_in_any_case_lr_on_is_lr_order_does_not_matter(void **state)
{
        struct bl_sticky *t = *state;

        add(t, 1, 1, true);
        bind(t, "sip:P@edge.example;lr;d=aB", 1, BL_BIND_DIALOG, NOW, false);
        check(t, "sip:P@EDGE.example.;D=Ab;LR=on", NOW, 1, "1/1");
        check(t, "sip:%50@edge.example;lr=true;d=ab", NOW, 1, "1/1");
        check(t, "sip:p@edge.example;lr;d=aB", NOW, 2, ""); /* user parts keep their case */
        check(t, "sip:P@edge.example:5060;lr;d=aB", NOW, 2, "");
        check(t, "sip:P@edge.example;lr;d=aB?Subject=x", NOW, 1, "1/1"); /* headers do not count */
}

static void five_parameters_are_never_ignored(void **state)
{
        static const char *const params[] = {";user=phone", ";ttl=1", ";method=INVITE", ";maddr=127.0.1.3",
                                             ";transport=tcp"};
        struct bl_sticky *t = *state;
        char text[128];

        add(t, 1, 1, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, false);
        check(t, "sip:P@edge.example;x=1;lr", NOW, 2, "1/2");
        for (size_t i = 0; i < BL_ARRAY_LEN(params); i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:P@edge.example;lr%s%c", params[i], 0);
                check(t, text, NOW, 2, "");
        }
}

static void confirmed_last_comes_first_then_the_newer_flow(void **state)
{
        struct bl_sticky *t = *state;

        for (bl_flow_id f = 1; f <= 4; f++)
                add(t, f, (uint8_t)f, true);
        bind(t, "sip:P@edge.example;lr", 4, BL_BIND_PATH, NOW, false);
        bind(t, "sip:P@edge.example;lr", 3, BL_BIND_PATH, NOW, true);
        bind(t, "sip:P@edge.example;lr", 2, BL_BIND_PATH, NOW + 1, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, false);
        check(t, "sip:P@edge.example;lr", NOW, 3, "2/1 3/1 4/1 1/1");
        check(t, "sip:P@edge.example;lr;d=1", NOW, 3, "2/2 3/2 4/2 1/2");
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW + 2, true);
        check(t, "sip:P@edge.example;lr", NOW, 3, "1/1 2/1 3/1 4/1");
}

/* "equal ones by rendezvous on Call-ID": each call has its home, all homes have calls, and the loss of one moves only
 * its. */
static void domains_are_spread_by_rendezvous(void **state)
{
        struct bl_sticky *t = *state;
        unsigned first[5] = {0};
        bl_flow_id before[400];

        for (bl_flow_id f = 1; f <= 4; f++) {
                add(t, f, (uint8_t)f, true);
                bind(t, "sip:example.com;lr", f, BL_BIND_DOMAIN, NOW + f, true);
        }
        for (uint64_t call = 0; call < 400; call++) {
                struct found r = find_as(t, "sip:example.com;lr", NOW, 3, bl_hash_mix(call, 1), 0);

                assert_int_equal(r.n, 4);
                before[call] = r.f[0].flow;
                first[r.f[0].flow]++;
                r = find_as(t, "sip:example.com;lr", NOW, 3, bl_hash_mix(call, 1), 0);
                assert_int_equal(r.f[0].flow, before[call]);
                /* rank 3 spreads alike, also for a URI with a user part: what matched is the domain */
                r = find_as(t, "sip:gone@example.com", NOW, 3, bl_hash_mix(call, 1), 0);
                assert_int_equal(r.f[0].flow, before[call]);
        }
        for (unsigned f = 1; f <= 4; f++)
                assert_in_range(first[f], 60, 140);
        bl_sticky_flow_down(t, 2, 0);
        for (uint64_t call = 0; call < 400; call++) {
                struct found r = find_as(t, "sip:example.com;lr", NOW, 3, bl_hash_mix(call, 1), 0);

                assert_true(r.f[0].flow != 2 && (before[call] == 2 || r.f[0].flow == before[call]));
        }
}

static void the_own_workers_flow_first_among_one_far_end(void **state)
{
        struct bl_sticky *t = *state;
        const bl_flow_id w0 = 1, w1 = (bl_flow_id)1 << 56 | 2;

        add(t, w0, 1, true);
        add(t, w1, 1, true);
        add(t, 3, 3, true);
        bind(t, "sip:P@edge.example;lr", w0, BL_BIND_PATH, NOW + 1, true);
        bind(t, "sip:P@edge.example;lr", w1, BL_BIND_PATH, NOW + 3, true);
        bind(t, "sip:P@edge.example;lr", 3, BL_BIND_PATH, NOW + 2, true);
        struct found r = find_as(t, "sip:P@edge.example;lr", NOW, 2, 1, 0);
        assert_true(r.n == 3 && r.f[0].flow == w0 && r.f[1].flow == w1 && r.f[2].flow == 3);
        r = find_as(t, "sip:P@edge.example;lr", NOW, 2, 1, 1);
        assert_true(r.n == 3 && r.f[0].flow == w1 && r.f[1].flow == w0 && r.f[2].flow == 3);
        /* another far end is not jumped for it */
        bind(t, "sip:P@edge.example;lr", 3, BL_BIND_PATH, NOW + 4, true);
        r = find_as(t, "sip:P@edge.example;lr", NOW, 2, 1, 0);
        assert_true(r.f[0].flow == 3 && r.f[1].flow == w0);
}

static void no_more_than_eight_the_best_ones(void **state)
{
        struct bl_sticky *t = *state;

        for (bl_flow_id f = 1; f <= 40; f++) {
                add(t, f, (uint8_t)f, true);
                bind(t, "sip:P@edge.example;lr", f, BL_BIND_PATH, NOW + (f * 7) % 41, true);
        }
        struct found r = find_as(t, "sip:P@edge.example;lr", NOW, 3, 1, 0);
        assert_int_equal(r.n, BL_STICKY_MAX);
        for (unsigned i = 0; i < r.n; i++)
                assert_int_equal(r.f[i].flow * 7 % 41, 40 - i);
}

static void on_tls_flows_both_schemes_bind_alike(void **state)
{
        struct bl_sticky *t = *state;
        struct bl_bind b = want("sip:P@edge.example;lr", 1, BL_BIND_PATH);

        add(t, 1, 1, true);
        add(t, 2, 2, true);
        b.secure = true;
        assert_int_equal(bl_sticky_bind(t, &b, NOW), 0);
        bind(t, "sip:P@edge.example;lr", 2, BL_BIND_PATH, NOW, false);
        check(t, "sips:P@edge.example;lr", NOW, 3, "1/1");
        check(t, "sips:P@edge.example;lr;d=1", NOW, 3, "1/2");
        check(t, "sip:P@edge.example;lr", NOW, 3, "2/1 1/1");
        b.uri = uri("sips:P@edge.example;lr"); /* one binding, not two */
        assert_int_equal(bl_sticky_bind(t, &b, NOW), 0);
        assert_int_equal(stats(t).bindings, 2);
        struct bl_uri u = uri("sips:P@edge.example;lr");
        bl_sticky_unbind(t, &u, 0);
        check(t, "sip:P@edge.example;lr", NOW, 3, "2/1");
}

/* "use such a flow only if its far end is a resolved address (the port compared only if we opened it)" */
static void flows_of_a_domain_at_an_address(void **state)
{
        struct bl_sticky *t = *state;
        struct bl_sticky_found f[BL_STICKY_MAX];
        struct bl_addr at = addr(7, 5060), other = addr(7, 5070);

        add(t, 1, 7, true);  /* we opened it to port 5060 */
        add(t, 2, 7, false); /* they did, from any port */
        add(t, 3, 8, true);
        bind(t, "sip:example.com", 1, BL_BIND_DOMAIN, NOW, true);
        bind(t, "sip:example.com;lr", 1, BL_BIND_DOMAIN, NOW, true);
        bind(t, "sip:example.com", 2, BL_BIND_CERT, NOW, false);
        bind(t, "sip:example.com", 3, BL_BIND_CERT, NOW, false);
        assert_int_equal(bl_sticky_find_at(t, BL_STR("Example.com."), &at, 0, NOW, f), 2);
        assert_true((f[0].flow == 1 || f[1].flow == 1) && f[0].flow + f[1].flow == 3 && f[0].rank == 3);
        assert_int_equal(bl_sticky_find_at(t, BL_STR("example.com"), &other, 0, NOW, f), 1);
        assert_int_equal(f[0].flow, 2);
        other = addr(9, 5060);
        assert_int_equal(bl_sticky_find_at(t, BL_STR("example.com"), &other, 0, NOW, f), 0);
        assert_int_equal(bl_sticky_find_at(t, BL_STR("example.org"), &at, 0, NOW, f), 0);
        /* a flow leaves the domain with the last of its bindings */
        struct bl_uri u = uri("sip:example.com");
        bl_sticky_unbind(t, &u, 1);
        assert_int_equal(bl_sticky_find_at(t, BL_STR("example.com"), &at, 0, NOW, f), 2);
        u = uri("sip:example.com;lr");
        bl_sticky_unbind(t, &u, 1);
        assert_int_equal(bl_sticky_find_at(t, BL_STR("example.com"), &at, 0, NOW, f), 1);
}

/* PATH and DIALOG bindings lead to one user, not to a domain. */
static void only_domains_lead_to_domains(void **state)
{
        struct bl_sticky *t = *state;

        add(t, 1, 1, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        bind(t, "sip:P@edge.example;lr;d=1", 1, BL_BIND_DIALOG, NOW, true);
        check(t, "sip:Q@edge.example;lr", NOW, 3, "");
        check(t, "sip:edge.example", NOW, 3, "");
}

static void is_bound_tells_whose_flow_it_is(void **state)
{
        struct bl_sticky *t = *state;
        struct bl_uri p = uri("sip:P@edge.example;lr"), pd = uri("sip:P@edge.example;lr;d=1");

        add(t, 1, 1, false);
        add(t, 2, 2, false);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        assert_true(bl_sticky_is_bound(t, &p, 1, false));
        assert_false(bl_sticky_is_bound(t, &p, 2, false));
        assert_false(bl_sticky_is_bound(t, &pd, 1, false));
        assert_true(bl_sticky_is_bound(t, &pd, 1, true));
        assert_false(bl_sticky_is_bound(t, &pd, 2, true));
        bl_sticky_flow_down(t, 1, NOW + BL_SEC(10));
        assert_false(bl_sticky_is_bound(t, &p, 1, false));
}

/* --- 3.3 --- */

static void a_path_binding_lives_as_long_as_its_registration(void **state)
{
        struct bl_sticky *t = *state;
        struct bl_bind b = want("sip:P@edge.example;lr", 1, BL_BIND_PATH);

        add(t, 1, 1, true);
        b.expires_at = NOW + BL_SEC(60);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), 0);
        check(t, "sip:P@edge.example;lr", NOW + BL_SEC(60) - 1, 3, "1/1");
        b.expires_at = NOW + BL_SEC(90); /* a refresh */
        assert_int_equal(bl_sticky_bind(t, &b, NOW + BL_SEC(30)), 0);
        assert_int_equal(stats(t).bindings, 1);
        check(t, "sip:P@edge.example;lr", NOW + BL_SEC(60), 3, "1/1");
        b.expires_at = NOW + BL_SEC(50); /* a shorter one counts too */
        assert_int_equal(bl_sticky_bind(t, &b, NOW + BL_SEC(30)), 0);
        check(t, "sip:P@edge.example;lr", NOW + BL_SEC(50), 3, "");
}

static void a_2xx_towards_it_does_not_prolong_it(void **state)
{
        struct bl_sticky *t = *state;
        struct bl_bind b = want("sip:P@edge.example;lr", 1, BL_BIND_PATH);

        add(t, 1, 1, true);
        b.expires_at = NOW + BL_SEC(60);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), 0);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_DOMAIN, NOW + 7, true);
        struct found r = find_as(t, "sip:P@edge.example;lr", NOW + 8, 3, 1, 0);
        assert_true(r.n == 1 && r.f[0].kind == BL_BIND_PATH);
        check(t, "sip:P@edge.example;lr", NOW + BL_SEC(60), 3, "");
}

static void a_dialog_binding_lives_until_idle(void **state)
{
        struct bl_sticky *t = *state;

        add(t, 1, 1, true);
        bind(t, "sip:P@edge.example;lr;d=1", 1, BL_BIND_DIALOG, NOW, false);
        bind(t, "sip:P@edge.example;lr;d=2", 1, BL_BIND_DIALOG, NOW, false);
        bl_us half = BL_SEC(6 * 3600);
        check(t, "sip:P@edge.example;lr;d=1", NOW + half, 1, "1/1"); /* touched */
        check(t, "sip:P@edge.example;lr;d=2", NOW + 2 * half, 1, "");
        check(t, "sip:P@edge.example;lr;d=1", NOW + 3 * half - 1, 1, "1/1");
        check(t, "sip:P@edge.example;lr;d=1", NOW + 5 * half, 1, "");
        assert_int_equal(stats(t).bindings, 0); /* found idle, taken out */
}

static void a_dialogs_end_ends_its_bindings(void **state)
{
        struct bl_sticky *t = *state;
        static const char *const uris[] = {"sip:P@edge.example;lr;d=1", "sip:example.com;lr;d=h1",
                                           "sip:Q@e2.example;lr;d=1"};

        add(t, 1, 1, true);
        for (size_t i = 0; i < BL_ARRAY_LEN(uris); i++) {
                struct bl_bind b = want(uris[i], 1, BL_BIND_DIALOG);

                b.dialog = 77;
                assert_int_equal(bl_sticky_bind(t, &b, NOW), 0);
        }
        struct bl_bind b = want("sip:P@edge.example;lr;d=2", 1, BL_BIND_DIALOG);
        b.dialog = 78;
        assert_int_equal(bl_sticky_bind(t, &b, NOW), 0);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        bl_sticky_end_dialog(t, 77);
        bl_sticky_end_dialog(t, 99);
        bl_sticky_end_dialog(t, 0);
        assert_int_equal(stats(t).bindings, 2);
        for (size_t i = 0; i < BL_ARRAY_LEN(uris); i++)
                check(t, uris[i], NOW, 1, "");
        check(t, "sip:P@edge.example;lr;d=2", NOW, 1, "1/1");
        bl_sticky_end_dialog(t, 78);
        bl_sticky_end_dialog(t, 78);
        assert_int_equal(stats(t).bindings, 1);
}

static void bindings_go_with_the_connection(void **state)
{
        struct bl_sticky *t = *state;
        struct bl_bind b = want("sip:edge.example", 1, BL_BIND_CERT);

        add(t, 1, 1, true);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), 0);
        bl_sticky_flow_down(t, 1, 0);
        check(t, "sip:edge.example", NOW, 3, "");
        assert_int_equal(bl_sticky_bind(t, &b, NOW), BL_EGONE);
        bl_sticky_flow_down(t, 1, 0);
        bl_sticky_expire(t, NOW);
        assert_int_equal(stats(t).bindings, 0);
        assert_int_equal(stats(t).octets, 0);
}

/* "its bindings are kept 10 s while it is re-opened" */
static void kept_bindings_come_back_with_the_successor(void **state)
{
        struct bl_sticky *t = *state;
        struct bl_addr at = addr(1, 5060);
        bl_flow_id old = 0;

        add(t, 1, 1, true);
        bind(t, "sip:edge.example", 1, BL_BIND_DOMAIN, NOW, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        assert_int_equal(bl_sticky_flow_orphan(t, BL_STR("edge.example"), &at, NOW, &old), BL_ENOENT);
        bl_sticky_flow_down(t, 1, NOW + BL_SEC(10));
        check(t, "sip:P@edge.example;lr", NOW, 3, "");
        struct bl_bind b = want("sip:X@edge.example;lr", 1, BL_BIND_PATH);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), BL_EGONE);
        add(t, 2, 1, true);
        assert_int_equal(bl_sticky_flow_orphan(t, BL_STR("EDGE.example"), &at, NOW, &old), 0);
        assert_int_equal(old, 1);
        assert_int_equal(bl_sticky_flow_orphan(t, BL_STR("edge.example"), &at, NOW + BL_SEC(10), &old), BL_ENOENT);
        assert_int_equal(bl_sticky_flow_move(t, 1, 2), 0);
        check(t, "sip:P@edge.example;lr", NOW, 3, "2/1");
}

static void nothing_comes_back_after_its_time(void **state)
{
        struct bl_sticky *t = *state;

        add(t, 1, 1, true);
        add(t, 2, 1, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        bl_sticky_flow_down(t, 1, NOW + BL_SEC(10));
        assert_int_equal(bl_sticky_expire(t, NOW), NOW + BL_SEC(10));
        assert_int_equal(stats(t).bindings, 1);
        bl_sticky_expire(t, NOW + BL_SEC(10));
        assert_int_equal(stats(t).bindings, 0);
        assert_int_equal(bl_sticky_flow_move(t, 1, 2), BL_ENOENT);
        assert_int_equal(bl_sticky_flow_move(t, 2, 9), BL_EGONE);
        assert_int_equal(bl_sticky_flow_move(t, 8, 2), BL_ENOENT);
        assert_int_equal(bl_sticky_flow_move(t, 2, 2), 0);
}

/* A move chain as reconnects make it, and a move off a flow that lives on. */
static void moves_add_up(void **state)
{
        struct bl_sticky *t = *state;

        add(t, 1, 1, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        for (bl_flow_id f = 1; f < 50; f++) {
                bl_sticky_flow_down(t, f, NOW + BL_SEC(10));
                add(t, f + 1, 1, true);
                assert_int_equal(bl_sticky_flow_move(t, f, f + 1), 0);
        }
        check(t, "sip:P@edge.example;lr", NOW, 3, "32/1");
        add(t, 99, 1, true);
        assert_int_equal(bl_sticky_flow_move(t, 50, 99), 0);
        check(t, "sip:P@edge.example;lr", NOW, 3, "63/1");
        bind(t, "sip:Q@edge.example;lr", 50, BL_BIND_PATH, NOW, true); /* 50 is still a flow */
        check(t, "sip:Q@edge.example;lr", NOW, 3, "32/1");
        bl_sticky_flow_down(t, 99, 0);
        check(t, "sip:P@edge.example;lr", NOW, 3, "");
        assert_int_equal(stats(t).flows, 1);
}

/* "the table has a byte budget, evicting idle dialog bindings first" */
static void the_longest_idle_dialogs_are_evicted(void **state)
{
        struct bl_sticky *t = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 1, .budget = 64 * 1024});
        char text[64];
        unsigned i, there = 0;

        (void)state;
        add(t, 1, 1, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        for (i = 0; i < 2000; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:u%u@edge.example;lr;d=1%c", i, 0);
                bind(t, text, 1, BL_BIND_DIALOG, NOW + i, false);
                check(t, "sip:u0@edge.example;lr;d=1", NOW + i, 1, "1/1"); /* in use all the time */
                assert_true(stats(t).octets <= 64 * 1024);
        }
        check(t, "sip:P@edge.example;lr", NOW, 1, "1/1");
        for (i = 1; i < 2000; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:u%u@edge.example;lr;d=1%c", i, 0);
                if (find_as(t, text, NOW + 2000, 1, 1, 0).n == 0)
                        assert_int_equal(there, 0); /* the evicted ones are the oldest */
                else
                        there++;
        }
        assert_true(there > 50);
        assert_int_equal(stats(t).evicted, 1999 - there);
        bl_sticky_free(t);
}

static void a_budget_without_dialogs_is_spent(void **state)
{
        struct bl_sticky *t = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 1, .budget = 8 * 1024});
        char text[64];
        int rc = 0;
        unsigned i;

        (void)state;
        add(t, 1, 1, true);
        for (i = 0; rc == 0 && i < 1000; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:u%u@edge.example;lr%c", i, 0);
                struct bl_bind want_bind = want(text, 1, BL_BIND_PATH);
                rc = bl_sticky_bind(t, &want_bind, NOW);
        }
        assert_int_equal(rc, BL_ENOMEM);
        assert_in_range(i, 20, 100);
        bind(t, "sip:u3@edge.example;lr", 1, BL_BIND_PATH, NOW, true); /* a refresh takes nothing */
        bl_sticky_free(t);
}

/* --- what is refused --- */

static void refuses_what_it_cannot_tell_apart(void **state)
{
        struct bl_sticky *t = *state;
        char text[1200] = "sip:";
        struct bl_bind b;

        add(t, 1, 1, true);
        b = want("tel:+15551234", 1, BL_BIND_PATH);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), BL_EINVAL);
        b = want("sip:P@edge.example;a=1;A=2", 1, BL_BIND_PATH);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), BL_EINVAL);
        b = want("sip:P@h;a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q", 1, BL_BIND_PATH);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), BL_ELIMIT);
        memset(text + 4, 'u', 1000);
        memcpy(text + 1004, "@edge.example", 14);
        b = want(text, 1, BL_BIND_PATH);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), BL_ELIMIT);
        /* asking for such a URI finds its domain */
        bind(t, "sip:edge.example", 1, BL_BIND_CERT, NOW, false);
        check(t, text, NOW, 3, "1/3");
        check(t, text, NOW, 2, "");
        check(t, "tel:+15551234", NOW, 3, "");
        b = want("sip:P@edge.example", 9, BL_BIND_PATH);
        assert_int_equal(bl_sticky_bind(t, &b, NOW), BL_EGONE);
}

/* --- views --- */

static void rows_show_every_binding_once(void **state)
{
        struct bl_sticky *t = *state;
        static struct bl_sticky_row rows[7];
        unsigned seen = 0, down = 0, n;
        uint64_t cursor = 0;
        char text[64];

        add(t, 1, 1, true);
        add(t, 2, 2, false);
        for (unsigned i = 0; i < 100; i++) {
                struct bl_sb b = BL_SB(text);

                bl_sb_fmt(&b, "sip:u%u@edge.example;LR;d=1%c", i, 0);
                bind(t, text, 1 + i % 2, BL_BIND_DIALOG, NOW, true);
        }
        bl_sticky_flow_down(t, 2, NOW + BL_SEC(10));
        while ((n = bl_sticky_rows(t, &cursor, rows, 7)) > 0) {
                for (unsigned i = 0; i < n; i++) {
                        struct bl_str u = {rows[i].uri, rows[i].uri_len};

                        assert_true(bl_str_starts(u, BL_STR("sip:u")) &&
                                    u.n >= sizeof("sip:u0@edge.example;d=1;lr") - 1);
                        assert_true(rows[i].kind == BL_BIND_DIALOG && rows[i].confirmed_at == NOW &&
                                    rows[i].tp == BL_TCP);
                        assert_int_equal(rows[i].down, rows[i].flow == 2);
                        down += rows[i].down;
                }
                seen += n;
        }
        assert_int_equal(seen, 100);
        assert_int_equal(down, 50);
}

/* --- memory --- */

/* What calls and registrations come and go with is had from before: no heap in steady state. */
static void steady_state_takes_no_memory(void **state)
{
        struct bl_sticky *t = *state;
        char text[64];
        long before = 0;

        add(t, 1, 1, true);
        add(t, 2, 2, true);
        bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW, true);
        bind(t, "sip:P@edge.example;lr", 2, BL_BIND_PATH, NOW, true);
        for (unsigned i = 0; i < 2000; i++) {
                struct bl_sb sb = BL_SB(text);

                if (i == 1000)
                        before = oom_count();
                bl_sb_fmt(&sb, "sip:P@edge.example;lr;d=%u%c", i, 0);
                struct bl_bind b = want(text, 1 + i % 2, BL_BIND_DIALOG);
                b.dialog = 1000 + i % 50;
                b.confirmed = true;
                assert_int_equal(bl_sticky_bind(t, &b, NOW + i), 0);
                check(t, text, NOW, 1, i % 2 ? "2/1" : "1/1");
                bind(t, "sip:P@edge.example;lr", 1, BL_BIND_PATH, NOW + i, true);
                bl_sticky_end_dialog(t, b.dialog);
        }
        assert_int_equal(oom_count(), before);
        assert_int_equal(stats(t).bindings, 2);
}

static void without_memory(void **state)
{
        static const char *const uris[] = {"sip:P@edge.example;lr", "sip:P@edge.example;lr;d=1", "sip:edge.example",
                                           "sip:edge.example;lr", "sip:P@edge.example;lr;d=2"};

        (void)state;
        OOM_EACH(run)
        {
                struct bl_sticky *t = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 1, .shards = 1});
                struct bl_addr a = addr(1, 5060);
                unsigned bound = 0, found = 0;

                if (!t || bl_sticky_flow_add(t, 1, BL_TCP, &a, true) < 0) {
                        assert_true(oom_struck());
                        bl_sticky_free(t);
                        continue;
                }
                for (size_t i = 0; i < BL_ARRAY_LEN(uris); i++) {
                        struct bl_bind b = want(uris[i], 1,
                                                i < 1    ? BL_BIND_PATH
                                                : i == 2 ? BL_BIND_CERT
                                                         : BL_BIND_DIALOG);

                        b.dialog = i;
                        int rc = bl_sticky_bind(t, &b, NOW);
                        assert_true(rc == 0 || (rc == BL_ENOMEM && oom_struck()));
                        bound += rc == 0;
                }
                oom_stop();
                for (size_t i = 0; i < BL_ARRAY_LEN(uris); i++)
                        found += find_as(t, uris[i], NOW, 1, 1, 0).n;
                assert_int_equal(found, bound);
                assert_int_equal(stats(t).bindings, bound);
                bl_sticky_end_dialog(t, 4);
                bl_sticky_flow_down(t, 1, 0);
                bl_sticky_expire(t, NOW);
                assert_int_equal(stats(t).octets, 0);
                bl_sticky_free(t);
        }
}

int main(void)
{
#define TABLE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        const struct CMUnitTest tests[] = {
                TABLE(exact_before_equivalent_before_domain),
                TABLE(names_in_any_case_lr_on_is_lr_order_does_not_matter),
                TABLE(five_parameters_are_never_ignored),
                TABLE(confirmed_last_comes_first_then_the_newer_flow),
                TABLE(domains_are_spread_by_rendezvous),
                TABLE(the_own_workers_flow_first_among_one_far_end),
                TABLE(no_more_than_eight_the_best_ones),
                TABLE(on_tls_flows_both_schemes_bind_alike),
                TABLE(flows_of_a_domain_at_an_address),
                TABLE(only_domains_lead_to_domains),
                TABLE(is_bound_tells_whose_flow_it_is),
                TABLE(a_path_binding_lives_as_long_as_its_registration),
                TABLE(a_2xx_towards_it_does_not_prolong_it),
                TABLE(a_dialog_binding_lives_until_idle),
                TABLE(a_dialogs_end_ends_its_bindings),
                TABLE(bindings_go_with_the_connection),
                TABLE(kept_bindings_come_back_with_the_successor),
                TABLE(nothing_comes_back_after_its_time),
                TABLE(moves_add_up),
                cmocka_unit_test(the_longest_idle_dialogs_are_evicted),
                cmocka_unit_test(a_budget_without_dialogs_is_spent),
                TABLE(refuses_what_it_cannot_tell_apart),
                TABLE(rows_show_every_binding_once),
                TABLE(steady_state_takes_no_memory),
                cmocka_unit_test(without_memory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
