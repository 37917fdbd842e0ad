/*
 * libbelay: the user agent's side of belay, for makers of phones, PBXs and gateways. It registers with discovery, keeps
 * the flows that the edge proxies name, places and takes calls, and fails over: a call survives the death of the proxy
 * that it was set up through. Media is the application's business; descriptions of it pass through as they are.
 *
 *   struct belay              one endpoint: an event loop, sockets, the stickiness table. Any number of accounts
 *   └ struct belay_account    one address of record with one instance; its registrations, one per flow
 *     ├ struct belay_call     a call, from its INVITE to its end
 *     └ struct belay_request  one request under way, ours or theirs
 *
 * The loop runs in either way:
 *   - belay_run() until belay_stop();
 *   - or inside the application's own loop: whenever belay_fd() is readable, or belay_timeout() milliseconds have
 *     passed, call belay_step(b, 0). Ask for the timeout after each step and after any other call.
 *
 * Threads: one thread at a time per struct belay. Only belay_stop and belay_post may be called from any thread, and
 * belay_stop from a signal handler. Different struct belay are independent of each other.
 *
 * Events arrive through the account's callback, in the thread that runs the loop: from belay_run and belay_step, and
 * from other calls before they return (belay_unregister with nothing registered, say). A callback may call anything but
 * belay_run, belay_step and the two functions that free. All that an event points to is valid until the callback
 * returns, except the handles, whose lives are told below.
 *
 * Errors: functions return 0 or more on success, a negative number else; belay_strerror says it in words. On failure
 * nothing is written through `ret_…`. Texts are UTF-8 and end with NUL; those passed in are copied.
 *
 * Options are structs that start with their size, so that a program built against an older header works with a newer
 * library: fill them with belay_…_init first. SIGPIPE is ignored from belay_new on, and the process's limit of open
 * files is raised as far as the system allows.
 */
#ifndef BELAY_H
#define BELAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define BELAY_VERSION_MAJOR 0
#define BELAY_VERSION_MINOR 1
#define BELAY_VERSION_PATCH 0

struct belay;
struct belay_account;
struct belay_call;
struct belay_request;

enum belay_error {                       /* those worth telling apart; others say themselves by belay_strerror */
                   BELAY_EINVAL = -1003, /* an argument is wrong, or it is not the time for this */
                   BELAY_EBUSY = -1004,  /* another one of the kind is under way */
                   BELAY_EGONE = -1005,  /* what it is about has ended */
                   BELAY_ELIMIT = -1007, /* too long, too many */
                   BELAY_ENOMEM = -1008
};

/* The library's own version, "0.1.0". */
const char *belay_version(void);
/* Of a negative result; a static text. */
const char *belay_strerror(int error);

/* ---- the endpoint ---- */

enum belay_log_level { BELAY_LOG_NONE, BELAY_LOG_ERROR, BELAY_LOG_WARN, BELAY_LOG_INFO, BELAY_LOG_DEBUG };

struct belay_options {
        size_t size;
        /* Where a domain or a cluster is, for endpoints without DNS: "HOST=TRANSPORT:ADDRESS:PORT", e.g.
         * "edge.example.com=udp:192.0.2.1:5060". Several of one host are tried in order. What is not in here is asked
         * of DNS (RFC 3263). */
        const char *const *map;
        size_t n_map;
        const char *const *dns; /* name servers, "ADDRESS" or "ADDRESS:PORT", instead of the system's */
        size_t n_dns;
        const char *local_address; /* of our flows; NULL: the system's choice */
        const char *transport;     /* "udp", "tcp" or "tls" towards URIs that say none; NULL: as RFC 3263 finds */
        const char *tls_ca;        /* PEM file of those whose signature on certificates counts; NULL: the system's */
        const char *tls_cert, *tls_key; /* our own certificate and its key, for who asks for one; without tls_key it is
                                           in tls_cert, too */
        enum belay_log_level log_level; /* to stderr; NONE is silent */
};
/* Sets all to its default; `size` is sizeof(struct belay_options). */
void belay_options_init(struct belay_options *o, size_t size);

/*
 * An endpoint without accounts. `o` may be NULL: all defaults. On failure `err` (`err_size` octets; NULL and 0 are
 * fine) gets one line that says what is wrong and what to write instead.
 */
int belay_new(const struct belay_options *o, char *err, size_t err_size, struct belay **ret_belay);
/* With all its accounts, calls and requests, without a word to anybody; accepts NULL. To leave in good order
 * unregister first. Not while it runs, not from a callback. What was posted and has not run yet does not run. */
void belay_free(struct belay *b);

/* Runs until belay_stop. */
int belay_run(struct belay *b);
/* Ends belay_run, also one that starts only later; with it belay_step returns 0 from then on. What is queued on
 * connections is still sent, for at most drain_ms. Any thread; twice is fine. */
