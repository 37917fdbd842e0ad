#include "store/mem.h"

#include <stdlib.h>

#include "sip/uri.h"
#include "store/mem_internal.h"

enum { CONTACTS_DEFAULT = 32, EXPIRE_STEP = 256, SWEEP_STEP = 2, SPARE_MAX = 8, RESULT_MIN = 1024 };

struct mem_shard *bl_mem_lock(struct mem *m, struct bl_str aor, uint64_t *ret_hash)
{
        uint64_t hash = bl_hash(m->seed, aor);
        struct mem_shard *s = &m->shard[hash >> 58];

        pthread_mutex_lock(&s->lock);
        *ret_hash = hash;
        return s;
}

struct mem_aor *bl_mem_find(const struct mem_shard *s, uint64_t hash, struct bl_str aor)
{
        for (struct bl_hnode *n = bl_htab_first(&s->aors, hash); n; n = bl_htab_next(n)) {
                struct mem_aor *a = BL_CONTAINER(n, struct mem_aor, node);

                if (bl_str_eq(bl_str_make(a->text, a->len), aor))
                        return a;
        }
        return NULL;
}

struct mem_aor *bl_mem_get(struct mem_shard *s, uint64_t hash, struct bl_str aor)
{
        struct mem_aor *a = bl_mem_find(s, hash, aor);

        if (a)
                return a;
        a = aor.n <= UINT16_MAX ? calloc(1, sizeof(*a) + aor.n) : NULL;
        if (!a)
                return NULL;
        a->len = (uint16_t)aor.n;
        memcpy(a->text, aor.p, aor.n);
        if (bl_htab_insert(&s->aors, &a->node, hash) < 0) {
                free(a);
                return NULL;
        }
        bl_list_push_back(&s->all, &a->link);
        return a;
}

static void free_if_empty(struct mem_shard *s, struct mem_aor *a)
{
        if (!a || a->contacts)
                return;
        bl_htab_remove(&s->aors, &a->node);
        bl_list_remove(&a->link);
        free(a);
}

void bl_mem_strings(struct bl_contact *c, struct bl_str *ret[MEM_TEXTS])
{
        ret[0] = &c->uri;
        ret[1] = &c->instance;
        ret[2] = &c->path;
        ret[3] = &c->params;
        ret[4] = &c->call_id;
}

static size_t strings_len(const struct bl_contact *c)
{
        return c->uri.n + c->instance.n + c->path.n + c->params.n + c->call_id.n;
}

/* Copies the strings of c, which become the copies, to `at`; returns where they end. */
static char *move_strings(struct bl_contact *c, char *at)
{
        struct bl_str *s[MEM_TEXTS];

        bl_mem_strings(c, s);
        for (unsigned i = 0; i < MEM_TEXTS; i++) {
                if (s[i]->n)
                        memcpy(at, s[i]->p, s[i]->n);
                s[i]->p = at;
                at += s[i]->n;
        }
        return at;
}

struct mem_contact *bl_mem_copy(struct mem_contact *old, const struct bl_contact *c)
{
        size_t need = strings_len(c);
        struct mem_contact *new = old;

        if (!old || old->cap < need) {
                new = malloc(sizeof(*new) + need);
                if (!new)
                        return NULL;
                new->cap = need;
                free(old);
        }
        new->next = NULL;
        new->c = *c;
        (void)move_strings(&new->c, new->text);
        return new;
}

static bool same_uri(struct bl_str a, struct bl_str b)
{
        struct bl_uri x, y;

        if (bl_str_eq(a, b))
                return true;
        return bl_uri_parse(a, &x) == 0 && bl_uri_parse(b, &y) == 0 && bl_uri_equivalent(&x, &y, false);
}

/* RFC 5626 section 6: instance and reg-id are the key; without instance, RFC 3261 section 10.3: equal Contacts. */
static bool same_binding(const struct bl_contact *a, const struct bl_contact *b)
{
        if (a->instance.n || b->instance.n)
                return a->reg_id == b->reg_id && bl_str_eq(a->instance, b->instance);
        return same_uri(a->uri, b->uri);
}

struct mem_contact **bl_mem_slot(struct mem_aor *a, const struct bl_contact *c)
{
        struct mem_contact **at = &a->contacts;

