/* The character table of scan.h: one bit per class. tests/unit/sip/test_scan.c derives it again from the ABNF. */
#include "sip/scan.h"

#include <string.h>

/* clang-format off */
const uint16_t bl_chars[256] = {
        0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000,
        0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000,
        0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000,
        0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000, 0x2000,
        0x2000, 0x21df, 0x0100, 0x3180, 0x219e, 0x21c1, 0x218e, 0x21df,
        0x319e, 0x319e, 0x31df, 0x31df, 0x0186, 0x31ff, 0x31df, 0x219a,
        0x37ff, 0x37ff, 0x37ff, 0x37ff, 0x37ff, 0x37ff, 0x37ff, 0x37ff,
        0x37ff, 0x37ff, 0x21d8, 0x2182, 0x0100, 0x2186, 0x2100, 0x2192,
        0x2180, 0x3bff, 0x3bff, 0x3bff, 0x3bff, 0x3bff, 0x3bff, 0x29ff,
        0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff,
        0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff,
        0x29ff, 0x29ff, 0x29ff, 0x21d8, 0x2180, 0x21d8, 0x2180, 0x21ff,
        0x21c1, 0x3bff, 0x3bff, 0x3bff, 0x3bff, 0x3bff, 0x3bff, 0x29ff,
        0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff,
        0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff, 0x29ff,
        0x29ff, 0x29ff, 0x29ff, 0x2180, 0x2180, 0x2180, 0x21df, 0x2000,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
        0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100, 0x2100,
};
/* clang-format on */

const char *bl_scan_folds(const char *p, const char *end)
{
        for (;;) {
                while (p < end && bl_is_wsp(*p))
                        p++;
                if (end - p < 3 || p[0] != '\r' || p[1] != '\n' || !bl_is_wsp(p[2]))
                        return p;
                p += 3;
        }
}

/* From p on, octets that a quoted string holds as they are, sixteen at a time. */
static const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
        for (; end - p >= 16; p += 16) {
                bl_octets16 v;
                unsigned found;

                memcpy(&v, p, 16);
                /* over 0x7f a signed octet is below 0x20 too: looked at one by one */
                found = bl_mask16((v < bl_splat(0x20)) | (v == bl_splat('"')) | (v == bl_splat('\\')) |
                                  (v == bl_splat(0x7f)));
                if (found)
                        return p + __builtin_ctz(found);
        }
#endif
        (void)end;
        return p;
}

const char *bl_scan_quoted(const char *p, const char *end)
{
        for (p = skip_plain(p + 1, end); p < end; p++) {
                unsigned char c = (unsigned char)*p;

                if (c == '"')
                        return p + 1;
                if (c == '\\') {
                        /* quoted-pair: any octet but CR and LF (and those over 0x7f, which nobody would miss) */
                        if (++p == end || *p == '\r' || *p == '\n')
                                return NULL;
                } else if (c == '\r') {
                        if (end - p < 3 || p[1] != '\n' || (p[2] != ' ' && p[2] != '\t'))
                                return NULL;
                        p += 2;
                } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
                        return NULL;
                }
        }
        return NULL;
}

/* Four numbers 0..255 with dots between; NULL when it is not that. */
static const char *scan_v4(const char *p, const char *end)
{
        for (unsigned group = 1;; group++, p++) {
                unsigned v, digit;

                if (p == end || (v = (unsigned)*p - '0') > 9)
                        return NULL;
                if (++p < end && (digit = (unsigned)*p - '0') <= 9) {
                        v = v * 10 + digit;
                        if (++p < end && (digit = (unsigned)*p - '0') <= 9) {
                                v = v * 10 + digit;
                                p++;
                        }
                }
                if (v > 255)
                        return NULL;
                if (group == 4)
                        return p;
                if (p == end || *p != '.')
                        return NULL;
        }
}

static const char *scan_v6(const char *p, const char *end)
{
        const char *close = memchr(p, ']', (size_t)(end - p) < 48 ? (size_t)(end - p) : 48);
        struct bl_addr addr;

        if (!close || memchr(p, '%', (size_t)(close - p)))
                return NULL; /* no zones in SIP, RFC 3261 25.1 */
        if (bl_addr_parse(bl_str_make(p, (size_t)(close + 1 - p)), &addr) < 0 || addr.family != 6)
                return NULL;
        return close + 1;
}

/* Labels with one dot between and perhaps one at the end; not all of them numbers, which would be an address and is
 * none. */
static const char *scan_labels(const char *p, const char *end)
{
        const char *start = p, *q;

        for (;; p = q + 1) {
                q = bl_scan_few(p, end, C_LABEL);
                if (q == p)
                        break;
                if (q == end || *q != '.')
                        break;
        }
        if (q == start || (q == p && q != end && *q == '.') || *start == '.')
                return NULL;
        if ((unsigned char)(*start - '0') < 10) {
                for (p = start; p < q && (bl_is(*p, C_DIGIT) || *p == '.');)
                        p++;
                if (p == q)
                        return NULL;
        }
        return q;
}

const char *bl_scan_host(const char *p, const char *end, struct bl_str *ret_host, enum bl_host_kind *ret_kind)
{
        const char *start = p, *q;

        if (p < end && *p == '[') {
                p = scan_v6(p, end);
                if (!p)
                        return NULL;
                *ret_kind = BL_HOST_V6;
                *ret_host = bl_str_make(start, (size_t)(p - start));
                return p;
        }
        if (p == end || *p == '-')
                return NULL;
        if ((unsigned char)(*p - '0') < 10) {
                q = scan_v4(p, end);
                if (q && (q == end || !(bl_is(*q, C_LABEL) || *q == '.'))) {
                        *ret_kind = BL_HOST_V4;
                        *ret_host = bl_str_make(start, (size_t)(q - start));
                        return q;
                }
        }
        p = scan_labels(p, end);
        if (!p)
                return NULL;
        *ret_kind = BL_HOST_NAME;
        *ret_host = bl_str_make(start, (size_t)(p - start));
        return p;
}

const char *bl_scan_port(const char *p, const char *end, uint16_t *ret_port)
{
        const char *start = p;
        uint32_t v = 0;

        for (; p < end && bl_is(*p, C_DIGIT); p++)
                v = v > 65535 ? v : v * 10 + (uint32_t)(*p - '0');
        if (p == start)
                return NULL;
        *ret_port = v > 65535 ? 0 : (uint16_t)v;
        return p;
}

int bl_scan_param(const char **at, const char *end, struct bl_param *ret_param)
{
        const char *p = bl_scan_lws(*at, end), *q, *v;

        if (p == end || *p != ';')
                return *at = p, 0;
        ret_param->all.p = p;
        p = bl_scan_lws(p + 1, end);
        q = bl_scan_few(p, end, C_TOKEN); /* names are short */
        if (q == p)
                return BL_EMALFORMED;
        ret_param->name = bl_str_make(p, (size_t)(q - p));
        ret_param->has_value = false;
        v = bl_scan_lws(q, end);
        if (v < end && *v == '=') {
                v = bl_scan_lws(v + 1, end);
                q = v < end && *v == '"' ? bl_scan_quoted(v, end) : bl_scan_run(v, end, C_GEN);
                if (!q || q == v)
                        return BL_EMALFORMED;
                ret_param->has_value = true;
                ret_param->value = bl_str_make(v, (size_t)(q - v));
        } else {
                ret_param->value = bl_str_make(q, 0);
        }
        ret_param->all.n = (size_t)(q - ret_param->all.p);
        *at = q;
        return 1;
}
