/* Forwarding (RFC 3261 section 16.6): which targets go out when, and what each try's request looks like. */
#include "proxy/internal.h"

/* --- texts --- */

bool px_list_first(struct bl_str list, struct bl_str *ret_value, struct bl_str *ret_rest)
{
        bool quoted = false, angle = false;
        size_t i = list.n && !memchr(list.p, ',', list.n) ? list.n : 0; /* mostly there is one value */
        for (; i < list.n; i++) {
                char c = list.p[i];
                if (quoted) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                quoted = false;
                } else if (c == '"' && !angle) {
                        quoted = true;
                } else if (c == '<' || c == '>') {
                        angle = c == '<';
                } else if (c == ',' && !angle) {
                        break;
                }
        }
        size_t end = i < list.n ? i : list.n;
        *ret_value = bl_str_trim(bl_str_make(list.p, end));
        *ret_rest = end < list.n ? bl_str_trim(bl_str_from(list, end + 1)) : (struct bl_str){NULL, 0};
        return ret_value->n > 0;
}

struct bl_str px_inside(struct bl_str value)
{
        ptrdiff_t open = bl_str_find(value, '<');
        struct bl_str uri, rest;
        if (open >= 0)
                (void)bl_str_cut(bl_str_from(value, (size_t)open + 1), '>', &uri, &rest);
        else
                (void)bl_str_cut(value, ';', &uri, &rest);
        return uri;
}

/* The Route value left on top of the received ones after popping, as a URI. 0, BL_ENOENT, BL_EMALFORMED. */
static int received_route(const struct px_branch *b, struct bl_uri *ret_uri)
{
        struct bl_nameaddr na;
        int rc = bl_msg_nameaddr(b->px->msg, BL_H_ROUTE, (int)b->t.pop_routes, &na);
        if (rc == 0 && !na.angle)
                rc = BL_EMALFORMED; /* section 20.34: Route is always a name-addr */
        if (rc == 0)
                *ret_uri = na.uri;
        return rc;
}

/* --- where to: 16.6 steps 6 and 7 --- */

static bool is_sips(struct bl_str uri)
{
        return uri.n > 5 && bl_str_ieq(bl_str_make(uri.p, 5), BL_STR("sips:"));
}

/*
 * What is asked of sips goes over TLS on every hop, and comes back so: our Record-Route says sips, too (16.6 step 4;
 * RFC 5630 section 5.3).
 */
static int secure(struct px_branch *b, struct bl_str ruri)
{
        struct bl_str rr = b->t.record_route;
        if (!is_sips(ruri) && !is_sips(b->next_uri))
                return 0;
        b->t.send_flags |= BL_SEND_SECURE;
        if ((!is_sips(ruri) && !is_sips(b->top)) || rr.n < 5 || !bl_str_ieq(bl_str_make(rr.p, 5), BL_STR("<sip:")))
                return 0;
        char *mem = bl_px_alloc(b->px, rr.n + 1);
        struct bl_sb out = {mem, 0, mem ? rr.n + 1 : 0, false};
        bl_sb_addz(&out, "<sips:");
        bl_sb_add(&out, bl_str_from(rr, 5));
        b->t.record_route = bl_sb_str(&out);
        return out.over ? BL_ENOMEM : 0;
}

/* 0 and *ret_u, the URI that chooses the flow; or the status that the target ends with. */
static unsigned plan(struct px_branch *b, struct bl_uri *ret_u)
{
        struct bl_str value, rest;
        int rc = 0;
        if (b->t.push_routes.n) {
                if (!px_list_first(b->t.push_routes, &value, &rest))
                        return 500;
                b->top = px_inside(value);
                rc = bl_uri_parse(b->top, ret_u);
        } else {
                rc = received_route(b, ret_u);
                if (rc == 0)
                        b->top = ret_u->all;
        }
        if (rc < 0 && rc != BL_ENOENT)
                return 400;
        struct bl_str ruri = b->t.ruri.n ? b->t.ruri : b->px->msg->ruri;
        /* Step 6: an element of RFC 2543 wants to see itself in the Request-URI, which then waits at the end of Route.
         */
        b->strict = b->top.n && b->t.strict_fallback && !bl_uri_is_lr(ret_u);
        b->next_uri = b->t.next.n ? b->t.next : b->top.n ? b->top : ruri;
        if (!b->t.next.n && !b->top.n && !b->t.ruri.n)
                *ret_u = b->px->msg->uri;
        else if ((b->t.next.n || !b->top.n) && bl_uri_parse(b->next_uri, ret_u) < 0)
                return 400;
        if (ret_u->scheme != BL_SCHEME_SIP && ret_u->scheme != BL_SCHEME_SIPS)
                return 416; /* nothing that could be resolved (section 21.4.14) */
        return secure(b, ruri) < 0 ? 503 : 0;
}

