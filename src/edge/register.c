/*
 * REGISTER at an edge (protocol.md section 2): the guards, the set and P of a new registration, adoption of one whose
 * nodes died, and what the 2xx binds. The home authenticates; a P counts only when the home has accepted the very
 * Contact that it was made for.
 */
#include "edge/internal.h"

struct reg {               /* what the response needs to know of the request; in px memory */
        struct bl_str uri; /* canonical P */
        struct bl_str user_part, aor_user, aor_domain, instance;
        struct bl_str contact; /* the one Contact's URI */
        unsigned set[BL_TOKEN_NODES], n_set;
        bool has_instance, star, ob, tell; /* tell: Outbound-Proxy belongs into the 2xx */
        bool by_maddr;                     /* we adopted it because we were named: so we stay named */
        bool alt_proxies;
        bool remove_all; /* Contact: * */
};

struct parsed { /* what the guards look at */
        struct bl_nameaddr to, contact;
        struct bl_str aor_user, instance;
        const struct bl_edge_home *home;
        struct bl_str next; /* the node of it that Route names by its address; empty: none */
        unsigned n_contacts;
        bool has_instance, sticky_ua, restore; /* restore: the Request-URI is to become the home domain again */
};

static struct bl_str reg_id_of(const struct bl_nameaddr *c)
{
        struct bl_str v = {NULL, 0};
        (void)bl_nameaddr_param(c, BL_STR("reg-id"), &v);
        return v;
}

/* None is a P. Of several the first that is to stay is whom P is made for: a phone whose address changed removes the
 * old one in the same request. */
static bool contacts_ok(struct bl_edge *e, struct bl_px *px, struct parsed *p)
{
        const struct bl_str none = {NULL, 0};
        struct bl_values it = {0};
        bool found = false;
        while (bl_msg_values(bl_px_msg(px), BL_H_CONTACT, &it)) {
                struct bl_nameaddr na;
                struct bl_str v;
                uint32_t s = 1;
                if (bl_nameaddr_parse(it.value, &na) < 0 || na.star)
                        continue; /* what does not parse the home refuses */
                if (edge_host_is_cluster(e, na.uri.host)) {
                        bl_px_refuse(px, 403, "p_in_contact", none, none);
                        return false;
                }
                bool goes = bl_nameaddr_param(&na, BL_STR("expires"), &v) && bl_str_u32(v, &s) == 0 && s == 0;
                if (!found && !goes) {
                        p->contact = na;
                        found = true;
                }
        }
        return true;
}

/* Guards that need no P. False: answered. */
static bool guard(struct bl_edge *e, struct bl_px *px, struct parsed *p)
{
        const struct bl_msg *m = bl_px_msg(px);
        const struct bl_uri *ruri = &m->uri;
        if (bl_msg_nameaddr(m, BL_H_TO, 0, &p->to) < 0) {
                bl_px_refuse(px, 400, "bad_to", BL_STR("To does not parse"), (struct bl_str){NULL, 0});
                return false;
        }
        p->home = edge_home_of(e, p->to.uri.host);
        if (!p->home) {
                bl_px_refuse(px, 403, "unknown_domain", BL_STR("Not a Domain of This Edge"), (struct bl_str){NULL, 0});
                return false;
        }
        /* A phone that knows nothing of discovery put the redirect's Contact into the Request-URI (RFC 3261 8.1.3.4).
         */
        p->restore = edge_host_is_cluster(e, ruri->host);
        if ((!p->restore && !bl_host_eq(ruri->host, p->home->domain)) || (ruri->has_user && !p->restore)) {
                bl_px_refuse(px, 403, "register_ruri", BL_STR("Request-URI Is Not the Domain of To"),
                             (struct bl_str){NULL, 0});
                return false;
        }
        if (p->restore && ruri->has_user) { /* P counts only as Route */
                bl_px_refuse(px, 403, "p_in_ruri", (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0});
                return false;
        }
        if (bl_msg_has(m, BL_H_PATH)) {
                bl_px_refuse(px, 403, "path_from_ua", (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0});
                return false;
        }
        p->n_contacts = bl_msg_count(m, BL_H_CONTACT);
        if (p->n_contacts && bl_msg_nameaddr(m, BL_H_CONTACT, 0, &p->contact) < 0) {
                bl_px_refuse(px, 400, "bad_contact", BL_STR("Contact does not parse"), (struct bl_str){NULL, 0});
                return false;
        }
        return contacts_ok(e, px, p);
}

