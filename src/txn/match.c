#include "txn/internal.h"

/* `kind`: keys of servers and of clients have nothing in common. */
static void begin(struct bl_hasher *h, uint64_t seed, unsigned kind, enum bl_method method, struct bl_str name)
{
        bl_hasher_init(h, seed);
        bl_hasher_number(h, kind << 8 | (unsigned)method);
        if (method == BL_M_UNKNOWN)
                bl_hasher_number(h, bl_hash(seed, name));
}

static struct bl_txn_key end(struct bl_hasher *h)
{
        uint64_t both[2];
        bl_hasher_end2(h, both);
        return (struct bl_txn_key){both[0], both[1]};
}

struct bl_txn_key bl_match_server(uint64_t seed, const struct bl_msg *m, enum bl_method as)
{
        struct bl_hasher h;
        begin(&h, seed, 1, as, m->method_name);
        if (m->via.rfc3261) { /* RFC 3261 17.2.3: branch, sent-by, method */
                bl_hasher_add(&h, m->via.branch);
                bl_hasher_add_lower(&h, m->via.sent_by);
                return end(&h);
        }
        /* RFC 2543's rules, same section. The To tag is left out where an ACK or CANCEL must find its INVITE: an ACK's
         * is that of the response, which the caller compares. */
        bl_hasher_number(&h, m->cseq.number);
        bl_hasher_number(&h, bl_hash(seed, m->ruri));
        bl_hasher_add(&h, m->from_tag);
        bl_hasher_add(&h, m->call_id);
        bl_hasher_add(&h, m->via.all);
        if (as != BL_M_INVITE)
                bl_hasher_add(&h, m->to_tag);
        return end(&h);
}

struct bl_txn_key bl_match_client(uint64_t seed, struct bl_str branch, enum bl_method method, struct bl_str method_name)
{
        struct bl_hasher h;
        begin(&h, seed, 2, method, method_name);
        bl_hasher_add(&h, branch); /* ours: compared as written */
        return end(&h);
}
