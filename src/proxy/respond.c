/* Responses (RFC 3261 section 16.7), Timer C (16.8), CANCEL (16.10). */
#include "proxy/internal.h"

static struct bl_str none(void)
{
        return (struct bl_str){NULL, 0};
}

/* --- learning (protocol.md section 3.2) --- */

/* The longest that a 2xx to REGISTER grants (section 10.3 step 8): ;expires of its Contacts, else Expires. */
static uint32_t granted_s(const struct bl_msg *req, const struct bl_msg *res)
{
        uint32_t most = 0, s;
        struct bl_values it = {0};
        while (bl_msg_values(res, BL_H_CONTACT, &it)) {
                struct bl_nameaddr na;
                struct bl_str v;
                if (bl_nameaddr_parse(it.value, &na) == 0 && bl_nameaddr_param(&na, BL_STR("expires"), &v) &&
                    bl_str_u32(v, &s) == 0 && s > most)
                        most = s;
        }
        if (most || bl_msg_u32(res, BL_H_EXPIRES, &most) == 0 || bl_msg_u32(req, BL_H_EXPIRES, &most) == 0)
                return most;
        return 3600; /* step 6 leaves it to the registrar; this is what is common */
}

static void learn(struct px_branch *b, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_px *px = b->px;
        struct bl_proxy *p = px->p;
        const struct bl_msg *req = px->msg;
        bool registers = req->method == BL_M_REGISTER;
        bool forms = bl_method_forms_dialog(req->method) && !req->to_tag.n;
        struct bl_str ours = registers ? b->t.path : b->t.record_route, value, rest;
        if (ours.n && (registers || forms) && px_list_first(ours, &value, &rest))
                bl_hop_learn_client(p->hops, bl_flow_get(p->flows, from), NULL, m, px_inside(value));
        struct bl_flow *f = bl_flow_get(p->flows, px->server ? bl_server_flow(px->server) : px->flow);
        if (f)
                bl_hop_learn_server(p->hops, f, req, registers ? granted_s(req, m) : 0);
}

/* --- upstream --- */

/* The status that was written, after the role's edits: "SIP/2.0 nnn". */
static unsigned written_status(const struct bl_buf *b)
{
        const char *d = b->data + sizeof("SIP/2.0 ") - 1;
        return (unsigned)(d[0] - '0') * 100 + (unsigned)(d[1] - '0') * 10 + (unsigned)(d[2] - '0');
}

static bool has_another_via(const struct bl_msg *m)
{
        struct bl_values it = {0};
        if (m->first[BL_H_VIA] != m->last[BL_H_VIA])
                return true; /* two lines: nearly always */
        return bl_msg_values(m, BL_H_VIA, &it) && bl_msg_values(m, BL_H_VIA, &it);
}

/* Challenges of the other 401 and 407 join the chosen one (16.7 step 7). */
static void edit_challenges(const struct px_branch *b, struct bl_edits *e)
{
        unsigned status = e->msg->status;
        if (status != 401 && status != 407)
                return;
        for (const struct px_challenge *c = b->px->challenges; c; c = c->next) {
                if (c->branch != b)
                        bl_edit_append(e, c->id, c->value);
        }
}

/* Steps 3 to 9 for one response: our Via off, what the role edits, out by the server transaction. */
static void pass_upstream(struct px_branch *b, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_px *px = b->px;
        struct bl_proxy *p = px->p;
        if (!px->server)
                return;
        struct bl_edits e;
        bl_edits_init(&e, m, proxy_arena(p));
        bl_edit_remove_value(&e, BL_H_VIA, 0); /* step 3 */
        edit_challenges(b, &e);
        unsigned status = px_best_upstream(px, b, m->status, false);
        if (status != m->status)
                bl_edit_status(&e, status, bl_status_phrase(status));
        if (p->role->response)
                p->role->response(p->role_ctx, px, b->index, from, m, &e);
        struct bl_buf *buf;
        int rc = bl_write(p->env->pool, m, &e, &buf);
        proxy_arena_done(p);
        if (rc == 0 && px->server)
                px_send_upstream(px, written_status(buf), buf);
        if (rc == 0)
                bl_buf_unref(p->env->pool, buf);
        else if (m->status >= 300) /* too long now, or no memory: the far end must still hear something */
                px_answer_local(px, m->status, "response_not_written", none(), none());
}

