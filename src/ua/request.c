/*
 * Requests of ours: in a dialog by its route set, outside by the Service-Route that the registration gave. Which flow
 * carries a try is hop/'s: the P;d=… on top of the route set matches exactly the flow it was learned from, and when
 * that is dead equivalently the P on another edge's flow.
 */
#include "ua/internal.h"

static const struct bl_send_user request_send;

enum { MAX_FORKS = 8 }; /* early dialogs of one call beside the first */

static const struct bl_str NONE = {NULL, 0};
static void no_answer(struct bl_ua_request *r, unsigned status, const char *reason, bool local);
#define ALLOW BL_STR("INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, MESSAGE, NOTIFY, REFER")

struct bl_ua_request *request_new(struct bl_ua *ua, enum bl_method method)
{
        struct bl_ua_request *r = bl_pool_zalloc(ua->stack->env->pool, sizeof *r);
        if (!r)
                return NULL;
        r->ua = ua;
        r->method = method;
        bl_list_push_back(&ua->requests, &r->link);
        return r;
}

static void request_leave_dialog(const struct bl_ua_request *r, struct bl_dialog *d)
{
        if (d->inviting == r)
                d->inviting = NULL;
        if (d->updating == r)
                d->updating = NULL;
        if (d->bye == r)
                d->bye = NULL;
}

/* Early dialogs of a fork end when one has been confirmed, or none was. */
static void forks_end(struct bl_ua_request *r)
{
        while (r->forks) {
                struct bl_dialog *f = r->forks;
                r->forks = f->next_fork;
                f->next_fork = NULL;
                f->inviting = NULL;
                dialog_end(f);
        }
}

void request_free(struct bl_ua_request *r)
{
        struct bl_ua_stack *s = r->ua->stack;
        struct bl_dialog *d = r->dialog;
        struct text *all[] = {&r->ruri,      &r->to,   &r->extra,   &r->body,
                              &r->body_type, &r->auth, &r->call_id, &r->from_tag};
        if (d)
                request_leave_dialog(r, d);
        forks_end(r);
        bl_list_remove(&r->link);
        memory_drop(s, r->memory);
        bl_send_free(r->send);
        if (r->server)
                bl_server_forget(r->server);
        bl_msg_drop(r->msg, s->env->pool);
        for (unsigned i = 0; i < BL_ARRAY_LEN(all); i++)
                text_drop(s, all[i]);
        bl_pool_give(s->env->pool, r, sizeof *r);
        if (d)
                dialog_unref(d);
}

/* --- writing --- */

/* The route set of a request: the dialog's, or the registration's. */
static struct bl_str routes_of(const struct bl_ua_request *r)
{
        if (r->dialog && r->dialog->state != DIALOG_CALLING)
                return text_str(&r->dialog->routes);
        return r->ua->service_route.n ? text_str(&r->ua->service_route) : text_str(&r->ua->outbound_route);
}

static void put_parties(const struct bl_ua_request *r, struct bl_draft *d)
{
        const struct bl_dialog *dlg = r->dialog;
        const struct bl_ua *ua = r->ua;
        if (dlg) {
                bl_draft_headerf(d, BL_H_FROM, "<%.*s>;tag=%.*s", BL_STR_ARG(text_str(&dlg->local_uri)),
                                 BL_STR_ARG(text_str(&dlg->local_tag)));
                if (dlg->remote_tag.n && !(dlg->uac && r->initial))
                        bl_draft_headerf(d, BL_H_TO, "<%.*s>;tag=%.*s", BL_STR_ARG(text_str(&dlg->remote_uri)),
                                         BL_STR_ARG(text_str(&dlg->remote_tag)));
                else
                        bl_draft_headerf(d, BL_H_TO, "<%.*s>", BL_STR_ARG(text_str(&dlg->remote_uri)));
                bl_draft_header(d, BL_H_CALL_ID, text_str(&dlg->call_id));
        } else {
                bl_draft_headerf(d, BL_H_FROM, "<%.*s>;tag=%.*s", BL_STR_ARG(text_str(&ua->aor)),
                                 BL_STR_ARG(text_str(&r->from_tag)));
                bl_draft_headerf(d, BL_H_TO, "<%.*s>", BL_STR_ARG(text_str(&r->to)));
                bl_draft_header(d, BL_H_CALL_ID, text_str(&r->call_id));
        }
        bl_draft_headerf(d, BL_H_CSEQ, "%u %.*s", r->cseq, BL_STR_ARG(bl_method_name(r->method)));
}

