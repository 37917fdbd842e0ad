/*
 * From bindings to targets. Bindings of one instance are one target: those with equal Path and Contact are the same
 * (its flows are the candidates), differing Paths are serial, newest first, never forked in parallel (RFC 5626 section
 * 7; protocol.md section 5, "Bindings"). A 430 by all candidates removes them.
 */
#include "home/internal.h"

static bool same_target(const struct bl_contact *a, const struct bl_contact *b)
{
        return a->instance.n && bl_str_eq(a->instance, b->instance);
}

static bool is_sips(struct bl_str uri)
{
        return uri.n > 5 && bl_str_ieq(bl_str_make(uri.p, 5), BL_STR("sips:"));
}

/* RFC 5630 section 5.3: what is asked of sips goes to sips Contacts only. */
static bool is_fit(const struct job *j, const struct bl_contact *c)
{
        return c->expires_at > j->home->env->wall && (!is_sips(bl_px_msg(j->px)->ruri) || is_sips(c->uri));
}

/* The Contact as Request-URI: the scheme stays the caller's, for a sips Contact may be asked either way. */
static struct bl_str ruri_of(struct job *j, const struct bl_contact *c)
{
        if (!is_sips(c->uri) || is_sips(bl_px_msg(j->px)->ruri))
                return c->uri;
        char *mem = bl_px_alloc(j->px, c->uri.n);
        struct bl_sb b = {mem, 0, mem ? c->uri.n : 0, false};
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, bl_str_from(c->uri, 5));
        return b.over ? c->uri : bl_sb_str(&b);
}

/* Groups the live bindings by instance, in the order of their newest: fills slots and order. */
static int group(struct job *j)
{
        const struct bl_location *l = &j->op.location;
        j->order = bl_px_alloc(j->px, l->n * sizeof *j->order + l->n);
        if (!j->order)
                return BL_ENOMEM;
        bool *taken = (bool *)(j->order + l->n);
        memset(taken, 0, l->n);
        unsigned at = 0;
        for (unsigned i = 0; i < l->n && j->n_slots < BL_ARRAY_LEN(j->slot); i++) {
                if (taken[i] || !is_fit(j, &l->c[i]))
                        continue;
                struct slot *s = &j->slot[j->n_slots++];
                s->first = at;
                for (unsigned k = i; k < l->n; k++) {
                        if (taken[k] || !is_fit(j, &l->c[k]) || (k != i && !same_target(&l->c[i], &l->c[k])))
                                continue;
                        taken[k] = true;
                        j->order[at++] = k;
                }
                s->n = at - s->first;
        }
        return 0;
}

static const struct bl_contact *binding(const struct job *j, const struct slot *s, unsigned i)
{
        return &j->op.location.c[j->order[s->first + i]];
}

/* The next target of a slot: its first unused binding, with the Paths of the bindings that share its Contact as
 * alternatives. */
static bool next_target(struct job *j, struct slot *s, struct bl_px_target *ret, struct bl_str alt[8])
{
        if (s->used >= s->n)
                return false;
        const struct bl_contact *c = binding(j, s, s->used++);
        *ret = (struct bl_px_target){.ruri = ruri_of(j, c), .push_routes = c->path, .q = c->q, .alt_routes = alt};
        if (c->path.n == 0)
                ret->next = c->uri; /* as it registered, whatever scheme it is asked by */
        while (s->used < s->n && ret->n_alt < 8) {
                const struct bl_contact *o = binding(j, s, s->used);
                if (!bl_str_eq(o->uri, c->uri) || (o->path.n == 0) != (c->path.n == 0))
                        break;
                bool known = bl_str_eq(o->path, c->path);
                for (unsigned i = 0; i < ret->n_alt; i++)
                        known |= bl_str_eq(o->path, alt[i]);
                if (!known)
                        alt[ret->n_alt++] = o->path;
                s->used++;
        }
        /* With a Path the neighbour is an edge of ours; without one the UA itself, over the flow that its Contact
         * sticks to. */
        ret->send_flags = c->path.n ? BL_SEND_BELAY : 0;
        return true;
}

