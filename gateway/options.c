#include "gateway/options.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/host_port.h"
#include "common/base/macros.h"
#include "common/base/money.h"
#include "common/http/request.h"
#include "common/storage/location.h"
#include "common/webhook/signature.h"
#include "gateway/api/openai/aliases.h"

enum {
    MINUTE_MS = 60 * 1000,
    DAY_MS = 24 * 60 * MINUTE_MS,
    MIB = 1024 * 1024,
    LISTEN_SIZE = 256,
    HINTS_MIN_MS = 100,
    ADMIN_KEY_MIN = 16,
    WHY_MAX = 512
};

#define AT(field) offsetof(struct gateway_options, field)
/* clang-format off */
static const struct option_row rows[] = {
    { "listen", "GATEWAY_LISTEN", OPT_ADDRESS, AT(listen), "127.0.0.1:8000", 2, LISTEN_SIZE - 1,
      "host:port to listen on; port 0 picks a free one", NULL },
    { "threads", "GATEWAY_THREADS", OPT_INT, AT(threads), "1", 1, 64,
      "event loops, each with its own listener and Redis connections", NULL },
    { "share-port", "GATEWAY_SHARE_PORT", OPT_BOOL, AT(share_port), "off", 0, 0,
      "allow other gateways of this user to listen on the same address (SO_REUSEPORT); the kernel distributes new connections", NULL },
    { "heartbeat", "GATEWAY_HEARTBEAT", OPT_MS, AT(heartbeat_ms), "15s", 100, 10 * MINUTE_MS,
      "send an SSE comment on a stream after this much silence", NULL },
    { "tail-check", "GATEWAY_TAIL_CHECK", OPT_MS, AT(tail_check_ms), "5s", 100, 10 * MINUTE_MS,
      "compare a watched task with its event log in Redis after this much silence", NULL },
    { "hints", "GATEWAY_HINTS", OPT_MS, AT(hints_ms), "3s", 0, 10 * MINUTE_MS,
      "interval of queue position hints to viewers of waiting tasks, at least 100ms; 0: off", NULL },
    { "queue-limit", "GATEWAY_QUEUE_LIMIT", OPT_INT, AT(queue_limit), "10000", 1, 10000000,
      "waiting tasks; further ones get 503", NULL },
    { "client-queue-limit", "GATEWAY_CLIENT_QUEUE_LIMIT", OPT_INT, AT(client_limit), "10000", 1, 10000000,
      "waiting and running tasks of one client; further ones get 429", NULL },
    { "queue-ttl", "GATEWAY_QUEUE_TTL", OPT_MS, AT(queue_ttl_ms), "1h", 1000, 30LL * DAY_MS,
      "a task that has waited this long fails as expired", NULL },
    { "retention", "GATEWAY_RETENTION", OPT_MS, AT(retention_ms), "24h", 1000, 365LL * DAY_MS,
      "how long a final task is kept", NULL },
    { "max-paid-calls", "MAX_PAID_CALLS", OPT_INT, AT(max_paid_calls), "2", 1, 100,
      "ARK calls per task that may be charged, if the request does not set it; 1 never pays twice", NULL },
    { "max-paid-calls-limit", "GATEWAY_MAX_PAID_CALLS_LIMIT", OPT_INT, AT(max_paid_calls_limit), "5", 1, 100,
      "the maximum that a request may set as max_paid_calls", NULL },
    { "cors-origins", "GATEWAY_CORS_ORIGINS", OPT_STRING, AT(cors_origins), "*", 1, 4096,
      "web pages that may call the API: *, or a comma-separated list of origins such as https://example.com", NULL },
    { "body-max", "GATEWAY_BODY_MAX", OPT_BYTES, AT(body_max), "256k", 1024, 64LL * MIB,
      "bytes of a request body", NULL },
    { "connections-max", "GATEWAY_CONNECTIONS_MAX", OPT_INT, AT(connections_max), "20000", 1, 1000000,
      "open connections per thread; further ones get 503", NULL },
    { "connections-per-address", "GATEWAY_CONNECTIONS_PER_ADDRESS", OPT_INT, AT(connections_per_address), "5000", 0, 64000000,
      "open connections of one client address (IPv6: one /64), over all threads; 0: no limit. Behind a proxy, all clients have "
      "the address of the proxy", NULL },
    { "output-max", "GATEWAY_OUTPUT_MAX", OPT_BYTES, AT(output_max), "256k", 4096, 512LL * MIB,
      "unsent bytes buffered for a slow reader; further events are sent when there is room; "
      "if events contain images (ARK_RESPONSE_FORMAT=b64_json), use the size of a whole response", NULL },
    { "head-max", "GATEWAY_HEAD_MAX", OPT_BYTES, AT(head_max), "8k", 1024, 64 * 1024,
      "bytes of a request head", NULL },
    { "headers-max", "GATEWAY_HEADERS_MAX", OPT_INT, AT(headers_max), "64", 8, HTTP_HEADERS_MAX,
      "headers of a request", NULL },
    { "head-timeout", "GATEWAY_HEAD_TIMEOUT", OPT_MS, AT(head_timeout_ms), "10s", 100, 10 * MINUTE_MS,
      "deadline for the request head, including the TLS handshake; on later requests of a connection from the first byte on",
      NULL },
    { "body-timeout", "GATEWAY_BODY_TIMEOUT", OPT_MS, AT(body_timeout_ms), "30s", 100, 10 * MINUTE_MS,
      "deadline for the request body, from the end of the head on", NULL },
    { "idle-timeout", "GATEWAY_IDLE_TIMEOUT", OPT_MS, AT(idle_timeout_ms), "15s", 100, 60 * MINUTE_MS,
      "close a connection without a request after this long; proxies in front should use less", NULL },
    { "write-timeout", "GATEWAY_WRITE_TIMEOUT", OPT_MS, AT(write_timeout_ms), "30s", 100, 10 * MINUTE_MS,
      "close a connection whose client has read nothing for this long while output waits", NULL },
    { "stream-life", "GATEWAY_STREAM_LIFE", OPT_MS, AT(stream_life_ms), "20m", 0, 7LL * DAY_MS,
      "end an event stream of this age between two events; its client resumes by id; 0: never", NULL },
    { "tls-cert", "GATEWAY_TLS_CERT", OPT_STRING, AT(tls_cert), "", 0, 4096,
      "PEM file with the certificate and its chain: serve HTTPS; reloaded on SIGHUP", NULL },
    { "tls-key", "GATEWAY_TLS_KEY", OPT_STRING, AT(tls_key), "", 0, 4096,
      "PEM file with the certificate's private key, without a passphrase", NULL },
    { "data-urls", "GATEWAY_DATA_URLS", OPT_BOOL, AT(data_urls), "off", 0, 0,
      "accept data:image/...;base64 in urls", NULL },
    { "admin-key", "GATEWAY_ADMIN_KEY", OPT_SECRET, AT(admin_key), "", 0, 4096,
      "key for the operators' API below /admin/; empty: /admin/ is disabled", NULL },
    { "keys-file", "GATEWAY_KEYS_FILE", OPT_STRING, AT(keys_file), "", 0, 4096,
      "file with the API keys of clients, reloaded on SIGHUP; empty: no keys, and every request belongs to the client public", NULL },
    { "client-requests", "GATEWAY_CLIENT_REQUESTS", OPT_INT, AT(client_requests), "600", 0, 1000000,
      "requests per minute of a client with keys; further ones get 429; 0: no limit", NULL },
    { "client-streams", "GATEWAY_CLIENT_STREAMS", OPT_INT, AT(client_streams), "1000", 0, 10000000,
      "open streams of a client with keys on this gateway; further ones get 429; 0: no limit", NULL },
    { "client-images", "GATEWAY_CLIENT_IMAGES", OPT_INT, AT(client_images), "0", 0, 1000000000,
      "images per UTC day of a client's tasks; further ones get 429; 0: no limit", NULL },
    { "client-spend-day", "GATEWAY_CLIENT_SPEND_DAY", OPT_MONEY, AT(client_spend_day), "0", 0, MONEY_MAX,
      "the most that a client's tasks may cost per UTC day, in the catalogue's currency; further ones get 429; 0: no limit", NULL },
    { "client-spend-month", "GATEWAY_CLIENT_SPEND_MONTH", OPT_MONEY, AT(client_spend_month), "0", 0, MONEY_MAX,
      "the same per UTC month", NULL },
    { "spend-day", "GATEWAY_SPEND_DAY", OPT_MONEY, AT(spend_day), "0", 0, MONEY_MAX,
      "the most that the tasks of all clients together may cost per UTC day; 0: no limit", NULL },
    { "spend-month", "GATEWAY_SPEND_MONTH", OPT_MONEY, AT(spend_month), "0", 0, MONEY_MAX,
      "the same per UTC month", NULL },
    { "usage", "GATEWAY_USAGE", OPT_BOOL, AT(usage), "off", 0, 0,
      "count tasks, images and costs by day, client and model; tasks to which a spending limit applies are always counted", NULL },
    { "task-list", "GATEWAY_TASK_LIST", OPT_CHOICE, AT(task_list), "auto", 0, 0,
      "keep a list of each client's tasks, for GET /tasks; auto: if there is a keys file. Without keys, everybody can read the list", "auto|on|off" },
    { "client-uploads", "GATEWAY_CLIENT_UPLOADS", OPT_INT, AT(client_uploads), "1000", 0, 1000000000,
      "images that a client may upload per UTC day; further ones get 429; 0: no limit", NULL },
    { "client-upload-bytes", "GATEWAY_CLIENT_UPLOAD_BYTES", OPT_BYTES, AT(client_upload_bytes), "2g", 0, 1024LL * 1024 * MIB,
      "bytes that a client may upload per UTC day; further ones get 429; 0: no limit", NULL },
    { "uploads-max", "GATEWAY_UPLOADS_MAX", OPT_INT, AT(uploads_max), "64", 1, 10000,
      "uploads in progress per thread, each with a temporary file and 64 KiB of memory; further ones get 503", NULL },
    { "upload-timeout", "GATEWAY_UPLOAD_TIMEOUT", OPT_MS, AT(upload_timeout_ms), "5m", 100, 60 * MINUTE_MS,
      "deadline for the body of an upload, in place of GATEWAY_BODY_TIMEOUT", NULL },
    REQUEST_DEFAULT_ROWS(struct gateway_options, request),
    { "openai-models", "GATEWAY_OPENAI_MODELS", OPT_STRING, AT(openai_models), OPENAI_DEFAULT_ALIASES, 0, 4096,
      "names of OpenAI's models that clients of /v1 may use: name=model of ARK, or name for the default model, separated by commas", NULL },
    { "openai-format", "GATEWAY_OPENAI_FORMAT", OPT_CHOICE, AT(openai_format), "auto", 0, 0,
      "response_format of requests to /v1 that do not set it; auto: b64_json for names of gpt-image models, else url", "auto|url|b64_json" },
    { "openai-hold", "GATEWAY_OPENAI_HOLD", OPT_MS, AT(openai_hold_ms), "45s", 100, 10 * MINUTE_MS,
      "how long the status of an answer of /v1 waits for the first image; then it is 200, and white space follows", NULL },
    { "openai-retry-window", "GATEWAY_OPENAI_RETRY_WINDOW", OPT_MS, AT(openai_retry_window_ms), "10m", 1000, DAY_MS,
      "how long a request to /v1 that equals an earlier one without a delivered answer counts as its repetition", NULL },
    { "new-key", NULL, OPT_STRING, AT(new_key), "", 0, 4096,
      "create a key for this client, print it once and exit", NULL },
    { "key-expires", NULL, OPT_STRING, AT(key_expires), "", 0, 32,
      "lifetime of the new key: 90d, 12h; empty: unlimited", NULL },
    { "revoke-key", NULL, OPT_SECRET, AT(revoke_key), "", 0, 4096,
      "revoke the key with this id and exit", NULL },
    { "list-keys", NULL, OPT_FLAG, AT(list_keys), NULL, 0, 0,
      "list the keys in the keys file and exit", NULL },
    { "show-webhook-secret", NULL, OPT_STRING, AT(show_webhook_secret), "", 0, 64,
      "print the secret that signs the webhooks of this client and exit", NULL },
    { "open", "GATEWAY_OPEN", OPT_BOOL, AT(open), "off", 0, 0,
      "serve other machines without API keys: everyone who can reach the port can spend the ARK account's money", NULL },
    STORAGE_OPTION_ROWS(struct gateway_options, storage),
    SHARED_OPTION_ROWS(struct gateway_options, shared),
};
/* clang-format on */
#undef AT

