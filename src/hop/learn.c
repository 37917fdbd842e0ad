/*
 * Learning (protocol.md section 3.2). One guard for all of it: a URI is bound to a flow only if its host is a domain
 * that the flow is linked to, and not one of our own; so bad.example cannot capture good.example's traffic.
 */
#include "hop/internal.h"

enum { UNSAID_S = 3600 /* how long a P learned outside REGISTER is believed; its next registration says better */ };

uint64_t bl_hop_dialog(const struct bl_hops *h, struct bl_str call_id)
{
        uint64_t d = bl_hash(h->env->hash_seed, call_id);
        return d ? d : 1; /* 0 says "no dialog" */
}

/* Another worker's flow cannot be asked; but what a flow is linked to was bound as a domain when it came up. */
bool hop_linked(struct bl_hops *h, bl_flow_id id, struct bl_str host)
{
        const struct bl_flow *f = bl_flow_get(h->flows, id);
        if (f)
                return bl_flow_linked(f, host);
        if (bl_flow_worker(id) == h->env->worker)
                return false;
        char text[HOP_NAME_MAX + 8];
        struct bl_sb b = BL_SB(text);
        struct bl_uri u;
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, host);
        return !b.over && bl_uri_parse(bl_sb_str(&b), &u) == 0 && bl_sticky_is_bound(h->sticky, &u, id, true);
}

static bool may_bind(struct bl_hops *h, bl_flow_id id, const struct bl_uri *u)
{
        if (!u->host.n)
                return false;
        if (hop_is_own(h, u->host)) {
                bl_count(h->count.bind_own);
                return false;
        }
        if (hop_linked(h, id, u->host))
                return true;
        bl_count(h->count.bind_unlinked);
        if (bl_log_allow(h->env->log, "bind_refused", "not_linked"))
                bl_log_ev(h->env->log, BL_LOG_INFO, "bind_refused", BL_KI("flow", (int64_t)id), BL_KS("host", u->host),
                          BL_KZ("reason", "not_linked"));
        return false;
}

static uint32_t contact_expires(struct bl_str contact, uint32_t otherwise)
{
        struct bl_nameaddr na;
        struct bl_str v;
        uint32_t s;
        if (bl_nameaddr_parse(contact, &na) < 0 || !bl_nameaddr_param(&na, BL_STR("expires"), &v) ||
            bl_str_u32(v, &s) < 0)
                return otherwise;
        return s;
}

/* The longest that a 2xx to REGISTER grants, RFC 3261 section 10.2.4. */
static uint32_t granted(const struct bl_msg *m)
{
        uint32_t general, most = 0;
        struct bl_values it = {0};
        if (bl_msg_u32(m, BL_H_EXPIRES, &general) < 0)
                general = UNSAID_S;
        while (bl_msg_values(m, BL_H_CONTACT, &it)) {
                uint32_t s = contact_expires(it.value, general);
                most = s > most ? s : most;
        }
        return most ? most : general;
}

/* Kind and lifetime of a URI by its look: a domain lives with the flow, `d` names a dialog, else it is a P. */
static void bind_kind(const struct bl_hops *h, struct bl_bind *b, struct bl_str call_id, uint32_t path_s)
{
        if (bl_uri_param(&b->uri, BL_STR("d"), NULL)) {
                b->kind = BL_BIND_DIALOG;
                b->dialog = call_id.n ? bl_hop_dialog(h, call_id) : 0;
        } else if (b->uri.has_user) {
                b->kind = BL_BIND_PATH;
                b->expires_at = h->env->now + BL_SEC((bl_us)path_s + HOP_PATH_GRACE_S);
        } else {
                b->kind = BL_BIND_DOMAIN;
        }
}

void hop_learn_u(struct bl_hops *h, bl_flow_id id, enum bl_tp tp, const struct bl_uri *u, const struct bl_msg *response)
{
        struct bl_bind b = {.uri = *u, .flow = id, .secure = bl_tp_is_secure(tp), .confirmed = response != NULL};
        if (!may_bind(h, id, u))
                return;
        if (response)
                hop_flow_heard(h, id);
        bind_kind(h, &b, response ? response->call_id : bl_str_make(NULL, 0),
                  response && response->method == BL_M_REGISTER ? granted(response) : UNSAID_S);
        /* Where the registration has bound it, a 2xx only confirms; it knows nothing of lifetimes. */
        if (b.kind == BL_BIND_PATH && !(response && response->method == BL_M_REGISTER) &&
            bl_sticky_is_bound(h->sticky, u, id, false)) {
                b.kind = BL_BIND_DOMAIN;
                b.expires_at = 0;
        }
        bl_sticky_bind(h->sticky, &b, h->env->now);
}

int hop_without_d(const struct bl_uri *u, char *buf, size_t cap, struct bl_uri *ret_uri)
{
        const struct bl_str d = BL_STR("d");
        struct bl_sb b = {buf, 0, cap, false};
        if (!bl_uri_param(u, d, NULL))
                return BL_ENOENT;
        bl_uri_put_without(&b, u, &d, 1);
        return b.over ? BL_ELIMIT : bl_uri_parse(bl_sb_str(&b), ret_uri);
}

void hop_unlearn_u(struct bl_hops *h, bl_flow_id id, const struct bl_uri *u)
{
        char text[1024];
        struct bl_uri bare;
        bl_sticky_unbind(h->sticky, u, id);
        if (hop_without_d(u, text, sizeof(text), &bare) == 0)
                bl_sticky_unbind(h->sticky, &bare, id);
}

