/*
 * Writing octets of a message into one counted buffer of known capacity. Private to sip/. Nothing is checked step by
 * step: what did not fit, or would have broken a line in two, is remembered and reported by bl_put_end.
 */
#pragma once
#include "base/mem.h"
#include "sip/msg.h"

enum { BL_PUT_LINE = 2 + 2 /* ": " and CRLF */, BL_PUT_LENGTH = 16 + 10 + 2 /* a Content-Length line */ };

struct bl_put {
        struct bl_pool *pool;
        struct bl_buf *buf;
        char *p, *end;
        bool over, unsafe;
};

int bl_put_begin(struct bl_put *w, struct bl_pool *pool, size_t cap); /* 0, BL_ENOMEM, BL_ELIMIT */
static inline void bl_put(struct bl_put *w, struct bl_str s)
{
        if (s.n > (size_t)(w->end - w->p)) {
                w->over = true;
                return;
        }
        bl_copy(w->p, s.p, s.n);
        w->p += s.n;
}
void bl_put_line(struct bl_put *w, struct bl_str name, struct bl_str value);
void bl_put_hdr(struct bl_put *w, const struct bl_msg *m, const struct bl_hdr *h); /* as one line `Name: value` */
void bl_put_u32(struct bl_put *w, uint32_t v);
void bl_put_length(struct bl_put *w, size_t length);
/* 0 and *ret_buf; BL_ELIMIT (over BL_MSG_MAX); BL_EINVAL (a value with a line end in it). After an error nothing is
 * left. */
int bl_put_end(struct bl_put *w, struct bl_buf **ret_buf);

/* No CR or LF but in folds: such a value cannot smuggle in a header of its own. */
bool bl_line_safe(struct bl_str s);
