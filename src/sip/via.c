#include "sip/via.h"

#include "sip/scan.h"

/* token, then SLASH when `slash` */
static const char *protocol_part(const char *p, const char *end, bool slash, struct bl_str *ret)
{
        const char *q = bl_scan_few(p, end, C_TOKEN);

        if (q == p)
                return NULL;
        *ret = bl_str_make(p, (size_t)(q - p));
        if (!slash)
                return q;
        q = bl_scan_lws(q, end);
        return q < end && *q == '/' ? bl_scan_lws(q + 1, end) : NULL;
}

static void note_param(struct bl_via *via, struct bl_str *seen, const struct bl_param *param)
{
        via->repeated |= seen->n != 0;
        *seen = param->all;
}

int bl_via_known_param(struct bl_via *via, const struct bl_param *param)
{
        uint32_t port;

        if (BL_SCAN_IS(param->name, "branch")) {
                via->branch = param->value;
        } else if (BL_SCAN_IS(param->name, "received")) {
                via->received = param->value;
                note_param(via, &via->received_param, param);
        } else if (BL_SCAN_IS(param->name, "maddr")) {
                via->maddr = param->value;
        } else if (BL_SCAN_IS(param->name, "sticky")) {
                via->sticky = true;
        } else if (BL_SCAN_IS(param->name, "rport")) {
                via->has_rport = true;
                note_param(via, &via->rport_param, param);
                if (!param->has_value)
                        return 0;
                /* RFC 3581 section 4: a port number or nothing */
                if (bl_str_u32(param->value, &port) < 0 || port == 0 || port > 65535)
                        return BL_EMALFORMED;
                via->rport = (uint16_t)port;
        }
        return 0;
}

/* sent-protocol LWS, RFC 3261 25.1; returns where sent-by starts. */
static const char *scan_protocol(const char *p, const char *end, struct bl_via *v)
{
        struct bl_str text;
        const char *q;

        if (end - p > 8 && memcmp(p, "SIP/2.0/", 8) == 0 && bl_is(p[8], C_TOKEN)) {
                p += 8;
        } else {
                p = protocol_part(p, end, true, &text);
                p = p ? protocol_part(p, end, true, &text) : NULL;
        }
        p = p ? protocol_part(p, end, false, &v->transport) : NULL;
        q = p ? bl_scan_lws(p, end) : NULL;
        return q == p ? NULL : q;
}

/* sent-by: host [ COLON port ] */
static const char *scan_sent_by(const char *p, const char *end, struct bl_via *v)
{
        enum bl_host_kind kind;
        const char *q;

        p = bl_scan_host(p, end, &v->host, &kind);
        if (!p)
                return NULL;
        v->sent_by = v->host;
        q = bl_scan_lws(p, end);
        if (q == end || *q != ':')
                return p;
        p = bl_scan_port(bl_scan_lws(q + 1, end), end, &v->port);
        if (!p || v->port == 0)
                return NULL;
        v->sent_by.n = (size_t)(p - v->sent_by.p);
        return p;
}

const char *bl_via_scan(const char *p, const char *end, struct bl_via *v)
{
        const char *start = p, *stop;
        struct bl_param param;
        int rc;

        bl_via_clear(v);
        p = scan_protocol(p, end, v);
        p = p ? scan_sent_by(p, end, v) : NULL;
        if (!p)
                return NULL;
        stop = v->params.p = p;
        while ((rc = bl_scan_param(&p, end, &param)) > 0) {
                if (bl_via_known_param(v, &param) < 0)
                        return NULL;
                if (v->params.p == stop)
                        v->params.p = param.all.p;
                stop = p;
        }
        if (rc < 0)
                return NULL;
        v->params.n = (size_t)(stop - v->params.p);
        v->all = bl_str_make(start, (size_t)(stop - start));
        v->rfc3261 = bl_via_has_cookie(v->branch);
        return p;
}

bool bl_via_scan_start(const char *p, const char *end, struct bl_via *v)
{
        const char *start = p;

        *v = (struct bl_via){0};
        p = scan_protocol(p, end, v);
        p = p ? scan_sent_by(p, end, v) : NULL;
        if (!p) {
                *v = (struct bl_via){0};
                return false;
        }
        v->branch = v->received = v->maddr = bl_str_make("", 0);
        v->params = bl_str_make(p, 0);
        v->all = bl_str_make(start, (size_t)(p - start));
        return true;
}

int bl_via_parse(struct bl_str in, struct bl_via *ret_via)
{
        struct bl_via via;

        in = bl_str_trim(in);
        if (in.n == 0 || bl_via_scan(in.p, in.p + in.n, &via) != in.p + in.n)
                return BL_EMALFORMED;
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

static struct bl_str ip_text(struct bl_sb *text, const struct bl_addr *source)
{
        bl_addr_put_ip(text, source);
        return bl_sb_str(text);
}

bool bl_via_is_from(const struct bl_via *v, const struct bl_addr *source)
{
        char text[BL_ADDR_TEXT];
        struct bl_sb ip = BL_SB(text);
        struct bl_addr sent_by;

        if (bl_str_eq(v->host, ip_text(&ip, source)))
                return true;
        return bl_addr_parse(v->host, &sent_by) == 0 && bl_addr_eq_ip(&sent_by, source);
}

/* The value without rport and received: whoever wrote them, only what we see counts. */
static void put_others(struct bl_sb *b, const struct bl_via *v)
{
        struct bl_str list = v->params;
        struct bl_param param;
        struct bl_str first = v->rport_param, second = v->received_param;
        const char *at = v->all.p;

        if (!v->repeated) {
                if (first.n && second.n && first.p > second.p) {
                        first = v->received_param;
                        second = v->rport_param;
                }
                if (first.n) {
                        bl_sb_add(b, bl_str_make(at, (size_t)(first.p - at)));
                        at = first.p + first.n;
                }
                if (second.n) {
                        bl_sb_add(b, bl_str_make(at, (size_t)(second.p - at)));
                        at = second.p + second.n;
                }
                bl_sb_add(b, bl_str_make(at, (size_t)(v->all.p + v->all.n - at)));
                return;
        }
        bl_sb_add(b, bl_str_make(at, (size_t)(v->params.p - at)));
        while (bl_params_next(&list, &param))
                if (!bl_str_ieq(param.name, BL_STR("rport")) && !bl_str_ieq(param.name, BL_STR("received")))
                        bl_sb_add(b, param.all);
}

void bl_via_put_source(struct bl_sb *b, const struct bl_via *v, const struct bl_addr *source)
{
        char text[BL_ADDR_TEXT];
        struct bl_sb ip = BL_SB(text);
        struct bl_str s;

        put_others(b, v);
        /* RFC 3581 section 4: with rport also received, even where it says nothing new */
        if (v->has_rport || !bl_via_is_from(v, source)) {
                s = ip_text(&ip, source);
                bl_sb_addz(b, ";received=");
                /* RFC 5118 section 4.5: an IPv6 address without brackets here */
                bl_sb_add(b, s.n && s.p[0] == '[' ? bl_str_make(s.p + 1, s.n - 2) : s);
        }
        if (v->has_rport) {
                bl_sb_addz(b, ";rport=");
                bl_sb_addu(b, source->port);
        }
}
