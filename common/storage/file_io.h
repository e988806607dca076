/* file_io - writes and reads that are complete or fail
 *
 * The kernel may write or read less than asked, for example on a disk that becomes full in the middle, and reports the error only to the next
 * call. These functions repeat the call until everything is done. They block: call them in a job of a disk.
 */
#ifndef ARKRELAY_STORAGE_FILE_IO_H
#define ARKRELAY_STORAGE_FILE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False: errno. */
bool file_write(int fd, int64_t at, const void *bytes, size_t len);
bool file_read(int fd, int64_t at, void *out, size_t len); /* ENODATA: the file ends before */

#endif
