/* A client's end of a TLS connection, for the load: no world, no checks of who answers. */
#pragma once
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

/* What belayd takes (src/io/creds.c), so that both ends do the same work in each figure. */
#define TLS_PRIORITY                                                                                                   \
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:+AES-128-GCM:"         \
        "+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1"

struct tls_client {
        int fd;
        gnutls_session_t s;
};

static inline void tls_die(const char *what, int rc)
{
        fprintf(stderr, "bench: %s: %s\n", what, rc ? gnutls_strerror(rc) : "");
        exit(1);
}

static inline gnutls_certificate_credentials_t tls_nobody(void)
{
        gnutls_certificate_credentials_t c;
        int rc = gnutls_certificate_allocate_credentials(&c);
        if (rc < 0)
                tls_die("credentials", rc);
        return c;
}

/* Connects and shakes hands, blocking; `session` may be NULL, or has data to resume. */
static inline void tls_connect(struct tls_client *c, const struct sockaddr_in *to,
                               gnutls_certificate_credentials_t cred, gnutls_priority_t priority,
                               const gnutls_datum_t *session)
{
        int on = 1, rc;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof *to) < 0) {
                perror("bench: connect");
                exit(1);
        }
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        gnutls_init(&c->s, GNUTLS_CLIENT);
        gnutls_priority_set(c->s, priority);
        gnutls_credentials_set(c->s, GNUTLS_CRD_CERTIFICATE, cred);
        gnutls_server_name_set(c->s, GNUTLS_NAME_DNS, "example.com", 11);
        gnutls_transport_set_int(c->s, c->fd);
        if (session && session->size)
                gnutls_session_set_data(c->s, session->data, session->size);
        do
                rc = gnutls_handshake(c->s);
        while (rc < 0 && !gnutls_error_is_fatal(rc));
        if (rc < 0)
                tls_die("handshake", rc);
}

static inline void tls_close(struct tls_client *c)
{
        struct linger now = {1, 0}; /* or the ports run out */
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(c->fd);
        gnutls_deinit(c->s);
}

static inline struct sockaddr_in tls_address(const char *text) /* IP:PORT */
{
        struct sockaddr_in a = {.sin_family = AF_INET};
        char host[64];
        snprintf(host, sizeof host, "%s", text);
        char *colon = strchr(host, ':');
        if (!colon)
                tls_die("not IP:PORT", 0);
        *colon = 0;
        a.sin_port = htons((uint16_t)atoi(colon + 1));
        inet_pton(AF_INET, host, &a.sin_addr);
        return a;
}
