/*
 * The user agent: registers with discovery on N flows, keeps them, places and takes calls, fails over both ways
 * (protocol.md sections 2 to 5). One bl_ua is one AOR with one instance; many share a bl_ua_stack (one env, one set of
 * flows layer, transactions, hops). All single-threaded in the env's worker.
 *
 * Application events arrive through one callback; handles are valid until their `gone` event. Text in events is
 * borrowed until return.
 */
#pragma once
#include "auth/digest_client.h"
#include "hop/send.h"

struct bl_ua_stack;
struct bl_ua;
struct bl_dialog;     /* a call (INVITE) or an in-dialog peer */
struct bl_ua_request; /* one request of ours under way, or one received and not yet answered */

struct bl_ua_stack_conf { /* borrowed for life */
        struct bl_txns_conf txn;
        struct bl_flows_conf flow; /* listeners may be empty: a UA only opens flows */
        struct bl_hops_conf hop;
        struct bl_sticky *sticky; /* the stack's own when NULL */
        struct bl_str sent_by; /* one for all flows and transports; empty: made from a random name ending in .invalid */
};
struct bl_ua_stack *bl_ua_stack_new(struct env *env, const struct bl_ua_stack_conf *conf); /* NULL without memory */
void bl_ua_stack_free(struct bl_ua_stack *s);
struct bl_hops *bl_ua_stack_hops(struct bl_ua_stack *s);

enum bl_ua_event_kind {
        BL_UA_REGISTERED,   /* a flow's registration succeeded; .reg_id .edge (Outbound-Proxy URI used, empty: direct)
                               .text = service route */
        BL_UA_UNREGISTERED, /* a flow's registration ended or was lost; .status (0: transport), .reason */
        BL_UA_REGISTER_FAILED, /* gave up for now, will retry in .retry_ms (0: never: wrong password, 403); .status
                                  .reason; .local: nobody answered */
        BL_UA_REDIRECTED,      /* discovery step: .text = the URI that goes into Route */
        BL_UA_FLOW_UP,         /* a flow carries a registration now: .flow .reg_id .text = far end */
        BL_UA_FLOW_DOWN,       /* and no longer; likewise, .reason */
        BL_UA_INVITED,         /* an incoming call: .dialog .request; answer with bl_ua_answer */
        BL_UA_REQUEST,   /* another request, in or out of a dialog (re-INVITE, UPDATE, INFO, MESSAGE, BYE ...): .request
                          * .dialog (NULL: out of dialog). BYE is answered 200 by the stack, .request is NULL;
                          * re-INVITE and others wait for bl_ua_answer */
        BL_UA_PROGRESS,  /* 1xx to a request of ours: .request .dialog .status. Of a fork each branch is an early
                          * dialog of its own; the first 2xx makes the call's handle its dialog, the others are GONE */
        BL_UA_ANSWERED,  /* its final response (2xx or not; 408/503 of our own when there was none: .local) */
        BL_UA_ACKED,     /* the ACK for our 2xx came */
        BL_UA_CANCELLED, /* an incoming INVITE was cancelled, or ended by BYE: answered 487 by the stack */
        BL_UA_DIALOG_GONE /* the handle dies after this event */
};
struct bl_ua_event {
        enum bl_ua_event_kind kind;
        struct bl_ua *ua;
        struct bl_dialog *dialog;
        struct bl_ua_request *request;
        enum bl_method method;
        unsigned status, reg_id, tries; /* tries: how many flows it took */
        bool local;
        uint32_t retry_ms;
        bl_flow_id flow;
        struct bl_str text, reason, edge;
        const struct bl_msg *msg; /* the message behind the event, when there is one; until return */
};
struct bl_ua_conf {        /* copied */
        struct bl_str aor; /* sip:joe@example.com */
        struct bl_str display, auth_user, password;
        struct bl_str instance;       /* urn:uuid:…; empty: random */
        struct bl_str outbound_proxy; /* URI to start with (section 2 step 8); empty: discovery from the AOR's domain */
        unsigned flows;               /* N wanted; 0 = as many as Outbound-Proxy names */
        uint32_t expires_s;           /* 0 = 600 */
        uint32_t retry_base_s;        /* RFC 5626 section 4.5 base-time; 0: 30, and 90 while some flow lives */
        bool legacy;                  /* without sticky, alt-proxies: a plain RFC 5626 UA, for tests */
        bool register_off;            /* only calls */
        void (*event)(void *ctx, const struct bl_ua_event *);
        void *ctx;
};
struct bl_ua *bl_ua_new(struct bl_ua_stack *s,
                        const struct bl_ua_conf *conf); /* NULL without memory or with an AOR that is none */
void bl_ua_free(struct bl_ua *ua);                      /* without telling the registrar */
enum { BL_UA_PROXIES = 8 };
/* Instead of bl_ua_conf.outbound_proxy, several in order of preference (DHCP may name as many: RFC 3361 section 3.1):
 * the next one when nobody answers by the one before. n 0: discovery from the AOR's domain. Counts from when the search
 * for an edge begins the next time. Copied. BL_EINVAL: one is no URI, too long, or there are too many; BL_ENOMEM; then
 * all is as it was. */
int bl_ua_set_proxies(struct bl_ua *ua, const struct bl_str *uris, unsigned n);
void bl_ua_start(struct bl_ua *ua);           /* registers; events follow */
void bl_ua_stop(struct bl_ua *ua);            /* removes the registration on all flows; BL_UA_UNREGISTERED for each */
unsigned bl_ua_flows(const struct bl_ua *ua); /* registered now */

struct bl_ua_body {
        struct bl_str type, octets;
};
/* INVITE to `to` (URI). 0 and handles; events follow: PROGRESS, ANSWERED. extra: header lines with CRLF, or empty. */
int bl_ua_call(struct bl_ua *ua, struct bl_str to, struct bl_str extra, const struct bl_ua_body *body,
               struct bl_dialog **ret_dialog, struct bl_ua_request **ret_request);
/* A request within a dialog (BYE, INVITE, UPDATE, INFO, OPTIONS, MESSAGE, NOTIFY, REFER): ACK to a re-INVITE's 2xx is
 * sent by the stack. */
int bl_ua_in_dialog(struct bl_dialog *d, enum bl_method method, struct bl_str extra, const struct bl_ua_body *body,
                    struct bl_ua_request **ret_request);
/* Out of any dialog: MESSAGE, OPTIONS. */
int bl_ua_request(struct bl_ua *ua, enum bl_method method, struct bl_str to, struct bl_str extra,
                  const struct bl_ua_body *body, struct bl_ua_request **ret_request);
int bl_ua_answer(struct bl_ua_request *r, unsigned status, struct bl_str extra,
                 const struct bl_ua_body *body); /* INVITED / REQUEST; 1xx may precede */
void bl_ua_cancel(struct bl_ua_request *r);      /* an INVITE of ours */
struct bl_str bl_dialog_call_id(const struct bl_dialog *d);
/* Of a fork's early dialog: the one that bl_ua_call gave; of any other: itself. */
struct bl_dialog *bl_dialog_call(struct bl_dialog *d);
void bl_dialog_set_user(struct bl_dialog *d, void *user);
void *bl_dialog_user(const struct bl_dialog *d);
void bl_ua_request_set_user(struct bl_ua_request *r, void *user);
void *bl_ua_request_user(const struct bl_ua_request *r);
void *bl_ua_request_ctx(const struct bl_ua_request *r); /* its UA's bl_ua_conf.ctx */
