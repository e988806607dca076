/* task_event - reads and writes a task's events
 *
 * An event is an element of the task's log, "<n> <type> <json>", where json is {"event":"<type>","data":{...}}. The channel carries
 * the same bytes. Format: common/task/PROTOCOL.md, "Events".
 * This module parses elements, frames them for clients, and writes the data of `process` events. The Lua scripts
 * (common/task/scripts) write `start` and the final events.
 *
 * Pure.   Ownership: a parsed event points into its element.
 */
#ifndef ARKRELAY_TASK_TASK_EVENT_H
#define ARKRELAY_TASK_TASK_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct buf;

enum task_event_type { EVENT_START, EVENT_PROCESS, EVENT_DONE, EVENT_ERROR, EVENT_TYPE_COUNT };

struct task_event {
    int64_t n; /* from 1 */
    enum task_event_type type;
    const char *json; /* points into the element */
    size_t json_len;
};

int task_event_parse(const char *element, size_t len, struct task_event *out) MUST_CHECK;
const char *task_event_type_name(enum task_event_type type);
bool task_event_is_final(enum task_event_type type);

/* The event as an SSE frame: "id: <epoch>-<n>", "event:", "data:". */
void task_event_write_frame(struct buf *out, int64_t epoch, const struct task_event *event);

/* A position in a task's log, as in Last-Event-ID: "<epoch>-<n>". Both numbers have no sign, no leading zeros and at most 15
 * digits. */
struct task_cursor {
    int64_t epoch, n;
};
int task_cursor_parse(const char *text, size_t len, struct task_cursor *out) MUST_CHECK;

enum task_stage {
    STAGE_CALLING,      /* attempt */
    STAGE_IMAGE,        /* index, url, size */
    STAGE_IMAGE_FAILED, /* index, code, message */
    STAGE_RETRYING,     /* attempt, delay_ms, code, message */
    STAGE_REQUEUED,
    STAGE_COUNT,
};

/* The content of a `process` event. */
struct task_progress {
    enum task_stage stage;
    const char *task_id;
    int attempt;
    int index;
    const char *url, *size;           /* size may be NULL */
    const char *picture, *stored_url; /* the picture's id and where it is kept; both NULL: it is not kept */
    const char *code, *message;       /* of the failure */
    int64_t delay_ms;
};

/* The stage of a `process` event; ERR_NOT_FOUND if it has none, or has another type. */
int task_event_stage(const struct task_event *event, enum task_stage *out) MUST_CHECK;

/* The `data` object of a `process` event. Scripts read slots from it: `image`, or `index`, `code` and `error`, are its last members. */
void task_progress_write(struct buf *out, const struct task_progress *progress);

#endif
