/* Shared by the files that use keys. */
#pragma once
#include <stdatomic.h>

#include "auth/token.h"

struct token_key {
        char id;
        uint8_t secret_n;
        uint8_t secret[64];
        uint8_t seal[32];
        struct bl_tag_key mac, instance, dialog, branch, nonce /* of the seal */, challenge /* of digest */;
};
struct token_set {  /* immutable */
        unsigned n; /* >= 1 */
        struct token_key key[];
};
struct bl_token_keys {
        _Atomic(struct token_set *) set;
};

/* Those of now: ask once a call, for a reload may put others there. */
static inline const struct token_set *token_set(const struct bl_token_keys *k)
{
        return atomic_load_explicit(&k->set, memory_order_acquire);
}
static inline const struct token_key *token_signer(const struct bl_token_keys *k)
{
        return &token_set(k)->key[0];
}
const struct token_key *bl_token_key_by_id(const struct token_set *s, char id); /* NULL: none */
