/* The demo's cluster: a home, edges and two phones as processes of their own on loopback addresses, with configuration
 * written for them. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/demo_internal.h"
#include "io/cert.h"
#include "store/users.h"

#define CLUSTER "edge.example.com"
#define DOMAIN "example.com"
enum { DAYS = 60 /* of certificates */ };

static struct bl_addr address(const struct demo *d, uint8_t host)
{
        return (struct bl_addr){
                .family = 4, .port = d->tp == BL_TLS ? DEMO_TLS_PORT : DEMO_PORT, .ip = {127, 0, d->net, host}};
}

static bool write_file(struct demo *d, const char *path, const char *text)
{
        FILE *f = fopen(path, "w");
        bool ok = f && fputs(text, f) >= 0;
        if (f)
                ok &= fclose(f) == 0;
        if (!ok)
                demo_fail(d, "%s: cannot be written: %s; set TMPDIR to a folder that can", path, strerror(errno));
        return ok;
}

/* Over TLS the certificates say who belongs to which domain; else addresses have to. */
static void put_trust(const struct demo *d, struct bl_sb *b, const char *domain, unsigned from, unsigned to)
{
        if (d->tp == BL_TLS)
                return;
        bl_sb_fmt(b, "trust: {%s: [", domain);
        for (unsigned i = from; i < to; i++) {
                bl_sb_addz(b, i > from ? ", " : "");
                bl_addr_put_ip(b, &d->node[i].addr);
        }
        bl_sb_addz(b, "]}\n");
}

static const char *tp_word(const struct demo *d)
{
        return d->tp == BL_UDP ? "udp" : d->tp == BL_TCP ? "tcp" : "tls";
}

static void put_listen(const struct demo *d, const struct node *n, struct bl_sb *b)
{
        bl_sb_fmt(b, "node: %s\nlisten: [", n->name);
        if (d->tp == BL_TLS) {
                const char *name = n == &d->node[HOME] ? DOMAIN : CLUSTER;
                bl_sb_addz(b, "tls ");
                bl_addr_put(b, &n->addr);
                bl_sb_fmt(b, "]\ntls: {cert: %s.pem, key: %s.key, ca: ca.pem}", name, name);
        } else {
                bl_sb_addz(b, "udp ");
                bl_addr_put(b, &n->addr);
                bl_sb_addz(b, ", tcp ");
                bl_addr_put(b, &n->addr);
                bl_sb_addc(b, ']');
        }
        bl_sb_fmt(b, "\nworkers: %u\nlog: {level: debug}\n", d->workers);
}

/* `NAME: [udp A, udp B]` */
static void put_points(const struct demo *d, struct bl_sb *b, const char *name, unsigned from, unsigned to)
{
        bl_sb_fmt(b, "%s: [", name);
        for (unsigned i = from; i < to; i++) {
                bl_sb_fmt(b, "%s%s ", i > from ? ", " : "", tp_word(d));
                bl_addr_put(b, &d->node[i].addr);
        }
        bl_sb_addc(b, ']');
}

static bool write_home(struct demo *d, struct node *n)
{
        char text[4096];
        struct bl_sb b = {text, 0, sizeof text - 1, false};
        put_listen(d, n, &b);
        bl_sb_addz(&b, "home: {domain: example.com, edge: edge.example.com, key_file: home.key, users_file: users, "
                       "min_expires: 1s}\n");
        put_trust(d, &b, CLUSTER, EDGE1, d->n_node);
        bl_sb_addz(&b, "map: {");
        put_points(d, &b, CLUSTER, EDGE1, d->n_node);
        bl_sb_addz(&b, "}\n");
        text[b.n] = 0;
        return !b.over && write_file(d, n->dir_file, text);
}

