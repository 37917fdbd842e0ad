/* The octets: options and messages. Lease files are dhcp_lease.c's. */
#include "base/dhcp.h"

/* ---- names ---- */

static bool alnum(char c)
{
        return (bl_lower(c) >= 'a' && bl_lower(c) <= 'z') || (c >= '0' && c <= '9');
}

static bool label_ok(struct bl_str label)
{
        if (label.n == 0 || label.n > 63 || !alnum(label.p[0]) || !alnum(label.p[label.n - 1]))
                return false;
        for (size_t i = 1; i + 1 < label.n; i++)
                if (!alnum(label.p[i]) && label.p[i] != '-')
                        return false;
        return true;
}

int bl_dhcp_set_name(struct bl_str text, struct bl_dhcp_server *ret)
{
        struct bl_str label, rest;
        if (text.n && text.p[text.n - 1] == '.')
                text.n--;
        if (text.n == 0 || text.n > BL_DHCP_NAME_MAX || text.p[text.n - 1] == '.')
                return BL_EMALFORMED;
        for (rest = text; rest.n;) {
                (void)bl_str_cut(rest, '.', &label, &rest);
                if (!label_ok(label))
                        return BL_EMALFORMED;
        }
        if (label.p[0] >= '0' && label.p[0] <= '9') /* RFC 3261 section 25.1: else it might be a broken address */
                return BL_EMALFORMED;
        *ret = (struct bl_dhcp_server){.name_len = (uint8_t)text.n};
        memcpy(ret->name, text.p, text.n);
        return 0;
}

static const uint8_t *octets(struct bl_str s)
{
        return (const uint8_t *)s.p;
}

/*
 * One name at *at of `in`, as labels (RFC 1035 section 3.1). Pointers lead backward only, so that a name ends; RFC 8415
 * section 10 forbids them, servers of option 120 write them. Moves *at behind the name.
 */
static int take_name(struct bl_str in, size_t *at, bool pointers, struct bl_dhcp_server *ret)
{
        const uint8_t *p = octets(in);
        size_t i = *at, end = 0, limit = in.n;
        char text[BL_DHCP_NAME_MAX + 1];
        struct bl_sb name = BL_SB(text);
        while (i < limit && p[i] != 0) {
                size_t n = p[i];
                if (n >= 0xc0 && pointers && i + 1 < limit) {
                        size_t to = (n & 0x3f) << 8 | p[i + 1];
                        if (to >= i)
                                return BL_EMALFORMED;
                        if (!end)
                                end = i + 2;
                        limit = i; /* what it leads to ends before it, and so on */
                        i = to;
                        continue;
                }
                struct bl_str label = bl_str_make(in.p + i + 1, n);
                if (n > 63 || i + 1 + n > limit || !label_ok(label))
                        return BL_EMALFORMED;
                bl_sb_add(&name, label);
                bl_sb_addc(&name, '.');
                i += 1 + n;
        }
        if (i >= limit || name.over)
                return BL_EMALFORMED;
        *at = end ? end : i + 1;
        return bl_dhcp_set_name(bl_sb_str(&name), ret);
}

static void append(struct bl_dhcp_sip *list, const struct bl_dhcp_server *s)
{
        if (list->n < BL_DHCP_SERVERS)
                list->at[list->n++] = *s;
}

static int take_names(struct bl_str in, bool pointers, struct bl_dhcp_sip *list)
{
        struct bl_dhcp_sip all = *list;
        struct bl_dhcp_server s;
        size_t at = 0;
        if (in.n == 0)
                return BL_EMALFORMED;
        while (at < in.n) {
                int rc = take_name(in, &at, pointers, &s);
                if (rc < 0)
                        return rc;
                append(&all, &s);
        }
        *list = all;
        return 0;
}

static int take_addrs(struct bl_str in, unsigned family, struct bl_dhcp_sip *list)
{
        size_t size = family == 4 ? 4 : 16;
        if (in.n == 0 || in.n % size != 0)
                return BL_EMALFORMED;
        for (size_t i = 0; i < in.n; i += size) {
                struct bl_dhcp_server s = {.addr.family = (uint8_t)family};
                memcpy(s.addr.ip, in.p + i, size);
                append(list, &s);
        }
        return 0;
}

int bl_dhcp_sip4(struct bl_str option, struct bl_dhcp_sip *list)
{
        if (option.n < 2)
                return BL_EMALFORMED;
        struct bl_str rest = bl_str_from(option, 1);
        switch (option.p[0]) {
        case 0: /* RFC 3361 section 3.1 */
                return take_names(rest, true, list);
        case 1: /* section 3.2 */
                return take_addrs(rest, 4, list);
        default:
                return BL_EMALFORMED;
        }
}

