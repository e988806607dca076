#include "gateway/api/webhook_story.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/http/server.h"
#include "common/redis/script.h"
#include "gateway/response/respond.h"
#include "gateway/response/timestamp.h"

enum { EVENT_ID_SIZE = 48, CODE_SIZE = 32, RESPONSE_MAX = 64 * 1024 };

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

/* <ms> <epoch>-<n> <status> <duration ms> <tries> <code> <next attempt, ms; 0: none> */
static void add_attempt(struct buf *out, const char *line, bool is_first)
{
    char event_id[EVENT_ID_SIZE], code[CODE_SIZE];
    int64_t at_ms, next_ms;
    int status, duration_ms, attempt;

    if (sscanf(line, "%" SCNd64 " %47[0-9-] %d %d %d %31[a-z_] %" SCNd64, &at_ms, event_id, &status, &duration_ms,
               &attempt, code, &next_ms) != 7)
        return;
    buf_addf(out, "%s{\"event_id\":\"%s\"", is_first ? "" : ",", event_id);
    timestamp_add(out, "at", at_ms);
    if (status)
        buf_add_int_member(out, "status", status);
    buf_addf(out, ",\"duration_ms\":%d,\"attempt\":%d,\"outcome\":\"%s\"", duration_ms, attempt, code);
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
