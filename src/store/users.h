/* The users file: one subscriber a line, credentials hashed (RFC 7616 HA1), never in the clear. Pure. */
#pragma once
#include "store/store.h"

struct bl_users; /* immutable; any thread */
/*
 *   # user:domain:MD5-HA1:SHA256-HA1[:group]      (either hash may be empty)
 * On failure NULL and ret_error (>= 200 octets): line and what is wrong.
 */
struct bl_users *bl_users_parse(struct bl_str file, char *ret_error, size_t error_cap);
void bl_users_free(struct bl_users *u);
int bl_users_find(const struct bl_users *u, struct bl_str user, struct bl_str domain,
                  struct bl_credentials *ret_credentials, struct bl_str *ret_group); /* BL_ENOENT */
/* One line for a user (`belay user add`), without newline. */
void bl_users_line(struct bl_str user, struct bl_str domain, struct bl_str password, struct bl_str group,
                   struct bl_sb *out);
