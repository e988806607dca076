#include "gateway/streams/waiting_notices.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/timeval.h"
#include "common/redis/client.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/account/account.h"
#include "gateway/streams/frames.h"
#include "gateway/streams/queue_rate.h"

enum {
    REPEAT_INTERVALS = 5, /* repeat an unchanged notice after this many intervals */
    GAP_INTERVALS = 4,    /* forget the queue's rate after this many intervals without a sample */

    /* Elements of the PLACES reply. A place is a queue position, IN_DELAYED, or 0 for a task that is not waiting. */
    AT_NOW = 0,
    AT_ENDED,
    AT_PLACES,
    IN_DELAYED = -1,
};

struct waiting_notices {
    struct waiting_notices_config config;
    TAILQ_HEAD(waiting_list, waiting_notice) waiting; /* the entry that was asked about longest ago comes first */
    struct event *timer;                              /* pending while the list is not empty */
    struct queue_rate rate;
    struct redis_call *reading_account;                  /* step 1 is under way */
    struct script_run *reading_places;                   /* step 2 is under way */
    struct account account;                              /* as of step 1 */
    bool with_models;                                    /* the PLACES reply also has each task's model */
    struct waiting_notice *asked[WAITING_NOTICES_BATCH]; /* NULL: removed since the call was sent */
    unsigned count;
};

static void waiting_notices_start_timer(struct waiting_notices *notices)
{
    int64_t ms = notices->config.interval_ms;
    const struct timeval interval = timeval_of_ms(ms);

    if (event_add(notices->timer, &interval))
        log_warn("waiting_notices", "cannot start timer, waiting clients get no notices", "");
}

/* -- step 3: notices */

static bool is_due(const struct waiting_notices *notices, const struct waiting_notice *last, int64_t place,
                   uint32_t wait_digest, int64_t now_ms)
{
    if (wait_digest != last->wait_digest)
        return true;
    if (place == IN_DELAYED && !wait_digest)
        return false; /* the event `retrying` has said when the task continues */
    return place != last->position || now_ms - last->sent_ms >= REPEAT_INTERVALS * notices->config.interval_ms;
}

static enum task_state state_of(int64_t place)
{
    return place > 0 ? TASK_QUEUED : place == IN_DELAYED ? TASK_DELAYED : TASK_RUNNING;
}

static void take_place(struct waiting_notices *notices, struct waiting_notice *entry, int64_t place,
                       const struct account_wait *wait)
{
    int64_t now_ms = clock_monotonic_ms();
    uint32_t wait_digest = place ? account_wait_digest(wait) : 0;
    struct frames_waiting notice = {place, queue_rate_time_ms(&notices->rate, place), wait};
    bool due = place && is_due(notices, entry, place, wait_digest, now_ms);

    if (due) {
        entry->position = place;
        entry->sent_ms = now_ms;
    }
    entry->wait_digest = wait_digest;
    notices->config.on_place(entry, state_of(place), due ? &notice : NULL);
}

/* -- step 2: queue positions */

static void take_reply(struct waiting_notices *notices, const redisReply *reply, struct account_wait *wait, unsigned i)
{
    size_t at = AT_PLACES + (size_t)i * (notices->with_models ? 2 : 1);
    const char *model = notices->with_models ? script_text(reply, at + 1, NULL) : "";
    int64_t place;

    wait->model = model ? model : "";
    if (!script_int(reply, at, &place))
        take_place(notices, notices->asked[i], place, wait);
}

static void waiting_notices_on_places(const redisReply *reply, int err, void *arg)
{
    struct waiting_notices *notices = arg;
    struct account_wait wait = {.account = &notices->account};
    int64_t ended;

    notices->reading_places = NULL;
    if (!err && !script_int(reply, AT_NOW, &wait.now_ms) && !script_int(reply, AT_ENDED, &ended))
        queue_rate_sample(&notices->rate, wait.now_ms, ended);
    for (unsigned i = 0; i < notices->count; i++) {
        if (!notices->asked[i])
            continue;
        notices->asked[i]->slot = 0;
        if (!err)
            take_reply(notices, reply, &wait, i);
    }
}

