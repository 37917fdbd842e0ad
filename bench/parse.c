/* What it costs to parse a 700-octet INVITE to all routing fields: ns each, the best of rounds, cold branch predictor
 * not counted. */
#include <stdio.h>
#include <time.h>

#include "sip/msg.h"

static const char INVITE[] =
        "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n"
        "Via: SIP/2.0/UDP edge.example.com:5060;branch=z9hG4bKk3v9x0q2m1n8;rport;sticky\r\n"
        "Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;received=192.0.2.101\r\n"
        "Max-Forwards: 69\r\n"
        "Route: <sip:joe+k3v9x0q2+e1+e3+aKb7sYq01x@edge.example.com;lr;d=81bd0a2c>, <sip:example.com;lr;d=77>\r\n"
        "From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n"
        "To: Bob <sip:bob@biloxi.example.com>;tag=314159\r\n"
        "Call-ID: 3848276298220188511@atlanta.example.com\r\n"
        "CSeq: 2 INVITE\r\n"
        "Contact: <sip:alice@client.atlanta.example.com;transport=tcp>\r\n"
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n"
        "Supported: outbound, path\r\n"
        "User-Agent: phone/1.0\r\n"
        "Content-Length: 0\r\n\r\n";

static double now(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

int main(void)
{
        enum { N = 200000, ROUNDS = 9 };
        struct bl_str in = {INVITE, sizeof INVITE - 1};
        struct bl_arena *arena = bl_arena_new(1 << 20);
        double best = 1e18, route = 1e18;
        for (int r = 0; r < ROUNDS; r++) {
                struct bl_msg *m = NULL;
                double t = now();
                for (int i = 0; i < N; i++) {
                        bl_arena_reset(arena);
                        if (bl_msg_parse(in, true, arena, &m, NULL) < 0)
                                return 1;
                }
                double d = (now() - t) / N;
                best = d < best ? d : best;
                t = now();
                for (int i = 0; i < N; i++) {
                        struct bl_nameaddr na;
                        struct bl_uri u;
                        bl_arena_reset(arena);
                        if (bl_msg_parse(in, true, arena, &m, NULL) < 0 || bl_msg_nameaddr(m, BL_H_ROUTE, 0, &na) < 0 ||
                            bl_uri_parse(m->ruri, &u) < 0)
                                return 1;
                }
                d = (now() - t) / N;
                route = d < route ? d : route;
        }
        printf("parse     %zu-octet INVITE: %.0f ns; with top Route and Request-URI as structures: %.0f ns (best of %d "
               "rounds of %d)\n",
               in.n, best, route, ROUNDS, N);
        bl_arena_free(arena);
        return 0;
}
