#include "cli/parse_json.h"

#include <stdio.h>
#include <stdlib.h>

/* The length of the UTF-8 sequence at p (RFC 3629), 0 when there is none. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
        static const struct {
                unsigned char lead, mask, low, high; /* of the first octet; range of the second */
                size_t n;
        } forms[] = {
                {0x00, 0x80, 0, 0, 1},
                {0xc0, 0xe0, 0x80, 0xbf, 2},
                {0xe0, 0xf0, 0x80, 0xbf, 3},
                {0xf0, 0xf8, 0x80, 0xbf, 4},
        };

        for (size_t i = 0; i < BL_ARRAY_LEN(forms); i++) {
                if ((p[0] & forms[i].mask) != forms[i].lead || forms[i].n > left)
                        continue;
                for (size_t k = 1; k < forms[i].n; k++)
                        if ((p[k] & 0xc0) != 0x80)
                                return 0;
                /* overlong forms, surrogates, beyond U+10FFFF */
                if (p[0] == 0xc0 || p[0] == 0xc1 || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
                    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) || p[0] > 0xf4)
                        return 0;
                return forms[i].n;
        }
        return 0;
}

/* *ret_whole is false when octets had to be replaced. */
static json_t *text_lossy(struct bl_str s, bool *ret_whole)
{
        const unsigned char *p = (const unsigned char *)s.p;
        char *out = malloc(s.n * 3 + 1);
        size_t n = 0;
        json_t *json;

        *ret_whole = true;
        if (!out)
                return NULL;
        for (size_t i = 0; i < s.n;) {
                size_t k = utf8_length(p + i, s.n - i);

                memcpy(out + n, k ? s.p + i : "\xef\xbf\xbd", k ? k : 3);
                *ret_whole &= k > 0;
                n += k ? k : 3;
                i += k ? k : 1;
        }
        json = json_stringn(out, n);
        free(out);
        return json;
}

static json_t *text(struct bl_str s)
{
        bool whole;

        return text_lossy(s, &whole);
}

static json_t *base64(struct bl_str s)
{
        size_t cap = (s.n + 2) / 3 * 4;
        char *out = malloc(cap + 1);
        struct bl_sb sb = {out, 0, cap, false};
        json_t *json;

        if (!out)
                return NULL;
        bl_sb_b64(&sb, s.p, s.n);
        json = json_stringn(out, sb.n);
        free(out);
        return json;
}

/* `key`, and `key_base64` where the text alone does not say everything. */
static void set_text(json_t *to, const char *key, struct bl_str s)
{
        char second[64];
        bool whole;

        json_object_set_new(to, key, text_lossy(s, &whole));
        if (whole)
                return;
        snprintf(second, sizeof second, "%s_base64", key);
        json_object_set_new(to, second, base64(s));
}

/* {"name": value}; a parameter without a value is true, one given twice keeps its first value. */
static json_t *params(struct bl_str list)
{
        json_t *o = json_object();
        struct bl_param p;

        while (bl_params_next(&list, &p)) {
                json_t *name = text(p.name);

                if (name && !json_object_get(o, json_string_value(name)))
                        json_object_set_new(o, json_string_value(name), p.has_value ? text(p.value) : json_true());
                json_decref(name);
        }
        return o;
}

static void set_params(json_t *to, struct bl_str list)
{
        if (list.n)
                json_object_set_new(to, "params", params(list));
}

static json_t *uri_json(const struct bl_uri *u)
{
        json_t *o = json_object();
        char scheme[32];
        struct bl_sb sb = BL_SB(scheme);

        for (size_t i = 0; i < u->scheme_text.n && i < sizeof scheme; i++)
                bl_sb_addc(&sb, bl_lower(u->scheme_text.p[i]));
        json_object_set_new(o, "uri", text(u->all));
        json_object_set_new(o, "scheme", text(bl_sb_str(&sb)));
        if (u->has_user)
                json_object_set_new(o, "user", text(u->user));
        if (u->password.n)
                json_object_set_new(o, "password", text(u->password));
        if (u->host.n)
                json_object_set_new(o, "host", text(u->host));
        if (u->port)
                json_object_set_new(o, "port", json_integer(u->port));
        set_params(o, u->params);
        if (u->headers.n)
                json_object_set_new(o, "headers", text(bl_str_from(u->headers, 1)));
        return o;
}

static json_t *nameaddr_json(const struct bl_nameaddr *na)
{
        json_t *o;

        if (na->star)
                return json_string("*");
        o = json_object();
        if (na->display.n)
                set_text(o, "display", na->display);
        json_object_set_new(o, "uri", uri_json(&na->uri));
        set_params(o, na->params);
        return o;
}

static json_t *via_json(const struct bl_via *v)
{
        json_t *o = json_object();

        json_object_set_new(o, "transport", text(v->transport));
        json_object_set_new(o, "host", text(v->host));
        if (v->port)
                json_object_set_new(o, "port", json_integer(v->port));
        set_params(o, v->params);
        return o;
}

static json_t *vias(const struct bl_msg *m)
{
        json_t *a = json_array();
        struct bl_values it = {0};
        struct bl_via v;

        while (bl_msg_values(m, BL_H_VIA, &it))
                if (bl_via_parse(it.value, &v) == 0)
                        json_array_append_new(a, via_json(&v));
        return a;
}

