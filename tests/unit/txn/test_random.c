/*
 * Three workers, flows that come and go, users that answer late or never, copies by any flow, broken octets, time:
 * drawn from a seed. Whatever happens, no request is told twice while its transaction lives, and nothing is left at the
 * end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "txn/txn.h"
#include "unit/fake_env.h"
#include "unit/rng.h"
#include "unit/unit.h"

enum { WORKERS = 3, FLOWS = 12, KEYS = 24, CLIENTS = 12, STEPS = 6000, SEEDS = 20 };

static const char *const methods[] = {"INVITE", "OPTIONS", "BYE"};

struct served {
        struct bl_server *st; /* NULL: none, or forgotten */
        unsigned worker;
        struct bl_msg *req;
};
struct called {
        struct bl_client *ct;
        unsigned worker, number, method;
};
struct world {
        struct rng r;
        struct fake *f;
        struct bl_txn_index *index;
        struct bl_txns *t[WORKERS];
        struct bl_pool *mine; /* for what the test keeps */
        bl_flow_id flows[FLOWS];
        struct served served[KEYS][3];
        struct called called[CLIENTS];
        unsigned next_client, told, responses;
};

static unsigned draw(struct world *w, unsigned below)
{
        return (unsigned)rng_below(&w->r, below);
}

/* ---- the user ---- */

static struct served *slot_of(struct world *w, const struct bl_msg *m)
{
        uint32_t key = KEYS;
        if (m->via.branch.n == 10)
                bl_str_u32(bl_str_from(m->via.branch, 8), &key);
        for (unsigned i = 0; i < 3; i++) {
                if (key < KEYS && bl_str_eq(m->method_name, bl_str_z(methods[i])))
                        return &w->served[key][i];
        }
        return NULL;
}

static void let_go(struct world *w, struct served *s)
{
        bl_msg_drop(s->req, w->mine);
        *s = (struct served){0};
}

static struct world *the; /* callbacks carry the slot */

static void on_cancel(void *ctx, struct bl_server *st, const struct bl_msg *m)
{
        struct served *s = ctx;
        assert_ptr_equal(s->st, st);
        (void)m;
        if (draw(the, 2))
                (void)bl_server_reply(st, s->req, &(struct bl_response){.status = 487});
}
static void on_lost(void *ctx, struct bl_server *st, int why)
{
        (void)ctx;
        assert_int_equal(why, BL_EGONE);
        if (draw(the, 2))
                (void)bl_server_move(st, the->flows[draw(the, FLOWS)]);
}
static void on_ended(void *ctx, struct bl_server *st)
{
        struct served *s = ctx;
        assert_ptr_equal(s->st, st);
        let_go(the, s);
}
static const struct bl_server_user server_user = {on_cancel, NULL, on_lost, on_ended};

static void answer(struct world *w, struct served *s)
{
        static const uint16_t status[] = {100, 180, 200, 404, 487, 603};
        (void)bl_server_reply(s->st, s->req, &(struct bl_response){.status = status[draw(w, 6)]});
}

static void on_request(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        struct world *w = the;
        unsigned worker = (unsigned)((struct bl_txns **)ctx - w->t);
        struct served *s = slot_of(w, m);
        if (m->method == BL_M_ACK || !s)
                return;
        w->told++;
        assert_null(s->st); /* not twice while it lives */
        if (draw(w, 8) == 0) {
                (void)bl_txn_reply(w->t[worker], f, m, &(struct bl_response){.status = 503});
                return;
        }
        int rc = bl_server_new(w->t[worker], f, m, &server_user, s, draw(w, 2), &s->st);
        assert_int_equal(rc, 0);
        s->worker = worker;
        s->req = bl_msg_keep(m, w->mine);
        if (draw(w, 2))
                answer(w, s);
}
static void on_response(void *ctx, bl_flow_id from, struct bl_msg *m)
{
        unsigned worker = (unsigned)((struct bl_txns **)ctx - the->t);
        assert_false(m->is_request);
        assert_int_equal(bl_flow_worker(from), worker);
}
static const struct bl_txns_user user = {.request = on_request, .response = on_response};

