/*
 * Where a registration goes when its flow dies or its REGISTER fails, and when (RFC 5626 section 4.5, protocol.md
 * sections 4.4 and 5); and how many registrations there are.
 *
 *   flow lost ─► step 0: the last address ─► step 1, 2, …: other edges of the cluster where we have no flow; any of
 *   them may adopt P ─► none left: the round failed; wait, longer each time ─► step 0
 *
 * Within a round each address is tried at once, but for a jitter. P itself never changes: only by a 305 to the cluster
 * (its key is gone) or a 403 does discovery begin anew.
 */
#include "ua/internal.h"

enum {
        BASE_S = 30,      /* RFC 5626 section 4.5: all flows have failed … */
        BASE_SOME_S = 90, /* … or some live */
        MAX_S = 1800,
        JITTER_MS = 200,
        YOUNG_S = 30, /* a flow that dies sooner than this after it registered … */
        YOUNG_MAX = 3 /* … and that for so many times is no better than one that fails */
};

static uint32_t any_number(const struct reg *r)
{
        struct env *e = r->ua->stack->env;
        uint32_t n;
        e->ops->random(e, &n, sizeof n);
        return n;
}

bool reg_maddr(const struct bl_uri *u, struct bl_addr *ret)
{
        struct bl_str v;
        return bl_uri_param(u, BL_STR("maddr"), &v) && bl_addr_parse(v, ret) == 0;
}

/* About to try the address that is its own. */
static bool knows_where(const struct reg *o)
{
        return o->state == REG_WAITING && !o->searching && o->step == 0 && o->rounds == 0;
}

bool reg_is_used(const struct reg *r, const struct bl_addr *a)
{
        for (unsigned k = 0; k < UA_FLOWS; k++) {
                const struct reg *o = r->ua->reg[k];
                if (!o || o == r)
                        continue;
                if ((o->state == REG_REGISTERED || o->state == REG_TRYING) && bl_addr_eq_ip(&o->at, a))
                        return true;
                if (knows_where(o) && bl_addr_eq_ip(&o->last, a))
                        return true;
        }
        return false;
}

/* --- flows --- */

static void watch_down(struct bl_watch *w, bl_flow_id flow, int why)
{
        reg_flow_lost(BL_CONTAINER(w, struct reg, watch), flow, why);
}

void reg_bind(struct reg *r, bl_flow_id flow)
{
        if (r->flow == flow && r->watch.down)
                return;
        bl_flow_unwatch(&r->watch);
        memset(&r->watch, 0, sizeof r->watch);
        r->flow = flow;
        if (flow == 0)
                return;
        r->watch.down = watch_down;
        if (bl_flow_watch(bl_txns_flows(r->ua->stack->txns), flow, &r->watch) < 0)
                reg_flow_lost(r, flow, BL_EGONE);
}

void reg_close(struct reg *r, bl_flow_id flow)
{
        struct bl_flow *f = flow ? bl_flow_get(bl_txns_flows(r->ua->stack->txns), flow) : NULL;
        if (f)
                bl_flow_close(f, true);
}

/* --- waiting --- */

static void go_idle(struct reg *r, enum reg_state state)
{
        reg_bind(r, 0);
        r->state = state;
        r->at = (struct bl_addr){0};
}

void reg_new_round(struct reg *r)
{
        r->step = r->n_seen = 0;
        r->tried = false;
}

void reg_soon(struct reg *r)
{
        r->state = REG_WAITING;
        env_arm_in(r->ua->stack->env, &r->timer, BL_MS(1 + any_number(r) % JITTER_MS));
}

static bl_us back_off(const struct reg *r)
{
        unsigned n = r->rounds < 7 ? r->rounds : 7;
        unsigned base = r->ua->retry_base_s ? r->ua->retry_base_s : bl_ua_flows(r->ua) ? BASE_SOME_S : BASE_S;
        bl_us upper = BL_SEC((uint64_t)base << n);
        if (upper > BL_SEC(MAX_S))
                upper = BL_SEC(MAX_S);
        return upper / 2 + (bl_us)(any_number(r) % 1000) * (upper / 2) / 1000;
}

static void tell_failed(struct reg *r, unsigned status, struct bl_str reason, bool local, bl_us wait)
{
        struct bl_ua_event ev = {.kind = BL_UA_REGISTER_FAILED,
                                 .status = status,
                                 .reason = reason,
                                 .reg_id = r->reg_id,
                                 .retry_ms = (uint32_t)(wait / 1000),
                                 .local = local};
        ua_event(r->ua, &ev);
}

