#include "worker/outbox/webhooks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/redis/script.h"
#include "common/task/task.h"
#include "common/task/task_spec.h"
#include "common/web/web.h"
#include "common/webhook/signature.h"
#include "common/webhook/verdict.h"
#include "worker/metrics/metrics.h"

enum {
    LANE_MAX = 8,
    LEASES_PER_TIMEOUT = 2, /* a lease outlives the attempt and its report */
    ANSWER_MAX = 64 << 10,
    ANSWER_REST_MS = 1000, /* for the body of an answer, after its head */
    RETRY_LATER_MS = 1000, /* out of memory */
    URL_MAX = TASK_URL_MAX,
    BODY_MAX = 1 << 20,
    HOST_SIZE = 128,
    HEADER_SIZE = 64,
    RETRY_AFTER_SIZE = 128,
};

struct webhooks {
    struct webhooks_config config;
    struct outbox_kind kind;
};

struct delivery {
    struct outbox_entry entry;
    char task[TASK_FULL_ID_SIZE], client[TASK_CLIENT_MAX + 1], host[HOST_SIZE];
    int64_t epoch, n, generation;
    char *url, *body;
    size_t body_len;
    struct web_call *call; /* NULL: over */
    int64_t started_ms;
    struct webhook_evidence evidence;
    char retry_after[RETRY_AFTER_SIZE];
};

static struct webhooks *webhooks_of(const struct delivery *delivery)
{
    return delivery->entry.kind->owner;
}

static struct delivery *delivery_of(struct outbox_entry *entry)
{
    return (struct delivery *)entry; /* its first member */
}

/* -- the end of an attempt */

static void delivery_log(const struct delivery *delivery, const struct webhook_verdict *verdict, const char *words)
{
    bool is_over = verdict->action == WEBHOOK_FAILED;

    if (verdict->action == WEBHOOK_DELIVERED) {
        log_debug("webhook", "delivered", "task=%s n=%" PRId64 " attempt=%d status=%d", delivery->task, delivery->n,
                  delivery->evidence.attempt, delivery->evidence.status);
        return;
    }
    log_line(is_over ? LOG_WARN : LOG_INFO, "webhook",
             is_over ? "delivery failed, given up" : "delivery failed, trying again",
             "task=%s n=%" PRId64 " host=%s attempt=%d code=%s status=%d delay_ms=%" PRId64 " words=\"%s\"",
             delivery->task, delivery->n, delivery->host, delivery->evidence.attempt, webhook_code_names[verdict->code],
             delivery->evidence.status, verdict->delay_ms, words);
}

static void delivery_settle(struct delivery *delivery, const struct webhook_verdict *verdict, int64_t ms)
{
    char delay[DECIMAL_SIZE], pause[DECIMAL_SIZE], status[DECIMAL_SIZE], duration[DECIMAL_SIZE];

    (void)decimal_write(delay, verdict->delay_ms);
    (void)decimal_write(pause, verdict->pause_ms);
    (void)decimal_write(status, delivery->evidence.status);
    (void)decimal_write(duration, ms);
    outbox_settle(&delivery->entry, (const char *const[]){webhook_action_name(verdict->action), delay, pause, status,
                                                          duration, webhook_code_names[verdict->code], NULL});
}

static void delivery_conclude(struct delivery *delivery, const char *words)
{
    int64_t ms = clock_monotonic_ms() - delivery->started_ms;
    struct webhook_verdict verdict;

    delivery->evidence.retry_after = delivery->retry_after;
    delivery->evidence.now_ms = clock_wall_ms();
    delivery->evidence.dice = random_unit();
    verdict = webhook_decide(&delivery->evidence);
    worker_metrics_webhook(webhooks_of(delivery)->config.metrics, verdict.code, ms);
    delivery_log(delivery, &verdict, words);
    delivery_settle(delivery, &verdict, ms);
}

/* -- the answer */

static void delivery_on_head(const struct web_head *head, void *arg)
{
    struct delivery *delivery = arg;

    delivery->evidence.status = head->status;
    (void)snprintf(delivery->retry_after, sizeof(delivery->retry_after), "%s", head->retry_after);
    web_end_within(delivery->call, ANSWER_REST_MS);
}

