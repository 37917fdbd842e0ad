/* Two URIs, cut at the first space: comparing them and hashing them agree, and what is written again is the same URI.
 */
#include <stdlib.h>

#include "sip/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bl_str s = bl_str_make((const char *)data, size), a, b;
        struct bl_uri u, v;
        (void)bl_str_cut(s, ' ', &a, &b);
        if (bl_uri_parse(a, &u) < 0 || bl_uri_parse(b, &v) < 0)
                return 0;
        bool exact = bl_uri_exact(&u, &v, true), equivalent = bl_uri_equivalent(&u, &v, true);
        if (!bl_uri_exact(&u, &u, false) || !bl_uri_equivalent(&v, &v, false) || (exact && !equivalent) ||
            exact != bl_uri_exact(&v, &u, true) || equivalent != bl_uri_equivalent(&v, &u, true) ||
            (equivalent && bl_uri_hash(1, &u) != bl_uri_hash(1, &v)))
                abort();
        return 0;
}
