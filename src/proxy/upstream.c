/*
 * A response whose connection has gone (RFC 3261 section 18.2.2). The section opens a new one to what the Via says;
 * that would send answers wherever a request names. Here only a flow that is known to be the same domain takes its
 * place: a home's answer to a call whose edge died goes to another edge of the cluster that the Via names; an edge
 * knows by itself where it belongs.
 */
#include "base/hash.h"
#include "proxy/internal.h"

static int respond(struct bl_px *px, unsigned status, struct bl_buf *b)
{
        return bl_server_respond(px->server, status, b);
}

static bool move_to(struct bl_px *px, bl_flow_id flow, unsigned status, struct bl_buf *b)
{
        if (flow == bl_server_flow(px->server))
                return false;
        int rc = bl_server_move(px->server, flow);
        /* A 2xx to INVITE is not kept by the transaction, so that the move alone sent nothing. */
        if (rc == 0 && b && px->msg->method == BL_M_INVITE && status >= 200 && status < 300)
                rc = respond(px, status, b);
        return rc == 0;
}

static unsigned by_via(struct bl_px *px, struct bl_sticky_found ret[BL_STICKY_MAX])
{
        struct bl_proxy *p = px->p;
        char text[300];
        struct bl_sb s = BL_SB(text);
        struct bl_sticky_query q = {
                .worker = p->env->worker, .spread = bl_hash(p->env->hash_seed, px->msg->call_id), .max_rank = 3};
        bl_sb_addz(&s, "sip:");
        bl_sb_add(&s, px->msg->via.host);
        if (!px->via_linked || !p->conf->sticky || s.over || bl_uri_parse(bl_sb_str(&s), &q.uri) < 0)
                return 0;
        return bl_sticky_find(p->conf->sticky, &q, p->env->now, ret);
}

static void find_another(struct bl_px *px, unsigned status, struct bl_buf *b)
{
        struct bl_proxy *p = px->p;
        struct bl_sticky_found found[BL_STICKY_MAX];
        unsigned n = by_via(px, found);
        if (n == 0 && p->role->upstream)
                n = p->role->upstream(p->role_ctx, px, found);
        for (unsigned i = 0; i < n; i++) {
                if (move_to(px, found[i].flow, status, b)) {
                        bl_count(p->moved);
                        return;
                }
        }
}

void px_reply_upstream(struct bl_px *px, const struct bl_response *r)
{
        if (bl_server_reply(px->server, px->msg, r) == BL_EGONE)
                find_another(px, r->status, NULL);
}

void px_send_upstream(struct bl_px *px, unsigned status, struct bl_buf *b)
{
        if (respond(px, status, b) == BL_EGONE)
                find_another(px, status, b);
}
