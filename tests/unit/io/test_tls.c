/* Sessions over a socket pair, without a world. */
#include "unit/io/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "io/tls.h"

struct end {
        struct bl_tls *tls;
        int fd;
        size_t at_once; /* octets fed at a time; 0 = all */
        char raw[65536];
        bool done;
        int rc;
};
struct pair {
        struct bl_pool *pool;
        struct bl_arena *arena;
        struct end client, server;
};

static void pair_open(struct pair *p, struct bl_creds *client, struct bl_creds *server, struct bl_tls_how c,
                      enum bl_tls_ask ask)
{
        int fd[2];
        struct bl_tls_how s = {.server = true, .ask = ask};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        p->pool = bl_pool_new(0);
        p->arena = bl_arena_new(1 << 20);
        p->client = (struct end){.fd = fd[0]};
        p->server = (struct end){.fd = fd[1]};
        assert_int_equal(bl_tls_new(client, p->pool, &c, fd[0], &p->client.tls), 0);
        assert_int_equal(bl_tls_new(server, p->pool, &s, fd[1], &p->server.tls), 0);
}

static void pair_close(struct pair *p)
{
        bl_tls_free(p->client.tls);
        bl_tls_free(p->server.tls);
        close(p->client.fd);
        close(p->server.fd);
        assert_int_equal(bl_pool_used(p->pool), 0);
        bl_pool_free(p->pool);
        bl_arena_free(p->arena);
}

static bool feed(struct end *e)
{
        ssize_t n = recv(e->fd, e->raw, e->at_once ? e->at_once : sizeof(e->raw), MSG_DONTWAIT);
        if (n > 0)
                bl_tls_feed(e->tls, bl_str_make(e->raw, (size_t)n));
        return n > 0;
}

static bool step(struct end *e)
{
        if (e->done)
                return false;
        e->rc = bl_tls_handshake(e->tls);
        e->done = e->rc != -EAGAIN;
        return e->done || feed(e);
}

/* Until neither end can go on. */
static void shake(struct pair *p)
{
        for (int idle = 0; idle < 2;) { /* what one end just said, the other takes in the next round */
                bool client = step(&p->client), server = step(&p->server);
                idle = client || server ? 0 : idle + 1;
        }
}

static void assert_shaken(struct pair *p)
{
        shake(p);
        if (p->client.rc != 0 || p->server.rc != 0)
                fail_msg("client %d %s, server %d %s", p->client.rc, bl_tls_why(p->client.tls), p->server.rc,
                         bl_tls_why(p->server.tls));
}

/* What `e` reads now, all of it; the last result in *ret_rc. */
static struct bl_str read_all(struct end *e, char *buf, size_t cap, ptrdiff_t *ret_rc)
{
        size_t n = 0;
        ptrdiff_t rc = -EAGAIN;
        do {
                while (cap - n >= BL_TLS_RECORD && (rc = bl_tls_read(e->tls, buf + n, cap - n)) > 0)
                        n += (size_t)rc;
        } while (rc == -EAGAIN && feed(e));
        *ret_rc = rc;
        return bl_str_make(buf, n);
}

static void assert_says(struct end *from, struct end *to, const char *text)
{
        char buf[65536];
        ptrdiff_t rc;
        assert_int_equal(bl_tls_write(from->tls, bl_str_z(text)), strlen(text));
        assert_str(read_all(to, buf, sizeof(buf), &rc), text);
        assert_int_equal(rc, -EAGAIN);
}

static struct bl_peer seen_by(struct pair *p, struct end *e)
{
        struct bl_peer peer = {0};
        bl_tls_describe(e->tls, p->arena, &peer);
        return peer;
}

/* ---- talking ---- */

