/* Which flows lead to a domain: rank 3, and the flow whose bindings a new one inherits. */
#include <stdlib.h>

#include "sticky/table.h"

static uint64_t host_hash(const struct bl_sticky *t, struct bl_str host)
{
        return bl_hash(t->seed ^ 0x6f73, host);
}

static uint64_t rec_hash(uint64_t host, const struct rec *r)
{
        return bl_hash_mix(host, r->serial);
}

static uint64_t addr_hash(uint64_t host, const struct bl_addr *a)
{
        struct bl_addr ip = *a;

        ip.port = 0;
        return bl_addr_hash(host, &ip);
}

static struct host *host_find(const struct host_shard *s, uint64_t hash, struct bl_str text)
{
        for (struct bl_hnode *n = bl_htab_first(&s->hosts, hash); n; n = bl_htab_next(n)) {
                struct host *h = BL_CONTAINER(n, struct host, node);

                if (bl_str_eq(bl_str_make(h->text, h->len), text))
                        return h;
        }
        return NULL;
}

static void host_free_if_unused(struct bl_sticky *t, struct host_shard *s, struct host *h)
{
        if (h->n)
                return;
        bl_htab_remove(&s->hosts, &h->node);
        stk_block_put(t, &s->blocks, h, sizeof(*h) + h->len);
}

static struct host *host_get(struct bl_sticky *t, struct host_shard *s, uint64_t hash, struct bl_str text)
{
        struct host *h = host_find(s, hash, text);

        if (h)
                return h;
        h = stk_block_get(t, &s->blocks, sizeof(*h) + text.n);
        if (!h)
                return NULL;
        h->len = (uint16_t)text.n;
        memcpy(h->text, text.p, text.n);
        bl_list_init(&h->flows);
        if (bl_htab_insert(&s->hosts, &h->node, hash) < 0) {
                stk_block_put(t, &s->blocks, h, sizeof(*h) + text.n);
                return NULL;
        }
        return h;
}

static struct hostflow *hostflow_find(const struct host_shard *s, const struct host *h, const struct rec *r)
{
        struct bl_hnode *n = bl_htab_first(&s->by_rec, rec_hash(h->node.hash, r));

        for (; n; n = bl_htab_next(n)) {
                struct hostflow *hf = BL_CONTAINER(n, struct hostflow, by_rec);

                if (hf->host == h && hf->rec == r)
                        return hf;
        }
        return NULL;
}

static struct hostflow *hostflow_new(struct bl_sticky *t, struct host_shard *s, struct host *h, struct rec *r)
{
        struct hostflow *hf = stk_block_get(t, &s->blocks, sizeof(*hf));

        if (!hf)
                return NULL;
        if (bl_htab_insert(&s->by_rec, &hf->by_rec, rec_hash(h->node.hash, r)) < 0)
                goto fail;
        if (bl_htab_insert(&s->by_addr, &hf->by_addr, addr_hash(h->node.hash, &r->remote)) < 0) {
                bl_htab_remove(&s->by_rec, &hf->by_rec);
                goto fail;
        }
        hf->host = h;
        hf->rec = stk_rec_ref(r);
        h->n++;
        bl_list_push_front(&h->flows, &hf->link);
        return hf;
fail:
        stk_block_put(t, &s->blocks, hf, sizeof(*hf));
        return NULL;
}

int stk_host_bind(struct bl_sticky *t, struct binding *b, const struct canon *c)
{
        struct bl_str text = bl_str_make(c->text + c->host_off, c->host_n);
        uint64_t hash = host_hash(t, text);
        struct host_shard *s = stk_host_shard(t, hash, true);
        struct rec *r = stk_rec_root(&b->rec);
        struct hostflow *hf = NULL;
        struct host *h;

        if (!s)
                return BL_ENOMEM;
        pthread_mutex_lock(&s->lock);
        h = host_get(t, s, hash, text);
        if (h) {
                hf = hostflow_find(s, h, r);
                if (!hf)
                        hf = hostflow_new(t, s, h, r);
                if (hf) {
                        hf->bindings++;
                        hf->kind = hf->kind == BL_BIND_CERT ? hf->kind : b->kind;
                        b->part = hf;
                } else {
                        host_free_if_unused(t, s, h);
                }
        }
        pthread_mutex_unlock(&s->lock);
        return hf ? 0 : BL_ENOMEM;
}

void stk_host_unbind(struct bl_sticky *t, struct binding *b)
{
        struct hostflow *hf = b->part;
        struct host_shard *s = hf ? stk_host_shard(t, hf->host->node.hash, false) : NULL;

        if (!s)
                return;
        pthread_mutex_lock(&s->lock);
        b->part = NULL;
        if (--hf->bindings == 0) {
                bl_htab_remove(&s->by_rec, &hf->by_rec);
                bl_htab_remove(&s->by_addr, &hf->by_addr);
                bl_list_remove(&hf->link);
                hf->host->n--;
                host_free_if_unused(t, s, hf->host);
                stk_rec_unref(hf->rec);
                stk_block_put(t, &s->blocks, hf, sizeof(*hf));
        }
        pthread_mutex_unlock(&s->lock);
}

