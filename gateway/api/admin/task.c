/* /admin/tasks/{id}: everything stored about a task, and what operators do with it
 *
 * Each request runs one script for the task. What changes a task is logged.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/decimal.h"
#include "common/base/json_text.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/task/settler.h"
#include "common/task/task.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/admin/full_id.h"
#include "gateway/api/context.h"
#include "gateway/api/task_row.h"
#include "gateway/api/webhook_story.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

enum { ACTION_RESPONSE_MAX = 1024 };

/* Runs the script with the full id in the request's path and one argument, which may be NULL. 404 if the id is invalid. */
static void query_task(struct api_context *context, struct http_exchange *exchange, enum script_id script,
                       const char *argument, redis_query_fn *answer)
{
    char full_id[TASK_FULL_ID_SIZE];

    if (admin_read_full_id(exchange, full_id))
        redis_query_send(
            context->commands, exchange,
            &(struct redis_query){
                .script = script, .full_id = full_id, .args = {argument}, .answer = answer, .arg = context});
}

static void log_action(struct http_exchange *exchange, const char *what)
{
    struct http_text id = http_exchange_segment(exchange);

    log_info("admin", what, "task=%.*s request_id=%s", (int)id.len, id.data, http_exchange_request_id(exchange));
}

/* {"id":...,"status":...} and, unless negative, "epoch". */
static void respond_action(struct http_exchange *exchange, int http_status, enum task_state state, int64_t epoch)
{
    struct http_text id = http_exchange_segment(exchange);
    struct buf body;

    buf_init(&body, ACTION_RESPONSE_MAX);
    buf_addf(&body, "{\"id\":\"%.*s\",\"status\":\"%s\"", (int)id.len, id.data, task_state_name(state));
    if (epoch >= 0)
        buf_addf(&body, ",\"epoch\":%" PRId64, epoch);
    buf_add_char(&body, '}');
    respond_json(exchange, http_status, &body);
    buf_deinit(&body);
}

/* -- POST /admin/tasks/{id}/cancel: cancel a waiting task, ask a running one to stop */