static bool unescape(struct bl_px *px, struct bl_str s, struct bl_str *ret)
{
        char *mem = bl_px_alloc(px, s.n + 1);
        if (!mem)
                return false;
        struct bl_sb b = {mem, 0, s.n + 1, false};
        if (bl_uri_unescape(s, &b) < 0)
                return false;
        *ret = bl_sb_str(&b);
        return true;
}

static struct bl_str unquoted(struct bl_px *px, struct bl_str s)
{
        char *mem = bl_px_alloc(px, s.n + 1);
        struct bl_sb b = {mem, 0, mem ? s.n + 1 : 0, false};
        bl_params_unquote(s, &b);
        return bl_sb_str(&b);
}

/* Who registers: AOR user, instance and its digest, and whether the UA knows our mechanism. */
static bool identify(struct bl_edge *e, struct bl_px *px, struct parsed *p, struct reg *r)
{
        const struct bl_msg *m = bl_px_msg(px);
        if (!unescape(px, p->to.uri.user, &r->aor_user))
                return false;
        r->aor_domain = p->home->domain;
        p->sticky_ua = bl_msg_lists_token(m, BL_H_SUPPORTED, BL_STR("sticky")) ||
                       bl_msg_lists_token(m, BL_H_SUPPORTED, BL_STR("alt-proxies"));
        r->alt_proxies = bl_msg_lists_token(m, BL_H_SUPPORTED, BL_STR("alt-proxies"));
        r->remove_all = p->n_contacts && p->contact.star;
        if (!p->n_contacts || p->contact.star)
                return true;
        struct bl_str inst;
        p->has_instance = bl_nameaddr_param(&p->contact, BL_STR("+sip.instance"), &inst);
        p->instance = p->has_instance ? unquoted(px, inst) : p->contact.uri.all;
        char *mem = bl_px_alloc(px, BL_TOKEN_INSTANCE);
        struct bl_sb b = {mem, 0, mem ? BL_TOKEN_INSTANCE : 0, false};
        bl_token_instance(&e->node->cluster, p->instance, &b);
        r->instance = bl_sb_str(&b);
        r->has_instance = p->has_instance;
        r->contact = bl_px_str(px, p->contact.uri.all);
        /* RFC 5626 5.1: ;ob only from the first edge, and only for a UA that speaks outbound. */
        r->ob = bl_msg_lists_token(m, BL_H_SUPPORTED, BL_STR("outbound")) && reg_id_of(&p->contact).n &&
                bl_msg_via(m, 1, &(struct bl_via){0}) < 0;
        return mem && !b.over;
}

/* Step 4: a first registration. We are the primary; backups by rendezvous. A UA that would not learn of them gets `*`.
 */
static bool make_p(struct bl_edge *e, struct bl_px *px, const struct parsed *p, struct reg *r)
{
        struct bl_token t = {
                .user = r->aor_user, .domain = r->aor_domain, .instance = r->instance, .star = !p->sticky_ua};
        if (!t.star) {
                r->n_set = edge_set_pick(e, r->aor_user, r->aor_domain, r->instance, r->set);
                for (unsigned i = 0; i < r->n_set; i++)
                        t.node[t.n_nodes++] = e->node->members[r->set[i]].name;
        }
        char *mem = bl_px_alloc(px, BL_TOKEN_MAX);
        struct bl_sb b = {mem, 0, mem ? BL_TOKEN_MAX : 0, false};
        if (!mem || bl_token_put(&e->node->cluster, &t, &b) < 0 || b.over)
                return false;
        struct bl_uri u;
        if (bl_uri_parse(bl_sb_str(&b), &u) < 0)
                return false;
        r->user_part = u.user;
        r->star = t.star;
        r->tell = !t.star;
        return true;
}

