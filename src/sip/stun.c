#include "sip/stun.h"

#include <string.h>

enum {
        HEADER = 20,
        ID_AT = 8, /* of the transaction id; the cookie stands before it */
        BINDING_REQUEST = 0x0001,
        BINDING_SUCCESS = 0x0101,
        BINDING_ERROR = 0x0111,
        A_MAPPED_ADDRESS = 0x0001,
        A_ERROR_CODE = 0x0009,
        A_UNKNOWN = 0x000a,
        A_XOR_MAPPED_ADDRESS = 0x0020,
        A_FLOW = 0xc0b1,     /* ours */
        A_OPTIONAL = 0x8000, /* types from here on need not be understood, RFC 5389 15 */
        UNKNOWN_MAX = 16,    /* of unknown types that an error response names */
};
/* Attributes of RFC 5389 that a Binding request may carry and that change nothing here: USERNAME, MESSAGE-INTEGRITY,
 * REALM, NONCE (no credentials are asked for, so none are checked). */
static const uint16_t known[] = {0x0006, 0x0008, 0x0014, 0x0015};

static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

static unsigned get16(const uint8_t *p)
{
        return (unsigned)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned v)
{
        p[0] = (uint8_t)(v >> 8);
        p[1] = (uint8_t)v;
}

bool bl_stun_is(struct bl_str datagram)
{
        const uint8_t *p = (const uint8_t *)datagram.p;

        return datagram.n >= HEADER && (p[0] & 0xc0) == 0 && memcmp(p + 4, cookie, sizeof cookie) == 0 &&
               get16(p + 2) % 4 == 0 && get16(p + 2) == datagram.n - HEADER;
}

static int put_header(uint8_t *out, unsigned type, unsigned length, const uint8_t *id)
{
        put16(out, type);
        put16(out + 2, length);
        memcpy(out + 4, cookie, sizeof cookie);
        memcpy(out + ID_AT, id, 12);
        return (int)(HEADER + length);
}

/* The next attribute at *at: true and its parts. Sets *bad where one sticks out of the message. */
static bool next_attr(const uint8_t *p, size_t n, size_t *at, unsigned *ret_type, struct bl_str *ret_value, bool *bad)
{
        size_t left = n - *at, len;

        if (left == 0)
                return false;
        len = left < 4 ? 0 : get16(p + *at + 2);
        if (left < 4 || (len + 3) / 4 * 4 > left - 4)
                return *bad = true, false;
        *ret_type = get16(p + *at);
        *ret_value = bl_str_make((const char *)p + *at + 4, len);
        *at += 4 + (len + 3) / 4 * 4;
        return true;
}

static bool is_known(unsigned type)
{
        for (size_t i = 0; i < BL_ARRAY_LEN(known); i++)
                if (known[i] == type)
                        return true;
        return type >= A_OPTIONAL;
}

/* RFC 5389 7.3.1: 420 with the types that were not understood */
static int put_unknown(const uint8_t *request, const uint16_t *types, unsigned n, uint8_t *out)
{
        unsigned len = 2 * n, padded = (len + 3) / 4 * 4;
        uint8_t *p = out + HEADER;

        memset(p, 0, 8 + 4 + padded);
        put16(p, A_ERROR_CODE);
        put16(p + 2, 4);
        p[6] = 4;
        p[7] = 20;
        put16(p + 8, A_UNKNOWN);
        put16(p + 10, len);
        for (unsigned i = 0; i < n; i++)
                put16(p + 12 + 2 * i, types[i]);
        return put_header(out, BINDING_ERROR, 12 + padded, request + ID_AT);
}

/* RFC 5389 15.2: port and address XORed with cookie and transaction id */
static void put_mapped(uint8_t *p, const struct bl_addr *a, const uint8_t *id)
{
        unsigned len = a->family == 4 ? 4 : 16;

        put16(p, A_XOR_MAPPED_ADDRESS);
        put16(p + 2, 4 + len);
        p[4] = 0;
        p[5] = a->family == 4 ? 1 : 2;
        put16(p + 6, a->port ^ 0x2112u);
        for (unsigned i = 0; i < len; i++)
                p[8 + i] = a->ip[i] ^ (i < 4 ? cookie[i] : id[i - 4]);
}

