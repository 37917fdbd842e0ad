/* Calls, and requests beside them. */
#include "lib/internal.h"

/* ---- what a request or an answer carries ---- */

/* Whole header lines and nothing else: an empty line would end the header, a bare line break splits one. */
static bool lines_ok(struct bl_str s)
{
        size_t start = 0;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] == '\n')
                        return false;
                if (s.p[i] != '\r')
                        continue;
                if (i == start || i + 1 == s.n || s.p[i + 1] != '\n')
                        return false;
                start = ++i + 1;
        }
        return start == s.n;
}

int lib_content(const struct belay_content *c, struct content *ret)
{
        struct belay_content own;
        *ret = (struct content){0};
        if (!c)
                return 0;
        int rc = lib_take(&own, sizeof own, c, offsetof(struct belay_content, body_size) + sizeof own.body_size);
        if (rc < 0)
                return rc;
        struct bl_str type = bl_str_z(own.type);
        ret->extra = bl_str_z(own.headers);
        if (!lines_ok(ret->extra) || (type.n && memchr(type.p, '\r', type.n)) ||
            (type.n && memchr(type.p, '\n', type.n)))
                return BL_EINVAL;
        if (own.body_size == 0)
                return 0;
        if (type.n == 0)
                return BL_EINVAL; /* RFC 3261 section 20.15: a body has a Content-Type */
        ret->body = (struct bl_ua_body){type, bl_str_make(own.body, own.body_size)};
        ret->has_body = &ret->body;
        return 0;
}

/* ---- calls ---- */

static void call_over(struct bl_timer *t)
{
        lib_call_end(BL_CONTAINER(t, struct belay_call, over));
}

struct belay_call *lib_call_new(struct belay_account *a, struct bl_dialog *d, bool incoming)
{
        struct belay_call *c = bl_pool_zalloc(a->belay->env->pool, sizeof *c);
        if (!c)
                return NULL;
        struct bl_str id = bl_dialog_call_id(d);
        c->account = a;
        c->dialog = d;
        c->incoming = incoming;
        c->over.fire = call_over;
        c->state = incoming ? CALL_IN : CALL_OUT;
        memcpy(c->id, id.p, id.n < sizeof c->id ? id.n : sizeof c->id - 1);
        bl_list_push_back(&a->calls, &c->link);
        bl_dialog_set_user(d, c);
        return c;
}

void lib_call_end(struct belay_call *c)
{
        struct bl_ua_event ended = {.status = c->status ? c->status : 200, .local = c->local};
        c->state = CALL_OVER;
        c->invite = c->re_invite = NULL;
        bl_dialog_set_user(c->dialog, NULL);
        lib_tell(c->account, BELAY_ENDED, &ended, c, NULL);
        lib_call_free(c);
}

void lib_call_free(struct belay_call *c)
{
        env_disarm(c->account->belay->env, &c->over);
        bl_list_remove(&c->link);
        bl_pool_give(c->account->belay->env->pool, c, sizeof *c);
}

int belay_call_place(struct belay_account *a, const char *to, const struct belay_content *c,
                     struct belay_call **ret_call)
{
        struct content with;
        struct bl_dialog *d;
        struct bl_ua_request *r;
        int rc = lib_content(c, &with);
        if (rc < 0)
                return rc;
        lib_enter(a->belay);
        rc = bl_ua_call(a->ua, bl_str_z(to), with.extra, with.has_body, &d, &r);
        if (rc < 0)
                return rc;
        struct belay_call *call = lib_call_new(a, d, false);
        if (!call) { /* nobody would ever hang up: its dialog ends with the answer to the CANCEL */
                bl_ua_cancel(r);
                return BL_ENOMEM;
        }
        call->invite = r;
        *ret_call = call;
        return 0;
}

