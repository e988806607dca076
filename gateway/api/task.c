/* GET /tasks/{id}: what is known of a task, for clients that do not stream */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/redis/client.h"
#include "gateway/account.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/api/task_path.h"
#include "gateway/gateway.h"
#include "gateway/store.h"
#include "gateway/timestamp.h"

enum {
    ANSWER_MAX = 96 * 1024 * 1024, /* pictures may be in it */
    AT_POSITION = 1,               /* elements of STATUS's answer */
    AT_IMAGES,
    AT_FAILED,
    AT_RESULT,
    AT_NOW,
    AT_MODEL,
    AT_FIELDS, /* name, value, name, value ... */
};

/* Where the value of a field of the task's hash stands in the answer; 0 when it has none. */
static size_t find(const redisReply *reply, const char *name)
{
    return script_field(reply, AT_FIELDS, name);
}

/* -1 when there is none. */
static int64_t number(const redisReply *reply, const char *name)
{
    size_t at = find(reply, name);
    int64_t value;

    return at && !script_int(reply, at, &value) ? value : -1;
}

static void add_number(struct buf *out, const char *name, int64_t value)
{
    if (value >= 0)
        buf_addf(out, ",\"%s\":%" PRId64, name, value);
}

static void add_number_or_null(struct buf *out, int64_t value)
{
    if (value >= 0)
        buf_add_int(out, value);
    else
        buf_add_text(out, "null");
}

static void add_json(struct buf *out, const char *name, const redisReply *reply, size_t at)
{
    size_t len;
    const char *json = script_text(reply, at, &len);

    if (!json || !len)
        return;
    buf_addf(out, ",\"%s\":", name);
    buf_add(out, json, len);
}

static int64_t difference(int64_t from_ms, int64_t to_ms)
{
    return from_ms < 0 || to_ms < 0 ? -1 : to_ms - from_ms;
}

/* All by the clock of Redis. `epoch` is created_at as events know it: the first half of their ids. */
static void add_timing(struct buf *out, const redisReply *reply)
{
    int64_t created = number(reply, "epoch"), claimed = number(reply, "claimed_at"), ended = number(reply, "ended_at");

    timestamp_add(out, "created_at", created);
    timestamp_add(out, "started_at", claimed);
    timestamp_add(out, "ended_at", ended);
    add_number(out, "epoch", created);
    buf_add_text(out, ",\"timing\":{\"queued_ms\":");
    add_number_or_null(out, difference(created, claimed));
    buf_add_text(out, ",\"total_ms\":");
    add_number_or_null(out, difference(created, ended));
    buf_add_char(out, '}');
}

/* A final task's images are in its result. */
static void add_outcome(struct buf *out, const redisReply *reply, enum task_state state)
{
    if (!task_state_is_final(state)) {
        add_json(out, "generated_images", reply, AT_IMAGES);
        add_json(out, "failed_images", reply, AT_FAILED);
    } else {
        add_json(out, state == TASK_DONE ? "result" : "error", reply, AT_RESULT);
    }
}

/* A final event's data ends with what was charged. While the task lives, only an image proves anything. */
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
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        end_len = strlen(rows[i].end);
        if (len > end_len && memcmp(text + len - end_len, rows[i].end, end_len) == 0)
            return rows[i].answer;
    }
    return NULL;
}

/* The call that is open now: its id is the X-Client-Request-Id that ARK got. */
static void add_call(struct buf *out, const redisReply *reply)
{
    size_t at = find(reply, "call"), len;
    const char *id = at ? script_text(reply, at, &len) : NULL;

    if (!id)
        return;
    buf_add_text(out, ",\"call\":{\"id\":");
    buf_add_json(out, id, len);
    timestamp_add(out, "since", number(reply, "called_at"));
    buf_add_char(out, '}');
}

static void add_ledger(struct buf *out, const redisReply *reply, enum task_state state)
{
    const char *charge = charged(reply, state);

    add_number(out, "paid_calls", number(reply, "paid_calls"));
    add_number(out, "max_paid_calls", number(reply, "max_paid_calls"));
    add_number(out, "unknown_calls", find(reply, "unknown_calls") ? number(reply, "unknown_calls") : 0);
    add_number(out, "earlier_paid_calls", number(reply, "earlier_paid_calls"));
    add_number(out, "earlier_unknown_calls", number(reply, "earlier_unknown_calls"));
    add_call(out, reply);
    if (charge)
        buf_addf(out, ",\"charged\":\"%s\"", charge);
}

