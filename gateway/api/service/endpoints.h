/* api/service - endpoints of the service itself: pages, health, metrics, the API's description
 *
 * Their argument is the struct api_context.
 */
#ifndef ARKRELAY_GATEWAY_API_SERVICE_ENDPOINTS_H
#define ARKRELAY_GATEWAY_API_SERVICE_ENDPOINTS_H

#include "common/http/server.h"

http_handler_fn api_pages;   /* GET /, /dashboard and the files they load */
http_handler_fn api_openapi; /* GET /openapi.json */
http_handler_fn api_metrics; /* GET /metrics, for Prometheus */
http_handler_fn api_livez;   /* health.c: GET /livez: the process responds */
http_handler_fn api_readyz;  /* health.c: GET /readyz: Redis is usable and the gateway is not draining */

#endif
