/* /tasks/{id}: state and result of a task, its stream, cancel and erase */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/redis/client.h"
#include "common/task/settler.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/account/account.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/task.h"
#include "gateway/api/webhook_story.h"
#include "gateway/request/headers.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"
#include "gateway/response/timestamp.h"
#include "gateway/streams/stream.h"

enum {
    STATE_RESPONSE_MAX = 4096,
    RESPONSE_MAX = 96 * 1024 * 1024, /* pictures may be in it */
    COST_TAIL_MAX = 160,             /* bytes of the last two members of a final event, at most */
    AT_POSITION = 1,                 /* elements of the STATUS reply */
    AT_IMAGES,
    AT_FAILED,
    AT_RESULT,
    AT_NOW,
    AT_MODEL,
    AT_FIELDS, /* name, value, name, value ... */
};

/* -- URLs */

/* The full id of the task in the request's path, always a task of the requesting client. False: the id is invalid, and the exchange was
 * answered with 404. */
static bool read_task_path(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE])
{
    struct http_text segment = http_exchange_segment(exchange);
    char task_id[TASK_ID_MAX + 1];

    if (!task_id_is_valid(segment.data, segment.len)) {
        respond_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
        return false;
    }
    memcpy(task_id, segment.data, segment.len);
    task_id[segment.len] = '\0';
    task_full_id(full_id, admission_client(exchange)->name, task_id);
    return true;
}

/* Runs the script with the full id in the request's path and one argument, which may be NULL. `answer` gets the context. */
static void query_task(struct api_context *context, struct http_exchange *exchange, enum script_id script,
                       const char *argument, redis_query_fn *answer)
{
    char full_id[TASK_FULL_ID_SIZE];

    if (read_task_path(exchange, full_id))
        redis_query_send(
            context->commands, exchange,
            &(struct redis_query){
                .script = script, .full_id = full_id, .args = {argument}, .answer = answer, .arg = context});
}

/* A valid task_id needs no escaping in paths and JSON. */
void task_path_add(struct buf *out, const char *task_id)
{
    buf_addf(out, "%s/tasks/%s", API_BASE, task_id);
}

static void add_link(struct buf *out, const char *name, const char *task_id, const char *suffix)
{
    buf_addf(out, "\"%s\":\"", name);
    task_path_add(out, task_id);
    buf_addf(out, "%s\"", suffix);
}

void task_path_add_links(struct buf *out, const char *task_id)
{
    buf_add_text(out, "\"links\":{");
    add_link(out, "self", task_id, "");
    buf_add_char(out, ',');
    add_link(out, "stream", task_id, "/stream");
    buf_add_char(out, ',');
    add_link(out, "cancel", task_id, "/cancel");
    buf_add_char(out, '}');
}

/* -- fields of the STATUS reply */

/* The index of the value of a field of the task's hash; 0 if the field is absent. */
static size_t find_field(const redisReply *reply, const char *name)
{
    return script_field(reply, AT_FIELDS, name);
}

/* -1 if the field is absent. */
static int64_t field_number(const redisReply *reply, const char *name)
{
    size_t at = find_field(reply, name);
    int64_t value;

    return at && !script_int(reply, at, &value) ? value : -1;
}

static void add_known_number(struct buf *out, const char *name, int64_t value)
{
    if (value >= 0)
        buf_add_int_member(out, name, value);
}

static void add_number_or_null(struct buf *out, int64_t value)
{
    if (value >= 0)
        buf_add_int(out, value);
    else
        buf_add_text(out, "null");
}

static void add_reply_json(struct buf *out, const char *name, const redisReply *reply, size_t at)
{
    size_t len;
    const char *json = script_text(reply, at, &len);

    if (!json || !len)
        return;
    buf_add_member(out, name);
    buf_add(out, json, len);
}

static int64_t difference(int64_t from_ms, int64_t to_ms)
{
    return from_ms < 0 || to_ms < 0 ? -1 : to_ms - from_ms;
}

