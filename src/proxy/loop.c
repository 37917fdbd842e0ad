/*
 * Loops and breadth (RFC 5393). A branch of ours ends in ".<hash>" over everything that routing depends on: when a
 * request comes back and a Via of ours carries the hash that it has now, nothing has changed and it would go round for
 * ever. When something has changed it is a spiral, which is legal.
 */
#include "base/hash.h"
#include "proxy/internal.h"

enum { HASH_HEX = 16 };

uint64_t proxy_loop_seed(const struct env *env, const struct bl_proxy_conf *c)
{
        /* Nodes that share a sent-by are one element: they see each other's loops. A node without one is alone. */
        uint64_t h = bl_hash(0, c->sent_by_host);
        if (!c->sent_by_host.n)
                h = bl_hash_mix(bl_hash(env->hash_seed, c->node), env->hash_seed);
        for (unsigned i = 0; i < c->hop.n_own; i++)
                h = bl_hash_mix(h, bl_hash_lower(0, c->hop.own[i]));
        return h;
}

static void add_all(struct bl_hasher *h, const struct bl_msg *m, enum bl_hid id)
{
        for (const struct bl_hdr *hdr = bl_msg_first(m, id); hdr; hdr = bl_msg_next(m, hdr)) {
                bl_hasher_number(h, (uint64_t)id << 32 | hdr->value_len);
                bl_hasher_add(h, bl_hdr_value(m, hdr));
        }
}

/* RFC 5393 section 4.2.1: tags, Call-ID, CSeq number, the Request-URI as received, and what else routing looks at. Not
 * the method, so that CANCEL and ACK carry the same; not Via, or no loop would be seen. */
static uint64_t loop_hash(const struct bl_proxy *p, const struct bl_msg *m)
{
        struct bl_hasher h;
        bl_hasher_init(&h, p->loop_seed);
        bl_hasher_number(&h, (uint64_t)m->ruri.n << 32 | m->cseq.number);
        add_all(&h, m, BL_H_ROUTE);
        add_all(&h, m, BL_H_PROXY_REQUIRE);
        add_all(&h, m, BL_H_PROXY_AUTHORIZATION);
        bl_hasher_add(&h, m->ruri);
        bl_hasher_add(&h, m->call_id);
        bl_hasher_add(&h, m->from_tag);
        bl_hasher_add(&h, m->to_tag);
        return bl_hasher_end(&h);
}

void proxy_loop_put(const struct bl_proxy *p, const struct bl_msg *m, struct bl_sb *out)
{
        uint64_t h = loop_hash(p, m);
        bl_sb_addc(out, '.');
        bl_sb_hex(out, &h, sizeof(h));
}

/* Was it we who put that Via there, with the hash that the request has now? `now` is made at the first that asks. */
static bool is_loop(const struct bl_proxy *p, const struct bl_msg *m, const struct bl_via *v, struct bl_sb *now)
{
        size_t n = HASH_HEX + 1;
        if (v->branch.n <= n || v->branch.p[v->branch.n - n] != '.')
                return false;
        if (p->conf->sent_by_host.n && !bl_host_eq(v->host, p->conf->sent_by_host))
                return false;
        if (!now->n)
                proxy_loop_put(p, m, now);
        return bl_str_ieq(bl_str_from(v->branch, v->branch.n - n), bl_sb_str(now));
}

bool proxy_loops(const struct bl_proxy *p, const struct bl_msg *m)
{
        char text[HASH_HEX + 1];
        struct bl_sb now = BL_SB(text);
        struct bl_str first = bl_msg_value(m, BL_H_VIA);
        struct bl_values it = {0};
        struct bl_via v;
        if (is_loop(p, m, &m->via, &now))
                return true;
        if (m->first[BL_H_VIA] == m->last[BL_H_VIA] && !memchr(first.p, ',', first.n))
                return false; /* the topmost is all: nearly always at the first hop */
        (void)bl_msg_values(m, BL_H_VIA, &it);
        while (bl_msg_values(m, BL_H_VIA, &it))
                if (bl_via_parse(it.value, &v) == 0 && is_loop(p, m, &v, &now))
                        return true;
        return false;
}

int proxy_breadth(const struct bl_proxy *p, const struct bl_msg *m, uint32_t *ret_breadth)
{
        uint32_t n;
        int rc = bl_msg_u32(m, BL_H_MAX_BREADTH, &n);
        if (rc == BL_ENOENT)
                n = p->breadth; /* RFC 5393 section 5.3.3 */
        else if (rc < 0)
                return BL_EMALFORMED;
        *ret_breadth = n;
        return 0;
}
