#include "io/dhcp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum {
        INTERFACES = 32,
        FILES = 64,           /* looked at per directory */
        LEASES_MAX = 1 << 20, /* octets of one; dhclient writes it anew now and then */
        FIRST_MS = 1000,      /* a question is repeated after this, then after twice as much … */
        TIMEOUT_MS = 6000,
};

struct link { /* an interface */
        char name[IF_NAMESIZE];
        unsigned index;
        struct bl_dhcp_ask ask;
        struct sockaddr_in own4;  /* family 0: no address */
        struct sockaddr_in6 own6; /* link-local, likewise */
};

struct socket { /* freed when the loop has let go of its handle */
        uv_poll_t poll;
        int fd;
        bool v6, answered; /* answered: with nothing for us */
        const struct link *link;
        struct bl_dhcp_find *find;
};

struct bl_dhcp_find {
        struct bl_world *world;
        struct env *env;
        void (*done)(void *arg, const struct bl_dhcp_sip *list, struct bl_str text);
        void *arg;
        struct link link[INTERFACES];
        unsigned n_links;
        struct socket *socket[2 * INTERFACES];
        unsigned n_sockets;
        struct bl_timer timer; /* repeats the questions; tells what was found in a lease */
        bl_us until;
        uint32_t wait_ms;
        bool found;
        struct bl_dhcp_sip list;
        char text[300];
        struct bl_sb say; /* over text */
};

/* ---- the end ---- */

static void tell(struct bl_dhcp_find *f)
{
        void (*done)(void *arg, const struct bl_dhcp_sip *list, struct bl_str text) = f->done;
        void *arg = f->arg;
        struct bl_dhcp_sip list = f->list;
        char text[sizeof f->text];
        size_t n = f->say.n;
        bool found = f->found;
        memcpy(text, f->text, n);
        bl_dhcp_cancel(f);
        done(arg, found ? &list : NULL, bl_str_make(text, n));
}

static void reason(struct bl_dhcp_find *f, const char *what, const char *on, const char *why)
{
        if (f->say.n == 0)
                bl_sb_fmt(&f->say, "%s%s%s%s%s", what, on ? " on " : "", on ? on : "", why ? ": " : "", why ? why : "");
}

/* ---- interfaces ---- */

static struct link *link_named(struct bl_dhcp_find *f, const char *name)
{
        for (unsigned i = 0; i < f->n_links; i++)
                if (strcmp(f->link[i].name, name) == 0)
                        return &f->link[i];
        if (f->n_links == INTERFACES || strlen(name) >= IF_NAMESIZE)
                return NULL;
        struct link *l = &f->link[f->n_links++];
        memcpy(l->name, name, strlen(name) + 1);
        l->index = if_nametoindex(name);
        return l;
}

static void take_address(struct link *l, const struct sockaddr *sa)
{
        struct sockaddr_ll ll;
        if (sa->sa_family == AF_PACKET) {
                memcpy(&ll, sa, sizeof ll);
                l->ask.hw_type = (uint8_t)ll.sll_hatype;
                l->ask.hw_len = ll.sll_halen <= 8 ? ll.sll_halen : 8;
                memcpy(l->ask.hw, ll.sll_addr, l->ask.hw_len);
        } else if (sa->sa_family == AF_INET && l->own4.sin_family == 0) {
                memcpy(&l->own4, sa, sizeof l->own4);
                l->ask.own.family = 4;
                memcpy(l->ask.own.ip, &l->own4.sin_addr, 4);
        } else if (sa->sa_family == AF_INET6) {
                struct sockaddr_in6 in6;
                memcpy(&in6, sa, sizeof in6);
                if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
                        l->own6 = in6;
        }
}

static void find_links(struct bl_dhcp_find *f, struct bl_str only)
{
        struct ifaddrs *all;
        if (getifaddrs(&all) < 0) {
                reason(f, "the interfaces cannot be listed", NULL, bl_err_text(-errno));
                return;
        }
        for (struct ifaddrs *a = all; a; a = a->ifa_next) {
                bool wanted = only.n ? bl_str_eq(only, bl_str_z(a->ifa_name)) : !(a->ifa_flags & IFF_LOOPBACK);
                struct link *l = wanted && (a->ifa_flags & IFF_UP) ? link_named(f, a->ifa_name) : NULL;
                if (l && a->ifa_addr)
                        take_address(l, a->ifa_addr);
        }
        freeifaddrs(all);
        if (f->n_links == 0 && only.n)
                bl_sb_fmt(&f->say, "there is no interface %.*s, or it is down", BL_STR_ARG(only));
        else if (f->n_links == 0)
                reason(f, "no interface is up", NULL, NULL);
}

/* ---- leases ---- */

static struct bl_str read_file(const char *path, char **ret_mem)
{
        struct bl_str text = {NULL, 0};
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        char *mem = fd >= 0 ? malloc(LEASES_MAX) : NULL;
        while (mem && text.n < LEASES_MAX) {
                ssize_t n = read(fd, mem + text.n, LEASES_MAX - text.n);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                text.n += (size_t)n;
        }
        if (fd >= 0)
                close(fd);
        text.p = *ret_mem = mem;
        return text;
}

