/* Network addresses as values, without any system header; and the names of transports. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum bl_tp { BL_UDP, BL_TCP, BL_TLS, BL_WS, BL_WSS, BL_TP_COUNT };

struct bl_addr {
        uint8_t family; /* 0 none, 4, 6 */
        uint8_t _zero;
        uint16_t port;  /* host order */
        uint32_t scope; /* IPv6 zone index, else 0 */
        uint8_t ip[16]; /* network order; IPv4 in the first four, the rest zero */
};

struct bl_sb;
#define BL_ADDR_TEXT 64 /* enough for "[v6%4294967295]:65535" */

static inline bool bl_tp_is_stream(enum bl_tp tp)
{
        return tp != BL_UDP;
}
static inline bool bl_tp_is_secure(enum bl_tp tp)
{
        return tp == BL_TLS || tp == BL_WSS;
}
struct bl_str bl_tp_name(enum bl_tp tp);                /* as in Via: "UDP", "TLS", "WSS" */
struct bl_str bl_tp_param(enum bl_tp tp);               /* as in ;transport=: "udp", "tls", "ws" for both of WS, WSS */
int bl_tp_from(struct bl_str name, enum bl_tp *ret_tp); /* either spelling, any case; BL_ENOENT */
uint16_t bl_tp_default_port(enum bl_tp tp);             /* 5060, 5061, 80, 443 */

/* A bare IPv4 or IPv6 address, the latter with or without brackets; port becomes 0. BL_EMALFORMED. */
int bl_addr_parse(struct bl_str s, struct bl_addr *ret_addr);
/* "1.2.3.4", "1.2.3.4:5060", "[::1]:5060"; without port it becomes `default_port`. BL_EMALFORMED. */
int bl_addr_parse_port(struct bl_str s, uint16_t default_port, struct bl_addr *ret_addr);
bool bl_addr_eq(const struct bl_addr *a, const struct bl_addr *b);    /* with port */
bool bl_addr_eq_ip(const struct bl_addr *a, const struct bl_addr *b); /* without port */
uint64_t bl_addr_hash(uint64_t seed, const struct bl_addr *a);        /* with port */
void bl_addr_put(struct bl_sb *b, const struct bl_addr *a);           /* with port unless it is 0; IPv6 bracketed */
void bl_addr_put_ip(struct bl_sb *b,
                    const struct bl_addr *a); /* without port; IPv6 bracketed (as in a URI or Via host) */

struct bl_net { /* an address range, for trust: lists */
        struct bl_addr base;
        uint8_t bits;
};
int bl_net_parse(struct bl_str s, struct bl_net *ret_net); /* "127.0.2.0/24", or one address */
bool bl_net_has(const struct bl_net *net, const struct bl_addr *a);
