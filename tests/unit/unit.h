/* What every unit test includes first: cmocka with what it needs. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h must come after the four above */
#include <cmocka.h>

#include "base/str.h"

/* Compares a slice with a literal or any NUL-terminated text. */
#define assert_str(slice, text)                                                                                        \
        do {                                                                                                           \
                struct bl_str _got = (slice), _want = bl_str_z(text);                                                  \
                if (!bl_str_eq(_got, _want))                                                                           \
                        fail_msg("got \"%.*s\", want \"%.*s\"", BL_STR_ARG(_got), BL_STR_ARG(_want));                  \
        } while (0)
