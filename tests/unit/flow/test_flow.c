#include "flow/flow.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/fake_env.h"
#include "unit/oom.h"
#include "unit/unit.h"

/* ---- a node that writes down what it is told ---- */

struct node {
        struct fake *f;
        struct bl_flows *fs[FAKE_WORKERS];
        struct worker {
                struct node *n;
                unsigned messages, garbage, ups, downs, pongs, strays, turns;
                unsigned status; /* of the last garbage */
                bool fatal, partial;
                int why;
                char method[32];
                bl_flow_id from;
                bl_flow_id close_on_message;
        } w[FAKE_WORKERS];
        /* watches */
        unsigned told_up, told_down;
        int told_why;
        bl_flow_id told_id;
        struct bl_watch watch[4];
};

static void on_message(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        struct worker *w = ctx;
        w->messages++;
        snprintf(w->method, sizeof(w->method), "%.*s", BL_STR_ARG(m->method_name));
        if (w->close_on_message == f->id)
                bl_flow_close(f, true);
}
static void on_garbage(void *ctx, struct bl_flow *f, const struct bl_parse_error *err, bool fatal)
{
        struct worker *w = ctx;
        (void)f;
        w->garbage++;
        w->status = err->status;
        w->fatal = fatal;
        w->partial = err->partial != NULL;
}
static void on_up(void *ctx, struct bl_flow *f)
{
        assert_int_equal(f->state, BL_FLOW_UP);
        ((struct worker *)ctx)->ups++;
}
static void on_down(void *ctx, struct bl_flow *f, int why)
{
        struct worker *w = ctx;
        assert_int_equal(f->state, BL_FLOW_DOWN);
        assert_null(bl_flow_get(w->n->fs[w - w->n->w], f->id));
        w->downs++;
        w->why = why;
}
static void on_pong(void *ctx, struct bl_flow *f)
{
        (void)f;
        ((struct worker *)ctx)->pongs++;
}
static void on_stray(void *ctx, bl_flow_id from, struct bl_msg *m)
{
        struct worker *w = ctx;
        w->strays++;
        w->from = from;
        snprintf(w->method, sizeof(w->method), "%.*s", BL_STR_ARG(m->method_name));
}
static void on_turn(void *ctx)
{
        ((struct worker *)ctx)->turns++;
}
static const struct bl_flows_user user = {on_message, on_garbage, on_up, on_down, on_pong, on_stray, on_turn};

static struct node *node_conf(unsigned workers, const struct bl_flows_conf *conf)
{
        struct node *n = calloc(1, sizeof(*n));
        n->f = fake_new(workers);
        for (unsigned i = 0; i < workers; i++) {
                n->w[i].n = n;
                n->fs[i] = bl_flows_new(fake_env(n->f, i), conf, &user, &n->w[i]);
                assert_non_null(n->fs[i]);
        }
        bl_flows_join(n->fs, workers);
        return n;
}
static struct node *node(unsigned workers)
{
        return node_conf(workers, &(struct bl_flows_conf){0});
}
static void node_free(struct node *n)
{
        for (unsigned i = 0; i < n->f->n; i++)
                bl_flows_free(n->fs[i]);
        fake_free(n->f);
        free(n);
}

static struct node *told; /* one watching test at a time */
static void watch_up(struct bl_watch *w, struct bl_flow *f)
{
        (void)w;
        told->told_up++;
        told->told_id = f->id;
}
static void watch_down(struct bl_watch *w, bl_flow_id id, int why)
{
        assert_false(bl_link_linked(&w->_link));
        told->told_down++;
        told->told_id = id;
        told->told_why = why;
}
static struct bl_watch *watch(struct node *n, unsigned i)
{
        told = n;
        n->watch[i] = (struct bl_watch){.up = watch_up, .down = watch_down};
        return &n->watch[i];
}