static json_t *addresses(const struct bl_msg *m, enum bl_hid id)
{
        json_t *a = json_array();
        struct bl_values it = {0};
        struct bl_nameaddr na;

        while (bl_msg_values(m, id, &it))
                /* the parser checked those that it knows; of others the text is still something */
                json_array_append_new(a, bl_nameaddr_parse(it.value, &na) == 0 ? nameaddr_json(&na) : text(it.value));
        return a;
}

static json_t *tokens(const struct bl_msg *m, enum bl_hid id)
{
        json_t *a = json_array();
        struct bl_values it = {0};

        while (bl_msg_values(m, id, &it))
                json_array_append_new(a, text(it.value));
        return a;
}

static void set_address(json_t *to, const struct bl_msg *m, enum bl_hid id, const char *key)
{
        struct bl_nameaddr na;

        if (bl_msg_nameaddr(m, id, 0, &na) == 0)
                json_object_set_new(to, key, nameaddr_json(&na));
}

static const struct {
        uint8_t id;
        const char *key;
        json_t *(*make)(const struct bl_msg *m, enum bl_hid id);
} lists[] = {
        {BL_H_CONTACT, "contact", addresses},
        {BL_H_ROUTE, "route", addresses},
        {BL_H_RECORD_ROUTE, "record_route", addresses},
        {BL_H_PATH, "path", addresses},
        {BL_H_SERVICE_ROUTE, "service_route", addresses},
        {BL_H_OUTBOUND_PROXY, "outbound_proxy", addresses},
        {BL_H_ALTERNATIVE_PROXIES, "alternative_proxies", addresses},
        {BL_H_SUPPORTED, "supported", tokens},
        {BL_H_REQUIRE, "require", tokens},
        {BL_H_PROXY_REQUIRE, "proxy_require", tokens},
        {BL_H_ALLOW, "allow", tokens},
};

static void set_start_line(json_t *o, const struct bl_msg *m)
{
        struct bl_uri uri;

        json_object_set_new(o, "type", json_string(m->is_request ? "request" : "response"));
        if (m->is_request) {
                json_object_set_new(o, "method", text(m->method_name));
                if (bl_uri_parse(m->ruri, &uri) == 0)
                        json_object_set_new(o, "request_uri", uri_json(&uri));
        } else {
                json_object_set_new(o, "status", json_integer(m->status));
                set_text(o, "reason", m->reason);
        }
}

/* Every line as it came, in order: name and value as written, the offset of the name. */
static json_t *headers(const struct bl_msg *m, size_t base)
{
        json_t *a = json_array();

        for (unsigned i = 0; i < m->n; i++) {
                json_t *o = json_object();

                json_object_set_new(o, "name", text(bl_hdr_name(m, &m->h[i])));
                set_text(o, "value", bl_hdr_value(m, &m->h[i]));
                json_object_set_new(o, "offset", json_integer((json_int_t)(base + m->h[i].name)));
                json_array_append_new(a, o);
        }
        return a;
}

static json_t *body(const struct bl_msg *m)
{
        json_t *o = json_object(), *json;
        bool whole;

        json_object_set_new(o, "length", json_integer((json_int_t)m->body.n));
        if (bl_msg_has(m, BL_H_CONTENT_TYPE))
                json_object_set_new(o, "type", text(bl_msg_value(m, BL_H_CONTENT_TYPE)));
        json = text_lossy(m->body, &whole);
        if (m->body.n && whole)
                json_object_set(o, "text", json);
        else if (m->body.n)
                json_object_set_new(o, "base64", base64(m->body));
        json_decref(json);
        return o;
}

json_t *bl_parse_json_message(const struct bl_msg *m, size_t base)
{
        json_t *o = json_object();

        json_object_set_new(o, "verdict", json_string("accept"));
        set_start_line(o, m);
        json_object_set_new(o, "via", vias(m));
        set_address(o, m, BL_H_FROM, "from");
        set_address(o, m, BL_H_TO, "to");
        json_object_set_new(o, "call_id", text(m->call_id));
        json_object_set_new(
                o, "cseq",
                json_pack("{s:I, s:o}", "number", (json_int_t)m->cseq.number, "method", text(m->cseq.method_name)));
        if (m->max_forwards >= 0)
                json_object_set_new(o, "max_forwards", json_integer(m->max_forwards));
        for (size_t i = 0; i < BL_ARRAY_LEN(lists); i++)
                if (bl_msg_has(m, (enum bl_hid)lists[i].id))
                        json_object_set_new(o, lists[i].key, lists[i].make(m, (enum bl_hid)lists[i].id));
        json_object_set_new(o, "headers", headers(m, base));
        json_object_set_new(o, "body", body(m));
        return o;
}

json_t *bl_parse_json_refusal(const char *verdict, unsigned status, const char *reason, size_t offset)
{
        json_t *o = json_object();

        json_object_set_new(o, "verdict", json_string(verdict));
        json_object_set_new(o, "status", json_integer(status));
        json_object_set_new(o, "reason", json_string(reason));
        json_object_set_new(o, "offset", json_integer((json_int_t)offset));
        return o;
}
