/*
 * belay ua: a phone for scripts. Registers with discovery, keeps its flows, places and takes calls; says what happens
 * as JSON, one object a line on stdout, and takes commands, one a line, on stdin.
 */
#include "cli/ua.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "cli/cli.h"
#include "io/lines.h"
#include "ua/ua.h"

enum { MAPS = 64, CALLS = 4096 };

struct call {
        struct phone *phone;
        struct call *next;
        struct bl_dialog *dialog;
        struct bl_ua_request *invite; /* ours under way, or theirs ringing */
        unsigned number;              /* as commands name it: 1, 2, ... */
        bool incoming, up;
};

struct phone {
        struct bl_world *world;
        struct env *env;
        struct bl_ua_stack *stack;
        struct bl_ua *ua;
        struct bl_lines *in;
        struct call *calls;
        unsigned numbers;
        struct bl_timer end; /* --duration */
        struct bl_timer hangup;
        struct bl_timer answer;
        /* options */
        const char *verb, *to, *text, *aor, *password, *auth_user, *bind, *outbound_proxy, *instance, *user_agent, *ca,
                *cert, *key;
        struct bl_static_route map[MAPS];
        unsigned n_map;
        struct bl_addr dns[4];
        enum bl_tp tp; /* --transport */
        bool has_tp;
        unsigned n_dns, flows, expires, retry, duration, ring_ms, hangup_ms, wait_flows;
        bool legacy, auto_answer, interactive, did, registered, quiet_in, no_dns;
        int exit_code;
        bool leaving;
};

static const char *const SDP =
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

/* --- saying what happens --- */

static void stamp(json_t *o)
{
        struct timespec ts;
        struct tm tm;
        char text[40], frac[8];
        clock_gettime(CLOCK_REALTIME, &ts);
        gmtime_r(&ts.tv_sec, &tm);
        size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(frac, sizeof frac, ".%03dZ", (int)(ts.tv_nsec / 1000000) % 1000);
        memcpy(text + n, frac, 6);
        json_object_set_new(o, "time", json_string(text));
}

static json_t *event(const char *name)
{
        json_t *o = json_object();
        stamp(o);
        json_object_set_new(o, "event", json_string(name));
        return o;
}

static void put(json_t *o, const char *key, struct bl_str v)
{
        if (v.n)
                json_object_set_new(o, key, json_stringn_nocheck(v.p, v.n));
}

static void puti(json_t *o, const char *key, json_int_t v)
{
        json_object_set_new(o, key, json_integer(v));
}

static void say(json_t *o)
{
        char *text = json_dumps(o, JSON_COMPACT);
        if (text)
                puts(text);
        fflush(stdout);
        free(text);
        json_decref(o);
}

static void complain(const char *what, const char *text)
{
        json_t *o = event("error");
        json_object_set_new(o, "command", json_string(what));
        json_object_set_new(o, "reason", json_string(text));
        say(o);
}

/* --- leaving --- */

static void leave(struct phone *p, int code)
{
        if (p->leaving)
                return;
        p->leaving = true;
        p->exit_code = code;
        bl_world_stop(p->world, 300);
}

static void on_signal(struct bl_world *w, int signum, void *arg)
{
        (void)w;
        (void)signum;
        struct phone *p = arg;
        leave(p, p->registered || p->did ? BL_EXIT_DONE : BL_EXIT_NO);
}

static void on_end(struct bl_timer *t)
{
        struct phone *p = BL_CONTAINER(t, struct phone, end);
        leave(p, strcmp(p->verb, "register") == 0 || strcmp(p->verb, "answer") == 0
                         ? (p->registered ? BL_EXIT_DONE : BL_EXIT_UNREACHABLE)
                         : BL_EXIT_NO);
}

/* --- calls --- */

static struct call *call_new(struct phone *p, struct bl_dialog *d, bool incoming)
{
        struct call *c = calloc(1, sizeof *c);
        if (!c)
                return NULL;
        c->phone = p;
        c->dialog = d;
        c->incoming = incoming;
        c->number = ++p->numbers;
        c->next = p->calls;
        p->calls = c;
        bl_dialog_set_user(d, c);
        return c;
}

static void call_gone(struct call *c)
{
        for (struct call **at = &c->phone->calls; *at; at = &(*at)->next)
                if (*at == c) {
                        *at = c->next;
                        break;
                }
        free(c);
}

