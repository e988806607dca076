#include "common/webhook/verdict.h"

#include "common/base/macros.h"
#include "common/web/retry_after.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, GONE = 410 };

#define JITTER 0.2

static const int64_t delays_ms[] = {5 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR};
_Static_assert(ARRAY_LENGTH(delays_ms) == WEBHOOK_ATTEMPTS_MAX - 1, "one delay between two attempts");

static const int busy_statuses[] = {429, 502, 503, 504};

static bool is_busy_status(int status)
{
    for (size_t i = 0; i < ARRAY_LENGTH(busy_statuses); i++)
        if (busy_statuses[i] == status)
            return true;
    return false;
}

static struct webhook_verdict verdict_of_status(const struct webhook_evidence *evidence)
{
    int class = evidence->status / 100;

    if (class == 2)
        return (struct webhook_verdict){.action = WEBHOOK_DELIVERED, .code = WEBHOOK_CODE_DELIVERED};
    if (evidence->is_disabled)
        return (struct webhook_verdict){.action = WEBHOOK_FAILED, .code = WEBHOOK_CODE_DISABLED};
    if (evidence->status == GONE)
        return (struct webhook_verdict){.action = WEBHOOK_FAILED, .code = WEBHOOK_CODE_GONE};
    return (struct webhook_verdict){.action = is_busy_status(evidence->status) ? WEBHOOK_BUSY : WEBHOOK_AGAIN,
                                    .code = class == 3 ? WEBHOOK_CODE_REDIRECTED : WEBHOOK_CODE_STATUS};
}

static struct webhook_verdict verdict_of_end(const struct webhook_evidence *evidence)
{
    if (evidence->not_public)
        return (struct webhook_verdict){.action = WEBHOOK_AGAIN, .code = WEBHOOK_CODE_NOT_PUBLIC};
    return (struct webhook_verdict){.action = WEBHOOK_BUSY,
                                    .code = evidence->end == WEB_NOT_SENT ? WEBHOOK_CODE_UNREACHABLE
                                                                          : WEBHOOK_CODE_NO_ANSWER};
}

/* Of an attempt that another one follows. */
static void set_delays(struct webhook_verdict *verdict, const struct webhook_evidence *evidence)
{
    static const struct retry_after_bounds bounds = {SECOND, 10 * HOUR};
    double factor = 1 - JITTER + 2 * JITTER * evidence->dice;

    verdict->delay_ms = (int64_t)((double)delays_ms[evidence->attempt - 1] * factor);
    if (!evidence->status || !*evidence->retry_after)
        return;
    verdict->pause_ms = retry_after_read(evidence->retry_after, evidence->now_ms, bounds);
    if (verdict->delay_ms < verdict->pause_ms)
        verdict->delay_ms = verdict->pause_ms;
    if (verdict->action != WEBHOOK_BUSY)
        verdict->pause_ms = 0;
}

struct webhook_verdict webhook_decide(const struct webhook_evidence *evidence)
{
    struct webhook_verdict verdict = evidence->status ? verdict_of_status(evidence) : verdict_of_end(evidence);

    if (verdict.action != WEBHOOK_AGAIN && verdict.action != WEBHOOK_BUSY)
        return verdict;
    if (evidence->attempt < WEBHOOK_ATTEMPTS_MAX)
        set_delays(&verdict, evidence);
    else
        verdict.action = WEBHOOK_FAILED;
    return verdict;
}

const char *webhook_action_name(enum webhook_action action)
{
    static const char *const names[] = {[WEBHOOK_DELIVERED] = "delivered",
                                        [WEBHOOK_AGAIN] = "again",
                                        [WEBHOOK_BUSY] = "busy",
                                        [WEBHOOK_FAILED] = "failed"};

    return names[action];
}

const char *const webhook_code_names[WEBHOOK_CODE_COUNT] = {
    [WEBHOOK_CODE_DELIVERED] = "delivered", [WEBHOOK_CODE_GONE] = "gone",
    [WEBHOOK_CODE_DISABLED] = "disabled",   [WEBHOOK_CODE_REDIRECTED] = "redirected",
    [WEBHOOK_CODE_STATUS] = "http_status",  [WEBHOOK_CODE_UNREACHABLE] = "unreachable",
    [WEBHOOK_CODE_NO_ANSWER] = "no_answer", [WEBHOOK_CODE_NOT_PUBLIC] = "not_public",
    [WEBHOOK_CODE_LOST] = "worker_lost"};
