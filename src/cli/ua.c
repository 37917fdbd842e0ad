/*
 * belay ua: a phone for scripts. Registers with discovery, keeps its flows, places and takes calls; says what happens
 * as JSON, one object a line on stdout, and takes commands, one a line, on stdin. It is an application of libbelay as
 * any other, in a loop of its own: what it needs of belay is in include/belay/belay.h.
 */
#include "cli/ua.h"

#include <belay/belay.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"
#include "sip/uri.h"

enum { MAPS = 64, SERVERS = 16, LINE = 65536 };

struct call {
        struct phone *phone;
        struct call *next;
        struct belay_call *call;
        unsigned number; /* as commands name it: 1, 2, ... */
        bool ringing;    /* theirs, not answered */
};

struct phone {
        struct belay *belay;
        struct belay_account *account;
        struct call *calls;
        unsigned numbers;
        char line[LINE]; /* of stdin, so far */
        size_t line_n;
        int in; /* stdin; -1: ended, or not asked for */
        /* options */
        const char *verb, *to, *text, *map[MAPS], *dns[SERVERS];
        struct belay_options options;
        struct belay_account_options account_options;
        unsigned duration, ring_ms, hangup_ms, wait_flows;
        bool auto_answer, interactive, did, registered;
        int exit_code;
        bool leaving;
};

static const char SDP[] =
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

static struct belay_content sdp(void)
{
        return (struct belay_content)BELAY_CONTENT("application/sdp", SDP, sizeof SDP - 1);
}

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

static void put(json_t *o, const char *key, const char *v)
{
        if (v && *v)
                json_object_set_new(o, key, json_stringn_nocheck(v, strlen(v)));
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
        belay_stop(p->belay, 300);
}

static void on_end(struct belay *b, void *arg)
{
        struct phone *p = arg;
        (void)b;
        leave(p, strcmp(p->verb, "register") == 0 || strcmp(p->verb, "answer") == 0
                         ? (p->registered ? BL_EXIT_DONE : BL_EXIT_UNREACHABLE)
                         : BL_EXIT_NO);
}

/* --- calls --- */

