/* The UA's events as the application sees them: texts with an end, calls instead of dialogs. */
#include <stdio.h>

#include "lib/internal.h"

/* ---- texts ---- */

enum { ROOM = 4096 };

struct texts { /* of one event: on the stack, or from the pool when there is much to say */
        char *p;
        size_t n, cap;
};

static const char *text(struct texts *t, struct bl_str s)
{
        if (!s.p || s.n + 1 > t->cap - t->n)
                return NULL;
        char *at = t->p + t->n;
        memcpy(at, s.p, s.n);
        at[s.n] = '\0';
        t->n += s.n + 1;
        return at;
}

static struct bl_str party(const struct bl_msg *m, enum bl_hid id)
{
        struct bl_nameaddr na;
        return bl_msg_nameaddr(m, id, 0, &na) == 0 ? na.uri.all : (struct bl_str){NULL, 0};
}

static void add_message(struct belay_event *ev, struct texts *t, const struct bl_msg *m)
{
        ev->from = text(t, party(m, BL_H_FROM));
        ev->to = text(t, party(m, BL_H_TO));
        ev->call_id = text(t, m->call_id);
        ev->cseq = m->cseq.number;
        if (bl_msg_has(m, BL_H_CONTENT_TYPE))
                ev->content_type = text(t, bl_msg_value(m, BL_H_CONTENT_TYPE));
        if (m->body.n) {
                ev->body = m->body.p;
                ev->body_size = m->body.n;
        }
        ev->_message = m;
}

/* All texts of a message come from its octets, each once; the others are short. */
static size_t room_for(const struct bl_ua_event *e)
{
        size_t n = ROOM;
        if (e)
                n += e->text.n + e->reason.n + e->edge.n;
        if (e && e->msg)
                n += e->msg->octets.n - e->msg->body.n;
        return n;
}

static void fill(struct belay_event *ev, struct texts *t, const struct bl_ua_event *e)
{
        if (e->method != BL_M_UNKNOWN)
                ev->method = bl_method_name(e->method).p;
        ev->status = e->status;
        ev->reg_id = e->reg_id;
        ev->tries = e->tries;
        ev->retry_ms = e->retry_ms;
        ev->local = e->local;
        ev->flow = e->flow;
        ev->text = text(t, e->text);
        ev->reason = text(t, e->reason);
        ev->edge = text(t, e->edge);
        if (e->msg)
                add_message(ev, t, e->msg);
}

void lib_tell(struct belay_account *a, enum belay_event_kind kind, const struct bl_ua_event *e,
              const struct belay_call *call, struct belay_request *r)
{
        struct bl_pool *pool = a->belay->env->pool;
        char room[ROOM];
        size_t want = room_for(e);
        struct texts t = {room, 0, sizeof room};
        char *more = want > 2 * sizeof room - 16 /* ends of texts */ ? bl_pool_alloc(pool, want) : NULL;
        if (more)
                t = (struct texts){more, 0, want};
        struct belay_event ev = {.size = sizeof ev,
                                 .kind = kind,
                                 .belay = a->belay,
                                 .account = a,
                                 .call = (struct belay_call *)call,
                                 .request = r,
                                 .flows = bl_ua_flows(a->ua)};
        if (e)
                fill(&ev, &t, e);
        if (!ev.call_id && call)
                ev.call_id = call->id;
        if (a->event)
                a->event(a->ctx, &ev);
        bl_pool_give(pool, more, want);
}

int belay_event_header(const struct belay_event *e, const char *name, unsigned index, const char **ret_value)
{
        const struct bl_msg *m = e->_message;
        struct bl_str want = bl_str_z(name);
        enum bl_hid id = bl_hid_from(want);
        for (unsigned i = 0; m && i < m->n; i++) {
                const struct bl_hdr *h = &m->h[i];
                if (id != BL_H_OTHER ? h->id != id : !bl_str_ieq(bl_hdr_name(m, h), want))
                        continue;
                if (index-- > 0)
                        continue;
                *ret_value = bl_hdr_value(m, h).p;
                return h->value_len;
        }
        return BL_ENOENT;
}

const char *belay_event_name(enum belay_event_kind kind)
{
        static const char *const names[] = {"?",          "registered", "unregistered", "register_failed",
                                            "redirected", "flow_up",    "flow_down",    "outbound",
                                            "incoming",   "progress",   "answered",     "established",
                                            "acked",      "cancelled",  "request",      "ended"};
        return (size_t)kind < BL_ARRAY_LEN(names) ? names[kind] : names[0];
}

/* ---- calls ---- */

/* Of a fork, too: its early dialogs are one call to the application. */
static struct belay_call *call_of(const struct bl_ua_event *e)
{
        return e->dialog ? bl_dialog_user(bl_dialog_call(e->dialog)) : NULL;
}

static void on_invited(struct belay_account *a, const struct bl_ua_event *e)
{
        struct belay_call *c = lib_call_new(a, e->dialog, true);
        if (!c) {
                (void)bl_ua_answer(e->request, 503, (struct bl_str){NULL, 0}, NULL);
                return;
        }
        c->invite = e->request;
        lib_tell(a, BELAY_INCOMING, e, c, NULL);
}

