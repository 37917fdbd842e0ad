/* Lease files of those who look after the host's network. */
#include "base/dhcp.h"

/* A name or an address as text: "edge.example.com.", "192.0.2.1", "2001:db8::1". */
static void take_text(struct bl_str s, struct bl_dhcp_sip *list)
{
        struct bl_dhcp_server one = {0};
        if (list->n < BL_DHCP_SERVERS && (bl_addr_parse(s, &one.addr) == 0 || bl_dhcp_set_name(s, &one) == 0))
                list->at[list->n++] = one;
}

/* ---- systemd-networkd ---- */

int bl_dhcp_lease_networkd(struct bl_str text, struct bl_dhcp_sip *ret)
{
        struct bl_dhcp_sip list = {0};
        struct bl_str line, value, word;
        while (text.n) {
                (void)bl_str_cut(text, '\n', &line, &text);
                line = bl_str_trim(line);
                if (!bl_str_starts(line, BL_STR("SIP=")))
                        continue;
                value = bl_str_from(line, 4);
                while (value.n) {
                        (void)bl_str_cut(value, ' ', &word, &value);
                        take_text(word, &list);
                }
        }
        if (list.n == 0)
                return BL_ENOENT;
        *ret = list;
        return 0;
}

/* ---- dhclient ---- */

struct lease {
        bool ours;        /* its interface is the one asked for */
        int64_t until;    /* 0: for ever */
        int64_t starts;   /* DHCPv6: of the address … */
        int64_t max_life; /* … and for how long */
        struct bl_dhcp_sip names, addrs;
};

/* A statement up to ';', '{' or '}', which is *ret_end; texts in quotes may hold them. 0 at the end. */
static bool next_statement(struct bl_str *text, struct bl_str *ret, char *ret_end)
{
        bool quoted = false;
        for (size_t i = 0; i < text->n; i++) {
                char c = text->p[i];
                if (quoted && c == '\\' && i + 1 < text->n)
                        i++;
                else if (c == '"')
                        quoted = !quoted;
                else if (!quoted && (c == ';' || c == '{' || c == '}')) {
                        *ret = bl_str_trim(bl_str_make(text->p, i));
                        *ret_end = c;
                        *text = bl_str_from(*text, i + 1);
                        return true;
                }
        }
        return false; /* what has no end is being written */
}

static struct bl_str unquoted(struct bl_str s)
{
        s = bl_str_trim(s);
        if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
                return bl_str_make(s.p + 1, s.n - 2);
        return s;
}

/* Octets as dhclient writes a string that is not printable: 0:4:65:64, in hexadecimal without leading zeros. */
static int take_octets(struct bl_str s, char *out, size_t cap)
{
        size_t n = 0;
        while (s.n) {
                struct bl_str word;
                unsigned v = 0;
                (void)bl_str_cut(s, ':', &word, &s);
                if (word.n == 0 || word.n > 2 || n == cap)
                        return BL_EMALFORMED;
                for (size_t i = 0; i < word.n; i++) {
                        char c = bl_lower(word.p[i]);
                        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                                return BL_EMALFORMED;
                        v = v << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
                }
                out[n++] = (char)v;
        }
        return (int)n;
}

static void take_list(struct bl_str value, struct bl_dhcp_sip *list)
{
        struct bl_str word;
        while (value.n) {
                (void)bl_str_cut(value, ',', &word, &value);
                take_text(unquoted(word), list);
        }
}

static void take_option(struct bl_str name, struct bl_str value, struct lease *l)
{
        char raw[1024];
        int n;
        if (bl_str_eq(name, BL_STR("dhcp6.sip-servers-names")))
                take_list(value, &l->names);
        else if (bl_str_eq(name, BL_STR("dhcp6.sip-servers-addresses")))
                take_list(value, &l->addrs);
        else if ((bl_str_eq(name, BL_STR("unknown-120")) || bl_str_starts(name, BL_STR("sip"))) &&
                 (n = take_octets(value, raw, sizeof raw)) > 0)
                (void)bl_dhcp_sip4(bl_str_make(raw, (size_t)n), &l->names);
}