static void test_octet_by_octet(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        char buf[65536];
        ptrdiff_t rc;
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 1, "a.example"), *b = PKI_CREDS(&k, "ca", 0, "b.example");
        for (unsigned n = 0; n < 2; n++) {
                pair_open(&p, b, a, (struct bl_tls_how){.sni = BL_STR("a.example")}, BL_TLS_ASK);
                p.client.at_once = p.server.at_once = n; /* all at once, and one by one */
                assert_shaken(&p);
                assert_says(&p.client, &p.server, "hello");
                assert_says(&p.server, &p.client, "hello yourself");
                bl_tls_bye(p.client.tls);
                assert_str(read_all(&p.server, buf, sizeof(buf), &rc), "");
                assert_int_equal(rc, 0);
                pair_close(&p);
        }
        bl_creds_unref(a);
        bl_creds_unref(b);
        pki_close(&k);
}

static void test_both_ends_are_described(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 1, "a.example"), *b = PKI_CREDS(&k, "ca", 0, "b.example");
        pair_open(&p, b, a, (struct bl_tls_how){.sni = BL_STR("A.Example.")}, BL_TLS_ASK);
        assert_shaken(&p);
        struct bl_peer server = seen_by(&p, &p.client), client = seen_by(&p, &p.server);
        assert_int_equal(server.chain, 0);
        assert_int_equal(server.n_uri, 1);
        assert_str(server.uri_san[0], "sip:a.example");
        assert_int_equal(server.n_dns, 1);
        assert_str(server.dns_san[0], "a.example");
        assert_str(server.cn, "a.example");
        assert_int_equal(client.chain, 0);
        assert_str(client.uri_san[0], "sip:b.example");
        assert_true(bl_str_ieq(client.asked, BL_STR("a.example")));
        assert_false(client.resumed);
        pair_close(&p);
        bl_creds_unref(a);
        bl_creds_unref(b);
        pki_close(&k);
}

static void test_who_is_asked_for_a_certificate(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 1, "a.example"), *b = PKI_CREDS(&k, "ca", 0, "b.example"),
                        *none = pki_creds(&k, "ca", 0, NULL);
        const struct {
                struct bl_creds *client;
                enum bl_tls_ask ask;
                int server_rc, chain;
        } t[] = {{b, BL_TLS_ASK, 0, 0},
                 {none, BL_TLS_ASK, 0, BL_ENOENT},
                 {b, BL_TLS_NEVER, 0, BL_ENOENT},
                 {b, BL_TLS_REQUIRE, 0, 0},
                 {none, BL_TLS_REQUIRE, BL_EPROTO, 0}};
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                pair_open(&p, t[i].client, a, (struct bl_tls_how){0}, t[i].ask);
                shake(&p);
                assert_int_equal(p.server.rc, t[i].server_rc);
                if (p.server.rc == 0)
                        assert_int_equal(seen_by(&p, &p.server).chain, t[i].chain);
                pair_close(&p);
        }
        bl_creds_unref(a);
        bl_creds_unref(b);
        bl_creds_unref(none);
        pki_close(&k);
}

/* The record waits inside until the socket has room; nothing is lost or said twice. */
static void test_a_full_socket(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        static char out[BL_TLS_RECORD * 40], in[sizeof(out) + BL_TLS_RECORD];
        size_t sent = 0, got = 0;
        unsigned blocked = 0;
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 1, "a.example");
        pair_open(&p, a, a, (struct bl_tls_how){0}, BL_TLS_NEVER);
        assert_shaken(&p);
        for (size_t i = 0; i < sizeof(out); i++)
                out[i] = (char)(i * 7 + i / 256);
        while (sent < sizeof(out) || got < sizeof(out)) {
                ptrdiff_t rc = sent < sizeof(out)
                                       ? bl_tls_write(p.client.tls, bl_str_make(out + sent, sizeof(out) - sent))
                                       : -EAGAIN;
                if (rc > 0) {
                        assert_true(rc <= BL_TLS_RECORD);
                        sent += (size_t)rc;
                        continue;
                }
                assert_int_equal(rc, -EAGAIN);
                assert_int_equal(bl_tls_blocked(p.client.tls), sent < sizeof(out));
                blocked += sent < sizeof(out);
                got += read_all(&p.server, in + got, sizeof(in) - got, &rc).n;
                assert_int_equal(rc, -EAGAIN);
        }
        assert_true(blocked > 0);
        assert_memory_equal(in, out, sizeof(out));
        pair_close(&p);
        bl_creds_unref(a);
        pki_close(&k);
}

