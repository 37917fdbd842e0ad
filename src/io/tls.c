#include "io/tls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "io/tls_internal.h"

/* Tickets come with the handshake only, and a UA's connection may well last a day before its edge dies. */
enum { TICKET_S = 24 * 3600 };
enum { ODD_TURNS = 16 /* warnings and the like that one call swallows */, HEAD = 5 /* of a record */ };

struct bl_tls {
        gnutls_session_t s;
        struct bl_creds *creds;
        struct bl_pool *pool;
        const char *in; /* fed and not used */
        char *stash;
        uint32_t in_n, stash_n;
        int fd;
        int16_t error; /* the library's, of the last failure */
        bool server : 1, ready : 1, broken : 1, sending : 1, said_bye : 1;
        bool ticket : 1; /* client: one came */
        /* where the fed octets end: inside a record's head, or so many octets before its end */
        uint8_t n_head, head_length[2];
        uint16_t body_left;
};

/* ---- the library's transport ---- */

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t n)
{
        struct bl_tls *t = arg;
        if (!t->in_n) {
                gnutls_transport_set_errno(t->s, EAGAIN);
                return -1;
        }
        if (n > t->in_n)
                n = t->in_n;
        memcpy(to, t->in, n);
        t->in += n;
        t->in_n -= (uint32_t)n;
        return (ssize_t)n;
}

static int can_pull(gnutls_transport_ptr_t arg, unsigned ms)
{
        (void)ms;
        return ((struct bl_tls *)arg)->in_n > 0;
}

static ssize_t push(gnutls_transport_ptr_t arg, const giovec_t *iov, int n)
{
        struct bl_tls *t = arg;
        struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
        for (;;) {
                ssize_t sent = sendmsg(t->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent >= 0)
                        return sent;
                if (errno != EINTR) {
                        gnutls_transport_set_errno(t->s, errno);
                        return -1;
                }
        }
}

/* ---- which certificate to show ---- */

static bool usable(const struct identity *id, const gnutls_pk_algorithm_t *pk, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                if (pk[i] == id->pk)
                        return true;
        }
        return n == 0;
}

static bool has_name(const struct identity *id, struct bl_str name)
{
        for (unsigned i = 0; i < id->n_names; i++) {
                if (bl_str_ieq(id->names[i], name))
                        return true;
        }
        return false;
}

static bool has_issuer(const struct identity *id, const gnutls_datum_t *issuers, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                if (issuers[i].size == id->issuer.size &&
                    memcmp(issuers[i].data, id->issuer.data, id->issuer.size) == 0)
                        return true;
        }
        return false;
}

static struct bl_str asked(gnutls_session_t s, char *buf, size_t cap)
{
        unsigned type = 0;
        size_t n = cap;
        if (gnutls_server_name_get(s, buf, &n, &type, 0) < 0 || type != GNUTLS_NAME_DNS)
                return (struct bl_str){0};
        return bl_str_make(buf, strnlen(buf, n));
}

/* As server the one that was asked for by name (SNI), as client one whose issuer was asked for; else the first: who
 * does not like it says so, which shows more than silence. */
int bl_tls_choose(gnutls_session_t s, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certs,
                  unsigned *certs_length, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_length, gnutls_privkey_t *privkey,
                  unsigned *flags)
{
        const struct bl_tls *t = gnutls_session_get_ptr(s);
        struct identity *first = NULL, *best = NULL;
        char buf[256];
        struct bl_str name = t->server ? asked(s, buf, sizeof(buf)) : (struct bl_str){0};
        for (unsigned i = 0; i < t->creds->n_ids && !best; i++) {
                struct identity *id = &t->creds->ids[i];
                if (!usable(id, info->pk_algos, info->pk_algos_length))
                        continue;
                first = first ? first : id;
                if (t->server ? name.n && has_name(id, name) : has_issuer(id, info->req_ca_rdn, info->nreqs))
                        best = id;
        }
        best = best ? best : first;
        *ocsp = NULL;
        *ocsp_length = 0;
        *flags = 0; /* all stays ours */
        *certs = best ? best->chain : NULL;
        *certs_length = best ? best->n_chain : 0;
        *privkey = best ? best->key : NULL;
        return 0;
}

/* ---- life ---- */

static int ticket_came(gnutls_session_t s, unsigned type, unsigned when, unsigned incoming, const gnutls_datum_t *msg)
{
        (void)type;
        (void)when;
        (void)msg;
        if (incoming)
                ((struct bl_tls *)gnutls_session_get_ptr(s))->ticket = true;
        return 0;
}

