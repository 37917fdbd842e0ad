/*
 * Private to txn/: what its files share.
 *
 *   txn.c     life, dispatch of what flow/ brings      match.c   keys of RFC 3261 17.1.3, 17.2.3
 *   reply.c   answers without a transaction            index.c   server transactions by key, node-wide
 *   server.c  server transactions                      client.c  client transactions, try.c  their tries
 */
#pragma once
#include "base/hash.h"
#include "base/list.h"
#include "txn/txn.h"

/* 128 bits of a keyed hash in place of the key's text: strangers do not know the seed, so they cannot make two alike,
 * and by accident two of 2^32 live ones agree with a probability of 2^-65. */
struct bl_txn_key {
        uint64_t hash, check;
};

/* What the index holds: part of a server transaction, or a worker's claim on a request that it is just deciding about.
 * Other workers read it under the shard's lock. */
struct bl_txn_entry {
        struct bl_hnode node;
        uint64_t check;
        struct bl_txns *owner;
};

/* Transactions that only wait for their end, all for the same time: the oldest is first, one timer for all. */
struct bl_txn_queue {
        struct bl_link list;
        struct bl_timer timer;
        struct bl_txns *txns;
};

struct bl_txns {
        struct env *env;
        struct bl_flows *flows;
        struct bl_txn_index *index; /* NULL with one worker */
        struct bl_txns_conf conf;   /* defaults filled in */
        struct bl_txns_user user;
        void *ctx;
        uint64_t seed;
        bl_us t1, t2, t4;

        struct bl_htab servers; /* when there is no index */
        struct bl_htab clients;
        size_t n_servers, n_clients, used;
        struct bl_txn_queue timed;   /* J over UDP, L: the RFC's */
        struct bl_txn_queue lingers; /* after a stream: the budget may end them */

        /* the request that `user.request` is deciding about */
        const struct bl_msg *current;
        struct bl_txn_key current_key;
        struct bl_txn_entry claim; /* in the index meanwhile */

        char via_param[8];
        struct bl_str via_param_str;

        struct {
                struct bl_counter *servers, *clients, *copies, *retransmitted, *passed, *stray, *full, *no_memory,
                        *cancel_unknown, *timeout, *no_ack, *unsent, *evicted, *live, *octets;
                struct bl_counter *garbage_400, *garbage_505, *garbage_513, *garbage_other, *garbage_silent;
        } count;
};

static inline bl_us bl_txn_life(const struct bl_txns *t) /* 64*T1 */
{
        return 64 * t->t1;
}
static inline size_t bl_txn_buf_cost(const struct bl_buf *b)
{
        return b ? sizeof(*b) + b->cap : 0;
}
/* Over streams nothing is retransmitted. What a Via says of the flow it was sent on; its own flow knows better. */
bool bl_txn_reliable(struct bl_txns *t, bl_flow_id flow, struct bl_str via_transport);

/* match.c */
struct bl_txn_key bl_match_server(uint64_t seed, const struct bl_msg *m, enum bl_method as);
struct bl_txn_key bl_match_client(uint64_t seed, struct bl_str branch, enum bl_method method,
                                  struct bl_str method_name);

/* index.c */
uint64_t bl_index_seed(const struct bl_txn_index *x); /* of all workers' keys */
enum bl_found { BL_FOUND_NONE, BL_FOUND_OWN, BL_FOUND_ELSEWHERE };
/* OWN: *ret_entry; ELSEWHERE: *ret_worker. */
enum bl_found bl_index_find(struct bl_txns *t, struct bl_txn_key key, struct bl_txn_entry **ret_entry,
                            unsigned *ret_worker);
/* As find; when it finds none, t->claim takes the key (NONE all the same). BL_ENOMEM: not claimed. */
int bl_index_claim(struct bl_txns *t, struct bl_txn_key key, struct bl_txn_entry **ret_entry, unsigned *ret_worker);
void bl_index_unclaim(struct bl_txns *t);
/* 0; BL_EPROTO when the key is taken (by anything but our own claim, which gives way); BL_ENOMEM. */
int bl_index_insert(struct bl_txns *t, struct bl_txn_entry *e, struct bl_txn_key key);
void bl_index_remove(struct bl_txns *t, struct bl_txn_entry *e);
void bl_index_each_own(struct bl_txns *t, void (*fn)(struct bl_txns *t, struct bl_txn_entry *e));

/* reply.c */
void bl_reply_fill(struct bl_txns *t, const struct bl_flow *f, const struct bl_msg *req, struct bl_response *r);
int bl_reply_on(struct bl_txns *t, bl_flow_id flow, const struct bl_msg *req, unsigned status);
void bl_reply_garbage(struct bl_txns *t, struct bl_flow *f, const struct bl_parse_error *err);

/* server.c */
void bl_server_init_queues(struct bl_txns *t);
void bl_server_free_all(struct bl_txns *t);
void bl_server_copy(struct bl_txn_entry *e, bl_flow_id from, const struct bl_msg *m);
void bl_server_cancel(struct bl_txn_entry *e, bl_flow_id from, const struct bl_msg *m);
/* False: it is the user's business (RFC 6026: an ACK that finds Accepted; RFC 2543: another To tag). */
bool bl_server_ack(struct bl_txn_entry *e, const struct bl_msg *m);

/* client.c */
bool bl_client_response(struct bl_txns *t, bl_flow_id from, const struct bl_msg *m); /* false: matches none */
void bl_client_free_all(struct bl_txns *t);