int bl_dhcp_sip6_names(struct bl_str option, struct bl_dhcp_sip *list)
{
        return take_names(option, false, list);
}

int bl_dhcp_sip6_addrs(struct bl_str option, struct bl_dhcp_sip *list)
{
        return take_addrs(option, 6, list);
}

void bl_dhcp_put_uri(const struct bl_dhcp_server *s, struct bl_sb *out)
{
        bl_sb_addz(out, "sip:");
        if (s->addr.family)
                bl_addr_put_ip(out, &s->addr);
        else
                bl_sb_add(out, bl_str_make(s->name, s->name_len));
        bl_sb_addz(out, ";lr");
}

/* ---- DHCP (RFC 2131, options RFC 2132) ---- */

enum { HEADER4 = 236, COOKIE = 4, BOOTP_MIN = 300, SNAME_AT = 44, SNAME_N = 64, FILE_AT = 108, FILE_N = 128 };
enum { OPT_PAD = 0, OPT_OVERLOAD = 52, OPT_TYPE = 53, OPT_WANT = 55, OPT_SIZE = 57, OPT_SIP = 120, OPT_END = 255 };
enum { TYPE_ACK = 5, TYPE_INFORM = 8 };
static const char cookie[COOKIE] = "\x63\x82\x53\x63";

static void add(struct bl_sb *out, const void *p, size_t n)
{
        bl_sb_add(out, bl_str_make(p, n));
}

static void add_zeros(struct bl_sb *out, size_t n)
{
        while (n--)
                bl_sb_addc(out, 0);
}

void bl_dhcp_put_inform(const struct bl_dhcp_ask *ask, struct bl_sb *out)
{
        size_t start = out->n;
        static const uint8_t options[] = {
                OPT_TYPE, 1, TYPE_INFORM, OPT_WANT, 1, OPT_SIP, OPT_SIZE, 2, BL_DHCP_PACKET >> 8, BL_DHCP_PACKET & 0xff,
                OPT_END};
        bl_sb_addc(out, 1); /* a request */
        bl_sb_addc(out, (char)ask->hw_type);
        bl_sb_addc(out, (char)ask->hw_len);
        bl_sb_addc(out, 0);
        add(out, ask->xid, sizeof ask->xid);
        add_zeros(out, 4);         /* secs, flags: the answer is unicast */
        add(out, ask->own.ip, 4);  /* ciaddr */
        add_zeros(out, 4 + 4 + 4); /* yiaddr, siaddr, giaddr */
        add(out, ask->hw, sizeof ask->hw);
        add_zeros(out, SNAME_N + FILE_N);
        add(out, cookie, COOKIE);
        add(out, options, sizeof options);
        while (!out->over && out->n - start < BOOTP_MIN)
                bl_sb_addc(out, OPT_PAD);
}

struct options4 { /* what an answer says, all its instances put together (RFC 3396) */
        uint8_t type, overload;
        bool over;
        size_t n;
        char sip[1024];
};

static int walk4(struct bl_str in, struct options4 *o)
{
        const uint8_t *p = octets(in);
        for (size_t i = 0; i < in.n && p[i] != OPT_END;) {
                if (p[i] == OPT_PAD) {
                        i++;
                        continue;
                }
                if (i + 2 > in.n || i + 2 + p[i + 1] > in.n)
                        return BL_EMALFORMED;
                size_t n = p[i + 1];
                if (p[i] == OPT_TYPE && n == 1)
                        o->type = p[i + 2];
                else if (p[i] == OPT_OVERLOAD && n == 1)
                        o->overload = p[i + 2];
                else if (p[i] == OPT_SIP && n > sizeof o->sip - o->n)
                        return BL_EMALFORMED;
                else if (p[i] == OPT_SIP) {
                        memcpy(o->sip + o->n, in.p + i + 2, n);
                        o->n += n;
                }
                i += 2 + n;
        }
        return 0;
}

int bl_dhcp_take_ack(struct bl_str packet, const struct bl_dhcp_ask *ask, struct bl_dhcp_sip *ret)
{
        struct options4 o = {0};
        struct bl_dhcp_sip list = {0};
        const uint8_t *p = octets(packet);
        if (packet.n < HEADER4 + COOKIE || memcmp(packet.p + HEADER4, cookie, COOKIE) != 0)
                return BL_EMALFORMED;
        if (p[0] != 2 || memcmp(p + 4, ask->xid, 4) != 0 || memcmp(p + 28, ask->hw, sizeof ask->hw) != 0)
                return BL_EPROTO;
        int rc = walk4(bl_str_from(packet, HEADER4 + COOKIE), &o);
        uint8_t overload = o.overload; /* RFC 2131 section 4.1: file first, then sname; neither overloads again */
        if (rc == 0 && (overload & 1))
                rc = walk4(bl_str_make(packet.p + FILE_AT, FILE_N), &o);
        if (rc == 0 && (overload & 2))
                rc = walk4(bl_str_make(packet.p + SNAME_AT, SNAME_N), &o);
        if (rc < 0)
                return rc;
        if (o.type != TYPE_ACK)
                return BL_EPROTO;
        if (o.n == 0)
                return BL_ENOENT;
        rc = bl_dhcp_sip4(bl_str_make(o.sip, o.n), &list);
        if (rc == 0)
                *ret = list;
        return rc;
}

