/* DNS by c-ares, which sends and retries; what comes back is read by answer.c. */
#include "io/worker.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>

#include "io/answer.h"
#include "io/sockaddr.h"

enum { CLASS_IN = 1, DNS_PORT = 53, TRIES = 2, HOSTS_TTL = 60, EDNS_SIZE = 1232 };

struct request { /* lives until c-ares lets it go, also when the query was cancelled */
        struct worker *w;
        struct bl_query *q; /* NULL: cancelled */
        struct bl_link later;
        struct bl_answer *answer; /* when put off */
        int rc;
};

struct dns_sock {
        uv_poll_t poll;
        struct worker *w;
        ares_socket_t fd;
        struct bl_link all;
};

struct dns {
        struct worker *w;
        ares_channel channel;
        struct bl_timer timer;
        struct bl_link later, socks;
        bool asking;  /* inside query(): answers are put off */
        bool closing; /* nothing is told any more */
        bool hosts;   /* /etc/hosts counts: no servers are configured */
        struct bl_answer scratch;
};

/* ---- c-ares in the loop ---- */

static void rearm(struct dns *d)
{
        struct timeval tv, *next = ares_timeout(d->channel, NULL, &tv);
        if (d->closing || !next)
                bl_wheel_disarm(d->w->wheel, &d->timer);
        else
                bl_wheel_arm(d->w->wheel, &d->timer,
                             d->w->env.now + (bl_us)next->tv_sec * 1000000u + (bl_us)next->tv_usec);
}

static void timed_out(struct bl_timer *t)
{
        struct dns *d = BL_CONTAINER(t, struct dns, timer);
        ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        rearm(d);
}

static void readable(uv_poll_t *h, int status, int events)
{
        struct dns_sock *s = h->data;
        struct dns *d = s->w->dns;
        ares_socket_t fd = s->fd;
        bl_worker_enter(s->w);
        if (status < 0) /* reading tells c-ares what is wrong */
                events = UV_READABLE;
        ares_process_fd(d->channel, (events & UV_READABLE) ? fd : ARES_SOCKET_BAD,
                        (events & UV_WRITABLE) ? fd : ARES_SOCKET_BAD);
        if (status < 0 && !uv_is_closing((uv_handle_t *)h))
                uv_poll_start(h, UV_READABLE, readable);
        rearm(d);
}

static void sock_closed(uv_handle_t *h)
{
        free(h->data);
}

static struct dns_sock *sock_of(struct dns *d, ares_socket_t fd)
{
        BL_LIST_EACH(l, &d->socks)
        {
                struct dns_sock *s = BL_CONTAINER(l, struct dns_sock, all);
                if (s->fd == fd)
                        return s;
        }
        return NULL;
}

/* c-ares says which of its sockets it waits for; neither: it is about to close it. */
static void sock_state(void *arg, ares_socket_t fd, int want_read, int want_write)
{
        struct dns *d = arg;
        struct dns_sock *s = sock_of(d, fd);
        if (!want_read && !want_write) {
                if (!s)
                        return;
                bl_list_remove(&s->all);
                uv_close((uv_handle_t *)&s->poll, sock_closed);
                return;
        }
        if (!s) {
                s = calloc(1, sizeof(*s));
                if (!s || uv_poll_init(&d->w->loop, &s->poll, fd) != 0) {
                        free(s); /* never heard: the query times out */
                        return;
                }
                s->poll.data = s;
                s->w = d->w;
                s->fd = fd;
                bl_list_push_back(&d->socks, &s->all);
        }
        uv_poll_start(&s->poll, (want_read ? UV_READABLE : 0) | (want_write ? UV_WRITABLE : 0), readable);
}

static int set_servers(struct dns *d)
{
        struct bl_world *world = d->w->world;
        char text[64 * (BL_ADDR_TEXT + 1)];
        struct bl_sb b = BL_SB(text);
        if (!world->conf.n_dns)
                return 0;
        for (unsigned i = 0; i < world->conf.n_dns; i++) {
                struct bl_addr a = world->dns[i];
                if (a.port == 0)
                        a.port = DNS_PORT;
                if (i)
                        bl_sb_addc(&b, ',');
                bl_addr_put(&b, &a);
        }
        bl_sb_addc(&b, '\0');
        if (b.over)
                return BL_ELIMIT;
        return ares_set_servers_ports_csv(d->channel, text) == ARES_SUCCESS ? 0 : BL_EINVAL;
}