static bool path_of(char *path, size_t size, const char *dir, const char *name)
{
        struct bl_sb b = {path, 0, size - 1, false};
        bl_sb_addz(&b, dir);
        bl_sb_addc(&b, '/');
        bl_sb_addz(&b, name);
        path[b.n] = '\0';
        return !b.over;
}

/* Appends, as there may be one of each family. */
static void found(struct bl_dhcp_find *f, const struct bl_dhcp_sip *list, const char *path)
{
        if (!f->found) {
                f->say.n = 0;
                bl_sb_fmt(&f->say, "the lease %s", path);
        }
        f->found = true;
        for (unsigned i = 0; i < list->n && f->list.n < BL_DHCP_SERVERS; i++)
                f->list.at[f->list.n++] = list->at[i];
}

static void networkd_leases(struct bl_dhcp_find *f, const struct link *l)
{
        static const char *const dirs[] = {"/run/systemd/netif/leases", "/run/systemd/netif/links"};
        for (unsigned i = 0; i < BL_ARRAY_LEN(dirs) && !f->found; i++) {
                char name[16], path[64], *mem;
                struct bl_sb b = {name, 0, sizeof name - 1, false};
                struct bl_dhcp_sip list;
                bl_sb_addu(&b, l->index);
                name[b.n] = '\0';
                if (!path_of(path, sizeof path, dirs[i], name))
                        continue;
                if (bl_dhcp_lease_networkd(read_file(path, &mem), &list) == 0)
                        found(f, &list, path);
                free(mem);
        }
}

static void dhclient_lease(struct bl_dhcp_find *f, const char *path)
{
        char *mem;
        struct bl_str text = read_file(path, &mem);
        for (unsigned i = 0; i < f->n_links; i++) {
                struct bl_dhcp_sip list;
                if (bl_dhcp_lease_dhclient(text, bl_str_z(f->link[i].name), f->env->wall, &list) == 0)
                        found(f, &list, path);
        }
        free(mem);
}

static void dhclient_leases(struct bl_dhcp_find *f)
{
        static const char *const dirs[] = {"/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/NetworkManager"};
        for (unsigned i = 0; i < BL_ARRAY_LEN(dirs); i++) {
                DIR *d = opendir(dirs[i]);
                struct dirent *e;
                char path[512];
                for (unsigned n = 0; d && n < FILES && (e = readdir(d)); n++)
                        if (bl_str_starts(bl_str_z(e->d_name), BL_STR("dhclient")) &&
                            path_of(path, sizeof path, dirs[i], e->d_name))
                                dhclient_lease(f, path);
                if (d)
                        closedir(d);
        }
}

/* ---- asking ---- */

static void on_readable(uv_poll_t *h, int status, int events);

static void freed(uv_handle_t *h)
{
        free(h->data);
}

static void socket_close(struct socket *s)
{
        uv_poll_stop(&s->poll);
        close(s->fd);
        uv_close((uv_handle_t *)&s->poll, freed);
}

static int bind_to(int fd, const struct link *l, bool v6)
{
        int on = 1;
        struct sockaddr_in in4 = l->own4;
        struct sockaddr_in6 in6 = l->own6;
        in4.sin_port = htons(68);
        in6.sin6_port = htons(546);
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 || /* beside the host's own client */
            setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, l->name, (socklen_t)strlen(l->name) + 1) < 0)
                return -errno;
        if (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
                return -errno;
        return bind(fd, v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4, v6 ? sizeof in6 : sizeof in4) < 0
                       ? -errno
                       : 0;
}

static int socket_open(struct bl_dhcp_find *f, const struct link *l, bool v6)
{
        struct socket *s = calloc(1, sizeof *s);
        int rc = s ? 0 : BL_ENOMEM;
        int fd = rc == 0 ? socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
        if (rc == 0 && fd < 0)
                rc = -errno;
        if (rc == 0)
                rc = bind_to(fd, l, v6);
        if (rc == 0)
                rc = uv_poll_init(bl_world_loop(f->world, 0), &s->poll, fd);
        if (rc < 0) {
                if (fd >= 0)
                        close(fd);
                free(s);
                return rc;
        }
        s->poll.data = s;
        s->fd = fd;
        s->v6 = v6;
        s->link = l;
        s->find = f;
        f->socket[f->n_sockets++] = s;
        return uv_poll_start(&s->poll, UV_READABLE, on_readable);
}

static void ask(const struct socket *s)
{
        char out[BL_DHCP_PACKET];
        struct bl_sb b = BL_SB(out);
        struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = INADDR_BROADCAST};
        struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(547), .sin6_scope_id = s->link->index};
        static const uint8_t servers[16] = {0xff, 2, [13] = 1, [15] = 2}; /* RFC 8415 section 7.1 */
        memcpy(&to6.sin6_addr, servers, sizeof servers);
        if (s->v6)
                bl_dhcp_put_inform6(&s->link->ask, &b);
        else
                bl_dhcp_put_inform(&s->link->ask, &b);
        /* Lost like any datagram when it cannot be sent: it is repeated. */
        (void)sendto(s->fd, b.p, b.n, 0, s->v6 ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4,
                     s->v6 ? sizeof to6 : sizeof to4);
}

