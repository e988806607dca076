#include "worker/outbox/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"

enum {
    POLL_MS = 500, /* new entries are found within that time */
    NONCE_BYTES = 8,
    SETTLE_ARGS = 3 + OUTBOX_VALUES_MAX,
};

/* A kind, and the LEASE that is asked for it. */
struct asking {
    struct outbox *outbox;
    const struct outbox_kind *kind;
    struct script_run *run;
    int busy;
    int64_t waiting;
};

TAILQ_HEAD(outbox_entries, outbox_entry);

struct outbox {
    struct outbox_config config;
    struct loop_timer *timer;
    struct asking asking[OUTBOX_KINDS_MAX];
    size_t kind_count;
    struct outbox_entries entries;
    bool stopped;
};

static struct asking *asking_of(struct outbox *outbox, const struct outbox_kind *kind)
{
    size_t i = 0;

    while (outbox->asking[i].kind != kind)
        i++;
    return &outbox->asking[i];
}

static bool outbox_is_idle(const struct outbox *outbox)
{
    for (size_t i = 0; i < outbox->kind_count; i++)
        if (outbox->asking[i].run)
            return false;
    return TAILQ_EMPTY(&outbox->entries);
}

static void outbox_ask(struct outbox *outbox);

static void outbox_continue(struct outbox *outbox)
{
    if (!outbox->stopped)
        outbox_ask(outbox);
    else if (outbox_is_idle(outbox))
        outbox->config.on_idle(outbox->config.arg);
}

/* -- the end of an entry */

static void entry_free(struct outbox_entry *entry)
{
    struct outbox *outbox = entry->outbox;

    TAILQ_REMOVE(&outbox->entries, entry, link);
    asking_of(outbox, entry->kind)->busy--;
    if (entry->settle)
        script_cancel(entry->settle);
    entry->kind->destroy(entry);
}

void outbox_leave(struct outbox_entry *entry)
{
    struct outbox *outbox = entry->outbox;

    entry_free(entry);
    outbox_continue(outbox);
}

static void outbox_on_settled(const redisReply *reply, int err, void *arg)
{
    struct outbox_entry *entry = arg;
    const char *answer = err ? "" : script_answer(reply);

    entry->settle = NULL;
    if (*answer && entry->kind->on_settled && entry->kind->on_settled(entry, answer))
        return;
    if (err || !*answer || !strcmp(answer, "LOST"))
        log_warn("outbox", "result not recorded, the work will be repeated", "queue=%s entry=%.*s reason=\"%s\"",
                 entry->kind->queue, OUTBOX_LOG_ID, entry->id,
                 err       ? err_text(err)
                 : *answer ? answer
                           : "error reply");
    outbox_leave(entry);
}

/* If the report cannot be sent, the lease expires and the work is repeated. */
void outbox_settle(struct outbox_entry *entry, const char *const *values)
{
    struct script_arg args[SETTLE_ARGS] = {SCRIPT_TEXT(entry->kind->queue), SCRIPT_TEXT(entry->id),
                                           SCRIPT_TEXT(entry->fence)};
    struct script_call call = {
        .script = &scripts[SCRIPT_SETTLE], .prefix = entry->outbox->config.prefix, .args = args, .count = 3};

    for (; *values && call.count < SETTLE_ARGS; values++)
        args[call.count++] = SCRIPT_TEXT(*values);
    if (script_run(entry->outbox->config.redis, &call, outbox_on_settled, entry, &entry->settle)) {
        entry->settle = NULL;
        outbox_leave(entry);
    }
}

void outbox_put_off(struct outbox_entry *entry, const char *outcome, int64_t delay_ms)
{
    char delay[DECIMAL_SIZE];

    (void)decimal_write(delay, delay_ms);
    outbox_settle(entry, (const char *const[]){outcome, delay, NULL});
}

/* -- leases */

/* {entry, fence, tries, fields of the kind ...} */
static struct outbox_entry *read_entry(struct asking *asking, const redisReply *reply)
{
    const char *id = script_text(reply, 0, NULL), *fence = script_text(reply, 1, NULL);
    struct outbox_entry *entry;
    int64_t tries;

    if (!id || !fence || strlen(id) >= OUTBOX_ID_SIZE || strlen(fence) >= OUTBOX_FENCE_SIZE ||
        script_int(reply, 2, &tries) || tries < 0)
        return NULL;
    entry = asking->kind->create(reply, asking->kind->owner);
    if (!entry)
        return NULL;
    entry->outbox = asking->outbox;
    entry->kind = asking->kind;
    entry->tries = tries;
    entry->leased_ms = clock_monotonic_ms();
    (void)snprintf(entry->id, sizeof(entry->id), "%s", id);
    (void)snprintf(entry->fence, sizeof(entry->fence), "%s", fence);
    return entry;
}