static bool write_edge(struct demo *d, struct node *n)
{
        char text[4096];
        struct bl_sb b = {text, 0, sizeof text - 1, false};
        put_listen(d, n, &b);
        bl_sb_addz(&b, "edge: {cluster: edge.example.com, key_file: cluster.key, home: example.com, members: {");
        for (unsigned i = EDGE1; i < d->n_node; i++) {
                bl_sb_fmt(&b, "%s%s: ", i > EDGE1 ? ", " : "", d->node[i].name);
                bl_addr_put_ip(&b, &d->node[i].addr);
        }
        bl_sb_addc(&b, '}');
        if (d->edges >= 3) /* two backups, so that a home that forgot can guess wrong and be redirected */
                bl_sb_addz(&b, ", pin: {alice@example.com: [e1, e3], bob@example.com: [e1, e2]}");
        bl_sb_addz(&b, "}\n");
        put_trust(d, &b, DOMAIN, HOME, HOME + 1);
        bl_sb_addz(&b, "map: {");
        put_points(d, &b, DOMAIN, HOME, HOME + 1);
        bl_sb_addz(&b, "}\n");
        text[b.n] = 0;
        return !b.over && write_file(d, n->dir_file, text);
}

static bool write_key(struct demo *d, const char *name)
{
        char path[300], text[80];
        uint8_t secret[32];
        struct bl_sb b = {text, 0, sizeof text - 1, false};
        d->env->ops->random(d->env, secret, sizeof secret);
        bl_sb_addz(&b, "a ");
        bl_sb_hex(&b, secret, sizeof secret);
        bl_sb_addc(&b, '\n');
        text[b.n] = 0;
        snprintf(path, sizeof path, "%s/%s", d->dir, name);
        return write_file(d, path, text);
}

static bool write_users(struct demo *d)
{
        char path[300], text[1024];
        struct bl_sb b = {text, 0, sizeof text - 1, false};
        const struct bl_str none = {NULL, 0};
        bl_users_line(BL_STR("alice"), BL_STR("example.com"), BL_STR("wonder"), none, &b);
        bl_sb_addc(&b, '\n');
        bl_users_line(BL_STR("bob"), BL_STR("example.com"), BL_STR("builder"), none, &b);
        bl_sb_addc(&b, '\n');
        text[b.n] = 0;
        snprintf(path, sizeof path, "%s/users", d->dir);
        return !b.over && write_file(d, path, text);
}

/* What `belay cert DOMAIN CLUSTER` would do; and where the programs are to write the keys of their connections, which
 * is what the observer of encrypted ones needs. */
static bool write_certificates(struct demo *d)
{
        struct bl_cert_ca *ca = NULL;
        struct bl_sb err = {d->why, 0, sizeof d->why - 1, false};
        struct bl_str domain = BL_STR(DOMAIN), cluster = BL_STR(CLUSTER);
        int64_t wall = (int64_t)time(NULL);
        bool made;
        int rc = bl_cert_open(d->dir, DAYS, wall, &err, &made, &ca);
        if (rc == 0 && (rc = bl_cert_issue(ca, &domain, 1, DAYS, wall, &err)) == 0)
                rc = bl_cert_issue(ca, &cluster, 1, DAYS, wall, &err);
        bl_cert_close(ca);
        if (rc < 0) {
                d->why[err.n] = 0;
                d->failed = true;
                return false;
        }
        snprintf(d->keylog_file, sizeof d->keylog_file, "%s/tls.keys", d->dir);
        if (setenv("SSLKEYLOGFILE", d->keylog_file, 1) < 0) {
                demo_fail(d, "SSLKEYLOGFILE cannot be set: %s", strerror(errno));
                return false;
        }
        return true;
}

static void name_node(struct demo *d, unsigned i, const char *name, uint8_t host, bool is_ua)
{
        struct node *n = &d->node[i];
        n->demo = d;
        n->is_ua = is_ua;
        n->addr = address(d, host);
        snprintf(n->name, sizeof n->name, "%s", name);
        snprintf(n->dir_file, sizeof n->dir_file, "%s/%s.yaml", d->dir, name);
        snprintf(n->log_file, sizeof n->log_file, "%s/%s.log", d->dir, name);
}

