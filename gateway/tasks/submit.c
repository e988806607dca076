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
#include "gateway/tasks/reserver.h"

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    AT_DAY_LEFT = 1,    /* element of the reply IMAGES */
    AT_IMAGES_LEFT = 4, /* element of the reply NEW */
    PLAIN_ARGS = 12,    /* of SUBMIT, without what most deployments do not need: */
    OWES_ARGS = 13,
    REFUSAL_ARGS = 14,
    RESERVATION_ARGS = 16,
    COMMON_ARGS = 17, /* of SUBMIT_ORDER, before the tasks */
    TASK_ARGS = 5,    /* of each task */
    AT_FOUND = 1,     /* element of the reply FOUND */
    ORDER_LIVES = 2,  /* a key is known for longer than its tasks are kept */
};

#define REFUSAL_UNKNOWN  "UNKNOWN_UPLOAD" /* answers of SUBMIT that we pass in */
#define REFUSAL_LARGE    "INPUTS_TOO_LARGE"
#define REFUSAL_BUDGET   "BUDGET"
#define REFUSAL_UNPRICED "UNPRICED"
#define REFUSAL_FAILED   "NOT_RESERVED"

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

    struct reserve_request reserve;
    bool is_reserved;         /* the reservations exist; those that no new task has got are released */
    int64_t until_ms;         /* until when SUBMIT may use them; 0: they are not from RESERVE */
    struct spending spending; /* as RESERVE answered */

    /* Copies that wait for INPUTS and RESERVE; NULL without uploads and spending limits. */
    struct submission *waiting[SUBMIT_ORDER_MAX];
    struct order_identity *order; /* NULL for a single task too */
};

struct submitter {
    struct submitter_config config;
    struct reserver *reserver;
    LIST_HEAD(submit_calls, submit_call) calls;
};

/* After its callback, or without one. */
static void end_call(struct submit_call *call)
{
    LIST_REMOVE(call, link);
    for (size_t i = 0; i < call->count; i++)
        submission_destroy(call->waiting[i]);
    free(call->order);
    free(call);
}

struct submitter *submitter_destroy(struct submitter *submitter)
{
    struct submit_call *call;

    if (!submitter)
        return NULL;
    reserver_destroy(submitter->reserver);
    while ((call = LIST_FIRST(&submitter->calls))) {
        if (call->run)
            script_cancel(call->run);
        end_call(call);
    }
    free(submitter);
    return NULL;
}

struct submitter *submitter_create(const struct submitter_config *config)
{
    struct submitter *submitter = calloc(1, sizeof(*submitter));

    if (!submitter)
        return NULL;
    submitter->config = *config;
    LIST_INIT(&submitter->calls);
    if (!(submitter->reserver = reserver_create(config->redis)))
        return submitter_destroy(submitter);
    return submitter;
}

