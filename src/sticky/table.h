/*
 * The inside of the stickiness table. Private to sticky/.
 *
 *   uri shard (by hash of the identity)                       dialog shard (by Call-ID hash)
 *     ids ──► lone binding ─ ring of the same URI on            dlg ─ parts of its DIALOG bindings
 *      │      other flows (most recently confirmed leads)     host shard (by host)
 *      └────► group ─ classes {lr} {d,lr} …                     host ─ hostflows (flows with DOMAIN or CERT)
 *               exact ──► ring leaders of the group           flow shard (by handle)
 *               buckets ─ slots: one per (projection, flow)     rec
 *
 * An identity with one URI is a lone binding: one block, one look-up. A second URI of the same identity makes a group.
 * In it a class holds the URIs with one set of parameter names S. A query with names U matches on S ∩ U: where S is a
 * subset of U that is a look-up in `exact`; else small classes are walked, and a large one gets a projection: an index
 * on S ∩ U, filled a bounded number of entries at a time, whose buckets list flows and not bindings, so that 100,000
 * dialogs on one flow are one candidate.
 * Most look-ups are for lone bindings of one flow, and the index answers them by itself (find.c; docs/decisions/0012):
 * the answer is the flow's record, with a reference, and stk_answer keeps it true.
 *
 * Locks: uri shard → one of {dialog shard, host shard}; uri shard or nothing → flow shard. Two flow shards: lower index
 * first. The sweep's lock is outside all, the index's memory inside all. No lock of one kind is taken twice but as
 * said. What a rec says is read without lock: fixed fields, and atomics.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "sticky/canon.h"
#include "sticky/index.h"
#include "sticky/sticky.h"

enum {
        SHARDS = 64,
        BLOCK_STEP = 16,      /* sizes of blocks are rounded up to it, and 8 more: so the heap wastes nothing */
        BLOCK_CLASSES = 20,   /* up to 312 octets are kept for re-use */
        BLOCK_KEEP = 32,      /* of a class at most */
        RING_MAX = 1024,      /* flows that one URI may be bound to; then the least recently confirmed goes */
        SCAN_MAX = 256,       /* candidates that a find weighs */
        RECLAIM_MAX = 32,     /* dead bindings that a find takes out on its way */
        CLASSES_MAX = 16,     /* of a group; more kinds of URIs are found exactly only */
        PROJS_MAX = 4,        /* of a class */
        WALK_MAX = 16,        /* a class up to this size is walked instead of indexed */
        WALK_SOME = 64,       /* of a large class without an index so many are looked at */
        BUILD_STEP = 256,     /* entries that one call adds to an unfinished index */
        SWEEP_STEP = 256,     /* entries that one expire looks at */
        SWEEP_PERIOD_S = 60,  /* the whole table is looked at that often */
        SWEEP_BUSY_MS = 10,   /* between calls while bindings of dead flows are about */
        SWEEP_IDLE_MIN_MS = 1 /* never ask for more calls than that */
};

/* Which scheme a binding answers to: bindings on secure flows answer to both (protocol.md 3.1). */
enum tag { TAG_SIP, TAG_SIPS, TAG_BOTH, TAGS };

/*
 * What the index itself answers about a lone binding of one flow (its answer: the rec, with a reference): kind, tag and
 * plain parameters, and until when that surely holds.
 */
enum {
        HINT_KIND = 0, /* two bits each */
        HINT_TAG = 2,
        HINT_PLAIN = 4,
        HINT_UNTIL = 6, /* in steps of 4 s; all ones: for good (and from the ninth year on nothing is sure) */
        HINT_STEP = 22  /* such a step is that power of two µs */
};

enum rec_state {
        REC_UP,   /* may be a candidate */
        REC_KEPT, /* closed; its bindings wait for a successor until keep_until */
        REC_DEAD  /* its bindings are to be reclaimed */
};
/* A flow as the table sees it. Moving the bindings of one to another sets `next` and nothing else. */
struct rec {
        _Atomic(struct rec *) next; /* its bindings belong to that one now; holds a reference */
        _Atomic uint8_t state;
        bool ours;
        uint8_t tp;
        _Atomic uint16_t listens;
        _Atomic uint32_t refs; /* bindings, slots, hostflows, the flow shard, recs whose next it is */
        bl_flow_id id;
        uint64_t serial; /* newer flows have higher ones */
        struct bl_addr remote;
        _Atomic bl_us keep_until;
        struct bl_hnode node;
        struct bl_link kept; /* in the flow shard, when kept */
};

