/* api/admin - the operators' API, below /admin/: the handlers
 *
 * Their argument is the struct api_context. admission_check_operator has checked the admin key.
 */
#ifndef ARKRELAY_GATEWAY_API_ADMIN_ENDPOINTS_H
#define ARKRELAY_GATEWAY_API_ADMIN_ENDPOINTS_H

#include "common/http/server.h"

http_handler_fn api_admin_pause;     /* pause.c: POST /admin/queue/pause */
http_handler_fn api_admin_resume;    /* pause.c: POST /admin/queue/resume */
http_handler_fn api_admin_overview;  /* GET /admin/overview: everything the dashboard shows at the top */
http_handler_fn api_admin_processes; /* GET /admin/processes: the gateways and workers that are running */
http_handler_fn api_admin_usage;     /* GET /admin/usage: what the tasks of all clients have cost */
http_handler_fn api_admin_tasks;     /* GET /admin/tasks: tasks of all clients, by state */
http_handler_fn api_admin_task;      /* GET /admin/tasks/{id}: everything stored about a task */
http_handler_fn api_admin_retry;     /* task.c: POST /admin/tasks/{id}/retry */
http_handler_fn api_admin_cancel;    /* task.c: POST /admin/tasks/{id}/cancel */
http_handler_fn api_admin_erase;     /* task.c: DELETE /admin/tasks/{id} */

/* webhooks.c */
http_handler_fn api_admin_webhooks;      /* GET /admin/webhooks: lanes, and deliveries that have failed */
http_handler_fn api_admin_resend_failed; /* POST /admin/webhooks/resend */
http_handler_fn api_admin_webhook_test;  /* POST /admin/webhooks/test: a sample */
http_handler_fn api_admin_resend;        /* POST /admin/tasks/{id}/resend */
http_handler_fn api_admin_task_webhook;  /* GET /admin/tasks/{id}/webhook */

#endif
