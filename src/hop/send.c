/* A request's journey: its start, its timers, its end. The walk over candidates is in walk.c, what responses mean in
 * answer.c. */
#include "hop/journey.h"

/* ---- small things ---- */

bl_us send_t1(const struct bl_send *s)
{
        uint32_t ms = bl_txns_get_conf(s->h->txns)->t1_ms;
        return BL_MS(ms ? ms : 500);
}

bool send_base_uri(const struct bl_send *s, unsigned base, struct bl_uri *ret_uri)
{
        if (base == 0)
                *ret_uri = s->first;
        return base < s->n_base && (base == 0 || bl_uri_parse(s->base[base], ret_uri) == 0);
}

struct tried *send_tried(struct bl_send *s, bl_flow_id flow)
{
        for (unsigned i = s->n_tried; i-- > 0;) {
                if (s->seek->tried[i].flow == flow)
                        return &s->seek->tried[i];
        }
        return NULL;
}

bool send_any_tried(const struct bl_send *s, unsigned states)
{
        for (unsigned i = 0; i < s->n_tried; i++) {
                if (states & 1u << s->seek->tried[i].state)
                        return true;
        }
        return false;
}

void send_step(struct bl_send *s, enum send_step what, bl_us at)
{
        s->step_for = what;
        if (what == STEP_NONE)
                env_disarm(s->h->env, &s->step);
        else
                env_arm(s->h->env, &s->step, at);
}

void send_deadline(struct bl_send *s, bl_us at)
{
        s->deadline_at = at;
        if (at)
                env_arm(s->h->env, &s->deadline, at);
        else
                env_disarm(s->h->env, &s->deadline);
}

bool send_seeking(const struct bl_send *s)
{
        return s->resolve._state || s->opening || s->step_for == STEP_ROUND;
}

void send_stop_seeking(struct bl_send *s)
{
        bl_resolve_cancel(&s->resolve);
        bl_flow_unwatch(&s->watch);
        s->opening = false;
        if (s->step_for == STEP_OPEN || s->step_for == STEP_ROUND || s->step_for == STEP_SILENCE)
                send_step(s, STEP_NONE, 0);
}

/* ---- the end ---- */

static void seek_end(struct bl_send *s)
{
        bl_pool_give(s->h->env->pool, s->seek, sizeof(*s->seek));
        s->seek = NULL;
        s->n_tried = s->n_opened = 0;
}

/* Nothing else knows of them: without this each try in vain would leave one behind. */
static void close_own(struct bl_send *s)
{
        for (unsigned i = 0; i < s->n_opened; i++) {
                bl_flow_id id = s->seek->opened[i].own;
                struct bl_flow *f = id && id != s->answered_by ? bl_flow_get(s->h->flows, id) : NULL;
                if (f)
                        bl_flow_close(f, true);
        }
}

static void destroy(struct bl_send *s)
{
        struct bl_pool *pool = s->h->env->pool;
        close_own(s);
        send_stop_seeking(s);
        env_disarm(s->h->env, &s->step);
        env_disarm(s->h->env, &s->deadline);
        if (s->ct)
                bl_client_free(s->ct);
        bl_msg_drop(s->held, pool);
        send_redirect_fini(s);
        bl_list_remove(&s->link);
        seek_end(s);
        hop_pool_unstr(s->h, &s->text);
        bl_pool_give(pool, s, sizeof(*s));
}

void send_enter(struct bl_send *s)
{
        s->busy++;
}

void send_leave(struct bl_send *s)
{
        if (--s->busy == 0 && s->dead)
                destroy(s);
}

void bl_send_free(struct bl_send *s)
{
        if (!s)
                return;
        s->dead = true;
        if (!s->busy)
                destroy(s);
}

/* Callers have entered. */
void send_end(struct bl_send *s)
{
        s->state = SEND_OVER;
        if (!s->dead && s->user->ended)
                s->user->ended(s->ctx, s);
        s->dead = true;
}

void send_fail(struct bl_send *s, unsigned status, const char *reason)
{
        if (s->state == SEND_OVER && s->step_for != STEP_END)
                return;
        send_stop_seeking(s);
        s->state = SEND_OVER;
        s->end_status = status;
        s->end_reason = reason;
        if (s->starting) { /* the owner does not have the handle yet */
                send_step(s, STEP_END, s->h->env->now);
                return;
        }
        send_enter(s);
        if (!s->dead)
                s->user->failed(s->ctx, s, status, reason);
        send_end(s);
        send_leave(s);
}