static int64_t days_to(int64_t y, unsigned m, unsigned d) /* since 1970-01-01, Gregorian */
{
        y -= m <= 2;
        int64_t era = y / 400;
        unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
        return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

/* "0 2026/11/22 20:31:08" (a weekday first, in UTC), "epoch 1795375875; # …" or "never". 0: never, or not understood:
 * then the lease is taken as it stands. */
static int64_t take_time(struct bl_str s)
{
        uint32_t n[6];
        struct bl_str first, part;
        uint64_t epoch;
        static const char stops[] = "// ::";
        (void)bl_str_cut(s, ' ', &first, &s);
        s = bl_str_trim(s);
        if (bl_str_eq(first, BL_STR("epoch")))
                return bl_str_u64(s, &epoch) == 0 && epoch < INT64_MAX ? (int64_t)epoch : 0;
        for (unsigned i = 0; i < 6; i++) {
                if (i < 5 ? !bl_str_cut(s, stops[i], &part, &s) : (part = s, false))
                        return 0;
                if (i < 5 && part.n == 0)
                        return 0;
                if (bl_str_u32(part, &n[i]) < 0)
                        return 0;
        }
        if (n[0] < 1970 || n[0] > 9999 || n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 23 || n[4] > 59 ||
            n[5] > 60)
                return 0;
        return days_to(n[0], n[1], n[2]) * 86400 + (int64_t)n[3] * 3600 + (int64_t)n[4] * 60 + n[5];
}

static void take_statement(struct bl_str s, struct bl_str interface, struct lease *l)
{
        struct bl_str word, rest;
        uint32_t n;
        (void)bl_str_cut(s, ' ', &word, &rest);
        rest = bl_str_trim(rest);
        if (bl_str_eq(word, BL_STR("interface")))
                l->ours = bl_str_eq(unquoted(rest), interface);
        else if (bl_str_eq(word, BL_STR("expire")))
                l->until = take_time(rest);
        else if (bl_str_eq(word, BL_STR("starts")) && bl_str_u32(rest, &n) == 0)
                l->starts = n;
        else if (bl_str_eq(word, BL_STR("max-life")) && bl_str_u32(rest, &n) == 0)
                l->max_life = n;
        else if (bl_str_eq(word, BL_STR("option"))) {
                (void)bl_str_cut(rest, ' ', &word, &rest);
                take_option(word, bl_str_trim(rest), l);
        }
}

/* The later lease stands for the earlier ones, also when it says less. */
static void lease_end(const struct lease *l, int64_t wall, struct bl_dhcp_sip *out)
{
        int64_t until = l->until ? l->until : l->max_life ? l->starts + l->max_life : 0;
        if (!l->ours)
                return;
        *out = (struct bl_dhcp_sip){0};
        if (until && until <= wall)
                return;
        *out = l->names;
        for (unsigned i = 0; i < l->addrs.n && out->n < BL_DHCP_SERVERS; i++)
                out->at[out->n++] = l->addrs.at[i];
}

int bl_dhcp_lease_dhclient(struct bl_str text, struct bl_str interface, int64_t wall, struct bl_dhcp_sip *ret)
{
        struct bl_dhcp_sip list = {0};
        struct lease l;
        struct bl_str s;
        unsigned depth = 0;
        char end;
        while (next_statement(&text, &s, &end)) {
                if (end == '{') {
                        if (depth++ == 0)
                                memset(&l, 0, sizeof l);
                        continue;
                }
                if (depth && s.n)
                        take_statement(s, interface, &l);
                if (end == '}' && depth && --depth == 0)
                        lease_end(&l, wall, &list);
        }
        if (list.n == 0)
                return BL_ENOENT;
        *ret = list;
        return 0;
}
