#include "worker/job/report.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/base/macros.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"
#include "worker/queue/durability.h"

enum {
    NAMES = 2,                      /* of each call: the task's id and the fence come first */
    ARGS_MAX = 5,                   /* of one message, after these */
    EVENT_ARGS = 2,                 /* of an EMIT: its number, its event */
    TOGETHER_MAX = 8,               /* EMITs sent as part of a FINISH ... */
    TOGETHER_BYTES_MAX = 64 * 1024, /* ... and their size: images as data: URLs are sent one by one */
    RETRY_DELAY_MS = 1000
};

struct message {
    STAILQ_ENTRY(message) link;
    enum script_id script;
    struct script_arg args[ARGS_MAX]; /* in `text` */
    size_t count, bytes;
    char text[];
};

STAILQ_HEAD(message_queue, message);

struct report {
    struct report_config config;
    struct message_queue waiting; /* the first `together` messages are in flight if in_flight is set */
    struct script_run *in_flight;
    size_t together;          /* messages in the call in flight */
    struct loop_timer *retry; /* pending after an error reply, while the connection is up */
    struct loop_deferred turn;
    bool turn_waits; /* `turn` is queued in the loop */
    bool gone;       /* destroyed while `turn` was queued, which frees the report */
    int64_t sent_ms;
    int64_t wseq;
    int paid_calls;                     /* as BEGIN answered */
    struct durability_wait *confirming; /* after BEGIN, before on_begun */
    int failed;                         /* ERR_*: a message is missing, and only on_failed can follow */
};

static struct message *message_create(enum script_id script, const struct script_arg *args, size_t count)
{
    struct message *message;
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    message = malloc(sizeof(*message) + bytes);
    if (!message)
        return NULL;
    message->script = script;
    message->count = count;
    message->bytes = bytes;
    for (size_t i = 0, at = 0; i < count; at += args[i++].len) {
        message->args[i] = (struct script_arg){.data = message->text + at, .len = args[i].len};
        memcpy(message->text + at, args[i].data, args[i].len);
    }
    return message;
}

static void drop_head(struct report *report)
{
    struct message *head = STAILQ_FIRST(&report->waiting);

    STAILQ_REMOVE_HEAD(&report->waiting, link);
    free(head);
}

static void report_drop_all(struct report *report)
{
    while (!STAILQ_EMPTY(&report->waiting))
        drop_head(report);
}

static void report_end_lost(struct report *report)
{
    report_drop_all(report);
    report->config.events.on_lease_lost(report->config.arg);
}

static void report_end_failed(struct report *report)
{
    report_drop_all(report);
    report->config.events.on_failed(report->failed, report->config.arg);
}

static void send_head(struct report *report);

static const struct message *last_of_call(const struct report *report)
{
    const struct message *message = STAILQ_FIRST(&report->waiting);

    for (size_t i = 1; i < report->together; i++)
        message = STAILQ_NEXT(message, link);
    return message;
}

static struct redis *redis_of(const struct report *report, enum script_id script)
{
    return script == SCRIPT_BEGIN ? report->config.paid : report->config.redis;
}

static void retry_later(struct report *report)
{
    loop_timer_start(report->retry, RETRY_DELAY_MS);
}

static void report_on_retry(void *arg)
{
    struct report *report = arg;

    if (report->failed)
        report_end_failed(report);
    else
        send_head(report);
}

/* This process may have been frozen, for example by a suspended virtual machine, between sending BEGIN and reading its answer. By then the
 * lease may have expired and another worker may have begun the same paid call. BEGIN does not extend a lease that is younger than a tenth. */
static bool is_too_late(const struct report *report)
{
    return clock_monotonic_ms() - report->sent_ms >= report->config.lease_ms - report->config.lease_ms / 10;
}

static void deliver_begun(struct report *report, enum begin_answer answer)
{
    if (answer == BEGIN_OK && is_too_late(report))
        answer = BEGIN_TOO_LATE;
    report->config.events.on_begun(answer, report->paid_calls, report->config.arg);
}

static void report_on_confirmed(bool confirmed, void *arg)
{
    struct report *report = arg;

    report->confirming = NULL;
    deliver_begun(report, confirmed ? BEGIN_OK : BEGIN_NOT_DURABLE);
}

