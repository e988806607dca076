#include "gateway/streams/hints.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/redis/script.h"
#include "common/task.h"
#include "gateway/account.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/pace.h"
#include "gateway/streams/watch.h"

enum {
    REPEAT_INTERVALS = 5, /* what does not change is told again after these */
    GAP_INTERVALS = 4,    /* the queue's pace is forgotten after these without a look at it */
    AT_NOW = 0,           /* elements of PLACES's answer */
    AT_ENDED,
    AT_PLACES,
    IN_DELAYED = -1, /* a place */
};

struct hints {
    struct hints_config config;
    TAILQ_HEAD(hinted, watch) waiting; /* the watch that was asked for longest ago comes first */
    struct event *timer;               /* pending while there are any */
    struct pace pace;
    struct redis_call *reading;       /* the books; then */
    struct script_run *asking;        /* for places */
    struct account account;           /* as read for this call */
    bool with_models;                 /* the answer has each task's model, too */
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

/* -- telling */

static bool is_due(const struct hints *hints, const struct hint *told, int64_t position, uint32_t wait_sum,
                   int64_t now_ms)
{
    if (wait_sum != told->wait_sum)
        return true;
    if (position == IN_DELAYED && !wait_sum)
        return false; /* the event that told of the retry has said it all */
    return position != told->position || now_ms - told->told_ms >= REPEAT_INTERVALS * hints->config.interval_ms;
}

static enum task_state state_at(int64_t position)
{
    return position > 0 ? TASK_QUEUED : position == IN_DELAYED ? TASK_DELAYED : TASK_RUNNING;
}

static void take_place(struct hints *hints, struct watch *watch, int64_t position, const struct account_wait *wait)
{
    int64_t now_ms = clock_monotonic_ms();
    uint32_t wait_sum = position ? account_wait_sum(wait) : 0;
    struct frames_hint hint = {position, pace_time_ms(&hints->pace, position), wait};
    struct place place = {.state = state_at(position)};

    if (position && is_due(hints, &watch->hint, position, wait_sum, now_ms)) {
        watch->hint.position = position;
        watch->hint.told_ms = now_ms;
        place.tell = &hint;
    }
    watch->hint.wait_sum = wait_sum;
    watch_on_place(watch, &place);
}

/* -- asking */

static void take_answer(struct hints *hints, const redisReply *reply, struct account_wait *wait, unsigned i)
{
    size_t at = AT_PLACES + (size_t)i * (hints->with_models ? 2 : 1);
    const char *model = hints->with_models ? script_text(reply, at + 1, NULL) : "";
    int64_t position;

    wait->model = model ? model : "";
    if (!script_int(reply, at, &position))
        take_place(hints, hints->asked[i], position, wait);
}

static void on_places(const redisReply *reply, int err, void *arg)
{
    struct hints *hints = arg;
    struct account_wait wait = {.account = &hints->account};
    int64_t ended;

    hints->asking = NULL;
    if (!err && !script_int(reply, AT_NOW, &wait.now_ms) && !script_int(reply, AT_ENDED, &ended))
        pace_look(&hints->pace, wait.now_ms, ended);
    for (unsigned i = 0; i < hints->count; i++) {
        if (!hints->asked[i])
            continue;
        hints->asked[i]->hint.slot = 0;
        if (!err)
            take_answer(hints, reply, &wait, i);
    }
}

/* The next ones, who then are the last. */
static void choose(struct hints *hints, struct script_arg args[HINTS_BATCH])
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

static void ask_places(struct hints *hints)
{
    struct script_arg args[1 + HINTS_BATCH];
    char prefix[KEYS_PREFIX_SIZE];

    hints->with_models = account_names_models(&hints->account);
    args[0] = SCRIPT_TEXT(hints->with_models ? "1" : "0");
    choose(hints, args + 1);
    keys_prefix(prefix, 0); /* there is one partition */
    if (script_run(
            hints->config.commands,
            &(struct script_call){.script = SCRIPT_PLACES, .prefix = prefix, .args = args, .count = 1 + hints->count},
            on_places, hints, &hints->asking))
        on_places(NULL, ERR_NOT_READY, hints);
}

/* Where the books cannot be read, the places still can. */
static void on_books(const redisReply *reply, int err, void *arg)
{
    struct hints *hints = arg;

    hints->reading = NULL;
    account_read(&hints->account, err ? NULL : reply);
    if (!err && !TAILQ_EMPTY(&hints->waiting))
        ask_places(hints);
}

static void ask(struct hints *hints)
{
    if (redis_send_words(hints->config.commands, REDIS_WORDS(ACCOUNT_READ), on_books, hints, &hints->reading))
        log_debug("hints", "cannot read the account's books; trying again at the next turn", "");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct hints *hints = arg;

    (void)fd;
    (void)what;
    if (TAILQ_EMPTY(&hints->waiting))
        return;
    restart(hints);
    if (!hints->reading && !hints->asking)
        ask(hints);
}

/* -- the watches in here */

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
    if (hints->reading)
        redis_cancel(hints->reading);
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
    watch->hint.wait_sum = 0;
    watch->hint.listed = false;
    TAILQ_REMOVE(&hints->waiting, watch, hint.link);
}
