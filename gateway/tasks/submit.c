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

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    AT_DAY_LEFT = 1,    /* element of the reply IMAGES */
    AT_IMAGES_LEFT = 4, /* element of the reply NEW */
    SUBMIT_ARGS = 15,
    AT_OWES = 12, /* of SUBMIT's arguments, which may end before each of these two */
    AT_RESERVATION,
    COMMON_ARGS = 11, /* of SUBMIT_ORDER, before the tasks */
    AT_UNTIL = 10,    /* of SUBMIT_ORDER's arguments: until when the reservations may be used */
    TASK_ARGS = 5,    /* of each task; the last one is its reservation */
    ARGS_MAX = COMMON_ARGS + SUBMIT_ORDER_MAX * TASK_ARGS,
};

/* The arguments of a SUBMIT that waits for RESERVE; the bytes follow. */
struct kept_args {
    size_t count;
    struct script_arg args[ARGS_MAX];
    char bytes[];
};

struct submit_call {
    LIST_ENTRY(submit_call) link;
    struct script_run *run;
    struct submitter *submitter;
    submit_fn *done; /* NULL for an order, and after submit_cancel */
    submit_order_fn *order_done;
    void *arg;
    enum script_id script;
    char prefix[KEYS_PREFIX_SIZE];
    size_t count; /* tasks */
    struct money_terms money;
    char reservations[SUBMIT_ORDER_MAX][RESERVATION_SIZE];
    struct kept_args *kept;     /* while RESERVE has not answered */
    bool is_reserved;           /* the reservations exist; those that no new task has got are released */
    struct spending spending;   /* as RESERVE answered */
    enum submit_outcome denied; /* if RESERVE has not reserved: the outcome for a task that does not exist */
    char until[DECIMAL_SIZE];
    char full_id[TASK_FULL_ID_SIZE];
    char trace[TRACE_SIZE];
    char request_id[REQUEST_ID_SIZE];
    enum on_disconnect on_disconnect;
};

struct submitter {
    struct submitter_config config;
    LIST_HEAD(submit_calls, submit_call) calls;
};

struct submission *submission_destroy(struct submission *submission)
{
    if (submission) {
        free(submission->request);
        free(submission->plan);
    }
    free(submission);
    return NULL;
}

static const char ATTACH_ONLY[] = "-"; /* instead of a reservation: SUBMIT creates no task */

struct submitter *submitter_create(const struct submitter_config *config)
{
    struct submitter *submitter = calloc(1, sizeof(*submitter));

    if (!submitter)
        return NULL;
    submitter->config = *config;
    LIST_INIT(&submitter->calls);
    return submitter;
}

struct submitter *submitter_destroy(struct submitter *submitter)
{
    struct submit_call *call;

