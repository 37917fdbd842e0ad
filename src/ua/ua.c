/* The stack that UAs share: flows, transactions and hops of one worker; and what is common to all of a UA's requests.
 */
#include <stdlib.h>

#include "ua/internal.h"

/* --- small helpers --- */

bool text_set(struct bl_ua_stack *s, struct text *t, struct bl_str v)
{
        if (v.n == t->n && v.n && memcmp(t->p, v.p, v.n) == 0)
                return true;
        char *p = NULL;
        if (v.n) {
                p = v.n <= UINT16_MAX ? bl_pool_alloc(s->env->pool, v.n) : NULL;
                if (p)
                        memcpy(p, v.p, v.n);
        }
        if (v.n && !p)
                return false;
        text_drop(s, t);
        t->p = p;
        t->n = (uint16_t)v.n;
        return true;
}

void text_drop(struct bl_ua_stack *s, struct text *t)
{
        if (t->p)
                bl_pool_give(s->env->pool, t->p, t->n);
        *t = (struct text){0};
}

void ua_random(struct bl_ua_stack *s, char *p, size_t n)
{
        static const char set[] = "abcdefghijklmnopqrstuvwxyz012345"; /* 32: no bias */
        uint8_t raw[64];
        s->env->ops->random(s->env, raw, n < sizeof raw ? n : sizeof raw);
        for (size_t i = 0; i < n && i < sizeof raw; i++)
                p[i] = set[raw[i] & 31];
}

void ua_branch(struct bl_ua_stack *s, char out[24])
{
        memcpy(out, "z9hG4bK", 7);
        ua_random(s, out + 7, 17);
}

void ua_via(struct bl_ua_stack *s, bool legacy, const struct bl_try *t, struct bl_str branch, struct bl_sb *out)
{
        bl_sb_addz(out, "SIP/2.0/");
        bl_sb_add(out, bl_tp_name(t->tp));
        bl_sb_addc(out, ' ');
        bl_sb_add(out, bl_str_make(s->sent_by, s->sent_by_n));
        bl_sb_addz(out, ";branch=");
        bl_sb_add(out, branch);
        bl_sb_addz(out, legacy ? ";rport" : ";rport;sticky");
        bl_sb_add(out, bl_txns_via_param(s->txns));
}

void ua_event(struct bl_ua *ua, struct bl_ua_event *ev)
{
        ev->ua = ua;
        if (ua->event)
                ua->event(ua->ctx, ev);
}

bl_flow_id ua_any_flow(const struct bl_ua *ua, bl_flow_id not_this)
{
        for (unsigned i = 0; i < UA_FLOWS; i++)
                if (ua->reg[i] && ua->reg[i]->state == REG_REGISTERED && ua->reg[i]->flow != not_this)
                        return ua->reg[i]->flow;
        return 0;
}

bl_flow_id ua_next_flow(const struct bl_ua *ua, bl_flow_id flow, struct bl_str host)
{
        struct bl_flows *flows = bl_txns_flows(ua->stack->txns);
        unsigned at = 0;
        while (at < UA_FLOWS && !(ua->reg[at] && ua->reg[at]->flow == flow))
                at++;
        for (unsigned i = 1; i <= UA_FLOWS; i++) {
                const struct reg *r = ua->reg[(at + i) % UA_FLOWS];
                struct bl_flow *f =
                        r && r->state == REG_REGISTERED && r->flow != flow ? bl_flow_get(flows, r->flow) : NULL;
                if (f && f->state == BL_FLOW_UP && bl_flow_linked(f, host))
                        return r->flow;
        }
        return 0;
}

unsigned bl_ua_flows(const struct bl_ua *ua)
{
        unsigned n = 0;
        for (unsigned i = 0; i < UA_FLOWS; i++)
                n += ua->reg[i] && ua->reg[i]->state == REG_REGISTERED;
        return n;
}

/* --- the stack's events --- */

static void on_request(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        answer_request(ctx, f, m);
}

static void on_up(void *ctx, struct bl_flow *f)
{
        struct bl_ua_stack *s = ctx;
        bl_hops_flow_up(s->hops, f);
}

static void on_down(void *ctx, struct bl_flow *f, int why)
{
        struct bl_ua_stack *s = ctx;
        if (s->hops) /* NULL while the stack is freed */
                bl_hops_flow_down(s->hops, f, why);
}

static void on_pong(void *ctx, struct bl_flow *f)
{
        struct bl_ua_stack *s = ctx;
        bl_hops_flow_pong(s->hops, f);
}

static const struct bl_txns_user stack_user = {
        .request = on_request, .flow_up = on_up, .flow_down = on_down, .flow_pong = on_pong};

