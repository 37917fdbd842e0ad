#include "edge/conf.h"

static const char *const TOKENS[] = {"readable", "sealed", NULL};

static const struct bl_conf_option addr = {"address", BL_CONF_ADDR, BL_CONF_ELEM(struct bl_addr)};
static const struct bl_conf_option domain = {"domain", BL_CONF_DOMAIN, BL_CONF_ELEM(struct bl_str)};
static const struct bl_conf_option member = {
        "member", BL_CONF_LIST, BL_CONF_AT(struct bl_edge_option_member, addrs), .elem = &addr, .min = 1, .max = 2};
static const struct bl_conf_option zone = {"zone", BL_CONF_STR, BL_CONF_AT(struct bl_edge_option_zone, zone), .min = 1,
                                           .max = 64};
static const struct bl_conf_option node = {"node", BL_CONF_STR, BL_CONF_ELEM(struct bl_str), .min = 1, .max = 64};
static const struct bl_conf_option pin = {"nodes",       BL_CONF_LIST, BL_CONF_AT(struct bl_edge_option_pin, nodes),
                                          .elem = &node, .min = 1,     .max = BL_TOKEN_NODES};
static const struct bl_conf_option next = {"uri", BL_CONF_STR, BL_CONF_AT(struct bl_edge_option_next, uri), .min = 5,
                                           .max = 255};

#define AT(m) BL_CONF_AT(struct bl_edge_options, m)
static const struct bl_conf_option options[] = {
        {"cluster", BL_CONF_DOMAIN, AT(conf.cluster), .required = true, .example = "edge.example.com",
         .help = "The name of the cluster, equal on all its edges: the host of every Path URI, and what Via and "
                 "Record-Route name."},
        {"key_file", BL_CONF_PATH, AT(key_file), .required = true, .example = "cluster.key",
         .help = "The cluster's keys, the same file on all its edges. Lines `ID SECRET`; the first signs, all verify, "
                 "so that keys rotate: add the new one as the last line on all edges and reload them (SIGHUP), then "
                 "move it to "
                 "the top in the same way. Take the old one away when no call of its time is left. `belay key` makes "
                 "one."},
        {"members", BL_CONF_MAP, AT(members), .required = true, .elem = &member,
         .elem_size = sizeof(struct bl_edge_option_member), .min = 1, .max = 4096,
         .example = "{e1: 127.0.1.1, e3: 127.0.1.3}",
         .help = "All edges of the cluster by name, this one too, each with its address (one per IP family) that UAs "
                 "and homes can reach. "
                 "Without a port: the one this node listens on. A flow from such an address is taken for that edge."},
        {"home", BL_CONF_LIST, AT(home), .required = true, .elem = &domain, .min = 1, .max = 1024,
         .example = "example.com",
         .help = "The home domains that this edge serves. The first is the default and is left out of Path URIs."},
        {"next", BL_CONF_MAP, AT(next), .elem = &next, .elem_size = sizeof(struct bl_edge_option_next), .max = 1024,
         .example = "{example.com: \"sip:border.example.net;lr\"}",
         .help = "Where requests for a home domain go instead of to `sip:DOMAIN`: a proxy between edge and home."},
        {"plain", BL_CONF_LIST, AT(plain), .elem = &domain, .max = 1024,
         .help = "Home domains whose servers are not belay: they may stay silent for a while without being taken for "
                 "dead."},
        {"redirect_ok", BL_CONF_LIST, AT(redirect_ok), .elem = &domain, .max = 1024,
         .help = "Domains of upstream servers that follow the rebuilding redirect (305) though their Via has no "
                 "`;sticky`. To all others the edge "
                 "forwards by itself."},
        {"set_size", BL_CONF_INT, AT(conf.set_size), .def = "2", .min = 1, .max = BL_TOKEN_NODES,
         .help = "How many edges a UA is told to keep flows to: this one and backups."},
        {"pin", BL_CONF_MAP, AT(pin), .elem = &pin, .elem_size = sizeof(struct bl_edge_option_pin), .max = 1024,
         .example = "{joe@example.com: [e1, e3]}",
         .help = "Subscribers (`*@example.com`: all of a domain) and the members that serve them, instead of the edge "
                 "they reach and its backups."},
        {"zone", BL_CONF_STR, AT(conf.zone), .max = 64,
         .help = "The zone of this node. A backup is chosen in another zone."},
        {"zones", BL_CONF_MAP, AT(zones), .elem = &zone, .elem_size = sizeof(struct bl_edge_option_zone), .max = 4096,
         .example = "{e1: north, e3: south}", .help = "The zone of each member."},
        {"token", BL_CONF_ENUM, AT(token), .def = "readable", .names = TOKENS,
         .help = "How Path URIs are written: `readable` shows AOR, instance and edges in a trace; `sealed` encrypts "
                 "them."},
        {"flow_timer", BL_CONF_MS, AT(flow_timer_ms), .def = "120s", .min = 10000, .max = 3600000,
         .help = "What UAs with outbound support are told in Flow-Timer (RFC 5626): how often they send keep-alives."},
        {"grace", BL_CONF_MS, AT(grace_ms), .def = "30s", .min = 1000, .max = 600000,
         .help = "How long a UA's flow stays bound after its registration expired, or after the keep-alives that "
                 "flow_timer asks for should have come."},
};

