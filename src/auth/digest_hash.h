/* The arithmetic that both sides of digest authentication share (RFC 7616 section 3.4). Pure. */
#pragma once
#include "base/crypto.h"
#include "sip/digest.h"

enum { BL_DIGEST_HEX = 2 * BL_SHA256_LEN };

/* Characters of a digest in hex: 32 (MD5), 64 (SHA-256), 0 for an algorithm that we do not have. */
size_t bl_digest_hash_len(enum bl_digest_alg alg);
/* HA1 = H(user:realm:password), lower-case hex. */
struct bl_str bl_digest_hash_ha1(enum bl_digest_alg alg, struct bl_str user, struct bl_str realm,
                                 struct bl_str password, char ret[BL_DIGEST_HEX]);
/* The response: with qop=auth, or as RFC 2069 did it when d->qop is empty. Of `d` nonce, uri, cnonce, nc and qop count.
 */
struct bl_str bl_digest_hash_response(enum bl_digest_alg alg, struct bl_str ha1, const struct bl_digest *d,
                                      struct bl_str method, char ret[BL_DIGEST_HEX]);