struct bl_ua_stack *bl_ua_stack_new(struct env *env, const struct bl_ua_stack_conf *conf)
{
        struct bl_ua_stack *s = calloc(1, sizeof *s);
        if (!s)
                return NULL;
        s->env = env;
        s->conf = conf;
        bl_list_init(&s->uas);
        bl_list_init(&s->finals);
        bl_list_init(&s->acks);
        s->hop_conf = conf->hop;
        s->hop_conf.may_open = true;
        s->hop_conf.no_reopen = true; /* registrations recover their flows themselves, RFC 5626 section 4.5 */
        struct bl_sb b = BL_SB(s->sent_by);
        if (conf->sent_by.n)
                bl_sb_add(&b, conf->sent_by);
        else { /* one name for all flows and transports, so that a copy by another flow is the same transaction */
                char name[UA_TOKEN];
                ua_random(s, name, sizeof name);
                bl_sb_add(&b, bl_str_make(name, sizeof name));
                bl_sb_addz(&b, ".invalid");
        }
        s->sent_by_n = (uint8_t)b.n;
        if (!conf->sticky)
                s->own_sticky = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = env->hash_seed, .shards = 1});
        s->txns = bl_txns_new(env, &conf->txn, &conf->flow, NULL, &stack_user, s);
        if (s->txns && (conf->sticky || s->own_sticky))
                s->hops = bl_hops_new(s->txns, conf->sticky ? conf->sticky : s->own_sticky, &s->hop_conf);
        if (!s->hops) {
                bl_ua_stack_free(s);
                return NULL;
        }
        return s;
}

void bl_ua_stack_free(struct bl_ua_stack *s)
{
        if (!s)
                return;
        while (s->uas.next && !bl_list_empty(&s->uas))
                bl_ua_free(BL_CONTAINER(s->uas.next, struct bl_ua, link));
        memory_drop_all(s);
        request_ack_drop_all(s);
        bl_hops_free(s->hops); /* its sends hold client transactions */
        s->hops = NULL;
        if (s->txns)
                bl_txns_free(s->txns);
        bl_sticky_free(s->own_sticky);
        bl_htab_fini(&s->by_token);
        bl_htab_fini(&s->dialogs);
        bl_htab_fini(&s->remembered);
        free(s);
}

struct bl_hops *bl_ua_stack_hops(struct bl_ua_stack *s)
{
        return s->hops;
}

/* --- a UA --- */

static void random_instance(struct bl_ua_stack *s, struct bl_sb *b)
{
        uint8_t r[16];
        s->env->ops->random(s->env, r, sizeof r);
        r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* RFC 4122 section 4.4 */
        r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
        bl_sb_addz(b, "urn:uuid:");
        for (unsigned i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        bl_sb_addc(b, '-');
                bl_sb_hex(b, r + i, 1);
        }
}

enum { MAX_TEXT = 255 }; /* of each text in a bl_ua_conf: what is written with them has room for that */

static bool set_proxy(struct bl_ua *ua, struct bl_str uri)
{
        char via[MAX_TEXT + 2];
        struct bl_sb b = BL_SB(via);
        if (uri.n) {
                bl_sb_addc(&b, '<');
                bl_sb_add(&b, uri);
                bl_sb_addc(&b, '>');
        }
        return text_set(ua->stack, &ua->outbound_route, bl_sb_str(&b)) && text_set(ua->stack, &ua->outbound_proxy, uri);
}

struct proxies {
        uint16_t size; /* of the block */
        uint8_t n, at; /* at: the one in use */
        struct bl_str uri[];
};

static void drop_proxies(struct bl_ua *ua)
{
        if (ua->proxies)
                bl_pool_give(ua->stack->env->pool, ua->proxies, ua->proxies->size);
        ua->proxies = NULL;
}

bool ua_next_proxy(struct bl_ua *ua)
{
        struct proxies *p = ua->proxies;
        if (!p)
                return false;
        uint8_t next = (uint8_t)((p->at + 1) % p->n);
        if (set_proxy(ua, p->uri[next])) /* without memory: the same again */
                p->at = next;
        return next != 0 && p->at == next;
}