static void delivery_on_field(const char *name, size_t name_len, const char *value, size_t value_len, void *arg)
{
    static const char field[] = "webhook-delivery", disable[] = "disable";
    struct delivery *delivery = arg;

    if (name_len == sizeof(field) - 1 && !strncasecmp(name, field, name_len) && value_len == sizeof(disable) - 1 &&
        !strncasecmp(value, disable, value_len))
        delivery->evidence.is_disabled = true;
}

static void delivery_on_data(const char *bytes, size_t len, void *arg)
{
    (void)bytes;
    (void)len;
    (void)arg;
}

static void delivery_on_done(const struct web_outcome *outcome, void *arg)
{
    struct delivery *delivery = arg;
    bool is_answered = delivery->evidence.status;

    delivery->call = NULL;
    delivery->evidence.end = outcome->end;
    delivery->evidence.not_public = outcome->not_public;
    delivery_conclude(delivery, is_answered ? "" : outcome->words);
}

/* -- the request */

struct delivery_headers {
    char id[HEADER_SIZE], timestamp[HEADER_SIZE], signature[HEADER_SIZE + WEBHOOK_SIGNATURES_SIZE];
};

static int write_headers(const struct delivery *delivery, struct delivery_headers *out)
{
    char id[WEBHOOK_ID_SIZE], signatures[WEBHOOK_SIGNATURES_SIZE];
    struct webhook_message message = {
        .id = id, .seconds = clock_wall_ms() / 1000, .body = delivery->body, .len = delivery->body_len};
    int err = webhook_id_make(id, delivery->task, delivery->epoch, delivery->n);

    if (!err)
        err = webhook_sign_all(signatures, webhooks_of(delivery)->config.master, delivery->client,
                               (int)delivery->generation, &message);
    if (err)
        return err;
    (void)snprintf(out->id, sizeof(out->id), "webhook-id: %s", id);
    (void)snprintf(out->timestamp, sizeof(out->timestamp), "webhook-timestamp: %" PRId64, message.seconds);
    (void)snprintf(out->signature, sizeof(out->signature), "webhook-signature: %s", signatures);
    return 0;
}

static int delivery_send(struct delivery *delivery)
{
    const struct webhooks_config *config = &webhooks_of(delivery)->config;
    struct delivery_headers headers;
    const char *const lines[] = {"Content-Type: application/json", headers.id, headers.timestamp, headers.signature,
                                 NULL};
    int err = write_headers(delivery, &headers);

    if (err)
        return err;
    err = web_start(config->web,
                    &(struct web_request){
                        .url = delivery->url,
                        .headers = lines,
                        .body = delivery->body,
                        .body_len = delivery->body_len,
                        .public_only = !config->any_host,
                        .is_raw = true,
                        .first_byte_ms = config->timeout_ms,
                        .total_ms = config->timeout_ms,
                        .answer_max = ANSWER_MAX,
                        .events = {.on_head = delivery_on_head,
                                   .on_field = delivery_on_field,
                                   .on_data = delivery_on_data,
                                   .on_done = delivery_on_done,
                                   .arg = delivery}
    },
                    &delivery->call);
    if (!err)
        delivery->body = NULL; /* the client's now */
    return err;
}

static void delivery_start(struct outbox_entry *entry)
{
    struct delivery *delivery = delivery_of(entry);
    const struct webhook_verdict lost = {.action = WEBHOOK_FAILED, .code = WEBHOOK_CODE_LOST};
    int err;

    delivery->started_ms = clock_monotonic_ms();
    delivery->evidence.attempt = (int)entry->tries + 1;
    if (entry->tries >= WEBHOOK_ATTEMPTS_MAX) {
        delivery_log(delivery, &lost, "the worker of each attempt was lost");
        delivery_settle(delivery, &lost, 0);
        return;
    }
    err = delivery_send(delivery);
    if (err == ERR_SYNTAX) {
        delivery->evidence.end = WEB_NOT_SENT;
        delivery_conclude(delivery, "the URL is not valid");
    } else if (err) {
        outbox_put_off(entry, "later", RETRY_LATER_MS);
    }
}

