/* What is read as an address and written again is the same address; nothing else is a crash. */
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bl_str s = bl_str_make((const char *)data, size);
        struct bl_addr a, again;
        struct bl_net net;
        char text[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(text);
        if (bl_net_parse(s, &net) == 0 && !bl_net_has(&net, &net.base))
                abort();
        if (bl_addr_parse_port(s, 0, &a) < 0)
                return 0;
        bl_addr_put(&b, &a);
        if (b.over || bl_addr_parse_port(bl_sb_str(&b), 0, &again) < 0 || !bl_addr_eq(&a, &again))
                abort();
        return 0;
}
