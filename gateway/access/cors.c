#include "gateway/access/cors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/server.h"

struct cors {
    bool any;
    char *list; /* the origins, each NUL-terminated */
    size_t count;
};

/* Copies the origins, with one NUL in place of each comma and the spaces around it. */
static void split(struct cors *cors, const char *origins)
{
    char *out = cors->list;

    while (*origins) {
        size_t len;

        origins += strspn(origins, ", \t");
        len = strcspn(origins, ", \t");
        if (!len)
            break;
        memcpy(out, origins, len);
        out[len] = '\0';
        out += len + 1;
        origins += len;
        cors->count++;
    }
}

struct cors *cors_create(const char *origins)
{
    struct cors *cors = calloc(1, sizeof(*cors));

    if (!cors)
        return NULL;
    cors->list = calloc(1, strlen(origins) + 1);
    if (!cors->list)
        return cors_destroy(cors);
    split(cors, origins);
    cors->any = cors->count == 1 && strcmp(cors->list, "*") == 0;
    return cors;
}

struct cors *cors_destroy(struct cors *cors)
{
    if (cors)
        free(cors->list);
    free(cors);
    return NULL;
}

const char *cors_allowed(const struct cors *cors, const char *origin, size_t len)
{
    const char *allowed = cors->list;

    if (cors->any)
        return "*";
    for (size_t i = 0; i < cors->count; i++) {
        size_t allowed_len = strlen(allowed);

        if (len && allowed_len == len && memcmp(allowed, origin, len) == 0)
            return allowed;
        allowed += allowed_len + 1;
    }
    return NULL;
}

static bool is_preflight(const struct http_request *request)
{
    return request->method == HTTP_OPTIONS && http_request_header(request, "Access-Control-Request-Method").data;
}

/* Returns whether the origin is allowed. */
static bool add_origin(const struct cors *cors, struct http_exchange *exchange, struct http_text origin)
{
    const char *allowed = cors_allowed(cors, origin.data, origin.len);

    if (!cors->any)
        http_add_header(exchange, "Vary", "Origin");
    if (allowed)
        http_add_header(exchange, "Access-Control-Allow-Origin", allowed);
    return allowed;
}

static void add_exposed(struct http_exchange *exchange)
{
    http_add_header(
        exchange, "Access-Control-Expose-Headers",
        "Arkrelay-Ignored, Arkrelay-Spending, Arkrelay-Tasks, Location, RateLimit, RateLimit-Policy, Retry-After, "
        "X-Request-Id, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
        "x-should-retry");
}

void cors_apply(const struct cors *cors, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);

    if (!add_origin(cors, exchange, http_request_header(request, "Origin")))
        return;
    if (is_preflight(request)) {
        /* "*" covers the headers that tracing tools and polyfills add. It does not cover Authorization, and old browsers
         * do not support it, so the known names are listed too. */
        http_add_header(exchange, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
        http_add_header(
            exchange, "Access-Control-Allow-Headers",
            "*, Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, traceparent, "
            "X-Request-Id");
        http_add_header(exchange, "Access-Control-Max-Age", "86400");
    } else {
        add_exposed(exchange);
    }
}

void cors_apply_to_refusal(const struct cors *cors, struct http_exchange *exchange, struct http_text head)
{
    if (add_origin(cors, exchange, http_head_header(head, "Origin")))
        add_exposed(exchange);
}
