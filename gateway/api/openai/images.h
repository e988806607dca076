/* openai/images - from the fields of a request for images to its order */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_IMAGES_H
#define ARKRELAY_GATEWAY_API_OPENAI_IMAGES_H

#include "gateway/metrics/gateway_metrics.h"
#include "gateway/request/validate.h"

struct api_context;
struct http_exchange;
struct json_t;

/* Answers the exchange: with the order's answer later, or at once with the errors of the request. `root` is the object of all fields, and is
 * changed. The caller has called validate_begin; `errors` may have some already. */
void openai_images_start(const struct api_context *context, struct http_exchange *exchange, struct json_t *root,
                         enum openai_endpoint endpoint, struct validate_errors *errors);

#endif
