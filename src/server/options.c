#include "server/options.h"

#include "io/creds.h"
#include "io/world.h"

/* ---- what lists and maps hold ---- */

static const char *const sides[] = {[BL_SIDE_CORE] = "core", [BL_SIDE_EDGE] = "edge", [BL_SIDE_HOME] = "home", NULL};
static const struct bl_conf_option listener = {"listener", BL_CONF_POINT, BL_CONF_ELEM(struct bl_conf_point),
                                               .names = sides};

static const struct bl_conf_option net = {"range", BL_CONF_NET, BL_CONF_ELEM(struct bl_net)};
static const struct bl_conf_option nets = {"ranges", BL_CONF_LIST, BL_CONF_AT(struct bl_trust_option, nets),
                                           .elem = &net, .min = 1};
static const struct bl_conf_option point = {"target", BL_CONF_POINT, BL_CONF_ELEM(struct bl_conf_point)};
static const struct bl_conf_option points = {"targets", BL_CONF_LIST, BL_CONF_AT(struct bl_map_option, points),
                                             .elem = &point, .min = 1};
static const struct bl_conf_option node_point = {"target", BL_CONF_POINT, BL_CONF_AT(struct bl_node_option, point)};
static const struct bl_conf_option node_points = {"nodes", BL_CONF_MAP, BL_CONF_AT(struct bl_nodes_option, nodes),
                                                  .elem = &node_point, .elem_size = sizeof(struct bl_node_option)};
static const struct bl_conf_option server = {"server", BL_CONF_ADDR, BL_CONF_ELEM(struct bl_addr), .default_port = 53};

/* ---- smaller tables ---- */

static const struct bl_conf_option dns_options[] = {
        {"use", BL_CONF_BOOL, BL_CONF_AT(struct bl_dns_options, use), .def = "true",
         .help = "Whether names that `map` does not have are looked up in DNS at all."},
        {"servers", BL_CONF_LIST, BL_CONF_AT(struct bl_dns_options, servers), .elem = &server, .max = 8,
         .help = "Name servers to ask instead of the system's (`/etc/resolv.conf`). With this, `/etc/hosts` does not "
                 "count either.",
         .example = "[127.0.0.53:53]"},
        {"timeout", BL_CONF_MS, BL_CONF_AT(struct bl_dns_options, timeout_ms), .def = "1500ms", .min = 50, .max = 30000,
         .help = "How long the first try of a question may take. There are two per server."},
};
static const struct bl_conf_table dns_table =
        BL_CONF_TABLE_OF(struct bl_dns_options, dns_options, .name = "dns",
                         .help = "How names are looked up: by RFC 3263, with NAPTR, SRV, A and AAAA. Of A and AAAA "
                                 "only what `listen` has an address of is asked for.");

static const char *const levels[] = {
        [BL_LOG_ERROR] = "error", [BL_LOG_WARN] = "warn", [BL_LOG_INFO] = "info", [BL_LOG_DEBUG] = "debug", NULL};
static const char *const formats[] = {"text", "json", NULL};
static const struct bl_conf_option log_options[] = {
        {"level", BL_CONF_ENUM, BL_CONF_AT(struct bl_log_options, level), .names = levels, .def = "info", .live = true,
         .help = "The least important lines to write. Lines about single requests are `debug`: `request_leaves` says "
                 "which flow "
                 "a request takes, by which rank (1 exact match, 2 equivalent URI, 3 domain, 4 a connection opened for "
                 "it, 0 the sender named it) and kind of binding."},
        {"format", BL_CONF_ENUM, BL_CONF_AT(struct bl_log_options, format), .names = formats, .def = "text",
         .help = "`text`: `key=value` pairs; `json`: one object a line with the same keys. `--log` on the command line "
                 "wins."},
};
static const struct bl_conf_table log_table =
        BL_CONF_TABLE_OF(struct bl_log_options, log_options, .name = "log", .help = "Log lines go to standard error.");

