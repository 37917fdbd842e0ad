/*
 * The load: REGISTERs or whole calls over UDP or TLS through one node, a window of them at a time, both ends played
 * here.
 *
 *      bench/load register|digest|call [tls:]SERVER:PORT COUNT WINDOW PORT_A PORT_B
 *
 * TLS: calls go over one connection at each side, as between proxies, so that several messages share a record;
 * REGISTERs over 64, as from UAs, a message in each record.
 *
 * register: refreshes of 1000 users, each one message in and one out; digest: the same with Authorization, one nonce,
 * counts rising. call: INVITE 180 200 ACK BYE 200 from port A to a UA at port B, which registered first: 6 messages
 * into the node. Prints `done COUNT SECONDS`. Exit 1 when something failed or stalled for 5 s: a figure with losses
 * would be none.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "auth/digest_client.h"
#include "base/mem.h"
#include "bench/tls_client.h"
#include "sip/frame.h"
#include "sip/msg.h"

enum { USERS = 1000, BATCH = 32, SIZE = 4096, STREAM = 1 << 18, CONNS = 64 };

struct stream { /* a TLS connection */
        struct tls_client c;
        bool corked;
        size_t n;
        struct bl_frame_state frame;
        char octets[STREAM];
};

struct side { /* one socket, its queue of datagrams to send */
        int fd;
        uint16_t port;
        struct mmsghdr out[BATCH], in[BATCH];
        struct iovec oi[BATCH], ii[BATCH];
        char ob[BATCH][SIZE], ib[BATCH][SIZE];
        unsigned n_out;
        struct stream *stream; /* TLS; NULL: UDP */
        unsigned n_streams, turn, by[BATCH];
};

static struct side A, B;
static const char *mode;
static int run_id; /* so that a second run is no retransmission of the first */
static unsigned long count, begun, finished, failed, repeated;
static uint8_t *seen;
static struct bl_arena *arena;
static struct bl_digest_session session;
static uint32_t cseq[USERS];

