/* Two URIs, cut at the first space: comparing them and hashing them agree, whichever comes first. */
#include "fuzz/fuzz.h"

FUZZ(in)
{
        struct bl_str a, b;
        struct bl_uri u, v;
        (void)bl_str_cut(in, ' ', &a, &b);
        if (bl_uri_parse(a, &u) < 0 || bl_uri_parse(b, &v) < 0)
                return;
        bool exact = bl_uri_exact(&u, &v, true), equivalent = bl_uri_equivalent(&u, &v, true);
        MUST(bl_uri_exact(&u, &u, false) && bl_uri_equivalent(&v, &v, false) && (!exact || equivalent));
        MUST(exact == bl_uri_exact(&v, &u, true) && equivalent == bl_uri_equivalent(&v, &u, true));
        MUST(!equivalent || bl_uri_hash(1, &u) == bl_uri_hash(1, &v));
}