const struct option_table gateway_option_table = {
    .program = "arkrelay-gateway",
    .version = ARKRELAY_VERSION,
    .summary = "Serves the HTTP API: accepts tasks, queues them in Redis and streams their events.",
    .rows = rows,
    .count = ARRAY_LENGTH(rows),
};

/* Names other than localhost are not resolved: they count as reachable from outside. */
bool listen_is_loopback(const char *listen)
{
    char copy[LISTEN_SIZE];
    struct host_port parts;
    struct in_addr address;

    if (snprintf(copy, sizeof(copy), "%s", listen) >= (int)sizeof(copy) || !host_port_split(copy, &parts))
        return false;
    if (inet_pton(AF_INET, parts.host, &address) == 1)
        return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
    return !strcmp(parts.host, "localhost") || !strcmp(parts.host, "::1");
}

bool gateway_options_list_tasks(const struct gateway_options *options)
{
    return options->task_list == TASK_LIST_AUTO ? *options->keys_file != '\0' : options->task_list == TASK_LIST_ON;
}

static bool storage_agrees(const struct storage_options *options)
{
    struct buf why;
    bool is_valid;

    buf_init(&why, WHY_MAX);
    is_valid = location_is_valid(options, &why);
    if (!is_valid)
        (void)fprintf(stderr, "arkrelay-gateway: STORAGE %s: %s\n", options->place, buf_text(&why));
    buf_deinit(&why);
    return is_valid;
}