/* 305 with where else this P may register: `order` members by maddr (4.4), or the cluster (unknown key). */
static void send_elsewhere(struct bl_edge *e, struct bl_px *px, struct bl_str p_user, const unsigned *order, unsigned n,
                           bool first)
{
        struct bl_flow *f = bl_px_flow(px);
        char text[2048];
        struct bl_sb b = BL_SB(text);
        for (unsigned i = 0; i < n; i++) {
                struct bl_addr a;
                if (!edge_member_addr(e, order[i], f->local.family, &a))
                        continue;
                bl_sb_addz(&b, "Contact: <sip:");
                bl_sb_add(&b, p_user);
                bl_sb_addc(&b, '@');
                bl_sb_add(&b, e->node->c.cluster);
                edge_put_reach(e, f, &b);
                bl_sb_addz(&b, first ? ";first;lr;maddr=" : ";lr;maddr=");
                bl_addr_put_ip(&b, &a);
                bl_sb_fmt(&b, ">;q=0.%u\r\n", 9 - i);
        }
        if (n == 0) {
                bl_sb_addz(&b, "Contact: <sip:");
                bl_sb_add(&b, e->node->c.cluster);
                bl_sb_addz(&b, ";lr>\r\n");
        }
        bl_count(e->redirected_total);
        bl_px_reply(px, &(struct bl_response){.status = 305, .extra = bl_sb_str(&b)}, true);
}

/* `;first`: another edge made this P and sent the UA here before anyone told it the set (it is pinned). We do. */
static void tell_if_first(struct bl_edge *e, struct reg *r, const struct p_uri *pu)
{
        if (!bl_uri_param(&pu->na.uri, BL_STR("first"), NULL))
                return;
        for (unsigned i = 0; i < pu->token.n_nodes; i++) {
                int m = edge_member_find(e->node, pu->token.node[i]);
                if (m >= 0)
                        r->set[r->n_set++] = (unsigned)m;
        }
        r->tell = true;
}

/* 4.4: P is ours from now on, beside the first others of its order. Told once: a refresh finds P on this flow (2.6). */
static void adopt(struct bl_edge *e, struct bl_px *px, struct reg *r, const unsigned *order, unsigned n, unsigned want)
{
        struct bl_flow *f = bl_px_flow(px);
        struct bl_str text = edge_canonical(e, px, r->user_part);
        struct bl_uri u;
        if (!f || bl_uri_parse(text, &u) < 0 || bl_sticky_is_bound(e->node->sticky, &u, f->id, false))
                return;
        r->set[r->n_set++] = e->node->self;
        for (unsigned i = 0; i < n && r->n_set < want; i++)
                if (order[i] != e->node->self)
                        r->set[r->n_set++] = order[i];
        r->tell = true;
        bl_count(e->adopted_total);
}

