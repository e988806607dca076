/* validate - a body becomes a task's spec, or the list of everything that is wrong with it
 *
 * The body is one JSON object, after a UTF-8 byte order mark if there is one (RFC 8259 8.1 lets a parser ignore it), of at most VALIDATE_DEPTH_MAX levels, without a name twice and without NUL. Unknown fields are
 * refused: a typo must not cost money. All problems are listed at once, up to VALIDATE_PROBLEMS_MAX.
 *
 * Pure. Ownership: the spec in `out` is the caller's after success; the report holds its own texts.
 */
#ifndef ARKRELAY_GATEWAY_REQUEST_VALIDATE_H
#define ARKRELAY_GATEWAY_REQUEST_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/problem.h"
#include "common/task.h"
#include "common/task_spec.h"
#include "gateway/streams/disconnect.h"

enum { VALIDATE_DEPTH_MAX = 16, VALIDATE_PROBLEMS_MAX = 20, VALIDATE_POINTER_SIZE = 80, VALIDATE_DETAIL_SIZE = 128 };

struct validate_rules {
    int max_paid_calls; /* the most that a request may ask for */
    bool data_urls;
    bool id_required;
    bool for_stream; /* the request's answer is a stream, so it may say what leaving that means */
    const char *key; /* Idempotency-Key, which may stand in for task_id; NULL: none */
    size_t key_len;
};

struct validated {
    struct task_spec spec;
    char task_id[TASK_ID_MAX + 1]; /* "" when the request gives none */
    enum disconnect on_disconnect; /* no part of the spec: it is about the connection */
};

struct validate_report {
    char syntax[VALIDATE_DETAIL_SIZE]; /* after ERR_SYNTAX: what is wrong, and where */
    struct problem_field fields[VALIDATE_PROBLEMS_MAX];
    size_t count; /* after ERR_RANGE: how many of them are set */
    char pointers[VALIDATE_PROBLEMS_MAX][VALIDATE_POINTER_SIZE];
    char details[VALIDATE_PROBLEMS_MAX][VALIDATE_DETAIL_SIZE];
};

/* ERR_SYNTAX: not a JSON object. ERR_RANGE: fields that are not valid. ERR_NO_MEMORY. */
int validate_body(const char *body, size_t len, const struct validate_rules *rules, struct validated *out,
                  struct validate_report *report) MUST_CHECK;

#endif
