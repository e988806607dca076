#include "gateway/streams/waiting_hints.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/account/account.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/queue_rate.h"

enum {
    REPEAT_INTERVALS = 5, /* repeat an unchanged hint after this many intervals */
    GAP_INTERVALS = 4,    /* forget the queue's rate after this many intervals without a sample */

    /* Elements of the PLACES reply. A place is a queue position, IN_DELAYED, or 0 for a task that is not waiting. */
    AT_NOW = 0,
    AT_ENDED,
    AT_PLACES,
    IN_DELAYED = -1,
};

struct waiting_hints {
    struct waiting_hints_config config;
    TAILQ_HEAD(waiting_list, waiting_hint) waiting; /* the entry that was asked about longest ago comes first */
    struct loop_timer *timer;                       /* pending while the list is not empty */
    struct queue_rate rate;
    struct redis_call *reading_account;              /* step 1 is under way */
    struct script_run *reading_places;               /* step 2 is under way */
    struct account account;                          /* as of step 1 */
    bool with_models;                                /* the PLACES reply also has each task's model */
    struct waiting_hint *asked[WAITING_HINTS_BATCH]; /* NULL: removed since the call was sent */
    unsigned count;
};

/* -- step 3: hints */

static bool is_due(const struct waiting_hints *hints, const struct waiting_hint *last, int64_t place,
                   uint32_t wait_digest, int64_t now_ms)
{
    if (wait_digest != last->wait_digest)
        return true;
    if (place == IN_DELAYED && !wait_digest)
        return false; /* the event `retrying` has said when the task continues */
    return place != last->position || now_ms - last->sent_ms >= REPEAT_INTERVALS * hints->config.interval_ms;
}

static enum task_state state_of(int64_t place)
{
    return place > 0 ? TASK_QUEUED : place == IN_DELAYED ? TASK_DELAYED : TASK_RUNNING;
}

static void take_place(struct waiting_hints *hints, struct waiting_hint *entry, int64_t place,
                       const struct account_wait *wait)
{
    int64_t now_ms = clock_monotonic_ms();
    uint32_t wait_digest = place ? account_wait_digest(wait) : 0;
    struct frames_waiting hint = {place, queue_rate_time_ms(&hints->rate, place), wait};
    bool due = place && is_due(hints, entry, place, wait_digest, now_ms);

    if (due) {
        entry->position = place;
        entry->sent_ms = now_ms;
    }
    entry->wait_digest = wait_digest;
    hints->config.on_place(entry, state_of(place), due ? &hint : NULL);
}

/* -- step 2: queue positions */

static void take_reply(struct waiting_hints *hints, const redisReply *reply, struct account_wait *wait, unsigned i)
{
    size_t at = AT_PLACES + (size_t)i * (hints->with_models ? 2 : 1);
    const char *model = hints->with_models ? script_text(reply, at + 1, NULL) : "";
    int64_t place;

    wait->model = model ? model : "";
    if (!script_int(reply, at, &place))
        take_place(hints, hints->asked[i], place, wait);
}

static void waiting_hints_on_places(const redisReply *reply, int err, void *arg)
{
    struct waiting_hints *hints = arg;
    struct account_wait wait = {.account = &hints->account};
    int64_t ended;

    hints->reading_places = NULL;
    if (!err && !script_int(reply, AT_NOW, &wait.now_ms) && !script_int(reply, AT_ENDED, &ended))
        queue_rate_sample(&hints->rate, wait.now_ms, ended);
    for (unsigned i = 0; i < hints->count; i++) {
        if (!hints->asked[i])
            continue;
        hints->asked[i]->asked_index = 0;
        if (!err)
            take_reply(hints, reply, &wait, i);
    }
}

/* Takes the next entries from the front of the list and moves them to its end. */
static void choose(struct waiting_hints *hints, struct script_arg args[WAITING_HINTS_BATCH])
{
    struct waiting_hint *entry = TAILQ_FIRST(&hints->waiting), *last = TAILQ_LAST(&hints->waiting, waiting_list);
    bool all = false;

    for (hints->count = 0; hints->count < WAITING_HINTS_BATCH && !all; hints->count++) {
        struct waiting_hint *next = TAILQ_NEXT(entry, link);

        all = entry == last;
        TAILQ_REMOVE(&hints->waiting, entry, link);
        TAILQ_INSERT_TAIL(&hints->waiting, entry, link);
        args[hints->count] = SCRIPT_TEXT(hints->config.id_of(entry));
        hints->asked[hints->count] = entry;
        entry->asked_index = (uint16_t)(hints->count + 1);
        entry = next;
    }
}