static bool has_contact(enum bl_method m)
{
        return m == BL_M_INVITE || m == BL_M_UPDATE || m == BL_M_SUBSCRIBE || m == BL_M_NOTIFY || m == BL_M_REFER ||
               m == BL_M_OPTIONS;
}

static int render(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret)
{
        (void)s;
        struct bl_ua_request *r = ctx;
        struct bl_ua *ua = r->ua;
        struct bl_draft d;
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        struct route way;
        route_plan(&way, text_str(&r->ruri), routes_of(r));
        bl_draft_request(&d, ua->stack->env->pool, bl_method_name(r->method), way.ruri);
        ua_via(ua->stack, ua->legacy, t, ua_branch_str(r->branch), &b);
        bl_draft_header(&d, BL_H_VIA, bl_sb_str(&b));
        bl_draft_header(&d, BL_H_MAX_FORWARDS, BL_STR("70"));
        route_put(&way, &d, t->route);
        put_parties(r, &d);
        if (has_contact(r->method)) {
                struct bl_str contact = ua_contact(ua, t);
                bl_draft_headerf(&d, BL_H_CONTACT, "<%.*s%s>", BL_STR_ARG(contact), ua->no_outbound ? "" : ";ob");
                bl_draft_header(&d, BL_H_ALLOW, ALLOW);
        }
        bl_draft_header(&d, BL_H_SUPPORTED, ua->legacy ? BL_STR("outbound, path") : BL_STR("outbound, path, sticky"));
        if (r->auth.n)
                bl_draft_lines(&d, text_str(&r->auth));
        if (r->extra.n)
                bl_draft_lines(&d, text_str(&r->extra));
        r->tries = (uint8_t)(t->number < 255 ? t->number : 255);
        return bl_draft_end(&d, text_str(&r->body_type), text_str(&r->body), ret);
}

int request_start(struct bl_ua_request *r)
{
        struct bl_ua_stack *s = r->ua->stack;
        struct route way;
        struct bl_send_want w = {.method = r->method, .method_name = bl_method_name(r->method)};
        route_plan(&way, text_str(&r->ruri), routes_of(r));
        w.in_dialog = r->dialog && r->dialog->remote_tag.n > 0;
        w.call_id = r->dialog ? text_str(&r->dialog->call_id) : text_str(&r->call_id);
        if (bl_uri_parse(way.next, &w.u) < 0)
                return BL_EINVAL;
        ua_branch(s, r->branch);
        w.branch = ua_branch_str(r->branch);
        w.flags = r->ua->belay ? BL_SEND_BELAY : 0; /* silence means another flow */
        if (r->ua->legacy) {
                /* RFC 5626 section 4.3: by a registered flow, wherever its Route may resolve to. */
                w.flow = ua_any_flow(r->ua, 0);
                w.flags = w.flow ? BL_SEND_PINNED : 0;
        }
        return bl_send_start(s->hops, &w, &request_send, r, &r->send);
}

/* --- responses --- */

/* RFC 3261 section 13.2.2.4: another branch of a fork answered too. It is ACKed, then ended: one call is what was
 * asked for. */
static void surplus_2xx(struct bl_ua_request *invite, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_dialog *call = invite->dialog,
                         *d = dialog_find(call->ua->stack, m->call_id, text_str(&call->local_tag), m->to_tag);
        if (d && d->state == DIALOG_ENDED) { /* its BYE is under way */
                request_ack(d, from, m->cseq.number, text_str(&invite->auth));
                return;
        }
        if (!d)
                d = dialog_fork(call, m);
        if (!d)
                return; /* no memory: the next copy of the 2xx tries again */
        d->state = DIALOG_CONFIRMED;
        request_ack(d, from, m->cseq.number, text_str(&invite->auth));
        request_send_bye(d);
}

void request_send_bye(struct bl_dialog *d)
{
        struct bl_ua_request *bye = d->bye;
        if (bye) {
                d->bye = NULL;
                d->state = DIALOG_ENDED;
                if (request_start(bye) < 0)
                        no_answer(bye, 503, "the BYE could not be sent", true);
                return;
        }
        if (bl_ua_in_dialog(d, BL_M_BYE, NONE, NULL, &bye) == 0)
                bye->internal = true;
        else
                dialog_end(d);
}

