#include "io/answer.h"

enum {
        HEADER = 12,
        NAME_MAX_LEN = 255, /* of a name in text; RFC 1035 section 2.3.4 allows as many in the wire's form */
        JUMPS = 64,
        CNAME_HOPS = 8,
        TYPE_CNAME = 5,
        TYPE_SOA = 6,
        CLASS_IN = 1,
        TTL_MAX = 7 * 86400, /* longer ones are cut (RFC 8767 section 4 suggests the same) */
};

struct name {
        char p[NAME_MAX_LEN + 1];
        size_t n;
};
struct reader {
        const uint8_t *p;
        size_t n, at;
};
struct record {
        struct name owner;
        uint16_t type, class;
        uint32_t ttl;
        size_t data, len; /* offset and length of RDATA */
};

static int u16(struct reader *r, uint16_t *ret)
{
        if (r->n - r->at < 2)
                return BL_EMALFORMED;
        *ret = (uint16_t)(r->p[r->at] << 8 | r->p[r->at + 1]);
        r->at += 2;
        return 0;
}

static int u32(struct reader *r, uint32_t *ret)
{
        uint16_t hi = 0, lo = 0;
        if (u16(r, &hi) < 0 || u16(r, &lo) < 0)
                return BL_EMALFORMED;
        *ret = (uint32_t)hi << 16 | lo;
        return 0;
}

/* One label after another, in lower case, with dots between them. Octets that a host name cannot have become '?':
 * such a name then matches nothing and resolves to nothing. */
static int put_label(struct name *name, const uint8_t *p, size_t n)
{
        if (name->n + (name->n > 0) + n > NAME_MAX_LEN)
                return BL_EMALFORMED;
        if (name->n)
                name->p[name->n++] = '.';
        for (size_t i = 0; i < n; i++) {
                bool ok = p[i] > ' ' && p[i] < 0x7f && p[i] != '.';
                name->p[name->n++] = ok ? bl_lower((char)p[i]) : '?';
        }
        return 0;
}

/* RFC 1035 section 4.1.4: a pointer may only lead back, so a name always ends. */
static int read_name(struct reader *r, struct name *ret)
{
        size_t at = r->at, end = 0, limit = r->at;
        ret->n = 0;
        for (int jumps = 0; jumps < JUMPS;) {
                if (at >= r->n)
                        return BL_EMALFORMED;
                uint8_t c = r->p[at];
                if (c == 0) {
                        r->at = end ? end : at + 1;
                        return 0;
                }
                if (c < 64) {
                        if (r->n - at - 1 < c || put_label(ret, r->p + at + 1, c) < 0)
                                return BL_EMALFORMED;
                        at += 1 + (size_t)c;
                } else if (c >= 0xc0) {
                        if (r->n - at < 2)
                                return BL_EMALFORMED;
                        size_t to = (size_t)(c & 0x3f) << 8 | r->p[at + 1];
                        if (to >= limit)
                                return BL_EMALFORMED;
                        if (!end)
                                end = at + 2;
                        at = limit = to;
                        jumps++;
                } else {
                        return BL_EMALFORMED;
                }
        }
        return BL_EMALFORMED;
}

static int read_record(struct reader *r, struct record *ret)
{
        uint16_t len = 0;
        if (read_name(r, &ret->owner) < 0 || u16(r, &ret->type) < 0 || u16(r, &ret->class) < 0 ||
            u32(r, &ret->ttl) < 0 || u16(r, &len) < 0 || r->n - r->at < len)
                return BL_EMALFORMED;
        if (ret->ttl & 0x80000000u) /* RFC 2181 section 8 */
                ret->ttl = 0;
        if (ret->ttl > TTL_MAX)
                ret->ttl = TTL_MAX;
        ret->data = r->at;
        ret->len = len;
        r->at += len;
        return 0;
}

static bool same(const struct name *a, const struct name *b)
{
        return bl_str_eq(bl_str_make(a->p, a->n), bl_str_make(b->p, b->n));
}

static struct bl_str keep_text(struct bl_answer *a, const char *p, size_t n)
{
        if (n == 0 || BL_ANSWER_TEXT - a->text_used < n)
                return (struct bl_str){0};
        char *to = memcpy(a->text + a->text_used, p, n);
        a->text_used += n;
        return bl_str_make(to, n);
}

/* <character-string> of RFC 1035 section 3.3 */
static int read_text(struct reader *r, struct bl_answer *a, struct bl_str *ret)
{
        if (r->at >= r->n || r->n - r->at - 1 < r->p[r->at])
                return BL_EMALFORMED;
        size_t n = r->p[r->at++];
        if (ret)
                *ret = keep_text(a, (const char *)r->p + r->at, n);
        r->at += n;
        return 0;
}

static int read_address(struct reader *r, uint8_t family, struct bl_rr *rr)
{
        size_t n = family == 4 ? 4 : 16;
        if (r->n - r->at != n)
                return BL_EMALFORMED;
        rr->addr.family = family;
        memcpy(rr->addr.ip, r->p + r->at, n);
        return 0;
}

