#include "gateway/streams/history.h"

#include <stdlib.h>
#include <string.h>

#include "common/decimal.h"
#include "common/keys.h"
#include "common/task/scripts.h"

struct history_call {
    struct script_run *run;
    int64_t from;
    history_fn *done;
    void *arg;
};

static int read_state(const redisReply *reply, size_t i, enum task_state *out)
{
    size_t len;
    const char *name = script_text(reply, i, &len);

    return name && task_state_parse(name, len, out) ? 0 : ERR_SYNTAX;
}

int history_of_submit(const redisReply *reply, struct history *out)
{
    struct history history = {.from = 1, .elements = script_array(reply, 3)};

    if (!history.elements || script_int(reply, 1, &history.epoch) || read_state(reply, 2, &history.state))
        return ERR_SYNTAX;
    history.length = (int64_t)history.elements->elements;
    *out = history;
    return 0;
}

static int history_of_read(const redisReply *reply, int64_t from, struct history *out)
{
    struct history history = {.from = from, .elements = script_array(reply, 4)};

    if (!history.elements || script_int(reply, 1, &history.epoch) || read_state(reply, 2, &history.state) ||
        script_int(reply, 3, &history.length))
        return ERR_SYNTAX;
    *out = history;
    return 0;
}

size_t history_count(const struct history *history)
{
    return history->elements->elements - history->skipped;
}

struct history history_after(const struct history *history, int64_t n)
{
    struct history rest = *history;

    rest.skipped += (size_t)(n + 1 - history->from);
    rest.from = n + 1;
    return rest;
}

int history_event(const struct history *history, size_t index, struct task_event *out)
{
    size_t len;
    const char *element = script_text(history->elements, history->skipped + index, &len);
    struct task_event event;

    if (!element || task_event_parse(element, len, &event) || event.n != history->from + (int64_t)index)
        return ERR_SYNTAX;
    *out = event;
    return 0;
}

static void on_read(const redisReply *reply, int err, void *arg)
{
    struct history_call *call = arg;
    struct history history;

    if (!err && strcmp(script_answer(reply), "NONE") == 0)
        err = ERR_NOT_FOUND;
    else if (!err && strcmp(script_answer(reply), "LOG") != 0)
        err = ERR_REFUSED;
    if (!err)
        err = history_of_read(reply, call->from, &history);
    call->done(err ? NULL : &history, err, call->arg);
    free(call);
}

int history_read(struct redis *redis, const char *full_id, int64_t from, history_fn *done, void *arg,
                 struct history_call **out)
{
    struct history_call *call = calloc(1, sizeof(*call));
    char prefix[KEYS_PREFIX_SIZE], number[DECIMAL_SIZE];
    int err;

    if (!call)
        return ERR_NO_MEMORY;
    *call = (struct history_call){.from = from, .done = done, .arg = arg};
    keys_prefix(prefix, keys_partition(full_id, 1));
    (void)decimal_write(number, from);
    err = script_run(redis,
                     &(struct script_call){
                         .script = &scripts[SCRIPT_READ],
                         .prefix = prefix,
                         .args = (struct script_arg[]){SCRIPT_TEXT(full_id), SCRIPT_TEXT(number)},
                         .count = 2
    },
                     on_read, call, &call->run);
    if (err)
        free(call);
    else
        *out = call;
    return err;
}

void history_cancel(struct history_call *call)
{
    if (!call)
        return;
    script_cancel(call->run);
    free(call);
}