/* The paid call is recorded. Confirms the record before the job may call ARK, if that is configured. */
static void confirm(struct report *report, int paid_calls)
{
    report->paid_calls = paid_calls;
    if (!report->config.durability) {
        deliver_begun(report, BEGIN_OK);
        return;
    }
    report->confirming = durability_confirm(report->config.durability, report_on_confirmed, report);
    if (!report->confirming)
        deliver_begun(report, BEGIN_NOT_DURABLE);
}

/* Passes the answer on to the job, which may destroy the report. */
static void report_deliver(struct report *report, enum script_id script, const redisReply *reply)
{
    const struct report_events *events = &report->config.events;
    const char *answer = script_answer(reply);
    int64_t paid_calls = 0, owes;

    if (script == SCRIPT_FINISH) {
        events->on_finished(!script_int(reply, 2, &owes), report->config.arg);
    } else if (script == SCRIPT_EMIT) {
        if (!strcmp(answer, "CANCEL"))
            events->on_cancelled(report->config.arg);
    } else if (!strcmp(answer, "OK")) {
        if (script_int(reply, 1, &paid_calls))
            log_warn("report", "BEGIN answered without a count, continuing", "task=%s", report->config.id);
        confirm(report, (int)paid_calls);
    } else {
        deliver_begun(report, !strcmp(answer, "BUDGET") ? BEGIN_NO_BUDGET : BEGIN_CANCELLED);
    }
}

static bool is_one_of(const char *answer, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(answer, *words))
            return true;
    return false;
}

static bool is_taken(const redisReply *reply)
{
    static const char *const taken[] = {"OK", "SAME", "CANCEL", "BUDGET", NULL};

    return is_one_of(script_answer(reply), taken);
}

static void report_on_answer(const redisReply *reply, int err, void *arg)
{
    struct report *report = arg;
    enum script_id script = last_of_call(report)->script;

    report->in_flight = NULL;
    if (err) {
        if (redis_is_ready(redis_of(report, script)))
            retry_later(report);
        return; /* not connected: report_resume sends it again */
    }
    if (!strcmp(script_answer(reply), "LOST")) {
        report_end_lost(report);
        return;
    }
    if (!is_taken(reply)) {
        char why[256];

        log_warn("report", "Redis rejected a report, trying again", "task=%s script=%s error=%s", report->config.id,
                 scripts[script].name, log_quote(why, sizeof(why), reply->str ? reply->str : "unexpected answer"));
        retry_later(report);
        return;
    }
    for (; report->together; report->together--)
        drop_head(report);
    send_head(report);
    report_deliver(report, script, reply);
}

/* The number of messages to send as one call: a FINISH with the EMITs in front of it, or 1. */
static size_t count_together(const struct report *report)
{
    const struct message *message = STAILQ_FIRST(&report->waiting);
    size_t count = 1, bytes = 0;

    for (; message && message->script == SCRIPT_EMIT; message = STAILQ_NEXT(message, link)) {
        bytes += message->bytes;
        if (++count > TOGETHER_MAX + 1 || bytes > TOGETHER_BYTES_MAX)
            return 1;
    }
    return message && message->script == SCRIPT_FINISH ? count : 1;
}

static size_t copy_args(const struct message *message, struct script_arg *args)
{
    memcpy(args, message->args, message->count * sizeof(*args));
    return message->count;
}

/* The arguments of the last message, then those of the events before it. */
static size_t args_of_call(const struct report *report, struct script_arg *args)
{
    const struct message *last = last_of_call(report);
    size_t count = 0;

    args[count++] = SCRIPT_TEXT(report->config.id);
    args[count++] = SCRIPT_TEXT(report->config.fence);
    count += copy_args(last, args + count);
    for (const struct message *event = STAILQ_FIRST(&report->waiting); event != last; event = STAILQ_NEXT(event, link))
        count += copy_args(event, args + count);
    return count;
}