/* Times of the Redis clock. `epoch` is created_at in ms, the first half of the event ids. */
static void add_timing(struct buf *out, const redisReply *reply)
{
    int64_t created = field_number(reply, "epoch"), claimed = field_number(reply, "claimed_at"),
            ended = field_number(reply, "ended_at");

    timestamp_add(out, "created_at", created);
    timestamp_add(out, "started_at", claimed);
    timestamp_add(out, "ended_at", ended);
    add_known_number(out, "epoch", created);
    buf_add_text(out, ",\"timing\":{\"queued_ms\":");
    add_number_or_null(out, difference(created, claimed));
    buf_add_text(out, ",\"total_ms\":");
    add_number_or_null(out, difference(created, ended));
    buf_add_char(out, '}');
}

/* The images of a final task are part of its result. */
static void add_outcome(struct buf *out, const redisReply *reply, enum task_state state)
{
    if (!task_state_is_final(state)) {
        add_reply_json(out, "generated_images", reply, AT_IMAGES);
        add_reply_json(out, "failed_images", reply, AT_FAILED);
    } else {
        add_reply_json(out, state == TASK_DONE ? "result" : "error", reply, AT_RESULT);
    }
}

/* The JSON of a final event ends with "charged". While the task is live, only an image proves a charge. */
static const char *charged(const redisReply *reply, enum task_state state)
{
    static const struct {
        const char *answer, *end;
    } rows[] = {
        {"yes",     "\"charged\":\"yes\"}"    },
        {"unknown", "\"charged\":\"unknown\"}"},
        {"no",      "\"charged\":\"no\"}"     },
    };
    bool is_final = task_state_is_final(state);
    size_t len, end_len;
    const char *text = script_text(reply, is_final ? AT_RESULT : AT_IMAGES, &len);

    if (!text)
        return NULL;
    if (!is_final)
        return len > strlen("[]") ? "yes" : NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        end_len = strlen(rows[i].end);
        if (len > end_len && memcmp(text + len - end_len, rows[i].end, end_len) == 0)
            return rows[i].answer;
    }
    return NULL;
}

/* In the JSON of a final event, "cost" is directly before "charged". While the task is live, it is the sum of the calls that ended; absent if
 * there is none. */
static void add_cost(struct buf *out, const redisReply *reply, enum task_state state)
{
    static const char name[] = "\"cost\":", end[] = ",\"charged\":\"";
    bool is_final = task_state_is_final(state);
    size_t at = is_final ? AT_RESULT : find_field(reply, "cost"), len = 0;
    const char *text = at ? script_text(reply, at, &len) : NULL, *tail = text ? text + len : NULL, *from, *to;

    if (text && !is_final) {
        buf_add_member(out, "cost");
        buf_add(out, text, len);
    }
    if (!text || !is_final)
        return;
    from = len > COST_TAIL_MAX ? tail - COST_TAIL_MAX : text;
    from = memmem(from, (size_t)(tail - from), name, strlen(name));
    to = from ? memmem(from, (size_t)(tail - from), end, strlen(end)) : NULL;
    if (to) {
        buf_add_char(out, ',');
        buf_add(out, from, (size_t)(to - from));
    }
}

/* The ARK call in flight. Its id is the X-Client-Request-Id that ARK received. */
static void add_call(struct buf *out, const redisReply *reply)
{
    size_t at = find_field(reply, "call"), len;
    const char *id = at ? script_text(reply, at, &len) : NULL;

    if (!id)
        return;
    buf_add_text(out, ",\"call\":{\"id\":");
    buf_add_json(out, id, len);
    timestamp_add(out, "since", field_number(reply, "called_at"));
    buf_add_char(out, '}');
}

