/* The connections that the observer saw, numbered: who opened them, and what went over them. */
#include <stdlib.h>

#include "cli/demo_internal.h"

static uint64_t key(const struct bl_captured *c) /* of both directions */
{
        return bl_addr_hash(1, &c->from) ^ bl_addr_hash(1, &c->to) ^ c->tp;
}

struct conn *demo_conn(const struct demo *d, const struct bl_captured *c)
{
        for (struct bl_hnode *n = bl_htab_first(&d->conns, key(c)); n; n = bl_htab_next(n)) {
                struct conn *x = BL_CONTAINER(n, struct conn, node);
                if (x->closed || (x->tp == BL_UDP) != (c->tp == BL_UDP))
                        continue;
                if ((bl_addr_eq(&x->a, &c->from) && bl_addr_eq(&x->b, &c->to)) ||
                    (bl_addr_eq(&x->a, &c->to) && bl_addr_eq(&x->b, &c->from)))
                        return x;
        }
        return NULL;
}

static struct conn *make(struct demo *d, const struct bl_captured *c)
{
        struct conn *x = calloc(1, sizeof *x);
        if (!x)
                return NULL;
        x->a = c->from;
        x->b = c->to;
        x->tp = c->tp == BL_UDP ? BL_UDP : d->tp;
        x->opened_at = c->at;
        if (bl_htab_insert(&d->conns, &x->node, key(c)) < 0) {
                free(x);
                return NULL;
        }
        x->number = ++d->n_conn;
        if (d->last_conn)
                d->last_conn->next = x;
        else
                d->first_conn = x;
        d->last_conn = x;
        return x;
}

void demo_conn_see(struct demo *d, const struct bl_captured *c)
{
        if (demo_node_by_addr(d, &c->from) < 0 || demo_node_by_addr(d, &c->to) < 0)
                return; /* a probe of ours */
        struct conn *x = demo_conn(d, c);
        if (c->opened && x && bl_addr_eq(&x->a, &c->from)) { /* the same ports again */
                x->closed = true;
                x = NULL;
        }
        if (!x && !c->reset)
                x = make(d, c);
        if (!x)
                return;
        x->octets += c->octets.n;
        if (c->reset) {
                x->closed = true;
                x->closed_at = c->at;
        }
}

static void drop(struct bl_hnode *n, void *arg)
{
        (void)arg;
        free(BL_CONTAINER(n, struct conn, node));
}

void demo_conn_end(struct demo *d)
{
        bl_htab_each(&d->conns, drop, NULL);
        bl_htab_fini(&d->conns);
}
