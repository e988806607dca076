/* http/dispatch - from a whole request to its handler (private to http/)
 */
#ifndef ARKRELAY_HTTP_DISPATCH_H
#define ARKRELAY_HTTP_DISPATCH_H

#include "common/http/connection.h"

void http_dispatch(struct connection *connection);
void http_refuse(struct connection *connection, enum problem problem, const char *detail);
void http_probe_client(struct connection *connection); /* writes half_close_probe into its open stream */

#endif
