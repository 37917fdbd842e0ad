/*
 * Answers to requests that another edge forwarded (protocol.md section 5, mid-transaction). Its Via names the cluster,
 * so when it has died the answer comes to any of us; and a parameter of that Via says where the answer belongs:
 *
 *     ;b=DIGEST.u.FAR.TEXT     the request came from the UA: TEXT is the user part of its P
 *     ;b=DIGEST.h.FAR.TEXT     it came from the home: TEXT is the home's domain
 *
 * FAR is the address it came from, both are base64url. DIGEST is keyed by the cluster, over all of that, the Via below,
 * Call-ID, CSeq and the hour; so nobody can make one, or use one for another request. The answer goes to a flow that is
 * bound to P, or linked to the domain; never to an address that a Via names. REGISTER has none of this: what its answer
 * binds is bound by the edge that forwarded it, or by nobody.
 */
#include "edge/internal.h"

enum { AWAY_TEXT = 200, MIXED = 1024, HOUR_S = 3600, FELLOWS = 3 };

void edge_answer_goes(struct bl_px *px, const struct bl_flow *f, bool to_ua, struct bl_str text)
{
        struct passage *a = text.n <= AWAY_TEXT ? edge_passage(px) : NULL;
        if (!a)
                return; /* then it is lost with this edge, as with any proxy */
        a->answers = true;
        a->to_ua = to_ua;
        a->text = bl_px_str(px, text);
        a->far = f->remote;
}

/* NULL: not known. */
static const struct passage *known(struct bl_px *px)
{
        const struct passage *a = bl_px_msg(px)->method == BL_M_REGISTER ? NULL : *bl_px_data(px);
        return a && a->answers ? a : NULL;
}

/* What the digest covers: `said` is the parameter's part behind it. */
static struct bl_str covered(const struct bl_msg *m, const struct bl_via *below, struct bl_str said, int64_t hour,
                             char *buf, size_t cap)
{
        struct bl_sb b = {buf, 0, cap, false};
        bl_sb_addz(&b, "via|");
        bl_sb_add(&b, said);
        bl_sb_addc(&b, '|');
        bl_sb_add(&b, below->sent_by);
        bl_sb_addc(&b, '|');
        bl_sb_add(&b, below->branch);
        bl_sb_addc(&b, '|');
        bl_sb_addu(&b, m->cseq.number);
        bl_sb_addc(&b, '|');
        bl_sb_addu(&b, (uint64_t)hour);
        return b.over ? (struct bl_str){NULL, 0} : bl_sb_str(&b);
}

void edge_answer_via(void *role, struct bl_px *px, unsigned target, const struct bl_try *t, struct bl_sb *out)
{
        struct bl_edge *e = role;
        const struct bl_msg *m = bl_px_msg(px);
        const struct passage *a = known(px);
        char said[2 * AWAY_TEXT + 64], buf[MIXED];
        struct bl_sb s = BL_SB(said);
        uint8_t far[19];
        (void)target, (void)t;
        if (!a)
                return;
        far[0] = a->far.family;
        memcpy(far + 1, a->far.ip, 16);
        far[17] = (uint8_t)(a->far.port >> 8);
        far[18] = (uint8_t)a->far.port;
        bl_sb_addz(&s, a->to_ua ? "u." : "h.");
        bl_sb_b64url(&s, far, sizeof far);
        bl_sb_addc(&s, '.');
        bl_sb_b64url(&s, a->text.p, a->text.n);
        struct bl_str what = covered(m, &m->via, bl_sb_str(&s), e->env->wall / HOUR_S, buf, sizeof buf);
        if (s.over || !what.n)
                return;
        bl_sb_addz(out, ";b=");
        bl_token_dialog(e->node->c.keys, what, m->call_id, out);
        bl_sb_addc(out, '.');
        bl_sb_add(out, bl_sb_str(&s));
}

/* True when this cluster wrote the parameter for just this answer, lately. */
static bool read_away(struct bl_edge *e, const struct bl_msg *m, char *text, struct passage *ret)
{
        struct bl_str b, digest, said, kind, far64, text64, rest;
        struct bl_via below;
        uint8_t far[20];
        char buf[MIXED];
        if (!edge_host_is_cluster(e, m->via.host) || !bl_via_param(&m->via, BL_STR("b"), &b) ||
            bl_msg_via(m, 1, &below) < 0 || !bl_str_cut(b, '.', &digest, &said) ||
            !bl_str_cut(said, '.', &kind, &rest) || !bl_str_cut(rest, '.', &far64, &text64) || kind.n != 1)
                return false;
        bool ok = false;
        for (int64_t hour = e->env->wall / HOUR_S, i = 0; i < 2; i++) {
                struct bl_str what = covered(m, &below, said, hour - i, buf, sizeof buf);
                ok |= what.n && bl_token_dialog_ok(e->node->c.keys, what, m->call_id, digest);
        }
        int n = ok ? bl_b64url_decode(text64, text, AWAY_TEXT) : -1;
        if (n <= 0 || bl_b64url_decode(far64, far, sizeof far) != 19)
                return false;
        *ret = (struct passage){.to_ua = kind.p[0] == 'u', .text = bl_str_make(text, (size_t)n)};
        ret->far.family = far[0];
        memcpy(ret->far.ip, far + 1, 16);
        ret->far.port = (uint16_t)(far[17] << 8 | far[18]);
        return true;
}

