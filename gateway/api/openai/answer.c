#include "gateway/api/openai/answer.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"

enum { SECOND_MS = 1000, TOKENS_MAX = 1000 * 1000 * 1000 /* of one task */ };

/* Around the base64 of a stored picture. */
#define B64_BEGIN "\"b64_json\":\""
#define B64_END   "\""

static const char *image_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static void add_image_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, "\"%s\":", name);
    buf_add_json(out, text, strlen(text));
}

/* -- one image */

/* The base64 of a data: URL; NULL: the URL is a link. */
static const char *base64_of(const char *url)
{
    const char *comma = strncmp(url, "data:", 5) == 0 ? strchr(url, ',') : NULL;

    return comma ? comma + 1 : NULL;
}

bool openai_image_is_inline(const json_t *image)
{
    return base64_of(image_text(image, "url"));
}

/* "url" or "b64_json", never both: some clients prefer one of them, and some the other. */
static void add_image_members(struct buf *out, const json_t *image, enum openai_format format)
{
    const char *url = image_text(image, "url");
    const char *base64 = format == OPENAI_B64_JSON ? base64_of(url) : NULL;

    add_image_text(out, base64 ? "b64_json" : "url", base64 ? base64 : url);
}

static bool text_ends_with(const char *text, size_t len, const char *end)
{
    size_t end_len = strlen(end);

    return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* What the URL shows; that of a stored picture shows nothing. */
static const char *output_format_of(const json_t *image, bool asked_for_png)
{
    static const struct {
        const char *begin, *end, *format;
    } rows[] = {
        {"data:image/png", "",      "png" },
        {"data:",          "",      "jpeg"},
        {"",               ".png",  "png" },
        {"",               ".jpeg", "jpeg"},
        {"",               ".jpg",  "jpeg"},
    };
    const char *url = image_text(image, "url");

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (strncmp(url, rows[i].begin, strlen(rows[i].begin)) == 0 &&
            text_ends_with(url, strcspn(url, "?#"), rows[i].end))
            return rows[i].format;
    return asked_for_png ? "png" : "jpeg";
}

/* -- the whole answer */

const json_t *openai_answer_image(const struct openai_answer *answer, size_t at)
{
    for (size_t i = 0; i < answer->count; i++) {
        const json_t *images = json_object_get(answer->results[i].done, "generated_images");

        if (at < json_array_size(images))
            return json_array_get(images, at);
        at -= json_array_size(images);
    }
    return NULL;
}

size_t openai_answer_images(const struct openai_answer *answer)
{
    size_t count = 0;

    while (openai_answer_image(answer, count))
        count++;
    return count;
}

/* Only what is the same for all images. */
static void add_size(struct buf *out, const struct openai_answer *answer)
{
    const json_t *image = openai_answer_image(answer, 0);
    const char *size = image_text(image, "size");

    for (size_t i = 1; (image = openai_answer_image(answer, i)); i++)
        if (strcmp(image_text(image, "size"), size) != 0)
            return;
    if (!*size)
        return;
    buf_add_char(out, ',');
    add_image_text(out, "size", size);
}

/* False: ARK has not reported a plausible number. */
static bool add_tokens(const struct openai_result *result, const char *name, int64_t *sum)
{
    const json_t *value = json_object_get(json_object_get(result->done, "usage"), name);

    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > TOKENS_MAX)
        return false;
    *sum += json_integer_value(value);
    return true;
}

/* ARK counts no tokens of the input. */
static void add_usage(struct buf *out, const struct openai_answer *answer)
{
    int64_t output = 0, total = 0;

    for (size_t i = 0; i < answer->count; i++)
        if (answer->results[i].done && (!add_tokens(&answer->results[i], "output_tokens", &output) ||
                                        !add_tokens(&answer->results[i], "total_tokens", &total)))
            return;
    if (total < output)
        return;
    buf_addf(out,
             ",\"usage\":{\"input_tokens\":%" PRId64 ",\"input_tokens_details\":{\"image_tokens\":0,\"text_tokens\":0},"
             "\"output_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}",
             total - output, output, total);
}