static void wait_for(struct reg *r, unsigned status, struct bl_str reason, bool local, bl_us wait)
{
        r->state = REG_WAITING;
        env_arm_in(r->ua->stack->env, &r->timer, wait);
        tell_failed(r, status, reason, local, wait);
}

/* No address is left in this round. One that had none at all is silent: the cluster has no other edge. */
static void round_over(struct reg *r, unsigned status, struct bl_str reason, bool local)
{
        bool tried = r->tried;
        if (r->rounds < 250)
                r->rounds++;
        reg_new_round(r);
        r->failed = (struct bl_addr){0};
        go_idle(r, REG_WAITING);
        bl_us wait = back_off(r);
        if (tried)
                wait_for(r, status, reason, local, wait);
        else
                env_arm_in(r->ua->stack->env, &r->timer, wait);
}

/* --- where to --- */

static uint32_t short_hash(const struct reg *r, const struct bl_addr *a)
{
        struct bl_addr ip = *a;
        ip.port = 0;
        return (uint32_t)bl_addr_hash(r->ua->stack->env->hash_seed, &ip);
}

static bool was_seen(const struct reg *r, const struct bl_addr *a)
{
        for (unsigned i = 0; i < r->n_seen; i++)
                if (r->seen[i] == short_hash(r, a))
                        return true;
        return r->n_seen == BL_HOP_TARGETS;
}

static void go_to(struct reg *r, const struct bl_uri *p, const struct bl_addr *a)
{
        static const struct bl_str drop[] = {{"maddr", 5}};
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        bl_uri_put_without(&b, p, drop, BL_ARRAY_LEN(drop));
        bl_sb_addz(&b, ";maddr=");
        bl_addr_put_ip(&b, a);
        r->tried = true;
        r->at = *a;
        if (!was_seen(r, a))
                r->seen[r->n_seen++] = short_hash(r, a);
        if (b.over || !text_set(r->ua->stack, &r->route, bl_sb_str(&b)))
                reg_failed(r, 0, BL_STR("no memory"), true, 0);
        else
                reg_try(r);
}

static void go_to_other(struct reg *r, const struct bl_uri *p, const struct bl_target *t, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                if (bl_addr_eq_ip(&t[i].to, &r->last) || reg_is_used(r, &t[i].to) || was_seen(r, &t[i].to))
                        continue;
                go_to(r, p, &t[i].to);
                return;
        }
        round_over(r, 0, BL_STR("no other edge of the cluster is left to try"), true);
}

static void edges_known(struct bl_resolve *res, int rc, const struct bl_target *t, unsigned n)
{
        struct reg *r = BL_CONTAINER(res, struct reg, resolve);
        struct bl_uri p;
        r->resolving = false;
        /* step 0: it was named an edge meanwhile, its timer goes on */
        if (r->state == REG_WAITING && r->step > 0 && bl_uri_parse(text_str(&r->home_edge), &p) == 0)
                go_to_other(r, &p, t, rc < 0 ? 0 : n);
}

/* Always by maddr: the cluster's name alone might lead to the edge that carries another registration of ours. */
static void go_on(struct reg *r)
{
        struct bl_uri p;
        struct bl_target t[BL_HOP_TARGETS];
        if (r->home_edge.n == 0 || bl_uri_parse(text_str(&r->home_edge), &p) < 0) {
                r->tried = true;
                reg_try(r); /* discovery */
                return;
        }
        if (r->step == 0 && !r->searching) {
                if (r->last.family == 0) { /* named without an address */
                        r->tried = true;
                        if (text_set(r->ua->stack, &r->route, text_str(&r->home_edge)))
                                reg_try(r);
                        else
                                reg_failed(r, 0, BL_STR("no memory"), true, 0);
                        return;
                }
                struct bl_addr named; /* by an edge: then even where another flow of ours is (D7) */
                if (!reg_is_used(r, &r->last) || (reg_maddr(&p, &named) && bl_addr_eq_ip(&named, &r->last))) {
                        go_to(r, &p, &r->last);
                        return;
                }
        }
        if (r->step == 0)
                r->step = 1;
        if (r->resolving)
                return;
        r->resolve.done = edges_known;
        int n = bl_resolve(r->ua->stack->hops, &r->resolve, &p, false, t);
        r->resolving = n == BL_EPENDING;
        if (!r->resolving)
                go_to_other(r, &p, t, n > 0 ? (unsigned)n : 0);
}

