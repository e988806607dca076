/* api/native - the faceflip API, below API_BASE, and /p: the handlers, one file for each address, and task.c for all below /tasks/{id}
 *
 * Their argument is the struct api_context.
 */
#ifndef ARKRELAY_GATEWAY_API_NATIVE_ENDPOINTS_H
#define ARKRELAY_GATEWAY_API_NATIVE_ENDPOINTS_H

#include "common/http/server.h"

http_handler_fn api_generate;        /* POST /generate: submit a task, respond with its links */
http_handler_fn api_generate_stream; /* POST /generate/stream: submit a task, stream its events */
http_handler_fn api_own_tasks;       /* GET /tasks: the tasks of the client */
http_handler_fn api_task;            /* GET /tasks/{id}: state and result */
http_handler_fn api_task_webhook;    /* GET /tasks/{id}/webhook: deliveries of its events */
http_handler_fn api_task_stream;     /* GET /tasks/{id}/stream: events of an existing task */
http_handler_fn api_task_cancel;     /* POST /tasks/{id}/cancel */
http_handler_fn api_task_erase;      /* DELETE /tasks/{id} */
http_handler_fn api_picture;         /* GET /p/{day}/{id}: a stored picture */
http_handler_fn api_upload;          /* POST /uploads: store an image for later requests; takes its body itself */
http_handler_fn api_upload_erase;    /* DELETE /uploads/{id} */
http_handler_fn api_picture_erase;   /* DELETE /p/{day}/{id} */
http_handler_fn api_models;          /* GET /models: what each model can do and costs */
http_handler_fn api_usage;           /* GET /usage: what the client's tasks have cost */
http_handler_fn api_queue;           /* GET /queue: number of tasks by state */

#endif
