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
#include "common/task.h"
#include "gateway/account/account.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/queue_rate.h"
#include "gateway/streams/watch.h"

enum {
    REPEAT_INTERVALS = 5, /* what does not change is told again after these */
    GAP_INTERVALS = 4,    /* the queue's pace is forgotten after these without a look at it */
    AT_NOW = 0,           /* elements of PLACES's answer */
    AT_ENDED,
    AT_PLACES,
    IN_DELAYED = -1, /* a place */
};

struct queue_positions {
    struct queue_positions_config config;
    TAILQ_HEAD(hinted, watch) waiting; /* the watch that was asked for longest ago comes first */
    struct event *timer;               /* pending while there are any */
    struct queue_rate rate;
    struct redis_call *reading;                 /* the books; then */
    struct script_run *asking;                  /* for places */
    struct account account;                     /* as read for this call */
    bool with_models;                           /* the answer has each task's model, too */
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

/* -- telling */

static bool is_due(const struct queue_positions *positions, const struct queue_position *told, int64_t position,
                   uint32_t wait_sum, int64_t now_ms)
{
    if (wait_sum != told->wait_sum)
        return true;
    if (position == IN_DELAYED && !wait_sum)
        return false; /* the event that told of the retry has said it all */
    return position != told->position || now_ms - told->told_ms >= REPEAT_INTERVALS * positions->config.interval_ms;
}

static enum task_state state_at(int64_t position)
{
    return position > 0 ? TASK_QUEUED : position == IN_DELAYED ? TASK_DELAYED : TASK_RUNNING;
}

static void take_place(struct queue_positions *positions, struct watch *watch, int64_t position,
                       const struct account_wait *wait)
{
    int64_t now_ms = clock_monotonic_ms();
    uint32_t wait_sum = position ? account_wait_sum(wait) : 0;
    struct frames_hint hint = {position, queue_rate_time_ms(&positions->rate, position), wait};
    struct position_notice place = {.state = state_at(position)};

    if (position && is_due(positions, &watch->hint, position, wait_sum, now_ms)) {
        watch->hint.position = position;
        watch->hint.told_ms = now_ms;
        place.tell = &hint;
    }
    watch->hint.wait_sum = wait_sum;
    watch_on_position(watch, &place);
}

/* -- asking */

static void take_answer(struct queue_positions *positions, const redisReply *reply, struct account_wait *wait,
                        unsigned i)
{
    size_t at = AT_PLACES + (size_t)i * (positions->with_models ? 2 : 1);
    const char *model = positions->with_models ? script_text(reply, at + 1, NULL) : "";
    int64_t position;

    wait->model = model ? model : "";
    if (!script_int(reply, at, &position))
        take_place(positions, positions->asked[i], position, wait);
}

static void on_places(const redisReply *reply, int err, void *arg)
{
    struct queue_positions *positions = arg;
    struct account_wait wait = {.account = &positions->account};
    int64_t ended;

    positions->asking = NULL;
    if (!err && !script_int(reply, AT_NOW, &wait.now_ms) && !script_int(reply, AT_ENDED, &ended))
        queue_rate_sample(&positions->rate, wait.now_ms, ended);
    for (unsigned i = 0; i < positions->count; i++) {
        if (!positions->asked[i])
            continue;
        positions->asked[i]->hint.slot = 0;
        if (!err)
            take_answer(positions, reply, &wait, i);
    }
}

/* The next ones, who then are the last. */
static void choose(struct queue_positions *positions, struct script_arg args[QUEUE_POSITIONS_BATCH])
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

static void ask_places(struct queue_positions *positions)
{
    struct script_arg args[1 + QUEUE_POSITIONS_BATCH];
    char prefix[KEYS_PREFIX_SIZE];

    positions->with_models = account_names_models(&positions->account);
    args[0] = SCRIPT_TEXT(positions->with_models ? "1" : "0");
    choose(positions, args + 1);
    keys_prefix(prefix, 0); /* there is one partition */
    if (script_run(positions->config.commands,
                   &(struct script_call){
                       .script = SCRIPT_PLACES, .prefix = prefix, .args = args, .count = 1 + positions->count},
                   on_places, positions, &positions->asking))
        on_places(NULL, ERR_NOT_READY, positions);
}

/* Where the books cannot be read, the places still can. */
static void on_books(const redisReply *reply, int err, void *arg)
{
    struct queue_positions *positions = arg;

    positions->reading = NULL;
    account_read(&positions->account, err ? NULL : reply);
    if (!err && !TAILQ_EMPTY(&positions->waiting))
        ask_places(positions);
}

static void ask(struct queue_positions *positions)
{
    if (redis_send_words(positions->config.commands, REDIS_WORDS(ACCOUNT_READ), on_books, positions,
                         &positions->reading))
        log_debug("hints", "cannot read the account's books; trying again at the next turn", "");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct queue_positions *positions = arg;

    (void)fd;
    (void)what;
    if (TAILQ_EMPTY(&positions->waiting))
        return;
    restart(positions);
    if (!positions->reading && !positions->asking)
        ask(positions);
}

/* -- the watches in here */

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
    if (positions->reading)
        redis_cancel(positions->reading);
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
    watch->hint.wait_sum = 0;
    watch->hint.listed = false;
    TAILQ_REMOVE(&positions->waiting, watch, hint.link);
}
