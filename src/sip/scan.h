/*
 * The small steps that the parsers of this folder share: character classes, linear white space, quoted strings, hosts,
 * parameters. All work on [p, end), never read `end`, and return where they stopped, or NULL when the text is wrong.
 * Each octet of a message is looked at once by one of these, so they decide what parsing costs. Private to sip/.
 */
#pragma once
#include "base/base.h"
#include "sip/nameaddr.h"
#include "sip/via.h"

/* RFC 3261 section 25.1. "%" is in no URI class: an escape is two hex digits more, and checked where it stands. */
enum {
        C_TOKEN = 1,        /* token */
        C_USER = 1 << 1,    /* user: unreserved / user-unreserved */
        C_PASS = 1 << 2,    /* password */
        C_PARAM = 1 << 3,   /* paramchar */
        C_HNV = 1 << 4,     /* hname, hvalue */
        C_LABEL = 1 << 5,   /* of a host name, and "_", which names in the field have */
        C_GEN = 1 << 6,     /* gen-value without quotes: token / host */
        C_URIC = 1 << 7,    /* absoluteURI, generously: visible but <>" */
        C_VISIBLE = 1 << 8, /* neither control nor space */
        C_HEX = 1 << 9,
        C_DIGIT = 1 << 10,
        C_ALPHA = 1 << 11,
        C_TEL = 1 << 12,   /* RFC 3966: digits of a local number, visual separators, "+" */
        C_PLAIN = 1 << 13, /* what neither ends an element of a list nor hides a comma: all but , < and the quote */
};
/* Classes that do not hold all letters, digits, "-" and "." */
enum { C_NARROW = C_LABEL | C_HEX | C_DIGIT | C_ALPHA | C_TEL };
extern const uint16_t bl_chars[256];

static inline bool bl_is(char c, unsigned class)
{
        return (bl_chars[(unsigned char)c] & class) != 0;
}
static inline bool bl_is_wsp(char c)
{
        return c == ' ' || c == '\t';
}

#ifdef __SSE2__
typedef unsigned char bl_octets16 __attribute__((vector_size(16)));

static inline bl_octets16 bl_splat(int c)
{
        unsigned char b = (unsigned char)c;

        return (bl_octets16){b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b};
}

static inline unsigned bl_mask16(bl_octets16 v)
{
        return (unsigned)__builtin_ia32_pmovmskb128((__attribute__((vector_size(16))) char)v);
}

/* Bit i: v[i] is no letter, digit, "-", "." or "+", of which nearly everything consists. */
static inline unsigned bl_uncommon16(bl_octets16 v)
{
        bl_octets16 letters = (bl_octets16)((v | bl_splat(0x20)) - bl_splat('a') < bl_splat(26));
        bl_octets16 others = (bl_octets16)(v - bl_splat('+') < bl_splat('9' - '+' + 1));

        return ~bl_mask16(letters | (others & (bl_octets16)(v != bl_splat('/')) & (bl_octets16)(v != bl_splat(',')))) &
               0xffff;
}
#endif

static inline const char *bl_scan_few(const char *p, const char *end, unsigned class)
{
        for (; end - p >= 4; p += 4) {
                if (!bl_is(p[0], class))
                        return p;
                if (!bl_is(p[1], class))
                        return p + 1;
                if (!bl_is(p[2], class))
                        return p + 2;
                if (!bl_is(p[3], class))
                        return p + 3;
        }
        while (p < end && bl_is(*p, class))
                p++;
        return p;
}

static inline const char *bl_scan_run(const char *p, const char *end, unsigned class)
{
#ifdef __SSE2__
        while (!(class & C_NARROW) && end - p >= 8) {
                bl_octets16 v = {0};
                unsigned stop;

                if (end - p >= 16) {
                        memcpy(&v, p, 16);
                        stop = bl_uncommon16(v);
                        if (!stop) {
                                p += 16;
                                continue;
                        }
                } else {
                        memcpy(&v, p, 8);
                        stop = bl_uncommon16(v); /* the upper half is */
                }
                p += __builtin_ctz(stop);
                if (p == end || !bl_is(*p, class))
                        return p;
                p++;
        }
#endif
        return bl_scan_few(p, end, class);
}