int belay_call_answer(struct belay_call *call, unsigned status, const struct belay_content *c)
{
        struct content with;
        int rc = lib_content(c, &with);
        if (rc < 0)
                return rc;
        if (call->state != CALL_IN || !call->invite || status < 101 || status > 699)
                return BL_EINVAL;
        lib_enter(call->account->belay);
        if (status < 200)
                return bl_ua_answer(call->invite, status, with.extra, with.has_body);
        struct bl_ua_request *r = call->invite;
        const struct belay_call before = *call;
        /* Set before, as a refusal ends the call inside. */
        call->invite = NULL;
        call->state = status < 300 ? CALL_OK : CALL_OVER;
        call->status = status < 300 ? 0 : status;
        call->local = status >= 300;
        rc = bl_ua_answer(r, status, with.extra, with.has_body);
        if (rc < 0 && rc != BL_EGONE) { /* not sent: may be tried again */
                call->invite = before.invite;
                call->state = before.state;
                call->status = before.status;
                call->local = before.local;
        }
        return rc;
}

int belay_call_request(struct belay_call *call, const char *method, const struct belay_content *c,
                       struct belay_request **ret_request)
{
        struct content with;
        struct bl_ua_request *r;
        enum bl_method m = bl_method_from(bl_str_z(method));
        int rc = lib_content(c, &with);
        if (rc < 0)
                return rc;
        if (m == BL_M_UNKNOWN || m == BL_M_REGISTER)
                return BL_EINVAL;
        lib_enter(call->account->belay);
        rc = bl_ua_in_dialog(call->dialog, m, with.extra, with.has_body, &r);
        if (rc < 0)
                return rc;
        if (m == BL_M_INVITE)
                call->re_invite = r;
        if (m == BL_M_BYE) {
                call->state = CALL_OVER;
                call->status = 200;
                call->local = true;
        }
        if (ret_request)
                *ret_request = lib_handle(r);
        return 0;
}

int belay_call_cancel(struct belay_call *call)
{
        struct bl_ua_request *r = call->state == CALL_OUT ? call->invite : call->re_invite;
        if (!r)
                return BL_EINVAL;
        lib_enter(call->account->belay);
        bl_ua_cancel(r);
        return 0;
}

int belay_call_hangup(struct belay_call *call)
{
        switch (call->state) {
        case CALL_OUT:
                call->hanging_up = true;
                return belay_call_cancel(call);
        case CALL_IN:
                return belay_call_answer(call, 603, NULL);
        case CALL_OK:
        case CALL_UP:
                return belay_call_request(call, "BYE", NULL, NULL);
        case CALL_OVER:
                break;
        }
        return BL_EGONE;
}

const char *belay_call_id(const struct belay_call *call)
{
        return call->id;
}

int belay_call_is_incoming(const struct belay_call *call)
{
        return call->incoming;
}

int belay_call_is_up(const struct belay_call *call)
{
        return call->state == CALL_UP;
}

void belay_call_set_user(struct belay_call *call, void *user)
{
        call->user = user;
}

void *belay_call_user(const struct belay_call *call)
{
        return call->user;
}

/* ---- requests ---- */

int belay_send(struct belay_account *a, const char *method, const char *to, const struct belay_content *c,
               struct belay_request **ret_request)
{
        struct content with;
        struct bl_ua_request *r;
        enum bl_method m = bl_method_from(bl_str_z(method));
        int rc = lib_content(c, &with);
        if (rc < 0)
                return rc;
        if (m != BL_M_MESSAGE && m != BL_M_OPTIONS)
                return BL_EINVAL;
        lib_enter(a->belay);
        rc = bl_ua_request(a->ua, m, bl_str_z(to), with.extra, with.has_body, &r);
        if (rc == 0 && ret_request)
                *ret_request = lib_handle(r);
        return rc;
}

int belay_request_answer(struct belay_request *r, unsigned status, const struct belay_content *c)
{
        struct content with;
        const struct belay_account *a = bl_ua_request_ctx(lib_request(r));
        int rc = lib_content(c, &with);
        if (rc < 0)
                return rc;
        lib_enter(a->belay);
        return bl_ua_answer(lib_request(r), status, with.extra, with.has_body);
}

void belay_request_set_user(struct belay_request *r, void *user)
{
        bl_ua_request_set_user(lib_request(r), user);
}

void *belay_request_user(const struct belay_request *r)
{
        return bl_ua_request_user((const struct bl_ua_request *)(const void *)r);
}
