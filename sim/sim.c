/* The clock, the heap of events, and the seed. */
#include "sim/internal.h"

#include <stdlib.h>

const struct sim_net sim_net_calm = {.delay_min_us = 200,
                                     .delay_max_us = 2000,
                                     .cut_ppm = 50000,
                                     .connect_ms = 10000,
                                     .user_timeout_ms = 10000,
                                     .dns_min_us = 500,
                                     .dns_max_us = 5000,
                                     .wake_max_us = 30};
const struct sim_net sim_net_rough = {.delay_min_us = 1000,
                                      .delay_max_us = 40000,
                                      .loss_ppm = 30000,
                                      .dup_ppm = 20000,
                                      .reorder_ppm = 100000,
                                      .cut_ppm = 500000,
                                      .connect_ms = 10000,
                                      .user_timeout_ms = 10000,
                                      .dns_min_us = 1000,
                                      .dns_max_us = 200000,
                                      .wake_max_us = 300};

void *sim_alloc(size_t n)
{
        void *p = calloc(1, n ? n : 1);
        if (!p) {
                fputs("sim: no memory\n", stderr);
                abort();
        }
        return p;
}

/* SplitMix64: one word of state, every seed is good. */
uint64_t rng_next(uint64_t *state)
{
        uint64_t z = *state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
}

uint64_t rng_below(uint64_t *state, uint64_t below)
{
        return below > 1 ? rng_next(state) % below : 0;
}

bool rng_ppm(struct sim *s, uint32_t ppm)
{
        return ppm != 0 && rng_below(&s->rng, 1000000) < ppm;
}

uint64_t sim_draw(struct sim *s, uint64_t below)
{
        return rng_below(&s->rng, below);
}

bl_us net_delay(struct sim *s)
{
        return s->net.delay_min_us + rng_below(&s->rng, (uint64_t)s->net.delay_max_us - s->net.delay_min_us + 1);
}

/* --- the heap: by time, then by order of creation --- */

