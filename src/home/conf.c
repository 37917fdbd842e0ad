#include "home/conf.h"

static const char *const POLICIES[] = {"redirect", "challenge-then-redirect", "accept", NULL};

static const char *const OFFERS[] = {
        [BL_DIGEST_OFFER_BOTH] = "both", [BL_DIGEST_OFFER_MD5] = "md5", [BL_DIGEST_OFFER_SHA256] = "sha-256", NULL};

static const char *const CALLS_IN[] = {
        [BL_HOME_IN_LISTED] = "listed", [BL_HOME_IN_ANY] = "any", [BL_HOME_IN_NONE] = "none", NULL};
static const char *const CALLS_OUT[] = {
        [BL_HOME_OUT_ANY] = "any", [BL_HOME_OUT_LISTED] = "listed", [BL_HOME_OUT_NONE] = "none", NULL};

static const struct bl_conf_option domain = {"domain", BL_CONF_DOMAIN, BL_CONF_ELEM(struct bl_str)};
static const struct bl_conf_option group_edge = {"edge", BL_CONF_DOMAIN, BL_CONF_AT(struct bl_home_group, edge)};
static const struct bl_conf_option peer = {"uri", BL_CONF_STR, BL_CONF_AT(struct bl_home_option_peer, uri), .max = 255};

#define AT(m) BL_CONF_AT(struct bl_home_options, m)
static const struct bl_conf_option options[] = {
        {"domain", BL_CONF_LIST, AT(domain), .required = true, .elem = &domain, .min = 1, .max = 1024,
         .example = "example.com", .help = "The domains whose users register here."},
        {"edge", BL_CONF_DOMAIN, AT(edge), .example = "edge.example.com",
         .help = "The edge cluster that UAs are sent to, and whose requests are taken as checked. Not needed with "
                 "`policy: accept`."},
        {"more_edges", BL_CONF_LIST, AT(more_edges), .elem = &domain, .max = 64,
         .help = "Further clusters that count as edges of these domains."},
        {"group_edges", BL_CONF_MAP, AT(groups), .elem = &group_edge, .elem_size = sizeof(struct bl_home_group),
         .max = 64, .example = "{gold: gold-edge.example.com}",
         .help = "Clusters for subscribers of a group (the last field of a line of users_file), instead of `edge`."},
        {"via", BL_CONF_LIST, AT(via), .elem = &domain, .max = 64,
         .help = "Domains of proxies that stand between edges and home. A registration through one must still have an "
                 "edge in its Path."},
        {"policy", BL_CONF_ENUM, AT(policy), .def = "redirect", .names = POLICIES,
         .help = "What a REGISTER gets that did not come through an edge: `redirect` to the cluster; "
                 "`challenge-then-redirect`: the same, to "
                 "known users only; `accept`: registered directly, for set-ups without edges."},
        {"key_file", BL_CONF_PATH, AT(key_file), .required = true, .example = "home.key",
         .help = "The home's own keys, the same file on all its nodes (and not the edges'). It rotates as "
                 "`edge.key_file` does. "
                 "`belay key` makes one."},
        {"users_file", BL_CONF_PATH, AT(users_file), .example = "users",
         .help = "Who may register: one user a line, credentials hashed. `belay user add` writes it."},
        {"auth", BL_CONF_BOOL, AT(auth), .def = "yes",
         .help = "`no`: nobody is asked for a password. For laboratories only."},
        {"digest", BL_CONF_ENUM, AT(conf.digest), .def = "both", .names = OFFERS,
         .help = "Which digest algorithms are offered and taken. `both`: SHA-256 first, then MD5. `md5`: for phones "
                 "that "
                 "stumble over a challenge that they do not know instead of passing it over. `sha-256`: no MD5 any "
                 "more."},
        {"peers", BL_CONF_MAP, AT(peers), .elem = &peer, .elem_size = sizeof(struct bl_home_option_peer), .max = 4096,
         .example = "{b.com: \"sip:b.com\"}",
         .help = "Domains that may call our users without a password, by flows linked to them (their certificate; "
                 "without TLS `trust`), and where to send requests for them (empty: where DNS says)."},
        {"routes", BL_CONF_MAP, AT(routes), .elem = &peer, .elem_size = sizeof(struct bl_home_option_peer), .max = 4096,
         .example = "{c.com: \"sip:gw.example.net;lr\", \"*\": \"sip:transit.example.net;lr\"}",
         .help = "Where requests for a domain go instead of where DNS says; `*` is every other domain. A route lets "
                 "nobody in: that is what `peers` and `calls_in` are for."},
        {"calls_in", BL_CONF_ENUM, AT(calls_in), .def = "listed", .names = CALLS_IN,
         .help = "Which other domains may call our users without a password: `listed` in `peers`; `any` that proves "
                 "its name by certificate (mutual TLS) and speaks in that name; `none`. Nobody may have requests "
                 "relayed to a third domain."},
        {"calls_out", BL_CONF_ENUM, AT(calls_out), .def = "any", .names = CALLS_OUT,
         .help = "Which other domains our users may call: `any`; `listed` in `peers` or `routes`; `none`."},
        {"min_expires", BL_CONF_MS, AT(min_expires_ms), .def = "60s", .min = 1000, .max = 86400000,
         .help = "Shorter registrations are refused with 423."},
        {"max_expires", BL_CONF_MS, AT(max_expires_ms), .def = "2h", .min = 1000, .max = 604800000,
         .help = "Longer ones are cut to this."},
        {"default_expires", BL_CONF_MS, AT(default_expires_ms), .def = "1h", .min = 1000, .max = 604800000,
         .help = "For a REGISTER that names none."},
        {"nonce_lifetime", BL_CONF_MS, AT(nonce_lifetime_ms), .def = "300s", .min = 10000, .max = 86400000,
         .help = "How long a digest nonce is good; later it is answered with a new one and `stale`."},
        {"max_contacts", BL_CONF_INT, AT(max_contacts), .def = "32", .min = 1, .max = 1000,
         .help = "Bindings that one address of record may have."},
        {"snapshot", BL_CONF_PATH, AT(snapshot), .example = "/var/lib/belay/bindings",
         .help = "A file that registrations are written to and read back from at start, so that a restart forgets "
                 "none. "
                 "Without it they are gone until the UAs refresh them."},
        {"snapshot_every", BL_CONF_MS, AT(snapshot_every_ms), .def = "30s", .min = 1000, .max = 86400000,
         .help = "How often the snapshot is written; also at the end."},
};

