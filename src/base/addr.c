#include "base/addr.h"

#include "base/err.h"
#include "base/hash.h"

static const struct {
        struct bl_str name, param;
        uint16_t port;
} transports[BL_TP_COUNT] = {
        [BL_UDP] = {{"UDP", 3}, {"udp", 3}, 5060}, [BL_TCP] = {{"TCP", 3}, {"tcp", 3}, 5060},
        [BL_TLS] = {{"TLS", 3}, {"tls", 3}, 5061}, [BL_WS] = {{"WS", 2}, {"ws", 2}, 80},
        [BL_WSS] = {{"WSS", 3}, {"ws", 2}, 443}, /* RFC 7118 section 4.2: ;transport=ws for both */
};

struct bl_str bl_tp_name(enum bl_tp tp)
{
        return (unsigned)tp < BL_TP_COUNT ? transports[tp].name : (struct bl_str){NULL, 0};
}

struct bl_str bl_tp_param(enum bl_tp tp)
{
        return (unsigned)tp < BL_TP_COUNT ? transports[tp].param : (struct bl_str){NULL, 0};
}

int bl_tp_from(struct bl_str name, enum bl_tp *ret_tp)
{
        for (unsigned i = 0; i < BL_TP_COUNT; i++) {
                if (bl_str_ieq(name, transports[i].name)) {
                        *ret_tp = (enum bl_tp)i;
                        return 0;
                }
        }
        return BL_ENOENT;
}

uint16_t bl_tp_default_port(enum bl_tp tp)
{
        return (unsigned)tp < BL_TP_COUNT ? transports[tp].port : 0;
}

/* Dotted quad (RFC 3986 section 3.2.2, dec-octet: no leading zeros, which some read as octal). */
static bool parse_ip4(struct bl_str s, uint8_t ip[4])
{
        const char *p = s.p, *end = p + s.n;
        for (unsigned i = 0; i < 4; i++) {
                const char *start = p;
                unsigned v = 0, digit;
                for (; p < end && (digit = (unsigned)(unsigned char)*p - '0') <= 9 && p - start < 3; p++)
                        v = v * 10 + digit;
                if (p == start || v > 255 || (*start == '0' && p - start > 1))
                        return false;
                ip[i] = (uint8_t)v;
                if (i < 3 && (p == end || *p++ != '.'))
                        return false;
        }
        return p == end;
}

static bool parse_group(struct bl_str s, uint8_t ip[2])
{
        unsigned v = 0;
        if (s.n < 1 || s.n > 4)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                char c = bl_lower(s.p[i]);
                if (c >= '0' && c <= '9')
                        v = v << 4 | (unsigned)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        v = v << 4 | (unsigned)(c - 'a' + 10);
                else
                        return false;
        }
        ip[0] = (uint8_t)(v >> 8);
        ip[1] = (uint8_t)v;
        return true;
}

/* Groups separated by single colons, the last possibly a dotted quad, as on either side of "::". Octets written, or -1.
 */
static int parse_groups(struct bl_str s, uint8_t ip[16])
{
        int at = 0;
        if (!s.n)
                return 0;
        for (;;) {
                struct bl_str part;
                bool more = bl_str_cut(s, ':', &part, &s);
                if (!more && bl_str_find(part, '.') >= 0) {
                        if (at > 12 || !parse_ip4(part, ip + at))
                                return -1;
                        return at + 4;
                }
                if (at > 14 || !parse_group(part, ip + at))
                        return -1;
                at += 2;
                if (!more)
                        return at;
        }
}

static bool parse_ip6(struct bl_str s, struct bl_addr *a)
{
        struct bl_str zone, head, tail = {NULL, 0};
        uint8_t left[16] = {0}, right[16] = {0};
        bool gap = false;
        if (bl_str_cut(s, '%', &s, &zone) && bl_str_u32(zone, &a->scope) < 0)
                return false;
        head = s;
        for (size_t i = 0; i + 1 < s.n && !gap; i++) {
                if (s.p[i] == ':' && s.p[i + 1] == ':') {
                        head = bl_str_make(s.p, i);
                        tail = bl_str_from(s, i + 2);
                        gap = true;
                }
        }
        if (gap && bl_str_find(head, '.') >= 0) /* a dotted quad may only end the whole */
                return false;
        int n = parse_groups(head, left), m = parse_groups(tail, right);
        /* "::" stands for one group of zeros at least (RFC 4291 section 2.2). */
        if (n < 0 || m < 0 || (gap ? n + m > 14 : n != 16))
                return false;
        memcpy(a->ip, left, (size_t)n);
        memcpy(a->ip + 16 - m, right, (size_t)m);
        return true;
}

int bl_addr_parse(struct bl_str s, struct bl_addr *ret_addr)
{
        struct bl_addr a = {.family = 6};
        uint8_t ip[4];
        if (parse_ip4(s, ip)) {
                a.family = 4;
                memcpy(a.ip, ip, sizeof(ip));
                *ret_addr = a;
                return 0;
        }
        if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
                s = bl_str_make(s.p + 1, s.n - 2);
        else if (bl_str_find(s, ':') < 0)
                return BL_EMALFORMED;
        if (!parse_ip6(s, &a))
                return BL_EMALFORMED;
        *ret_addr = a;
        return 0;
}

