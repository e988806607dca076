#include "tests/bench/stream_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/json_check.h"

void stream_check_begin(struct stream_check *check)
{
    *check = (struct stream_check){0};
}

static const char *find(struct text text, const char *what)
{
    return memmem(text.at, text.len, what, strlen(what));
}

/* strtoll may read past the text: the frame's line end always follows a number in the buffer. */
static int64_t number_after(struct text text, const char *name)
{
    const char *at = find(text, name);

    return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

static bool is(struct text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

static bool names_type(const struct frame *frame)
{
    char begin[64];
    int len = snprintf(begin, sizeof(begin), "{\"event\":\"%.*s\",\"data\":{", (int)frame->event.len, frame->event.at);

    return len > 0 && (size_t)len < sizeof(begin) && frame->data.len > (size_t)len &&
           memcmp(frame->data.at, begin, (size_t)len) == 0;
}

static bool names_task(const struct frame *frame, const char *task_id)
{
    char member[192];
    int len = snprintf(member, sizeof(member), "\"task_id\":\"%s\"", task_id);

    return len > 0 && (size_t)len < sizeof(member) && find(frame->data, member);
}

static enum fault check_shape(const struct frame *frame, const char *task_id)
{
    if (!is(frame->event, "start") && !is(frame->event, "process") && !is(frame->event, "done") &&
        !is(frame->event, "error"))
        return FAULT_TYPE;
    if (!json_check(frame->data.at, frame->data.len) || !names_type(frame))
        return FAULT_JSON;
    return names_task(frame, task_id) ? FAULT_NONE : FAULT_TASK;
}

static enum fault take_number(struct stream_check *check, struct text id)
{
    char *end, copy[64];
    int64_t epoch, n;

    if (id.len == 0 || id.len >= sizeof(copy))
        return FAULT_ID;
    memcpy(copy, id.at, id.len);
    copy[id.len] = '\0';
    epoch = strtoll(copy, &end, 10);
    if (end == copy || *end != '-')
        return FAULT_ID;
    n = strtoll(end + 1, &end, 10);
    if (*end || n != (int64_t)check->last + 1 || (check->last && epoch != check->epoch))
        return FAULT_ID;
    check->epoch = epoch;
    check->last++;
    return FAULT_NONE;
}

static enum fault take_injected(struct stream_check *check, const struct frame *frame, struct checked_frame *checked)
{
    int64_t count = number_after(frame->data, INJECTED_COUNT);

    if (!count)
        return FAULT_NONE;
    if (count != (int64_t)check->injected + 1)
        return FAULT_ORDER;
    check->injected++;
    checked->at_ns = number_after(frame->data, INJECTED_TIME);
    return FAULT_NONE;
}

static enum fault take_end(struct stream_check *check, const struct frame *frame, struct checked_frame *checked)
{
    bool done = is(frame->event, "done");

    if (!done && !is(frame->event, "error"))
        return FAULT_NONE;
    check->final = checked->final = true;
    return done && find(frame->data, "\"generated_images\":[{") ? FAULT_NONE : FAULT_TASK_FAILED;
}

static enum fault take_task(struct stream_check *check, const char *task_id, const struct frame *frame,
                            struct checked_frame *checked)
{
    enum fault fault = check_shape(frame, task_id);

    if (fault)
        return fault;
    if (!frame->id.at && is(frame->event, "process") && find(frame->data, "\"stage\":\"queued\"")) {
        checked->hint = true;
        return FAULT_NONE;
    }
    if (!frame->id.at)
        return FAULT_ID;
    fault = take_number(check, frame->id);
    if (!fault)
        fault = take_injected(check, frame, checked);
    return fault ? fault : take_end(check, frame, checked);
}

static enum fault take_relayed(struct stream_check *check, const char *task_id, const struct frame *frame,
                               struct checked_frame *checked)
{
    if (!json_check(frame->data.at, frame->data.len))
        return FAULT_JSON;
    return names_task(frame, task_id) ? take_injected(check, frame, checked) : FAULT_TASK;
}

enum fault stream_check_frame(struct stream_check *check, enum stream_kind kind, const char *task_id,
                              const struct frame *frame, struct checked_frame *checked)
{
    *checked = (struct checked_frame){0};
    if (check->final)
        return FAULT_AFTER_FINAL;
    if (!frame->data.at) {
        checked->comment = true;
        return frame->id.at || frame->event.at ? FAULT_FRAME : FAULT_NONE;
    }
    if (kind == STREAM_OF_RELAY)
        return take_relayed(check, task_id, frame, checked);
    return frame->event.at ? take_task(check, task_id, frame, checked) : FAULT_FRAME;
}
