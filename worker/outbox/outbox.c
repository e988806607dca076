#include "worker/outbox/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/loop_timer.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/redis/client.h"
#include "common/storage/storage.h"
#include "common/task/scripts.h"
#include "worker/outbox/copy.h"

enum {
    POLL_MS = 500, /* new entries are found within that time */
    SWEEP_MS = 60 * 60 * 1000,
    SWEEP_FIRST_MS = 1000,
    SWEEP_BATCH = 200,
    TRIES_MAX = 5, /* of a link that is gone or does not lead to an image, and of workers that were lost */
    TROUBLE_MIN_MS = 1000,
    TROUBLE_MAX_MS = 60 * 1000,
    DELETIONS_MAX = 16,
    LANE_MAX = 8,
    SIZE_MAX_BYTES = 64 << 20,
    FIRST_BYTE_MS = 30 * 1000,
    NONCE_BYTES = 8,
    FENCE_SIZE = 40,
    LOG_ID_LEN = 8, /* the whole id is the permission to read the picture */
    SETTLE_ARGS = 8,
};

enum queue { QUEUE_COPIES, QUEUE_DELETIONS, QUEUE_COUNT };

static const char *const queue_names[QUEUE_COUNT] = {"copies", "deletions"};

/* An entry that this worker has a lease of. */
struct work {
    TAILQ_ENTRY(work) link;
    struct outbox *outbox;
    enum queue queue;
    char picture[STORAGE_ID_SIZE], fence[FENCE_SIZE], name[STORAGE_NAME_SIZE];
    int64_t tries;
    int64_t started_ms;
    struct copy *copy;            /* NULL: over, or a deletion */
    struct storage_call *removal; /* NULL: none */
    struct script_run *settle;    /* NULL: not reported yet */
    bool is_stored;               /* reported as stored: if it was erased meanwhile, the object must go */
};

struct asking {
    struct outbox *outbox;
    enum queue queue;
    struct script_run *run;
};

TAILQ_HEAD(work_list, work);

struct outbox {
    struct outbox_config config;
    struct loop_timer *timer, *sweep_timer;
    struct asking asking[QUEUE_COUNT];
    struct work_list works;
    int counts[QUEUE_COUNT];
    struct storage_call *sweep;
    int64_t waiting;
    enum storage_end trouble;
    int64_t trouble_wait_ms, trouble_until_ms;
    bool stopped;
};

static void outbox_ask(struct outbox *outbox);

/* -- the end of a piece of work */

static void work_free(struct work *work)
{
    copy_destroy(work->copy);
    if (work->removal)
        storage_cancel(work->removal);
    if (work->settle)
        script_cancel(work->settle);
    free(work);
}

static bool outbox_is_idle(const struct outbox *outbox)
{
    for (int queue = 0; queue < QUEUE_COUNT; queue++)
        if (outbox->asking[queue].run)
            return false;
    return TAILQ_EMPTY(&outbox->works);
}

static void outbox_go_on(struct outbox *outbox)
{
    if (!outbox->stopped)
        outbox_ask(outbox);
    else if (outbox_is_idle(outbox))
        outbox->config.on_idle(outbox->config.arg);
}

static void work_leave(struct work *work)
{
    struct outbox *outbox = work->outbox;

    TAILQ_REMOVE(&outbox->works, work, link);
    outbox->counts[work->queue]--;
    work_free(work);
    outbox_go_on(outbox);
}

static void work_on_removed(const struct storage_outcome *outcome, void *arg)
{
    struct work *work = arg;

    work->removal = NULL;
    if (outcome->end != STORAGE_DONE && outcome->end != STORAGE_MISSING)
        log_warn("outbox", "cannot remove an erased picture yet", "picture=%.*s end=%s words=\"%s\"", LOG_ID_LEN,
                 work->picture, storage_end_name(outcome->end), outcome->words);
    work_leave(work);
}

/* The entry of the queue of deletions, which ERASE has written, repeats this if it fails. */
static void remove_erased(struct work *work)
{
    log_info("outbox", "picture was erased while it was copied", "picture=%.*s", LOG_ID_LEN, work->picture);
    if (storage_delete(work->outbox->config.storage, work->name, work_on_removed, work, &work->removal)) {
        work->removal = NULL;
        work_leave(work);
    }
}

