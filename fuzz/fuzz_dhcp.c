/* Whatever a server or a lease file says: what is taken of it makes a URI. */
#include "base/dhcp.h"
#include "fuzz/fuzz.h"
#include "sip/uri.h"

FUZZ(in)
{
        struct bl_dhcp_sip l = {0};
        struct bl_dhcp_ask ask = {.hw_len = 6, .hw_type = 1}; /* all zeros, so that inputs can match it */
        int rc[] = {bl_dhcp_sip4(in, &l), bl_dhcp_take_ack(in, &ask, &l), bl_dhcp_take_reply6(in, &ask, &l),
                    bl_dhcp_lease_networkd(in, &l), bl_dhcp_lease_dhclient(in, BL_STR("eth0"), 1000, &l)};
        MUST(rc[0] <= 0 && l.n <= BL_DHCP_SERVERS);
        for (unsigned i = 0; i < l.n; i++) {
                char text[400];
                struct bl_sb b = BL_SB(text);
                struct bl_uri u;
                bl_dhcp_put_uri(&l.at[i], &b);
                MUST(!b.over && bl_uri_parse(bl_sb_str(&b), &u) == 0 && u.host.n > 0 && bl_uri_is_lr(&u));
        }
}
