/* What every folder may use without thinking: slices, errors, addresses. Includes nothing of ours but base/. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/str.h"

#define BL_MUSTCHECK __attribute__((warn_unused_result))
#define BL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BL_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

typedef uint64_t bl_us; /* monotonic microseconds */
#define BL_MS(n) ((bl_us)(n)*1000u)
#define BL_SEC(n) ((bl_us)(n)*1000000u)
