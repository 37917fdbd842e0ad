/*
 * A response whose connection has gone (RFC 3261 section 18.2.2). The section opens a new one to what the Via says;
 * that would send answers wherever a request names. Here the Via counts only where the request came by a flow that was
 * known to be what it names: its domain, or its own address. Then another flow of that domain takes its place, so that
 * a home's answer to a call whose edge died goes to another edge of the cluster; and where there is none, one is opened
 * to what RFC 3263 section 5 gives for the sent-by. An edge knows by itself where a response belongs.
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

/* ---- by a flow that is to be opened ---- */

struct away { /* no transaction: copies of the request come by the new flow, and find the response kept */
        struct bl_link link;
        struct bl_proxy *p;
        struct bl_buf *response;
        struct bl_send *send;
};

static void away_free(struct away *a)
{
        struct bl_pool *pool = a->p->env->pool;
        bl_list_remove(&a->link);
        a->p->n_away--;
        bl_buf_unref(pool, a->response);
        bl_pool_give(pool, a, sizeof(*a));
}

static int away_render(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret_buf)
{
        struct away *a = ctx;
        (void)s, (void)t;
        *ret_buf = bl_buf_ref(a->response);
        return 0;
}

static void away_over(void *ctx, struct bl_send *s, unsigned status, const char *reason)
{
        struct away *a = ctx;
        (void)s, (void)reason;
        if (status == 0)
                bl_count(a->p->moved);
}

static void away_ended(void *ctx, struct bl_send *s)
{
        (void)s;
        away_free(ctx);
}

void proxy_away_drop(struct bl_proxy *p)
{
        BL_LIST_EACH_SAFE(l, &p->away)
        {
                struct away *a = BL_CONTAINER(l, struct away, link);
                bl_send_free(a->send);
                away_free(a);
        }
}

/* RFC 3263 section 5: sent-by with a port is looked up as an address, without one by SRV of the Via's transport. */
static bool sent_by_uri(const struct bl_via *v, char *buf, size_t cap, struct bl_uri *ret_uri)
{
        struct bl_sb b = {buf, 0, cap, false};
        enum bl_tp tp;
        if (bl_tp_from(v->transport, &tp) < 0)
                return false;
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, v->host);
        if (v->port) {
                bl_sb_addc(&b, ':');
                bl_sb_addu(&b, v->port);
        }
        bl_sb_addz(&b, ";transport=");
        bl_sb_add(&b, bl_tp_name(tp));
        return !b.over && bl_uri_parse(bl_sb_str(&b), ret_uri) == 0;
}

static void open_another(struct bl_px *px, struct bl_buf *b)
{
        static const struct bl_send_user user = {.render = away_render, .failed = away_over, .ended = away_ended};
        struct bl_proxy *p = px->p;
        const struct bl_msg *m = px->msg;
        struct bl_str last = bl_server_last(px->server);
        struct bl_send_want w = {
                .method = m->method, .method_name = m->method_name, .call_id = m->call_id, .flags = BL_SEND_ONE_ROUND};
        char text[320];
        if (p->n_away >= PX_AWAY || (!b && !last.n) || !sent_by_uri(&m->via, text, sizeof(text), &w.u))
                return;
        struct away *a = bl_pool_zalloc(p->env->pool, sizeof(*a));
        if (!a)
                return;
        a->p = p;
        a->response = b ? bl_buf_ref(b) : bl_buf_copy(p->env->pool, last);
        bl_list_push_back(&p->away, &a->link);
        p->n_away++;
        if (!a->response || bl_send_once(p->hops, &w, &user, a, &a->send) < 0)
                away_free(a);
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
        if (px->via_linked && !p->role->upstream && status > 100) /* a 100 has told nothing that is missed */
                open_another(px, b);
}

void px_reply_upstream(struct bl_px *px, const struct bl_response *r)
{
        if (bl_server_reply(px->server, px->msg, r) == BL_EGONE)
                find_another(px, r->status, NULL); /* the transaction keeps it */
}

void px_send_upstream(struct bl_px *px, unsigned status, struct bl_buf *b)
{
        if (respond(px, status, b) == BL_EGONE)
                find_another(px, status, b);
}
