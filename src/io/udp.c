/* Datagrams: batches in and out, accepted flows by address, ICMP errors. */
#include "io/worker.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/sockaddr.h"

enum {
        CONTROL = 64 /* one in_pktinfo or in6_pktinfo */,
        SEND_TRIES = 8 /* of one datagram against errors that earlier ones left on the socket */,
        ERRORS = 64 /* read from a socket's error queue at a time */,
        SOCKET_BUF = 4 << 20,
};

struct bl_udp_in { /* prepared once, per worker */
        struct mmsghdr msg[RECV_BATCH];
        struct iovec iov[RECV_BATCH];
        struct sockaddr_storage name[RECV_BATCH];
        _Alignas(8) char control[RECV_BATCH][CONTROL];
        char data[RECV_BATCH][RECV_STRIDE];
};

static int options(int fd, bool v6, bool wildcard)
{
        static const int on = 1, dont4 = IP_PMTUDISC_DONT, dont6 = IPV6_PMTUDISC_DONT, size = SOCKET_BUF;
        /* Room for bursts: as much as allowed, without failing where it is not. */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
        if (setsockopt(fd, level, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof(on)) < 0)
                return -errno;
        /* Large messages to UAs go in fragments rather than not at all (RFC 3261 section 18.1.1 is txn's business). */
        if (setsockopt(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, v6 ? &dont6 : &dont4, sizeof(int)) < 0)
                return -errno;
        if (wildcard && setsockopt(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof(on)) < 0)
                return -errno;
        return 0;
}

/* ---- accepted flows ---- */

static uint64_t key_of(const struct sock *s, const struct bl_addr *remote)
{
        return bl_hash_mix(bl_addr_hash(s->w->env.hash_seed, remote), s->listener);
}

/* The flow of this socket to `remote`; local NULL: whatever the local address is. */
static struct flow *find_accepted(const struct sock *s, const struct bl_addr *remote, const struct bl_addr *local)
{
        struct bl_hnode *n = bl_htab_first(&s->w->by_addr, key_of(s, remote));
        for (; n; n = bl_htab_next(n)) {
                struct flow *f = BL_CONTAINER(n, struct flow, by_addr);
                if (f->sock == s && bl_addr_eq(&f->remote, remote) && (!local || bl_addr_eq(&f->local, local)))
                        return f;
        }
        return NULL;
}

static struct flow *accept_flow(struct sock *s, const struct bl_addr *remote, const struct bl_addr *local)
{
        struct worker *w = s->w;
        struct bl_peer peer;
        struct flow *f;
        int rc = bl_handle_new(w, &f);
        if (rc == 0 && (rc = bl_htab_insert(&w->by_addr, &f->by_addr, key_of(s, remote))) < 0)
                bl_handle_drop(w, f);
        if (rc < 0) {
                const char *reason = rc == BL_ELIMIT ? "flow_table_full" : "no_memory";
                bl_count(w->accept_refused);
                if (bl_log_allow(w->env.log, "accept_refused", reason))
                        bl_log_ev(w->env.log, BL_LOG_WARN, "accept_refused", BL_KZ("transport", "udp"),
                                  BL_KI("flows", w->n_flows), BL_KZ("reason", reason));
                return NULL;
        }
        f->tp = BL_UDP;
        f->listener = s->listener;
        f->sock = s;
        f->remote = *remote;
        f->local = *local;
        f->state = FLOW_UP;
        bl_handle_peer(f, &peer);
        w->env.ev->up(&w->env, bl_handle_id(w, f), &peer, NULL);
        return f->state == FLOW_UP ? f : NULL;
}

/* Which of our addresses a datagram came to (the socket listens on all of them). */
static void local_of(struct msghdr *m, struct bl_addr *local)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
                        struct in_pktinfo info;
                        memcpy(&info, CMSG_DATA(c), sizeof(info));
                        memcpy(local->ip, &info.ipi_addr, 4);
                } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
                        struct in6_pktinfo info;
                        memcpy(&info, CMSG_DATA(c), sizeof(info));
                        memcpy(local->ip, &info.ipi6_addr, 16);
                }
        }
}

