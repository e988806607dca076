#include "gateway/access/admission.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "common/http/server.h"
#include "common/task/keys.h"
#include "gateway/access/client.h"
#include "gateway/access/key_token.h"
#include "gateway/access/keyring.h"
#include "gateway/response/redis_query.h"
#include "gateway/response/respond.h"

#define SCHEME       "Bearer"
#define ADMIN_PATH   "/admin/"
#define METRICS_PATH "/metrics"

enum { HEADER_MAX = 256, SECOND_MS = 1000, MINUTE_S = 60 };

struct client *admission_client(const struct http_exchange *exchange)
{
    struct client *client = http_exchange_note(exchange);

    assert(client);
    return client;
}

/* -- keys in the Authorization header */

/* The text after "Bearer "; data is NULL if the header is absent or has another scheme. */
static struct http_text bearer_token(const struct http_request *request)
{
    struct http_text header = http_request_header(request, "Authorization");
    size_t at = strlen(SCHEME);

    if (header.len <= at || strncasecmp(header.data, SCHEME, at) != 0 || header.data[at] != ' ')
        return (struct http_text){0};
    while (at < header.len && header.data[at] == ' ')
        at++;
    return (struct http_text){header.data + at, header.len - at};
}

/* Compares with a key that is configured in plain text, in constant time: neither its length nor the position of the first difference
 * can be measured. The digests have equal length, whatever the texts have. */
static bool token_is(struct http_text token, const char *key)
{
    unsigned char digests[2][KEY_DIGEST_SIZE];

    return token.data && !sha256(digests[0], token.data, token.len) && !sha256(digests[1], key, strlen(key)) &&
           key_digest_is(digests[0], digests[1]);
}

/* 401, the same for every wrong or missing key. */
static void refuse_token(struct http_exchange *exchange)
{
    http_add_header(exchange, "WWW-Authenticate", SCHEME " realm=\"arkrelay\"");
    respond_problem(exchange, PROBLEM_UNAUTHORIZED, NULL);
}

/* -- operators */

static bool is_admin_path(struct http_text path)
{
    return path.len >= strlen(ADMIN_PATH) && memcmp(path.data, ADMIN_PATH, strlen(ADMIN_PATH)) == 0;
}

void admission_check_operator(const char *admin_key, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    bool has_key = *admin_key;

    if (!is_admin_path(request->path) && !(http_text_is(request->path, METRICS_PATH) && has_key))
        return;
    if (!has_key)
        http_respond_problem(exchange, &(struct problem_details){.problem = PROBLEM_NOT_FOUND});
    else if (request->method != HTTP_OPTIONS && !token_is(bearer_token(request), admin_key))
        refuse_token(exchange);
}

/* -- response headers that state the limits */

static void add_policy(struct http_exchange *exchange, const struct client *client)
{
    static const struct {
        enum client_limit limit;
        const char *name;
        int window_s;
    } rows[] = {
        {CLIENT_REQUESTS, "requests", 60   },
        {CLIENT_IMAGES,   "images",   86400},
    };
    struct buf value;

    buf_init(&value, HEADER_MAX);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        int64_t most = client_limit(client, rows[i].limit);

        if (most)
            buf_addf(&value, "%s\"%s\";q=%" PRId64 ";w=%d", value.len ? ", " : "", rows[i].name, most,
                     rows[i].window_s);
    }
    if (value.len && !buf_error(&value))
        http_add_header(exchange, "RateLimit-Policy", buf_text(&value));
    buf_deinit(&value);
}

/* RateLimit is a list field: a second header line extends the list. */
static void add_limit_state(struct http_exchange *exchange, const char *name, int64_t left, int64_t reset_ms)
{
    struct buf value;

    buf_init(&value, HEADER_MAX);
    buf_addf(&value, "\"%s\";r=%" PRId64 ";t=%" PRId64, name, left, (reset_ms + SECOND_MS - 1) / SECOND_MS);
    if (!buf_error(&value))
        http_add_header(exchange, "RateLimit", buf_text(&value));
    buf_deinit(&value);
}

