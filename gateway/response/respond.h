/* respond - responses of the API that are not streams
 *
 * Every refusal of the API goes through respond_problem. It knows which problems get a Retry-After header, and its value.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_RESPOND_H
#define ARKRELAY_GATEWAY_RESPONSE_RESPOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/problem.h"

struct buf;
struct http_exchange;

/* detail may be NULL. */
void respond_problem(struct http_exchange *exchange, enum problem problem, const char *detail);

/* With Retry-After: wait_ms, rounded up to seconds. 0: the wait is not known. */
void respond_problem_after(struct http_exchange *exchange, enum problem problem, int64_t wait_ms);

/* 422 with one entry per invalid field of the body. */
void respond_field_errors(struct http_exchange *exchange, const struct problem_field *fields, size_t count);

/* A JSON body. Responds 500 if the body could not be built. */
void respond_json(struct http_exchange *exchange, int status, const struct buf *body);

/* True: the Accept header excludes type/subtype, and the exchange was answered with 406. */
bool respond_if_unacceptable(struct http_exchange *exchange, const char *type, const char *subtype);

#endif