/* Takes the next entries from the front of the list and moves them to its end. */
static void choose(struct waiting_notices *notices, struct script_arg args[WAITING_NOTICES_BATCH])
{
    struct waiting_notice *entry = TAILQ_FIRST(&notices->waiting), *last = TAILQ_LAST(&notices->waiting, waiting_list);
    bool all = false;

    for (notices->count = 0; notices->count < WAITING_NOTICES_BATCH && !all; notices->count++) {
        struct waiting_notice *next = TAILQ_NEXT(entry, link);

        all = entry == last;
        TAILQ_REMOVE(&notices->waiting, entry, link);
        TAILQ_INSERT_TAIL(&notices->waiting, entry, link);
        args[notices->count] = SCRIPT_TEXT(notices->config.id_of(entry));
        notices->asked[notices->count] = entry;
        entry->slot = (uint16_t)(notices->count + 1);
        entry = next;
    }
}

static void read_places(struct waiting_notices *notices)
{
    struct script_arg args[1 + WAITING_NOTICES_BATCH];
    char prefix[KEYS_PREFIX_SIZE];

    notices->with_models = account_names_models(&notices->account);
    args[0] = SCRIPT_TEXT(notices->with_models ? "1" : "0");
    choose(notices, args + 1);
    keys_prefix(prefix, 0); /* there is one partition */
    if (script_run(notices->config.commands,
                   &(struct script_call){
                       .script = &scripts[SCRIPT_PLACES], .prefix = prefix, .args = args, .count = 1 + notices->count},
                   waiting_notices_on_places, notices, &notices->reading_places))
        waiting_notices_on_places(NULL, ERR_NOT_READY, notices);
}

/* -- step 1: the ARK account */

/* An error reply (no permission to read the account) leaves the account empty; positions are still read. */
static void waiting_notices_on_account(const redisReply *reply, int err, void *arg)
{
    struct waiting_notices *notices = arg;

    notices->reading_account = NULL;
    account_read(&notices->account, err ? NULL : reply);
    if (!err && !TAILQ_EMPTY(&notices->waiting))
        read_places(notices);
}

static void read_account(struct waiting_notices *notices)
{
    if (redis_send_words(notices->config.commands, REDIS_WORDS(ACCOUNT_READ), waiting_notices_on_account, notices,
                         &notices->reading_account))
        log_debug("waiting_notices", "cannot read the account, retrying in the next interval", "");
}

static void waiting_notices_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct waiting_notices *notices = arg;

    (void)fd;
    (void)what;
    if (TAILQ_EMPTY(&notices->waiting))
        return;
    waiting_notices_start_timer(notices);
    if (!notices->reading_account && !notices->reading_places)
        read_account(notices);
}

/* -- the list */

struct waiting_notices *waiting_notices_create(struct loop *loop, const struct waiting_notices_config *config)
{
    struct waiting_notices *notices = calloc(1, sizeof(*notices));

    if (!notices)
        return NULL;
    notices->config = *config;
    notices->rate.gap_max_ms = GAP_INTERVALS * config->interval_ms;
    TAILQ_INIT(&notices->waiting);
    notices->timer = evtimer_new(loop_base(loop), waiting_notices_on_timer, notices);
    return notices->timer ? notices : waiting_notices_destroy(notices);
}

struct waiting_notices *waiting_notices_destroy(struct waiting_notices *notices)
{
    if (!notices)
        return NULL;
    assert(TAILQ_EMPTY(&notices->waiting));
    if (notices->reading_account)
        redis_cancel(notices->reading_account);
    if (notices->reading_places)
        script_cancel(notices->reading_places);
    if (notices->timer)
        event_free(notices->timer);
    free(notices);
    return NULL;
}

/* A PLACES call that is under way may be older than the reason for this call: its reply for this entry is dropped. */
static void forget_notice(struct waiting_notices *notices, struct waiting_notice *entry)
{
    if (entry->slot)
        notices->asked[entry->slot - 1] = NULL;
    entry->slot = 0;
    entry->position = 0;
}

void waiting_notices_add(struct waiting_notices *notices, struct waiting_notice *entry)
{
    if (!notices->config.interval_ms)
        return;
    forget_notice(notices, entry);
    if (entry->listed)
        return;
    entry->listed = true;
    TAILQ_INSERT_TAIL(&notices->waiting, entry, link);
    if (!evtimer_pending(notices->timer, NULL))
        waiting_notices_start_timer(notices);
}

void waiting_notices_remove(struct waiting_notices *notices, struct waiting_notice *entry)
{
    if (!entry->listed)
        return;
    forget_notice(notices, entry);
    entry->wait_digest = 0;
    entry->listed = false;
    TAILQ_REMOVE(&notices->waiting, entry, link);
}
