#include "common/storage/file_io.h"

#include <errno.h>
#include <unistd.h>

bool file_write(int fd, int64_t at, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len) {
        ssize_t done = pwrite(fd, from, len, at);

        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            from += done;
            at += done;
            len -= (size_t)done;
        }
    }
    return true;
}

bool file_read(int fd, int64_t at, void *out, size_t len)
{
    char *to = out;

    while (len) {
        ssize_t got = pread(fd, to, len, at);

        if (got == 0)
            errno = ENODATA;
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        if (got > 0) {
            to += got;
            at += got;
            len -= (size_t)got;
        }
    }
    return true;
}