static void work_on_settled(const redisReply *reply, int err, void *arg)
{
    struct work *work = arg;
    const char *answer = err ? "" : script_answer(reply);

    work->settle = NULL;
    if (!strcmp(answer, "ERASED") && work->is_stored) {
        remove_erased(work);
        return;
    }
    if (strcmp(answer, "OK") != 0 && strcmp(answer, "ERASED") != 0)
        log_warn("outbox", "result not recorded, the picture will be copied again",
                 "picture=%.*s queue=%s reason=\"%s\"", LOG_ID_LEN, work->picture, queue_names[work->queue],
                 err       ? err_text(err)
                 : *answer ? answer
                           : "error reply");
    work_leave(work);
}

/* values: what SETTLE takes after the fence, closed by NULL. If it cannot be sent, the lease expires and the work is repeated. */
static void work_settle(struct work *work, const char *const *values)
{
    struct script_arg args[SETTLE_ARGS] = {SCRIPT_TEXT(queue_names[work->queue]), SCRIPT_TEXT(work->picture),
                                           SCRIPT_TEXT(work->fence)};
    struct script_call call = {
        .script = &scripts[SCRIPT_SETTLE], .prefix = work->outbox->config.prefix, .args = args, .count = 3};

    for (; *values && call.count < SETTLE_ARGS; values++)
        args[call.count++] = SCRIPT_TEXT(*values);
    work->copy = copy_destroy(work->copy);
    if (script_run(work->outbox->config.redis, &call, work_on_settled, work, &work->settle)) {
        work->settle = NULL;
        work_leave(work);
    }
}

static void work_put_off(struct work *work, const char *outcome, int64_t delay_ms)
{
    char delay[DECIMAL_SIZE];

    (void)decimal_write(delay, delay_ms);
    work_settle(work, (const char *const[]){outcome, delay, NULL});
}

/* -- trouble of the storage */

/* Of several copies that fail at once, the first one counts. */
static void note_trouble(struct outbox *outbox, enum storage_end end, const char *words)
{
    int64_t now_ms = clock_monotonic_ms(), wait_ms = 2 * outbox->trouble_wait_ms;

    if (outbox->trouble_until_ms > now_ms && outbox->trouble != STORAGE_DONE)
        return;
    if (outbox->trouble != end)
        log_error("outbox", "the storage does not take pictures, trying again", "end=%s words=\"%s\"",
                  storage_end_name(end), words);
    outbox->trouble = end;
    outbox->trouble_wait_ms = wait_ms < TROUBLE_MIN_MS   ? TROUBLE_MIN_MS
                              : wait_ms > TROUBLE_MAX_MS ? TROUBLE_MAX_MS
                                                         : wait_ms;
    outbox->trouble_until_ms = now_ms + outbox->trouble_wait_ms;
}

static void end_trouble(struct outbox *outbox)
{
    if (outbox->trouble == STORAGE_DONE)
        return;
    log_info("outbox", "the storage takes pictures again", "");
    outbox->trouble = STORAGE_DONE;
    outbox->trouble_wait_ms = 0;
}

/* -- copies */

static void work_stored(struct work *work, const struct storage_about *about)
{
    char bytes[DECIMAL_SIZE], sha256[SHA256_HEX_SIZE];
    struct outbox *outbox = work->outbox;

    end_trouble(outbox);
    (void)decimal_write(bytes, about->size);
    memcpy(sha256, about->sha256, sizeof(sha256));
    metrics_add(outbox->config.metrics, SAMPLE(METRIC_COPIED_BYTES), about->size);
    log_info("outbox", "picture stored", "picture=%.*s bytes=%s type=%s ms=%" PRId64, LOG_ID_LEN, work->picture, bytes,
             image_media_type(about->image.type), clock_monotonic_ms() - work->started_ms);
    work->is_stored = true;
    work_settle(work, (const char *const[]){"stored", image_media_type(about->image.type), bytes, sha256,
                                            storage_identity(outbox->config.storage), NULL});
}

