/*
 * Between workers. Memory belongs to the worker whose pool it came from, so a post is made in the sender's pool, read
 * where it arrives, and sent back to be freed; what goes back collects until the end of the turn and travels as one
 * chain. Nothing is ever freed into another worker's pool, and nothing comes from the heap.
 *
 *      worker 0                                       worker 1
 *      SEND {flow, buf} ───────────────────────────►  copies the octets into a buffer of its own, sends it
 *      PASS {from, message} ───────────────────────►  user.stray reads it in place
 *      WATCH {flow} ───────────────────────────────►  keeps the post itself with the flow …
 *      frees; tells the watchers when why < 0  ◄─────  … and returns it, with the reason, when that is down
 *
 * Posts of one pair of workers arrive in order, so a WATCH is there before the SENDs that follow it.
 */
#include "flow/internal.h"

enum cross_kind { CROSS_SEND, CROSS_PASS, CROSS_WATCH };

struct bl_cross {
        struct bl_post post;
        struct bl_cross *next; /* at the flow (WATCH), or in the chain that goes back */
        enum cross_kind kind;
        uint16_t from;
        int why; /* < 0 on the way back: the flow is gone or full */
        bl_flow_id flow;
        struct bl_buf *buf;  /* SEND: a reference of the sender's, read only */
        struct bl_msg *kept; /* PASS: of the sender's pool */
};

/* A watched flow of another worker: the WATCH post is part of it. Lives as long as that flow. */
struct remote {
        struct bl_cross watch;
        struct bl_hnode node;
        struct bl_link watchers;
};

static struct remote *find(const struct bl_flows *fs, bl_flow_id id)
{
        struct bl_hnode *n = bl_htab_first(&fs->remotes, bl_hash_mix(fs->env->hash_seed, id));
        for (; n; n = bl_htab_next(n)) {
                struct remote *r = BL_CONTAINER(n, struct remote, node);
                if (r->watch.flow == id)
                        return r;
        }
        return NULL;
}

/* ---- back where it came from ---- */

static void came_back(struct bl_flows *fs, struct bl_cross *c)
{
        struct bl_pool *pool = fs->env->pool;
        struct remote *r = c->kind != CROSS_PASS && c->why < 0 ? find(fs, c->flow) : NULL;
        if (c->kind == CROSS_WATCH) {
                r = BL_CONTAINER(c, struct remote, watch);
                bl_htab_remove(&fs->remotes, &r->node);
        }
        if (r)
                bl_flow_tell_down(&r->watchers, c->flow, c->why);
        bl_buf_unref(pool, c->buf);
        bl_msg_drop(c->kept, pool);
        if (c->kind == CROSS_WATCH)
                bl_pool_give(pool, r, sizeof(*r));
        else
                bl_pool_give(pool, c, sizeof(*c));
}

static void run_back(struct bl_post *p, struct env *dst)
{
        struct bl_cross *c = BL_CONTAINER(p, struct bl_cross, post);
        while (c && dst->core) { /* without a core the pool goes as a whole */
                struct bl_cross *next = c->next;
                came_back(dst->core, c);
                c = next;
        }
}

static void send_back(struct bl_flows *fs, struct bl_cross *c, int why)
{
        c->why = why;
        c->next = fs->spent[c->from];
        fs->spent[c->from] = c;
}

void bl_cross_turn(struct bl_flows *fs)
{
        for (unsigned w = 0; w < fs->workers; w++) {
                struct bl_cross *chain = NULL;
                while (fs->spent[w]) { /* in the order of arrival */
                        struct bl_cross *c = fs->spent[w];
                        fs->spent[w] = c->next;
                        c->next = chain;
                        chain = c;
                }
                if (!chain)
                        continue;
                chain->post.run = run_back;
                fs->env->ops->post(fs->env, w, &chain->post);
        }
}

/* ---- on arrival ---- */

static int send_here(struct bl_flows *fs, const struct bl_cross *c)
{
        struct bl_flow *f = bl_flow_get(fs, c->flow);
        if (!f)
                return BL_EGONE;
        if (f->state != BL_FLOW_UP)
                return BL_EPENDING;
        struct bl_buf *b = bl_buf_copy(fs->env->pool, bl_buf_str(c->buf));
        if (!b)
                return BL_EFULL;
        int rc = env_send(fs->env, c->flow, b);
        bl_buf_unref(fs->env->pool, b);
        return rc;
}