/* A P in Route: verified, its owner's, and ours to serve. True: r is filled; false: answered. */
static bool take_p(struct bl_edge *e, struct bl_px *px, struct parsed *p, struct reg *r, const struct p_uri *pu)
{
        const struct bl_str none = {NULL, 0};
        /* RFC 3261 10.2.3: a query lists no Contact and binds nothing. */
        if (p->n_contacts == 0)
                return true;
        bool own = bl_str_eq(pu->token.user, r->aor_user) && bl_host_eq(pu->token.domain, r->aor_domain);
        if (p->contact.star && own) /* Contact: * removes all; nothing to compare, nothing is bound */
                return true;
        if (p->n_contacts != 1 || !own || p->contact.star ||
            !bl_token_instance_ok(&e->node->cluster, p->instance, pu->token.instance)) {
                /* A remote party reads P in Record-Route; it must not register itself onto it. */
                bl_px_refuse(px, 403, "p_of_another", BL_STR("Route Belongs to Another Registration"), none);
                return false;
        }
        r->user_part = bl_px_str(px, pu->na.uri.user);
        r->star = pu->token.star;
        if (pu->token.star)
                return true;
        unsigned want = e->node->c.set_size ? e->node->c.set_size : 2, order[BL_TOKEN_NODES];
        want = want < BL_TOKEN_NODES ? want : BL_TOKEN_NODES;
        unsigned n = edge_set_order(e, &pu->token, pu->na.uri.user, true, order, want);
        if (n > 0 && p->sticky_ua && edge_drain_sends_away(e, px, bl_px_flow(px), &p->contact)) {
                send_elsewhere(e, px, pu->na.uri.user, order, n, false);
                return false;
        }
        for (unsigned i = 0; i < pu->token.n_nodes; i++)
                if (edge_member_find(e->node, pu->token.node[i]) == (int)e->node->self) {
                        tell_if_first(e, r, pu);
                        return true;
                }
        r->by_maddr = edge_names_us(e, &pu->na.uri); /* 4.4: a node named by maddr adopts */
        bool first = false;                          /* 4.4: one of the first N living nodes adopts */
        for (unsigned i = 0; i < n; i++)
                first |= order[i] == e->node->self;
        if (r->by_maddr || first) {
                adopt(e, px, r, order, n, want);
                return true;
        }
        send_elsewhere(e, px, pu->na.uri.user, order, n, false);
        return false;
}

/* What stands on top of Route. 1: go on with P in r (or none to make: *ret_make); 0: answered. */
static bool take_route(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, struct parsed *p, struct reg *r,
                       unsigned *ret_pop, bool *ret_make)
{
        const struct bl_msg *m = bl_px_msg(px);
        const struct bl_str none = {NULL, 0};
        struct p_uri pu;
        *ret_make = true;
        *ret_pop = 0;
        int rc = bl_msg_nameaddr(m, BL_H_ROUTE, 0, &pu.na);
        if (rc == BL_ENOENT)
                return true;
        if (rc < 0 || !pu.na.angle) {
                bl_px_refuse(px, 400, "bad_route", BL_STR("Route does not parse"), none);
                return false;
        }
        if (edge_host_is_own(e, f, &pu.na.uri))
                *ret_pop = 1;
        else if (edge_route_is_home(e, px, p->home, &pu.na.uri, &p->next))
                return true;
        else {
                bl_px_refuse(px, 403, "relay_refused", none, none);
                return false;
        }
        if (pu.na.uri.has_user) {
                rc = bl_token_open(&e->node->cluster, pu.na.uri.user, pu.scratch, &pu.token);
                if (rc == 0) {
                        *ret_make = false;
                        if (!take_p(e, px, p, r, &pu))
                                return false;
                } else if (rc != BL_ENOENT) {
                        bl_px_refuse(px, 403, "bad_token", none, none);
                        return false;
                } else if (p->sticky_ua) { /* a key that was rotated away: start over */
                        send_elsewhere(e, px, none, NULL, 0, false);
                        return false;
                }
        }
        struct bl_nameaddr next;
        if (bl_msg_nameaddr(m, BL_H_ROUTE, 1, &next) == 0 && !edge_route_is_home(e, px, p->home, &next.uri, &p->next)) {
                bl_px_refuse(px, 403, "relay_refused", none, none);
                return false;
        }
        return true;
}

/* Path as the home stores it. */
static struct bl_str path_value(struct bl_edge *e, struct bl_px *px, const struct reg *r)
{
        size_t cap = r->uri.n + e->node->c.node.n + 64;
        char *mem = bl_px_alloc(px, cap);
        struct bl_sb b = {mem, 0, mem ? cap : 0, false};
        bl_sb_addc(&b, '<');
        bl_sb_add(&b, r->uri);
        if (r->ob)
                bl_sb_addz(&b, ";ob");
        edge_put_hint(e, r->star, &b);
        bl_sb_addc(&b, '>');
        return b.over ? (struct bl_str){NULL, 0} : bl_sb_str(&b);
}

static bool in_set(const struct bl_edge *e, const struct reg *r)
{
        for (unsigned i = 0; i < r->n_set; i++)
                if (r->set[i] == e->node->self)
                        return true;
        return false;
}

