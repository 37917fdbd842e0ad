/* The endpoint of include/belay/belay.h: options, both loops, jobs, timers. Calls are tests/system/test_libbelay.py's.
 */
#include "unit/oom.h"
#include "unit/unit.h"

#include <belay/belay.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "base/base.h"

static struct belay *endpoint(void)
{
        struct belay *b;
        assert_int_equal(belay_new(NULL, NULL, 0, &b), 0);
        return b;
}

/* ---- options ---- */

static void refused(const struct belay_options *o, const char *what)
{
        char err[300];
        struct belay *b = NULL;
        assert_true(belay_new(o, err, sizeof err, &b) < 0);
        assert_null(b);
        assert_non_null(strstr(err, what));
        for (size_t n = 0; n < 40; n++) { /* any room, also none: nothing is written beyond */
                char small[41];
                memset(small, 'x', sizeof small);
                assert_true(belay_new(o, n ? small : NULL, n, &b) < 0);
                assert_int_equal(small[n], 'x');
                if (n)
                        assert_true(strlen(small) < n);
        }
}

static void test_options_that_are_wrong_are_named(void **state)
{
        (void)state;
        static const char *const maps[] = {"",
                                           "edge.example.com",
                                           "edge.example.com=udp",
                                           "=udp:127.0.0.1:5060",
                                           "edge.example.com=xyz:127.0.0.1",
                                           "edge.example.com=udp:127.0.0.300"};
        struct belay_options o;
        for (unsigned i = 0; i < BL_ARRAY_LEN(maps); i++) {
                belay_options_init(&o, sizeof o);
                o.map = &maps[i];
                o.n_map = 1;
                refused(&o, "HOST=TRANSPORT:ADDRESS:PORT");
        }
        static const char *const dns[] = {"name.example.com"};
        belay_options_init(&o, sizeof o);
        o.dns = dns;
        o.n_dns = 1;
        refused(&o, "name.example.com");
        belay_options_init(&o, sizeof o);
        o.local_address = "here";
        refused(&o, "local_address");
        memset(&o, 0, sizeof o);
        refused(&o, "belay_options_init");
}

/* A program of yesterday knows fewer fields; what it does not have is not read. */
static void test_shorter_options_of_an_older_program(void **state)
{
        (void)state;
        struct belay_options o;
        struct belay *b;
        memset(&o, 0xff, sizeof o);
        belay_options_init(&o, offsetof(struct belay_options, log_level));
        assert_int_equal(belay_new(&o, NULL, 0, &b), 0);
        belay_free(b);
        belay_free(NULL);
}

static void test_accounts_that_are_wrong_are_named(void **state)
{
        (void)state;
        struct belay *b = endpoint();
        struct belay_account *a = NULL;
        struct belay_account_options o;
        char err[300];
        belay_account_options_init(&o, sizeof o);
        assert_true(belay_account_new(b, &o, err, sizeof err, &a) < 0);
        assert_non_null(strstr(err, "sip:user@domain"));
        o.aor = "sip:joe@example.com";
        o.outbound_proxy = "edge, or so";
        assert_true(belay_account_new(b, &o, err, sizeof err, &a) < 0);
        assert_non_null(strstr(err, "edge, or so"));
        char longer[300];
        memset(longer, 'x', sizeof longer);
        longer[sizeof longer - 1] = '\0';
        o.outbound_proxy = NULL;
        o.password = longer;
        assert_true(belay_account_new(b, &o, err, sizeof err, &a) < 0);
        assert_non_null(strstr(err, "255"));
        assert_null(a);
        o.password = NULL;
        assert_int_equal(belay_account_new(b, &o, err, sizeof err, &a), 0);
        assert_int_equal(belay_flows(a), 0);
        belay_free(b); /* with what it has */
}

/* ---- what a request carries ---- */

