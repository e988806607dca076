/* api/routes - every address that the gateway serves; each endpoint is a file in this folder */
#ifndef ARKRELAY_GATEWAY_API_ROUTES_H
#define ARKRELAY_GATEWAY_API_ROUTES_H

#include <stddef.h>

#include "common/http/server.h"

#define API_BASE "/api/v1/faceflip"

extern const struct http_route api_routes[]; /* their argument is the struct gateway */
extern const size_t api_route_count;

http_handler_fn api_generate;        /* generate.c: a task in, its links out */
http_handler_fn api_generate_stream; /* stream.c: a task in, its events out */
http_handler_fn api_task;            /* task.c: what is known of a task */
http_handler_fn api_task_stream;     /* stream.c: the events of a known task */
http_handler_fn api_cancel;          /* cancel.c */
http_handler_fn api_erase;           /* erase.c: a task that has ended goes */
http_handler_fn api_queue;           /* queue.c: how many tasks wait, run ... */
http_handler_fn api_admin_pause;     /* admin.c: no task is taken or given */
http_handler_fn api_admin_resume;    /* admin.c */
http_handler_fn api_livez;           /* health.c: the process answers */
http_handler_fn api_readyz;          /* health.c: and Redis does, and it is not draining */

#endif