static int begin_client(struct bl_tls *t, const struct bl_tls_how *how)
{
        struct bl_addr numeric;
        struct bl_str sni = how->sni;
        if (sni.n && sni.p[sni.n - 1] == '.') /* RFC 6066 section 3: without the final dot, never an address */
                sni.n--;
        if (sni.n && bl_addr_parse(sni, &numeric) < 0)
                (void)gnutls_server_name_set(t->s, GNUTLS_NAME_DNS, sni.p, sni.n);
        if (how->session.n) /* one that cannot be used costs a full handshake, no more */
                (void)gnutls_session_set_data(t->s, how->session.p, how->session.n);
        gnutls_handshake_set_hook_function(t->s, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST, ticket_came);
        return 0;
}

static int begin_server(struct bl_tls *t, const struct bl_tls_how *how)
{
        static const gnutls_certificate_request_t requests[] = {[BL_TLS_ASK] = GNUTLS_CERT_REQUEST,
                                                                [BL_TLS_NEVER] = GNUTLS_CERT_IGNORE,
                                                                [BL_TLS_REQUIRE] = GNUTLS_CERT_REQUIRE};
        gnutls_certificate_server_set_request(t->s, requests[how->ask]);
        /* Not the names of those whom we believe: with the system's list that is 15 KiB in each handshake. */
        gnutls_certificate_send_x509_rdn_sequence(t->s, 1);
        if (!t->creds->give_tickets)
                return 0;
        gnutls_db_set_cache_expiration(t->s, TICKET_S);
        gnutls_datum_t secret = {t->creds->ticket_secret, sizeof(t->creds->ticket_secret)};
        return gnutls_session_ticket_enable_server(t->s, &secret);
}