void reg_on_timer(struct bl_timer *t)
{
        struct reg *r = BL_CONTAINER(t, struct reg, timer);
        r->auth_tries = r->redirects = 0;
        if (r->state == REG_WAITING)
                go_on(r);
        else
                reg_try(r);
}

/* --- when it fails --- */

void reg_give_up(struct reg *r, unsigned status, struct bl_str reason)
{
        bl_flow_id flow = r->flow, old = r->old_flow;
        bool was = r->state == REG_REGISTERED;
        struct bl_ua_event gone = {.kind = BL_UA_UNREGISTERED, .status = status, .reason = reason, .reg_id = r->reg_id};
        env_disarm(r->ua->stack->env, &r->timer);
        go_idle(r, REG_IDLE);
        r->old_flow = 0;
        reg_close(r, flow);
        reg_close(r, old);
        text_drop(r->ua->stack, &r->home_edge);
        if (was)
                ua_event(r->ua, &gone);
        tell_failed(r, status, reason, false, 0);
}

void reg_start_over(struct reg *r)
{
        struct bl_ua_stack *s = r->ua->stack;
        text_drop(s, &r->home_edge);
        text_drop(s, &r->ruri);
        if (!text_set(s, &r->route, text_str(&r->ua->outbound_proxy)))
                text_drop(s, &r->route);
        r->last = r->at = r->failed = (struct bl_addr){0};
        r->searching = false;
        reg_new_round(r);
}

static void is_stopped(struct reg *r, unsigned status, struct bl_str reason)
{
        struct bl_ua_event ev = {.kind = BL_UA_UNREGISTERED, .status = status, .reason = reason, .reg_id = r->reg_id};
        bool said = r->state != REG_REGISTERED && r->state != REG_TRYING;
        env_disarm(r->ua->stack->env, &r->timer);
        if (r->flow) { /* dialogs may still need it: it closes with the UA */
                struct bl_flow *f = bl_flow_get(bl_txns_flows(r->ua->stack->txns), r->flow);
                if (f)
                        bl_flow_keepalive(f, 0, 0);
        }
        r->old_flow = r->flow ? r->flow : r->old_flow;
        go_idle(r, REG_IDLE);
        if (!said)
                ua_event(r->ua, &ev);
}

/* Of a flow that carries a registration as long as that is granted. True: dealt with. */
static bool refresh_refused(struct reg *r, unsigned status, struct bl_str reason, uint32_t retry_after_s)
{
        struct env *e = r->ua->stack->env;
        bl_us wait =
                retry_after_s ? BL_SEC(retry_after_s) : BL_SEC((uint64_t)BASE_S << (r->refused < 5 ? r->refused : 5));
        if (r->state != REG_REGISTERED || !r->flow || status == 403 || status == 404 || status == 430)
                return false;
        if (e->now + BL_SEC(5) >= r->expires_at)
                return false;
        if (e->now + wait >= r->expires_at)
                wait = r->expires_at - e->now - BL_SEC(2);
        if (r->refused < 250)
                r->refused++;
        env_arm_in(e, &r->timer, wait);
        tell_failed(r, status, reason, false, wait);
        return true;
}

/* The flow is of no use any more, though the world has not closed it. */
static void let_go(struct reg *r, struct bl_str reason)
{
        bl_flow_id flow = r->flow, old = r->old_flow;
        bool was = r->state == REG_REGISTERED;
        struct bl_ua_event down = {.kind = BL_UA_FLOW_DOWN, .flow = flow, .reg_id = r->reg_id, .reason = reason};
        struct bl_ua_event gone = {.kind = BL_UA_UNREGISTERED, .reg_id = r->reg_id, .reason = reason};
        char text[64];
        struct bl_sb b = BL_SB(text);
        if (was)
                bl_addr_put(&b, &r->last);
        down.text = bl_sb_str(&b);
        r->failed = r->at;
        go_idle(r, REG_WAITING);
        r->old_flow = 0;
        reg_close(r, flow);
        reg_close(r, old);
        if (!was)
                return;
        ua_event(r->ua, &down);
        ua_event(r->ua, &gone);
}

