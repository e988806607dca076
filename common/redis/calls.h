/* redis/calls - what was asked of Redis and not yet answered, in the order of asking
 *
 * Replies come in the order of the commands, so the first call is the one that the next reply answers. On a subscriber's connection
 * messages come in between; they belong to no call.
 *
 * Ownership: calls are the list's. A callback may add calls, cancel any, and forget the whole list.
 * Units:     ms, of the monotonic clock.
 */
#ifndef ARKRELAY_REDIS_CALLS_H
#define ARKRELAY_REDIS_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/redis/client.h"

enum call_kind { CALL_COMMAND, CALL_SUBSCRIBE, CALL_UNSUBSCRIBE };

struct redis_call {
    TAILQ_ENTRY(redis_call) link;
    enum call_kind kind;
    size_t replies;       /* still to come; above 1 for several channels in one command */
    redis_reply_fn *done; /* CALL_COMMAND; NULL once it is cancelled */
    void *arg;
    void (*forgotten)(void *arg); /* frees arg when `done` will never run; NULL: nobody needs to know */
    int64_t due_ms;
    int64_t sent_us; /* 0: its time is not measured */
};

struct calls {
    TAILQ_HEAD(call_list, redis_call) waiting;
    bool subscribed; /* a subscription was confirmed: messages may come */
};

void calls_init(struct calls *calls);

/* NULL when out of memory. No reply can come before the one ahead of it, so no call is due before the one ahead of it. */
struct redis_call *calls_add(struct calls *calls, enum call_kind kind, int64_t due_ms);
void calls_remove(struct calls *calls, struct redis_call *call); /* it was never sent */

/* Hands one reply to whom it belongs. ERR_SYNTAX when nobody expects it, ERR_REFUSED when Redis refused a subscription. */
int calls_answer(struct calls *calls, const redisReply *reply, const struct redis_events *events, void *arg) MUST_CHECK;

void calls_fail(struct calls *calls, int first, int rest); /* every callback gets its error: the first call its own */
void calls_forget(struct calls *calls);                    /* no callback runs but `forgotten` */

#endif
