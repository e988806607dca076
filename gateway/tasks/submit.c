#include "gateway/tasks/submit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/tasks/event_log.h"
#include "gateway/tasks/inputs.h"

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    AT_DAY_LEFT = 1,    /* element of the reply IMAGES */
    AT_IMAGES_LEFT = 4, /* element of the reply NEW */
    COMMON_ARGS = 10,   /* of SUBMIT_ORDER, before the tasks */
    TASK_ARGS = 4,      /* of each task */
};

#define REFUSAL_UNKNOWN "UNKNOWN_UPLOAD" /* answers of SUBMIT that we pass in */
#define REFUSAL_LARGE   "INPUTS_TOO_LARGE"

struct submit_call {
    LIST_ENTRY(submit_call) link;
    struct script_run *run;
    struct submitter *submitter;
    submit_fn *done; /* NULL for an order, and after submit_cancel */
    submit_order_fn *order_done;
    void *arg;
    size_t count; /* tasks */
    char full_id[TASK_FULL_ID_SIZE];
    char trace[TRACE_SIZE];
    char request_id[REQUEST_ID_SIZE];
    enum on_disconnect on_disconnect;

    /* Copies that wait for INPUTS; NULL without uploads. */
    struct submission *waiting[SUBMIT_ORDER_MAX];
    char *order_id;
};

struct submitter {
    struct submitter_config config;
    LIST_HEAD(submit_calls, submit_call) calls;
};

struct submitter *submitter_create(const struct submitter_config *config)
{
    struct submitter *submitter = calloc(1, sizeof(*submitter));

    if (!submitter)
        return NULL;
    submitter->config = *config;
    LIST_INIT(&submitter->calls);
    return submitter;
}

/* After its callback, or without one. */
static void end_call(struct submit_call *call)
{
    LIST_REMOVE(call, link);
    for (size_t i = 0; i < call->count; i++)
        submission_destroy(call->waiting[i]);
    free(call->order_id);
    free(call);
}

struct submitter *submitter_destroy(struct submitter *submitter)
{
    struct submit_call *call;

    if (!submitter)
        return NULL;
    while ((call = LIST_FIRST(&submitter->calls))) {
        script_cancel(call->run);
        end_call(call);
    }
    free(submitter);
    return NULL;
}

static enum submit_outcome outcome_of(const redisReply *reply)
{
    static const struct {
        const char *word;
        enum submit_outcome outcome;
    } words[] = {
        {"NEW",           SUBMIT_NEW             },
        {"SAME",          SUBMIT_SAME            },
        {"CONFLICT",      SUBMIT_CONFLICT        },
        {"FULL",          SUBMIT_FULL            },
        {"CLIENT_FULL",   SUBMIT_CLIENT_FULL     },
        {"IMAGES",        SUBMIT_IMAGES          },
        {"PAUSED",        SUBMIT_PAUSED          },
        {REFUSAL_UNKNOWN, SUBMIT_UNKNOWN_UPLOAD  },
        {REFUSAL_LARGE,   SUBMIT_INPUTS_TOO_LARGE},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcmp(script_answer(reply), words[i].word) == 0)
            return words[i].outcome;
    return SUBMIT_FAILED;
}

enum problem submit_problem(enum submit_outcome outcome)
{
    switch (outcome) {
    case SUBMIT_CONFLICT:
        return PROBLEM_TASK_ID_CONFLICT;
    case SUBMIT_FULL:
        return PROBLEM_QUEUE_FULL;
    case SUBMIT_CLIENT_FULL:
        return PROBLEM_CLIENT_QUEUE_FULL;
    case SUBMIT_IMAGES:
        return PROBLEM_IMAGES_PER_DAY;
    case SUBMIT_PAUSED:
        return PROBLEM_QUEUE_PAUSED;
    case SUBMIT_UNKNOWN_UPLOAD:
        return PROBLEM_UNKNOWN_UPLOAD;
    case SUBMIT_INPUTS_TOO_LARGE:
        return PROBLEM_INPUTS_TOO_LARGE;
    case SUBMIT_NEW:
    case SUBMIT_SAME:
    case SUBMIT_FAILED:
        break;
    }
    return PROBLEM_STORE_UNAVAILABLE;
}