/* A final response ends the journey, but for a 2xx to INVITE, of which each copy and fork counts (RFC 6026). */
void send_show(struct bl_send *s, bl_flow_id from, const struct bl_msg *m)
{
        bool final = m->status >= 200, accepted = m->status < 300 && s->method == BL_M_INVITE;
        send_enter(s);
        if (final && s->state != SEND_ACCEPTED) {
                send_stop_seeking(s);
                send_deadline(s, 0);
                s->answered_by = from;
                s->state = accepted ? SEND_ACCEPTED : SEND_OVER;
                if (accepted)
                        seek_end(s);
                send_step(s, accepted ? STEP_LINGER : STEP_NONE, s->h->env->now + 64 * send_t1(s));
        }
        if (!s->dead)
                s->user->response(s->ctx, s, from, m);
        if (final && !accepted)
                send_end(s);
        send_leave(s);
}

void send_show_held(struct bl_send *s)
{
        struct bl_msg *m = s->held;
        struct bl_pool *pool = s->h->env->pool;
        s->held = NULL;
        send_show(s, s->held_from, m); /* s may be gone */
        bl_msg_drop(m, pool);
}

/* ---- timers ---- */

/* Not even a 100 (protocol.md section 5): nothing is closed or cancelled, the next candidate is tried beside. */
static void silence(struct bl_send *s)
{
        struct tried *t = s->n_tried ? &s->seek->tried[s->n_tried - 1] : NULL;
        if (!t || t->state != TRIED_OPEN || t->heard)
                return;
        if (t->tp == BL_UDP && s->ct && bl_client_sent(s->ct, t->flow) < 2) { /* one datagram may be lost */
                send_step(s, STEP_SILENCE, s->h->env->now + send_t1(s) / 4);
                return;
        }
        t->state = TRIED_SILENT;
        bl_count(s->h->count.next_silence);
        hop_flow_suspect(s->h, t->flow);
        send_advance(s);
}

/* A far end that dies after its 100 or 180 says no more, and over UDP nothing else tells. */
void send_await(struct bl_send *s)
{
        uint32_t every = s->h->conf.ping_every_ms == UINT32_MAX ? 5000 : s->h->conf.ping_every_ms;
        if (s->flags & BL_SEND_UA)
                send_step(s, STEP_NONE, 0);
        else
                send_step(s, STEP_CHECK, s->h->env->now + BL_MS(every));
}

static void check(struct bl_send *s)
{
        for (unsigned i = 0; i < s->n_tried; i++)
                if (s->seek->tried[i].heard &&
                    (s->seek->tried[i].state == TRIED_OPEN || s->seek->tried[i].state == TRIED_RINGING))
                        hop_flow_check(s->h, s->seek->tried[i].flow);
        send_await(s);
}

static void step_fire(struct bl_timer *timer)
{
        struct bl_send *s = BL_CONTAINER(timer, struct bl_send, step);
        enum send_step what = s->step_for;
        s->step_for = STEP_NONE;
        send_enter(s);
        switch (what) {
        case STEP_NONE:
                break;
        case STEP_SILENCE:
                silence(s);
                break;
        case STEP_OPEN: /* takes long; goes on in the background, the next round may find it up */
                send_open_failed(s);
                break;
        case STEP_ROUND:
                send_next_round(s);
                break;
        case STEP_HOLD:
                s->unsure = true;
                send_show_held(s);
                break;
        case STEP_END:
                s->step_for = STEP_END;
                send_fail(s, s->end_status, s->end_reason);
                break;
        case STEP_LINGER:
                send_end(s);
                break;
        case STEP_CHECK:
                check(s);
                break;
        }
        send_leave(s);
}

static void deadline_fire(struct bl_timer *timer)
{
        struct bl_send *s = BL_CONTAINER(timer, struct bl_send, deadline);
        if (s->state == SEND_OVER)
                return;
        send_enter(s);
        /* No answer is a failure (RFC 3263 section 4.3); of whoever sent a 100, the silence is somebody else's. */
        for (unsigned i = 0; i < s->n_tried && s->state == SEND_LOOKING; i++) {
                const struct tried *t = &s->seek->tried[i];
                if (!t->heard && (t->state == TRIED_OPEN || t->state == TRIED_SILENT))
                        hop_failed_mark(s->h, t->tp, &t->addr);
        }
        if (s->held && send_is_doubtful(s->held->status)) {
                s->unsure = true;
                send_show_held(s);
        } else if (s->cancelled) {
                send_fail(s, 487, "cancelled"); /* RFC 3261 section 9.1: 64*T1 after CANCEL it counts as cancelled */
        } else if (s->once) {
                send_fail(s, 503, "no_route");
        } else {
                send_fail(s, s->method == BL_M_INVITE ? 408 : 504, "deadline"); /* RFC 4320 section 4.2: never 408 */
        }
        send_leave(s);
}

/* ---- start ---- */

