#include "io/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/hash.h"

struct stream { /* one direction of a TCP connection */
        struct bl_hnode node;
        struct bl_addr from, to;
        uint32_t next; /* sequence number of the octet we wait for */
};
struct bl_capture {
        uv_poll_t poll;
        struct bl_world *world;
        int fd;
        uint16_t low, high;
        void (*seen)(void *arg, const struct bl_captured *);
        void *arg;
        struct bl_htab streams;
        uint64_t dropped, gaps;
        char packet[70000];
};

static uint64_t stream_key(const struct bl_addr *from, const struct bl_addr *to)
{
        return bl_hash_mix(bl_addr_hash(1, from), bl_addr_hash(2, to));
}

static struct stream *stream_find(struct bl_capture *c, const struct bl_addr *from, const struct bl_addr *to)
{
        for (struct bl_hnode *n = bl_htab_first(&c->streams, stream_key(from, to)); n; n = bl_htab_next(n)) {
                struct stream *s = BL_CONTAINER(n, struct stream, node);
                if (bl_addr_eq(&s->from, from) && bl_addr_eq(&s->to, to))
                        return s;
        }
        return NULL;
}

static struct stream *stream_new(struct bl_capture *c, const struct bl_addr *from, const struct bl_addr *to)
{
        struct stream *s = calloc(1, sizeof *s);
        if (!s)
                return NULL;
        s->from = *from;
        s->to = *to;
        if (bl_htab_insert(&c->streams, &s->node, stream_key(from, to)) < 0) {
                free(s);
                return NULL;
        }
        return s;
}

static void on_tcp(struct bl_capture *c, struct bl_captured *ev, const struct tcphdr *t, const char *data, size_t n)
{
        uint32_t seq = ntohl(t->seq);
        struct stream *s = stream_find(c, &ev->from, &ev->to);
        if (t->syn) {
                if (!s)
                        s = stream_new(c, &ev->from, &ev->to);
                if (s)
                        s->next = seq + 1;
                ev->opened = true;
                c->seen(c->arg, ev);
                return;
        }
        if (n && !s) { /* began before we did */
                s = stream_new(c, &ev->from, &ev->to);
                if (s)
                        s->next = seq;
        }
        if (n && s) {
                int32_t old = (int32_t)(s->next - seq); /* octets of it that we have had */
                if (old < 0) {
                        c->gaps++; /* the kernel's loopback keeps order; this would be a packet that we were not given
                                    */
                        old = 0;
                }
                if ((size_t)old < n) {
                        ev->octets = bl_str_make(data + old, n - (size_t)old);
                        s->next = seq + (uint32_t)n;
                        c->seen(c->arg, ev);
                        ev->octets = (struct bl_str){NULL, 0};
                }
        }
        if (t->fin || t->rst) {
                ev->reset = true;
                c->seen(c->arg, ev);
                if (s) {
                        bl_htab_remove(&c->streams, &s->node);
                        free(s);
                }
        }
}

static void on_transport(struct bl_capture *c, struct bl_captured *ev, int proto, const char *p, size_t n)
{
        if (proto == IPPROTO_UDP && n >= sizeof(struct udphdr)) {
                struct udphdr u;
                memcpy(&u, p, sizeof u);
                ev->tp = BL_UDP;
                ev->from.port = ntohs(u.source);
                ev->to.port = ntohs(u.dest);
                size_t len = ntohs(u.len);
                if (len < sizeof u || len > n)
                        len = n;
                ev->octets = bl_str_make(p + sizeof u, len - sizeof u);
        } else if (proto == IPPROTO_TCP && n >= sizeof(struct tcphdr)) {
                struct tcphdr t;
                memcpy(&t, p, sizeof t);
                ev->tp = BL_TCP;
                ev->from.port = ntohs(t.source);
                ev->to.port = ntohs(t.dest);
        } else
                return;
        bool ours = (ev->from.port >= c->low && ev->from.port <= c->high) ||
                    (ev->to.port >= c->low && ev->to.port <= c->high);
        if (!ours)
                return;
        if (ev->tp == BL_UDP) {
                c->seen(c->arg, ev);
                return;
        }
        struct tcphdr t;
        memcpy(&t, p, sizeof t);
        size_t head = (size_t)t.doff * 4;
        if (head >= sizeof t && head <= n)
                on_tcp(c, ev, &t, p + head, n - head);
}

