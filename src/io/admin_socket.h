/* The sockets that the operator's requests come by. */
#pragma once
#include "base/base.h"

/*
 * Listens on a UNIX socket that only the owner and the group may use (0660). What a dead process left at `path` is
 * replaced; a socket somebody serves is not. 0 and a descriptor; or < 0 with one line in err: what, where, what to do.
 */
int bl_admin_listen_unix(const char *path, struct bl_sb *err, int *ret_fd);
int bl_admin_listen_tcp(const struct bl_addr *at, struct bl_sb *err, int *ret_fd); /* likewise */
