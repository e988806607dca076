#include "worker/job/refusal.h"

#include <assert.h>

#include "common/base/macros.h"

struct refusal refusal_of_error(int err)
{
    static const struct {
        int err;
        struct refusal refusal;
    } rows[] = {
        {ERR_SYNTAX,    {PROBLEM_INVALID_TASK, false, false, "The stored request cannot be read."}                        },
        {ERR_RANGE,     {PROBLEM_ARK_INVALID_REQUEST, false, false, "The model does not take that many reference images."}},
        {ERR_TOO_LONG,  {PROBLEM_ARK_INVALID_REQUEST, false, false, "The request is larger than ARK takes."}              },
        {ERR_NO_MEMORY,
         {PROBLEM_INPUT_UNAVAILABLE, true, true, "The worker had no memory for the images, so ARK was not called."}       },
        {ERR_NOT_FOUND,
         {PROBLEM_INPUT_UNAVAILABLE, false, true, "This worker does not have the STORAGE of the gateway."}                },
    };
    size_t i = 0;

    while (i < ARRAY_LENGTH(rows) - 1 && rows[i].err != err)
        i++;
    return rows[i].refusal;
}

struct refusal refusal_of_upload(enum storage_end end)
{
    bool passes = storage_end_is_passing(end);

    return (struct refusal){
        .problem = PROBLEM_INPUT_UNAVAILABLE,
        .passes = passes,
        .retryable = passes,
        .words = end == STORAGE_MISSING ? "An uploaded image is not in the storage any more, so ARK was not called."
                                        : "An uploaded image could not be read, so ARK was not called.",
    };
}

struct refusal refusal_of_begin(enum begin_answer answer)
{
    static const struct refusal rows[] = {
        [BEGIN_NO_BUDGET] = {PROBLEM_OUTCOME_UNKNOWN, false, false, "The task's budget of paid calls is used up."},
        [BEGIN_NOT_DURABLE] = {PROBLEM_NOT_DURABLE,     true,  true,
                             "Redis did not confirm the record of the paid call, so ARK was not called."         },
        [BEGIN_TOO_LATE] = {PROBLEM_NOT_DURABLE,     true,  true,
                             "The lease may have ended before the call began, so ARK was not called."            },
    };

    assert(rows[answer].words);
    return rows[answer];
}
