/* The character table of scan.h: one bit per class. tests/unit/sip/test_scan.c derives it again from the ABNF. */
#include "sip/scan.h"

#include <string.h>

/* clang-format off */
const uint16_t bl_chars[256] = {
        0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000,
        0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000,
        0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000,
        0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000,
        0x0000, 0x01df, 0x0100, 0x1080, 0x009e, 0x01c1, 0x008e, 0x01df,
        0x119e, 0x119e, 0x11df, 0x11df, 0x0086, 0x11ff, 0x11ff, 0x019a,
        0x17ff, 0x17ff, 0x17ff, 0x17ff, 0x17ff, 0x17ff, 0x17ff, 0x17ff,
        0x17ff, 0x17ff, 0x01d8, 0x0082, 0x0100, 0x0086, 0x0100, 0x0192,
        0x0080, 0x1bff, 0x1bff, 0x1bff, 0x1bff, 0x1bff, 0x1bff, 0x09ff,
        0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff,
        0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff,
        0x09ff, 0x09ff, 0x09ff, 0x01d8, 0x0180, 0x01d8, 0x0080, 0x01ff,
        0x01c1, 0x1bff, 0x1bff, 0x1bff, 0x1bff, 0x1bff, 0x1bff, 0x09ff,
        0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff,
        0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff, 0x09ff,
        0x09ff, 0x09ff, 0x09ff, 0x0180, 0x0080, 0x0180, 0x01df, 0x0000,
};
/* clang-format on */

const char *bl_scan_quoted(const char *p, const char *end)
{
        for (p++; p < end; p++) {
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

/* dotted quad of exactly four numbers 0..255 */
static bool is_v4(const char *p, const char *end)
{
        unsigned groups = 0;

        while (p < end) {
                unsigned v = 0, digits = 0;

                for (; p < end && bl_is(*p, C_DIGIT) && digits < 4; p++, digits++)
                        v = v * 10 + (unsigned)(*p - '0');
                if (digits == 0 || digits > 3 || v > 255)
                        return false;
                groups++;
                if (p < end && (*p++ != '.' || p == end))
                        return false;
        }
        return groups == 4;
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

const char *bl_scan_host(const char *p, const char *end, struct bl_str *ret_host, enum bl_host_kind *ret_kind)
{
        const char *start = p;
        bool numeric = true;
        char before = '.';

        if (p < end && *p == '[') {
                p = scan_v6(p, end);
                if (!p)
                        return NULL;
                *ret_kind = BL_HOST_V6;
                *ret_host = bl_str_make(start, (size_t)(p - start));
                return p;
        }
        for (; p < end && bl_is(*p, C_HOST); before = *p++) {
                if (*p == '.' && before == '.')
                        return NULL; /* an empty label */
                numeric &= *p <= '9' && *p != '-';
        }
        if (p == start || *start == '-' || (numeric && !is_v4(start, p)))
                return NULL;
        *ret_kind = numeric ? BL_HOST_V4 : BL_HOST_NAME;
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

const char *bl_scan_params(const char *p, const char *end)
{
        for (;;) {
                const char *q = bl_scan_lws(p, end);

                if (q == end || *q != ';')
                        return q == end ? end : NULL;
                p = bl_scan_lws(q + 1, end);
                q = bl_scan_run(p, end, C_TOKEN);
                if (q == p)
                        return NULL;
                p = bl_scan_lws(q, end);
                if (p == end || *p != '=') {
                        p = q;
                        continue;
                }
                p = bl_scan_lws(p + 1, end);
                q = p < end && *p == '"' ? bl_scan_quoted(p, end) : bl_scan_run(p, end, C_GEN);
                if (!q || q == p)
                        return NULL;
                p = q;
        }
}