/* --- a try's request --- */

static struct bl_str max_text(struct bl_arena *a, uint32_t n)
{
        struct bl_sb b = {bl_arena_alloc(a, 12), 0, 12, false};
        if (b.p)
                bl_sb_addu(&b, n);
        return bl_sb_str(&b);
}

static struct bl_str in_angles(struct bl_arena *a, struct bl_str uri)
{
        return BL_CAT(a, BL_STR("<"), uri, BL_STR(">"));
}

/* Which of the target's route lists a try is for: try.route names the first entry of one, or is a redirect's form of
 * it (same user and host). */
static struct bl_str routes_for(const struct px_branch *b, struct bl_str route)
{
        struct bl_uri want, u;
        bool parsed = b->t.n_alt && bl_uri_parse(route, &want) == 0;
        struct bl_str like = b->t.push_routes, value, rest;
        for (unsigned i = 0; parsed && i <= b->t.n_alt; i++) {
                struct bl_str list = i < b->t.n_alt ? b->t.alt_routes[i] : b->t.push_routes;
                if (!px_list_first(list, &value, &rest) || bl_uri_parse(px_inside(value), &u) < 0)
                        continue;
                if (bl_str_eq(u.all, route))
                        return list;
                if (bl_str_eq(u.user, want.user) && bl_host_eq(u.host, want.host))
                        like = list;
        }
        return like;
}

static void edit_routes(const struct px_branch *b, const struct bl_try *t, struct bl_edits *e)
{
        const struct bl_px_target *g = &b->t;
        for (unsigned i = 0; i < g->pop_routes; i++)
                bl_edit_remove_value(e, BL_H_ROUTE, i);
        struct bl_str push = g->push_routes, value, rest;
        if (t->route.n) {
                struct bl_str route = in_angles(e->arena, t->route);
                push = routes_for(b, t->route);
                if (px_list_first(push, &value, &rest)) {
                        if (!bl_str_eq(px_inside(value), t->route))
                                push = rest.n ? BL_CAT(e->arena, route, BL_STR(", "), rest) : route;
                } else if (b->top.n) {
                        bl_edit_replace_value(e, BL_H_ROUTE, g->pop_routes, route);
                } else {
                        push = route;
                }
        } else if (b->strict) {
                struct bl_str ruri = g->ruri.n ? g->ruri : b->px->msg->ruri;
                if (!push.n)
                        bl_edit_remove_value(e, BL_H_ROUTE, g->pop_routes);
                else if (px_list_first(push, &value, &rest))
                        push = rest;
                bl_edit_ruri(e, b->top);
                bl_edit_append(e, BL_H_ROUTE, in_angles(e->arena, ruri));
        }
        if (push.n)
                bl_edit_push(e, BL_H_ROUTE, push);
}

/* The received top Via gets what section 18.2.1 and RFC 3581 section 4 want our server side to add: where it came
 * from. What a client wrote there itself goes. */
static int edit_received(const struct bl_px *px, struct bl_edits *e)
{
        const struct bl_via *v = &px->msg->via;
        if (!px->source.family || (!v->has_rport && !v->received.n && bl_via_is_from(v, &px->source)))
                return 0; /* it says so already */
        size_t cap = v->all.n + BL_VIA_SOURCE_MAX;
        struct bl_sb b = {bl_arena_alloc(e->arena, cap), 0, cap, false};
        if (!b.p)
                return BL_ENOMEM;
        bl_via_put_source(&b, v, &px->source);
        bl_edit_replace_value(e, BL_H_VIA, 0, bl_sb_str(&b));
        return 0;
}

static const struct bl_listener_info *listener_for(const struct bl_proxy *p, const struct bl_flow *f, enum bl_tp tp)
{
        const struct bl_flows_conf *c = &p->conf->flow;
        const struct bl_listener_info *same_side = NULL;
        bool ua_side = f && f->listener < c->n_listeners && c->listeners[f->listener].ua_side;
        for (unsigned i = 0; i < c->n_listeners; i++) {
                const struct bl_listener_info *l = &c->listeners[i];
                if (l->ua_side != ua_side)
                        continue;
                if (l->tp == tp)
                        return l;
                if (!same_side)
                        same_side = l;
        }
        return same_side ? same_side : c->n_listeners ? &c->listeners[0] : NULL;
}

static bool is_wildcard(const struct bl_addr *a)
{
        static const uint8_t zero[16];
        return !a->family || memcmp(a->ip, zero, sizeof(zero)) == 0;
}