static bool answer_challenge(struct bl_ua_request *r, const struct bl_msg *m)
{
        struct bl_ua *ua = r->ua;
        struct bl_ua_stack *s = ua->stack;
        char line[1600];
        struct bl_sb b = BL_SB(line);
        uint8_t cnonce[8];
        struct bl_digest_session session = {
                0}; /* proxies' realms differ from the registrar's: one per request is enough */
        if (r->cancelled || r->auth_tries++ >= 2 || ua->password.n == 0 || bl_digest_take(&session, m) < 0)
                return false;
        s->env->ops->random(s->env, cnonce, sizeof cnonce);
        bl_digest_answer(&session, text_str(&ua->auth_user), text_str(&ua->password), bl_method_name(r->method),
                         text_str(&r->ruri), cnonce, &b);
        if (b.over || !text_set(s, &r->auth, bl_sb_str(&b)))
                return false;
        struct bl_send *old = r->send;
        r->send = NULL;
        bl_send_free(old);
        if (r->dialog)
                r->cseq = ++r->dialog->local_seq;
        else
                r->cseq++;
        if (r->initial) { /* early dialogs were the old transaction's */
                forks_end(r);
                text_drop(s, &r->dialog->remote_tag);
                text_drop(s, &r->dialog->routes);
                r->dialog->state = DIALOG_CALLING;
        }
        if (request_start(r) < 0)
                no_answer(r, 503, "the request could not be sent again", true);
        return true;
}

/* RFC 3261 12.2.1.2 and section 15: what ends a dialog besides BYE's own answer. */
static bool ends_dialog(const struct bl_ua_request *r, unsigned status)
{
        return r->method == BL_M_BYE || (!r->initial && (status == 481 || status == 408));
}

static void finish(struct bl_ua_request *r, struct bl_ua_event *ev)
{
        struct bl_dialog *d = r->dialog;
        unsigned status = ev->status;
        bool ends = d && ((r->initial && status >= 300) || (!r->initial && ends_dialog(r, status)));
        struct bl_ua *ua = r->ua;
        forks_end(r);
        if (d)
                request_leave_dialog(r, d); /* the application may ask for the next at once */
        if (!r->internal)
                ua_event(ua, ev);
        /* A 408 leaves the far end with a dialog that it is told of (section 12.2.1.2); a 481 shows it has none. */
        if (ends && r->method != BL_M_BYE && !r->initial && status == 408 && d->invite &&
            d->state == DIALOG_CONFIRMED) {
                request_free(r);
                request_send_bye(d);
                return;
        }
        if (ends)
                d->state = DIALOG_ENDED;
        request_free(r); /* lets go of the dialog, which goes when it has ended */
}

/* The first 2xx makes the dialog, whichever branch it came from: the call's handle is that dialog from now on, the
 * other early ones end (13.2.2.4). */
static bool take_2xx(struct bl_ua_request *r, const struct bl_msg *m)
{
        struct bl_dialog *d = r->dialog;
        if (!bl_str_eq(text_str(&d->remote_tag), m->to_tag)) {
                d->has_remote_seq = false;
                for (const struct bl_dialog *f = r->forks; f; f = f->next_fork) {
                        if (!bl_str_eq(text_str(&f->remote_tag), m->to_tag))
                                continue;
                        d->remote_seq = f->remote_seq;
                        d->has_remote_seq = f->has_remote_seq;
                        d->local_seq = f->local_seq > d->local_seq ? f->local_seq : d->local_seq;
                }
        }
        if (!dialog_from_response(d, m))
                return false;
        forks_end(r);
        return true;
}

/* The early dialog that a provisional response belongs to: each tag makes one (section 12.1). */
static struct bl_dialog *early_dialog(struct bl_ua_request *r, const struct bl_msg *m)
{
        struct bl_dialog *d = r->dialog;
        unsigned n = 0;
        if (!d || !r->initial || m->to_tag.n == 0 || r->answered)
                return d;
        if (d->remote_tag.n == 0) {
                if (dialog_from_response(d, m))
                        d->state = DIALOG_EARLY;
                return d;
        }
        if (bl_str_eq(text_str(&d->remote_tag), m->to_tag))
                return d;
        for (struct bl_dialog *f = r->forks; f; f = f->next_fork, n++)
                if (bl_str_eq(text_str(&f->remote_tag), m->to_tag))
                        return f;
        struct bl_dialog *f = n < MAX_FORKS ? dialog_fork(d, m) : NULL;
        if (!f)
                return d;
        f->state = DIALOG_EARLY;
        f->inviting = r;
        f->unknown = false;
        f->next_fork = r->forks;
        r->forks = f;
        return f;
}

