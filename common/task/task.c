#include "common/task/task.h"

#include <stdio.h>
#include <string.h>

#include "common/base/ascii.h"

static const char *const state_names[TASK_STATE_COUNT] = {
    [TASK_QUEUED] = "queued", [TASK_RUNNING] = "running", [TASK_DELAYED] = "delayed",
    [TASK_DONE] = "done",     [TASK_FAILED] = "failed",   [TASK_CANCELLED] = "cancelled",
};

const char *task_state_name(enum task_state state)
{
    return state_names[state];
}

bool task_state_parse(const char *name, size_t len, enum task_state *out)
{
    for (int i = 0; i < TASK_STATE_COUNT; i++) {
        if (strlen(state_names[i]) == len && !memcmp(state_names[i], name, len)) {
            *out = (enum task_state)i;
            return true;
        }
    }
    return false;
}

bool task_state_is_final(enum task_state state)
{
    return state == TASK_DONE || state == TASK_FAILED || state == TASK_CANCELLED;
}

bool task_id_is_valid(const char *id, size_t len)
{
    if (len < 1 || len > TASK_ID_MAX || !ascii_is_alphanumeric(id[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!ascii_is_alphanumeric(id[i]) && id[i] != '.' && id[i] != '_' && id[i] != ':' && id[i] != '-')
            return false;
    return true;
}

void task_full_id(char out[TASK_FULL_ID_SIZE], const char *client, const char *task_id)
{
    (void)snprintf(out, TASK_FULL_ID_SIZE, "%s.%s", client, task_id);
}

const char *task_id_of(const char *full_id)
{
    const char *dot = strchr(full_id, '.');

    return dot ? dot + 1 : full_id;
}