static const struct bl_conf_option timer_options[] = {
        {"t1", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, t1_ms), .def = "500ms", .min = 10, .max = 10000,
         .help = "T1 of RFC 3261 section 17: the estimated round trip. All else follows from it."},
        {"t2", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, t2_ms), .def = "4s", .min = 10, .max = 60000,
         .help = "T2 of RFC 3261 section 17: the longest pause between retransmissions."},
        {"t4", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, t4_ms), .def = "5s", .min = 10, .max = 60000,
         .help = "T4 of RFC 3261 section 17: how long a message can stay in the network."},
        {"timer_c", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, timer_c_ms), .def = "181s", .min = 1000,
         .max = 3600000,
         .help = "How long a call may ring without a new provisional response (RFC 3261 section 16.6)."},
        {"failover_after", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, failover_after_ms), .def = "1s", .min = 50,
         .max = 30000,
         .help = "A neighbour that is belay too and does not even answer 100 for this long is passed over for the next "
                 "candidate."},
        {"keep_bindings", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, keep_bindings_ms), .def = "10s", .min = 100,
         .max = 600000,
         .help = "How long the bindings of a closed connection that we had opened are kept while it is opened again."},
        {"failed_target", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, failed_target_ms), .def = "10s", .min = 100,
         .max = 600000, .help = "How long an address that failed is tried last."},
        {"ping_every", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, ping_every_ms), .def = "5s", .min = 100,
         .max = 600000, .help = "How often the flows that we opened to other proxies are probed."},
        {"ping_wait", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, ping_wait_ms), .def = "2s", .min = 50,
         .max = 60000, .help = "How long the answer to a probe may take; then the flow is closed."},
        {"udp_idle", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, udp_idle_ms), .def = "180s", .min = 1000,
         .max = 86400000, .help = "A UDP peer that nothing is bound to is forgotten after so much silence."},
        {"stream_idle", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, stream_idle_ms), .def = "1h", .min = 1000,
         .max = 86400000, .help = "An accepted connection is closed after so much silence."},
        {"connect", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, connect_ms), .def = "10s", .min = 50, .max = 120000,
         .help = "How long opening a connection may take."},
        {"handshake", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, handshake_ms), .def = "10s", .min = 50,
         .max = 120000, .help = "How long the TLS handshake of a connection may take, whoever opened it."},
        {"stuck", BL_CONF_MS, BL_CONF_AT(struct bl_timer_options, stuck_ms), .def = "30s", .min = 50, .max = 600000,
         .help = "A connection whose far end reads nothing of what waits for it, or holds half a TLS record back, is "
                 "closed after this long."},
};
static const struct bl_conf_table timer_table = BL_CONF_TABLE_OF(
        struct bl_timer_options, timer_options, .name = "timers", .help = "Rarely to be touched, but for tests.");

static const struct bl_conf_option admin_options[] = {
        {"socket", BL_CONF_PATH, BL_CONF_AT(struct bl_admin_options, socket),
         .help = "A UNIX socket for `belay status`, `flows`, `bindings`, `metrics`; owner and group of the process may "
                 "use "
                 "it. `/run/belay/NODE.sock` is where these look by themselves.",
         .example = "/run/belay/e1.sock"},
        {"http", BL_CONF_ADDR, BL_CONF_AT(struct bl_admin_options, http), .default_port = 9464,
         .help = "The same over HTTP on a TCP address, read-only and without a password: `/metrics` for Prometheus, "
                 "`/v1/` for the rest. Keep it on loopback or a management network.",
         .example = "127.0.0.1:9464"},
};
static const struct bl_conf_table admin_table =
        BL_CONF_TABLE_OF(struct bl_admin_options, admin_options, .name = "admin", .help = "For the operator.");

