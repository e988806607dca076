/* task_event - one numbered fact about a task
 *
 * In the log and on the channel it is an element "<n> <type> <json>", json = {"event":"<type>","data":{...}}. This file reads elements
 * and writes the data of `process` events; `start` and the final events are written where they are decided, in the
 * scripts (common/redis/scripts).
 *
 * Pure.
 */
#ifndef ARKRELAY_TASK_EVENT_H
#define ARKRELAY_TASK_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

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

/* The event as the client gets it: "id: <epoch>-<n>", "event:", "data:". */
void task_event_write_frame(struct buf *out, int64_t epoch, const struct task_event *event);

/* A place in a task's log, as in Last-Event-ID: "<epoch>-<n>". Both without sign, leading zeros or more than 15 digits. */
struct task_cursor {
    int64_t epoch, n;
};
int task_cursor_parse(const char *text, size_t len, struct task_cursor *out) MUST_CHECK;

enum process_stage {
    STAGE_CALLING,      /* attempt */
    STAGE_IMAGE,        /* index, url, size */
    STAGE_IMAGE_FAILED, /* index, code, message */
    STAGE_RETRYING,     /* attempt, delay_ms, code, message */
    STAGE_REQUEUED,
    STAGE_COUNT,
};

struct process_event {
    enum process_stage stage;
    const char *task_id;
    int attempt;
    int index;
    const char *url, *size;     /* size may be NULL */
    const char *code, *message; /* of what failed */
    int64_t delay_ms;
};

/* The stage that an event tells; ERR_NOT_FOUND when it tells none. */
int task_event_stage(const struct task_event *event, enum process_stage *out) MUST_CHECK;

/* The `data` object of a process event. */
void task_event_write_process(struct buf *out, const struct process_event *event);

/* The slot that EMIT keeps for the result: `image {"index":...,"url":...,"size":...}` or
 * `failed {"index":...,"code":...,"message":...}`. */
void task_event_write_slot(struct buf *out, const struct process_event *event);

#endif
