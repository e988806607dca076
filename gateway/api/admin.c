/* POST /admin/queue/pause and /admin/queue/resume, and who may */
#include "gateway/api/admin.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/log.h"
#include "gateway/answer.h"
#include "gateway/api/routes.h"
#include "gateway/gateway.h"
#include "gateway/gateway_options.h"
#include "gateway/store.h"

#define ADMIN_PATH "/admin/"
#define SCHEME     "Bearer"

enum { ANSWER_MAX = 256, DIGEST_SIZE = 32 };

/* -- the door */

/* Digests are equally long, so comparing them tells neither how long the key is nor where a guess goes wrong. */
static bool is_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned char digests[2][DIGEST_SIZE];

    if (EVP_Digest(a, a_len, digests[0], NULL, EVP_sha256(), NULL) != 1 ||
        EVP_Digest(b, b_len, digests[1], NULL, EVP_sha256(), NULL) != 1)
        return false;
    return CRYPTO_memcmp(digests[0], digests[1], DIGEST_SIZE) == 0;
}

/* What stands behind "Bearer " (RFC 6750); data is NULL where the header is another one. */
static struct http_text bearer(struct http_text header)
{
    size_t at = strlen(SCHEME);

    if (header.len <= at || strncasecmp(header.data, SCHEME, at) != 0 || header.data[at] != ' ')
        return (struct http_text){0};
    while (at < header.len && header.data[at] == ' ')
        at++;
    return (struct http_text){header.data + at, header.len - at};
}

static bool has_key(const struct http_request *request, const char *key)
{
    struct http_text given = bearer(http_request_header(request, "Authorization"));

    return given.data && is_same(given.data, given.len, key, strlen(key));
}

void admin_guard(const struct gateway *gateway, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    const char *key = gateway->config.options->admin_key;

    if (request->path.len < strlen(ADMIN_PATH) || memcmp(request->path.data, ADMIN_PATH, strlen(ADMIN_PATH)) != 0)
        return;
    if (!*key) {
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_NOT_FOUND});
    } else if (request->method != HTTP_OPTIONS && !has_key(request, key)) {
        http_add_header(exchange, "WWW-Authenticate", SCHEME " realm=\"arkrelay\"");
        answer_problem(exchange, PROBLEM_UNAUTHORIZED, NULL);
    }
}

/* -- the queue's switch */

static void answer_paused(struct http_exchange *exchange, const redisReply *reply)
{
    bool paused = strcmp(script_answer(reply), "PAUSED") == 0;
    struct buf body;

    log_info("admin", paused ? "the queue is paused" : "the queue goes on", "request_id=%s",
             http_exchange_request_id(exchange));
    buf_init(&body, ANSWER_MAX);
    buf_addf(&body, "{\"paused\":%s}", paused ? "true" : "false");
    answer_json(exchange, 200, &body);
    buf_deinit(&body);
}

static void set_paused(struct http_exchange *exchange, const struct gateway *gateway, const char *paused)
{
    store_ask(gateway->commands, exchange,
              &(struct store_question){.script = SCRIPT_PAUSE, .mode = paused, .answer = answer_paused});
}

void api_admin_pause(struct http_exchange *exchange, void *arg)
{
    set_paused(exchange, arg, "1");
}

void api_admin_resume(struct http_exchange *exchange, void *arg)
{
    set_paused(exchange, arg, "0");
}
