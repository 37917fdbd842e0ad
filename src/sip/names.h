/* The closed lists of SIP: methods, header names (with compact forms), status phrases. Any thread. */
#pragma once
#include "base/base.h"

enum bl_method {
        BL_M_UNKNOWN,
        BL_M_INVITE,
        BL_M_ACK,
        BL_M_BYE,
        BL_M_CANCEL,
        BL_M_REGISTER,
        BL_M_OPTIONS,
        BL_M_SUBSCRIBE,
        BL_M_NOTIFY,
        BL_M_MESSAGE,
        BL_M_INFO,
        BL_M_UPDATE,
        BL_M_REFER,
        BL_M_PRACK,
        BL_M_PUBLISH,
        BL_M__COUNT
};
enum bl_method
bl_method_from(struct bl_str name); /* case-sensitive, RFC 3261 section 7.1; BL_M_UNKNOWN for any other token */
struct bl_str bl_method_name(enum bl_method m);
/* INVITE, SUBSCRIBE, REFER (RFC 3515), and NOTIFY outside a dialog by its caller's knowledge: here the first three. */
bool bl_method_forms_dialog(enum bl_method m);

/* Headers that some part of belay looks at. All others are BL_H_OTHER: carried along octet for octet. */
enum bl_hid {
        BL_H_OTHER,
        BL_H_VIA,
        BL_H_FROM,
        BL_H_TO,
        BL_H_CALL_ID,
        BL_H_CSEQ,
        BL_H_MAX_FORWARDS,
        BL_H_CONTACT,
        BL_H_ROUTE,
        BL_H_RECORD_ROUTE,
        BL_H_PATH,
        BL_H_SERVICE_ROUTE,
        BL_H_CONTENT_LENGTH,
        BL_H_CONTENT_TYPE,
        BL_H_EXPIRES,
        BL_H_MIN_EXPIRES,
        BL_H_SUPPORTED,
        BL_H_REQUIRE,
        BL_H_PROXY_REQUIRE,
        BL_H_UNSUPPORTED,
        BL_H_ALLOW,
        BL_H_ACCEPT,
        BL_H_AUTHORIZATION,
        BL_H_PROXY_AUTHORIZATION,
        BL_H_WWW_AUTHENTICATE,
        BL_H_PROXY_AUTHENTICATE,
        BL_H_RETRY_AFTER,
        BL_H_OUTBOUND_PROXY, /* also Outbound-Proxies */
        BL_H_ALTERNATIVE_PROXIES,
        BL_H_FLOW_TIMER,
        BL_H_MAX_BREADTH,
        BL_H_DATE,
        BL_H_SUBSCRIPTION_STATE,
        BL_H_EVENT,
        BL_H_TIMESTAMP,
        BL_H_REPLACES,
        BL_H_REFER_TO,
        BL_H_USER_AGENT,
        BL_H_SERVER,
        BL_H_WARNING,
        BL_H_RACK,
        BL_H_RSEQ,
        BL_H_P_ASSERTED_IDENTITY,
        BL_H_MIN_SE,
        BL_H_SESSION_EXPIRES,
        BL_H__COUNT
};
enum bl_hid bl_hid_from(struct bl_str name); /* any case, compact forms too */
struct bl_str bl_hid_name(enum bl_hid id);   /* the long form as we write it; empty for BL_H_OTHER */
bool bl_hid_is_list(enum bl_hid id);         /* comma separates values (Via, Route, Contact, Supported ...) */

struct bl_str
bl_status_phrase(unsigned status); /* the RFC's default phrase ("Flow Failed" for 430); "Unknown" otherwise */