static bl_flow_id tcp(struct node *n)
{
        return fake_accept(n->f, 0, BL_TCP, "10.0.0.1:1000");
}
static bl_flow_id udp(struct node *n)
{
        return fake_accept(n->f, 0, BL_UDP, "10.0.0.1:1000");
}
static struct bl_flow *get(struct node *n, bl_flow_id id)
{
        return bl_flow_get(n->fs[bl_flow_worker(id)], id);
}
static uint64_t counted(struct node *n, const char *name, const char *value)
{
        return bl_stats_get(fake_env(n->f, 0)->stats, name, value);
}
#define assert_text(n, id, want)                                                                                       \
        do {                                                                                                           \
                const struct fake_sent *_s = fake_take((n)->f, (id));                                                  \
                assert_non_null(_s);                                                                                   \
                assert_string_equal(_s->text, (want));                                                                 \
        } while (0)

#define HEAD(method, via)                                                                                              \
        method " sip:b@b.example SIP/2.0\r\nVia: SIP/2.0/" via                                                         \
               " a.example;branch=z9hG4bK1\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: "     \
               "x\r\nCSeq: 1 " method "\r\nMax-Forwards: 70\r\n"
#define MSG(method) HEAD(method, "TCP") "Content-Length: 4\r\n\r\nbody"

/* ---- streams ---- */

static void a_stream_cut_at_every_octet(void **state)
{
        (void)state;
        static const char text[] = "\r\n" MSG("MESSAGE") MSG("INFO") "\r\n\r\n" MSG("OPTIONS");
        size_t len = sizeof(text) - 1;
        for (size_t cut = 0; cut <= len; cut++) {
                struct node *n = node(1);
                bl_flow_id f = tcp(n);
                fake_data(n->f, f, bl_str_make(text, cut));
                fake_data(n->f, f, bl_str_make(text + cut, len - cut));
                assert_int_equal(n->w[0].messages, 3);
                assert_string_equal(n->w[0].method, "OPTIONS");
                assert_text(n, f, "\r\n");
                assert_null(fake_take(n->f, f));
                assert_int_equal(n->w[0].garbage, 0);
                node_free(n);
        }
}

static void a_stream_octet_by_octet(void **state)
{
        (void)state;
        static const char text[] = MSG("MESSAGE") "\r\n\r\n" MSG("INFO");
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        size_t idle = bl_pool_used(fake_env(n->f, 0)->pool);
        for (size_t i = 0; i < sizeof(text) - 1; i++)
                fake_data(n->f, f, bl_str_make(text + i, 1));
        assert_int_equal(n->w[0].messages, 2);
        assert_text(n, f, "\r\n");
        assert_int_equal(bl_pool_used(fake_env(n->f, 0)->pool), idle); /* no buffer while idle */
        node_free(n);
}

static void whole_messages_are_not_copied(void **state)
{
        (void)state;
        static const char text[] = MSG("MESSAGE") MSG("INFO") MSG("OPTIONS");
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        fake_data(n->f, f, bl_str_z(text)); /* the arena's first chunk */
        struct bl_pool *pool = fake_env(n->f, 0)->pool;
        /* A pool that hands out nothing more: what lies whole in the octets needs none of it. */
        fake_env(n->f, 0)->pool = bl_pool_new(1);
        fake_data(n->f, f, bl_str_z(text));
        assert_int_equal(n->w[0].messages, 6);
        bl_pool_free(fake_env(n->f, 0)->pool);
        fake_env(n->f, 0)->pool = pool;
        node_free(n);
}

static void a_large_message_in_small_pieces(void **state)
{
        (void)state;
        enum { BODY = 60000 };
        static char text[BODY + 1000];
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        int len = snprintf(text, sizeof(text), "%sContent-Length: %u\r\n\r\n", HEAD("MESSAGE", "TCP"), BODY);
        memset(text + len, 'b', BODY);
        for (size_t at = 0; at < (size_t)len + BODY; at += 700) {
                size_t rest = (size_t)len + BODY - at;
                fake_data(n->f, f, bl_str_make(text + at, rest < 700 ? rest : 700));
        }
        assert_int_equal(n->w[0].messages, 1);
        node_free(n);
}

