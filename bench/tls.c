/*
 * TLS connections for the figures of handshakes and of idle flows.
 *
 *      bench/tls full|resumed SERVER:PORT COUNT   so many handshakes one after another, each closed at once
 *      bench/tls idle SERVER:PORT COUNT           so many connections, up until standard input ends
 *
 * Prints `done COUNT SECONDS` when all are done, or up.
 */
#include "bench/tls_client.h"

#include <time.h>

static double now(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
        if (argc != 4) {
                fputs("usage: tls full|resumed|idle SERVER:PORT COUNT\n", stderr);
                return 2;
        }
        int idle = strcmp(argv[1], "idle") == 0, resumed = strcmp(argv[1], "resumed") == 0;
        struct sockaddr_in to = tls_address(argv[2]);
        unsigned long count = strtoul(argv[3], NULL, 10);
        gnutls_certificate_credentials_t nobody = tls_nobody();
        gnutls_priority_t priority;
        gnutls_datum_t session = {0};
        gnutls_priority_init(&priority, TLS_PRIORITY, NULL);
        struct tls_client *c = calloc(idle ? count : 1, sizeof *c);
        if (!c)
                return 1;
        if (resumed) { /* waits for the ticket */
                tls_connect(c, &to, nobody, priority, NULL);
                gnutls_session_get_data2(c->s, &session);
                tls_close(c);
        }
        double t = now();
        for (unsigned long i = 0; i < count; i++) {
                struct tls_client *at = idle ? &c[i] : c;
                tls_connect(at, &to, nobody, priority, &session);
                if (resumed && !gnutls_session_is_resumed(at->s))
                        tls_die("not resumed", 0);
                if (!idle)
                        tls_close(at);
        }
        printf("done %lu %.6f\n", count, now() - t);
        fflush(stdout);
        while (idle && getchar() != EOF)
                ;
        return 0;
}