/* One value of a response or request header: guarded, bound, confirmed. */
static void learn_value(struct bl_hops *h, struct bl_flow *f, const struct bl_nameaddr *na, struct bl_bind *b)
{
        b->uri = na->uri;
        b->flow = f->id;
        b->secure = bl_tp_is_secure(f->tp);
        b->confirmed = true;
        if (may_bind(h, f->id, &na->uri))
                bl_sticky_bind(h->sticky, b, h->env->now);
}

/* Of a dialog we may have put in two values (RFC 5658), one for each side: alike but for their transport. */
static bool is_ours(const struct bl_uri *u, const struct bl_uri *mine)
{
        struct bl_str d, my_d;
        if (!bl_uri_param(mine, BL_STR("d"), &my_d))
                return bl_uri_exact(u, mine, false);
        return bl_uri_param(u, BL_STR("d"), &d) && bl_str_eq(d, my_d) && bl_str_eq(u->user, mine->user) &&
               bl_host_eq(u->host, mine->host);
}

/* Index of our own value among the header's, the topmost if there are two; or -1. */
static int own_index(const struct bl_msg *m, enum bl_hid id, struct bl_str own)
{
        struct bl_uri mine;
        struct bl_nameaddrs it;
        if (bl_uri_parse(own, &mine) < 0)
                return -1;
        bl_nameaddrs_init(&it, m, id);
        for (int i = 0; bl_nameaddrs_next(&it, m) > 0; i++)
                if (is_ours(&it.na.uri, &mine))
                        return i;
        return -1;
}

static void learn_service_route(struct bl_hops *h, struct bl_flow *f, const struct bl_msg *m, struct bl_str own)
{
        struct bl_nameaddr na;
        int at = own.n ? own_index(m, BL_H_SERVICE_ROUTE, own) : -1;
        if ((own.n && at < 0) || bl_msg_nameaddr(m, BL_H_SERVICE_ROUTE, at + 1, &na) < 0)
                return;
        struct bl_bind b = {.uri = na.uri};
        bind_kind(h, &b, bl_str_make(NULL, 0), granted(m));
        learn_value(h, f, &na, &b);
}

/* The response's Record-Route runs from the far end to the near one: directly above our own stands the next hop's, and
 * of a UA's neighbours the last (section 3.2; RFC 3261 section 16.6 step 4, where each proxy puts itself on top). */
static void learn_record_route(struct bl_hops *h, struct bl_flow *f, const struct bl_msg *m, struct bl_str own)
{
        struct bl_nameaddr na;
        int at = own.n ? own_index(m, BL_H_RECORD_ROUTE, own) : (int)bl_msg_count(m, BL_H_RECORD_ROUTE);
        if (at < 1 || bl_msg_nameaddr(m, BL_H_RECORD_ROUTE, at - 1, &na) < 0)
                return;
        struct bl_bind b = {.kind = BL_BIND_DIALOG, .dialog = bl_hop_dialog(h, m->call_id)};
        learn_value(h, f, &na, &b);
}

void bl_hop_learn_client(struct bl_hops *h, struct bl_flow *f, const struct bl_uri *u, const struct bl_msg *response,
                         struct bl_str own)
{
        if (!f || response->status < 200 || response->status > 299)
                return;
        if (u)
                hop_learn_u(h, f->id, f->tp, u, response);
        if (response->method == BL_M_REGISTER)
                learn_service_route(h, f, response, own);
        else if (bl_method_forms_dialog(response->method))
                learn_record_route(h, f, response, own);
}

void bl_hop_learn_server(struct bl_hops *h, struct bl_flow *f, const struct bl_msg *req, uint32_t expires_s)
{
        bool reg = req->method == BL_M_REGISTER;
        struct bl_nameaddr na;
        if (!f)
                return;
        if (req->via.sticky && bl_flow_is_linked(f)) {
                hop_flow_learn_belay(h, f);
                hop_flow_learn_sent_by(h, f, req->via.port);
        }
        if (!reg && (!bl_method_forms_dialog(req->method) || req->to_tag.n))
                return;
        if (bl_msg_nameaddr(req, reg ? BL_H_PATH : BL_H_RECORD_ROUTE, 0, &na) < 0)
                return;
        if (reg && !expires_s) {
                bl_sticky_unbind(h->sticky, &na.uri, f->id);
                return;
        }
        struct bl_bind b = {.kind = BL_BIND_DIALOG, .dialog = bl_hop_dialog(h, req->call_id)};
        if (reg)
                b = (struct bl_bind){.kind = BL_BIND_PATH,
                                     .expires_at = h->env->now + BL_SEC((bl_us)expires_s + HOP_PATH_GRACE_S)};
        learn_value(h, f, &na, &b);
}

void bl_hop_learn_end(struct bl_hops *h, const struct bl_msg *req, const struct bl_msg *response)
{
        unsigned s = response->status;
        bool ok = s >= 200 && s <= 299;
        if (!req->to_tag.n || req->method == BL_M_CANCEL) /* not inside a dialog */
                return;
        bool over = s == 481 || s == 408 || (ok && req->method == BL_M_BYE);
        if (ok && req->method == BL_M_NOTIFY) { /* RFC 6665 section 4.1.3 */
                struct bl_str state = bl_msg_value(req, BL_H_SUBSCRIPTION_STATE), rest;
                bl_str_cut(state, ';', &state, &rest);
                over = bl_str_ieq(bl_str_trim(state), BL_STR("terminated"));
        }
        if (over)
                bl_sticky_end_dialog(h->sticky, bl_hop_dialog(h, req->call_id));
}