static void on_client_response(void *ctx, struct bl_client *ct, bl_flow_id from, const struct bl_msg *m)
{
        struct called *c = ctx;
        (void)from;
        assert_ptr_equal(c->ct, ct);
        the->responses++;
        if (m->status >= 200 && draw(the, 2)) {
                bl_client_free(ct);
                c->ct = NULL;
        }
}
static void send_try(struct world *w, struct called *c);
static void on_failed(void *ctx, struct bl_client *ct, bl_flow_id flow, int why)
{
        struct called *c = ctx;
        (void)flow;
        assert_ptr_equal(c->ct, ct);
        assert_true(why <= 0);
        if (draw(the, 2))
                send_try(the, c);
}
static void on_timeout(void *ctx, struct bl_client *ct)
{
        struct called *c = ctx;
        assert_ptr_equal(c->ct, ct);
        if (draw(the, 4)) {
                bl_client_free(ct);
                c->ct = NULL;
        }
}
static const struct bl_client_user client_user = {on_client_response, on_failed, on_timeout};

/* ---- what happens ---- */

static const char *text_of(struct world *w, const char *line, const char *method, bl_flow_id f, unsigned key,
                           const char *via)
{
        static char text[1000];
        const struct fake_flow *fl = fake_flow(w->f, f);
        snprintf(text, sizeof(text),
                 "%s\r\nVia: SIP/2.0/%s a.example;branch=z9hG4bK-%02u%s\r\nFrom: <sip:a@a.example>;tag=1\r\n"
                 "To: <sip:b@b.example>\r\nCall-ID: c%u\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                 line, !fl || fl->tp == BL_UDP ? "UDP" : "TCP", key, via, key, method);
        return text;
}

static bl_flow_id any_flow(struct world *w)
{
        bl_flow_id f = w->flows[draw(w, FLOWS)];
        const struct fake_flow *fl = fake_flow(w->f, f);
        return fl && fl->state == FAKE_UP ? f : 0;
}

static void some_request(struct world *w)
{
        static const char *const all[] = {"INVITE", "INVITE", "OPTIONS", "BYE", "ACK", "CANCEL"};
        const char *method = all[draw(w, 6)];
        bl_flow_id f = any_flow(w);
        char line[64];
        snprintf(line, sizeof(line), "%s sip:b@b.example SIP/2.0", method);
        if (f)
                fake_text(w->f, f, text_of(w, line, method, f, draw(w, KEYS), ""));
}

static void some_garbage(struct world *w)
{
        bl_flow_id f = any_flow(w);
        char text[1000];
        if (!f)
                return;
        snprintf(text, sizeof(text), "%s", text_of(w, "INVITE sip:b@b.example SIP/2.0", "INVITE", f, 99999999, ""));
        for (unsigned n = 1 + draw(w, 3); n; n--)
                text[draw(w, (unsigned)strlen(text))] = (char)(1 + draw(w, 255));
        fake_data(w->f, f, bl_str_make(text, draw(w, 3) ? strlen(text) : draw(w, (unsigned)strlen(text))));
}

static void send_try(struct world *w, struct called *c)
{
        bl_flow_id f = w->flows[draw(w, FLOWS)];
        struct bl_pool *pool = fake_env(w->f, c->worker)->pool;
        char line[64];
        snprintf(line, sizeof(line), "%s sip:b@b.example SIP/2.0", methods[c->method]);
        struct bl_buf *b = bl_buf_copy(pool, bl_str_z(text_of(w, line, methods[c->method], f, 100 + c->number, "")));
        (void)bl_client_try(c->ct, f, b);
        bl_buf_unref(pool, b);
}

static void some_call(struct world *w)
{
        struct called *c = &w->called[draw(w, CLIENTS)];
        char branch[32];
        if (!c->ct) {
                *c = (struct called){.worker = draw(w, WORKERS), .number = w->next_client++, .method = draw(w, 3)};
                snprintf(branch, sizeof(branch), "z9hG4bK-%02u", 100 + c->number);
                assert_int_equal(bl_client_new(w->t[c->worker], bl_method_from(bl_str_z(methods[c->method])),
                                               bl_str_z(methods[c->method]), bl_str_z(branch), 0, &client_user, c,
                                               &c->ct),
                                 0);
                send_try(w, c);
        } else if (draw(w, 3)) {
                send_try(w, c);
        } else if (draw(w, 3)) {
                bl_client_cancel(c->ct);
        } else {
                bl_client_free(c->ct);
                c->ct = NULL;
        }
}

static void some_response(struct world *w)
{
        static const uint16_t status[] = {100, 180, 200, 305, 430, 486, 503};
        struct called *c = &w->called[draw(w, CLIENTS)];
        bl_flow_id f = any_flow(w);
        char line[64], via[16];
        const char *method = draw(w, 6) ? methods[c->method] : "CANCEL";
        snprintf(line, sizeof(line), "SIP/2.0 %u X", status[draw(w, 7)]);
        snprintf(via, sizeof(via), ";w=%u", draw(w, 10) ? c->worker : draw(w, 5));
        if (f)
                fake_text(w->f, f, text_of(w, line, method, f, 100 + c->number, via));
}

static void some_answer(struct world *w)
{
        struct served *s = &w->served[draw(w, KEYS)][draw(w, 3)];
        if (!s->st)
                return;
        if (draw(w, 8)) {
                answer(w, s);
        } else if (draw(w, 4)) {
                (void)bl_server_move(s->st, w->flows[draw(w, FLOWS)]);
        } else if (bl_server_final(s->st)) {
                /* Forgotten: it may still absorb copies, but then the user hears nothing, which is as good. */
                bl_server_forget(s->st);
                let_go(w, s);
        }
}

static void some_flow(struct world *w)
{
        unsigned i = draw(w, FLOWS);
        struct fake_flow *fl = fake_flow(w->f, w->flows[i]);
        if (!fl) {
                char remote[32];
                snprintf(remote, sizeof(remote), "10.0.0.%u:5060", 1 + draw(w, 200));
                w->flows[i] = fake_accept(w->f, draw(w, WORKERS), draw(w, 2) ? BL_UDP : BL_TCP, remote);
        } else if (fl->state == FAKE_UP && draw(w, 6) == 0) {
                fake_down(w->f, fl->id, -104);
        } else if (draw(w, 4) == 0) {
                fl->send_rc = fl->send_rc ? 0 : BL_EFULL;
        }
}

static void step(struct world *w)
{
        static void (*const things[])(struct world *) = {some_request,  some_request, some_request, some_answer,
                                                         some_answer,   some_call,    some_call,    some_response,
                                                         some_response, some_flow,    some_garbage};
        things[draw(w, BL_ARRAY_LEN(things))](w);
        fake_settle(w->f);
        if (draw(w, 4) == 0)
                fake_pass(w->f, draw(w, 5) ? draw(w, 400) : draw(w, 20000));
        fake_drop_all(w->f);
}

/* ---- the end: everybody lets go, time passes ---- */

static void wind_down(struct world *w)
{
        for (unsigned i = 0; i < CLIENTS; i++)
                bl_client_free(w->called[i].ct);
        for (unsigned k = 0; k < KEYS * 3; k++) {
                struct served *s = &w->served[0][0] + k;
                if (s->st && !bl_server_final(s->st))
                        (void)bl_server_reply(s->st, s->req, &(struct bl_response){.status = 500});
        }
        fake_drop_all(w->f);
        fake_pass(w->f, 100000);
        for (unsigned i = 0; i < WORKERS; i++) {
                assert_int_equal(bl_txns_count(w->t[i]), 0);
                assert_int_equal(bl_txns_used(w->t[i]), 0);
        }
        for (unsigned i = 0; i < FLOWS; i++) {
                if (fake_flow(w->f, w->flows[i]))
                        fake_down(w->f, w->flows[i], 0);
        }
        for (unsigned i = 0; i < WORKERS; i++)
                assert_int_equal(bl_pool_used(fake_env(w->f, i)->pool), 0);
        assert_int_equal(bl_pool_used(w->mine), 0);
}

static void run(uint64_t seed)
{
        struct world *w = calloc(1, sizeof(*w));
        struct bl_flows *all[WORKERS];
        static const struct bl_flows_conf fconf;
        the = w;
        w->r.s = seed;
        w->f = fake_new(WORKERS);
        w->mine = bl_pool_new(0);
        w->index = bl_txn_index_new(seed);
        for (unsigned i = 0; i < WORKERS; i++) {
                w->t[i] = bl_txns_new(fake_env(w->f, i), &(struct bl_txns_conf){0}, &fconf, w->index, &user, &w->t[i]);
                all[i] = bl_txns_flows(w->t[i]);
        }
        bl_flows_join(all, WORKERS);
        for (unsigned i = 0; i < 3 * FLOWS; i++)
                some_flow(w);
        for (unsigned i = 0; i < STEPS; i++)
                step(w);
        print_message("  seed %u: %u requests told, %u responses\n", (unsigned)seed, w->told, w->responses);
        assert_true(w->told > 100 && w->responses > 50); /* it was not all in vain */
        wind_down(w);
        for (unsigned i = 0; i < WORKERS; i++)
                bl_txns_free(w->t[i]);
        bl_txn_index_free(w->index);
        bl_pool_free(w->mine);
        fake_free(w->f);
        free(w);
}

static void nothing_twice_and_nothing_left(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
                run(seed);
}

static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_twice_and_nothing_left),
};

int main(void)
{
        return cmocka_run_group_tests(tests, NULL, NULL);
}