/* The first of two octets, or `end`. */
static inline const char *bl_scan_to(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
        for (; end - p >= 16; p += 16) {
                bl_octets16 v;
                unsigned found;

                memcpy(&v, p, 16);
                found = bl_mask16((bl_octets16)((v == bl_splat(a)) | (v == bl_splat(b))));
                if (found)
                        return p + __builtin_ctz(found);
        }
#endif
        while (p < end && *p != a && *p != b)
                p++;
        return p;
}

/* Whether s is `word`, which has n lower-case letters and nothing else; any case. */
static inline bool bl_scan_is(struct bl_str s, const char *word, size_t n)
{
        if (s.n != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if ((s.p[i] | 0x20) != word[i])
                        return false;
        return true;
}
#define BL_SCAN_IS(s, lit) bl_scan_is((s), (lit), sizeof(lit) - 1)

__attribute__((cold)) const char *bl_scan_folds(const char *p, const char *end);
/* LWS with folds (a CRLF only when white space follows it). Mostly there is none. */
static inline const char *bl_scan_lws(const char *p, const char *end)
{
        return p < end && (unsigned char)*p > ' ' ? p : bl_scan_folds(p, end);
}

/* A run of `class` and of escapes. Stops at a "%" that is no escape. */
static inline const char *bl_scan_escaped(const char *p, const char *end, unsigned class)
{
        for (;;) {
                p = bl_scan_run(p, end, class);
                if (end - p < 3 || *p != '%' || !bl_is(p[1], C_HEX) || !bl_is(p[2], C_HEX))
                        return p;
                p += 3;
        }
}

static inline int bl_hex_digit(char c)
{
        return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
} /* of one in C_HEX */

const char *bl_scan_quoted(const char *p, const char *end); /* p at the opening quote; returns past the closing one */
const char *bl_scan_host(const char *p, const char *end, struct bl_str *ret_host, enum bl_host_kind *ret_kind);
/* 1*DIGIT; *ret_port 0 when it is out of range. */
const char *bl_scan_port(const char *p, const char *end, uint16_t *ret_port);
/* SEMI generic-param at *at: 1 and *at behind it; 0 when something else stands there (*at past white space);
 * BL_EMALFORMED. */
int bl_scan_param(const char **at, const char *end, struct bl_param *ret_param);

/*
 * One whole thing at p, as far as its grammar goes; it is for the caller to say what may follow. On success every
 * member is set; after a failure they are worth nothing. All but the URI skip white space behind themselves.
 */
const char *bl_uri_scan(const char *p, const char *end, struct bl_uri *u, int *ret_rc); /* *ret_rc: why not */
const char *bl_via_scan(const char *p, const char *end, struct bl_via *v);
/* The start of one whose parameters may be anything: transport and sent-by, which `all` ends with; no parameters.
 * False, and *v zeroed, when not even that is there. */
bool bl_via_scan_start(const char *p, const char *end, struct bl_via *v);
/* `tag`, when not NULL, gets the first parameter of that name. */
const char *bl_nameaddr_scan(const char *p, const char *end, struct bl_nameaddr *na, struct bl_str *tag);

static inline void bl_via_clear(struct bl_via *v)
{
        v->branch = v->received = v->maddr = v->rport_param = v->received_param = bl_str_make("", 0);
        v->port = v->rport = 0;
        v->has_rport = v->sticky = v->repeated = false;
}
int bl_via_known_param(struct bl_via *v, const struct bl_param *param); /* 0, BL_EMALFORMED */
/* RFC 3261 8.1.1.7: with the magic cookie, and more, the branch alone names the transaction. */
static inline bool bl_via_has_cookie(struct bl_str branch)
{
        return branch.n > 7 && memcmp(branch.p, "z9hG4bK", 7) == 0;
}

/* Equal as URI text (RFC 3261 19.1.4): escapes of octets that are not reserved decoded, case forgiven where `fold`.
 * uri_cmp.c */
bool bl_text_eq(struct bl_str a, struct bl_str b, bool fold);
