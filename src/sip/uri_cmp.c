/*
 * Comparing URIs. Both comparisons and the hash see a URI through the same canonical units, so that
 * exact => equivalent => same hash holds by construction:
 *
 *   text   an escape stands for its octet, unless that octet is reserved (RFC 3261 19.1.4): "%61" is "a", "%40" is not
 * "@" host   lower case, one trailing dot dropped, IPv6 by value port   as written: none and 5060 differ (RFC
 * 3261 19.1.4) lr     one parameter, whatever its value
 */
#include "base/hash.h"
#include "sip/scan.h"

enum { HASH_MAX = 256 /* octets of a user part or value that the hash looks at */ };

static bool is_reserved(unsigned c)
{
        return memchr(";/?:@&=+$,", (int)c, 10) != NULL;
}

/* The next unit of [*p, end): an octet, or 256 + octet for one that is reserved and escaped. */
static unsigned next_unit(const char **p, const char *end, bool fold)
{
        unsigned c = (unsigned char)*(*p)++;

        if (c == '%' && end - *p >= 2 && bl_is((*p)[0], C_HEX) && bl_is((*p)[1], C_HEX)) {
                c = (unsigned)(bl_hex_digit((*p)[0]) << 4 | bl_hex_digit((*p)[1]));
                *p += 2;
                if (c && is_reserved(c))
                        return 256 + c;
        }
        return fold && c < 128 ? (unsigned char)bl_lower((char)c) : c;
}

bool bl_text_eq(struct bl_str a, struct bl_str b, bool fold)
{
        const char *p = a.p, *q = b.p, *pe, *qe;

        if (bl_str_eq(a, b))
                return true;
        if (a.n == 0 || b.n == 0)
                return false;
        pe = p + a.n;
        qe = q + b.n;
        while (p < pe && q < qe)
                if (next_unit(&p, pe, fold) != next_unit(&q, qe, fold))
                        return false;
        return p == pe && q == qe;
}

/* Equal texts hash alike; only so much of a long one is looked at. */
static uint64_t text_hash(uint64_t seed, struct bl_str s, bool fold)
{
        char units[HASH_MAX];
        size_t n = 0;

        if (s.n == 0)
                return bl_hash(seed, s);
        if (!fold && !memchr(s.p, '%', s.n))
                return bl_hash(seed, bl_str_make(s.p, s.n < HASH_MAX ? s.n : HASH_MAX));
        for (const char *p = s.p, *end = p + s.n; p < end && n < HASH_MAX; n++) {
                unsigned unit = next_unit(&p, end, fold);

                /* an escaped reserved octet needs a value of its own: one that no URI has bare */
                units[n] = (char)(unit < 256 ? unit : 0x80 | (unit & 0x7f));
        }
        return bl_hash(seed, bl_str_make(units, n));
}

static struct bl_str host_trim(struct bl_str h)
{
        if (h.n > 1 && h.p[h.n - 1] == '.')
                h.n--;
        return h;
}

bool bl_host_eq(struct bl_str a, struct bl_str b)
{
        struct bl_addr x, y;

        a = host_trim(a);
        b = host_trim(b);
        if (a.n == b.n && bl_str_ieq(a, b))
                return true;
        if (!a.n || !b.n || (a.p[0] != '[' && b.p[0] != '['))
                return false;
        return bl_addr_parse(a, &x) == 0 && bl_addr_parse(b, &y) == 0 && bl_addr_eq_ip(&x, &y);
}

static uint64_t host_hash(uint64_t seed, struct bl_str h)
{
        struct bl_addr addr;

        h = host_trim(h);
        if (h.n && h.p[0] == '[' && bl_addr_parse(h, &addr) == 0)
                return bl_hash(seed, bl_str_make((const char *)addr.ip, sizeof addr.ip));
        return bl_hash_lower(seed, h);
}

/* Parameters that count even when only one side has them (RFC 3261 19.1.4). */
enum special { NOT_SPECIAL, USER, TTL, METHOD, MADDR, TRANSPORT, SPECIALS };

static const struct bl_str special_names[SPECIALS] = {
        {"", 0}, BL_STR("user"), BL_STR("ttl"), BL_STR("method"), BL_STR("maddr"), BL_STR("transport"),
};

static enum special special_from(struct bl_str name)
{
        static const uint8_t by_len[] = {[3] = TTL, [4] = USER, [5] = MADDR, [6] = METHOD, [9] = TRANSPORT};
        enum special s = name.n < sizeof by_len ? (enum special)by_len[name.n] : NOT_SPECIAL;

        if (s != NOT_SPECIAL && bl_str_ieq(name, special_names[s]))
                return s;
        if (memchr(name.p, '%', name.n)) /* "tr%61nsport" is one too */
                for (unsigned i = 1; i < SPECIALS; i++)
                        if (bl_text_eq(name, special_names[i], true))
                                return (enum special)i;
        return NOT_SPECIAL;
}

static bool value_eq(const struct bl_param *a, const struct bl_param *b)
{
        if (bl_text_eq(a->name, BL_STR("lr"), true))
                return true;
        return a->has_value == b->has_value && bl_text_eq(a->value, b->value, true);
}

enum found { ABSENT, DIFFERENT, EQUAL };

/* Whether `list` has the parameter `want`. One named twice is the set of its values. */
static enum found lookup(struct bl_str list, const struct bl_param *want)
{
        enum found found = ABSENT;
        struct bl_param param;

        while (bl_params_next(&list, &param)) {
                if (!bl_text_eq(param.name, want->name, true))
                        continue;
                if (value_eq(&param, want))
                        return EQUAL;
                found = DIFFERENT;
        }
        return found;
}

