/*
 * Forgetting, and the redirect that rebuilds (protocol.md section 3.4, D8.4). A home that restarted, or whose primary
 * edge died, sends P to an edge that has no flow for it. That edge knows from P alone who might, and says so: 305 to
 * upstreams that follow it, else it forwards by itself.
 */
#include "edge/internal.h"

enum { TARGETS = 2, ACK_COPIES = 3, TRY_ALL = 64 };

static bool follows_redirects(struct bl_edge *e, struct bl_px *px, const struct bl_flow *f)
{
        if (bl_px_msg(px)->via.sticky)
                return true;
        for (unsigned i = 0; i < e->node->c.n_redirect_ok; i++)
                if (bl_flow_linked(f, e->node->c.redirect_ok[i]))
                        return true;
        return false;
}

/* The received Route URI, with its `d`, one `;lr`, plus `;maddr=`. */
static void put_at(const struct p_uri *p, const struct bl_addr *a, struct bl_sb *b)
{
        static const struct bl_str drop[] = {{"maddr", 5}, {"lr", 2}};
        bl_sb_addc(b, '<');
        bl_uri_put_without(b, &p->na.uri, drop, BL_ARRAY_LEN(drop));
        bl_sb_addz(b, ";lr;maddr=");
        bl_addr_put_ip(b, a);
        bl_sb_addc(b, '>');
}

static unsigned others_alive(struct bl_edge *e, const struct p_uri *p, uint8_t family, struct bl_addr *ret,
                             unsigned max)
{
        unsigned order[TRY_ALL], n, out = 0;
        n = edge_set_order(e, &p->token, p->na.uri.user, false, order, max + 1 < TRY_ALL ? max + 1 : TRY_ALL);
        for (unsigned i = 0; i < n && out < max; i++)
                if (order[i] != e->node->self && edge_member_addr(e, order[i], family, &ret[out]))
                        out++;
        return out;
}

static void redirect(struct bl_edge *e, struct bl_px *px, const struct p_uri *p, const struct bl_addr *to, unsigned n)
{
        char text[TARGETS * (BL_TOKEN_MAX + 128)];
        struct bl_sb b = BL_SB(text);
        for (unsigned i = 0; i < n; i++) {
                bl_sb_addz(&b, "Contact: ");
                put_at(p, &to[i], &b);
                bl_sb_fmt(&b, ";q=0.%u\r\n", 9 - i);
        }
        bl_count(e->redirected_total);
        bl_px_reply(px, &(struct bl_response){.status = 305, .extra = bl_sb_str(&b)}, false);
}

/* To an upstream that does not follow redirects, and for ACK: to the right edge by ourselves, without Record-Routing
 * (D11). */
/* An ACK has no answer that would say whether it arrived: to the first few at once; who has no flow drops it. */
static void forward_ack(struct bl_edge *e, struct bl_px *px, const struct p_uri *p, const struct bl_str *routes,
                        unsigned n)
{
        for (unsigned i = 0; i < n && i < ACK_COPIES; i++) {
                struct bl_px_target t = {.pop_routes = p->pop,
                                         .push_routes = routes[i],
                                         .ack_too = true,
                                         .send_flags = BL_SEND_USE_MADDR | BL_SEND_BELAY};
                if (bl_px_add(px, &t) < 0)
                        break;
        }
        bl_count(e->detour_total);
        bl_px_go(px);
}

static void forward(struct bl_edge *e, struct bl_px *px, const struct p_uri *p, const struct bl_addr *to, unsigned n)
{
        struct bl_str routes[TRY_ALL];
        for (unsigned i = 0; i < n; i++) {
                size_t cap = p->na.uri.all.n + BL_ADDR_TEXT + 16;
                char *mem = bl_px_alloc(px, cap);
                struct bl_sb b = {mem, 0, mem ? cap : 0, false};
                put_at(p, &to[i], &b);
                routes[i] = bl_sb_str(&b);
        }
        if (bl_px_msg(px)->method == BL_M_ACK) {
                forward_ack(e, px, p, routes, n);
                return;
        }
        struct bl_px_target t = {.pop_routes = p->pop,
                                 .push_routes = routes[0],
                                 .alt_routes = routes + 1,
                                 .n_alt = n - 1,
                                 .send_flags = BL_SEND_USE_MADDR | BL_SEND_BELAY | BL_SEND_NO_REDIRECT};
        bl_count(e->detour_total);
        if (bl_px_add(px, &t) < 0)
                bl_px_refuse(px, 503, "no_memory", (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0});
        else
                bl_px_go(px);
}

void edge_rebuild(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, const struct p_uri *p)
{
        const struct bl_msg *m = bl_px_msg(px);
        const struct bl_str none = {NULL, 0};
        struct bl_addr to[TRY_ALL];
        /* Asked by maddr, or by a fellow edge: delivered or 430, never redirected again: no ping-pong. */
        if (edge_names_us(e, &p->na.uri) || edge_flow_is_member(e, f)) {
                bl_px_refuse(px, 430, "flow_gone", none, none);
                return;
        }
        bool redirects = m->method != BL_M_ACK && follows_redirects(e, px, f);
        unsigned n = others_alive(e, p, f->remote.family, to, redirects ? TARGETS : TRY_ALL - 1);
        if (n == 0) /* nobody is left: 430 to our domains, 480 to others */
                bl_px_refuse(px, redirects ? 430 : 480, "flow_gone", none, none);
        else if (redirects)
                redirect(e, px, p, to, n);
        else
                forward(e, px, p, to, n);
}
