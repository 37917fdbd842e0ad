/* Between our addresses and the system's. */
#pragma once
#include <sys/socket.h>

#include "base/base.h"

socklen_t bl_sockaddr_from(const struct bl_addr *a, struct sockaddr_storage *ret); /* the length; 0: no address */
int bl_sockaddr_to(const struct sockaddr_storage *sa, struct bl_addr *ret);        /* 0, BL_EINVAL: another family */
/* Of a socket: where it is bound, or whom it is connected to. 0 or -errno. */
int bl_sockaddr_local(int fd, struct bl_addr *ret);
int bl_sockaddr_remote(int fd, struct bl_addr *ret);
bool bl_sockaddr_is_any(const struct bl_addr *a); /* 0.0.0.0 or [::] */