void belay_stop(struct belay *b, unsigned drain_ms);

/* A descriptor that polls readable when there is something to do; it stays the same. -1 on systems without one. */
int belay_fd(const struct belay *b);
/* Milliseconds until belay_step has something to do though the descriptor is silent; 0: now; -1: not before it is
 * readable. */
int belay_timeout(const struct belay *b);
/* Does all there is to do, after waiting for it at most timeout_ms (0: not at all; -1: as long as it takes). 1; 0 when
 * belay_stop was called and all is sent; < 0: cannot go on. */
int belay_step(struct belay *b, int timeout_ms);

/* Calls fn(b, arg) once in the thread that runs the loop: the way for other threads to place a call. Any thread. */
int belay_post(struct belay *b, void (*fn)(struct belay *b, void *arg), void *arg);

/* A timer on the endpoint's loop: calls fn(b, arg) once after `ms`. */
struct belay_timer;
int belay_timer_start(struct belay *b, unsigned ms, void (*fn)(struct belay *b, void *arg), void *arg,
                      struct belay_timer **ret_timer);
/* Before it fires; then its handle is gone as it is after fn. Accepts NULL. */
void belay_timer_stop(struct belay_timer *t);

/* ---- diagnosis: the stickiness table ---- */

struct belay_binding {
        const char *uri;       /* what is bound … */
        const char *kind;      /* … as "path", "dialog", "domain" or "cert" … */
        const char *transport; /* … to the flow of this transport ("UDP") … */
        const char *remote;    /* … with this far end, "192.0.2.1:5060" */
        uint64_t flow;         /* the same number as in events */
        int up;                /* 0: closed, its bindings wait for the next one */
};
/* Each binding, in no particular order; `fn` must not call the library. */
void belay_table(struct belay *b, void (*fn)(void *ctx, const struct belay_binding *row), void *ctx);

/* ---- events ---- */

enum belay_event_kind {
        /* Registration. One registration per flow, told apart by .reg_id; .flows: how many are registered now. */
        BELAY_REGISTERED =
                1,          /* .edge: the URI that names its edge (empty: the registrar itself), .text: Service-Route */
        BELAY_UNREGISTERED, /* ended, or lost: .status (0: its flow died), .reason */
        BELAY_REGISTER_FAILED, /* .status (0: nobody answered, .local), .reason; tried again in .retry_ms. 0: never, for
                                  the answer will not change (wrong password, unknown user): call belay_register */
        BELAY_REDIRECTED,      /* discovery: .text goes into Route next */
        BELAY_FLOW_UP,         /* .flow carries a registration now, .text: its far end */
        BELAY_FLOW_DOWN,       /* and no longer: .reason */
        BELAY_OUTBOUND,        /* what DHCP says. .text: URIs of proxies, in the order in which they are tried, a space
                                  between them; NULL: none. .reason: where it is from, or why there is none */

        /* Calls. .call is valid from INCOMING or belay_call_place until ENDED. */
        BELAY_INCOMING,    /* ring, answer or reject it. .from .to .content_type .body */
        BELAY_PROGRESS,    /* a provisional answer to .request of ours: .status .reason .body */
        BELAY_ANSWERED,    /* the final one; .request is gone after it. .tries: over how many flows; .local: nobody
                              answered, .status is the library's own */
        BELAY_ESTABLISHED, /* the call is up: ours was answered, or theirs and the ACK came. Once */
        BELAY_ACKED,       /* the ACK for a 2xx of ours came, .body: what it carries */
        BELAY_CANCELLED,   /* an incoming INVITE that we had not answered was taken back; it is answered. .request is
                              gone; ENDED follows for a call that was not established */
        BELAY_REQUEST,     /* .method: a request in the call, or to the account (.call NULL). Answer .request with
                              belay_request_answer. BYE is answered already (.request NULL), OPTIONS is never told */
        BELAY_ENDED        /* the call's last event: .status 200: it was up and one side hung up; else why it did not
                              come up (486, 487, …). .local: by us. .call is gone after it; requests
                              of it that are still under way are ANSWERED later, with .call NULL */
};

struct belay_event { /* appended to in later versions; fields that do not belong to a kind are 0 or NULL */
        size_t size;
        enum belay_event_kind kind;
        struct belay *belay;
        struct belay_account *account;
        struct belay_call *call;
        struct belay_request *request;
        const char *method;
        unsigned status, reg_id, flows, tries, retry_ms;
        int local;
        uint64_t flow;
        const char *text, *reason, *edge;
        const char *from, *to; /* URIs of the message behind the event, */
        const char *call_id;   /* its Call-ID (or the call's), */
        uint32_t cseq;         /* its CSeq number, */
        const char *content_type;
        const char *body; /* and its body, body_size octets */
        size_t body_size;
        const void *_message;
};
/* The index-th header of that name (any case) in the message behind the event: its length, and where it stands in
 * *ret_value, without NUL at its end. < 0: there is none. */
