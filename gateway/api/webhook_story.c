#include "gateway/api/webhook_story.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "common/base/ascii.h"
#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/http/server.h"
#include "common/redis/script.h"
#include "gateway/response/respond.h"
#include "gateway/response/timestamp.h"

enum { DIGITS_MAX = 18, RESPONSE_MAX = 64 * 1024 };

/* "start final" -> ["start","final"] */
static void add_words(struct buf *out, const char *words)
{
    buf_add_text(out, ",\"events\":[");
    for (bool is_first = true; *words; is_first = false) {
        size_t len = strcspn(words, " ");

        if (!is_first)
            buf_add_char(out, ',');
        buf_add_json(out, words, len);
        words += len + strspn(words + len, " ");
    }
    buf_add_char(out, ']');
}

static void add_receiver(struct buf *out, const char *webhook)
{
    json_t *root = NULL;
    const char *url, *events;

    if (json_text_read(webhook, strlen(webhook), 0, &root, NULL))
        return;
    url = json_string_value(json_object_get(root, "url"));
    events = json_string_value(json_object_get(root, "events"));
    if (url && events) {
        buf_add_text_member(out, "url", url, strlen(url));
        add_words(out, events);
    }
    json_decref(root);
}

/* Takes the next word of the line; the empty word at its end. */
static struct http_text next_word(const char **line)
{
    struct http_text word = {*line, strcspn(*line, " \n")};

    *line += word.len;
    if (**line == ' ')
        (*line)++;
    return word;
}

/* False: not a number of at most 18 digits. */
static bool next_number(const char **line, int64_t *out)
{
    struct http_text word = next_word(line);
    int64_t number = 0;

    for (size_t i = 0; i < word.len && i < DIGITS_MAX; i++) {
        if (!ascii_is_digit(word.data[i]))
            return false;
        number = number * 10 + (word.data[i] - '0');
    }
    *out = number;
    return word.len && word.len <= DIGITS_MAX;
}

static bool has_only(struct http_text word, const char *set)
{
    return word.len && strspn(word.data, set) >= word.len;
}

/* <ms> <epoch>-<n> <status> <duration ms> <tries> <code> <next attempt, ms; 0: none> */
static void add_attempt(struct buf *out, const char *line, bool is_first)
{
    int64_t at_ms, status, duration_ms, attempt, next_ms;
    struct http_text event_id, code;
    bool is_good = next_number(&line, &at_ms);

    event_id = next_word(&line);
    is_good = is_good && has_only(event_id, "0123456789-") && next_number(&line, &status) &&
              next_number(&line, &duration_ms) && next_number(&line, &attempt);
    code = next_word(&line);
    if (!is_good || !has_only(code, "abcdefghijklmnopqrstuvwxyz_") || !next_number(&line, &next_ms))
        return;
    buf_add_text(out, is_first ? "{" : ",{");
    buf_add_text_member(out, "event_id", event_id.data, event_id.len);
    timestamp_add(out, "at", at_ms);
    if (status)
        buf_add_int_member(out, "status", status);
    buf_add_int_member(out, "duration_ms", duration_ms);
    buf_add_int_member(out, "attempt", attempt);
    buf_add_text_member(out, "outcome", code.data, code.len);
    timestamp_add(out, "next_at", next_ms ? next_ms : -1);
    buf_add_char(out, '}');
}

void webhook_story_write(struct buf *out, const char *webhook, const char *attempts)
{
    size_t from;

    buf_add_char(out, '{');
    add_receiver(out, webhook);
    buf_add_member(out, "attempts");
    buf_add_char(out, '[');
    from = out->len;
    for (const char *line = attempts; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        add_attempt(out, line, out->len == from);
    buf_add_text(out, "]}");
}

void webhook_story_respond(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *webhook = script_text(reply, 1, NULL), *attempts = script_text(reply, 2, NULL);
    struct buf body;

    (void)unused;
    if (!webhook || !attempts) {
        respond_problem(exchange, PROBLEM_WEBHOOK_NOT_FOUND, NULL);
        return;
    }
    buf_init(&body, RESPONSE_MAX);
    webhook_story_write(&body, webhook, attempts);
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}
