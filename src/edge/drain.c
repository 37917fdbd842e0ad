/*
 * Draining (protocol.md section 5): before an edge goes, its UAs go. It makes no set with itself in it any more,
 * answers the refreshes of UAs that know discovery with where else their P may register, and at the deadline closes
 * what is left. All the while it serves whom it still carries.
 *
 * Its fellows learn it by asking: OPTIONS beside each probe, answered 503 as RFC 3261 section 11.2 has it for one that
 * takes no new calls. Nothing is replicated, and one that asks late errs for a moment only: who is sent here is sent
 * on.
 */
#include "edge/internal.h"
#include "sip/write.h"

enum { CLOSE_EVERY_MS = 50, CLOSE_AT_ONCE = 64, MOVED_MS = 32000 };

/* ---- we ---- */

/* The deadline has passed: the flows that UAs registered by, oldest first, some at a time, so that the other edges are
 * not run over. */
static void close_some(struct bl_timer *t)
{
        struct bl_edge *e = BL_CONTAINER(t, struct bl_edge, drain);
        struct bl_flows *fs = bl_txns_flows(bl_proxy_txns(e->proxy));
        unsigned closed = 0;
        for (struct bl_flow *f = bl_flows_next(fs, NULL); f && closed < CLOSE_AT_ONCE; f = bl_flows_next(fs, f)) {
                if (!f->user || f->ours || f->state != BL_FLOW_UP)
                        continue;
                bl_flow_close(f, true);
                closed++;
        }
        env_arm_in(e->env, t, BL_MS(CLOSE_EVERY_MS)); /* for good: a UA may come back before we go */
}

void bl_edge_drain(struct bl_edge *e, uint32_t deadline_ms)
{
        e->draining = true;
        e->drain_until = e->env->now + BL_MS((uint64_t)deadline_ms);
        e->drain.fire = close_some;
        env_arm(e->env, &e->drain, e->drain_until);
}

void bl_edge_drain_cancel(struct bl_edge *e)
{
        e->draining = false;
        env_disarm(e->env, &e->drain);
}

bool bl_edge_draining(const struct bl_edge *e, bl_us *ret_until)
{
        if (e->draining)
                *ret_until = e->drain_until;
        return e->draining;
}

/* RFC 3261 section 10.2.2: one that leaves needs no other edge. */
static bool removes(const struct bl_msg *m, const struct bl_nameaddr *contact)
{
        struct bl_str v;
        uint32_t s;
        if (bl_nameaddr_param(contact, BL_STR("expires"), &v))
                return bl_str_u32(v, &s) == 0 && s == 0;
        return bl_msg_u32(m, BL_H_EXPIRES, &s) == 0 && s == 0;
}

bool edge_drain_sends_away(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, const struct bl_nameaddr *contact)
{
        if (!e->draining || removes(bl_px_msg(px), contact))
                return false;
        struct edge_flow *ef = edge_flow_data(e, f);
        if (!ef || ef->sent_away) /* it was told, found nowhere to go, and asks again: better here than nowhere */
                return false;
        ef->sent_away = true;
        /* A connection it closes once it has moved; of a UDP flow nothing more is heard. Either way what still is under
         * way here has the time of a transaction. */
        edge_bound_end_by(e, f, e->env->now + BL_MS(MOVED_MS));
        return true;
}

/* ---- our fellows ---- */

/* Asked outside any transaction: the next probe asks again, and its answer comes as a stray. */
void edge_drain_ask(struct bl_edge *e, struct bl_flow *f)
{
        struct bl_str cluster = e->node->c.cluster, tp = bl_tp_name(f->tp);
        struct bl_draft d;
        struct bl_buf *buf;
        char uri[300];
        struct bl_sb u = BL_SB(uri);
        uint64_t id;
        e->env->ops->random(e->env, &id, sizeof id);
        bl_sb_addz(&u, "sip:");
        bl_sb_add(&u, cluster);
        bl_draft_request(&d, e->env->pool, BL_STR("OPTIONS"), bl_sb_str(&u));
        bl_draft_headerf(&d, BL_H_VIA, "SIP/2.0/%.*s %.*s;branch=z9hG4bK%s%016llx;rport", BL_STR_ARG(tp),
                         BL_STR_ARG(cluster), EDGE_ASK_BRANCH, (unsigned long long)id);
        bl_draft_header(&d, BL_H_MAX_FORWARDS, BL_STR("1"));
        bl_draft_headerf(&d, BL_H_FROM, "<%.*s>;tag=%08llx", BL_STR_ARG(bl_sb_str(&u)),
                         (unsigned long long)(id & 0xffffffff));
        bl_draft_headerf(&d, BL_H_TO, "<%.*s>", BL_STR_ARG(bl_sb_str(&u)));
        bl_draft_headerf(&d, BL_H_CALL_ID, "%016llx", (unsigned long long)id);
        bl_draft_header(&d, BL_H_CSEQ, BL_STR("1 OPTIONS"));
        if (bl_draft_end(&d, (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0}, &buf) < 0)
                return;
        (void)env_send(e->env, f->id, buf);
        bl_buf_unref(e->env->pool, buf);
}

bool edge_drain_answer(struct bl_edge *e, bl_flow_id from, const struct bl_msg *m)
{
        static const char branch[] = "z9hG4bK" EDGE_ASK_BRANCH;
        if (m->cseq.method != BL_M_OPTIONS || !bl_str_starts(m->via.branch, bl_str_z(branch)))
                return false;
        for (unsigned i = 0; i < e->node->c.n_members; i++) {
                struct member *f = &e->member[i];
                if (f->flow != from || m->status < 200)
                        continue;
                bool leaving = m->status == 503;
                if (f->leaving != leaving)
                        bl_log_ev(e->env->log, BL_LOG_INFO, leaving ? "member_drains" : "member_stays",
                                  BL_KS("member", e->node->members[i].name));
                f->leaving = leaving;
        }
        return true;
}
