#include "auth/digest_hash.h"

size_t bl_digest_hash_len(enum bl_digest_alg alg)
{
        switch (alg) {
        case BL_DIGEST_MD5:
                return 2 * BL_MD5_LEN;
        case BL_DIGEST_SHA256:
                return 2 * BL_SHA256_LEN;
        case BL_DIGEST_UNKNOWN:
                break;
        }
        return 0;
}

static struct bl_str hash_hex(enum bl_digest_alg alg, const struct bl_str *parts, size_t n, char ret[BL_DIGEST_HEX])
{
        struct bl_sb hex = {ret, 0, BL_DIGEST_HEX, false};
        uint8_t octets[BL_SHA256_LEN];

        if (alg == BL_DIGEST_SHA256)
                bl_sha256(parts, n, octets);
        else if (alg == BL_DIGEST_MD5)
                bl_md5(parts, n, octets);
        bl_sb_hex(&hex, octets, bl_digest_hash_len(alg) / 2);
        return bl_sb_str(&hex);
}

struct bl_str bl_digest_hash_ha1(enum bl_digest_alg alg, struct bl_str user, struct bl_str realm,
                                 struct bl_str password, char ret[BL_DIGEST_HEX])
{
        const struct bl_str colon = BL_STR(":");

        return hash_hex(alg, (const struct bl_str[]){user, colon, realm, colon, password}, 5, ret);
}

struct bl_str bl_digest_hash_response(enum bl_digest_alg alg, struct bl_str ha1, const struct bl_digest *d,
                                      struct bl_str method, char ret[BL_DIGEST_HEX])
{
        const struct bl_str colon = BL_STR(":");
        char text[BL_DIGEST_HEX];
        struct bl_str ha2 = hash_hex(alg, (const struct bl_str[]){method, colon, d->uri}, 3, text);

        if (d->qop.n == 0)
                return hash_hex(alg, (const struct bl_str[]){ha1, colon, d->nonce, colon, ha2}, 5, ret);
        return hash_hex(alg,
                        (const struct bl_str[]){ha1, colon, d->nonce, colon, d->nc, colon, d->cnonce, colon, d->qop,
                                                colon, ha2},
                        11, ret);
}
