/*
 * The walk over candidates: legs, their lists, one try at a time; a flow to open when there is none; and what happens
 * when all are spent.
 */
#include "hop/journey.h"

enum { ROUND_FIRST_MS = 500, ROUND_MAX_MS = 4000, OPENS_MAX = 64 /* flows asked for by one request */ };

/* ---- the spent list ---- */

/* A connection to that host broke a moment ago and may be back in the next; perhaps only its far end can open it. */
static bool is_awaited(const struct bl_send *s)
{
        bl_flow_id kept;
        return bl_sticky_flow_orphan(s->h->sticky, s->first.host, NULL, s->h->env->now, &kept) == 0;
}

/* No candidate is left in this round. */
static void spent(struct bl_send *s)
{
        if (send_any_tried(s, SEND_OUTSTANDING))
                return; /* what they say, or their end, comes by itself */
        bool all_transport = (s->n_lost || is_awaited(s)) && !s->held;
        if (s->held && s->held->status == 430 && s->n_lost) {
                /* Not all of them gave it: the far end may be behind the one that we could not ask. */
                send_fail(s, 480, "flow_gone");
                return;
        }
        if (s->cancelled) {
                send_fail(s, 487, "cancelled");
                return;
        }
        if (s->held) {
                s->unsure = send_is_doubtful(s->held->status);
                send_show_held(s);
                return;
        }
        if (s->was_refused) {
                send_fail(s, 480, "redirect_refused");
                return;
        }
        if (s->flags & (BL_SEND_UA | BL_SEND_PINNED)) {
                send_fail(s, 430, "flow_gone");
                return;
        }
        if (!all_transport && s->flags & BL_SEND_SECURE) { /* RFC 5630 section 5.3 */
                send_fail(s, 480, "no_tls_route");
                return;
        }
        if (!all_transport || s->once || s->flags & BL_SEND_ONE_ROUND) {
                send_fail(s, 503, "no_route");
                return;
        }
        if (s->n_tried >= SEND_TRIES || s->opens >= OPENS_MAX)
                return; /* the budget is spent, but no early 503: the deadline ends it */
        uint64_t delay = BL_MS(ROUND_FIRST_MS) << (s->round < 3 ? s->round : 3);
        send_step(s, STEP_ROUND, s->h->env->now + (delay < BL_MS(ROUND_MAX_MS) ? delay : BL_MS(ROUND_MAX_MS)));
}

void send_next_round(struct bl_send *s)
{
        s->round++;
        s->n_lost = s->n_opened = 0;
        s->redirect_at = s->base_at = 0;
        s->leg_on = false;
        bl_count(s->h->count.rounds);
        send_advance(s);
}

/* ---- legs ---- */

static bool leg_uri(const struct bl_send *s, struct bl_uri *ret_uri)
{
        if (s->leg_redirect >= 0)
                return bl_uri_parse(s->redirect[s->leg_redirect].text, ret_uri) == 0;
        return send_base_uri(s, s->base_at, ret_uri);
}

static unsigned leg_base(const struct bl_send *s)
{
        return s->leg_redirect >= 0 ? s->redirect[s->leg_redirect].base : s->base_at;
}

static bool leg_choice(const struct bl_send *s, struct hop_choice *w)
{
        *w = (struct hop_choice){.flags = s->flags, .not_flow = s->not_flow, .spread = s->spread, .octets = s->octets};
        if (!leg_uri(s, &w->u))
                return false;
        if (s->flags & BL_SEND_SECURE) /* as if it were written sips: TLS flows, TLS targets, and nothing else */
                w->u.scheme = BL_SCHEME_SIPS;
        bool counts = s->leg_redirect >= 0 || (s->flags & BL_SEND_USE_MADDR);
        w->maddr = counts && bl_uri_param(&w->u, BL_STR("maddr"), NULL);
        return true;
}

static void leg_load_bound(struct bl_send *s)
{
        struct hop_choice w;
        s->leg_rest = false;
        s->seek->list.n = s->seek->list.at = 0;
        if (s->flags & BL_SEND_PINNED)
                s->seek->list.c[s->seek->list.n++] = (struct hop_cand){.flow = s->pinned, .rank = 1};
        else if (leg_choice(s, &w))
                hop_choose_bound(s->h, &w, &s->seek->list);
        for (unsigned i = 0; i < s->seek->list.n && (s->flags & BL_SEND_PINNED); i++) {
                const struct bl_flow *f = bl_flow_get(s->h->flows, s->pinned);
                if (f)
                        s->seek->list.c[i] = (struct hop_cand){
                                .flow = f->id, .tp = f->tp, .addr = f->remote, .rank = 1, .ours = f->ours};
        }
}

