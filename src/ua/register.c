/*
 * Registration with discovery (protocol.md section 2), one struct reg per reg-id: what is said to the registrar, and
 * what its answers mean.
 *
 *   reg 1: no Route ─► 300 ─► Route: edge ─► 401 ─► 200 with Outbound-Proxy: P, P;maddr=…
 *   reg 2…N: one per URI of that list that is not reg 1's flow: a flow of its own, Route: that URI, same instance and
 *            Contact
 *
 * Where a registration goes when its flow dies is recover.c's.
 */
#include "ua/internal.h"

static const struct bl_send_user reg_send;

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
        bl_sb_addu(&b, r->asked_zero ? 0 : r->min_s > ua->expires_s ? r->min_s : ua->expires_s);
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

static struct bl_str ruri_of(const struct reg *r, struct bl_sb *mem)
{
        if (r->ruri.n)
                return text_str(&r->ruri);
        bl_sb_addz(mem, "sip:");
        bl_sb_add(mem, text_str(&r->ua->domain));
        return bl_sb_str(mem);
}

static int render(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret)
{
        (void)s;
        struct reg *r = ctx;
        struct bl_ua *ua = r->ua;
        struct bl_ua_stack *st = ua->stack;
        struct bl_draft d;
        char text[UA_TEXT], mem[UA_TEXT];
        struct bl_sb b = BL_SB(text), u = BL_SB(mem);
        if (ua_contact(ua, t).n == 0)
                return BL_ENOMEM;
        struct bl_str ruri = ruri_of(r, &u);
        bl_draft_request(&d, st->env->pool, BL_STR("REGISTER"), ruri);
        ua_via(st, ua->legacy, t, bl_str_make(r->branch, sizeof r->branch), &b);
        bl_draft_header(&d, BL_H_VIA, bl_sb_str(&b));
        bl_draft_header(&d, BL_H_MAX_FORWARDS, BL_STR("70"));
        struct bl_str route = t->route.n ? t->route : text_str(&r->route);
        if (route.n)
                bl_draft_headerf(&d, BL_H_ROUTE, "<%.*s>", BL_STR_ARG(route));
        bl_draft_headerf(&d, BL_H_FROM, "<%.*s>;tag=%.*s", BL_STR_ARG(text_str(&ua->aor)), 6, r->tag);
        bl_draft_headerf(&d, BL_H_TO, "<%.*s>", BL_STR_ARG(text_str(&ua->aor)));
        bl_draft_header(&d, BL_H_CALL_ID, text_str(&r->call_id));
        bl_draft_headerf(&d, BL_H_CSEQ, "%u REGISTER", r->cseq);
        put_contact(r, &d);
        const char *supported = ua->legacy ? "path, outbound" : "path, outbound, alt-proxies, sticky";
        if (ua->no_outbound)
                supported = ua->legacy ? "path" : "path, alt-proxies, sticky";
        bl_draft_header(&d, BL_H_SUPPORTED, bl_str_z(supported));
        put_auth(r, &d, ruri);
        return bl_draft_end(&d, (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0}, ret);
}

/* --- starting one --- */

void reg_cancel(struct reg *r)
{
        struct bl_send *s = r->send;
        r->send = NULL;
        bl_send_free(s);
}

