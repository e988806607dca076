/* generate_request - the requests POST /generate and POST /generate/stream: from head and body to a submission
 *
 * Checks the head (Content-Type, Content-Encoding, length) and the body, applies the defaults, and answers whatever is invalid.
 */
#ifndef ARKRELAY_GATEWAY_API_NATIVE_GENERATE_REQUEST_H
#define ARKRELAY_GATEWAY_API_NATIVE_GENERATE_REQUEST_H

struct api_context;
struct http_exchange;
struct submission;

enum generate_kind {
    GENERATE_STREAM, /* task_id is required; on_disconnect is allowed */
    GENERATE_TASK,   /* a request without task_id gets a random one */
};

/* The caller destroys the submission. NULL: the request is invalid, and the exchange was answered. */
struct submission *generate_request_read(const struct api_context *context, struct http_exchange *exchange,
                                         enum generate_kind kind);

#endif
