/* /admin/webhooks: the deliveries of all clients, what operators do with them, and a sample for one receiver
 *
 * Each request runs one script. What changes deliveries is logged.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/decimal.h"
#include "common/base/json_text.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/http/server.h"
#include "common/task/task.h"
#include "gateway/access/client.h"
#include "gateway/access/keyring.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/admin/full_id.h"
#include "gateway/api/context.h"
#include "gateway/api/webhook_story.h"
#include "gateway/request/url_check.h"
#include "gateway/request/validate.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"
#include "gateway/response/timestamp.h"

#define LISTED      "100"  /* lanes, and failed deliveries */
#define RESENT_MAX  "1000" /* of one request */
#define TEST_PREFIX "webhook-test-"

enum { RESPONSE_MAX = 1024 * 1024, SMALL_RESPONSE_MAX = 1024, RANDOM_BYTES = 8 };

/* -- GET /admin/webhooks */

enum { AT_NOW, AT_WAITING, AT_FAILING, AT_SINCE, AT_FAILED, AT_LANES, AT_FAILURES };
enum { LANE_NAME, LANE_WAITING, LANE_RUNNING, LANE_FAILURES, LANE_SINCE, LANE_PAUSED_UNTIL, LANE_NEXT };
enum { FAILURE_AT, FAILURE_CODE, FAILURE_TRIES, FAILURE_TASK, FAILURE_EPOCH, FAILURE_N, FAILURE_URL };

static int64_t number_at(const redisReply *row, size_t at)
{
    int64_t number;

    return script_int(row, at, &number) ? 0 : number;
}

static void add_time(struct buf *out, const char *name, int64_t ms)
{
    timestamp_add(out, name, ms > 0 ? ms : -1);
}

static void add_text_at(struct buf *out, const char *name, const redisReply *row, size_t at)
{
    size_t len = 0;
    const char *text = script_text(row, at, &len);

    buf_add_text_member(out, name, text ? text : "", len);
}

/* A lane is <client>.<host and port>. */
static void add_lane(struct buf *out, const redisReply *row)
{
    size_t len = 0;
    const char *text = script_text(row, LANE_NAME, &len), *name = text ? text : ".";
    const char *found = memchr(name, '.', len), *dot = found ? found : name;

    len = found ? len : 1;
    buf_add_char(out, '{');
    buf_add_text_member(out, "client", name, (size_t)(dot - name));
    buf_add_text_member(out, "host", dot + 1, len - (size_t)(dot + 1 - name));
    buf_add_int_member(out, "waiting", number_at(row, LANE_WAITING));
    buf_add_int_member(out, "running", number_at(row, LANE_RUNNING));
    buf_add_int_member(out, "failures", number_at(row, LANE_FAILURES));
    add_time(out, "failing_since", number_at(row, LANE_SINCE));
    add_time(out, "paused_until", number_at(row, LANE_PAUSED_UNTIL));
    add_time(out, "next_at", number_at(row, LANE_NEXT));
    buf_add_char(out, '}');
}

static void add_failure(struct buf *out, const redisReply *row)
{
    buf_add_char(out, '{');
    add_text_at(out, "id", row, FAILURE_TASK);
    buf_addf(out, ",\"event_id\":\"%" PRId64 "-%" PRId64 "\"", number_at(row, FAILURE_EPOCH),
             number_at(row, FAILURE_N));
    add_text_at(out, "url", row, FAILURE_URL);
    add_text_at(out, "outcome", row, FAILURE_CODE);
    buf_add_int_member(out, "attempts", number_at(row, FAILURE_TRIES));
    add_time(out, "failed_at", number_at(row, FAILURE_AT));
    buf_add_char(out, '}');
}

static void add_rows(struct buf *out, const redisReply *rows, void (*add)(struct buf *out, const redisReply *row))
{
    for (size_t i = 0; rows && i < rows->elements; i++) {
        if (i)
            buf_add_char(out, ',');
        add(out, rows->element[i]);
    }
}

static void webhooks_on_reply(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    struct buf body;

    (void)unused;
    buf_init(&body, RESPONSE_MAX);
    buf_addf(&body, "{\"waiting\":%" PRId64 ",\"failing\":%" PRId64, number_at(reply, AT_WAITING),
             number_at(reply, AT_FAILING));
    add_time(&body, "failing_since", number_at(reply, AT_SINCE));
    buf_addf(&body, ",\"failed\":%" PRId64 ",\"lanes\":[", number_at(reply, AT_FAILED));
    add_rows(&body, script_array(reply, AT_LANES), add_lane);
    buf_add_text(&body, "],\"failed_deliveries\":[");
    add_rows(&body, script_array(reply, AT_FAILURES), add_failure);
    buf_add_text(&body, "]}");
    respond_json(exchange, 200, &body);
    buf_deinit(&body);
}

void api_admin_webhooks(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;

    redis_query_send(context->commands, exchange,
                     &(struct redis_query){
                         .script = SCRIPT_WEBHOOKS, .args = {LISTED, LISTED},
                              .answer = webhooks_on_reply
    });
}

/* -- POST /admin/webhooks/resend and /admin/tasks/{id}/resend */