static void *array(struct bl_conf_check *c, size_t n, size_t size)
{
        return bl_arena_zalloc(bl_conf_check_arena(c), n * size);
}

static void check_members(struct bl_edge_options *o, struct bl_conf_check *c)
{
        const struct bl_edge_option_member *m = BL_CONF_ITEMS(o->members, struct bl_edge_option_member);
        const struct bl_edge_option_zone *z = BL_CONF_ITEMS(o->zones, struct bl_edge_option_zone);
        o->_members = array(c, o->members.n, sizeof *o->_members);
        for (size_t i = 0; o->_members && i < o->members.n; i++) {
                struct bl_edge_member *to = &o->_members[i];
                const struct bl_addr *a = BL_CONF_ITEMS(m[i].addrs, struct bl_addr);
                to->name = m[i].name;
                for (size_t k = 0; k < m[i].addrs.n && k < 2; k++)
                        to->addr[to->n_addr++] = a[k];
                for (size_t k = 0; k < o->zones.n; k++)
                        if (bl_str_ieq(z[k].name, m[i].name))
                                to->zone = z[k].zone;
                for (size_t k = 0; k < m[i].name.n; k++)
                        if (!(m[i].name.p[k] == '-' || m[i].name.p[k] == '_' ||
                              (m[i].name.p[k] >= '0' && m[i].name.p[k] <= '9') ||
                              (bl_lower(m[i].name.p[k]) >= 'a' && bl_lower(m[i].name.p[k]) <= 'z'))) {
                                bl_conf_complain(c, "members",
                                                 "\"%.*s\" is not a name for a node: use letters, digits, - and _",
                                                 BL_STR_ARG(m[i].name));
                                break;
                        }
        }
}

static void check_pins(struct bl_edge_options *o, struct bl_conf_check *c)
{
        const struct bl_edge_option_pin *p = BL_CONF_ITEMS(o->pin, struct bl_edge_option_pin);
        o->_pins = array(c, o->pin.n + 1, sizeof *o->_pins);
        for (size_t i = 0; o->_pins && i < o->pin.n; i++) {
                const struct bl_str *n = BL_CONF_ITEMS(p[i].nodes, struct bl_str);
                o->_pins[i] = (struct bl_edge_pin){.who = p[i].who, .nodes = n, .n_nodes = (unsigned)p[i].nodes.n};
                if (bl_str_find(p[i].who, '@') < 1)
                        bl_conf_complain(c, "pin", "\"%.*s\" is nobody: write user@domain, or *@domain",
                                         BL_STR_ARG(p[i].who));
                for (size_t k = 0; k < p[i].nodes.n; k++) {
                        bool known = false;
                        for (size_t m = 0; m < o->members.n; m++)
                                known |= bl_str_ieq(o->_members[m].name, n[k]);
                        if (!known)
                                bl_conf_complain(c, "pin", "\"%.*s\" is not one of members", BL_STR_ARG(n[k]));
                }
        }
}

static void check(void *into, struct bl_conf_check *c)
{
        struct bl_edge_options *o = into;
        const struct bl_str *home = BL_CONF_ITEMS(o->home, struct bl_str),
                            *plain = BL_CONF_ITEMS(o->plain, struct bl_str);
        const struct bl_edge_option_next *n = BL_CONF_ITEMS(o->next, struct bl_edge_option_next);
        check_members(o, c);
        if (o->_members)
                check_pins(o, c);
        o->_homes = array(c, o->home.n, sizeof *o->_homes);
        for (size_t i = 0; o->_homes && i < o->home.n; i++) {
                o->_homes[i] = (struct bl_edge_home){.domain = home[i], .belay = true};
                for (size_t k = 0; k < o->plain.n; k++)
                        if (bl_str_ieq(plain[k], home[i]))
                                o->_homes[i].belay = false;
                for (size_t k = 0; k < o->next.n; k++)
                        if (bl_str_ieq(n[k].domain, home[i]))
                                o->_homes[i].next = n[k].uri;
        }
        for (size_t k = 0; k < o->next.n; k++) {
                struct bl_uri u;
                if (bl_uri_parse(n[k].uri, &u) < 0 || u.scheme > BL_SCHEME_SIPS || !bl_uri_is_lr(&u))
                        bl_conf_complain(c, "next", "\"%.*s\" is not a SIP URI with ;lr: write \"sip:HOST;lr\"",
                                         BL_STR_ARG(n[k].uri));
        }
}

const struct bl_conf_table bl_edge_conf_table =
        BL_CONF_TABLE_OF(struct bl_edge_options, options, .name = "edge", .check = check,
                         .help = "An edge proxy: UAs keep flows to it. All edges of a cluster have the same options "
                                 "but for `node`, `listen` and `zone`.");

void bl_edge_options_apply(const struct bl_edge_options *o, struct bl_edge_conf *c)
{
        *c = o->conf;
        c->members = o->_members;
        c->n_members = (unsigned)o->members.n;
        c->homes = o->_homes;
        c->n_homes = (unsigned)o->home.n;
        c->sealed = o->token == 1;
        c->pins = o->_pins;
        c->n_pins = (unsigned)o->pin.n;
        c->flow_timer_s = o->flow_timer_ms / 1000;
        c->path_grace_s = o->grace_ms / 1000;
        c->redirect_ok = o->redirect_ok.at;
        c->n_redirect_ok = (unsigned)o->redirect_ok.n;
}
