#include "sip/uri.h"

#include "sip/scan.h"

/* More parameters or headers than this in one URI are refused, so that comparing them as sets stays cheap. */
enum { MAX_PARTS = 32 };

/* *( ";" pname [ "=" pvalue ] ), RFC 3261 25.1; the same shape serves RFC 3966. */
static const char *scan_params(const char *p, const char *end)
{
        for (unsigned n = 0; p < end && *p == ';'; n++) {
                const char *q = bl_scan_few(p + 1, end, C_PARAM);

                if (q < end && *q == '%')
                        q = bl_scan_escaped(q, end, C_PARAM);

                if (q == p + 1 || n == MAX_PARTS)
                        return NULL;
                if (q < end && *q == '=') {
                        p = q + 1;
                        q = bl_scan_escaped(p, end, C_PARAM);
                        if (q == p)
                                return NULL;
                }
                p = q;
        }
        return p;
}

/* "?" header *( "&" header ), RFC 3261 25.1; p behind the "?" */
static const char *scan_headers(const char *p, const char *end)
{
        for (unsigned n = 0;; n++) {
                const char *q = bl_scan_escaped(p, end, C_HNV);

                if (q == p || q == end || *q != '=' || n == MAX_PARTS)
                        return NULL;
                p = bl_scan_escaped(q + 1, end, C_HNV);
                if (p == end || *p != '&')
                        return p;
                p++;
        }
}

/* user [ ":" password ] "@", when there is one; returns where the host starts. */
static const char *scan_userinfo(const char *p, const char *end, struct bl_uri *u)
{
        const char *at = bl_scan_to(p, end, '@', '>'), *q, *colon;

        if (at == end || *at != '@')
                return p; /* nothing but userinfo may hold "@" */
        colon = q = bl_scan_escaped(p, at, C_USER);
        if (q < at && *q == ':')
                q = bl_scan_escaped(q + 1, at, C_PASS);
        if (q != at || colon == p)
                return NULL;
        u->has_user = true;
        u->user = bl_str_make(p, (size_t)(colon - p));
        if (colon != q)
                u->password = bl_str_make(colon + 1, (size_t)(q - colon - 1));
        return q + 1;
}

static const char *scan_sip(const char *p, const char *end, struct bl_uri *u, int *ret_rc)
{
        const char *q;

        p = scan_userinfo(p, end, u);
        p = p ? bl_scan_host(p, end, &u->host, &u->host_kind) : NULL;
        if (p && p < end && *p == ':') {
                p = bl_scan_port(p + 1, end, &u->port);
                if (p && u->port == 0)
                        return *ret_rc = BL_EPROTO, NULL;
        }
        q = p ? scan_params(p, end) : NULL;
        if (!q)
                return NULL;
        u->params = bl_str_make(p, (size_t)(q - p));
        p = q;
        if (q < end && *q == '?')
                q = scan_headers(q + 1, end);
        if (q)
                u->headers = bl_str_make(p, (size_t)(q - p));
        return q;
}

/* RFC 3966 section 3; the digits are not judged beyond their alphabet */
static const char *scan_tel(const char *p, const char *end, struct bl_uri *u)
{
        const char *q = bl_scan_run(p, end, C_TEL);

        if (q == p)
                return NULL;
        u->has_user = true;
        u->user = bl_str_make(p, (size_t)(q - p));
        p = scan_params(q, end);
        if (p)
                u->params = bl_str_make(q, (size_t)(p - q));
        return p;
}

static enum bl_scheme scheme_from(struct bl_str s)
{
        switch (s.n) {
        case 3:
                if (bl_str_ieq(s, BL_STR("sip")))
                        return BL_SCHEME_SIP;
                return bl_str_ieq(s, BL_STR("tel")) ? BL_SCHEME_TEL : BL_SCHEME_OTHER;
        case 4:
                return bl_str_ieq(s, BL_STR("sips")) ? BL_SCHEME_SIPS : BL_SCHEME_OTHER;
        default:
                return BL_SCHEME_OTHER;
        }
}

static const char *scan_scheme(const char *p, const char *end, struct bl_uri *u)
{
        const char *start = p;

        if (end - p > 4 && memcmp(p, "sip:", 4) == 0) {
                u->scheme_text = bl_str_make(p, 3);
                u->scheme = BL_SCHEME_SIP;
                return p + 4;
        }
        if (p == end || !bl_is(*p, C_ALPHA))
                return NULL;
        while (p < end && (bl_is(*p, C_ALPHA | C_DIGIT) || *p == '+' || *p == '-' || *p == '.'))
                p++;
        if (p == end || *p != ':')
                return NULL;
        u->scheme_text = bl_str_make(start, (size_t)(p - start));
        u->scheme = scheme_from(u->scheme_text);
        return p + 1;
}

