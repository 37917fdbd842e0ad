/* What `tls` of the configuration becomes: the credentials of a world, and what to say about them. */
#pragma once
#include "auth/token.h"
#include "io/creds.h"
#include "server/options.h"

enum { BL_IDENTITY_PATHS = 2 * BL_CREDS_IDS + 1 };

/* Reads what o->tls names; the secret of session tickets comes from the role's keys. 0, *ret_creds; or < 0 and one line
 * in err. */
int bl_identity_load(const struct bl_options *o, const struct bl_token_keys *keys, struct bl_sb *err,
                     struct bl_creds **ret_creds);
/* The files that o->tls names, for watching. Returns how many. */
unsigned bl_identity_paths(const struct bl_options *o, struct bl_str ret[BL_IDENTITY_PATHS]);
/* Calls `say` for everything that does not keep the node from starting: `reason` stable snake_case, `text` for people.
 */
void bl_identity_doubts(const struct bl_options *o, const struct bl_creds *creds, int64_t wall,
                        void (*say)(void *arg, struct bl_str file, const char *reason, struct bl_str text), void *arg);
/* Whether some certificate of these is not valid at `wall`; then one line in err. */
bool bl_identity_is_invalid(const struct bl_creds *creds, int64_t wall, struct bl_sb *err);
