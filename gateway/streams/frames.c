#include "gateway/streams/frames.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/problem.h"
#include "common/base/sse.h"
#include "common/task/task.h"
#include "gateway/account/account.h"
#include "gateway/tasks/event_log.h"

enum {
    RETRY_MIN_MS = 2000,
    RETRY_MAX_MS = 4000,
    HANDOVER_MIN_MS = 500,
    HANDOVER_MAX_MS = 1500,
    SHORT_DATA_MAX = 4096,
};

static int between(int min, int max, double dice)
{
    return min + (int)(dice * (max - min + 1));
}

void frames_add_retry(struct buf *out, double dice)
{
    sse_write_retry(out, between(RETRY_MIN_MS, RETRY_MAX_MS, dice));
}

void frames_add_handover_retry(struct buf *out, double dice)
{
    sse_write_retry(out, between(HANDOVER_MIN_MS, HANDOVER_MAX_MS, dice));
}

void frames_add_reset(struct buf *out, const char *full_id, enum frames_reset reset)
{
    static const char *const messages[] = {
        [RESET_REPLAY] = "事件记录已更新，以下为完整记录",
        [RESET_NO_TASK] = "任务记录已不存在",
    };
    const char *task_id = task_id_of(full_id);
    struct buf data;

    buf_init(&data, SHORT_DATA_MAX);
    buf_add_text(&data, "{\"event\":\"reset\",\"data\":{\"task_id\":");
    buf_add_json(&data, task_id, strlen(task_id));
    buf_addf(&data, ",\"message\":\"%s\"}}", messages[reset]);
    buf_fail(out, buf_error(&data));
    sse_write_event(out, NULL, "reset", buf_text(&data), data.len);
    buf_deinit(&data);
}

/* -- waiting. The messages are part of the API: clients show them. */

static const struct {
    enum problem problem;
    const char *message;
} wait_messages[] = {
    {PROBLEM_ARK_UNREACHABLE,       "ARK暂时无法访问，任务在队列中等待，恢复后自动继续..."      },
    {PROBLEM_OUTCOME_UNKNOWN,       "ARK暂时没有正常响应，任务在队列中等待，恢复后自动继续..."},
    {PROBLEM_ARK_UNAUTHORIZED,      "ARK账户暂时不可用，任务在队列中等待，恢复后自动继续..."   },
    {PROBLEM_ARK_QUOTA_EXCEEDED,    "ARK额度已用完，任务在队列中等待，恢复后自动继续..."         },
    {PROBLEM_ARK_MODEL_UNAVAILABLE, "ARK模型暂时不可用，任务在队列中等待，恢复后自动继续..."   },
    {PROBLEM_ARK_RATE_LIMITED,      "ARK要求暂停调用，任务在队列中等待，稍后自动继续..."         },
};

static const char *message_of(const struct account_scope *scope)
{
    for (size_t i = 0; i < ARRAY_LENGTH(wait_messages); i++)
        if (strcmp(problem_code(wait_messages[i].problem), account_scope_code(scope)) == 0)
            return wait_messages[i].message;
    return "ARK暂时不可用，任务在队列中等待，恢复后自动继续...";
}

static void add_waiting_message(struct buf *data, const struct frames_waiting *waiting,
                                const struct account_scope *held_by)
{
    if (held_by)
        buf_addf(data, ",\"message\":\"%s\"", message_of(held_by));
    else if (waiting->position > 0)
        buf_addf(data, ",\"message\":\"排队中，前面还有%" PRId64 "个任务...\"", waiting->position - 1);
    else
        buf_add_text(data, ",\"message\":\"ARK已恢复，任务即将继续...\"");
}

static void add_waiting_data(struct buf *data, const char *task_id, const struct frames_waiting *waiting)
{
    const struct account_scope *held_by = account_wait_next(waiting->wait, NULL);

    buf_add_text(data, "{\"task_id\":");
    buf_add_json(data, task_id, strlen(task_id));
    add_waiting_message(data, waiting, held_by);
    buf_add_text(data, ",\"stage\":\"queued\"");
    if (waiting->position > 0)
        buf_addf(data, ",\"position\":%" PRId64, waiting->position);
    if (held_by) {
        buf_add_text(data, ",\"waiting_for\":");
        account_wait_write(data, waiting->wait);
    } else if (waiting->eta_ms >= 0) {
        buf_addf(data, ",\"eta_ms\":%" PRId64, waiting->eta_ms);
    }
    buf_add_char(data, '}');
}

void frames_add_waiting(struct buf *out, const char *full_id, const struct frames_waiting *waiting)
{
    struct buf data;

    buf_init(&data, SHORT_DATA_MAX);
    buf_add_text(&data, "{\"event\":\"process\",\"data\":");
    add_waiting_data(&data, task_id_of(full_id), waiting);
    buf_add_char(&data, '}');
    buf_fail(out, buf_error(&data));
    sse_write_event(out, NULL, task_event_type_name(EVENT_PROCESS), buf_text(&data), data.len);
    buf_deinit(&data);
}

void frames_add_log(struct buf *out, const char *full_id, const struct event_log *log, unsigned added[EVENT_TYPE_COUNT])
{
    struct task_event event;

    for (size_t i = 0; i < event_log_count(log); i++) {
        if (event_log_event(log, i, &event)) {
            log_error("stream", "invalid element in the event log, skipping it", "task=%s n=%lld", full_id,
                      (long long)log->from + (long long)i);
            continue;
        }
        task_event_write_frame(out, log->epoch, &event);
        added[event.type]++;
    }
}