static void add_ledger(struct buf *out, const redisReply *reply, enum task_state state)
{
    const char *charge = charged(reply, state);

    add_known_number(out, "paid_calls", field_number(reply, "paid_calls"));
    add_known_number(out, "max_paid_calls", field_number(reply, "max_paid_calls"));
    add_known_number(out, "unknown_calls",
                     find_field(reply, "unknown_calls") ? field_number(reply, "unknown_calls") : 0);
    add_known_number(out, "earlier_paid_calls", field_number(reply, "earlier_paid_calls"));
    add_known_number(out, "earlier_unknown_calls", field_number(reply, "earlier_unknown_calls"));
    add_call(out, reply);
    add_cost(out, reply, state);
    if (charge)
        buf_addf(out, ",\"charged\":\"%s\"", charge);
}

static void add_webhook(struct buf *out, const redisReply *reply)
{
    size_t at = find_field(reply, "webhook"), lines = find_field(reply, "deliveries");
    const char *webhook = at ? script_text(reply, at, NULL) : NULL,
               *attempts = lines ? script_text(reply, lines, NULL) : NULL;

    if (!webhook || !attempts)
        return;
    buf_add_member(out, "webhook");
    webhook_story_write(out, webhook, attempts);
}

/* Without the closing brace. */
static void write_task(struct buf *out, const char *task_id, enum task_state state, const redisReply *reply)
{
    int64_t position;

    buf_addf(out, "{\"task_id\":\"%s\",\"status\":\"%s\"", task_id, task_state_name(state));
    if (!script_int(reply, AT_POSITION, &position) && position > 0)
        add_known_number(out, "position", position);
    add_known_number(out, "attempts", field_number(reply, "attempt"));
    add_known_number(out, "max_attempts", field_number(reply, "max_attempts"));
    add_ledger(out, reply, state);
    add_timing(out, reply);
    add_outcome(out, reply, state);
    add_webhook(out, reply);
    buf_add_char(out, ',');
    task_path_add_links(out, task_id);
}

static bool read_task_state(const redisReply *reply, enum task_state *out)
{
    size_t at = find_field(reply, "state"), len = 0;
    const char *name = at ? script_text(reply, at, &len) : NULL;

    return name && task_state_parse(name, len, out);
}

/* -- a waiting task: the state of the account says what it waits for */

struct waiting_task {
    struct http_exchange *exchange;
    struct redis_call *call;
    struct buf body; /* the response, without the closing brace */
    char model[ACCOUNT_MODEL_SIZE];
    int64_t now_ms;
};

static void waiting_task_destroy(struct waiting_task *waiting)
{
    if (waiting->call)
        redis_cancel(waiting->call);
    buf_deinit(&waiting->body);
    free(waiting);
}

static void waiting_task_on_closed(void *arg)
{
    waiting_task_destroy(arg);
}

/* If the account cannot be read, the response is sent without waiting_for. */
static void waiting_task_on_account(const redisReply *reply, int err, void *arg)
{
    struct waiting_task *waiting = arg;
    struct account account;
    const struct account_wait wait = {.account = &account, .model = waiting->model, .now_ms = waiting->now_ms};

    waiting->call = NULL;
    account_read(&account, err ? NULL : reply);
    if (account_wait_next(&wait, NULL)) {
        buf_add_text(&waiting->body, ",\"waiting_for\":");
        account_wait_write(&waiting->body, &wait);
    }
    buf_add_char(&waiting->body, '}');
    respond_json(waiting->exchange, 200, &waiting->body);
    waiting_task_destroy(waiting);
}

