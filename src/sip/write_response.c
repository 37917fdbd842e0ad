#include "sip/put.h"
#include "sip/write.h"

static void put_hdr(struct bl_put *w, const struct bl_msg *m, const struct bl_hdr *h)
{
        if (h)
                bl_put_hdr(w, m, h);
}

static size_t hdr_bound(const struct bl_hdr *h)
{
        return h ? (size_t)h->name_len + h->value_len + BL_PUT_LINE : 0;
}

static size_t chain_bound(const struct bl_msg *m, enum bl_hid id)
{
        size_t n = 0;

        for (const struct bl_hdr *h = bl_msg_first(m, id); h; h = bl_msg_next(m, h))
                n += hdr_bound(h);
        return n;
}

/* The first Via line, its topmost value with received and rport. */
static void put_top_via(struct bl_put *w, const struct bl_msg *m, const struct bl_hdr *h, const struct bl_addr *source)
{
        struct bl_str value = bl_hdr_value(m, h), rest;
        struct bl_sb top;

        bl_put(w, bl_hdr_name(m, h));
        bl_put(w, BL_STR(": "));
        top = (struct bl_sb){w->p, 0, (size_t)(w->end - w->p), false};
        bl_via_put_source(&top, &m->via, source);
        w->over |= top.over;
        w->p += top.n;
        rest = bl_str_from(value, (size_t)(m->via.all.p + m->via.all.n - value.p));
        bl_put(w, rest);
        bl_put(w, BL_STR("\r\n"));
}

static void put_vias(struct bl_put *w, const struct bl_msg *req, const struct bl_addr *source)
{
        const struct bl_hdr *h = bl_msg_first(req, BL_H_VIA);

        if (h && source->family && req->via.host.n) {
                put_top_via(w, req, h, source);
                h = bl_msg_next(req, h);
        }
        for (; h; h = bl_msg_next(req, h))
                put_hdr(w, req, h);
}

/* RFC 3261 8.2.6.2: a tag in every response but 100. */
static void put_to(struct bl_put *w, const struct bl_msg *req, const struct bl_response *r)
{
        const struct bl_hdr *h = bl_msg_first(req, BL_H_TO);

        if (!h || req->to_tag.n || r->status == 100 || !r->to_tag.n) {
                put_hdr(w, req, h);
                return;
        }
        w->unsafe |= !bl_line_safe(r->to_tag);
        bl_put(w, bl_hdr_name(req, h));
        bl_put(w, BL_STR(": "));
        bl_put(w, bl_hdr_value(req, h));
        bl_put(w, BL_STR(";tag="));
        bl_put(w, r->to_tag);
        bl_put(w, BL_STR("\r\n"));
}

static void put_head(struct bl_put *w, const struct bl_msg *req, const struct bl_response *r)
{
        struct bl_str reason = r->reason.n ? r->reason : bl_status_phrase(r->status);

        w->unsafe |= !bl_line_safe(reason);
        bl_put(w, BL_STR("SIP/2.0 "));
        bl_put_u32(w, r->status);
        bl_put(w, BL_STR(" "));
        bl_put(w, reason);
        bl_put(w, BL_STR("\r\n"));
        put_vias(w, req, &r->source);
        /* RFC 3261 12.1.1 */
        if (r->record_route && r->status > 100 && r->status < 300 && bl_method_forms_dialog(req->method))
                for (const struct bl_hdr *h = bl_msg_first(req, BL_H_RECORD_ROUTE); h; h = bl_msg_next(req, h))
                        put_hdr(w, req, h);
        put_hdr(w, req, bl_msg_first(req, BL_H_FROM));
        put_to(w, req, r);
        put_hdr(w, req, bl_msg_first(req, BL_H_CALL_ID));
        put_hdr(w, req, bl_msg_first(req, BL_H_CSEQ));
        if (r->status == 100) /* 8.2.6.1 */
                put_hdr(w, req, bl_msg_first(req, BL_H_TIMESTAMP));
}

static size_t bound(const struct bl_msg *req, const struct bl_response *r)
{
        size_t n = 64 + (r->reason.n ? r->reason.n : 64) + BL_VIA_SOURCE_MAX + r->to_tag.n + 16 + r->extra.n +
                   r->content_type.n + 32 + BL_PUT_LENGTH + r->body.n;

        return n + chain_bound(req, BL_H_VIA) + chain_bound(req, BL_H_RECORD_ROUTE) +
               hdr_bound(bl_msg_first(req, BL_H_FROM)) + hdr_bound(bl_msg_first(req, BL_H_TO)) +
               hdr_bound(bl_msg_first(req, BL_H_CALL_ID)) + hdr_bound(bl_msg_first(req, BL_H_CSEQ)) +
               hdr_bound(bl_msg_first(req, BL_H_TIMESTAMP));
}

int bl_write_response(struct bl_pool *pool, const struct bl_msg *req, const struct bl_response *r,
                      struct bl_buf **ret_buf)
{
        struct bl_put w;
        int rc = bl_put_begin(&w, pool, bound(req, r));

        if (rc < 0)
                return rc;
        put_head(&w, req, r);
        bl_put(&w, r->extra);
        if (r->body.n && r->content_type.n)
                bl_put_line(&w, BL_STR("Content-Type"), r->content_type);
        bl_put_length(&w, r->body.n);
        bl_put(&w, BL_STR("\r\n"));
        bl_put(&w, r->body);
        return bl_put_end(&w, ret_buf);
}

static void put_hop_headers(struct bl_put *w, const struct bl_msg *m, enum bl_method method, struct bl_str to)
{
        bl_put_line(w, BL_STR("Via"), m->via.all); /* only the topmost: 17.1.1.3, 9.1 */
        bl_put(w, BL_STR("Max-Forwards: 70\r\n"));
        for (const struct bl_hdr *h = bl_msg_first(m, BL_H_ROUTE); h; h = bl_msg_next(m, h))
                put_hdr(w, m, h);
        put_hdr(w, m, bl_msg_first(m, BL_H_FROM));
        if (to.n)
                bl_put_line(w, BL_STR("To"), to);
        else
                put_hdr(w, m, bl_msg_first(m, BL_H_TO));
        put_hdr(w, m, bl_msg_first(m, BL_H_CALL_ID));
        bl_put(w, BL_STR("CSeq: "));
        bl_put_u32(w, m->cseq.number);
        bl_put(w, BL_STR(" "));
        bl_put(w, bl_method_name(method));
        bl_put(w, BL_STR("\r\n"));
}

int bl_write_hop(struct bl_pool *pool, const struct bl_msg *sent_request, enum bl_method method, struct bl_str to,
                 struct bl_buf **ret_buf)
{
        const struct bl_msg *m = sent_request;
        size_t cap = 160 + m->ruri.n + m->via.all.n + to.n + chain_bound(m, BL_H_ROUTE) +
                     hdr_bound(bl_msg_first(m, BL_H_FROM)) + hdr_bound(bl_msg_first(m, BL_H_TO)) +
                     hdr_bound(bl_msg_first(m, BL_H_CALL_ID)) + BL_PUT_LENGTH;
        struct bl_put w;
        int rc = bl_put_begin(&w, pool, cap);

        if (rc < 0)
                return rc;
        bl_put(&w, bl_method_name(method));
        bl_put(&w, BL_STR(" "));
        bl_put(&w, m->ruri);
        bl_put(&w, BL_STR(" SIP/2.0\r\n"));
        put_hop_headers(&w, m, method, to);
        bl_put_length(&w, 0);
        bl_put(&w, BL_STR("\r\n"));
        return bl_put_end(&w, ret_buf);
}
