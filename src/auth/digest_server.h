/* Digest authentication, the verifying side (RFC 3261 section 22, RFC 7616, RFC 8760): stateless nonces, MD5 and
 * SHA-256, qop=auth. Pure. */
#pragma once
#include "auth/token.h"
#include "sip/digest.h"
#include "sip/msg.h"

enum bl_digest_offer {
        BL_DIGEST_OFFER_BOTH, /* SHA-256 first, as RFC 8760 section 2.4 wants */
        BL_DIGEST_OFFER_MD5,  /* some phones take the first challenge and stumble over what they do not know */
        BL_DIGEST_OFFER_SHA256
};
struct bl_nonces {                        /* any node of a home verifies a nonce that another gave */
        const struct bl_token_keys *keys; /* the home's; the first makes them, all verify */
        uint32_t lifetime_s;              /* 0 = 300 */
        enum bl_digest_offer offer;
};
/* Lines with CRLF, one for each algorithm on offer: `WWW-Authenticate: Digest realm=…` (or Proxy-Authenticate). `stale`
 * after a good response to an old nonce. */
void bl_digest_challenge(const struct bl_nonces *n, struct bl_str realm, bool proxy, bool stale, int64_t wall,
                         struct bl_sb *out);

enum bl_digest_verdict {
        BL_DIGEST_OK,
        BL_DIGEST_NONE,  /* no credentials for this realm: challenge */
        BL_DIGEST_STALE, /* right, but the nonce is old: challenge with stale */
        BL_DIGEST_BAD,   /* wrong: challenge again (401/407), count */
        BL_DIGEST_BROKEN /* does not parse, or its uri names something else: 400 */
};
/* Finds the credentials for `realm`: true and the parsed header, so that the caller can fetch the user's HA1 (name =
 * d->username). */
bool bl_digest_find(const struct bl_msg *m, bool proxy, struct bl_str realm, struct bl_digest *ret_digest);
/* `uri` must be equivalent to the Request-URI, or have a host that `may_sign` knows (protocol.md 2.3: a plain phone
 * that followed a redirect signs its edge cluster); NULL: none. `ctx` is its first argument. */
enum bl_digest_verdict bl_digest_verify(const struct bl_nonces *n, const struct bl_msg *m, const struct bl_digest *d,
                                        const struct bl_credentials *c, struct bl_str realm,
                                        bool (*may_sign)(const void *ctx, struct bl_str host), const void *ctx,
                                        int64_t wall);
