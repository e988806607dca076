#include "worker/job/payload.h"

#include <string.h>

#include "common/task/task.h"
#include "worker/ark/result.h"
#include "worker/ark/verdict.h"

enum {
    EVENT_MAX = 96 << 20,                               /* an image as a data: URL */
    MORE_MAX = 8 * (ARK_REQUEST_ID_MAX + ARK_CODE_MAX), /* JSON may turn each byte into six */
    FAILURE_MAX = 8 * (VERDICT_WORDS_MAX + MORE_MAX),
    DONE_MAX = ARK_USAGE_MAX + 16,
};

void payload_write_event(struct buf *out, const char *full_id, struct task_progress event)
{
    event.task_id = task_id_of(full_id);
    buf_init(out, EVENT_MAX);
    task_progress_write(out, &event);
}

void payload_add_record(struct buf *out, const struct buf *record)
{
    buf_addf(out, "\n%s", buf_text(record));
    buf_fail(out, buf_error(record));
}

void payload_write_done(struct buf *out, const struct ark_result *ark)
{
    buf_init(out, DONE_MAX);
    if (*ark->usage)
        buf_addf(out, "\"usage\":%s", ark->usage);
}

static void add_member(struct buf *out, const char *name, const char *text)
{
    buf_add_json(out, name, strlen(name));
    buf_add_char(out, ':');
    buf_add_json(out, text, strlen(text));
}

/* ARK's own code and request id, for questions to ARK's support. FINISH adds these members to the event. */
static void write_more(struct buf *out, const struct ark_result *ark)
{
    const char *code;

    buf_init(out, MORE_MAX);
    if (!ark)
        return;
    code = *ark->error.code ? ark->error.code : ark->slot_error.code;
    if (*ark->request_id)
        add_member(out, "request_id", ark->request_id);
    if (*code) {
        buf_add_text(out, out->len ? "," : "");
        add_member(out, "ark_code", code);
    }
}

void payload_write_failure(struct buf *out, const struct payload_failure *failure)
{
    struct buf more;

    buf_init(out, FAILURE_MAX);
    write_more(&more, failure->ark);
    buf_add_char(out, '{');
    add_member(out, "code", problem_code(failure->problem));
    buf_add_char(out, ',');
    add_member(out, "error", failure->words);
    buf_addf(out, ",\"retryable\":%s", failure->retryable ? "true" : "false");
    if (more.len && !buf_error(&more)) {
        buf_add_char(out, ',');
        add_member(out, "more", buf_text(&more));
    }
    buf_add_char(out, '}');
    buf_deinit(&more);
}