/* All but the object's end. */
static void write_task(struct buf *out, const char *task_id, enum task_state state, const redisReply *reply)
{
    int64_t position;

    buf_addf(out, "{\"task_id\":\"%s\",\"status\":\"%s\"", task_id, task_state_name(state));
    if (!script_int(reply, AT_POSITION, &position) && position > 0)
        add_number(out, "position", position);
    add_number(out, "attempts", number(reply, "attempt"));
    add_number(out, "max_attempts", number(reply, "max_attempts"));
    add_ledger(out, reply, state);
    add_timing(out, reply);
    add_outcome(out, reply, state);
    buf_add_char(out, ',');
    task_path_add_links(out, task_id);
}

static bool read_state(const redisReply *reply, enum task_state *out)
{
    size_t at = find(reply, "state"), len = 0;
    const char *name = at ? script_text(reply, at, &len) : NULL;

    return name && task_state_parse(name, len, out);
}

/* -- a task that waits: the account's books say whether anything holds it up */

struct waiting {
    struct http_exchange *exchange;
    struct redis_call *call;
    struct buf body; /* an object without its end */
    char model[ACCOUNT_MODEL_SIZE];
    int64_t now_ms;
};

static void waiting_destroy(struct waiting *waiting)
{
    if (waiting->call)
        redis_cancel(waiting->call);
    buf_deinit(&waiting->body);
    free(waiting);
}

static void on_waiting_client_gone(void *arg)
{
    waiting_destroy(arg);
}

static void on_books(const redisReply *reply, int err, void *arg)
{
    struct waiting *waiting = arg;
    struct account account;
    const struct account_wait wait = {.account = &account, .model = waiting->model, .now_ms = waiting->now_ms};

    waiting->call = NULL;
    account_read(&account, err ? NULL : reply);
    if (account_wait_next(&wait, NULL)) {
        buf_add_text(&waiting->body, ",\"waiting_for\":");
        account_wait_write(&waiting->body, &wait);
    }
    buf_add_char(&waiting->body, '}');
    answer_json(waiting->exchange, 200, &waiting->body);
    waiting_destroy(waiting);
}

/* Takes the body. */
static void answer_waiting(struct http_exchange *exchange, const struct gateway *gateway, struct buf *body,
                           const redisReply *reply)
{
    const char *model = script_text(reply, AT_MODEL, NULL);
    struct waiting *waiting = calloc(1, sizeof(*waiting));

    if (!waiting) {
        buf_deinit(body);
        answer_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    waiting->exchange = exchange;
    waiting->body = *body;
    (void)snprintf(waiting->model, sizeof(waiting->model), "%s", model ? model : "");
    if (script_int(reply, AT_NOW, &waiting->now_ms) ||
        redis_send_words(gateway->commands, REDIS_WORDS(ACCOUNT_READ), on_books, waiting, &waiting->call))
        on_books(NULL, ERR_NOT_READY, waiting);
    else
        http_exchange_on_closed(exchange, on_waiting_client_gone, waiting);
}

static void on_answer(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    struct http_text segment = http_exchange_segment(exchange);
    char task_id[TASK_ID_MAX + 1] = "";
    enum task_state state;
    struct buf body;

    if (strcmp(script_answer(reply), "TASK") != 0) {
        answer_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
        return;
    }
    if (!read_state(reply, &state)) {
        answer_problem(exchange, PROBLEM_STORE_UNAVAILABLE, "The stored task cannot be read.");
        return;
    }
    (void)strncat(task_id, segment.data, segment.len);
    buf_init(&body, ANSWER_MAX);
    write_task(&body, task_id, state, reply);
    if (state == TASK_QUEUED || state == TASK_DELAYED) {
        answer_waiting(exchange, arg, &body, reply);
        return;
    }
    buf_add_char(&body, '}');
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_task(struct http_exchange *exchange, void *arg)
{
    struct gateway *gateway = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (task_path_read(exchange, full_id))
        store_ask(
            gateway->commands, exchange,
            &(struct store_question){.script = SCRIPT_STATUS, .full_id = full_id, .answer = on_answer, .arg = gateway});
}
