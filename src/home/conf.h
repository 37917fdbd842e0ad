/* The options of the home role. Those that need no translation are read into the role's own struct. */
#pragma once
#include "conf/conf.h"
#include "home/home.h"

struct bl_home_options {
        struct bl_home_conf conf; /* digest; the rest is filled in by bl_home_options_apply */
        struct bl_str edge, key_file, users_file, snapshot;
        struct bl_conf_array domain;          /* struct bl_str */
        struct bl_conf_array more_edges, via; /* struct bl_str */
        struct bl_conf_array groups;          /* struct bl_home_group */
        struct bl_conf_array peers, routes;   /* struct bl_home_option_peer */
        int policy, calls_in, calls_out;
        bool auth;
        uint32_t min_expires_ms, max_expires_ms, default_expires_ms, nonce_lifetime_ms;
        uint32_t snapshot_every_ms;
        unsigned max_contacts;
        struct bl_home_domain *_domains; /* filled by the table's check */
        struct bl_home_peer *_peers, *_routes;
};
struct bl_home_option_peer {
        struct bl_str domain, uri;
};
extern const struct bl_conf_table bl_home_conf_table;
/* Fills all but node, keys, store and proxy. What it points to lives as long as the loaded configuration. */
void bl_home_options_apply(const struct bl_home_options *o, struct bl_home_conf *ret_conf);
