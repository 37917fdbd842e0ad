#include "sip/msg.h"

#include "sip/list.h"
#include "sip/usual.h"

struct bl_str bl_msg_value(const struct bl_msg *m, enum bl_hid id)
{
        const struct bl_hdr *h = bl_msg_first(m, id);

        return h ? bl_hdr_value(m, h) : bl_str_make("", 0);
}

struct bl_str bl_msg_other(const struct bl_msg *m, struct bl_str name)
{
        enum bl_hid id = bl_hid_from(name);

        if (id != BL_H_OTHER)
                return bl_msg_value(m, id);
        for (const struct bl_hdr *h = bl_msg_first(m, BL_H_OTHER); h; h = bl_msg_next(m, h))
                if (bl_str_ieq(bl_hdr_name(m, h), name))
                        return bl_hdr_value(m, h);
        return bl_str_make("", 0);
}

bool bl_msg_values(const struct bl_msg *m, enum bl_hid id, struct bl_values *it)
{
        struct bl_list_walk w = {.hdr = it->_started ? it->hdr : m->first[id], .pos = it->_pos};

        while (bl_list_walk_next(m, &w)) {
                if (w.value.n == 0)
                        continue; /* RFC 3261 25.1 has no empty elements; where they do no harm they count for nothing
                                   */
                it->index = it->_started ? (uint16_t)(it->index + 1) : 0;
                it->value = w.value;
                it->hdr = w.hdr;
                it->_pos = w.pos;
                it->_started = true;
                return true;
        }
        it->hdr = BL_HDR_NONE;
        it->_started = true;
        return false;
}

unsigned bl_msg_count(const struct bl_msg *m, enum bl_hid id)
{
        struct bl_values it = {0};
        unsigned n = 0;

        while (bl_msg_values(m, id, &it))
                n++;
        return n;
}

/* The value of that index, -1 the last. */
static int value_at(const struct bl_msg *m, enum bl_hid id, int index, struct bl_str *ret_value)
{
        struct bl_values it = {0};
        bool found = false;

        while (bl_msg_values(m, id, &it)) {
                found = index < 0 || it.index == index;
                *ret_value = it.value;
                if (found && index >= 0)
                        break;
        }
        return found ? 0 : BL_ENOENT;
}

/* The value at it->_at, up to a comma or the end of its line: 0, else BL_EMALFORMED. */
static int scan_value(const struct bl_msg *m, struct bl_nameaddrs *it)
{
        const char *p = it->_at, *end = it->_end, *q = NULL;

        if (m->_runs)
                q = bl_usual_nameaddr((struct bl_runs){m->octets.p, m->_runs}, p, end, &it->na, NULL);
        if (!q)
                q = bl_nameaddr_scan(p, end, &it->na, NULL);
        if (!q || (q != end && (*q != ',' || !bl_hid_is_list((enum bl_hid)it->_id))))
                return BL_EMALFORMED;
        it->_at = q;
        return 0;
}

void bl_nameaddrs_init(struct bl_nameaddrs *it, const struct bl_msg *m, enum bl_hid id)
{
        it->_id = (uint8_t)id;
        it->_hdr = m->first[id];
        it->_at = it->_end = NULL;
}

int bl_nameaddrs_next(struct bl_nameaddrs *it, const struct bl_msg *m)
{
        for (;;) {
                if (!it->_at) {
                        if (it->_hdr == BL_HDR_NONE)
                                return 0;
                        it->_at = m->octets.p + m->h[it->_hdr].value;
                        it->_end = it->_at + m->h[it->_hdr].value_len;
                        it->_hdr = m->h[it->_hdr].next;
                }
                while (it->_at < it->_end && (*it->_at == ',' || (unsigned char)*it->_at <= ' '))
                        it->_at++; /* empty elements count for nothing, as in bl_msg_values */
                if (it->_at < it->_end)
                        return scan_value(m, it) < 0 ? BL_EMALFORMED : 1;
                it->_at = NULL;
        }
}

