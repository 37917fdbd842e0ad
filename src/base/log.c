/* Lines are logfmt or JSON with the same keys: ts level event node, then the caller's. */
#include "base/log.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"

enum {
        LINE_MAX_LEN = 2048,
        VALUE_MAX_LEN = 512, /* of one value; the rest is cut, marked with "..." */
        TAIL = 40,           /* kept free for suppressed= and truncated= */
        ALLOW_EACH = 5,
        ALLOW_SECONDS = 10,
};

/* Values come from the network: nothing that a terminal or a log reader would act upon gets through. */
static void put_text(struct bl_sb *b, struct bl_str s)
{
        while (s.n) {
                uint8_t c = (uint8_t)s.p[0];
                size_t n = bl_utf8_len(s);
                if (n && !bl_utf8_is_control(s, n)) {
                        if (c == '"' || c == '\\')
                                bl_sb_addc(b, '\\');
                        bl_sb_add(b, bl_str_make(s.p, n));
                } else if (c == '\n' || c == '\r' || c == '\t') {
                        n = 1;
                        bl_sb_addz(b, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
                } else {
                        n = 1;
                        bl_sb_addz(b, "\\x");
                        bl_sb_hex(b, s.p, 1);
                }
                s = bl_str_from(s, n);
        }
}

static void put_escaped(struct bl_sb *b, struct bl_str s, bool json)
{
        bool cut = s.n > VALUE_MAX_LEN;
        if (cut)
                s.n = VALUE_MAX_LEN;
        if (json)
                bl_json_escape(b, s);
        else
                put_text(b, s);
        if (cut)
                bl_sb_addz(b, "...");
}

static bool is_plain(struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=')
                        return false;
        }
        return s.n > 0 && s.n <= VALUE_MAX_LEN;
}

static void put_key(struct bl_sb *b, const char *key, bool json)
{
        if (b->n)
                bl_sb_addc(b, json ? ',' : ' ');
        else if (json)
                bl_sb_addc(b, '{');
        if (json)
                bl_sb_addc(b, '"');
        bl_sb_addz(b, key);
        bl_sb_addz(b, json ? "\":" : "=");
}

static void put_str(struct bl_sb *b, const char *key, struct bl_str s, bool json)
{
        bool quote = json || !is_plain(s);
        put_key(b, key, json);
        if (!quote) {
                bl_sb_add(b, s);
                return;
        }
        bl_sb_addc(b, '"');
        put_escaped(b, s, json);
        bl_sb_addc(b, '"');
}

static void put_int(struct bl_sb *b, const char *key, int64_t i, bool json)
{
        put_key(b, key, json);
        if (i < 0)
                bl_sb_addc(b, '-');
        bl_sb_addu(b, i < 0 ? -(uint64_t)i : (uint64_t)i);
}

static void put_two(struct bl_sb *b, unsigned v, char after)
{
        bl_sb_addc(b, (char)('0' + v / 10 % 10));
        bl_sb_addc(b, (char)('0' + v % 10));
        if (after)
                bl_sb_addc(b, after);
}

/* RFC 3339 in UTC. The year is counted from March, so that the leap day ends it. */
static void put_time(struct bl_sb *b, int64_t wall, bool json)
{
        uint64_t days = (uint64_t)wall / 86400 + 719468, secs = (uint64_t)wall % 86400; /* days since 0000-03-01 */
        uint64_t era = days / 146097, day = days % 146097;
        uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
        unsigned in_year = (unsigned)(day - (365 * year + year / 4 - year / 100));
        unsigned month = (5 * in_year + 2) / 153, dom = in_year - (153 * month + 2) / 5 + 1;
        month = month < 10 ? month + 3 : month - 9;
        put_key(b, "ts", json);
        bl_sb_addz(b, json ? "\"" : "");
        bl_sb_addu(b, era * 400 + year + (month <= 2));
        bl_sb_addc(b, '-');
        put_two(b, month, '-');
        put_two(b, dom, 'T');
        put_two(b, (unsigned)(secs / 3600), ':');
        put_two(b, (unsigned)(secs / 60 % 60), ':');
        put_two(b, (unsigned)(secs % 60), 'Z');
        bl_sb_addz(b, json ? "\"" : "");
}

