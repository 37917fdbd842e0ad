/* Accidents between nodes: partitions, cut flows, full queues, a NAT that forgets. (Deaths are in node.c.) */
#include "sim/internal.h"

#include <errno.h>
#include <stdlib.h>

static void block_add(struct sim *s, const struct sim_node *a, const struct sim_node *b)
{
        s->blocks = realloc(s->blocks, (s->n_blocks + 1) * sizeof(*s->blocks));
        if (!s->blocks)
                abort();
        s->blocks[s->n_blocks++] = (struct block){a, b};
}

static void block_remove(struct sim *s, const struct sim_node *a, const struct sim_node *b)
{
        unsigned n = 0;
        for (unsigned i = 0; i < s->n_blocks; i++)
                if (s->blocks[i].a != a || s->blocks[i].b != b)
                        s->blocks[n++] = s->blocks[i];
        s->n_blocks = n;
}

void sim_partition(struct sim_node *a, struct sim_node *b, enum sim_way way)
{
        sim_note(a->sim, "%s %s %s", a->name, way == SIM_ONE_WAY ? "is no longer heard by" : "is parted from", b->name);
        trace_mix(a->sim, (uint64_t)a->index << 32 | (uint64_t)b->index << 8 | 'p');
        sim_heal(a, b);
        block_add(a->sim, a, b);
        if (way == SIM_BOTH_WAYS)
                block_add(a->sim, b, a);
}

void sim_heal(struct sim_node *a, struct sim_node *b)
{
        block_remove(a->sim, a, b);
        block_remove(a->sim, b, a);
}

void sim_unplug(struct sim_node *n, bool out)
{
        if (n->unplugged != out)
                sim_note(n->sim, "%s is %s", n->name, out ? "unplugged" : "plugged in again");
        trace_mix(n->sim, (uint64_t)n->index << 8 | (out ? 'o' : 'i'));
        n->unplugged = out;
}

/* The flow at the other end of a UDP 5-tuple, if its process knows it. */
static struct flow *dgram_far(const struct flow *f)
{
        struct sim *s = f->w->node->sim;
        struct bl_addr seen = f->nat.addr.family ? f->nat.addr : f->local;
        struct ep *e = ep_find(s, EP_UDP, &f->remote);
        if (!e || !sim_alive(e->node))
                return NULL;
        return e->kind == EP_LISTENER ? dgram_accepted(e->node, e->listener, &seen) : e->flow;
}

static void cut(struct flow *f, enum sim_cut how)
{
        if (f->conn) {
                stream_cut(f, how);
                return;
        }
        struct flow *far = dgram_far(f);
        if (how == SIM_CUT_SILENT) {
                f->cut = true;
                if (far)
                        far->cut = true;
                return;
        }
        flow_end(f, -ECONNREFUSED);
        if (far)
                flow_end(far, -ECONNREFUSED);
}

void sim_cut_flow(struct sim_node *n, bl_flow_id id, enum sim_cut how)
{
        struct flow *f = bl_flow_worker(id) < n->n_workers ? flow_get(&n->w[bl_flow_worker(id)], id) : NULL;
        if (!f || f->state == FLOW_ENDING)
                return;
        sim_note(n->sim, "a flow of %s is cut", n->name);
        trace_mix(n->sim, (uint64_t)n->index << 8 | 'x');
        cut(f, how);
}

static struct sim_node *far_node(const struct flow *f)
{
        struct sim *s = f->w->node->sim;
        struct flow *far = f->conn ? stream_far(f) : NULL;
        if (far)
                return far->w->node;
        struct ep *e = ep_find(s, ep_proto_of(f->tp), &f->remote);
        return e ? e->node : ep_host(s, &f->remote);
}

bl_flow_id sim_flow_to(const struct sim_node *n, const struct sim_node *peer, unsigned i)
{
        uint64_t after = 0;
        for (;; i--) {
                const struct flow *best = NULL;
                for (unsigned w = 0; w < n->n_workers && sim_alive(n); w++)
                        for (uint32_t k = 0; k < n->w[w].n_slots; k++) {
                                const struct flow *f = n->w[w].slot[k];
                                if (f && f->state == FLOW_UP && f->seq > after && (!best || f->seq < best->seq) &&
                                    (!peer || far_node(f) == peer))
                                        best = f;
                        }
                if (!best || i == 0)
                        return best ? best->id : 0;
                after = best->seq;
        }
}

unsigned sim_cut_between(struct sim_node *a, struct sim_node *b, enum sim_cut how)
{
        unsigned n = 0;
        sim_note(a->sim, "all flows between %s and %s are cut", a->name, b->name);
        trace_mix(a->sim, (uint64_t)a->index << 32 | (uint64_t)b->index << 8 | 'x');
        for (unsigned w = 0; w < a->n_workers && sim_alive(a); w++)
                for (uint32_t k = 0; k < a->w[w].n_slots; k++) {
                        struct flow *f = a->w[w].slot[k];
                        if (f && f->state != FLOW_ENDING && far_node(f) == b) {
                                cut(f, how);
                                n++;
                        }
                }
        return n;
}

void sim_choke(struct sim_node *n, bool full)
{
        n->choked = full;
        for (unsigned w = 0; w < n->n_workers && !full && sim_alive(n); w++)
                for (uint32_t k = 0; k < n->w[w].n_slots; k++) {
                        struct flow *f = n->w[w].slot[k];
                        if (f && f->want_writable && f->state == FLOW_UP) {
                                f->want_writable = false;
                                in_flow(f, IN_WRITABLE, 0);
                        }
                }
}

struct sim_nat *sim_nat(struct sim *s, const char *public_ip, uint32_t idle_ms)
{
        struct sim_nat *n = NEW(struct sim_nat);
        *n = (struct sim_nat){.next = s->nats, .sim = s, .idle_ms = idle_ms};
        n->next_port = (uint16_t)(20000 + rng_below(&s->rng, 20000));
        if (bl_addr_parse(bl_str_z(public_ip), &n->ip) < 0)
                abort();
        return s->nats = n;
}

void sim_nat_rebind(struct sim_nat *nat)
{
        sim_note(nat->sim, "a NAT forgets its mappings");
        trace_mix(nat->sim, 'r');
        nat->gen++;
}
