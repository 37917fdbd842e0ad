/*
 * An observer of SIP on this machine's loopback, outside the programs that talk: a packet socket on `lo`, TCP put
 * together again per direction. Needs root or CAP_NET_RAW; bl_capture_namespace gives a process without them a user and
 * network namespace of its own where it has.
 */
#pragma once
#include "io/world.h"

struct bl_capture;
struct bl_captured {
        enum bl_tp tp; /* BL_UDP: octets are one datagram; BL_TCP: the next octets of that direction's stream */
        struct bl_addr from, to;
        struct bl_str octets; /* until return; empty with `reset` */
        bool opened, reset;   /* a SYN; a FIN or RST */
        bl_us at;
};
/* Packets with either port in [low, high]. 0, or -errno (-EPERM: neither root nor CAP_NET_RAW). */
int bl_capture_open(struct bl_world *w, uint16_t low, uint16_t high,
                    void (*seen)(void *arg, const struct bl_captured *), void *arg, struct bl_capture **ret_capture);
void bl_capture_close(struct bl_capture *c); /* accepts NULL */
uint64_t bl_capture_dropped(
        struct bl_capture *c); /* packets that the kernel could not hand over: 0, or what was seen is not all */
/* Before any thread: a user and network namespace of our own, with `lo` up. 0, or -errno when the system does not allow
 * it. */
int bl_capture_namespace(void);
