/* openai/task_end - what an answer needs of the final event of a task
 *
 * Only that is parsed: the event has each link twice, and parsing all of it would be a third of the gateway's work for a request.
 *
 * Pure.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_TASK_END_H
#define ARKRELAY_GATEWAY_API_OPENAI_TASK_END_H

#include <stddef.h>

struct json_t;

/* json: {"event":...,"data":{...}}. -> Of `data`: generated_images (index, url, size and stored_url of each), usage, charged, code, error and
 * retryable, as far as they exist. NULL: it cannot be read, or there is no memory. */
struct json_t *openai_task_end(const char *json, size_t len);

#endif
