/* http/host - the host of a request: Host's value, or the authority of an absolute target (RFC 9112, section 3.2)
 *
 *     uri-host [ ":" port ]      uri-host: a name, an IPv4 address, or an IPv6 address in brackets
 *
 * RFC 3986 allows an empty port. A host must not be empty, and a port is at most 65535.
 *
 * Pure.
 */
#ifndef ARKRELAY_HTTP_HOST_H
#define ARKRELAY_HTTP_HOST_H

#include <stdbool.h>

#include "common/http/request.h"

bool http_host_is_valid(struct http_text host);

#endif
