#include <stdarg.h>
#include <stdio.h>

#include "sip/put.h"
#include "sip/write.h"

enum { DRAFT_FIRST = 1024 };

static void fail(struct bl_draft *d, int rc)
{
        bl_buf_unref(d->_pool, d->_buf);
        d->_buf = NULL;
        if (d->_rc == 0)
                d->_rc = rc;
}

/* Room for n octets more, in a larger buffer where needed. */
static bool room(struct bl_draft *d, size_t n)
{
        struct bl_buf *more;
        size_t cap;

        if (d->_rc < 0)
                return false;
        if (n <= d->_buf->cap - d->_buf->len)
                return true;
        if (n > BL_MSG_MAX - d->_buf->len)
                return fail(d, BL_ELIMIT), false;
        cap = (d->_buf->len + n) * 2;
        more = bl_buf_new(d->_pool, cap < BL_MSG_MAX ? cap : BL_MSG_MAX);
        if (!more)
                return fail(d, BL_ENOMEM), false;
        memcpy(more->data, d->_buf->data, d->_buf->len);
        more->len = d->_buf->len;
        bl_buf_unref(d->_pool, d->_buf);
        d->_buf = more;
        return true;
}

static void add(struct bl_draft *d, const struct bl_str *parts, size_t n)
{
        size_t total = 0;

        for (size_t i = 0; i < n; i++)
                total += parts[i].n;
        if (!room(d, total))
                return;
        for (size_t i = 0; i < n; i++) {
                if (parts[i].n)
                        memcpy(d->_buf->data + d->_buf->len, parts[i].p, parts[i].n);
                d->_buf->len += (uint32_t)parts[i].n;
        }
}
#define ADD(d, ...)                                                                                                    \
        add((d), (const struct bl_str[]){__VA_ARGS__},                                                                 \
            sizeof((const struct bl_str[]){__VA_ARGS__}) / sizeof(struct bl_str))

void bl_draft_request(struct bl_draft *d, struct bl_pool *pool, struct bl_str method, struct bl_str ruri)
{
        *d = (struct bl_draft){._pool = pool, ._buf = bl_buf_new(pool, DRAFT_FIRST)};
        if (!d->_buf)
                d->_rc = BL_ENOMEM;
        else if (ruri.n == 0 || !bl_line_safe(ruri) || memchr(ruri.p, ' ', ruri.n))
                fail(d, BL_EINVAL);
        ADD(d, method, BL_STR(" "), ruri, BL_STR(" SIP/2.0\r\n"));
}

void bl_draft_named(struct bl_draft *d, struct bl_str name, struct bl_str value)
{
        if (d->_rc == 0 && !bl_line_safe(value))
                fail(d, BL_EINVAL);
        ADD(d, name, BL_STR(": "), value, BL_STR("\r\n"));
}

void bl_draft_header(struct bl_draft *d, enum bl_hid id, struct bl_str value)
{
        bl_draft_named(d, bl_hid_name(id), value);
}

void bl_draft_headerf(struct bl_draft *d, enum bl_hid id, const char *fmt, ...)
{
        char text[2048];
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        if (n < 0 || (size_t)n >= sizeof text)
                fail(d, BL_ELIMIT);
        else
                bl_draft_header(d, id, bl_str_make(text, (size_t)n));
}

void bl_draft_lines(struct bl_draft *d, struct bl_str lines)
{
        ADD(d, lines);
}

int bl_draft_end(struct bl_draft *d, struct bl_str content_type, struct bl_str body, struct bl_buf **ret_buf)
{
        char text[24];
        struct bl_sb length = BL_SB(text);

        bl_sb_addu(&length, body.n);
        if (body.n && content_type.n)
                bl_draft_header(d, BL_H_CONTENT_TYPE, content_type);
        bl_draft_header(d, BL_H_CONTENT_LENGTH, bl_sb_str(&length));
        ADD(d, BL_STR("\r\n"), body);
        if (d->_rc == 0)
                *ret_buf = d->_buf;
        d->_buf = NULL;
        return d->_rc;
}