/* RDATA of `rec` into a record; its names may point back into the whole message. */
static int read_data(const struct reader *whole, const struct record *rec, struct bl_answer *a, struct bl_rr *rr)
{
        struct reader r = {whole->p, rec->data + rec->len, rec->data};
        struct name target = {.n = 0};
        *rr = (struct bl_rr){.type = rec->type, .ttl = rec->ttl};
        switch (rec->type) {
        case BL_RR_A:
                return read_address(&r, 4, rr);
        case BL_RR_AAAA:
                return read_address(&r, 6, rr);
        case BL_RR_SRV: /* RFC 2782 */
                if (u16(&r, &rr->prio) < 0 || u16(&r, &rr->weight) < 0 || u16(&r, &rr->port) < 0)
                        return BL_EMALFORMED;
                break;
        case BL_RR_NAPTR: /* RFC 3403 section 4.1; the regexp is of no use here (RFC 3263 section 4.1) */
                if (u16(&r, &rr->prio) < 0 || u16(&r, &rr->weight) < 0 || read_text(&r, a, &rr->flags) < 0 ||
                    read_text(&r, a, &rr->service) < 0 || read_text(&r, a, NULL) < 0)
                        return BL_EMALFORMED;
                break;
        default:
                return BL_EMALFORMED;
        }
        if (read_name(&r, &target) < 0 || r.at != r.n)
                return BL_EMALFORMED;
        /* The root: RFC 2782 says by it that there is no such service. */
        rr->name = target.n ? keep_text(a, target.p, target.n) : keep_text(a, ".", 1);
        return 0;
}

/* Where the question's name leads by CNAMEs, and the least TTL on the way. Records may stand in any order. */
static int follow(struct reader r, unsigned count, struct name *name, uint32_t *ttl)
{
        for (int hop = 0; hop < CNAME_HOPS; hop++) {
                struct reader at = r;
                struct record rec;
                bool moved = false;
                for (unsigned i = 0; i < count && !moved; i++) {
                        if (read_record(&at, &rec) < 0)
                                return BL_EMALFORMED;
                        if (rec.type != TYPE_CNAME || rec.class != CLASS_IN || !same(&rec.owner, name))
                                continue;
                        struct reader data = {r.p, rec.data + rec.len, rec.data};
                        if (read_name(&data, name) < 0)
                                return BL_EMALFORMED;
                        if (rec.ttl < *ttl)
                                *ttl = rec.ttl;
                        moved = true;
                }
                if (!moved)
                        return 0;
        }
        return BL_EMALFORMED; /* a ring, or nearly one */
}

static int read_answers(struct reader *r, unsigned count, uint16_t type, struct name *name, struct bl_answer *a)
{
        uint32_t ttl = TTL_MAX;
        if (follow(*r, count, name, &ttl) < 0)
                return BL_EMALFORMED;
        for (unsigned i = 0; i < count; i++) {
                struct record rec;
                if (read_record(r, &rec) < 0)
                        return BL_EMALFORMED;
                if (rec.type != type || rec.class != CLASS_IN || !same(&rec.owner, name) || a->n == BL_ANSWER_RECORDS)
                        continue;
                if (read_data(r, &rec, a, &a->rr[a->n]) < 0)
                        return BL_EMALFORMED;
                if (a->rr[a->n].ttl > ttl)
                        a->rr[a->n].ttl = ttl;
                a->n++;
        }
        return 0;
}

/* RFC 2308 section 5: a "no" holds for the lesser of the SOA's TTL and its last field. */
static int read_soa(struct reader *r, unsigned count, struct bl_answer *a)
{
        for (unsigned i = 0; i < count; i++) {
                struct record rec;
                uint32_t minimum = 0;
                if (read_record(r, &rec) < 0)
                        return BL_EMALFORMED;
                if (rec.type != TYPE_SOA || rec.class != CLASS_IN || rec.len < 4)
                        continue;
                struct reader last = {r->p, rec.data + rec.len, rec.data + rec.len - 4};
                if (u32(&last, &minimum) < 0)
                        return BL_EMALFORMED;
                a->neg_ttl = rec.ttl < minimum ? rec.ttl : minimum;
                return 0;
        }
        return 0;
}

int bl_answer_parse(struct bl_str message, uint16_t type, struct bl_answer *ret)
{
        struct reader r = {(const uint8_t *)message.p, message.n, 2};
        uint16_t flags = 0, questions = 0, answers = 0, authorities = 0, additional = 0, ignored = 0;
        struct name name = {.n = 0};
        ret->rc = 0;
        ret->n = 0;
        ret->neg_ttl = 0;
        ret->text_used = 0;
        if (message.n < HEADER || u16(&r, &flags) < 0 || u16(&r, &questions) < 0 || u16(&r, &answers) < 0 ||
            u16(&r, &authorities) < 0 || u16(&r, &additional) < 0 || questions != 1)
                return BL_EMALFORMED;
        if (read_name(&r, &name) < 0 || u16(&r, &ignored) < 0 || u16(&r, &ignored) < 0)
                return BL_EMALFORMED;
        unsigned rcode = flags & 0xf;
        if (rcode != 0 && rcode != 3)
                return BL_EREFUSED;
        if (rcode == 3)
                ret->rc = BL_ENOENT;
        int rc = read_answers(&r, answers, type, &name, ret);
        if (rc == 0 && ret->n == 0)
                rc = read_soa(&r, authorities, ret);
        if (rc < 0)
                ret->n = 0;
        return rc;
}
