#include "gateway/access/admission.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/task/keys.h"
#include "gateway/access/bearer.h"
#include "gateway/access/client.h"
#include "gateway/access/keyring.h"
#include "gateway/access/keyset.h"
#include "gateway/access/rate_limit_headers.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

struct client *admission_client(const struct http_exchange *exchange)
{
    struct client *client = http_exchange_note(exchange);

    assert(client);
    return client;
}

/* -- which client */

static bool is_below(struct http_text path, const char *base)
{
    size_t len = strlen(base);

    return path.len >= len && memcmp(path.data, base, len) == 0 && (path.len == len || path.data[len] == '/');
}

static bool needs_client(const struct admission *admission, struct http_text path)
{
    for (const char *const *base = admission->paths; *base; base++)
        if (is_below(path, *base))
            return true;
    return false;
}

/* NULL: no valid key. */
static struct client *identify(const struct admission *admission, const struct http_request *request)
{
    if (!admission->keys)
        return keyring_public(admission->keyring);
    return keyset_find(admission->keys, bearer_token(request), clock_wall_ms());
}

/* -- the request rate */

static void admission_on_limit(struct http_exchange *exchange, const redisReply *reply, void *unused)
{
    bool allowed = strcmp(script_answer(reply), "OK") == 0;
    int64_t left, reset_ms;

    (void)unused;
    if (script_int(reply, 1, &left) || script_int(reply, 2, &reset_ms)) {
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    rate_limit_headers_add_requests(exchange, left, reset_ms);
    if (allowed) {
        http_exchange_resume(exchange);
        return;
    }
    log_debug("admission", "rate limited", "client=%s request_id=%s", admission_client(exchange)->name,
              http_exchange_request_id(exchange));
    respond_problem_after(exchange, PROBLEM_RATE_LIMITED, reset_ms);
}

static void check_rate(const struct admission *admission, struct http_exchange *exchange, int64_t per_minute)
{
    char prefix[KEYS_CLIENT_SIZE], number[DECIMAL_SIZE];

    keys_client(prefix, admission_client(exchange)->name);
    (void)decimal_write(number, per_minute);
    http_exchange_hold(exchange);
    redis_query_send(admission->commands, exchange,
                     &(struct redis_query){
                         .script = SCRIPT_LIMIT, .prefix = prefix, .args = {number}, .answer = admission_on_limit});
}

void admission_check(const struct admission *admission, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    struct client *client;
    int64_t per_minute;

    if (request->method == HTTP_OPTIONS || !needs_client(admission, request->path))
        return;
    client = identify(admission, request);
    if (!client) {
        bearer_refuse(exchange);
        return;
    }
    http_exchange_set_note(exchange, client);
    rate_limit_headers_add_policy(exchange, client);
    per_minute = client_limit(client, CLIENT_REQUESTS);
    if (per_minute)
        check_rate(admission, exchange, per_minute);
}
