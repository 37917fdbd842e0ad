/*
 * What the targets share. A target is a property of any input, and its file holds that alone:
 *
 *   FUZZ(in) { … }               `in` is the input
 *   FUZZ_MEM(in, arena, pool)    … and memory as a message has it, fresh for each input
 */
#pragma once
#include <stdlib.h>

#include "sip/write.h"

#define MUST(what)                                                                                                     \
        do {                                                                                                           \
                if (!(what))                                                                                           \
                        abort();                                                                                       \
        } while (0)

#define FUZZ(in)                                                                                                       \
        static void fuzz_target(struct bl_str in);                                                                     \
        int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);                                                  \
        int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                                   \
        {                                                                                                              \
                fuzz_target(bl_str_make((const char *)data, size));                                                    \
                return 0;                                                                                              \
        }                                                                                                              \
        static void fuzz_target(struct bl_str in)

#define FUZZ_MEM(in, arena, pool)                                                                                      \
        static void fuzz_with(struct bl_str in, struct bl_arena *arena, struct bl_pool *pool);                         \
        FUZZ(in)                                                                                                       \
        {                                                                                                              \
                struct bl_arena *arena = bl_arena_new(1 << 21);                                                        \
                struct bl_pool *pool = bl_pool_new(0);                                                                 \
                fuzz_with(in, arena, pool);                                                                            \
                bl_pool_free(pool);                                                                                    \
                bl_arena_free(arena);                                                                                  \
        }                                                                                                              \
        static void fuzz_with(struct bl_str in, struct bl_arena *arena, struct bl_pool *pool)

/* What a proxy may do to a message; the bits of `how` choose. */
static inline void fuzz_edit(struct bl_edits *e, unsigned how)
{
        bl_edit_push(e, BL_H_VIA, BL_STR("SIP/2.0/UDP p;branch=z9hG4bKp"));
        bl_edit_set(e, BL_H_MAX_FORWARDS, BL_STR("7"));
        if (how & 1)
                bl_edit_remove_value(e, BL_H_ROUTE, how >> 5);
        if (how & 2)
                bl_edit_push(e, BL_H_RECORD_ROUTE, BL_STR("<sip:p;lr>"));
        if (how & 4)
                bl_edit_replace_value(e, BL_H_VIA, how >> 6, BL_STR("SIP/2.0/TCP q"));
        if (how & 8)
                bl_edit_body(e, BL_STR("new"));
        if (how & 16)
                bl_edit_append_named(e, BL_STR("X-New"), BL_STR("1"));
}
