/*
 * The env's events become flows and messages.
 *
 *      up ──► struct bl_flow ──► links from its certificate or `trust` ──► user.up, watchers' up
 *      data ─► datagram: keep-alive, or one message ─┐
 *              stream: stream.c cuts messages ───────┴─► bl_msg_parse ─► user.message / user.garbage
 *      down ─► user.down (the stickiness table is true again) ─► watchers' down (and may choose another) ─► freed
 */
#include "flow/flow.h"

#include <stdlib.h>

#include "flow/internal.h"
#include "sip/stun.h"

enum { ROOM_LOOKS = 8 };

static struct bl_flow *alloc_flow(struct bl_flows *fs)
{
        struct bl_flow *f = bl_pool_zalloc(fs->env->pool, sizeof(*f));
        if (!f)
                return NULL;
        f->_flows = fs;
        bl_list_init(&f->_watchers);
        bl_list_init(&f->_links);
        return f;
}

static int enter(struct bl_flow *f, bl_flow_id id)
{
        struct bl_flows *fs = f->_flows;
        f->id = id;
        int rc = bl_htab_insert(&fs->by_id, &f->_node, bl_hash_mix(fs->env->hash_seed, id));
        if (rc == 0)
                bl_list_push_back(&fs->all, &f->_all);
        return rc;
}

static void free_flow(struct bl_flow *f)
{
        struct bl_flows *fs = f->_flows;
        env_disarm(fs->env, &f->_idle);
        env_disarm(fs->env, &f->_ping);
        bl_stream_fini(f);
        bl_link_fini(f);
        bl_keepalive_fini(f);
        bl_htab_remove(&fs->by_id, &f->_node);
        if (fs->last == f)
                fs->last = NULL;
        bl_list_remove(&f->_all);
        bl_pool_give(fs->env->pool, f, sizeof(*f));
}

/* Alive, opening or closing. */
static struct bl_flow *find(const struct bl_flows *fs, bl_flow_id id)
{
        struct bl_hnode *n = bl_htab_first(&fs->by_id, bl_hash_mix(fs->env->hash_seed, id));
        for (; n; n = bl_htab_next(n)) {
                struct bl_flow *f = BL_CONTAINER(n, struct bl_flow, _node);
                if (f->id == id)
                        return f;
        }
        return NULL;
}

static void log_flow(const struct bl_flow *f, enum bl_level level, const char *event, int why)
{
        struct bl_log *log = f->_flows->env->log;
        if (!log || level > log->level)
                return;
        char text[BL_ADDR_TEXT];
        struct bl_sb remote = BL_SB(text);
        bl_addr_put(&remote, &f->remote);
        bl_log_ev(log, level, event, BL_KI("flow", f->id), BL_KS("transport", bl_tp_name(f->tp)),
                  BL_KS("remote", bl_sb_str(&remote)), BL_KZ("opened_by", f->ours ? "us" : "peer"),
                  BL_KZ("reason", why ? bl_err_text(why) : "none"));
}

/* ---- idle flows ---- */

static bl_us idle_after(const struct bl_flow *f)
{
        const struct bl_flows_conf *c = &f->_flows->conf;
        return f->ours ? 0 : bl_tp_is_stream(f->tp) ? BL_MS(c->stream_idle_ms) : BL_MS(c->udp_idle_ms);
}

/* One timer, moved lazily: octets that arrive only note the time. */
static void on_idle(struct bl_timer *timer)
{
        struct bl_flow *f = BL_CONTAINER(timer, struct bl_flow, _idle);
        struct bl_flows *fs = f->_flows;
        bl_us now = fs->env->now, idle = idle_after(f), next = UINT64_MAX;
        if (f->_partial_at) {
                next = f->_partial_at + BL_MS(fs->conf.partial_ms);
                if (next <= now) {
                        bl_count(fs->partial_timeouts);
                        bl_flow_close_why(f, false, BL_ETIMEOUT);
                        return;
                }
        }
        if (idle) {
                bl_us at = f->heard_at + idle;
                bool held = f->tp == BL_UDP && (f->pins || !bl_list_empty(&f->_watchers));
                if (at <= now && !held) {
                        bl_count(fs->idle_timeouts);
                        bl_flow_close_why(f, false, BL_ETIMEOUT);
                        return;
                }
                at = at <= now ? now + idle : at;
                next = at < next ? at : next;
        }
        if (next != UINT64_MAX)
                env_arm(fs->env, timer, next);
}