/* The target's bindings are those of the slot from `first` on. */
static bool add(struct job *j, unsigned slot, struct bl_px_target *t, bool more)
{
        if (j->n_targets == BL_ARRAY_LEN(j->slot_of) || (more ? bl_px_more(j->px, t) : bl_px_add(j->px, t)) < 0)
                return false;
        j->slot_of[j->n_targets++] = (uint8_t)slot;
        return true;
}

static unsigned popped(struct job *j)
{
        struct bl_nameaddr na;
        return bl_msg_nameaddr(bl_px_msg(j->px), BL_H_ROUTE, 0, &na) == 0; /* by_ruri let only our own stand on top */
}

void home_targets(struct job *j)
{
        struct bl_str alt[8];
        struct bl_px_target t;
        if (group(j) < 0) {
                home_refuse(j->px, 503, "no_memory", HOME_NONE);
                return;
        }
        if (j->n_slots == 0 && is_sips(bl_px_msg(j->px)->ruri)) {
                bl_px_refuse(j->px, 480, "no_sips_contact", HOME_NONE,
                             BL_STR("Warning: 380 belay \"SIPS Not Allowed\"\r\n"));
                return;
        }
        if (j->n_slots == 0) { /* all of them expired, and the store has not swept yet */
                home_refuse(j->px, 480, "no_binding", HOME_NONE);
                return;
        }
        struct bl_str rr = home_record_route(j->home, j->px, j->domain);
        unsigned added = 0;
        for (unsigned i = 0; i < j->n_slots; i++) {
                if (!next_target(j, &j->slot[i], &t, alt))
                        continue;
                t.pop_routes = popped(j);
                t.record_route = rr;
                added += add(j, i, &t, false);
        }
        if (added)
                bl_px_go(j->px);
        else
                home_refuse(j->px, 503, "no_memory", HOME_NONE);
}

/* A removal that the store has under way: no request waits for it, so it is the home's. */
struct removal {
        struct bl_link link;
        struct bl_home *home;
        struct bl_store_op op;
};

static void removed(struct bl_store_op *op, int rc)
{
        struct removal *r = BL_CONTAINER(op, struct removal, op);
        (void)rc;
        bl_store_end(op);
        bl_list_remove(&r->link);
        bl_pool_give(r->home->env->pool, r, sizeof *r);
}

void home_removals_drop(struct bl_home *h)
{
        while (!bl_list_empty(&h->removals)) {
                struct removal *r = BL_CONTAINER(h->removals.next, struct removal, link);
                bl_store_cancel(h->node->c.store, &r->op);
                bl_list_remove(&r->link);
                bl_pool_give(h->env->pool, r, sizeof *r);
        }
}

/* Nobody holds a flow for it any more: the binding is void, unless a newer one took its place meanwhile. */
static void forget(struct job *j, struct slot *s)
{
        struct bl_home *h = j->home;
        struct bl_store *store = h->node->c.store;
        for (unsigned i = 0; i < s->used; i++) {
                struct removal *r = bl_pool_zalloc(h->env->pool, sizeof *r);
                if (!r)
                        return; /* the next call finds it void again */
                r->home = h;
                r->op.done = removed;
                bl_list_push_back(&h->removals, &r->link);
                int rc = store->ops->remove(store, h->env, j->aor, binding(j, s, i), &r->op);
                if (rc != BL_EPENDING)
                        removed(&r->op, rc);
                bl_count(h->forgotten_total);
        }
}

void home_target_failed(struct job *j, unsigned target, unsigned status)
{
        struct bl_str alt[8];
        struct bl_px_target t;
        if (target >= j->n_targets)
                return;
        struct slot *s = &j->slot[j->slot_of[target]];
        if (status == 430)
                forget(j, s);
        if ((status == 430 || status == 480 || status == 503 || status == 408) && next_target(j, s, &t, alt)) {
                t.pop_routes = popped(j);
                t.record_route = home_record_route(j->home, j->px, j->domain);
                (void)add(j, j->slot_of[target], &t, true);
        }
}
