/*
 * Cuts a byte stream into messages, keep-alives and errors (RFC 3261 section 18.3, RFC 5626 section 4.4.1). Pure; no
 * state but the octets not yet consumed and a hint where to go on looking.
 */
#pragma once
#include "base/base.h"

enum { BL_FRAME_MAX = 1 << 24 }; /* no `max` is larger than this */

enum bl_frame_kind {
        BL_FRAME_MESSAGE, /* *ret_octets is one whole message */
        BL_FRAME_PING,    /* CRLFCRLF: answer with CRLF */
        BL_FRAME_PONG,    /* a single CRLF between messages */
};
struct bl_frame_state {   /* zeroed at the start of a stream; bl_frame_next resets the hints after each message */
        uint32_t scanned; /* octets known to hold no end of headers */
        uint32_t need;    /* whole length once Content-Length is known, else 0 */
        /* The caller's: this side awaits no pong, so a CRLF at the end of `in` waits for its other half: a stream may
         * cut a ping in two. While a pong is awaited it must be false: a pong comes alone. */
        bool wait_pair;
};
/*
 * Looks at `in` (all octets received and not yet consumed). > 0: octets to consume, *ret_kind, *ret_octets (without
 * leading CRLFs: they were consumed before). BL_EMORE: wait. BL_EMALFORMED: no Content-Length or not a number, or a
 * line that does not end in CRLF: the stream cannot be followed any more (answer 400, close). BL_ELIMIT: the message is
 * or will be over max (answer 513, close). After both errors *ret_octets holds the headers when they are whole; after
 * BL_ELIMIT else the lines of them that are; else nothing.
 */
int bl_frame_next(struct bl_frame_state *st, struct bl_str in, size_t max, enum bl_frame_kind *ret_kind,
                  struct bl_str *ret_octets);
