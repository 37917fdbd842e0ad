/*
 * The table against a list that is searched from end to end with the two comparisons of sip/uri.h, as protocol.md 3.1
 * says it: the same answers, in the same order, after any operations.
 */
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "sticky/sticky.h"
#include "unit/rng.h"

enum { FLOWS = 24, BINDINGS = 400, DIALOG_IDLE_S = 40 };

struct flow {
        bl_flow_id id;
        enum { NONE, UP, KEPT } state;
        struct bl_addr remote;
        bool ours, secure;
        uint64_t serial;
        bl_us keep_until;
};
struct bound {
        char text[160];
        struct bl_uri uri;
        bl_flow_id flow;
        enum bl_bind_kind kind;
        bool secure;
        bl_us expires_at, used_at, confirmed_at;
        uint64_t dialog;
};
struct world {
        struct rng rng;
        struct bl_sticky *t;
        struct flow flow[FLOWS];
        struct bound b[BINDINGS];
        unsigned n, most, ids;
        bool narrow; /* few kinds of URIs, many of each */
        uint64_t serial;
        uint32_t generation;
        bl_us now;
};

/* --- URIs: few values, so that they meet; written in ways that must not matter --- */

static const char *const users[] = {"", "joe+1@", "joe%2b1@", "%6Aoe@", "joe@", "joe:pw@"};
static const char *const hosts[] = {"example.com", "EXAMPLE.com.", "e1.example.com", "[2001:DB8::1]",
                                    "[2001:db8:0::1]"};
static const char *const idents[] = {"", ";transport=tcp", ";Transport=TCP", ";maddr=10.0.0.1", ":5070"};

static void put_uri(struct world *w, char *out, size_t cap)
{
        static const char *const names[][2] = {{"lr", "LR=on"}, {"d", "D"}, {"n", "%6e"}, {"ob", "oB"}};
        static const uint8_t narrow_sets[] = {1, 3, 3, 3, 3, 7, 2, 0};
        unsigned set = (unsigned)(w->narrow ? narrow_sets[rng_below(&w->rng, 8)] : rng_below(&w->rng, 16));
        unsigned id = (unsigned)rng_below(&w->rng, w->ids), order = (unsigned)rng_below(&w->rng, 4);
        int n = snprintf(out, cap, "%s:%s%s%s", rng_below(&w->rng, 4) ? "sip" : "sips", users[id % 6],
                         hosts[w->narrow ? 0 : rng_below(&w->rng, 5)], idents[w->narrow ? 0 : rng_below(&w->rng, 5)]);

        for (unsigned k = 0; k < 4; k++) {
                unsigned i = (k + order) % 4, values = w->narrow ? 12 : 2;

                if (!(set >> i & 1))
                        continue;
                n += snprintf(out + n, cap - (size_t)n, ";%s", names[i][rng_below(&w->rng, 2)]);
                if (i == 1 || i == 2) /* d and n have values */
                        n += snprintf(out + n, cap - (size_t)n, "=%c%u", rng_below(&w->rng, 2) ? 'a' : 'A',
                                      (unsigned)rng_below(&w->rng, values));
        }
}

/* Kind and lifetime are the URI's, so that two bindings of one URI never disagree. */
static enum bl_bind_kind kind_of(const struct bl_uri *u)
{
        if (bl_uri_param(u, BL_STR("d"), NULL))
                return BL_BIND_DIALOG;
        if (!u->has_user)
                return bl_uri_is_lr(u) ? BL_BIND_DOMAIN : BL_BIND_CERT;
        return BL_BIND_PATH;
}

/* --- the model --- */

static struct flow *flow_by_id(struct world *w, bl_flow_id id)
{
        for (unsigned i = 0; i < FLOWS; i++)
                if (w->flow[i].state != NONE && w->flow[i].id == id)
                        return &w->flow[i];
        return NULL;
}

static bool visible(struct world *w, const struct bound *b)
{
        struct flow *f = flow_by_id(w, b->flow);

        if (!f || f->state != UP)
                return false;
        if (b->expires_at)
                return b->expires_at > w->now;
        return b->kind != BL_BIND_DIALOG || b->used_at + BL_SEC(DIALOG_IDLE_S) > w->now;
}

static void drop(struct world *w, unsigned i)
{
        w->n--;
        if (i != w->n) {
                w->b[i] = w->b[w->n];
                assert_int_equal(bl_uri_parse(bl_str_z(w->b[i].text), &w->b[i].uri), 0);
        }
}

