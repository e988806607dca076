/* openai/error - errors in the form of OpenAI's API
 *
 *     {"error":{"message":"...","type":"invalid_request_error","param":"size","code":"invalid_fields",...}}
 *
 * `code` is the code of the native API. Below OPENAI_BASE every answer that is not 2xx has this form, also those of the HTTP server, of
 * CORS and of admission: openai_write_problem is the server's write_problem hook.
 *
 * `x-should-retry` is `true` only where nothing was charged and the same request may succeed later. OpenAI's SDKs obey it. Other clients
 * retry on 408, 409, 429 and from 500 on, so no other error has such a status.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ERROR_H
#define ARKRELAY_GATEWAY_API_OPENAI_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/problem.h"
#include "common/http/server.h"

struct buf;

#define OPENAI_BASE "/v1"

bool openai_is_below_base(struct http_text path);

/* How a task ended; the texts of its `error` event. */
struct openai_failure {
    const char *code, *message;
    const char *charged; /* "no", "yes" or "unknown"; NULL: not known here */
    bool retryable;
};

int openai_failure_status(const struct openai_failure *failure);
bool openai_failure_should_retry(const struct openai_failure *failure);

/* The object of `error`. */
void openai_failure_write(struct buf *out, const struct openai_failure *failure, const char *request_id);
void openai_failure_respond(struct http_exchange *exchange, const struct openai_failure *failure);

/* For http_server_config.write_problem; `path` is below OPENAI_BASE. */
void openai_write_problem(struct http_exchange *exchange, const struct problem_details *details,
                          struct http_problem_answer *out);

#endif