/* ---- events ---- */

static void move(struct bl_link *from, struct bl_link *to)
{
        struct bl_link *l = from->next;
        bl_list_remove(l);
        bl_list_push_back(to, l);
}

/* A watcher may unwatch itself or others, watch anew, or close the flow: then the rest hears of its end only. */
static void tell_up(struct bl_flow *f)
{
        struct bl_link waiting;
        bl_list_init(&waiting);
        while (!bl_list_empty(&f->_watchers))
                move(&f->_watchers, &waiting);
        while (!bl_list_empty(&waiting)) {
                struct bl_watch *w = BL_CONTAINER(waiting.next, struct bl_watch, _link);
                move(&waiting, &f->_watchers);
                if (w->up && f->state == BL_FLOW_UP)
                        w->up(w, f);
        }
}

static void come_up(struct bl_flow *f, const struct bl_peer *peer)
{
        struct bl_flows *fs = f->_flows;
        f->tp = peer->tp;
        f->local = peer->local;
        f->remote = peer->remote;
        f->listener = peer->listener;
        if (!bl_link_admit(f, peer)) {
                bl_flow_close_why(f, false, BL_EAUTH);
                return;
        }
        f->state = BL_FLOW_UP;
        f->up_at = f->heard_at = fs->env->now;
        f->_idle.fire = on_idle;
        if (idle_after(f))
                env_arm_in(fs->env, &f->_idle, idle_after(f));
        log_flow(f, BL_LOG_DEBUG, "flow_up", 0);
        if (f->_ping_every_ms)
                bl_keepalive_start(f);
        if (fs->user.up)
                fs->user.up(fs->ctx, f);
        tell_up(f);
}

/* Strangers make UDP flows at will, also under false addresses: over the limit the oldest one that is idle and of no
 * use gives way. A few are looked at; those in use go to the end of the list. */
static bool make_room(struct bl_flows *fs)
{
        for (unsigned i = 0; i < ROOM_LOOKS && fs->by_id.count >= fs->conf.max_flows; i++) {
                struct bl_flow *f = BL_CONTAINER(fs->all.next, struct bl_flow, _all);
                bool idle = f->heard_at + BL_SEC(1) <= fs->env->now && !f->pins && bl_list_empty(&f->_watchers);
                if (f->state == BL_FLOW_UP && f->tp == BL_UDP && !f->ours && idle) {
                        bl_count(fs->evicted);
                        bl_flow_close_why(f, false, BL_ELIMIT);
                        move(&fs->all, &fs->all);
                        return true;
                }
                move(&fs->all, &fs->all);
        }
        return fs->by_id.count < fs->conf.max_flows;
}

static struct bl_flow *accept_flow(struct bl_flows *fs, bl_flow_id id)
{
        if (!make_room(fs)) {
                bl_count(fs->refused);
                return NULL;
        }
        struct bl_flow *f = alloc_flow(fs);
        if (f && enter(f, id) == 0)
                return f;
        bl_count(fs->no_memory);
        if (f)
                bl_pool_give(fs->env->pool, f, sizeof(*f));
        return NULL;
}

static void ev_up(struct env *env, bl_flow_id id, const struct bl_peer *peer, void *user)
{
        struct bl_flows *fs = env->core;
        struct bl_flow *f = user;
        if (!fs)
                return;
        if (!f) {
                f = accept_flow(fs, id);
                if (!f) {
                        env->ops->close(env, id, false);
                        return;
                }
                env->ops->set_user(env, id, f);
        } else if (f->state != BL_FLOW_OPENING) {
                return;
        }
        come_up(f, peer);
}

void bl_flow_tell_down(struct bl_link *watchers, bl_flow_id id, int why)
{
        while (!bl_list_empty(watchers)) {
                struct bl_watch *w = BL_CONTAINER(watchers->next, struct bl_watch, _link);
                bl_list_remove(&w->_link);
                if (w->down)
                        w->down(w, id, why);
        }
}

