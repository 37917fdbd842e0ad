/*
 * Flat writing: a message with its edits, or a new message, into one counted buffer. Content-Length is always right:
 * added where it was missing (streams need it), rewritten where the body changed.
 */
#pragma once
#include "sip/edit.h"

/*
 * 0 and *ret_buf with one reference (pool memory); `edits` may be NULL: a copy. BL_ENOMEM, BL_ELIMIT (over BL_MSG_MAX),
 * BL_EINVAL (a value with a line end in it that is no fold). All writers of this header fail in these ways.
 */
BL_MUSTCHECK int bl_write(struct bl_pool *pool, const struct bl_msg *m, const struct bl_edits *edits,
                          struct bl_buf **ret_buf);

/*
 * A response to `req` (RFC 3261 section 8.2.6): Via lines, From, To (with `to_tag` when it has none and status > 100),
 * Call-ID, CSeq copied; a Timestamp too for 100; then `extra` (whole lines with CRLF, or empty), then Content-Length 0
 * or body. `via_received`, when not empty, is the value to add to the topmost Via as ;received= with ;rport= filled
 * (RFC 3581); see txn/. reason empty = the default phrase. Record-Route is copied for 101..299 of dialog-forming
 * requests when `record_route`.
 */
struct bl_response {
        unsigned status;
        struct bl_str reason, to_tag, extra, body, content_type;
        bool record_route;
        struct bl_addr source; /* family 0: leave the topmost Via as it is; else add received/rport as RFC 3261 18.2.1,
                                  RFC 3581 */
};
BL_MUSTCHECK int bl_write_response(struct bl_pool *pool, const struct bl_msg *req, const struct bl_response *r,
                                   struct bl_buf **ret_buf);

/*
 * A new message, line by line. Write the start line and headers in order, then end with bl_draft_end, which adds
 * Content-Length and the body. Failure is remembered and reported at the end.
 */
struct bl_draft {
        struct bl_pool *_pool;
        struct bl_buf *_buf;
        int _rc;
};
void bl_draft_request(struct bl_draft *d, struct bl_pool *pool, struct bl_str method, struct bl_str ruri);
void bl_draft_header(struct bl_draft *d, enum bl_hid id, struct bl_str value);
void bl_draft_named(struct bl_draft *d, struct bl_str name, struct bl_str value);
void bl_draft_headerf(struct bl_draft *d, enum bl_hid id, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));                /* not for hot paths; up to 2047 octets */
void bl_draft_lines(struct bl_draft *d, struct bl_str lines); /* whole lines with CRLF */
BL_MUSTCHECK int bl_draft_end(struct bl_draft *d, struct bl_str content_type, struct bl_str body,
                              struct bl_buf **ret_buf);
/* The ACK of a non-2xx, and CANCEL, from the request as it was sent (RFC 3261 17.1.1.3, 9.1): same top Via, Route,
 * Request-URI. `to` from the response (ACK), or empty (CANCEL: the request's). */
BL_MUSTCHECK int bl_write_hop(struct bl_pool *pool, const struct bl_msg *sent_request, enum bl_method method,
                              struct bl_str to, struct bl_buf **ret_buf);