static void weigh(struct search *f, struct hostflow *hf)
{
        struct rec *root = stk_rec_root(&hf->rec);

        switch (stk_rec_state(root, f->now)) {
        case REC_DEAD:
                bl_list_remove(&hf->link); /* its bindings free it when they are reclaimed */
                break;
        case REC_UP:
                stk_search_add(f, root, atomic_load_explicit(&hf->confirmed_at, memory_order_relaxed), hf->kind);
                break;
        case REC_KEPT:
                break;
        }
}

/* A far end is an address when its IP is, and the port, but for connections it opened from whatever port it had. */
static bool is_at(const struct rec *r, const struct bl_addr *at)
{
        return r->ours && at->port ? bl_addr_eq(&r->remote, at) : bl_addr_eq_ip(&r->remote, at);
}

/*
 * The flows of a host, at one address when `at` is given. The index by address knows where a flow's bindings came from,
 * not where they were moved to; so it serves only hosts with more flows than can be looked at.
 */
struct walk {
        struct bl_link *link;
        struct bl_hnode *node;
        unsigned seen;
};

static struct hostflow *walk_next(struct walk *w, const struct host_shard *s, const struct host *h,
                                  const struct bl_addr *at)
{
        if (w->seen++ == SCAN_MAX)
                return NULL;
        if (at && h->n > SCAN_MAX) {
                w->node = w->node ? bl_htab_next(w->node) : bl_htab_first(&s->by_addr, addr_hash(h->node.hash, at));
                return w->node ? BL_CONTAINER(w->node, struct hostflow, by_addr) : NULL;
        }
        if (!w->link) /* the next one is remembered before this one may leave the list */
                w->link = h->flows.next;
        if (w->link == &h->flows)
                return NULL;
        struct hostflow *hf = BL_CONTAINER(w->link, struct hostflow, link);
        w->link = w->link->next;
        return hf;
}

void stk_host_find(struct search *f, struct bl_str host, const struct bl_addr *at)
{
        uint64_t hash = host_hash(f->t, host);
        struct host_shard *s = stk_host_shard(f->t, hash, false);
        struct walk w = {0};
        struct hostflow *hf;
        struct host *h;

        if (!s)
                return;
        pthread_mutex_lock(&s->lock);
        h = host_find(s, hash, host);
        while (h && (hf = walk_next(&w, s, h, at)) != NULL)
                if (hf->host == h && (!at || is_at(stk_rec_root(&hf->rec), at)))
                        weigh(f, hf);
        stk_search_take(f); /* copies out under the lock: a rec may go when it is released */
        pthread_mutex_unlock(&s->lock);
}

int bl_sticky_flow_orphan(struct bl_sticky *t, struct bl_str host, const struct bl_addr *source, bl_us now,
                          bl_flow_id *ret_flow)
{
        char text[CANON_MAX];
        int n = canon_host(host, text, sizeof(text));
        uint64_t hash = n < 0 ? 0 : host_hash(t, bl_str_make(text, (size_t)n)), newest = 0;
        struct host_shard *s = n < 0 ? NULL : stk_host_shard(t, hash, false);
        struct walk w = {0};
        struct hostflow *hf;
        struct host *h;

        if (!s)
                return BL_ENOENT;
        pthread_mutex_lock(&s->lock);
        h = host_find(s, hash, bl_str_make(text, (size_t)n));
        while (h && (hf = walk_next(&w, s, h, source)) != NULL) {
                struct rec *root = hf->host == h ? stk_rec_root(&hf->rec) : NULL;

                if (root && root->serial > newest && (!source || bl_addr_eq_ip(&root->remote, source)) &&
                    stk_rec_state(root, now) == REC_KEPT) {
                        newest = root->serial;
                        *ret_flow = root->id;
                }
        }
        pthread_mutex_unlock(&s->lock);
        return newest ? 0 : BL_ENOENT;
}

void stk_hosts_free(struct bl_sticky *t)
{
        for (unsigned i = 0; i < t->shards; i++) {
                struct host_shard *s = atomic_load_explicit(&t->host[i], memory_order_acquire);

                if (!s)
                        continue;
                bl_htab_fini(&s->hosts);
                bl_htab_fini(&s->by_rec);
                bl_htab_fini(&s->by_addr);
                stk_blocks_fini(&s->blocks);
                pthread_mutex_destroy(&s->lock);
                free(s);
        }
}
