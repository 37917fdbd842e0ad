/*
 * Registration with discovery (protocol.md section 2), one struct reg per reg-id, and the recovery of lost flows (RFC
 * 5626 section 4.5).
 *
 *   reg 1: no Route ─► 300 ─► Route: edge ─► 401 ─► 200 with Outbound-Proxy: P, P;maddr=…
 *   reg 2…N: one per URI of that list that is not reg 1's flow: a flow of its own, Route: that URI, same instance and
 * Contact
 *
 * When a flow dies its reg comes back by the URI it was given; when that address is dead, by P at another edge of the
 * cluster, which may adopt it (4.4). P itself never changes.
 */
#include "ua/internal.h"

enum { BASE_S = 30, MAX_S = 1800, DNS_S = 2 /* for an answer about the cluster */ };

static const struct bl_send_user reg_send;
static void try_now(struct reg *r);

/* --- writing a REGISTER --- */

struct bl_str ua_contact(struct bl_ua *ua, const struct bl_try *t)
{
        char text[160];
        struct bl_sb b = BL_SB(text);
        if (ua->contact.n) /* the first flow's local address, for all flows and dialogs (step 8) */
                return text_str(&ua->contact);
        struct bl_addr local = t->local;
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, bl_str_make(ua->token, UA_TOKEN));
        bl_sb_addc(&b, '@');
        if (local.family)
                bl_addr_put(&b, &local);
        else
                bl_sb_add(&b, bl_str_make(ua->stack->sent_by, ua->stack->sent_by_n));
        if (t->tp != BL_UDP) {
                bl_sb_addz(&b, ";transport=");
                bl_sb_add(&b, bl_tp_param(t->tp));
        }
        if (!b.over)
                (void)text_set(ua->stack, &ua->contact, bl_sb_str(&b));
        return text_str(&ua->contact);
}

static void put_contact(struct reg *r, struct bl_draft *d)
{
        struct bl_ua *ua = r->ua;
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        bl_sb_addc(&b, '<');
        bl_sb_add(&b, text_str(&ua->contact));
        bl_sb_addz(&b, ">;+sip.instance=\"<");
        bl_sb_add(&b, text_str(&ua->instance));
        bl_sb_addz(&b, ">\"");
        if (!ua->no_outbound) {
                bl_sb_addz(&b, ";reg-id=");
                bl_sb_addu(&b, r->reg_id);
        }
        bl_sb_addz(&b, ";expires=");
        bl_sb_addu(&b, r->stopping ? 0 : r->min_s > ua->expires_s ? r->min_s : ua->expires_s);
        bl_draft_header(d, BL_H_CONTACT, bl_sb_str(&b));
}

static void put_auth(struct reg *r, struct bl_draft *d, struct bl_str uri)
{
        struct bl_ua *ua = r->ua;
        if (!ua->digest || !ua->digest->active)
                return;
        char line[1500];
        struct bl_sb b = BL_SB(line);
        uint8_t cnonce[8];
        ua->stack->env->ops->random(ua->stack->env, cnonce, sizeof cnonce);
        bl_digest_answer(ua->digest, text_str(&ua->auth_user), text_str(&ua->password), BL_STR("REGISTER"), uri, cnonce,
                         &b);
        bl_draft_lines(d, bl_sb_str(&b));
}

static int render(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret)
{
        (void)s;
        struct reg *r = ctx;
        struct bl_ua *ua = r->ua;
        struct bl_ua_stack *st = ua->stack;
        struct bl_draft d;
        char text[UA_TEXT], ruri[300];
        struct bl_sb b = BL_SB(text), u = BL_SB(ruri);
        if (ua_contact(ua, t).n == 0)
                return BL_ENOMEM;
        bl_sb_addz(&u, "sip:");
        bl_sb_add(&u, text_str(&ua->domain));
        bl_draft_request(&d, st->env->pool, BL_STR("REGISTER"), bl_sb_str(&u));
        ua_via(st, ua->legacy, t, bl_str_make(r->branch, sizeof r->branch), &b);
        bl_draft_header(&d, BL_H_VIA, bl_sb_str(&b));
        bl_draft_header(&d, BL_H_MAX_FORWARDS, BL_STR("70"));
        struct bl_str route = t->route.n ? t->route : text_str(&r->route);
        if (route.n) {
                b.n = 0;
                bl_sb_addc(&b, '<');
                bl_sb_add(&b, route);
                bl_sb_addc(&b, '>');
                bl_draft_header(&d, BL_H_ROUTE, bl_sb_str(&b));
        }
        bl_draft_headerf(&d, BL_H_FROM, "<%.*s>;tag=%.*s", BL_STR_ARG(text_str(&ua->aor)), 6, r->tag);
        bl_draft_headerf(&d, BL_H_TO, "<%.*s>", BL_STR_ARG(text_str(&ua->aor)));
        bl_draft_header(&d, BL_H_CALL_ID, text_str(&r->call_id));
        bl_draft_headerf(&d, BL_H_CSEQ, "%u REGISTER", r->cseq);
        put_contact(r, &d);
        const char *supported = ua->legacy ? "path, outbound" : "path, outbound, alt-proxies, sticky";
        if (ua->no_outbound)
                supported = ua->legacy ? "path" : "path, alt-proxies, sticky";
        bl_draft_header(&d, BL_H_SUPPORTED, bl_str_z(supported));
        put_auth(r, &d, bl_sb_str(&u));
        return bl_draft_end(&d, (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0}, ret);
}

