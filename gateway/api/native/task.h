/* task - the URLs of a task: /tasks/{id} and what is below */
#ifndef ARKRELAY_GATEWAY_API_NATIVE_TASK_H
#define ARKRELAY_GATEWAY_API_NATIVE_TASK_H

struct buf;

void task_path_add(struct buf *out, const char *task_id);       /* API_BASE "/tasks/<task_id>" */
void task_path_add_links(struct buf *out, const char *task_id); /* "links":{"self":...,"stream":...,"cancel":...} */

#endif