void bl_log_write(struct bl_log *log, enum bl_level level, const char *event, const struct bl_kv *kv, size_t n)
{
        static const char *const names[] = {"error", "warn", "info", "debug"};
        char line[LINE_MAX_LEN];
        struct bl_sb b = {line, 0, sizeof(line) - TAIL, false};
        bool json = log->json;
        if (!log->sink || level > log->level)
                return;
        if (log->wall > 0)
                put_time(&b, log->wall, json);
        put_str(&b, "level", bl_str_z(names[level]), json);
        put_str(&b, "event", bl_str_z(event), json);
        if (log->node.n)
                put_str(&b, "node", log->node, json);
        bool cut = false;
        for (size_t i = 0; i < n && kv[i].key; i++) {
                size_t before = b.n;
                if (kv[i].kind == 'i')
                        put_int(&b, kv[i].key, kv[i].i, json);
                else
                        put_str(&b, kv[i].key, kv[i].s, json);
                if (b.over) { /* a field is there whole or not at all */
                        b.n = before;
                        b.over = false;
                        cut = true;
                }
        }
        b.cap = sizeof(line);
        if (log->_suppressed && strcmp(log->_suppressed_event, event) == 0) {
                put_int(&b, "suppressed", log->_suppressed, json);
                log->_suppressed = 0;
        }
        if (cut)
                put_int(&b, "truncated", 1, json);
        if (json)
                bl_sb_addc(&b, '}');
        log->sink(log, level, bl_sb_str(&b));
}

/* The entry of this key, else a free one, else the one used longest ago. */
static struct bl_log_limit *limit_of(struct bl_log *log, uint64_t key)
{
        struct bl_log_limit *oldest = &log->_limit[0];
        for (size_t i = 0; i < BL_ARRAY_LEN(log->_limit); i++) {
                struct bl_log_limit *l = &log->_limit[(key + i) % BL_ARRAY_LEN(log->_limit)];
                if (l->key == key)
                        return l;
                if (!l->key) {
                        oldest = l;
                        break;
                }
                if (l->at[l->next] < oldest->at[oldest->next])
                        oldest = l;
        }
        *oldest = (struct bl_log_limit){.key = key};
        return oldest;
}

/* Of words in the code, not of what strangers say: no keyed hash. */
static uint64_t word_key(const char *z)
{
        uint64_t key = strlen(z);
        size_t n = (size_t)key;
        for (size_t at = 0; at < n; at += 8) {
                uint64_t w = 0;
                memcpy(&w, z + at, n - at < 8 ? n - at : 8);
                key = bl_hash_mix(key, w);
        }
        return key;
}

bool bl_log_allow(struct bl_log *log, const char *event, const char *reason)
{
        if (!log)
                return false;
        uint64_t key = bl_hash_mix(word_key(event), word_key(reason)) | 1;
        struct bl_log_limit *l = limit_of(log, key);
        int64_t first = l->at[l->next]; /* of the last ALLOW_EACH, the earliest */
        /* a clock set back must not silence the log: what lies ahead of now counts as long ago */
        if (l->filled == ALLOW_EACH && first <= log->wall && log->wall - first < ALLOW_SECONDS) {
                l->suppressed++;
                return false;
        }
        l->at[l->next] = log->wall;
        l->next = (uint8_t)((l->next + 1) % ALLOW_EACH);
        if (l->filled < ALLOW_EACH)
                l->filled++;
        log->_suppressed = l->suppressed;
        log->_suppressed_event = event;
        l->suppressed = 0;
        return true;
}
