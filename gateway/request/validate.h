/* validate - the body of a generate request: from JSON to a task spec, or a list of all errors
 *
 * The body is one JSON object, optionally after a UTF-8 byte order mark (RFC 8259 8.1 lets parsers ignore it), with at most
 * VALIDATE_DEPTH_MAX levels, without duplicate names and without NUL. Unknown fields are errors, so that a typo does not cost money.
 * All errors are reported at once, up to VALIDATE_PROBLEMS_MAX. What the request's model cannot do is an error too (plan_check.h).
 *
 * Pure.   Ownership: on success the caller owns the spec in `out`; the errors contain their own texts.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_VALIDATE_H
#define ARKRELAY_GATEWAY_REQUEST_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/problem.h"
#include "common/models/plan.h"
#include "common/task/task.h"
#include "common/task/task_spec.h"
#include "gateway/request/on_disconnect.h"

enum { VALIDATE_DEPTH_MAX = 16, VALIDATE_PROBLEMS_MAX = 20, VALIDATE_POINTER_SIZE = 80, VALIDATE_DETAIL_SIZE = 192 };

struct json_t;

enum validate_webhooks { WEBHOOKS_OFF, WEBHOOKS_PUBLIC, WEBHOOKS_ANY_HOST };

struct validate_rules {
    const struct catalogue *catalogue;
    const struct request_defaults *defaults;
    int max_paid_calls; /* the maximum that a request may set */
    bool data_urls;
    enum validate_webhooks webhooks;
    bool has_default_webhook; /* the client has one, which webhook_events without webhook is about */
    bool id_required;
    bool for_stream; /* on_disconnect is allowed */
    const char *key; /* Idempotency-Key, an alternative to task_id; NULL: none */
    size_t key_len;
};

struct validated {
    struct task_spec spec;
    struct plan plan;                 /* its texts are borrowed from spec and rules */
    char task_id[TASK_ID_MAX + 1];    /* "" if the request has none */
    enum on_disconnect on_disconnect; /* not part of the spec: it belongs to the connection */
};

struct validate_errors {
    char syntax[VALIDATE_DETAIL_SIZE]; /* after ERR_SYNTAX: the error and its place */
    struct problem_field fields[VALIDATE_PROBLEMS_MAX];
    size_t count; /* after ERR_RANGE: number of fields set */
    char pointers[VALIDATE_PROBLEMS_MAX][VALIDATE_POINTER_SIZE];
    char details[VALIDATE_PROBLEMS_MAX][VALIDATE_DETAIL_SIZE];
};

/* ERR_SYNTAX: not a JSON object. ERR_RANGE: invalid fields. ERR_NO_MEMORY. */
int validate_body(const char *body, size_t len, const struct validate_rules *rules, struct validated *out,
                  struct validate_errors *errors) MUST_CHECK;

/* The two steps of validate_body, for bodies in another form whose reader makes the object. validate_begin empties the errors;
 * validate_object adds to what validate_complain has added, and fails if there are any errors. */
void validate_begin(struct validate_errors *errors);
int validate_parse(const char *body, size_t len, struct json_t **out, struct validate_errors *errors) MUST_CHECK;
int validate_object(struct json_t *root, const struct validate_rules *rules, struct validated *out,
                    struct validate_errors *errors) MUST_CHECK;

/* Adds an error. Errors beyond VALIDATE_PROBLEMS_MAX are dropped. */
__attribute__((format(printf, 3, 4))) void validate_complain(struct validate_errors *errors, const char *pointer,
                                                             const char *detail, ...);

/* The name of a field as a JSON pointer (RFC 6901); a long name is cut between code points. */
void validate_pointer(char out[VALIDATE_POINTER_SIZE], const char *name);

/* validate_complain for a field by its name, which may be the client's. */
void validate_complain_field(struct validate_errors *errors, const char *name, const char *detail);

#endif
