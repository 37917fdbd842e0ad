/* Digest authentication, the answering side: RFC 3261 section 22, RFC 7616, RFC 8760. Pure. */
#pragma once
#include "base/crypto.h"
#include "sip/digest.h"
#include "sip/msg.h"

struct bl_digest_session { /* one per realm that challenged us; zeroed = none. Open value struct, no memory of its own
                            */
        char realm[128], nonce[256], opaque[128];
        uint8_t realm_n, opaque_n;
        uint16_t nonce_n;
        uint8_t algorithm;
        bool proxy, qop_auth, active;
        uint32_t nc;
};
/* Takes the strongest challenge that we can answer out of a 401 / 407: 0; BL_ENOENT: none; BL_EREFUSED: the same nonce
 * again and not stale: the password is wrong. */
int bl_digest_take(struct bl_digest_session *s, const struct bl_msg *response);
/* Appends a whole `Authorization: …CRLF` (or Proxy-) line for a request; nc counts up. cnonce: 8 random octets of the
 * caller's. */
void bl_digest_answer(struct bl_digest_session *s, struct bl_str user, struct bl_str password, struct bl_str method,
                      struct bl_str uri, const uint8_t cnonce[8], struct bl_sb *out);