static void webhooks_on_resent(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    struct buf body;

    (void)unused;
    if (strcmp(script_answer(reply), "RESENT") != 0) {
        respond_problem(exchange, PROBLEM_WEBHOOK_NOT_FOUND, NULL);
        return;
    }
    log_info("admin", "webhooks are sent again", "count=%" PRId64 " request_id=%s", number_at(reply, 1),
             http_exchange_request_id(exchange));
    buf_init(&body, SMALL_RESPONSE_MAX);
    buf_addf(&body, "{\"resent\":%" PRId64 ",\"failed\":%" PRId64 "}", number_at(reply, 1), number_at(reply, 2));
    respond_json(exchange, 202, &body);
    buf_deinit(&body);
}

void api_admin_resend_failed(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;

    redis_query_send(context->commands, exchange,
                     &(struct redis_query){
                         .script = SCRIPT_RESEND, .args = {"", RESENT_MAX},
                              .answer = webhooks_on_resent
    });
}

void api_admin_resend(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (admin_read_full_id(exchange, full_id))
        redis_query_send(
            context->commands, exchange,
            &(struct redis_query){.script = SCRIPT_RESEND, .full_id = full_id, .answer = webhooks_on_resent});
}

/* -- GET /admin/tasks/{id}/webhook: also of a task that has expired, and of a sample */

void api_admin_task_webhook(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    char full_id[TASK_FULL_ID_SIZE];

    if (admin_read_full_id(exchange, full_id))
        redis_query_send(
            context->commands, exchange,
            &(struct redis_query){.script = SCRIPT_WEBHOOK, .full_id = full_id, .answer = webhook_story_respond});
}

/* -- POST /admin/webhooks/test {"url":...,"client":...} */

struct sample {
    const char *url;
    struct client_webhook webhook; /* of the client whose secret signs */
    char full_id[TASK_FULL_ID_SIZE];
};

/* False: an error was added. */
static bool sample_read_url(const struct api_context *context, const json_t *value, struct sample *out,
                            struct validate_errors *errors)
{
    enum url_flaw flaw = URL_EMPTY;

    if (context->webhooks == WEBHOOKS_OFF) {
        validate_complain(errors, "/url", "is not available: this server has no WEBHOOK_SECRET");
        return false;
    }
    if (json_is_string(value))
        flaw = url_check_webhook(json_string_value(value), json_string_length(value),
                                 context->webhooks == WEBHOOKS_ANY_HOST);
    if (flaw)
        validate_complain(errors, "/url", "%s", url_flaw_text(flaw));
    out->url = json_string_value(value);
    return !flaw;
}

static bool sample_read_client(const struct api_context *context, const json_t *value, struct sample *out,
                               struct validate_errors *errors)
{
    const char *name = value ? json_string_value(value) : TASK_CLIENT_PUBLIC;
    struct client *client = name ? keyring_client(context->keyring, name) : NULL;
    char task_id[sizeof(TEST_PREFIX) + 2 * RANDOM_BYTES] = TEST_PREFIX;

    if (!client) {
        validate_complain(errors, "/client", "must be the name of a client in the keys file, or public without one");
        return false;
    }
    client_get_webhook(client, &out->webhook);
    random_hex(task_id + strlen(TEST_PREFIX), RANDOM_BYTES);
    task_full_id(out->full_id, client->name, task_id);
    return true;
}

static void webhooks_on_test(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const char *full_id = script_text(reply, 1, NULL);
    struct buf body;

    (void)arg;
    if (!full_id) {
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    log_info("admin", "sample webhook is sent", "id=%s request_id=%s", full_id, http_exchange_request_id(exchange));
    buf_init(&body, SMALL_RESPONSE_MAX);
    buf_addf(&body, "{\"id\":\"%s\"}", full_id);
    respond_json(exchange, 202, &body);
    buf_deinit(&body);
}

static void sample_send(const struct api_context *context, struct http_exchange *exchange, const struct sample *sample)
{
    char generation[DECIMAL_SIZE], data[SMALL_RESPONSE_MAX];

    (void)decimal_write(generation, sample->webhook.generation);
    (void)snprintf(data, sizeof(data), "{\"task_id\":\"%s\",\"message\":\"This is a test.\"}",
                   task_id_of(sample->full_id));
    redis_query_send(context->commands, exchange,
                     &(struct redis_query){
                         .script = SCRIPT_WEBHOOK_TEST,
                         .full_id = sample->full_id,
                         .args = {sample->url, generation, data},
                         .answer = webhooks_on_test
    });
}

void api_admin_webhook_test(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    const struct http_request *request = http_exchange_request(exchange);
    struct validate_errors errors;
    struct sample sample;
    bool is_valid;
    json_t *root;
    int err;

    validate_begin(&errors);
    err = validate_parse(request->body.data, request->body.len, &root, &errors);
    if (err) {
        respond_problem(exchange, err == ERR_SYNTAX ? PROBLEM_INVALID_JSON : PROBLEM_INTERNAL,
                        err == ERR_SYNTAX ? errors.syntax : NULL);
        return;
    }
    is_valid = sample_read_url(context, json_object_get(root, "url"), &sample, &errors);
    is_valid = sample_read_client(context, json_object_get(root, "client"), &sample, &errors) && is_valid;
    if (is_valid)
        sample_send(context, exchange, &sample);
    else
        respond_field_errors(exchange, errors.fields, errors.count);
    json_decref(root);
}
