/* answer - how the API answers when the answer is no stream
 *
 * Every refusal of the API goes through respond_problem: it knows which of them ask the client to come back, and when.
 */
#ifndef ARKRELAY_GATEWAY_RESPONSE_RESPOND_H
#define ARKRELAY_GATEWAY_RESPONSE_RESPOND_H

#include <stdint.h>

#include "common/problem.h"

struct buf;
struct http_exchange;

/* detail may be NULL. */
void respond_problem(struct http_exchange *exchange, enum problem problem, const char *detail);

/* One whose end is known: the client hears when to come back. 0: it is not known. */
void respond_problem_after(struct http_exchange *exchange, enum problem problem, int64_t wait_ms);

/* With what is wrong in the body's fields. */
void respond_field_errors(struct http_exchange *exchange, const struct problem_field *fields, size_t count);

/* A JSON body; a body that could not be built becomes a 500. */
void respond_json(struct http_exchange *exchange, int status, const struct buf *body);

#endif
