/* Child processes as events of worker 0: started, heard line by line, written to, ended by pid. */
#pragma once
#include "io/world.h"

struct bl_child;
struct bl_child_conf {
        const char *const *argv; /* argv[0]: the program's path; ends with NULL */
        void (*line)(void *arg, struct bl_child *,
                     struct bl_str line); /* of its stdout; NULL: it goes where ours goes */
        void (*exited)(void *arg, struct bl_child *, int status, int signal); /* once; the handle dies after return */
        void *arg;
        const char *log_file; /* its stderr is appended there; NULL: ours */
};
/* 0 and the handle, or -errno. */
int bl_child_start(struct bl_world *w, const struct bl_child_conf *conf, struct bl_child **ret_child);
int bl_child_write(struct bl_child *c, struct bl_str octets); /* to its stdin: 0, or -errno */
void bl_child_kill(struct bl_child *c, int signum);
int bl_child_pid(const struct bl_child *c);
