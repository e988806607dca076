/* refusal - why a job ends without a call of ARK
 *
 * No call was made, so another attempt costs nothing. It is made only if the cause may pass.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_JOB_REFUSAL_H
#define ARKRELAY_WORKER_JOB_REFUSAL_H

#include <stdbool.h>

#include "common/base/problem.h"
#include "common/storage/outcome.h"
#include "worker/job/report.h"

struct refusal {
    enum problem problem;
    bool passes;       /* another attempt may succeed */
    bool retryable;    /* if the task ends: the client may send the same request again */
    const char *words; /* the error for people; a literal */
};

/* err: of preparation.h. */
struct refusal refusal_of_error(int err);

/* end: of the upload that could not be read. */
struct refusal refusal_of_upload(enum storage_end end);

/* answer: neither BEGIN_OK nor BEGIN_CANCELLED. */
struct refusal refusal_of_begin(enum begin_answer answer);

#endif
