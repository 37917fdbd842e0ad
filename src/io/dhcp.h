/*
 * Which SIP servers the network names by DHCP (protocol.md section 2 step 8; RFC 3361, RFC 3319): out of the leases
 * that systemd-networkd or dhclient hold for this host, else by asking: DHCPINFORM (RFC 2131 section 4.4.3) and DHCPv6
 * Information-request (RFC 8415 section 18.2.6) on each interface, which needs the right to bind ports 68 and 546.
 */
#pragma once
#include "base/dhcp.h"
#include "io/world.h"

struct bl_dhcp_conf {
        struct bl_str interface; /* only this one; empty: all that are up but loopback */
        bool leases_only;        /* asks nobody */
        uint32_t timeout_ms;     /* for the answers; 0 = 6000 */
};
struct bl_dhcp_find;
/*
 * Looks, and calls `done` once, as a later event of worker 0: with the list and where it is from ("the lease
 * /run/systemd/netif/leases/2", "DHCP on eth0"); or with NULL and why there is none, what could not be done included.
 * Texts live until return. The handle is gone then. BL_ENOMEM.
 */
int bl_dhcp_find(struct bl_world *w, const struct bl_dhcp_conf *conf,
                 void (*done)(void *arg, const struct bl_dhcp_sip *list, struct bl_str text), void *arg,
                 struct bl_dhcp_find **ret_find);
void bl_dhcp_cancel(struct bl_dhcp_find *f); /* `done` will not be called; accepts NULL */