int belay_event_header(const struct belay_event *e, const char *name, unsigned index, const char **ret_value);
/* "registered", "incoming", …: for logs. */
const char *belay_event_name(enum belay_event_kind kind);

/* ---- accounts ---- */

struct belay_account_options {
        size_t size;
        const char *aor; /* "sip:joe@example.com"; needed */
        const char *display_name, *password;
        const char *auth_user; /* for digest; NULL: the AOR's user */
        const char *instance;  /* "urn:uuid:…", the same after a restart; NULL: random */
        /* The URI of a proxy to start with instead of discovery from the AOR's domain. "dhcp": those that the network
         * names (option 120, RFC 3361; DHCPv6 21 and 22, RFC 3319), from the leases that systemd-networkd or dhclient
         * hold, else by asking, which takes the right to use the ports of DHCP. OUTBOUND tells. Where nobody names one
         * it is discovery all the same. Looked up again when all of them fail. */
        const char *outbound_proxy;
        const char *dhcp_interface; /* "eth0": only there; NULL: everywhere */
        unsigned flows;             /* wanted; 0: as many as the edges name */
        unsigned expires_s;         /* asked for; 0: 600 */
        unsigned retry_s; /* base of the wait between rounds (RFC 5626 section 4.5); 0: 30, and 90 while a flow lives */
        int plain;        /* not 0: an RFC 5626 UA that knows nothing of discovery and stickiness */
        void (*event)(void *ctx, const struct belay_event *e);
        void *ctx;
};
void belay_account_options_init(struct belay_account_options *o, size_t size);

/* Silent until belay_register. On failure as belay_new. */
int belay_account_new(struct belay *b, const struct belay_account_options *o, char *err, size_t err_size,
                      struct belay_account **ret_account);
/* With its calls and requests, without a word to anybody and without further events; accepts NULL. Not from a
 * callback. */
void belay_account_free(struct belay_account *a);

/* Registers and stays registered until belay_unregister. */
int belay_register(struct belay_account *a);
/* Removes the registration on all flows; UNREGISTERED follows for each. Calls go on. */
int belay_unregister(struct belay_account *a);
unsigned belay_flows(const struct belay_account *a); /* registered now */

/* ---- calls and requests ---- */

struct belay_content { /* of a request or an answer; NULL where one is taken: none */
        size_t size;
        const char *headers; /* lines, each ending with CRLF; or NULL */
        const char *type;    /* Content-Type of the body */
        const void *body;
        size_t body_size;
};
#define BELAY_CONTENT(type_, body_, body_size_)                                                                        \
        {                                                                                                              \
                sizeof(struct belay_content), NULL, type_, body_, body_size_                                           \
        }

/* INVITE. PROGRESS, ANSWERED, ESTABLISHED and ENDED follow. */
int belay_call_place(struct belay_account *a, const char *to, const struct belay_content *c,
                     struct belay_call **ret_call);
/* The answer to an incoming call: 101 to 199 any number of times, then one final status. */
int belay_call_answer(struct belay_call *call, unsigned status, const struct belay_content *c);
/* Ends it, whatever state it is in: CANCEL for one of ours that is not up, 603 for one of theirs, else BYE. */
int belay_call_hangup(struct belay_call *call);
/* A request in an established call: "INVITE" (again), "UPDATE", "INFO", "MESSAGE", "OPTIONS", "NOTIFY", "REFER", "BYE".
 * ANSWERED follows. ret_request may be NULL. The ACK is sent by the library. */
int belay_call_request(struct belay_call *call, const char *method, const struct belay_content *c,
                       struct belay_request **ret_request);
/* CANCELs our INVITE that has no final answer yet, of the call or within it. */
int belay_call_cancel(struct belay_call *call);
const char *belay_call_id(const struct belay_call *call); /* its Call-ID; as long as the call lives */
int belay_call_is_incoming(const struct belay_call *call);
int belay_call_is_up(const struct belay_call *call);
void belay_call_set_user(struct belay_call *call, void *user);
void *belay_call_user(const struct belay_call *call);

/* Outside of calls: "MESSAGE", "OPTIONS". ANSWERED follows. ret_request may be NULL. */
int belay_send(struct belay_account *a, const char *method, const char *to, const struct belay_content *c,
               struct belay_request **ret_request);
/* The answer to a REQUEST; a final one ends the request's life. */
int belay_request_answer(struct belay_request *r, unsigned status, const struct belay_content *c);
void belay_request_set_user(struct belay_request *r, void *user);
void *belay_request_user(const struct belay_request *r);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
