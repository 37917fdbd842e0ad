/* One Via value (RFC 3261 section 20.42, rport of RFC 3581). Slices into the input. Any thread. */
#pragma once
#include "base/base.h"
#include "sip/params.h"

struct bl_via {
        struct bl_str all;
        struct bl_str transport; /* as written */
        struct bl_str sent_by;   /* host[:port] as written */
        struct bl_str host;      /* IPv6 with brackets */
        uint16_t port;           /* 0 = none */
        struct bl_str params;    /* from the first ';' */
        struct bl_str branch, received, maddr;
        struct bl_str rport_param, received_param; /* from the ';'; empty: none */
        bool has_rport;
        uint16_t rport; /* 0 = no value */
        bool sticky;    /* ;sticky: whoever put it there is belay */
        bool repeated;  /* rport or received stands more than once */
        bool rfc3261;   /* branch starts with z9hG4bK and has more */
};
BL_MUSTCHECK int bl_via_parse(struct bl_str in, struct bl_via *ret_via);                 /* BL_EMALFORMED */
bool bl_via_param(const struct bl_via *v, struct bl_str name, struct bl_str *ret_value); /* ret_value may be NULL */
/* Sent-by is the address that it came from. */
bool bl_via_is_from(const struct bl_via *v, const struct bl_addr *source);
/*
 * The value with what a server adds on receipt: ;received= when sent-by is not the source address (RFC 3261 section
 * 18.2.1), and with ;rport both (RFC 3581 section 4). What the sender wrote there himself gives way. For
 * bl_edit_replace_value(e, BL_H_VIA, 0, …) and responses; needs v->all.n + BL_VIA_SOURCE_MAX octets.
 */
enum { BL_VIA_SOURCE_MAX = 96 };
void bl_via_put_source(struct bl_sb *b, const struct bl_via *v, const struct bl_addr *source);