/* "bye", "bye 3": the newest call, or that one. */
static struct call *call_named(struct phone *p, struct bl_str arg)
{
        uint32_t n;
        if (arg.n == 0)
                return p->calls;
        if (bl_str_u32(arg, &n) < 0)
                return NULL;
        for (struct call *c = p->calls; c; c = c->next)
                if (c->number == n)
                        return c;
        return NULL;
}

static struct bl_ua_body sdp(void)
{
        return (struct bl_ua_body){BL_STR("application/sdp"), bl_str_z(SDP)};
}

static void place(struct phone *p, struct bl_str to)
{
        struct bl_dialog *d;
        struct bl_ua_request *r;
        struct bl_ua_body body = sdp();
        int rc = bl_ua_call(p->ua, to, (struct bl_str){NULL, 0}, &body, &d, &r);
        if (rc < 0) {
                complain("call", rc == BL_EINVAL ? "not a SIP URI; write sip:user@domain" : bl_err_text(rc));
                return;
        }
        struct call *c = call_new(p, d, false);
        if (!c)
                return;
        c->invite = r;
        json_t *o = event("calling");
        puti(o, "call", c->number);
        put(o, "to", to);
        put(o, "call_id", bl_dialog_call_id(d));
        say(o);
}

static void in_dialog(struct phone *p, enum bl_method m, struct bl_str arg)
{
        struct call *c = call_named(p, arg);
        struct bl_ua_request *r;
        struct bl_ua_body body = sdp();
        const char *name = bl_method_name(m).p;
        if (!c) {
                complain(name, "no such call");
                return;
        }
        bool offer = m == BL_M_INVITE || m == BL_M_UPDATE;
        int rc = bl_ua_in_dialog(c->dialog, m, (struct bl_str){NULL, 0}, offer ? &body : NULL, &r);
        if (rc < 0)
                complain(name, rc == BL_EINVAL ? "the call is not in a state for it" : bl_err_text(rc));
}

static void send_message(struct phone *p, struct bl_str to, struct bl_str text)
{
        struct bl_ua_request *r;
        struct bl_ua_body body = {BL_STR("text/plain"), text};
        int rc = bl_ua_request(p->ua, BL_M_MESSAGE, to, (struct bl_str){NULL, 0}, &body, &r);
        if (rc < 0)
                complain("message", rc == BL_EINVAL ? "not a SIP URI; write sip:user@domain" : bl_err_text(rc));
}

static void take_up(struct call *c)
{
        struct bl_ua_body body = sdp();
        if (c->invite && c->incoming)
                (void)bl_ua_answer(c->invite, 200, (struct bl_str){NULL, 0}, &body);
        c->invite = NULL;
        c->up = true;
}

static void show_table(struct phone *p)
{
        struct bl_sticky_row rows[16];
        uint64_t cursor = 0;
        static const char *const kinds[] = {"path", "dialog", "domain", "cert"};
        unsigned n;
        while ((n = bl_sticky_rows(bl_hops_sticky(bl_ua_stack_hops(p->stack)), &cursor, rows, BL_ARRAY_LEN(rows))) > 0)
                for (unsigned i = 0; i < n; i++) {
                        char to[BL_ADDR_TEXT];
                        struct bl_sb b = BL_SB(to);
                        json_t *o = event("binding");
                        bl_addr_put(&b, &rows[i].remote);
                        put(o, "uri", bl_str_make(rows[i].uri, rows[i].uri_len));
                        json_object_set_new(o, "kind", json_string(kinds[rows[i].kind & 3]));
                        put(o, "transport", bl_tp_name(rows[i].tp));
                        put(o, "to", bl_sb_str(&b));
                        puti(o, "flow", (json_int_t)rows[i].flow);
                        json_object_set_new(o, "up", json_boolean(!rows[i].down));
                        say(o);
                }
        say(event("table_end"));
}

/* --- commands --- */

