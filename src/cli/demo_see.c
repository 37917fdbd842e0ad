/*
 * The demo's observer: outside both programs it hears all SIP on loopback, message by message, and says who sent what
 * to whom. What it counts is what was on the wire, whatever the programs claim.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/demo_internal.h"

struct heard { /* one direction of a TCP connection: octets that are not yet a message */
        struct bl_hnode node;
        struct bl_addr from, to;
        struct bl_frame_state frame;
        size_t n;
        char buf[2 * BL_MSG_MAX];
};

static uint64_t key(const struct bl_captured *c)
{
        return bl_hash_mix(bl_addr_hash(1, &c->from), bl_addr_hash(2, &c->to));
}

static struct heard *heard_find(struct demo *d, const struct bl_captured *c)
{
        for (struct bl_hnode *n = bl_htab_first(&d->streams, key(c)); n; n = bl_htab_next(n)) {
                struct heard *h = BL_CONTAINER(n, struct heard, node);
                if (bl_addr_eq(&h->from, &c->from) && bl_addr_eq(&h->to, &c->to))
                        return h;
        }
        return NULL;
}

static void heard_drop(struct demo *d, struct heard *h)
{
        if (!h)
                return;
        bl_htab_remove(&d->streams, &h->node);
        free(h);
}

static struct heard *heard_new(struct demo *d, const struct bl_captured *c)
{
        struct heard *h = malloc(sizeof *h);
        if (!h)
                return NULL;
        memset(h, 0, offsetof(struct heard, buf));
        h->from = c->from;
        h->to = c->to;
        if (bl_htab_insert(&d->streams, &h->node, key(c)) < 0) {
                free(h);
                return NULL;
        }
        return h;
}

/* --- the ladder --- */

static const char *clock_text(const struct demo *d, bl_us at, char out[16])
{
        snprintf(out, 16, "%8.3f", (double)(at - d->started_at) / 1e6);
        return out;
}

static struct sighting *remember(struct demo *d)
{
        static struct sighting spare;
        if (!d->seen)
                d->seen = calloc(DEMO_LADDER, sizeof *d->seen);
        return d->seen && d->n_seen < DEMO_LADDER ? &d->seen[d->n_seen++] : &spare;
}

void demo_see_fault(struct demo *d, const char *what)
{
        char clock[16];
        struct sighting *s = remember(d);
        *s = (struct sighting){.at = d->env->now, .fault = true};
        snprintf(s->label, sizeof s->label, "%s", what);
        printf("%s  ── %s ──\n", clock_text(d, d->env->now, clock), what);
        fflush(stdout);
}

static void show(struct demo *d, const struct sighting *s)
{
        char clock[16];
        /* Everything until the calls stand; then the first call stands for all, unless --all. */
        if (d->quiet || (!d->all && s->call > 1))
                return;
        printf("%s  %-6s ──► %-6s  %s", clock_text(d, s->at, clock), d->node[s->from].name, d->node[s->to].name,
               s->label);
        if (s->call)
                printf("  (call %u)", s->call);
        if (s->conn)
                printf("  #%u", s->conn->number);
        if (s->choice && s->choice->rank)
                printf(" [%u %s]", s->choice->rank, s->choice->binding);
        else if (s->choice)
                printf(" [%s]", s->choice->binding);
        putchar('\n');
}

static void put_label(const struct bl_msg *m, char *out, size_t cap)
{
        if (m->is_request)
                snprintf(out, cap, "%.*s", BL_STR_ARG(m->method_name));
        else
                snprintf(out, cap, "%u %.*s (%.*s)", m->status, (int)(m->reason.n < 24 ? m->reason.n : 24), m->reason.p,
                         BL_STR_ARG(m->cseq.method_name));
}

static bool is_phone(unsigned node)
{
        return node == ALICE || node == BOB;
}

/* Which leg of its way a request is on: to a phone, to the home, to an edge. */
static int kind(unsigned node)
{
        return is_phone(node) ? 0 : node == HOME ? 1 : 2;
}

/* A request inside a call: sent by its phone, passed on, delivered to the other. */
static void count(struct demo *d, const struct bl_msg *m, unsigned from, unsigned to)
{
        struct call *c = demo_call_by_id(d, m->call_id);
        if (!m->is_request || m->to_tag.n == 0 || m->method == BL_M_ACK || !c)
                return;
        for (unsigned phone = ALICE; phone <= BOB; phone++) {
                struct request *r = demo_request(d, m->call_id, m->cseq.number, m->method, phone, false);
                bool starts = from == phone;
                if (!r && starts)
                        r = demo_request(d, m->call_id, m->cseq.number, m->method, phone, true);
                if (!r || (is_phone(from) && !starts) || (is_phone(to) && to == phone))
                        continue;
                /* CSeq spaces of the two phones overlap: the From tag tells them apart, through the URI of From here.
                 */
                struct bl_nameaddr na;
                if (bl_msg_nameaddr(m, BL_H_FROM, 0, &na) < 0 || !bl_str_eq(na.uri.user, bl_str_z(d->node[phone].name)))
                        continue;
                for (unsigned i = 0; i < r->hops && i < BL_ARRAY_LEN(r->path); i++)
                        r->retried |= r->path[i].from == from && kind(r->path[i].to) == kind(to); /* one hop, twice */
                if (r->hops < BL_ARRAY_LEN(r->path)) {
                        r->path[r->hops].from = (uint8_t)from;
                        r->path[r->hops].to = (uint8_t)to;
                }
                r->hops++;
                r->seen_sent |= starts;
                r->seen_delivered |= is_phone(to);
        }
}

