#include "gateway/tasks/reserver.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/redis/script.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "common/task/task.h"

/* Longer than a gateway waits for RESERVE and SUBMIT together, so that only a frozen process or a stalled Redis exceeds it. */
static const char VALID_MS[] = "5000";

enum {
    TERMS_ARGS = 8, /* of RESERVE per request, before its tasks */
    TASK_ARGS = 2,
    REQUEST_ARGS_MAX = TERMS_ARGS + RESERVE_TASKS_MAX * TASK_ARGS,
    ARGS_MAX = 512, /* of one RESERVE, which takes Redis well under a millisecond */
    AT_UNTIL = 1,   /* elements of the answer to a request */
    AT_REFUSED,
    AT_DAY_LEFT,
    AT_MONTH_LEFT,
    AT_AMOUNTS, /* spent and reserved, per cap */
};

TAILQ_HEAD(reserve_requests, reserve_request);

struct reserver {
    struct redis *redis;
    bool is_busy;                    /* a RESERVE is in flight, or its answers are being given */
    struct script_run *run;          /* in flight; else NULL */
    struct reserve_requests sent;    /* in the order of the arguments */
    struct reserve_requests waiting; /* for the answer to those */
};

/* -- the answer */

static bool read_amounts(const redisReply *reply, struct spending *out)
{
    for (size_t cap = 0; cap < CAP_COUNT; cap++)
        if (script_int(reply, AT_AMOUNTS + 2 * cap, &out->spent[cap]) ||
            script_int(reply, AT_AMOUNTS + 2 * cap + 1, &out->reserved[cap]))
            return false;
    return true;
}

static bool read_answer(const redisReply *reply, struct reserve_answer *out)
{
    int64_t refused;

    if (script_int(reply, AT_UNTIL, &out->until_ms) || script_int(reply, AT_REFUSED, &refused) ||
        script_int(reply, AT_DAY_LEFT, &out->spending.day_left_ms) ||
        script_int(reply, AT_MONTH_LEFT, &out->spending.month_left_ms) || !read_amounts(reply, &out->spending) ||
        refused < 0 || refused > CAP_COUNT)
        return false;
    out->spending.refused = refused ? (enum spending_cap)(refused - 1) : CAP_COUNT;
    return true;
}

/* reply: an element of the reply of RESERVE. */
static void read_reply(const redisReply *reply, const struct money_terms *terms, struct reserve_answer *out)
{
    bool is_refused = strcmp(script_answer(reply), "REFUSED") == 0;

    memcpy(out->spending.limit, terms->limit, sizeof(out->spending.limit));
    memcpy(out->spending.currency, terms->currency, sizeof(out->spending.currency));
    if ((is_refused || strcmp(script_answer(reply), "OK") == 0) && read_answer(reply, out))
        out->outcome = is_refused ? RESERVE_REFUSED : RESERVE_OK;
}

static void log_refusal(const redisReply *reply, int err)
{
    char quoted[256];

    if (!err && reply->type == REDIS_REPLY_ERROR)
        log_warn("reserver", "Redis returned an error", "error=%s", log_quote(quoted, sizeof(quoted), reply->str));
}

static void send_waiting(struct reserver *reserver);

static void reserver_on_reply(const redisReply *reply, int err, void *arg)
{
    struct reserver *reserver = arg;
    struct reserve_request *request;
    bool is_answered = !err && strcmp(script_answer(reply), "OK") == 0;

    log_refusal(reply, err);
    reserver->run = NULL;
    for (size_t i = 1; (request = TAILQ_FIRST(&reserver->sent)); i++) {
        struct reserve_answer answer = {.outcome = RESERVE_FAILED, .err = err};

        TAILQ_REMOVE(&reserver->sent, request, link);
        if (is_answered)
            read_reply(script_array(reply, i), request->terms, &answer);
        request->on_reserved(&answer, request->arg);
    }
    send_waiting(reserver);
}

/* -- the request */

/* The name of the client, which the id begins with. */
static struct script_arg client_of(const char *full_id)
{
    return (struct script_arg){full_id, strcspn(full_id, ".")};
}

/* The texts of the numbers of one request. */
struct request_texts {
    char micros[DECIMAL_SIZE], limits[CAP_COUNT][DECIMAL_SIZE], count[DECIMAL_SIZE];
};

