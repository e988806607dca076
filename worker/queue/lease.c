#include "worker/queue/lease.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"

enum { RENEWAL_MAX = 100 }; /* jobs in one call; it blocks Redis for about 0.5 ms */

/* One RENEW call in flight. An entry that is removed meanwhile becomes NULL. */
struct renewal {
    TAILQ_ENTRY(renewal) link;
    struct lease_keeper *keeper;
    struct script_run *run;
    size_t count;
    struct lease_entry *entries[RENEWAL_MAX];
};

TAILQ_HEAD(entry_list, lease_entry);
TAILQ_HEAD(renewal_list, renewal);

struct lease_keeper {
    struct lease_config config;
    struct loop_timer *timer;
    struct entry_list entries;
    struct renewal_list under_way;
};

static void renewal_destroy(struct renewal *renewal)
{
    TAILQ_REMOVE(&renewal->keeper->under_way, renewal, link);
    for (size_t i = 0; i < renewal->count; i++)
        if (renewal->entries[i])
            renewal->entries[i]->renewal = NULL;
    if (renewal->run)
        script_cancel(renewal->run);
    free(renewal);
}

/* The reply has one answer per entry, in order. The callbacks may remove any entry. */
static void lease_deliver(struct renewal *renewal, const redisReply *reply)
{
    const struct lease_events *events = &renewal->keeper->config.events;

    for (size_t i = 0; i < renewal->count; i++) {
        struct lease_entry *entry = renewal->entries[i];
        const char *answer = script_text(reply, i, NULL);

        if (!entry || !answer)
            continue;
        if (!strcmp(answer, "LOST"))
            events->on_lease_lost(entry, renewal->keeper->config.arg);
        else if (!strcmp(answer, "CANCEL"))
            events->on_cancelled(entry, renewal->keeper->config.arg);
    }
}

static void lease_log_failure(const struct renewal *renewal, const char *why)
{
    char quoted[256];

    log_warn("lease", "lease renewal failed, trying again", "jobs=%zu error=%s", renewal->count,
             log_quote(quoted, sizeof(quoted), why));
}

static void lease_on_renewed(const redisReply *reply, int err, void *arg)
{
    struct renewal *renewal = arg;

    renewal->run = NULL;
    if (err)
        lease_log_failure(renewal, err_text(err));
    else if (reply->type == REDIS_REPLY_ARRAY)
        lease_deliver(renewal, reply);
    else
        lease_log_failure(renewal, reply->str ? reply->str : "unexpected answer");
    renewal_destroy(renewal);
}

static int renewal_send(struct renewal *renewal)
{
    struct script_arg args[1 + 2 * RENEWAL_MAX];
    struct script_call call = {
        .script = &scripts[SCRIPT_RENEW], .prefix = renewal->keeper->config.prefix, .args = args};
    char lease_text[24];

    (void)snprintf(lease_text, sizeof(lease_text), "%lld", (long long)renewal->keeper->config.lease_ms);
    args[call.count++] = SCRIPT_TEXT(lease_text);
    for (size_t i = 0; i < renewal->count; i++) {
        args[call.count++] = SCRIPT_TEXT(renewal->entries[i]->id);
        args[call.count++] = SCRIPT_TEXT(renewal->entries[i]->fence);
    }
    return script_run(renewal->keeper->config.redis, &call, lease_on_renewed, renewal, &renewal->run);
}

/* Fills one call with the entries from *first on that no call in flight names. Sets *first to the first one that did not fit. */
static struct renewal *renewal_create(struct lease_keeper *keeper, struct lease_entry **first)
{
    struct renewal *renewal = calloc(1, sizeof(*renewal));
    struct lease_entry *entry = *first;

    if (!renewal)
        return NULL;
    renewal->keeper = keeper;
    TAILQ_INSERT_TAIL(&keeper->under_way, renewal, link);
    for (; entry && renewal->count < RENEWAL_MAX; entry = TAILQ_NEXT(entry, link)) {
        if (entry->renewal)
            continue;
        entry->renewal = renewal;
        entry->place = renewal->count;
        renewal->entries[renewal->count++] = entry;
    }
    *first = entry;
    return renewal;
}

void lease_renew_now(struct lease_keeper *keeper)
{
    struct lease_entry *entry = TAILQ_FIRST(&keeper->entries);

    while (entry) {
        struct renewal *renewal = renewal_create(keeper, &entry);

        if (!renewal) {
            log_warn("lease", "lease renewal failed, out of memory", "");
            return;
        }
        if (renewal->count == 0 || renewal_send(renewal))
            renewal_destroy(renewal);
    }
}

static void lease_schedule(struct lease_keeper *keeper)
{
    loop_timer_start(keeper->timer, keeper->config.lease_ms / 3);
}

static void lease_on_timer(void *arg)
{
    struct lease_keeper *keeper = arg;

    lease_schedule(keeper);
    lease_renew_now(keeper);
}

struct lease_keeper *lease_keeper_create(const struct lease_config *config)
{
    struct lease_keeper *keeper = calloc(1, sizeof(*keeper));

    if (!keeper)
        return NULL;
    keeper->config = *config;
    TAILQ_INIT(&keeper->entries);
    TAILQ_INIT(&keeper->under_way);
    keeper->timer = loop_timer_create(config->loop, lease_on_timer, keeper);
    if (!keeper->timer)
        return lease_keeper_destroy(keeper);
    lease_schedule(keeper);
    return keeper;
}

struct lease_keeper *lease_keeper_destroy(struct lease_keeper *keeper)
{
    struct renewal *renewal;

    if (!keeper)
        return NULL;
    assert(TAILQ_EMPTY(&keeper->entries));
    while ((renewal = TAILQ_FIRST(&keeper->under_way)))
        renewal_destroy(renewal); /* NOLINT(clang-analyzer-unix.Malloc): renewal_destroy removes it from the list */
    loop_timer_destroy(keeper->timer);
    free(keeper);
    return NULL;
}

void lease_add(struct lease_keeper *keeper, struct lease_entry *entry)
{
    entry->renewal = NULL;
    TAILQ_INSERT_TAIL(&keeper->entries, entry, link);
}

void lease_remove(struct lease_keeper *keeper, struct lease_entry *entry)
{
    TAILQ_REMOVE(&keeper->entries, entry, link);
    if (entry->renewal)
        entry->renewal->entries[entry->place] = NULL;
}
