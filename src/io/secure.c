/*
 * TLS on streams: what tcp.c does with plain octets, for sockets that have a session.
 *
 *      connected, accepted ──► begin ──► shake … shake ──► done ──► `up` ──► read, put ──► bye
 *
 * A flow is not told to the core before its handshake is done; one that we accepted and that fails never is.
 */
#include "io/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/resume.h"
#include "io/tls.h"

enum {
        PLAIN = STREAM_READ + 2 * BL_TLS_RECORD, /* what one feed can become, a record begun earlier included */
        NAMES_MAX = 256 << 10,
        NAME_MAX_OCTETS = 1024, /* longer than any host */
        TICKET_MAX = BL_RESUME_OCTETS,
        STALE_MS = 1000 /* with all places taken, a handshake that lasts longer makes room */
};

struct secure { /* sock.inside */
        struct sock *owner;
        struct bl_tls *tls;     /* NULL: not connected yet */
        struct bl_link shaking; /* accepted, in worker.shaking */
        bl_us since; /* of the handshake; once it is done: of half a record that waits for its rest, 0: none */
        bool ask_name, server;
        enum bl_tls_ask ask : 8;
        uint16_t n_name;
        char name[]; /* ours: whom we wanted, also the key of its sessions */
};

static struct secure *secure_of(const struct sock *s)
{
        return s->inside;
}

/* ---- the worker's part ---- */

static void fini(struct worker *w);

static int init(struct worker *w)
{
        if (!w->world->conf.creds || w->plain)
                return 0;
        bl_list_init(&w->shaking);
        w->names = bl_arena_new(NAMES_MAX);
        w->resume = bl_resume_new(w->env.hash_seed);
        w->record = malloc(BL_TLS_RECORD);
        w->plain = malloc(PLAIN);
        if (w->names && w->resume && w->record && w->plain)
                return 0;
        fini(w);
        return BL_ENOMEM;
}

static void fini(struct worker *w)
{
        bl_arena_free(w->names);
        bl_resume_free(w->resume);
        free(w->record);
        free(w->plain);
        w->names = NULL;
        w->resume = NULL;
        w->record = w->plain = NULL;
}

static struct bl_creds *present_creds(struct worker *w)
{
        struct bl_world *world = w->world;
        uv_mutex_lock(&world->creds_lock);
        struct bl_creds *c = world->creds ? bl_creds_ref(world->creds) : NULL;
        uint32_t version = world->creds_version;
        uv_mutex_unlock(&world->creds_lock);
        if (version != w->creds_version) { /* what was resumed would go on showing our old certificate */
                w->creds_version = version;
                bl_resume_clear(w->resume);
        }
        return c;
}

static struct bl_str name_of(const struct secure *x)
{
        return bl_str_make(x->name, x->n_name);
}

/* ---- ends ---- */

static void say_failed(struct sock *s, const char *reason, const char *text)
{
        struct worker *w = s->w;
        struct flow *f = s->flow;
        char addr[BL_ADDR_TEXT];
        struct bl_sb remote = BL_SB(addr);
        bl_count(w->handshakes_failed);
        if (!bl_log_allow(w->env.log, "tls_failed", reason))
                return;
        bl_addr_put(&remote, &f->remote);
        /* Anybody can fail at a listener of ours; that we fail elsewhere is worth a warning. */
        bl_log_ev(w->env.log, f->untold ? BL_LOG_INFO : BL_LOG_WARN, "tls_failed", BL_KS("remote", bl_sb_str(&remote)),
                  BL_KZ("opened_by", f->untold ? "peer" : "us"), BL_KS("wanted", name_of(secure_of(s))),
                  BL_KZ("reason", reason), BL_KZ("error", text));
}

static void fail(struct sock *s, int rc, const char *reason, const char *text)
{
        say_failed(s, reason, text);
        bl_handle_down(s->w, s->flow, rc, false);
}

static void shake_over(struct bl_timer *t)
{
        struct sock *s = BL_CONTAINER(t, struct sock, timer);
        fail(s, -ETIMEDOUT, "timeout", "the handshake did not end in time");
}

static void not_shaking(struct sock *s)
{
        struct secure *x = secure_of(s);
        if (!bl_link_linked(&x->shaking))
                return;
        bl_list_remove(&x->shaking);
        s->w->n_shaking--;
}

static void end(struct sock *s)
{
        struct secure *x = secure_of(s);
        not_shaking(s);
        s->inside = NULL;
        bl_tls_free(x->tls);
        bl_pool_give(s->w->env.pool, x, sizeof(*x) + x->n_name);
}

