#include "unit/io/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "io/tls.h"
#include "server/identity.h"

static struct bl_token_keys *keys_of(const char *hex)
{
        char text[128], error[256] = "";
        snprintf(text, sizeof(text), "a %s\n", hex);
        struct bl_token_keys *k = bl_token_keys_parse(bl_str_z(text), error, sizeof(error));
        if (!k)
                fail_msg("%s", error);
        return k;
}

static struct bl_creds *load(struct pki *p, const struct bl_token_keys *keys, const char *name)
{
        struct bl_str cert = pki_path(p, name, ".pem"), key = pki_path(p, name, ".key");
        struct bl_tls_options tls = {.cert = {&cert, 1}, .key = {&key, 1}, .ca = pki_path(p, "ca", ".pem")};
        struct bl_options o = {.tls = &tls};
        struct bl_creds *c = NULL;
        char text[512];
        struct bl_sb err = BL_SB(text);
        if (bl_identity_load(&o, keys, &err, &c) < 0)
                fail_msg("%.*s", (int)err.n, text);
        return c;
}

/* ---- tickets ---- */

struct end {
        struct bl_tls *tls;
        int fd;
        char raw[32768];
};

static bool feed(struct end *e)
{
        ssize_t n = recv(e->fd, e->raw, sizeof(e->raw), MSG_DONTWAIT);
        if (n > 0)
                bl_tls_feed(e->tls, bl_str_make(e->raw, (size_t)n));
        return n > 0;
}