void px_answer_local(struct bl_px *px, unsigned status, const char *reason, struct bl_str phrase, struct bl_str extra)
{
        struct bl_proxy *p = px->p;
        char tag[PROXY_TAG];
        bool decided = px->state >= PX_FORWARDING;
        if (status >= 400 && status != 487)
                proxy_count_refusal(p, px->flow, px->msg, status, reason);
        struct bl_response r = {
                .status = status, .reason = phrase, .extra = extra, .to_tag = proxy_tag(p, px->msg, tag)};
        if (px->server) {
                px_reply_upstream(px, &r);
                bl_count(p->answered);
        } else if (!decided) {
                proxy_reply(p, bl_flow_get(p->flows, px->flow), px->msg, &r);
        }
        px->state = PX_ANSWERED;
        px_settle(px);
}

/* A final of a target, chosen as the best one: upstream with it. */
static void answer_with(struct px_branch *b, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_px *px = b->px;
        if (px->msg->to_tag.n)
                bl_hop_learn_end(px->p->hops, px->msg, m);
        pass_upstream(b, from, m);
        px->state = PX_ANSWERED;
}

void px_best_answer(struct bl_px *px)
{
        struct px_best *best = &px->best;
        if (!best->status)
                px_answer_local(px, 480, "no_target", none(), none());
        else if (best->msg)
                answer_with(best->branch, best->from, best->msg);
        else
                px_answer_local(px, px_best_upstream(px, best->branch, best->status, true), best->reason, none(),
                                none());
        px->state = PX_ANSWERED;
        px_best_drop(px);
        px_settle(px);
}

/* --- a branch's end --- */

static void over(struct px_branch *b)
{
        px_branch_stop(b);
        b->state = BR_DONE;
        b->px->n_active--;
}

void px_branch_final(struct px_branch *b, unsigned status, const struct bl_msg *m, bl_flow_id from, const char *reason)
{
        struct bl_px *px = b->px;
        struct bl_proxy *p = px->p;
        over(b);
        if (px->state != PX_FORWARDING) {
                px_settle(px);
                return;
        }
        if (px->is_ack) {
                if (!px->n_active && !px->starting)
                        px->state = PX_OVER;
                return;
        }
        if (p->role->target_failed)
                p->role->target_failed(p->role_ctx, px, b->index, status);
        if (status >= 600)
                px->no_more = true;
        bool last = !px->n_active && !px->starting && (px->no_more || px->cancelled || !px_next_waiting(px));
        px_best_offer(px, status, m, from, b, reason, last);
        if (last) {
                px_best_answer(px);
                return;
        }
        if (status >= 600 && px->msg->method == BL_M_INVITE)
                px_cancel_branches(px); /* 16.7 step 5: and then wait for their finals */
        if (!px->n_active && px->state == PX_FORWARDING)
                px_advance(px);
}

/* --- CANCEL --- */

static void cancel_branch(struct px_branch *b)
{
        struct bl_px *px = b->px;
        if (b->cancelled || (b->state != BR_CALLING && b->state != BR_PROCEEDING))
                return;
        b->cancelled = true;
        if (!b->send || !bl_send_tries(b->send)) { /* nothing left this node yet */
                px_branch_final(b, 487, NULL, 0, "cancelled");
                return;
        }
        bl_send_cancel(b->send);
        b->timer.fire = px_branch_timer;
        env_arm_in(px->p->env, &b->timer, 64 * px->p->t1); /* section 9.1: no longer than this for the final */
}

void px_cancel_branches(struct bl_px *px)
{
        for (struct px_branch *b = px->branches; b; b = b->next)
                cancel_branch(b);
}

void px_on_cancel(void *ctx, struct bl_server *st, const struct bl_msg *cancel)
{
        struct bl_px *px = ctx;
        (void)st;
        (void)cancel;
        px_enter(px);
        if (px->state == PX_HELD) {
                /* The role may still come back to this px, and is then told nothing more. */
                px_answer_local(px, 487, "cancelled", none(), none());
                px->state = PX_HELD;
                px->cancelled = true;
        } else if (px->state == PX_FORWARDING && !px->cancelled) {
                px->cancelled = true;
                px_cancel_branches(px);
        }
        px_leave(px);
}

