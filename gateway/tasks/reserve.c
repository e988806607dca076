#include "gateway/tasks/reserve.h"

#include <stddef.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "common/task/task.h"

/* Longer than a gateway waits for RESERVE and SUBMIT together, so that only a frozen process or a stalled Redis exceeds it. */
static const char VALID_MS[] = "5000";

enum {
    TERMS_ARGS = 8, /* of RESERVE, before the tasks */
    TASK_ARGS = 2,
    AT_UNTIL = 1, /* elements of its reply */
    AT_REFUSED,
    AT_DAY_LEFT,
    AT_MONTH_LEFT,
    AT_AMOUNTS, /* spent and reserved, per cap */
};

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

struct reserve_answer reserve_read(const redisReply *reply, const struct money_terms *terms)
{
    struct reserve_answer answer = {.outcome = RESERVE_FAILED};
    bool is_refused = strcmp(script_answer(reply), "REFUSED") == 0;
    char quoted[256];

    memcpy(answer.spending.limit, terms->limit, sizeof(answer.spending.limit));
    memcpy(answer.spending.currency, terms->currency, sizeof(answer.spending.currency));
    if ((is_refused || strcmp(script_answer(reply), "OK") == 0) && read_answer(reply, &answer))
        answer.outcome = is_refused ? RESERVE_REFUSED : RESERVE_OK;
    else if (reply && reply->type == REDIS_REPLY_ERROR)
        log_warn("reserve", "Redis returned an error", "error=%s", log_quote(quoted, sizeof(quoted), reply->str));
    return answer;
}

/* The name of the client, which the id begins with. */
static struct script_arg client_of(const char *full_id)
{
    return (struct script_arg){full_id, strcspn(full_id, ".")};
}

int reserve_send(struct redis *redis, const struct money_terms *terms, const struct reserve_task *tasks, size_t count,
                 redis_reply_fn *done, void *arg, struct script_run **run)
{
    char micros[DECIMAL_SIZE], limits[CAP_COUNT][DECIMAL_SIZE];
    struct script_arg args[TERMS_ARGS + RESERVE_TASKS_MAX * TASK_ARGS] = {
        client_of(tasks[0].full_id), SCRIPT_TEXT(terms->currency), {micros, decimal_write(micros, terms->micros)}
    };
    size_t at = 3;

    for (size_t cap = 0; cap < CAP_COUNT; cap++) {
        size_t len = decimal_write(limits[cap], terms->limit[cap]);

        args[at++] = (struct script_arg){limits[cap], len};
    }
    args[at++] = SCRIPT_TEXT(VALID_MS);
    for (size_t i = 0; i < count; i++) {
        args[at++] = SCRIPT_TEXT(tasks[i].reservation);
        args[at++] = SCRIPT_TEXT(tasks[i].full_id);
    }
    return script_run(
        redis,
        &(struct script_call){.script = &scripts[SCRIPT_RESERVE], .prefix = KEYS_MONEY, .args = args, .count = at},
        done, arg, run);
}

static void reserve_on_released(const redisReply *reply, int err, void *unused)
{
    (void)unused;
    if (err || strcmp(script_answer(reply), "OK") != 0)
        log_warn("reserve", "cannot release a reservation, continuing: the audit frees it", "error=\"%s\"",
                 err ? err_text(err) : "unexpected answer");
}

void reserve_release(struct redis *redis, const struct reserve_task *tasks, size_t count)
{
    struct script_arg args[RESERVE_TASKS_MAX * TASK_ARGS];
    size_t at = 0;
    int err;

    for (size_t i = 0; i < count; i++) {
        args[at++] = SCRIPT_TEXT(tasks[i].reservation);
        args[at++] = SCRIPT_TEXT("");
    }
    err = script_run(
        redis,
        &(struct script_call){.script = &scripts[SCRIPT_CHARGE], .prefix = KEYS_MONEY, .args = args, .count = at},
        reserve_on_released, NULL, NULL);
    if (err)
        reserve_on_released(NULL, err, NULL);
}
