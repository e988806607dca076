/* verdict - what an attempt to deliver a webhook means: delivered, again later, or never again
 *
 *     2xx                                              delivered
 *     410, or webhook-delivery: disable                 failed at once: the receiver wants no more of it
 *     429, 502, 503, 504, no answer, no connection     again later, and the host rests meanwhile
 *     any other status, an address that is not public  again later
 *
 * The delays are 5 s, 1 min, 5 min, 30 min, 2 h, 5 h and 10 h, each 20 % shorter to 20 % longer. A Retry-After that is longer than the delay
 * replaces it, up to 10 h. After the eighth attempt the delivery has failed.
 *
 * Pure.   Units: ms.
 */
#ifndef ARKRELAY_WEBHOOK_VERDICT_H
#define ARKRELAY_WEBHOOK_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/web/web.h"

enum { WEBHOOK_ATTEMPTS_MAX = 8 };

struct webhook_evidence {
    int status;              /* 0: no head of an answer has arrived, and `end` and not_public say why */
    enum web_end end;        /* as in struct web_outcome */
    bool not_public;         /* likewise */
    bool is_disabled;        /* the answer has webhook-delivery: disable */
    const char *retry_after; /* "": none */
    int attempt;             /* counted from 1 */
    int64_t now_ms;          /* wall clock */
    double dice;             /* 0 <= dice < 1, from random_unit() */
};

enum webhook_action {
    WEBHOOK_DELIVERED,
    WEBHOOK_AGAIN, /* after delay_ms */
    WEBHOOK_BUSY,  /* after delay_ms, and the host rests */
    WEBHOOK_FAILED /* no further attempt */
};

/* Why; the words are in logs, metrics, Redis and the API. */
enum webhook_code {
    WEBHOOK_CODE_DELIVERED,
    WEBHOOK_CODE_GONE,        /* 410 */
    WEBHOOK_CODE_DISABLED,    /* webhook-delivery: disable */
    WEBHOOK_CODE_REDIRECTED,  /* redirects are not followed */
    WEBHOOK_CODE_STATUS,      /* another status than 2xx */
    WEBHOOK_CODE_UNREACHABLE, /* no connection: name lookup, TCP or TLS failed */
    WEBHOOK_CODE_NO_ANSWER,   /* in time, or the connection broke before one */
    WEBHOOK_CODE_NOT_PUBLIC,  /* the host has no public address */
    WEBHOOK_CODE_LOST,        /* the worker of each attempt was lost */
    WEBHOOK_CODE_COUNT,
};

extern const char *const webhook_code_names[WEBHOOK_CODE_COUNT]; /* "delivered", "http_status" ... */

struct webhook_verdict {
    enum webhook_action action;
    enum webhook_code code;
    int64_t delay_ms;
    int64_t pause_ms; /* of the host, if it asked for one; 0: as long as such failures make it */
};

struct webhook_verdict webhook_decide(const struct webhook_evidence *evidence);

/* As SETTLE takes it: "delivered" "again" "busy" "failed". */
const char *webhook_action_name(enum webhook_action action);

#endif
