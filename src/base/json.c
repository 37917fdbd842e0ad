#include "base/json.h"

#include "base/utf8.h"

void bl_json_escape(struct bl_sb *b, struct bl_str s)
{
        while (s.n) {
                uint8_t c = (uint8_t)s.p[0];
                size_t n = bl_utf8_len(s);
                if (n == 0) {
                        bl_sb_addz(b, "\\ufffd");
                } else if (bl_utf8_is_control(s, n)) {
                        if (c == '\n' || c == '\r' || c == '\t') {
                                bl_sb_addz(b, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
                        } else {
                                bl_sb_addz(b, "\\u00");
                                bl_sb_hex(b, s.p + n - 1, 1);
                        }
                } else {
                        if (c == '"' || c == '\\')
                                bl_sb_addc(b, '\\');
                        bl_sb_add(b, bl_str_make(s.p, n));
                }
                s = bl_str_from(s, n ? n : 1);
        }
}

struct bl_json bl_json_begin(struct bl_sb *b)
{
        struct bl_json j = {b, b->n};
        bl_sb_addc(b, '{');
        return j;
}

static void put_key(struct bl_json *j, const char *key)
{
        if (j->b->n > j->_start + 1)
                bl_sb_addc(j->b, ',');
        bl_sb_addc(j->b, '"');
        bl_sb_addz(j->b, key);
        bl_sb_addz(j->b, "\":");
}

void bl_json_str(struct bl_json *j, const char *key, struct bl_str v)
{
        put_key(j, key);
        bl_sb_addc(j->b, '"');
        bl_json_escape(j->b, v);
        bl_sb_addc(j->b, '"');
}

void bl_json_strz(struct bl_json *j, const char *key, const char *v)
{
        bl_json_str(j, key, bl_str_z(v));
}

void bl_json_int(struct bl_json *j, const char *key, int64_t v)
{
        put_key(j, key);
        if (v < 0)
                bl_sb_addc(j->b, '-');
        bl_sb_addu(j->b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void bl_json_bool(struct bl_json *j, const char *key, bool v)
{
        put_key(j, key);
        bl_sb_addz(j->b, v ? "true" : "false");
}

bool bl_json_end(struct bl_json *j)
{
        bl_sb_addz(j->b, "}\n");
        if (!j->b->over)
                return true;
        j->b->n = j->_start;
        j->b->over = false;
        return false;
}
