/* host_port - "host:port" and "[v6]:port", as text
 *
 * Whether there is such a host is another matter (http/address.h).   Pure. Ownership: the parts point into the text.
 */
#ifndef ARKRELAY_HOST_PORT_H
#define ARKRELAY_HOST_PORT_H

#include <stdbool.h>

struct host_port {
    const char *host; /* without brackets; may be empty */
    const char *port; /* "0" to "65535" */
};

/* Splits in place. False, and `text` as it was: it is neither. */
bool host_port_split(char *text, struct host_port *out);

#endif