/* Member by member: compilers make of an initialiser a block fill that takes longer than parsing the host. */
static inline void clear(struct bl_uri *u)
{
        const struct bl_str none = {0};

        u->has_user = false;
        u->user = none;
        u->password = none;
        u->host = none;
        u->host_kind = BL_HOST_NAME;
        u->port = 0;
        u->params = none;
        u->headers = none;
        u->opaque = none;
}

const char *bl_uri_scan(const char *p, const char *end, struct bl_uri *u, int *ret_rc)
{
        const char *start = p, *q;

        *ret_rc = BL_EMALFORMED;
        clear(u);
        p = scan_scheme(p, end, u);
        if (!p)
                return NULL;
        switch (u->scheme) {
        case BL_SCHEME_SIP:
        case BL_SCHEME_SIPS:
                q = scan_sip(p, end, u, ret_rc);
                break;
        case BL_SCHEME_TEL:
                q = scan_tel(p, end, u);
                break;
        default:
                q = bl_scan_run(p, end, C_URIC);
                u->opaque = bl_str_make(p, (size_t)(q - p));
                q = q == p ? NULL : q;
        }
        if (q)
                u->all = bl_str_make(start, (size_t)(q - start));
        return q;
}

int bl_uri_parse(struct bl_str in, struct bl_uri *ret_uri)
{
        struct bl_uri u;
        const char *q;
        int rc;

        if (in.n == 0)
                return BL_EMALFORMED;
        q = bl_uri_scan(in.p, in.p + in.n, &u, &rc);
        if (q != in.p + in.n)
                return q ? BL_EMALFORMED : rc;
        *ret_uri = u;
        return 0;
}

static inline void move(struct bl_str *s, const char *from, const char *to)
{
        if (s->p)
                s->p = to + (s->p - from);
}

void bl_uri_move(struct bl_uri *u, const char *from, const char *to)
{
        move(&u->all, from, to);
        move(&u->scheme_text, from, to);
        move(&u->user, from, to);
        move(&u->password, from, to);
        move(&u->host, from, to);
        move(&u->params, from, to);
        move(&u->headers, from, to);
        move(&u->opaque, from, to);
}

bool bl_uri_param(const struct bl_uri *u, struct bl_str name, struct bl_str *ret_value)
{
        struct bl_str list = u->params;
        struct bl_param param;

        while (bl_params_next(&list, &param)) {
                /* "%6C%72" is "lr": RFC 3261 19.1.4, RFC 4475 3.1.1.3 */
                if (!bl_text_eq(param.name, name, true))
                        continue;
                if (ret_value)
                        *ret_value = param.value;
                return true;
        }
        return false;
}

bool bl_uri_is_lr(const struct bl_uri *u)
{
        return u->params.n && bl_uri_param(u, BL_STR("lr"), NULL);
}

int bl_uri_addr(const struct bl_uri *u, struct bl_addr *ret_addr)
{
        struct bl_addr addr;

        if (u->host.n == 0 || u->host_kind == BL_HOST_NAME || bl_addr_parse(u->host, &addr) < 0)
                return BL_ENOENT;
        addr.port = u->port;
        *ret_addr = addr;
        return 0;
}

void bl_uri_put_without(struct bl_sb *b, const struct bl_uri *u, const struct bl_str *drop, size_t n)
{
        struct bl_str list = u->params;
        struct bl_param param;

        if (!list.n) {
                bl_sb_add(b, u->all);
                return;
        }
        bl_sb_add(b, bl_str_make(u->all.p, (size_t)(list.p - u->all.p)));
        while (bl_params_next(&list, &param)) {
                bool keep = true;

                for (size_t i = 0; i < n; i++)
                        keep &= !bl_str_ieq(param.name, drop[i]);
                if (keep)
                        bl_sb_add(b, param.all);
        }
        bl_sb_add(b, u->headers);
}

void bl_uri_escape_user(struct bl_sb *b, struct bl_str raw, const char *also)
{
        static const char hex[] = "0123456789ABCDEF";

        for (size_t i = 0; i < raw.n; i++) {
                unsigned char c = (unsigned char)raw.p[i];

                if (bl_is((char)c, C_USER) && !(also && strchr(also, (char)c))) {
                        bl_sb_addc(b, (char)c);
                        continue;
                }
                bl_sb_addc(b, '%');
                bl_sb_addc(b, hex[c >> 4]);
                bl_sb_addc(b, hex[c & 15]);
        }
}

int bl_uri_unescape(struct bl_str s, struct bl_sb *out)
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] != '%') {
                        bl_sb_addc(out, s.p[i]);
                        continue;
                }
                if (s.n - i < 3 || !bl_is(s.p[i + 1], C_HEX) || !bl_is(s.p[i + 2], C_HEX))
                        return BL_EMALFORMED;
                bl_sb_addc(out, (char)(bl_hex_digit(s.p[i + 1]) << 4 | bl_hex_digit(s.p[i + 2])));
                i += 2;
        }
        return 0;
}
