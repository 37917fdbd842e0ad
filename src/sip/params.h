/* `;name=value` lists, as in URIs, name-addrs and Via. Any thread; nothing allocated. */
#pragma once
#include "base/base.h"

struct bl_param {
        struct bl_str name, value; /* value as written, quotes included; empty when there is none */
        bool has_value;
        struct bl_str all; /* from its ';' to its end */
};
/*
 * Takes the next parameter off *list, which is "" or starts with ';' (spaces around ';' and '=' allowed where RFC
 * 3261's SEMI and EQUAL allow them). True and *ret_param when there was one. Quoted values may hold ';'. Assumes the
 * list was checked by the parser of the thing that it belongs to; on malformed text it ends early.
 */
bool bl_params_next(struct bl_str *list, struct bl_param *ret_param);
/* The first of that name (any case). */
bool bl_params_get(struct bl_str list, struct bl_str name, struct bl_param *ret_param);
/* RFC 3261 section 25.1 quoted-string: writes the content without quotes and escapes; s without quotes is copied as it
 * is. */
void bl_params_unquote(struct bl_str s, struct bl_sb *out);
