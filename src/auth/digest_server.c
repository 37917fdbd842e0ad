#include "auth/digest_server.h"

#include "auth/digest_hash.h"
#include "auth/token_internal.h"

/*
 * A nonce is the second it was made in and a MAC over that and the realm: 5 + 15 octets, base64url. Nothing is stored.
 * Within its lifetime it may be used any number of times, as RFC 7616 section 3.4 leaves to the server; what a thief of
 * an Authorization could repeat is that one request to that one URI.
 */
enum { NONCE_TIME = 5, NONCE_MAC = 15, NONCE_CHARS = 27, LIFETIME_DEFAULT_S = 300, CLOCK_SKEW_S = 30 };

static void nonce_octets(const struct token_key *k, struct bl_str realm, int64_t wall,
                         uint8_t ret[NONCE_TIME + NONCE_MAC])
{
        uint8_t mac[BL_TAG_LEN];

        for (unsigned i = 0; i < NONCE_TIME; i++)
                ret[i] = (uint8_t)((uint64_t)wall >> (8 * (NONCE_TIME - 1 - i)));
        bl_tag(&k->challenge, (const struct bl_str[]){bl_str_make((const char *)ret, NONCE_TIME), realm}, 2, mac);
        memcpy(ret + NONCE_TIME, mac, NONCE_MAC);
}

/* When it was made; BL_EAUTH for one that is not ours. */
static int nonce_open(const struct bl_nonces *n, struct bl_str realm, struct bl_str nonce, int64_t *ret_wall)
{
        uint8_t got[NONCE_TIME + NONCE_MAC], want[NONCE_TIME + NONCE_MAC];
        const struct token_set *s = token_set(n->keys);
        uint64_t wall = 0;
        bool ours = false;

        if (nonce.n != NONCE_CHARS || bl_b64url_decode(nonce, got, sizeof(got)) != sizeof(got))
                return BL_EAUTH;
        for (unsigned i = 0; i < NONCE_TIME; i++)
                wall = wall << 8 | got[i];
        for (unsigned i = 0; i < s->n && !ours; i++) { /* which key made it is no secret */
                nonce_octets(&s->key[i], realm, (int64_t)wall, want);
                ours = bl_equal_ct(got, want, sizeof(want));
        }
        if (!ours)
                return BL_EAUTH;
        *ret_wall = (int64_t)wall;
        return 0;
}

static void put_challenge(struct bl_str realm, struct bl_str nonce, bool proxy, bool stale, const char *algorithm,
                          struct bl_sb *out)
{
        bl_sb_addz(out, proxy ? "Proxy-Authenticate: Digest realm=\"" : "WWW-Authenticate: Digest realm=\"");
        bl_sb_add(out, realm);
        bl_sb_addz(out, "\", nonce=\"");
        bl_sb_add(out, nonce);
        bl_sb_addz(out, "\", algorithm=");
        bl_sb_addz(out, algorithm);
        bl_sb_addz(out, stale ? ", qop=\"auth\", stale=true\r\n" : ", qop=\"auth\"\r\n");
}

void bl_digest_challenge(const struct bl_nonces *n, struct bl_str realm, bool proxy, bool stale, int64_t wall,
                         struct bl_sb *out)
{
        uint8_t octets[NONCE_TIME + NONCE_MAC];
        char text[NONCE_CHARS];
        struct bl_sb nonce = BL_SB(text);

        nonce_octets(token_signer(n->keys), realm, wall, octets);
        bl_sb_b64url(&nonce, octets, sizeof(octets));
        if (n->offer != BL_DIGEST_OFFER_MD5) /* RFC 8760 section 2.4: the preferred one first */
                put_challenge(realm, bl_sb_str(&nonce), proxy, stale, "SHA-256", out);
        if (n->offer != BL_DIGEST_OFFER_SHA256)
                put_challenge(realm, bl_sb_str(&nonce), proxy, stale, "MD5", out);
}