/* "250ms", "9s", "1m30s" */
static void add_duration(struct buf *out, int64_t ms)
{
    int64_t seconds = (ms + SECOND_MS - 1) / SECOND_MS;

    if (ms < SECOND_MS)
        buf_addf(out, "%" PRId64 "ms", ms);
    else if (seconds < MINUTE_S)
        buf_addf(out, "%" PRId64 "s", seconds);
    else
        buf_addf(out, "%" PRId64 "m%" PRId64 "s", seconds / MINUTE_S, seconds % MINUTE_S);
}

static void add_number_header(struct http_exchange *exchange, const char *name, int64_t value)
{
    char text[DECIMAL_SIZE];

    (void)decimal_write(text, value);
    http_add_header(exchange, name, text);
}

/* The same in the headers of OpenAI's API. */
static void add_openai_limit(struct http_exchange *exchange, int64_t left, int64_t reset_ms)
{
    struct buf reset;

    buf_init(&reset, HEADER_MAX);
    add_duration(&reset, reset_ms);
    add_number_header(exchange, "x-ratelimit-limit-requests",
                      client_limit(admission_client(exchange), CLIENT_REQUESTS));
    add_number_header(exchange, "x-ratelimit-remaining-requests", left);
    if (!buf_error(&reset))
        http_add_header(exchange, "x-ratelimit-reset-requests", buf_text(&reset));
    buf_deinit(&reset);
}

void admission_add_image_limit(struct http_exchange *exchange, int64_t left, int64_t reset_ms)
{
    add_limit_state(exchange, "images", left, reset_ms);
}

/* -- which client */

static bool is_below(struct http_text path, const char *base)
{
    size_t len = strlen(base);

    return path.len >= len && memcmp(path.data, base, len) == 0 && (path.len == len || path.data[len] == '/');
}

static bool is_below_any(struct http_text path, const char *const *bases)
{
    for (; *bases; bases++)
        if (is_below(path, *bases))
            return true;
    return false;
}

static bool needs_client(const struct admission *admission, const struct http_request *request)
{
    return is_below_any(request->path, admission->paths) ||
           (request->method == HTTP_DELETE && is_below_any(request->path, admission->delete_paths));
}

/* NULL: no valid key. */
static struct client *identify(const struct admission *admission, const struct http_request *request)
{
    if (!admission->keys)
        return keyring_public(admission->keyring);
    return keyset_find(admission->keys, bearer_token(request), clock_wall_ms());
}

/* -- the request rate */

static void admission_on_limit(struct http_exchange *exchange, const redisReply *reply, void *arg)
{
    const struct admission *admission = arg;
    bool allowed = strcmp(script_answer(reply), "OK") == 0;
    int64_t left, reset_ms;

    if (script_int(reply, 1, &left) || script_int(reply, 2, &reset_ms)) {
        respond_problem(exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
        return;
    }
    add_limit_state(exchange, "requests", left, reset_ms);
    if (is_below(http_exchange_request(exchange)->path, admission->openai_path))
        add_openai_limit(exchange, left, reset_ms);
    if (allowed) {
        http_exchange_resume(exchange);
        return;
    }
    log_debug("admission", "rate limited", "client=%s request_id=%s", admission_client(exchange)->name,
              http_exchange_request_id(exchange));
    respond_problem_after(exchange, PROBLEM_RATE_LIMITED, reset_ms);
}

static void check_rate(struct admission *admission, struct http_exchange *exchange, int64_t per_minute)
{
    char prefix[KEYS_CLIENT_SIZE], number[DECIMAL_SIZE];

    keys_client(prefix, admission_client(exchange)->name);
    (void)decimal_write(number, per_minute);
    http_exchange_hold(exchange);
    redis_query_send(admission->commands, exchange,
                     &(struct redis_query){
                         .script = SCRIPT_LIMIT,
                         .prefix = prefix,
                         .args = {number},
                         .answer = admission_on_limit,
                         .arg = admission,
                     });
}

void admission_check(struct admission *admission, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    struct client *client;
    int64_t per_minute;

    if (request->method == HTTP_OPTIONS || !needs_client(admission, request))
        return;
    client = identify(admission, request);
    if (!client) {
        refuse_token(exchange);
        return;
    }
    http_exchange_set_note(exchange, client);
    add_policy(exchange, client);
    per_minute = client_limit(client, CLIENT_REQUESTS);
    if (per_minute)
        check_rate(admission, exchange, per_minute);
}
