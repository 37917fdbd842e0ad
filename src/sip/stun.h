/* STUN as a keep-alive on the SIP port (RFC 5626 section 4.4.2, RFC 5389): Binding requests and responses, nothing
 * else. Any thread. */
#pragma once
#include "base/base.h"

enum { BL_STUN_MAX = 128 };
bool bl_stun_is(struct bl_str datagram); /* the first two bits 0, cookie and length right */
/* A Binding request: writes the success response with XOR-MAPPED-ADDRESS of `source` into out (BL_STUN_MAX octets),
 * returns its length. BL_EMALFORMED for anything to ignore. */
int bl_stun_answer(struct bl_str request, const struct bl_addr *source, uint8_t *out);
/*
 * An attribute of our own, of those that nobody has to understand (RFC 5389 15): which flow of the server an answer
 * comes from. A request has it empty, which asks for it; a success response has 8 octets that are the same as long as
 * the server knows the flow, and others when it has forgotten it. Adds it to a message of n octets in `m`
 * (BL_STUN_MAX); returns the new length. `flow` NULL: empty.
 */
int bl_stun_put_flow(uint8_t *m, int n, const uint8_t flow[8]);
/* True when the message has it; *ret_value is empty, or has the 8 octets. Anything else counts as not there. */
bool bl_stun_get_flow(struct bl_str message, struct bl_str *ret_value);
/* A Binding request with this transaction id; returns its length. */
int bl_stun_request(const uint8_t id[12], uint8_t *out);
/* A response to `id`: 0 and the mapped address; BL_EREFUSED for an error response to it (which proves life, too);
 * BL_ENOENT when it answers something else; BL_EMALFORMED. */
int bl_stun_parse_response(struct bl_str in, const uint8_t id[12], struct bl_addr *ret_mapped);