int bl_msg_nameaddr(const struct bl_msg *m, enum bl_hid id, int index, struct bl_nameaddr *ret_na)
{
        struct bl_nameaddrs it;
        struct bl_str value;
        int rc;

        if (index < 0) {
                rc = value_at(m, id, index, &value);
                return rc < 0 ? rc : bl_nameaddr_parse(value, ret_na);
        }
        bl_nameaddrs_init(&it, m, id);
        do
                rc = bl_nameaddrs_next(&it, m);
        while (rc > 0 && index--);
        if (rc <= 0)
                return rc < 0 ? rc : BL_ENOENT;
        *ret_na = it.na;
        return 0;
}

int bl_msg_via(const struct bl_msg *m, int index, struct bl_via *ret_via)
{
        struct bl_str value;
        int rc = value_at(m, BL_H_VIA, index, &value);

        return rc < 0 ? rc : bl_via_parse(value, ret_via);
}

bool bl_msg_lists_token(const struct bl_msg *m, enum bl_hid id, struct bl_str token)
{
        struct bl_values it = {0};

        while (bl_msg_values(m, id, &it))
                if (bl_str_ieq(it.value, token))
                        return true;
        return false;
}

int bl_msg_u32(const struct bl_msg *m, enum bl_hid id, uint32_t *ret)
{
        struct bl_str v = bl_msg_value(m, id);
        const char *end = v.p + v.n, *q = bl_scan_run(v.p, end, C_DIGIT), *rest = bl_scan_lws(q, end);

        if (!bl_msg_has(m, id))
                return BL_ENOENT;
        /* what may follow a number: parameters, or Retry-After's comment */
        if (q == v.p || (rest != end && *rest != ';' && *rest != '('))
                return BL_EMALFORMED;
        return bl_str_u32(bl_str_make(v.p, (size_t)(q - v.p)), ret) < 0 ? BL_EMALFORMED : 0;
}

/* ---- kept messages ---- */

static void rebase(struct bl_str *s, struct bl_str from, const char *to)
{
        /* slices into the octets move along; literals ("") stay */
        if (s->p && s->p >= from.p && s->p <= from.p + from.n)
                s->p = to + (s->p - from.p);
}

static void rebase_via(struct bl_via *v, struct bl_str from, const char *to)
{
        struct bl_str *const parts[] = {&v->all,    &v->transport, &v->sent_by, &v->host,        &v->params,
                                        &v->branch, &v->received,  &v->maddr,   &v->rport_param, &v->received_param};

        for (size_t i = 0; i < BL_ARRAY_LEN(parts); i++)
                rebase(parts[i], from, to);
}

struct bl_msg *bl_msg_keep(const struct bl_msg *m, struct bl_pool *pool)
{
        size_t index = m->n * sizeof *m->h, size = sizeof *m + index + m->octets.n;
        struct bl_msg *k = bl_pool_alloc(pool, size);
        struct bl_hdr *h;
        char *octets;

        if (!k)
                return NULL;
        *k = *m;
        h = (struct bl_hdr *)(void *)(k + 1);
        octets = (char *)h + index;
        if (m->n)
                memcpy(h, m->h, index);
        memcpy(octets, m->octets.p, m->octets.n);
        k->h = h;
        k->kept_size = (uint32_t)size;

        struct bl_str *const parts[] = {&k->method_name, &k->ruri,     &k->reason, &k->body,
                                        &k->call_id,     &k->from_tag, &k->to_tag, &k->cseq.method_name};
        for (size_t i = 0; i < BL_ARRAY_LEN(parts); i++)
                rebase(parts[i], m->octets, octets);
        if (m->is_request)
                bl_uri_move(&k->uri, m->octets.p, octets);
        rebase_via(&k->via, m->octets, octets);
        k->_runs = NULL;
        k->octets.p = octets;
        return k;
}

void bl_msg_drop(struct bl_msg *kept, struct bl_pool *pool)
{
        if (kept)
                bl_pool_give(pool, kept, kept->kept_size);
}
