/* bl_write: one pass over the sorted edits, copying the runs between them. */
#include "sip/write.h"

#include "sip/edit_list.h"
#include "sip/put.h"

/* Enough for the message with its edits: what is dropped is counted as if it stayed. */
static size_t bound(const struct bl_msg *m, const struct bl_edits *e)
{
        size_t n = m->octets.n + BL_PUT_LENGTH;

        n += e->_ruri.n + e->_reason.n + e->_body.n;
        for (const struct bl_edit *d = e->_head; d; d = d->next)
                n += d->name.n + d->value.n + BL_PUT_LINE + (d->kind >= BL_EDIT_REMOVE ? m->h[d->hdr].line_len : 0);
        return n;
}

static void put_start_line(struct bl_put *w, const struct bl_msg *m, const struct bl_edits *e)
{
        if (m->is_request && e->_has_ruri) {
                w->unsafe |= e->_ruri.n == 0 || !bl_line_safe(e->_ruri) || memchr(e->_ruri.p, ' ', e->_ruri.n);
                bl_put(w, m->method_name);
                bl_put(w, BL_STR(" "));
                bl_put(w, e->_ruri);
                bl_put(w, BL_STR(" SIP/2.0\r\n"));
        } else if (!m->is_request && e->_status) {
                w->unsafe |= !bl_line_safe(e->_reason);
                bl_put(w, BL_STR("SIP/2.0 "));
                bl_put_u32(w, e->_status);
                bl_put(w, BL_STR(" "));
                bl_put(w, e->_reason);
                bl_put(w, BL_STR("\r\n"));
        } else {
                bl_put(w, bl_str_make(m->octets.p, m->headers_off));
        }
}

/* Mostly the line holds one element, which is then the one that the edit names. */
static bool is_single(const struct bl_msg *m, const struct bl_edit *d)
{
        struct bl_str v = bl_hdr_value(m, &m->h[d->hdr]);

        return (!d->next || d->next->at != d->at) && v.n && !memchr(v.p, ',', v.n);
}

static const struct bl_edit *put_single(struct bl_put *w, const struct bl_msg *m, const struct bl_edit *d)
{
        const struct bl_hdr *h = &m->h[d->hdr];

        if (d->kind == BL_EDIT_REPLACE) {
                w->unsafe |= !bl_line_safe(d->value);
                bl_put(w, bl_str_make(m->octets.p + h->name, h->value - h->name));
                bl_put(w, d->value);
                bl_put(w, BL_STR("\r\n"));
        }
        return d->next;
}

/* The line with some of its elements removed or replaced; nothing when none stays. Returns the edit behind the last
 * used. */
static const struct bl_edit *put_changed_line(struct bl_put *w, const struct bl_msg *m, const struct bl_edit *d)
{
        const struct bl_hdr *h = &m->h[d->hdr];
        const struct bl_edit *first = d, *stop = d;
        struct bl_values it = {0};
        bool any = false;

        if (is_single(m, d))
                return put_single(w, m, d);
        while (stop && stop->at == first->at)
                stop = stop->next;
        while (bl_msg_values(m, (enum bl_hid)h->id, &it)) {
                const struct bl_edit *own = first;
                struct bl_str value = it.value;

                if (it.hdr != d->hdr)
                        continue;
                while (own != stop && own->index != it.index)
                        own = own->next;
                if (own != stop && own->kind == BL_EDIT_REMOVE)
                        continue;
                if (own != stop)
                        value = own->value;
                w->unsafe |= !bl_line_safe(value);
                bl_put(w, any ? BL_STR(", ") : bl_str_make(m->octets.p + h->name, h->value - h->name));
                bl_put(w, value);
                any = true;
        }
        if (any)
                bl_put(w, BL_STR("\r\n"));
        return stop;
}

/* Headers with edits, up to but without the empty line. */
static void put_headers(struct bl_put *w, const struct bl_msg *m, const struct bl_edits *e)
{
        uint32_t pos = m->headers_off, end = m->body_off - 2;

        for (const struct bl_edit *d = e->_head; d;) {
                bl_put(w, bl_str_make(m->octets.p + pos, d->at - pos));
                pos = d->at;
                if (d->kind == BL_EDIT_INSERT) {
                        bl_put_line(w, d->name, d->value);
                        d = d->next;
                        continue;
                }
                pos += m->h[d->hdr].line_len;
                d = d->kind == BL_EDIT_DROP ? d->next : put_changed_line(w, m, d);
        }
        bl_put(w, bl_str_make(m->octets.p + pos, end - pos));
}

int bl_write(struct bl_pool *pool, const struct bl_msg *m, const struct bl_edits *edits, struct bl_buf **ret_buf)
{
        struct bl_edits none;
        const struct bl_edits *e = edits ? edits : &none;
        struct bl_put w;
        struct bl_str body;
        int rc;

        if (!edits)
                bl_edits_init(&none, m, NULL);
        body = e->_has_body ? e->_body : m->body;
        if (e->_failed)
                return BL_ENOMEM;
        rc = bl_put_begin(&w, pool, bound(m, e));
        if (rc < 0)
                return rc;
        put_start_line(&w, m, e);
        put_headers(&w, m, e);
        if (!e->_has_body && !bl_msg_has(m, BL_H_CONTENT_LENGTH))
                bl_put_length(&w, body.n); /* RFC 3261 20.14: streams need it */
        bl_put(&w, BL_STR("\r\n"));
        bl_put(&w, body);
        return bl_put_end(&w, ret_buf);
}
