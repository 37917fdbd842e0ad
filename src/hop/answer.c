/*
 * What a response means for the journey (protocol.md section 5, "In flight" and "One transaction, not two"): it is the
 * owner's, or it sends us to the next candidate, or it waits for a better one, or it counts for nothing.
 */
#include "hop/journey.h"

bool send_is_doubtful(unsigned status)
{
        return status == 481 || status == 482 || status == 500;
}

/* Moves us on instead of ending the request. */
static bool is_next(unsigned status)
{
        return status == 430 || status == 503;
}

static bool others_unknown(const struct bl_send *s, const struct tried *but)
{
        for (unsigned i = 0; i < s->n_tried; i++) {
                const struct tried *t = &s->seek->tried[i];
                if (t != but && (t->state == TRIED_OPEN || t->state == TRIED_SILENT || t->state == TRIED_LOST))
                        return true;
        }
        return false;
}

/* The try that a response belongs to: of that flow; else, when it came another way (by a fellow edge), the latest that
 * has no answer yet, as the transaction sees it. */
static struct tried *answered_by(struct bl_send *s, bl_flow_id from)
{
        struct tried *t = send_tried(s, from);
        for (unsigned i = s->n_tried; !t && i-- > 0;) {
                if (1u << s->seek->tried[i].state & SEND_OUTSTANDING)
                        t = &s->seek->tried[i];
        }
        return t;
}

/* ---- what is kept for the case that nothing better comes ---- */

static unsigned worth(unsigned status)
{
        return send_is_doubtful(status) ? 3 : status == 503 ? 2 : 1;
}

static void hold(struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_pool *pool = s->h->env->pool;
        if (s->held && worth(s->held->status) >= worth(m->status))
                return;
        struct bl_msg *kept = bl_msg_keep(m, pool);
        if (!kept)
                return;
        bl_msg_drop(s->held, pool);
        s->held = kept;
        s->held_from = from;
}

/* ---- going on ---- */

/* A 100 ended Timer B for a try that has come to nothing: the others get their time, too. */
static void look_again(struct bl_send *s)
{
        if (s->method == BL_M_INVITE && !s->deadline_at)
                send_deadline(s, s->h->env->now + 64 * send_t1(s));
        send_advance(s);
}

/* Unless a candidate is sought already, or a try is out that was not given up: failover is serial. */
static void go_on(struct bl_send *s)
{
        if (s->state == SEND_HOLDING || s->state == SEND_PROCEEDING || send_seeking(s))
                return;
        if (s->step_for == STEP_SILENCE) {
                const struct tried *t = &s->seek->tried[s->n_tried - 1];
                if (t->state == TRIED_OPEN)
                        return;
                send_step(s, STEP_NONE, 0);
        }
        if (send_any_tried(s, 1u << TRIED_OPEN))
                return;
        look_again(s);
}

/* It speaks for the cluster that the request was sent to. */
static bool unbinds(struct bl_send *s, const struct tried *t, bl_flow_id from, struct bl_uri *ret_base)
{
        return t && send_base_uri(s, t->base, ret_base) && hop_linked(s->h, from, ret_base->host);
}

static void on_430(struct bl_send *s, struct tried *t, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_uri base;
        if (unbinds(s, t, from, &base))
                hop_unlearn_u(s->h, from, &base);
        bl_count(s->h->count.next_430);
        hold(s, from, m);
        go_on(s);
}

static void on_503(struct bl_send *s, const struct tried *t, bl_flow_id from, const struct bl_msg *m)
{
        uint32_t seconds;
        /* RFC 3261 section 21.5.4: another server now, and this one not before Retry-After. A 503 unbinds nothing. */
        if (bl_msg_u32(m, BL_H_RETRY_AFTER, &seconds) == 0)
                hop_flow_avoid(s->h, from, seconds);
        else if (t && t->ours) /* RFC 3263 section 4.3: a failure as any other, and remembered as such */
                hop_failed_mark(s->h, t->tp, &t->addr);
        bl_count(s->h->count.next_503);
        hold(s, from, m);
        go_on(s);
}

/* A 305 that may not redirect us: never passed upstream, counts as 480 (section 3.4). */
static void refuse_305(struct bl_send *s, bl_flow_id from)
{
        bl_count(s->h->count.redirect_unlinked);
        if (bl_log_allow(s->h->env->log, "redirect_refused", "not_linked"))
                bl_log_ev(s->h->env->log, BL_LOG_INFO, "redirect_refused", BL_KI("flow", (int64_t)from),
                          BL_KZ("reason", "not_linked"));
        send_fail(s, 480, "redirect_refused");
}

static void on_305(struct bl_send *s, struct tried *t, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_uri base;
        if (!unbinds(s, t, from, &base) || (s->flags & BL_SEND_UA)) {
                refuse_305(s, from);
                return;
        }
        hop_unlearn_u(s->h, from, &base);
        bl_count(s->h->count.next_redirect);
        if (s->state == SEND_HOLDING)
                return;
        /* Named by maddr it should have delivered or said 430: no ping-pong. */
        if (!t->by_maddr && send_redirect_take(s, t, m)) {
                send_stop_seeking(s);
                s->leg_on = false; /* the redirect's targets first, then the rest of this base */
                look_again(s);
                return;
        }
        s->was_refused = true;
        go_on(s);
}

/* ---- finals ---- */

static void on_doubtful(struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        hold(s, from, m);
        if (s->state == SEND_HOLDING)
                return;
        send_stop_seeking(s);
        s->state = SEND_HOLDING;
        send_step(s, STEP_HOLD, s->h->env->now + BL_MS(s->h->conf.failover_after_ms));
}