        while (*at && !same_binding(&(*at)->c, c))
                at = &(*at)->next;
        return at;
}

static struct mem_contact *unlink_at(struct mem *m, struct mem_aor *a, struct mem_contact **at)
{
        struct mem_contact *c = *at;

        *at = c->next;
        a->n--;
        atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
        return c;
}

static void link_first(struct mem *m, struct mem_aor *a, struct mem_contact *c)
{
        c->next = a->contacts;
        a->contacts = c;
        a->n++;
        atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed);
}

/* --- time --- */

static int64_t wall_seen(struct mem *m, int64_t wall)
{
        int64_t now = atomic_load_explicit(&m->wall, memory_order_relaxed);

        while (wall > now && !atomic_compare_exchange_weak(&m->wall, &now, wall))
                ;
        return wall > now ? wall : now;
}

static void drop_expired(struct mem *m, struct mem_aor *a, int64_t wall)
{
        struct mem_contact **at = &a->contacts;

        while (*at) {
                if ((*at)->c.expires_at <= wall)
                        free(unlink_at(m, a, at));
                else
                        at = &(*at)->next;
        }
}

/* Looks at some AORs of the shard, in turn. */
static void sweep(struct mem *m, struct mem_shard *s, unsigned most, int64_t wall)
{
        while (most-- > 0 && !bl_list_empty(&s->all)) {
                struct mem_aor *a = BL_CONTAINER(s->all.next, struct mem_aor, link);

                bl_list_remove(&a->link);
                bl_list_push_back(&s->all, &a->link);
                drop_expired(m, a, wall);
                free_if_empty(s, a);
        }
}

static void mem_expire(struct bl_store *store, int64_t wall)
{
        struct mem *m = bl_mem_of(store);
        int64_t now = wall_seen(m, wall);

        for (unsigned i = 0; i < MEM_SHARDS; i++) {
                struct mem_shard *s = &m->shard[i];

                pthread_mutex_lock(&s->lock);
                sweep(m, s, EXPIRE_STEP / MEM_SHARDS, now);
                pthread_mutex_unlock(&s->lock);
        }
}

/* --- answers --- */

static void release(struct bl_store_result *result)
{
        struct mem_result *r = BL_CONTAINER(result, struct mem_result, result);
        struct mem_shard *s = r->shard;

        pthread_mutex_lock(&s->lock);
        if (s->n_spare < SPARE_MAX) {
                r->next = s->spare;
                s->spare = r;
                s->n_spare++;
                r = NULL;
        }
        pthread_mutex_unlock(&s->lock);
        free(r);
}

static struct mem_result *result_new(struct mem_shard *s, size_t need)
{
        struct mem_result **at = &s->spare, *r;
        size_t cap = RESULT_MIN;

        for (; *at; at = &(*at)->next) {
                if ((*at)->cap < need)
                        continue;
                r = *at;
                *at = r->next;
                s->n_spare--;
                return r;
        }
        while (cap < need)
                cap *= 2;
        r = malloc(sizeof(*r) + cap);
        if (!r)
                return NULL;
        r->result.release = release;
        r->shard = s;
        r->cap = cap;
        return r;
}

/* The live bindings of an AOR, copied, newest first. */
static int answer(struct mem_shard *s, const struct mem_aor *a, int64_t wall, struct bl_store_op *op)
{
        size_t need = 0;
        unsigned n = 0;

        op->location = (struct bl_location){0};
        op->_state = NULL;
        for (const struct mem_contact *c = a ? a->contacts : NULL; c; c = c->next) {
                need += sizeof(c->c) + strings_len(&c->c);
                n += c->c.expires_at > wall;
        }
        if (n == 0)
                return 0;
        struct mem_result *r = result_new(s, need);
        if (!r)
                return BL_ENOMEM;
        struct bl_contact *out = (struct bl_contact *)(void *)r->data;
        char *text = r->data + n * sizeof(*out);
        for (const struct mem_contact *c = a->contacts; c; c = c->next) {
                if (c->c.expires_at <= wall)
                        continue;
                *out = c->c;
                text = move_strings(out, text);
                out++;
        }
        op->location = (struct bl_location){(struct bl_contact *)(void *)r->data, n};
        op->_state = &r->result;
        return 0;
}

