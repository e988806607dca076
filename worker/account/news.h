/* account_news - what one ARK call shows about the account and its models
 *
 * All workers share a limiter and a circuit breaker (common/task/scripts/govern.lua). This table decides what they learn from a call. Refused
 * content, an invalid request and a cancellation by the client show nothing about the account.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ACCOUNT_NEWS_H
#define ARKRELAY_WORKER_ACCOUNT_NEWS_H

#include <stdbool.h>

struct verdict;

enum account_news {
    NEWS_NONE,
    NEWS_ACCEPTED,       /* ARK accepted the call and generated */
    NEWS_BUSY,           /* rate limited or overloaded */
    NEWS_UNREACHABLE,    /* no connection, nothing was sent */
    NEWS_UNKNOWN,        /* 5xx, timeout or broken connection before any image */
    NEWS_ACCOUNT_CLOSED, /* key, subscription or balance */
    NEWS_MODEL_CLOSED,   /* the model is not open, or its quota is used up */
    NEWS_COUNT,
};

/* What news means for its scope: the account, or the call's model. */
struct account_effect {
    bool of_account; /* else of the model */
    bool accepted;   /* closes the breaker, feeds the limiter */
    bool refused;    /* feeds the limiter */
    bool failed;     /* one more failure in a row */
    bool closing;    /* opens the breaker at once */
};

enum account_news account_news_of(const struct verdict *verdict);
const struct account_effect *account_effect_of(enum account_news news);

#endif