static void on_invite_2xx(struct bl_ua_request *r, bl_flow_id from, const struct bl_msg *m, struct bl_ua_event *ev)
{
        struct bl_dialog *d = r->dialog;
        struct bl_flow *f = bl_flow_get(bl_txns_flows(r->ua->stack->txns), from);
        if (r->answered) { /* a copy, or another branch of a fork */
                if (bl_str_eq(text_str(&d->remote_tag), m->to_tag))
                        request_ack(d, from, m->cseq.number, text_str(&r->auth));
                else if (r->initial)
                        surplus_2xx(r, from, m);
                return;
        }
        if (r->initial) {
                if (!take_2xx(r, m))
                        return; /* no memory: the next copy finds some */
                d->state = DIALOG_CONFIRMED;
        } else
                dialog_refresh_target(d, m);
        r->answered = true;
        request_leave_dialog(r, d);
        bl_hop_learn_client(r->ua->stack->hops, f, NULL, m, NONE);
        request_ack(d, from, m->cseq.number, text_str(&r->auth));
        ua_event(r->ua, ev);
        /* The request lives on until `ended`: later 2xx of other branches come by it (RFC 6026). */
}

static void response(void *ctx, struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_ua_request *r = ctx;
        struct bl_dialog *d = r->dialog;
        struct bl_ua_event ev = {.kind = m->status < 200 ? BL_UA_PROGRESS : BL_UA_ANSWERED,
                                 .request = r,
                                 .dialog = d,
                                 .method = r->method,
                                 .status = m->status,
                                 .reason = m->reason,
                                 .tries = r->tries,
                                 .flow = from,
                                 .msg = m};
        if (m->status < 200) {
                if (m->status == 100 || r->internal)
                        return;
                ev.dialog = early_dialog(r, m);
                ua_event(r->ua, &ev);
                return;
        }
        if (r->method == BL_M_BYE && bl_send_unsure(s)) /* section 5: the far end had the BYE already */
                ev.status = 200;
        if (r->method == BL_M_INVITE && ev.status < 300 && d) {
                on_invite_2xx(r, from, m, &ev);
                return;
        }
        if ((m->status == 401 || m->status == 407) && answer_challenge(r, m))
                return;
        if (m->status < 300 && r->method == BL_M_UPDATE && d)
                dialog_refresh_target(d, m);
        finish(r, &ev);
}

static void no_answer(struct bl_ua_request *r, unsigned status, const char *reason, bool local)
{
        struct bl_ua_event ev = {.kind = BL_UA_ANSWERED,
                                 .request = r,
                                 .dialog = r->dialog,
                                 .method = r->method,
                                 .status = status,
                                 .reason = bl_str_z(reason),
                                 .tries = r->tries,
                                 .local = local};
        finish(r, &ev);
}

static void failed(void *ctx, struct bl_send *s, unsigned status, const char *reason)
{
        struct bl_ua_request *r = ctx;
        r->send = NULL;
        bl_send_free(s); /* no `ended`: the request may be gone by then */
        no_answer(r, status, reason, true);
}

static void ended(void *ctx, struct bl_send *s)
{
        struct bl_ua_request *r = ctx;
        (void)s;
        r->send = NULL;
        if (r->answered) /* an INVITE whose 2xx was reported */
                request_free(r);
}

static const struct bl_send_user request_send = {
        .render = render, .response = response, .failed = failed, .ended = ended};

/* --- the application's side --- */

static bool take_body(struct bl_ua_request *r, struct bl_str extra, const struct bl_ua_body *body)
{
        struct bl_ua_stack *s = r->ua->stack;
        return text_set(s, &r->extra, extra) &&
               (!body || (text_set(s, &r->body, body->octets) && text_set(s, &r->body_type, body->type)));
}

static int start_or_free(struct bl_ua_request *r, bool ok, struct bl_ua_request **ret)
{
        *ret = r;
        int rc = ok ? request_start(r) : BL_ENOMEM;
        if (rc < 0)
                request_free(r);
        return rc;
}