void edge_register(struct bl_edge *e, struct bl_px *px, struct bl_flow *f)
{
        const struct bl_str none = {NULL, 0};
        struct parsed p = {0};
        struct reg *r = bl_px_alloc(px, sizeof *r);
        if (!r) {
                bl_px_refuse(px, 503, "no_memory", none, none);
                return;
        }
        *r = (struct reg){0};
        unsigned pop;
        bool make;
        if (!guard(e, px, &p))
                return;
        if (!identify(e, px, &p, r)) {
                bl_px_refuse(px, 400, "bad_to", BL_STR("To or Contact is not usable"), none);
                return;
        }
        if (!take_route(e, px, f, &p, r, &pop, &make))
                return;
        bool binds = p.n_contacts && !p.contact.star;
        if (binds && make && !make_p(e, px, &p, r)) {
                bl_px_refuse(px, 400, "aor_too_long", BL_STR("Address of Record Too Long"), none);
                return;
        }
        if (binds && make && r->n_set && !in_set(e, r)) { /* pinned to other nodes: it belongs there */
                send_elsewhere(e, px, r->user_part, r->set, r->n_set, true);
                return;
        }
        if (binds && make && r->star && e->draining && !edge_bound_by_aor(e, f, r->aor_user, r->aor_domain)) {
                /* RFC 3263 section 4.3: it tries its next proxy. One that is here already stays until the deadline */
                bl_px_refuse(px, 503, "draining", none, BL_STR("Retry-After: 30\r\n"));
                return;
        }
        struct bl_px_target t = {.pop_routes = pop,
                                 .send_flags = BL_SEND_NO_REDIRECT}; /* edges never recurse on a REGISTER's 3xx */
        if (binds) {
                r->uri = edge_canonical(e, px, r->user_part);
                t.path = path_value(e, px, r);
        }
        if (p.restore) {
                size_t n = 4 + p.home->domain.n;
                char *mem = bl_px_alloc(px, n);
                struct bl_sb b = {mem, 0, mem ? n : 0, false};
                bl_sb_addz(&b, "sip:");
                bl_sb_add(&b, p.home->domain);
                t.ruri = bl_sb_str(&b);
        }
        struct bl_nameaddr next;
        if (bl_msg_nameaddr(bl_px_msg(px), BL_H_ROUTE, (int)pop, &next) < 0)
                t.next = edge_next_uri(p.home, px);
        else if (p.next.n) {
                t.next = p.next;
                t.send_flags |= BL_SEND_USE_MADDR;
        }
        *bl_px_data(px) = binds || r->remove_all ? r : NULL;
        if (bl_px_add(px, &t) < 0) {
                bl_px_refuse(px, 503, "no_memory", none, none);
                return;
        }
        bl_px_go(px);
}

/* --- the response --- */

/* The expiry that the 2xx grants to `contact`; 0: not listed, or removed. */
static uint32_t granted(const struct bl_msg *m, struct bl_str contact)
{
        struct bl_uri want;
        if (bl_uri_parse(contact, &want) < 0)
                return 0;
        struct bl_values it = {0};
        while (bl_msg_values(m, BL_H_CONTACT, &it)) {
                struct bl_nameaddr na;
                struct bl_str v;
                uint32_t s = 0;
                if (bl_nameaddr_parse(it.value, &na) < 0 || !bl_uri_equivalent(&na.uri, &want, false))
                        continue;
                if (bl_nameaddr_param(&na, BL_STR("expires"), &v))
                        return bl_str_u32(v, &s) == 0 ? s : 0;
                return bl_msg_u32(m, BL_H_EXPIRES, &s) == 0 ? s : 0;
        }
        return 0;
}

static void put_proxy(struct bl_edge *e, struct bl_flow *f, const struct reg *r, unsigned index, struct bl_sb *b)
{
        struct bl_addr a;
        bl_sb_addz(b, "<sip:");
        bl_sb_add(b, r->user_part);
        bl_sb_addc(b, '@');
        bl_sb_add(b, e->node->c.cluster);
        edge_put_reach(e, f, b);
        bl_sb_addz(b, r->ob ? ";lr;ob" : ";lr");
        if ((index != e->node->self || r->by_maddr) && edge_member_addr(e, index, f->local.family, &a)) {
                bl_sb_addz(b, ";maddr=");
                bl_addr_put_ip(b, &a);
        }
        bl_sb_addc(b, '>');
}

