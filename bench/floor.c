/*
 * The floor: a bare UDP forwarder on recvmmsg and sendmmsg that looks at nothing. What the kernel costs, and what all
 * figures are ratios to.
 *
 *      bench/floor echo LISTEN:PORT             every datagram goes back to its sender
 *      bench/floor relay LISTEN:PORT A B        what comes from port A goes to port B of 127.0.0.1, and the other way
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { BATCH = 32, SIZE = 4096 };

static char octets[BATCH][SIZE];
static struct sockaddr_in from[BATCH];
static struct iovec iov[BATCH];
static struct mmsghdr in[BATCH];

int main(int argc, char **argv)
{
        if (argc < 3) {
                fputs("usage: floor echo|relay ADDRESS:PORT [A B]\n", stderr);
                return 2;
        }
        bool relay = strcmp(argv[1], "relay") == 0;
        struct sockaddr_in at = {.sin_family = AF_INET};
        char *colon = strchr(argv[2], ':');
        if (!colon || (relay && argc < 5))
                return 2;
        *colon = 0;
        at.sin_port = htons((uint16_t)atoi(colon + 1));
        inet_pton(AF_INET, argv[2], &at.sin_addr);
        uint16_t a = relay ? htons((uint16_t)atoi(argv[3])) : 0, b = relay ? htons((uint16_t)atoi(argv[4])) : 0;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = 8 << 20, ep = epoll_create1(0);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        struct epoll_event ev = {.events = EPOLLIN};
        if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
                perror("floor");
                return 1;
        }
        for (;;) {
                epoll_wait(ep, &ev, 1, -1);
                for (;;) {
                        for (unsigned i = 0; i < BATCH; i++) {
                                iov[i] = (struct iovec){octets[i], SIZE};
                                in[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                                                .msg_namelen = sizeof from[i],
                                                                .msg_iov = &iov[i],
                                                                .msg_iovlen = 1};
                        }
                        int n = recvmmsg(fd, in, BATCH, 0, NULL);
                        if (n <= 0)
                                break;
                        for (int i = 0; i < n; i++) {
                                iov[i].iov_len = in[i].msg_len;
                                if (relay)
                                        from[i].sin_port = from[i].sin_port == a ? b : a;
                        }
                        (void)sendmmsg(fd, in, (unsigned)n, 0);
                }
        }
}