static struct call *call_new(struct phone *p, struct belay_call *call)
{
        struct call *c = calloc(1, sizeof *c);
        if (!c)
                return NULL;
        c->phone = p;
        c->call = call;
        c->number = ++p->numbers;
        c->next = p->calls;
        p->calls = c;
        belay_call_set_user(call, c);
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
static struct call *call_named(struct phone *p, const char *arg)
{
        char *end;
        if (!*arg)
                return p->calls;
        unsigned long n = strtoul(arg, &end, 10);
        for (struct call *c = *end ? NULL : p->calls; c; c = c->next)
                if (c->number == n)
                        return c;
        return NULL;
}

static void place(struct phone *p, const char *to)
{
        struct belay_call *call;
        struct belay_content body = sdp();
        int rc = belay_call_place(p->account, to, &body, &call);
        if (rc < 0) {
                complain("call", rc == BELAY_EINVAL ? "not a SIP URI; write sip:user@domain" : belay_strerror(rc));
                return;
        }
        struct call *c = call_new(p, call);
        if (!c)
                return;
        json_t *o = event("calling");
        puti(o, "call", c->number);
        put(o, "to", to);
        put(o, "call_id", belay_call_id(call));
        say(o);
}

static bool has_offer(const char *method)
{
        return strcmp(method, "INVITE") == 0 || strcmp(method, "UPDATE") == 0;
}

static void in_dialog(struct phone *p, const char *method, const char *arg)
{
        struct call *c = call_named(p, arg);
        struct belay_content body = sdp();
        if (!c) {
                complain(method, "no such call");
                return;
        }
        int rc = belay_call_request(c->call, method, has_offer(method) ? &body : NULL, NULL);
        if (rc < 0)
                complain(method, rc == BELAY_EINVAL ? "the call is not in a state for it" : belay_strerror(rc));
}

static void send_message(struct phone *p, const char *to, const char *text)
{
        struct belay_content body = BELAY_CONTENT("text/plain", text, strlen(text));
        int rc = belay_send(p->account, "MESSAGE", to, &body, NULL);
        if (rc < 0)
                complain("message", rc == BELAY_EINVAL ? "not a SIP URI; write sip:user@domain" : belay_strerror(rc));
}

static void take_up(struct call *c)
{
        struct belay_content body = sdp();
        c->ringing = false;
        (void)belay_call_answer(c->call, 200, &body);
}

static void show_row(void *ctx, const struct belay_binding *row)
{
        json_t *o = event("binding");
        (void)ctx;
        put(o, "uri", row->uri);
        put(o, "kind", row->kind);
        put(o, "transport", row->transport);
        put(o, "to", row->remote);
        puti(o, "flow", (json_int_t)row->flow);
        json_object_set_new(o, "up", json_boolean(row->up));
        say(o);
}

/* --- commands --- */

static void take_call(struct phone *p, const char *arg)
{
        struct call *c = call_named(p, arg);
        if (c && c->ringing)
                take_up(c);
        else
                complain("answer", "no call is ringing");
}

static void cancel(struct phone *p, const char *arg)
{
        struct call *c = call_named(p, arg);
        if (!c || belay_call_cancel(c->call) < 0)
                complain("cancel", "no call of ours is being set up");
}

static void message(struct phone *p, char *arg)
{
        char *text = strchr(arg, ' ');
        if (text)
                *text++ = '\0';
        send_message(p, arg, text ? text : "");
}

static void other_command(struct phone *p, const char *verb, char *arg)
{
        static const char *const requests[][2] = {
                {"bye", "BYE"}, {"reinvite", "INVITE"}, {"update", "UPDATE"}, {"info", "INFO"}, {"options", "OPTIONS"}};
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
                if (strcmp(verb, requests[i][0]) == 0) {
                        in_dialog(p, requests[i][1], arg);
                        return;
                }
        complain("command", "unknown; known are: call URI, bye|reinvite|update|info|options|cancel|answer "
                            "[CALL], message URI TEXT, table, unregister, quit");
}

/* "  verb   arg  " in place. */
static void command(struct phone *p, char *line)
{
        static const char blank[] = " \t\r";
        char *verb = line + strspn(line, blank), *end = line + strlen(line);
        while (end > verb && strchr(blank, end[-1]))
                *--end = '\0';
        if (!*verb)
                return;
        char *arg = verb + strcspn(verb, blank);
        if (*arg)
                *arg++ = '\0';
        arg += strspn(arg, blank);
        if (strcmp(verb, "call") == 0)
                place(p, arg);
        else if (strcmp(verb, "cancel") == 0)
                cancel(p, arg);
        else if (strcmp(verb, "answer") == 0)
                take_call(p, arg);
        else if (strcmp(verb, "message") == 0)
                message(p, arg);
        else if (strcmp(verb, "table") == 0) {
                belay_table(p->belay, show_row, p);
                say(event("table_end"));
        } else if (strcmp(verb, "unregister") == 0)
                (void)belay_unregister(p->account);
        else if (strcmp(verb, "quit") == 0)
                leave(p, BL_EXIT_DONE);
        else
                other_command(p, verb, arg);
}

/* What stdin has; at its end the rest of a line is one, too. */
static void read_commands(struct phone *p)
{
        ssize_t n = read(p->in, p->line + p->line_n, sizeof p->line - 1 - p->line_n);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                p->in = -1;
                p->line[p->line_n++] = '\n';
        } else
                p->line_n += (size_t)n;
        size_t at = 0;
        for (char *nl; (nl = memchr(p->line + at, '\n', p->line_n - at)) != NULL;) {
                *nl = '\0';
                command(p, p->line + at);
                at = (size_t)(nl + 1 - p->line);
        }
        memmove(p->line, p->line + at, p->line_n -= at);
        if (p->line_n == sizeof p->line - 1) { /* longer than any command */
                complain("command", "the line is too long");
                p->line_n = 0;
        }
}

/* --- events --- */

static void start_business(struct phone *p)
{
        if (p->did || belay_flows(p->account) < (p->wait_flows ? p->wait_flows : 1))
                return;
        if (strcmp(p->verb, "call") == 0) {
                p->did = true;
                place(p, p->to);
        } else if (strcmp(p->verb, "message") == 0) {
                p->did = true;
                send_message(p, p->to, p->text);
        } else if (strcmp(p->verb, "register") == 0 && !p->interactive && p->duration == 0)
                leave(p, BL_EXIT_DONE);
}