/* Our own folder: the programs lie beside us. */
static bool find_programs(struct demo *d)
{
        char self[300];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        if (n <= 0) {
                demo_fail(d, "/proc/self/exe: cannot be read: %s", strerror(errno));
                return false;
        }
        self[n] = 0;
        char *slash = strrchr(self, '/');
        if (slash)
                *slash = 0;
        snprintf(d->bin, sizeof d->bin, "%s", self);
        char path[400];
        snprintf(path, sizeof path, "%s/belayd", d->bin);
        if (access(path, X_OK) < 0) {
                demo_fail(d, "%s: not there; build it first (./dev demo does)", path);
                return false;
        }
        return true;
}

bool demo_prepare(struct demo *d)
{
        const char *tmp = getenv("TMPDIR");
        snprintf(d->dir, sizeof d->dir, "%s/belay-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(d->dir)) {
                demo_fail(d, "%s: cannot be made: %s; set TMPDIR to a folder that can", d->dir, strerror(errno));
                return false;
        }
        if (!find_programs(d))
                return false;
        name_node(d, ALICE, "alice", 101, true);
        name_node(d, BOB, "bob", 102, true);
        name_node(d, HOME, "home", 10, false);
        for (unsigned i = 0; i < d->edges; i++) {
                char name[16];
                snprintf(name, sizeof name, "e%u", i + 1);
                name_node(d, EDGE1 + i, name, (uint8_t)(11 + i), false);
        }
        d->n_node = EDGE1 + d->edges;
        bool ok = write_key(d, "home.key") && write_key(d, "cluster.key") && write_users(d) &&
                  write_home(d, &d->node[HOME]) && (d->tp != BL_TLS || write_certificates(d));
        for (unsigned i = EDGE1; ok && i < d->n_node; i++)
                ok = write_edge(d, &d->node[i]);
        return ok;
}

/* --- starting and ending --- */

/* belayd listens when a connection to it is taken. */
static void probe(struct bl_timer *t)
{
        struct node *n = BL_CONTAINER(t, struct node, again);
        struct bl_target to = {.tp = BL_TCP, .to = n->addr, .listener = BL_LISTENER_NONE};
        if (n->demo->env->ops->open(n->demo->env, &to, n, &n->probe) < 0)
                env_arm_in(n->demo->env, t, BL_MS(50));
}

static void probe_up(struct env *e, bl_flow_id f, const struct bl_peer *p, void *user)
{
        (void)p;
        struct node *n = user;
        if (n)
                n->listening = true;
        e->ops->close(e, f, false);
}

static void probe_data(struct env *e, bl_flow_id f, void *user, struct bl_str o, bool datagram)
{
        (void)e, (void)f, (void)user, (void)o, (void)datagram;
}

static void probe_writable(struct env *e, bl_flow_id f, void *user)
{
        (void)e, (void)f, (void)user;
}

static void probe_down(struct env *e, bl_flow_id f, void *user, int why)
{
        (void)f, (void)why;
        struct node *n = user;
        if (n && !n->listening && n->child)
                env_arm_in(e, &n->again, BL_MS(20));
}

static void probe_turn(struct env *e)
{
        (void)e;
}

const struct env_events *demo_env_events(void)
{
        static const struct env_events ev = {probe_up, probe_data, probe_writable, probe_down, probe_turn};
        return &ev;
}

static bool start_child(struct demo *d, struct node *n, const char *const *argv)
{
        struct bl_child_conf c = {.argv = argv,
                                  .line = n->is_ua ? demo_phone_line : NULL,
                                  .exited = demo_node_exited,
                                  .arg = n,
                                  .log_file = n->log_file};
        int rc = bl_child_start(d->world, &c, &n->child);
        if (rc < 0)
                demo_fail(d, "%s: cannot be started: %s", argv[0], bl_err_text(rc));
        n->wanted = rc == 0;
        return rc == 0;
}

static bool start_server(struct demo *d, struct node *n)
{
        char path[400];
        snprintf(path, sizeof path, "%s/belayd", d->bin);
        const char *argv[] = {path, "-c", n->dir_file, NULL};
        n->listening = false;
        n->again.fire = probe;
        if (!start_child(d, n, argv))
                return false;
        env_arm_in(d->env, &n->again, BL_MS(20));
        return true;
}