static int mem_lookup(struct bl_store *store, struct env *e, struct bl_str aor, struct bl_store_op *op)
{
        struct mem *m = bl_mem_of(store);
        uint64_t hash;
        struct mem_shard *s = bl_mem_lock(m, aor, &hash);
        int rc;

        (void)e; /* answers at once */
        rc = answer(s, bl_mem_find(s, hash, aor), atomic_load_explicit(&m->wall, memory_order_relaxed), op);
        pthread_mutex_unlock(&s->lock);
        return rc;
}

/* --- update --- */

/* RFC 3261 section 10.3, steps 6 and 7: within one Call-ID only a higher CSeq may change a binding. */
static bool in_order(const struct bl_contact *old, const struct bl_contact *c)
{
        return !bl_str_eq(old->call_id, c->call_id) || c->cseq > old->cseq;
}

static int check_remove_all(const struct mem_aor *a, const struct bl_contact *c, unsigned n)
{
        for (const struct mem_contact *at = a->contacts; n && at; at = at->next)
                if (!in_order(&at->c, c))
                        return BL_EPROTO;
        return 0;
}

/* What the update would do, before any of it is done. */
static int check(const struct mem *m, struct mem_aor *a, const struct bl_contact *c, unsigned n)
{
        unsigned count = a->n;

        for (unsigned i = 0; i < n; i++) {
                const struct mem_contact *old = *bl_mem_slot(a, &c[i]);
                bool removal = c[i].expires_at <= c[i].updated_at, again = false;

                if (old && !in_order(&old->c, &c[i]))
                        return BL_EPROTO;
                for (unsigned k = 0; k < i; k++)
                        again |= same_binding(&c[k], &c[i]);
                if (again)
                        continue;
                if (!old && !removal)
                        count++;
                else if (old && removal)
                        count--;
        }
        return count > m->max_contacts && count > a->n ? BL_ELIMIT : 0;
}

static void remove_all(struct mem *m, struct mem_aor *a)
{
        while (a->contacts)
                free(unlink_at(m, a, &a->contacts));
}

/* Blocks for what is to be stored, so that the update cannot fail half way. */
static int prepare(const struct bl_contact *c, unsigned n, struct mem_contact **ret_first)
{
        struct mem_contact *first = NULL;

        for (unsigned i = n; i-- > 0;) {
                struct mem_contact *new;

                if (c[i].expires_at <= c[i].updated_at)
                        continue;
                new = bl_mem_copy(NULL, &c[i]);
                if (!new) {
                        while (first) {
                                new = first->next;
                                free(first);
                                first = new;
                        }
                        return BL_ENOMEM;
                }
                new->next = first;
                first = new;
        }
        *ret_first = first;
        return 0;
}

static void apply(struct mem *m, struct mem_aor *a, const struct bl_contact *c, unsigned n, struct mem_contact *new)
{
        for (unsigned i = 0; i < n; i++) {
                struct mem_contact **at = bl_mem_slot(a, &c[i]), *put = new;

                if (*at)
                        free(unlink_at(m, a, at));
                if (c[i].expires_at <= c[i].updated_at)
                        continue;
                new = put->next;
                put->c.order = 1 + atomic_fetch_add_explicit(&m->order, 1, memory_order_relaxed);
                link_first(m, a, put);
        }
}

/* The usual case, a refresh of one binding: in the block that it has. */
static bool refresh_in_place(struct mem *m, struct mem_aor *a, const struct bl_contact *c)
{
        struct mem_contact **at = bl_mem_slot(a, c), *b = *at;

        if (!b || b->cap < strings_len(c) || c->expires_at <= c->updated_at)
                return false;
        unlink_at(m, a, at);
        b = bl_mem_copy(b, c);
        b->c.order = 1 + atomic_fetch_add_explicit(&m->order, 1, memory_order_relaxed);
        link_first(m, a, b);
        return true;
}

static int update_locked(struct mem *m, struct mem_shard *s, struct mem_aor *a, const struct bl_contact *c, unsigned n,
                         unsigned flags, struct bl_store_op *op)
{
        int64_t wall = atomic_load_explicit(&m->wall, memory_order_relaxed);
        struct mem_contact *new = NULL;
        int rc;

        drop_expired(m, a, wall);
        rc = flags & BL_STORE_REMOVE_ALL ? check_remove_all(a, c, n) : check(m, a, c, n);
        if (rc < 0)
                return rc;
        if (flags & BL_STORE_REMOVE_ALL) {
                remove_all(m, a);
        } else if (n != 1 || !refresh_in_place(m, a, c)) {
                rc = prepare(c, n, &new);
                if (rc < 0)
                        return rc;
                apply(m, a, c, n, new);
        }
        return answer(s, a, wall, op);
}