/* Timer C, or the far end did not end what it was asked to CANCEL. */
void px_branch_timer(struct bl_timer *t)
{
        struct px_branch *b = BL_CONTAINER(t, struct px_branch, timer);
        struct bl_px *px = b->px;
        px_enter(px);
        if (b->cancelled)
                px_branch_final(b, 408, NULL, 0, "cancel_timeout");
        else if (b->state == BR_PROCEEDING)
                cancel_branch(b); /* 16.8: a provisional came, so there is somebody to CANCEL */
        else if (b->state == BR_CALLING)
                px_branch_final(b, 408, NULL, 0, "timer_c");
        px_leave(px);
}

/* --- what hop/ reports --- */

static void on_provisional(struct px_branch *b, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_px *px = b->px;
        if (b->state == BR_CALLING)
                b->state = BR_PROCEEDING;
        if (m->status == 100 || px->msg->method != BL_M_INVITE)
                return; /* 16.7 step 5; RFC 4320 section 4.1: no other provisional to a non-INVITE */
        if (b->state == BR_PROCEEDING && !b->cancelled)
                env_arm_in(px->p->env, &b->timer, px->p->timer_c); /* step 2 */
        if (px->state == PX_FORWARDING)
                pass_upstream(b, from, m);
}

static void on_success(struct px_branch *b, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_px *px = b->px;
        bool invite = px->msg->method == BL_M_INVITE;
        bool first = b->state != BR_ACCEPTED;
        if (!invite && px->state != PX_FORWARDING) {
                over(b); /* step 5: only one final for anything but INVITE */
                px_settle(px);
                return;
        }
        if (first) {
                learn(b, from, m);
                env_disarm(px->p->env, &b->timer);
                if (invite)
                        b->state = BR_ACCEPTED;
                else
                        over(b);
        }
        if (px->state == PX_FORWARDING)
                answer_with(b, from, m);
        else
                pass_upstream(b, from, m);
        px_best_drop(px);
        if (first && invite) {
                px_cancel_branches(px); /* step 10 */
                if (px->p->role->accepted)
                        px->p->role->accepted(px->p->role_ctx, px);
        } else if (!invite) {
                for (struct px_branch *other = px->branches; other; other = other->next) {
                        if (other->state == BR_CALLING || other->state == BR_PROCEEDING)
                                over(other);
                }
        }
        px_settle(px);
}

static void on_response(void *ctx, struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        struct px_branch *b = ctx;
        struct bl_px *px = b->px;
        px_enter(px);
        if (!has_another_via(m)) {
                /* Step 3: it would be for us, and we ask for nothing by this way. As a final it still ends the branch.
                 */
                if (m->status >= 200 && b->state != BR_ACCEPTED)
                        px_branch_final(b, 500, NULL, 0, "response_without_via");
        } else if (m->status < 200) {
                on_provisional(b, from, m);
        } else if (m->status < 300) {
                on_success(b, from, m);
        } else if (b->state != BR_ACCEPTED) {
                /* protocol.md section 5: the far end had the BYE already, and its first answer was lost. */
                bool done = px->msg->method == BL_M_BYE && bl_send_unsure(s);
                if (done)
                        bl_hop_learn_end(px->p->hops, px->msg, m);
                px_branch_final(b, done ? 200 : m->status, done ? NULL : m, from, "received");
        }
        px_leave(px);
}

static void on_failed(void *ctx, struct bl_send *s, unsigned status, const char *reason)
{
        struct px_branch *b = ctx;
        struct bl_px *px = b->px;
        (void)s;
        px_enter(px);
        /* What we CANCELled by ourselves and heard no more of is a timeout (16.8), not what the far end asked for. */
        if (b->state == BR_CALLING || b->state == BR_PROCEEDING)
                px_branch_final(b, b->cancelled && !px->cancelled ? 408 : status, NULL, 0, reason);
        px_leave(px);
}

static void on_ended(void *ctx, struct bl_send *s)
{
        struct px_branch *b = ctx;
        struct bl_px *px = b->px;
        (void)s;
        px_enter(px);
        b->send = NULL;
        if (b->state == BR_ACCEPTED) { /* RFC 6026: from here on a 2xx is a stray */
                b->state = BR_DONE;
                px->n_active--;
                px_settle(px);
        }
        px_leave(px);
}

const struct bl_send_user px_send_user = {px_render, on_response, on_failed, on_ended};
const struct bl_send_user px_ack_user = {px_render, NULL, on_failed, on_ended};