static void command(void *arg, struct bl_str line)
{
        struct phone *p = arg;
        struct bl_str verb, rest;
        if (!line.p) {
                p->in = NULL;
                return;
        }
        line = bl_str_trim(line);
        if (line.n == 0)
                return;
        (void)bl_str_cut(line, ' ', &verb, &rest);
        rest = bl_str_trim(rest);
        if (bl_str_eq(verb, BL_STR("call")))
                place(p, rest);
        else if (bl_str_eq(verb, BL_STR("bye")))
                in_dialog(p, BL_M_BYE, rest);
        else if (bl_str_eq(verb, BL_STR("reinvite")))
                in_dialog(p, BL_M_INVITE, rest);
        else if (bl_str_eq(verb, BL_STR("update")))
                in_dialog(p, BL_M_UPDATE, rest);
        else if (bl_str_eq(verb, BL_STR("info")))
                in_dialog(p, BL_M_INFO, rest);
        else if (bl_str_eq(verb, BL_STR("options")))
                in_dialog(p, BL_M_OPTIONS, rest);
        else if (bl_str_eq(verb, BL_STR("cancel"))) {
                struct call *c = call_named(p, rest);
                if (c && c->invite && !c->incoming)
                        bl_ua_cancel(c->invite);
                else
                        complain("cancel", "no call of ours is being set up");
        } else if (bl_str_eq(verb, BL_STR("answer"))) {
                struct call *c = call_named(p, rest);
                if (c && c->invite && c->incoming)
                        take_up(c);
                else
                        complain("answer", "no call is ringing");
        } else if (bl_str_eq(verb, BL_STR("message"))) {
                struct bl_str to, text;
                (void)bl_str_cut(rest, ' ', &to, &text);
                send_message(p, to, text);
        } else if (bl_str_eq(verb, BL_STR("table")))
                show_table(p);
        else if (bl_str_eq(verb, BL_STR("unregister")))
                bl_ua_stop(p->ua);
        else if (bl_str_eq(verb, BL_STR("quit")))
                leave(p, BL_EXIT_DONE);
        else
                complain("command", "unknown; known are: call URI, bye|reinvite|update|info|options|cancel|answer "
                                    "[CALL], message URI TEXT, table, unregister, quit");
}

/* --- events --- */

static void start_business(struct phone *p)
{
        if (p->did || bl_ua_flows(p->ua) < (p->wait_flows ? p->wait_flows : 1))
                return;
        if (strcmp(p->verb, "call") == 0) {
                p->did = true;
                place(p, bl_str_z(p->to));
        } else if (strcmp(p->verb, "message") == 0) {
                p->did = true;
                send_message(p, bl_str_z(p->to), bl_str_z(p->text));
        } else if (strcmp(p->verb, "register") == 0 && !p->interactive && p->duration == 0)
                leave(p, BL_EXIT_DONE);
}

static void on_hangup(struct bl_timer *t)
{
        struct phone *p = BL_CONTAINER(t, struct phone, hangup);
        if (p->calls)
                in_dialog(p, BL_M_BYE, (struct bl_str){NULL, 0});
}

static void on_ring_end(struct bl_timer *t)
{
        struct phone *p = BL_CONTAINER(t, struct phone, answer);
        for (struct call *c = p->calls; c; c = c->next)
                if (c->incoming && c->invite)
                        take_up(c);
}

static void on_invited(struct phone *p, const struct bl_ua_event *e, json_t *o)
{
        struct call *c = call_new(p, e->dialog, true);
        if (!c)
                return;
        c->invite = e->request;
        puti(o, "call", c->number);
        (void)bl_ua_answer(e->request, 180, (struct bl_str){NULL, 0}, NULL);
        if (p->auto_answer && p->ring_ms == 0)
                take_up(c);
        else if (p->auto_answer)
                env_arm_in(p->env, &p->answer, BL_MS(p->ring_ms));
}

static void on_answered(struct phone *p, const struct bl_ua_event *e)
{
        struct call *c = e->dialog ? bl_dialog_user(e->dialog) : NULL;
        if (e->method == BL_M_INVITE && c && !c->up) {
                c->invite = NULL;
                c->up = e->status < 300;
                if (strcmp(p->verb, "call") == 0 && !p->interactive) {
                        if (e->status >= 300)
                                leave(p, e->local ? BL_EXIT_UNREACHABLE : BL_EXIT_NO);
                        else if (p->hangup_ms)
                                env_arm_in(p->env, &p->hangup, BL_MS(p->hangup_ms));
                }
        } else if (!p->interactive && ((e->method == BL_M_MESSAGE && strcmp(p->verb, "message") == 0) ||
                                       (e->method == BL_M_BYE && strcmp(p->verb, "call") == 0)))
                leave(p, e->status < 300 ? BL_EXIT_DONE : e->local ? BL_EXIT_UNREACHABLE : BL_EXIT_NO);
}

