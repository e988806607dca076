#include "tests/bench/story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/json_check.h"

void story_begin(struct story *story)
{
    *story = (struct story){0};
}

static const char *find(struct text text, const char *what)
{
    return memmem(text.at, text.len, what, strlen(what));
}

/* The frame's bytes are in a buffer that goes on behind a number, at least with the frame's line end. */
static int64_t number_behind(struct text text, const char *name)
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

static enum fault take_number(struct story *story, struct text id)
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
    if (*end || n != (int64_t)story->last + 1 || (story->last && epoch != story->epoch))
        return FAULT_ID;
    story->epoch = epoch;
    story->last++;
    return FAULT_NONE;
}

static enum fault take_injected(struct story *story, const struct frame *frame, struct told *told)
{
    int64_t count = number_behind(frame->data, STORY_COUNT);

    if (!count)
        return FAULT_NONE;
    if (count != (int64_t)story->injected + 1)
        return FAULT_ORDER;
    story->injected++;
    told->at_ns = number_behind(frame->data, STORY_TIME);
    return FAULT_NONE;
}

static enum fault take_end(struct story *story, const struct frame *frame, struct told *told)
{
    bool done = is(frame->event, "done");

    if (!done && !is(frame->event, "error"))
        return FAULT_NONE;
    story->final = told->final = true;
    return done && find(frame->data, "\"generated_images\":[{") ? FAULT_NONE : FAULT_TASK_FAILED;
}

static enum fault take_task(struct story *story, const char *task_id, const struct frame *frame, struct told *told)
{
    enum fault fault = check_shape(frame, task_id);

    if (fault)
        return fault;
    if (!frame->id.at && is(frame->event, "process") && find(frame->data, "\"stage\":\"queued\"")) {
        told->hint = true;
        return FAULT_NONE;
    }
    if (!frame->id.at)
        return FAULT_ID;
    fault = take_number(story, frame->id);
    if (!fault)
        fault = take_injected(story, frame, told);
    return fault ? fault : take_end(story, frame, told);
}

static enum fault take_relayed(struct story *story, const char *task_id, const struct frame *frame, struct told *told)
{
    if (!json_check(frame->data.at, frame->data.len))
        return FAULT_JSON;
    return names_task(frame, task_id) ? take_injected(story, frame, told) : FAULT_TASK;
}

enum fault story_take(struct story *story, enum story_kind kind, const char *task_id, const struct frame *frame,
                      struct told *told)
{
    *told = (struct told){0};
    if (story->final)
        return FAULT_AFTER_FINAL;
    if (!frame->data.at) {
        told->comment = true;
        return frame->id.at || frame->event.at ? FAULT_FRAME : FAULT_NONE;
    }
    if (kind == STORY_RELAY)
        return take_relayed(story, task_id, frame, told);
    return frame->event.at ? take_task(story, task_id, frame, told) : FAULT_FRAME;
}
