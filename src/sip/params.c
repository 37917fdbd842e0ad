#include "sip/params.h"

#include "sip/scan.h"

/* Where an unquoted name or value ends; the text was checked before, so anything else belongs to it. */
static const char *bare_end(const char *p, const char *end, bool name)
{
        p = name ? bl_scan_few(p, end, C_TOKEN) : bl_scan_run(p, end, C_GEN); /* mostly that is all */
        while (p < end && *p != ';' && *p != ' ' && *p != '\t' && *p != '\r' && !(name && *p == '='))
                p++;
        return p;
}

bool bl_params_next(struct bl_str *list, struct bl_param *ret_param)
{
        const char *end, *p, *q, *v;
        struct bl_param out = {0};

        if (list->n == 0)
                return false;
        end = list->p + list->n;
        p = bl_scan_lws(list->p, end);
        if (p == end || *p != ';')
                return *list = bl_str_make(end, 0), false;
        out.all.p = p;
        p = bl_scan_lws(p + 1, end);
        q = bare_end(p, end, true);
        if (q == p)
                return *list = bl_str_make(end, 0), false;
        out.name = bl_str_make(p, (size_t)(q - p));
        v = bl_scan_lws(q, end);
        if (v < end && *v == '=') {
                v = bl_scan_lws(v + 1, end);
                q = v < end && *v == '"' ? bl_scan_quoted(v, end) : bare_end(v, end, false);
                if (!q)
                        return *list = bl_str_make(end, 0), false;
                out.has_value = true;
                out.value = bl_str_make(v, (size_t)(q - v));
        }
        out.all.n = (size_t)(q - out.all.p);
        *list = bl_str_make(q, (size_t)(end - q));
        *ret_param = out;
        return true;
}

bool bl_params_get(struct bl_str list, struct bl_str name, struct bl_param *ret_param)
{
        struct bl_param param;

        while (bl_params_next(&list, &param)) {
                if (param.name.n != name.n || !bl_str_ieq(param.name, name))
                        continue;
                *ret_param = param;
                return true;
        }
        return false;
}

void bl_params_unquote(struct bl_str s, struct bl_sb *out)
{
        if (s.n < 2 || s.p[0] != '"' || s.p[s.n - 1] != '"') {
                bl_sb_add(out, s);
                return;
        }
        if (!memchr(s.p, '\\', s.n)) { /* nearly always */
                bl_sb_add(out, bl_str_make(s.p + 1, s.n - 2));
                return;
        }
        for (size_t i = 1; i < s.n - 1; i++) {
                if (s.p[i] == '\\' && i + 1 < s.n - 1)
                        i++;
                bl_sb_addc(out, s.p[i]);
        }
}
