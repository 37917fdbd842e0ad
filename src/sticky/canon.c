#include "sticky/canon.h"

static const struct {
        const char *name;
        uint8_t n;
} never_ignored[] = {{"user", 4}, {"ttl", 3}, {"method", 6}, {"maddr", 5}, {"transport", 9}}; /* RFC 3261 19.1.4 */

static bool is_identity(const char *name, size_t n)
{
        if (n < 3) /* lr, d, n, ob: nearly all */
                return false;
        for (size_t i = 0; i < BL_ARRAY_LEN(never_ignored); i++)
                if (n == never_ignored[i].n && memcmp(name, never_ignored[i].name, n) == 0)
                        return true;
        return false;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = bl_lower(c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3261 19.1.4: a character equals its escape, but for the reserved ones (and '%', which is never bare). */
static bool equals_escape(int c)
{
        return c > 0x20 && c < 0x7f && !strchr(";/?:@&=+$,%", c);
}

/* Octets that put_plain copies without a look: all but '%', and but upper case where it is lowered. */
static char *put_plain(char *at, struct bl_str s, bool lower)
{
        if (!lower)
                return memcpy(at, s.p, s.n), at + s.n;
        for (size_t i = 0; i < s.n; i++)
                at[i] = bl_lower(s.p[i]);
        return at + s.n;
}

/* The escape at s.p[i] as one octet or in its one spelling; returns the new end. */
static char *put_escape(char *at, const char *p, bool lower)
{
        int v = hex_digit(p[1]) << 4 | hex_digit(p[2]);

        if (equals_escape(v)) {
                *at++ = lower ? bl_lower((char)v) : (char)v;
                return at;
        }
        *at++ = '%';
        *at++ = bl_lower(p[1]);
        *at++ = bl_lower(p[2]);
        return at;
}

/* Copies s, escapes in their one spelling; returns the new end, or NULL when it does not fit before `end`. */
static char *put_text(char *at, const char *end, struct bl_str s, bool lower)
{
        const char *escape;

        if ((size_t)(end - at) < s.n)
                return NULL;
        while (s.n && (escape = memchr(s.p, '%', s.n)) != NULL) {
                size_t before = (size_t)(escape - s.p);
                bool whole = s.n - before > 2 && hex_digit(escape[1]) >= 0 && hex_digit(escape[2]) >= 0;

                at = put_plain(at, bl_str_make(s.p, before), lower);
                if (whole)
                        at = put_escape(at, escape, lower);
                else
                        *at++ = '%';
                s = bl_str_from(s, before + (whole ? 3 : 1));
        }
        return s.n ? put_plain(at, s, lower) : at;
}

int canon_host(struct bl_str host, char *out, size_t cap)
{
        struct bl_addr a;

        if (host.n && (host.p[0] == '[' || memchr(host.p, ':', host.n)) && bl_addr_parse(host, &a) == 0) {
                struct bl_sb sb = {out, 0, cap, false};

                bl_addr_put_ip(&sb, &a);
                return sb.over ? BL_ELIMIT : (int)sb.n;
        }
        if (host.n && host.p[host.n - 1] == '.')
                host.n--;
        if (host.n > cap)
                return BL_ELIMIT;
        for (size_t i = 0; i < host.n; i++)
                out[i] = bl_lower(host.p[i]);
        return (int)host.n;
}

static char *put_port(char *at, const char *end, uint16_t port)
{
        char digits[5];
        int n = 0;

        if (end - at < 6)
                return NULL;
        *at++ = ':';
        for (unsigned v = port; v; v /= 10)
                digits[n++] = (char)('0' + v % 10);
        while (n)
                *at++ = digits[--n];
        return at;
}

static char *put_identity(struct canon *c, const struct bl_uri *u, char *at, const char *end)
{
        int n;

        if (u->has_user) {
                at = put_text(at, end, u->user, false);
                if (at && u->password.n && at < end) {
                        *at++ = ':';
                        at = put_text(at, end, u->password, false);
                }
                if (!at || at == end)
                        return NULL;
                *at++ = '@';
        }
        n = canon_host(u->host, at, (size_t)(end - at));
        if (n < 0)
                return NULL;
        c->host_off = (uint16_t)(at - c->text);
        c->host_n = (uint16_t)n;
        at += n;
        return u->port ? put_port(at, end, u->port) : at;
}

static int compare_names(struct bl_str a, struct bl_str b)
{
        size_t n = a.n < b.n ? a.n : b.n;
        int d = n ? memcmp(a.p, b.p, n) : 0;

        return d ? d : (a.n > b.n) - (a.n < b.n);
}

struct sorted { /* parameters in a scratch text, in order of their names */
        char *text;
        char *at;
        const char *end;
        struct canon_param par[CANON_PARAMS];
        unsigned n;
};

static struct bl_str sorted_name(const struct sorted *s, const struct canon_param *p)
{
        return bl_str_make(s->text + p->off + 1, p->name_n);
}

/* Inserts one parameter by its name. */
static int sorted_add(struct sorted *s, const struct bl_param *param)
{
        struct canon_param new = {.off = (uint16_t)(s->at - s->text)};
        unsigned i = s->n;

        if (s->n == CANON_PARAMS || s->at == s->end)
                return BL_ELIMIT;
        *s->at++ = ';';
        char *name = s->at;
        s->at = put_text(s->at, s->end, param->name, true);
        if (!s->at)
                return BL_ELIMIT;
        new.name_n = (uint16_t)(s->at - name);
        /* `lr`, `lr=on` and `lr=true` are one */
        if (param->has_value && !(new.name_n == 2 && name[0] == 'l' && name[1] == 'r')) {
                if (s->at == s->end)
                        return BL_ELIMIT;
                *s->at++ = '=';
                s->at = put_text(s->at, s->end, param->value, true);
                if (!s->at)
                        return BL_ELIMIT;
        }
        new.n = (uint16_t)(s->at - s->text - new.off);
        for (; i > 0; i--) {
                int d = compare_names(sorted_name(s, &s->par[i - 1]), sorted_name(s, &new));

                if (d == 0)
                        return BL_EINVAL; /* RFC 3261 19.1.1: a name must not appear twice */
                if (d < 0)
                        break;
        }
        memmove(&s->par[i + 1], &s->par[i], (s->n - i) * sizeof(s->par[0]));
        s->par[i] = new;
        s->n++;
        return 0;
}

static int sort_params(struct sorted *s, struct bl_str list)
{
        struct bl_param param;
        int rc = 0;

        while (rc == 0 && bl_params_next(&list, &param))
                rc = sorted_add(s, &param);
        return rc;
}

/* Writes the parameters of one sort: identity's, or the others. */
static char *put_sorted(struct canon *c, const struct sorted *s, bool identity, char *at, const char *end)
{
        for (unsigned i = 0; i < s->n; i++) {
                const struct canon_param *p = &s->par[i];

                if (is_identity(s->text + p->off + 1, p->name_n) != identity)
                        continue;
                if (end - at < p->n)
                        return NULL;
                memcpy(at, s->text + p->off, p->n);
                if (!identity) {
                        c->par[c->n] = *p;
                        c->par[c->n++].off = (uint16_t)(at - c->text);
                }
                at += p->n;
        }
        return at;
}

/* What canon_plain knows: nothing, or one parameter without a value, in the one spelling that it has here. */
static char *put_plain_param(struct canon *c, struct bl_str params, char *at, const char *end)
{
        if (params.n == 0)
                return at;
        if ((size_t)(end - at) < params.n)
                return NULL;
        c->par[c->n++] = (struct canon_param){
                .off = (uint16_t)(at - c->text), .n = (uint16_t)params.n, .name_n = (uint16_t)(params.n - 1)};
        memcpy(at, params.p, params.n);
        return at + params.n;
}

int canon_make(struct canon *c, const struct bl_uri *u, uint64_t seed)
{
        char scratch[CANON_MAX], *at;
        const char *end = c->text + CANON_MAX;
        struct sorted s = {.text = scratch, .at = scratch, .end = scratch + sizeof(scratch)};
        enum canon_plain plain;
        struct bl_hasher hasher;
        uint64_t hash[2];
        int rc = 0;

        if ((u->scheme != BL_SCHEME_SIP && u->scheme != BL_SCHEME_SIPS) || u->host.n == 0)
                return BL_EINVAL;
        c->n = 0;
        c->has_user = u->has_user;
        c->sips = u->scheme == BL_SCHEME_SIPS;
        plain = canon_plain(u->params); /* nearly all have no parameters, or ;lr */
        if (plain == CANON_OTHER)
                rc = sort_params(&s, u->params);
        if (rc < 0)
                return rc;
        at = put_identity(c, u, c->text, end);
        at = at ? put_sorted(c, &s, true, at, end) : NULL;
        if (!at)
                return BL_ELIMIT;
        c->id_n = (uint16_t)(at - c->text);
        at = plain == CANON_OTHER ? put_sorted(c, &s, false, at, end) : put_plain_param(c, u->params, at, end);
        if (!at)
                return BL_ELIMIT;
        c->par_n = (uint16_t)(at - c->text - c->id_n);
        bl_hasher_init(&hasher, seed);
        bl_hasher_add(&hasher, canon_id(c));
        bl_hasher_end2(&hasher, hash);
        c->id_hash = hash[0];
        c->id_check = (uint16_t)hash[1];
        return 0;
}

bool canon_next(struct bl_str *params, struct bl_str *ret_name, struct bl_str *ret_all)
{
        const char *p = params->p, *end = p + params->n, *eq = NULL, *q;

        if (params->n == 0)
                return false;
        for (q = p + 1; q < end && *q != ';'; q++)
                if (*q == '=' && !eq)
                        eq = q;
        *ret_name = bl_str_make(p + 1, (size_t)((eq ? eq : q) - p - 1));
        *ret_all = bl_str_make(p, (size_t)(q - p));
        *params = bl_str_make(q, (size_t)(end - q));
        return true;
}

bool canon_agree(struct bl_str params, struct bl_str other)
{
        struct bl_str an, aa, bn, ba;
        bool a = canon_next(&params, &an, &aa), b = canon_next(&other, &bn, &ba);

        while (a && b) {
                int d = compare_names(an, bn);

                if (d == 0 && !bl_str_eq(aa, ba))
                        return false;
                if (d <= 0)
                        a = canon_next(&params, &an, &aa);
                if (d >= 0)
                        b = canon_next(&other, &bn, &ba);
        }
        return true;
}

bool canon_same_names(struct bl_str params, struct bl_str other)
{
        struct bl_str an, aa, bn, ba;

        for (;;) {
                bool a = canon_next(&params, &an, &aa), b = canon_next(&other, &bn, &ba);

                if (!a || !b)
                        return a == b;
                if (!bl_str_eq(an, bn))
                        return false;
        }
}

size_t canon_common(struct bl_str like, struct bl_str params, uint32_t *ret_mask, char *out)
{
        struct bl_str an, aa, bn, ba;
        bool a = canon_next(&like, &an, &aa), b = canon_next(&params, &bn, &ba);
        uint32_t bit = 1, mask = 0;
        size_t n = 0;

        while (a && b) {
                int d = compare_names(an, bn);

                if (d == 0) {
                        mask |= bit;
                        memcpy(out + n, ba.p, ba.n);
                        n += ba.n;
                }
                if (d <= 0) {
                        a = canon_next(&like, &an, &aa);
                        bit <<= 1;
                }
                if (d >= 0)
                        b = canon_next(&params, &bn, &ba);
        }
        *ret_mask = mask;
        return n;
}