int bl_stun_answer(struct bl_str request, const struct bl_addr *source, uint8_t *out)
{
        const uint8_t *p = (const uint8_t *)request.p;
        uint16_t unknown[UNKNOWN_MAX];
        unsigned n = 0, type;
        struct bl_str value;
        bool bad = false;

        if (!bl_stun_is(request) || get16(p) != BINDING_REQUEST || !source->family)
                return BL_EMALFORMED;
        for (size_t at = HEADER; next_attr(p, request.n, &at, &type, &value, &bad);)
                if (!is_known(type) && n < UNKNOWN_MAX)
                        unknown[n++] = (uint16_t)type;
        if (bad)
                return BL_EMALFORMED;
        if (n)
                return put_unknown(p, unknown, n, out);
        put_mapped(out + HEADER, source, p + ID_AT);
        return put_header(out, BINDING_SUCCESS, source->family == 4 ? 12 : 24, p + ID_AT);
}

int bl_stun_request(const uint8_t id[12], uint8_t *out)
{
        return put_header(out, BINDING_REQUEST, 0, id);
}

static int get_mapped(struct bl_str v, bool xored, const uint8_t *id, struct bl_addr *ret)
{
        const uint8_t *p = (const uint8_t *)v.p;
        struct bl_addr a = {0};
        unsigned len;

        if (v.n < 8 || (p[1] != 1 && p[1] != 2))
                return BL_EMALFORMED;
        a.family = p[1] == 1 ? 4 : 6;
        len = a.family == 4 ? 4 : 16;
        if (v.n != 4 + len)
                return BL_EMALFORMED;
        a.port = (uint16_t)(get16(p + 2) ^ (xored ? 0x2112u : 0));
        for (unsigned i = 0; i < len; i++)
                a.ip[i] = p[4 + i] ^ (xored ? (i < 4 ? cookie[i] : id[i - 4]) : 0);
        *ret = a;
        return 0;
}

int bl_stun_parse_response(struct bl_str in, const uint8_t id[12], struct bl_addr *ret_mapped)
{
        const uint8_t *p = (const uint8_t *)in.p;
        struct bl_str value;
        unsigned type;
        bool bad = false, found = false;
        struct bl_addr mapped;

        if (!bl_stun_is(in))
                return BL_EMALFORMED;
        if (memcmp(p + ID_AT, id, 12) != 0 || get16(p) == BINDING_REQUEST)
                return BL_ENOENT;
        if (get16(p) == BINDING_ERROR)
                return BL_EREFUSED;
        if (get16(p) != BINDING_SUCCESS)
                return BL_EMALFORMED;
        for (size_t at = HEADER; next_attr(p, in.n, &at, &type, &value, &bad);) {
                /* the XORed one wins: NATs rewrite the plain one (RFC 5389 15.2) */
                if (type != A_XOR_MAPPED_ADDRESS && (type != A_MAPPED_ADDRESS || found))
                        continue;
                if (get_mapped(value, type == A_XOR_MAPPED_ADDRESS, id, &mapped) < 0)
                        return BL_EMALFORMED;
                found = true;
        }
        if (bad || !found)
                return BL_EMALFORMED;
        *ret_mapped = mapped;
        return 0;
}

int bl_stun_put_flow(uint8_t *m, int n, const uint8_t flow[8])
{
        unsigned len = flow ? 8 : 0;

        put16(m + n, A_FLOW);
        put16(m + n + 2, len);
        if (flow)
                memcpy(m + n + 4, flow, len);
        n += 4 + (int)len;
        put16(m + 2, (unsigned)n - HEADER);
        return n;
}

bool bl_stun_get_flow(struct bl_str message, struct bl_str *ret_value)
{
        const uint8_t *p = (const uint8_t *)message.p;
        struct bl_str value;
        unsigned type;
        bool bad = false;

        if (!bl_stun_is(message))
                return false;
        for (size_t at = HEADER; next_attr(p, message.n, &at, &type, &value, &bad);)
                if (type == A_FLOW && (value.n == 0 || value.n == 8)) {
                        *ret_value = value;
                        return true;
                }
        return false;
}
