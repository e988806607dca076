/* usage_report - what tasks have cost, by day or month, client and model: the answer to GET /usage and GET /admin/usage
 *
 * Query: by=day|month, from=, to= (both inclusive), format=json|csv. The sums come from Redis, one script call per day or month, so that no call
 * blocks Redis for long.
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_API_USAGE_REPORT_H
#define ARKRELAY_GATEWAY_API_USAGE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

struct api_context;
struct http_exchange;

struct usage_request {
    const char *client;         /* NULL: all clients, each row with its name; copied */
    bool is_counted;            /* tasks are counted at present */
    int64_t day_max, month_max; /* the spending limits; 0: none */
};

/* Reads the query of the request, and answers. */
void usage_report(const struct api_context *context, struct http_exchange *exchange,
                  const struct usage_request *request);

#endif
