/* api/intake - what both POSTs do with a request: from its head and body to a submission
 *
 * Answers whatever is wrong with the request itself.
 */
#ifndef ARKRELAY_GATEWAY_API_NATIVE_GENERATE_REQUEST_H
#define ARKRELAY_GATEWAY_API_NATIVE_GENERATE_REQUEST_H

#include <stdbool.h>

struct gateway;
struct http_exchange;
struct submission;

enum generate_kind {
    GENERATE_STREAM, /* task_id is required, on_disconnect is taken */
    GENERATE_TASK,   /* a request without a task_id gets a random one */
};

/* The caller's to destroy; NULL: the exchange is answered. */
struct submission *generate_request_read(const struct gateway *gateway, struct http_exchange *exchange,
                                         enum generate_kind intake);

/* False: Accept excludes type/subtype, and that was answered (406). */
bool intake_accepts(struct http_exchange *exchange, const char *type, const char *subtype);

#endif
