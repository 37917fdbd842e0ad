#include "txn/internal.h"

static void mix(struct bl_txn_key *k, uint64_t seed, struct bl_str s)
{
        uint64_t h[2];
        bl_hash2(seed, s, h);
        k->hash = bl_hash_mix(k->hash, h[0]);
        k->check = bl_hash_mix(k->check, h[1]);
}

static void mix_lower(struct bl_txn_key *k, uint64_t seed, struct bl_str s)
{
        uint64_t h = bl_hash_lower(seed, s); /* tells hosts apart that chose the same branch: 64 bits do */
        k->hash = bl_hash_mix(k->hash, h);
        k->check = bl_hash_mix(k->check, h);
}

static void mix_method(struct bl_txn_key *k, uint64_t seed, enum bl_method method, struct bl_str name)
{
        k->hash = bl_hash_mix(k->hash, method);
        k->check = bl_hash_mix(k->check, method);
        if (method == BL_M_UNKNOWN)
                mix(k, seed, name);
}

struct bl_txn_key bl_match_server(uint64_t seed, const struct bl_msg *m, enum bl_method as)
{
        struct bl_txn_key k = {1, 1};
        mix_method(&k, seed, as, m->method_name);
        if (m->via.rfc3261) { /* RFC 3261 17.2.3: branch, sent-by, method */
                mix(&k, seed, m->via.branch);
                mix_lower(&k, seed, m->via.sent_by);
                return k;
        }
        /* RFC 2543's rules, same section. The To tag is left out where an ACK or CANCEL must find its INVITE: an ACK's
         * is that of the response, which the caller compares. */
        char number[10];
        struct bl_sb cseq = BL_SB(number);
        bl_sb_addu(&cseq, m->cseq.number);
        mix(&k, seed, m->ruri);
        mix(&k, seed, m->from_tag);
        mix(&k, seed, m->call_id);
        mix(&k, seed, bl_sb_str(&cseq));
        mix(&k, seed, m->via.all);
        if (as != BL_M_INVITE)
                mix(&k, seed, m->to_tag);
        return k;
}

struct bl_txn_key bl_match_client(uint64_t seed, struct bl_str branch, enum bl_method method, struct bl_str method_name)
{
        struct bl_txn_key k = {2, 2};
        mix_method(&k, seed, method, method_name);
        mix(&k, seed, branch); /* ours: compared as written */
        return k;
}
