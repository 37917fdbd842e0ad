#include "sip/digest.h"

#include "sip/scan.h"

enum key { USERNAME, REALM, NONCE, URI, RESPONSE, CNONCE, NC, QOP, OPAQUE, DOMAIN, ALGORITHM, STALE, KEYS };

static const struct bl_str keys[KEYS] = {
        BL_STR("username"), BL_STR("realm"), BL_STR("nonce"),  BL_STR("uri"),    BL_STR("response"),  BL_STR("cnonce"),
        BL_STR("nc"),       BL_STR("qop"),   BL_STR("opaque"), BL_STR("domain"), BL_STR("algorithm"), BL_STR("stale"),
};

/* name EQUAL ( token / quoted-string ) at p. Returns where it ends. */
static const char *scan_pair(const char *p, const char *end, struct bl_str *ret_name, struct bl_str *ret_value)
{
        const char *q = bl_scan_run(p, end, C_TOKEN);

        if (q == p)
                return NULL;
        *ret_name = bl_str_make(p, (size_t)(q - p));
        p = bl_scan_lws(q, end);
        if (p == end || *p != '=')
                return NULL;
        p = bl_scan_lws(p + 1, end);
        if (p < end && *p == '"') {
                q = bl_scan_quoted(p, end);
                if (!q)
                        return NULL;
                *ret_value = bl_str_make(p + 1, (size_t)(q - p - 2));
                return q;
        }
        /* RFC 3261 25.1 lets unknown parameters be host names too */
        q = bl_scan_run(p, end, C_GEN);
        *ret_value = bl_str_make(p, (size_t)(q - p));
        return q == p ? NULL : q;
}

static enum key key_from(struct bl_str name)
{
        unsigned k = 0;

        while (k < KEYS && (name.n != keys[k].n || !bl_str_ieq(name, keys[k])))
                k++;
        return (enum key)k;
}

static bool list_has_auth(struct bl_str list)
{
        struct bl_str one;

        while (list.n) {
                (void)bl_str_cut(list, ',', &one, &list);
                if (bl_str_ieq(bl_str_trim(one), BL_STR("auth")))
                        return true;
        }
        return false;
}

static enum bl_digest_alg algorithm_from(struct bl_str s)
{
        if (s.n == 0 || bl_str_ieq(s, BL_STR("MD5")))
                return BL_DIGEST_MD5; /* RFC 7616 3.3: MD5 when absent */
        return bl_str_ieq(s, BL_STR("SHA-256")) ? BL_DIGEST_SHA256 : BL_DIGEST_UNKNOWN;
}

static void fill(struct bl_digest *d, const struct bl_str v[KEYS])
{
        *d = (struct bl_digest){
                .username = v[USERNAME],
                .realm = v[REALM],
                .nonce = v[NONCE],
                .uri = v[URI],
                .response = v[RESPONSE],
                .cnonce = v[CNONCE],
                .nc = v[NC],
                .qop = v[QOP],
                .opaque = v[OPAQUE],
                .domain = v[DOMAIN],
                .algorithm_text = v[ALGORITHM],
                .algorithm = algorithm_from(v[ALGORITHM]),
                .stale = bl_str_ieq(v[STALE], BL_STR("true")),
                .qop_auth = list_has_auth(v[QOP]),
        };
}

int bl_digest_parse(struct bl_str value, struct bl_digest *ret_digest)
{
        struct bl_str s = bl_str_trim(value), v[KEYS], name, text;
        const char *p = s.p, *end, *q;
        uint32_t seen = 0;

        if (s.n == 0)
                return BL_EMALFORMED;
        end = p + s.n;
        q = bl_scan_run(p, end, C_TOKEN);
        if (q == p)
                return BL_EMALFORMED;
        if (!bl_str_ieq(bl_str_make(p, (size_t)(q - p)), BL_STR("Digest")))
                return BL_EPROTO;
        p = bl_scan_lws(q, end);
        if (p == q)
                return BL_EMALFORMED;
        for (unsigned k = 0; k < KEYS; k++)
                v[k] = bl_str_make("", 0);
        for (;;) {
                enum key key;

                p = scan_pair(p, end, &name, &text);
                if (!p)
                        return BL_EMALFORMED;
                key = key_from(name);
                if (key != KEYS) {
                        if (seen >> key & 1)
                                return BL_EPROTO;
                        seen |= 1u << key;
                        v[key] = text;
                }
                p = bl_scan_lws(p, end);
                if (p == end)
                        break;
                if (*p != ',')
                        return BL_EMALFORMED;
                p = bl_scan_lws(p + 1, end);
        }
        fill(ret_digest, v);
        return 0;
}
