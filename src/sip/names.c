#include "sip/names.h"

#include "sip/hid.h"

static const struct bl_str methods[BL_M__COUNT] = {
        [BL_M_UNKNOWN] = {"", 0},           [BL_M_INVITE] = BL_STR("INVITE"),
        [BL_M_ACK] = BL_STR("ACK"),         [BL_M_BYE] = BL_STR("BYE"),
        [BL_M_CANCEL] = BL_STR("CANCEL"),   [BL_M_REGISTER] = BL_STR("REGISTER"),
        [BL_M_OPTIONS] = BL_STR("OPTIONS"), [BL_M_SUBSCRIBE] = BL_STR("SUBSCRIBE"),
        [BL_M_NOTIFY] = BL_STR("NOTIFY"),   [BL_M_MESSAGE] = BL_STR("MESSAGE"),
        [BL_M_INFO] = BL_STR("INFO"),       [BL_M_UPDATE] = BL_STR("UPDATE"),
        [BL_M_REFER] = BL_STR("REFER"),     [BL_M_PRACK] = BL_STR("PRACK"),
        [BL_M_PUBLISH] = BL_STR("PUBLISH"),
};

static enum bl_method method_candidate(struct bl_str s)
{
        switch (s.p[0]) {
        case 'I':
                return s.n == 6 ? BL_M_INVITE : BL_M_INFO;
        case 'A':
                return BL_M_ACK;
        case 'B':
                return BL_M_BYE;
        case 'C':
                return BL_M_CANCEL;
        case 'R':
                return s.n == 8 ? BL_M_REGISTER : BL_M_REFER;
        case 'O':
                return BL_M_OPTIONS;
        case 'S':
                return BL_M_SUBSCRIBE;
        case 'N':
                return BL_M_NOTIFY;
        case 'M':
                return BL_M_MESSAGE;
        case 'U':
                return BL_M_UPDATE;
        case 'P':
                return s.n == 5 ? BL_M_PRACK : BL_M_PUBLISH;
        default:
                return BL_M_UNKNOWN;
        }
}

enum bl_method bl_method_from(struct bl_str name)
{
        enum bl_method m = name.n ? method_candidate(name) : BL_M_UNKNOWN;

        return bl_str_eq(name, methods[m]) ? m : BL_M_UNKNOWN;
}

struct bl_str bl_method_name(enum bl_method m)
{
        return (unsigned)m < BL_M__COUNT ? methods[m] : methods[0];
}

bool bl_method_forms_dialog(enum bl_method m)
{
        return m == BL_M_INVITE || m == BL_M_SUBSCRIBE || m == BL_M_REFER;
}

static const struct bl_str header_names[BL_H__COUNT] = {
        [BL_H_OTHER] = {"", 0},
        [BL_H_VIA] = BL_STR("Via"),
        [BL_H_FROM] = BL_STR("From"),
        [BL_H_TO] = BL_STR("To"),
        [BL_H_CALL_ID] = BL_STR("Call-ID"),
        [BL_H_CSEQ] = BL_STR("CSeq"),
        [BL_H_MAX_FORWARDS] = BL_STR("Max-Forwards"),
        [BL_H_CONTACT] = BL_STR("Contact"),
        [BL_H_ROUTE] = BL_STR("Route"),
        [BL_H_RECORD_ROUTE] = BL_STR("Record-Route"),
        [BL_H_PATH] = BL_STR("Path"),
        [BL_H_SERVICE_ROUTE] = BL_STR("Service-Route"),
        [BL_H_CONTENT_LENGTH] = BL_STR("Content-Length"),
        [BL_H_CONTENT_TYPE] = BL_STR("Content-Type"),
        [BL_H_EXPIRES] = BL_STR("Expires"),
        [BL_H_MIN_EXPIRES] = BL_STR("Min-Expires"),
        [BL_H_SUPPORTED] = BL_STR("Supported"),
        [BL_H_REQUIRE] = BL_STR("Require"),
        [BL_H_PROXY_REQUIRE] = BL_STR("Proxy-Require"),
        [BL_H_UNSUPPORTED] = BL_STR("Unsupported"),
        [BL_H_ALLOW] = BL_STR("Allow"),
        [BL_H_ACCEPT] = BL_STR("Accept"),
        [BL_H_AUTHORIZATION] = BL_STR("Authorization"),
        [BL_H_PROXY_AUTHORIZATION] = BL_STR("Proxy-Authorization"),
        [BL_H_WWW_AUTHENTICATE] = BL_STR("WWW-Authenticate"),
        [BL_H_PROXY_AUTHENTICATE] = BL_STR("Proxy-Authenticate"),
        [BL_H_RETRY_AFTER] = BL_STR("Retry-After"),
        [BL_H_OUTBOUND_PROXY] = BL_STR("Outbound-Proxy"),
        [BL_H_ALTERNATIVE_PROXIES] = BL_STR("Alternative-Proxies"),
        [BL_H_FLOW_TIMER] = BL_STR("Flow-Timer"),
        [BL_H_MAX_BREADTH] = BL_STR("Max-Breadth"),
        [BL_H_DATE] = BL_STR("Date"),
        [BL_H_SUBSCRIPTION_STATE] = BL_STR("Subscription-State"),
        [BL_H_EVENT] = BL_STR("Event"),
        [BL_H_TIMESTAMP] = BL_STR("Timestamp"),
        [BL_H_REPLACES] = BL_STR("Replaces"),
        [BL_H_REFER_TO] = BL_STR("Refer-To"),
        [BL_H_USER_AGENT] = BL_STR("User-Agent"),
        [BL_H_SERVER] = BL_STR("Server"),
        [BL_H_WARNING] = BL_STR("Warning"),
        [BL_H_RACK] = BL_STR("RAck"),
        [BL_H_RSEQ] = BL_STR("RSeq"),
        [BL_H_P_ASSERTED_IDENTITY] = BL_STR("P-Asserted-Identity"),
        [BL_H_MIN_SE] = BL_STR("Min-SE"),
        [BL_H_SESSION_EXPIRES] = BL_STR("Session-Expires"),
};

