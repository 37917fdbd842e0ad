/* The options of the edge role. Those that need no translation are read into the role's own struct. */
#pragma once
#include "conf/conf.h"
#include "edge/edge.h"

struct bl_edge_options {
        struct bl_edge_conf conf; /* cluster, zone, set_size; the rest is filled in by bl_edge_options_apply */
        struct bl_str key_file;
        struct bl_conf_array members;            /* struct bl_edge_option_member */
        struct bl_conf_array zones;              /* struct bl_edge_option_zone */
        struct bl_conf_array home;               /* struct bl_str: domains */
        struct bl_conf_array next;               /* struct bl_edge_option_next */
        struct bl_conf_array pin;                /* struct bl_edge_option_pin */
        struct bl_conf_array plain, redirect_ok; /* struct bl_str */
        int token;
        uint32_t flow_timer_ms, grace_ms;
        struct bl_edge_member *_members; /* filled by the table's check */
        struct bl_edge_home *_homes;
        struct bl_edge_pin *_pins;
};
struct bl_edge_option_member {
        struct bl_str name;
        struct bl_conf_array addrs; /* struct bl_addr */
};
struct bl_edge_option_zone {
        struct bl_str name, zone;
};
struct bl_edge_option_pin {
        struct bl_str who;
        struct bl_conf_array nodes; /* struct bl_str */
};
struct bl_edge_option_next {
        struct bl_str domain, uri;
};
extern const struct bl_conf_table bl_edge_conf_table;
/* Fills all but node, keys and proxy. What it points to lives as long as the loaded configuration. */
void bl_edge_options_apply(const struct bl_edge_options *o, struct bl_edge_conf *ret_conf);
