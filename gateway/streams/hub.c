#include "gateway/streams/hub.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/base/macros.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "gateway/streams/missed_events.h"
#include "gateway/streams/watch.h"

enum { PARKED_MS = 250, PARKED_MAX = 100 };

TAILQ_HEAD(watch_list, watch);

struct hub {
    struct loop *loop;
    struct redis *subscriber;
    struct watch_context context;
    struct watch_list watches; /* with viewers, or with a subscription that is not confirmed yet */
    struct watch_list parked;  /* subscribed, but without viewers: kept for PARKED_MS, at most PARKED_MAX */
    size_t parked_count;
    struct loop_timer *parked_timer;
    /* tsearch(3) tree of watch->id. Clients choose the ids: a balanced tree has no slow inputs, unlike a hash table. */
    void *by_id;
};

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct watch *hub_find_watch(struct hub *hub, const char *full_id)
{
    char *const *node = tfind(full_id, &hub->by_id, compare_ids);

    return node ? container_of(*node, struct watch, id) : NULL;
}

/* -- watches and subscriptions */

static struct watch *hub_add_watch(struct hub *hub, const char *full_id)
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

static void remove_from_list(struct hub *hub, struct watch *watch)
{
    TAILQ_REMOVE(watch->parked ? &hub->parked : &hub->watches, watch, link);
    if (watch->parked)
        hub->parked_count--;
}

/* Freed at the end of the turn: its functions may still be on the stack. */
static void hub_drop_watch(struct hub *hub, struct watch *watch)
{
    watch_stop(watch);
    tdelete(watch->id, &hub->by_id, compare_ids);
    remove_from_list(hub, watch);
    loop_defer(hub->loop, &watch->deferred, free, watch);
}

static void drop_list(struct hub *hub, struct watch_list *list)
{
    struct watch *watch;

    while ((watch = TAILQ_FIRST(list)))
        hub_drop_watch(hub, watch);
}

static int subscribe(struct hub *hub, struct watch *watch)
{
    char channel[KEYS_CHANNEL_SIZE];
    int err;

    keys_channel(channel, watch->id);
    err = redis_subscribe(hub->subscriber, channel);
    if (!err)
        watch->subscribe_sent = true;
    return err;
}

static void park(struct hub *hub, struct watch *watch)
{
    remove_from_list(hub, watch);
    watch->parked = true;
    TAILQ_INSERT_TAIL(&hub->parked, watch, link);
    hub->parked_count++;
}

static void unpark(struct hub *hub, struct watch *watch)
{
    remove_from_list(hub, watch);
    watch->parked = false;
    TAILQ_INSERT_TAIL(&hub->watches, watch, link);
}

static void unsubscribe_parked(struct hub *hub)
{
    size_t count = 0;
    char(*channels)[KEYS_CHANNEL_SIZE] = calloc(hub->parked_count, sizeof(*channels));
    const char **names = calloc(hub->parked_count, sizeof(*names));
    const struct watch *watch;

    if (channels && names) {
        TAILQ_FOREACH (watch, &hub->parked, link) {
            keys_channel(channels[count], watch->id);
            names[count] = channels[count];
            count++;
        }
    }
    if (!count || redis_unsubscribe(hub->subscriber, names, count))
        log_debug("hub", "unsubscribe failed, messages will be ignored", "tasks=%zu", hub->parked_count);
    free(names);
    free(channels);
}

static void drop_parked(struct hub *hub)
{
    if (TAILQ_EMPTY(&hub->parked))
        return;
    unsubscribe_parked(hub);
    drop_list(hub, &hub->parked);
}

static void hub_on_parked_timer(void *arg)
{
    drop_parked(arg);
}

/* Does nothing if the watch has viewers. Else it is dropped at once if it was never subscribed, parked if it is subscribed, and kept as it
 * is until the confirmation arrives if SUBSCRIBE is under way (see hub.h). */
static void retire_unwatched(struct hub *hub, struct watch *watch)
{
    if (!TAILQ_EMPTY(&watch->viewers) || (watch->subscribe_sent && !watch->subscribed))
        return;
    if (!watch->subscribed) {
        hub_drop_watch(hub, watch);
        return;
    }
    park(hub, watch);
    if (hub->parked_count == 1)
        loop_timer_start(hub->parked_timer, PARKED_MS);
    else if (hub->parked_count >= PARKED_MAX)
        drop_parked(hub);
}

/* -- the subscriber connection */

static void hub_on_ready(void *arg)
{
    struct hub *hub = arg;
    struct watch *watch;

    TAILQ_FOREACH (watch, &hub->watches, link)
        if (subscribe(hub, watch))
            log_warn("hub", "subscribe failed, relying on the tail check", "task=%s", watch->id);
}

