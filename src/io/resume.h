/*
 * TLS sessions that we, as client, could resume: the newest ticket per far end, by the name that was asked for.
 * Bounded; the one longest unused gives way. One thread.
 */
#pragma once
#include "base/base.h"

struct bl_resume;

enum { BL_RESUME_MAX = 128 /* far ends */, BL_RESUME_OCTETS = 16 << 10 /* of one session; larger ones are not kept */ };

struct bl_resume *bl_resume_new(uint64_t hash_seed); /* NULL without memory */
void bl_resume_free(struct bl_resume *r);            /* accepts NULL */
void bl_resume_clear(struct bl_resume *r);           /* accepts NULL */
/* Keeps a copy; without memory it does not. Empty: forgets what there is. */
void bl_resume_put(struct bl_resume *r, struct bl_str name, struct bl_str session);
struct bl_str bl_resume_get(struct bl_resume *r, struct bl_str name); /* until the next put; empty: none */
