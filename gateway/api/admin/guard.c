#include "gateway/api/admin/guard.h"

#include <stdbool.h>
#include <string.h>

#include "common/http/server.h"
#include "gateway/access/bearer.h"

#define ADMIN_PATH   "/admin/"
#define METRICS_PATH "/metrics"

static bool is_admin(struct http_text path)
{
    return path.len >= strlen(ADMIN_PATH) && memcmp(path.data, ADMIN_PATH, strlen(ADMIN_PATH)) == 0;
}

void admin_guard(const char *admin_key, struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    bool has_key = *admin_key;

    if (!is_admin(request->path) && !(http_text_is(request->path, METRICS_PATH) && has_key))
        return;
    if (!has_key)
        http_respond_problem(exchange, &(struct problem_report){.problem = PROBLEM_NOT_FOUND});
    else if (request->method != HTTP_OPTIONS && !bearer_is(bearer_token(request), admin_key))
        bearer_refuse(exchange);
}