/* Where responses come to when the flow is gone (section 18.2.2): the listener of that side, never a port that the
 * system picked for one connection. Fixed at the first try: the far side takes another sent-by for another
 * transaction. */
static void choose_sent_by(struct px_branch *b, const struct bl_try *t)
{
        const struct bl_proxy *p = b->px->p;
        const struct bl_flow *f = bl_flow_get(p->flows, t->flow);
        const struct bl_listener_info *l = listener_for(p, f, t->tp);
        uint16_t port = l ? l->local.port : t->local.port;
        char text[300];
        struct bl_sb s = BL_SB(text);
        if (p->conf->sent_by_host.n) {
                bl_sb_add(&s, p->conf->sent_by_host);
        } else {
                const struct bl_addr *a = t->local.family || !l ? &t->local : &l->local;
                if (l && l->advertise.n)
                        bl_sb_add(&s, l->advertise);
                else if (l && !is_wildcard(&l->local) && l->local.family == a->family)
                        bl_addr_put_ip(&s, &l->local);
                else
                        bl_addr_put_ip(&s, a);
        }
        if (port) {
                bl_sb_addc(&s, ':');
                bl_sb_addu(&s, port);
        }
        b->sent_by = bl_px_str(b->px, bl_sb_str(&s));
}

/* RFC 5923 section 4: the far end may send its own requests by the connection that we opened; it knows who we are by
 * the certificate that we have for our TLS listener. Towards those that have not proven who they are there is nothing
 * to offer. */
static struct bl_str alias(const struct bl_proxy *p, const struct bl_try *t)
{
        const struct bl_flows_conf *c = &p->conf->flow;
        const struct bl_flow *f = t->tp == BL_TLS ? bl_flow_get(p->flows, t->flow) : NULL;
        for (unsigned i = 0; f && f->ours && bl_flow_proven(f) && i < c->n_listeners; i++) {
                if (c->listeners[i].tp == BL_TLS)
                        return BL_STR(";alias");
        }
        return (struct bl_str){NULL, 0};
}

static int edit_via(struct px_branch *b, const struct bl_try *t, struct bl_edits *e)
{
        struct bl_proxy *p = b->px->p;
        if (!b->sent_by.n)
                choose_sent_by(b, t);
        if (!b->sent_by.n)
                return BL_ENOMEM;
        struct bl_sb own = {NULL, 0, 0, false};
        if (p->role->via) {
                own = (struct bl_sb){bl_arena_alloc(e->arena, VIA_OWN_MAX), 0, VIA_OWN_MAX, false};
                if (!own.p)
                        return BL_ENOMEM;
                p->role->via(p->role_ctx, b->px, b->index, t, &own);
                if (own.over)
                        return BL_ELIMIT;
        }
        struct bl_str via = BL_CAT(e->arena, BL_STR("SIP/2.0/"), bl_tp_name(t->tp), BL_STR(" "), b->sent_by,
                                   BL_STR(";branch="), b->id, BL_STR(";rport"), p->conf->via_extra, alias(p, t),
                                   bl_txns_via_param(p->txns), bl_sb_str(&own));
        if (!via.n || edit_received(b->px, e) < 0)
                return BL_ENOMEM;
        bl_edit_push(e, BL_H_VIA, via);
        return 0;
}

void bl_px_put_record_route(struct bl_str one, enum bl_tp tp, struct bl_sb *out)
{
        if (tp == BL_TP_COUNT || tp == BL_WS || tp == BL_WSS) {
                bl_sb_add(out, one);
                return;
        }
        bl_sb_add(out, bl_str_make(one.p, one.n - 1));
        bl_sb_addz(out, ";transport=");
        bl_sb_add(out, bl_tp_param(tp));
        bl_sb_addc(out, '>');
}

static int edit_record_route(const struct px_branch *b, const struct bl_try *t, struct bl_edits *e)
{
        const struct bl_proxy *p = b->px->p;
        const struct bl_px_target *g = &b->t;
        struct bl_sb both = {NULL, 0, 2 * g->record_route.n + RECORD_ROUTE_MORE, false};
        if (!g->record_route.n)
                return 0;
        /* A sips URI says TLS for every hop; naming that as a transport, too, is deprecated (RFC 5630 section 3.1.4).
         */
        if (p->role->record_route && !is_sips(bl_str_from(g->record_route, 1))) {
                both.p = bl_arena_alloc(e->arena, both.cap);
                if (!both.p)
                        return BL_ENOMEM;
                p->role->record_route(p->role_ctx, b->px, g, t, &both);
                if (both.over)
                        return BL_ELIMIT;
        }
        bl_edit_push(e, BL_H_RECORD_ROUTE, both.n ? bl_sb_str(&both) : g->record_route);
        return 0;
}

