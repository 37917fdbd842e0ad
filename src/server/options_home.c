/* The options of the role `home`. */
#include "server/options.h"

static const char *const policies[] = {[BL_HOME_REDIRECT] = "redirect",
                                       [BL_HOME_CHALLENGE_REDIRECT] = "challenge-then-redirect",
                                       [BL_HOME_ACCEPT] = "accept",
                                       NULL};

#define POLICY_HELP                                                                                                    \
        "What becomes of a registration that did not come through an edge: `redirect` sends the UA to the cluster, "   \
        "`challenge-then-redirect` does so once it is authenticated, `accept` takes it as it is. Not given: "          \
        "`redirect` with an `edge`, else `accept`."
#define EDGE_HELP "The edge cluster that UAs are sent to."
#define EDGES_HELP "Further clusters whose registrations are taken."
#define VIA_HELP "Domains of proxies that may stand between an edge and this home."
#define NO_AUTH_HELP "Nobody is asked for a password. For laboratories only; said in the log at each start."

static const struct bl_conf_option domain_options[] = {
        {"policy", BL_CONF_ENUM, BL_CONF_AT(struct bl_domain_options, policy), .names = policies, .help = POLICY_HELP},
        {"edge", BL_CONF_DOMAIN, BL_CONF_AT(struct bl_domain_options, edge), .help = EDGE_HELP},
        {"edges", BL_CONF_LIST, BL_CONF_AT(struct bl_domain_options, edges), .elem = &bl_option_domain, .max = 64,
         .help = EDGES_HELP},
        {"via", BL_CONF_LIST, BL_CONF_AT(struct bl_domain_options, via), .elem = &bl_option_domain, .max = 64,
         .help = VIA_HELP},
        {"no_auth", BL_CONF_BOOL, BL_CONF_AT(struct bl_domain_options, no_auth), .def = "false", .help = NO_AUTH_HELP},
};

static void check_policy(struct bl_domain_options *o, struct bl_conf_check *c)
{
        if (!bl_conf_given(c, "policy"))
                o->policy = o->edge.n ? BL_HOME_REDIRECT : BL_HOME_ACCEPT;
        else if (!o->edge.n && o->policy != BL_HOME_ACCEPT)
                bl_conf_complain(c, "policy",
                                 "there is no edge to redirect to; add edge: edge.example.com, or choose "
                                 "accept");
}

static void check_domain(void *into, struct bl_conf_check *c)
{
        check_policy(into, c);
}

static const struct bl_conf_table domain_table =
        BL_CONF_TABLE_OF(struct bl_domain_options, domain_options, .name = "domain", .check = check_domain,
                         .help = "One of several domains.");
static const struct bl_conf_option domain = {"domain", BL_CONF_TABLE, BL_CONF_AT(struct bl_domain_option, domain),
                                             .table = &domain_table};
static const struct bl_conf_option text = {"text", BL_CONF_STR, BL_CONF_AT(struct bl_name_option, value), .min = 1,
                                           .max = 255};

