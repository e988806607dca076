#include "gateway/keys/admission.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "common/clock.h"
#include "common/decimal.h"
#include "common/keys.h"
#include "common/log.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/keys/allowance.h"
#include "gateway/keys/bearer.h"
#include "gateway/keys/client.h"
#include "gateway/keys/keyring.h"
#include "gateway/keys/keyset.h"
#include "gateway/store.h"

struct client *admission_client(const struct http_exchange *exchange)
{
    struct client *client = http_exchange_note(exchange);

    assert(client);
    return client;
}

/* -- who */

static bool is_api(struct http_text path)
{
    size_t len = strlen(API_BASE);

    return path.len >= len && memcmp(path.data, API_BASE, len) == 0 && (path.len == len || path.data[len] == '/');
}

/* NULL: it has no right key. */
static struct client *identify(const struct gateway *gateway, const struct http_request *request)
{
    if (!gateway->keys)
        return keyring_public(gateway->config.keyring);
    return keyset_find(gateway->keys, bearer_token(request), clock_wall_ms());
}

/* -- how often */

static void on_limit(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    bool passes = strcmp(script_answer(reply), "OK") == 0;
    int64_t left, reset_ms;

    (void)arg;
    if (script_int(reply, 1, &left) || script_int(reply, 2, &reset_ms)) {
        answer_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    allowance_add_requests(exchange, left, reset_ms);
    if (passes) {
        http_exchange_resume(exchange);
        return;
    }
    log_debug("admission", "too many requests", "client=%s request_id=%s", admission_client(exchange)->name,
              http_exchange_request_id(exchange));
    answer_problem_after(exchange, PROBLEM_RATE_LIMITED, reset_ms);
}

static void ask_limit(const struct gateway *gateway, struct http_exchange *exchange, int64_t most)
{
    char prefix[KEYS_CLIENT_SIZE], number[DECIMAL_SIZE];

    keys_client(prefix, admission_client(exchange)->name);
    (void)decimal_write(number, most);
    http_exchange_hold(exchange);
    store_ask(gateway->commands, exchange,
              &(struct store_question){.script = SCRIPT_LIMIT, .prefix = prefix, .args = {number}, .answer = on_limit});
}

void admission_guard(const struct gateway *gateway, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    struct client *client;
    int64_t most;

    if (!is_api(request->path) || request->method == HTTP_OPTIONS)
        return;
    client = identify(gateway, request);
    if (!client) {
        bearer_refuse(exchange);
        return;
    }
    http_exchange_set_note(exchange, client);
    allowance_add_policy(exchange, client);
    most = client_limit(client, CLIENT_REQUESTS);
    if (most)
        ask_limit(gateway, exchange, most);
}