static void on_2xx(struct bl_send *s, struct tried *t, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_uri u, bare;
        char text[SEND_URI_MAX];
        unsigned base = t ? t->base : 0;
        struct bl_flow *f = bl_flow_get(s->h->flows, from);
        enum bl_tp tp = f ? f->tp : t ? t->tp : BL_UDP;
        if (s->state != SEND_ACCEPTED && !(s->flags & BL_SEND_UA) && send_base_uri(s, base, &u)) {
                hop_learn_u(s->h, from, tp, &u, m);
                /* Section 3.4: the next dialog under this P shall not need another detour. */
                if (s->redirected & 1u << base && hop_without_d(&u, text, sizeof(text), &bare) == 0)
                        hop_learn_u(s->h, from, tp, &bare, m);
        }
        send_show(s, from, m);
}

/* Once something rings, what other tries would have moved us on with counts for nothing. */
static bool is_ignored(const struct bl_send *s, const struct tried *t, unsigned status)
{
        return s->state == SEND_PROCEEDING && (!t || t->state != TRIED_RINGING) &&
               (status == 305 || status == 408 || is_next(status));
}

static void on_final(struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        struct tried *t = answered_by(s, from);
        unsigned status = m->status;
        bool ignored = is_ignored(s, t, status), rang = t && t->state == TRIED_RINGING;
        bool doubt = send_is_doubtful(status) && others_unknown(s, t);
        if (t) {
                t->heard = true;
                t->state = TRIED_ENDED;
        }
        if (s->state == SEND_ACCEPTED || ignored)
                return;
        bool redirects = status == 305 && s->method != BL_M_REGISTER && !(s->flags & BL_SEND_NO_REDIRECT);
        if (redirects && (rang || s->cancelled))
                refuse_305(s, from);
        else if (redirects)
                on_305(s, t, from, m);
        else if (status == 430 && !rang && !s->cancelled)
                on_430(s, t, from, m);
        else if (status == 503 && !rang && !s->cancelled)
                on_503(s, t, from, m);
        else if (doubt)
                on_doubtful(s, from, m);
        else if (s->state == SEND_HOLDING && status == 408)
                return; /* says less than what is held */
        else
                send_show(s, from, m);
}

/* ---- provisionals ---- */

static void is_heard(struct bl_send *s, struct tried *t, unsigned status)
{
        t->heard = true;
        if (t->state == TRIED_SILENT)
                t->state = TRIED_OPEN;
        if (s->state == SEND_LOOKING && s->method == BL_M_INVITE && !s->cancelled)
                send_deadline(s, 0); /* RFC 3261 section 17.1.1.2: Timer B ends, the owner's Timer C goes on */
        if (status == 100) {
                if (s->step_for == STEP_NONE || (s->step_for == STEP_SILENCE && t == &s->seek->tried[s->n_tried - 1]))
                        send_await(s);
                return;
        }
        if (t->state == TRIED_OPEN || t->state == TRIED_LOST)
                t->state = TRIED_RINGING;
        if (s->state == SEND_LOOKING || s->state == SEND_HOLDING) {
                s->state = SEND_PROCEEDING;
                send_stop_seeking(s);
                send_await(s);
        }
}

static void on_provisional(struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        struct tried *t = answered_by(s, from);
        if (t && t->state != TRIED_ENDED)
                is_heard(s, t, m->status);
        if (s->state != SEND_ACCEPTED)
                send_show(s, from, m);
}

static void on_response(void *ctx, struct bl_client *ct, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_send *s = ctx;
        (void)ct;
        if (s->dead || s->state == SEND_OVER)
                return;
        send_enter(s);
        hop_flow_heard(s->h, from);
        if (m->status < 200)
                on_provisional(s, from, m);
        else if (m->status < 300)
                on_2xx(s, answered_by(s, from), from, m);
        else
                on_final(s, from, m);
        send_leave(s);
}

/* ---- no response ---- */

/* Its flow went before a final response. */
static void died(struct bl_send *s, struct tried *t)
{
        if (t->state == TRIED_ENDED || t->state == TRIED_LOST)
                return;
        t->state = TRIED_LOST;
        s->n_lost++;
        bl_count(s->h->count.next_transport);
        bool rang = s->state == SEND_PROCEEDING;
        if (rang) {
                if (send_any_tried(s, 1u << TRIED_RINGING))
                        return;          /* another still rings */
                s->state = SEND_LOOKING; /* section 5: after a 101-199 only because its flow died */
        }
        if (s->cancelled && !rang) {
                if (!send_any_tried(s, 1u << TRIED_OPEN | 1u << TRIED_SILENT))
                        send_fail(s, 487, "cancelled"); /* never rang: nothing to stop elsewhere */
                return;
        }
        go_on(s);
}

static void on_try_failed(void *ctx, struct bl_client *ct, bl_flow_id flow, int why)
{
        struct bl_send *s = ctx;
        struct tried *t = send_tried(s, flow);
        (void)ct, (void)why;
        if (s->dead || s->state == SEND_OVER || s->state == SEND_ACCEPTED || !t)
                return;
        send_enter(s);
        died(s, t);
        send_leave(s);
}

/* Timer B or F: our own deadline says it at the same time; whichever comes first. */
static void on_timeout(void *ctx, struct bl_client *ct)
{
        struct bl_send *s = ctx;
        (void)ct;
        if (!s->dead && s->state != SEND_OVER && s->state != SEND_ACCEPTED)
                s->deadline.fire(&s->deadline);
}

const struct bl_client_user send_client_user = {
        .response = on_response, .try_failed = on_try_failed, .timeout = on_timeout};