struct block {
        struct block *next;
};
struct blocks { /* memory of one shard, under its lock */
        struct block *free[BLOCK_CLASSES];
        uint8_t n[BLOCK_CLASSES];
};

struct idnode { /* how lone bindings and groups begin */
        struct inode node;
        bool group;
        uint8_t tag;
        uint16_t id_n;
        uint32_t index; /* of a binding in its shard's array */
};

struct binding {
        struct idnode id;    /* node: in `ids` (lone leader), in `exact` (leader in a group), or in none */
        struct bl_link same; /* other flows of the same URI; zeroed when alone */
        struct rec *rec;
        struct ext *ext; /* in a group; NULL when lone */
        void *part;      /* DIALOG: struct part; DOMAIN, CERT: struct hostflow */
        bl_us confirmed_at, used_at, expires_at;
        uint16_t par_n;
        uint8_t kind;
        bool leader, sips;
        char text[]; /* identity, then parameters */
};

struct group {
        struct idnode id; /* id_n is not used: the text is any binding's */
        struct class *classes;
        uint32_t uris; /* distinct ones */
        uint8_t n_classes;
};
struct class
{
        struct class *next;
        struct group *group;
        struct bl_link all; /* of ext: confirmed ones first, the latest at the front; then the unconfirmed */
        uint32_t count;
        uint32_t serial;
        struct proj *projs;
        uint8_t n_projs, n_names;
        bool mixed; /* takes what came when there were CLASSES_MAX others: its names differ */
};
struct ext { /* of a binding in a group */
        struct bl_link all;
        struct class *class;
        struct binding *binding;
        struct member *members;
};
struct proj {
        struct proj *next;
        struct class *class;
        uint32_t mask;       /* over the class's sorted names */
        struct ext *fill_at; /* what is to be added next; NULL: complete */
};
struct bucket { /* all bindings of a class that agree on a projection's values */
        struct bl_hnode node;
        struct proj *proj;
        struct bl_link slots; /* latest confirmed first */
        uint32_t n;           /* slots, those out of the list included */
        uint16_t len;
        char values[];
};
struct slot {                /* those of them on one flow */
        struct bl_link link; /* out of the list when the flow is dead */
        struct bucket *bucket;
        struct rec *rec;
        struct bl_link members; /* ordered as class.all */
};
struct member {
        struct bl_link link;
        struct slot *slot;
        struct ext *ext;
        struct member *next; /* of the same binding */
};

struct part { /* of a DIALOG binding */
        struct bl_link lru;
        struct bl_link link; /* in its dlg */
        struct dlg *dlg;     /* NULL: bound without one */
        struct binding *binding;
        bl_us queued_at; /* used_at when it was put where it is in the LRU list */
        uint32_t shard;
};
struct dlg {
        struct bl_hnode node;
        struct bl_link parts;
        uint64_t shards; /* uri shards that have, or had, parts of it */
};

struct host {
        struct bl_hnode node;
        struct bl_link flows; /* newest first */
        uint32_t n;           /* those out of the list included */
        uint16_t len;
        char text[];
};
struct hostflow { /* a flow with DOMAIN or CERT bindings of a host */
        struct bl_hnode by_rec, by_addr;
        struct bl_link link; /* out of the list when the flow is dead */
        struct host *host;
        struct rec *rec;
        uint32_t bindings;
        uint8_t kind;
        _Atomic bl_us confirmed_at;
};

struct uri_shard {
        pthread_mutex_t lock;
        struct index ids, exact;
        struct bl_htab buckets;
        struct binding **all; /* dense; a removed one's place is taken by the last */
        uint32_t n, cap;
        uint32_t index, serials;
        uint32_t tags[TAGS];      /* bindings per tag */
        struct bl_link lru;       /* parts, most recently used first, roughly */
        _Atomic bl_us lru_oldest; /* queued_at of the last part; UINT64_MAX: none */
        struct blocks blocks;
};
struct dialog_shard {
        pthread_mutex_t lock;
        struct bl_htab dialogs;
        struct blocks blocks;
};
struct host_shard {
        pthread_mutex_t lock;
        struct bl_htab hosts, by_rec, by_addr;
        struct blocks blocks;
};
struct flow_shard {
        pthread_mutex_t lock;
        struct bl_htab recs;
        struct bl_link kept;
};