static void admin_task_on_cancelled(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const struct api_context *context = arg;
    const char *word = script_answer(reply);
    bool ended = strcmp(word, "CANCELLED") == 0;
    int64_t owes;

    if (!script_int(reply, 1, &owes))
        settler_poke(context->settler);
    if (ended || strcmp(word, "ASKED") == 0) {
        log_action(exchange, ended ? "task cancelled" : "task asked to stop");
        respond_action(exchange, ended ? 200 : 202, ended ? TASK_CANCELLED : TASK_RUNNING, -1);
    } else {
        respond_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_cancel(struct http_exchange *exchange, void *arg)
{
    query_task(arg, exchange, SCRIPT_CANCEL, "any", admin_task_on_cancelled);
}

/* -- DELETE /admin/tasks/{id}: erase a final task of any client */

static void admin_task_on_erased(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);

    (void)unused;
    if (strcmp(word, "ERASED") == 0) {
        log_action(exchange, "task erased");
        http_respond(exchange, 204, NULL, NULL, 0);
    } else {
        respond_problem(exchange, strcmp(word, "LIVE") == 0 ? PROBLEM_TASK_LIVE : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_erase(struct http_exchange *exchange, void *arg)
{
    query_task(arg, exchange, SCRIPT_ERASE, NULL, admin_task_on_erased);
}

/* -- POST /admin/tasks/{id}/retry: queue a failed or cancelled task again */

static void admin_task_on_retried(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);
    int64_t epoch;

    (void)unused;
    if (strcmp(word, "NEW") == 0) {
        log_action(exchange, "task queued again");
        respond_action(exchange, 202, TASK_QUEUED, script_int(reply, 1, &epoch) ? -1 : epoch);
    } else if (strcmp(word, "LIVE") == 0) {
        respond_problem(exchange, PROBLEM_TASK_LIVE, NULL);
    } else {
        respond_problem(exchange, strcmp(word, "DONE") == 0 ? PROBLEM_TASK_NOT_FAILED : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

void api_admin_retry(struct http_exchange *exchange, void *arg)
{
    struct api_context *context = arg;
    char queue_ttl[DECIMAL_SIZE];

    (void)decimal_write(queue_ttl, context->queue_ttl_ms);
    query_task(context, exchange, SCRIPT_RETRY, queue_ttl, admin_task_on_retried);
}

/* -- GET /admin/tasks/{id}: request, event log, images, result, fields */

enum {
    STORY_RESPONSE_MAX = 256 * 1024 * 1024, /* may contain images, twice */
    UNREADABLE_ALL_MAX = 1024 * 1024,
    UNREADABLE_MAX = 1000, /* bytes shown of one text that is not JSON */
};

enum { STORY_ROW = 1, STORY_REQUEST, STORY_LOG, STORY_IMAGES, STORY_FAILED, STORY_RESULT, STORY_FIELDS };

/* The response, and the stored texts that should be JSON and are not. */
struct story {
    struct buf *out;
    struct buf unreadable; /* members */
};

static void add_unreadable(struct buf *out, const char *text, size_t len)
{
    buf_add_json(out, text, len < UNREADABLE_MAX ? len : UNREADABLE_MAX);
}

/* NULL: not JSON of this type. The data in Redis may have been edited by hand. */
static json_t *parse_stored(struct buf *out, const char *text, size_t len, json_type type)
{
    json_t *value = NULL;
    int err = json_text_read(text, len, JSON_ALLOW_NUL, &value, NULL);

    if (err == ERR_NO_MEMORY)
        buf_fail(out, err);
    if (!err && json_typeof(value) == type)
        return value;
    json_decref(value);
    return NULL;
}

/* A JSON value from Redis; [] or null if it is absent or invalid. */
static void add_stored_json(struct story *story, const char *name, const redisReply *reply, size_t at, json_type type)
{
    const char *none = type == JSON_ARRAY ? "[]" : "null";
    size_t len = 0;
    const char *text = script_text(reply, at, &len);
    json_t *value = text && len ? parse_stored(story->out, text, len, type) : NULL;

    buf_add_member(story->out, name);
    if (value)
        buf_add(story->out, text, len);
    else
        buf_add_text(story->out, none);
    if (!value && text && len) {
        buf_addf(&story->unreadable, "%s\"%s\":", story->unreadable.len ? "," : "", name);
        add_unreadable(&story->unreadable, text, len);
    }
    json_decref(value);
}

/* The object in "<n> <type> {...}"; NULL if it does not have the members of an event. */
static const char *find_object(struct buf *out, const char *element, size_t len)
{
    const char *object = memchr(element, '{', len);
    json_t *value = object ? parse_stored(out, object, len - (size_t)(object - element), JSON_OBJECT) : NULL;
    bool is_event = json_is_string(json_object_get(value, "event")) && json_is_object(json_object_get(value, "data"));

    json_decref(value);
    return is_event ? object : NULL;
}

/* Adds the number to the event as the member "n". An element that is not an event is shown as an event of type "unreadable". */
static void add_event(struct buf *out, const redisReply *log, size_t at)
{
    size_t len = 0;
    const char *text = script_text(log, at, &len), *element = text ? text : "";
    const char *object = find_object(out, element, len);

    buf_addf(out, "%s{\"n\":%zu,", at ? "," : "", at + 1);
    if (object) {
        buf_add(out, object + 1, len - (size_t)(object + 1 - element));
        return;
    }
    buf_add_text(out, "\"event\":\"unreadable\",\"data\":{\"text\":");
    add_unreadable(out, element, len);
    buf_add_text(out, "}}");
}

static void add_webhook(struct buf *out, const redisReply *reply)
{
    size_t at = script_field(reply, STORY_FIELDS, "webhook"), lines = script_field(reply, STORY_FIELDS, "deliveries");
    const char *webhook = at ? script_text(reply, at, NULL) : NULL,
               *attempts = lines ? script_text(reply, lines, NULL) : NULL;

    if (!webhook || !attempts)
        return;
    buf_add_text(out, "\"webhook\":");
    webhook_story_write(out, webhook, attempts);
    buf_add_char(out, ',');
}

/* What add_webhook has written is no field of the task. */
static bool is_field(const char *name)
{
    return strcmp(name, "webhook") != 0 && strcmp(name, "deliveries") != 0;
}

static void add_stored_fields(struct buf *out, const redisReply *reply)
{
    const char *name;

    buf_add_text(out, "\"fields\":{");
    for (size_t i = STORY_FIELDS; (name = script_text(reply, i, NULL)); i += 2) {
        size_t len = 0;
        const char *text = script_text(reply, i + 1, &len);

        if (is_field(name))
            buf_add_text_member(out, name, text ? text : "", len);
    }
    buf_add_char(out, '}');
}

static void write_story(struct buf *out, const redisReply *reply)
{
    const redisReply *log = script_array(reply, STORY_LOG);
    struct story story = {.out = out};

    buf_init(&story.unreadable, UNREADABLE_ALL_MAX);
    buf_add_char(out, '{');
    task_row_write(out, script_array(reply, STORY_ROW));
    add_stored_json(&story, "request", reply, STORY_REQUEST, JSON_OBJECT);
    add_stored_json(&story, "generated_images", reply, STORY_IMAGES, JSON_ARRAY);
    add_stored_json(&story, "failed_images", reply, STORY_FAILED, JSON_ARRAY);
    add_stored_json(&story, "result", reply, STORY_RESULT, JSON_OBJECT);
    if (story.unreadable.len)
        buf_addf(out, ",\"unreadable\":{%s}", buf_text(&story.unreadable));
    buf_fail(out, buf_error(&story.unreadable));
    buf_deinit(&story.unreadable);
    buf_add_text(out, ",\"log\":[");
    for (size_t i = 0; log && i < log->elements; i++)
        add_event(out, log, i);
    buf_add_text(out, "],");
    add_webhook(out, reply);
    add_stored_fields(out, reply);
    buf_add_char(out, '}');
}

static void story_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    struct buf body;

    (void)unused;
    if (strcmp(script_answer(reply), "STORY") != 0) {
        respond_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
        return;
    }
    buf_init(&body, STORY_RESPONSE_MAX);
    write_story(&body, reply);
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_admin_task(struct http_exchange *exchange, void *arg)
{
    query_task(arg, exchange, SCRIPT_STORY, NULL, story_on_reply);
}