static enum submit_outcome outcome_of(const redisReply *reply)
{
    static const struct {
        const char *word;
        enum submit_outcome outcome;
    } words[] = {
        {"NEW",            SUBMIT_NEW             },
        {"SAME",           SUBMIT_SAME            },
        {"FOUND",          SUBMIT_FOUND           },
        {"CONFLICT",       SUBMIT_CONFLICT        },
        {"FULL",           SUBMIT_FULL            },
        {"CLIENT_FULL",    SUBMIT_CLIENT_FULL     },
        {"IMAGES",         SUBMIT_IMAGES          },
        {"PAUSED",         SUBMIT_PAUSED          },
        {REFUSAL_UNKNOWN,  SUBMIT_UNKNOWN_UPLOAD  },
        {REFUSAL_LARGE,    SUBMIT_INPUTS_TOO_LARGE},
        {REFUSAL_BUDGET,   SUBMIT_BUDGET          },
        {REFUSAL_UNPRICED, SUBMIT_UNPRICED        },
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
    case SUBMIT_BUDGET:
        return PROBLEM_BUDGET_EXHAUSTED;
    case SUBMIT_UNPRICED:
        return PROBLEM_PRICE_UNKNOWN;
    case SUBMIT_UNKNOWN_UPLOAD:
        return PROBLEM_UNKNOWN_UPLOAD;
    case SUBMIT_INPUTS_TOO_LARGE:
        return PROBLEM_INPUTS_TOO_LARGE;
    case SUBMIT_NEW:
    case SUBMIT_SAME:
    case SUBMIT_FOUND:
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

/* What RESERVE has said, for the client. */
static void add_spending(const struct submit_call *call, struct submit_result *out)
{
    if (out->outcome == SUBMIT_BUDGET)
        out->day_left_ms = spending_retry_ms(&call->spending, (int64_t)call->count * call->waiting[0]->money.micros);
    if (out->outcome == SUBMIT_BUDGET || (out->outcome == SUBMIT_NEW && call->is_reserved))
        out->spending = &call->spending;
}

/* One task: a reply of SUBMIT, or an element of that of SUBMIT_ORDER. `log` is storage for the result's log. */
static struct submit_result read_result(const struct submit_call *call, const redisReply *reply, struct event_log *log)
{
    struct submit_result result = {.outcome = outcome_of(reply), .images_left = -1};

    if (result.outcome == SUBMIT_NEW || result.outcome == SUBMIT_SAME) {
        if (event_log_from_submit(reply, log))
            result.outcome = SUBMIT_FAILED;
        else
            result.log = log;
    }
    read_images(reply, &result);
    add_spending(call, &result);
    return result;
}

/* Without an answer the tasks may exist, and the audit decides. */
static void release_unused(const struct submit_call *call, const redisReply *reply, const struct submit_result *results,
                           bool is_accepted)
{
    struct reserve_task unused[SUBMIT_ORDER_MAX];
    size_t count = 0;

    if (!call->is_reserved || !script_answer(reply)[0])
        return;
    for (size_t i = 0; i < call->count; i++)
        if (!is_accepted || results[i].outcome == SUBMIT_SAME)
            unused[count++].reservation = call->waiting[i]->money.reservation;
    if (count)
        reserver_release(call->submitter->reserver, unused, count);
}

static void submit_on_reply(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    const struct submitter *submitter = call->submitter;
    const redisReply *answer = err ? NULL : reply;
    struct event_log log;
    struct submit_result result = read_result(call, answer, &log);

    log_outcome(call, result.outcome, answer);
    release_unused(call, answer, &result, result.outcome == SUBMIT_NEW);
    if (call->done)
        call->done(&result, call->arg);
    else if (result.outcome == SUBMIT_NEW)
        submitter->config.on_abandoned(call->full_id, call->on_disconnect, submitter->config.arg);
    end_call(call);
}

/* refusal: see submit.lua; "": none. The hash is enough to find a task. */
static int send_submit(struct submitter *submitter, const struct submission *submission, const char *refusal,
                       struct submit_call *call)
{
    const struct submitter_config *limits = &submitter->config;
    char prefix[KEYS_PREFIX_SIZE], paid_calls[DECIMAL_SIZE], retention[DECIMAL_SIZE], limit[DECIMAL_SIZE],
        wait[DECIMAL_SIZE], client_limit[DECIMAL_SIZE], images[DECIMAL_SIZE], images_limit[DECIMAL_SIZE],
        until[DECIMAL_SIZE];
    const struct script_arg args[RESERVATION_ARGS] = {
        SCRIPT_TEXT(submission->full_id),
        SCRIPT_TEXT(submission->hash),
        SCRIPT_TEXT(*refusal ? "" : submission->request),
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
        SCRIPT_TEXT(submission->money.reservation),
        {until,        decimal_write(until,        call->until_ms)               },
    };
    size_t count = *submission->money.reservation ? RESERVATION_ARGS
                   : *refusal                     ? REFUSAL_ARGS
                   : *submission->owes            ? OWES_ARGS
                                                  : PLAIN_ARGS;

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

/* -- what comes before SUBMIT */

/* refusal: as for send_submit. */
static int send_order(const struct order_identity *order, struct submission *const submissions[], const char *refusal,
                      struct submit_call *call);

static void submit_refuse(struct submit_call *call, enum submit_outcome outcome)
{
    const struct submit_result result = {.outcome = outcome, .images_left = -1};

    if (call->order_done)
        call->order_done(&result, call->arg);
    else if (call->done)
        call->done(&result, call->arg);
    end_call(call);
}

/* After INPUTS and RESERVE. */
static void submit_waiting(struct submit_call *call, const char *refusal)
{
    int err = call->order ? send_order(call->order, call->waiting, refusal, call)
                          : send_submit(call->submitter, call->waiting[0], refusal, call);

    if (err)
        submit_refuse(call, SUBMIT_FAILED);
}

/* -- spending limits: RESERVE */

static bool is_cancelled(const struct submit_call *call)
{
    return !call->done && !call->order_done;
}

/* If RESERVE refuses, or fails because Redis has no memory, a task that exists is found nevertheless. */
static void submit_on_reserved(const struct reserve_answer *answer, void *arg)
{
    struct submit_call *call = arg;
    const struct submitter_config *config = &call->submitter->config;

    call->is_reserved = answer->outcome == RESERVE_OK;
    call->until_ms = answer->until_ms;
    call->spending = answer->spending;
    if (config->on_spending && answer->outcome != RESERVE_FAILED)
        config->on_spending(&answer->spending, config->arg);
    if (is_cancelled(call)) { /* before anything was submitted */
        if (call->is_reserved)
            reserver_release(call->submitter->reserver, call->reserve.tasks, call->reserve.count);
        end_call(call);
    } else if (answer->err) {
        submit_refuse(call, SUBMIT_FAILED);
    } else {
        submit_waiting(call, answer->outcome == RESERVE_OK        ? ""
                             : answer->outcome == RESERVE_REFUSED ? REFUSAL_BUDGET
                                                                  : REFUSAL_FAILED);
    }
}

static int ask_for_money(struct submit_call *call)
{
    struct reserve_request *reserve = &call->reserve;

    reserve->terms = &call->waiting[0]->money;
    reserve->count = call->count;
    reserve->on_reserved = submit_on_reserved;
    reserve->arg = call;
    for (size_t i = 0; i < call->count; i++)
        reserve->tasks[i] = (struct reserve_task){call->waiting[i]->full_id, call->waiting[i]->money.reservation};
    return reserver_ask(call->submitter->reserver, reserve);
}

static void reserve_or_submit(struct submit_call *call)
{
    const struct money_terms *money = &call->waiting[0]->money;

    if (!money->micros)
        submit_waiting(call, money->unpriced ? REFUSAL_UNPRICED : "");
    else if (ask_for_money(call))
        submit_refuse(call, SUBMIT_FAILED);
}

/* -- uploads: INPUTS */

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
    else if (call->order)
        submit_refuse(call, is_large ? SUBMIT_INPUTS_TOO_LARGE : SUBMIT_UNKNOWN_UPLOAD);
    else if (send_submit(call->submitter, call->waiting[0], is_large ? REFUSAL_LARGE : REFUSAL_UNKNOWN, call))
        submit_refuse(call, SUBMIT_FAILED);
}

static void submit_on_inputs(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    bool has_uploads = call->waiting[0]->upload_count, can_exist = call->submitter->config.upload_life_ms;
    enum inputs_outcome outcome = has_uploads && !can_exist ? INPUTS_UNKNOWN : INPUTS_FOUND;

    call->run = NULL;
    if (is_cancelled(call)) { /* before anything was submitted */
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
    reserve_or_submit(call);
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

static bool needs_steps(const struct submission *submission)
{
    return inputs_are_needed(submission) || submission->money.micros;
}

static int begin_steps(struct submit_call *call, const struct submission *first)
{
    return inputs_are_needed(first) ? ask_for_inputs(call) : ask_for_money(call);
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
    if (!needs_steps(submission))
        return keep_call(
            call, send_submit(submitter, submission, submission->money.unpriced ? REFUSAL_UNPRICED : "", call), out);
    return keep_call(call, keep_copy(call, 0, submission) ? begin_steps(call, submission) : ERR_NO_MEMORY, out);
}

void submit_cancel(struct submit_call *call)
{
    if (!call)
        return;
    call->done = NULL;
    call->order_done = NULL;
    if (reserver_withdraw(call->submitter->reserver, &call->reserve))
        end_call(call);
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
        results[i] = read_result(call, script_array(reply, i + 1), &logs[i]);
        ok = results[i].log;
    }
    if (!ok)
        results[0] = read_result(call, reply, &logs[0]);
    if (results[0].outcome == SUBMIT_FOUND)
        results[0].order_id = script_text(reply, AT_FOUND, NULL);
    return ok;
}

static void submit_order_on_reply(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    struct submit_result results[SUBMIT_ORDER_MAX] = {0};
    struct event_log logs[SUBMIT_ORDER_MAX];
    const redisReply *answer = err ? NULL : reply;
    bool is_new = false, ok = read_order(call, answer, results, logs);

    for (size_t i = 0; ok && i < call->count; i++)
        is_new = is_new || results[i].outcome == SUBMIT_NEW;
    log_outcome(call, is_new ? SUBMIT_NEW : results[0].outcome, answer);
    release_unused(call, answer, results, is_accepted(answer, call->count));
    if (call->order_done)
        call->order_done(results, call->arg);
    end_call(call);
}

static int send_order(const struct order_identity *order, struct submission *const submissions[], const char *refusal,
                      struct submit_call *call)
{
    const struct submitter_config *limits = &call->submitter->config;
    const struct submission *first = submissions[0];
    const int64_t lifetime_ms = ORDER_LIVES * (limits->queue_ttl_ms + limits->retention_ms);
    char prefix[KEYS_PREFIX_SIZE], paid_calls[DECIMAL_SIZE], retention[DECIMAL_SIZE], limit[DECIMAL_SIZE],
        wait[DECIMAL_SIZE], client_limit[DECIMAL_SIZE], images[DECIMAL_SIZE], images_limit[DECIMAL_SIZE],
        until[DECIMAL_SIZE], window[DECIMAL_SIZE], lifetime[DECIMAL_SIZE];
    struct script_arg args[COMMON_ARGS + SUBMIT_ORDER_MAX * TASK_ARGS] = {
        SCRIPT_TEXT(order->id),
        {paid_calls,   decimal_write(paid_calls,   first->max_paid_calls)   },
        {retention,    decimal_write(retention,    limits->retention_ms)    },
        {limit,        decimal_write(limit,        limits->queue_limit)     },
        {wait,         decimal_write(wait,         limits->queue_ttl_ms)    },
        {client_limit, decimal_write(client_limit, first->client_queued_max)},
        SCRIPT_TEXT(first->trace),
        {images,       decimal_write(images,       first->images)           },
        {images_limit, decimal_write(images_limit, first->client_images_max)},
        SCRIPT_TEXT(first->owes),
        SCRIPT_TEXT(refusal),
        {until,        decimal_write(until,        call->until_ms)          },
        SCRIPT_TEXT(order->is_known ? "" : order->body),
        SCRIPT_TEXT(order->is_known ? "" : order->key),
        SCRIPT_TEXT(order->is_retry ? "1" : "0"),
        {window,       decimal_write(window,       limits->order_window_ms) },
        {lifetime,     decimal_write(lifetime,     lifetime_ms)             },
    };

    for (size_t i = 0; i < call->count; i++) {
        struct script_arg *task = &args[COMMON_ARGS + i * TASK_ARGS];

        task[0] = SCRIPT_TEXT(submissions[i]->full_id);
        task[1] = SCRIPT_TEXT(submissions[i]->hash);
        task[2] = SCRIPT_TEXT(submissions[i]->request);
        task[3] = SCRIPT_TEXT(submissions[i]->plan);
        task[4] = SCRIPT_TEXT(submissions[i]->money.reservation);
    }
    keys_prefix(prefix, keys_partition(first->full_id, 1));
    return script_run(limits->redis,
                      &(struct script_call){.script = &scripts[SCRIPT_SUBMIT_ORDER],
                                            .prefix = prefix,
                                            .args = args,
                                            .count = COMMON_ARGS + call->count * TASK_ARGS},
                      submit_order_on_reply, call, &call->run);
}

static struct order_identity *copy_order(const struct order_identity *order)
{
    struct order_identity *copy = malloc(sizeof(*copy));

    if (copy)
        *copy = *order;
    return copy;
}

int submit_order_start(struct submitter *submitter, const struct order_identity *order,
                       struct submission *const submissions[], size_t count, submit_order_fn *done, void *arg,
                       struct submit_call **out)
{
    struct submit_call *call = create_submit_call(submitter, submissions[0], arg);
    bool ok = true;

    if (!call)
        return ERR_NO_MEMORY;
    call->order_done = done;
    call->count = count;
    if (!needs_steps(submissions[0]))
        return keep_call(
            call, send_order(order, submissions, submissions[0]->money.unpriced ? REFUSAL_UNPRICED : "", call), out);
    call->order = copy_order(order);
    for (size_t i = 0; ok && i < count; i++)
        ok = keep_copy(call, i, submissions[i]);
    return keep_call(call, ok && call->order ? begin_steps(call, submissions[0]) : ERR_NO_MEMORY, out);
}