static void what_cannot_be_framed_is_answered_and_closed(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                unsigned status;
                bool partial;
        } cases[] = {
                {HEAD("MESSAGE", "TCP") "\r\n", 400, true}, /* no Content-Length */
                {HEAD("MESSAGE", "TCP") "Content-Length: x\r\n\r\n", 400, true},
                {HEAD("MESSAGE", "TCP") "Content-Length: 65000\r\n\r\n", 513, true},
                {"GET / HTTP/1.1\nHost: x\n\n", 400, false},
                {"\r\rINVITE", 400, false},
        };
        for (unsigned i = 0; i < BL_ARRAY_LEN(cases); i++) {
                struct node *n = node_conf(1, &(struct bl_flows_conf){.max_message = 10000});
                bl_flow_id f = tcp(n);
                char text[2000];
                snprintf(text, sizeof(text), "%s%s", cases[i].text, MSG("INFO"));
                fake_text(n->f, f, text);
                assert_int_equal(n->w[0].garbage, 1);
                assert_int_equal(n->w[0].status, cases[i].status);
                assert_true(n->w[0].fatal);
                assert_int_equal(n->w[0].partial, cases[i].partial);
                assert_int_equal(n->w[0].messages, 0); /* what follows is not looked at */
                assert_int_equal(n->w[0].downs, 1);
                assert_int_equal(n->w[0].why, cases[i].status == 513 ? BL_ELIMIT : BL_EMALFORMED);
                assert_null(get(n, f));
                node_free(n);
        }
}