int bl_ua_call(struct bl_ua *ua, struct bl_str to, struct bl_str extra, const struct bl_ua_body *body,
               struct bl_dialog **ret_dialog, struct bl_ua_request **ret_request)
{
        struct bl_ua_stack *s = ua->stack;
        struct bl_uri u;
        if (bl_uri_parse(to, &u) < 0)
                return BL_EINVAL;
        struct bl_dialog *d = dialog_new(ua, true);
        struct bl_ua_request *r = d ? request_new(ua, BL_M_INVITE) : NULL;
        if (!r) {
                if (d)
                        dialog_free(d);
                return BL_ENOMEM;
        }
        r->dialog = d;
        r->initial = true;
        d->requests++;
        d->invite = true;
        d->inviting = r;
        uint32_t seq;
        s->env->ops->random(s->env, &seq, sizeof seq);
        r->cseq = d->local_seq = 1 + seq % 100000;
        bool ok = text_set(s, &d->local_uri, text_str(&ua->aor)) && text_set(s, &d->remote_uri, to) &&
                  text_set(s, &d->target, to) && text_set(s, &r->ruri, to) && take_body(r, extra, body) &&
                  dialog_index(d) == 0;
        *ret_dialog = d;
        if (!ok)
                d->state = DIALOG_ENDED;
        int rc = start_or_free(r, ok, ret_request);
        if (rc < 0 && ok)
                dialog_end(d);
        if (rc == 0)
                d->unknown = false;
        return rc;
}

int bl_ua_in_dialog(struct bl_dialog *d, enum bl_method method, struct bl_str extra, const struct bl_ua_body *body,
                    struct bl_ua_request **ret_request)
{
        bool hold = method == BL_M_BYE && d->unacked; /* section 15: not before the ACK, or its time is over */
        if (d->state == DIALOG_ENDED || d->state == DIALOG_CALLING || d->bye || method == BL_M_ACK ||
            method == BL_M_CANCEL || (method == BL_M_BYE && d->state == DIALOG_EARLY && !d->uac))
                return BL_EINVAL;
        if ((method == BL_M_INVITE && d->inviting) || (method == BL_M_UPDATE && d->updating)) /* section 14.1 */
                return BL_EFULL;
        struct bl_ua_request *r = request_new(d->ua, method);
        if (!r)
                return BL_ENOMEM;
        r->dialog = d;
        d->requests++;
        if (d->local_seq == 0)
                d->local_seq = 1;
        r->cseq = ++d->local_seq;
        bool ok = text_set(d->ua->stack, &r->ruri, text_str(&d->target)) && take_body(r, extra, body);
        if (method == BL_M_INVITE)
                d->inviting = r;
        if (method == BL_M_UPDATE)
                d->updating = r;
        if (ok && hold) {
                d->bye = *ret_request = r;
                return 0;
        }
        int rc = start_or_free(r, ok, ret_request);
        if (rc == 0 && method == BL_M_BYE) {
                d->state = DIALOG_ENDED; /* section 15.1.1: gone with the sending; the handle waits for the answer */
                answer_unacked_drop(d);
        }
        return rc;
}

int bl_ua_request(struct bl_ua *ua, enum bl_method method, struct bl_str to, struct bl_str extra,
                  const struct bl_ua_body *body, struct bl_ua_request **ret_request)
{
        struct bl_ua_stack *s = ua->stack;
        struct bl_uri u;
        if (bl_uri_parse(to, &u) < 0 || method == BL_M_INVITE || method == BL_M_ACK || method == BL_M_CANCEL)
                return BL_EINVAL;
        struct bl_ua_request *r = request_new(ua, method);
        if (!r)
                return BL_ENOMEM;
        char id[20], tag[8];
        ua_random(s, id, sizeof id);
        ua_random(s, tag, sizeof tag);
        r->cseq = 1;
        bool ok = text_set(s, &r->call_id, bl_str_make(id, sizeof id)) &&
                  text_set(s, &r->from_tag, bl_str_make(tag, sizeof tag)) && text_set(s, &r->to, to) &&
                  text_set(s, &r->ruri, to) && take_body(r, extra, body);
        return start_or_free(r, ok, ret_request);
}

void bl_ua_cancel(struct bl_ua_request *r)
{
        if (!r->incoming && r->method == BL_M_INVITE && !r->answered && r->send) {
                r->cancelled = true;
                bl_send_cancel(r->send);
        }
}

void bl_ua_request_set_user(struct bl_ua_request *r, void *user)
{
        r->user = user;
}

void *bl_ua_request_user(const struct bl_ua_request *r)
{
        return r->user;
}

void *bl_ua_request_ctx(const struct bl_ua_request *r)
{
        return r->ua->ctx;
}
