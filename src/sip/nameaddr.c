#include "sip/nameaddr.h"

#include "sip/scan.h"

/* display-name: a quoted string, or tokens with white space between; `p` at its start. Returns where "<" is due. */
static const char *scan_display(const char *p, const char *end, struct bl_str *ret_display)
{
        const char *start = p, *stop = p;

        if (*p == '"') {
                stop = bl_scan_quoted(p, end);
                if (!stop)
                        return NULL;
                p = bl_scan_lws(stop, end);
        } else {
                while (p < end && bl_is(*p, C_TOKEN)) {
                        stop = bl_scan_run(p, end, C_TOKEN);
                        p = bl_scan_lws(stop, end);
                }
        }
        *ret_display = bl_str_make(start, (size_t)(stop - start));
        return p < end && *p == '<' ? p : NULL;
}

static int parse_angle(const char *p, const char *end, struct bl_nameaddr *na)
{
        const char *close = memchr(p, '>', (size_t)(end - p)), *q;

        if (!close)
                return BL_EMALFORMED;
        if (bl_uri_parse(bl_str_make(p + 1, (size_t)(close - p - 1)), &na->uri) < 0)
                return BL_EMALFORMED;
        na->angle = true;
        q = bl_scan_lws(close + 1, end);
        if (!bl_scan_params(q, end))
                return BL_EMALFORMED;
        na->params = bl_str_make(q, (size_t)(end - q));
        return 0;
}

/* RFC 3261 section 20: without angle brackets no comma, question mark or semicolon belongs to the URI. */
static int parse_bare(const char *p, const char *end, struct bl_nameaddr *na)
{
        const char *q = p, *params;

        while (q < end && bl_is(*q, C_URIC) && *q != ';' && *q != ',' && *q != '?')
                q++;
        if (bl_uri_parse(bl_str_make(p, (size_t)(q - p)), &na->uri) < 0)
                return BL_EMALFORMED;
        params = bl_scan_lws(q, end);
        if (!bl_scan_params(q, end))
                return BL_EMALFORMED;
        na->params = bl_str_make(params, (size_t)(end - params));
        return 0;
}

int bl_nameaddr_parse(struct bl_str in, struct bl_nameaddr *ret_na)
{
        struct bl_nameaddr na = {.all = bl_str_trim(in)};
        const char *p = na.all.p, *end, *q;

        if (na.all.n == 0)
                return BL_EMALFORMED;
        end = p + na.all.n;
        if (na.all.n == 1 && *p == '*') {
                na.star = true;
                *ret_na = na;
                return 0;
        }
        q = *p == '<' ? p : scan_display(p, end, &na.display);
        if (!q)
                na.display = bl_str_make(p, 0);
        if ((q ? parse_angle(q, end, &na) : parse_bare(p, end, &na)) < 0)
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