/* --- starting one --- */

static void failed_with(struct reg *r, unsigned status, struct bl_str reason, bool local);

static void cancel_send(struct reg *r)
{
        struct bl_send *s = r->send;
        r->send = NULL;
        bl_send_free(s);
}

static void try_now(struct reg *r)
{
        struct bl_ua *ua = r->ua;
        struct bl_ua_stack *s = ua->stack;
        char text[300];
        struct bl_sb b = BL_SB(text);
        struct bl_send_want w = {.method = BL_M_REGISTER, .method_name = BL_STR("REGISTER")};
        struct bl_str target = text_str(&r->route);
        if (target.n == 0) {
                bl_sb_addz(&b, "sip:");
                bl_sb_add(&b, text_str(&ua->domain));
                target = bl_sb_str(&b);
        }
        cancel_send(r);
        env_disarm(s->env, &r->timer);
        if (bl_uri_parse(target, &w.u) < 0) {
                failed_with(r, 0, BL_STR("the registration's Route is not a URI"), true);
                return;
        }
        r->cseq++;
        r->state = r->state == REG_REGISTERED ? REG_REGISTERED : REG_TRYING;
        ua_branch(s, r->branch);
        w.branch = ua_branch_str(r->branch);
        w.call_id = text_str(&r->call_id);
        w.flags = BL_SEND_NO_REDIRECT | BL_SEND_USE_MADDR; /* discovery follows its own redirects */
        w.flags |= BL_SEND_ONE_ROUND; /* an address that is dead: RFC 5626 section 4.5 says when again */
        if (!ua->legacy && (r->redirects || ua->belay))
                w.flags |= BL_SEND_BELAY; /* a silent edge is not waited for: the cluster has others */
        /* A maddr here came from configuration, an Outbound-Proxy or a redirect: it counts (3.2). */
        if (r->flow) { /* refreshes stay on their flow (step 8), and so does the answer to a challenge */
                w.flags |= BL_SEND_PINNED;
                w.flow = r->flow;
        } else if (r->fresh)
                w.flags |= BL_SEND_ANY_OPEN;
        int rc = bl_send_start(s->hops, &w, &reg_send, r, &r->send);
        if (rc < 0)
                failed_with(r, 0, bl_str_z(bl_err_text(rc)), true);
}

static void on_timer(struct bl_timer *t)
{
        struct reg *r = BL_CONTAINER(t, struct reg, timer);
        if (r->state == REG_WAITING)
                r->state = REG_TRYING;
        r->auth_tries = r->redirects = 0;
        try_now(r);
}

static struct reg *reg_new(struct bl_ua *ua, unsigned index)
{
        struct bl_ua_stack *s = ua->stack;
        struct reg *r = bl_pool_zalloc(s->env->pool, sizeof *r);
        if (!r)
                return NULL;
        char id[20];
        ua_random(s, id, sizeof id);
        r->ua = ua;
        r->reg_id = (uint8_t)(index + 1);
        r->timer.fire = on_timer;
        ua_random(s, r->tag, sizeof r->tag);
        if (!text_set(s, &r->call_id, bl_str_make(id, sizeof id))) {
                bl_pool_give(s->env->pool, r, sizeof *r);
                return NULL;
        }
        return ua->reg[index] = r;
}