static void log_outcome(const struct submit_call *call, enum submit_outcome outcome, const redisReply *reply)
{
    char quoted[256];

    if (outcome == SUBMIT_NEW)
        log_info("submit", "accepted", "task=%s request_id=%s%s%s", call->full_id, call->request_id,
                 call->trace[0] ? " trace=" : "", call->trace);
    else if (outcome == SUBMIT_FAILED && reply && reply->type == REDIS_REPLY_ERROR)
        log_warn("submit", "Redis returned an error", "task=%s request_id=%s error=%s", call->full_id, call->request_id,
                 log_quote(quoted, sizeof(quoted), reply->str));
}

/* For a new task the epoch is the current time of Redis. */
static void read_images(const redisReply *reply, struct submit_result *out)
{
    if (out->outcome == SUBMIT_NEW && !script_int(reply, AT_IMAGES_LEFT, &out->images_left))
        out->day_left_ms = DAY_MS - out->log->epoch % DAY_MS;
    else if (out->outcome == SUBMIT_IMAGES && script_int(reply, AT_DAY_LEFT, &out->day_left_ms))
        out->day_left_ms = DAY_MS;
}

/* One task: a reply of SUBMIT, or an element of that of SUBMIT_ORDER. `log` is storage for the result's log. */
static struct submit_result read_result(const redisReply *reply, struct event_log *log)
{
    struct submit_result result = {.outcome = outcome_of(reply), .images_left = -1};

    if (result.outcome == SUBMIT_NEW || result.outcome == SUBMIT_SAME) {
        if (event_log_from_submit(reply, log))
            result.outcome = SUBMIT_FAILED;
        else
            result.log = log;
    }
    read_images(reply, &result);
    return result;
}

static void submit_on_reply(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    const struct submitter *submitter = call->submitter;
    struct event_log log;
    struct submit_result result = read_result(err ? NULL : reply, &log);

    log_outcome(call, result.outcome, reply);
    if (call->done)
        call->done(&result, call->arg);
    else if (result.outcome == SUBMIT_NEW)
        submitter->config.on_abandoned(call->full_id, call->on_disconnect, submitter->config.arg);
    end_call(call);
}

/* refusal: see submit.lua; "": none. */
static int send_submit(struct submitter *submitter, const struct submission *submission, const char *refusal,
                       struct submit_call *call)
{
    const struct submitter_config *limits = &submitter->config;
    char prefix[KEYS_PREFIX_SIZE], paid_calls[DECIMAL_SIZE], retention[DECIMAL_SIZE], limit[DECIMAL_SIZE],
        wait[DECIMAL_SIZE], client_limit[DECIMAL_SIZE], images[DECIMAL_SIZE], images_limit[DECIMAL_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(submission->full_id),
        SCRIPT_TEXT(submission->hash),
        SCRIPT_TEXT(submission->request),
        {paid_calls,   decimal_write(paid_calls,   submission->max_paid_calls)   },
        {retention,    decimal_write(retention,    limits->retention_ms)         },
        {limit,        decimal_write(limit,        limits->queue_limit)          },
        {wait,         decimal_write(wait,         limits->queue_ttl_ms)         },
        {client_limit, decimal_write(client_limit, submission->client_queued_max)},
        SCRIPT_TEXT(submission->trace),
        {images,       decimal_write(images,       submission->images)           },
        {images_limit, decimal_write(images_limit, submission->client_images_max)},
        SCRIPT_TEXT(submission->plan),
        SCRIPT_TEXT(submission->owes),
        SCRIPT_TEXT(refusal),
    };
    size_t count = ARRAY_LENGTH(args) - (*refusal ? 0 : *submission->owes ? 1 : 2); /* most deployments have neither */

    keys_task_prefix(prefix, submission->full_id);
    return script_run(
        submitter->config.redis,
        &(struct script_call){.script = &scripts[SCRIPT_SUBMIT], .prefix = prefix, .args = args, .count = count},
        submit_on_reply, call, &call->run);
}

