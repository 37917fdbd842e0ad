/* A request's context: its memory, its message, its server transaction, and what a role may ask of it. */
#include "proxy/internal.h"

/* --- life --- */

static bool names_source(const struct bl_flow *f, struct bl_str host)
{
        struct bl_addr a;
        return bl_addr_parse(host, &a) == 0 && bl_addr_eq_ip(&a, &f->remote);
}

struct bl_px *px_new(struct bl_proxy *p, struct bl_flow *f, const struct bl_msg *m)
{
        bool is_ack = m->method == BL_M_ACK;
        struct bl_px *px = is_ack && p->acks >= PX_SENDING_ACKS ? NULL : bl_pool_alloc(p->env->pool, PX_BLOCK);
        if (!px)
                return NULL;
        memset(px, 0, sizeof(*px));
        px->p = p;
        px->msg = m;
        px->flow = f->id;
        px->source = f->remote;
        px->arrived_at = p->env->now;
        px->is_ack = is_ack;
        bool linked = bl_flow_is_linked(f);
        px->ours_upstream = linked || m->via.sticky;
        px->via_linked = linked && (bl_flow_linked(f, m->via.host) || names_source(f, m->via.host));
        px->state = PX_DECIDING;
        bl_list_push_back(&p->all, &px->link);
        p->contexts++;
        if (px->is_ack)
                p->acks++;
        return px;
}

static void let_message_go(struct bl_px *px)
{
        px->p->kept_octets -= px->kept_octets;
        px->kept_octets = 0;
        bl_msg_drop(px->kept, px->p->env->pool);
        px->kept = NULL;
        px->msg = NULL;
}

void px_free(struct bl_px *px)
{
        struct bl_proxy *p = px->p;
        if (p->role->done)
                p->role->done(p->role_ctx, px);
        for (struct px_branch *b = px->branches; b; b = b->next)
                px_branch_stop(b);
        env_disarm(p->env, &px->provisional);
        if (px->server)
                bl_server_forget(px->server);
        px_best_drop(px);
        let_message_go(px);
        for (struct px_chunk *c = px->chunks, *next; c; c = next) {
                next = c->next;
                bl_pool_give(p->env->pool, c, c->size);
        }
        bl_list_remove(&px->link);
        p->contexts--;
        if (px->is_ack)
                p->acks--;
        bl_pool_give(p->env->pool, px, PX_BLOCK);
}

void px_enter(struct bl_px *px)
{
        px->depth++;
}

void px_leave(struct bl_px *px)
{
        if (--px->depth == 0 && px->state == PX_OVER)
                px_free(px);
}

void px_settle(struct bl_px *px)
{
        if (px->state == PX_ANSWERED && !px->n_active)
                px->state = PX_OVER;
}

/* --- memory --- */

static void *chunk_alloc(struct bl_px *px, size_t n)
{
        struct px_chunk *c = px->chunks;
        if (!c || c->size - c->used < n) {
                size_t head = (sizeof(*c) + 15) & ~(size_t)15;
                size_t size = head + n > PX_BLOCK ? head + n : PX_BLOCK;
                if (px->text_octets + size > PX_TEXT_MAX)
                        return NULL;
                c = bl_pool_alloc(px->p->env->pool, size);
                if (!c)
                        return NULL;
                *c = (struct px_chunk){px->chunks, (uint32_t)size, (uint32_t)head};
                px->chunks = c;
                px->text_octets += (uint32_t)size;
        }
        char *mem = (char *)c + c->used;
        c->used += (uint32_t)n;
        return mem;
}

void *bl_px_alloc(struct bl_px *px, size_t n)
{
        if (n > PX_TEXT_MAX)
                return NULL;
        n = (n + 15) & ~(size_t)15;
        if (n <= PX_BLOCK - offsetof(struct bl_px, text) - px->used) {
                char *mem = px->text + px->used;
                px->used += (uint32_t)n;
                return mem;
        }
        return chunk_alloc(px, n);
}

struct bl_str bl_px_str(struct bl_px *px, struct bl_str s)
{
        char *mem = s.n ? bl_px_alloc(px, s.n) : NULL;
        if (!mem)
                return (struct bl_str){NULL, 0};
        memcpy(mem, s.p, s.n);
        return bl_str_make(mem, s.n);
}

/* --- the message --- */

