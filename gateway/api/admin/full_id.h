/* admin/full_id - the id of a task of any client, as it is in a path: <client>.<task_id> */
#ifndef ARKRELAY_GATEWAY_API_ADMIN_FULL_ID_H
#define ARKRELAY_GATEWAY_API_ADMIN_FULL_ID_H

#include <stdbool.h>

#include "common/task/task.h"

struct http_exchange;

/* False: it is invalid, and the exchange was answered with 404. */
bool admin_read_full_id(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE]);

#endif
