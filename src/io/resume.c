#include "io/resume.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/list.h"

struct entry {
        struct bl_hnode node;
        struct bl_link used; /* longest unused first */
        struct bl_str name, session;
        char octets[]; /* of both */
};

struct bl_resume {
        uint64_t seed;
        struct bl_htab by_name;
        struct bl_link used;
};

struct bl_resume *bl_resume_new(uint64_t hash_seed)
{
        struct bl_resume *r = calloc(1, sizeof(*r));
        if (!r)
                return NULL;
        r->seed = hash_seed;
        bl_list_init(&r->used);
        return r;
}

static struct entry *find(struct bl_resume *r, struct bl_str name)
{
        struct bl_hnode *n = bl_htab_first(&r->by_name, bl_hash_lower(r->seed, name));
        for (; n; n = bl_htab_next(n)) {
                struct entry *e = BL_CONTAINER(n, struct entry, node);
                if (bl_str_ieq(e->name, name))
                        return e;
        }
        return NULL;
}

static void drop(struct bl_resume *r, struct entry *e)
{
        bl_htab_remove(&r->by_name, &e->node);
        bl_list_remove(&e->used);
        explicit_bzero(e->octets, e->name.n + e->session.n);
        free(e);
}

void bl_resume_clear(struct bl_resume *r)
{
        while (r && !bl_list_empty(&r->used))
                drop(r, BL_CONTAINER(r->used.next, struct entry, used));
}

void bl_resume_free(struct bl_resume *r)
{
        if (!r)
                return;
        bl_resume_clear(r);
        bl_htab_fini(&r->by_name);
        free(r);
}

void bl_resume_put(struct bl_resume *r, struct bl_str name, struct bl_str session)
{
        struct entry *e = find(r, name);
        if (e)
                drop(r, e);
        if (!session.n || session.n > BL_RESUME_OCTETS)
                return;
        e = calloc(1, sizeof(*e) + name.n + session.n);
        if (!e)
                return;
        memcpy(e->octets, name.p, name.n);
        memcpy(e->octets + name.n, session.p, session.n);
        e->name = bl_str_make(e->octets, name.n);
        e->session = bl_str_make(e->octets + name.n, session.n);
        if (r->by_name.count >= BL_RESUME_MAX)
                drop(r, BL_CONTAINER(r->used.next, struct entry, used));
        bl_list_push_back(&r->used, &e->used);
        if (bl_htab_insert(&r->by_name, &e->node, bl_hash_lower(r->seed, name)) < 0)
                drop(r, e);
}

struct bl_str bl_resume_get(struct bl_resume *r, struct bl_str name)
{
        struct entry *e = find(r, name);
        if (!e)
                return (struct bl_str){0};
        bl_list_remove(&e->used);
        bl_list_push_back(&r->used, &e->used);
        return e->session;
}
