#include "sip/put.h"

#include "sip/scan.h"

static bool folds_only(struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] == '\r' && s.n - i >= 3 && s.p[i + 1] == '\n' && bl_is_wsp(s.p[i + 2]))
                        i += 2; /* a fold of the original */
                else if (s.p[i] == '\r' || s.p[i] == '\n')
                        return false;
        }
        return true;
}

bool bl_line_safe(struct bl_str s)
{
        const char *p = s.p, *end = p + s.n;

#ifdef __SSE2__
        if (s.n > 16) {
                unsigned found = 0;
                bl_octets16 v;

                for (; end - p > 16; p += 16) {
                        memcpy(&v, p, 16);
                        found |= bl_mask16((bl_octets16)((v == bl_splat('\r')) | (v == bl_splat('\n'))));
                }
                memcpy(&v, end - 16, 16); /* the last ones, some of them once more */
                found |= bl_mask16((bl_octets16)((v == bl_splat('\r')) | (v == bl_splat('\n'))));
                return !found || folds_only(s);
        }
#endif
        for (; p < end; p++)
                if ((unsigned char)*p <= '\r' && (*p == '\r' || *p == '\n'))
                        return folds_only(s);
        return true;
}

void bl_put_line(struct bl_put *w, struct bl_str name, struct bl_str value)
{
        w->unsafe |= !bl_line_safe(value);
        bl_put(w, name);
        bl_put(w, BL_STR(": "));
        bl_put(w, value);
        bl_put(w, BL_STR("\r\n"));
}

void bl_put_hdr(struct bl_put *w, const struct bl_msg *m, const struct bl_hdr *h)
{
        if (h->value == h->name + h->name_len + 2 && h->line_len == h->name_len + h->value_len + BL_PUT_LINE &&
            m->octets.p[h->value - 1] == ' ')
                bl_put(w, bl_str_make(m->octets.p + h->name, h->line_len)); /* it is written so already */
        else
                bl_put_line(w, bl_hdr_name(m, h), bl_hdr_value(m, h));
}

void bl_put_u32(struct bl_put *w, uint32_t v)
{
        size_t n = 1;

        for (uint64_t limit = 10; v >= limit; limit *= 10)
                n++;
        if (n > (size_t)(w->end - w->p)) {
                w->over = true;
                return;
        }
        w->p += n;
        for (char *to = w->p; n--; v /= 10)
                *--to = (char)('0' + v % 10);
}

void bl_put_length(struct bl_put *w, size_t length)
{
        bl_put(w, BL_STR("Content-Length: "));
        bl_put_u32(w, (uint32_t)length);
        bl_put(w, BL_STR("\r\n"));
}

int bl_put_begin(struct bl_put *w, struct bl_pool *pool, size_t cap)
{
        struct bl_buf *buf = cap > 2 * (size_t)BL_MSG_MAX ? NULL : bl_buf_new(pool, cap);

        *w = (struct bl_put){.pool = pool, .buf = buf};
        if (!buf)
                return cap > 2 * (size_t)BL_MSG_MAX ? BL_ELIMIT : BL_ENOMEM;
        w->p = buf->data;
        w->end = buf->data + cap;
        return 0;
}

int bl_put_end(struct bl_put *w, struct bl_buf **ret_buf)
{
        size_t n = (size_t)(w->p - w->buf->data);

        if (w->over || w->unsafe || n > BL_MSG_MAX) {
                bl_buf_unref(w->pool, w->buf);
                return w->unsafe ? BL_EINVAL : BL_ELIMIT;
        }
        w->buf->len = (uint32_t)n;
        *ret_buf = w->buf;
        return 0;
}
