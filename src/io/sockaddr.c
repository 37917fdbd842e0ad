#include "io/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

socklen_t bl_sockaddr_from(const struct bl_addr *a, struct sockaddr_storage *ret)
{
        if (a->family == 4) {
                struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(a->port)};
                memcpy(&sin.sin_addr, a->ip, 4);
                memcpy(ret, &sin, sizeof(sin));
                return sizeof(sin);
        }
        if (a->family == 6) {
                struct sockaddr_in6 sin6 = {
                        .sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->scope};
                memcpy(&sin6.sin6_addr, a->ip, 16);
                memcpy(ret, &sin6, sizeof(sin6));
                return sizeof(sin6);
        }
        return 0;
}

int bl_sockaddr_to(const struct sockaddr_storage *sa, struct bl_addr *ret)
{
        struct bl_addr a = {0};
        if (sa->ss_family == AF_INET) {
                struct sockaddr_in sin;
                memcpy(&sin, sa, sizeof(sin));
                a.family = 4;
                a.port = ntohs(sin.sin_port);
                memcpy(a.ip, &sin.sin_addr, 4);
        } else if (sa->ss_family == AF_INET6) {
                struct sockaddr_in6 sin6;
                memcpy(&sin6, sa, sizeof(sin6));
                a.family = 6;
                a.port = ntohs(sin6.sin6_port);
                a.scope = sin6.sin6_scope_id;
                memcpy(a.ip, &sin6.sin6_addr, 16);
        } else {
                return BL_EINVAL;
        }
        *ret = a;
        return 0;
}

int bl_sockaddr_local(int fd, struct bl_addr *ret)
{
        struct sockaddr_storage sa = {0};
        socklen_t len = sizeof(sa);
        return getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ? -errno : bl_sockaddr_to(&sa, ret);
}

int bl_sockaddr_remote(int fd, struct bl_addr *ret)
{
        struct sockaddr_storage sa = {0};
        socklen_t len = sizeof(sa);
        return getpeername(fd, (struct sockaddr *)&sa, &len) < 0 ? -errno : bl_sockaddr_to(&sa, ret);
}

bool bl_sockaddr_is_any(const struct bl_addr *a)
{
        static const uint8_t zero[16];
        return memcmp(a->ip, zero, sizeof(zero)) == 0;
}