static unsigned target_front(struct bl_target *t, unsigned n, struct bl_target first)
{
        n = n < BL_HOP_TARGETS ? n : BL_HOP_TARGETS - 1;
        memmove(t + 1, t, n * sizeof(*t));
        t[0] = first;
        return n + 1;
}

static struct bl_target map_target(const struct bl_send *s, const struct bl_static_route *e, struct bl_str name)
{
        return (struct bl_target){
                .tp = e->tp, .to = e->addr, .sni = name, .listener = hop_listener(s->h, e->tp, &e->addr)};
}

/*
 * What RFC 3263 does not know of a cluster, but the static map does: the node that a P's hint names comes first
 * (protocol.md sections 2 and 3.4), and after a redirect all nodes are candidates.
 */
static unsigned leg_nodes(const struct bl_send *s, const struct bl_uri *u, struct bl_target *t, unsigned n)
{
        const struct bl_static_route *e;
        struct bl_str hint;
        if (s->leg_redirect >= 0)
                return n;
        for (unsigned i = 0; s->redirected & 1u << s->base_at && n < BL_HOP_TARGETS; i++) {
                if (!(e = hop_map_node(s->h, u->host, bl_str_make(NULL, 0), i)))
                        break;
                t[n++] = map_target(s, e, u->host);
        }
        if (bl_uri_param(u, BL_STR("n"), &hint) && hint.n && (e = hop_map_node(s->h, u->host, hint, 0)))
                n = target_front(t, n, map_target(s, e, u->host));
        return n;
}

static void leg_load_rest(struct bl_send *s, const struct bl_target *from, unsigned n)
{
        struct bl_target t[BL_HOP_TARGETS];
        struct hop_choice w;
        s->leg_rest = true;
        s->seek->list.n = s->seek->list.at = 0;
        if (!leg_choice(s, &w))
                return;
        if (n)
                memcpy(t, from, n * sizeof(*t));
        if (s->leg_redirect >= 0)
                n = send_redirect_like(s, &s->redirect[s->leg_redirect], &w.u, t, n);
        n = leg_nodes(s, &w.u, t, n);
        hop_choose_rest(s->h, &w, t, n, &s->seek->list);
}

void send_resolved(struct bl_resolve *r, int rc, const struct bl_target *t, unsigned n)
{
        struct bl_send *s = BL_CONTAINER(r, struct bl_send, resolve);
        send_enter(s);
        if (rc == BL_ETIMEOUT)
                s->n_lost++;
        leg_load_rest(s, t, n);
        send_advance(s);
        send_leave(s);
}

/* False while DNS is asked. */
static bool leg_resolve(struct bl_send *s)
{
        struct bl_target t[BL_HOP_TARGETS];
        struct hop_choice w;
        if (!leg_choice(s, &w)) {
                s->leg_rest = true;
                return true;
        }
        int rc = hop_resolve(s->h, &s->resolve, &w.u, w.maddr, s->spread, t);
        if (rc == BL_EPENDING)
                return false;
        if (rc == BL_ETIMEOUT)
                s->n_lost++;
        leg_load_rest(s, t, rc > 0 ? (unsigned)rc : 0);
        return true;
}

static bool next_leg(struct bl_send *s)
{
        if (s->redirect_at < s->n_redirect)
                s->leg_redirect = s->redirect_at++;
        else if (s->base_at < s->n_base)
                s->leg_redirect = -1;
        else
                return false;
        s->leg_on = true;
        leg_load_bound(s);
        return true;
}

static void leg_done(struct bl_send *s)
{
        s->leg_on = false;
        if (s->leg_redirect < 0)
                s->base_at++;
}

/* ---- one try ---- */

static bool same_far_end(const struct tried *t, const struct hop_cand *c)
{
        return c->flow ? t->flow == c->flow
                       : bl_addr_eq_ip(&t->addr, &c->addr) && (!t->ours || t->addr.port == c->addr.port);
}

/* Answered already, or still to answer, or gone in this round: once each. */
static bool was_tried(const struct bl_send *s, const struct hop_cand *c)
{
        for (unsigned i = 0; i < s->n_tried; i++) {
                const struct tried *t = &s->seek->tried[i];
                if (!same_far_end(t, c))
                        continue;
                /* It was asked for another Path of the instance: it may know this one (section 5, "Bindings"). */
                if (t->state == TRIED_ENDED && t->base != leg_base(s))
                        continue;
                if (t->state != TRIED_LOST || (c->flow && t->round == s->round))
                        return true;
        }
        for (unsigned i = 0; i < s->n_opened && !c->flow; i++) {
                if (s->seek->opened[i].tp == c->tp && bl_addr_eq(&s->seek->opened[i].addr, &c->addr))
                        return true;
        }
        return false;
}

