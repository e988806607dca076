/* GET /admin/usage: what the tasks of all clients have cost, and what is left of the spending limits for all of them together */
#include "gateway/access/keyring.h"
#include "gateway/api/admin/endpoints.h"
#include "gateway/api/context.h"
#include "gateway/api/usage_report.h"

/* Tasks of some clients at least. */
static bool is_counted(const struct api_context *context)
{
    return context->usage || context->spend_day || context->spend_month ||
           keyring_has_limit(context->keyring, CLIENT_SPEND_DAY) ||
           keyring_has_limit(context->keyring, CLIENT_SPEND_MONTH);
}

void api_admin_usage(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;

    usage_report(context, exchange,
                 &(struct usage_request){.is_counted = is_counted(context),
                                         .day_max = context->spend_day,
                                         .month_max = context->spend_month});
}
