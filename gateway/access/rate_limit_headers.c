#include "gateway/access/rate_limit_headers.h"

#include <inttypes.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/http/server.h"
#include "gateway/access/client.h"

enum { HEADER_MAX = 256, SECOND_MS = 1000 };

void rate_limit_headers_add_policy(struct http_exchange *exchange, const struct client *client)
{
    static const struct {
        enum client_limit limit;
        const char *name;
        int window_s;
    } rows[] = {
        {CLIENT_REQUESTS, "requests", 60   },
        {CLIENT_IMAGES,   "images",   86400},
    };
    struct buf value;

    buf_init(&value, HEADER_MAX);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        int64_t most = client_limit(client, rows[i].limit);

        if (most)
            buf_addf(&value, "%s\"%s\";q=%" PRId64 ";w=%d", value.len ? ", " : "", rows[i].name, most,
                     rows[i].window_s);
    }
    if (value.len && !buf_error(&value))
        http_add_header(exchange, "RateLimit-Policy", buf_text(&value));
    buf_deinit(&value);
}

static void add_item(struct http_exchange *exchange, const char *name, int64_t left, int64_t reset_ms)
{
    struct buf value;

    buf_init(&value, HEADER_MAX);
    buf_addf(&value, "\"%s\";r=%" PRId64 ";t=%" PRId64, name, left, (reset_ms + SECOND_MS - 1) / SECOND_MS);
    if (!buf_error(&value))
        http_add_header(exchange, "RateLimit", buf_text(&value));
    buf_deinit(&value);
}

void rate_limit_headers_add_requests(struct http_exchange *exchange, int64_t left, int64_t reset_ms)
{
    add_item(exchange, "requests", left, reset_ms);
}

/* RateLimit is a list field: a second header line extends the list. */
void rate_limit_headers_add_images(struct http_exchange *exchange, int64_t left, int64_t reset_ms)
{
    add_item(exchange, "images", left, reset_ms);
}
