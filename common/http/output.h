/* http/output - what a connection has to send, and how much of it the kernel has taken (private to http/)
 *
 * Writers append to `bytes`. The memory of sent bytes is freed in large pieces, because each piece moves the rest to the front.
 *
 * Ownership: the connection embeds it.   Threads: the loop's thread only.   Units: bytes.
 */
#ifndef ARKRELAY_HTTP_OUTPUT_H
#define ARKRELAY_HTTP_OUTPUT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"

struct ssl_st;

struct http_output {
    struct buf bytes;
    uint32_t sent; /* how many of `bytes` the kernel has taken */
};

void http_output_init(struct http_output *output);
void http_output_deinit(struct http_output *output); /* frees the bytes; it may be used again afterwards */

size_t http_output_unsent(const struct http_output *output);

/* Sends what the kernel takes now. The number of bytes that it took; -1 with errno if the connection has failed. */
ssize_t http_output_send(struct http_output *output, int fd, struct ssl_st *ssl);

#endif
