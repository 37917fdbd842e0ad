/* The UDP wire: datagrams, the 5-tuples behind a listener, ICMP, and what a NAT makes of them. */
#include "sim/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { DGRAM_MAX = 65507 };

struct dgram { /* under way; EV_DGRAM forth, EV_ICMP back */
        struct tmsg *msg;
        struct bl_addr src, dst; /* on the wire, after the sender's NAT */
        struct sim_node *from;
        uint64_t flow_seq; /* of the sender, for order */
};

static uint64_t accepted_hash(uint16_t listener, const struct bl_addr *remote)
{
        return bl_addr_hash(listener, remote);
}

struct flow *dgram_accepted(struct sim_node *n, uint16_t listener, const struct bl_addr *remote)
{
        for (struct bl_hnode *h = bl_htab_first(&n->accepted, accepted_hash(listener, remote)); h;
             h = bl_htab_next(h)) {
                struct flow *f = BL_CONTAINER(h, struct flow, accepted);
                if (f->listener == listener && bl_addr_eq(&f->remote, remote))
                        return f;
        }
        return NULL;
}

int dgram_open(struct flow *f)
{
        f->sock = (struct ep){.kind = EP_SOCKET, .proto = EP_UDP, .addr = f->local, .flow = f};
        if (f->w->node->nat)
                f->sock.addr.family = 0; /* private: reached through the NAT only */
        else
                ep_add(f->w->node->sim, &f->sock);
        in_flow(f, IN_UP, 0);
        return 0;
}

void dgram_release(struct flow *f)
{
        struct sim *s = f->w->node->sim;
        ep_remove(s, &f->sock);
        ep_remove(s, &f->nat);
        if (f->in_accepted)
                bl_htab_remove(&f->w->node->accepted, &f->accepted);
}

static bool nat_fresh(const struct flow *f)
{
        const struct sim_nat *nat = f->w->node->nat;
        return f->nat.addr.family && f->nat_gen == nat->gen &&
               (!nat->idle_ms || f->nat_used + BL_MS(nat->idle_ms) > nat->sim->now);
}

/* The address that the world sees. */
static struct bl_addr seen_as(struct flow *f)
{
        struct sim_nat *nat = f->w->node->nat;
        if (!nat || f->is_accepted)
                return f->local;
        if (!nat_fresh(f)) {
                ep_remove(nat->sim, &f->nat);
                f->nat = (struct ep){.kind = EP_NAT, .proto = EP_UDP, .addr = nat->ip, .flow = f};
                f->nat.addr.port = nat->next_port = nat->next_port >= 65000 ? 20000 : (uint16_t)(nat->next_port + 1);
                f->nat_gen = nat->gen;
                ep_add(nat->sim, &f->nat);
        }
        f->nat_used = nat->sim->now;
        return f->nat.addr;
}

static void launch(struct sim *s, struct flow *f, struct tmsg *t, const struct dgram *d)
{
        bl_us at = s->now + net_delay(s);
        if (rng_ppm(s, s->net.reorder_ppm))
                at += net_delay(s); /* others may overtake it */
        else if (at <= f->last_arrival)
                at = ++f->last_arrival;
        else
                f->last_arrival = at;
        struct dgram *copy = NEW(struct dgram);
        *copy = *d;
        t->refs++;
        ev_push(s, at, EV_DGRAM, copy, 0);
}

int dgram_send(struct flow *f, struct bl_str octets)
{
        struct sim *s = f->w->node->sim;
        if (octets.n > DGRAM_MAX)
                return -EMSGSIZE;
        struct dgram d = {.src = seen_as(f), .dst = f->remote, .from = f->w->node, .flow_seq = f->seq};
        struct ep *to = ep_find(s, EP_UDP, &d.dst);
        struct tmsg *t = d.msg = trace_msg(f, &d.src, to ? to->node : ep_host(s, &d.dst), octets);
        if (trace_phase(s, t, SIM_SEND) == SIM_DROP || f->cut || rng_ppm(s, s->net.loss_ppm) || f->w->node->want_kill) {
                trace_lost(s, t);
        } else {
                launch(s, f, t, &d);
                if (rng_ppm(s, s->net.dup_ppm))
                        launch(s, f, t, &d);
        }
        trace_unref(t);
        return 0;
}