/* Which binding its sender found it a way by. */
static void explain(struct demo *d, const struct bl_msg *m, struct sighting *s)
{
        s->choice = demo_choice(d, s->from, m->via.branch, &s->target);
        if (s->call == 0)
                return;
        if (s->choice)
                d->by_rank[s->choice->rank % BL_ARRAY_LEN(d->by_rank)]++;
        else
                d->unexplained++;
}

static void on_message(struct demo *d, const struct bl_captured *c, struct bl_str octets)
{
        struct bl_msg *m;
        int from = demo_node_by_addr(d, &c->from), to = demo_node_by_addr(d, &c->to);
        bl_arena_reset(d->arena);
        if (from < 0 || to < 0 || bl_msg_parse(octets, c->tp == BL_UDP, d->arena, &m, NULL) < 0)
                return;
        d->messages++;
        if (!m->is_request && m->status == 305)
                d->redirects++;
        if (!m->is_request && m->status == 200 && m->method == BL_M_REGISTER && is_phone((unsigned)to) && from >= EDGE1)
                d->node[to].registered |= 1u << from;
        struct call *call = demo_call_by_id(d, m->call_id);
        struct sighting s = {.at = c->at, .from = (uint8_t)from, .to = (uint8_t)to, .source = c->from, .target = c->to};
        struct conn *conn = demo_conn(d, c);
        if (conn)
                conn->messages++;
        s.conn = conn;
        s.call = call ? (unsigned)(call - d->call) + 1 : 0;
        put_label(m, s.label, sizeof s.label);
        count(d, m, (unsigned)from, (unsigned)to);
        if (!call && m->method == BL_M_OPTIONS)
                return;
        if (m->is_request)
                explain(d, m, &s);
        *remember(d) = s;
        show(d, &s);
}

static void on_stream(struct demo *d, const struct bl_captured *c)
{
        struct heard *h = heard_find(d, c);
        if (c->opened || c->reset) {
                heard_drop(d, h);
                return;
        }
        if (!h && !(h = heard_new(d, c)))
                return;
        struct bl_str in = c->octets;
        while (in.n) {
                size_t room = sizeof h->buf - h->n, n = in.n < room ? in.n : room;
                if (n == 0) { /* not SIP: start over */
                        h->n = 0;
                        continue;
                }
                memcpy(h->buf + h->n, in.p, n);
                h->n += n;
                in = bl_str_from(in, n);
                size_t at = 0;
                enum bl_frame_kind kind;
                struct bl_str octets;
                int used;
                while ((used = bl_frame_next(&h->frame, bl_str_make(h->buf + at, h->n - at), BL_MSG_MAX, &kind,
                                             &octets)) > 0) {
                        if (kind == BL_FRAME_MESSAGE)
                                on_message(d, c, octets);
                        at += (size_t)used;
                        memset(&h->frame, 0, sizeof h->frame);
                }
                if (used != BL_EMORE)
                        at = h->n;
                memmove(h->buf, h->buf + at, h->n - at);
                h->n -= at;
        }
}

/* Datagrams that left as one train (UDP_SEGMENT) pass loopback as one packet, uncut: each is a message of its own. */
static void on_packet(struct demo *d, const struct bl_captured *c)
{
        struct bl_str in = c->octets;
        while (in.n > 16 && (uint8_t)in.p[0] >= 'A') { /* not a keep-alive */
                struct bl_frame_state state = {0};
                enum bl_frame_kind kind;
                struct bl_str octets;
                int used = bl_frame_next(&state, in, BL_MSG_MAX, &kind, &octets);
                if (used <= 0 || kind != BL_FRAME_MESSAGE) {
                        on_message(d, c, in);
                        return;
                }
                on_message(d, c, octets);
                in = bl_str_from(in, (size_t)used);
        }
}

static void seen(void *arg, const struct bl_captured *c)
{
        struct demo *d = arg;
        demo_conn_see(d, c);
        if (c->tp == BL_TCP && d->overhear)
                bl_overhear_see(d->overhear, c);
        else if (c->tp == BL_TCP)
                on_stream(d, c);
        else
                on_packet(d, c);
}

static void seen_clear(void *arg, const struct bl_captured *c)
{
        on_stream(arg, c);
}

bool demo_observe(struct demo *d)
{
        d->arena = bl_arena_new(1 << 20);
        if (d->tp == BL_TLS)
                d->overhear = bl_overhear_new(d->keylog_file, seen_clear, d);
        bool memory = d->arena && (d->overhear || d->tp != BL_TLS);
        int rc = memory ? bl_capture_open(d->world, DEMO_PORT, DEMO_TLS_PORT, seen, d, &d->capture) : BL_ENOMEM;
        if (rc < 0)
                demo_fail(d, "the observer cannot hear loopback: %s; run the demo as root, or allow user namespaces",
                          bl_err_text(rc));
        return rc == 0;
}

static void drop_node(struct bl_hnode *n, void *arg)
{
        (void)arg;
        free(BL_CONTAINER(n, struct heard, node));
}

void demo_see_end(struct demo *d)
{
        bl_capture_close(d->capture);
        d->capture = NULL;
        bl_overhear_free(d->overhear);
        demo_conn_end(d);
        demo_log_end(d);
        d->overhear = NULL;
        bl_htab_each(&d->streams, drop_node, NULL);
        bl_htab_fini(&d->streams);
        bl_arena_free(d->arena);
        d->arena = NULL;
}

uint64_t demo_see_missed(const struct demo *d)
{
        return (d->capture ? bl_capture_dropped(d->capture) : 0) + (d->overhear ? bl_overhear_failed(d->overhear) : 0);
}
