/* /admin/tasks: the tasks of all clients, listed by state, told in full, and begun anew, cancelled or erased */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/http/server.h"
#include "common/json_text.h"
#include "common/log.h"
#include "common/task.h"
#include "gateway/answer.h"
#include "gateway/api/query.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/gateway_options.h"
#include "gateway/store.h"
#include "gateway/timestamp.h"

enum {
    LIST_MAX = 1024 * 1024,
    STORY_MAX = 256 * 1024 * 1024, /* pictures may be in it, twice */
    SMALL_MAX = 1024,
    UNREADABLE_MAX = 1000, /* bytes of what is no JSON */
    PAGE = 50,
    PAGE_MAX = 200,
};

/* -- a row of TASKS, and of STORY */

enum { AT_ID, AT_STATE, AT_EPOCH, AT_ATTEMPT, AT_PAID_CALLS, AT_WORKER, AT_CODE, AT_CLAIMED, AT_ENDED, AT_PLACE };

static int64_t number(const redisReply *row, size_t at)
{
    int64_t value;

    return script_int(row, at, &value) ? -1 : value;
}

static void add_number(struct buf *out, const char *name, const redisReply *row, size_t at)
{
    int64_t value = number(row, at);

    if (value >= 0)
        buf_addf(out, ",\"%s\":%" PRId64, name, value);
}

static void add_text(struct buf *out, const char *name, const redisReply *row, size_t at)
{
    size_t len;
    const char *text = script_text(row, at, &len);

    if (!text || !len)
        return;
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, text, len);
}

/* What AT_PLACE means depends on the state. */
static void add_place(struct buf *out, const redisReply *row)
{
    const char *state = script_text(row, AT_STATE, NULL);

    if (!state)
        return;
    if (strcmp(state, "queued") == 0)
        add_number(out, "position", row, AT_PLACE);
    else if (strcmp(state, "delayed") == 0)
        timestamp_add(out, "due_at", number(row, AT_PLACE));
    else if (strcmp(state, "running") == 0)
        timestamp_add(out, "lease_until", number(row, AT_PLACE));
}

/* Members, without the braces. An id that somebody has put there by hand may lack its client. */
static void write_row(struct buf *out, const redisReply *row)
{
    const char *text = script_text(row, AT_ID, NULL), *id = text ? text : "";
    const char *dot = strchr(id, '.');
    size_t client = dot ? (size_t)(dot - id) : 0;
    const char *task_id = dot ? dot + 1 : id;

    buf_add_text(out, "\"id\":");
    buf_add_json(out, id, strlen(id));
    buf_add_text(out, ",\"client\":");
    buf_add_json(out, id, client);
    buf_add_text(out, ",\"task_id\":");
    buf_add_json(out, task_id, strlen(task_id));
    add_text(out, "status", row, AT_STATE);
    add_number(out, "epoch", row, AT_EPOCH);
    add_number(out, "attempts", row, AT_ATTEMPT);
    add_number(out, "paid_calls", row, AT_PAID_CALLS);
    add_text(out, "worker", row, AT_WORKER);
    add_text(out, "code", row, AT_CODE);
    timestamp_add(out, "created_at", number(row, AT_EPOCH));
    timestamp_add(out, "started_at", number(row, AT_CLAIMED));
    timestamp_add(out, "ended_at", number(row, AT_ENDED));
    add_place(out, row);
}

/* -- GET /admin/tasks */

static void write_list(struct buf *out, const redisReply *reply)
{
    const redisReply *row;
    size_t len;
    const char *next = script_text(reply, 1, &len);

    buf_add_text(out, "{\"tasks\":[");
    for (size_t i = 2; (row = script_array(reply, i)); i++) {
        buf_add_text(out, i > 2 ? ",{" : "{");
        write_row(out, row);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "],\"next\":");
    if (next && len)
        buf_add_json(out, next, len);
    else
        buf_add_text(out, "null");
    buf_add_char(out, '}');
}

static void on_list(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    struct buf body;

    (void)arg;
    if (strcmp(script_answer(reply), "TASKS") != 0) {
        answer_problem(exchange, PROBLEM_INVALID_QUERY, "cursor: not one of this list.");
        return;
    }
    buf_init(&body, LIST_MAX);
    write_list(&body, reply);
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

static bool is_list(const char *state)
{
    static const char *const names[] = {"queued", "delayed",   "running", "live", "done",
                                        "failed", "cancelled", "ended",   "dead"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], state) == 0)
            return true;
    return false;
}

static bool is_page_size(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text) && strtol(text, NULL, 10) >= 1 &&
           strtol(text, NULL, 10) <= PAGE_MAX;
}

