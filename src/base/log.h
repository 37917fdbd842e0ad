/*
 * One event a line: ts=2024-05-06T07:08:09Z level=info event=flow_down node=e1 flow=3 reason=reset, or the same keys as
 * one JSON object. Keys and event names are stable snake_case literals; values are quoted and escaped when they need
 * it, cut at 512 octets; a line has at most 2048, fields that do not fit are left out and truncated=1 says so. Worker's
 * thread; the sink must cope with several workers.
 */
#pragma once
#include <stdarg.h>

#include "base/base.h"

enum bl_level { BL_LOG_ERROR, BL_LOG_WARN, BL_LOG_INFO, BL_LOG_DEBUG };

struct bl_log_limit {  /* private: the rate of one (event, reason) */
        uint64_t key;  /* 0 = free */
        int64_t at[5]; /* when the last five were allowed: a ring */
        uint32_t suppressed;
        uint8_t next, filled;
};
struct bl_log { /* zeroed = errors only, silent; set level, node and sink */
        enum bl_level level;
        bool json;
        struct bl_str node; /* printed as node=; may be empty */
        void (*sink)(struct bl_log *log, enum bl_level level,
                     struct bl_str line); /* line has no newline; NULL = silent */
        void *sink_arg;
        int64_t wall; /* Unix seconds, kept by the world; stamps lines and feeds the rate limit */
        struct bl_log_limit _limit[64];
        const char *_suppressed_event; /* the next line of this event says how many were held back before it */
        uint32_t _suppressed;
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
