/* Answers that leave no transaction behind: to what does not parse, and what its user answers statelessly. */
#include "txn/internal.h"

/* The same for each copy of a request (RFC 3261 8.2.7) and for an INVITE and its CANCEL (9.2), and not to be guessed.
 */
static struct bl_str derived_tag(struct bl_txns *t, const struct bl_msg *req)
{
        enum bl_method as = req->method == BL_M_CANCEL ? BL_M_INVITE : req->method;
        struct bl_txn_key key = req == t->current ? t->current_key : bl_match_server(t->seed, req, as);
        uint64_t h = bl_hash(t->seed ^ 0x746167u, bl_str_make((const char *)&key, sizeof(key)));
        char *text = bl_arena_alloc(bl_flows_arena(t->flows), 16);
        if (!text)
                return BL_STR("0"); /* better a poor tag than no answer */
        struct bl_sb b = {text, 0, 16, false};
        bl_sb_hex(&b, &h, sizeof(h));
        return bl_sb_str(&b);
}

void bl_reply_fill(struct bl_txns *t, const struct bl_flow *f, const struct bl_msg *req, struct bl_response *r)
{
        if (f && r->source.family == 0) /* RFC 3261 18.2.1, RFC 3581 4 */
                r->source = f->remote;
        if (r->status > 100 && r->to_tag.n == 0 && req->to_tag.n == 0) /* RFC 3261 8.2.6.2 */
                r->to_tag = derived_tag(t, req);
}

static int send_reply(struct bl_txns *t, bl_flow_id flow, const struct bl_msg *req, const struct bl_response *r)
{
        struct bl_buf *b;
        int rc = bl_write_response(t->env->pool, req, r, &b);
        if (rc < 0) {
                bl_count(t->count.no_memory);
                return rc;
        }
        rc = bl_flow_send(t->flows, flow, b);
        bl_buf_unref(t->env->pool, b);
        if (rc < 0)
                bl_count(t->count.unsent);
        return rc;
}

int bl_reply_on(struct bl_txns *t, bl_flow_id flow, const struct bl_msg *req, unsigned status)
{
        struct bl_response r = {.status = status};
        bl_reply_fill(t, bl_flow_get(t->flows, flow), req, &r);
        return send_reply(t, flow, req, &r);
}

int bl_txn_reply(struct bl_txns *t, struct bl_flow *f, const struct bl_msg *req, const struct bl_response *r)
{
        if (req->method == BL_M_ACK) /* RFC 3261 17.2.1: never answered */
                return BL_EINVAL;
        struct bl_response filled = *r;
        bl_reply_fill(t, f, req, &filled);
        return send_reply(t, f->id, req, &filled);
}

static struct bl_counter *garbage_counter(const struct bl_txns *t, unsigned status)
{
        switch (status) {
        case 0:
                return t->count.garbage_silent;
        case 400:
                return t->count.garbage_400;
        case 505:
                return t->count.garbage_505;
        case 513:
                return t->count.garbage_513;
        default:
                return t->count.garbage_other;
        }
}

void bl_reply_garbage(struct bl_txns *t, struct bl_flow *f, const struct bl_parse_error *err)
{
        const struct bl_msg *m = err->partial;
        const char *text = err->text ? err->text : "Bad message";
        bl_count(garbage_counter(t, err->status));
        if (bl_log_allow(t->env->log, "garbage", text))
                bl_log_ev(t->env->log, BL_LOG_WARN, "garbage", BL_KI("flow", f->id), BL_KI("status", err->status),
                          BL_KI("offset", err->offset), BL_KS("callid", m ? m->call_id : (struct bl_str){0}),
                          BL_KZ("reason", text));
        if (!err->status || !m || !m->is_request)
                return;
        struct bl_response r = {.status = err->status, .reason = bl_str_z(text)};
        (void)bl_txn_reply(t, f, m, &r);
}