static void work_give_up(struct work *work, const struct copy_outcome *outcome)
{
    char code[32];

    (void)snprintf(code, sizeof(code), "%s", copy_end_name(outcome->end));
    log_error("outbox", "picture given up", "picture=%.*s code=%s tries=%" PRId64 " words=\"%s\"", LOG_ID_LEN,
              work->picture, code, work->tries + 1, outcome->words);
    work_settle(work, (const char *const[]){"failed", code, NULL});
}

static void work_failed(struct work *work, const struct copy_outcome *outcome)
{
    struct outbox *outbox = work->outbox;

    log_debug("outbox", "copy failed", "picture=%.*s end=%s words=\"%s\"", LOG_ID_LEN, work->picture,
              copy_end_name(outcome->end), outcome->words);
    switch (outcome->end) {
    case COPY_STORAGE:
        note_trouble(outbox, outcome->storage, outcome->words);
        work_put_off(work, "later", outbox->trouble_wait_ms);
        break;
    case COPY_HOST:
        work_settle(work, (const char *const[]){"host", NULL});
        break;
    case COPY_GONE:
    case COPY_NOT_IMAGE:
        if (work->tries + 1 < TRIES_MAX)
            work_put_off(work, "again", outbox->config.link_retry_ms << work->tries);
        else
            work_give_up(work, outcome);
        break;
    case COPY_FORBIDDEN:
    case COPY_TOO_LARGE:
    case COPY_STORED:
    case COPY_END_COUNT:
        work_give_up(work, outcome);
        break;
    }
}

static void work_on_copied(struct copy *copy, const struct copy_outcome *outcome, void *arg)
{
    struct work *work = arg;

    (void)copy;
    metrics_add(work->outbox->config.metrics, SAMPLE(METRIC_COPIES, outcome->end), 1);
    if (outcome->end == COPY_STORED)
        work_stored(work, outcome->about);
    else
        work_failed(work, outcome);
}

static void work_start_copy(struct work *work, const char *url, const char *owner)
{
    const struct outbox_config *config = &work->outbox->config;
    const struct copy_outcome lost = {.end = COPY_HOST, .words = "every worker that took it was lost"};

    if (work->tries >= TRIES_MAX) {
        work_give_up(work, &lost);
        return;
    }
    work->copy = copy_start(&(struct copy_setup){.loop = config->loop,
                                                 .web = config->web,
                                                 .storage = config->storage,
                                                 .rules = config->rules,
                                                 .link = url,
                                                 .name = work->name,
                                                 .owner = owner,
                                                 .first_byte_ms = FIRST_BYTE_MS,
                                                 .total_ms = config->lease_ms / 2,
                                                 .size_max = SIZE_MAX_BYTES,
                                                 .on_end = work_on_copied,
                                                 .arg = work});
    if (!work->copy)
        work_put_off(work, "later", TROUBLE_MIN_MS);
}

/* -- deletions */

static void work_on_deleted(const struct storage_outcome *outcome, void *arg)
{
    struct work *work = arg;

    work->removal = NULL;
    if (outcome->end == STORAGE_DONE || outcome->end == STORAGE_MISSING) {
        metrics_add(work->outbox->config.metrics, SAMPLE(METRIC_PICTURES_DELETED), outcome->end == STORAGE_DONE);
        work_settle(work, (const char *const[]){"deleted", NULL});
        return;
    }
    log_warn("outbox", "cannot delete a picture, trying again", "picture=%.*s end=%s words=\"%s\"", LOG_ID_LEN,
             work->picture, storage_end_name(outcome->end), outcome->words);
    work_settle(work, (const char *const[]){"host", NULL});
}

static void work_start_deletion(struct work *work)
{
    if (!storage_delete(work->outbox->config.storage, work->name, work_on_deleted, work, &work->removal))
        return;
    work->removal = NULL;
    work_put_off(work, "later", TROUBLE_MIN_MS);
}

/* -- leases */

/* {picture, fence, owner, day, url, tries} */
static struct work *work_create(struct outbox *outbox, enum queue queue, const redisReply *entry)
{
    const char *picture = script_text(entry, 0, NULL), *fence = script_text(entry, 1, NULL);
    size_t day_len = 0;
    const char *day = script_text(entry, 3, &day_len);
    struct work *work;
    int number;

