#include "common/task/task_event.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/ascii.h"
#include "common/base/buf.h"
#include "common/base/decimal.h"
#include "common/base/sse.h"

enum { NUMBER_DIGITS_MAX = 15, ID_SIZE = 2 * DECIMAL_SIZE };

static const char *const type_names[EVENT_TYPE_COUNT] = {
    [EVENT_START] = "start",
    [EVENT_PROCESS] = "process",
    [EVENT_DONE] = "done",
    [EVENT_ERROR] = "error",
};

static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_CALLING] = "calling",   [STAGE_IMAGE] = "image",       [STAGE_IMAGE_FAILED] = "image_failed",
    [STAGE_RETRYING] = "retrying", [STAGE_REQUEUED] = "requeued",
};

const char *task_event_type_name(enum task_event_type type)
{
    return type_names[type];
}

bool task_event_is_final(enum task_event_type type)
{
    return type == EVENT_DONE || type == EVENT_ERROR;
}

/* Removes a decimal number and the byte `next` after it from the front. `next` NUL: the number must end the text. */
static bool take_event_number(const char **text, size_t *len, char next, int64_t *out)
{
    int64_t value = 0;
    size_t digits = 0;

    while (digits < *len && ascii_is_digit((*text)[digits])) {
        if (digits == NUMBER_DIGITS_MAX)
            return false;
        value = value * 10 + ((*text)[digits++] - '0');
    }
    if (!digits || (digits > 1 && (*text)[0] == '0'))
        return false;
    if (next ? digits == *len || (*text)[digits] != next : digits != *len)
        return false;
    *text += digits + (next != 0);
    *len -= digits + (next != 0);
    *out = value;
    return true;
}

static bool take_type(const char **text, size_t *len, enum task_event_type *out)
{
    for (int i = 0; i < EVENT_TYPE_COUNT; i++) {
        size_t name_len = strlen(type_names[i]);

        if (*len > name_len && !memcmp(*text, type_names[i], name_len) && (*text)[name_len] == ' ') {
            *text += name_len + 1;
            *len -= name_len + 1;
            *out = (enum task_event_type)i;
            return true;
        }
    }
    return false;
}

/* The JSON is not parsed. Only a line end matters here: it would end the client's SSE frame early. */
static bool is_object_on_one_line(const char *json, size_t len)
{
    return len >= 2 && json[0] == '{' && json[len - 1] == '}' && !memchr(json, '\n', len) && !memchr(json, '\r', len);
}

int task_event_parse(const char *element, size_t len, struct task_event *out)
{
    struct task_event event;

    if (!take_event_number(&element, &len, ' ', &event.n) || event.n < 1 || !take_type(&element, &len, &event.type) ||
        !is_object_on_one_line(element, len))
        return ERR_SYNTAX;
    event.json = element;
    event.json_len = len;
    *out = event;
    return 0;
}

/* Skips spaces and then `c`; NULL if another byte follows. */
static const char *skip(const char *at, const char *end, char c)
{
    while (at < end && *at == ' ')
        at++;
    return at < end && *at == c ? at + 1 : NULL;
}

static int find_stage(const char *name, const char *end, enum task_stage *out)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        size_t len = strlen(stage_names[i]);

        if ((size_t)(end - name) > len && !memcmp(name, stage_names[i], len) && name[len] == '"') {
            *out = (enum task_stage)i;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

/* Quotes inside a JSON string are escaped, so the first "stage": is the member of that name. */
int task_event_stage(const struct task_event *event, enum task_stage *out)
{
    static const char member[] = "\"stage\"";
    const char *end = event->json + event->json_len, *at = event->json;

    if (event->type != EVENT_PROCESS)
        return ERR_NOT_FOUND;
    while ((at = memmem(at, (size_t)(end - at), member, sizeof(member) - 1))) {
        const char *value;

        at += sizeof(member) - 1;
        value = skip(at, end, ':');
        value = value ? skip(value, end, '"') : NULL;
        if (value)
            return find_stage(value, end, out);
    }
    return ERR_NOT_FOUND;
}

int task_cursor_parse(const char *text, size_t len, struct task_cursor *out)
{
    struct task_cursor cursor;

    if (!take_event_number(&text, &len, '-', &cursor.epoch) || !take_event_number(&text, &len, '\0', &cursor.n))
        return ERR_SYNTAX;
    *out = cursor;
    return 0;
}

void task_event_write_frame(struct buf *out, int64_t epoch, const struct task_event *event)
{
    char id[ID_SIZE];
    size_t len = decimal_write(id, epoch);

    id[len] = '-';
    (void)decimal_write(id + len + 1, event->n);
    sse_write_event(out, id, type_names[event->type], event->json, event->json_len);
}

static void add_progress_text(struct buf *out, const char *name, const char *text)
{
    buf_add_text_member(out, name, text, strlen(text));
}

/* The members of an image object, without the braces. Scripts read id, stored_url and url of a picture that is kept: they come first. */
static void add_image(struct buf *out, const struct task_progress *progress)
{
    if (progress->picture) {
        buf_addf(out, "\"id\":\"%s\"", progress->picture);
        add_progress_text(out, "stored_url", progress->stored_url);
        buf_add_char(out, ',');
    }
    buf_add_text(out, "\"url\":");
    buf_add_json(out, progress->url, strlen(progress->url));
    if (progress->size)
        add_progress_text(out, "size", progress->size);
}

/* The texts are part of the API: clients display them. */
static void add_message(struct buf *out, const struct task_progress *progress)
{
    buf_add_text(out, ",\"message\":\"");
    switch (progress->stage) {
    case STAGE_CALLING:
        buf_add_text(out, "正在调用ARK模型生成图像...");
        break;
    case STAGE_IMAGE:
        buf_addf(out, "第%d张图像已生成", progress->index + 1);
        break;
    case STAGE_IMAGE_FAILED:
        buf_addf(out, "第%d张图像生成失败", progress->index + 1);
        break;
    case STAGE_RETRYING:
        buf_add_text(out, "ARK暂时不可用，稍后重试...");
        break;
    case STAGE_REQUEUED:
        buf_add_text(out, "任务已交还，重新排队...");
        break;
    case STAGE_COUNT:
        break;
    }
    buf_add_char(out, '"');
}

static void add_stage_fields(struct buf *out, const struct task_progress *progress)
{
    switch (progress->stage) {
    case STAGE_CALLING:
        buf_addf(out, ",\"attempt\":%d", progress->attempt);
        break;
    case STAGE_IMAGE:
        buf_addf(out, ",\"index\":%d,\"image\":{", progress->index);
        add_image(out, progress);
        buf_add_char(out, '}');
        break;
    case STAGE_IMAGE_FAILED:
        buf_addf(out, ",\"index\":%d", progress->index);
        add_progress_text(out, "code", progress->code);
        add_progress_text(out, "error", progress->message);
        break;
    case STAGE_RETRYING:
        buf_addf(out, ",\"attempt\":%d,\"delay_ms\":%" PRId64, progress->attempt, progress->delay_ms);
        add_progress_text(out, "code", progress->code);
        add_progress_text(out, "error", progress->message);
        break;
    case STAGE_REQUEUED:
    case STAGE_COUNT:
        break;
    }
}

void task_progress_write(struct buf *out, const struct task_progress *progress)
{
    buf_add_text(out, "{\"task_id\":");
    buf_add_json(out, progress->task_id, strlen(progress->task_id));
    add_message(out, progress);
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): every stage has a name */
    add_progress_text(out, "stage", stage_names[progress->stage]);
    add_stage_fields(out, progress);
    buf_add_char(out, '}');
}
