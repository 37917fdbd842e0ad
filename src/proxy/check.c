/* A request that matches no transaction: validation (RFC 3261 section 16.3) and preprocessing of the route (16.4). */
#include "proxy/internal.h"

static struct bl_str none(void)
{
        return (struct bl_str){NULL, 0};
}

/* --- who we are --- */

static bool listener_is(const struct bl_listener_info *l, struct bl_str host, const struct bl_addr *addr)
{
        if (l->advertise.n && bl_host_eq(l->advertise, host))
                return true;
        return addr->family && bl_addr_eq_ip(&l->local, addr);
}

bool proxy_is_us(const struct bl_proxy *p, struct bl_str host, bool *ret_listener)
{
        const struct bl_proxy_conf *c = p->conf;
        struct bl_addr addr = {0};
        if (bl_addr_parse(host, &addr) < 0)
                addr.family = 0;
        for (unsigned i = 0; i < c->flow.n_listeners; i++) {
                if (listener_is(&c->flow.listeners[i], host, &addr)) {
                        *ret_listener = true;
                        return true;
                }
        }
        *ret_listener = false;
        for (unsigned i = 0; i < c->hop.n_own; i++) {
                if (bl_host_eq(c->hop.own[i], host))
                        return true;
        }
        return c->sent_by_host.n && bl_host_eq(c->sent_by_host, host);
}

/* --- 16.3: each check answers by itself and says whether to go on. Syntax and scheme (steps 1 and 2) were seen to by
 * sip/ and txn/ --- */

static bool hops_left(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m)
{
        if (m->max_forwards != 0)
                return true;
        /* 16.3 step 3: as the last element we may answer ourselves; bl_px_go forwards neither. */
        if (m->method == BL_M_OPTIONS || m->method == BL_M_REGISTER)
                return true;
        proxy_refuse(p, f, m, 483, "max_forwards", none(), none());
        return false;
}

static bool no_loop(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m)
{
        if (!p->conf->loop_check || !proxy_loops(p, m))
                return true;
        proxy_refuse(p, f, m, 482, "loop", none(), none()); /* 16.3 step 4 */
        return false;
}

static bool breadth_ok(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m)
{
        uint32_t breadth;
        if (m->method == BL_M_ACK)
                return true;
        if (proxy_breadth(p, m, &breadth) < 0) {
                proxy_refuse(p, f, m, 400, "bad_max_breadth", BL_STR("Max-Breadth is not a number"), none());
                return false;
        }
        if (breadth)
                return true;
        proxy_refuse(p, f, m, 440, "max_breadth", BL_STR("Max-Breadth Exceeded"), none());
        return false;
}

static bool understood(struct bl_str tag)
{
        return bl_str_ieq(tag, BL_STR("path")) || bl_str_ieq(tag, BL_STR("outbound")) ||
               bl_str_ieq(tag, BL_STR("sticky")) || bl_str_ieq(tag, BL_STR("alt-proxies"));
}

/* Every option tag that we do not know goes into Unsupported (8.2.2.3, 16.3 step 5). True: there is one. */
static bool unsupported(const struct bl_msg *m, enum bl_hid header, struct bl_sb *line)
{
        unsigned n = 0;
        struct bl_values it = {0};
        line->cap -= 2;
        while (bl_msg_values(m, header, &it)) {
                if (!it.value.n || understood(it.value))
                        continue;
                size_t before = line->n;
                bl_sb_addz(line, n++ ? ", " : "Unsupported: ");
                bl_sb_add(line, it.value);
                if (line->over) { /* what fits is enough to make it come back without */
                        line->n = before;
                        break;
                }
        }
        line->cap += 2;
        line->over = false;
        if (line->n)
                bl_sb_addz(line, "\r\n");
        return n > 0;
}

static bool requirements_met(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m)
{
        char line[512];
        struct bl_sb b = BL_SB(line);
        if (!bl_msg_has(m, BL_H_PROXY_REQUIRE) || m->method == BL_M_ACK || !unsupported(m, BL_H_PROXY_REQUIRE, &b))
                return true;
        proxy_refuse(p, f, m, 420, "proxy_require", none(), bl_sb_str(&b));
        return false;
}

bool bl_px_require_ok(struct bl_px *px)
{
        char line[512];
        struct bl_sb b = BL_SB(line);
        if (!bl_msg_has(px->msg, BL_H_REQUIRE) || !unsupported(px->msg, BL_H_REQUIRE, &b))
                return true;
        bl_px_refuse(px, 420, "unknown_require", none(), bl_sb_str(&b));
        return false;
}

/* --- 16.4 --- */

static uint16_t default_port(enum bl_tp tp)
{
        return bl_tp_is_secure(tp) ? 5061 : 5060;
}

