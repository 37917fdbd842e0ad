/* Header names by a perfect hash over length, first, middle and last octet; then one comparison, eight octets at a
 * time. */
#include "sip/hid.h"

#include <string.h>

enum { SLOTS = 128, FOLD = 0x20 };

/* The names in lower case. test_names.c checks that each is found: a new name may need new multipliers in slot_of. */
static const struct {
        char name[20];
        uint8_t len, id;
} slots[SLOTS] = {
        [0] = {"expires", 7, BL_H_EXPIRES},
        [3] = {"accept", 6, BL_H_ACCEPT},
        [6] = {"max-breadth", 11, BL_H_MAX_BREADTH},
        [8] = {"call-id", 7, BL_H_CALL_ID},
        [17] = {"proxy-authenticate", 18, BL_H_PROXY_AUTHENTICATE},
        [19] = {"max-forwards", 12, BL_H_MAX_FORWARDS},
        [24] = {"cseq", 4, BL_H_CSEQ},
        [25] = {"date", 4, BL_H_DATE},
        [27] = {"content-type", 12, BL_H_CONTENT_TYPE},
        [28] = {"proxy-authorization", 19, BL_H_PROXY_AUTHORIZATION},
        [30] = {"server", 6, BL_H_SERVER},
        [31] = {"supported", 9, BL_H_SUPPORTED},
        [32] = {"contact", 7, BL_H_CONTACT},
        [34] = {"outbound-proxies", 16, BL_H_OUTBOUND_PROXY},
        [42] = {"to", 2, BL_H_TO},
        [48] = {"replaces", 8, BL_H_REPLACES},
        [49] = {"proxy-require", 13, BL_H_PROXY_REQUIRE},
        [54] = {"record-route", 12, BL_H_RECORD_ROUTE},
        [57] = {"event", 5, BL_H_EVENT},
        [60] = {"www-authenticate", 16, BL_H_WWW_AUTHENTICATE},
        [61] = {"alternative-proxies", 19, BL_H_ALTERNATIVE_PROXIES},
        [65] = {"retry-after", 11, BL_H_RETRY_AFTER},
        [66] = {"rack", 4, BL_H_RACK},
        [68] = {"path", 4, BL_H_PATH},
        [69] = {"warning", 7, BL_H_WARNING},
        [75] = {"outbound-proxy", 14, BL_H_OUTBOUND_PROXY},
        [76] = {"subscription-state", 18, BL_H_SUBSCRIPTION_STATE},
        [77] = {"refer-to", 8, BL_H_REFER_TO},
        [78] = {"flow-timer", 10, BL_H_FLOW_TIMER},
        [79] = {"authorization", 13, BL_H_AUTHORIZATION},
        [80] = {"unsupported", 11, BL_H_UNSUPPORTED},
        [84] = {"via", 3, BL_H_VIA},
        [88] = {"session-expires", 15, BL_H_SESSION_EXPIRES},
        [95] = {"user-agent", 10, BL_H_USER_AGENT},
        [99] = {"p-asserted-identity", 19, BL_H_P_ASSERTED_IDENTITY},
        [100] = {"min-se", 6, BL_H_MIN_SE},
        [104] = {"from", 4, BL_H_FROM},
        [106] = {"rseq", 4, BL_H_RSEQ},
        [107] = {"content-length", 14, BL_H_CONTENT_LENGTH},
        [112] = {"route", 5, BL_H_ROUTE},
        [116] = {"require", 7, BL_H_REQUIRE},
        [119] = {"min-expires", 11, BL_H_MIN_EXPIRES},
        [123] = {"allow", 5, BL_H_ALLOW},
        [125] = {"timestamp", 9, BL_H_TIMESTAMP},
        [126] = {"service-route", 13, BL_H_SERVICE_ROUTE},
};

/* RFC 3261 7.3.3 and the registry's later compact forms, of the headers we know. */
static const uint8_t compact[26] = {
        ['c' - 'a'] = BL_H_CONTENT_TYPE,
        ['f' - 'a'] = BL_H_FROM,
        ['i' - 'a'] = BL_H_CALL_ID,
        ['k' - 'a'] = BL_H_SUPPORTED,
        ['l' - 'a'] = BL_H_CONTENT_LENGTH,
        ['m' - 'a'] = BL_H_CONTACT,
        ['o' - 'a'] = BL_H_EVENT,
        ['r' - 'a'] = BL_H_REFER_TO,
        ['t' - 'a'] = BL_H_TO,
        ['v' - 'a'] = BL_H_VIA,
        ['x' - 'a'] = BL_H_SESSION_EXPIRES,
};

static unsigned slot_of(const char *p, size_t n)
{
        unsigned first = (unsigned char)p[0] | FOLD, last = (unsigned char)p[n - 1] | FOLD;
        unsigned middle = (unsigned char)p[n / 2] | FOLD;

        return ((unsigned)n * 2 + first * 14 + last + middle * 17) % SLOTS;
}

static bool same(const char *p, const char *name, size_t n)
{
        const uint64_t fold = 0x2020202020202020ull;
        uint64_t a, b;

        /* Names are letters and "-": with bit 5 set only CR collides ("-"), and the caller excluded it. */
        for (; n >= 8; p += 8, name += 8, n -= 8) {
                memcpy(&a, p, 8);
                memcpy(&b, name, 8);
                if ((a | fold) != b)
                        return false;
        }
        for (; n; p++, name++, n--)
                if ((*p | FOLD) != *name)
                        return false;
        return true;
}

enum bl_hid bl_hid_fold(const char *p, size_t n)
{
        unsigned slot;

        if (n == 1) {
                unsigned letter = ((unsigned char)*p | FOLD) - 'a';

                return letter < 26 && (*p & 0x40) ? (enum bl_hid)compact[letter] : BL_H_OTHER;
        }
        slot = slot_of(p, n);
        return slots[slot].len == n && same(p, slots[slot].name, n) ? (enum bl_hid)slots[slot].id : BL_H_OTHER;
}