static int write_edits(struct px_branch *b, const struct bl_try *t, struct bl_edits *e)
{
        const struct bl_px *px = b->px;
        const struct bl_px_target *g = &b->t;
        int32_t mf = px->msg->max_forwards;
        if (g->ruri.n)
                bl_edit_ruri(e, g->ruri); /* step 2 */
        /* Step 3. */
        bl_edit_set(e, BL_H_MAX_FORWARDS, max_text(e->arena, mf < 0 ? DEFAULT_MAX_FORWARDS : (uint32_t)mf - 1));
        if (b->breadth)
                bl_edit_set(e, BL_H_MAX_BREADTH, max_text(e->arena, b->breadth));
        int rc = edit_record_route(b, t, e); /* step 4 */
        if (rc < 0)
                return rc;
        if (g->path.n)
                bl_edit_push(e, BL_H_PATH, g->path); /* RFC 3327 section 5.2 */
        edit_routes(b, t, e);                        /* step 6 */
        return edit_via(b, t, e);                    /* step 8; Content-Length (9) is bl_write's */
}

int px_render(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret_buf)
{
        struct px_branch *b = ctx;
        struct bl_px *px = b->px;
        struct bl_proxy *p = px->p;
        (void)s;
        if (!px->msg || px->cancelled || px->state != PX_FORWARDING)
                return BL_EGONE; /* no further copy of what nobody waits for */
        px_enter(px);
        struct bl_edits e;
        bl_edits_init(&e, px->msg, proxy_arena(p));
        int rc = write_edits(b, t, &e);
        if (rc >= 0 && p->role->outgoing)
                rc = p->role->outgoing(p->role_ctx, px, b->index, t, &e);
        if (rc >= 0)
                rc = bl_write(p->env->pool, px->msg, &e, ret_buf);
        if (rc >= 0)
                bl_count(p->forwarded);
        proxy_arena_done(p);
        px_leave(px);
        return rc;
}

/* --- a branch goes out --- */

static int make_id(struct px_branch *b)
{
        struct bl_px *px = b->px;
        struct bl_proxy *p = px->p;
        char text[192];
        struct bl_sb s = BL_SB(text);
        if (p->role->branch)
                p->role->branch(p->role_ctx, px, b->index, &s);
        if (!s.n) {
                uint8_t r[12];
                p->env->ops->random(p->env, r, sizeof(r));
                bl_sb_addz(&s, "z9hG4bK");
                bl_sb_hex(&s, r, sizeof(r));
        }
        if (p->conf->loop_check)
                proxy_loop_put(p, px->msg, &s);
        b->id = s.over ? (struct bl_str){NULL, 0} : bl_px_str(px, bl_sb_str(&s));
        return b->id.n ? 0 : BL_ENOMEM;
}

static unsigned parse_alternatives(const struct px_branch *b, struct bl_uri *ret_alt)
{
        unsigned n = 0;
        struct bl_str value, rest;
        for (unsigned i = 0; i < b->t.n_alt && n < PX_TARGETS; i++) {
                if (px_list_first(b->t.alt_routes[i], &value, &rest) &&
                    bl_uri_parse(px_inside(value), &ret_alt[n]) == 0)
                        n++;
        }
        return n;
}

static bl_us deadline(const struct bl_px *px)
{
        if (px->msg->method == BL_M_INVITE)
                return 0;
        /* All tries end early enough for a 504 to get back before the far end gives up (RFC 4320; protocol.md 5). */
        bl_us all = 64 * px->p->t1, margin = BL_SEC(4);
        return px->arrived_at + (all > 2 * margin ? all - margin : all / 2);
}

static int hand_over(struct px_branch *b, const struct bl_uri *u)
{
        struct bl_px *px = b->px;
        const struct bl_msg *m = px->msg;
        struct bl_uri alt[PX_TARGETS];
        struct bl_send_want w = {
                .u = *u,
                .alt = alt,
                .n_alt = parse_alternatives(b, alt),
                .method = m->method,
                .method_name = m->method_name,
                .branch = b->id,
                .call_id = m->call_id,
                .in_dialog = m->to_tag.n != 0,
                .flags = b->t.send_flags,
                .flow = b->t.flow,
                .deadline_at = deadline(px),
                .octets = (uint32_t)(m->octets.n + ADDED_ABOUT + b->t.push_routes.n + 2 * b->t.record_route.n),
        };
        if (px->is_ack)
                return bl_send_once(px->p->hops, &w, &px_ack_user, b, &b->send);
        return bl_send_start(px->p->hops, &w, &px_send_user, b, &b->send);
}

