/* GET /usage: what the client's own tasks have cost, and what is left of its spending limits */
#include <stdbool.h>

#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/usage_report.h"

void api_usage(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    const struct client *client = admission_client(exchange);
    int64_t day_max = client_limit(client, CLIENT_SPEND_DAY), month_max = client_limit(client, CLIENT_SPEND_MONTH);
    bool is_limited = day_max || month_max || context->spend_day || context->spend_month;

    usage_report(context, exchange,
                 &(struct usage_request){.client = client->name,
                                         .is_counted = context->usage || is_limited,
                                         .day_max = day_max,
                                         .month_max = month_max});
}
