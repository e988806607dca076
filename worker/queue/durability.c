#include "worker/queue/durability.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "common/redis/client.h"

enum { MARGIN_MS = 2000 };

struct durable_wait {
    TAILQ_ENTRY(durable_wait) link;
    durable_fn *done; /* NULL: cancelled */
    void *arg;
};

TAILQ_HEAD(wait_list, durable_wait);

struct durable {
    struct redis *redis;
    enum durability kind;
    int64_t timeout_ms;
    struct wait_list next;  /* for the command after the one under way */
    struct wait_list asked; /* what the one under way confirms */
    struct redis_call *call;
};

static void tell_all(struct wait_list *waits, bool confirmed)
{
    struct durable_wait *wait;

    while ((wait = TAILQ_FIRST(waits))) {
        TAILQ_REMOVE(waits, wait, link);
        if (wait->done)
            wait->done(confirmed, wait->arg);
        free(wait);
    }
}

/* WAITAOF answers {local, replicas}, WAIT the number of replicas. */
static bool is_confirmed(const struct durable *durable, const redisReply *reply)
{
    if (durable->kind == DURABILITY_REPLICA)
        return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 1;
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_INTEGER &&
           reply->element[0]->integer >= 1;
}

static int ask(struct durable *durable);

static void on_answer(const redisReply *reply, int err, void *arg)
{
    struct durable *durable = arg;
    bool confirmed = !err && is_confirmed(durable, reply);
    char why[256];

    durable->call = NULL;
    if (!confirmed)
        log_warn("durable", "the record of paid calls is not confirmed; they are not made", "error=%s",
                 log_quote(why, sizeof(why),
                           err                                ? err_text(err)
                           : reply->type == REDIS_REPLY_ERROR ? reply->str
                                                              : "no confirmation in time"));
    tell_all(&durable->asked, confirmed);
    if (ask(durable))
        tell_all(&durable->next, false);
}

static int send_wait(struct durable *durable)
{
    char timeout[24];
    const char *aof[] = {"WAITAOF", "1", "0", timeout}, *replica[] = {"WAIT", "1", timeout};
    bool is_aof = durable->kind == DURABILITY_AOF;
    struct redis_command command = {
        .argc = is_aof ? 4 : 3, .argv = is_aof ? aof : replica, .timeout_ms = durable->timeout_ms + MARGIN_MS};
    size_t lengths[4];

    (void)snprintf(timeout, sizeof(timeout), "%lld", (long long)durable->timeout_ms);
    for (int i = 0; i < command.argc; i++)
        lengths[i] = strlen(command.argv[i]);
    command.lengths = lengths;
    return redis_send(durable->redis, &command, on_answer, durable, &durable->call);
}

/* One command for all that wait, once the one before it has been answered. */
static int ask(struct durable *durable)
{
    int err;

    if (durable->call || TAILQ_EMPTY(&durable->next))
        return 0;
    err = send_wait(durable);
    if (!err)
        TAILQ_CONCAT(&durable->asked, &durable->next, link);
    return err;
}

struct durable *durable_create(struct redis *redis, enum durability kind, int64_t timeout_ms)
{
    struct durable *durable = calloc(1, sizeof(*durable));

    if (!durable)
        return NULL;
    durable->redis = redis;
    durable->kind = kind;
    durable->timeout_ms = timeout_ms;
    TAILQ_INIT(&durable->next);
    TAILQ_INIT(&durable->asked);
    return durable;
}

struct durable *durable_destroy(struct durable *durable)
{
    if (!durable)
        return NULL;
    if (durable->call)
        redis_cancel(durable->call);
    tell_all(&durable->next, false);
    tell_all(&durable->asked, false);
    free(durable);
    return NULL;
}

struct durable_wait *durable_confirm(struct durable *durable, durable_fn *done, void *arg)
{
    struct durable_wait *wait = calloc(1, sizeof(*wait));

    if (!wait)
        return NULL;
    wait->done = done;
    wait->arg = arg;
    TAILQ_INSERT_TAIL(&durable->next, wait, link);
    if (ask(durable)) {
        TAILQ_REMOVE(&durable->next, wait, link);
        free(wait);
        return NULL;
    }
    return wait;
}

void durable_cancel(struct durable_wait *wait)
{
    wait->done = NULL;
}