int bl_ua_set_proxies(struct bl_ua *ua, const struct bl_str *uris, unsigned n)
{
        size_t size = sizeof(struct proxies) + n * sizeof *uris;
        struct bl_uri u;
        for (unsigned i = 0; i < n; i++) {
                if (i == BL_UA_PROXIES || uris[i].n > MAX_TEXT || bl_uri_parse(uris[i], &u) < 0)
                        return BL_EINVAL;
                size += uris[i].n;
        }
        struct proxies *p = n > 1 ? bl_pool_alloc(ua->stack->env->pool, size) : NULL;
        if ((n > 1 && !p) || !set_proxy(ua, n ? uris[0] : (struct bl_str){NULL, 0})) {
                bl_pool_give(ua->stack->env->pool, p, size);
                return BL_ENOMEM;
        }
        drop_proxies(ua);
        ua->proxies = p;
        if (!p)
                return 0;
        *p = (struct proxies){.size = (uint16_t)size, .n = (uint8_t)n};
        char *at = (char *)&p->uri[n];
        for (unsigned i = 0; i < n; i++) {
                memcpy(at, uris[i].p, uris[i].n);
                p->uri[i] = bl_str_make(at, uris[i].n);
                at += uris[i].n;
        }
        return 0;
}

static bool fill(struct bl_ua *ua, const struct bl_ua_conf *c)
{
        struct bl_ua_stack *s = ua->stack;
        struct bl_uri aor;
        char inst[64];
        struct bl_sb b = BL_SB(inst);
        if (bl_uri_parse(c->aor, &aor) < 0 || aor.user.n == 0 || aor.host.n == 0)
                return false;
        if (c->aor.n > MAX_TEXT || c->display.n > MAX_TEXT || c->auth_user.n > MAX_TEXT || c->password.n > MAX_TEXT ||
            c->instance.n > MAX_TEXT || c->outbound_proxy.n > MAX_TEXT)
                return false;
        random_instance(s, &b);
        ua->expires_s = c->expires_s ? c->expires_s : 600;
        ua->retry_base_s = (uint16_t)(c->retry_base_s < 1800 ? c->retry_base_s : 1800);
        ua->flows_wanted = (uint8_t)(c->flows < UA_FLOWS ? c->flows : UA_FLOWS);
        ua->legacy = c->legacy;
        ua->register_off = c->register_off;
        ua->event = c->event;
        ua->ctx = c->ctx;
        ua_random(s, ua->token, sizeof ua->token);
        return set_proxy(ua, c->outbound_proxy) && text_set(s, &ua->aor, aor.all) && text_set(s, &ua->user, aor.user) &&
               text_set(s, &ua->domain, aor.host) && text_set(s, &ua->display, c->display) &&
               text_set(s, &ua->auth_user, c->auth_user.n ? c->auth_user : aor.user) &&
               text_set(s, &ua->password, c->password) &&
               text_set(s, &ua->instance, c->instance.n ? c->instance : bl_sb_str(&b));
}

struct bl_ua *bl_ua_new(struct bl_ua_stack *s, const struct bl_ua_conf *conf)
{
        struct bl_ua *ua = bl_pool_zalloc(s->env->pool, sizeof *ua);
        if (!ua)
                return NULL;
        ua->stack = s;
        bl_list_init(&ua->requests);
        bl_list_push_back(&s->uas, &ua->link);
        if (!fill(ua, conf) || bl_htab_insert(&s->by_token, &ua->by_token,
                                              bl_hash(s->env->hash_seed, bl_str_make(ua->token, UA_TOKEN))) < 0) {
                bl_ua_free(ua);
                return NULL;
        }
        return ua;
}

static void free_dialog_of(struct bl_hnode *n, void *arg)
{
        struct bl_dialog *d = BL_CONTAINER(n, struct bl_dialog, node);
        if (d->ua == arg)
                dialog_end(d);
}

void bl_ua_free(struct bl_ua *ua)
{
        if (!ua)
                return;
        struct bl_ua_stack *s = ua->stack;
        ua->event = NULL;
        reg_free_all(ua);
        while (!bl_list_empty(&ua->requests))
                request_free(BL_CONTAINER(ua->requests.next, struct bl_ua_request, link));
        bl_htab_each(&s->dialogs, free_dialog_of, ua);
        bl_htab_remove(&s->by_token, &ua->by_token);
        bl_list_remove(&ua->link);
        struct text *all[] = {&ua->aor,       &ua->user,          &ua->domain,        &ua->display,
                              &ua->auth_user, &ua->password,      &ua->instance,      &ua->outbound_proxy,
                              &ua->contact,   &ua->service_route, &ua->outbound_route};
        for (unsigned i = 0; i < BL_ARRAY_LEN(all); i++)
                text_drop(s, all[i]);
        drop_proxies(ua);
        if (ua->digest)
                bl_pool_give(s->env->pool, ua->digest, sizeof *ua->digest);
        bl_pool_give(s->env->pool, ua, sizeof *ua);
}

void bl_ua_start(struct bl_ua *ua)
{
        ua->started = true;
        ua->stopped = false;
        if (!ua->register_off)
                reg_start(ua);
}

void bl_ua_stop(struct bl_ua *ua)
{
        ua->stopped = true;
        reg_stop(ua);
}