static bool ev_before(const struct ev *a, const struct ev *b)
{
        return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void ev_push(struct sim *s, bl_us at, enum ev_kind kind, void *p, uint64_t a)
{
        if (s->n_heap == s->cap_heap) {
                s->cap_heap = s->cap_heap ? s->cap_heap * 2 : 256;
                s->heap = realloc(s->heap, s->cap_heap * sizeof(*s->heap));
                if (!s->heap)
                        abort();
        }
        struct ev e = {.at = at < s->now ? s->now : at, .seq = s->seq++, .a = a, .p = p, .kind = kind};
        size_t i = s->n_heap++;
        for (; i > 0 && ev_before(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
                s->heap[i] = s->heap[(i - 1) / 2];
        s->heap[i] = e;
}

static struct ev ev_pop(struct sim *s)
{
        struct ev top = s->heap[0], last = s->heap[--s->n_heap];
        size_t i = 0;
        for (size_t c; (c = 2 * i + 1) < s->n_heap; i = c) {
                if (c + 1 < s->n_heap && ev_before(&s->heap[c + 1], &s->heap[c]))
                        c++;
                if (!ev_before(&s->heap[c], &last))
                        break;
                s->heap[i] = s->heap[c];
        }
        if (s->n_heap)
                s->heap[i] = last;
        return top;
}

struct script {
        void (*fn)(struct sim *, void *);
        void *arg;
};

void sim_at(struct sim *s, bl_us delay, void (*fn)(struct sim *, void *), void *arg)
{
        struct script *sc = NEW(struct script);
        *sc = (struct script){fn, arg};
        ev_push(s, s->now + delay, EV_SCRIPT, sc, 0);
}

static void ev_run(struct sim *s, const struct ev *e)
{
        struct worker *w = e->p;
        switch (e->kind) {
        case EV_WAKE:
                if (w->node->epoch == e->a)
                        worker_run(w);
                break;
        case EV_TIMER:
                if (w->node->epoch == e->a && w->timer_at == e->at) {
                        w->timer_at = UINT64_MAX;
                        worker_run(w);
                }
                break;
        case EV_DGRAM:
                dgram_arrive(s, e->p);
                break;
        case EV_ICMP:
                dgram_icmp(s, e->p);
                break;
        case EV_SYN:
        case EV_ACK:
        case EV_REFUSE:
        case EV_PIPE:
        case EV_RST:
                stream_event(s, e);
                break;
        case EV_DNS:
                names_arrive(s, e->p);
                break;
        case EV_POST:
                post_arrive(e->p, e->a);
                break;
        case EV_SCRIPT: {
                struct script sc = *(struct script *)e->p;
                free(e->p);
                sc.fn(s, sc.arg);
                break;
        }
        }
}

/* The world ends with this still to come. */
static void ev_drop(struct sim *s, const struct ev *e)
{
        switch (e->kind) {
        case EV_WAKE:
        case EV_TIMER:
                break;
        case EV_DGRAM:
        case EV_ICMP:
                dgram_free(s, e->p);
                break;
        case EV_SYN:
        case EV_ACK:
        case EV_REFUSE:
        case EV_PIPE:
        case EV_RST:
                stream_unref(s, e->p);
                break;
        case EV_DNS:
                names_drop(e->p);
                break;
        case EV_POST:
        case EV_SCRIPT:
                free(e->p);
                break;
        }
}

bool sim_step(struct sim *s, bl_us end)
{
        if (s->n_heap == 0 || s->heap[0].at > end) {
                s->now = end > s->now ? end : s->now;
                return false;
        }
        struct ev e = ev_pop(s);
        s->now = e.at;
        ev_run(s, &e);
        return true;
}

bool sim_run_until(struct sim *s, bool (*pred)(void *arg), void *arg, bl_us max_us)
{
        bl_us end = s->now + max_us;
        do {
                if (pred && pred(arg))
                        return true;
        } while (sim_step(s, end));
        return false;
}

void sim_run_for(struct sim *s, bl_us us)
{
        sim_run_until(s, NULL, NULL, us);
}

struct sim *sim_new(uint64_t seed)
{
        struct sim *s = NEW(struct sim);
        s->seed = s->rng = seed;
        rng_next(&s->rng); /* neighbouring seeds part at once */
        s->rng ^= seed << 32;
        s->now = BL_SEC(1000); /* not 0: so that "never" and "at the start" differ */
        s->net = sim_net_calm;
        s->keep = true;
        s->trace_tail = &s->trace_first;
        s->note_tail = &s->note_first;
        static const char *const names[] = {"error", "warn", "info", "debug"};
        const char *want = getenv("SIM_LOG");
        s->log_level = -1;
        for (int i = 0; want && i < (int)BL_ARRAY_LEN(names); i++)
                if (strcmp(want, names[i]) == 0)
                        s->log_level = i;
        return s;
}

void sim_free(struct sim *s)
{
        if (!s)
                return;
        for (unsigned i = 0; i < s->n_nodes; i++)
                sim_kill(s->nodes[i], SIM_KILL_SILENT);
        for (size_t i = 0; i < s->n_heap; i++)
                ev_drop(s, &s->heap[i]);
        for (unsigned i = 0; i < s->n_nodes; i++)
                node_free(s->nodes[i]);
        for (struct sim_nat *n = s->nats, *next; n; n = next) {
                next = n->next;
                free(n);
        }
        names_fini(s);
        trace_fini(s);
        bl_htab_fini(&s->eps);
        free(s->blocks);
        free(s->nodes);
        free(s->heap);
        free(s);
}

uint64_t sim_seed(const struct sim *s)
{
        return s->seed;
}
bl_us sim_now(const struct sim *s)
{
        return s->now;
}
void sim_set_net(struct sim *s, const struct sim_net *net)
{
        s->net = *net;
}

/* --- endpoints --- */

static uint64_t ep_hash(enum ep_proto proto, const struct bl_addr *a)
{
        return bl_addr_hash((uint64_t)proto + 1, a);
}

void ep_add(struct sim *s, struct ep *e)
{
        if (bl_htab_insert(&s->eps, &e->h, ep_hash(e->proto, &e->addr)) < 0)
                abort();
        e->node = e->flow ? e->flow->w->node : e->node;
}

void ep_remove(struct sim *s, struct ep *e)
{
        if (e->addr.family)
                bl_htab_remove(&s->eps, &e->h);
        e->addr.family = 0;
}

struct ep *ep_find(const struct sim *s, enum ep_proto proto, const struct bl_addr *a)
{
        for (struct bl_hnode *n = bl_htab_first(&s->eps, ep_hash(proto, a)); n; n = bl_htab_next(n)) {
                struct ep *e = BL_CONTAINER(n, struct ep, h);
                if (e->proto == proto && bl_addr_eq(&e->addr, a))
                        return e;
        }
        return NULL;
}

struct sim_node *ep_host(const struct sim *s, const struct bl_addr *a)
{
        struct bl_addr ip = *a;
        ip.port = 0;
        struct ep *e = ep_find(s, EP_IP, &ip);
        return e ? e->node : NULL;
}

bool net_blocked(const struct sim *s, const struct sim_node *from, const struct sim_node *to)
{
        if (from->unplugged || to->unplugged || from->state == NODE_DARK || to->state == NODE_DARK)
                return true;
        for (unsigned i = 0; i < s->n_blocks; i++)
                if (s->blocks[i].a == from && s->blocks[i].b == to)
                        return true;
        return false;
}