/* Is the maddr ours, and did the request come by the port and transport that the URI names? */
static bool names_this_listener(const struct bl_proxy *p, const struct bl_flow *f, const struct bl_uri *u,
                                struct bl_str maddr)
{
        bool listener;
        if (!proxy_is_us(p, maddr, &listener))
                return false;
        enum bl_tp tp = u->scheme == BL_SCHEME_SIPS ? BL_TLS : BL_UDP;
        struct bl_str text;
        if (bl_uri_param(u, BL_STR("transport"), &text) && bl_tp_from(text, &tp) < 0)
                return false;
        return tp == f->tp && (u->port ? u->port : default_port(tp)) == f->local.port;
}

static struct bl_str without_maddr(struct bl_arena *a, const struct bl_uri *u)
{
        struct bl_sb b = {bl_arena_alloc(a, u->all.n), 0, u->all.n, false};
        if (!b.p)
                return none();
        bl_sb_add(&b, bl_str_make(u->all.p, (size_t)(u->host.p + u->host.n - u->all.p)));
        struct bl_str params = u->params;
        struct bl_param param;
        while (bl_params_next(&params, &param)) {
                if (!bl_str_ieq(param.name, BL_STR("maddr")) && !bl_str_ieq(param.name, BL_STR("transport")))
                        bl_sb_add(&b, param.all);
        }
        bl_sb_add(&b, u->headers);
        return bl_sb_str(&b);
}

static bool may_have_maddr(struct bl_str uri)
{
        for (size_t i = 0; i + 1 < uri.n; i++) {
                if (uri.p[i] == ';' && bl_lower(uri.p[i + 1]) == 'm')
                        return true;
        }
        return false;
}

/* A Request-URI whose maddr names us loses it, and the port and transport that go with it (16.4, third paragraph).
 * One with ;lr is a value of ours that a strict router put there: it is kept whole for the role to judge. */
static int strip_maddr(struct bl_px *px, const struct bl_flow *f)
{
        const struct bl_msg *m = px->msg;
        const struct bl_uri *u = &m->uri;
        struct bl_str maddr;
        if (!may_have_maddr(u->params))
                return 0; /* nearly always */
        if (u->scheme > BL_SCHEME_SIPS || bl_uri_is_lr(u) || !bl_uri_param(u, BL_STR("maddr"), &maddr) ||
            !names_this_listener(px->p, f, u, maddr))
                return 0;
        struct bl_arena *a = proxy_arena(px->p);
        struct bl_edits e;
        bl_edits_init(&e, m, a);
        bl_edit_ruri(&e, without_maddr(a, u));
        int rc = px_rewrite(px, &e);
        proxy_arena_done(px->p);
        return rc;
}

int bl_px_recover_strict(struct bl_px *px)
{
        const struct bl_msg *m = px->msg;
        struct bl_nameaddr last;
        unsigned n = bl_msg_count(m, BL_H_ROUTE);
        if (!n)
                return BL_ENOENT;
        if (bl_msg_nameaddr(m, BL_H_ROUTE, -1, &last) < 0 || !last.angle)
                return BL_EMALFORMED;
        struct bl_arena *a = proxy_arena(px->p);
        struct bl_edits e;
        bl_edits_init(&e, m, a);
        bl_edit_ruri(&e, last.uri.all);
        bl_edit_remove_value(&e, BL_H_ROUTE, n - 1);
        int rc = px_rewrite(px, &e);
        proxy_arena_done(px->p);
        return rc;
}

/* --- the way in --- */

static void to_role(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m)
{
        struct bl_px *px = px_new(p, f, m);
        if (!px) {
                char text[32];
                proxy_refuse(p, f, m, 503, "overload", none(), proxy_retry_after(p, text, sizeof(text)));
                return;
        }
        px_enter(px);
        if (strip_maddr(px, f) < 0)
                px_overloaded(px, "overload");
        else
                p->role->request(p->role_ctx, px);
        if (px->state == PX_DECIDING) /* a role that forgot to decide must not leave the far end waiting */
                px_answer_local(px, 500, "undecided", none(), none());
        px_leave(px);
}

void proxy_on_request(void *ctx, struct bl_flow *f, struct bl_msg *m)
{
        struct bl_proxy *p = ctx;
        if (p->closing)
                return;
        if (m->method == BL_M_CANCEL) { /* those that match an INVITE ended in txn/ (section 16.10) */
                proxy_refuse(p, f, m, 481, "cancel_of_nothing", none(), none());
                return;
        }
        if (m->method == BL_M_ACK && proxy_is_own_tag(p, m))
                return; /* it acknowledges what we answered without a transaction */
        if (hops_left(p, f, m) && no_loop(p, f, m) && breadth_ok(p, f, m) && requirements_met(p, f, m))
                to_role(p, f, m);
}
