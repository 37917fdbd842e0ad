/* Every request inside a call, accounted for at both ends and on the wire; and the table that says so. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/demo_internal.h"

static uint64_t key(struct bl_str call_id, uint32_t cseq, enum bl_method m, unsigned from)
{
        return bl_hash_mix(bl_hash(7, call_id), (uint64_t)cseq << 16 | (uint64_t)m << 8 | from);
}

struct request *demo_request(struct demo *d, struct bl_str call_id, uint32_t cseq, enum bl_method m, unsigned from,
                             bool make)
{
        uint64_t k = key(call_id, cseq, m, from);
        for (struct bl_hnode *n = bl_htab_first(&d->requests, k); n; n = bl_htab_next(n)) {
                struct request *r = BL_CONTAINER(n, struct request, node);
                if (r->cseq == cseq && r->method == m && r->from == from && bl_str_eq(bl_str_z(r->call_id), call_id))
                        return r;
        }
        struct request *r = make ? calloc(1, sizeof *r) : NULL;
        if (!r)
                return NULL;
        snprintf(r->call_id, sizeof r->call_id, "%.*s", BL_STR_ARG(call_id));
        r->cseq = cseq;
        r->method = m;
        r->from = (uint8_t)from;
        r->fault = d->faults;
        r->sent_at = d->env->now;
        if (bl_htab_insert(&d->requests, &r->node, k) < 0) {
                free(r);
                return NULL;
        }
        if (d->last)
                d->last->next = r;
        else
                d->first = r;
        d->last = r;
        return r;
}

bool demo_complete(const struct demo *d)
{
        for (const struct request *r = d->first; r; r = r->next)
                if (!r->answered ||
                    (r->logged && !r->seen_delivered)) /* the observer may be a moment behind the phones */
                        return false;
        return true;
}

static bool delivered(const struct request *r)
{
        return r->logged && r->seen_delivered; /* the phone says so, and the wire does */
}

unsigned demo_lost(const struct demo *d)
{
        unsigned n = 0;
        for (const struct request *r = d->first; r; r = r->next)
                n += !delivered(r);
        return n;
}

static int by_time(const void *a, const void *b)
{
        const bl_us *x = a, *y = b;
        return *x < *y ? -1 : *x > *y;
}

/* From the kill to the delivery of the first request that each call sent after it. */
static unsigned recoveries(const struct demo *d, unsigned fault, bl_us *ret, unsigned max)
{
        unsigned n = 0;
        for (const struct request *r = d->first; r; r = r->next) {
                if (r->fault != fault || !delivered(r) || n == max)
                        continue;
                bool first = true;
                for (const struct request *o = d->first; o != r; o = o->next)
                        first &= !(o->fault == fault && strcmp(o->call_id, r->call_id) == 0);
                if (first)
                        ret[n++] = r->delivered_at - d->fault[fault - 1].at;
        }
        qsort(ret, n, sizeof *ret, by_time);
        return n;
}

static void fault_row(const struct demo *d, unsigned fault)
{
        static bl_us at[DEMO_CALLS];
        unsigned sent = 0, there = 0, retried = 0;
        for (const struct request *r = d->first; r; r = r->next) {
                if (r->fault != fault)
                        continue;
                sent++;
                there += delivered(r);
                retried += r->retried;
        }
        if (sent == 0)
                return;
        printf("  %-34s %6u %10u %6u %8u", fault ? d->fault[fault - 1].what : "before anything happened", sent, there,
               sent - there, retried);
        if (fault) {
                unsigned n = recoveries(d, fault, at, DEMO_CALLS);
                if (n)
                        printf("   %8.1f ms %8.1f ms", (double)at[n / 2] / 1000, (double)at[n - 1] / 1000);
        }
        putchar('\n');
}

void demo_table(struct demo *d)
{
        unsigned sent = 0, lost = demo_lost(d), retried = 0, up = 0;
        for (const struct request *r = d->first; r; r = r->next) {
                sent++;
                retried += r->retried;
        }
        for (unsigned i = 0; i < d->n_call; i++)
                up += d->call[i].up[0] && d->call[i].up[1];
        printf("\n  %-34s %6s %10s %6s %8s   %11s %11s\n", "mid-dialog requests sent", "sent", "delivered", "lost",
               "retried", "median", "max");
        printf("  %-34s %6s %10s %6s %8s   %s\n", "", "", "", "", "", "from the kill to delivery");
        for (unsigned f = 0; f <= d->faults; f++)
                fault_row(d, f);
        printf("  %-34s %6u %10u %6u %8u\n", "all", sent, sent - lost, lost, retried);
        printf("\n  calls: %u set up of %u; rebuilding redirects (305) seen: %llu; SIP messages observed: %llu, not "
               "observed: %llu\n",
               up, d->calls, (unsigned long long)d->redirects, (unsigned long long)d->messages,
               (unsigned long long)demo_see_missed(d));
        printf("  requests inside calls left by: exact match %u, equivalent %u, domain %u, a connection opened for "
               "them "
               "%u; connections: %u\n",
               d->by_rank[1], d->by_rank[2], d->by_rank[3], d->by_rank[4], d->n_conn);
        printf("  by the one that was named %u; not explained by their sender's log: %u\n", d->by_rank[0],
               d->unexplained);
        for (const struct request *r = d->first; r; r = r->next)
                if (!delivered(r))
                        printf("  LOST: %s CSeq %u %.*s from %s: logged by the receiver: %s, seen on the wire: %s, "
                               "answer: %u\n",
                               r->call_id, r->cseq, BL_STR_ARG(bl_method_name(r->method)), d->node[r->from].name,
                               r->logged ? "yes" : "no", r->seen_delivered ? "yes" : "no", r->status);
}
