#include "gateway/streams/queue_positions.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/redis/script.h"
#include "gateway/streams/queue_rate.h"
#include "gateway/streams/watch.h"

enum {
    REPEAT_INTERVALS = 5, /* a place that does not change is told again after these */
    GAP_INTERVALS = 4,    /* the queue's pace is forgotten after these without a look at it */
    AT_NOW = 0,           /* elements of PLACES's answer */
    AT_ENDED,
    AT_PLACES,
};

struct queue_positions {
    struct queue_positions_config config;
    TAILQ_HEAD(hinted, watch) waiting; /* who was asked for longest ago comes first */
    struct event *timer;               /* pending while there are any */
    struct queue_rate rate;
    struct script_run *asking;
    struct watch *asked[QUEUE_POSITIONS_BATCH]; /* NULL: it has left meanwhile */
    unsigned count;
};

static void restart(struct queue_positions *positions)
{
    int64_t ms = positions->config.interval_ms;
    const struct timeval interval = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    if (event_add(positions->timer, &interval))
        log_warn("hints", "no timer; waiting viewers are not told their places", "");
}

/* -- asking */

static bool is_due(const struct queue_positions *positions, const struct watch *watch, int64_t position, int64_t now_ms)
{
    return position != watch->hint.position ||
           now_ms - watch->hint.told_ms >= REPEAT_INTERVALS * positions->config.interval_ms;
}

static void take_place(struct queue_positions *positions, struct watch *watch, int64_t position)
{
    int64_t now_ms = clock_monotonic_ms();
    struct position_notice place = {.position = position, .eta_ms = queue_rate_time_ms(&positions->rate, position)};

    if (position > 0 && is_due(positions, watch, position, now_ms)) {
        watch->hint.position = position;
        watch->hint.told_ms = now_ms;
        place.tell = true;
    }
    watch_on_position(watch, &place);
}

static void on_places(const redisReply *reply, int err, void *arg)
{
    struct queue_positions *positions = arg;
    int64_t now_ms, ended, position;

    positions->asking = NULL;
    if (!err && !script_int(reply, AT_NOW, &now_ms) && !script_int(reply, AT_ENDED, &ended))
        queue_rate_sample(&positions->rate, now_ms, ended);
    for (unsigned i = 0; i < positions->count; i++) {
        struct watch *watch = positions->asked[i];

        if (!watch)
            continue;
        watch->hint.slot = 0;
        if (!err && !script_int(reply, AT_PLACES + i, &position))
            take_place(positions, watch, position);
    }
}

/* The next ones, who then are the last. */
static void choose(struct queue_positions *positions, struct script_arg *args)
{
    struct watch *watch = TAILQ_FIRST(&positions->waiting), *last = TAILQ_LAST(&positions->waiting, hinted);
    bool all = false;

    for (positions->count = 0; positions->count < QUEUE_POSITIONS_BATCH && !all; positions->count++) {
        struct watch *next = TAILQ_NEXT(watch, hint.link);

        all = watch == last;
        TAILQ_REMOVE(&positions->waiting, watch, hint.link);
        TAILQ_INSERT_TAIL(&positions->waiting, watch, hint.link);
        args[positions->count] = SCRIPT_TEXT(watch->id);
        positions->asked[positions->count] = watch;
        watch->hint.slot = positions->count + 1;
        watch = next;
    }
}

static void ask(struct queue_positions *positions)
{
    struct script_arg args[QUEUE_POSITIONS_BATCH];
    char prefix[KEYS_PREFIX_SIZE];

    choose(positions, args);
    keys_prefix(prefix, 0); /* there is one partition */
    if (script_run(
            positions->config.commands,
            &(struct script_call){.script = SCRIPT_PLACES, .prefix = prefix, .args = args, .count = positions->count},
            on_places, positions, &positions->asking))
        on_places(NULL, ERR_NOT_READY, positions);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct queue_positions *positions = arg;

    (void)fd;
    (void)what;
    if (TAILQ_EMPTY(&positions->waiting))
        return;
    restart(positions);
    if (!positions->asking)
        ask(positions);
}

/* -- who is in here */

struct queue_positions *queue_positions_create(struct loop *loop, const struct queue_positions_config *config)
{
    struct queue_positions *positions = calloc(1, sizeof(*positions));

    if (!positions)
        return NULL;
    positions->config = *config;
    positions->rate.gap_max_ms = GAP_INTERVALS * config->interval_ms;
    TAILQ_INIT(&positions->waiting);
    positions->timer = evtimer_new(loop_base(loop), on_timer, positions);
    return positions->timer ? positions : queue_positions_destroy(positions);
}

struct queue_positions *queue_positions_destroy(struct queue_positions *positions)
{
    if (!positions)
        return NULL;
    assert(TAILQ_EMPTY(&positions->waiting));
    if (positions->asking)
        script_cancel(positions->asking);
    if (positions->timer)
        event_free(positions->timer);
    free(positions);
    return NULL;
}

/* An answer that is under way may be older than what makes it come in. */
static void forget_place(struct queue_positions *positions, struct watch *watch)
{
    if (watch->hint.slot)
        positions->asked[watch->hint.slot - 1] = NULL;
    watch->hint.slot = 0;
    watch->hint.position = 0;
}

void queue_positions_add(struct queue_positions *positions, struct watch *watch)
{
    if (!positions->config.interval_ms)
        return;
    forget_place(positions, watch);
    if (watch->hint.listed)
        return;
    watch->hint.listed = true;
    TAILQ_INSERT_TAIL(&positions->waiting, watch, hint.link);
    if (!evtimer_pending(positions->timer, NULL))
        restart(positions);
}

void queue_positions_remove(struct queue_positions *positions, struct watch *watch)
{
    if (!watch->hint.listed)
        return;
    forget_place(positions, watch);
    watch->hint.listed = false;
    TAILQ_REMOVE(&positions->waiting, watch, hint.link);
}
