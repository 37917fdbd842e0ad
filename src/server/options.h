/* What belayd's configuration file can say: one table, and one for each role. */
#pragma once
#include "conf/conf.h"
#include "home/home.h"

/* The words that may stand before a listener's transport. */
enum bl_side { BL_SIDE_CORE, BL_SIDE_UA };

struct bl_edge_options {
        struct bl_str cluster, key_file, zone;
        struct bl_conf_array listen;      /* struct bl_conf_point; only with both roles */
        struct bl_conf_array members;     /* struct bl_member_option */
        struct bl_conf_array zones;       /* struct bl_name_option: node -> zone */
        struct bl_conf_array homes;       /* struct bl_str */
        struct bl_conf_array next;        /* struct bl_name_option: home domain -> URI */
        struct bl_conf_array unaware;     /* struct bl_str */
        struct bl_conf_array redirect_ok; /* struct bl_str */
        int token;                        /* 1: sealed */
        uint8_t set_size;
        uint32_t flow_timer_ms, path_grace_ms;
};
struct bl_member_option {
        struct bl_str node;
        struct bl_conf_array addr; /* struct bl_addr, one or two */
};
struct bl_name_option {
        struct bl_str name, value;
};

struct bl_domain_options {
        int policy; /* enum bl_home_policy */
        struct bl_str edge;
        struct bl_conf_array edges, via; /* struct bl_str */
        bool no_auth;
};
struct bl_domain_option {
        struct bl_str name;
        struct bl_domain_options *domain;
};
struct bl_home_options {
        struct bl_str domain; /* the one domain, then described by `one`; else empty */
        struct bl_domain_options one;
        struct bl_conf_array domains; /* struct bl_domain_option */
        struct bl_conf_array listen;  /* struct bl_conf_point; only with both roles */
        struct bl_conf_array peers;   /* struct bl_name_option: domain -> URI, or "dns" */
        struct bl_str key_file, users_file, snapshot;
        uint32_t snapshot_every_ms, min_expires_ms, max_expires_ms, default_expires_ms, nonce_lifetime_ms;
        uint32_t max_contacts;
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
                ping_wait_ms, udp_idle_ms, stream_idle_ms, connect_ms;
};
struct bl_limit_options {
        uint32_t flows, message;
        uint64_t transactions, memory;
};

struct bl_options {
        struct bl_str node, advertise;
        struct bl_conf_array listen; /* struct bl_conf_point, word: enum bl_side */
        uint16_t workers;            /* 0: one per core */
        uint32_t drain_ms;
        struct bl_conf_array trust; /* struct bl_trust_option */
        struct bl_conf_array map;   /* struct bl_map_option */
        struct bl_conf_array nodes; /* struct bl_nodes_option */
        struct bl_dns_options *dns;
        struct bl_log_options *log;
        struct bl_timer_options *timers;
        struct bl_limit_options *limits;
        struct bl_edge_options *edge; /* NULL: not an edge */
        struct bl_home_options *home; /* NULL: not a home */
};
extern const struct bl_conf_table bl_options_table, bl_edge_options_table, bl_home_options_table;

extern const struct bl_conf_option bl_option_listener; /* what a `listen` list holds */
extern const struct bl_conf_option bl_option_domain;   /* what a list of domains holds */

/* docs/configuration.md. Needs about 32 KiB. */
void bl_options_manual(struct bl_sb *out);
