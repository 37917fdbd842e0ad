/* The most specific match (protocol.md 3.1). */
#include "sticky/table.h"

/* --- weighing and ordering --- */

static bool is_weaker(const struct search *f) /* equals are told apart by rendezvous, not by confirmation */
{
        return !f->by_user || f->rank == 3;
}

/* An accepted connection's port is chance; where flows lead to a domain and not to one user, the host is the far end.
 */
static struct bl_addr far_end(const struct search *f, const struct rec *r)
{
        struct bl_addr a = r->remote;

        if (is_weaker(f) && !r->ours)
                a.port = 0;
        return a;
}

void stk_search_add(struct search *f, struct rec *root, bl_us confirmed_at, enum bl_bind_kind kind)
{
        struct cand *c;
        struct bl_addr end;

        if (f->n == SCAN_MAX)
                return;
        for (unsigned i = 0; i < f->n_found; i++)
                if (f->found[i].flow == root->id)
                        return; /* each flow once, at its best rank */
        c = &f->cand[f->n++];
        c->rec = root;
        c->confirmed_at = confirmed_at;
        c->kind = (uint8_t)kind;
        c->score = 0;
        if (is_weaker(f)) {
                end = far_end(f, root);
                c->score = bl_addr_hash(f->spread, &end);
        }
}

static bool is_better(const struct search *f, const struct cand *a, const struct cand *b)
{
        if (a->score != b->score)
                return a->score > b->score;
        if (f->rank < 3 && a->confirmed_at != b->confirmed_at)
                return a->confirmed_at > b->confirmed_at;
        return a->rec->serial > b->rec->serial;
}

static bool is_own(const struct search *f, const struct cand *c)
{
        return (unsigned)(c->rec->id >> 56) == f->worker;
}

/* The best of those left; of one far end only, and there the own worker's first, when `end` is not NULL. */
static struct cand *best(struct search *f, const struct bl_addr *end)
{
        struct cand *top = NULL;

        for (unsigned i = 0; i < f->n; i++) {
                struct cand *c = &f->cand[i];
                bool wins = c->rec && (!top || is_better(f, c, top));

                if (!c->rec)
                        continue;
                if (end) {
                        struct bl_addr own = far_end(f, c->rec);

                        if (!bl_addr_eq(&own, end))
                                continue;
                        if (top && is_own(f, c) != is_own(f, top))
                                wins = is_own(f, c);
                }
                if (wins)
                        top = c;
        }
        return top;
}

static void emit(struct search *f, const struct cand *c)
{
        const struct rec *r = c->rec;

        for (unsigned i = 0; i < f->n_found; i++)
                if (f->found[i].flow == r->id)
                        return; /* it was bound to several URIs that match */
        f->found[f->n_found++] =
                (struct bl_sticky_found){.flow = r->id,
                                         .rank = f->rank,
                                         .kind = c->kind,
                                         .ours = r->ours,
                                         .tp = (enum bl_tp)r->tp,
                                         .remote = r->remote,
                                         .listens = atomic_load_explicit(&r->listens, memory_order_relaxed)};
}

void stk_search_take(struct search *f)
{
        struct cand *top, *c;

        if (f->n == 1 && f->n_found < BL_STICKY_MAX) {
                emit(f, &f->cand[0]);
                f->n = 0;
                return;
        }
        while (f->n_found < BL_STICKY_MAX && (top = best(f, NULL)) != NULL) {
                struct bl_addr end = far_end(f, top->rec);

                while (f->n_found < BL_STICKY_MAX && (c = best(f, &end)) != NULL) {
                        emit(f, c);
                        c->rec = NULL;
                }
        }
        f->n = 0;
}

/* --- collecting, under the uri shard's lock; nothing is freed meanwhile --- */

static void dead(struct search *f, struct binding *b)
{
        if (f->n_dead < RECLAIM_MAX)
                f->dead[f->n_dead++] = b;
}

static void weigh(struct search *f, struct binding *b)
{
        struct rec *root = stk_rec_root(&b->rec);
        enum rec_state state = stk_rec_state(root, f->now);

        if (state == REC_DEAD || stk_expired(f->t, b, f->now)) {
                dead(f, b);
        } else if (state == REC_UP) {
                stk_search_add(f, root, b->confirmed_at, (enum bl_bind_kind)b->kind);
                if (f->rank == 1)
                        b->used_at = f->now > b->used_at ? f->now : b->used_at;
        }
}

static void weigh_ring(struct search *f, struct binding *leader)
{
        struct binding *b = leader;
        unsigned seen = 0;

        do {
                weigh(f, b);
                b = stk_ring_next(b);
        } while (b != leader && ++seen < SCAN_MAX);
}

