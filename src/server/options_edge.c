/* The options of the role `edge`. */
#include "server/options.h"

static const struct bl_conf_option member_addr = {"address", BL_CONF_ADDR, BL_CONF_ELEM(struct bl_addr)};
static const struct bl_conf_option member = {
        "addresses", BL_CONF_LIST, BL_CONF_AT(struct bl_member_option, addr), .elem = &member_addr, .min = 1, .max = 2};
static const struct bl_conf_option text = {"text", BL_CONF_STR, BL_CONF_AT(struct bl_name_option, value), .min = 1,
                                           .max = 255};

static const char *const tokens[] = {"readable", "sealed", NULL};

static const struct bl_conf_option options[] = {
        {"cluster", BL_CONF_DOMAIN, BL_CONF_AT(struct bl_edge_options, cluster), .required = true,
         .help = "The cluster's name, equal on all its edges. UAs are sent to it, so it must resolve to all of them, "
                 "in "
                 "DNS or in the UAs' own map.",
         .example = "edge: {cluster: edge.example.com, key_file: cluster.key, members: {e1: 10.0.1.1, e2: 10.0.1.2}, "
                    "home: example.com}"},
        {"key_file", BL_CONF_PATH, BL_CONF_AT(struct bl_edge_options, key_file), .required = true,
         .help = "The cluster's keys, one `ID SECRET` a line; equal on all its edges. The first signs, all are "
                 "accepted. "
                 "`belayd --new-key` makes one."},
        {"members", BL_CONF_MAP, BL_CONF_AT(struct bl_edge_options, members), .elem = &member,
         .elem_size = sizeof(struct bl_member_option), .required = true, .min = 1, .max = 64,
         .help = "All nodes of the cluster, this one too, with the address that UAs and fellow edges reach them at "
                 "(one, "
                 "or an IPv4 and an IPv6 one). Without a port it is that of our first listener. They are trusted as "
                 "edges."},
        {"home", BL_CONF_LIST, BL_CONF_AT(struct bl_edge_options, homes), .elem = &bl_option_domain, .required = true,
         .min = 1, .max = 64,
         .help = "The domains whose users register through this cluster. `trust` says which far ends "
                 "are their homes."},
        {"next", BL_CONF_MAP, BL_CONF_AT(struct bl_edge_options, next), .elem = &text,
         .elem_size = sizeof(struct bl_name_option), .domain_keys = true, .max = 64,
         .help = "Where requests for a home domain go first when another proxy stands between: a SIP URI.",
         .example = "next: {example.com: \"sip:proxy.example.net\"}"},
        {"unaware", BL_CONF_LIST, BL_CONF_AT(struct bl_edge_options, unaware), .elem = &bl_option_domain, .max = 64,
         .help = "Home domains that are served by something else than belay: it is given more time to answer."},
        {"redirect_ok", BL_CONF_LIST, BL_CONF_AT(struct bl_edge_options, redirect_ok), .elem = &bl_option_domain,
         .max = 64,
         .help = "Domains whose proxies understand the redirect to another edge although their Via does not say so."},
        {"set_size", BL_CONF_INT, BL_CONF_AT(struct bl_edge_options, set_size), .def = "2", .min = 1, .max = 8,
         .help = "How many edges a UA registers with."},
        {"token", BL_CONF_ENUM, BL_CONF_AT(struct bl_edge_options, token), .names = tokens, .def = "readable",
         .help = "Whether user and nodes can be read in the URIs that name a registration, or are encrypted."},
        {"flow_timer", BL_CONF_MS, BL_CONF_AT(struct bl_edge_options, flow_timer_ms), .def = "120s", .min = 10000,
         .max = 3600000, .help = "How often UAs are asked to send keep-alives (RFC 5626 section 5.4)."},
        {"path_grace", BL_CONF_MS, BL_CONF_AT(struct bl_edge_options, path_grace_ms), .def = "30s", .min = 1000,
         .max = 3600000, .help = "How long a registration's binding outlives it here."},
        {"zones", BL_CONF_MAP, BL_CONF_AT(struct bl_edge_options, zones), .elem = &text,
         .elem_size = sizeof(struct bl_name_option), .max = 64,
         .help = "Which zone each member is in (room, site). Backups are then chosen in another one.",
         .example = "zones: {e1: north, e2: south}"},
        {"listen", BL_CONF_LIST, BL_CONF_AT(struct bl_edge_options, listen), .elem = &bl_option_listener, .max = 64,
         .help = "As `listen` of the whole node; for a node with both roles."},
};

static bool has_domain(const struct bl_conf_array *list, struct bl_str domain)
{
        const struct bl_str *d = BL_CONF_ITEMS(*list, struct bl_str);
        for (size_t i = 0; i < list->n; i++) {
                if (bl_str_eq(d[i], domain))
                        return true;
        }
        return false;
}

static bool has_member(const struct bl_edge_options *o, struct bl_str node)
{
        const struct bl_member_option *m = BL_CONF_ITEMS(o->members, struct bl_member_option);
        for (size_t i = 0; i < o->members.n; i++) {
                if (bl_str_ieq(m[i].node, node))
                        return true;
        }
        return false;
}

static void check(void *into, struct bl_conf_check *c)
{
        const struct bl_edge_options *o = into;
        const struct bl_name_option *next = BL_CONF_ITEMS(o->next, struct bl_name_option);
        const struct bl_name_option *zones = BL_CONF_ITEMS(o->zones, struct bl_name_option);
        const struct bl_str *unaware = BL_CONF_ITEMS(o->unaware, struct bl_str);
        if (has_domain(&o->homes, o->cluster))
                bl_conf_complain(c, "home",
                                 "the cluster's own name cannot be a home domain; users are of example.com, "
                                 "the cluster is edge.example.com");
        for (size_t i = 0; i < o->next.n; i++) {
                if (!has_domain(&o->homes, next[i].name))
                        bl_conf_complain(c, "next", "%.*s is not one of `home`", BL_STR_ARG(next[i].name));
        }
        for (size_t i = 0; i < o->unaware.n; i++) {
                if (!has_domain(&o->homes, unaware[i]))
                        bl_conf_complain(c, "unaware", "%.*s is not one of `home`", BL_STR_ARG(unaware[i]));
        }
        for (size_t i = 0; i < o->zones.n; i++) {
                if (!has_member(o, zones[i].name))
                        bl_conf_complain(c, "zones", "%.*s is not one of `members`", BL_STR_ARG(zones[i].name));
        }
}

const struct bl_conf_table bl_edge_options_table =
        BL_CONF_TABLE_OF(struct bl_edge_options, options, .name = "edge", .check = check,
                         .help = "An edge proxy: UAs keep their flows to it, and it replicates nothing.");
