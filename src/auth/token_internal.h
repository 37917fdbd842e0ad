/* Shared by token.c and token_keys.c. */
#pragma once
#include "auth/token.h"

struct token_key {
        char id;
        uint8_t secret_n;
        uint8_t secret[64];
        uint8_t seal[32];
        struct bl_tag_key mac, instance, dialog, branch, nonce;
};
struct bl_token_keys {
        unsigned n; /* >= 1 */
        struct token_key key[];
};
const struct token_key *bl_token_key_by_id(const struct bl_token_keys *k, char id); /* NULL: none */
