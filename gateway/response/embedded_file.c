#include "gateway/response/embedded_file.h"

#include <stdbool.h>
#include <string.h>

#include "common/http/server.h"

/* If-None-Match is a list of tags, some with a W/ prefix. Searching for our quoted hash finds it in any of these forms. */
static bool client_has(const struct http_request *request, const char *etag)
{
    struct http_text list = http_request_header(request, "If-None-Match");

    return list.data && (http_text_is(list, "*") || memmem(list.data, list.len, etag, strlen(etag)));
}

void embedded_file_respond(struct http_exchange *exchange, const struct embedded_file *file)
{
    http_add_header(exchange, "ETag", file->etag);
    http_add_header(exchange, "Cache-Control", "no-cache");
    if (client_has(http_exchange_request(exchange), file->etag))
        http_respond(exchange, 304, NULL, NULL, 0);
    else
        http_respond(exchange, 200, file->media_type, file->bytes, file->len);
}
