/* embedded_file - files compiled into the program: pages and openapi.json (cmake/Embed.cmake, embed_files)
 *
 * The response has an ETag (hash of the content) and `Cache-Control: no-cache`: a browser revalidates on every use. An unchanged
 * file costs a 304, and a new version of the program is visible at once.
 *
 * Ownership: constants.   Threads: the data may be read on any thread; respond on the loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_EMBEDDED_FILE_H
#define ARKRELAY_GATEWAY_RESPONSE_EMBEDDED_FILE_H

#include <stddef.h>

struct http_exchange;

struct embedded_file {
    const char *name;       /* "pages/playground.html" */
    const char *media_type; /* the value of Content-Type */
    const char *etag;       /* including its quotes */
    const char *bytes;
    size_t len;
};

/* 200 with the file, or 304 if the client has this version. Add further headers before the call. */
void embedded_file_respond(struct http_exchange *exchange, const struct embedded_file *file);

#endif