static int make_client(struct bl_send *s)
{
        if (s->ct)
                return 0;
        return bl_client_new(s->h->txns, s->method, s->method_name, s->branch, s->deadline_at, &send_client_user, s,
                             &s->ct);
}

static bool talks_belay(const struct bl_send *s, bl_flow_id flow)
{
        return !(s->flags & (BL_SEND_UA | BL_SEND_PINNED)) &&
               ((s->flags & BL_SEND_BELAY) || hop_flow_belay(s->h, flow));
}

static void note_try(struct bl_send *s, const struct hop_cand *c, bool by_maddr)
{
        s->seek->tried[s->n_tried++] = (struct tried){.flow = c->flow,
                                                      .addr = c->addr,
                                                      .tp = c->tp,
                                                      .state = TRIED_OPEN,
                                                      .base = (uint8_t)leg_base(s),
                                                      .by_maddr = by_maddr,
                                                      .ours = c->ours,
                                                      .round = s->round};
        bl_count(s->h->count.tries);
        if (talks_belay(s, c->flow))
                send_step(s, STEP_SILENCE, s->h->env->now + BL_MS(s->h->conf.failover_after_ms));
        else
                send_step(s, STEP_NONE, 0);
}

/* The Route of this try: empty = as the owner planned. */
static struct bl_str try_route(const struct bl_send *s, const struct hop_cand *c, char *buf, size_t cap)
{
        if (s->leg_redirect >= 0)
                return s->redirect[s->leg_redirect].text;
        if (s->redirected & 1u << s->base_at)
                return send_redirect_route(s, s->base_at, &c->addr, buf, cap);
        return s->base_at ? s->base[s->base_at] : bl_str_make(NULL, 0);
}

/* By what we chose the flow, for people: before it goes out, so that who watches the wire finds it written already. */
static void log_try(const struct bl_send *s, const struct hop_cand *c, const struct bl_try *t, const struct bl_buf *buf)
{
        static const char *const kinds[] = {"path", "dialog", "domain", "certificate"};
        struct bl_log *log = s->h->env->log;
        struct bl_msg *m;
        char text[BL_ADDR_TEXT];
        struct bl_sb remote = BL_SB(text);
        if (!log || log->level < BL_LOG_DEBUG ||
            bl_msg_parse(bl_buf_str(buf), true, bl_flows_arena(s->h->flows), &m, NULL) < 0)
                return;
        bool by_trust = c->kind == BL_BIND_CERT && !bl_tp_is_secure(t->tp);
        bool pinned = s->flags & BL_SEND_PINNED;
        const char *binding = pinned ? "pinned" : c->rank > 3 ? "opened" : by_trust ? "trust" : kinds[c->kind & 3];
        bl_addr_put(&remote, &t->remote);
        bl_log_ev(log, BL_LOG_DEBUG, "request_leaves", BL_KS("method", m->method_name), BL_KI("flow", c->flow),
                  BL_KI("rank", pinned ? 0 : c->rank), BL_KZ("binding", binding), BL_KS("transport", bl_tp_name(t->tp)),
                  BL_KS("remote", bl_sb_str(&remote)), BL_KS("callid", m->call_id), BL_KI("cseq", m->cseq.number),
                  BL_KS("branch", m->via.branch));
}

/* True when it went out. A flow that cannot take it is a candidate that failed by transport. */
static bool try_flow(struct bl_send *s, const struct hop_cand *c)
{
        char text[SEND_URI_MAX];
        struct bl_try t = {.flow = c->flow, .tp = c->tp, .remote = c->addr, .number = s->n_tried + 1u};
        struct bl_flow *f = bl_flow_get(s->h->flows, c->flow);
        struct bl_buf *buf;
        t.route = try_route(s, c, text, sizeof(text));
        if (f) {
                t.local = f->local;
                t.remote = f->remote;
        }
        if (f && (s->flags & BL_SEND_BELAY))
                hop_flow_learn_belay(s->h, f);
        send_enter(s); /* the owner may free us inside */
        int rc = s->user->render(s->ctx, s, &t, &buf);
        if (s->dead || s->state == SEND_OVER) { /* or cancel us */
                if (rc >= 0)
                        bl_buf_unref(s->h->env->pool, buf);
                send_leave(s);
                return true;
        }
        s->busy--;
        if (rc < 0)
                return false;
        log_try(s, c, &t, buf);
        if (s->once)
                rc = bl_flow_send(s->h->flows, c->flow, buf);
        else if ((rc = make_client(s)) == 0)
                rc = bl_client_try(s->ct, c->flow, buf);
        bl_buf_unref(s->h->env->pool, buf);
        if (rc < 0) {
                s->n_lost++;
                bl_count(s->h->count.next_transport);
                return false;
        }
        note_try(s, c, t.route.n && (s->leg_redirect >= 0 || s->redirected & 1u << s->base_at));
        if (s->once)
                send_fail(s, 0, "sent");
        return true;
}

