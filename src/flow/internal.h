/* Private to flow/: what its files share. flow.c events and life, stream.c framing, keepalive.c pings, link.c domains,
 * cross.c other workers. */
#pragma once
#include "flow/flow.h"

enum { FLOW_ARENA_MAX = 2 << 20 };

enum bl_tls_refusal { /* what was wrong with a certificate (RFC 5922) */
                      BL_TLS_CHAIN,
                      BL_TLS_NO_CERTIFICATE,
                      BL_TLS_WRONG_NAME,
                      BL_TLS_WILDCARD,
                      BL_TLS_REFUSALS
};

struct bl_flows {
        struct env *env;
        struct bl_flows_conf conf; /* defaults filled in */
        struct bl_flows_user user;
        void *ctx;
        struct bl_arena *arena;
        struct bl_htab by_id;
        struct bl_flow *last; /* found: one message asks for its flow many times */
        struct bl_link all;   /* oldest first */

        /* cross.c */
        unsigned workers;        /* 0 until joined */
        struct bl_htab remotes;  /* watched flows of other workers */
        struct bl_cross **spent; /* by worker: what came from there and goes back at the end of the turn */

        struct bl_counter *messages[BL_TP_COUNT], *pings, *pongs, *ping_timeouts, *rebound, *forgotten, *ignored,
                *partial_timeouts, *idle_timeouts, *no_memory, *crossed, *evicted, *refused, *open;
        struct bl_counter *tls_refused[BL_TLS_REFUSALS];
};

/* flow.c */
void bl_flow_close_why(struct bl_flow *f, bool drain, int why);
/* One whole message, parsed and handed up, or its refusal; the arena is reset. */
void bl_flow_message(struct bl_flow *f, struct bl_str octets, bool datagram);
void bl_flow_garbage(struct bl_flow *f, const struct bl_parse_error *err, bool fatal);
void bl_flow_send_text(struct bl_flow *f, const void *octets, size_t n); /* keep-alives: lost when they cannot go */
/* Tells and unlinks all watchers on the list; it may change meanwhile. */
void bl_flow_tell_down(struct bl_link *watchers, bl_flow_id id, int why);

/* stream.c */
void bl_stream_data(struct bl_flow *f, struct bl_str octets);
void bl_stream_fini(struct bl_flow *f);

/* keepalive.c */
void bl_keepalive_start(struct bl_flow *f);
void bl_keepalive_pong(struct bl_flow *f);
void bl_keepalive_stun(struct bl_flow *f, struct bl_str datagram);
void bl_keepalive_fini(struct bl_flow *f);

/* link.c */
int bl_link_want(struct bl_flow *f, struct bl_str domain); /* of one that is opened over TLS: 0, BL_EINVAL, BL_ENOMEM */
/* Links a flow that comes up. False: its certificate is not one to talk to, it was logged, and the flow must close. */
bool bl_link_admit(struct bl_flow *f, const struct bl_peer *peer);
void bl_link_fini(struct bl_flow *f);

/* cross.c */
int bl_cross_send(struct bl_flows *fs, bl_flow_id id, struct bl_buf *buf);
int bl_cross_watch(struct bl_flows *fs, bl_flow_id id, struct bl_watch *w);
void bl_cross_down(struct bl_flow *f, int why); /* tells the workers that watch it */
void bl_cross_turn(struct bl_flows *fs);
void bl_cross_fini(struct bl_flows *fs);
