#include "sip/list.h"

#include "sip/scan.h"

const char *bl_list_element_end(const char *p, const char *end)
{
        for (;;) {
                p = bl_scan_run(p, end, C_PLAIN);
                if (p == end || *p == ',')
                        return p;
                p = *p == '"' ? bl_scan_quoted(p, end) : memchr(p, '>', (size_t)(end - p));
                if (!p)
                        return end;
        }
}

bool bl_list_walk_next(const struct bl_msg *m, struct bl_list_walk *w)
{
        const char *p, *end, *q;
        struct bl_str v;

        if (w->hdr == BL_HDR_NONE)
                return false;
        v = bl_hdr_value(m, &m->h[w->hdr]);
        if (w->pos > v.n) {
                w->hdr = m->h[w->hdr].next;
                w->pos = 0;
                if (w->hdr == BL_HDR_NONE)
                        return false;
                v = bl_hdr_value(m, &m->h[w->hdr]);
        }
        p = v.p + w->pos;
        end = v.p + v.n;
        q = bl_hid_is_list((enum bl_hid)m->h[w->hdr].id) ? bl_list_element_end(p, end) : end;
        w->value = bl_str_trim(bl_str_make(p, (size_t)(q - p)));
        w->pos = (uint32_t)(q - v.p) + 1;
        return true;
}
