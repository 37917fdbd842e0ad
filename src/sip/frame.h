/*
 * Cuts a byte stream into messages, keep-alives and errors (RFC 3261 section 18.3, RFC 5626 section 4.4.1). Pure; no
 * state but the octets not yet consumed and a hint where to go on looking.
 */
#pragma once
#include "base/base.h"

enum bl_frame_kind {
        BL_FRAME_MESSAGE, /* *ret_octets is one whole message */
        BL_FRAME_PING,    /* CRLFCRLF: answer with CRLF */
        BL_FRAME_PONG,    /* a single CRLF between messages */
};
struct bl_frame_state {   /* zeroed at the start of a stream, and after each message */
        uint32_t scanned; /* octets known to hold no end of headers */
        uint32_t need;    /* whole length once Content-Length is known, else 0 */
        bool cr;
};
/*
 * Looks at `in` (all octets received and not yet consumed). > 0: octets to consume, *ret_kind, *ret_octets (without
 * leading CRLFs). BL_EMORE: wait. BL_EMALFORMED: no Content-Length or not a number: the stream cannot be followed any
 * more (answer 400, close). BL_ELIMIT: the message is or will be over max (answer 513, close); *ret_octets then holds
 * the headers when they are whole.
 */
int bl_frame_next(struct bl_frame_state *st, struct bl_str in, size_t max, enum bl_frame_kind *ret_kind,
                  struct bl_str *ret_octets);
