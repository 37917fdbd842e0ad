/*
 * Finals remembered for 64*T1 by (Call-ID, remote tag, CSeq, method): a request that comes again by another edge, as a
 * transaction of its own, is answered alike and the application hears nothing of it (protocol.md section 5).
 */
#include "ua/internal.h"

struct memory {
        struct bl_hnode node;
        struct bl_timer end;
        struct bl_ua_stack *stack;
        struct text key, extra, body, body_type, to_tag;
        uint16_t status;
};

static struct bl_str key_of(const struct bl_msg *m, char *mem, size_t cap)
{
        struct bl_sb b = {mem, 0, cap, false};
        bl_sb_add(&b, m->call_id);
        bl_sb_addc(&b, '\n');
        bl_sb_add(&b, m->from_tag);
        bl_sb_addc(&b, '\n');
        bl_sb_addu(&b, m->cseq.number);
        bl_sb_addc(&b, '\n');
        bl_sb_add(&b, m->cseq.method_name);
        return b.over ? (struct bl_str){NULL, 0} : bl_sb_str(&b);
}

static struct memory *find(struct bl_ua_stack *s, struct bl_str key)
{
        for (struct bl_hnode *n = bl_htab_first(&s->remembered, bl_hash(s->env->hash_seed, key)); n;
             n = bl_htab_next(n)) {
                struct memory *m = BL_CONTAINER(n, struct memory, node);
                if (bl_str_eq(text_str(&m->key), key))
                        return m;
        }
        return NULL;
}

static void drop(struct memory *m)
{
        struct bl_ua_stack *s = m->stack;
        bl_htab_remove(&s->remembered, &m->node);
        env_disarm(s->env, &m->end);
        text_drop(s, &m->key);
        text_drop(s, &m->extra);
        text_drop(s, &m->body);
        text_drop(s, &m->body_type);
        text_drop(s, &m->to_tag);
        bl_pool_give(s->env->pool, m, sizeof *m);
}

static void over(struct bl_timer *t)
{
        drop(BL_CONTAINER(t, struct memory, end));
}

void memory_put(struct bl_ua_stack *s, const struct bl_msg *req, unsigned status, struct bl_str to_tag,
                struct bl_str extra, const struct bl_ua_body *body)
{
        char mem[UA_TEXT];
        struct bl_str key = key_of(req, mem, sizeof mem);
        if (key.n == 0 || find(s, key))
                return;
        struct memory *m = bl_pool_zalloc(s->env->pool, sizeof *m);
        if (!m)
                return;
        m->stack = s;
        m->status = (uint16_t)status;
        m->end.fire = over;
        bool ok = text_set(s, &m->key, key) && text_set(s, &m->extra, extra) && text_set(s, &m->to_tag, to_tag) &&
                  (!body || (text_set(s, &m->body, body->octets) && text_set(s, &m->body_type, body->type)));
        if (!ok || bl_htab_insert(&s->remembered, &m->node, bl_hash(s->env->hash_seed, key)) < 0) {
                drop(m);
                return;
        }
        uint32_t t1 = s->conf->txn.t1_ms ? s->conf->txn.t1_ms : 500;
        env_arm_in(s->env, &m->end, BL_MS(64ull * t1));
}

bool memory_answer(struct bl_ua_stack *s, struct bl_flow *f, const struct bl_msg *req)
{
        char mem[UA_TEXT];
        struct bl_str key = key_of(req, mem, sizeof mem);
        struct memory *m = key.n ? find(s, key) : NULL;
        if (!m)
                return false;
        struct bl_response r = {.status = m->status,
                                .to_tag = text_str(&m->to_tag),
                                .extra = text_str(&m->extra),
                                .body = text_str(&m->body),
                                .content_type = text_str(&m->body_type),
                                .record_route = true};
        (void)bl_txn_reply(s->txns, f, req, &r);
        return true;
}

static void drop_node(struct bl_hnode *n, void *arg)
{
        (void)arg;
        drop(BL_CONTAINER(n, struct memory, node));
}

void memory_drop_all(struct bl_ua_stack *s)
{
        bl_htab_each(&s->remembered, drop_node, NULL);
}