static void on_request(const struct bl_ua_event *e)
{
        struct bl_ua_body body = sdp();
        if (!e->request) /* BYE: answered already */
                return;
        bool offer = e->method == BL_M_INVITE || e->method == BL_M_UPDATE;
        (void)bl_ua_answer(e->request, 200, (struct bl_str){NULL, 0}, offer ? &body : NULL);
}

static const char *const NAMES[] = {"registered", "unregistered", "register_failed", "redirected", "flow_up",
                                    "flow_down",  "invited",      "request",         "progress",   "answered",
                                    "acked",      "cancelled",    "dialog_gone"};

static json_t *describe(const struct bl_ua_event *e)
{
        json_t *o = event(NAMES[e->kind]);
        struct call *c = e->dialog ? bl_dialog_user(e->dialog) : NULL;
        if (e->kind == BL_UA_REQUEST || e->kind == BL_UA_PROGRESS || e->kind == BL_UA_ANSWERED)
                put(o, "method", bl_method_name(e->method));
        if (e->status)
                puti(o, "status", e->status);
        if (c)
                puti(o, "call", c->number);
        if (e->dialog)
                put(o, "call_id", bl_dialog_call_id(e->dialog));
        if (e->msg && (e->kind == BL_UA_REQUEST || e->kind == BL_UA_INVITED || e->kind == BL_UA_ANSWERED ||
                       e->kind == BL_UA_ACKED)) {
                puti(o, "cseq", e->msg->cseq.number);
                if (!e->dialog)
                        put(o, "call_id", e->msg->call_id);
                if (e->kind == BL_UA_INVITED || e->kind == BL_UA_REQUEST) {
                        struct bl_nameaddr from;
                        if (bl_msg_nameaddr(e->msg, BL_H_FROM, 0, &from) == 0)
                                put(o, "from", from.uri.all);
                        if (e->method == BL_M_MESSAGE)
                                put(o, "body", e->msg->body);
                }
        }
        put(o, "reason", e->reason);
        put(o, "edge", e->edge);
        put(o, "text", e->text);
        if (e->reg_id)
                puti(o, "reg_id", e->reg_id);
        if (e->flow)
                puti(o, "flow", (json_int_t)e->flow);
        if (e->tries > 1)
                puti(o, "tries", e->tries);
        if (e->retry_ms)
                puti(o, "retry_ms", e->retry_ms);
        if (e->local)
                json_object_set_new(o, "local", json_true());
        return o;
}

static void on_event(void *ctx, const struct bl_ua_event *e)
{
        struct phone *p = ctx;
        json_t *o = describe(e);
        if (e->kind == BL_UA_INVITED)
                on_invited(p, e, o);
        say(o);
        switch (e->kind) {
        case BL_UA_REGISTERED:
                p->registered = true;
                start_business(p);
                break;
        case BL_UA_REGISTER_FAILED:
                if (!p->interactive && !p->registered && (e->retry_ms == 0 || strcmp(p->verb, "answer") != 0))
                        leave(p, e->local ? BL_EXIT_UNREACHABLE : BL_EXIT_NO);
                break;
        case BL_UA_REQUEST:
                on_request(e);
                break;
        case BL_UA_ANSWERED:
                on_answered(p, e);
                break;
        case BL_UA_CANCELLED:
                if (e->dialog && bl_dialog_user(e->dialog))
                        ((struct call *)bl_dialog_user(e->dialog))->invite = NULL;
                break;
        case BL_UA_DIALOG_GONE:
                if (bl_dialog_user(e->dialog))
                        call_gone(bl_dialog_user(e->dialog));
                break;
        default:
                break;
        }
}

/* --- options --- */

