/* submission - a validated request as it is submitted
 *
 * Ownership: owns its texts; submission_destroy frees them.
 */
#ifndef ARKRELAY_GATEWAY_TASKS_SUBMISSION_H
#define ARKRELAY_GATEWAY_TASKS_SUBMISSION_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/sha256.h"
#include "common/task/task.h"
#include "common/task/task_spec.h"
#include "gateway/request/headers.h"
#include "gateway/request/on_disconnect.h"
#include "gateway/tasks/reserver.h"

enum { REQUEST_ID_SIZE = 65, /* the HTTP server limits request ids to 64 bytes */ OWES_SIZE = 8 };

#define OWES_LIST    "l" /* a place in the list of the client's tasks */
#define OWES_WEBHOOK "w" /* deliveries of its events */

struct submission {
    char full_id[TASK_FULL_ID_SIZE];
    char hash[TASK_HASH_SIZE];
    char trace[TRACE_SIZE]; /* "": none */
    char request_id[REQUEST_ID_SIZE];
    int max_paid_calls;
    char owes[OWES_SIZE];             /* letters of the field `owes` of the task */
    enum on_disconnect on_disconnect; /* of this connection; not stored */
    int64_t client_queued_max;        /* live tasks that the client may have */
    int64_t images;                   /* images that this task may produce */
    int64_t client_images_max;        /* images of the client per UTC day; 0: no limit */
    struct money_terms money;         /* what the ledger must know of it */
    char *request, *plan;             /* canonical JSON, see task_spec.h and plan_text.h */

    /* The inputs of its urls that are not links. The plan gets the names of the uploads' objects when it is submitted. */
    char uploads[TASK_URLS_MAX][SHA256_HEX_SIZE];
    size_t upload_count;
    size_t data_len; /* of the data URLs together */
};

void submission_set_inputs(struct submission *submission, const struct task_spec *spec);

struct submission *submission_copy(const struct submission *submission); /* NULL when out of memory */
struct submission *submission_destroy(struct submission *submission);    /* accepts NULL; returns NULL */

#endif
