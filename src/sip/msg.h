/*
 * A SIP message: its octets, and an index over them made in one pass. No member per header, no tree. A header is
 * {id, name, value} in wire order, chained with the others of its id; structured values are parsed on first use.
 *
 *   octets  ┌ INVITE sip:b@x SIP/2.0 │ Via: … │ Route: <…>, <…> │ … │ body ┐
 *   index     request line             h[0]     h[1]
 *
 * Octets and index live in the caller's arena until the event returns. What must outlive it is kept: one block of exact
 * size from the worker's pool, with the same offsets. A message is never changed; edits (sip/edit.h) are a list beside
 * it.
 */
#pragma once
#include "base/mem.h"
#include "sip/nameaddr.h"
#include "sip/names.h"
#include "sip/via.h"

enum { BL_MSG_MAX = 65536 - 1, BL_HDR_MAX = 512 /* headers per message */, BL_HDR_NONE = 0xffff };

struct bl_hdr {
        uint8_t id;       /* enum bl_hid */
        uint8_t name_len; /* over 255: refused */
        uint16_t next; /* index of the next header of the same id (OTHER: of any other OTHER), BL_HDR_NONE at the end */
        uint32_t name; /* offset into the octets */
        uint32_t value; /* offset; leading and trailing white space excluded, folds inside kept as they are */
        uint16_t value_len;
        uint16_t line_len; /* from `name` over the line's CRLF: what "untouched" means */
};

struct bl_cseq {
        uint32_t number;
        enum bl_method method;
        struct bl_str method_name;
};

struct bl_msg {
        struct bl_str octets; /* start line to end of body */
        bool is_request;
        enum bl_method method;           /* of the start line, or of CSeq in a response */
        struct bl_str method_name, ruri; /* requests */
        uint16_t status;                 /* responses */
        struct bl_str reason;
        const struct bl_hdr *h;
        uint16_t n;
        uint32_t headers_off, body_off; /* of the first header; of the body */
        struct bl_str body;
        /* parsed once by bl_msg_parse, because every element needs them: */
        struct bl_via via; /* the topmost */
        struct bl_cseq cseq;
        struct bl_str call_id, from_tag, to_tag; /* to_tag empty: none */
        int32_t max_forwards;                    /* -1: no header */
        uint32_t kept_size;                      /* of the block, when kept; else 0 */
        const struct bl_runs_word *_runs;        /* marks over the headers (sip/runs.h); NULL when kept */
        /* not cleared for each message: */
        uint16_t first[BL_H__COUNT], last[BL_H__COUNT];
        struct bl_uri uri; /* requests: the Request-URI */
};

struct bl_parse_error {
        uint16_t status;  /* what a server answers; 0 = discard silently */
        uint32_t offset;  /* where in the octets */
        const char *text; /* "CSeq method does not match", for the reason phrase and the log */
        /* the partial message, when enough of a request was understood to answer it: the sent-by of its top Via. NULL
         * when status is 0 */
        const struct bl_msg *partial;
};

/*
 * Parses one whole message: `in` holds exactly its octets (a datagram; or what frame.h cut from a stream). In a
 * datagram, octets beyond Content-Length are ignored and fewer are an error (RFC 3261 section 18.3); no Content-Length
 * means to the end. The index comes from `arena`; `in` must live as long as the message does. 0 and *ret_msg; else
 * BL_EMALFORMED, BL_EPROTO (grammar right, rule broken: section 8.1.1, RFC 4475), BL_ELIMIT or BL_ENOMEM and *ret_error
 * filled (it may be NULL). Checks: mandatory headers, single ones not repeated, CSeq method, versions, numbers in
 * range.
 */
BL_MUSTCHECK int bl_msg_parse(struct bl_str in, bool datagram, struct bl_arena *arena, struct bl_msg **ret_msg,
                              struct bl_parse_error *ret_error);

static inline struct bl_str bl_hdr_value(const struct bl_msg *m, const struct bl_hdr *h)
{
        return bl_str_make(m->octets.p + h->value, h->value_len);
}
static inline struct bl_str bl_hdr_name(const struct bl_msg *m, const struct bl_hdr *h)
{
        return bl_str_make(m->octets.p + h->name, h->name_len);
}
static inline const struct bl_hdr *bl_msg_first(const struct bl_msg *m, enum bl_hid id)
{
        return m->first[id] == BL_HDR_NONE ? NULL : &m->h[m->first[id]];
}
static inline const struct bl_hdr *bl_msg_next(const struct bl_msg *m, const struct bl_hdr *h)
{
        return h->next == BL_HDR_NONE ? NULL : &m->h[h->next];
}
static inline bool bl_msg_has(const struct bl_msg *m, enum bl_hid id)
{
        return m->first[id] != BL_HDR_NONE;
}
struct bl_str bl_msg_value(const struct bl_msg *m, enum bl_hid id);     /* of the first of that id; empty when none */
struct bl_str bl_msg_other(const struct bl_msg *m, struct bl_str name); /* first header of any name, any case */

/*
 * Walks the values of a list header over all its lines and commas, in order (commas inside <>, quotes and comments do
 * not count). Start with a zeroed iterator:   struct bl_values it = {0}; while (bl_msg_values(m, BL_H_ROUTE, &it))
 * use(it.value);
 */
struct bl_values {
        struct bl_str value; /* trimmed */
        uint16_t hdr;        /* index into m->h */
        uint16_t index;      /* 0, 1, 2 ... over all lines: names this value in an edit */
        uint32_t _pos;
        bool _started;
};
bool bl_msg_values(const struct bl_msg *m, enum bl_hid id, struct bl_values *it);
/*
 * The same for headers whose values are name-addrs, which are parsed on the way:
 *   bl_nameaddrs_init(&it, m, BL_H_ROUTE); while ((rc = bl_nameaddrs_next(&it, m)) > 0) use(&it.na);
 * 1 and it->na; 0 when there are no more; BL_EMALFORMED, and that is the end.
 */
struct bl_nameaddrs {
        struct bl_nameaddr na;
        const char *_at, *_end; /* behind what was read of the line; NULL: the next line's turn */
        uint16_t _hdr;
        uint8_t _id;
};
void bl_nameaddrs_init(struct bl_nameaddrs *it, const struct bl_msg *m, enum bl_hid id);
int bl_nameaddrs_next(struct bl_nameaddrs *it, const struct bl_msg *m);
/* The value of that index as name-addr (Route 0 = topmost): 0, BL_ENOENT, BL_EMALFORMED. index -1 = the last. */
int bl_msg_nameaddr(const struct bl_msg *m, enum bl_hid id, int index, struct bl_nameaddr *ret_na);
unsigned bl_msg_count(const struct bl_msg *m, enum bl_hid id); /* values */
int bl_msg_via(const struct bl_msg *m, int index, struct bl_via *ret_via);
bool bl_msg_lists_token(const struct bl_msg *m, enum bl_hid id,
                        struct bl_str token); /* Supported: has "path"? any case */
int bl_msg_u32(const struct bl_msg *m, enum bl_hid id,
               uint32_t *ret); /* Expires and such: 0, BL_ENOENT, BL_EMALFORMED */

/*
 * Keeps: one block from `pool` with octets and index; all slices point into it. Give it back with bl_msg_drop. NULL
 * without memory.
 */
struct bl_msg *bl_msg_keep(const struct bl_msg *m, struct bl_pool *pool);
void bl_msg_drop(struct bl_msg *kept, struct bl_pool *pool); /* accepts NULL */