static bool start_phone(struct demo *d, struct node *n)
{
        char path[400], ca[300], aor[64], bind[BL_ADDR_TEXT], map[DEMO_EDGES + 1][120];
        const char *argv[40];
        unsigned at = 0;
        struct bl_sb b = {bind, 0, sizeof bind - 1, false};
        bl_addr_put_ip(&b, &n->addr);
        bind[b.n] = 0;
        snprintf(path, sizeof path, "%s/belay", d->bin);
        snprintf(aor, sizeof aor, "sip:%s@example.com", n->name);
        argv[at++] = path;
        argv[at++] = "ua";
        argv[at++] = "answer";
        argv[at++] = "--interactive";
        argv[at++] = "--verbose";
        argv[at++] = "--aor";
        argv[at++] = aor;
        argv[at++] = "--password";
        argv[at++] = n == &d->node[ALICE] ? "wonder" : "builder";
        /* Over UDP nothing tells a phone that an edge came back without its flows, but the next refresh: soon. */
        argv[at++] = "--expires";
        argv[at++] = "4";
        argv[at++] = "--bind";
        argv[at++] = bind;
        for (unsigned i = HOME; i < d->n_node; i++) { /* no outbound proxy: only where the two names are */
                struct bl_sb m = {map[i - HOME], 0, sizeof map[0] - 1, false};
                bl_sb_fmt(&m, "%s=%s:", i == HOME ? DOMAIN : CLUSTER, tp_word(d));
                bl_addr_put(&m, &d->node[i].addr);
                map[i - HOME][m.n] = 0;
                argv[at++] = "--map";
                argv[at++] = map[i - HOME];
        }
        if (d->tp == BL_TLS) {
                snprintf(ca, sizeof ca, "%s/ca.pem", d->dir);
                argv[at++] = "--ca";
                argv[at++] = ca;
        }
        argv[at] = NULL;
        return start_child(d, n, argv);
}

bool demo_start(struct demo *d, unsigned node)
{
        struct node *n = &d->node[node];
        return n->is_ua ? start_phone(d, n) : start_server(d, n);
}

void demo_kill(struct demo *d, unsigned node)
{
        struct node *n = &d->node[node];
        n->wanted = n->listening = false;
        for (unsigned phone = ALICE; phone <= BOB; phone++)
                d->node[phone].registered &= ~(1u << node);
        if (n->child)
                bl_child_kill(n->child, SIGKILL);
}

void demo_command(struct demo *d, unsigned phone, const char *fmt, ...)
{
        char line[300];
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(line, sizeof line - 1, fmt, ap);
        va_end(ap);
        line[n++] = '\n';
        if (!d->node[phone].child || bl_child_write(d->node[phone].child, bl_str_make(line, (size_t)n)) < 0)
                demo_fail(d, "%s: does not take commands any more", d->node[phone].name);
}

void demo_cleanup(struct demo *d)
{
        char path[400];
        static const char *const files[] = {"home.key",    "cluster.key", "users",        "ca.pem",       "ca.key",
                                            DOMAIN ".pem", DOMAIN ".key", CLUSTER ".pem", CLUSTER ".key", "tls.keys"};
        if (d->keep || (d->failed && d->started_at)) /* whoever reads why will want to read the logs */
                return;
        for (unsigned i = 0; i < BL_ARRAY_LEN(files); i++) {
                snprintf(path, sizeof path, "%s/%s", d->dir, files[i]);
                (void)unlink(path);
        }
        for (unsigned i = 0; i < d->n_node; i++) {
                (void)unlink(d->node[i].dir_file);
                (void)unlink(d->node[i].log_file);
        }
        (void)rmdir(d->dir);
}

int demo_node_by_addr(const struct demo *d, const struct bl_addr *a)
{
        for (unsigned i = 0; i < d->n_node; i++)
                if (bl_addr_eq_ip(&d->node[i].addr, a))
                        return (int)i;
        return -1;
}

int demo_node_by_name(const struct demo *d, struct bl_str name)
{
        for (unsigned i = 0; i < d->n_node; i++)
                if (bl_str_eq(bl_str_z(d->node[i].name), name))
                        return (int)i;
        return -1;
}