static const char USAGE[] =
        "usage: belay ua register|call URI|answer|message URI TEXT [options]\n"
        "A phone for scripts: JSON events on stdout, one a line.\n"
        "\n"
        "  --aor URI              who we are: sip:joe@example.com (needed)\n"
        "  --password TEXT        for digest challenges; --auth-user NAME when it is not the AOR's user\n"
        "  --map HOST=TP:IP:PORT  where a domain or cluster is, without DNS; may be repeated, tried in order\n"
        "  --dns IP[:PORT]        ask this name server instead of the system's\n"
        "  --outbound-proxy URI   start with this Route instead of discovery\n"
        "  --transport TP         udp, tcp or tls, towards URIs that say none\n"
        "  --ca FILE              whose signature on certificates we believe (default: as the system does)\n"
        "  --cert FILE --key FILE our own certificate, for who asks for one (PEM; without --key it is in --cert, too)\n"
        "  --bind IP              local address of our flows\n"
        "  --flows N              registered flows wanted (default: all that the edge names)\n"
        "  --wait-flows N         begin the call or message when N flows are registered (default 1)\n"
        "  --expires SECONDS      registration (default 600)\n"
        "  --retry SECONDS        base of the wait for a lost flow's edge (RFC 5626 4.5; default 30, 90 while one "
        "lives)\n"
        "  --instance URN         urn:uuid:... (default: random)\n"
        "  --legacy               a plain RFC 5626 phone: no discovery, no stickiness\n"
        "  --ring MS              answer after MS (default 0); --no-answer: only by the command `answer`\n"
        "  --hangup MS            call: BYE after MS (default 1000; 0: never)\n"
        "  --duration SECONDS     end then\n"
        "  -i, --interactive      take commands from stdin and stay: call URI, bye, reinvite, update, info, options,\n"
        "                         cancel, answer [CALL], message URI TEXT, table, unregister, quit\n"
        "Exit: 0 done, 1 refused, 2 usage, 3 unreachable.\n";

static bool bad(const char *what, const char *value)
{
        fprintf(stderr, "belay ua: %s: %s\n", what, value);
        return false;
}

/* HOST=udp:127.0.1.1:5060 */
static bool add_map(struct phone *p, const char *arg)
{
        struct bl_str host, at, tp, addr;
        struct bl_static_route *m = &p->map[p->n_map];
        if (p->n_map == MAPS)
                return bad("--map: too many", arg);
        if (!bl_str_cut(bl_str_z(arg), '=', &host, &at) || !bl_str_cut(at, ':', &tp, &addr) ||
            bl_tp_from(tp, &m->tp) < 0 || bl_addr_parse_port(addr, bl_tp_default_port(m->tp), &m->addr) < 0)
                return bad("--map: write HOST=TRANSPORT:ADDRESS:PORT, e.g. edge.example.com=udp:127.0.1.1:5060, not",
                           arg);
        m->host = host;
        p->n_map++;
        return true;
}

static bool number(const char *name, const char *arg, unsigned *ret)
{
        uint32_t n;
        if (bl_str_u32(bl_str_z(arg), &n) < 0)
                return bad(name, "not a number");
        *ret = n;
        return true;
}

enum {
        O_AOR = 256,
        O_PASSWORD,
        O_AUTH_USER,
        O_MAP,
        O_DNS,
        O_PROXY,
        O_BIND,
        O_FLOWS,
        O_WAIT,
        O_EXPIRES,
        O_INSTANCE,
        O_LEGACY,
        O_RING,
        O_NO_ANSWER,
        O_HANGUP,
        O_DURATION,
        O_RETRY,
        O_TRANSPORT,
        O_CA,
        O_CERT,
        O_KEY,
        O_HELP
};
static const struct option OPTIONS[] = {
        {"aor", 1, NULL, O_AOR},         {"password", 1, NULL, O_PASSWORD}, {"auth-user", 1, NULL, O_AUTH_USER},
        {"map", 1, NULL, O_MAP},         {"dns", 1, NULL, O_DNS},           {"outbound-proxy", 1, NULL, O_PROXY},
        {"bind", 1, NULL, O_BIND},       {"flows", 1, NULL, O_FLOWS},       {"wait-flows", 1, NULL, O_WAIT},
        {"expires", 1, NULL, O_EXPIRES}, {"retry", 1, NULL, O_RETRY},       {"instance", 1, NULL, O_INSTANCE},
        {"legacy", 0, NULL, O_LEGACY},   {"ring", 1, NULL, O_RING},         {"no-answer", 0, NULL, O_NO_ANSWER},
        {"hangup", 1, NULL, O_HANGUP},   {"duration", 1, NULL, O_DURATION}, {"transport", 1, NULL, O_TRANSPORT},
        {"ca", 1, NULL, O_CA},           {"cert", 1, NULL, O_CERT},         {"key", 1, NULL, O_KEY},
        {"interactive", 0, NULL, 'i'},   {"help", 0, NULL, O_HELP},         {NULL, 0, NULL, 0}};

