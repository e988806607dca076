#include "gateway/streams/disconnect.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/keys.h"
#include "common/log.h"
#include "common/task/scripts.h"
#include "gateway/streams/hub.h"

struct cancellation {
    LIST_ENTRY(cancellation) link;
    struct script_run *run;
    char full_id[TASK_FULL_ID_SIZE];
};

struct disconnects {
    struct redis *commands;
    struct hub *hub;
    LIST_HEAD(cancellations, cancellation) calls;
};

static const struct {
    const char *name;
    const char *mode; /* CANCEL's; NULL: it is not called */
} rows[DISCONNECT_COUNT] = {
    [DISCONNECT_FINISH] = {"finish",           NULL     },
    [DISCONNECT_CANCEL_IF_QUEUED] = {"cancel_if_queued", "waiting"},
    [DISCONNECT_CANCEL] = {"cancel",           "any"    },
};

bool disconnect_parse(const char *name, enum disconnect *out)
{
    for (int i = 0; i < DISCONNECT_COUNT; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            *out = (enum disconnect)i;
            return true;
        }
    }
    return false;
}

struct disconnects *disconnects_create(struct redis *commands, struct hub *hub)
{
    struct disconnects *disconnects = calloc(1, sizeof(*disconnects));

    if (!disconnects)
        return NULL;
    disconnects->commands = commands;
    disconnects->hub = hub;
    LIST_INIT(&disconnects->calls);
    return disconnects;
}

static void forget(struct cancellation *call)
{
    LIST_REMOVE(call, link);
    free(call);
}

struct disconnects *disconnects_destroy(struct disconnects *disconnects)
{
    struct cancellation *call;

    if (!disconnects)
        return NULL;
    while ((call = LIST_FIRST(&disconnects->calls))) {
        script_cancel(call->run); /* NOLINT(clang-analyzer-unix.Malloc): what was forgotten has left the list */
        forget(call);
    }
    free(disconnects);
    return NULL;
}

static void on_answer(const redisReply *reply, int err, void *arg)
{
    struct cancellation *call = arg;
    const char *answer = script_answer(reply);

    if (err || !*answer)
        log_warn("disconnect", "Redis did not cancel; the task goes on", "task=%s", call->full_id);
    else
        log_info("disconnect", "the last viewer left", "task=%s answer=%s", call->full_id, answer);
    forget(call);
}

static int send_cancel(struct disconnects *disconnects, struct cancellation *call, const char *mode)
{
    const struct script_arg args[] = {SCRIPT_TEXT(call->full_id), SCRIPT_TEXT(mode)};
    char prefix[KEYS_PREFIX_SIZE];

    keys_prefix(prefix, keys_partition(call->full_id, 1));
    return script_run(
        disconnects->commands,
        &(struct script_call){.script = &scripts[SCRIPT_CANCEL], .prefix = prefix, .args = args, .count = 2}, on_answer,
        call, &call->run);
}

void disconnects_settle(struct disconnects *disconnects, const char *full_id, enum disconnect how)
{
    struct cancellation *call;

    if (!rows[how].mode || hub_is_watched(disconnects->hub, full_id))
        return;
    call = calloc(1, sizeof(*call));
    if (call)
        memcpy(call->full_id, full_id, strlen(full_id) + 1);
    if (call && !send_cancel(disconnects, call, rows[how].mode)) {
        LIST_INSERT_HEAD(&disconnects->calls, call, link);
        return;
    }
    log_warn("disconnect", "cannot cancel; the task goes on", "task=%s", full_id);
    free(call);
}