static void send_head(struct report *report)
{
    struct script_arg args[NAMES + ARGS_MAX + TOGETHER_MAX * EVENT_ARGS];
    struct script_call call = {.prefix = report->config.prefix, .args = args};
    enum script_id script;
    int err;

    if (STAILQ_EMPTY(&report->waiting) || report->in_flight)
        return;
    report->together = count_together(report);
    script = last_of_call(report)->script;
    call.script = &scripts[script];
    call.count = args_of_call(report, args);
    report->sent_ms = clock_monotonic_ms();
    err = script_run(redis_of(report, script), &call, report_on_answer, report, &report->in_flight);
    if (err && err != ERR_NOT_READY) {
        log_warn("report", "cannot send a report, trying again", "task=%s script=%s error=\"%s\"", report->config.id,
                 call.script->name, err_text(err));
        retry_later(report);
    }
}

static void report_on_turn(void *arg)
{
    struct report *report = arg;

    report->turn_waits = false;
    if (report->gone)
        free(report);
    else if (report->failed ||
             !loop_timer_is_running(report->retry)) /* also after report_fail: send what was queued before */
        send_head(report);
}

/* Sends at the end of this turn of the loop, when the FINISH may be queued as well. */
static void send_later(struct report *report)
{
    if (report->turn_waits)
        return;
    report->turn_waits = true;
    loop_defer(report->config.loop, &report->turn, report_on_turn, report);
}

/* Refuses messages after a failure: a FINISH must not reach Redis without the EMITs before it. */
static int enqueue(struct report *report, enum script_id script, const struct script_arg *args, size_t count)
{
    struct message *message = report->failed ? NULL : message_create(script, args, count);

    if (!message)
        return ERR_NO_MEMORY;
    STAILQ_INSERT_TAIL(&report->waiting, message, link);
    if (script == SCRIPT_BEGIN)
        send_head(report);
    else
        send_later(report);
    return 0;
}

void report_fail(struct report *report, int err)
{
    if (!report->failed)
        report->failed = err;
    retry_later(report);
}

struct report *report_create(const struct report_config *config)
{
    struct report *report = calloc(1, sizeof(*report));

    if (!report)
        return NULL;
    report->config = *config;
    STAILQ_INIT(&report->waiting);
    report->retry = loop_timer_create(config->loop, report_on_retry, report);
    return report->retry ? report : report_destroy(report);
}

struct report *report_destroy(struct report *report)
{
    if (!report)
        return NULL;
    if (report->in_flight)
        script_cancel(report->in_flight);
    if (report->confirming)
        durability_cancel(report->confirming);
    loop_timer_destroy(report->retry);
    report_drop_all(report);
    if (report->turn_waits)
        report->gone = true;
    else
        free(report);
    return NULL;
}

void report_begin(struct report *report, const char *call_id, int images, const char *data)
{
    char images_text[DECIMAL_SIZE], lease_text[DECIMAL_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(call_id),
        {images_text, decimal_write(images_text, images)                 },
        {lease_text,  decimal_write(lease_text,  report->config.lease_ms)},
        SCRIPT_TEXT(data)
    };

    int err = enqueue(report, SCRIPT_BEGIN, args, ARRAY_LENGTH(args));

    if (err)
        report_fail(report, err);
}

int report_emit(struct report *report, const char *data)
{
    char wseq_text[DECIMAL_SIZE];
    const struct script_arg args[EVENT_ARGS] = {
        {wseq_text, decimal_write(wseq_text, ++report->wseq)},
        SCRIPT_TEXT(data)
    };

    return enqueue(report, SCRIPT_EMIT, args, EVENT_ARGS);
}

void report_finish(struct report *report, const struct report_end *end)
{
    char delay_text[DECIMAL_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(verdict_action_name(end->action)),
        SCRIPT_TEXT(charge_name(end->charge)),
        {delay_text, decimal_write(delay_text, end->delay_ms)},
        SCRIPT_TEXT(end->data),
        SCRIPT_TEXT(end->cost)
    };

    int err = enqueue(report, SCRIPT_FINISH, args, ARRAY_LENGTH(args));

    if (err)
        report_fail(report, err);
}

void report_resume(struct report *report)
{
    if (!loop_timer_is_running(report->retry))
        send_head(report);
}
