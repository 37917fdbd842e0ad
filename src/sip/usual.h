/*
 * The usual forms of what a proxy reads in every message, taken by their marks (runs.h) instead of octet by octet:
 *
 *   Via           SIP/2.0/UDP host:port;branch=…;rport
 *   From, Route…  Name <sip:user@host:port;lr>;tag=…      quotes around the name too
 *
 * Each takes a part of what its namesake in scan.h takes, in the same way (tests/unit/sip/test_usual.c holds them
 * against each other), and returns NULL for everything else, right or wrong: then the namesake has the word. p and end
 * lie in one header's value. Private to sip/. Any thread.
 */
#pragma once
#include "sip/runs.h"
#include "sip/scan.h"

/* A run of `class`, which holds what is ordinary. */
static inline const char *bl_usual_run(struct bl_runs r, const char *p, unsigned class)
{
        p = bl_run_end(r, p);
        while (bl_is(*p, class))
                p = bl_run_end(r, p + 1);
        return p;
}

/* p at the opening quote; returns past the closing one. Nothing escaped, no folds. */
static inline const char *bl_usual_quoted(struct bl_runs r, const char *p)
{
        for (;;) {
                p = bl_run_end(r, p + 1);
                if (*p == '"')
                        return p + 1;
                if ((unsigned char)*p < ' ' || *p == '\\' || *p == 0x7f)
                        return NULL;
        }
}

/* p at the ";" of `name` or `name=value`, no white space within. */
static inline const char *bl_usual_param(struct bl_runs r, const char *p, struct bl_param *ret_param)
{
        const char *name = p + 1, *q = bl_usual_run(r, name, C_TOKEN), *v;

        if (q == name)
                return NULL;
        ret_param->name = bl_str_make(name, (size_t)(q - name));
        ret_param->has_value = *q == '=';
        ret_param->all = bl_str_make(p, (size_t)(q - p));
        if (!ret_param->has_value) {
                ret_param->value = bl_str_make(q, 0);
                return q;
        }
        v = q + 1;
        q = *v == '"' ? bl_usual_quoted(r, v) : bl_usual_run(r, v, C_GEN);
        if (!q || q == v)
                return NULL;
        ret_param->value = bl_str_make(v, (size_t)(q - v));
        ret_param->all.n = (size_t)(q - p);
        return q;
}

/* [p, q) as four numbers of one to three digits each, none over 255. */
static inline bool bl_usual_is_v4(const char *p, const char *q, uint64_t dots)
{
        for (unsigned group = 0; group < 4; group++) {
                unsigned n = group < 3 ? (unsigned)__builtin_ctzll(dots | (uint64_t)1 << 63) : (unsigned)(q - p);
                unsigned v = 0;

                if (n - 1 > 2)
                        return false;
                for (unsigned i = 0; i < n; i++) {
                        unsigned digit = (unsigned)p[i] - '0';

                        if (digit > 9)
                                return false;
                        v = v * 10 + digit;
                }
                if (v > 255)
                        return false;
                p += n + 1;
                dots >>= n + 1;
        }
        return p == q + 1;
}

/* [p, q), a run: a name, or an IPv4 address. */
static inline bool bl_usual_host(struct bl_runs r, const char *p, const char *q, struct bl_str *ret_host,
                                 enum bl_host_kind *ret_kind)
{
        size_t n = (size_t)(q - p);
        uint64_t dots;

        if (n - 1 > 61 || *p == '-' || *p == '.')
                return false;
        dots = bl_run_dots(r, p, n);
        if (dots & dots >> 1)
                return false;
        *ret_host = bl_str_make(p, n);
        *ret_kind = BL_HOST_NAME;
        if ((unsigned char)(*p - '0') > 9)
                return true;
        *ret_kind = BL_HOST_V4;
        return bl_usual_is_v4(p, q, dots);
}

/* p behind the ":" */
static inline const char *bl_usual_port(struct bl_runs r, const char *p, uint16_t *ret_port)
{
        const char *q = bl_run_end(r, p);
        unsigned v = 0;

        if (q - p < 1 || q - p > 5)
                return NULL;
        for (; p < q; p++) {
                unsigned digit = (unsigned)*p - '0';

                if (digit > 9)
                        return NULL;
                v = v * 10 + digit;
        }
        *ret_port = (uint16_t)v;
        return v - 1 < 65535 ? q : NULL;
}

/* *( ";" pname [ "=" pvalue ] ), nothing escaped */
static inline const char *bl_usual_uri_params(struct bl_runs r, const char *p)
{
        for (unsigned n = 0; *p == ';'; n++) {
                const char *q = bl_usual_run(r, p + 1, C_PARAM);

                if (q == p + 1 || n == 8)
                        return NULL;
                if (*q == '=') {
                        p = q + 1;
                        q = bl_usual_run(r, p, C_PARAM);
                        if (q == p)
                                return NULL;
                }
                p = q;
        }
        return p;
}

/* sip:[user@]host[:port]*(;param); stops where that ends. */
static inline __attribute__((always_inline)) const char *bl_usual_uri(struct bl_runs r, const char *p, const char *end,
                                                                      struct bl_uri *u)
{
        const struct bl_str none = {0};
        const char *start = p, *q, *at;

