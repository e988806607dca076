#include "gateway/api/openai/repeats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
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

enum { IDS_MAX = 10 * (TASK_ID_MAX + 1), RETRY_DIGITS_MAX = 9 };

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

/* -> the key's hash, and the order's id. */
static int read_key(struct order_identity *out, struct http_text key)
{
    unsigned char digest[SHA256_SIZE];
    char *text;
    int err;

    if (!key.len) {
        random_hex(out->order_id, ORDER_ID_BYTES);
        return 0;
    }
    text = strndup(key.data, key.len);
    err = !text ? ERR_NO_MEMORY : task_spec_hash(out->key, text);
    free(text);
    if (!err)
        err = sha256(digest, key.data, key.len);
    for (size_t i = 0; !err && i < ORDER_ID_BYTES; i++)
        (void)snprintf(out->order_id + 2 * i, 3, "%02x", digest[i]);
    return err;
}

int order_identity_make(struct order_identity *out, const struct http_request *request, const char *client,
                        const char *body, size_t count)
{
    struct order_identity identity = {.count = count, .is_retry = says_retry(request)};
    int err = read_key(&identity, idempotency_key_read(request));

    if (!err)
        err = task_spec_hash(identity.body, body);
    if (err)
        return err;
    (void)strncat(identity.client, client, sizeof(identity.client) - 1);
    *out = identity;
    return 0;
}

void order_task_id(char out[TASK_ID_MAX + 1], const struct order_identity *identity, size_t index)
{
    if (identity->count == 1)
        (void)snprintf(out, TASK_ID_MAX + 1, "img-%s", identity->order_id);
    else
        (void)snprintf(out, TASK_ID_MAX + 1, "img-%s-%zu", identity->order_id, index);
}

/* -- ORDER */

struct repeat_call {
    struct repeats repeats;
    struct order_identity identity;
    struct script_run *run;
    repeat_fn *done; /* NULL after repeats_cancel */
    void *arg;
};

static enum repeat_outcome repeat_outcome_of(const redisReply *reply)
{
    static const struct {
        const char *word;
        enum repeat_outcome outcome;
    } words[] = {
        {"NEW",      REPEAT_NEW     },
        {"SAME",     REPEAT_FOUND   },
        {"CONFLICT", REPEAT_CONFLICT},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcmp(script_answer(reply), words[i].word) == 0)
            return words[i].outcome;
    return REPEAT_FAILED;
}

static enum repeat_outcome read_answer(struct order_identity *identity, const redisReply *reply)
{
    enum repeat_outcome outcome = repeat_outcome_of(reply);
    const char *order_id = outcome == REPEAT_FOUND ? script_text(reply, 1, NULL) : NULL;

    if (outcome != REPEAT_FOUND)
        return outcome;
    if (!order_id || strlen(order_id) != ORDER_ID_SIZE - 1)
        return REPEAT_FAILED;
    memcpy(identity->order_id, order_id, ORDER_ID_SIZE);
    identity->is_known = true;
    return outcome;
}

static void repeat_on_reply(const redisReply *reply, int err, void *arg)
{
    struct repeat_call *call = arg;
    enum repeat_outcome outcome = err ? REPEAT_FAILED : read_answer(&call->identity, reply);

    if (reply && reply->type == REDIS_REPLY_ERROR)
        log_warn("openai", "Redis returned an error", "order=%s error=%s", call->identity.order_id, reply->str);
    if (call->done)
        call->done(outcome, &call->identity, call->arg);
    else if (outcome == REPEAT_FOUND || outcome == REPEAT_NEW)
        repeats_report(&call->repeats, &call->identity, outcome == REPEAT_NEW ? ORDER_REFUSED : ORDER_UNANSWERED);
    free(call);
}

static int send_question(struct repeat_call *call)
{
    const struct order_identity *identity = &call->identity;
    char prefix[KEYS_CLIENT_SIZE], count[DECIMAL_SIZE], window[DECIMAL_SIZE], lifetime[DECIMAL_SIZE],
        id[TASK_ID_MAX + 1];
    struct buf ids;
    int err;

    buf_init(&ids, IDS_MAX);
    for (size_t i = 0; i < identity->count; i++) {
        order_task_id(id, identity, i);
        buf_addf(&ids, "%s%s", i ? " " : "", id);
    }
    keys_client(prefix, identity->client);
    {
        const struct script_arg args[] = {
            SCRIPT_TEXT(identity->body),
            SCRIPT_TEXT(identity->key),
            SCRIPT_TEXT(identity->is_retry ? "1" : "0"),
            SCRIPT_TEXT(identity->order_id),
            {count,                   decimal_write(count,        (int64_t)identity->count)},
            {buf_text(&ids),          ids.len                   },
            {window,   decimal_write(window,   call->repeats.window_ms)                         },
            {lifetime, decimal_write(lifetime, call->repeats.lifetime_ms)},
        };

        err = buf_error(&ids) ? ERR_NO_MEMORY
                              : script_run(call->repeats.commands,
                                           &(struct script_call){.script = &scripts[SCRIPT_ORDER],
                                                                 .prefix = prefix,
                                                                 .args = args,
                                                                 .count = ARRAY_LENGTH(args)},
                                           repeat_on_reply, call, &call->run);
    }
    buf_deinit(&ids);
    return err;
}

int repeats_ask(const struct repeats *repeats, const struct order_identity *identity, repeat_fn *done, void *arg,
                struct repeat_call **out)
{
    struct repeat_call *call = calloc(1, sizeof(*call));
    int err;

    if (!call)
        return ERR_NO_MEMORY;
    *call = (struct repeat_call){.repeats = *repeats, .identity = *identity, .done = done, .arg = arg};
    err = send_question(call);
    if (err)
        free(call);
    else
        *out = call;
    return err;
}

void repeats_cancel(struct repeat_call *call)
{
    if (call)
        call->done = NULL;
}

/* -- DELIVERY */

static void delivery_on_reply(const redisReply *reply, int err, void *unused)
{
    (void)unused;
    if (err || reply->type == REDIS_REPLY_ERROR)
        log_warn("openai", "cannot record whether an answer was delivered", "error=%s",
                 err ? "Redis is away" : reply->str);
}

void repeats_report(const struct repeats *repeats, const struct order_identity *identity, enum order_delivery delivery)
{
    static const char *const words[] = {
        [ORDER_ANSWERED] = "answered", [ORDER_UNANSWERED] = "unanswered", [ORDER_REFUSED] = "refused"};
    char prefix[KEYS_CLIENT_SIZE], window[DECIMAL_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(identity->body),
        SCRIPT_TEXT(identity->key),
        SCRIPT_TEXT(identity->order_id),
        SCRIPT_TEXT(words[delivery]),
        {window, decimal_write(window, repeats->window_ms)},
    };

    if (identity->key[0] && delivery != ORDER_REFUSED)
        return; /* it is found by its key */
    keys_client(prefix, identity->client);
    if (script_run(
            repeats->commands,
            &(struct script_call){
                .script = &scripts[SCRIPT_DELIVERY], .prefix = prefix, .args = args, .count = ARRAY_LENGTH(args)},
            delivery_on_reply, NULL, NULL))
        log_warn("openai", "cannot record whether an answer was delivered", "error=not connected to Redis");
}