static const struct bl_conf_option limit_options[] = {
        {"flows", BL_CONF_INT, BL_CONF_AT(struct bl_limit_options, flows), .def = "1000000", .min = 1, .max = 16000000,
         .help = "Flows (connections, UDP peers) per worker; more are refused."},
        {"message", BL_CONF_BYTES, BL_CONF_AT(struct bl_limit_options, message), .def = "64KiB", .min = 4096,
         .max = 64 << 10, .help = "The longest SIP message; a longer one is answered 513."},
        {"transactions", BL_CONF_BYTES, BL_CONF_AT(struct bl_limit_options, transactions), .def = "256MiB",
         .min = 1 << 20, .help = "Memory for transactions per worker; beyond it requests are answered 503."},
        {"memory", BL_CONF_BYTES, BL_CONF_AT(struct bl_limit_options, memory),
         .help = "Memory for everything that outlives a message, per worker. Not given: no limit."},
};
static const struct bl_conf_table limit_table =
        BL_CONF_TABLE_OF(struct bl_limit_options, limit_options, .name = "limits", .help = "What one node may use.");

static const char *const asks[] = {[BL_TLS_ASK] = "ask", [BL_TLS_NEVER] = "never", [BL_TLS_REQUIRE] = "require", NULL};
static const char *const cas[] = {"system", NULL};
static const struct bl_conf_option tls_file = {"file", BL_CONF_PATH, BL_CONF_ELEM(struct bl_str)};
static const struct bl_conf_option tls_options[] = {
        {"cert", BL_CONF_LIST, BL_CONF_AT(struct bl_tls_options, cert), .elem = &tls_file, .required = true, .min = 1,
         .max = BL_CREDS_IDS, .live = true,
         .help = "Our certificates: PEM files, in each our own certificate first, then its issuers. It proves the "
                 "cluster or the domains by SAN URIs `sip:DOMAIN` or SAN DNS names (RFC 5922). Of several the one is "
                 "shown that was asked for by name (SNI), else the first. The files are read again when they change, "
                 "and on SIGHUP; connections stay up. `belay cert` makes them for a lab.",
         .example = "[e1.pem, other.pem]"},
        {"key", BL_CONF_LIST, BL_CONF_AT(struct bl_tls_options, key), .elem = &tls_file, .max = BL_CREDS_IDS,
         .live = true,
         .help = "Their private keys, in the same order. Not given: each stands in its certificate's file."},
        {"ca", BL_CONF_PATH, BL_CONF_AT(struct bl_tls_options, ca), .names = cas, .def = "system", .live = true,
         .help = "Whose signature we believe: a PEM file of issuers, or `system`: those that this machine believes."},
        {"clients", BL_CONF_ENUM, BL_CONF_AT(struct bl_tls_options, clients), .names = asks, .def = "ask",
         .help = "Whether those who connect are asked for a certificate. `ask`: they may have none, as most UAs; other "
                 "proxies prove their domains by theirs. `never`: listeners where UAs come do not ask; `core` and "
                 "`home` listeners always do. `require`: who has no valid one is refused."},
};
static const struct bl_conf_table tls_table = BL_CONF_TABLE_OF(
        struct bl_tls_options, tls_options, .name = "tls",
        .help = "Needed for `tls` listeners, and to open TLS connections. TLS 1.2 and 1.3. Sessions are resumed by "
                "tickets, on any node of the cluster: their keys come from `key_file` and change with time.");

/* ---- the file ---- */