void dgram_free(struct sim *s, void *p)
{
        struct dgram *d = p;
        (void)s;
        trace_unref(d->msg);
        free(d);
}

/* --- arrival --- */

static struct flow *accept_from(struct sim_node *n, uint16_t listener, const struct bl_addr *remote)
{
        struct sim *s = n->sim;
        const struct ep *l = &n->listeners[listener]->ep;
        uint64_t tuple = bl_hash_mix(bl_addr_hash(s->seed, remote), bl_addr_hash(s->seed, &l->addr));
        struct flow *f = flow_new(&n->w[tuple % n->n_workers], BL_UDP, &l->addr, remote, listener, FLOW_UP);
        if (bl_htab_insert(&n->accepted, &f->accepted, accepted_hash(listener, remote)) < 0)
                abort();
        f->is_accepted = f->in_accepted = true;
        in_flow(f, IN_UP, 0);
        return f;
}

static bool is_open(const struct flow *f)
{
        return f && f->state != FLOW_ENDING;
}

/* Who gets it: an open socket connected to the sender, or a listener. NULL and *ret_icmp: somebody's kernel says no. */
static struct flow *receiver(struct sim *s, const struct dgram *d, bool *ret_icmp)
{
        struct ep *e = ep_find(s, EP_UDP, &d->dst);
        struct sim_node *host = e ? e->node : ep_host(s, &d->dst);
        *ret_icmp = false;
        if (!host || net_blocked(s, d->from, host))
                return NULL;
        *ret_icmp = true;
        if (!e || !sim_alive(host))
                return NULL;
        if (e->kind == EP_LISTENER) {
                struct flow *f = dgram_accepted(host, e->listener, &d->src);
                if (f && f->state == FLOW_ENDING) { /* closed in this very moment: the next one is a new flow */
                        bl_htab_remove(&host->accepted, &f->accepted);
                        f->in_accepted = false;
                        f = NULL;
                }
                return f ? f : accept_from(host, e->listener, &d->src);
        }
        if (e->kind == EP_NAT && !nat_fresh(e->flow)) {
                *ret_icmp = false; /* a NAT drops what it does not know */
                return NULL;
        }
        return is_open(e->flow) && bl_addr_eq(&e->flow->remote, &d->src) ? e->flow : NULL;
}

void dgram_arrive(struct sim *s, void *p)
{
        struct dgram *d = p;
        bool icmp;
        struct flow *f = receiver(s, d, &icmp);
        if (f && trace_phase(s, d->msg, SIM_DELIVER) == SIM_PASS) {
                f = receiver(s, d, &icmp); /* the observer may have changed the world */
                if (f && !f->cut && f->w->in_octets < INBOX_LIMIT) {
                        in_data(f, d->msg->octets, d->msg->m.octets.n);
                        dgram_free(s, d);
                        return;
                }
                icmp = icmp && !f;
        }
        trace_lost(s, d->msg);
        if (icmp && !f)
                ev_push(s, s->now + net_delay(s), EV_ICMP, d, 0);
        else
                dgram_free(s, d);
}

/* The ICMP error names the datagram; so it finds the flow that sent it, if that still is what it was. */
void dgram_icmp(struct sim *s, void *p)
{
        struct dgram *d = p;
        struct ep *e = ep_find(s, EP_UDP, &d->src);
        struct sim_node *to = ep_host(s, &d->dst);
        struct flow *f = NULL;
        if (e && sim_alive(e->node) && !(to && net_blocked(s, to, e->node)))
                f = e->kind == EP_LISTENER ? dgram_accepted(e->node, e->listener, &d->dst) : e->flow;
        if (is_open(f) && bl_addr_eq(&f->remote, &d->dst))
                flow_end(f, -ECONNREFUSED);
        dgram_free(s, d);
}
