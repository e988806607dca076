/* GET /openapi.json: what this API is, for programs */
#include "common/http/server.h"
#include "gateway/api/routes.h"
#include "gateway/embedded_file.h"

extern const struct embedded_file openapi_files[];

void api_openapi(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    embedded_file_answer(exchange, &openapi_files[0]);
}
