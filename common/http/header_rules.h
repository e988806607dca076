/* http/header_rules - what the headers of a request mean for HTTP itself
 *
 * Framing, Host, Expect, Connection, and headers that may come once only. Anything that two readers could understand
 * differently is refused. Fills in the request's content_length, has_content_length, chunked, keep_alive and
 * expect_continue.
 *
 * Pure.
 */
#ifndef ARKRELAY_HTTP_HEADER_RULES_H
#define ARKRELAY_HTTP_HEADER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/http/request.h"
#include "common/problem.h"

struct http_refusal {
    enum problem problem;
    const char *detail; /* a constant, or NULL */
};

/* False: *out says why the request is refused. */
bool http_apply_header_rules(struct http_request *request, const struct http_limits *limits, struct http_refusal *out);

bool http_is_token(const char *text, size_t len); /* RFC 9110, section 5.6.2; not empty */

/* Only ASCII letters, digits and bytes of `others`; not empty. */
bool http_is_made_of(const char *text, size_t len, const char *others);

#endif
