/* ark_answer - reads ARK's HTTP answer as it arrives
 *
 * Takes the head and then the body in pieces of any size. Detects whether the body is a stream (SSE), one JSON document or something
 * else, from the first bytes and the content type, because API gateways send wrong content types. Reports each slot of the group
 * when it is known: during a stream, or at the end of a document. An incomplete answer keeps the slots that arrived, also those in
 * the front part of a document.
 *
 *     create -> head -> body* -> (finished?) -> end -> destroy
 *
 * Ownership: the caller destroys it; the result is part of it.
 * Pure.   Threads: loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WORKER_ARK_ANSWER_H
#define ARKRELAY_WORKER_ARK_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "worker/ark/result.h"

enum {
    ARK_RETRY_AFTER_MIN_MS = 500,   /* used for a shorter Retry-After, and for one that cannot be read */
    ARK_RETRY_AFTER_MAX_MS = 60000, /* used for a longer one */
};

struct ark_answer_setup {
    int expected;       /* ark_request.images */
    size_t max_bytes;   /* of the whole body */
    size_t max_line;    /* of one event of a stream */
    const char *secret; /* replaced by asterisks in ARK's errors; may be NULL. Borrowed */
    ark_slot_fn
        *on_slot; /* called from inside ark_answer_body and ark_answer_end; must not destroy the answer. May be NULL */
    void *arg;
};

/* Each text may be NULL. */
struct ark_head {
    int status;
    const char *content_type;
    const char *retry_after; /* seconds or an HTTP date; several, one per line */
    const char *request_id;
    int64_t now_ms; /* wall clock, for the date */
};

struct ark_answer;

struct ark_answer *ark_answer_create(const struct ark_answer_setup *setup); /* NULL when out of memory */
struct ark_answer *ark_answer_destroy(struct ark_answer *answer);           /* accepts NULL; returns NULL */

void ark_answer_head(struct ark_answer *answer, const struct ark_head *head);

/* ERR_TOO_LONG: above a maximum; ERR_NO_MEMORY. After an error, close the connection and call ark_answer_end. */
int ark_answer_body(struct ark_answer *answer, const char *bytes, size_t len) MUST_CHECK;

/* The rest of the body does not matter: the caller need not wait for the end of the connection. */
bool ark_answer_finished(const struct ark_answer *answer);

/* Everything that was asked for has arrived, and the answer should end within a moment: every slot of a stream has ended, the group was
 * stopped, or the document is closed. */
bool ark_answer_is_complete(const struct ark_answer *answer);

/* No more bytes follow. broke: why the body is incomplete, which is copied; NULL after a clean end. The head may be missing. Calls
 * on_slot for the slots of a document. A second call returns the same result. */
const struct ark_result *ark_answer_end(struct ark_answer *answer, const char *broke);

#endif
