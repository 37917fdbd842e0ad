/*
 * Ten levels of 64 slots. A timer's tick (milliseconds, rounded up) is read as ten digits of six bits; so is `cur`,
 * the last tick that was fired. A timer sits at the level of the highest digit in which its tick differs from `cur`, in
 * the slot of that digit:
 *
 *     cur   … 0 0 5 | 12        level 0: ticks that differ in the last digit only: due within this turn of 64 ms
 *     tick  … 0 0 5 | 40   ->   level 0, slot 40
 *     tick  … 0 0 9 |  3   ->   level 1, slot 9: to be dealt out to level 0 when cur arrives at 9 | 0
 *
 * Invariants: occupied slots lie after cur's digit of their level; so everything on level L is due before anything on
 * level L+1, and the lowest bit of the lowest occupied level is what comes next. Lists are in arming order, and a slot
 * is dealt out before any timer can be armed directly into the slots it is dealt to; so order survives. (Placing by
 * distance instead, as is usual, breaks it.)
 */
#include "base/wheel.h"

#include <stdlib.h>

enum { BITS = 6, SLOTS = 1 << BITS, LEVELS = 10 }; /* 9 × 6 bits do not hold UINT64_MAX / 1000 */

struct bl_wheel {
        uint64_t cur; /* every timer of this tick and before has fired or is in `due` */
        bl_us now;
        size_t count;
        uint64_t used[LEVELS];                /* bit set: slot not empty */
        struct bl_timer slot[LEVELS * SLOTS]; /* heads of circular lists */
        struct bl_timer due;                  /* armed for the past: fire at the next advance */
        struct bl_timer running;              /* being fired */
};

static void list_init(struct bl_timer *head)
{
        head->_next = head->_prev = head;
}

static void list_push(struct bl_timer *head, struct bl_timer *t)
{
        t->_prev = head->_prev;
        t->_next = head;
        head->_prev->_next = t;
        head->_prev = t;
}

/* Moves all of `from` to the end of `to`. */
static void list_splice(struct bl_timer *to, struct bl_timer *from)
{
        if (from->_next == from)
                return;
        from->_next->_prev = to->_prev;
        to->_prev->_next = from->_next;
        from->_prev->_next = to;
        to->_prev = from->_prev;
        list_init(from);
}

static uint64_t tick_of(bl_us at)
{
        return at / 1000 + (at % 1000 != 0);
}

struct bl_wheel *bl_wheel_new(bl_us now)
{
        struct bl_wheel *w = calloc(1, sizeof(*w));
        if (!w)
                return NULL;
        w->now = now;
        w->cur = now / 1000;
        for (size_t i = 0; i < BL_ARRAY_LEN(w->slot); i++)
                list_init(&w->slot[i]);
        list_init(&w->due);
        list_init(&w->running);
        return w;
}

void bl_wheel_free(struct bl_wheel *w)
{
        free(w);
}

static void place(struct bl_wheel *w, struct bl_timer *t)
{
        uint64_t tick = tick_of(t->_at);
        unsigned level = (63u - (unsigned)__builtin_clzll(tick ^ w->cur)) / BITS; /* tick > cur: they differ */
        unsigned i = (unsigned)(tick >> (level * BITS)) % SLOTS;
        w->used[level] |= (uint64_t)1 << i;
        list_push(&w->slot[level * SLOTS + i], t);
}

static void unlink_timer(struct bl_wheel *w, struct bl_timer *t)
{
        struct bl_timer *head = t->_next;
        bool alone = head == t->_prev;
        t->_prev->_next = t->_next;
        t->_next->_prev = t->_prev;
        if (alone && head != &w->due && head != &w->running) {
                size_t i = (size_t)(head - w->slot);
                w->used[i / SLOTS] &= ~((uint64_t)1 << i % SLOTS);
        }
        t->_next = t->_prev = NULL;
        w->count--;
}

void bl_wheel_arm(struct bl_wheel *w, struct bl_timer *t, bl_us at)
{
        if (bl_timer_armed(t))
                unlink_timer(w, t);
        t->_at = at;
        w->count++;
        if (at <= w->now)
                list_push(&w->due, t);
        else
                place(w, t);
}

void bl_wheel_disarm(struct bl_wheel *w, struct bl_timer *t)
{
        if (bl_timer_armed(t))
                unlink_timer(w, t);
}

/* The first occupied slot, as level and index; false when there is none. */
static bool first_slot(const struct bl_wheel *w, unsigned *ret_level, uint64_t *ret_tick)
{
        for (unsigned level = 0; level < LEVELS; level++) {
                if (!w->used[level])
                        continue;
                unsigned shift = level * BITS;
                uint64_t above = w->cur >> shift >> BITS << BITS << shift;
                *ret_level = level;
                *ret_tick = above | (uint64_t)__builtin_ctzll(w->used[level]) << shift;
                return true;
        }
        return false;
}

/* Deals the slot that begins at tick `cur` out: what is due at once to `running`, the rest to lower levels, in order.
 */
static void deal(struct bl_wheel *w, unsigned level)
{
        unsigned i = (unsigned)(w->cur >> (level * BITS)) % SLOTS;
        struct bl_timer *head = &w->slot[level * SLOTS + i], list;
        w->used[level] &= ~((uint64_t)1 << i);
        if (level == 0) {
                list_splice(&w->running, head);
                return;
        }
        list_init(&list);
        list_splice(&list, head);
        for (struct bl_timer *t = list._next, *next; t != &list; t = next) {
                next = t->_next;
                if (tick_of(t->_at) == w->cur)
                        list_push(&w->running, t);
                else
                        place(w, t);
        }
}

static unsigned fire_running(struct bl_wheel *w)
{
        unsigned fired = 0;
        while (w->running._next != &w->running) {
                struct bl_timer *t = w->running._next;
                unlink_timer(w, t);
                fired++;
                t->fire(t);
        }
        return fired;
}

unsigned bl_wheel_advance(struct bl_wheel *w, bl_us now)
{
        unsigned fired, level;
        uint64_t tick;
        if (now > w->now)
                w->now = now;
        uint64_t last = w->now / 1000;
        list_splice(&w->running, &w->due);
        fired = fire_running(w);
        while (first_slot(w, &level, &tick) && tick <= last) {
                w->cur = tick;
                deal(w, level);
                fired += fire_running(w);
        }
        w->cur = last;
        return fired;
}

bl_us bl_wheel_next(const struct bl_wheel *w)
{
        unsigned level;
        uint64_t tick;
        if (w->due._next != &w->due)
                return w->now;
        if (!first_slot(w, &level, &tick))
                return UINT64_MAX;
        return tick > UINT64_MAX / 1000 ? UINT64_MAX - 1 : tick * 1000;
}

size_t bl_wheel_count(const struct bl_wheel *w)
{
        return w->count;
}
