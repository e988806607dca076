/* url_check - is this URL of a reference image, or of a webhook, acceptable?
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
    URL_NOT_ENCODED,
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

/* Of a webhook: only characters of RFC 3986, no data: URL; any_host: also hosts that are not public. */
enum url_flaw url_check_webhook(const char *url, size_t len, bool any_host);

const char *url_flaw_text(enum url_flaw flaw); /* the error message for the client */

#endif