static void open_failed(struct bl_send *s, const struct hop_cand *c)
{
        hop_failed_mark(s->h, c->tp, &c->addr);
        s->n_lost++;
        bl_count(s->h->count.next_transport);
}

static void open_up(struct bl_watch *w, struct bl_flow *f)
{
        struct bl_send *s = BL_CONTAINER(w, struct bl_send, watch);
        struct hop_cand c = s->seek->open;
        send_enter(s);
        bl_flow_unwatch(w);
        hop_flow_ready(s->h, f);
        s->opening = false;
        send_step(s, STEP_NONE, 0);
        c.flow = f->id;
        if (!try_flow(s, &c))
                send_advance(s);
        send_leave(s);
}

void send_open_failed(struct bl_send *s)
{
        bl_flow_unwatch(&s->watch);
        s->opening = false;
        send_step(s, STEP_NONE, 0);
        open_failed(s, &s->seek->open);
        send_advance(s);
}

static void open_down(struct bl_watch *w, bl_flow_id id, int why)
{
        struct bl_send *s = BL_CONTAINER(w, struct bl_send, watch);
        (void)id, (void)why;
        send_enter(s);
        send_open_failed(s);
        send_leave(s);
}

static bool wait_open(struct bl_send *s, const struct hop_cand *c, bl_flow_id id)
{
        s->watch.up = open_up;
        s->watch.down = open_down;
        if (bl_flow_watch(s->h->flows, id, &s->watch) < 0)
                return false;
        s->seek->open = *c;
        s->opening = true;
        send_step(s, STEP_OPEN, s->h->env->now + BL_MS(s->h->conf.failover_after_ms));
        return true;
}

static bool try_open(struct bl_send *s, struct hop_cand *c)
{
        struct bl_uri u;
        struct hop_flow *hf;
        if (!leg_uri(s, &u))
                return false;
        struct opened *o = s->n_opened < SEND_OPENED ? &s->seek->opened[s->n_opened++] : NULL;
        if (o)
                *o = (struct opened){.tp = c->tp, .addr = c->addr};
        s->opens++;
        /* A redirect's URI is of use once; what it stands for is bound by the 2xx. */
        struct bl_str bind = s->leg_redirect >= 0 ? bl_str_make(NULL, 0) : s->base[s->base_at];
        if (hop_flow_open(s->h, c->tp, &c->addr, u.host, bind, s->flags & BL_SEND_ANY_OPEN, &hf) < 0) {
                open_failed(s, c);
                return false;
        }
        if (o && (s->flags & BL_SEND_ANY_OPEN))
                o->own = hf->id;
        const struct bl_flow *f = bl_flow_get(s->h->flows, hf->id);
        if (f && f->state == BL_FLOW_UP) {
                c->flow = hf->id;
                return try_flow(s, c);
        }
        if (wait_open(s, c, hf->id))
                return true;
        open_failed(s, c);
        return false;
}

/* True when the walk stops here: a try is out, or a flow is on its way. */
static bool try_candidate(struct bl_send *s, struct hop_cand *c)
{
        if (was_tried(s, c))
                return false;
        if (!c->flow)
                return try_open(s, c);
        if (bl_flow_worker(c->flow) == s->h->env->worker) {
                const struct bl_flow *f = bl_flow_get(s->h->flows, c->flow);
                if (!f)
                        return false;
                if (f->state == BL_FLOW_OPENING)
                        return wait_open(s, c, c->flow);
        }
        return try_flow(s, c);
}

void send_advance(struct bl_send *s)
{
        bool rest_too = !(s->flags & (BL_SEND_UA | BL_SEND_PINNED));
        while (!s->dead && s->state != SEND_OVER) {
                if (s->n_tried >= SEND_TRIES || s->opens >= OPENS_MAX)
                        break;
                if (!s->leg_on) {
                        if (!next_leg(s))
                                break;
                        continue;
                }
                if (s->seek->list.at < s->seek->list.n) {
                        if (try_candidate(s, &s->seek->list.c[s->seek->list.at++]))
                                return;
                        continue;
                }
                if (rest_too && !s->leg_rest) {
                        if (!leg_resolve(s))
                                return;
                        continue;
                }
                leg_done(s);
        }
        if (!s->dead && s->state != SEND_OVER)
                spent(s);
}
