/*
 * Header name to id, for the parser's inner loop: a perfect hash over length and both ends, then one comparison, eight
 * octets at a time. Private to sip/.
 */
#pragma once
#include <string.h>

#include "sip/names.h"

enum { BL_HID_SLOTS = 128 };

struct bl_hid_slot {
        char name[22]; /* lower case; at most 24, or bl_hid_same needs another step */
        uint8_t len, id;
};
extern const struct bl_hid_slot bl_hid_slots[BL_HID_SLOTS];
extern const uint8_t bl_hid_compact[26];

static inline uint64_t bl_hid_load8(const char *p)
{
        uint64_t v;

        memcpy(&v, p, 8);
        return v;
}

static inline uint32_t bl_hid_load4(const char *p)
{
        uint32_t v;

        memcpy(&v, p, 4);
        return v;
}

/* Of a name of two octets or more: its first and its last four, or of a short one the first, second and last. */
static inline unsigned bl_hid_slot(const char *p, size_t n)
{
        uint32_t word;

        if (n >= 4)
                word = (bl_hid_load4(p) | 0x20202020u) ^ (bl_hid_load4(p + n - 4) | 0x20202020u) * 3;
        else
                word = (uint32_t)(p[0] | 0x20) | (uint32_t)(p[1] | 0x20) << 8 | (uint32_t)(p[n - 1] | 0x20) << 16;
        return ((word + (uint32_t)n) * 0x37ba823bu) >> 25;
}

/* Names are letters and "-": with bit 5 set only CR collides ("-"), and the caller excluded it. Ends overlap. */
static inline bool bl_hid_same(const char *p, const char *name, size_t n)
{
        const uint64_t fold = 0x2020202020202020ull;

        if (n < 4)
                return (p[0] | 0x20) == name[0] && (p[1] | 0x20) == name[1] && (p[n - 1] | 0x20) == name[n - 1];
        if (n < 8)
                return (bl_hid_load4(p) | 0x20202020u) == bl_hid_load4(name) &&
                       (bl_hid_load4(p + n - 4) | 0x20202020u) == bl_hid_load4(name + n - 4);
        if ((bl_hid_load8(p) | fold) != bl_hid_load8(name) ||
            (bl_hid_load8(p + n - 8) | fold) != bl_hid_load8(name + n - 8))
                return false;
        return n <= 16 || (bl_hid_load8(p + 8) | fold) == bl_hid_load8(name + 8);
}

/* `p` holds n octets (1..255), none of them CR. Any case, compact forms too. */
static inline enum bl_hid bl_hid_fold(const char *p, size_t n)
{
        unsigned slot;

        if (n == 1) {
                unsigned letter = ((unsigned char)*p | 0x20) - 'a';

                return letter < 26 && (*p & 0x40) ? (enum bl_hid)bl_hid_compact[letter] : BL_H_OTHER;
        }
        slot = bl_hid_slot(p, n);
        return bl_hid_slots[slot].len == n && bl_hid_same(p, bl_hid_slots[slot].name, n)
                       ? (enum bl_hid)bl_hid_slots[slot].id
                       : BL_H_OTHER;
}
