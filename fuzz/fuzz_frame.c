/* However a stream is cut (the first octet says into pieces of how many octets), the same frames come out. */
#include <stdlib.h>

#include "base/hash.h"
#include "sip/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t run(struct bl_str in, size_t step)
{
        struct bl_frame_state st = {.wait_pair = true};
        uint64_t h = 0;
        for (size_t have = step < in.n ? step : in.n, at = 0; at < in.n;) {
                enum bl_frame_kind kind = 0;
                struct bl_str octets;
                int rc = bl_frame_next(&st, bl_str_make(in.p + at, have - at), 4096, &kind, &octets);
                if (rc == BL_EMORE && have == in.n)
                        return bl_hash_mix(h, at);
                if (rc == BL_EMORE || rc > 0)
                        h = rc > 0 ? bl_hash_mix(bl_hash_mix(h, kind), bl_hash(1, octets)) : h;
                else
                        return bl_hash_mix(h, (uint64_t)rc);
                at += rc > 0 ? (size_t)rc : 0;
                have = rc > 0 && have > at ? have : have + step < in.n ? have + step : in.n;
        }
        return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bl_str in = bl_str_make((const char *)data, size);
        if (size > 1 && run(bl_str_from(in, 1), size) != run(bl_str_from(in, 1), data[0] + 1u))
                abort();
        return 0;
}
