/*
 * Direction and trust (protocol.md section 5): what a request other than REGISTER may do here, by the flow it came by
 * and the Route on top.
 *
 *   from the flow bound to P      outbound: to the home of P's AOR
 *   from a linked core flow       inbound: to a flow that P is bound to, else section 3.4
 *   from any other flow           only inside a dialog whose `d` verifies, on to the home; else refused
 *
 * Knowing a P gives nothing: every remote party does.
 */
#include "edge/internal.h"

static const struct bl_str NONE = {NULL, 0};

static void refuse(struct bl_px *px, unsigned status, const char *reason, struct bl_str phrase)
{
        bl_px_refuse(px, status, reason, phrase, NONE);
}

/* 430 to UAs that know it (RFC 5626 section 6), 403 to the others: their request came by a flow that nothing is bound
 * to. */
static void refuse_unbound(struct bl_px *px, const char *reason)
{
        bool outbound = bl_msg_lists_token(bl_px_msg(px), BL_H_SUPPORTED, BL_STR("outbound"));
        refuse(px, outbound ? 430 : 403, reason, NONE);
}

/* From must be P's AOR before the home may take it as authenticated. */
static bool from_is(struct bl_px *px, struct bl_str user, struct bl_str domain)
{
        struct bl_nameaddr from;
        if (bl_msg_nameaddr(bl_px_msg(px), BL_H_FROM, 0, &from) < 0 || !bl_host_eq(from.uri.host, domain))
                return false;
        char *mem = bl_px_alloc(px, from.uri.user.n + 1);
        struct bl_sb b = {mem, 0, mem ? from.uri.user.n + 1 : 0, false};
        return bl_uri_unescape(from.uri.user, &b) == 0 && bl_str_eq(bl_sb_str(&b), user);
}

static void go(struct bl_px *px, const struct bl_px_target *t)
{
        if (bl_px_add(px, t) < 0)
                refuse(px, 503, "no_memory", NONE);
        else
                bl_px_go(px);
}

/* On to the home of `domain`: by the next Route when it names it, else by configuration; any other host is refused. */
static void to_home(struct bl_edge *e, struct bl_px *px, struct bl_str domain, unsigned pop, struct bl_str rr)
{
        const struct bl_edge_home *h = edge_home_of(e, domain);
        struct bl_px_target t = {.pop_routes = pop, .record_route = rr};
        struct bl_nameaddr next;
        int rc = bl_msg_nameaddr(bl_px_msg(px), BL_H_ROUTE, (int)pop, &next);
        if (!h || (rc < 0 && rc != BL_ENOENT)) {
                refuse(px, rc == BL_EMALFORMED ? 400 : 403, "relay_refused", NONE);
                return;
        }
        if (rc == 0 && !edge_route_is_home(e, px, h, &next.uri, &t.next)) {
                refuse(px, 403, "relay_refused", NONE);
                return;
        }
        /* Also where the Route names the home: a proxy in between without Path is in no Service-Route. */
        if (rc == BL_ENOENT || (h->next.n && !t.next.n && bl_host_eq(next.uri.host, h->domain)))
                t.next = edge_next_uri(h, px);
        if (t.next.n)
                t.send_flags |= BL_SEND_USE_MADDR; /* a node of the home, or what the configuration names */
        if (h->belay)
                t.send_flags |= BL_SEND_BELAY;
        go(px, &t);
}

static bool is_plain(const struct bl_edge *e, struct bl_str domain)
{
        const struct bl_edge_home *h = edge_home_of(e, domain);
        return h && !h->belay;
}

/* To a UA: on a flow that P is bound to, never anywhere else. */
static void to_ua(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, const struct p_uri *p, struct bl_str uri)
{
        struct bl_px_target t = {.pop_routes = p->pop, .next = uri, .send_flags = BL_SEND_UA};
        /* The edge that delivers Record-Routes, also when a fellow that does not (D11) sent it on. */
        t.record_route = edge_record_route(e, px, f, uri, p->na.uri.user, p->token.star, false, false);
        if (!edge_flow_is_member(e, f))
                edge_answer_goes(px, f, false, p->token.domain);
        bl_count(e->delivered_total);
        go(px, &t);
}

