/* redis/pipeline - the commands of one connection that wait for their replies
 *
 * Redis replies in the order of the commands, so a reply belongs to the first waiting call. On a subscriber's connection messages
 * arrive between the replies; they belong to no call.
 *
 * Pure: time is a parameter. Wire format: RESP2, https://redis.io/docs/reference/protocol-spec/.
 * Ownership: the pipeline owns the calls. A callback may add calls, cancel any call, and drop them all.
 * Units:     ms of the monotonic clock.
 */
#ifndef ARKRELAY_REDIS_PIPELINE_H
#define ARKRELAY_REDIS_PIPELINE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/base/err.h"
#include "common/redis/command.h"

struct buf;

enum call_kind { CALL_COMMAND, CALL_SUBSCRIBE, CALL_UNSUBSCRIBE };

struct redis_call {
    TAILQ_ENTRY(redis_call) link;
    enum call_kind kind;
    size_t replies;       /* still to come: one per channel of a subscription command, else 1 */
    redis_reply_fn *done; /* CALL_COMMAND; NULL once cancelled */
    void *arg;
    void (*drop)(void *arg); /* as in struct redis_command */
    int64_t due_ms;
    int64_t sent_us; /* 0: its round trip is not measured */
};

struct pipeline_events {
    void (*on_subscribed)(const char *channel, void *arg);
    void (*on_message)(const char *channel, const char *payload, size_t len, void *arg); /* both may be NULL */
};

struct pipeline {
    TAILQ_HEAD(call_list, redis_call) waiting;
    struct pipeline_events events;
    void *arg;
    bool subscribed;        /* a subscription was confirmed: messages may arrive */
    size_t received;        /* bytes since the deadlines were last extended */
    int64_t extended_to_ms; /* no deadline passes earlier, because reply bytes keep arriving */
};

void pipeline_init(struct pipeline *pipeline, const struct pipeline_events *events, void *arg);

/* Appends the command to `out` and the call to the list, or neither: ERR_NO_MEMORY, ERR_TOO_LONG if `out` has no room. A call is
 * never due before an earlier call, because its reply cannot arrive earlier. */
int pipeline_send(struct pipeline *pipeline, struct buf *out, const struct redis_command *command, enum call_kind kind,
                  int64_t due_ms, struct redis_call **call) MUST_CHECK;
void pipeline_cancel(struct redis_call *call); /* its callback will not run; its reply is still expected */

/* Delivers one reply or message. ERR_SYNTAX: unexpected reply. ERR_REFUSED: Redis refused a subscription. */
int pipeline_reply(struct pipeline *pipeline, const redisReply *reply) MUST_CHECK;

/* Reply bytes arrived. True after every 16 KiB: extend the deadlines. So a large reply that arrives steadily does not time out, and
 * one that arrives in single bytes does. */
bool pipeline_received(struct pipeline *pipeline, size_t len);
void pipeline_extend(struct pipeline *pipeline, int64_t to_ms);
int64_t pipeline_due_ms(const struct pipeline *pipeline); /* when the first call times out; 0: no call waits */

/* The connection is gone. Every callback receives its error: `first` for the first call, `rest` for the others. */
void pipeline_fail(struct pipeline *pipeline, int first, int rest);
void pipeline_drop(struct pipeline *pipeline); /* frees all calls; only their `drop` runs */

#endif
