/* How the verbs about a running node ask it: HTTP by its UNIX socket. */
#pragma once
#include <stddef.h>

/* NODE's socket, or without NODE (NULL) the only one in /run/belay. 0; or < 0, and stderr says what to do. */
int bl_admin_find_socket(const char *node, char *ret, size_t cap);

struct bl_admin_question {
        const char *socket, *path;           /* "v1/flows?limit=1" */
        int post;                            /* an action, not a view */
        void (*line)(void *ctx, char *line); /* each line of a good answer, without its end */
        void *ctx;
};
/* enum bl_exit; all but DONE have been explained on stderr. */
int bl_admin_ask(const struct bl_admin_question *q);