static void start(struct px_branch *b)
{
        struct bl_px *px = b->px;
        struct bl_uri u;
        b->state = BR_CALLING;
        px->n_active++;
        unsigned status = plan(b, &u);
        if (!status && px->msg->method != BL_M_INVITE && !px->is_ack && px->p->env->now >= deadline(px))
                status = 504; /* an earlier target used up the time */
        const char *reason = "bad_next_hop";
        if (!status) {
                int rc = make_id(b);
                if (rc == 0)
                        rc = hand_over(b, &u);
                status = rc == 0 ? 0 : 503;
                reason = "not_sent";
        }
        if (status) {
                px_branch_final(b, status, NULL, 0, reason);
        } else if (px->msg->method == BL_M_INVITE) {
                b->timer.fire = px_branch_timer;
                env_arm_in(px->p->env, &b->timer, px->p->timer_c); /* step 11 */
        }
}

void px_branch_stop(struct px_branch *b)
{
        env_disarm(b->px->p->env, &b->timer);
        bl_send_free(b->send);
        b->send = NULL;
}

/* --- groups: equal q in parallel, one q after another --- */

static unsigned group_size(const struct px_branch *first)
{
        unsigned n = 0;
        for (const struct px_branch *b = first; b; b = b->next)
                n += b->state == BR_WAITING && b->t.q == first->t.q && (b == first || !(b->serial || first->serial));
        return n;
}

/* RFC 5393 section 5.3.3: the breadth of those that are out together adds up to what we were given. */
static void start_group(struct bl_px *px, struct px_branch *first)
{
        unsigned n = group_size(first);
        uint16_t q = first->t.q;
        bool alone = first->serial;
        uint32_t breadth = DEFAULT_BREADTH;
        (void)proxy_breadth(px->p, px->msg, &breadth); /* checked when it came */
        bool as_it_came = n == 1 && bl_msg_has(px->msg, BL_H_MAX_BREADTH);
        unsigned i = 0;
        for (struct px_branch *b = first; b && i < n; b = b->next) {
                if (b->state != BR_WAITING || b->t.q != q || (b != first && (alone || b->serial)))
                        continue;
                b->breadth = as_it_came || px->is_ack ? 0 : breadth / n + (i < breadth % n);
                i++;
                start(b);
        }
}

void px_advance(struct bl_px *px)
{
        if (px->starting)
                return;
        px->starting = true;
        struct px_branch *first;
        while (px->state == PX_FORWARDING && !px->n_active && !px->no_more && !px->cancelled &&
               (first = px_next_waiting(px)))
                start_group(px, first);
        px->starting = false;
        if (px->state == PX_FORWARDING && !px->n_active)
                px_best_answer(px);
}

static bool too_broad(const struct bl_px *px)
{
        uint32_t breadth = DEFAULT_BREADTH;
        (void)proxy_breadth(px->p, px->msg, &breadth);
        for (const struct px_branch *b = px->branches; b; b = b->next) {
                if (group_size(b) > breadth)
                        return true;
        }
        return false;
}

static void go_ack(struct bl_px *px)
{
        px->state = PX_FORWARDING;
        if (!px->branches || px->msg->max_forwards == 0 || px_keep(px) < 0) {
                px->state = PX_OVER;
                return;
        }
        px->starting = true;
        for (struct px_branch *b = px->branches; b; b = b->next)
                if (b == px->branches || b->t.ack_too) /* the others are for requests that may be answered */
                        start(b);
        px->starting = false;
        if (!px->n_active)
                px->state = PX_OVER;
}

void bl_px_go(struct bl_px *px)
{
        struct bl_str none = {NULL, 0};
        if (px->state != PX_DECIDING && px->state != PX_HELD)
                return;
        px_enter(px);
        if (px->is_ack)
                go_ack(px);
        else if (px->cancelled)
                px->state = PX_OVER; /* answered 487 while it was held */
        else if (px->msg->max_forwards == 0)
                px_answer_local(px, 483, "max_forwards", none, none);
        else if (!px->branches)
                px_answer_local(px, 480, "no_target", none, none);
        else if (too_broad(px))
                px_answer_local(px, 440, "max_breadth", BL_STR("Max-Breadth Exceeded"), none);
        else if (px_make_server(px) < 0 || px_keep(px) < 0)
                px_overloaded(px, "overload");
        else {
                px->state = PX_FORWARDING;
                px_trying(px);
                px_advance(px);
        }
        px_leave(px);
}
