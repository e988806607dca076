/* http/healthcheck - the --healthcheck option: one GET to a running server, for container and service managers
 *
 * A wildcard or empty host in `listen` means the loopback address. Under TLS the certificate is not checked.
 *
 * Threads:   any; the calls block, for at most their timeout.   Units: ms.
 */
#ifndef ARKRELAY_HTTP_HEALTHCHECK_H
#define ARKRELAY_HTTP_HEALTHCHECK_H

#include "common/base/err.h"

enum http_healthcheck_transport { HEALTHCHECK_PLAIN, HEALTHCHECK_TLS };

/* The exit status of the program: 0 if http(s)://<listen><path> answers 200 within 3 s. Otherwise 1, and one line on stderr says
 * why. */
int http_healthcheck_main(const char *program, const char *listen, enum http_healthcheck_transport transport,
                          const char *path);

/* The HTTP status, or a negative ERR_*: ERR_SYNTAX, ERR_NOT_FOUND (listen), ERR_LOST, ERR_TIMEOUT, ERR_TOO_LONG (path), ERR_NO_MEMORY,
 * ERR_SYSTEM. */
int http_healthcheck(const char *listen, enum http_healthcheck_transport transport, const char *path,
                     int timeout_ms) MUST_CHECK;

#endif