static void go_down(struct bl_flow *f, int why)
{
        struct bl_flows *fs = f->_flows;
        f->state = BL_FLOW_DOWN;
        why = f->_why ? f->_why : why;
        log_flow(f, BL_LOG_DEBUG, "flow_down", why);
        if (fs->user.down)
                fs->user.down(fs->ctx, f, why);
        bl_flow_tell_down(&f->_watchers, f->id, why);
        bl_cross_down(f, why ? why : BL_EGONE);
        free_flow(f);
}

static void ev_down(struct env *env, bl_flow_id id, void *user, int why)
{
        (void)id;
        if (env->core && user)
                go_down(user, why);
}

void bl_flow_garbage(struct bl_flow *f, const struct bl_parse_error *err, bool fatal)
{
        struct bl_flows *fs = f->_flows;
        if (fs->user.garbage)
                fs->user.garbage(fs->ctx, f, err, fatal);
}

void bl_flow_message(struct bl_flow *f, struct bl_str octets, bool datagram)
{
        struct bl_flows *fs = f->_flows;
        struct bl_msg *m;
        struct bl_parse_error err = {0};
        if (bl_msg_parse(octets, datagram, fs->arena, &m, &err) < 0) {
                bl_flow_garbage(f, &err, false);
        } else {
                bl_count(fs->messages[f->tp]);
                fs->user.message(fs->ctx, f, m);
        }
        bl_arena_reset(fs->arena);
}

/* The message is too long, but it is whole: the answer can name its transaction (RFC 3261 21.5.14). */
static void too_long(struct bl_flow *f, struct bl_str octets)
{
        struct bl_msg *m;
        struct bl_parse_error err = {0}, refusal = {.status = 513, .text = "Message too large"};
        int rc = bl_msg_parse(octets, true, f->_flows->arena, &m, &err);
        refusal.partial = rc < 0 ? err.partial : m;
        bl_flow_garbage(f, &refusal, false);
        bl_arena_reset(f->_flows->arena);
}

static bool only_blanks(struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0')
                        return false;
        }
        return true;
}

static void on_datagram(struct bl_flow *f, struct bl_str octets)
{
        struct bl_flows *fs = f->_flows;
        if (octets.n == 0)
                return;
        if ((unsigned char)octets.p[0] < 4 && bl_stun_is(octets)) {
                bl_keepalive_stun(f, octets);
        } else if ((unsigned char)octets.p[0] <= ' ' && only_blanks(octets)) {
                /* A keep-alive that only holds the NAT's mapping: some clients send CRLFs over UDP, others NULs.
                 * WebSocket hands up messages whole: there a double CRLF wants its pong (RFC 7118 6, RFC 5626 3.5.1).
                 */
                if (f->tp != BL_UDP && octets.n == 4) {
                        bl_count(fs->pings);
                        bl_flow_send_text(f, "\r\n", 2);
                } else if (f->tp != BL_UDP && octets.n == 2) {
                        bl_keepalive_pong(f);
                } else {
                        bl_count(fs->ignored);
                }
        } else if (octets.n > fs->conf.max_message) {
                too_long(f, octets);
        } else {
                bl_flow_message(f, octets, true);
        }
}

static void ev_data(struct env *env, bl_flow_id id, void *user, struct bl_str octets, bool datagram)
{
        struct bl_flow *f = user;
        (void)id;
        if (!env->core || !f || f->state != BL_FLOW_UP)
                return;
        f->heard_at = env->now;
        if (datagram)
                on_datagram(f, octets);
        else
                bl_stream_data(f, octets);
}

static void ev_writable(struct env *env, bl_flow_id id, void *user)
{
        (void)env, (void)id, (void)user; /* nothing waits for room: BL_EFULL counted as a failed candidate */
}

static void ev_turn(struct env *env)
{
        struct bl_flows *fs = env->core;
        if (!fs)
                return;
        bl_gauge_set(fs->open, fs->by_id.count);
        if (fs->user.turn)
                fs->user.turn(fs->ctx);
        if (env->core != fs)
                return; /* freed */
        bl_arena_reset(fs->arena);
        bl_cross_turn(fs);
}