static void test_where_records_end(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        char raw[256], buf[BL_TLS_RECORD];
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 0, "a.example");
        pair_open(&p, a, a, (struct bl_tls_how){0}, BL_TLS_NEVER);
        assert_shaken(&p);
        assert_false(bl_tls_partial(p.server.tls));
        assert_int_equal(bl_tls_write(p.client.tls, BL_STR("hello")), 5);
        ssize_t n = recv(p.server.fd, raw, sizeof(raw), 0);
        for (ssize_t i = 0; i < n; i++) {
                bl_tls_feed(p.server.tls, bl_str_make(raw + i, 1));
                assert_int_equal(bl_tls_partial(p.server.tls), i < n - 1);
                assert_int_equal(bl_tls_read(p.server.tls, buf, sizeof(buf)), i < n - 1 ? -EAGAIN : 5);
        }
        pair_close(&p);
        bl_creds_unref(a);
        pki_close(&k);
}

static void test_a_changed_record_breaks_the_session(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        char buf[BL_TLS_RECORD];
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 0, "a.example");
        pair_open(&p, a, a, (struct bl_tls_how){0}, BL_TLS_NEVER);
        assert_shaken(&p);
        assert_int_equal(bl_tls_write(p.client.tls, BL_STR("hello")), 5);
        ssize_t n = recv(p.server.fd, p.server.raw, sizeof(p.server.raw), 0);
        p.server.raw[n - 1] ^= 1;
        bl_tls_feed(p.server.tls, bl_str_make(p.server.raw, (size_t)n));
        assert_int_equal(bl_tls_read(p.server.tls, buf, sizeof(buf)), BL_EPROTO);
        assert_true(strlen(bl_tls_why(p.server.tls)) > 4);
        pair_close(&p);
        bl_creds_unref(a);
        pki_close(&k);
}

static void test_garbage_is_no_handshake(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 0, "a.example");
        static const char *const lines[] = {"OPTIONS sip:a.example SIP/2.0\r\n\r\n", "\x16\x03\x01\xff\xff",
                                            "\x80\x2e\x01"};
        for (size_t i = 0; i < BL_ARRAY_LEN(lines); i++) {
                pair_open(&p, a, a, (struct bl_tls_how){0}, BL_TLS_NEVER);
                assert_int_equal(bl_tls_handshake(p.server.tls), -EAGAIN);
                bl_tls_feed(p.server.tls, bl_str_z(lines[i]));
                assert_int_equal(bl_tls_handshake(p.server.tls), i == 2 ? -EAGAIN : BL_EPROTO);
                pair_close(&p);
        }
        bl_creds_unref(a);
        pki_close(&k);
}

/* ---- which certificate ---- */

static void test_the_one_that_was_asked_for(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        pki_usual(&k);
        pki_make(&k, &(struct pki_want){.name = "uri", .signer = "ca", .cn = "nobody", .uri = "sip:only-uri.example"});
        struct bl_creds *server = PKI_CREDS(&k, "ca", 0, "a.example", "b.example", "uri"),
                        *client = pki_creds(&k, "ca", 0, NULL);
        static const struct {
                const char *sni, *cn, *asked;
        } t[] = {{"a.example", "a.example", "a.example"},
                 {"b.example", "b.example", "b.example"},
                 {"B.EXAMPLE", "b.example", "B.EXAMPLE"},
                 {"only-uri.example", "nobody", "only-uri.example"},
                 {"c.example", "a.example", "c.example"},
                 {"", "a.example", ""},
                 {"127.0.0.1", "a.example", ""},
                 {"::1", "a.example", ""},
                 {"[::1]", "a.example", ""}};
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                pair_open(&p, client, server, (struct bl_tls_how){.sni = bl_str_z(t[i].sni)}, BL_TLS_NEVER);
                assert_shaken(&p);
                assert_str(seen_by(&p, &p.client).cn, t[i].cn);
                assert_true(bl_str_ieq(seen_by(&p, &p.server).asked, bl_str_z(t[i].asked)));
                pair_close(&p);
        }
        bl_creds_unref(server);
        bl_creds_unref(client);
        pki_close(&k);
}