static int mem_update(struct bl_store *store, struct env *e, struct bl_str aor, const struct bl_contact *c, unsigned n,
                      unsigned flags, struct bl_store_op *op)
{
        struct mem *m = bl_mem_of(store);
        struct mem_shard *s;
        struct mem_aor *a;
        uint64_t hash;
        int rc = BL_ENOMEM;

        (void)e;
        for (unsigned i = 0; i < n; i++)
                (void)wall_seen(m, c[i].updated_at);
        s = bl_mem_lock(m, aor, &hash);
        sweep(m, s, SWEEP_STEP, atomic_load_explicit(&m->wall, memory_order_relaxed));
        a = bl_mem_get(s, hash, aor);
        if (a) {
                rc = update_locked(m, s, a, c, n, flags, op);
                free_if_empty(s, a);
        }
        pthread_mutex_unlock(&s->lock);
        return rc;
}

static int mem_remove(struct bl_store *store, struct env *e, struct bl_str aor, const struct bl_contact *c,
                      struct bl_store_op *op)
{
        struct mem *m = bl_mem_of(store);
        uint64_t hash;
        struct mem_shard *s = bl_mem_lock(m, aor, &hash);
        struct mem_aor *a = bl_mem_find(s, hash, aor);
        struct mem_contact **at = a ? bl_mem_slot(a, c) : NULL;

        (void)e;
        (void)op;
        if (at && *at && (*at)->c.order == c->order)
                free(unlink_at(m, a, at));
        free_if_empty(s, a);
        pthread_mutex_unlock(&s->lock);
        return 0;
}

static int mem_subscriber(struct bl_store *store, struct env *e, struct bl_str user, struct bl_str domain,
                          struct bl_store_op *op)
{
        const struct bl_users *u = atomic_load_explicit(&bl_mem_of(store)->users, memory_order_acquire);

        (void)e;
        return u ? bl_users_find(u, user, domain, &op->credentials, &op->group) : BL_ENOENT;
}

/* --- new, free --- */

static void mem_free(struct bl_store *store)
{
        struct mem *m = bl_mem_of(store);

        for (unsigned i = 0; i < MEM_SHARDS; i++) {
                struct mem_shard *s = &m->shard[i];

                BL_LIST_EACH_SAFE(l, &s->all)
                {
                        struct mem_aor *a = BL_CONTAINER(l, struct mem_aor, link);

                        remove_all(m, a);
                        free_if_empty(s, a);
                }
                while (s->spare) {
                        struct mem_result *r = s->spare;

                        s->spare = r->next;
                        free(r);
                }
                bl_htab_fini(&s->aors);
                pthread_mutex_destroy(&s->lock);
        }
        free(m);
}

struct bl_store *bl_store_mem_new(const struct bl_store_mem_conf *conf)
{
        static const struct bl_store_ops ops = {.lookup = mem_lookup,
                                                .update = mem_update,
                                                .remove = mem_remove,
                                                .subscriber = mem_subscriber,
                                                .expire = mem_expire,
                                                .free = mem_free};
        struct mem *m = calloc(1, sizeof(*m));

        if (!m)
                return NULL;
        m->store.ops = &ops;
        m->seed = conf->hash_seed;
        m->max_contacts = conf->max_contacts ? conf->max_contacts : CONTACTS_DEFAULT;
        atomic_init(&m->users, conf->users);
        for (unsigned i = 0; i < MEM_SHARDS; i++) {
                pthread_mutex_init(&m->shard[i].lock, NULL);
                bl_list_init(&m->shard[i].all);
        }
        return &m->store;
}

size_t bl_store_mem_count(struct bl_store *s)
{
        return atomic_load_explicit(&bl_mem_of(s)->count, memory_order_relaxed);
}

void bl_store_mem_set_users(struct bl_store *store, const struct bl_users *users)
{
        atomic_store_explicit(&bl_mem_of(store)->users, users, memory_order_release);
}