void reg_start(struct bl_ua *ua)
{
        struct reg *r = ua->reg[0] ? ua->reg[0] : reg_new(ua, 0);
        if (!r)
                return;
        if (r->state != REG_IDLE)
                return;
        (void)text_set(ua->stack, &r->route,
                       text_str(&ua->outbound_proxy)); /* step 8: a configured proxy starts at step 3 */
        try_now(r);
}

static void watch_flow(struct reg *r, bl_flow_id flow);

void reg_stop(struct bl_ua *ua)
{
        for (unsigned i = 0; i < UA_FLOWS; i++) {
                struct reg *r = ua->reg[i];
                if (!r)
                        continue;
                env_disarm(ua->stack->env, &r->timer);
                r->stopping = true;
                if (r->state == REG_REGISTERED)
                        try_now(r);
                else {
                        cancel_send(r);
                        r->state = REG_IDLE;
                }
        }
}

static void reg_free(struct bl_ua *ua, unsigned i)
{
        struct reg *r = ua->reg[i];
        struct bl_ua_stack *s = ua->stack;
        cancel_send(r);
        if (r->resolving)
                bl_resolve_cancel(&r->resolve);
        env_disarm(s->env, &r->timer);
        bl_flow_unwatch(&r->watch);
        text_drop(s, &r->route);
        text_drop(s, &r->home_edge);
        text_drop(s, &r->call_id);
        bl_pool_give(s->env->pool, r, sizeof *r);
        ua->reg[i] = NULL;
}

void reg_free_all(struct bl_ua *ua)
{
        for (unsigned i = 0; i < UA_FLOWS; i++)
                if (ua->reg[i])
                        reg_free(ua, i);
}

/* --- when it fails --- */

/* A round is the last address and then each other edge once (protocol.md section 5, after an outage). */
static unsigned round_length(const struct reg *r)
{
        return 1 + (r->others ? r->others : 1);
}

/* RFC 5626 section 4.5, counted per address: within a round at once (jitter); after the n-th round 50 to 100 % of
 * min(max, base * 2^n). */
static bl_us wait_for(struct reg *r)
{
        struct env *e = r->ua->stack->env;
        uint32_t rnd;
        e->ops->random(e, &rnd, sizeof rnd);
        if (r->unreachable == 0 || r->unreachable % round_length(r))
                return BL_MS(rnd % 200);
        unsigned n = r->unreachable / round_length(r) - 1;
        bl_us upper = BL_SEC((uint64_t)BASE_S << (n < 6 ? n : 6));
        if (upper > BL_SEC(MAX_S))
                upper = BL_SEC(MAX_S);
        return upper / 2 + (bl_us)(rnd % 1000) * (upper / 2) / 1000;
}

static void go_idle(struct reg *r)
{
        bl_flow_unwatch(&r->watch);
        r->flow = 0;
        r->state = REG_IDLE;
}

static void put_at(const struct bl_uri *p, const struct bl_addr *at, struct bl_sb *out)
{
        static const struct bl_str drop[] = {{"maddr", 5}};
        out->n = 0;
        bl_uri_put_without(out, p, drop, BL_ARRAY_LEN(drop));
        bl_sb_addz(out, ";maddr=");
        bl_addr_put_ip(out, at);
}

static bool is_used(const struct reg *r, const struct bl_addr *a)
{
        for (unsigned k = 0; k < UA_FLOWS; k++) {
                const struct reg *o = r->ua->reg[k];
                if (o && o != r && o->flow && bl_addr_eq_ip(&o->last, a))
                        return true;
        }
        return false;
}

static void route_to(struct reg *r, const struct bl_uri *p, const struct bl_addr *at)
{
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        if (at->family == 0)
                bl_sb_add(&b, text_str(&r->home_edge));
        else
                put_at(p, at, &b);
        if (!b.over)
                (void)text_set(r->ua->stack, &r->route, bl_sb_str(&b));
}

/* The edges of this round: those that are neither the last address nor where another registration of ours has its
 * flow. */
static void other_edge(struct reg *r, const struct bl_uri *p, const struct bl_target *t, unsigned n)
{
        const struct bl_addr *fit[BL_HOP_TARGETS];
        unsigned n_fit = 0;
        for (unsigned i = 0; i < n; i++)
                if (!bl_addr_eq_ip(&t[i].to, &r->last) && !is_used(r, &t[i].to))
                        fit[n_fit++] = &t[i].to;
        route_to(r, p, n_fit ? fit[(r->unreachable % round_length(r) - 1) % n_fit] : &r->last);
        if (n)
                r->others = (uint8_t)(n_fit ? n_fit : 1);
}

