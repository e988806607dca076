#include "gateway/tasks/inputs.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/decimal.h"
#include "common/models/plan_text.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/tasks/submission.h"

enum {
    AT_NAME, /* elements of a row */
    AT_BYTES,
    AT_TYPE,
    AT_SHORT,
    DATA_URL_HEAD = 32, /* data:image/jpeg;base64, and the quotes */
};

bool inputs_are_needed(const struct submission *submission)
{
    return submission->upload_count || submission->data_len > INPUTS_JSON_MAX;
}

int inputs_ask(struct redis *redis, const struct submission *submission, int64_t life_ms, redis_reply_fn *done,
               void *arg, struct script_run **run)
{
    char prefix[KEYS_CLIENT_SIZE], client[TASK_CLIENT_MAX + 1] = "", life[DECIMAL_SIZE];
    struct script_arg args[1 + TASK_URLS_MAX] = {
        {life, decimal_write(life, life_ms)}
    };

    (void)strncat(client, submission->full_id, strcspn(submission->full_id, "."));
    keys_client(prefix, client);
    for (size_t i = 0; i < submission->upload_count; i++)
        args[1 + i] = SCRIPT_TEXT(submission->uploads[i]);
    return script_run(
        redis,
        &(struct script_call){
            .script = &scripts[SCRIPT_INPUTS], .prefix = prefix, .args = args, .count = 1 + submission->upload_count},
        done, arg, run);
}

static enum inputs_outcome read_names(const redisReply *reply, const struct submission *submission, const char **names)
{
    int64_t sum = (int64_t)submission->data_len;

    for (size_t i = 0; i < submission->upload_count; i++) {
        const redisReply *row = script_array(reply, 1 + i);
        int64_t bytes;

        if (!row)
            return INPUTS_FAILED;
        names[i] = script_text(row, AT_NAME, NULL);
        if (!names[i] || script_int(row, AT_BYTES, &bytes))
            return INPUTS_UNKNOWN;
        sum += (bytes + 2) / 3 * 4 + DATA_URL_HEAD;
    }
    return sum > INPUTS_JSON_MAX ? INPUTS_TOO_LARGE : INPUTS_FOUND;
}

/* False: out of memory. */
static bool insert_names(struct submission *submission, const char *const *names)
{
    struct buf text;
    char *plan = NULL;

    buf_init(&text, PLAN_TEXT_MAX);
    if (!plan_insert_uploads(&text, submission->plan, names, submission->upload_count))
        plan = buf_take(&text);
    buf_deinit(&text);
    if (plan) {
        free(submission->plan);
        submission->plan = plan;
    }
    return plan;
}

enum inputs_outcome inputs_apply(const redisReply *reply, struct submission *submission)
{
    const char *names[TASK_URLS_MAX];
    enum inputs_outcome outcome;

    if (strcmp(script_answer(reply), "OK") != 0)
        return INPUTS_FAILED;
    outcome = read_names(reply, submission, names);
    if (outcome == INPUTS_FOUND && !insert_names(submission, names))
        return INPUTS_FAILED;
    return outcome;
}

const char *inputs_short_name(const redisReply *reply, size_t i)
{
    const redisReply *row = script_array(reply, 1 + i);
    int64_t is_short;

    return row && !script_int(row, AT_SHORT, &is_short) && is_short ? script_text(row, AT_NAME, NULL) : NULL;
}