void reg_try(struct reg *r)
{
        struct bl_ua *ua = r->ua;
        struct bl_ua_stack *s = ua->stack;
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        struct bl_send_want w = {.method = BL_M_REGISTER, .method_name = BL_STR("REGISTER")};
        reg_cancel(r);
        env_disarm(s->env, &r->timer);
        if (bl_uri_parse(r->route.n ? text_str(&r->route) : ruri_of(r, &b), &w.u) < 0) {
                reg_failed(r, 0, BL_STR("the registration's Route is not a URI"), true, 0);
                return;
        }
        r->cseq++;
        r->asked_zero = r->stopping;
        if (r->state != REG_REGISTERED)
                r->state = REG_TRYING;
        ua_branch(s, r->branch);
        w.branch = ua_branch_str(r->branch);
        w.call_id = text_str(&r->call_id);
        /* Discovery follows its own redirects. A maddr here came from configuration, an Outbound-Proxy or a redirect:
         * it counts (section 3.2). When an address that is dead is tried again says RFC 5626 section 4.5. */
        w.flags = BL_SEND_NO_REDIRECT | BL_SEND_USE_MADDR | BL_SEND_ONE_ROUND;
        if (!ua->legacy && (r->redirects || ua->belay))
                w.flags |= BL_SEND_BELAY; /* a silent edge is not waited for: the cluster has others */
        if (r->flow) { /* refreshes stay on their flow (step 8), and so does the answer to a challenge */
                w.flags |= BL_SEND_PINNED;
                w.flow = r->flow;
        } else
                w.flags |= BL_SEND_ANY_OPEN; /* D7: one that nothing else lives on */
        int rc = bl_send_start(s->hops, &w, &reg_send, r, &r->send);
        if (rc < 0)
                reg_failed(r, 0, bl_str_z(bl_err_text(rc)), true, 0);
}

struct reg *reg_new(struct bl_ua *ua, unsigned index)
{
        struct bl_ua_stack *s = ua->stack;
        struct reg *r = bl_pool_zalloc(s->env->pool, sizeof *r);
        if (!r)
                return NULL;
        char id[20];
        ua_random(s, id, sizeof id);
        r->ua = ua;
        r->reg_id = (uint8_t)(index + 1);
        r->timer.fire = reg_on_timer;
        ua_random(s, r->tag, sizeof r->tag);
        if (!text_set(s, &r->call_id, bl_str_make(id, sizeof id))) {
                bl_pool_give(s->env->pool, r, sizeof *r);
                return NULL;
        }
        return ua->reg[index] = r;
}

void reg_start(struct bl_ua *ua)
{
        for (unsigned i = 0; i < UA_FLOWS; i++) {
                struct reg *r = ua->reg[i];
                if (!r || !r->stopping)
                        continue;
                r->stopping = false;
                if (r->state != REG_IDLE) /* was about to leave: comes back by the flow it has */
                        reg_try(r);
        }
        struct reg *r = ua->reg[0] ? ua->reg[0] : reg_new(ua, 0);
        if (!r) {
                struct bl_ua_event ev = {
                        .kind = BL_UA_REGISTER_FAILED, .reg_id = 1, .local = true, .reason = BL_STR("no memory")};
                ua_event(ua, &ev);
                return;
        }
        if (r->state != REG_IDLE)
                return;
        r->auth_tries = r->redirects = 0;
        if (ua->digest)
                ua->digest->active = false;
        reg_start_over(r); /* step 8: a configured proxy starts at step 3 */
        reg_try(r);
}

void reg_stop(struct bl_ua *ua)
{
        for (unsigned i = 0; i < UA_FLOWS; i++) {
                struct reg *r = ua->reg[i];
                if (!r || r->stopping || r->state == REG_IDLE)
                        continue;
                r->stopping = true;
                if (r->state == REG_REGISTERED) {
                        r->auth_tries = 0;
                        reg_try(r);
                } else if (r->state == REG_WAITING)
                        reg_failed(r, 0, BL_STR("stopped"), true, 0);
                /* TRYING: what it asked for may be granted already; its answer decides */
        }
}

