/* Pure cryptographic functions over nettle; the only place that includes it. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { BL_SHA256_LEN = 32, BL_MD5_LEN = 16, BL_TAG_LEN = 16, BL_AEAD_OVERHEAD = 12 + 16 };

void bl_sha256(const struct bl_str *parts, size_t n,
               uint8_t ret[BL_SHA256_LEN]); /* over the parts, one after another */
void bl_md5(const struct bl_str *parts, size_t n, uint8_t ret[BL_MD5_LEN]);

struct bl_mac_key { /* HMAC-SHA-256 with both pads precomputed; copyable */
        uint64_t _state[64];
};
void bl_mac_init(struct bl_mac_key *ret_key, struct bl_str secret);
void bl_mac(const struct bl_mac_key *k, const struct bl_str *parts, size_t n, uint8_t ret[BL_SHA256_LEN]);
/*
 * AES-128-CMAC (RFC 4493): the keyed MAC of everything that is made or checked per message. Where the
 * processor helps with both, it takes 0.6 times as long as HMAC-SHA-256. It may be truncated.
 */
struct bl_tag_key { /* copyable */
        uint64_t _state[28];
};
void bl_tag_init(struct bl_tag_key *ret_key, const uint8_t secret[16]);
void bl_tag(const struct bl_tag_key *k, const struct bl_str *parts, size_t n, uint8_t ret[BL_TAG_LEN]);
/* Derives a key for one purpose: HMAC(secret, label), RFC 5869 expand with one block. */
void bl_kdf(struct bl_str secret, struct bl_str label, uint8_t ret[32]);
bool bl_equal_ct(const void *a, const void *b, size_t n); /* constant time */

/* ChaCha20-Poly1305. out holds nonce(12) | ciphertext | tag(16): in.n + BL_AEAD_OVERHEAD octets. */
void bl_aead_seal(const uint8_t key[32], const uint8_t nonce[12], struct bl_str ad, struct bl_str in, uint8_t *out);
/* out: in.n - BL_AEAD_OVERHEAD octets. BL_EAUTH when it does not verify (out is then zeroed), BL_EMALFORMED when too
 * short. */
int bl_aead_open(const uint8_t key[32], struct bl_str ad, struct bl_str in, uint8_t *out);