/* ---- DHCPv6 (RFC 8415) ---- */

enum { MSG_REPLY = 7, MSG_INFORMATION_REQUEST = 11 };
enum { OPT6_CLIENT_ID = 1, OPT6_ORO = 6, OPT6_ELAPSED = 8, OPT6_STATUS = 13, OPT6_SIP_NAMES = 21, OPT6_SIP_ADDRS = 22 };
enum { DUID_LL = 3 };

static void add16(struct bl_sb *out, unsigned v)
{
        bl_sb_addc(out, (char)(v >> 8));
        bl_sb_addc(out, (char)(v & 0xff));
}

static void add_duid(const struct bl_dhcp_ask *ask, struct bl_sb *out) /* section 11.4 */
{
        add16(out, DUID_LL);
        add16(out, ask->hw_type);
        add(out, ask->hw, ask->hw_len <= sizeof ask->hw ? ask->hw_len : 0);
}

void bl_dhcp_put_inform6(const struct bl_dhcp_ask *ask, struct bl_sb *out)
{
        char duid[32];
        struct bl_sb d = BL_SB(duid);
        add_duid(ask, &d);
        bl_sb_addc(out, MSG_INFORMATION_REQUEST);
        add(out, ask->xid, 3);
        add16(out, OPT6_CLIENT_ID);
        add16(out, (unsigned)d.n);
        add(out, d.p, d.n);
        add16(out, OPT6_ORO);
        add16(out, 4);
        add16(out, OPT6_SIP_NAMES);
        add16(out, OPT6_SIP_ADDRS);
        add16(out, OPT6_ELAPSED);
        add16(out, 2);
        add16(out, 0);
}

static unsigned get16(struct bl_str s, size_t at)
{
        return (unsigned)octets(s)[at] << 8 | octets(s)[at + 1];
}

struct options6 {
        struct bl_str names, addrs, client;
        unsigned status;
};

static int walk6(struct bl_str in, struct options6 *o)
{
        for (size_t i = 0; i < in.n;) {
                if (i + 4 > in.n || i + 4 + get16(in, i + 2) > in.n)
                        return BL_EMALFORMED;
                struct bl_str value = bl_str_make(in.p + i + 4, get16(in, i + 2));
                switch (get16(in, i)) {
                case OPT6_CLIENT_ID:
                        o->client = value;
                        break;
                case OPT6_STATUS:
                        if (value.n >= 2)
                                o->status = get16(value, 0);
                        break;
                case OPT6_SIP_NAMES:
                        o->names = value;
                        break;
                case OPT6_SIP_ADDRS:
                        o->addrs = value;
                        break;
                default:
                        break;
                }
                i += 4 + value.n;
        }
        return 0;
}

int bl_dhcp_take_reply6(struct bl_str packet, const struct bl_dhcp_ask *ask, struct bl_dhcp_sip *ret)
{
        struct options6 o = {0};
        struct bl_dhcp_sip list = {0};
        char duid[32];
        struct bl_sb d = BL_SB(duid);
        if (packet.n < 4)
                return BL_EMALFORMED;
        if (octets(packet)[0] != MSG_REPLY || memcmp(packet.p + 1, ask->xid, 3) != 0)
                return BL_EPROTO;
        int rc = walk6(bl_str_from(packet, 4), &o);
        if (rc < 0)
                return rc;
        add_duid(ask, &d);
        if (o.client.n && !bl_str_eq(o.client, bl_sb_str(&d))) /* section 16.10 */
                return BL_EPROTO;
        if (o.status != 0)
                return BL_ENOENT;
        /* RFC 3319: names lead to what DNS says of today, so they come before addresses. */
        if (o.names.n)
                rc = bl_dhcp_sip6_names(o.names, &list);
        if (rc == 0 && o.addrs.n)
                rc = bl_dhcp_sip6_addrs(o.addrs, &list);
        if (rc < 0)
                return rc;
        if (list.n == 0)
                return BL_ENOENT;
        *ret = list;
        return 0;
}
