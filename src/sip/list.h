/* The elements of a list header as they stand, empty ones included (the parser refuses them, bl_msg_values skips them).
 * Private to sip/. */
#pragma once
#include "sip/msg.h"

struct bl_list_walk {
        struct bl_str value; /* trimmed */
        uint16_t hdr;
        uint32_t pos; /* into the header's value; past its end: the next header's turn */
};

/* The comma (or end) behind the element at p: commas within <> and quotes are its own. */
const char *bl_list_element_end(const char *p, const char *end);

static inline struct bl_list_walk bl_list_walk_begin(const struct bl_msg *m, enum bl_hid id)
{
        return (struct bl_list_walk){.hdr = m->first[id]};
}
bool bl_list_walk_next(const struct bl_msg *m, struct bl_list_walk *w);
