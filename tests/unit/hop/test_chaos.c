/*
 * Whatever far ends and the net do, in whatever order: a request ends exactly once, in time, within its budget, and
 * leaves nothing behind. Seeds are fixed; a failure names its own.
 */
#include "unit/unit.h"

#include "unit/hop/kit.h"
#include "unit/rng.h"

#define P "sip:joe+i+e1+e3+M@edge.example.com;lr"

enum { RUNS = 1500, STEPS = 60 };

#define CHECK(cond)                                                                                                    \
        do {                                                                                                           \
                if (!(cond))                                                                                           \
                        fail_msg("seed %u: %s", (unsigned)seed_at, #cond);                                             \
        } while (0)

static unsigned draw(struct rng *r, unsigned below)
{
        return (unsigned)rng_below(r, below);
}

static bl_flow_id any_flow(struct kit *k, struct rng *seed)
{
        bl_flow_id alive[FAKE_FLOWS];
        unsigned n = 0;
        for (unsigned i = 0; i < FAKE_FLOWS; i++) {
                if (k->f->flows[i].state == FAKE_UP || k->f->flows[i].state == FAKE_OPENING)
                        alive[n++] = k->f->flows[i].id;
        }
        return n ? alive[draw(seed, n)] : 0;
}

static void answer(struct kit *k, struct rng *seed, bl_flow_id f)
{
        static const unsigned statuses[] = {100, 180, 183, 200, 305, 305, 408, 430,
                                            430, 481, 482, 486, 500, 503, 503, 603};
        static const char *const contacts[] = {
                "Contact: <" P ";d=1;maddr=10.0.1.1>;q=0.3, <" P ";d=1;maddr=10.0.1.3>\r\n",
                "Contact: <" P ";maddr=10.0.1.2>\r\n",
                "Contact: <sip:eve@evil.example;lr>\r\n",
                "Retry-After: 2\r\n",
                "",
        };
        unsigned before = k->n_seen;
        kit_resp_more(k, f, statuses[draw(seed, BL_ARRAY_LEN(statuses))], contacts[draw(seed, BL_ARRAY_LEN(contacts))]);
        if (k->n_seen > before && k->n_seen > KIT_SEEN / 2)
                k->n_seen = 1;
}

static void step(struct kit *k, struct rng *seed)
{
        bl_flow_id f = any_flow(k, seed);
        switch (draw(seed, 8)) {
        case 0:
                if (f)
                        kit_down(k, f, draw(seed, 2) ? -104 : -111);
                break;
        case 1:
        case 2:
                if (f && fake_flow(k->f, f)->state == FAKE_OPENING) {
                        fake_up(k->f, f);
                        fake_settle(k->f);
                }
                break;
        case 3:
        case 4:
                if (f && fake_flow(k->f, f)->state == FAKE_UP)
                        answer(k, seed, f);
                break;
        case 5:
                fake_pass(k->f, draw(seed, 1500));
                break;
        case 6:
                if (f && draw(seed, 4) == 0)
                        fake_flow(k->f, f)->send_rc = fake_flow(k->f, f)->send_rc ? 0 : BL_EFULL;
                break;
        case 7:
                if (k->s && draw(seed, 12) == 0)
                        bl_send_cancel(k->s);
                break;
        }
        fake_drop_all(k->f);
}

static void run(uint64_t seed_at)
{
        static const char *const uris[] = {P ";d=1", P, "sip:home.example;lr", "sip:udp.example;lr", P ";n=e3"};
        static const unsigned flags[] = {0, BL_SEND_BELAY, BL_SEND_UA, BL_SEND_BELAY, BL_SEND_NO_REDIRECT};
        struct rng seed = {seed_at};
        struct kit *k = kit_new();
        size_t idle = bl_pool_used(kit_env(k)->pool);
        bl_flow_id e1 = kit_accept(k, "10.0.1.1:4000"), e2 = kit_accept(k, "10.0.1.2:4000");
        enum bl_method m = draw(&seed, 2) ? BL_M_INVITE : BL_M_BYE;
        kit_bind(k, P, draw(&seed, 2) ? e1 : e2, BL_BIND_PATH);
        kit_go(k, m, uris[draw(&seed, BL_ARRAY_LEN(uris))], flags[draw(&seed, BL_ARRAY_LEN(flags))]);
        for (unsigned i = 0; i < STEPS; i++)
                step(k, &seed);
        /* Silence from here on, all flows gone: it ends by itself, or it rings and its owner ends it (Timer C). */
        for (unsigned i = 0; i < 90; i++) {
                for (bl_flow_id f; (f = any_flow(k, &seed)) != 0;)
                        kit_down(k, f, -104);
                fake_drop_all(k->f);
                fake_pass(k->f, 1000);
        }
        CHECK(!k->s);
        CHECK(k->n_ended == 1);
        CHECK(k->n_failed <= 1);
        CHECK(k->n_render <= 64);
        fake_pass(k->f, 40000);
        CHECK(bl_txns_count(k->t) == 0);
        CHECK(bl_pool_used(kit_env(k)->pool) == idle);
        kit_free(k);
}

static void a_request_ends_once_whatever_happens(void **state)
{
        (void)state;
        for (uint64_t i = 1; i <= RUNS; i++)
                run(i);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_request_ends_once_whatever_happens),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
