#include "worker/ark/answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/web/retry_after.h"
#include "worker/ark/collect.h"
#include "worker/ark/document.h"
#include "worker/ark/stream.h"

/* OTHER: not data of ARK or of an API gateway, for example an HTML page or a line of text. */
enum form { FORM_OPEN, FORM_DOCUMENT, FORM_STREAM, FORM_OTHER };

static const struct retry_after_bounds retry_after_bounds = {ARK_RETRY_AFTER_MIN_MS, ARK_RETRY_AFTER_MAX_MS};

struct ark_answer {
    struct ark_collect collect;
    struct ark_stream stream;
    struct ark_document document;
    enum form form;
    bool says_stream; /* the content type is text/event-stream */
    bool ended;
    size_t len, max_bytes;
    char broke[160];
};

struct ark_answer *ark_answer_create(const struct ark_answer_setup *setup)
{
    struct ark_answer *answer = calloc(1, sizeof(*answer));

    if (!answer)
        return NULL;
    answer->collect.on_slot = setup->on_slot;
    answer->collect.arg = setup->arg;
    answer->collect.secret = setup->secret;
    answer->collect.result.expected = setup->expected;
    answer->collect.result.generated = -1;
    answer->max_bytes = setup->max_bytes;
    ark_document_init(&answer->document, setup->max_bytes, &answer->collect);
    ark_stream_init(&answer->stream, setup->max_line, &answer->collect);
    return answer;
}

struct ark_answer *ark_answer_destroy(struct ark_answer *answer)
{
    if (!answer)
        return NULL;
    ark_stream_deinit(&answer->stream);
    ark_document_deinit(&answer->document);
    free(answer);
    return NULL;
}

/* Ignores parameters such as "; charset=utf-8". */
static bool is_of_type(const char *content_type, const char *type)
{
    return !strncasecmp(content_type, type, strlen(type));
}

void ark_answer_head(struct ark_answer *answer, const struct ark_head *head)
{
    struct ark_result *result = &answer->collect.result;

    result->http_status = head->status;
    if (head->content_type) {
        answer->says_stream = is_of_type(head->content_type, "text/event-stream");
        result->is_json = is_of_type(head->content_type, "application/json");
    }
    if (head->retry_after && *head->retry_after)
        result->retry_after_ms = retry_after_read(head->retry_after, head->now_ms, retry_after_bounds);
    if (head->request_id)
        ark_copy_text(result->request_id, sizeof(result->request_id), head->request_id);
}

/* A line of a stream begins with event, data, id, retry or a colon. A document is recognized even if the content type says that it is a
 * stream. */
static enum form form_of(char first, bool says_stream)
{
    if (first == '{')
        return FORM_DOCUMENT;
    if (first == '<' || first == '[')
        return FORM_OTHER;
    return says_stream || strchr("edir:", first) ? FORM_STREAM : FORM_OTHER;
}

/* Skips white space and a byte order mark. Returns the number of bytes skipped. */
static size_t find_form(struct ark_answer *answer, const char *bytes, size_t len)
{
    size_t i = 0;

    while (i < len && bytes[i] && strchr(" \t\r\n\xef\xbb\xbf", bytes[i]))
        i++;
    if (i < len)
        answer->form = form_of(bytes[i], answer->says_stream);
    return i;
}

int ark_answer_body(struct ark_answer *answer, const char *bytes, size_t len)
{
    if (answer->ended || ark_answer_finished(answer))
        return 0;
    if (len > answer->max_bytes - answer->len)
        return ERR_TOO_LONG;
    answer->len += len;
    if (answer->form == FORM_OPEN) {
        size_t skipped = find_form(answer, bytes, len);

        bytes += skipped;
        len -= skipped;
    }
    switch (answer->form) {
    case FORM_DOCUMENT:
        return ark_document_feed(&answer->document, bytes, len);
    case FORM_STREAM:
        return ark_stream_feed(&answer->stream, bytes, len);
    case FORM_OPEN:
    case FORM_OTHER:
        break;
    }
    return 0;
}

bool ark_answer_finished(const struct ark_answer *answer)
{
    return answer->stream.finished;
}

static bool is_complete(const struct ark_collect *collect)
{
    return ark_collect_is_full(collect) || collect->result.stopped;
}

bool ark_answer_is_complete(const struct ark_answer *answer)
{
    return answer->form == FORM_DOCUMENT ? answer->document.closed : is_complete(&answer->collect);
}

static bool is_refusal(const struct ark_result *result)
{
    return result->http_status >= 300;
}

/* Reads what is still buffered. Returns NULL if the answer is complete, else why not. */
static const char *read_rest(struct ark_answer *answer, const char *broke)
{
    switch (answer->form) {
    case FORM_DOCUMENT:
        if (ark_document_end(&answer->document))
            return NULL;
        return broke ? broke : "the answer is not a complete JSON document of ARK";
    case FORM_STREAM:
        ark_stream_end(&answer->stream);
        if (answer->stream.finished || is_complete(&answer->collect))
            return NULL;
        return broke ? broke : "the stream ended before it was complete";
    case FORM_OPEN:
        return broke ? broke : "the answer is empty";
    case FORM_OTHER:
        break;
    }
    return broke ? broke : "the answer is neither JSON nor a stream of events";
}

const struct ark_result *ark_answer_end(struct ark_answer *answer, const char *broke)
{
    struct ark_result *result = &answer->collect.result;
    const char *why;

    if (answer->ended)
        return result;
    answer->ended = true;
    why = read_rest(answer, broke);
    if (answer->collect.err) /* out of memory: slots may be missing, even after a clean end */
        why = broke ? broke : err_text(answer->collect.err);
    if (why && !broke && is_refusal(result)) /* its status says enough, whatever its body is */
        why = NULL;
    result->completed = !why;
    if (why) {
        ark_copy_text(answer->broke, sizeof(answer->broke), why);
        result->broke = answer->broke;
    }
    return result;
}