    if (!submitter)
        return NULL;
    while ((call = LIST_FIRST(&submitter->calls))) {
        LIST_REMOVE(call, link);
        script_cancel(call->run);
        free(call->kept);
        free(call);
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
        {"NEW",         SUBMIT_NEW        },
        {"SAME",        SUBMIT_SAME       },
        {"CONFLICT",    SUBMIT_CONFLICT   },
        {"FULL",        SUBMIT_FULL       },
        {"CLIENT_FULL", SUBMIT_CLIENT_FULL},
        {"IMAGES",      SUBMIT_IMAGES     },
        {"PAUSED",      SUBMIT_PAUSED     },
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
    case SUBMIT_BUDGET:
        return PROBLEM_BUDGET_EXHAUSTED;
    case SUBMIT_UNPRICED:
        return PROBLEM_PRICE_UNKNOWN;
    case SUBMIT_PAUSED:
        return PROBLEM_QUEUE_PAUSED;
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

/* What RESERVE has said, for the client. */
static void add_spending(const struct submit_call *call, struct submit_result *out)
{
    if (out->outcome == SUBMIT_BUDGET)
        out->day_left_ms = spending_left_ms(&call->spending, call->spending.refused);
    if (out->outcome == SUBMIT_BUDGET || (out->outcome == SUBMIT_NEW && call->is_reserved))
        out->spending = &call->spending;
}

/* One task: a reply of SUBMIT, or an element of that of SUBMIT_ORDER. `log` is storage for the result's log. */
static struct submit_result read_result(const struct submit_call *call, const redisReply *reply, struct event_log *log)
{
    struct submit_result result = {.outcome = outcome_of(reply), .images_left = -1};

    if (strcmp(script_answer(reply), "NONE") == 0)
        result.outcome = call->denied;
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
            unused[count++].reservation = call->reservations[i];
    if (count)
        reserve_release(call->submitter->config.redis, unused, count);
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
    LIST_REMOVE(call, link);
    if (call->done)
        call->done(&result, call->arg);
    else if (result.outcome == SUBMIT_NEW)
        submitter->config.on_abandoned(call->full_id, call->on_disconnect, submitter->config.arg);
    free(call);
}

static void submit_order_on_reply(const redisReply *reply, int err, void *arg);

static int send_args(struct submit_call *call, const struct script_arg *args, size_t count)
{
    return script_run(
        call->submitter->config.redis,
        &(struct script_call){.script = &scripts[call->script], .prefix = call->prefix, .args = args, .count = count},
        call->script == SCRIPT_SUBMIT ? submit_on_reply : submit_order_on_reply, call, &call->run);
}

/* -- RESERVE, then SUBMIT */

static struct kept_args *keep_args(const struct script_arg *args, size_t count)
{
    struct kept_args *kept;
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    kept = malloc(sizeof(*kept) + bytes);
    if (!kept)
        return NULL;
    kept->count = count;
    bytes = 0;
    for (size_t i = 0; i < count; i++) {
        kept->args[i] = (struct script_arg){kept->bytes + bytes, args[i].len};
        memcpy(kept->bytes + bytes, args[i].data, args[i].len);
        bytes += args[i].len;
    }
    return kept;
}

/* The arguments that say until when the reservations may be used, or that there are none. */
static void set_reservations(struct submit_call *call)
{
    struct script_arg *args = call->kept->args;

    args[call->script == SCRIPT_SUBMIT ? AT_RESERVATION + 1 : AT_UNTIL] = SCRIPT_TEXT(call->until);
    if (call->is_reserved)
        return;
    if (call->script == SCRIPT_SUBMIT)
        args[AT_RESERVATION] = SCRIPT_TEXT(ATTACH_ONLY);
    for (size_t i = 0; call->script == SCRIPT_SUBMIT_ORDER && i < call->count; i++)
        args[COMMON_ARGS + i * TASK_ARGS + TASK_ARGS - 1] = SCRIPT_TEXT(ATTACH_ONLY);
}

static void end_without_answer(struct submit_call *call)
{
    if (call->script == SCRIPT_SUBMIT)
        submit_on_reply(NULL, ERR_NOT_READY, call);
    else
        submit_order_on_reply(NULL, ERR_NOT_READY, call);
}

static void submit_on_reserved(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    const struct reserve_answer answer = reserve_read(err ? NULL : reply, &call->money);
    struct kept_args *kept = call->kept;

    call->is_reserved = answer.outcome == RESERVE_OK;
    call->denied = answer.outcome == RESERVE_REFUSED ? SUBMIT_BUDGET : SUBMIT_FAILED;
    call->spending = answer.spending;
    (void)decimal_write(call->until, answer.until_ms);
    if (call->submitter->config.on_spending && answer.outcome != RESERVE_FAILED)
        call->submitter->config.on_spending(&answer.spending, call->submitter->config.arg);
    set_reservations(call);
    call->kept = NULL;
    if (err || send_args(call, kept->args, kept->count))
        end_without_answer(call);
    free(kept);
}

static int send_reserve(struct submit_call *call, struct submission *const submissions[], const struct script_arg *args,
                        size_t count)
{
    struct reserve_task tasks[SUBMIT_ORDER_MAX];
    int err;

    for (size_t i = 0; i < call->count; i++)
        tasks[i] = (struct reserve_task){submissions[i]->full_id, call->reservations[i]};
    call->kept = keep_args(args, count);
    err = call->kept ? reserve_send(call->submitter->config.redis, &call->money, tasks, call->count, submit_on_reserved,
                                    call, &call->run)
                     : ERR_NO_MEMORY;
    if (err)
        free(call->kept);
    return err;
}

static int send_or_reserve(struct submit_call *call, struct submission *const submissions[],
                           const struct script_arg *args, size_t count)
{
    if (call->money.micros)
        return send_reserve(call, submissions, args, count);
    return send_args(call, args, count);
}

static int send_submit(struct submitter *submitter, struct submission *submission, struct submit_call *call)
{
    const struct submitter_config *limits = &submitter->config;
    char paid_calls[DECIMAL_SIZE], retention[DECIMAL_SIZE], limit[DECIMAL_SIZE], wait[DECIMAL_SIZE],
        client_limit[DECIMAL_SIZE], images[DECIMAL_SIZE], images_limit[DECIMAL_SIZE];
    const struct script_arg args[SUBMIT_ARGS] = {
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
        SCRIPT_TEXT(call->reservations[0]),
        SCRIPT_TEXT(call->until),
    };
    size_t count = *call->reservations[0] ? SUBMIT_ARGS : *submission->owes ? AT_RESERVATION : AT_OWES;

    keys_task_prefix(call->prefix, submission->full_id);
    return send_or_reserve(call, &submission, args, count);
}

static struct submit_call *create_submit_call(struct submitter *submitter, enum script_id script,
                                              struct submission *const submissions[], size_t count, void *arg)
{
    const struct submission *submission = submissions[0];
    struct submit_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->arg = arg;
    call->script = script;
    call->count = count;
    call->submitter = submitter;
    call->money = submission->money;
    call->denied = submission->money.unpriced ? SUBMIT_UNPRICED : SUBMIT_FAILED;
    (void)decimal_write(call->until, 0);
    for (size_t i = 0; i < count; i++)
        (void)strncat(call->reservations[i],
                      submission->money.unpriced ? ATTACH_ONLY : submissions[i]->money.reservation,
                      RESERVATION_SIZE - 1);
    call->on_disconnect = submission->on_disconnect;
    memcpy(call->full_id, submission->full_id, sizeof(call->full_id));
    memcpy(call->trace, submission->trace, sizeof(call->trace));
    memcpy(call->request_id, submission->request_id, sizeof(call->request_id));
    return call;
}

static int keep_call(struct submit_call *call, int err, struct submit_call **out)
{
    if (err) {
        free(call);
        return err;
    }
    LIST_INSERT_HEAD(&call->submitter->calls, call, link);
    *out = call;
    return 0;
}

int submit_start(struct submitter *submitter, struct submission *submission, submit_fn *done, void *arg,
                 struct submit_call **out)
{
    struct submit_call *call = create_submit_call(submitter, SCRIPT_SUBMIT, &submission, 1, arg);

    if (!call)
        return ERR_NO_MEMORY;
    call->done = done;
    return keep_call(call, send_submit(submitter, submission, call), out);
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
        results[i] = read_result(call, script_array(reply, i + 1), &logs[i]);
        ok = results[i].log;
    }
    if (!ok)
        results[0] = read_result(call, reply, &logs[0]);
    return ok;
}

static void submit_order_on_reply(const redisReply *reply, int err, void *arg)
{
    struct submit_call *call = arg;
    const redisReply *answer = err ? NULL : reply;
    struct submit_result results[SUBMIT_ORDER_MAX] = {0};
    struct event_log logs[SUBMIT_ORDER_MAX];
    bool is_new = false, ok = read_order(call, answer, results, logs);

    for (size_t i = 0; ok && i < call->count; i++)
        is_new = is_new || results[i].outcome == SUBMIT_NEW;
    log_outcome(call, is_new ? SUBMIT_NEW : results[0].outcome, answer);
    release_unused(call, answer, results, is_accepted(answer, call->count));
    LIST_REMOVE(call, link);
    if (call->order_done)
        call->order_done(results, call->arg);
    free(call);
}

static int send_order(const char *order_id, struct submission *const submissions[], struct submit_call *call)
{
    const struct submitter_config *limits = &call->submitter->config;
    const struct submission *first = submissions[0];
    char paid_calls[DECIMAL_SIZE], retention[DECIMAL_SIZE], limit[DECIMAL_SIZE], wait[DECIMAL_SIZE],
        client_limit[DECIMAL_SIZE], images[DECIMAL_SIZE], images_limit[DECIMAL_SIZE];
    struct script_arg args[ARGS_MAX] = {
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
        SCRIPT_TEXT(call->until),
    };

    for (size_t i = 0; i < call->count; i++) {
        struct script_arg *task = &args[COMMON_ARGS + i * TASK_ARGS];

        task[0] = SCRIPT_TEXT(submissions[i]->full_id);
        task[1] = SCRIPT_TEXT(submissions[i]->hash);
        task[2] = SCRIPT_TEXT(submissions[i]->request);
        task[3] = SCRIPT_TEXT(submissions[i]->plan);
        task[4] = SCRIPT_TEXT(call->reservations[i]);
    }
    keys_prefix(call->prefix, keys_partition(first->full_id, 1));
    return send_or_reserve(call, submissions, args, COMMON_ARGS + call->count * TASK_ARGS);
}

int submit_order_start(struct submitter *submitter, const char *order_id, struct submission *const submissions[],
                       size_t count, submit_order_fn *done, void *arg, struct submit_call **out)
{
    struct submit_call *call = create_submit_call(submitter, SCRIPT_SUBMIT_ORDER, submissions, count, arg);

    if (!call)
        return ERR_NO_MEMORY;
    call->order_done = done;
    return keep_call(call, send_order(order_id, submissions, call), out);
}