/* Returns the number of arguments. */
static size_t write_request(const struct reserve_request *request, struct request_texts *texts, struct script_arg *args)
{
    const struct money_terms *terms = request->terms;
    size_t at = 0;

    args[at++] = client_of(request->tasks[0].full_id);
    args[at++] = SCRIPT_TEXT(terms->currency);
    args[at++] = (struct script_arg){texts->micros, decimal_write(texts->micros, terms->micros)};
    for (size_t cap = 0; cap < CAP_COUNT; cap++) {
        size_t len = decimal_write(texts->limits[cap], terms->limit[cap]);

        args[at++] = (struct script_arg){texts->limits[cap], len};
    }
    args[at++] = (struct script_arg){texts->count, decimal_write(texts->count, (int64_t)request->count)};
    for (size_t i = 0; i < request->count; i++) {
        args[at++] = SCRIPT_TEXT(request->tasks[i].reservation);
        args[at++] = SCRIPT_TEXT(request->tasks[i].full_id);
    }
    return at;
}

/* Moves requests from `waiting` to `sent`, as many as one RESERVE takes. */
static int send_requests(struct reserver *reserver)
{
    struct script_arg args[ARGS_MAX] = {SCRIPT_TEXT(VALID_MS)};
    struct request_texts texts[ARGS_MAX / TERMS_ARGS];
    struct reserve_request *request;
    size_t at = 1, count = 0;
    int err;

    while ((request = TAILQ_FIRST(&reserver->waiting)) && at + REQUEST_ARGS_MAX <= ARGS_MAX) {
        TAILQ_REMOVE(&reserver->waiting, request, link);
        TAILQ_INSERT_TAIL(&reserver->sent, request, link);
        request->is_waiting = false;
        at += write_request(request, &texts[count++], &args[at]);
    }
    err = script_run(
        reserver->redis,
        &(struct script_call){.script = &scripts[SCRIPT_RESERVE], .prefix = KEYS_MONEY, .args = args, .count = at},
        reserver_on_reply, reserver, &reserver->run);
    if (err)
        reserver->run = NULL;
    return err;
}

/* They cannot be sent. */
static void fail_sent(struct reserver *reserver, int err)
{
    const struct reserve_answer answer = {.outcome = RESERVE_FAILED, .err = err};
    struct reserve_request *request;

    while ((request = TAILQ_FIRST(&reserver->sent))) {
        TAILQ_REMOVE(&reserver->sent, request, link);
        request->on_reserved(&answer, request->arg);
    }
}

/* After the answers to the last ones. Callbacks may have added some. */
static void send_waiting(struct reserver *reserver)
{
    while (!TAILQ_EMPTY(&reserver->waiting)) {
        int err = send_requests(reserver);

        if (!err)
            return;
        fail_sent(reserver, err);
    }
    reserver->is_busy = false;
}

int reserver_ask(struct reserver *reserver, struct reserve_request *request)
{
    int err;

    TAILQ_INSERT_TAIL(&reserver->waiting, request, link);
    request->is_waiting = true;
    if (reserver->is_busy)
        return 0;
    err = send_requests(reserver);
    if (err)
        TAILQ_REMOVE(&reserver->sent, request, link);
    reserver->is_busy = !err;
    return err;
}

bool reserver_withdraw(struct reserver *reserver, struct reserve_request *request)
{
    if (!request->is_waiting)
        return false;
    TAILQ_REMOVE(&reserver->waiting, request, link);
    request->is_waiting = false;
    return true;
}

/* -- release */

static void reserver_on_released(const redisReply *reply, int err, void *unused)
{
    (void)unused;
    if (err || strcmp(script_answer(reply), "OK") != 0)
        log_warn("reserver", "cannot release a reservation, continuing: the audit frees it", "error=\"%s\"",
                 err ? err_text(err) : "unexpected answer");
}

void reserver_release(struct reserver *reserver, const struct reserve_task *tasks, size_t count)
{
    struct script_arg args[RESERVE_TASKS_MAX * TASK_ARGS];
    size_t at = 0;
    int err;

    for (size_t i = 0; i < count; i++) {
        args[at++] = SCRIPT_TEXT(tasks[i].reservation);
        args[at++] = SCRIPT_TEXT("");
    }
    err = script_run(
        reserver->redis,
        &(struct script_call){.script = &scripts[SCRIPT_CHARGE], .prefix = KEYS_MONEY, .args = args, .count = at},
        reserver_on_released, NULL, NULL);
    if (err)
        reserver_on_released(NULL, err, NULL);
}

/* -- the object */

struct reserver *reserver_create(struct redis *redis)
{
    struct reserver *reserver = calloc(1, sizeof(*reserver));

    if (!reserver)
        return NULL;
    reserver->redis = redis;
    TAILQ_INIT(&reserver->sent);
    TAILQ_INIT(&reserver->waiting);
    return reserver;
}

struct reserver *reserver_destroy(struct reserver *reserver)
{
    if (reserver && reserver->run)
        script_cancel(reserver->run);
    free(reserver);
    return NULL;
}