static void on_hangup(struct belay *b, void *arg)
{
        struct phone *p = arg;
        (void)b;
        if (p->calls)
                in_dialog(p, "BYE", "");
}

static void on_ring_end(struct belay *b, void *arg)
{
        struct phone *p = arg;
        (void)b;
        for (struct call *c = p->calls; c; c = c->next)
                if (c->ringing)
                        take_up(c);
}

static void after(struct phone *p, unsigned ms, void (*fn)(struct belay *b, void *arg))
{
        if (belay_timer_start(p->belay, ms, fn, p, NULL) < 0)
                complain("timer", "no memory");
}

static void on_incoming(struct phone *p, const struct belay_event *e, json_t *o)
{
        struct call *c = call_new(p, e->call);
        if (!c)
                return;
        c->ringing = true;
        puti(o, "call", c->number);
        (void)belay_call_answer(e->call, 180, NULL);
        if (p->auto_answer && p->ring_ms == 0)
                take_up(c);
        else if (p->auto_answer)
                after(p, p->ring_ms, on_ring_end);
}

static int exit_of(const struct belay_event *e)
{
        return e->status < 300 ? BL_EXIT_DONE : e->local ? BL_EXIT_UNREACHABLE : BL_EXIT_NO;
}

static void on_answered(struct phone *p, const struct belay_event *e)
{
        if (p->interactive)
                return;
        bool call = strcmp(p->verb, "call") == 0, message = strcmp(p->verb, "message") == 0;
        if (call && e->call && strcmp(e->method, "INVITE") == 0 && e->status >= 300)
                leave(p, exit_of(e));
        else if ((call && strcmp(e->method, "BYE") == 0) || (message && strcmp(e->method, "MESSAGE") == 0))
                leave(p, exit_of(e));
}

static void on_request(const struct belay_event *e)
{
        struct belay_content body = sdp();
        if (e->request) /* else BYE: answered already */
                (void)belay_request_answer(e->request, 200, has_offer(e->method) ? &body : NULL);
}

static const char *name_of(enum belay_event_kind kind)
{
        return kind == BELAY_INCOMING ? "invited" : kind == BELAY_ENDED ? "dialog_gone" : belay_event_name(kind);
}