int bl_addr_parse_port(struct bl_str s, uint16_t default_port, struct bl_addr *ret_addr)
{
        struct bl_str host = s, port = {NULL, 0};
        uint32_t v = default_port;
        bool has_port;
        if (s.n && s.p[0] == '[') {
                ptrdiff_t end = bl_str_find(s, ']');
                if (end < 0)
                        return BL_EMALFORMED;
                host = bl_str_make(s.p, (size_t)end + 1);
                port = bl_str_from(s, (size_t)end + 1);
                has_port = port.n > 0;
                if (has_port && port.p[0] != ':')
                        return BL_EMALFORMED;
                if (has_port)
                        port = bl_str_from(port, 1);
        } else {
                has_port = bl_str_cut(s, ':', &host, &port);
                if (has_port && bl_str_find(port, ':') >= 0) { /* IPv6 without brackets: it cannot have a port */
                        host = s;
                        has_port = false;
                }
        }
        if (has_port && (bl_str_u32(port, &v) < 0 || v > 65535))
                return BL_EMALFORMED;
        int rc = bl_addr_parse(host, ret_addr);
        if (rc == 0)
                ret_addr->port = (uint16_t)v;
        return rc;
}

bool bl_addr_eq_ip(const struct bl_addr *a, const struct bl_addr *b)
{
        return a->family == b->family && a->scope == b->scope && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool bl_addr_eq(const struct bl_addr *a, const struct bl_addr *b)
{
        return a->port == b->port && bl_addr_eq_ip(a, b);
}

/* Numbers of fixed size need no hash made for texts: mixed with the seed, which strangers do not know. */
uint64_t bl_addr_hash(uint64_t seed, const struct bl_addr *a)
{
        /* family, port, scope and ip fill the struct without padding; _zero is always 0 */
        uint64_t w[3];
        _Static_assert(sizeof(*a) == sizeof(w), "no padding may enter the hash");
        memcpy(w, a, sizeof(w));
        seed = bl_hash_mix(bl_hash_mix(seed, w[0]), w[1]);
        return a->family == 4 ? seed : bl_hash_mix(seed, w[2]);
}

static void put_ip4(struct bl_sb *b, const uint8_t ip[4])
{
        char text[16];
        size_t n = 0;
        for (unsigned i = 0; i < 4; i++) {
                unsigned v = ip[i], hundreds = v / 100;
                if (hundreds)
                        text[n++] = (char)('0' + hundreds);
                v -= 100 * hundreds;
                if (hundreds || v >= 10)
                        text[n++] = (char)('0' + v / 10);
                text[n++] = (char)('0' + v % 10);
                text[n++] = '.';
        }
        bl_sb_add(b, bl_str_make(text, (n - 1) & 15)); /* 7 to 15, which compilers do not see */
}

static unsigned group(const uint8_t ip[16], unsigned i)
{
        return (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
}

static void put_group(struct bl_sb *b, unsigned v)
{
        bool begun = false;
        for (int shift = 12; shift >= 0; shift -= 4) {
                unsigned digit = v >> shift & 15;
                begun = begun || digit || shift == 0;
                if (begun)
                        bl_sb_addc(b, "0123456789abcdef"[digit]);
        }
}

/* RFC 5952 section 4: lower case, the first longest run of two or more zero groups as "::"; section 5: mapped IPv4
 * dotted. */
static void put_ip6(struct bl_sb *b, const uint8_t ip[16])
{
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        unsigned run_at = 8, run = 1;
        if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
                bl_sb_addz(b, "::ffff:");
                put_ip4(b, ip + 12);
                return;
        }
        for (unsigned i = 0; i < 8; i++) {
                unsigned n = 0;
                while (i + n < 8 && group(ip, i + n) == 0)
                        n++;
                if (n > run) {
                        run_at = i;
                        run = n;
                }
        }
        for (unsigned i = 0; i < 8; i++) {
                if (i == run_at) {
                        bl_sb_addz(b, "::");
                        i += run - 1;
                        continue;
                }
                if (i && i != run_at + run)
                        bl_sb_addc(b, ':');
                put_group(b, group(ip, i));
        }
}

void bl_addr_put_ip(struct bl_sb *b, const struct bl_addr *a)
{
        if (a->family == 4) {
                put_ip4(b, a->ip);
        } else if (a->family == 6) {
                bl_sb_addc(b, '[');
                put_ip6(b, a->ip);
                if (a->scope) {
                        bl_sb_addc(b, '%');
                        bl_sb_addu(b, a->scope);
                }
                bl_sb_addc(b, ']');
        } else {
                bl_sb_addc(b, '-'); /* no address: visible in a log line */
        }
}

void bl_addr_put(struct bl_sb *b, const struct bl_addr *a)
{
        bl_addr_put_ip(b, a);
        if (a->port) {
                bl_sb_addc(b, ':');
                bl_sb_addu(b, a->port);
        }
}

int bl_net_parse(struct bl_str s, struct bl_net *ret_net)
{
        struct bl_str host, bits;
        struct bl_net net = {0};
        bool has_bits = bl_str_cut(s, '/', &host, &bits);
        int rc = bl_addr_parse(host, &net.base);
        if (rc < 0)
                return rc;
        uint32_t most = net.base.family == 4 ? 32 : 128, v = most;
        if (has_bits && (bl_str_u32(bits, &v) < 0 || v > most))
                return BL_EMALFORMED;
        net.bits = (uint8_t)v;
        *ret_net = net;
        return 0;
}

bool bl_net_has(const struct bl_net *net, const struct bl_addr *a)
{
        unsigned whole = net->bits / 8, rest = net->bits % 8;
        if (net->base.family != a->family || (net->base.scope && net->base.scope != a->scope))
                return false;
        if (memcmp(net->base.ip, a->ip, whole) != 0)
                return false;
        return rest == 0 || ((net->base.ip[whole] ^ a->ip[whole]) >> (8 - rest)) == 0;
}
