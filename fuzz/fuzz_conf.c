/* Any text as a configuration: read or refused with a message, nothing else. */
#include <stdlib.h>

#include "edge/conf.h"
#include "home/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct bl_conf_table *const tables[] = {&bl_edge_conf_table, &bl_home_conf_table};
        for (size_t i = 0; i < BL_ARRAY_LEN(tables); i++) {
                char text[4096];
                struct bl_sb err = BL_SB(text);
                struct bl_conf *c = NULL;
                int rc = bl_conf_load("x/y", bl_str_make((const char *)data, size), tables[i], &err, &c);
                if ((rc == 0) != (c != NULL) || (rc < 0) != (err.n > 0))
                        abort();
                bl_conf_unref(c);
        }
        return 0;
}
