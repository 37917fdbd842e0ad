/*
 * What a world shows of itself and whom it believes: certificate chains with their keys, trusted issuers, the secret of
 * session tickets. Read from files once, immutable, counted: a reload makes new ones, sessions that began with the old
 * keep those. Any thread.
 */
#pragma once
#include "base/base.h"

struct bl_creds;

enum { BL_CREDS_IDS = 16, BL_CREDS_TICKET_SECRET = 64 };

struct bl_creds_pair { /* PEM files; paths are NUL-terminated */
        struct bl_str cert;
        struct bl_str key; /* empty: it is in `cert`, too */
};
struct bl_creds_conf {
        const struct bl_creds_pair *pairs; /* the first is shown to whoever asks for no name or an unknown one */
        unsigned n_pairs;
        struct bl_str ca; /* PEM file, or "system"; empty: nobody is believed */
        /* All zero: no session tickets are given out. Equal on all nodes that are to resume each other's sessions; the
         * keys made of it change with time. */
        uint8_t ticket_secret[BL_CREDS_TICKET_SECRET];
};

/* Reads and checks all files (borrowed until return). 0; or < 0 and one line in err: which file, what, what to do. */
int bl_creds_new(const struct bl_creds_conf *conf, struct bl_sb *err, struct bl_creds **ret_creds) BL_MUSTCHECK;
struct bl_creds *bl_creds_ref(struct bl_creds *c);
void bl_creds_unref(struct bl_creds *c); /* accepts NULL */

struct bl_creds_id { /* one of our certificates; lives as long as the creds */
        struct bl_str file;
        int64_t not_before, not_after; /* Unix seconds */
        const struct bl_str *domains;  /* what it proves (RFC 5922 section 7.1), lower case */
        unsigned n_domains;
};
unsigned bl_creds_count(const struct bl_creds *c);
const struct bl_creds_id *bl_creds_get(const struct bl_creds *c, unsigned i);
bool bl_creds_prove(const struct bl_creds *c, struct bl_str domain); /* some certificate proves it */
/*
 * What is valid to load but not to rely on, at `wall`: expired, not yet valid, or expires within 14 days. NULL: nothing
 * is wrong with it. Else the stable snake_case reason.
 */
const char *bl_creds_doubt(const struct bl_creds_id *id, int64_t wall);