static void weigh_slot(struct search *f, struct slot *sl)
{
        struct rec *root = stk_rec_root(&sl->rec);
        enum rec_state state = stk_rec_state(root, f->now);
        unsigned seen = 0;

        if (state == REC_DEAD)
                bl_list_remove(&sl->link); /* its members free it when they are reclaimed */
        if (state != REC_UP)
                return;
        BL_LIST_EACH(l, &sl->members)
        {
                struct binding *b = BL_CONTAINER(l, struct member, link)->ext->binding;

                if (!stk_expired(f->t, b, f->now)) {
                        stk_search_add(f, root, b->confirmed_at, (enum bl_bind_kind)b->kind);
                        return;
                }
                dead(f, b);
                if (++seen == RECLAIM_MAX)
                        return;
        }
}

static void walk_class(struct search *f, const struct class *c, unsigned most)
{
        struct bl_str params = canon_params(f->c);

        BL_LIST_EACH(l, &c->all)
        {
                struct binding *b = BL_CONTAINER(l, struct ext, all)->binding;

                if (most-- == 0)
                        return;
                if (canon_agree(stk_params(b), params) && !bl_str_eq(stk_params(b), params))
                        weigh(f, b);
        }
}

static void weigh_class(struct search *f, struct class *c)
{
        char text[CANON_MAX];
        uint32_t mask;
        struct bl_str values = {text, canon_common(stk_params(stk_class_sample(c)), canon_params(f->c), &mask, text)};
        struct binding *leader;
        struct bucket *b;
        struct proj *p;

        if (c->mixed) {
                walk_class(f, c, WALK_SOME);
                return;
        }
        if (mask == (1u << c->n_names) - 1) { /* the query has all its names: one look-up */
                leader = f->c->n == c->n_names ? NULL : stk_group_exact(f->s, c->group, values);
                if (leader)
                        weigh_ring(f, leader);
                return;
        }
        p = stk_proj_get(f->t, f->s, c, mask);
        if (p)
                stk_proj_fill(f->t, f->s, p); /* begins with the latest confirmed */
        else
                walk_class(f, c, c->count <= WALK_MAX ? WALK_MAX : WALK_SOME);
        b = p ? stk_proj_bucket(f->s, p, values) : NULL;
        if (b) {
                unsigned seen = 0;

                BL_LIST_EACH_SAFE(l, &b->slots)
                {
                        if (seen++ == SCAN_MAX)
                                break;
                        weigh_slot(f, BL_CONTAINER(l, struct slot, link));
                }
        }
}

static void weigh_equivalent(struct search *f, struct idnode *id)
{
        struct binding *b;

        if (id->group) {
                for (struct class *c = stk_id_group(id)->classes; c; c = c->next)
                        weigh_class(f, c);
                return;
        }
        b = stk_id_lone(id);
        if (!bl_str_eq(stk_params(b), canon_params(f->c)) && canon_agree(stk_params(b), canon_params(f->c)))
                weigh_ring(f, b);
}

/* Of both tags. */
static void identities(struct search *f, struct idnode *id[2])
{
        struct idnode *one = f->seen.n == 1 ? BL_CONTAINER(f->seen.node, struct idnode, node) : NULL;

        for (unsigned i = 0; i < 2; i++)
                id[i] = f->seen.n > 1                         ? stk_id_find(f->s, f->c, stk_tag(f->c, i))
                        : one && one->tag == stk_tag(f->c, i) ? one
                                                              : NULL;
}

/* Ranks 1 and 2 of what the index saw; `take` is called after each. */
static void search_uri(struct search *f, unsigned ranks, void (*take_rank)(struct search *, void *), void *arg)
{
        struct idnode *id[2];
        struct binding *leader;

        identities(f, id);
        f->rank = 1;
        for (unsigned i = 0; i < 2; i++) {
                leader = id[i] ? stk_ring_find(f->s, id[i], canon_params(f->c)) : NULL;
                if (leader)
                        weigh_ring(f, leader);
        }
        take_rank(f, arg);
        if (ranks >= 2) {
                f->rank = 2;
                for (unsigned i = 0; i < 2; i++)
                        if (id[i])
                                weigh_equivalent(f, id[i]);
                take_rank(f, arg);
        }
        for (unsigned i = 0; i < 2; i++)
                if (id[i] && !id[i]->group)
                        stk_answer(f->s, stk_id_lone(id[i])); /* the next one is answered by the index */
}

/*
 * What the index knows by itself: an identity with one URI, bound to one flow that is up, by a binding that does not
 * end within seconds. All else is for search_uri: false.
 */