void api_admin_tasks(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    char state[16] = "live", cursor[TASK_FULL_ID_SIZE + 32] = "", limit[8], search[TASK_FULL_ID_SIZE] = "";
    const struct query_parameter parameters[] = {
        {"state",  state,  sizeof(state) },
        {"cursor", cursor, sizeof(cursor)},
        {"limit",  limit,  sizeof(limit) },
        {"q",      search, sizeof(search)},
    };

    (void)snprintf(limit, sizeof(limit), "%d", PAGE);
    if (!query_read(exchange, parameters, sizeof(parameters) / sizeof(parameters[0])))
        return;
    if (!is_list(state))
        answer_problem(exchange, PROBLEM_INVALID_QUERY,
                       "state: queued, delayed, running, live, done, failed, cancelled, ended or dead.");
    else if (!is_page_size(limit))
        answer_problem(exchange, PROBLEM_INVALID_QUERY, "limit: 1 to 200.");
    else
        store_ask(gateway->commands, exchange,
                  &(struct store_question){
                      .script = SCRIPT_TASKS, .args = {state, cursor, limit, search},
                           .answer = on_list
        });
}

/* -- one task */

/* The full id that the path names. False: it cannot exist, and that was answered (404). */
static bool read_id(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE])
{
    struct http_text segment = http_exchange_segment(exchange);
    const char *dot = memchr(segment.data, '.', segment.len);
    size_t client = dot ? (size_t)(dot - segment.data) : 0;

    if (client && client <= TASK_CLIENT_MAX && task_id_is_valid(dot + 1, segment.len - client - 1)) {
        memcpy(full_id, segment.data, segment.len);
        full_id[segment.len] = '\0';
        if (strspn(full_id, "abcdefghijklmnopqrstuvwxyz0123456789_-") == client)
            return true;
    }
    answer_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
    return false;
}

static void log_order(struct http_exchange *exchange, const char *what)
{
    struct http_text id = http_exchange_segment(exchange);

    log_info("admin", what, "task=%.*s request_id=%s", (int)id.len, id.data, http_exchange_request_id(exchange));
}

static void begin_state(struct buf *out, struct http_exchange *exchange, enum task_state state)
{
    struct http_text id = http_exchange_segment(exchange);

    buf_init(out, SMALL_MAX);
    buf_addf(out, "{\"id\":\"%.*s\",\"status\":\"%s\"", (int)id.len, id.data, task_state_name(state));
}

static void end_state(struct buf *out, struct http_exchange *exchange, int status)
{
    buf_add_char(out, '}');
    answer_json(exchange, status, out);
    buf_deinit(out);
}

/* -- GET /admin/tasks/{id} */

enum { STORY_ROW = 1, STORY_REQUEST, STORY_LOG, STORY_IMAGES, STORY_FAILED, STORY_RESULT, STORY_FIELDS };

/* What is written, and beside it what Redis holds in places where JSON should be. */
struct story {
    struct buf *out;
    struct buf unreadable; /* members */
};

static void add_unreadable(struct buf *out, const char *text, size_t len)
{
    buf_add_json(out, text, len < UNREADABLE_MAX ? len : UNREADABLE_MAX);
}

/* Somebody may have changed it by hand. */
static json_t *parse(struct buf *out, const char *text, size_t len, json_type type)
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

