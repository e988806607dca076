/* openai/answer - the results of tasks in the form of OpenAI's Images API: one JSON object, or events
 *
 * Input is the `data` of the tasks' own events: `image` of a process event, and all of a done event.
 *
 * `usage` is complete or absent, because some clients refuse a part of it. It is absent unless ARK reported it for every task.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_ANSWER_H
#define ARKRELAY_GATEWAY_API_OPENAI_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/api/openai/error.h"
#include "gateway/api/openai/fields.h"

struct buf;
struct json_t;

/* One task of an order that has ended: with images, or without. */
struct openai_result {
    const struct json_t *done;     /* NULL: it has failed */
    struct openai_failure failure; /* if it has */
};

struct openai_answer {
    const struct openai_result *results; /* in the order of the tasks */
    size_t count;
    enum openai_format format;
    int64_t created_ms;
    bool png; /* what ARK was asked for */
};

size_t openai_answer_images(const struct openai_answer *answer);

/* {"created":...,"data":[...],...}. Tasks that have failed are listed in `errors`, which is not part of OpenAI's form. */
void openai_answer_write(struct buf *out, const struct openai_answer *answer);

/* The same in parts: begin, the images with commas between them, end. */
void openai_answer_begin(struct buf *out, const struct openai_answer *answer);
void openai_answer_end(struct buf *out, const struct openai_answer *answer);
const struct json_t *openai_answer_image(const struct openai_answer *answer,
                                         size_t at); /* of all; NULL after the last */

/* An element of `data` around the base64 of its picture; the `at`-th. */
void openai_answer_split_image(struct buf *before, struct buf *after, const struct json_t *image, size_t at);

/* Its event has the image itself, as a data: URL. */
bool openai_image_is_inline(const struct json_t *image);

/* -- events: "event:" and "data:", without "id:" */

struct openai_event {
    enum openai_format format;
    int64_t created_ms;
    int task;               /* number of the task in its order */
    bool transparent, edit; /* edit: its events are image_edit.completed and image_edit.failed */
    bool png;               /* what ARK was asked for */
};

/* image_generation.completed; `image` has url, index and size. */
void openai_event_write_image(struct buf *out, const struct openai_event *event, const struct json_t *image);

/* The same around the base64 of a stored picture. */
void openai_event_split_image(struct buf *before, struct buf *after, const struct openai_event *event,
                              const struct json_t *image);

/* image_generation.failed: one of several tasks has no image. It is not part of OpenAI's form; SDKs raise only at a member `error`. */
void openai_event_write_failed(struct buf *out, const struct openai_event *event, const struct openai_failure *failure);

/* error: the whole request has failed. */
void openai_event_write_error(struct buf *out, const struct openai_failure *failure);

#endif