/* ---- in ---- */

static void prepare_in(struct bl_udp_in *in, unsigned i)
{
        in->iov[i] = (struct iovec){in->data[i], DATAGRAM_MAX};
        in->msg[i].msg_hdr = (struct msghdr){.msg_name = &in->name[i],
                                             .msg_namelen = sizeof(in->name[i]),
                                             .msg_iov = &in->iov[i],
                                             .msg_iovlen = 1,
                                             .msg_control = in->control[i],
                                             .msg_controllen = CONTROL};
}

static struct bl_udp_in *in_of(struct worker *w)
{
        if (w->in)
                return w->in;
        w->in = malloc(sizeof(*w->in));
        for (unsigned i = 0; w->in && i < RECV_BATCH; i++)
                prepare_in(w->in, i);
        return w->in;
}

static void deliver(struct sock *s, struct bl_udp_in *in, unsigned i)
{
        struct worker *w = s->w;
        struct flow *f = s->flow;
        struct bl_str octets = {in->data[i], in->msg[i].msg_len};
        bl_count(w->recv_total);
        if (s->listens) {
                struct bl_addr remote, local = w->world->listeners[s->listener].addr;
                if (bl_sockaddr_to(&in->name[i], &remote) < 0 || remote.port == 0)
                        return;
                if (s->wildcard)
                        local_of(&in->msg[i].msg_hdr, &local);
                f = find_accepted(s, &remote, s->wildcard ? &local : NULL);
                if (!f)
                        f = accept_flow(s, &remote, &local);
        }
        if (f && f->state == FLOW_UP)
                w->env.ev->data(&w->env, bl_handle_id(w, f), f->user, octets, true);
}

static unsigned drain_errors(struct sock *s);

/* One batch; false when there is nothing more to read now. */
static bool read_batch(struct sock *s, struct bl_udp_in *in)
{
        int n = recvmmsg(s->fd, in->msg, RECV_BATCH, MSG_DONTWAIT, NULL);
        if (n < 0) {
                if (errno == EINTR)
                        return true;
                if (errno != EAGAIN && drain_errors(s) == 0 && !s->listens && s->flow)
                        bl_handle_down(s->w, s->flow, -errno, false);
                return false;
        }
        for (int i = 0; i < n; i++) {
                deliver(s, in, (unsigned)i);
                prepare_in(in, (unsigned)i);
        }
        return n == RECV_BATCH;
}

/* ---- ICMP ---- */

/* What an entry of the error queue means for the flow to the peer that it names. */
static void error_of(struct sock *s, struct msghdr *m)
{
        struct worker *w = s->w;
        struct sock_extended_err e = {0};
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                bool ours = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
                if (ours)
                        memcpy(&e, CMSG_DATA(c), sizeof(e));
        }
        /* EMSGSIZE only says that the path has a smaller MTU: the next one goes in fragments. */
        if (!e.ee_errno || e.ee_errno == EMSGSIZE)
                return;
        bl_count(w->icmp_total);
        struct flow *f = s->flow;
        struct bl_addr remote;
        if (s->listens) {
                struct sockaddr_storage sa = {0};
                if (!m->msg_name || m->msg_namelen > sizeof(sa))
                        return;
                memcpy(&sa, m->msg_name, m->msg_namelen);
                if (bl_sockaddr_to(&sa, &remote) < 0)
                        return;
                while ((f = find_accepted(s, &remote, NULL)))
                        bl_handle_down(w, f, -(int)e.ee_errno, false);
        } else if (f) {
                bl_handle_down(w, f, -(int)e.ee_errno, false);
        }
}

