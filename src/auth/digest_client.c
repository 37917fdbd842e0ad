#include "auth/digest_client.h"

#include "auth/digest_hash.h"

/* SHA-256 before MD5; 0: we cannot answer it. */
static unsigned strength(const struct bl_digest *d, const struct bl_digest_session *s)
{
        if (d->realm.n > sizeof(s->realm) || d->nonce.n > sizeof(s->nonce) || d->opaque.n > sizeof(s->opaque) ||
            d->nonce.n == 0)
                return 0;
        if (d->qop.n && !d->qop_auth)
                return 0; /* auth-int only */
        switch (d->algorithm) {
        case BL_DIGEST_SHA256:
                return 2;
        case BL_DIGEST_MD5:
                return 1;
        case BL_DIGEST_UNKNOWN:
                break;
        }
        return 0;
}

int bl_digest_take(struct bl_digest_session *s, const struct bl_msg *response)
{
        bool proxy = response->status == 407;
        const struct bl_hdr *h = bl_msg_first(response, proxy ? BL_H_PROXY_AUTHENTICATE : BL_H_WWW_AUTHENTICATE);
        struct bl_digest d, best = {0};
        unsigned top = 0;

        for (; h; h = bl_msg_next(response, h)) {
                if (bl_digest_parse(bl_hdr_value(response, h), &d) < 0)
                        continue;
                if (strength(&d, s) > top) {
                        top = strength(&d, s);
                        best = d;
                }
        }
        if (top == 0)
                return BL_ENOENT;
        if (s->active && s->nonce_n == best.nonce.n && memcmp(s->nonce, best.nonce.p, best.nonce.n) == 0 &&
            !best.stale && s->nc > 0)
                return BL_EREFUSED; /* RFC 3261 section 22.1: the same credentials would be rejected again */
        *s = (struct bl_digest_session){.realm_n = (uint8_t)best.realm.n,
                                        .opaque_n = (uint8_t)best.opaque.n,
                                        .nonce_n = (uint16_t)best.nonce.n,
                                        .algorithm = (uint8_t)best.algorithm,
                                        .proxy = proxy,
                                        .qop_auth = best.qop.n != 0,
                                        .active = true};
        memcpy(s->realm, best.realm.p, best.realm.n);
        memcpy(s->nonce, best.nonce.p, best.nonce.n);
        if (best.opaque.n)
                memcpy(s->opaque, best.opaque.p, best.opaque.n);
        return 0;
}

static void put_quoted(struct bl_sb *out, const char *name, struct bl_str value)
{
        bl_sb_addz(out, name);
        bl_sb_addz(out, "=\"");
        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] == '"' || value.p[i] == '\\')
                        bl_sb_addc(out, '\\');
                bl_sb_addc(out, value.p[i]);
        }
        bl_sb_addc(out, '"');
}

/* What came quoted goes back with the escapes that it had. */
static void put_echo(struct bl_sb *out, const char *name, const char *p, size_t n)
{
        bl_sb_addz(out, name);
        bl_sb_addz(out, "=\"");
        bl_sb_add(out, bl_str_make(p, n));
        bl_sb_addc(out, '"');
}

void bl_digest_answer(struct bl_digest_session *s, struct bl_str user, struct bl_str password, struct bl_str method,
                      struct bl_str uri, const uint8_t cnonce[8], struct bl_sb *out)
{
        enum bl_digest_alg alg = (enum bl_digest_alg)s->algorithm;
        char ha1[BL_DIGEST_HEX], response[BL_DIGEST_HEX], nonce_text[16], nc_text[8];
        struct bl_sb cnonce_hex = BL_SB(nonce_text), nc = BL_SB(nc_text);
        struct bl_digest d = {.nonce = bl_str_make(s->nonce, s->nonce_n), .uri = uri};
        uint32_t count = ++s->nc;

        if (s->qop_auth) {
                bl_sb_hex(&cnonce_hex, cnonce, 8);
                bl_sb_hex(&nc,
                          (const uint8_t[]){(uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8),
                                            (uint8_t)count},
                          4);
                d.cnonce = bl_sb_str(&cnonce_hex);
                d.nc = bl_sb_str(&nc);
                d.qop = BL_STR("auth");
        }
        bl_sb_addz(out, s->proxy ? "Proxy-Authorization: Digest " : "Authorization: Digest ");
        put_quoted(out, "username", user);
        put_echo(out, ", realm", s->realm, s->realm_n);
        put_echo(out, ", nonce", s->nonce, s->nonce_n);
        put_quoted(out, ", uri", uri);
        put_quoted(out, ", response",
                   bl_digest_hash_response(
                           alg, bl_digest_hash_ha1(alg, user, bl_str_make(s->realm, s->realm_n), password, ha1), &d,
                           method, response));
        bl_sb_addz(out, alg == BL_DIGEST_SHA256 ? ", algorithm=SHA-256" : ", algorithm=MD5");
        if (s->qop_auth) {
                put_quoted(out, ", cnonce", d.cnonce);
                bl_sb_addz(out, ", qop=auth, nc=");
                bl_sb_add(out, d.nc);
        }
        if (s->opaque_n)
                put_echo(out, ", opaque", s->opaque, s->opaque_n);
        bl_sb_addz(out, "\r\n");
}