static void add_errors(struct buf *out, const struct openai_answer *answer)
{
    bool any = false;

    for (size_t i = 0; i < answer->count; i++) {
        if (answer->results[i].done)
            continue;
        buf_addf(out, "%s{\"index\":%zu,\"error\":", any ? "," : ",\"errors\":[", i);
        openai_failure_write(out, &answer->results[i].failure, NULL);
        buf_add_char(out, '}');
        any = true;
    }
    if (any)
        buf_add_char(out, ']');
}

void openai_answer_begin(struct buf *out, const struct openai_answer *answer)
{
    buf_addf(out, "{\"created\":%" PRId64 ",\"data\":[", answer->created_ms / SECOND_MS);
}

void openai_answer_end(struct buf *out, const struct openai_answer *answer)
{
    buf_addf(out, "],\"output_format\":\"%s\"", output_format_of(openai_answer_image(answer, 0), answer->png));
    add_size(out, answer);
    add_usage(out, answer);
    add_errors(out, answer);
    buf_add_char(out, '}');
}

void openai_answer_write(struct buf *out, const struct openai_answer *answer)
{
    const json_t *image;

    openai_answer_begin(out, answer);
    for (size_t i = 0; (image = openai_answer_image(answer, i)); i++) {
        buf_add_text(out, i ? ",{" : "{");
        add_image_members(out, image, answer->format);
        buf_add_char(out, '}');
    }
    openai_answer_end(out, answer);
}

void openai_answer_split_image(struct buf *before, struct buf *after, const json_t *image, size_t at)
{
    buf_add_text(before, at ? ",{" : "{");
    if (openai_image_is_inline(image)) {
        add_image_members(before, image, OPENAI_B64_JSON);
    } else {
        buf_add_text(before, B64_BEGIN);
        buf_add_text(after, B64_END);
    }
    buf_add_char(after, '}');
}

/* -- events */

#define ERROR_EVENT "error"

static void begin_event(struct buf *out, const char *type)
{
    buf_addf(out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static void end_event(struct buf *out)
{
    buf_add_text(out, "}\n\n");
}

static void begin_image_event(struct buf *out, const struct openai_event *event)
{
    begin_event(out, event->edit ? "image_edit.completed" : "image_generation.completed");
    buf_add_char(out, ',');
}

static void end_image_event(struct buf *out, const struct openai_event *event, const json_t *image)
{
    buf_addf(out, ",\"background\":\"%s\",\"created_at\":%" PRId64 ",\"output_format\":\"%s\",\"quality\":\"auto\",",
             event->transparent ? "transparent" : "opaque", event->created_ms / SECOND_MS,
             output_format_of(image, event->png));
    add_image_text(out, "size", image_text(image, "size"));
    buf_addf(out, ",\"task\":%d,\"index\":%" PRId64, event->task,
             (int64_t)json_integer_value(json_object_get(image, "index")));
    end_event(out);
}

void openai_event_write_image(struct buf *out, const struct openai_event *event, const json_t *image)
{
    begin_image_event(out, event);
    add_image_members(out, image, event->format);
    end_image_event(out, event, image);
}

void openai_event_split_image(struct buf *before, struct buf *after, const struct openai_event *event,
                              const json_t *image)
{
    begin_image_event(before, event);
    buf_add_text(before, B64_BEGIN);
    buf_add_text(after, B64_END);
    end_image_event(after, event, image);
}

void openai_event_write_failed(struct buf *out, const struct openai_event *event, const struct openai_failure *failure)
{
    begin_event(out, event->edit ? "image_edit.failed" : "image_generation.failed");
    buf_addf(out, ",\"task\":%d,\"failure\":", event->task);
    openai_failure_write(out, failure, NULL);
    end_event(out);
}

void openai_event_write_error(struct buf *out, const struct openai_failure *failure)
{
    begin_event(out, ERROR_EVENT);
    buf_add_text(out, ",\"error\":");
    openai_failure_write(out, failure, NULL);
    end_event(out);
}
