#include "gateway/streams/hints.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/task/scripts.h"
#include "gateway/streams/pace.h"
#include "gateway/streams/watch.h"

enum {
    REPEAT_INTERVALS = 5, /* a place that does not change is told again after these */
    GAP_INTERVALS = 4,    /* the queue's pace is forgotten after these without a look at it */
    AT_NOW = 0,           /* elements of PLACES's answer */
    AT_ENDED,
    AT_PLACES,
};

struct hints {
    struct hints_config config;
    TAILQ_HEAD(hinted, watch) waiting; /* who was asked for longest ago comes first */
    struct event *timer;               /* pending while there are any */
    struct pace pace;
    struct script_run *asking;
    struct watch *asked[HINTS_BATCH]; /* NULL: it has left meanwhile */
    unsigned count;
};

static void restart(struct hints *hints)
{
    int64_t ms = hints->config.interval_ms;
    const struct timeval interval = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    if (event_add(hints->timer, &interval))
        log_warn("hints", "no timer; waiting viewers are not told their places", "");
}

/* -- asking */

static bool is_due(const struct hints *hints, const struct watch *watch, int64_t position, int64_t now_ms)
{
    return position != watch->hint.position ||
           now_ms - watch->hint.told_ms >= REPEAT_INTERVALS * hints->config.interval_ms;
}

static void take_place(struct hints *hints, struct watch *watch, int64_t position)
{
    int64_t now_ms = clock_monotonic_ms();
    struct place place = {.position = position, .eta_ms = pace_time_ms(&hints->pace, position)};

    if (position > 0 && is_due(hints, watch, position, now_ms)) {
        watch->hint.position = position;
        watch->hint.told_ms = now_ms;
        place.tell = true;
    }
    watch_on_place(watch, &place);
}

static void on_places(const redisReply *reply, int err, void *arg)
{
    struct hints *hints = arg;
    int64_t now_ms, ended, position;

    hints->asking = NULL;
    if (!err && !script_int(reply, AT_NOW, &now_ms) && !script_int(reply, AT_ENDED, &ended))
        pace_look(&hints->pace, now_ms, ended);
    for (unsigned i = 0; i < hints->count; i++) {
        struct watch *watch = hints->asked[i];

        if (!watch)
            continue;
        watch->hint.slot = 0;
        if (!err && !script_int(reply, AT_PLACES + i, &position))
            take_place(hints, watch, position);
    }
}

/* The next ones, who then are the last. */
static void choose(struct hints *hints, struct script_arg *args)
{
    struct watch *watch = TAILQ_FIRST(&hints->waiting), *last = TAILQ_LAST(&hints->waiting, hinted);
    bool all = false;

    for (hints->count = 0; hints->count < HINTS_BATCH && !all; hints->count++) {
        struct watch *next = TAILQ_NEXT(watch, hint.link);

        all = watch == last;
        TAILQ_REMOVE(&hints->waiting, watch, hint.link);
        TAILQ_INSERT_TAIL(&hints->waiting, watch, hint.link);
        args[hints->count] = SCRIPT_TEXT(watch->id);
        hints->asked[hints->count] = watch;
        watch->hint.slot = hints->count + 1;
        watch = next;
    }
}

static void ask(struct hints *hints)
{
    struct script_arg args[HINTS_BATCH];
    char prefix[KEYS_PREFIX_SIZE];

    choose(hints, args);
    keys_prefix(prefix, 0); /* there is one partition */
    if (script_run(hints->config.commands,
                   &(struct script_call){
                       .script = &scripts[SCRIPT_PLACES], .prefix = prefix, .args = args, .count = hints->count},
                   on_places, hints, &hints->asking))
        on_places(NULL, ERR_NOT_READY, hints);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct hints *hints = arg;

    (void)fd;
    (void)what;
    if (TAILQ_EMPTY(&hints->waiting))
        return;
    restart(hints);
    if (!hints->asking)
        ask(hints);
}

/* -- who is in here */

struct hints *hints_create(struct loop *loop, const struct hints_config *config)
{
    struct hints *hints = calloc(1, sizeof(*hints));

    if (!hints)
        return NULL;
    hints->config = *config;
    hints->pace.gap_max_ms = GAP_INTERVALS * config->interval_ms;
    TAILQ_INIT(&hints->waiting);
    hints->timer = evtimer_new(loop_base(loop), on_timer, hints);
    return hints->timer ? hints : hints_destroy(hints);
}

struct hints *hints_destroy(struct hints *hints)
{
    if (!hints)
        return NULL;
    assert(TAILQ_EMPTY(&hints->waiting));
    if (hints->asking)
        script_cancel(hints->asking);
    if (hints->timer)
        event_free(hints->timer);
    free(hints);
    return NULL;
}

/* An answer that is under way may be older than what makes it come in. */
static void forget_place(struct hints *hints, struct watch *watch)
{
    if (watch->hint.slot)
        hints->asked[watch->hint.slot - 1] = NULL;
    watch->hint.slot = 0;
    watch->hint.position = 0;
}

void hints_add(struct hints *hints, struct watch *watch)
{
    if (!hints->config.interval_ms)
        return;
    forget_place(hints, watch);
    if (watch->hint.listed)
        return;
    watch->hint.listed = true;
    TAILQ_INSERT_TAIL(&hints->waiting, watch, hint.link);
    if (!evtimer_pending(hints->timer, NULL))
        restart(hints);
}

void hints_remove(struct hints *hints, struct watch *watch)
{
    if (!watch->hint.listed)
        return;
    forget_place(hints, watch);
    watch->hint.listed = false;
    TAILQ_REMOVE(&hints->waiting, watch, hint.link);
}