/* Discovery, as long as no edge has named P. */
static void discovery_failed(struct reg *r, unsigned status, struct bl_str reason, bool local)
{
        if (!local && (status == 400 || status == 403 || status == 404)) {
                reg_give_up(r, status, reason);
                return;
        }
        if (r->step++ == 0 && local) { /* once more at once: an edge may have died under it */
                reg_soon(r);
                tell_failed(r, status, reason, local, BL_MS(JITTER_MS));
                return;
        }
        if (local && ua_next_proxy(r->ua)) { /* RFC 3361 section 3.1: the next when the first cannot be reached */
                reg_start_over(r);
                r->step = 1; /* once each: the one before has shown that the network is not the same as before */
                reg_soon(r);
                tell_failed(r, status, reason, local, BL_MS(JITTER_MS));
                return;
        }
        reg_start_over(r);
        r->tried = true;
        round_over(r, status, reason, local);
}

void reg_failed(struct reg *r, unsigned status, struct bl_str reason, bool local, uint32_t retry_after_s)
{
        bool refresh = r->state == REG_REGISTERED;
        reg_cancel(r);
        if (r->stopping || r->asked_zero) {
                is_stopped(r, status, reason);
                return;
        }
        if (!local && refresh_refused(r, status, reason, retry_after_s))
                return;
        let_go(r, reason);
        if (r->stopping || r->state != REG_WAITING) /* the application's wish meanwhile */
                return;
        if (!local && retry_after_s) { /* RFC 3261 section 21.5.4: the registrar's word; it holds for all edges */
                if (r->rounds < 250)
                        r->rounds++;
                reg_new_round(r);
                wait_for(r, status, reason, false, BL_SEC(retry_after_s));
                return;
        }
        if (r->home_edge.n == 0) {
                discovery_failed(r, status, reason, local);
                return;
        }
        if (!local && (status == 403 || status == 404)) { /* P, or its user, is worth nothing any more */
                if (r->reg_id > 1) {
                        reg_give_up(r, status, reason);
                        return;
                }
                reg_start_over(r);
        } else if (!refresh && r->step < 250) /* a refresh that got no answer: the same address is worth one more */
                r->step++;
        reg_soon(r);
        tell_failed(r, status, reason, local, BL_MS(JITTER_MS));
}

void reg_flow_lost(struct reg *r, bl_flow_id flow, int why)
{
        struct env *e = r->ua->stack->env;
        struct bl_str reason = bl_str_z(bl_err_text(why));
        if (r->flow != flow)
                return;
        bool was = r->state == REG_REGISTERED, young = was && e->now < r->since + BL_SEC(YOUNG_S);
        reg_cancel(r);
        env_disarm(e, &r->timer);
        if (r->stopping || r->asked_zero) {
                is_stopped(r, 0, reason);
                return;
        }
        let_go(r, reason);
        if (r->stopping || r->state != REG_WAITING)
                return;
        r->failed = (struct bl_addr){0};
        if (!was) { /* between a challenge and its answer */
                reg_failed(r, 0, reason, true, 0);
                return;
        }
        reg_new_round(r);
        r->short_lived = young ? (uint8_t)(r->short_lived + 1) : 0;
        if (r->short_lived >= YOUNG_MAX) {
                r->short_lived = YOUNG_MAX;
                r->tried = true;
                round_over(r, 0, BL_STR("flows to it do not live long"), true);
        } else
                reg_soon(r); /* the last address first */
}

/* --- how many --- */

/* A registration that is named an edge: that is where it goes. */
static void assign(struct reg *r, const struct bl_uri *u)
{
        if (!text_set(r->ua->stack, &r->home_edge, u->all))
                return;
        if (!reg_maddr(u, &r->last))
                r->last = (struct bl_addr){0};
        r->searching = false;
        r->rounds = 0;
        reg_new_round(r);
        if (r->state == REG_REGISTERED) {
                if (bl_addr_eq_ip(&r->at, &r->last)) { /* same edge, new name: its next refresh carries it */
                        if (text_set(r->ua->stack, &r->route, u->all))
                                reg_try(r);
                        return;
                }
                reg_cancel(r);
                let_go(r, BL_STR("the edge named another"));
        }
        reg_cancel(r);
        reg_soon(r);
}

static bool carries(const struct reg *r, const struct reg *o, const struct bl_uri *u, bool *ret_same_p)
{
        struct bl_uri p;
        struct bl_addr a;
        *ret_same_p = o->home_edge.n && bl_uri_parse(text_str(&o->home_edge), &p) == 0 && bl_str_eq(p.user, u->user) &&
                      bl_host_eq(p.host, u->host);
        return *ret_same_p && o->state != REG_IDLE &&
               (bl_str_eq(text_str(&o->home_edge), u->all) ||
                (o != r && reg_maddr(u, &a) && bl_addr_eq_ip(&o->at, &a))); /* D7: our own address may be named again */
}

