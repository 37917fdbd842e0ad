/*
 * One event a line: event=flow_down node=e1 flow=3 reason=reset. Keys and event names are stable snake_case literals;
 * values are quoted when they need it. Worker's thread; the sink must cope with several workers.
 */
#pragma once
#include <stdarg.h>

#include "base/base.h"

enum bl_level { BL_LOG_ERROR, BL_LOG_WARN, BL_LOG_INFO, BL_LOG_DEBUG };

struct bl_log {
        enum bl_level level;
        bool json;
        struct bl_str node; /* printed as node=; may be empty */
        void (*sink)(struct bl_log *log, enum bl_level level,
                     struct bl_str line); /* line has no newline; NULL = silent */
        void *sink_arg;
        int64_t wall; /* Unix seconds, kept by the world; stamps lines and feeds the rate limit */
        struct {
                uint64_t key;
                int64_t at;
                uint32_t n;
        } _limit[64]; /* rate limit per (event, reason) */
};

/* One field of a line. */
struct bl_kv {
        const char *key;
        struct bl_str s; /* used when key ends the list or kind is a string */
        int64_t i;
        uint8_t kind; /* 's' or 'i' */
};
#define BL_KS(k, str_) ((struct bl_kv){.key = (k), .s = (str_), .kind = 's'})
#define BL_KZ(k, z_) ((struct bl_kv){.key = (k), .s = bl_str_z(z_), .kind = 's'})
#define BL_KI(k, int_) ((struct bl_kv){.key = (k), .i = (int64_t)(int_), .kind = 'i'})

void bl_log_write(struct bl_log *log, enum bl_level level, const char *event, const struct bl_kv *kv, size_t n);
/* bl_log_ev(log, BL_LOG_INFO, "flow_down", BL_KI("flow", id), BL_KZ("reason", "reset")); costs one compare when below
 * level */
#define bl_log_ev(log_, level_, event_, ...)                                                                           \
        do {                                                                                                           \
                if ((log_) && (level_) <= (log_)->level)                                                               \
                        bl_log_write((log_), (level_), (event_), (const struct bl_kv[]){__VA_ARGS__},                  \
                                     sizeof((const struct bl_kv[]){__VA_ARGS__}) / sizeof(struct bl_kv));              \
        } while (0)
/* True at most 5 times in 10 s per (event, reason), for refusals that the network can cause at will; the next line
 * allowed carries suppressed=N by itself. */
bool bl_log_allow(struct bl_log *log, const char *event, const char *reason);
