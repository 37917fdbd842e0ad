#include "io/admin_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/sockaddr.h"

enum { BACKLOG = 16 };

static bool somebody_serves(const struct sockaddr_un *un)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0;
        if (fd >= 0)
                close(fd);
        return yes;
}

static int listen_on(int fd, const struct sockaddr *sa, socklen_t n)
{
        if (bind(fd, sa, n) == 0 && listen(fd, BACKLOG) == 0)
                return 0;
        return -errno;
}

int bl_admin_listen_unix(const char *path, struct bl_sb *err, int *ret_fd)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        struct stat st;
        if (strlen(path) >= sizeof(un.sun_path)) {
                bl_sb_fmt(err, "%s: a socket's path has at most %zu characters; choose a shorter one", path,
                          sizeof(un.sun_path) - 1);
                return BL_ELIMIT;
        }
        memcpy(un.sun_path, path, strlen(path));
        if (lstat(path, &st) == 0) {
                if (!S_ISSOCK(st.st_mode) || somebody_serves(&un)) {
                        bl_sb_fmt(err, "%s: %s; choose another path", path,
                                  S_ISSOCK(st.st_mode) ? "another program serves this socket"
                                                       : "there is a file already that is no socket");
                        return -EADDRINUSE;
                }
                (void)unlink(path);
        }
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        mode_t old = umask(0117); /* from its first moment on; before any other thread runs */
        int rc = fd < 0 ? -errno : listen_on(fd, (const struct sockaddr *)&un, sizeof(un));
        (void)umask(old);
        if (rc == 0) {
                *ret_fd = fd;
                return 0;
        }
        bl_sb_fmt(err, "%s: cannot listen: %s%s", path, bl_err_text(rc),
                  rc == -ENOENT ? "; make the folder" : "; choose another path");
        if (fd >= 0)
                close(fd);
        return rc;
}

int bl_admin_listen_tcp(const struct bl_addr *at, struct bl_sb *err, int *ret_fd)
{
        struct sockaddr_storage sa;
        socklen_t n = bl_sockaddr_from(at, &sa);
        int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
        if (fd >= 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        int rc = fd < 0 ? -errno : listen_on(fd, (const struct sockaddr *)&sa, n);
        if (rc == 0) {
                *ret_fd = fd;
                return 0;
        }
        bl_sb_addz(err, "cannot listen on ");
        bl_addr_put(err, at);
        bl_sb_fmt(err, ": %s; choose another address or port", bl_err_text(rc));
        if (fd >= 0)
                close(fd);
        return rc;
}
