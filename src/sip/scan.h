/*
 * The small steps that the parsers of this folder share: character classes, linear white space, quoted strings, hosts.
 * All work on [p, end), never read `end`, and return where they stopped, or NULL when the text is wrong. Private to
 * sip/.
 */
#pragma once
#include "base/base.h"
#include "sip/uri.h"

/* RFC 3261 section 25.1. "%" is in no URI class: an escape is two hex digits more, and checked where it stands. */
enum {
        C_TOKEN = 1,      /* token */
        C_USER = 1 << 1,  /* user: unreserved / user-unreserved */
        C_PASS = 1 << 2,  /* password */
        C_PARAM = 1 << 3, /* paramchar */
        C_HNV = 1 << 4,   /* hname, hvalue */
        C_HOST = 1 << 5,  /* host name and IPv4, and "_", which names in the field have */
        C_GEN = 1 << 6,   /* gen-value without quotes: token / host */
        C_URIC = 1 << 7,  /* absoluteURI, generously: visible but <>" */
        C_WORD = 1 << 8,  /* word */
        C_HEX = 1 << 9,
        C_DIGIT = 1 << 10,
        C_ALPHA = 1 << 11,
        C_TEL = 1 << 12, /* RFC 3966: digits of a local number, visual separators, "+" */
};
extern const uint16_t bl_chars[256];

static inline bool bl_is(char c, unsigned class)
{
        return (bl_chars[(unsigned char)c] & class) != 0;
}
static inline bool bl_is_wsp(char c)
{
        return c == ' ' || c == '\t';
}

static inline const char *bl_scan_run(const char *p, const char *end, unsigned class)
{
        while (p < end && bl_is(*p, class))
                p++;
        return p;
}

/* LWS with folds (a CRLF only when white space follows it). */
static inline const char *bl_scan_lws(const char *p, const char *end)
{
        for (;;) {
                while (p < end && bl_is_wsp(*p))
                        p++;
                if (end - p < 3 || p[0] != '\r' || p[1] != '\n' || !bl_is_wsp(p[2]))
                        return p;
                p += 3;
        }
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
/* *( SEMI generic-param ) up to `end`, trailing white space allowed. */
const char *bl_scan_params(const char *p, const char *end);

/* Equal as URI text (RFC 3261 19.1.4): escapes of octets that are not reserved decoded, case forgiven where `fold`.
 * uri_cmp.c */
bool bl_text_eq(struct bl_str a, struct bl_str b, bool fold);