    if (!picture || !fence || !day || strlen(fence) >= FENCE_SIZE || !storage_id_is_valid(picture, strlen(picture)) ||
        !storage_day_read(day, day_len, &number))
        return NULL;
    work = calloc(1, sizeof(*work));
    if (!work)
        return NULL;
    work->outbox = outbox;
    work->queue = queue;
    work->started_ms = clock_monotonic_ms();
    (void)snprintf(work->picture, sizeof(work->picture), "%s", picture);
    (void)snprintf(work->fence, sizeof(work->fence), "%s", fence);
    storage_name_of_picture(work->name, number, picture);
    if (script_int(entry, 5, &work->tries) || work->tries < 0)
        work->tries = 0;
    return work;
}

static void start_work(struct outbox *outbox, enum queue queue, const redisReply *entry)
{
    const char *owner = script_text(entry, 2, NULL), *url = script_text(entry, 4, NULL);
    struct work *work =
        owner && url && storage_owner_is_valid(owner, strlen(owner)) ? work_create(outbox, queue, entry) : NULL;

    if (!work) {
        log_error("outbox", "LEASE returned an entry that cannot be used, its lease will expire", "queue=%s",
                  queue_names[queue]);
        return;
    }
    TAILQ_INSERT_TAIL(&outbox->works, work, link);
    outbox->counts[queue]++;
    if (outbox->stopped)
        work_put_off(work, "later", 0);
    else if (queue == QUEUE_COPIES)
        work_start_copy(work, url, owner);
    else
        work_start_deletion(work);
}

static void poll_in(struct outbox *outbox, int64_t ms)
{
    if (!outbox->stopped)
        loop_timer_start(outbox->timer, ms);
}

static void outbox_on_leased(const redisReply *reply, int err, void *arg)
{
    struct asking *asking = arg;
    struct outbox *outbox = asking->outbox;
    int64_t waiting;

    asking->run = NULL;
    if (err) { /* outbox_resume, or the timer, asks again */
        if (outbox->stopped)
            outbox_go_on(outbox);
        return;
    }
    if (script_int(reply, 1, &waiting)) {
        char why[256];

        log_warn("outbox", "LEASE failed, trying again", "error=%s",
                 log_quote(why, sizeof(why), reply->str ? reply->str : "unexpected answer"));
        return;
    }
    if (asking->queue == QUEUE_COPIES)
        outbox->waiting = waiting;
    for (size_t i = 2; i < reply->elements; i++)
        start_work(outbox, asking->queue, reply->element[i]);
    if (outbox->stopped)
        outbox_go_on(outbox);
}

/* How many more entries may be taken. While the storage fails, one copy is tried after each wait. */
static int outbox_room(const struct outbox *outbox, enum queue queue)
{
    int busy = outbox->counts[queue];

    if (queue == QUEUE_DELETIONS)
        return DELETIONS_MAX - busy;
    if (outbox->trouble == STORAGE_DONE)
        return outbox->config.concurrency - busy;
    return busy || clock_monotonic_ms() < outbox->trouble_until_ms ? 0 : 1;
}

static void send_lease(struct outbox *outbox, enum queue queue)
{
    struct asking *asking = &outbox->asking[queue];
    char most[DECIMAL_SIZE], lane[DECIMAL_SIZE], lease[DECIMAL_SIZE], nonce[2 * NONCE_BYTES + 1];
    const struct script_arg args[] = {
        SCRIPT_TEXT(queue_names[queue]),
        {most,                decimal_write(most,                                           outbox_room(outbox, queue))},
        {lane,            decimal_write(lane,                                                                        queue == QUEUE_COPIES ? LANE_MAX : DELETIONS_MAX)},
        {lease,decimal_write(lease,outbox->config.lease_ms)},
        {nonce,               2 * NONCE_BYTES                                                                  },
    };
    const struct script_call call = {
        .script = &scripts[SCRIPT_LEASE], .prefix = outbox->config.prefix, .args = args, .count = ARRAY_LENGTH(args)};

    random_hex(nonce, NONCE_BYTES);
    if (script_run(outbox->config.redis, &call, outbox_on_leased, asking, &asking->run))
        asking->run = NULL; /* not connected: outbox_resume asks again */
}

static void outbox_ask(struct outbox *outbox)
{
    for (int queue = 0; queue < QUEUE_COUNT && !outbox->stopped; queue++)
        if (!outbox->asking[queue].run && outbox_room(outbox, (enum queue)queue) > 0)
            send_lease(outbox, (enum queue)queue);
}

