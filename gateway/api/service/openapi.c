/* GET /openapi.json: what this API is, for programs */
#include "common/http/server.h"
#include "gateway/response/embedded_file.h"
#include "gateway/routes.h"

extern const struct embedded_file openapi_files[];

void api_openapi(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    embedded_file_respond(exchange, &openapi_files[0]);
}