bool bl_digest_find(const struct bl_msg *m, bool proxy, struct bl_str realm, struct bl_digest *ret_digest)
{
        const struct bl_hdr *h = bl_msg_first(m, proxy ? BL_H_PROXY_AUTHORIZATION : BL_H_AUTHORIZATION);

        for (; h; h = bl_msg_next(m, h)) {
                struct bl_digest d;

                if (bl_digest_parse(bl_hdr_value(m, h), &d) < 0 || !bl_str_eq(d.realm, realm) ||
                    d.algorithm == BL_DIGEST_UNKNOWN)
                        continue;
                *ret_digest = d;
                return true;
        }
        return false;
}

static bool is_offered(const struct bl_nonces *n, enum bl_digest_alg algorithm)
{
        return n->offer == BL_DIGEST_OFFER_BOTH || (n->offer == BL_DIGEST_OFFER_MD5) == (algorithm == BL_DIGEST_MD5);
}

static bool is_lhex(struct bl_str s, size_t n)
{
        for (size_t i = 0; i < s.n; i++) {
                char c = bl_lower(s.p[i]);

                if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                        return false;
        }
        return s.n == n;
}

static bool is_well_formed(const struct bl_digest *d)
{
        return d->username.n && d->nonce.n && d->uri.n && d->cnonce.n && d->qop_auth && is_lhex(d->nc, 8) &&
               is_lhex(d->response, bl_digest_hash_len(d->algorithm));
}

/* RFC 3261 section 22.4: what was signed must be what is asked. */
static bool names_request(const struct bl_msg *m, struct bl_str text,
                          bool (*may_sign)(const void *ctx, struct bl_str host), const void *ctx)
{
        struct bl_uri signed_uri, ruri;

        if (bl_str_eq(text, m->ruri))
                return true;
        if (bl_uri_parse(text, &signed_uri) < 0)
                return false;
        if (bl_uri_parse(m->ruri, &ruri) == 0 && bl_uri_equivalent(&signed_uri, &ruri, false))
                return true;
        return may_sign && signed_uri.host.n && may_sign(ctx, signed_uri.host);
}

static bool response_is_right(const struct bl_msg *m, const struct bl_digest *d, const struct bl_credentials *c)
{
        struct bl_str ha1 = bl_str_z(d->algorithm == BL_DIGEST_SHA256 ? c->ha1_sha256 : c->ha1_md5), want;
        char text[BL_DIGEST_HEX], got[BL_DIGEST_HEX];

        if (ha1.n != bl_digest_hash_len(d->algorithm))
                return false; /* not stored for this algorithm */
        want = bl_digest_hash_response(d->algorithm, ha1, d, m->method_name, text);
        for (size_t i = 0; i < want.n; i++)
                got[i] = bl_lower(d->response.p[i]);
        return bl_equal_ct(want.p, got, want.n);
}

enum bl_digest_verdict bl_digest_verify(const struct bl_nonces *n, const struct bl_msg *m, const struct bl_digest *d,
                                        const struct bl_credentials *c, struct bl_str realm,
                                        bool (*may_sign)(const void *ctx, struct bl_str host), const void *ctx,
                                        int64_t wall)
{
        int64_t lifetime = n->lifetime_s ? n->lifetime_s : LIFETIME_DEFAULT_S, made = 0;

        if (!bl_str_eq(d->realm, realm))
                return BL_DIGEST_NONE;
        if (!is_well_formed(d) || !names_request(m, d->uri, may_sign, ctx))
                return BL_DIGEST_BROKEN;
        if (!is_offered(n, d->algorithm) || !response_is_right(m, d, c))
                return BL_DIGEST_BAD;
        /* a nonce of an earlier key, or of another server, is as good as an old one: try again with a new one */
        if (nonce_open(n, realm, d->nonce, &made) < 0 || made > wall + CLOCK_SKEW_S || wall - made > lifetime)
                return BL_DIGEST_STALE;
        return BL_DIGEST_OK;
}
