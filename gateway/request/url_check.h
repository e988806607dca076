/* url_check - is this URL of a reference image acceptable?
 *
 * http or https with a public host, and nothing that URL parsers interpret differently: no user name, spaces, control characters or
 * backslashes. Also the ids of uploads, and `data:` URLs if they are enabled.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_URL_CHECK_H
#define ARKRELAY_GATEWAY_REQUEST_URL_CHECK_H

#include <stdbool.h>
#include <stddef.h>

enum url_flaw {
    URL_FINE,
    URL_EMPTY,
    URL_TOO_LONG,
    URL_BAD_BYTE,
    URL_BAD_SCHEME,
    URL_NO_HOST,
    URL_HAS_USER,
    URL_BAD_HOST,
    URL_BAD_PORT,
    URL_NOT_PUBLIC,
    URL_DATA_OFF,
    URL_BAD_DATA,
    URL_BAD_UPLOAD,
    URL_FLAW_COUNT,
};

enum url_flaw url_check(const char *url, size_t len, bool data_urls);
const char *url_flaw_text(enum url_flaw flaw); /* the error message for the client */

#endif
