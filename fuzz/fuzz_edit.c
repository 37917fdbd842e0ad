/* What is parsed, edited as a proxy does (the first octet chooses how) and written, parses again and says what it
 * should. */
#include <stdlib.h>

#include "sip/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void edit(struct bl_edits *e, unsigned how)
{
        bl_edit_push(e, BL_H_VIA, BL_STR("SIP/2.0/UDP p;branch=z9hG4bKp"));
        bl_edit_set(e, BL_H_MAX_FORWARDS, BL_STR("7"));
        if (how & 1)
                bl_edit_remove_value(e, BL_H_ROUTE, how >> 5);
        if (how & 2)
                bl_edit_push(e, BL_H_RECORD_ROUTE, BL_STR("<sip:p;lr>"));
        if (how & 4)
                bl_edit_replace_value(e, BL_H_VIA, how >> 6, BL_STR("SIP/2.0/TCP q"));
        if (how & 8)
                bl_edit_body(e, BL_STR("new"));
        if (how & 16)
                bl_edit_append_named(e, BL_STR("X-New"), BL_STR("1"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bl_arena *arena = bl_arena_new(1 << 21);
        struct bl_pool *pool = bl_pool_new(0);
        struct bl_parse_error error;
        struct bl_msg *m, *out;
        struct bl_edits e;
        struct bl_buf *buf;
        if (size > 1 && size < 60000 &&
            bl_msg_parse(bl_str_make((const char *)data + 1, size - 1), true, arena, &m, NULL) == 0 &&
            m->n < BL_HDR_MAX - 8) {
                bl_edits_init(&e, m, arena);
                edit(&e, data[0]);
                if (bl_write(pool, m, &e, &buf) < 0 || bl_msg_parse(bl_buf_str(buf), false, arena, &out, &error) < 0 ||
                    out->max_forwards != 7 || !bl_str_eq(out->via.branch, BL_STR("z9hG4bKp")) ||
                    !bl_str_eq(out->call_id, m->call_id) ||
                    !bl_str_eq(out->body, data[0] & 8 ? BL_STR("new") : m->body) ||
                    bl_msg_count(out, BL_H_VIA) != bl_msg_count(m, BL_H_VIA) + 1)
                        abort();
        }
        bl_pool_free(pool);
        bl_arena_free(arena);
        return 0;
}