bool gateway_options_agree(const struct gateway_options *options)
{
    struct openai_aliases aliases;
    const char *at;

    if (!options->open && !*options->keys_file && !listen_is_loopback(options->listen)) {
        (void)fprintf(
            stderr,
            "arkrelay-gateway: GATEWAY_LISTEN %s accepts other machines, but no API keys are configured: listen on "
            "127.0.0.1, set GATEWAY_KEYS_FILE, or set GATEWAY_OPEN=on\n",
            options->listen);
        return false;
    }
    if (!storage_agrees(&options->storage))
        return false;
    if (!openai_aliases_parse(options->openai_models, &aliases, &at)) {
        (void)fprintf(
            stderr,
            "arkrelay-gateway: GATEWAY_OPENAI_MODELS is wrong at \"%.40s\": use name=model or name, each name once\n",
            at);
        return false;
    }
    if (*options->key_expires) {
        (void)fprintf(stderr, "arkrelay-gateway: --key-expires needs --new-key NAME\n");
        return false;
    }
    if (*options->admin_key && strlen(options->admin_key) < ADMIN_KEY_MIN) {
        (void)fprintf(
            stderr,
            "arkrelay-gateway: GATEWAY_ADMIN_KEY is too short: use at least %d bytes, for example the output of "
            "`openssl rand -hex 32`\n",
            ADMIN_KEY_MIN);
        return false;
    }
    if (*options->shared.webhook_secret && strlen(options->shared.webhook_secret) < WEBHOOK_MASTER_MIN) {
        (void)fprintf(stderr,
                      "arkrelay-gateway: WEBHOOK_SECRET is too short: use at least %d bytes, for example the output of "
                      "`openssl rand -hex 32`\n",
                      WEBHOOK_MASTER_MIN);
        return false;
    }
    if (options->hints_ms && options->hints_ms < HINTS_MIN_MS) {
        (void)fprintf(stderr, "arkrelay-gateway: GATEWAY_HINTS %lldms is out of range (0, or 100ms to 10m)\n",
                      (long long)options->hints_ms);
        return false;
    }
    if (!*options->tls_cert != !*options->tls_key) {
        (void)fprintf(stderr, "arkrelay-gateway: GATEWAY_TLS_CERT and GATEWAY_TLS_KEY: set both or neither\n");
        return false;
    }
    if (options->max_paid_calls > options->max_paid_calls_limit) {
        (void)fprintf(stderr, "arkrelay-gateway: MAX_PAID_CALLS %lld is above GATEWAY_MAX_PAID_CALLS_LIMIT %lld\n",
                      (long long)options->max_paid_calls, (long long)options->max_paid_calls_limit);
        return false;
    }
    return true;
}