/* ---- what is wrong with it ---- */

static void test_bad_chains_are_told(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        pki_usual(&k);
        pki_make(&k, &(struct pki_want){.name = "other", .ca = true});
        pki_make(&k, &(struct pki_want){.name = "expired", .signer = "ca", .dns = "x", .from = -7200, .to = -3600});
        pki_make(&k, &(struct pki_want){.name = "early", .signer = "ca", .dns = "x", .from = 3600, .to = 7200});
        pki_make(&k, &(struct pki_want){.name = "self", .dns = "x"});
        pki_make(&k, &(struct pki_want){.name = "stranger", .signer = "other", .dns = "x"});
        pki_make(&k, &(struct pki_want){.name = "by-leaf", .signer = "a.example", .dns = "x"});
        pki_make(&k,
                 &(struct pki_want){.name = "client", .signer = "ca", .dns = "x", .purpose = GNUTLS_KP_TLS_WWW_CLIENT});
        pki_make(&k,
                 &(struct pki_want){.name = "server", .signer = "ca", .dns = "x", .purpose = GNUTLS_KP_TLS_WWW_SERVER});
        pki_make(&k, &(struct pki_want){.name = "sip", .signer = "ca", .dns = "x", .purpose = "1.3.6.1.5.5.7.3.20"});
        pki_make(&k,
                 &(struct pki_want){.name = "mail", .signer = "ca", .dns = "x", .purpose = GNUTLS_KP_EMAIL_PROTECTION});
        static const struct {
                const char *name, *as_server, *as_client; /* "": it verifies */
        } t[] = {{"expired", "expired", "expired"},
                 {"early", "not yet valid", "not yet valid"},
                 {"self", "self-signed", "self-signed"},
                 {"stranger", "the issuer is unknown", "the issuer is unknown"},
                 {"by-leaf", "the issuer is unknown", "the issuer is unknown"},
                 {"client", "not for this purpose", ""},
                 {"mail", "not for this purpose", "not for this purpose"},
                 {"server", "", ""},
                 {"sip", "", ""}};
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++) {
                struct bl_creds *c = PKI_CREDS(&k, "ca", 0, t[i].name);
                pair_open(&p, c, c, (struct bl_tls_how){0}, BL_TLS_ASK);
                assert_shaken(&p); /* whatever is wrong: who judges is told */
                struct bl_peer server = seen_by(&p, &p.client), client = seen_by(&p, &p.server);
                assert_int_equal(server.chain, *t[i].as_server ? BL_EPROTO : 0);
                assert_str(server.chain_text, t[i].as_server);
                assert_int_equal(client.chain, *t[i].as_client ? BL_EPROTO : 0);
                assert_str(client.chain_text, t[i].as_client);
                assert_str(server.dns_san[0], "x"); /* what it claims, for the log */
                pair_close(&p);
                bl_creds_unref(c);
        }
        pki_close(&k);
}

static void test_nobody_is_trusted_without_issuers(void **state)
{
        (void)state;
        struct pki k;
        struct pair p;
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, NULL, 0, "a.example");
        pair_open(&p, a, a, (struct bl_tls_how){0}, BL_TLS_NEVER);
        assert_shaken(&p);
        assert_int_equal(seen_by(&p, &p.client).chain, BL_EPROTO);
        pair_close(&p);
        bl_creds_unref(a);
        pki_close(&k);
}