static void read_places(struct waiting_hints *hints)
{
    struct script_arg args[1 + WAITING_HINTS_BATCH];
    char prefix[KEYS_PREFIX_SIZE];

    hints->with_models = account_names_models(&hints->account);
    args[0] = SCRIPT_TEXT(hints->with_models ? "1" : "0");
    choose(hints, args + 1);
    keys_prefix(prefix, 0); /* there is one partition */
    if (script_run(hints->config.commands,
                   &(struct script_call){
                       .script = &scripts[SCRIPT_PLACES], .prefix = prefix, .args = args, .count = 1 + hints->count},
                   waiting_hints_on_places, hints, &hints->reading_places))
        waiting_hints_on_places(NULL, ERR_NOT_READY, hints);
}

/* -- step 1: the ARK account */

/* An error reply (no permission to read the account) leaves the account empty; positions are still read. */
static void waiting_hints_on_account(const redisReply *reply, int err, void *arg)
{
    struct waiting_hints *hints = arg;

    hints->reading_account = NULL;
    account_read(&hints->account, err ? NULL : reply);
    if (!err && !TAILQ_EMPTY(&hints->waiting))
        read_places(hints);
}

static void read_account(struct waiting_hints *hints)
{
    if (redis_send_words(hints->config.commands, REDIS_WORDS(ACCOUNT_READ), waiting_hints_on_account, hints,
                         &hints->reading_account))
        log_debug("waiting_hints", "cannot read the account, retrying in the next interval", "");
}

static void waiting_hints_on_timer(void *arg)
{
    struct waiting_hints *hints = arg;

    if (TAILQ_EMPTY(&hints->waiting))
        return;
    loop_timer_start(hints->timer, hints->config.interval_ms);
    if (!hints->reading_account && !hints->reading_places)
        read_account(hints);
}

/* -- the list */

struct waiting_hints *waiting_hints_create(struct loop *loop, const struct waiting_hints_config *config)
{
    struct waiting_hints *hints = calloc(1, sizeof(*hints));

    if (!hints)
        return NULL;
    hints->config = *config;
    hints->rate.gap_max_ms = GAP_INTERVALS * config->interval_ms;
    TAILQ_INIT(&hints->waiting);
    hints->timer = loop_timer_create(loop, waiting_hints_on_timer, hints);
    return hints->timer ? hints : waiting_hints_destroy(hints);
}

struct waiting_hints *waiting_hints_destroy(struct waiting_hints *hints)
{
    if (!hints)
        return NULL;
    assert(TAILQ_EMPTY(&hints->waiting));
    if (hints->reading_account)
        redis_cancel(hints->reading_account);
    if (hints->reading_places)
        script_cancel(hints->reading_places);
    loop_timer_destroy(hints->timer);
    free(hints);
    return NULL;
}

/* A PLACES call that is under way may be older than the reason for this call: its reply for this entry is dropped. */
static void forget_hint(struct waiting_hints *hints, struct waiting_hint *entry)
{
    if (entry->asked_index)
        hints->asked[entry->asked_index - 1] = NULL;
    entry->asked_index = 0;
    entry->position = 0;
}

void waiting_hints_add(struct waiting_hints *hints, struct waiting_hint *entry)
{
    if (!hints->config.interval_ms)
        return;
    forget_hint(hints, entry);
    if (entry->listed)
        return;
    entry->listed = true;
    TAILQ_INSERT_TAIL(&hints->waiting, entry, link);
    if (!loop_timer_is_running(hints->timer))
        loop_timer_start(hints->timer, hints->config.interval_ms);
}

void waiting_hints_remove(struct waiting_hints *hints, struct waiting_hint *entry)
{
    if (!entry->listed)
        return;
    forget_hint(hints, entry);
    entry->wait_digest = 0;
    entry->listed = false;
    TAILQ_REMOVE(&hints->waiting, entry, link);
}