static bool has_flow(struct bl_edge *e, struct bl_str uri, bool secure)
{
        struct bl_sticky_found found[BL_STICKY_MAX];
        struct bl_sticky_query q = {.worker = e->env->worker, .max_rank = 2};
        if (bl_uri_parse(uri, &q.uri) < 0)
                return false;
        q.uri.scheme = secure ? BL_SCHEME_SIPS : q.uri.scheme;
        return bl_sticky_find(e->node->sticky, &q, e->env->now, found) > 0;
}

/* To the UA behind P, by a flow of it here. */
static void inbound(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, const struct p_uri *p, struct bl_str uri)
{
        const struct bl_str ruri = bl_px_msg(px)->ruri;
        bool sips = ruri.n > 5 && bl_str_ieq(bl_str_make(ruri.p, 5), BL_STR("sips:"));
        if (!has_flow(e, uri, false))
                edge_rebuild(e, px, f, p);
        else if (sips && !has_flow(e, uri, true)) /* RFC 5630 section 5.3: the last hop is one, too */
                bl_px_refuse(px, 480, "no_tls_to_the_ua", NONE, BL_STR("Warning: 380 belay \"SIPS Not Allowed\"\r\n"));
        else
                to_ua(e, px, f, p, uri);
}

/* Top Route is a P of this cluster whose MAC verified. */
static void by_p(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, struct p_uri *p)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_str d, uri = edge_canonical(e, px, p->na.uri.user);
        struct bl_uri u;
        bool has_d = bl_uri_param(&p->na.uri, BL_STR("d"), &d);
        if (uri.n == 0 || bl_uri_parse(uri, &u) < 0) {
                refuse(px, 503, "no_memory", NONE);
                return;
        }
        if (has_d && !bl_token_dialog_ok(e->node->c.keys, p->na.uri.user, m->call_id, d)) {
                refuse(px, 403, "bad_d", NONE);
                return;
        }
        if (has_d && !edge_pop_second(e, px, p))
                return;
        if (bl_sticky_is_bound(e->node->sticky, &u, f->id, false)) { /* outbound */
                if (m->to_tag.n == 0 && !from_is(px, p->token.user, p->token.domain)) {
                        refuse(px, 403, "from_not_registered", BL_STR("From Is Not the Registered Address"));
                        return;
                }
                edge_answer_goes(px, f, true, p->na.uri.user);
                to_home(e, px, p->token.domain, p->pop,
                        edge_record_route(e, px, f, uri, p->na.uri.user, p->token.star, true,
                                          is_plain(e, p->token.domain)));
        } else if (edge_flow_is_core(e, f)) { /* inbound */
                inbound(e, px, f, p, uri);
        } else if (m->to_tag.n && has_d) { /* a UA without stickiness that opened a fresh flow */
                edge_answer_goes(px, f, true, p->na.uri.user);
                to_home(e, px, p->token.domain, p->pop, NONE);
        } else
                refuse_unbound(px, "flow_not_bound");
}

/* Ours without user part, or no Route at all, from a UA's flow: a plain UA. The flow's P whose AOR is From stands for
 * its Route. */
static void by_from(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, unsigned pop)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_nameaddr from;
        struct bound *b = NULL;
        if (bl_msg_nameaddr(m, BL_H_FROM, 0, &from) == 0) {
                char *mem = bl_px_alloc(px, from.uri.user.n + 1);
                struct bl_sb sb = {mem, 0, mem ? from.uri.user.n + 1 : 0, false};
                if (bl_uri_unescape(from.uri.user, &sb) == 0)
                        b = edge_bound_by_aor(e, f, bl_sb_str(&sb), from.uri.host);
        }
        if (!b) {
                /* No registration and no P: nobody relays through an edge. */
                refuse_unbound(px, "no_registration");
                return;
        }
        struct bl_str uri = bl_px_str(px, bound_uri(b)), domain = bl_px_str(px, bound_domain(b));
        struct bl_uri u;
        if (bl_uri_parse(uri, &u) < 0) {
                refuse(px, 503, "no_memory", NONE);
                return;
        }
        edge_answer_goes(px, f, true, u.user);
        to_home(e, px, domain, pop, edge_record_route(e, px, f, uri, u.user, b->star, true, is_plain(e, domain)));
}