static void run(struct bl_post *p, struct env *dst)
{
        struct bl_cross *c = BL_CONTAINER(p, struct bl_cross, post);
        struct bl_flows *fs = dst->core;
        if (!fs)
                return;
        switch (c->kind) {
        case CROSS_SEND:
                send_back(fs, c, send_here(fs, c));
                break;
        case CROSS_PASS:
                if (fs->user.stray)
                        fs->user.stray(fs->ctx, c->flow, c->kept);
                bl_arena_reset(fs->arena);
                send_back(fs, c, 0);
                break;
        case CROSS_WATCH: {
                struct bl_flow *f = bl_flow_get(fs, c->flow);
                if (!f) {
                        send_back(fs, c, BL_EGONE);
                        break;
                }
                c->next = f->_remote;
                f->_remote = c;
                break;
        }
        }
}

void bl_cross_down(struct bl_flow *f, int why)
{
        while (f->_remote) {
                struct bl_cross *c = f->_remote;
                f->_remote = c->next;
                send_back(f->_flows, c, why);
        }
}

/* ---- departure ---- */

static void post(struct bl_flows *fs, unsigned worker, struct bl_cross *c)
{
        c->from = fs->env->worker;
        c->post.run = run;
        bl_count(fs->crossed);
        fs->env->ops->post(fs->env, worker, &c->post);
}

int bl_cross_send(struct bl_flows *fs, bl_flow_id id, struct bl_buf *buf)
{
        if (bl_flow_worker(id) >= fs->workers)
                return BL_EGONE;
        struct bl_cross *c = bl_pool_zalloc(fs->env->pool, sizeof(*c));
        if (!c)
                return BL_ENOMEM;
        c->kind = CROSS_SEND;
        c->flow = id;
        c->buf = bl_buf_ref(buf);
        post(fs, bl_flow_worker(id), c);
        return 0;
}

int bl_cross_watch(struct bl_flows *fs, bl_flow_id id, struct bl_watch *w)
{
        if (bl_flow_worker(id) >= fs->workers)
                return BL_EGONE;
        struct remote *r = find(fs, id);
        if (!r) {
                r = bl_pool_zalloc(fs->env->pool, sizeof(*r));
                if (!r)
                        return BL_ENOMEM;
                bl_list_init(&r->watchers);
                r->watch.kind = CROSS_WATCH;
                r->watch.flow = id;
                if (bl_htab_insert(&fs->remotes, &r->node, bl_hash_mix(fs->env->hash_seed, id)) < 0) {
                        bl_pool_give(fs->env->pool, r, sizeof(*r));
                        return BL_ENOMEM;
                }
                post(fs, bl_flow_worker(id), &r->watch);
        }
        bl_list_push_back(&r->watchers, &w->_link);
        return 0;
}

void bl_flow_pass(struct bl_flows *fs, unsigned worker, bl_flow_id from, const struct bl_msg *m)
{
        if (worker >= fs->workers)
                return;
        struct bl_cross *c = bl_pool_zalloc(fs->env->pool, sizeof(*c));
        struct bl_msg *kept = c ? bl_msg_keep(m, fs->env->pool) : NULL;
        if (!kept) {
                bl_count(fs->no_memory);
                bl_pool_give(fs->env->pool, c, sizeof(*c));
                return;
        }
        c->kind = CROSS_PASS;
        c->flow = from;
        c->kept = kept;
        post(fs, worker, c);
}

static void unlink_watchers(struct bl_hnode *n, void *arg)
{
        struct remote *r = BL_CONTAINER(n, struct remote, node);
        (void)arg;
        while (!bl_list_empty(&r->watchers))
                bl_list_remove(r->watchers.next);
}

/* What is away belongs to this worker's pool and goes with it; what lies here goes back if there still is a way. */
void bl_cross_fini(struct bl_flows *fs)
{
        bl_cross_turn(fs);
        bl_htab_each(&fs->remotes, unlink_watchers, NULL);
        bl_htab_fini(&fs->remotes);
}
