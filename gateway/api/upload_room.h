/* upload_room - whether a client may upload images today (script UPLOAD), asked before the body of its request is read */
#ifndef ARKRELAY_GATEWAY_API_UPLOAD_ROOM_H
#define ARKRELAY_GATEWAY_API_UPLOAD_ROOM_H

#include <stdbool.h>

#include "gateway/response/redis_query.h"

struct api_context;

/* `answer` gets the context as its argument. context->uploads is not NULL. */
void upload_room_ask(struct api_context *context, struct http_exchange *exchange, redis_query_fn *answer);

/* False: the client has used up its day, and the exchange was answered. */
bool upload_room_granted(struct http_exchange *exchange, const redisReply *reply);

#endif