/* What no answer can show again is forgotten. */
static void forget(struct world *w)
{
        for (unsigned i = 0; i < FLOWS; i++)
                if (w->flow[i].state == KEPT && w->flow[i].keep_until <= w->now)
                        w->flow[i].state = NONE;
        for (unsigned i = w->n; i-- > 0;) {
                struct flow *f = flow_by_id(w, w->b[i].flow);

                if (!f || (f->state == UP && !visible(w, &w->b[i])))
                        drop(w, i);
        }
}

struct want {
        struct flow *f;
        unsigned rank;
        bl_us confirmed_at;
        uint64_t score;
};

static struct bl_addr far_end(const struct want *m, bool by_user)
{
        struct bl_addr a = m->f->remote;

        if ((!by_user || m->rank == 3) && !m->f->ours)
                a.port = 0;
        return a;
}

static int better(const struct want *a, const struct want *b)
{
        if (a->rank != b->rank)
                return a->rank < b->rank;
        if (a->score != b->score)
                return a->score > b->score;
        if (a->rank < 3 && a->confirmed_at != b->confirmed_at)
                return a->confirmed_at > b->confirmed_at;
        return a->f->serial > b->f->serial;
}

static int compare_want(const void *a, const void *b)
{
        return better(a, b) ? -1 : better(b, a) ? 1 : 0;
}

/* Brings those of one far end together, the worker's own first. */
static void group_far_ends(struct want *m, unsigned n, bool by_user, unsigned worker)
{
        for (unsigned i = 0; i < n; i++) {
                struct bl_addr end = far_end(&m[i], by_user);
                struct want own[FLOWS], other[FLOWS], rest[FLOWS];
                unsigned a = 0, b = 0, c = 0;

                for (unsigned j = i; j < n; j++) {
                        struct bl_addr that = far_end(&m[j], by_user);

                        if (m[j].rank != m[i].rank || !bl_addr_eq(&that, &end))
                                rest[c++] = m[j];
                        else if ((unsigned)(m[j].f->id >> 56) == worker)
                                own[a++] = m[j];
                        else
                                other[b++] = m[j];
                }
                memcpy(m + i, own, a * sizeof(*m));
                memcpy(m + i + a, other, b * sizeof(*m));
                memcpy(m + i + a + b, rest, c * sizeof(*m));
                i += a + b - 1;
        }
}

static unsigned rank_of(const struct bound *b, const struct bl_uri *u, unsigned max_rank)
{
        if (bl_uri_exact(&b->uri, u, b->secure))
                return 1;
        if (max_rank >= 2 && bl_uri_equivalent(&b->uri, u, b->secure))
                return 2;
        if (max_rank >= 3 && (b->kind == BL_BIND_DOMAIN || b->kind == BL_BIND_CERT) && bl_host_eq(b->uri.host, u->host))
                return 3;
        return 0;
}

static unsigned model_find(struct world *w, const struct bl_sticky_query *q, struct want *m)
{
        unsigned n = 0;

        for (unsigned i = 0; i < w->n; i++) {
                struct bound *b = &w->b[i];
                unsigned rank = visible(w, b) ? rank_of(b, &q->uri, q->max_rank) : 0, j = 0;
                struct want new = {.f = flow_by_id(w, b->flow), .rank = rank, .confirmed_at = b->confirmed_at};

                if (!rank)
                        continue;
                if (rank == 1)
                        b->used_at = w->now;
                if (!q->uri.has_user || rank == 3) {
                        struct bl_addr end = far_end(&new, q->uri.has_user);

                        new.score = bl_addr_hash(q->spread, &end);
                }
                while (j < n && m[j].f != new.f)
                        j++;
                if (j == n)
                        m[n++] = new;
                else if (new.rank < m[j].rank || (new.rank == m[j].rank &&new.confirmed_at > m[j].confirmed_at))
                        m[j] = new;
        }
        qsort(m, n, sizeof(*m), compare_want);
        group_far_ends(m, n, q->uri.has_user, q->worker);
        return n < BL_STICKY_MAX ? n : BL_STICKY_MAX;
}

/* --- operations, on both --- */

