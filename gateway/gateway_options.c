#include "gateway/gateway_options.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MINUTE_MS = 60 * 1000, DAY_MS = 24 * 60 * MINUTE_MS, MIB = 1024 * 1024, HOST_SIZE = 64, HINTS_MIN_MS = 100 };

#define AT(field) offsetof(struct gateway_options, field)
/* clang-format off */
static const struct option_row rows[] = {
    { "listen", "GATEWAY_LISTEN", OPT_STRING, AT(listen), "127.0.0.1:8000", 3, 255,
      "host:port to serve; port 0 picks a free one", NULL },
    { "threads", "GATEWAY_THREADS", OPT_INT, AT(threads), "1", 1, 64,
      "event loops, each with its own listener and Redis connections", NULL },
    { "heartbeat", "GATEWAY_HEARTBEAT", OPT_MS, AT(heartbeat_ms), "15s", 100, 10 * MINUTE_MS,
      "a stream that is silent for this long gets a comment", NULL },
    { "tail-check", "GATEWAY_TAIL_CHECK", OPT_MS, AT(tail_check_ms), "5s", 100, 10 * MINUTE_MS,
      "a watched task that is silent for this long is compared with its log", NULL },
    { "hints", "GATEWAY_HINTS", OPT_MS, AT(hints_ms), "3s", 0, 10 * MINUTE_MS,
      "how often the viewers of waiting tasks are told their places, at least 100ms; 0: never", NULL },
    { "queue-limit", "GATEWAY_QUEUE_LIMIT", OPT_INT, AT(queue_limit), "10000", 1, 10000000,
      "tasks that may wait; further ones are answered 503", NULL },
    { "client-queue-limit", "GATEWAY_CLIENT_QUEUE_LIMIT", OPT_INT, AT(client_limit), "10000", 1, 10000000,
      "tasks of one client that may wait or run; further ones are answered 429", NULL },
    { "queue-ttl", "GATEWAY_QUEUE_TTL", OPT_MS, AT(queue_ttl_ms), "1h", 1000, 30LL * DAY_MS,
      "how long a task may wait before it ends as expired", NULL },
    { "retention", "GATEWAY_RETENTION", OPT_MS, AT(retention_ms), "24h", 1000, 365LL * DAY_MS,
      "how long a task is kept after its end", NULL },
    { "max-paid-calls", "MAX_PAID_CALLS", OPT_INT, AT(max_paid_calls), "2", 1, 100,
      "ARK calls per task that may be charged, where the request does not say; 1 never pays twice", NULL },
    { "max-paid-calls-limit", "GATEWAY_MAX_PAID_CALLS_LIMIT", OPT_INT, AT(max_paid_calls_limit), "5", 1, 100,
      "the most that a request may ask for", NULL },
    { "cors-origins", "GATEWAY_CORS_ORIGINS", OPT_STRING, AT(cors_origins), "*", 1, 4096,
      "web pages that may call the API: * or a comma list of origins such as https://example.com", NULL },
    { "body-max", "GATEWAY_BODY_MAX", OPT_BYTES, AT(body_max), "256k", 1024, 64LL * MIB,
      "bytes of a request's body", NULL },
    { "connections-max", "GATEWAY_CONNECTIONS_MAX", OPT_INT, AT(connections_max), "20000", 1, 1000000,
      "open connections per thread; further ones are answered 503", NULL },
    { "output-max", "GATEWAY_OUTPUT_MAX", OPT_BYTES, AT(output_max), "256k", 4096, 512LL * MIB,
      "bytes that a slow reader may be behind before it is cut; it resumes by id; "
      "where events hold pictures (ARK_RESPONSE_FORMAT=b64_json), as many as a whole answer", NULL },
    { "data-urls", "GATEWAY_DATA_URLS", OPT_BOOL, AT(data_urls), "off", 0, 0,
      "take data:image/...;base64 in urls", NULL },
    { "admin-key", "GATEWAY_ADMIN_KEY", OPT_SECRET, AT(admin_key), "", 0, 4096,
      "the key of the operators' addresses under /admin/; empty: there are none", NULL },
    { "open", "GATEWAY_OPEN", OPT_BOOL, AT(open), "off", 0, 0,
      "serve without keys to other machines: whoever reaches the port spends the ARK account's money", NULL },
    SHARED_OPTION_ROWS(struct gateway_options, shared),
};
/* clang-format on */
#undef AT

const struct option_table gateway_option_table = {
    .program = "arkrelay-gateway",
    .version = ARKRELAY_VERSION,
    .summary = "Serves the HTTP API: takes tasks into Redis, and streams what becomes of them.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

/* A name other than localhost may resolve to anything. */
bool listen_is_loopback(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    char host[HOST_SIZE];
    struct in_addr address;

    if (!colon || (size_t)(colon - listen) >= sizeof(host))
        return false;
    memcpy(host, listen, (size_t)(colon - listen));
    host[colon - listen] = '\0';
    if (inet_pton(AF_INET, host, &address) == 1)
        return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

bool gateway_options_agree(const struct gateway_options *options)
{
    if (!options->open && !listen_is_loopback(options->listen)) {
        (void)fprintf(stderr,
                      "arkrelay-gateway: GATEWAY_LISTEN %s lets other machines in, and no keys are set: listen on "
                      "127.0.0.1, or set GATEWAY_OPEN=on\n",
                      options->listen);
        return false;
    }
    if (options->hints_ms && options->hints_ms < HINTS_MIN_MS) {
        (void)fprintf(stderr, "arkrelay-gateway: GATEWAY_HINTS %lldms is out of range (0, or 100ms to 10m)\n",
                      (long long)options->hints_ms);
        return false;
    }
    if (options->max_paid_calls > options->max_paid_calls_limit) {
        (void)fprintf(stderr, "arkrelay-gateway: MAX_PAID_CALLS %lld is above GATEWAY_MAX_PAID_CALLS_LIMIT %lld\n",
                      (long long)options->max_paid_calls, (long long)options->max_paid_calls_limit);
        return false;
    }
    return true;
}