static struct submit_call *create_submit_call(struct submitter *submitter, const struct submission *submission,
                                              void *arg)
{
    struct submit_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->arg = arg;
    call->count = 1;
    call->submitter = submitter;
    call->on_disconnect = submission->on_disconnect;
    memcpy(call->full_id, submission->full_id, sizeof(call->full_id));
    memcpy(call->trace, submission->trace, sizeof(call->trace));
    memcpy(call->request_id, submission->request_id, sizeof(call->request_id));
    return call;
}

/* -- uploads: INPUTS first */

static int send_order(const char *order_id, struct submission *const submissions[], struct submit_call *call);

static void submit_refuse(struct submit_call *call, enum submit_outcome outcome)
{
    const struct submit_result result = {.outcome = outcome, .images_left = -1};

    if (call->order_done)
        call->order_done(&result, call->arg);
    else if (call->done)
        call->done(&result, call->arg);
    end_call(call);
}

static void report_short_uploads(const struct submit_call *call, const redisReply *reply)
{
    const struct submitter_config *config = &call->submitter->config;
    const struct submission *submission = call->waiting[0];
    char client[TASK_CLIENT_MAX + 1] = "";

    (void)strncat(client, call->full_id, strcspn(call->full_id, "."));
    for (size_t i = 0; config->on_short_upload && i < submission->upload_count; i++) {
        const char *name = inputs_short_name(reply, i);

        if (name)
            config->on_short_upload(client, submission->uploads[i], name, config->arg);
    }
}

/* One task that exists is found also without its uploads. */
static void submit_without_inputs(struct submit_call *call, enum inputs_outcome outcome)
{
    bool is_large = outcome == INPUTS_TOO_LARGE;

    if (outcome == INPUTS_FAILED)
        submit_refuse(call, SUBMIT_FAILED);
    else if (call->order_id)
        submit_refuse(call, is_large ? SUBMIT_INPUTS_TOO_LARGE : SUBMIT_UNKNOWN_UPLOAD);
    else if (send_submit(call->submitter, call->waiting[0], is_large ? REFUSAL_LARGE : REFUSAL_UNKNOWN, call))
        submit_refuse(call, SUBMIT_FAILED);
}

static void submit_on_inputs(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    enum inputs_outcome outcome = call->submitter->config.upload_life_ms ? INPUTS_FOUND : INPUTS_UNKNOWN;

    call->run = NULL;
    if (!call->done && !call->order_done) { /* cancelled before anything was submitted */
        end_call(call);
        return;
    }
    for (size_t i = 0; outcome == INPUTS_FOUND && i < call->count; i++)
        outcome = err ? INPUTS_FAILED : inputs_apply(reply, call->waiting[i]);
    if (outcome != INPUTS_FOUND) {
        submit_without_inputs(call, outcome);
        return;
    }
    report_short_uploads(call, reply);
    err = call->order_id ? send_order(call->order_id, call->waiting, call)
                         : send_submit(call->submitter, call->waiting[0], "", call);
    if (err)
        submit_refuse(call, SUBMIT_FAILED);
}

static bool keep_copy(struct submit_call *call, size_t i, const struct submission *submission)
{
    call->waiting[i] = submission_copy(submission);
    return call->waiting[i];
}

static int ask_for_inputs(struct submit_call *call)
{
    const struct submitter_config *config = &call->submitter->config;

    return inputs_ask(config->redis, call->waiting[0], config->upload_life_ms, submit_on_inputs, call, &call->run);
}

static int keep_call(struct submit_call *call, int err, struct submit_call **out)
{
    LIST_INSERT_HEAD(&call->submitter->calls, call, link);
    if (err)
        end_call(call);
    else
        *out = call;
    return err;
}

int submit_start(struct submitter *submitter, const struct submission *submission, submit_fn *done, void *arg,
                 struct submit_call **out)
{
    struct submit_call *call = create_submit_call(submitter, submission, arg);

    if (!call)
        return ERR_NO_MEMORY;
    call->done = done;
    if (!submission->upload_count)
        return keep_call(call, send_submit(submitter, submission, "", call), out);
    return keep_call(call, keep_copy(call, 0, submission) ? ask_for_inputs(call) : ERR_NO_MEMORY, out);
}

void submit_cancel(struct submit_call *call)
{
    if (!call)
        return;
    call->done = NULL;
    call->order_done = NULL;
}

