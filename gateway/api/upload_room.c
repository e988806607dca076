#include "gateway/api/upload_room.h"

#include "common/base/decimal.h"
#include "common/task/keys.h"
#include "gateway/access/admission.h"
#include "gateway/access/client.h"
#include "gateway/api/context.h"
#include "gateway/response/respond.h"
#include "gateway/uploads/upload_record.h"
#include "gateway/uploads/uploads.h"

void upload_room_ask(struct api_context *context, struct http_exchange *exchange, redis_query_fn *answer)
{
    const struct uploads_config *limits = &context->uploads->config;
    char prefix[KEYS_CLIENT_SIZE], count[DECIMAL_SIZE], bytes[DECIMAL_SIZE];

    keys_client(prefix, admission_client(exchange)->name);
    (void)decimal_write(count, limits->count_max);
    (void)decimal_write(bytes, limits->bytes_max);
    redis_query_send(context->commands, exchange,
                     &(struct redis_query){
                         .script = SCRIPT_UPLOAD,
                         .prefix = prefix,
                         .args = {"", "1", count, bytes},
                         .answer = answer,
                         .arg = context
    });
}

bool upload_room_granted(struct http_exchange *exchange, const redisReply *reply)
{
    int64_t wait_ms = 0;

    if (upload_answer_of(reply) != UPLOAD_LIMITED)
        return true;
    (void)!script_int(reply, 1, &wait_ms);
    respond_problem_after(exchange, PROBLEM_UPLOADS_PER_DAY, wait_ms);
    return false;
}