static bool all_answered(const struct bl_dhcp_find *f)
{
        for (unsigned i = 0; i < f->n_sockets; i++)
                if (!f->socket[i]->answered)
                        return false;
        return true;
}

static void take(struct socket *s, struct bl_str packet)
{
        struct bl_dhcp_find *f = s->find;
        int rc = s->v6 ? bl_dhcp_take_reply6(packet, &s->link->ask, &f->list)
                       : bl_dhcp_take_ack(packet, &s->link->ask, &f->list);
        if (rc == 0) {
                f->found = true;
                f->say.n = 0;
                bl_sb_fmt(&f->say, "%s on %s", s->v6 ? "DHCPv6" : "DHCP", s->link->name);
                tell(f);
                return;
        }
        if (rc != BL_ENOENT) /* another's answer, or nonsense: the right one may follow */
                return;
        s->answered = true;
        if (!all_answered(f))
                return;
        f->say.n = 0;
        reason(f, "the DHCP server names no SIP server", s->link->name, NULL);
        tell(f);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
        struct socket *s = h->data;
        char in[BL_DHCP_PACKET * 2];
        (void)status;
        (void)events;
        bl_world_enter(s->find->env);
        ssize_t n = recv(s->fd, in, sizeof in, 0);
        if (n > 0)
                take(s, bl_str_make(in, (size_t)n));
}

static void on_timer(struct bl_timer *t)
{
        struct bl_dhcp_find *f = BL_CONTAINER(t, struct bl_dhcp_find, timer);
        if (f->found || f->n_sockets == 0 || f->env->now >= f->until) {
                reason(f, "no DHCP server answered", f->n_links == 1 ? f->link[0].name : NULL, NULL);
                tell(f);
                return;
        }
        for (unsigned i = 0; i < f->n_sockets; i++)
                if (!f->socket[i]->answered)
                        ask(f->socket[i]);
        bl_us next = f->env->now + BL_MS(f->wait_ms);
        f->wait_ms *= 2;
        env_arm(f->env, &f->timer, next < f->until ? next : f->until);
}

static void open_all(struct bl_dhcp_find *f)
{
        for (unsigned i = 0; i < f->n_links; i++) {
                struct link *l = &f->link[i];
                int rc4 = 0, rc6 = 0;
                f->env->ops->random(f->env, l->ask.xid, sizeof l->ask.xid);
                if (l->own4.sin_family)
                        rc4 = socket_open(f, l, false);
                if (l->own6.sin6_family)
                        rc6 = socket_open(f, l, true);
                int rc = rc4 < 0 ? rc4 : rc6;
                if (rc == -EACCES || rc == -EPERM)
                        reason(f, "may not use the ports of DHCP", l->name,
                               "run as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW");
                else if (rc < 0)
                        reason(f, "cannot ask by DHCP", l->name, bl_err_text(rc));
                else if (!l->own4.sin_family && !l->own6.sin6_family)
                        reason(f, "no address to ask from", l->name, NULL);
        }
        if (f->n_sockets)
                f->say.n = 0; /* some are asked */
}

/* ---- the whole ---- */

int bl_dhcp_find(struct bl_world *w, const struct bl_dhcp_conf *conf,
                 void (*done)(void *arg, const struct bl_dhcp_sip *list, struct bl_str text), void *arg,
                 struct bl_dhcp_find **ret_find)
{
        struct bl_dhcp_find *f = calloc(1, sizeof *f);
        if (!f)
                return BL_ENOMEM;
        f->world = w;
        f->env = bl_world_env(w, 0);
        f->done = done;
        f->arg = arg;
        f->say = (struct bl_sb)BL_SB(f->text);
        f->timer.fire = on_timer;
        f->wait_ms = FIRST_MS;
        bl_world_enter(f->env);
        f->until = f->env->now + BL_MS(conf->timeout_ms ? conf->timeout_ms : TIMEOUT_MS);
        find_links(f, conf->interface);
        for (unsigned i = 0; i < f->n_links; i++)
                networkd_leases(f, &f->link[i]);
        if (!f->found && f->n_links)
                dhclient_leases(f);
        if (!f->found && conf->leases_only)
                reason(f, "no lease of this host names a SIP server", NULL, NULL);
        else if (!f->found)
                open_all(f);
        env_arm(f->env, &f->timer, f->env->now);
        *ret_find = f;
        return 0;
}

void bl_dhcp_cancel(struct bl_dhcp_find *f)
{
        if (!f)
                return;
        env_disarm(f->env, &f->timer);
        for (unsigned i = 0; i < f->n_sockets; i++)
                socket_close(f->socket[i]);
        free(f);
}