/* ---- resumption ---- */

/* Talks once and returns the session that could be resumed. */
static size_t session_of(struct bl_creds *client, struct bl_creds *server, struct bl_str before, bool *ret_resumed,
                         int *ret_chain_of_client, int *ret_chain_of_server, char *buf, size_t cap)
{
        struct pair p;
        static char plain[65536];
        ptrdiff_t rc;
        struct bl_sb b = {buf, 0, cap, false};
        pair_open(&p, client, server, (struct bl_tls_how){.sni = BL_STR("a.example"), .session = before}, BL_TLS_ASK);
        assert_shaken(&p);
        assert_says(&p.client, &p.server, "hello");
        (void)read_all(&p.client, plain, sizeof(plain), &rc); /* tickets come after the handshake */
        assert_int_equal(rc, -EAGAIN);
        struct bl_peer seen = seen_by(&p, &p.server), server_seen = seen_by(&p, &p.client);
        *ret_resumed = seen.resumed;
        assert_int_equal(server_seen.resumed, seen.resumed);
        *ret_chain_of_client = seen.chain;
        *ret_chain_of_server = server_seen.chain;
        if (seen.chain == 0)
                assert_str(seen.uri_san[0], "sip:b.example");
        assert_str(server_seen.uri_san[0], "sip:a.example");
        (void)bl_tls_session(p.client.tls, &b);
        assert_false(bl_tls_session(p.client.tls, &b)); /* once */
        pair_close(&p);
        return b.n;
}

static void test_any_node_with_the_secret_resumes(void **state)
{
        (void)state;
        struct pki k;
        static char session[16384], again[16384];
        bool resumed;
        int client_chain, server_chain;
        pki_usual(&k);
        struct bl_creds *client = PKI_CREDS(&k, "ca", 0, "b.example"), *e1 = PKI_CREDS(&k, "ca", 7, "a.example"),
                        *e2 = PKI_CREDS(&k, "ca", 7, "a.example"), *stranger = PKI_CREDS(&k, "ca", 8, "a.example"),
                        *none = PKI_CREDS(&k, "ca", 0, "a.example");
        size_t n = session_of(client, e1, (struct bl_str){0}, &resumed, &client_chain, &server_chain, session,
                              sizeof(session));
        assert_false(resumed);
        assert_true(n > 0);
        struct bl_str s = bl_str_make(session, n);
        assert_true(session_of(client, e2, s, &resumed, &client_chain, &server_chain, again, sizeof(again)) > 0);
        assert_true(resumed);
        assert_int_equal(client_chain, 0); /* both are still known, and were verified again */
        assert_int_equal(server_chain, 0);
        assert_true(session_of(client, stranger, s, &resumed, &client_chain, &server_chain, again, sizeof(again)) > 0);
        assert_false(resumed);
        assert_int_equal(session_of(client, none, s, &resumed, &client_chain, &server_chain, again, sizeof(again)), 0);
        assert_false(resumed);
        bl_creds_unref(client);
        bl_creds_unref(e1);
        bl_creds_unref(e2);
        bl_creds_unref(stranger);
        bl_creds_unref(none);
        pki_close(&k);
}

static time_t later = 100;

static time_t late(time_t *t)
{
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (t)
                *t = now.tv_sec + later;
        return now.tv_sec + later;
}

/* Connections last; the ticket of one that began in the morning must still be good in the evening, by keys that have
 * changed since. */
