/* UTF-8 (RFC 3629), for what goes to terminals, logs and JSON. Any thread. */
#pragma once
#include "base/str.h"

/* The length of the well-formed character at the start of s (not empty), or 0. */
size_t bl_utf8_len(struct bl_str s);
/* A control character, C0 or C1, of that length: nothing that a terminal should act upon. */
static inline bool bl_utf8_is_control(struct bl_str s, size_t len)
{
        uint8_t c = (uint8_t)s.p[0];
        return c < 0x20 || c == 0x7f || (len == 2 && c == 0xc2 && (uint8_t)s.p[1] < 0xa0);
}
