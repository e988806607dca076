#include "common/http/output.h"

#include <errno.h>

#include "common/base/transport.h"

enum {
    COMPACT_FROM = 64 * 1024,    /* bytes */
    OUT_MAX = 1024 * 1024 * 1024 /* never reached: handlers limit their answers, output_max limits streams */
};

void http_output_init(struct http_output *output)
{
    buf_init(&output->bytes, OUT_MAX);
    output->sent = 0;
}

void http_output_deinit(struct http_output *output)
{
    buf_deinit(&output->bytes);
    output->sent = 0;
}

size_t http_output_unsent(const struct http_output *output)
{
    return output->bytes.len - output->sent;
}

static void free_sent(struct http_output *output)
{
    if (!http_output_unsent(output)) {
        http_output_deinit(output);
    } else if (output->sent > COMPACT_FROM && output->sent > output->bytes.len / 2) {
        buf_drop_front(&output->bytes, output->sent);
        output->sent = 0;
    }
}

ssize_t http_output_send(struct http_output *output, int fd, struct ssl_st *ssl)
{
    ssize_t taken = 0, n = 0;

    while (http_output_unsent(output) && n >= 0) {
        n = transport_send(fd, ssl, output->bytes.data + output->sent, http_output_unsent(output));
        if (n > 0) {
            output->sent += (uint32_t)n;
            taken += n;
        }
    }
    if (n < 0 && errno != EAGAIN)
        return -1;
    free_sent(output);
    return taken;
}