int px_keep(struct bl_px *px)
{
        struct bl_proxy *p = px->p;
        if (px->kept)
                return 0;
        if (p->kept_octets > p->kept_limit)
                return BL_EFULL;
        px->kept = bl_msg_keep(px->msg, p->env->pool);
        if (!px->kept)
                return BL_ENOMEM;
        px->kept_octets = px->kept->kept_size;
        p->kept_octets += px->kept_octets;
        px->msg = px->kept;
        return 0;
}

/* Written and parsed again: rare enough (strict routers, maddr), and what follows then sees an ordinary message. */
int px_rewrite(struct bl_px *px, const struct bl_edits *e)
{
        struct bl_proxy *p = px->p;
        struct bl_arena *a = bl_flows_arena(p->flows);
        struct bl_buf *buf;
        struct bl_msg *m = NULL;
        int rc = bl_write(p->env->pool, px->msg, e, &buf);
        if (rc < 0)
                return rc;
        struct bl_str octets = bl_arena_str(a, bl_buf_str(buf));
        bl_buf_unref(p->env->pool, buf);
        rc = octets.n ? bl_msg_parse(octets, true, a, &m, NULL) : BL_ENOMEM;
        if (rc < 0)
                return rc;
        bool was_kept = px->kept != NULL;
        struct bl_msg *old = px->kept;
        uint32_t old_octets = px->kept_octets;
        px->msg = m;
        px->kept = NULL;
        if (!was_kept)
                return 0;
        p->kept_octets -= old_octets;
        px->kept_octets = 0;
        rc = px_keep(px);
        if (rc < 0) { /* as it was */
                px->kept = old;
                px->msg = old;
                px->kept_octets = old_octets;
                p->kept_octets += old_octets;
                return rc;
        }
        bl_msg_drop(old, p->env->pool);
        return 0;
}

/* --- the server transaction --- */

static void on_ended(void *ctx, struct bl_server *st)
{
        struct bl_px *px = ctx;
        (void)st;
        px_enter(px);
        px->server = NULL; /* the branches go on: what they carry may still be wanted by the far end */
        px_leave(px);
}

static const struct bl_server_user server_user = {.cancel = px_on_cancel, .ack = NULL, .ended = on_ended};

int px_make_server(struct bl_px *px)
{
        struct bl_proxy *p = px->p;
        if (px->server)
                return 0;
        struct bl_flow *f = bl_flow_get(p->flows, px->flow);
        if (!f)
                return BL_EGONE;
        return bl_server_new(p->txns, f, px->msg, &server_user, px, false, &px->server);
}

static void send_trying(struct bl_px *px)
{
        if (px->server && px->msg && !bl_server_final(px->server))
                (void)bl_server_reply(px->server, px->msg, &(struct bl_response){.status = 100});
}

static void on_provisional(struct bl_timer *t)
{
        struct bl_px *px = BL_CONTAINER(t, struct bl_px, provisional);
        px_enter(px);
        if (px->state == PX_HELD || px->state == PX_FORWARDING)
                send_trying(px);
        px_leave(px);
}

/* RFC 3261 section 16.2: INVITE at once. RFC 4320 section 4.1: anything else not over UDP before Timer E would have
 * reached T2, and then it must; over reliable transports it may at once, which a neighbour that fails over on silence
 * waits for. */
void px_trying(struct bl_px *px)
{
        struct bl_proxy *p = px->p;
        if (px->trying)
                return;
        px->trying = true;
        const struct bl_flow *f = bl_flow_get(p->flows, px->flow);
        if (px->msg->method == BL_M_INVITE || (f && bl_tp_is_stream(f->tp) && px->ours_upstream)) {
                send_trying(px);
                return;
        }
        px->provisional.fire = on_provisional;
        env_arm(p->env, &px->provisional, px->arrived_at + 7 * p->t1);
}

void px_overloaded(struct bl_px *px, const char *reason)
{
        char text[32];
        px_answer_local(px, 503, reason, (struct bl_str){NULL, 0}, proxy_retry_after(px->p, text, sizeof(text)));
}

/* --- what a role may ask --- */

const struct bl_msg *bl_px_msg(const struct bl_px *px)
{
        return px->msg;
}
struct bl_flow *bl_px_flow(struct bl_px *px)
{
        return bl_flow_get(px->p->flows, px->flow);
}
bl_flow_id bl_px_flow_id(const struct bl_px *px)
{
        return px->flow;
}
struct bl_proxy *bl_px_proxy(const struct bl_px *px)
{
        return px->p;
}
void **bl_px_data(struct bl_px *px)
{
        return &px->data;
}