static void test_content_cannot_break_out_of_its_place(void **state)
{
        (void)state;
        static const struct {
                const char *headers, *type;
                const char *body;
                int ok;
        } t[] = {
                {NULL, NULL, NULL, 1},
                {"Subject: tea\r\n", NULL, NULL, 1},
                {"Subject: tea\r\nPriority: urgent\r\n", "text/plain", "x", 1},
                {"Subject: tea", NULL, NULL, 0},
                {"Subject: tea\n", NULL, NULL, 0},
                {"Subject: tea\r", NULL, NULL, 0},
                {"Subject: tea\r\n\r\n", NULL, NULL, 0},
                {"\r\n", NULL, NULL, 0},
                {"Subject: tea\rX: y\r\n", NULL, NULL, 0},
                {NULL, NULL, "x", 0},
                {NULL, "text/plain\r\nX: y", "x", 0},
                {NULL, "text/plain\nX: y", "x", 0},
        };
        struct belay *b = endpoint();
        struct belay_account *a;
        struct belay_account_options o;
        belay_account_options_init(&o, sizeof o);
        o.aor = "sip:joe@127.0.0.1";
        assert_int_equal(belay_account_new(b, &o, NULL, 0, &a), 0);
        for (unsigned i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct belay_content c = BELAY_CONTENT(t[i].type, t[i].body, t[i].body ? strlen(t[i].body) : 0);
                struct belay_request *r = NULL;
                struct belay_call *call = NULL;
                c.headers = t[i].headers;
                assert_int_equal(belay_send(a, "MESSAGE", "sip:bob@127.0.0.1", &c, &r) == 0, t[i].ok);
                assert_int_equal(belay_call_place(a, "sip:bob@127.0.0.1", &c, &call) == 0, t[i].ok);
                assert_int_equal(r != NULL, t[i].ok);
                assert_int_equal(call != NULL, t[i].ok);
        }
        assert_true(belay_send(a, "MESSAGE", "bob", NULL, NULL) < 0);
        assert_true(belay_send(a, "INVITE", "sip:bob@127.0.0.1", NULL, NULL) < 0);
        belay_free(b);
}

/* ---- the loops ---- */

struct seen {
        unsigned n;
        int order[8];
        bool stop;
};
struct tick {
        struct seen *seen;
        int number;
};

static void tick(struct belay *b, void *arg)
{
        struct tick *t = arg;
        t->seen->order[t->seen->n++] = t->number;
        if (t->seen->stop)
                belay_stop(b, 0);
}

static void test_run_until_a_timer_stops_it(void **state)
{
        (void)state;
        struct belay *b = endpoint();
        struct seen s = {0};
        struct tick late = {&s, 2}, early = {&s, 1}, never = {&s, 3};
        struct belay_timer *t, *kept;
        assert_int_equal(belay_timer_start(b, 5, tick, &early, NULL), 0);
        assert_int_equal(belay_timer_start(b, 10, tick, &never, &t), 0);
        assert_int_equal(belay_timer_start(b, 3600000, tick, &never, &kept), 0);
        belay_timer_stop(t);
        while (s.n < 1)
                assert_int_equal(belay_step(b, -1), 1);
        s.stop = true; /* before the second begins: a busy machine may be late for both */
        assert_int_equal(belay_timer_start(b, 20, tick, &late, NULL), 0);
        assert_int_equal(belay_run(b), 0); /* what was begun in steps may go on so */
        assert_int_equal(s.n, 2);
        assert_int_equal(s.order[0], 1);
        assert_int_equal(s.order[1], 2);
        belay_free(b); /* with a timer that is armed */
}

/* As an application's own loop does it: waits by itself, for the descriptor and no longer than it is told. */
static void test_embedded_in_another_loop(void **state)
{
        (void)state;
        struct belay *b = endpoint();
        struct seen s = {0};
        struct tick one = {&s, 1};
        struct belay_timer *t;
        assert_true(belay_fd(b) >= 0);
        assert_int_equal(belay_step(b, 0), 1);
        assert_int_not_equal(belay_timeout(b), 0); /* nothing to do now */
        assert_int_equal(belay_timer_start(b, 30, tick, &one, &t), 0);
        while (s.n == 0) {
                struct pollfd p = {.fd = belay_fd(b), .events = POLLIN};
                int wait = belay_timeout(b);
                assert_true(wait >= 0 && wait <= 31);
                assert_true(poll(&p, 1, wait) >= 0);
                assert_int_equal(belay_step(b, 0), 1);
        }
        belay_stop(b, 0);
        for (int n = 0; belay_step(b, 0) != 0; n++)
                assert_true(n < 10);
        assert_int_equal(belay_step(b, -1), 0); /* and stays so */
        belay_free(b);
}

