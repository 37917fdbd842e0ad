/* Messages as JSON values. Text that is not UTF-8 is shown with U+FFFD and, beside it, in base64. */
#pragma once
#include <jansson.h>

#include "sip/msg.h"

/* The caller owns the value; NULL without memory. `base`: where the message starts in what was read; added to all
 * offsets. */
json_t *bl_parse_json_message(const struct bl_msg *m, size_t base);
json_t *bl_parse_json_refusal(const char *verdict, unsigned status, const char *reason, size_t offset);