/* -- orders */

static bool is_accepted(const redisReply *reply, size_t count)
{
    return reply && strcmp(script_answer(reply), "ACCEPTED") == 0 && reply->elements == count + 1;
}

static bool read_order(const struct submit_call *call, const redisReply *reply, struct submit_result *results,
                       struct event_log *logs)
{
    bool ok = is_accepted(reply, call->count);

    for (size_t i = 0; ok && i < call->count; i++) {
        results[i] = read_result(script_array(reply, i + 1), &logs[i]);
        ok = results[i].log;
    }
    if (!ok)
        results[0] = read_result(reply, &logs[0]);
    return ok;
}

static void submit_order_on_reply(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    struct submit_result results[SUBMIT_ORDER_MAX] = {0};
    struct event_log logs[SUBMIT_ORDER_MAX];
    bool is_new = false;

    if (read_order(call, err ? NULL : reply, results, logs))
        for (size_t i = 0; i < call->count; i++)
            is_new = is_new || results[i].outcome == SUBMIT_NEW;
    log_outcome(call, is_new ? SUBMIT_NEW : results[0].outcome, reply);
    if (call->order_done)
        call->order_done(results, call->arg);
    end_call(call);
}

static int send_order(const char *order_id, struct submission *const submissions[], struct submit_call *call)
{
    const struct submitter_config *limits = &call->submitter->config;
    const struct submission *first = submissions[0];
    char prefix[KEYS_PREFIX_SIZE], paid_calls[DECIMAL_SIZE], retention[DECIMAL_SIZE], limit[DECIMAL_SIZE],
        wait[DECIMAL_SIZE], client_limit[DECIMAL_SIZE], images[DECIMAL_SIZE], images_limit[DECIMAL_SIZE];
    struct script_arg args[COMMON_ARGS + SUBMIT_ORDER_MAX * TASK_ARGS] = {
        SCRIPT_TEXT(order_id),
        {paid_calls,   decimal_write(paid_calls,   first->max_paid_calls)   },
        {retention,    decimal_write(retention,    limits->retention_ms)    },
        {limit,        decimal_write(limit,        limits->queue_limit)     },
        {wait,         decimal_write(wait,         limits->queue_ttl_ms)    },
        {client_limit, decimal_write(client_limit, first->client_queued_max)},
        SCRIPT_TEXT(first->trace),
        {images,       decimal_write(images,       first->images)           },
        {images_limit, decimal_write(images_limit, first->client_images_max)},
        SCRIPT_TEXT(first->owes),
    };

    for (size_t i = 0; i < call->count; i++) {
        struct script_arg *task = &args[COMMON_ARGS + i * TASK_ARGS];

        task[0] = SCRIPT_TEXT(submissions[i]->full_id);
        task[1] = SCRIPT_TEXT(submissions[i]->hash);
        task[2] = SCRIPT_TEXT(submissions[i]->request);
        task[3] = SCRIPT_TEXT(submissions[i]->plan);
    }
    keys_prefix(prefix, keys_partition(first->full_id, 1));
    return script_run(limits->redis,
                      &(struct script_call){.script = &scripts[SCRIPT_SUBMIT_ORDER],
                                            .prefix = prefix,
                                            .args = args,
                                            .count = COMMON_ARGS + call->count * TASK_ARGS},
                      submit_order_on_reply, call, &call->run);
}

int submit_order_start(struct submitter *submitter, const char *order_id, struct submission *const submissions[],
                       size_t count, submit_order_fn *done, void *arg, struct submit_call **out)
{
    struct submit_call *call = create_submit_call(submitter, submissions[0], arg);
    bool ok = true;

    if (!call)
        return ERR_NO_MEMORY;
    call->order_done = done;
    call->count = count;
    if (!submissions[0]->upload_count)
        return keep_call(call, send_order(order_id, submissions, call), out);
    call->order_id = strdup(order_id);
    for (size_t i = 0; ok && i < count; i++)
        ok = keep_copy(call, i, submissions[i]);
    return keep_call(call, ok && call->order_id ? ask_for_inputs(call) : ERR_NO_MEMORY, out);
}