static void on_packet(struct bl_capture *c, const char *p, size_t n)
{
        struct bl_captured ev = {.at = bl_world_env(c->world, 0)->now};
        if (n >= sizeof(struct iphdr) && ((uint8_t)p[0] >> 4) == 4) {
                struct iphdr ip;
                memcpy(&ip, p, sizeof ip);
                size_t head = (size_t)ip.ihl * 4, total = ntohs(ip.tot_len);
                if (head < sizeof ip || total < head || (ntohs(ip.frag_off) & 0x3fff))
                        return;
                ev.from.family = ev.to.family = 4;
                memcpy(ev.from.ip, &ip.saddr, 4);
                memcpy(ev.to.ip, &ip.daddr, 4);
                on_transport(c, &ev, ip.protocol, p + head, (total < n ? total : n) - head);
        } else if (n >= sizeof(struct ip6_hdr) && ((uint8_t)p[0] >> 4) == 6) {
                struct ip6_hdr ip;
                memcpy(&ip, p, sizeof ip);
                ev.from.family = ev.to.family = 6;
                memcpy(ev.from.ip, &ip.ip6_src, 16);
                memcpy(ev.to.ip, &ip.ip6_dst, 16);
                on_transport(c, &ev, ip.ip6_nxt, p + sizeof ip, n - sizeof ip);
        }
}

static void on_poll(uv_poll_t *h, int status, int events)
{
        (void)status;
        (void)events;
        struct bl_capture *c = h->data;
        bl_world_enter(bl_world_env(c->world, 0));
        for (int i = 0; i < 256; i++) {
                struct sockaddr_ll from = {0};
                socklen_t len = sizeof from;
                ssize_t n = recvfrom(c->fd, c->packet, sizeof c->packet, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
                if (n < 0)
                        return;
                if (from.sll_pkttype != PACKET_OUTGOING) /* lo shows each packet twice */
                        on_packet(c, c->packet, (size_t)n);
        }
}

int bl_capture_open(struct bl_world *w, uint16_t low, uint16_t high,
                    void (*seen)(void *arg, const struct bl_captured *), void *arg, struct bl_capture **ret_capture)
{
        int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
        if (fd < 0)
                return -errno;
        int room = 64 << 20;
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        struct sockaddr_ll at = {
                .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("lo")};
        struct bl_capture *c = NULL;
        int rc = bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ? -errno : 0;
        if (rc == 0 && !(c = calloc(1, sizeof *c)))
                rc = -ENOMEM;
        if (rc == 0)
                rc = uv_poll_init(bl_world_loop(w, 0), &c->poll, fd);
        if (rc < 0 || !c) {
                free(c);
                close(fd);
                return rc;
        }
        c->world = w;
        c->fd = fd;
        c->low = low;
        c->high = high;
        c->seen = seen;
        c->arg = arg;
        c->poll.data = c;
        uv_poll_start(&c->poll, UV_READABLE, on_poll);
        *ret_capture = c;
        return 0;
}

uint64_t bl_capture_dropped(struct bl_capture *c)
{
        struct tpacket_stats st;
        socklen_t len = sizeof st;
        if (getsockopt(c->fd, SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0)
                c->dropped += st.tp_drops; /* the kernel's counter starts anew at each look */
        return c->dropped + c->gaps;
}

static void drop_stream(struct bl_hnode *n, void *arg)
{
        (void)arg;
        free(BL_CONTAINER(n, struct stream, node));
}

static void freed(uv_handle_t *h)
{
        struct bl_capture *c = h->data;
        bl_htab_each(&c->streams, drop_stream, NULL);
        bl_htab_fini(&c->streams);
        close(c->fd);
        free(c);
}

void bl_capture_close(struct bl_capture *c)
{
        if (c)
                uv_close((uv_handle_t *)&c->poll, freed);
}

static int write_file(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = write(fd, text, strlen(text));
        int rc = n < 0 ? -errno : 0;
        close(fd);
        return rc;
}

int bl_capture_namespace(void)
{
        char map[64];
        uid_t uid = getuid();
        gid_t gid = getgid();
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
                return -errno;
        (void)write_file("/proc/self/setgroups", "deny");
        (void)snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
        int rc = write_file("/proc/self/uid_map", map);
        (void)snprintf(map, sizeof map, "0 %u 1", (unsigned)gid);
        if (rc == 0)
                rc = write_file("/proc/self/gid_map", map);
        int fd = rc == 0 ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
        if (fd < 0)
                return rc < 0 ? rc : -errno;
        struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
        if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
                rc = -errno;
        close(fd);
        return rc;
}
