#include "gateway/api/openai/repeats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/random.h"
#include "common/base/sha256.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "common/redis/script.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "gateway/request/headers.h"

enum { RETRY_DIGITS_MAX = 9 };

/* -- identity */

static bool says_retry(const struct http_request *request)
{
    struct http_text count = http_request_header(request, "X-Stainless-Retry-Count");

    if (!count.len || count.len > RETRY_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < count.len; i++)
        if (count.data[i] < '0' || count.data[i] > '9')
            return false;
    for (size_t i = 0; i < count.len; i++)
        if (count.data[i] != '0')
            return true;
    return false;
}

/* <client>.<hash> */
static int read_hash(char out[ORDER_HASH_SIZE], const char *client, const char *text)
{
    char hash[TASK_HASH_SIZE];
    int err = task_spec_hash(hash, text);

    if (!err)
        (void)snprintf(out, ORDER_HASH_SIZE, "%s.%s", client, hash);
    return err;
}

/* -> the key's hash, and the order's id. */
static int read_key(struct order_identity *out, const char *client, struct http_text key)
{
    unsigned char digest[SHA256_SIZE];
    char *text;
    int err;

    if (!key.len) {
        random_hex(out->id, ORDER_ID_BYTES);
        return 0;
    }
    text = strndup(key.data, key.len);
    err = !text ? ERR_NO_MEMORY : read_hash(out->key, client, text);
    free(text);
    if (!err)
        err = sha256(digest, key.data, key.len);
    for (size_t i = 0; !err && i < ORDER_ID_BYTES; i++)
        (void)snprintf(out->id + 2 * i, 3, "%02x", digest[i]);
    return err;
}

int order_identity_make(struct order_identity *out, const struct http_request *request, const char *client,
                        const char *body)
{
    struct order_identity identity = {.is_retry = says_retry(request)};
    int err = read_key(&identity, client, idempotency_key_read(request));

    if (!err)
        err = read_hash(identity.body, client, body);
    if (!err)
        *out = identity;
    return err;
}

void order_task_id(char out[TASK_ID_MAX + 1], const struct order_identity *identity, size_t index, size_t count)
{
    if (count == 1)
        (void)snprintf(out, TASK_ID_MAX + 1, "img-%s", identity->id);
    else
        (void)snprintf(out, TASK_ID_MAX + 1, "img-%s-%zu", identity->id, index);
}

/* -- DELIVERY */

/* A report that waits for Redis. */
struct kept_report {
    STAILQ_ENTRY(kept_report) link;
    struct order_identity identity;
    enum order_delivery delivery;
    int64_t at_ms; /* monotonic */
};

static void delivery_on_reply(const redisReply *reply, int err, void *unused)
{
    (void)unused;
    if (err || reply->type == REDIS_REPLY_ERROR)
        log_warn("openai", "cannot record whether an answer was delivered", "error=%s",
                 err ? "Redis is away" : reply->str);
}

static int send_report(const struct repeats *repeats, const struct order_identity *identity,
                       enum order_delivery delivery)
{
    static const char *const words[] = {[ORDER_ANSWERED] = "answered", [ORDER_UNANSWERED] = "unanswered"};
    char prefix[KEYS_PREFIX_SIZE], window[DECIMAL_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(identity->body),
        SCRIPT_TEXT(identity->id),
        SCRIPT_TEXT(words[delivery]),
        {window, decimal_write(window, repeats->window_ms)},
    };
    const struct script_call call = {
        .script = &scripts[SCRIPT_DELIVERY], .prefix = prefix, .args = args, .count = ARRAY_LENGTH(args)};

    keys_prefix(prefix, 0);
    return script_run(repeats->commands, &call, delivery_on_reply, NULL, NULL);
}

static void keep_report(struct repeats *repeats, const struct order_identity *identity, enum order_delivery delivery)
{
    struct kept_report *report = repeats->kept_count < REPORTS_KEPT_MAX ? malloc(sizeof(*report)) : NULL;

    if (!report) {
        log_warn("openai", "cannot record whether an answer was delivered", "error=not connected to Redis");
        return;
    }
    *report = (struct kept_report){.identity = *identity, .delivery = delivery, .at_ms = clock_monotonic_ms()};
    STAILQ_INSERT_TAIL(&repeats->kept, report, link);
    repeats->kept_count++;
}

void repeats_report(struct repeats *repeats, const struct order_identity *identity, enum order_delivery delivery)
{
    if (identity->key[0])
        return; /* it is found by its key */
    if (send_report(repeats, identity, delivery))
        keep_report(repeats, identity, delivery);
}

static void drop_first_report(struct repeats *repeats)
{
    struct kept_report *report = STAILQ_FIRST(&repeats->kept);

    STAILQ_REMOVE_HEAD(&repeats->kept, link);
    repeats->kept_count--;
    free(report);
}

/* In their order: the last report of an order counts. */
void repeats_on_commands_ready(struct repeats *repeats)
{
    int64_t oldest_ms = clock_monotonic_ms() - repeats->window_ms;

    while (!STAILQ_EMPTY(&repeats->kept)) {
        const struct kept_report *report = STAILQ_FIRST(&repeats->kept);

        if (report->at_ms >= oldest_ms && send_report(repeats, &report->identity, report->delivery))
            return; /* Redis is away again */
        drop_first_report(repeats);
    }
}

void repeats_init(struct repeats *repeats, struct redis *commands, int64_t window_ms)
{
    *repeats = (struct repeats){.commands = commands, .window_ms = window_ms};
    STAILQ_INIT(&repeats->kept);
}

void repeats_deinit(struct repeats *repeats)
{
    while (!STAILQ_EMPTY(&repeats->kept))
        drop_first_report(repeats);
}

struct answer {
    struct repeats *repeats; /* borrowed: the server, which owns all deliveries, is destroyed first */
    struct order_identity identity;
};

static void answer_on_delivered(bool whole, void *arg)
{
    struct answer *answer = arg;

    if (!whole)
        repeats_report(answer->repeats, &answer->identity, ORDER_UNANSWERED);
    free(answer);
}

void repeats_answered(struct repeats *repeats, const struct order_identity *identity, struct http_exchange *exchange)
{
    struct answer *answer = malloc(sizeof(*answer));

    repeats_report(repeats, identity, ORDER_ANSWERED);
    if (!answer)
        return;
    *answer = (struct answer){repeats, *identity};
    http_exchange_on_delivered(exchange, answer_on_delivered, answer);
}
