/* name-addr / addr-spec with header parameters: From, To, Contact, Route, Record-Route, Path, Service-Route,
 * Outbound-Proxy. */
#pragma once
#include "sip/uri.h"

struct bl_nameaddr {
        struct bl_str all;     /* the whole value, trimmed */
        struct bl_str display; /* as written, quotes included */
        struct bl_uri uri;
        struct bl_str params; /* header parameters, from the first ';' */
        bool angle;           /* without <>, all parameters are header parameters (RFC 3261 section 20) */
        bool star;            /* Contact: * */
};
/* One value, whole. BL_EMALFORMED. Route and Record-Route demand angle brackets: the caller checks `angle`. */
BL_MUSTCHECK int bl_nameaddr_parse(struct bl_str in, struct bl_nameaddr *ret_na);
bool bl_nameaddr_param(const struct bl_nameaddr *na, struct bl_str name, struct bl_str *ret_value);
struct bl_str bl_nameaddr_tag(const struct bl_nameaddr *na); /* empty when none */