static void outbox_on_timer(void *arg)
{
    struct outbox *outbox = arg;

    poll_in(outbox, POLL_MS / 2 + (int64_t)(random_unit() * POLL_MS));
    outbox_ask(outbox);
}

/* -- the sweep: every worker sweeps; that a day is gone already is no error */

static void outbox_sweep(struct outbox *outbox);

static void outbox_on_swept(const struct storage_outcome *outcome, int deleted, bool has_more, void *arg)
{
    struct outbox *outbox = arg;

    outbox->sweep = NULL;
    metrics_add(outbox->config.metrics, SAMPLE(METRIC_PICTURES_DELETED), deleted);
    if (deleted)
        log_info("outbox", "deleted expired pictures", "count=%d", deleted);
    if (outcome->end != STORAGE_DONE)
        log_warn("outbox", "cannot delete expired pictures, trying again", "end=%s words=\"%s\"",
                 storage_end_name(outcome->end), outcome->words);
    if (has_more && !outbox->stopped)
        outbox_sweep(outbox);
}

static void outbox_sweep(struct outbox *outbox)
{
    if (!outbox->sweep && storage_sweep(outbox->config.storage, storage_day_of(clock_wall_ms()), SWEEP_BATCH,
                                        outbox_on_swept, outbox, &outbox->sweep))
        outbox->sweep = NULL; /* the timer tries again */
}

static void outbox_on_sweep_timer(void *arg)
{
    struct outbox *outbox = arg;

    loop_timer_start(outbox->sweep_timer, SWEEP_MS / 2 + (int64_t)(random_unit() * SWEEP_MS));
    outbox_sweep(outbox);
}

/* -- create and destroy */

struct outbox *outbox_create(const struct outbox_config *config)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));

    if (!outbox)
        return NULL;
    outbox->config = *config;
    TAILQ_INIT(&outbox->works);
    for (int queue = 0; queue < QUEUE_COUNT; queue++)
        outbox->asking[queue] = (struct asking){.outbox = outbox, .queue = (enum queue)queue};
    outbox->timer = loop_timer_create(config->loop, outbox_on_timer, outbox);
    outbox->sweep_timer = loop_timer_create(config->loop, outbox_on_sweep_timer, outbox);
    if (!outbox->timer || !outbox->sweep_timer)
        return outbox_destroy(outbox);
    poll_in(outbox, POLL_MS);
    loop_timer_start(outbox->sweep_timer, SWEEP_FIRST_MS);
    return outbox;
}

struct outbox *outbox_destroy(struct outbox *outbox)
{
    struct work *work;

    if (!outbox)
        return NULL;
    while ((work = TAILQ_FIRST(&outbox->works))) {
        TAILQ_REMOVE(&outbox->works, work, link);
        work_free(work);
    }
    for (int queue = 0; queue < QUEUE_COUNT; queue++)
        if (outbox->asking[queue].run)
            script_cancel(outbox->asking[queue].run);
    if (outbox->sweep)
        storage_cancel(outbox->sweep);
    loop_timer_destroy(outbox->sweep_timer);
    loop_timer_destroy(outbox->timer);
    free(outbox);
    return NULL;
}

void outbox_resume(struct outbox *outbox)
{
    outbox_ask(outbox);
}

/* Work that is being reported, or that ends by itself within moments, is left alone. */
bool outbox_stop(struct outbox *outbox)
{
    struct work *work, *next;

    outbox->stopped = true;
    loop_timer_stop(outbox->timer);
    loop_timer_stop(outbox->sweep_timer);
    for (work = TAILQ_FIRST(&outbox->works); work; work = next) {
        next = TAILQ_NEXT(work, link);
        if (work->copy && redis_is_ready(outbox->config.redis))
            work_put_off(work, "later", 0);
    }
    return outbox_is_idle(outbox);
}

enum storage_end outbox_trouble(const struct outbox *outbox)
{
    return outbox->trouble;
}

int64_t outbox_waiting(const struct outbox *outbox)
{
    return outbox->waiting;
}

int outbox_copies(const struct outbox *outbox)
{
    return outbox->counts[QUEUE_COPIES];
}
