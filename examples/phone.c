/*
 * A phone in less than a hundred lines of libbelay: registers, and answers every call; or places one and hangs up.
 *
 *   cc phone.c $(pkg-config --cflags --libs belay) -o phone
 *   ./phone sip:bob@example.com PASSWORD -                          answers until interrupted
 *   ./phone sip:joe@example.com PASSWORD sip:bob@example.com        calls
 *
 * Further arguments say where domains are without DNS: edge.example.com=udp:192.0.2.1:5060. LOCAL in the environment is
 * the local address.
 */
#include <belay/belay.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What it offers and answers; a phone with a microphone says more. */
static const char SDP[] =
        "v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
static const struct belay_content MEDIA = BELAY_CONTENT("application/sdp", SDP, sizeof SDP - 1);

struct phone {
        const char *to; /* whom to call, once */
        int done;
};
static struct belay *endpoint;

static void interrupted(int signum)
{
        (void)signum;
        belay_stop(endpoint, 500);
}

static void on_event(void *ctx, const struct belay_event *e)
{
        struct phone *p = ctx;
        struct belay_call *call;
        printf("%s %s %u %s\n", belay_event_name(e->kind), e->method ? e->method : "-", e->status,
               e->from ? e->from : "-");
        fflush(stdout);
        switch (e->kind) {
        case BELAY_REGISTERED:
                if (p->to && belay_call_place(e->account, p->to, &MEDIA, &call) < 0)
                        fprintf(stderr, "cannot call %s: write sip:user@domain\n", p->to);
                p->to = NULL;
                break;
        case BELAY_INCOMING:
                belay_call_answer(e->call, 180, NULL);
                belay_call_answer(e->call, 200, &MEDIA);
                break;
        case BELAY_REQUEST: /* re-INVITE, MESSAGE, …; BYE is answered already */
                if (e->request)
                        belay_request_answer(e->request, 200, strcmp(e->method, "INVITE") == 0 ? &MEDIA : NULL);
                break;
        case BELAY_ESTABLISHED:
                if (!belay_call_is_incoming(e->call))
                        belay_call_hangup(e->call);
                break;
        case BELAY_ENDED:
                p->done = e->status;
                if (!belay_call_is_incoming(e->call))
                        belay_stop(e->belay, 500);
                break;
        default:
                break;
        }
}

int main(int argc, char **argv)
{
        char err[300];
        struct belay_options o;
        struct belay_account_options a;
        struct belay_account *account;
        struct phone phone = {0};
        if (argc < 4)
                return fprintf(stderr, "usage: phone AOR PASSWORD CALLEE|- [MAP...]\n"), 2;
        belay_options_init(&o, sizeof o);
        o.map = (const char *const *)argv + 4;
        o.n_map = (size_t)argc - 4;
        o.local_address = getenv("LOCAL");
        belay_account_options_init(&a, sizeof a);
        a.aor = argv[1];
        a.password = argv[2];
        a.event = on_event;
        a.ctx = &phone;
        phone.to = strcmp(argv[3], "-") != 0 ? argv[3] : NULL;
        if (belay_new(&o, err, sizeof err, &endpoint) < 0 ||
            belay_account_new(endpoint, &a, err, sizeof err, &account) < 0)
                return fprintf(stderr, "phone: %s\n", err), 1;
        signal(SIGINT, interrupted);
        signal(SIGTERM, interrupted);
        belay_register(account);
        belay_run(endpoint);
        belay_free(endpoint);
        return phone.done != 200;
}