static bool send_copy(struct bl_edge *e, bl_flow_id to, const struct bl_msg *m, bool without_via)
{
        struct bl_flows *flows = bl_txns_flows(bl_proxy_txns(e->proxy));
        struct bl_edits ed;
        struct bl_buf *buf;
        bl_edits_init(&ed, m, bl_flows_arena(flows));
        if (without_via)
                bl_edit_remove_value(&ed, BL_H_VIA, 0);
        if (bl_write(e->env->pool, m, &ed, &buf) < 0)
                return false;
        int rc = bl_flow_send(flows, to, buf);
        bl_buf_unref(e->env->pool, buf);
        return rc >= 0;
}

/* By the first of the candidates that takes it; those at `far` first. */
static bool send_found(struct bl_edge *e, const struct bl_msg *m, const struct bl_sticky_found *found, unsigned n,
                       const struct bl_addr *far)
{
        for (int same = 1; same >= 0; same--)
                for (unsigned i = 0; i < n; i++)
                        if (bl_addr_eq(&found[i].remote, far) == (bool)same && send_copy(e, found[i].flow, m, true))
                                return true;
        return false;
}

/* Once to the first living edges of P's order, which find our cluster's Via on top; the one with the flow passes it on.
 */
static bool to_fellows(struct bl_edge *e, const struct bl_msg *m, struct bl_str user)
{
        char scratch[BL_TOKEN_MAX];
        struct bl_token token;
        unsigned order[BL_TOKEN_NODES], n, sent = 0;
        if (bl_token_open(&e->node->cluster, user, scratch, &token) < 0)
                return false;
        n = edge_set_order(e, &token, user, false, order, BL_TOKEN_NODES);
        for (unsigned i = 0; i < n && sent < FELLOWS; i++)
                if (order[i] != e->node->self && e->member[order[i]].flow &&
                    send_copy(e, e->member[order[i]].flow, m, false))
                        sent++;
        return sent > 0;
}

static unsigned flows_of_p(struct bl_edge *e, struct bl_str user, struct bl_sticky_found ret[BL_STICKY_MAX])
{
        char text[AWAY_TEXT + 300];
        struct bl_sb b = BL_SB(text);
        struct bl_sticky_query q = {.worker = e->env->worker, .max_rank = 2};
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, user);
        bl_sb_addc(&b, '@');
        bl_sb_add(&b, e->node->c.cluster);
        bl_sb_addz(&b, ";lr");
        if (b.over || bl_uri_parse(bl_sb_str(&b), &q.uri) < 0)
                return 0;
        return bl_sticky_find(e->node->sticky, &q, e->env->now, ret);
}

/* The node of the home that it came from, else any: one that does not know it sends it on to an edge. */
static unsigned flows_of_home(struct bl_edge *e, const struct passage *a, struct bl_sticky_found ret[BL_STICKY_MAX])
{
        char text[AWAY_TEXT + 8];
        struct bl_sb b = BL_SB(text);
        struct bl_sticky_query q = {.worker = e->env->worker};
        struct bl_addr at = a->far;
        at.port = 0; /* it may have come by a flow that the home opened */
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, a->text);
        if (b.over || bl_uri_parse(bl_sb_str(&b), &q.uri) < 0)
                return 0;
        unsigned n = bl_sticky_find_at(e->node->sticky, a->text, &at, e->env->worker, e->env->now, ret);
        return n ? n : bl_sticky_find(e->node->sticky, &q, e->env->now, ret);
}

static unsigned flows_for(struct bl_edge *e, const struct passage *a, struct bl_sticky_found ret[BL_STICKY_MAX])
{
        return a->to_ua ? flows_of_p(e, a->text, ret) : flows_of_home(e, a, ret);
}

/* Our own transaction, whose upstream flow is gone. */
unsigned edge_answer_upstream(void *role, struct bl_px *px, struct bl_sticky_found ret[BL_STICKY_MAX])
{
        const struct passage *a = known(px);
        return a ? flows_for(role, a, ret) : 0;
}

void edge_answer_stray(void *role, bl_flow_id from, struct bl_msg *m)
{
        struct bl_edge *e = role;
        struct bl_flow *f = bl_flow_get(bl_txns_flows(bl_proxy_txns(e->proxy)), from);
        struct bl_sticky_found found[BL_STICKY_MAX];
        char text[AWAY_TEXT];
        struct passage a;
        if (edge_drain_answer(e, from, m))
                return;
        if (!f || m->status == 100 || !read_away(e, m, text, &a)) /* a 100 is between neighbours */
                return;
        if (a.to_ua && !edge_flow_is_core(e, f))
                return; /* only the core answers a UA */
        unsigned n = flows_for(e, &a, found);
        if (send_found(e, m, found, n, &a.far) || (a.to_ua && !edge_flow_is_member(e, f) && to_fellows(e, m, a.text)))
                bl_count(e->rescued_total);
        else
                bl_log_ev(e->env->log, BL_LOG_DEBUG, "answer_lost", BL_KS("callid", m->call_id),
                          BL_KI("status", m->status));
}
