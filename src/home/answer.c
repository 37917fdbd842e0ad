/*
 * Answers to requests that a home forwarded before it died or restarted (protocol.md section 5). It has no dialog
 * state, and of a transaction only what died with it; but an answer from an edge that goes on to an edge needs no more
 * than to be passed on: the edge cluster reads in its own Via, below ours, where the answer belongs, and verifies that
 * it may. So whichever node of the home gets it sends it to any edge of the cluster that the next Via names; anything
 * else is dropped. No address is read from a Via.
 */
#include "home/internal.h"

static bool from_edge(const struct bl_home *h, const struct bl_flow *f)
{
        bool via;
        for (unsigned i = 0; i < h->node->c.n_domains; i++)
                if (home_flow_is_edge(&h->node->c.domains[i], f, &via))
                        return true;
        return false;
}

static bool send_on(struct bl_home *h, struct bl_flows *flows, bl_flow_id to, const struct bl_msg *m)
{
        struct bl_edits ed;
        struct bl_buf *buf;
        bl_edits_init(&ed, m, bl_flows_arena(flows));
        bl_edit_remove_value(&ed, BL_H_VIA, 0);
        if (bl_write(h->env->pool, m, &ed, &buf) < 0)
                return false;
        int rc = bl_flow_send(flows, to, buf);
        bl_buf_unref(h->env->pool, buf);
        return rc >= 0;
}

void home_answer_stray(void *role, bl_flow_id from, struct bl_msg *m)
{
        struct bl_home *h = role;
        struct bl_flows *flows = bl_txns_flows(bl_proxy_txns(h->proxy));
        struct bl_flow *f = bl_flow_get(flows, from);
        struct bl_sticky_found found[BL_STICKY_MAX];
        struct bl_sticky_query q = {.worker = h->env->worker, .spread = bl_hash(h->env->hash_seed, m->call_id)};
        struct bl_via below;
        char text[300];
        struct bl_sb b = BL_SB(text);
        if (!f || m->status == 100 || bl_msg_via(m, 1, &below) < 0 || !home_host_is_edge(h, below.host) ||
            !from_edge(h, f))
                return;
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, below.host);
        if (b.over || bl_uri_parse(bl_sb_str(&b), &q.uri) < 0)
                return;
        unsigned n = bl_sticky_find(h->node->sticky, &q, h->env->now, found);
        for (unsigned i = 0; i < n; i++)
                if (send_on(h, flows, found[i].flow, m)) {
                        bl_count(h->rescued_total);
                        return;
                }
}