struct bl_sticky {
        uint64_t seed;
        size_t budget;
        bl_us dialog_idle;
        unsigned shards; /* a power of two */
        atomic_size_t octets, bindings, flows;
        _Atomic uint64_t evicted, serial;
        _Atomic bl_us now;      /* the latest that bind or expire were told */
        _Atomic uint32_t dirty; /* rises when a flow dies */
        struct index_memory lines;
        pthread_mutex_t sweep;
        uint32_t sweep_shard, sweep_at, sweep_seen,
                sweep_clean; /* sweep's: where it is; `dirty` at the round's start */
        /* each made when it is first needed */
        _Atomic(struct uri_shard *) *uri;
        _Atomic(struct dialog_shard *) *dialog;
        _Atomic(struct host_shard *) *host;
        _Atomic(struct flow_shard *) *flow;
};

/* shards.c: NULL without memory; `make` false: NULL when there is none yet. */
struct uri_shard *stk_uri_shard(struct bl_sticky *t, unsigned index, bool make);
struct dialog_shard *stk_dialog_shard(struct bl_sticky *t, uint64_t hash, bool make);
struct host_shard *stk_host_shard(struct bl_sticky *t, uint64_t hash, bool make);
struct flow_shard *stk_flow_shard(struct bl_sticky *t, unsigned index, bool make);
static inline unsigned stk_shard_of(const struct bl_sticky *t, uint64_t hash)
{
        return (unsigned)(hash >> 58) & (t->shards - 1);
}
static inline size_t stk_block_size(size_t n)
{
        return (n + BLOCK_STEP - 9) / BLOCK_STEP * BLOCK_STEP + 8;
}
/* Zeroed memory, counted against the budget but not refused by it. NULL without memory. */
void *stk_block_get(struct bl_sticky *t, struct blocks *b, size_t n);
void stk_block_put(struct bl_sticky *t, struct blocks *b, void *mem, size_t n); /* accepts NULL */
void stk_blocks_fini(struct blocks *b);

/* flows.c */
struct rec *stk_rec_get(struct bl_sticky *t, bl_flow_id id); /* one that is up, with a reference; else NULL */
static inline struct rec *stk_rec_ref(struct rec *r)
{
        atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
        return r;
}
void stk_rec_unref(struct rec *r);
/* Whose bindings these are now; *at is shortened so that the next call is direct. Under the lock that guards *at. */
static inline struct rec *stk_rec_root(struct rec **at)
{
        struct rec *first = *at, *r = first, *next;

        while ((next = atomic_load_explicit(&r->next, memory_order_acquire)) != NULL)
                r = next; /* each is held by the one before it */
        if (r != first) {
                *at = stk_rec_ref(r);
                stk_rec_unref(first);
        }
        return r;
}
/* Of a root; one kept beyond its time is dead. */
static inline enum rec_state stk_rec_state(const struct rec *root, bl_us now)
{
        enum rec_state state = atomic_load_explicit(&root->state, memory_order_acquire);

        if (state == REC_KEPT && atomic_load_explicit(&root->keep_until, memory_order_relaxed) <= now)
                return REC_DEAD;
        return state;
}
bl_us stk_flows_expire(struct bl_sticky *t, bl_us now); /* when the next kept flow's time is up; UINT64_MAX */
void stk_flows_free(struct bl_sticky *t);

/* find.c: a search in progress, and the flows that it weighs in the present rank */
struct cand {
        struct rec *rec; /* root; NULL: already taken */
        bl_us confirmed_at;
        uint64_t score;
        uint8_t kind;
};
struct search {
        struct bl_sticky *t;
        struct uri_shard *s;
        const struct canon *c;
        struct index_seen seen; /* what `ids` knows of c */
        bl_us now;
        unsigned worker;
        uint64_t spread;
        bool by_user; /* order by confirmation; else by rendezvous */
        uint8_t rank;
        unsigned n, n_dead, n_found;
        struct bl_sticky_found *found;
        struct cand cand[SCAN_MAX];
        struct binding *dead[RECLAIM_MAX];
};
void stk_search_add(struct search *f, struct rec *root, bl_us confirmed_at, enum bl_bind_kind kind);
void stk_search_take(struct search *f); /* moves the best candidates to `found`, in order; forgets the others */

