/* What belayd's configuration file can say, beside what the roles' own tables say. */
#pragma once
#include "conf/conf.h"
#include "edge/conf.h"
#include "home/conf.h"

/* The words that may stand before a listener's transport. */
enum bl_side {
        BL_SIDE_CORE, /* of the edge, for proxies only */
        BL_SIDE_EDGE,
        BL_SIDE_HOME
};

struct bl_trust_option {
        struct bl_str domain;
        struct bl_conf_array nets; /* struct bl_net */
};
struct bl_map_option {
        struct bl_str host;
        struct bl_conf_array points; /* struct bl_conf_point */
};
struct bl_node_option { /* one node's address */
        struct bl_str node;
        struct bl_conf_point point;
};
struct bl_nodes_option {
        struct bl_str cluster;
        struct bl_conf_array nodes; /* struct bl_node_option */
};
struct bl_dns_options {
        bool use;
        struct bl_conf_array servers; /* struct bl_addr */
        uint32_t timeout_ms;
};
struct bl_log_options {
        int level;  /* enum bl_level */
        int format; /* 1: JSON */
};
struct bl_timer_options {
        uint32_t t1_ms, t2_ms, t4_ms, timer_c_ms, failover_after_ms, keep_bindings_ms, failed_target_ms, ping_every_ms,
                ping_wait_ms, udp_idle_ms, stream_idle_ms, connect_ms, handshake_ms, stuck_ms;
};
struct bl_limit_options {
        uint32_t flows, message;
        uint64_t transactions, memory;
};

struct bl_admin_options {
        struct bl_str socket; /* empty: none */
        struct bl_addr http;  /* family 0: none */
};
struct bl_tls_options {
        struct bl_conf_array cert, key; /* struct bl_str: paths */
        struct bl_str ca;
        int clients; /* enum bl_tls_ask */
};

struct bl_options {
        struct bl_str node, advertise;
        struct bl_conf_array listen; /* struct bl_conf_point, word: enum bl_side */
        uint16_t workers;            /* 0: one per core */
        bool udp_trains;
        uint32_t drain_ms;
        struct bl_conf_array trust; /* struct bl_trust_option */
        struct bl_conf_array map;   /* struct bl_map_option */
        struct bl_conf_array nodes; /* struct bl_nodes_option */
        struct bl_tls_options *tls; /* NULL: no secure transports */
        struct bl_dns_options *dns;
        struct bl_log_options *log;
        struct bl_timer_options *timers;
        struct bl_limit_options *limits;
        struct bl_admin_options *admin;
        struct bl_edge_options *edge; /* NULL: not an edge */
        struct bl_home_options *home; /* NULL: not a home */
};
extern const struct bl_conf_table bl_options_table;

/* docs/configuration.md. Needs about 32 KiB. */
void bl_options_manual(struct bl_sb *out);
