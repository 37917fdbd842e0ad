/* The parameters of Authorization / WWW-Authenticate and their proxy twins (RFC 3261 section 25.1, RFC 7616, RFC 8760).
 * Syntax only. */
#pragma once
#include "base/base.h"

enum bl_digest_alg { BL_DIGEST_MD5, BL_DIGEST_SHA256, BL_DIGEST_UNKNOWN };

struct bl_digest { /* values without quotes; a value with escapes inside is left escaped */
        struct bl_str username, realm, nonce, uri, response, cnonce, nc, qop, opaque, domain, algorithm_text;
        enum bl_digest_alg algorithm; /* MD5 when absent */
        bool stale;
        bool qop_auth; /* challenge: the list has "auth"; response: qop is auth */
};
/* BL_EMALFORMED; BL_EPROTO for a scheme other than Digest or a parameter given twice. */
BL_MUSTCHECK int bl_digest_parse(struct bl_str value, struct bl_digest *ret_digest);

struct bl_credentials { /* of one user in one realm; hex, lower case; empty when not stored */
        char ha1_md5[33], ha1_sha256[65];
};
