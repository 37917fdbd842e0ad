#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, char *to, size_t max, size_t *ret_n)
{
        size_t n = 0;
        while (n <= max) {
                ssize_t got = read(fd, to + n, max + 1 - n);
                if (got == 0) {
                        *ret_n = n;
                        return 0;
                }
                if (got > 0)
                        n += (size_t)got;
                else if (errno != EINTR)
                        return -errno;
        }
        return BL_ELIMIT;
}

static int read_open(int fd, size_t max, struct bl_str *ret_text)
{
        struct stat st;
        size_t n = 0;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
                return BL_ELIMIT;
        size_t room = S_ISREG(st.st_mode) ? (size_t)st.st_size : max; /* else a pipe, whose size nobody knows */
        char *text = malloc(room + 2);
        int rc = text ? read_all(fd, text, room, &n) : -ENOMEM;
        if (rc < 0) {
                free(text);
                return rc;
        }
        text[n] = '\0';
        *ret_text = bl_str_make(text, n);
        return 0;
}

int bl_file_read(const char *path, const char *what, const char *hint, size_t max, struct bl_sb *err,
                 struct bl_str *ret_text)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        int rc = fd < 0 ? -errno : read_open(fd, max, ret_text);
        if (fd >= 0)
                close(fd);
        if (rc == BL_ELIMIT)
                bl_sb_fmt(err, "%s (%s): is larger than %zu octets; is it the right file?", path, what, max);
        else if (rc == -ENOENT)
                bl_sb_fmt(err, "%s (%s): there is no such file; %s", path, what, hint);
        else if (rc == -EACCES)
                bl_sb_fmt(err, "%s (%s): may not be read by this user; change its owner or mode", path, what);
        else if (rc < 0)
                bl_sb_fmt(err, "%s (%s): %s", path, what, bl_err_text(rc));
        return rc;
}

void bl_file_free(struct bl_str text)
{
        if (!text.p)
                return;
        explicit_bzero((char *)text.p, text.n); /* allocated by bl_file_read */
        free((char *)text.p);
}

static int write_all(int fd, struct bl_str text)
{
        while (text.n) {
                ssize_t n = write(fd, text.p, text.n);
                if (n >= 0)
                        text = bl_str_from(text, (size_t)n);
                else if (errno != EINTR)
                        return -errno;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

int bl_file_replace(const char *path, struct bl_str text)
{
        char name[4096];
        if ((size_t)snprintf(name, sizeof(name), "%s.new", path) >= sizeof(name))
                return -ENAMETOOLONG;
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int rc = write_all(fd, text);
        if (close(fd) < 0 && rc == 0)
                rc = -errno;
        if (rc == 0 && rename(name, path) < 0)
                rc = -errno;
        if (rc < 0)
                (void)unlink(name);
        return rc;
}

bool bl_file_is_open_to_others(const char *path)
{
        struct stat st;
        return stat(path, &st) == 0 && (st.st_mode & S_IROTH);
}
