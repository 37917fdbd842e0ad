/*
 * Input placed against an unreadable page, so that reading one octet too many ends the test in every preset.
 *
 *      struct guard *g = guard_new(65536);
 *      for (size_t n = 0; n <= s.n; n++)                         // every truncation
 *              thing_parse(guard_str(g, bl_str_make(s.p, n)), &t);
 *      guard_free(g);
 */
#pragma once
#include <stddef.h>

#include "base/str.h"

struct guard;
struct guard *guard_new(size_t most); /* for inputs up to `most` octets; ends the test program without memory */
void guard_free(struct guard *g);     /* accepts NULL */
/* A copy of s whose end touches the unreadable page; lives until the next call on g. Writable. */
struct bl_str guard_str(struct guard *g, struct bl_str s);
/* `fn` with every prefix of s, the empty and the whole one included, each against the page. */
void guard_each_prefix(struct bl_str s, void (*fn)(struct bl_str prefix, void *arg), void *arg);