/* Asked ourselves: OPTIONS to the node or the cluster without a user. Also how plain neighbours probe us. */
static bool answer_own(struct bl_edge *e, struct bl_px *px, struct bl_flow *f)
{
        const struct bl_msg *m = bl_px_msg(px);
        if (m->method != BL_M_OPTIONS || m->uri.has_user || !edge_host_is_own(e, f, &m->uri))
                return false;
        if (!bl_px_require_ok(px))
                return true;
        if (e->draining) { /* as an INVITE of somebody new would be; whoever balances by OPTIONS leaves us out */
                bl_px_reply(px, &(struct bl_response){.status = 503}, true);
                return true;
        }
        bl_px_reply(px,
                    &(struct bl_response){.status = 200,
                                          .extra = BL_STR("Accept: */*\r\nSupported: path, outbound, sticky\r\n")},
                    true);
        return true;
}

/*
 * RFC 3261 16.4: a strict router upstream put our Record-Route value into the Request-URI. Taken back only with a `d`
 * that verifies and while Routes remain: P counts nowhere else. True: *p is it, and px shows the rest as a loose router
 * would have sent it.
 */
static bool recover_strict(struct bl_edge *e, struct bl_px *px, struct p_uri *p)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_str d;
        if (m->to_tag.n == 0 || !bl_msg_has(m, BL_H_ROUTE) || !m->uri.has_user || !edge_host_is_cluster(e, m->uri.host))
                return false;
        *p = (struct p_uri){.na = {.all = bl_px_str(px, m->ruri), .angle = true}};
        if (bl_uri_parse(p->na.all, &p->na.uri) < 0 || !bl_uri_param(&p->na.uri, BL_STR("d"), &d))
                return false;
        p->rc = bl_token_open(&e->node->cluster, p->na.uri.user, p->scratch, &p->token);
        return p->rc == 0 && bl_token_dialog_ok(e->node->c.keys, p->na.uri.user, m->call_id, d) &&
               bl_px_recover_strict(px) == 0;
}

/* P stands where it does not count. */
static bool p_elsewhere(struct bl_edge *e, struct bl_px *px)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_nameaddr c;
        if (m->uri.has_user && edge_host_is_cluster(e, m->uri.host)) {
                refuse(px, 403, "p_in_ruri", NONE);
                return true;
        }
        if (bl_msg_nameaddr(m, BL_H_CONTACT, 0, &c) == 0 && !c.star && c.uri.has_user &&
            edge_host_is_cluster(e, c.uri.host)) {
                refuse(px, 403, "p_in_contact", NONE);
                return true;
        }
        return false;
}

void edge_route(struct bl_edge *e, struct bl_px *px, struct bl_flow *f)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct p_uri p;
        if (recover_strict(e, px, &p)) {
                by_p(e, px, f, &p);
                return;
        }
        int rc = bl_msg_nameaddr(m, BL_H_ROUTE, 0, &p.na);
        if (rc < 0 && rc != BL_ENOENT) {
                refuse(px, 400, "bad_route", BL_STR("Route does not parse"));
                return;
        }
        bool own = rc == 0 && edge_host_is_own(e, f, &p.na.uri);
        if ((rc == BL_ENOENT || (own && !p.na.uri.has_user)) && answer_own(e, px, f))
                return;
        if (p_elsewhere(e, px))
                return;
        if (own && p.na.uri.has_user) {
                p.pop = 1;
                p.rc = bl_token_open(&e->node->cluster, p.na.uri.user, p.scratch, &p.token);
                if (p.rc < 0) {
                        refuse(px, 403, p.rc == BL_ENOENT ? "unknown_key" : "bad_token", NONE);
                        return;
                }
                by_p(e, px, f, &p);
                return;
        }
        if (edge_flow_is_core(e, f)) { /* from the core only a P says which UA is meant */
                refuse(px, 403, "no_p_in_route", BL_STR("Route Names No Flow Here"));
                return;
        }
        by_from(e, px, f, own ? 1 : 0);
}