static int open_side(struct side *s, uint16_t port, const struct sockaddr_in *to)
{
        struct sockaddr_in at = {
                .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int room = 8 << 20;
        s->port = port;
        s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        return bind(s->fd, (struct sockaddr *)&at, sizeof at) < 0 ||
                               connect(s->fd, (const struct sockaddr *)to, sizeof *to) < 0
                       ? -1
                       : 0;
}

/* ---- TLS ---- */

static const char *transport = "UDP";

static void open_streams(struct side *s, unsigned n, const struct sockaddr_in *to)
{
        static gnutls_certificate_credentials_t nobody;
        static gnutls_priority_t priority;
        if (!nobody) {
                nobody = tls_nobody();
                gnutls_priority_init(&priority, TLS_PRIORITY, NULL);
        }
        s->stream = calloc(n, sizeof *s->stream);
        s->n_streams = s->stream ? n : 0;
        for (unsigned i = 0; i < s->n_streams; i++) {
                tls_connect(&s->stream[i].c, to, nobody, priority, NULL);
                fcntl(s->stream[i].c.fd, F_SETFL, O_NONBLOCK);
        }
}

static void flush_streams(struct side *s)
{
        for (unsigned i = 0; i < s->n_out; i++) {
                struct stream *t = &s->stream[s->by[i]];
                if (!t->corked)
                        gnutls_record_cork(t->c.s);
                t->corked = true;
                gnutls_record_send(t->c.s, s->oi[i].iov_base, s->oi[i].iov_len);
        }
        for (unsigned i = 0; i < s->n_out; i++) {
                struct stream *t = &s->stream[s->by[i]];
                if (t->corked && gnutls_record_uncork(t->c.s, GNUTLS_RECORD_WAIT) < 0)
                        tls_die("send", 0);
                t->corked = false;
        }
        s->n_out = 0;
}

static void cut(struct stream *t, void (*fn)(const struct bl_msg *))
{
        size_t at = 0;
        for (;;) {
                enum bl_frame_kind kind;
                struct bl_str octets;
                struct bl_msg *m;
                int n = bl_frame_next(&t->frame, bl_str_make(t->octets + at, t->n - at), 65536, &kind, &octets);
                if (n <= 0)
                        break;
                at += (size_t)n;
                bl_arena_reset(arena);
                if (kind == BL_FRAME_MESSAGE && bl_msg_parse(octets, false, arena, &m, NULL) == 0)
                        fn(m);
        }
        memmove(t->octets, t->octets + at, t->n - at);
        t->n -= at;
}

static void receive_streams(struct side *s, void (*fn)(const struct bl_msg *))
{
        for (unsigned i = 0; i < s->n_streams; i++) {
                struct stream *t = &s->stream[i];
                ssize_t n;
                while ((n = gnutls_record_recv(t->c.s, t->octets + t->n, STREAM - t->n)) > 0) {
                        t->n += (size_t)n;
                        cut(t, fn);
                }
                if (n == 0 || (n < 0 && gnutls_error_is_fatal((int)n)))
                        tls_die("the server closed a connection", (int)n);
        }
}

static void wait_for(struct side *a, struct side *b)
{
        struct pollfd p[2 * CONNS];
        nfds_t n = 0;
        for (unsigned i = 0; i < a->n_streams; i++)
                p[n++] = (struct pollfd){.fd = a->stream[i].c.fd, .events = POLLIN};
        for (unsigned i = 0; i < b->n_streams; i++)
                p[n++] = (struct pollfd){.fd = b->stream[i].c.fd, .events = POLLIN};
        if (n == 0) {
                p[n++] = (struct pollfd){.fd = a->fd, .events = POLLIN};
                p[n++] = (struct pollfd){.fd = b->fd, .events = POLLIN};
        }
        (void)poll(p, n, 100);
}

/* ---- */

static void flush(struct side *s)
{
        unsigned at = 0;
        if (s->stream) {
                flush_streams(s);
                return;
        }
        while (at < s->n_out) {
                int n = sendmmsg(s->fd, s->out + at, s->n_out - at, 0);
                if (n > 0)
                        at += (unsigned)n;
        }
        s->n_out = 0;
}

static char *room(struct side *s)
{
        if (s->n_out == BATCH)
                flush(s);
        return s->ob[s->n_out];
}

static void queued(struct side *s, int n)
{
        s->oi[s->n_out] = (struct iovec){s->ob[s->n_out], (size_t)n};
        s->by[s->n_out] = s->turn;
        s->out[s->n_out].msg_hdr = (struct msghdr){.msg_iov = &s->oi[s->n_out], .msg_iovlen = 1};
        s->n_out++;
}

/* --- REGISTER --- */

static void send_register(unsigned long i)
{
        struct side *s = strcmp(mode, "call") == 0 ? &B : &A; /* the callee's calls come by the flow it registered by */
        unsigned u = (unsigned)(i % USERS);
        s->turn = s->n_streams ? u % s->n_streams : 0;
        char auth[1200] = "";
        if (session.active) {
                char user[16];
                uint8_t cnonce[8] = "benchmk";
                struct bl_sb b = {auth, 0, sizeof auth - 1, false};
                snprintf(user, sizeof user, "u%u", u);
                bl_digest_answer(&session, bl_str_z(user), BL_STR("secret"), BL_STR("REGISTER"),
                                 BL_STR("sip:example.com"), cnonce, &b);
                auth[b.n] = 0;
        }
        char *p = room(s);
        queued(s, snprintf(p, SIZE,
                           "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/%s "
                           "127.0.0.1:%u;branch=z9hG4bKb%d-%lu;rport\r\nMax-Forwards: 70\r\n"
                           "From: <sip:u%u@example.com>;tag=f%u\r\nTo: <sip:u%u@example.com>\r\nCall-ID: "
                           "reg-%u-%d@bench.example.com\r\nCSeq: %u REGISTER\r\n"
                           "Contact: "
                           "<sip:u%u@127.0.0.1:%u>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-%012u>"
                           "\"\r\nExpires: 3600\r\n"
                           "User-Agent: bench/1.0\r\nSupported: path\r\n%sContent-Length: 0\r\n\r\n",
                           transport, s->port, run_id, i, u, u, u, u, run_id, ++cseq[u], u, s->port, u, auth));
}

/* --- a call --- */

static const char SDP[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP "
                          "0\r\na=rtpmap:0 PCMU/8000\r\n";

static void send_invite(unsigned long i)
{
        char *p = room(&A);
        queued(&A,
               snprintf(p, SIZE,
                        "INVITE sip:u%lu@example.com SIP/2.0\r\nVia: SIP/2.0/%s "
                        "127.0.0.1:%u;branch=z9hG4bKi%d-%lu;rport\r\nMax-Forwards: 70\r\n"
                        "From: \"Bench\" <sip:caller@example.com>;tag=a%lu\r\nTo: "
                        "<sip:u%lu@example.com>\r\nCall-ID: c%lu-%d@bench.example.com\r\nCSeq: 1 INVITE\r\n"
                        "Contact: <sip:caller@127.0.0.1:%u>\r\nAllow: INVITE, ACK, BYE, CANCEL, "
                        "OPTIONS\r\nSupported: outbound\r\nUser-Agent: bench/1.0\r\n"
                        "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
                        i % USERS, transport, A.port, run_id, i, i, i % USERS, i, run_id, A.port, sizeof SDP - 1, SDP));
}

static int put_lines(char *p, size_t cap, const struct bl_msg *m, enum bl_hid id)
{
        int n = 0;
        for (const struct bl_hdr *h = bl_msg_first(m, id); h; h = bl_msg_next(m, h))
                n += snprintf(p + n, cap - (size_t)n, "%.*s", (int)h->line_len, m->octets.p + h->name);
        return n;
}

/* ACK or BYE: along the Record-Route of the 200, reversed (one value here). */
static void send_in_dialog(const struct bl_msg *m, const char *method, unsigned seq, unsigned long i)
{
        struct bl_nameaddr rr, contact = {0};
        char *p = room(&A);
        struct bl_str to = bl_msg_value(m, BL_H_TO);
        bool routed = bl_msg_nameaddr(m, BL_H_RECORD_ROUTE, 0, &rr) == 0;
        (void)bl_msg_nameaddr(m, BL_H_CONTACT, 0, &contact);
        queued(&A, snprintf(p, SIZE,
                            "%s %.*s SIP/2.0\r\nVia: SIP/2.0/%s "
                            "127.0.0.1:%u;branch=z9hG4bK%c%d-%lu;rport\r\nMax-Forwards: 70\r\n%s%.*s%s"
                            "From: \"Bench\" <sip:caller@example.com>;tag=a%lu\r\nTo: %.*s\r\nCall-ID: %.*s\r\nCSeq: "
                            "%u %s\r\nContent-Length: 0\r\n\r\n",
                            method, BL_STR_ARG(contact.uri.all), transport, A.port, method[0], run_id, i,
                            routed ? "Route: " : "", routed ? (int)rr.all.n : 0, routed ? rr.all.p : "",
                            routed ? "\r\n" : "", i, BL_STR_ARG(to), BL_STR_ARG(m->call_id), seq, method));
}

static void answer(const struct bl_msg *m, unsigned status, const char *phrase)
{
        char *p = room(&B);
        int n = snprintf(p, SIZE, "SIP/2.0 %u %s\r\n", status, phrase);
        n += put_lines(p + n, SIZE - (size_t)n, m, BL_H_VIA);
        n += put_lines(p + n, SIZE - (size_t)n, m, BL_H_RECORD_ROUTE);
        n += put_lines(p + n, SIZE - (size_t)n, m, BL_H_FROM);
        n += snprintf(p + n, SIZE - (size_t)n, "To: %.*s%s\r\n", BL_STR_ARG(bl_msg_value(m, BL_H_TO)),
                      m->to_tag.n ? "" : ";tag=b");
        n += put_lines(p + n, SIZE - (size_t)n, m, BL_H_CALL_ID);
        n += put_lines(p + n, SIZE - (size_t)n, m, BL_H_CSEQ);
        bool sdp = status == 200 && m->method == BL_M_INVITE;
        n += snprintf(p + n, SIZE - (size_t)n, "Contact: <%.*s>\r\n%sContent-Length: %zu\r\n\r\n%s",
                      BL_STR_ARG(m->ruri), sdp ? "Content-Type: application/sdp\r\n" : "", sdp ? sizeof SDP - 1 : 0,
                      sdp ? SDP : "");
        queued(&B, n);
}

static unsigned long number_of(const struct bl_msg *m)
{
        return strtoul(m->call_id.p + 1, NULL, 10);
}

static void next(void)
{
        if (begun < count) {
                unsigned long i = begun++;
                if (strcmp(mode, "call") == 0)
                        send_invite(i);
                else
                        send_register(i);
        }
}

static void complete(unsigned status)
{
        finished++;
        if (status >= 300) {
                if (failed++ == 0)
                        fprintf(stderr, "load: answered %u\n", status);
        }
        next();
}

static void on_a(const struct bl_msg *m)
{
        if (m->is_request) {
                if (m->method == BL_M_REGISTER) /* the floor sends it back, or on: as good as an answer */
                        complete(200);
                else if (failed++ == 0)
                        fputs("load: the caller got a request\n", stderr);
                return;
        }
        if (m->status < 200)
                return;
        unsigned long i = number_of(m);
        if (strcmp(mode, "call") == 0 && m->method != BL_M_REGISTER &&
            i < count) { /* retransmissions are counted apart */
                uint8_t bit = m->method == BL_M_INVITE ? 1 : 2;
                if (seen[i] & bit) {
                        repeated++;
                        return;
                }
                seen[i] |= bit;
        }
        if (m->method == BL_M_INVITE && m->status < 300) {
                send_in_dialog(m, "ACK", 1, i);
                send_in_dialog(m, "BYE", 2, i);
        } else
                complete(m->status);
}

static void on_b(const struct bl_msg *m)
{
        if (!m->is_request) {
                if (m->method == BL_M_REGISTER)
                        complete(m->status);
                return;
        }
        if (m->method == BL_M_INVITE) {
                answer(m, 180, "Ringing");
                answer(m, 200, "OK");
        } else if (m->method == BL_M_BYE)
                answer(m, 200, "OK");
}

static void receive(struct side *s, void (*fn)(const struct bl_msg *))
{
        if (s->stream) {
                receive_streams(s, fn);
                return;
        }
        for (;;) {
                for (unsigned i = 0; i < BATCH; i++) {
                        s->ii[i] = (struct iovec){s->ib[i], SIZE};
                        s->in[i].msg_hdr = (struct msghdr){.msg_iov = &s->ii[i], .msg_iovlen = 1};
                }
                int n = recvmmsg(s->fd, s->in, BATCH, 0, NULL);
                if (n <= 0)
                        return;
                for (int i = 0; i < n; i++) {
                        struct bl_msg *m;
                        bl_arena_reset(arena);
                        if (bl_msg_parse(bl_str_make(s->ib[i], s->in[i].msg_len), true, arena, &m, NULL) == 0)
                                fn(m);
                        else
                                failed++;
                }
        }
}

static double now(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Runs until `finished` reaches `target`. */
static int run(unsigned long target)
{
        double last = now();
        unsigned long before = finished;
        while (finished < target) {
                flush(&A);
                flush(&B);
                wait_for(&A, &B);
                receive(&A, on_a);
                receive(&B, on_b);
                if (finished != before) {
                        before = finished;
                        last = now();
                } else if (now() - last > 5) {
                        fprintf(stderr, "load: stalled at %lu of %lu\n", finished, target);
                        return 1;
                }
        }
        flush(&A);
        flush(&B);
        return failed ? 1 : 0;
}

/* A first REGISTER without credentials: the nonce for all the others. */
static void take_nonce(const struct bl_msg *m)
{
        if (m->status == 401 && bl_digest_take(&session, m) == 0)
                finished++;
}

static int get_nonce(void)
{
        double until = now() + 5;
        send_register(0);
        flush(&A);
        while (finished == 0 && now() < until) {
                wait_for(&A, &B);
                receive(&A, take_nonce);
        }
        int rc = finished ? 0 : 1;
        finished = 0;
        return rc;
}

int main(int argc, char **argv)
{
        if (argc != 7) {
                fputs("usage: load register|digest|call [tls:]SERVER:PORT COUNT WINDOW PORT_A PORT_B\n", stderr);
                return 2;
        }
        mode = argv[1];
        run_id = (int)getpid();
        bool tls = strncmp(argv[2], "tls:", 4) == 0;
        struct sockaddr_in to = tls_address(argv[2] + (tls ? 4 : 0));
        unsigned long window = strtoul(argv[4], NULL, 10), total = strtoul(argv[3], NULL, 10);
        arena = bl_arena_new(1 << 20);
        if (open_side(&A, (uint16_t)atoi(argv[5]), &to) < 0 || open_side(&B, (uint16_t)atoi(argv[6]), &to) < 0) {
                perror("load");
                return 1;
        }
        if (tls) {
                transport = "TLS";
                open_streams(&A, strcmp(mode, "call") == 0 ? 1 : CONNS, &to);
                open_streams(&B, 1, &to);
        }
        if (strcmp(mode, "digest") == 0 && get_nonce())
                return 1;
        if (strcmp(mode, "call") == 0) { /* the callees register first */
                for (unsigned i = 0; i < USERS; i += BATCH) {
                        for (unsigned k = i; k < i + BATCH && k < USERS; k++) {
                                send_register(k);
                                begun++;
                        }
                        count = 0;
                        if (run(begun))
                                return 1;
                }
                begun = finished = 0;
        }
        count = total;
        seen = calloc(total + 1, 1);
        if (!seen)
                return 1;
        double t = now();
        for (unsigned long i = 0; i < window && i < total; i++)
                next();
        int rc = run(total);
        printf("done %lu %.6f repeated %lu\n", finished, now() - t, repeated);
        return rc;
}