static void op_flow(struct world *w)
{
        struct flow *f = &w->flow[rng_below(&w->rng, FLOWS)], *g = &w->flow[rng_below(&w->rng, FLOWS)];
        bl_us keep;

        if (f->state == NONE) {
                f->id = rng_below(&w->rng, 2) << 56 | ++w->generation;
                f->state = UP;
                f->serial = ++w->serial;
                f->ours = rng_below(&w->rng, 2);
                f->secure = rng_below(&w->rng, 3) == 0;
                f->remote = (struct bl_addr){.family = 4, .port = (uint16_t)(5060 + rng_below(&w->rng, 2))};
                f->remote.ip[0] = 127;
                f->remote.ip[3] = (uint8_t)(1 + rng_below(&w->rng, 6));
                assert_int_equal(bl_sticky_flow_add(w->t, f->id, BL_TCP, &f->remote, f->ours), 0);
        } else if (f->state == UP && rng_below(&w->rng, 3) == 0) {
                keep = rng_below(&w->rng, 3) ? w->now + BL_SEC(1 + rng_below(&w->rng, 20)) : 0;
                bl_sticky_flow_down(w->t, f->id, keep);
                f->state = keep ? KEPT : NONE;
                f->keep_until = keep;
        } else if (g != f && g->state == UP && f->secure == g->secure) {
                assert_int_equal(bl_sticky_flow_move(w->t, f->id, g->id), 0);
                for (unsigned i = 0; i < w->n; i++)
                        if (w->b[i].flow == f->id)
                                w->b[i].flow = g->id;
                if (f->state == KEPT)
                        f->state = NONE;
        }
        forget(w);
}

static void model_bind(struct world *w, const struct bl_bind *b, const char *text)
{
        bool there = false;

        for (unsigned i = 0; i < w->n; i++) {
                struct bound *o = &w->b[i];

                if (o->flow != b->flow || !bl_uri_exact(&o->uri, &b->uri, b->secure))
                        continue;
                there = true;
                o->expires_at = b->expires_at;
                o->used_at = w->now;
                o->dialog = b->dialog;
                o->confirmed_at = b->confirmed ? w->now : o->confirmed_at;
        }
        if (there)
                return;
        struct bound *o = &w->b[w->n++];
        *o = (struct bound){.flow = b->flow, .kind = b->kind, .secure = b->secure, .expires_at = b->expires_at};
        memcpy(o->text, text, sizeof(o->text));
        assert_int_equal(bl_uri_parse(bl_str_z(o->text), &o->uri), 0);
        o->used_at = w->now;
        o->dialog = b->dialog;
        o->confirmed_at = b->confirmed ? w->now : 0;
}

static void op_bind(struct world *w)
{
        struct flow *f = &w->flow[rng_below(&w->rng, FLOWS)];
        struct bl_bind b = {0};
        char text[160];

        put_uri(w, text, sizeof(text));
        assert_int_equal(bl_uri_parse(bl_str_z(text), &b.uri), 0);
        if (f->state != UP || w->n >= w->most)
                return;
        b.flow = f->id;
        b.kind = kind_of(&b.uri);
        b.secure = f->secure;
        b.confirmed = rng_below(&w->rng, 2);
        b.dialog = bl_uri_hash(1, &b.uri) % 5; /* means nothing to other kinds than DIALOG */
        b.expires_at = b.kind == BL_BIND_PATH ? w->now + BL_SEC(30) : 0;
        assert_int_equal(bl_sticky_bind(w->t, &b, w->now), 0);
        model_bind(w, &b, text);
}

static void op_unbind(struct world *w)
{
        char text[160];
        struct bl_uri u;
        bl_flow_id flow = rng_below(&w->rng, 3) ? w->flow[rng_below(&w->rng, FLOWS)].id : 0;

        put_uri(w, text, sizeof(text));
        assert_int_equal(bl_uri_parse(bl_str_z(text), &u), 0);
        bl_sticky_unbind(w->t, &u, flow);
        for (unsigned i = w->n; i-- > 0;)
                if (bl_uri_exact(&w->b[i].uri, &u, w->b[i].secure) && (flow == 0 || w->b[i].flow == flow))
                        drop(w, i);
}

static void op_end_dialog(struct world *w)
{
        uint64_t dialog = rng_below(&w->rng, 5);

        bl_sticky_end_dialog(w->t, dialog);
        for (unsigned i = w->n; dialog && i-- > 0;)
                if (w->b[i].kind == BL_BIND_DIALOG && w->b[i].dialog == dialog)
                        drop(w, i);
}