static int start(struct worker *w)
{
        if (w->dns)
                return 0;
        struct dns *d = calloc(1, sizeof(*d));
        if (!d)
                return BL_ENOMEM;
        d->w = w;
        d->hosts = w->world->conf.n_dns == 0;
        d->timer.fire = timed_out;
        bl_list_init(&d->later);
        bl_list_init(&d->socks);
        struct ares_options o = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
                                 .timeout = (int)w->world->conf.dns_timeout_ms,
                                 .tries = TRIES,
                                 .ednspsz = EDNS_SIZE,
                                 .sock_state_cb = sock_state,
                                 .sock_state_cb_data = d};
        int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB;
        if (ares_init_options(&d->channel, &o, mask) != ARES_SUCCESS) {
                free(d);
                return BL_ENOMEM;
        }
        int rc = set_servers(d);
        if (rc < 0) {
                ares_destroy(d->channel);
                free(d);
                return rc;
        }
        w->dns = d;
        return 0;
}

/* ---- queries ---- */

static int error_of(int status)
{
        switch (status) {
        case ARES_ENOTFOUND:
        case ARES_EBADNAME:
                return BL_ENOENT;
        case ARES_ETIMEOUT:
                return BL_ETIMEOUT;
        case ARES_ENOMEM:
                return BL_ENOMEM;
        case ARES_EBADRESP:
                return BL_EMALFORMED;
        default: /* SERVFAIL, REFUSED, no server to be reached */
                return BL_EREFUSED;
        }
}

static void request_free(struct request *r)
{
        struct bl_pool *pool = r->w->env.pool;
        bl_list_remove(&r->later);
        bl_pool_give(pool, r->answer, sizeof(*r->answer));
        bl_pool_give(pool, r, sizeof(*r));
}

static void tell(struct request *r, int rc, const struct bl_answer *a)
{
        struct bl_query *q = r->q;
        if (!q)
                return;
        r->q = NULL;
        q->_world = NULL;
        q->done(q, rc, a ? a->rr : NULL, a ? a->n : 0, a ? a->neg_ttl : 0);
}

/* The texts of a copy point into the copy. */
static struct bl_answer *copy_of(struct worker *w, const struct bl_answer *a)
{
        struct bl_answer *c = bl_pool_alloc(w->env.pool, sizeof(*c));
        if (!c)
                return NULL;
        *c = *a;
        for (unsigned i = 0; i < c->n; i++) {
                struct bl_str *s[] = {&c->rr[i].name, &c->rr[i].flags, &c->rr[i].service};
                for (size_t k = 0; k < BL_ARRAY_LEN(s); k++) {
                        if (s[k]->n)
                                s[k]->p = c->text + (s[k]->p - a->text);
                }
        }
        return c;
}

static void finish(struct request *r, int rc, const struct bl_answer *a)
{
        struct dns *d = r->w->dns;
        if (!r->q || d->closing) {
                request_free(r);
                return;
        }
        if (d->asking) {
                r->rc = rc;
                r->answer = a ? copy_of(r->w, a) : NULL;
                if (a && !r->answer)
                        r->rc = BL_ENOMEM;
                bl_list_push_back(&d->later, &r->later);
                return;
        }
        tell(r, rc, a);
        request_free(r);
}

static void answered(void *arg, int status, int timeouts, unsigned char *octets, int len)
{
        struct request *r = arg;
        struct bl_answer *a = &r->w->dns->scratch;
        (void)timeouts;
        bool read = octets && len > 0 && (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND);
        if (!read) {
                finish(r, error_of(status), NULL);
                return;
        }
        int rc = bl_answer_parse(bl_str_make((const char *)octets, (size_t)len), r->q ? r->q->type : 0, a);
        if (rc == 0)
                rc = a->rc;
        finish(r, rc, rc == 0 || rc == BL_ENOENT ? a : NULL);
}

