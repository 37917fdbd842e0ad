/*
 * Requests other than REGISTER (protocol.md section 5): who sends it, may he, and where it goes.
 *
 *   inside a dialog, our Record-Route on top, its `d` verifies    on along the rest of Route, or to the remote target
 *   without To tag, from an edge of ours                          From was checked there: as authenticated
 *   from a peer domain                                            by its Request-URI alone, to our users only
 *   anyone else                                                   407; then to our users, or out
 *
 * A Route that names an edge is passed on only in the first case: only we push a P without `d`, from the location
 * store.
 */
#include "home/internal.h"

struct top {          /* what stood on top of Route */
        unsigned pop; /* values that are ours: 1, or 2 of a dialog between two transports */
        bool trusted; /* its `d` verified, in a request with a To tag */
        bool has_next;
        struct bl_nameaddr next;             /* the value below */
        const struct bl_home_domain *domain; /* whose Record-Route it was; NULL: our name or address */
};

struct bl_str home_record_route(struct bl_home *h, struct bl_px *px, const struct bl_home_domain *d)
{
        const struct bl_msg *m = bl_px_msg(px);
        if (m->to_tag.n || !bl_method_forms_dialog(m->method))
                return HOME_NONE;
        size_t cap = d->name.n + BL_TOKEN_DIALOG + 16;
        char *mem = bl_px_alloc(px, cap);
        struct bl_sb b = {mem, 0, mem ? cap : 0, false};
        bl_sb_addz(&b, "<sip:");
        bl_sb_add(&b, d->name);
        bl_sb_addz(&b, ";lr;d=");
        bl_token_dialog(h->node->c.keys, d->name, m->call_id, &b);
        bl_sb_addc(&b, '>');
        return b.over ? HOME_NONE : bl_sb_str(&b);
}

static bool leads_to_edge(const struct bl_home *h, struct bl_str routes)
{
        struct bl_nameaddr na;
        ptrdiff_t end = bl_str_find(routes, '>');
        return end > 0 && bl_nameaddr_parse(bl_str_make(routes.p, (size_t)end + 1), &na) == 0 &&
               home_host_is_edge(h, na.uri.host);
}

/*
 * Belay neighbours find the flow by `sip:DOMAIN;lr;d=` whatever its transport. Others go where the URI says; so between
 * two transports each of them is told his own (RFC 5658), and both values come back together.
 */
void home_record_route_try(void *role, struct bl_px *px, const struct bl_px_target *g, const struct bl_try *t,
                           struct bl_sb *out)
{
        struct bl_home *h = role;
        const struct job *j = *bl_px_data(px);
        if (!j || j->near == t->tp)
                return;
        bool near_plain = !bl_px_msg(px)->via.sticky;
        bool far_plain = !leads_to_edge(h, g->push_routes) && !bl_hop_knows_belay(bl_proxy_hops(h->proxy), t->flow);
        if (!near_plain && !far_plain)
                return;
        bl_px_put_record_route(g->record_route, far_plain ? t->tp : BL_TP_COUNT, out);
        bl_sb_addz(out, ", ");
        bl_px_put_record_route(g->record_route, near_plain ? j->near : BL_TP_COUNT, out);
}

static void go(struct bl_px *px, const struct bl_px_target *t)
{
        if (bl_px_add(px, t) < 0)
                home_refuse(px, 503, "no_memory", HOME_NONE);
        else
                bl_px_go(px);
}

/* The value that goes with a trusted one where the two sides differ (RFC 5658): it is popped, too. */
static bool is_second(const struct bl_home *h, const struct bl_msg *m, const struct top *t, const struct bl_uri *u)
{
        struct bl_str d;
        return !u->has_user && bl_host_eq(u->host, t->domain->name) && bl_uri_param(u, BL_STR("d"), &d) &&
               bl_token_dialog_ok(h->node->c.keys, t->domain->name, m->call_id, d);
}

/*
 * RFC 3261 16.4: a strict router put our Record-Route value into the Request-URI. Taken back only with a `d` that
 * verifies and while Routes remain; px then shows the rest as a loose router would have sent it.
 */
static bool recover_strict(struct bl_home *h, struct bl_px *px, struct top *ret)
{
        const struct bl_msg *m = bl_px_msg(px);
        const struct bl_uri *u = &m->uri;
        struct bl_str d;
        if (m->to_tag.n == 0 || !bl_msg_has(m, BL_H_ROUTE) || u->has_user || !bl_uri_is_lr(u))
                return false;
        ret->domain = home_domain(h, u->host);
        if (!ret->domain || !bl_uri_param(u, BL_STR("d"), &d) ||
            !bl_token_dialog_ok(h->node->c.keys, ret->domain->name, m->call_id, d) || bl_px_recover_strict(px) < 0)
                return false;
        ret->trusted = true;
        m = bl_px_msg(px); /* as rewritten */
        if (bl_msg_nameaddr(m, BL_H_ROUTE, 0, &ret->next) == 0 && is_second(h, m, ret, &ret->next.uri))
                ret->pop++;
        ret->has_next = bl_msg_nameaddr(m, BL_H_ROUTE, (int)ret->pop, &ret->next) == 0;
        return true;
}

