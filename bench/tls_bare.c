/*
 * What TLS needs by itself: a server of the same library with the same options that shakes hands, throws away what
 * comes, and has nothing else.
 *
 *      bench/tls_bare LISTEN:PORT CERT KEY
 */
#include "bench/tls_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>

struct conn {
        int fd;
        bool up;
        gnutls_session_t s;
};

static gnutls_certificate_credentials_t cred;
static gnutls_priority_t priority;
static unsigned char secret[64] = "the same for all";
static int ep;

static void end(struct conn *c)
{
        close(c->fd);
        gnutls_deinit(c->s);
        free(c);
}

static void begin(int fd)
{
        struct conn *c = calloc(1, sizeof *c);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        gnutls_datum_t key = {secret, sizeof secret};
        if (!c)
                return;
        c->fd = fd;
        gnutls_init(&c->s, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
        gnutls_priority_set(c->s, priority);
        gnutls_credentials_set(c->s, GNUTLS_CRD_CERTIFICATE, cred);
        gnutls_certificate_server_set_request(c->s, GNUTLS_CERT_REQUEST);
        gnutls_certificate_send_x509_rdn_sequence(c->s, 1);
        gnutls_session_ticket_enable_server(c->s, &key);
        gnutls_transport_set_int(c->s, fd);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static void on_readable(struct conn *c)
{
        static char buf[16384];
        ssize_t n;
        if (!c->up) {
                n = gnutls_handshake(c->s);
                c->up = n == 0;
        } else {
                n = gnutls_record_recv(c->s, buf, sizeof buf);
                n = n == 0 ? GNUTLS_E_PREMATURE_TERMINATION : n;
        }
        if (n < 0 && gnutls_error_is_fatal((int)n))
                end(c);
}

int main(int argc, char **argv)
{
        if (argc != 4) {
                fputs("usage: tls_bare LISTEN:PORT CERT KEY\n", stderr);
                return 2;
        }
        struct sockaddr_in at = tls_address(argv[1]);
        int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        cred = tls_nobody();
        gnutls_priority_init(&priority, TLS_PRIORITY, NULL);
        int rc = gnutls_certificate_set_x509_key_file(cred, argv[2], argv[3], GNUTLS_X509_FMT_PEM);
        if (rc < 0)
                tls_die(argv[2], rc);
        ep = epoll_create1(0);
        struct epoll_event ev = {.events = EPOLLIN};
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0 ||
            epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
                perror("tls_bare");
                return 1;
        }
        fputs("event=ready\n", stderr);
        for (;;) {
                struct epoll_event got[64];
                int n = epoll_wait(ep, got, 64, -1);
                for (int i = 0; i < n; i++) {
                        if (got[i].data.ptr) {
                                on_readable(got[i].data.ptr);
                                continue;
                        }
                        for (int peer; (peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                                setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                                begin(peer);
                        }
                }
        }
}