/* -- entries */

static void delivery_destroy(struct outbox_entry *entry)
{
    struct delivery *delivery = delivery_of(entry);

    if (delivery->call)
        web_cancel(delivery->call);
    free(delivery->url);
    free(delivery->body);
    free(delivery);
}

/* element: `<n> <type> {"event":...}` of the log. The body is the event's JSON, and says which one it is. */
static int make_body(struct delivery *delivery, const char *element)
{
    const char *json = strstr(element, " {");
    struct buf body;
    int err;

    if (!json)
        return ERR_SYNTAX;
    buf_init(&body, BODY_MAX);
    buf_addf(&body, "{\"n\":%" PRId64 ",\"epoch\":%" PRId64 ",", delivery->n, delivery->epoch);
    buf_add_text(&body, json + strlen(" {"));
    err = buf_error(&body);
    delivery->body_len = body.len;
    if (!err)
        delivery->body = buf_take(&body);
    buf_deinit(&body);
    return err;
}

static bool take_text(char *out, size_t size, const char *text, size_t len)
{
    if (len >= size)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

/* A long host is cut. */
static void take_host(struct delivery *delivery)
{
    const char *host = strstr(delivery->url, "://");

    host = host ? host + strlen("://") : delivery->url;
    (void)snprintf(delivery->host, sizeof(delivery->host), "%.*s", (int)strcspn(host, "/?#"), host);
}

/* Fields: task, epoch, n, url, generation, body. */
static bool read_fields(struct delivery *delivery, const redisReply *reply)
{
    size_t task_len = 0, url_len = 0;
    const char *task = script_text(reply, OUTBOX_FIELDS, &task_len);
    const char *url = script_text(reply, OUTBOX_FIELDS + 3, &url_len),
               *body = script_text(reply, OUTBOX_FIELDS + 5, NULL);
    const char *dot = task ? memchr(task, '.', task_len) : NULL;

    if (!dot || !url || !body || url_len > URL_MAX || script_int(reply, OUTBOX_FIELDS + 1, &delivery->epoch) ||
        script_int(reply, OUTBOX_FIELDS + 2, &delivery->n) ||
        script_int(reply, OUTBOX_FIELDS + 4, &delivery->generation) || delivery->generation < 1 ||
        delivery->generation > WEBHOOK_GENERATION_MAX)
        return false;
    delivery->url = strdup(url);
    if (!delivery->url || !take_text(delivery->task, sizeof(delivery->task), task, task_len) ||
        !take_text(delivery->client, sizeof(delivery->client), task, (size_t)(dot - task)))
        return false;
    take_host(delivery);
    return !make_body(delivery, body);
}

static struct outbox_entry *delivery_create(const redisReply *reply, void *owner)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    (void)owner;
    if (!delivery)
        return NULL;
    if (read_fields(delivery, reply))
        return &delivery->entry;
    delivery_destroy(&delivery->entry);
    return NULL;
}

static int webhooks_room(int busy, void *owner)
{
    const struct webhooks *webhooks = owner;

    return webhooks->config.concurrency - busy;
}

/* A request that was sent may have been received: it is not cut, so that its receiver does not get it twice. */
static bool delivery_stop(struct outbox_entry *entry)
{
    (void)entry;
    return false;
}

struct webhooks *webhooks_create(const struct webhooks_config *config)
{
    struct webhooks *webhooks = calloc(1, sizeof(*webhooks));

    if (!webhooks)
        return NULL;
    webhooks->config = *config;
    webhooks->kind = (struct outbox_kind){.queue = "webhooks",
                                          .lane_most = LANE_MAX,
                                          .lease_ms = LEASES_PER_TIMEOUT * config->timeout_ms,
                                          .room = webhooks_room,
                                          .create = delivery_create,
                                          .start = delivery_start,
                                          .stop = delivery_stop,
                                          .destroy = delivery_destroy,
                                          .owner = webhooks};
    return webhooks;
}

struct webhooks *webhooks_destroy(struct webhooks *webhooks)
{
    free(webhooks);
    return NULL;
}

const struct outbox_kind *webhooks_kind(const struct webhooks *webhooks)
{
    return &webhooks->kind;
}