/* JSON that Redis holds; `none` where there is none. */
static void add_json(struct story *story, const char *name, const redisReply *reply, size_t at, json_type type)
{
    const char *none = type == JSON_ARRAY ? "[]" : "null";
    size_t len = 0;
    const char *text = script_text(reply, at, &len);
    json_t *value = text && len ? parse(story->out, text, len, type) : NULL;

    buf_addf(story->out, ",\"%s\":", name);
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

/* "<n> <type> {...}" with an object that has what an event has. NULL: something else. */
static const char *find_object(struct buf *out, const char *element, size_t len)
{
    const char *object = memchr(element, '{', len);
    json_t *value = object ? parse(out, object, len - (size_t)(object - element), JSON_OBJECT) : NULL;
    bool is_event = json_is_string(json_object_get(value, "event")) && json_is_object(json_object_get(value, "data"));

    json_decref(value);
    return is_event ? object : NULL;
}

/* Its number becomes a member of the object. What is no event is shown as it is, in the shape of one. */
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

static void add_fields(struct buf *out, const redisReply *reply)
{
    const char *name;

    buf_add_text(out, "\"fields\":{");
    for (size_t i = STORY_FIELDS; (name = script_text(reply, i, NULL)); i += 2) {
        size_t len = 0;
        const char *text = script_text(reply, i + 1, &len);

        if (i > STORY_FIELDS)
            buf_add_char(out, ',');
        buf_add_json(out, name, strlen(name));
        buf_add_char(out, ':');
        buf_add_json(out, text ? text : "", len);
    }
    buf_add_char(out, '}');
}

static void write_story(struct buf *out, const redisReply *reply)
{
    const redisReply *log = script_array(reply, STORY_LOG);
    struct story story = {.out = out};

    buf_init(&story.unreadable, LIST_MAX);
    buf_add_char(out, '{');
    write_row(out, script_array(reply, STORY_ROW));
    add_json(&story, "request", reply, STORY_REQUEST, JSON_OBJECT);
    add_json(&story, "generated_images", reply, STORY_IMAGES, JSON_ARRAY);
    add_json(&story, "failed_images", reply, STORY_FAILED, JSON_ARRAY);
    add_json(&story, "result", reply, STORY_RESULT, JSON_OBJECT);
    if (story.unreadable.len)
        buf_addf(out, ",\"unreadable\":{%s}", buf_text(&story.unreadable));
    buf_fail(out, buf_error(&story.unreadable));
    buf_deinit(&story.unreadable);
    buf_add_text(out, ",\"log\":[");
    for (size_t i = 0; log && i < log->elements; i++)
        add_event(out, log, i);
    buf_add_text(out, "],");
    add_fields(out, reply);
    buf_add_char(out, '}');
}

static void on_story(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    struct buf body;

    (void)arg;
    if (strcmp(script_answer(reply), "STORY") != 0) {
        answer_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
        return;
    }
    buf_init(&body, STORY_MAX);
    write_story(&body, reply);
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

/* -- and what can be done with it */

static void on_retry(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const char *word = script_answer(reply);
    struct buf body;

    (void)arg;
    if (strcmp(word, "NEW") == 0) {
        log_order(exchange, "the task begins anew");
        begin_state(&body, exchange, TASK_QUEUED);
        add_number(&body, "epoch", reply, 1);
        end_state(&body, exchange, 202);
    } else if (strcmp(word, "LIVE") == 0) {
        answer_problem(exchange, PROBLEM_TASK_LIVE, NULL);
    } else {
        answer_problem(exchange, strcmp(word, "DONE") == 0 ? PROBLEM_TASK_NOT_FAILED : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

static void on_cancel(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const char *word = script_answer(reply);
    bool ended = strcmp(word, "CANCELLED") == 0;
    struct buf body;

    (void)arg;
    if (ended || strcmp(word, "ASKED") == 0) {
        log_order(exchange, ended ? "the task is cancelled" : "the task is asked to end");
        begin_state(&body, exchange, ended ? TASK_CANCELLED : TASK_RUNNING);
        end_state(&body, exchange, ended ? 200 : 202);
    } else {
        answer_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

static void on_erase(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const char *word = script_answer(reply);

    (void)arg;
    if (strcmp(word, "ERASED") == 0) {
        log_order(exchange, "the task is erased");
        http_respond(exchange, 204, NULL, NULL, 0);
    } else {
        answer_problem(exchange, strcmp(word, "LIVE") == 0 ? PROBLEM_TASK_LIVE : PROBLEM_TASK_NOT_FOUND, NULL);
    }
}

static void ask(struct http_exchange *exchange, const struct gateway *gateway, enum script_id script,
                const char *argument, store_answer_fn *answer)
{
    char full_id[TASK_FULL_ID_SIZE];

    if (read_id(exchange, full_id))
        store_ask(gateway->commands, exchange,
                  &(struct store_question){.script = script, .full_id = full_id, .args = {argument}, .answer = answer});
}

void api_admin_task(struct http_exchange *exchange, void *arg)
{
    ask(exchange, arg, SCRIPT_STORY, NULL, on_story);
}

void api_admin_retry(struct http_exchange *exchange, void *arg)
{
    const struct gateway *gateway = arg;
    char queue_ttl[24];

    (void)snprintf(queue_ttl, sizeof(queue_ttl), "%" PRId64, gateway->config.options->queue_ttl_ms);
    ask(exchange, gateway, SCRIPT_RETRY, queue_ttl, on_retry);
}

void api_admin_cancel(struct http_exchange *exchange, void *arg)
{
    ask(exchange, arg, SCRIPT_CANCEL, "any", on_cancel);
}

void api_admin_erase(struct http_exchange *exchange, void *arg)
{
    ask(exchange, arg, SCRIPT_ERASE, NULL, on_erase);
}