static int copy_texts(struct bl_send *s, const struct bl_send_want *w)
{
        unsigned n_alt = w->n_alt < SEND_BASES - 1 ? w->n_alt : SEND_BASES - 1;
        size_t array = (1 + n_alt) * sizeof(*s->base);
        size_t n = array + w->method_name.n + w->branch.n + w->u.all.n;
        for (unsigned i = 0; i < n_alt; i++)
                n += w->alt[i].all.n;
        char *p = bl_pool_alloc(s->h->env->pool, n);
        if (!p)
                return BL_ENOMEM;
        s->text = bl_str_make(p, n);
        s->base = (struct bl_str *)(void *)p;
        p += array;
        const struct bl_str *from[2 + SEND_BASES] = {&w->method_name, &w->branch, &w->u.all};
        struct bl_str *to[2 + SEND_BASES] = {&s->method_name, &s->branch, &s->base[0]};
        for (unsigned i = 0; i < n_alt; i++) {
                from[3 + i] = &w->alt[i].all;
                to[3 + i] = &s->base[1 + i];
        }
        for (unsigned i = 0; i < 3 + n_alt; i++) {
                if (from[i]->n)
                        memcpy(p, from[i]->p, from[i]->n);
                *to[i] = bl_str_make(p, from[i]->n);
                p += from[i]->n;
        }
        s->n_base = (uint8_t)(1 + n_alt);
        return 0;
}

static int send_new(struct bl_hops *h, const struct bl_send_want *w, const struct bl_send_user *u, void *ctx, bool once,
                    struct bl_send **ret_send)
{
        struct bl_send *s = bl_pool_zalloc(h->env->pool, sizeof(*s));
        if (!s)
                return BL_ENOMEM;
        s->h = h;
        s->user = u;
        s->ctx = ctx;
        s->once = once;
        s->method = w->method;
        s->flags = w->flags;
        s->pinned = w->flow;
        s->not_flow = w->not_flow;
        s->octets = w->octets;
        s->spread = bl_hash(h->env->hash_seed, w->call_id);
        s->started_at = h->env->now;
        s->leg_redirect = -1;
        s->step.fire = step_fire;
        s->deadline.fire = deadline_fire;
        s->resolve.done = send_resolved;
        s->seek = bl_pool_alloc(h->env->pool, sizeof(*s->seek));
        int rc = s->seek ? copy_texts(s, w) : BL_ENOMEM;
        if (rc < 0) {
                bl_pool_give(h->env->pool, s->seek, sizeof(*s->seek));
                bl_pool_give(h->env->pool, s, sizeof(*s));
                return rc;
        }
        s->first = w->u;
        bl_uri_move(&s->first, w->u.all.p, s->base[0].p);
        bl_list_push_back(&h->sends, &s->link);
        *ret_send = s;
        return 0;
}

static bl_us default_deadline(const struct bl_send *s)
{
        bl_us all = 64 * send_t1(s), margin = BL_SEC(4);
        if (s->once) /* the next copy of the 2xx asks for the next ACK */
                return s->started_at + all / 8;
        if (s->method == BL_M_INVITE)
                return s->started_at + all;
        return s->started_at + (all > 2 * margin ? all - margin : all / 2); /* protocol.md section 5, RFC 4320 */
}

static int start(struct bl_hops *h, const struct bl_send_want *w, const struct bl_send_user *u, void *ctx, bool once,
                 struct bl_send **ret_send)
{
        struct bl_send *s;
        int rc = send_new(h, w, u, ctx, once, &s);
        if (rc < 0)
                return rc;
        send_deadline(s, w->deadline_at ? w->deadline_at : default_deadline(s));
        *ret_send = s;
        send_enter(s);
        s->starting = true;
        send_advance(s);
        s->starting = false;
        bool gone = s->dead;
        send_leave(s);
        return gone ? BL_EGONE : 0;
}

int bl_send_start(struct bl_hops *h, const struct bl_send_want *w, const struct bl_send_user *u, void *ctx,
                  struct bl_send **ret_send)
{
        return start(h, w, u, ctx, false, ret_send);
}

int bl_send_once(struct bl_hops *h, const struct bl_send_want *w, const struct bl_send_user *u, void *ctx,
                 struct bl_send **ret_send)
{
        return start(h, w, u, ctx, true, ret_send);
}

void bl_send_cancel(struct bl_send *s)
{
        if (s->cancelled || s->state == SEND_ACCEPTED || s->state == SEND_OVER || s->once)
                return;
        s->cancelled = true;
        send_stop_seeking(s);
        if (s->ct)
                bl_client_cancel(s->ct);
        if (send_any_tried(s, SEND_OUTSTANDING)) {
                send_deadline(s, s->h->env->now + 64 * send_t1(s));
                return;
        }
        s->state = SEND_OVER;
        s->end_status = 487;
        s->end_reason = "cancelled";
        send_step(s, STEP_END, s->h->env->now);
}

unsigned bl_send_tries(const struct bl_send *s)
{
        return s->n_tried;
}

bool bl_send_unsure(const struct bl_send *s)
{
        return s->unsure;
}

void hop_send_fini(struct bl_hops *h)
{
        BL_LIST_EACH_SAFE(l, &h->sends)
        bl_send_free(BL_CONTAINER(l, struct bl_send, link));
}