static void endless_headers_are_cut_off(void **state)
{
        (void)state;
        struct node *n = node_conf(1, &(struct bl_flows_conf){.max_message = 10000});
        bl_flow_id f = tcp(n);
        fake_text(n->f, f, "MESSAGE sip:b@b.example SIP/2.0\r\n");
        unsigned sent = 0;
        while (fake_flow(n->f, f)) {
                fake_text(n->f, f,
                          "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
                assert_true(++sent < 200);
        }
        assert_int_equal(n->w[0].status, 513);
        node_free(n);
}

static void what_does_not_parse_leaves_the_stream_open(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        fake_text(n->f, f, "NONSENSE\r\nContent-Length: 0\r\n\r\n" MSG("INFO"));
        assert_int_equal(n->w[0].garbage, 1);
        assert_false(n->w[0].fatal);
        assert_int_equal(n->w[0].messages, 1);
        assert_non_null(get(n, f));
        node_free(n);
}

static void a_flow_closed_from_within_a_message_says_no_more(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        n->w[0].close_on_message = f;
        fake_text(n->f, f, MSG("INFO") MSG("INFO"));
        assert_int_equal(n->w[0].messages, 1);
        assert_int_equal(n->w[0].downs, 1);
        assert_int_equal(n->w[0].why, 0);
        node_free(n);
}

/* ---- datagrams ---- */

static void datagrams(void **state)
{
        (void)state;
        struct node *n = node_conf(1, &(struct bl_flows_conf){.max_message = 1000});
        bl_flow_id f = udp(n);
        static char text[2000];
        fake_text(n->f, f, HEAD("OPTIONS", "UDP") "\r\n");
        assert_int_equal(n->w[0].messages, 1);
        fake_text(n->f, f, HEAD("OPTIONS", "UDP") "Content-Length: 5\r\n\r\nfour");
        assert_int_equal(n->w[0].status, 400); /* shorter than it says (RFC 3261 18.3) */
        assert_false(n->w[0].fatal);
        int len = snprintf(text, sizeof(text), "%sContent-Length: 1000\r\n\r\n", HEAD("MESSAGE", "UDP"));
        memset(text + len, 'x', 1000);
        fake_data(n->f, f, bl_str_make(text, (size_t)len + 1000));
        assert_int_equal(n->w[0].status, 513);
        assert_true(n->w[0].partial);
        fake_data(n->f, f, bl_str_make("", 0));
        assert_int_equal(n->w[0].garbage, 2);
        assert_non_null(get(n, f));
        node_free(n);
}

/* ---- keep-alives of the far end ---- */

static void blanks_over_udp_are_ignored(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = udp(n);
        static const struct bl_str blanks[] = {{"\r\n\r\n", 4}, {"\r\n", 2}, {"\0", 1}, {"\0\0\0\0", 4}, {"\n", 1}};
        for (unsigned i = 0; i < BL_ARRAY_LEN(blanks); i++)
                fake_data(n->f, f, blanks[i]);
        assert_int_equal(n->w[0].garbage + n->w[0].messages, 0);
        assert_null(fake_take(n->f, f));
        assert_int_equal(counted(n, "belay_flow_keepalives_total", "ignored"), 5);
        node_free(n);
}

static void stun_over_udp_is_answered(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = udp(n);
        static const char request[] = "\x00\x01\x00\x00\x21\x12\xa4\x42"
                                      "ABCDEFGHIJKL";
        fake_data(n->f, f, bl_str_make(request, 20));
        const struct fake_sent *s = fake_take(n->f, f);
        assert_non_null(s);
        assert_memory_equal(s->text, "\x01\x01", 2);
        assert_memory_equal(s->text + 8, "ABCDEFGHIJKL", 12);
        /* XOR-MAPPED-ADDRESS: 10.0.0.1:1000 */
        static const char mapped[] = "\x00\x20\x00\x08\x00\x01\x22\xfa\x2b\x12\xa4\x43";
        bool found = false;
        for (size_t i = 20; i + 12 <= s->n; i++)
                found |= memcmp(s->text + i, mapped, 12) == 0;
        assert_true(found);
        assert_int_equal(s->n, 32); /* and nothing that was not asked for */
        assert_int_equal(n->w[0].garbage, 0);
        node_free(n);
}

/* Who asks is told what his flow is called: the same as long as it lives. */
static void stun_says_which_flow_answers(void **state)
{
        (void)state;
        static const char request[] = "\x00\x01\x00\x04\x21\x12\xa4\x42"
                                      "ABCDEFGHIJKL\xc0\xb1\x00\x00";
        char name[2][8];
        struct node *n = node(1);
        bl_flow_id f = udp(n);
        for (unsigned i = 0; i < 2; i++) {
                fake_data(n->f, f, bl_str_make(request, 24));
                const struct fake_sent *s = fake_take(n->f, f);
                assert_int_equal(s->n, 44);
                assert_memory_equal(s->text + 32, "\xc0\xb1\x00\x08", 4);
                memcpy(name[i], s->text + 36, 8);
        }
        assert_memory_equal(name[0], name[1], 8);
        node_free(n);
}

static void a_ping_cut_in_two_is_one_ping(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        fake_text(n->f, f, "\r\n");
        assert_null(fake_take(n->f, f));
        fake_text(n->f, f, "\r\n");
        assert_text(n, f, "\r\n");
        assert_null(fake_take(n->f, f));
        fake_text(n->f, f, "\r\n"); /* some send one and no more, and are no half message */
        fake_pass(n->f, 100000);
        assert_non_null(get(n, f));
        fake_text(n->f, f, MSG("INFO"));
        assert_int_equal(n->w[0].messages, 1);
        node_free(n);
}

/* ---- our own keep-alives ---- */

static void pings_over_a_stream(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        bl_flow_keepalive(get(n, f), 5000, 2000);
        assert_text(n, f, "\r\n\r\n"); /* the first at once */
        fake_pass(n->f, 1000);
        fake_text(n->f, f, "\r\n");
        assert_int_equal(n->w[0].pongs, 1);
        fake_pass(n->f, 3999);
        assert_null(fake_take(n->f, f));
        fake_pass(n->f, 1);
        assert_text(n, f, "\r\n\r\n");
        fake_pass(n->f, 1999);
        assert_int_equal(n->w[0].downs, 0);
        fake_pass(n->f, 1);
        assert_int_equal(n->w[0].downs, 1);
        assert_int_equal(n->w[0].why, BL_ETIMEOUT);
        assert_int_equal(n->w[0].pongs, 1);
        node_free(n);
}

static void any_octet_proves_life(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        bl_flow_keepalive(get(n, f), 5000, 2000);
        fake_pass(n->f, 1000);
        fake_text(n->f, f, "MESSAGE sip:b"); /* the pong stands behind a long message */
        fake_pass(n->f, 1500);
        assert_int_equal(n->w[0].downs, 0);
        assert_int_equal(n->w[0].pongs, 1);
        node_free(n);
}

static void pings_over_udp_are_stun(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = udp(n);
        bl_flow_keepalive(get(n, f), 5000, 2000);
        const struct fake_sent *s = fake_take(n->f, f);
        char answer[32] =
                "\x01\x01\x00\x0c\x21\x12\xa4\x42............\x00\x20\x00\x08\x00\x01\x22\xfa\x2b\x12\xa4\x43";
        assert_int_equal(s->n >= 20, 1);
        memcpy(answer + 8, s->text + 8, 12);
        answer[8] ^= 1; /* another transaction */
        fake_data(n->f, f, bl_str_make(answer, 32));
        assert_int_equal(n->w[0].pongs, 0);
        answer[8] ^= 1;
        fake_data(n->f, f, bl_str_make(answer, 32));
        assert_int_equal(n->w[0].pongs, 1);
        fake_data(n->f, f, bl_str_make(answer, 32)); /* twice */
        assert_int_equal(n->w[0].pongs, 1);
        fake_pass(n->f, 7000);
        assert_int_equal(n->w[0].why, BL_ETIMEOUT);
        node_free(n);
}

/* RFC 5626 4.4.2: another mapped address than before means that a NAT has forgotten the flow. */
static void a_nat_that_rebinds_ends_the_flow(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = udp(n);
        char answer[32] =
                "\x01\x01\x00\x0c\x21\x12\xa4\x42............\x00\x20\x00\x08\x00\x01\x22\xfa\x2b\x12\xa4\x43";
        bl_flow_keepalive(get(n, f), 5000, 2000);
        for (unsigned i = 0; i < 3; i++) {
                const struct fake_sent *s = fake_take(n->f, f);
                memcpy(answer + 8, s->text + 8, 12);
                answer[27] ^= i == 2; /* another port */
                fake_data(n->f, f, bl_str_make(answer, 32));
                assert_int_equal(n->w[0].downs, i == 2);
                fake_pass(n->f, 5001);
        }
        assert_int_equal(n->w[0].why, BL_EGONE);
        node_free(n);
}

/* The far end restarted, or took us for dead: it knows another flow by our address. Others say nothing of it. */
static void a_far_end_that_has_forgotten_ends_the_flow(void **state)
{
        (void)state;
        for (unsigned asks = 0; asks < 2; asks++) {
                struct node *n = node(1);
                bl_flow_id f = udp(n);
                char answer[45] =
                        "\x01\x01\x00\x18\x21\x12\xa4\x42............\x00\x20\x00\x08\x00\x01\x22\xfa\x2b\x12\xa4\x43"
                        "\xc0\xb1\x00\x08the-name";
                if (asks)
                        bl_flow_ask_known(get(n, f));
                bl_flow_keepalive(get(n, f), 5000, 2000);
                for (unsigned i = 0; i < 4; i++) {
                        const struct fake_sent *s = fake_take(n->f, f);
                        assert_int_equal(s->n, asks ? 24 : 20);
                        memcpy(answer + 8, s->text + 8, 12);
                        answer[40] ^= i == 3; /* another name */
                        answer[3] = i == 1 ? 12 : 24;
                        fake_data(n->f, f, bl_str_make(answer, i == 1 ? 32 : 44)); /* the second says none */
                        assert_int_equal(n->w[0].downs, asks && i == 3);
                        if (i < 3)
                                fake_pass(n->f, 5001);
                }
                if (asks)
                        assert_int_equal(n->w[0].why, BL_EGONE);
                node_free(n);
        }
}

static void probing_again_does_not_spare_the_dead(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        for (unsigned i = 0; i < 4; i++) {
                bl_flow_keepalive(get(n, f), 2000, 2000);
                assert_text(n, f, "\r\n\r\n");
                fake_pass(n->f, 499);
        }
        assert_int_equal(n->w[0].downs, 0);
        fake_pass(n->f, 4);
        assert_int_equal(n->w[0].downs, 1);
        node_free(n);
}

static void probing_a_lively_one_gives_it_the_whole_time(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        bl_flow_keepalive(get(n, f), 2000, 2000);
        fake_pass(n->f, 1000);
        fake_text(n->f, f, MSG("INFO"));
        fake_pass(n->f, 500);
        bl_flow_keepalive(get(n, f), 2000, 2000);
        fake_pass(n->f, 1999);
        assert_int_equal(n->w[0].downs, 0);
        fake_pass(n->f, 1);
        assert_int_equal(n->w[0].downs, 1);
        node_free(n);
}

static void pings_stop_and_wait_for_up(void **state)
{
        (void)state;
        struct node *n = node(1);
        struct bl_target to = {.tp = BL_TCP, .listener = BL_LISTENER_NONE};
        struct bl_flow *f;
        assert_int_equal(bl_flow_open(n->fs[0], &to, &f), 0);
        bl_flow_id id = f->id;
        bl_flow_keepalive(f, 5000, 2000);
        fake_pass(n->f, 10000);
        assert_null(fake_take(n->f, id));
        fake_up(n->f, id);
        assert_text(n, id, "\r\n\r\n");
        bl_flow_keepalive(get(n, id), 0, 0);
        fake_pass(n->f, 100000);
        assert_null(fake_take(n->f, id));
        assert_int_equal(n->w[0].downs, 0);
        node_free(n);
}

/* ---- limits in time ---- */

static void half_a_message_is_due(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        fake_pass(n->f, 1000000);
        fake_text(n->f, f, "MESSAGE");
        for (unsigned i = 0; i < 29; i++) { /* a trickle does not prolong it */
                fake_pass(n->f, 1000);
                fake_text(n->f, f, "x");
        }
        fake_pass(n->f, 999);
        assert_non_null(get(n, f));
        fake_pass(n->f, 1);
        assert_null(get(n, f));
        assert_int_equal(n->w[0].why, BL_ETIMEOUT);
        assert_int_equal(counted(n, "belay_flow_closed_total", "partial_timeout"), 1);
        f = tcp(n);
        fake_text(n->f, f, "MESSAGE"); /* one that was completed in time counts no more */
        fake_pass(n->f, 20000);
        fake_text(n->f, f, MSG("X") + 1);
        fake_text(n->f, f, "MESS");
        fake_pass(n->f, 29999);
        assert_non_null(get(n, f));
        fake_pass(n->f, 1);
        assert_null(get(n, f));
        node_free(n);
}

static void idle_streams_and_udp_flows(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id s = tcp(n), u = udp(n), pinned = udp(n), watched = udp(n);
        get(n, pinned)->pins = 1;
        assert_int_equal(bl_flow_watch(n->fs[0], watched, watch(n, 0)), 0);
        fake_pass(n->f, 100000);
        fake_text(n->f, u, "\r\n\r\n");
        fake_pass(n->f, 179999);
        assert_non_null(get(n, u));
        fake_pass(n->f, 1);
        assert_null(get(n, u));
        assert_non_null(get(n, pinned));
        assert_non_null(get(n, watched));
        bl_flow_unwatch(&n->watch[0]);
        fake_pass(n->f, 180000);
        assert_null(get(n, watched));
        get(n, pinned)->pins = 0;
        fake_pass(n->f, 180000);
        assert_null(get(n, pinned));
        assert_non_null(get(n, s));
        fake_pass(n->f, 3600000);
        assert_null(get(n, s));
        assert_int_equal(n->w[0].downs, 4);
        assert_int_equal(counted(n, "belay_flow_closed_total", "idle"), 4);
        node_free(n);
}

static void what_we_opened_is_not_closed_for_being_idle(void **state)
{
        (void)state;
        struct node *n = node(1);
        struct bl_flow *f;
        for (unsigned i = 0; i < 2; i++) {
                struct bl_target to = {.tp = i ? BL_TCP : BL_UDP, .listener = BL_LISTENER_NONE};
                assert_int_equal(bl_flow_open(n->fs[0], &to, &f), 0);
                fake_up(n->f, f->id);
        }
        fake_pass(n->f, 2 * 3600000);
        assert_int_equal(bl_flows_count(n->fs[0]), 2);
        node_free(n);
}

/* ---- life ---- */

static void open_up_and_down(void **state)
{
        (void)state;
        struct node *n = node(1);
        struct bl_target to = {.tp = BL_TCP, .listener = BL_LISTENER_NONE};
        struct bl_flow *f;
        struct bl_buf *b = bl_buf_copy(fake_env(n->f, 0)->pool, BL_STR("x"));
        size_t idle = bl_pool_used(fake_env(n->f, 0)->pool);
        assert_int_equal(bl_flow_open(n->fs[0], &to, &f), 0);
        bl_flow_id id = f->id;
        assert_ptr_equal(get(n, id), f);
        assert_int_equal(f->state, BL_FLOW_OPENING);
        assert_true(f->ours);
        assert_int_equal(bl_flow_send(n->fs[0], id, b), BL_EPENDING);
        assert_int_equal(bl_flow_watch(n->fs[0], id, watch(n, 0)), 0);
        fake_up(n->f, id);
        assert_int_equal(n->told_up, 1);
        assert_int_equal(n->w[0].ups, 1);
        assert_int_equal(bl_flow_send(n->fs[0], id, b), 0);
        fake_flow(n->f, id)->send_rc = BL_EFULL;
        assert_int_equal(bl_flow_send(n->fs[0], id, b), BL_EFULL);
        bl_flow_close(f, true);
        assert_null(get(n, id));
        assert_int_equal(bl_flow_send(n->fs[0], id, b), BL_EGONE);
        assert_int_equal(bl_flow_watch(n->fs[0], id, watch(n, 1)), BL_EGONE);
        assert_int_equal(n->told_down, 0); /* later, not inside */
        assert_true(fake_flow(n->f, id)->drained);
        fake_settle(n->f);
        assert_int_equal(n->told_down, 1);
        assert_int_equal(n->w[0].downs, 1);
        assert_int_equal(bl_flow_send(n->fs[0], id, b), BL_EGONE);
        /* one that never comes up, and one that the world refuses */
        assert_int_equal(bl_flow_open(n->fs[0], &to, &f), 0);
        assert_int_equal(bl_flow_watch(n->fs[0], f->id, watch(n, 1)), 0);
        fake_down(n->f, f->id, -111);
        assert_int_equal(n->told_down, 2);
        assert_int_equal(n->told_why, -111);
        assert_int_equal(n->w[0].downs, 2);
        assert_int_equal(n->w[0].ups, 1);
        n->f->open_rc = BL_ELIMIT;
        assert_int_equal(bl_flow_open(n->fs[0], &to, &f), BL_ELIMIT);
        assert_int_equal(bl_pool_used(fake_env(n->f, 0)->pool), idle);
        bl_buf_unref(fake_env(n->f, 0)->pool, b);
        node_free(n);
}

static void unwatch_from_within(struct bl_watch *w, bl_flow_id id, int why)
{
        watch_down(w, id, why);
        for (unsigned i = 0; i < 4; i++)
                bl_flow_unwatch(&told->watch[i]);
}

static void watchers_may_unwatch_each_other(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id f = tcp(n);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(bl_flow_watch(n->fs[0], f, watch(n, i)), 0);
        bl_flow_unwatch(&n->watch[0]);
        bl_flow_unwatch(&n->watch[0]);
        n->watch[1].down = unwatch_from_within;
        fake_down(n->f, f, BL_EGONE);
        assert_int_equal(n->told_down, 1);
        node_free(n);
}

static void all_are_closed_with_the_last(void **state)
{
        (void)state;
        struct node *n = node(1);
        bl_flow_id a = tcp(n);
        udp(n);
        assert_int_equal(bl_flow_watch(n->fs[0], a, watch(n, 0)), 0);
        assert_int_equal(bl_flows_count(n->fs[0]), 2);
        struct bl_flow *first = bl_flows_next(n->fs[0], NULL);
        assert_int_equal(first->id, a);
        assert_non_null(bl_flows_next(n->fs[0], first));
        assert_null(bl_flows_next(n->fs[0], bl_flows_next(n->fs[0], first)));
        bl_flows_free(n->fs[0]);
        assert_int_equal(n->w[0].downs, 2);
        assert_int_equal(n->told_down, 1);
        assert_int_equal(bl_pool_used(fake_env(n->f, 0)->pool), 0);
        fake_settle(n->f); /* the world's own downs come to nobody */
        fake_free(n->f);
        free(n);
}

static void an_idle_flow_is_small(void **state)
{
        (void)state;
        struct node *n = node(1);
        struct bl_pool *pool = fake_env(n->f, 0)->pool;
        size_t before = bl_pool_used(pool);
        bl_flow_id f = tcp(n);
        bl_flow_link(get(n, f), BL_STR("edge.example.com"), BL_LINK_TRUST);
        assert_true(bl_pool_used(pool) - before <= 512);
        node_free(n);
}

/* ---- links ---- */

static void links(void **state)
{
        (void)state;
        struct bl_trust trust[2] = {{BL_STR("edge.example.com"), {{0}, 0}, BL_LINK_TRUST},
                                    {BL_STR("e2.example.com"), {{0}, 0}, BL_LINK_MEMBER}};
        assert_int_equal(bl_net_parse(BL_STR("10.0.0.0/8"), &trust[0].net), 0);
        assert_int_equal(bl_net_parse(BL_STR("10.0.0.1"), &trust[1].net), 0);
        struct node *n = node_conf(1, &(struct bl_flows_conf){.trust = trust, .n_trust = 2});
        struct bl_flow *f = get(n, tcp(n)), *g = get(n, fake_accept(n->f, 0, BL_UDP, "10.9.9.9:1")),
                       *h = get(n, fake_accept(n->f, 0, BL_UDP, "11.0.0.1:1"));
        assert_true(bl_flow_linked(f, BL_STR("Edge.Example.COM")));
        assert_true(bl_flow_linked(f, BL_STR("e2.example.com")));
        assert_true(bl_flow_linked(g, BL_STR("edge.example.com")));
        assert_false(bl_flow_linked(g, BL_STR("e2.example.com")));
        assert_false(bl_flow_is_linked(h));
        assert_int_equal(bl_flow_link(h, BL_STR("x.example"), BL_LINK_OPENED), 0);
        assert_int_equal(bl_flow_link(h, BL_STR("X.example"), BL_LINK_OPENED), 0);
        assert_int_equal(bl_flow_link(h, BL_STR("y.example"), BL_LINK_CERT), 0);
        assert_int_equal(bl_flow_link(h, BL_STR(""), BL_LINK_CERT), BL_EINVAL);
        const void *cursor = NULL;
        enum bl_link_why why;
        assert_str(bl_flow_link_next(h, &cursor, &why), "x.example");
        assert_int_equal(why, BL_LINK_OPENED);
        assert_str(bl_flow_link_next(h, &cursor, NULL), "y.example");
        assert_int_equal(bl_flow_link_next(h, &cursor, &why).n, 0);
        char name[20];
        int rc = 0;
        for (unsigned i = 0; rc == 0 && i < 100; i++) {
                snprintf(name, sizeof(name), "n%u.example", i);
                rc = bl_flow_link(h, bl_str_z(name), BL_LINK_CERT);
        }
        assert_int_equal(rc, BL_ELIMIT);
        node_free(n);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_cut_at_every_octet),
        cmocka_unit_test(a_stream_octet_by_octet),
        cmocka_unit_test(whole_messages_are_not_copied),
        cmocka_unit_test(a_large_message_in_small_pieces),
        cmocka_unit_test(what_cannot_be_framed_is_answered_and_closed),
        cmocka_unit_test(endless_headers_are_cut_off),
        cmocka_unit_test(what_does_not_parse_leaves_the_stream_open),
        cmocka_unit_test(a_flow_closed_from_within_a_message_says_no_more),
        cmocka_unit_test(datagrams),
        cmocka_unit_test(blanks_over_udp_are_ignored),
        cmocka_unit_test(stun_over_udp_is_answered),
        cmocka_unit_test(a_ping_cut_in_two_is_one_ping),
        cmocka_unit_test(pings_over_a_stream),
        cmocka_unit_test(any_octet_proves_life),
        cmocka_unit_test(pings_over_udp_are_stun),
        cmocka_unit_test(a_nat_that_rebinds_ends_the_flow),
        cmocka_unit_test(a_far_end_that_has_forgotten_ends_the_flow),
        cmocka_unit_test(stun_says_which_flow_answers),
        cmocka_unit_test(probing_again_does_not_spare_the_dead),
        cmocka_unit_test(probing_a_lively_one_gives_it_the_whole_time),
        cmocka_unit_test(pings_stop_and_wait_for_up),
        cmocka_unit_test(half_a_message_is_due),
        cmocka_unit_test(idle_streams_and_udp_flows),
        cmocka_unit_test(what_we_opened_is_not_closed_for_being_idle),
        cmocka_unit_test(open_up_and_down),
        cmocka_unit_test(watchers_may_unwatch_each_other),
        cmocka_unit_test(all_are_closed_with_the_last),
        cmocka_unit_test(an_idle_flow_is_small),
        cmocka_unit_test(links),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
