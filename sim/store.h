/*
 * A store with moods: wraps another and delays, reorders and fails its answers, drawn from the world's seed. Nothing is
 * lost by it but what it says it failed: a call that fails has not changed the store behind it.
 */
#pragma once
#include "sim/sim.h"
#include "store/store.h"

struct sim_store_conf {
        uint32_t delay_min_us, delay_max_us; /* drawn for each call: so answers overtake each other */
        uint32_t at_once_ppm;                /* calls that are answered at once */
        uint32_t fail_ppm;                   /* calls that end with -EIO */
};
/* Takes `behind` (its ops->free runs with ours) when `own`. Its jobs wait in the calling worker's timers: what a dead
 * process asked is never answered. */
struct bl_store *sim_store_new(struct sim *s, struct bl_store *behind, bool own, const struct sim_store_conf *conf);
void sim_store_set(struct bl_store *store, const struct sim_store_conf *conf); /* from now on */
unsigned sim_store_calls(const struct bl_store *store);
