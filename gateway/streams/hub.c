#include "gateway/streams/hub.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/keys.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/redis/client.h"
#include "gateway/streams/stream.h"
#include "gateway/streams/watch.h"

TAILQ_HEAD(watch_list, watch);

struct hub {
    struct loop *loop;
    struct redis *subscriber;
    struct watch_context context;
    struct watch_list watches;
    void *by_id; /* tsearch(3)'s tree of watch->id: clients choose the ids, and no choice makes a tree slow */
};

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct watch *find(struct hub *hub, const char *full_id)
{
    char *const *node = tfind(full_id, &hub->by_id, compare_ids);

    return node ? container_of(*node, struct watch, id) : NULL;
}

/* -- a watch comes and goes */

static struct watch *add(struct hub *hub, const char *full_id)
{
    struct watch *watch = watch_create(&hub->context, full_id);

    if (!watch)
        return NULL;
    if (!tsearch(watch->id, &hub->by_id, compare_ids)) {
        free(watch);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&hub->watches, watch, link);
    return watch;
}

/* Its own functions may still be on the stack. */
static void drop(struct hub *hub, struct watch *watch)
{
    watch_stop(watch);
    tdelete(watch->id, &hub->by_id, compare_ids);
    TAILQ_REMOVE(&hub->watches, watch, link);
    loop_defer(hub->loop, &watch->deferred, free, watch);
}

static int subscribe(struct hub *hub, struct watch *watch)
{
    char channel[KEYS_CHANNEL_SIZE];
    int err;

    keys_channel(channel, watch->id, keys_partition(watch->id, 1));
    err = redis_subscribe(hub->subscriber, channel);
    if (!err)
        watch->asked = true;
    return err;
}

static void unsubscribe(struct hub *hub, struct watch *watch)
{
    char channel[KEYS_CHANNEL_SIZE];

    keys_channel(channel, watch->id, keys_partition(watch->id, 1));
    if (redis_unsubscribe(hub->subscriber, channel))
        log_debug("hub", "cannot unsubscribe; messages will be ignored", "task=%s", watch->id);
}

static void drop_if_unused(struct hub *hub, struct watch *watch)
{
    if (!TAILQ_EMPTY(&watch->streams) || (watch->asked && !watch->subscribed))
        return;
    if (watch->subscribed)
        unsubscribe(hub, watch);
    drop(hub, watch);
}

/* -- what the connection tells */

static void on_ready(void *arg)
{
    struct hub *hub = arg;
    struct watch *watch;

    TAILQ_FOREACH (watch, &hub->watches, link)
        if (subscribe(hub, watch))
            log_warn("hub", "cannot subscribe again; only the tail check serves this task", "task=%s", watch->id);
}

static void on_lost(void *arg)
{
    struct hub *hub = arg;
    struct watch *watch = TAILQ_FIRST(&hub->watches);

    while (watch) {
        struct watch *next = TAILQ_NEXT(watch, link);

        watch->asked = watch->subscribed = false;
        drop_if_unused(hub, watch);
        watch = next;
    }
}

static struct watch *watch_of_channel(struct hub *hub, const char *channel)
{
    const char *full_id = keys_channel_id(channel);

    return full_id ? find(hub, full_id) : NULL;
}

static void on_subscribed(const char *channel, void *arg)
{
    struct hub *hub = arg;
    struct watch *watch = watch_of_channel(hub, channel);

    if (!watch)
        return;
    watch->subscribed = true;
    if (TAILQ_EMPTY(&watch->streams))
        drop_if_unused(hub, watch);
    else
        watch_on_subscribed(watch);
}

static void on_message(const char *channel, const char *payload, size_t len, void *arg)
{
    struct watch *watch = watch_of_channel(arg, channel);

    if (watch)
        watch_on_message(watch, payload, len);
}

/* -- the hub */

struct hub *hub_create(struct loop *loop, const struct hub_config *config)
{
    struct hub *hub = calloc(1, sizeof(*hub));
    struct redis_config subscriber = *config->subscriber;

    if (!hub)
        return NULL;
    hub->loop = loop;
    TAILQ_INIT(&hub->watches);
    hub->context.commands = config->commands;
    hub->context.latency = config->latency;
    hub->context.tail_checks = timeouts_create(loop, config->tail_check_ms, watch_on_silence, NULL);
    hub->context.hints =
        hints_create(loop, &(struct hints_config){.commands = config->commands, .interval_ms = config->hints_ms});
    subscriber.events = (struct redis_events){on_ready, on_lost, on_subscribed, on_message, NULL};
    subscriber.arg = hub;
    hub->subscriber = redis_create(loop, &subscriber);
    return hub->context.tail_checks && hub->context.hints && hub->subscriber ? hub : hub_destroy(hub);
}

struct hub *hub_destroy(struct hub *hub)
{
    struct watch *watch;

    if (!hub)
        return NULL;
    while ((watch = TAILQ_FIRST(&hub->watches)))
        drop(hub, watch);
    redis_destroy(hub->subscriber);
    timeouts_destroy(hub->context.tail_checks);
    hints_destroy(hub->context.hints);
    free(hub);
    return NULL;
}

int hub_join(struct hub *hub, struct stream *stream, const char *full_id)
{
    struct watch *watch = find(hub, full_id);
    int err;

    if (!watch)
        watch = add(hub, full_id);
    if (!watch)
        return ERR_NO_MEMORY;
    err = watch->asked ? 0 : subscribe(hub, watch);
    if (err) {
        drop_if_unused(hub, watch);
        return err;
    }
    TAILQ_INSERT_TAIL(&watch->streams, stream, viewer);
    stream->watch = watch;
    return 0;
}

void hub_leave(struct hub *hub, struct stream *stream)
{
    struct watch *watch = stream->watch;

    TAILQ_REMOVE(&watch->streams, stream, viewer);
    stream->watch = NULL;
    drop_if_unused(hub, watch);
}

bool hub_is_watched(struct hub *hub, const char *full_id)
{
    const struct watch *watch = find(hub, full_id);

    return watch && !TAILQ_EMPTY(&watch->streams);
}

bool hub_is_ready(const struct hub *hub)
{
    return redis_is_ready(hub->subscriber);
}

void hub_on_commands_ready(struct hub *hub)
{
    struct watch *watch;

    TAILQ_FOREACH (watch, &hub->watches, link)
        watch_on_commands_ready(watch);
}
