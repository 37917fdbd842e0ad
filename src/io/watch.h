/*
 * Watches files by name: tells when one of them is another than before, whether it was written, replaced by a rename,
 * or reached by a symbolic link that now leads elsewhere (also one further up in its path, then within a minute).
 * Changes that come together are told once, half a second after the first. Worker 0's thread.
 */
#pragma once
#include "io/world.h"

struct bl_watch;
/* `fn` runs as an event of worker 0. NULL without memory. */
struct bl_watch *bl_watch_open(struct bl_world *world, void (*fn)(void *arg), void *arg);
/* These, instead of those before; as they are now is what changes count from. Copied. 0, BL_ENOMEM. */
int bl_watch_set(struct bl_watch *w, const struct bl_str *paths, unsigned n);
void bl_watch_close(struct bl_watch *w); /* before bl_world_free; accepts NULL */