static void test_a_ticket_is_good_for_a_day(void **state)
{
        (void)state;
        struct pki k;
        static char session[16384], again[16384];
        bool resumed;
        int client_chain, server_chain;
        pki_usual(&k);
        struct bl_creds *client = PKI_CREDS(&k, "ca", 0, "b.example"), *server = PKI_CREDS(&k, "ca", 7, "a.example");
        size_t n = session_of(client, server, (struct bl_str){0}, &resumed, &client_chain, &server_chain, session,
                              sizeof(session));
        for (int hours = 1; hours <= 25; hours += 8) {
                later = hours * 3600;
                gnutls_global_set_time_function(late);
                session_of(client, server, bl_str_make(session, n), &resumed, &client_chain, &server_chain, again,
                           sizeof(again));
                gnutls_global_set_time_function(time);
                later = 100;
                assert_int_equal(resumed, hours < 24);
        }
        bl_creds_unref(client);
        bl_creds_unref(server);
        pki_close(&k);
}

/* A ticket is no way around the dates, nor around an issuer that is not believed any more. */
static void test_a_resumed_chain_is_verified_again(void **state)
{
        (void)state;
        struct pki k;
        static char session[16384], again[16384];
        bool resumed;
        int client_chain, server_chain;
        pki_usual(&k);
        pki_make(&k, &(struct pki_want){.name = "other", .ca = true});
        pki_make(&k, &(struct pki_want){.name = "a", .signer = "ca", .uri = "sip:a.example", .from = -60, .to = 50});
        pki_make(&k, &(struct pki_want){.name = "b", .signer = "ca", .uri = "sip:b.example", .from = -60, .to = 50});
        struct bl_creds *client = PKI_CREDS(&k, "ca", 0, "b"), *server = PKI_CREDS(&k, "ca", 7, "a"),
                        *changed = PKI_CREDS(&k, "other", 7, "a");
        size_t n = session_of(client, server, (struct bl_str){0}, &resumed, &client_chain, &server_chain, session,
                              sizeof(session));
        struct bl_str s = bl_str_make(session, n);
        assert_int_equal(client_chain, 0);
        assert_int_equal(server_chain, 0);
        session_of(client, changed, s, &resumed, &client_chain, &server_chain, again, sizeof(again));
        assert_true(resumed);
        assert_int_equal(client_chain, BL_EPROTO);
        gnutls_global_set_time_function(late);
        session_of(client, server, s, &resumed, &client_chain, &server_chain, again, sizeof(again));
        gnutls_global_set_time_function(time);
        assert_true(resumed);
        assert_int_equal(client_chain, BL_EPROTO);
        assert_int_equal(server_chain, BL_EPROTO);
        bl_creds_unref(client);
        bl_creds_unref(server);
        bl_creds_unref(changed);
        pki_close(&k);
}

static void test_without_memory(void **state)
{
        (void)state;
        struct pki k;
        struct bl_tls *t = NULL;
        pki_usual(&k);
        struct bl_creds *a = PKI_CREDS(&k, "ca", 1, "a.example");
        struct bl_pool *small = bl_pool_new(16);
        assert_int_equal(bl_tls_new(a, small, &(struct bl_tls_how){.server = true}, -1, &t), BL_ENOMEM);
        assert_null(t);
        bl_pool_free(small);
        bl_creds_unref(a);
        pki_close(&k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_octet_by_octet),
                cmocka_unit_test(test_both_ends_are_described),
                cmocka_unit_test(test_who_is_asked_for_a_certificate),
                cmocka_unit_test(test_a_full_socket),
                cmocka_unit_test(test_where_records_end),
                cmocka_unit_test(test_a_changed_record_breaks_the_session),
                cmocka_unit_test(test_garbage_is_no_handshake),
                cmocka_unit_test(test_the_one_that_was_asked_for),
                cmocka_unit_test(test_bad_chains_are_told),
                cmocka_unit_test(test_nobody_is_trusted_without_issuers),
                cmocka_unit_test(test_any_node_with_the_secret_resumes),
                cmocka_unit_test(test_a_ticket_is_good_for_a_day),
                cmocka_unit_test(test_a_resumed_chain_is_verified_again),
                cmocka_unit_test(test_without_memory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