static bool one_option(struct phone *p, int o)
{
        switch (o) {
        case O_AOR:
                p->aor = optarg;
                return true;
        case O_PASSWORD:
                p->password = optarg;
                return true;
        case O_AUTH_USER:
                p->auth_user = optarg;
                return true;
        case O_MAP:
                return add_map(p, optarg);
        case O_DNS:
                if (p->n_dns == BL_ARRAY_LEN(p->dns) || bl_addr_parse_port(bl_str_z(optarg), 53, &p->dns[p->n_dns]) < 0)
                        return bad("--dns: not an address", optarg);
                p->n_dns++;
                return true;
        case O_PROXY:
                p->outbound_proxy = optarg;
                return true;
        case O_BIND:
                p->bind = optarg;
                return true;
        case O_FLOWS:
                return number("--flows", optarg, &p->flows);
        case O_WAIT:
                return number("--wait-flows", optarg, &p->wait_flows);
        case O_EXPIRES:
                return number("--expires", optarg, &p->expires);
        case O_RETRY:
                return number("--retry", optarg, &p->retry);
        case O_INSTANCE:
                p->instance = optarg;
                return true;
        case O_LEGACY:
                p->legacy = true;
                return true;
        case O_RING:
                return number("--ring", optarg, &p->ring_ms);
        case O_NO_ANSWER:
                p->auto_answer = false;
                return true;
        case O_HANGUP:
                return number("--hangup", optarg, &p->hangup_ms);
        case O_DURATION:
                return number("--duration", optarg, &p->duration);
        case O_CA:
                p->ca = optarg;
                return true;
        case O_CERT:
                p->cert = optarg;
                return true;
        case O_KEY:
                p->key = optarg;
                return true;
        case O_TRANSPORT:
                p->has_tp = true;
                return bl_tp_from(bl_str_z(optarg), &p->tp) == 0 && bl_world_speaks(p->tp)
                               ? true
                               : bad("--transport: udp, tcp or tls, not", optarg);
        case 'i':
                p->interactive = true;
                return true;
        default:
                return false;
        }
}

static int parse(struct phone *p, int argc, char **argv)
{
        int o;
        char name[] = "belay ua"; /* as getopt's own messages call us */
        argv[0] = name;
        optind = 1;
        while ((o = getopt_long(argc, argv, "i", OPTIONS, NULL)) != -1) {
                if (o == O_HELP) {
                        fputs(USAGE, stdout);
                        return BL_EXIT_DONE;
                }
                if (!one_option(p, o)) {
                        if (o == '?')
                                fputs("`belay ua --help` lists the options.\n", stderr);
                        return BL_EXIT_USAGE;
                }
        }
        p->verb = optind < argc ? argv[optind++] : "";
        bool call = strcmp(p->verb, "call") == 0, message = strcmp(p->verb, "message") == 0;
        if (!call && !message && strcmp(p->verb, "register") != 0 && strcmp(p->verb, "answer") != 0) {
                fputs(USAGE, stderr);
                return BL_EXIT_USAGE;
        }
        if (call || message)
                p->to = optind < argc ? argv[optind++] : NULL;
        if (message)
                p->text = optind < argc ? argv[optind++] : NULL;
        if (!p->aor || ((call || message) && !p->to) || (message && !p->text) || optind < argc) {
                fprintf(stderr, "belay ua %s: %s\n", p->verb,
                        !p->aor         ? "--aor is needed, e.g. --aor sip:joe@example.com"
                        : optind < argc ? "too many arguments"
                                        : "whom to? give a URI");
                return BL_EXIT_USAGE;
        }
        return -1;
}

/* --- the program --- */