/* Takes ownership of the body. */
static void respond_waiting(struct http_exchange *exchange, const struct api_context *context, struct buf *body,
                            const redisReply *reply)
{
    const char *model = script_text(reply, AT_MODEL, NULL);
    struct waiting_task *waiting = calloc(1, sizeof(*waiting));

    if (!waiting) {
        buf_deinit(body);
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    waiting->exchange = exchange;
    waiting->body = *body;
    (void)snprintf(waiting->model, sizeof(waiting->model), "%s", model ? model : "");
    if (script_int(reply, AT_NOW, &waiting->now_ms) ||
        redis_send_words(context->commands, REDIS_WORDS(ACCOUNT_READ), waiting_task_on_account, waiting,
                         &waiting->call))
        waiting_task_on_account(NULL, ERR_NOT_READY, waiting);
    else
        http_exchange_on_closed(exchange, waiting_task_on_closed, waiting);
}

/* -- GET /tasks/{id}: for clients that poll */

static void task_on_reply(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    struct http_text segment = http_exchange_segment(exchange);
    char task_id[TASK_ID_MAX + 1] = "";
    enum task_state state;
    struct buf body;

    if (strcmp(script_answer(reply), "TASK") != 0) {
        respond_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
        return;
    }
    if (!read_task_state(reply, &state)) {
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, "The stored task cannot be read.");
        return;
    }
    (void)strncat(task_id, segment.data, segment.len);
    buf_init(&body, RESPONSE_MAX);
    write_task(&body, task_id, state, reply);
    if (state == TASK_QUEUED || state == TASK_DELAYED) {
        respond_waiting(exchange, arg, &body, reply);
        return;
    }
    buf_add_char(&body, '}');
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_task(struct http_exchange *exchange, void *arg)
{
    query_task(arg, exchange, SCRIPT_STATUS, NULL, task_on_reply);
}

/* -- GET /tasks/{id}/webhook: the attempts to deliver its events, also after it has expired */

void api_task_webhook(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (read_task_path(exchange, full_id))
        redis_query_send(
            context->commands, exchange,
            &(struct redis_query){.script = SCRIPT_WEBHOOK, .full_id = full_id, .answer = webhook_story_respond});
}

/* -- GET /tasks/{id}/stream: from the first event or from Last-Event-ID on */

void api_task_stream(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char full_id[TASK_FULL_ID_SIZE];
    struct stream_request request = {.full_id = full_id, .client = admission_client(exchange)};

    if (respond_if_unacceptable(exchange, "text", "event-stream") || !read_task_path(exchange, full_id))
        return;
    if (last_event_id_read(http_exchange_request(exchange), &request.resumes, &request.cursor))
        stream_open(context->streams, exchange, &request);
    else
        respond_problem(exchange, PROBLEM_INVALID_LAST_EVENT_ID, NULL);
}

/* -- POST /tasks/{id}/cancel: a waiting task ends at once, a running one is asked to stop */

static void respond_state(struct http_exchange *exchange, int status, enum task_state state)
{
    struct http_text segment = http_exchange_segment(exchange);
    struct buf body;

    buf_init(&body, STATE_RESPONSE_MAX);
    buf_addf(&body, "{\"task_id\":\"%.*s\",\"status\":\"%s\"}", (int)segment.len, segment.data, task_state_name(state));
    respond_json(exchange, status, &body);
    buf_deinit(&body);
}

static void task_on_cancelled(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const struct api_context *context = arg;
    const char *word = script_answer(reply);
    int64_t owes;

    if (!script_int(reply, 1, &owes))
        settler_poke(context->settler);
    if (strcmp(word, "CANCELLED") == 0)
        respond_state(exchange, 200, TASK_CANCELLED);
    else if (strcmp(word, "ASKED") == 0)
        respond_state(exchange, 202, TASK_RUNNING);
    else
        respond_problem(exchange, strcmp(word, "FINAL") == 0 ? PROBLEM_TASK_FINAL : PROBLEM_TASK_NOT_FOUND, NULL);
}

void api_task_cancel(struct http_exchange *exchange, void *arg)
{
    query_task(arg, exchange, SCRIPT_CANCEL, "any", task_on_cancelled);
}

/* -- DELETE /tasks/{id}: erase a final task and everything stored about it */

static void task_on_erased(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    const char *word = script_answer(reply);

    (void)unused;
    if (strcmp(word, "ERASED") == 0)
        http_respond(exchange, 204, NULL, NULL, 0);
    else
        respond_problem(exchange, strcmp(word, "LIVE") == 0 ? PROBLEM_TASK_LIVE : PROBLEM_TASK_NOT_FOUND, NULL);
}

void api_task_erase(struct http_exchange *exchange, void *arg)
{
    query_task(arg, exchange, SCRIPT_ERASE, NULL, task_on_erased);
}
