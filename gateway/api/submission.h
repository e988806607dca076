/* api/submission - from a validated request to a submission, for endpoints that create tasks */
#ifndef ARKRELAY_GATEWAY_API_SUBMISSION_H
#define ARKRELAY_GATEWAY_API_SUBMISSION_H

#include <stdbool.h>

#include "gateway/request/validate.h"

struct api_context;
struct http_exchange;
struct submission;

/* False: the head is not that of a request with a JSON body, and the exchange was answered. */
bool submission_check_head(struct http_exchange *exchange);

/* The rules for requests of this client. The caller adds those of its endpoint. */
struct validate_rules submission_rules(const struct api_context *context, struct http_exchange *exchange);

/* The task of the requesting client with valid->task_id. The caller destroys the submission; NULL when out of memory. */
struct submission *submission_make(const struct api_context *context, struct http_exchange *exchange,
                                   const struct validated *valid);

#endif