/* Redis forgets all subscriptions with the connection, so watches without viewers have no reason to stay. */
static void hub_on_disconnected(void *arg)
{
    struct hub *hub = arg;
    struct watch *watch, *next;

    drop_list(hub, &hub->parked);
    TAILQ_FOREACH_SAFE (watch, &hub->watches, link, next) {
        watch->subscribe_sent = watch->subscribed = false;
        watch_on_disconnected(watch);
        retire_unwatched(hub, watch);
    }
}

static struct watch *watch_of_channel(struct hub *hub, const char *channel)
{
    const char *full_id = keys_channel_id(channel);

    return full_id ? hub_find_watch(hub, full_id) : NULL;
}

/* Each SUBSCRIBE is confirmed once, in order, and a watch is not dropped before: the confirmation is that of this watch. The viewers of a
 * POST have sent their SUBMIT by now; they are told nevertheless, because Redis may have run SUBMIT first (see watch.h). */
static void hub_on_subscribed(const char *channel, void *arg)
{
    struct hub *hub = arg;
    struct watch *watch = watch_of_channel(hub, channel);

    if (!watch)
        return;
    watch->subscribed = true;
    if (TAILQ_EMPTY(&watch->viewers))
        retire_unwatched(hub, watch);
    else
        watch_on_subscribed(watch);
}

/* One element of the log, or several, one per line. A viewer may leave at each of them, and with the last one the watch. */
static void hub_on_message(const char *channel, const char *payload, size_t len, void *arg)
{
    const char *end = payload + len;
    struct watch *watch;

    while (payload < end && (watch = watch_of_channel(arg, channel))) {
        const char *line_end = memchr(payload, '\n', (size_t)(end - payload));

        if (!line_end)
            line_end = end;
        watch_on_message(watch, payload, (size_t)(line_end - payload));
        payload = line_end + 1;
    }
}

static void hub_on_missed(const char *full_id, void *arg)
{
    struct watch *watch = hub_find_watch(arg, full_id);

    if (watch)
        watch_on_missed_events(watch);
}

/* -- create and destroy */

struct hub *hub_create(struct loop *loop, const struct hub_config *config)
{
    struct hub *hub = calloc(1, sizeof(*hub));
    struct redis_config subscriber = *config->subscriber;

    if (!hub)
        return NULL;
    hub->loop = loop;
    TAILQ_INIT(&hub->watches);
    TAILQ_INIT(&hub->parked);
    hub->parked_timer = loop_timer_create(loop, hub_on_parked_timer, hub);
    hub->context.commands = config->commands;
    hub->context.latency = config->latency;
    hub->context.missed_events =
        missed_events_create(loop, &(struct missed_events_config){.commands = config->commands,
                                                                  .silence_ms = config->tail_check_ms,
                                                                  .id_of = watch_id_of_cursor,
                                                                  .on_missed = hub_on_missed,
                                                                  .arg = hub});
    hub->context.hints = waiting_hints_create(loop, &(struct waiting_hints_config){.commands = config->commands,
                                                                                   .interval_ms = config->hints_ms,
                                                                                   .id_of = watch_id_of_hint,
                                                                                   .on_place = watch_on_place});
    subscriber.events = (struct redis_events){.on_ready = hub_on_ready,
                                              .on_disconnected = hub_on_disconnected,
                                              .on_subscribed = hub_on_subscribed,
                                              .on_message = hub_on_message};
    subscriber.arg = hub;
    hub->subscriber = redis_create(loop, &subscriber);
    return hub->parked_timer && hub->context.missed_events && hub->context.hints && hub->subscriber ? hub
                                                                                                    : hub_destroy(hub);
}

struct hub *hub_destroy(struct hub *hub)
{
    if (!hub)
        return NULL;
    drop_list(hub, &hub->parked);
    drop_list(hub, &hub->watches);
    loop_timer_destroy(hub->parked_timer);
    redis_destroy(hub->subscriber);
    missed_events_destroy(hub->context.missed_events);
    waiting_hints_destroy(hub->context.hints);
    free(hub);
    return NULL;
}

/* -- viewers */

int hub_join(struct hub *hub, struct viewer *viewer, const char *full_id)
{
    struct watch *watch = hub_find_watch(hub, full_id);
    int err;

    if (!watch)
        watch = hub_add_watch(hub, full_id);
    if (!watch)
        return ERR_NO_MEMORY;
    if (watch->parked)
        unpark(hub, watch);
    err = watch->subscribe_sent ? 0 : subscribe(hub, watch);
    if (err) {
        retire_unwatched(hub, watch);
        return err;
    }
    TAILQ_INSERT_TAIL(&watch->viewers, viewer, link);
    viewer->watch = watch;
    return 0;
}

void hub_leave(struct hub *hub, struct viewer *viewer)
{
    struct watch *watch = viewer->watch;

    TAILQ_REMOVE(&watch->viewers, viewer, link);
    viewer->watch = NULL;
    retire_unwatched(hub, watch);
}

bool hub_is_watched(struct hub *hub, const char *full_id)
{
    const struct watch *watch = hub_find_watch(hub, full_id);

    return watch && !TAILQ_EMPTY(&watch->viewers);
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