static void edges_known(struct bl_resolve *res, int rc, const struct bl_target *t, unsigned n)
{
        struct reg *r = BL_CONTAINER(res, struct reg, resolve);
        struct bl_uri p;
        r->resolving = false;
        if (rc < 0 || r->state != REG_WAITING || r->unreachable % round_length(r) == 0 ||
            bl_uri_parse(text_str(&r->home_edge), &p) < 0)
                return;
        other_edge(r, &p, t, n);
        env_arm_in(r->ua->stack->env, &r->timer, wait_for(r));
}

/* Where P is registered next: at the last address, then at edges where we have no flow, any of which may adopt it
 * (4.4), in turns. Always by maddr: the cluster's name alone might lead to the edge that carries the other
 * registration. When DNS has to be asked for the others, its answer goes on. */
static void choose_address(struct reg *r)
{
        struct bl_uri p;
        struct bl_target t[BL_HOP_TARGETS];
        if (r->home_edge.n == 0 || bl_uri_parse(text_str(&r->home_edge), &p) < 0)
                return;
        if (r->unreachable % round_length(r) == 0) {
                route_to(r, &p, &r->last);
                return;
        }
        if (r->resolving)
                return;
        r->resolve.done = edges_known;
        int n = bl_resolve(r->ua->stack->hops, &r->resolve, &p, false, t);
        r->resolving = n == BL_EPENDING;
        other_edge(r, &p, t, n > 0 ? (unsigned)n : 0);
}

static void retry_later(struct reg *r, unsigned status, struct bl_str reason, bl_us wait, bool local)
{
        struct bl_ua_event ev = {.kind = BL_UA_REGISTER_FAILED,
                                 .status = status,
                                 .reason = reason,
                                 .reg_id = r->reg_id,
                                 .retry_ms = (uint32_t)(wait / 1000),
                                 .local = local};
        go_idle(r);
        r->state = REG_WAITING;
        env_arm_in(r->ua->stack->env, &r->timer, wait);
        ua_event(r->ua, &ev);
}

static void give_up(struct reg *r, unsigned status, struct bl_str reason)
{
        struct bl_ua_event ev = {
                .kind = BL_UA_REGISTER_FAILED, .status = status, .reason = reason, .reg_id = r->reg_id};
        go_idle(r);
        ua_event(r->ua, &ev);
}

static void failed_with(struct reg *r, unsigned status, struct bl_str reason, bool local)
{
        cancel_send(r);
        if (r->stopping || r->ua->stopped) {
                struct bl_ua_event ev = {
                        .kind = BL_UA_UNREGISTERED, .status = status, .reason = reason, .reg_id = r->reg_id};
                go_idle(r);
                ua_event(r->ua, &ev);
                return;
        }
        if (!local && (status == 403 || status == 404 || status == 401 || status == 407 || status == 400) &&
            r->home_edge.n == 0) {
                give_up(r, status, reason);
                return;
        }
        if (r->unreachable < 250)
                r->unreachable++;
        if (r->reg_id == 1 && r->home_edge.n == 0 && r->unreachable > 1) /* discovery starts anew */
                (void)text_set(r->ua->stack, &r->route, text_str(&r->ua->outbound_proxy));
        choose_address(r); /* first: it may learn how many there are */
        bl_us wait = r->resolving ? BL_SEC(DNS_S) : wait_for(r);
        r->fresh = true;
        retry_later(r, status, reason, wait, local);
}

void reg_flow_lost(struct reg *r, bl_flow_id flow, int why)
{
        struct bl_ua_event down = {
                .kind = BL_UA_FLOW_DOWN, .flow = flow, .reg_id = r->reg_id, .reason = bl_str_z(bl_err_text(why))};
        struct bl_ua_event gone = {
                .kind = BL_UA_UNREGISTERED, .reg_id = r->reg_id, .reason = bl_str_z(bl_err_text(why))};
        bool was = r->state == REG_REGISTERED;
        if (r->flow != flow)
                return;
        r->flow = 0;
        ua_event(r->ua, &down);
        if (was)
                ua_event(r->ua, &gone);
        if (r->stopping || r->ua->stopped) {
                cancel_send(r);
                go_idle(r);
                return;
        }
        cancel_send(r);
        env_disarm(r->ua->stack->env, &r->timer);
        r->unreachable = 0;
        r->fresh = true; /* never by the flow that the other registration lives on */
        choose_address(r);
        r->state = REG_WAITING;
        env_arm_in(r->ua->stack->env, &r->timer, wait_for(r)); /* the last address first, at once */
}

