/* What both roles take from the common options: listeners, trust, the static map, timers. */
#pragma once
#include "io/world.h"
#include "proxy/proxy.h"
#include "server/stack.h"

enum { BL_PARTS_LISTENERS = 64 };

struct bl_tables { /* what a reload exchanges; the names in it live in the loaded configuration */
        struct bl_trust *trust;
        unsigned n_trust;
        struct bl_static_route *map;
        unsigned n_map;
};
int bl_tables_init(struct bl_tables *t, const struct bl_options *o); /* 0, BL_ENOMEM: nothing to finish */
void bl_tables_fini(struct bl_tables *t);

struct bl_parts { /* owned by a stack; what bl_proxy_conf borrows */
        struct bl_world_listener listen[BL_PARTS_LISTENERS];
        struct bl_listener_info info[BL_PARTS_LISTENERS];
        unsigned n_listen;
        struct bl_tables tables;
};
int bl_parts_init(struct bl_parts *p, const struct bl_options *o, enum bl_stack_role role); /* 0, BL_ENOMEM */
void bl_parts_fini(struct bl_parts *p);
void bl_parts_world(const struct bl_parts *p, const struct bl_options *o, struct bl_world_conf *ret_conf);
/* After the listeners are bound: `addr` of each as it is. */
void bl_parts_bound(struct bl_parts *p, unsigned listener, const struct bl_addr *addr);
void bl_parts_proxy(const struct bl_parts *p, const struct bl_options *o, struct bl_proxy_conf *ret_conf);
