/* http/probe - one blocking GET, for --healthcheck
 *
 * Asks http(s)://<listen><path> and returns the status, or a negative ERR_* within timeout_ms. A wildcard or empty host
 * means the loopback address. Under TLS any certificate will do.
 */
#ifndef ARKRELAY_HTTP_PROBE_H
#define ARKRELAY_HTTP_PROBE_H

#include "common/err.h"

enum http_probe_over { PROBE_PLAIN, PROBE_TLS };

/* The whole of a program's --healthcheck: 0 where the answer is 200, else one line on stderr says what came instead, and 1. */
int http_probe_main(const char *program, const char *listen, enum http_probe_over over, const char *path);

int http_probe(const char *listen, enum http_probe_over over, const char *path, int timeout_ms) MUST_CHECK;

#endif
