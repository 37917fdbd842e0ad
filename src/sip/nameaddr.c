#include "sip/nameaddr.h"

#include "sip/scan.h"

/* *( SEMI generic-param ), and white space behind; *stop where the last one ends. */
static const char *scan_params(const char *p, const char *end, struct bl_nameaddr *na, struct bl_str *tag,
                               const char **stop)
{
        struct bl_param param;
        int rc;

        na->params.p = NULL;
        while ((rc = bl_scan_param(&p, end, &param)) > 0) {
                if (!na->params.p)
                        na->params.p = param.all.p;
                if (tag && BL_SCAN_IS(param.name, "tag")) {
                        *tag = param.value;
                        tag = NULL;
                }
                *stop = p;
        }
        if (!na->params.p)
                na->params.p = *stop;
        na->params.n = (size_t)(*stop - na->params.p);
        return rc < 0 ? NULL : p;
}

/* The words of a display name without quotes, up to "<"; *stop behind the last one. */
static const char *scan_words(const char *p, const char *end, const char **stop)
{
        while (p < end && bl_is(*p, C_TOKEN)) {
                *stop = bl_scan_run(p, end, C_TOKEN);
                p = bl_scan_lws(*stop, end);
        }
        return p;
}

/* RFC 3261 section 20: without angle brackets no comma, question mark or semicolon belongs to the URI. */
static const char *scan_bare(const char *p, const char *end, struct bl_nameaddr *na)
{
        const char *q = p;
        int rc;

        while (q < end && bl_is(*q, C_URIC) && *q != ';' && *q != ',' && *q != '?')
                q++;
        return bl_uri_scan(p, q, &na->uri, &rc) == q ? q : NULL;
}

static const char *scan_angle(const char *p, const char *end, struct bl_nameaddr *na)
{
        int rc;

        p = bl_uri_scan(p + 1, end, &na->uri, &rc);
        na->angle = true;
        return p && p < end && *p == '>' ? p + 1 : NULL;
}

const char *bl_nameaddr_scan(const char *p, const char *end, struct bl_nameaddr *na, struct bl_str *tag)
{
        const char *start = p, *stop = p;

        if (p == end)
                return NULL;
        na->angle = na->star = false;
        if (*p == '*' && (p + 1 == end || !bl_is(p[1], C_TOKEN))) {
                memset(na, 0, sizeof *na);
                na->star = true;
                na->all = bl_str_make(p, 1);
                p = bl_scan_lws(p + 1, end);
                return p == end || *p == ',' ? p : NULL;
        }
        if (*p == '"') {
                stop = bl_scan_quoted(p, end);
                p = stop ? bl_scan_lws(stop, end) : end;
        } else if (*p != '<') {
                p = scan_words(p, end, &stop);
        }
        if (p < end && *p == '<') {
                na->display = bl_str_make(start, (size_t)(stop - start));
                p = scan_angle(p, end, na);
        } else {
                na->display = bl_str_make(start, 0);
                p = scan_bare(start, end, na);
        }
        if (!p)
                return NULL;
        stop = p;
        p = scan_params(p, end, na, tag, &stop);
        na->all = bl_str_make(start, (size_t)(stop - start));
        return p;
}

int bl_nameaddr_parse(struct bl_str in, struct bl_nameaddr *ret_na)
{
        struct bl_nameaddr na;

        in = bl_str_trim(in);
        if (in.n == 0 || bl_nameaddr_scan(in.p, in.p + in.n, &na, NULL) != in.p + in.n)
                return BL_EMALFORMED;
        *ret_na = na;
        return 0;
}

bool bl_nameaddr_param(const struct bl_nameaddr *na, struct bl_str name, struct bl_str *ret_value)
{
        struct bl_param param;

        if (!bl_params_get(na->params, name, &param))
                return false;
        if (ret_value)
                *ret_value = param.value;
        return true;
}

struct bl_str bl_nameaddr_tag(const struct bl_nameaddr *na)
{
        struct bl_str tag = {"", 0};

        (void)bl_nameaddr_param(na, BL_STR("tag"), &tag);
        return tag;
}