static void watch_down(struct bl_watch *w, bl_flow_id flow, int why)
{
        reg_flow_lost(BL_CONTAINER(w, struct reg, watch), flow, why);
}

static void watch_flow(struct reg *r, bl_flow_id flow)
{
        if (r->flow == flow && r->watch.down)
                return;
        bl_flow_unwatch(&r->watch);
        memset(&r->watch, 0, sizeof r->watch);
        r->watch.down = watch_down;
        r->flow = flow;
        if (bl_flow_watch(bl_txns_flows(r->ua->stack->txns), flow, &r->watch) < 0)
                reg_flow_lost(r, flow, BL_EGONE);
}

/* --- responses --- */

/* Does another registration of ours have its flow there? As an edge spells it now, or by the node's address. */
static bool has_flow_at(const struct reg *r, const struct bl_uri *u)
{
        struct bl_str maddr;
        struct bl_addr a;
        if (bl_uri_param(u, BL_STR("maddr"), &maddr) && bl_addr_parse(maddr, &a) == 0)
                return is_used(r, &a);
        for (unsigned i = 0; i < UA_FLOWS; i++) {
                const struct reg *o = r->ua->reg[i];
                if (o && o != r && o->state == REG_REGISTERED && bl_str_eq(text_str(&o->route), u->all))
                        return true;
        }
        return false;
}

/* Step 3: the first Contact that counts. A 3xx Contact needs ;lr; of a 305 any will do. On a refresh targets where a
 * flow of ours is are skipped (4.4). */
static bool redirect_target(struct reg *r, const struct bl_msg *m, struct bl_sb *out)
{
        struct bl_values it = {0};
        while (bl_msg_values(m, BL_H_CONTACT, &it)) {
                struct bl_nameaddr na;
                if (bl_nameaddr_parse(it.value, &na) < 0 || na.star || (m->status != 305 && !bl_uri_is_lr(&na.uri)))
                        continue;
                if (has_flow_at(r, &na.uri))
                        continue;
                out->n = 0;
                bl_sb_add(out, na.uri.all);
                return !out->over;
        }
        return false;
}

static void on_redirect(struct reg *r, bl_flow_id from, const struct bl_msg *m)
{
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        if (r->redirects++ >= UA_REDIRECTS || r->ua->legacy) {
                failed_with(r, m->status, BL_STR("too many redirects"), false);
                return;
        }
        if (!redirect_target(r, m, &b)) {
                /* All targets have a flow of ours already: this edge is to adopt P, and is named by maddr. */
                struct bl_flow *f = bl_flow_get(bl_txns_flows(r->ua->stack->txns), from);
                struct bl_uri u;
                static const struct bl_str drop[] = {{"maddr", 5}};
                if (!f || bl_uri_parse(text_str(&r->route), &u) < 0 || bl_uri_param(&u, BL_STR("maddr"), NULL)) {
                        failed_with(r, m->status, BL_STR("redirected to nowhere"), false);
                        return;
                }
                bl_uri_put_without(&b, &u, drop, 1);
                bl_sb_addz(&b, ";maddr=");
                bl_addr_put_ip(&b, &f->remote);
        } else
                r->flow = 0; /* elsewhere: not by this flow */
        if (!text_set(r->ua->stack, &r->route, bl_sb_str(&b))) {
                failed_with(r, 0, BL_STR("no memory"), true);
                return;
        }
        struct bl_ua_event ev = {
                .kind = BL_UA_REDIRECTED, .status = m->status, .text = bl_sb_str(&b), .reg_id = r->reg_id};
        ua_event(r->ua, &ev);
        if (r->flow == 0)
                bl_flow_unwatch(&r->watch);
        try_now(r);
}

static void on_challenge(struct reg *r, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_ua *ua = r->ua;
        if (!ua->digest)
                ua->digest = bl_pool_zalloc(ua->stack->env->pool, sizeof *ua->digest);
        int rc = ua->digest ? bl_digest_take(ua->digest, m) : BL_ENOMEM;
        /* Several registrations share the session: a nonce that another one has just taken is worth one try. */
        if ((rc == BL_EREFUSED && r->auth_tries > 0) || (rc < 0 && rc != BL_EREFUSED) || r->auth_tries++ >= 3) {
                give_up(r, m->status, rc == BL_EREFUSED ? BL_STR("user name or password is wrong") : m->reason);
                return;
        }
        watch_flow(r, from); /* the answer goes by the same flow (step 4) */
        try_now(r);
}

