#include "worker/queue/durability.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/log.h"
#include "common/redis/client.h"

enum { MARGIN_MS = 2000 };

struct durability_wait {
    TAILQ_ENTRY(durability_wait) link;
    durability_fn *done; /* NULL: cancelled */
    void *arg;
};

TAILQ_HEAD(wait_list, durability_wait);

struct durability {
    struct redis *redis;
    enum durability_level kind;
    int64_t timeout_ms;
    struct wait_list next;  /* for the next command */
    struct wait_list asked; /* for the command in flight */
    struct redis_call *call;
};

static void answer_all(struct wait_list *waits, bool confirmed)
{
    struct durability_wait *wait;

    while ((wait = TAILQ_FIRST(waits))) {
        TAILQ_REMOVE(waits, wait, link);
        if (wait->done)
            wait->done(confirmed, wait->arg);
        free(wait);
    }
}

/* WAITAOF answers {local, replicas}, WAIT the number of replicas. */
static bool is_confirmed(const struct durability *durability, const redisReply *reply)
{
    if (durability->kind == DURABILITY_REPLICA)
        return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 1;
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_INTEGER &&
           reply->element[0]->integer >= 1;
}

static int durability_send_next(struct durability *durability);

static void durability_on_answer(const redisReply *reply, int err, void *arg)
{
    struct durability *durability = arg;
    bool confirmed = !err && is_confirmed(durability, reply);
    char why[256];

    durability->call = NULL;
    if (!confirmed)
        log_warn("durable", "record of paid calls not confirmed, not calling ARK", "error=%s",
                 log_quote(why, sizeof(why),
                           err                                ? err_text(err)
                           : reply->type == REDIS_REPLY_ERROR ? reply->str
                                                              : "no confirmation in time"));
    answer_all(&durability->asked, confirmed);
    if (durability_send_next(durability))
        answer_all(&durability->next, false);
}

static int send_wait(struct durability *durability)
{
    char timeout[24];
    const char *aof[] = {"WAITAOF", "1", "0", timeout}, *replica[] = {"WAIT", "1", timeout};
    bool is_aof = durability->kind == DURABILITY_AOF;
    struct redis_command command = {
        .argc = is_aof ? 4 : 3, .argv = is_aof ? aof : replica, .timeout_ms = durability->timeout_ms + MARGIN_MS};
    size_t lengths[4];

    (void)snprintf(timeout, sizeof(timeout), "%lld", (long long)durability->timeout_ms);
    for (int i = 0; i < command.argc; i++)
        lengths[i] = strlen(command.argv[i]);
    command.lengths = lengths;
    return redis_send(durability->redis, &command, durability_on_answer, durability, &durability->call);
}

/* Sends one command for all waits, unless one is in flight. */
static int durability_send_next(struct durability *durability)
{
    int err;

    if (durability->call || TAILQ_EMPTY(&durability->next))
        return 0;
    err = send_wait(durability);
    if (!err)
        TAILQ_CONCAT(&durability->asked, &durability->next, link);
    return err;
}

struct durability *durability_create(struct redis *redis, enum durability_level kind, int64_t timeout_ms)
{
    struct durability *durability = calloc(1, sizeof(*durability));

    if (!durability)
        return NULL;
    durability->redis = redis;
    durability->kind = kind;
    durability->timeout_ms = timeout_ms;
    TAILQ_INIT(&durability->next);
    TAILQ_INIT(&durability->asked);
    return durability;
}

struct durability *durability_destroy(struct durability *durability)
{
    if (!durability)
        return NULL;
    if (durability->call)
        redis_cancel(durability->call);
    answer_all(&durability->next, false);
    answer_all(&durability->asked, false);
    free(durability);
    return NULL;
}

struct durability_wait *durability_confirm(struct durability *durability, durability_fn *done, void *arg)
{
    struct durability_wait *wait = calloc(1, sizeof(*wait));

    if (!wait)
        return NULL;
    wait->done = done;
    wait->arg = arg;
    TAILQ_INSERT_TAIL(&durability->next, wait, link);
    if (durability_send_next(durability)) {
        TAILQ_REMOVE(&durability->next, wait, link);
        free(wait);
        return NULL;
    }
    return wait;
}

void durability_cancel(struct durability_wait *wait)
{
    wait->done = NULL;
}
