/*
 * Requests of theirs: found by the token in our Contact or by their dialog, checked, handed to the application once,
 * answered; and 2xx to INVITE repeated until the ACK (RFC 3261 sections 8.2, 12.2.2, 13.3.1).
 */
#include "ua/internal.h"

static const struct bl_str NONE = {NULL, 0};

struct unacked { /* our 2xx to an INVITE, until its ACK */
        struct bl_timer timer;
        struct bl_dialog *dialog;
        struct bl_buf *buf;
        bl_flow_id flow;
        uint32_t cseq, interval_ms;
        uint16_t sent;
        bl_us until;
        bool udp;
        uint8_t host_n;
        char host[255]; /* sent-by of the hop that waits for it */
};

/* --- 2xx until ACK --- */

void answer_unacked_drop(struct bl_dialog *d)
{
        struct unacked *u = d->unacked;
        if (!u)
                return;
        struct env *e = d->ua->stack->env;
        d->unacked = NULL;
        env_disarm(e, &u->timer);
        bl_buf_unref(e->pool, u->buf);
        bl_pool_give(e->pool, u, sizeof *u);
}

static void repeat(struct bl_timer *t)
{
        struct unacked *u = BL_CONTAINER(t, struct unacked, timer);
        struct bl_dialog *d = u->dialog;
        struct bl_ua_stack *s = d->ua->stack;
        struct bl_flows *flows = bl_txns_flows(s->txns);
        uint32_t t2 = s->conf->txn.t2_ms ? s->conf->txn.t2_ms : 4000;
        if (s->env->now >=
            u->until) { /* 13.3.1.4: no ACK in 64*T1: the dialog is confirmed, but the session should end */
                answer_unacked_drop(d);
                request_send_bye(d);
                return;
        }
        bool alive = bl_flow_get(flows, u->flow) != NULL;
        /* Section 5: another flow when this one died, and from the second repetition over UDP in turns. */
        if (!alive || (u->udp && u->sent >= 1)) {
                bl_flow_id other = ua_next_flow(d->ua, u->flow, bl_str_make(u->host, u->host_n));
                if (other) {
                        u->flow = other;
                        alive = true;
                }
        }
        if (alive)
                (void)bl_flow_send(flows, u->flow, u->buf);
        u->sent++;
        u->interval_ms = u->interval_ms * 2 < t2 ? u->interval_ms * 2 : t2;
        env_arm_in(s->env, &u->timer, BL_MS(u->interval_ms));
}

static void until_acked(struct bl_ua_request *r, struct bl_buf *buf, struct unacked *u)
{
        struct bl_dialog *d = r->dialog;
        struct bl_ua_stack *s = r->ua->stack;
        uint32_t t1 = s->conf->txn.t1_ms ? s->conf->txn.t1_ms : 500;
        struct bl_str host = r->msg->via.host;
        answer_unacked_drop(d);
        u->host_n = (uint8_t)(host.n < sizeof u->host ? host.n : 0);
        memcpy(u->host, host.p, u->host_n);
        u->dialog = d;
        u->buf = bl_buf_ref(buf);
        u->flow = bl_server_flow(r->server);
        u->cseq = r->cseq;
        u->interval_ms = t1;
        u->until = s->env->now + BL_MS(64ull * t1);
        u->timer.fire = repeat;
        struct bl_flow *f = bl_flow_get(bl_txns_flows(s->txns), u->flow);
        u->udp = !f || f->tp == BL_UDP;
        d->unacked = u;
        env_arm_in(s->env, &u->timer, BL_MS(u->interval_ms));
}

static void on_ack(struct bl_ua_stack *s, const struct bl_msg *m)
{
        struct bl_dialog *d = dialog_find(s, m->call_id, m->to_tag, m->from_tag);
        if (!d || !d->unacked || d->unacked->cseq != m->cseq.number)
                return; /* a copy */
        answer_unacked_drop(d);
        bool bye = d->bye != NULL;
        struct bl_ua_event ev = {.kind = BL_UA_ACKED, .dialog = d, .method = BL_M_ACK, .msg = m};
        ua_event(d->ua, &ev);
        if (bye) /* only the application's own earlier one can be there: it keeps the dialog */
                request_send_bye(d);
}

