/*
 * Timers: intrusive, on one hierarchical wheel per world. Arm, re-arm and disarm are O(1). Resolution is 1 ms: a timer
 * is due at `at` rounded up to the next whole millisecond, so it never fires early and at most 1 ms late by the wheel's
 * own doing. Timers fire millisecond by millisecond; those of one millisecond in arming order. One thread.
 */
#pragma once
#include "base/base.h"

struct bl_timer { /* embedded in its owner; zeroed = not armed */
        struct bl_timer *_next, *_prev;
        bl_us _at;
        void (*fire)(struct bl_timer *); /* already disarmed when called; may re-arm or free its owner */
};
static inline bool bl_timer_armed(const struct bl_timer *t)
{
        return t->_prev != NULL;
}

struct bl_wheel;
struct bl_wheel *bl_wheel_new(bl_us now); /* NULL without memory */
void bl_wheel_free(struct bl_wheel *w);   /* accepts NULL; armed timers are forgotten */
/* Arms or moves. What is not after the `now` of the last advance fires at the next advance, never within the one that
 * is under way: so a handler may re-arm for "at once" without end. */
void bl_wheel_arm(struct bl_wheel *w, struct bl_timer *t, bl_us at);
void bl_wheel_disarm(struct bl_wheel *w, struct bl_timer *t); /* accepts one that is not armed */
/* Fires all that are due at `now`, which never goes back (an earlier one counts as the last). A handler may arm and
 * disarm any timer, also one whose turn would be next. Returns how many fired. */
unsigned bl_wheel_advance(struct bl_wheel *w, bl_us now);
/* When to call advance next: exact or earlier, never after the first timer is due; the `now` of the last advance when
 * one is overdue; UINT64_MAX when none is armed. */
bl_us bl_wheel_next(const struct bl_wheel *w);
size_t bl_wheel_count(const struct bl_wheel *w);