static const struct bl_conf_option options[] = {
        {"node", BL_CONF_STR, BL_CONF_AT(struct bl_options, node), .required = true, .min = 1, .max = 32,
         .help = "The node's name, as `edge.members` and the logs have it: letters, digits, `-` and `_`."},
        {"listen", BL_CONF_LIST, BL_CONF_AT(struct bl_options, listen), .elem = &listener, .required = true, .min = 1,
         .max = 64,
         .help = "Where to listen. One listener may serve UAs and other proxies: a far end in `trust`, a fellow member "
                 "or "
                 "one that we connected to is a proxy, all others are UAs. A `core` before it says that no UA comes "
                 "there. `udp 0.0.0.0:5060` is all addresses. An IPv6 address needs quotes around the whole entry. "
                 "With "
                 "both roles in one node `edge` or `home` before each listener says whose it is.",
         .example = "[udp 192.0.2.1:5060, tcp 192.0.2.1:5060, core tcp 10.0.0.1:5060, \"udp "
                    "[2001:db8::1]:5060\"]"},
        {"advertise", BL_CONF_DOMAIN, BL_CONF_AT(struct bl_options, advertise),
         .help = "The host to name in URIs of ours when the address that we listen on is not the one that others reach "
                 "(NAT, `0.0.0.0`)."},
        {"edge", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, edge), .table = &bl_edge_conf_table,
         .help = "This node is an edge proxy."},
        {"home", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, home), .table = &bl_home_conf_table,
         .help = "This node is a home proxy: registrar of its domains."},
        {"trust", BL_CONF_MAP, BL_CONF_AT(struct bl_options, trust), .elem = &nets,
         .elem_size = sizeof(struct bl_trust_option), .domain_keys = true, .live = true,
         .help = "Which domain a far end belongs to that has an address in these ranges. Without TLS this is what an "
                 "edge "
                 "knows its home by, and the other way round. Whoever can send from such an address is trusted: name "
                 "single addresses of networks that you control. Fellow `members` need not stand here. A reload closes "
                 "the "
                 "flows that it takes for another domain than before; their far ends come again.",
         .example = "{example.com: [10.0.2.0/24], edge.example.com: 10.0.1.7}"},
        {"map", BL_CONF_MAP, BL_CONF_AT(struct bl_options, map), .elem = &points,
         .elem_size = sizeof(struct bl_map_option), .domain_keys = true, .live = true,
         .help = "Where a domain or host is, instead of DNS; tried in this order. After a reload flows that are open "
                 "go on: "
                 "only new ones are opened by it.",
         .example = "{edge.example.com: [udp 127.0.1.1:5060, udp 127.0.1.2:5060]}"},
        {"nodes", BL_CONF_MAP, BL_CONF_AT(struct bl_options, nodes), .elem = &node_points,
         .elem_size = sizeof(struct bl_nodes_option), .domain_keys = true, .live = true,
         .help = "Where single nodes of a cluster are. With it a home that has forgotten a binding finds the right "
                 "edge at "
                 "the first try more often.",
         .example = "{edge.example.com: {e1: udp 127.0.1.1:5060, e2: udp 127.0.1.2:5060}}"},
        {"workers", BL_CONF_INT, BL_CONF_AT(struct bl_options, workers), .max = 64,
         .help = "Threads that serve, each with its own flows. 0 or not given: one per processor core."},
        {"udp_trains", BL_CONF_BOOL, BL_CONF_AT(struct bl_options, udp_trains), .def = "no",
         .help = "Hands datagrams of one flow that are equally long to the kernel in one piece, which it cuts apart "
                 "again "
                 "on the way out (UDP GSO). Under high load it spares some time per message. But what listens on this "
                 "machine (tcpdump, sngrep) sees them uncut: several messages in one."},
        {"drain", BL_CONF_MS, BL_CONF_AT(struct bl_options, drain_ms), .def = "2s", .max = 600000, .live = true,
         .help = "How long what is queued on connections is still sent after SIGTERM."},
        {"tls", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, tls), .table = &tls_table},
        {"dns", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, dns), .table = &dns_table, .def = "{}"},
        {"log", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, log), .table = &log_table, .def = "{}"},
        {"timers", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, timers), .table = &timer_table, .def = "{}"},
        {"limits", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, limits), .table = &limit_table, .def = "{}"},
        {"admin", BL_CONF_TABLE, BL_CONF_AT(struct bl_options, admin), .table = &admin_table, .def = "{}"},
};

static bool is_node_name(struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                char c = bl_lower(s.p[i]);
                if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
                        return false;
        }
        return s.n > 0;
}

static void complain_transport(struct bl_conf_check *c, size_t i)
{
        char text[64];
        struct bl_sb spoken = BL_SB(text);
        bl_world_put_spoken(&spoken);
        bl_conf_complain(c, "listen", "listener %zu: only %.*s can be listened on", i + 1,
                         BL_STR_ARG(bl_sb_str(&spoken)));
}