/* Step 7: an edge that the list names. Free for it are registrations that wait, or that have another P. */
static void name_edge(struct reg *r, const struct bl_uri *u)
{
        struct bl_ua *ua = r->ua;
        struct reg *free_one = NULL;
        unsigned next = UA_FLOWS;
        bool same_p;
        for (unsigned i = 0; i < UA_FLOWS; i++) {
                struct reg *o = ua->reg[i];
                if (!o) {
                        next = next == UA_FLOWS ? i : next;
                        continue;
                }
                if (carries(r, o, u, &same_p))
                        return;
                if (o != r && !o->stopping &&
                    (!same_p || o->state == REG_IDLE || (o->state == REG_WAITING && !knows_where(o))) && !free_one)
                        free_one = o;
        }
        if (!free_one && next < ua->wanted)
                free_one = reg_new(ua, next);
        if (free_one)
                assign(free_one, u);
}

static void take_list(struct reg *r, const struct bl_msg *m, enum bl_hid id, bool first_is_self)
{
        struct bl_ua *ua = r->ua;
        struct bl_values it = {0};
        unsigned n = bl_msg_count(m, id) + !first_is_self, want = n < 2 ? 2 : n; /* N is 2 unless they name more */
        if (ua->flows_wanted)
                want = ua->flows_wanted;
        if (want > ua->wanted)
                ua->wanted = (uint8_t)(want < UA_FLOWS ? want : UA_FLOWS);
        while (bl_msg_values(m, id, &it)) {
                struct bl_nameaddr na;
                if (bl_nameaddr_parse(it.value, &na) < 0 || na.star || na.uri.host.n == 0)
                        continue;
                if (first_is_self && it.index == 0) {
                        (void)(text_set(ua->stack, &r->home_edge, na.uri.all) &&
                               text_set(ua->stack, &r->route, na.uri.all));
                        continue;
                }
                if (!ua->no_outbound)
                        name_edge(r, &na.uri);
        }
}

void reg_take_lists(struct reg *r, const struct bl_msg *m)
{
        struct bl_ua_stack *s = r->ua->stack;
        struct bl_nameaddr na;
        if (bl_msg_has(m, BL_H_OUTBOUND_PROXY)) { /* the first stands for the edge that answers */
                r->ua->belay = true;
                take_list(r, m, BL_H_OUTBOUND_PROXY, true);
        } else if (bl_msg_has(m, BL_H_ALTERNATIVE_PROXIES)) { /* the draft's form names the others only */
                r->ua->belay = true;
                if (r->home_edge.n == 0 && bl_msg_nameaddr(m, BL_H_SERVICE_ROUTE, 0, &na) == 0)
                        (void)(text_set(s, &r->home_edge, na.uri.all) && text_set(s, &r->route, na.uri.all));
                take_list(r, m, BL_H_ALTERNATIVE_PROXIES, false);
        } else if (r->home_edge.n == 0 && r->route.n)
                (void)text_set(s, &r->home_edge, text_str(&r->route));
}

/* Also when the edges named fewer than wanted, because they saw no other alive: any other of the cluster adopts P. */
void reg_fill_up(struct bl_ua *ua)
{
        const struct reg *with_p = NULL;
        unsigned n = 0;
        for (unsigned i = 0; i < UA_FLOWS; i++) {
                const struct reg *r = ua->reg[i];
                n += r && r->state != REG_IDLE;
                if (r && r->state == REG_REGISTERED && r->home_edge.n)
                        with_p = r;
        }
        if (!with_p || !ua->belay || ua->no_outbound)
                return;
        for (unsigned i = 0; i < UA_FLOWS && n < ua->wanted; i++) {
                struct reg *r = ua->reg[i] ? ua->reg[i] : reg_new(ua, i);
                if (!r || r->state != REG_IDLE)
                        continue;
                if (!text_set(ua->stack, &r->home_edge, text_str(&with_p->home_edge)))
                        return;
                r->searching = true;
                r->last = (struct bl_addr){0};
                r->rounds = 0;
                reg_new_round(r);
                reg_soon(r);
                n++;
        }
}
