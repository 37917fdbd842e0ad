#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

/* Octets that are equal at once need no lowering. */
static inline bool same8(uint64_t a, uint64_t b)
{
        return a == b || bl_lower8(a) == bl_lower8(b);
}

/* Four to eight octets in one number, those in the middle twice. */
static inline uint64_t load_short(const char *p, size_t n)
{
        uint32_t head, tail;
        memcpy(&head, p, 4);
        memcpy(&tail, p + n - 4, 4);
        return head | (uint64_t)tail << 32;
}

static inline uint64_t load8(const char *p)
{
        uint64_t w;
        memcpy(&w, p, 8);
        return w;
}

bool bl_str_ieq(struct bl_str a, struct bl_str b)
{
        size_t n = a.n;
        if (n != b.n)
                return false;
        if (n < 4) {
                for (size_t i = 0; i < n; i++) {
                        if (bl_lower(a.p[i]) != bl_lower(b.p[i]))
                                return false;
                }
                return true;
        }
        if (n < 8)
                return same8(load_short(a.p, n), load_short(b.p, n));
        for (size_t i = 0; i + 8 < n; i += 8) {
                if (!same8(load8(a.p + i), load8(b.p + i)))
                        return false;
        }
        return same8(load8(a.p + n - 8), load8(b.p + n - 8));
}

int bl_str_cmp(struct bl_str a, struct bl_str b)
{
        size_t n = a.n < b.n ? a.n : b.n;
        int d = n ? memcmp(a.p, b.p, n) : 0;
        if (d)
                return d < 0 ? -1 : 1;
        return a.n < b.n ? -1 : a.n > b.n;
}

bool bl_str_starts(struct bl_str s, struct bl_str prefix)
{
        return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct bl_str bl_str_trim(struct bl_str s)
{
        while (s.n && is_space(s.p[0])) {
                s.p++;
                s.n--;
        }
        while (s.n && is_space(s.p[s.n - 1]))
                s.n--;
        return s;
}

bool bl_str_cut(struct bl_str s, char c, struct bl_str *ret_before, struct bl_str *ret_after)
{
        ptrdiff_t at = bl_str_find(s, c);
        if (at < 0) {
                *ret_before = s;
                *ret_after = (struct bl_str){NULL, 0};
                return false;
        }
        *ret_before = bl_str_make(s.p, (size_t)at);
        *ret_after = bl_str_from(s, (size_t)at + 1);
        return true;
}

ptrdiff_t bl_str_find(struct bl_str s, char c)
{
        const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
        return at ? at - s.p : -1;
}

int bl_str_u64(struct bl_str s, uint64_t *ret)
{
        uint64_t v = 0;
        bool over = false;
        if (!s.n)
                return BL_EMALFORMED;
        for (size_t i = 0; i < s.n; i++) {
                unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
                if (digit > 9)
                        return BL_EMALFORMED; /* also after an overflow: "999…9x" is no number at all */
                over = over || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, digit, &v);
        }
        if (over)
                return BL_ELIMIT;
        *ret = v;
        return 0;
}

int bl_str_u32(struct bl_str s, uint32_t *ret)
{
        uint64_t v;
        int rc = bl_str_u64(s, &v);
        if (rc < 0)
                return rc;
        if (v > UINT32_MAX)
                return BL_ELIMIT;
        *ret = (uint32_t)v;
        return 0;
}

void bl_sb_addu(struct bl_sb *b, uint64_t v)
{
        uint64_t limit = 10;
        size_t n = 1;
        for (; n < 20 && v >= limit; n++)
                limit *= 10; /* after nineteen digits it no longer fits, nor is it looked at */
        char *to = bl_sb_room(b, n);
        if (!to)
                return;
        b->n += n;
        for (to += n; n--; v /= 10)
                *--to = (char)('0' + v % 10);
}

