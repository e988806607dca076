/* embedded_file - files that are part of the program: pages and descriptions (cmake/Embed.cmake, embed_files)
 *
 * An answer carries the content's hash as its ETag and asks to be checked before it is used again, so a new version of the program is
 * seen at once, and an old one costs a 304.
 *
 * Ownership: constants.   Threads: any; answering is for the loop's thread.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_EMBEDDED_FILE_H
#define ARKRELAY_GATEWAY_RESPONSE_EMBEDDED_FILE_H

#include <stddef.h>

struct http_exchange;

struct embedded_file {
    const char *name;       /* "pages/playground.html" */
    const char *media_type; /* as Content-Type has it */
    const char *etag;       /* with its quotes */
    const char *bytes;
    size_t len;
};

/* 200 with the file, or 304 where the client has it. Further headers are added before. */
void embedded_file_respond(struct http_exchange *exchange, const struct embedded_file *file);

#endif
