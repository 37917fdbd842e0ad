/* What is parsed, edited (the first octet chooses how) and written, parses again and says what it should. */
#include "fuzz/fuzz.h"

FUZZ_MEM(in, arena, pool)
{
        struct bl_msg *m, *out;
        struct bl_edits e;
        struct bl_buf *buf;
        unsigned how = in.n ? (uint8_t)in.p[0] : 0;
        if (in.n < 2 || in.n >= 60000 || bl_msg_parse(bl_str_from(in, 1), true, arena, &m, NULL) < 0 ||
            m->n >= BL_HDR_MAX - 8)
                return;
        bl_edits_init(&e, m, arena);
        fuzz_edit(&e, how);
        MUST(bl_write(pool, m, &e, &buf) == 0 && bl_msg_parse(bl_buf_str(buf), false, arena, &out, NULL) == 0);
        MUST(out->max_forwards == 7 && bl_str_eq(out->via.branch, BL_STR("z9hG4bKp")));
        MUST(bl_str_eq(out->call_id, m->call_id) && bl_str_eq(out->body, how & 8 ? BL_STR("new") : m->body));
        MUST(bl_msg_count(out, BL_H_VIA) == bl_msg_count(m, BL_H_VIA) + 1);
}