/* The final answer to the INVITE that made the call. */
static void on_first_answer(struct belay_call *c, const struct bl_ua_event *e)
{
        struct belay_account *a = c->account;
        c->invite = NULL;
        if (e->status >= 300) {
                c->state = CALL_OVER;
                c->status = e->status;
                c->local = e->local || c->hanging_up;
                lib_tell(a, BELAY_ANSWERED, e, c, lib_handle(e->request));
                return;
        }
        c->state = CALL_UP;
        lib_tell(a, BELAY_ANSWERED, e, c, lib_handle(e->request));
        if (c->hanging_up) /* the 2xx crossed our CANCEL */
                (void)belay_call_hangup(c);
        else if (c->state == CALL_UP)
                lib_tell(a, BELAY_ESTABLISHED, NULL, c, NULL);
}

/* The dialog may live on: an INVITE answered with 2xx holds it for 64*T1 (RFC 6026). The call is over now. */
static void ends(struct belay_call *c, unsigned status)
{
        c->status = status;
        c->state = CALL_OVER;
        env_arm_in(c->account->belay->env, &c->over, 0);
}

static void on_answered(struct belay_account *a, const struct bl_ua_event *e)
{
        struct belay_call *c = call_of(e);
        if (c && c->invite && c->invite == e->request) {
                on_first_answer(c, e);
                return;
        }
        if (c && c->re_invite == e->request)
                c->re_invite = NULL;
        if (c && e->method == BL_M_BYE)
                ends(c, 200);
        else if (c && c->state == CALL_UP && e->status == 481 && !e->local) /* they know of it no more */
                ends(c, 481);
        else if (c && c->state == CALL_UP && e->status == 408) /* BYE is on its way: RFC 3261 section 12.2.1.2 */
                c->status = 408;
        lib_tell(a, BELAY_ANSWERED, e, c, lib_handle(e->request));
}

static void on_acked(struct belay_account *a, const struct bl_ua_event *e)
{
        struct belay_call *c = call_of(e);
        lib_tell(a, BELAY_ACKED, e, c, NULL);
        if (!c || c->state != CALL_OK)
                return;
        c->state = CALL_UP;
        lib_tell(a, BELAY_ESTABLISHED, NULL, c, NULL);
}

static void on_cancelled(struct belay_account *a, const struct bl_ua_event *e)
{
        struct belay_call *c = call_of(e);
        if (c && c->invite == e->request) {
                c->invite = NULL;
                c->state = CALL_OVER;
                c->status = 487;
        }
        lib_tell(a, BELAY_CANCELLED, e, c, lib_handle(e->request));
}

static void on_request(struct belay_account *a, const struct bl_ua_event *e)
{
        struct belay_call *c = call_of(e);
        if (e->dialog && !c) { /* a branch of a fork that we are about to end */
                if (e->request)
                        (void)bl_ua_answer(e->request, 481, (struct bl_str){NULL, 0}, NULL);
                return;
        }
        if (c && e->method == BL_M_BYE && e->dialog == c->dialog)
                ends(c, c->state == CALL_IN ? 487 : 200);
        lib_tell(a, BELAY_REQUEST, e, c, e->request ? lib_handle(e->request) : NULL);
}

static void on_gone(const struct bl_ua_event *e)
{
        struct belay_call *c = bl_dialog_user(e->dialog);
        if (c) /* else of a fork, or told already */
                lib_call_end(c);
}

void lib_on_event(void *account, const struct bl_ua_event *e)
{
        struct belay_account *a = account;
        static const enum belay_event_kind plain[] = {[BL_UA_REGISTERED] = BELAY_REGISTERED,
                                                      [BL_UA_UNREGISTERED] = BELAY_UNREGISTERED,
                                                      [BL_UA_REGISTER_FAILED] = BELAY_REGISTER_FAILED,
                                                      [BL_UA_REDIRECTED] = BELAY_REDIRECTED,
                                                      [BL_UA_FLOW_UP] = BELAY_FLOW_UP,
                                                      [BL_UA_FLOW_DOWN] = BELAY_FLOW_DOWN};
        switch (e->kind) {
        case BL_UA_INVITED:
                on_invited(a, e);
                break;
        case BL_UA_REQUEST:
                on_request(a, e);
                break;
        case BL_UA_PROGRESS:
                lib_tell(a, BELAY_PROGRESS, e, call_of(e), lib_handle(e->request));
                break;
        case BL_UA_ANSWERED:
                on_answered(a, e);
                break;
        case BL_UA_ACKED:
                on_acked(a, e);
                break;
        case BL_UA_CANCELLED:
                on_cancelled(a, e);
                break;
        case BL_UA_DIALOG_GONE:
                on_gone(e);
                break;
        default:
                lib_tell(a, plain[e->kind], e, NULL, NULL);
                if (e->kind == BL_UA_REGISTER_FAILED && e->local && e->retry_ms > 1000)
                        lib_outbound_again(a); /* a round is over */
                break;
        }
}