static void start_entry(struct asking *asking, const redisReply *reply)
{
    struct outbox *outbox = asking->outbox;
    struct outbox_entry *entry = read_entry(asking, reply);

    if (!entry) {
        log_error("outbox", "LEASE returned an entry that cannot be used, its lease will expire", "queue=%s",
                  asking->kind->queue);
        return;
    }
    TAILQ_INSERT_TAIL(&outbox->entries, entry, link);
    asking->busy++;
    if (outbox->stopped)
        outbox_put_off(entry, "later", 0);
    else
        asking->kind->start(entry);
}

static void outbox_on_leased(const redisReply *reply, int err, void *arg)
{
    struct asking *asking = arg;
    struct outbox *outbox = asking->outbox;
    char why[256];

    asking->run = NULL;
    if (!err && script_int(reply, 1, &asking->waiting))
        log_warn("outbox", "LEASE failed, trying again", "queue=%s error=%s", asking->kind->queue,
                 log_quote(why, sizeof(why), reply->str ? reply->str : "unexpected answer"));
    else if (!err)
        for (size_t i = 2; i < reply->elements; i++)
            start_entry(asking, reply->element[i]);
    if (outbox->stopped) /* otherwise outbox_resume, the timer or the end of an entry asks again */
        outbox_continue(outbox);
}

static void send_lease(struct asking *asking, int room)
{
    const struct outbox_config *config = &asking->outbox->config;
    char most[DECIMAL_SIZE], lane[DECIMAL_SIZE], lease[DECIMAL_SIZE], nonce[2 * NONCE_BYTES + 1];
    struct script_arg args[] = {
        SCRIPT_TEXT(asking->kind->queue), {most,  0              },
         {lane,  0              },
         {lease, 0              },
         {nonce, 2 * NONCE_BYTES},
    };
    const struct script_call call = {
        .script = &scripts[SCRIPT_LEASE], .prefix = config->prefix, .args = args, .count = ARRAY_LENGTH(args)};

    args[1].len = decimal_write(most, room);
    args[2].len = decimal_write(lane, asking->kind->lane_most);
    args[3].len = decimal_write(lease, asking->kind->lease_ms ? asking->kind->lease_ms : config->lease_ms);
    random_hex(nonce, NONCE_BYTES);
    if (script_run(config->redis, &call, outbox_on_leased, asking, &asking->run))
        asking->run = NULL; /* not connected: outbox_resume asks again */
}

static void outbox_ask(struct outbox *outbox)
{
    for (size_t i = 0; i < outbox->kind_count && !outbox->stopped; i++) {
        struct asking *asking = &outbox->asking[i];
        int room = asking->run ? 0 : asking->kind->room(asking->busy, asking->kind->owner);

        if (room > 0)
            send_lease(asking, room);
    }
}

static void outbox_on_timer(void *arg)
{
    struct outbox *outbox = arg;

    loop_timer_start(outbox->timer, POLL_MS / 2 + (int64_t)(random_unit() * POLL_MS));
    outbox_ask(outbox);
}

/* -- create and destroy */

struct outbox *outbox_create(const struct outbox_config *config)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));

    if (!outbox)
        return NULL;
    outbox->config = *config;
    TAILQ_INIT(&outbox->entries);
    for (size_t i = 0; i < OUTBOX_KINDS_MAX && config->kinds[i]; i++)
        outbox->asking[outbox->kind_count++] = (struct asking){.outbox = outbox, .kind = config->kinds[i]};
    outbox->timer = loop_timer_create(config->loop, outbox_on_timer, outbox);
    if (!outbox->timer)
        return outbox_destroy(outbox);
    loop_timer_start(outbox->timer, POLL_MS);
    return outbox;
}

struct outbox *outbox_destroy(struct outbox *outbox)
{
    if (!outbox)
        return NULL;
    while (!TAILQ_EMPTY(&outbox->entries))
        entry_free(TAILQ_FIRST(&outbox->entries));
    for (size_t i = 0; i < outbox->kind_count; i++)
        if (outbox->asking[i].run)
            script_cancel(outbox->asking[i].run);
    loop_timer_destroy(outbox->timer);
    free(outbox);
    return NULL;
}

void outbox_resume(struct outbox *outbox)
{
    outbox_ask(outbox);
}

bool outbox_stop(struct outbox *outbox)
{
    struct outbox_entry *entry, *next;

    outbox->stopped = true;
    loop_timer_stop(outbox->timer);
    for (entry = TAILQ_FIRST(&outbox->entries); entry; entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (!entry->settle && redis_is_ready(outbox->config.redis) && entry->kind->stop(entry))
            outbox_put_off(entry, "later", 0);
    }
    return outbox_is_idle(outbox);
}

int64_t outbox_waiting(const struct outbox *outbox, const struct outbox_kind *kind)
{
    for (size_t i = 0; i < outbox->kind_count; i++)
        if (outbox->asking[i].kind == kind)
            return outbox->asking[i].waiting;
    return 0;
}
