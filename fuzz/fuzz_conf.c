/* Any text as a configuration: read or refused with a message, nothing else. */
#include "edge/conf.h"
#include "fuzz/fuzz.h"
#include "home/conf.h"

FUZZ(in)
{
        static const struct bl_conf_table *const tables[] = {&bl_edge_conf_table, &bl_home_conf_table};
        for (size_t i = 0; i < BL_ARRAY_LEN(tables); i++) {
                char text[4096];
                struct bl_sb err = BL_SB(text);
                struct bl_conf *c = NULL;
                int rc = bl_conf_load("x/y", in, tables[i], &err, &c);
                MUST((rc == 0) == (c != NULL) && (rc < 0) == (err.n > 0));
                bl_conf_unref(c);
        }
}
