/* GET /admin/usage: what the tasks of all clients have cost, and what is left of the spending limits for all of them together */
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/api/usage_report.h"

void api_admin_usage(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;

    usage_report(context, exchange,
                 &(struct usage_request){.is_counted = context->usage || context->spend_day || context->spend_month,
                                         .day_max = context->spend_day,
                                         .month_max = context->spend_month});
}