static int begin(struct bl_tls *t, const struct bl_tls_how *how)
{
        unsigned flags = (how->server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;
        if (how->server && !t->creds->give_tickets)
                flags |= GNUTLS_NO_TICKETS;
        int rc = gnutls_init(&t->s, flags);
        if (rc < 0)
                return rc;
        gnutls_session_set_ptr(t->s, t);
        gnutls_transport_set_ptr(t->s, t);
        gnutls_transport_set_vec_push_function(t->s, push);
        gnutls_transport_set_pull_function(t->s, pull);
        gnutls_transport_set_pull_timeout_function(t->s, can_pull);
        gnutls_handshake_set_timeout(t->s, 0); /* the caller's business */
        rc = gnutls_priority_set(t->s, t->creds->priority);
        if (rc == 0)
                rc = gnutls_credentials_set(t->s, GNUTLS_CRD_CERTIFICATE, t->creds->cred);
        if (rc < 0)
                return rc;
        return how->server ? begin_server(t, how) : begin_client(t, how);
}

int bl_tls_new(struct bl_creds *creds, struct bl_pool *pool, const struct bl_tls_how *how, int fd,
               struct bl_tls **ret_tls)
{
        struct bl_tls *t = bl_pool_zalloc(pool, sizeof(*t));
        if (!t)
                return BL_ENOMEM;
        t->creds = bl_creds_ref(creds);
        t->pool = pool;
        t->fd = fd;
        t->server = how->server;
        if (begin(t, how) < 0) {
                bl_tls_free(t);
                return BL_ENOMEM;
        }
        *ret_tls = t;
        return 0;
}

void bl_tls_free(struct bl_tls *t)
{
        if (!t)
                return;
        if (t->s)
                gnutls_deinit(t->s);
        bl_creds_unref(t->creds);
        bl_pool_give(t->pool, t->stash, t->stash_n);
        bl_pool_give(t->pool, t, sizeof(*t));
}

/* ---- in ---- */

/* Follows the records' boundaries, whatever is in them (RFC 8446 section 5.1: type, version, length of two octets). */
static void track(struct bl_tls *t, struct bl_str s)
{
        while (s.n) {
                if (t->body_left) {
                        size_t n = s.n < t->body_left ? s.n : t->body_left;
                        t->body_left -= (uint16_t)n;
                        s = bl_str_from(s, n);
                        continue;
                }
                if (t->n_head >= HEAD - 2)
                        t->head_length[t->n_head - (HEAD - 2)] = (uint8_t)*s.p;
                t->n_head++;
                s = bl_str_from(s, 1);
                if (t->n_head == HEAD) {
                        t->body_left = (uint16_t)(t->head_length[0] << 8 | t->head_length[1]);
                        t->n_head = 0;
                }
        }
}

void bl_tls_feed(struct bl_tls *t, struct bl_str octets)
{
        track(t, octets);
        t->in = octets.p;
        t->in_n = (uint32_t)octets.n;
}

int bl_tls_stash(struct bl_tls *t)
{
        char *old = t->stash, *fresh = NULL;
        uint32_t old_n = t->stash_n;
        if (t->in_n) {
                fresh = bl_pool_alloc(t->pool, t->in_n);
                if (!fresh)
                        return BL_ENOMEM;
                memcpy(fresh, t->in, t->in_n);
        }
        t->in = t->stash = fresh;
        t->stash_n = t->in_n;
        bl_pool_give(t->pool, old, old_n);
        return 0;
}

bool bl_tls_stashed(const struct bl_tls *t)
{
        return t->in_n > 0;
}

bool bl_tls_partial(const struct bl_tls *t)
{
        return t->n_head || t->body_left;
}

static int broken(struct bl_tls *t, int rc)
{
        t->broken = true;
        t->error = (int16_t)rc;
        if (rc == GNUTLS_E_PULL_ERROR || rc == GNUTLS_E_PUSH_ERROR)
                return errno ? -errno : BL_EGONE;
        if (rc == GNUTLS_E_PREMATURE_TERMINATION)
                return BL_EGONE;
        return rc == GNUTLS_E_MEMORY_ERROR ? BL_ENOMEM : BL_EPROTO;
}

static bool again(int rc)
{
        return rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
}

int bl_tls_handshake(struct bl_tls *t)
{
        for (int odd = 0; odd < ODD_TURNS; odd++) {
                int rc = gnutls_handshake(t->s);
                t->sending = again(rc) && gnutls_record_get_direction(t->s) == 1;
                if (rc == 0) {
                        t->ready = true;
                        return 0;
                }
                if (again(rc))
                        return -EAGAIN;
                if (gnutls_error_is_fatal(rc)) {
                        t->error = (int16_t)rc;
                        (void)gnutls_alert_send_appropriate(t->s, rc);
                        return broken(t, rc);
                }
        }
        return broken(t, GNUTLS_E_HANDSHAKE_TOO_LARGE);
}

ptrdiff_t bl_tls_read(struct bl_tls *t, char *to, size_t cap)
{
        for (int odd = 0; odd < ODD_TURNS;) {
                size_t before = t->in_n;
                ssize_t n = gnutls_record_recv(t->s, to, cap);
                if (n >= 0)
                        return n;
                if (again((int)n)) {
                        if (t->in_n == 0)
                                return -EAGAIN;
                        /* It used octets up for a message of its own: a ticket, a new key. */
                        odd += t->in_n == before;
                } else if (n == GNUTLS_E_REHANDSHAKE) { /* of no use to SIP, and costly */
                        (void)gnutls_alert_send(t->s, GNUTLS_AL_FATAL, GNUTLS_A_UNEXPECTED_MESSAGE);
                        return broken(t, (int)n);
                } else if (gnutls_error_is_fatal((int)n)) {
                        return broken(t, (int)n);
                } else {
                        odd++;
                }
        }
        return broken(t, GNUTLS_E_UNEXPECTED_PACKET);
}

/* ---- out ---- */

ptrdiff_t bl_tls_write(struct bl_tls *t, struct bl_str octets)
{
        if (octets.n > BL_TLS_RECORD)
                octets.n = BL_TLS_RECORD;
        ssize_t n = t->sending ? gnutls_record_send(t->s, NULL, 0) : gnutls_record_send(t->s, octets.p, octets.n);
        t->sending = again((int)n);
        if (n >= 0)
                return n;
        return t->sending ? -EAGAIN : broken(t, (int)n);
}

bool bl_tls_blocked(const struct bl_tls *t)
{
        return t->sending;
}

void bl_tls_bye(struct bl_tls *t)
{
        if (!t->ready || t->broken || t->said_bye)
                return;
        t->said_bye = true;
        (void)gnutls_bye(t->s, GNUTLS_SHUT_WR);
}

void bl_tls_refuse(struct bl_tls *t)
{
        if (!t->broken)
                (void)gnutls_alert_send(t->s, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
        t->broken = true;
}

/* ---- looking ---- */

void bl_tls_describe(struct bl_tls *t, struct bl_arena *arena, struct bl_peer *peer)
{
        char buf[256];
        bl_verify_peer(t->s, t->creds->trust, t->server, arena, peer);
        peer->resumed = gnutls_session_is_resumed(t->s) != 0;
        if (t->server)
                peer->asked = bl_arena_str(arena, asked(t->s, buf, sizeof(buf)));
}

bool bl_tls_session(struct bl_tls *t, struct bl_sb *out)
{
        gnutls_datum_t data = {0};
        if (!t->ticket || !t->ready || t->broken || gnutls_session_get_data2(t->s, &data) < 0)
                return false;
        t->ticket = false;
        bl_sb_add(out, bl_str_make((const char *)data.data, data.size));
        gnutls_free(data.data);
        return !out->over;
}

const char *bl_tls_why(const struct bl_tls *t)
{
        switch (t->error) {
        case GNUTLS_E_FATAL_ALERT_RECEIVED:
        case GNUTLS_E_WARNING_ALERT_RECEIVED: {
                const char *name = gnutls_alert_get_name(gnutls_alert_get(t->s));
                return name ? name : "the far end refused";
        }
        case GNUTLS_E_REHANDSHAKE:
                return "renegotiation is not done here";
        default:
                return t->error ? gnutls_strerror(t->error) : "none";
        }
}
