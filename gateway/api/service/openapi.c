/* GET /openapi.json: the description of the API (docs/openapi.json) */
#include "common/http/server.h"
#include "gateway/api/service/endpoints.h"
#include "gateway/response/embedded_file.h"

extern const struct embedded_file openapi_files[];

void api_openapi(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    embedded_file_respond(exchange, &openapi_files[0]);
}
