/* embedded_file - a file compiled into the program: a page, or openapi.json (cmake/Embed.cmake, embed_files) */
#ifndef ARKRELAY_GATEWAY_API_SERVICE_EMBEDDED_FILE_H
#define ARKRELAY_GATEWAY_API_SERVICE_EMBEDDED_FILE_H

#include <stddef.h>

struct embedded_file {
    const char *name;       /* "pages/playground.html" */
    const char *media_type; /* the value of Content-Type */
    const char *etag;       /* including its quotes */
    const char *bytes;
    size_t len;
};

#endif
