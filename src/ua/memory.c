/*
 * What was asked already. A request not answered yet: another copy of it under a transaction of its own is 482 (RFC
 * 3261 section 8.2.2.2). Finals, for 64*T1: a request that comes again by another edge as a transaction of its own is
 * answered alike and the application hears nothing of it (protocol.md section 5).
 *
 * A key is a keyed hash of 128 bits over Request-URI user, To tag, Call-ID, remote tag, CSeq and method: the user is
 * the token of one UA, so that a fork which reaches two UAs of one stack is two requests.
 */
#include "ua/internal.h"

enum { MAX_FINALS = 8192 }; /* the oldest make way */

struct memory {
        struct bl_hnode node;
        uint64_t check;
        struct bl_link link; /* stack->finals, once final */
        bl_us end;
        struct text extra, body, body_type, to_tag;
        uint16_t status; /* 0: not answered yet */
};

static uint64_t hash_of(const struct bl_msg *m, uint64_t seed)
{
        struct bl_uri u;
        bool ok = bl_uri_parse(m->ruri, &u) == 0;
        uint64_t h = bl_hash(seed, ok ? u.user : m->ruri);
        h = bl_hash_mix(h, bl_hash(seed, m->to_tag));
        h = bl_hash_mix(h, bl_hash(seed, m->call_id));
        h = bl_hash_mix(h, bl_hash(seed, m->from_tag));
        h = bl_hash_mix(h, bl_hash(seed, m->cseq.method_name));
        return bl_hash_mix(h, m->cseq.number);
}

static uint64_t check_of(const struct bl_ua_stack *s, const struct bl_msg *m)
{
        return hash_of(m, ~s->env->hash_seed);
}

static struct memory *find(struct bl_ua_stack *s, const struct bl_msg *req)
{
        uint64_t check = check_of(s, req);
        for (struct bl_hnode *n = bl_htab_first(&s->remembered, hash_of(req, s->env->hash_seed)); n;
             n = bl_htab_next(n)) {
                struct memory *m = BL_CONTAINER(n, struct memory, node);
                if (m->check == check)
                        return m;
        }
        return NULL;
}

void memory_drop(struct bl_ua_stack *s, struct memory *m)
{
        if (!m)
                return;
        bl_htab_remove(&s->remembered, &m->node);
        if (bl_link_linked(&m->link)) {
                bl_list_remove(&m->link);
                s->n_finals--;
        }
        text_drop(s, &m->extra);
        text_drop(s, &m->body);
        text_drop(s, &m->body_type);
        text_drop(s, &m->to_tag);
        bl_pool_give(s->env->pool, m, sizeof *m);
}

struct memory *memory_begin(struct bl_ua_stack *s, const struct bl_msg *req)
{
        struct memory *m = bl_pool_zalloc(s->env->pool, sizeof *m);
        if (!m)
                return NULL;
        m->check = check_of(s, req);
        if (bl_htab_insert(&s->remembered, &m->node, hash_of(req, s->env->hash_seed)) < 0) {
                bl_pool_give(s->env->pool, m, sizeof *m);
                return NULL;
        }
        return m;
}

static void forget(struct bl_timer *t)
{
        struct bl_ua_stack *s = BL_CONTAINER(t, struct bl_ua_stack, forget);
        while (!bl_list_empty(&s->finals)) {
                struct memory *m = BL_CONTAINER(s->finals.next, struct memory, link);
                if (m->end > s->env->now) {
                        env_arm(s->env, &s->forget, m->end);
                        return;
                }
                memory_drop(s, m);
        }
}

void memory_final(struct bl_ua_stack *s, struct memory *m, unsigned status, struct bl_str to_tag, struct bl_str extra,
                  const struct bl_ua_body *body)
{
        uint32_t t1 = s->conf->txn.t1_ms ? s->conf->txn.t1_ms : 500;
        bool ok = text_set(s, &m->extra, extra) && text_set(s, &m->to_tag, to_tag) &&
                  (!body || (text_set(s, &m->body, body->octets) && text_set(s, &m->body_type, body->type)));
        if (!ok) {
                memory_drop(s, m);
                return;
        }
        if (s->n_finals == MAX_FINALS)
                memory_drop(s, BL_CONTAINER(s->finals.next, struct memory, link));
        m->status = (uint16_t)status;
        m->end = s->env->now + BL_MS(64ull * t1);
        bool first = bl_list_empty(&s->finals);
        bl_list_push_back(&s->finals, &m->link);
        s->n_finals++;
        s->forget.fire = forget;
        if (first)
                env_arm(s->env, &s->forget, m->end);
}

bool memory_answer(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *req)
{
        struct memory *m = find(s, req);
        if (!m)
                return false;
        struct bl_response r = {.status = m->status ? m->status : 482,
                                .to_tag = text_str(&m->to_tag),
                                .extra = text_str(&m->extra),
                                .body = text_str(&m->body),
                                .content_type = text_str(&m->body_type),
                                .record_route = true};
        (void)bl_txn_reply(s->txns, f, req, &r);
        return true;
}

void memory_drop_all(struct bl_ua_stack *s)
{
        env_disarm(s->env, &s->forget);
        while (s->finals.next && !bl_list_empty(&s->finals))
                memory_drop(s, BL_CONTAINER(s->finals.next, struct memory, link));
}
