/* Two URIs, a line each: the table's canonical texts are equal exactly when sip/uri.h says that the URIs are. */
#include <stdlib.h>

#include "sticky/canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bl_str one, two;
        struct bl_uri u, v;
        struct canon a, b;

        (void)bl_str_cut(bl_str_make((const char *)data, size), '\n', &one, &two);
        if (bl_uri_parse(one, &u) < 0 || bl_uri_parse(two, &v) < 0 || canon_make(&a, &u, 1) < 0 ||
            canon_make(&b, &v, 1) < 0)
                return 0;
        u.headers = v.headers = BL_STR("");
        bool same = bl_str_eq(canon_id(&a), canon_id(&b));
        bool exact = same && bl_str_eq(canon_params(&a), canon_params(&b));
        bool equivalent = same && canon_agree(canon_params(&a), canon_params(&b));
        if (exact != bl_uri_exact(&u, &v, true) || equivalent != bl_uri_equivalent(&u, &v, true))
                abort();
        if (same && a.id_hash != b.id_hash)
                abort();
        return 0;
}