/* All parameters of `a` are in `b` with the same value; those only `a` has are forgiven unless `all`, or special. */
static bool params_within(struct bl_str a, struct bl_str b, bool all)
{
        struct bl_param param;

        while (bl_params_next(&a, &param)) {
                enum found found = lookup(b, &param);

                if (found == DIFFERENT || (found == ABSENT && (all || special_from(param.name) != NOT_SPECIAL)))
                        return false;
        }
        return true;
}

static bool params_eq(struct bl_str a, struct bl_str b, bool all)
{
        return bl_str_eq(a, b) || (params_within(a, b, all) && params_within(b, a, all));
}

static bool next_header(struct bl_str *list, struct bl_str *ret_name, struct bl_str *ret_value)
{
        struct bl_str one, rest;

        if (!list->n)
                return false;
        (void)bl_str_cut(bl_str_from(*list, 1), '&', &one, &rest); /* past "?" or "&" */
        *list = rest.n ? bl_str_make(rest.p - 1, rest.n + 1) : rest;
        (void)bl_str_cut(one, '=', ret_name, ret_value);
        return true;
}

static bool headers_within(struct bl_str a, struct bl_str b)
{
        struct bl_str name, value, other_name, other_value;

        while (next_header(&a, &name, &value)) {
                struct bl_str list = b;
                bool found = false;

                while (!found && next_header(&list, &other_name, &other_value))
                        found = bl_text_eq(name, other_name, true) && bl_text_eq(value, other_value, false);
                if (!found)
                        return false;
        }
        return true;
}

/* RFC 3261 19.1.4: header components are never ignored; their order is. */
static bool headers_eq(struct bl_str a, struct bl_str b)
{
        return bl_str_eq(a, b) || (headers_within(a, b) && headers_within(b, a));
}

static bool is_separator(char c)
{
        return c == '-' || c == '.' || c == '(' || c == ')';
}

/* RFC 3966 section 5: visual separators do not count, hex digits in any case. */
static size_t tel_digits(struct bl_str number, char *out, size_t cap)
{
        size_t n = 0;

        for (size_t i = 0; i < number.n && n < cap; i++)
                if (!is_separator(number.p[i]))
                        out[n++] = bl_lower(number.p[i]);
        return n;
}

static bool tel_number_eq(struct bl_str a, struct bl_str b)
{
        size_t i = 0, j = 0;

        for (;; i++, j++) {
                while (i < a.n && is_separator(a.p[i]))
                        i++;
                while (j < b.n && is_separator(b.p[j]))
                        j++;
                if (i == a.n || j == b.n)
                        return i == a.n && j == b.n;
                if (bl_lower(a.p[i]) != bl_lower(b.p[j]))
                        return false;
        }
}

static bool schemes_alike(const struct bl_uri *a, const struct bl_uri *b, bool secure_alike)
{
        bool both_sip = a->scheme <= BL_SCHEME_SIPS && b->scheme <= BL_SCHEME_SIPS;

        if (a->scheme == BL_SCHEME_OTHER)
                return b->scheme == BL_SCHEME_OTHER && bl_str_ieq(a->scheme_text, b->scheme_text);
        return a->scheme == b->scheme || (both_sip && secure_alike);
}

static bool uri_eq(const struct bl_uri *a, const struct bl_uri *b, bool secure_alike, bool all)
{
        if (!schemes_alike(a, b, secure_alike))
                return false;
        switch (a->scheme) {
        case BL_SCHEME_TEL:
                /* RFC 3966 section 5: the same parameters, in any order */
                return tel_number_eq(a->user, b->user) && params_eq(a->params, b->params, true);
        case BL_SCHEME_OTHER:
                return bl_str_eq(a->opaque, b->opaque);
        default:
                return a->port == b->port && a->has_user == b->has_user && bl_host_eq(a->host, b->host) &&
                       bl_text_eq(a->user, b->user, false) && bl_text_eq(a->password, b->password, false) &&
                       params_eq(a->params, b->params, all) && headers_eq(a->headers, b->headers);
        }
}

bool bl_uri_exact(const struct bl_uri *a, const struct bl_uri *b, bool secure_alike)
{
        return uri_eq(a, b, secure_alike, true);
}

bool bl_uri_equivalent(const struct bl_uri *a, const struct bl_uri *b, bool secure_alike)
{
        return uri_eq(a, b, secure_alike, false);
}

/* One named twice is a set: the largest of its hashes stands for it, in any order and number. */
static uint64_t specials_hash(uint64_t seed, struct bl_str params)
{
        uint64_t h[SPECIALS] = {0}, sum = 0;
        struct bl_param param;

        while (bl_params_next(&params, &param)) {
                enum special s = special_from(param.name);
                uint64_t v;

                if (s == NOT_SPECIAL)
                        continue;
                v = text_hash(seed + s, param.value, true);
                h[s] = v > h[s] ? v : h[s];
        }
        for (unsigned s = 1; s < SPECIALS; s++)
                sum += h[s] * (2 * s + 1);
        return sum;
}

uint64_t bl_uri_hash(uint64_t seed, const struct bl_uri *u)
{
        char digits[HASH_MAX];
        uint64_t h;

        switch (u->scheme) {
        case BL_SCHEME_TEL:
                return bl_hash(seed + 1, bl_str_make(digits, tel_digits(u->user, digits, sizeof digits)));
        case BL_SCHEME_OTHER:
                return bl_hash(seed + 2, u->opaque);
        default:
                h = bl_hash_mix(host_hash(seed, u->host), u->port);
                if (u->has_user)
                        h = bl_hash_mix(h, text_hash(seed, u->user, false));
                return u->params.n ? h + specials_hash(seed, u->params) : h;
        }
}