struct bl_str bl_hid_name(enum bl_hid id)
{
        return (unsigned)id < BL_H__COUNT ? header_names[id] : header_names[0];
}

enum bl_hid bl_hid_from(struct bl_str name)
{
        /* bl_hid_fold takes CR for "-": it is made for names that are known to be tokens */
        return name.n == 0 || name.n > 255 || memchr(name.p, '\r', name.n) ? BL_H_OTHER : bl_hid_fold(name.p, name.n);
}

bool bl_hid_is_list(enum bl_hid id)
{
        const uint64_t lists = 1ull << BL_H_VIA | 1ull << BL_H_CONTACT | 1ull << BL_H_ROUTE |
                               1ull << BL_H_RECORD_ROUTE | 1ull << BL_H_PATH | 1ull << BL_H_SERVICE_ROUTE |
                               1ull << BL_H_SUPPORTED | 1ull << BL_H_REQUIRE | 1ull << BL_H_PROXY_REQUIRE |
                               1ull << BL_H_UNSUPPORTED | 1ull << BL_H_ALLOW | 1ull << BL_H_ACCEPT |
                               1ull << BL_H_OUTBOUND_PROXY | 1ull << BL_H_ALTERNATIVE_PROXIES | 1ull << BL_H_WARNING |
                               1ull << BL_H_P_ASSERTED_IDENTITY;

        return (unsigned)id < BL_H__COUNT && (lists >> id & 1);
}

static const struct {
        uint16_t status;
        struct bl_str phrase;
} phrases[] = {
        {100, BL_STR("Trying")},
        {180, BL_STR("Ringing")},
        {181, BL_STR("Call Is Being Forwarded")},
        {182, BL_STR("Queued")},
        {183, BL_STR("Session Progress")},
        {199, BL_STR("Early Dialog Terminated")},
        {200, BL_STR("OK")},
        {202, BL_STR("Accepted")},
        {204, BL_STR("No Notification")},
        {300, BL_STR("Multiple Choices")},
        {301, BL_STR("Moved Permanently")},
        {302, BL_STR("Moved Temporarily")},
        {305, BL_STR("Use Proxy")},
        {380, BL_STR("Alternative Service")},
        {400, BL_STR("Bad Request")},
        {401, BL_STR("Unauthorized")},
        {402, BL_STR("Payment Required")},
        {403, BL_STR("Forbidden")},
        {404, BL_STR("Not Found")},
        {405, BL_STR("Method Not Allowed")},
        {406, BL_STR("Not Acceptable")},
        {407, BL_STR("Proxy Authentication Required")},
        {408, BL_STR("Request Timeout")},
        {410, BL_STR("Gone")},
        {412, BL_STR("Conditional Request Failed")},
        {413, BL_STR("Request Entity Too Large")},
        {414, BL_STR("Request-URI Too Long")},
        {415, BL_STR("Unsupported Media Type")},
        {416, BL_STR("Unsupported URI Scheme")},
        {420, BL_STR("Bad Extension")},
        {421, BL_STR("Extension Required")},
        {422, BL_STR("Session Interval Too Small")},
        {423, BL_STR("Interval Too Brief")},
        {430, BL_STR("Flow Failed")},
        {439, BL_STR("First Hop Lacks Outbound Support")},
        {440, BL_STR("Max-Breadth Exceeded")},
        {480, BL_STR("Temporarily Unavailable")},
        {481, BL_STR("Call/Transaction Does Not Exist")},
        {482, BL_STR("Loop Detected")},
        {483, BL_STR("Too Many Hops")},
        {484, BL_STR("Address Incomplete")},
        {485, BL_STR("Ambiguous")},
        {486, BL_STR("Busy Here")},
        {487, BL_STR("Request Terminated")},
        {488, BL_STR("Not Acceptable Here")},
        {489, BL_STR("Bad Event")},
        {491, BL_STR("Request Pending")},
        {493, BL_STR("Undecipherable")},
        {494, BL_STR("Security Agreement Required")},
        {500, BL_STR("Server Internal Error")},
        {501, BL_STR("Not Implemented")},
        {502, BL_STR("Bad Gateway")},
        {503, BL_STR("Service Unavailable")},
        {504, BL_STR("Server Time-out")},
        {505, BL_STR("Version Not Supported")},
        {513, BL_STR("Message Too Large")},
        {580, BL_STR("Precondition Failure")},
        {600, BL_STR("Busy Everywhere")},
        {603, BL_STR("Decline")},
        {604, BL_STR("Does Not Exist Anywhere")},
        {606, BL_STR("Not Acceptable")},
};

struct bl_str bl_status_phrase(unsigned status)
{
        size_t lo = 0, hi = BL_ARRAY_LEN(phrases);

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;

                if (phrases[mid].status == status)
                        return phrases[mid].phrase;
                if (phrases[mid].status < status)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return BL_STR("Unknown");
}