/* Reads the error queue, taking down the flows it names; how many entries there were. */
static unsigned drain_errors(struct sock *s)
{
        unsigned n = 0;
        int saved = errno;
        while (n < ERRORS && !s->closing) {
                struct sockaddr_storage name = {0};
                _Alignas(8) char control[512], octets[64];
                struct iovec iov = {octets, sizeof(octets)};
                struct msghdr m = {.msg_name = &name,
                                   .msg_namelen = sizeof(name),
                                   .msg_iov = &iov,
                                   .msg_iovlen = 1,
                                   .msg_control = control,
                                   .msg_controllen = sizeof(control)};
                if (recvmsg(s->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
                        break;
                n++;
                error_of(s, &m);
        }
        errno = saved;
        return n;
}

/* ---- out ---- */

/*
 * Datagrams of one flow that lie one behind the other in a batch and are equally long (the last may be shorter) go as a
 * train: the kernel gets them as one, walks its way down once, and cuts them apart (UDP_SEGMENT). What they cost us is
 * mostly that way.
 */
enum {
        TRAIN_SEGMENT = 1400, /* a longer one might need fragments, which a train cannot have */
        TRAIN_OCTETS = 60000,
        FLOW_SLOTS = 128, /* to find a flow's datagrams in a batch */
};

struct outgoing {                  /* what one system call takes */
        struct mmsghdr msg[BATCH]; /* of trains, or of single datagrams */
        uint8_t first[BATCH];      /* of each: the index of its first datagram */
        struct iovec iov[BATCH];   /* of datagrams */
        struct sockaddr_storage name[BATCH];
        _Alignas(8) char control[BATCH][CONTROL];
};

/* The datagram leaves from the address that its flow's datagrams came to. */
static void put_from(struct msghdr *m, char *control, const struct bl_addr *from)
{
        struct cmsghdr *c = (struct cmsghdr *)(void *)control;
        memset(control, 0, CONTROL);
        m->msg_control = control;
        if (from->family == 4) {
                struct in_pktinfo info = {0};
                memcpy(&info.ipi_spec_dst, from->ip, 4);
                *c = (struct cmsghdr){
                        .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
                memcpy(CMSG_DATA(c), &info, sizeof(info));
                m->msg_controllen = CMSG_SPACE(sizeof(info));
        } else {
                struct in6_pktinfo info = {.ipi6_ifindex = from->scope};
                memcpy(&info.ipi6_addr, from->ip, 16);
                *c = (struct cmsghdr){
                        .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
                memcpy(CMSG_DATA(c), &info, sizeof(info));
                m->msg_controllen = CMSG_SPACE(sizeof(info));
        }
}

/* Each datagram of the train has n octets. */
static void put_segment(struct msghdr *m, char *control, size_t n)
{
        struct cmsghdr *c = (struct cmsghdr *)(void *)(control + m->msg_controllen);
        uint16_t segment = (uint16_t)n;
        if (!m->msg_controllen)
                memset(control, 0, CONTROL);
        _Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(segment)) <= CONTROL, "both fit");
        *c = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof(segment)), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
        memcpy(CMSG_DATA(c), &segment, sizeof(segment));
        m->msg_control = control;
        m->msg_controllen += CMSG_SPACE(sizeof(segment));
}

/* One message of d[0..n), the first of which is number `first` of the batch. */
static void prepare_out(struct sock *s, struct outgoing *o, unsigned i, const struct out *const *d, unsigned first,
                        unsigned n)
{
        struct msghdr *m = &o->msg[i].msg_hdr;
        for (unsigned k = 0; k < n; k++)
                o->iov[first + k] = (struct iovec){d[k]->buf->data, d[k]->buf->len};
        o->first[i] = (uint8_t)first;
        *m = (struct msghdr){.msg_iov = &o->iov[first], .msg_iovlen = n};
        if (s->listens) {
                m->msg_name = &o->name[i];
                m->msg_namelen = bl_sockaddr_from(&d[0]->to, &o->name[i]);
                if (d[0]->from.family)
                        put_from(m, o->control[i], &d[0]->from);
        }
        if (n > 1)
                put_segment(m, o->control[i], d[0]->buf->len);
}

/* How many of d[0..n) make a train; 1: none. */
static unsigned train_of(const struct out *const *d, unsigned n)
{
        uint32_t segment = d[0]->buf->len, total = segment;
        unsigned k = 1;
        if (segment > TRAIN_SEGMENT || segment == 0)
                return 1;
        for (; k < n && d[k]->flow == d[0]->flow && d[k]->buf->len <= segment && d[k]->buf->len; k++) {
                total += d[k]->buf->len;
                if (total > TRAIN_OCTETS)
                        break;
                if (d[k]->buf->len < segment)
                        return k + 1; /* the last */
        }
        return k;
}

/* Datagrams of one flow behind each other, in their order; flows in the order of their first. */
static void by_flow(const struct out **d, unsigned n)
{
        const struct out *in[BATCH];
        uint8_t next[BATCH], last[FLOW_SLOTS] = {0}; /* last: 1 + the index of a flow's last one so far; 0 none */
        bool begins[BATCH];
        unsigned to = 0;
        for (unsigned i = 0; i < n; i++) {
                uint8_t *slot = &last[(d[i]->flow ^ d[i]->flow >> 7) % FLOW_SLOTS];
                in[i] = d[i];
                next[i] = 0;
                begins[i] = !*slot || d[*slot - 1]->flow != d[i]->flow; /* a slot that is taken: on its own */
                if (!begins[i])
                        next[*slot - 1] = (uint8_t)(i + 1);
                if (!begins[i] || !*slot)
                        *slot = (uint8_t)(i + 1);
        }
        for (unsigned i = 0; i < n; i++)
                for (unsigned k = begins[i] ? i + 1 : 0; k; k = next[k - 1])
                        d[to++] = in[k - 1];
}

static void lost(struct worker *w, const struct out *d, int err)
{
        const char *reason = err == EMSGSIZE ? "too_long" : err == ENOBUFS ? "no_room" : "send_failed";
        bl_count(w->udp_lost);
        if (bl_log_allow(w->env.log, "datagram_lost", reason))
                bl_log_ev(w->env.log, BL_LOG_WARN, "datagram_lost", BL_KI("octets", d->buf->len),
                          BL_KZ("reason", reason), BL_KZ("error", bl_err_text(-err)));
}

/* Sending d failed with `err` and nobody else is to blame: its flow is over, unless the datagram was the reason. */
static void send_failed(struct sock *s, const struct out *d, int err)
{
        struct worker *w = s->w;
        struct flow *f = bl_handle_get(w, d->flow);
        lost(w, d, err);
        if (f && err != EMSGSIZE && err != ENOBUFS)
                bl_handle_down(w, f, -err, false);
}

static void wait_for_room(struct sock *s)
{
        s->blocked = true;
        bl_sock_poll(s, UV_READABLE | UV_WRITABLE);
}

/* Keeps a datagram for when the kernel has room again. */
static void keep(struct sock *s, const struct out *d)
{
        struct worker *w = s->w;
        struct seg *seg = bl_pool_alloc(w->env.pool, sizeof(*seg));
        if (!seg) {
                lost(w, d, ENOBUFS);
                return;
        }
        *seg = (struct seg){.buf = bl_buf_ref(d->buf), .to = d->to, .from = d->from, .flow = d->flow};
        bl_sock_push(s, seg);
        wait_for_room(s);
}

/* d[0..n) as messages, the first `single` datagrams each on its own; how many messages. */
static unsigned prepare_all(struct sock *s, struct outgoing *o, const struct out *const *d, unsigned n, unsigned single)
{
        unsigned count = 0;
        for (unsigned k = 0, len; k < n; k += len) {
                len = k < single || s->no_trains ? 1 : train_of(d + k, n - k);
                prepare_out(s, o, count++, d + k, k, len);
        }
        return count;
}

static unsigned datagrams(const struct outgoing *o, unsigned i, unsigned n)
{
        unsigned sum = 0;
        for (; n--; i++)
                sum += (unsigned)o->msg[i].msg_hdr.msg_iovlen;
        return sum;
}

/* Where the way takes no trains: no checksums in hardware (EIO), an old kernel. */
static bool is_no_way_for_trains(int err)
{
        return err == EIO || err == EINVAL || err == EOPNOTSUPP || err == ENOPROTOOPT;
}

/* Sends d[0..n) of one socket, in order. */
static void send_all(struct sock *s, const struct out *const *d, unsigned n)
{
        struct outgoing o;
        unsigned tries = 0, i = 0, count = prepare_all(s, &o, d, n, 0);
        while (i < count && !s->closing) {
                int sent = sendmmsg(s->fd, o.msg + i, count - i, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent > 0) {
                        bl_count_n(s->w->sent_total, datagrams(&o, i, (unsigned)sent));
                        i += (unsigned)sent;
                        tries = 0;
                } else if (errno == EAGAIN) {
                        break;
                } else if (errno != EINTR) {
                        int err = errno;
                        /* An ICMP error that an earlier datagram caused is reported on the next call, whomever that
                         * is for: then this one is simply sent again. */
                        if (drain_errors(s) && tries++ < SEND_TRIES)
                                continue;
                        tries = 0;
                        unsigned single = (unsigned)o.msg[i].msg_hdr.msg_iovlen;
                        d += o.first[i];
                        n -= o.first[i];
                        if (single == 1) {
                                send_failed(s, *d++, err);
                                n--;
                                single = 0;
                        } else { /* taken apart: which of its datagrams fail will be seen */
                                s->no_trains |= is_no_way_for_trains(err);
                        }
                        count = prepare_all(s, &o, d, n, single);
                        i = 0;
                }
        }
        for (unsigned k = i < count ? o.first[i] : n; k < n && !s->closing; k++)
                keep(s, d[k]);
}

static void flush_sock(struct sock *s)
{
        const struct out *d[BATCH];
        struct worker *w = s->w;
        unsigned n = 0;
        bl_list_remove(&s->dirty);
        for (int i = s->first; i >= 0; i = w->out[i].next)
                d[n++] = &w->out[i];
        s->first = s->last = -1;
        if (n > 1 && s->listens && !s->no_trains)
                by_flow(d, n);
        if (n)
                send_all(s, d, n);
        for (unsigned i = 0; i < n; i++)
                bl_buf_unref(w->env.pool, d[i]->buf);
}

static void flush(struct worker *w)
{
        while (!bl_list_empty(&w->dirty_udp))
                flush_sock(BL_CONTAINER(w->dirty_udp.next, struct sock, dirty));
        w->n_out = 0;
}

static int send_datagram(struct worker *w, struct flow *f, struct bl_buf *buf)
{
        struct sock *s = f->sock;
        struct out d = {.buf = buf, .flow = bl_handle_id(w, f), .next = -1};
        if (s->listens) {
                d.to = f->remote;
                if (s->wildcard)
                        d.from = f->local;
        }
        if (s->blocked) {
                if (s->queued + buf->len > BL_WORLD_QUEUE_MAX) {
                        f->want_writable = true;
                        s->want_writable = true;
                        return BL_EFULL;
                }
                keep(s, &d);
                return 0;
        }
        if (w->n_out == BATCH)
                flush(w);
        if (f->state != FLOW_UP) /* the flush found it gone */
                return BL_EGONE;
        if (s->blocked) {
                keep(s, &d);
                return 0;
        }
        bl_buf_ref(buf);
        int16_t i = (int16_t)w->n_out++;
        w->out[i] = d;
        if (s->last >= 0)
                w->out[s->last].next = i;
        else
                s->first = i;
        s->last = i;
        if (!bl_link_linked(&s->dirty))
                bl_list_push_back(&w->dirty_udp, &s->dirty);
        return 0;
}

static void tell_room(struct bl_hnode *n, void *arg)
{
        struct flow *f = BL_CONTAINER(n, struct flow, by_addr);
        struct sock *s = arg;
        if (f->sock == s && f->want_writable) {
                f->want_writable = false;
                bl_handle_later(s->w, f, LATER_WRITABLE);
        }
}

/* The kernel has room: what was kept goes out first. */
static void write_kept(struct sock *s)
{
        while (s->queue && !s->closing) {
                struct seg *seg = s->queue;
                struct out one = {.buf = seg->buf, .to = seg->to, .from = seg->from, .flow = seg->flow};
                struct outgoing o;
                prepare_out(s, &o, 0, (const struct out *[]){&one}, 0, 1);
                if (sendmsg(s->fd, &o.msg[0].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                        int err = errno;
                        if (err == EAGAIN)
                                return;
                        if (err == EINTR || (drain_errors(s) && ++s->tries < SEND_TRIES))
                                continue;
                        send_failed(s, &one, err);
                        if (s->closing)
                                return;
                } else {
                        bl_count(s->w->sent_total);
                }
                s->tries = 0;
                bl_sock_pop(s);
        }
        s->blocked = false;
        bl_sock_poll(s, UV_READABLE);
        if (!s->want_writable)
                return;
        s->want_writable = false;
        if (s->listens)
                bl_htab_each(&s->w->by_addr, tell_room, s);
        else if (s->flow)
                tell_room(&s->flow->by_addr, s);
}

/* ---- events ---- */

static void event(struct sock *s, int events, bool failed)
{
        struct worker *w = s->w;
        bl_worker_enter(w);
        if (s->flow && s->flow->state == FLOW_OPENING)
                return; /* its `up` is not told yet; what came waits for it */
        if (failed) {   /* the error queue has something, and nothing is polled for any more */
                drain_errors(s);
                bl_sock_poll(s, UV_READABLE | (s->blocked ? UV_WRITABLE : 0));
                events = UV_READABLE;
        }
        struct bl_udp_in *in = (events & UV_READABLE) ? in_of(w) : NULL;
        for (int round = 0; in && round < RECV_ROUNDS && !s->closing; round++) {
                if (!read_batch(s, in))
                        break;
        }
        if ((events & UV_WRITABLE) && !s->closing)
                write_kept(s);
}

/* ---- opened flows ---- */

/* Binds to the listener's address with any port, and connects: then only that peer's datagrams and errors come here. */
static int connect_to(struct worker *w, int fd, const struct bl_target *t)
{
        struct sockaddr_storage sa;
        socklen_t len;
        int rc = options(fd, t->to.family == 6, false);
        if (rc < 0)
                return rc;
        struct bl_addr local = bl_sock_source(w, t->listener);
        if (local.family == t->to.family) {
                len = bl_sockaddr_from(&local, &sa);
                if (bind(fd, (struct sockaddr *)&sa, len) < 0)
                        return -errno;
        }
        len = bl_sockaddr_from(&t->to, &sa);
        return connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

static int open_flow(struct worker *w, struct flow *f, const struct bl_target *t)
{
        if ((t->to.family != 4 && t->to.family != 6) || t->to.port == 0)
                return BL_EINVAL;
        int fd = socket(t->to.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        int rc = connect_to(w, fd, t);
        if (rc == 0)
                rc = bl_sockaddr_local(fd, &f->local);
        if (rc == 0 && bl_addr_eq(&f->local, &f->remote)) /* the kernel gave us the very port that we send to */
                rc = -ECONNREFUSED;
        if (rc < 0) {
                close(fd);
                return rc;
        }
        struct sock *s = bl_sock_new(w, fd, BL_UDP, false);
        if (!s)
                return BL_ENOMEM;
        s->flow = f;
        s->v6 = t->to.family == 6;
        rc = bl_sock_poll(s, UV_READABLE);
        if (rc < 0) {
                bl_sock_close(s);
                return rc;
        }
        f->sock = s;
        bl_handle_later(w, f, LATER_UP);
        return 0;
}

static void leave(struct sock *s, struct flow *f, bool linger)
{
        (void)linger;
        if (s->listens) {
                bl_htab_remove(&s->w->by_addr, &f->by_addr);
                return;
        }
        s->flow = NULL;
        if (s->first >= 0) /* what was sent before the close still goes out */
                flush_sock(s);
        bl_sock_close(s);
}

/* ---- the carrier ---- */

static void init(struct worker *w)
{
        bl_list_init(&w->dirty_udp);
}

static void fini(struct worker *w)
{
        free(w->in);
        w->in = NULL;
}

const struct carrier bl_udp_carrier = {
        .type = SOCK_DGRAM,
        .init = init,
        .fini = fini,
        .options = options,
        .open = open_flow,
        .send = send_datagram,
        .flush = flush,
        /* Datagrams of a paused peer would only pile up before those of all others. */
        .pause = NULL,
        .drain = NULL,
        .leave = leave,
        .arrive = event,
        .event = event,
};
