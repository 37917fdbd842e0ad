#include "base/crypto.h"

#include <nettle/aes.h>
#include <nettle/chacha-poly1305.h>
#include <nettle/cmac.h>
#include <nettle/hmac.h>
#include <nettle/md5.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>

#include "base/err.h"

static const uint8_t *octets(struct bl_str s)
{
        return (const uint8_t *)s.p;
}

void bl_sha256(const struct bl_str *parts, size_t n, uint8_t ret[BL_SHA256_LEN])
{
        struct sha256_ctx ctx;
        sha256_init(&ctx);
        for (size_t i = 0; i < n; i++)
                sha256_update(&ctx, parts[i].n, octets(parts[i]));
        sha256_digest(&ctx, BL_SHA256_LEN, ret);
}

void bl_md5(const struct bl_str *parts, size_t n, uint8_t ret[BL_MD5_LEN])
{
        struct md5_ctx ctx;
        md5_init(&ctx);
        for (size_t i = 0; i < n; i++)
                md5_update(&ctx, parts[i].n, octets(parts[i]));
        md5_digest(&ctx, BL_MD5_LEN, ret);
}

_Static_assert(sizeof(struct hmac_sha256_ctx) <= sizeof(struct bl_mac_key), "the key holds nettle's state");

void bl_mac_init(struct bl_mac_key *ret_key, struct bl_str secret)
{
        struct hmac_sha256_ctx ctx;
        memset(&ctx, 0, sizeof(ctx));
        hmac_sha256_set_key(&ctx, secret.n, octets(secret));
        memset(ret_key, 0, sizeof(*ret_key));
        memcpy(ret_key->_state, &ctx, sizeof(ctx));
}

void bl_mac(const struct bl_mac_key *k, const struct bl_str *parts, size_t n, uint8_t ret[BL_SHA256_LEN])
{
        struct hmac_sha256_ctx ctx;
        memcpy(&ctx, k->_state, sizeof(ctx));
        for (size_t i = 0; i < n; i++)
                hmac_sha256_update(&ctx, parts[i].n, octets(parts[i]));
        hmac_sha256_digest(&ctx, BL_SHA256_LEN, ret);
}

struct tag_key {
        struct cmac128_key sub;
        struct aes128_ctx cipher;
};
_Static_assert(sizeof(struct tag_key) <= sizeof(struct bl_tag_key), "the key holds nettle's state");

static void encrypt_block(const void *cipher, size_t n, uint8_t *dst, const uint8_t *src)
{
        aes128_encrypt(cipher, n, dst, src);
}

void bl_tag_init(struct bl_tag_key *ret_key, const uint8_t secret[16])
{
        struct tag_key k;
        memset(&k, 0, sizeof(k));
        aes128_set_encrypt_key(&k.cipher, secret);
        cmac128_set_key(&k.sub, &k.cipher, encrypt_block);
        memset(ret_key, 0, sizeof(*ret_key));
        memcpy(ret_key->_state, &k, sizeof(k));
}

void bl_tag(const struct bl_tag_key *k, const struct bl_str *parts, size_t n, uint8_t ret[BL_TAG_LEN])
{
        const struct tag_key *t = (const void *)k->_state;
        struct cmac128_ctx ctx;
        cmac128_init(&ctx);
        for (size_t i = 0; i < n; i++)
                cmac128_update(&ctx, &t->cipher, encrypt_block, parts[i].n, octets(parts[i]));
        cmac128_digest(&ctx, &t->sub, &t->cipher, encrypt_block, BL_TAG_LEN, ret);
}

void bl_kdf(struct bl_str secret, struct bl_str label, uint8_t ret[32])
{
        struct bl_mac_key key;
        bl_mac_init(&key, secret);
        /* RFC 5869 section 2.3: T(1) = HMAC(PRK, T(0) | info | 0x01), T(0) empty */
        bl_mac(&key, (const struct bl_str[]){label, BL_STR("\x01")}, 2, ret);
}

bool bl_equal_ct(const void *a, const void *b, size_t n)
{
        return memeql_sec(a, b, n);
}

void bl_aead_seal(const uint8_t key[32], const uint8_t nonce[12], struct bl_str ad, struct bl_str in, uint8_t *out)
{
        struct chacha_poly1305_ctx ctx;
        chacha_poly1305_set_key(&ctx, key);
        chacha_poly1305_set_nonce(&ctx, nonce);
        chacha_poly1305_update(&ctx, ad.n, octets(ad));
        memcpy(out, nonce, 12);
        chacha_poly1305_encrypt(&ctx, in.n, out + 12, octets(in));
        chacha_poly1305_digest(&ctx, 16, out + 12 + in.n);
}

int bl_aead_open(const uint8_t key[32], struct bl_str ad, struct bl_str in, uint8_t *out)
{
        struct chacha_poly1305_ctx ctx;
        uint8_t tag[16];
        if (in.n < BL_AEAD_OVERHEAD)
                return BL_EMALFORMED;
        size_t n = in.n - BL_AEAD_OVERHEAD;
        chacha_poly1305_set_key(&ctx, key);
        chacha_poly1305_set_nonce(&ctx, octets(in));
        chacha_poly1305_update(&ctx, ad.n, octets(ad));
        chacha_poly1305_decrypt(&ctx, n, out, octets(in) + 12);
        chacha_poly1305_digest(&ctx, sizeof(tag), tag);
        if (!bl_equal_ct(tag, in.p + 12 + n, sizeof(tag))) {
                if (n)
                        memset(out, 0, n);
                return BL_EAUTH;
        }
        return 0;
}