/* Reads Route: true, or answered. */
static bool read_top(struct bl_home *h, struct bl_px *px, struct bl_flow *f, struct top *ret)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_nameaddrs it;
        *ret = (struct top){0};
        if (recover_strict(h, px, ret))
                return true;
        *ret = (struct top){0};
        bl_nameaddrs_init(&it, m, BL_H_ROUTE);
        int rc = bl_nameaddrs_next(&it, m);
        if (rc > 0 && home_host_is_own(h, f, &it.na.uri)) {
                struct bl_str d;
                ret->pop = 1;
                ret->domain = home_domain(h, it.na.uri.host);
                if (ret->domain && bl_uri_param(&it.na.uri, BL_STR("d"), &d)) {
                        if (!bl_token_dialog_ok(h->node->c.keys, ret->domain->name, m->call_id, d)) {
                                home_refuse(px, 403, "bad_d", HOME_NONE);
                                return false;
                        }
                        ret->trusted = m->to_tag.n > 0;
                }
                rc = bl_nameaddrs_next(&it, m);
                if (rc > 0 && ret->trusted && is_second(h, m, ret, &it.na.uri)) {
                        ret->pop++;
                        rc = bl_nameaddrs_next(&it, m);
                }
        }
        if (rc < 0) {
                home_refuse(px, 400, "bad_route", BL_STR("Route does not parse"));
                return false;
        }
        ret->has_next = rc > 0;
        if (ret->has_next)
                ret->next = it.na;
        return true;
}

static void put_user_at(struct bl_sb *b, struct bl_str user, struct bl_str domain)
{
        bl_sb_add(b, user);
        bl_sb_addc(b, '@');
        bl_sb_add(b, domain);
}

/* --- to a user of ours --- */

static void exists(struct job *j, int rc)
{
        bl_store_end(&j->op);
        if (rc == BL_ENOENT)
                home_refuse(j->px, 404, "unknown_user", HOME_NONE);
        else if (rc < 0)
                home_refuse(j->px, 503, "store_failed", HOME_NONE);
        else
                home_refuse(j->px, 480, "no_binding", HOME_NONE);
}

static void located(struct job *j, int rc)
{
        struct bl_store *s = j->home->node->c.store;
        if (rc < 0) {
                home_refuse(j->px, 503, "store_failed", HOME_NONE);
                return;
        }
        if (j->op.location.n) {
                home_targets(j);
                return;
        }
        bl_store_end(&j->op); /* nobody there: unknown, or known and away? (section 6) */
        home_job_wait(j, s->ops->subscriber(s, j->home->env, j->user, j->domain->name, &j->op), exists);
}

static void to_user(struct job *j, const struct bl_uri *ruri)
{
        j->user = home_unescape(j->px, ruri->user);
        size_t n = j->user.n + 1 + j->domain->name.n;
        char *mem = bl_px_alloc(j->px, n);
        if (j->user.n == 0 || !mem) {
                home_refuse(j->px, 404, "unknown_user", HOME_NONE);
                return;
        }
        struct bl_sb b = {mem, 0, n, false};
        put_user_at(&b, j->user, j->domain->name);
        j->aor = bl_sb_str(&b);
        struct bl_store *s = j->home->node->c.store;
        home_job_wait(j, s->ops->lookup(s, j->home->env, j->aor, &j->op), located);
}

/* --- out of the domain --- */

static void to_elsewhere(struct job *j, const struct bl_uri *ruri, const struct top *top)
{
        const struct bl_home_peer *way = home_route_of(j->home, top->has_next ? top->next.uri.host : ruri->host);
        enum bl_home_calls_out out = j->home->node->c.calls_out;
        if (out == BL_HOME_OUT_NONE || (out == BL_HOME_OUT_LISTED && !way)) {
                home_refuse(j->px, 403, "domain_not_called", BL_STR("Domain Is Not Called From Here"));
                return;
        }
        struct bl_px_target t = {.pop_routes = top->pop, .strict_fallback = true};
        t.record_route = home_record_route(j->home, j->px, j->domain);
        if (way && way->next.n && !top->has_next)
                t.next = way->next;
        go(j->px, &t);
}

/* --- by the Request-URI --- */

static bool answer_own(struct job *j, const struct bl_uri *ruri, struct bl_flow *f)
{
        const struct bl_msg *m = bl_px_msg(j->px);
        if (ruri->has_user || !home_host_is_own(j->home, f, ruri))
                return false;
        if (!bl_px_require_ok(j->px))
                return true;
        if (m->method == BL_M_OPTIONS)
                bl_px_reply(j->px,
                            &(struct bl_response){.status = 200,
                                                  .extra = BL_STR("Accept: */*\r\nSupported: path, outbound\r\n")},
                            true);
        else
                home_refuse(j->px, 404, "no_user_in_ruri", HOME_NONE);
        return true;
}