/* The system's own table of hosts comes before DNS, as everywhere on the machine. */
static bool from_hosts(struct dns *d, struct request *r, const char *name)
{
        struct bl_answer *a = &d->scratch;
        struct hostent *h = NULL;
        int family = r->q->type == BL_RR_A ? AF_INET : AF_INET6;
        if (!d->hosts || (r->q->type != BL_RR_A && r->q->type != BL_RR_AAAA))
                return false;
        if (ares_gethostbyname_file(d->channel, name, family, &h) != ARES_SUCCESS)
                return false;
        a->n = 0;
        a->neg_ttl = 0;
        for (char **p = h->h_addr_list; *p && a->n < BL_ANSWER_RECORDS; p++) {
                struct bl_rr *rr = &a->rr[a->n++];
                *rr = (struct bl_rr){.type = r->q->type, .ttl = HOSTS_TTL};
                rr->addr.family = family == AF_INET ? 4 : 6;
                memcpy(rr->addr.ip, *p, family == AF_INET ? 4 : 16);
        }
        ares_free_hostent(h);
        finish(r, 0, a);
        return true;
}

/* A query that could not even be started: put off by its own pointer, for there may be no memory for more. */
static void put_off_failure(struct worker *w, struct bl_query *q)
{
        q->_world = w->failed_queries ? (void *)w->failed_queries : (void *)w; /* w itself ends the list */
        w->failed_queries = q;
}

static struct bl_query *next_failed(struct worker *w, struct bl_query *q)
{
        return q->_world == (void *)w ? NULL : q->_world;
}

static bool cancel_failure(struct worker *w, struct bl_query *q)
{
        struct bl_query *prev = NULL;
        for (struct bl_query *i = w->failed_queries; i; prev = i, i = next_failed(w, i)) {
                if (i != q)
                        continue;
                if (prev)
                        prev->_world = q->_world;
                else
                        w->failed_queries = next_failed(w, q);
                return true;
        }
        return false;
}

void bl_dns_query(struct env *env, struct bl_query *q)
{
        struct worker *w = bl_worker_of(env);
        char name[256];
        struct request *r = start(w) == 0 ? bl_pool_zalloc(env->pool, sizeof(*r)) : NULL;
        if (!r) {
                put_off_failure(w, q);
                return;
        }
        r->w = w;
        r->q = q;
        q->_world = r;
        w->dns->asking = true;
        if (q->name.n == 0 || q->name.n >= sizeof(name) || bl_str_find(q->name, '\0') >= 0) {
                finish(r, BL_ENOENT, NULL); /* no name at all: none such exists */
        } else {
                memcpy(name, q->name.p, q->name.n);
                name[q->name.n] = '\0';
                if (!from_hosts(w->dns, r, name))
                        ares_query(w->dns->channel, name, CLASS_IN, q->type, answered, r);
        }
        w->dns->asking = false;
        rearm(w->dns);
}

void bl_dns_cancel(struct env *env, struct bl_query *q)
{
        struct worker *w = bl_worker_of(env);
        if (!q->_world)
                return;
        if (!cancel_failure(w, q))
                ((struct request *)q->_world)->q = NULL; /* c-ares cannot forget one query; its answer finds nobody */
        q->_world = NULL;
}

bool bl_dns_pending(const struct worker *w)
{
        return w->failed_queries || (w->dns && !bl_list_empty(&w->dns->later));
}

void bl_dns_run_later(struct worker *w)
{
        struct bl_query *failed = w->failed_queries;
        w->failed_queries = NULL;
        while (failed) {
                struct bl_query *q = failed;
                failed = next_failed(w, q);
                q->_world = NULL;
                q->done(q, BL_ENOMEM, NULL, 0, 0);
        }
        /* Those that these answers make the core ask come behind: they wait for the next round. */
        struct request *last = w->dns && !bl_list_empty(&w->dns->later)
                                       ? BL_CONTAINER(w->dns->later.prev, struct request, later)
                                       : NULL;
        while (last) {
                struct request *r = BL_CONTAINER(w->dns->later.next, struct request, later);
                bl_list_remove(&r->later);
                if (r == last)
                        last = NULL;
                tell(r, r->rc, r->answer);
                request_free(r);
        }
}

void bl_dns_fini(struct worker *w)
{
        struct dns *d = w->dns;
        if (!d)
                return;
        d->closing = true;
        ares_destroy(d->channel); /* answers every query, to nobody, and lets go of its sockets */
        while (!bl_list_empty(&d->later))
                request_free(BL_CONTAINER(d->later.next, struct request, later));
        bl_wheel_disarm(w->wheel, &d->timer);
        w->dns = NULL;
        free(d);
}
