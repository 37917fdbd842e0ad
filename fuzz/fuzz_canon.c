/* Two URIs, a line each: the table's canonical texts are equal exactly when sip/uri.h says that the URIs are. */
#include "fuzz/fuzz.h"
#include "sticky/canon.h"

FUZZ(in)
{
        struct bl_str one, two;
        struct bl_uri u, v;
        struct canon a, b;
        (void)bl_str_cut(in, '\n', &one, &two);
        if (bl_uri_parse(one, &u) < 0 || bl_uri_parse(two, &v) < 0 || canon_make(&a, &u, 1) < 0 ||
            canon_make(&b, &v, 1) < 0)
                return;
        u.headers = v.headers = BL_STR("");
        bool same = bl_str_eq(canon_id(&a), canon_id(&b));
        MUST((same && bl_str_eq(canon_params(&a), canon_params(&b))) == bl_uri_exact(&u, &v, true));
        MUST((same && canon_agree(canon_params(&a), canon_params(&b))) == bl_uri_equivalent(&u, &v, true));
        MUST(!same || a.id_hash == b.id_hash);
}
