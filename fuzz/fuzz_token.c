/* Opening what strangers may put into a user part: only what the key signed opens, and it is written the same again. */
#include "auth/token.h"
#include "fuzz/fuzz.h"

FUZZ(in)
{
        char error[200], scratch[BL_TOKEN_MAX], text[BL_TOKEN_MAX];
        struct bl_sb again = BL_SB(text);
        struct bl_token t;
        struct bl_token_keys *keys =
                bl_token_keys_parse(BL_STR("A 000102030405060708090a0b0c0d0e0f"), error, sizeof(error));
        struct bl_token_cluster c = {BL_STR("edge.example"), BL_STR("example"), keys, in.n && in.p[0] == '~'};
        if (bl_token_open(&c, in, scratch, &t) == 0)
                MUST(bl_token_put(&c, &t, &again) == 0 && bl_str_starts(bl_str_from(bl_sb_str(&again), 4), in));
        bl_token_keys_free(keys);
        bl_token_keys_free(bl_token_keys_parse(in, error, sizeof(error)));
}
