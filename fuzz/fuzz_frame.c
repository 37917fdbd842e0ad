/* However a stream is cut (the first octet says into pieces of how many octets), the same frames come out. */
#include "fuzz/fuzz.h"
#include "sip/frame.h"

FUZZ(in)
{
        struct bl_frame_state whole = {.wait_pair = true}, cut = whole;
        enum bl_frame_kind kind = 0, cut_kind = 0;
        struct bl_str octets, cut_octets, left = bl_str_from(in, in.n > 0);
        for (int rc = 1; rc > 0 && left.n; left = bl_str_from(left, rc > 0 ? (size_t)rc : 0)) {
                int now = BL_EMORE;
                rc = bl_frame_next(&whole, left, 4096, &kind, &octets);
                for (size_t have = 0; now == BL_EMORE && have < left.n;) {
                        have += left.n - have > (uint8_t)in.p[0] ? (uint8_t)in.p[0] + 1u : left.n - have;
                        now = bl_frame_next(&cut, bl_str_make(left.p, have), 4096, &cut_kind, &cut_octets);
                }
                MUST(now == rc && (rc < 0 || (kind == cut_kind && bl_str_eq(octets, cut_octets))));
        }
}
