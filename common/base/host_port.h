/* host_port - splits "host:port" and "[v6]:port"
 *
 * Only the port is checked; http/address.h resolves the host.
 *
 * Pure.   Ownership: host and port point into the text that was split.
 */
#ifndef ARKRELAY_BASE_HOST_PORT_H
#define ARKRELAY_BASE_HOST_PORT_H

#include <stdbool.h>

struct host_port {
    const char *host; /* without brackets; may be empty */
    const char *port; /* "0" to "65535" */
};

/* Splits in place. Returns false, and leaves `text` unchanged, if it has neither form. */
bool host_port_split(char *text, struct host_port *out);

#endif