static struct bl_home_peer *peers_of(const struct bl_conf_array *a, const char *key, struct bl_conf_check *c)
{
        const struct bl_home_option_peer *p = BL_CONF_ITEMS(*a, struct bl_home_option_peer);
        struct bl_home_peer *to = bl_arena_zalloc(bl_conf_check_arena(c), (a->n + 1) * sizeof *to);
        for (size_t i = 0; to && i < a->n; i++) {
                struct bl_uri u;
                if (p[i].uri.n && (bl_uri_parse(p[i].uri, &u) < 0 || u.scheme > BL_SCHEME_SIPS))
                        bl_conf_complain(c, key, "\"%.*s\" is not a SIP URI: write \"sip:HOST\"", BL_STR_ARG(p[i].uri));
                to[i] = (struct bl_home_peer){.domain = p[i].domain, .next = p[i].uri};
        }
        return to;
}

static void check(void *into, struct bl_conf_check *c)
{
        struct bl_home_options *o = into;
        const struct bl_str *d = BL_CONF_ITEMS(o->domain, struct bl_str);
        if (o->edge.n == 0 && o->policy != BL_HOME_ACCEPT)
                bl_conf_complain(c, "edge",
                                 "missing: name the edge cluster to redirect to (edge: edge.example.com), or set "
                                 "policy: accept");
        if (o->auth && o->users_file.n == 0)
                bl_conf_complain(c, "users_file",
                                 "missing: nobody could register; make one with `belay user add`, or set auth: no in a "
                                 "laboratory");
        if (o->min_expires_ms > o->max_expires_ms)
                bl_conf_complain(c, "min_expires", "is longer than max_expires");
        o->_domains = bl_arena_zalloc(bl_conf_check_arena(c), o->domain.n * sizeof *o->_domains);
        for (size_t i = 0; o->_domains && i < o->domain.n; i++)
                o->_domains[i] = (struct bl_home_domain){.name = d[i],
                                                         .policy = (enum bl_home_policy)o->policy,
                                                         .edge = o->edge,
                                                         .edges = o->more_edges.at,
                                                         .n_edges = (unsigned)o->more_edges.n,
                                                         .groups = o->groups.at,
                                                         .n_groups = (unsigned)o->groups.n,
                                                         .via = o->via.at,
                                                         .n_via = (unsigned)o->via.n,
                                                         .no_auth = !o->auth};
        o->_peers = peers_of(&o->peers, "peers", c);
        o->_routes = peers_of(&o->routes, "routes", c);
}

const struct bl_conf_table bl_home_conf_table = BL_CONF_TABLE_OF(
        struct bl_home_options, options, .name = "home", .check = check,
        .help = "A home proxy and registrar. All nodes of a home have the same options but for `node` and `listen`.");

void bl_home_options_apply(const struct bl_home_options *o, struct bl_home_conf *c)
{
        *c = o->conf;
        c->domains = o->_domains;
        c->n_domains = (unsigned)o->domain.n;
        c->peers = o->_peers;
        c->n_peers = (unsigned)o->peers.n;
        c->routes = o->_routes;
        c->n_routes = (unsigned)o->routes.n;
        c->calls_in = (enum bl_home_calls_in)o->calls_in;
        c->calls_out = (enum bl_home_calls_out)o->calls_out;
        c->min_expires_s = o->min_expires_ms / 1000;
        c->max_expires_s = o->max_expires_ms / 1000;
        c->default_expires_s = o->default_expires_ms / 1000;
        c->nonce_lifetime_s = o->nonce_lifetime_ms / 1000;
}
