#include "gateway/streams/frames.h"

#include <inttypes.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/sse.h"
#include "common/task.h"
#include "gateway/tasks/event_log.h"

enum {
    RETRY_MIN_MS = 2000,
    RETRY_MAX_MS = 4000,
    HANDOVER_MIN_MS = 500,
    HANDOVER_MAX_MS = 1500,
    SHORT_DATA_MAX = 1024,
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

void frames_add_position(struct buf *out, const char *full_id, int64_t position, int64_t eta_ms)
{
    const char *task_id = task_id_of(full_id);
    struct buf data;

    buf_init(&data, SHORT_DATA_MAX);
    buf_add_text(&data, "{\"event\":\"process\",\"data\":{\"task_id\":");
    buf_add_json(&data, task_id, strlen(task_id));
    buf_addf(&data, ",\"message\":\"排队中，前面还有%" PRId64 "个任务...\",\"stage\":\"queued\",\"position\":%" PRId64,
             position - 1, position);
    if (eta_ms >= 0)
        buf_addf(&data, ",\"eta_ms\":%" PRId64, eta_ms);
    buf_add_text(&data, "}}");
    buf_fail(out, buf_error(&data));
    sse_write_event(out, NULL, task_event_type_name(EVENT_PROCESS), buf_text(&data), data.len);
    buf_deinit(&data);
}

void frames_add_log(struct buf *out, const char *full_id, const struct event_log *log, unsigned added[EVENT_TYPE_COUNT])
{
    struct task_event event;

    for (size_t i = 0; i < event_log_count(log); i++) {
        if (event_log_event(log, i, &event)) {
            log_error("stream", "an element of the log cannot be read; leaving it out", "task=%s n=%lld", full_id,
                      (long long)log->from + (long long)i);
            continue;
        }
        task_event_write_frame(out, log->epoch, &event);
        added[event.type]++;
    }
}