static uint32_t granted(struct reg *r, const struct bl_msg *m)
{
        struct bl_values it = {0};
        uint32_t s = 0;
        while (bl_msg_values(m, BL_H_CONTACT, &it)) {
                struct bl_nameaddr na;
                struct bl_str v;
                if (bl_nameaddr_parse(it.value, &na) < 0 ||
                    !bl_str_eq(na.uri.user, bl_str_make(r->ua->token, UA_TOKEN)))
                        continue;
                if (bl_nameaddr_param(&na, BL_STR("reg-id"), &v)) {
                        uint32_t id;
                        if (bl_str_u32(v, &id) < 0 || id != r->reg_id)
                                continue;
                }
                if (bl_nameaddr_param(&na, BL_STR("expires"), &v) && bl_str_u32(v, &s) == 0)
                        return s;
                return bl_msg_u32(m, BL_H_EXPIRES, &s) == 0 ? s : r->ua->expires_s;
        }
        return 0;
}

static bool is_listed(const struct bl_ua *ua, struct bl_str uri)
{
        for (unsigned i = 0; i < UA_FLOWS; i++)
                if (ua->reg[i] && bl_str_eq(text_str(&ua->reg[i]->home_edge), uri))
                        return true;
        return false;
}

/* Step 7: each URI of the list that is not this flow gets a flow and a reg-id of its own. The first stands for the edge
 * that answers. */
static void take_list(struct reg *r, const struct bl_msg *m, enum bl_hid id, bool first_is_self)
{
        struct bl_ua *ua = r->ua;
        struct bl_values it = {0};
        bool self = first_is_self;
        unsigned next = 0;
        while (bl_msg_values(m, id, &it)) {
                struct bl_nameaddr na;
                if (bl_nameaddr_parse(it.value, &na) < 0)
                        continue;
                if (self) {
                        (void)text_set(ua->stack, &r->home_edge, na.uri.all);
                        (void)text_set(ua->stack, &r->route, na.uri.all);
                        self = false;
                        continue;
                }
                if (is_listed(ua, na.uri.all))
                        continue;
                while (next < UA_FLOWS && ua->reg[next])
                        next++;
                unsigned limit = ua->flows_wanted ? ua->flows_wanted : UA_FLOWS;
                if (next >= limit || ua->no_outbound)
                        return;
                struct reg *o = reg_new(ua, next);
                if (!o)
                        return;
                o->fresh = true;
                if (text_set(ua->stack, &o->home_edge, na.uri.all) && text_set(ua->stack, &o->route, na.uri.all))
                        try_now(o);
        }
}

static void take_lists(struct reg *r, const struct bl_msg *m)
{
        if (bl_msg_has(m, BL_H_OUTBOUND_PROXY) || bl_msg_has(m, BL_H_ALTERNATIVE_PROXIES))
                r->ua->belay = true;
        /* An adopting edge lists the set anew; only a UA without one opens further flows for it. */
        if (bl_msg_has(m, BL_H_OUTBOUND_PROXY))
                take_list(r, m, BL_H_OUTBOUND_PROXY, r->home_edge.n == 0 || r->unreachable > 0);
        else if (bl_msg_has(m, BL_H_ALTERNATIVE_PROXIES)) { /* the draft's form names the others only */
                struct bl_nameaddr na;
                if (r->home_edge.n == 0 && bl_msg_nameaddr(m, BL_H_SERVICE_ROUTE, 0, &na) == 0) {
                        (void)text_set(r->ua->stack, &r->home_edge, na.uri.all);
                        (void)text_set(r->ua->stack, &r->route, na.uri.all);
                }
                take_list(r, m, BL_H_ALTERNATIVE_PROXIES, false);
        } else if (r->home_edge.n == 0 && r->route.n)
                (void)text_set(r->ua->stack, &r->home_edge, text_str(&r->route));
}