static const struct env_events events = {ev_up, ev_data, ev_writable, ev_down, ev_turn};

/* ---- life ---- */

static void get_counters(struct bl_flows *fs)
{
        struct bl_stats *s = fs->env->stats;
        static const char *const tp[BL_TP_COUNT] = {"udp", "tcp", "tls", "ws", "wss"};
        for (unsigned i = 0; i < BL_TP_COUNT; i++)
                fs->messages[i] = bl_stats_counter(s, "belay_flow_messages_total", "transport", tp[i]);
        fs->pings = bl_stats_counter(s, "belay_flow_keepalives_total", "kind", "answered");
        fs->pongs = bl_stats_counter(s, "belay_flow_keepalives_total", "kind", "pong");
        fs->ignored = bl_stats_counter(s, "belay_flow_keepalives_total", "kind", "ignored");
        fs->ping_timeouts = bl_stats_counter(s, "belay_flow_closed_total", "reason", "ping_timeout");
        fs->rebound = bl_stats_counter(s, "belay_flow_closed_total", "reason", "nat_rebound");
        fs->forgotten = bl_stats_counter(s, "belay_flow_closed_total", "reason", "forgotten");
        fs->partial_timeouts = bl_stats_counter(s, "belay_flow_closed_total", "reason", "partial_timeout");
        fs->idle_timeouts = bl_stats_counter(s, "belay_flow_closed_total", "reason", "idle");
        fs->evicted = bl_stats_counter(s, "belay_flow_closed_total", "reason", "evicted");
        fs->refused = bl_stats_counter(s, "belay_flow_refused_total", "reason", "max_flows");
        fs->open = bl_stats_counter(s, "belay_flow_open_flows", NULL, NULL);
        static const char *const tls[BL_TLS_REFUSALS] = {"certificate", "no_certificate", "wrong_name", "wildcard"};
        for (unsigned i = 0; i < BL_TLS_REFUSALS; i++)
                fs->tls_refused[i] = bl_stats_counter(s, "belay_flow_tls_refused_total", "reason", tls[i]);
        fs->no_memory = bl_stats_counter(s, "belay_flow_no_memory_total", NULL, NULL);
        fs->crossed = bl_stats_counter(s, "belay_flow_crossed_total", NULL, NULL);
}

struct bl_flows *bl_flows_new(struct env *env, const struct bl_flows_conf *conf, const struct bl_flows_user *user,
                              void *ctx)
{
        struct bl_flows *fs = calloc(1, sizeof(*fs));
        if (!fs)
                return NULL;
        fs->arena = bl_arena_new(FLOW_ARENA_MAX);
        fs->spent = calloc(env->workers ? env->workers : 1, sizeof(struct bl_cross *));
        if (!fs->arena || !fs->spent) {
                bl_arena_free(fs->arena);
                free(fs->spent);
                free(fs);
                return NULL;
        }
        fs->env = env;
        fs->conf = *conf;
        fs->user = *user;
        fs->ctx = ctx;
        if (!fs->conf.max_message || fs->conf.max_message > BL_MSG_MAX)
                fs->conf.max_message = BL_MSG_MAX;
        if (!fs->conf.udp_idle_ms)
                fs->conf.udp_idle_ms = 180 * 1000;
        if (!fs->conf.stream_idle_ms)
                fs->conf.stream_idle_ms = 3600 * 1000;
        if (!fs->conf.max_flows)
                fs->conf.max_flows = 1 << 20;
        if (!fs->conf.partial_ms)
                fs->conf.partial_ms = 30 * 1000;
        bl_list_init(&fs->all);
        get_counters(fs);
        env->ev = &events;
        env->core = fs;
        return fs;
}

void bl_flows_free(struct bl_flows *fs)
{
        if (!fs)
                return;
        while (!bl_list_empty(&fs->all)) {
                struct bl_flow *f = BL_CONTAINER(fs->all.next, struct bl_flow, _all);
                fs->env->ops->set_user(fs->env, f->id, NULL);
                fs->env->ops->close(fs->env, f->id, false);
                go_down(f, 0);
        }
        fs->env->core = NULL;
        bl_cross_fini(fs);
        bl_htab_fini(&fs->by_id);
        bl_arena_free(fs->arena);
        free(fs->spent);
        free(fs);
}

