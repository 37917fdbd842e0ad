/*
 * Record-Route at an edge (protocol.md section 4.3): `<P;d=DIALOG>`, one value for both sides where both are belay,
 * which find the flow by P whatever its transport. A neighbour that is not belay goes where the URI says (RFC 3263), so
 * he is told the transport of his side; and when that is not what the other side is to read, there are two values (RFC
 * 5658), each facing its side:
 *
 *     UA ──udp── edge ──tcp── home        UA reads      <P;d;transport=udp>     (when it is a plain one)
 *                                         home reads    <P;d;transport=tcp>     (a plain one), or <P;d>
 *
 * The home's is never the UA's: its stickiness table and its resolver would take the UA's transport for the way to us.
 * Both come back on top of Route, from either side, and are popped together.
 */
#include "edge/internal.h"

struct passage *edge_passage(struct bl_px *px)
{
        if (!*bl_px_data(px)) {
                struct passage *a = bl_px_alloc(px, sizeof *a);
                if (a)
                        *a = (struct passage){0};
                *bl_px_data(px) = a;
        }
        return *bl_px_data(px);
}

void edge_put_hint(const struct bl_edge *e, bool star, struct bl_sb *b)
{
        if (!star)
                return;
        bl_sb_addz(b, ";n=");
        bl_sb_add(b, e->node->c.node);
}

/* Of the core side, for a request from there. A fellow that passed it on put its Via above the one that says. */
static void look_at_core(const struct bl_edge *e, const struct bl_msg *m, const struct bl_flow *f, struct passage *a)
{
        struct bl_via below;
        a->core_plain = !m->via.sticky;
        if (!edge_flow_is_member(e, f) || bl_msg_via(m, 1, &below) < 0)
                return;
        a->core_plain = !below.sticky;
        (void)bl_tp_from(below.transport, &a->near);
}

struct bl_str edge_record_route(struct bl_edge *e, struct bl_px *px, struct bl_flow *f, struct bl_str uri,
                                struct bl_str user_part, bool star, bool from_ua, bool core_plain)
{
        const struct bl_str none = {NULL, 0};
        const struct bl_msg *m = bl_px_msg(px);
        if (m->to_tag.n || !bl_method_forms_dialog(m->method))
                return none;
        struct passage *a = edge_passage(px);
        size_t cap = uri.n + e->node->c.node.n + BL_TOKEN_DIALOG + 16;
        char *mem = a ? bl_px_alloc(px, cap) : NULL;
        struct bl_sb b = {mem, 0, mem ? cap : 0, false};
        bl_sb_addc(&b, '<');
        bl_sb_add(&b, uri);
        edge_put_hint(e, star, &b);
        bl_sb_addz(&b, ";d=");
        bl_token_dialog(e->node->c.keys, user_part, m->call_id, &b);
        bl_sb_addc(&b, '>');
        if (b.over)
                return none;
        a->records = true;
        a->near = f->tp;
        a->from_ua = from_ua;
        a->ua_plain = star;
        a->core_plain = core_plain;
        if (!from_ua)
                look_at_core(e, m, f, a);
        return bl_sb_str(&b);
}

/* The transport to name to a neighbour; BL_TP_COUNT: none. A WebSocket client has the connection it opened. */
static enum bl_tp named(bool plain, enum bl_tp tp)
{
        return !plain || tp == BL_WS || tp == BL_WSS ? BL_TP_COUNT : tp;
}

void edge_record_route_try(void *role, struct bl_px *px, const struct bl_px_target *g, const struct bl_try *t,
                           struct bl_sb *out)
{
        const struct passage *a = bl_px_msg(px)->method == BL_M_REGISTER ? NULL : *bl_px_data(px);
        (void)role;
        if (!a || !a->records)
                return;
        enum bl_tp ua = a->from_ua ? a->near : t->tp, core = a->from_ua ? t->tp : a->near;
        enum bl_tp for_ua = named(a->ua_plain, ua), for_core = named(a->core_plain, core);
        if (a->core_plain && ua == core)
                for_core = for_ua;
        if (for_ua == for_core) {
                bl_px_put_record_route(g->record_route, for_ua, out);
                return;
        }
        bl_px_put_record_route(g->record_route, a->from_ua ? for_core : for_ua, out);
        bl_sb_addz(out, ", ");
        bl_px_put_record_route(g->record_route, a->from_ua ? for_ua : for_core, out);
}

void edge_service_route(struct bl_edge *e, const struct bl_flow *f, const struct bl_msg *m, struct bl_str user_part,
                        struct bl_edits *ed)
{
        struct bl_values it = {0};
        if (f->tp == BL_WS || f->tp == BL_WSS)
                return;
        while (bl_msg_values(m, BL_H_SERVICE_ROUTE, &it)) {
                struct bl_nameaddr na;
                if (bl_nameaddr_parse(it.value, &na) < 0 || !na.angle || !edge_host_is_cluster(e, na.uri.host) ||
                    !bl_str_eq(na.uri.user, user_part) || bl_uri_param(&na.uri, BL_STR("transport"), NULL))
                        continue;
                bl_edit_replace_value(ed, BL_H_SERVICE_ROUTE, it.index,
                                      BL_CAT(ed->arena, BL_STR("<"), na.uri.all, BL_STR(";transport="),
                                             bl_tp_param(f->tp), BL_STR(">")));
                return;
        }
}

bool edge_pop_second(struct bl_edge *e, struct bl_px *px, struct p_uri *p)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_nameaddr na;
        struct bl_str d;
        if (bl_msg_nameaddr(m, BL_H_ROUTE, (int)p->pop, &na) < 0 || !edge_host_is_cluster(e, na.uri.host) ||
            !bl_str_eq(na.uri.user, p->na.uri.user))
                return true;
        if (!bl_uri_param(&na.uri, BL_STR("d"), &d) ||
            !bl_token_dialog_ok(e->node->c.keys, na.uri.user, m->call_id, d)) {
                bl_px_refuse(px, 403, "bad_d", (struct bl_str){NULL, 0}, (struct bl_str){NULL, 0});
                return false;
        }
        p->pop++;
        return true;
}