/* The sender may: route it. `local_only`: a peer, who may reach our users and nobody else. */
static void by_ruri(struct job *j, const struct top *top, bool local_only)
{
        const struct bl_uri *ruri = &bl_px_msg(j->px)->uri;
        if (ruri->scheme != BL_SCHEME_SIP && ruri->scheme != BL_SCHEME_SIPS) {
                home_refuse(j->px, 416, "unsupported_scheme", HOME_NONE);
                return;
        }
        if (ruri->has_user && home_host_is_edge(j->home, ruri->host)) { /* P counts only as Route */
                home_refuse(j->px, 403, "p_in_ruri", HOME_NONE);
                return;
        }
        if (top->has_next && !home_peer(j->home, top->next.uri.host)) { /* nobody steers us past our own routing */
                home_refuse(j->px, 403, "route_refused", BL_STR("Route Refused"));
                return;
        }
        const struct bl_home_domain *d = home_domain(j->home, ruri->host);
        if (d || home_host_is_own(j->home, NULL, ruri)) {
                if (d)
                        j->domain = d;
                if (!top->has_next) {
                        to_user(j, ruri);
                        return;
                }
        }
        if (local_only) {
                home_refuse(j->px, 403, "relay_refused", BL_STR("No Relaying"));
                return;
        }
        to_elsewhere(j, ruri, top);
}

static void authenticated(struct job *j, int rc)
{
        struct top top;
        struct bl_nameaddr from;
        struct bl_flow *f = bl_px_flow(j->px);
        if (!home_digest_ok(j, rc, true))
                return;
        bl_store_end(&j->op);
        /* Whoever has credentials here speaks as himself. */
        if (bl_msg_nameaddr(bl_px_msg(j->px), BL_H_FROM, 0, &from) < 0 || !bl_host_eq(from.uri.host, j->domain->name) ||
            !bl_str_eq(home_unescape(j->px, from.uri.user), j->user)) {
                home_refuse(j->px, 403, "from_not_yours", BL_STR("From Is Not Your Address"));
                return;
        }
        if (read_top(j->home, j->px, f, &top))
                by_ruri(j, &top, false);
}

/* --- inside a dialog --- */

static void in_dialog(struct bl_home *h, struct bl_px *px, const struct top *top)
{
        struct bl_px_target t = {.pop_routes = top->pop, .strict_fallback = true};
        const struct bl_uri *ruri = &bl_px_msg(px)->uri;
        if (ruri->has_user && home_host_is_edge(h, ruri->host)) {
                home_refuse(px, 403, "p_in_ruri", HOME_NONE); /* P counts only as Route */
                return;
        }
        if (top->has_next && home_host_is_edge(h, top->next.uri.host))
                t.send_flags |= BL_SEND_BELAY; /* whichever worker has the flow: silence for failover_after is enough */
        go(px, &t);
}

/* --- who sends it --- */

enum sender { SENDER_EDGE, SENDER_PEER, SENDER_UNKNOWN };

/* A peer speaks in its own name, by a flow that is linked to it; one that nobody listed has to prove it. */
static bool is_peer(const struct bl_home *h, struct bl_flow *f, struct bl_str from_host)
{
        switch (h->node->c.calls_in) {
        case BL_HOME_IN_NONE:
                return false;
        case BL_HOME_IN_ANY:
                if (bl_flow_proves(f, from_host) && !home_domain(h, from_host))
                        return true;
                break;
        case BL_HOME_IN_LISTED:
                break;
        }
        return home_peer(h, from_host) && bl_flow_linked(f, from_host);
}

static enum sender sender_of(const struct bl_home *h, const struct bl_home_domain *from, struct bl_flow *f,
                             struct bl_str from_host, bool in_dialog)
{
        bool via;
        /* With a To tag the edge did not look at From: there only our own `d` would have spoken for the sender. */
        if (from && !in_dialog && home_flow_is_edge(from, f, &via))
                return SENDER_EDGE;
        return is_peer(h, f, from_host) ? SENDER_PEER : SENDER_UNKNOWN;
}

void home_route(struct bl_home *h, struct bl_px *px, struct bl_flow *f)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_nameaddr from;
        struct top top;
        if (!read_top(h, px, f, &top))
                return;
        if (top.trusted) {
                in_dialog(h, px, &top);
                return;
        }
        struct job *j = home_job_new(h, px);
        if (!j)
                return;
        if (bl_msg_nameaddr(m, BL_H_FROM, 0, &from) < 0) {
                home_refuse(px, 400, "bad_from", BL_STR("From does not parse"));
                return;
        }
        if (!top.has_next && answer_own(j, &m->uri, f))
                return;
        const struct bl_home_domain *from_domain = home_domain(h, from.uri.host);
        j->domain = from_domain ? from_domain : &h->node->c.domains[0];
        if (m->method == BL_M_ACK && m->to_tag.n == 0) {
                bl_px_drop(px);
                return;
        }
        switch (sender_of(h, from_domain, f, from.uri.host, m->to_tag.n > 0)) {
        case SENDER_EDGE:
                by_ruri(j, &top, false);
                return;
        case SENDER_PEER:
                by_ruri(j, &top, true);
                return;
        case SENDER_UNKNOWN:
                if (j->domain->no_auth)
                        by_ruri(j, &top, from_domain == NULL);
                else
                        (void)home_digest_start(j, true, authenticated);
        }
}