/* Each listener belongs to one role, and each role has one. */
static void check_listeners(const struct bl_options *o, struct bl_conf_check *c)
{
        const struct bl_conf_point *p = BL_CONF_ITEMS(o->listen, struct bl_conf_point);
        unsigned of_edge = 0, of_home = 0;
        for (size_t i = 0; i < o->listen.n; i++) {
                bool edge = p[i].word == BL_SIDE_EDGE || p[i].word == BL_SIDE_CORE, home = p[i].word == BL_SIDE_HOME;
                if ((edge && !o->edge) || (home && !o->home))
                        bl_conf_complain(c, "listen", "listener %zu is for \"%s\", which this node is not", i + 1,
                                         sides[p[i].word]);
                else if (!edge && !home && o->edge && o->home)
                        bl_conf_complain(c, "listen",
                                         "listener %zu is for edge or home? With both roles write one of "
                                         "them before the transport: edge udp 127.0.1.1:5060",
                                         i + 1);
                if (!bl_world_speaks(p[i].tp))
                        complain_transport(c, i);
                else if (bl_tp_is_secure(p[i].tp) && !o->tls)
                        bl_conf_complain(c, "listen",
                                         "listener %zu needs a certificate; add tls: {cert: FILE, key: FILE} "
                                         "(`belay cert` makes them for a lab)",
                                         i + 1);
                of_edge += edge;
                of_home += home;
        }
        if (o->edge && o->home && (!of_edge || !of_home))
                bl_conf_complain(c, "listen", "both roles need a listener of their own");
}

static void check(void *into, struct bl_conf_check *c)
{
        const struct bl_options *o = into;
        if (!is_node_name(o->node))
                bl_conf_complain(c, "node", "\"%.*s\" is not a node's name; use letters, digits, - and _",
                                 BL_STR_ARG(o->node));
        if (!o->edge && !o->home) {
                bl_conf_complain(c, NULL, "this node has no role; add edge: {cluster: …} or home: {domain: …}");
                return;
        }
        check_listeners(o, c);
        if (o->tls && o->tls->key.n && o->tls->key.n != o->tls->cert.n)
                bl_conf_complain(c, "tls", "there are %zu files in cert and %zu in key; each certificate has one key",
                                 o->tls->cert.n, o->tls->key.n);
        if (!o->edge)
                return;
        const struct bl_edge_option_member *m = BL_CONF_ITEMS(o->edge->members, struct bl_edge_option_member);
        for (size_t i = 0; i < o->edge->members.n; i++) {
                if (bl_str_ieq(m[i].name, o->node))
                        return;
        }
        bl_conf_complain(c, "node", "%.*s is not one of edge.members; add it there with its address",
                         BL_STR_ARG(o->node));
}

const struct bl_conf_table bl_options_table =
        BL_CONF_TABLE_OF(struct bl_options, options, .name = "belayd", .check = check);

void bl_options_manual(struct bl_sb *out)
{
        bl_sb_addz(
                out,
                "# Configuration of belayd\n\n"
                "<!-- Made by `belayd --print-manual` from the option tables; a test compares. Do not edit. -->\n\n"
                "The file is YAML. `belayd --check -c FILE` reads it, names every error with file, line, column and "
                "key, and ends. `examples/` has complete files.\n\n"
                "- a **duration** has a unit: `500ms`, `10s`, `5m`, `12h`, `7d`\n"
                "- a **size** is octets, or has a unit: `64KiB`, `10MiB`, `1GiB`\n"
                "- an **address** is a number, never a name: `192.0.2.1`, `192.0.2.1:5060`, `\"[2001:db8::1]:5060\"`\n"
                "- a **file** is relative to the folder of the configuration file\n"
                "- a list of one may be written without brackets\n\n"
                "SIGHUP reads the file again, and the keys and users of the files that it names, and applies what *a "
                "reload applies*; the log names what *needs a restart*. A file with an error changes nothing: the old "
                "configuration, keys or users stay, and the log says why.\n");
        bl_conf_manual(&bl_options_table, out);
}
