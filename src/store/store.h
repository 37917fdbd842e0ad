/*
 * Location and subscribers of a home, asynchronous: each call returns its result at once (0, or an error), or
 * BL_EPENDING and later calls `done` exactly once in the calling worker; every caller handles both. In memory
 * (store/mem), later SQLite and Redis; the simulator wraps one to delay, fail and reorder.
 */
#pragma once
#include "base/base.h"
#include "base/mem.h"
#include "sip/digest.h"

struct bl_store;
struct env;

struct bl_contact { /* one binding: keyed by AOR + instance + reg-id, or by Contact equality (RFC 3261 19.1.4) without
                       instance */
        struct bl_str uri;      /* Contact URI */
        struct bl_str instance; /* +sip.instance without quotes; empty: none */
        uint32_t reg_id;        /* 0: none */
        struct bl_str path;     /* the Path vector as one header value, top first; empty: none */
        struct bl_str params;   /* other Contact parameters, from the first ';' */
        struct bl_str call_id;
        uint32_t cseq;
        uint16_t q;         /* 0..1000 */
        int64_t expires_at; /* wall seconds */
        int64_t updated_at; /* wall seconds; ties by `order` */
        uint64_t order;     /* rises with each update: "newest first" */
};
struct bl_location { /* the answer to lookup and update: live bindings, newest first; memory: see bl_store_op */
        const struct bl_contact *c;
        unsigned n;
};
enum bl_store_update { /* bits of `flags` */
                       /* Contact: * with Expires 0: of c[0] only Call-ID and CSeq count */
                       BL_STORE_REMOVE_ALL = 1,
};
struct bl_store_result { /* what a store keeps an answer in, as op->_state, when it is not op->_arena */
        void (*release)(struct bl_store_result *);
};
struct bl_store_op { /* embedded in its owner; results live until the owner calls bl_store_end */
        void (*done)(struct bl_store_op *, int rc);
        struct bl_location location;       /* lookup, update */
        struct bl_credentials credentials; /* subscriber */
        struct bl_str group;               /* subscriber: for policies; empty: none */
        struct bl_arena *_arena;           /* freed by bl_store_end */
        void *_state;                      /* pending: the store's; answered: NULL or a struct bl_store_result */
};
struct bl_store_ops {
        /* BL_ENOENT never: no bindings is n = 0. */
        int (*lookup)(struct bl_store *, struct env *, struct bl_str aor, struct bl_store_op *);
        /* Atomically all contacts of one REGISTER; one with expires_at <= updated_at is removed. BL_EPROTO: out of
         * order (RFC 3261 10.3 step 7: same Call-ID, CSeq not higher), nothing changed; BL_ELIMIT: more than the AOR
         * may have. */
        int (*update)(struct bl_store *, struct env *, struct bl_str aor, const struct bl_contact *c, unsigned n,
                      unsigned flags, struct bl_store_op *);
        /* Drops one binding whose flow failed (430 by all candidates), if it still is the one with this `order`. */
        int (*remove)(struct bl_store *, struct env *, struct bl_str aor, const struct bl_contact *c,
                      struct bl_store_op *);
        /* BL_ENOENT: no such user. `exists` alone needs no credentials. */
        int (*subscriber)(struct bl_store *, struct env *, struct bl_str user, struct bl_str domain,
                          struct bl_store_op *);
        /* bl_store_cancel of an op that is pending here: done will not run. NULL: this store answers everything at
         * once. */
        void (*cancel)(struct bl_store *, struct bl_store_op *);
        /* Removes what has expired, a bounded number at a time. */
        void (*expire)(struct bl_store *, int64_t wall);
        void (*free)(struct bl_store *);
};
struct bl_store {
        const struct bl_store_ops *ops;
};
void bl_store_end(
        struct bl_store_op *op); /* lets go of the results (accepts one without); an op may then be used again */
/* Gives up waiting: done will not run. */
void bl_store_cancel(struct bl_store *s, struct bl_store_op *op);
