#include "gateway/tasks/event_log.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"

struct event_log_call {
    struct script_run *run;
    int64_t from;
    event_log_fn *done;
    void *arg;
};

static int read_state(const redisReply *reply, size_t i, enum task_state *out)
{
    size_t len;
    const char *name = script_text(reply, i, &len);

    return name && task_state_parse(name, len, out) ? 0 : ERR_SYNTAX;
}

/* Older scripts do not return it. */
static bool read_deferred(const redisReply *reply, size_t i)
{
    int64_t deferrals;

    return !script_int(reply, i, &deferrals) && deferrals > 0;
}

int event_log_from_submit(const redisReply *reply, struct event_log *out)
{
    struct event_log log = {.from = 1, .elements = script_array(reply, 3)};

    if (!log.elements || script_int(reply, 1, &log.epoch) || read_state(reply, 2, &log.state))
        return ERR_SYNTAX;
    log.length = (int64_t)log.elements->elements;
    log.deferred = read_deferred(reply, 5);
    *out = log;
    return 0;
}

static int event_log_from_read(const redisReply *reply, int64_t from, struct event_log *out)
{
    struct event_log log = {.from = from, .elements = script_array(reply, 4)};

    if (!log.elements || script_int(reply, 1, &log.epoch) || read_state(reply, 2, &log.state) ||
        script_int(reply, 3, &log.length))
        return ERR_SYNTAX;
    log.deferred = read_deferred(reply, 5);
    *out = log;
    return 0;
}

size_t event_log_count(const struct event_log *log)
{
    return log->elements->elements - log->skipped;
}

struct event_log event_log_after(const struct event_log *log, int64_t n)
{
    struct event_log rest = *log;

    rest.skipped += (size_t)(n + 1 - log->from);
    rest.from = n + 1;
    return rest;
}

int event_log_event(const struct event_log *log, size_t index, struct task_event *out)
{
    size_t len;
    const char *element = script_text(log->elements, log->skipped + index, &len);
    struct task_event event;

    if (!element || task_event_parse(element, len, &event) || event.n != log->from + (int64_t)index)
        return ERR_SYNTAX;
    *out = event;
    return 0;
}

static void event_log_on_reply(const redisReply *reply, int err, void *arg)
{
    struct event_log_call *call = arg;
    struct event_log log;

    if (!err && strcmp(script_answer(reply), "NONE") == 0)
        err = ERR_NOT_FOUND;
    else if (!err && strcmp(script_answer(reply), "LOG") != 0)
        err = ERR_REFUSED;
    if (!err)
        err = event_log_from_read(reply, call->from, &log);
    call->done(err ? NULL : &log, err, call->arg);
    free(call);
}

int event_log_read(struct redis *redis, const char *full_id, int64_t from, event_log_fn *done, void *arg,
                   struct event_log_call **out)
{
    struct event_log_call *call = calloc(1, sizeof(*call));
    char prefix[KEYS_PREFIX_SIZE], number[DECIMAL_SIZE];
    int err;

    if (!call)
        return ERR_NO_MEMORY;
    *call = (struct event_log_call){.from = from, .done = done, .arg = arg};
    keys_task_prefix(prefix, full_id);
    (void)decimal_write(number, from);
    err = script_run(redis,
                     &(struct script_call){
                         .script = &scripts[SCRIPT_READ],
                         .prefix = prefix,
                         .args = (struct script_arg[]){SCRIPT_TEXT(full_id), SCRIPT_TEXT(number)},
                         .count = 2
    },
                     event_log_on_reply, call, &call->run);
    if (err)
        free(call);
    else
        *out = call;
    return err;
}

void event_log_cancel(struct event_log_call *call)
{
    if (!call)
        return;
    script_cancel(call->run);
    free(call);
}