/* --- the ways a decision ends --- */

static bool undecided(const struct bl_px *px)
{
        return px->state == PX_DECIDING || px->state == PX_HELD;
}

void bl_px_reply(struct bl_px *px, const struct bl_response *r, bool stateless)
{
        struct bl_proxy *p = px->p;
        if (!undecided(px))
                return;
        px_enter(px);
        if (!px->is_ack && !px->cancelled) {
                if (!stateless)
                        (void)px_make_server(px); /* when there is no room: stateless is better than silence */
                char tag[PROXY_TAG];
                struct bl_response with_tag = *r;
                if (!r->to_tag.n)
                        with_tag.to_tag = proxy_tag(p, px->msg, tag);
                if (!px->server) {
                        proxy_reply(p, bl_px_flow(px), px->msg, &with_tag);
                } else {
                        px_reply_upstream(px, &with_tag);
                        bl_count(p->answered);
                }
        }
        px->state = PX_OVER;
        px_leave(px);
}

void bl_px_refuse(struct bl_px *px, unsigned status, const char *reason, struct bl_str phrase,
                  struct bl_str extra_lines)
{
        if (!undecided(px))
                return;
        proxy_count_refusal(px->p, px->flow, px->msg, status, reason);
        bl_px_reply(px, &(struct bl_response){.status = status, .reason = phrase, .extra = extra_lines}, true);
}

void bl_px_drop(struct bl_px *px)
{
        if (!undecided(px))
                return;
        px_enter(px);
        px->state = PX_OVER;
        px_leave(px);
}

int bl_px_hold(struct bl_px *px, bool stateful)
{
        px_enter(px);
        int rc = px_keep(px);
        if (rc == 0 && stateful && !px->is_ack && !px->server) {
                rc = px_make_server(px);
                if (rc == 0)
                        px_trying(px);
        }
        if (rc == 0) {
                px->state = PX_HELD;
        } else {
                px_overloaded(px, "overload");
                rc = rc == BL_ENOMEM ? BL_ENOMEM : BL_EFULL;
        }
        px_leave(px);
        return rc;
}

/* --- targets --- */

static bool copy(struct bl_px *px, struct bl_str *s)
{
        if (!s->n)
                return true;
        *s = bl_px_str(px, *s);
        return s->n != 0;
}

static bool copy_texts(struct bl_px *px, struct bl_px_target *t)
{
        if (!copy(px, &t->ruri) || !copy(px, &t->push_routes) || !copy(px, &t->path) || !copy(px, &t->record_route) ||
            !copy(px, &t->next))
                return false;
        if (!t->n_alt)
                return true;
        struct bl_str *alt = bl_px_alloc(px, t->n_alt * sizeof(*alt));
        if (!alt)
                return false;
        for (unsigned i = 0; i < t->n_alt; i++) {
                alt[i] = t->alt_routes[i];
                if (!copy(px, &alt[i]))
                        return false;
        }
        t->alt_routes = alt;
        return true;
}

static int add_target(struct bl_px *px, const struct bl_px_target *t, bool serial)
{
        if (px->n_branches >= PX_TARGETS || t->n_alt > PX_TARGETS)
                return BL_ELIMIT;
        struct px_branch *b = bl_px_alloc(px, sizeof(*b));
        if (!b)
                return BL_ENOMEM;
        memset(b, 0, sizeof(*b));
        b->px = px;
        b->t = *t;
        if (!copy_texts(px, &b->t))
                return BL_ENOMEM; /* what was copied goes with px */
        b->index = px->n_branches++;
        b->serial = serial;
        b->state = BR_WAITING;
        struct px_branch **at = &px->branches;
        while (*at && (*at)->t.q >= b->t.q) /* 16.6: higher q first, the order of adding among equals */
                at = &(*at)->next;
        b->next = *at;
        *at = b;
        return 0;
}

int bl_px_add(struct bl_px *px, const struct bl_px_target *t)
{
        return undecided(px) ? add_target(px, t, false) : BL_EINVAL;
}

int bl_px_more(struct bl_px *px, const struct bl_px_target *t)
{
        if (px->state != PX_FORWARDING || px->cancelled || px->no_more)
                return BL_EGONE;
        return add_target(px, t, true);
}

struct px_branch *px_next_waiting(const struct bl_px *px)
{
        struct px_branch *b = px->branches;
        while (b && b->state != BR_WAITING)
                b = b->next;
        return b;
}
