#include "worker/account/news.h"

#include "worker/ark/verdict.h"

/* clang-format off */
static const struct account_effect effects[NEWS_COUNT] = {
    [NEWS_NONE]           = { .of_account = false },
    [NEWS_ACCEPTED]       = { .accepted = true },
    [NEWS_BUSY]           = { .refused = true },
    [NEWS_UNREACHABLE]    = { .of_account = true, .failed = true },
    [NEWS_UNKNOWN]        = { .failed = true },
    [NEWS_ACCOUNT_CLOSED] = { .of_account = true, .failed = true, .closing = true },
    [NEWS_MODEL_CLOSED]   = { .failed = true, .closing = true },
};
/* clang-format on */

enum account_news account_news_of(const struct verdict *verdict)
{
    if (verdict->action == VERDICT_CANCELLED)
        return NEWS_NONE;
    if (verdict->action == VERDICT_DONE || verdict->charge == CHARGE_KNOWN)
        return NEWS_ACCEPTED;
    if (verdict->charge == CHARGE_UNKNOWN)
        return NEWS_UNKNOWN;
    switch (verdict->problem) {
    case PROBLEM_ARK_UNREACHABLE:
        return NEWS_UNREACHABLE;
    case PROBLEM_ARK_UNAUTHORIZED:
        return NEWS_ACCOUNT_CLOSED;
    case PROBLEM_ARK_MODEL_UNAVAILABLE:
    case PROBLEM_ARK_QUOTA_EXCEEDED:
        return NEWS_MODEL_CLOSED;
    default:
        return verdict->action == VERDICT_DEFER ? NEWS_BUSY : NEWS_NONE;
    }
}

const struct account_effect *account_effect_of(enum account_news news)
{
    return &effects[news];
}