void bl_sb_hex(struct bl_sb *b, const void *octets, size_t n)
{
        static const char digit[] = "0123456789abcdef";
        const uint8_t *in = octets;
        char *to = n <= SIZE_MAX / 2 ? bl_sb_room(b, 2 * n) : bl_sb_room(b, SIZE_MAX);
        if (!to)
                return;
        for (size_t i = 0; i < n; i++) {
                *to++ = digit[in[i] >> 4];
                *to++ = digit[in[i] & 15];
        }
        b->n += 2 * n;
}

static void sb_b64(struct bl_sb *b, const uint8_t *in, size_t n, const char *digit, bool pad)
{
        size_t tail = n % 3;
        size_t len = n / 3 * 4 + (tail ? (pad ? 4 : tail + 1) : 0);
        char *to = bl_sb_room(b, len);
        if (!to)
                return;
        for (size_t i = 0; i + 2 < n; i += 3) {
                uint32_t v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
                *to++ = digit[v >> 18];
                *to++ = digit[v >> 12 & 63];
                *to++ = digit[v >> 6 & 63];
                *to++ = digit[v & 63];
        }
        if (tail) {
                uint32_t v = (uint32_t)in[n - tail] << 16 | (tail == 2 ? (uint32_t)in[n - 1] << 8 : 0);
                *to++ = digit[v >> 18];
                *to++ = digit[v >> 12 & 63];
                if (tail == 2)
                        *to++ = digit[v >> 6 & 63];
                else if (pad)
                        *to++ = '=';
                if (pad)
                        *to++ = '=';
        }
        b->n += len;
}

void bl_sb_b64url(struct bl_sb *b, const void *octets, size_t n)
{
        sb_b64(b, octets, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

void bl_sb_b64(struct bl_sb *b, const void *octets, size_t n)
{
        sb_b64(b, octets, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

void bl_sb_fmt(struct bl_sb *b, const char *fmt, ...)
{
        char small[256];
        va_list ap, again;
        if (b->over)
                return;
        va_start(ap, fmt);
        va_copy(again, ap);
        int n = vsnprintf(small, sizeof(small), fmt, ap);
        if (n < 0) {
                b->over = true;
        } else if ((size_t)n < sizeof(small)) { /* by way of `small`, as vsnprintf needs room for its NUL */
                bl_sb_add(b, bl_str_make(small, (size_t)n));
        } else if ((size_t)n >= b->cap - b->n) { /* `>=`: for that NUL */
                b->over = true;
        } else {
                vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
                b->n += (size_t)n;
        }
        va_end(again);
        va_end(ap);
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = bl_lower(c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int bl_hex_decode(struct bl_str in, void *out, size_t cap)
{
        uint8_t *to = out;
        if (in.n % 2)
                return BL_EMALFORMED;
        if (in.n / 2 > cap || in.n / 2 > INT32_MAX)
                return BL_ELIMIT;
        for (size_t i = 0; i < in.n; i += 2) {
                int hi = hex_digit(in.p[i]), lo = hex_digit(in.p[i + 1]);
                if (hi < 0 || lo < 0)
                        return BL_EMALFORMED;
                to[i / 2] = (uint8_t)(hi << 4 | lo);
        }
        return (int)(in.n / 2);
}

static int b64url_digit(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int bl_b64url_decode(struct bl_str in, void *out, size_t cap)
{
        uint8_t *to = out;
        size_t len = in.n / 4 * 3 + (in.n % 4 ? in.n % 4 - 1 : 0), at = 0;
        uint32_t bits = 0;
        unsigned held = 0;
        if (in.n % 4 == 1)
                return BL_EMALFORMED;
        if (len > cap || len > INT32_MAX)
                return BL_ELIMIT;
        for (size_t i = 0; i < in.n; i++) {
                int digit = b64url_digit(in.p[i]);
                if (digit < 0)
                        return BL_EMALFORMED;
                bits = bits << 6 | (uint32_t)digit;
                held += 6;
                if (held >= 8) {
                        held -= 8;
                        to[at++] = (uint8_t)(bits >> held);
                }
        }
        /* One octet string, one spelling: left-over bits must be zero, or a token could be altered and still verify. */
        if (bits & ((1u << held) - 1))
                return BL_EMALFORMED;
        return (int)len;
}