/* S25: ourselves first, then the rest of the set; to UAs of the draft its own form too (the others only). */
static void tell_set(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, const struct reg *r, struct bl_edits *ed)
{
        size_t cap = (size_t)(r->n_set + 1) * (r->uri.n + 96);
        char *mem = bl_px_alloc(px, cap * 2);
        if (!mem)
                return;
        struct bl_sb all = {mem, 0, cap, false}, others = {mem + cap, 0, cap, false};
        put_proxy(e, f, r, e->node->self, &all);
        for (unsigned i = 0; i < r->n_set; i++) {
                if (r->set[i] == e->node->self)
                        continue;
                bl_sb_addz(&all, ", ");
                put_proxy(e, f, r, r->set[i], &all);
                if (others.n)
                        bl_sb_addz(&others, ", ");
                put_proxy(e, f, r, r->set[i], &others);
        }
        if (all.over || others.over)
                return;
        bl_edit_append(ed, BL_H_OUTBOUND_PROXY, bl_sb_str(&all));
        if (r->alt_proxies && others.n) {
                bl_edit_append(ed, BL_H_ALTERNATIVE_PROXIES, bl_sb_str(&others));
                bl_edit_append(ed, BL_H_REQUIRE, BL_STR("alt-proxies"));
        }
}

void edge_register_response(struct bl_edge *e, struct bl_px *px, const struct bl_msg *m, struct bl_edits *ed)
{
        struct reg *r = *bl_px_data(px);
        struct bl_flow *f = bl_px_flow(px);
        if (!r || !f || m->status < 200 || m->status > 299)
                return;
        if (r->remove_all) { /* RFC 3261 10.2.2: Contact: *, Expires: 0. Whatever of this AOR the flow carried */
                struct bound *b;
                while ((b = edge_bound_by_aor(e, f, r->aor_user, r->aor_domain)) != NULL)
                        edge_bound_drop(e, f, b);
                return;
        }
        uint32_t s = granted(m, r->contact);
        if (s == 0) { /* expires 0 unbinds; a Contact that the home did not take is nobody's */
                edge_bound_remove(e, f, r->uri);
                return;
        }
        struct bound_want w = {.uri = r->uri,
                               .user = r->aor_user,
                               .domain = r->aor_domain,
                               .instance = r->instance,
                               .has_instance = r->has_instance,
                               .star = r->star,
                               .ob = r->ob};
        uint32_t grace = e->node->c.path_grace_s ? e->node->c.path_grace_s : 30;
        w.expires_at = e->env->now + BL_SEC((uint64_t)s + grace);
        if (r->ob && bl_msg_lists_token(m, BL_H_REQUIRE, BL_STR("outbound")) &&
            bl_msg_u32(m, BL_H_FLOW_TIMER, &w.flow_timer_s) < 0)
                w.flow_timer_s = e->node->c.flow_timer_s ? e->node->c.flow_timer_s : 120;
        int rc = edge_bound_set(e, f, &w);
        if (rc < 0)
                bl_log_ev(e->env->log, BL_LOG_ERROR, "bind_failed", BL_KI("flow", f->id),
                          BL_KZ("reason", bl_err_text(rc)));
        if (r->star)
                edge_service_route(e, f, m, r->user_part, ed);
        if (r->tell)
                tell_set(e, px, f, r, ed);
        if (w.flow_timer_s && !bl_msg_has(m, BL_H_FLOW_TIMER)) {
                char *mem = bl_px_alloc(px, 12);
                struct bl_sb b = {mem, 0, mem ? 12 : 0, false};
                bl_sb_addu(&b, w.flow_timer_s);
                bl_edit_append(ed, BL_H_FLOW_TIMER, bl_sb_str(&b));
        }
}
