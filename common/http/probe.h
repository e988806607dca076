/* http/probe - one blocking GET, for --healthcheck
 *
 * Asks http://<listen><path> and returns the status, or a negative ERR_* within timeout_ms. A wildcard or empty host
 * means the loopback address.
 */
#ifndef ARKRELAY_HTTP_PROBE_H
#define ARKRELAY_HTTP_PROBE_H

#include "common/err.h"

int http_probe(const char *listen, const char *path, int timeout_ms) MUST_CHECK;

#endif