/* Shakes hands with `session`, then puts there what could be resumed. Whether it was. */
static bool resumed(struct bl_creds *client, struct bl_creds *server, struct bl_sb *session)
{
        int fd[2], rc[2] = {-EAGAIN, -EAGAIN};
        char buf[BL_TLS_RECORD];
        struct bl_peer peer = {0};
        struct bl_pool *pool = bl_pool_new(0);
        struct bl_arena *arena = bl_arena_new(1 << 20);
        struct end e[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        for (int i = 0; i < 2; i++) {
                struct bl_tls_how how = {.server = i == 1, .session = i == 0 ? bl_sb_str(session) : (struct bl_str){0}};
                e[i].fd = fd[i];
                assert_int_equal(bl_tls_new(i ? server : client, pool, &how, fd[i], &e[i].tls), 0);
        }
        for (int idle = 0; idle < 4 && (rc[0] == -EAGAIN || rc[1] == -EAGAIN); idle++) {
                for (int i = 0; i < 2; i++) {
                        if (rc[i] == -EAGAIN && (rc[i] = bl_tls_handshake(e[i].tls)) == -EAGAIN && feed(&e[i]))
                                idle = 0;
                }
        }
        assert_int_equal(rc[0], 0);
        assert_int_equal(rc[1], 0);
        while (feed(&e[0]) || bl_tls_stashed(e[0].tls))
                assert_int_equal(bl_tls_read(e[0].tls, buf, sizeof(buf)), -EAGAIN);
        bl_tls_describe(e[0].tls, arena, &peer);
        session->n = 0;
        (void)bl_tls_session(e[0].tls, session);
        for (int i = 0; i < 2; i++) {
                bl_tls_free(e[i].tls);
                close(fd[i]);
        }
        bl_pool_free(pool);
        bl_arena_free(arena);
        return peer.resumed;
}

/* Two nodes that share nothing but the cluster's key resume each other's sessions; one with another key does not. */
static void test_tickets_are_the_clusters(void **state)
{
        (void)state;
        struct pki p;
        static char octets[16384];
        struct bl_sb session = BL_SB(octets);
        pki_usual(&p);
        struct bl_token_keys *k1 = keys_of("000102030405060708090a0b0c0d0e0f"),
                             *k2 = keys_of("000102030405060708090a0b0c0d0e0f"),
                             *other = keys_of("100102030405060708090a0b0c0d0e0f");
        struct bl_creds *client = pki_creds(&p, "ca", 0, NULL), *e1 = load(&p, k1, "a.example"),
                        *e2 = load(&p, k2, "a.example"), *stranger = load(&p, other, "a.example");
        assert_false(resumed(client, e1, &session));
        assert_true(session.n > 0);
        assert_true(resumed(client, e2, &session));
        assert_true(session.n > 0);
        assert_false(resumed(client, stranger, &session));
        struct bl_creds *all[] = {client, e1, e2, stranger};
        for (size_t i = 0; i < BL_ARRAY_LEN(all); i++)
                bl_creds_unref(all[i]);
        bl_token_keys_free(k1);
        bl_token_keys_free(k2);
        bl_token_keys_free(other);
        pki_close(&p);
}

/* ---- what is said ---- */

static char said[2048];

static void note(void *arg, struct bl_str file, const char *reason, struct bl_str text)
{
        struct bl_sb *b = arg;
        (void)file;
        bl_sb_fmt(b, "%s(%.*s) ", reason, BL_STR_ARG(text));
}

static const char *doubts(const struct bl_options *o, struct bl_creds *c, int64_t wall)
{
        struct bl_sb b = {said, 0, sizeof(said) - 1, false};
        bl_identity_doubts(o, c, wall, note, &b);
        said[b.n] = '\0';
        return said;
}

static void test_doubts(void **state)
{
        (void)state;
        struct pki p;
        static struct bl_str domains[] = {{"a.example", 9}, {"h.example", 9}};
        struct bl_edge_options edge = {.conf = {.cluster = BL_STR("b.example")}};
        struct bl_home_options home = {.domain = {domains, 1}};
        struct bl_options o = {.home = &home};
        char text[512];
        struct bl_sb err = BL_SB(text);
        int64_t now = time(NULL);
        pki_usual(&p); /* good for 90 days */
        struct bl_creds *c = PKI_CREDS(&p, "ca", 0, "a.example");
        assert_string_equal(doubts(&o, c, now), "");
        assert_false(bl_identity_is_invalid(c, now, &err));
        home.domain.n = 2;
        assert_non_null(strstr(doubts(&o, c, now), "name_missing(no certificate proves h.example: neither a SAN URI "
                                                   "sip:h.example nor"));
        home.domain.n = 1;
        o.edge = &edge;
        assert_non_null(strstr(doubts(&o, c, now), "proves b.example"));
        o.edge = NULL;
        assert_string_equal(doubts(&o, c, now + 80 * 86400),
                            "expires_soon(the certificate expires in 10 days; renew it) ");
        assert_string_equal(doubts(&o, c, now + 91 * 86400), "expired(the certificate is expired; renew it) ");
        assert_string_equal(doubts(&o, c, now - 7200),
                            "not_yet_valid(the certificate is not yet valid (is the clock right?); renew it) ");
        assert_true(bl_identity_is_invalid(c, now + 91 * 86400, &err));
        assert_true(bl_identity_is_invalid(c, now - 7200, &err));
        bl_creds_unref(c);
        pki_close(&p);
}

static void test_which_files_to_watch(void **state)
{
        (void)state;
        static struct bl_str cert[] = {{"c1", 2}, {"c2", 2}}, key[] = {{"k1", 2}, {"k2", 2}};
        struct bl_tls_options tls = {.cert = {cert, 2}, .key = {key, 2}, .ca = BL_STR("ca")};
        struct bl_options o = {0};
        struct bl_str paths[BL_IDENTITY_PATHS];
        assert_int_equal(bl_identity_paths(&o, paths), 0);
        o.tls = &tls;
        assert_int_equal(bl_identity_paths(&o, paths), 5);
        assert_str(paths[1], "c2");
        assert_str(paths[3], "k2");
        assert_str(paths[4], "ca");
        tls.key.n = 0;
        tls.ca = BL_STR("system");
        assert_int_equal(bl_identity_paths(&o, paths), 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tickets_are_the_clusters),
                cmocka_unit_test(test_doubts),
                cmocka_unit_test(test_which_files_to_watch),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