/* --- answering --- */

static bool put_answer_headers(const struct bl_ua_request *r, unsigned status, struct bl_str extra, struct bl_sb *b)
{
        struct bl_ua *ua = r->ua;
        bool target = (r->method == BL_M_INVITE || r->method == BL_M_UPDATE) && status > 100 && status < 300;
        if (target && ua->contact.n) {
                bl_sb_addz(b, "Contact: <");
                bl_sb_add(b, text_str(&ua->contact));
                bl_sb_addz(b, ">\r\n");
        }
        if (status < 300 && status > 100)
                bl_sb_addz(b, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, MESSAGE, NOTIFY, REFER\r\n");
        bl_sb_add(b, extra);
        return !b->over;
}

/* The request's flow is gone: the answer takes another to the cluster of the hop that waits (section 5, RFC 3261
 * section 18.2.2). */
static bool move_answer(struct bl_ua_request *r, struct bl_str host)
{
        bl_flow_id other = ua_next_flow(r->ua, bl_server_flow(r->server), host);
        return other && bl_server_move(r->server, other) == 0;
}

static void put_on_wire(struct bl_ua_request *r, unsigned status, struct bl_buf *buf)
{
        if (bl_server_respond(r->server, status, buf) == 0 || !move_answer(r, r->msg->via.host))
                return;
        if (status >= 200 && status < 300 && r->method == BL_M_INVITE) /* the transaction kept none to send again */
                (void)bl_server_respond(r->server, status, buf);
}

static int send_answer(struct bl_ua_request *r, unsigned status, struct bl_str extra, const struct bl_ua_body *body)
{
        struct bl_ua_stack *s = r->ua->stack;
        char lines[4096];
        struct bl_sb b = BL_SB(lines);
        bool to_ack = status >= 200 && status < 300 && r->method == BL_M_INVITE;
        if (!r->server)
                return BL_EGONE;
        if (!put_answer_headers(r, status, extra, &b))
                return BL_ELIMIT;
        struct bl_response resp = {.status = status, .extra = bl_sb_str(&b), .record_route = true, .source = r->source};
        resp.to_tag = r->dialog ? text_str(&r->dialog->local_tag) : bl_str_make(r->tag, sizeof r->tag);
        if (body) {
                resp.body = body->octets;
                resp.content_type = body->type;
        }
        struct bl_buf *buf;
        struct unacked *u = to_ack ? bl_pool_zalloc(s->env->pool, sizeof *u) : NULL;
        if (to_ack && !u)
                return BL_ENOMEM;
        int rc = bl_write_response(s->env->pool, r->msg, &resp, &buf);
        if (rc < 0) {
                if (u)
                        bl_pool_give(s->env->pool, u, sizeof *u);
                return rc;
        }
        if (status >= 200) {
                memory_final(s, r->memory, status, resp.to_tag, resp.extra, body);
                r->memory = NULL; /* its own from now on */
        }
        put_on_wire(r, status, buf);
        if (to_ack)
                until_acked(r, buf, u);
        bl_buf_unref(s->env->pool, buf);
        return 0;
}

/* After a final response: what it makes of the dialog. */
static void settle(struct bl_ua_request *r, unsigned status)
{
        struct bl_dialog *d = r->dialog;
        struct bl_ua_stack *s = r->ua->stack;
        if (!d)
                return;
        if (d->inviting == r)
                d->inviting = NULL;
        if (d->updating == r)
                d->updating = NULL;
        if (status < 300 && r->method == BL_M_INVITE) {
                if (d->state == DIALOG_EARLY)
                        d->state = DIALOG_CONFIRMED;
                bl_hop_learn_server(s->hops, bl_flow_get(bl_txns_flows(s->txns), r->flow), r->msg, 0);
        } else if (r->initial && status >= 300)
                d->state = DIALOG_ENDED;
}

/* After its final answer a request stays with its transaction, which may have to repeat it over another flow; dialog
 * and message are not needed for that. */
static void retire(struct bl_ua_request *r)
{
        struct bl_ua_stack *s = r->ua->stack;
        struct bl_dialog *d = r->dialog;
        r->answered = true;
        r->dialog = NULL;
        (void)text_set(s, &r->to, r->msg->via.host);
        bl_msg_drop(r->msg, s->env->pool);
        r->msg = NULL;
        if (!r->server)
                request_free(r);
        if (d)
                dialog_unref(d);
}

static int answer(struct bl_ua_request *r, unsigned status, struct bl_str extra, const struct bl_ua_body *body)
{
        int rc = send_answer(r, status, extra, body);
        if (rc == BL_EGONE) { /* the transaction is over: nobody waits for an answer */
                settle(r, 500);
                request_free(r);
                return rc;
        }
        if (rc < 0 || status < 200)
                return rc;
        settle(r, status);
        retire(r);
        return 0;
}

int bl_ua_answer(struct bl_ua_request *r, unsigned status, struct bl_str extra, const struct bl_ua_body *body)
{
        if (!r->incoming || r->answered || r->cancelled || status < 101 || status > 699)
                return BL_EINVAL;
        return answer(r, status, extra, body);
}

/* --- the server transaction's events --- */

/* An answer of the stack's own. Without memory for it the request goes all the same. */
static void answer_or_drop(struct bl_ua_request *r, unsigned status)
{
        int rc = answer(r, status, NONE, NULL);
        if (rc < 0 && rc != BL_EGONE) {
                settle(r, status);
                request_free(r);
        }
}

static void on_cancel(void *ctx, struct bl_server *st, const struct bl_msg *cancel)
{
        struct bl_ua_request *r = ctx;
        (void)st;
        if (r->answered)
                return;
        struct bl_ua_event ev = {
                .kind = BL_UA_CANCELLED, .request = r, .dialog = r->dialog, .method = BL_M_INVITE, .msg = cancel};
        r->cancelled = true; /* whatever the application answers from now on is refused */
        ua_event(r->ua, &ev);
        answer_or_drop(r, 487); /* section 9.2 */
}

static void on_lost(void *ctx, struct bl_server *st, int why)
{
        struct bl_ua_request *r = ctx;
        (void)st;
        (void)why;
        (void)move_answer(r, r->msg ? r->msg->via.host : text_str(&r->to));
}

static void on_ended(void *ctx, struct bl_server *st)
{
        struct bl_ua_request *r = ctx;
        (void)st;
        r->server = NULL;
        if (r->answered)
                request_free(r);
}

static const struct bl_server_user server_user = {.cancel = on_cancel, .lost = on_lost, .ended = on_ended};

/* --- checks --- */

static void reply(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *m, unsigned status,
                  struct bl_str extra)
{
        struct bl_response r = {.status = status, .extra = extra};
        (void)bl_txn_reply(s->txns, f, m, &r);
}

/* Section 8.2.2.3. */
static bool require_ok(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *m)
{
        char line[256];
        struct bl_sb b = BL_SB(line);
        struct bl_values it = {0};
        while (bl_msg_values(m, BL_H_REQUIRE, &it)) {
                if (bl_str_ieq(it.value, BL_STR("outbound")) || bl_str_ieq(it.value, BL_STR("path")))
                        continue;
                bl_sb_addz(&b, b.n ? ", " : "Unsupported: ");
                bl_sb_add(&b, it.value);
        }
        if (b.n == 0)
                return true;
        bl_sb_addz(&b, "\r\n");
        reply(s, f, m, 420, b.over ? NONE : bl_sb_str(&b));
        return false;
}

#define ALLOW BL_STR("Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, MESSAGE, NOTIFY, REFER\r\n")

static bool method_ok(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *m, bool in_dialog)
{
        switch (m->method) {
        case BL_M_INVITE:
        case BL_M_OPTIONS:
        case BL_M_MESSAGE:
        case BL_M_INFO:
        case BL_M_REFER:
        case BL_M_NOTIFY:
                return true;
        case BL_M_BYE:
        case BL_M_UPDATE:
                if (in_dialog)
                        return true;
                reply(s, f, m, 481, NONE);
                return false;
        case BL_M_UNKNOWN:
                reply(s, f, m, 501, ALLOW);
                return false;
        default:
                reply(s, f, m, 405, ALLOW);
                return false;
        }
}

static struct bl_ua *by_token(struct bl_ua_stack *s, struct bl_str token)
{
        for (struct bl_hnode *n = bl_htab_first(&s->by_token, bl_hash(s->env->hash_seed, token)); n;
             n = bl_htab_next(n)) {
                struct bl_ua *ua = BL_CONTAINER(n, struct bl_ua, by_token);
                if (bl_str_eq(bl_str_make(ua->token, UA_TOKEN), token))
                        return ua;
        }
        return NULL;
}

/* Section 12.2.2 and 14.2. False: answered. */
static bool in_dialog_ok(struct bl_dialog *d, struct bl_flow *f, const struct bl_msg *m)
{
        struct bl_ua_stack *s = d->ua->stack;
        if (d->state == DIALOG_ENDED) {
                reply(s, f, m, 481, NONE);
                return false;
        }
        if (d->has_remote_seq && m->cseq.number < d->remote_seq) {
                reply(s, f, m, 500, NONE);
                return false;
        }
        const struct bl_ua_request *other = m->method == BL_M_INVITE   ? d->inviting
                                            : m->method == BL_M_UPDATE ? d->updating
                                                                       : NULL;
        if (other) { /* RFC 3261 section 14.2, RFC 3311 section 5.2 */
                char line[32], n;
                struct bl_sb b = BL_SB(line);
                ua_random(s, &n, 1);
                bl_sb_fmt(&b, "Retry-After: %d\r\n", n % 11);
                reply(s, f, m, other->incoming ? 500 : 491, other->incoming ? bl_sb_str(&b) : NONE);
                return false;
        }
        d->remote_seq = m->cseq.number;
        d->has_remote_seq = true;
        return true;
}

/* --- taking one --- */

static struct bl_ua_request *take(struct bl_ua *ua, struct bl_dialog *d, struct bl_flow *f, const struct bl_msg *m)
{
        struct bl_ua_stack *s = ua->stack;
        struct bl_ua_request *r = request_new(ua, m->method);
        if (!r)
                return NULL;
        r->incoming = true;
        r->cseq = m->cseq.number;
        r->flow = f->id;
        r->source = f->remote;
        ua_random(s, r->tag, sizeof r->tag);
        r->msg = bl_msg_keep(m, s->env->pool);
        r->memory = memory_begin(s, m);
        if (!r->msg || !r->memory ||
            bl_server_new(s->txns, f, m, &server_user, r, m->method == BL_M_INVITE, &r->server) < 0) {
                request_free(r);
                return NULL;
        }
        r->dialog = d;
        if (d)
                d->requests++;
        return r;
}

static void no_room(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *m)
{
        reply(s, f, m, 503, BL_STR("Retry-After: 10\r\n"));
}

static void on_invite(struct bl_ua *ua, struct bl_flow *f, const struct bl_msg *m)
{
        if (!bl_msg_has(m, BL_H_CONTACT)) { /* section 12.1.1: it has to tell where requests go */
                struct bl_response resp = {.status = 400, .reason = BL_STR("INVITE Without Contact")};
                (void)bl_txn_reply(ua->stack->txns, f, m, &resp);
                return;
        }
        struct bl_dialog *d = dialog_new(ua, false);
        struct bl_ua_request *r = d ? take(ua, d, f, m) : NULL;
        if (!r || !dialog_from_request(d, r->msg) || dialog_index(d) < 0) {
                no_room(ua->stack, f, m);
                if (r) {
                        d->state = DIALOG_ENDED;
                        request_free(r);
                } else if (d)
                        dialog_free(d);
                return;
        }
        d->invite = true;
        d->inviting = r;
        d->unknown = false;
        r->initial = true;
        struct bl_ua_event ev = {
                .kind = BL_UA_INVITED, .dialog = d, .request = r, .method = BL_M_INVITE, .flow = f->id, .msg = r->msg};
        ua_event(ua, &ev);
}

static void on_bye(struct bl_dialog *d, struct bl_ua_request *r)
{
        struct bl_ua_event ev = {.kind = BL_UA_REQUEST,
                                 .dialog = d,
                                 .request = NULL,
                                 .method = BL_M_BYE,
                                 .flow = r->flow,
                                 .msg = r->msg};
        struct bl_ua_request *invite = d->inviting && d->inviting->incoming ? d->inviting : NULL;
        d->state = DIALOG_ENDED; /* before the application hears of it */
        answer_unacked_drop(d);
        bl_sticky_end_dialog(bl_hops_sticky(d->ua->stack->hops), bl_hop_dialog(d->ua->stack->hops, r->msg->call_id));
        ua_event(d->ua, &ev);
        if (invite) { /* section 15.1.2: pending requests get 487 */
                struct bl_ua_event gone = {
                        .kind = BL_UA_CANCELLED, .request = invite, .dialog = d, .method = BL_M_INVITE, .msg = r->msg};
                invite->cancelled = true;
                ua_event(d->ua, &gone);
                answer_or_drop(invite, 487);
        }
        if (d->bye) /* crossed ours, which waited for the ACK: it gets its answer from the far end */
                request_send_bye(d);
        answer_or_drop(r, 200);
}

static void answer_options(struct bl_ua_request *r) /* section 11.2 */
{
        struct bl_str lines = r->ua->legacy ? BL_STR("Accept: */*\r\nSupported: path, outbound\r\n")
                                            : BL_STR("Accept: */*\r\nSupported: path, outbound, sticky\r\n");
        int rc = answer(r, 200, lines, NULL);
        if (rc < 0 && rc != BL_EGONE)
                request_free(r);
}

static void in_dialog(struct bl_dialog *d, struct bl_flow *f, const struct bl_msg *m)
{
        struct bl_ua *ua = d->ua;
        if (!in_dialog_ok(d, f, m))
                return;
        struct bl_ua_request *r = take(ua, d, f, m);
        if (!r) {
                no_room(ua->stack, f, m);
                return;
        }
        if (m->method == BL_M_BYE) {
                on_bye(d, r);
                return;
        }
        if (m->method == BL_M_OPTIONS) {
                answer_options(r);
                return;
        }
        if (m->method == BL_M_INVITE || m->method == BL_M_UPDATE)
                dialog_refresh_target(d, r->msg);
        if (m->method == BL_M_INVITE)
                d->inviting = r;
        if (m->method == BL_M_UPDATE)
                d->updating = r;
        struct bl_ua_event ev = {
                .kind = BL_UA_REQUEST, .dialog = d, .request = r, .method = m->method, .flow = f->id, .msg = r->msg};
        ua_event(ua, &ev);
}

static void out_of_dialog(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *m)
{
        struct bl_uri u;
        struct bl_ua *ua = bl_uri_parse(m->ruri, &u) == 0 ? by_token(s, u.user) : NULL;
        if (!ua) {
                reply(s, f, m, 404, NONE); /* requests are accepted by the token of our Contact only */
                return;
        }
        if (m->method == BL_M_INVITE) {
                on_invite(ua, f, m);
                return;
        }
        struct bl_ua_request *r = take(ua, NULL, f, m);
        if (!r) {
                no_room(s, f, m);
                return;
        }
        if (m->method == BL_M_OPTIONS) {
                answer_options(r);
                return;
        }
        struct bl_ua_event ev = {
                .kind = BL_UA_REQUEST, .request = r, .method = m->method, .flow = f->id, .msg = r->msg};
        ua_event(ua, &ev);
}

void answer_request(struct bl_ua_stack *s, struct bl_flow *f, struct bl_msg *m)
{
        if (m->method == BL_M_ACK) {
                on_ack(s, m);
                return;
        }
        if (memory_answer(s, f, m))
                return;
        struct bl_dialog *d = m->to_tag.n ? dialog_find(s, m->call_id, m->to_tag, m->from_tag) : NULL;
        if (m->to_tag.n && !d) {
                reply(s, f, m, 481, NONE);
                return;
        }
        if (!method_ok(s, f, m, d != NULL) || !require_ok(s, f, m))
                return;
        if (d)
                in_dialog(d, f, m);
        else
                out_of_dialog(s, f, m);
}