static void reg_free(struct bl_ua *ua, unsigned i)
{
        struct reg *r = ua->reg[i];
        struct bl_ua_stack *s = ua->stack;
        bl_flow_id flow = r->flow;
        reg_cancel(r);
        if (r->resolving)
                bl_resolve_cancel(&r->resolve);
        env_disarm(s->env, &r->timer);
        reg_bind(r, 0);
        reg_close(r, flow);
        reg_close(r, r->old_flow);
        text_drop(s, &r->ruri);
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

static void refused(struct reg *r, bl_flow_id from, unsigned status, struct bl_str reason, uint32_t retry_after_s)
{
        if (!r->flow) /* opened for this try: carries nothing */
                reg_close(r, from);
        reg_failed(r, status, reason, false, retry_after_s);
}

/* --- 3xx --- */

/* Step 3: the first Contact that counts. A 3xx Contact needs ;lr; of a 305 any will do. Targets where a flow of ours is
 * or that just failed are skipped (section 4.4). */
static bool redirect_target(const struct reg *r, const struct bl_msg *m, struct bl_uri *ret)
{
        struct bl_values it = {0};
        while (bl_msg_values(m, BL_H_CONTACT, &it)) {
                struct bl_nameaddr na;
                struct bl_addr a;
                if (bl_nameaddr_parse(it.value, &na) < 0 || na.star ||
                    (m->status != 305 && !r->ua->legacy && !bl_uri_is_lr(&na.uri)))
                        continue;
                if (reg_maddr(&na.uri, &a) && (reg_is_used(r, &a) || bl_addr_eq_ip(&a, &r->failed)))
                        continue;
                *ret = na.uri;
                return true;
        }
        return false;
}

/* All targets have a flow of ours already, or failed: this edge is to adopt P, and is named by maddr. One that we are
 * registered with by maddr drains: it is asked once more. */
static bool adopt_here(const struct reg *r, bl_flow_id from, struct bl_sb *out)
{
        struct bl_flow *f = bl_flow_get(bl_txns_flows(r->ua->stack->txns), from);
        struct bl_uri u;
        static const struct bl_str drop[] = {{"maddr", 5}};
        if (!f || bl_uri_parse(text_str(&r->route), &u) < 0 ||
            ((r->redirects > 1 || r->state != REG_REGISTERED) && bl_uri_param(&u, BL_STR("maddr"), NULL)))
                return false;
        bl_uri_put_without(out, &u, drop, 1);
        bl_sb_addz(out, ";maddr=");
        bl_addr_put_ip(out, &f->remote);
        return !out->over;
}

/* Elsewhere: by another flow. One that carries a registration is kept until it has moved. */
static void leave_flow(struct reg *r, bl_flow_id from)
{
        bool was = r->state == REG_REGISTERED;
        bl_flow_id old = r->flow ? r->flow : from;
        reg_bind(r, 0);
        r->state = REG_TRYING;
        if (was)
                r->old_flow = old;
        else
                reg_close(r, old);
}

static void on_redirect(struct reg *r, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_ua *ua = r->ua;
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        struct bl_uri to, p;
        if (r->redirects++ >= UA_REDIRECTS) {
                refused(r, from, m->status, BL_STR("too many redirects"), 0);
                return;
        }
        bool elsewhere = redirect_target(r, m, &to);
        if (elsewhere)
                bl_sb_add(&b, to.all);
        if (elsewhere ? b.over : !adopt_here(r, from, &b)) {
                refused(r, from, m->status, BL_STR("redirected to nowhere"), 0);
                return;
        }
        bool same_p = elsewhere && r->home_edge.n && bl_uri_parse(text_str(&r->home_edge), &p) == 0 &&
                      bl_str_eq(p.user, to.user);
        if (elsewhere && r->home_edge.n &&
            !same_p) { /* P is worth nothing any more: one registration asks for the next */
                if (r->reg_id > 1) {
                        reg_give_up(r, m->status, m->reason);
                        if (ua->reg[0] && ua->reg[0]->state == REG_REGISTERED && !ua->reg[0]->send)
                                env_arm(ua->stack->env, &ua->reg[0]->timer, ua->stack->env->now);
                        return;
                }
                text_drop(ua->stack, &r->home_edge);
        }
        /* A UA without our mechanism does as RFC 3261 section 8.1.3.4 says. */
        if (!text_set(ua->stack, ua->legacy ? &r->ruri : &r->route, bl_sb_str(&b))) {
                reg_failed(r, 0, BL_STR("no memory"), true, 0);
                return;
        }
        if (elsewhere)
                leave_flow(r, from);
        if (!elsewhere || !reg_maddr(&to, &r->at))
                r->at = (struct bl_addr){0};
        struct bl_ua_event ev = {
                .kind = BL_UA_REDIRECTED, .status = m->status, .text = bl_sb_str(&b), .reg_id = r->reg_id};
        ua_event(ua, &ev);
        reg_try(r);
}

/* --- other answers --- */

static void on_challenge(struct reg *r, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_ua *ua = r->ua;
        if (!ua->digest)
                ua->digest = bl_pool_zalloc(ua->stack->env->pool, sizeof *ua->digest);
        if (!ua->digest) {
                reg_failed(r, 0, BL_STR("no memory"), true, 0);
                return;
        }
        int rc = ua->password.n ? bl_digest_take(ua->digest, m) : BL_ENOENT;
        /* Several registrations share the session: a nonce that another one has just taken is worth one try. */
        if ((rc == BL_EREFUSED && r->auth_tries > 0) || (rc < 0 && rc != BL_EREFUSED) || r->auth_tries++ >= 3) {
                if (!r->flow)
                        reg_close(r, from);
                reg_give_up(r, m->status, rc == BL_EREFUSED ? BL_STR("user name or password is wrong") : m->reason);
                return;
        }
        reg_bind(r, from); /* the answer goes by the same flow (step 4) */
        if (r->flow)
                reg_try(r);
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

/* RFC 5626 section 4.4.1: every 80 to 100 % of Flow-Timer; without one 95 to 120 s, over UDP 24 to 29 s (a NAT may
 * forget sooner than the proxy). Only towards those that said they do outbound. */
static void keep_alive(struct reg *r, struct bl_flow *f, const struct bl_msg *m)
{
        struct env *e = r->ua->stack->env;
        uint32_t s, rnd;
        bool timer = bl_msg_u32(m, BL_H_FLOW_TIMER, &s) == 0 && s > 0;
        if (r->ua->no_outbound || (!timer && !bl_msg_lists_token(m, BL_H_REQUIRE, BL_STR("outbound"))))
                return;
        if (!timer)
                s = 120;
        if (s > 3600)
                s = 3600;
        if (s < 5)
                s = 5;
        if (f->tp == BL_UDP && s > 29)
                s = 29;
        e->ops->random(e, &rnd, sizeof rnd);
        bl_flow_ask_known(f); /* over UDP nothing else says that an edge has restarted */
        bl_flow_keepalive(f, s * 800 + rnd % (s * 190), 10000);
}

/* RFC 3608 section 6.1: the latest answer's, also when it has none. */
static void take_service_route(struct bl_ua *ua, const struct bl_msg *m)
{
        char text[UA_ROUTES];
        struct bl_sb b = BL_SB(text);
        struct bl_values it = {0};
        while (bl_msg_values(m, BL_H_SERVICE_ROUTE, &it)) {
                if (b.n)
                        bl_sb_addz(&b, ", ");
                bl_sb_add(&b, it.value);
        }
        if (!b.over)
                (void)text_set(ua->stack, &ua->service_route, bl_sb_str(&b));
}

static void tell_registered(struct reg *r, const struct bl_flow *f, const struct bl_msg *m)
{
        char text[64];
        struct bl_sb b = BL_SB(text);
        bl_addr_put(&b, &f->remote);
        struct bl_ua_event up = {.kind = BL_UA_FLOW_UP, .reg_id = r->reg_id, .flow = f->id, .text = bl_sb_str(&b)};
        struct bl_ua_event ev = {.kind = BL_UA_REGISTERED,
                                 .status = m->status,
                                 .reg_id = r->reg_id,
                                 .flow = f->id,
                                 .edge = text_str(&r->home_edge),
                                 .text = text_str(&r->ua->service_route),
                                 .msg = m};
        ua_event(r->ua, &up);
        ua_event(r->ua, &ev);
}

static void registered(struct reg *r, struct bl_flow *f, const struct bl_msg *m, uint32_t left)
{
        struct bl_ua *ua = r->ua;
        struct bl_ua_stack *s = ua->stack;
        bool fresh = r->state != REG_REGISTERED;
        r->state = REG_REGISTERED;
        r->at = r->last = f->remote;
        r->failed = (struct bl_addr){0};
        r->rounds = r->refused = 0;
        r->searching = false;
        reg_new_round(r);
        r->expires_at = s->env->now + BL_SEC(left);
        if (fresh)
                r->since = s->env->now;
        if (r->old_flow != f->id)
                reg_close(r, r->old_flow);
        r->old_flow = 0;
        bl_hop_learn_client(s->hops, f, NULL, m, (struct bl_str){NULL, 0});
        take_service_route(ua, m);
        if (fresh)
                keep_alive(r, f, m);
        /* RFC 5626 section 4.2 leaves it to us: half of it, or 10 minutes before its end. */
        env_arm_in(s->env, &r->timer, left > 1200 ? BL_SEC(left - 600) : BL_MS((uint64_t)left * 500));
        reg_take_lists(r, m);
        if (fresh)
                tell_registered(r, f, m);
        if (!ua->stopped)
                reg_fill_up(ua);
}

static void on_ok(struct reg *r, bl_flow_id from, const struct bl_msg *m)
{
        struct bl_ua *ua = r->ua;
        struct bl_flow *f = bl_flow_get(bl_txns_flows(ua->stack->txns), from);
        uint32_t left = granted(r, m);
        r->auth_tries = r->redirects = 0;
        if (r->asked_zero) {
                reg_failed(r, m->status, m->reason, false, 0); /* what was asked for */
                if (!r->stopping && !ua->stopped)              /* started again meanwhile */
                        reg_start(ua);
                return;
        }
        if (left == 0) {
                refused(r, from, m->status, BL_STR("the registrar did not take our Contact"), 0);
                return;
        }
        reg_bind(r, from);
        if (!f || r->flow != from) /* it died under the answer: recovery is under way */
                return;
        if (r->stopping) /* granted while we were about to leave */
                reg_try(r);
        else
                registered(r, f, m, left);
}

static void response(void *ctx, struct bl_send *send, bl_flow_id from, const struct bl_msg *m)
{
        struct reg *r = ctx;
        uint32_t s;
        (void)send;
        if (m->status < 200)
                return;
        reg_cancel(r);
        if (m->status < 300)
                on_ok(r, from, m);
        else if (m->status < 400)
                on_redirect(r, from, m);
        else if (m->status == 401 || m->status == 407)
                on_challenge(r, from, m);
        else if (m->status == 423 && bl_msg_u32(m, BL_H_MIN_EXPIRES, &s) == 0 && s > r->min_s && s <= 86400 &&
                 r->redirects++ < UA_REDIRECTS) { /* RFC 3261 section 10.2.8 */
                r->min_s = s;
                reg_bind(r, from);
                if (r->flow)
                        reg_try(r);
        } else if (m->status == 439 && r->reg_id == 1 && !r->ua->no_outbound) { /* RFC 5626 section 11.6: without it */
                r->ua->no_outbound = true;
                reg_bind(r, from);
                if (r->flow)
                        reg_try(r);
        } else {
                bool later = bl_msg_u32(m, BL_H_RETRY_AFTER, &s) == 0 && s > 0 && s <= 3600;
                refused(r, from, m->status, m->reason, later ? s : 0);
        }
}

static void failed(void *ctx, struct bl_send *send, unsigned status, const char *reason)
{
        struct reg *r = ctx;
        (void)send;
        r->send = NULL;
        reg_failed(r, status, bl_str_z(reason), true, 0);
}

static const struct bl_send_user reg_send = {.render = render, .response = response, .failed = failed};
