/* The process: its configuration, its roles, signals, reload, end. */
#pragma once
#include "base/base.h"

struct bl_daemon_args {
        const char *file;
        const char *log; /* "json", "text" or NULL: what the file says */
        bool check;      /* read everything, say what is wrong, end */
};
int bl_daemon_main(const struct bl_daemon_args *args); /* the exit status: 0 done, 1 wrong configuration or system */