/* Without --ca or --cert they are read only when the transport shows that they will be needed. */
static int load_creds(const struct phone *p, struct bl_sb *err, struct bl_creds **ret_creds)
{
        struct bl_creds_pair pair = {bl_str_z(p->cert), bl_str_z(p->key)};
        struct bl_creds_conf conf = {
                .pairs = &pair, .n_pairs = p->cert ? 1 : 0, .ca = p->ca ? bl_str_z(p->ca) : BL_STR("system")};
        bool needed = p->ca || p->cert || (p->has_tp && bl_tp_is_secure(p->tp));
        for (unsigned i = 0; i < p->n_map; i++)
                needed = needed || bl_tp_is_secure(p->map[i].tp);
        if (p->key && !p->cert) {
                bl_sb_addz(err, "--key: name its certificate too, by --cert");
                return BL_EINVAL;
        }
        return needed ? bl_creds_new(&conf, err, ret_creds) : 0;
}

static struct bl_ua_stack_conf stack_conf(const struct phone *p)
{
        struct bl_ua_stack_conf c = {0};
        c.hop.map = p->map;
        c.hop.n_map = p->n_map;
        c.hop.dns = true;
        c.hop.has_transport = p->has_tp;
        c.hop.transport = p->tp;
        c.hop.may_open = true;
        c.hop.ping_every_ms = UINT32_MAX; /* keep-alives follow Flow-Timer */
        return c;
}

static bool build(struct phone *p, const struct bl_ua_stack_conf *conf)
{
        struct bl_ua_conf uc = {.aor = bl_str_z(p->aor),
                                .password = bl_str_z(p->password),
                                .auth_user = bl_str_z(p->auth_user),
                                .instance = bl_str_z(p->instance),
                                .outbound_proxy = bl_str_z(p->outbound_proxy),
                                .flows = p->flows,
                                .expires_s = p->expires,
                                .retry_base_s = p->retry,
                                .legacy = p->legacy,
                                .event = on_event,
                                .ctx = p};
        p->stack = bl_ua_stack_new(p->env, conf);
        p->ua = p->stack ? bl_ua_new(p->stack, &uc) : NULL;
        if (!p->ua)
                return bad("--aor: not an address of record, write sip:user@domain", p->aor);
        p->end.fire = on_end;
        p->hangup.fire = on_hangup;
        p->answer.fire = on_ring_end;
        if (p->duration)
                env_arm_in(p->env, &p->end, BL_SEC((uint64_t)p->duration));
        bl_world_on_signal(p->world, SIGINT, on_signal, p);
        bl_world_on_signal(p->world, SIGTERM, on_signal, p);
        if (p->interactive)
                p->in = bl_lines_open(p->world, 0, command, p);
        bl_ua_start(p->ua);
        return true;
}

int bl_ua_run(int argc, char **argv)
{
        struct phone p = {.auto_answer = true, .hangup_ms = 1000};
        char err[512];
        struct bl_sb eb = {err, 0, sizeof err - 1, false};
        struct bl_addr local = {0};
        int rc = parse(&p, argc, argv);
        if (rc >= 0)
                return rc;
        struct bl_uri to;
        if (p.to && bl_uri_parse(bl_str_z(p.to), &to) < 0)
                return bad("not a URI, write sip:user@domain", p.to), BL_EXIT_USAGE;
        if (p.bind && bl_addr_parse(bl_str_z(p.bind), &local) < 0)
                return bad("--bind: not an address", p.bind), BL_EXIT_USAGE;
        struct bl_creds *creds = NULL;
        if (load_creds(&p, &eb, &creds) < 0) {
                fprintf(stderr, "belay ua: %.*s\n", (int)eb.n, err);
                return BL_EXIT_USAGE;
        }
        struct bl_world_conf wc = {.creds = creds,
                                   .dns = p.dns,
                                   .n_dns = p.n_dns,
                                   .log_level = BL_LOG_WARN,
                                   .node = bl_str_z("ua"),
                                   .source = local};
        rc = bl_world_new(&wc, &eb, &p.world);
        bl_creds_unref(creds);
        if (rc < 0) {
                fprintf(stderr, "belay ua: %.*s\n", (int)eb.n, err);
                return BL_EXIT_NO;
        }
        p.env = bl_world_env(p.world, 0);
        struct bl_ua_stack_conf conf = stack_conf(&p);
        rc = BL_EXIT_USAGE;
        if (build(&p, &conf)) {
                rc = bl_world_run(p.world) < 0 ? BL_EXIT_NO : p.exit_code;
                bl_lines_close(p.in);
        }
        p.leaving = true;
        bl_ua_stack_free(p.stack);
        bl_world_free(p.world);
        return rc;
}
