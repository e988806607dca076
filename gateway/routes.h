/* api/routes - every address that the gateway serves; each endpoint is a file in this folder */
#ifndef ARKRELAY_GATEWAY_ROUTES_H
#define ARKRELAY_GATEWAY_ROUTES_H

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
http_handler_fn api_admin_overview;  /* admin_overview.c: all that a dashboard shows of the whole */
http_handler_fn api_admin_processes; /* admin_processes.c: gateways and workers that are alive */
http_handler_fn api_admin_tasks;     /* admin_tasks.c: the tasks in a state, of all clients */
http_handler_fn api_admin_task;      /* admin_tasks.c: all that is kept of one */
http_handler_fn api_admin_retry;     /* admin_tasks.c: what failed begins anew */
http_handler_fn api_admin_cancel;    /* admin_tasks.c */
http_handler_fn api_admin_erase;     /* admin_tasks.c */
http_handler_fn api_openapi;         /* openapi.c: what this API is, for programs */
http_handler_fn api_page;            /* page.c: the pages, and what they load */
http_handler_fn api_metrics;         /* metrics.c: for Prometheus */
http_handler_fn api_livez;           /* health.c: the process answers */
http_handler_fn api_readyz;          /* health.c: and Redis does, and it is not draining */

#endif
