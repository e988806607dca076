/* task - a task's id and state
 *
 * Clients name a task by its task_id, Redis by its full id "<client>.<task_id>". `client` is the name of the API key's owner, or
 * "public" without API keys. common/task/PROTOCOL.md has the state diagram.
 *
 * Pure.
 */
#ifndef ARKRELAY_TASK_TASK_H
#define ARKRELAY_TASK_TASK_H

#include <stdbool.h>
#include <stddef.h>

enum { TASK_ID_MAX = 128, TASK_CLIENT_MAX = 32, TASK_FULL_ID_SIZE = TASK_CLIENT_MAX + 1 + TASK_ID_MAX + 1 };

#define TASK_CLIENT_PUBLIC "public"

enum task_state { TASK_QUEUED, TASK_RUNNING, TASK_DELAYED, TASK_DONE, TASK_FAILED, TASK_CANCELLED, TASK_STATE_COUNT };

const char *task_state_name(enum task_state state);
bool task_state_parse(const char *name, size_t len, enum task_state *out);
bool task_state_is_final(enum task_state state);

/* [A-Za-z0-9][A-Za-z0-9._:-]{0,127} */
bool task_id_is_valid(const char *id, size_t len);

void task_full_id(char out[TASK_FULL_ID_SIZE], const char *client, const char *task_id);
const char *task_id_of(const char *full_id); /* the part after the first dot */

#endif