static bool look(struct search *f, unsigned ranks)
{
        enum canon_plain plain = canon_plain(canon_params(f->c)), its;
        struct index_seen seen = f->seen;
        const struct rec *r = seen.answer;
        enum tag tag;

        if (seen.n == 0)
                return true;
        if (seen.n > 1 || !r || seen.hint >> HINT_UNTIL <= f->now >> HINT_STEP ||
            atomic_load_explicit(&r->next, memory_order_acquire) ||
            atomic_load_explicit(&r->state, memory_order_acquire) != REC_UP)
                return false;
        tag = (enum tag)(seen.hint >> HINT_TAG & 3);
        if (tag != stk_tag(f->c, 0) && tag != stk_tag(f->c, 1))
                return true;
        its = (enum canon_plain)(seen.hint >> HINT_PLAIN & 3);
        if (its != CANON_OTHER && its == plain) {
                f->rank = 1;
        } else if (its == CANON_NONE || its == CANON_LR || plain == CANON_NONE || plain == CANON_LR) {
                f->rank = 2; /* no parameter of both with two values */
                if (ranks < 2)
                        return true;
        } else {
                return false;
        }
        *f->found = (struct bl_sticky_found){.flow = r->id,
                                             .rank = f->rank,
                                             .kind = seen.hint >> HINT_KIND & 3,
                                             .ours = r->ours,
                                             .tp = (enum bl_tp)r->tp,
                                             .remote = r->remote,
                                             .listens = atomic_load_explicit(&r->listens, memory_order_relaxed)};
        f->n_found = 1;
        return true;
}

static void take_best(struct search *f, void *arg)
{
        (void)arg;
        stk_search_take(f);
}

static void search_init(struct search *f, struct bl_sticky *t, const struct canon *c, bl_us now)
{
        f->t = t;
        f->c = c;
        f->now = now;
        f->worker = 0;
        f->spread = 0;
        f->by_user = c && c->has_user;
        f->rank = 0;
        f->n = f->n_dead = f->n_found = 0;
        f->found = NULL;
        f->s = c ? stk_uri_shard(t, stk_shard_of(t, c->id_hash), false) : NULL;
}

static void reclaim(struct search *f)
{
        for (unsigned i = 0; i < f->n_dead; i++)
                stk_remove(f->t, f->s, f->dead[i]);
        f->n_dead = 0;
}

unsigned bl_sticky_find(struct bl_sticky *t, const struct bl_sticky_query *q, bl_us now,
                        struct bl_sticky_found ret[BL_STICKY_MAX])
{
        unsigned max_rank = q->max_rank ? q->max_rank : 3;
        char host[CANON_MAX];
        struct search f;
        struct canon c;
        int rc = canon_make(&c, &q->uri, t->seed), n;

        search_init(&f, t, rc < 0 ? NULL : &c, now);
        f.worker = q->worker;
        f.spread = q->spread;
        f.found = ret;
        if (f.s) {
                pthread_mutex_lock(&f.s->lock);
                stk_index_look(&f.s->ids, c.id_hash, c.id_check, &f.seen);
                if (!look(&f, max_rank)) {
                        search_uri(&f, max_rank, take_best, NULL);
                        reclaim(&f);
                }
                pthread_mutex_unlock(&f.s->lock);
        }
        if (max_rank < 3 || f.n_found == BL_STICKY_MAX)
                return f.n_found;
        f.rank = 3;
        if (rc == 0) {
                stk_host_find(&f, bl_str_make(c.text + c.host_off, c.host_n), NULL);
        } else if (rc == BL_ELIMIT) { /* too long to be bound; its host is a host all the same */
                n = canon_host(q->uri.host, host, sizeof(host));
                if (n > 0)
                        stk_host_find(&f, bl_str_make(host, (size_t)n), NULL);
        }
        return f.n_found;
}

unsigned bl_sticky_find_at(struct bl_sticky *t, struct bl_str host, const struct bl_addr *at, unsigned worker,
                           bl_us now, struct bl_sticky_found ret[BL_STICKY_MAX])
{
        char text[CANON_MAX];
        int n = canon_host(host, text, sizeof(text));
        struct search f;

        if (n <= 0)
                return 0;
        search_init(&f, t, NULL, now);
        f.worker = worker;
        f.rank = 3;
        f.found = ret;
        stk_host_find(&f, bl_str_make(text, (size_t)n), at);
        return f.n_found;
}

struct wanted {
        bl_flow_id flow;
        bool there;
};

static void look_for(struct search *f, void *arg)
{
        struct wanted *w = arg;

        for (unsigned i = 0; i < f->n; i++)
                w->there |= f->cand[i].rec->id == w->flow;
        f->n = 0;
}

bool bl_sticky_is_bound(struct bl_sticky *t, const struct bl_uri *uri, bl_flow_id flow, bool equivalent)
{
        struct wanted w = {.flow = flow};
        struct search f;
        struct canon c;

        if (canon_make(&c, uri, t->seed) < 0)
                return false;
        search_init(&f, t, &c, atomic_load_explicit(&t->now, memory_order_relaxed));
        if (!f.s)
                return false;
        pthread_mutex_lock(&f.s->lock);
        stk_index_look(&f.s->ids, c.id_hash, c.id_check, &f.seen);
        search_uri(&f, equivalent ? 2 : 1, look_for, &w);
        reclaim(&f);
        pthread_mutex_unlock(&f.s->lock);
        return w.there;
}