static void bye(struct sock *s)
{
        bl_tls_bye(secure_of(s)->tls);
}

/* ---- begin ---- */

static int want(struct sock *s, const struct bl_target *to)
{
        struct worker *w = s->w;
        char text[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(text);
        struct bl_str name = {0};
        if (to) {
                bl_addr_put(&b, &to->to);
                name = to->sni.n ? to->sni : bl_sb_str(&b);
        }
        if (name.n > NAME_MAX_OCTETS)
                return BL_EINVAL;
        struct secure *x = bl_pool_zalloc(w->env.pool, sizeof(*x) + name.n);
        if (!x)
                return BL_ENOMEM;
        s->inside = x;
        x->owner = s;
        x->n_name = (uint16_t)name.n;
        if (name.n)
                memcpy(x->name, name.p, name.n);
        x->ask_name = to && to->sni.n;
        return 0;
}

static int begin(struct sock *s, bool server)
{
        struct worker *w = s->w;
        struct secure *x = secure_of(s);
        struct bl_tls_how how = {.server = server};
        struct bl_creds *creds = present_creds(w);
        if (!creds)
                return -EPROTONOSUPPORT;
        if (server) {
                how.ask = w->world->listeners[s->flow->listener].ask;
        } else {
                how.sni = x->ask_name ? name_of(x) : (struct bl_str){0};
                how.session = bl_resume_get(w->resume, name_of(x));
        }
        int rc = bl_tls_new(creds, w->env.pool, &how, s->fd, &x->tls);
        bl_creds_unref(creds);
        if (rc < 0)
                return rc;
        x->ask = how.ask;
        x->server = server;
        x->since = w->env.now;
        s->timer.fire = shake_over;
        bl_wheel_arm(w->wheel, &s->timer, w->env.now + BL_MS(w->world->conf.handshake_timeout_ms));
        if (server) {
                bl_list_push_back(&w->shaking, &x->shaking);
                w->n_shaking++;
        }
        return 0;
}

static bool room(struct worker *w)
{
        if (w->n_shaking < HANDSHAKES)
                return true;
        struct secure *oldest = BL_CONTAINER(w->shaking.next, struct secure, shaking);
        if (w->env.now - oldest->since < BL_MS(STALE_MS))
                return false;
        fail(oldest->owner, BL_ELIMIT, "too_many", "it lasted too long while others waited");
        return true;
}

/* ---- handshake ---- */

static void keep_ticket(struct sock *s)
{
        static const size_t most = TICKET_MAX;
        struct worker *w = s->w;
        struct bl_sb b = {w->record, 0, BL_TLS_RECORD < most ? BL_TLS_RECORD : most, false};
        if (bl_tls_session(secure_of(s)->tls, &b))
                bl_resume_put(w->resume, name_of(secure_of(s)), bl_sb_str(&b));
        explicit_bzero(w->record, b.n);
}

static void done(struct sock *s)
{
        struct worker *w = s->w;
        struct flow *f = s->flow;
        struct secure *x = secure_of(s);
        struct bl_peer peer;
        not_shaking(s);
        bl_wheel_disarm(w->wheel, &s->timer);
        bl_handle_peer(f, &peer);
        bl_tls_describe(x->tls, w->names, &peer);
        bl_count(peer.resumed ? w->handshakes_resumed : w->handshakes_full);
        if (x->ask == BL_TLS_REQUIRE && peer.chain != 0) {
                char text[256];
                struct bl_sb b = BL_SB(text);
                bl_sb_fmt(&b, "its certificate: %.*s", BL_STR_ARG(peer.chain_text));
                bl_sb_addc(&b, '\0');
                text[sizeof(text) - 1] = '\0';
                bl_tls_refuse(x->tls);
                fail(s, BL_EPROTO, "client_certificate", text);
        } else {
                f->state = FLOW_UP;
                f->untold = false;
                x->since = 0;
                if (!x->server)
                        keep_ticket(s);
                w->env.ev->up(&w->env, bl_handle_id(w, f), &peer, f->user);
        }
        bl_arena_reset(w->names);
}

/* Receives and feeds. Octets, 0 at the end of the stream, or -errno; EAGAIN among them. */
static ssize_t receive(struct sock *s)
{
        for (;;) {
                ssize_t n = recv(s->fd, s->w->read_buf, STREAM_READ, MSG_DONTWAIT);
                if (n > 0)
                        bl_tls_feed(secure_of(s)->tls, bl_str_make(s->w->read_buf, (size_t)n));
                if (n >= 0 || errno != EINTR)
                        return n >= 0 ? n : -errno;
        }
}

static bool deliver(struct sock *s, struct flow *f);

static void shake(struct sock *s)
{
        struct flow *f = s->flow;
        struct bl_tls *t = secure_of(s)->tls;
        for (int i = 0; i < STREAM_READS; i++) {
                int rc = bl_tls_handshake(t);
                if (rc == 0) {
                        done(s);
                        if (s->flow == f && f->state == FLOW_UP && bl_tls_stashed(t))
                                (void)deliver(s, f);
                        return;
                }
                if (rc != -EAGAIN) {
                        fail(s, rc, "handshake", bl_tls_why(t));
                        return;
                }
                if (bl_tls_blocked(t))
                        break;
                ssize_t n = receive(s);
                if (n == -EAGAIN)
                        return;
                if (n <= 0) {
                        fail(s, n == 0 ? BL_EGONE : (int)n, "closed",
                             n == 0 ? "the far end closed the connection" : bl_err_text((int)n));
                        return;
                }
        }
        if (bl_tls_stashed(t) && bl_tls_stash(t) < 0) /* read_buf is everybody's */
                fail(s, BL_ENOMEM, "no_memory", bl_err_text(BL_ENOMEM));
}

/* ---- in ---- */

/* All that the fed octets bring, as one event. False when the flow is not up any more. */
static bool deliver(struct sock *s, struct flow *f)
{
        struct worker *w = s->w;
        struct secure *x = secure_of(s);
        size_t have = 0;
        ptrdiff_t n = -EAGAIN;
        while (PLAIN - have >= BL_TLS_RECORD && (n = bl_tls_read(x->tls, w->plain + have, BL_TLS_RECORD)) > 0)
                have += (size_t)n;
        if (!x->server)
                keep_ticket(s);
        if (!bl_tls_partial(x->tls))
                x->since = 0;
        else if (have || !x->since)
                x->since = w->env.now;
        bl_tcp_watch(s);
        if (have) {
                bl_count(w->recv_total);
                w->env.ev->data(&w->env, bl_handle_id(w, f), f->user, bl_str_make(w->plain, have), false);
        }
        if (s->flow != f || f->state != FLOW_UP)
                return false;
        if (n > 0 || n == -EAGAIN)
                return true;
        if (n < 0)
                bl_log_ev(w->env.log, BL_LOG_DEBUG, "tls_broken", BL_KI("flow", bl_handle_id(w, f)),
                          BL_KZ("error", bl_tls_why(x->tls)));
        bl_handle_down(w, f, n == 0 ? BL_EGONE : (int)n, n == 0);
        return false;
}

static void read_in(struct sock *s)
{
        struct flow *f = s->flow;
        for (int i = 0; i < STREAM_READS && !f->paused; i++) {
                ssize_t n = receive(s);
                if (n == -EAGAIN)
                        return;
                if (n <= 0) {
                        bl_handle_down(s->w, f, n == 0 ? BL_EGONE : (int)n, n == 0);
                        return;
                }
                if (!deliver(s, f) || n < STREAM_READ)
                        return;
        }
}

/* ---- out ---- */

static ssize_t put(struct sock *s)
{
        struct seg *g = s->queue;
        struct bl_str first = bl_str_from(bl_buf_str(g->buf), s->written);
        if (!g->next || first.n >= BL_TLS_RECORD || bl_tls_blocked(secure_of(s)->tls))
                return bl_tls_write(secure_of(s)->tls, first);
        /* Several messages in one record: one encryption, one system call. */
        struct bl_sb b = {s->w->record, 0, BL_TLS_RECORD, false};
        for (size_t skip = s->written; g && b.n < b.cap; g = g->next, skip = 0) {
                struct bl_str part = bl_str_from(bl_buf_str(g->buf), skip);
                if (part.n > b.cap - b.n)
                        part.n = b.cap - b.n;
                bl_sb_add(&b, part);
        }
        return bl_tls_write(secure_of(s)->tls, bl_sb_str(&b));
}

/* ---- the layer ---- */

static int wants(const struct sock *s)
{
        return bl_tls_blocked(secure_of(s)->tls) ? UV_WRITABLE : UV_READABLE;
}

static bl_us held(const struct sock *s)
{
        return secure_of(s)->since;
}

const struct layer bl_secure_layer = {
        .init = init,
        .fini = fini,
        .room = room,
        .want = want,
        .begin = begin,
        .shake = shake,
        .wants = wants,
        .read = read_in,
        .put = put,
        .held = held,
        .bye = bye,
        .end = end,
};
