/*
 * What DHCP says about SIP servers: option 120 (RFC 3361), and for IPv6 options 21 and 22 (RFC 3319). The octets of
 * options, messages and lease files, as functions of their input: sockets and files are io/dhcp.h's. All of it comes
 * from the network and is taken for hostile. Any thread.
 */
#pragma once
#include "base/base.h"

enum { BL_DHCP_SERVERS = 8, BL_DHCP_NAME_MAX = 253, BL_DHCP_PACKET = 1500 };

struct bl_dhcp_server {      /* a name to be resolved by RFC 3263, or an address */
        struct bl_addr addr; /* family 0: the name counts */
        uint8_t name_len;
        char name[BL_DHCP_NAME_MAX];
};
struct bl_dhcp_sip { /* in the order in which they are to be tried; further ones are left out */
        unsigned n;
        struct bl_dhcp_server at[BL_DHCP_SERVERS];
};

/* Appends what an option holds. BL_EMALFORMED: then nothing of it. */
int bl_dhcp_sip4(struct bl_str option, struct bl_dhcp_sip *list);       /* option 120, either encoding */
int bl_dhcp_sip6_names(struct bl_str option, struct bl_dhcp_sip *list); /* DHCPv6 option 21 */
int bl_dhcp_sip6_addrs(struct bl_str option, struct bl_dhcp_sip *list); /* DHCPv6 option 22 */

struct bl_dhcp_ask {    /* who asks; filled by the asker, and the same for the answer */
        uint8_t xid[4]; /* random; DHCPv6 uses three octets of it */
        uint8_t hw[16];
        uint8_t hw_len, hw_type; /* as in /sys/class/net/IF/type: 1 Ethernet */
        struct bl_addr own;      /* DHCPINFORM: the address we have */
};
/* DHCPINFORM (RFC 2131 section 4.4.3), for UDP from port 68 to 67. */
void bl_dhcp_put_inform(const struct bl_dhcp_ask *ask, struct bl_sb *out);
/* Information-request (RFC 8415 section 18.2.6), for UDP from port 546 to 547. */
void bl_dhcp_put_inform6(const struct bl_dhcp_ask *ask, struct bl_sb *out);
/* A datagram that may be the answer. 0 and the list; BL_ENOENT: it is, and names no SIP server; BL_EPROTO: it is not
 * (another's, or no answer at all); BL_EMALFORMED. */
int bl_dhcp_take_ack(struct bl_str packet, const struct bl_dhcp_ask *ask, struct bl_dhcp_sip *ret);
int bl_dhcp_take_reply6(struct bl_str packet, const struct bl_dhcp_ask *ask, struct bl_dhcp_sip *ret);

/* Lease files. 0 and the list, or BL_ENOENT. */
/* systemd-networkd's /run/systemd/netif/leases/INDEX and …/links/INDEX: SIP=192.0.2.1 192.0.2.2 */
int bl_dhcp_lease_networkd(struct bl_str text, struct bl_dhcp_sip *ret);
/* dhclient's, of both families: the last lease of `interface` that holds at `wall` (Unix seconds) decides. Option 120
 * has no name of dhclient's own: what is called unknown-120 is taken, and whatever name begins with "sip". */
int bl_dhcp_lease_dhclient(struct bl_str text, struct bl_str interface, int64_t wall, struct bl_dhcp_sip *ret);

/* A host name as text (RFC 1123 section 2.1: letters, digits, hyphens within), a dot at its end is dropped; or
 * BL_EMALFORMED. What comes from the network is never more than that, for it goes into a URI. */
int bl_dhcp_set_name(struct bl_str text, struct bl_dhcp_server *ret);
/* The URI of an outbound proxy: sip:edge.example.com;lr, sip:192.0.2.1;lr, sip:[2001:db8::1];lr */
void bl_dhcp_put_uri(const struct bl_dhcp_server *s, struct bl_sb *out);