struct posting {
        struct tick t[3];
        struct belay *b;
};

static void *post_many(void *arg)
{
        struct posting *p = arg;
        for (int i = 0; i < 3; i++)
                if (belay_post(p->b, tick, &p->t[i]) != 0)
                        return arg;
        return NULL;
}

/* Jobs of another thread run in order, in ours, and wake whoever waits for the descriptor. */
static void test_jobs_of_another_thread(void **state)
{
        (void)state;
        struct belay *b = endpoint();
        struct seen s = {0};
        struct posting arg = {{{&s, 1}, {&s, 2}, {&s, 3}}, b};
        pthread_t thread;
        void *bad = NULL;
        assert_int_equal(belay_step(b, 0), 1);
        assert_int_equal(pthread_create(&thread, NULL, post_many, &arg), 0);
        while (s.n < 3)
                assert_int_equal(belay_step(b, -1), 1);
        pthread_join(thread, &bad);
        assert_null(bad);
        for (int i = 0; i < 3; i++)
                assert_int_equal(s.order[i], i + 1);
        assert_int_equal(belay_post(b, tick, &arg.t[0]), 0); /* does not run any more, and is not lost as memory */
        belay_free(b);
        assert_int_equal(s.n, 3);
}

static void ignore(void *ctx, const struct belay_event *e)
{
        (void)ctx;
        (void)e;
}

/* Everything an application does before the first datagram, with each allocation failing once. */
static void test_without_memory(void **state)
{
        (void)state;
        static const char *const map[] = {"example.com=udp:127.0.0.1:9"};
        OOM_EACH(run)
        {
                struct belay_options o;
                struct belay_account_options ao;
                struct belay *b = NULL;
                struct belay_account *a = NULL;
                struct belay_call *call = NULL;
                struct belay_timer *t;
                char err[100];
                belay_options_init(&o, sizeof o);
                o.map = map;
                o.n_map = 1;
                belay_account_options_init(&ao, sizeof ao);
                ao.aor = "sip:joe@example.com";
                ao.outbound_proxy = "dhcp";
                ao.dhcp_interface = "lo";
                ao.event = ignore;
                int rc = belay_new(&o, err, sizeof err, &b);
                if (rc == 0)
                        rc = belay_account_new(b, &ao, err, sizeof err, &a);
                if (rc == 0)
                        rc = belay_register(a);
                if (rc == 0)
                        rc = belay_timer_start(b, 0, tick, NULL, &t);
                if (rc == 0) {
                        belay_timer_stop(t);
                        rc = belay_call_place(a, "sip:bob@example.com", NULL, &call);
                }
                if (rc == 0)
                        rc = belay_post(b, tick, NULL);
                if (!oom_struck())
                        assert_int_equal(rc, 0);
                else if (rc != 0 && rc != BELAY_ENOMEM && rc != BELAY_ELIMIT && rc != -ENOMEM)
                        fail_msg("allocation %ld: %d, %s", run.n, rc, belay_strerror(rc));
                belay_free(b);
        }
}

static void test_words(void **state)
{
        (void)state;
        assert_string_equal(belay_version(), "0.1.0");
        assert_string_equal(belay_event_name(BELAY_REGISTERED), "registered");
        assert_string_equal(belay_event_name(BELAY_ENDED), "ended");
        assert_string_equal(belay_event_name((enum belay_event_kind)99), "?");
        assert_true(strlen(belay_strerror(BELAY_EINVAL)) > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options_that_are_wrong_are_named),
                cmocka_unit_test(test_shorter_options_of_an_older_program),
                cmocka_unit_test(test_accounts_that_are_wrong_are_named),
                cmocka_unit_test(test_content_cannot_break_out_of_its_place),
                cmocka_unit_test(test_run_until_a_timer_stops_it),
                cmocka_unit_test(test_embedded_in_another_loop),
                cmocka_unit_test(test_jobs_of_another_thread),
                cmocka_unit_test(test_without_memory),
                cmocka_unit_test(test_words),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