/* hosts.c: rank 3 */
int stk_host_bind(struct bl_sticky *t, struct binding *b, const struct canon *c); /* sets b->part */
void stk_host_unbind(struct bl_sticky *t, struct binding *b);
void stk_host_find(struct search *f, struct bl_str host, const struct bl_addr *at); /* `at` NULL: any address */
void stk_hosts_free(struct bl_sticky *t);

/* dialogs.c: the DIALOG kind's part, its LRU list and its dialog. Under the uri shard's lock. */
int stk_dialog_bind(struct bl_sticky *t, struct uri_shard *s, struct binding *b, uint64_t dialog);
void stk_dialog_unbind(struct bl_sticky *t, struct uri_shard *s, struct binding *b);
/* Whether a refresh for this dialog leaves b's part as it is; other kinds have none of a dialog. */
bool stk_dialog_is(const struct binding *b, uint64_t dialog);
/* Makes room for `need` octets by dropping the longest idle DIALOG bindings. No lock held. False: not possible. */
bool stk_dialog_evict(struct bl_sticky *t, size_t need);
void stk_dialogs_free(struct bl_sticky *t);

/* group.c: under the uri shard's lock */
static inline struct binding *stk_class_sample(const struct class *c) /* any binding of it */
{
        return BL_CONTAINER(c->all.next, struct ext, all)->binding;
}
/* Adds a new binding: of a URI that the group has already (`leader` of its ring), or not. 0, BL_ENOMEM. */
int stk_group_add(struct bl_sticky *t, struct uri_shard *s, struct group *g, struct binding *b, struct binding *leader);
/* Makes a group of a lone binding and its ring. NULL without memory. */
struct group *stk_group_from(struct bl_sticky *t, struct uri_shard *s, struct binding *lone);
/* After b left its ring and the index; `last`: there is no other binding of its URI. Ends the group when it may. */
void stk_group_remove(struct bl_sticky *t, struct uri_shard *s, struct binding *b, bool last);
void stk_group_confirmed(struct bl_sticky *t, struct uri_shard *s, struct binding *b);
struct binding *stk_group_exact(const struct uri_shard *s, const struct group *g, struct bl_str params);

/* projection.c: under the uri shard's lock */
struct proj *stk_proj_get(struct bl_sticky *t, struct uri_shard *s, struct class *c, uint32_t mask); /* NULL: walk */
void stk_proj_fill(struct bl_sticky *t, struct uri_shard *s, struct proj *p);
void stk_proj_added(struct bl_sticky *t, struct uri_shard *s, struct ext *x);     /* after it entered class.all */
void stk_proj_confirmed(struct bl_sticky *t, struct uri_shard *s, struct ext *x); /* before it moves to the front */
void stk_proj_removed(struct bl_sticky *t, struct uri_shard *s, struct ext *x);   /* before it leaves class.all */
void stk_proj_drop_all(struct bl_sticky *t, struct uri_shard *s, struct class *c);
struct bucket *stk_proj_bucket(const struct uri_shard *s, const struct proj *p, struct bl_str values);

/* bind.c */
static inline struct bl_str stk_params(const struct binding *b)
{
        return bl_str_make(b->text + b->id.id_n, b->par_n);
}
static inline struct binding *stk_ring_next(struct binding *b) /* itself when alone */
{
        return b->same.next ? BL_CONTAINER(b->same.next, struct binding, same) : b;
}
struct idnode *stk_id_find(const struct uri_shard *s, const struct canon *c, enum tag tag);
static inline struct binding *stk_id_lone(struct idnode *n)
{
        return BL_CONTAINER(n, struct binding, id);
}
static inline struct group *stk_id_group(struct idnode *n)
{
        return BL_CONTAINER(n, struct group, id);
}
/* The leader of the ring of exactly this URI, or NULL; `n` is what stk_id_find gave, not NULL. */
struct binding *stk_ring_find(const struct uri_shard *s, struct idnode *n, struct bl_str params);
/* Lets the index answer for the leader of an identity's only URI, or not any more, as it is now. */
void stk_answer(struct uri_shard *s, struct binding *b);
/* The tags a query of this scheme looks under: [0] and [1]. */
static inline enum tag stk_tag(const struct canon *c, unsigned i)
{
        return i == 0 ? TAG_BOTH : c->sips ? TAG_SIPS : TAG_SIP;
}
bool stk_expired(const struct bl_sticky *t, const struct binding *b, bl_us now);
void stk_remove(struct bl_sticky *t, struct uri_shard *s, struct binding *b); /* and frees it */