        if (end - p < 5 || memcmp(p, "sip:", 4) != 0)
                return NULL;
        u->scheme_text = bl_str_make(p, 3);
        u->scheme = BL_SCHEME_SIP;
        p += 4;
        at = q = bl_run_end(r, p);
        /* ";", "?" and "/" too may stand in a user part, but then the namesake reads it */
        while (*at == '+' || *at == '=' || *at == '&' || *at == '~' || *at == '!' || *at == '*' || *at == '$')
                at = bl_run_end(r, at + 1);
        u->has_user = *at == '@';
        u->user = u->password = u->opaque = none;
        if (u->has_user) {
                if (at == p)
                        return NULL;
                u->user = bl_str_make(p, (size_t)(at - p));
                p = at + 1;
                q = bl_run_end(r, p);
        }
        if (!bl_usual_host(r, p, q, &u->host, &u->host_kind))
                return NULL;
        u->port = 0;
        if (*q == ':' && !(q = bl_usual_port(r, q + 1, &u->port)))
                return NULL;
        p = q;
        q = bl_usual_uri_params(r, p);
        if (!q || *q == '?' || *q == '@' || *q == '%')
                return NULL;
        u->params = bl_str_make(p, (size_t)(q - p));
        u->headers = bl_str_make(q, 0);
        u->all = bl_str_make(start, (size_t)(q - start));
        return q;
}

/* The words or the quoted string before a "<", which has to follow; *ret_stop behind the last one. */
static inline const char *bl_usual_display(struct bl_runs r, const char *p, const char **ret_stop)
{
        if (*p == '"') {
                p = bl_usual_quoted(r, p);
                if (!p)
                        return NULL;
                *ret_stop = p;
                return *p == ' ' ? p + 1 : p;
        }
        do {
                const char *q = bl_usual_run(r, p, C_TOKEN);

                if (q == p)
                        return NULL;
                *ret_stop = q;
                p = *q == ' ' ? q + 1 : q;
        } while (*p != '<');
        return p;
}

/* [name] <uri>*(;param), then the end or a comma. */
static inline __attribute__((always_inline)) const char *
bl_usual_nameaddr(struct bl_runs r, const char *p, const char *end, struct bl_nameaddr *na, struct bl_str *tag)
{
        const char *start = p, *stop = p;

        if (*p != '<' && (*p == '"' || bl_is(*p, C_TOKEN)))
                p = bl_usual_display(r, p, &stop);
        if (!p || *p != '<')
                return NULL;
        na->display = bl_str_make(start, (size_t)(stop - start));
        p = bl_usual_uri(r, p + 1, end, &na->uri);
        if (!p || *p != '>')
                return NULL;
        p++;
        na->params.p = p;
        while (*p == ';') {
                struct bl_param param;

                p = bl_usual_param(r, p, &param);
                if (!p)
                        return NULL;
                if (tag && BL_SCAN_IS(param.name, "tag")) {
                        *tag = param.value;
                        tag = NULL;
                }
        }
        if (p != end && *p != ',')
                return NULL;
        na->params.n = (size_t)(p - na->params.p);
        na->all = bl_str_make(start, (size_t)(p - start));
        na->angle = true;
        na->star = false;
        return p;
}

/* Nearly always one of two. */
static inline bool bl_usual_via_param(const struct bl_param *param, struct bl_via *v)
{
        if (param->name.n == 6 && memcmp(param->name.p, "branch", 6) == 0) {
                v->branch = param->value;
                return true;
        }
        if (param->name.n == 5 && memcmp(param->name.p, "rport", 5) == 0 && !param->has_value && !v->has_rport) {
                v->has_rport = true;
                v->rport_param = param->all;
                return true;
        }
        return bl_via_known_param(v, param) == 0;
}

/* SIP/2.0/transport host[:port]*(;param), then the end or a comma. */
static inline const char *bl_usual_via(struct bl_runs r, const char *p, const char *end, struct bl_via *v)
{
        const char *start = p, *q;
        enum bl_host_kind kind;

        if (end - p < 10 || memcmp(p, "SIP/2.0/", 8) != 0)
                return NULL;
        p += 8;
        q = bl_run_end(r, p);
        if (q == p || *q != ' ')
                return NULL;
        v->transport = bl_str_make(p, (size_t)(q - p));
        p = q + 1;
        q = bl_run_end(r, p);
        if (!bl_usual_host(r, p, q, &v->host, &kind))
                return NULL;
        bl_via_clear(v);
        if (*q == ':' && !(q = bl_usual_port(r, q + 1, &v->port)))
                return NULL;
        v->sent_by = bl_str_make(p, (size_t)(q - p));
        v->params.p = p = q;
        while (*p == ';') {
                struct bl_param param;

                p = bl_usual_param(r, p, &param);
                if (!p || !bl_usual_via_param(&param, v))
                        return NULL;
        }
        if (p != end && *p != ',')
                return NULL;
        v->params.n = (size_t)(p - v->params.p);
        v->all = bl_str_make(start, (size_t)(p - start));
        v->rfc3261 = bl_via_has_cookie(v->branch);
        return p;
}
