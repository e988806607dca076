#include "worker/ark/result.h"

#include "common/base/problem.h"

const struct ark_result ark_result_none = {.generated = -1, .broke = "out of memory"};

/* Why slots are missing, and how many of them to report at most. */
struct gap {
    int most;
    const char *code, *message;
};

static struct gap find_gap(const struct ark_result *result)
{
    const struct ark_error *error = result->has_error ? &result->error : &result->slot_error;

    if (!result->images)
        return (struct gap){0};
    if (result->has_error || result->stopped)
        return (struct gap){ARK_SLOTS_MAX, *error->code ? error->code : ARK_NO_IMAGE, error->message};
    if (!result->completed)
        return (struct gap){ARK_SLOTS_MAX, problem_code(PROBLEM_OUTCOME_UNKNOWN),
                            "ARK's answer broke off before this image"};
    return (struct gap){result->generated - result->images - result->repeated - result->blank, ARK_NO_IMAGE,
                        "ARK counts this image as generated and did not deliver it."};
}

void ark_result_report_missing(const struct ark_result *result, ark_slot_fn *on_slot, void *arg)
{
    struct gap gap = find_gap(result);

    for (int i = 0; i < result->expected && gap.most > 0; i++) {
        if (i < ARK_SLOTS_MAX && result->seen[i])
            continue;
        gap.most--;
        on_slot(&(struct ark_slot){.index = i, .code = gap.code, .message = gap.message}, arg);
    }
}

struct ark_lost ark_result_lost(const struct ark_result *result)
{
    int missing = result->blank + (result->stopped ? 1 : 0);

    if (result->generated >= 0)
        return (struct ark_lost){.made = result->generated > result->images ? result->generated - result->images : 0};
    if (!result->completed)
        missing = result->expected - result->images - (result->failed - result->blank);
    return (struct ark_lost){.missing = missing > 0 ? missing : 0};
}
