/*
 * A world for unit tests of what stands on the seam: virtual clock, flows that only record what is sent, posts between
 * the workers of one node. Nothing happens by itself: the test says what arrives and when. No allocation after
 * fake_init, so that oom.h counts the code under test alone.
 */
#pragma once
#include "env/env.h"

enum { FAKE_WORKERS = 3, FAKE_FLOWS = 128, FAKE_SENT = 1024, FAKE_TEXT = 2000, FAKE_POSTS = 4096 };

struct fake_flow {
        bl_flow_id id;
        enum bl_tp tp;
        struct bl_addr local, remote;
        uint16_t listener;
        void *user;
        enum { FAKE_FREE, FAKE_OPENING, FAKE_UP, FAKE_CLOSING } state;
        bool drained;
        int send_rc; /* what send answers instead of 0 */
};
struct fake_sent {
        bl_flow_id flow;
        bl_us at;
        size_t n;
        bool taken;
        char text[FAKE_TEXT];
};
struct fake_worker {
        struct env env;
        struct bl_wheel *wheel;
        struct bl_post *posts[FAKE_POSTS]; /* to be run here */
        unsigned first_post, n_posts;
};
struct fake {
        unsigned n;
        struct fake_worker w[FAKE_WORKERS];
        struct fake_flow flows[FAKE_FLOWS];
        uint32_t generation;
        int open_rc; /* what open answers instead of 0 */
        struct fake_sent sent[FAKE_SENT];
        unsigned n_sent;
        struct bl_log log;
};

struct fake *fake_new(unsigned workers); /* now = 1000 s */
void fake_free(struct fake *f);
struct env *fake_env(struct fake *f, unsigned worker);
bl_us fake_now(const struct fake *f);
/* Lets `ms` pass: timers in order, posts and closes after each millisecond that has any. */
void fake_pass(struct fake *f, unsigned ms);
void fake_settle(struct fake *f); /* posts, downs of closed flows and turns, until nothing is left */

/* A far end appears: `up`. `remote` is "1.2.3.4:5060"; the local address is 127.0.0.1:5060. */
bl_flow_id fake_accept(struct fake *f, unsigned worker, enum bl_tp tp, const char *remote);
bl_flow_id fake_accept_peer(struct fake *f, unsigned worker, const struct bl_peer *peer);
void fake_up(struct fake *f, bl_flow_id id); /* one that was opened is up now */
/* Likewise, and shows these names and this chain. */
void fake_up_peer(struct fake *f, bl_flow_id id, const struct bl_peer *shown);
void fake_down(struct fake *f, bl_flow_id id, int why); /* the far end, or the net, ended it */
struct fake_flow *fake_flow(struct fake *f, bl_flow_id id);
bl_flow_id fake_opened(struct fake *f, unsigned nth); /* the nth flow that is opening or up by our own open; 0 none */
/* Octets arrive. */
void fake_data(struct fake *f, bl_flow_id id, struct bl_str octets);
void fake_text(struct fake *f, bl_flow_id id, const char *text);

/* The oldest thing sent on the flow that was not taken yet; NULL when there is none. */
const struct fake_sent *fake_take(struct fake *f, bl_flow_id id);
unsigned fake_pending(struct fake *f, bl_flow_id id); /* how many were not taken */
void fake_drop_all(struct fake *f);