struct env *bl_flows_env(struct bl_flows *fs)
{
        return fs->env;
}
struct bl_arena *bl_flows_arena(struct bl_flows *fs)
{
        return fs->arena;
}
const struct bl_flows_conf *bl_flows_get_conf(const struct bl_flows *fs)
{
        return &fs->conf;
}
size_t bl_flows_count(const struct bl_flows *fs)
{
        return fs->by_id.count;
}

struct bl_flow *bl_flows_next(const struct bl_flows *fs, const struct bl_flow *after)
{
        const struct bl_link *l = after ? after->_all.next : fs->all.next;
        return l == &fs->all ? NULL : BL_CONTAINER(l, struct bl_flow, _all);
}

void bl_flows_join(struct bl_flows *const *all, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                all[i]->workers = n;
}

/* ---- one flow ---- */

struct bl_flow *bl_flow_get(struct bl_flows *fs, bl_flow_id id)
{
        struct bl_flow *f = fs->last && fs->last->id == id ? fs->last : find(fs, id);
        if (f)
                fs->last = f;
        return f && f->state != BL_FLOW_DOWN ? f : NULL;
}

int bl_flow_open(struct bl_flows *fs, const struct bl_target *to, struct bl_flow **ret_flow)
{
        struct env *env = fs->env;
        struct bl_flow *f = alloc_flow(fs);
        bl_flow_id id = 0;
        if (!f)
                return BL_ENOMEM;
        f->state = BL_FLOW_OPENING;
        f->ours = true;
        f->tp = to->tp;
        f->remote = to->to;
        f->listener = to->listener;
        int rc = bl_tp_is_secure(to->tp) ? bl_link_want(f, to->sni) : 0;
        if (rc == 0)
                rc = env->ops->open(env, to, f, &id);
        if (rc == 0 && (rc = enter(f, id)) < 0) {
                env->ops->set_user(env, id, NULL);
                env->ops->close(env, id, false);
        }
        if (rc < 0) {
                bl_link_fini(f);
                bl_pool_give(env->pool, f, sizeof(*f));
                return rc;
        }
        *ret_flow = f;
        return 0;
}

void bl_flow_close_why(struct bl_flow *f, bool drain, int why)
{
        struct env *env = f->_flows->env;
        if (f->state == BL_FLOW_DOWN)
                return;
        f->state = BL_FLOW_DOWN;
        f->_why = why;
        env_disarm(env, &f->_idle);
        env_disarm(env, &f->_ping);
        env->ops->close(env, f->id, drain);
}

void bl_flow_close(struct bl_flow *f, bool drain)
{
        bl_flow_close_why(f, drain, 0);
}

int bl_flow_send(struct bl_flows *fs, bl_flow_id id, struct bl_buf *buf)
{
        if (bl_flow_worker(id) != fs->env->worker)
                return bl_cross_send(fs, id, buf);
        struct bl_flow *f = find(fs, id);
        if (!f || f->state == BL_FLOW_DOWN)
                return BL_EGONE;
        return f->state == BL_FLOW_OPENING ? BL_EPENDING : env_send(fs->env, id, buf);
}

void bl_flow_send_text(struct bl_flow *f, const void *octets, size_t n)
{
        struct env *env = f->_flows->env;
        struct bl_buf *b = bl_buf_copy(env->pool, bl_str_make(octets, n));
        if (!b) {
                bl_count(f->_flows->no_memory);
                return;
        }
        (void)env_send(env, f->id, b);
        bl_buf_unref(env->pool, b);
}

int bl_flow_watch(struct bl_flows *fs, bl_flow_id id, struct bl_watch *w)
{
        if (bl_flow_worker(id) != fs->env->worker)
                return bl_cross_watch(fs, id, w);
        struct bl_flow *f = bl_flow_get(fs, id);
        if (!f)
                return BL_EGONE;
        bl_list_push_back(&f->_watchers, &w->_link);
        return 0;
}

void bl_flow_unwatch(struct bl_watch *w)
{
        bl_list_remove(&w->_link);
}