static void keep_alive(struct reg *r, struct bl_flow *f, const struct bl_msg *m)
{
        uint32_t s;
        if (!f || r->ua->no_outbound)
                return;
        /* RFC 5626 section 4.4: a little under Flow-Timer; without one 95..120 s over TCP, 24..29 s over UDP, here 80 %
         * of it. */
        if (bl_msg_u32(m, BL_H_FLOW_TIMER, &s) < 0 || s < 10)
                s = 120;
        if (f->tp == BL_UDP && s > 29)
                s = 29;
        if (r->keepalive_flow == f->id && r->keepalive_s == s)
                return;
        r->keepalive_flow = f->id;
        r->keepalive_s = s;
        bl_flow_keepalive(f, s * 800, 10000);
}

static void on_ok(struct reg *r, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_ua *ua = r->ua;
        struct bl_ua_stack *s = ua->stack;
        struct bl_flow *f = bl_flow_get(bl_txns_flows(s->txns), from);
        uint32_t left = granted(r, m);
        r->auth_tries = r->redirects = 0;
        if (r->stopping || left == 0) {
                r->stopping = false;
                struct bl_ua_event ev = {
                        .kind = BL_UA_UNREGISTERED, .status = m->status, .reg_id = r->reg_id, .reason = m->reason};
                go_idle(r);
                ua_event(ua, &ev);
                return;
        }
        bool fresh = r->state != REG_REGISTERED || r->flow != from;
        watch_flow(r, from);
        if (r->flow != from) /* it died under the answer */
                return;
        r->state = REG_REGISTERED;
        if (f)
                r->last = f->remote;
        r->outbound = bl_msg_lists_token(m, BL_H_REQUIRE, BL_STR("outbound"));
        r->granted_s = left;
        bl_hop_learn_client(s->hops, f, NULL, m, (struct bl_str){NULL, 0});
        take_lists(r, m);
        r->unreachable = 0;
        keep_alive(r, f, m);
        struct bl_str sr = bl_msg_value(m, BL_H_SERVICE_ROUTE);
        if (sr.n) {
                char text[UA_ROUTES];
                struct bl_sb b = BL_SB(text);
                struct bl_values it = {0};
                while (bl_msg_values(m, BL_H_SERVICE_ROUTE, &it)) {
                        if (b.n)
                                bl_sb_addz(&b, ", ");
                        bl_sb_add(&b, it.value);
                }
                if (!b.over)
                        (void)text_set(s, &ua->service_route, bl_sb_str(&b));
        }
        /* RFC 5626 4.2 leaves it to us: half of it, or 10 minutes before its end. */
        env_arm_in(s->env, &r->timer, left > 1200 ? BL_SEC(left - 600) : BL_MS((uint64_t)left * 500));
        if (fresh) {
                struct bl_ua_event ev = {.kind = BL_UA_REGISTERED,
                                         .status = m->status,
                                         .reg_id = r->reg_id,
                                         .flow = from,
                                         .edge = text_str(&r->home_edge),
                                         .text = text_str(&ua->service_route),
                                         .msg = m};
                ua_event(ua, &ev);
        }
}

static void response(void *ctx, struct bl_send *send, bl_flow_id from, const struct bl_msg *m)
{
        struct reg *r = ctx;
        uint32_t s;
        (void)send;
        if (m->status < 200)
                return;
        cancel_send(r);
        if (m->status < 300)
                on_ok(r, from, m);
        else if (m->status < 400)
                on_redirect(r, from, m);
        else if (m->status == 401 || m->status == 407)
                on_challenge(r, from, m);
        else if (m->status == 423 && bl_msg_u32(m, BL_H_MIN_EXPIRES, &s) == 0 && s > r->min_s && s <= 86400) {
                r->min_s = s;
                watch_flow(r, from);
                try_now(r);
        } else if (m->status == 439 && !r->ua->no_outbound) { /* RFC 5626 section 11.6: register without it */
                r->ua->no_outbound = true;
                watch_flow(r, from);
                try_now(r);
        } else if (m->status == 503 && bl_msg_u32(m, BL_H_RETRY_AFTER, &s) == 0 && s <= 3600) {
                r->unreachable++;
                retry_later(r, 503, m->reason, BL_SEC(s), false);
        } else
                failed_with(r, m->status, m->reason, false);
}

static void failed(void *ctx, struct bl_send *send, unsigned status, const char *reason)
{
        struct reg *r = ctx;
        (void)send;
        r->send = NULL;
        failed_with(r, status, bl_str_z(reason), true);
}

static const struct bl_send_user reg_send = {.render = render, .response = response, .failed = failed};