static json_t *describe(const struct belay_event *e)
{
        json_t *o = event(name_of(e->kind));
        struct call *c = e->call ? belay_call_user(e->call) : NULL;
        bool request = e->kind == BELAY_REQUEST || e->kind == BELAY_INCOMING;
        if (e->kind == BELAY_REQUEST || e->kind == BELAY_PROGRESS || e->kind == BELAY_ANSWERED)
                put(o, "method", e->method);
        if (e->status)
                puti(o, "status", e->status);
        if (c)
                puti(o, "call", c->number);
        if (e->kind > BELAY_OUTBOUND) /* not of registrations */
                put(o, "call_id", e->call_id);
        if (request || e->kind == BELAY_ANSWERED || e->kind == BELAY_ACKED)
                puti(o, "cseq", e->cseq);
        if (request)
                put(o, "from", e->from);
        if (e->kind == BELAY_REQUEST && strcmp(e->method, "MESSAGE") == 0 && e->body)
                json_object_set_new(o, "body", json_stringn_nocheck(e->body, e->body_size));
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

static void on_event(void *ctx, const struct belay_event *e)
{
        struct phone *p = ctx;
        json_t *o = describe(e);
        struct call *c = e->call ? belay_call_user(e->call) : NULL;
        if (e->kind == BELAY_INCOMING)
                on_incoming(p, e, o);
        say(o);
        switch (e->kind) {
        case BELAY_REGISTERED:
                p->registered = true;
                start_business(p);
                break;
        case BELAY_REGISTER_FAILED:
                if (!p->interactive && !p->registered && (e->retry_ms == 0 || strcmp(p->verb, "answer") != 0))
                        leave(p, e->local ? BL_EXIT_UNREACHABLE : BL_EXIT_NO);
                break;
        case BELAY_REQUEST:
                on_request(e);
                break;
        case BELAY_ANSWERED:
                on_answered(p, e);
                break;
        case BELAY_ESTABLISHED:
                if (strcmp(p->verb, "call") == 0 && !p->interactive && p->hangup_ms && !belay_call_is_incoming(e->call))
                        after(p, p->hangup_ms, on_hangup);
                break;
        case BELAY_CANCELLED:
                if (c)
                        c->ringing = false;
                break;
        case BELAY_ENDED:
                if (c)
                        call_gone(c);
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
        "  --outbound-proxy URI   start with this Route instead of discovery; --outbound is short for it\n"
        "  --outbound dhcp        start with what DHCP names, from a lease of this host's or by asking (as root);\n"
        "                         --dhcp-interface NAME: only there\n"
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
        "  --verbose              log on stderr which connection each request takes, and why\n"
        "  -i, --interactive      take commands from stdin and stay: call URI, bye, reinvite, update, info, options,\n"
        "                         cancel, answer [CALL], message URI TEXT, table, unregister, quit\n"
        "Exit: 0 done, 1 refused, 2 usage, 3 unreachable.\n";

static bool bad(const char *what, const char *value)
{
        fprintf(stderr, "belay ua: %s: %s\n", what, value);
        return false;
}

/* Adds to a list of texts of that name. */
static bool add(const char *name, const char *arg, const char **list, size_t *n, size_t most)
{
        if (*n == most)
                return bad(name, "there are too many");
        list[(*n)++] = arg;
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
        O_DHCP_IF,
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
        O_VERBOSE,
        O_HELP
};
static const struct option OPTIONS[] = {{"aor", 1, NULL, O_AOR},
                                        {"password", 1, NULL, O_PASSWORD},
                                        {"auth-user", 1, NULL, O_AUTH_USER},
                                        {"map", 1, NULL, O_MAP},
                                        {"dns", 1, NULL, O_DNS},
                                        {"outbound-proxy", 1, NULL, O_PROXY},
                                        {"outbound", 1, NULL, O_PROXY},
                                        {"dhcp-interface", 1, NULL, O_DHCP_IF},
                                        {"bind", 1, NULL, O_BIND},
                                        {"flows", 1, NULL, O_FLOWS},
                                        {"wait-flows", 1, NULL, O_WAIT},
                                        {"expires", 1, NULL, O_EXPIRES},
                                        {"retry", 1, NULL, O_RETRY},
                                        {"instance", 1, NULL, O_INSTANCE},
                                        {"legacy", 0, NULL, O_LEGACY},
                                        {"ring", 1, NULL, O_RING},
                                        {"no-answer", 0, NULL, O_NO_ANSWER},
                                        {"hangup", 1, NULL, O_HANGUP},
                                        {"duration", 1, NULL, O_DURATION},
                                        {"transport", 1, NULL, O_TRANSPORT},
                                        {"ca", 1, NULL, O_CA},
                                        {"cert", 1, NULL, O_CERT},
                                        {"key", 1, NULL, O_KEY},
                                        {"verbose", 0, NULL, O_VERBOSE},
                                        {"interactive", 0, NULL, 'i'},
                                        {"help", 0, NULL, O_HELP},
                                        {NULL, 0, NULL, 0}};

static bool one_option(struct phone *p, int o)
{
        struct belay_account_options *a = &p->account_options;
        struct belay_options *b = &p->options;
        switch (o) {
        case O_MAP:
                return add("--map", optarg, p->map, &b->n_map, MAPS);
        case O_DNS:
                return add("--dns", optarg, p->dns, &b->n_dns, SERVERS);
        case O_FLOWS:
                return number("--flows", optarg, &a->flows);
        case O_WAIT:
                return number("--wait-flows", optarg, &p->wait_flows);
        case O_EXPIRES:
                return number("--expires", optarg, &a->expires_s);
        case O_RETRY:
                return number("--retry", optarg, &a->retry_s);
        case O_LEGACY:
                a->plain = 1;
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
        case O_VERBOSE:
                b->log_level = BELAY_LOG_DEBUG;
                return true;
        case 'i':
                p->interactive = true;
                return true;
        default:
                return false;
        }
}

/* Those whose argument is kept as it is. */
static bool text_option(struct phone *p, int o)
{
        struct belay_account_options *a = &p->account_options;
        const struct {
                int o;
                const char **to;
        } texts[] = {{O_AOR, &a->aor},
                     {O_PASSWORD, &a->password},
                     {O_AUTH_USER, &a->auth_user},
                     {O_PROXY, &a->outbound_proxy},
                     {O_DHCP_IF, &a->dhcp_interface},
                     {O_INSTANCE, &a->instance},
                     {O_BIND, &p->options.local_address},
                     {O_TRANSPORT, &p->options.transport},
                     {O_CA, &p->options.tls_ca},
                     {O_CERT, &p->options.tls_cert},
                     {O_KEY, &p->options.tls_key}};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                if (texts[i].o == o) {
                        *texts[i].to = optarg;
                        return true;
                }
        return false;
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
                if (!text_option(p, o) && !one_option(p, o)) {
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
        if (!p->account_options.aor || ((call || message) && !p->to) || (message && !p->text) || optind < argc) {
                fprintf(stderr, "belay ua %s: %s\n", p->verb,
                        !p->account_options.aor ? "--aor is needed, e.g. --aor sip:joe@example.com"
                        : optind < argc         ? "too many arguments"
                                                : "whom to? give a URI");
                return BL_EXIT_USAGE;
        }
        return -1;
}

/* --- the program --- */

/* The library's words, with our names of its options. */
static int usage_error(const char *text)
{
        static const char *const names[][2] = {{"map: ", "--map: "},
                                               {"dns: ", "--dns: "},
                                               {"local_address: ", "--bind: "},
                                               {"transport: ", "--transport: "},
                                               {"tls_key: ", "--key: "},
                                               {"aor: ", "--aor: "},
                                               {"outbound_proxy: ", "--outbound-proxy: "},
                                               {"dhcp_interface: ", "--dhcp-interface: "}};
        const char *name = "";
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                if (strncmp(text, names[i][0], strlen(names[i][0])) == 0) {
                        name = names[i][1];
                        text += strlen(names[i][0]);
                        break;
                }
        fprintf(stderr, "belay ua: %s%s\n", name, text);
        return BL_EXIT_USAGE;
}

static int build(struct phone *p)
{
        char err[512];
        struct bl_uri to;
        if (p->to && bl_uri_parse(bl_str_z(p->to), &to) < 0)
                return bad("not a URI, write sip:user@domain", p->to), BL_EXIT_USAGE;
        p->options.map = p->map;
        p->options.dns = p->dns;
        p->account_options.event = on_event;
        p->account_options.ctx = p;
        if (belay_new(&p->options, err, sizeof err, &p->belay) < 0 ||
            belay_account_new(p->belay, &p->account_options, err, sizeof err, &p->account) < 0)
                return usage_error(err);
        if (p->duration)
                after(p, p->duration * 1000, on_end);
        return 0;
}

static int signals(void)
{
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        return signalfd(-1, &set, SFD_CLOEXEC);
}

/* An application's own loop, with the library in it. */
static int loop(struct phone *p)
{
        struct pollfd fd[] = {{belay_fd(p->belay), POLLIN, 0}, {signals(), POLLIN, 0}, {-1, POLLIN, 0}};
        int rc;
        if (fd[1].fd < 0)
                return BL_EXIT_NO;
        p->in = p->interactive ? STDIN_FILENO : -1;
        (void)belay_register(p->account);
        while ((rc = belay_step(p->belay, 0)) > 0) {
                fd[2].fd = p->in;
                if (poll(fd, 3, belay_timeout(p->belay)) < 0)
                        continue;
                if (fd[1].revents)
                        leave(p, p->registered || p->did ? BL_EXIT_DONE : BL_EXIT_NO);
                if (fd[2].revents)
                        read_commands(p);
        }
        close(fd[1].fd);
        return rc < 0 ? BL_EXIT_NO : p->exit_code;
}

int bl_ua_run(int argc, char **argv)
{
        struct phone *p = calloc(1, sizeof *p);
        if (!p)
                return BL_EXIT_NO;
        p->auto_answer = true;
        p->hangup_ms = 1000;
        belay_options_init(&p->options, sizeof p->options);
        p->options.log_level = BELAY_LOG_WARN;
        belay_account_options_init(&p->account_options, sizeof p->account_options);
        int rc = parse(p, argc, argv);
        if (rc < 0)
                rc = build(p);
        if (rc == 0 && p->account)
                rc = loop(p);
        p->leaving = true;
        belay_free(p->belay);
        for (struct call *c = p->calls, *next; c; c = next) {
                next = c->next;
                free(c);
        }
        free(p);
        return rc;
}
