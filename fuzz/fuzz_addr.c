/* What is read as an address and written again is the same address; nothing else is a crash. */
#include "fuzz/fuzz.h"

FUZZ(in)
{
        struct bl_addr a, again;
        struct bl_net net;
        char text[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(text);
        MUST(bl_net_parse(in, &net) < 0 || bl_net_has(&net, &net.base));
        if (bl_addr_parse_port(in, 0, &a) < 0)
                return;
        bl_addr_put(&b, &a);
        MUST(!b.over && bl_addr_parse_port(bl_sb_str(&b), 0, &again) == 0 && bl_addr_eq(&a, &again));
}
