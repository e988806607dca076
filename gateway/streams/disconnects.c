#include "gateway/streams/disconnects.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/log.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "common/task/settler.h"
#include "gateway/streams/hub.h"

/* A CANCEL call that is under way. */
struct cancellation {
    LIST_ENTRY(cancellation) link;
    struct settler *settler;
    struct script_run *run;
    char full_id[TASK_FULL_ID_SIZE];
};

struct disconnects {
    struct redis *commands;
    struct hub *hub;
    struct settler *settler;
    LIST_HEAD(cancellations, cancellation) calls;
};

struct disconnects *disconnects_create(struct redis *commands, struct hub *hub, struct settler *settler)
{
    struct disconnects *disconnects = calloc(1, sizeof(*disconnects));

    if (!disconnects)
        return NULL;
    disconnects->commands = commands;
    disconnects->hub = hub;
    disconnects->settler = settler;
    LIST_INIT(&disconnects->calls);
    return disconnects;
}

static void remove_call(struct cancellation *call)
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
        script_cancel(call->run); /* NOLINT(clang-analyzer-unix.Malloc): freed calls have left the list */
        remove_call(call);
    }
    free(disconnects);
    return NULL;
}

static void cancellation_on_reply(const redisReply *reply, int err, void *arg)
{
    struct cancellation *call = arg;
    const char *answer = script_answer(reply);
    int64_t owes;

    if (err || !*answer)
        log_warn("disconnects", "cancel failed, the task continues", "task=%s", call->full_id);
    else
        log_info("disconnects", "last client disconnected", "task=%s answer=%s", call->full_id, answer);
    if (!err && !script_int(reply, 1, &owes))
        settler_poke(call->settler);
    remove_call(call);
}

static int send_cancel(struct disconnects *disconnects, struct cancellation *call, const char *mode)
{
    const struct script_arg args[] = {SCRIPT_TEXT(call->full_id), SCRIPT_TEXT(mode)};
    char prefix[KEYS_PREFIX_SIZE];

    keys_task_prefix(prefix, call->full_id);
    return script_run(
        disconnects->commands,
        &(struct script_call){.script = &scripts[SCRIPT_CANCEL], .prefix = prefix, .args = args, .count = 2},
        cancellation_on_reply, call, &call->run);
}

void disconnects_apply(struct disconnects *disconnects, const char *full_id, enum on_disconnect what)
{
    static const char *const modes[ON_DISCONNECT_COUNT] = {
        /* the argument of CANCEL; NULL: do not cancel */
        [ON_DISCONNECT_CANCEL_IF_QUEUED] = "waiting",
        [ON_DISCONNECT_CANCEL] = "any",
    };
    struct cancellation *call;

    if (!modes[what] || hub_is_watched(disconnects->hub, full_id))
        return;
    call = calloc(1, sizeof(*call));
    if (call) {
        memcpy(call->full_id, full_id, strlen(full_id) + 1);
        call->settler = disconnects->settler;
    }
    if (call && !send_cancel(disconnects, call, modes[what])) {
        LIST_INSERT_HEAD(&disconnects->calls, call, link);
        return;
    }
    log_warn("disconnects", "cannot send cancel, the task continues", "task=%s", full_id);
    free(call);
}
