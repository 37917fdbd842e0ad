#include "sip/via.h"

#include "sip/scan.h"

/* token, then SLASH when `slash` */
static const char *protocol_part(const char *p, const char *end, bool slash, struct bl_str *ret)
{
        const char *q = bl_scan_run(p, end, C_TOKEN);

        if (q == p)
                return NULL;
        *ret = bl_str_make(p, (size_t)(q - p));
        if (!slash)
                return q;
        q = bl_scan_lws(q, end);
        return q < end && *q == '/' ? bl_scan_lws(q + 1, end) : NULL;
}

static int known_param(struct bl_via *via, const struct bl_param *param)
{
        struct bl_str name = param->name;
        uint32_t port;

        if (name.n == 6 && bl_str_ieq(name, BL_STR("branch"))) {
                via->branch = param->value;
        } else if (name.n == 8 && bl_str_ieq(name, BL_STR("received"))) {
                via->received = param->value;
        } else if (name.n == 5 && bl_str_ieq(name, BL_STR("maddr"))) {
                via->maddr = param->value;
        } else if (name.n == 5 && bl_str_ieq(name, BL_STR("rport"))) {
                via->has_rport = true;
                if (!param->has_value)
                        return 0;
                /* RFC 3581 section 4: a port number or nothing */
                if (bl_str_u32(param->value, &port) < 0 || port == 0 || port > 65535)
                        return BL_EMALFORMED;
                via->rport = (uint16_t)port;
        }
        return 0;
}

int bl_via_parse(struct bl_str in, struct bl_via *ret_via)
{
        static const char magic[] = {'z', '9', 'h', 'G', '4', 'b', 'K'};
        struct bl_via via = {.all = bl_str_trim(in)};
        const char *p = via.all.p, *end, *q;
        enum bl_host_kind kind;
        struct bl_param param;
        struct bl_str list, text;

        if (via.all.n == 0)
                return BL_EMALFORMED;
        end = p + via.all.n;
        p = protocol_part(p, end, true, &text);
        p = p ? protocol_part(p, end, true, &text) : NULL;
        p = p ? protocol_part(p, end, false, &via.transport) : NULL;
        q = p ? bl_scan_lws(p, end) : NULL;
        if (!q || q == p)
                return BL_EMALFORMED;
        p = bl_scan_host(q, end, &via.host, &kind);
        if (!p)
                return BL_EMALFORMED;
        via.sent_by = via.host;
        q = bl_scan_lws(p, end);
        if (q < end && *q == ':') {
                p = bl_scan_port(bl_scan_lws(q + 1, end), end, &via.port);
                if (!p || via.port == 0)
                        return BL_EMALFORMED;
                via.sent_by.n = (size_t)(p - via.sent_by.p);
        }
        q = bl_scan_lws(p, end);
        if (!bl_scan_params(p, end))
                return BL_EMALFORMED;
        via.params = list = bl_str_make(q, (size_t)(end - q));
        while (bl_params_next(&list, &param))
                if (known_param(&via, &param) < 0)
                        return BL_EMALFORMED;
        via.rfc3261 = via.branch.n > sizeof magic && memcmp(via.branch.p, magic, sizeof magic) == 0;
        *ret_via = via;
        return 0;
}

bool bl_via_param(const struct bl_via *v, struct bl_str name, struct bl_str *ret_value)
{
        struct bl_param param;

        if (!bl_params_get(v->params, name, &param))
                return false;
        if (ret_value)
                *ret_value = param.value;
        return true;
}

static void put_received(struct bl_sb *b, const struct bl_addr *source)
{
        char text[BL_ADDR_TEXT];
        struct bl_sb ip = BL_SB(text);
        struct bl_str s;

        bl_addr_put_ip(&ip, source);
        s = bl_sb_str(&ip);
        /* RFC 5118 section 4.5: an IPv6 address without brackets here */
        bl_sb_add(b, s.n && s.p[0] == '[' ? bl_str_make(s.p + 1, s.n - 2) : s);
}

void bl_via_put_source(struct bl_sb *b, const struct bl_via *v, const struct bl_addr *source)
{
        struct bl_str list = v->params;
        struct bl_param param;
        struct bl_addr sent_by;
        bool same = bl_addr_parse(v->host, &sent_by) == 0 && bl_addr_eq_ip(&sent_by, source);

        bl_sb_add(b, bl_str_make(v->all.p, (size_t)(v->params.p - v->all.p)));
        while (bl_params_next(&list, &param)) {
                bool rport = bl_str_ieq(param.name, BL_STR("rport"));

                /* whoever wrote them, only what we see counts */
                if (!rport && !bl_str_ieq(param.name, BL_STR("received")))
                        bl_sb_add(b, param.all);
        }
        /* RFC 3581 section 4: with rport also received, even where it says nothing new */
        if (!same || v->has_rport) {
                bl_sb_addz(b, ";received=");
                put_received(b, source);
        }
        if (v->has_rport) {
                bl_sb_addz(b, ";rport=");
                bl_sb_addu(b, source->port);
        }
}