static const struct bl_conf_option options[] = {
        {"domain", BL_CONF_DOMAIN, BL_CONF_AT(struct bl_home_options, domain),
         .help = "The domain to serve. For several write `domains` instead.",
         .example = "home: {domain: example.com, edge: edge.example.com, key_file: home.key, users_file: users}"},
        {"edge", BL_CONF_DOMAIN, BL_CONF_AT(struct bl_home_options, one.edge), .help = EDGE_HELP},
        {"policy", BL_CONF_ENUM, BL_CONF_AT(struct bl_home_options, one.policy), .names = policies,
         .help = POLICY_HELP},
        {"users_file", BL_CONF_PATH, BL_CONF_AT(struct bl_home_options, users_file),
         .help = "The users and their hashed passwords, one a line; `belay user add` writes it."},
        {"key_file", BL_CONF_PATH, BL_CONF_AT(struct bl_home_options, key_file),
         .help = "The home's keys, not those of the edges; equal on all nodes of this home. `belayd --new-key` makes "
                 "one. "
                 "Without it a key is made up at each start: then a restart costs every UA one more challenge, and "
                 "calls "
                 "that are under way lose their way through this home."},
        {"edges", BL_CONF_LIST, BL_CONF_AT(struct bl_home_options, one.edges), .elem = &bl_option_domain, .max = 64,
         .help = EDGES_HELP},
        {"via", BL_CONF_LIST, BL_CONF_AT(struct bl_home_options, one.via), .elem = &bl_option_domain, .max = 64,
         .help = VIA_HELP},
        {"no_auth", BL_CONF_BOOL, BL_CONF_AT(struct bl_home_options, one.no_auth), .def = "false",
         .help = NO_AUTH_HELP},
        {"domains", BL_CONF_MAP, BL_CONF_AT(struct bl_home_options, domains), .elem = &domain,
         .elem_size = sizeof(struct bl_domain_option), .domain_keys = true, .max = 1000,
         .help = "Several domains, each with its own `edge`, `policy` and so on.",
         .example = "domains: {example.com: {edge: edge.example.com}, example.org: {policy: accept}}"},
        {"peers", BL_CONF_MAP, BL_CONF_AT(struct bl_home_options, peers), .elem = &text,
         .elem_size = sizeof(struct bl_name_option), .domain_keys = true, .max = 1000,
         .help = "Domains of others that may call here, and the SIP URI of their proxy; `dns`: the domain itself. Who "
                 "they "
                 "are is told by `trust`.",
         .example = "peers: {example.net: dns, example.org: \"sip:proxy.example.org\"}"},
        {"snapshot", BL_CONF_PATH, BL_CONF_AT(struct bl_home_options, snapshot),
         .help = "A file that registrations are written to and read from at start, so that a restart forgets none. Not "
                 "given: they are gone until UAs refresh them."},
        {"snapshot_every", BL_CONF_MS, BL_CONF_AT(struct bl_home_options, snapshot_every_ms), .def = "30s", .min = 1000,
         .max = 86400000, .help = "How often; it is also written at SIGTERM."},
        {"min_expires", BL_CONF_MS, BL_CONF_AT(struct bl_home_options, min_expires_ms), .def = "60s", .min = 1000,
         .max = 86400000, .help = "A registration for less is answered 423."},
        {"max_expires", BL_CONF_MS, BL_CONF_AT(struct bl_home_options, max_expires_ms), .def = "2h", .min = 1000,
         .max = 604800000, .help = "A registration for longer is cut to this."},
        {"default_expires", BL_CONF_MS, BL_CONF_AT(struct bl_home_options, default_expires_ms), .def = "1h",
         .min = 1000, .max = 604800000, .help = "How long a registration holds that does not say."},
        {"nonce_lifetime", BL_CONF_MS, BL_CONF_AT(struct bl_home_options, nonce_lifetime_ms), .def = "5m", .min = 1000,
         .max = 86400000, .help = "How long a challenge may be answered without a fresh one."},
        {"max_contacts", BL_CONF_INT, BL_CONF_AT(struct bl_home_options, max_contacts), .def = "32", .min = 1,
         .max = 1000, .help = "Registrations of one user at a time; more are refused."},
        {"listen", BL_CONF_LIST, BL_CONF_AT(struct bl_home_options, listen), .elem = &bl_option_listener, .max = 64,
         .help = "As `listen` of the whole node; for a node with both roles."},
};

static void check(void *into, struct bl_conf_check *c)
{
        struct bl_home_options *o = into;
        if (o->domain.n && o->domains.n)
                bl_conf_complain(c, "domains", "is there beside `domain`; write one of them");
        if (!o->domain.n && !o->domains.n)
                bl_conf_complain(c, "domain", "is missing: the domain to serve, e.g. domain: example.com");
        if (o->domain.n)
                check_policy(&o->one, c);
        if (o->min_expires_ms > o->default_expires_ms || o->default_expires_ms > o->max_expires_ms)
                bl_conf_complain(c, "default_expires", "must lie between min_expires and max_expires");
}

const struct bl_conf_table bl_home_options_table = BL_CONF_TABLE_OF(
        struct bl_home_options, options, .name = "home", .check = check,
        .help = "A home proxy: it authenticates the users of its domains, keeps their registrations and "
                "finds them.");