static void check_find(struct world *w)
{
        struct bl_sticky_query q = {.worker = (unsigned)rng_below(&w->rng, 2), .spread = rng_below(&w->rng, 9)};
        struct bl_sticky_found got[BL_STICKY_MAX];
        struct want want[FLOWS];
        char text[160];
        unsigned n, m;

        q.max_rank = (uint8_t)(1 + rng_below(&w->rng, 3));
        put_uri(w, text, sizeof(text));
        assert_int_equal(bl_uri_parse(bl_str_z(text), &q.uri), 0);
        n = bl_sticky_find(w->t, &q, w->now, got);
        m = model_find(w, &q, want);
        for (unsigned i = 0; i < n || i < m; i++)
                if (i >= n || i >= m || got[i].flow != want[i].f->id || got[i].rank != want[i].rank)
                        fail_msg("%s max rank %u: candidate %u of %u is flow %llx rank %u, want (of %u) %llx rank %u",
                                 text, q.max_rank, i, n, i < n ? (unsigned long long)got[i].flow : 0,
                                 i < n ? got[i].rank : 0, m, i < m ? (unsigned long long)want[i].f->id : 0,
                                 i < m ? want[i].rank : 0);
        /* the same question asked of one flow; what expired since the last bind is not there either */
        bl_sticky_expire(w->t, w->now);
        bl_flow_id one = w->flow[rng_below(&w->rng, FLOWS)].id;
        bool is = false, near = false;
        for (unsigned i = 0; i < w->n; i++) {
                unsigned rank = visible(w, &w->b[i]) && w->b[i].flow == one ? rank_of(&w->b[i], &q.uri, 2) : 0;

                is |= rank == 1;
                near |= rank != 0;
        }
        assert_int_equal(bl_sticky_is_bound(w->t, &q.uri, one, false), is);
        assert_int_equal(bl_sticky_is_bound(w->t, &q.uri, one, true), near);
}

static void check_orphan(struct world *w)
{
        struct bl_addr at = {.family = 4, .ip = {127, 0, 0, (uint8_t)(1 + rng_below(&w->rng, 6))}};
        struct bl_str host = bl_str_z(hosts[rng_below(&w->rng, 5)]);
        const struct flow *best = NULL;
        bl_flow_id got = 0;

        for (unsigned i = 0; i < w->n; i++) {
                const struct bound *b = &w->b[i];
                const struct flow *f = flow_by_id(w, b->flow);

                if (f && f->state == KEPT && (b->kind == BL_BIND_DOMAIN || b->kind == BL_BIND_CERT) &&
                    bl_host_eq(b->uri.host, host) && bl_addr_eq_ip(&f->remote, &at) &&
                    (!best || f->serial > best->serial))
                        best = f;
        }
        assert_int_equal(bl_sticky_flow_orphan(w->t, host, &at, w->now, &got), best ? 0 : BL_ENOENT);
        assert_int_equal(got, best ? best->id : 0);
}

static void step(struct world *w)
{
        switch (rng_below(&w->rng, 12)) {
        case 0:
                op_flow(w);
                break;
        case 1:
        case 2:
        case 3:
        case 4:
                op_bind(w);
                break;
        case 5:
                op_unbind(w);
                break;
        case 6:
                if (rng_below(&w->rng, 4) == 0)
                        op_end_dialog(w);
                break;
        case 7:
                w->now += BL_MS(rng_below(&w->rng, 2000));
                forget(w);
                if (rng_below(&w->rng, 2))
                        bl_sticky_expire(w->t, w->now);
                break;
        case 8:
                check_orphan(w);
                break;
        default:
                check_find(w);
        }
}

/* After all flows are gone nothing is left, not an octet. */
static void drain(struct world *w)
{
        struct bl_sticky_stats st;

        for (unsigned i = 0; i < FLOWS; i++)
                if (w->flow[i].state != NONE)
                        bl_sticky_flow_down(w->t, w->flow[i].id, 0);
        for (unsigned i = 0; i < 8; i++)
                bl_sticky_expire(w->t, w->now);
        bl_sticky_get_stats(w->t, &st);
        assert_int_equal(st.bindings, 0);
        assert_int_equal(st.flows, 0);
        assert_int_equal(st.octets, 0);
}

static void run(uint64_t seed, bool narrow, unsigned shards, unsigned steps)
{
        struct world *w = calloc(1, sizeof(*w));
        struct bl_sticky_conf conf = {.hash_seed = seed, .dialog_idle = BL_SEC(DIALOG_IDLE_S), .shards = shards};

        assert_non_null(w);
        print_message("seed %llu narrow %d\n", (unsigned long long)seed, narrow);
        w->rng.s = seed;
        w->narrow = narrow;
        w->ids = narrow ? 1 + seed % 2 : 6;
        w->most = narrow ? 60 : 200;
        w->now = BL_SEC(1000);
        w->t = bl_sticky_new(&conf);
        assert_non_null(w->t);
        for (unsigned i = 0; i < steps; i++)
                step(w);
        drain(w);
        bl_sticky_free(w->t);
        free(w);
}

static void broad_mixture(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed <= 12; seed++)
                run(seed, false, seed % 2 ? 1 : 0, 6000);
}

static void many_uris_of_one_identity(void **state)
{
        (void)state;
        for (uint64_t seed = 101; seed <= 112; seed++)
                run(seed, true, 0, 6000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(broad_mixture),
                cmocka_unit_test(many_uris_of_one_identity),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
